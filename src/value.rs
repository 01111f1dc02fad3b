//! Cells: what a value can be between Postgres and an API.
//!
//! Days and instants count from the Unix epoch. Numbers that are not integers stay text until they
//! become `numeric`, so that no digit is lost in a float.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Timelike};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// The type of a column, as the rooms below Postgres see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Type {
    Bool,
    /// Up to 64 bits.
    Int,
    Float,
    /// Exact decimal.
    Decimal,
    Text,
    Date,
    Time,
    /// A point in time.
    Instant,
    Bytes,
    Json,
    /// A list of texts.
    TextList,
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Decimal digits, sign and point; an exponent is allowed; `NaN`, `Infinity` and `-Infinity` too.
    Decimal(Box<str>),
    Text(Box<str>),
    /// Days since 1970-01-01. `i32::MIN` and `i32::MAX` are the infinities.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00Z. `i64::MIN` and `i64::MAX` are the infinities.
    Instant(i64),
    Bytes(Box<[u8]>),
    /// JSON text as it came.
    Json(Box<str>),
    List(Box<[Value]>),
}

impl Value {
    pub fn text(text: impl Into<Box<str>>) -> Self {
        Value::Text(text.into())
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The form that Postgres's input functions read. A list becomes an array literal.
    pub fn to_input(&self) -> String {
        let digits = |out: Option<String>| out.unwrap_or_default();
        match self {
            Value::Null => String::new(),
            Value::Bool(flag) => flag.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Decimal(text) | Value::Text(text) | Value::Json(text) => text.to_string(),
            Value::Date(i32::MAX) | Value::Instant(i64::MAX) => "infinity".to_owned(),
            Value::Date(i32::MIN) | Value::Instant(i64::MIN) => "-infinity".to_owned(),
            Value::Date(days) => format_date(*days).unwrap_or_else(|| far_date((*days).into())),
            Value::Time(micros) => digits(format_time_millis(*micros)).replace('Z', ""),
            Value::Instant(micros) => DateTime::from_timestamp_micros(*micros).map_or_else(
                || far_date(micros.div_euclid(DAY)),
                |instant| instant.to_rfc3339_opts(SecondsFormat::Micros, true),
            ),
            Value::Bytes(bytes) => {
                let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
                let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
                "\\x".chars().chain(digits).collect()
            }
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(Value::to_array_item).collect();
                format!("{{{}}}", items.join(","))
            }
        }
    }

    fn to_array_item(&self) -> String {
        if self.is_null() {
            return "NULL".to_owned();
        }
        format!("\"{}\"", self.to_input().replace('\\', "\\\\").replace('"', "\\\""))
    }

    /// Bytes of memory held, for caps on what is fetched ahead.
    pub fn weight(&self) -> usize {
        size_of::<Value>()
            + match self {
                Value::Decimal(text) | Value::Text(text) | Value::Json(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
                Value::List(items) => items.iter().map(Value::weight).sum(),
                _ => 0,
            }
    }
}

const EPOCH: NaiveDate = match NaiveDate::from_ymd_opt(1970, 1, 1) {
    Some(day) => day,
    // Decided when this is compiled.
    None => panic!("1970-01-01 is a day"),
};

fn malformed(what: &str, text: &str) -> Error {
    const SHOWN: usize = 100;
    let (start, rest) = text.split_at(text.floor_char_boundary(SHOWN));
    let rest = if rest.is_empty() { "" } else { "…" };
    Error::new(Kind::Malformed, format!("\"{start}{rest}\" is not {what}"))
}

const DAY: i64 = 86_400_000_000;

/// Year, month and day of days since 1970-01-01.
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A date beyond the calendar of the `chrono` crate, as far as Postgres goes.
fn far_date(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year}-{month:02}-{day:02}")
}

/// Reads `2024-05-31` as days since 1970-01-01.
pub fn parse_date(text: &str) -> Result<i32> {
    if let Some(days) = text.as_bytes().try_into().ok().and_then(fixed::date) {
        return Ok(days);
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| malformed("a date", text))?;
    i32::try_from((day - EPOCH).num_days()).map_err(|_| malformed("a date", text))
}

