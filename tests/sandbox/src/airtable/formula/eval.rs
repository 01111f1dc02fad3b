//! Expressions to values: what is blank, equal, less, true, and how values become text and numbers.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::clock::parse_moment;
use super::{Expr, Operator, Regexes};
use crate::airtable::base::{Base, Record};
use crate::airtable::compute;
use crate::airtable::switches::Switches;
use crate::time::{self, DAY};

/// A value of a formula.
#[derive(Clone, Debug, PartialEq)]
pub enum Val<'a> {
    Blank,
    Text(Cow<'a, str>),
    Number(f64),
    Bool(bool),
    /// Milliseconds since 1970.
    Moment(i64),
    List(Vec<Val<'a>>),
    /// `#ERROR!`
    Error,
}

/// What all evaluations of one request share.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    pub base: &'a Base,
    pub rules: &'a Switches,
    pub now: i64,
    pub regexes: &'a Regexes,
}

/// One record, for which a formula is evaluated.
pub struct Scope<'a> {
    pub ctx: Ctx<'a>,
    pub table: usize,
    pub record: &'a Record,
    /// What a rollup rolls up.
    pub values: Vec<Val<'a>>,
}

impl<'a> Scope<'a> {
    pub fn new(ctx: Ctx<'a>, table: usize, record: &'a Record) -> Scope<'a> {
        Scope { ctx, table, record, values: Vec::new() }
    }

    pub fn eval(&self, expr: &'a Expr) -> Val<'a> {
        match expr {
            Expr::Number(n) => Val::Number(*n),
            Expr::Text(text) => Val::Text(Cow::Borrowed(text)),
            Expr::Field(at) => compute::value(self.ctx, self.table, self.record, *at),
            Expr::Values => Val::List(self.values.clone()),
            Expr::Negative(inner) => self.eval(inner).number().map_or(Val::Error, |n| Val::Number(-n)),
            Expr::Call(_, function, arguments) => function(self, arguments),
            Expr::Binary(operator, left, right) => {
                let (a, b) = (self.eval(left), self.eval(right));
                if a == Val::Error || b == Val::Error {
                    return Val::Error;
                }
                match operator {
                    Operator::Equal => Val::Bool(self.equal(&a, &b)),
                    Operator::NotEqual => Val::Bool(self.differ(&a, &b, left, right)),
                    Operator::Join => Val::Text((text(&a) + &*text(&b)).into_owned().into()),
                    Operator::Add => arithmetic(&a, &b, |a, b| a + b),
                    Operator::Subtract => arithmetic(&a, &b, |a, b| a - b),
                    Operator::Multiply => arithmetic(&a, &b, |a, b| a * b),
                    Operator::Divide => arithmetic(&a, &b, |a, b| a / b),
                    _ => self.ordered(*operator, &a, &b),
                }
            }
        }
    }

    /// Whether a filter lets the record through: an error does not.
    pub fn keeps(&self, filter: &'a Expr) -> bool {
        truthy(&self.eval(filter)) == Some(true)
    }

    pub fn equal(&self, a: &Val<'_>, b: &Val<'_>) -> bool {
        use Val::*;
        match (a, b) {
            (Blank, Blank) => true,
            (Blank, other) | (other, Blank) => match other {
                Number(n) => self.ctx.rules.blank_is_zero && *n == 0.0,
                Bool(b) => !b,
                Moment(_) => false,
                other => text(other).is_empty(),
            },
            (Number(_) | Bool(_), Number(_) | Bool(_)) => a.number() == b.number(),
            (Moment(a), Moment(b)) => a == b,
            _ => {
                let (a, b) = (text(a), text(b));
                if self.ctx.rules.equals_ignores_case { a.to_lowercase() == b.to_lowercase() } else { a == b }
            }
        }
    }

    fn differ(&self, a: &Val<'_>, b: &Val<'_>, left: &Expr, right: &Expr) -> bool {
        // BLANK() itself can always be told from what is not blank.
        let blank = |v: &Val<'_>, e: &Expr| *v == Val::Blank && !matches!(e, Expr::Call("BLANK", ..));
        if !self.ctx.rules.blank_is_not_equal && (blank(a, left) || blank(b, right)) {
            return false;
        }
        !self.equal(a, b)
    }

    fn ordered(&self, operator: Operator, a: &Val<'_>, b: &Val<'_>) -> Val<'static> {
        let Some(order) = self.order(a, b) else { return Val::Error };
        Val::Bool(order.is_some_and(|order| match operator {
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            _ => order.is_ge(),
        }))
    }

    /// `None`: an error; `Some(None)`: neither is less, nor are they equal.
    fn order(&self, a: &Val<'_>, b: &Val<'_>) -> Option<Option<Ordering>> {
        use Val::*;
        Some(match (a, b) {
            (Moment(a), Moment(b)) => Some(a.cmp(b)),
            (Moment(a), Text(_)) => self.moment(b)?.map(|b| a.cmp(&b)),
            (Text(_), Moment(b)) => self.moment(a)?.map(|a| a.cmp(b)),
            (Moment(_), Blank) | (Blank, Moment(_)) => None,
            (Blank | Text(_) | List(_), Text(_) | List(_)) | (Text(_) | List(_), Blank) => Some(text(a).cmp(&text(b))),
            (Blank, _) | (_, Blank) if !self.ctx.rules.blank_is_zero => None,
            _ => a.number()?.partial_cmp(&b.number()?),
        })
    }

    /// A date, a text that reads as one, or a blank (`Some(None)`); `None` is an error.
    pub fn moment(&self, value: &Val<'_>) -> Option<Option<i64>> {
        match value {
            Val::Moment(moment) => Some(Some(*moment)),
            Val::Blank => Some(None),
            Val::Text(text) if text.is_empty() => Some(None),
            Val::Text(text) if self.ctx.rules.parse_date_strings => {
                parse_moment(text, self.ctx.rules.zone_offset_minutes).map(Some)
            }
            Val::List(list) if list.len() <= 1 => self.moment(list.first().unwrap_or(&Val::Blank)),
            _ => None,
        }
    }

    /// The argument at this place, if there is one.
    pub fn arg(&self, arguments: &'a [Expr], at: usize) -> Option<Val<'a>> {
        arguments.get(at).map(|e| self.eval(e))
    }
}

