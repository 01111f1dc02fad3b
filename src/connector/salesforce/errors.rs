//! What Salesforce's answers mean.
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm>

use std::fmt::Display;
use std::time::SystemTime;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::connector::answer::{self, excerpt, one_line, retry_after};
use crate::connector::contract::{Usage, Verdict};
use crate::connector::oauth;
use crate::connector::wire::Response;
use crate::error::{Error, Kind};

/// The API, as users write its name.
pub const TITLE: &str = "Salesforce";

/// One error as the API words it. Lists of records call the code `statusCode`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiError {
    #[serde(default)]
    pub message: String,
    #[serde(alias = "statusCode")]
    pub error_code: String,
    #[serde(default)]
    pub fields: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ApiErrors {
    Several(Vec<ApiError>),
    One(ApiError),
}

/// The meaning of an answer.
pub fn classify(response: &Response) -> Verdict {
    let status = response.status;
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Verdict::Good;
    }
    if !status.is_server_error()
        && let Some(refusal) = oauth::read_refusal(response)
    {
        return Verdict::Fail(sign_in_refused(status, &refusal));
    }
    let api = match answer::refusal(response) {
        Some(ApiErrors::Several(errors)) => errors.into_iter().next(),
        Some(ApiErrors::One(error)) => Some(error),
        None => None,
    };
    let error = match &api {
        Some(api) => refusal(status, api),
        None => {
            by_status(status).detail(answered(status)).detail(format!("It said: {}", excerpt(&response.body, 1_000)))
        }
    };
    let code = api.as_ref().map_or("", |api| api.error_code.as_str());
    let said = |words: &str| api.as_ref().is_some_and(|api| api.message.contains(words));
    let retry = |error, perhaps_done, throttled| Verdict::Retry {
        error,
        after: retry_after(&response.headers, SystemTime::now()),
        perhaps_done,
        throttled,
    };
    match (status.as_u16(), code) {
        // A new token would not help, and would be had for nothing.
        (401, _) if said("not valid for use with the REST API") || said("Connected app is not attached") => {
            Verdict::Fail(error)
        }
        (401, _) => Verdict::Renew(error),
        (_, "UNABLE_TO_LOCK_ROW") => retry(error, false, false),
        // The daily quota. What is left of these are limits of the moment.
        (_, "REQUEST_LIMIT_EXCEEDED") if said("TotalRequests") => Verdict::Fail(error),
        (_, "REQUEST_LIMIT_EXCEEDED") if said("Concurrent") => retry(error, false, true),
        (429, _) => retry(error, false, true),
        (_, "QUERY_TIMEOUT") => retry(error, false, false),
        (503, _) => retry(error, false, false),
        (406 | 408 | 420 | 500 | 502 | 504, _) => retry(error, true, false),
        _ => Verdict::Fail(error),
    }
}

fn answered(status: StatusCode) -> String {
    format!("Salesforce answered {}", status.as_u16())
}

fn sign_in_refused(status: StatusCode, refusal: &oauth::Refusal) -> Error {
    const HINT: &str = "Check the user mapping: client_id and client_secret, or what else it signs in with. \
         With client_id and client_secret alone, base_url or login_url must be the My Domain of the organisation.";
    oauth::refused("Salesforce", status.as_u16(), refusal, HINT)
}

/// An error of the API in Postgres's terms.
pub fn refusal(status: StatusCode, api: &ApiError) -> Error {
    let code = api.error_code.as_str();
    let text = what_matters(&api.message);
    let (kind, lead, hint) = find(code, &text).unwrap_or_else(|| meaning_of_status(status));
    let message = if text.is_empty() { lead.to_owned() } else { format!("{lead}: {text}") };
    let mut detail = format!("{} {}", answered(status), one_line(code));
    if !api.fields.is_empty() {
        detail.push_str(&format!(" (fields: {})", one_line(&api.fields.join(", "))));
    }
    let mut error = Error::new(kind, message).detail(detail);
    if api.message.trim() != text {
        error = error.detail(excerpt_lines(api.message.trim_matches('\n')));
    }
    if let Some(field) = column_of(api, &text) {
        error = error.column(field);
    }
    if hint.is_empty() { error } else { error.hint(hint) }
}

/// The field that an error is about, where it is about one.
fn column_of(api: &ApiError, text: &str) -> Option<String> {
    let named = |before: &str, after: char| {
        let (name, _) = text.split_once(before)?.1.split_once(after)?;
        Some(name.to_owned())
    };
    match api.error_code.as_str() {
        "INVALID_FIELD" => named("No such column '", '\'').or_else(|| named("field '", '\'')),
        "DUPLICATE_VALUE" => named("duplicate value found: ", ' '),
        "REQUIRED_FIELD_MISSING" if api.fields.is_empty() => {
            named("missing: [", ']').filter(|names| !names.contains(','))
        }
        _ => None,
    }
    .or_else(|| match api.fields.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    })
}

