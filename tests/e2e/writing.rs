//! What is sent: the columns that a statement names, the fields that differ, and values exactly or not at all.

use serde_json::json;

use crate::support::people::save;
use crate::support::{Config, Failure, Session, World, fields};

fn world() -> World {
    World::new(Config::new().records("Contact", 50).records("Account", 10))
}

fn every_type(records: u32) -> (World, Session) {
    let world = World::new(Config::new().records("Contact", 10).records("Every_Type__c", records));
    let mut session = world.connect();
    world.import(&mut session, "every_type__c");
    (world, session)
}

#[test]
fn an_insert_is_one_collection_of_all_or_nothing() {
    let world = world();
    let mut session = world.connect();
    let sql =
        "INSERT INTO salesforce.contact (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.com')";
    let (count, writes) = world.writes_of(|| session.count(sql));
    assert_eq!(count, 1);
    assert_eq!(world.requests().len(), 1, "{:#?}", world.requests());
    assert_eq!(
        (writes[0].method.as_str(), writes[0].path.as_str()),
        ("POST", "/services/data/v62.0/composite/sobjects")
    );
    let body: serde_json::Value = serde_json::from_str(&writes[0].body).unwrap();
    assert_eq!(
        body,
        json!({"allOrNone": true, "records": [{"attributes": {"type": "Contact"}, "FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@example.com"}]})
    );
    assert_eq!(world.count("Contact", "Email", "ada@example.com"), 1);
}

#[test]
fn an_api_default_stands_where_one_of_several_rows_says_default() {
    let (world, mut session) = every_type(0);
    let (_, sent) = world.sent_by(|| {
        session
            .run("INSERT INTO salesforce.every_type__c (text__c, default_true__c) VALUES ('a', DEFAULT), ('b', false)")
    });
    assert_eq!(sent[1], fields(json!({"Text__c": "b", "DefaultTrue__c": false})));
    assert_eq!(sent[0], fields(json!({"Text__c": "a"})), "DEFAULT is not NULL");
}

#[test]
fn a_row_of_every_type_saved_as_it_is_sends_nothing_and_one_changed_column_sends_one_field() {
    let (world, mut session) = every_type(40);
    let table = "salesforce.every_type__c";
    for index in 0..40 {
        let id = world.sandbox.id("Every_Type__c", index);
        let (count, writes) = world.writes_of(|| save(&mut session, table, &id, &[]));
        assert_eq!((count, writes.len()), (1, 0), "{id}: {writes:#?}");
    }
    let id = world.sandbox.id("Every_Type__c", 7);
    let (count, sent) = world.sent_by(|| save(&mut session, table, &id, &[("text__c", "'changed'")]));
    assert_eq!((count, sent), (1, vec![fields(json!({"Text__c": "changed"}))]));
    assert_eq!(world.record("Every_Type__c", &id)["Text__c"].as_deref(), Some("changed"));
}

#[test]
fn a_field_that_can_only_be_created_is_created_and_not_updated() {
    let world = World::new(Config::new().records("Lead", 10));
    let mut session = world.connect();
    world.import(&mut session, "lead");
    let (id, sent) = world.sent_by(|| {
        session.value(
            "INSERT INTO salesforce.lead (last_name, company, is_converted) VALUES ('L', 'C', true) RETURNING id",
        )
    });
    assert_eq!(sent, [fields(json!({"LastName": "L", "Company": "C", "IsConverted": true}))]);
    let failure =
        session.fails_with("428C9", &format!("UPDATE salesforce.lead SET is_converted = false WHERE id = '{id}'"));
    assert_eq!(failure.column.as_deref(), Some("is_converted"), "{failure:#?}");
}

