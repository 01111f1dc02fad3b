//! Reading Airtable: every type of field, pages, and answers that are none.

use serde_json::{Value, json};

use crate::support::{Action, Config, Copy, Fault, World, sorted};

#[test]
fn every_column_is_what_the_api_holds() {
    let world = World::airtable(Config::new());
    for specials in [true, false] {
        world.sandbox.set_airtable_switches(|switches| switches.special_values = specials);
        let mut copy = Copy::of(
            &world,
            &[
                ("People", "people"),
                ("Companies", "companies"),
                ("Projects", "projects"),
                ("Measurements", "measurements"),
            ],
        );
        for table in ["people", "companies", "projects", "measurements"] {
            let columns: Vec<_> = copy.columns(table).into_iter().map(|(name, _)| format!("\"{name}\"")).collect();
            copy.same(&format!("SELECT {} FROM ops.{table}", columns.join(", ")));
        }
        assert!(copy.session.number("SELECT count(*) FROM local.people WHERE error_prone IS NULL") > 0);
        copy.session.run("DROP SCHEMA local CASCADE");
    }
}

#[test]
fn what_has_no_type_of_its_own_is_the_json_that_came() {
    let world = World::airtable(Config::new());
    let dump: Vec<Value> = serde_json::from_str(&world.sandbox.dump_json("People").expect("a dump")).expect("JSON");
    let mut session = world.connect();
    for (column, label) in [
        ("owner", "Owner"),
        ("team", "Team"),
        ("badge", "Badge"),
        ("created_by", "Created by"),
        ("modified_by", "Modified by"),
        ("profile", "Profile"),
        ("summary", "Summary"),
        ("aura", "Aura"),
        ("company_city", "Company city"),
        ("project_budgets", "Project budgets"),
        ("project_members", "Project members"),
    ] {
        let field = world.sandbox.airtable_field("People", label);
        let right = dump.iter().map(|record| {
            let cell = record["fields"].get(&field).map(Value::to_string);
            vec![record["id"].as_str().map(str::to_owned), cell]
        });
        let found = session.rows(&format!("SELECT _id, {column} FROM ops.people"));
        let found = found.into_iter().map(|row| {
            let json =
                row[1].as_ref().map(|text| serde_json::from_str::<Value>(text).expect("jsonb is JSON").to_string());
            vec![row[0].clone(), json]
        });
        assert_eq!(sorted(found.collect()), sorted(right.collect()), "{column}");
    }
    assert_eq!(session.number("SELECT count(broken) FROM ops.people"), 0, "an error is no value");
    let photos = "SELECT count(*) FROM ops.people, jsonb_array_elements(photos) AS p WHERE p->>'url' LIKE 'http%' AND p->>'id' LIKE 'att%'";
    assert!(session.number(photos) > 0);
}

#[test]
fn only_the_fields_that_the_statement_needs_are_asked_for() {
    let world = World::airtable(Config::new());
    let mut session = world.connect();
    let field = |name: &str| world.sandbox.airtable_field("People", name);
    session.run("SELECT name FROM ops.people WHERE email IS NULL");
    assert_eq!(world.lists()[0]["fields"], json!([field("Name")]));
    world.sandbox.clear_requests();
    // Without any, the API might send all.
    assert_eq!(session.number("SELECT count(*) FROM ops.people"), 300);
    assert_eq!(world.lists()[0]["fields"], json!([field("Name")]));
    assert_eq!(world.lists().len(), 3);
    assert!(world.requests().iter().all(|request| request.method == "POST"));
}

#[test]
fn small_pages_and_large_tables_bring_each_record_once() {
    let world = World::airtable(Config::new().records("Measurements", 5_000).airtable(|s| s.stable_pages = true));
    let mut session = world.connect();
    assert_eq!(session.value("SELECT count(*) || ' ' || count(DISTINCT _id) FROM ops.measurements"), "5000 5000");
    assert_eq!(world.requests().len(), 50);
    session.run("ALTER SERVER at OPTIONS (ADD page_size '7')");
    assert_eq!(session.value("SELECT count(*) || ' ' || count(DISTINCT _id) FROM ops.people"), "300 300");
    assert_eq!(world.lists().last().expect("lists")["pageSize"], 7);
    world.sandbox.clear_requests();
    session.run("SELECT * FROM ops.measurements LIMIT 5");
    let lists = world.lists();
    assert_eq!((lists.len(), &lists[0]["maxRecords"], &lists[0]["pageSize"]), (1, &json!(5), &json!(5)));
}

