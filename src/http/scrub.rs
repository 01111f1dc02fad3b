//! No secret leaves in an error, even if an API echoes it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

use crate::connector::wire::segment;
use crate::error::{Error, Kind};
use crate::options::{Credentials, OPTIONS, Place};

/// Shorter values are words that occur everywhere.
const SHORTEST: usize = 6;

/// Tokens that are remembered: the newest, and those that requests under way may still carry.
const TOKENS: usize = 8;

/// Options that tell who somebody is: they vanish too, but a part of one gives nothing away.
const NAMES: [&str; 3] = ["client_id", "username", "scope"];

/// Ways to write one secret: see [`spellings`].
const MOST_SPELLINGS: usize = 6;

/// Knows the secrets of a session.
pub struct Scrubber {
    /// What the user mapping holds, in all spellings; longest first.
    names: Vec<SecretString>,
    secrets: Vec<SecretString>,
    tokens: Mutex<VecDeque<SecretString>>,
}

impl Scrubber {
    pub fn new(credentials: &Credentials) -> Scrubber {
        let of = |named: bool| {
            OPTIONS
                .iter()
                .filter(move |option| option.place == Place::UserMapping && NAMES.contains(&option.name) == named)
                .filter_map(|option| credentials.get(option.name))
                .flat_map(spellings)
        };
        let mut names: Vec<_> = of(true).collect();
        let mut secrets: Vec<_> = of(false).collect();
        for longest_first in [&mut names, &mut secrets] {
            longest_first.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        }
        Scrubber { names, secrets, tokens: Mutex::default() }
    }

    /// Takes a token that the API gave among the secrets.
    pub fn learn(&self, token: &SecretString) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.extend(spellings(token));
        let surplus = tokens.len().saturating_sub(MOST_SPELLINGS * TOKENS);
        tokens.drain(..surplus);
    }

    /// The error with `***` in place of secrets.
    pub fn clean(&self, error: Error) -> Error {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = || tokens.iter().chain(&self.secrets).map(ExposeSecret::expose_secret);
        let names = self.names.iter().map(ExposeSecret::expose_secret);
        rewrite(&error, error.kind(), |text| {
            let whole = secrets().chain(names.clone());
            let text = whole.fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
            secrets().fold(text, strike_cut)
        })
    }
}

/// The text with `***` in place of the beginning of a secret, where an excerpt was cut within it.
fn strike_cut(mut text: String, secret: &str) -> String {
    let ends = secret.char_indices().map(|(at, _)| at).skip(SHORTEST);
    let Some(shortest) = ends.clone().next() else { return text };
    let mut from = 0;
    while let Some(found) = text[from..].find(&secret[..shortest]) {
        let start = from + found;
        let same = ends.clone().filter(|end| text[start..].starts_with(&secret[..*end])).max().unwrap_or(shortest);
        let end = start + same;
        from = end;
        if matches!(text[end..].chars().next(), None | Some('…' | '\n')) {
            text.replace_range(start..end, "***");
            from = start + "***".len();
        }
    }
    text
}

/// A secret as it is, as URLs and forms carry it, and as JSON does.
fn spellings(secret: &SecretString) -> Vec<SecretString> {
    let plain = secret.expose_secret();
    if plain.chars().count() < SHORTEST {
        return Vec::new();
    }
    let json = serde_json::Value::from(plain).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let upper = segment(plain);
    let lower = lower_escapes(&upper);
    let forms = [&upper, &lower].map(|url| url.replace("%20", "+"));
    let mut spellings = vec![plain.to_owned(), json, upper, lower];
    spellings.extend(forms);
    spellings.sort();
    spellings.dedup();
    spellings.into_iter().map(SecretString::from).collect()
}

/// `%2F` as `%2f`.
fn lower_escapes(url: &str) -> String {
    let mut parts = url.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |url, part| match part.split_at_checked(2) {
        Some((escape, rest)) => format!("{url}%{}{rest}", escape.to_lowercase()),
        None => format!("{url}%{part}"),
    })
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
        new = new.column(column);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_learned_tokens_vanish_from_every_text_in_every_spelling() {
        let map =
            [("client_secret", "s3cr&t/value"), ("password", "s3cr&t/value plus \"token\""), ("client_id", "abc")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let scrubber = Scrubber::new(&Credentials::read(map.into()));
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
        let map = [("client_secret".to_owned(), "p/q&r=s x-and-more".to_owned())];
        let scrubber = Scrubber::new(&Credentials::read(map.into()));
        let clean = |text: &str| scrubber.clean(Error::new(Kind::Dropped, text)).message().to_owned();
        assert_eq!(clean("xxx p/q&r=s x-an…"), "xxx ***…");
        assert_eq!(clean("got p%2fq%26r%3ds+x-and-more."), "got ***.");
        assert_eq!(clean("got p%2Fq%26r%3Ds%20x-and-more."), "got ***.");
        assert_eq!(clean("p/q is a path"), "p/q is a path");
    }

    #[test]
    fn the_newest_tokens_are_remembered_and_the_oldest_forgotten() {
        let scrubber = Scrubber::new(&Credentials::default());
        for n in 0..100 {
            scrubber.learn(&format!("token!{n:03}").into());
        }
        assert!(scrubber.tokens.lock().unwrap().len() <= MOST_SPELLINGS * TOKENS);
        let clean = scrubber.clean(Error::new(Kind::Dropped, "token!099"));
        assert_eq!(clean.message(), "***");
    }
}
