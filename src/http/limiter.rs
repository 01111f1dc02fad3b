//! When a request's turn comes: `max_concurrency` of one backend, and the rates that an API allows, which all backends
//! keep together.
//!
//! A rate of five in a second is five slots in shared memory. A request takes a slot before it is sent and leaves it
//! when it is answered; a second later the slot is free. So no six requests reach the API within a second, however long
//! each is on its way. Nothing is locked: a slot is one word.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connector::contract::Rate;
use crate::error::{Error, Kind, Result};

/// Words of a bucket: its key, until when it is closed, until when polls stand back, and one for each slot.
const BUCKET: usize = 64;
const SLOTS: usize = BUCKET - 3;
const BUCKETS: usize = 4096;
/// How far from its first place a bucket is looked for. Beyond that two rates share one, which makes both slower.
const PROBES: usize = 32;

/// A request that was sent so long ago has arrived, or never will. So what a killed process held comes free.
const LEASE: Micros = 10_000_000;
/// Polls stand back for users so long, and no longer: else they would never come.
const COURTESY: Duration = Duration::from_secs(10);
/// No rate is closed longer: then the API is asked again, whatever it said, and however the clock was set meanwhile.
const FARTHEST: Micros = 3_600_000_000;
/// How late a request that has not waited comes to a slot that is free again, at most.
const LAG: Duration = Duration::from_millis(20);

/// Microseconds since 1970: a time that all processes share.
type Micros = u64;

/// The memory of all rates.
#[derive(Clone, Copy)]
pub struct Buckets(&'static [AtomicU64]);

impl Buckets {
    pub const WORDS: usize = BUCKET * BUCKETS;

    /// `words`: [`Buckets::WORDS`] of them, all 0 at the very first.
    pub fn new(words: &'static [AtomicU64]) -> Buckets {
        Buckets(words)
    }

    /// Of one process alone.
    #[cfg(test)]
    pub fn private() -> Buckets {
        Buckets((0..Self::WORDS).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak())
    }

    fn find(self, key: u64) -> Bucket {
        let home = key as usize % BUCKETS;
        let places = (0..PROBES).map(|step| (home + step) % BUCKETS).chain([home]);
        let mut bucket = Bucket(&[]);
        for place in places {
            bucket = Bucket(&self.0[place * BUCKET..][..BUCKET]);
            let taken = bucket.0[0].compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() || taken == Err(key) {
                break;
            }
        }
        bucket
    }
}

#[derive(Clone, Copy)]
struct Bucket(&'static [AtomicU64]);

impl Bucket {
    fn closed_until(self) -> &'static AtomicU64 {
        &self.0[1]
    }

    fn polls_wait_until(self) -> &'static AtomicU64 {
        &self.0[2]
    }

    /// As many as a rate has, and how long each rests.
    fn slots(self, rate: &Rate) -> (&'static [AtomicU64], Micros) {
        let Some(requests) = rate.requests else { return (&[], 0) };
        let slots = (requests as usize).clamp(1, SLOTS);
        let window = micros(rate.window) * slots as u64 / u64::from(requests.max(1));
        (&self.0[3..][..slots], window)
    }
}

/// A slot that a request has.
struct Held {
    slot: &'static AtomicU64,
    before: u64,
    now: u64,
}

impl Held {
    /// As if it had not been taken.
    fn undo(self) {
        let _ = self.slot.compare_exchange(self.now, self.before, Ordering::AcqRel, Ordering::Relaxed);
        std::mem::forget(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever took it over after the lease keeps it.
        let _ = self.slot.compare_exchange(self.now, used(now()), Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// A slot's word while a request has it: since when.
fn in_use(since: Micros) -> u64 {
    since << 1 | 1
}

/// A slot's word when no request has it any more: since when.
fn used(since: Micros) -> u64 {
    since << 1
}

/// When a slot is free, at the earliest.
fn free_at(word: u64, now: Micros, window: Micros) -> Micros {
    let (since, held) = (word >> 1, word & 1 == 1);
    if since > now + micros(Duration::from_secs(1)) {
        // The clock was set back.
        return now;
    }
    match held {
        false => since + window,
        true if since + LEASE <= now => now,
        true => (now + window).min(since + LEASE),
    }
}

/// A request's leave to be sent. It lasts until the answer is dropped.
pub struct Turn<'l> {
    _held: Vec<Held>,
    /// The bucket that a refusal closes.
    first: Option<Bucket>,
    _permit: Option<SemaphorePermit<'l>>,
}

impl Turn<'_> {
    /// The API wants to be left alone for so long: by all that this rate holds for.
    pub fn close(&self, time: Duration) {
        if let Some(bucket) = self.first {
            let until = now() + micros(time).min(FARTHEST);
            bucket.closed_until().fetch_max(until, Ordering::AcqRel);
        }
    }
}

/// The limits of a server, as one backend keeps them.
pub struct Limiter {
    concurrent: Semaphore,
    buckets: Buckets,
    /// What tells these credentials from others.
    credentials: u64,
    /// No request waits longer.
    patience: Duration,
}

/// Why it is no request's turn.
struct Wait<'r> {
    rate: &'r Rate,
    until: Micros,
    closed: bool,
}

impl Limiter {
    pub fn new(max_concurrency: u32, buckets: Buckets, credentials: u64, patience: Duration) -> Limiter {
        let concurrent = (max_concurrency.max(1) as usize).min(Semaphore::MAX_PERMITS);
        Limiter { concurrent: Semaphore::new(concurrent), buckets, credentials, patience }
    }

