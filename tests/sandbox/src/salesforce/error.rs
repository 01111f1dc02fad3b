//! Errors as the API words them.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use crate::http::{Refusal, Response};

/// A refusal: HTTP status, code and message, and sometimes the fields it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    pub status: u16,
    pub code: Cow<'static, str>,
    pub message: String,
    pub fields: Vec<String>,
    /// What some errors carry besides, as `duplicateResult`.
    pub extra: Option<(&'static str, Box<Json>)>,
}

pub type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status, code: code.into(), message: message.into(), fields: Vec::new(), extra: None }
    }

    /// Most refusals are 400.
    pub fn bad(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(400, code, message)
    }

    pub fn on_field(mut self, field: &str) -> ApiError {
        self.fields.push(field.to_owned());
        self
    }

    pub fn not_found() -> ApiError {
        ApiError::new(404, "NOT_FOUND", "The requested resource does not exist")
    }

    pub fn method_not_allowed(allowed: &str) -> ApiError {
        let message = format!("HTTP Method not allowed. Allowed are {allowed}");
        ApiError::new(405, "METHOD_NOT_ALLOWED", message)
    }

    fn json_with(&self, code_key: &str, always_fields: bool) -> Json {
        let mut json = json!({ "message": self.message, code_key: self.code });
        if always_fields || !self.fields.is_empty() {
            json["fields"] = json!(self.fields);
        }
        if let Some((key, value)) = &self.extra {
            json[*key] = (**value).clone();
        }
        json
    }

    /// As an element of the array that answers a single request.
    pub fn json(&self) -> Json {
        self.json_with("errorCode", false)
    }

    /// As an element of `errors` in the answer to a collection, where the code has another key (contract, section 7).
    pub fn item(&self) -> Json {
        self.json_with("statusCode", true)
    }

    pub fn response(&self) -> Response {
        Response::value(self.status, &Json::Array(vec![self.json()]))
    }

    /// A refused write names its fields also where there are none.
    pub fn response_with_fields(&self) -> Response {
        Response::value(self.status, &Json::Array(vec![self.json_with("errorCode", true)]))
    }
}

impl From<&Refusal> for ApiError {
    fn from(refusal: &Refusal) -> ApiError {
        let Refusal { at: _, code, message, fields, status } = refusal.clone();
        ApiError { status, code: code.into(), message, fields, extra: None }
    }
}
