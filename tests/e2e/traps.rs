//! One test for each trap that somebody fell into; each bears the trap's name.

use crate::support::{Action, Config, Copy, Fault, Session, World};

#[test]
fn a_boolean_that_is_none_of_a_list_keeps_the_false_ones() {
    let world = World::new(Config::new());
    let mut copy = Copy::of(&world, &[("Contact", "contact")]);
    for condition in [
        "do_not_call <> ALL (ARRAY[true])",
        "do_not_call NOT IN (true, true)",
        "do_not_call NOT IN (false)",
        "do_not_call <> ALL (ARRAY[true, false])",
        "do_not_call <> ALL (ARRAY[true, NULL])",
        "do_not_call = ANY (ARRAY[false, NULL])",
        "(do_not_call NOT IN (true) OR account_id IS NULL)",
    ] {
        copy.same(&format!("SELECT id FROM salesforce.contact WHERE {condition}"));
    }
    copy.same("SELECT count(*) FROM salesforce.contact WHERE do_not_call <> ALL (ARRAY[true])");
    let mut session = world.connect();
    session.run("SET plan_cache_mode = force_generic_plan");
    session.run("PREPARE q(bool[]) AS SELECT count(*) FROM salesforce.contact WHERE do_not_call <> ALL ($1)");
    assert!(session.number("EXECUTE q('{t}')") > 1000);
}

#[test]
fn an_optional_filter_does_not_fail_where_it_is_left_out() {
    let world = World::new(Config::new().records("Contact", 300));
    let mut session = world.connect();
    session.run("SET plan_cache_mode = force_generic_plan");
    session.run(
        "PREPARE a(text) AS SELECT count(*) FROM salesforce.account WHERE $1 = '' OR number_of_employees > $1::int;
         PREPARE b(int) AS SELECT count(*) FROM salesforce.account WHERE $1 = 0 OR annual_revenue > 100 / $1;
         PREPARE c(text) AS SELECT count(*) FROM salesforce.account WHERE $1 = '' OR upper(name) = 'X' OR number_of_employees = $1::int;
         PREPARE d(text) AS SELECT count(*) FROM salesforce.account WHERE ($1 IS NULL OR name = $1) AND ($1 IS NOT NULL OR number_of_employees > 0)",
    );
    let all = session.number("SELECT count(*) FROM salesforce.account");
    for statement in ["a('')", "b(0)", "c('')"] {
        assert_eq!(session.number(&format!("EXECUTE {statement}")), all, "{statement}");
    }
    assert!(session.number("EXECUTE d(NULL)") < all);
    session.fails_with("22P02", "EXECUTE a('x')");
    session.fails_with(
        "22012",
        "PREPARE e(int) AS SELECT id FROM salesforce.account WHERE annual_revenue > 100 / $1; EXECUTE e(0)",
    );
}

#[test]
fn two_long_lists_on_one_field_are_both_kept() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    session.run("CREATE TABLE ids AS SELECT id FROM salesforce.contact");
    let sql = "SELECT count(*) FROM salesforce.contact WHERE id = ANY (ARRAY(SELECT id FROM ids)) \
               AND id = ANY (ARRAY(SELECT id FROM ids ORDER BY id LIMIT 2000))";
    assert_eq!(session.number(sql), 2000);
}

#[test]
fn a_long_list_is_not_forgotten_for_a_short_one_on_the_same_field() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    session.run("CREATE TABLE ids AS SELECT id, row_number() OVER (ORDER BY id) AS n FROM salesforce.contact");
    let first = session.column("SELECT id FROM ids WHERE n <= 3");
    let short = first.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT count(*) FROM salesforce.contact WHERE id IN ({short}) AND id = ANY (ARRAY(SELECT id FROM ids WHERE n > 2))"
    );
    assert_eq!(session.number(&sql), 1);
    session.run(
        "SET plan_cache_mode = force_generic_plan;
         PREPARE k(bool, text[], text[]) AS SELECT count(*) FROM salesforce.contact WHERE ($1 OR id = ANY ($2)) AND id = ANY ($3)",
    );
    let list = |from: u32, to: u32| format!("ARRAY(SELECT id FROM ids WHERE n BETWEEN {from} AND {to})");
    let two = format!(
        "EXECUTE k(false, {}, {})",
        literal(&mut session, &list(1, 600)),
        literal(&mut session, &list(501, 1200))
    );
    assert_eq!(session.number(&two), 100);
    let one = format!(
        "EXECUTE k(true, {}, {})",
        literal(&mut session, &list(1, 600)),
        literal(&mut session, &list(501, 1200))
    );
    assert_eq!(session.number(&one), 700);
}

