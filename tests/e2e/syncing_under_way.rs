//! Synced tables that change while the API is being read for them: what was read goes nowhere but where it belongs, and
//! runs as nobody but who owns the table then.

use std::time::Duration;

use serde_json::json;

use crate::support::{Action, Config, Fault, Session, World, wait_until};

fn world() -> (World, Session) {
    let world = World::with_worker(Config::new().records("Contact", 60).records("Account", 8));
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
    (world, session)
}

/// Does something while an answer with a record of this name, new at the API, is on its way.
fn during_a_poll(world: &World, name: &str, work: impl FnOnce()) {
    world.sandbox.fault(Fault::new(Action::Delay(4000)).path("/query").times(1));
    // Polls come every 100 ms.
    std::thread::sleep(Duration::from_millis(800));
    work();
    world.upstream().create("Contact", json!({"LastName": name}));
}

#[test]
fn a_read_under_way_does_not_run_the_new_owners_code_as_the_one_before() {
    let (world, mut session) = world();
    let mut admin = world.as_superuser();
    let bob = format!("{}_bob", world.name);
    admin.run(&format!(
        "CREATE ROLE \"{bob}\"; GRANT \"{bob}\" TO \"{}\"; GRANT ALL ON SCHEMA crm TO \"{bob}\"; GRANT USAGE ON SCHEMA salesforce TO \"{bob}\";
         GRANT ALL ON ALL TABLES IN SCHEMA salesforce TO \"{bob}\"; {}",
        world.name,
        world.mapping("sf").replace("CURRENT_USER", &format!("\"{bob}\""))
    ));
    session.run("CREATE TABLE public.ran (by text); GRANT INSERT ON public.ran TO PUBLIC");
    during_a_poll(&world, "New", || {
        session.run(&format!(
            "ALTER TABLE crm.contact OWNER TO \"{bob}\";
             SET ROLE \"{bob}\";
             CREATE FUNCTION crm.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.ran VALUES (current_user); RETURN NEW; END $$;
             CREATE TRIGGER tell BEFORE INSERT ON crm.contact FOR EACH ROW EXECUTE FUNCTION crm.tell();
             RESET ROLE"
        ));
    });
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE last_name = 'New'", "1");
    assert_eq!(session.column("SELECT DISTINCT by FROM public.ran"), [bob.as_str()]);
    session.run(&format!("ALTER TABLE crm.contact OWNER TO \"{}\"", world.name));
}

#[test]
fn what_was_read_for_a_table_does_not_go_into_another_that_has_come_by_its_name() {
    let (world, mut session) = world();
    session.run("CREATE TABLE crm.other (LIKE crm.contact INCLUDING ALL)");
    during_a_poll(&world, "New", || {
        session
            .run("BEGIN; ALTER TABLE crm.contact RENAME TO contacts; ALTER TABLE crm.other RENAME TO contact; COMMIT");
    });
    world.await_value(&mut session, "SELECT count(*) FROM crm.contacts WHERE last_name = 'New'", "1");
    assert_eq!(session.number("SELECT count(*) FROM crm.contact"), 0);
}

#[test]
fn a_column_that_comes_in_the_middle_of_a_filling_is_filled_in_all_rows() {
    let world = World::with_worker(Config::new().records("Contact", 50_000).records("Account", 8).cache_pages(true));
    let mut session = world.connect();
    session.run("CREATE SCHEMA crm; CREATE TABLE crm.contact (id text PRIMARY KEY, last_name text)");
    world.sandbox.set_latency(Duration::from_millis(60));
    session.run(r#"SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '300 ms', options => '{"sweep_every": null}')"#);
    let some = "SELECT count(*) BETWEEN 1 AND 49999 FROM crm.contact";
    assert!(wait_until(Duration::from_secs(30), || session.value(some) == "t"), "the first piece is here");
    session.run("ALTER TABLE crm.contact ADD system_modstamp timestamptz");
    world.sandbox.set_latency(Duration::ZERO);
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact", "50000");
    world.await_value(&mut session, "SELECT count(*) FROM crm.contact WHERE system_modstamp IS NULL", "0");
    world.await_current(&mut session, "crm.contact");
}

#[test]
fn polls_keep_to_their_interval_while_somebody_has_written_or_locks_the_table() {
    let (world, mut session) = world();
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '1 hour')");
    std::thread::sleep(Duration::from_secs(1));
    let mut other = world.connect();
    for held in ["UPDATE crm.contact SET title = title WHERE false", "LOCK TABLE crm.contact IN SHARE MODE"] {
        other.run(&format!("BEGIN; {held}"));
        // Each time it is set anew it is polled once.
        world.sandbox.clear_requests();
        session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '59 minutes')");
        session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '1 hour')");
        world.upstream().create("Contact", json!({"LastName": held.get(..4)}));
        std::thread::sleep(Duration::from_secs(8));
        let requests = world.requests().len();
        assert!(requests <= 8, "{requests} requests while {held}");
        other.run("COMMIT");
    }
}

#[test]
fn a_lock_that_somebody_holds_is_no_failure() {
    let (world, mut session) = world();
    let mut other = world.connect();
    other.run("BEGIN; LOCK TABLE crm.contact IN ACCESS EXCLUSIVE MODE");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(session.value("SELECT state || coalesce(last_error, '') FROM sequin.sync_status"), "current");
    world.upstream().create("Contact", json!({"LastName": "Meanwhile"}));
    other.run("COMMIT");
    let here = "SELECT count(*) FROM crm.contact WHERE last_name = 'Meanwhile'";
    assert!(wait_until(Duration::from_secs(4), || session.value(here) == "1"), "it is read at once");
}

#[test]
fn whoever_has_written_can_refresh_though_the_worker_holds_a_piece_back_for_that_write() {
    let (world, mut session) = world();
    session.run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '1 hour')");
    std::thread::sleep(Duration::from_secs(1));
    session.run(&format!(
        "SET statement_timeout = '10 s'; BEGIN; UPDATE crm.contact SET title = 'Written' WHERE id = '{}'",
        world.sandbox.id("Contact", 1)
    ));
    world.upstream().create("Contact", json!({"LastName": "New"}));
    // What is set anew is polled at once.
    world.connect().run("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '2 hours')");
    std::thread::sleep(Duration::from_secs(3));
    session.run("SELECT sequin.refresh('crm.contact'); COMMIT");
    assert_eq!(session.value("SELECT count(*) FROM crm.contact WHERE last_name = 'New'"), "1");
}
