//! The functions: their names, how many arguments they take, and the ones about logic, numbers and lists. Those about
//! texts and dates have files of their own.

use std::cmp::Ordering;

use super::date_functions as dates;
use super::eval::{Scope, Val, text, truthy};
use super::text_functions as texts;
use super::{Expr, Function};

const ANY: usize = usize::MAX;

/// Name, least and most arguments.
type Entry = (&'static str, usize, usize, Function);

pub fn find(name: &str) -> Option<Entry> {
    FUNCTIONS.iter().find(|(known, ..)| name.eq_ignore_ascii_case(known)).copied()
}

const FUNCTIONS: &[Entry] = &[
    ("ABS", 1, 1, |s, a| numeric(s, a, |n| f64::abs(n[0]))),
    ("AND", 1, ANY, |s, a| logic(s, a, |truths| truths.iter().all(|t| *t))),
    ("ARRAYCOMPACT", 1, ANY, |s, a| listed(s, a, |list| list.retain(|v| !text(v).is_empty()))),
    ("ARRAYFLATTEN", 1, ANY, |s, a| listed(s, a, |_| {})),
    ("ARRAYJOIN", 1, 2, array_join),
    ("ARRAYSLICE", 2, 3, array_slice),
    ("ARRAYUNIQUE", 1, ANY, |s, a| listed(s, a, unique)),
    ("AVERAGE", 1, ANY, |s, a| rolled(s, a, |n| n.iter().sum::<f64>() / n.len() as f64)),
    ("BLANK", 0, 0, |_, _| Val::Blank),
    ("CEILING", 1, 2, |s, a| numeric(s, a, |n| step(n, f64::ceil))),
    ("CONCATENATE", 1, ANY, texts::concatenate),
    ("COUNT", 1, ANY, |s, a| counted(s, a, |v| matches!(v, Val::Number(_)))),
    ("COUNTA", 1, ANY, |s, a| counted(s, a, |v| !text(v).is_empty())),
    ("COUNTALL", 1, ANY, |s, a| counted(s, a, |_| true)),
    ("CREATED_TIME", 0, 0, |s, _| Val::Moment(s.record.created)),
    ("DATEADD", 3, 3, dates::add),
    ("DATESTR", 1, 1, |s, a| dates::formatted(s, a, "YYYY-MM-DD")),
    ("DATETIME_DIFF", 2, 3, dates::difference),
    ("DATETIME_FORMAT", 1, 2, dates::format),
    ("DATETIME_PARSE", 1, 3, dates::parse),
    ("DAY", 1, 1, |s, a| dates::part(s, a, "D")),
    ("ENCODE_URL_COMPONENT", 1, 1, texts::encode_url),
    ("ERROR", 0, 1, |_, _| Val::Error),
    ("EVEN", 1, 1, |s, a| numeric(s, a, |n| parity(n[0], 0.0))),
    ("EXACT", 2, 2, |s, a| texts::exact(s, a)),
    ("EXP", 1, 1, |s, a| numeric(s, a, |n| n[0].exp())),
    ("FALSE", 0, 0, |_, _| Val::Bool(false)),
    ("FIND", 2, 3, texts::find),
    ("FLOOR", 1, 2, |s, a| numeric(s, a, |n| step(n, f64::floor))),
    ("FROMNOW", 1, 1, dates::distance),
    ("HOUR", 1, 1, |s, a| dates::part(s, a, "H")),
    ("IF", 2, 3, if_),
    ("INT", 1, 1, |s, a| numeric(s, a, |n| n[0].floor())),
    ("ISERROR", 1, 1, |s, a| Val::Bool(s.arg(a, 0) == Some(Val::Error))),
    ("IS_AFTER", 2, 3, |s, a| dates::compare(s, a, Ordering::Greater)),
    ("IS_BEFORE", 2, 3, |s, a| dates::compare(s, a, Ordering::Less)),
    ("IS_SAME", 2, 3, |s, a| dates::compare(s, a, Ordering::Equal)),
    ("LAST_MODIFIED_TIME", 0, ANY, dates::last_modified),
    ("LEFT", 1, 2, texts::left),
    ("LEN", 1, 1, texts::len),
    ("LOG", 1, 2, |s, a| numeric(s, a, |n| n[0].ln() / n.get(1).map_or(std::f64::consts::LN_10, |base| base.ln()))),
    ("LOWER", 1, 1, |s, a| texts::mapped(s, a, |t| t.to_lowercase())),
    ("MAX", 1, ANY, |s, a| rolled(s, a, |n| n.iter().copied().fold(f64::NEG_INFINITY, f64::max))),
    ("MID", 3, 3, texts::mid),
    ("MIN", 1, ANY, |s, a| rolled(s, a, |n| n.iter().copied().fold(f64::INFINITY, f64::min))),
    ("MINUTE", 1, 1, |s, a| dates::part(s, a, "m")),
    ("MOD", 2, 2, |s, a| numeric(s, a, |n| n[0] - n[1] * (n[0] / n[1]).floor())),
    ("MONTH", 1, 1, |s, a| dates::part(s, a, "M")),
    ("NOT", 1, 1, |s, a| logic(s, a, |truths| !truths[0])),
    ("NOW", 0, 0, |s, _| Val::Moment(s.ctx.now)),
    ("ODD", 1, 1, |s, a| numeric(s, a, |n| parity(n[0], 1.0))),
    ("OR", 1, ANY, |s, a| logic(s, a, |truths| truths.iter().any(|t| *t))),
    ("POWER", 2, 2, |s, a| numeric(s, a, |n| n[0].powf(n[1]))),
    ("RECORD_ID", 0, 0, |s, _| Val::Text(s.record.id.as_str().into())),
    ("REGEX_EXTRACT", 2, 2, texts::regex_extract),
    ("REGEX_MATCH", 2, 2, texts::regex_match),
    ("REGEX_REPLACE", 3, 3, texts::regex_replace),
    ("REPLACE", 4, 4, texts::replace),
    ("REPT", 2, 2, texts::rept),
    ("RIGHT", 1, 2, texts::right),
    ("ROUND", 1, 2, |s, a| numeric(s, a, |n| rounded(n, |x| (x + 0.5).floor()))),
    ("ROUNDDOWN", 1, 2, |s, a| numeric(s, a, |n| rounded(n, f64::trunc))),
    ("ROUNDUP", 1, 2, |s, a| numeric(s, a, |n| rounded(n, |x| x.abs().ceil().copysign(x)))),
    ("SEARCH", 2, 3, texts::search),
    ("SECOND", 1, 1, |s, a| dates::part(s, a, "s")),
    ("SET_LOCALE", 2, 2, |s, a| dates::unmoved(s, a)),
    ("SET_TIMEZONE", 2, 2, |s, a| dates::unmoved(s, a)),
    ("SQRT", 1, 1, |s, a| numeric(s, a, |n| n[0].sqrt())),
    ("SUBSTITUTE", 3, 4, texts::substitute),
    ("SUM", 1, ANY, |s, a| rolled(s, a, |n| n.iter().sum())),
    ("SWITCH", 2, ANY, switch),
    ("T", 1, 1, texts::t),
    ("TIMESTR", 1, 1, |s, a| dates::formatted(s, a, "HH:mm:ss")),
    ("TODAY", 0, 0, dates::today),
    ("TONOW", 1, 1, dates::distance),
    ("TRIM", 1, 1, |s, a| texts::mapped(s, a, |t| t.trim().to_owned())),
    ("TRUE", 0, 0, |_, _| Val::Bool(true)),
    ("UPPER", 1, 1, |s, a| texts::mapped(s, a, |t| t.to_uppercase())),
    ("VALUE", 1, 1, texts::value),
    ("WEEKDAY", 1, 2, |s, a| dates::part(s, a, "d")),
    ("WEEKNUM", 1, 2, dates::week_number),
    ("WORKDAY", 2, 3, dates::workday),
    ("WORKDAY_DIFF", 2, 3, dates::workday_difference),
    ("XOR", 1, ANY, |s, a| logic(s, a, |truths| truths.iter().filter(|t| **t).count() % 2 == 1)),
    ("YEAR", 1, 1, |s, a| dates::part(s, a, "YYYY")),
];

/// All arguments with their lists opened; `None` if one is an error.
fn all<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Option<Vec<Val<'a>>> {
    fn open<'a>(value: Val<'a>, out: &mut Vec<Val<'a>>) {
        match value {
            Val::List(list) => list.into_iter().for_each(|v| open(v, out)),
            value => out.push(value),
        }
    }
    let mut values = Vec::new();
    arguments.iter().for_each(|e| open(scope.eval(e), &mut values));
    (!values.contains(&Val::Error)).then_some(values)
}