    /// Waits for a turn under these rates of the API at `host`. A poll stands back for all others.
    ///
    /// Errors: 53400 if the wait is or becomes longer than the patience.
    pub async fn turn(&self, host: &str, rates: &[Rate], polls: bool) -> Result<Turn<'_>> {
        let buckets: Vec<_> = rates.iter().map(|rate| (rate, self.bucket(host, rate))).collect();
        let first = buckets.first().map(|(_, bucket)| *bucket);
        let mut waited = Duration::ZERO;
        loop {
            // The semaphore is never closed, so there is always a permit. Who waits for a rate holds none: requests under
            // other rates pass.
            let permit = self.concurrent.acquire().await.ok();
            let time = now();
            let stands_back = polls && waited < COURTESY;
            let wait = match take(&buckets, time, stands_back) {
                Ok(held) => return Ok(Turn { _held: held, first, _permit: permit }),
                Err(wait) => wait,
            };
            drop(permit);
            let left = Duration::from_micros(wait.until.saturating_sub(time).max(1_000));
            if waited + left > self.patience {
                return Err(used_up(&wait, self.patience));
            }
            let left = left + lag(wait.rate.window, waited);
            tokio::time::sleep(left).await;
            waited += left;
        }
    }

    fn bucket(&self, host: &str, rate: &Rate) -> Bucket {
        let mut hasher = DefaultHasher::new();
        (host, &rate.of, rate.per_credential.then_some(self.credentials)).hash(&mut hasher);
        self.buckets.find(hasher.finish().max(1))
    }
}

/// Of all that wait for a slot, in whatever process, those who have waited longest are there first.
fn lag(window: Duration, waited: Duration) -> Duration {
    let windows = waited.as_secs_f64() / window.as_secs_f64().max(0.001);
    LAG.min(window / 20).div_f64(1.0 + windows)
}

/// A slot of each bucket, or none of any.
fn take<'r>(
    buckets: &[(&'r Rate, Bucket)],
    now: Micros,
    stands_back: bool,
) -> std::result::Result<Vec<Held>, Wait<'r>> {
    let mut held = Vec::with_capacity(buckets.len());
    for (rate, bucket) in buckets {
        match take_one(rate, *bucket, now, stands_back) {
            Ok(slot) => held.extend(slot),
            Err(wait) => {
                held.into_iter().for_each(Held::undo);
                return Err(wait);
            }
        }
    }
    Ok(held)
}

fn take_one(
    rate: &Rate,
    bucket: Bucket,
    now: Micros,
    stands_back: bool,
) -> std::result::Result<Option<Held>, Wait<'_>> {
    let closed = bucket.closed_until().load(Ordering::Acquire);
    if closed > now && closed <= now + FARTHEST {
        return Err(Wait { rate, until: closed, closed: true });
    }
    let (slots, window) = bucket.slots(rate);
    if slots.is_empty() {
        return Ok(None);
    }
    let polls_wait = bucket.polls_wait_until().load(Ordering::Acquire);
    if stands_back && polls_wait > now && polls_wait <= now + FARTHEST {
        return Err(Wait { rate, until: polls_wait, closed: false });
    }
    // A poll leaves a slot to those who do not stand back.
    let spare = usize::from(stands_back && slots.len() > 1);
    loop {
        let mut words: Vec<_> = slots
            .iter()
            .map(|slot| {
                let word = slot.load(Ordering::Acquire);
                (free_at(word, now, window), word, slot)
            })
            .collect();
        words.sort_unstable_by_key(|(free, ..)| *free);
        let (until, ..) = words[spare];
        if until > now {
            if !stands_back {
                bucket.polls_wait_until().fetch_max(until + window / slots.len() as u64, Ordering::AcqRel);
            }
            return Err(Wait { rate, until, closed: false });
        }
        let (_, before, slot) = words[0];
        let taken = in_use(now);
        if slot.compare_exchange(before, taken, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return Ok(Some(Held { slot, before, now: taken }));
        }
    }
}

