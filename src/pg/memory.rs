//! Values in Postgres's memory contexts.

use std::ffi::{CStr, c_char};

use pgrx::{PgMemoryContexts, pg_sys};

/// A C string in the current memory context. A NUL, which would end it early, is left out.
pub fn c_text(text: &str) -> *mut c_char {
    let text = text.replace('\0', "");
    // SAFETY: `pstrdup` copies a string that holds no NUL into memory that Postgres owns.
    unsafe { PgMemoryContexts::CurrentMemoryContext.pstrdup(&text) }
}

/// A Rust value that is dropped when the memory context is reset or deleted.
///
/// The pointer is valid until then. This is how executor state dies with its query: on success, on error
/// and on abort.
pub fn keep<T>(context: pg_sys::MemoryContext, value: T) -> *mut T {
    PgMemoryContexts::For(context).leak_and_drop_on_delete(value)
}

/// The text of a C string; what is not UTF-8 is replaced.
///
/// # Safety
/// The pointer must be null or lead to a NUL-terminated string.
pub unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by the contract above.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
