//! What writing does whatever the API: what is sent, in how many requests, what comes back, and what is said of it.

use std::collections::HashSet;
use std::fmt::Write;

use serde_json::json;

use crate::support::people::{Crowd, OF_AIRTABLE, OF_SALESFORCE, People, save};
use crate::support::{Action, Fault, Row, Session, on_each};

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    an_insert_sends_the_named_fields_and_no_other,
    unnamed_and_default_columns_are_not_sent_and_a_local_default_is,
    null_is_sent_where_a_field_can_be_created_and_is_unset_elsewhere,
    a_value_for_a_field_that_cannot_be_created_is_refused_before_any_request,
    an_update_sends_the_fields_that_differ,
    an_update_clears_with_null_and_with_an_empty_text,
    a_row_saved_as_it_is_sends_nothing_and_one_changed_column_sends_one_field,
    a_read_only_field_is_refused_only_if_it_would_change,
    many_rows_are_as_few_requests_as_can_be,
    inserted_rows_return_their_ids_and_values_in_input_order,
    returning_nothing_but_the_id_reads_nothing_back,
    a_copy_is_sent_in_batches,
    a_copy_takes_defaults_conditions_quotes_and_no_rows,
    a_statement_without_rows_sends_nothing_that_writes,
    the_same_key_twice_is_one_change,
    records_that_vanish_while_they_are_updated_do_not_count,
    records_that_vanish_while_they_are_deleted_do_not_count,
    records_that_vanish_are_not_returned,
    a_whole_batch_that_vanishes_counts_nothing,
    an_update_returns_what_the_api_has_afterwards,
    a_delete_returns_what_was_there,
    whole_rows_and_system_columns_are_returned,
    a_value_that_cannot_be_said_keeps_back_its_batch_and_names_the_row,
    an_error_of_postgres_in_a_later_batch_leaves_the_earlier_ones_and_warns,
    a_commit_warns_of_nothing,
    a_rollback_says_what_stays,
    an_error_that_ends_the_transaction_says_what_stays,
    savepoints_settle_their_own_part,
    exception_blocks_say_what_stays_and_the_rest_commits,
    a_lost_answer_to_an_insert_is_08007_and_never_sent_twice,
    a_lost_answer_to_an_update_or_delete_is_asked_again,
    a_read_only_transaction_is_25006_without_a_request,
}

fn methods(people: &People) -> Vec<String> {
    people.world.writes().into_iter().map(|request| request.method).collect()
}

fn an_insert_sends_the_named_fields_and_no_other(crowd: &'static Crowd) {
    let people = People::new(crowd, 5);
    let mut session = people.world.connect();
    let sql = "INSERT INTO far.people (name, note, place) VALUES ('Ada Lovelace', 'Countess', '+44')";
    let (count, sent) = people.sent_by(|| session.count(sql));
    assert_eq!((count, sent), (1, vec![json!({"name": "Ada Lovelace", "note": "Countess", "place": "+44"})]));
    assert_eq!(people.world.requests().len(), 1, "{:#?}", people.world.requests());
    assert_eq!(methods(&people), ["POST"]);
    assert_eq!((people.count("note", "Countess"), people.ids().len()), (1, 6));
}

fn unnamed_and_default_columns_are_not_sent_and_a_local_default_is(crowd: &'static Crowd) {
    let people = People::new(crowd, 5);
    let mut session = people.world.connect();
    let insert =
        "INSERT INTO far.people (name, note, place, id, made) VALUES ('A', DEFAULT, DEFAULT, DEFAULT, DEFAULT)";
    let (_, sent) = people.sent_by(|| session.run(insert));
    assert_eq!(sent, [json!({"name": "A"})]);
    session.run("ALTER FOREIGN TABLE far.people ALTER COLUMN place SET DEFAULT 'from here'");
    let (_, sent) = people.sent_by(|| session.run(insert));
    assert_eq!(sent, [json!({"name": "A", "place": "from here"})]);
    let (_, sent) = people.sent_by(|| session.run("INSERT INTO far.people (name) VALUES ('A'), ('B')"));
    assert_eq!(sent, ["A", "B"].map(|name| json!({"name": name, "place": "from here"})));
    let (_, sent) = people.sent_by(|| session.run("INSERT INTO far.people (name, place) VALUES ('A', NULL)"));
    assert_eq!(sent, [json!({"name": "A", "place": null})]);
    session.run("ALTER FOREIGN TABLE far.people ALTER COLUMN name SET DEFAULT 'nobody'");
    let (_, sent) = people.sent_by(|| session.run("INSERT INTO far.people DEFAULT VALUES"));
    assert_eq!(sent, [json!({"name": "nobody", "place": "from here"})]);
}

