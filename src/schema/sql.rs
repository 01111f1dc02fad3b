//! SQL that makes foreign tables of objects.

use std::fmt::Write;

use super::naming::{Naming, UniqueNames};
use super::{Field, Object, Reference};
use crate::value::Type;

/// The command that makes a foreign table of an object.
pub fn create_table(table: &str, object: &Object, server: &str, naming: Naming) -> String {
    let mut unique = UniqueNames::of_columns();
    let columns: Vec<_> =
        object.fields.iter().map(|field| column(&unique.claim(&naming.apply(field.title())), field)).collect();
    let mut options = vec![("object", object.name.clone())];
    options.push(("operations", object.operations.format()));
    if let Some(rows) = object.estimated_rows {
        options.push(("estimated_rows", rows.min(u32::MAX.into()).to_string()));
    }
    format!(
        "CREATE FOREIGN TABLE {} (\n  {}\n) SERVER {} {}",
        identifier(table),
        columns.join(",\n  "),
        identifier(server),
        options_clause(&options)
    )
}

/// A column for a field, as CREATE and ALTER FOREIGN TABLE have it.
pub fn column(name: &str, field: &Field) -> String {
    // Other fields may be hidden from the user by the API's own permissions, and then are NULL.
    let not_null = if field.key { " NOT NULL" } else { "" };
    format!("{} {} {}{not_null}", identifier(name), sql_type(field.ty, &field.remote_type), column_options(field))
}

fn column_options(field: &Field) -> String {
    let key = if field.key { "true" } else { "" };
    let reference = field.references.as_ref().map(Reference::format).unwrap_or_default();
    let mut options = vec![
        ("field", field.name.clone()),
        ("type", field.remote_type.clone()),
        ("key", key.to_owned()),
        ("references", reference),
        ("capabilities", field.capabilities.format()),
    ];
    // That nothing can be done with a field is worth saying: else writing would have to ask.
    options.retain(|(name, value)| !value.is_empty() || *name == "capabilities");
    options_clause(&options)
}

/// The type of a field's column. Types that are not SQL keywords have their schema, since IMPORT runs with the session's search
/// path.
pub fn sql_type(ty: Type, remote_type: &str) -> &'static str {
    match ty {
        Type::Bool => "boolean",
        Type::Int if remote_type == "int" => "integer",
        Type::Int if remote_type == "rating" => "smallint",
        Type::Int => "bigint",
        Type::Float => "double precision",
        Type::Decimal => "numeric",
        Type::Text => "pg_catalog.text",
        Type::Date => "pg_catalog.date",
        Type::Time => "time",
        Type::Instant => "timestamp with time zone",
        Type::Bytes => "pg_catalog.bytea",
        Type::Json => "pg_catalog.jsonb",
        Type::TextList => "pg_catalog.text[]",
    }
}

fn options_clause(options: &[(&str, String)]) -> String {
    let mut clause = String::from("OPTIONS (");
    for (at, (name, value)) in options.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(clause, "{comma}{name} {}", literal(value));
    }
    clause + ")"
}

/// Always quoted.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string literal that reads the same whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}
