//! Tests of the whole connector, by what it asks and what it makes of answers.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value as Json, json};

use super::errors::{classify, is_lost};
use super::formula::{Formula, condition};
use super::{Airtable, decode, family};
use crate::connector::contract::{Connector, Verdict};
use crate::connector::machine::{Job, Step};
use crate::connector::wire::{Body, Request, Response};
use crate::error::{Kind, Result};
use crate::options::{OptionMap, ServerOptions};
use crate::query::ask::BoundRead;
use crate::query::page::Page;
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::schema::{Capabilities, Field};
use crate::value::{Type, Value};

const OBJECT: &str = "app00000000000000/tbl00000000000000";

fn airtable() -> Airtable {
    let map: OptionMap = [("connector".to_owned(), "airtable".to_owned())].into();
    Airtable::new(&ServerOptions::read("at", &map).unwrap()).unwrap()
}

/// A field that can be filtered, of the API's type.
fn field(number: u32, remote_type: &str) -> Field {
    Field {
        name: format!("fld{number:014}"),
        label: None,
        ty: family::local_type(remote_type),
        remote_type: remote_type.to_owned(),
        key: false,
        references: None,
        capabilities: Capabilities { filter: true, ..Capabilities::default() },
    }
}

fn id_field() -> Field {
    Field { name: "_id".to_owned(), ty: Type::Text, key: true, ..field(0, "recordId") }
}

fn response(status: u16, body: &str) -> Response {
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.to_owned().into(),
        origin: "https://api.airtable.com".to_owned(),
        repeated: false,
        request: Some("POST https://api.airtable.com/v0/x".to_owned()),
    }
}

