//! Values as JSON that a record takes, and values that an API cannot hold.
//!
//! What an API keeps less finely than Postgres (milliseconds) is rounded as Postgres rounds on assignment. Whatever
//! else would not come back as it was given is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use crate::error::{Error, Kind, Result};
use crate::number::Number;
use crate::schema::Field;
use crate::value::{Value, format_date, format_instant_millis, format_time_millis};

/// No field takes as many; JSON of all the digits that `numeric` can have would only be refused later.
const MAX_DIGITS: i64 = 1_000;

pub const DAY_MICROS: i64 = 86_400_000_000;

/// What an API can hold.
pub struct Rules {
    /// Its calendar, in days since 1970-01-01.
    pub days: RangeInclusive<i64>,
    /// What to say of values that it cannot hold.
    pub hint: &'static str,
    /// Whether a field is a check box, which is never null.
    pub is_box: fn(&Field) -> bool,
    /// Adds the JSON of a list.
    pub list: fn(&mut String, &Field, &[Value]) -> Result<()>,
}

impl Rules {
    /// Whether the API keeps two values of a field as the same.
    pub fn same(&self, field: &Field, one: &Value, other: &Value) -> bool {
        let (one, other) = (self.kept(field, one), self.kept(field, other));
        match (one.as_ref(), other.as_ref()) {
            (Value::Decimal(one), Value::Decimal(other)) => match (Number::parse(one), Number::parse(other)) {
                (Some(one), Some(other)) => one == other,
                _ => one == other,
            },
            (Value::Json(one), Value::Json(other)) => same_json(one, other),
            (one, other) => one == other,
        }
    }

    /// A value as it is kept: there is no empty text and no check box that is null, and times have milliseconds.
    fn kept<'v>(&self, field: &Field, value: &'v Value) -> Cow<'v, Value> {
        Cow::Owned(match value {
            Value::Text(text) if text.is_empty() => Value::Null,
            Value::List(items) if items.is_empty() => Value::Null,
            Value::Null if (self.is_box)(field) => Value::Bool(false),
            Value::Instant(micros) if !matches!(*micros, i64::MIN | i64::MAX) => {
                Value::Instant(to_millis(*micros, POSTGRES_EPOCH))
            }
            Value::Time(micros) => Value::Time(to_millis(*micros, 0)),
            _ => return Cow::Borrowed(value),
        })
    }

    /// Adds the JSON of a value to a record.
    ///
    /// Errors: 22003 for numbers and times that the API cannot hold, and those of lists.
    pub fn json(&self, record: &mut String, field: &Field, value: &Value) -> Result<()> {
        let days = &self.days;
        let outside = |text: &str| self.outside(field, text);
        match self.kept(field, value).as_ref() {
            Value::Null => record.push_str("null"),
            Value::Bool(flag) => record.push_str(if *flag { "true" } else { "false" }),
            Value::Int(int) => record.push_str(&int.to_string()),
            // Rust writes a float's shortest form, and never an exponent.
            Value::Float(float) if float.is_finite() => record.push_str(&float.to_string()),
            Value::Float(float) => return Err(outside(&float.to_string())),
            // As Postgres writes all but the oddest.
            Value::Decimal(text) if is_json_number(text) && text.len() < MAX_DIGITS as usize => record.push_str(text),
            Value::Decimal(text) => match Number::parse(text) {
                Some(number) if number.magnitude().abs() <= MAX_DIGITS => record.push_str(&number.plain()),
                _ => return Err(outside(text)),
            },
            Value::Text(text) => quote(record, text),
            Value::Date(day) => match format_date(*day) {
                Some(text) if days.contains(&i64::from(*day)) => quote(record, &text),
                _ => return Err(outside(&value.to_input())),
            },
            Value::Instant(micros) => match format_instant_millis(*micros) {
                Some(text) if days.contains(&micros.div_euclid(DAY_MICROS)) => quote(record, &text),
                _ => return Err(outside(&value.to_input())),
            },
            Value::Time(micros) => match format_time_millis(*micros) {
                Some(text) => quote(record, &text),
                None => return Err(outside("24:00")),
            },
            Value::Bytes(_) => {
                return Err(Error::new(Kind::NotSupported, format!("the field {} takes no bytes", field.name))
                    .hint("Declare the column as text and write base64: encode(…, 'base64').")
                    .column(&field.name));
            }
            Value::Json(text) => record.push_str(text),
            Value::List(items) => (self.list)(record, field, items)?,
        }
        Ok(())
    }

    fn outside(&self, field: &Field, text: &str) -> Error {
        let shown: String = text.chars().take(100).collect();
        Error::new(Kind::OutOfRange, format!("the field {} cannot hold {shown}", field.name))
            .column(&field.name)
            .hint(self.hint)
    }
}

/// Whether two texts of JSON are the same to a client that reads numbers as doubles, as most do.
fn same_json(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim(), other.trim());
    if one == other {
        return true;
    }
    match (one.as_bytes().first(), other.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => {
            let parse = |text| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text).ok();
            parse(one).zip(parse(other)).is_some_and(|(one, other)| {
                one.len() == other.len()
                    && one
                        .iter()
                        .all(|(name, value)| other.get(name).is_some_and(|other| same_json(value.get(), other.get())))
            })
        }
        (Some(b'['), Some(b'[')) => {
            let parse = |text| serde_json::from_str::<Vec<Box<RawValue>>>(text).ok();
            parse(one).zip(parse(other)).is_some_and(|(one, other)| {
                one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| same_json(one.get(), other.get()))
            })
        }
        _ => one.parse::<f64>().ok().zip(other.parse::<f64>().ok()).is_some_and(|(one, other)| one == other),
    }
}

/// 2000-01-01, from which Postgres counts, and so rounds.
const POSTGRES_EPOCH: i64 = 10_957 * DAY_MICROS;

/// The nearest whole millisecond, in microseconds; halves go away from `zero`.
fn to_millis(micros: i64, zero: i64) -> i64 {
    let rest = micros.saturating_sub(zero) % 1_000;
    micros - rest + if rest.abs() >= 500 { 1_000 * rest.signum() } else { 0 }
}

/// Whether this is digits, perhaps with a sign and a point, that JSON takes as they are.
fn is_json_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let bare = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, "0"));
    digits(whole) && digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// A text between single quotes. `letter` adds one letter of it, or what stands for it.
pub fn single_quoted(text: &str, letter: impl Fn(&mut String, char)) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    text.chars().for_each(|next| letter(&mut quoted, next));
    quoted.push('\'');
    quoted
}

/// Adds a letter, with a backslash where it cannot stand between single quotes by itself.
pub fn backslashed(quoted: &mut String, letter: char) {
    match letter {
        '\\' => quoted.push_str("\\\\"),
        '\'' => quoted.push_str("\\'"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        other => quoted.push(other),
    }
}

/// Adds a JSON string.
pub fn quote(record: &mut String, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        record.extend(["\"", text, "\""]);
    } else {
        record.push_str(&serde_json::Value::from(text).to_string());
    }
}
