//! What Airtable's answers mean.
//! <https://airtable.com/developers/web/api/errors>

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use serde::Deserialize;

use super::auth::TOKEN_PATH;
use crate::connector::answer::{self, excerpt, one_line, retry_after};
use crate::connector::contract::Verdict;
use crate::connector::oauth;
use crate::connector::wire::Response;
use crate::error::{Error, Kind};

/// The API, as users write its name.
pub const TITLE: &str = "Airtable";

/// Once a base was asked more often than it allows, everything is refused for so long.
/// <https://airtable.com/developers/web/api/rate-limits>
const PENALTY: Duration = Duration::from_secs(30);

/// The forms that errors come in.
#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    One { error: Error1 },
    Several { errors: Vec<Error2> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Error1 {
    Type(String),
    Whole {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        message: String,
    },
}

#[derive(Deserialize)]
struct Error2 {
    error: String,
    #[serde(default)]
    message: String,
}

/// One error as the API words it.
#[derive(Debug, Default, PartialEq)]
pub struct ApiError {
    pub kind: String,
    pub message: String,
}

impl ApiError {
    /// The error that an answer holds, if it is one.
    pub fn read(response: &Response) -> Option<ApiError> {
        Some(match answer::refusal(response)? {
            Body::One { error: Error1::Type(kind) } => ApiError { kind, message: String::new() },
            Body::One { error: Error1::Whole { kind, message } } => ApiError { kind, message },
            Body::Several { errors } => {
                let Error2 { error, message } = errors.into_iter().next()?;
                ApiError { kind: error, message }
            }
        })
    }
}

impl ApiError {
    /// Whether the plan's calls of a month are used up.
    fn is_of_plan(&self) -> bool {
        const WORDS: &str = "PUBLIC_API_BILLING_LIMIT_EXCEEDED";
        self.kind == WORDS || self.message.contains(WORDS)
    }
}

/// The meaning of an answer.
pub fn classify(response: &Response) -> Verdict {
    let status = response.status;
    if status.is_success() {
        return Verdict::Good;
    }
    let signs_in = response.request.as_deref().is_some_and(|request| request.contains(TOKEN_PATH));
    if signs_in
        && !status.is_server_error()
        && let Some(refusal) = oauth::read_refusal(response)
    {
        const HINT: &str = "Check the user mapping: client_id, client_secret and refresh_token. A refresh token that was \
             used elsewhere, or not for 60 days, is good no more.";
        return Verdict::Fail(oauth::refused(TITLE, status.as_u16(), &refusal, HINT));
    }
    let error = refusal(response);
    let retry = |error, perhaps_done, throttled, after| Verdict::Retry { error, after, perhaps_done, throttled };
    let asked = retry_after(&response.headers, SystemTime::now());
    match status.as_u16() {
        401 => Verdict::Renew(error),
        // The plan's calls of the month: no wait that a statement could take helps.
        429 if ApiError::read(response).is_some_and(|api| api.is_of_plan()) => Verdict::Fail(error),
        429 => retry(error, false, true, Some(asked.unwrap_or(PENALTY))),
        408 | 500 | 502 | 503 | 504 => retry(error, true, false, asked),
        _ => Verdict::Fail(error),
    }
}

/// Whether a refusal says that the API has forgotten where a list of records was.
pub fn is_lost(response: &Response) -> bool {
    let lost = ["LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "INVALID_OFFSET_VALUE"];
    ApiError::read(response).is_some_and(|api| lost.contains(&api.kind.as_str()))
}

/// Whether a refusal says that the formula is none.
pub fn is_bad_formula(response: &Response) -> bool {
    ApiError::read(response).is_some_and(|api| api.kind == "INVALID_FILTER_BY_FORMULA")
}

/// A refusal in Postgres's terms.
pub fn refusal(response: &Response) -> Error {
    let status = response.status;
    let Some(api) = ApiError::read(response) else {
        let (kind, message, hint) = meaning_of_status(status);
        let error = Error::new(kind, message)
            .detail(format!("Airtable answered {}", status.as_u16()))
            .detail(format!("It said: {}", excerpt(&response.body, 1_000)));
        return if hint.is_empty() { error } else { error.hint(hint) };
    };
    let about_bases = response.request.as_deref().is_some_and(|request| request.contains("/v0/meta/bases/"));
    let (kind, lead, hint) = find(&api, about_bases).unwrap_or_else(|| meaning_of_status(status));
    let text = one_line(&api.message);
    let message = if text.is_empty() { lead.to_owned() } else { format!("{lead}: {text}") };
    let mut error =
        Error::new(kind, message).detail(format!("Airtable answered {} {}", status.as_u16(), one_line(&api.kind)));
    if let Some(field) = column_of(&api) {
        error = error.column(field);
    }
    if hint.is_empty() { error } else { error.hint(hint) }
}

/// The field that an error names, in its quotes: by id or name, as it was asked.
fn column_of(api: &ApiError) -> Option<String> {
    if !matches!(api.kind.as_str(), "UNKNOWN_FIELD_NAME" | "INVALID_VALUE_FOR_COLUMN") {
        return None;
    }
    let (_, rest) = api.message.split_once('"')?;
    let (name, _) = rest.rsplit_once('"')?;
    Some(name.to_owned())
}

/// What an error means: kind, our words before the API's, what to do next.
type Meaning = (Kind, &'static str, &'static str);

fn find(api: &ApiError, about_bases: bool) -> Option<Meaning> {
    const TOKEN: &str = "Check the user mapping's token: its scopes (data.records:read, data.records:write, \
                         schema.bases:read) and the bases that it was given.";
    let said = |words: &str| api.message.contains(words);
    Some(match api.kind.as_str() {
        "AUTHENTICATION_REQUIRED" | "UNAUTHORIZED" => (
            Kind::Credentials,
            "Airtable does not accept the token",
            "Check the user mapping: its token may be revoked.",
        ),
        "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND" if about_bases => {
            (Kind::UnknownSchema, "Airtable has no such base, or hides it from the token", TOKEN)
        }
        "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND" => {
            (Kind::Forbidden, "Airtable does not allow it, or has no such base or table", TOKEN)
        }
        "INVALID_PERMISSIONS" => (Kind::Forbidden, "Airtable does not allow it", TOKEN),
        "NOT_FOUND" if about_bases => (Kind::UnknownSchema, "Airtable has no such base", ""),
        "NOT_FOUND" | "MODEL_ID_NOT_FOUND" | "TABLE_NOT_FOUND" => (
            Kind::UnknownObject,
            "Airtable has no such table or record",
            "Check the table's option \"object\": app…/tbl…, or import the base again.",
        ),
        "REQUEST_TOO_LARGE" => (Kind::TooLarge, "the request is larger than Airtable takes", "Write shorter values."),
        "UNKNOWN_FIELD_NAME" => (
            Kind::UnknownField,
            "Airtable has no such field",
            "Import the table again: the field may have been deleted.",
        ),
        "INVALID_VALUE_FOR_COLUMN" if said("computed") => {
            (Kind::ReadOnlyField, "the field cannot be written", "Leave it out of the statement.")
        }
        "INVALID_VALUE_FOR_COLUMN" | "INVALID_ATTACHMENT_OBJECT" => {
            (Kind::Malformed, "the value does not fit the field", "Correct the value.")
        }
        "INVALID_MULTIPLE_CHOICE_OPTIONS" => (
            Kind::RuleViolated,
            "the field has no such choice",
            "Use one of its choices, or add the choice in Airtable.",
        ),
        "ROW_DOES_NOT_EXIST" => {
            (Kind::BadReference, "the link leads to no record", "Check the ids of the records that are linked.")
        }
        "LIST_RECORDS_ITERATOR_NOT_AVAILABLE" | "INVALID_OFFSET_VALUE" => {
            (Kind::CursorLost, "Airtable forgot where the scan was", "Run the statement again.")
        }
        "INVALID_FILTER_BY_FORMULA" => (
            Kind::Internal,
            "Airtable does not understand the formula",
            "SET sequin_fdw.pushdown = off avoids it until this fault of sequin_fdw is mended.",
        ),
        "VIEW_NAME_NOT_FOUND" | "VIEW_ID_NOT_FOUND" => (Kind::UnknownObject, "Airtable has no such view", ""),
        "INVALID_REQUEST_UNKNOWN" if said("more than one record") || said("two records") => (
            Kind::SeveralRecords,
            "several records answer to one key",
            "Make the values of the field unique, or upsert by another one.",
        ),
        "INVALID_REQUEST_UNKNOWN" if said("merge") => {
            (Kind::NotSupported, "records cannot be found by this field", "Upsert by a field of text, number or date.")
        }
        "INVALID_REQUEST_UNKNOWN" | "INVALID_REQUEST_BODY" | "MISSING_FIELDS" | "INVALID_RECORDS" => {
            (Kind::Internal, "Airtable does not understand the request", "")
        }
        _ if api.is_of_plan() => (
            Kind::Quota,
            "the plan's API calls of this month are used up",
            "Wait for the next month, or change the plan.",
        ),
        "TOO_MANY_REQUESTS" | "RATE_LIMIT_REACHED" => (
            Kind::Quota,
            "Airtable was asked more than 5 times in a second",
            "Others ask the same base. Set the server's option \"requests_per_second\" to what they leave.",
        ),
        _ => return None,
    })
}

fn meaning_of_status(status: StatusCode) -> Meaning {
    match status.as_u16() {
        300..=399 => {
            (Kind::Unreadable, "Airtable answered with a redirection", "base_url must be https://api.airtable.com.")
        }
        401 => (Kind::Credentials, "Airtable refuses the credentials", "Check the user mapping."),
        403 => (Kind::Forbidden, "Airtable does not allow it", "Check what the user mapping's token may do."),
        404 => (Kind::UnknownObject, "Airtable has no such base, table or record", ""),
        413 | 414 | 431 => (Kind::TooLarge, "the request is larger than Airtable takes", ""),
        429 => (Kind::Quota, "Airtable asks to slow down", "Set the server's option \"requests_per_second\"."),
        408 | 500..=599 => (Kind::Dropped, "Airtable could not answer", "Try again later."),
        _ => (Kind::Internal, "Airtable does not understand the request", ""),
    }
}

/// An answer that is not what the API promises to send.
pub fn unreadable(wanted: &str, wrong: impl Display, body: &[u8]) -> Error {
    answer::unreadable(TITLE, wanted, wrong, body)
}
