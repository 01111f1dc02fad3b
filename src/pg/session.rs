//! The backend's sessions with APIs: one for each server and user.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use pgrx::pg_sys;

use super::token_file::TokenFile;
use super::{catalog, settings, wait};
use crate::connector;
use crate::connector::contract::Connector;
use crate::connector::machine::Job;
use crate::error::Result;
use crate::http::meter::{Account, Budget, Counts, Meter};
use crate::http::session::Session;
use crate::io::{Io, Stream};
use crate::options::{Credentials, ServerOptions};
use crate::query::page::Weigh;

/// A way to one API with one user's credentials.
#[derive(Clone)]
pub struct Remote {
    pub connector: Arc<dyn Connector>,
    session: Arc<Session>,
    totals: Arc<Meter>,
    io: Rc<Io>,
}

/// What a session was made from. If any of it changes, a new one is made.
#[derive(PartialEq)]
struct Origin {
    server: ServerOptions,
    credentials: Credentials,
    allowed_hosts: Vec<String>,
}

#[derive(Default)]
struct Sessions {
    by_user: BTreeMap<(u32, u32), (Origin, Remote)>,
    /// By the server's name, for `sequin.stats`.
    totals: BTreeMap<String, Arc<Meter>>,
    /// The budget of the statement that began at this time.
    budget: Option<(i64, u32, Arc<Budget>)>,
}

thread_local! {
    static SESSIONS: RefCell<Sessions> = RefCell::default();
}

impl Remote {
    /// The session of a user with a server; options and credentials are read anew, so that an ALTER counts
    /// from the next scan on.
    pub fn open(server_oid: pg_sys::Oid, user: pg_sys::Oid) -> Result<Remote> {
        let server = catalog::server(server_oid)?;
        let mapping = catalog::mapping(user, server_oid, &server.server)?;
        let token_file = TokenFile::new(&mapping);
        let origin = Origin { server, credentials: mapping.credentials, allowed_hosts: settings::allowed_hosts() };
        let io = wait::io()?;
        SESSIONS.with_borrow_mut(|sessions| {
            let place = (server_oid.to_u32(), user.to_u32());
            if let Some((made_from, remote)) = sessions.by_user.get(&place)
                && *made_from == origin
            {
                return Ok(remote.clone());
            }
            let connector = connector::open(&origin.server)?;
            let session = Session::new(
                Arc::clone(&connector),
                origin.server.clone(),
                origin.credentials.clone(),
                origin.allowed_hosts.clone(),
                Arc::new(token_file),
            )?;
            let totals = sessions.totals.entry(origin.server.server.clone()).or_default();
            let remote = Remote { connector, session: Arc::new(session), totals: Arc::clone(totals), io };
            sessions.by_user.insert(place, (origin, remote.clone()));
            Ok(remote)
        })
    }

    /// Starts jobs. Their requests are counted by `meter` too.
    pub fn stream<T>(&self, jobs: Vec<Job<T>>, meter: Arc<Meter>) -> Answers<T>
    where
        T: Weigh + Send + 'static,
    {
        let account = Account { meter, totals: Arc::clone(&self.totals), budget: budget() };
        Answers { stream: self.io.stream(Arc::clone(&self.session), jobs, account), io: Rc::clone(&self.io) }
    }

    /// Runs jobs to their end.
    pub fn collect<T>(&self, jobs: Vec<Job<T>>) -> Result<Vec<T>>
    where
        T: Weigh + Send + 'static,
    {
        let mut answers = self.stream(jobs, Arc::default());
        let mut all = Vec::new();
        while let Some(answer) = answers.receive()? {
            all.push(answer);
        }
        Ok(all)
    }
}

/// What jobs bring, as it comes. Dropped, it ends them.
pub struct Answers<T> {
    stream: Stream<T>,
    io: Rc<Io>,
}

impl<T> Answers<T> {
    /// The next answer; waits for it, open to interrupts.
    pub fn receive(&mut self) -> Result<Option<T>> {
        wait::until(&self.io, || self.stream.poll()).transpose()
    }
}

/// The budget that all scans of the current statement share.
fn budget() -> Arc<Budget> {
    // SAFETY: reads the time at which the client's statement arrived.
    let statement = unsafe { pg_sys::GetCurrentStatementStartTimestamp() };
    let limit = settings::max_requests();
    SESSIONS.with_borrow_mut(|sessions| match &sessions.budget {
        Some((begun, of, budget)) if (*begun, *of) == (statement, limit) => Arc::clone(budget),
        _ => {
            let budget = Arc::new(Budget::new(limit));
            sessions.budget = Some((statement, limit, Arc::clone(&budget)));
            budget
        }
    })
}

/// What this backend has asked of each server.
pub fn totals() -> Vec<(String, Counts)> {
    SESSIONS.with_borrow(|sessions| {
        sessions.totals.iter().map(|(server, meter)| (server.clone(), meter.snapshot())).collect()
    })
}
