//! Writing through whatever Postgres can put between a statement and a table.

use serde_json::json;

use crate::support::{Config, Session, World, fields, fields_sent, sorted};

fn world() -> World {
    World::new(Config::new().records("Contact", 300).records("Account", 20).records("Case", 0))
}

/// The ids of the first few contacts, quoted and in a list.
fn some(world: &World, count: u32) -> String {
    (0..count).map(|index| format!("'{}'", world.sandbox.id("Contact", index))).collect::<Vec<_>>().join(", ")
}

#[test]
fn explain_says_what_would_be_written_and_sends_nothing() {
    let world = world();
    let mut session = world.connect();
    session.run("DROP USER MAPPING FOR CURRENT_USER SERVER sf");
    for (sql, says) in [
        ("INSERT INTO salesforce.contact (last_name) VALUES ('x')", "Remote Write: insert Contact, batch size 200"),
        ("UPDATE salesforce.contact SET title = 'x'", "Remote Write: update Contact, batch size 200"),
        ("DELETE FROM salesforce.contact", "Remote Write: delete Contact, batch size 200"),
        (
            "INSERT INTO salesforce.contact (last_name) VALUES ('x') ON CONFLICT DO NOTHING",
            "Remote Write: insert Contact, batch size 200",
        ),
        (
            "WITH w AS (UPDATE salesforce.contact SET title = 'x' RETURNING id) SELECT count(*) FROM w",
            "Remote Write: update Contact, batch size 200",
        ),
    ] {
        let plan = session.explain("VERBOSE, COSTS OFF", sql);
        assert!(plan.contains(says), "{sql}\n{plan}");
        for options in ["", "FORMAT JSON, VERBOSE", "FORMAT XML"] {
            session.run(&format!("EXPLAIN ({}) {sql}", if options.is_empty() { "COSTS OFF" } else { options }));
        }
    }
    session.run("CREATE TABLE t (id int)");
    assert!(world.sandbox.requests().is_empty(), "{:#?}", world.sandbox.requests());
}

#[test]
fn explain_analyze_counts_requests_and_rows() {
    let world = world();
    let mut session = world.connect();
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    let node = |plan: &str| {
        plan.lines()
            .find(|line| line.contains("on salesforce.contact") || line.contains("on contact"))
            .unwrap_or_default()
            .to_owned()
    };
    for (sql, requests, rows) in [
        ("INSERT INTO salesforce.contact (last_name, title) SELECT 'new', 'new' FROM generate_series(1, 450)", 3, 0),
        ("UPDATE salesforce.contact SET title = 'old' WHERE title = 'new' RETURNING name", 6, 450),
        ("UPDATE salesforce.contact SET title = 'old' WHERE title = 'old'", 0, 0),
        ("DELETE FROM salesforce.contact WHERE title = 'old' RETURNING name", 3, 450),
    ] {
        let (plan, writes) =
            world.writes_of(|| session.explain("ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF", sql));
        let modify = plan.split("Foreign Scan").next().unwrap_or_default();
        assert!(
            modify.contains(&format!("Requests: {requests}\n")) || modify.ends_with(&format!("Requests: {requests}")),
            "{sql}\n{plan}"
        );
        assert!(node(&plan).contains(&format!("actual rows={rows} ")), "{sql}\n{plan}");
        assert!(writes.len() <= 3, "{sql}");
    }
}

