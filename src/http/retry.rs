//! How often a request is sent, and how long to wait in between.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::connector::answer::LONGEST_WAIT;
use crate::connector::wire::Effect;
use crate::error::{Error, Kind};

/// What holds for all requests of a server.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub max_retries: u32,
    /// Before the first repetition. It doubles from there, and chance adds up to as much again.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// If the API asks for a longer wait than this, the statement fails at once.
    pub patience: Duration,
}

impl Policy {
    pub fn new(max_retries: u32) -> Policy {
        Policy {
            max_retries,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(5),
            patience: Duration::from_secs(60),
        }
    }
}

/// Why an attempt has brought no good answer.
#[derive(Debug)]
pub struct Setback {
    pub error: Error,
    /// Whether it may work later.
    pub passing: bool,
    /// Whether the API may have acted on the request all the same.
    pub perhaps_done: bool,
    /// Whether the API asks to slow down.
    pub throttled: bool,
    /// No sooner than this.
    pub after: Option<Duration>,
}

impl Setback {
    /// It will not work later either, and nothing was done.
    pub fn lasting(error: Error) -> Setback {
        Setback { error, passing: false, perhaps_done: false, throttled: false, after: None }
    }
}

/// The attempts at one request.
pub struct Tries {
    policy: Policy,
    waits: ExponentialBackoff,
    start: Instant,
    made: u32,
}

impl Tries {
    pub fn new(policy: Policy) -> Tries {
        let waits = ExponentialBuilder::new()
            .with_min_delay(policy.first_wait)
            .with_factor(2.0)
            .with_max_delay(policy.longest_wait)
            .without_max_times()
            .with_jitter()
            .build();
        Tries { policy, waits, start: Instant::now(), made: 0 }
    }

    /// How long to wait until the next attempt, or the error if there is to be none.
    pub fn after(&mut self, setback: Setback, effect: Effect) -> Result<Duration, Error> {
        self.made += 1;
        if setback.perhaps_done && effect == Effect::Once {
            return Err(self.tell(setback.error));
        }
        let asked = setback.after.unwrap_or_default();
        if setback.passing && asked > self.policy.patience {
            return Err(self.tell(asked_to_wait(setback, asked)));
        }
        if !setback.passing || self.made > self.policy.max_retries {
            return Err(self.tell(setback.error));
        }
        Ok(asked.max(self.waits.next().unwrap_or(self.policy.longest_wait)))
    }

    fn tell(&self, error: Error) -> Error {
        if self.made < 2 {
            return error;
        }
        let seconds = self.start.elapsed().as_secs_f64();
        error.detail(format!("tried {} times within {seconds:.1} s", self.made))
    }
}

fn asked_to_wait(setback: Setback, wait: Duration) -> Error {
    let kind = if setback.throttled { Kind::Quota } else { setback.error.kind() };
    super::scrub::rewrite(&setback.error, kind, str::to_owned).hint(match wait < LONGEST_WAIT {
        true => format!("The API asks to try again in {} s.", wait.as_secs()),
        false => "The API asks to try again in a day, or later.".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(after: Option<Duration>) -> Setback {
        let error = Error::new(Kind::Dropped, "busy");
        Setback { error, passing: true, perhaps_done: false, throttled: false, after }
    }

    #[test]
    fn waits_double_with_jitter_up_to_a_cap_and_end_after_max_retries() {
        let mut tries = Tries::new(Policy::new(8));
        for least in [200, 400, 800, 1600, 3200, 5000, 5000, 5000].map(Duration::from_millis) {
            let wait = tries.after(passing(None), Effect::None).unwrap();
            assert!(least <= wait && wait <= 2 * least, "{wait:?} for {least:?}");
        }
        let error = tries.after(passing(None), Effect::None).unwrap_err();
        assert_eq!(error.detail_text(), Some("tried 9 times within 0.0 s"));
    }

    #[test]
    fn a_wait_that_the_api_asks_for_is_kept_unless_it_tries_our_patience() {
        let minute = Duration::from_secs(60);
        let mut tries = Tries::new(Policy::new(4));
        assert_eq!(tries.after(passing(Some(minute)), Effect::None).unwrap(), minute);
        let hour = Some(60 * minute);
        let error = tries.after(passing(hour), Effect::None).unwrap_err();
        assert_eq!(error.kind(), Kind::Dropped);
        let error = tries.after(Setback { throttled: true, ..passing(hour) }, Effect::None).unwrap_err();
        assert_eq!(error.kind(), Kind::Quota);
        assert_eq!(error.hint_text(), Some("The API asks to try again in 3600 s."));
        for endless in [LONGEST_WAIT, Duration::MAX] {
            let error = tries.after(passing(Some(endless)), Effect::None).unwrap_err();
            assert_eq!(error.hint_text(), Some("The API asks to try again in a day, or later."));
        }
    }

    #[test]
    fn what_must_not_be_sent_twice_is_sent_again_only_if_surely_not_done() {
        let mut tries = Tries::new(Policy::new(4));
        assert!(tries.after(passing(None), Effect::Once).is_ok());
        let perhaps_done = || Setback { perhaps_done: true, ..passing(None) };
        assert!(tries.after(perhaps_done(), Effect::Repeatable).is_ok());
        assert!(tries.after(perhaps_done(), Effect::Once).is_err());
    }
}
