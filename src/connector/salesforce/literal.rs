//! Values as SOQL writes them, and values that SOQL cannot write.
//!
//! A value may lie where no cell of its field can lie: a malformed id, infinity, half a millisecond. The
//! API would refuse some of them and misread others, but what a comparison with them means is known: it is
//! folded here, exactly, and never asked.

use std::fmt::Write;

use super::family::Family;
use crate::connector::encode::{DAY_MICROS, backslashed, single_quoted};
use crate::error::{Error, Kind, Result};
use crate::number::Number;
use crate::query::pattern::{Glyph, Pattern};
use crate::schema::Field;
use crate::value::{Type, Value, format_date, format_instant_millis, format_time_millis};

/// Where a value lies among the values that a field can hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// The field can hold it: its wording.
    Text(String),
    /// No cell equals it, and nothing has an order with it.
    Never,
    BelowAll,
    AboveAll,
    /// Above this one, which the field can hold, and below the next.
    JustAbove(String),
}

/// SOQL takes string literals up to this many UTF-16 units; no field that can be filtered holds longer ones.
/// <https://developer.salesforce.com/docs/atlas.en-us.salesforce_app_limits_cheatsheet.meta/salesforce_app_limits_cheatsheet/salesforce_app_limits_platform_soslsoql.htm>
pub const MAX_STRING: usize = 4_000;

/// A number field holds at most 18 digits, before and after the point together. That the API stores none beyond
/// them, in formulas too, is an assumption: what an operand beyond them is folded to rests on it.
/// <https://help.salesforce.com/s/articleView?id=000386249&type=1>
const MAX_PLACES: u32 = 18;
const MAX_MAGNITUDE: i64 = 18;

/// 1700-01-01 and 4000-12-31, the ends of the API's calendar, in days since 1970-01-01.
pub const FIRST_DAY: i32 = -98_615;
pub const LAST_DAY: i32 = 741_807;

/// The wording of a value for comparison with a field.
///
/// Errors: our own fault if the value is of a type that [`super::support`] does not let through.
pub fn literal(field: &Field, family: Family, value: &Value) -> Result<Literal> {
    Ok(match (family, value) {
        (Family::Id, Value::Text(id)) => {
            if is_canonical_id(id) {
                Literal::Text(quote(id))
            } else {
                Literal::Never
            }
        }
        (Family::Text, Value::Text(text)) => string(text),
        (Family::Bool, Value::Bool(true)) => Literal::Text("TRUE".to_owned()),
        (Family::Bool, Value::Bool(false)) => Literal::Text("FALSE".to_owned()),
        (Family::Int { .. } | Family::Number, Value::Int(int)) => number(family, &int.to_string()),
        (Family::Int { .. } | Family::Number, Value::Decimal(text)) => number(family, text),
        // Whole numbers compare with the shortest decimal of a float as with the float.
        (Family::Int { .. } | Family::Number, Value::Float(float)) if field.ty == Type::Int => {
            number(family, &float.to_string())
        }
        (Family::Date, Value::Date(days)) => date(*days),
        (Family::Instant, Value::Instant(micros)) => instant(*micros),
        (Family::Time, Value::Time(micros)) => time(*micros),
        _ => {
            return Err(Error::new(
                Kind::Internal,
                format!("a value of another type is compared with field {}", field.name),
            )
            .column(&field.name));
        }
    })
}

/// Whether this is the one spelling in which the API returns an id: 15 characters and the right 3 more.
/// Postgres compares bytes, so no other spelling can match a row.
pub fn is_canonical_id(id: &str) -> bool {
    let bytes = id.as_bytes();
    bytes.len() == 18
        && bytes[..15].iter().all(u8::is_ascii_alphanumeric)
        && bytes[..15].chunks(5).zip(&bytes[15..]).all(|(five, check)| {
            let capitals = five.iter().rev().fold(0, |bits, byte| bits << 1 | usize::from(byte.is_ascii_uppercase()));
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[capitals] == *check
        })
}

/// Salesforce has no empty strings: they are null. NUL cannot be said in SOQL, nor stored there.
fn string(text: &str) -> Literal {
    if text.is_empty() || text.contains('\0') || text.encode_utf16().count() > MAX_STRING {
        Literal::Never
    } else {
        Literal::Text(quote(text))
    }
}

