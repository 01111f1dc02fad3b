//! Recognises a text in whatever way others may have written its characters: as they are, or as URLs, forms, JSON, HTML
//! and programs escape them, each character in its own way, some of them twice.

/// Whether a text has anything that may begin an escape.
pub fn may_escape(text: &str) -> bool {
    text.contains(['%', '\\', '&', '+'])
}

/// How many characters of `wanted` the text begins with, and the bytes of the text that spell them.
pub fn begins(text: &str, wanted: &str) -> (usize, usize) {
    if text.starts_with(wanted) {
        return (wanted.chars().count(), wanted.len());
    }
    let (mut chars, mut at) = (0, 0);
    let mut rest = wanted.chars().peekable();
    while let Some(letter) = rest.next() {
        let text = &text[at..];
        let length = match letter {
            // Several in a row may be escaped by any number of further ones.
            '\\' if text.starts_with('\\') => {
                let run = backslashes(text);
                let mut needed = 1;
                while rest.next_if_eq(&'\\').is_some() {
                    (needed, chars) = (needed + 1, chars + 1);
                }
                if run >= needed { Some(run) } else { None }
            }
            _ => spelled(text, letter),
        };
        let Some(length) = length else { break };
        at += length;
        chars += 1;
    }
    (chars, at)
}

/// The bytes of the text that spell this character, if it begins with it.
fn spelled(text: &str, letter: char) -> Option<usize> {
    match text.as_bytes().first()? {
        b'%' if letter != '%' || percent(text, letter).is_some() => percent(text, letter),
        b'+' if letter == ' ' => Some(1),
        b'\\' if letter != '\\' => backslash(text, letter),
        b'&' if letter != '&' || entity(text, letter).is_some() => entity(text, letter),
        _ => text.starts_with(letter).then(|| letter.len_utf8()),
    }
}

/// As URLs: `%C3%A4`; where a URL is part of another, `%25C3%25A4`.
fn percent(text: &str, letter: char) -> Option<usize> {
    let mut rest = text;
    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
        rest = rest.strip_prefix('%')?;
        while digits(rest, 2)? != u32::from(byte) {
            rest = rest.strip_prefix("25")?;
        }
        rest = &rest[2..];
    }
    Some(text.len() - rest.len())
}

fn backslashes(text: &str) -> usize {
    text.len() - text.trim_start_matches('\\').len()
}

/// As JSON and programs: `\n`, `\"`, `\u00e4`, `\ud83d\ude00`, `\u{e4}`, `\xe4`, after any number of backslashes.
fn backslash(text: &str, letter: char) -> Option<usize> {
    let run = backslashes(text);
    let rest = &text[run..];
    let braced = || {
        let (number, _) = rest.strip_prefix("u{")?.split_once('}')?;
        let same = u32::from_str_radix(number, 16).ok()? == u32::from(letter);
        same.then_some(number.len() + 3)
    };
    let units = || {
        let mut at = 0;
        for (nth, unit) in letter.encode_utf16(&mut [0; 2]).iter().enumerate() {
            if nth > 0 {
                at += backslashes(&rest[at..]);
            }
            let number = rest[at..].strip_prefix('u')?;
            if digits(number, 4)? != u32::from(*unit) {
                return None;
            }
            at += 5;
        }
        Some(at)
    };
    let byte = || (digits(rest.strip_prefix('x')?, 2)? == u32::from(letter)).then_some(3);
    let named = || {
        let name = match letter {
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            other => other,
        };
        rest.starts_with(name).then(|| name.len_utf8())
    };
    Some(run + braced().or_else(units).or_else(byte).or_else(named)?)
}

/// As HTML: `&amp;`, `&#38;`, `&#x26;`.
fn entity(text: &str, letter: char) -> Option<usize> {
    const LONGEST: usize = 12;
    let end = text.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let known = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)?
        }
    };
    (known == letter).then_some(end + 1)
}

/// The number that so many hexadecimal digits spell.
fn digits(text: &str, count: usize) -> Option<u32> {
    let digits = text.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}
