//! What the API has written stays when the transaction does not, and is told; a write that is cut short is in doubt, and is told.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Action, Config, Fault, World};

fn world() -> World {
    World::new(Config::new().records("Contact", 50).records("Account", 20).records("Case", 0))
}

#[test]
fn a_commit_warns_of_nothing() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    session.run("BEGIN; INSERT INTO salesforce.contact (last_name) VALUES ('a'); SAVEPOINT s; UPDATE salesforce.contact SET title = 'x'; RELEASE s; COMMIT");
    session.run("DELETE FROM salesforce.contact WHERE last_name = 'a'");
    session.run("BEGIN; SELECT count(*) FROM salesforce.contact; ROLLBACK");
    session.run("BEGIN; UPDATE salesforce.contact SET title = title; ROLLBACK");
    let notices = notices.take(&mut session);
    assert!(notices.is_empty(), "{notices:#?}");
}

#[test]
fn a_rollback_says_what_stays() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    session.run("BEGIN");
    let id = session.value("INSERT INTO salesforce.contact (last_name) VALUES ('stays') RETURNING id");
    session.run("ROLLBACK");
    let warning = notices.warning(&mut session);
    assert_eq!(warning.code, "01000", "{warning:#?}");
    assert!(warning.detail.as_deref().is_some_and(|detail| detail.contains(&id)), "{warning:#?}");
    warning.mentions("1 Contact inserted").hints("sequin.unconfirmed()");
    assert_eq!(world.count("Contact", "LastName", "stays"), 1);
    session.run("BEGIN; INSERT INTO salesforce.contact (last_name) SELECT 'n' FROM generate_series(1, 250); UPDATE salesforce.account SET phone = '1'; DELETE FROM salesforce.contact WHERE last_name = 'n'; ROLLBACK");
    notices
        .warning(&mut session)
        .mentions("250 Contact inserted")
        .mentions("20 Account updated")
        .mentions("250 Contact deleted")
        .mentions("and 240 more");
    assert_eq!((world.records("Contact").len(), world.count("Account", "Phone", "1")), (51, 20));
    session.run("BEGIN; ROLLBACK");
    assert!(notices.take(&mut session).is_empty(), "told once");
}

#[test]
fn an_error_that_ends_the_transaction_says_what_stays() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    session.run("BEGIN; INSERT INTO salesforce.contact (last_name) VALUES ('stays')");
    session.fails_with("22012", "SELECT 1 / 0");
    session.run("COMMIT");
    notices.warning(&mut session).mentions("1 Contact inserted");
    // One implicit transaction of several statements.
    session.fails_with("22012", "INSERT INTO salesforce.contact (last_name) VALUES ('stays'); SELECT 1 / 0");
    notices.warning(&mut session).mentions("1 Contact inserted");
    assert_eq!(world.count("Contact", "LastName", "stays"), 2);
}

#[test]
fn savepoints_settle_their_own_part() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    let insert = |name: &str| format!("INSERT INTO salesforce.contact (last_name) VALUES ('{name}')");
    session.run("BEGIN");
    session.run(&insert("outside"));
    session.run("SAVEPOINT a");
    session.run(&insert("inside"));
    session.run("ROLLBACK TO a");
    notices.warning(&mut session).mentions("1 Contact inserted");
    session.run("COMMIT");
    assert!(notices.take(&mut session).is_empty(), "what was outside is committed");
    session.run("BEGIN; SAVEPOINT a");
    session.run(&insert("released"));
    session.run("SAVEPOINT b");
    session.run(&insert("released too"));
    session.run("RELEASE b; RELEASE a");
    assert!(notices.take(&mut session).is_empty());
    session.run("ROLLBACK");
    notices.warning(&mut session).mentions("2 Contact inserted");
    session.run("BEGIN; SAVEPOINT a; SAVEPOINT b");
    session.run(&insert("nested"));
    session.run("RELEASE b; SAVEPOINT c");
    session.run(&insert("nested"));
    session.run("ROLLBACK TO c");
    notices.warning(&mut session).mentions("1 Contact inserted");
    session.run("ROLLBACK TO a");
    notices.warning(&mut session).mentions("1 Contact inserted");
    session.run("COMMIT");
    assert!(notices.take(&mut session).is_empty());
    assert_eq!(world.records("Contact").len(), 50 + 6);
}

#[test]
fn exception_blocks_say_what_stays_and_the_rest_commits() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    session.run(
        "DO $$ BEGIN
           INSERT INTO salesforce.contact (last_name) VALUES ('outer');
           BEGIN
             INSERT INTO salesforce.contact (last_name) VALUES ('inner');
             BEGIN
               INSERT INTO salesforce.contact (last_name) VALUES ('innermost');
               INSERT INTO salesforce.contact (last_name) VALUES (NULL);
             EXCEPTION WHEN not_null_violation THEN
               INSERT INTO salesforce.contact (last_name) VALUES ('handler');
             END;
             RAISE division_by_zero;
           EXCEPTION WHEN division_by_zero THEN NULL;
           END;
         END $$",
    );
    let warnings = notices.take(&mut session);
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    warnings[0].mentions("1 Contact inserted");
    warnings[1].mentions("2 Contact inserted");
    for name in ["outer", "inner", "innermost", "handler"] {
        assert_eq!(world.count("Contact", "LastName", name), 1, "{name}");
    }
    assert!(notices.take(&mut session).is_empty());
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
    notices.warning(&mut session).mentions("1 Contact inserted");
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
    notices.warning(&mut session).mentions("1 Contact inserted");
    assert_eq!(world.count("Contact", "LastName", "stays"), 1);
}

#[test]
fn a_lost_answer_to_an_insert_is_08007_and_never_sent_twice() {
    let world = World::new(Config::new().records("Contact", 5));
    let mut session = world.connect();
    world.sandbox.fault(Fault::new(Action::DropAfter).method("POST").path("/composite/sobjects"));
    let (failure, writes) =
        world.writes_of(|| session.fails_with("08007", "INSERT INTO salesforce.contact (last_name) VALUES ('lost')"));
    world.sandbox.clear_faults();
    assert_eq!((writes.len(), world.count("Contact", "LastName", "lost")), (1, 1));
    failure.mentions("lost").mentions("Nobody knows").hints("Look at the records");
    assert_eq!(failure.table.as_deref(), Some("contact"), "{failure:#?}");
}

#[test]
fn a_lost_answer_to_an_update_or_delete_is_asked_again() {
    let world = world();
    let mut session = world.connect();
    for (method, sql) in
        [("PATCH", "UPDATE salesforce.contact SET title = 'twice'"), ("DELETE", "DELETE FROM salesforce.contact")]
    {
        world.sandbox.fault(Fault::new(Action::DropAfter).method(method).path("/composite/sobjects").times(1));
        let (count, writes) = world.writes_of(|| session.count(sql));
        assert_eq!((count, writes.len()), (50, 2), "{sql}");
    }
}
