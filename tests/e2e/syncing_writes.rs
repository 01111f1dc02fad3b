//! Synced tables: whoever writes to one, by whatever way, and whatever Salesforce makes of it.

use serde_json::json;

use crate::support::{Config, Session, World};

/// A table that is filled, and polled no more.
fn world() -> (World, Session) {
    following(Config::new().records("Contact", 40).records("Account", 8))
}

fn following(config: Config) -> (World, Session) {
    let world = World::with_worker(config);
    let mut session = world.connect();
    world.follow_contacts(&mut session, "1 hour");
    (world, session)
}

#[track_caller]
fn equal(world: &World, session: &mut Session) {
    assert_eq!(world.differences(session, "Contact", "crm.contact"), Vec::<String>::new());
}

#[test]
fn each_kind_of_refusal_fails_the_statement_and_changes_nothing_here() {
    let (world, mut session) = world();
    world.import(&mut session, "\"case\"");
    let id = world.sandbox.id("Contact", 7);
    session.fails_with("23514", &format!("UPDATE crm.contact SET level__c = 'Quaternary' WHERE id = '{id}'"));
    session.fails_with("22001", "INSERT INTO crm.contact (last_name) VALUES (repeat('x', 81))");
    session.fails_with("23502", "INSERT INTO crm.contact (first_name) VALUES ('Ada')");
    session.fails_with("23502", &format!("UPDATE crm.contact SET last_name = NULL WHERE id = '{id}'"));
    session
        .run(&format!("INSERT INTO salesforce.case (contact_id, subject, status) VALUES ('{id}', 'x', 'Escalated')"));
    session.fails_with("23503", &format!("DELETE FROM crm.contact WHERE id = '{id}'"));
    assert_eq!(session.number("SELECT count(*) FROM crm.contact"), 40);
    equal(&world, &mut session);
    // Among many, one.
    let failure = session.fails_with("23502", "UPDATE crm.contact SET title = 'all or none', last_name = CASE WHEN id = (SELECT max(id) FROM crm.contact) THEN NULL ELSE last_name END");
    assert!(failure.message.len() > 10, "{failure:#?}");
    equal(&world, &mut session);
}

#[test]
fn a_trigger_that_writes_to_another_synced_table_sends_that_too_whoever_fires_it() {
    let (world, mut session) = world();
    session.run("SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '1 hour')");
    world.await_current(&mut session, "crm.account");
    let account = world.sandbox.id("Account", 0);
    session.run(&format!(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE crm.account SET description = NEW.last_name WHERE id = '{account}'; RETURN NULL; END $$;
         CREATE TRIGGER note AFTER UPDATE OF last_name ON crm.contact FOR EACH ROW WHEN (NEW.last_name <> OLD.last_name) EXECUTE FUNCTION note()"
    ));
    let id = world.sandbox.id("Contact", 1);
    session.run(&format!("UPDATE crm.contact SET last_name = 'From here' WHERE id = '{id}'"));
    assert_eq!(world.record("Account", &account)["Description"].as_deref(), Some("From here"));
    world.upstream().update("Contact", &id, json!({"LastName": "From there"}));
    session.run("SELECT sequin.refresh('crm.contact')");
    assert_eq!(session.value(&format!("SELECT description FROM crm.account WHERE id = '{account}'")), "From there");
    assert_eq!(world.record("Account", &account)["Description"].as_deref(), Some("From there"));
}

