//! No secret leaves in an error, or in the result of a call that a user has worded, even if an API echoes it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use super::spelling;
use crate::connector::wire::Response;
use crate::error::{Error, Kind};
use crate::options::{Credentials, OPTIONS, Place};

/// Characters of a secret that is struck wherever it occurs, and of the beginning of one where an excerpt was cut.
const LONG: usize = 6;

/// Shorter ones are struck where they stand alone. What is shorter still is a word that occurs everywhere, and striking
/// it would tell it.
const SHORT: usize = 4;

/// Tokens that are remembered: the newest, and those that requests under way may still carry.
const TOKENS: usize = 8;

/// Options that tell who somebody is: they vanish too, but a part of one gives nothing away.
const NAMES: [&str; 3] = ["client_id", "username", "scope"];

const STRUCK: &str = "***";

/// Knows the secrets of a session.
pub struct Scrubber {
    /// What the user mapping holds; longest first.
    configured: Vec<Mark>,
    tokens: Mutex<VecDeque<Vec<Mark>>>,
}

/// What is looked for.
struct Mark {
    text: SecretString,
    /// Characters from which on the beginning alone gives something away; `None` if it never does.
    telling: Option<usize>,
    /// Whether it is struck only where it stands alone.
    alone: bool,
    /// Whether it is the middle of a word of base64, which is struck whole.
    base64: bool,
}

impl Mark {
    /// A secret as it is, in hexadecimal digits, and in base64 wherever it lies in what was encoded, as in HTTP's `Basic`.
    /// How a text escapes characters of these is for [`spelling`] to see.
    fn all(secret: &str) -> Vec<Mark> {
        let mark = |text: String| Mark { text: text.into(), telling: Some(LONG), alone: false, base64: false };
        // An API may trim what it was sent.
        let plain = secret.trim();
        match plain.chars().count() {
            ..SHORT => return Vec::new(),
            SHORT..LONG => return vec![Mark { alone: true, telling: None, ..mark(plain.to_owned()) }],
            _ => {}
        }
        let hex = |upper: bool| {
            let digits = |byte: u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
            plain.bytes().map(digits).collect::<String>()
        };
        let mut marks = vec![mark(plain.to_owned()), mark(hex(false)), mark(hex(true))];
        for before in 0..3 {
            let padded = [&[0; 2][..before], plain.as_bytes()].concat();
            for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let encoded = SecretString::from(alphabet.encode(&padded));
                // The letters that no neighbour has a part in.
                let (from, to) = ((8 * before).div_ceil(6), 8 * padded.len() / 6);
                let core = encoded.expose_secret()[from..to].to_owned();
                marks.push(Mark { base64: true, telling: Some(8), ..mark(core) });
            }
        }
        marks.sort_by(|a, b| a.text.expose_secret().cmp(b.text.expose_secret()));
        marks.dedup_by(|a, b| a.text.expose_secret() == b.text.expose_secret());
        marks
    }

    fn name(name: &str) -> Option<Mark> {
        let plain = name.trim();
        let long = plain.chars().count() >= LONG;
        long.then(|| Mark { text: plain.into(), telling: None, alone: false, base64: false })
    }

    fn strike(&self, text: String) -> String {
        let secret = self.text.expose_secret();
        let least = self.telling.unwrap_or(usize::MAX);
        let beginning = secret.char_indices().nth(least).map_or(secret, |(end, _)| &secret[..end]);
        if !text.contains(beginning) && !spelling::may_escape(&text) {
            return text;
        }
        let mut struck = String::new();
        let (mut kept, mut at) = (0, 0);
        while at < text.len() {
            let (chars, length) = spelling::begins(&text[at..], secret);
            let end = at + length;
            let whole = length > 0 && chars == secret.chars().count();
            let found = match self.alone {
                true => whole && is_alone(&text, at, end),
                false => whole || chars >= least && is_cut(&text[end..], chars, secret),
            };
            if !found {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            }
            let (start, end) = if self.base64 { word(&text, kept, at, end) } else { (at, end) };
            struck.push_str(&text[kept..start]);
            struck.push_str(STRUCK);
            (kept, at) = (end, end);
        }
        if kept == 0 {
            return text;
        }
        struck + &text[kept..]
    }
}

