//! Synced tables of an API that tells of changes alone: deletions and computed fields arrive by sweeps, over pages that move
//! while they are read.

use std::time::Duration;

use sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::{AIRTABLE, Cluster, Config, Session, World, wait_until};

/// Follows measurements in `crm.measurements`.
fn following(config: Config, every: &str, options: &str) -> (World, Session) {
    let world = World::of_in(&AIRTABLE, Cluster::preloaded(), config.records("Measurements", 250));
    let mut session = world.connect();
    session.run("CREATE SCHEMA crm");
    session.run(&format!(
        "SELECT sequin.start_sync('ops.measurements', 'crm.measurements', every => '{every}', options => '{options}')"
    ));
    world.await_current(&mut session, "crm.measurements");
    // What changed during the filling has been asked for, and what was hidden from it.
    let looked = "SELECT current_at > swept_at AND swept_at > now() - interval '1 day' FROM sequin.sync WHERE target = 'crm.measurements'::regclass";
    world.await_true(&mut world.as_superuser(), looked);
    (world, session)
}

/// Another client of the API's. What it is answered.
fn upstream(sandbox: &Sandbox, method: &str, path: &str, body: &Value) -> Value {
    let table = format!("/v0/{}/{}{path}", sandbox.airtable_base(), sandbox.airtable_table("Measurements"));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, answer) = sandbox.airtable(method, &table, &body);
    assert!(status < 300, "{status} {answer}");
    answer
}

fn name(sandbox: &Sandbox, id: &str, name: &str) {
    upstream(sandbox, "PATCH", &format!("/{id}"), &json!({ "fields": { "Name": name } }));
}

fn create(sandbox: &Sandbox, name: &str) -> String {
    let made = upstream(sandbox, "POST", "", &json!({ "fields": { "Name": name } }));
    made["id"].as_str().expect("a record has an id").to_owned()
}

fn delete(sandbox: &Sandbox, id: &str) {
    upstream(sandbox, "DELETE", &format!("/{id}"), &Value::Null);
}

fn a_change_and_a_new_record_arrive(world: &World, session: &mut Session) {
    let id = session.value("SELECT min(_id) FROM crm.measurements");
    name(&world.sandbox, &id, "changed");
    let new = create(&world.sandbox, "new");
    world.await_value(session, &format!("SELECT name FROM crm.measurements WHERE _id = '{id}'"), "changed");
    world.await_value(
        session,
        &format!("SELECT coalesce(min(name), '') FROM crm.measurements WHERE _id = '{new}'"),
        "new",
    );
}

