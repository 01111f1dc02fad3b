//! What following an API's records has in common: positions in time, and pages that become what has changed.

use std::time::Duration;

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::machine::{Job, Machine, Step};
use super::wire::Response;
use crate::error::{Error, Kind, Result};
use crate::query::delta::{Delta, Followed};
use crate::query::page::{Cell, Page};

/// Where the changes of an object were read up to.
#[derive(Serialize, Deserialize)]
pub struct Since {
    /// Microseconds since 1970.
    pub since: i64,
}

impl Since {
    /// The moment from which on changes are asked for.
    pub fn less(&self, look_back: Duration) -> i64 {
        self.since.saturating_sub(i64::try_from(look_back.as_micros()).unwrap_or(i64::MAX))
    }
}

/// What this connector wrote down before.
pub fn read_back<T: for<'de> Deserialize<'de>>(json: &Json) -> Result<T> {
    T::deserialize(json).map_err(|error| {
        Error::new(Kind::Internal, format!("a position of a synced table cannot be read: {error}"))
            .hint("sequin.stop_sync() and sequin.start_sync() begin anew, with the table as it is.")
    })
}

/// What the connector wrote down of how the object's changes are asked for.
pub fn feed<T: for<'de> Deserialize<'de>>(followed: &Followed) -> Result<T> {
    match &followed.feed {
        Some(feed) => read_back(&feed.wire),
        None => Err(Error::new(Kind::Internal, "an object without a feed was asked for its changes")),
    }
}

/// Records as they are, without a position.
pub fn all(inner: Job<Page>) -> Job<Delta> {
    Box::new(All(inner))
}

struct All(Job<Page>);

impl Machine for All {
    type Out = Delta;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Delta>> {
        Ok(self.0.next(last)?.map(|records| Delta { records, ..Delta::default() }))
    }
}

/// Changes, and where they were read up to: by the API's clock when its answer began, else by the records' own.
pub struct Changes {
    inner: Job<Page>,
    /// The cells of id, time of change and mark of deletion.
    key: usize,
    stamp: Option<usize>,
    deleted: Option<usize>,
    /// What the API's clock said when the answer began.
    now: Option<i64>,
    /// The latest change so far.
    seen: Option<i64>,
    /// Whether the position alone is wanted.
    silent: bool,
    ended: bool,
}

impl Changes {
    /// `since`: the position before; without one nothing but the position of now comes of it. Records that come in the
    /// order of the cell `stamp` can be kept page by page.
    pub fn job(
        inner: Job<Page>,
        since: Option<Since>,
        key: usize,
        stamp: Option<usize>,
        deleted: Option<usize>,
    ) -> Job<Delta> {
        let (silent, seen) = (since.is_none(), since.map(|since| since.since));
        Box::new(Changes { inner, key, stamp, deleted, now: None, seen, silent, ended: false })
    }
}

impl Machine for Changes {
    type Out = Delta;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Delta>> {
        if self.now.is_none() {
            self.now = last.as_ref().and_then(clock);
        }
        if self.ended {
            return Ok(Step::Done);
        }
        let step = self.inner.next(last)?;
        if matches!(step, Step::Done) {
            self.ended = true;
            // A record that is dated in the future says nothing of what happens until then.
            // Without a clock and without a record, all is still to come.
            let position = self.now.or(self.seen).or(self.silent.then_some(0)).map(|since| json!(Since { since }));
            return Ok(Step::Yield(Delta { position, ..Delta::default() }));
        }
        Ok(step.map(|page| self.read(page)))
    }
}

impl Changes {
    fn read(&mut self, mut page: Page) -> Delta {
        let mut gone = Vec::new();
        page.retain(|cells, store| {
            if let Some(Cell::Instant(stamp)) = self.stamp.map(|at| cells[at]) {
                self.seen = self.seen.max(Some(stamp));
            }
            let deleted = self.deleted.is_some_and(|at| cells[at] == Cell::Bool(true));
            if deleted {
                gone.push(store.value(cells[self.key]).to_input());
            }
            !deleted && !self.silent
        });
        let seen = self.seen.map(|seen| self.now.map_or(seen, |now| seen.min(now)));
        let position = seen.filter(|_| !self.silent).map(|since| json!(Since { since }));
        Delta { records: page, gone, position }
    }
}

/// The API's own clock.
fn clock(response: &Response) -> Option<i64> {
    let date = response.headers.get("date")?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.timestamp_micros())
}