#[test]
fn what_the_api_keeps_as_the_same_is_no_difference() {
    let (world, mut session) = every_type(1);
    let id = session.value(
        "INSERT INTO salesforce.every_type__c (currency__c, double__c, date_time__c, time__c, checkbox__c, multi__c) \
         VALUES (1.5, 120, '2024-05-06 07:08:09.123Z', '07:08:09.123', false, '{A,B}') RETURNING id",
    );
    for set in [
        "currency__c = 1.50",
        "currency__c = 1.500000000",
        "currency__c = 15e-1",
        "double__c = 120.000, currency__c = 0015.0 / 10",
        "text__c = ''",
        "text__c = NULL",
        "multi__c = '{}'",
        "multi__c = NULL",
        "checkbox__c = NULL",
        "date_time__c = '2024-05-06 07:08:09.123456Z'",
        "date_time__c = '2024-05-06 09:08:09.1229+02'",
        "time__c = '07:08:09.1234'",
        "picklist__c = '', email__c = ''",
    ] {
        if set == "multi__c = '{}'" {
            session.run(&format!("UPDATE salesforce.every_type__c SET multi__c = NULL WHERE id = '{id}'"));
        }
        let (count, writes) =
            world.writes_of(|| session.count(&format!("UPDATE salesforce.every_type__c SET {set} WHERE id = '{id}'")));
        assert_eq!((count, writes.len()), (1, 0), "{set}: {writes:#?}");
    }
    for (set, sent_field) in [
        ("currency__c = 1.51", "Currency__c"),
        ("text__c = ' '", "Text__c"),
        ("checkbox__c = true", "Checkbox__c"),
        ("date_time__c = '2024-05-06 07:08:09.124Z'", "DateTime__c"),
        ("time__c = '07:08:09.1235'", "Time__c"),
        ("double__c = 120.00000001", "Double__c"),
        ("date_time__c = NULL", "DateTime__c"),
    ] {
        let (_, sent) =
            world.sent_by(|| session.count(&format!("UPDATE salesforce.every_type__c SET {set} WHERE id = '{id}'")));
        assert_eq!(sent.len(), 1, "{set}");
        assert_eq!(sent[0].keys().collect::<Vec<_>>(), [sent_field], "{set}");
    }
}

#[test]
fn an_update_clears_with_null_and_with_an_empty_text() {
    let (world, mut session) = every_type(0);
    let id = session.value(
        "INSERT INTO salesforce.every_type__c (text__c, currency__c, multi__c, date__c, checkbox__c, text_area__c) VALUES ('a', 1, '{A}', '2024-01-01', true, 'x') RETURNING id",
    );
    let (_, sent) = world.sent_by(|| {
        session.run(&format!(
            "UPDATE salesforce.every_type__c SET text__c = NULL, currency__c = NULL, multi__c = '{{}}', date__c = NULL, checkbox__c = NULL, text_area__c = '' WHERE id = '{id}'"
        ))
    });
    let record = world.record("Every_Type__c", &id);
    for field in ["Text__c", "Currency__c", "Multi__c", "Date__c", "TextArea__c"] {
        assert_eq!(record[field], None, "{field}");
        assert!(sent[0][field].is_null(), "{sent:?}");
    }
    assert_eq!(record["Checkbox__c"].as_deref(), Some("false"));
}

