//! When a request's turn comes: `max_concurrency` of one backend, and the rates that an API allows, which all backends
//! keep together.
//!
//! A rate of five in a second is five slots in shared memory. A request takes a slot before it is sent and leaves it
//! when it is answered; a second later the slot is free. So no six requests reach the API within a second, however long
//! each is on its way. Nothing is locked: a slot is one word. [`super::buckets`] has the memory.
//!
//! **Credentials that the API does not accept are kept apart.** A rate belongs to an origin: scheme, host and port. Requests
//! with unknown credentials must not take turns from requests with good ones, and an answer to them must not close the rate
//! for the good ones. So the API's answers decide the standing of credentials, for each rate and for all processes: *good*
//! after a good answer, *refused* after any other final one. Good credentials count in the rate's bucket. Refused ones count
//! in a bucket of their own, one request at a time. Unknown ones count in the rate's bucket, but stand back as polls do,
//! and close only their own.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::buckets::{
    AHEAD, Bucket, Buckets, CLOSED, FARTHEST, Key, LEASE, Micros, POLLS, REST, SLOT, SLOTS, STANDING, micros, now,
};
use crate::connector::contract::Rate;
use crate::error::{Error, Kind, Result};

/// Polls, and credentials of which nothing is known, stand back for others so long, and no longer: else they would never
/// come.
const COURTESY: Duration = Duration::from_secs(10);
/// How late a request that has not waited comes to a slot that is free again, at most.
const LAG: Duration = Duration::from_millis(20);

/// How the API takes some credentials.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Unknown,
    Good,
    Refused,
}

impl Standing {
    fn of(word: u64) -> Standing {
        match word {
            0 => Standing::Unknown,
            word if word & 1 == 1 => Standing::Good,
            _ => Standing::Refused,
        }
    }
}

/// What a request asks one bucket for.
struct Wanted<'r> {
    rate: &'r Rate,
    bucket: Bucket,
    slots: usize,
    /// How long each rests.
    window: Micros,
    stands_back: bool,
}

impl<'r> Wanted<'r> {
    fn new(rate: &'r Rate, bucket: Bucket, stands_back: bool) -> Wanted<'r> {
        let (slots, window) = match rate.requests {
            None => (0, 0),
            Some(requests) => {
                let slots = (requests as usize).clamp(1, SLOTS);
                (slots, micros(rate.window).min(REST) * slots as u64 / u64::from(requests.max(1)))
            }
        };
        Wanted { rate, bucket, slots, window: window.min(REST), stands_back }
    }

    /// One at a time, no more of them in all.
    fn singly(self) -> Wanted<'r> {
        match self.slots as u64 {
            0 => self,
            slots => Wanted { slots: 1, window: self.window / slots, ..self },
        }
    }

    /// Any number, unless it is closed.
    fn uncounted(self) -> Wanted<'r> {
        Wanted { slots: 0, ..self }
    }
}

/// A slot that a request has.
struct Held {
    bucket: Bucket,
    at: usize,
    before: u64,
    now: u64,
}

