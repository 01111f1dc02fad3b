//! Airtable, by its Web API.
//!
//! [`describe`] asks what there is, [`family`] tells fields apart, [`support`] decides what of a filter goes to the API,
//! [`formula`] words it, [`read`] and [`decode`] bring the records, [`follow`] what has changed, [`write`] sends them, [`errors`] says what a refusal means, [`auth`] signs in.
//! <https://airtable.com/developers/web/api/introduction>

mod api;
mod auth;
mod decode;
mod describe;
mod errors;
mod family;
mod follow;
mod formula;
mod read;
mod support;
#[cfg(test)]
mod tests;
mod write;

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use serde_json::Value as Json;

pub use api::Airtable;

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

impl Connector for Airtable {
    fn title(&self) -> &'static str {
        errors::TITLE
    }

    fn domains(&self) -> &'static [&'static str] {
        auth::DOMAINS
    }

    fn list(&self, schema: &str) -> Result<Job<Vec<Listing>>> {
        Ok(describe::list(schema))
    }

    fn describe(&self, object: &str) -> Job<Object> {
        describe::describe(object)
    }

    fn describe_all(&self, objects: &[String]) -> Vec<Job<Object>> {
        describe::describe_all(objects)
    }

    fn counts(&self, _objects: &[String]) -> Option<Job<Vec<(String, u64)>>> {
        None
    }

    fn accesses(&self, object: &Object, ask: &Ask) -> Vec<Access> {
        vec![support::access(object, ask, self.page_rows())]
    }

    fn made_at<'o>(&self, object: &'o Object) -> Option<&'o Field> {
        object.fields.iter().find(|field| field.name == api::CREATED)
    }

    fn read(&self, read: &BoundRead) -> Result<Vec<Job<Page>>> {
        read::jobs(self, read)
    }

    fn retrieve(&self, object: &str, fields: &[Field], keys: &[&str]) -> Result<Job<Vec<Option<Record>>>> {
        read::retrieve(object, fields, keys)
    }

    fn feed(&self, _object: &Object) -> Option<Feed> {
        Some(follow::feed())
    }

    fn sweep(&self, followed: &Followed, _position: Option<&Json>) -> Result<Job<Delta>> {
        follow::sweep(self, followed)
    }

    fn changes(&self, followed: &Followed, position: Option<&Json>, look_back: Duration) -> Result<Job<Delta>> {
        follow::changes(self, followed, position, look_back)
    }

    fn stable_paging(&self) -> bool {
        false
    }

    fn write_limits(&self, _op: Op) -> WriteLimits {
        api::LIMITS
    }

    fn write(&self, write: &Write, changes: &[Change]) -> Result<Job<Vec<Outcome>>> {
        write::job(self, write, changes)
    }

    fn same(&self, field: &Field, one: &Value, other: &Value) -> bool {
        write::RULES.same(field, one, other)
    }

    fn explain(&self, read: &Read) -> String {
        read::explain(read)
    }

    fn sign_in(
        &self,
        credentials: &Credentials,
        refresh: Option<&SecretString>,
        _now: SystemTime,
    ) -> Result<Job<Token>> {
        auth::sign_in(credentials, refresh)
    }

    fn rates(&self, request: &Request) -> Vec<Rate> {
        Airtable::rates(self, &request.path)
    }

    fn classify(&self, response: &Response) -> Verdict {
        errors::classify(response)
    }

    fn usage(&self, _response: &Response) -> Option<Usage> {
        None
    }
}
