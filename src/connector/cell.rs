//! Cells, each from the JSON text that it came as. No number passes through a float, and what cannot be read is an error
//! that names the field, never an empty cell.

use super::answer::excerpt;
use crate::error::{Error, Kind, Result};
use crate::number::Number;
use crate::schema::Field;
use crate::value::{Type, Value, parse_date, parse_instant, parse_time};

/// A value that is not null. `api`: as users write its name.
///
/// Errors: 22P02 and 22003 for what is none of the field's type, 22P05 for what Postgres cannot store. Lists are worded in
/// another way by each API, and never read here.
pub fn scalar(api: &str, field: &Field, raw: &str) -> Result<Value> {
    match field.ty {
        Type::Text => match string(api, field, raw)? {
            Some(text) => Ok(Value::Text(text)),
            None => Err(malformed(api, field, raw, "text")),
        },
        Type::Bool => match raw {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(malformed(api, field, raw, "true or false")),
        },
        Type::Int => integer(api, field, raw),
        Type::Decimal if is_number(raw) => Ok(Value::Decimal(raw.into())),
        Type::Decimal => Err(malformed(api, field, raw, "a number")),
        Type::Float => match raw.parse::<f64>() {
            Ok(float) if is_number(raw) && float.is_finite() => Ok(Value::Float(float)),
            Ok(_) if is_number(raw) => Err(of(api, field, Kind::OutOfRange, raw, "a floating-point number")),
            _ => Err(malformed(api, field, raw, "a number")),
        },
        Type::Date => quoted_as(api, field, raw, "a date", parse_date).map(Value::Date),
        Type::Time => quoted_as(api, field, raw, "a time of day", parse_time).map(Value::Time),
        Type::Instant => quoted_as(api, field, raw, "a point in time", parse_instant).map(Value::Instant),
        Type::Json if holds_nul(raw) => Err(not_storable(field)),
        Type::Json => Ok(Value::Json(raw.into())),
        Type::TextList => Err(malformed(api, field, raw, "a list")),
        Type::Bytes => Err(malformed(api, field, raw, "binary data: the API sends text")),
    }
}

/// The text of a JSON string; `None` if it is no string.
pub fn string(api: &str, field: &Field, raw: &str) -> Result<Option<Box<str>>> {
    let Some(inner) = quoted(raw) else { return Ok(None) };
    if !inner.contains('\\') {
        return Ok(Some(inner.into()));
    }
    let text: Box<str> = serde_json::from_str(raw)
        .map_err(|_| malformed(api, field, raw, "text: half of a surrogate pair is no character"))?;
    if text.contains('\0') { Err(not_storable(field)) } else { Ok(Some(text)) }
}

fn quoted(raw: &str) -> Option<&str> {
    raw.strip_prefix('"')?.strip_suffix('"')
}

/// Whether a JSON value is a number. It is valid JSON, so its first byte decides.
fn is_number(raw: &str) -> bool {
    raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// A value that JSON writes as a string and that needs no escapes.
fn quoted_as<T>(api: &str, field: &Field, raw: &str, what: &str, parse: impl Fn(&str) -> Result<T>) -> Result<T> {
    quoted(raw).and_then(|text| parse(text).ok()).ok_or_else(|| malformed(api, field, raw, what))
}

/// `5`, and `5.0` or `1.0E2` too.
fn integer(api: &str, field: &Field, raw: &str) -> Result<Value> {
    if let Ok(int) = raw.parse() {
        return Ok(Value::Int(int));
    }
    let number = Number::parse(raw).ok_or_else(|| malformed(api, field, raw, "a whole number"))?;
    match number.floor(0) {
        (floor, true) => floor
            .integer()
            .and_then(|int| i64::try_from(int).ok())
            .map(Value::Int)
            .ok_or_else(|| of(api, field, Kind::OutOfRange, raw, "a whole number of 64 bits")),
        _ => Err(malformed(api, field, raw, "a whole number")),
    }
}

/// Whether JSON holds an escaped NUL, which `jsonb` cannot.
fn holds_nul(raw: &str) -> bool {
    raw.match_indices("\\u0000").any(|(at, _)| {
        // The backslash counts only if it is not escaped itself.
        raw[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0
    })
}

pub fn malformed(api: &str, field: &Field, raw: &str, what: &str) -> Error {
    of(api, field, Kind::Malformed, raw, what)
}

fn of(api: &str, field: &Field, kind: Kind, raw: &str, what: &str) -> Error {
    Error::new(kind, format!("field {} holds {}, which is not {what}", field.name, excerpt(raw.as_bytes(), 100)))
        .column(&field.name)
        .hint(format!("Give the column the type that the field has in {api}: IMPORT FOREIGN SCHEMA does."))
}

fn not_storable(field: &Field) -> Error {
    Error::new(
        Kind::NotStorable,
        format!("field {} holds the character U+0000, which Postgres cannot store", field.name),
    )
    .column(&field.name)
}
