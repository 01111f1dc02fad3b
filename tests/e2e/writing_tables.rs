//! Views, partitions, inheritance, and tables as people declare and change them.

use serde_json::json;

use crate::support::{Config, Session, World, fields};

fn world() -> World {
    World::new(Config::new().records("Contact", 100).records("Account", 20).records("Case", 0))
}

#[test]
fn an_updatable_view_writes() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE VIEW people AS SELECT id AS key, last_name AS surname, title, name AS full_name FROM salesforce.contact WHERE title IS DISTINCT FROM 'hidden'",
    );
    let (row, sent) = world.sent_by(|| {
        session
            .rows("INSERT INTO people (surname, title) VALUES ('Ada', DEFAULT) RETURNING key, full_name")
            .swap_remove(0)
    });
    assert_eq!(sent, [fields(json!({"LastName": "Ada"}))]);
    assert_eq!(row[1].as_deref(), Some("Ada"));
    let key = row[0].clone().unwrap();
    let (count, sent) = world
        .sent_by(|| session.count(&format!("UPDATE people SET surname = 'Eve', title = title WHERE key = '{key}'")));
    assert_eq!((count, sent), (1, vec![fields(json!({"LastName": "Eve"}))]));
    assert_eq!(session.count(&format!("UPDATE people SET title = 'hidden' WHERE key = '{key}'")), 1);
    assert_eq!(session.count(&format!("DELETE FROM people WHERE key = '{key}'")), 0);
    assert_eq!(session.count("DELETE FROM people"), 100);
    assert_eq!(world.records("Contact").len(), 1);
    session.run("ALTER VIEW people ALTER COLUMN title SET DEFAULT 'by the view'");
    let (_, sent) = world.sent_by(|| session.run("INSERT INTO people (surname) VALUES ('Ada')"));
    assert_eq!(sent, [fields(json!({"LastName": "Ada", "Title": "by the view"}))]);
}

#[test]
fn with_check_option_refuses_before_or_says_what_stays() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    session.run(
        "CREATE VIEW vips AS SELECT id, last_name, title FROM salesforce.contact WHERE title = 'vip' WITH CHECK OPTION",
    );
    assert_eq!(session.count("INSERT INTO vips (last_name, title) VALUES ('A', 'vip'), ('B', 'vip')"), 2);
    assert_eq!(session.count("UPDATE vips SET last_name = 'C' WHERE last_name = 'A'"), 1);
    assert!(notices.take(&mut session).is_empty());
    // Core checks the row that the API has: what it says no to is written already.
    session.fails_with("44000", "INSERT INTO vips (last_name, title) VALUES ('D', 'nobody')");
    let stays = world.count("Contact", "LastName", "D");
    let warned = notices.take(&mut session);
    assert_eq!(warned.len(), stays, "what stays is told: {warned:#?}");
    session.fails_with("44000", "UPDATE vips SET title = 'nobody' WHERE last_name = 'B'");
    let changed = world.count("Contact", "Title", "nobody") - stays;
    let warned = notices.take(&mut session);
    assert_eq!(warned.len(), changed, "{warned:#?}");
}

#[test]
fn rules_rewrite_writes() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE TABLE inbox (surname text, note text);
         CREATE RULE forward AS ON INSERT TO inbox DO INSTEAD INSERT INTO salesforce.contact (last_name, title) VALUES (NEW.surname, NEW.note)",
    );
    let (_, sent) = world.sent_by(|| session.run("INSERT INTO inbox VALUES ('Ada', 'n'), ('Eve', NULL)"));
    assert_eq!(
        sent,
        [fields(json!({"LastName": "Ada", "Title": "n"})), fields(json!({"LastName": "Eve", "Title": null}))]
    );
    session.run("CREATE VIEW v AS SELECT id, last_name || '!' AS loud FROM salesforce.contact;
         CREATE FUNCTION quieten() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE salesforce.contact SET last_name = rtrim(NEW.loud, '!') WHERE id = OLD.id; RETURN NEW; END $$;
         CREATE TRIGGER q INSTEAD OF UPDATE ON v FOR EACH ROW EXECUTE FUNCTION quieten()");
    assert_eq!(session.count("UPDATE v SET loud = 'Hopperson!' WHERE loud = 'Ada!'"), 1);
    assert_eq!(world.count("Contact", "LastName", "Hopperson"), 1);
}

