//! Creating, updating, upserting and deleting records, ten at most in a request (contract, section 6).

use serde_json::{Map, Value as Json, json};

use super::Call;
use super::accept::{Acceptor, attachment, fresh};
use super::base::{Base, Cell};
use super::compute::Renderer;
use super::error::{ApiError, Result};
use super::formula::{Ctx, Regexes};
use super::id::Id;
use super::schema::Kind;
use super::switches::Missing;
use crate::http::{Request, Response};

const MOST_RECORDS: usize = 10;
const MOST_MERGED: usize = 3;
const LARGEST_UPLOAD: usize = 5 << 20;
/// Whose token it is, in `USERS`.
const WRITER: usize = 0;

/// One record of a request.
struct Item {
    id: Option<Id>,
    fields: Map<String, Json>,
}

/// What a body says beside its records.
struct Body {
    items: Vec<Item>,
    single: bool,
    typecast: bool,
    by_id: bool,
    /// The fields to merge on.
    merge: Option<Vec<usize>>,
}

impl Call<'_> {
    fn stamp(&self) -> (i64, usize) {
        (if self.switches.whole_second_stamps { self.now / 1000 * 1000 } else { self.now }, WRITER)
    }

    /// POST
    pub fn create(&self, request: &Request, base: &mut Base, table: usize) -> Result<Response> {
        let body = self.body(request, base, table, Form::Create)?;
        self.perform(request, base, table, &body, false)
    }

    /// PATCH, and PUT, which clears what is not given.
    pub fn update(&self, request: &Request, base: &mut Base, table: usize, only: Option<Id>) -> Result<Response> {
        let body = self.body(request, base, table, only.map_or(Form::Update, Form::One))?;
        self.perform(request, base, table, &body, request.method == "PUT")
    }

    /// DELETE of the records in the query string.
    pub fn delete_several(&self, request: &Request, base: &mut Base, table: usize) -> Result<Response> {
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(request.query.as_deref().unwrap_or_default().as_bytes()).into_owned().collect();
        let ids = pairs.iter().map(|(name, value)| {
            Some(value).filter(|_| name == "records" || name.starts_with("records[")).and_then(|v| Id::parse("rec", v))
        });
        let ids: Vec<Id> = ids.collect::<Option<_>>().ok_or_else(ApiError::bad_parameters)?;
        if ids.is_empty() || ids.len() > MOST_RECORDS {
            return Err(ApiError::bad_records());
        }
        let savepoint = base.savepoint();
        for (at, id) in ids.iter().enumerate() {
            let refusal = request.refusal.as_ref().filter(|r| r.at == at).map(ApiError::from);
            let missing = || base.data[table].get(*id).is_none().then(|| self.missing_in_batch(*id));
            if let Some(error) = refusal.or_else(missing) {
                if self.switches.atomic_batches {
                    base.roll_back(savepoint);
                }
                return Err(error);
            }
            base.delete(table, *id, self.stamp());
        }
        let deleted: Json = ids.iter().map(|id| json!({ "id": id.as_str(), "deleted": true })).collect();
        Ok(Response::value(200, &json!({ "records": deleted })))
    }

    pub fn delete_one(&self, request: &Request, base: &mut Base, table: usize, id: Id) -> Result<Response> {
        if let Some(refusal) = &request.refusal {
            return Err(refusal.into());
        }
        if base.data[table].get(id).is_none() {
            return Err(self.missing(self.switches.missing_record, id));
        }
        base.delete(table, id, self.stamp());
        Ok(Response::value(200, &json!({ "id": id.as_str(), "deleted": true })))
    }

    /// How a record that is not there is told.
    pub fn missing(&self, how: Missing, id: Id) -> ApiError {
        match how {
            Missing::ModelIdNotFound => ApiError::model_id_not_found(),
            Missing::NotFound => ApiError::not_found(),
            Missing::Forbidden => ApiError::forbidden_or_missing(),
            Missing::RowDoesNotExist => ApiError::no_such_row(id.as_str()),
        }
    }

    fn missing_in_batch(&self, id: Id) -> ApiError {
        self.missing(self.switches.missing_in_batch, id)
    }

    fn body(&self, request: &Request, base: &Base, table: usize, form: Form) -> Result<Body> {
        let mut json = self.json(request)?;
        let mut take_flag = |name: &str| match json.remove(name) {
            None => Ok(false),
            Some(Json::Bool(on)) => Ok(on),
            Some(_) => Err(ApiError::bad_parameters()),
        };
        let (typecast, by_id) = (take_flag("typecast")?, take_flag("returnFieldsByFieldId")?);
        let merge = match (json.remove("performUpsert"), form) {
            (None, _) => None,
            (Some(upsert), Form::Update) => {
                Some(merge_fields(base, table, &upsert, self.switches.merge_types_limited)?)
            }
            (Some(_), _) => return Err(ApiError::bad_parameters()),
        };
        let records = if form.may_be_many() { json.remove("records") } else { None };
        let mut body = Body { items: Vec::new(), single: records.is_none(), typecast, by_id, merge };
        match records {
            Some(Json::Array(records)) if (1..=MOST_RECORDS).contains(&records.len()) => {
                for record in records {
                    body.items.push(item(record, form, body.merge.is_some())?);
                }
            }
            Some(_) => return Err(ApiError::bad_records()),
            None if form == Form::Update => return Err(ApiError::bad_records()),
            None => {
                let id = if let Form::One(id) = form { Some(id) } else { None };
                body.items.push(Item { id, fields: fields(json.remove("fields"))? });
            }
        }
        let mut ids: Vec<_> = body.items.iter().filter_map(|i| i.id).collect();
        ids.sort_unstable();
        let doubled = ids.windows(2).any(|pair| pair[0] == pair[1]);
        if doubled || !json.is_empty() { Err(ApiError::bad_parameters()) } else { Ok(body) }
    }

    /// The JSON object that a request carries.
    pub fn json(&self, request: &Request) -> Result<Map<String, Json>> {
        let is_json = request.header("content-type").is_some_and(|t| t.starts_with("application/json"));
        match serde_json::from_slice(&request.body) {
            Ok(Json::Object(json)) if is_json => Ok(json),
            _ => Err(ApiError::bad_body()),
        }
    }

    fn perform(&self, request: &Request, base: &mut Base, table: usize, body: &Body, clears: bool) -> Result<Response> {
        let (rules, typecast, now) = (self.switches, body.typecast, self.now);
        let mut acceptor = Acceptor { rules, typecast, now, failed_attachments: false };
        let (mut written, mut created) = (Vec::new(), Vec::new());
        let begin = base.savepoint();
        for (at, item) in body.items.iter().enumerate() {
            let savepoint = base.savepoint();
            let refusal = request.refusal.as_ref().filter(|r| body.single || r.at == at);
            let result = match refusal {
                Some(refusal) => Err(refusal.into()),
                None => self.write(base, table, item, body, clears, &mut acceptor, &written),
            };
            match result {
                Ok((id, is_new)) => {
                    written.push(id);
                    created.extend(is_new.then_some(id));
                }
                Err(error) => {
                    base.roll_back(if rules.atomic_batches { begin } else { savepoint });
                    return Err(error);
                }
            }
        }
        Ok(self.written(base, table, body, &written, &created, acceptor.failed_attachments))
    }

    /// Writes one record; its id, and whether it is new.
    #[expect(clippy::too_many_arguments, reason = "what one record of a request is written with")]
    fn write(
        &self,
        base: &mut Base,
        table: usize,
        item: &Item,
        body: &Body,
        clears: bool,
        acceptor: &mut Acceptor<'_>,
        written: &[Id],
    ) -> Result<(Id, bool)> {
        let old = match item.id {
            Some(id) if base.data[table].get(id).is_some() => Some(id),
            Some(id) if body.single => return Err(self.missing(self.switches.missing_record, id)),
            Some(id) => return Err(self.missing_in_batch(id)),
            None => None,
        };
        let record = old.and_then(|id| base.data[table].get(id)).cloned();
        let mut cells = Vec::new();
        for (name, value) in &item.fields {
            let field = base.tables[table].field(name).ok_or_else(|| ApiError::unknown_field(name))?;
            let cell = acceptor.cell(base, table, field, value, record.as_ref())?;
            cells.retain(|(at, _)| *at != field);
            cells.push((field, cell));
        }
        let found = match (&body.merge, old) {
            (Some(merge), None) => self.matching(base, table, merge, &cells)?,
            (_, old) => old,
        };
        if body.merge.is_some() && found.is_some_and(|id| written.contains(&id)) {
            let message = "Invalid request: two records match the same record on the fields to merge on.";
            return Err(ApiError::invalid("INVALID_REQUEST_UNKNOWN", message));
        }
        // A record's time of creation has whole seconds.
        let id = found.unwrap_or_else(|| base.insert(table, fresh(), self.now / 1000 * 1000, WRITER, Vec::new()));
        if clears {
            let cleared = base.tables[table].live_fields().filter(|(_, f)| !f.kind.is_computed()).map(|(at, _)| at);
            let given: Vec<usize> = cells.iter().map(|(at, _)| *at).collect();
            cells.extend(cleared.filter(|at| !given.contains(at)).map(|at| (at, Cell::Blank)));
        }
        for (field, cell) in cells {
            self.put(base, table, id, field, cell, found.is_none());
        }
        Ok((id, found.is_none()))
    }

    fn put(&self, base: &mut Base, table: usize, id: Id, field: usize, cell: Cell, is_new: bool) {
        if base.data[table].get(id).is_some_and(|r| *r.cell(field) == cell) {
            return;
        }
        if let Kind::Link { .. } = base.tables[table].fields[field].kind {
            let links = if let Cell::Links(links) = cell { links } else { Vec::new() };
            base.set_links(table, id, field, links, self.stamp());
        } else {
            base.update(table, id, |record| record.write(field, cell, self.stamp()));
        }
        if is_new {
            // What a record is created with does not count as a change of it.
            base.update(table, id, |record| {
                record.modified = None;
                record.touched.clear();
            });
        }
    }

    /// The record that has these values in the fields to merge on.
    fn matching(&self, base: &Base, table: usize, merge: &[usize], cells: &[(usize, Cell)]) -> Result<Option<Id>> {
        let mut wanted = Vec::new();
        for field in merge {
            let cell = cells.iter().find(|(at, cell)| at == field && *cell != Cell::Blank);
            let name = &base.tables[table].fields[*field].name;
            wanted.push(cell.ok_or_else(|| {
                ApiError::invalid(
                    "INVALID_REQUEST_UNKNOWN",
                    format!("Invalid request: no value for merge field {name}"),
                )
            })?);
        }
        let same = |a: &Cell, b: &Cell| match (a, b) {
            (Cell::Choices(a), Cell::Choices(b)) => a.len() == b.len() && a.iter().all(|name| b.contains(name)),
            (a, b) => a == b,
        };
        let mut found = base.data[table]
            .records
            .values()
            .filter(|record| wanted.iter().all(|(field, cell)| same(record.cell(*field), cell)));
        match (found.next(), found.next()) {
            (first, None) => Ok(first.map(|r| r.id)),
            _ => {
                let message = "Invalid request: more than one record matches on the fields to merge on.";
                Err(ApiError::invalid("INVALID_REQUEST_UNKNOWN", message))
            }
        }
    }

    fn written(
        &self,
        base: &Base,
        table: usize,
        body: &Body,
        written: &[Id],
        created: &[Id],
        failed_attachments: bool,
    ) -> Response {
        let regexes = Regexes::default();
        let ctx = Ctx { base, rules: self.switches, now: self.now, regexes: &regexes };
        let renderer = Renderer { ctx, by_id: body.by_id, as_text: None, url: self.url() };
        let all: Vec<usize> = base.tables[table].live_fields().map(|(at, _)| at).collect();
        let mut out = if body.single { Vec::new() } else { b"{\"records\":[".to_vec() };
        for (at, record) in written.iter().filter_map(|id| base.data[table].get(*id)).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            renderer.record(table, record, &all, false, &mut out);
        }
        let close = out.pop();
        if !body.single {
            out.extend(close);
            out.push(b']');
            if body.merge.is_some() {
                let ids = |new: bool| -> Json {
                    written.iter().filter(|id| created.contains(id) == new).map(|id| json!(id.as_str())).collect()
                };
                let both = format!(",\"createdRecords\":{},\"updatedRecords\":{}", ids(true), ids(false));
                out.extend_from_slice(both.as_bytes());
            }
        }
        if failed_attachments {
            let details = json!({ "message": "partialSuccess", "reasons": ["attachmentsFailedUploading"] });
            out.extend_from_slice(format!(",\"details\":{details}").as_bytes());
        }
        out.push(b'}');
        Response::json(200, out)
    }

    /// POST of an attachment's bytes to one cell.
    pub fn upload(&self, request: &Request, base: &mut Base, id: &str, field: &str) -> Result<Response> {
        use base64::Engine;
        let json = self.json(request)?;
        let get = |key: &str| json.get(key).and_then(Json::as_str).ok_or_else(ApiError::bad_parameters);
        let bytes = base64::engine::general_purpose::STANDARD.decode(get("file")?);
        let bytes = bytes.map_err(|_| ApiError::bad_parameters())?;
        if bytes.len() > LARGEST_UPLOAD {
            return Err(ApiError::new(413, "REQUEST_TOO_LARGE", "The file is larger than 5 MB"));
        }
        let id = Id::parse("rec", id).ok_or_else(ApiError::not_found)?;
        let table = (0..base.tables.len()).find(|t| base.data[*t].get(id).is_some());
        let table = table.ok_or_else(|| self.missing(self.switches.missing_record, id))?;
        let at = base.tables[table].field(field).ok_or_else(|| ApiError::unknown_field(field))?;
        let definition = &base.tables[table].fields[at];
        if !matches!(definition.kind, Kind::Attachments) {
            return Err(ApiError::bad_value(&definition.name));
        }
        let new = attachment(get("filename")?, Some(get("contentType")?), bytes.len() as u64);
        base.update(table, id, |record| {
            let mut all = if let Cell::Attachments(all) = record.cell(at) { all.clone() } else { Vec::new() };
            all.push(new);
            record.write(at, Cell::Attachments(all), self.stamp());
        });
        let regexes = Regexes::default();
        let ctx = Ctx { base, rules: self.switches, now: self.now, regexes: &regexes };
        let mut out = Vec::new();
        if let Some(record) = base.data[table].get(id) {
            let renderer = Renderer { ctx, by_id: true, as_text: None, url: self.url() };
            renderer.record(table, record, &[at], false, &mut out);
        }
        Ok(Response::json(200, out))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Create,
    Update,
    /// An update of the record that the path names.
    One(Id),
}

