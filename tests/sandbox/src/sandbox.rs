//! A running sandbox, as a synchronous test holds it.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;

use crate::airtable::{Airtable, AirtableSwitches};
use crate::config::Config;
use crate::fault::{Fault, Faults};
use crate::http::{Request, Response};
use crate::log::{Log, LoggedRequest};
use crate::salesforce::{Salesforce, Switches};
use crate::tokens::Tokens;
use crate::{server, tls};

/// One simulated API: the paths it answers, and how.
pub trait Api: Send + Sync {
    fn claims(&self, path: &str) -> bool;

    /// Counts a request that arrives, before any fault strikes it; the answer to it, if it comes too soon or too late.
    fn admit(&self, _: &Request) -> Option<Response> {
        None
    }

    fn handle(&self, request: &Request) -> Response;

    /// The query in the API's own language that this request carries, for the log and for faults.
    fn query_text(&self, request: &Request) -> Option<String>;

    /// `body` with its link to the next page replaced.
    fn replace_next_link(&self, body: &[u8], link: &str) -> Vec<u8>;
}

/// The form of a dump.
#[derive(Clone, Copy)]
pub enum Format {
    Csv,
    Json,
}

/// What the server and the control plane share.
pub struct Shared {
    pub(crate) apis: Vec<Arc<dyn Api>>,
    pub(crate) salesforce: Arc<Salesforce>,
    pub(crate) airtable: Arc<Airtable>,
    pub(crate) log: Log,
    pub(crate) faults: Faults,
    pub(crate) tokens: Arc<Tokens>,
    latency: AtomicU64,
    gzip: AtomicBool,
}

impl Shared {
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::Relaxed))
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        self.latency.store(latency.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn gzip(&self) -> bool {
        self.gzip.load(Ordering::Relaxed)
    }

    pub(crate) fn set_gzip(&self, on: bool) {
        self.gzip.store(on, Ordering::Relaxed);
    }

    pub(crate) fn expire_locators(&self) {
        self.salesforce.expire_locators();
        self.airtable.expire_iterators();
    }

    pub(crate) fn set_records(&self, object: &str, n: u32) -> bool {
        self.salesforce.set_records(object, n) || self.airtable.set_records(object, n)
    }

    pub(crate) fn dump(&self, object: &str, with_deleted: bool, format: Format) -> Option<String> {
        self.salesforce.dump(object, with_deleted, format).or_else(|| self.airtable.dump(object, format))
    }
}

/// A server on 127.0.0.1 with its own threads; it ends when it is dropped.
pub struct Sandbox {
    shared: Arc<Shared>,
    url: String,
    ca_pem: Option<String>,
    runtime: Option<Runtime>,
}

/// Listens on a port; on one that this process has not used yet if it is 0. Whoever remembers what an address has answered,
/// that it is to be left alone for an hour, say, must not take one sandbox for another. Even, as those of proxies are odd.
async fn listen(port: u16) -> io::Result<TcpListener> {
    static USED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    // Those that are no use stay bound until there is one that is.
    let mut others = Vec::new();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let bound = listener.local_addr()?.port();
        let fits = bound.is_multiple_of(2) && USED.lock().unwrap_or_else(PoisonError::into_inner).insert(bound);
        if port != 0 || fits {
            return Ok(listener);
        }
        others.push(listener);
    }
}