#[test]
fn values_of_every_type_arrive_exactly() {
    let (world, mut session) = every_type(0);
    let account = world.sandbox.id("Account", 0);
    for (column, field, value, json) in [
        ("whole__c", "Whole__c", "1e17", "100000000000000000"),
        ("whole__c", "Whole__c", "'-1E+2'", "-100"),
        ("double__c", "Double__c", "1234567890.12345678", "1234567890.12345678"),
        ("double__c", "Double__c", "0.00000001", "0.00000001"),
        ("double__c", "Double__c", "1e-8", "0.00000001"),
        ("currency__c", "Currency__c", "12.34", "12.34"),
        ("fine__c", "Fine__c", "999.123456789012345", "999.123456789012345"),
        ("int__c", "Int__c", "-99999999", "-99999999"),
        ("long__c", "Long__c", "9007199254740993", "9007199254740993"),
        ("checkbox__c", "Checkbox__c", "true", "true"),
        ("multi__c", "Multi__c", "ARRAY['A', 'a b', 'D''E']", "\"A;a b;D'E\""),
        ("multi__c", "Multi__c", "ARRAY['B']", "\"B\""),
        ("date__c", "Date__c", "'1700-01-01'", "\"1700-01-01\""),
        ("date__c", "Date__c", "'4000-12-31'", "\"4000-12-31\""),
        ("date_time__c", "DateTime__c", "'1700-01-01 00:00:00Z'", "\"1700-01-01T00:00:00.000Z\""),
        ("date_time__c", "DateTime__c", "'4000-12-31 23:59:59.999Z'", "\"4000-12-31T23:59:59.999Z\""),
        ("date_time__c", "DateTime__c", "'2024-02-29 12:00:00.123456+05:30'", "\"2024-02-29T06:30:00.123Z\""),
        ("time__c", "Time__c", "'23:59:59.999'", "\"23:59:59.999Z\""),
        ("time__c", "Time__c", "'00:00'", "\"00:00:00.000Z\""),
        ("account__c", "Account__c", &format!("'{account}'"), &format!("\"{account}\"")),
        (
            "text__c",
            "Text__c",
            "E'quote \" back\\\\slash \\t tab \\n line ''s 🙂 \\u2028 é'",
            "\"quote \\\" back\\\\slash \\t tab \\n line 's 🙂 \u{2028} é\"",
        ),
        ("text__c", "Text__c", "E'\\x01\\x7f'", "\"\\u0001\u{7f}\""),
        ("file__c", "File__c", "encode('hello', 'base64')", "\"aGVsbG8=\""),
        ("place__latitude__s", "Place__Latitude__s", "-89.999999999999999", "-89.999999999999999"),
    ] {
        let sql = format!(
            "INSERT INTO salesforce.every_type__c ({column}) VALUES ({value}) RETURNING id, {column} IS NOT DISTINCT FROM {value}"
        );
        let (_, writes) = world.writes_of(|| session.rows(&sql));
        let wanted = format!("\"{field}\":{json}}}]}}");
        assert!(writes[0].body.ends_with(&wanted), "{sql}\n{}\nshould end in {wanted}", writes[0].body);
    }
}

#[test]
fn instants_are_rounded_as_postgres_rounds_them() {
    let (_world, mut session) = every_type(0);
    for instant in [
        "1969-12-31 23:59:59.9995Z",
        "1970-01-01 00:00:00.0005Z",
        "1985-01-01 00:00:00.0005Z",
        "1999-12-31 23:59:59.9995Z",
        "2000-01-01 00:00:00.0005Z",
        "2024-01-01 00:00:00.000499Z",
    ] {
        let sql = format!(
            "INSERT INTO salesforce.every_type__c (date_time__c) VALUES ('{instant}') RETURNING date_time__c, '{instant}'::timestamptz(3)"
        );
        let row = session.rows(&sql).swap_remove(0);
        assert_eq!(row[0], row[1], "{instant}");
    }
}

#[test]
fn texts_and_numbers_come_back_as_they_were_given() {
    let (_world, mut session) = every_type(0);
    for (column, value) in [
        ("text__c", "E'quote \" back\\\\slash \\t tab \\n line ''s 🙂 é {\"a\": [1]} \\\\u0041 </script>'"),
        ("text__c", "repeat('🙂', 255)"),
        ("long_text__c", "repeat(E'long \\\\ \"', 15000)"),
        ("text__c", "E'\\x01\\x1f'"),
        ("whole__c", "100000000000000000"),
        ("double__c", "1234567890.12345678"),
        ("fine__c", "-0.000000000000001"),
        ("long__c", "9007199254740993"),
        ("date__c", "'4000-12-31'::date"),
        ("date_time__c", "'1700-01-01 00:00:00.001Z'::timestamptz"),
        ("time__c", "'23:59:59.999'::time"),
        ("multi__c", "ARRAY['A', 'a b', 'D''E']"),
        ("exact_key__c", "'a;b=''c\"'"),
    ] {
        let sql = format!(
            "INSERT INTO salesforce.every_type__c ({column}) VALUES ({value}) RETURNING {column} = {value}, id"
        );
        let row = session.rows(&sql).swap_remove(0);
        assert_eq!(row[0].as_deref(), Some("t"), "{sql}");
        let id = row[1].clone().unwrap();
        assert_eq!(
            session.value(&format!("SELECT {column} = {value} FROM salesforce.every_type__c WHERE id = '{id}'")),
            "t",
            "{sql}"
        );
    }
}

