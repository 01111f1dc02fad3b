//! Synced tables, whatever the API: what users write goes to it first, what others change there arrives, and neither undoes
//! the other.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use postgres::fallible_iterator::FallibleIterator;
use proxy::{Proxy, Request, Schedule};
use serde_json::json;

use crate::support::people::{Crowd, OF_AIRTABLE, OF_SALESFORCE, People};
use crate::support::{Cluster, Fault, Session, is_ours, on_each, wait_until};

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    an_insert_creates_the_record_and_stores_what_the_api_made_of_it,
    inserts_of_many_rows_by_select_values_and_copy_create_each_of_them_once,
    defaults_of_the_table_are_sent_and_default_is_not,
    an_insert_with_a_key_that_is_here_asks_nobody_and_the_conflict_decides,
    an_insert_with_a_key_that_is_not_here_is_refused_before_any_request,
    an_upsert_of_new_and_old_rows_does_each_once,
    merge_inserts_updates_and_deletes,
    five_batches_of_rows_are_updated_and_deleted_in_at_most_ten_writes_each,
    only_fields_that_change_are_sent_and_a_row_that_does_not_change_is_not,
    what_the_api_refuses_fails_the_statement_and_changes_nothing_here,
    keys_read_only_fields_and_truncate_are_refused_before_any_request,
    what_was_sent_before_a_rollback_is_told_and_comes_back_with_the_next_look,
    records_that_are_gone_at_the_api_can_be_deleted_here_and_not_updated,
    users_own_triggers_and_columns_work_and_stay_here,
    a_users_trigger_that_reads_the_foreign_table_during_a_merge_sees_all_of_it,
    at_every_second_inserts_updates_and_deletes_are_seen_within_2500_ms_in_the_median,
    an_idle_minute_costs_at_most_120_requests,
    very_many_changes_at_once_arrive_and_so_do_as_many_deletions,
    every_commit_that_changes_something_is_notified_with_the_number_of_rows,
    a_writer_held_between_its_request_and_its_commit_is_neither_doubled_nor_lost,
    a_writer_held_and_then_rolled_back_leaves_what_the_api_has,
    a_page_read_before_a_delete_and_kept_after_it_does_not_bring_the_record_back,
    a_page_read_before_an_update_or_an_insert_and_kept_after_it_undoes_neither,
    polls_of_a_table_that_is_written_to_during_each_of_them_get_on_all_the_same,
    a_sweep_that_began_before_an_insert_does_not_delete_it_and_one_before_a_delete_does_not_bring_it_back,
}