fn logic<'a>(scope: &Scope<'a>, arguments: &'a [Expr], decide: fn(&[bool]) -> bool) -> Val<'a> {
    let truths: Option<Vec<bool>> = arguments.iter().map(|e| truthy(&scope.eval(e))).collect();
    truths.map_or(Val::Error, |truths| Val::Bool(decide(&truths)))
}

fn if_<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    match truthy(&scope.eval(&arguments[0])) {
        Some(true) => scope.eval(&arguments[1]),
        Some(false) => scope.arg(arguments, 2).unwrap_or(Val::Blank),
        None => Val::Error,
    }
}

fn switch<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let it = scope.eval(&arguments[0]);
    if it == Val::Error {
        return Val::Error;
    }
    for case in arguments[1..].chunks(2) {
        match case {
            [pattern, result] if scope.equal(&it, &scope.eval(pattern)) => return scope.eval(result),
            [default] => return scope.eval(default),
            _ => {}
        }
    }
    Val::Blank
}

/// A function of numbers alone.
fn numeric<'a>(scope: &Scope<'a>, arguments: &'a [Expr], function: impl Fn(&[f64]) -> f64) -> Val<'a> {
    let numbers: Option<Vec<f64>> = arguments.iter().map(|e| scope.eval(e).number()).collect();
    numbers.map_or(Val::Error, |numbers| Val::Number(function(&numbers)))
}

