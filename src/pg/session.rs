//! The backend's sessions with APIs: one for each server and user.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use pgrx::pg_sys;

use super::token_file::TokenFile;
use super::wait::IoThread;
use super::{catalog, rates_file, settings, upgrade, wait};
use crate::connector;
use crate::connector::contract::Connector;
use crate::connector::machine::Job;
use crate::error::Result;
use crate::heap;
use crate::http::meter::{Account, Budget, Counts, Meter};
use crate::http::session::Session;
use crate::io::Stream;
use crate::options::{Credentials, ServerOptions};
use crate::query::page::Weigh;

/// Sessions that are kept open: each has connections and a token.
const MAX_SESSIONS: usize = 16;

/// A way to one API with one user's credentials.
#[derive(Clone)]
pub struct Remote {
    pub connector: Arc<dyn Connector>,
    session: Arc<Session>,
    totals: Arc<Meter>,
    io: Rc<IoThread>,
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
    /// By server and user, the one used last at the end.
    open: Vec<((pg_sys::Oid, pg_sys::Oid), Origin, Remote)>,
    /// By server, for `sequin.stats`.
    totals: BTreeMap<u32, Arc<Meter>>,
    /// The budget of the statement that began at this time.
    budget: Option<(i64, u32, Arc<Budget>)>,
}

thread_local! {
    static POLLS: Cell<bool> = const { Cell::new(false) };
    static SESSIONS: RefCell<Sessions> = RefCell::default();
}

impl Remote {
    /// The session of a user with a server; options and credentials are read anew, so that an ALTER counts
    /// from the next scan on.
    pub fn open(server_oid: pg_sys::Oid, user: pg_sys::Oid) -> Result<Remote> {
        upgrade::forbid()?;
        let server = catalog::server(server_oid)?;
        let mapping = catalog::mapping(user, server_oid, &server.server)?;
        let token_file = TokenFile::new(&mapping);
        let allowed = catalog::wrapper_options(server_oid).remove("allowed_hosts").unwrap_or_default();
        let origin =
            Origin { server, credentials: mapping.credentials, allowed_hosts: settings::allowed_hosts(&allowed)? };
        let io = wait::io()?;
        let place = (server_oid, user);
        let known = SESSIONS.with_borrow_mut(|sessions| {
            let at = sessions.open.iter().position(|(key, ..)| *key == place)?;
            let (key, made_from, remote) = sessions.open.remove(at);
            let fits = made_from == origin;
            let found = remote.clone();
            if fits {
                sessions.open.push((key, made_from, remote));
            }
            fits.then_some(found)
        });
        if let Some(remote) = known {
            return Ok(remote);
        }
        let connector = connector::open(&origin.server)?;
        let session = Session::new(
            Arc::clone(&connector),
            origin.server.clone(),
            origin.credentials.clone(),
            origin.allowed_hosts.clone(),
            Arc::new(token_file),
            rates_file::buckets()?,
        )?;
        SESSIONS.with_borrow_mut(|sessions| {
            let totals = Arc::clone(sessions.totals.entry(server_oid.to_u32()).or_default());
            let remote = Remote { connector, session: Arc::new(session), totals, io };
            if sessions.open.len() >= MAX_SESSIONS {
                sessions.open.remove(0);
            }
            sessions.open.push((place, origin, remote.clone()));
            Ok(remote)
        })
    }

    /// Starts jobs. Their requests are counted by `meter` too.
    pub fn stream<T>(&self, jobs: Vec<Job<T>>, meter: Arc<Meter>) -> Answers<T>
    where
        T: Weigh + Send + 'static,
    {
        let account = Account::new(meter, Arc::clone(&self.totals), budget(), POLLS.get());
        let stream = self.io.io.stream(Arc::clone(&self.session), jobs, account.clone());
        Answers { stream, account, io: Rc::clone(&self.io) }
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
    /// Who pays for them, and knows what is in doubt.
    pub account: Account,
    io: Rc<IoThread>,
}

impl<T> Answers<T> {
    /// The next answer, if it is there.
    pub fn poll(&mut self) -> Poll<Option<Result<T>>> {
        self.stream.poll()
    }

    /// The next answer; waits for it, open to interrupts.
    ///
    /// Errors: 53200 if what was received before is already too much.
    pub fn receive(&mut self) -> Result<Option<T>> {
        heap::check(0)?;
        wait::until(&self.io, || self.stream.poll()).transpose()
    }
}

/// Says that this is a worker. Nobody waits for what it asks: the requests of others go first. It has many tables in
/// memory at once.
pub fn poll() {
    POLLS.set(true);
    heap::serve_many();
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
pub fn totals() -> Vec<(pg_sys::Oid, Counts)> {
    SESSIONS.with_borrow(|sessions| {
        sessions.totals.iter().map(|(server, meter)| ((*server).into(), meter.snapshot())).collect()
    })
}