fn partitioned(session: &mut Session) {
    session.run(
        "CREATE TABLE people (id text, surname text, title text DEFAULT 'root') PARTITION BY LIST (title);
         CREATE TABLE local PARTITION OF people DEFAULT;
         CREATE FOREIGN TABLE remote (id text OPTIONS (field 'Id', key 'true', type 'id', capabilities 'filter'), \
           title text OPTIONS (field 'Title', type 'string', capabilities 'filter, create, update'), \
           surname text OPTIONS (field 'LastName', type 'string', capabilities 'filter, create, update')) SERVER sf OPTIONS (object 'Contact', operations 'insert, update, delete');
         ALTER TABLE people ATTACH PARTITION remote FOR VALUES IN ('remote')",
    );
}

#[test]
fn rows_are_routed_into_a_foreign_partition() {
    let world = world();
    let mut session = world.connect();
    partitioned(&mut session);
    let (rows, sent) = world.sent_by(|| {
        session.rows("INSERT INTO people (surname, title) VALUES ('A', 'remote'), ('B', 'here'), ('C', 'remote') RETURNING tableoid::regclass, id, surname, title")
    });
    assert_eq!(
        sent,
        [fields(json!({"LastName": "A", "Title": "remote"})), fields(json!({"LastName": "C", "Title": "remote"}))]
    );
    assert_eq!(rows.iter().map(|row| row[0].as_deref().unwrap()).collect::<Vec<_>>(), ["remote", "local", "remote"]);
    assert_eq!((rows[0][2].as_deref(), rows[0][1].as_deref().map(str::len)), (Some("A"), Some(18)));
    assert_eq!(session.number("SELECT count(*) FROM local"), 1);
    let lines: String = (1..=450).map(|n| format!("n{n}\t{}\n", if n % 3 == 0 { "here" } else { "remote" })).collect();
    let (count, writes) = world.writes_of(|| session.copy("COPY people (surname, title) FROM STDIN", &lines));
    assert_eq!((count, writes.len()), (450, 2));
    assert_eq!((session.number("SELECT count(*) FROM local"), world.count("Contact", "Title", "remote")), (151, 302));
    let sql = "INSERT INTO people (surname, title) SELECT 's', CASE WHEN n % 2 = 0 THEN 'remote' ELSE 'here' END FROM generate_series(1, 20) AS n";
    assert_eq!(session.count(sql), 20);
    assert_eq!(world.count("Contact", "LastName", "s"), 10);
}

#[test]
fn on_conflict_do_nothing_holds_for_a_foreign_partition_too() {
    let world = world();
    let mut session = world.connect();
    partitioned(&mut session);
    session.run(
        "ALTER TABLE people ADD COLUMN ext text;
         ALTER FOREIGN TABLE remote ALTER COLUMN ext OPTIONS (ADD field 'ERP_Key__c', ADD type 'string', ADD capabilities 'create, update')",
    );
    let sql = "INSERT INTO people (surname, title, ext) VALUES ('a', 'remote', 'k1'), ('b', 'remote', 'k1'), ('c', 'here', 'k1') ON CONFLICT DO NOTHING";
    assert_eq!(session.count(sql), 2);
    assert_eq!((world.count("Contact", "ERP_Key__c", "k1"), session.number("SELECT count(*) FROM local")), (1, 1));
}

