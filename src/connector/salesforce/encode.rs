//! What Salesforce can hold.
//! <https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/field_types.htm>

use super::literal::{FIRST_DAY, LAST_DAY};
use crate::connector::encode::{Rules, quote};
use crate::error::{Error, Kind, Result};
use crate::schema::Field;
use crate::value::Value;

pub const RULES: Rules = Rules {
    days: FIRST_DAY as i64..=LAST_DAY as i64,
    hint: "Salesforce has no infinities, and dates from 1700-01-01 to 4000-12-31 only; numbers have up to 18 digits.",
    is_box: |field| field.remote_type == "boolean",
    list: |record, field, items| {
        quote(record, &choices(field, items)?);
        Ok(())
    },
};

/// The choices of a multi-select picklist.
fn choices(field: &Field, items: &[Value]) -> Result<String> {
    if !matches!(field.remote_type.as_str(), "multipicklist" | "") {
        return Err(malformed(field, "a list fits into a multi-select picklist only"));
    }
    let choice = |item: &Value| match item {
        Value::Text(text) if !text.is_empty() && !text.contains(';') => Ok(text.to_string()),
        Value::Text(text) if text.is_empty() => Err(malformed(field, "an empty text is no choice of a picklist")),
        Value::Text(text) => {
            Err(malformed(field, &format!("\"{text}\" is no choice of a picklist: it has a semicolon")))
        }
        Value::List(_) => Err(malformed(field, "a list of lists is no list of choices")),
        _ => Err(malformed(field, "NULL is no choice of a picklist")),
    };
    Ok(items.iter().map(choice).collect::<Result<Vec<_>>>()?.join(";"))
}

fn malformed(field: &Field, what: &str) -> Error {
    Error::new(Kind::Malformed, format!("the field {} cannot hold it: {what}", field.name))
        .column(&field.name)
        .hint("Correct the value.")
}