/// A table that is filled, and looked after no more.
fn still(crowd: &'static Crowd, count: usize) -> (People, Session) {
    let (people, session) = following(crowd, count, "1 hour", r#"{"sweep_every": null}"#);
    // What changed during the filling has been asked for.
    let looked = "SELECT current_at > swept_at FROM sequin.sync WHERE target = 'crm.people'::regclass";
    people.world.await_true(&mut people.world.as_superuser(), looked);
    (people, session)
}

fn following(crowd: &'static Crowd, count: usize, every: &str, options: &str) -> (People, Session) {
    let people = People::in_cluster(crowd, Cluster::preloaded(), count);
    let mut session = people.world.connect();
    people.follow(&mut session, every, options);
    (people, session)
}

fn list(ids: &[String]) -> String {
    ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")
}

fn an_insert_creates_the_record_and_stores_what_the_api_made_of_it(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    let (rows, sent) = people.sent_by(|| {
        session.rows("INSERT INTO crm.people (name, note, place) VALUES ('Ada Lovelace', 'Countess', '+44') RETURNING id, full_name, made > now() - interval '1 minute', _synced_at > now() - interval '1 minute'")
    });
    assert_eq!(sent, [json!({"name": "Ada Lovelace", "note": "Countess", "place": "+44"})]);
    let cells: Vec<_> = rows[0].iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
    assert!(people.held().contains_key(cells[0]), "{cells:?}");
    assert!(cells[1].starts_with("Ada Lovelace"), "{cells:?}");
    assert_eq!(&cells[2..], ["t", "t"]);
    people.equal(&mut session);
}

fn inserts_of_many_rows_by_select_values_and_copy_create_each_of_them_once(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    session.run("CREATE TABLE names (id serial, name text); INSERT INTO names (name) SELECT 'P' || n FROM generate_series(1, 25) AS n");
    assert_eq!(session.count("INSERT INTO crm.people (name, note) SELECT name, NULL FROM names"), 25);
    let values = session.column("INSERT INTO crm.people (name) VALUES ('V1'), ('V2'), ('V3') RETURNING name");
    assert_eq!(values, ["V1", "V2", "V3"]);
    assert_eq!(session.copy("COPY crm.people (name, place) FROM STDIN", "C1\t+44\nC2\t\\N\n"), 2);
    assert_eq!(session.number("SELECT count(*) FROM crm.people"), 70);
    people.equal(&mut session);
}

fn defaults_of_the_table_are_sent_and_default_is_not(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    session.run("ALTER TABLE crm.people ALTER place SET DEFAULT 'Sales'");
    let (_, sent) =
        people.sent_by(|| session.run("INSERT INTO crm.people (name, note, amount) VALUES ('A', DEFAULT, DEFAULT)"));
    assert_eq!(sent, [json!({"name": "A", "place": "Sales"})]);
    people.equal(&mut session);
}

fn an_insert_with_a_key_that_is_here_asks_nobody_and_the_conflict_decides(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    let id = people.id(3);
    let insert = format!("INSERT INTO crm.people (id, name) VALUES ('{id}', 'Twice')");
    let (_, writes) = people.world.writes_of(|| {
        session.fails_with("23505", &insert);
        assert_eq!(session.count(&format!("{insert} ON CONFLICT DO NOTHING")), 0);
        assert_eq!(session.count(&format!("{insert} ON CONFLICT (id) DO NOTHING")), 0);
    });
    assert!(writes.is_empty(), "{writes:#?}");
    let upsert = format!(
        "INSERT INTO crm.people (id, name, note) VALUES ('{id}', 'x', 'Upserted') ON CONFLICT (id) DO UPDATE SET note = excluded.note RETURNING note"
    );
    let (rows, sent) = people.sent_by(|| session.column(&upsert));
    assert_eq!((rows, sent), (vec!["Upserted".to_owned()], vec![json!({"note": "Upserted"})]));
    people.equal(&mut session);
}

fn an_insert_with_a_key_that_is_not_here_is_refused_before_any_request(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    let id = people.others().create(json!({"name": "There"}));
    for conflict in ["", "ON CONFLICT DO NOTHING", "ON CONFLICT (id) DO UPDATE SET note = 'x'"] {
        let sql = format!("INSERT INTO crm.people (id, name) VALUES ('{id}', 'Mine') {conflict}");
        let (failure, writes) = people.world.writes_of(|| session.fails_with("428C9", &sql));
        failure.hints("refresh");
        assert_eq!((failure.column.as_deref(), failure.table.as_deref()), (Some("id"), Some("people")));
        assert!(writes.is_empty(), "{writes:#?}");
    }
    assert_eq!(session.value("SELECT sequin.refresh('crm.people')"), "1");
    people.equal(&mut session);
}

/// One statement that inserts some rows and updates others: both kinds arrive.
fn an_upsert_of_new_and_old_rows_does_each_once(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    let sql = format!(
        "INSERT INTO crm.people (id, name, note) VALUES ('{}', 'x', 'U'), (NULL, 'Fresh', 'N'), ('{}', 'x', 'U') ON CONFLICT (id) DO UPDATE SET note = excluded.note",
        people.id(1),
        people.id(2)
    );
    assert_eq!(session.count(&sql), 3);
    assert_eq!(session.number("SELECT count(*) FROM crm.people"), 41);
    people.equal(&mut session);
}

fn merge_inserts_updates_and_deletes(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    if session.number("SHOW server_version_num") < 150_000 {
        return;
    }
    let (changed, deleted) = (people.id(1), people.id(2));
    session.run(&format!(
        "MERGE INTO crm.people t USING (VALUES ('{changed}', 'Merged', false), ('{deleted}', '', true), ('none', 'New', false)) AS s (id, name, gone) ON t.id = s.id \
         WHEN MATCHED AND s.gone THEN DELETE WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)"
    ));
    assert_eq!(session.value(&format!("SELECT name FROM crm.people WHERE id = '{changed}'")), "Merged");
    assert_eq!(session.value("SELECT count(*) FROM crm.people WHERE name = 'New'"), "1");
    people.equal(&mut session);
}

/// Of Salesforce these are a thousand rows.
fn five_batches_of_rows_are_updated_and_deleted_in_at_most_ten_writes_each(crowd: &'static Crowd) {
    let rows = 5 * crowd.batch;
    let (people, mut session) = still(crowd, rows + 200);
    let some = format!("WHERE id IN (SELECT id FROM crm.people ORDER BY id LIMIT {rows})");
    for statement in ["UPDATE crm.people SET note = 'T' || coalesce(amount, 0)", "DELETE FROM crm.people"] {
        let (count, writes) = people.world.writes_of(|| session.count(&format!("{statement} {some}")));
        assert_eq!(count, rows as u64);
        assert!(writes.len() <= 10, "{} requests for {statement}", writes.len());
        println!(
            "{statement}, {rows} rows: {} writes, {} requests in all",
            writes.len(),
            people.world.requests().len()
        );
        people.equal(&mut session);
    }
}

fn only_fields_that_change_are_sent_and_a_row_that_does_not_change_is_not(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    let id = people.id(4);
    let update = format!("UPDATE crm.people SET note = 'Countess', name = name, place = place WHERE id = '{id}'");
    let (_, sent) = people.sent_by(|| session.run(&update));
    assert_eq!(sent, [json!({"note": "Countess"})]);
    // As an ORM or a GUI saves a row: every column of it.
    let columns = session.value("SELECT string_agg(format('%1$I = s.%1$I', attname), ', ') FROM pg_attribute WHERE attrelid = 'crm.people'::regclass AND attnum > 0");
    let save = format!("UPDATE crm.people t SET {columns} FROM crm.people s WHERE s.id = t.id");
    people.world.sandbox.clear_requests();
    assert_eq!(session.count(&save), 40);
    assert!(people.world.requests().is_empty(), "{:#?}", people.world.requests());
    // Rows that differ in different fields.
    let both = list(&[people.id(5), people.id(6)]);
    let other = people.id(5);
    session.run(&format!("UPDATE crm.people SET note = 'same', place = 'same' WHERE id IN ({both}); UPDATE crm.people SET note = NULL WHERE id = '{other}'"));
    let (_, sent) = people.sent_by(|| session.run(&format!("UPDATE crm.people SET note = 'same', place = CASE id WHEN '{other}' THEN 'same' ELSE 'other' END WHERE id IN ({both})")));
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent.contains(&json!({"note": "same"})) && sent.contains(&json!({"place": "other"})), "{sent:?}");
    people.equal(&mut session);
}