/// Writes days since 1970-01-01 as `2024-05-31`; `None` outside the calendar of the `chrono` crate.
pub fn format_date(days: i32) -> Option<String> {
    let (year, month, day) = civil(days.into());
    if (0..=9_999).contains(&year) {
        // Formatting by the book takes ten times as long.
        let digit = |number: i64| char::from(b'0' + (number % 10) as u8);
        let year = [1_000, 100, 10, 1].map(|unit| digit(year / unit));
        let day = ['-', digit(month / 10), digit(month), '-', digit(day / 10), digit(day)];
        return Some(year.into_iter().chain(day).collect());
    }
    let day = EPOCH.checked_add_signed(TimeDelta::days(days.into()))?;
    Some(day.to_string())
}

/// Reads ISO 8601 with any offset (`Z`, `+0000`, `+02:00`) as microseconds since 1970-01-01T00:00Z.
pub fn parse_instant(text: &str) -> Result<i64> {
    let bare = text.strip_suffix('Z').or_else(|| text.strip_suffix("+0000"));
    if let Some(micros) = bare.and_then(|bare| fixed::instant(bare.as_bytes())) {
        return Ok(micros);
    }
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .map(|instant| instant.timestamp_micros())
        .map_err(|_| malformed("a point in time", text))
}

/// Writes microseconds since 1970-01-01T00:00Z as `2024-05-31T12:34:56.789Z`, milliseconds cut off.
pub fn format_instant_millis(micros: i64) -> Option<String> {
    let instant = DateTime::from_timestamp_micros(micros)?;
    Some(instant.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Reads `13:30:00.000Z` as microseconds since midnight; the zone, if any, must be UTC.
pub fn parse_time(text: &str) -> Result<i64> {
    let bare = text.strip_suffix('Z').unwrap_or(text);
    if let Some(micros) = bare.as_bytes().try_into().ok().and_then(fixed::time) {
        return Ok(micros);
    }
    let time = NaiveTime::parse_from_str(bare, "%H:%M:%S%.f").map_err(|_| malformed("a time of day", text))?;
    Ok(i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond() / 1_000))
}

/// Writes microseconds since midnight as `13:30:00.000Z`, milliseconds cut off; `None` for 24:00.
pub fn format_time_millis(micros: i64) -> Option<String> {
    let seconds = u32::try_from(micros / 1_000_000).ok()?;
    let nanos = u32::try_from(micros % 1_000_000).ok()? * 1_000;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
    Some(time.format("%H:%M:%S%.3fZ").to_string())
}

/// Dates and times in the form in which APIs write them, which a general parser reads ten times slower. What looks
/// otherwise is `None`.
pub mod fixed {
    use super::DAY;

    /// The number that some digits are. Whatever else is among them sets `odd`.
    #[inline]
    fn number<const N: usize>(text: &[u8], at: usize, odd: &mut bool) -> u32 {
        let mut number = 0;
        for byte in &text[at..at + N] {
            let digit = byte.wrapping_sub(b'0');
            *odd |= digit > 9;
            number = number * 10 + u32::from(digit);
        }
        number
    }

    /// `2024-05-31`.
    #[inline]
    pub fn date(text: &[u8; 10]) -> Option<i32> {
        const LENGTHS: [u8; 16] = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0, 0, 0];
        let mut odd = text[4] != b'-' || text[7] != b'-';
        let year = number::<4>(text, 0, &mut odd);
        let month = number::<2>(text, 5, &mut odd);
        let day = number::<2>(text, 8, &mut odd);
        let length = u32::from(*LENGTHS.get(month as usize)?);
        if odd || day == 0 || day > length || (month == 2 && day == 29 && !is_leap(year)) {
            return None;
        }
        // Years from March on, so that leap days come last; 400 more of them, so that none is below zero.
        // https://howardhinnant.github.io/date_algorithms.html#days_from_civil
        let (year, from_march) = if month > 2 { (year + 400, month - 3) } else { (year + 399, month + 9) };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * from_march + 2) / 5 + day - 1;
        Some(days as i32 - 146_097 - 719_468)
    }

    #[cold]
    fn is_leap(year: u32) -> bool {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    }

    /// `13:30:00.000`.
    #[inline]
    pub fn time(text: &[u8; 12]) -> Option<i64> {
        let mut odd = text[2] != b':' || text[5] != b':' || text[8] != b'.';
        let hour = number::<2>(text, 0, &mut odd);
        let minute = number::<2>(text, 3, &mut odd);
        let second = number::<2>(text, 6, &mut odd);
        let milli = number::<3>(text, 9, &mut odd);
        let whole = !odd && hour < 24 && minute < 60 && second < 60;
        whole.then(|| i64::from((hour * 3_600 + minute * 60 + second) * 1_000 + milli) * 1_000)
    }

    /// `2024-05-31T12:34:56.000+0000`.
    #[inline]
    pub fn instant_with_offset(text: &[u8; 28]) -> Option<i64> {
        text.strip_suffix(b"+0000").and_then(instant)
    }

    /// `2024-05-31T12:34:56.000`, and no zone.
    #[inline]
    pub fn instant(text: &[u8]) -> Option<i64> {
        let (day, rest) = text.split_first_chunk::<10>()?;
        let (b'T', time_of_day) = rest.split_first()? else { return None };
        Some(i64::from(date(day)?) * DAY + time(time_of_day.try_into().ok()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_reads_and_writes_dates_as_the_long_way_does() {
        let first = NaiveDate::from_ymd_opt(0, 1, 1).unwrap();
        for (day, date) in first.iter_days().take_while(|day| day.to_string().len() == 10).enumerate() {
            let days = (first - EPOCH).num_days() + day as i64;
            let text = date.to_string();
            assert_eq!(fixed::date(text.as_bytes().try_into().unwrap()).map(i64::from), Some(days), "{text}");
            assert_eq!(format_date(days as i32).as_deref(), Some(&*text));
        }
        for text in [
            b"2023-02-29",
            b"1900-02-29",
            b"2024-04-31",
            b"2024-00-01",
            b"2024-13-01",
            b"2024-99-01",
            b"2024-01-00",
            b"2024-1-011",
            b"2024/01/01",
            b"20x4-01-01",
            b"2024-01-:1",
        ] {
            let long = parse_date(std::str::from_utf8(text).unwrap());
            assert_eq!((fixed::date(text), long.is_err()), (None, true), "{text:?}");
        }
    }

    #[test]
    fn the_short_way_reads_instants_as_the_long_way_does() {
        for text in ["1700-01-01T00:00:00.001", "1970-01-01T23:59:59.999", "4000-12-31T12:34:56.789"] {
            let long = DateTime::parse_from_rfc3339(&format!("{text}Z")).unwrap().timestamp_micros();
            assert_eq!(fixed::instant(text.as_bytes()), Some(long), "{text}");
            assert_eq!(fixed::instant_with_offset(format!("{text}+0000").as_bytes().try_into().unwrap()), Some(long));
            assert_eq!(parse_instant(&format!("{text}Z")).unwrap(), long);
        }
        for odd in [
            "2024-05-31T12:34:60.000",
            "2024-05-31T24:00:00.000",
            "2024-05-31T12:60:00.000",
            "2024-05-31T12:34:56.00x",
            "2024-05-31 12:34:56.000",
            "2024-05-31T12:34:56.0000",
            "2024-05-31",
        ] {
            assert_eq!(fixed::instant(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(fixed::instant_with_offset(b"2024-05-31T12:34:56.000+0200"), None);
    }

    #[test]
    fn dates_and_instants_survive_the_extremes_of_an_api() {
        for text in ["1700-01-01", "1970-01-01", "2024-02-29", "4000-12-31"] {
            let days = parse_date(text).unwrap();
            assert_eq!(format_date(days).as_deref(), Some(text));
        }
        for (text, canonical) in [
            ("2024-05-31T12:34:56.000+0000", "2024-05-31T12:34:56.000Z"),
            ("1700-01-01T00:00:00.001Z", "1700-01-01T00:00:00.001Z"),
            ("4000-12-31T23:59:59.999+00:00", "4000-12-31T23:59:59.999Z"),
            ("2024-05-31T12:34:56.120+02:00", "2024-05-31T10:34:56.120Z"),
        ] {
            let micros = parse_instant(text).unwrap();
            assert_eq!(format_instant_millis(micros).as_deref(), Some(canonical));
        }
        assert_eq!(parse_time("13:30:00.250Z").unwrap(), 48_600_250_000);
        assert_eq!(format_time_millis(48_600_250_000).as_deref(), Some("13:30:00.250Z"));
    }

    #[test]
    fn array_literals_quote_what_postgres_would_misread() {
        let list = Value::List([Value::text("a\"b\\c,{}"), Value::Null, Value::text("")].into());
        assert_eq!(list.to_input(), r#"{"a\"b\\c,{}",NULL,""}"#);
    }

    #[test]
    fn rubbish_is_refused_by_name() {
        assert_eq!(parse_date("31/05/2024").unwrap_err().kind(), Kind::Malformed);
        assert_eq!(parse_instant("2024-05-31").unwrap_err().kind(), Kind::Malformed);
        assert_eq!(parse_time("25:00:00Z").unwrap_err().kind(), Kind::Malformed);
    }
}