#[test]
fn what_the_api_cannot_hold_is_refused_with_its_column() {
    let (world, mut session) = every_type(1);
    let id = world.sandbox.id("Every_Type__c", 0);
    let refused = |session: &mut Session, column: &str, value: &str, code: &str| -> Failure {
        let insert = format!("INSERT INTO salesforce.every_type__c (text__c, {column}) VALUES ('fine', {value})");
        let failure = session.fails(&insert);
        assert_eq!(failure.code, code, "{insert}\n{failure:#?}");
        assert_eq!(failure.column.as_deref(), Some(column), "{insert}\n{failure:#?}");
        let update = format!("UPDATE salesforce.every_type__c SET {column} = {value} WHERE id = '{id}'");
        let again = session.fails(&update);
        assert_eq!((again.code.as_str(), again.column.as_deref()), (code, Some(column)), "{update}\n{again:#?}");
        failure
    };
    for (column, value, code, says) in [
        ("double__c", "'NaN'", "22003", "NaN"),
        ("double__c", "'Infinity'", "22003", "Infinity"),
        ("double__c", "'-Infinity'", "22003", "-Infinity"),
        ("whole__c", "1e20", "22003", "100000000000000000000"),
        ("currency__c", "99999999999999999", "22003", "99999999999999999"),
        ("double__c", "1e2000", "22003", ""),
        ("int__c", "2147483647", "22003", "2147483647"),
        ("date__c", "'1699-12-31'", "22003", "1699-12-31"),
        ("date__c", "'4001-01-01'", "22003", "4001-01-01"),
        ("date__c", "'0044-03-15 BC'", "22003", ""),
        ("date__c", "'infinity'", "22003", "infinity"),
        ("date__c", "'-infinity'", "22003", "-infinity"),
        ("date_time__c", "'infinity'", "22003", "infinity"),
        ("date_time__c", "'-infinity'", "22003", "-infinity"),
        ("date_time__c", "'1699-12-31 23:59:59Z'", "22003", "1699-12-31"),
        ("date_time__c", "'4001-01-01 00:00:00Z'", "22003", "4001-01-01"),
        ("date_time__c", "'4000-12-31 23:59:59.9996Z'", "22003", "4000-12-31"),
        ("time__c", "'24:00'", "22003", "24:00"),
        ("multi__c", "ARRAY['A;B']", "22P02", "A;B"),
        ("multi__c", "ARRAY['A', NULL]", "22P02", "NULL"),
        ("multi__c", "ARRAY['A', '']", "22P02", "empty"),
    ] {
        let failure = refused(&mut session, column, value, code);
        failure.mentions(says);
        assert!(failure.message.trim_end().len() > "the field Date__c cannot hold".len(), "{failure:#?}");
    }
    assert_eq!(world.records("Every_Type__c").len(), 1, "nothing was written");
}

#[test]
fn an_error_shows_a_date_beyond_every_calendar() {
    let (_world, mut session) = every_type(0);
    for (column, value) in
        [("date__c", "5874897-12-31"), ("date__c", "300000-01-01"), ("date_time__c", "290000-01-01 00:00:00+00")]
    {
        let failure =
            session.fails_with("22003", &format!("INSERT INTO salesforce.every_type__c ({column}) VALUES ('{value}')"));
        let year = value.split('-').next().unwrap_or_default();
        assert!(failure.message.contains(year), "the value is not shown: {failure:#?}");
    }
}

#[test]
fn a_list_of_lists_is_no_list_of_choices() {
    let (world, mut session) = every_type(0);
    let failure = session.fails_with(
        "22P02",
        "INSERT INTO salesforce.every_type__c (multi__c) VALUES (ARRAY[['A', 'B'], ['C', 'a b']])",
    );
    assert_eq!(failure.column.as_deref(), Some("multi__c"), "{failure:#?}");
    assert!(world.records("Every_Type__c").is_empty());
}

