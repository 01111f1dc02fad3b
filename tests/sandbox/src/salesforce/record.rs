//! Records as clients send them: JSON whose numbers keep their text, checked and converted field by field.

use std::fmt;

use base64::Engine;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{ApiError, Result};
use super::id::Id;
use super::number::Decimal;
use super::schema::{Field, Kind, Object};
use super::store::{Row, Store};
use super::switches::DanglingReference;
use super::value::Value;
use crate::time;

/// The members of a JSON object in their order, values unparsed.
#[derive(Debug, Default)]
pub struct Record(pub Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Record, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Record, A::Error> {
                let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.iter().any(|(n, _)| *n == name) {
                        return Err(serde::de::Error::custom(format!("Duplicate field '{name}'")));
                    }
                    members.push((name, value));
                }
                Ok(Record(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Reads a request's JSON body.
pub fn body<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let at = format!("at [line:{}, column:{}]", error.line(), error.column());
        ApiError::bad("JSON_PARSER_ERROR", format!("{error} {at}"))
    })
}

impl Record {
    /// A member by its name in any case.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| &**v)
    }

    /// A member that is a string.
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// `attributes.type`
    pub fn object_type(&self) -> Option<String> {
        serde_json::from_str::<Record>(self.get("attributes")?.get()).ok()?.text("type")
    }
}

/// Whether a record is being made or changed: different fields may be named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Create,
    Update,
}

/// The fields that a record sets, converted to their types.
pub fn assignments(
    store: &Store,
    object: usize,
    record: &Record,
    change: Change,
    dangling: DanglingReference,
) -> Result<Vec<(usize, Value)>> {
    let definition = store.object(object);
    let mut forbidden = Vec::new();
    let mut set = Vec::new();
    for (name, raw) in &record.0 {
        if name.eq_ignore_ascii_case("attributes") {
            continue;
        }
        if name.eq_ignore_ascii_case("Id") {
            return Err(ApiError::bad("INVALID_FIELD", "The Id field should not be specified in the sobject data.")
                .on_field("Id"));
        }
        let (at, value) = match definition.field(name) {
            Some(at) => {
                let field = &definition.fields[at];
                let allowed = if change == Change::Create { field.createable } else { field.updateable };
                if !allowed {
                    forbidden.push(field.name.clone());
                    continue;
                }
                let value = convert(store, field, raw)?;
                refers(store, field, &value, dangling)?;
                (at, value)
            }
            None => match definition.relationship(name) {
                Some(at) => (at, related(store, &definition.fields[at], raw)?),
                None => {
                    let message = format!("No such column '{name}' on sobject of type {}", definition.name);
                    return Err(ApiError::bad("INVALID_FIELD", message));
                }
            },
        };
        set.push((at, value));
    }
    if forbidden.is_empty() {
        return Ok(set);
    }
    let message = format!(
        "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is read/write for your \
         profile or permission set.",
        forbidden.join(", ")
    );
    Err(ApiError { fields: forbidden, ..ApiError::bad("INVALID_FIELD_FOR_INSERT_UPDATE", message) })
}

/// `{"Merchandise__r": {"MerchandiseExtID__c": 123}}` in place of the reference itself.
fn related(store: &Store, field: &Field, raw: &RawValue) -> Result<Value> {
    if raw.get() == "null" {
        return Ok(Value::Null);
    }
    let record: Record = serde_json::from_str(raw.get()).map_err(|_| mismatch(field, raw.get()))?;
    let [(name, value)] = &record.0[..] else { return Err(mismatch(field, raw.get())) };
    let target = field.references.iter().find_map(|to| store.schema.object(to));
    let (object, at) = target
        .and_then(|object| Some((object, store.object(object).field(name)?)))
        .filter(|(object, at)| store.object(*object).fields[*at].id_lookup())
        .ok_or_else(|| {
            ApiError::bad("INVALID_FIELD", format!("Foreign key external ID: {name} not found")).on_field(name)
        })?;
    let wanted = convert(store, &store.object(object).fields[at], value)?;
    match matches(store, object, at, &wanted)[..] {
        [row] => Ok(Value::Id(row.id())),
        [] => {
            let message = format!(
                "Foreign key external ID: {} not found for field {name} in entity {}",
                value.get(),
                field.references[0]
            );
            Err(ApiError::bad("INVALID_FIELD", message).on_field(&field.name))
        }
        _ => Err(ApiError::bad("DUPLICATE_VALUE", format!("More than one record found for external id field: {name}"))
            .on_field(name)),
    }
}

/// The live records with this value in an external id field.
pub fn matches<'a>(store: &'a Store, object: usize, at: usize, value: &Value) -> Vec<Row<'a>> {
    let field = &store.object(object).fields[at];
    if let (Kind::Id, Value::Id(id)) = (field.kind, value) {
        return store.by_id(*id).filter(|row| row.object == object && !row.is_deleted()).into_iter().collect();
    }
    match store.lookup(object, at, value) {
        Some(found) => found.into_iter().filter_map(|i| store.row(object, i)).filter(|row| !row.is_deleted()).collect(),
        None => {
            let key = |v: &Value| super::store::Key::new(v, field.case_sensitive);
            let wanted = key(value);
            store.scan(object, false).filter(|row| !value.is_null() && key(&row.value(at)) == wanted).collect()
        }
    }
}

