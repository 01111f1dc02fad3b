//! Formulas: how a filter is worded.
//!
//! Much of what formulas do with blanks, case and zones is not promised. So a formula finds at least the records that are
//! wanted, whichever way that is, and is tested again here where it may find more: blanks are kept out by joining the value
//! with the empty text, dates are compared a little more widely than asked, and what a formula field computes may be an
//! error, which would carry away a whole OR.
//! <https://support.airtable.com/docs/formula-field-reference>

use std::collections::BTreeSet;

use super::api::is_id;
use super::family::{Family, family, is_formula};
use crate::connector::encode::{backslashed, single_quoted};
use crate::error::{Error, Kind, Result};
use crate::number::Number;
use crate::query::pattern::{Case, Form, Glyph, Pattern};
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::query::push::SHORT_LIST;
use crate::schema::Field;
use crate::value::{Value, format_date, format_instant_millis};

/// A filter as a formula, or what it comes to for every record.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    True,
    False,
    Test(String),
}

use Formula::{False, Test, True};

impl Formula {
    /// Those that all hold.
    pub fn all(parts: impl IntoIterator<Item = Formula>) -> Formula {
        joined("AND", parts, True, False)
    }

    fn any(parts: impl IntoIterator<Item = Formula>) -> Formula {
        joined("OR", parts, False, True)
    }
}

/// `nothing` leaves a join as it is, `everything` decides it.
fn joined(word: &str, parts: impl IntoIterator<Item = Formula>, nothing: Formula, everything: Formula) -> Formula {
    let mut tests = Vec::new();
    for part in parts {
        match part {
            part if part == everything => return everything,
            Test(test) => tests.push(test),
            _ => {}
        }
    }
    match tests.len() {
        0 => nothing,
        1 => Test(tests.remove(0)),
        _ => Test(format!("{word}({})", tests.join(","))),
    }
}

/// A filter as a formula. Operands that are not known yet are worded as `$1`, `$2`, …
///
/// Errors: our own fault if a condition is none that [`super::support`] lets through.
pub fn condition(predicate: &Predicate) -> Result<Formula> {
    Ok(match predicate {
        Predicate::True | Predicate::Opaque => True,
        Predicate::False => False,
        Predicate::Known { operand: Operand::Value(Value::Bool(holds)), negated } if holds != negated => True,
        Predicate::Known { operand: Operand::Value(_), .. } => False,
        Predicate::Known { operand: Operand::Arg(at), negated: false } => Test(parameter(*at)),
        Predicate::Known { operand: Operand::Arg(at), negated: true } => Test(format!("NOT({})", parameter(*at))),
        Predicate::And(parts) => Formula::all(conditions(parts)?),
        Predicate::Or(parts) => Formula::any(conditions(parts)?),
        Predicate::Weaker(inner) => condition(inner)?,
        Predicate::Compare { field, op, operand } => compare(field, *op, operand)?,
        Predicate::In { field, list, negated } => in_list(field, list, *negated)?,
        Predicate::IsNull { field, negated: false } => is_null(field)?,
        Predicate::IsNull { field, negated: true } => not_null(field)?,
        Predicate::Distinct { field, operand, negated: true } => compare(field, Comparison::Eq, operand)?,
        Predicate::Distinct { field, operand, negated: false } => {
            Formula::any([compare(field, Comparison::Ne, operand)?, is_null(field)?])
        }
        Predicate::Text { field, case, form, pattern } => like_any(field, *case, *form, pattern)?,
        Predicate::Holds { field, items, all } => holds(field, items, *all)?,
    })
}

fn conditions(parts: &[Predicate]) -> Result<Vec<Formula>> {
    parts.iter().map(condition).collect()
}

fn parameter(at: usize) -> String {
    format!("${}", at + 1)
}

/// A field in a formula.
fn reference(field: &Field) -> Result<String> {
    Ok(match family(field) {
        Some(Family::Id) => "RECORD_ID()".to_owned(),
        Some(Family::Created) => "CREATED_TIME()".to_owned(),
        Some(_) => format!("{{{}}}", field.name),
        None => return Err(misplaced(field)),
    })
}

