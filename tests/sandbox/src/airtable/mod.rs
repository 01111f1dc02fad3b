//! Airtable's Web API, as its contract tells it.
//!
//! A request goes through this file's checks (length, path, limits, token, scopes) and its router to a file per family
//! of resources. Records are generated when the first request comes, and kept in memory.

mod accept;
mod base;
mod compute;
mod error;
mod formula;
mod id;
mod limits;
mod list;
mod meta;
mod oauth;
mod query;
mod sample;
mod schema;
mod switches;
mod webhooks;
mod write;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use serde_json::{Map, Value as Json};

use crate::config::Config;
use crate::http::{Request, Response};
use crate::json::merged;
use crate::pages::Pages;
use crate::sandbox::{Api, Format};
use crate::time;
use crate::tokens::Tokens;
use base::Base;
use compute::Renderer;
use error::{ApiError, Result};
use formula::{Ctx, Regexes};
use id::Id;
use limits::Limits;
use list::Iterators;
use query::Query;

pub use oauth::AIRTABLE_REFRESH_TOKEN;
pub use switches::{Missing, RateLimitBody, Switches as AirtableSwitches};

/// A personal access token with all scopes.
pub const AIRTABLE_TOKEN: &str = "patSandbox00000001.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// One that may only read, records and metadata.
pub const AIRTABLE_READ_TOKEN: &str =
    "patSandbox00000002.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The name of the base with all the tables.
pub const AIRTABLE_BASE: &str = sample::BASE;

const READ: &str = "data.records:read";
const WRITE: &str = "data.records:write";
const READ_SCHEMA: &str = "schema.bases:read";
const WRITE_SCHEMA: &str = "schema.bases:write";
const WEBHOOKS: &str = "webhook:manage";
const SCOPES: [&str; 6] = [READ, WRITE, READ_SCHEMA, WRITE_SCHEMA, WEBHOOKS, "user.email:read"];

/// Contract, section 4.
const URL_LIMIT: usize = 16_000;

/// All bases of one account.
pub struct Airtable {
    bases: OnceLock<RwLock<Vec<Base>>>,
    /// How many records the tables of the first base begin with, where that was said.
    records: Mutex<BTreeMap<String, u32>>,
    switches: RwLock<AirtableSwitches>,
    limits: Limits,
    iterators: Iterators,
    pages: Pages,
    tokens: Arc<Tokens>,
    scopes: BTreeMap<String, Vec<String>>,
    url: String,
    seed: u64,
}

/// One request being answered.
struct Call<'a> {
    org: &'a Airtable,
    switches: &'a AirtableSwitches,
    scopes: Vec<String>,
    now: i64,
    /// From the control plane: anything is permitted.
    inside: bool,
}

impl Airtable {
    /// Whether a table of the first base has this name or id.
    pub fn has_table(name: &str) -> bool {
        sample::has_table(name)
    }

    pub fn new(config: &Config, url: &str) -> Airtable {
        for token in [AIRTABLE_TOKEN, AIRTABLE_READ_TOKEN] {
            config.tokens.add_fixed(token);
        }
        config.tokens.add_refresh(AIRTABLE_REFRESH_TOKEN, "airtable");
        let mut scopes = config.scopes.clone();
        scopes.insert(AIRTABLE_READ_TOKEN.to_owned(), vec![READ.to_owned(), READ_SCHEMA.to_owned()]);
        Airtable {
            bases: OnceLock::new(),
            records: Mutex::new(config.records.clone()),
            switches: RwLock::new(config.airtable.clone()),
            limits: Limits::default(),
            iterators: Iterators::default(),
            pages: Pages::default(),
            tokens: config.tokens.clone(),
            scopes,
            url: url.to_owned(),
            seed: config.seed,
        }
    }

    fn bases(&self) -> &RwLock<Vec<Base>> {
        self.bases.get_or_init(|| RwLock::new(sample::bases(self.seed, &crate::lock(&self.records))))
    }