/// Whether neither a letter nor a digit is beside it.
fn is_alone(text: &str, from: usize, to: usize) -> bool {
    let ends = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric());
    ends(text[..from].chars().next_back()) && ends(text[to..].chars().next())
}

/// Whether a beginning of `chars` characters was cut there: at the text's end, or at a blank after most of the secret.
fn is_cut(rest: &str, chars: usize, secret: &str) -> bool {
    match rest.chars().next() {
        None | Some('…' | '\n') => true,
        Some(letter) => {
            let most = chars * 4 >= secret.chars().count() * 3;
            rest.starts_with("...") || most && !letter.is_alphanumeric()
        }
    }
}

/// The word of base64 around a part of it, no further back than `least`.
fn word(text: &str, least: usize, from: usize, to: usize) -> (usize, usize) {
    let within = |letter: char| letter.is_ascii_alphanumeric() || "+/-_=".contains(letter);
    let start = least + text[least..from].trim_end_matches(within).len();
    (start, text.len() - text[to..].trim_start_matches(within).len())
}

impl Scrubber {
    pub fn new(credentials: &Credentials) -> Scrubber {
        let options = OPTIONS.iter().filter(|option| option.place == Place::UserMapping);
        let mut configured: Vec<Mark> = options
            .filter_map(|option| credentials.get(option.name).map(|value| (option.name, value.expose_secret())))
            .flat_map(|(name, value)| match NAMES.contains(&name) {
                true => Mark::name(value).into_iter().collect(),
                false => Mark::all(value),
            })
            .collect();
        configured.sort_by_key(|mark| std::cmp::Reverse(mark.text.expose_secret().len()));
        Scrubber { configured, tokens: Mutex::default() }
    }

    /// Takes a token that the API gave among the secrets.
    pub fn learn(&self, token: &SecretString) {
        let mut tokens = self.tokens();
        tokens.push_back(Mark::all(token.expose_secret()));
        let surplus = tokens.len().saturating_sub(TOKENS);
        tokens.drain(..surplus);
    }

    /// The error with `***` in place of secrets.
    pub fn clean(&self, error: Error) -> Error {
        rewrite(&error, error.kind(), |text| self.clean_text(text))
    }

    /// The same for headers and body of an answer. JSON stays JSON.
    pub fn clean_response(&self, mut response: Response) -> Response {
        for value in response.headers.values_mut() {
            let text = String::from_utf8_lossy(value.as_bytes());
            let clean = self.clean_text(&text);
            if clean != text {
                *value = HeaderValue::from_str(&clean).unwrap_or(HeaderValue::from_static(STRUCK));
            }
        }
        let text = String::from_utf8_lossy(&response.body);
        let clean = match serde_json::from_str::<&RawValue>(&text) {
            Ok(_) => self.clean_json(&text),
            Err(_) => self.clean_text(&text),
        };
        if clean != text {
            response.body = Bytes::from(clean);
        }
        response
    }

    fn clean_text(&self, text: &str) -> String {
        let tokens = self.tokens();
        tokens.iter().flatten().chain(&self.configured).fold(text.to_owned(), |text, mark| mark.strike(text))
    }

    /// Cleans the texts and the numbers of a JSON text; the rest stays as it is, to the letter.
    fn clean_json(&self, json: &str) -> String {
        let mut clean = String::with_capacity(json.len());
        let mut rest = json;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => literal(rest),
                // A word or a number, or what lies between.
                _ => rest.find(|letter| letter == '"' || is_bare(letter) != is_bare(first)).unwrap_or(rest.len()),
            };
            let (part, after) = rest.split_at(length);
            rest = after;
            let text = match first {
                '"' => serde_json::from_str::<String>(part).unwrap_or_else(|_| part.trim_matches('"').to_owned()),
                _ if is_bare(first) => part.to_owned(),
                _ => {
                    clean.push_str(part);
                    continue;
                }
            };
            match self.clean_text(&text) {
                same if same == text => clean.push_str(part),
                other => clean.push_str(&serde_json::Value::from(other).to_string()),
            }
        }
        clean
    }

    fn tokens(&self) -> MutexGuard<'_, VecDeque<Vec<Mark>>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a letter is of a number or of `true`, `false`, `null`.
