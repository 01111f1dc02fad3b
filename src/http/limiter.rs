//! When a request's turn comes: `max_concurrency` and `requests_per_second`.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The two limits of a server, as one backend keeps them.
pub struct Limiter {
    slots: Semaphore,
    rate: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
}

impl Limiter {
    pub fn new(max_concurrency: u32, requests_per_second: Option<u32>) -> Limiter {
        let slots = (max_concurrency.max(1) as usize).min(Semaphore::MAX_PERMITS);
        let rate = requests_per_second.and_then(NonZeroU32::new);
        Limiter {
            slots: Semaphore::new(slots),
            // As many as one second allows may go out at once.
            rate: rate.map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            clock: DefaultClock::default(),
        }
    }

    /// Waits for a turn. It lasts until the answer is dropped.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed, so there is always a permit.
        let permit = self.slots.acquire().await.ok();
        if let Some(rate) = &self.rate {
            // Not governor's own `until_ready`: its timer starts a thread, and that one would take signals.
            while let Err(early) = rate.check() {
                tokio::time::sleep(early.wait_time_from(self.clock.now())).await;
            }
        }
        permit
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn the_rate_lets_a_second_s_worth_through_and_then_spaces_the_rest() {
        let limiter = Limiter::new(100, Some(20));
        let start = Instant::now();
        for _ in 0..20 {
            drop(limiter.turn().await);
        }
        assert!(start.elapsed() < Duration::from_millis(150));
        for _ in 0..4 {
            drop(limiter.turn().await);
        }
        assert!(start.elapsed() >= Duration::from_millis(195));
    }

    #[tokio::test]
    async fn no_more_than_max_concurrency_hold_a_turn() {
        let limiter = Limiter::new(2, None);
        let (first, _second) = (limiter.turn().await, limiter.turn().await);
        let wait = Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, limiter.turn()).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(wait, limiter.turn()).await.is_ok());
    }
}
