//! RETURNING: what it shows of a row as it was and as it is, and what is asked of the API for that. Since PostgreSQL 18 it
//! tells `old.x` from `new.x`.
//! <https://www.postgresql.org/docs/current/dml-returning.html>

use crate::support::people::{Crowd, OF_AIRTABLE, OF_SALESFORCE, People};
use crate::support::{Cluster, Config, Row, Session, World, on_each};

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    old_and_new_values_are_those_before_and_after_the_write,
    old_and_new_values_of_a_synced_table_are_those_of_any_table,
}

/// Whether the server knows `old.` and `new.`.
fn tells_old_from_new(session: &mut Session) -> bool {
    session.number("SELECT current_setting('server_version_num')") >= 180_000
}

fn row(cells: &[Option<&str>]) -> Row {
    cells.iter().map(|cell| cell.map(str::to_owned)).collect()
}

/// The names in a list, in alphabetical order.
fn listed(list: &str) -> Vec<&str> {
    let mut names: Vec<&str> = list.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_a_statement_returns_is_read_before_the_write_only_where_the_old_value_is_asked_for() {
    let world = World::new(Config::new().records("Contact", 40).records("Account", 5).records("Case", 0));
    let mut session = world.connect();
    let (id, other, third) =
        (world.sandbox.id("Contact", 1), world.sandbox.id("Contact", 2), world.sandbox.id("Contact", 3));
    let update = "UPDATE salesforce.contact SET title = title || '!'";
    // What is read before the write, and what after it.
    let mut cases = vec![
        (format!("{update} WHERE id = '{id}' RETURNING id, email, phone"), "Id Title", "Email Phone"),
        (format!("{update} WHERE id = '{id}' RETURNING *"), "Id Title", "everything"),
        (format!("{update} WHERE id = '{id}' RETURNING contact"), "Id Title", "everything"),
        (format!("{update} WHERE id = '{id}' RETURNING id"), "Id Title", ""),
        (format!("{update} WHERE id = '{id}' AND last_name ~ '' RETURNING name"), "Id LastName Title", "Name"),
        (
            format!(
                "UPDATE salesforce.contact SET title = department || now() WHERE id = '{id}' RETURNING coalesce(phone, email)"
            ),
            "Department Id Title",
            "Email Phone",
        ),
        (format!("DELETE FROM salesforce.contact WHERE id = '{other}' RETURNING id, email"), "Email Id", ""),
    ];
    if tells_old_from_new(&mut session) {
        cases.extend([
            (format!("{update} WHERE id = '{id}' RETURNING old.email, new.phone, name"), "Email Id Title", "Name Phone"),
            (format!("{update} WHERE id = '{id}' RETURNING new.*"), "Id Title", "everything"),
            (format!("{update} WHERE id = '{id}' RETURNING new"), "Id Title", "everything"),
            (format!("{update} WHERE id = '{id}' RETURNING old.*"), "everything", ""),
            (format!("{update} WHERE id = '{id}' RETURNING old"), "everything", ""),
            (
                format!("{update} WHERE id = '{id}' RETURNING WITH (OLD AS was, NEW AS is_now) upper(was.email) <> is_now.name"),
                "Email Id Title",
                "Name",
            ),
            (
                format!("{update} WHERE id = '{id}' RETURNING (SELECT count(*) FROM pg_class WHERE relname = old.phone OR relname = new.email)"),
                "Id Phone Title",
                "Email",
            ),
            (format!("DELETE FROM salesforce.contact WHERE id = '{third}' RETURNING old.phone, new.email, id"), "Id Phone", ""),
        ]);
    }
    let all: Vec<String> = session.column(
        "SELECT substr(option, 7) FROM pg_attribute, unnest(attfdwoptions) AS option
         WHERE attrelid = 'salesforce.contact'::regclass AND option LIKE 'field=%'",
    );
    for (sql, before, after) in cases {
        world.sandbox.clear_requests();
        assert_eq!(session.rows(&sql).len(), 1, "{sql}");
        let (queries, requests) = (world.queries(), world.requests());
        assert_eq!(queries.len(), 1, "{sql}: {queries:?}");
        let asked = queries[0].split(" FROM ").next().unwrap_or_default().trim_start_matches("SELECT ");
        // Records are read back from the collection of their object.
        let read_back = requests.iter().find(|request| request.path.contains("/composite/sobjects/"));
        let body: serde_json::Value =
            read_back.map(|request| serde_json::from_str(&request.body).expect("JSON")).unwrap_or_default();
        let fields = body["fields"].as_array().into_iter().flatten().filter_map(|field| field.as_str());
        let read = fields.collect::<Vec<_>>().join(" ");
        for (found, wanted, when) in [(asked, before, "before"), (&read, after, "after")] {
            if wanted == "everything" {
                assert!(listed(found).len() + 1 >= all.len(), "{when} {sql}: {found}");
            } else {
                // The key is known in any case.
                let found: Vec<&str> =
                    listed(found).into_iter().filter(|name| when == "before" || *name != "Id").collect();
                assert_eq!(found, listed(wanted), "{when} {sql}");
            }
        }
    }
}

fn old_and_new_values_are_those_before_and_after_the_write(crowd: &'static Crowd) {
    let people = People::new(crowd, 12);
    let mut session = people.world.connect();
    if !tells_old_from_new(&mut session) {
        return;
    }
    let id = people.id(1);
    session.run(&format!("UPDATE far.people SET name = 'Ada', note = 'first', place = '+44' WHERE id = '{id}'"));
    let full_name = session.value(&format!("SELECT full_name FROM far.people WHERE id = '{id}'"));
    let update =
        |set: &str, returning: &str| format!("UPDATE far.people SET {set} WHERE id = '{id}' RETURNING {returning}");
    assert_eq!(
        session.rows(&update("name = 'Grace'", "old.name, new.name, name, old.note, new.note, place")),
        [row(&[Some("Ada"), Some("Grace"), Some("Grace"), Some("first"), Some("first"), Some("+44")])]
    );
    // What the API computes from it, and what it does not keep as it was sent.
    let computed = session
        .rows(&update("name = 'Joan'", "old.full_name, new.full_name <> old.full_name, new.full_name LIKE '%Joan%'"));
    assert_eq!(computed[0][1..], row(&[Some("t"), Some("t")]));
    assert_ne!(computed[0][0].as_deref(), Some(full_name.as_str()));
    // Whole rows, expressions, a value that is old and new at once, and a record that stays as it is.
    assert_eq!(
        session.rows(&update(
            "note = 'second'",
            "(old).note, (new).note, old.note || '→' || new.note, old IS NULL, (old.*)::text LIKE '%first%', (new.*)::text LIKE '%second%'",
        )),
        [row(&[Some("first"), Some("second"), Some("first→second"), Some("f"), Some("t"), Some("t")])]
    );
    assert_eq!(
        session.rows(&update("note = 'second'", "old.note, new.note, old.name")),
        [row(&[Some("second"), Some("second"), Some("Joan")])]
    );
    assert_eq!(session.rows(&update("note = NULL", "old.note, new.note, note")), [row(&[Some("second"), None, None])]);
    // Many at once: each gets its own.
    let rows = crowd.batch * 2 + 3;
    session
        .run(&format!("INSERT INTO far.people (name, note) SELECT 'n' || n, n FROM generate_series(1, {rows}) AS n"));
    let many = session.rows("UPDATE far.people SET note = note::int * 2 WHERE name LIKE 'n%' AND note ~ '^[0-9]+$' RETURNING old.note, new.note, old.name = new.name");
    assert_eq!(many.len(), rows);
    for cells in many {
        let number = |at: usize| cells[at].as_deref().and_then(|text| text.parse::<i64>().ok());
        assert_eq!((number(0).map(|n| n * 2), cells[2].as_deref()), (number(1), Some("t")), "{cells:?}");
    }
    // What is new has no old values, what is deleted no new ones.
    assert_eq!(
        session.rows("INSERT INTO far.people (name) VALUES ('Fresh') RETURNING old.name, new.name, name, old.id IS NULL, new.id = id, old IS NULL"),
        [row(&[None, Some("Fresh"), Some("Fresh"), Some("t"), Some("t"), Some("t")])]
    );
    assert_eq!(
        session
            .rows("INSERT INTO far.people (name) VALUES ('Fresh') ON CONFLICT DO NOTHING RETURNING old.name, new.name"),
        [row(&[None, Some("Fresh")])]
    );
    assert_eq!(
        session.rows(&format!("DELETE FROM far.people WHERE id = '{id}' RETURNING old.name, new.name, name, old.id = id, new.id, (old.*)::text LIKE '%Joan%'")),
        [row(&[Some("Joan"), None, Some("Joan"), Some("t"), None, Some("t")])]
    );
    // Through a view, whose columns may be expressions, and from a WITH.
    session.run("CREATE VIEW seen AS SELECT id, name, note, name || '?' AS asked FROM far.people");
    let id = people.id(2);
    session.run(&format!("UPDATE far.people SET name = 'Viewed' WHERE id = '{id}'"));
    assert_eq!(
        session.rows(&format!("WITH w AS (UPDATE seen SET name = 'Again' WHERE id = '{id}' RETURNING old.asked AS one, new.asked AS two, old.name) SELECT * FROM w")),
        [row(&[Some("Viewed?"), Some("Again?"), Some("Viewed")])]
    );
    // A trigger has the last word.
    session.run(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := upper(NEW.note); RETURN NEW; END $$;
         CREATE TRIGGER shout BEFORE UPDATE ON far.people FOR EACH ROW EXECUTE FUNCTION shout()",
    );
    assert_eq!(
        session.rows(&format!(
            "UPDATE far.people SET note = 'loud' WHERE id = '{id}' RETURNING old.name, new.note, old.note = new.note"
        )),
        [row(&[Some("Again"), Some("LOUD"), Some("f")])]
    );
}

fn old_and_new_values_of_a_synced_table_are_those_of_any_table(crowd: &'static Crowd) {
    let people = People::in_cluster(crowd, Cluster::preloaded(), 12);
    let mut session = people.world.connect();
    people.follow(&mut session, "1 hour", r#"{"sweep_every": null}"#);
    let id = people.id(1);
    session.run(&format!("UPDATE crm.people SET name = 'Ada', note = 'first' WHERE id = '{id}'"));
    if !tells_old_from_new(&mut session) {
        return;
    }
    assert_eq!(
        session.rows(&format!(
            "UPDATE crm.people SET name = 'Grace' WHERE id = '{id}' RETURNING old.name, new.name, old.note, note"
        )),
        [row(&[Some("Ada"), Some("Grace"), Some("first"), Some("first")])]
    );
    assert_eq!(people.held()[&id]["name"], "Grace");
    assert_eq!(
        session.rows("INSERT INTO crm.people (name) VALUES ('Fresh') RETURNING old.id, new.name, new.id IS NOT NULL"),
        [row(&[None, Some("Fresh"), Some("t")])]
    );
    assert_eq!(
        session.rows(&format!("INSERT INTO crm.people (id, name, note) VALUES ('{id}', 'Joan', 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING old.name, new.name")),
        [row(&[Some("Grace"), Some("Joan")])]
    );
    assert_eq!(people.held()[&id]["name"], "Joan");
    assert_eq!(
        session.rows(&format!("DELETE FROM crm.people WHERE id = '{id}' RETURNING old.name, new.name, name")),
        [row(&[Some("Joan"), None, Some("Joan")])]
    );
    people.equal(&mut session);
}
