//! Waiting for the I/O thread, so that a cancel, a timeout or a terminated backend ends the wait at once.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use pgrx::{check_for_interrupts, pg_guard, pg_sys};

use super::brace::brace;
use super::version;
use crate::error::{Error, Kind, Result};
use crate::heap;
use crate::http::room;
use crate::io::Io;

/// The I/O thread, and what is waited for meanwhile.
pub struct IoThread {
    pub io: Io,
    /// Our latch, the thread's descriptor, and the postmaster's death. Lasts as long as the backend.
    events: *mut pg_sys::WaitEventSet,
}

unsafe extern "C-unwind" {
    /// Whether the client is still connected; libpq/libpq.h, which the bindings leave out.
    fn pq_check_connection() -> bool;
}

/// How often a backend looks whether its client is still there. Postgres itself looks only where
/// client_connection_check_interval says so, and requests that nobody waits for still cost quota.
const GLANCE: Duration = Duration::from_secs(1);

thread_local! {
    /// The backend's I/O thread. Only the thread that runs Postgres code comes here.
    static IO: RefCell<Option<Rc<IoThread>>> = const { RefCell::new(None) };
    /// When the backend last looked for its client.
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The I/O thread, started when first needed: a postmaster that preloads the library must not have one,
/// since threads do not survive a fork.
pub fn io() -> Result<Rc<IoThread>> {
    IO.with_borrow_mut(|slot| {
        if let Some(io) = slot {
            return Ok(Rc::clone(io));
        }
        heap::check(0)?;
        let io = Io::start(spawn)?;
        let descriptor = io.descriptor();
        // SAFETY: a set with room for three events, which live as long as it does.
        let events = unsafe {
            let events = version::create_wait_event_set(3);
            let add = |what, descriptor, latch| {
                pg_sys::AddWaitEventToSet(events, what, descriptor, latch, ptr::null_mut());
            };
            add(pg_sys::WL_LATCH_SET, pg_sys::PGINVALID_SOCKET, pg_sys::MyLatch);
            add(pg_sys::WL_EXIT_ON_PM_DEATH, pg_sys::PGINVALID_SOCKET, ptr::null_mut());
            add(pg_sys::WL_SOCKET_READABLE, descriptor, ptr::null_mut());
            events
        };
        let io = Rc::new(IoThread { io, events });
        // SAFETY: registers a plain function once per backend.
        unsafe { pg_sys::before_shmem_exit(Some(stop), pg_sys::Datum::from(0)) };
        *slot = Some(Rc::clone(&io));
        Ok(io)
    })
}

/// Starts a thread that gets no signals: Postgres's handlers must run on Postgres's thread.
fn spawn(work: Box<dyn FnOnce() + Send>) -> Result<()> {
    // A new thread inherits the mask, so there is no moment at which a signal could reach it.
    // SAFETY: two live signal sets; the old mask is put back whether or not the thread started.
    let started = unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let started = std::thread::Builder::new().name("sequin_fdw io".to_owned()).spawn(work);
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        started
    };
    // It is memory, or the number of threads, that is short.
    started.map(drop).map_err(|error| {
        Error::new(Kind::OutOfMemory, format!("could not start the I/O thread: {error}"))
            .hint("Give the server more memory or threads, or have it run fewer processes.")
    })
}

#[pg_guard]
unsafe extern "C-unwind" fn stop(_code: i32, _arg: pg_sys::Datum) {
    if let Some(io) = IO.with_borrow_mut(Option::take) {
        io.io.stop(Duration::from_millis(100));
    }
}

/// Calls `poll` until it is ready, sleeping in between until the I/O thread wakes us.
///
/// Interrupts are served at every turn: they leave by unwinding, so whatever is on the stack is dropped.
pub fn until<T>(thread: &IoThread, mut poll: impl FnMut() -> Poll<T>) -> T {
    let timeout = if has_client() { GLANCE.as_millis() as i64 } else { -1 };
    brace();
    loop {
        look_for_client();
        check_for_interrupts!();
        if let Poll::Ready(value) = poll() {
            return value;
        }
        sleep(thread, timeout);
    }
}

/// Whether this process serves a client; workers do not.
fn has_client() -> bool {
    // SAFETY: reads a global of the backend.
    unsafe { !pg_sys::MyProcPort.is_null() }
}

/// Once in a while, has the next check for interrupts end the backend if its client is gone: as Postgres does, with
/// FATAL 08006 in the log.
/// <https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-CLIENT-CONNECTION-CHECK-INTERVAL>
fn look_for_client() {
    if !has_client() || LOOKED.get().is_some_and(|at| at.elapsed() < GLANCE) {
        return;
    }
    LOOKED.set(Some(Instant::now()));
    // SAFETY: a backend with a client has a socket to look at; an error of Postgres's unwinds.
    let connected = unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| pq_check_connection()) };
    if !connected {
        // SAFETY: flags of the one thread that runs Postgres code, which signal handlers set as well.
        unsafe {
            pg_sys::ClientConnectionLost = 1;
            pg_sys::InterruptPending = 1;
        }
    }
}

/// Sleeps until the I/O thread or somebody else wakes us, or for so long. Serves no interrupts.
pub fn pause(thread: &IoThread, time: Duration) {
    // Rounded up, lest a wait of less than a millisecond be none.
    sleep(thread, i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2) + 1);
}

/// `timeout` in milliseconds; -1: none.
fn sleep(thread: &IoThread, timeout: i64) {
    let mut event = pg_sys::WaitEvent::default();
    room::waited_for(true);
    // SAFETY: a set that lasts as long as the backend, and room for one event.
    unsafe { pg_sys::WaitEventSetWait(thread.events, timeout, &mut event, 1, pg_sys::PG_WAIT_EXTENSION) };
    room::waited_for(false);
    let happened = event.events;
    if happened & pg_sys::WL_LATCH_SET != 0 {
        // SAFETY: our own latch.
        unsafe { pg_sys::ResetLatch(pg_sys::MyLatch) };
    }
    if happened & pg_sys::WL_SOCKET_READABLE != 0 {
        thread.io.drain();
    }
}
