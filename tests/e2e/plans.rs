//! Rows are right whatever plan the planner takes: loops that rescan, materialised and parallel ones, cursors, functions.

use crate::support::{Config, Copy, World};

fn world() -> World {
    World::new(Config::new().records("Contact", 300).records("Account", 40).page_size(200))
}

#[test]
fn every_kind_of_join_gives_the_same_rows() {
    let world = world();
    let mut copy = Copy::of(&world, &[("Contact", "contact"), ("Account", "account")]);
    for off in [
        "",
        "SET enable_hashjoin = off",
        "SET enable_hashjoin = off; SET enable_mergejoin = off",
        "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off",
        "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off",
        "SET enable_nestloop = off; SET enable_hashjoin = off",
    ] {
        if !off.is_empty() {
            copy.session.run(off);
        }
        copy.same("SELECT c.id, a.name FROM salesforce.contact c JOIN salesforce.account a ON a.id = c.account_id");
        copy.same("SELECT c.id, a.name FROM salesforce.contact c LEFT JOIN salesforce.account a ON a.id = c.account_id AND a.active__c");
        copy.same("SELECT c.id, a.id FROM salesforce.contact c FULL JOIN salesforce.account a ON a.id = c.account_id");
        copy.same("SELECT a.id FROM salesforce.account a WHERE EXISTS (SELECT FROM salesforce.contact c WHERE c.account_id = a.id AND c.do_not_call)");
        copy.same("SELECT a.id FROM salesforce.account a WHERE NOT EXISTS (SELECT FROM salesforce.contact c WHERE c.account_id = a.id)");
        copy.same("SELECT a.id, (SELECT count(*) FROM salesforce.contact c WHERE c.account_id = a.id) FROM salesforce.account a");
        copy.same("SELECT count(*) FROM salesforce.account a, salesforce.account b WHERE a.industry < b.industry");
        copy.session.run("RESET ALL");
    }
}

#[test]
fn a_nested_loop_asks_anew_for_other_keys_and_rows_are_right() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off",
    );
    let account = world.sandbox.id("Account", 0);
    session.run("CREATE TABLE keys (k text)");
    for index in 0..4 {
        session
            .run(&format!("INSERT INTO keys VALUES ('{}'), ('{account}'), (NULL)", world.sandbox.id("Account", index)));
    }
    session.run("ANALYZE keys");
    let right = session
        .number("SELECT count(*) FROM (SELECT account_id FROM salesforce.contact) c JOIN keys ON k = account_id");
    for lateral in [
        "SELECT count(*) FROM keys, LATERAL (SELECT id FROM salesforce.contact WHERE account_id = k) c",
        "SELECT count(*) FROM keys, LATERAL (SELECT id FROM salesforce.contact WHERE account_id = k OFFSET 0) c",
        "SELECT sum(n) FROM keys, LATERAL (SELECT count(*) AS n FROM salesforce.contact WHERE account_id = k) c",
    ] {
        assert_eq!(session.number(lateral), right, "{lateral}");
    }
}

#[test]
fn a_cursor_reads_in_steps_and_may_be_closed_early() {
    let world = world();
    let mut session = world.connect();
    let all = session.column("SELECT id FROM salesforce.contact");
    assert_eq!(all.len(), 300);
    session.run("BEGIN");
    session.run("DECLARE c CURSOR FOR SELECT id FROM salesforce.contact");
    let mut fetched = session.column("FETCH 1 FROM c");
    fetched.extend(session.column("FETCH 150 FROM c"));
    fetched.extend(session.column("FETCH 100 FROM c"));
    session.run("DECLARE other CURSOR FOR SELECT id FROM salesforce.contact");
    assert_eq!(session.column("FETCH 5 FROM other"), all[..5]);
    fetched.extend(session.column("FETCH ALL FROM c"));
    assert_eq!(fetched, all);
    assert!(session.column("FETCH ALL FROM c").is_empty());
    session.run("CLOSE other");
    session.run("COMMIT");
    session.run("BEGIN");
    session.run("DECLARE s SCROLL CURSOR FOR SELECT id FROM salesforce.contact");
    assert_eq!(session.column("FETCH ALL FROM s"), all);
    assert_eq!(session.column("FETCH BACKWARD 10 FROM s").len(), 10);
    session.run("MOVE ABSOLUTE 0 FROM s");
    assert_eq!(session.column("FETCH ALL FROM s"), all);
    session.run("ROLLBACK");
    session.run("BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT id FROM salesforce.contact; COMMIT");
    assert_eq!(session.column("FETCH ALL FROM h"), all);
    session.run("CLOSE h");
}

