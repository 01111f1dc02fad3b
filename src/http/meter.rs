//! Counters: what a scan, a statement and a server have cost.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::connector::contract::Usage;
use crate::error::{Error, Kind, Result};

/// Counters that the I/O thread raises and the backend reads.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    retries: AtomicU64,
    errors: AtomicU64,
    throttled: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    quota: Mutex<Option<Usage>>,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent, token requests and repetitions included.
    pub requests: u64,
    /// Requests sent again after a setback.
    pub retries: u64,
    /// Jobs that ended with an error.
    pub errors: u64,
    /// Answers that asked to slow down.
    pub throttled: u64,
    /// Records received.
    pub rows: u64,
    /// Bytes of answers received, unpacked.
    pub bytes: u64,
    /// What the API last said of the quota.
    pub quota: Option<Usage>,
}

impl Meter {
    pub fn snapshot(&self) -> Counts {
        Counts {
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            quota: *self.quota.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// How many requests a statement may still send.
#[derive(Debug, Default)]
pub struct Budget {
    max: u32,
    sent: AtomicU32,
}

impl Budget {
    /// 0 is no limit.
    pub fn new(max: u32) -> Budget {
        Budget { max, sent: AtomicU32::new(0) }
    }

    /// Takes one request from the budget.
    fn take(&self) -> Result<()> {
        let one_more = |sent: u32| (self.max == 0 || sent < self.max).then(|| sent.saturating_add(1));
        self.sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).map_or_else(
            |_| {
                let message = format!("this statement may send at most {} requests", self.max);
                Err(Error::new(Kind::Quota, message).hint("The setting sequin_fdw.max_requests says so; 0 lifts it."))
            },
            |_| Ok(()),
        )
    }
}

/// What [`Account`] knows of a write.
const IN_DOUBT: u8 = 1;
const ENDED: u8 = 2;

/// Who pays: every request is counted for the scan and for the server, and taken from the budget.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Of this scan.
    pub meter: Arc<Meter>,
    /// Of this server in this backend.
    pub totals: Arc<Meter>,
    /// Of this statement.
    pub budget: Arc<Budget>,
    /// Whether the API may have acted on a write that is under way, or whose answer was lost.
    doubt: Arc<AtomicU8>,
    /// Whether nobody waits for the answers, so that others' requests go first.
    pub polls: bool,
}

impl Account {
    pub fn new(meter: Arc<Meter>, totals: Arc<Meter>, budget: Arc<Budget>, polls: bool) -> Account {
        Account { meter, totals, budget, polls, ..Account::default() }
    }

    /// Whether the API may have acted on a write whose answer nobody has seen yet.
    pub fn in_doubt(&self) -> bool {
        self.doubt.load(Ordering::Acquire) & IN_DOUBT != 0
    }

    /// Nothing more is to be sent. Whether a write is in doubt, which stays so from now on.
    pub fn end(&self) -> bool {
        self.doubt.fetch_or(ENDED, Ordering::AcqRel) & IN_DOUBT != 0
    }

    /// False if it was ended before.
    pub(super) fn set_doubt(&self, doubt: bool) -> bool {
        let before = match doubt {
            true => self.doubt.fetch_or(IN_DOUBT, Ordering::AcqRel),
            false => self.doubt.fetch_and(!IN_DOUBT, Ordering::AcqRel),
        };
        before & ENDED == 0
    }

    /// Takes one request from the budget and counts it.
    pub(super) fn charge_request(&self) -> Result<()> {
        self.budget.take()?;
        self.add(|meter| &meter.requests, 1);
        Ok(())
    }

    pub(super) fn count_retry(&self) {
        self.add(|meter| &meter.retries, 1);
    }

    pub(super) fn count_error(&self) {
        self.add(|meter| &meter.errors, 1);
    }

    pub(super) fn count_throttled(&self) {
        self.add(|meter| &meter.throttled, 1);
    }

    pub(super) fn count_bytes(&self, bytes: usize) {
        self.add(|meter| &meter.bytes, bytes);
    }

    pub fn count_rows(&self, rows: usize) {
        self.add(|meter| &meter.rows, rows);
    }

    pub(super) fn note_usage(&self, usage: Usage) {
        for meter in [&self.meter, &self.totals] {
            *meter.quota.lock().unwrap_or_else(PoisonError::into_inner) = Some(usage);
        }
    }

    fn add(&self, counter: impl Fn(&Meter) -> &AtomicU64, more: usize) {
        for meter in [&self.meter, &self.totals] {
            counter(meter).fetch_add(more as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_of_two_pays_two_requests_and_names_the_setting_at_the_third() {
        let account = Account::new(Arc::default(), Arc::default(), Arc::new(Budget::new(2)), false);
        assert!(account.charge_request().is_ok() && account.charge_request().is_ok());
        let error = account.charge_request().unwrap_err();
        assert_eq!(error.kind(), Kind::Quota);
        assert_eq!(error.message(), "this statement may send at most 2 requests");
        assert!(error.hint_text().unwrap().contains("sequin_fdw.max_requests"));
        assert_eq!(account.meter.snapshot().requests, 2);
    }

    #[test]
    fn what_is_ended_while_not_in_doubt_is_not_begun() {
        let account = Account::default();
        assert!(account.set_doubt(true) && account.in_doubt());
        assert!(account.set_doubt(false) && !account.in_doubt());
        assert!(!account.end());
        assert!(!account.set_doubt(true), "it must not be sent");
        let account = Account::default();
        account.set_doubt(true);
        assert!(account.end());
    }

    #[test]
    fn a_budget_of_nought_never_ends() {
        let account = Account::default();
        assert!((0..1000).all(|_| account.charge_request().is_ok()));
        assert_eq!(account.totals.snapshot().requests, 1000);
    }
}
