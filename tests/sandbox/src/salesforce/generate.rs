//! Generated records: every value is a function of (seed, object, field, index), so a million records cost no
//! memory and a restart gives the same ones. The values are chosen to be awkward: quotes, blanks, case variants,
//! extremes.

use std::borrow::Cow;

use super::id::Id;
use super::number::Decimal;
use super::schema::{Field, Kind, Schema};
use super::value::Value;
use crate::draw::{ODD, hash, pick};
use crate::time::{DAY, FIRST_DAY, LAST_DAY, day};

/// Where the generated value of a field comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    Id,
    Deleted,
    Created,
    Modified,
    Stamp,
    /// Never a value.
    None,
    Formula,
    /// One of these.
    Pool(&'static [&'static str]),
    /// Two of these with a blank between.
    Pair(&'static [&'static str], &'static [&'static str]),
    /// Anything a text can be, within the field's length.
    Odd,
    /// Text that may be longer than a page of a book.
    Long,
    Picklist,
    MultiPicklist,
    Email,
    Phone,
    Url,
    /// Unique: this, then the index.
    Serial(&'static str),
    /// Whole numbers between these.
    Whole(i64, i64),
    /// As many digits as the field has, of any size.
    Decimal,
    /// Decimals between these, with the field's scale.
    Amount(i64, i64),
    /// Of 256 records, how many are true.
    Flag(u8),
    /// Any valid day, extremes included.
    AnyDay,
    /// A day between these years.
    Day(i32, i32),
    AnyMoment,
    Clock,
    /// Any record of the referenced objects.
    Reference,
    /// The account of a record: about evenly spread, but the first account has many.
    Account,
    Binary,
}

impl Source {
    /// What the numbers of an auto-number field begin with.
    pub fn prefix(self) -> String {
        if let Source::Serial(prefix) = self { prefix.to_owned() } else { String::new() }
    }
}

/// What generation needs to know beside the field.
pub struct Generator {
    pub seed: u64,
}

const CREATED_FROM: i64 = day(2015, 1, 1) as i64 * DAY;
const CREATED_DAYS: i64 = 3400;

impl Generator {
    /// The value of field `at` of object `number` in record `index`; `bases` are the numbers of live generated
    /// records by object. Formulas are not computed here, since they look at the whole record.
    pub fn value(&self, schema: &Schema, bases: &[u32], number: usize, at: usize, index: u32) -> Value {
        let object = &schema.objects[number];
        let field = &object.fields[at];
        let salt = u64::from(u32::from_be_bytes([0, object.prefix[0], object.prefix[1], object.prefix[2]]));
        let record = hash(self.seed ^ salt << 40 ^ u64::from(index));
        let draw = hash(record ^ (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if field.nulls > 0 && (draw >> 56) < u64::from(field.nulls) {
            return Value::Null;
        }
        // The top byte has decided about null; the rest is free.
        let draw = draw & 0x00ff_ffff_ffff_ffff;
        match field.source {
            Source::Id => Value::Id(Id::new(object.prefix, u64::from(index))),
            Source::Deleted => Value::Bool(index >= bases[number]),
            Source::Created => Value::DateTime(created(record)),
            Source::Modified => Value::DateTime(modified(record)),
            Source::Stamp => Value::DateTime(modified(record) + (record >> 40) as i64 % 4 * 1000),
            Source::None | Source::Formula => Value::Null,
            Source::Pool(pool) => Value::Text(Cow::Borrowed(pick(pool, draw))),
            Source::Pair(first, second) => {
                let (a, b) = (pick(first, draw), pick(second, draw >> 20));
                let mut text = String::with_capacity(a.len() + b.len() + 1);
                text.push_str(a);
                text.push(' ');
                text.push_str(b);
                Value::Text(Cow::Owned(text))
            }
            Source::Odd => Value::text(odd(draw, field.length)),
            Source::Long => Value::text(long(draw, field)),
            Source::Picklist => Value::Text(Cow::Borrowed(pick(field.picklist, draw))),
            Source::MultiPicklist => several(field.picklist, draw),
            Source::Email => Value::Text(Cow::Owned(email(draw, index))),
            Source::Phone => Value::Text(Cow::Owned(format!("+{} {:07}", draw % 90 + 10, (draw >> 8) % 10_000_000))),
            Source::Url => Value::Text(Cow::Owned(format!("https://example.com/{}?id={index}&x=%20", draw % 1000))),
            Source::Serial(prefix) => Value::Text(Cow::Owned(format!("{prefix}{index:06}"))),
            Source::Whole(low, high) => Value::whole(low + (draw % (high - low + 1) as u64) as i64),
            Source::Decimal => Value::Number(decimal(draw, field)),
            Source::Amount(low, high) => {
                let unit = 10_i128.pow(field.scale);
                let span = (i128::from(high) - i128::from(low)) * unit + 1;
                Value::Number(Decimal::new(i128::from(low) * unit + i128::from(draw) % span, field.scale))
            }
            Source::Flag(share) => Value::Bool(draw & 0xff < u64::from(share)),
            Source::AnyDay => Value::Date(any_day(draw)),
            Source::Day(from, to) => {
                let (from, to) = (day(from, 1, 1), day(to, 12, 31));
                Value::Date(from + (draw % (to - from + 1) as u64) as i32)
            }
            Source::AnyMoment => Value::DateTime(any_moment(draw)),
            Source::Clock => Value::Time(match draw % 8 {
                0 => 0,
                1 => 86_399_999,
                2 => 43_200_000,
                _ => (draw >> 8) as u32 % 86_400_000,
            }),
            Source::Reference => {
                let to = pick(field.references, draw >> 32);
                refer(schema, bases, to, draw & 0xffff_ffff)
            }
            Source::Account => {
                // The first account gets enough of the first records for a LIMIT 100 to bite.
                if index < 4096 && index % 16 == 5 {
                    refer(schema, bases, "Account", 0)
                } else {
                    refer(schema, bases, "Account", draw)
                }
            }
            Source::Binary => Value::Text(Cow::Owned(binary(draw))),
        }
    }
}

fn created(record: u64) -> i64 {
    // Whole seconds, as the API's own stamps have.
    CREATED_FROM + (record % (CREATED_DAYS as u64 * 86_400)) as i64 * 1000
}

fn modified(record: u64) -> i64 {
    created(record) + (record >> 20) as i64 % 10_000_000 * 1000
}

fn refer(schema: &Schema, bases: &[u32], to: &str, draw: u64) -> Value {
    let Some(object) = schema.object(to) else { return Value::Null };
    match bases[object] {
        0 => Value::Null,
        count => Value::Id(Id::new(schema.objects[object].prefix, draw % u64::from(count))),
    }
}

fn odd(draw: u64, length: u32) -> Cow<'static, str> {
    if length < 20 {
        let text = pick(ODD, draw);
        return match text.char_indices().nth(length as usize) {
            Some((cut, _)) => Cow::Borrowed(text[..cut].trim_end()),
            None => Cow::Borrowed(text),
        };
    }
    match (draw >> 16) % 16 {
        0 => Cow::Owned("x".repeat(length as usize)),
        1..=4 => {
            let text = pick(ODD, draw);
            Cow::Owned(format!("{text}{}", (draw >> 24) % 50).chars().take(length as usize).collect())
        }
        _ => Cow::Borrowed(pick(ODD, draw)),
    }
}

fn long(draw: u64, field: &Field) -> String {
    let paragraphs = match draw % 64 {
        0 => 60,
        1..=8 => 8,
        _ => 2,
    };
    let mut text = String::new();
    for i in 0..paragraphs {
        let words = pick(ODD, hash(draw + i));
        if field.html {
            text.push_str("<p>");
            text.push_str(words);
            text.push_str("</p>");
        } else {
            text.push_str(words);
            text.push('\n');
        }
    }
    if draw.is_multiple_of(256) { text.repeat(8).chars().take(field.length as usize).collect() } else { text }
}

/// In the picklist's order, at least one.
fn several(values: &'static [&'static str], draw: u64) -> Value {
    let mut text = String::new();
    let sure = draw as usize % values.len();
    for (i, value) in values.iter().enumerate() {
        if i == sure || (draw >> (8 + i)) & 3 == 0 {
            if !text.is_empty() {
                text.push(';');
            }
            text.push_str(value);
        }
    }
    Value::text(text)
}