fn misplaced(field: &Field) -> Error {
    Error::new(Kind::Internal, format!("a condition on field {} was pushed that cannot be worded", field.name))
        .column(&field.name)
}

/// A test of a field; where it may come to an error, what it is to say then.
fn guarded(field: &Field, test: String, of_errors: bool) -> Result<Formula> {
    if !is_formula(field) {
        return Ok(Test(test));
    }
    let otherwise = if of_errors { "TRUE()" } else { "FALSE()" };
    Ok(Test(format!("IF(ISERROR({test}),{otherwise},{test})")))
}

fn is_null(field: &Field) -> Result<Formula> {
    match family(field) {
        // A record always has these, and a check box is never null here.
        Some(Family::Id | Family::Created | Family::Bool) => Ok(False),
        _ => guarded(field, format!("{}&''=''", reference(field)?), true),
    }
}

fn not_null(field: &Field) -> Result<Formula> {
    match family(field) {
        Some(Family::Id | Family::Created | Family::Bool) => Ok(True),
        // FALSE() is 0 here, and the empty text there.
        Some(Family::Number) if is_formula(field) => Ok(True),
        _ => guarded(field, format!("{}&''!=''", reference(field)?), false),
    }
}

fn compare(field: &Field, op: Comparison, operand: &Operand) -> Result<Formula> {
    use Comparison::*;
    let name = reference(field)?;
    let value = match operand {
        Operand::Value(value) => value,
        Operand::Arg(at) => return unknown(field, op, &name, &parameter(*at)),
    };
    match (family(field), value) {
        (Some(Family::Id), Value::Text(id)) if op == Eq => {
            Ok(if is_id("rec", id) { Test(format!("{name}={}", quote(id))) } else { False })
        }
        // No cell holds an empty text.
        (Some(Family::Text), Value::Text(text)) if op == Eq && (text.is_empty() || text.contains('\0')) => Ok(False),
        (Some(Family::Text), Value::Text(text)) if op == Eq => guarded(field, format!("{name}={}", quote(text)), false),
        (Some(Family::Bool), Value::Bool(flag)) if matches!(op, Eq | Ne) => {
            let checked = *flag == (op == Eq);
            let test = if checked { name } else { format!("NOT({name})") };
            guarded(field, test, !checked)
        }
        (Some(Family::Number), Value::Int(_) | Value::Decimal(_) | Value::Float(_)) => {
            number(field, op, &name, &value.to_input())
        }
        (Some(Family::Date), Value::Date(day)) => {
            let bound = |day: i32| format_date(day).filter(|text| text.len() == 10);
            // Of a computed instant the day is shown that it is in some zone.
            let margin = if is_formula(field) { 2 } else { 1 };
            let bounds = day.checked_sub(margin).and_then(bound).zip(day.checked_add(margin).and_then(bound));
            moment(field, op, &name, bounds, i64::from(*day))
        }
        (Some(Family::Instant | Family::Created), Value::Instant(micros)) => {
            const SECOND: i64 = 1_000_000;
            let bound = |micros: i64| format_instant_millis(micros).filter(|text| text.len() == 24);
            let bounds = micros.checked_sub(SECOND).and_then(bound).zip(micros.checked_add(SECOND).and_then(bound));
            moment(field, op, &name, bounds, *micros)
        }
        _ => Err(misplaced(field)),
    }
}

/// A comparison with what is not known yet, as it is shown.
fn unknown(field: &Field, op: Comparison, name: &str, parameter: &str) -> Result<Formula> {
    let sign = match op {
        Comparison::Eq => "=",
        Comparison::Ne => "!=",
        Comparison::Lt => "<",
        Comparison::Le => "<=",
        Comparison::Gt => ">",
        Comparison::Ge => ">=",
    };
    match family(field) {
        Some(Family::Date | Family::Instant | Family::Created) => {
            worded_moment(field, op, name, (parameter, parameter))
        }
        Some(Family::Number) => filled(field, name, format!("{name}{sign}{parameter}")),
        _ => guarded(field, format!("{name}{sign}{parameter}"), false),
    }
}