fn what_the_api_refuses_fails_the_statement_and_changes_nothing_here(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    let ids: Vec<String> = (5..10).map(|n| people.id(n)).collect();
    let refuse = |at| people.world.sandbox.fault(Fault::new((crowd.refusal)(at)));
    refuse(0);
    for sql in [
        "INSERT INTO crm.people (name) VALUES ('Refused')".to_owned(),
        format!("UPDATE crm.people SET note = 'Refused' WHERE id = '{}'", ids[0]),
        format!("DELETE FROM crm.people WHERE id = '{}'", ids[0]),
    ] {
        let failure = session.fails(&sql);
        failure.mentions("not today");
        assert_eq!(failure.table.as_deref(), Some("people"), "{failure:#?}");
    }
    // Among several, one.
    people.world.sandbox.clear_faults();
    refuse(3);
    session
        .fails(&format!("UPDATE crm.people SET note = 'Refused' WHERE id IN ({})", list(&ids)))
        .mentions("not today");
    session.fails(&format!("DELETE FROM crm.people WHERE id IN ({})", list(&ids))).mentions("not today");
    people.world.sandbox.clear_faults();
    assert_eq!(session.number("SELECT count(*) FROM crm.people WHERE note IS DISTINCT FROM 'Refused'"), 40);
    people.equal(&mut session);
}

