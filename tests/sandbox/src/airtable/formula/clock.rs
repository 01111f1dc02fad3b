//! Dates as formulas read and write them, and the units they are counted in.

use crate::time::{DAY, civil, day, parse_date, weekday};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A date or time in ISO form or as `5/31/2024`; without an offset it is one of a zone so many minutes east of GMT.
pub fn parse_moment(text: &str, offset_minutes: i64) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let midnight = i64::from(parse_date(date).or_else(|| american(date))?) * DAY;
    let Some(rest) = rest.filter(|r| !r.is_empty()) else { return Some(midnight - offset_minutes * MINUTE) };
    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) if rest[at..].eq_ignore_ascii_case("z") => (&rest[..at], 0),
        Some(at) => (&rest[..at], zone(&rest[at..])?),
        None => (rest, offset_minutes),
    };
    Some(midnight + time_of_day(clock.trim())? - offset * MINUTE)
}

fn american(text: &str) -> Option<i32> {
    let mut parts = text.split('/').map(|p| p.parse::<u32>().ok());
    let (month, of_month, year) = (parts.next()??, parts.next()??, parts.next()??);
    let it = day(i32::try_from(year).ok().filter(|y| (1000..10_000).contains(y))?, month.clamp(1, 12), of_month);
    (parts.next().is_none() && civil(it) == (year as i32, month, of_month)).then_some(it)
}

/// `+02:00` or `-0330`, in minutes.
fn zone(text: &str) -> Option<i64> {
    let digits = text[1..].replace(':', "");
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let minutes = digits[..2].parse::<i64>().ok()? * 60 + digits[2..].parse::<i64>().ok()?;
    Some(if text.starts_with('-') { -minutes } else { minutes })
}

/// `14:30`, with seconds and a fraction or not.
fn time_of_day(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<i64> = clock.split(':').map(|p| p.parse().ok().filter(|_| p.len() <= 2)).collect::<Option<_>>()?;
    let (hour, minute, second) = match parts[..] {
        [h, m] => (h, m, 0),
        [h, m, s] => (h, m, s),
        _ => return None,
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() > 9 {
        return None;
    }
    let millis = format!("{fraction:0<3}")[..3].parse::<i64>().ok()?;
    let valid = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    valid.then_some(hour * HOUR + minute * MINUTE + second * 1000 + millis)
}

/// What dates are cut off to, added and told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
    Weeks,
    Months,
    Quarters,
    Years,
}

impl Unit {
    pub fn parse(text: &str) -> Option<Unit> {
        Some(match text {
            "milliseconds" | "millisecond" | "ms" => Unit::Milliseconds,
            "seconds" | "second" | "s" => Unit::Seconds,
            "minutes" | "minute" | "m" => Unit::Minutes,
            "hours" | "hour" | "h" => Unit::Hours,
            "days" | "day" | "d" => Unit::Days,
            "weeks" | "week" | "w" => Unit::Weeks,
            "months" | "month" | "M" => Unit::Months,
            "quarters" | "quarter" | "Q" => Unit::Quarters,
            "years" | "year" | "y" => Unit::Years,
            _ => return None,
        })
    }

    fn millis(self) -> Option<i64> {
        Some(match self {
            Unit::Milliseconds => 1,
            Unit::Seconds => 1000,
            Unit::Minutes => MINUTE,
            Unit::Hours => HOUR,
            Unit::Days => DAY,
            Unit::Weeks => 7 * DAY,
            _ => return None,
        })
    }

    fn months(self) -> i32 {
        match self {
            Unit::Quarters => 3,
            Unit::Years => 12,
            _ => 1,
        }
    }

    /// The number of the unit that a moment lies in: equal for two moments of one and the same unit.
    pub fn index(self, moment: i64) -> i64 {
        match self.millis() {
            // Weeks begin on Sundays, the epoch is a Thursday.
            Some(length) if self == Unit::Weeks => (moment + 4 * DAY).div_euclid(length),
            Some(length) => moment.div_euclid(length),
            None => i64::from(month_number(moment).div_euclid(self.months())),
        }
    }

    /// A moment so many units later; a month without that day ends earlier.
    pub fn add(self, moment: i64, count: i64) -> Option<i64> {
        if let Some(length) = self.millis() {
            return moment.checked_add(count.checked_mul(length)?);
        }
        let months = i32::try_from(count).ok()?.checked_mul(self.months())?;
        let number = month_number(moment).checked_add(months)?;
        let (year, month) = (number.div_euclid(12), number.rem_euclid(12) as u32 + 1);
        if !(-100_000..100_000).contains(&year) {
            return None;
        }
        let of_month = civil(moment.div_euclid(DAY) as i32).2;
        let next_month = if month == 12 { day(year + 1, 1, 1) } else { day(year, month + 1, 1) };
        let it = (day(year, month, 1) + of_month as i32 - 1).min(next_month - 1);
        Some(i64::from(it) * DAY + moment.rem_euclid(DAY))
    }

    /// How many whole units lie between two moments.
    pub fn between(self, later: i64, earlier: i64) -> i64 {
        if let Some(length) = self.millis() {
            return (later - earlier) / length;
        }
        let mut whole = i64::from(month_number(later) - month_number(earlier)) / i64::from(self.months());
        while whole > 0 && self.add(earlier, whole).is_none_or(|m| m > later) {
            whole -= 1;
        }
        while whole < 0 && self.add(earlier, whole).is_none_or(|m| m < later) {
            whole += 1;
        }
        whole
    }
}