/// What an error code means: kind, our words before the API's, what to do next.
type Meaning = (Kind, &'static str, &'static str);

fn find(code: &str, text: &str) -> Option<Meaning> {
    const IMPORT: &str =
        "Import the table again if the object has changed; a field hidden from the user does not exist for it.";
    const PERMISSION: &str = "Give the user that signs in a permission set that allows it.";
    const CORRECT: &str = "Correct the value.";
    Some(match code {
        "INVALID_SESSION_ID" => (
            Kind::Credentials,
            "Salesforce does not accept the session",
            "Check the user mapping: its token may have expired, or its app may lack the scope \"api\".",
        ),
        "INVALID_LOGIN" | "INVALID_AUTH_HEADER" | "INVALID_OPERATION_WITH_EXPIRED_PASSWORD" => {
            (Kind::Credentials, "Salesforce refuses the credentials", "Check the user mapping.")
        }
        "REQUEST_LIMIT_EXCEEDED" if text.contains("Concurrent") => (
            Kind::Quota,
            "Salesforce is working on too many requests of this organisation",
            "Try again, or lower the server's max_concurrency.",
        ),
        "REQUEST_LIMIT_EXCEEDED" => (
            Kind::Quota,
            "the organisation's requests of the last 24 hours are used up",
            "Wait, or buy more API requests; sequin_fdw.max_requests limits what a statement may use.",
        ),
        "LIMIT_EXCEEDED" | "API_LIMIT_EXCEEDED" => {
            (Kind::Quota, "a limit of Salesforce is used up", "Wait, or raise the limit.")
        }
        "STORAGE_LIMIT_EXCEEDED" => {
            (Kind::Quota, "the organisation's storage is full", "Delete records, or buy storage.")
        }
        "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" | "FUNCTIONALITY_NOT_ENABLED" => (
            Kind::Forbidden,
            "Salesforce does not offer this to the organisation",
            "The REST API comes with Enterprise, Unlimited, Performance and Developer Edition, or must be bought.",
        ),
        "INSUFFICIENT_ACCESS" | "INSUFFICIENT_ACCESS_OR_READONLY" | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY" => {
            (Kind::Forbidden, "Salesforce does not allow it", PERMISSION)
        }
        "INVALID_FIELD_FOR_INSERT_UPDATE" => (
            Kind::ReadOnlyField,
            "the field cannot be written",
            "Leave it out, or make it editable for the user that signs in (field-level security).",
        ),
        "REQUIRED_FIELD_MISSING" => (Kind::Required, "a required field is empty", "Give it a value."),
        "FIELD_CUSTOM_VALIDATION_EXCEPTION" => {
            (Kind::RuleViolated, "a validation rule of the organisation refuses the record", CORRECT)
        }
        "FIELD_FILTER_VALIDATION_EXCEPTION" => {
            (Kind::RuleViolated, "a lookup filter of the organisation refuses the record", CORRECT)
        }
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" => {
            (Kind::RuleViolated, "a trigger or flow of the organisation refuses the record", "")
        }
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" => {
            (Kind::RuleViolated, "the picklist has no such value", "Use one of the picklist's values, by its API name.")
        }
        "STRING_TOO_LONG" => (Kind::TooLong, "the text is longer than the field", "Shorten it."),
        "NUMBER_OUTSIDE_VALID_RANGE" => (Kind::OutOfRange, "the number is outside the field's range", ""),
        "INVALID_EMAIL_ADDRESS" => (Kind::Malformed, "the value is no e-mail address", CORRECT),
        "INVALID_TYPE_ON_FIELD_IN_RECORD" | "JSON_PARSER_ERROR" => {
            (Kind::Malformed, "a value is not of its field's type", CORRECT)
        }
        "MALFORMED_ID" => (Kind::Malformed, "the value is no id of the right kind", CORRECT),
        "DUPLICATE_VALUE" => (Kind::Duplicate, "another record has this value", ""),
        "DUPLICATES_DETECTED" => (
            Kind::Duplicate,
            "a duplicate rule of the organisation found similar records",
            "Update the record that is there, or change the rule.",
        ),
        "INVALID_CROSS_REFERENCE_KEY" => {
            (Kind::BadReference, "the reference leads to no record", "Check the id that is referred to.")
        }
        "DELETE_FAILED" => {
            (Kind::BadReference, "the record is still referred to", "Delete or change what refers to it first.")
        }
        "ENTITY_IS_DELETED" => (Kind::Conflict, "the record was deleted meanwhile", ""),
        "UNABLE_TO_LOCK_ROW" => (Kind::Locked, "another process holds the record", "Try again."),
        "NOT_FOUND" if text.contains("external ID field") => (
            Kind::UnknownField,
            "records cannot be found by this field",
            "An upsert needs a field that is marked as external id, or Id.",
        ),
        "NOT_FOUND" => (
            Kind::UnknownObject,
            "Salesforce has no such object, or hides it from the user that signs in",
            "Check the object's API name; those of custom objects end in __c.",
        ),
        "INVALID_TYPE" => {
            (Kind::UnknownObject, "Salesforce has no such object, or hides it from the user that signs in", IMPORT)
        }
        "INVALID_FIELD" if text.contains("can not be") => (
            Kind::NotSupported,
            "the field cannot be used in this way",
            "Take the word out of the column's option \"capabilities\", or import the table again.",
        ),
        "INVALID_FIELD" => {
            (Kind::UnknownField, "Salesforce has no such field, or hides it from the user that signs in", IMPORT)
        }
        "INVALID_QUERY_LOCATOR" => (
            Kind::CursorLost,
            "Salesforce forgot where the scan was",
            "Run the statement again; cursors last two days.",
        ),
        "QUERY_TIMEOUT" => (
            Kind::TooComplex,
            "the query takes longer than Salesforce allows",
            "Filter by an indexed field: an id, a reference, CreatedDate, SystemModstamp or an external id.",
        ),
        "QUERY_TOO_COMPLICATED" | "EXCEEDED_ID_LIMIT" => (
            Kind::TooComplex,
            "the query is too complicated for Salesforce",
            "Select fewer columns, or filter by less.",
        ),
        // Groups come in one page or not at all; nobody documents the code.
        _ if text.contains("does not support queryMore") => {
            (Kind::TooComplex, "the query has more groups than Salesforce tells of", "Narrow it down with a filter.")
        }
        "OPERATION_TOO_LARGE" => {
            (Kind::TooLarge, "the query is larger than Salesforce allows", "Narrow it down with a filter.")
        }
        "MALFORMED_QUERY" | "INVALID_QUERY_FILTER_OPERATOR" => (
            Kind::Internal,
            "Salesforce does not understand the query",
            "SET sequin_fdw.pushdown = off avoids it until this fault of sequin_fdw is mended.",
        ),
        "METHOD_NOT_ALLOWED" | "UNSUPPORTED_MEDIA_TYPE" => {
            (Kind::Internal, "Salesforce does not understand the request", "")
        }
        _ => return None,
    })
}

