//! Options are checked where they are given: unknown and misplaced ones with what is meant, missing ones by name.

use crate::support::{Config, World};

#[test]
fn options_are_checked_in_every_place() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let server = |options: &str| format!("CREATE SERVER other FOREIGN DATA WRAPPER sequin_fdw OPTIONS ({options})");
    for (sql, code, hint) in [
        (server("connector 'salesforce', base_ulr 'https://a.example'"), "HV00D", "base_url"),
        (server("connector 'salesfarce'"), "HV00D", ""),
        (server("base_url 'https://a.example'"), "HV00J", "connector"),
        (server("connector 'salesforce', client_secret 'hidden-value'"), "HV00D", "USER MAPPING"),
        (server("connector 'salesforce', base_url 'ftp://a.example'"), "HV00D", ""),
        (server("connector 'salesforce', page_size '-5'"), "HV00D", ""),
        (server("connector 'salesforce', request_timeout 'soon'"), "HV00D", ""),
        ("CREATE USER MAPPING FOR PUBLIC SERVER sf OPTIONS (client_ib 'hidden-value')".to_owned(), "HV00D", "client_id"),
        ("CREATE USER MAPPING FOR PUBLIC SERVER sf OPTIONS (base_url 'https://a.example')".to_owned(), "HV00D", "SERVER"),
        ("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (ADD pasword 'hidden-value')".to_owned(), "HV00D", "password"),
        ("CREATE FOREIGN TABLE t (id text) SERVER sf OPTIONS (objekt 'Contact')".to_owned(), "HV00D", "object"),
        ("CREATE FOREIGN TABLE t (id text) SERVER sf OPTIONS (object 'Contact', field 'Id')".to_owned(), "HV00D", "column"),
        ("CREATE FOREIGN TABLE t (id text OPTIONS (feild 'Id')) SERVER sf OPTIONS (object 'Contact')".to_owned(), "HV00D", "field"),
        ("CREATE FOREIGN TABLE t (id text OPTIONS (key 'maybe')) SERVER sf OPTIONS (object 'Contact')".to_owned(), "HV00D", ""),
        ("CREATE FOREIGN TABLE t (id text OPTIONS (capabilities 'filter, fly')) SERVER sf OPTIONS (object 'Contact')".to_owned(), "HV00D", ""),
        ("CREATE FOREIGN TABLE t (id text) SERVER sf OPTIONS (object 'Contact', operations 'truncate')".to_owned(), "HV00D", ""),
        ("ALTER FOREIGN TABLE salesforce.contact OPTIONS (ADD estimated_row '5')".to_owned(), "HV00D", "estimated_rows"),
        ("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN id OPTIONS (ADD capability 'x')".to_owned(), "HV00D", "capabilities"),
        ("ALTER SERVER sf OPTIONS (DROP connector)".to_owned(), "HV00J", "connector"),
        ("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (lead) FROM SERVER sf INTO salesforce OPTIONS (name 'x')".to_owned(), "HV00D", "naming"),
    ] {
        let failure = session.fails(&sql);
        assert_eq!(failure.code, code, "{sql}: {failure:#?}");
        assert!(failure.hint.as_deref().unwrap_or_default().contains(hint), "{sql}: {failure:#?}");
        // A secret in the wrong place is a secret still.
        assert!(!failure.everything().contains("hidden-value"), "{sql}: {failure:#?}");
    }
    let mut admin = world.as_superuser();
    admin.fails_with("HV00D", "ALTER FOREIGN DATA WRAPPER sequin_fdw OPTIONS (ADD connector 'salesforce')");
    assert!(world.requests().is_empty());
}

#[test]
fn the_nearest_name_comes_first() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let failure = session.fails("ALTER SERVER sf OPTIONS (ADD max_retires '1')");
    assert!(
        failure.hint.as_deref().unwrap_or_default().starts_with("Valid options here: max_retries, "),
        "{failure:#?}"
    );
}

#[test]
fn changed_options_count_from_the_next_statement() {
    let world = World::new(Config::new().records("Contact", 1000));
    let mut session = world.connect();
    let pages = |session: &mut crate::support::Session| {
        world.sandbox.clear_requests();
        assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
        world.requests().len()
    };
    assert_eq!(pages(&mut session), 1);
    session.run("ALTER SERVER sf OPTIONS (ADD page_size '200')");
    assert_eq!(pages(&mut session), 5);
    session.run("ALTER SERVER sf OPTIONS (SET page_size '500')");
    assert_eq!(pages(&mut session), 2);
    session.run("ALTER SERVER sf OPTIONS (ADD api_version '59.0')");
    assert_eq!(pages(&mut session), 2);
    assert!(world.requests().iter().all(|request| request.path.starts_with("/services/data/v59.0/")));
}

#[test]
fn what_may_be_written_is_what_operations_says_and_nothing_is_asked_for_that() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    session.run("ALTER FOREIGN TABLE salesforce.contact OPTIONS (SET operations 'update')");
    for sql in ["INSERT INTO salesforce.contact (last_name) VALUES ('x')", "DELETE FROM salesforce.contact"] {
        session.fails_with("55000", sql).mentions("does not allow");
    }
    let can = "SELECT is_insertable_into FROM information_schema.tables WHERE table_schema = 'salesforce' ORDER BY table_name";
    assert_eq!(session.column(can), ["YES", "NO"]);
    assert!(world.requests().is_empty());
}
