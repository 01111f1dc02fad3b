//! Synced tables: users who write while the worker reads and merges.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proxy::{Action, Proxy, Request, Schedule};
use serde_json::json;

use crate::support::{Config, Session, World};

fn config() -> Config {
    Config::new().records("Contact", 60).records("Account", 8).records("Case", 0)
}

fn world(every: &str) -> (World, Session) {
    let world = World::with_worker(config());
    let mut session = world.connect();
    world.follow_contacts(&mut session, every);
    (world, session)
}

/// A world whose requests pass by a proxy.
fn behind_proxy(every: &str) -> (World, Session, Proxy) {
    let world = World::with_worker(config());
    let proxy = Proxy::start(world.sandbox.url()).expect("the proxy starts");
    let mut session = world.connect();
    session.run(&format!("ALTER SERVER sf OPTIONS (SET base_url '{}')", proxy.url()));
    world.sandbox.set_instance_url(&proxy.url());
    world.follow_contacts(&mut session, every);
    (world, session, proxy)
}

fn is_poll(request: &Request) -> bool {
    request.path.contains("/queryAll") && request.path.contains("SystemModstamp")
}

#[test]
fn a_prepared_transaction_is_refused_or_kept_as_any_other() {
    let (world, mut session) = world("100 ms");
    let mut writer = world.connect();
    let id = world.sandbox.id("Contact", 1);
    let name = format!("'{}'", world.name);
    writer.run(&format!("BEGIN; UPDATE crm.contact SET title = 'Prepared' WHERE id = '{id}'"));
    match writer.try_rows(&format!("PREPARE TRANSACTION {name}")) {
        Ok(_) => {
            thread::sleep(Duration::from_millis(500));
            session.run(&format!("COMMIT PREPARED {name}"));
        }
        Err(failure) => assert_eq!(failure.code, "0A000", "{failure:#?}"),
    }
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Prepared");
    world.await_equal(&mut session, "Contact", "crm.contact");
    world.no_error(&mut session);
}

