//! Synced tables: what else happens to them, their database and their server in the course of their life.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Action, Cluster, Config, Fault, Session, World, wait_until};

fn config() -> Config {
    Config::new().records("Contact", 60).records("Account", 8).records("Case", 0)
}

fn world(every: &str) -> (World, Session) {
    let world = World::with_worker(config());
    let mut session = world.connect();
    world.follow_contacts(&mut session, every);
    (world, session)
}

/// How many requests arrive in this time.
fn requests_in(world: &World, time: Duration) -> usize {
    world.sandbox.clear_requests();
    thread::sleep(time);
    world.requests().len()
}

#[track_caller]
fn at_once(what: &str, work: impl FnOnce()) {
    let begin = Instant::now();
    work();
    assert!(begin.elapsed() < Duration::from_secs(4), "{what} took {:?}", begin.elapsed());
}

#[test]
fn a_table_that_is_dropped_is_followed_no_more() {
    let (world, mut session) = world("100 ms");
    at_once("DROP TABLE", || session.run("DROP TABLE crm.contact"));
    assert_eq!(session.rows("SELECT * FROM sequin.sync_status").len(), 0);
    thread::sleep(Duration::from_millis(6000));
    assert_eq!(requests_in(&world, Duration::from_millis(500)), 0);
    assert_eq!(world.as_superuser().value("SELECT count(*) FROM sequin.sync"), "0");
    session.run("CREATE TABLE crm.contact (id text PRIMARY KEY)");
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')");
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact", "60");
}

#[test]
fn the_extension_can_be_dropped_with_its_synced_tables_in_use_and_leaves_them_as_ordinary_ones() {
    let (world, mut session) = world("100 ms");
    let mut admin = world.as_superuser();
    admin.fails_with("2BP01", "DROP EXTENSION sequin_fdw");
    at_once("DROP EXTENSION", || admin.run("DROP EXTENSION sequin_fdw CASCADE"));
    assert_eq!(session.value("SELECT count(*) FROM crm.contact"), "60");
    assert_eq!(
        session.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'crm.contact'::regclass AND NOT tgisinternal"),
        "0"
    );
    session.run("INSERT INTO crm.contact (id, _synced_at) VALUES ('mine', now()); TRUNCATE crm.contact");
    assert_eq!(requests_in(&world, Duration::from_millis(700)), 0);
    // And once more, in the same database.
    admin.run(&format!(
        "CREATE EXTENSION sequin_fdw; GRANT USAGE ON FOREIGN DATA WRAPPER sequin_fdw TO \"{}\"",
        world.name
    ));
    session.run(&world.server("sf", ""));
    session.run(&world.mapping("sf"));
    session.run("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER sf INTO salesforce");
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '100 ms')");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_database_can_be_renamed_copied_moved_and_dropped_though_its_worker_is_connected() {
    let (world, session) = world("100 ms");
    drop(session);
    world.await_worker();
    let mut admin = world.as_superuser_in("postgres");
    let renamed = format!("{}_renamed", world.name);
    at_once("ALTER DATABASE RENAME", || {
        admin.run(&format!("ALTER DATABASE \"{}\" RENAME TO \"{renamed}\"", world.name))
    });
    at_once("ALTER DATABASE RENAME", || {
        admin.run(&format!("ALTER DATABASE \"{renamed}\" RENAME TO \"{}\"", world.name))
    });
    let copied = format!("{}_copied", world.name);
    at_once("CREATE DATABASE", || admin.run(&format!("CREATE DATABASE \"{copied}\" TEMPLATE \"{}\"", world.name)));
    at_once("DROP DATABASE", || admin.run(&format!("DROP DATABASE \"{copied}\"")));
    // The worker is back after a while, under whatever name.
    let mut session = world.connect();
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": "Back"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Back");
    drop(session);
    world.await_worker();
    at_once("DROP DATABASE WITH (FORCE)", || admin.run(&format!("DROP DATABASE \"{}\" WITH (FORCE)", world.name)));
    assert_eq!(requests_in(&world, Duration::from_millis(500)), 0);
    assert!(world.cluster().log_text().lines().all(|line| !line.contains("PANIC")));
}