/// A test that holds of no blank: formulas may take one for 0.
fn filled(field: &Field, name: &str, test: String) -> Result<Formula> {
    if is_formula(field) {
        return guarded(field, test, false);
    }
    guarded(field, format!("AND({name}&''!='',{test})"), false)
}

/// Formulas count in doubles, Postgres in decimals: what the operand's double is compared with is at most a little more.
fn number(field: &Field, op: Comparison, name: &str, text: &str) -> Result<Formula> {
    use Comparison::*;
    /// More digits are no double's.
    const MAX_MAGNITUDE: i64 = 310;
    let number = Number::parse(text).filter(|number| number.magnitude() < MAX_MAGNITUDE);
    let Some(number) = number else {
        let below = text.starts_with('-');
        let holds = op == Ne || if below { matches!(op, Gt | Ge) } else { matches!(op, Lt | Le) };
        // What a formula computes may be NaN or infinite.
        return if holds || is_formula(field) { not_null(field) } else { Ok(False) };
    };
    let plain = number.plain();
    if plain.len() > 2 * MAX_MAGNITUDE as usize {
        return not_null(field);
    }
    let shortest = plain.parse::<f64>().ok().and_then(|double| Number::parse(&double.to_string()));
    let exact = shortest.as_ref() == Some(&number);
    let sign = match op {
        Eq => "=",
        Ne if exact => "!=",
        Ne => return not_null(field),
        Lt if exact => "<",
        Lt | Le => "<=",
        Gt if exact => ">",
        Gt | Ge => ">=",
    };
    filled(field, name, format!("{name}{sign}{plain}"))
}

/// A comparison with a day or an instant, between `bounds` that lie a little below and above it; `None` where it, or one of
/// them, lies beyond the API's calendar.
fn moment(field: &Field, op: Comparison, name: &str, bounds: Option<(String, String)>, place: i64) -> Result<Formula> {
    use Comparison::*;
    let parsed = |text: &str| format!("DATETIME_PARSE('{text}')");
    match bounds {
        Some((below, above)) => worded_moment(field, op, name, (&parsed(&below), &parsed(&above))),
        // Which years before the first the API knows, nobody says; there is none after 9999.
        None if place > 0 && matches!(op, Eq | Gt | Ge) && beyond(field, place) => Ok(False),
        None => not_null(field),
    }
}

/// Whether a day or an instant lies after the year 9999, and not just at its end.
fn beyond(field: &Field, place: i64) -> bool {
    const LAST_DAY: i64 = 2_932_896;
    const DAY_MICROS: i64 = 86_400_000_000;
    if family(field) == Some(Family::Date) { place > LAST_DAY } else { place > (LAST_DAY + 1) * DAY_MICROS }
}

fn worded_moment(field: &Field, op: Comparison, name: &str, (below, above): (&str, &str)) -> Result<Formula> {
    use Comparison::*;
    let after = format!("IS_AFTER({name},{below})");
    let before = format!("IS_BEFORE({name},{above})");
    let test = match op {
        Ne => return not_null(field),
        Eq => format!("AND({after},{before})"),
        Gt | Ge => after,
        Lt | Le => before,
    };
    match family(field) {
        Some(Family::Created) => Ok(Test(test)),
        // A blank may be an error to these functions.
        _ => guarded(field, format!("IF({name},{test},FALSE())"), false),
    }
}