impl Val<'_> {
    /// As an operand of arithmetic; a text is none.
    pub fn number(&self) -> Option<f64> {
        match self {
            Val::Blank => Some(0.0),
            Val::Number(n) => Some(*n),
            Val::Bool(b) => Some(f64::from(u8::from(*b))),
            Val::List(list) => match &list[..] {
                [] => Some(0.0),
                [one] => one.number(),
                _ => None,
            },
            _ => None,
        }
    }
}

fn arithmetic(a: &Val<'_>, b: &Val<'_>, operation: impl Fn(f64, f64) -> f64) -> Val<'static> {
    match (a.number(), b.number()) {
        (Some(a), Some(b)) => Val::Number(operation(a, b)),
        _ => Val::Error,
    }
}

/// Not 0, false, "", NaN, blank or an empty list; `None` of an error.
pub fn truthy(value: &Val<'_>) -> Option<bool> {
    Some(match value {
        Val::Blank => false,
        Val::Text(text) => !text.is_empty(),
        Val::Number(n) => *n != 0.0 && !n.is_nan(),
        Val::Bool(b) => *b,
        Val::Moment(_) => true,
        Val::List(list) => !list.is_empty(),
        Val::Error => return None,
    })
}

/// A value as text, as `&` makes it.
pub fn text<'v>(value: &'v Val<'_>) -> Cow<'v, str> {
    match value {
        Val::Blank => Cow::Borrowed(""),
        Val::Text(text) => Cow::Borrowed(text),
        Val::Number(n) => Cow::Owned(number_text(*n)),
        Val::Bool(true) => Cow::Borrowed("1"),
        Val::Bool(false) => Cow::Borrowed(""),
        Val::Moment(moment) => Cow::Owned(moment_text(*moment)),
        Val::List(list) => Cow::Owned(list.iter().map(text).collect::<Vec<_>>().join(", ")),
        Val::Error => Cow::Borrowed("#ERROR!"),
    }
}

/// `2024-05-31T12:34:56.000Z`
pub fn moment_text(moment: i64) -> String {
    let mut out = Vec::with_capacity(24);
    time::write_date(moment.div_euclid(DAY) as i32, &mut out);
    out.push(b'T');
    time::write_time(moment.rem_euclid(DAY) as u32, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A number as JavaScript writes it.
pub fn number_text(n: f64) -> String {
    let size = n.abs();
    if n == 0.0 {
        return "0".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if n.is_nan() || (1e-6..1e21).contains(&size) {
        return n.to_string();
    }
    let text = format!("{n:e}");
    if text.contains("e-") { text } else { text.replace('e', "e+") }
}
