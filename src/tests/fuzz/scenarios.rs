//! What connectors are asked for, so that every kind of answer is read.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::mutate::{self, Dice};
use super::talk::Talk;
use crate::connector::contract::Connector;
use crate::options::{Credentials, OptionMap};
use crate::query::ask::{Aggregate, BoundRead, Function, Grouping};
use crate::query::change::{Change, Op, Write};
use crate::query::delta::{Delta, Followed};
use crate::query::page::{Page, Weigh};
use crate::query::predicate::Predicate;
use crate::schema::naming::Naming;
use crate::schema::sql::create_table;
use crate::schema::{Field, Object};
use crate::value::{Type, Value};

/// An API as the scenarios see it.
pub struct Place<'p> {
    pub schema: &'p str,
    /// The object that is read, with all its fields, and one that is written.
    pub read: &'p Object,
    pub written: &'p Object,
    /// Of records of the latter.
    pub keys: &'p [String],
    pub credentials: &'p [(&'p str, &'p str)],
}

pub type Scenario = fn(&mut Talk<'_>, &Place<'_>, &mut Dice);

/// By name, as the recordings are called.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("list", list),
    ("describe", describe),
    ("counts", counts),
    ("read", read),
    ("read_few", read_few),
    ("group", group),
    ("retrieve", retrieve),
    ("insert", |talk, place, _| write(talk, place, Op::Insert)),
    ("update", |talk, place, _| write(talk, place, Op::Update)),
    ("upsert", |talk, place, _| write(talk, place, Op::Upsert)),
    ("delete", |talk, place, _| write(talk, place, Op::Delete)),
    ("changes", changes),
    ("sweep", sweep),
    ("sign_in", sign_in),
    ("call", call),
];

fn list(talk: &mut Talk<'_>, place: &Place<'_>, _dice: &mut Dice) {
    let job = talk.connector.list(place.schema);
    talk.play(job.unwrap(), |listings| {
        for listing in listings.iter().take(50) {
            Naming::SnakeCase.apply(listing.title());
        }
    });
}

fn describe(talk: &mut Talk<'_>, place: &Place<'_>, _dice: &mut Dice) {
    for job in talk.connector.describe_all(std::slice::from_ref(&place.read.name)) {
        let mut described = None;
        talk.play(job, |object: Object| {
            object.weight();
            create_table("a table", &object, "server", Naming::SnakeCase);
            described = Some(object);
        });
        // What comes of it is worked with.
        let Some(object) = described else { continue };
        talk.connector.feed(&object);
        talk.connector.made_at(&object);
        let filter = Predicate::True;
        let fields: Vec<Field> = object.fields.iter().take(50).cloned().collect();
        let _ = talk.connector.read(&BoundRead::new(&object.name, fields, filter, Json::Null));
    }
}

fn counts(talk: &mut Talk<'_>, place: &Place<'_>, _dice: &mut Dice) {
    if let Some(job) = talk.connector.counts(std::slice::from_ref(&place.read.name)) {
        talk.play(job, |counts| assert!(counts.weight() < 1 << 20));
    }
}

/// What is done with a page in the end.
fn look(mut page: Page) {
    page.weight();
    let rows = page.rows();
    for row in (0..rows).take(50).chain(rows.checked_sub(1)) {
        for value in page.record(row) {
            value.weight();
            value.to_input();
        }
        page.row(row);
    }
    page.retain(|cells, store| cells.first().is_none_or(|cell| !store.value(*cell).is_null()));
}

fn all(connector: &dyn Connector, object: &Object, fields: Vec<Field>) -> BoundRead {
    let ask = crate::query::ask::Ask { fields: fields.clone(), clauses: Vec::new(), order: Vec::new(), grouping: None };
    let wire = connector.accesses(object, &ask).remove(0).wire;
    BoundRead::new(&object.name, fields, Predicate::True, wire)
}

fn read(talk: &mut Talk<'_>, place: &Place<'_>, _dice: &mut Dice) {
    let read = all(talk.connector, place.read, place.read.fields.clone());
    for job in talk.connector.read(&read).unwrap() {
        talk.play(job, look);
    }
}

/// The key, and every type as text and as JSON, as tables that were written by hand may have it.
fn read_few(talk: &mut Talk<'_>, place: &Place<'_>, dice: &mut Dice) {
    let types = [Type::Text, Type::Json, Type::TextList, Type::Float, Type::Int, Type::Bool, Type::Bytes];
    let mut fields: Vec<Field> = place.read.fields.iter().filter(|field| field.key).cloned().collect();
    fields.extend(place.read.fields.iter().map(|field| Field { ty: *dice.pick(&types), ..field.clone() }));
    let read = all(talk.connector, place.read, fields);
    for job in talk.connector.read(&read).unwrap() {
        talk.play(job, look);
    }
}

fn group(talk: &mut Talk<'_>, place: &Place<'_>, _dice: &mut Dice) {
    let number = place.read.fields.iter().find(|field| field.ty == Type::Decimal).cloned();
    let count = Aggregate { function: Function::Count, field: None, ty: Type::Int };
    let sum = Aggregate { function: Function::Max, field: number, ty: Type::Decimal };
    let grouping = Grouping { keys: Vec::new(), aggregates: vec![count, sum], having: Vec::new() };
    let ask = crate::query::ask::Ask {
        fields: Vec::new(),
        clauses: Vec::new(),
        order: Vec::new(),
        grouping: Some(grouping.clone()),
    };
    let Some(access) = talk.connector.accesses(place.read, &ask).into_iter().find(|access| access.grouped) else {
        return;
    };
    let cells = grouping.cells();
    let read = BoundRead::new(&place.read.name, cells, Predicate::True, access.wire);
    for job in talk.connector.read(&BoundRead { grouping: Some(grouping), ..read }).unwrap() {
        talk.play(job, look);
    }
}

