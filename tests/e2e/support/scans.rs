//! A table of each API that is read in five pages, for what goes wrong on the way.

use sandbox::{Action, Config, Fault};

use super::api::{AIRTABLE, Api, SALESFORCE};
use super::session::Session;
use super::world::World;

/// The first page, a middle one, the last one.
pub const PAGES: [usize; 3] = [0, 2, 4];

pub struct Scan {
    pub api: &'static Api,
    pub table: &'static str,
    pub rows: usize,
    config: fn(Config) -> Config,
    method: &'static str,
    path: &'static str,
    /// A query, and what errors call its request.
    pub sql: &'static str,
    pub label: fn(&World) -> String,
    /// Bodies of a failure of the server, of a token that is not accepted, and what both must be told with.
    pub failure: (&'static str, [&'static str; 2]),
    pub denial: (&'static str, &'static str),
    /// A refusal that passes.
    pub busy: fn() -> Action,
}

pub static OF_SALESFORCE: Scan = Scan {
    api: &SALESFORCE,
    table: "contact",
    rows: 1000,
    config: |config| config.records("Contact", 1000).page_size(200),
    method: "GET",
    path: "/query",
    sql: "SELECT id, name FROM salesforce.contact",
    label: |world| format!("GET {}/services/data/v62.0/query", world.sandbox.url()),
    failure: (
        r#"[{"message":"An unexpected error occurred. ErrorId: 1234-5","errorCode":"UNKNOWN_EXCEPTION"}]"#,
        ["UNKNOWN_EXCEPTION", "ErrorId: 1234-5"],
    ),
    denial: (r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#, "INVALID_SESSION_ID"),
    busy: || {
        let body = r#"[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#;
        Action::Status { code: 403, body: body.to_owned(), headers: Vec::new() }
    },
};

pub static OF_AIRTABLE: Scan = Scan {
    api: &AIRTABLE,
    table: "measurements",
    rows: 500,
    config: |config| config.records("Measurements", 500),
    method: "POST",
    path: "/listRecords",
    sql: "SELECT _id, name FROM ops.measurements",
    label: |world| format!("POST {}/v0/{}/", world.sandbox.url(), world.sandbox.airtable_base()),
    failure: (
        r#"{"error":{"type":"SERVER_ERROR","message":"An unexpected error occurred: 1234-5"}}"#,
        ["SERVER_ERROR", "1234-5"],
    ),
    denial: (
        r#"{"error":{"type":"AUTHENTICATION_REQUIRED","message":"Authentication required"}}"#,
        "AUTHENTICATION_REQUIRED",
    ),
    busy: || {
        let body =
            r#"{"errors":[{"error":"RATE_LIMIT_REACHED","message":"Rate limit exceeded. Please try again later"}]}"#;
        let headers = vec![("Retry-After".to_owned(), "0".to_owned())];
        Action::Status { code: 429, body: body.to_owned(), headers }
    },
};

impl Scan {
    pub fn world(&self) -> World {
        World::of(self.api, (self.config)(Config::new()))
    }

    /// What strikes its pages, from the first on.
    pub fn fault(&self, action: Action) -> Fault {
        Fault::new(action).method(self.method).path(self.path)
    }

    /// An aggregate, which would not notice that rows are missing.
    pub fn aggregate(&self) -> String {
        format!("SELECT count(*), max(x.*::text) FROM ({}) AS x", self.sql)
    }

    #[track_caller]
    pub fn check_whole(&self, session: &mut Session) {
        assert_eq!(session.rows(self.sql).len(), self.rows);
    }
}
