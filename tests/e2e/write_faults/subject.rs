//! What is written through the proxy, and how an API's requests and refusals look.

use proxy::Action;

use super::strike::{Purpose, Strike};
use crate::support::{AIRTABLE, Api, Config, SALESFORCE};

pub struct Subject {
    pub api: &'static Api,
    /// An object with little in it, so that many records are written fast.
    pub object: &'static str,
    pub table: &'static str,
    /// The field that names a record, and one that statements change; and their columns.
    pub fields: [&'static str; 2],
    pub columns: [&'static str; 2],
    /// Records in a request.
    pub batch: usize,
    /// Requests of a statement whose every request goes wrong in turn.
    pub requests: usize,
    /// Rows of a statement any of whose requests may go wrong, and how many runs there are.
    pub random_rows: usize,
    pub random_runs: usize,
    /// Small pages, so that an UPDATE reads several.
    pub config: fn(Config) -> Config,
    /// What a request to a path is for.
    pub purpose: fn(path: &str) -> Purpose,
    /// What RETURNING asks for.
    pub reads_back: Purpose,
    /// Tokens are asked for, and asked for again once they have expired.
    pub signs_in: bool,
    /// Records that others hold are refused; else nobody holds any.
    pub locks: bool,
    /// 503 tells that nothing was done.
    pub unavailable_is_clear: bool,
    /// An error as the API words it.
    pub refusal: fn(status: u16, strike: Strike) -> Action,
}

impl Subject {
    /// Rows of a statement with [`Subject::requests`] requests. The last is not full.
    pub fn rows(&self) -> usize {
        (self.requests - 1) * self.batch + self.batch / 4
    }

    /// What goes wrong with requests of a purpose.
    pub fn strikes(&self, purpose: Purpose) -> Vec<Strike> {
        let fits = |strike: &Strike| *strike != Strike::Locked || (self.locks && purpose == Purpose::Write);
        Strike::ALL.into_iter().filter(fits).collect()
    }

    /// Whether the answer tells that nothing was done.
    pub fn is_clear(&self, strike: Strike) -> bool {
        match strike {
            Strike::Unavailable => self.unavailable_is_clear,
            strike => matches!(strike, Strike::Throttled | Strike::Expired | Strike::Locked),
        }
    }
}

pub static OF_SALESFORCE: Subject = Subject {
    api: &SALESFORCE,
    object: "Empty__c",
    table: "empty__c",
    fields: ["Name", "Note__c"],
    columns: ["name", "note__c"],
    batch: 200,
    requests: 3,
    random_rows: 1000,
    random_runs: 300,
    config: |config| config.filler_objects(0).records("Empty__c", 0).page_size(200),
    purpose: |path| match path {
        path if path.contains("/oauth2/") => Purpose::SignIn,
        path if path.contains("/composite/sobjects/") => Purpose::ReadBack,
        path if path.contains("/composite/sobjects") => Purpose::Write,
        _ => Purpose::Page,
    },
    reads_back: Purpose::ReadBack,
    signs_in: true,
    locks: true,
    unavailable_is_clear: true,
    refusal: |status, strike| {
        let (code, message) = match strike {
            Strike::Unavailable => ("SERVER_UNAVAILABLE", "Too many requests waiting for connections"),
            Strike::Throttled => ("REQUEST_LIMIT_EXCEEDED", "Too many requests."),
            Strike::Expired => ("INVALID_SESSION_ID", "Session expired or invalid"),
            _ => ("UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1"),
        };
        Action::answer(status, format!(r#"[{{"message":"{message}","errorCode":"{code}"}}]"#))
    },
};

pub static OF_AIRTABLE: Subject = Subject {
    api: &AIRTABLE,
    object: "Measurements",
    table: "measurements",
    fields: ["Name", "Comment"],
    columns: ["name", "comment"],
    batch: 10,
    requests: 12,
    random_rows: 120,
    random_runs: 100,
    config: |config| {
        config.records("Measurements", 0).airtable(|switches| {
            switches.page_size = Some(50);
            switches.arbitrary_order = false;
        })
    },
    purpose: |path| match path {
        path if path.contains("/v0/") && !path.contains("/listRecords") => Purpose::Write,
        _ => Purpose::Page,
    },
    // Nothing tells it from a page.
    reads_back: Purpose::Page,
    signs_in: false,
    locks: false,
    unavailable_is_clear: false,
    refusal: |status, strike| {
        let (kind, message) = match strike {
            Strike::Unavailable => {
                ("SERVICE_UNAVAILABLE", "The service is temporarily unavailable. Please retry shortly.")
            }
            Strike::Throttled => ("RATE_LIMIT_REACHED", "Rate limit exceeded. Please try again later"),
            Strike::Expired => ("AUTHENTICATION_REQUIRED", "Authentication required"),
            _ => ("SERVER_ERROR", "An unexpected error occurred"),
        };
        let body = match strike {
            Strike::Throttled => format!(r#"{{"errors":[{{"error":"{kind}","message":"{message}"}}]}}"#),
            _ => format!(r#"{{"error":{{"type":"{kind}","message":"{message}"}}}}"#),
        };
        // Without it, the penalty would be half a minute.
        Action::answer(status, body).header("Retry-After", "0")
    },
};
