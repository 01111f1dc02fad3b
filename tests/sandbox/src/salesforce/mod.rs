//! Salesforce's REST API, as its contract tells it.
//!
//! A request goes through this file's checks (length, version, session, quota) and its router to a file per family
//! of resources; those work on the `store`, which lays what was written over generated records.

mod changes;
mod collections;
mod composite;
mod describe;
mod error;
mod filler;
mod generate;
mod id;
mod number;
pub mod oauth;
mod objects;
mod query;
mod record;
mod render;
mod rows;
mod schema;
mod soql;
mod store;
mod switches;
mod value;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jsonwebtoken::DecodingKey;
use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::http::{Request, Response};
use crate::json::{merged, quote};
use crate::pages::Pages;
use crate::sandbox::{Api, Format};
use crate::tokens::Tokens;
use error::{ApiError, Result};
use query::Cursors;
use render::Form;
use schema::Schema;
use store::Store;

pub use oauth::Credentials;
pub use switches::{DanglingReference, Switches};

/// Method, target and version together may be so long; see section 5.1 of the contract.
const REQUEST_LINE_LIMIT: usize = 16_384;
const HEADERS_LIMIT: usize = 32_768;
const DAILY_LIMIT: u64 = 15_000_000;
const SUPPORTED: std::ops::RangeInclusive<u32> = 31..=64;
const RETIRED: std::ops::Range<u32> = 20..31;

/// One org.
pub struct Salesforce {
    schema: Arc<Schema>,
    store: RwLock<Store>,
    switches: RwLock<Switches>,
    writing: Mutex<()>,
    cursors: Cursors,
    pages: Pages,
    credentials: Credentials,
    verification_key: Option<DecodingKey>,
    tokens: Arc<Tokens>,
    url: String,
    instance_url: RwLock<String>,
    /// API calls left today.
    quota: AtomicU64,
    seed: u64,
}

/// One request being answered.
pub struct Call<'a> {
    org: &'a Salesforce,
    switches: &'a Switches,
    /// `v62.0`
    version: &'a str,
    /// Within a composite request that is all-or-none.
    atomic: bool,
}

impl Salesforce {
    pub fn new(config: &Config, url: &str) -> io::Result<Salesforce> {
        let mut objects = objects::objects();
        objects.extend(filler::objects(config.filler_objects));
        let schema = Arc::new(Schema::new(objects));
        let bases = schema.objects.iter().map(|object| base(config, &object.name)).collect();
        let credentials = config.credentials.clone();
        config.tokens.add_refresh(&credentials.refresh_token, &credentials.client_id);
        Ok(Salesforce {
            store: RwLock::new(Store::new(schema.clone(), config.seed, bases)),
            schema,
            switches: RwLock::new(config.switches.clone()),
            writing: Mutex::default(),
            cursors: Cursors::default(),
            pages: Pages::default(),
            verification_key: credentials.verification_key()?,
            credentials,
            tokens: config.tokens.clone(),
            url: url.to_owned(),
            instance_url: RwLock::new(config.instance_url.clone().unwrap_or_else(|| url.to_owned())),
            quota: AtomicU64::new(DAILY_LIMIT),
            seed: config.seed,
        })
    }

    pub fn has_object(&self, name: &str) -> bool {
        self.schema.object(name).is_some()
    }

    fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn store_mut(&self) -> RwLockWriteGuard<'_, Store> {
        self.pages.clear();
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn switches(&self) -> Switches {
        self.switches.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_switches(&self, set: impl FnOnce(&mut Switches)) {
        set(&mut self.switches.write().unwrap_or_else(PoisonError::into_inner));
        self.pages.clear();
    }

    /// Sets switches by name.
    pub fn merge_switches(&self, new: serde_json::Map<String, Json>) -> std::result::Result<(), String> {
        let switches = merged(&self.switches(), new)?;
        self.set_switches(|s| *s = switches);
        Ok(())
    }

    pub fn set_quota(&self, remaining: u64) {
        self.quota.store(remaining, Ordering::Relaxed);
    }

    pub fn quota(&self) -> u64 {
        self.quota.load(Ordering::Relaxed)
    }

    fn instance_url(&self) -> String {
        self.instance_url.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_instance_url(&self, url: &str) {
        *self.instance_url.write().unwrap_or_else(PoisonError::into_inner) = url.to_owned();
    }

    pub fn expire_locators(&self) {
        self.cursors.clear();
        self.pages.clear();
    }

    pub fn set_records(&self, object: &str, n: u32) -> bool {
        let found = self.schema.object(object);
        if let Some(object) = found {
            self.store_mut().set_base(object, n);
            self.expire_locators();
        }
        found.is_some()
    }

    pub fn id(&self, object: &str, index: u32) -> Option<String> {
        let object = &self.schema.objects[self.schema.object(object)?];
        Some(id::Id::new(object.prefix, u64::from(index)).to_string())
    }

    /// The live records of every object that has any.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let store = self.store();
        let count = |(i, object): (usize, &schema::Object)| (object.name.clone(), store.count(i));
        self.schema.objects.iter().enumerate().map(count).filter(|(_, n)| *n > 0).collect()
    }

    /// All records of an object, for comparison with what a client read.
    pub fn dump(&self, object: &str, with_deleted: bool, format: Format) -> Option<String> {
        let object = self.schema.object(object)?;
        let switches = self.switches();
        let renderer = render::Renderer { switches: &switches, with_deleted, version: "v62.0" };
        let fields = &self.schema.objects[object].fields;
        let columns: Vec<_> = fields.iter().enumerate().filter(|(_, f)| !f.kind.is_compound()).collect();
        let mut out = Vec::new();
        if matches!(format, Format::Csv) {
            let names: Vec<_> = columns.iter().map(|(_, f)| f.name.as_str()).collect();
            out.extend_from_slice(names.join(",").as_bytes());
            out.push(b'\n');
        }
        let store = self.store();
        let mut text = Vec::new();
        let mut separator: &[u8] = if matches!(format, Format::Csv) { b"" } else { b"[\n" };
        for row in store.scan(object, with_deleted) {
            out.extend_from_slice(separator);
            for (n, (at, field)) in columns.iter().enumerate() {
                text.clear();
                let form = renderer.scalar(&row, *at, &mut text);
                let value = String::from_utf8_lossy(&text);
                if let Format::Json = format {
                    out.extend_from_slice(if n == 0 { b"{" } else { b"," });
                    quote(&field.name, &mut out);
                    out.push(b':');
                    match form {
                        Form::Null => out.extend_from_slice(b"null"),
                        _ => quote(&value, &mut out),
                    }
                    continue;
                }
                if n > 0 {
                    out.push(b',');
                }
                if !matches!(form, Form::Null) {
                    out.push(b'"');
                    out.extend_from_slice(value.replace('"', "\"\"").as_bytes());
                    out.push(b'"');
                }
            }
            if let Format::Json = format {
                out.push(b'}');
                separator = b",\n";
            } else {
                out.push(b'\n');
            }
        }
        if let Format::Json = format {
            out.extend_from_slice(if separator == b"[\n" { b"[]\n" } else { b"\n]\n" });
        }
        String::from_utf8(out).ok()
    }

    fn answer(&self, request: &Request) -> Response {
        let line = request.method.len() + request.target().len() + " HTTP/1.1 ".len();
        if line > REQUEST_LINE_LIMIT {
            return Response::new(414, "text/html", "<html><body><h1>414 Request-URI Too Long</h1></body></html>");
        }
        let headers: usize = request.headers.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
        if line + headers > HEADERS_LIMIT {
            return Response::new(
                431,
                "text/html",
                "<html><body><h1>431 Request Header Fields Too Large</h1></body></html>",
            );
        }
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments[..] {
            ["services", "oauth2", resource] => self.oauth(request, resource),
            ["services", "data"] => versions(),
            ["services", "data", version, ref rest @ ..] => self.data(request, version, rest),
            _ => ApiError::not_found().response(),
        }
    }

    fn data(&self, request: &Request, version: &str, rest: &[&str]) -> Response {
        if let Err(error) = check_version(version) {
            return error.response();
        }
        let bearer = request
            .header("authorization")
            .and_then(|v| v.strip_prefix("Bearer ").or_else(|| v.strip_prefix("OAuth ")));
        if !bearer.is_some_and(|token| self.tokens.admits(token)) {
            return ApiError::new(401, "INVALID_SESSION_ID", "Session expired or invalid").response();
        }
        let spent = self.quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        let left = spent.map_or(0, |before| before - 1);
        let switches = self.switches();
        let response = if switches.api_disabled {
            ApiError::new(403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.").response()
        } else if spent.is_err() {
            ApiError::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").response()
        } else {
            let call = Call { org: self, switches: &switches, version, atomic: false };
            let answer = || call.route(request, rest).unwrap_or_else(|error| error.response());
            if request.method == "GET" { self.cached(request, &switches, answer) } else { self.transaction(answer) }
        };
        response
            .with_header("Sforce-Limit-Info", format!("api-usage={}/{DAILY_LIMIT}", DAILY_LIMIT.saturating_sub(left)))
    }

    /// Requests that may write come one at a time, so that one that is undone takes no other with it.
    fn transaction(&self, answer: impl FnOnce() -> Response) -> Response {
        let _turn = crate::lock(&self.writing);
        let response = answer();
        self.store.write().unwrap_or_else(PoisonError::into_inner).commit();
        response
    }

    /// With the cache switched on, a page that was rendered before is served again.
    fn cached(&self, request: &Request, switches: &Switches, render: impl FnOnce() -> Response) -> Response {
        if !switches.cache_pages || !request.path.contains("/query") {
            return render();
        }
        let key = format!("{} {}", request.target(), request.header("Sforce-Query-Options").unwrap_or_default());
        self.pages.get(key, render)
    }
}

/// How many live records an object begins with.
fn base(config: &Config, name: &str) -> u32 {
    let default = |object: &str| match object {
        "Contact" => 3222,
        "Account" => 500,
        "Opportunity" => 800,
        "Lead" | "Case" | "Task" | "Event" | "Every_Type__c" => 400,
        "Product2" | "EmailMessage" => 150,
        "Reading__c" => 2600,
        "User" => 12,
        _ => 0,
    };
    let configured = |object: &str| config.records.get(object).copied();
    configured(name).unwrap_or_else(|| match name {
        // About six contacts for each account, however many are asked for.
        "Account" => default("Account").max(configured("Contact").unwrap_or(0) / 6),
        name => default(name),
    })
}

/// Whether what follows `/services/data/v62.0` creates, changes or deletes a single record.
fn writes_one_record(method: &str, rest: &[&str]) -> bool {
    match rest {
        ["sobjects", _] => method == "POST",
        ["sobjects", _, _] | ["sobjects", _, _, _] => matches!(method, "PATCH" | "DELETE"),
        _ => false,
    }
}

fn check_version(version: &str) -> Result<()> {
    let number = version.strip_prefix('v').and_then(|v| v.strip_suffix(".0")).and_then(|v| v.parse::<u32>().ok());
    match number {
        Some(n) if SUPPORTED.contains(&n) => Ok(()),
        Some(n) if RETIRED.contains(&n) => {
            Err(ApiError::new(410, "UNSUPPORTED_API_VERSION", format!("The requested version {n}.0 is retired")))
        }
        _ => Err(ApiError::not_found()),
    }
}

fn versions() -> Response {
    const SEASONS: [&str; 3] = ["Winter", "Spring", "Summer"];
    let versions: Vec<Json> = SUPPORTED
        .map(|n| {
            // 32.0 was Winter '15; three releases each year, and the winter one bears the next year's number.
            let (season, year) = (SEASONS[(n as usize - 29) % 3], 14 + (n - 29) / 3);
            json!({ "label": format!("{season} '{year}"), "url": format!("/services/data/v{n}.0"), "version": format!("{n}.0") })
        })
        .collect();
    Response::value(200, &Json::Array(versions))
}

impl Api for Salesforce {
    fn claims(&self, path: &str) -> bool {
        path.starts_with("/services/")
    }

    fn handle(&self, request: &Request) -> Response {
        self.answer(request)
    }

    fn query_text(&self, request: &Request) -> Option<String> {
        request.path.contains("/query").then(|| request.param("q").or_else(|| request.param("explain"))).flatten()
    }

    fn replace_next_link(&self, body: &[u8], link: &str) -> Vec<u8> {
        const KEY: &str = "\"nextRecordsUrl\":\"";
        let text = String::from_utf8_lossy(body).into_owned();
        let Some(from) = text.find(KEY).map(|at| at + KEY.len()) else { return text.into_bytes() };
        let to = text[from..].find('"').map_or(text.len(), |n| from + n);
        let link = Json::String(link.to_owned()).to_string();
        [&text[..from - 1], &link, &text[(to + 1).min(text.len())..]].concat().into_bytes()
    }
}

impl Call<'_> {
    /// Answers what follows `/services/data/v62.0`.
    fn route(&self, request: &Request, rest: &[&str]) -> Result<Response> {
        let get_only = |response: Result<Response>| match request.method.as_str() {
            "GET" | "HEAD" => response,
            _ => Err(ApiError::method_not_allowed("GET,HEAD")),
        };
        if let Some(refusal) = &request.refusal
            && writes_one_record(&request.method, rest)
        {
            return Ok(ApiError::from(refusal).response_with_fields());
        }
        match *rest {
            [] => get_only(Ok(self.resources())),
            ["sobjects"] => get_only(Ok(self.describe_global(request))),
            ["sobjects", object] => self.object_resource(request, object),
            ["sobjects", object, "describe"] => get_only(self.describe(request, object)),
            ["query", ref rest @ ..] | ["queryAll", ref rest @ ..] if request.method == "GET" => match *rest {
                [] => self.query(request, request.path.ends_with("queryAll") || request.path.ends_with("queryAll/")),
                [locator] => self.query_more(locator),
                _ => Err(ApiError::not_found()),
            },
            ["query" | "queryAll", ..] => Err(ApiError::method_not_allowed("GET")),
            ["sobjects", object, "updated"] => self.updated(request, object),
            ["sobjects", object, "deleted"] => self.deleted(request, object),
            ["sobjects", object, id] => self.row_resource(request, object, id),
            ["sobjects", object, field, value] => self.external_resource(request, object, field, value),
            ["composite", ref rest @ ..] => self.composite_resource(request, rest),
            ["limits"] => get_only(Ok(self.limits())),
            ["limits", "recordCount"] => get_only(Ok(self.record_count(request))),
            _ => Err(ApiError::not_found()),
        }
    }

    fn composite_resource(&self, request: &Request, rest: &[&str]) -> Result<Response> {
        let post_only = |answer: fn(&Self, &Request) -> Result<Response>| match request.method.as_str() {
            "POST" => answer(self, request),
            _ => Err(ApiError::method_not_allowed("POST")),
        };
        match *rest {
            [] => post_only(Self::composite),
            ["batch"] => post_only(Self::batch),
            ["sobjects"] => self.collection(request),
            ["sobjects", object] => self.collection_retrieve(request, object),
            ["sobjects", object, field] => self.collection_upsert(request, object, field),
            _ => Err(ApiError::not_found()),
        }
    }

    fn resources(&self) -> Response {
        let base = format!("/services/data/{}", self.version);
        let names = ["composite", "limits", "query", "queryAll", "sobjects"];
        let map: serde_json::Map<String, Json> =
            names.iter().map(|n| ((*n).to_owned(), json!(format!("{base}/{n}")))).collect();
        Response::value(200, &Json::Object(map))
    }
}