fn email(draw: u64, index: u32) -> String {
    let name = pick(super::objects::FIRST_NAMES, draw);
    let mut text: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    if draw & 0x100 == 0 {
        text.make_ascii_lowercase();
    }
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(text, ".{index}@example.com");
    text
}

fn decimal(draw: u64, field: &Field) -> Decimal {
    let most = 10_i128.pow(field.precision.min(36)) - 1;
    let digits = match draw % 16 {
        0 => 0,
        1 => most,
        2 => -most,
        3 => 1,
        4 => -1,
        5 => 10_i128.pow(field.precision - 1),
        6..=9 => i128::from(draw >> 4) % 10_i128.pow(field.precision.min(field.scale + 3)),
        _ => {
            let wide = i128::from(draw) * i128::from(hash(draw) >> 1) % (most + 1);
            if draw & 0x10 == 0 { wide } else { -wide }
        }
    };
    Decimal::new(digits, field.scale)
}

fn any_day(draw: u64) -> i32 {
    const NAMED: [i32; 10] = [
        FIRST_DAY,
        LAST_DAY,
        day(2000, 2, 29),
        day(1900, 2, 28),
        day(1900, 3, 1),
        day(2024, 2, 29),
        day(1970, 1, 1),
        day(1969, 12, 31),
        day(1999, 12, 31),
        day(2024, 12, 31),
    ];
    if draw.is_multiple_of(4) {
        pick(&NAMED, draw >> 8)
    } else {
        FIRST_DAY + ((draw >> 8) % (LAST_DAY - FIRST_DAY) as u64) as i32
    }
}

fn any_moment(draw: u64) -> i64 {
    let midnight = i64::from(any_day(draw)) * DAY;
    midnight
        + match (draw >> 4) % 4 {
            0 => 0,
            1 => DAY - 1,
            2 => (draw >> 32) as i64 % 86_400 * 1000,
            _ => (draw >> 32) as i64 % DAY,
        }
}

/// Base64 text of some bytes, zero among them.
fn binary(draw: u64) -> String {
    use base64::Engine;
    let bytes: Vec<u8> = (0..draw % 64 + 1).flat_map(|i| hash(draw + i).to_be_bytes().into_iter().chain([0])).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Whether a field's values can be looked up in an index.
pub fn indexable(field: &Field) -> bool {
    field.kind == Kind::Reference || field.unique
}
