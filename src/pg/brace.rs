//! Memory to report that there is none.
//!
//! When Postgres raises an error beneath Rust, pgrx copies it into the current memory context. If there is no memory for
//! the copy, that is an error as well, which is copied in turn, until Postgres's stack of errors is full: PANIC, and the
//! whole cluster restarts. So when an error of that kind is raised, what is kept for it is given back before it is copied.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;

use pgrx::{PgMemoryContexts, PgSqlErrorCode, pg_sys};

use super::memory::{palloc, within};
use crate::heap;

unsafe extern "C-unwind" {
    /// Without the guard of pgrx, which would be one more level of errors.
    fn geterrcode() -> c_int;
}

thread_local! {
    /// The callback. It lasts as long as the backend.
    static CALLBACK: Cell<*mut pg_sys::ErrorContextCallback> = const { Cell::new(ptr::null_mut()) };
}

/// Sees to it that errors find memory, until the statement ends. To be called before Postgres is asked for much.
///
/// The callback goes to the very end of Postgres's stack of them, where it is in nobody's way.
pub fn brace() {
    if CALLBACK.get().is_null() {
        let callback =
            pg_sys::ErrorContextCallback { previous: ptr::null_mut(), callback: Some(on_error), arg: ptr::null_mut() };
        // SAFETY: a context that lasts as long as the backend.
        CALLBACK.set(unsafe { within(PgMemoryContexts::TopMemoryContext.value(), || palloc(callback)) });
    }
    let mut link = &raw mut pg_sys::error_context_stack;
    // SAFETY: the stack of the one thread that runs Postgres code; its callbacks live as long as they are on it.
    unsafe {
        while !(*link).is_null() {
            if *link == CALLBACK.get() {
                return;
            }
            link = &raw mut (**link).previous;
        }
        *link = CALLBACK.get();
    }
}

unsafe extern "C-unwind" fn on_error(_arg: *mut c_void) {
    // SAFETY: called while an error is being reported.
    if unsafe { geterrcode() } == PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int {
        heap::release_for_error();
    }
}
