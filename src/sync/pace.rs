//! When a synced table is read again.

use std::time::Duration;

/// The longest wait after errors.
const MAX_BACK_OFF: Duration = Duration::from_secs(300);

/// A transaction that keeps records is to take about so long: it holds up other tables.
const KEEPING: Duration = Duration::from_millis(500);

const DAY: f64 = 86_400.0;

/// What part of a day's share may be spent at once. The rest comes evenly, so that no 24 hours see more than the share.
const AT_ONCE: f64 = 0.25;

/// How long to wait after so many failures in a row: 1 s, 2 s, 4 s and so on, at most 5 minutes.
pub fn back_off(failures: u32) -> Duration {
    let exponent = failures.clamp(1, 16) - 1;
    Duration::from_secs(1 << exponent).min(MAX_BACK_OFF)
}

/// How many records the next transaction is to keep, at most, if `most` was the limit of one that kept `records` in a time.
pub fn next_portion(most: usize, records: usize, took: Duration) -> usize {
    if records == 0 {
        return most;
    }
    if took > 2 * KEEPING {
        let fitting = records as f64 * KEEPING.as_secs_f64() / took.as_secs_f64();
        return most.min(fitting as usize).max(1);
    }
    // One that was cut short, and was quick.
    if records >= most && took < KEEPING / 4 { most.saturating_mul(2) } else { most }
}

/// The requests that a synced table may spend of a daily quota: a token bucket.
/// <https://en.wikipedia.org/wiki/Token_bucket>
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    tokens: f64,
    /// Requests a day.
    daily: f64,
}

impl Allowance {
    /// `tokens` are those that an earlier allowance had left, `idle` ago; none has been if there is no number.
    /// `daily`: requests in any 24 hours.
    pub fn new(daily: f64, tokens: Option<f64>, idle: Duration) -> Allowance {
        let daily = daily.max(1.0);
        let mut allowance = Allowance { tokens: daily * AT_ONCE, daily };
        if let Some(tokens) = tokens {
            allowance.tokens = (tokens + allowance.rate() * idle.as_secs_f64()).min(daily * AT_ONCE);
        }
        allowance
    }

    /// Requests a second.
    fn rate(self) -> f64 {
        self.daily * (1.0 - AT_ONCE) / DAY
    }

    pub fn tokens(self) -> f64 {
        self.tokens
    }

    pub fn spend(&mut self, requests: u64) {
        self.tokens -= requests as f64;
    }

    /// How long until a request may be sent; nothing if one may be sent now.
    pub fn wait(self) -> Duration {
        let missing = 1.0 - self.tokens;
        // Thousands of days are as good as never.
        if missing <= 0.0 { Duration::ZERO } else { Duration::from_secs_f64((missing / self.rate()).min(1e9)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_double_the_wait_up_to_five_minutes() {
        let waits: Vec<_> = [1, 2, 3, 4, 9, 10, 1_000].map(|failures| back_off(failures).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 8, 256, 300, 300]);
    }

    #[test]
    fn a_transaction_that_keeps_records_comes_to_take_half_a_second_however_slow_each_record_is() {
        for each in [Duration::from_millis(3), Duration::from_millis(40), Duration::from_secs(3)] {
            let mut most = 20_000;
            for _ in 0..20 {
                let records = most.min(2_000);
                most = next_portion(most, records, each * records as u32);
            }
            let took = each * most.min(2_000) as u32;
            assert!(most == 1 || (took >= KEEPING / 8 && took <= 2 * KEEPING), "{each:?}: {most}");
        }
        assert_eq!(next_portion(20_000, 60, Duration::from_millis(1)), 20_000, "few records tell nothing");
        assert_eq!(next_portion(20_000, 0, Duration::from_secs(2)), 20_000, "nor does what kept none");
        assert_eq!(next_portion(4, 4, Duration::from_millis(1)), 8, "what was slow once may be quick again");
    }

    #[test]
    fn no_day_sees_more_requests_than_the_share() {
        let (mut allowance, mut sent) = (Allowance::new(1_000.0, None, Duration::ZERO), 0);
        // Whoever asks every second.
        for _ in 0..86_400 {
            if allowance.wait().is_zero() {
                allowance.spend(1);
                sent += 1;
            }
            allowance = Allowance::new(1_000.0, Some(allowance.tokens()), Duration::from_secs(1));
        }
        assert!((990..=1_000).contains(&sent), "{sent}");
    }

    #[test]
    fn what_is_spent_comes_back_evenly() {
        let mut allowance = Allowance::new(86_400.0, Some(1.0), Duration::ZERO);
        assert_eq!(allowance.wait(), Duration::ZERO);
        allowance.spend(4);
        assert_eq!(allowance.wait().as_secs_f64().round(), (4.0_f64 / 0.75).round());
    }
}