#[test]
fn a_common_table_expression_writes_and_hands_on() {
    let world = world();
    let mut session = world.connect();
    session.run("CREATE TABLE log (id text, name text)");
    let sql = "WITH fresh AS (INSERT INTO salesforce.contact (first_name, last_name) SELECT 'Ada', n::text FROM generate_series(1, 250) AS n RETURNING id, name, last_name) \
               INSERT INTO log SELECT id, name FROM fresh WHERE last_name::int % 2 = 0";
    assert_eq!(session.count(sql), 125);
    assert_eq!(
        session.number("SELECT count(*) FROM log JOIN salesforce.contact c USING (id) WHERE c.name = log.name"),
        125
    );
    // Whatever the query above reads of it, all of it is done.
    let first = session.rows("WITH gone AS (DELETE FROM salesforce.contact WHERE first_name = 'Ada' AND last_name ~ '^[0-9]+$' RETURNING id) SELECT id FROM gone LIMIT 1");
    assert_eq!((first.len(), world.records("Contact").len()), (1, 300));
    session.run("WITH unread AS (INSERT INTO salesforce.contact (last_name) VALUES ('unread') RETURNING id) SELECT 1");
    assert_eq!(world.count("Contact", "LastName", "unread"), 1);
    // Two writes to one table see the state before both.
    let rows = session.rows("WITH a AS (UPDATE salesforce.contact SET title = 'a' WHERE last_name = 'unread' RETURNING title), b AS (INSERT INTO salesforce.contact (last_name, title) VALUES ('unread', 'b') RETURNING title) SELECT * FROM a UNION ALL SELECT * FROM b");
    assert_eq!(sorted(rows), [[Some("a".to_owned())], [Some("b".to_owned())]]);
    assert_eq!(world.count("Contact", "LastName", "unread"), 2);
}

#[test]
fn joins_with_local_and_foreign_tables_choose_what_is_written() {
    let world = world();
    let mut session = world.connect();
    let right =
        session.number("SELECT count(*) FROM salesforce.contact c JOIN salesforce.account a ON a.id = c.account_id");
    let rows = session.rows("UPDATE salesforce.contact c SET department = a.name FROM salesforce.account a WHERE a.id = c.account_id RETURNING c.id, c.department, a.name, a.id");
    assert!(right > 100 && rows.len() == right as usize, "{} of {right}", rows.len());
    assert!(rows.iter().all(|row| row[1] == row[2]));
    for row in &rows[..5] {
        let record = world.record("Contact", row[0].as_deref().unwrap());
        assert_eq!((&record["Department"], &record["AccountId"]), (&row[2], &row[3]));
    }
    let account = world.sandbox.id("Account", 0);
    session.run(&format!("CREATE TABLE closed AS SELECT '{account}' AS id"));
    let right = session.number(&format!("SELECT count(*) FROM salesforce.contact WHERE account_id = '{account}'"));
    let rows = session.rows("DELETE FROM salesforce.contact c USING closed WHERE closed.id = c.account_id RETURNING c.account_id, closed.id, c.name");
    assert_eq!(rows.len() as i64, right);
    assert!(rows.iter().all(|row| row[0] == row[1] && row[2].is_some()));
    assert_eq!(world.count("Contact", "AccountId", &account), 0);
    let count = session.count("UPDATE salesforce.contact SET title = 'parented' WHERE EXISTS (SELECT FROM salesforce.account a WHERE a.id = account_id AND a.name IS NOT NULL) AND id NOT IN (SELECT id FROM closed)");
    assert_eq!(count as usize, world.count("Contact", "Title", "parented"));
}

#[test]
fn a_table_written_from_itself_is_read_before() {
    let world = World::new(Config::new().records("Contact", 2500).records("Case", 0));
    let mut session = world.connect();
    let count = session
        .count("INSERT INTO salesforce.contact (last_name, title) SELECT last_name, 'copy' FROM salesforce.contact");
    assert_eq!((count, world.records("Contact").len(), world.count("Contact", "Title", "copy")), (2500, 5000, 2500));
    let count = session.count("UPDATE salesforce.contact SET title = (SELECT count(*) FROM salesforce.contact)::text");
    assert_eq!((count, world.count("Contact", "Title", "5000")), (5000, 5000));
    // Over several pages, each read after the batches of the one before were written.
    assert_eq!(session.count("DELETE FROM salesforce.contact WHERE last_name IS NOT NULL"), 5000);
    assert!(world.records("Contact").is_empty());
}

