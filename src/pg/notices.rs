//! What changes in the catalogue that a synced table may fail for: what failed may work now.
//!
//! Postgres tells each process of such changes when a transaction begins. A process that has missed some of the messages,
//! because others change very much, is told that anything may have changed.
//! <https://doxygen.postgresql.org/inval_8c.html>

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::c_int;
use std::time::{Duration, Instant};

use pgrx::pg_guard;
use pgrx::pg_sys::{self, Datum, Oid};

/// How often messages that were missed count as a change: where others change very much, they are missed all the time.
const AFTER_MISSED: Duration = Duration::from_secs(15);

/// So many relations that changed are remembered. Beyond that, any may have.
const MOST_ALTERED: usize = 1_000;

thread_local! {
    /// Whether something has changed that any table may fail for.
    static MENDED: Cell<bool> = const { Cell::new(false) };
    static MISSED: Cell<bool> = const { Cell::new(false) };
    /// When messages that were missed last counted as a change.
    static COUNTED: Cell<Option<Instant>> = const { Cell::new(None) };
    /// The relations whose definition, triggers or constraints have changed.
    static ALTERED: RefCell<HashSet<Oid>> = RefCell::default();
}

/// What has changed since the last time.
pub struct Notices {
    mended: bool,
    altered: HashSet<Oid>,
}

impl Notices {
    pub fn take() -> Notices {
        let late = || COUNTED.get().is_none_or(|at| at.elapsed() >= AFTER_MISSED);
        let missed = MISSED.get() && late();
        if missed {
            MISSED.set(false);
            COUNTED.set(Some(Instant::now()));
        }
        Notices { mended: MENDED.take() || missed, altered: ALTERED.take() }
    }

    /// Whether a synced table of these relations may work now.
    pub fn concern(&self, target: Oid, source: Oid) -> bool {
        self.mended || self.altered.contains(&target) || self.altered.contains(&source)
    }
}

/// Whether something has changed that any table may fail for.
pub fn are_there() -> bool {
    MENDED.get()
}

/// Says that any table may work now.
pub fn note() {
    MENDED.set(true);
}

/// Listens from now on to changes of the wrapper, of servers, user mappings, foreign tables and functions, and of relations.
pub fn listen() {
    use pg_sys::SysCacheIdentifier as Cache;
    for cache in [
        Cache::FOREIGNDATAWRAPPEROID,
        Cache::FOREIGNSERVEROID,
        Cache::USERMAPPINGOID,
        Cache::FOREIGNTABLEREL,
        Cache::PROCOID,
    ] {
        // SAFETY: a plain function, registered once in the life of the process.
        unsafe { pg_sys::CacheRegisterSyscacheCallback(cache as c_int, Some(note_changed), Datum::from(0)) };
    }
    // SAFETY: as above.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(note_altered), Datum::from(0)) };
}

#[pg_guard]
unsafe extern "C-unwind" fn note_altered(_argument: Datum, relation: Oid) {
    ALTERED.with_borrow_mut(|altered| {
        if relation == pg_sys::InvalidOid || altered.len() >= MOST_ALTERED {
            MISSED.set(true);
        } else {
            altered.insert(relation);
        }
    });
}

#[pg_guard]
unsafe extern "C-unwind" fn note_changed(_argument: Datum, _cache: c_int, hash: u32) {
    // Whatever row it is of; 0 is any.
    if hash == 0 {
        MISSED.set(true);
    } else {
        MENDED.set(true);
    }
}
