//! The trait that every API implements.

use std::time::{Duration, SystemTime};

use reqwest::Url;
use secrecy::SecretString;
use serde_json::Value as Json;

use super::machine::Job;
use super::wire::{Request, Response};
use crate::error::{Error, Result};
use crate::options::Credentials;
use crate::query::ask::{Access, Ask, BoundRead, Read};
use crate::query::change::{Change, Op, Outcome, Write, WriteLimits};
use crate::query::delta::{Delta, Feed, Followed};
use crate::query::page::{Page, Record, Weigh};
use crate::schema::{Field, Object};
use crate::value::Value;

/// An API: what it can be asked, how that is worded, what its answers mean.
pub trait Connector: Send + Sync {
    /// As users write it: `Salesforce`.
    fn title(&self) -> &'static str;

    /// The domains of its vendor, as `salesforce.com`: a token's answer may name a host below them.
    fn domains(&self) -> &'static [&'static str];

    /// The objects of a remote schema. HV00Q if there is no such schema.
    fn list(&self, schema: &str) -> Result<Job<Vec<Listing>>>;

    /// One object with all its fields. HV00R if there is no such object.
    fn describe(&self, object: &str) -> Job<Object>;

    /// Several of them, in any order.
    fn describe_all(&self, objects: &[String]) -> Vec<Job<Object>> {
        objects.iter().map(|object| self.describe(object)).collect()
    }

    /// About how many records objects have, where the API tells.
    fn counts(&self, objects: &[String]) -> Option<Job<Vec<(String, u64)>>>;

    /// The ways to read an object, best first; at least one. Plan time: asks nothing.
    fn accesses(&self, object: &Object, ask: &Ask) -> Vec<Access>;

    /// The field that says when a record was made, by which an object can be read in parts.
    fn made_at<'o>(&self, object: &'o Object) -> Option<&'o Field>;

    /// The requests of a read, in pieces that may run in any order; none if no record can match.
    fn read(&self, read: &BoundRead) -> Result<Vec<Job<Page>>>;

    /// Records by their keys, in order, with the cells of these fields; `None` for one that is not there. As many keys
    /// as [`Connector::write_limits`] allows.
    fn retrieve(&self, object: &str, fields: &[Field], keys: &[&str]) -> Result<Job<Vec<Option<Record>>>>;

    /// How the changes of an object, as the API describes it, are asked for: handed back in [`Followed::feed`]. `None` if
    /// the API does not tell of changes, so that all records have to be compared.
    fn feed(&self, object: &Object) -> Option<Feed>;

    /// All records, from a position on that an earlier sweep of the same records had.
    fn sweep(&self, followed: &Followed, position: Option<&Json>) -> Result<Job<Delta>>;

    /// What has changed since a position, and in the time of `look_back` before it: what others did then may have
    /// come to be seen later. Without a position nothing but the position of now.
    fn changes(&self, followed: &Followed, position: Option<&Json>, look_back: Duration) -> Result<Job<Delta>>;

    /// Whether a read that is under way is the same whatever is written meanwhile; else everything is read before
    /// anything is written.
    fn stable_paging(&self) -> bool;

    /// How many changes one request takes.
    fn write_limits(&self, op: Op) -> WriteLimits;

    /// Makes changes, no more than [`Connector::write_limits`] allows: all of them or none. Yields one outcome for each.
    fn write(&self, write: &Write, changes: &[Change]) -> Result<Job<Vec<Outcome>>>;

    /// Whether the API keeps two values of a field as the same.
    fn same(&self, field: &Field, one: &Value, other: &Value) -> bool;

    /// The read in the API's own language, operands that are not known yet as `$1`, `$2`, …
    fn explain(&self, read: &Read) -> String;

    /// How a token is had. `refresh` is the newest refresh token if the API replaced the configured one.
    fn sign_in(&self, credentials: &Credentials, refresh: Option<&SecretString>, now: SystemTime)
    -> Result<Job<Token>>;

    /// The rates that a request counts towards, as the API allows them or the server's options say. First the one that a
    /// refusal for the rate is of.
    fn rates(&self, request: &Request) -> Vec<Rate>;

    /// What an answer means.
    fn classify(&self, response: &Response) -> Verdict;

    /// What an answer tells of the quota.
    fn usage(&self, response: &Response) -> Option<Usage>;
}

/// An object as the API lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// The API's own name.
    pub name: String,
    /// What its users call it, where `name` is an id.
    pub label: Option<String>,
    /// Whether an import that does not name it leaves it out.
    pub special: bool,
}

impl Listing {
    /// What a table of it is named after.
    pub fn title(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }
}

/// What signing in brought.
#[derive(Clone, Debug)]
pub struct Token {
    /// Sent as `Authorization: Bearer …`.
    pub access: SecretString,
    /// A refresh token that replaces the one just used.
    pub refresh: Option<SecretString>,
    /// The host that the token is for; `base_url`, where it is set, comes before it.
    pub instance: Option<Url>,
    /// How long it lasts, where the API tells.
    pub lifetime: Option<Duration>,
}

/// How often an API lets itself be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// What is counted together, as an error names it: `base appABC`.
    pub of: String,
    /// Whether each credential is counted for itself.
    pub per_credential: bool,
    /// In any time as long as `window`; `None` if nobody knows.
    pub requests: Option<u32>,
    pub window: Duration,
}

impl Rate {
    /// So many requests in any second, whoever asks. 0 is any number.
    pub fn per_second(of: impl Into<String>, requests: Option<u32>) -> Rate {
        let requests = requests.filter(|requests| *requests > 0);
        Rate { of: of.into(), per_credential: false, requests, window: Duration::from_secs(1) }
    }
}

/// What an answer means for the request.
pub enum Verdict {
    Good,
    /// It may work later.
    Retry {
        error: Error,
        /// No sooner than this.
        after: Option<Duration>,
        /// Whether the API may have acted on the request all the same.
        perhaps_done: bool,
        /// Whether the API asks to slow down.
        throttled: bool,
    },
    /// The access token is not accepted any more.
    Renew(Error),
    Fail(Error),
}

/// The state of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub used: u64,
    pub limit: u64,
}

impl Weigh for Object {
    fn weight(&self) -> usize {
        size_of_val(self.fields.as_slice())
    }

    fn rows(&self) -> usize {
        0
    }
}

impl<T> Weigh for Vec<T> {
    fn weight(&self) -> usize {
        size_of_val(self.as_slice())
    }

    fn rows(&self) -> usize {
        0
    }
}
