//! Writing to Airtable: its types, what it refuses, and records that are found by a field.

use serde_json::{Value, json};

use crate::support::{Config, World};

fn world() -> World {
    World::airtable(Config::new().records("Measurements", 500))
}

/// A field of all records of a table, as the API has it.
fn held(world: &World, table: &str, field: &str) -> Vec<Value> {
    let dump = world.sandbox.dump_json(table).expect("a dump");
    let dump: Vec<Value> = serde_json::from_str(&dump).expect("JSON");
    let field = world.sandbox.airtable_field(table, field);
    dump.into_iter().map(|record| record["fields"][&field].clone()).collect()
}

/// The methods of the requests so far that write.
fn methods(world: &World) -> Vec<String> {
    let writes = world.requests().into_iter().filter(|request| !request.path.ends_with("listRecords"));
    writes.map(|request| request.method).collect()
}

#[test]
fn every_record_is_written_though_pages_move_while_they_are_written() {
    let world = world();
    let mut session = world.connect();
    let unchecked = held(&world, "Measurements", "Ok").iter().filter(|ok| ok.is_null()).count();
    // The write makes its own condition false: directly, row by row, and by deleting.
    assert_eq!(session.count("UPDATE ops.measurements SET ok = true WHERE NOT ok"), unchecked as u64);
    assert_eq!(held(&world, "Measurements", "Ok"), vec![json!(true); 500]);
    let many = session.number("SELECT count(*) FROM ops.measurements WHERE count > 20");
    assert_eq!(session.rows("DELETE FROM ops.measurements WHERE count > 20 RETURNING _id").len() as i64, many);
    assert_eq!(session.count("DELETE FROM ops.measurements WHERE ok") as i64, 500 - many);
    assert_eq!(session.number("SELECT count(*) FROM ops.measurements"), 0);
}

#[test]
fn every_type_is_written_read_back_and_cleared() {
    let world = world();
    let mut session = world.connect();
    let company = session.value("SELECT min(_id) FROM ops.companies");
    let values = [
        ("name", "'Ada \"Q\" \\ 李'"),
        ("notes", "E'one\\ntwo'"),
        ("age", "42"),
        ("score", "-0.125"),
        ("salary", "1000.5"),
        ("worked", "3600"),
        ("rating", "3"),
        ("active", "true"),
        ("status", "'Done'"),
        ("skills", "ARRAY['SQL', 'a, b']"),
        ("born", "'1815-12-10'::date"),
        ("last_seen", "'2024-05-31 12:34:56.789+00'::timestamptz"),
        ("badge", "'{\"text\": \"0042\"}'::jsonb"),
    ];
    let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
    let given: Vec<_> = values.iter().map(|(_, value)| *value).collect();
    let sql = format!(
        "INSERT INTO ops.people ({}, company) VALUES ({}, ARRAY['{company}']) RETURNING _id, ROW({}, company) = ROW({}, ARRAY['{company}']), _created_time > now() - interval '1 hour', label, number",
        names.join(", "),
        given.join(", "),
        names.join(", "),
        given.join(", ")
    );
    let row = session.rows(&sql).swap_remove(0);
    let text = |at: usize| row[at].clone().unwrap_or_default();
    assert_eq!((text(1).as_str(), text(2).as_str(), text(4).as_str()), ("t", "t", "301"));
    assert_eq!(text(3), "Ada \"Q\" \\ 李 (42)");
    let id = text(0);
    let cleared: Vec<_> = names.iter().map(|name| format!("{name} = NULL")).collect();
    let sql = format!("UPDATE ops.people SET {}, company = '{{}}' WHERE _id = '{id}'", cleared.join(", "));
    assert_eq!(session.count(&sql), 1);
    let null: Vec<_> = names.iter().filter(|name| **name != "active").map(|name| format!("{name} IS NULL")).collect();
    let sql =
        format!("SELECT {} AND company IS NULL AND NOT active FROM ops.people WHERE _id = '{id}'", null.join(" AND "));
    assert_eq!(session.value(&sql), "t");
    // What is the same already is not sent.
    world.sandbox.clear_requests();
    assert_eq!(
        session.count(&format!("UPDATE ops.people SET name = '', skills = '{{}}', age = NULL WHERE _id = '{id}'")),
        1
    );
    assert!(methods(&world).is_empty());
}

