//! Databases of other encodings than UTF-8: texts are converted on their way, and what cannot be is refused by name.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::support::{Action, Cluster, Config, Fault, SALESFORCE, World, wait_until};

const LATIN1: &str = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
const NONE: &str = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
const JAPANESE: &str = "ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";

#[test]
fn arguments_of_every_function_are_converted() {
    let world = World::in_database(&SALESFORCE, Config::new().records("Contact", 20).records("Case", 0), LATIN1);
    let mut session = world.connect();
    session.run("ALTER FOREIGN TABLE salesforce.contact RENAME TO \"größe\"");
    session.run("ALTER FOREIGN TABLE salesforce.\"größe\" RENAME COLUMN title TO \"tîtle\"");
    session.run("CREATE SCHEMA \"crü\"");
    let of = "SELECT sequin.start_sync('salesforce.\"größe\"', '\"crü\".\"tâble\"', options => '{\"where\": null}')";
    session.fails_with("HV00D", of);
    session.run(&of.replace(", options => '{\"where\": null}'", ""));
    session.run("ALTER FOREIGN TABLE salesforce.\"größe\" DROP COLUMN last_name");
    session.run("ALTER TABLE \"crü\".\"tâble\" DROP COLUMN last_name");
    session.run("ALTER FOREIGN TABLE salesforce.\"größe\" DROP COLUMN first_name, DROP COLUMN name");
    session.run("ALTER TABLE \"crü\".\"tâble\" DROP COLUMN first_name, DROP COLUMN name");
    // What LATIN1 cannot hold is left out, with a warning.
    assert!(session.number("SELECT sequin.refresh('\"crü\".\"tâble\"')") > 0);
    session
        .run("UPDATE \"crü\".\"tâble\" SET \"tîtle\" = 'Président' WHERE id = (SELECT min(id) FROM \"crü\".\"tâble\")");
    assert_eq!(session.value("SELECT count(*) FROM salesforce.\"größe\" WHERE \"tîtle\" = 'Président'"), "1");
    session.run("DELETE FROM \"crü\".\"tâble\" WHERE \"tîtle\" = 'Président'");
    let failure = session.fails_with("428C9", "INSERT INTO \"crü\".\"tâble\" (id) VALUES ('003000000000000AAA')");
    failure.mentions("\"tâble\"").hints("crü.tâble");
    session.fails_with("3F000", "SELECT sequin.start_sync('salesforce.account', '\"nö\".\"tâble\"')");

    let path = "/services/data/v62.0/query?q=SELECT%20Id%20FROM%20Contact%20WHERE%20LastName%20=%20''Garc%C3%ADa''";
    assert_eq!(session.value(&format!("SELECT status FROM sequin.call('sf', 'GET', '{path}')")), "200");
    session.fails_with("22P02", "SELECT sequin.call('sf', 'GET', '/größe')").mentions("percent-encoded");
    let body =
        "SELECT body FROM sequin.call('sf', 'POST', '/services/data/v62.0/sobjects/Account', '{\"Name\": \"Größe\"}')";
    assert!(session.value(body).contains("true"));
    assert_eq!(session.value("SELECT count(*) FROM salesforce.account WHERE name = 'Größe'"), "1");
    session.fails_with("22P02", "SELECT sequin.call('sf', 'GÉT', '/x')").mentions("GÉT");
    session.fails_with("42704", "SELECT sequin.call('sérver', 'GET', '/x')");
    let upsert = "SELECT * FROM sequin.upsert('salesforce.\"größe\"', 'schlüssel', '[{\"tîtle\": \"Ümlaut\"}]')";
    session.fails(upsert).mentions("schlüssel");
    session.run("SELECT sequin.stop_sync('\"crü\".\"tâble\"')");
}

#[test]
fn what_is_told_is_as_it_was_worded_and_what_the_encoding_lacks_is_spelled_out() {
    let world = World::in_database(&SALESFORCE, Config::new().records("Contact", 5), LATIN1);
    let mut session = world.connect();
    let answer = json!([{"message": "Ungültig – “später”", "errorCode": "INVALID_FIELD", "fields": []}]);
    let refuse = |path: &str| {
        world
            .sandbox
            .fault(Fault::new(Action::Status { code: 400, headers: vec![], body: answer.to_string() }).path(path));
    };
    refuse("/query");
    let failure = session.fails("SELECT id FROM salesforce.contact");
    assert!(failure.message.ends_with("Ungültig \\u{2013} \\u{201c}später\\u{201d}"), "{failure:#?}");
    session.run("CREATE SCHEMA crm");
    world.sandbox.clear_faults();
    session.run("SELECT sequin.start_sync('salesforce.account', 'crm.account')");
    // Raised within a statement of ours, within a trigger.
    refuse("/sobjects");
    let failure = session.fails("INSERT INTO crm.account (name) VALUES ('Größe')");
    assert!(failure.message.ends_with("Ungültig \\u{2013} \\u{201c}später\\u{201d}"), "{failure:#?}");
    // A process that ends logs things when little of it is left.
    let mut admin = world.as_superuser();
    admin.run(&format!("ALTER DATABASE \"{}\" SET log_min_messages = debug5", world.name));
    let mut last = world.connect();
    last.fails("INSERT INTO crm.account (name) VALUES ('Größe')");
    let pid = last.pid();
    drop(last);
    let gone = format!("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}");
    assert!(wait_until(Duration::from_secs(10), || admin.value(&gone) == "t"));
}

