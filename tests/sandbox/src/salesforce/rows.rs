//! Single records: `/sobjects/{object}`, `/sobjects/{object}/{id}`, `/sobjects/{object}/{external id field}/{value}`.

use base64::Engine;
use serde_json::json;

use super::Call;
use super::describe::unchanged;
use super::error::{ApiError, Result};
use super::id::Id;
use super::record::{self, Record, matches};
use super::schema::{Kind, Object};
use super::soql::check::{Checker, Node, Output, Selected};
use super::store::Row;
use super::value::Value;
use super::write::Upserted;
use crate::http::{Request, Response};
use crate::time;

impl Call<'_> {
    /// `/sobjects/{object}`: its summary, or a new record.
    pub fn object_resource(&self, request: &Request, name: &str) -> Result<Response> {
        let object = self.object(name)?;
        match request.method.as_str() {
            "GET" | "HEAD" => {
                Ok(Response::value(200, &json!({ "objectDescribe": self.summary_of(object), "recentItems": [] })))
            }
            "POST" => {
                let record: Record = self.json_body(request)?;
                let id =
                    self.org.write(self.switches, self.allows_duplicates(request), |w| w.create(object, &record))?;
                Ok(Response::value(201, &json!({ "id": id.as_str(), "success": true, "errors": [] }))
                    .with_header("Location", self.row_url(object, id)))
            }
            _ => Err(ApiError::method_not_allowed("GET,POST,HEAD")),
        }
    }

    /// `/sobjects/{object}/{id}`
    pub fn row_resource(&self, request: &Request, name: &str, id: &str) -> Result<Response> {
        let object = self.object(name)?;
        let definition = &self.org.schema.objects[object];
        let id = Id::parse(id).filter(|id| id.prefix() == definition.prefix).ok_or_else(|| {
            let message = format!("{} ID: id value of incorrect type: {id}", definition.label);
            ApiError::bad("MALFORMED_ID", message).on_field("Id")
        })?;
        match request.method.as_str() {
            "GET" | "HEAD" => {
                let store = self.org.store();
                let row = store.by_id(id).filter(|row| !row.is_deleted()).ok_or_else(ApiError::not_found)?;
                self.row(request, &row)
            }
            "PATCH" => {
                let record: Record = self.json_body(request)?;
                self.org.write(self.switches, self.allows_duplicates(request), |w| {
                    precondition(request, &w.live(object, id)?)?;
                    w.update(object, id, &record)
                })?;
                Ok(Response::empty(204))
            }
            "DELETE" => {
                self.org.write(self.switches, false, |w| {
                    precondition(request, &w.live(object, id)?)?;
                    w.delete(object, id)
                })?;
                Ok(Response::empty(204))
            }
            _ => Err(ApiError::method_not_allowed("GET,PATCH,DELETE,HEAD")),
        }
    }

    /// `/sobjects/{object}/{field}/{value}`, or the bytes of a binary field: `/sobjects/{object}/{id}/{field}`.
    pub fn external_resource(&self, request: &Request, name: &str, first: &str, second: &str) -> Result<Response> {
        let object = self.object(name)?;
        let definition = &self.org.schema.objects[object];
        if let Some(id) = Id::parse(first).filter(|id| id.prefix() == definition.prefix) {
            return self.bytes(request, id, second);
        }
        let unknown = || {
            let message = format!("Provided external ID field does not exist or is not accessible: {first}");
            ApiError::new(404, "NOT_FOUND", message)
        };
        let at = definition.field(first).filter(|at| definition.fields[*at].id_lookup()).ok_or_else(unknown)?;
        let field = &definition.fields[at];
        let value = record::parse(&self.org.store(), field, second.to_owned())?;
        let several = |ids: &[Id]| {
            let urls: Vec<String> = ids.iter().map(|id| self.row_url(object, *id)).collect();
            Response::value(300, &json!(urls))
        };
        match request.method.as_str() {
            "GET" | "HEAD" => {
                let store = self.org.store();
                match &matches(&store, object, at, &value)[..] {
                    [] => Err(ApiError::not_found()),
                    [row] => self.row(request, row),
                    rows => Ok(several(&rows.iter().map(Row::id).collect::<Vec<_>>())),
                }
            }
            "PATCH" => {
                let record: Record = self.json_body(request)?;
                if record.get(&field.name).is_some() {
                    let message = format!("The {} field should not be specified in the sobject data.", field.name);
                    return Err(ApiError::bad("INVALID_FIELD", message).on_field(&field.name));
                }
                let update_only = request.param("updateOnly").is_some_and(|v| v == "true") || field.kind == Kind::Id;
                let allow = self.allows_duplicates(request);
                let upserted =
                    self.org.write(self.switches, allow, |w| w.upsert(object, at, value, &record, update_only))?;
                let (status, id, created) = match upserted {
                    Upserted::Several(ids) => return Ok(several(&ids)),
                    Upserted::Created(id) => (201, id, true),
                    Upserted::Updated(id) => (200, id, false),
                };
                Ok(Response::value(
                    status,
                    &json!({ "id": id.as_str(), "success": true, "errors": [], "created": created }),
                ))
            }
            "DELETE" => {
                self.org.write(self.switches, false, |w| match matches(w.store, object, at, &value)[..] {
                    [row] => {
                        let id = row.id();
                        w.delete(object, id)
                    }
                    _ => Err(ApiError::not_found()),
                })?;
                Ok(Response::empty(204))
            }
            _ => Err(ApiError::method_not_allowed("GET,PATCH,DELETE,HEAD")),
        }
    }

    /// One record: the `fields` asked for, or all.
    fn row(&self, request: &Request, row: &Row<'_>) -> Result<Response> {
        let modified = modified(row);
        if unchanged(request, modified) {
            return Ok(Response::empty(304));
        }
        let node = match request.param("fields") {
            Some(fields) => self.node(row.definition(), &fields)?,
            None => every_field(row.definition()),
        };
        let mut out = Vec::with_capacity(1024);
        self.renderer(false).record(row, &node, &mut out);
        Ok(Response::json(200, out).with_header("Last-Modified", time::http_date(modified)))
    }

    /// The fields of a comma-separated list; what is wrong with it reads as in a query.
    pub fn node(&self, object: &Object, fields: &str) -> Result<Node> {
        let soql = format!("SELECT {fields} FROM {}", object.name);
        match super::soql::plan(&Checker::new(&self.org.schema, &soql, self.switches))?.output {
            Output::Records(node) => Ok(node),
            _ => Err(ApiError::bad("INVALID_FIELD", format!("No such column '{fields}' on entity '{}'", object.name))),
        }
    }

    fn bytes(&self, request: &Request, id: Id, field: &str) -> Result<Response> {
        if request.method != "GET" {
            return Err(ApiError::method_not_allowed("GET"));
        }
        let store = self.org.store();
        let row = store.by_id(id).filter(|row| !row.is_deleted()).ok_or_else(ApiError::not_found)?;
        let binary = |at: &usize| row.definition().fields[*at].kind == Kind::Base64;
        let at = row.definition().field(field).filter(binary).ok_or_else(ApiError::not_found)?;
        match row.value(at).as_text().and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok()) {
            Some(bytes) => Ok(Response::new(200, "application/octet-stream", bytes)),
            None => Err(ApiError::not_found()),
        }
    }

    pub fn row_url(&self, object: usize, id: Id) -> String {
        format!("/services/data/{}/sobjects/{}/{id}", self.version, self.org.schema.objects[object].name)
    }

    /// The JSON body of a write.
    pub fn json_body<'b, T: serde::Deserialize<'b>>(&self, request: &'b Request) -> Result<T> {
        let kind = request.header("content-type").unwrap_or_default();
        if !kind.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json")) {
            let message = format!("Content type {kind} not supported for this request");
            return Err(ApiError::new(415, "UNSUPPORTED_MEDIA_TYPE", message));
        }
        record::body(&request.body)
    }

    pub fn allows_duplicates(&self, request: &Request) -> bool {
        let rule = request.header("Sforce-Duplicate-Rule-Header").unwrap_or_default();
        rule.split([';', ',']).any(|part| part.replace(' ', "").eq_ignore_ascii_case("allowSave=true"))
    }
}

/// All fields in the describe's order.
fn every_field(object: &Object) -> Node {
    let selected =
        |(at, field): (usize, &super::schema::Field)| Selected::Field(at, format!(",\"{}\":", field.name).into_bytes());
    Node { items: object.fields.iter().enumerate().map(selected).collect() }
}

/// `If-Unmodified-Since`
fn precondition(request: &Request, row: &Row<'_>) -> Result<()> {
    let Some(since) = request.header("If-Unmodified-Since").and_then(time::parse_http_date) else { return Ok(()) };
    if modified(row) / 1000 > since / 1000 {
        return Err(ApiError::new(412, "PRECONDITION_FAILED", "If-Unmodified-Since: the record was modified"));
    }
    Ok(())
}

/// When a record was last changed; 0 if its object does not tell.
fn modified(row: &Row<'_>) -> i64 {
    match row.definition().modified.map(|at| row.value(at)) {
        Some(Value::DateTime(ms)) => ms,
        _ => 0,
    }
}