fn retrieve(talk: &mut Talk<'_>, place: &Place<'_>, _dice: &mut Dice) {
    let keys: Vec<&str> = place.keys.iter().map(String::as_str).take(5).collect();
    let job = talk.connector.retrieve(&place.written.name, &place.written.fields, &keys);
    talk.play(job.unwrap(), |records| {
        for value in records.into_iter().flatten().flatten() {
            value.to_input();
        }
    });
}

/// A value that a field takes.
fn value(field: &Field, number: usize) -> Option<Value> {
    match field.ty {
        Type::Text if matches!(field.remote_type.as_str(), "string" | "singleLineText" | "textarea") => {
            Some(Value::text(format!("Fuzz {number} ä\"\\")))
        }
        Type::Bool => Some(Value::Bool(number.is_multiple_of(2))),
        _ => None,
    }
}

fn write(talk: &mut Talk<'_>, place: &Place<'_>, op: Op) {
    let writable = |field: &&Field| field.capabilities.create && field.capabilities.update;
    let fields: Vec<Field> = place.written.fields.iter().filter(writable).cloned().collect();
    let mut write = Write::new(&place.written.name, op, fields);
    let external = |field: &Field| field.name == "ERP_Key__c" || field.remote_type == "singleLineText";
    write.by = write.fields.iter().position(external).filter(|_| op == Op::Upsert);
    if op == Op::Upsert && write.by.is_none() {
        return;
    }
    let change = |number: usize| {
        let needed = write.by.map(|at| (at, Value::text(format!("Fuzz-{number}"))));
        let cells = write.fields.iter().enumerate().filter_map(|(at, field)| Some((at, value(field, number)?)));
        let cells = cells.filter(|(at, _)| Some(*at) != write.by).chain(needed).collect();
        let key = match op {
            Op::Insert => String::new(),
            Op::Upsert => format!("Fuzz-{number}"),
            _ => place.keys[number].clone(),
        };
        Change { key: key.into(), cells: if op == Op::Delete { Vec::new() } else { cells } }
    };
    let changes: Vec<Change> = (0..4).map(change).collect();
    let job = talk.connector.write(&write, &changes);
    talk.play(job.unwrap(), |outcomes| assert_eq!(outcomes.len(), 4));
}

fn followed(connector: &dyn Connector, object: &Object) -> Followed {
    let mut fields = object.fields.clone();
    fields.sort_by_key(|field| !field.key);
    Followed { object: object.name.clone(), fields, feed: connector.feed(object) }
}

fn keep(position: &mut Option<Json>, delta: Delta) {
    delta.weight();
    if delta.position.is_some() {
        *position = delta.position;
    }
    look(delta.records);
}

/// A position that was written down, most often as it was.
fn stored(position: Option<Json>, dice: &mut Dice, odd: bool) -> Option<Json> {
    let position = position?;
    if !odd || !dice.one_in(4) {
        return Some(position);
    }
    serde_json::from_slice(&mutate::body(dice, position.to_string().as_bytes())).ok()
}

fn changes(talk: &mut Talk<'_>, place: &Place<'_>, dice: &mut Dice) {
    let followed = followed(talk.connector, place.written);
    if followed.feed.is_none() {
        return;
    }
    let mut position = None;
    let job = talk.connector.changes(&followed, None, Duration::ZERO);
    talk.play(job.unwrap(), |delta| keep(&mut position, delta));
    let position = position.or(Some(json!({ "since": 1_700_000_000_000_000_i64 })));
    let position = stored(position, dice, true);
    // A position that cannot be read is told so.
    if let Ok(job) = talk.connector.changes(&followed, position.as_ref(), Duration::from_secs(600)) {
        let mut next = None;
        talk.play(job, |delta| keep(&mut next, delta));
    }
}

fn sweep(talk: &mut Talk<'_>, place: &Place<'_>, dice: &mut Dice) {
    let followed = followed(talk.connector, place.written);
    let mut position = None;
    let job = talk.connector.sweep(&followed, None);
    talk.play(job.unwrap(), |delta| keep(&mut position, delta));
    let position = stored(position, dice, true);
    if let Ok(job) = talk.connector.sweep(&followed, position.as_ref()) {
        talk.play(job, |delta| keep(&mut None, delta));
    }
}

fn sign_in(talk: &mut Talk<'_>, place: &Place<'_>, _dice: &mut Dice) {
    let given = place.credentials.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let credentials = Credentials::read(given.collect::<OptionMap>());
    let job = talk.connector.sign_in(&credentials, None, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    talk.play(job.unwrap(), drop);
}

fn call(talk: &mut Talk<'_>, place: &Place<'_>, _dice: &mut Dice) {
    let path = if place.schema == "salesforce" { "/services/data/v62.0/limits" } else { "/v0/meta/whoami" };
    let (_, job) = crate::connector::call::call("GET", path, None).unwrap();
    talk.play(job, |answers| {
        let body = answers.into_iter().find_map(|answer| answer.body);
        // It goes into a column of type jsonb.
        assert!(body.is_none_or(|body| serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok()));
    });
}
