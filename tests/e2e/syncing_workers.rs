//! Synced tables: when the launcher starts workers, and what workers outlive.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Cluster, Config, Session, World, wait_until};

fn config() -> Config {
    Config::new().records("Contact", 60).records("Account", 8).records("Case", 0)
}

fn world_in(cluster: Arc<Cluster>) -> (World, Session) {
    let world = World::with_worker_in(cluster, config());
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
    (world, session)
}

/// Waits until a change at the API arrives.
#[track_caller]
fn goes_on(world: &World, session: &mut Session, title: &str) {
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": title}));
    world.await_value(session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), title);
}

/// How often somebody was refused with these words.
fn refusals(world: &World, words: &str) -> usize {
    world.cluster().log_text().lines().filter(|line| line.contains("FATAL") && line.contains(words)).count()
}

#[test]
fn a_table_whose_start_was_prepared_is_filled_once_that_is_committed() {
    let world = World::with_worker(config());
    // The database has been looked into by then, and there was nothing to do.
    thread::sleep(Duration::from_secs(6));
    assert_eq!(world.worker(), None);
    let mut session = world.connect();
    session.run("CREATE SCHEMA crm; BEGIN");
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')");
    session.run(&format!("PREPARE TRANSACTION '{}'", world.name));
    drop(session);
    thread::sleep(Duration::from_secs(2));
    let mut session = world.connect();
    session.run(&format!("COMMIT PREPARED '{}'", world.name));
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_database_that_had_nothing_to_do_is_looked_into_again_though_nobody_says_so() {
    let world = World::with_worker_in(Cluster::private(&[]), config());
    thread::sleep(Duration::from_secs(6));
    assert_eq!(world.worker(), None);
    let mut admin = world.as_superuser();
    // No trigger runs.
    admin.run(&format!("SET session_replication_role = replica; SET ROLE \"{}\"; CREATE SCHEMA crm", world.name));
    admin.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')");
    drop(admin);
    assert!(wait_until(Duration::from_secs(90), || world.worker().is_some()), "the database is looked into");
    world.await_equal(&mut world.connect(), "Contact", "crm.contact");
}

#[test]
fn nobody_connects_to_an_invalid_database() {
    let (world, session) = world_in(Cluster::private(&[]));
    drop(session);
    let mut admin = world.as_superuser_in("postgres");
    let mut limit = |limit: i32| {
        admin.run(&format!("UPDATE pg_database SET datconnlimit = {limit} WHERE datname = '{}'", world.name));
    };
    let pid = world.await_worker();
    // What an interrupted DROP DATABASE leaves.
    limit(-2);
    world.as_superuser_in("postgres").run(&format!("SELECT pg_terminate_backend({pid})"));
    thread::sleep(Duration::from_secs(12));
    assert_eq!(refusals(&world, "invalid database"), 0, "{}", world.cluster().log_text());
    limit(-1);
    goes_on(&world, &mut world.connect(), "Valid again");
}

#[test]
fn a_database_that_cannot_be_connected_to_is_tried_ever_more_rarely() {
    let (world, mut session) = world_in(Cluster::private(&[]));
    let oid = session.value("SELECT oid FROM pg_database WHERE datname = current_database()");
    let file = world.cluster().data().join("base").join(oid).join("PG_VERSION");
    let aside = file.with_extension("aside");
    let pid = world.await_worker();
    fs::rename(&file, &aside).expect("the file is there");
    world.as_superuser_in("postgres").run(&format!("SELECT pg_terminate_backend({pid})"));
    thread::sleep(Duration::from_secs(27));
    let tries = refusals(&world, "not a valid data directory");
    fs::rename(&aside, &file).expect("it is still there");
    assert!((1..=3).contains(&tries), "{tries} tries in 27 s\n{}", world.cluster().log_text());
    goes_on(&world, &mut session, "There again");
}

#[test]
fn a_worker_that_is_ended_is_back_soon() {
    let (world, mut session) = world_in(Cluster::preloaded());
    let mut admin = world.as_superuser();
    for round in 0..2 {
        let pid = world.await_worker();
        admin.run(&format!("SELECT pg_terminate_backend({pid})"));
        let back = || world.worker().is_some_and(|new| new != pid);
        assert!(wait_until(Duration::from_secs(11), back), "the worker is started again");
        goes_on(&world, &mut session, &format!("Round {round}"));
    }
}

#[test]
fn a_cancel_does_not_end_the_worker() {
    let (world, mut session) = world_in(Cluster::preloaded());
    let mut admin = world.as_superuser();
    let pid = world.await_worker();
    for _ in 0..100 {
        admin.run(&format!("SELECT pg_cancel_backend({pid})"));
        thread::sleep(Duration::from_millis(20));
    }
    goes_on(&world, &mut session, "Not cancelled");
    assert_eq!(world.worker(), Some(pid));
}

#[test]
fn a_cancel_ends_what_the_worker_is_in_the_middle_of_and_the_log_says_so() {
    let (world, mut session) = world_in(Cluster::preloaded());
    let mut admin = world.as_superuser();
    let pid = world.await_worker();
    session.run(
        "CREATE TABLE slow (); INSERT INTO slow DEFAULT VALUES;
         CREATE FUNCTION dream() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM pg_sleep(600) FROM public.slow; RETURN NULL; END $$;
         CREATE TRIGGER dream AFTER UPDATE ON crm.contact FOR EACH ROW EXECUTE FUNCTION dream()",
    );
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": "Slow"}));
    let sleeps = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'");
    assert!(wait_until(Duration::from_secs(20), || admin.value(&sleeps) == "1"), "the trigger runs");
    session.run("DELETE FROM slow");
    admin.run(&format!("SELECT pg_cancel_backend({pid})"));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Slow");
    assert_eq!(world.worker(), Some(pid));
    let process = format!("[{pid}]");
    let log = world.cluster().log_text();
    assert!(log.lines().any(|line| line.contains(&process) && line.contains("canceling statement")), "{log}");
}
