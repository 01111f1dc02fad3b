//! The value of a field, and how the API compares text.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::id::Id;
use super::number::Decimal;

/// The value of one field. An empty text does not exist: it is `Null`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(Cow<'static, str>),
    Id(Id),
    /// Days since 1970-01-01.
    Date(i32),
    /// Milliseconds since 1970-01-01.
    DateTime(i64),
    /// Milliseconds since midnight.
    Time(u32),
}

impl Value {
    pub fn text(text: impl Into<Cow<'static, str>>) -> Value {
        let text = text.into();
        if text.is_empty() { Value::Null } else { Value::Text(text) }
    }

    pub fn whole(number: impl Into<i128>) -> Value {
        Value::Number(Decimal::new(number.into(), 0))
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Id(id) => Some(id.as_str()),
            _ => None,
        }
    }

    pub fn as_id(&self) -> Option<Id> {
        if let Value::Id(id) = self { Some(*id) } else { None }
    }

    pub fn is_true(&self) -> bool {
        matches!(self, Value::Bool(true))
    }

    /// The order of two values of one field; `None` if one is null.
    pub fn compare(&self, other: &Value, case_sensitive: bool) -> Option<Ordering> {
        Some(match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Number(a), Value::Number(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) if case_sensitive => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => collate(a, b),
            (Value::Id(a), Value::Id(b)) => a.cmp(b),
            (Value::Date(a), Value::Date(b)) => a.cmp(b),
            (Value::DateTime(a), Value::DateTime(b)) => a.cmp(b),
            (Value::Time(a), Value::Time(b)) => a.cmp(b),
            _ => return None,
        })
    }
}

/// Text without its case, for equality.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else if text.is_ascii() {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
    }
}

/// Whether `text` equals `folded`, which has been through `fold`.
pub fn same_folded(text: &str, folded: &str) -> bool {
    if text.is_ascii() { text.eq_ignore_ascii_case(folded) } else { fold(text) == folded }
}

/// A locale-like order: case is ignored, white space comes before punctuation, punctuation before digits, digits
/// before letters, and accents only break ties. The vendor's collation is not published; this one differs from byte
/// order as much as it does.
pub fn collate(a: &str, b: &str) -> Ordering {
    let primary = a.chars().flat_map(weigh).cmp(b.chars().flat_map(weigh));
    primary.then_with(|| fold(a).cmp(&fold(b)))
}

fn weigh(c: char) -> impl Iterator<Item = (u8, char)> {
    // Combining marks have no weight of their own.
    let visible = !('\u{300}'..='\u{36f}').contains(&c);
    let class = match c {
        _ if c.is_whitespace() => 0,
        _ if c.is_numeric() => 2,
        _ if c.is_alphabetic() => 3,
        _ => 1,
    };
    c.to_lowercase().filter(move |_| visible).map(move |l| (class, unaccented(l)))
}

fn unaccented(c: char) -> char {
    match c {
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' | 'ø' => 'o',
        'ù'..='ü' => 'u',
        'ý' | 'ÿ' => 'y',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_ignores_case_beyond_ascii() {
        assert!(same_folded("ACME", "acme") && same_folded("ÉCLAIR", &fold("éclair")) && !same_folded("acme ", "acme"));
    }

    #[test]
    fn order_ignores_case_and_puts_letters_last() {
        let mut words = vec!["b", "A", "a1", "_x", "Z", "1", "É", "f", " s"];
        words.sort_by(|a, b| collate(a, b));
        assert_eq!(words, [" s", "_x", "1", "A", "a1", "b", "É", "f", "Z"]);
        assert_eq!(collate("Acme", "ACME"), Ordering::Equal);
    }
}