/// A function of all numbers, or all dates, among the arguments and in their lists; 0 if there are none.
fn rolled<'a>(scope: &Scope<'a>, arguments: &'a [Expr], function: impl Fn(&[f64]) -> f64) -> Val<'a> {
    let Some(values) = all(scope, arguments) else { return Val::Error };
    let moments: Vec<f64> =
        values.iter().filter_map(|v| if let Val::Moment(m) = v { Some(*m as f64) } else { None }).collect();
    if !moments.is_empty() {
        return Val::Moment(function(&moments) as i64);
    }
    let numbers: Vec<f64> =
        values.iter().filter_map(|v| if let Val::Number(n) = v { Some(*n) } else { None }).collect();
    Val::Number(if numbers.is_empty() { 0.0 } else { function(&numbers) })
}

fn counted<'a>(scope: &Scope<'a>, arguments: &'a [Expr], counts: fn(&Val<'_>) -> bool) -> Val<'a> {
    all(scope, arguments).map_or(Val::Error, |values| Val::Number(values.iter().filter(|v| counts(v)).count() as f64))
}

fn listed<'a>(scope: &Scope<'a>, arguments: &'a [Expr], change: fn(&mut Vec<Val<'a>>)) -> Val<'a> {
    let Some(mut values) = all(scope, arguments) else { return Val::Error };
    change(&mut values);
    Val::List(values)
}

fn unique(list: &mut Vec<Val<'_>>) {
    let mut seen = Vec::new();
    list.retain(|v| {
        let new = !seen.contains(v);
        if new {
            seen.push(v.clone());
        }
        new
    });
}

fn array_join<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let Some(values) = all(scope, &arguments[..1]) else { return Val::Error };
    let separator = scope.arg(arguments, 1).unwrap_or(Val::Text(", ".into()));
    let parts: Vec<_> = values.iter().map(text).filter(|t| !t.is_empty()).collect();
    Val::Text(parts.join(&text(&separator)).into())
}

fn array_slice<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let Some(values) = all(scope, &arguments[..1]) else { return Val::Error };
    let place = |at: usize| scope.arg(arguments, at).and_then(|v| v.number());
    let count = values.len() as f64;
    // Places count from 1, or from the end if they are negative.
    let resolve = |n: f64| if n < 0.0 { count + n + 1.0 } else { n };
    let from = place(1).map_or(1.0, resolve).max(1.0) as usize;
    let to = place(2).map_or(count, resolve).clamp(0.0, count) as usize;
    Val::List(values.into_iter().take(to).skip(from - 1).collect())
}

/// To a multiple of the second argument.
fn step(n: &[f64], round: fn(f64) -> f64) -> f64 {
    let unit = n.get(1).copied().unwrap_or(1.0);
    round(n[0] / unit) * unit
}

/// Away from zero to the next whole number that leaves this remainder by 2.
fn parity(n: f64, remainder: f64) -> f64 {
    let whole = n.abs().ceil();
    let off = (whole % 2.0 - remainder).abs();
    (whole + off).copysign(if n == 0.0 { 1.0 } else { n })
}

fn rounded(n: &[f64], round: fn(f64) -> f64) -> f64 {
    let unit = 10_f64.powi(n.get(1).copied().unwrap_or(0.0) as i32);
    round(n[0] * unit) / unit
}
