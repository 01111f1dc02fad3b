//! What the API's types of fields are here, and which of them compare alike.

use super::api::{CREATED_TYPE, KEY_TYPE};
use crate::schema::Field;
use crate::value::Type;

/// The API's own type of a field, and of what it computes, if it says so: `formula(number)`.
pub fn split_type(remote: &str) -> (&str, &str) {
    match remote.split_once('(') {
        Some((kind, result)) => (kind, result.trim_end_matches(')')),
        None => (remote, ""),
    }
}

/// The type of a field's column.
/// <https://airtable.com/developers/web/api/field-model>
pub fn local_type(remote: &str) -> Type {
    match split_type(remote) {
        (
            "singleLineText" | "email" | "url" | "phoneNumber" | "multilineText" | "richText" | "singleSelect"
            | "externalSyncSource" | "manualSort",
            _,
        ) => Type::Text,
        // A field of whole numbers may still hold a fraction that was written to it by the API.
        ("number" | "currency" | "percent" | "duration", _) => Type::Decimal,
        ("rating" | "count" | "autoNumber", _) => Type::Int,
        ("checkbox", _) => Type::Bool,
        ("date", _) | ("createdTime" | "lastModifiedTime", "date") => Type::Date,
        ("dateTime" | "createdTime" | "lastModifiedTime", _) => Type::Instant,
        ("multipleSelects" | "multipleRecordLinks", _) => Type::TextList,
        ("formula" | "rollup", result) => match local_type(result) {
            Type::TextList => Type::Json,
            // A computed number may be a fraction whatever it is shown as.
            Type::Int => Type::Decimal,
            scalar => scalar,
        },
        _ => Type::Json,
    }
}

/// Whether a field takes values.
pub fn is_writable(remote: &str) -> bool {
    matches!(
        remote,
        "singleLineText"
            | "email"
            | "url"
            | "phoneNumber"
            | "multilineText"
            | "richText"
            | "number"
            | "currency"
            | "percent"
            | "duration"
            | "rating"
            | "checkbox"
            | "singleSelect"
            | "multipleSelects"
            | "date"
            | "dateTime"
            | "multipleAttachments"
            | "multipleRecordLinks"
            | "singleCollaborator"
            | "multipleCollaborators"
            | "barcode"
    )
}

/// Whether a field's value is computed by a formula, and so may be an error.
pub fn is_formula(field: &Field) -> bool {
    matches!(split_type(&field.remote_type).0, "formula" | "rollup")
}

/// Fields that compare alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The record's own id.
    Id,
    /// When the record was made: never blank.
    Created,
    Text,
    Number,
    Bool,
    Date,
    Instant,
    /// Several choices of a list.
    Choices,
    /// A list that formulas see as other texts than there are here: of records, of files.
    Opaque,
}

/// The family of a field; `None` if nothing can be asked of it.
///
/// A column whose type is not the natural one of its field compares differently here than there.
pub fn family(field: &Field) -> Option<Family> {
    if !field.capabilities.filter {
        return None;
    }
    let (kind, result) = split_type(&field.remote_type);
    let family = match (kind, field.ty) {
        (KEY_TYPE, Type::Text) => Family::Id,
        (CREATED_TYPE, Type::Instant) => Family::Created,
        // Lists are joined in formulas, and are texts of JSON here.
        ("rollup", Type::Text) => return None,
        ("multipleSelects", Type::TextList) => Family::Choices,
        ("multipleRecordLinks", Type::TextList) | ("multipleAttachments", Type::Json) => Family::Opaque,
        _ => {
            match (local_type(if matches!(kind, "formula" | "rollup") { result } else { &field.remote_type }), field.ty)
            {
                (Type::Text, Type::Text) => Family::Text,
                (Type::Decimal | Type::Int, Type::Decimal | Type::Int) => Family::Number,
                (Type::Bool, Type::Bool) => Family::Bool,
                (Type::Date, Type::Date) => Family::Date,
                (Type::Instant, Type::Instant) => Family::Instant,
                _ => return None,
            }
        }
    };
    Some(family)
}