fn mismatch(field: &Field, raw: &str) -> ApiError {
    let token = match raw.as_bytes().first() {
        Some(b'"') => "VALUE_STRING",
        Some(b't') => "VALUE_TRUE",
        Some(b'f') => "VALUE_FALSE",
        Some(b'{') => "START_OBJECT",
        Some(b'[') => "START_ARRAY",
        _ if raw.contains(['.', 'e', 'E']) => "VALUE_NUMBER_FLOAT",
        _ => "VALUE_NUMBER_INT",
    };
    let value = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
    let kind = field.kind.literal_name();
    let message = format!(
        "Cannot deserialize instance of {kind} from {token} value {value} or request may be missing a required field"
    );
    ApiError::bad("JSON_PARSER_ERROR", format!("{message} at [line:1, column:2]"))
}

/// A JSON value as a value of the field's type.
fn convert(store: &Store, field: &Field, raw: &RawValue) -> Result<Value> {
    let raw = raw.get();
    if raw == "null" {
        return Ok(if field.kind == Kind::Boolean { Value::Bool(false) } else { Value::Null });
    }
    match field.kind {
        Kind::Boolean => match raw {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(mismatch(field, raw)),
        },
        kind if kind.is_number() => number(field, raw),
        _ => {
            let text: String = serde_json::from_str(raw).map_err(|_| mismatch(field, raw))?;
            parse(store, field, text)
        }
    }
}

fn number(field: &Field, raw: &str) -> Result<Value> {
    if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(mismatch(field, raw));
    }
    let outside = || {
        let message = format!("{}: value outside of valid range on numeric field: {raw}", field.label);
        ApiError::bad("NUMBER_OUTSIDE_VALID_RANGE", message).on_field(&field.name)
    };
    let number = Decimal::parse(raw, true).ok_or_else(outside)?;
    let whole = matches!(field.kind, Kind::Int | Kind::Long);
    if whole && !number.is_whole() {
        return Err(mismatch(field, raw));
    }
    let number = number.round(field.scale);
    if number.whole_digits() > field.precision - field.scale {
        return Err(outside());
    }
    Ok(Value::Number(number))
}

/// A text as a value of the field's type; also what stands in a path of an external id.
pub fn parse(store: &Store, field: &Field, text: String) -> Result<Value> {
    if text.is_empty() {
        // An empty string does not exist: it is null (contract, section 4).
        return Ok(Value::Null);
    }
    let quoted = || format!("\"{text}\"");
    let unreal = || {
        let message = format!("{}: value not of required type: {text}", field.label);
        ApiError::bad("INVALID_TYPE_ON_FIELD_IN_RECORD", message).on_field(&field.name)
    };
    match field.kind {
        Kind::Id | Kind::Reference => reference(store, field, &text),
        Kind::Date => {
            let day = time::parse_date(&text).ok_or_else(|| mismatch(field, &quoted()))?;
            if (time::FIRST_DAY..=time::LAST_DAY).contains(&day) { Ok(Value::Date(day)) } else { Err(unreal()) }
        }
        Kind::DateTime => {
            let ms = time::parse_datetime(&text).ok_or_else(|| mismatch(field, &quoted()))?;
            let day = ms.div_euclid(time::DAY);
            let valid = (i64::from(time::FIRST_DAY)..=i64::from(time::LAST_DAY)).contains(&day);
            if valid { Ok(Value::DateTime(ms)) } else { Err(unreal()) }
        }
        Kind::Time => time::parse_time(&text).map(Value::Time).ok_or_else(|| mismatch(field, &quoted())),
        Kind::Base64 => match base64::engine::general_purpose::STANDARD.decode(&text) {
            Ok(_) => Ok(Value::text(text)),
            Err(_) => Err(mismatch(field, &quoted())),
        },
        kind if kind.is_number() => number(field, &text),
        Kind::Boolean => Err(mismatch(field, &quoted())),
        _ => written(field, text),
    }
}

fn reference(store: &Store, field: &Field, text: &str) -> Result<Value> {
    let malformed = || {
        let message = format!("{}: id value of incorrect type: {text}", field.label);
        ApiError::bad("MALFORMED_ID", message).on_field(&field.name)
    };
    let id = Id::parse(text).ok_or_else(malformed)?;
    if field.kind == Kind::Id {
        return Ok(Value::Id(id));
    }
    let fits =
        store.schema.by_prefix(id.prefix()).is_some_and(|o| field.references.contains(&store.object(o).name.as_str()));
    if !fits {
        return Err(malformed());
    }
    Ok(Value::Id(id))
}

