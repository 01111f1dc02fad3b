//! Salesforce, by its REST API.
//!
//! [`describe`] asks what there is, [`support`] decides what of a filter goes to the API, [`soql`] and [`literal`]
//! word it, [`split`] makes it fit, [`read`] and [`decode`] bring the records, [`errors`] says what a refusal
//! means, [`auth`] signs in.
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/intro_rest.htm>

mod auth;
mod decode;
mod describe;
mod errors;
mod literal;
mod number;
mod read;
mod soql;
mod split;
mod support;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use secrecy::SecretString;

use super::contract::{Connector, Listing, Token, Usage, Verdict};
use super::machine::Job;
use super::wire::{Request, Response};
use crate::error::{Error, Kind, Result};
use crate::options::{Credentials, ServerOptions};
use crate::query::ask::{Access, Ask, BoundRead, Read};
use crate::query::page::Page;
use crate::schema::Object;

const DEFAULT_VERSION: &str = "62.0";

/// Older versions are retired.
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/api_rest_eol.htm>
const OLDEST_VERSION: u32 = 31;

/// Records of a page that the API can be asked for; without asking it sends the largest.
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_queryoptions.htm>
const PAGE_ROWS: std::ops::RangeInclusive<u32> = 200..=2_000;

/// The connector `salesforce`.
pub struct Salesforce {
    /// `/services/data/v62.0`
    base: String,
    page_rows: Option<u32>,
    /// `login_url`, else `base_url`.
    login: Option<String>,
}

impl Salesforce {
    /// Errors: HV00D if the version of the API is none, or retired.
    pub fn new(server: &ServerOptions) -> Result<Self> {
        let version = server.api_version.as_deref().unwrap_or(DEFAULT_VERSION);
        let major = version
            .strip_suffix(".0")
            .filter(|major| !major.is_empty() && major.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|major| major.parse::<u32>().ok())
            .ok_or_else(|| bad_version("must read like 62.0"))?;
        if major < OLDEST_VERSION {
            return Err(bad_version("names a version that Salesforce has retired"));
        }
        Ok(Salesforce {
            base: format!("/services/data/v{major}.0"),
            page_rows: server.page_size.map(|rows| rows.clamp(*PAGE_ROWS.start(), *PAGE_ROWS.end())),
            login: server.login_url.clone().or_else(|| server.base_url.clone()),
        })
    }

    fn base(&self) -> &str {
        &self.base
    }

    /// Asks for the wanted size of pages.
    fn paged(&self, request: Request) -> Request {
        match self.page_rows {
            Some(rows) => request.header("Sforce-Query-Options", format!("batchSize={rows}")),
            None => request,
        }
    }
}

fn bad_version(wrong: &str) -> Error {
    Error::new(Kind::BadOption, format!("option \"api_version\" {wrong}"))
        .hint(format!("Versions from {OLDEST_VERSION}.0 on work; {DEFAULT_VERSION} is the default."))
}

impl Connector for Salesforce {
    fn title(&self) -> &'static str {
        "Salesforce"
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
        vec![support::access(object, ask, self.page_rows.unwrap_or(*PAGE_ROWS.end()))]
    }

    fn read(&self, read: &BoundRead) -> Result<Vec<Job<Page>>> {
        read::jobs(self, read)
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
        auth::sign_in(self.login.as_deref(), credentials, refresh, now)
    }

    fn classify(&self, response: &Response) -> Verdict {
        errors::classify(response)
    }

    fn usage(&self, response: &Response) -> Option<Usage> {
        errors::usage(response)
    }
}