impl Form {
    fn may_be_many(self) -> bool {
        !matches!(self, Form::One(_))
    }
}

fn item(record: Json, form: Form, upsert: bool) -> Result<Item> {
    let Json::Object(mut record) = record else { return Err(ApiError::bad_records()) };
    let id = match (record.remove("id"), form) {
        (Some(Json::String(id)), Form::Update) => Some(Id::parse("rec", &id).ok_or_else(ApiError::bad_records)?),
        (None, Form::Create) => None,
        (None, Form::Update) if upsert => None,
        _ => return Err(ApiError::bad_records()),
    };
    let fields = fields(record.remove("fields"))?;
    if record.is_empty() { Ok(Item { id, fields }) } else { Err(ApiError::bad_records()) }
}

fn fields(json: Option<Json>) -> Result<Map<String, Json>> {
    match json {
        Some(Json::Object(fields)) => Ok(fields),
        Some(_) => Err(ApiError::bad_parameters()),
        None => Err(ApiError::invalid("MISSING_FIELDS", "Could not find field \"fields\" in the request body")),
    }
}

fn merge_fields(base: &Base, table: usize, upsert: &Json, limited: bool) -> Result<Vec<usize>> {
    let names = upsert["fieldsToMergeOn"].as_array().ok_or_else(ApiError::bad_parameters)?;
    if !(1..=MOST_MERGED).contains(&names.len()) {
        return Err(ApiError::bad_parameters());
    }
    let field = |name: &Json| {
        let name = name.as_str().ok_or_else(ApiError::bad_parameters)?;
        let at = base.tables[table].field(name).ok_or_else(|| ApiError::unknown_field(name))?;
        let kind = &base.tables[table].fields[at].kind;
        let fits = if limited { kind.merges() } else { !kind.is_computed() };
        if fits {
            Ok(at)
        } else {
            let message = format!("Invalid request: field \"{name}\" cannot be used to merge on.");
            Err(ApiError::invalid("INVALID_REQUEST_UNKNOWN", message))
        }
    };
    names.iter().map(field).collect()
}