impl Held {
    /// As if it had not been taken.
    fn undo(mut self) {
        self.bucket.swap(self.at, self.now, self.before);
        // Nothing has this value.
        self.now = 0;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever took it over after the lease keeps it.
        if self.now != 0 {
            self.bucket.swap(self.at, self.now, used(now()));
        }
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
    if since > now + AHEAD {
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
    limiter: &'l Limiter,
    held: Vec<Held>,
    /// Whose standing it is, and how that was.
    own: Option<(Key, Standing)>,
    /// What the rates are counted in.
    rates: Vec<(Rate, Key)>,
    _permit: Option<SemaphorePermit<'l>>,
}

impl Turn<'_> {
    /// The API wants to be left alone for so long, an hour at most: by all whose credentials it knows, if it knows these.
    pub fn close(&self, time: Duration) {
        let key = match (self.own, self.rates.first()) {
            (Some((own, Standing::Unknown | Standing::Refused)), _) => own,
            (_, Some((_, key))) => *key,
            _ => return,
        };
        let until = now() + micros(time).min(FARTHEST);
        while self.limiter.find(key).raise(CLOSED, until).is_none() {}
    }

    /// The API knows the credentials: it has given a good answer.
    pub fn vouch(&self) {
        let Some((own, standing)) = self.own else { return };
        self.limiter.stand(own, Standing::Good);
        if standing == Standing::Refused {
            // It was not counted with the others.
            let rates = self.rates.iter().map(|(rate, key)| Wanted::new(rate, self.limiter.find(*key), false));
            let _ = take(&rates.collect::<Vec<_>>(), now());
        }
    }

    /// The API did not answer well: it takes no turn of those whom it knows. `surely`: it has said that it does not accept
    /// the credentials, so that they are good no more either.
    pub fn refuse(&mut self, surely: bool) {
        let Some((own, standing)) = self.own else { return };
        if !surely && self.limiter.standing(own) == Standing::Good {
            return;
        }
        self.limiter.stand(own, Standing::Refused);
        if standing != Standing::Refused {
            self.held.drain(..).for_each(Held::undo);
        }
    }
}

/// The limits of a server, as one backend keeps them.
pub struct Limiter {
    concurrent: Semaphore,
    buckets: Buckets,
    /// What tells these credentials from others.
    credentials: [u64; 2],
    /// No request waits longer.
    patience: Duration,
}

/// Why it is no request's turn.
enum NotYet<'r> {
    Wait {
        rate: &'r Rate,
        until: Micros,
        closed: bool,
    },
    /// A bucket is another's now.
    Moved,
}

impl Limiter {
    pub fn new(max_concurrency: u32, buckets: Buckets, credentials: [u64; 2], patience: Duration) -> Limiter {
        let concurrent = (max_concurrency.max(1) as usize).min(Semaphore::MAX_PERMITS);
        Limiter { concurrent: Semaphore::new(concurrent), buckets, credentials, patience }
    }

    /// Waits for a turn under these rates of the API at `origin`. A poll stands back for all others.
    ///
    /// Errors: 53400 if the wait is or becomes longer than the patience.
    pub async fn turn(&self, origin: &str, rates: &[Rate], polls: bool) -> Result<Turn<'_>> {
        let own = rates.first().map(|rate| self.buckets.key(("credentials", origin, &rate.of, self.credentials)));
        let key = |rate: &Rate| {
            let credentials = rate.per_credential.then_some(self.credentials);
            self.buckets.key(("rate", origin, &rate.of, credentials))
        };
        let rates: Vec<_> = rates.iter().map(|rate| (rate.clone(), key(rate))).collect();
        let mut waited = Duration::ZERO;
        loop {
            // The semaphore is never closed, so there is always a permit. Who waits for a rate holds none: requests under
            // other rates pass.
            let permit = self.concurrent.acquire().await.ok();
            let time = now();
            let standing = own.map_or(Standing::Good, |own| self.standing(own));
            let wanted = self.wanted(own, standing, &rates, polls, waited);
            let (rate, until, closed) = match take(&wanted, time) {
                Ok(held) => {
                    drop(wanted);
                    let own = own.map(|own| (own, standing));
                    return Ok(Turn { limiter: self, held, own, rates, _permit: permit });
                }
                // A new key takes a place once, and this one finds another.
                Err(NotYet::Moved) => continue,
                Err(NotYet::Wait { rate, until, closed }) => (rate, until, closed),
            };
            drop(permit);
            let left = Duration::from_micros(until.saturating_sub(time).max(1_000));
            if waited + left > self.patience {
                return Err(used_up(rate, until, closed, self.patience));
            }
            let left = left + lag(rate.window, waited);
            tokio::time::sleep(left).await;
            waited += left;
        }
    }

    /// What is to be had before a request may be sent.
    fn wanted<'r>(
        &self,
        own: Option<Key>,
        standing: Standing,
        rates: &'r [(Rate, Key)],
        polls: bool,
        waited: Duration,
    ) -> Vec<Wanted<'r>> {
        let stands_back = (polls || standing == Standing::Unknown) && waited < COURTESY;
        let of_own = |(rate, _): &'r (Rate, Key)| {
            let own = own?;
            Some(Wanted::new(rate, self.find(own), false))
        };
        let own = rates.first().and_then(of_own);
        let shared = rates.iter().map(|(rate, key)| Wanted::new(rate, self.find(*key), stands_back));
        match standing {
            Standing::Good => shared.collect(),
            Standing::Unknown => own.map(Wanted::uncounted).into_iter().chain(shared).collect(),
            Standing::Refused => own.map(Wanted::singly).into_iter().collect(),
        }
    }

    fn find(&self, key: Key) -> Bucket {
        self.buckets.find(key, now())
    }

    fn standing(&self, own: Key) -> Standing {
        loop {
            if let Some(word) = self.find(own).load(STANDING) {
                return Standing::of(word);
            }
        }
    }

    /// Notes how the API takes the credentials, and that this is still so.
    fn stand(&self, own: Key, standing: Standing) {
        let time = now();
        let word = time << 1 | u64::from(standing == Standing::Good);
        loop {
            let bucket = self.find(own);
            let Some(before) = bucket.load(STANDING) else { continue };
            let fresh = before >> 1 <= time && time < (before >> 1) + REST / 2;
            if fresh && Standing::of(before) == standing || bucket.swap(STANDING, before, word) {
                return;
            }
        }
    }
}

