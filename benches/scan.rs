//! `make bench`: reading a large object, against a bare client that fetches the same pages and throws them away.
//!
//! Machines are noisy: each figure is a ratio of two runs that follow each other, and the median of several
//! such pairs. The sandbox serves pages that it has rendered before.

use std::io::Read;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls, SimpleQueryMessage};
use sandbox::{CLIENT_ID, CLIENT_SECRET, Config, Sandbox};

const RECORDS: u32 = 200_000;
const PAIRS: usize = 5;
const LOOK_UPS: usize = 200;
const COLUMNS: [(&str, &str); 12] = [
    ("id", "Id"),
    ("account_id", "AccountId"),
    ("first_name", "FirstName"),
    ("last_name", "LastName"),
    ("email", "Email"),
    ("phone", "Phone"),
    ("birthdate", "Birthdate"),
    ("owner_id", "OwnerId"),
    ("lead_source", "LeadSource"),
    ("has_opted_out_of_email", "HasOptedOutOfEmail"),
    ("created_date", "CreatedDate"),
    ("system_modstamp", "SystemModstamp"),
];

fn main() {
    let sandbox = Sandbox::start(Config::new().records("Contact", RECORDS).cache_pages(true).gzip(false))
        .expect("the sandbox starts");
    let mut bench = Bench::new(&sandbox);
    bench.scan();
    bench.look_up(&sandbox.id("Contact", 7));
}

struct Bench {
    database: Client,
    backend: i32,
    http: ureq::Agent,
    url: String,
    token: String,
}

impl Bench {
    fn new(sandbox: &Sandbox) -> Bench {
        let url = sandbox.url();
        let http: ureq::Agent = ureq::Agent::config_builder().build().into();
        let form = [("grant_type", "client_credentials"), ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        let answer = http.post(format!("{url}/services/oauth2/token")).send_form(form).expect("a token");
        let answer: serde_json::Value =
            serde_json::from_reader(answer.into_body().into_reader()).expect("the token's answer");
        let token = answer["access_token"].as_str().expect("a token in the answer").to_owned();
        let variable =
            |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("run `make bench`: {name} is not set"));
        let mut database = postgres::Config::new()
            .host(&variable("PGHOST"))
            .port(variable("PGPORT").parse().expect("PGPORT is a port"))
            .user(&variable("PGUSER"))
            .password(variable("PGPASSWORD"))
            .dbname("postgres")
            .connect(NoTls)
            .expect("the cluster answers");
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

    /// Whole object, twelve columns. The rows stay in the backend: what a client makes of them is not ours.
    fn scan(&mut self) {
        let local: Vec<_> = COLUMNS.iter().map(|(column, _)| format!("max({column}::text)")).collect();
        let plain: Vec<_> = COLUMNS.iter().map(|(column, _)| *column).collect();
        let remote: Vec<_> = COLUMNS.iter().map(|(_, field)| *field).collect();
        let soql = format!("SELECT {} FROM Contact", remote.join(", "));
        let query = format!("EXPLAIN (ANALYZE, TIMING OFF) SELECT {} FROM salesforce.contact", plain.join(", "));
        assert_eq!(self.fetch(&soql), RECORDS as usize, "warm-up renders the pages");
        let pages = self.database.simple_query(&format!("SELECT {} FROM salesforce.contact", local.join(", ")));
        drop(pages.expect("the scan works"));
        let before = self.resident();
        let pairs = (0..PAIRS).map(|_| {
            let bare = timed(|| assert_eq!(self.fetch(&soql), RECORDS as usize));
            let ours = timed(|| {
                let plan = self.database.simple_query(&query).expect("the scan works");
                let all = format!("rows={RECORDS} ");
                let found = plan.iter().any(|message| {
                    matches!(message, SimpleQueryMessage::Row(row) if row.get(0).is_some_and(|line| line.contains(&all)))
                });
                assert!(found, "the scan returns {RECORDS} rows");
            });
            (bare, ours)
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let (bare, ours) = pairs[PAIRS / 2];
        println!(
            "scan of {RECORDS} records, {} columns: {:.2} times the bare client ({ours:.0?} against {bare:.0?}, median of {PAIRS} pairs); the backend grew by {} kB",
            COLUMNS.len(),
            ratio(&(bare, ours)),
            self.resident().saturating_sub(before),
        );
    }

    /// One record by its key, on a warm connection.
    fn look_up(&mut self, id: &str) {
        let soql = format!("SELECT Id, Name, Email FROM Contact WHERE Id = '{id}'");
        let statement =
            self.database.prepare("SELECT id, name, email FROM salesforce.contact WHERE id = $1").expect("prepares");
        let mut extra: Vec<Duration> = (0..LOOK_UPS)
            .map(|_| {
                let bare = timed(|| assert_eq!(self.fetch(&soql), 1));
                let ours = timed(|| assert_eq!(self.database.query(&statement, &[&id]).expect("a row").len(), 1));
                ours.saturating_sub(bare)
            })
            .collect();
        extra.sort();
        println!("look-up by key: {:.0?} over the bare request (median of {LOOK_UPS})", extra[LOOK_UPS / 2]);
    }

    /// Fetches all pages of a query one after the other; returns how many records they say they are.
    fn fetch(&self, soql: &str) -> usize {
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
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.backend)).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn ratio((bare, ours): &(Duration, Duration)) -> f64 {
    ours.as_secs_f64() / bare.as_secs_f64()
}