#[test]
fn prepared_statements_write_each_time() {
    let world = world();
    let mut session = world.connect();
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        session.run(&format!("SET plan_cache_mode = {mode}"));
        let client = session.client();
        let insert = client.prepare("INSERT INTO salesforce.contact (last_name, title, score__c) VALUES ($1, $2, $3::text::numeric) RETURNING id, name").unwrap();
        let update = client.prepare("UPDATE salesforce.contact SET title = $2 WHERE id = $1").unwrap();
        let delete = client.prepare("DELETE FROM salesforce.contact WHERE id = $1").unwrap();
        for number in 0..10 {
            let (name, score) = (format!("prepared {number}"), format!("{number}.5"));
            let row = client.query_one(&insert, &[&name, &None::<String>, &score]).unwrap();
            let id: String = row.get(0);
            assert_eq!(row.get::<_, String>(1), name);
            assert_eq!(client.execute(&update, &[&id, &Some("t")]).unwrap(), 1);
            let record = world.record("Contact", &id);
            assert_eq!((record["Title"].as_deref(), &record["Score__c"]), (Some("t"), &Some(score)));
            assert_eq!(client.execute(&delete, &[&id]).unwrap(), 1);
            assert_eq!(client.execute(&delete, &[&id]).unwrap(), 0);
        }
    }
    assert_eq!(world.records("Contact").len(), 300);
}

#[test]
fn functions_loops_and_exception_blocks() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FUNCTION work() RETURNS text LANGUAGE plpgsql AS $$
         DECLARE r record; caught int := 0; written int := 0; n bigint; state text; kolumn text;
         BEGIN
           FOR r IN INSERT INTO salesforce.contact (last_name) SELECT 'loop' FROM generate_series(1, 210) RETURNING id LOOP
             written := written + 1;
           END LOOP;
           FOR r IN SELECT id FROM salesforce.contact WHERE last_name = 'loop' LIMIT 10 LOOP
             BEGIN
               UPDATE salesforce.contact SET email = CASE WHEN caught < 5 THEN 'bad' ELSE 'a@b.example' END WHERE id = r.id;
             EXCEPTION WHEN invalid_text_representation THEN
               GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, kolumn = COLUMN_NAME;
               caught := caught + 1;
             END;
           END LOOP;
           UPDATE salesforce.contact SET title = 'looped' WHERE last_name = 'loop';
           GET DIAGNOSTICS n = ROW_COUNT;
           IF NOT FOUND THEN RAISE 'not found'; END IF;
           DELETE FROM salesforce.contact WHERE last_name = 'nobody at all';
           IF FOUND THEN RAISE 'found'; END IF;
           RETURN format('%s %s %s %s %s', written, caught, n, state, kolumn);
         END $$",
    );
    for _ in 0..2 {
        assert_eq!(session.value("SELECT work()"), "210 5 210 22P02 email");
        assert_eq!(world.count("Contact", "Email", "a@b.example"), 5);
        assert_eq!(session.count("DELETE FROM salesforce.contact WHERE title = 'looped'"), 210);
    }
}

#[test]
fn before_row_triggers_change_and_skip_rows() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           IF TG_OP = 'DELETE' THEN RETURN CASE WHEN OLD.title = 'keep' THEN NULL ELSE OLD END; END IF;
           IF NEW.title = 'skip' THEN RETURN NULL; END IF;
           NEW.department := 'by trigger of ' || lower(TG_OP);
           NEW.last_name := upper(NEW.last_name);
           RETURN NEW;
         END $$;
         CREATE TRIGGER meddle BEFORE INSERT OR UPDATE OR DELETE ON salesforce.contact FOR EACH ROW EXECUTE FUNCTION meddle()",
    );
    let (rows, sent) = world.sent_by(|| session.rows("INSERT INTO salesforce.contact (last_name, title) VALUES ('a', 'keep'), ('b', 'skip'), ('c', 'go') RETURNING last_name, department, id"));
    assert_eq!(
        sent,
        [
            fields(json!({"LastName": "A", "Title": "keep", "Department": "by trigger of insert"})),
            fields(json!({"LastName": "C", "Title": "go", "Department": "by trigger of insert"}))
        ]
    );
    assert_eq!(rows.len(), 2);
    let ids = rows.iter().map(|row| format!("'{}'", row[2].clone().unwrap())).collect::<Vec<_>>().join(", ");
    let (count, sent) = world.sent_by(|| {
        session.count(&format!("UPDATE salesforce.contact SET title = title, first_name = 'F' WHERE id IN ({ids})"))
    });
    assert_eq!(count, 2);
    for record in &sent {
        assert_eq!(*record, fields(json!({"FirstName": "F", "Department": "by trigger of update"})));
    }
    assert_eq!(session.count(&format!("UPDATE salesforce.contact SET title = 'skip' WHERE id IN ({ids})")), 0);
    assert_eq!(session.count(&format!("DELETE FROM salesforce.contact WHERE id IN ({ids})")), 1);
    assert_eq!(world.count("Contact", "Title", "keep"), 1);
    assert_eq!(session.copy("COPY salesforce.contact (last_name, title) FROM STDIN", "x\tskip\ny\t\\N\n"), 1);
    assert_eq!(world.count("Contact", "LastName", "Y"), 1);
}