/// A reference must lead to a live record.
fn refers(store: &Store, field: &Field, value: &Value, dangling: DanglingReference) -> Result<()> {
    let (Kind::Reference, Value::Id(id)) = (field.kind, value) else { return Ok(()) };
    if store.by_id(*id).is_some_and(|row| !row.is_deleted()) {
        return Ok(());
    }
    let invalid = ApiError::bad("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id");
    Err(match dangling {
        DanglingReference::InvalidOnField => invalid.on_field(&field.name),
        DanglingReference::Invalid => invalid,
        DanglingReference::NoAccess => {
            let message = format!("insufficient access rights on cross-reference id: {id}");
            ApiError::bad("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message)
        }
    })
}

fn written(field: &Field, text: String) -> Result<Value> {
    if text.chars().count() > field.length as usize {
        let shown: String = text.chars().take(255).collect();
        let message = format!("{}: data value too large: {shown} (max length={})", field.label, field.length);
        return Err(ApiError::bad("STRING_TOO_LONG", message).on_field(&field.name));
    }
    match field.kind {
        Kind::Email if !is_email(&text) => {
            let message = format!("{}: invalid email address: {text}", field.label);
            Err(ApiError::bad("INVALID_EMAIL_ADDRESS", message).on_field(&field.name))
        }
        Kind::Picklist if field.restricted && !field.picklist.contains(&text.as_str()) => {
            let message = format!("{}: bad value for restricted picklist field: {text}", field.label);
            Err(ApiError::bad("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message).on_field(&field.name))
        }
        Kind::MultiPicklist => {
            // Stored in the picklist's order, each value once.
            let mut values: Vec<&str> = text.split(';').filter(|v| !v.is_empty()).collect();
            values.sort_by_key(|v| field.picklist.iter().position(|p| p == v).unwrap_or(usize::MAX));
            values.dedup();
            Ok(Value::text(values.join(";")))
        }
        _ => Ok(Value::text(text)),
    }
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && !host.contains('@')
            && host.split('.').count() > 1
            && host.split('.').all(|part| !part.is_empty())
            && !text.contains(|c: char| c.is_whitespace() || c == ',')
    })
}

/// The fields that a create must name and that `set` does not give a value.
pub fn missing(object: &Object, values: &[Value], change: Change) -> Option<ApiError> {
    let lacks = |(field, value): &(&Field, &Value)| {
        let written = if change == Change::Create { field.createable } else { field.updateable };
        written && !field.nillable && value.is_null() && field.formula.is_none()
    };
    let names: Vec<String> = object.fields.iter().zip(values).filter(lacks).map(|(f, _)| f.name.clone()).collect();
    let message = format!("Required fields are missing: [{}]", names.join(", "));
    (!names.is_empty()).then(|| ApiError { fields: names, ..ApiError::bad("REQUIRED_FIELD_MISSING", message) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salesforce::generate::Source;

    fn field(kind: Kind) -> Field {
        Field::new("F", kind, Source::None)
    }

    #[test]
    fn a_record_keeps_order_and_number_text_and_refuses_a_member_twice() {
        let record: Record = serde_json::from_str(r#"{"b":1.10,"a":123456789012345678901}"#).unwrap();
        assert_eq!(record.0[0].0, "b");
        assert_eq!((record.0[0].1.get(), record.0[1].1.get()), ("1.10", "123456789012345678901"));
        assert!(serde_json::from_str::<Record>(r#"{"a":1,"a":2}"#).is_err());
    }

    #[test]
    fn text_is_bounded_in_characters_and_email_must_look_like_one() {
        let short = field(Kind::Text).length(3);
        assert!(written(&short, "éèê".into()).is_ok());
        assert_eq!(written(&short, "four".into()).unwrap_err().code, "STRING_TOO_LONG");
        let email = field(Kind::Email);
        assert!(written(&email, "a.b@c.de".into()).is_ok());
        for bad in ["a", "a@b", "@b.c", "a@b..c", "a b@c.de", "a@b@c.de"] {
            assert_eq!(written(&email, bad.into()).unwrap_err().code, "INVALID_EMAIL_ADDRESS", "{bad}");
        }
    }

    #[test]
    fn numbers_round_to_scale_and_are_bounded_by_precision() {
        let amount = field(Kind::Currency).digits(5, 2);
        assert_eq!(number(&amount, "1.005").unwrap(), Value::Number(Decimal::new(101, 2)));
        assert_eq!(number(&amount, "1E2").unwrap(), Value::Number(Decimal::new(100, 0)));
        assert_eq!(number(&amount, "1000").unwrap_err().code, "NUMBER_OUTSIDE_VALID_RANGE");
        assert_eq!(number(&amount, "\"1\"").unwrap_err().code, "JSON_PARSER_ERROR");
        assert_eq!(number(&field(Kind::Int).digits(8, 0), "1.5").unwrap_err().code, "JSON_PARSER_ERROR");
    }

    #[test]
    fn a_multi_select_is_stored_in_picklist_order() {
        let multi = field(Kind::MultiPicklist).values(&["A", "B", "C"]);
        assert_eq!(written(&multi, "C;A;C".into()).unwrap(), Value::text("A;C"));
    }
}