#[test]
fn a_list_that_the_api_forgets_is_begun_anew_without_doubled_or_lost_rows() {
    let world = World::airtable(Config::new());
    let mut copy = Copy::of(&world, &[("Measurements", "measurements")]);
    for condition in ["true", "value > 0", "ok"] {
        let sql = format!("SELECT _id, name, value FROM ops.measurements WHERE {condition}");
        for skip in [1, 2, 5] {
            for kind in ["LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "INVALID_OFFSET_VALUE"] {
                let body = json!({ "error": { "type": kind } }).to_string();
                let fault = Fault::status(422, body).path("listRecords").skip(skip).times(1);
                world.sandbox.fault(fault);
                copy.same(&sql);
                world.sandbox.clear_faults();
            }
        }
    }
    // One that is forgotten again and again before anything new has come ends the scan.
    world.sandbox.set_airtable_switches(|switches| switches.iterator_uses = Some(2));
    copy.session.fails_with("34000", "SELECT * FROM ops.measurements").hints("again");
    world.sandbox.set_airtable_switches(|switches| switches.iterator_uses = None);
}

#[test]
fn records_by_their_ids_are_read_a_hundred_at_a_time() {
    let world = World::airtable(Config::new());
    let mut copy = Copy::of(&world, &[("Measurements", "measurements")]);
    for count in [1, 99, 100, 101, 250, 1200] {
        let list = format!(
            "SELECT array_agg(_id) FROM (SELECT _id FROM local.measurements ORDER BY _id LIMIT {count}) AS part"
        );
        let ids = copy.session.value(&list);
        let sql = format!("SELECT _id, name FROM ops.measurements WHERE _id = ANY ('{ids}')");
        copy.same(&sql);
        world.sandbox.clear_requests();
        assert_eq!(copy.session.rows(&sql).len(), count);
        assert_eq!(world.requests().len(), count.div_ceil(100), "{count} ids");
    }
    let id = copy.session.value("SELECT min(_id) FROM local.measurements");
    for sql in [
        format!("SELECT name FROM ops.measurements WHERE _id = '{id}'"),
        format!("SELECT name FROM ops.measurements WHERE _id = lower('{id}')"),
        format!("SELECT name FROM ops.measurements WHERE _id IN ('{id}', 'rec', '', NULL, 'recnothere000000')"),
        format!("SELECT name FROM ops.measurements WHERE _id = '{id}' OR value > 900"),
        format!("SELECT name FROM ops.measurements WHERE _id <> '{id}'"),
        format!("SELECT name FROM ops.measurements WHERE _id = '{id}' AND _id = ANY (ARRAY['{id}', 'x'])"),
        "SELECT name FROM ops.measurements WHERE _id IS NULL".to_owned(),
    ] {
        for folded in [false, true] {
            world.sandbox.set_airtable_switches(|switches| switches.equals_ignores_case = folded);
            copy.same(&sql);
        }
    }
    world.sandbox.clear_requests();
    copy.session.run("SELECT * FROM ops.measurements WHERE _id = 'nonsense'");
    assert!(world.requests().is_empty(), "what is no id is no record's");
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error_and_never_fewer_rows() {
    let world = World::airtable(Config::new());
    let mut session = world.connect();
    let table = world.sandbox.airtable_table("People");
    let field = world.sandbox.airtable_field("People", "Age");
    let other = world.sandbox.airtable_field("People", "Name");
    let record = |id: &str, fields: &str| {
        format!(r#"{{"records":[{{"id":"{id}","createdTime":"2022-01-01T00:00:00.000Z","fields":{fields}}}]}}"#)
    };
    for body in [
        "{}".to_owned(),
        "[]".to_owned(),
        r#"{"records":null}"#.to_owned(),
        r#"{"records":[{"id":"rec00000000000000"}]}"#.to_owned(),
        record("rec1", "{}"),
        record("rec00000000000000", &format!(r#"{{"{other}":"x"}}"#)),
        record("rec00000000000000", "[]"),
        format!("{}x", record("rec00000000000000", "{}")),
    ] {
        world.sandbox.fault(Fault::new(Action::Body(body.clone())).path(&table).times(1));
        session.fails_with("HV00M", "SELECT age FROM ops.people").in_request("POST ");
        world.sandbox.clear_faults();
    }
    let body = record("rec00000000000000", &format!(r#"{{"{field}":"x"}}"#));
    world.sandbox.fault(Fault::new(Action::Body(body)).path(&table).times(1));
    let failure = session.fails_with("22P02", "SELECT age FROM ops.people");
    assert_eq!(failure.column.as_deref(), Some("age"));
    world.sandbox.clear_faults();
    assert_eq!(session.rows("SELECT age FROM ops.people").len(), 300);
}
