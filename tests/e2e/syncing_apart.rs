//! Synced tables: what code of one table's owner does (triggers, constraints), and what it costs the other tables.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Cluster, Config, Session, World, wait_until};

const STATE: &str =
    "SELECT state || ': ' || coalesce(last_error, '') FROM sequin.sync_status WHERE target = 'crm.contact'::regclass";

/// How long one table's code may hold up the others: 4 s, the start of another worker, and what a busy machine takes.
const FEW_SECONDS: Duration = Duration::from_secs(12);

/// Contacts and accounts are followed.
fn world() -> (World, Session) {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
    session.run("SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '100 ms')");
    world.await_current(&mut session, "crm.account");
    (world, session)
}

/// A trigger of `crm.contact` that runs this before each update.
fn trigger(session: &mut Session, body: &str) {
    session.run(&format!(
        "CREATE FUNCTION public.code() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$;
         CREATE TRIGGER code BEFORE UPDATE ON crm.contact FOR EACH ROW EXECUTE FUNCTION public.code()"
    ));
}

fn change_contacts(world: &World, title: &str) {
    let ids: Vec<String> = (0..60).map(|n| world.sandbox.id("Contact", n)).collect();
    world.upstream().update_all("Contact", &ids, &json!({ "Title": title }));
}

/// Changes an account again and again for so long. How long the slowest change took to arrive.
fn slowest_account(world: &World, session: &mut Session, time: Duration) -> Duration {
    let (id, begin, mut slowest) = (world.sandbox.id("Account", 1), Instant::now(), Duration::ZERO);
    for round in 0.. {
        let name = format!("Round {round}");
        let sent = Instant::now();
        world.upstream().update("Account", &id, json!({ "Name": name }));
        world.await_value(session, &format!("SELECT name FROM crm.account WHERE id = '{id}'"), &name);
        slowest = slowest.max(sent.elapsed());
        if begin.elapsed() > time {
            break;
        }
        thread::sleep(Duration::from_millis(300));
    }
    slowest
}

#[track_caller]
fn others_wait_for_seconds_alone(world: &World, session: &mut Session) {
    let slowest = slowest_account(world, session, Duration::from_secs(15));
    assert!(slowest < FEW_SECONDS, "another table's change took {slowest:?}");
}

/// The table fails with an error that has these words; without its trigger it is soon current again.
#[track_caller]
fn is_told_and_mended(world: &World, session: &mut Session, words: &str) {
    let told = wait_until(Duration::from_secs(20), || session.value(STATE).contains(words));
    assert!(told, "{}", session.value(STATE));
    assert!(session.value(STATE).starts_with("failing"), "{}", session.value(STATE));
    let begin = Instant::now();
    session.run("DROP TRIGGER code ON crm.contact");
    assert!(begin.elapsed() < FEW_SECONDS, "DROP TRIGGER took {:?}", begin.elapsed());
    world.await_equal(session, "Contact", "crm.contact");
    world.await_current(session, "crm.contact");
}

#[test]
fn a_trigger_that_catches_its_cancel_again_and_again_holds_up_others_for_seconds_and_is_told() {
    let (world, mut session) = world();
    trigger(&mut session, "LOOP BEGIN PERFORM pg_sleep(0.2); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP");
    change_contacts(&world, "Changed");
    others_wait_for_seconds_alone(&world, &mut session);
    is_told_and_mended(&world, &mut session, "did not end when it was cancelled");
}

#[test]
fn a_trigger_that_sleeps_holds_up_others_for_seconds_and_is_told() {
    let (world, mut session) = world();
    trigger(&mut session, "PERFORM pg_sleep(25)");
    change_contacts(&world, "Changed");
    others_wait_for_seconds_alone(&world, &mut session);
    is_told_and_mended(&world, &mut session, "took more than 3 s");
}

#[test]
fn a_trigger_that_refreshes_its_own_table_is_refused_and_holds_up_no_other() {
    let (world, mut session) = world();
    trigger(&mut session, "PERFORM sequin.refresh('crm.contact')");
    change_contacts(&world, "Changed");
    others_wait_for_seconds_alone(&world, &mut session);
    is_told_and_mended(&world, &mut session, "sequin.refresh()");
}

