//! What errors mean.

use std::time::Duration;

use super::super::errors::{classify, usage};
use super::*;
use crate::connector::contract::{Usage, Verdict};
use crate::error::Kind;

#[derive(Debug, PartialEq)]
enum Course {
    Fail,
    Renew,
    /// (perhaps done, throttled)
    Retry(bool, bool),
}

fn verdict(status: u16, headers: &[(&str, &str)], body: &str) -> (Course, Error) {
    match classify(&response(status, headers, body)) {
        Verdict::Good => panic!("{status} is no error"),
        Verdict::Fail(error) => (Course::Fail, error),
        Verdict::Renew(error) => (Course::Renew, error),
        Verdict::Retry { error, perhaps_done, throttled, .. } => (Course::Retry(perhaps_done, throttled), error),
    }
}

fn body(code: &str, message: &str) -> String {
    serde_json::json!([{ "message": message, "errorCode": code }]).to_string()
}

#[test]
fn every_documented_error_has_its_kind_and_course() {
    use Course::*;
    let again = |perhaps_done| Retry(perhaps_done, false);
    let slower = || Retry(false, true);
    for (status, code, message, kind, course) in [
        (401, "INVALID_SESSION_ID", "Session expired or invalid", Kind::Credentials, Renew),
        (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", Kind::Credentials, Fail),
        (401, "INVALID_SESSION_ID", "Connected app is not attached to Agent", Kind::Credentials, Fail),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", Kind::Quota, Fail),
        (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", Kind::Quota, slower()),
        (
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
            Kind::Quota,
            slower(),
        ),
        (429, "TOO_MANY_REQUESTS", "slow down", Kind::Quota, slower()),
        (403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.", Kind::Forbidden, Fail),
        (403, "API_CURRENTLY_DISABLED", "x", Kind::Forbidden, Fail),
        (403, "INSUFFICIENT_ACCESS", "insufficient access rights on object id", Kind::Forbidden, Fail),
        (400, "INSUFFICIENT_ACCESS_OR_READONLY", "entity is read-only", Kind::Forbidden, Fail),
        (
            400,
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            "insufficient access rights on cross-reference id: 001",
            Kind::Forbidden,
            Fail,
        ),
        (400, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name.", Kind::ReadOnlyField, Fail),
        (400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", Kind::Required, Fail),
        (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "no", Kind::RuleViolated, Fail),
        (400, "STRING_TOO_LONG", "Name: data value too large: xxx (max length=25)", Kind::TooLong, Fail),
        (
            400,
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "bad value for restricted picklist field: X",
            Kind::RuleViolated,
            Fail,
        ),
        (400, "NUMBER_OUTSIDE_VALID_RANGE", "", Kind::OutOfRange, Fail),
        (400, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: x", Kind::Malformed, Fail),
        (400, "INVALID_TYPE_ON_FIELD_IN_RECORD", "x", Kind::Malformed, Fail),
        (400, "JSON_PARSER_ERROR", "Cannot deserialize instance of double", Kind::Malformed, Fail),
        (400, "MALFORMED_ID", "Account ID: id value of incorrect type: 0019", Kind::Malformed, Fail),
        (400, "DUPLICATE_VALUE", "duplicate value found: Ext__c", Kind::Duplicate, Fail),
        (400, "DUPLICATES_DETECTED", "Use one of these records?", Kind::Duplicate, Fail),
        (400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", Kind::BadReference, Fail),
        (404, "NOT_FOUND", "The requested resource does not exist", Kind::UnknownObject, Fail),
        (404, "ENTITY_IS_DELETED", "entity is deleted", Kind::Conflict, Fail),
        (400, "DELETE_FAILED", "it is associated with", Kind::BadReference, Fail),
        (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", Kind::Locked, again(false)),
        (500, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", Kind::Locked, again(false)),
        (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "Trigger: execution of BeforeInsert", Kind::RuleViolated, Fail),
        (400, "MALFORMED_QUERY", "unexpected token: ''x'", Kind::Internal, Fail),
        (400, "INVALID_FIELD", "No such column 'X' on entity 'Y'", Kind::UnknownField, Fail),
        (400, "INVALID_FIELD", "field 'Description' can not be filtered in a query call", Kind::NotSupported, Fail),
        (400, "INVALID_TYPE", "sObject type 'X' is not supported", Kind::UnknownObject, Fail),
        (400, "INVALID_QUERY_LOCATOR", "invalid query locator", Kind::CursorLost, Fail),
        (400, "QUERY_TIMEOUT", "Your query request was running for too long.", Kind::TooComplex, again(false)),
        (400, "QUERY_TOO_COMPLICATED", "x", Kind::TooComplex, Fail),
        (400, "EXCEEDED_ID_LIMIT", "x", Kind::TooComplex, Fail),
        (400, "OPERATION_TOO_LARGE", "exceeded 100000 distinct who/what's", Kind::TooLarge, Fail),
        (405, "METHOD_NOT_ALLOWED", "x", Kind::Internal, Fail),
        (415, "UNSUPPORTED_MEDIA_TYPE", "x", Kind::Internal, Fail),
        (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1", Kind::Dropped, again(true)),
        (503, "SERVER_UNAVAILABLE", "x", Kind::Dropped, again(false)),
        (400, "BRAND_NEW", "x", Kind::Internal, Fail),
        (403, "BRAND_NEW", "x", Kind::Forbidden, Fail),
        (404, "BRAND_NEW", "x", Kind::UnknownObject, Fail),
        (412, "BRAND_NEW", "x", Kind::Conflict, Fail),
        (502, "BRAND_NEW", "x", Kind::Dropped, again(true)),
    ] {
        let (found, error) = verdict(status, &[], &body(code, message));
        assert_eq!((found, error.kind()), (course, kind), "{status} {code} {message}");
        let answered = format!("Salesforce answered {status} {code}");
        assert_eq!(error.detail_text().unwrap().lines().next(), Some(answered.as_str()));
        assert!(error.message().ends_with(message), "{error}");
    }
}

#[test]
fn a_status_speaks_where_the_body_does_not() {
    use Course::*;
    for (status, kind, course) in [
        (300, Kind::SeveralRecords, Fail),
        (302, Kind::Unreadable, Fail),
        (400, Kind::Internal, Fail),
        (401, Kind::Credentials, Renew),
        (403, Kind::Forbidden, Fail),
        (404, Kind::UnknownObject, Fail),
        (406, Kind::Dropped, Retry(true, false)),
        (408, Kind::Dropped, Retry(true, false)),
        (410, Kind::BadOption, Fail),
        (412, Kind::Conflict, Fail),
        (413, Kind::TooLarge, Fail),
        (414, Kind::TooLarge, Fail),
        (415, Kind::Internal, Fail),
        (420, Kind::Dropped, Retry(true, false)),
        (428, Kind::Internal, Fail),
        (429, Kind::Quota, Retry(false, true)),
        (431, Kind::TooLarge, Fail),
        (500, Kind::Dropped, Retry(true, false)),
        (502, Kind::Dropped, Retry(true, false)),
        (503, Kind::Dropped, Retry(false, false)),
        (504, Kind::Dropped, Retry(true, false)),
    ] {
        for text in ["", "<html>\u{7}oops</html>", r#"["/services/data/v62.0/sobjects/A/1"]"#, "{}", "[]"] {
            let (found, error) = verdict(status, &[], text);
            assert_eq!((&found, error.kind()), (&course, kind), "{status} {text}");
            let detail = error.detail_text().unwrap();
            assert!(detail.contains(&format!("answered {status}")) && !detail.contains('\u{7}'));
        }
    }
    let (_, error) = verdict(502, &[], &"x".repeat(100_000));
    assert!(error.detail_text().unwrap().len() < 1_100);
}

#[test]
fn success_and_not_modified_are_good() {
    for status in [200, 201, 204, 304] {
        assert!(matches!(classify(&response(status, &[], "")), Verdict::Good));
    }
}

#[test]
fn a_refused_sign_in_says_so_in_the_api_s_words() {
    let (course, error) =
        verdict(400, &[], r#"{"error":"invalid_grant","error_description":"authentication failure"}"#);
    assert_eq!((course, error.kind()), (Course::Fail, Kind::Credentials));
    assert_eq!(error.message(), "Salesforce refused to sign in: authentication failure");
    assert_eq!(error.detail_text(), Some("Salesforce answered 400 invalid_grant"));
    assert!(error.hint_text().unwrap().contains("user mapping"));
    let (_, error) = verdict(401, &[], r#"{"error":"invalid_client"}"#);
    assert_eq!(error.message(), "Salesforce refused to sign in: invalid_client");
}

#[test]
fn errors_of_queries_name_the_column_and_keep_the_caret_in_the_detail() {
    let message = "\nSELECT Foo FROM Account\n       ^\nERROR at Row:1:Column:8\nNo such column 'Foo' on entity 'Account'. If you are attempting to use a custom field, be sure.";
    let (_, error) = verdict(400, &[], &body("INVALID_FIELD", message));
    assert_eq!(error.column_name(), Some("Foo"));
    assert!(error.message().contains(": No such column 'Foo' on entity 'Account'."));
    assert!(!error.message().contains('^'));
    assert!(error.detail_text().unwrap().ends_with(message.trim()));
}

#[test]
fn errors_of_records_name_their_only_field() {
    let (_, error) =
        verdict(400, &[], r#"[{"message":"no","errorCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","fields":["Amount"]}]"#);
    assert_eq!(error.column_name(), Some("Amount"));
    assert_eq!(error.detail_text(), Some("Salesforce answered 400 FIELD_CUSTOM_VALIDATION_EXCEPTION (fields: Amount)"));
    let (_, error) = verdict(400, &[], &body("REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]"));
    assert_eq!(error.column_name(), Some("Name"));
}

#[test]
fn retry_after_is_read_in_seconds_and_as_a_date() {
    let after = |headers: &[(&str, &str)]| match classify(&response(429, headers, "")) {
        Verdict::Retry { after, .. } => after,
        _ => panic!("429 is tried again"),
    };
    let date = ("date", "Wed, 21 Oct 2015 07:28:00 GMT");
    assert_eq!(after(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
    assert_eq!(after(&[("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT"), date]), Some(Duration::from_secs(30)));
    assert_eq!(after(&[("retry-after", "Wed, 21 Oct 2015 07:27:30 GMT"), date]), Some(Duration::ZERO));
    assert_eq!(after(&[("retry-after", "soon")]), None);
    assert_eq!(after(&[]), None);
}

#[test]
fn usage_of_the_quota_is_read() {
    let of = |text: &str| usage(&response(200, &[("Sforce-Limit-Info", text)], ""));
    let expected = Some(Usage { used: 10_018, limit: 100_000 });
    assert_eq!(of("api-usage=10018/100000"), expected);
    assert_eq!(of("per-app-api-usage=17/250(appName=x); api-usage=10018/100000"), expected);
    assert_eq!(of("api-usage=x/y"), None);
    assert_eq!(usage(&response(200, &[], "")), None);
}