#[test]
fn updates_from_other_tables_through_views_functions_cursors_and_prepared_statements_arrive() {
    let (world, mut session) = world();
    let ids: Vec<String> = (0..6).map(|n| world.sandbox.id("Contact", n)).collect();
    session.run(&format!("CREATE TABLE list (id text, title text); INSERT INTO list VALUES ('{}', 'From list'), ('{}', 'Also'), ('none', 'x')", ids[0], ids[1]));
    assert_eq!(session.count("UPDATE crm.contact c SET title = l.title FROM list l WHERE l.id = c.id"), 2);
    session.run("CREATE VIEW crm.sales AS SELECT id, last_name, title FROM crm.contact");
    assert_eq!(session.count(&format!("UPDATE crm.sales SET title = 'By view' WHERE id = '{}'", ids[2])), 1);
    session.run("INSERT INTO crm.sales (last_name) VALUES ('Viewed')");
    session.run(&format!("DELETE FROM crm.sales WHERE id = '{}'", ids[3]));
    session.run(&format!("CREATE FUNCTION save(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE crm.contact SET title = $1 WHERE id = '{}'; END $$; SELECT save('By function')", ids[4]));
    session.run(&format!("BEGIN; DECLARE c CURSOR FOR SELECT * FROM crm.contact WHERE id = '{}' FOR UPDATE; FETCH c; UPDATE crm.contact SET title = 'By cursor' WHERE CURRENT OF c; COMMIT", ids[5]));
    session.run("PREPARE save (text, text) AS UPDATE crm.contact SET title = $2 WHERE id = $1; PREPARE add (text) AS INSERT INTO crm.contact (last_name) VALUES ($1)");
    for round in 0..8 {
        session.run(&format!("EXECUTE save('{}', 'Prepared {round}'); EXECUTE add('Prepared {round}')", ids[0]));
    }
    assert_eq!(session.value("SELECT count(*) FROM crm.contact WHERE last_name LIKE 'Prepared%'"), "8");
    assert_eq!(world.count("Contact", "Title", "Prepared 7"), 1);
    session.run("WITH added AS (INSERT INTO crm.contact (last_name) VALUES ('In a WITH') RETURNING id) UPDATE list SET title = added.id FROM added");
    equal(&world, &mut session);
}

#[test]
fn a_role_with_rights_on_the_table_alone_writes_by_its_owners_mapping_within_its_policies() {
    let (world, mut session) = world();
    let clerk = format!("{}_clerk", world.name);
    world.as_superuser().run(&format!("CREATE ROLE \"{clerk}\" LOGIN PASSWORD 'secret'"));
    session.run(&format!("GRANT USAGE ON SCHEMA crm, salesforce TO \"{clerk}\"; GRANT SELECT, INSERT, UPDATE (title, department), DELETE ON crm.contact TO \"{clerk}\""));
    let mut clerk_session = world.connect_as(&clerk, "secret");
    let id = clerk_session.value("INSERT INTO crm.contact (last_name) VALUES ('By clerk') RETURNING id");
    clerk_session.run(&format!("UPDATE crm.contact SET title = 'Clerk' WHERE id = '{id}'"));
    clerk_session.fails_with("42501", &format!("UPDATE crm.contact SET email = 'x@example.com' WHERE id = '{id}'"));
    clerk_session.fails_with("42501", "SELECT * FROM salesforce.contact LIMIT 1");
    equal(&world, &mut session);
    session.run(&format!(
        "UPDATE crm.contact SET department = CASE WHEN id < (SELECT max(id) FROM crm.contact) THEN 'Hidden' ELSE 'Seen' END;
         ALTER TABLE crm.contact ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON crm.contact TO \"{clerk}\" USING (department = 'Seen')"
    ));
    assert_eq!(clerk_session.count("UPDATE crm.contact SET title = 'Policy'"), 1);
    assert_eq!(world.count("Contact", "Title", "Policy"), 1);
    clerk_session.fails_with("42501", "UPDATE crm.contact SET department = 'Other'");
    assert_eq!(clerk_session.count("DELETE FROM crm.contact"), 1);
    // Whom the policy hides rows from is not who keeps them.
    let hidden = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &hidden, json!({"Title": "Kept"}));
    session.run("SELECT sequin.refresh('crm.contact')");
    equal(&world, &mut session);
}

#[test]
fn policies_that_bind_the_owner_too_do_not_make_rows_invisible_to_the_keeping() {
    let (world, mut session) = world();
    session.run("ALTER TABLE crm.contact ENABLE ROW LEVEL SECURITY; ALTER TABLE crm.contact FORCE ROW LEVEL SECURITY; CREATE POLICY few ON crm.contact USING (last_name < 'M')");
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"LastName": "Zuse"}));
    let deleted = world.sandbox.id("Contact", 2);
    world.upstream().delete(&deleted);
    let outcome = session.try_rows("SELECT sequin.refresh('crm.contact')");
    session.run("ALTER TABLE crm.contact NO FORCE ROW LEVEL SECURITY");
    // Either it does it, or it says why it cannot.
    match outcome {
        Ok(_) => equal(&world, &mut session),
        Err(failure) => assert_ne!(failure.code, "XX000", "{failure:#?}"),
    }
}

