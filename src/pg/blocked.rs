//! Whether an error means that a statement of ours could not get a lock in time.
//!
//! SQLSTATE 55P03 alone does not tell: code of users raises it, too, and their code may wait for locks of its own. An
//! error is about a lock of ours if Postgres's lock timeout raised it, and no function of a user's was running then. The
//! checks of foreign keys, which are statements that a trigger of core's runs, belong to ours.

use std::cell::Cell;
use std::ffi::{CStr, c_void};

use pgrx::{PgSqlErrorCode, pg_guard, pg_sys};

use super::error::Stack;
use super::memory;
use super::spi::trigger_depth;

/// The function of core that ends a wait for a lock, <https://doxygen.postgresql.org/postgres_8c.html>.
const LOCK_TIMEOUT: &CStr = c"ProcessInterrupts";

type Callback = unsafe extern "C-unwind" fn(*mut c_void);

/// What the last error beneath [`watch`] was.
struct Watched {
    /// How deep in triggers the watch began.
    depth: i32,
    blocked: Cell<bool>,
}

/// Runs `work`. The second result says whether the last error in it, if there was one, is about a lock of ours.
pub fn watch<T>(work: impl FnOnce() -> T) -> (T, bool) {
    let watched = Watched { depth: trigger_depth(), blocked: Cell::new(false) };
    let mut callback = pg_sys::ErrorContextCallback {
        // SAFETY: reads a global of the one thread that runs Postgres code.
        previous: unsafe { pg_sys::error_context_stack },
        callback: Some(look),
        arg: (&raw const watched).cast_mut().cast(),
    };
    let pushed = Stack::put(&raw mut callback);
    let done = work();
    drop(pushed);
    (done, watched.blocked.get())
}

#[pg_guard]
unsafe extern "C-unwind" fn look(arg: *mut c_void) {
    // SAFETY: `watch` points to its own variable, and this callback is on the stack as long as that lives.
    let Some(watched) = (unsafe { arg.cast::<Watched>().as_ref() }) else { return };
    // SAFETY: something is being reported.
    let code = unsafe { pg_sys::geterrcode() };
    let is_lock = code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE as i32 && is_lock_timeout();
    watched.blocked.set(is_lock && is_ours(&frames_above(arg), trigger_depth() > watched.depth, awaited_mode()));
}

/// In which mode the lock was to be had that was waited for last.
fn awaited_mode() -> u32 {
    // SAFETY: this process's own entry in the table of processes, once it has one.
    unsafe { pg_sys::MyProc.as_ref() }.map_or(pg_sys::NoLock, |process| process.waitLockMode as u32)
}

/// Whether core's lock timeout raises what is being reported.
fn is_lock_timeout() -> bool {
    memory::briefly(|| {
        // SAFETY: something is being reported; the copy lasts as long as this memory.
        let function = unsafe { (*pg_sys::CopyErrorData()).funcname };
        // SAFETY: null, or a NUL-terminated string.
        !function.is_null() && unsafe { CStr::from_ptr(function) } == LOCK_TIMEOUT
    })
}

/// The callbacks that were put on the stack after the one with this argument, the latest first; those of other watches
/// left out.
fn frames_above(arg: *mut c_void) -> Vec<Callback> {
    let mut frames = Vec::new();
    // SAFETY: reads a global of the one thread that runs Postgres code.
    let mut next = unsafe { pg_sys::error_context_stack };
    // SAFETY: null, or a callback of a function that is still running.
    while let Some(frame) = unsafe { next.as_ref() } {
        if frame.arg == arg {
            break;
        }
        frames.extend(frame.callback.filter(|callback| !std::ptr::fn_addr_eq(*callback, look as Callback)));
        next = frame.previous;
    }
    frames
}

/// `frames`: what runs above the watch, the latest first. The one next to the watch is SPI's, which runs our statement.
/// The latest may be of the wait itself, as for a row: that is a wait for the end of a transaction, whose lock is to be
/// shared. Any other is of a function: of a user's, unless it is SPI, too, which runs the check of a foreign key in a
/// trigger.
fn is_ours(frames: &[Callback], in_trigger: bool, mode: u32) -> bool {
    let Some(&spi) = frames.last() else { return true };
    let is_spi = |frame: &&Callback| std::ptr::fn_addr_eq(**frame, spi);
    let statements = frames.iter().rev().take_while(is_spi).count();
    let of_wait = usize::from(mode == pg_sys::ShareLock);
    frames.len() - statements <= of_wait && (statements > 1 || !in_trigger)
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C-unwind" fn spi(_arg: *mut c_void) {
        std::hint::black_box(1);
    }

    unsafe extern "C-unwind" fn row(_arg: *mut c_void) {
        std::hint::black_box(2);
    }

    unsafe extern "C-unwind" fn function(_arg: *mut c_void) {
        std::hint::black_box(3);
    }

    #[test]
    fn a_wait_is_ours_unless_a_function_of_a_user_runs() {
        let ours = |frames: &[Callback], in_trigger| is_ours(frames, in_trigger, pg_sys::ShareLock);
        assert!(ours(&[], false), "a lock that no statement takes");
        assert!(ours(&[spi], false) && ours(&[row, spi], false), "a table's, a row's");
        assert!(ours(&[spi, spi], true) && ours(&[row, spi, spi], true), "a row that a foreign key refers to");
        assert!(!ours(&[function, spi], true), "a trigger that waits by itself");
        assert!(!is_ours(&[function, spi], false, pg_sys::ExclusiveLock), "a constraint that waits by itself");
        assert!(is_ours(&[spi], false, pg_sys::AccessExclusiveLock), "a table that is altered");
        assert!(!ours(&[spi, function, spi], true) && !ours(&[row, spi, function, spi], true), "a trigger's statement");
        assert!(!ours(&[spi, function, spi], false), "a statement of a function that a constraint calls");
    }
}
