//! What synced tables ask: all records by their ids, and what has changed since.
//!
//! Records carry the time of their last change, by whomever; those in the recycle bin are still seen by `queryAll`, so
//! that one query tells of changes and of deletions. Neither tells of records that were purged at once, nor of formulas
//! whose value changed with the clock: a sweep does.
//! <https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/system_fields.htm>

use std::time::Duration;

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::api::Salesforce;
use super::read;
use crate::connector::machine::{Job, Machine, Step, ready};
use crate::connector::wire::Response;
use crate::error::{Error, Kind, Result};
use crate::query::ask::{BoundRead, SortKey};
use crate::query::delta::{Delta, Followed};
use crate::query::page::{Cell, Page};
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::schema::{Capabilities, Field, Object};
use crate::value::{Type, Value};

/// Which fields tell of changes. The first that an object has; `CreatedDate` tells of nothing but new records.
const STAMPS: [&str; 2] = ["SystemModstamp", "LastModifiedDate"];
const DELETED: &str = "IsDeleted";

/// How an object's changes are asked for.
#[derive(Serialize, Deserialize)]
struct Feed {
    stamp: String,
    /// Whether deleted records are marked.
    deletions: bool,
}

/// Where the changes of an object were read up to.
#[derive(Serialize, Deserialize)]
struct Since {
    /// Microseconds since 1970.
    since: i64,
}

/// Where a sweep got to.
#[derive(Serialize, Deserialize)]
struct After {
    after: String,
}

pub fn feed(object: &Object) -> Option<Json> {
    let has = |name: &str| object.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    let usable = |name: &&str| {
        has(name).is_some_and(|field| {
            field.capabilities.filter && field.capabilities.sort && field.remote_type == "datetime"
        })
    };
    let stamp = STAMPS.iter().find(|name| usable(name))?;
    Some(json!(Feed { stamp: (*stamp).to_owned(), deletions: has(DELETED).is_some() }))
}

pub fn sweep(salesforce: &Salesforce, followed: &Followed, position: Option<&Json>) -> Result<Job<Delta>> {
    let (at, key) = key(followed)?;
    let filter = match position {
        Some(position) => {
            let After { after } = read_back(position)?;
            compare(&key, Comparison::Gt, Value::text(after))
        }
        None => Predicate::True,
    };
    let inner = one(salesforce, followed, &[], filter, vec![ascending(&key)], None, json!({}))?;
    Ok(Box::new(Sweep { inner, key: at }))
}

pub fn changes(
    salesforce: &Salesforce,
    followed: &Followed,
    position: Option<&Json>,
    look_back: Duration,
) -> Result<Job<Delta>> {
    let Some(feed) = &followed.feed else {
        return Err(Error::new(Kind::Internal, "an object without a feed was asked for its changes"));
    };
    let feed: Feed = read_back(feed)?;
    let (key_at, key) = key(followed)?;
    let stamp = system(feed.stamp, Type::Instant, "datetime");
    let Some(position) = position else {
        // The time of the newest record, and that of the answer.
        let newest = SortKey { field: stamp.clone(), descending: true, nulls_first: false };
        let only = Followed { fields: vec![key], ..followed.clone() };
        let inner = one(salesforce, &only, &[stamp], Predicate::True, vec![newest], Some(1), json!({}))?;
        return Ok(Box::new(Changes {
            inner,
            key: 0,
            stamp: 1,
            deleted: None,
            now: None,
            seen: None,
            silent: true,
            ended: false,
        }));
    };
    let Since { since } = read_back(position)?;
    let from = since.saturating_sub(i64::try_from(look_back.as_micros()).unwrap_or(i64::MAX));
    let filter = compare(&stamp, Comparison::Ge, Value::Instant(from));
    let order = vec![ascending(&stamp), ascending(&key)];
    let width = followed.fields.len();
    let mut extra = vec![stamp];
    if feed.deletions {
        extra.push(system(DELETED.to_owned(), Type::Bool, "boolean"));
    }
    let inner = one(salesforce, followed, &extra, filter, order, None, json!({ "all": feed.deletions }))?;
    let deleted = feed.deletions.then_some(width + 1);
    Ok(Box::new(Changes {
        inner,
        key: key_at,
        stamp: width,
        deleted,
        now: None,
        seen: Some(since),
        silent: false,
        ended: false,
    }))
}

