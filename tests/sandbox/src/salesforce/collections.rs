//! sObject Collections: up to 200 records in one write, up to 2,000 in one read, each with an answer of its own in
//! the order sent.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Call;
use super::error::{ApiError, Result};
use super::id::Id;
use super::record::{self, Record};
use super::render::Renderer;
use super::schema::Kind;
use super::value::Value;
use super::write::{Upserted, Writer};
use crate::http::{Request, Response};

const WRITE_LIMIT: usize = 200;
const READ_LIMIT: usize = 2000;
/// Records are processed in runs of one type, and there may be so many runs.
const CHUNK_LIMIT: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    all_or_none: bool,
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Wanted {
    ids: Vec<String>,
    fields: Vec<String>,
}

/// What became of one record.
struct Written {
    id: Option<Id>,
    created: Option<bool>,
}

impl Call<'_> {
    /// `/composite/sobjects`
    pub fn collection(&self, request: &Request) -> Result<Response> {
        match request.method.as_str() {
            "POST" => {
                let body: Body = self.json_body(request)?;
                self.check_size(&body.records)?;
                self.each(request, body.all_or_none, &body.records, |w, record, _| {
                    let object = typed(w, record)?;
                    let id = w.create(object, record)?;
                    Ok(Written { id: Some(id), created: None })
                })
            }
            "PATCH" => {
                let mut body: Body = self.json_body(request)?;
                self.check_size(&body.records)?;
                let ids: Vec<Option<String>> = body.records.iter().map(|r| r.text("Id")).collect();
                body.records.iter_mut().for_each(|r| r.remove("Id"));
                let mut seen = HashSet::new();
                self.each(request, body.all_or_none, &body.records, |w, record, n| {
                    let object = typed(w, record)?;
                    let id = match &ids[n] {
                        Some(text) => parse_id(text)?,
                        None => return Err(ApiError::bad("MISSING_ARGUMENT", "Id not specified in an update call")),
                    };
                    once(&mut seen, id)?;
                    w.update(object, id, record)?;
                    Ok(Written { id: Some(id), created: None })
                })
            }
            "DELETE" => {
                let ids = request.param("ids").unwrap_or_default();
                let ids: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
                if ids.is_empty() {
                    return Err(ApiError::bad("MISSING_ARGUMENT", "The ids parameter is missing"));
                }
                check_count(ids.len(), WRITE_LIMIT)?;
                let all_or_none = request.param("allOrNone").is_some_and(|v| v == "true");
                let mut seen = HashSet::new();
                self.each(request, all_or_none, &ids, |w, text, _| {
                    let id = parse_id(text)?;
                    once(&mut seen, id)?;
                    let unknown = || ApiError::new(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id");
                    let object = w.store.schema.by_prefix(id.prefix()).ok_or_else(unknown)?;
                    w.delete(object, id)?;
                    Ok(Written { id: Some(id), created: None })
                })
            }
            _ => Err(ApiError::method_not_allowed("POST,PATCH,DELETE")),
        }
    }

    /// `PATCH /composite/sobjects/{object}/{field}`: upsert.
    pub fn collection_upsert(&self, request: &Request, name: &str, field: &str) -> Result<Response> {
        if request.method != "PATCH" {
            return Err(ApiError::method_not_allowed("PATCH"));
        }
        let object = self.object(name)?;
        let definition = &self.org.schema.objects[object];
        let at = definition.field(field).filter(|at| definition.fields[*at].id_lookup()).ok_or_else(|| {
            let message = format!("Provided external ID field does not exist or is not accessible: {field}");
            ApiError::new(404, "NOT_FOUND", message)
        })?;
        let field = &definition.fields[at];
        let mut body: Body = self.json_body(request)?;
        self.check_size(&body.records)?;
        let keys: Vec<Option<String>> = body.records.iter().map(|r| scalar(r, &field.name)).collect();
        body.records.iter_mut().for_each(|r| r.remove(&field.name));
        let mut seen = HashSet::new();
        self.each(request, body.all_or_none, &body.records, |w, record, n| {
            if typed(w, record)? != object {
                let message = format!("Record type must match the object of the request: {}", definition.name);
                return Err(ApiError::bad("INVALID_TYPE", message));
            }
            let written = |id, created| Ok(Written { id: Some(id), created: Some(created) });
            let Some(key) = &keys[n] else {
                // Without an id, `…/Account/Id` inserts.
                if field.kind == Kind::Id {
                    return written(w.create(object, record)?, true);
                }
                return Err(
                    ApiError::bad("MISSING_ARGUMENT", format!("{} not specified", field.name)).on_field(&field.name)
                );
            };
            let value = record::parse(w.store, field, key.clone())?;
            if !seen.insert(super::store::Key::new(&value, field.case_sensitive)) {
                let message = format!("Duplicate external id specified: {key}");
                return Err(ApiError::bad("DUPLICATE_VALUE", message).on_field(&field.name));
            }
            if let Value::Id(id) = value {
                w.update(object, id, record)?;
                return written(id, false);
            }
            match w.upsert(object, at, value, record, false)? {
                Upserted::Created(id) => written(id, true),
                Upserted::Updated(id) => written(id, false),
                Upserted::Several(_) => {
                    let message = format!("More than one record found for external id field: {}", field.name);
                    Err(ApiError::bad("DUPLICATE_VALUE", message).on_field(&field.name))
                }
            }
        })
    }

    /// `/composite/sobjects/{object}`: records by id, null for those that are not there.
    pub fn collection_retrieve(&self, request: &Request, name: &str) -> Result<Response> {
        let list = |name: &str| -> Vec<String> {
            request.param(name).unwrap_or_default().split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect()
        };
        let wanted = match request.method.as_str() {
            "GET" => Wanted { ids: list("ids"), fields: list("fields") },
            "POST" => self.json_body(request)?,
            _ => return Err(ApiError::method_not_allowed("GET,POST")),
        };
        if wanted.ids.is_empty() || wanted.fields.is_empty() {
            return Err(ApiError::bad("MISSING_ARGUMENT", "ids and fields are required"));
        }
        check_count(wanted.ids.len(), READ_LIMIT)?;
        let object = self.object(name)?;
        let node = self.node(&self.org.schema.objects[object], &wanted.fields.join(","))?;
        let ids = wanted.ids.iter().map(|id| parse_id(id)).collect::<Result<Vec<_>>>()?;
        let store = self.org.store();
        let renderer: Renderer<'_> = self.renderer(false);
        let mut out = Vec::with_capacity(ids.len() * 256);
        out.push(b'[');
        for (n, id) in ids.into_iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            match store.by_id(id).filter(|row| row.object == object && !row.is_deleted()) {
                Some(row) => renderer.record(&row, &node, &mut out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b']');
        Ok(Response::json(200, out))
    }

    fn check_size(&self, records: &[Record]) -> Result<()> {
        check_count(records.len(), WRITE_LIMIT)?;
        let mut types: Vec<_> = records.iter().map(Record::object_type).collect();
        types.dedup();
        if types.len() > CHUNK_LIMIT {
            let message = format!("Collections may have at most {CHUNK_LIMIT} runs of records of one type");
            return Err(ApiError::bad("EXCEEDED_MAX_TYPES_LIMIT", message));
        }
        Ok(())
    }

    /// Writes one after the other; with `all_or_none` one failure undoes them all.
    fn each<T>(
        &self,
        request: &Request,
        all_or_none: bool,
        items: &[T],
        mut write: impl FnMut(&mut Writer<'_>, &T, usize) -> Result<Written>,
    ) -> Result<Response> {
        let all_or_none = all_or_none || self.atomic;
        let allow = self.allows_duplicates(request);
        let results = self.org.write(self.switches, allow, |writer| {
            let start = writer.store.savepoint();
            let mut results = Vec::with_capacity(items.len());
            for (n, item) in items.iter().enumerate() {
                if let Some(refusal) = request.refusal.as_ref().filter(|refusal| refusal.at == n) {
                    results.push(Err(ApiError::from(refusal)));
                    continue;
                }
                let savepoint = writer.store.savepoint();
                let result = write(writer, item, n);
                if result.is_err() {
                    writer.store.roll_back(savepoint);
                }
                results.push(result);
            }
            if all_or_none && results.iter().any(Result::is_err) {
                writer.store.roll_back(start);
                let rolled_back = || {
                    let message = "Record rolled back because not all records were valid and the request was using AllOrNone header";
                    Err(ApiError::bad("ALL_OR_NONE_OPERATION_ROLLED_BACK", message))
                };
                results.iter_mut().filter(|r| r.is_ok()).for_each(|r| *r = rolled_back());
            }
            Ok(results)
        })?;
        let answers: Vec<Json> = results.iter().map(answer).collect();
        Ok(Response::value(200, &Json::Array(answers)))
    }
}

fn answer(result: &Result<Written>) -> Json {
    match result {
        Ok(written) => {
            let mut json = json!({ "success": true, "errors": [] });
            if let Some(id) = written.id {
                json["id"] = json!(id.as_str());
            }
            if let Some(created) = written.created {
                json["created"] = json!(created);
            }
            json
        }
        Err(error) => json!({ "success": false, "errors": [error.item()] }),
    }
}

fn check_count(count: usize, limit: usize) -> Result<()> {
    if count > limit {
        let message = format!("record limit reached. cannot submit more than {limit} records into this call");
        return Err(ApiError::bad("EXCEEDED_ID_LIMIT", message));
    }
    Ok(())
}

/// The object that `attributes.type` names.
fn typed(writer: &Writer<'_>, record: &Record) -> Result<usize> {
    let name = record
        .object_type()
        .ok_or_else(|| ApiError::bad("INVALID_TYPE", "attributes.type is required on every record"))?;
    writer
        .store
        .schema
        .object(&name)
        .ok_or_else(|| ApiError::bad("INVALID_TYPE", format!("sObject type '{name}' is not supported.")))
}

fn parse_id(text: &str) -> Result<Id> {
    Id::parse(text).ok_or_else(|| ApiError::bad("MALFORMED_ID", format!("malformed id {text}")).on_field("Id"))
}

/// One request may name a record once.
fn once(seen: &mut HashSet<Id>, id: Id) -> Result<()> {
    if seen.insert(id) {
        Ok(())
    } else {
        Err(ApiError::bad("DUPLICATE_VALUE", format!("Duplicate id specified: {id}")))
    }
}

/// A member as text, be it a string or a number; `None` if it is absent, null or empty.
fn scalar(record: &Record, name: &str) -> Option<String> {
    let raw = record.get(name)?.get();
    let text = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
    (raw != "null" && !text.is_empty()).then_some(text)
}