fn keys_read_only_fields_and_truncate_are_refused_before_any_request(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    let one = format!("WHERE id = '{}'", people.id(7));
    let (_, writes) = people.world.writes_of(|| {
        for (column, change) in
            [("id", "id = 'other'"), ("made", "made = now()"), ("full_name", "full_name = 'x', note = 'x'")]
        {
            let failure = session.fails_with("428C9", &format!("UPDATE crm.people SET {change} {one}"));
            assert_eq!(failure.column.as_deref(), Some(column), "{failure:#?}");
        }
        session.fails_with("428C9", "INSERT INTO crm.people (name, full_name) VALUES ('x', 'Given')");
        session.fails_with("0A000", "TRUNCATE crm.people").hints("stop_sync");
        session.fails("TRUNCATE crm.people CASCADE");
    });
    assert!(writes.is_empty(), "{writes:#?}");
    people.equal(&mut session);
}

fn what_was_sent_before_a_rollback_is_told_and_comes_back_with_the_next_look(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    let id = session.value("INSERT INTO crm.people (name) VALUES ('Mine') RETURNING id");
    let (mut session, notices) = people.world.connect_listening();
    session.run(&format!("BEGIN; UPDATE crm.people SET note = 'Outlives' WHERE id = '{id}'; INSERT INTO crm.people (name) VALUES ('Outlives'); ROLLBACK"));
    notices.warning(&mut session).mentions(&id);
    assert_eq!(session.number("SELECT count(*) FROM crm.people WHERE note = 'Outlives' OR name = 'Outlives'"), 0);
    assert_eq!(session.value("SELECT count(*) FROM sequin.unconfirmed()"), "2");
    assert_eq!(session.value("SELECT sequin.refresh('crm.people')"), "2");
    people.equal(&mut session);
    session.run(&format!("BEGIN; SAVEPOINT s; DELETE FROM crm.people WHERE id = '{id}'; ROLLBACK TO s; COMMIT"));
    notices.warning(&mut session).mentions(&id);
    assert_eq!(session.value(&format!("SELECT count(*) FROM crm.people WHERE id = '{id}'")), "1");
    assert_eq!(session.value("SELECT sequin.refresh('crm.people')"), "1");
    people.equal(&mut session);
    // The insert fails here, after the API has done it.
    session.run(
        "CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE check_violation; END $$;
         CREATE TRIGGER forbid AFTER INSERT ON crm.people FOR EACH ROW WHEN (NEW.note = 'Not here') EXECUTE FUNCTION forbid()",
    );
    session.fails_with("23514", "INSERT INTO crm.people (name, note) VALUES ('Created', 'Not here')");
    notices.warning(&mut session);
    assert_eq!(people.count("name", "Created"), 1);
}

fn records_that_are_gone_at_the_api_can_be_deleted_here_and_not_updated(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    let (gone, live) = (people.id(9), people.id(11));
    people.others().delete(&[gone.clone(), people.id(10)]);
    let update = format!("UPDATE crm.people SET note = 'x' WHERE id IN ('{gone}', '{live}')");
    session.fails_with("40001", &update).mentions(&format!("Gone: {gone}.")).hints("refresh");
    session.run("SELECT sequin.refresh('crm.people')");
    people.equal(&mut session);
    people.others().delete(std::slice::from_ref(&live));
    assert_eq!(session.count(&format!("DELETE FROM crm.people WHERE id = '{live}'")), 1);
    people.equal(&mut session);
}

