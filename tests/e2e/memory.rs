//! A scan of any size streams in flat memory.

use crate::support::{Config, Process, World};

const RECORDS: u32 = 200_000;
const MOST: u64 = 64 << 20;

#[test]
fn a_scan_of_200_000_records_streams_in_flat_memory_and_outlives_its_token() {
    let world = World::alone(Config::new().records("Contact", RECORDS));
    let mut session = world.connect();
    let backend = Process(session.pid());
    session.run("SELECT * FROM salesforce.contact LIMIT 10");
    let before = backend.resident();
    let issued = world.sandbox.tokens_issued();
    world.sandbox.expire_tokens_after(50);
    let (count, peak) = backend.peak(|| {
        session.value("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(length(mailing_street)) FROM salesforce.contact WHERE upper(coalesce(last_name, '')) IS NOT NULL")
    });
    assert!(count.starts_with("200000 200000 "), "{count}");
    assert_eq!(world.sandbox.tokens_issued(), issued + 1);
    let grown = peak.saturating_sub(before);
    eprintln!("few columns: {} MB", grown >> 20);
    assert!(grown < MOST, "grows by {} MB", grown >> 20);
    let (moved, peak) = backend.peak(|| {
        session.run("BEGIN; DECLARE c CURSOR FOR SELECT * FROM salesforce.contact");
        let mut seen = 0;
        loop {
            let rows = session.rows("FETCH 2000 FROM c").len();
            if rows == 0 {
                break seen;
            }
            seen += rows;
        }
    });
    session.run("COMMIT");
    assert_eq!(moved, RECORDS as usize);
    let grown = peak.saturating_sub(before);
    eprintln!("all columns: {} MB", grown >> 20);
    assert!(grown < MOST, "grows by {} MB", grown >> 20);
}

#[test]
fn many_scans_leave_nothing_behind() {
    let world = World::alone(Config::new().records("Contact", 400));
    let mut session = world.connect();
    let backend = Process(session.pid());
    session.run("PREPARE p (text) AS SELECT * FROM salesforce.contact WHERE last_name = $1");
    let mut turn = |times: usize| {
        for _ in 0..times {
            session.run("EXECUTE p ('Smith')");
            session.run("SELECT id FROM salesforce.contact WHERE last_name = 'Turing' LIMIT 3");
            session.fails("SELECT 1 / (length(id) - 18) FROM salesforce.contact");
        }
        backend.resident()
    };
    let warm = turn(150);
    let after = turn(450);
    let grown = after.saturating_sub(warm);
    eprintln!("1350 scans: {} kB", grown >> 10);
    assert!(grown < 6 << 20, "grows by {} kB", grown >> 10);
}