fn null_is_sent_where_a_field_can_be_created_and_is_unset_elsewhere(crowd: &'static Crowd) {
    let people = People::new(crowd, 5);
    let mut session = people.world.connect();
    let (more, _): (Vec<_>, Vec<_>) = crowd.read_only.iter().copied().unzip();
    let (_, sent) = people.sent_by(|| {
        session.run(&format!(
            "INSERT INTO far.people (id, full_name, made, {}, name, note) VALUES (NULL, NULL, NULL, {}, 'A', NULL)",
            more.join(", "),
            more.iter().map(|_| "NULL").collect::<Vec<_>>().join(", ")
        ));
    });
    assert_eq!(sent, [json!({"name": "A", "note": null})]);
}

fn a_value_for_a_field_that_cannot_be_created_is_refused_before_any_request(crowd: &'static Crowd) {
    let people = People::new(crowd, 5);
    let mut session = people.world.connect();
    let id = format!("'{}'", people.ids()[0]);
    let common = [("id", id.as_str()), ("full_name", "'Ada'"), ("made", "now()")];
    for (column, value) in common.into_iter().chain(crowd.read_only.iter().copied()) {
        let sql = format!("INSERT INTO far.people (name, {column}) VALUES ('A', {value})");
        let (failure, _) = people.world.writes_of(|| session.fails_with("428C9", &sql));
        assert_eq!(failure.column.as_deref(), Some(column), "{failure:#?}");
        assert_eq!(failure.table.as_deref(), Some("people"), "{failure:#?}");
        assert!(failure.hint.is_some(), "{failure:#?}");
        assert!(people.world.requests().is_empty(), "{column}: {:#?}", people.world.requests());
    }
    assert_eq!(people.ids().len(), 5);
}

fn an_update_sends_the_fields_that_differ(crowd: &'static Crowd) {
    let people = People::new(crowd, 50);
    let mut session = people.world.connect();
    let id = people.ids().swap_remove(3);
    let before = people.held();
    let (count, sent) = people.sent_by(|| {
        session.count(&format!(
            "UPDATE far.people SET name = name, place = place, note = 'Countess', amount = amount WHERE id = '{id}'"
        ))
    });
    assert_eq!((count, sent), (1, vec![json!({"note": "Countess"})]));
    let after = people.held();
    assert_eq!(after[&id]["note"], "Countess");
    for field in ["name", "place", "amount", "flag", "day", "tags"] {
        assert_eq!(after[&id].get(field), before[&id].get(field), "{field}");
    }
}

fn an_update_clears_with_null_and_with_an_empty_text(crowd: &'static Crowd) {
    let people = People::new(crowd, 0);
    let mut session = people.world.connect();
    let id = session.value(&format!(
        "INSERT INTO far.people (name, note, place, amount, tags, day, flag) VALUES ('a', 'b', 'c', 1.5, '{{{}}}', '2024-01-01', true) RETURNING id",
        crowd.tags.join(",")
    ));
    let cleared = ["note", "place", "amount", "tags", "day"];
    assert!(cleared.iter().all(|column| people.held()[&id].contains_key(*column)));
    let (_, sent) = people.sent_by(|| {
        session.run(&format!(
            "UPDATE far.people SET note = NULL, place = '', amount = NULL, tags = '{{}}', day = NULL, flag = NULL WHERE id = '{id}'"
        ));
    });
    assert_eq!(sent.len(), 1);
    assert!(cleared.iter().all(|column| !people.held()[&id].contains_key(*column)), "{:#?}", people.held());
    assert_ne!(people.held()[&id].get("flag").map(String::as_str), Some("true"));
    let same = format!(
        "UPDATE far.people SET note = '', place = NULL, tags = NULL, amount = NULL, flag = false WHERE id = '{id}'"
    );
    let (count, sent) = people.sent_by(|| session.count(&same));
    assert_eq!((count, sent.len()), (1, 0), "it is so already");
}

