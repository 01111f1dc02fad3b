//! Pages of records, from JSON into cells.
//!
//! Cells come under the ids of their fields, and only where they have a value. What is not as promised is an error, so that
//! no cell is empty because something could not be read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::api::{CREATED, KEY, is_id, is_of_record};
use super::errors::{TITLE, unreadable};
use super::family::{is_formula, split_type};
use crate::connector::cell;
use crate::error::{Error, Result};
use crate::heap;
use crate::query::page::Cell;
use crate::schema::Field;
use crate::value::{Type, Value};

/// One answer to a list of records.
#[derive(Debug)]
pub struct ListPage {
    /// Of the records.
    pub ids: Vec<Id>,
    /// The wanted fields of each record, in order.
    pub cells: Vec<Value>,
    /// Where the next page is to be had.
    pub offset: Option<String>,
}

/// What a record's id has after `rec`.
pub type Id = [u8; 14];

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    records: Vec<Record<'a>>,
    offset: Option<String>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "createdTime", borrow)]
    created: &'a RawValue,
    #[serde(borrow)]
    fields: Cells<'a>,
}

/// The cells of a record as they came.
struct Cells<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Cells<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Cells<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the fields of a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    pairs.push((key.0, map.next_value()?));
                }
                Ok(Cells(pairs))
            }
        }
        json.deserialize_map(Pairs)
    }
}

/// A key that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads one answer. `exactly`: whether no other fields were asked for.
pub fn page(body: &[u8], fields: &[Field], exactly: bool) -> Result<ListPage> {
    const WANTED: &str = "a page of records";
    let read: Body<'_> = serde_json::from_slice(body).map_err(|error| unreadable(WANTED, &error, body))?;
    // What is empty is not sent: there may be far more cells than bytes. They are moved once, and kept shorter.
    let cells = read.records.len().saturating_mul(fields.len());
    let _aside = heap::set_aside(cells.saturating_mul(2 * size_of::<Value>() + size_of::<Cell>()))?;
    let mut page = ListPage {
        ids: Vec::with_capacity(read.records.len()),
        cells: Vec::with_capacity(read.records.len() * fields.len()),
        offset: read.offset,
    };
    for record in read.records {
        let no_id = || unreadable(WANTED, format_args!("\"{}\" is no id of a record", record.id), body);
        page.ids.push(id(&record.id).ok_or_else(no_id)?);
        let start = page.cells.len();
        page.cells.extend(fields.iter().map(absent));
        let cells = &mut page.cells[start..];
        for (cell, field) in cells.iter_mut().zip(fields) {
            match field.name.as_str() {
                KEY => *cell = Value::text(&*record.id),
                CREATED => *cell = read_cell(field, record.created.get())?,
                _ => {}
            }
        }
        // Fields come in an order of their own.
        let mut expected = 0;
        for (key, raw) in record.fields.0 {
            let mut found = false;
            for step in 0..fields.len() {
                let at = (expected + step) % fields.len();
                if fields[at].name == key {
                    cells[at] = read_cell(&fields[at], raw.get())?;
                    expected = at + 1;
                    found = true;
                    // Another column may show the same field; few tables have any.
                    for (other, field) in
                        fields.iter().enumerate().filter(|(other, field)| *other != at && field.name == key)
                    {
                        cells[other] = read_cell(field, raw.get())?;
                    }
                    break;
                }
            }
            if !found && exactly {
                let what = format_args!("a record has the field \"{key}\", which was not asked for");
                return Err(unreadable(WANTED, what, body));
            }
        }
    }
    Ok(page)
}

/// What a record's id has after `rec`.
pub fn id(text: &str) -> Option<Id> {
    if is_id("rec", text) { text.as_bytes()[3..].try_into().ok() } else { None }
}

/// The cell that is not sent: a box that is not checked is no more than that.
fn absent(field: &Field) -> Value {
    if field.ty == Type::Bool && !is_of_record(field) { Value::Bool(false) } else { Value::Null }
}

/// What a cell is that has no value to show.
#[derive(Deserialize)]
struct Special<'a> {
    error: Option<serde::de::IgnoredAny>,
    #[serde(rename = "specialValue", borrow)]
    special: Option<Cow<'a, str>>,
}

fn read_cell(field: &Field, raw: &str) -> Result<Value> {
    if raw == "null" {
        return Ok(absent(field));
    }
    let computed = is_formula(field) || field.remote_type.is_empty();
    if raw.starts_with('{')
        && (field.ty != Type::Json || is_formula(field))
        && let Ok(special) = serde_json::from_str::<Special<'_>>(raw)
    {
        match special {
            Special { error: Some(_), .. } => return Ok(Value::Null),
            Special { special: Some(value), .. } if is_special(&value) => return of_special(field, &value, raw),
            _ => {}
        }
    }
    match field.ty {
        Type::Text => match cell::string(TITLE, field, raw)? {
            Some(text) => Ok(Value::Text(text)),
            // A column may show what it has no type for.
            None if computed || !is_text(field) => Ok(Value::Text(raw.into())),
            None => Err(cell::malformed(TITLE, field, raw, "text")),
        },
        Type::TextList => list(field, raw),
        _ => cell::scalar(TITLE, field, raw),
    }
}

fn is_text(field: &Field) -> bool {
    super::family::local_type(split_type(&field.remote_type).0) == Type::Text
}

fn is_special(value: &str) -> bool {
    matches!(value, "NaN" | "Infinity" | "-Infinity")
}

fn of_special(field: &Field, value: &str, raw: &str) -> Result<Value> {
    match field.ty {
        Type::Decimal => Ok(Value::Decimal(value.into())),
        Type::Float => Ok(Value::Float(match value {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => f64::NAN,
        })),
        Type::Text => Ok(Value::text(value)),
        Type::Json => Ok(Value::Json(raw.into())),
        _ => Err(cell::malformed(TITLE, field, raw, "a number of this type")),
    }
}

fn list(field: &Field, raw: &str) -> Result<Value> {
    let malformed = || cell::malformed(TITLE, field, raw, "a list of texts");
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| malformed())?;
    let item = |item: &RawValue| -> Result<Value, Error> {
        cell::string(TITLE, field, item.get())?.map(Value::Text).ok_or_else(malformed)
    };
    Ok(Value::List(items.into_iter().map(item).collect::<Result<_>>()?))
}