#[test]
fn a_cursor_outlives_a_savepoint_that_is_rolled_back() {
    let world = world();
    let mut session = world.connect();
    let all = session.column("SELECT id FROM salesforce.contact");
    session.run("BEGIN");
    session.run("DECLARE c CURSOR FOR SELECT id FROM salesforce.contact");
    let mut fetched = session.column("FETCH 10 FROM c");
    session.run("SAVEPOINT s");
    session.fails("SELECT 1 / 0");
    session.run("ROLLBACK TO s");
    fetched.extend(session.column("FETCH 20 FROM c"));
    session.run("SAVEPOINT t");
    session.run("DECLARE inner_one CURSOR FOR SELECT id FROM salesforce.contact");
    session.rows("FETCH 5 FROM inner_one");
    session.run("ROLLBACK TO t");
    fetched.extend(session.column("FETCH ALL FROM c"));
    assert_eq!(fetched, all);
    session.run("COMMIT");
}

#[test]
fn a_plpgsql_function_catches_an_error_and_goes_on() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FUNCTION careful(account text) RETURNS text LANGUAGE plpgsql AS $$
         DECLARE n bigint; r record; seen bigint := 0;
         BEGIN
           FOR r IN SELECT id FROM salesforce.contact LOOP
             seen := seen + 1;
             BEGIN
               IF seen % 100 = 0 THEN PERFORM 1 / 0; END IF;
             EXCEPTION WHEN division_by_zero THEN NULL;
             END;
           END LOOP;
           BEGIN
             PERFORM count(*) FROM salesforce.contact c WHERE c.id = account AND 1 / (c.id = account)::int::numeric > 2;
             SELECT count(*) INTO STRICT n FROM salesforce.contact WHERE score__c > 0 AND 1 / 0 > 0;
           EXCEPTION WHEN OTHERS THEN
             SELECT count(*) INTO n FROM salesforce.contact WHERE account_id = account;
           END;
           RETURN seen || ' ' || n;
         END $$",
    );
    let account = world.sandbox.id("Account", 0);
    let right = session.number(&format!("SELECT count(*) FROM salesforce.contact WHERE account_id = '{account}'"));
    for turn in 1..=8 {
        assert_eq!(session.value(&format!("SELECT careful('{account}')")), format!("300 {right}"), "call {turn}");
    }
}

#[test]
fn an_error_of_the_api_can_be_caught() {
    let world = world();
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD max_retries '0')");
    session.run(
        "CREATE FUNCTION tries() RETURNS text LANGUAGE plpgsql AS $$
         DECLARE state text; message text;
         BEGIN
           PERFORM count(*) FROM salesforce.contact;
           RETURN 'fine';
         EXCEPTION WHEN OTHERS THEN
           GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
           RETURN state;
         END $$",
    );
    assert_eq!(session.value("SELECT tries()"), "fine");
    world.sandbox.fault(crate::support::Fault::new(crate::support::Action::DropBefore).path("/query"));
    assert_eq!(session.value("SELECT tries()"), "08006");
    world.sandbox.clear_faults();
    assert_eq!(session.value("SELECT tries()"), "fine");
}

#[test]
fn views_ctes_set_operations_and_subqueries() {
    let world = world();
    let mut copy = Copy::of(&world, &[("Contact", "contact"), ("Account", "account")]);
    for schema in ["salesforce", "local"] {
        copy.session.run(&format!("CREATE VIEW {schema}.people AS SELECT id, account_id, last_name, do_not_call FROM {schema}.contact WHERE NOT do_not_call"));
    }
    for sql in [
        "SELECT * FROM salesforce.people",
        "SELECT count(*) FROM salesforce.people WHERE last_name LIKE 'S%'",
        "WITH a AS MATERIALIZED (SELECT * FROM salesforce.account) SELECT x.id, y.name FROM a x JOIN a y ON x.id = y.parent_id",
        "SELECT account_id FROM salesforce.contact UNION SELECT id FROM salesforce.account",
        "SELECT account_id FROM salesforce.contact EXCEPT SELECT id FROM salesforce.account",
        "SELECT id FROM salesforce.account WHERE id IN (SELECT account_id FROM salesforce.contact WHERE score__c > 0)",
        "SELECT id FROM salesforce.account WHERE id NOT IN (SELECT account_id FROM salesforce.contact WHERE account_id IS NOT NULL)",
        "SELECT account_id, count(*), sum(score__c), avg(score__c), min(last_name COLLATE \"C\"), max(birthdate) FROM salesforce.contact GROUP BY account_id",
        "SELECT count(*), account_id FROM salesforce.contact GROUP BY ROLLUP (account_id)",
        "SELECT count(*) FILTER (WHERE do_not_call), count(DISTINCT last_name), count(score__c) FROM salesforce.contact",
        "WITH RECURSIVE up AS (SELECT id, reports_to_id, 1 AS depth FROM salesforce.contact WHERE reports_to_id IS NOT NULL UNION ALL \
         SELECT c.id, c.reports_to_id, up.depth + 1 FROM up JOIN salesforce.contact c ON c.id = up.reports_to_id WHERE up.depth < 3) SELECT * FROM up",
        "SELECT c FROM (SELECT id, last_name FROM salesforce.contact) AS c",
        "SELECT 1 FROM salesforce.contact",
        "SELECT FROM salesforce.contact",
        "SELECT c.id FROM salesforce.contact AS c WHERE c.* IS NOT NULL OR true",
    ] {
        copy.same(sql);
    }
}

