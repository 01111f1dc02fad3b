//! What a server's options say of the API: its version, its pages.

use crate::connector::contract::Rate;
use crate::connector::wire::Request;
use crate::error::{Error, Kind, Result};
use crate::options::ServerOptions;

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
    /// `62`
    major: u32,
    page_rows: Option<u32>,
    max_retries: u32,
    requests_per_second: Option<u32>,
    /// `login_url`, else `base_url`.
    login: Option<String>,
}

impl Salesforce {
    /// Errors: HV00D if the version of the API is none, or retired, or an option is set that the API has no use for.
    pub fn new(server: &ServerOptions) -> Result<Self> {
        if server.typecast {
            return Err(Error::new(Kind::BadOption, "option \"typecast\" means nothing to Salesforce")
                .hint("ALTER SERVER … OPTIONS (DROP typecast);"));
        }
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
            major,
            max_retries: server.max_retries,
            requests_per_second: server.requests_per_second,
            page_rows: server.page_size.map(|rows| rows.clamp(*PAGE_ROWS.start(), *PAGE_ROWS.end())),
            login: server.login_url.clone().or_else(|| server.base_url.clone()),
        })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// The API counts by the day; the server's option keeps it to a pace.
    pub fn rates(&self) -> Vec<Rate> {
        vec![Rate::per_second("Salesforce", self.requests_per_second)]
    }

    pub fn max_retries(&self) -> u32 {
        self.max_retries
    }

    /// Errors: 0A000 if the server's version of the API is older than this one, which `what` needs.
    pub fn since(&self, version: u32, what: &str) -> Result<()> {
        if self.major >= version {
            return Ok(());
        }
        let message = format!("{what} needs version {version}.0 of the API, and the server asks for {}.0", self.major);
        Err(Error::new(Kind::NotSupported, message).hint("Set the server's option \"api_version\"."))
    }

    /// Records in a page, unless the API sends less.
    pub fn page_rows(&self) -> u32 {
        self.page_rows.unwrap_or(*PAGE_ROWS.end())
    }

    /// `login_url`, else `base_url`.
    pub fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// Asks for the wanted size of pages: no larger than what is expected to be read in all.
    pub fn paged(&self, request: Request, expected: Option<u64>) -> Request {
        let expected = expected.map_or(u32::MAX, |rows| u32::try_from(rows).unwrap_or(u32::MAX));
        let rows = self.page_rows().min(expected.max(*PAGE_ROWS.start()));
        if rows == *PAGE_ROWS.end() {
            return request;
        }
        request.header("Sforce-Query-Options", format!("batchSize={rows}"))
    }
}

fn bad_version(wrong: &str) -> Error {
    Error::new(Kind::BadOption, format!("option \"api_version\" {wrong}"))
        .hint(format!("Versions from {OLDEST_VERSION}.0 on work; {DEFAULT_VERSION} is the default."))
}
