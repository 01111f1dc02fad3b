//! What the benchmarks share: a database with the extension, a sandbox, and a bare client beside it.
//!
//! Machines are noisy: each figure is a ratio of two runs that follow each other, and the median of several such pairs.
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::io::Read;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};
use sandbox::{CLIENT_ID, CLIENT_SECRET, Sandbox};

pub const PAIRS: usize = 5;

pub struct Bench {
    pub database: Client,
    pub backend: i32,
    pub http: ureq::Agent,
    pub url: String,
    pub token: String,
}

impl Bench {
    pub fn new(sandbox: &Sandbox) -> Bench {
        let url = sandbox.url();
        let http: ureq::Agent = ureq::Agent::config_builder().build().into();
        let form = [("grant_type", "client_credentials"), ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        let answer = http.post(format!("{url}/services/oauth2/token")).send_form(form).expect("a token");
        let answer: serde_json::Value =
            serde_json::from_reader(answer.into_body().into_reader()).expect("the token's answer");
        let token = answer["access_token"].as_str().expect("a token in the answer").to_owned();
        let mut database = connect();
        database
            .batch_execute(&format!(
                "CREATE EXTENSION sequin_fdw;
                 CREATE SERVER sf FOREIGN DATA WRAPPER sequin_fdw
                   OPTIONS (connector 'salesforce', base_url '{url}', allow_insecure 'true');
                 CREATE USER MAPPING FOR CURRENT_USER SERVER sf
                   OPTIONS (client_id '{CLIENT_ID}', client_secret '{CLIENT_SECRET}');
                 CREATE SCHEMA salesforce;
                 IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER sf INTO salesforce;"
            ))
            .expect("the import works");
        let backend = database.query_one("SELECT pg_backend_pid()", &[]).expect("a backend").get(0);
        Bench { database, backend, http, url, token }
    }

    /// Fetches all pages of a query one after the other; returns how many records they say they are.
    pub fn fetch(&self, soql: &str) -> usize {
        let mut path = format!("/services/data/v62.0/query?q={}", soql.replace(' ', "+").replace('\'', "%27"));
        let mut total = 0;
        loop {
            let request = self.http.get(format!("{}{path}", self.url));
            let answer = request.header("Authorization", format!("Bearer {}", self.token)).call().expect("a page");
            let mut body = Vec::new();
            answer.into_body().into_reader().read_to_end(&mut body).expect("the whole page");
            // The link to the next page stands before the records.
            let head = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
            total = head.split("\"totalSize\":").nth(1).and_then(number).unwrap_or(total);
            match head.split("\"nextRecordsUrl\":\"").nth(1).and_then(|rest| rest.split('"').next()) {
                Some(next) => path = next.to_owned(),
                None => return total,
            }
        }
    }

    /// Resident memory of the backend in kB.
    pub fn resident(&self) -> u64 {
        memory(self.backend, "VmRSS:")
    }
}

/// Another connection to the same database.
pub fn connect() -> Client {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("run `make bench`: {name} is not set"));
    postgres::Config::new()
        .host(&variable("PGHOST"))
        .port(variable("PGPORT").parse().expect("PGPORT is a port"))
        .user(&variable("PGUSER"))
        .password(variable("PGPASSWORD"))
        .dbname("postgres")
        .connect(NoTls)
        .expect("the cluster answers")
}

/// Runs an EXPLAIN ANALYZE of a scan that returns so many rows: they stay in the backend.
pub fn read_all(database: &mut Client, explain: &str, rows: u32) {
    let plan = database.simple_query(explain).expect("the scan works");
    let all = format!("rows={rows} ");
    let says = |row: &SimpleQueryRow| row.get(0).is_some_and(|line| line.contains(&all));
    let found = plan.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if says(row)));
    assert!(found, "the scan returns {rows} rows");
}

/// The most memory that a connection's backend has ever held, in kB.
pub fn peak(database: &mut Client) -> u64 {
    memory(database.query_one("SELECT pg_backend_pid()", &[]).expect("a backend").get(0), "VmHWM:")
}

fn memory(backend: i32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{backend}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

pub fn ratio((bare, ours): &(Duration, Duration)) -> f64 {
    ours.as_secs_f64() / bare.as_secs_f64()
}

/// The pair in the middle, by ratio.
pub fn median(mut pairs: Vec<(Duration, Duration)>) -> (Duration, Duration) {
    pairs.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    pairs[pairs.len() / 2]
}
