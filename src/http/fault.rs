//! What went wrong on the wire, in plain words.
//!
//! The HTTP client's own messages name the URL and hide the cause several levels down; here the cause is
//! dug out, and the kind of error follows from where it happened: before the request was sent, or after.

use std::io;
use std::time::Duration;

use reqwest::Url;

use super::retry::Setback;
use crate::error::{Error, Kind};

/// What a failure of the HTTP client means.
pub fn setback(error: reqwest::Error, url: &Url, connect_timeout: Duration) -> Setback {
    let error = error.without_url();
    if error.is_connect() {
        let timeout = error.is_timeout().then_some(connect_timeout);
        return not_connected(&cause(&error), timeout, url);
    }
    if error.is_builder() {
        let message = format!("the request cannot be sent: {}", cause(&error));
        return Setback::lasting(Error::new(Kind::Internal, message));
    }
    incomplete(&cause(&error), url)
}

/// What was received cannot be unpacked.
pub fn unpacking(error: &io::Error, url: &Url) -> Setback {
    incomplete(&io_cause(error.kind(), &error.to_string()), url)
}

fn incomplete(cause: &Cause, url: &Url) -> Setback {
    let host = authority(url);
    dropped(match cause {
        Cause::Closed => {
            format!("the connection to {host} was closed before the answer was complete")
        }
        other => format!("the connection to {host} failed before the answer was complete: {other}"),
    })
}

/// The answer did not come in time.
pub fn timed_out(timeout: Duration) -> Setback {
    let mut setback = dropped(format!("no answer within {} s", timeout.as_secs_f64()));
    setback.error = setback.error.hint("The server option request_timeout says how long one request may take.");
    setback
}

fn dropped(message: String) -> Setback {
    Setback {
        error: Error::new(Kind::Dropped, message)
            .hint("Try again; if it stays, look at the network between this server and the API."),
        passing: true,
        perhaps_done: true,
        throttled: false,
        after: None,
    }
}

const UNREACHED: &str = "Check host and port in base_url and login_url, and that this server may reach them.";

fn not_connected(cause: &Cause, timeout: Option<Duration>, url: &Url) -> Setback {
    let host = authority(url);
    let (reason, hint, passing) = match (timeout, cause) {
        (Some(timeout), _) => (format!("no connection within {} s", timeout.as_secs_f64()), Some(UNREACHED), true),
        (None, Cause::UnknownIssuer) => (
            "its certificate is not signed by an authority that is known here".to_owned(),
            Some("The server option ca_file names a file (PEM) with more authorities."),
            false,
        ),
        (None, Cause::Certificate(text)) => (format!("its certificate is not accepted: {text}"), None, false),
        (None, Cause::NoTls) => ("it does not speak TLS".to_owned(), Some(UNREACHED), false),
        (None, Cause::NoSuchName) => ("there is no host of this name".to_owned(), Some(UNREACHED), false),
        (None, other) => (other.to_string(), Some(UNREACHED), true),
    };
    let mut error = Error::new(Kind::Connect, format!("could not connect to {host}: {reason}"));
    if let Some(hint) = hint {
        error = error.hint(hint);
    }
    Setback { error, passing, perhaps_done: false, throttled: false, after: None }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or(host.to_owned(), |port| format!("{host}:{port}"))
}

/// What lies at the bottom of an error.
enum Cause {
    Closed,
    UnknownIssuer,
    Certificate(String),
    NoTls,
    NoSuchName,
    Other(String),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Cause::Closed => "connection closed",
            Cause::UnknownIssuer => "unknown certificate authority",
            Cause::Certificate(text) | Cause::Other(text) => text,
            Cause::NoTls => "no TLS",
            Cause::NoSuchName => "no such name",
        })
    }
}

/// The error at the bottom of an error.
pub fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

fn cause(error: &reqwest::Error) -> Cause {
    let bottom = innermost(error);
    let io_kind = bottom.downcast_ref::<io::Error>().map(io::Error::kind);
    let text = bottom.to_string();
    // rustls words its errors like this.
    if let Some(problem) = text.strip_prefix("invalid peer certificate: ") {
        return match problem {
            "UnknownIssuer" => Cause::UnknownIssuer,
            other => Cause::Certificate(other.to_owned()),
        };
    }
    if text.contains("corrupt message") {
        return Cause::NoTls;
    }
    // As getaddrinfo words it: a name that is not known now will not be in a second, other failures may pass.
    if text.contains("not known") || text.contains("No address associated") {
        return Cause::NoSuchName;
    }
    match io_kind {
        None if text.contains("closed") || text.contains("end of file") => Cause::Closed,
        None => Cause::Other(text),
        Some(kind) => io_cause(kind, &text),
    }
}

fn io_cause(kind: io::ErrorKind, text: &str) -> Cause {
    match kind {
        io::ErrorKind::ConnectionRefused => Cause::Other("connection refused".to_owned()),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Cause::Closed,
        _ => Cause::Other(text.split(" (os error").next().unwrap_or(text).to_owned()),
    }
}
