//! Synced tables whose foreign table comes to show other records: another object, another organisation, another field.

use serde_json::json;

use crate::support::{Config, Sandbox, Session, World};

/// Accounts in `api.record`, of which only what contacts have too is shown.
fn records(world: World) -> (World, Session) {
    let mut session = world.connect();
    session.run(
        "CREATE SCHEMA api; CREATE SCHEMA crm;
         CREATE FOREIGN TABLE api.record (
           id text OPTIONS (field 'Id', key 'true'), name text OPTIONS (field 'Name'), owner text OPTIONS (field 'OwnerId'))
         SERVER sf OPTIONS (object 'Account')",
    );
    (world, session)
}

fn config() -> Config {
    Config::new().records("Contact", 60).records("Account", 8)
}

const TO_CONTACTS: &str = "ALTER FOREIGN TABLE api.record OPTIONS (SET object 'Contact')";

#[test]
fn another_object_takes_the_place_of_the_one_that_was_followed() {
    let (world, mut session) = records(World::with_worker(config()));
    session.run("SELECT sequin.start_sync('api.record', 'crm.record', every => '100 ms')");
    world.await_current(&mut session, "crm.record");
    session.run(TO_CONTACTS);
    world.await_value(&mut session, "SELECT count(*) FROM crm.record", "60");
    world.await_current(&mut session, "crm.record");
    let differs = "SELECT count(*) FROM (SELECT id, name, owner FROM crm.record EXCEPT TABLE api.record) AS other";
    assert_eq!(session.number(differs), 0);
    // Changes and deletions are those of the new one.
    let id = world.sandbox.id("Contact", 5);
    world.upstream().update("Contact", &id, json!({"LastName": "Changed"}));
    world.await_true(&mut session, &format!("SELECT name LIKE '%Changed' FROM crm.record WHERE id = '{id}'"));
    world.upstream().delete(&id);
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.record WHERE id = '{id}'"), "0");
    assert_eq!(session.number(differs), 0);
    assert_eq!(session.number("SELECT count(*) FROM crm.record"), 59);
}

#[test]
fn a_refresh_without_a_worker_reads_another_object_whole() {
    let (world, mut session) = records(World::new(config()));
    session.run("SELECT sequin.start_sync('api.record', 'crm.record')");
    assert_eq!(session.value("SELECT sequin.refresh('crm.record')"), "8");
    session.run(TO_CONTACTS);
    assert_eq!(session.value("SELECT sequin.refresh('crm.record')"), (60 + 8).to_string(), "come, and gone");
    assert_eq!(session.value("SELECT state || percent FROM sequin.sync_status"), "current100");
    world.sandbox.clear_requests();
    assert_eq!(session.value("SELECT sequin.refresh('crm.record')"), "0");
    assert!(world.requests().len() <= 2, "{:#?}", world.queries());
}

#[test]
fn another_address_is_another_organisation_whose_records_take_the_place_of_the_others() {
    let (world, mut session) = records(World::with_worker(config()));
    session.run("SELECT sequin.start_sync('api.record', 'crm.record', every => '100 ms')");
    world.await_current(&mut session, "crm.record");
    let other = Sandbox::start(config().records("Account", 5)).expect("another organisation");
    session.run(&format!("ALTER SERVER sf OPTIONS (SET base_url '{}')", other.url()));
    world.await_value(&mut session, "SELECT count(*) FROM crm.record", "5");
    // Nothing is asked of one that cannot be reached, and what is here stays.
    session.run("ALTER SERVER sf OPTIONS (SET base_url 'http://127.0.0.1:1', ADD max_retries '0')");
    world.await_value(&mut session, "SELECT state FROM sequin.sync_status", "failing");
    assert_eq!(session.value("SELECT count(*) FROM crm.record"), "5");
    session.run(&format!("ALTER SERVER sf OPTIONS (SET base_url '{}')", world.sandbox.url()));
    world.await_value(&mut session, "SELECT count(*) FROM crm.record", "8");
    world.await_current(&mut session, "crm.record");
}

#[test]
fn a_column_that_comes_to_show_another_field_is_read_anew() {
    let (world, mut session) = records(World::with_worker(config()));
    session.run("SELECT sequin.start_sync('api.record', 'crm.record', every => '100 ms')");
    world.await_current(&mut session, "crm.record");
    assert_eq!(session.number("SELECT count(*) FROM crm.record WHERE owner LIKE '005%'"), 8);
    session.run("ALTER FOREIGN TABLE api.record ALTER COLUMN owner OPTIONS (SET field 'Id')");
    world.await_value(&mut session, "SELECT count(*) FROM crm.record WHERE owner = id", "8");
}
