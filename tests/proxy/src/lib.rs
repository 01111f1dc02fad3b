//! A proxy that makes HTTP go wrong on a schedule.
//!
//! It stands between a client and a server on loopback and cuts their byte streams into requests and answers. Each
//! request is put to a schedule, which says what is to happen to it: whether it is forwarded, and what the client sees
//! of the answer. What the client then believes and what the server has done can be compared. It knows HTTP/1.1 and no
//! API, and shares no code with either side.
//!
//! ```no_run
//! use proxy::{Action, Proxy, Schedule};
//!
//! let proxy = Proxy::start("http://127.0.0.1:8080")?;
//! proxy.set(Schedule::nth(0, Action::DropAfter).only(|request| request.method == "POST"));
//! println!("{}", proxy.url());
//! # Ok::<(), std::io::Error>(())
//! ```

mod connection;
mod journal;
mod message;
mod proxy;
mod schedule;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use journal::Entry;
pub use proxy::Proxy;
pub use schedule::{Action, Dice, Request, Schedule};

/// A schedule that panics must not take the proxy with it: the state behind a poisoned lock is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
