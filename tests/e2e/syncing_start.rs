//! Synced tables: how one begins, which tables can be one, who may say so, and how it ends.

use crate::support::{Config, Session, World};

fn world() -> (World, Session) {
    let world = World::with_worker(Config::new().records("Contact", 40).records("Account", 8));
    let mut session = world.connect();
    session.run("CREATE SCHEMA crm");
    (world, session)
}

const START: &str = "SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '1 hour')";

#[test]
fn a_new_table_has_the_same_columns_the_key_and_the_time_and_belongs_to_who_started_it() {
    let (world, mut session) = world();
    assert_eq!(session.value("SELECT sequin.start_sync('salesforce.contact', 'crm.contact')"), "crm.contact");
    let columns = |session: &mut Session, table: &str| {
        session.rows(&format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ))
    };
    let mut wanted = columns(&mut session, "salesforce.contact");
    wanted.push(vec![Some("_synced_at".to_owned()), Some("timestamp with time zone".to_owned())]);
    assert_eq!(columns(&mut session, "crm.contact"), wanted);
    let key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'crm.contact'::regclass AND contype = 'p'";
    assert_eq!(session.value(key), "PRIMARY KEY (id)");
    let kind = "SELECT format('%s%s%s', relkind, relpersistence, relowner::regrole) FROM pg_class WHERE oid = 'crm.contact'::regclass";
    assert_eq!(session.value(kind), format!("rp{}", session.value("SELECT current_user::regrole")));
    world.await_current(&mut session, "crm.contact");
    world.await_equal(&mut session, "Contact", "crm.contact");
    assert_eq!(session.value("SELECT every FROM sequin.sync_status"), "00:00:30");
    assert_eq!(
        session.value(
            "SELECT bool_and(_synced_at BETWEEN now() - interval '1 minute' AND clock_timestamp()) FROM crm.contact"
        ),
        "t"
    );
}

