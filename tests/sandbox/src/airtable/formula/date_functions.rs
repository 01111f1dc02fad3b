//! Functions of dates. They compare in GMT, unless a switch moves their zone.

use std::cmp::Ordering;

use super::Expr;
use super::clock::{Unit, format_moment, parse_formatted, parse_moment};
use super::eval::{Scope, Val, text};
use crate::airtable::compute;
use crate::time::{DAY, civil, day, weekday};

/// The argument as a moment: `None` is an error, `Some(None)` a blank.
fn moment<'a>(scope: &Scope<'a>, arguments: &'a [Expr], at: usize) -> Option<Option<i64>> {
    scope.moment(&scope.arg(arguments, at)?)
}

fn unit<'a>(scope: &Scope<'a>, arguments: &'a [Expr], at: usize, default: Unit) -> Option<Unit> {
    match scope.arg(arguments, at) {
        None => Some(default),
        Some(value) => Unit::parse(&text(&value)),
    }
}

/// A moment as the clocks of the zone show it.
fn local(scope: &Scope<'_>, moment: i64) -> i64 {
    moment + scope.ctx.rules.zone_offset_minutes * 60_000
}

/// IS_BEFORE, IS_SAME and IS_AFTER: up to the unit, or exactly.
pub fn compare<'a>(scope: &Scope<'a>, arguments: &'a [Expr], wanted: Ordering) -> Val<'a> {
    let (Some(a), Some(b), Some(unit)) =
        (moment(scope, arguments, 0), moment(scope, arguments, 1), unit(scope, arguments, 2, Unit::Milliseconds))
    else {
        return Val::Error;
    };
    let (Some(a), Some(b)) = (a, b) else {
        return if scope.ctx.rules.blank_date_is_error { Val::Error } else { Val::Bool(false) };
    };
    Val::Bool(unit.index(local(scope, a)).cmp(&unit.index(local(scope, b))) == wanted)
}

pub fn parse<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let source = match scope.eval(&arguments[0]) {
        Val::Error => return Val::Error,
        Val::Blank => return Val::Blank,
        value @ Val::Moment(_) => return value,
        value => text(&value).into_owned(),
    };
    let offset = scope.ctx.rules.zone_offset_minutes;
    let parsed = match scope.arg(arguments, 1) {
        None | Some(Val::Blank) => parse_moment(&source, offset),
        Some(format) => parse_formatted(&source, &text(&format), offset),
    };
    parsed.map_or(Val::Error, Val::Moment)
}

fn shown<'a>(scope: &Scope<'a>, arguments: &'a [Expr], format: &str) -> Val<'a> {
    match moment(scope, arguments, 0) {
        None => Val::Error,
        Some(None) => Val::Blank,
        Some(Some(it)) => Val::Text(format_moment(local(scope, it), format).into()),
    }
}

pub fn format<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let format = scope.arg(arguments, 1).map_or("YYYY-MM-DDTHH:mm:ssZ".to_owned(), |f| text(&f).into_owned());
    shown(scope, arguments, &format)
}

pub fn formatted<'a>(scope: &Scope<'a>, arguments: &'a [Expr], format: &str) -> Val<'a> {
    shown(scope, arguments, format)
}

/// A part of the date as a number.
pub fn part<'a>(scope: &Scope<'a>, arguments: &'a [Expr], format: &str) -> Val<'a> {
    match shown(scope, arguments, format) {
        Val::Text(text) => text.parse().map_or(Val::Error, Val::Number),
        other => other,
    }
}

pub fn add<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let sum = || {
        let Some(it) = moment(scope, arguments, 0)? else { return Some(Val::Blank) };
        let count = scope.arg(arguments, 1)?.number()?;
        let sum = unit(scope, arguments, 2, Unit::Days)?.add(it, count as i64)?;
        // No year has five digits.
        (0..10_000).contains(&civil(sum.div_euclid(DAY) as i32).0).then_some(Val::Moment(sum))
    };
    sum().unwrap_or(Val::Error)
}

pub fn difference<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let whole = || {
        let (Some(later), Some(earlier)) = (moment(scope, arguments, 0)?, moment(scope, arguments, 1)?) else {
            return Some(Val::Blank);
        };
        Some(Val::Number(unit(scope, arguments, 2, Unit::Seconds)?.between(later, earlier) as f64))
    };
    whole().unwrap_or(Val::Error)
}

pub fn today<'a>(scope: &Scope<'a>, _: &'a [Expr]) -> Val<'a> {
    let offset = scope.ctx.rules.zone_offset_minutes * 60_000;
    Val::Moment((scope.ctx.now + offset).div_euclid(DAY) * DAY - offset)
}

/// Of the record, or of the fields named.
pub fn last_modified<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let mut fields = Vec::new();
    for argument in arguments {
        match argument {
            Expr::Field(at) => fields.push(*at),
            _ => return Val::Error,
        }
    }
    compute::last_modified(scope.ctx.rules, scope.record, &fields).map_or(Val::Blank, Val::Moment)
}

/// Locales and zones change what is shown, which nobody sees here.
pub fn unmoved<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    match moment(scope, arguments, 0) {
        None => Val::Error,
        Some(it) => it.map_or(Val::Blank, Val::Moment),
    }
}

/// About how far from now, in words.
pub fn distance<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    match moment(scope, arguments, 0) {
        None => Val::Error,
        Some(None) => Val::Blank,
        Some(Some(it)) => Val::Text(format!("{} days", (scope.ctx.now - it).abs() / DAY).into()),
    }
}

/// The first week is the one that January 1 is in; weeks begin on Sundays.
pub fn week_number<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    match moment(scope, arguments, 0) {
        None => Val::Error,
        Some(None) => Val::Blank,
        Some(Some(it)) => {
            let it = local(scope, it).div_euclid(DAY) as i32;
            let new_year = day(civil(it).0, 1, 1);
            Val::Number(f64::from((it - new_year + weekday(new_year)) / 7 + 1))
        }
    }
}

fn is_workday(day: i32, holidays: &[i32]) -> bool {
    (1..=5).contains(&weekday(day)) && !holidays.contains(&day)
}

/// The days in a text of dates with commas between.
fn holidays<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Vec<i32> {
    let list = scope.arg(arguments, 2).map(|v| text(&v).into_owned()).unwrap_or_default();
    list.split(',').filter_map(|d| parse_moment(d, 0)).map(|m| m.div_euclid(DAY) as i32).collect()
}

pub fn workday<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let reached = || {
        let Some(it) = moment(scope, arguments, 0)? else { return Some(Val::Blank) };
        let (count, holidays) = (scope.arg(arguments, 1)?.number()? as i64, holidays(scope, arguments));
        let mut at = it.div_euclid(DAY) as i32;
        let mut left = count.abs().min(10_000);
        while left > 0 {
            at += count.signum() as i32;
            left -= i64::from(is_workday(at, &holidays));
        }
        Some(Val::Moment(i64::from(at) * DAY))
    };
    reached().unwrap_or(Val::Error)
}

/// Workdays from one day to another, both counted.
pub fn workday_difference<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let (Some(a), Some(b)) = (moment(scope, arguments, 0), moment(scope, arguments, 1)) else { return Val::Error };
    let (Some(a), Some(b)) = (a, b) else { return Val::Blank };
    let (a, b) = (a.div_euclid(DAY) as i32, b.div_euclid(DAY) as i32);
    let holidays = holidays(scope, arguments);
    let count = (a.min(b)..=a.max(b)).filter(|day| is_workday(*day, &holidays)).count() as f64;
    Val::Number(if a <= b { count } else { -count })
}
