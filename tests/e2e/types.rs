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

/// Answers every query with these values of one field.
fn answer(world: &World, field: &str, values: &[String]) {
    let record = |value: &String| format!(r#"{{"attributes":{{"type":"Contact","url":"/x"}},"{field}":{value}}}"#);
    let records = values.iter().map(record).collect::<Vec<_>>().join(",");
    let body = format!(r#"{{"totalSize":{},"done":true,"records":[{records}]}}"#, values.len());
    world.sandbox.fault(Fault::new(Action::Body(body)).path("/query"));
}

#[test]
fn every_number_is_the_one_that_postgres_reads_down_to_its_bytes() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let digits = [
        "0",
        "1",
        "5",
        "9",
        "10",
        "150",
        "1000",
        "9999",
        "10000",
        "10001",
        "100000000",
        "123456789",
        "99999999",
        "10203040506",
        "100000000000000000",
        "999999999999999999",
        "123456789012345678",
        "1000000000000000000",
        "12345678901234567890",
    ];
    let mut numbers: Vec<String> =
        ["1.0E8", "1e-5", "-2.50E+3", "1.000000000000000000000001"].map(str::to_owned).into();
    for digits in digits {
        for places in 0..20 {
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            let point = if places > 0 { "." } else { "" };
            numbers.extend(["", "-"].map(|sign| format!("{sign}{whole}{point}{fraction}")));
        }
    }
    answer(&world, "Score__c", &numbers);
    let shown = |number: &str| {
        format!(
            "concat_ws(' ', {number}, encode(numeric_send({number}), 'hex'), pg_column_size({number}), {number} + 1)"
        )
    };
    let ours = session.column(&format!("SELECT {} FROM salesforce.contact", shown("score__c")));
    let list = numbers.join("','");
    let theirs = session
        .column(&format!("SELECT {} FROM (SELECT n::numeric FROM unnest(ARRAY['{list}']) n OFFSET 0) s", shown("n")));
    assert_eq!(ours.len(), numbers.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

#[test]
fn texts_of_every_length_arrive_whole_also_when_they_are_read_again() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let texts: Vec<String> =
        (0..300).map(|length| "aé😀\n\\".chars().cycle().skip(length % 3).take(length).collect()).collect();
    let plain: Vec<String> = (0..300).map(|length| "x".repeat(length)).collect();
    let texts = [texts, plain].concat();
    let json: Vec<_> = texts.iter().map(|text| serde_json::to_string(text).expect("a text")).collect();
    answer(&world, "Title", &json);
    session.run("SET enable_material = off; SET enable_hashjoin = off; SET enable_mergejoin = off");
    let read = "SELECT title FROM (VALUES (1), (2), (3)) v LEFT JOIN salesforce.contact ON true";
    assert_eq!(session.column(read), [texts.clone(), texts.clone(), texts.clone()].concat());
    assert_eq!(world.requests().len(), 1);
    // Whoever keeps rows copies them.
    assert_eq!(
        session.column("SELECT min(title) FROM salesforce.contact GROUP BY title ORDER BY title COLLATE \"C\""),
        {
            let mut sorted = texts.clone();
            sorted.sort();
            sorted.dedup();
            sorted
        }
    );
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
