//! What Airtable says of its bases, tables and fields.
//!
//! A base is a schema, by its id or name. One answer describes all tables of a base.
//! <https://airtable.com/developers/web/api/get-base-schema>

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::api::{CREATED, CREATED_TYPE, KEY, KEY_TYPE, base_and_table, is_id};
use super::errors::unreadable;
use super::family::{Family, family, is_formula, is_writable, local_type};
use crate::connector::answer::{LONGEST_LINK, one_line};
use crate::connector::contract::Listing;
use crate::connector::machine::{Job, Machine, Step, each, failed};
use crate::connector::wire::{Request, Response, query};
use crate::error::{Error, Kind, Result, nearest};
use crate::schema::{Capabilities, Field, Object, Operations, Reference};
use crate::value::Type;

/// Pages of the list of bases, 1,000 on each.
const MAX_PAGES: u32 = 1_000;

#[derive(Deserialize)]
struct Bases {
    bases: Vec<Base>,
    offset: Option<String>,
}

#[derive(Deserialize)]
struct Base {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Tables<'a> {
    #[serde(borrow)]
    tables: Vec<Table<'a>>,
}

#[derive(Deserialize)]
struct Table<'a> {
    id: String,
    name: String,
    #[serde(borrow)]
    fields: Vec<TableField<'a>>,
}

#[derive(Deserialize)]
struct TableField<'a> {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    options: Option<&'a RawValue>,
}

/// The options that are looked at. Each type of field has others.
#[derive(Default, Deserialize)]
struct Options {
    #[serde(rename = "linkedTableId")]
    linked: Option<String>,
    result: Option<Outcome>,
}

/// What a formula, a rollup or a lookup comes to.
#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "type")]
    kind: Option<String>,
}

pub fn list(schema: &str) -> Job<Vec<Listing>> {
    let wanted = if is_id("app", schema) { Wanted::Known(schema.to_owned()) } else { Wanted::Named(schema.to_owned()) };
    Box::new(List { wanted, bases: Vec::new(), pages: 0, asked: false })
}

/// Finds a base, and lists its tables.
struct List {
    wanted: Wanted,
    /// Those that were listed so far.
    bases: Vec<Base>,
    pages: u32,
    /// Whether the tables were asked for.
    asked: bool,
}

enum Wanted {
    Named(String),
    /// By its id.
    Known(String),
}

impl Machine for List {
    type Out = Vec<Listing>;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Self::Out>> {
        match (&self.wanted, last) {
            (Wanted::Named(_), None) => Ok(Step::Send(Request::get("/v0/meta/bases"))),
            (Wanted::Named(name), Some(response)) => {
                let Bases { bases, offset } = read(&response, "a list of bases")?;
                self.bases.extend(bases);
                self.pages += 1;
                if let Some(offset) = offset {
                    if self.pages >= MAX_PAGES || offset.len() > LONGEST_LINK {
                        return Err(unreadable("a list of bases", "it does not end", &response.body));
                    }
                    return Ok(Step::Send(Request::get(format!(
                        "/v0/meta/bases?{}",
                        query([("offset", offset.as_str())])
                    ))));
                }
                self.wanted = Wanted::Known(find(&self.bases, name)?);
                self.next(None)
            }
            (Wanted::Known(base), None) if !self.asked => {
                self.asked = true;
                Ok(Step::Send(tables_of(base)))
            }
            (Wanted::Known(_), None) => Ok(Step::Done),
            (Wanted::Known(base), Some(response)) => {
                let Tables { tables } = read(&response, "the tables of a base")?;
                let listing = |table: Table<'_>| Listing {
                    name: format!("{base}/{}", table.id),
                    label: Some(table.name),
                    special: false,
                };
                Ok(Step::Yield(tables.into_iter().map(listing).collect()))
            }
        }
    }
}

