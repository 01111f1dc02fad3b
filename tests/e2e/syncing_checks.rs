//! What a synced table's own rules refuse is refused before the API hears of it, and what its triggers write in turn is
//! what stays.

use serde_json::{Value, json};

use crate::support::people::{Crowd, OF_AIRTABLE, OF_SALESFORCE, People};
use crate::support::{Cluster, Session, on_each};

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    what_policies_of_the_table_refuse_is_not_sent,
    through_a_view_its_owners_policies_and_its_own_check_are_asked,
    policies_are_asked_by_the_first_statement_of_a_session_that_has_not_loaded_the_library,
    what_checks_and_not_null_refuse_is_not_sent,
    a_row_that_meets_another_by_a_unique_index_is_not_sent_and_the_conflict_decides,
    rows_of_one_statement_meet_each_other,
    indexes_of_an_expression_or_of_some_rows_and_exclusions_are_asked_too,
    constraints_that_can_be_deferred_are_asked_at_once,
    a_row_that_meets_none_in_the_end_is_not_stored_without_a_record,
    what_a_trigger_updates_after_an_update_is_what_stays,
    what_a_trigger_deletes_after_an_update_is_gone,
    what_a_function_updates_amid_an_update_stays_too,
    what_a_trigger_updates_after_an_insert_is_what_stays,
    two_sessions_that_insert_the_same_create_one_record,
    rules_about_what_the_api_fills_do_not_refuse_before_it_has,
    on_conflict_sees_the_key_of_the_row_that_is_met,
    a_statement_that_failed_in_a_part_of_the_transaction_is_forgotten,
    a_refresh_amid_an_update_is_refused_since_it_would_undo_it,
}