/// Of all that wait for a slot, in whatever process, those who have waited longest are there first.
fn lag(window: Duration, waited: Duration) -> Duration {
    let windows = waited.as_secs_f64() / window.as_secs_f64().max(0.001);
    LAG.min(window / 20).div_f64(1.0 + windows)
}

/// A slot of each bucket, or none of any.
fn take<'r>(wanted: &[Wanted<'r>], now: Micros) -> std::result::Result<Vec<Held>, NotYet<'r>> {
    let mut held = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        match take_one(wanted, now) {
            Ok(slot) => held.extend(slot),
            Err(not_yet) => {
                held.into_iter().for_each(Held::undo);
                return Err(not_yet);
            }
        }
    }
    Ok(held)
}

fn take_one<'r>(wanted: &Wanted<'r>, now: Micros) -> std::result::Result<Option<Held>, NotYet<'r>> {
    let Wanted { rate, bucket, slots, window, stands_back, .. } = wanted;
    let wait = |until: Micros, closed: bool| NotYet::Wait { rate, until, closed };
    let load = |at: usize| bucket.load(at).ok_or(NotYet::Moved);
    let closed = load(CLOSED)?;
    if closed > now && closed <= now + FARTHEST {
        return Err(wait(closed, true));
    }
    if *slots == 0 {
        return Ok(None);
    }
    let polls_wait = load(POLLS)?;
    if *stands_back && polls_wait > now && polls_wait <= now + FARTHEST {
        return Err(wait(polls_wait, false));
    }
    // A poll leaves a slot to those who do not stand back.
    let spare = usize::from(*stands_back && *slots > 1);
    loop {
        let mut words = (SLOT..SLOT + slots)
            .map(|at| load(at).map(|word| (free_at(word, now, *window), word, at)))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        words.sort_unstable_by_key(|(free, ..)| *free);
        let (until, ..) = words[spare];
        if until > now {
            if !stands_back {
                bucket.raise(POLLS, until + window / *slots as u64).ok_or(NotYet::Moved)?;
            }
            return Err(wait(until, false));
        }
        let (_, before, at) = words[0];
        let taken = in_use(now);
        if bucket.swap(at, before, taken) {
            return Ok(Some(Held { bucket: bucket.clone(), at, before, now: taken }));
        }
    }
}