#[test]
fn a_before_row_trigger_that_clears_a_value_or_sets_a_read_only_one() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FUNCTION clear() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN NEW.title := NULL; IF NEW.first_name = 'bad' THEN NEW.name := 'x'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER clear BEFORE INSERT OR UPDATE ON salesforce.contact FOR EACH ROW EXECUTE FUNCTION clear()",
    );
    let (_, sent) =
        world.sent_by(|| session.run("INSERT INTO salesforce.contact (last_name, title) VALUES ('a', 'x')"));
    assert_eq!(sent, [fields(json!({"LastName": "a", "Title": null}))]);
    let id = session.value("SELECT id FROM salesforce.contact WHERE title IS NOT NULL LIMIT 1");
    let (_, sent) = world
        .sent_by(|| session.run(&format!("UPDATE salesforce.contact SET first_name = first_name WHERE id = '{id}'")));
    assert_eq!(sent, [fields(json!({"Title": null}))]);
    session.fails_with("428C9", "INSERT INTO salesforce.contact (first_name, last_name) VALUES ('bad', 'a')");
    session.fails_with("428C9", &format!("UPDATE salesforce.contact SET first_name = 'bad' WHERE id = '{id}'"));
}

#[test]
fn after_row_triggers_see_the_old_and_the_new_row() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE TABLE audit (op text, old_name text, new_name text, new_id text, old_id text, old_title text, stamp timestamptz);
         CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           INSERT INTO audit SELECT TG_OP, OLD.name, NEW.name, NEW.id, OLD.id, OLD.title, NEW.system_modstamp;
           RETURN NULL;
         END $$;
         CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON salesforce.contact FOR EACH ROW EXECUTE FUNCTION audit()",
    );
    let (_, writes) = world.writes_of(|| session.run("INSERT INTO salesforce.contact (first_name, last_name, title) SELECT 'Ada', n::text, 't' || n FROM generate_series(1, 250) AS n"));
    assert_eq!(writes.len(), 2, "an AFTER trigger does not end batches");
    let (_, writes) = world.writes_of(|| {
        session
            .run("UPDATE salesforce.contact SET first_name = 'Eve' WHERE first_name = 'Ada' AND last_name ~ '^[0-9]+$'")
    });
    assert_eq!(writes.len(), 2);
    session.run("DELETE FROM salesforce.contact WHERE first_name = 'Eve' AND last_name ~ '^[0-9]+$'");
    let counts = session.rows(
        "SELECT op, count(*), count(DISTINCT new_id), count(DISTINCT old_id), count(stamp), bool_and(coalesce(new_name ~ '^(Ada|Eve) [0-9]+$', true) AND coalesce(old_name ~ '^(Ada|Eve) [0-9]+$', true)), bool_and(coalesce(old_title = 't' || split_part(old_name, ' ', 2), true)) FROM audit GROUP BY op ORDER BY op",
    );
    let row = |cells: [&str; 7]| cells.map(|cell| Some(cell.to_owned())).to_vec();
    assert_eq!(
        counts,
        [
            row(["DELETE", "250", "0", "250", "0", "t", "t"]),
            row(["INSERT", "250", "250", "0", "250", "t", "t"]),
            row(["UPDATE", "250", "250", "250", "250", "t", "t"])
        ]
    );
    session.run("TRUNCATE audit");
    assert_eq!(session.copy("COPY salesforce.contact (last_name) FROM STDIN", "copied\n"), 1);
    assert_eq!(session.value("SELECT new_name || (new_id IS NOT NULL) FROM audit"), "copiedtrue");
}

