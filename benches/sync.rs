//! `make bench`: filling a synced table, against a CREATE TABLE AS of the foreign table; and looking a row of it up, against
//! the same in the table so made.
//!
//! The sandbox serves pages that it has rendered before.

mod support;

use std::time::{Duration, Instant};

use postgres::Client;
use sandbox::{Config, Sandbox};
use support::{Bench, PAIRS, median, ratio, timed};

const RECORDS: u32 = 200_000;
const LOOK_UPS: usize = 2_000;

fn main() {
    let sandbox = Sandbox::start(Config::new().records("Contact", RECORDS).cache_pages(true).gzip(false))
        .expect("the sandbox starts");
    let mut bench = Bench::new(&sandbox);
    fill(&mut bench.database);
    look_up(&mut bench.database, &sandbox.id("Contact", 7));
}

fn fill(database: &mut Client) {
    let mut pair = || {
        database.batch_execute("DROP TABLE IF EXISTS copy, synced; CHECKPOINT").expect("the tables can be dropped");
        let copied = timed(|| {
            let sql = "CREATE TABLE copy AS SELECT * FROM salesforce.contact";
            assert_eq!(database.execute(sql, &[]).expect("the copy works"), u64::from(RECORDS));
        });
        database.batch_execute("CHECKPOINT").expect("a checkpoint");
        let filled = timed(|| {
            database
                .batch_execute("SELECT sequin.start_sync('salesforce.contact', 'synced', every => '1 hour')")
                .expect("the synced table begins");
            wait_until_current(database);
        });
        let rows: i64 = database.query_one("SELECT count(*) FROM synced", &[]).expect("the rows").get(0);
        assert_eq!(rows, i64::from(RECORDS));
        (copied, filled)
    };
    // Renders the pages.
    pair();
    let (copied, filled) = median((0..PAIRS).map(|_| pair()).collect());
    println!(
        "filling a synced table of {RECORDS} records: {:.2} times CREATE TABLE AS ({filled:.0?} against {copied:.0?}, median of {PAIRS} pairs)",
        ratio(&(copied, filled)),
    );
}

fn wait_until_current(database: &mut Client) {
    let start = Instant::now();
    loop {
        let status = "SELECT state, last_error FROM sequin.sync_status WHERE target = 'synced'::regclass";
        let row = database.query_one(status, &[]).expect("its status");
        let (state, error): (String, Option<String>) = (row.get(0), row.get(1));
        match state.as_str() {
            "current" => return,
            "filling" => {}
            _ => panic!("{state}: {error:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(120), "not filled within two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn look_up(database: &mut Client, id: &str) {
    database.batch_execute("ALTER TABLE copy ADD PRIMARY KEY (id); ANALYZE copy, synced").expect("an index");
    let mut look_up = |table: &str| {
        let statement = database.prepare(&format!("SELECT * FROM {table} WHERE id = $1")).expect("a statement");
        timed(|| {
            for _ in 0..LOOK_UPS {
                assert_eq!(database.query(&statement, &[&id]).expect("the row").len(), 1);
            }
        })
    };
    let pairs = (0..PAIRS).map(|_| (look_up("copy"), look_up("synced")));
    let (copied, synced) = median(pairs.collect());
    println!(
        "looking up a row of a synced table by its key: {:.2} times the same in a local table (median of {PAIRS} pairs of {LOOK_UPS})",
        ratio(&(copied, synced)),
    );
}
