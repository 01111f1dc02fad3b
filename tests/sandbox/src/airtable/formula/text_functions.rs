//! Functions of texts. A blank is the empty text; lengths and places are counted in UTF-16 units unless switched.

use std::borrow::Cow;

use super::Expr;
use super::eval::{Scope, Val, text};

/// Longer texts than this are an error.
const LONGEST: usize = 1 << 20;

/// A text as units that are counted.
enum Units {
    Utf16(Vec<u16>),
    Chars(Vec<char>),
}

impl Units {
    fn of(scope: &Scope<'_>, text: &str) -> Units {
        if scope.ctx.rules.utf16_lengths {
            Units::Utf16(text.encode_utf16().collect())
        } else {
            Units::Chars(text.chars().collect())
        }
    }

    fn len(&self) -> usize {
        match self {
            Units::Utf16(units) => units.len(),
            Units::Chars(chars) => chars.len(),
        }
    }

    /// Half a pair of surrogates is no character any more.
    fn cut(&self, from: usize, to: usize) -> String {
        let (from, to) = (from.min(self.len()), to.min(self.len()));
        if from >= to {
            return String::new();
        }
        match self {
            Units::Utf16(units) => String::from_utf16_lossy(&units[from..to]),
            Units::Chars(chars) => chars[from..to].iter().collect(),
        }
    }
}

/// The argument as text; `None` if it is an error.
fn string<'a>(scope: &Scope<'a>, arguments: &'a [Expr], at: usize) -> Option<Cow<'a, str>> {
    match scope.arg(arguments, at)? {
        Val::Error => None,
        Val::Text(text) => Some(text),
        value => Some(Cow::Owned(text(&value).into_owned())),
    }
}

/// The argument as a count; negative ones are 0.
fn count<'a>(scope: &Scope<'a>, arguments: &'a [Expr], at: usize) -> Option<usize> {
    scope.arg(arguments, at)?.number().map(|n| n.max(0.0) as usize)
}

fn made<'a>(text: Option<String>) -> Val<'a> {
    text.map_or(Val::Error, |text| Val::Text(text.into()))
}

pub fn mapped<'a>(scope: &Scope<'a>, arguments: &'a [Expr], map: fn(&str) -> String) -> Val<'a> {
    made(string(scope, arguments, 0).map(|t| map(&t)))
}

pub fn concatenate<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    made((0..arguments.len()).map(|at| string(scope, arguments, at)).collect())
}

pub fn encode_url<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    // What JavaScript's encodeURIComponent leaves alone.
    const SET: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'!')
        .remove(b'~')
        .remove(b'*')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')');
    mapped(scope, arguments, |t| percent_encoding::utf8_percent_encode(t, SET).to_string())
}

pub fn exact<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    match (string(scope, arguments, 0), string(scope, arguments, 1)) {
        (Some(a), Some(b)) => Val::Bool(a == b),
        _ => Val::Error,
    }
}

pub fn len<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    string(scope, arguments, 0).map_or(Val::Error, |t| Val::Number(Units::of(scope, &t).len() as f64))
}

pub fn left<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let cut = || {
        let length = if arguments.len() > 1 { count(scope, arguments, 1)? } else { 1 };
        Some(Units::of(scope, &string(scope, arguments, 0)?).cut(0, length))
    };
    made(cut())
}

pub fn right<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let cut = || {
        let length = if arguments.len() > 1 { count(scope, arguments, 1)? } else { 1 };
        let units = Units::of(scope, &string(scope, arguments, 0)?);
        Some(units.cut(units.len().saturating_sub(length), units.len()))
    };
    made(cut())
}

/// The place counts from 1.
pub fn mid<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let cut = || {
        let from = count(scope, arguments, 1)?.saturating_sub(1);
        let length = count(scope, arguments, 2)?;
        Some(Units::of(scope, &string(scope, arguments, 0)?).cut(from, from.saturating_add(length)))
    };
    made(cut())
}

