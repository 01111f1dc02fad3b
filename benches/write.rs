//! `make bench`: writing records, against a bare client that sends the same requests with the same bodies.
//!
//! Once to an API that answers as fast as the sandbox can, which shows what the extension itself costs, and once to one
//! that takes a little time, as every API does.

mod support;

use std::io::Read;
use std::time::Duration;

use sandbox::{Config, LoggedRequest, Sandbox};
use support::{Bench, median, ratio, timed};

const RECORDS: u32 = 10_000;
/// Each is short, and noise is not.
const PAIRS: usize = 9;
/// Less than any API over a network.
const LATENCY_MS: u64 = 10;

fn main() {
    let sandbox = Sandbox::start(Config::new().records("Contact", 0).gzip(false)).expect("the sandbox starts");
    let mut bench = Bench::new(&sandbox);
    let staging = format!(
        "CREATE TABLE staging AS
         SELECT 'Ada' AS first_name, 'Lovelace ' || n AS last_name, 'ada.' || n || '@example.com' AS email,
                date '1990-01-01' + n AS birthdate, n / 8.0 AS score
         FROM generate_series(1, {RECORDS}) n"
    );
    bench.database.batch_execute(&staging).expect("the rows are made");
    let insert =
        "INSERT INTO salesforce.contact (first_name, last_name, email, birthdate, score__c) SELECT * FROM staging";
    let update = "UPDATE salesforce.contact SET score__c = coalesce(score__c, 0) + 1, first_name = 'Ada ' || score__c";
    for (latency, what, sql) in
        [(0, "insert", insert), (0, "update", update), (LATENCY_MS, "insert", insert), (LATENCY_MS, "update", update)]
    {
        sandbox.set_latency(Duration::from_millis(latency));
        let mut requests = 0;
        let pairs = (0..PAIRS).map(|_| {
            // Each pair begins with as many records as the first.
            bench.database.batch_execute("DELETE FROM salesforce.contact").expect("the records can be deleted");
            if what == "update" {
                bench.database.batch_execute(insert).expect("the records are inserted");
            }
            sandbox.clear_requests();
            let ours = timed(|| {
                let written = bench.database.execute(sql, &[]).expect("the statement works");
                assert_eq!(written, u64::from(RECORDS));
            });
            let log: Vec<_> =
                sandbox.requests().into_iter().filter(|request| !request.path.contains("/oauth2/")).collect();
            requests = log.len();
            let bare = timed(|| log.iter().for_each(|request| send(&bench, request)));
            (bare, ours)
        });
        let (bare, ours) = median(pairs.collect());
        println!(
            "{what} of {RECORDS} records in {requests} requests of {latency} ms: {:.2} times the bare client ({ours:.0?} against {bare:.0?}, median of {PAIRS} pairs)",
            ratio(&(bare, ours)),
        );
    }
}

/// Sends a request again, and reads the answer.
fn send(bench: &Bench, request: &LoggedRequest) {
    let url = format!("{}{}", bench.url, request.path);
    let token = format!("Bearer {}", bench.token);
    let answer = match request.method.as_str() {
        "GET" => bench.http.get(url).header("Authorization", token).call(),
        method => {
            let call = if method == "POST" { bench.http.post(url) } else { bench.http.patch(url) };
            let call = call.header("Authorization", token).header("Content-Type", "application/json");
            call.send(request.body.as_str())
        }
    };
    let answer = answer.expect("the request is answered");
    let mut text = String::new();
    answer.into_body().into_reader().read_to_string(&mut text).expect("the whole answer");
    assert!(!text.contains("\"success\":false"), "the same write is accepted again");
}
