//! The allocator of all that is Rust here: the system's, which is counted, and for which address space stands ready.
//!
//! Code that cannot fail calls `handle_alloc_error` when it gets no memory, and that aborts the process: Postgres then
//! restarts the whole cluster. So when even what stood ready is spent, and nobody has said that a refusal will do, the
//! backend ends here, as it would by FATAL.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

use pgrx::{PgLogLevel, PgSqlErrorCode};

use crate::heap;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

struct Counted;

/// What ends the backend when there is no memory left.
static LAST_RESORT: OnceLock<fn()> = OnceLock::new();

/// Has a lack of memory end this process alone. Called when Postgres has loaded the library.
pub fn install() {
    LAST_RESORT.get_or_init(|| give_up);
}

unsafe extern "C-unwind" {
    // utils/elog.h, without the guards of pgrx: these do not come back.
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    fn errcode(code: c_int) -> c_int;
    fn errmsg(format: *const c_char, ...) -> c_int;
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
}

// SAFETY: every block is the system's own, and so are all promises about it.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout.
        let block = insist(|| unsafe { System.alloc(layout) });
        if !block.is_null() {
            heap::took(layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout.
        let block = insist(|| unsafe { System.alloc_zeroed(layout) });
        if !block.is_null() {
            heap::took(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's block and layout.
        unsafe { System.dealloc(block, layout) };
        heap::gave(layout.size());
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's block, layout and size. A block that could not be resized is still whole.
        let resized = insist(|| unsafe { System.realloc(block, layout, size) });
        if !resized.is_null() {
            heap::gave(layout.size());
            heap::took(size);
        }
        resized
    }
}

/// Asks for memory; once more after what was set aside has been given back.
#[inline]
fn insist(ask: impl Fn() -> *mut u8) -> *mut u8 {
    let block = ask();
    if block.is_null() { ask_again(&ask) } else { block }
}

#[cold]
fn ask_again(ask: &dyn Fn() -> *mut u8) -> *mut u8 {
    if heap::release() {
        let block = ask();
        if !block.is_null() {
            return block;
        }
    }
    if let Some(give_up) = LAST_RESORT.get().filter(|_| !heap::may_fail()) {
        give_up();
    }
    std::ptr::null_mut()
}

/// Ends this backend, and no other.
fn give_up() {
    const MESSAGE: &CStr = c"out of memory";
    if !is_first_thread() {
        // Nothing but the backend itself may call Postgres. It gets SIGTERM, as it would from pg_terminate_backend, and this
        // thread stays where it is until the process ends.
        // SAFETY: signals this very process.
        unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
        loop {
            std::thread::park();
        }
    }
    // SAFETY: FATAL ends the process in an orderly way, without unwinding and without coming back.
    unsafe {
        errstart(PgLogLevel::FATAL as c_int, std::ptr::null());
        errcode(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int);
        errmsg(MESSAGE.as_ptr());
        errfinish(std::ptr::null(), 0, std::ptr::null());
    }
}

/// Whether this is the thread that runs Postgres code.
fn is_first_thread() -> bool {
    // SAFETY: asks for this thread's and this process's number.
    #[cfg(target_os = "linux")]
    return unsafe { libc::gettid() == libc::getpid() };
    // SAFETY: asks about this thread.
    #[cfg(not(target_os = "linux"))]
    return unsafe { libc::pthread_main_np() != 0 };
}
