//! `pg_upgrade`: nothing of the extension runs in the servers that it starts, and afterwards everything goes on.
//! <https://www.postgresql.org/docs/current/pgupgrade.html>

use std::fs;
use std::sync::Arc;

use serde_json::json;

use crate::support::{Cluster, Config, Row, Session, World, sorted};

const RECORDS: u32 = 3_000;
const DELETED: usize = 50;
const OTHER_DATABASES: usize = 3;

/// A world in a cluster of its own, with a synced table, and with a table that a trigger of the user's writes to. It takes a
/// transaction id for each row. `pg_upgrade` notes the next id before it starts the old server: rows with later ones come
/// back only as far as the restore in the new cluster happens to use up the same ids.
fn audited() -> (World, Session) {
    let world =
        World::with_worker_in(Cluster::private(&[]), Config::new().records("Contact", RECORDS).records("Account", 8));
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
    session.run(
        "CREATE TABLE public.audit (n bigserial PRIMARY KEY, op text, id text, title text);
         CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           BEGIN
             INSERT INTO public.audit (op, id, title)
             SELECT TG_OP, r.id, r.title FROM (SELECT (CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END).*) AS r;
           EXCEPTION WHEN others THEN RAISE WARNING 'not noted: %', SQLERRM;
           END;
           RETURN NULL;
         END $$;
         CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON crm.contact FOR EACH ROW EXECUTE FUNCTION audit();
         UPDATE crm.contact SET title = 'Before'",
    );
    world.await_equal(&mut session, "Contact", "crm.contact");
    (world, session)
}

fn stop(cluster: &Cluster) {
    assert!(cluster.control(&cluster.data(), &["-m", "fast", "-w", "stop"]), "{}", cluster.log_text());
}