#[test]
fn what_can_only_be_read_is_refused_before_a_request() {
    let world = world();
    let mut session = world.connect();
    let id = session.value("SELECT min(_id) FROM ops.people WHERE label IS NOT NULL AND number IS NOT NULL");
    world.sandbox.clear_requests();
    for (column, value) in [("label", "'x'"), ("number", "7"), ("_id", "'rec00000000000000'"), ("project_count", "1")] {
        let failure =
            session.fails_with("428C9", &format!("INSERT INTO ops.people (name, {column}) VALUES ('x', {value})"));
        assert_eq!(failure.column.as_deref(), Some(column));
        let sql = format!("UPDATE ops.people SET {column} = {value} WHERE _id = '{id}'");
        assert_eq!(session.fails_with("428C9", &sql).column.as_deref(), Some(column));
    }
    assert!(methods(&world).is_empty());
    for (value, code) in [("age = 'NaN'", "22003"), ("skills = ARRAY['SQL', NULL]", "22P02")] {
        session.fails_with(code, &format!("UPDATE ops.people SET {value} WHERE _id = '{id}'"));
    }
    assert!(methods(&world).is_empty());
}

#[test]
fn what_the_api_refuses_is_an_error_in_its_words_and_its_batch_is_not_written() {
    let world = world();
    let mut session = world.connect();
    for (column, value, code) in [
        ("status", "'Nothing'", "23514"),
        ("skills", "ARRAY['SQL', 'nothing']", "23514"),
        ("rating", "9", "22P02"),
        ("company", "ARRAY['recnothere0000000']", "23503"),
        ("badge", "'{\"no\": 1}'::jsonb", "22P02"),
    ] {
        let sql = format!(
            "INSERT INTO ops.people (name, {column}) SELECT 'x', CASE i WHEN 7 THEN {value} END FROM generate_series(1, 12) AS i"
        );
        let failure = session.fails_with(code, &sql);
        failure.mentions("rows 1 to 10 of the statement").in_request("POST ");
    }
    assert_eq!(session.number("SELECT count(*) FROM ops.people"), 300);
    let failure = session.fails_with(
        "23514",
        "INSERT INTO ops.people (name, status) SELECT 'x', CASE i WHEN 15 THEN 'Nothing' END FROM generate_series(1, 20) AS i",
    );
    failure.mentions("10 records were written before, and stay");
}

#[test]
fn an_upsert_finds_records_by_a_field_and_says_which_are_new() {
    let world = world();
    let mut session = world.connect();
    session.run("INSERT INTO ops.empty (name, amount) VALUES ('a', 1), ('b', 2)");
    let sql = "SELECT ordinal, created FROM sequin.upsert('ops.empty', 'name', '[{\"name\": \"b\", \"amount\": 20}, {\"name\": \"c\", \"amount\": 3}]')";
    let rows: Vec<Vec<_>> = session.rows(sql).into_iter().map(|row| row.into_iter().flatten().collect()).collect();
    assert_eq!(rows, [["1", "f"], ["2", "t"]]);
    assert_eq!(session.column("SELECT name || amount FROM ops.empty ORDER BY 1"), ["a1", "b20", "c3"]);
    session.run("INSERT INTO ops.empty (name) VALUES ('b')");
    session.fails_with("21000", sql);
    session
        .fails_with("0A000", "SELECT * FROM sequin.upsert('ops.empty', '_id', '[{\"_id\": \"rec00000000000000\"}]')");
}
