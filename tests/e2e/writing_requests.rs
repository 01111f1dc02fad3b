//! What writing costs, in requests; what RETURNING returns; and records that are gone when they are to be changed.

use std::collections::HashSet;
use std::fmt::Write;

use serde_json::json;

use crate::support::{Config, Session, World, fields, fields_sent};

fn world(contacts: u32) -> World {
    // A contact with an escalated case cannot be deleted.
    World::new(Config::new().records("Contact", contacts).records("Account", 10).records("Case", 0))
}

fn methods(world: &World) -> Vec<String> {
    world.writes().into_iter().map(|request| request.method).collect()
}

#[test]
fn ten_thousand_rows_are_fifty_requests() {
    let world = world(0);
    let mut session = world.connect();
    let count = session.count(
        "INSERT INTO salesforce.contact (last_name, title) SELECT 'number ' || n, 'bulk' FROM generate_series(1, 10000) AS n",
    );
    assert_eq!(count, 10_000);
    assert_eq!((world.writes().len(), world.requests().len()), (50, 50));
    let names: HashSet<_> = world.records("Contact").into_iter().map(|record| record["LastName"].clone()).collect();
    assert_eq!((names.len(), world.count("Contact", "Title", "bulk")), (10_000, 10_000));
}

#[test]
fn five_hundred_rows_return_their_ids_and_values_in_input_order() {
    let world = world(0);
    let mut session = world.connect();
    let rows = session.rows(
        "INSERT INTO salesforce.contact (first_name, last_name) SELECT 'Ada', 'number ' || n FROM generate_series(1, 500) AS n RETURNING id, name, last_name",
    );
    assert!(world.requests().len() <= 10, "{:#?}", world.requests());
    assert_eq!(world.writes().len(), 3);
    assert_eq!(rows.len(), 500);
    for (at, row) in rows.iter().enumerate() {
        let wanted = format!("number {}", at + 1);
        assert_eq!(row[2].as_deref(), Some(wanted.as_str()));
        assert_eq!(row[1].as_deref(), Some(format!("Ada {wanted}").as_str()));
    }
    let held: HashSet<_> =
        world.records("Contact").into_iter().map(|it| (it["Id"].clone(), it["Name"].clone())).collect();
    assert!(rows.iter().all(|row| held.contains(&(row[0].clone(), row[1].clone()))));
}

#[test]
fn returning_nothing_but_the_id_reads_nothing_back() {
    let world = world(0);
    let mut session = world.connect();
    let ids = session
        .column("INSERT INTO salesforce.contact (last_name) SELECT 'n' FROM generate_series(1, 450) RETURNING id");
    assert_eq!((ids.len(), world.requests().len()), (450, 3));
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 450);
}

#[test]
fn a_copy_of_450_rows_is_three_requests() {
    let world = world(0);
    let mut session = world.connect();
    let mut lines = String::new();
    for number in 1..=450 {
        writeln!(lines, "number {number}\t{}", if number % 2 == 0 { "\\N" } else { "odd" }).unwrap();
    }
    assert_eq!(session.copy("COPY salesforce.contact (last_name, title) FROM STDIN", &lines), 450);
    assert_eq!((methods(&world), world.requests().len()), (vec!["POST".to_owned(); 3], 3));
    let sizes: Vec<_> = world.writes().iter().map(|request| fields_sent(request).len()).collect();
    assert_eq!(sizes, [200, 200, 50]);
    let records = world.records("Contact");
    assert_eq!(records.iter().map(|record| &record["LastName"]).collect::<HashSet<_>>().len(), 450);
    assert_eq!(world.count("Contact", "Title", "odd"), 225);
}

#[test]
fn a_copy_takes_defaults_conditions_quotes_and_no_rows() {
    let world = world(0);
    let mut session = world.connect();
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN department SET DEFAULT 'from here'");
    let csv = "last_name,title,languages__c\n\"a,\"\"b\"\"\nc\",,\"{English,Deutsch}\"\nskipped,x,\n";
    let sql = "COPY salesforce.contact (last_name, title, languages__c) FROM STDIN (FORMAT csv, HEADER) WHERE last_name <> 'skipped'";
    let (count, sent) = world.sent_by(|| session.copy(sql, csv));
    assert_eq!(count, 1);
    assert_eq!(
        sent,
        [fields(json!({"LastName": "a,\"b\"\nc", "Languages__c": "English;Deutsch", "Department": "from here"}))]
    );
    let (count, writes) = world.writes_of(|| session.copy("COPY salesforce.contact (last_name) FROM STDIN", ""));
    assert_eq!((count, writes.len()), (0, 0));
    let (failure, writes) = world.writes_of(|| {
        session.try_copy("COPY salesforce.contact (last_name, birthdate) FROM STDIN", "a\t2024-01-01\nb\tx\n")
    });
    assert_eq!(failure.unwrap_err().code, "22007");
    assert!(writes.is_empty(), "a broken line within the first batch: nothing is sent");
    assert_eq!(world.records("Contact").len(), 1);
}

