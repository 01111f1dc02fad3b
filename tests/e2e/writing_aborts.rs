//! A write that is cut short is in doubt, and is told; what was written stays, and is told.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Action, Config, Fault, World};

fn world() -> World {
    World::new(Config::new().records("Contact", 50).records("Account", 20).records("Case", 0))
}

#[test]
fn prepare_transaction_is_refused_after_a_write() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    if session.number("SHOW max_prepared_transactions") == 0 {
        return;
    }
    session.run("BEGIN; INSERT INTO salesforce.contact (last_name) VALUES ('a')");
    session.fails_with("0A000", "PREPARE TRANSACTION 'p'").hints("COMMIT");
    notices.warning(&mut session).mentions("1 salesforce.contact inserted");
}

#[test]

fn a_hanging_write_is_cancelled_at_once_and_in_doubt() {
    let world = World::alone(Config::new().records("Contact", 50).records("Case", 0));
    for (sql, method, words) in [
        (
            "INSERT INTO salesforce.contact (last_name, title) VALUES ('doubtful', 'x')",
            "POST",
            ["doubtful", "inserted"],
        ),
        ("UPDATE salesforce.contact SET title = 'doubtful' WHERE last_name <> 'x'", "PATCH", ["doubtful", "updated"]),
        ("DELETE FROM salesforce.contact", "DELETE", ["003", "deleted"]),
    ] {
        let mut session = world.connect();
        session.run("SELECT id FROM salesforce.contact LIMIT 1; SET statement_timeout = '300ms'");
        world.sandbox.fault(Fault::new(Action::Hang).method(method).path("/composite/sobjects"));
        let start = Instant::now();
        let failure = session.fails_with("57014", sql);
        let took = start.elapsed();
        world.sandbox.clear_faults();
        assert!(took < Duration::from_millis(400), "{sql}: {took:?}");
        let detail = failure.detail.clone().unwrap_or_default();
        assert!(detail.contains("Nobody knows") && words.iter().all(|word| detail.contains(word)), "{failure:#?}");
        session.run("SET statement_timeout = '5s'");
        assert_eq!(session.count("INSERT INTO salesforce.contact (last_name) VALUES ('next')"), 1);
        assert_eq!(session.count("DELETE FROM salesforce.contact WHERE last_name = 'next'"), 1);
    }
    assert_eq!(world.records("Contact").len(), 50);
}

#[test]

fn pg_cancel_backend_ends_a_hanging_write_as_fast() {
    let world = World::alone(Config::new().records("Contact", 5));
    let mut session = world.connect();
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    let pid = session.pid();
    world.sandbox.fault(Fault::new(Action::Hang).method("POST").path("/composite/sobjects"));
    let waiting = thread::spawn(move || {
        let failure = session
            .fails("INSERT INTO salesforce.contact (last_name) SELECT 'n' || n FROM generate_series(1, 200) AS n");
        (session, failure, Instant::now())
    });
    world.await_request("/composite/sobjects");
    thread::sleep(Duration::from_millis(100));
    let cancelled = Instant::now();
    world.as_superuser().run(&format!("SELECT pg_cancel_backend({pid})"));
    let (mut session, failure, ended) = waiting.join().expect("it fails as it should");
    world.sandbox.clear_faults();
    assert_eq!(failure.code, "57014", "{failure:#?}");
    assert!(ended.duration_since(cancelled) < Duration::from_millis(200), "{:?}", ended.duration_since(cancelled));
    failure.mentions("Nobody knows").mentions("n1").mentions("197 more");
    assert_eq!(session.count("INSERT INTO salesforce.contact (last_name) VALUES ('next')"), 1);
}

#[test]

fn a_cancel_before_anything_was_sent_leaves_no_doubt() {
    let world = World::alone(Config::new().records("Contact", 5));
    let mut session = world.connect();
    session.run("SET statement_timeout = '300ms'");
    for (path, sql) in [
        ("/oauth2/token", "INSERT INTO salesforce.contact (last_name) VALUES ('x')"),
        ("/query", "UPDATE salesforce.contact SET title = 'x'"),
    ] {
        world.sandbox.fault(Fault::new(Action::Hang).path(path));
        let failure = session.fails_with("57014", sql);
        world.sandbox.clear_faults();
        assert!(!failure.everything().contains("Nobody knows"), "{path}: {failure:#?}");
    }
}

#[test]
fn a_cancel_while_a_batch_is_read_back_says_what_stays() {
    let world = World::alone(Config::new().records("Contact", 5));
    let (mut session, notices) = world.connect_listening();
    session.run("SELECT id FROM salesforce.contact LIMIT 1; SET statement_timeout = '300ms'");
    world.sandbox.fault(Fault::new(Action::Hang).path("/composite/sobjects/Contact"));
    let failure =
        session.fails_with("57014", "INSERT INTO salesforce.contact (last_name) VALUES ('stays') RETURNING name");
    world.sandbox.clear_faults();
    assert!(!failure.everything().contains("Nobody knows"), "{failure:#?}");
    notices.warning(&mut session).mentions("1 salesforce.contact inserted");
    assert_eq!(world.count("Contact", "LastName", "stays"), 1);
}