#[test]
fn statement_triggers_fire_once_and_transition_tables_are_refused_by_core() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE TABLE fired (op text, held bigint);
         CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired SELECT TG_WHEN || ' ' || TG_OP, count(*) FROM salesforce.contact WHERE last_name = 'fire'; RETURN NULL; END $$;
         CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON salesforce.contact FOR EACH STATEMENT EXECUTE FUNCTION fire();
         CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON salesforce.contact FOR EACH STATEMENT EXECUTE FUNCTION fire()",
    );
    session.run("INSERT INTO salesforce.contact (last_name) SELECT 'fire' FROM generate_series(1, 250)");
    session.run("UPDATE salesforce.contact SET title = 'x' WHERE last_name = 'fire'");
    session.run("DELETE FROM salesforce.contact WHERE last_name = 'fire'");
    let row = |op: &str, held: &str| vec![Some(op.to_owned()), Some(held.to_owned())];
    assert_eq!(
        session.rows("SELECT * FROM fired"),
        [
            row("BEFORE INSERT", "0"),
            row("AFTER INSERT", "250"),
            row("BEFORE UPDATE", "250"),
            row("AFTER UPDATE", "250"),
            row("BEFORE DELETE", "250"),
            row("AFTER DELETE", "0")
        ]
    );
    session.fails("CREATE TRIGGER t AFTER INSERT ON salesforce.contact REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION fire()");
}

#[test]
fn a_statement_trigger_after_a_copy_sees_all_of_it() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE TABLE fired (held bigint);
         CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired SELECT count(*) FROM salesforce.contact WHERE last_name = 'fire'; RETURN NULL; END $$;
         CREATE TRIGGER a AFTER INSERT ON salesforce.contact FOR EACH STATEMENT EXECUTE FUNCTION fire()",
    );
    session.copy("COPY salesforce.contact (last_name) FROM STDIN", &"fire\n".repeat(250));
    assert_eq!(session.number("SELECT held FROM fired"), 250);
}

#[test]
fn generated_columns_are_computed_and_sent() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FOREIGN TABLE people (id text OPTIONS (field 'Id', key 'true', capabilities ''), surname text OPTIONS (field 'LastName', type 'string', capabilities 'create, update'), \
         shout text OPTIONS (field 'Title', type 'string', capabilities 'create, update') GENERATED ALWAYS AS (upper(surname)) STORED, \
         dept text OPTIONS (field 'Department', type 'string', capabilities 'create, update')) SERVER sf OPTIONS (object 'Contact', operations 'insert, update, delete')",
    );
    let (row, sent) = world
        .sent_by(|| session.rows("INSERT INTO people (surname) VALUES ('ada') RETURNING id, shout").swap_remove(0));
    assert_eq!(sent, [fields(json!({"LastName": "ada", "Title": "ADA"}))]);
    assert_eq!(row[1].as_deref(), Some("ADA"));
    let id = row[0].clone().unwrap();
    let (_, sent) = world.sent_by(|| session.run(&format!("UPDATE people SET surname = 'eve' WHERE id = '{id}'")));
    assert_eq!(sent, [fields(json!({"LastName": "eve", "Title": "EVE"}))]);
    let (_, sent) = world.sent_by(|| session.run(&format!("UPDATE people SET dept = 'd' WHERE id = '{id}'")));
    assert_eq!(sent, [fields(json!({"Department": "d"}))]);
    let (_, sent) = world.sent_by(|| session.copy("COPY people (surname) FROM STDIN", "x\ny\n"));
    assert_eq!(sent[1], fields(json!({"LastName": "y", "Title": "Y"})));
}

#[test]
fn merge_and_on_conflict_do_update_are_refused_without_a_request() {
    let world = world();
    let mut session = world.connect();
    for sql in [
        "MERGE INTO salesforce.contact c USING (VALUES ('x')) AS v (n) ON c.last_name = v.n WHEN NOT MATCHED THEN INSERT (last_name) VALUES (n)",
        "INSERT INTO salesforce.contact (last_name, erp_key__c) VALUES ('x', 'k') ON CONFLICT (erp_key__c) DO UPDATE SET last_name = 'y'",
        "INSERT INTO salesforce.contact (last_name, erp_key__c) VALUES ('x', 'k') ON CONFLICT (erp_key__c) DO NOTHING",
    ] {
        let failure = session.fails(sql);
        assert!(["0A000", "42P10", "42809"].contains(&failure.code.as_str()), "{sql}\n{failure:#?}");
    }
    assert!(world.requests().is_empty());
}