#[test]
fn two_thousand_updated_rows_are_ten_requests() {
    let world = world(2000);
    let mut session = world.connect();
    let account = session.column("SELECT id FROM salesforce.account LIMIT 1").swap_remove(0);
    for (sql, counted) in [
        ("UPDATE salesforce.contact SET description = 'about ' || id".to_owned(), 2000),
        ("UPDATE salesforce.contact SET department = 'constant' WHERE is_deleted = false".to_owned(), 2000),
        (
            format!(
                "UPDATE salesforce.contact SET title = 'other' WHERE account_id IS NULL OR account_id <> '{account}'"
            ),
            0,
        ),
    ] {
        let (count, writes) = world.writes_of(|| session.count(&sql));
        assert!(count == counted || counted == 0 && count > 1000, "{sql}: {count}");
        assert!(
            writes.len() <= 10 && writes.iter().all(|request| request.method == "PATCH"),
            "{sql}: {}",
            writes.len()
        );
    }
    assert_eq!(world.count("Contact", "Department", "constant"), 2000);
    let told = |record: &&_| -> bool {
        let record: &std::collections::BTreeMap<String, Option<String>> = record;
        record["Description"].as_deref() == record["Id"].as_deref().map(|id| format!("about {id}")).as_deref()
    };
    assert_eq!(world.records("Contact").iter().filter(told).count(), 2000);
}

#[test]
fn a_delete_of_450_rows_is_three_requests() {
    let world = world(460);
    let mut session = world.connect();
    session.run("CREATE TABLE doomed AS SELECT id FROM salesforce.contact LIMIT 450");
    let (count, writes) =
        world.writes_of(|| session.count("DELETE FROM salesforce.contact WHERE id IN (SELECT id FROM doomed)"));
    assert_eq!((count, writes.len()), (450, 3));
    assert!(writes.iter().all(|request| request.method == "DELETE"), "{writes:#?}");
    assert_eq!(world.records("Contact").len(), 10);
    assert_eq!(session.number("SELECT count(*) FROM doomed d JOIN salesforce.contact c ON c.id = d.id"), 0);
}

#[test]
fn a_statement_without_rows_sends_nothing_that_writes() {
    let world = world(10);
    let mut session = world.connect();
    for sql in [
        "INSERT INTO salesforce.contact (last_name) SELECT 'x' WHERE false",
        "UPDATE salesforce.contact SET title = 'x' WHERE last_name = 'nobody at all'",
        "DELETE FROM salesforce.contact WHERE id = 'nonsense'",
        "UPDATE salesforce.contact SET title = title",
    ] {
        let (_, writes) = world.writes_of(|| session.count(sql));
        assert!(writes.is_empty(), "{sql}: {writes:#?}");
    }
}

#[test]
fn batches_end_by_bytes_too() {
    let world = World::new(Config::new().records("Every_Type__c", 0));
    let mut session = world.connect();
    world.import(&mut session, "every_type__c");
    let sql = "INSERT INTO salesforce.every_type__c (text__c, long_text__c) SELECT n::text, repeat('x', 100000) FROM generate_series(1, 200) AS n RETURNING text__c, length(long_text__c)";
    let rows = session.rows(sql);
    assert!(
        rows.iter()
            .enumerate()
            .all(|(at, row)| row[0] == Some((at + 1).to_string()) && row[1].as_deref() == Some("100000"))
    );
    let bodies: Vec<_> = world.writes().iter().map(|request| request.body.len()).collect();
    assert!(bodies.len() > 1 && bodies.iter().all(|length| *length < 6 << 20), "{bodies:?}");
    assert_eq!(world.records("Every_Type__c").len(), 200);
}

