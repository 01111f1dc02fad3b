//! Work that may fail without the transaction around it.

use std::panic::AssertUnwindSafe;

use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;

use super::blocked;
use crate::error::Result;

/// Why an attempt failed: an error of Postgres's, or of code that it ran.
pub struct Failed {
    pub error: Box<CaughtError>,
    /// Whether a lock that our own statement needed could not be had in time.
    pub blocked: bool,
}

/// Runs `work` in a subtransaction, which is rolled back if that fails. Errors of ours are in the inner result.
pub fn attempt<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<Result<T>, Failed> {
    // SAFETY: globals of the one thread that runs Postgres code.
    let (memory, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: within a transaction; it is ended below, whatever happens: Postgres would abort it alone, and leave the
    // transaction around it open.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(memory);
    }
    let (done, blocked) = blocked::watch(|| {
        PgTryBuilder::new(AssertUnwindSafe(|| Ok(work()))).catch_others(|error| Err(Box::new(error))).execute()
    });
    // SAFETY: ends what was begun above, and puts back what it has changed.
    unsafe {
        match &done {
            Ok(Ok(_)) => pg_sys::ReleaseCurrentSubTransaction(),
            _ => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = owner;
    }
    done.map_err(|error| Failed { error, blocked })
}