/// The id of the base of this name.
///
/// Errors: HV00Q if there is none, or more than one.
fn find(bases: &[Base], name: &str) -> Result<String> {
    let found: Vec<_> = bases.iter().filter(|base| base.name == name).collect();
    let unknown = |message: String| Error::new(Kind::UnknownSchema, message);
    match found[..] {
        [base] if is_id("app", &base.id) => Ok(base.id.clone()),
        [base] => Err(unknown(format!("the base \"{name}\" has an id that is none: \"{}\"", one_line(&base.id)))),
        [] => {
            let error = unknown(format!("Airtable has no base \"{name}\", or hides it from the token"));
            Err(match nearest(name, bases.iter().map(|base| base.name.as_str())) {
                Some(meant) => error.hint(format!("Perhaps you meant \"{meant}\".")),
                None => error.hint("The remote schema is the id (app…) or the name of a base that the token may see."),
            })
        }
        _ => {
            let ids: Vec<_> = found.iter().map(|base| base.id.as_str()).collect();
            Err(unknown(format!("Airtable has {} bases \"{name}\"", ids.len()))
                .hint(format!("Name one by its id: {}.", ids.join(", "))))
        }
    }
}

fn tables_of(base: &str) -> Request {
    Request::get(format!("/v0/meta/bases/{base}/tables"))
}

pub fn describe(object: &str) -> Job<Object> {
    match base_and_table(object) {
        Ok((base, table)) => tables(base, vec![table.to_owned()]),
        Err(error) => failed(error),
    }
}

pub fn describe_all(objects: &[String]) -> Vec<Job<Object>> {
    let mut bases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut jobs = Vec::new();
    for object in objects {
        match base_and_table(object) {
            Ok((base, table)) => bases.entry(base).or_default().push(table.to_owned()),
            Err(_) => jobs.push(describe(object)),
        }
    }
    jobs.extend(bases.into_iter().map(|(base, wanted)| tables(base, wanted)));
    jobs
}

/// Some tables of a base.
fn tables(base: &str, wanted: Vec<String>) -> Job<Object> {
    let id = base.to_owned();
    each(tables_of(base), move |response| {
        let mut all: BTreeMap<String, Table<'_>> = read::<Tables<'_>>(&response, "the tables of a base")?
            .tables
            .into_iter()
            .map(|it| (it.id.clone(), it))
            .collect();
        let mut take = |table: String| {
            let found = all.remove(&table).map(|found| object(&id, found));
            found.ok_or_else(|| {
                Error::new(Kind::UnknownObject, format!("Airtable's base {id} has no table {table} any more"))
                    .hint("Check the table's option \"object\", or import the base again.")
            })
        };
        wanted.into_iter().map(&mut take).collect()
    })
}

fn object(base: &str, table: Table<'_>) -> Object {
    let mut fields = vec![of_record(KEY, Type::Text, KEY_TYPE), of_record(CREATED, Type::Instant, CREATED_TYPE)];
    fields.extend(table.fields.into_iter().map(|field| TableField::read(field, base)));
    Object {
        name: format!("{base}/{}", table.id),
        fields,
        // Whether the token may write, nothing tells before it is tried.
        operations: Operations { insert: true, update: true, delete: true },
        estimated_rows: None,
    }
}

fn of_record(name: &str, ty: Type, remote_type: &str) -> Field {
    Field {
        name: name.to_owned(),
        label: None,
        ty,
        remote_type: remote_type.to_owned(),
        key: name == KEY,
        references: None,
        capabilities: Capabilities { filter: true, ..Capabilities::default() },
    }
}

impl TableField<'_> {
    fn read(self, base: &str) -> Field {
        let options = self.options.and_then(|options| serde_json::from_str::<Options>(options.get()).ok());
        let Options { linked, result } = options.unwrap_or_default();
        let remote_type = match result.and_then(|result| result.kind) {
            Some(result) => format!("{}({result})", self.kind),
            None => self.kind.clone(),
        };
        let references = linked.map(|table| Reference { objects: vec![format!("{base}/{table}")], relationship: None });
        let writable = is_writable(&remote_type);
        let mut field = Field {
            ty: local_type(&remote_type),
            name: self.id,
            label: Some(self.name),
            remote_type,
            key: false,
            references: references.filter(|_| self.kind == "multipleRecordLinks"),
            capabilities: Capabilities { filter: true, create: writable, update: writable, ..Capabilities::default() },
        };
        let family = family(&field);
        let sorts = matches!(family, Some(Family::Number | Family::Date | Family::Instant));
        field.capabilities.filter = family.is_some();
        field.capabilities.sort = sorts && !is_formula(&field);
        field
    }
}

fn read<'a, T: Deserialize<'a>>(response: &'a Response, what: &str) -> Result<T> {
    serde_json::from_slice(&response.body).map_err(|error| unreadable(what, &error, &response.body))
}
