//! What every API's answers have in common: how they are shown when they are odd, and how long they ask to wait.

use std::time::Duration;

use chrono::DateTime;

use super::wire::Response;
use crate::error::{Error, Kind};

/// At most 1 KB of text, control characters escaped.
pub fn one_line(text: &str) -> String {
    excerpt(text.as_bytes(), 1_000)
}

/// The beginning of something unexpected, fit to be shown.
pub fn excerpt(bytes: &[u8], most: usize) -> String {
    let cut = &bytes[..bytes.len().min(most)];
    let mut text = String::with_capacity(cut.len());
    for letter in String::from_utf8_lossy(cut).chars() {
        if letter.is_control() {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    if cut.len() < bytes.len() {
        text.push('…');
    }
    text
}

/// An answer that is not what the API promises to send. `api`: as users write its name.
pub fn unreadable(api: &str, wanted: &str, wrong: &str, body: &[u8]) -> Error {
    let error = Error::new(
        Kind::Unreadable,
        format!("{api} sent something else than {wanted}: {}", excerpt(wrong.as_bytes(), 300)),
    )
    .hint(format!("Try again; if it stays, base_url is not {api}'s, or something on the way changes its answers."));
    if body.is_empty() {
        error.detail("The answer was empty.")
    } else {
        error.detail(format!("The answer begins: {}", excerpt(body, 200)))
    }
}

/// `Retry-After`, in seconds or as a date, which counts from the answer's own.
pub fn retry_after(response: &Response) -> Option<Duration> {
    let header = |name: &str| response.headers.get(name)?.to_str().ok();
    let after = header("retry-after")?.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(after).ok()?;
    let from = DateTime::parse_from_rfc2822(header("date")?).ok()?;
    Some((until - from).to_std().unwrap_or_default())
}
