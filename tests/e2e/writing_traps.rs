//! Writes that once went wrong, each by the name of what it found.

use crate::support::{Action, Config, Failure, Fault, Session, World};

/// A world whose contacts are these last names.
fn contacts(count: usize) -> (World, Session) {
    let world = World::new(Config::new().records("Contact", 0));
    let mut session = world.connect();
    session.run(&format!("INSERT INTO salesforce.contact (last_name) SELECT 'hw' FROM generate_series(1, {count})"));
    (world, session)
}

#[test]
fn several_columns_set_by_one_sub_select_are_set_row_by_row() {
    let (_world, mut session) = contacts(3);
    let sql = "UPDATE salesforce.contact c SET (first_name, title) = (SELECT 'a', c.last_name) WHERE NOT c.do_not_call";
    assert!(!session.explain("COSTS OFF", sql).contains("Foreign Update"));
    session.run(sql);
    let seen = session.rows("SELECT DISTINCT first_name, title FROM salesforce.contact");
    assert_eq!(seen, [[Some("a".to_owned()), Some("hw".to_owned())]]);
}

#[test]
fn a_statement_does_not_see_what_its_own_batches_have_written() {
    let (_world, mut session) = contacts(300);
    session.run(
        "UPDATE salesforce.contact c SET title = (SELECT count(*) FROM salesforce.contact d WHERE d.last_name = c.last_name)::text, last_name = 'hx' WHERE last_name = 'hw'",
    );
    assert_eq!(session.column("SELECT DISTINCT title FROM salesforce.contact"), ["300"]);
    let deleted = session.client().execute(
        "DELETE FROM salesforce.contact c WHERE (SELECT count(*) FROM salesforce.contact d WHERE d.last_name = c.last_name) > 150",
        &[],
    );
    assert_eq!(deleted.expect("the statement works"), 300);
}

#[test]
fn rows_that_are_read_ahead_hold_no_pages() {
    let (_world, mut session) = contacts(0);
    session.run("SET temp_buffers = '800kB'");
    session.run("CREATE TEMP TABLE wide (last_name text, description text)");
    session.run("ALTER TABLE wide ALTER description SET STORAGE PLAIN");
    session.run("INSERT INTO wide SELECT 'pin' || g, repeat('x', 5000) FROM generate_series(1, 300) g");
    session.run(
        "CREATE FOREIGN TABLE slim (last_name text OPTIONS (field 'LastName'), description text OPTIONS (field 'Description')) SERVER sf OPTIONS (object 'Contact', operations 'insert')",
    );
    session.run("INSERT INTO slim SELECT * FROM wide");
    assert_eq!(session.number("SELECT count(*) FROM salesforce.contact WHERE description IS NOT NULL"), 300);
}

#[test]
fn a_null_that_was_computed_is_no_default() {
    let world = World::new(Config::new().records("Every_Type__c", 0));
    let mut session = world.connect();
    world.import(&mut session, "every_type__c");
    for (at, values) in [
        "VALUES ('n', NULLIF(true, true)), ('o', false)",
        "SELECT * FROM (VALUES ('n', NULLIF(true, true)), ('o', false)) v (a, b)",
        "VALUES ('n', NULL), ('o', false)",
    ]
    .iter()
    .enumerate()
    {
        session.run(&format!("INSERT INTO salesforce.every_type__c (text__c, default_true__c) {values}"));
        let set = "SELECT bool_or(default_true__c) FROM salesforce.every_type__c";
        assert_eq!(session.value(set), "f", "{at}: {values}");
    }
    session.run("INSERT INTO salesforce.every_type__c (text__c, default_true__c) VALUES ('d', DEFAULT), ('o', false)");
    assert_eq!(session.column("SELECT text__c FROM salesforce.every_type__c WHERE default_true__c"), ["d"]);
}

#[test]
fn a_default_is_one_in_the_first_statement_of_a_session_too() {
    let world = World::new(Config::new().records("Every_Type__c", 0));
    let mut session = world.connect();
    world.import(&mut session, "every_type__c");
    let mut fresh = world.connect();
    fresh.run("INSERT INTO salesforce.every_type__c (text__c, default_true__c) VALUES ('d', DEFAULT), ('o', false)");
    assert_eq!(session.column("SELECT text__c FROM salesforce.every_type__c WHERE default_true__c"), ["d"]);
}

#[test]
fn errors_of_other_statements_keep_their_fields() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    session.run(
        "CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'boom' USING COLUMN = 'col', TABLE = 'tab', ERRCODE = '23514'; END $$",
    );
    let fields = |failure: Failure| (failure.code, failure.table, failure.column, failure.context);
    let before = fields(session.fails("SELECT boom()"));
    session.run("SELECT count(*) FROM salesforce.account");
    assert_eq!(fields(session.fails("SELECT boom()")), before);
    assert_eq!(before.1.as_deref(), Some("tab"));
}

#[test]
fn what_is_in_doubt_is_shown_to_who_wrote_it_alone() {
    let world = World::new(Config::new().records("Contact", 0));
    let low = format!("{}_low", world.name);
    world.as_superuser().run(&format!("CREATE ROLE \"{low}\"; GRANT \"{low}\" TO \"{}\"", world.name));
    let mut session = world.connect();
    world.sandbox.fault(Fault::new(Action::DropAfter).path("/composite").times(1));
    session.fails_with("08007", "INSERT INTO salesforce.contact (last_name) VALUES ('secret')");
    assert_eq!(session.number("SELECT count(*) FROM sequin.unconfirmed()"), 1);
    session.run(&format!("SET ROLE \"{low}\""));
    assert_eq!(session.number("SELECT count(*) FROM sequin.unconfirmed()"), 0);
}

#[test]
fn an_upsert_passes_by_no_trigger_and_takes_no_key_twice() {
    let (_world, mut session) = contacts(0);
    let upsert =
        |records: &str| format!("SELECT * FROM sequin.upsert('salesforce.contact', 'erp_key__c', '{records}')");
    let twice = r#"[{"erp_key__c": "a1", "last_name": "x"}, {"erp_key__c": "A1", "last_name": "y"}]"#;
    session.fails_with("21000", &upsert(twice)).mentions("the records 1 and 2");
    session.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not here'; END $$; CREATE TRIGGER t BEFORE UPDATE ON salesforce.contact FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let one = r#"[{"erp_key__c": "a1", "last_name": "x"}]"#;
    session.fails_with("0A000", &upsert(one)).mentions("triggers");
    assert_eq!(session.number("SELECT count(*) FROM salesforce.contact"), 0);
}
