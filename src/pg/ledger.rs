//! What this backend has had written, until the local transaction is settled: the API does not roll back.
//!
//! A write counts with the (sub)transaction that made it. If that one commits, it is settled. If it aborts, a WARNING
//! says what stays, and `sequin.unconfirmed()` keeps it; so it does with writes of which nobody knows whether they
//! were done.
//! <https://www.postgresql.org/docs/current/xact.html>

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use pgrx::{PgLogLevel, pg_guard, pg_sys};

use super::catalog;
use super::error::{raise, tell};
use crate::error::{Error, Kind};

/// Writes that are kept for `sequin.unconfirmed()`; the oldest go first.
const KEPT: usize = 100_000;
/// Keys that a WARNING names.
const NAMED: usize = 10;

/// What was written, to what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deed {
    /// The server's OID.
    pub server: u32,
    /// The OID of the role that wrote.
    pub owner: u32,
    /// The API's object, or a path.
    pub object: Rc<str>,
    /// What messages call it: the object may be an id.
    pub title: Rc<str>,
    /// `inserted`, `updated`, …
    pub done: &'static str,
}

/// One write that stays in question.
#[derive(Clone, Debug)]
pub struct Unconfirmed {
    /// Microseconds since 2000-01-01, as Postgres counts.
    pub at: i64,
    pub deed: Deed,
    /// Whether the API did it; else nobody knows.
    pub done: bool,
    pub key: Option<Box<str>>,
    /// What was sent, as JSON, where the outcome is unknown.
    pub sent: Option<String>,
}

#[derive(Default)]
struct Ledger {
    listening: bool,
    open: Vec<Batch>,
    /// Keys in `open`: no more than are kept in the end.
    open_keys: usize,
    kept: VecDeque<Unconfirmed>,
}

/// Records written by one (sub)transaction that is not settled.
struct Batch {
    owner: pg_sys::SubTransactionId,
    at: i64,
    deed: Deed,
    /// How many there are. Of a very long transaction the oldest keys are forgotten.
    records: usize,
    keys: Vec<Option<Box<str>>>,
}

thread_local! {
    static LEDGER: RefCell<Ledger> = RefCell::default();
}

/// Notes that the API has written these records.
pub fn written(deed: &Deed, keys: Vec<Option<Box<str>>>) {
    // SAFETY: reads the state of the backend's transaction.
    let (owner, at) = unsafe { (pg_sys::GetCurrentSubTransactionId(), pg_sys::GetCurrentTimestamp()) };
    LEDGER.with_borrow_mut(|ledger| {
        ledger.listen();
        ledger.open_keys += keys.len();
        ledger.open.push(Batch { owner, at, deed: deed.clone(), records: keys.len(), keys });
        ledger.forget_oldest();
    });
}

/// Notes writes whose outcome nobody knows: their keys, if they have one, and what was sent.
pub fn unknown(deed: &Deed, writes: impl IntoIterator<Item = (Option<Box<str>>, String)>) {
    // SAFETY: reads the clock.
    let at = unsafe { pg_sys::GetCurrentTimestamp() };
    LEDGER.with_borrow_mut(|ledger| {
        for (key, sent) in writes {
            ledger.keep(Unconfirmed { at, deed: deed.clone(), done: false, key, sent: Some(sent) });
        }
    });
}

/// What stays in question of the writes that the current user may know of, the oldest first.
pub fn unconfirmed() -> Vec<Unconfirmed> {
    let kept: Vec<Unconfirmed> = LEDGER.with_borrow(|ledger| ledger.kept.iter().cloned().collect());
    let mut shown = BTreeMap::new();
    let mut may_see = |owner: u32| *shown.entry(owner).or_insert_with(|| catalog::has_role(owner.into()));
    kept.into_iter().filter(|entry| may_see(entry.deed.owner)).collect()
}

/// A deed of the current user.
pub fn deed(server: pg_sys::Oid, object: &str, title: &str, done: &'static str) -> Deed {
    // SAFETY: reads the backend's current user.
    let owner = unsafe { pg_sys::GetUserId() };
    Deed { server: server.to_u32(), owner: owner.to_u32(), object: Rc::from(object), title: Rc::from(title), done }
}