impl Sandbox {
    pub fn start(config: Config) -> io::Result<Sandbox> {
        let runtime =
            Builder::new_multi_thread().worker_threads(config.threads).thread_name("sandbox").enable_all().build()?;
        let listener = runtime.block_on(listen(config.port))?;
        let (scheme, ca_pem, acceptor) = if config.tls {
            let (ca_pem, server) = tls::authority()?;
            ("https", Some(ca_pem), Some(TlsAcceptor::from(server)))
        } else {
            ("http", None, None)
        };
        let url = format!("{scheme}://127.0.0.1:{}", listener.local_addr()?.port());
        let salesforce = Arc::new(Salesforce::new(&config, &url)?);
        let airtable = Arc::new(Airtable::new(&config, &url));
        let unknown = |name: &&String| !salesforce.has_object(name) && !Airtable::has_table(name);
        if let Some(unknown) = config.records.keys().find(unknown) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the sandbox has no object {unknown}")));
        }
        let shared = Arc::new(Shared {
            apis: vec![salesforce.clone(), airtable.clone()],
            salesforce,
            airtable,
            log: Log::new(config.log_bound),
            faults: Faults::default(),
            tokens: config.tokens.clone(),
            latency: AtomicU64::new(config.latency.as_micros() as u64),
            gzip: AtomicBool::new(config.gzip),
        });
        runtime.spawn(server::accept(listener, acceptor, shared.clone()));
        Ok(Sandbox { shared, url, ca_pem, runtime: Some(runtime) })
    }

    /// `http://127.0.0.1:port`, or `https://…`; without a trailing slash.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The certificate of the authority, if HTTPS is served.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// What arrived so far, oldest first.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.log.all()
    }

    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    pub fn fault(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Every access token issued so far is refused from now on; static tokens stay.
    pub fn expire_tokens(&self) {
        self.shared.tokens.expire();
    }

    /// The same, after `n` more requests.
    pub fn expire_tokens_after(&self, n: usize) {
        self.shared.tokens.expire_after(n);
    }

    /// Every open query locator, and every iterator of Airtable, is unknown from now on.
    pub fn expire_locators(&self) {
        self.shared.expire_locators();
    }

    pub fn tokens_issued(&self) -> usize {
        self.shared.tokens.issued()
    }

    pub(crate) fn tokens(&self) -> Arc<Tokens> {
        self.shared.tokens.clone()
    }

    pub fn set_latency(&self, latency: Duration) {
        self.shared.set_latency(latency);
    }

    pub fn set_gzip(&self, on: bool) {
        self.shared.set_gzip(on);
    }

    /// At most `n` records on a page whatever the client asks for; `None` returns to the API's own rule.
    pub fn set_page_size(&self, n: Option<usize>) {
        self.set_switches(|s| s.page_size = n);
        self.set_airtable_switches(|s| s.page_size = n);
    }

    /// Changes switches while running.
    pub fn set_switches(&self, set: impl FnOnce(&mut Switches)) {
        self.shared.salesforce.set_switches(set);
    }

    /// The same for Airtable; a penalty that runs ends.
    pub fn set_airtable_switches(&self, set: impl FnOnce(&mut AirtableSwitches)) {
        self.shared.airtable.set_switches(set);
    }

    /// Asks the simulated Airtable behind a client's back: as `GET /v0/…` and its like, but neither logged nor struck
    /// by faults, and without token and limits. `body` is empty or JSON. Status and body of the answer.
    pub fn airtable(&self, method: &str, target: &str, body: &str) -> (u16, serde_json::Value) {
        let mut request = Request::new(method, target);
        request.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        request.body = body.to_owned().into();
        let response = self.shared.airtable.inside(&request);
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }

    /// The id of the base with all the tables.
    pub fn airtable_base(&self) -> String {
        self.shared.airtable.base_id()
    }

    /// The id of a table of that base. Panics if there is none of this name.
    pub fn airtable_table(&self, name: &str) -> String {
        self.shared.airtable.table_id(name).unwrap_or_else(|| panic!("the sandbox has no table {name}"))
    }

    /// The id of a field. Panics if there is none of this name.
    pub fn airtable_field(&self, table: &str, field: &str) -> String {
        let id = self.shared.airtable.field_id(table, field);
        id.unwrap_or_else(|| panic!("the sandbox has no field {field} in {table}"))
    }

    /// `{"most_in_a_second": {base: n}, "refused": n}`: requests as they arrived, and how many were answered 429.
    pub fn airtable_traffic(&self) -> serde_json::Value {
        self.shared.airtable.traffic()
    }

    /// Forgets the traffic; a penalty that runs ends.
    pub fn clear_airtable_traffic(&self) {
        self.shared.airtable.clear_traffic();
    }

    /// Every webhook is unknown from now on.
    pub fn expire_airtable_webhooks(&self) {
        self.shared.airtable.expire_webhooks();
    }

    /// How many API calls are left today; at 0 they are refused.
    pub fn set_quota(&self, remaining: u64) {
        self.shared.salesforce.set_quota(remaining);
    }

    /// The `instance_url` that token answers name.
    pub fn set_instance_url(&self, url: &str) {
        self.shared.salesforce.set_instance_url(url);
    }

    /// Gives an object, or a table of Airtable, exactly `n` fresh live records; what was written to it, and to all of
    /// Airtable's tables, is lost.
    pub fn set_records(&self, object: &str, n: u32) -> bool {
        self.shared.set_records(object, n)
    }

    /// Brings a deleted record back from the recycle bin. Panics if there is none.
    pub fn undelete(&self, id: &str) {
        let found =
            self.shared.salesforce.behind_the_scenes(id, |writer, object, index| writer.undelete(object, index));
        assert!(found, "no record {id}");
    }

    /// Removes a record without a trace: not even the recycle bin has it. Panics if there is none.
    pub fn purge(&self, id: &str) {
        let found =
            self.shared.salesforce.behind_the_scenes(id, |writer, object, index| writer.store.purge(object, index));
        assert!(found, "no record {id}");
    }

    /// Makes a record's last change one of this long ago, as if it had taken so long to be committed.
    pub fn date_back(&self, id: &str, ago: Duration) {
        let ms = ago.as_millis() as i64;
        let found =
            self.shared.salesforce.behind_the_scenes(id, |writer, object, index| writer.date_back(object, index, ms));
        assert!(found, "no record {id}");
    }

    /// The id of the record at `index` (created ones follow the generated ones). Panics on an unknown object.
    pub fn id(&self, object: &str, index: u32) -> String {
        let id = self.shared.salesforce.id(object, index).or_else(|| self.shared.airtable.record_id(object, index));
        id.unwrap_or_else(|| panic!("the sandbox has no object {object}"))
    }

    /// All live records of `object` with all scalar fields, as CSV: a header, then text exactly as JSON answers
    /// have it; NULL is an empty unquoted cell and every value is quoted, as `COPY … (FORMAT csv, HEADER)` reads
    /// it. `None` if there is no such object. For a table of Airtable the header has the fields' ids, after `_id` and
    /// `_created_time`; arrays and objects are JSON, and an unchecked checkbox is a NULL.
    pub fn dump_csv(&self, object: &str) -> Option<String> {
        self.shared.dump(object, false, Format::Csv)
    }

    /// The same as JSON: an array of objects of string or null; of Airtable, the records as a list answers them.
    pub fn dump_json(&self, object: &str) -> Option<String> {
        self.shared.dump(object, false, Format::Json)
    }

    /// As `dump_csv`, with deleted records too.
    pub fn dump_all_csv(&self, object: &str) -> Option<String> {
        self.shared.salesforce.dump(object, true, Format::Csv)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(200));
        }
    }
}
