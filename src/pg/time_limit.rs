//! How long code of a table's owner may hold up a worker, which serves other tables as well.
//!
//! What takes longer than its limit is cancelled, as `statement_timeout` does. Code can catch that and go on. Then the
//! process is ended, which code cannot catch, and what it leaves in the [`registry`](super::registry) tells the next worker
//! whose code it was.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pgrx::pg_sys::{self, Oid};

/// How long code may go on after it was cancelled.
const GRACE: Duration = Duration::from_secs(1);

/// Work that code of a table's owner may be part of.
#[derive(Clone, Copy)]
pub struct Work {
    pub table: Oid,
    /// How many records it is to store.
    pub records: usize,
}

thread_local! {
    static UNDER_WAY: Cell<Option<Work>> = const { Cell::new(None) };
    /// The timeout that ends the process, once Postgres has given it a number.
    static LAST_RESORT: Cell<Option<c_int>> = const { Cell::new(None) };
}

/// Whether this process is ended since code did not end when it was cancelled.
static OVERRUN: AtomicBool = AtomicBool::new(false);

unsafe extern "C-unwind" {
    // The bindings leave out `utils/timeout.h`.
    fn enable_timeout_after(timeout: c_int, milliseconds: c_int);
    fn disable_timeout(timeout: c_int, keep_indicator: bool);
    fn RegisterTimeout(timeout: c_int, handler: extern "C" fn()) -> c_int;
}

/// The fourth of `TimeoutId`, in every version.
const STATEMENT_TIMEOUT: c_int = 3;

/// `RegisterTimeout` gives a number of its own to whatever is beyond those of core.
const ANY_NUMBER: c_int = 1_000;

/// Runs `work`, cancels it after `limit`, and ends the process if that is of no avail. The second result says whether the
/// limit was reached.
pub fn within<T>(what: Work, limit: Duration, work: impl FnOnce() -> T) -> (T, bool) {
    let last_resort = LAST_RESORT.get().unwrap_or_else(|| {
        // SAFETY: a plain function; timeouts work from the moment that a process is connected to a database.
        let number = unsafe { RegisterTimeout(ANY_NUMBER, end_process) };
        LAST_RESORT.set(Some(number));
        number
    });
    UNDER_WAY.set(Some(what));
    let begin = Instant::now();
    for (timeout, after) in [(STATEMENT_TIMEOUT, limit), (last_resort, limit + GRACE)] {
        // SAFETY: a timeout with a handler; that of statements is of no other use to a process of ours.
        unsafe { enable_timeout_after(timeout, after.as_millis() as c_int) };
    }
    let done = work();
    for timeout in [last_resort, STATEMENT_TIMEOUT] {
        // SAFETY: as above.
        unsafe { disable_timeout(timeout, false) };
    }
    // SAFETY: a flag of this process: the limit may have been reached in the last moment.
    unsafe { pg_sys::QueryCancelPending = 0 };
    // If the process is about to end, whoever comes next is to know for what.
    if !OVERRUN.load(Ordering::Relaxed) {
        UNDER_WAY.set(None);
    }
    (done, begin.elapsed() >= limit)
}

/// Called by the handler of a signal. As SIGTERM, it waits until interrupts may be served.
extern "C" fn end_process() {
    OVERRUN.store(true, Ordering::Relaxed);
    // SAFETY: a function that signal handlers may call, and a signal that this process handles.
    unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
}

/// What this process, which is on its way out, is ended for.
pub fn overrun() -> Option<Work> {
    UNDER_WAY.get().filter(|_| OVERRUN.load(Ordering::Relaxed))
}