#[test]
fn nothing_is_there_if_the_transaction_that_started_it_is_rolled_back() {
    let (world, mut session) = world();
    session.run(&format!("BEGIN; {START}; ROLLBACK"));
    assert_eq!(session.value("SELECT to_regclass('crm.contact')"), "NULL");
    assert_eq!(session.rows("SELECT * FROM sequin.sync_status").len(), 0);
    session.run(&format!("BEGIN; {START}; COMMIT"));
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_table_with_fitting_columns_is_adopted_with_its_rows_and_its_own_columns() {
    let (world, mut session) = world();
    let (kept, other) = (world.sandbox.id("Contact", 0), world.sandbox.id("Contact", 1));
    session.run(&format!(
        "CREATE TABLE crm.contact (note text DEFAULT 'none', last_name text, id text PRIMARY KEY, email text, score__c numeric, serial bigserial);
         INSERT INTO crm.contact SELECT 'mine', last_name, id, email, score__c FROM salesforce.contact WHERE id = '{kept}';
         INSERT INTO crm.contact VALUES ('stale', 'Wrong', '{other}', NULL, 1), ('gone', 'Nobody', '003RO0000099999AAA', NULL, 1)"
    ));
    session.run(START);
    world.await_current(&mut session, "crm.contact");
    world.await_equal(&mut session, "Contact", "crm.contact");
    assert_eq!(session.value(&format!("SELECT note FROM crm.contact WHERE id = '{kept}'")), "mine");
    assert_eq!(session.value(&format!("SELECT note FROM crm.contact WHERE id = '{other}'")), "stale");
    assert_eq!(session.value("SELECT count(DISTINCT serial) FROM crm.contact"), "40");
    assert_eq!(session.value("SELECT count(*) FROM crm.contact WHERE note = 'none' AND _synced_at IS NOT NULL"), "38");
}

#[test]
fn a_unique_index_on_the_key_does_for_a_primary_key() {
    let (world, mut session) = world();
    session.run("CREATE TABLE crm.contact (id text NOT NULL UNIQUE, last_name text)");
    session.run(START);
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_table_that_does_not_fit_is_refused_with_the_reason_and_stays_as_it_is() {
    let (_world, mut session) = world();
    let cases = [
        ("TABLE crm.contact (id text PRIMARY KEY, score__c integer)", "score__c"),
        ("TABLE crm.contact (id varchar(18) PRIMARY KEY)", "id"),
        ("TABLE crm.contact (id text PRIMARY KEY, score__c numeric(5, 1))", "score__c"),
        ("TABLE crm.contact (id text PRIMARY KEY, email text GENERATED ALWAYS AS (lower(id)) STORED)", "computed"),
        ("TABLE crm.contact (id text UNIQUE)", "primary key"),
        ("TABLE crm.contact (last_name text PRIMARY KEY)", "id"),
        ("TABLE crm.contact (id text)", "primary key"),
        ("TABLE crm.contact (id text, last_name text, PRIMARY KEY (id, last_name))", "primary key"),
        ("TABLE crm.contact (id text PRIMARY KEY DEFERRABLE)", "primary key"),
        ("TABLE crm.contact (id text PRIMARY KEY, needed integer NOT NULL)", "needed"),
        ("TABLE crm.contact (id text PRIMARY KEY, _synced_at timestamp)", "_synced_at"),
        ("TABLE crm.contact (id text PRIMARY KEY) PARTITION BY HASH (id)", "ordinary"),
        ("VIEW crm.contact AS SELECT 'x' AS id", "ordinary"),
        ("MATERIALIZED VIEW crm.contact AS SELECT 'x' AS id", "ordinary"),
        (
            "FOREIGN TABLE crm.contact (id text OPTIONS (field 'Id', key 'true')) SERVER sf OPTIONS (object 'Contact')",
            "ordinary",
        ),
    ];
    for (table, mentioned) in cases {
        session.run(&format!("CREATE {table}"));
        let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'crm.contact'::regclass AND attnum > 0";
        let before = session.value(columns);
        let failure = session.fails_with("0A000", START);
        failure.mentions(mentioned);
        assert_eq!(session.value(columns), before, "{table}");
        assert_eq!(
            session
                .value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'crm.contact'::regclass AND NOT tgisinternal"),
            "0"
        );
        let kind = table.split(" crm").next().unwrap_or_default();
        session.run(&format!("DROP {kind} crm.contact"));
    }
    session.run("CREATE TABLE crm.contact (id text)");
    session.fails(START).hints("ALTER TABLE \"crm\".\"contact\" ADD PRIMARY KEY (\"id\")");
}

#[test]
fn a_table_that_a_crash_or_the_end_of_the_session_empties_is_refused() {
    let (_world, mut session) = world();
    session.fails_with("0A000", "SELECT sequin.start_sync('salesforce.contact', 'pg_temp.contact')");
    session.run("CREATE TEMPORARY TABLE mine (id text PRIMARY KEY)");
    session.fails_with("0A000", "SELECT sequin.start_sync('salesforce.contact', 'mine')");
    session.run("CREATE UNLOGGED TABLE crm.contact (id text PRIMARY KEY)");
    session.fails_with("0A000", START);
}

#[test]
fn odd_names_of_schemas_tables_and_columns_work_throughout() {
    let (world, mut session) = world();
    let target = r#""Odd. Schema"."We""ird; 'Täble'""#;
    let quoted = target.replace('\'', "''");
    session.run(
        r#"CREATE SCHEMA "Odd. Schema";
           CREATE FOREIGN TABLE "Odd. Schema"."So""urce" ("I d" text OPTIONS (field 'Id', key 'true'), "La""st;" text OPTIONS (field 'LastName', capabilities 'create, update'),
             "select" text OPTIONS (field 'Title', capabilities 'create, update'), "$1" numeric OPTIONS (field 'Score__c')) SERVER sf OPTIONS (object 'Contact', operations 'insert, update, delete')"#,
    );
    session.run(&format!(r#"SELECT sequin.start_sync('"Odd. Schema"."So""urce"', '{quoted}', every => '200 ms')"#));
    world.await_value(&mut session, &format!("SELECT count(*) FROM {target}"), "40");
    let id = world.sandbox.id("Contact", 3);
    session.run(&format!(r#"UPDATE {target} SET "select" = 'O''Title', "La""st;" = E'\\' WHERE "I d" = '{id}'"#));
    let record = world.record("Contact", &id);
    assert_eq!((record["Title"].as_deref(), record["LastName"].as_deref()), (Some("O'Title"), Some("\\")));
    let created = session.value(&format!(r#"INSERT INTO {target} ("La""st;") VALUES ('New') RETURNING "I d""#));
    session.run(&format!(r#"DELETE FROM {target} WHERE "I d" = '{created}'"#));
    world.upstream().update("Contact", &id, serde_json::json!({"Title": "From there"}));
    world.await_value(&mut session, &format!(r#"SELECT "select" FROM {target} WHERE "I d" = '{id}'"#), "From there");
    session.run(&format!("SELECT sequin.refresh('{quoted}'); SELECT sequin.stop_sync('{quoted}')"));
}

#[test]
fn names_without_a_schema_are_found_by_the_search_path() {
    let (world, mut session) = world();
    session.run("SET search_path = crm, salesforce");
    // What is found first under the name is the foreign table itself.
    assert_eq!(session.value("SELECT sequin.start_sync('contact', 'people', every => '1 hour')"), "people");
    assert_eq!(session.value("SELECT 'people'::regclass = 'crm.people'::regclass"), "t");
    world.await_equal(&mut session, "Contact", "crm.people");
    for bad in ["", ".", "a.b.c.d", "crm.", "missing.contact"] {
        let failure = session.fails(&format!("SELECT sequin.start_sync('contact', '{bad}')"));
        assert_ne!(failure.code, "XX000", "{bad}: {failure:#?}");
    }
}

#[test]
fn only_an_owner_or_a_member_of_that_role_may_start_refresh_and_stop() {
    let (world, mut session) = world();
    let (stranger, member) = (format!("{}_stranger", world.name), format!("{}_member", world.name));
    let mut admin = world.as_superuser();
    for role in [&stranger, &member] {
        admin.run(&format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'secret'"));
    }
    admin.run(&format!("GRANT \"{}\" TO \"{member}\"", world.name));
    session.run(&format!(
        "CREATE TABLE crm.other (id text PRIMARY KEY); GRANT USAGE, CREATE ON SCHEMA crm, salesforce TO \"{stranger}\""
    ));
    let mut strange = world.connect_as(&stranger, "secret");
    let failure = strange.fails_with("42501", START);
    failure.mentions("contact");
    session.run(&format!("GRANT SELECT ON salesforce.contact TO \"{stranger}\""));
    strange.fails_with("42501", "SELECT sequin.start_sync('salesforce.contact', 'crm.other')");
    session.run(START);
    world.await_current(&mut session, "crm.contact");
    for call in [
        "sequin.refresh('crm.contact')",
        "sequin.stop_sync('crm.contact')",
        "sequin.start_sync('salesforce.contact', 'crm.contact', every => '1 day')",
    ] {
        strange.fails_with("42501", &format!("SELECT {call}"));
    }
    assert_eq!(strange.rows("SELECT * FROM sequin.sync_status").len(), 0);
    for table in ["sync", "sync_deleted", "sync_told"] {
        for role in [&mut strange, &mut session] {
            // How tables are followed is in dumps, which owners of databases make.
            if table != "sync" || role.value("SELECT current_user <> pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()") == "t" {
                role.fails_with("42501", &format!("SELECT * FROM sequin.{table}"));
            }
            role.fails_with("42501", &format!("DELETE FROM sequin.{table}"));
        }
    }
    let mut member = world.connect_as(&member, "secret");
    assert_eq!(member.rows("SELECT * FROM sequin.sync_status").len(), 1);
    assert_eq!(member.value("SELECT sequin.refresh('crm.contact')"), "0");
    member.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '2 hours')");
    assert_eq!(member.value("SELECT every FROM sequin.sync_status"), "02:00:00");
    member.run("SELECT sequin.stop_sync('crm.contact')");
    member.run("SELECT sequin.start_sync('salesforce.contact', 'crm.other', every => '1 hour')");
    world.await_equal(&mut session, "Contact", "crm.other");
}

#[test]
fn the_owners_mapping_is_used_and_without_one_it_is_said_at_once() {
    let (world, _session) = world();
    let other = format!("{}_other", world.name);
    let mut admin = world.as_superuser();
    admin.run(&format!(
        "CREATE ROLE \"{other}\" LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA salesforce TO \"{other}\""
    ));
    admin.run(&format!(
        "GRANT SELECT ON salesforce.contact TO \"{other}\"; CREATE SCHEMA own AUTHORIZATION \"{other}\""
    ));
    let mut session = world.connect_as(&other, "secret");
    let failure = session.fails("SELECT sequin.start_sync('salesforce.contact', 'own.contact')");
    failure.hints("CREATE USER MAPPING");
}

#[test]
fn bad_intervals_and_options_are_refused_with_a_hint() {
    let (_world, mut session) = world();
    for every in ["0", "-1 second", "1 ms"] {
        let sql = format!("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '{every}')");
        session.fails_with("HV00D", &sql).mentions("every");
    }
    for (options, mentioned) in [
        ("[]", "JSON object"),
        ("\"x\"", "JSON object"),
        (r#"{"quota_shar": 0.5}"#, "quota_share"),
        (r#"{"quota_share": 0}"#, "quota_share"),
        (r#"{"quota_share": 1.5}"#, "quota_share"),
        (r#"{"quota_share": "much"}"#, "quota_share"),
        (r#"{"sweep_every": "0"}"#, "sweep_every"),
        (r#"{"sweep_every": "-1 day"}"#, "sweep_every"),
        (r#"{"sweep_every": "soon"}"#, "soon"),
        (r#"{"follow_schema": 1}"#, "follow_schema"),
    ] {
        let sql = format!("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', options => '{options}')");
        let failure = session.fails(&sql);
        assert!(["HV00D", "22007"].contains(&failure.code.as_str()), "{options}: {failure:#?}");
        failure.mentions(mentioned);
    }
    let sql = r#"SELECT sequin.start_sync('salesforce.contact', 'crm.contact', options => '{"quota_shar": 1}')"#;
    session.fails(sql).hints("Perhaps you mean \"quota_share\"");
    session.run("CREATE TABLE plain (id text PRIMARY KEY)");
    session.fails_with("0A000", "SELECT sequin.start_sync('plain', 'crm.contact')").mentions("no foreign table");
    session.run("CREATE FOREIGN TABLE keyless (id text OPTIONS (field 'Id')) SERVER sf OPTIONS (object 'Contact')");
    session.fails_with("HV00J", "SELECT sequin.start_sync('keyless', 'crm.contact')").hints("key 'true'");
    session.fails_with("0A000", "SELECT sequin.refresh('plain')");
    session.fails_with("0A000", "SELECT sequin.stop_sync('plain')");
    session.run("SET default_transaction_read_only = on");
    session.fails_with("25006", START);
    session.run("SET default_transaction_read_only = off");
    assert_eq!(session.value("SELECT to_regclass('crm.contact')"), "NULL", "nothing is left of what was refused");
}

#[test]
fn starting_a_synced_table_again_sets_how_and_another_source_is_refused() {
    let (world, mut session) = world();
    session.run(START);
    world.await_current(&mut session, "crm.contact");
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')");
    assert_eq!(session.value("SELECT every FROM sequin.sync_status"), "00:00:00.1");
    let id = world.sandbox.id("Contact", 2);
    world.upstream().update("Contact", &id, serde_json::json!({"Title": "Seen soon"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Seen soon");
    let failure = session.fails_with("0A000", "SELECT sequin.start_sync('salesforce.account', 'crm.contact')");
    failure.mentions("follows another").hints("stop_sync");
    assert_eq!(
        session.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'crm.contact'::regclass AND NOT tgisinternal"),
        "6"
    );
}

#[test]
fn one_foreign_table_can_be_followed_by_several_tables() {
    let (world, mut session) = world();
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.one', every => '200 ms'), sequin.start_sync('salesforce.contact', 'crm.two', every => '200 ms')");
    world.await_equal(&mut session, "Contact", "crm.one");
    world.await_equal(&mut session, "Contact", "crm.two");
    let id = session.value("INSERT INTO crm.one (last_name) VALUES ('Both') RETURNING id");
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.two WHERE id = '{id}'"), "1");
    session.run(&format!("DELETE FROM crm.two WHERE id = '{id}'"));
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.one WHERE id = '{id}'"), "0");
}

#[test]
fn a_stopped_table_stays_as_an_ordinary_one_and_can_be_followed_again() {
    let (world, mut session) = world();
    session.run(START);
    world.await_equal(&mut session, "Contact", "crm.contact");
    session.run("SELECT sequin.stop_sync('crm.contact')");
    assert_eq!(session.rows("SELECT * FROM sequin.sync_status").len(), 0);
    let (_, writes) = world.writes_of(|| {
        session.run("INSERT INTO crm.contact (id, last_name, _synced_at) VALUES ('mine', 'Local', now()); UPDATE crm.contact SET title = 'local'; TRUNCATE crm.contact")
    });
    assert!(writes.is_empty(), "{writes:#?}");
    session.run("INSERT INTO crm.contact (id, last_name, _synced_at) VALUES ('mine', 'Local', now())");
    session.run(START);
    world.await_equal(&mut session, "Contact", "crm.contact");
    session.run("SELECT sequin.stop_sync('crm.contact')");
    session.fails_with("0A000", "SELECT sequin.stop_sync('crm.contact')").mentions("no synced table");
}

/// In the shared cluster no library is loaded when the server starts.
#[test]
fn without_a_worker_a_notice_says_so_and_refresh_does_it_all() {
    let world = World::new(Config::new().records("Contact", 2500).static_token("upstream"));
    let (mut session, notices) = world.connect_listening();
    session.run("CREATE SCHEMA crm");
    session.run(START);
    let notice = notices.take(&mut session);
    assert!(
        notice.iter().any(|notice| {
            notice.message.contains("no worker")
                && notice.hint.as_deref().is_some_and(|hint| hint.contains("shared_preload_libraries"))
        }),
        "{notice:#?}"
    );
    assert_eq!(session.value("SELECT state FROM sequin.sync_status"), "filling");
    assert_eq!(session.value("SELECT sequin.refresh('crm.contact')"), "2500");
    assert_eq!(world.differences(&mut session, "Contact", "crm.contact"), Vec::<String>::new());
    assert_eq!(session.value("SELECT state || rows || percent FROM sequin.sync_status"), "current2500100");
    world.sandbox.clear_requests();
    assert_eq!(session.value("SELECT sequin.refresh('crm.contact')"), "0");
    assert!(world.requests().len() <= 2, "{:#?}", world.queries());
    let upstream = world.upstream();
    let ids =
        upstream.create_all("Contact", (0..5).map(|n| serde_json::json!({"LastName": format!("New {n}")})).collect());
    upstream.update("Contact", &world.sandbox.id("Contact", 9), serde_json::json!({"Title": "Changed"}));
    upstream.delete(&world.sandbox.id("Contact", 2400));
    upstream.delete(&ids[0]);
    assert_eq!(session.value("SELECT sequin.refresh('crm.contact')"), "6", "four new, one changed, one gone");
    assert_eq!(world.differences(&mut session, "Contact", "crm.contact"), Vec::<String>::new());
    session.run("INSERT INTO crm.contact (last_name) VALUES ('Written through')");
    assert_eq!(world.count("Contact", "LastName", "Written through"), 1);
    assert_eq!(session.value("SELECT sequin.refresh('crm.contact')"), "0", "it is here already");
}

#[test]
fn a_partition_or_a_table_that_inherits_is_refused_since_its_triggers_do_not_see_all_writes() {
    let (world, mut session) = world();
    session.run(
        "CREATE TABLE crm.parent (id text NOT NULL, title text);
         CREATE TABLE crm.contact (PRIMARY KEY (id)) INHERITS (crm.parent)",
    );
    session.fails_with("0A000", START).mentions("inherit");
    session.run("ALTER TABLE crm.contact NO INHERIT crm.parent");
    session.run("CREATE TABLE crm.child () INHERITS (crm.contact)");
    session.fails_with("0A000", START).mentions("inherit");
    session.run("DROP TABLE crm.child");
    session.run(
        "CREATE TABLE crm.all (id text NOT NULL, title text, _synced_at timestamptz) PARTITION BY LIST (id);
         CREATE TABLE crm.part PARTITION OF crm.all (PRIMARY KEY (id)) DEFAULT",
    );
    session.fails_with("0A000", "SELECT sequin.start_sync('salesforce.contact', 'crm.part')").mentions("partition");
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')");
    world.await_current(&mut session, "crm.contact");
    // Nor can a synced table become one, or one that a crash empties, without it being said.
    let error = "SELECT coalesce(last_error, '') FROM sequin.sync_status";
    for (make, says, mend) in [
        ("ALTER TABLE crm.contact INHERIT crm.parent", "inherit", "ALTER TABLE crm.contact NO INHERIT crm.parent"),
        ("ALTER TABLE crm.contact SET UNLOGGED", "unlogged", "ALTER TABLE crm.contact SET LOGGED"),
    ] {
        session.run(make);
        world.await_true(&mut session, &format!("SELECT ({error}) LIKE '%{says}%'"));
        session.run(mend);
        world.await_current(&mut session, "crm.contact");
    }
}

#[test]
fn whoever_does_not_own_a_table_does_not_wait_for_its_lock_and_holds_up_nobody() {
    let (world, mut session) = world();
    let stranger = format!("{}_stranger", world.name);
    world.as_superuser().run(&format!("CREATE ROLE \"{stranger}\" LOGIN PASSWORD 'secret'"));
    session.run(START);
    world.await_current(&mut session, "crm.contact");
    session.run(&format!("CREATE TABLE crm.plain (id text PRIMARY KEY); GRANT USAGE ON SCHEMA crm, salesforce TO \"{stranger}\"; GRANT SELECT ON salesforce.contact TO \"{stranger}\""));
    let mut strange = world.connect_as(&stranger, "secret");
    strange.run("SET lock_timeout = '2 s'");
    // A reader is enough to make whoever asks for a table alone wait, and all others behind.
    session.run("BEGIN; SELECT count(*) FROM crm.contact, crm.plain; LOCK TABLE crm.contact, crm.plain IN ACCESS EXCLUSIVE MODE");
    for call in [
        "stop_sync('crm.contact')",
        "refresh('crm.contact')",
        "start_sync('salesforce.contact', 'crm.contact')",
        "start_sync('salesforce.contact', 'crm.plain')",
    ] {
        strange.fails_with("42501", &format!("SELECT sequin.{call}")).mentions("must be owner");
    }
    session.run("COMMIT");
    for call in ["stop_sync(4294967295)", "refresh(0)"] {
        let failure = session.fails(&format!("SELECT sequin.{call}"));
        assert_ne!(failure.code, "XX000", "{failure:#?}");
    }
}

#[test]
fn functions_of_others_do_not_see_the_status_of_tables_that_are_not_theirs() {
    let (world, mut session) = world();
    session.run(START);
    let stranger = format!("{}_stranger", world.name);
    let mut admin = world.as_superuser();
    admin.run(&format!(
        "CREATE ROLE \"{stranger}\" LOGIN PASSWORD 'secret'; CREATE SCHEMA own AUTHORIZATION \"{stranger}\""
    ));
    let mut strange = world.connect_as(&stranger, "secret");
    strange.run(
        "CREATE TABLE own.mine (); SET enable_nestloop = off;
         CREATE FUNCTION own.leak(bigint) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE EXCEPTION 'seen'; END $$",
    );
    assert_eq!(strange.rows("SELECT * FROM sequin.sync_status WHERE own.leak(requests)").len(), 0);
}

#[test]
fn null_is_refused_by_name() {
    let (_world, mut session) = world();
    for call in [
        "start_sync(NULL, 'crm.contact')",
        "start_sync('salesforce.contact', NULL)",
        "start_sync('salesforce.contact', 'crm.contact', every => NULL)",
        "start_sync('salesforce.contact', 'crm.contact', options => NULL)",
        "refresh(to_regclass('typo'))",
        "stop_sync(to_regclass('typo'))",
    ] {
        let failure = session.fails_with("23502", &format!("SELECT sequin.{call}"));
        assert!(failure.message.contains("may") && failure.message.contains("NULL"), "{failure:?}");
    }
}

#[test]
fn operators_and_functions_of_others_do_not_run_as_whoever_starts_or_stops_a_synced_table() {
    let (world, mut session) = world();
    let mut admin = world.as_superuser();
    let mallory = format!("{}_mallory", world.name);
    admin.run(&format!("CREATE ROLE \"{mallory}\"; CREATE SCHEMA trap AUTHORIZATION \"{mallory}\""));
    admin.run(&format!(
        "SET ROLE \"{mallory}\";
         CREATE TABLE trap.ran (by text); GRANT INSERT ON trap.ran TO PUBLIC;
         CREATE FUNCTION trap.same(oid, regproc) RETURNS boolean LANGUAGE sql AS $$ INSERT INTO trap.ran VALUES (current_user); SELECT true $$;
         CREATE OPERATOR trap.= (LEFTARG = oid, RIGHTARG = regproc, FUNCTION = trap.same);
         CREATE FUNCTION trap.pick(jsonb, unknown) RETURNS text LANGUAGE sql AS $$ INSERT INTO trap.ran VALUES (current_user); SELECT 'x' $$;
         CREATE FUNCTION trap.pick(jsonb, text) RETURNS text LANGUAGE sql AS $$ INSERT INTO trap.ran VALUES (current_user); SELECT 'x' $$;
         CREATE OPERATOR trap.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = trap.pick);
         GRANT USAGE ON SCHEMA trap TO PUBLIC;
         RESET ROLE",
    ).replace("CREATE FUNCTION trap.pick(jsonb, unknown) RETURNS text LANGUAGE sql AS $$ INSERT INTO trap.ran VALUES (current_user); SELECT 'x' $$;", ""));
    session.run("SET search_path = trap, pg_catalog");
    session.run(
        r#"SELECT sequin.start_sync('salesforce.contact', 'crm.contact', options => '{"sweep_every": "1 hour"}')"#,
    );
    session
        .run("SELECT sequin.stop_sync('crm.contact'); SELECT sequin.start_sync('salesforce.contact', 'crm.contact')");
    session.run("SELECT sequin.refresh('crm.contact'); SELECT sequin.stop_sync('crm.contact')");
    assert_eq!(admin.column("SELECT by FROM trap.ran"), Vec::<String>::new());
}

#[test]
fn a_table_that_has_rows_is_told_what_will_become_of_them_and_nothing_else_is_said() {
    let world = World::new(Config::new().records("Contact", 60));
    let (mut session, notices) = world.connect_listening();
    session.run("CREATE SCHEMA crm; CREATE TABLE crm.contact (id text PRIMARY KEY, last_name text); INSERT INTO crm.contact VALUES ('mine')");
    notices.take(&mut session);
    for _ in 0..2 {
        session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact')");
        let told: Vec<String> = notices.take(&mut session).into_iter().map(|notice| notice.message).collect();
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told[0].contains("will be deleted") && told[1].contains("no worker"), "{told:#?}");
        session.run("SELECT sequin.stop_sync('crm.contact')");
        assert!(notices.take(&mut session).is_empty());
    }
}

#[test]
fn a_table_whose_foreign_table_is_gone_can_follow_another() {
    let (world, mut session) = world();
    session.run(START);
    session.run("SELECT sequin.refresh('crm.contact')");
    session.run("DROP FOREIGN TABLE salesforce.contact");
    session.run("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER sf INTO salesforce");
    session.run(START);
    session.run("SELECT sequin.refresh('crm.contact')");
    assert_eq!(world.differences(&mut session, "Contact", "crm.contact"), Vec::<String>::new());
}

#[test]
fn a_field_that_the_api_does_not_have_is_refused_at_once() {
    let (_world, mut session) = world();
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN title OPTIONS (SET field 'Titel')");
    let failure = session.fails_with("HV005", START);
    assert!(failure.message.contains("Titel"), "{failure:?}");
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN title OPTIONS (SET field 'Title')");
    session.run(START);
}