/// A string literal.
/// <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_quotedstringescapes.htm>
pub fn quote(text: &str) -> String {
    single_quoted(text, escape)
}

fn escape(quoted: &mut String, letter: char) {
    match letter {
        '\u{8}' => quoted.push_str("\\b"),
        '\u{c}' => quoted.push_str("\\f"),
        // Every control character is in the first plane: four digits do.
        control if control.is_control() && !matches!(control, '\n' | '\r' | '\t') => {
            let _ = write!(quoted, "\\u{:04X}", u32::from(control));
        }
        other => backslashed(quoted, other),
    }
}

/// What a pattern asks of a text field.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// No cell matches.
    Nothing,
    /// More than SOQL can say.
    Unsaid,
    /// Any text.
    Something,
    Same(String),
    Like(String),
}

/// The wording of a pattern. It finds texts whatever their case.
/// <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_comparisonoperators.htm>
pub fn pattern(pattern: &Pattern) -> Wanted {
    if let Some(text) = pattern.text() {
        return match string(&text) {
            Literal::Text(quoted) => Wanted::Same(quoted),
            _ => Wanted::Nothing,
        };
    }
    if pattern.glyphs() == [Glyph::Any] {
        return Wanted::Something;
    }
    let mut quoted = String::from("'");
    for glyph in pattern.glyphs() {
        match glyph {
            Glyph::Any => quoted.push('%'),
            Glyph::One => quoted.push('_'),
            Glyph::Letter('\0') => return Wanted::Nothing,
            Glyph::Letter(sign @ ('%' | '_')) => quoted.extend(['\\', *sign]),
            Glyph::Letter(letter) => escape(&mut quoted, *letter),
        }
    }
    quoted.push('\'');
    if quoted.encode_utf16().count() > MAX_STRING { Wanted::Unsaid } else { Wanted::Like(quoted) }
}

/// One item of INCLUDES: these choices, all of them. `None` if there is no such item: an empty text and one with
/// a semicolon are no choices.
pub fn choices(texts: &[&str]) -> Option<String> {
    let is_choice = |text: &&str| !text.is_empty() && !text.contains([';', '\0']);
    texts.iter().all(is_choice).then(|| quote(&texts.join(";")))
}

fn number(family: Family, text: &str) -> Literal {
    let Some(number) = Number::parse(text) else {
        // NaN, which Postgres sorts above everything, and the infinities.
        return if text.starts_with('-') { Literal::BelowAll } else { Literal::AboveAll };
    };
    let far = |number: &Number| {
        if number.is_negative() { Literal::BelowAll } else { Literal::AboveAll }
    };
    if number.magnitude() > MAX_MAGNITUDE {
        return far(&number);
    }
    match family {
        Family::Int { min, max } => {
            let (floor, exact) = number.floor(0);
            match floor.integer() {
                Some(int) if int < i128::from(min) => Literal::BelowAll,
                Some(int) if int > i128::from(max) || (int == i128::from(max) && !exact) => Literal::AboveAll,
                Some(int) => place(int.to_string(), exact),
                None => far(&number),
            }
        }
        _ => {
            let (floor, exact) = number.floor(MAX_PLACES);
            place(floor.plain(), exact)
        }
    }
}

fn place(text: String, exact: bool) -> Literal {
    if exact { Literal::Text(text) } else { Literal::JustAbove(text) }
}

fn date(days: i32) -> Literal {
    match format_date(days) {
        _ if days < FIRST_DAY => Literal::BelowAll,
        Some(text) if days <= LAST_DAY => Literal::Text(text),
        _ => Literal::AboveAll,
    }
}

/// The API keeps milliseconds, Postgres microseconds.
fn instant(micros: i64) -> Literal {
    match format_instant_millis(micros) {
        _ if micros < i64::from(FIRST_DAY) * DAY_MICROS => Literal::BelowAll,
        Some(floor) if micros < (i64::from(LAST_DAY) + 1) * DAY_MICROS => place(floor, micros % 1_000 == 0),
        _ => Literal::AboveAll,
    }
}

/// 24:00 is a time of day in Postgres and none in the API.
fn time(micros: i64) -> Literal {
    match format_time_millis(micros) {
        Some(text) => place(text, micros % 1_000 == 0),
        None if micros < 0 => Literal::BelowAll,
        None => Literal::AboveAll,
    }
}