fn a_row_saved_as_it_is_sends_nothing_and_one_changed_column_sends_one_field(crowd: &'static Crowd) {
    let people = People::new(crowd, 40);
    let mut session = people.world.connect();
    let ids = people.ids();
    for id in &ids {
        let (count, writes) = people.world.writes_of(|| save(&mut session, "far.people", id, &[]));
        assert_eq!((count, writes.len()), (1, 0), "{id}: {writes:#?}");
    }
    let (count, sent) = people.sent_by(|| save(&mut session, "far.people", &ids[7], &[("note", "'changed'")]));
    assert_eq!((count, sent), (1, vec![json!({"note": "changed"})]));
    assert_eq!(people.held()[&ids[7]]["note"], "changed");
}

fn a_read_only_field_is_refused_only_if_it_would_change(crowd: &'static Crowd) {
    let people = People::new(crowd, 10);
    let mut session = people.world.connect();
    let (id, other) = (people.ids().swap_remove(3), people.ids().swap_remove(4));
    for (column, value) in [
        ("id", format!("'{other}'")),
        ("full_name", "full_name || 'x'".to_owned()),
        ("made", "made + interval '1 second'".to_owned()),
        ("made", "NULL".to_owned()),
    ] {
        let sql = format!("UPDATE far.people SET note = 'x', {column} = {value} WHERE id = '{id}'");
        let (failure, writes) = people.world.writes_of(|| session.fails_with("428C9", &sql));
        assert_eq!(failure.column.as_deref(), Some(column), "{failure:#?}");
        assert!(writes.is_empty(), "{column}: {writes:#?}");
    }
    let same =
        format!("UPDATE far.people SET id = id, full_name = full_name, made = made, note = 'x' WHERE id = '{id}'");
    let (count, sent) = people.sent_by(|| session.count(&same));
    assert_eq!((count, sent), (1, vec![json!({"note": "x"})]));
}

fn many_rows_are_as_few_requests_as_can_be(crowd: &'static Crowd) {
    let people = People::new(crowd, 0);
    let mut session = people.world.connect();
    let rows = 50 * crowd.batch;
    let insert = format!(
        "INSERT INTO far.people (name, note) SELECT 'number ' || n, 'bulk' FROM generate_series(1, {rows}) AS n"
    );
    assert_eq!(session.count(&insert), rows as u64);
    assert_eq!((methods(&people), people.world.requests().len()), (vec!["POST".to_owned(); 50], 50));
    let names: HashSet<_> = people.held().into_values().map(|record| record["name"].clone()).collect();
    assert_eq!((names.len(), people.count("note", "bulk")), (rows, rows));
    // Row by row, to the same in all rows, and under a condition that the write makes false.
    for sql in [
        "UPDATE far.people SET place = 'about ' || name",
        "UPDATE far.people SET note = 'constant'",
        "UPDATE far.people SET flag = true WHERE NOT flag",
    ] {
        let (count, writes) = people.world.writes_of(|| session.count(sql));
        assert_eq!((count, writes.len()), (rows as u64, 50), "{sql}");
        assert!(writes.iter().all(|request| request.method == "PATCH"));
    }
    assert_eq!((people.count("note", "constant"), people.count("flag", "true")), (rows, rows));
    assert!(people.held().values().all(|record| record["place"] == format!("about {}", record["name"])));
    session.run(&format!("CREATE TABLE doomed AS SELECT id FROM far.people LIMIT {}", rows - 1));
    let (count, writes) =
        people.world.writes_of(|| session.count("DELETE FROM far.people WHERE id IN (SELECT id FROM doomed)"));
    assert_eq!((count, writes.len()), (rows as u64 - 1, 50));
    assert_eq!((people.ids().len(), session.count("DELETE FROM far.people")), (1, 1));
    assert!(people.ids().is_empty());
}

fn inserted_rows_return_their_ids_and_values_in_input_order(crowd: &'static Crowd) {
    let people = People::new(crowd, 0);
    let mut session = people.world.connect();
    let rows = session.rows(&format!(
        "INSERT INTO far.people (name) SELECT 'number ' || n FROM generate_series(1, {}) AS n RETURNING id, name, full_name",
        crowd.batch * 5 / 2
    ));
    assert!(people.world.requests().len() <= 10, "{:#?}", people.world.requests());
    assert_eq!((people.world.writes().len(), rows.len()), (3, crowd.batch * 5 / 2));
    let held = people.held();
    for (at, row) in rows.iter().enumerate() {
        let name = format!("number {}", at + 1);
        assert_eq!(row[1].as_deref(), Some(name.as_str()));
        assert_eq!(held[row[0].as_deref().unwrap_or_default()]["name"], name);
        assert!(row[2].as_deref().is_some_and(|full| full.contains(&name)), "{row:?}");
    }
}