impl Ledger {
    fn listen(&mut self) {
        if !self.listening {
            // SAFETY: registers two plain functions, once per backend.
            unsafe {
                pg_sys::RegisterXactCallback(Some(on_transaction), ptr::null_mut());
                pg_sys::RegisterSubXactCallback(Some(on_subtransaction), ptr::null_mut());
            }
            self.listening = true;
        }
    }

    fn forget_oldest(&mut self) {
        let Ledger { open, open_keys, .. } = self;
        for batch in open.iter_mut().filter(|batch| !batch.keys.is_empty()) {
            if *open_keys <= KEPT {
                return;
            }
            *open_keys -= std::mem::take(&mut batch.keys).len();
        }
    }

    fn keep(&mut self, entry: Unconfirmed) {
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(entry);
    }

    /// Moves what an abort leaves behind to what is kept, and words the warning about it.
    fn abort(&mut self, of: impl Fn(pg_sys::SubTransactionId) -> bool) -> Option<(String, String)> {
        let (left, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.open).into_iter().partition(|it| of(it.owner));
        self.open_keys = open.iter().map(|batch| batch.keys.len()).sum();
        self.open = open;
        // How many records, and the keys of some of them.
        let mut deeds: BTreeMap<Deed, (usize, Vec<Box<str>>)> = BTreeMap::new();
        for Batch { at, deed, records, keys, .. } in left.into_iter().filter(|batch| batch.records > 0) {
            let (count, named) = deeds.entry(deed.clone()).or_default();
            *count += records;
            for key in keys {
                if named.len() < NAMED {
                    named.push(key.clone().unwrap_or_else(|| "no id".into()));
                }
                self.keep(Unconfirmed { at, deed: deed.clone(), done: true, key, sent: None });
            }
        }
        let count = |(deed, (count, _)): (&Deed, &(usize, Vec<_>))| format!("{count} {} {}", &*deed.title, deed.done);
        let name = |(deed, (count, named)): (&Deed, &(usize, Vec<Box<str>>))| {
            let mut line = format!("{} {}: {}", &*deed.title, deed.done, named.join(", "));
            if *count > named.len() {
                line.push_str(&format!(" and {} more", count - named.len()));
            }
            line
        };
        (!deeds.is_empty()).then(|| {
            (
                deeds.iter().map(count).collect::<Vec<_>>().join(", "),
                deeds.iter().map(name).collect::<Vec<_>>().join("\n"),
            )
        })
    }
}

fn warn(what: &str, (counts, names): &(String, String)) {
    let text = format!("{what} is rolled back here, but the API has written its records, and they stay: {counts}");
    tell(PgLogLevel::WARNING, &text, Some(names), Some("SELECT * FROM sequin.unconfirmed() lists them all."));
}

#[pg_guard]
unsafe extern "C-unwind" fn on_transaction(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent as Event;
    match event {
        Event::XACT_EVENT_COMMIT => LEDGER.with_borrow_mut(|ledger| {
            ledger.open.clear();
            ledger.open_keys = 0;
        }),
        Event::XACT_EVENT_ABORT => {
            if let Some(left) = LEDGER.with_borrow_mut(|ledger| ledger.abort(|_| true)) {
                warn("the transaction", &left);
            }
        }
        Event::XACT_EVENT_PRE_PREPARE if LEDGER.with_borrow(|ledger| !ledger.open.is_empty()) => {
            let text = "cannot PREPARE a transaction that has written to foreign tables of sequin_fdw";
            raise(&Error::new(Kind::NotSupported, text).hint("COMMIT it instead: the API has its records already."))
        }
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    own: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
    _arg: *mut c_void,
) {
    use pg_sys::SubXactEvent as Event;
    match event {
        Event::SUBXACT_EVENT_COMMIT_SUB => LEDGER.with_borrow_mut(|ledger| {
            for batch in ledger.open.iter_mut().filter(|batch| batch.owner == own) {
                batch.owner = parent;
            }
        }),
        Event::SUBXACT_EVENT_ABORT_SUB => {
            if let Some(left) = LEDGER.with_borrow_mut(|ledger| ledger.abort(|owner| owner == own)) {
                warn("a part of the transaction", &left);
            }
        }
        _ => {}
    }
}