#[test]
fn an_update_moves_a_row_into_a_foreign_partition() {
    let world = world();
    let mut session = world.connect();
    partitioned(&mut session);
    session.run("INSERT INTO people (surname, title) VALUES ('mover', 'here'), ('stayer', 'here')");
    let sql = "UPDATE local SET title = 'remote' WHERE surname = 'mover'";
    assert_eq!(session.fails(sql).code, "23514", "a partition itself moves no row");
    match session.try_rows("UPDATE people SET title = 'remote' WHERE surname = 'mover' AND tableoid = 'local'::regclass RETURNING surname, id") {
        Ok(rows) => {
            assert_eq!(rows.len(), 1);
            assert_eq!(world.count("Contact", "LastName", "mover"), 1);
            assert_eq!(session.number("SELECT count(*) FROM local"), 1);
        }
        Err(failure) => {
            assert_eq!(failure.code, "0A000", "{failure:#?}");
            assert!(failure.hint.is_some(), "{failure:#?}");
            assert_eq!(world.count("Contact", "LastName", "mover"), 0);
            assert_eq!(session.number("SELECT count(*) FROM local"), 2);
        }
    }
    // Where the conditions rule the foreign partition out, it is only a destination.
    session.run(
        "ALTER TABLE people DETACH PARTITION local; CREATE TABLE other PARTITION OF people FOR VALUES IN ('other')",
    );
    session.run("INSERT INTO people (surname, title) VALUES ('pruned', 'other')");
    let rows = session.rows("UPDATE people SET title = 'remote' WHERE title = 'other' RETURNING surname, id");
    assert_eq!((rows.len(), rows[0][0].as_deref()), (1, Some("pruned")));
    assert!(rows[0][1].is_some(), "the API's id is returned: {rows:?}");
    assert_eq!((world.count("Contact", "LastName", "pruned"), session.number("SELECT count(*) FROM other")), (1, 0));
}

#[test]
fn statements_on_a_partitioned_root_reach_the_foreign_partition() {
    let world = world();
    let mut session = world.connect();
    partitioned(&mut session);
    session.run("INSERT INTO people (surname, title) SELECT 'n' || n, CASE WHEN n % 2 = 0 THEN 'remote' ELSE 'here' END FROM generate_series(1, 10) AS n");
    let account = session.rows("UPDATE people SET surname = surname || '!' WHERE surname LIKE 'n%' AND title IN ('here', 'remote') RETURNING tableoid::regclass, surname");
    assert_eq!(account.len(), 10);
    assert_eq!(
        world
            .records("Contact")
            .iter()
            .filter(|record| record["LastName"].as_deref().is_some_and(|name| name.ends_with('!')))
            .count(),
        5
    );
    let rows = session
        .rows("DELETE FROM people WHERE surname LIKE 'n%!' AND title IN ('here', 'remote') RETURNING surname, title");
    let titles = |title: &str| rows.iter().filter(|row| row[0].is_some() && row[1].as_deref() == Some(title)).count();
    assert_eq!((rows.len(), titles("here"), titles("remote")), (10, 5, 5), "{rows:?}");
    assert_eq!((session.number("SELECT count(*) FROM local"), world.records("Contact").len()), (0, 100));
}

#[test]
fn inheritance_children_are_written_with_their_parent() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE TABLE things (surname text, title text);
         INSERT INTO things VALUES ('parent', 'p');
         CREATE FOREIGN TABLE child (title text OPTIONS (field 'Title', type 'string', capabilities 'filter, create, update'), extra text OPTIONS (field 'Department', type 'string', capabilities 'create, update'), \
           id text OPTIONS (field 'Id', key 'true', type 'id', capabilities 'filter'), surname text OPTIONS (field 'LastName', type 'string', capabilities 'filter, create, update')) \
           INHERITS (things) SERVER sf OPTIONS (object 'Contact', operations 'insert, update, delete');
         CREATE FOREIGN TABLE accounts (id text OPTIONS (field 'Id', key 'true', type 'id', capabilities 'filter'), surname text OPTIONS (field 'Name', type 'string', capabilities 'filter, create, update'), \
           title text OPTIONS (field 'AccountNumber', type 'string', capabilities 'filter, create, update')) INHERITS (things) SERVER sf OPTIONS (object 'Account', operations 'insert, update, delete')",
    );
    let (rows, _) = world
        .writes_of(|| session.rows("UPDATE things SET title = 'all' RETURNING tableoid::regclass, surname, title"));
    assert_eq!(rows.len(), 1 + 100 + 20);
    assert!(rows.iter().all(|row| row[2].as_deref() == Some("all")));
    assert_eq!((world.count("Contact", "Title", "all"), world.count("Account", "AccountNumber", "all")), (100, 20));
    let names = session.number("SELECT count(*) FROM things WHERE surname IS NOT NULL");
    assert_eq!(names, 121);
    let rows = session.rows("DELETE FROM things WHERE surname IS NOT NULL RETURNING surname, title, things");
    assert_eq!(rows.len(), 121);
    assert!(rows.iter().all(|row| row[0].is_some() && row[1].as_deref() == Some("all")), "{:?}", rows.last());
    assert_eq!((world.records("Contact").len(), world.records("Account").len()), (0, 0));
}