#[test]
fn a_second_execution_of_every_statement_is_right() {
    let world = world();
    let mut session = world.connect();
    let account = world.sandbox.id("Account", 0);
    let statements = [
        ("SELECT count(*) FROM salesforce.contact WHERE account_id = $1", "text", format!("'{account}'")),
        (
            "SELECT count(*) FROM salesforce.contact WHERE account_id = ANY ($1)",
            "text[]",
            format!("ARRAY['{account}', NULL, 'x']"),
        ),
        ("SELECT count(*) FROM salesforce.contact WHERE last_name = $1", "text", "'Smith'".to_owned()),
        ("SELECT count(*) FROM salesforce.contact WHERE score__c > $1", "numeric", "0".to_owned()),
        ("SELECT count(*) FROM salesforce.contact WHERE birthdate < $1", "date", "'2000-01-01'".to_owned()),
        ("SELECT count(*) FROM salesforce.contact WHERE created_date >= $1", "timestamptz", "'2020-01-01'".to_owned()),
        ("SELECT count(*) FROM salesforce.contact WHERE do_not_call = $1", "bool", "false".to_owned()),
        (
            "SELECT count(*) FROM salesforce.contact c JOIN salesforce.account a ON a.id = c.account_id WHERE a.id = $1",
            "text",
            format!("'{account}'"),
        ),
    ];
    for (number, (sql, ty, argument)) in statements.iter().enumerate() {
        let right = session.value(&sql.replace("$1", &format!("({argument})::{ty}")));
        session.run(&format!("PREPARE s{number} ({ty}) AS {sql}"));
        for mode in ["force_custom_plan", "force_generic_plan", "auto"] {
            session.run(&format!("SET plan_cache_mode = {mode}"));
            for turn in 1..=7 {
                assert_eq!(
                    session.value(&format!("EXECUTE s{number} ({argument})")),
                    right,
                    "{sql}, {mode}, execution {turn}"
                );
                assert_eq!(session.value(&format!("EXECUTE s{number} (NULL)")), "0", "{sql} with NULL, {mode}");
            }
        }
    }
}

#[test]
fn an_inherited_and_a_partitioned_table_read_through() {
    let world = world();
    let mut session = world.connect();
    let all = session.number("SELECT count(*) FROM salesforce.contact");
    session.run("CREATE TABLE parent (id text, last_name text)");
    session.run("INSERT INTO parent VALUES ('local', 'Local')");
    session.run(
        "CREATE FOREIGN TABLE child () INHERITS (parent) SERVER sf OPTIONS (object 'Contact');
         ALTER FOREIGN TABLE child ALTER COLUMN id OPTIONS (ADD field 'Id', ADD type 'id', ADD key 'true');
         ALTER FOREIGN TABLE child ALTER COLUMN last_name OPTIONS (ADD field 'LastName')",
    );
    assert_eq!(session.number("SELECT count(*) FROM parent"), all + 1);
    assert_eq!(session.rows("SELECT * FROM parent LIMIT 5").len(), 5);
    session.run("CREATE TABLE whole (id text, last_name text) PARTITION BY LIST (id)");
    session.run("CREATE TABLE whole_local PARTITION OF whole FOR VALUES IN ('local')");
    session.run("INSERT INTO whole VALUES ('local', 'Local')");
    session.run("CREATE FOREIGN TABLE whole_remote PARTITION OF whole DEFAULT SERVER sf OPTIONS (object 'Contact')");
    session.run("ALTER FOREIGN TABLE whole_remote ALTER COLUMN id OPTIONS (ADD field 'Id', ADD type 'id'), ALTER COLUMN last_name OPTIONS (ADD field 'LastName')");
    assert_eq!(session.number("SELECT count(*) FROM whole"), all + 1);
    assert_eq!(session.rows("SELECT last_name FROM whole WHERE id = 'local'").len(), 1);
}
