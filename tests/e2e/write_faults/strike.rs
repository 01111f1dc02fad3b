//! What goes wrong, and with which request.

use proxy::{Action, Request};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    SignIn,
    Page,
    Write,
    ReadBack,
}

impl Purpose {
    pub fn of(path: &str) -> Purpose {
        match path {
            path if path.contains("/oauth2/") => Purpose::SignIn,
            path if path.contains("/composite/sobjects/") => Purpose::ReadBack,
            path if path.contains("/composite/sobjects") => Purpose::Write,
            _ => Purpose::Page,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strike {
    DropBefore,
    DropAfter,
    Truncate,
    TruncateCleanly,
    Garbage,
    Empty,
    /// 500 without and with the work done: the client cannot tell the two apart.
    Failure,
    FailureAfter,
    Unavailable,
    Throttled,
    /// The token has expired.
    Expired,
    /// Somebody holds one of the records.
    Locked,
}

impl Strike {
    pub const ALL: [Strike; 12] = [
        Strike::DropBefore,
        Strike::DropAfter,
        Strike::Truncate,
        Strike::TruncateCleanly,
        Strike::Garbage,
        Strike::Empty,
        Strike::Failure,
        Strike::FailureAfter,
        Strike::Unavailable,
        Strike::Throttled,
        Strike::Expired,
        Strike::Locked,
    ];

    /// Only records are locked.
    pub fn fits(self, purpose: Purpose) -> bool {
        self != Strike::Locked || purpose == Purpose::Write
    }

    pub fn action(self, request: &Request) -> Action {
        const FAILURE: &str =
            r#"[{"message":"An unexpected error occurred. ErrorId: 1","errorCode":"UNKNOWN_EXCEPTION"}]"#;
        let refusal = |status, code: &str, message: &str| {
            Action::answer(status, format!(r#"[{{"message":"{message}","errorCode":"{code}"}}]"#))
        };
        match self {
            Strike::DropBefore => Action::DropBefore,
            Strike::DropAfter => Action::DropAfter,
            Strike::Truncate => Action::Truncate,
            Strike::TruncateCleanly => Action::TruncateCleanly,
            Strike::Garbage => Action::Garbage,
            Strike::Empty => Action::Empty,
            Strike::Failure => Action::answer(500, FAILURE),
            Strike::FailureAfter => Action::answer_after(500, FAILURE),
            Strike::Unavailable => refusal(503, "SERVER_UNAVAILABLE", "Too many requests waiting for connections"),
            Strike::Throttled => refusal(429, "REQUEST_LIMIT_EXCEEDED", "Too many requests."),
            Strike::Expired => refusal(401, "INVALID_SESSION_ID", "Session expired or invalid"),
            Strike::Locked => locked(request),
        }
    }

    /// Whether the answer tells that nothing was done.
    pub fn is_clear(self) -> bool {
        matches!(self, Strike::Unavailable | Strike::Throttled | Strike::Expired | Strike::Locked)
    }

    /// Whether an answer came that makes no sense.
    pub fn is_unreadable(self) -> bool {
        matches!(self, Strike::TruncateCleanly | Strike::Garbage | Strike::Empty)
    }
}

/// The record in the middle is locked, and the others are rolled back with it.
fn locked(request: &Request) -> Action {
    let records = match request.method.as_str() {
        "DELETE" => request.path.replace("%2C", ",").matches(',').count() + 1,
        _ => String::from_utf8_lossy(&request.body).matches("\"attributes\"").count(),
    };
    let item = |at: usize| {
        let (code, message) = match at == records / 2 {
            true => ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"),
            false => ("ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back because not all records were valid"),
        };
        format!(r#"{{"success":false,"errors":[{{"statusCode":"{code}","message":"{message}","fields":[]}}]}}"#)
    };
    Action::answer(200, format!("[{}]", (0..records).map(item).collect::<Vec<_>>().join(",")))
}
