//! The journal: every request and what was done to it. Tests compare it with what either side says.

use std::sync::Mutex;

use crate::schedule::{Action, Request};

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Counts from 0 over the life of the proxy, in the order of arrival.
    pub number: u64,
    /// The same number means the same TCP connection of the client.
    pub connection: u64,
    pub method: String,
    /// Path and query, as in the request line.
    pub path: String,
    /// What the schedule ordered.
    pub action: Action,
    /// Whether the server was sent the whole request.
    pub forwarded: bool,
    /// What the server answered, whatever the client saw; `None` as long as it has not, whole.
    pub status: Option<u16>,
}

#[derive(Default)]
pub struct Journal(Mutex<Vec<Entry>>);

impl Journal {
    pub fn arrived(&self, request: &Request, action: &Action) {
        crate::lock(&self.0).push(Entry {
            number: request.number,
            connection: request.connection,
            method: request.method.clone(),
            path: request.path.clone(),
            action: action.clone(),
            forwarded: false,
            status: None,
        });
    }

    pub fn forwarded(&self, number: u64) {
        self.note(number, |entry| entry.forwarded = true);
    }

    pub fn answered(&self, number: u64, status: u16) {
        self.note(number, |entry| entry.status = Some(status));
    }

    /// The entry may have been forgotten meanwhile.
    fn note(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = crate::lock(&self.0).iter_mut().rev().find(|entry| entry.number == number) {
            change(entry);
        }
    }

    pub fn all(&self) -> Vec<Entry> {
        crate::lock(&self.0).clone()
    }

    pub fn clear(&self) {
        crate::lock(&self.0).clear();
    }
}