#[test]
fn on_conflict_do_nothing_passes_over_what_is_there() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "INSERT INTO salesforce.contact (last_name, erp_key__c) VALUES ('first', 'key 100'), ('first', 'key 333')",
    );
    let sql = "INSERT INTO salesforce.contact (last_name, erp_key__c) SELECT 'second', 'key ' || n FROM generate_series(1, 450) AS n ON CONFLICT DO NOTHING RETURNING erp_key__c";
    let rows = session.column(sql);
    assert_eq!(rows.len(), 448);
    assert!(!rows.contains(&"key 100".to_owned()) && !rows.contains(&"key 333".to_owned()));
    assert_eq!((world.count("Contact", "LastName", "first"), world.count("Contact", "LastName", "second")), (2, 448));
    assert_eq!(session.count("INSERT INTO salesforce.contact (last_name, erp_key__c) SELECT 'third', 'key ' || n FROM generate_series(1, 450) AS n ON CONFLICT DO NOTHING"), 0);
    let count = session.count("INSERT INTO salesforce.contact (last_name, erp_key__c) VALUES ('twin', 'one'), ('twin', 'one'), ('twin', 'two') ON CONFLICT DO NOTHING");
    assert_eq!((count, world.count("Contact", "LastName", "twin")), (2, 2));
    // Any other refusal stays one.
    let failure = session.fails("INSERT INTO salesforce.contact (last_name, erp_key__c) VALUES ('x', 'one'), (NULL, 'three') ON CONFLICT DO NOTHING");
    assert_eq!(failure.code, "23502", "{failure:#?}");
}

#[test]
fn where_current_of_is_an_error_and_no_more() {
    let world = world();
    let mut session: Session = world.connect();
    for sql in [
        "UPDATE salesforce.contact SET title = 'x' WHERE CURRENT OF c",
        "DELETE FROM salesforce.contact WHERE CURRENT OF c",
    ] {
        session.run("BEGIN; DECLARE c CURSOR FOR SELECT id FROM salesforce.contact; FETCH 1 FROM c");
        let (failure, writes) = world.writes_of(|| session.fails(sql));
        assert_eq!(failure.code, "0A000", "{failure:#?}");
        assert!(writes.is_empty());
        session.run("ROLLBACK");
    }
    session.run("BEGIN");
    assert_eq!(
        session.rows(&format!("SELECT id FROM salesforce.contact WHERE id IN ({}) FOR UPDATE", some(&world, 2))).len(),
        2
    );
    session.run("COMMIT");
}

#[test]
fn rows_may_be_locked_with_a_local_table_while_they_are_written() {
    let world = world();
    let mut session = world.connect();
    session.run(&format!(
        "CREATE TABLE todo AS SELECT id, 'todo' AS what FROM salesforce.contact WHERE id IN ({})",
        some(&world, 10)
    ));
    let (count, writes) = world.writes_of(|| {
        session.count("WITH picked AS (SELECT id, what FROM todo ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED) UPDATE salesforce.contact c SET title = what FROM picked WHERE picked.id = c.id")
    });
    assert_eq!((count, writes.len(), fields_sent(&writes[0]).len()), (5, 1, 5));
}

#[test]
fn values_come_from_sub_selects_multiple_assignments_and_sorted_inputs() {
    let world = world();
    let mut session = world.connect();
    session.run("CREATE TABLE news (first text, last text, n int)");
    session.run("INSERT INTO news SELECT 'f' || n, 'l' || n, n FROM generate_series(1, 250) AS n");
    let rows = session.rows("INSERT INTO salesforce.contact (last_name, title, first_name) SELECT last, (SELECT 'x' || n), first FROM news ORDER BY n DESC, random() RETURNING name, title, id");
    let texts = |row: &[Option<String>]| (row[0].clone().unwrap(), row[1].clone().unwrap());
    assert_eq!(texts(&rows[0]), ("f250 l250".to_owned(), "x250".to_owned()));
    assert_eq!(texts(&rows[249]), ("f1 l1".to_owned(), "x1".to_owned()));
    let count = session.count(
        "UPDATE salesforce.contact c SET (department, description) = (SELECT last, first FROM news WHERE 'x' || n = c.title), title = (SELECT 'y' || max(n) FROM news WHERE last <= c.last_name) WHERE c.title ~ '^x[0-9]+$'",
    );
    assert_eq!(count, 250);
    let records = world.records("Contact");
    let changed: Vec<_> = records
        .iter()
        .filter(|record| {
            record["Department"] == record["LastName"]
                && record["Description"] == record["FirstName"]
                && record["Description"].is_some()
        })
        .collect();
    assert_eq!(changed.len(), 250);
    assert!(changed.iter().all(|record| record["Title"].as_deref().is_some_and(|title| title.starts_with('y'))));
}