fn meaning_of_status(status: StatusCode) -> Meaning {
    match status.as_u16() {
        300 => (Kind::SeveralRecords, "several records answer to one key", "Make the values of the key unique."),
        301..=399 => (
            Kind::Unreadable,
            "Salesforce answered with a redirection",
            "base_url must be the My Domain of the organisation, as https://….my.salesforce.com.",
        ),
        401 => (Kind::Credentials, "Salesforce refuses the credentials", "Check the user mapping."),
        403 => (
            Kind::Forbidden,
            "Salesforce does not allow it",
            "Give the user that signs in a permission set that allows it.",
        ),
        404 => (Kind::UnknownObject, "Salesforce has no such object or record", "Check the object's API name."),
        409 | 412 => (Kind::Conflict, "the record changed meanwhile", "Run the statement again."),
        410 => (
            Kind::BadOption,
            "Salesforce has retired this version of its API",
            "Set the server's option \"api_version\" to a newer one.",
        ),
        413 | 414 | 431 => (Kind::TooLarge, "the request is larger than Salesforce takes", "Select fewer columns."),
        429 => (Kind::Quota, "Salesforce asks to slow down", "Set the server's option \"requests_per_second\"."),
        406 | 408 | 420 | 500..=599 => (Kind::Dropped, "Salesforce could not answer", "Try again later."),
        _ => (Kind::Internal, "Salesforce does not understand the request", ""),
    }
}

fn by_status(status: StatusCode) -> Error {
    let (kind, message, hint) = meaning_of_status(status);
    let error = Error::new(kind, message);
    if hint.is_empty() { error } else { error.hint(hint) }
}

/// The line that says what is wrong. Errors of queries start with the query, a caret and a position.
fn what_matters(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let first = lines.peek().copied().unwrap_or_default();
    let line = lines
        .skip_while(|line| !line.starts_with("ERROR at Row:"))
        .find(|line| !line.starts_with("ERROR at Row:"))
        .unwrap_or(first);
    one_line(line)
}

/// The same, but lines stay lines.
fn excerpt_lines(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(1_000)];
    cut.lines().map(one_line).collect::<Vec<_>>().join("\n")
}

/// An answer that is not what the API promises to send.
pub fn unreadable(wanted: &str, wrong: impl Display, body: &[u8]) -> Error {
    answer::unreadable(TITLE, wanted, wrong, body)
}

/// `Sforce-Limit-Info: api-usage=10018/100000`, perhaps with the usage of the app beside it.
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_api_usage.htm>
pub fn usage(response: &Response) -> Option<Usage> {
    let header = response.headers.get("sforce-limit-info")?.to_str().ok()?;
    let (used, limit) =
        header.split([';', ',']).find_map(|part| part.trim().strip_prefix("api-usage="))?.split_once('/')?;
    Some(Usage { used: used.trim().parse().ok()?, limit: limit.trim().parse().ok()? })
}