fn month_number(moment: i64) -> i32 {
    let (year, month, _) = civil(moment.div_euclid(DAY) as i32);
    year * 12 + month as i32 - 1
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// The longer ones first, so that they are found first.
const PARTS: [&str; 28] = [
    "YYYY", "YY", "MMMM", "MMM", "MM", "M", "DDDD", "DD", "D", "dddd", "ddd", "d", "HH", "H", "hh", "h", "mm", "m",
    "ss", "s", "SSS", "A", "a", "ZZ", "Z", "X", "x", "Q",
];

/// A moment in moment.js's format.
pub fn format_moment(moment: i64, format: &str) -> String {
    let days = moment.div_euclid(DAY) as i32;
    let (year, month, of_month) = civil(days);
    let of_day = moment.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / HOUR, of_day / MINUTE % 60, of_day / 1000 % 60);
    let half = if hour % 12 == 0 { 12 } else { hour % 12 };
    let (month_name, day_name) = (MONTHS[month as usize - 1], DAYS[weekday(days) as usize]);
    let mut out = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if let Some((quoted, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            out.push_str(quoted);
            rest = after;
            continue;
        }
        let Some(part) = PARTS.iter().find(|part| rest.starts_with(**part)) else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        rest = &rest[part.len()..];
        out.push_str(&match *part {
            "YYYY" => format!("{year:04}"),
            "YY" => format!("{:02}", year.rem_euclid(100)),
            "MMMM" => month_name.to_owned(),
            "MMM" => month_name[..3].to_owned(),
            "MM" => format!("{month:02}"),
            "M" => month.to_string(),
            "DDDD" => format!("{:03}", days - day(year, 1, 1) + 1),
            "DD" => format!("{of_month:02}"),
            "D" => of_month.to_string(),
            "dddd" => day_name.to_owned(),
            "ddd" => day_name[..3].to_owned(),
            "d" => weekday(days).to_string(),
            "HH" => format!("{hour:02}"),
            "H" => hour.to_string(),
            "hh" => format!("{half:02}"),
            "h" => half.to_string(),
            "mm" => format!("{minute:02}"),
            "m" => minute.to_string(),
            "ss" => format!("{second:02}"),
            "s" => second.to_string(),
            "SSS" => format!("{:03}", of_day % 1000),
            "A" => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            "a" => if hour < 12 { "am" } else { "pm" }.to_owned(),
            "ZZ" => "+0000".to_owned(),
            "Z" => "+00:00".to_owned(),
            "X" => moment.div_euclid(1000).to_string(),
            "x" => moment.to_string(),
            _ => ((month - 1) / 3 + 1).to_string(),
        });
    }
    out
}

/// A text in moment.js's format, as far as it has numbers and months' names.
pub fn parse_formatted(text: &str, format: &str, offset_minutes: i64) -> Option<i64> {
    let (mut year, mut month, mut of_month) = (1970, 1, 1);
    let (mut hour, mut minute, mut second, mut millis) = (0_i64, 0_i64, 0_i64, 0_i64);
    let (mut offset, mut afternoon) = (offset_minutes, None);
    let mut rest = text.trim();
    let mut format = format;
    while let Some(first) = format.chars().next() {
        let Some(part) = PARTS.iter().find(|part| format.starts_with(**part)) else {
            rest = rest.strip_prefix(first)?;
            format = &format[first.len_utf8()..];
            continue;
        };
        format = &format[part.len()..];
        let mut digits = |most: usize| -> Option<i64> {
            let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
            let value = rest[..length].parse().ok()?;
            rest = &rest[length..];
            Some(value)
        };
        match *part {
            "YYYY" => year = digits(4)? as i32,
            "YY" => year = 2000 + digits(2)? as i32,
            "MM" | "M" => month = digits(2)? as u32,
            "DD" | "D" => of_month = digits(2)? as u32,
            "HH" | "H" | "hh" | "h" => hour = digits(2)?,
            "mm" | "m" => minute = digits(2)?,
            "ss" | "s" => second = digits(2)?,
            "SSS" => millis = digits(3)?,
            "X" => return Some(digits(15)? * 1000),
            "x" => return digits(18),
            "MMMM" | "MMM" => {
                let named = |name: &&str| {
                    let name = if *part == "MMM" { &name[..3] } else { name };
                    rest.get(..name.len()).is_some_and(|r| r.eq_ignore_ascii_case(name))
                };
                let at = MONTHS.iter().position(named)?;
                rest = &rest[if *part == "MMM" { 3 } else { MONTHS[at].len() }..];
                month = at as u32 + 1;
            }
            "A" | "a" => {
                afternoon = Some(rest.get(..2)?.eq_ignore_ascii_case("pm"));
                rest = &rest[2..];
            }
            "Z" | "ZZ" => {
                let length = if rest.starts_with('Z') { 1 } else { rest.len().min(6) };
                offset = if length == 1 { 0 } else { zone(&rest[..length])? };
                rest = &rest[length..];
            }
            _ => return None,
        }
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let it = day(year, month.clamp(1, 12), of_month);
    let valid = rest.is_empty() && civil(it) == (year, month, of_month) && hour < 24 && minute < 60 && second < 60;
    valid.then(|| i64::from(it) * DAY + hour * HOUR + (minute - offset) * MINUTE + second * 1000 + millis)
}