#[test]
fn a_database_without_an_encoding_takes_utf_8_and_refuses_the_rest() {
    let world = World::in_database(&SALESFORCE, Config::new().records("Contact", 5).records("Case", 0), NONE);
    let mut session = world.connect();
    session.run("CREATE SCHEMA \"crü\"; SELECT sequin.start_sync('salesforce.contact', '\"crü\".\"tâble\"')");
    assert_eq!(session.value("SELECT sequin.refresh('\"crü\".\"tâble\"')"), "5");
    for sql in [
        "SELECT sequin.start_sync('salesforce.account', E'\\xe9')",
        "SELECT sequin.call('sf', 'GET', E'/\\xe9')",
        "SELECT sequin.call('sf', E'G\\xe9T', '/')",
        "SELECT sequin.upsert('salesforce.contact', E'\\xe9', '[]')",
    ] {
        session.fails_with("22021", sql).mentions("0xe9");
    }
}

#[test]
fn an_error_in_a_database_of_japanese_reaches_the_client() {
    let world = World::in_database(&SALESFORCE, Config::new().records("Contact", 5), JAPANESE);
    let mut session = world.connect();
    session.run("CREATE SCHEMA \"表\"");
    session.fails_with("3F000", "SELECT sequin.start_sync('salesforce.contact', '\"無い\".\"表\"')");
}

/// The errors of a session in a cluster whose server has this in its environment.
fn errors_with_backtraces(preload: &str) -> Vec<String> {
    let cluster: Arc<Cluster> = Cluster::private_in(
        &[("RUST_BACKTRACE", "full"), ("RUST_LIB_BACKTRACE", "1")],
        &[("shared_preload_libraries", preload)],
    );
    let environment = std::fs::read(format!("/proc/{}/environ", cluster.postmaster())).unwrap_or_default();
    assert!(String::from_utf8_lossy(&environment).contains("RUST_BACKTRACE=full"), "the server has it");
    let world = World::within(cluster, Config::new().records("Contact", 5).records("Case", 0));
    let mut session = world.connect();
    let mut said = Vec::new();
    world.sandbox.fault(Fault::new(Action::Body("{".to_owned())).path("/query"));
    said.push(session.fails("SELECT id, last_name FROM salesforce.contact").everything());
    world.sandbox.clear_faults();
    for sql in [
        "SELECT sequin.call('nowhere', 'GET', '/')",
        "SELECT sequin.call(NULL, 'GET', '/')",
        "SELECT sequin.start_sync('salesforce.contact', 'no.such.thing.at.all')",
        "SELECT sequin.refresh('salesforce.contact')",
        "SELECT sequin.upsert('salesforce.contact', 'nothing', '[]')",
        "INSERT INTO salesforce.contact (birthdate) VALUES ('2000-01-01')",
        "ALTER SERVER sf OPTIONS (ADD conector 'x')",
        "IMPORT FOREIGN SCHEMA nowhere FROM SERVER sf INTO salesforce",
        "SELECT 1 / (random() * 0)::int FROM salesforce.contact",
        "SET sequin_fdw.pushdown = off; SELECT 1 / length(left(id, 0)) FROM salesforce.contact",
    ] {
        said.push(session.fails(sql).everything());
    }
    session.run("CREATE SCHEMA crm; SELECT sequin.start_sync('salesforce.contact', 'crm.contact')");
    said.push(session.fails("INSERT INTO crm.contact (birthdate) VALUES ('2000-01-01')").everything());
    said.push(session.fails("TRUNCATE crm.contact").everything());
    said.push(world.cluster().log_text());
    said
}

#[test]
fn no_error_carries_a_backtrace_whatever_the_server_s_environment_says() {
    for preload in ["", "sequin_fdw"] {
        for said in errors_with_backtraces(preload) {
            assert!(!said.contains("pgrx") && !said.contains(".rs") && !said.contains("  0: "), "{said}");
        }
    }
}