fn in_list(field: &Field, list: &Operand, negated: bool) -> Result<Formula> {
    let items = match list {
        Operand::Value(Value::List(items)) => items,
        Operand::Value(_) => return Err(misplaced(field)),
        Operand::Arg(at) => {
            let test = format!("{} IN {}", reference(field)?, parameter(*at));
            return guarded(field, if negated { format!("NOT({test})") } else { test }, false);
        }
    };
    if items.len() > SHORT_LIST {
        return not_null(field);
    }
    let op = if negated { Comparison::Ne } else { Comparison::Eq };
    let mut tests = Vec::with_capacity(items.len());
    for item in items {
        let test = compare(field, op, &Operand::Value(item.clone()))?;
        if !tests.contains(&test) {
            tests.push(test);
        }
    }
    Ok(if negated { Formula::all(tests) } else { Formula::any(tests) })
}

/// A text that matches any of the patterns, and perhaps others. Nobody promises what FIND makes of case, nor how lengths
/// are counted: all that is asked is that the parts between wildcards are there, the first of them at the beginning.
fn like_any(field: &Field, case: Case, form: Form, patterns: &Operand) -> Result<Formula> {
    let name = reference(field)?;
    let patterns = match patterns {
        Operand::Value(Value::List(patterns)) => &patterns[..],
        Operand::Value(one) => std::slice::from_ref(one),
        Operand::Arg(at) => return guarded(field, format!("FIND({},{name}&'')>0", parameter(*at)), false),
    };
    let text = if case == Case::Kept { format!("{name}&''") } else { format!("LOWER({name}&'')") };
    let mut any = Vec::new();
    for pattern in patterns {
        let Value::Text(pattern) = pattern else { return Err(misplaced(field)) };
        let Some(pattern) = Pattern::new(form, pattern) else { return Ok(True) };
        any.push(match pattern.before(case) {
            empty if empty.glyphs().is_empty() => False,
            pattern => parts(field, case, &text, pattern.glyphs())?,
        });
    }
    if any.len() > SHORT_LIST {
        return not_null(field);
    }
    Ok(Formula::any(any))
}

fn parts(field: &Field, case: Case, text: &str, glyphs: &[Glyph]) -> Result<Formula> {
    let anchored = matches!(glyphs.first(), Some(Glyph::Letter(_)));
    let mut tests = Vec::new();
    for (at, part) in glyphs.split(|glyph| !matches!(glyph, Glyph::Letter(_))).enumerate() {
        let letters =
            part.iter().filter_map(|glyph| if let Glyph::Letter(letter) = glyph { Some(*letter) } else { None });
        let letters: String = if case == Case::Kept {
            letters.collect()
        } else {
            letters.map(|letter| letter.to_ascii_lowercase()).collect()
        };
        if letters.contains('\0') {
            return Ok(False);
        }
        if !letters.is_empty() {
            let place = if at == 0 && anchored { "=1" } else { ">0" };
            tests.push(format!("FIND({},{text}){place}", quote(&letters)));
        }
    }
    match tests.len() {
        0 => not_null(field),
        1 => guarded(field, tests.remove(0), false),
        _ => guarded(field, format!("AND({})", tests.join(",")), false),
    }
}

/// A list of choices that holds any of these, or all of them, and perhaps others.
fn holds(field: &Field, items: &Operand, all: bool) -> Result<Formula> {
    let list = format!("ARRAYJOIN({},',')", reference(field)?);
    let items = match items {
        Operand::Value(Value::List(items)) => &items[..],
        Operand::Value(one) => std::slice::from_ref(one),
        Operand::Arg(at) => return Ok(Test(format!("FIND({},{list})>0", parameter(*at)))),
    };
    if items.len() > SHORT_LIST {
        return not_null(field);
    }
    let texts: BTreeSet<&str> = items
        .iter()
        .map(|item| if let Value::Text(text) = item { Ok(&**text) } else { Err(misplaced(field)) })
        .collect::<Result<_>>()?;
    let tests = texts.into_iter().map(|text| match text {
        // The empty text is no choice.
        text if text.is_empty() || text.contains('\0') => False,
        text => Test(format!("FIND({},{list})>0", quote(text))),
    });
    Ok(if all { Formula::all(tests) } else { Formula::any(tests) })
}

/// A text in a formula.
pub fn quote(text: &str) -> String {
    single_quoted(text, backslashed)
}