#[test]
fn a_transaction_that_stays_open_after_a_write_does_not_keep_changes_of_other_rows_away() {
    let (world, mut session) = world("100 ms");
    let mut writer = world.connect();
    let other = world.sandbox.id("Contact", 5);
    writer
        .run(&format!("BEGIN; UPDATE crm.contact SET title = 'Open' WHERE id = '{}'", world.sandbox.id("Contact", 4)));
    for round in 0..3 {
        world.upstream().update("Contact", &other, json!({"Title": format!("Round {round}")}));
        let begin = Instant::now();
        world.await_value(
            &mut session,
            &format!("SELECT title FROM crm.contact WHERE id = '{other}'"),
            &format!("Round {round}"),
        );
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
    // Other writers do not wait for it either.
    let mut longest = Duration::ZERO;
    for round in 0..40 {
        let begin = Instant::now();
        session.run(&format!("UPDATE crm.contact SET department = 'D{round}' WHERE id = '{other}'"));
        longest = longest.max(begin.elapsed());
        thread::sleep(Duration::from_millis(30));
    }
    println!("the longest wait of another writer: {longest:?}");
    assert!(longest < Duration::from_millis(1500), "{longest:?}");
    writer.run("COMMIT");
    world.await_equal(&mut session, "Contact", "crm.contact");
    world.no_error(&mut session);
}

#[test]
fn rows_locked_for_update_hold_up_neither_other_rows_nor_writers_and_change_when_they_are_free() {
    let (world, mut session) = world("100 ms");
    let mut holder = world.connect();
    let (held, other) = (world.sandbox.id("Contact", 5), world.sandbox.id("Contact", 6));
    holder.run(&format!("BEGIN; SELECT FROM crm.contact WHERE id = '{held}' FOR UPDATE"));
    world.upstream().update("Contact", &held, json!({"Title": "When free"}));
    for round in 0..3 {
        world.upstream().update("Contact", &other, json!({"Title": format!("Round {round}")}));
        let created = world.upstream().create("Contact", json!({"LastName": "Meanwhile"}));
        let begin = Instant::now();
        world.await_value(
            &mut session,
            &format!("SELECT title FROM crm.contact WHERE id = '{other}'"),
            &format!("Round {round}"),
        );
        world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{created}'"), "1");
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
    let begin = Instant::now();
    session.run(&format!("UPDATE crm.contact SET department = 'Written' WHERE id = '{other}'"));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    holder.run("COMMIT");
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{held}'"), "When free");
    world.no_error(&mut session);
}

#[test]
fn a_worker_has_its_turn_though_writers_never_pause() {
    let (world, mut session) = world("200 ms");
    world.sandbox.set_latency(Duration::from_millis(20));
    let stop = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        for writer in 0..3 {
            let (stop, mut session) = (stop.clone(), world.connect());
            let id = world.sandbox.id("Contact", writer);
            scope.spawn(move || {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    session.run(&format!("UPDATE crm.contact SET title = 'T{round}' WHERE id = '{id}'"));
                }
            });
        }
        let mut waits = Vec::new();
        for _ in 0..5 {
            let begin = Instant::now();
            let id = world.upstream().create("Contact", json!({"LastName": "In between"}));
            let here = format!("SELECT count(*) FROM crm.contact WHERE id = '{id}'");
            let seen = crate::support::wait_until(Duration::from_secs(8), || session.value(&here) == "1");
            waits.push(begin.elapsed());
            if !seen {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        println!("seen after {waits:?}");
        assert!(waits.iter().all(|wait| *wait < Duration::from_secs(8)), "{waits:?}");
    });
    world.await_equal(&mut session, "Contact", "crm.contact");
    world.no_error(&mut session);
}

#[test]
fn a_refresh_in_a_transaction_that_has_written_waits_for_nobody() {
    let (world, mut session) = world("100 ms");
    session.run("SET statement_timeout = '10 s'");
    for round in 0..3 {
        session.run(&format!(
            "BEGIN; UPDATE crm.contact SET title = 'Round {round}' WHERE id = '{}'",
            world.sandbox.id("Contact", 1)
        ));
        // A poll finds it, and cannot merge it.
        thread::sleep(Duration::from_millis(400));
        session.run("SELECT sequin.refresh('crm.contact'); COMMIT");
    }
    world.await_equal(&mut session, "Contact", "crm.contact");
    world.no_error(&mut session);
}

#[test]
fn rows_that_a_users_trigger_holds_back_do_not_stop_the_others() {
    let (world, mut session) = world("100 ms");
    let (kept, other) = (world.sandbox.id("Contact", 5), world.sandbox.id("Contact", 6));
    session.run(&format!(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id = '{kept}' THEN RETURN NULL; END IF; RETURN coalesce(NEW, OLD); END $$;
         CREATE TRIGGER hold BEFORE UPDATE OR DELETE ON crm.contact FOR EACH ROW EXECUTE FUNCTION hold()"
    ));
    for round in 0..2 {
        world.upstream().update("Contact", &kept, json!({"Title": format!("Held {round}")}));
        thread::sleep(Duration::from_millis(300));
        world.upstream().update("Contact", &other, json!({"Title": format!("Free {round}")}));
        world.await_value(
            &mut session,
            &format!("SELECT title FROM crm.contact WHERE id = '{other}'"),
            &format!("Free {round}"),
        );
    }
    world.upstream().delete(&kept);
    thread::sleep(Duration::from_millis(300));
    world.upstream().delete(&other);
    world.await_value(
        &mut session,
        &format!("SELECT count(*) FROM crm.contact WHERE id IN ('{other}', '{kept}')"),
        "1",
    );
}

#[test]
fn whoever_alters_or_locks_the_table_is_not_held_up_and_holds_up_no_other_table() {
    let (world, mut session) = world("100 ms");
    session.run("SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '100 ms')");
    world.await_current(&mut session, "crm.account");
    session.run("SET statement_timeout = '10 s'");
    for sql in [
        "CREATE INDEX CONCURRENTLY ON crm.contact (email)",
        "CREATE INDEX ON crm.contact (last_name)",
        "ALTER TABLE crm.contact ADD note text",
        "VACUUM FULL crm.contact",
        "ALTER TABLE crm.contact RENAME TO person",
        "ALTER TABLE crm.person SET SCHEMA public",
        "ALTER TABLE person RENAME TO contact",
        "ALTER TABLE contact SET SCHEMA crm",
        "REINDEX TABLE CONCURRENTLY crm.contact",
    ] {
        let begin = Instant::now();
        session.run(sql);
        assert!(begin.elapsed() < Duration::from_secs(5), "{sql}: {:?}", begin.elapsed());
    }
    let (contact, account) = (world.sandbox.id("Contact", 1), world.sandbox.id("Account", 1));
    session.run("BEGIN; LOCK TABLE crm.contact");
    world.upstream().update("Contact", &contact, json!({"Title": "Later"}));
    world.upstream().update("Account", &account, json!({"Description": "At once"}));
    let begin = Instant::now();
    world.await_value(&mut session, &format!("SELECT description FROM crm.account WHERE id = '{account}'"), "At once");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    session.run("COMMIT");
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{contact}'"), "Later");
    world.await_equal(&mut session, "Contact", "crm.contact");
    no_error_of_all(&mut session);
}

#[track_caller]
fn no_error_of_all(session: &mut Session) {
    assert_eq!(session.rows("SELECT * FROM sequin.sync_status WHERE last_error IS NOT NULL").len(), 0);
}

#[test]
fn users_who_lock_rows_and_write_them_while_the_worker_merges_never_deadlock() {
    let (world, mut session) = world("100 ms");
    let end = Instant::now() + Duration::from_secs(4);
    thread::scope(|scope| {
        for user in 0..4 {
            let mut session = world.connect();
            let ids: Vec<String> = (0..5).map(|n| world.sandbox.id("Contact", user * 10 + n)).collect();
            scope.spawn(move || {
                let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
                let mut round = 0;
                while Instant::now() < end {
                    round += 1;
                    session.run(&format!("BEGIN; SELECT FROM crm.contact WHERE id IN ({list}) FOR UPDATE; UPDATE crm.contact SET department = 'D{round}' WHERE id = '{}'", ids[round % 5]));
                    session.run("INSERT INTO crm.contact (last_name) VALUES ('Made'); COMMIT");
                }
            });
        }
        let upstream = world.upstream();
        let ids: Vec<String> = (0..40).map(|n| world.sandbox.id("Contact", n)).collect();
        scope.spawn(move || {
            let mut round = 0;
            while Instant::now() < end {
                round += 1;
                upstream.update_all("Contact", &ids, &json!({"Title": format!("U{round}")}));
                thread::sleep(Duration::from_millis(50));
            }
        });
    });
    world.await_equal(&mut session, "Contact", "crm.contact");
    world.no_error(&mut session);
}

#[test]
fn a_worker_that_waits_for_an_answer_holds_up_neither_stop_nor_drop() {
    let (world, mut session, proxy) = behind_proxy("100 ms");
    proxy.set(Schedule::always(Action::Hang).only(is_poll));
    thread::sleep(Duration::from_millis(500));
    session.run("SET statement_timeout = '5 s'");
    session.run("SELECT sequin.stop_sync('crm.contact')");
    proxy.set(Schedule::pass());
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')");
    world.await_equal(&mut session, "Contact", "crm.contact");
    proxy.set(Schedule::always(Action::Hang).only(is_poll));
    thread::sleep(Duration::from_millis(500));
    session.run("DROP TABLE crm.contact");
    assert!(crate::support::wait_until(Duration::from_secs(10), || session
        .rows("SELECT * FROM sequin.sync_status")
        .is_empty()));
}

/// Whoever refreshes waits for those who write, and for others who refresh. If two wait for each other, one is told.
#[test]
fn two_transactions_that_write_and_refresh_do_not_wait_for_each_other_for_ever() {
    let (world, mut session) = world("1 hour");
    session.run("SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '1 hour')");
    world.await_current(&mut session, "crm.account");
    let (one, two) = (world.sandbox.id("Contact", 1), world.sandbox.id("Contact", 2));
    let write = |id: &str| format!("UPDATE crm.contact SET title = 'Written' WHERE id = '{id}'");
    let refresh = |table: &str| format!("SELECT sequin.refresh('crm.{table}')");
    for (first, second, then_first, then_second) in [
        (write(&one), write(&two), refresh("contact"), refresh("contact")),
        (refresh("contact"), refresh("account"), refresh("account"), refresh("contact")),
    ] {
        let mut other = world.connect();
        for session in [&mut session, &mut other] {
            session.run("SET statement_timeout = '20 s'; BEGIN");
        }
        session.run(&first);
        other.run(&second);
        let outcomes = thread::scope(|scope| {
            let other = scope.spawn(move || {
                let outcome = other.try_rows(&then_second).err();
                other.run("ROLLBACK");
                outcome
            });
            let outcome = session.try_rows(&then_first).err();
            session.run("ROLLBACK");
            [outcome, other.join().expect("the thread ends")]
        });
        let codes: Vec<&str> = outcomes.iter().flatten().map(|failure| failure.code.as_str()).collect();
        assert_eq!(codes, ["40P01"], "{outcomes:#?}");
    }
    session.run("SELECT sequin.refresh('crm.contact')");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_refresh_waits_for_whoever_sets_the_options_and_asks_nothing_meanwhile() {
    let world = World::new(config().static_token("upstream"));
    let mut session = world.connect();
    let start =
        |every: &str| format!("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '{every}')");
    session.run(&format!("CREATE SCHEMA crm; {}", start("1 hour")));
    let mut other = world.connect();
    other.run(&format!("BEGIN; {}", start("2 hours")));
    world.sandbox.clear_requests();
    session.run("SET statement_timeout = '700 ms'");
    session.fails_with("57014", "SELECT sequin.refresh('crm.contact')");
    assert!(world.requests().is_empty(), "{:#?}", world.queries());
    other.run("COMMIT");
    session.run("RESET statement_timeout");
    assert_eq!(session.value("SELECT sequin.refresh('crm.contact')"), "60");
}

#[test]
fn a_trigger_that_refreshes_another_table_leaves_the_records_at_hand_to_the_merge() {
    let (world, mut session) = world("1 hour");
    session.run(
        "SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '1 hour');
         CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM sequin.refresh('crm.account'); RETURN NULL; END $$;
         CREATE TRIGGER also AFTER INSERT OR UPDATE ON crm.contact FOR EACH ROW EXECUTE FUNCTION also()",
    );
    world.await_current(&mut session, "crm.account");
    world.upstream().create("Contact", json!({"LastName": "New"}));
    world.upstream().update("Contact", &world.sandbox.id("Contact", 1), json!({"Title": "Changed"}));
    let (_, queries) = world.queries_of(|| session.run("SELECT sequin.refresh('crm.contact')"));
    let contacts: Vec<_> = queries.iter().filter(|query| query.contains("FROM Contact")).collect();
    assert!(contacts.len() == 1 && contacts[0].contains("SystemModstamp"), "{contacts:#?}");
    world.await_equal(&mut session, "Contact", "crm.contact");
}