#[test]
fn the_whole_row_is_whole_wherever_the_statement_uses_it() {
    let world = world();
    let mut session = world.connect();
    let id = world.sandbox.id("Contact", 7);
    for sql in [
        "UPDATE salesforce.contact c SET description = md5(c::text) WHERE c.id = '?'",
        "UPDATE salesforce.contact c SET description = (SELECT md5(c::text) OFFSET 0) WHERE c.id = '?'",
        "UPDATE salesforce.contact c SET description = o.t FROM (SELECT id, md5(i::text) AS t FROM salesforce.contact i) AS o WHERE c.id = '?' AND o.id = c.id",
    ] {
        let whole = session.value(&format!("SELECT md5(c::text) FROM salesforce.contact c WHERE id = '{id}'"));
        assert_eq!(session.count(&sql.replace('?', &id)), 1);
        assert_eq!(world.record("Contact", &id)["Description"].as_deref(), Some(whole.as_str()), "{sql}");
    }
}

#[test]
fn a_security_barrier_view_tests_the_whole_row() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FUNCTION fine(c salesforce.contact) RETURNS boolean VOLATILE COST 1 LANGUAGE plpgsql AS 'BEGIN RETURN c.created_date IS NOT NULL AND c.name IS NOT NULL; END';
         CREATE VIEW barrier WITH (security_barrier) AS SELECT * FROM salesforce.contact c WHERE fine(c)",
    );
    assert_eq!(session.count("UPDATE barrier SET title = 'seen'"), 300);
    assert_eq!(world.count("Contact", "Title", "seen"), 300);
    let rows = session.rows("DELETE FROM barrier WHERE title = 'seen' RETURNING name");
    assert!(rows.len() == 300 && rows.iter().all(|row| row[0].is_some()));
}

#[test]
fn a_procedure_that_commits_settles_what_was_written() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    session.run(
        "CREATE PROCEDURE work() LANGUAGE plpgsql AS $$
         BEGIN
           FOR i IN 1 .. 3 LOOP
             INSERT INTO salesforce.contact (last_name) VALUES ('committed');
             COMMIT;
           END LOOP;
           INSERT INTO salesforce.contact (last_name) VALUES ('rolled back');
           ROLLBACK;
         END $$",
    );
    session.run("CALL work()");
    notices.warning(&mut session).mentions("1 salesforce.contact inserted");
    assert_eq!(
        (world.count("Contact", "LastName", "committed"), world.count("Contact", "LastName", "rolled back")),
        (3, 1)
    );
}

#[test]
fn a_function_that_writes_may_run_within_a_statement_that_writes() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FUNCTION parent(n int) RETURNS text VOLATILE LANGUAGE plpgsql AS $$
         DECLARE made text;
         BEGIN
           INSERT INTO salesforce.account (name) VALUES ('parent ' || n) RETURNING id INTO made;
           UPDATE salesforce.account SET phone = n WHERE id = made;
           RETURN made;
         END $$",
    );
    let rows = session.rows("INSERT INTO salesforce.contact (last_name, account_id) SELECT 'child ' || n, parent(n) FROM generate_series(1, 30) AS n RETURNING last_name, account_id");
    assert_eq!(rows.len(), 30);
    let accounts = world.records("Account");
    for (at, row) in rows.iter().enumerate() {
        let parent = accounts.iter().find(|account| account["Id"] == row[1]).expect("it is there");
        assert_eq!(
            (parent["Name"].clone(), parent["Phone"].clone()),
            (Some(format!("parent {}", at + 1)), Some((at + 1).to_string()))
        );
    }
}
