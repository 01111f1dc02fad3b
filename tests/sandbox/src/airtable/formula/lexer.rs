//! Formula text to tokens.

use super::{Invalid, Operator};

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Number(f64),
    Text(String),
    /// A field, in braces.
    Braced(String),
    /// A function or a field without braces.
    Word(String),
    Operator(Operator),
    Open,
    Close,
    Comma,
}

/// All tokens of a formula; `brace_escapes` lets `\}` stand for a brace within braces.
pub fn tokens(source: &str, brace_escapes: bool) -> Result<Vec<Token>, Invalid> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            c if c.is_whitespace() => {
                rest = &rest[c.len_utf8()..];
                continue;
            }
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '\'' | '"' => string(rest, first)?,
            '{' => braced(rest, brace_escapes)?,
            '0'..='9' | '.' => number(rest)?,
            c if c.is_alphabetic() || c == '_' => {
                let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            }
            _ => operator(rest)?,
        };
        found.push(token);
        rest = &rest[length..];
    }
    Ok(found)
}

fn operator(rest: &str) -> Result<(Token, usize), Invalid> {
    const ALL: [(&str, Operator); 11] = [
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("=", Operator::Equal),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("&", Operator::Join),
        ("+", Operator::Add),
        ("-", Operator::Subtract),
        ("*", Operator::Multiply),
        ("/", Operator::Divide),
    ];
    let known = ALL.iter().find(|(text, _)| rest.starts_with(text));
    known.map(|(text, operator)| (Token::Operator(*operator), text.len())).ok_or(Invalid::Formula)
}

/// Digits with a point among them or not; there is no exponent.
fn number(rest: &str) -> Result<(Token, usize), Invalid> {
    let length = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    if rest[length..].starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return Err(Invalid::Formula);
    }
    let value = rest[..length].parse().map_err(|_| Invalid::Formula)?;
    Ok((Token::Number(value), length))
}

fn string(rest: &str, quote: char) -> Result<(Token, usize), Invalid> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((Token::Text(text), at + 1)),
            '\\' => text.push(match chars.next().ok_or(Invalid::Formula)?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                c @ ('\\' | '\'' | '"') => c,
                _ => return Err(Invalid::Formula),
            }),
            c => text.push(c),
        }
    }
    Err(Invalid::Formula)
}

fn braced(rest: &str, escapes: bool) -> Result<(Token, usize), Invalid> {
    let mut name = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '}' => return Ok((Token::Braced(name), at + 1)),
            '\\' if escapes && chars.peek().is_some_and(|(_, next)| matches!(next, '}' | '{' | '\\')) => {
                name.extend(chars.next().map(|(_, c)| c));
            }
            c => name.push(c),
        }
    }
    Err(Invalid::Formula)
}