fn is_bare(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "+-.".contains(letter)
}

/// The length of the text literal that a JSON text begins with.
fn literal(json: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

/// The same error with another kind and its texts rewritten.
pub fn rewrite(error: &Error, kind: Kind, text: impl Fn(&str) -> String) -> Error {
    let mut new = Error::new(kind, text(error.message()));
    if let Some(detail) = error.detail_text() {
        new = new.detail(text(detail));
    }
    if let Some(hint) = error.hint_text() {
        new = new.hint(text(hint));
    }
    if let Some(request) = error.request_text() {
        new = new.request(text(request));
    }
    if let Some(column) = error.column_name() {
        new = new.column(text(column));
    }
    new
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;
    use reqwest::StatusCode;

    use super::*;

    fn scrubber(mapping: &[(&str, &str)]) -> Scrubber {
        let mapping = mapping.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Scrubber::new(&Credentials::read(mapping.collect()))
    }

    #[test]
    fn secrets_and_learned_tokens_vanish_from_every_text_in_every_spelling() {
        let scrubber = scrubber(&[
            ("client_secret", "s3cr&t/value"),
            ("password", "s3cr&t/value plus \"token\""),
            ("client_id", "abc"),
        ]);
        scrubber.learn(&"00D!token".to_owned().into());
        let error = Error::new(Kind::Credentials, "abc: s3cr&t/value is wrong")
            .detail("form s3cr%26t%2Fvalue")
            .detail(r#"{"p":"s3cr&t/value plus \"token\""}"#)
            .hint("not 00D!token")
            .request("GET https://a/?t=00D%21token")
            .column("c");
        let clean = scrubber.clean(error);
        assert_eq!(clean.message(), "abc: *** is wrong");
        assert_eq!(clean.detail_text(), Some("form ***\n{\"p\":\"***\"}"));
        assert_eq!(clean.hint_text(), Some("not ***"));
        assert_eq!(clean.request_text(), Some("GET https://a/?t=***"));
        assert_eq!((clean.kind(), clean.column_name()), (Kind::Credentials, Some("c")));
    }

    #[test]
    fn a_secret_that_an_excerpt_has_cut_vanishes_too_and_so_do_other_spellings() {
        let scrubber = scrubber(&[("client_secret", "p/q&r=s x-and-more")]);
        for (text, clean) in [
            ("xxx p/q&r=s x-an…", "xxx ***…"),
            ("xxx p/q&r=s x-an...", "xxx ***..."),
            ("got p/q&r=s x-and-mo is wrong", "got *** is wrong"),
            ("got p%2fq%26r%3ds+x-and-more.", "got ***."),
            ("got p%2Fq%26r%3Ds%20x-and-more.", "got ***."),
            (r"got p\/q\u0026r=s\u0020x-and-more.", "got ***."),
            (r"got p\\\/q\\u0026r=s x\\u002dand-more.", "got ***."),
            ("got p%252fq%2526r=s x-and-more.", "got ***."),
            ("got p/q&amp;r&#x3d;s&#32;x-and-more.", "got ***."),
            ("p/q is a path", "p/q is a path"),
            ("p/q&r=sx is a query", "p/q&r=sx is a query"),
        ] {
            assert_eq!(scrubber.clean_text(text), clean);
        }
    }

    #[test]
    fn a_secret_with_blanks_around_it_vanishes_as_an_api_trims_it() {
        let scrubber = scrubber(&[("password", " planted-one \n"), ("token", "pat1")]);
        assert_eq!(scrubber.clean_text("planted-one , planted-one, x"), "*** , ***, x");
        assert_eq!(scrubber.clean_text("pat1 of (pat1) is not pat12 or apat1"), "*** of (***) is not pat12 or apat1");
    }

    #[test]
    fn base64_of_a_secret_vanishes_wherever_it_lies_in_what_was_encoded() {
        let scrubber = scrubber(&[("client_secret", "?planted>secret?"), ("client_id", "the-client")]);
        for before in ["", "a", "ab", "abc", "the-client:"] {
            for after in ["", "x", "xy", ":more"] {
                let plain = format!("{before}?planted>secret?{after}");
                for encoded in [
                    STANDARD.encode(&plain),
                    URL_SAFE.encode(&plain),
                    STANDARD_NO_PAD.encode(&plain),
                    STANDARD.encode(&plain).replace('/', "\\/").replace('=', "%3D"),
                ] {
                    let clean = scrubber.clean_text(&format!("Basic {encoded} was sent"));
                    assert!(clean.starts_with("Basic ***") && clean.ends_with(" was sent"), "{clean}");
                    assert!(clean.len() < "Basic *** was sent".len() + 12, "{encoded} {clean}");
                }
                let hex: String = plain.bytes().map(|byte| format!("{byte:02x}")).collect();
                for hex in [hex.to_uppercase(), hex] {
                    assert!(scrubber.clean_text(&hex).contains(STRUCK), "{hex}");
                }
            }
        }
    }

    fn answer(body: &str) -> Response {
        Response {
            status: StatusCode::OK,
            headers: [("x-echo", "Bearer planted-token")]
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .into_iter()
                .collect(),
            body: Bytes::from(body.to_owned()),
            origin: String::new(),
            repeated: false,
            request: None,
        }
    }

    #[test]
    fn an_answer_is_cleaned_in_its_texts_keys_numbers_and_headers_and_else_stays_as_it_was() {
        let scrubber = scrubber(&[("token", "planted-token"), ("password", "123456789")]);
        let body = r#"{ "a":1.50, "planted-token" : ["\u0070lanted-token!", 123456789, 1e400], "é\"":null, "p":"1234567890" }"#;
        let clean = scrubber.clean_response(answer(body));
        let expected = r#"{ "a":1.50, "***" : ["***!", "***", 1e400], "é\"":null, "p":"***0" }"#;
        assert_eq!(std::str::from_utf8(&clean.body).unwrap(), expected);
        assert_eq!(clean.headers["x-echo"], "Bearer ***");
        let clean = scrubber.clean_response(answer("<p>planted-token</p>"));
        assert_eq!(&clean.body[..], b"<p>***</p>");
    }

    proptest! {
        /// Whatever an API does with a secret that it echoes as JSON, what is left is JSON and holds no trace of it.
        #[test]
        fn what_is_json_stays_json_and_holds_no_secret(
            secret in r#"[ -~äλ😀]{8,20}"#,
            around in r#"[a-z"\\/ ]{0,6}"#,
            spelled in 0..6_usize,
        ) {
            prop_assume!(secret.trim().chars().count() >= LONG && !around.contains(secret.trim()));
            let escaped: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let literal = serde_json::Value::from(format!("{around}{secret}{around}")).to_string();
            let json = match spelled {
                0 => format!("[{literal}]"),
                1 => format!("{{{literal}:1}}"),
                2 => format!("[\"{escaped}\"]"),
                3 => serde_json::Value::from(literal).to_string(),
                4 => format!("[\"{}\"]", crate::connector::wire::segment(&secret)),
                _ => format!("[\"{}\"]", STANDARD.encode(format!("{around}{secret}"))),
            };
            let clean = scrubber(&[("client_secret", &secret)]).clean_response(answer(&json));
            let text = std::str::from_utf8(&clean.body).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{} became {}", json, text);
            prop_assert!(text.contains(STRUCK), "{} became {}", json, text);
        }

        #[test]
        fn what_holds_no_secret_stays_as_it_was(text in r#"[ -~äλ\\%&+]{0,60}"#) {
            prop_assert_eq!(scrubber(&[("token", "Zq~never-there~qZ")]).clean_text(&text), text);
        }
    }

    #[test]
    fn the_newest_tokens_are_remembered_and_the_oldest_forgotten() {
        let scrubber = Scrubber::new(&Credentials::default());
        for n in 0..100 {
            scrubber.learn(&format!("token!{n:03}").into());
        }
        assert!(scrubber.tokens().len() <= TOKENS);
        let clean = scrubber.clean(Error::new(Kind::Dropped, "token!099"));
        assert_eq!(clean.message(), "***");
    }
}
