//! Pages of records, from JSON of any form straight into cells; [`super::compact`] has a shorter way for most of them.
//!
//! No tree of JSON values is built: a scan has millions of cells, and a number must keep the digits that it came
//! with. Each cell is looked at as the JSON text it is, and whatever is not as promised is an error: a page is
//! never shorter, nor a cell empty, because something could not be read.

use std::cell::RefCell;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{self, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::errors::{TITLE, unreadable};
use crate::connector::cell;
use crate::error::{Error, Result};
use crate::heap;
use crate::query::page::{Cell, Record as Cells, Table};
use crate::schema::Field;
use crate::value::{Type, Value};

/// One answer to a query.
#[derive(Debug)]
pub struct QueryPage {
    /// Records that the whole query found.
    pub total: u64,
    pub done: bool,
    /// The link to the next page.
    pub next: Option<String>,
    /// The wanted fields in order.
    pub table: Table,
}

/// Reads one answer to a query.
pub fn page(body: &[u8], fields: &[Field]) -> Result<QueryPage> {
    reading("a page of records", body, fields, |text, records| {
        let mut json = serde_json::Deserializer::from_str(text);
        let page = json.deserialize_map(PageVisitor { records })?;
        json.end().map(|()| page)
    })
}

/// Reads a list of records, with null for those that are not there.
pub fn records(body: &[u8], fields: &[Field]) -> Result<Vec<Option<Cells>>> {
    reading("a list of records", body, fields, |text, page| {
        let mut seen = vec![false; fields.len()];
        let raw: Vec<Option<&RawValue>> = serde_json::from_str(text)?;
        let mut read = |raw: &RawValue| {
            let mut cells = Vec::new();
            let record = Record { page, cells: &mut cells, seen: &mut seen };
            record.deserialize(&mut serde_json::Deserializer::from_str(raw.get()))?;
            Ok(cells.into_boxed_slice())
        };
        raw.into_iter().map(|record| record.map(&mut read).transpose()).collect()
    })
}

fn reading<T>(
    wanted: &str,
    body: &[u8],
    fields: &[Field],
    read: impl FnOnce(&str, Records<'_>) -> serde_json::Result<T>,
) -> Result<T> {
    let text = std::str::from_utf8(body).map_err(|error| unreadable(wanted, error, body))?;
    // An error of ours that has to pass through serde_json's error type.
    let ours = RefCell::new(None);
    let twins: Vec<_> = (0..fields.len())
        .map(|at| {
            let same = |other: &usize| fields[*other].name.eq_ignore_ascii_case(&fields[at].name);
            (at + 1..fields.len()).find(same)
        })
        .collect();
    let records = Records { fields, twins: &twins, ours: &ours };
    let read = read(text, records);
    match (read, ours.into_inner()) {
        (Ok(read), None) => Ok(read),
        (_, Some(error)) => Err(error),
        (Err(error), None) => Err(unreadable(wanted, &error, body)),
    }
}

struct PageVisitor<'a> {
    records: Records<'a>,
}

impl<'de> Visitor<'de> for PageVisitor<'_> {
    type Value = QueryPage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with totalSize, done and records")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<QueryPage, A::Error> {
        let (mut total, mut done, mut next, mut records) = (None, None, None, None);
        while let Some(key) = map.next_key::<PageKey>()? {
            match key {
                PageKey::TotalSize => total = Some(map.next_value()?),
                PageKey::Done => done = Some(map.next_value()?),
                PageKey::NextRecordsUrl => next = map.next_value()?,
                PageKey::Records if records.is_some() => {
                    return Err(A::Error::duplicate_field("records"));
                }
                PageKey::Records => {
                    records = Some(map.next_value_seed(self.records)?);
                }
                PageKey::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let (rows, cells) = records.ok_or_else(|| A::Error::missing_field("records"))?;
        // They are made shorter.
        let _aside = heap::set_aside(cells.len() * size_of::<Cell>()).map_err(|error| self.records.pass(error))?;
        Ok(QueryPage {
            total: total.ok_or_else(|| A::Error::missing_field("totalSize"))?,
            done: done.ok_or_else(|| A::Error::missing_field("done"))?,
            next,
            table: Table::of_values(rows, cells),
        })
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum PageKey {
    TotalSize,
    Done,
    NextRecordsUrl,
    Records,
    #[serde(other)]
    Other,
}

/// The array of records: how many, and their cells.
#[derive(Clone, Copy)]
struct Records<'a> {
    fields: &'a [Field],
    /// The next column that shows the same field, if several do.
    twins: &'a [Option<usize>],
    ours: &'a RefCell<Option<Error>>,
}

impl Records<'_> {
    /// Keeps an error of ours, and makes one that ends the reading.
    fn pass<E: de::Error>(&self, error: Error) -> E {
        self.ours.borrow_mut().get_or_insert(error);
        E::custom("it cannot be read")
    }
}

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = (usize, Vec<Value>);

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = (usize, Vec<Value>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = 0;
        let mut cells = Vec::new();
        let mut seen = vec![false; self.fields.len()];
        while seq.next_element_seed(Record { page: self, cells: &mut cells, seen: &mut seen })?.is_some() {
            rows += 1;
        }
        Ok((rows, cells))
    }
}