fn users_own_triggers_and_columns_work_and_stay_here(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    session.run(
        "ALTER TABLE crm.people ADD remark text DEFAULT 'fresh', ADD width int GENERATED ALWAYS AS (length(name)) STORED;
         CREATE TABLE audit (at serial, what text, id text);
         CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.place := 'by trigger'; RETURN NEW; END $$;
         CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.audit (what, id) VALUES (TG_OP, coalesce(NEW.id, OLD.id)); RETURN NULL; END $$;
         CREATE TRIGGER stamp BEFORE INSERT ON crm.people FOR EACH ROW EXECUTE FUNCTION stamp();
         CREATE TRIGGER audit AFTER INSERT OR DELETE ON crm.people FOR EACH ROW EXECUTE FUNCTION audit()",
    );
    let insert = "INSERT INTO crm.people (name, remark) VALUES ('Trig', 'mine') RETURNING id, remark, width, place";
    let (rows, sent) = people.sent_by(|| session.rows(insert));
    assert_eq!(sent, [json!({"name": "Trig", "place": "by trigger"})]);
    let cells: Vec<_> = rows[0].iter().map(|cell| cell.clone().unwrap_or_default()).collect();
    assert_eq!(&cells[1..], ["mine", "4", "by trigger"]);
    people.world.sandbox.clear_requests();
    session.run(&format!("UPDATE crm.people SET remark = 'other' WHERE id = '{}'", cells[0]));
    assert!(people.world.requests().is_empty(), "{:#?}", people.world.requests());
    session.run(&format!("DELETE FROM crm.people WHERE id = '{}'", cells[0]));
    let audit = session.column(&format!("SELECT what || (id = '{}') FROM audit ORDER BY at", cells[0]));
    assert_eq!(audit, ["INSERTtrue", "DELETEtrue"]);
    // The API's changes pass the same triggers, and leave what is not theirs alone.
    let id = people.id(1);
    session.run(&format!("UPDATE crm.people SET remark = 'kept' WHERE id = '{id}'"));
    people.others().update(&id, json!({"name": "Changed"}));
    people.others().delete(&[people.id(2)]);
    session.run("SELECT sequin.refresh('crm.people')");
    assert_eq!(session.value(&format!("SELECT remark || width FROM crm.people WHERE id = '{id}'")), "kept7");
    assert_eq!(session.value("SELECT string_agg(what, ',' ORDER BY at) FROM audit"), "INSERT,DELETE,DELETE");
}

fn a_users_trigger_that_reads_the_foreign_table_during_a_merge_sees_all_of_it(crowd: &'static Crowd) {
    let (people, mut session) = still(crowd, 40);
    session.run(
        "CREATE TABLE seen (count bigint);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen SELECT count(*) FROM (SELECT id FROM far.people OFFSET 0) AS c; RETURN NEW; END $$;
         CREATE TRIGGER look BEFORE INSERT OR UPDATE ON crm.people FOR EACH ROW EXECUTE FUNCTION look()",
    );
    people.others().create(json!({"name": "New"}));
    people.others().update(&people.id(1), json!({"note": "Changed"}));
    session.run("SELECT sequin.refresh('crm.people')");
    assert_eq!(session.column("SELECT DISTINCT count FROM seen"), ["41"]);
    people.equal(&mut session);
}

/// How often each kind of change is made.
const CHANGES: u32 = 50;

fn at_every_second_inserts_updates_and_deletes_are_seen_within_2500_ms_in_the_median(crowd: &'static Crowd) {
    let people = People::alone_in(crowd, Cluster::preloaded(), 300);
    let mut session = people.world.connect();
    people.follow(&mut session, "1 second", crowd.deletions);
    let others = people.others();
    let mut waiting: HashMap<(&str, String), Instant> = HashMap::new();
    let mut waits: HashMap<&str, Vec<Duration>> = HashMap::new();
    let begin = Instant::now();
    let mut made = 0;
    while made < CHANGES || !waiting.is_empty() {
        // At moments that have nothing to do with the polls.
        if made < CHANGES && begin.elapsed() >= Duration::from_millis(137) * made {
            let (updated, deleted) = (people.id(made), people.id(150 + made));
            waiting.insert(("insert", others.create(json!({"name": "Timed"}))), Instant::now());
            others.update(&updated, json!({"note": "Timed"}));
            waiting.insert(("update", updated), Instant::now());
            others.delete(std::slice::from_ref(&deleted));
            waiting.insert(("delete", deleted), Instant::now());
            made += 1;
        }
        let mut ids: Vec<String> = waiting.keys().map(|(_, id)| id.clone()).collect();
        ids.push(String::new());
        let sql = format!("SELECT id, coalesce(note = 'Timed', false) FROM crm.people WHERE id IN ({})", list(&ids));
        let rows = session.rows(&sql).into_iter();
        let found: HashMap<String, bool> =
            rows.map(|row| (row[0].clone().unwrap_or_default(), row[1].as_deref() == Some("t"))).collect();
        waiting.retain(|(kind, id), since| {
            let seen = match *kind {
                "insert" => found.contains_key(id),
                "update" => found.get(id) == Some(&true),
                _ => !found.contains_key(id),
            };
            if seen {
                waits.entry(kind).or_default().push(since.elapsed());
            }
            !seen
        });
        assert!(begin.elapsed() < Duration::from_secs(60), "never seen: {waiting:?}");
        thread::sleep(Duration::from_millis(10));
    }
    for (kind, mut waits) in waits {
        waits.sort();
        let median = waits[waits.len() / 2];
        println!("{kind}: median {median:?}, longest {:?}", waits[waits.len() - 1]);
        assert!(median <= Duration::from_millis(2500), "{kind}: {waits:?}");
    }
    people.await_equal(&mut session);
}

