//! `sequin.stats` counts what this session asked.

use crate::support::{Config, Fault, Session, World};

fn figures(session: &mut Session) -> Vec<i64> {
    let rows =
        session.rows("SELECT requests, retries, errors, throttled, rows, bytes FROM sequin.stats WHERE server = 'sf'");
    rows.first()
        .map_or(vec![0; 6], |row| row.iter().map(|cell| cell.as_deref().unwrap_or("0").parse().unwrap()).collect())
}

#[test]
fn stats_count_requests_retries_errors_rows_and_bytes() {
    let world = World::new(Config::new().records("Contact", 1000).page_size(200));
    let mut session = world.connect();
    assert_eq!(figures(&mut session), [0, 0, 0, 0, 0, 0]);
    session.run("SELECT id FROM salesforce.contact");
    let first = figures(&mut session);
    assert_eq!(first[0] as usize, world.sandbox.requests().len(), "requests, the one for the token among them");
    assert_eq!(&first[1..5], [0, 0, 0, 1000]);
    assert!(first[5] > 20_000, "{first:?}");
    // Asking for the figures asks nothing of the API.
    assert_eq!(figures(&mut session), first);
    world.sandbox.fault(Fault::status(503, "").path("/query").times(2));
    session.run("SELECT id FROM salesforce.contact");
    let second = figures(&mut session);
    assert_eq!(second[1], 2, "{second:?}");
    assert_eq!(second[4], 2000, "{second:?}");
    world.sandbox.fault(Fault::status(429, "").path("/query").times(1));
    session.run("SELECT id FROM salesforce.contact");
    let third = figures(&mut session);
    assert_eq!(third[3], 1, "{third:?}");
    world
        .sandbox
        .fault(Fault::status(400, r#"[{"message":"no","errorCode":"MALFORMED_QUERY"}]"#).path("/query").times(1));
    session.fails("SELECT id FROM salesforce.contact");
    assert!(figures(&mut session)[2] > third[2], "errors");
}

#[test]
fn stats_show_the_quota_as_the_api_last_told() {
    let world = World::new(Config::new());
    world.sandbox.set_quota(5000);
    let mut session = world.connect();
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    let left = session.number("SELECT quota_left FROM sequin.stats WHERE server = 'sf'");
    assert!((4990..=5000).contains(&left), "{left}");
    assert!(session.number("SELECT quota_used FROM sequin.stats WHERE server = 'sf'") > 0);
    world.sandbox.set_quota(0);
    session.fails_with("53400", "SELECT id FROM salesforce.contact").mentions("REQUEST_LIMIT_EXCEEDED");
}

#[test]
fn stats_are_those_of_the_session() {
    let world = World::new(Config::new());
    let mut one = world.connect();
    one.run("SELECT id FROM salesforce.contact LIMIT 1");
    assert!(figures(&mut one)[0] > 0);
    assert_eq!(figures(&mut world.connect())[0], 0);
}

#[test]
fn reading_works_in_a_read_only_transaction_and_in_many_at_once() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    session.run("BEGIN READ ONLY");
    assert!(!session.rows("SELECT id FROM salesforce.contact LIMIT 1").is_empty());
    session.rows("SELECT * FROM sequin.stats");
    let mut other = world.connect();
    assert!(!other.rows("SELECT id FROM salesforce.contact LIMIT 1").is_empty());
    session.run("COMMIT");
}