    fn read<T>(&self, look: impl FnOnce(&[Base]) -> T) -> T {
        look(&self.bases().read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Vec<Base>) -> T) -> T {
        let result = change(&mut self.bases().write().unwrap_or_else(PoisonError::into_inner));
        self.pages.clear();
        result
    }

    pub fn base_id(&self) -> String {
        sample::base_id().to_string()
    }

    /// The id of a table of the first base.
    pub fn table_id(&self, name: &str) -> Option<String> {
        self.read(|bases| bases[0].table(name).map(|at| bases[0].tables[at].id.to_string()))
    }

    /// The id of a field of a table of the first base.
    pub fn field_id(&self, table: &str, field: &str) -> Option<String> {
        self.read(|bases| {
            let table = &bases[0].tables[bases[0].table(table)?];
            table.field(field).map(|at| table.fields[at].id.to_string())
        })
    }

    /// The id of the record at this place of the order of creation.
    pub fn record_id(&self, table: &str, index: u32) -> Option<String> {
        self.read(|bases| {
            let table = bases[0].table(table)?;
            bases[0].data[table].records.get(&index).map(|r| r.id.to_string())
        })
    }

    pub fn switches(&self) -> AirtableSwitches {
        self.switches.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A penalty that runs ends too.
    pub fn set_switches(&self, set: impl FnOnce(&mut AirtableSwitches)) {
        set(&mut self.switches.write().unwrap_or_else(PoisonError::into_inner));
        self.pages.clear();
        self.limits.clear();
    }

    /// Sets switches by name.
    pub fn merge_switches(&self, new: Map<String, Json>) -> std::result::Result<(), String> {
        let switches = merged(&self.switches(), new)?;
        self.set_switches(|s| *s = switches);
        Ok(())
    }

    /// For each base the most requests within one second, and how many were refused for their rate.
    pub fn traffic(&self) -> Json {
        self.limits.json()
    }

    /// Forgets the traffic, and penalties that run.
    pub fn clear_traffic(&self) {
        self.limits.clear();
    }

    pub fn expire_iterators(&self) {
        self.iterators.clear();
        self.pages.clear();
    }

    pub fn expire_webhooks(&self) {
        self.write(|bases| bases.iter_mut().for_each(|b| b.webhooks.expire()));
    }

    /// Generates all records anew, with so many in this table; what was written is lost.
    pub fn set_records(&self, table: &str, n: u32) -> bool {
        let known = sample::has_table(table);
        if known {
            crate::lock(&self.records).insert(table.to_owned(), n);
            let records = crate::lock(&self.records).clone();
            self.write(|bases| *bases = sample::bases(self.seed, &records));
            self.expire_iterators();
        }
        known
    }

    /// The records of every table of the first base that has any.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.read(|bases| {
            let tables = bases[0].tables.iter().zip(&bases[0].data);
            let counts = tables.map(|(t, d)| (t.name.clone(), d.records.len() as u64));
            counts.filter(|(_, n)| *n > 0).collect()
        })
    }

    /// All records of a table of the first base, by creation. As CSV: `_id`, `_created_time` and the fields' ids, texts
    /// as they are, other values as their JSON, blanks (an unchecked checkbox is one) empty and without quotes. As
    /// JSON: the records as a list shows them, with the fields' ids.
    pub fn dump(&self, table: &str, format: Format) -> Option<String> {
        let switches = self.switches();
        self.read(|bases| {
            let base = &bases[0];
            let table = base.table(table)?;
            let regexes = Regexes::default();
            let ctx = Ctx { base, rules: &switches, now: time::now(), regexes: &regexes };
            let renderer = Renderer { ctx, by_id: true, as_text: None, url: &self.url };
            let fields: Vec<usize> = base.tables[table].live_fields().map(|(at, _)| at).collect();
            let records = base.data[table].records.values();
            let mut out = Vec::new();
            if let Format::Json = format {
                for (at, record) in records.enumerate() {
                    out.extend_from_slice(if at == 0 { b"[\n" } else { b",\n" });
                    renderer.record(table, record, &fields, false, &mut out);
                }
                out.extend_from_slice(if out.is_empty() { b"[]\n" } else { b"\n]\n" });
                return String::from_utf8(out).ok();
            }
            let ids = fields.iter().map(|at| base.tables[table].fields[*at].id.to_string());
            let header: Vec<String> = ["_id".to_owned(), "_created_time".to_owned()].into_iter().chain(ids).collect();
            out.extend_from_slice(header.join(",").as_bytes());
            for record in records {
                out.extend_from_slice(format!("\n\"{}\",\"", record.id).as_bytes());
                compute::write_moment(record.created, &mut out);
                out.push(b'"');
                for field in &fields {
                    out.push(b',');
                    let mut json = Vec::new();
                    if renderer.field(table, record, *field, &mut json) {
                        let text = serde_json::from_slice::<String>(&json);
                        let text = text.unwrap_or_else(|_| String::from_utf8_lossy(&json).into_owned());
                        out.extend_from_slice(format!("\"{}\"", text.replace('"', "\"\"")).as_bytes());
                    }
                }
            }
            out.push(b'\n');
            String::from_utf8(out).ok()
        })
    }

    /// Answers a request as the API would, but for token, limits and length: for tests that change records behind a
    /// client's back.
    pub fn inside(&self, request: &Request) -> Response {
        self.answer(request, true)
    }

    fn answer(&self, request: &Request, inside: bool) -> Response {
        if request.target().len() + self.url.len() > URL_LIMIT && !inside {
            return Response::new(414, "text/html", "<html><body><h1>414 Request-URI Too Large</h1></body></html>");
        }
        let switches = self.switches();
        if request.body.len() > switches.body_limit && !inside {
            return ApiError::new(413, "REQUEST_TOO_LARGE", "Request body is too large").response();
        }
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let bearer = bearer(request);
        let scopes = match self.scopes.get(bearer) {
            Some(scopes) => scopes.clone(),
            None => SCOPES.map(str::to_owned).to_vec(),
        };
        let call = Call { org: self, switches: &switches, scopes, now: time::now(), inside };
        match segments[..] {
            ["oauth2", "v1", "token"] => self.oauth(request),
            ["airtable-content", ref rest @ ..] => self.read(|bases| call.content(bases, rest)),
            ["v0", ref rest @ ..] => {
                let answer = || match call.check(request, rest) {
                    Ok(()) if !inside && !self.tokens.admits(bearer) => ApiError::unauthenticated().response(),
                    Ok(()) => call.route(request, rest).unwrap_or_else(|error| error.response()),
                    Err(error) => error.response(),
                };
                let is_list = request.method == "GET" || request.path.ends_with("/listRecords");
                if switches.cache_pages && is_list && !inside {
                    let body = String::from_utf8_lossy(&request.body);
                    self.pages.get(format!("{} {bearer} {body}", request.target()), answer)
                } else {
                    answer()
                }
            }
            _ => ApiError::not_found().response(),
        }
    }
}