/// The value of an expression, as a literal.
fn literal(session: &mut Session, expression: &str) -> String {
    session.value(&format!("SELECT quote_literal({expression}::text)"))
}

#[test]
fn numbers_with_more_digits_than_the_api_has_are_compared_all_the_same() {
    let world = World::new(Config::new());
    world.import(&mut world.connect(), "every_type__c");
    let mut copy = Copy::of(&world, &[("Every_Type__c", "every_type__c")]);
    for number in [
        "1e100",
        "-1e100",
        "1e17",
        "99999999999999999999999999999999999999",
        "0.1 + 1e-40",
        "-1e-40",
        "0.123456789012345678901234567890",
    ] {
        for operator in ["<", "<=", "=", "<>", ">=", ">"] {
            copy.same(&format!("SELECT id FROM salesforce.every_type__c WHERE double__c {operator} {number}"));
        }
    }
}

#[test]
fn backends_that_renew_a_single_use_token_at_once_all_go_on() {
    let world =
        World::new(Config::new().records("Contact", 10).switches(|switches| switches.rotate_refresh_tokens = true));
    let mut owner = world.connect();
    owner.run("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (ADD refresh_token 'sandbox-refresh')");
    let mut sessions: Vec<_> = (0..8).map(|_| world.connect()).collect();
    world.sandbox.set_latency(std::time::Duration::from_millis(20));
    for _ in 0..4 {
        std::thread::scope(|scope| {
            for session in &mut sessions {
                scope.spawn(|| assert_eq!(session.number("SELECT count(*) FROM salesforce.contact"), 10));
            }
        });
        world.sandbox.expire_tokens();
    }
}

#[test]
fn conditions_nested_a_thousand_levels_deep_give_the_same_rows() {
    let world = World::new(Config::new().records("Contact", 300));
    let mut session = world.connect();
    let right = session.number("SELECT count(*) FROM salesforce.contact WHERE do_not_call OR birthdate > '1980-01-01'");
    for levels in [10, 20, 30, 31, 32, 100, 1000] {
        let mut condition = "do_not_call OR birthdate > '1980-01-01'".to_owned();
        for _ in 0..levels / 2 {
            condition = format!("do_not_call OR (birthdate > '1980-01-01' AND ({condition}))");
        }
        let sql = format!("SELECT count(*) FROM salesforce.contact WHERE {condition}");
        assert_eq!(session.number(&sql), right, "{levels} levels");
    }
}

#[test]
fn names_and_credentials_in_a_database_of_another_encoding() {
    let world = World::bare(Config::new().records("Contact", 300).credentials(|known| {
        known.client_secret = "sécret-für-alle".to_owned();
    }));
    let mut admin = world.as_superuser();
    let latin = format!("{}_latin", world.name);
    admin.run(&format!("CREATE DATABASE \"{latin}\" ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"));
    let cluster = world.cluster();
    let client = cluster.connect(&latin, &cluster.user, &cluster.password).expect("it is there");
    let mut session = Session::new(client);
    session.run("CREATE EXTENSION sequin_fdw");
    let failure = session.fails_with(
        "HV00D",
        "CREATE SERVER s FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector 'salesforce', \"foö\" '1')",
    );
    failure.hints("Valid options");
    session.run(&world.server("\"sé\"", ""));
    session.run("CREATE USER MAPPING FOR CURRENT_USER SERVER \"sé\" OPTIONS (client_id 'sandbox-client', client_secret 'sécret-für-alle')");
    session.run("CREATE SCHEMA salesforce; IMPORT FOREIGN SCHEMA salesforce LIMIT TO (account) FROM SERVER \"sé\" INTO salesforce");
    session.run("CREATE FOREIGN TABLE \"größe\" (\"é\" text OPTIONS (field 'LastName', type 'string', capabilities 'filter')) SERVER \"sé\" OPTIONS (object 'Contact')");
    assert!(session.number("SELECT count(*) FROM \"größe\" WHERE \"é\" = 'García'") > 0);
    let plan = session.explain("VERBOSE, COSTS OFF", "SELECT * FROM \"größe\" WHERE \"é\" = 'José Müller'");
    assert!(plan.contains("LastName = 'José Müller'"), "{plan}");
    assert_eq!(session.value("SELECT server FROM sequin.stats"), "sé");
    let failure = session.fails_with("22P05", "SELECT * FROM \"größe\"");
    assert_eq!(failure.column.as_deref(), Some("é"));
    session.run("ALTER USER MAPPING FOR CURRENT_USER SERVER \"sé\" OPTIONS (SET client_secret 'wrong-secret')");
    session.fails_with("28000", "SELECT count(*) FROM \"größe\"");
}

