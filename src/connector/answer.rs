//! What every API's answers have in common: how they are shown when they are odd, and how long they ask to wait.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use serde::de::DeserializeOwned;

use super::wire::Response;
use crate::error::{Error, Kind, is_hidden};

/// At most 1 KB of text, escaped where it is hidden.
pub fn one_line(text: &str) -> String {
    excerpt(text.as_bytes(), 1_000)
}

/// What an error says, of which no more than the beginning is wanted: serde repeats texts in it, however long they are.
fn said(error: &dyn fmt::Display) -> String {
    struct Start(String);
    impl fmt::Write for Start {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            const MOST: usize = 1_000;
            let left = MOST - self.0.len().min(MOST);
            self.0.push_str(&text[..text.floor_char_boundary(left)]);
            if left > text.len() { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut start = Start(String::new());
    // It ends with an error when there is enough.
    let _ = write!(start, "{error}");
    start.0
}

/// The beginning of something unexpected, fit to be shown.
pub fn excerpt(bytes: &[u8], most: usize) -> String {
    let cut = &bytes[..bytes.len().min(most)];
    let mut text = String::with_capacity(cut.len());
    for letter in String::from_utf8_lossy(cut).chars() {
        match is_hidden(letter) {
            true => text.extend(letter.escape_default()),
            false => text.push(letter),
        }
    }
    if cut.len() < bytes.len() {
        text.push('…');
    }
    text
}

/// No link to a next page, and no offset, is as long; servers would not take it.
pub const LONGEST_LINK: usize = 4 << 10;

/// An API says in less than this why it refuses something. What is larger comes from elsewhere, and is not read.
const LARGEST_REFUSAL: usize = 256 << 10;

/// What a refusal says, if it is in the words of an API.
pub fn refusal<T: DeserializeOwned>(response: &Response) -> Option<T> {
    let body = &response.body;
    if body.len() <= LARGEST_REFUSAL { serde_json::from_slice(body).ok() } else { None }
}

/// An answer that is not what the API promises to send. `api`: as users write its name.
pub fn unreadable(api: &str, wanted: &str, wrong: impl fmt::Display, body: &[u8]) -> Error {
    let error = Error::new(
        Kind::Unreadable,
        format!("{api} sent something else than {wanted}: {}", excerpt(said(&wrong).as_bytes(), 300)),
    )
    .hint(format!("Try again; if it stays, base_url is not {api}'s, or something on the way changes its answers."));
    if body.is_empty() {
        error.detail("The answer was empty.")
    } else {
        error.detail(format!("The answer begins: {}", excerpt(body, 200)))
    }
}

/// No answer asks for a longer wait: beyond it, it is as good as for ever.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The wait that an answer asks for by `Retry-After`, at most [`LONGEST_WAIT`]: in seconds, or as a date, which counts from
/// the answer's own, if it has one.
/// <https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let header = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let after = header(RETRY_AFTER)?;
    if let Some(time) = seconds(after) {
        return Some(time.min(LONGEST_WAIT));
    }
    let until = DateTime::parse_from_rfc2822(after).ok()?;
    let from = header(DATE).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let from = from.map_or_else(|| DateTime::<Utc>::from(now), |date| date.to_utc());
    Some((until.to_utc() - from).to_std().unwrap_or_default().min(LONGEST_WAIT))
}

/// A number of seconds, as APIs write it, rounded down to what a duration can hold; `None` if it is not a number or is below zero.
pub fn seconds(text: &str) -> Option<Duration> {
    let number = text.trim().parse::<f64>().ok().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    fn after(text: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
        let header = |text: &str| HeaderValue::from_bytes(text.as_bytes()).unwrap();
        let headers = [(RETRY_AFTER, header(text))].into_iter().chain(date.map(|date| (DATE, header(date))));
        retry_after(&headers.collect(), now)
    }

    #[test]
    fn a_wait_is_read_as_seconds_and_as_a_date_and_is_never_longer_than_a_day() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_400);
        let answered = Some("Wed, 21 Oct 2015 07:27:00 GMT");
        for (text, date, wait) in [
            ("7", None, Some(7.0)),
            (" 1.5 ", None, Some(1.5)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", None, Some(80.0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", answered, Some(60.0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some("rubbish"), Some(80.0)),
            ("Wed, 21 Oct 2009 07:28:00 GMT", None, Some(0.0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", answered, Some(86_400.0)),
            ("18446744073709551615", None, Some(86_400.0)),
            ("99999999999999999999999999999999", None, Some(86_400.0)),
            ("1e999", None, Some(86_400.0)),
            ("-1", None, None),
            ("NaN", None, None),
            ("soon", None, None),
            ("", None, None),
        ] {
            assert_eq!(after(text, date, now), wait.map(Duration::from_secs_f64), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_a_day_whatever_is_sent(text in "\\PC{0,40}|[0-9.eE+-]{1,30}", date in "\\PC{0,40}") {
            let wait = after(&text, Some(&date), SystemTime::now());
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_WAIT));
        }
    }
}
