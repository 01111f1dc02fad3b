//! Memory for an answer that is being received or read.
//!
//! While less than half of what the process may hold is in use, everybody goes on. Above that one answer at a time does,
//! to its end, so that several that would not fit together come one after the other. Whoever has this turn and finds no
//! room waits as long as the others of the process give memory back; when they do not, it fails. It never waits for a turn
//! while it waits for the backend, so nobody waits in a circle.

use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Result;
use crate::heap;

/// The one turn, of the whole process.
static ALONE: Semaphore = Semaphore::const_new(1);

/// So long nothing may be given back before there is no hope.
const PATIENCE: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(10);

/// Room for one answer; dropped when it is received, or read.
#[derive(Default)]
pub struct Room {
    alone: Option<SemaphorePermit<'static>>,
}

impl Room {
    /// Waits until so many bytes more can be had. Errors: 53200 if they cannot.
    pub async fn wait(&mut self, bytes: usize) -> Result<()> {
        if heap::is_ample(bytes) {
            return Ok(());
        }
        if self.alone.is_none() {
            self.alone = ALONE.acquire().await.ok();
        }
        let (mut least, mut since) = (usize::MAX, Instant::now());
        loop {
            let error = match heap::check(bytes) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let held = heap::held();
            if held < least {
                (least, since) = (held, Instant::now());
            }
            if heap::is_hopeless(bytes) || since.elapsed() > PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}
