//! What goes wrong, and with which request.

use proxy::{Action, Request};

use super::subject::Subject;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    SignIn,
    Page,
    Write,
    ReadBack,
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

    pub fn action(self, request: &Request, subject: &Subject) -> Action {
        let refusal = |status| (subject.refusal)(status, self);
        match self {
            Strike::DropBefore => Action::DropBefore,
            Strike::DropAfter => Action::DropAfter,
            Strike::Truncate => Action::Truncate,
            Strike::TruncateCleanly => Action::TruncateCleanly,
            Strike::Garbage => Action::Garbage,
            Strike::Empty => Action::Empty,
            Strike::Failure => refusal(500),
            Strike::FailureAfter => refusal(500).once_done(),
            Strike::Unavailable => refusal(503),
            Strike::Throttled => refusal(429),
            Strike::Expired => refusal(401),
            Strike::Locked => locked(request),
        }
    }

    /// Whether an answer came that makes no sense.
    pub fn is_unreadable(self) -> bool {
        matches!(self, Strike::TruncateCleanly | Strike::Garbage | Strike::Empty)
    }
}

/// The record in the middle is locked, and the others are rolled back with it, as Salesforce says it.
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
