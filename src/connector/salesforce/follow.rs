//! What synced tables ask: all records by their ids, and what has changed since.
//!
//! Records carry the time of their last change, by whomever; those in the recycle bin are still seen by `queryAll`, so
//! that one query tells of changes and of deletions. Neither tells of records that were purged at once, nor of formulas
//! whose value changed with the clock: a sweep does.
//! <https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/system_fields.htm>

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::api::Salesforce;
use super::read;
use crate::connector::follow::{Changes, Since, feed as feed_of, read_back};
use crate::connector::machine::{Job, Machine, Step, ready};
use crate::connector::wire::Response;
use crate::error::{Error, Kind, Result};
use crate::query::ask::{BoundRead, SortKey};
use crate::query::delta::{Delta, Feed, Followed};
use crate::query::page::Page;
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::schema::{Capabilities, Field, Object};
use crate::value::{Type, Value};

/// Which fields tell of changes. The first that an object has; `CreatedDate` tells of nothing but new records.
const STAMPS: [&str; 2] = ["SystemModstamp", "LastModifiedDate"];
const DELETED: &str = "IsDeleted";

/// How an object's changes are asked for.
#[derive(Serialize, Deserialize)]
struct Wire {
    stamp: String,
    /// Whether deleted records are marked.
    deletions: bool,
}

/// Where a sweep got to.
#[derive(Serialize, Deserialize)]
struct After {
    after: String,
}

pub fn feed(object: &Object) -> Option<Feed> {
    let has = |name: &str| object.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    let usable = |name: &&str| {
        has(name).is_some_and(|field| {
            field.capabilities.filter && field.capabilities.sort && field.remote_type == "datetime"
        })
    };
    let stamp = STAMPS.iter().find(|name| usable(name))?;
    let deletions = has(DELETED).is_some();
    Some(Feed { wire: json!(Wire { stamp: (*stamp).to_owned(), deletions }), deletions })
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
    let feed: Wire = feed_of(followed)?;
    let (key_at, key) = key(followed)?;
    let stamp = system(feed.stamp, Type::Instant, "datetime");
    let Some(position) = position else {
        // The time of the newest record, and that of the answer.
        let newest = SortKey { field: stamp.clone(), descending: true, nulls_first: false };
        let only = Followed { fields: vec![key], ..followed.clone() };
        let inner = one(salesforce, &only, &[stamp], Predicate::True, vec![newest], Some(1), json!({}))?;
        return Ok(Changes::job(inner, None, 0, Some(1), None));
    };
    let since: Since = read_back(position)?;
    let filter = compare(&stamp, Comparison::Ge, Value::Instant(since.less(look_back)));
    let order = vec![ascending(&stamp), ascending(&key)];
    let width = followed.fields.len();
    let mut extra = vec![stamp];
    if feed.deletions {
        extra.push(system(DELETED.to_owned(), Type::Bool, "boolean"));
    }
    let inner = one(salesforce, followed, &extra, filter, order, None, json!({ "all": feed.deletions }))?;
    let deleted = feed.deletions.then_some(width + 1);
    Ok(Changes::job(inner, Some(since), key_at, Some(width), deleted))
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