/// Upgrades a cluster that is stopped to another one of the same version, which takes its place.
fn upgrade(cluster: &Arc<Cluster>) {
    let (old, new, port) = (cluster.data(), cluster.directory.join("new"), cluster.port.to_string());
    let mut initdb = cluster.program("initdb");
    initdb.args(["-U", &cluster.user, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-N"]);
    initdb.arg("--pwfile").arg(cluster.directory.join("password")).arg("-D").arg(&new);
    let made = initdb.output().expect("initdb runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let settings = fs::read(old.join("postgresql.conf")).expect("the old server's settings");
    fs::write(new.join("postgresql.conf"), settings).expect("the new server's settings");
    let mut upgrade = cluster.program("pg_upgrade");
    let bin = cluster.programs();
    upgrade.arg("-b").arg(&bin).arg("-B").arg(&bin).arg("-d").arg(&old).arg("-D").arg(&new);
    upgrade.args(["-U", &cluster.user, "-p", &port, "-P", &port]);
    let done = upgrade.output().expect("pg_upgrade runs");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    fs::rename(&old, cluster.directory.join("old")).expect("the old cluster makes room");
    fs::rename(&new, &old).expect("the new cluster takes its place");
}

/// How often each kind of change is in the table that the trigger writes to.
fn audit(session: &mut Session) -> Vec<Row> {
    sorted(session.rows("SELECT op, title, count(*), count(DISTINCT id) FROM audit GROUP BY op, title"))
}

#[test]
fn an_upgrade_loses_no_row_asks_the_api_nothing_and_the_sync_goes_on() {
    let (world, mut session) = audited();
    let mut expected = audit(&mut session);
    drop(session);
    // An upgrade that takes its time.
    let mut admin = world.as_superuser_in("postgres");
    for more in 0..OTHER_DATABASES {
        admin.run(&format!("CREATE DATABASE \"{}_{more}\"", world.name));
    }
    drop(admin);
    stop(world.cluster());
    // So much would be to be done at once.
    let ids: Vec<String> = (0..RECORDS).map(|n| world.sandbox.id("Contact", n)).collect();
    let (deleted, changed) = ids.split_at(DELETED);
    world.upstream().update_all("Contact", changed, &json!({"Title": "Meanwhile"}));
    world.upstream().delete_all(deleted);
    world.sandbox.clear_requests();
    upgrade(world.cluster());
    let asked = world.sandbox.requests();
    world.cluster().start(&world.cluster().data(), world.cluster().port);
    let mut session = world.connect();
    world.await_equal(&mut session, "Contact", "crm.contact");
    for (op, title, rows) in [("UPDATE", "Meanwhile", changed.len()), ("DELETE", "Before", deleted.len())] {
        let rows = Some(rows.to_string());
        expected.push(vec![Some(op.to_owned()), Some(title.to_owned()), rows.clone(), rows]);
    }
    assert_eq!(audit(&mut session), sorted(expected));
    assert_eq!(damage(&world), Vec::<String>::new());
    assert!(asked.is_empty(), "{asked:#?}");
    // It goes on in both directions.
    session.run(&format!("UPDATE crm.contact SET title = 'After' WHERE id = '{}'", changed[0]));
    assert_eq!(world.record("Contact", &changed[0])["Title"].as_deref(), Some("After"));
    world.upstream().update("Contact", &changed[1], json!({"Title": "After that"}));
    world.await_equal(&mut session, "Contact", "crm.contact");
    world.no_error(&mut session);
}

/// What is wrong with the tables of a world's database.
fn damage(world: &World) -> Vec<String> {
    let mut admin = world.as_superuser();
    admin.run("CREATE EXTENSION IF NOT EXISTS amcheck WITH SCHEMA public");
    admin.column(
        "SELECT c.oid::regclass || ': ' || v.msg FROM pg_class c, LATERAL verify_heapam(c.oid, check_toast => true) AS v
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'",
    )
}

#[test]
fn a_server_that_runs_for_an_upgrade_has_no_process_of_ours_and_refuses_whatever_asks_the_api() {
    let (world, session) = audited();
    drop(session);
    let (cluster, id) = (world.cluster(), world.sandbox.id("Contact", 30));
    stop(cluster);
    world.upstream().update("Contact", &id, json!({"Title": "Meanwhile"}));
    world.sandbox.clear_requests();
    let options = format!("-b -p {}", cluster.port);
    let log = cluster.log.to_string_lossy();
    assert!(cluster.control(&cluster.data(), &["-l", &log, "-o", &options, "-w", "start"]), "{}", cluster.log_text());
    // Nobody else may connect.
    let mut session = world.as_superuser();
    session.run(&format!("SET ROLE \"{}\"", world.name));
    for sql in [
        "SELECT count(*) FROM salesforce.contact".to_owned(),
        "SELECT id FROM salesforce.contact LIMIT 1".to_owned(),
        "INSERT INTO salesforce.contact (last_name) VALUES ('Nobody')".to_owned(),
        "UPDATE salesforce.contact SET title = 'Never'".to_owned(),
        format!("DELETE FROM salesforce.contact WHERE id = '{id}'"),
        "ANALYZE salesforce.contact".to_owned(),
        "INSERT INTO crm.contact (last_name) VALUES ('Nobody')".to_owned(),
        "UPDATE crm.contact SET title = 'Never'".to_owned(),
        format!("DELETE FROM crm.contact WHERE id = '{id}'"),
        "SELECT sequin.refresh('crm.contact')".to_owned(),
        "SELECT * FROM sequin.call('sf', 'GET', '/services/data/v62.0/limits')".to_owned(),
        format!("SELECT * FROM sequin.upsert('salesforce.contact', 'id', '[{{\"id\": \"{id}\", \"title\": \"x\"}}]')"),
        "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (opportunity) FROM SERVER sf INTO public".to_owned(),
    ] {
        session.fails_with("0A000", &sql).mentions("upgrade");
    }
    assert!(session.explain("VERBOSE", "SELECT count(*) FROM salesforce.contact").contains("SELECT COUNT(Id)"));
    assert!(session.value("SELECT note FROM sequin.sync_status").contains("no worker runs"));
    let ours = session.rows("SELECT * FROM pg_stat_activity WHERE backend_type LIKE 'sequin%'");
    assert!(ours.is_empty(), "{ours:?}");
    drop(session);
    stop(cluster);
    let asked = world.sandbox.requests();
    assert!(asked.is_empty(), "{asked:#?}");
    cluster.start(&cluster.data(), cluster.port);
    let mut session = world.connect();
    world.await_equal(&mut session, "Contact", "crm.contact");
    world.no_error(&mut session);
}