/// At most two requests a second. SEQUIN_SYNC_MINUTES measures a whole minute.
fn an_idle_minute_costs_at_most_120_requests(crowd: &'static Crowd) {
    let (people, mut session) = following(crowd, 60, "1 second", "{}");
    let seconds = if std::env::var_os("SEQUIN_SYNC_MINUTES").is_some() { 60 } else { 10 };
    let before = session.number("SELECT requests FROM sequin.sync_status");
    people.world.sandbox.clear_requests();
    thread::sleep(Duration::from_secs(seconds));
    let sent = people.world.sandbox.requests().iter().filter(|request| is_ours(request)).count();
    println!("{sent} requests in {seconds} s");
    assert!(sent as u64 <= 2 * seconds, "{sent} requests: {:#?}", people.world.requests());
    assert!(sent as u64 >= seconds / 2, "it polls: {sent}");
    let counted = session.number("SELECT requests FROM sequin.sync_status") - before;
    assert!((counted - sent as i64).abs() <= 2, "sync_status counts {counted}, the API {sent}");
}

fn very_many_changes_at_once_arrive_and_so_do_as_many_deletions(crowd: &'static Crowd) {
    let many = crowd.very_many;
    let (people, mut session) = following(crowd, many + 100, "1 second", crowd.deletions);
    let ids: Vec<String> = (0..many).map(|n| people.id(n as u32)).collect();
    people.others().update_all(&ids, json!({"note": "Mass"}));
    people.world.await_value(&mut session, "SELECT count(*) FROM crm.people WHERE note = 'Mass'", &many.to_string());
    people.others().delete(&ids);
    people.world.await_value(&mut session, "SELECT count(*) FROM crm.people", "100");
    people.await_equal(&mut session);
}

fn every_commit_that_changes_something_is_notified_with_the_number_of_rows(crowd: &'static Crowd) {
    let (people, mut session) = following(crowd, 60, "300 ms", "{}");
    session.run("LISTEN sequin_sync");
    let mut payloads = Vec::new();
    let mut take = |session: &mut Session| {
        session.run("");
        let mut heard = session.client().notifications();
        let mut iter = heard.iter();
        while let Ok(Some(notification)) = iter.next() {
            payloads.push((notification.channel().to_owned(), notification.payload().to_owned()));
        }
        payloads.clone()
    };
    thread::sleep(Duration::from_secs(1));
    assert!(take(&mut session).is_empty(), "nothing has changed");
    let ids: Vec<String> = (0..7).map(|n| people.id(n)).collect();
    people.others().update_all(&ids, json!({"note": "Heard"}));
    people.world.await_value(&mut session, "SELECT count(*) FROM crm.people WHERE note = 'Heard'", "7");
    let heard = take(&mut session);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].0, "sequin_sync");
    let payload: serde_json::Value = serde_json::from_str(&heard[0].1).expect("JSON");
    let target = session.number("SELECT 'crm.people'::regclass::oid");
    assert_eq!(payload, json!({"target": target, "changed": 7}));
}