/// Runs a statement that waits at its first row until three records, which it has read, are deleted by somebody else.
fn while_three_vanish(world: &World, sql: &str) -> (u64, Vec<String>) {
    let mut session = world.connect();
    session.run(
        "CREATE FUNCTION gate() RETURNS boolean VOLATILE LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_advisory_lock_shared(42); PERFORM pg_advisory_unlock_shared(42); RETURN true; END'",
    );
    let mut other = world.connect();
    let ids: Vec<_> = [5, 205, 449].into_iter().map(|index| world.sandbox.id("Contact", index)).collect();
    other.run("SELECT pg_advisory_lock(42)");
    world.sandbox.clear_requests();
    let count = std::thread::scope(|scope| {
        let running = scope.spawn(|| session.count(sql));
        world.await_request("/query");
        // The statement waits at the gate once it has the page.
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while other.number(waits) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
        assert_eq!(other.count(&format!("DELETE FROM salesforce.contact WHERE id IN ({list})")), 3);
        other.run("SELECT pg_advisory_unlock(42)");
        running.join().expect("it succeeds")
    });
    (count, ids)
}

fn gone_as_deleted(so: bool, contacts: u32) -> World {
    let config = Config::new().records("Contact", contacts).records("Case", 0);
    World::new(config.switches(move |switches| switches.gone_as_deleted = so))
}

#[test]
fn records_that_vanish_while_they_are_updated_do_not_count() {
    for so in [true, false] {
        let world = gone_as_deleted(so, 450);
        let (count, ids) = while_three_vanish(&world, "UPDATE salesforce.contact SET department = 'd' || gate()");
        assert_eq!(count, 447, "gone_as_deleted {so}");
        assert_eq!(world.count("Contact", "Department", "dtrue"), 447);
        assert!(world.records("Contact").iter().all(|record| !ids.contains(record["Id"].as_ref().unwrap())));
    }
}

#[test]
fn records_that_vanish_while_they_are_deleted_do_not_count() {
    for so in [true, false] {
        let world = gone_as_deleted(so, 450);
        let (count, _) = while_three_vanish(&world, "DELETE FROM salesforce.contact WHERE gate()");
        assert_eq!(count, 447, "gone_as_deleted {so}");
        assert!(world.records("Contact").is_empty());
    }
}

#[test]
fn records_that_vanish_are_not_returned() {
    for so in [true, false] {
        for sql in [
            "WITH w AS (UPDATE salesforce.contact SET department = 'd' || gate() RETURNING id, department, name) INSERT INTO seen SELECT id FROM w WHERE department = 'dtrue' AND name <> ''",
            "WITH w AS (DELETE FROM salesforce.contact WHERE gate() RETURNING id, name) INSERT INTO seen SELECT id FROM w WHERE name <> ''",
        ] {
            let world = gone_as_deleted(so, 450);
            let mut session = world.connect();
            session.run("CREATE TABLE seen (id text PRIMARY KEY)");
            let (count, ids) = while_three_vanish(&world, sql);
            assert_eq!(count, 447, "{sql}");
            let seen = session.column("SELECT id FROM seen");
            assert!(seen.iter().all(|id| !ids.contains(id)));
        }
    }
}

#[test]
fn a_whole_batch_that_vanishes_counts_nothing() {
    for so in [true, false] {
        let world = gone_as_deleted(so, 3);
        let mut session = world.connect();
        session.run("CREATE FUNCTION vanish() RETURNS boolean VOLATILE LANGUAGE plpgsql AS 'BEGIN DELETE FROM salesforce.contact; RETURN true; END'");
        let rows = session.rows("UPDATE salesforce.contact SET title = 'x' WHERE vanish() RETURNING id");
        assert!(rows.is_empty(), "{rows:?}");
        assert_eq!(world.records("Contact").len(), 0);
    }
}

#[test]
fn the_same_key_twice_is_one_change() {
    let world = world(300);
    let mut session = world.connect();
    session.run("CREATE TABLE news AS SELECT id, n FROM salesforce.contact, generate_series(1, 3) AS n");
    let (count, writes) = world.writes_of(|| {
        session.count("UPDATE salesforce.contact c SET title = 'from ' || n FROM news WHERE news.id = c.id")
    });
    assert_eq!(count, 300);
    // Of 900 rows, in batches of 200.
    assert!(writes.len() <= 5, "{}", writes.len());
    let sent: usize = writes.iter().map(|request| fields_sent(request).len()).sum();
    assert_eq!(sent, 300);
    let rows = session.rows("DELETE FROM salesforce.contact c USING news WHERE news.id = c.id RETURNING c.id");
    assert_eq!(rows.iter().collect::<HashSet<_>>().len(), rows.len());
    assert_eq!(rows.len(), 300);
    assert!(world.records("Contact").is_empty());
}

