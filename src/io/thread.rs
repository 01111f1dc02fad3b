//! The one thread that waits for the network.

use std::os::fd::RawFd;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::queue::{CAP, Queue};
use super::stream::{Stream, start};
use super::wake::Wake;
use crate::connector::machine::Job;
use crate::error::{Error, Kind, Result};
use crate::http::meter::Account;
use crate::http::session::Session;
use crate::query::page::Weigh;

/// How long dropping waits for the thread.
const PATIENCE: Duration = Duration::from_millis(100);

pub struct Io {
    thread: Handle,
    pub(super) wake: Arc<Wake>,
    ending: Mutex<Option<Ending>>,
}

struct Ending {
    ask: oneshot::Sender<()>,
    told: Receiver<()>,
}

impl Io {
    /// Starts the I/O thread. `spawn` must start what it is given on a new thread that takes no signals.
    pub fn start(spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> Result<()>) -> Result<Io> {
        let wake = Arc::new(Wake::new()?);
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime =
            runtime.map_err(|error| Error::new(Kind::Internal, format!("the I/O thread cannot be set up: {error}")))?;
        let thread = runtime.handle().clone();
        let (ask, asked) = oneshot::channel();
        let (tell, told) = sync_channel(1);
        spawn(Box::new(move || {
            // Tasks keep their panics to themselves; this is for the runtime's own.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
                let _ = runtime.block_on(asked);
                runtime.shutdown_background();
            }));
            let _ = tell.send(());
        }))?;
        Ok(Io { thread, wake, ending: Mutex::new(Some(Ending { ask, told })) })
    }

    /// Readable when something has arrived for any stream.
    pub fn descriptor(&self) -> RawFd {
        self.wake.descriptor()
    }

    /// Empties the descriptor, never blocks. Streams are to be polled afterwards, before waiting again.
    pub fn drain(&self) {
        self.wake.drain();
    }

    /// Runs jobs, at once as far as the session allows, and streams their results in order of arrival.
    /// The first requests are sent now.
    pub fn stream<T: Weigh + Send + 'static>(
        &self,
        session: Arc<Session>,
        jobs: Vec<Job<T>>,
        account: Account,
    ) -> Stream<T> {
        let queue = Queue::new(self.wake.clone(), CAP);
        start(&self.thread, session, jobs, account, queue)
    }

    /// Ends the thread: aborts all requests, closes all connections. Waits for it, but not for long.
    pub fn stop(&self, patience: Duration) {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Ending { ask, told }) = ending {
            let _ = ask.send(());
            let _ = told.recv_timeout(patience);
        }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        self.stop(PATIENCE);
    }
}
