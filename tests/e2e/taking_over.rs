//! What a role plants in a database never runs as somebody else: not when the extension is installed, and not when what it
//! ships is used.

use std::collections::BTreeSet;
use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use serde_json::json;

use crate::support::{Config, Session, World, wait_until};

/// The schema `evil`: whatever Postgres calls a function, an operator, an aggregate, a type or a catalogue, it has one of
/// that name that raises an error.
const PLANT: &str = r#"
    CREATE SCHEMA evil;
    DO $do$
    DECLARE one record;
    BEGIN
      FOR one IN SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
        FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
      LOOP
        BEGIN
          EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', one.proname, one.arguments, one.result,
            'BEGIN RAISE EXCEPTION ''planted function % ran'', ' || quote_literal(one.proname) || '; END');
        EXCEPTION WHEN OTHERS THEN NULL;  -- PL/pgSQL does not take every type.
        END;
      END LOOP;
      FOR one IN
        SELECT o.oprname AS name, format_type(o.oprleft, NULL) AS a, format_type(o.oprright, NULL) AS b,
          format_type(o.oprresult, NULL) AS result
          FROM pg_operator o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprleft <> 0
        UNION ALL
        SELECT name, a, b, 'boolean' FROM unnest(ARRAY['=', '<>', '<', '>', '>=', '<=', '||', '->>', '?', '-', '*']) AS name,
          unnest(ARRAY['oid', 'regclass', 'regproc', 'name', 'text', 'interval', 'jsonb', 'bigint', 'smallint', '"char"']) AS a,
          unnest(ARRAY['oid', 'regclass', 'regproc', 'name', 'text', 'interval', 'jsonb', 'bigint', 'smallint', '"char"']) AS b
      LOOP
        BEGIN
          EXECUTE format('CREATE FUNCTION evil.planted(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', one.a, one.b, one.result,
            'BEGIN RAISE EXCEPTION ''planted operator ran''; END');
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        BEGIN
          EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.planted)', one.name, one.a, one.b);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
      END LOOP;
      FOR most IN 2..9 LOOP
        EXECUTE format('CREATE FUNCTION evil.concat_ws(text%s) RETURNS text LANGUAGE plpgsql AS %L', repeat(', text', most),
          'BEGIN RAISE EXCEPTION ''planted concat_ws ran''; END');
      END LOOP;
    END $do$;
    CREATE FUNCTION evil.step(bigint) RETURNS bigint LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION 'planted count ran'; END $f$;
    CREATE FUNCTION evil.step(text, text, text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION 'planted aggregate ran'; END $f$;
    CREATE AGGREGATE evil.count(*) (SFUNC = evil.step, STYPE = bigint, INITCOND = '0');
    CREATE AGGREGATE evil.string_agg(text, text) (SFUNC = evil.step, STYPE = text, INITCOND = '');
    DO $do$
    DECLARE one text;
    BEGIN
      FOREACH one IN ARRAY ARRAY['pg_class', 'pg_attribute', 'pg_trigger', 'pg_foreign_server', 'pg_foreign_table', 'pg_index',
        'pg_inherits', 'sync', 'sync_told', 'sync_deleted']
      LOOP
        EXECUTE format('CREATE TABLE evil.%I (planted text)', one);
      END LOOP;
      FOREACH one IN ARRAY ARRAY['jsonb', 'oid', 'regclass', 'regproc', 'name', 'record', 'text', 'timestamptz'] LOOP
        EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.int4 CHECK (false)', one);
      END LOOP;
    END $do$
"#;

#[test]
fn an_installation_refuses_a_schema_that_somebody_has_made_before() {
    let world = World::bare(Config::new());
    let other = format!("{}_other", world.name);
    world.as_superuser().run(&format!("CREATE DATABASE \"{other}\" OWNER \"{}\"", world.name));
    let cluster = world.cluster();
    let mut planter =
        Session::new(cluster.connect(&other, &world.name, &world.password).expect("the role owns the database"));
    planter.run(
        "CREATE SCHEMA sequin;
         CREATE FUNCTION sequin.concat_ws(text, text, text, text, text, text) RETURNS text LANGUAGE sql AS 'SELECT NULL';
         CREATE FUNCTION sequin.start_sync(text, text) RETURNS regclass LANGUAGE sql AS 'SELECT NULL'",
    );
    let mut admin = cluster.superuser(&other);
    for sql in [
        "CREATE EXTENSION sequin_fdw",
        "CREATE EXTENSION sequin_fdw CASCADE",
        "CREATE EXTENSION sequin_fdw SCHEMA sequin",
        "CREATE EXTENSION IF NOT EXISTS sequin_fdw",
    ] {
        let failure = admin.fails(sql);
        assert!(["42P06", "0A000"].contains(&failure.code.as_str()), "{sql}: {failure:#?}");
    }
    planter.run("DROP SCHEMA sequin CASCADE");
    admin.run("CREATE EXTENSION sequin_fdw");
    assert_eq!(admin.value("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'sequin'"), cluster.user);
    // Not even who owns the database makes anything in it.
    for sql in [
        "CREATE FUNCTION sequin.start_sync(text, text) RETURNS regclass LANGUAGE sql AS 'SELECT NULL'",
        "CREATE TABLE sequin.mine ()",
        "ALTER SCHEMA sequin RENAME TO mine",
        "DROP SCHEMA sequin CASCADE",
    ] {
        planter.fails_with("42501", sql);
    }
    planter.run("TABLE sequin.sync_status");
    // And it goes with the extension.
    drop(planter);
    admin.run("DROP EXTENSION sequin_fdw");
    assert_eq!(admin.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'sequin'"), "0");
}

#[test]
fn nothing_that_is_shipped_runs_what_others_planted() {
    let world = World::new(Config::new().records("Contact", 20).records("Case", 0));
    world.connect().run(PLANT);
    let mut admin = world.as_superuser();
    admin.run(&world.mapping("sf"));
    admin.run("CREATE SCHEMA crm");
    // The installation itself is part of it.
    let other = format!("{}_other", world.name);
    admin.run(&format!("CREATE DATABASE \"{other}\" TEMPLATE template0 OWNER \"{}\"", world.name));
    let mut fresh = world.cluster().superuser(&other);
    Session::new(world.cluster().connect(&other, &world.name, &world.password).expect("it is there")).run(PLANT);
    fresh.run("SET search_path = evil, pg_catalog");
    fresh.run("CREATE EXTENSION sequin_fdw");
    fresh.run("TABLE sequin.sync_status; TABLE sequin.stats; SELECT sequin.has_worker()");

    admin.run("CREATE TEMP TABLE pg_class (planted text); CREATE TEMP TABLE pg_attribute (planted text)");
    admin.run("CREATE DOMAIN pg_temp.regclass AS int CHECK (false)");
    admin.run("SET search_path = evil, pg_temp, pg_catalog");
    for planted in ["SELECT now()", "SELECT 1 = 1", "SELECT count(*)", "SELECT 'x'::text"] {
        admin.fails(planted);
    }
    let mut shipped: BTreeSet<String> = admin
        .column(
            "SELECT p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n \
             ON n.oid OPERATOR(pg_catalog.=) p.pronamespace WHERE n.nspname OPERATOR(pg_catalog.=) 'sequin' \
             UNION ALL SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
             ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE n.nspname OPERATOR(pg_catalog.=) 'sequin' \
             AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v}'::pg_catalog.\"char\"[])",
        )
        .into_iter()
        .collect();
    let mut run = |name: &str, sql: &str| {
        shipped.remove(name);
        if let Err(failure) = admin.try_rows(sql) {
            panic!("{sql}\n{failure:#?}");
        }
    };
    run("", "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (lead) FROM SERVER sf INTO salesforce");
    run("", "SELECT FROM salesforce.lead");
    run(
        "start_sync",
        "SELECT sequin.start_sync('salesforce.contact', 'crm.contact', options => '{\"sweep_every\": \"1 hour\"}')",
    );
    run("start_sync", "SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '10 seconds')");
    run("refresh", "SELECT sequin.refresh('crm.contact')");
    run("sync_status", "TABLE sequin.sync_status");
    run("stats", "TABLE sequin.stats");
    run("session_stats", "SELECT * FROM sequin.session_stats()");
    run("sync", "TABLE sequin.sync");
    run("sync_told", "TABLE sequin.sync_told");
    run("sync_deleted", "TABLE sequin.sync_deleted");
    run("has_worker", "SELECT sequin.has_worker()");
    run("merging", "SELECT sequin.merging('crm.contact')");
    run("unconfirmed", "SELECT * FROM sequin.unconfirmed()");
    run("call", "SELECT * FROM sequin.call('sf', 'GET', '/services/data')");
    run("upsert", "SELECT * FROM sequin.upsert('salesforce.contact', 'id', '[]')");
    run("write_through", "INSERT INTO crm.contact (last_name) VALUES ('Planted')");
    run(
        "write_through",
        "INSERT INTO crm.contact SELECT * FROM crm.contact ON CONFLICT (id) DO UPDATE SET title = 'Twice'",
    );
    run("write_through", "UPDATE crm.contact SET title = 'Planted'");
    run("write_through", "DELETE FROM crm.contact WHERE last_name OPERATOR(pg_catalog.=) 'Planted'");
    run("refresh", "SELECT sequin.refresh('crm.contact')");
    run("wake_worker", "SELECT sequin.stop_sync('crm.contact')");
    run("stop_sync", "SELECT sequin.start_sync('salesforce.contact', 'crm.contact')");
    // A table that is there is adopted, and filled by comparing.
    run("refresh", "SELECT sequin.refresh('crm.contact')");
    run("sequin_fdw_handler", "EXPLAIN (VERBOSE) SELECT * FROM salesforce.contact LIMIT 3");
    run("sequin_fdw_validator", "ALTER SERVER sf OPTIONS (ADD page_size '300')");
    assert!(shipped.is_empty(), "not tried: {shipped:?}");
    let of_others = admin.column(
        "SELECT a.attname FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid \
         JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         JOIN pg_catalog.pg_namespace m ON m.oid OPERATOR(pg_catalog.=) t.typnamespace \
         WHERE m.nspname OPERATOR(pg_catalog.=) 'evil' \
         AND n.nspname OPERATOR(pg_catalog.=) ANY ('{salesforce,crm,sequin}'::pg_catalog.name[])",
    );
    assert!(of_others.is_empty(), "columns of planted types: {of_others:?}");
}

#[test]
fn a_cast_of_a_role_s_own_type_runs_as_nobody_else() {
    let world = World::new(Config::new().records("Contact", 5).records("Case", 0));
    let mut session = world.connect();
    let ids: Vec<String> = session.column("SELECT id FROM salesforce.contact ORDER BY id");
    session.run(&format!("CREATE TYPE record_id AS ENUM ('{}')", ids.join("', '")));
    session.run(
        "CREATE TABLE ran_as (who text);
         CREATE FUNCTION spell(record_id) RETURNS text LANGUAGE plpgsql AS
           $$ BEGIN INSERT INTO public.ran_as VALUES (current_user); RETURN 'x'; END $$;
         CREATE CAST (record_id AS text) WITH FUNCTION spell(record_id) AS ASSIGNMENT;
         CREATE SCHEMA crm;
         CREATE FOREIGN TABLE by_number (id record_id OPTIONS (field 'Id', type 'id', key 'true', capabilities 'filter, sort'),
           last_name text OPTIONS (field 'LastName', type 'string', capabilities 'filter, create, update'))
           SERVER sf OPTIONS (object 'Contact', operations 'insert, update, delete');
         SELECT sequin.start_sync('by_number', 'crm.by_number')",
    );
    session.run("SELECT sequin.refresh('crm.by_number')");
    session.run(&format!("DELETE FROM crm.by_number WHERE id = '{}'", ids[0]));
    let others = session.column(&format!("SELECT who FROM ran_as WHERE who <> '{}'", world.name));
    assert!(others.is_empty(), "the role's code ran as {others:?}");
    let mut admin = world.as_superuser();
    assert_eq!(admin.column("SELECT key FROM sequin.sync_deleted"), [ids[0].clone()]);
}

#[test]
fn a_deferred_trigger_that_a_refresh_fires_has_the_search_path_of_its_session() {
    let world = World::new(Config::new().records("Contact", 5).records("Case", 0));
    let mut session = world.connect();
    session.run(
        "CREATE SCHEMA crm; SELECT sequin.start_sync('salesforce.contact', 'crm.contact');
         CREATE TABLE noted (path text); CREATE TABLE fired (at int);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN INSERT INTO noted VALUES (current_setting('search_path')); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER note AFTER INSERT ON fired DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()",
    );
    session.run(
        "SET search_path = public; BEGIN; INSERT INTO fired VALUES (1); SELECT sequin.refresh('crm.contact'); COMMIT",
    );
    assert_eq!(session.value("TABLE noted"), "public");
}

#[test]
fn internal_functions_are_for_nobody_and_for_our_tables_alone() {
    let world = World::new(Config::new().records("Contact", 5).records("Case", 0));
    let mut session = world.connect();
    let mut everybodys = session.column(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'sequin'::regnamespace AND has_function_privilege(oid, 'EXECUTE') ORDER BY 1",
    );
    everybodys.dedup();
    let public = [
        "call",
        "has_worker",
        "merging",
        "refresh",
        "session_stats",
        "start_sync",
        "stop_sync",
        "unconfirmed",
        "upsert",
    ];
    assert_eq!(everybodys, public);
    session.run("CREATE TABLE mine (id int); CREATE SCHEMA crm");
    for function in ["wake_worker", "write_through"] {
        let trigger = format!("CREATE TRIGGER t AFTER INSERT ON mine EXECUTE FUNCTION sequin.{function}()");
        session.fails_with("42501", &trigger);
        session.fails_with("42501", &format!("SELECT sequin.{function}()"));
        // Nor does it do anything where somebody who may put it.
        let mut admin = world.as_superuser();
        admin.run(&trigger);
        admin.fails_with("0A000", "INSERT INTO mine VALUES (1)").mentions("mine");
        admin.run("DROP TRIGGER t ON mine");
    }
    // And all the same the owner of a table lets it be synced, and ends that.
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact')");
    session.run("SELECT sequin.refresh('crm.contact')");
    session.run("UPDATE crm.contact SET title = 'Written'");
    assert!(!world.requests().is_empty());
    session.run("SELECT sequin.stop_sync('crm.contact')");
}

#[test]
fn who_listens_without_a_right_to_a_table_hears_no_name_of_it() {
    let world = World::with_worker(Config::new().records("Contact", 5));
    let mut session = world.connect();
    let stranger = format!("{}_stranger", world.name);
    world.as_superuser().run(&format!("CREATE ROLE \"{stranger}\" LOGIN PASSWORD 'stranger'"));
    world.follow_contacts(&mut session, "100 ms");
    let mut stranger = world.connect_as(&stranger, "stranger");
    stranger.run("LISTEN sequin_sync");
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": "Heard"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Heard");
    let mut heard = Vec::new();
    assert!(wait_until(Duration::from_secs(10), || {
        stranger.run("");
        let mut notifications = stranger.client().notifications();
        let mut waiting = notifications.iter();
        while let Ok(Some(notification)) = waiting.next() {
            heard.push(notification.payload().to_owned());
        }
        !heard.is_empty()
    }));
    assert!(heard.iter().all(|payload| !payload.contains("contact") && !payload.contains("crm")), "{heard:?}");
    // To those who may look, it is the table's number.
    let told: serde_json::Value = serde_json::from_str(&heard[0]).expect("JSON");
    assert_eq!(session.value(&format!("SELECT {}::regclass", told["target"])), "crm.contact");
}