#[test]
fn what_a_restore_or_a_replica_applies_is_not_sent() {
    let (world, mut session) = world();
    let mut admin = world.as_superuser();
    let (one, two) = (world.sandbox.id("Contact", 1), world.sandbox.id("Contact", 2));
    let (_, writes) = world.writes_of(|| {
        admin.run(&format!("SET session_replication_role = replica; DELETE FROM crm.contact WHERE id = '{one}'; UPDATE crm.contact SET title = 'Replica' WHERE id = '{two}'"))
    });
    assert!(writes.is_empty(), "{writes:#?}");
    // Loading the table's own dump into it once more is refused row by row, and posts nothing.
    let (_, writes) = world.writes_of(|| {
        let failure = session
            .try_copy("COPY crm.contact (id, last_name) FROM STDIN", &format!("{two}\tTwice\n"))
            .expect_err("it is here");
        assert_eq!(failure.code, "23505");
    });
    assert!(writes.is_empty(), "{writes:#?}");
}

#[test]
fn values_of_every_type_are_the_same_here_and_there() {
    let world = World::with_worker(Config::new().records("Contact", 5).records("Every_Type__c", 60));
    let mut session = world.connect();
    world.import(&mut session, "every_type__c");
    session.run("CREATE SCHEMA crm; SELECT sequin.start_sync('salesforce.every_type__c', 'crm.every_type__c', every => '1 hour')");
    world.await_current(&mut session, "crm.every_type__c");
    let same = |session: &mut Session| {
        assert_eq!(world.differences(session, "Every_Type__c", "crm.every_type__c"), Vec::<String>::new())
    };
    same(&mut session);
    assert_eq!(session.value("SELECT count(*) FROM crm.every_type__c a JOIN salesforce.every_type__c b ON b.id = a.id WHERE (a.place__c, a.home__c) IS DISTINCT FROM (b.place__c, b.home__c)"), "0");
    session.run("INSERT INTO crm.every_type__c (text__c, multi__c, double__c, fine__c, date__c, date_time__c, time__c, checkbox__c, int__c, long__c) VALUES (E'Zeile\\nzwei 😀', '{A,C}', 1234567890.12345678, 0.000000000000001, '2024-02-29', '2024-02-29 12:00:00.123+02', '23:59:59.999', true, -5, 9007199254740991)");
    same(&mut session);
    let (_, sent) = world.sent_by(|| session.run("UPDATE crm.every_type__c SET multi__c = multi__c, double__c = double__c, place__c = place__c, file__c = file__c, date_time__c = date_time__c"));
    assert!(sent.is_empty(), "{sent:?}");
    session.run("UPDATE crm.every_type__c SET multi__c = '{B}', double__c = double__c + 0.5, checkbox__c = NOT checkbox__c, text__c = upper(text__c) WHERE double__c < 1e9");
    same(&mut session);
}

/// The time a row was synced decides which of two versions is older: nobody may forge it.
#[test]
fn the_time_of_a_row_cannot_be_set_so_that_the_row_stays_behind() {
    let (world, mut session) = world();
    let id = world.sandbox.id("Contact", 1);
    let _ = session.try_rows(&format!("UPDATE crm.contact SET _synced_at = 'infinity' WHERE id = '{id}'"));
    let added =
        session.try_rows("INSERT INTO crm.contact (last_name, _synced_at) VALUES ('Later', 'infinity') RETURNING id");
    let added = added.ok().and_then(|rows| rows[0][0].clone());
    let upstream = world.upstream();
    for id in [Some(id), added].into_iter().flatten() {
        upstream.update("Contact", &id, json!({"Title": "Newer"}));
    }
    session.run("SELECT sequin.refresh('crm.contact')");
    equal(&world, &mut session);
}