#[test]
fn operations_decide_what_can_be_written_without_a_request() {
    let world = world();
    let mut session = world.connect();
    let statements = [
        ("insert", "INSERT INTO salesforce.contact (last_name) VALUES ('x')"),
        ("update", "UPDATE salesforce.contact SET title = 'x'"),
        ("delete", "DELETE FROM salesforce.contact"),
    ];
    for (without, words) in [("insert", "update, delete"), ("update", "insert, delete"), ("delete", "insert, update")] {
        session.run(&format!("ALTER FOREIGN TABLE salesforce.contact OPTIONS (SET operations '{words}')"));
        world.sandbox.clear_requests();
        for (word, sql) in statements {
            if word == without {
                let failure = session.fails_with("55000", sql);
                failure.mentions("contact");
            }
        }
        assert!(world.requests().is_empty());
        let row = session.rows("SELECT is_insertable_into, (SELECT bool_or(is_updatable = 'YES') FROM information_schema.columns c WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name), \
             pg_relation_is_updatable('salesforce.contact', false) FROM information_schema.tables t WHERE table_schema = 'salesforce' AND table_name = 'contact'").swap_remove(0);
        assert_eq!(row[0].as_deref(), Some(if without == "insert" { "NO" } else { "YES" }), "{without}");
        // What columns.is_updatable says needs UPDATE and DELETE.
        assert_eq!(row[1].as_deref(), Some(if without == "insert" { "t" } else { "f" }), "{without}");
        let bits = [("insert", 8), ("update", 4), ("delete", 16)]
            .iter()
            .filter(|(word, _)| *word != without)
            .map(|(_, bit)| bit)
            .sum::<i32>();
        assert_eq!(row[2].as_deref(), Some(bits.to_string().as_str()), "{without}");
    }
    session.run("ALTER FOREIGN TABLE salesforce.contact OPTIONS (SET operations 'update, delete')");
    let failure = session.try_copy("COPY salesforce.contact (last_name) FROM STDIN", "x\n").unwrap_err();
    assert_eq!(failure.code, "55000", "{failure:#?}");
    assert!(world.requests().is_empty());
}

#[test]
fn a_table_written_by_hand_is_described_once() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FOREIGN TABLE people (id text OPTIONS (field 'Id', key 'true'), surname text OPTIONS (field 'LastName'), full_name text OPTIONS (field 'Name'), opted boolean OPTIONS (field 'DoNotCall'), langs text[] OPTIONS (field 'Languages__c')) \
         SERVER sf OPTIONS (object 'Contact', operations 'insert, update, delete')",
    );
    let (row, sent) = world.sent_by(|| session.rows("INSERT INTO people (surname, full_name, langs, opted) SELECT 'n' || n, NULL, '{English}', NULL FROM generate_series(1, 450) AS n RETURNING id, full_name"));
    assert_eq!(sent[0], fields(json!({"LastName": "n1", "Languages__c": "English", "DoNotCall": false})));
    assert_eq!(row[449][1].as_deref(), Some("n450"));
    let describes =
        |world: &World| world.requests().iter().filter(|request| request.path.contains("/describe")).count();
    assert_eq!(describes(&world), 1);
    let (count, sent) = world.sent_by(|| {
        session.count(
            "UPDATE people SET opted = NULL, full_name = full_name, id = id, surname = 'same' WHERE surname LIKE 'n%'",
        )
    });
    assert_eq!(count as usize, sent.len());
    assert!(
        describes(&world) <= 1 && sent.iter().all(|record| !record.contains_key("Name") && !record.contains_key("Id")),
        "{:?}",
        sent[0]
    );
    assert!(
        sent.iter().filter(|record| !record.contains_key("DoNotCall")).count() >= 450,
        "NULL is false in a check box"
    );
    session.fails_with("428C9", "UPDATE people SET full_name = 'x' WHERE surname = 'same'");
    let (count, _) = world.writes_of(|| session.count("DELETE FROM people WHERE surname = 'same'"));
    assert!(count >= 450 && describes(&world) == 0, "{count}");
}

