//! The settings `sequin_fdw.*`.

use crate::support::{Config, World};

#[test]
fn max_requests_bounds_a_statement() {
    let world = World::new(Config::new().records("Contact", 1000).page_size(200));
    let mut session = world.connect();
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    session.run("SET sequin_fdw.max_requests = 3");
    world.sandbox.clear_requests();
    let failure = session.fails_with("53400", "SELECT id FROM salesforce.contact");
    failure.mentions("max_requests");
    assert!(failure.hint.is_some(), "{failure:#?}");
    assert!(world.requests().len() <= 3, "{} requests", world.requests().len());
    // Each statement has its own budget, and all scans of one share it.
    for _ in 0..3 {
        assert_eq!(session.rows("SELECT id FROM salesforce.contact LIMIT 10").len(), 10);
    }
    session.fails_with(
        "53400",
        "SELECT (SELECT count(*) FROM (SELECT id FROM salesforce.contact LIMIT 390) a), (SELECT count(*) FROM (SELECT id FROM salesforce.contact LIMIT 391) b)",
    );
    session.run("SET sequin_fdw.max_requests = 5");
    assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
    session.run("RESET sequin_fdw.max_requests");
    assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
}

#[test]
fn allowed_hosts_is_for_superusers_and_holds() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    // Before the library is loaded, Postgres takes a setting on trust; a right it is what is checked then.
    session.run("SET sequin_fdw.allowed_hosts = 'example.com'");
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    assert_eq!(session.value("SHOW sequin_fdw.allowed_hosts"), "");
    session.fails_with("42501", "SET sequin_fdw.allowed_hosts = 'example.com'");
    let mut admin = world.as_superuser();
    admin.run(&format!(
        "ALTER DATABASE \"{}\" SET sequin_fdw.allowed_hosts = '*.salesforce.com, login.example.com'",
        world.name
    ));
    let mut later = world.connect();
    world.sandbox.clear_requests();
    let failure = later.fails_with("42501", "SELECT id FROM salesforce.contact");
    failure.mentions("127.0.0.1").hints("allowed_hosts");
    assert!(world.sandbox.requests().is_empty(), "not even a token is asked for");
    later.fails_with("42501", "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (lead) FROM SERVER sf INTO salesforce");
    later.explain("VERBOSE", "SELECT id FROM salesforce.contact");
    admin.run(&format!("ALTER DATABASE \"{}\" SET sequin_fdw.allowed_hosts = 'example.com, 127.0.0.1'", world.name));
    assert!(!world.connect().rows("SELECT id FROM salesforce.contact LIMIT 1").is_empty());
}

#[test]
fn requests_per_second_are_kept() {
    let world = World::new(Config::new().records("Contact", 1000).page_size(200));
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD requests_per_second '4')");
    let start = std::time::Instant::now();
    for _ in 0..2 {
        assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
    }
    // Ten pages; the first few may go at once.
    assert!(start.elapsed().as_millis() > 1200, "{:?}", start.elapsed());
}