fn returning_nothing_but_the_id_reads_nothing_back(crowd: &'static Crowd) {
    let people = People::new(crowd, 0);
    let mut session = people.world.connect();
    let count = crowd.batch * 9 / 4;
    let insert = |returning: &str| {
        format!("INSERT INTO far.people (name) SELECT 'n' FROM generate_series(1, {count}) RETURNING {returning}")
    };
    let ids: HashSet<_> = session.column(&insert("id")).into_iter().collect();
    assert_eq!((ids.len(), people.world.requests().len()), (count, 3));
    people.world.sandbox.clear_requests();
    assert_eq!(session.column(&insert("1 + 1")), vec!["2"; count]);
    assert_eq!(people.world.requests().len(), 3, "{:#?}", people.world.requests());
}

fn a_copy_is_sent_in_batches(crowd: &'static Crowd) {
    let people = People::new(crowd, 0);
    let mut session = people.world.connect();
    let count = crowd.batch * 9 / 4;
    let mut lines = String::new();
    for number in 1..=count {
        writeln!(lines, "number {number}\t{}", if number % 2 == 0 { "\\N" } else { "odd" }).expect("a text grows");
    }
    assert_eq!(session.copy("COPY far.people (name, note) FROM STDIN", &lines), count as u64);
    assert_eq!((methods(&people), people.world.requests().len()), (vec!["POST".to_owned(); 3], 3));
    let sizes: Vec<_> = people.world.writes().iter().map(|request| people.sent(request).len()).collect();
    assert_eq!(sizes, [crowd.batch, crowd.batch, count - 2 * crowd.batch]);
    let names: HashSet<_> = people.held().into_values().map(|record| record["name"].clone()).collect();
    assert_eq!((names.len(), people.count("note", "odd")), (count, count.div_ceil(2)));
}

fn a_copy_takes_defaults_conditions_quotes_and_no_rows(crowd: &'static Crowd) {
    let people = People::new(crowd, 0);
    let mut session = people.world.connect();
    session.run("ALTER FOREIGN TABLE far.people ALTER COLUMN place SET DEFAULT 'from here'");
    let csv = format!("name,note,tags\n\"a,\"\"b\"\"\nc\",,\"{{{}}}\"\nskipped,x,\n", crowd.tags.join(","));
    let sql = "COPY far.people (name, note, tags) FROM STDIN (FORMAT csv, HEADER) WHERE name <> 'skipped'";
    let (count, mut sent) = people.sent_by(|| session.copy(sql, &csv));
    assert_eq!((count, sent.len()), (1, 1));
    let tags = sent[0]["tags"].take();
    assert!(crowd.tags.iter().all(|tag| tags.to_string().contains(tag)), "{tags}");
    assert_eq!(sent[0], json!({"name": "a,\"b\"\nc", "place": "from here", "tags": null}));
    let (count, writes) = people.world.writes_of(|| session.copy("COPY far.people (name) FROM STDIN", ""));
    assert_eq!((count, writes.len()), (0, 0));
    let (failure, writes) =
        people.world.writes_of(|| session.try_copy("COPY far.people (name, day) FROM STDIN", "a\t2024-01-01\nb\tx\n"));
    assert_eq!(failure.map_err(|failure| failure.code), Err("22007".to_owned()));
    assert!(writes.is_empty(), "a broken line within the first batch: nothing is sent");
    assert_eq!(people.ids().len(), 1);
}

fn a_statement_without_rows_sends_nothing_that_writes(crowd: &'static Crowd) {
    let people = People::new(crowd, 10);
    let mut session = people.world.connect();
    for sql in [
        "INSERT INTO far.people (name) SELECT 'x' WHERE false",
        "UPDATE far.people SET note = 'x' WHERE name = 'nobody at all'",
        "DELETE FROM far.people WHERE id = 'nonsense'",
        "UPDATE far.people SET note = note",
    ] {
        let (_, writes) = people.world.writes_of(|| session.count(sql));
        assert!(writes.is_empty(), "{sql}: {writes:#?}");
    }
}

