//! Records to JSON, straight into a byte buffer: the sandbox must not be what a benchmark measures.

use super::schema::{Field, Kind};
use super::soql::check::{Node, Selected};
use super::soql::eval::dynamic;
use super::store::Row;
use super::switches::Switches;
use super::value::Value;
use crate::json::quote;
use crate::time;

/// How a value is written in JSON.
pub enum Form {
    Null,
    Bare,
    Quoted,
}

pub struct Renderer<'a> {
    pub switches: &'a Switches,
    pub with_deleted: bool,
    /// `v62.0`
    pub version: &'a str,
}

impl Renderer<'_> {
    /// A record of a query's answer: `attributes`, then what was selected.
    pub fn record(&self, row: &Row<'_>, node: &Node, out: &mut Vec<u8>) {
        self.attributes(row, &row.definition().name, out);
        for item in &node.items {
            match item {
                Selected::Field(field, key) => {
                    out.extend_from_slice(key);
                    self.field(row, *field, out);
                }
                Selected::Dynamic(name, key) => {
                    out.extend_from_slice(key);
                    match dynamic(row, name) {
                        Value::Null => out.extend_from_slice(b"null"),
                        value => quote(value.as_text().unwrap_or_default(), out),
                    }
                }
                Selected::Parent { reference, key, polymorphic, node } => {
                    out.extend_from_slice(key);
                    match row.parent(*reference, self.with_deleted) {
                        None => out.extend_from_slice(b"null"),
                        Some(parent) if *polymorphic => self.record_as(&parent, "Name", node, out),
                        Some(parent) => self.record(&parent, node, out),
                    }
                }
            }
        }
        out.push(b'}');
    }

    /// A polymorphic parent is of the pseudo-type `Name`.
    fn record_as(&self, row: &Row<'_>, kind: &str, node: &Node, out: &mut Vec<u8>) {
        self.attributes(row, kind, out);
        for item in &node.items {
            if let Selected::Dynamic(name, key) = item {
                out.extend_from_slice(key);
                match dynamic(row, name) {
                    Value::Null => out.extend_from_slice(b"null"),
                    value => quote(value.as_text().unwrap_or_default(), out),
                }
            }
        }
        out.push(b'}');
    }

    fn attributes(&self, row: &Row<'_>, kind: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"attributes\":{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"url\":\"/services/data/");
        out.extend_from_slice(self.version.as_bytes());
        out.extend_from_slice(b"/sobjects/");
        out.extend_from_slice(row.definition().name.as_bytes());
        out.push(b'/');
        out.extend_from_slice(row.id().bytes());
        out.extend_from_slice(b"\"}");
    }

    /// One field of a record as a JSON value.
    pub fn field(&self, row: &Row<'_>, at: usize, out: &mut Vec<u8>) {
        let field = &row.definition().fields[at];
        match field.kind {
            Kind::Address => self.address(row, field, out),
            Kind::Location => self.location(row, field, out),
            Kind::Base64 | Kind::Encrypted => {
                let mut text = Vec::new();
                match self.scalar(row, at, &mut text) {
                    Form::Null => out.extend_from_slice(b"null"),
                    _ => quote(&String::from_utf8_lossy(&text), out),
                }
            }
            _ => self.value(&row.value(at), field, out),
        }
    }

    /// A value as JSON, in the form of its field.
    pub fn value(&self, value: &Value, field: &Field, out: &mut Vec<u8>) {
        match value {
            Value::Text(text) => quote(text, out),
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(_) | Value::Number(_) => {
                self.text(value, field, out);
            }
            _ => {
                out.push(b'"');
                self.text(value, field, out);
                out.push(b'"');
            }
        }
    }

    /// A scalar field's text, without quotes or escapes.
    pub fn scalar(&self, row: &Row<'_>, at: usize, out: &mut Vec<u8>) -> Form {
        let object = row.definition();
        let field = &object.fields[at];
        let value = row.value(at);
        match (field.kind, &value) {
            (_, Value::Null) => Form::Null,
            // The value of a binary field is where its bytes are (contract, section 4).
            (Kind::Base64, _) => {
                let path =
                    format!("/services/data/{}/sobjects/{}/{}/{}", self.version, object.name, row.id(), field.name);
                out.extend_from_slice(path.as_bytes());
                Form::Quoted
            }
            (Kind::Encrypted, Value::Text(text)) => {
                let hidden = text.chars().count().saturating_sub(4);
                out.extend(std::iter::repeat_n(b'*', hidden));
                out.extend(text.chars().skip(hidden).collect::<String>().into_bytes());
                Form::Quoted
            }
            _ => self.text(&value, field, out),
        }
    }

    fn text(&self, value: &Value, field: &Field, out: &mut Vec<u8>) -> Form {
        match value {
            Value::Null => return Form::Null,
            Value::Bool(b) => {
                out.extend_from_slice(if *b { b"true" } else { b"false" });
                return Form::Bare;
            }
            Value::Number(n) => {
                if matches!(field.kind, Kind::Int | Kind::Long) {
                    n.write_whole(out);
                } else {
                    n.write_double(self.switches.exponent_numbers, out);
                }
                return Form::Bare;
            }
            Value::Text(text) => out.extend_from_slice(text.as_bytes()),
            Value::Id(id) => out.extend_from_slice(id.bytes()),
            Value::Date(day) => time::write_date(*day, out),
            Value::DateTime(ms) => time::write_datetime(*ms, out),
            Value::Time(ms) => time::write_time(*ms, out),
        }
        Form::Quoted
    }

    fn address(&self, row: &Row<'_>, field: &Field, out: &mut Vec<u8>) {
        const PARTS: [&str; 8] =
            ["City", "Country", "GeocodeAccuracy", "Latitude", "Longitude", "PostalCode", "State", "Street"];
        let object = row.definition();
        let part =
            |suffix: &str| object.parts(&field.name).find(|(_, f)| f.name.trim_end_matches("__s").ends_with(suffix));
        let values = PARTS.map(|suffix| part(suffix).map(|(at, f)| (row.value(at), f)));
        if values.iter().flatten().all(|(value, _)| value.is_null()) {
            out.extend_from_slice(b"null");
            return;
        }
        out.push(b'{');
        for (suffix, value) in PARTS.iter().zip(&values) {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            let (first, rest) = suffix.split_at(1);
            quote(&format!("{}{rest}", first.to_ascii_lowercase()), out);
            out.push(b':');
            match value {
                Some((value, field)) => self.value(value, field, out),
                None => out.extend_from_slice(b"null"),
            }
            // Only orgs with State and Country picklists have these.
            if self.switches.address_codes && matches!(*suffix, "Country" | "State") {
                out.extend_from_slice(format!(",\"{}Code\":null", suffix.to_ascii_lowercase()).as_bytes());
            }
        }
        out.push(b'}');
    }

    fn location(&self, row: &Row<'_>, field: &Field, out: &mut Vec<u8>) {
        let parts: Vec<_> = row.definition().parts(&field.name).map(|(at, f)| (row.value(at), f)).collect();
        let [(latitude, f), (longitude, g)] = &parts[..] else { return out.extend_from_slice(b"null") };
        if latitude.is_null() || longitude.is_null() {
            return out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b"{\"latitude\":");
        self.value(latitude, f, out);
        out.extend_from_slice(b",\"longitude\":");
        self.value(longitude, g, out);
        out.push(b'}');
    }
}