fn a_writer_held_between_its_request_and_its_commit_is_neither_doubled_nor_lost(crowd: &'static Crowd) {
    let (people, mut session) = following(crowd, 60, "100 ms", crowd.deletions);
    let mut writer = people.world.connect();
    let (changed, deleted) = (people.id(1), people.id(2));
    writer.run("BEGIN");
    let created = writer.value("INSERT INTO crm.people (name) VALUES ('Held') RETURNING id");
    writer.run(&format!(
        "UPDATE crm.people SET note = 'Held' WHERE id = '{changed}'; DELETE FROM crm.people WHERE id = '{deleted}'"
    ));
    let seen = format!(
        "SELECT (SELECT count(*) FROM crm.people WHERE id = '{created}') || coalesce((SELECT note FROM crm.people WHERE id = '{changed}'), '') || (SELECT count(*) FROM crm.people WHERE id = '{deleted}')"
    );
    let before = session.value(&seen);
    people.world.sandbox.clear_requests();
    for _ in 0..15 {
        thread::sleep(Duration::from_millis(100));
        assert_eq!(session.value(&seen), before, "what is not committed is not seen");
    }
    assert!(!people.world.requests().is_empty(), "the worker has looked meanwhile");
    writer.run("COMMIT");
    assert_eq!(session.value(&seen), "1Held0");
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(100));
        assert_eq!(session.value(&seen), "1Held0", "it stays");
    }
    people.await_equal(&mut session);
    people.world.no_error(&mut session);
}

fn a_writer_held_and_then_rolled_back_leaves_what_the_api_has(crowd: &'static Crowd) {
    let (people, mut session) = following(crowd, 60, "100 ms", crowd.deletions);
    let mut writer = people.world.connect();
    writer.run(&format!(
        "BEGIN; INSERT INTO crm.people (name) VALUES ('Held'); DELETE FROM crm.people WHERE id = '{}'",
        people.id(2)
    ));
    thread::sleep(Duration::from_millis(700));
    writer.run("ROLLBACK");
    people.await_equal(&mut session);
    assert_eq!(session.value("SELECT count(*) FROM crm.people WHERE name = 'Held'"), "1");
    people.world.no_error(&mut session);
}

/// People whose requests pass by a proxy.
fn behind_proxy(crowd: &'static Crowd, every: &str, options: &str) -> (People, Session, Proxy) {
    let people = People::in_cluster(crowd, Cluster::preloaded(), 60);
    let proxy = Proxy::start(people.world.sandbox.url()).expect("the proxy starts");
    let mut session = people.world.connect();
    session.run(&format!("ALTER SERVER {} OPTIONS (SET base_url '{}')", crowd.api.server, proxy.url()));
    people.world.sandbox.set_instance_url(&proxy.url());
    people.world.sandbox.set_page_size(Some(20));
    people.follow(&mut session, every, options);
    (people, session, proxy)
}

/// The next poll is answered this much later. Waits until it is under way.
#[track_caller]
fn hold_a_poll(crowd: &'static Crowd, proxy: &Proxy, held: Duration) {
    proxy.clear_journal();
    proxy.set(Schedule::nth(0, proxy::Action::Delay(held)).only(crowd.polls));
    await_held(proxy);
}

/// Waits until a request that is held has been answered.
#[track_caller]
fn await_held(proxy: &Proxy) {
    let answered = || proxy.journal().iter().any(|entry| entry.action != proxy::Action::Pass && entry.status.is_some());
    assert!(wait_until(Duration::from_secs(10), answered), "a poll is under way");
}

fn a_page_read_before_a_delete_and_kept_after_it_does_not_bring_the_record_back(crowd: &'static Crowd) {
    let (people, mut session, proxy) = behind_proxy(crowd, "100 ms", crowd.deletions);
    let others = people.others();
    let other = people.id(40);
    let note = |id: &str| format!("SELECT coalesce(note, '') FROM crm.people WHERE id = '{id}'");
    for round in 0..3 {
        let (victim, value) = (people.id(round), format!("Round {round}"));
        // A change puts the record on the page.
        others.update(&victim, json!({ "note": value }));
        people.world.await_value(&mut session, &note(&victim), &value);
        others.update(&other, json!({ "note": value }));
        hold_a_poll(crowd, &proxy, Duration::from_millis(1200));
        session.run(&format!("DELETE FROM crm.people WHERE id = '{victim}'"));
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(2000) {
            let here = session.value(&format!("SELECT count(*) FROM crm.people WHERE id = '{victim}'"));
            assert_eq!(here, "0", "round {round}");
            thread::sleep(Duration::from_millis(10));
        }
        proxy.set(Schedule::pass());
        people.world.await_value(&mut session, &note(&other), &value);
    }
    people.await_equal(&mut session);
    people.world.no_error(&mut session);
}