fn returned(session: &mut Session, sql: &str) -> Vec<Option<String>> {
    let mut rows = session.rows(sql);
    assert_eq!(rows.len(), 1, "{sql}");
    rows.swap_remove(0)
}

#[test]
fn an_update_returns_what_the_api_has_afterwards() {
    let world = world(10);
    let mut session = world.connect();
    let id = world.sandbox.id("Contact", 4);
    let before = session.value(&format!("SELECT system_modstamp FROM salesforce.contact WHERE id = '{id}'"));
    let row = returned(
        &mut session,
        &format!(
            "UPDATE salesforce.contact SET first_name = 'Grace', last_name = 'Hopper', languages__c = '{{Français,English}}' WHERE id = '{id}' RETURNING name, id, languages__c, system_modstamp > '{before}', title, upper(last_name)"
        ),
    );
    let title = world.record("Contact", &id)["Title"].clone();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        row,
        [text("Grace Hopper"), Some(id.clone()), text("{English,Français}"), text("t"), title, text("HOPPER")]
    );
    // A row that is not sent is what the API has all the same.
    let row = returned(
        &mut session,
        &format!("UPDATE salesforce.contact SET last_name = 'Hopper' WHERE id = '{id}' RETURNING name, first_name"),
    );
    assert_eq!(row, [text("Grace Hopper"), text("Grace")]);
}

#[test]
fn a_delete_returns_what_was_there() {
    let world = world(450);
    let mut session = world.connect();
    session.run("CREATE TABLE before AS SELECT * FROM salesforce.contact");
    let same = session.number(
        "WITH gone AS (DELETE FROM salesforce.contact RETURNING *) SELECT count(*) FROM gone JOIN before ON before.* IS NOT DISTINCT FROM gone.*",
    );
    assert_eq!(same, 450);
    assert!(world.records("Contact").is_empty());
}

#[test]
fn whole_rows_and_system_columns_are_returned() {
    let world = world(20);
    let mut session = world.connect();
    let row = returned(
        &mut session,
        "INSERT INTO salesforce.contact (last_name) VALUES ('A') RETURNING tableoid::regclass, id, (contact).last_name, (contact).id, contact",
    );
    assert_eq!(row[0].as_deref(), Some("salesforce.contact"));
    assert_eq!((row[2].as_deref(), &row[3]), (Some("A"), &row[1]));
    let id = row[1].clone().unwrap();
    let whole = session.value(&format!("SELECT contact FROM salesforce.contact WHERE id = '{id}'"));
    assert_eq!(row[4].as_ref(), Some(&whole));
    let row = returned(
        &mut session,
        &format!(
            "UPDATE salesforce.contact SET title = 'T' WHERE id = '{id}' RETURNING tableoid::regclass, (contact).title, contact.*::text"
        ),
    );
    assert_eq!((row[0].as_deref(), row[1].as_deref()), (Some("salesforce.contact"), Some("T")));
    let whole = session.value(&format!("SELECT contact::text FROM salesforce.contact WHERE id = '{id}'"));
    assert_eq!(row[2].as_ref(), Some(&whole));
    let row = returned(
        &mut session,
        &format!("DELETE FROM salesforce.contact WHERE id = '{id}' RETURNING tableoid::regclass, contact::text"),
    );
    assert_eq!((row[0].as_deref(), &row[1]), (Some("salesforce.contact"), &Some(whole)));
    let rows =
        session.rows("INSERT INTO salesforce.contact (last_name) SELECT 'B' FROM generate_series(1, 3) RETURNING *");
    assert!(rows.len() == 3 && rows.iter().all(|row| row.contains(&Some("B".to_owned()))));
}

#[test]
fn returning_expressions_alone_reads_nothing_back() {
    let world = world(5);
    let mut session = world.connect();
    let (rows, _) =
        world.writes_of(|| session.rows("INSERT INTO salesforce.contact (last_name) VALUES ('A') RETURNING 1 + 1"));
    assert_eq!(rows[0][0].as_deref(), Some("2"));
    assert_eq!(world.requests().len(), 1, "{:#?}", world.requests());
}
