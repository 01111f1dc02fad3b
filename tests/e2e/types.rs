//! Every type of the API arrives whole.

use crate::support::{Action, Config, Copy, Fault, World};

fn world(records: u32) -> World {
    let world = World::new(Config::new().records("Every_Type__c", records));
    world.import(&mut world.connect(), "every_type__c");
    world
}

#[test]
fn every_value_of_every_type_is_the_one_the_api_holds() {
    let world = world(1500);
    let mut copy =
        Copy::of(&world, &[("Every_Type__c", "every_type__c"), ("Contact", "contact"), ("Account", "account")]);
    for table in ["every_type__c", "contact", "account"] {
        let columns = copy.columns(table);
        for (column, _) in &columns {
            copy.same(&format!("SELECT id, \"{column}\" FROM salesforce.{table}"));
        }
        let all = columns.iter().map(|(column, _)| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
        copy.same(&format!("SELECT {all} FROM salesforce.{table}"));
    }
}

#[test]
fn numbers_keep_every_digit() {
    let world = world(1500);
    let mut session = world.connect();
    // 18 digits are more than a float holds.
    let digits = session.number(
        "SELECT max(length(replace(replace(double__c::text, '.', ''), '-', ''))) FROM salesforce.every_type__c",
    );
    assert!(digits >= 17, "{digits}");
    assert_eq!(session.value("SELECT bool_and(whole__c = trunc(whole__c)) FROM salesforce.every_type__c"), "t");
}

#[test]
fn compound_values_are_json() {
    let world = world(200);
    let mut session = world.connect();
    assert!(
        session.number("SELECT count(*) FROM salesforce.every_type__c WHERE place__c ->> 'latitude' IS NOT NULL") > 0
    );
    assert!(
        session.number("SELECT count(*) FROM salesforce.account WHERE billing_address ->> 'city' = billing_city") > 0
    );
    assert_eq!(
        session.number("SELECT count(*) FROM salesforce.every_type__c WHERE (place__c ->> 'latitude')::numeric <> place__latitude__s"),
        0
    );
}

#[test]
fn several_choices_are_an_array() {
    let world = world(200);
    let mut session = world.connect();
    assert!(session.number("SELECT count(*) FROM salesforce.every_type__c WHERE 'A' = ANY (multi__c)") > 0);
    assert!(session.number("SELECT count(*) FROM salesforce.every_type__c WHERE cardinality(multi__c) > 1") > 0);
    assert_eq!(session.number("SELECT count(*) FROM salesforce.every_type__c WHERE cardinality(multi__c) = 0"), 0);
}

#[test]
fn a_zero_character_is_an_error_that_names_the_column() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let body = r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Contact"},"Id":"003RO0000035WQgYAM","Title":"a\u0000b"}]}"#;
    world.sandbox.fault(Fault::new(Action::Body(body.to_owned())).path("/query"));
    let failure = session.fails_with("22P05", "SELECT id, title FROM salesforce.contact");
    assert_eq!(failure.column.as_deref(), Some("title"), "{failure:#?}");
}

#[test]
fn a_value_that_is_none_of_its_type_names_the_column() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    for (column, field, value) in [
        ("birthdate", "Birthdate", "\"31/05/2024\""),
        ("created_date", "CreatedDate", "\"yesterday\""),
        ("score__c", "Score__c", "\"many\""),
        ("do_not_call", "DoNotCall", "\"perhaps\""),
    ] {
        let body = format!(
            r#"{{"totalSize":1,"done":true,"records":[{{"attributes":{{"type":"Contact"}},"Id":"003RO0000035WQgYAM","{field}":{value}}}]}}"#
        );
        world.sandbox.fault(Fault::new(Action::Body(body)).path("/query"));
        let failure = session.fails_with("22P02", &format!("SELECT id, {column} FROM salesforce.contact"));
        world.sandbox.clear_faults();
        assert_eq!(failure.column.as_deref(), Some(column), "{failure:#?}");
    }
}

#[test]
fn a_database_in_another_encoding_converts_or_fails_by_name() {
    let world = World::new(Config::new().records("Contact", 300));
    let mut admin = world.as_superuser();
    let latin = format!("{}_latin", world.name);
    admin.run(&format!("CREATE DATABASE \"{latin}\" ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"));
    let cluster = world.cluster();
    let mut session =
        crate::support::Session::new(cluster.connect(&latin, &cluster.user, &cluster.password).expect("it is there"));
    session.run("CREATE EXTENSION sequin_fdw");
    session.run(&world.server("sf", ""));
    session.run(&world.mapping("sf"));
    session.run(
        "CREATE SCHEMA salesforce; IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER sf INTO salesforce",
    );
    assert_eq!(session.rows("SELECT id, birthdate FROM salesforce.contact").len(), 300);
    let garcia = session.number("SELECT count(*) FROM salesforce.contact WHERE last_name = 'García'");
    assert!(garcia > 0);
    assert_eq!(session.number("SELECT count(*) FROM (SELECT last_name || '' AS l FROM salesforce.contact WHERE last_name = 'García') s WHERE l = 'García'"), garcia);
    let failure = session.fails_with("22P05", "SELECT last_name FROM salesforce.contact");
    assert_eq!(failure.column.as_deref(), Some("last_name"), "{failure:#?}");
}