fn used_up(wait: &Wait<'_>, patience: Duration) -> Error {
    let of = &wait.rate.of;
    let until = DateTime::<Utc>::from(SystemTime::UNIX_EPOCH + Duration::from_micros(wait.until));
    let until = until.format("%Y-%m-%d %H:%M:%S UTC");
    if wait.closed {
        return Error::new(Kind::Quota, format!("the API takes no requests to {of} before {until}"))
            .hint("It was asked too often. Try again then.");
    }
    let per = wait.rate.requests.unwrap_or_default();
    let message = format!("no request to {of} could be sent within {} s", patience.as_secs());
    Error::new(Kind::Quota, message)
        .detail(format!("{per} requests in {} s are allowed, and others take them all", wait.rate.window.as_secs_f64()))
        .hint("Try again when fewer ask at once.")
}

fn now() -> Micros {
    micros(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX >> 2).min(u64::MAX >> 2)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    fn rate(requests: u32, window: u64) -> Rate {
        let window = Duration::from_millis(window);
        Rate { of: "base a".to_owned(), per_credential: false, requests: Some(requests), window }
    }

    fn limiter(buckets: Buckets) -> Limiter {
        Limiter::new(100, buckets, 7, Duration::from_secs(60))
    }

    /// When so many requests are sent, each of which takes its time.
    async fn send(limiter: &Limiter, rates: &[Rate], requests: usize, time: Duration) -> Vec<Instant> {
        let mut sent = Vec::new();
        for _ in 0..requests {
            let turn = limiter.turn("host", rates, false).await.unwrap();
            sent.push(Instant::now());
            tokio::time::sleep(time).await;
            sent.push(Instant::now());
            drop(turn);
        }
        sent
    }

    #[tokio::test]
    async fn a_window_s_worth_goes_at_once_and_no_window_ever_holds_more_whoever_sends() {
        let buckets = Buckets::private();
        let rates = [rate(5, 100)];
        let time = Duration::from_millis(3);
        let (one, two) = (limiter(buckets), limiter(buckets));
        let start = Instant::now();
        let (one, two) = tokio::join!(send(&one, &rates, 20, time), send(&two, &rates, 20, time));
        let mut sent: Vec<_> = one.chunks(2).chain(two.chunks(2)).map(|times| (times[0], times[1])).collect();
        sent.sort();
        assert!(sent[4].0 - start < Duration::from_millis(90));
        for six in sent.windows(6) {
            // Wherever the first arrived while it was on its way.
            assert!(six[5].0 - six[0].1 >= Duration::from_millis(99), "{:?}", six[5].0 - six[0].1);
        }
        // Eight windows' worth, and no more than their time.
        assert!((700..1500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn credentials_count_for_themselves_where_the_api_counts_so() {
        let buckets = Buckets::private();
        let mine = limiter(buckets);
        let yours = Limiter::new(100, buckets, 8, Duration::from_millis(50));
        for (per_credential, together) in [(true, false), (false, true)] {
            let rates = [Rate { of: format!("{per_credential}"), per_credential, ..rate(1, 10_000) }];
            let _turn = mine.turn("host", &rates, false).await.unwrap();
            assert_eq!(yours.turn("host", &rates, false).await.is_err(), together);
            assert!(yours.turn("another", &rates, false).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_closed_rate_is_closed_for_all_and_beyond_the_patience_an_error_says_until_when() {
        let buckets = Buckets::private();
        let (one, two) = (limiter(buckets), limiter(buckets));
        let rates = [rate(5, 1000)];
        one.turn("host", &rates, false).await.unwrap().close(Duration::from_millis(80));
        let start = Instant::now();
        two.turn("host", &rates, false).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(75), "{:?}", start.elapsed());
        one.turn("host", &rates, false).await.unwrap().close(Duration::from_secs(3600));
        let error = two.turn("host", &rates, false).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Quota);
        assert!(error.message().contains("base a before 20") && error.message().ends_with("UTC"), "{error}");
        // Closing is all there is to a rate without a number.
        let any = [Rate { of: "any".to_owned(), requests: None, ..rate(1, 1) }];
        for _ in 0..100 {
            one.turn("host", &any, false).await.unwrap();
        }
        one.turn("host", &any, false).await.unwrap().close(Duration::from_secs(3600));
        assert!(two.turn("host", &any, false).await.is_err());
    }

    #[tokio::test]
    async fn polls_leave_a_slot_and_stand_back_while_others_wait() {
        let buckets = Buckets::private();
        let (user, worker) = (limiter(buckets), Arc::new(limiter(buckets)));
        let rates = [rate(2, 200)];
        let poll = worker.turn("host", &rates, true).await.unwrap();
        let start = Instant::now();
        drop(user.turn("host", &rates, false).await.unwrap());
        assert!(start.elapsed() < Duration::from_millis(50), "a slot is left");
        drop(poll);
        let polling = {
            let (worker, rates) = (worker.clone(), rates.clone());
            tokio::spawn(async move { worker.turn("host", &rates, true).await.map(|_| Instant::now()).unwrap() })
        };
        let mut last = Instant::now();
        for _ in 0..6 {
            drop(user.turn("host", &rates, false).await.unwrap());
            last = Instant::now();
        }
        assert!(polling.await.unwrap() > last, "the poll has waited");
    }

    #[tokio::test]
    async fn a_second_rate_that_is_used_up_takes_nothing_of_the_first() {
        let buckets = Buckets::private();
        let limiter = Limiter::new(100, buckets, 7, Duration::from_millis(20));
        let (first, second) = (rate(2, 10_000), Rate { of: "token".to_owned(), ..rate(1, 10_000) });
        let both = [first.clone(), second];
        let _turn = limiter.turn("host", &both, false).await.unwrap();
        assert!(limiter.turn("host", &both, false).await.is_err());
        assert!(limiter.turn("host", &[first], false).await.is_ok());
    }

    #[test]
    fn a_slot_of_a_process_that_died_or_of_a_later_clock_is_free() {
        let (now, window) = (1_000_000_000_000, 1_000_000);
        assert_eq!(free_at(in_use(now - LEASE), now, window), now);
        assert_eq!(free_at(in_use(now - 5), now, window), now + window);
        assert_eq!(free_at(used(now - 5), now, window), now - 5 + window);
        assert_eq!(free_at(used(now + 3_600_000_000), now, window), now);
        assert!(free_at(0, now, window) <= now);
    }

    #[test]
    fn more_rates_than_the_memory_has_places_for_share_some() {
        let buckets = Buckets::private();
        let limiter = limiter(buckets);
        let found: Vec<_> = (0..2 * BUCKETS)
            .map(|n| {
                let rate = Rate { of: n.to_string(), ..rate(1, 1) };
                let bucket = limiter.bucket("host", &rate);
                assert!(std::ptr::eq(bucket.0, limiter.bucket("host", &rate).0), "found again");
                bucket.0.as_ptr() as usize
            })
            .collect();
        let distinct: std::collections::HashSet<_> = found.iter().collect();
        assert!(distinct.len() > BUCKETS * 9 / 10, "{}", distinct.len());
    }

    #[test]
    fn who_has_waited_longer_comes_sooner_to_a_slot_and_nobody_much_too_late() {
        for window in [0, 50, 1_000, 60_000].map(Duration::from_millis) {
            let lags: Vec<_> = (0..8).map(|waits| lag(window, waits * window.max(LAG))).collect();
            assert!(lags[0] <= LAG && lags[0] <= window / 20, "{lags:?}");
            assert!(window.is_zero() || lags.is_sorted_by(|sooner, later| sooner > later), "{lags:?}");
        }
    }

    #[tokio::test]
    async fn a_request_that_waits_for_a_rate_keeps_nobody_else_from_being_sent() {
        let limiter = Limiter::new(1, Buckets::private(), 7, Duration::from_secs(60));
        let rates = [rate(1, 60_000)];
        drop(limiter.turn("host", &rates, false).await.unwrap());
        let waits = limiter.turn("host", &rates, false);
        let other = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            limiter.turn("host", &[], false).await.is_ok()
        };
        tokio::select! {
            _ = waits => panic!("it has to wait"),
            sent = other => assert!(sent),
        }
    }

    #[test]
    fn no_rate_stays_closed_for_longer_than_an_hour_wherever_the_clock_is_set() {
        let bucket = Buckets::private().find(1);
        let (rate, now) = (rate(5, 1000), 1_000_000_000_000_000);
        for (closed, free) in [(now + FARTHEST, false), (now + FARTHEST + 1, true), (u64::MAX, true)] {
            bucket.closed_until().store(closed, Ordering::Release);
            assert_eq!(take_one(&rate, bucket, now, false).is_ok(), free, "{closed}");
        }
    }

    #[tokio::test]
    async fn no_more_than_max_concurrency_hold_a_turn() {
        let limiter = Limiter::new(2, Buckets::private(), 7, Duration::from_secs(60));
        let (first, _second) = (limiter.turn("host", &[], false).await, limiter.turn("host", &[], false).await);
        let wait = Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, limiter.turn("host", &[], false)).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(wait, limiter.turn("host", &[], false)).await.is_ok());
    }
}