fn record(number: u32) -> String {
    format!(r#"{{"id":"rec{number:014}","createdTime":"2022-01-01T00:00:00.000Z","fields":{{}}}}"#)
}

fn list(records: &[u32], offset: Option<&str>) -> Response {
    let records: Vec<_> = records.iter().map(|number| record(*number)).collect();
    let offset = offset.map(|offset| format!(",\"offset\":\"{offset}\"")).unwrap_or_default();
    response(200, &format!("{{\"records\":[{}]{offset}}}", records.join(",")))
}

/// Runs a read against these answers: what was asked, and the ids that came.
fn play(mut job: Job<Page>, answers: Vec<Response>) -> Result<(Vec<Json>, Vec<String>)> {
    let (mut asked, mut found) = (Vec::new(), Vec::new());
    let (mut answers, mut last) = (answers.into_iter(), None);
    let mut ahead = None;
    let ask = |request: Request, asked: &mut Vec<Json>| {
        let Some(Body::Json(body)) = request.body else { panic!("a list is asked for in JSON") };
        asked.push(serde_json::from_slice(&body).unwrap());
    };
    loop {
        match job.next(last.take())? {
            Step::Send(request) => {
                ask(request, &mut asked);
                last = Some(answers.next().expect("an answer"));
            }
            Step::SendAhead(request) => {
                ask(request, &mut asked);
                ahead = answers.next();
            }
            Step::Yield(page) => {
                found.extend((0..page.rows()).map(|row| page.value(row, 0).to_input()));
                last = ahead.take();
            }
            Step::Sleep(_) => {}
            Step::Done => return Ok((asked, found)),
        }
    }
}

fn read(filter: Predicate) -> Vec<Job<Page>> {
    airtable().read(&BoundRead::new(OBJECT, vec![id_field()], filter, Json::Null)).unwrap()
}

#[test]
fn a_list_is_followed_to_its_end_and_brings_no_record_twice() {
    let answers = vec![list(&[1, 2], Some("itr/a")), list(&[2, 3], Some("itr/b")), list(&[], None)];
    let (asked, found) = play(read(Predicate::True).remove(0), answers).unwrap();
    assert_eq!(found, ["rec00000000000001", "rec00000000000002", "rec00000000000003"]);
    let offsets: Vec<_> = asked.iter().map(|body| body["offset"].as_str()).collect();
    assert_eq!(offsets, [None, Some("itr/a"), Some("itr/b")]);
    assert_eq!(asked[0], json!({ "fields": [], "pageSize": 100, "returnFieldsByFieldId": true }));
}

#[test]
fn a_list_that_is_forgotten_begins_anew_and_ends_if_that_brings_nothing() {
    let lost = || response(422, r#"{"error":{"type":"LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}"#);
    let answers = vec![list(&[1, 2], Some("a")), lost(), list(&[1, 2], Some("b")), list(&[3], None)];
    let (_, found) = play(read(Predicate::True).remove(0), answers).unwrap();
    assert_eq!(found.len(), 3);
    let mut answers = vec![list(&[1, 2], Some("a"))];
    for again in ["b", "c", "d", "e"] {
        answers.extend([lost(), list(&[1, 2], Some(again))]);
    }
    assert_eq!(play(read(Predicate::True).remove(0), answers).unwrap_err().kind(), Kind::CursorLost);
    // Whatever else is refused in between is an error.
    let answers = vec![list(&[1], Some("a")), response(403, r#"{"error":{"type":"INVALID_PERMISSIONS"}}"#)];
    assert_eq!(play(read(Predicate::True).remove(0), answers).unwrap_err().kind(), Kind::Forbidden);
    let answers = vec![list(&[1], Some("a")), list(&[2], Some("a"))];
    assert_eq!(play(read(Predicate::True).remove(0), answers).unwrap_err().kind(), Kind::Unreadable);
}

#[test]
fn records_that_were_not_named_are_left_out_and_texts_that_are_no_ids_not_asked_for() {
    let texts = ["rec00000000000001", "nonsense", "rec00000000000001", "rec00000000000003"].map(Value::text);
    let list_of = Operand::Value(Value::List(texts.into()));
    let filter = Predicate::In { field: id_field(), list: list_of, negated: false };
    let (asked, found) = play(read(filter).remove(0), vec![list(&[1, 2, 3], None)]).unwrap();
    assert_eq!(found, ["rec00000000000001", "rec00000000000003"]);
    assert_eq!(asked[0]["filterByFormula"], "OR(RECORD_ID()='rec00000000000001',RECORD_ID()='rec00000000000003')");
    let none = Predicate::Compare { field: id_field(), op: Comparison::Eq, operand: Operand::Value(Value::text("x")) };
    assert!(read(none).is_empty());
}

#[test]
fn cells_are_what_the_types_say_and_errors_are_null() {
    let read = |remote_type: &str, cell: &str| {
        let field = field(1, remote_type);
        let body = format!(
            r#"{{"records":[{{"id":"rec00000000000001","createdTime":"2022-01-01T00:00:00.000Z","fields":{{"{}":{cell}}}}}]}}"#,
            field.name
        );
        decode::page(body.as_bytes(), std::slice::from_ref(&field), true).map(|page| page.cells[0].clone())
    };
    for (remote_type, cell, value) in [
        ("number", "1e21", Value::Decimal("1e21".into())),
        ("formula(number)", r#"{"specialValue":"NaN"}"#, Value::Decimal("NaN".into())),
        ("formula(number)", r##"{"error":"#ERROR!"}"##, Value::Null),
        ("formula(checkbox)", r##"{"error":"#ERROR!"}"##, Value::Null),
        ("formula", r##"{"error":"#ERROR!"}"##, Value::Null),
        ("rollup(singleLineText)", r#"["a","b"]"#, Value::text(r#"["a","b"]"#)),
        ("checkbox", "true", Value::Bool(true)),
        ("multipleSelects", r#"["a","b, c"]"#, Value::List([Value::text("a"), Value::text("b, c")].into())),
        ("date", r#""1970-01-02""#, Value::Date(1)),
        ("rating", "3", Value::Int(3)),
        ("barcode", r#"{"text":"1"}"#, Value::Json(r#"{"text":"1"}"#.into())),
    ] {
        assert_eq!(read(remote_type, cell).unwrap(), value, "{remote_type} {cell}");
    }
    for (remote_type, cell) in [
        ("number", "\"1\""),
        ("date", "\"x\""),
        ("multipleSelects", "\"a\""),
        ("rating", "1.5"),
        ("singleLineText", "5"),
    ] {
        assert_eq!(read(remote_type, cell).unwrap_err().kind(), Kind::Malformed, "{remote_type} {cell}");
    }
    let absent =
        decode::page(list(&[1], None).body.as_ref(), &[field(1, "checkbox"), field(2, "number")], true).unwrap();
    assert_eq!(absent.cells, [Value::Bool(false), Value::Null]);
}

#[test]
fn numbers_that_no_double_is_and_days_that_no_calendar_has_are_worded_so_that_nothing_is_lost() {
    let number = field(1, "number");
    let word = |field: &Field, op, value| {
        condition(&Predicate::Compare { field: field.clone(), op, operand: Operand::Value(value) }).unwrap()
    };
    let filled = |test: &str| Formula::Test(format!("AND({{fld00000000000001}}&''!='',{{fld00000000000001}}{test})"));
    let not_null = Formula::Test("{fld00000000000001}&''!=''".to_owned());
    let decimal = |text: &str| Value::Decimal(text.into());
    use Comparison::*;
    for (op, text, formula) in [
        (Eq, "0.1", filled("=0.1")),
        (Lt, "0.1", filled("<0.1")),
        (Lt, "0.10000000000000000001", filled("<=0.10000000000000000001")),
        (Ne, "0.10000000000000000001", not_null.clone()),
        (Gt, "1e21", filled(">1000000000000000000000")),
        (Lt, "NaN", not_null.clone()),
        (Eq, "Infinity", Formula::False),
        (Gt, "-Infinity", not_null.clone()),
        (Le, "1e400", not_null.clone()),
        (Ge, "1e400", Formula::False),
    ] {
        assert_eq!(word(&number, op, decimal(text)), formula, "{op:?} {text}");
    }
    let day = field(1, "date");
    for (op, days, formula) in [
        (Lt, i32::MAX, not_null.clone()),
        (Gt, i32::MAX, Formula::False),
        (Gt, i32::MIN, not_null.clone()),
        (Eq, 2_932_896, not_null.clone()),
        (Ne, 0, not_null.clone()),
    ] {
        assert_eq!(word(&day, op, Value::Date(days)), formula, "{op:?} {days}");
    }
}

/// What the contract's table of errors says of each answer.
#[test]
fn every_error_of_the_api_has_its_meaning() {
    let one = |kind: &str, message: &str| json!({ "error": { "type": kind, "message": message } }).to_string();
    for (status, body, kind) in [
        (403, one("INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions, or …"), Kind::Forbidden),
        (403, one("INVALID_PERMISSIONS", "You are not permitted to perform this operation"), Kind::Forbidden),
        (404, r#"{"error":"NOT_FOUND"}"#.to_owned(), Kind::UnknownObject),
        (404, one("MODEL_ID_NOT_FOUND", "Record not found"), Kind::UnknownObject),
        (413, one("REQUEST_TOO_LARGE", ""), Kind::TooLarge),
        (422, one("INVALID_REQUEST_UNKNOWN", "Invalid request: parameter validation failed."), Kind::Internal),
        (422, one("INVALID_REQUEST_BODY", "Could not parse request body"), Kind::Internal),
        (422, one("MISSING_FIELDS", "Could not find field \"fields\" in the request body"), Kind::Internal),
        (422, one("INVALID_RECORDS", "You must provide an array of up to 10 record objects"), Kind::Internal),
        (422, one("UNKNOWN_FIELD_NAME", "Unknown field name: \"fldX\""), Kind::UnknownField),
        (
            422,
            one("INVALID_VALUE_FOR_COLUMN", "Field \"x\" cannot accept a value because the field is computed"),
            Kind::ReadOnlyField,
        ),
        (422, one("INVALID_VALUE_FOR_COLUMN", "Field \"x\" cannot accept the provided value"), Kind::Malformed),
        (
            422,
            one("INVALID_MULTIPLE_CHOICE_OPTIONS", "Insufficient permissions to create new select option \"x\""),
            Kind::RuleViolated,
        ),
        (422, one("ROW_DOES_NOT_EXIST", "Record ID rec… does not exist"), Kind::BadReference),
        (422, one("INVALID_FILTER_BY_FORMULA", "The formula for filtering records is invalid: …"), Kind::Internal),
        (422, r#"{"error":{"type":"LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}"#.to_owned(), Kind::CursorLost),
        (422, one("INVALID_OFFSET_VALUE", "The value of offset x is invalid"), Kind::CursorLost),
        (422, one("VIEW_NAME_NOT_FOUND", "View x not found"), Kind::UnknownObject),
        (429, one("TOO_MANY_REQUESTS", "PUBLIC_API_BILLING_LIMIT_EXCEEDED"), Kind::Quota),
        (400, "<html>".to_owned(), Kind::Internal),
    ] {
        let Verdict::Fail(error) = classify(&response(status, &body)) else { panic!("{status} {body} does not fail") };
        assert_eq!(error.kind(), kind, "{status} {body}");
    }
    let Verdict::Renew(error) = classify(&response(401, &one("AUTHENTICATION_REQUIRED", "Authentication required")))
    else {
        panic!("a token that is not accepted is renewed");
    };
    assert_eq!(error.kind(), Kind::Credentials);
    assert!(is_lost(&response(422, &one("INVALID_OFFSET_VALUE", ""))) && !is_lost(&response(422, "{}")));
}

#[test]
fn a_rate_that_was_exceeded_is_waited_out_and_a_failing_server_asked_again() {
    let bodies = [
        r#"{"errors":[{"error":"RATE_LIMIT_REACHED","message":"Rate limit exceeded. Please try again later"}]}"#,
        r#"{"error":{"type":"TOO_MANY_REQUESTS","message":"x"}}"#,
        "",
    ];
    for body in bodies {
        let mut answer = response(429, body);
        for (header, seconds) in [(None, 30), (Some("7"), 7)] {
            answer.headers.extend(header.map(|text| (reqwest::header::RETRY_AFTER, HeaderValue::from_static(text))));
            let Verdict::Retry { error, after, perhaps_done, throttled } = classify(&answer) else { panic!("{body}") };
            assert_eq!((error.kind(), after.map(|wait| wait.as_secs())), (Kind::Quota, Some(seconds)));
            assert!(throttled && !perhaps_done);
        }
    }
    for status in [500, 502, 503, 504] {
        let Verdict::Retry { error, perhaps_done, throttled, .. } = classify(&response(status, "")) else {
            panic!("{status}")
        };
        assert_eq!((error.kind(), perhaps_done, throttled), (Kind::Dropped, true, false));
    }
}