fn the_same_key_twice_is_one_change(crowd: &'static Crowd) {
    let count = crowd.batch * 3 / 2;
    let people = People::new(crowd, count);
    let mut session = people.world.connect();
    session.run("CREATE TABLE news AS SELECT id, n FROM far.people, generate_series(1, 3) AS n");
    let update = "UPDATE far.people p SET note = 'from ' || n FROM news WHERE news.id = p.id";
    let (updated, writes) = people.world.writes_of(|| session.count(update));
    assert_eq!(updated, count as u64);
    // Of three times as many rows, in batches.
    assert!(writes.len() <= 5, "{}", writes.len());
    assert_eq!(writes.iter().map(|request| people.sent(request).len()).sum::<usize>(), count);
    let rows = session.rows("DELETE FROM far.people p USING news WHERE news.id = p.id RETURNING p.id");
    assert_eq!((rows.iter().collect::<HashSet<_>>().len(), rows.len()), (count, count));
    assert!(people.ids().is_empty());
}

/// Runs a statement that waits at its first row until three records, one of each batch, which it has read, are deleted by
/// somebody else. Returns its count and their ids.
fn while_three_vanish(people: &People, sql: &str) -> (u64, Vec<String>) {
    let mut session = people.world.connect();
    session.run(
        "CREATE FUNCTION gate() RETURNS boolean VOLATILE LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_advisory_lock_shared(42); PERFORM pg_advisory_unlock_shared(42); RETURN true; END'",
    );
    let mut other = people.world.connect();
    let all = people.ids();
    let ids = [5, people.crowd.batch + 5, all.len() - 1].map(|at| all[at].clone()).to_vec();
    other.run("SELECT pg_advisory_lock(42)");
    people.world.sandbox.clear_requests();
    let count = std::thread::scope(|scope| {
        let running = scope.spawn(|| session.count(sql));
        people.world.await_request(people.crowd.read);
        // The statement waits at the gate once it has the page.
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while other.number(waits) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
        assert_eq!(other.count(&format!("DELETE FROM far.people WHERE id IN ({list})")), 3);
        other.run("SELECT pg_advisory_unlock(42)");
        running.join().expect("it succeeds")
    });
    (count, ids)
}

/// Three batches, once for each way in which the API tells that records are gone.
fn of_whom_some_vanish(crowd: &'static Crowd, check: impl Fn(&People, usize)) {
    let count = crowd.batch * 9 / 4;
    for gone in crowd.gone {
        let people = People::new(crowd, count);
        gone(&people.world.sandbox);
        check(&people, count - 3);
    }
}

fn records_that_vanish_while_they_are_updated_do_not_count(crowd: &'static Crowd) {
    of_whom_some_vanish(crowd, |people, left| {
        let (count, ids) = while_three_vanish(people, "UPDATE far.people SET place = 'd' || gate()");
        assert_eq!((count, people.count("place", "dtrue")), (left as u64, left));
        assert!(people.ids().iter().all(|id| !ids.contains(id)));
    });
}

fn records_that_vanish_while_they_are_deleted_do_not_count(crowd: &'static Crowd) {
    of_whom_some_vanish(crowd, |people, left| {
        let (count, _) = while_three_vanish(people, "DELETE FROM far.people WHERE gate()");
        assert_eq!((count, people.ids().len()), (left as u64, 0));
    });
}

fn records_that_vanish_are_not_returned(crowd: &'static Crowd) {
    for statement in ["UPDATE far.people SET place = 'd' || gate()", "DELETE FROM far.people WHERE gate()"] {
        of_whom_some_vanish(crowd, |people, left| {
            let mut session = people.world.connect();
            session.run("CREATE TABLE seen (id text PRIMARY KEY)");
            let sql = format!(
                "WITH w AS ({statement} RETURNING id, full_name) INSERT INTO seen SELECT id FROM w WHERE full_name IS NULL OR full_name <> 'x'"
            );
            let (count, ids) = while_three_vanish(people, &sql);
            assert_eq!(count, left as u64, "{sql}");
            assert!(session.column("SELECT id FROM seen").iter().all(|id| !ids.contains(id)));
        });
    }
}

fn a_whole_batch_that_vanishes_counts_nothing(crowd: &'static Crowd) {
    for gone in crowd.gone {
        let people = People::new(crowd, 3);
        gone(&people.world.sandbox);
        let mut session = people.world.connect();
        session.run("CREATE FUNCTION vanish() RETURNS boolean VOLATILE LANGUAGE plpgsql AS 'BEGIN DELETE FROM far.people; RETURN true; END'");
        let rows = session.rows("UPDATE far.people SET note = 'x' WHERE vanish() RETURNING id");
        assert!(rows.is_empty() && people.ids().is_empty(), "{rows:?}");
    }
}