#[test]
fn what_is_made_and_changed_arrives_with_the_next_poll_of_one_request() {
    let (world, mut session) = following(Config::new(), "300 ms", r#"{"sweep_every": "1 hour"}"#);
    a_change_and_a_new_record_arrive(&world, &mut session);
    world.sandbox.clear_requests();
    std::thread::sleep(Duration::from_secs(3));
    let requests = world.requests().len();
    // At every 300 ms, and a long look back now and then.
    assert!((5..=12).contains(&requests), "{requests}");
    assert!(world.formulas().iter().all(|formula| formula.contains("LAST_MODIFIED_TIME()")), "{:?}", world.formulas());
}

#[test]
fn an_api_that_does_not_know_when_records_changed_is_read_whole() {
    let config = Config::new().airtable(|switches| switches.last_modified_without_field = false);
    let (world, mut session) = following(config, "300 ms", r#"{"sweep_every": "1 hour"}"#);
    a_change_and_a_new_record_arrive(&world, &mut session);
    assert_eq!(session.value("SELECT coalesce(last_error, 'none') FROM sequin.sync_status"), "none");
}

#[test]
fn deletions_arrive_with_a_sweep_or_a_refresh() {
    let (world, mut session) = following(Config::new(), "300 ms", r#"{"sweep_every": "1 second"}"#);
    let id = session.value("SELECT min(_id) FROM crm.measurements");
    delete(&world.sandbox, &id);
    world.await_value(&mut session, &format!("SELECT count(*) FROM crm.measurements WHERE _id = '{id}'"), "0");
    session.run("SELECT sequin.start_sync('ops.measurements', 'crm.measurements', every => '1 hour', options => '{\"sweep_every\": null}')");
    let id = session.value("SELECT min(_id) FROM crm.measurements");
    delete(&world.sandbox, &id);
    let new = create(&world.sandbox, "new");
    // The worker may have seen them already.
    session.run("SELECT sequin.refresh('crm.measurements')");
    assert_eq!(session.column(&format!("SELECT name FROM crm.measurements WHERE _id IN ('{id}', '{new}')")), ["new"]);
    assert_eq!(session.number("SELECT count(*) FROM crm.measurements"), 250 - 2 + 1);
}

#[test]
fn a_record_that_a_moving_page_hides_from_a_sweep_is_asked_for_by_name_and_stays() {
    let (world, mut session) = following(
        Config::new().airtable(|switches| (switches.stable_pages, switches.arbitrary_order) = (false, false)),
        "1 hour",
        r#"{"sweep_every": null}"#,
    );
    let ids = session.column("SELECT _id FROM ops.measurements");
    world.sandbox.clear_requests();
    world.sandbox.set_latency(Duration::from_millis(400));
    let refreshed = std::thread::scope(|scope| {
        let mut other = world.connect();
        let refresh = scope.spawn(move || other.number("SELECT sequin.refresh('crm.measurements')"));
        // Once the first page is answered, and before the second is read.
        assert!(wait_until(Duration::from_secs(10), || world.lists().len() == 2));
        for id in &ids[..7] {
            delete(&world.sandbox, id);
        }
        refresh.join().expect("it works")
    });
    world.sandbox.set_latency(Duration::ZERO);
    let asked = world.formulas();
    // The seven that were hidden are found; the seven that are gone were seen, and go with the next sweep.
    assert!(asked.iter().any(|formula| formula.contains("RECORD_ID()")), "{asked:?}");
    assert_eq!(refreshed, 0);
    assert_eq!(session.number("SELECT count(*) FROM crm.measurements"), 250);
    assert_eq!(session.number("SELECT sequin.refresh('crm.measurements')"), 7);
    let left = session.column("SELECT _id FROM crm.measurements");
    assert!(ids[7..].iter().all(|id| left.contains(id)) && left.len() == 243, "{}", left.len());
}

#[test]
fn a_record_that_a_moving_page_hides_from_a_filling_comes_with_the_sweep_after_it() {
    let config = Config::new().records("Measurements", 250);
    let config = config.airtable(|switches| (switches.stable_pages, switches.arbitrary_order) = (false, false));
    let world = World::of_in(&AIRTABLE, Cluster::preloaded(), config);
    let mut session = world.connect();
    let ids = session.column("SELECT _id FROM ops.measurements");
    world.sandbox.set_latency(Duration::from_millis(400));
    world.sandbox.clear_requests();
    session.run("CREATE SCHEMA crm; SELECT sequin.start_sync('ops.measurements', 'crm.measurements', every => '1 hour', options => '{\"sweep_every\": \"1 hour\"}')");
    // Once the first page is answered: the position, and two pages asked for.
    assert!(wait_until(Duration::from_secs(10), || world.lists().len() >= 3));
    for id in &ids[..7] {
        delete(&world.sandbox, id);
    }
    world.sandbox.set_latency(Duration::ZERO);
    let gone = format!("SELECT count(*) FROM crm.measurements WHERE _id IN ('{}')", ids[..7].join("', '"));
    world.await_value(&mut session, "SELECT count(*) > 0 FROM crm.measurements", "t");
    world.await_value(&mut session, &gone, "0");
    let here = session.column("SELECT _id FROM crm.measurements");
    assert!(ids[7..].iter().all(|id| here.contains(id)) && here.len() == 243, "{}", here.len());
}

#[test]
fn computed_fields_arrive_with_a_sweep() {
    let world = World::of_in(&AIRTABLE, Cluster::preloaded(), Config::new());
    let mut session = world.connect();
    session.run(r#"CREATE SCHEMA crm; SELECT sequin.start_sync('ops.companies', 'crm.companies', every => '300 ms', options => '{"sweep_every": "1 second"}')"#);
    world.await_current(&mut session, "crm.companies");
    let id = session.value("SELECT min(_id) FROM crm.companies WHERE name IS NOT NULL");
    let count = format!("SELECT coalesce(headcount, 0) FROM crm.companies WHERE _id = '{id}'");
    let before = session.number(&count);
    session.run(&format!("INSERT INTO ops.people (name, company) VALUES ('x', ARRAY['{id}'])"));
    world.await_value(&mut session, &count, &(before + 1).to_string());
}

#[test]
fn writes_go_to_the_api_first_ten_in_a_request() {
    let (world, mut session) = following(Config::new(), "1 hour", "{}");
    let id = session.value("INSERT INTO crm.measurements (name, count) VALUES ('mine', 7) RETURNING _id");
    assert!(id.starts_with("rec"), "{id}");
    let writes = |session: &mut Session, sql: &str| {
        world.sandbox.clear_requests();
        let count = session.count(sql);
        let writes = world.requests().into_iter().filter(|request| !request.path.ends_with("listRecords")).count();
        (count, writes)
    };
    let chosen = "_id IN (SELECT _id FROM crm.measurements ORDER BY _id LIMIT 25)";
    assert_eq!(
        writes(&mut session, &format!("UPDATE crm.measurements SET count = 3, name = 'all' WHERE {chosen}")),
        (25, 3)
    );
    assert_eq!(writes(&mut session, &format!("DELETE FROM crm.measurements WHERE {chosen}")), (25, 3));
    assert_eq!(session.number("SELECT count(*) FROM ops.measurements"), 226);
    session.fails_with("428C9", "UPDATE crm.measurements SET _created_time = now()");
    let both = "SELECT count(*) FROM (SELECT _id, name, count, day, at FROM ops.measurements EXCEPT SELECT _id, name, count, day, at FROM crm.measurements) AS differs";
    assert_eq!(session.number(both), 0);
}
