//! `make bench`: reading a table of Airtable's, against a bare client that fetches the same pages and throws them away.
//! Nobody limits the rate.

mod support;

use std::io::Read;

use sandbox::{AIRTABLE_BASE, AIRTABLE_TOKEN, Config, Sandbox};
use serde_json::Value;
use support::{PAIRS, connect, median, ratio, read_all, timed};

const RECORDS: u32 = 50_000;

fn main() {
    let config = Config::new().records("Measurements", RECORDS).gzip(false).airtable(|switches| {
        switches.requests_per_second = 0;
        switches.requests_per_second_and_token = 0;
    });
    let sandbox = Sandbox::start(config).expect("the sandbox starts");
    let url = sandbox.url();
    let mut database = connect();
    database
        .batch_execute(&format!(
            "CREATE EXTENSION IF NOT EXISTS sequin_fdw;
             CREATE SERVER at FOREIGN DATA WRAPPER sequin_fdw
               OPTIONS (connector 'airtable', base_url '{url}', allow_insecure 'true', requests_per_second '0');
             CREATE USER MAPPING FOR CURRENT_USER SERVER at OPTIONS (token '{AIRTABLE_TOKEN}');
             CREATE SCHEMA ops;
             IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" LIMIT TO (measurements) FROM SERVER at INTO ops;"
        ))
        .expect("the import works");
    let query = "EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM ops.measurements";
    sandbox.clear_requests();
    database.simple_query(query).expect("the scan works");
    let log = sandbox.requests();
    let first = log.first().expect("a page was asked for");
    let list =
        List { url: format!("{url}{}", first.path), body: first.body.clone(), http: ureq::Agent::new_with_defaults() };
    let pages = list.fetch();
    assert_eq!(pages, log.len(), "the same pages");
    let pairs = (0..PAIRS).map(|_| {
        let bare = timed(|| assert_eq!(list.fetch(), pages));
        let ours = timed(|| read_all(&mut database, query, RECORDS));
        (bare, ours)
    });
    let (bare, ours) = median(pairs.collect());
    println!(
        "scan of {RECORDS} records of Airtable's in {pages} pages: {:.2} times the bare client ({ours:.0?} against {bare:.0?}, median of {PAIRS} pairs)",
        ratio(&(bare, ours)),
    );
}

/// The list that the extension asks for.
struct List {
    url: String,
    body: String,
    http: ureq::Agent,
}

impl List {
    /// Fetches all pages one after the other; returns how many there were.
    fn fetch(&self) -> usize {
        let mut body = self.body.clone();
        for page in 1.. {
            let request = self.http.post(&self.url).header("Authorization", format!("Bearer {AIRTABLE_TOKEN}"));
            let answer = request.header("Content-Type", "application/json").send(body.as_str()).expect("a page");
            let mut bytes = Vec::new();
            answer.into_body().into_reader().read_to_end(&mut bytes).expect("the whole page");
            // The link to the next page stands after the records.
            let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(200)..]).into_owned();
            let Some(offset) = tail.split("\"offset\":\"").nth(1).and_then(|rest| rest.split('"').next()) else {
                return page;
            };
            let mut next: Value = serde_json::from_str(&self.body).expect("a list is asked for in JSON");
            next["offset"] = offset.into();
            body = next.to_string();
        }
        unreachable!("there is a last page")
    }
}