/// One query, with `extra` cells after those that were asked for.
fn one(
    salesforce: &Salesforce,
    followed: &Followed,
    extra: &[Field],
    filter: Predicate,
    order: Vec<SortKey>,
    limit: Option<u64>,
    wire: Json,
) -> Result<Job<Page>> {
    let read = BoundRead {
        object: followed.object.clone(),
        fields: followed.fields.iter().chain(extra).cloned().collect(),
        grouping: None,
        filter,
        order,
        limit,
        expected: None,
        first_page: false,
        wire,
    };
    Ok(read::jobs(salesforce, &read)?.pop().unwrap_or_else(|| ready([])))
}

/// The field of the records' ids, and its place. A table written by hand may leave its type out.
fn key(followed: &Followed) -> Result<(usize, Field)> {
    let at = followed.fields.iter().position(|field| field.key);
    let field =
        |at: usize| Field { remote_type: "id".to_owned(), capabilities: usable(), ..followed.fields[at].clone() };
    at.map(|at| (at, field(at))).ok_or_else(|| Error::new(Kind::Internal, "an object without a key is followed"))
}

fn system(name: String, ty: Type, remote_type: &str) -> Field {
    let remote_type = remote_type.to_owned();
    Field { name, label: None, ty, remote_type, key: false, references: None, capabilities: usable() }
}

/// What all records' own fields can.
fn usable() -> Capabilities {
    Capabilities { filter: true, sort: true, ..Capabilities::default() }
}

fn compare(field: &Field, op: Comparison, value: Value) -> Predicate {
    Predicate::Compare { field: field.clone(), op, operand: Operand::Value(value) }
}

fn ascending(field: &Field) -> SortKey {
    SortKey { field: field.clone(), descending: false, nulls_first: false }
}

/// What this connector wrote down before.
fn read_back<T: for<'de> Deserialize<'de>>(json: &Json) -> Result<T> {
    T::deserialize(json).map_err(|error| {
        Error::new(Kind::Internal, format!("a position of a synced table cannot be read: {error}"))
            .hint("sequin.stop_sync() and sequin.start_sync() begin anew, with the table as it is.")
    })
}

/// All records; each page ends where a sweep can go on.
struct Sweep {
    inner: Job<Page>,
    /// The cell of the id.
    key: usize,
}

impl Machine for Sweep {
    type Out = Delta;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Delta>> {
        Ok(self.inner.next(last)?.map(|records| {
            let last = records.rows().checked_sub(1).map(|last| records.value(last, self.key));
            let position = last.map(|id| json!(After { after: id.to_input() }));
            Delta { records, gone: Vec::new(), position }
        }))
    }
}

/// Changes in the order in which they happened.
struct Changes {
    inner: Job<Page>,
    /// The cells of id, time and mark of deletion.
    key: usize,
    stamp: usize,
    deleted: Option<usize>,
    /// What the API's clock said when the answer began.
    now: Option<i64>,
    /// The latest change so far.
    seen: Option<i64>,
    /// Whether the position alone is wanted.
    silent: bool,
    ended: bool,
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
            let position = self.now.or(self.seen).map(|since| json!(Since { since }));
            return Ok(Step::Yield(Delta { position, ..Delta::default() }));
        }
        Ok(step.map(|page| self.read(page)))
    }
}

impl Changes {
    fn read(&mut self, mut page: Page) -> Delta {
        let mut gone = Vec::new();
        page.retain(|cells, store| {
            if let Cell::Instant(stamp) = cells[self.stamp] {
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
