//! Which fields compare alike.

use crate::schema::Field;
use crate::value::Type;

/// Fields that compare alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Id,
    Bool,
    /// Whole numbers between these.
    Int {
        min: i64,
        max: i64,
    },
    Number,
    Date,
    Instant,
    Time,
    /// The API ignores case and sorts by the user's language.
    Text,
    /// Several choices of a list; the API ignores case.
    Choices,
    /// All that can be asked is whether it is null.
    Opaque,
}

/// The family of a field; `None` if nothing can be asked of it.
///
/// A column whose type is not the natural one of its field (a number kept as text) compares differently
/// here than there, so it is opaque.
pub fn family(field: &Field) -> Option<Family> {
    if !field.capabilities.filter {
        return None;
    }
    let (family, natural): (_, &[Type]) = match field.remote_type.as_str() {
        "id" | "reference" => (Family::Id, &[Type::Text]),
        "boolean" => (Family::Bool, &[Type::Bool]),
        "int" => (Family::Int { min: i32::MIN.into(), max: i32::MAX.into() }, &[Type::Int, Type::Decimal]),
        "long" => (Family::Int { min: i64::MIN, max: i64::MAX }, &[Type::Int, Type::Decimal]),
        "double" | "currency" | "percent" => (Family::Number, &[Type::Decimal, Type::Int]),
        "date" => (Family::Date, &[Type::Date]),
        "datetime" => (Family::Instant, &[Type::Instant]),
        "time" => (Family::Time, &[Type::Time]),
        "string" | "picklist" | "email" | "phone" | "url" | "textarea" | "combobox" => (Family::Text, &[Type::Text]),
        "multipicklist" => (Family::Choices, &[Type::TextList]),
        // `filterable` means DISTANCE() here, and nothing else.
        "address" | "location" | "" => return None,
        _ => (Family::Opaque, &[]),
    };
    Some(if natural.contains(&field.ty) { family } else { Family::Opaque })
}
