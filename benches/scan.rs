//! `make bench`: reading a large object, against a bare client that fetches the same pages and throws them away.
//!
//! The sandbox serves pages that it has rendered before.

mod support;

use std::time::Duration;

use sandbox::{Config, Sandbox};
use support::{Bench, PAIRS, connect, median, peak, ratio, read_all, timed};

const RECORDS: u32 = 200_000;
const MANY: u32 = 1_000_000;
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
    scan(&mut bench);
    look_up(&mut bench, &sandbox.id("Contact", 7));
    memory(&sandbox);
}

/// Whole object, twelve columns. The rows stay in the backend: what a client makes of them is not ours.
fn scan(bench: &mut Bench) {
    let local: Vec<_> = COLUMNS.iter().map(|(column, _)| format!("max({column}::text)")).collect();
    let plain: Vec<_> = COLUMNS.iter().map(|(column, _)| *column).collect();
    let remote: Vec<_> = COLUMNS.iter().map(|(_, field)| *field).collect();
    let soql = format!("SELECT {} FROM Contact", remote.join(", "));
    let query = format!("EXPLAIN (ANALYZE, TIMING OFF) SELECT {} FROM salesforce.contact", plain.join(", "));
    assert_eq!(bench.fetch(&soql), RECORDS as usize, "warm-up renders the pages");
    let pages = bench.database.simple_query(&format!("SELECT {} FROM salesforce.contact", local.join(", ")));
    drop(pages.expect("the scan works"));
    let before = bench.resident();
    let pairs = (0..PAIRS).map(|_| {
        let bare = timed(|| assert_eq!(bench.fetch(&soql), RECORDS as usize));
        let ours = timed(|| read_all(&mut bench.database, &query, RECORDS));
        (bare, ours)
    });
    let (bare, ours) = median(pairs.collect());
    println!(
        "scan of {RECORDS} records, {} columns: {:.2} times the bare client ({ours:.0?} against {bare:.0?}, median of {PAIRS} pairs); the backend grew by {} kB",
        COLUMNS.len(),
        ratio(&(bare, ours)),
        bench.resident().saturating_sub(before),
    );
}

/// The most memory that a backend ever held: five times the records must not take more.
fn memory(sandbox: &Sandbox) {
    sandbox.set_switches(|switches| switches.cache_pages = false);
    let columns: Vec<_> = COLUMNS.iter().map(|(column, _)| *column).collect();
    let query = format!("EXPLAIN (ANALYZE, TIMING OFF) SELECT {} FROM salesforce.contact", columns.join(", "));
    let peaks = [RECORDS, MANY].map(|records| {
        sandbox.set_records("Contact", records);
        let mut database = connect();
        database.batch_execute(&query).expect("the scan works");
        peak(&mut database)
    });
    println!(
        "peak memory of a backend: {} MB after {RECORDS} records, {} MB after {MANY}",
        peaks[0] >> 10,
        peaks[1] >> 10
    );
    assert!(peaks[1] < peaks[0] + (8 << 10), "memory stays flat");
}

/// One record by its key, on a warm connection.
fn look_up(bench: &mut Bench, id: &str) {
    let soql = format!("SELECT Id, Name, Email FROM Contact WHERE Id = '{id}'");
    let statement =
        bench.database.prepare("SELECT id, name, email FROM salesforce.contact WHERE id = $1").expect("prepares");
    let mut extra: Vec<Duration> = (0..LOOK_UPS)
        .map(|_| {
            let bare = timed(|| assert_eq!(bench.fetch(&soql), 1));
            let ours = timed(|| assert_eq!(bench.database.query(&statement, &[&id]).expect("a row").len(), 1));
            ours.saturating_sub(bare)
        })
        .collect();
    extra.sort();
    println!("look-up by key: {:.0?} over the bare request (median of {LOOK_UPS})", extra[LOOK_UPS / 2]);
}