fn a_page_read_before_an_update_or_an_insert_and_kept_after_it_undoes_neither(crowd: &'static Crowd) {
    let (people, mut session, proxy) = behind_proxy(crowd, "100 ms", crowd.deletions);
    let id = people.id(3);
    for round in 0..3 {
        people.others().update(&id, json!({"note": "Older"}));
        hold_a_poll(crowd, &proxy, Duration::from_millis(1000));
        session.run(&format!("UPDATE crm.people SET note = 'Newer {round}' WHERE id = '{id}'"));
        let created = session.value("INSERT INTO crm.people (name) VALUES ('Between') RETURNING id");
        let seen = format!(
            "SELECT (SELECT note FROM crm.people WHERE id = '{id}') || (SELECT count(*) FROM crm.people WHERE id = '{created}')"
        );
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(1800) {
            assert_eq!(session.value(&seen), format!("Newer {round}1"));
            thread::sleep(Duration::from_millis(10));
        }
        proxy.set(Schedule::pass());
    }
    people.await_equal(&mut session);
    people.world.no_error(&mut session);
}

/// Or else each would ask for all that has changed since the first of them.
fn polls_of_a_table_that_is_written_to_during_each_of_them_get_on_all_the_same(crowd: &'static Crowd) {
    let (people, mut session, proxy) = behind_proxy(crowd, "100 ms", r#"{"sweep_every": null}"#);
    let mut admin = people.world.as_superuser();
    let id = people.id(3);
    people.others().update(&id, json!({"note": "Older"}));
    proxy.set(Schedule::always(proxy::Action::Delay(Duration::from_millis(500))).only(crowd.polls));
    let mut reached = Vec::new();
    for round in 0..12 {
        proxy.clear_journal();
        await_held(&proxy);
        session.run(&format!("UPDATE crm.people SET note = 'Newer {round}' WHERE id = '{id}'"));
        reached.push(admin.value("SELECT current_at FROM sequin.sync"));
    }
    // The first may have been under way when all this began.
    reached.drain(..2);
    reached.dedup();
    assert!(reached.len() > 2, "{reached:?}");
    proxy.set(Schedule::pass());
    people.await_equal(&mut session);
    people.world.no_error(&mut session);
}

/// A sweep reads for long, and what it did not see may have been created since.
fn a_sweep_that_began_before_an_insert_does_not_delete_it_and_one_before_a_delete_does_not_bring_it_back(
    crowd: &'static Crowd,
) {
    let (people, mut session, proxy) = behind_proxy(crowd, "200 ms", r#"{"sweep_every": "1 second"}"#);
    let slow = |request: &Request| match (crowd.polls)(request) {
        true => proxy::Action::Pass,
        false => proxy::Action::Delay(Duration::from_millis(150)),
    };
    proxy.set(Schedule::new(slow));
    let (mut made, mut dropped) = (Vec::new(), Vec::new());
    for round in 0..20 {
        made.push(session.value(&format!("INSERT INTO crm.people (name) VALUES ('R{round}') RETURNING id")));
        let victim = people.id(round);
        session.run(&format!("DELETE FROM crm.people WHERE id = '{victim}'"));
        dropped.push(victim);
        for _ in 0..4 {
            let mut here =
                |ids| session.number(&format!("SELECT count(*) FROM crm.people WHERE id IN ({})", list(ids)));
            assert_eq!((here(&made), here(&dropped)), (made.len() as i64, 0), "round {round}");
            thread::sleep(Duration::from_millis(30));
        }
    }
    proxy.set(Schedule::pass());
    people.await_equal(&mut session);
    people.world.no_error(&mut session);
}
