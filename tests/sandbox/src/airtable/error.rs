//! Errors as the API words them (contract, section 7).

use serde_json::json;

use crate::http::{Refusal, Response};

/// A refusal: HTTP status, type and, but for some, a message.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    pub status: u16,
    pub kind: String,
    pub message: Option<String>,
    /// The error is a text, not an object.
    bare: bool,
}

pub type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    pub fn new(status: u16, kind: &str, message: impl Into<String>) -> ApiError {
        ApiError { status, kind: kind.to_owned(), message: Some(message.into()), bare: false }
    }

    /// Most refusals are 422.
    pub fn invalid(kind: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(422, kind, message)
    }

    /// 422 with a type and no message.
    pub fn type_only(kind: &str) -> ApiError {
        ApiError { status: 422, kind: kind.to_owned(), message: None, bare: false }
    }

    /// A path or id that cannot be; decided before the token is looked at.
    pub fn not_found() -> ApiError {
        ApiError { status: 404, kind: "NOT_FOUND".to_owned(), message: None, bare: true }
    }

    pub fn model_id_not_found() -> ApiError {
        ApiError::new(404, "MODEL_ID_NOT_FOUND", "Record not found")
    }

    pub fn unauthenticated() -> ApiError {
        ApiError::new(401, "AUTHENTICATION_REQUIRED", "Authentication required")
    }

    pub fn not_permitted() -> ApiError {
        ApiError::new(403, "INVALID_PERMISSIONS", "You are not permitted to perform this operation")
    }

    /// A base, table or record that is not there, or not for this token.
    pub fn forbidden_or_missing() -> ApiError {
        ApiError::new(
            403,
            "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
            "Invalid permissions, or the requested model was not found. Check that both your user and your token \
             have the required permissions, and that the model names and/or ids are correct.",
        )
    }

    pub fn bad_parameters() -> ApiError {
        ApiError::invalid(
            "INVALID_REQUEST_UNKNOWN",
            "Invalid request: parameter validation failed. Check your request data.",
        )
    }

    pub fn bad_body() -> ApiError {
        ApiError::invalid("INVALID_REQUEST_BODY", "Could not parse request body")
    }

    pub fn bad_records() -> ApiError {
        ApiError::invalid(
            "INVALID_RECORDS",
            "You must provide an array of up to 10 record objects, each with an \"id\" ID field and a \"fields\" \
             object for cell values.",
        )
    }

    pub fn unknown_field(name: &str) -> ApiError {
        ApiError::invalid("UNKNOWN_FIELD_NAME", format!("Unknown field name: \"{name}\""))
    }

    pub fn computed(field: &str) -> ApiError {
        let message = format!("Field \"{field}\" cannot accept a value because the field is computed");
        ApiError::invalid("INVALID_VALUE_FOR_COLUMN", message)
    }

    pub fn bad_value(field: &str) -> ApiError {
        let message = format!("Field \"{field}\" cannot accept the provided value");
        ApiError::invalid("INVALID_VALUE_FOR_COLUMN", message)
    }

    pub fn no_such_row(id: &str) -> ApiError {
        ApiError::invalid("ROW_DOES_NOT_EXIST", format!("Record ID {id} does not exist"))
    }

    pub fn response(&self) -> Response {
        let body = match (&self.message, self.bare) {
            (_, true) => json!({ "error": self.kind }),
            (Some(message), _) => json!({ "error": { "type": self.kind, "message": message } }),
            (None, _) => json!({ "error": { "type": self.kind } }),
        };
        Response::value(self.status, &body)
    }
}

impl From<&Refusal> for ApiError {
    fn from(refusal: &Refusal) -> ApiError {
        // 400 is what a fault says that names no status.
        let status = if refusal.status == 400 { 422 } else { refusal.status };
        ApiError { status, kind: refusal.code.clone(), message: Some(refusal.message.clone()), bare: false }
    }
}