/// A table that is filled and looked after no more, in which nobody has the same note as another.
fn still(crowd: &'static Crowd) -> (People, Session) {
    let people = People::in_cluster(crowd, Cluster::preloaded(), 6);
    let mut session = people.world.connect();
    people.follow(&mut session, "1 hour", r#"{"sweep_every": null}"#);
    session.run("UPDATE crm.people SET note = 'note ' || id");
    (people, session)
}

/// The same with a unique index on notes.
fn unique(crowd: &'static Crowd) -> (People, Session) {
    let (people, mut session) = still(crowd);
    session.run("CREATE UNIQUE INDEX one_note ON crm.people (note)");
    (people, session)
}

/// A role that may write to the table, and what it is called.
fn clerk(people: &People, session: &mut Session) -> (String, Session) {
    let clerk = format!("{}_clerk", people.world.name);
    people.world.as_superuser().run(&format!("CREATE ROLE \"{clerk}\" LOGIN PASSWORD 'secret'"));
    session.run(&format!(
        "GRANT USAGE ON SCHEMA crm TO \"{clerk}\"; GRANT SELECT, INSERT, UPDATE ON crm.people TO \"{clerk}\"; \
         ALTER TABLE crm.people ENABLE ROW LEVEL SECURITY"
    ));
    let connection = people.world.connect_as(&clerk, "secret");
    (clerk, connection)
}

#[track_caller]
fn refused(people: &People, session: &mut Session, code: &str, sql: &str) {
    let (_, sent) = people.sent_by(|| session.fails_with(code, sql));
    assert_eq!(sent, Vec::<Value>::new(), "{sql}");
}

#[track_caller]
fn sends(people: &People, session: &mut Session, sql: &str, fields: &[Value]) {
    let (_, sent) = people.sent_by(|| session.run(sql));
    assert_eq!(sent, fields, "{sql}");
}

fn what_policies_of_the_table_refuse_is_not_sent(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    let (clerk, mut clerk_session) = clerk(&people, &mut session);
    session.run(&format!(
        "CREATE POLICY mine ON crm.people FOR INSERT TO \"{clerk}\" WITH CHECK (place = 'Mine');
         CREATE POLICY seen ON crm.people FOR SELECT TO \"{clerk}\" USING (note = 'Seen');
         CREATE TABLE crm.list (name text); INSERT INTO crm.list VALUES ('L'); GRANT SELECT ON crm.list TO \"{clerk}\""
    ));
    refused(&people, &mut clerk_session, "42501", "INSERT INTO crm.people (name, place) VALUES ('N', 'Theirs')");
    refused(
        &people,
        &mut clerk_session,
        "42501",
        "INSERT INTO crm.people (name, place) SELECT name, 'Theirs' FROM crm.list",
    );
    refused(
        &people,
        &mut clerk_session,
        "42501",
        "PREPARE add AS INSERT INTO crm.people (name, place) VALUES ('N', $1); EXECUTE add('Theirs')",
    );
    // Whoever asks for the row must be allowed to see it, too.
    refused(
        &people,
        &mut clerk_session,
        "42501",
        "INSERT INTO crm.people (name, place) VALUES ('N', 'Mine') RETURNING id",
    );
    sends(
        &people,
        &mut clerk_session,
        "INSERT INTO crm.people (name, place) VALUES ('N', 'Mine')",
        &[json!({"name": "N", "place": "Mine"})],
    );
    clerk_session.run(
        "INSERT INTO crm.people (name, place, note) VALUES ('N', 'Mine', 'Seen') RETURNING id; EXECUTE add('Mine')",
    );
    if session.number("SHOW server_version_num") >= 150_000 {
        let merge = "MERGE INTO crm.people t USING crm.list s ON t.name = 'none' WHEN NOT MATCHED THEN INSERT (name, place) VALUES (s.name, 'Theirs')";
        refused(&people, &mut clerk_session, "42501", merge);
    }
    // The API fills that column: it is not known yet.
    session.run("DROP POLICY mine ON crm.people; CREATE POLICY mine ON crm.people FOR INSERT WITH CHECK (full_name IS NOT NULL)");
    refused(&people, &mut clerk_session, "42501", "INSERT INTO crm.people (name) VALUES ('N')");
    people.equal(&mut session);
}

fn through_a_view_its_owners_policies_and_its_own_check_are_asked(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    let (clerk, mut clerk_session) = clerk(&people, &mut session);
    session.run(&format!(
        "CREATE VIEW crm.some AS SELECT * FROM crm.people WHERE place = 'Mine' WITH CHECK OPTION; GRANT INSERT ON crm.some TO \"{clerk}\""
    ));
    for rights in ["GRANT", "REVOKE"] {
        if rights == "REVOKE" {
            session.run(&format!("REVOKE ALL ON crm.people FROM \"{clerk}\""));
        }
        refused(&people, &mut clerk_session, "44000", "INSERT INTO crm.some (name, place) VALUES ('N', 'Theirs')");
        sends(
            &people,
            &mut clerk_session,
            "INSERT INTO crm.some (name, place) VALUES ('N', 'Mine')",
            &[json!({"name": "N", "place": "Mine"})],
        );
    }
    people.equal(&mut session);
}

fn policies_are_asked_by_the_first_statement_of_a_session_that_has_not_loaded_the_library(crowd: &'static Crowd) {
    let people = People::new(crowd, 6);
    let mut session = people.world.connect();
    session.run(
        "CREATE SCHEMA crm; SELECT sequin.start_sync('far.people', 'crm.people'); SELECT sequin.refresh('crm.people')",
    );
    let (clerk, _) = clerk(&people, &mut session);
    session.run(&format!("CREATE POLICY mine ON crm.people TO \"{clerk}\" USING (true) WITH CHECK (place = 'Mine')"));
    let insert = |place: &str| format!("INSERT INTO crm.people (name, place) VALUES ('N', '{place}')");
    for _ in 0..2 {
        let connect = || people.world.connect_as(&clerk, "secret");
        refused(&people, &mut connect(), "42501", &insert("Theirs"));
        sends(&people, &mut connect(), &insert("Mine"), &[json!({"name": "N", "place": "Mine"})]);
        // A view may do what its user may not.
        session.run(&format!(
            "CREATE OR REPLACE VIEW crm.all_of_them AS SELECT * FROM crm.people; GRANT INSERT ON crm.all_of_them TO \"{clerk}\"; REVOKE ALL ON crm.people FROM \"{clerk}\""
        ));
        sends(
            &people,
            &mut connect(),
            "INSERT INTO crm.all_of_them (name, place) VALUES ('N', 'Theirs')",
            &[json!({"name": "N", "place": "Theirs"})],
        );
        session.run(&format!("GRANT INSERT (name, place) ON crm.people TO \"{clerk}\""));
    }
    people.equal(&mut session);
}

fn what_checks_and_not_null_refuse_is_not_sent(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    session.run(
        "ALTER TABLE crm.people ADD CONSTRAINT sober CHECK (note <> 'Drunk'), ADD CONSTRAINT named CHECK (full_name <> '' AND length(id) > 3),
           ADD remark text NOT NULL DEFAULT 'fresh', ADD number_ bigint GENERATED ALWAYS AS IDENTITY,
           ADD width int NOT NULL GENERATED ALWAYS AS (length(full_name)) STORED,
           ADD short int GENERATED ALWAYS AS (length(name)) STORED CHECK (short < 40),
           ALTER full_name SET NOT NULL, ALTER made SET NOT NULL",
    );
    refused(&people, &mut session, "23514", "INSERT INTO crm.people (name, note) VALUES ('N', 'Drunk')");
    refused(&people, &mut session, "23514", "INSERT INTO crm.people (name) VALUES (repeat('long ', 10))");
    refused(&people, &mut session, "23502", "INSERT INTO crm.people (name, remark) VALUES ('N', NULL)");
    let (failure, writes) = people.world.writes_of(|| {
        session.try_copy("COPY crm.people (name, note) FROM STDIN", "N\tDrunk\n").expect_err("it is refused")
    });
    assert_eq!((failure.code.as_str(), writes.len()), ("23514", 0));
    let (rows, sent) = people.sent_by(|| {
        session.rows("INSERT INTO crm.people (name) VALUES ('Ada') RETURNING remark, width > 2, short, number_ > 0")
    });
    assert_eq!(sent, [json!({"name": "Ada"})]);
    let cells: Vec<_> = rows[0].iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
    assert_eq!(cells, ["fresh", "t", "3", "t"]);
    people.equal(&mut session);
}

fn a_row_that_meets_another_by_a_unique_index_is_not_sent_and_the_conflict_decides(crowd: &'static Crowd) {
    let (people, mut session) = unique(crowd);
    // What a row needs and the API would give it is no hindrance.
    session.run("ALTER TABLE crm.people ALTER full_name SET NOT NULL, ALTER made SET NOT NULL");
    let (id, other) = (people.id(2), people.id(3));
    let insert = format!("INSERT INTO crm.people (name, note, place) VALUES ('New', 'note {id}', 'Upserted')");
    refused(&people, &mut session, "23505", &insert);
    refused(&people, &mut session, "23505", &format!("{insert} ON CONFLICT (id) DO UPDATE SET place = excluded.place"));
    refused(
        &people,
        &mut session,
        "23505",
        &format!("INSERT INTO crm.people (name, note) SELECT 'New', note FROM crm.people WHERE id = '{id}'"),
    );
    let copied = session.try_copy("COPY crm.people (name, note) FROM STDIN", &format!("New\tnote {id}\n"));
    assert_eq!(copied.expect_err("it is here").constraint.as_deref(), Some("one_note"));
    sends(&people, &mut session, &format!("{insert} ON CONFLICT DO NOTHING"), &[]);
    sends(&people, &mut session, &format!("{insert} ON CONFLICT (note) DO NOTHING"), &[]);
    sends(&people, &mut session, &format!("{insert} ON CONFLICT (note) DO UPDATE SET place = 'x' WHERE false"), &[]);
    let upsert = format!(
        "{insert} ON CONFLICT (note) DO UPDATE SET place = excluded.place, note = excluded.note RETURNING id, place"
    );
    let (rows, sent) = people.sent_by(|| session.rows(&upsert));
    assert_eq!(rows, [[Some(id), Some("Upserted".to_owned())]]);
    assert_eq!(sent, [json!({"place": "Upserted"})]);
    if session.number("SHOW server_version_num") >= 150_000 {
        refused(
            &people,
            &mut session,
            "23505",
            &format!(
                "MERGE INTO crm.people t USING (VALUES ('note {other}')) AS s (note) ON t.name = 'none' WHEN NOT MATCHED THEN INSERT (name, note) VALUES ('New', s.note)"
            ),
        );
    }
    sends(
        &people,
        &mut session,
        &format!(
            "PREPARE upsert (text) AS INSERT INTO crm.people (name, note) VALUES ('New', $1) ON CONFLICT (note) DO UPDATE SET place = 'Again'; EXECUTE upsert('note {other}')"
        ),
        &[json!({"place": "Again"})],
    );
    sends(&people, &mut session, "EXECUTE upsert('fresh')", &[json!({"name": "New", "note": "fresh"})]);
    assert_eq!((people.count("name", "New"), session.number("SELECT count(*) FROM crm.people")), (1, 7));
    people.equal(&mut session);
    session.run("SELECT sequin.refresh('crm.people')");
}

fn rows_of_one_statement_meet_each_other(crowd: &'static Crowd) {
    let (people, mut session) = unique(crowd);
    let same = "INSERT INTO crm.people (name, note) VALUES ('One', 'same'), ('Two', 'same')";
    sends(&people, &mut session, &format!("{same} ON CONFLICT DO NOTHING"), &[json!({"name": "One", "note": "same"})]);
    let same = same.replace("same", "same again");
    let (_, sent) = people.sent_by(|| session.fails_with("23505", &same));
    assert_eq!(sent, [json!({"name": "One", "note": "same again"})]);
    session.run("SELECT sequin.refresh('crm.people'); DELETE FROM crm.people WHERE note = 'same again'");
    session.fails_with("21000", &format!("{same} ON CONFLICT (note) DO UPDATE SET place = 'x'"));
    session.run("SELECT sequin.refresh('crm.people')");
    assert_eq!(people.count("name", "Two"), 0);
    people.equal(&mut session);
}

fn indexes_of_an_expression_or_of_some_rows_and_exclusions_are_asked_too(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    session.run(
        "INSERT INTO crm.people (name, note, place) VALUES ('Old', 'mail@example.com', 'Only');
         CREATE UNIQUE INDEX mail ON crm.people (lower(note)) WHERE note LIKE '%@%';
         CREATE UNIQUE INDEX none ON crm.people ((length(name))) WHERE name LIKE 'xx%';
         ALTER TABLE crm.people ADD CONSTRAINT lone EXCLUDE USING btree (place WITH =) WHERE (place = 'Only')",
    );
    let insert = "INSERT INTO crm.people (name, note) VALUES ('New', 'MAIL@example.com')";
    refused(&people, &mut session, "23505", insert);
    sends(
        &people,
        &mut session,
        &format!("{insert} ON CONFLICT (lower(note)) WHERE note LIKE '%@%' DO UPDATE SET flag = true"),
        &[json!({"flag": true})],
    );
    refused(&people, &mut session, "23P01", "INSERT INTO crm.people (name, place) VALUES ('New', 'Only')");
    sends(
        &people,
        &mut session,
        "INSERT INTO crm.people (name, place) VALUES ('New', 'Only') ON CONFLICT DO NOTHING",
        &[],
    );
    sends(
        &people,
        &mut session,
        "INSERT INTO crm.people (name, note) VALUES ('New', 'other@example.com')",
        &[json!({"name": "New", "note": "other@example.com"})],
    );
    people.equal(&mut session);
}

fn constraints_that_can_be_deferred_are_asked_at_once(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    let insert = format!("INSERT INTO crm.people (name, note) VALUES ('New', 'note {}')", people.id(2));
    for when in ["IMMEDIATE", "DEFERRED"] {
        session.run(&format!("ALTER TABLE crm.people DROP CONSTRAINT IF EXISTS late, ADD CONSTRAINT late UNIQUE (note) DEFERRABLE INITIALLY {when}"));
        refused(&people, &mut session, "23505", &insert);
        refused(&people, &mut session, "23505", &format!("{insert} ON CONFLICT DO NOTHING"));
    }
    session.run("INSERT INTO crm.people (name, note) VALUES ('New', 'fresh')");
    people.equal(&mut session);
}

/// The one that it met may go before it is stored; here it changes.
fn a_row_that_meets_none_in_the_end_is_not_stored_without_a_record(crowd: &'static Crowd) {
    let (people, mut session) = unique(crowd);
    session.run(
        "CREATE FUNCTION avoid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'avoided'; RETURN NEW; END $$;
         CREATE TRIGGER zzzz BEFORE INSERT ON crm.people FOR EACH ROW EXECUTE FUNCTION avoid()",
    );
    let insert = format!("INSERT INTO crm.people (name, note) VALUES ('New', 'note {}')", people.id(2));
    refused(&people, &mut session, "40001", &insert);
    people.equal(&mut session);
}

/// A trigger after updates: `when`, and what it does.
fn after_update(session: &mut Session, when: &str, body: &str) {
    session.run(&format!(
        "CREATE OR REPLACE FUNCTION after() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$;
         CREATE OR REPLACE TRIGGER after AFTER UPDATE ON crm.people FOR EACH ROW WHEN ({when} AND NOT sequin.merging('crm.people')) EXECUTE FUNCTION after()"
    ));
}

fn what_a_trigger_updates_after_an_update_is_what_stays(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    let id = people.id(1);
    let one = format!("WHERE id = '{id}'");
    let row = format!("SELECT concat_ws(',', note, place, amount::int, name) FROM crm.people {one}");
    session.run(&format!("UPDATE crm.people SET note = 'old', place = 'old', amount = 1 {one}"));
    after_update(
        &mut session,
        "NEW.note <> upper(NEW.note)",
        "UPDATE crm.people SET note = upper(NEW.note) WHERE id = NEW.id;",
    );
    session.run(&format!("UPDATE crm.people SET note = 'abc' {one}"));
    assert!(session.value(&row).starts_with("ABC,"), "{}", session.value(&row));
    people.equal(&mut session);
    // Others of the row, and other rows, are sent as they were.
    session.run("UPDATE crm.people SET note = 'all', place = 'all', name = 'All ' || coalesce(amount, 0)");
    assert_eq!(
        session.value("SELECT count(*) FROM crm.people WHERE note = 'ALL' AND place = 'all' AND name LIKE 'All%'"),
        "6"
    );
    people.equal(&mut session);
    // Another column: what the outer statement has changed stays, and is seen by whatever comes before it is sent.
    after_update(
        &mut session,
        "NEW.note <> OLD.note",
        "UPDATE crm.people SET place = 'for ' || NEW.note WHERE id = NEW.id; UPDATE crm.people SET name = note || ' ' || place WHERE id = NEW.id;",
    );
    let (_, writes) =
        people.world.writes_of(|| session.run(&format!("UPDATE crm.people SET note = 'def', amount = 7 {one}")));
    assert_eq!(session.value(&row), "def,for def,7,def for def");
    assert_eq!(writes.len(), 3, "{writes:#?}");
    people.equal(&mut session);
    // Back to what it was.
    after_update(&mut session, "NEW.note = 'not this'", "UPDATE crm.people SET note = OLD.note WHERE id = NEW.id;");
    session.run(&format!("UPDATE crm.people SET note = 'not this', amount = 8 {one}"));
    assert_eq!(session.value(&row), "def,for def,8,def for def");
    people.equal(&mut session);
    // By ON CONFLICT, and by one that is not merged.
    after_update(
        &mut session,
        "NEW.note <> upper(NEW.note)",
        "UPDATE crm.people SET note = upper(NEW.note), place = 'trig' WHERE id = NEW.id;",
    );
    session.run(&format!(
        "INSERT INTO crm.people (id, name) VALUES ('{id}', 'x') ON CONFLICT (id) DO UPDATE SET note = 'ghi', amount = 9"
    ));
    assert_eq!(session.value(&row), "GHI,trig,9,def for def");
    people.equal(&mut session);
}

fn what_a_trigger_deletes_after_an_update_is_gone(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    after_update(&mut session, "NEW.note = 'gone'", "DELETE FROM crm.people WHERE id = NEW.id;");
    let gone = [people.id(1), people.id(2)];
    let sql = format!(
        "UPDATE crm.people SET place = 'all', note = CASE WHEN id IN ('{}', '{}') THEN 'gone' ELSE note END",
        gone[0], gone[1]
    );
    assert_eq!(session.count(&sql), 6);
    assert_eq!((people.held().len(), people.count("place", "all")), (4, 4));
    people.equal(&mut session);
}

/// Not by a trigger: both statements are as deep in triggers.
fn what_a_function_updates_amid_an_update_stays_too(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    session.run(
        "CREATE FUNCTION touch(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN UPDATE crm.people SET place = 'by function' WHERE note LIKE 'by %'; RETURN 'by ' || $1; END $$;
         UPDATE crm.people SET note = touch(id)",
    );
    assert_eq!(session.value("SELECT count(*) FROM crm.people WHERE note = 'by ' || id"), "6");
    assert_eq!(session.value("SELECT count(*) FROM crm.people WHERE place = 'by function'"), "5");
    people.equal(&mut session);
}

fn what_a_trigger_updates_after_an_insert_is_what_stays(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    session.run(
        "CREATE FUNCTION after() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           UPDATE crm.people SET note = coalesce(NEW.note, 'default'), place = upper(NEW.place), name = NEW.name || '!' WHERE id = NEW.id; RETURN NULL; END $$;
         CREATE TRIGGER after AFTER INSERT ON crm.people FOR EACH ROW WHEN (NOT sequin.merging('crm.people')) EXECUTE FUNCTION after();
         INSERT INTO crm.people (name, place) VALUES ('One', 'a'), ('Two', 'b');
         INSERT INTO crm.people (name, note, place) VALUES ('Three', 'mine', 'c') ON CONFLICT (id) DO UPDATE SET place = 'x'",
    );
    let rows =
        session.column("SELECT concat_ws(',', name, note, place) FROM crm.people WHERE name LIKE '%!' ORDER BY place");
    assert_eq!(rows, ["One!,default,A", "Two!,default,B", "Three!,mine,C"]);
    assert_eq!((people.count("name", "One!"), people.count("note", "default"), people.held().len()), (1, 2, 9));
    people.equal(&mut session);
}

fn two_sessions_that_insert_the_same_create_one_record(crowd: &'static Crowd) {
    let (people, mut session) = unique(crowd);
    people.world.sandbox.set_latency(std::time::Duration::from_millis(300));
    let sql =
        "INSERT INTO crm.people (name, note) VALUES ('Twice', 'same') ON CONFLICT (note) DO UPDATE SET name = 'Thrice'";
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| people.world.connect().run(sql));
        }
    });
    people.world.sandbox.set_latency(std::time::Duration::ZERO);
    let there = people.held().into_values().filter(|record| record.get("note").is_some_and(|note| note == "same"));
    assert_eq!(there.count(), 1);
    assert_eq!(session.column("SELECT name FROM crm.people WHERE note = 'same'"), ["Thrice"]);
}