#[test]
fn a_table_without_a_key_takes_inserts_alone() {
    let world = world();
    let mut session = world.connect();
    session.run("CREATE FOREIGN TABLE people (id text OPTIONS (field 'Id'), surname text OPTIONS (field 'LastName')) SERVER sf OPTIONS (object 'Contact', operations 'insert, update, delete')");
    let rows = session.rows("INSERT INTO people (surname) VALUES ('keyless') RETURNING id, surname");
    assert_eq!((rows[0][0].as_deref().map(str::len), rows[0][1].as_deref()), (Some(18), Some("keyless")));
    for sql in ["UPDATE people SET surname = 'x'", "DELETE FROM people"] {
        let (failure, writes) = world.writes_of(|| session.fails_with("0A000", sql));
        failure.mentions("people").hints("key");
        assert!(writes.is_empty());
    }
}

#[test]
fn the_owner_of_a_view_pays_for_what_is_written_through_it() {
    let world = world();
    let mut owner = world.connect();
    let guest = format!("{}_guest", world.name);
    world.as_superuser().run(&format!("CREATE ROLE \"{guest}\" LOGIN PASSWORD 'x'"));
    owner.run(&format!(
        "CREATE VIEW people AS SELECT id, last_name FROM salesforce.contact;
         CREATE FUNCTION add(surname text) RETURNS text SECURITY DEFINER LANGUAGE sql AS 'INSERT INTO salesforce.contact (last_name) VALUES (surname) RETURNING id';
         CREATE TABLE parts (id text, last_name text) PARTITION BY LIST (last_name);
         CREATE FOREIGN TABLE part (id text OPTIONS (field 'Id', key 'true'), last_name text OPTIONS (field 'LastName')) SERVER sf OPTIONS (object 'Contact', operations 'insert, update, delete');
         ALTER TABLE parts ATTACH PARTITION part FOR VALUES IN ('routed');
         CREATE VIEW routed AS SELECT * FROM parts;
         GRANT ALL ON people, parts, routed TO \"{guest}\"; GRANT ALL ON SCHEMA salesforce TO \"{guest}\"; GRANT ALL ON salesforce.contact TO \"{guest}\""
    ));
    let mut session = world.connect_as(&guest, "x");
    let id = session.value("INSERT INTO people (last_name) VALUES ('through the view') RETURNING id");
    assert_eq!(session.count(&format!("UPDATE people SET last_name = 'again' WHERE id = '{id}'")), 1);
    assert_eq!(session.count(&format!("DELETE FROM people WHERE id = '{id}'")), 1);
    assert_eq!(session.value("SELECT length(add('defined'))"), "18");
    assert_eq!(session.count("INSERT INTO routed (last_name) VALUES ('routed')"), 1);
    for sql in [
        "INSERT INTO salesforce.contact (last_name) VALUES ('direct')",
        "UPDATE salesforce.contact SET last_name = 'direct'",
        "DELETE FROM salesforce.contact",
        "INSERT INTO parts (last_name) VALUES ('routed')",
    ] {
        let failure = session.fails_with("HV00J", sql);
        failure.mentions(&guest);
    }
    let failure = session.try_copy("COPY salesforce.contact (last_name) FROM STDIN", "x\n").unwrap_err();
    assert_eq!(failure.code, "HV00J", "{failure:#?}");
    assert_eq!((world.count("Contact", "LastName", "direct"), world.count("Contact", "LastName", "routed")), (0, 1));
}