fn bearer(request: &Request) -> &str {
    request.header("authorization").and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default()
}

/// The base that a path is about.
fn base_of<'p>(segments: &[&'p str]) -> Option<&'p str> {
    match *segments {
        ["v0", "meta", "bases", base, ..] | ["v0", "bases", base, ..] => Some(base),
        ["v0", base, _, ..] if base.starts_with("app") => Some(base),
        _ => None,
    }
}

impl Call<'_> {
    fn url(&self) -> &str {
        &self.org.url
    }

    fn may(&self, scope: &str) -> bool {
        self.inside || self.scopes.iter().any(|s| s == scope)
    }

    /// What is decided before the token is looked at: paths and ids that cannot be.
    fn check(&self, request: &Request, rest: &[&str]) -> Result<()> {
        let method = request.method.as_str();
        let base = |id: &str| Id::parse("app", id).is_some();
        let good = match *rest {
            ["meta", "whoami"] | ["meta", "bases"] => method == "GET",
            ["meta", "bases", id, "tables"] => method == "GET" && base(id),
            ["meta", "bases", id, "tables", _] => method == "PATCH" && base(id),
            ["meta", "bases", id, "tables", _, "fields"] => method == "POST" && base(id),
            ["meta", "bases", id, "tables", _, "fields", _] => {
                (method == "PATCH" || method == "DELETE" && self.inside) && base(id)
            }
            ["bases", id, "webhooks", ..] => base(id),
            [id, _] => matches!(method, "GET" | "POST" | "PATCH" | "PUT" | "DELETE") && base(id),
            [id, _, "listRecords"] => method == "POST" && base(id),
            [id, _, record] => {
                matches!(method, "GET" | "PATCH" | "PUT" | "DELETE") && base(id) && Id::parse("rec", record).is_some()
            }
            [id, record, _, "uploadAttachment"] => method == "POST" && base(id) && Id::parse("rec", record).is_some(),
            _ => false,
        };
        if good { Ok(()) } else { Err(ApiError::not_found()) }
    }

    /// What follows `/v0`.
    fn route(&self, request: &Request, rest: &[&str]) -> Result<Response> {
        match *rest {
            ["meta", "whoami"] => Ok(self.whoami()),
            ["meta", "bases"] => {
                self.need(READ_SCHEMA)?;
                self.org.read(|bases| self.bases(request, bases))
            }
            ["meta", "bases", base, "tables"] => self.look(base, READ_SCHEMA, |base| Ok(self.tables(request, base))),
            ["meta", "bases", base, "tables", table] => self.change(base, WRITE_SCHEMA, |base| {
                let table = find_table(base, table)?;
                self.change_table(request, base, table)
            }),
            ["meta", "bases", base, "tables", table, "fields"] => self.change(base, WRITE_SCHEMA, |base| {
                let table = find_table(base, table)?;
                self.create_field(request, base, table)
            }),
            ["meta", "bases", base, "tables", table, "fields", field] => self.change(base, WRITE_SCHEMA, |base| {
                let table = find_table(base, table)?;
                self.change_field(request, base, table, field)
            }),
            ["bases", base, "webhooks", ref rest @ ..] => {
                self.change(base, WEBHOOKS, |base| self.webhooks(request, base, rest))
            }
            [base, table, "listRecords"] => self.look(base, READ, |base| {
                let table = find_table(base, table)?;
                let query = Query::new(self.json(request)?, &base.tables[table], self.switches)?;
                self.list(base, table, &query)
            }),
            [base, table] if request.method == "GET" => self.look(base, READ, |base| {
                let table = find_table(base, table)?;
                let query = Query::new(query::of_get(request)?, &base.tables[table], self.switches)?;
                self.list(base, table, &query)
            }),
            [base, table] => self.change(base, WRITE, |base| {
                let table = find_table(base, table)?;
                match request.method.as_str() {
                    "POST" => self.create(request, base, table),
                    "DELETE" => self.delete_several(request, base, table),
                    _ => self.update(request, base, table, None),
                }
            }),
            [base, table, record] if request.method == "GET" => {
                self.look(base, READ, |base| self.one(request, base, find_table(base, table)?, record))
            }
            [base, table, record] => self.change(base, WRITE, |base| {
                let table = find_table(base, table)?;
                let id = Id::parse("rec", record).ok_or_else(ApiError::not_found)?;
                match request.method.as_str() {
                    "DELETE" => self.delete_one(request, base, table, id),
                    _ => self.update(request, base, table, Some(id)),
                }
            }),
            [base, record, field, "uploadAttachment"] => {
                self.change(base, WRITE, |base| self.upload(request, base, record, field))
            }
            _ => Err(ApiError::not_found()),
        }
    }

    fn need(&self, scope: &str) -> Result<()> {
        if self.may(scope) { Ok(()) } else { Err(ApiError::not_permitted()) }
    }

    fn look(&self, base: &str, scope: &str, look: impl FnOnce(&Base) -> Result<Response>) -> Result<Response> {
        self.need(scope)?;
        self.org.read(|bases| {
            let found = bases.iter().find(|b| b.id.as_str() == base && (b.permission != "none" || self.inside));
            look(found.ok_or_else(ApiError::forbidden_or_missing)?)
        })
    }

    /// What is refused has been rolled back by then; what is left is committed.
    fn change(&self, base: &str, scope: &str, change: impl FnOnce(&mut Base) -> Result<Response>) -> Result<Response> {
        self.need(scope)?;
        self.org.write(|bases| {
            let found = bases.iter_mut().find(|b| b.id.as_str() == base && (b.permission != "none" || self.inside));
            let base = found.ok_or_else(ApiError::forbidden_or_missing)?;
            if !matches!(base.permission, "edit" | "create") && !self.inside {
                return Err(ApiError::not_permitted());
            }
            let result = change(base);
            base.commit(self.now);
            result
        })
    }

    /// One record.
    fn one(&self, request: &Request, base: &Base, table: usize, record: &str) -> Result<Response> {
        let mut json = query::of_get(request)?;
        if json
            .keys()
            .any(|k| !matches!(k.as_str(), "returnFieldsByFieldId" | "cellFormat" | "timeZone" | "userLocale"))
        {
            return Err(ApiError::bad_parameters());
        }
        json.remove("offset");
        let query = Query::new(json, &base.tables[table], self.switches)?;
        let id = Id::parse("rec", record).ok_or_else(ApiError::not_found)?;
        let missing = || self.missing(self.switches.missing_record, id);
        let record = base.data[table].get(id).ok_or_else(missing)?;
        let regexes = Regexes::default();
        let ctx = Ctx { base, rules: self.switches, now: self.now, regexes: &regexes };
        let renderer = Renderer { ctx, by_id: query.by_id, as_text: query.as_text, url: self.url() };
        let mut out = Vec::new();
        renderer.record(table, record, &query.fields, false, &mut out);
        Ok(Response::json(200, out))
    }
}

