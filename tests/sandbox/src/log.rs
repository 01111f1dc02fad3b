//! The request log: what arrived, on which connection, and what was answered. Tests count requests with it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use serde::Serialize;

use crate::http::Request;

/// One request as it arrived.
#[derive(Clone, Debug, Serialize)]
pub struct LoggedRequest {
    /// Counts from 1 over the life of the sandbox.
    pub number: u64,
    pub method: String,
    /// Path and raw query, as in the request line.
    pub path: String,
    /// When it arrived, in microseconds since the sandbox started.
    pub at_us: u64,
    /// The decoded query text (SOQL, a formula), where the request is a query.
    pub soql: Option<String>,
    pub headers: Vec<(String, String)>,
    /// The body after decompression; lossy if it is not UTF-8.
    pub body: String,
    /// The status answered; 0 while the request is being worked on or if the connection was closed without an answer.
    pub status: u16,
    /// The same number means the same TCP connection.
    pub connection: u64,
}

impl LoggedRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// The newest requests, up to a bound, so that a benchmark does not fill the memory.
pub struct Log {
    entries: Mutex<(u64, VecDeque<LoggedRequest>)>,
    bound: usize,
    begin: Instant,
}

impl Log {
    pub fn new(bound: usize) -> Log {
        Log { entries: Mutex::new((0, VecDeque::new())), bound, begin: Instant::now() }
    }

    /// Notes an arrival and returns its number.
    pub fn arrived(&self, request: &Request, connection: u64, soql: Option<String>) -> u64 {
        let mut guard = crate::lock(&self.entries);
        let (count, entries) = &mut *guard;
        *count += 1;
        if entries.len() >= self.bound {
            entries.pop_front();
        }
        entries.push_back(LoggedRequest {
            number: *count,
            method: request.method.clone(),
            path: request.target(),
            at_us: self.begin.elapsed().as_micros() as u64,
            soql,
            headers: request.headers.clone(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            status: 0,
            connection,
        });
        *count
    }

    pub fn answered(&self, number: u64, status: u16) {
        let mut guard = crate::lock(&self.entries);
        if let Some(entry) = guard.1.iter_mut().rev().find(|e| e.number == number) {
            entry.status = status;
        }
    }

    pub fn all(&self) -> Vec<LoggedRequest> {
        crate::lock(&self.entries).1.iter().cloned().collect()
    }

    pub fn count(&self) -> u64 {
        crate::lock(&self.entries).0
    }

    pub fn clear(&self) {
        crate::lock(&self.entries).1.clear();
    }
}