/// With what stood there replaced: text, place from 1, length, replacement.
pub fn replace<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let replaced = || {
        let units = Units::of(scope, &string(scope, arguments, 0)?);
        let from = count(scope, arguments, 1)?.saturating_sub(1);
        let to = from.saturating_add(count(scope, arguments, 2)?);
        Some(units.cut(0, from) + &*string(scope, arguments, 3)? + &*units.cut(to, units.len()))
    };
    made(replaced())
}

pub fn rept<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let repeated = || {
        let (text, times) = (string(scope, arguments, 0)?, count(scope, arguments, 1)?);
        (text.len().checked_mul(times)? <= LONGEST).then(|| text.repeat(times))
    };
    made(repeated())
}

/// Where the first text begins in the second, from 1, with its case.
pub fn find<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    place(scope, arguments, !scope.ctx.rules.find_minds_case).map_or(Val::Error, |at| Val::Number(at as f64))
}

/// The same without case; blank where it is not found.
pub fn search<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    match place(scope, arguments, scope.ctx.rules.search_ignores_case) {
        None => Val::Error,
        Some(0) => Val::Blank,
        Some(at) => Val::Number(at as f64),
    }
}

fn place<'a>(scope: &Scope<'a>, arguments: &'a [Expr], fold: bool) -> Option<usize> {
    let (mut needle, mut text) = (string(scope, arguments, 0)?, string(scope, arguments, 1)?);
    if fold {
        needle = needle.to_lowercase().into();
        text = text.to_lowercase().into();
    }
    let skipped = if arguments.len() > 2 { count(scope, arguments, 2)?.saturating_sub(1) } else { 0 };
    if skipped == 0 {
        let Some(at) = text.find(&*needle) else { return Some(0) };
        return Some(Units::of(scope, &text[..at]).len() + 1);
    }
    let units = Units::of(scope, &text);
    let rest = units.cut(skipped, units.len());
    let found = rest.find(&*needle).map(|at| Units::of(scope, &rest[..at]).len() + skipped + 1);
    Some(found.unwrap_or(0))
}

pub fn substitute<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let substituted = || {
        let (it, old, new) = (string(scope, arguments, 0)?, string(scope, arguments, 1)?, string(scope, arguments, 2)?);
        if old.is_empty() {
            return Some(it.into_owned());
        }
        if arguments.len() == 3 {
            return Some(it.replace(&*old, &new));
        }
        let which = count(scope, arguments, 3)?.max(1) - 1;
        let found = it.match_indices(&*old).nth(which).map(|(at, _)| at);
        Some(found.map_or(it.to_string(), |at| format!("{}{new}{}", &it[..at], &it[at + old.len()..])))
    };
    made(substituted())
}

/// The text, if it is one.
pub fn t<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    match scope.eval(&arguments[0]) {
        value @ (Val::Text(_) | Val::Error) => value,
        _ => Val::Blank,
    }
}

/// The number that a text has, whatever stands around it.
pub fn value<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    match scope.eval(&arguments[0]) {
        Val::Text(text) => {
            let digits: String = text.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect();
            digits.parse().map_or(Val::Error, Val::Number)
        }
        value => value.number().map_or(Val::Error, Val::Number),
    }
}

pub fn regex_match<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let found = || {
        let (text, pattern) = (string(scope, arguments, 0)?, string(scope, arguments, 1)?);
        Some(scope.ctx.regexes.get(&pattern)?.is_match(&text))
    };
    found().map_or(Val::Error, Val::Bool)
}

pub fn regex_extract<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let found = || {
        let (text, pattern) = (string(scope, arguments, 0)?, string(scope, arguments, 1)?);
        Some(scope.ctx.regexes.get(&pattern)?.find(&text)?.as_str().to_owned())
    };
    made(found())
}

pub fn regex_replace<'a>(scope: &Scope<'a>, arguments: &'a [Expr]) -> Val<'a> {
    let replaced = || {
        let (text, pattern) = (string(scope, arguments, 0)?, string(scope, arguments, 1)?);
        let replacement = string(scope, arguments, 2)?;
        Some(scope.ctx.regexes.get(&pattern)?.replace_all(&text, &*replacement).into_owned())
    };
    made(replaced())
}