fn find_table(base: &Base, name: &str) -> Result<usize> {
    base.table(name).ok_or_else(ApiError::forbidden_or_missing)
}

impl Api for Airtable {
    fn claims(&self, path: &str) -> bool {
        ["/v0/", "/oauth2/v1/", "/airtable-content/"].iter().any(|prefix| path.starts_with(prefix))
    }

    fn admit(&self, request: &Request) -> Option<Response> {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if segments.first() != Some(&"v0") {
            return None;
        }
        let refused = self.limits.admit(base_of(&segments), bearer(request), &self.switches());
        refused.or_else(|| {
            let mut switches = self.switches.write().unwrap_or_else(PoisonError::into_inner);
            let left = switches.monthly_calls.as_mut()?;
            match left.checked_sub(1) {
                Some(less) => {
                    *left = less;
                    None
                }
                None => Some(limits::spent()),
            }
        })
    }

    fn handle(&self, request: &Request) -> Response {
        self.answer(request, false)
    }

    fn query_text(&self, request: &Request) -> Option<String> {
        if request.path.ends_with("/listRecords") {
            let body: Json = serde_json::from_slice(&request.body).ok()?;
            return body["filterByFormula"].as_str().map(str::to_owned);
        }
        (request.method == "GET").then(|| request.param("filterByFormula")).flatten()
    }

    fn replace_next_link(&self, body: &[u8], link: &str) -> Vec<u8> {
        let Ok(Json::Object(mut json)) = serde_json::from_slice(body) else { return body.to_vec() };
        if json.contains_key("offset") {
            json.insert("offset".to_owned(), link.into());
        }
        Json::Object(json).to_string().into_bytes()
    }
}
