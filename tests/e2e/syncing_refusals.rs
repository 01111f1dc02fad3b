//! Synced tables whose own constraints refuse what the API has: the rest arrives, what is refused is told and tried again.

use std::time::Duration;

use serde_json::json;

use crate::support::{AIRTABLE, Cluster, Config, Session, World, wait_until};

const ERROR: &str = "SELECT coalesce(max(last_error), '') FROM sequin.sync_status";

fn world() -> (World, Session) {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    world.follow_contacts(&mut session, "1 second");
    (world, session)
}

fn with_email(session: &mut Session, email: &str) -> Vec<String> {
    session.column(&format!("SELECT id FROM crm.contact WHERE email = '{email}'"))
}

#[test]
fn what_is_unique_may_go_from_a_record_that_is_deleted_or_changed_to_a_new_one() {
    let (world, mut session) = world();
    session.run("UPDATE crm.contact SET email = id || '@example.com'; CREATE UNIQUE INDEX ON crm.contact (email)");
    let (gone, changed) = (world.sandbox.id("Contact", 1), world.sandbox.id("Contact", 2));
    let upstream = world.upstream();
    // All at once for the worker.
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '4 seconds')");
    world.sandbox.clear_requests();
    world.await_request("/query");
    upstream.delete(&gone);
    upstream.update("Contact", &changed, json!({"Email": "elsewhere@example.com"}));
    let email = |id: &str| format!("{id}@example.com").to_lowercase();
    let new = upstream.create("Contact", json!({"LastName": "New", "Email": email(&gone)}));
    let other = upstream.create("Contact", json!({"LastName": "Other", "Email": email(&changed)}));
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id IN ('{new}', '{other}')"), "2");
    assert_eq!(with_email(&mut session, "elsewhere@example.com"), [changed]);
    assert_eq!(session.value(ERROR), "");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn one_record_that_is_refused_holds_up_no_other_is_told_and_comes_when_the_rule_goes() {
    let (world, mut session) = world();
    session.run("ALTER TABLE crm.contact ADD CONSTRAINT sober CHECK (title <> 'Drunk')");
    let upstream = world.upstream();
    let ids: Vec<String> = (0..9).map(|n| world.sandbox.id("Contact", n)).collect();
    upstream.update("Contact", &ids[4], json!({"Title": "Drunk"}));
    upstream.update_all("Contact", &ids[5..], &json!({"Title": "Good"}));
    let bad = upstream.create("Contact", json!({"LastName": "New", "Title": "Drunk"}));
    let good = upstream.create("Contact", json!({"LastName": "New", "Title": "Good"}));
    upstream.delete(&ids[0]);
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE title = 'Good'", "5");
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{}'", ids[0]), "0");
    assert_eq!(session.column(&format!("SELECT id FROM crm.contact WHERE id IN ('{bad}', '{good}')")), [good.as_str()]);
    assert!(wait_until(Duration::from_secs(10), || session.value(ERROR).contains("sober")), "{}", session.value(ERROR));
    let error = session.value(ERROR);
    assert!(error.contains("1 more") && (error.contains(&bad) || error.contains(&ids[4])), "{error}");
    // Others arrive all the same, in time.
    upstream.update("Contact", &ids[1], json!({"Title": "Later"}));
    let later = "SELECT count(*) FROM crm.contact WHERE title = 'Later'";
    assert!(wait_until(Duration::from_secs(4), || session.value(later) == "1"));
    // One is mended there, for the other the rule goes.
    upstream.update("Contact", &ids[4], json!({"Title": "Sober"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{}'", ids[4]), "Sober");
    session.run("ALTER TABLE crm.contact DROP CONSTRAINT sober");
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{bad}'"), "1");
    world.await_current(&mut session, "crm.contact");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_filling_leaves_out_what_is_refused_and_ends() {
    let world = World::with_worker(Config::new().records("Contact", 3000).records("Account", 8));
    let mut session = world.connect();
    let bad = [world.sandbox.id("Contact", 77), world.sandbox.id("Contact", 2999)];
    session.run(&format!(
        "CREATE SCHEMA crm; CREATE TABLE crm.contact (LIKE salesforce.contact, PRIMARY KEY (id));
         ALTER TABLE crm.contact ADD CHECK (id NOT IN ('{}', '{}'));
         SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '1 second')",
        bad[0], bad[1]
    ));
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact", "2998");
    assert!(
        wait_until(Duration::from_secs(10), || session.value(ERROR).contains("1 more")),
        "{}",
        session.value(ERROR)
    );
    // One goes, and is asked for no more.
    world.upstream().delete(&bad[0]);
    assert!(
        wait_until(Duration::from_secs(10), || {
            let error = session.value(ERROR);
            error.contains(&bad[1]) && !error.contains("more,")
        }),
        "{}",
        session.value(ERROR)
    );
    assert_eq!(session.value("SELECT sequin.refresh('crm.contact')"), "0");
    session.run("ALTER TABLE crm.contact DROP CONSTRAINT contact_id_check");
    assert_eq!(session.value("SELECT sequin.refresh('crm.contact')"), "1");
    assert_eq!(session.value(ERROR), "");
}

#[test]
fn a_row_that_something_here_refers_to_goes_once_it_does_not() {
    let (world, mut session) = world();
    let ids = [world.sandbox.id("Contact", 1), world.sandbox.id("Contact", 2)];
    session.run(&format!(
        "CREATE TABLE crm.note (contact text REFERENCES crm.contact); INSERT INTO crm.note VALUES ('{}')",
        ids[0]
    ));
    world.upstream().delete_all(&ids);
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{}'", ids[1]), "0");
    assert!(wait_until(Duration::from_secs(10), || session.value(ERROR).contains("note")), "{}", session.value(ERROR));
    session.run("DELETE FROM crm.note");
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{}'", ids[0]), "0");
    world.await_current(&mut session, "crm.contact");
}

#[test]
fn a_table_that_refuses_everything_fails_and_keeps_what_it_has() {
    let (world, mut session) = world();
    session.run("ALTER TABLE crm.contact ADD CONSTRAINT closed CHECK (title IS DISTINCT FROM 'All')");
    // In one request, so that one poll finds all of them.
    world.upstream().create_all("Contact", vec![json!({"LastName": "New", "Title": "All"}); 120]);
    assert!(
        wait_until(Duration::from_secs(10), || session.value(ERROR).contains("more than 100")),
        "{}",
        session.value(ERROR)
    );
    assert_eq!(session.number("SELECT count(*) FROM crm.contact"), 60);
    session.run("ALTER TABLE crm.contact DROP CONSTRAINT closed");
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE title = 'All'", "120");
}

#[test]
fn airtables_new_record_may_have_what_one_that_no_sweep_has_missed_yet_had() {
    let world = World::of_in(&AIRTABLE, Cluster::preloaded(), Config::new().records("Measurements", 50));
    let mut session = world.connect();
    session.run(r#"CREATE SCHEMA crm; SELECT sequin.start_sync('ops.measurements', 'crm.measurements', every => '300 ms', options => '{"sweep_every": "1 second"}')"#);
    world.await_current(&mut session, "crm.measurements");
    session.run("UPDATE crm.measurements SET name = _id; CREATE UNIQUE INDEX ON crm.measurements (name)");
    let gone = session.value("SELECT min(_id) FROM crm.measurements");
    session.run(&format!("DELETE FROM ops.measurements WHERE _id = '{gone}'"));
    session.run(&format!("INSERT INTO ops.measurements (name) VALUES ('{gone}')"));
    let new = format!("SELECT count(*) FROM crm.measurements WHERE name = '{gone}' AND _id <> '{gone}'");
    world.await_value(&mut session, &new, "1");
    world.await_current(&mut session, "crm.measurements");
}

#[test]
fn more_refused_records_than_one_piece_may_have_do_not_stop_the_polls() {
    let world = World::with_worker(Config::new().records("Contact", 50_000).records("Account", 8).cache_pages(true));
    let mut session = world.connect();
    // 60 in each piece of 20,000.
    let bad: Vec<String> = (0..150).map(|n| world.sandbox.id("Contact", n * 333)).collect();
    session.run(&format!(
        "CREATE SCHEMA crm; CREATE TABLE crm.contact (id text PRIMARY KEY CHECK (id NOT IN ('{}')), title text);
         SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '300 ms')",
        bad.join("', '")
    ));
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact", "49850");
    assert!(
        wait_until(Duration::from_secs(10), || session.value(ERROR).contains("149 more")),
        "{}",
        session.value(ERROR)
    );
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": "Later"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Later");
    session.run("ALTER TABLE crm.contact DROP CONSTRAINT contact_id_check");
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact", "50000");
    world.await_current(&mut session, "crm.contact");
}

#[test]
fn a_filling_does_not_delete_rows_that_it_may_not_change() {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    let (kept, gone) = (world.sandbox.id("Contact", 7), "003000000000000AAA");
    world.upstream().update("Contact", &kept, json!({"Title": "Drunk"}));
    session.run(&format!(
        "CREATE SCHEMA crm; CREATE TABLE crm.contact (id text PRIMARY KEY, title text CHECK (title <> 'Drunk'));
         INSERT INTO crm.contact VALUES ('{kept}', 'Mine'), ('{gone}', 'Mine');
         SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '300 ms')"
    ));
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact", "60");
    assert_eq!(session.column("SELECT id FROM crm.contact WHERE title = 'Mine'"), [kept.as_str()]);
    assert!(wait_until(Duration::from_secs(10), || session.value(ERROR).contains(&kept)), "{}", session.value(ERROR));
}