fn rules_about_what_the_api_fills_do_not_refuse_before_it_has(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    // Nobody has a place but those that come.
    session.run("UPDATE crm.people SET place = NULL WHERE place IS NOT NULL");
    session.run(
        "ALTER TABLE crm.people ADD CHECK (id IS NOT NULL AND name <> 'Nobody');
         CREATE UNIQUE INDEX ON crm.people (name, (coalesce(id, 'none'))) WHERE id IS NULL OR name = 'Somebody'",
    );
    for _ in 0..2 {
        assert_eq!(session.count("INSERT INTO crm.people (name) VALUES ('Somebody') ON CONFLICT DO NOTHING"), 1);
    }
    people.await_equal(&mut session);
}

fn on_conflict_sees_the_key_of_the_row_that_is_met(crowd: &'static Crowd) {
    let (people, mut session) = unique(crowd);
    let key = people.id(2);
    session.run(&format!("ALTER TABLE crm.people ADD CHECK (id ~ '^{}')", &key[..3]));
    let sql = format!(
        "INSERT INTO crm.people (name, note) VALUES ('x', 'note {key}') ON CONFLICT (note) DO UPDATE SET id = excluded.id, place = excluded.id RETURNING id"
    );
    let (met, sent) = people.sent_by(|| session.value(&sql));
    assert_eq!(met, key);
    assert_eq!(sent.len(), 1, "{sent:#?}");
    assert_eq!(session.value(&format!("SELECT place FROM crm.people WHERE id = '{key}'")), key);
    people.await_equal(&mut session);
}

