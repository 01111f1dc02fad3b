//! What a sandbox is to be: a builder with defaults that suit most tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::Sandbox;
use crate::airtable::AirtableSwitches;
use crate::salesforce::{Credentials, Switches};
use crate::tokens::Tokens;

/// The configuration of a sandbox. Every method returns it, so that calls chain.
#[derive(Clone)]
pub struct Config {
    pub(crate) port: u16,
    pub(crate) seed: u64,
    pub(crate) records: BTreeMap<String, u32>,
    pub(crate) filler_objects: usize,
    pub(crate) latency: Duration,
    pub(crate) tls: bool,
    pub(crate) gzip: bool,
    pub(crate) threads: usize,
    pub(crate) log_bound: usize,
    pub(crate) switches: Switches,
    pub(crate) airtable: AirtableSwitches,
    /// Of Airtable's tokens; those that are not here have all.
    pub(crate) scopes: BTreeMap<String, Vec<String>>,
    pub(crate) credentials: Credentials,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) instance_url: Option<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            port: 0,
            seed: 1,
            records: BTreeMap::new(),
            filler_objects: 800,
            latency: Duration::ZERO,
            tls: false,
            gzip: true,
            threads: 2,
            log_bound: 100_000,
            switches: Switches::default(),
            airtable: AirtableSwitches::default(),
            scopes: BTreeMap::new(),
            credentials: Credentials::default(),
            tokens: Arc::default(),
            instance_url: None,
        }
    }
}

impl Config {
    pub fn new() -> Config {
        Config::default()
    }

    /// The TCP port on 127.0.0.1; 0 (the default) takes a free one.
    pub fn port(mut self, port: u16) -> Config {
        self.port = port;
        self
    }

    /// Another seed, other values; the same seed, the same values.
    pub fn seed(mut self, seed: u64) -> Config {
        self.seed = seed;
        self
    }

    /// How many live records `object` has: an object of Salesforce, or a table of Airtable by name or id.
    pub fn records(mut self, object: &str, n: u32) -> Config {
        self.records.insert(object.to_owned(), n);
        self
    }

    /// How many objects of no further interest the org lists beside the real ones.
    pub fn filler_objects(mut self, n: usize) -> Config {
        self.filler_objects = n;
        self
    }

    /// Every API answer comes this much later.
    pub fn latency(mut self, latency: Duration) -> Config {
        self.latency = latency;
        self
    }

    /// At most so many records on a page, whatever the client asks for.
    pub fn page_size(mut self, n: usize) -> Config {
        self.switches.page_size = Some(n);
        self.airtable.page_size = Some(n);
        self
    }

    /// Serves HTTPS with a certificate of the sandbox's own authority (`Sandbox::ca_pem`).
    pub fn tls(mut self, on: bool) -> Config {
        self.tls = on;
        self
    }

    /// Whether answers are compressed for clients that ask for it.
    pub fn gzip(mut self, on: bool) -> Config {
        self.gzip = on;
        self
    }

    /// Keeps rendered pages, so that a benchmark measures the client and not the sandbox.
    pub fn cache_pages(mut self, on: bool) -> Config {
        self.switches.cache_pages = on;
        self.airtable.cache_pages = on;
        self
    }

    /// Worker threads of the server.
    pub fn threads(mut self, n: usize) -> Config {
        self.threads = n.max(1);
        self
    }

    /// How many requests the log keeps.
    pub fn log_bound(mut self, n: usize) -> Config {
        self.log_bound = n;
        self
    }

    /// Sets what the contract leaves open, and other behaviour, by a closure on the defaults.
    pub fn switches(mut self, set: impl FnOnce(&mut Switches)) -> Config {
        set(&mut self.switches);
        self
    }

    /// The same for Airtable.
    pub fn airtable(mut self, set: impl FnOnce(&mut AirtableSwitches)) -> Config {
        set(&mut self.airtable);
        self
    }

    /// Sets switches of Airtable by name; an unknown name or a wrong type is an error.
    pub fn airtable_by_name(mut self, name: &str, value: serde_json::Value) -> Result<Config, String> {
        self.airtable = crate::json::merged(&self.airtable, [(name.to_owned(), value)].into_iter().collect())?;
        Ok(self)
    }

    /// A static token that has these of Airtable's scopes alone, as `data.records:read`.
    pub fn airtable_token(mut self, token: &str, scopes: &[&str]) -> Config {
        self.scopes.insert(token.to_owned(), scopes.iter().map(|s| (*s).to_owned()).collect());
        self.static_token(token)
    }

    /// Other credentials than the constants of the crate.
    pub fn credentials(mut self, set: impl FnOnce(&mut Credentials)) -> Config {
        set(&mut self.credentials);
        self
    }

    /// An access token that is good from the start and does not expire.
    pub fn static_token(self, token: &str) -> Config {
        self.tokens.add_fixed(token);
        self
    }

    /// Accepts the tokens that `other` issues: the login host and the instance are then two hosts.
    pub fn accept_tokens_of(mut self, other: &Sandbox) -> Config {
        self.tokens = other.tokens();
        self
    }

    /// The `instance_url` of token answers, if it is not this sandbox itself.
    pub fn instance_url(mut self, url: &str) -> Config {
        self.instance_url = Some(url.to_owned());
        self
    }
}
