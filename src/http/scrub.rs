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

/// Knows the secrets of a session.
pub struct Scrubber {
    /// What the user mapping holds, in all spellings; longest first.
    fixed: Vec<SecretString>,
    tokens: Mutex<VecDeque<SecretString>>,
}

impl Scrubber {
    pub fn new(credentials: &Credentials) -> Scrubber {
        let mut fixed: Vec<_> = OPTIONS
            .iter()
            .filter(|option| option.place == Place::UserMapping)
            .filter_map(|option| credentials.get(option.name))
            .flat_map(spellings)
            .collect();
        fixed.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        Scrubber { fixed, tokens: Mutex::default() }
    }

    /// Takes a token that the API gave among the secrets.
    pub fn learn(&self, token: &SecretString) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.extend(spellings(token));
        let surplus = tokens.len().saturating_sub(3 * TOKENS);
        tokens.drain(..surplus);
    }

    /// The error with `***` in place of secrets.
    pub fn clean(&self, error: Error) -> Error {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets: Vec<&str> = tokens.iter().chain(&self.fixed).map(|secret| secret.expose_secret()).collect();
        rewrite(&error, error.kind(), |text| {
            secrets.iter().fold(
                text.to_owned(),
                |text, secret| {
                    if text.contains(secret) { text.replace(secret, "***") } else { text }
                },
            )
        })
    }
}

/// A secret as it is, as URLs and forms carry it, and as JSON does.
fn spellings(secret: &SecretString) -> Vec<SecretString> {
    let plain = secret.expose_secret();
    if plain.chars().count() < SHORTEST {
        return Vec::new();
    }
    let json = serde_json::Value::from(plain).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let mut spellings = vec![plain.to_owned(), segment(plain), json];
    spellings.dedup();
    spellings.into_iter().map(SecretString::from).collect()
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
    fn the_newest_tokens_are_remembered_and_the_oldest_forgotten() {
        let scrubber = Scrubber::new(&Credentials::default());
        for n in 0..100 {
            scrubber.learn(&format!("token!{n:03}").into());
        }
        assert!(scrubber.tokens.lock().unwrap().len() <= 3 * TOKENS);
        let clean = scrubber.clean(Error::new(Kind::Dropped, "token!099"));
        assert_eq!(clean.message(), "***");
    }
}
