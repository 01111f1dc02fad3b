//! Memory for an answer that is being received or read.
//!
//! While less than a quarter of what the process may hold is in use, everybody goes on. Above that one answer at a time is
//! received, and what was received is read first, so that several that would not fit together come one after the other.
//! Who finds no room waits as long as somebody may give some back: others who read, or the backend while it works. When
//! all that is left is to wait for one another, it fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Result;
use crate::heap;

/// The turn of the one that receives.
static ALONE: Semaphore = Semaphore::const_new(1);
/// How many have an answer that they want to read.
static READERS: AtomicUsize = AtomicUsize::new(0);
/// Whether the backend waits for answers, and so gives nothing back.
static WAITED_FOR: AtomicBool = AtomicBool::new(true);

/// So long nothing may be given back before there is no hope.
const PATIENCE: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(10);

/// Says whether the backend does nothing but wait.
pub fn waited_for(waits: bool) {
    WAITED_FOR.store(waits, Ordering::Relaxed);
}

/// Room to receive one answer; dropped once it is there.
#[derive(Default)]
pub struct Receiving {
    alone: Option<SemaphorePermit<'static>>,
}

impl Receiving {
    /// Waits until so many bytes more can be had. Errors: 53200 if they cannot.
    pub async fn wait(&mut self, bytes: usize) -> Result<()> {
        if heap::is_ample(bytes) {
            return Ok(());
        }
        if self.alone.is_none() {
            self.alone = ALONE.acquire().await.ok();
        }
        while READERS.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(GLANCE).await;
        }
        room(bytes).await
    }
}

/// Room to read one answer; dropped once that is done.
pub struct Reading(());

impl Reading {
    /// As [`Receiving::wait`].
    pub async fn begin(bytes: usize) -> Result<Reading> {
        READERS.fetch_add(1, Ordering::Relaxed);
        let reading = Reading(());
        room(bytes).await?;
        Ok(reading)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn room(bytes: usize) -> Result<()> {
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        let error = match heap::check(bytes) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let held = heap::held();
        if held < least || !WAITED_FOR.load(Ordering::Relaxed) {
            (least, since) = (held, Instant::now());
        }
        if heap::is_hopeless(bytes) || since.elapsed() > PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(GLANCE).await;
    }
}
