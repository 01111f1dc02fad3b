//! Writing to a table one of whose fields the API has lost: what it accepts is written once, and a statement that names the
//! field is refused before anything is.

use crate::support::people::{Crowd, OF_AIRTABLE, OF_SALESFORCE, People};
use crate::support::{Cluster, Failure, Session, on_each};

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    an_insert_into_a_synced_table_creates_each_record_once_and_leaves_the_columns_null,
    an_update_of_a_synced_table_keeps_what_the_columns_had,
    returning_from_a_foreign_table_shows_null,
    a_statement_that_writes_the_field_is_refused_before_anything_is_written,
}

/// A field of each column is gone.
fn lose(people: &People, session: &mut Session, columns: &[&str]) {
    let sandbox = &people.world.sandbox;
    for column in columns {
        match people.crowd.api.connector {
            "airtable" => {
                let field = session.value(&format!(
                    "SELECT substr(option, 7) FROM pg_attribute, unnest(attfdwoptions) AS option \
                     WHERE attrelid = 'far.people'::regclass AND attname = '{column}' AND option LIKE 'field=%'"
                ));
                let (base, table) = (sandbox.airtable_base(), sandbox.airtable_table("People"));
                let path = format!("/v0/meta/bases/{base}/tables/{table}/fields/{field}");
                let (status, answer) = sandbox.airtable("DELETE", &path, "");
                assert!(status < 300, "{status} {answer}");
            }
            _ => session.run(&format!(
                "ALTER FOREIGN TABLE far.people ALTER COLUMN {column} OPTIONS (SET field 'Lost_{column}__c')"
            )),
        }
    }
}

fn synced(crowd: &'static Crowd) -> (People, Session) {
    let people = People::in_cluster(crowd, Cluster::preloaded(), 20);
    let mut session = people.world.connect();
    people.follow(&mut session, "1 hour", r#"{"sweep_every": null}"#);
    (people, session)
}

/// It names the columns, and nothing else.
#[track_caller]
fn tells_of_both(warning: &Failure) {
    assert_eq!(warning.code, "01000", "{warning:#?}");
    warning.hints("Import the table again");
    for part in [
        "columns \"",
        "\"note\" (field ",
        "\"place\" (field ",
        " of far.people were not read back",
        "no such fields any more",
    ] {
        assert!(warning.message.contains(part), "no {part:?}: {warning:#?}");
    }
}

fn an_insert_into_a_synced_table_creates_each_record_once_and_leaves_the_columns_null(crowd: &'static Crowd) {
    let (people, mut session) = synced(crowd);
    lose(&people, &mut session, &["note", "place"]);
    let (mut session, notices) = people.world.connect_listening();
    let insert = "INSERT INTO crm.people (name) VALUES ('Orphan'), ('Waif') RETURNING id, name, note, place";
    let (rows, sent) = people.sent_by(|| session.rows(insert));
    assert_eq!(sent.len(), 2, "{sent:#?}");
    for (row, name) in rows.iter().zip(["Orphan", "Waif"]) {
        assert_eq!(row[1..], [Some(name.to_owned()), None, None]);
    }
    assert_eq!(people.count("name", "Orphan") + people.count("name", "Waif"), 2);
    assert_eq!(
        session.number("SELECT count(*) FROM crm.people WHERE name IN ('Orphan', 'Waif') AND made IS NOT NULL"),
        2
    );
    tells_of_both(&notices.warning(&mut session));
    assert_eq!(session.copy("COPY crm.people (name) FROM STDIN", "Stray\nStray\n"), 2);
    tells_of_both(&notices.warning(&mut session));
    assert_eq!(people.count("name", "Stray"), 2);
}

fn an_update_of_a_synced_table_keeps_what_the_columns_had(crowd: &'static Crowd) {
    let (people, mut session) = synced(crowd);
    let (one, two) = (people.id(1), people.id(2));
    let both = format!("id IN ('{one}', '{two}')");
    session.run(&format!("UPDATE crm.people SET note = 'kept', place = '+44' WHERE {both}"));
    lose(&people, &mut session, &["note", "place"]);
    let (mut session, notices) = people.world.connect_listening();
    let update = format!("UPDATE crm.people SET name = 'New ' || id WHERE {both} RETURNING note");
    let (rows, sent) = people.sent_by(|| session.column(&update));
    assert_eq!((rows, sent.len()), (vec!["kept".to_owned(); 2], 2), "{sent:#?}");
    tells_of_both(&notices.warning(&mut session));
    let kept =
        format!("SELECT count(*) FROM crm.people WHERE {both} AND (name, note, place) = ('New ' || id, 'kept', '+44')");
    assert_eq!(session.number(&kept), 2);
    assert_eq!(people.count("name", &format!("New {one}")), 1);
}

fn returning_from_a_foreign_table_shows_null(crowd: &'static Crowd) {
    let people = People::new(crowd, 20);
    let (mut session, notices) = people.world.connect_listening();
    lose(&people, &mut session, &["note", "place"]);
    let rows = crowd.batch * 2 + 1;
    let insert = format!(
        "INSERT INTO far.people (name) SELECT 'N' || n FROM generate_series(1, {rows}) AS n RETURNING name, note, place"
    );
    let (answers, sent) = people.sent_by(|| session.rows(&insert));
    assert_eq!((answers.len(), sent.len()), (rows, rows));
    assert_eq!(answers[rows - 1], [Some(format!("N{rows}")), None, None]);
    tells_of_both(&notices.warning(&mut session));
    let id = people.id(1);
    let update = format!("UPDATE far.people SET name = 'new' WHERE id = '{id}' RETURNING note, name");
    assert_eq!(session.rows(&update), [[None, Some("new".to_owned())]]);
    let warning = notices.warning(&mut session);
    assert!(warning.message.starts_with("column \"note\" (field "), "{warning:#?}");
    warning.mentions("of far.people was not read back");
    // Nothing but what is lost, and nothing of it.
    assert_eq!(session.rows("INSERT INTO far.people (name) VALUES ('only') RETURNING note"), [[None]]);
    notices.warning(&mut session).mentions("of far.people was not read back");
    session.run("INSERT INTO far.people (name) VALUES ('id') RETURNING id, name");
    assert!(notices.take(&mut session).is_empty());
}

fn a_statement_that_writes_the_field_is_refused_before_anything_is_written(crowd: &'static Crowd) {
    let (people, mut session) = synced(crowd);
    lose(&people, &mut session, &["place"]);
    let before = people.held();
    for table in ["far.people", "crm.people"] {
        for sql in [
            format!("INSERT INTO {table} (name, place) VALUES ('x', 'y')"),
            format!("INSERT INTO {table} (name, place) VALUES ('x', 'y') RETURNING name"),
            format!("UPDATE {table} SET name = 'x', place = 'y' WHERE id = '{}'", people.id(1)),
        ] {
            session.fails_with("HV005", &sql);
        }
    }
    assert_eq!(people.held(), before);
    assert_eq!(session.number("SELECT count(*) FROM crm.people WHERE name = 'x' OR place = 'y'"), 0);
}