fn returned(session: &mut Session, sql: &str) -> Row {
    let mut rows = session.rows(sql);
    assert_eq!(rows.len(), 1, "{sql}");
    rows.swap_remove(0)
}

fn an_update_returns_what_the_api_has_afterwards(crowd: &'static Crowd) {
    let people = People::new(crowd, 10);
    let mut session = people.world.connect();
    let id = people.ids().swap_remove(4);
    let row = returned(
        &mut session,
        &format!(
            "UPDATE far.people SET name = 'Hopper' WHERE id = '{id}' RETURNING id, full_name LIKE '%Hopper%', note, upper(name)"
        ),
    );
    let text = |text: &str| Some(text.to_owned());
    let note = people.held()[&id].get("note").cloned();
    assert_eq!(row, [Some(id.clone()), text("t"), note, text("HOPPER")]);
    // A row that is not sent is what the API has all the same.
    let sql = format!("UPDATE far.people SET name = 'Hopper' WHERE id = '{id}' RETURNING full_name LIKE '%Hopper%'");
    assert_eq!(returned(&mut session, &sql), [text("t")]);
}

fn a_delete_returns_what_was_there(crowd: &'static Crowd) {
    let count = crowd.batch * 9 / 4;
    let people = People::new(crowd, count);
    let mut session = people.world.connect();
    session.run("CREATE TABLE before AS SELECT * FROM far.people");
    let same = session.number(
        "WITH gone AS (DELETE FROM far.people RETURNING *) SELECT count(*) FROM gone JOIN before ON before.* IS NOT DISTINCT FROM gone.*",
    );
    assert_eq!((same, people.ids().len()), (count as i64, 0));
}

fn whole_rows_and_system_columns_are_returned(crowd: &'static Crowd) {
    let people = People::new(crowd, 20);
    let mut session = people.world.connect();
    let row = returned(
        &mut session,
        "INSERT INTO far.people (name) VALUES ('A') RETURNING tableoid::regclass, id, (people).name, (people).id, people",
    );
    assert_eq!(row[0].as_deref(), Some("far.people"));
    assert_eq!((row[2].as_deref(), &row[3]), (Some("A"), &row[1]));
    let id = row[1].clone().unwrap_or_default();
    let whole = session.value(&format!("SELECT people FROM far.people WHERE id = '{id}'"));
    assert_eq!(row[4].as_ref(), Some(&whole));
    let row = returned(
        &mut session,
        &format!(
            "UPDATE far.people SET note = 'T' WHERE id = '{id}' RETURNING tableoid::regclass, (people).note, people.*::text"
        ),
    );
    assert_eq!((row[0].as_deref(), row[1].as_deref()), (Some("far.people"), Some("T")));
    let whole = session.value(&format!("SELECT people::text FROM far.people WHERE id = '{id}'"));
    assert_eq!(row[2].as_ref(), Some(&whole));
    let row = returned(
        &mut session,
        &format!("DELETE FROM far.people WHERE id = '{id}' RETURNING tableoid::regclass, people::text"),
    );
    assert_eq!((row[0].as_deref(), &row[1]), (Some("far.people"), &Some(whole)));
    let rows = session.rows("INSERT INTO far.people (name) SELECT 'B' FROM generate_series(1, 3) RETURNING *");
    assert!(rows.len() == 3 && rows.iter().all(|row| row.contains(&Some("B".to_owned()))));
}

fn a_value_that_cannot_be_said_keeps_back_its_batch_and_names_the_row(crowd: &'static Crowd) {
    let people = People::new(crowd, 0);
    let mut session = people.world.connect();
    let (bad, rows) = (crowd.batch * 5 / 4, crowd.batch * 3 / 2);
    let sql = format!(
        "INSERT INTO far.people (name, day) SELECT 'n', CASE n WHEN {bad} THEN 'infinity' ELSE date '2000-01-01' END FROM generate_series(1, {rows}) AS n"
    );
    let failure = session.fails_with("22003", &sql);
    assert_eq!(failure.column.as_deref(), Some("day"), "{failure:#?}");
    let before = format!("{} records were written before", crowd.batch);
    failure.mentions(&format!("row {bad} of")).mentions(&before);
    assert_eq!(people.ids().len(), crowd.batch);
    let sql = format!(
        "INSERT INTO far.people (name, full_name) SELECT 'n', CASE n WHEN {bad} THEN 'x' END FROM generate_series(1, {rows}) AS n"
    );
    session.fails_with("428C9", &sql).mentions(&format!("row {bad} of")).mentions(&before);
    assert_eq!(people.ids().len(), 2 * crowd.batch);
}

