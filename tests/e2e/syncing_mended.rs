//! Synced tables that fail: what is mended is tried soon, also if the mend arrives while an attempt is under way that knows
//! nothing of it.

use std::time::{Duration, Instant};

use crate::support::{Action, Cluster, Config, Fault, Session, World, wait_until};

fn world_in(cluster: std::sync::Arc<Cluster>) -> (World, Session) {
    let world = World::with_worker_in(cluster, Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
    (world, session)
}

fn world() -> (World, Session) {
    world_in(Cluster::preloaded())
}

/// The table has failed so often that the next try is far away.
#[track_caller]
fn fails_for_long(world: &World, session: &mut Session) {
    world.await_true(session, "SELECT next_try > clock_timestamp() + interval '13 s' FROM sequin.sync_status");
}

/// Before the next try after one more failure, which would be 40 s away.
#[track_caller]
fn is_soon_current(session: &mut Session) {
    let begin = Instant::now();
    let current = || session.value("SELECT state FROM sequin.sync_status") == "current";
    let mended = wait_until(Duration::from_secs(35), current);
    assert!(mended, "{:?}", session.rows("SELECT * FROM sequin.sync_status"));
    println!("mended after {:?}", begin.elapsed());
}

/// Breaks something and waits until the table has failed for long. Then mends it while an attempt is under way, which waits
/// for the answer to a request whose path contains `path`.
fn mended_amid(path: &str, broken: &str, mends: &[&str]) {
    let (world, mut session) = world();
    session.run(&broken.replace("URL", &world.sandbox.url()));
    world.sandbox.expire_tokens();
    fails_for_long(&world, &mut session);
    // The worker looks for what has changed while it waits for this answer.
    world.sandbox.fault(Fault::new(Action::Delay(8_000)).path(path).times(1));
    world.sandbox.clear_requests();
    // This is tried at once.
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '200 ms')");
    world.await_request(path);
    mends.iter().for_each(|sql| session.run(&sql.replace("URL", &world.sandbox.url())));
    is_soon_current(&mut session);
    world.await_equal(&mut session, "Contact", "crm.contact");
}

#[test]
fn a_mapping_that_is_mended_while_its_old_credentials_are_being_tried() {
    let secret =
        |secret: &str| format!("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET client_secret '{secret}')");
    mended_amid("/oauth2/token", &secret("wrong"), &[&secret("sandbox-secret")]);
}

#[test]
fn a_mapping_that_comes_back_while_the_old_one_is_being_tried() {
    mended_amid(
        "/oauth2/token",
        "ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET client_id 'wrong')",
        &[
            "DROP USER MAPPING FOR CURRENT_USER SERVER sf",
            "CREATE USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (client_id 'sandbox-client', client_secret 'sandbox-secret')",
        ],
    );
}

#[test]
fn a_server_that_is_mended_while_its_old_address_is_being_tried() {
    mended_amid(
        "/nosuch/",
        "ALTER SERVER sf OPTIONS (SET base_url 'URL/nosuch')",
        &["ALTER SERVER sf OPTIONS (SET base_url 'URL')"],
    );
}

#[test]
fn a_foreign_table_that_is_mended_while_its_old_fields_are_being_asked_for() {
    mended_amid(
        "/query",
        "ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN title OPTIONS (SET field 'Nosuch__c')",
        &["ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN title OPTIONS (SET field 'Title')"],
    );
}

#[test]
fn a_setting_that_is_mended_and_read_again() {
    let (world, mut session) = world_in(Cluster::private(&[]));
    let mut admin = world.as_superuser();
    let mut set = |words: &str| {
        admin.run(words);
        admin.run("SELECT pg_reload_conf()");
    };
    set("ALTER SYSTEM SET sequin_fdw.allowed_hosts = 'nowhere.example.com'");
    fails_for_long(&world, &mut session);
    let next_try = session.value("SELECT next_try FROM sequin.sync_status");
    set("ALTER SYSTEM RESET sequin_fdw.allowed_hosts");
    is_soon_current(&mut session);
    let early = format!("SELECT clock_timestamp() < '{next_try}'");
    assert_eq!(session.value(&early), "t", "no sooner than {next_try}");
}

#[test]
fn a_mapping_that_is_mended_while_its_old_credentials_are_being_tried_to_describe_another_object() {
    let (world, mut session) = world();
    // The worker is busy with another server's table, and so hears of what is mended at once.
    session.run(&world.server("other", ""));
    session.run(&world.mapping("other"));
    session.run(
        "CREATE SCHEMA other; IMPORT FOREIGN SCHEMA salesforce LIMIT TO (account) FROM SERVER other INTO other;
         SELECT sequin.start_sync('other.account', 'crm.account', every => '100 ms')",
    );
    world.await_current(&mut session, "crm.account");
    let url = world.sandbox.url();
    // The API is at another address by now, so that the object is described first.
    session.run(&format!(
        "ALTER SERVER sf OPTIONS (SET base_url '{}', ADD login_url '{url}');
         ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET client_secret 'wrong')",
        url.replace("127.0.0.1", "localhost")
    ));
    let of = "FROM sequin.sync_status WHERE target = 'crm.contact'::regclass";
    world.await_true(&mut session, &format!("SELECT next_try > clock_timestamp() + interval '13 s' {of}"));
    world.sandbox.fault(Fault::new(Action::Delay(3_500)).path("/oauth2/token").times(1));
    world.sandbox.clear_requests();
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '200 ms')");
    world.await_request("/oauth2/token");
    session.run("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (SET client_secret 'sandbox-secret')");
    // Long before the next try after one more failure.
    let current = || session.value(&format!("SELECT state {of}")) == "current";
    assert!(wait_until(Duration::from_secs(12), current), "{:?}", session.rows("SELECT * FROM sequin.sync_status"));
    world.await_equal(&mut session, "Contact", "crm.contact");
}
