//! Tests of the whole connector, by what it asks and what it makes of answers.

mod describing;
mod following;
mod paging;
mod pushing;
mod refusals;
mod signing;
mod splitting;
mod wording;
mod writing;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::Salesforce;
use crate::connector::machine::{Job, Step};
use crate::connector::wire::{Request, Response};
use crate::error::{Error, Result};
use crate::options::{OptionMap, ServerOptions};
use crate::query::pattern::{Case, Form};
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::schema::{Capabilities, Field, Object, Operations};
use crate::value::{Type, Value};

pub const ORIGIN: &str = "https://acme.my.salesforce.com";

pub fn server(options: &[(&str, &str)]) -> ServerOptions {
    let mut map: OptionMap = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    map.insert("connector".to_owned(), "salesforce".to_owned());
    ServerOptions::read("sf", &map).unwrap()
}

pub fn salesforce() -> Salesforce {
    Salesforce::new(&server(&[])).unwrap()
}

/// A field that can be filtered.
pub fn field(name: &str, remote_type: &str, ty: Type) -> Field {
    Field {
        name: name.to_owned(),
        label: None,
        ty,
        remote_type: remote_type.to_owned(),
        key: remote_type == "id",
        references: None,
        capabilities: Capabilities { filter: true, ..Capabilities::default() },
    }
}

pub fn id() -> Field {
    field("Id", "id", Type::Text)
}

pub fn text(name: &str) -> Field {
    field(name, "string", Type::Text)
}

pub fn int(name: &str) -> Field {
    field(name, "int", Type::Int)
}

pub fn double(name: &str) -> Field {
    field(name, "double", Type::Decimal)
}

pub fn object(fields: Vec<Field>) -> Object {
    Object { name: "Contact".to_owned(), fields, operations: Operations::default(), estimated_rows: None }
}

pub fn compare(field: &Field, op: Comparison, value: Value) -> Predicate {
    Predicate::Compare { field: field.clone(), op, operand: Operand::Value(value) }
}

pub fn is_in(field: &Field, values: Vec<Value>, negated: bool) -> Predicate {
    let list = Operand::Value(Value::List(values.into()));
    Predicate::In { field: field.clone(), list, negated }
}

pub fn matches(field: &Field, case: Case, form: Form, pattern: &str) -> Predicate {
    Predicate::Text { field: field.clone(), case, form, pattern: Operand::Value(Value::text(pattern)) }
}

pub fn texts(texts: &[&str]) -> Operand {
    Operand::Value(Value::List(texts.iter().map(|text| Value::text(*text)).collect()))
}

pub fn choices() -> Field {
    field("F", "multipicklist", Type::TextList)
}

pub fn decimal(text: &str) -> Value {
    Value::Decimal(text.into())
}

/// The canonical id of a number.
pub fn an_id(number: usize) -> String {
    let bare = format!("001{number:012}");
    // No capitals: each check character is A.
    format!("{bare}AAA")
}

pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()))
        .collect();
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: body.to_owned().into(),
        origin: ORIGIN.to_owned(),
        repeated: false,
        request: None,
    }
}

/// Plays a machine against a list of answers; returns what it sent and what it brought.
pub fn play<T>(mut job: Job<T>, answers: &[&str]) -> (Vec<Request>, Result<Vec<T>>) {
    let (mut sent, mut brought) = (Vec::new(), Vec::new());
    let mut answers = answers.iter();
    let mut last = None;
    loop {
        match job.next(last.take()) {
            Ok(Step::Send(request)) => {
                sent.push(request);
                last = Some(response(200, &[], answers.next().expect("an answer for every request")));
            }
            Ok(Step::SendAhead(request)) => {
                sent.push(request);
                match job.next(None) {
                    Ok(Step::Yield(result)) => brought.push(result),
                    Ok(_) => panic!("a request was sent ahead of nothing"),
                    Err(error) => return (sent, Err(error)),
                }
                last = Some(response(200, &[], answers.next().expect("an answer for every request")));
            }
            Ok(Step::Yield(result)) => brought.push(result),
            Ok(Step::Sleep(_)) => {}
            Ok(Step::Done) => return (sent, Ok(brought)),
            Err(error) => return (sent, Err(error)),
        }
    }
}

/// The `q` of a query's path.
pub fn soql(path: &str) -> String {
    let (_, query) = path.split_once("?q=").expect("a query");
    percent_encoding::percent_decode_str(query).decode_utf8().unwrap().into_owned()
}

pub fn failed<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("should have failed"),
        Err(error) => error,
    }
}