#[test]
fn dropped_added_and_renamed_columns_shift_nothing() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "ALTER FOREIGN TABLE salesforce.contact DROP COLUMN is_deleted;
         ALTER FOREIGN TABLE salesforce.contact DROP COLUMN first_name;
         ALTER FOREIGN TABLE salesforce.contact DROP COLUMN email;
         ALTER FOREIGN TABLE salesforce.contact RENAME COLUMN last_name TO \"Sur \"\"name\"\"\";
         ALTER FOREIGN TABLE salesforce.contact ADD COLUMN given text OPTIONS (field 'FirstName', type 'string', capabilities 'create, update')",
    );
    let (row, sent) = world.sent_by(|| {
        session.rows("INSERT INTO salesforce.contact (given, \"Sur \"\"name\"\"\", title) VALUES ('Ada', 'L', 't') RETURNING name, given, \"Sur \"\"name\"\"\", id, title").swap_remove(0)
    });
    assert_eq!(sent, [fields(json!({"FirstName": "Ada", "LastName": "L", "Title": "t"}))]);
    let texts: Vec<_> = row.iter().map(|cell| cell.clone().unwrap()).collect();
    assert_eq!(
        (texts[0].as_str(), texts[1].as_str(), texts[2].as_str(), texts[4].as_str()),
        ("Ada L", "Ada", "L", "t")
    );
    let (row, sent) = world.sent_by(|| {
        session.rows(&format!("UPDATE salesforce.contact SET given = 'Eve', title = title, score__c = score__c WHERE id = '{}' RETURNING *", texts[3])).swap_remove(0)
    });
    assert_eq!(sent, [fields(json!({"FirstName": "Eve"}))]);
    assert!(row.contains(&Some("Eve L".to_owned())) && row.last() == Some(&Some("Eve".to_owned())), "{row:?}");
    let failure = session.fails_with("23502", "INSERT INTO salesforce.contact (given) VALUES ('x')");
    assert_eq!(failure.column.as_deref(), Some("Sur \"name\""), "{failure:#?}");
    let rows = session.rows(&format!(
        "DELETE FROM salesforce.contact WHERE id = '{}' RETURNING given, \"Sur \"\"name\"\"\", title",
        texts[3]
    ));
    assert_eq!(rows, [["Eve", "L", "t"].map(|text| Some(text.to_owned()))]);
    assert_eq!(session.copy("COPY salesforce.contact (given, \"Sur \"\"name\"\"\") FROM STDIN", "a\tb\n"), 1);
    assert_eq!(world.count("Contact", "Name", "a b"), 1);
}

#[test]
fn a_plan_made_before_the_table_changed_writes_anew() {
    let world = world();
    let mut session = world.connect();
    session.run("SET plan_cache_mode = force_generic_plan; PREPARE p AS INSERT INTO salesforce.contact (last_name, title) VALUES ('a', 'b'); EXECUTE p");
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN title OPTIONS (SET field 'Department')");
    let (_, sent) = world.sent_by(|| session.run("EXECUTE p"));
    assert_eq!(sent, [fields(json!({"LastName": "a", "Department": "b"}))]);
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN title OPTIONS (SET capabilities 'filter')");
    session.fails_with("428C9", "EXECUTE p");
    session.run("ALTER FOREIGN TABLE salesforce.contact OPTIONS (SET operations 'delete')");
    session.fails_with("55000", "EXECUTE p");
}

#[test]
fn two_columns_of_one_field_are_sent_once_or_refused() {
    let world = world();
    let mut session = world.connect();
    session.run("ALTER FOREIGN TABLE salesforce.contact ADD COLUMN surname text OPTIONS (field 'LastName', type 'string', capabilities 'create, update')");
    let (result, writes) =
        world.writes_of(|| session.try_rows("INSERT INTO salesforce.contact (last_name, surname) VALUES ('a', 'b')"));
    let failure = result.expect_err("which of them is meant?");
    assert!(failure.code != "XX000" && failure.column.is_some(), "{failure:#?}");
    assert!(writes.is_empty(), "{writes:#?}");
}