fn used_up(rate: &Rate, until: Micros, closed: bool, patience: Duration) -> Error {
    let of = &rate.of;
    let until = DateTime::<Utc>::from(SystemTime::UNIX_EPOCH + Duration::from_micros(until));
    let until = until.format("%Y-%m-%d %H:%M:%S UTC");
    if closed {
        return Error::new(Kind::Quota, format!("the API takes no requests to {of} before {until}"))
            .hint("It was asked too often. Try again then.");
    }
    let per = rate.requests.unwrap_or_default();
    let message = format!("no request to {of} could be sent within {} s", patience.as_secs());
    Error::new(Kind::Quota, message)
        .detail(format!("{per} requests in {} s are allowed, and others take them all", rate.window.as_secs_f64()))
        .hint("Try again when fewer ask at once.")
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
        Limiter::new(100, buckets, [7, 0], Duration::from_secs(60))
    }

    /// One whose credentials are known to be good: a request of the rate has told.
    async fn limiter_of(rates: &[Rate], buckets: Buckets, credentials: u64) -> Limiter {
        let limiter = Limiter::new(100, buckets, [credentials, 0], Duration::from_secs(60));
        limiter.turn("host", rates, false).await.unwrap().vouch();
        limiter
    }

    /// The same, told by nothing that was counted.
    fn known(limiter: Limiter, rates: &[Rate]) -> Limiter {
        for host in ["host", "another"] {
            let own = limiter.buckets.key(("credentials", host, &rates[0].of, limiter.credentials));
            limiter.stand(own, Standing::Good);
        }
        limiter
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
        let (one, two) = (known(limiter(buckets), &rates), limiter(buckets));
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
        for (per_credential, together) in [(true, false), (false, true)] {
            let rates = [Rate { of: format!("{per_credential}"), per_credential, ..rate(1, 10_000) }];
            let mine = known(limiter(buckets), &rates);
            let yours = known(Limiter::new(100, buckets, [8, 0], Duration::from_millis(50)), &rates);
            let _turn = mine.turn("host", &rates, false).await.unwrap();
            assert_eq!(yours.turn("host", &rates, false).await.is_err(), together);
            assert!(yours.turn("another", &rates, false).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_closed_rate_is_closed_for_all_and_beyond_the_patience_an_error_says_until_when() {
        let buckets = Buckets::private();
        let rates = [rate(5, 1000)];
        let (one, two) = (known(limiter(buckets), &rates), limiter(buckets));
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
        let one = known(one, &any);
        for _ in 0..100 {
            one.turn("host", &any, false).await.unwrap();
        }
        one.turn("host", &any, false).await.unwrap().close(Duration::from_secs(3600));
        assert!(two.turn("host", &any, false).await.is_err());
    }

    #[tokio::test]
    async fn polls_leave_a_slot_and_stand_back_while_others_wait() {
        let buckets = Buckets::private();
        let rates = [rate(2, 200)];
        let (user, worker) = (known(limiter(buckets), &rates), Arc::new(limiter(buckets)));
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
        let limiter = Limiter::new(100, buckets, [7, 0], Duration::from_millis(20));
        let (first, second) = (rate(2, 10_000), Rate { of: "token".to_owned(), ..rate(1, 10_000) });
        let both = [first.clone(), second];
        let limiter = known(limiter, &both);
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
    fn who_has_waited_longer_comes_sooner_to_a_slot_and_nobody_much_too_late() {
        for window in [0, 50, 1_000, 60_000].map(Duration::from_millis) {
            let lags: Vec<_> = (0..8).map(|waits| lag(window, waits * window.max(LAG))).collect();
            assert!(lags[0] <= LAG && lags[0] <= window / 20, "{lags:?}");
            assert!(window.is_zero() || lags.is_sorted_by(|sooner, later| sooner > later), "{lags:?}");
        }
    }

    #[tokio::test]
    async fn a_request_that_waits_for_a_rate_keeps_nobody_else_from_being_sent() {
        let limiter = Limiter::new(1, Buckets::private(), [7, 0], Duration::from_secs(60));
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
        let (rate, now) = (rate(5, 1000), 1_700_000_000_000_000);
        for (closed, free) in [(now + FARTHEST, false), (now + FARTHEST + 1, true), (now * 2, true)] {
            let buckets = Buckets::private();
            let key = buckets.key("x");
            let wanted = Wanted::new(&rate, buckets.find(key, now), false);
            wanted.bucket.raise(CLOSED, closed).unwrap();
            assert_eq!(take_one(&wanted, now).is_ok(), free, "{closed}");
        }
    }

    /// As many turns as there are now, answered at once.
    async fn answered(limiter: &Limiter, rates: &[Rate], how: impl Fn(&mut Turn<'_>)) -> usize {
        let mut turns = 0;
        while let Ok(mut turn) = limiter.turn("host", rates, false).await {
            how(&mut turn);
            turns += 1;
            assert!(turns < 100, "there is no end to them");
        }
        turns
    }

    #[tokio::test]
    async fn refused_credentials_take_no_turn_of_good_ones_and_close_nothing_for_them() {
        let buckets = Buckets::private();
        let good = limiter(buckets);
        let rates = [rate(5, 60_000)];
        for (surely, credentials) in [(true, 8), (false, 9)] {
            // So long as a request of a rate for itself takes.
            let bad = Limiter::new(100, buckets, [credentials, 0], Duration::from_millis(50));
            let refused = answered(&bad, &rates, |turn| turn.refuse(surely)).await;
            assert_eq!(refused, 2, "the first, and one in the pace of its own");
            let closing = Limiter::new(100, buckets, [credentials + 10, 0], Duration::from_millis(50));
            closing.turn("host", &rates, false).await.unwrap().close(Duration::from_secs(60));
            assert!(closing.turn("host", &rates, false).await.is_err());
        }
        drop(limiter(buckets).turn("host", &rates, false).await.unwrap());
        // Two are left by those who closed it, and one of a slot that was left before anything was known.
        let quick = Limiter { patience: Duration::from_millis(50), ..good };
        assert_eq!(answered(&quick, &rates, |turn| turn.vouch()).await, 2);
    }

    #[tokio::test]
    async fn credentials_that_are_good_no_more_are_apart_until_they_are_again() {
        let buckets = Buckets::private();
        let limiter = Limiter { patience: Duration::from_millis(50), ..limiter(buckets) };
        let rates = [rate(4, 60_000)];
        let own = buckets.key(("credentials", "host", &rates[0].of, limiter.credentials));
        let mut turn = limiter.turn("host", &rates, false).await.unwrap();
        turn.vouch();
        assert_eq!(limiter.standing(own), Standing::Good);
        // Another kind of refusal says nothing of them.
        turn.refuse(false);
        assert_eq!(limiter.standing(own), Standing::Good);
        drop(turn);
        let mut turn = limiter.turn("host", &rates, false).await.unwrap();
        turn.refuse(true);
        assert_eq!(limiter.standing(own), Standing::Refused);
        drop(turn);
        let turn = limiter.turn("host", &rates, false).await.unwrap();
        turn.vouch();
        assert_eq!(limiter.standing(own), Standing::Good);
        drop(turn);
        // One was good, one was counted when it turned out to be; the refused one was not.
        assert_eq!(answered(&limiter, &rates, |turn| turn.vouch()).await, 2);
    }

    #[tokio::test]
    async fn credentials_of_which_nothing_is_known_leave_a_slot_to_good_ones() {
        let buckets = Buckets::private();
        let quick = |credentials| Limiter::new(100, buckets, [credentials, 0], Duration::from_millis(50));
        let rates = [rate(3, 60_000)];
        let good = limiter_of(&rates, buckets, 1).await;
        let mut held = Vec::new();
        for credentials in 10..20 {
            let limiter: &'static Limiter = Box::leak(Box::new(quick(credentials)));
            held.extend(limiter.turn("host", &rates, false).await);
        }
        assert_eq!(held.len(), 1);
        assert!(good.turn("host", &rates, false).await.is_ok());
    }

    #[tokio::test]
    async fn no_more_than_max_concurrency_hold_a_turn() {
        let limiter = Limiter::new(2, Buckets::private(), [7, 0], Duration::from_secs(60));
        let (first, _second) = (limiter.turn("host", &[], false).await, limiter.turn("host", &[], false).await);
        let wait = Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, limiter.turn("host", &[], false)).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(wait, limiter.turn("host", &[], false)).await.is_ok());
    }
}