fn an_error_of_postgres_in_a_later_batch_leaves_the_earlier_ones_and_warns(crowd: &'static Crowd) {
    let people = People::new(crowd, 0);
    let (mut session, notices) = people.world.connect_listening();
    let (bad, rows) = (crowd.batch * 5 / 4, crowd.batch * 3 / 2);
    let sql = format!(
        "INSERT INTO far.people (name, amount) SELECT 'n', 1 / (n - {bad}) FROM generate_series(1, {rows}) AS n"
    );
    session.fails_with("22012", &sql);
    assert_eq!(people.ids().len(), crowd.batch);
    notices.warning(&mut session).mentions(&people.told(crowd.batch, "inserted"));
}

fn a_commit_warns_of_nothing(crowd: &'static Crowd) {
    let people = People::new(crowd, 20);
    let (mut session, notices) = people.world.connect_listening();
    session.run("BEGIN; INSERT INTO far.people (name) VALUES ('a'); SAVEPOINT s; UPDATE far.people SET note = 'x'; RELEASE s; COMMIT");
    session.run("DELETE FROM far.people WHERE name = 'a'");
    session.run("BEGIN; SELECT count(*) FROM far.people; ROLLBACK");
    session.run("BEGIN; UPDATE far.people SET note = note; ROLLBACK");
    let notices = notices.take(&mut session);
    assert!(notices.is_empty(), "{notices:#?}");
}

fn a_rollback_says_what_stays(crowd: &'static Crowd) {
    let people = People::new(crowd, 20);
    let (mut session, notices) = people.world.connect_listening();
    session.run("BEGIN");
    let id = session.value("INSERT INTO far.people (name) VALUES ('stays') RETURNING id");
    session.run("ROLLBACK");
    let warning = notices.warning(&mut session);
    assert_eq!(warning.code, "01000", "{warning:#?}");
    assert!(warning.detail.as_deref().is_some_and(|detail| detail.contains(&id)), "{warning:#?}");
    warning.mentions(&people.told(1, "inserted")).hints("sequin.unconfirmed()");
    assert_eq!(people.count("name", "stays"), 1);
    let rows = crowd.batch * 5 / 4;
    session.run(&format!(
        "BEGIN; INSERT INTO far.people (name) SELECT 'n' FROM generate_series(1, {rows}); UPDATE far.people SET place = '1' WHERE name = 'stays'; DELETE FROM far.people WHERE name = 'n'; ROLLBACK"
    ));
    notices
        .warning(&mut session)
        .mentions(&people.told(rows, "inserted"))
        .mentions(&people.told(1, "updated"))
        .mentions(&people.told(rows, "deleted"))
        .mentions(&format!("and {} more", rows - 10));
    assert_eq!((people.ids().len(), people.count("place", "1")), (21, 1));
    session.run("BEGIN; ROLLBACK");
    assert!(notices.take(&mut session).is_empty(), "told once");
}

fn an_error_that_ends_the_transaction_says_what_stays(crowd: &'static Crowd) {
    let people = People::new(crowd, 5);
    let (mut session, notices) = people.world.connect_listening();
    let one = people.told(1, "inserted");
    session.run("BEGIN; INSERT INTO far.people (name) VALUES ('stays')");
    session.fails_with("22012", "SELECT 1 / 0");
    session.run("COMMIT");
    notices.warning(&mut session).mentions(&one);
    // One implicit transaction of several statements.
    session.fails_with("22012", "INSERT INTO far.people (name) VALUES ('stays'); SELECT 1 / 0");
    notices.warning(&mut session).mentions(&one);
    assert_eq!(people.count("name", "stays"), 2);
}

