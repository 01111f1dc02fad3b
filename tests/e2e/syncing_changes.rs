//! Synced tables: what Salesforce tells of changes arrives, deletions included, and `sync_status` says how far it is.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Action, Config, Fault, Session, World, wait_until};

fn following(config: Config, every: &str) -> (World, Session) {
    let world = World::with_worker(config);
    let mut session = world.connect();
    world.follow_contacts(&mut session, every);
    (world, session)
}

fn small(every: &str) -> (World, Session) {
    following(Config::new().records("Contact", 60).records("Account", 8), every)
}

#[test]
fn a_record_that_is_deleted_and_brought_back_is_here_again() {
    let (world, mut session) = small("200 ms");
    let id = world.sandbox.id("Contact", 5);
    let here = format!("SELECT count(*) FROM crm.contact WHERE id = '{id}'");
    for _ in 0..3 {
        world.upstream().delete(&id);
        world.await_value(&mut session, &here, "0");
        world.sandbox.undelete(&id);
        world.await_value(&mut session, &here, "1");
    }
    // Deleted here, brought back there.
    session.run(&format!("DELETE FROM crm.contact WHERE id = '{id}'"));
    world.sandbox.undelete(&id);
    world.await_value(&mut session, &here, "1");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_change_that_is_committed_later_than_it_is_dated_is_not_missed() {
    let (world, mut session) = small("200 ms");
    // The position moves on.
    for n in 0..5 {
        world.upstream().update("Contact", &world.sandbox.id("Contact", 20), json!({"Title": format!("Now {n}")}));
        thread::sleep(Duration::from_millis(300));
    }
    let id = world.sandbox.id("Contact", 6);
    world.upstream().update("Contact", &id, json!({"Title": "Late"}));
    world.sandbox.date_back(&id, Duration::from_secs(6));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Late");
}

#[test]
fn stamps_of_whole_seconds_and_records_of_one_stamp_lose_no_change() {
    let world = World::with_worker(
        Config::new()
            .records("Contact", 60)
            .records("Account", 8)
            .page_size(7)
            .switches(|s| s.whole_second_stamps = true),
    );
    let mut session = world.connect();
    world.follow_contacts(&mut session, "200 ms");
    let ids: Vec<String> = (0..30).map(|n| world.sandbox.id("Contact", n)).collect();
    for round in 0..12 {
        world.upstream().update_all("Contact", &ids, &json!({"Title": format!("Round {round}")}));
        thread::sleep(Duration::from_millis(170));
    }
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_change_in_nothing_but_case_or_blanks_or_to_null_arrives() {
    let world = World::with_worker(Config::new().records("Contact", 20).records("Account", 8));
    let mut session = world.connect();
    world
        .as_superuser()
        .run("CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
    session.run("CREATE SCHEMA crm; CREATE TABLE crm.contact (id text PRIMARY KEY, title text COLLATE caseless, department text, score__c numeric, mailing_address jsonb, email text)");
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '200 ms')");
    world.await_current(&mut session, "crm.contact");
    let id = world.sandbox.id("Contact", 1);
    for title in ["lower", "LOWER", "LOWER X", "Lower x"] {
        world.upstream().update("Contact", &id, json!({"Title": title, "MailingCity": title, "Department": null}));
        world.await_value(&mut session, &format!("SELECT title COLLATE \"C\" = '{title}' AND mailing_address->>'city' = '{title}' AND department IS NULL FROM crm.contact WHERE id = '{id}'"), "t");
    }
}

#[test]
fn an_object_that_does_not_tell_of_changes_is_read_and_compared_deletions_included() {
    let world = World::with_worker(Config::new().records("Contact", 5).records("Rate__c", 3000));
    let mut session = world.connect();
    world.import(&mut session, "rate__c");
    session.run("CREATE SCHEMA crm; SELECT sequin.start_sync('salesforce.rate__c', 'crm.rate__c', every => '300 ms')");
    world.await_current(&mut session, "crm.rate__c");
    world.await_equal(&mut session, "Rate__c", "crm.rate__c");
    let upstream = world.upstream();
    upstream.update("Rate__c", &world.sandbox.id("Rate__c", 2), json!({"Rate__c": 1.5}));
    upstream.delete(&world.sandbox.id("Rate__c", 2999));
    upstream.delete(&world.sandbox.id("Rate__c", 0));
    let id = upstream.create("Rate__c", json!({"Name": "New", "Rate__c": 7}));
    world.await_equal(&mut session, "Rate__c", "crm.rate__c");
    session.run(&format!(
        "UPDATE crm.rate__c SET name = 'Written' WHERE id = '{id}'; DELETE FROM crm.rate__c WHERE id = '{}'",
        world.sandbox.id("Rate__c", 5)
    ));
    let added = session.value("INSERT INTO crm.rate__c (name) VALUES ('Added') RETURNING id");
    // Sweeps that were under way neither undo nor lose them.
    for _ in 0..20 {
        assert_eq!(
            session.value(&format!(
                "SELECT string_agg(name, ',' ORDER BY name) FROM crm.rate__c WHERE id IN ('{id}', '{added}', '{}')",
                world.sandbox.id("Rate__c", 5)
            )),
            "Added,Written"
        );
        thread::sleep(Duration::from_millis(60));
    }
    world.await_equal(&mut session, "Rate__c", "crm.rate__c");
}

#[test]
fn records_that_vanish_without_a_trace_are_found_by_a_sweep() {
    let world = World::with_worker(Config::new().records("Contact", 300).records("Account", 8));
    let mut session = world.connect();
    session.run(r#"CREATE SCHEMA crm; SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '500 ms', options => '{"sweep_every": "2 seconds"}')"#);
    world.await_equal(&mut session, "Contact", "crm.contact");
    for n in [0, 150, 299] {
        world.sandbox.purge(&world.sandbox.id("Contact", n));
    }
    // What was changed here only: somebody with the right to do so has gone past the triggers.
    world.as_superuser().run("SET session_replication_role = replica; UPDATE crm.contact SET title = 'Only here' WHERE id = (SELECT min(id) FROM crm.contact WHERE id > (SELECT min(id) FROM crm.contact))");
    world.await_equal(&mut session, "Contact", "crm.contact");
    assert_eq!(session.value("SELECT count(*) FROM crm.contact"), "297");
}

#[test]
fn several_tables_are_followed_at_once_and_a_slow_one_holds_up_no_other() {
    let (world, mut session) = small("500 ms");
    world.import(&mut session, "lead, opportunity, rate__c");
    for table in ["lead", "opportunity", "rate__c", "account"] {
        session.run(&format!("SELECT sequin.start_sync('salesforce.{table}', 'crm.{table}', every => '500 ms')"));
    }
    for (object, table) in
        [("Lead", "lead"), ("Opportunity", "opportunity"), ("Rate__c", "rate__c"), ("Account", "account")]
    {
        world.await_current(&mut session, &format!("crm.{table}"));
        world.await_equal(&mut session, object, &format!("crm.{table}"));
    }
    use crate::support::{Action, Fault};
    world.sandbox.fault(Fault::new(Action::Delay(20_000)).soql("FROM Lead"));
    world.sandbox.fault(Fault::new(Action::Hang).soql("FROM Opportunity"));
    thread::sleep(Duration::from_millis(700));
    let id = world.sandbox.id("Contact", 3);
    let begin = Instant::now();
    world.upstream().update("Contact", &id, json!({"Title": "Not held up"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Not held up");
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    world.sandbox.clear_faults();
}

#[test]
fn a_share_of_the_quota_stretches_the_interval_and_the_status_says_so() {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    // 15 requests a day.
    session.run(r#"CREATE SCHEMA crm; SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms', options => '{"quota_share": 0.000001}')"#);
    world.await_current(&mut session, "crm.contact");
    world.await_true(&mut session, "SELECT note IS NOT NULL FROM sequin.sync_status");
    let note = session.value("SELECT note FROM sequin.sync_status");
    assert!(note.contains("quota"), "{note}");
    world.sandbox.clear_requests();
    thread::sleep(Duration::from_secs(3));
    let sent = world.requests().len();
    assert!(sent <= 1, "{sent} requests in 3 s: {note}");
    // What is asked for is done all the same.
    world.upstream().update("Contact", &world.sandbox.id("Contact", 1), json!({"Title": "By hand"}));
    assert_eq!(session.value("SELECT sequin.refresh('crm.contact')"), "1");
    // A larger share counts soon.
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')");
    world.upstream().update("Contact", &world.sandbox.id("Contact", 1), json!({"Title": "By itself"}));
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE title = 'By itself'", "1");
    assert!(wait_until(Duration::from_secs(10), || session
        .value("SELECT coalesce(note, 'none') FROM sequin.sync_status")
        == "none"));
}

#[test]
fn tables_of_one_server_share_the_quota_among_them() {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    session.run("CREATE SCHEMA crm");
    // 30 requests a day, of which a quarter may come at once.
    for table in ["one", "two", "three", "four"] {
        session.run(&format!(
            r#"SELECT sequin.start_sync('salesforce.contact', 'crm.{table}', every => '100 ms', options => '{{"quota_share": 0.000002}}')"#
        ));
    }
    for table in ["one", "two", "three", "four"] {
        world.await_current(&mut session, &format!("crm.{table}"));
    }
    world.sandbox.clear_requests();
    thread::sleep(Duration::from_secs(3));
    let sent = world.requests().len();
    assert!(
        sent <= 12,
        "{sent} requests in 3 s: {:?}",
        session.rows("SELECT target, requests, note FROM sequin.sync_status")
    );
}

#[test]
fn the_status_tells_what_is_being_done() {
    let (world, mut session) = small("300 ms");
    let columns = session.column("SELECT attname FROM pg_attribute WHERE attrelid = 'sequin.sync_status'::regclass AND attnum > 0 ORDER BY attnum");
    for column in [
        "target",
        "source",
        "state",
        "rows",
        "percent",
        "every",
        "last_change",
        "lag",
        "requests",
        "last_error",
        "note",
        "next_try",
    ] {
        assert!(columns.iter().any(|name| name == column), "no {column} in {columns:?}");
    }
    world.await_true(&mut session, "SELECT rows BETWEEN 55 AND 65 FROM sequin.sync_status");
    let row = session.rows("SELECT target, source, state, percent, last_error, lag < interval '5 s', last_change > now() - interval '1 minute', requests > 0 FROM sequin.sync_status");
    let cells: Vec<_> = row[0].iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
    assert_eq!(cells, ["crm.contact", "salesforce.contact", "current", "100", "NULL", "t", "t", "t"]);
    let before = session.value("SELECT last_change FROM sequin.sync_status");
    world.upstream().update("Contact", &world.sandbox.id("Contact", 1), json!({"Title": "x"}));
    world.await_true(&mut session, &format!("SELECT last_change > '{before}' FROM sequin.sync_status"));
}

/// The object as a table that was made before its fields changed has it: one is missing, one is of another type, one is
/// gone by now.
fn drifted(options: &str) -> (World, Session) {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    session.run("ALTER FOREIGN TABLE salesforce.contact DROP COLUMN phone");
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN erp_key__c OPTIONS (SET type 'int')");
    session.run("CREATE SCHEMA IF NOT EXISTS crm");
    session.run(&format!(
        "SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '300 milliseconds', options => '{options}')"
    ));
    world.await_current(&mut session, "crm.contact");
    // As if the API had got it since.
    world.as_superuser().run("UPDATE sequin.sync SET fields = fields - 'Phone'");
    session.run("ALTER TABLE crm.contact ADD COLUMN bogus text");
    session
        .run("ALTER FOREIGN TABLE salesforce.contact ADD COLUMN bogus text OPTIONS (field 'Nope__c', capabilities '')");
    (world, session)
}

#[test]
fn fields_that_have_changed_are_told_of_in_the_status() {
    let (world, mut session) = drifted("{}");
    let note = "the API has new fields: Phone; fields that are gone: bogus; fields of another type: erp_key__c";
    world.await_value(&mut session, "SELECT note FROM sequin.sync_status", note);
    let error = session.value("SELECT state || ' ' || last_error FROM sequin.sync_status");
    assert!(error.starts_with("failing ") && error.contains("Nope__c"), "{error}");
}

#[test]
fn fields_that_have_changed_are_followed_if_the_options_say_so() {
    let (world, mut session) = drifted(r#"{"follow_schema": true}"#);
    let known =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'salesforce.contact'::regclass AND attname = 'bogus'";
    world.await_value(&mut session, known, "0");
    // What the new column holds was read anew, and what is gone keeps what it had.
    let phones = world.records("Contact").iter().filter(|record| record["Phone"].is_some()).count();
    world.await_value(&mut session, "SELECT count(phone) FROM crm.contact", &phones.to_string());
    world.await_value(&mut session, "SELECT state FROM sequin.sync_status", "current");
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'crm.contact'::regclass AND attname IN ('bogus', 'erp_key__c')";
    assert_eq!(session.value(columns), "2");
    // And it goes on.
    let id = world.sandbox.id("Contact", 3);
    world.upstream().update("Contact", &id, json!({"Phone": "+44 20"}));
    world.await_value(&mut session, &format!("SELECT phone FROM crm.contact WHERE id = '{id}'"), "+44 20");
}

#[test]
fn a_column_that_the_table_gets_later_is_filled_for_all_rows() {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    session.run(
        "CREATE SCHEMA crm; CREATE TABLE crm.contact (id text PRIMARY KEY, last_name text);
         SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')",
    );
    world.await_current(&mut session, "crm.contact");
    session.run("ALTER TABLE crm.contact ADD email text");
    world.await_equal(&mut session, "Contact", "crm.contact");
    session.run("ALTER TABLE crm.contact DROP email, ADD email text, ADD title text");
    world.await_equal(&mut session, "Contact", "crm.contact");
    // Once is enough, and a refresh does it, too.
    thread::sleep(Duration::from_millis(500));
    let (_, queries) = world.queries_of(|| thread::sleep(Duration::from_millis(500)));
    assert!(queries.iter().all(|query| query.contains("SystemModstamp >=")), "{queries:#?}");
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '1 hour')");
    thread::sleep(Duration::from_millis(500));
    session.run("ALTER TABLE crm.contact ADD department text");
    session.run("SELECT sequin.refresh('crm.contact')");
    assert_eq!(world.differences(&mut session, "Contact", "crm.contact"), Vec::<String>::new());
}

#[test]
fn a_row_whose_time_somebody_has_set_to_never_goes_with_its_record() {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    session.run(r#"CREATE SCHEMA crm; SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms', options => '{"sweep_every": "1 second"}')"#);
    world.await_current(&mut session, "crm.contact");
    world.as_superuser().run(
        "SET session_replication_role = replica; INSERT INTO crm.contact (id, last_name, _synced_at) VALUES ('003RO0000099999AAA', 'Never there', 'infinity')",
    );
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn an_interval_beyond_all_calendars_stops_no_table() {
    let (world, mut session) = small("100 ms");
    session.run(r#"SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '10000000 years', options => '{"sweep_every": "10000000 years"}')"#);
    world.await_current(&mut session, "crm.account");
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.people', every => '100 ms')");
    world.await_equal(&mut session, "Contact", "crm.people");
}

#[test]
fn a_record_that_is_dated_in_the_future_hides_no_change_until_then() {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    let id = world.sandbox.id("Contact", 0);
    let record = json!({"attributes": {"type": "Contact"}, "Id": id, "SystemModstamp": "2099-01-01T00:00:00.000+0000"});
    let answer = json!({"totalSize": 1, "done": true, "records": [record]}).to_string();
    world.sandbox.fault(Fault::new(Action::Body(answer)).soql("SystemModstamp DESC").times(1));
    world.follow_contacts(&mut session, "100 ms");
    assert_eq!(session.value("SELECT count(*) FROM crm.contact"), "60");
    let changed = world.sandbox.id("Contact", 5);
    world.upstream().update("Contact", &changed, json!({"Title": "Seen"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{changed}'"), "Seen");
}

#[test]
fn sweeps_that_fail_are_told_and_come_further_apart_while_polls_go_on() {
    let (world, mut session) = small("100 ms");
    let is_sweep = |query: &String| !query.contains("SystemModstamp >=");
    world.sandbox.fault(
        Fault::status(400, r#"[{"errorCode":"OPERATION_TOO_LARGE","message":"no sweeps today"}]"#).soql("ORDER BY Id"),
    );
    session.run(r#"SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms', options => '{"sweep_every": "1 second"}')"#);
    world.await_true(&mut session, "SELECT coalesce(last_error, '') LIKE '%no sweeps today%' FROM sequin.sync_status");
    let (_, queries) = world.queries_of(|| {
        for round in 0..20 {
            thread::sleep(Duration::from_millis(500));
            let error = session.value("SELECT coalesce(last_error, 'none') FROM sequin.sync_status");
            assert!(error.contains("no sweeps today"), "round {round}: {error}");
        }
    });
    let sweeps = queries.iter().filter(|query| is_sweep(query)).count();
    assert!((1..=4).contains(&sweeps), "{sweeps} sweeps in 10 s");
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": "Polled"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Polled");
    world.sandbox.clear_faults();
    world.await_current(&mut session, "crm.contact");
}

#[test]
fn requests_of_reads_that_fail_are_counted() {
    let (world, mut session) = small("100 ms");
    session.run("ALTER TABLE crm.contact ADD CONSTRAINT sober CHECK (title <> 'Drunk')");
    world.upstream().update("Contact", &world.sandbox.id("Contact", 1), json!({"Title": "Drunk"}));
    world.await_true(&mut session, "SELECT coalesce(last_error, '') LIKE '%sober%' FROM sequin.sync_status");
    let spent = |session: &mut Session| session.number("SELECT requests FROM sequin.sync_status");
    let before = spent(&mut session);
    thread::sleep(Duration::from_secs(4));
    assert!(spent(&mut session) > before, "{before}");
}

#[test]
fn what_is_not_synced_any_more_is_told() {
    let (_world, mut session) = small("1 hour");
    let note = "SELECT coalesce(note, '') FROM sequin.sync_status";
    assert_eq!(session.value(note), "");
    session
        .run("ALTER TABLE crm.contact RENAME title TO job; ALTER FOREIGN TABLE salesforce.contact DROP COLUMN phone");
    assert_eq!(session.value(note), "not synced any more: phone, title");
    session.run("ALTER TABLE crm.contact RENAME job TO title; ALTER TABLE crm.contact DISABLE TRIGGER sequin_update");
    assert!(
        session.value(note).starts_with("not synced any more: phone; triggers of sequin_fdw"),
        "{}",
        session.value(note)
    );
}

#[test]
fn fields_that_a_narrow_foreign_table_never_had_are_no_news() {
    let world = World::with_worker(Config::new().records("Account", 8));
    let mut session = world.connect();
    session.run(
        "CREATE SCHEMA crm; CREATE FOREIGN TABLE few (id text OPTIONS (field 'Id', key 'true'), name text OPTIONS (field 'Name')) SERVER sf OPTIONS (object 'Account');
         SELECT sequin.start_sync('few', 'crm.few', every => '100 ms', options => '{\"follow_schema\": true}')",
    );
    world.await_current(&mut session, "crm.few");
    session.run("SELECT sequin.refresh('crm.few')");
    assert_eq!(session.number("SELECT count(*) FROM pg_attribute WHERE attrelid = 'few'::regclass AND attnum > 0"), 2);
    assert_eq!(session.value("SELECT coalesce(note, '') FROM sequin.sync_status"), "");
}