#[test]
fn a_write_to_a_table_whose_foreign_table_is_gone_is_refused_by_name() {
    let (world, mut session) = world();
    session.run("DROP FOREIGN TABLE salesforce.contact");
    for sql in [
        "INSERT INTO crm.contact (last_name) VALUES ('x')",
        "UPDATE crm.contact SET title = 'x'",
        "DELETE FROM crm.contact",
    ] {
        let failure = session.fails(sql);
        assert_ne!(failure.code, "XX000", "{failure:#?}");
        failure.mentions("contact").hints("stop_sync");
    }
    session.run("SELECT sequin.stop_sync('crm.contact'); UPDATE crm.contact SET title = 'mine'");
    assert_eq!(world.count("Contact", "Title", "mine"), 0);
}

#[test]
fn rows_that_a_policy_hides_from_the_owner_are_told_of_and_do_not_stay_behind_in_silence() {
    let (world, mut session) = world();
    let id = world.sandbox.id("Contact", 1);
    session.run(&format!("UPDATE crm.contact SET title = 'Hidden' WHERE id = '{id}'"));
    session.run("ALTER TABLE crm.contact ENABLE ROW LEVEL SECURITY; ALTER TABLE crm.contact FORCE ROW LEVEL SECURITY; CREATE POLICY few ON crm.contact USING (title IS DISTINCT FROM 'Hidden')");
    world.upstream().update("Contact", &id, json!({"Title": "Shown"}));
    session
        .fails_with("42501", "SELECT sequin.refresh('crm.contact')")
        .mentions("hides rows")
        .hints("NO FORCE ROW LEVEL SECURITY");
    session.run("ALTER TABLE crm.contact NO FORCE ROW LEVEL SECURITY; SELECT sequin.refresh('crm.contact')");
    equal(&world, &mut session);
}

#[test]
fn a_refused_row_is_told_by_its_place_in_the_users_own_statement() {
    let (world, mut session) = world();
    let taken = world.sandbox.id("Contact", 1);
    let insert = "INSERT INTO crm.contact (last_name, email) VALUES ('Ok1', 'ok1@example.com'), ('Bad', 'nope')";
    let failure = session.fails_with("22P02", insert);
    failure.mentions("It is row 2 of the statement.\\nOne record was written before, and stays.");
    let failure = session
        .try_copy("COPY crm.contact (last_name, email) FROM STDIN", "a\ta@example.com\nb\t\\N\nc\tworse\n")
        .expect_err("no address");
    failure.mentions("It is row 3 of the statement.\\n2 records were written before, and stay.").mentions("line 3");
    // A row that is here already counts.
    let failure = session.fails_with("22P02", &format!("INSERT INTO crm.contact (id, last_name, email) VALUES ('{taken}', 'x', NULL), (NULL, 'Bad', 'nope') ON CONFLICT DO NOTHING"));
    failure.mentions("It is row 2 of the statement.");
    // The next statement begins anew, and the only row needs no number.
    for table in ["crm", "salesforce"] {
        let failure = session
            .fails_with("22P02", &format!("INSERT INTO {table}.contact (last_name, email) VALUES ('Bad', 'nope')"));
        assert!(!failure.everything().contains("of the statement"), "{failure:#?}");
    }
    let failure = session.fails_with("22P02", &format!("UPDATE crm.contact SET email = 'nope' WHERE id = '{taken}'"));
    failure.mentions(&format!("It is the record \\\"{taken}\\\"."));
}

#[test]
fn an_update_of_records_that_are_gone_names_ten_of_them() {
    let (world, mut session) = world();
    let gone: Vec<String> = (0..12).map(|n| world.sandbox.id("Contact", n)).collect();
    world.upstream().delete_all(&gone);
    let failure = session.fails_with("40001", "UPDATE crm.contact SET title = 'all'");
    failure.mentions("12 of 40 records of \\\"contact\\\" are gone at the API").mentions(" and 2 more.");
    let detail = failure.detail.as_deref().unwrap_or_default();
    assert_eq!(gone.iter().filter(|id| detail.contains(*id)).count(), 10, "{detail}");
    let failure = session.fails_with("40001", &format!("UPDATE crm.contact SET title = 'x' WHERE id = '{}'", gone[0]));
    failure.mentions("1 of 1 records of \\\"contact\\\" is gone").mentions(&format!("Gone: {}.", gone[0]));
}