fn savepoints_settle_their_own_part(crowd: &'static Crowd) {
    let people = People::new(crowd, 5);
    let (mut session, notices) = people.world.connect_listening();
    let (one, two) = (people.told(1, "inserted"), people.told(2, "inserted"));
    let insert = |name: &str| format!("INSERT INTO far.people (name) VALUES ('{name}')");
    session.run("BEGIN");
    session.run(&insert("outside"));
    session.run("SAVEPOINT a");
    session.run(&insert("inside"));
    session.run("ROLLBACK TO a");
    notices.warning(&mut session).mentions(&one);
    session.run("COMMIT");
    assert!(notices.take(&mut session).is_empty(), "what was outside is committed");
    session.run("BEGIN; SAVEPOINT a");
    session.run(&insert("released"));
    session.run("SAVEPOINT b");
    session.run(&insert("released too"));
    session.run("RELEASE b; RELEASE a");
    assert!(notices.take(&mut session).is_empty());
    session.run("ROLLBACK");
    notices.warning(&mut session).mentions(&two);
    session.run("BEGIN; SAVEPOINT a; SAVEPOINT b");
    session.run(&insert("nested"));
    session.run("RELEASE b; SAVEPOINT c");
    session.run(&insert("nested"));
    session.run("ROLLBACK TO c");
    notices.warning(&mut session).mentions(&one);
    session.run("ROLLBACK TO a");
    notices.warning(&mut session).mentions(&one);
    session.run("COMMIT");
    assert!(notices.take(&mut session).is_empty());
    assert_eq!(people.ids().len(), 5 + 6);
}

fn exception_blocks_say_what_stays_and_the_rest_commits(crowd: &'static Crowd) {
    let people = People::new(crowd, 5);
    let (mut session, notices) = people.world.connect_listening();
    session.run(
        "DO $$ BEGIN
           INSERT INTO far.people (name) VALUES ('outer');
           BEGIN
             INSERT INTO far.people (name) VALUES ('inner');
             BEGIN
               INSERT INTO far.people (name) VALUES ('innermost');
               INSERT INTO far.people (name, day) VALUES ('never', 'infinity');
             EXCEPTION WHEN numeric_value_out_of_range THEN
               INSERT INTO far.people (name) VALUES ('handler');
             END;
             RAISE division_by_zero;
           EXCEPTION WHEN division_by_zero THEN NULL;
           END;
         END $$",
    );
    let warnings = notices.take(&mut session);
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    warnings[0].mentions(&people.told(1, "inserted"));
    warnings[1].mentions(&people.told(2, "inserted"));
    for name in ["outer", "inner", "innermost", "handler"] {
        assert_eq!(people.count("name", name), 1, "{name}");
    }
    assert!(notices.take(&mut session).is_empty());
}

fn a_lost_answer_to_an_insert_is_08007_and_never_sent_twice(crowd: &'static Crowd) {
    let people = People::new(crowd, 5);
    let mut session = people.world.connect();
    let lost = Fault::new(Action::DropAfter).method("POST").path(&(crowd.write)(&people.world.sandbox));
    people.world.sandbox.fault(lost);
    let insert = "INSERT INTO far.people (name) VALUES ('lost')";
    let (failure, writes) = people.world.writes_of(|| session.fails_with("08007", insert));
    people.world.sandbox.clear_faults();
    assert_eq!((writes.len(), people.count("name", "lost")), (1, 1));
    failure.mentions("lost").mentions("Nobody knows").hints("Look at the records");
    assert_eq!(failure.table.as_deref(), Some("people"), "{failure:#?}");
}

fn a_lost_answer_to_an_update_or_delete_is_asked_again(crowd: &'static Crowd) {
    let people = People::new(crowd, crowd.batch);
    let mut session = people.world.connect();
    for (method, sql) in [("PATCH", "UPDATE far.people SET note = 'twice'"), ("DELETE", "DELETE FROM far.people")] {
        let lost = Fault::new(Action::DropAfter).method(method).path(&(crowd.write)(&people.world.sandbox));
        people.world.sandbox.fault(lost.times(1));
        let (count, writes) = people.world.writes_of(|| session.count(sql));
        assert_eq!((count, writes.len()), (crowd.batch as u64, 2), "{sql}");
    }
    assert!(people.ids().is_empty());
}

fn a_read_only_transaction_is_25006_without_a_request(crowd: &'static Crowd) {
    let people = People::new(crowd, 5);
    let mut session = people.world.connect();
    for sql in
        ["INSERT INTO far.people (name) VALUES ('x')", "UPDATE far.people SET note = 'x'", "DELETE FROM far.people"]
    {
        session.run("BEGIN READ ONLY");
        session.fails_with("25006", sql);
        session.run("ROLLBACK");
    }
    assert!(people.world.sandbox.requests().is_empty(), "{:#?}", people.world.sandbox.requests());
}
