//! SOQL text to tokens.

use super::syntax_error;
use crate::salesforce::error::Result;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A name or keyword; a date literal keeps its `:n`.
    Word(String),
    /// A number, date, datetime or time, not yet told apart.
    Literal(String),
    Text(Text),
    Symbol(&'static str),
    End,
}

/// A string literal. In LIKE, `\%` and `\_` are characters and the bare ones are wildcards, so both readings are
/// kept.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Text {
    pub plain: String,
    pub pattern: Vec<Pattern>,
    /// `\%` or `\_` occurs, which only LIKE allows.
    pub only_like: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    One,
    Any,
    Char(char),
}

/// A token and the byte at which it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned {
    pub token: Token,
    pub at: usize,
    pub end: usize,
}

pub fn tokens(query: &str) -> Result<Vec<Spanned>> {
    let bytes = query.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let from = at;
        let token = match bytes[at] {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'\'' => {
                let (text, end) = text(query, at)?;
                at = end;
                Token::Text(text)
            }
            b if b.is_ascii_alphabetic() || b == b'_' => {
                at = run(bytes, at, |b| b.is_ascii_alphanumeric() || b == b'_');
                // LAST_N_DAYS:30
                if bytes.get(at) == Some(&b':') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
                    at = run(bytes, at + 1, |b| b.is_ascii_digit());
                }
                Token::Word(query[from..at].to_owned())
            }
            b if b.is_ascii_digit()
                || (matches!(b, b'-' | b'+' | b'.')
                    && bytes.get(at + 1).is_some_and(|b| b.is_ascii_digit() || *b == b'.')) =>
            {
                if b == b'.' && matches!(out.last(), Some(Spanned { token: Token::Word(_), .. })) {
                    at += 1;
                    out.push(Spanned { token: Token::Symbol("."), at: from, end: at });
                    continue;
                }
                at = run(bytes, at + 1, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-' | b'+'));
                Token::Literal(query[from..at].to_owned())
            }
            _ => {
                const SYMBOLS: [&str; 12] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", ".", ":"];
                let Some(symbol) = SYMBOLS.iter().find(|s| query[at..].starts_with(**s)) else {
                    let c = query[at..].chars().next().unwrap_or(' ');
                    return Err(syntax_error(query, at, &format!("unexpected token: '{c}'")));
                };
                at += symbol.len();
                Token::Symbol(symbol)
            }
        };
        out.push(Spanned { token, at: from, end: at });
    }
    out.push(Spanned { token: Token::End, at: bytes.len(), end: bytes.len() });
    Ok(out)
}

fn run(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    from + bytes[from..].iter().take_while(|b| belongs(**b)).count()
}

/// The string literal that begins at `from`, and where it ends.
fn text(query: &str, from: usize) -> Result<(Text, usize)> {
    let mut text = Text::default();
    let mut chars = query[from + 1..].char_indices().map(|(i, c)| (from + 1 + i, c));
    while let Some((at, c)) = chars.next() {
        let (c, pattern) = match c {
            '\'' => return Ok((text, at + 1)),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some(c @ ('%' | '_')) => {
                    text.only_like = true;
                    text.plain.push('\\');
                    (c, Pattern::Char(c))
                }
                Some('u') => {
                    let code: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    let unit = (code.len() == 4).then(|| u32::from_str_radix(&code, 16).ok()).flatten();
                    // A NUL cannot appear, and half a surrogate pair is no character.
                    match unit.and_then(char::from_u32).filter(|c| *c != '\0') {
                        Some(c) => (c, Pattern::Char(c)),
                        None => return Err(syntax_error(query, at, "Invalid string literal: bad unicode escape")),
                    }
                }
                escape => {
                    let c = match escape {
                        Some(c @ ('\'' | '"' | '\\')) => c,
                        Some('n' | 'N') => '\n',
                        Some('r' | 'R') => '\r',
                        Some('t' | 'T') => '\t',
                        Some('b' | 'B') => '\u{8}',
                        Some('f' | 'F') => '\u{c}',
                        _ => {
                            let c = escape.map(String::from).unwrap_or_default();
                            let message = format!(
                                "Invalid string literal '\\{c}'. Illegal character sequence '\\{c}' in string literal"
                            );
                            return Err(syntax_error(query, at, &message));
                        }
                    };
                    (c, Pattern::Char(c))
                }
            },
            '\0' => return Err(syntax_error(query, at, "unexpected token: NUL")),
            '%' => (c, Pattern::Any),
            '_' => (c, Pattern::One),
            c => (c, Pattern::Char(c)),
        };
        text.plain.push(c);
        text.pattern.push(pattern);
    }
    Err(syntax_error(query, from, &format!("unexpected token: '{}'", &query[from..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(query: &str) -> Token {
        tokens(query).unwrap().remove(0).token
    }

    #[test]
    fn escapes_are_read_and_unknown_ones_refused() {
        let Token::Text(text) = only(r"'O\'Brien \\ \u0041 \n'") else { panic!() };
        assert_eq!(text.plain, "O'Brien \\ A \n");
        assert!(
            tokens(r"'\x'").is_err()
                && tokens(r"'\u12'").is_err()
                && tokens(r"'\u0000'").is_err()
                && tokens("'open").is_err()
        );
    }

    #[test]
    fn like_wildcards_are_told_from_escaped_ones() {
        let Token::Text(text) = only(r"'a\%_%'") else { panic!() };
        assert_eq!(text.pattern, [Pattern::Char('a'), Pattern::Char('%'), Pattern::One, Pattern::Any]);
        assert!(text.only_like);
    }

    #[test]
    fn literals_and_paths_are_told_apart() {
        assert_eq!(only("2024-05-31T12:34:56+02:00"), Token::Literal("2024-05-31T12:34:56+02:00".into()));
        assert_eq!(only("-1.5"), Token::Literal("-1.5".into()));
        assert_eq!(only("LAST_N_DAYS:30"), Token::Word("LAST_N_DAYS:30".into()));
        assert_eq!(tokens("Account.Name").unwrap().len(), 4);
    }
}