#[test]
fn whoever_may_not_drop_a_database_does_not_end_its_worker() {
    let (world, mut session) = world("100 ms");
    let pid = world.await_worker();
    let other = format!("{}_other", world.name);
    world.as_superuser().run(&format!("CREATE ROLE \"{other}\" LOGIN PASSWORD 'secret'"));
    let mut stranger =
        Session::new(world.cluster().connect("postgres", &other, "secret").expect("the role can connect"));
    for sql in ["DROP DATABASE $", "ALTER DATABASE $ RENAME TO x", "DROP DATABASE $ WITH (FORCE)"] {
        // A library is loaded by whatever uses it.
        let _ = stranger.try_rows("LOAD '$libdir/sequin_fdw'");
        stranger.fails(&sql.replace('$', &format!("\"{}\"", world.name)));
    }
    thread::sleep(Duration::from_millis(300));
    assert_eq!(world.worker(), Some(pid));
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": "Still there"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Still there");
}

#[test]
fn a_foreign_table_a_server_or_a_mapping_that_goes_is_told_and_one_that_comes_back_is_used() {
    let (world, mut session) = world("100 ms");
    let error = "SELECT coalesce(last_error, 'none') FROM sequin.sync_status";
    let failing = |session: &mut Session| {
        assert!(
            wait_until(Duration::from_secs(10), || session.value("SELECT state FROM sequin.sync_status") == "failing")
        )
    };
    session.run("DROP USER MAPPING FOR CURRENT_USER SERVER sf");
    failing(&mut session);
    assert!(session.value(error).contains("CREATE USER MAPPING"), "{}", session.value(error));
    session.run(&world.mapping("sf"));
    world.upstream().update("Contact", &world.sandbox.id("Contact", 1), json!({"Title": "Mapped"}));
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE title = 'Mapped'", "1");
    // Another URL, and back.
    session.run("ALTER SERVER sf OPTIONS (SET base_url 'http://127.0.0.1:1', ADD max_retries '0')");
    failing(&mut session);
    assert!(session.value(error).contains("127.0.0.1"), "{}", session.value(error));
    session.run(&format!("ALTER SERVER sf OPTIONS (SET base_url '{}')", world.sandbox.url()));
    world.await_current(&mut session, "crm.contact");
    // A column that the foreign table loses is one that is not followed.
    session.run("ALTER FOREIGN TABLE salesforce.contact DROP COLUMN department");
    let id = world.sandbox.id("Contact", 2);
    world.upstream().update("Contact", &id, json!({"Title": "Fewer", "Department": "Unseen"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Fewer");
    session.run("ALTER FOREIGN TABLE salesforce.contact RENAME TO person");
    world.upstream().update("Contact", &id, json!({"Title": "Renamed"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Renamed");
    session.run("DROP SERVER sf CASCADE");
    failing(&mut session);
    assert!(session.value(error).contains("stop_sync"), "{}", session.value(error));
    at_once("stop_sync", || session.run("SELECT sequin.stop_sync('crm.contact')"));
    assert_eq!(session.value("SELECT count(*) FROM crm.contact"), "60");
}

#[test]
fn wrong_credentials_back_off_read_well_and_are_forgotten_once_mended() {
    let (world, mut session) = world("100 ms");
    session.run("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET client_secret 'wrong')");
    world.sandbox.expire_tokens();
    world.await_value(&mut session, "SELECT state FROM sequin.sync_status", "failing");
    let error = session.value("SELECT last_error FROM sequin.sync_status");
    assert!(error.contains("invalid") && error.contains("HINT"), "{error}");
    assert!(!error.contains("wrong"), "no secret: {error}");
    println!("last_error: {error}");
    world.sandbox.clear_requests();
    thread::sleep(Duration::from_secs(4));
    let tries = world.sandbox.requests().len();
    assert!((1..=6).contains(&tries), "{tries} requests in 4 s");
    assert_eq!(session.value("SELECT next_try > clock_timestamp() - interval '1 s' FROM sequin.sync_status"), "t");
    // Users' writes say so themselves.
    session.fails_with("28000", "UPDATE crm.contact SET title = 'x' WHERE id = (SELECT min(id) FROM crm.contact)");
    // Once it is mended, the next try that was told is not waited for.
    world.await_true(&mut session, "SELECT next_try > clock_timestamp() + interval '13 s' FROM sequin.sync_status");
    let next_try = session.value("SELECT next_try FROM sequin.sync_status");
    session.run("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET client_secret 'sequin-secret')");
    session.run("DROP USER MAPPING FOR CURRENT_USER SERVER sf");
    session.run(&world.mapping("sf"));
    world.await_value(&mut session, "SELECT state || coalesce(last_error, '') FROM sequin.sync_status", "current");
    let early = format!("SELECT clock_timestamp() < '{next_try}'");
    assert_eq!(session.value(&early), "t", "no sooner than {next_try}");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn an_api_that_fails_for_a_while_is_tried_again_and_nothing_is_missed() {
    let (world, mut session) = world("100 ms");
    session.run("ALTER SERVER sf OPTIONS (ADD max_retries '0')");
    for fault in [
        Fault::status(503, "[]"),
        Fault::new(Action::DropBefore),
        Fault::new(Action::TruncateBody),
        Fault::new(Action::Garbage),
        Fault::new(Action::EmptyBody),
        Fault::new(Action::TruncateBodyCleanly),
    ] {
        world.sandbox.fault(fault.path("/query").times(2));
        let id = world.upstream().create("Contact", json!({"LastName": "In trouble"}));
        world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{id}'"), "1");
        world.sandbox.clear_faults();
    }
    world.await_current(&mut session, "crm.contact");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_table_whose_constraint_or_trigger_refuses_a_row_says_so_and_stops_no_other() {
    let (world, mut session) = world("100 ms");
    session.run("SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '100 ms')");
    world.await_current(&mut session, "crm.account");
    session.run("ALTER TABLE crm.contact ADD CONSTRAINT sober CHECK (title <> 'Drunk')");
    let (contact, account) = (world.sandbox.id("Contact", 1), world.sandbox.id("Account", 1));
    world.upstream().update("Contact", &contact, json!({"Title": "Drunk"}));
    let error = "SELECT coalesce(last_error, '') FROM sequin.sync_status WHERE target = 'crm.contact'::regclass";
    assert!(wait_until(Duration::from_secs(10), || session.value(error).contains("sober")), "{}", session.value(error));
    for round in 0..3 {
        world.upstream().update("Account", &account, json!({"Description": format!("Round {round}")}));
        world.await_value(
            &mut session,
            &format!("SELECT description FROM crm.account WHERE id = '{account}'"),
            &format!("Round {round}"),
        );
    }
    session.run("ALTER TABLE crm.contact DROP CONSTRAINT sober");
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{contact}'"), "Drunk");
    session.run(
        "CREATE FUNCTION strict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not with me'; END $$;
         CREATE TRIGGER strict BEFORE UPDATE ON crm.contact FOR EACH ROW EXECUTE FUNCTION strict()",
    );
    world.upstream().update("Contact", &contact, json!({"Title": "Raised"}));
    assert!(
        wait_until(Duration::from_secs(10), || session.value(error).contains("not with me")),
        "{}",
        session.value(error)
    );
    session.run("DROP TRIGGER strict ON crm.contact");
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{contact}'"), "Raised");
    world.await_current(&mut session, "crm.contact");
}

#[test]
fn users_code_runs_as_the_owner_in_a_restricted_context_also_in_the_worker() {
    let (world, mut session) = world("100 ms");
    session.run(
        "CREATE TABLE seen (who text, path text); CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO public.seen VALUES (current_user, current_setting('search_path'));
           BEGIN EXECUTE 'RESET ROLE'; EXCEPTION WHEN OTHERS THEN NULL; END;
           BEGIN EXECUTE 'SET SESSION AUTHORIZATION DEFAULT'; EXCEPTION WHEN OTHERS THEN NULL; END;
           INSERT INTO public.seen VALUES (current_user, 'afterwards'); RETURN NULL; END $$;
         CREATE TRIGGER spy AFTER UPDATE ON crm.contact FOR EACH ROW EXECUTE FUNCTION spy()",
    );
    world.upstream().update("Contact", &world.sandbox.id("Contact", 1), json!({"Title": "Spied"}));
    world.await_true(&mut session, "SELECT count(*) >= 2 FROM seen");
    assert_eq!(session.value("SELECT DISTINCT who FROM seen"), world.name);
}

#[test]
fn two_synced_tables_with_a_foreign_key_between_them_follow_the_api_all_the_same() {
    let world = World::with_worker(config());
    let mut session = world.connect();
    session.run(
        "CREATE SCHEMA crm; CREATE TABLE crm.account (id text PRIMARY KEY, name text, description text);
         CREATE TABLE crm.contact (id text PRIMARY KEY, account_id text REFERENCES crm.account, last_name text, title text);
         SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '200 ms');
         SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '200 ms')",
    );
    world.await_equal(&mut session, "Account", "crm.account");
    world.await_equal(&mut session, "Contact", "crm.contact");
    let upstream = world.upstream();
    let account = upstream.create("Account", json!({"Name": "New"}));
    upstream.create("Contact", json!({"LastName": "Of new", "AccountId": account}));
    world.await_equal(&mut session, "Contact", "crm.contact");
    // With it go its contacts.
    upstream.delete(&world.sandbox.id("Account", 0));
    world.await_equal(&mut session, "Account", "crm.account");
    world.await_equal(&mut session, "Contact", "crm.contact");
    session.run("ALTER TABLE crm.contact DROP CONSTRAINT contact_account_id_fkey, ADD FOREIGN KEY (account_id) REFERENCES crm.account ON DELETE CASCADE");
    session.run(&format!("DELETE FROM crm.account WHERE id = '{}'", world.sandbox.id("Account", 1)));
    world.await_equal(&mut session, "Account", "crm.account");
    world.await_equal(&mut session, "Contact", "crm.contact");
    upstream.delete(&world.sandbox.id("Account", 2));
    world.await_equal(&mut session, "Account", "crm.account");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

/// Database-wide settings that would get in the worker's way.
#[test]
fn settings_of_the_database_and_the_owner_do_not_keep_the_worker_from_its_work() {
    let (world, mut session) = world("100 ms");
    let mut admin = world.as_superuser();
    for setting in [
        "statement_timeout = 1",
        "lock_timeout = 1",
        "default_transaction_isolation = serializable",
        "search_path = ''",
        "default_transaction_read_only = on",
        "row_security = off",
        "DateStyle = 'SQL, DMY'",
        "IntervalStyle = sql_standard",
        "TimeZone = 'Asia/Kathmandu'",
        "extra_float_digits = 0",
        "bytea_output = escape",
        "enable_indexscan = off",
        "client_encoding = latin1",
        "standard_conforming_strings = off",
        "\"sequin_fdw.max_requests\" = 1",
    ] {
        admin.run(&format!("ALTER DATABASE \"{}\" SET {setting}", world.name));
    }
    let pid = world.await_worker();
    admin.run(&format!("SELECT pg_terminate_backend({pid})"));
    assert!(
        wait_until(Duration::from_secs(20), || world.worker().is_some_and(|new| new != pid)),
        "the worker is started again"
    );
    for round in 0..3 {
        let id = world.upstream().create(
            "Contact",
            json!({"LastName": format!("Ünïcode {round}"), "Birthdate": "2001-02-03", "Score__c": 1.000001}),
        );
        world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{id}'"), "1");
    }
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_publication_carries_what_the_worker_and_users_change() {
    let (cluster, settings) = (Cluster::private(&[("wal_level", "logical"), ("synchronous_commit", "on")]), config());
    let world = World::with_worker_in(cluster, settings);
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
    let mut admin = world.as_superuser();
    admin.run("CREATE PUBLICATION all_contacts FOR TABLE crm.contact");
    admin.run("SELECT pg_create_logical_replication_slot('s', 'test_decoding')");
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": "From there"}));
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE title = 'From there'", "1");
    session.run("UPDATE crm.contact SET title = 'From here' WHERE title = 'From there'");
    let changes = admin
        .column("SELECT data FROM pg_logical_slot_get_changes('s', NULL, NULL) WHERE data LIKE 'table crm.contact%'")
        .join("\n");
    assert!(changes.contains("From there") && changes.contains("From here"), "{changes}");
}

#[test]
fn a_fast_shutdown_is_not_held_up_and_the_work_goes_on_after_the_start() {
    let cluster = Cluster::private(&[]);
    let world = World::with_worker_in(cluster.clone(), config());
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
    // A request that never ends.
    world.sandbox.fault(Fault::new(Action::Hang).path("/query").times(1));
    thread::sleep(Duration::from_millis(500));
    at_once("the shutdown", || assert!(cluster.control(&cluster.data(), &["-m", "fast", "-w", "stop"])));
    assert_eq!(requests_in(&world, Duration::from_millis(300)), 0);
    world.upstream().update("Contact", &world.sandbox.id("Contact", 1), json!({"Title": "While down"}));
    world.upstream().delete(&world.sandbox.id("Contact", 2));
    cluster.start(&cluster.data(), cluster.port);
    let mut session = world.connect();
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE title = 'While down'", "1");
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_standby_asks_nothing_and_works_once_it_is_promoted() {
    let cluster = Cluster::private(&[("wal_level", "replica")]);
    let world = World::with_worker_in(cluster.clone(), config());
    let mut session = world.connect();
    world.follow_contacts(&mut session, "200 ms");
    let standby = cluster.directory.join("standby");
    let mut backup = cluster.program("pg_basebackup");
    backup.args(["-R", "-c", "fast", "-X", "stream", "-D"]).arg(&standby);
    assert!(backup.stdout(Stdio::null()).status().is_ok_and(|status| status.success()), "the backup is made");
    let port = free_port();
    cluster.start(&standby, port);
    let connect = || {
        let mut config = postgres::Config::new();
        config.host(&cluster.host).port(port).user(&world.name).password(&world.password).dbname(&world.name);
        Session::new(config.connect(postgres::NoTls).expect("the standby answers"))
    };
    let mut there = connect();
    world.await_value(&mut there, "SELECT count(*) FROM crm.contact", "60");
    assert_eq!(there.rows("SELECT * FROM sequin.sync_status").len(), 1);
    there.fails_with("25006", "SELECT sequin.refresh('crm.contact')");
    there.fails_with("25006", "INSERT INTO crm.contact (last_name) VALUES ('x')");
    // The first server's end: whoever asks now is the standby.
    assert!(cluster.control(&cluster.data(), &["-m", "fast", "-w", "stop"]));
    assert_eq!(requests_in(&world, Duration::from_secs(2)), 0, "{:#?}", world.requests());
    world.upstream().update("Contact", &world.sandbox.id("Contact", 1), json!({"Title": "Promoted"}));
    world.upstream().delete(&world.sandbox.id("Contact", 2));
    assert!(cluster.control(&standby, &["-w", "promote"]));
    world.await_value(&mut there, "SELECT count(*) FROM crm.contact WHERE title = 'Promoted'", "1");
    world.await_value(&mut there, "SELECT count(*) FROM crm.contact", "59");
    there.run("INSERT INTO crm.contact (last_name) VALUES ('Here')");
    world.await_equal(&mut there, "Contact", "crm.contact");
    assert!(cluster.control(&standby, &["-m", "immediate", "-w", "stop"]));
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

#[test]
fn a_dump_restored_into_another_database_posts_nothing_and_is_followed_there() {
    let (world, mut session) = world("200 ms");
    session.run("ALTER TABLE crm.contact ADD note text; UPDATE crm.contact SET note = 'kept' WHERE id = (SELECT min(id) FROM crm.contact)");
    let id = session.value("INSERT INTO crm.contact (last_name) VALUES ('Written') RETURNING id");
    let mut admin = world.as_superuser_in("postgres");
    let restored = format!("{}_restored", world.name);
    let file = world.cluster().directory.join(format!("{}.dump", world.name));
    let mut dump = world.cluster().program("pg_dump");
    dump.args(["-Fc", "-d", &world.name, "-f"]).arg(&file);
    succeed(&mut dump);
    for jobs in ["1", "3"] {
        admin.run(&format!("CREATE DATABASE \"{restored}\" OWNER \"{}\"", world.name));
        let (_, writes) = world.writes_of(|| {
            let mut restore = world.cluster().program("pg_restore");
            restore.args(["--exit-on-error", "-j", jobs, "-d", &restored]).arg(&file);
            succeed(&mut restore);
        });
        assert!(writes.is_empty(), "{writes:#?}");
        let mut there =
            Session::new(world.cluster().connect(&restored, &world.name, &world.password).expect("it is there"));
        assert_eq!(there.value("SELECT count(*) FROM crm.contact WHERE note = 'kept'"), "1");
        assert_eq!(
            there.value("SELECT target || ' ' || source || ' ' || every FROM sequin.sync_status"),
            "crm.contact salesforce.contact 00:00:00.2"
        );
        world.upstream().update("Contact", &id, json!({"Title": format!("After {jobs}")}));
        world.await_value(
            &mut there,
            &format!("SELECT title FROM crm.contact WHERE id = '{id}'"),
            &format!("After {jobs}"),
        );
        world.await_current(&mut there, "crm.contact");
        assert_eq!(world.differences(&mut there, "Contact", "crm.contact"), Vec::<String>::new());
        drop(there);
        admin.run(&format!("DROP DATABASE \"{restored}\""));
    }
}

#[track_caller]
fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// In ticks of a hundredth of a second.
fn processor_time(process: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // The name may have blanks.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

#[test]
fn an_idle_worker_costs_no_time() {
    let (world, _session) = world("1 second");
    let worker = world.await_worker();
    thread::sleep(Duration::from_millis(500));
    let before = processor_time(worker);
    thread::sleep(Duration::from_secs(4));
    let spent = processor_time(worker) - before;
    println!("{spent} hundredths of a second in 4 s");
    assert!(spent <= 20, "{spent} hundredths of a second in 4 s");
    // A server that is idle in each of its databases does nothing at all.
    assert!(world.cluster().log_text().lines().filter(|line| line.contains("sequin_fdw worker")).count() < 1000);
}

#[test]
fn a_new_database_gets_a_worker_and_one_without_synced_tables_keeps_none() {
    let world = World::with_worker(config());
    assert!(wait_until(Duration::from_secs(10), || world.worker().is_none()), "nothing is to be done there");
    let mut session = world.connect();
    let begin = Instant::now();
    world.follow_contacts(&mut session, "100 ms");
    println!("filled {:?} after the start", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    world.await_worker();
    session.run("SELECT sequin.stop_sync('crm.contact')");
    assert!(wait_until(Duration::from_secs(10), || world.worker().is_none()), "nothing is left to be done");
}

#[test]
fn deferred_constraints_of_a_synced_table_hold_and_stop_neither_users_nor_the_worker() {
    let (world, mut session) = world("100 ms");
    session.run("SELECT sequin.start_sync('salesforce.account', 'crm.account', every => '100 ms')");
    world.await_current(&mut session, "crm.account");
    session.run(
        "ALTER TABLE crm.contact ADD CONSTRAINT of_account FOREIGN KEY (account_id) REFERENCES crm.account DEFERRABLE INITIALLY DEFERRED;
         CREATE TABLE seen (id text); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.id); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER see AFTER INSERT OR UPDATE ON crm.contact DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see()",
    );
    let (id, account) = (world.sandbox.id("Contact", 1), world.sandbox.id("Account", 3));
    session.run(&format!("UPDATE crm.contact SET account_id = '{account}', title = 'Deferred' WHERE id = '{id}'"));
    session.run(&format!("INSERT INTO crm.contact (last_name, account_id) VALUES ('Deferred', '{account}')"));
    assert_eq!(world.record("Contact", &id)["Title"].as_deref(), Some("Deferred"));
    let created = world.upstream().create("Contact", json!({"LastName": "Of it", "AccountId": account}));
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE id = '{created}'"), "1");
    world.upstream().update("Contact", &created, json!({"Title": "There"}));
    session.run("SELECT sequin.refresh('crm.contact')");
    world.await_equal(&mut session, "Contact", "crm.contact");
    assert!(session.number(&format!("SELECT count(*) FROM seen WHERE id IN ('{id}', '{created}')")) >= 3);
}

#[test]
fn a_table_of_that_name_where_the_extension_is_not_is_none_of_the_workers_business() {
    let world = World::with_worker_in(Cluster::private(&[]), config());
    let mut admin = world.as_superuser();
    admin.run("DROP EXTENSION sequin_fdw CASCADE; DROP SCHEMA IF EXISTS sequin");
    let mut session = world.connect();
    session.run(
        "CREATE SCHEMA sequin; CREATE SEQUENCE looked;
         CREATE VIEW sequin.sync AS SELECT nextval('public.looked')::oid AS target, interval '1 second' AS every, true AS filled, '{}'::jsonb AS feed,
           '{}'::jsonb AS since, now() AS swept_at, '{}'::jsonb AS options, now() AS next_try",
    );
    // A launcher that starts has all databases looked into.
    admin.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'sequin_fdw launcher'");
    thread::sleep(Duration::from_secs(8));
    assert_eq!(session.value("SELECT is_called FROM looked"), "f");
}

#[test]
fn databases_without_synced_tables_do_not_keep_others_from_being_served() {
    let cluster = Cluster::private(&[]);
    let mut admin = cluster.superuser("postgres");
    for number in 0..70 {
        admin.run(&format!("CREATE DATABASE empty_{number}"));
    }
    let world = World::with_worker_in(cluster, config());
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
    let id = world.sandbox.id("Contact", 1);
    world.upstream().update("Contact", &id, json!({"Title": "Served"}));
    world.await_value(&mut session, &format!("SELECT title FROM crm.contact WHERE id = '{id}'"), "Served");
}

#[test]
fn whoever_owns_the_database_can_dump_it() {
    let (world, mut session) = world("1 hour");
    assert_eq!(session.fails("TABLE sequin.sync_told").code, "42501");
    let mut dump = world.cluster().program("pg_dump");
    dump.args(["-U", &world.name, "-d", &world.name, "-f", "/dev/null"]).env("PGPASSWORD", &world.password);
    succeed(&mut dump);
}

#[test]
fn an_owners_code_that_lets_go_of_advisory_locks_does_not_stop_the_worker() {
    let (world, mut session) = world("100 ms");
    session.run(
        "CREATE FUNCTION loose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_unlock_all(); RETURN NEW; END $$;
         CREATE TRIGGER loose BEFORE INSERT ON crm.contact FOR EACH ROW EXECUTE FUNCTION loose()",
    );
    for name in ["One", "Two"] {
        world.upstream().create("Contact", json!({"LastName": name}));
        world.await_value(&mut session, &format!("SELECT count(*) FROM crm.contact WHERE last_name = '{name}'"), "1");
    }
    assert_eq!(session.value("SELECT sequin.refresh('crm.contact')"), "0");
    world.await_equal(&mut session, "Contact", "crm.contact");
}
