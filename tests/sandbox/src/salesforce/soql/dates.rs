//! Date literals: TODAY, LAST_N_DAYS:3 and their kin, as a range of days. The simulated user lives in UTC and the
//! fiscal year is the calendar year.

use crate::time::{DAY, civil, day, weekday};

/// The days of a literal (upper case), from the first up to but without the second.
pub fn days(word: &str, now: i64) -> Option<(i32, i32)> {
    let today = now.div_euclid(DAY) as i32;
    let (word, n) = match word.split_once(':') {
        Some((word, n)) => (word, Some(n.parse::<i32>().ok().filter(|n| (1..=100_000).contains(n))?)),
        None => (word, None),
    };
    let word = word.replace("FISCAL_", "");
    if let Some(n) = n {
        if let Some(unit) = word.strip_prefix("LAST_N_") {
            let unit = Unit::parse(unit.strip_suffix('S')?)?;
            let from = unit.start(today, -n);
            // LAST_N_DAYS includes today; the greater units end before the current one.
            return Some((from, if unit == Unit::Day { today + 1 } else { unit.start(today, 0) }));
        }
        if let Some(unit) = word.strip_prefix("NEXT_N_") {
            let unit = Unit::parse(unit.strip_suffix('S')?)?;
            return Some((unit.start(today, 1), unit.start(today, n + 1)));
        }
        let unit = Unit::parse(word.strip_suffix("S_AGO")?.strip_prefix("N_")?)?;
        return Some((unit.start(today, -n), unit.start(today, 1 - n)));
    }
    Some(match word.as_str() {
        "YESTERDAY" => (today - 1, today),
        "TODAY" => (today, today + 1),
        "TOMORROW" => (today + 1, today + 2),
        "LAST_90_DAYS" => (today - 90, today + 1),
        "NEXT_90_DAYS" => (today + 1, today + 91),
        _ => {
            let (which, unit) = word.split_once('_')?;
            let unit = Unit::parse(unit).filter(|u| *u != Unit::Day)?;
            let offset = match which {
                "LAST" => -1,
                "THIS" => 0,
                "NEXT" => 1,
                _ => return None,
            };
            (unit.start(today, offset), unit.start(today, offset + 1))
        }
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn parse(word: &str) -> Option<Unit> {
        Some(match word {
            "DAY" => Unit::Day,
            "WEEK" => Unit::Week,
            "MONTH" => Unit::Month,
            "QUARTER" => Unit::Quarter,
            "YEAR" => Unit::Year,
            _ => return None,
        })
    }

    /// The first day of the unit that is `offset` units from today's.
    fn start(self, today: i32, offset: i32) -> i32 {
        let (year, month, _) = civil(today);
        let months = |from: i32| {
            let count = year * 12 + from;
            day(count.div_euclid(12), count.rem_euclid(12) as u32 + 1, 1)
        };
        let month = month as i32 - 1;
        match self {
            Unit::Day => today + offset,
            Unit::Week => today - weekday(today) + offset * 7,
            Unit::Month => months(month + offset),
            Unit::Quarter => months(month / 3 * 3 + offset * 3),
            Unit::Year => day(year + offset, 1, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cover_the_documented_days() {
        // A Wednesday.
        let now = i64::from(day(2024, 5, 15)) * DAY + 5;
        let at = |word| days(word, now).unwrap();
        assert_eq!(at("TODAY"), (day(2024, 5, 15), day(2024, 5, 16)));
        assert_eq!(at("THIS_WEEK"), (day(2024, 5, 12), day(2024, 5, 19)));
        assert_eq!(at("LAST_MONTH"), (day(2024, 4, 1), day(2024, 5, 1)));
        assert_eq!(at("NEXT_QUARTER"), (day(2024, 7, 1), day(2024, 10, 1)));
        assert_eq!(at("LAST_N_DAYS:3"), (day(2024, 5, 12), day(2024, 5, 16)));
        assert_eq!(at("LAST_N_MONTHS:5"), (day(2023, 12, 1), day(2024, 5, 1)));
        assert_eq!(at("N_YEARS_AGO:1"), (day(2023, 1, 1), day(2024, 1, 1)));
        assert_eq!(at("THIS_FISCAL_YEAR"), (day(2024, 1, 1), day(2025, 1, 1)));
        assert!(
            days("LAST_DAY", now).is_none() && days("SOMEDAY", now).is_none() && days("LAST_N_DAYS", now).is_none()
        );
    }
}