#[test]
fn a_deferred_trigger_that_never_ends_holds_up_others_for_seconds_alone() {
    let (world, mut session) = world();
    session.run(
        "CREATE FUNCTION public.code() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           LOOP BEGIN PERFORM pg_sleep(0.2); EXCEPTION WHEN OTHERS OR query_canceled THEN NULL; END; END LOOP; END $$;
         CREATE CONSTRAINT TRIGGER code AFTER UPDATE ON crm.contact DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION public.code()",
    );
    change_contacts(&world, "Changed");
    others_wait_for_seconds_alone(&world, &mut session);
    is_told_and_mended(&world, &mut session, "did not end when it was cancelled");
}

#[test]
fn a_constraint_that_never_ends_holds_up_others_for_seconds_alone() {
    let (world, mut session) = world();
    session.run(
        "CREATE FUNCTION public.endless(title text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
           WHILE title = 'Changed' LOOP
             BEGIN PERFORM pg_sleep(0.2); EXCEPTION WHEN query_canceled THEN NULL; END;
           END LOOP; RETURN true; END $$;
         ALTER TABLE crm.contact ADD CONSTRAINT endless CHECK (public.endless(title))",
    );
    change_contacts(&world, "Changed");
    others_wait_for_seconds_alone(&world, &mut session);
    assert!(session.value(STATE).contains("did not end"), "{}", session.value(STATE));
    session.run("ALTER TABLE crm.contact DROP CONSTRAINT endless");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn what_is_slow_for_all_records_of_a_page_arrives_in_small_parts() {
    let (world, mut session) = world();
    // 6 s for all of them: more than a transaction may take.
    trigger(&mut session, "PERFORM pg_sleep(0.1)");
    change_contacts(&world, "Changed");
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE title = 'Changed'", "60");
    world.await_equal(&mut session, "Contact", "crm.contact");
    world.await_current(&mut session, "crm.contact");
}

#[test]
fn records_that_are_gone_leave_in_small_parts_if_that_is_slow_too() {
    let (world, mut session) = world();
    session.run(
        "CREATE FUNCTION public.code() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN OLD; END $$;
         CREATE TRIGGER code BEFORE DELETE ON crm.contact FOR EACH ROW EXECUTE FUNCTION public.code()",
    );
    let ids: Vec<String> = (0..55).map(|n| world.sandbox.id("Contact", n)).collect();
    for id in ids {
        world.upstream().delete(&id);
    }
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact", "5");
    world.await_current(&mut session, "crm.contact");
}

#[test]
fn an_error_of_a_trigger_that_looks_like_a_lock_is_told_and_keeps_no_other_record_waiting() {
    let (world, mut session) = world();
    trigger(&mut session, "IF NEW.title = 'Bad' THEN RAISE 'not to be had' USING errcode = '55P03'; END IF");
    let (bad, good) = (world.sandbox.id("Contact", 1), world.sandbox.id("Contact", 2));
    world.upstream().update("Contact", &bad, json!({"Title": "Bad"}));
    world.upstream().update("Contact", &good, json!({"Title": "Good"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{good}'"), "Good");
    world.await_true(
        &mut session,
        "SELECT last_error LIKE '%not to be had%' FROM sequin.sync_status WHERE target = 'crm.contact'::regclass",
    );
    assert!(session.value(STATE).contains(&bad), "{}", session.value(STATE));
    session.run("DROP TRIGGER code ON crm.contact");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_lock_that_a_trigger_cannot_get_is_told_and_keeps_no_other_record_waiting() {
    let (world, mut session) = world();
    session.run("CREATE TABLE public.ledger (id int)");
    trigger(&mut session, "IF NEW.title = 'Bad' THEN LOCK TABLE public.ledger; END IF");
    let mut holder = world.connect();
    holder.run("BEGIN; LOCK TABLE public.ledger");
    let (bad, good) = (world.sandbox.id("Contact", 1), world.sandbox.id("Contact", 2));
    world.upstream().update("Contact", &bad, json!({"Title": "Bad"}));
    world.upstream().update("Contact", &good, json!({"Title": "Good"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{good}'"), "Good");
    world.await_true(
        &mut session,
        "SELECT last_error LIKE '%lock timeout%' FROM sequin.sync_status WHERE target = 'crm.contact'::regclass",
    );
    holder.run("COMMIT");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_row_that_somebody_holds_a_foreign_key_to_is_waited_for_without_an_error() {
    let (world, mut session) = world();
    session.run(
        "CREATE TABLE public.region (name text PRIMARY KEY); INSERT INTO public.region VALUES ('North');
         ALTER TABLE crm.contact ADD COLUMN region text DEFAULT 'North' REFERENCES public.region",
    );
    let mut holder = world.connect();
    holder.run("BEGIN; SELECT FROM public.region FOR UPDATE");
    let new = world.upstream().create("Contact", json!({"LastName": "New"}));
    thread::sleep(Duration::from_secs(4));
    assert_eq!(session.value(STATE), "current: ");
    holder.run("COMMIT");
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{new}'"), "1");
}

#[test]
fn what_a_constraint_reads_of_the_foreign_table_is_what_the_api_has_in_the_worker_too() {
    let (world, mut session) = world();
    // One column of the foreign table is not synced, and the function reads it.
    session.run(
        "CREATE TABLE public.seen (contacts bigint, emails bigint);
         CREATE FUNCTION public.look() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO public.seen SELECT count(*), count(email) FROM salesforce.contact WHERE last_name IS NOT NULL;
           RETURN true; END $$;
         ALTER TABLE crm.contact DROP COLUMN email;
         ALTER TABLE crm.contact ADD CONSTRAINT look CHECK (public.look()) NOT VALID; TRUNCATE public.seen",
    );
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": "Changed"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Changed");
    let new = world.upstream().create("Contact", json!({"LastName": "New", "Email": "new@example.com"}));
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{new}'"), "1");
    let there = session.value("SELECT count(*) || ' ' || count(email) FROM salesforce.contact");
    assert_eq!(
        session.column("SELECT DISTINCT contacts || ' ' || emails FROM public.seen WHERE contacts = 61"),
        [there],
        "{:?}",
        session.rows("TABLE public.seen")
    );
    assert_eq!(session.value("SELECT min(contacts) FROM public.seen"), "60");
    assert_eq!(session.value(STATE), "current: ");
    // A refresh is no other.
    world.upstream().update("Contact", &id, json!({"Title": "Again"}));
    session.run("SELECT sequin.refresh('crm.contact')");
    assert_eq!(session.value("SELECT max(contacts) || ' ' || min(contacts) FROM public.seen"), "61 60");
}

#[test]
fn workers_that_are_asked_for_in_vain_are_started_ever_more_rarely() {
    let cluster = Cluster::private(&[("log_min_messages", "debug1")]);
    let world = World::with_worker_in(cluster, Config::new().records("Contact", 60).records("Account", 8));
    let mut admin = world.as_superuser();
    let starts = || {
        let log = world.cluster().log_text();
        log.lines().filter(|line| line.contains("starting background worker process \"sequin_fdw worker\"")).count()
    };
    let (before, begin) = (starts(), Instant::now());
    let mut asked = 0;
    while begin.elapsed() < Duration::from_secs(8) {
        // The statement's trigger asks for a worker, though there is nothing to do.
        admin.run("DELETE FROM sequin.sync");
        asked += 1;
    }
    let starts = starts() - before;
    assert!(asked > 100 && starts <= 12, "{starts} workers started, asked for {asked} times");
    // Work is begun all the same, after a pause that is not long yet.
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
}

#[test]
fn what_is_put_into_a_table_with_names_beyond_ascii_is_at_hand_in_a_latin1_database_too() {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let latin = format!("{}_latin", world.name);
    let words = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    world.as_superuser().run(&format!("CREATE DATABASE \"{latin}\" {words}"));
    let mut session = world.as_superuser_in(&latin);
    session.run("CREATE EXTENSION sequin_fdw");
    session.run(&world.server("sf", ""));
    session.run(&world.mapping("sf"));
    session.run(
        "CREATE SCHEMA salesforce; CREATE SCHEMA crm;
         CREATE FOREIGN TABLE salesforce.contact (id text OPTIONS (field 'Id', key 'true'), \"größe\" numeric OPTIONS (field 'Score__c'))
           SERVER sf OPTIONS (object 'Contact')",
    );
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '1 day')");
    world.await_current(&mut session, "crm.contact");
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Score__c": 4.5}));
    let ((), queries) = world.queries_of(|| session.run("SELECT sequin.refresh('crm.contact')"));
    assert_eq!(session.value(&format!("SELECT \"größe\" = 4.5 FROM crm.contact WHERE id = '{id}'")), "t");
    assert!(queries.iter().all(|query| query.contains("WHERE")), "all records were asked for: {queries:#?}");
}

#[test]
fn rows_that_the_api_has_not_leave_in_small_parts_and_those_that_stay_hold_up_nothing() {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    // Slow inserts make the parts small. The first rows in the order of the keys stay.
    session.run(
        "CREATE SCHEMA crm; CREATE TABLE crm.contact (LIKE salesforce.contact, PRIMARY KEY (id));
         INSERT INTO crm.contact (id) SELECT '00' || n FROM generate_series(1, 8) n;
         INSERT INTO crm.contact (id) SELECT 'old' || n FROM generate_series(1, 45000) n;
         CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON crm.contact FOR EACH ROW EXECUTE FUNCTION public.slow();
         CREATE TABLE public.tries (id text);
         CREATE FUNCTION public.code() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF OLD.id ~ '^old' THEN RETURN OLD; END IF;
           INSERT INTO public.tries VALUES (OLD.id); RETURN NULL; END $$;
         CREATE TRIGGER code BEFORE DELETE ON crm.contact FOR EACH ROW EXECUTE FUNCTION public.code();
         SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')",
    );
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE id ~ '^old'", "0");
    world.await_current(&mut session, "crm.contact");
    assert_eq!(session.value("SELECT count(*) FROM crm.contact"), "68");
    let tries = session.number("SELECT max(count) FROM (SELECT count(*) FROM public.tries GROUP BY id) AS of");
    assert!(tries <= 3, "each was to be deleted {tries} times");
}

#[test]
fn a_row_that_somebody_holds_keeps_no_other_part_waiting() {
    let (world, mut session) = world();
    // Parts come to be of a few records each.
    trigger(&mut session, "PERFORM pg_sleep(0.1)");
    change_contacts(&world, "Slow");
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE title = 'Slow'", "60");
    let mut holder = world.connect();
    let held = world.sandbox.id("Contact", 0);
    holder.run(&format!("BEGIN; SELECT FROM crm.contact WHERE id = '{held}' FOR UPDATE"));
    change_contacts(&world, "Again");
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE title = 'Again'", "59");
    holder.run("COMMIT");
    world.await_equal(&mut session, "Contact", "crm.contact");
    world.await_current(&mut session, "crm.contact");
}

#[test]
fn many_tables_whose_code_never_ends_hold_up_another_no_longer_than_one_does_once_each_has_failed() {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    session.run(
        "CREATE SCHEMA crm; CREATE FUNCTION public.code() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           LOOP BEGIN PERFORM pg_sleep(0.2); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$",
    );
    let tables: Vec<String> = (0..8).map(|n| format!("crm.contact{n}")).collect();
    for table in &tables {
        session.run(&format!("SELECT sequin.start_sync('salesforce.contact', '{table}', every => '100 ms')"));
        world.await_current(&mut session, table);
        session
            .run(&format!("CREATE TRIGGER code BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.code()"));
    }
    session.run("SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '100 ms')");
    world.await_current(&mut session, "crm.account");
    change_contacts(&world, "Changed");
    let failing = "SELECT count(*) FROM sequin.sync_status WHERE state = 'failing'";
    let all = wait_until(Duration::from_secs(150), || session.value(failing) == "8");
    assert!(all, "{:?}", session.rows("SELECT * FROM sequin.sync_status"));
    let slowest = slowest_account(&world, &mut session, Duration::from_secs(60));
    assert!(slowest < FEW_SECONDS, "another table's change took {slowest:?}");
}

#[test]
fn a_lock_that_a_constraint_cannot_get_is_told_and_keeps_no_other_record_waiting() {
    let (world, mut session) = world();
    // No statement of the function waits, but the function itself.
    session.run(
        "CREATE FUNCTION public.look(title text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
           RETURN title <> 'Bad' OR pg_advisory_xact_lock(42) IS NOT NULL; END $$;
         ALTER TABLE crm.contact ADD CONSTRAINT look CHECK (public.look(title))",
    );
    let mut holder = world.connect();
    holder.run("BEGIN; SELECT pg_advisory_xact_lock(42)");
    let (bad, good) = (world.sandbox.id("Contact", 1), world.sandbox.id("Contact", 2));
    world.upstream().update("Contact", &bad, json!({"Title": "Bad"}));
    world.upstream().update("Contact", &good, json!({"Title": "Good"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{good}'"), "Good");
    world.await_true(
        &mut session,
        "SELECT last_error LIKE '%lock timeout%' FROM sequin.sync_status WHERE target = 'crm.contact'::regclass",
    );
    holder.run("COMMIT");
    world.await_equal(&mut session, "Contact", "crm.contact");
}