#[test]
fn files_of_the_server_are_not_for_everybody_to_name_or_to_probe() {
    let world = World::bare(Config::new());
    let mut session = world.connect();
    let server = |name: &str, file: &str| world.server(name, &format!(", ca_file '{file}'"));
    session.fails_with("42501", &server("sf", "/etc/passwd")).hints("pg_read_server_files");
    world.as_superuser().run(&format!("GRANT pg_read_server_files TO \"{}\"", world.name));
    let pipe = world.cluster().directory.join("pipe-without-a-writer");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there");
    assert!(made.success());
    let pipe = pipe.to_string_lossy().into_owned();
    let mut said = Vec::new();
    for (number, file) in [pipe.as_str(), "/dev/zero", "/no/such/file", "/etc/passwd"].into_iter().enumerate() {
        let name = format!("s{number}");
        session.run(&server(&name, file));
        session.run(&world.mapping(&name));
        session.run(&format!(
            "CREATE FOREIGN TABLE t{number} (id text OPTIONS (field 'Id')) SERVER {name} OPTIONS (object 'Contact')"
        ));
        session.run("SET statement_timeout = '2s'");
        let failure = session.fails_with("HV00D", &format!("SELECT * FROM t{number}"));
        said.push(failure.message.replace(file, "FILE"));
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn servers_that_are_gone_leave_no_connections_behind() {
    let world = World::bare(Config::new().records("Contact", 10));
    let mut session = world.connect();
    let pid = session.pid();
    let descriptors = || std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let cycle = |session: &mut Session| {
        session.run(&world.server("sf", ""));
        session.run(&world.mapping("sf"));
        session.run("CREATE FOREIGN TABLE t (id text OPTIONS (field 'Id')) SERVER sf OPTIONS (object 'Contact')");
        assert_eq!(session.number("SELECT count(*) FROM t"), 10);
        session.run("DROP SERVER sf CASCADE");
    };
    (0..20).for_each(|_| cycle(&mut session));
    let before = descriptors();
    (0..40).for_each(|_| cycle(&mut session));
    assert!(descriptors() <= before + 4, "{before} → {}", descriptors());
}

#[test]
fn an_excerpt_that_ends_within_a_secret_shows_none_of_it() {
    let world = World::new(Config::new().records("Contact", 10));
    let mut session = world.connect();
    for filler in 170..200 {
        let body = format!("{}sandbox-secret", "x".repeat(filler));
        world.sandbox.fault(Fault::new(Action::Body(body)).path("/query"));
        let failure = session.fails_with("HV00M", "SELECT id FROM salesforce.contact");
        world.sandbox.clear_faults();
        assert!(!failure.everything().contains("sandbox-s"), "{failure:#?}");
    }
}

#[test]
fn arrays_of_other_texts_hold_several_choices_too() {
    let world = World::new(Config::new().records("Contact", 300));
    let mut session = world.connect();
    session.run(
        "CREATE TYPE language AS ENUM ('Deutsch', 'English', 'Français', 'Português', '日本語');
         CREATE FOREIGN TABLE other (id text OPTIONS (field 'Id'), narrow varchar(30)[] OPTIONS (field 'Languages__c')) SERVER sf OPTIONS (object 'Contact')",
    );
    let right = session.number("SELECT count(*) FROM salesforce.contact WHERE cardinality(languages__c) > 1");
    assert!(right > 0);
    assert_eq!(session.number("SELECT count(*) FROM other WHERE cardinality(narrow) > 1"), right);
}

#[test]
fn a_port_among_the_allowed_hosts_is_said_to_be_none() {
    let world = World::new(Config::new().records("Contact", 10));
    let mut admin = world.as_superuser();
    admin.run("SET sequin_fdw.allowed_hosts = '127.0.0.1:443'");
    admin.run(&world.mapping("sf"));
    admin.fails_with("HV00D", "SELECT * FROM salesforce.contact").mentions("127.0.0.1:443");
}