#[test]
fn other_column_types_send_what_they_show() {
    let (world, mut session) = every_type(0);
    session.run(
        "CREATE DOMAIN amount AS numeric CHECK (VALUE < 1000);
         CREATE TYPE letter AS ENUM ('A', 'B');
         CREATE FOREIGN TABLE other (id text OPTIONS (field 'Id', key 'true'), r real OPTIONS (field 'Double__c'), d double precision OPTIONS (field 'Fine__c'), \
         i smallint OPTIONS (field 'Int__c'), n amount OPTIONS (field 'Currency__c'), l letter OPTIONS (field 'Picklist__c'), ls letter[] OPTIONS (field 'Multi__c'), \
         v varchar(5) OPTIONS (field 'Text__c'), u uuid OPTIONS (field 'Exact_Key__c')) SERVER sf OPTIONS (object 'Every_Type__c', operations 'insert, update')",
    );
    let (_, writes) = world.writes_of(|| {
        session.run("INSERT INTO other (r, d, i, n, l, ls, v, u) VALUES (0.1, 0.1, 7, 12.25, 'A', '{B,A}', 'abc', '00000000-0000-0000-0000-00000000000a')")
    });
    for wanted in [
        "\"Double__c\":0.1,",
        "\"Fine__c\":0.1,",
        "\"Int__c\":7,",
        "\"Currency__c\":12.25,",
        "\"Picklist__c\":\"A\"",
        "\"Multi__c\":\"B;A\"",
        "\"Text__c\":\"abc\"",
        "\"Exact_Key__c\":\"00000000-0000-0000-0000-00000000000a\"",
    ] {
        assert!(writes[0].body.contains(wanted), "no {wanted} in {}", writes[0].body);
    }
    session.fails_with("23514", "INSERT INTO other (n) VALUES (2000)");
    session.fails_with("22003", "INSERT INTO other (d) VALUES ('NaN')");
    session.fails_with("22003", "INSERT INTO other (r) VALUES ('-Infinity')");
    let saved = session.count("UPDATE other SET r = r, d = d, i = i, n = n, l = l, ls = ls, v = v, u = u");
    assert_eq!(saved, 1);
    assert_eq!(world.writes().iter().filter(|request| request.method == "PATCH").count(), 0);
}

#[test]
fn a_very_long_text_is_refused_by_the_api_and_cut_short_in_the_error() {
    let (world, mut session) = every_type(0);
    for column in ["text__c", "long_text__c"] {
        let failure = session.fails_with(
            "22001",
            &format!("INSERT INTO salesforce.every_type__c ({column}) VALUES (repeat('x', 1 << 20))"),
        );
        assert_eq!(failure.column.as_deref(), Some(column), "{}", failure.message);
        assert!(failure.everything().len() < 5_000, "{} bytes", failure.everything().len());
        failure.mentions("STRING_TOO_LONG");
    }
    assert!(world.records("Every_Type__c").is_empty());
}

#[test]
fn a_timestamp_column_is_an_instant_in_utc() {
    let (world, mut session) = every_type(0);
    session.run(
        "CREATE FOREIGN TABLE other (id text OPTIONS (field 'Id', key 'true'), at timestamp OPTIONS (field 'DateTime__c'), c char(6) OPTIONS (field 'Text__c')) SERVER sf OPTIONS (object 'Every_Type__c', operations 'insert, update');
         SET datestyle = 'SQL, DMY'",
    );
    let (row, writes) = world.writes_of(|| session.rows("INSERT INTO other (at, c) VALUES ('2024-05-06T07:08:09.123', 'abc') RETURNING at = '2024-05-06T07:08:09.123', c = 'abc'"));
    assert!(writes[0].body.contains("\"DateTime__c\":\"2024-05-06T07:08:09.123Z\""), "{}", writes[0].body);
    assert!(writes[0].body.contains("\"Text__c\":\"abc\""), "{}", writes[0].body);
    assert_eq!(row, [["t", "t"].map(|text| Some(text.to_owned()))]);
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

fn returned(session: &mut Session, sql: &str) -> Vec<Option<String>> {
    let mut rows = session.rows(sql);
    assert_eq!(rows.len(), 1, "{sql}");
    rows.swap_remove(0)
}

#[test]
fn an_update_returns_what_the_api_has_afterwards() {
    let world = world();
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