/// One record, whose cells are added to `cells`.
struct Record<'a> {
    page: Records<'a>,
    cells: &'a mut Vec<Value>,
    seen: &'a mut [bool],
}

impl<'de> DeserializeSeed<'de> for Record<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Record<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let fields = self.page.fields;
        let start = self.cells.len();
        // A reference that leads nowhere is one value, and any number of cells.
        let capacity = self.cells.capacity() - self.cells.capacity().min(fields.len());
        heap::may_grow(start, capacity, size_of::<Value>()).map_err(|error| self.page.pass(error))?;
        self.cells.resize(start + fields.len(), Value::Null);
        self.seen.fill(false);
        let cells = &mut self.cells[start..];
        Level { page: self.page, cells, seen: self.seen, path: "" }.visit_map(map)?;
        match self.seen.iter().position(|seen| !seen) {
            None => Ok(()),
            Some(missing) => Err(A::Error::custom(format_args!("a record has no field `{}`", fields[missing].name))),
        }
    }
}

/// A record, or one that it refers to: its fields are those whose names begin with `path`.
struct Level<'a, 'c> {
    page: Records<'a>,
    cells: &'c mut [Value],
    seen: &'c mut [bool],
    /// `Account.`, or nothing.
    path: &'c str,
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record, or null")
    }

    fn visit_some<D: de::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }

    /// The reference leads nowhere: all fields beyond it are null, check boxes too.
    fn visit_none<E>(self) -> Result<(), E> {
        for (field, seen) in self.page.fields.iter().zip(self.seen) {
            *seen |= beyond(&field.name, self.path).is_some();
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Records { fields, twins, .. } = self.page;
        // Fields come in the order in which they were asked for.
        let mut expected = 0;
        while let Some(key) = map.next_key_seed(FieldKey { fields, expected, path: self.path })? {
            let at = match key {
                Key::Field(at) => at,
                Key::Reference(path) => {
                    let (cells, seen) = (&mut *self.cells, &mut *self.seen);
                    map.next_value_seed(Level { page: self.page, cells, seen, path: &path })?;
                    continue;
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let raw = map.next_value::<&RawValue>()?.get();
            expected = at + 1;
            let mut column = Some(at);
            while let Some(at) = column {
                self.cells[at] = read_cell(&fields[at], raw).map_err(|error| self.page.pass(error))?;
                self.seen[at] = true;
                column = twins[at];
            }
        }
        Ok(())
    }
}

/// What is left of a field's name beyond a path that it begins with.
fn beyond<'n>(name: &'n str, path: &str) -> Option<&'n str> {
    let (start, rest) = name.split_at_checked(path.len())?;
    start.eq_ignore_ascii_case(path).then_some(rest)
}

/// What a key of a record names.
enum Key {
    /// The wanted field at this place.
    Field(usize),
    /// A reference that leads to wanted fields, by this path.
    Reference(String),
    Other,
}

/// Finds what a key names.
struct FieldKey<'a, 'c> {
    fields: &'a [Field],
    expected: usize,
    path: &'c str,
}

impl<'de> DeserializeSeed<'de> for FieldKey<'_, '_> {
    type Value = Key;

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldKey<'_, '_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        if self.fields.get(self.expected).is_some_and(|field| self.path.is_empty() && field.name == key) {
            return Ok(Key::Field(self.expected));
        }
        // A hand-written table may spell a name otherwise; SOQL does not mind.
        let mut found = Key::Other;
        for (at, field) in self.fields.iter().enumerate() {
            match beyond(&field.name, self.path).and_then(|name| beyond(name, key)) {
                Some("") => return Ok(Key::Field(at)),
                Some(rest) if rest.starts_with('.') => found = Key::Reference(format!("{}{key}.", self.path)),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// One cell, from its JSON text.
pub fn read_cell(field: &Field, raw: &str) -> Result<Value> {
    let raw = match raw {
        // A checkbox is never null.
        "null" if field.remote_type == "boolean" => "false",
        "null" => return Ok(Value::Null),
        raw => raw,
    };
    match field.ty {
        Type::Text => match cell::string(TITLE, field, raw)? {
            Some(text) => Ok(Value::Text(text)),
            None if sends_text(field) => {
                let wanted = format!("text in the field {}", field.name);
                Err(unreadable(&wanted, "its value is no string", raw.as_bytes()).column(&field.name))
            }
            None => Ok(Value::Text(raw.into())),
        },
        Type::TextList => match cell::string(TITLE, field, raw)? {
            Some(text) => {
                let items = text.bytes().filter(|byte| *byte == b';').count() + 1;
                let _aside = heap::set_aside(text.len() + items.saturating_mul(2 * size_of::<Value>()))?;
                Ok(Value::List(text.split(';').map(Value::text).collect()))
            }
            None => Err(cell::malformed(TITLE, field, raw, "a multi-select picklist")),
        },
        _ => cell::scalar(TITLE, field, raw),
    }
}

/// Whether the API sends nothing but strings for a field. In a table written by hand a text column may show
/// any other field, and one without a type too.
fn sends_text(field: &Field) -> bool {
    matches!(
        field.remote_type.as_str(),
        "id" | "reference"
            | "string"
            | "textarea"
            | "picklist"
            | "multipicklist"
            | "combobox"
            | "email"
            | "phone"
            | "url"
    )
}