fn a_statement_that_failed_in_a_part_of_the_transaction_is_forgotten(crowd: &'static Crowd) {
    let (people, mut session) = unique(crowd);
    session.run(
        "CREATE FUNCTION fails() RETURNS int LANGUAGE sql AS $$ UPDATE crm.people SET place = 'x'; SELECT 1 / count(*)::int FROM crm.people WHERE false $$;
         CREATE FUNCTION tries() RETURNS void LANGUAGE plpgsql AS $$
         DECLARE x int;
         BEGIN
           FOR n IN 1..20 LOOP
             BEGIN CREATE TEMP TABLE t (a int) ON COMMIT DROP; INSERT INTO t VALUES (1); x := fails(); EXCEPTION WHEN division_by_zero THEN NULL; END;
           END LOOP;
         END $$",
    );
    session.run("BEGIN; SELECT tries(); UPDATE crm.people SET place = 'after'; INSERT INTO crm.people (name, note) VALUES ('n', 'after'); COMMIT");
    assert_eq!(session.number("SELECT count(*) FROM crm.people WHERE place = 'after'"), 6);
    people.await_equal(&mut session);
}

fn a_refresh_amid_an_update_is_refused_since_it_would_undo_it(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd);
    session.run("CREATE FUNCTION fresh() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM sequin.refresh('crm.people'); RETURN 'fresh'; END $$");
    refused(&people, &mut session, "0A000", "UPDATE crm.people SET place = fresh()");
    session.run("BEGIN; UPDATE crm.people SET place = 'before'; SELECT sequin.refresh('crm.people'); COMMIT");
    people.await_equal(&mut session);
}
