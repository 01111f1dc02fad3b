//! Salesforce, by its REST API.
//!
//! [`describe`] asks what there is, [`support`] decides what of a filter goes to the API, [`soql`] and [`literal`]
//! word it, [`split`] makes it fit, [`read`] and [`decode`] bring the records, [`write`] and [`encode`]
//! send them, [`errors`] says what a refusal
//! means, [`auth`] signs in. [`follow`] is what synced tables ask.
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/intro_rest.htm>

mod api;
mod auth;
mod compact;
mod decode;
mod describe;
mod encode;
mod errors;
mod family;
mod follow;
mod literal;
mod read;
mod soql;
mod split;
mod support;
#[cfg(test)]
mod tests;
mod write;

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use serde_json::Value as Json;

pub use api::Salesforce;

use super::contract::{Connector, Listing, Rate, Token, Usage, Verdict};
use super::machine::Job;
use super::wire::{Request, Response};
use crate::error::Result;
use crate::options::Credentials;
use crate::query::ask::{Access, Ask, BoundRead, Read};
use crate::query::change::{Change, Op, Outcome, Write, WriteLimits};
use crate::query::delta::{Delta, Feed, Followed};
use crate::query::page::{Page, Record};
use crate::schema::{Field, Object};
use crate::value::Value;

impl Connector for Salesforce {
    fn title(&self) -> &'static str {
        "Salesforce"
    }

    fn domains(&self) -> &'static [&'static str] {
        auth::DOMAINS
    }

    fn list(&self, schema: &str) -> Result<Job<Vec<Listing>>> {
        describe::list(self, schema)
    }

    fn describe(&self, object: &str) -> Job<Object> {
        describe::describe(self, object)
    }

    fn counts(&self, objects: &[String]) -> Option<Job<Vec<(String, u64)>>> {
        Some(describe::counts(self, objects))
    }

    fn accesses(&self, object: &Object, ask: &Ask) -> Vec<Access> {
        vec![support::access(object, ask, self.page_rows())]
    }

    fn made_at<'o>(&self, object: &'o Object) -> Option<&'o Field> {
        object.fields.iter().find(|field| field.name.eq_ignore_ascii_case("CreatedDate"))
    }

    fn read(&self, read: &BoundRead) -> Result<Vec<Job<Page>>> {
        read::jobs(self, read)
    }

    fn retrieve(&self, object: &str, fields: &[Field], keys: &[&str]) -> Result<Job<Vec<Option<Record>>>> {
        write::retrieve(self, object, fields, keys)
    }

    fn feed(&self, object: &Object) -> Option<Feed> {
        follow::feed(object)
    }

    fn sweep(&self, followed: &Followed, position: Option<&Json>) -> Result<Job<Delta>> {
        follow::sweep(self, followed, position)
    }

    fn changes(&self, followed: &Followed, position: Option<&Json>, look_back: Duration) -> Result<Job<Delta>> {
        follow::changes(self, followed, position, look_back)
    }

    fn stable_paging(&self) -> bool {
        true
    }

    fn write_limits(&self, _op: Op) -> WriteLimits {
        write::LIMITS
    }

    fn write(&self, write: &Write, changes: &[Change]) -> Result<Job<Vec<Outcome>>> {
        write::job(self, write, changes)
    }

    fn same(&self, field: &Field, one: &Value, other: &Value) -> bool {
        encode::RULES.same(field, one, other)
    }

    fn explain(&self, read: &Read) -> String {
        soql::explain(read)
    }

    fn sign_in(
        &self,
        credentials: &Credentials,
        refresh: Option<&SecretString>,
        now: SystemTime,
    ) -> Result<Job<Token>> {
        auth::sign_in(self.login(), credentials, refresh, now)
    }

    fn rates(&self, _request: &Request) -> Vec<Rate> {
        Salesforce::rates(self)
    }

    fn classify(&self, response: &Response) -> Verdict {
        errors::classify(response)
    }

    fn usage(&self, response: &Response) -> Option<Usage> {
        errors::usage(response)
    }
}
