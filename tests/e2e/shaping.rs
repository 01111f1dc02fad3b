//! Order, groups and joins go to the API where that gives the same rows, in as few requests as can be.

use crate::support::{Config, Copy, Fault, World};

fn world() -> World {
    let config = Config::new().records("Contact", 900).records("Account", 120).records("Opportunity", 700);
    let world = World::new(config.page_size(200));
    world.import(&mut world.connect(), "opportunity");
    world
}

const TABLES: [(&str, &str); 3] = [("Contact", "contact"), ("Account", "account"), ("Opportunity", "opportunity")];

/// A statement that is one query, which holds these words.
#[track_caller]
fn one(world: &World, sql: &str, words: &[&str]) {
    let mut session = world.connect();
    let (_, queries) = world.queries_of(|| session.rows(sql));
    assert_eq!(queries.len(), 1, "{sql}: {queries:?}");
    assert!(words.iter().all(|words| queries[0].contains(words)), "{sql}: {queries:?}");
}

#[test]
fn counts_sums_extremes_and_the_newest_are_one_request_each() {
    let world = world();
    let account = world.sandbox.id("Account", 0);
    let count = "SELECT count(*) FROM salesforce.contact";
    one(&world, count, &["SELECT COUNT(Id) agg0 FROM Contact"]);
    one(&world, &format!("{count} WHERE account_id = '{account}'"), &["WHERE AccountId = '"]);
    let sums = "SELECT account_id, sum(amount) FROM salesforce.opportunity GROUP BY account_id";
    one(&world, sums, &["SELECT AccountId, SUM(Amount) agg0 FROM Opportunity GROUP BY AccountId"]);
    one(
        &world,
        "SELECT min(score__c), max(score__c) FROM salesforce.contact",
        &["MIN(Score__c) agg0, MAX(Score__c) agg1"],
    );
    one(&world, "SELECT max(amount) FROM salesforce.opportunity", &[]);
    one(
        &world,
        "SELECT id FROM salesforce.contact ORDER BY created_date DESC LIMIT 10",
        &["ORDER BY CreatedDate DESC NULLS FIRST LIMIT 10"],
    );
    one(
        &world,
        "SELECT id FROM salesforce.contact ORDER BY created_date, birthdate DESC NULLS LAST LIMIT 10 OFFSET 20",
        &["ORDER BY CreatedDate ASC NULLS LAST, Birthdate DESC NULLS LAST LIMIT 30"],
    );
}

#[test]
fn aggregates_are_those_of_a_local_table() {
    let world = world();
    let mut copy = Copy::of(&world, &TABLES);
    for sql in [
        "SELECT count(*), count(score__c), count(DISTINCT birthdate), min(birthdate), max(created_date) FROM salesforce.contact",
        "SELECT trim_scale(sum(score__c)), avg(score__c), min(score__c), max(score__c) FROM salesforce.contact",
        "SELECT account_id, count(*), avg(amount), max(close_date) FROM salesforce.opportunity GROUP BY account_id",
        "SELECT account_id FROM salesforce.opportunity GROUP BY account_id HAVING count(*) > 4 AND max(amount) > 1000",
        "SELECT count(*) + 1, max(amount) - min(amount) FROM salesforce.opportunity GROUP BY account_id, is_closed",
        "SELECT is_closed, sum(amount) > 5 FROM salesforce.opportunity GROUP BY 1 ORDER BY 1",
        "SELECT account_id, count(*) FROM salesforce.opportunity GROUP BY account_id HAVING count(*) IN (3, 4) OR count(*) > 6",
        "SELECT account_id FROM salesforce.opportunity GROUP BY 1 HAVING NOT (count(*) > 4 AND max(close_date) > '2020-01-01')",
        "SELECT account_id FROM salesforce.opportunity GROUP BY 1 HAVING sum(amount) > 100000.5 AND avg(amount) < 60000",
        "SELECT account_id FROM salesforce.opportunity GROUP BY 1 HAVING sum(amount) > count(*) * 20000",
        "SELECT account_id FROM salesforce.opportunity GROUP BY 1 HAVING count(*)::text = '5' OR count(*) = length('four')",
        "SELECT account_id FROM salesforce.opportunity GROUP BY 1 HAVING count(amount) <> 4 AND min(amount) IS NOT NULL",
        "SELECT account_id FROM salesforce.opportunity GROUP BY 1 HAVING count(*) > 4.5 OR account_id IS NULL",
        "SELECT account_id FROM salesforce.opportunity GROUP BY 1 HAVING max(created_date) >= now() - interval '3 years'",
        "SELECT account_id FROM salesforce.opportunity GROUP BY 1 HAVING count(*) > (SELECT 5) OR count(*) < NULL",
        "SELECT count(*) FROM salesforce.opportunity HAVING count(*) > 5",
        "SELECT max(amount) FROM salesforce.opportunity HAVING count(*) > 5000000",
        // Nothing to count, and no group at all.
        "SELECT count(*), sum(amount), max(id) FROM salesforce.opportunity WHERE id = 'nonsense'",
        "SELECT count(*), trim_scale(sum(amount)) FROM salesforce.opportunity WHERE close_date > '3999-12-31'",
        "SELECT account_id, count(*) FROM salesforce.opportunity WHERE id = 'nonsense' GROUP BY account_id",
        "SELECT count(*) FROM salesforce.opportunity WHERE false",
        // What the API would take otherwise than Postgres.
        "SELECT last_name, count(*) FROM salesforce.contact GROUP BY last_name",
        "SELECT count(DISTINCT last_name), max(last_name), min(email) FROM salesforce.contact",
        "SELECT count(*) FILTER (WHERE amount > 100), string_agg(name, ',' ORDER BY id) FROM salesforce.opportunity",
        "SELECT account_id, is_closed, count(*) FROM salesforce.opportunity GROUP BY ROLLUP (account_id, is_closed)",
        "SELECT count(*) FROM salesforce.contact WHERE last_name = 'Smith'",
        "SELECT DISTINCT account_id FROM salesforce.opportunity",
        "SELECT (SELECT count(*) FROM salesforce.contact c WHERE c.account_id = a.id) FROM salesforce.account a",
        "SELECT account_id, count(*), rank() OVER (ORDER BY count(*)) FROM salesforce.contact
         GROUP BY account_id ORDER BY account_id COLLATE \"C\"",
    ] {
        copy.same(sql);
    }
}

#[test]
fn groups_that_having_leaves_out_stay_at_the_api() {
    let world = world();
    let grouped = "SELECT account_id, count(*) FROM salesforce.opportunity GROUP BY account_id HAVING";
    one(&world, &format!("{grouped} count(*) > 4"), &["GROUP BY AccountId HAVING COUNT(Id) > 4"]);
    one(
        &world,
        &format!("{grouped} max(amount) >= 1000 AND avg(amount) > 5 AND sum(amount) <> 7"),
        &["HAVING MAX(Amount) >= 1000"],
    );
    one(
        &world,
        &format!("{grouped} min(close_date) < '2020-01-01' OR (count(*) > 2 AND sum(amount) > 10.5)"),
        &["HAVING MIN(CloseDate) < 2020-01-01 OR (COUNT(Id) > 2 AND SUM(Amount) > 10.5)"],
    );
    let mut session = world.connect();
    session.run("SET plan_cache_mode = force_generic_plan");
    session.run(&format!("PREPARE q (bigint) AS {grouped} count(*) > $1"));
    for (argument, having) in [("4", "HAVING COUNT(Id) > 4"), ("6", "HAVING COUNT(Id) > 6")] {
        let (rows, queries) = world.queries_of(|| session.rows(&format!("EXECUTE q ({argument})")));
        assert!(queries.len() == 1 && queries[0].ends_with(having), "{queries:?}");
        assert_eq!(rows.len(), session.rows(&format!("{grouped} count(*) + 0 > {argument}")).len());
    }
    let (rows, queries) = world.queries_of(|| session.rows("EXECUTE q (NULL)"));
    assert!(rows.is_empty() && queries.is_empty(), "{queries:?}");
    let plan = session.explain("VERBOSE", "EXECUTE q (7)");
    assert!(plan.contains("HAVING COUNT(Id) > $1"), "{plan}");
}

#[test]
fn more_groups_than_the_api_tells_of_are_made_here() {
    let world = World::new(Config::new().records("Contact", 2_500).page_size(2_000));
    let mut copy = Copy::of(&world, &[("Contact", "contact")]);
    copy.same("SELECT id, count(*), max(score__c) FROM salesforce.contact GROUP BY id HAVING count(*) = 1");
    let plan = copy.session.explain("ANALYZE, VERBOSE", "SELECT id, count(*) FROM salesforce.contact GROUP BY id");
    assert!(plan.contains("GROUP BY Id") && plan.contains("HashAggregate"), "{plan}");
}

/// What the API may answer to a query that asks too much of it, and the state that stands for it.
const REFUSALS: [(&str, &str, &str); 6] = [
    ("MALFORMED_QUERY", "unexpected token: GROUP", "XX000"),
    ("MALFORMED_QUERY", "Aggregate query does not support queryMore(), use LIMIT to restrict the results", "54001"),
    ("QUERY_TOO_COMPLICATED", "Query is either selecting too many fields or the filter is too complicated", "54001"),
    ("EXCEEDED_ID_LIMIT", "Aggregate query does not support queryMore()", "54001"),
    ("INVALID_FIELD", "field 'AccountId' can not be grouped in a query call", "0A000"),
    ("OPERATION_TOO_LARGE", "exceeded 100000 distinct who/what's", "54000"),
];

fn refusal((code, message, _): (&str, &str, &str)) -> Fault {
    Fault::status(400, format!(r#"[{{"message":"{message}","errorCode":"{code}"}}]"#))
}

#[test]
fn groups_that_the_api_refuses_are_made_here() {
    let world = world();
    let mut session = world.connect();
    session.run("SET plan_cache_mode = force_generic_plan");
    let sql = "SELECT account_id, count(*), max(amount) FROM salesforce.opportunity WHERE amount > 5
               GROUP BY account_id HAVING count(*) > 2 ORDER BY account_id COLLATE \"C\"";
    session.run(&format!("PREPARE p AS {sql}"));
    let joined = "SELECT a.name, o.n FROM salesforce.account a JOIN (SELECT account_id, count(*) AS n FROM salesforce.opportunity
                  GROUP BY account_id) o ON o.account_id = a.id ORDER BY a.name COLLATE \"C\", o.n";
    let (right, right_joined) = (session.rows(sql), session.rows(joined));
    assert!(right.len() > 10 && right_joined.len() > 10);
    for refused in REFUSALS {
        world.sandbox.fault(refusal(refused).soql("GROUP BY"));
        let (rows, queries) = world.queries_of(|| session.rows(sql));
        assert_eq!(rows, right, "{refused:?}");
        assert_eq!(queries.len(), 2, "{queries:?}");
        for _ in 0..3 {
            assert_eq!(session.rows("EXECUTE p"), right, "{refused:?}");
        }
        assert_eq!(session.rows(joined), right_joined, "{refused:?}");
        world.sandbox.clear_faults();
        assert_eq!(session.rows("EXECUTE p"), right, "after {refused:?}");
    }
    // What fails otherwise fails here too.
    world.sandbox.fault(Fault::status(403, r#"[{"message":"no","errorCode":"INSUFFICIENT_ACCESS"}]"#).soql("GROUP BY"));
    session.fails_with("42501", sql);
}

#[test]
fn one_group_that_the_api_refuses_is_its_own_error() {
    let world = world();
    let mut session = world.connect();
    for refused in REFUSALS {
        world.sandbox.fault(refusal(refused).soql("COUNT("));
        let failure = session.fails_with(refused.2, "SELECT count(*) FROM salesforce.opportunity");
        failure.mentions(refused.0).mentions(&refused.1[..20]).in_request("GET ");
        world.sandbox.clear_faults();
        assert_eq!(session.number("SELECT count(*) FROM salesforce.opportunity"), 700);
    }
}

#[test]
fn text_filters_on_both_sides_of_a_join_are_one_query_that_names_the_relationship() {
    let world = world();
    let sql = "SELECT c.id, a.name FROM salesforce.contact c JOIN salesforce.account a ON a.id = c.account_id
               WHERE c.last_name = 'Smith' AND a.name > 'A' AND a.industry = 'Banking'";
    let plan = world.connect().explain("VERBOSE", sql);
    assert!(plan.contains("Account.Name") && plan.contains("Account.Industry = 'Banking'"), "{plan}");
    one(&world, sql, &["FROM Contact WHERE LastName = 'Smith'", "Account.Id != null"]);
}

#[test]
fn joins_along_references_give_the_rows_of_local_tables() {
    let world = world();
    let mut copy = Copy::of(&world, &TABLES);
    let contact = "FROM salesforce.contact c";
    for sql in [
        format!("SELECT c.id, a.name {contact} JOIN salesforce.account a ON a.id = c.account_id"),
        format!("SELECT c.id, a.name, a.is_deleted {contact} LEFT JOIN salesforce.account a ON c.account_id = a.id"),
        format!("SELECT c.id {contact} LEFT JOIN salesforce.account a ON c.account_id = a.id WHERE a.name IS NULL"),
        format!("SELECT c.id, a.id {contact} LEFT JOIN salesforce.account a ON c.account_id = a.id AND a.active__c"),
        format!("SELECT c.id, a.id {contact} LEFT JOIN salesforce.account a ON c.account_id = a.id AND c.do_not_call"),
        format!("SELECT c.id, a.id {contact} RIGHT JOIN salesforce.account a ON c.account_id = a.id"),
        format!("SELECT c.id, a.id {contact} FULL JOIN salesforce.account a ON c.account_id = a.id"),
        format!("SELECT c.id, a IS NOT NULL {contact} JOIN salesforce.account a ON c.account_id = a.id"),
        format!(
            "SELECT c.email, c.languages__c, c.score__c, a.billing_city, a.annual_revenue {contact} JOIN salesforce.account a ON c.account_id = a.id"
        ),
        format!("SELECT c.id, a.tableoid IS NOT NULL {contact} JOIN salesforce.account a ON c.account_id = a.id"),
        format!(
            "SELECT c.id, a.name, p.name {contact} JOIN salesforce.account a ON a.id = c.account_id
             LEFT JOIN salesforce.account p ON p.id = a.parent_id WHERE c.last_name > a.name OR p.name IS NULL"
        ),
        format!(
            "SELECT c.id, r.last_name, a.name {contact} JOIN salesforce.contact r ON r.id = c.reports_to_id
             JOIN salesforce.account a ON a.id = r.account_id"
        ),
        format!(
            "SELECT a.industry, count(*), max(c.birthdate) {contact} JOIN salesforce.account a ON a.id = c.account_id
             GROUP BY a.industry"
        ),
        format!(
            "SELECT count(*), min(a.created_date) {contact} JOIN salesforce.account a ON a.id = c.account_id
             WHERE a.created_date > '2018-01-01'"
        ),
        format!(
            "SELECT c.id, a.created_date {contact} JOIN salesforce.account a ON a.id = c.account_id
             ORDER BY a.created_date, c.created_date, c.id COLLATE \"C\" LIMIT 50"
        ),
        format!("SELECT a.id FROM salesforce.account a WHERE a.id IN (SELECT account_id {contact} WHERE do_not_call)"),
        format!("SELECT c.id {contact}, salesforce.account a WHERE c.account_id = a.id AND c.id = a.master_record_id"),
        "SELECT o.id, a.name FROM salesforce.opportunity o JOIN salesforce.account a USING (name)".to_owned(),
        // Conditions that need more of a side than its columns.
        format!(
            "SELECT c.id, x.name {contact} LEFT JOIN (SELECT id, 1 AS one, name FROM salesforce.account) x
             ON x.id = c.account_id WHERE x.one IS NULL OR x.name > 'M'"
        ),
        format!(
            "SELECT c.id {contact} LEFT JOIN (SELECT id, coalesce(name, '?') AS name FROM salesforce.account) x
             ON x.id = c.account_id WHERE x.name IS NULL OR x.name = '?'"
        ),
        format!(
            "SELECT c.id, a.name {contact} LEFT JOIN salesforce.account a ON a.id = c.account_id
             WHERE a IS NULL OR a.name > 'M'"
        ),
        format!(
            "SELECT c.id {contact} JOIN salesforce.account a ON a.id = c.account_id WHERE c.* IS DISTINCT FROM NULL"
        ),
        format!(
            "SELECT c.id {contact} LEFT JOIN salesforce.account a ON a.id = c.account_id
             WHERE a.tableoid IS NULL OR c.tableoid = a.tableoid"
        ),
    ] {
        copy.same(&sql);
    }
}

#[test]
fn a_join_with_locks_is_not_the_api_s_and_rows_are_right() {
    let world = world();
    let mut session = world.connect();
    let sql = "SELECT c.id FROM salesforce.contact c JOIN salesforce.account a ON a.id = c.account_id";
    let rows = session.rows(sql).len();
    assert_eq!(session.rows(&format!("{sql} FOR UPDATE")).len(), rows);
    assert!(!session.explain("VERBOSE", &format!("{sql} FOR UPDATE")).contains("Account.Id"));
}

#[test]
fn rows_of_a_local_table_look_up_their_records_if_there_are_few() {
    let world = World::new(Config::new().records("Contact", 20_000).page_size(2_000));
    let mut session = world.connect();
    session.run(
        "CREATE TABLE few AS SELECT id FROM salesforce.contact WHERE birthdate > '1990-01-01' LIMIT 3; ANALYZE few",
    );
    let (rows, queries) =
        world.queries_of(|| session.rows("SELECT c.last_name FROM few JOIN salesforce.contact c ON c.id = few.id"));
    assert_eq!(rows.len(), 3);
    assert_eq!(queries.len(), 3, "{queries:?}");
    assert!(queries.iter().all(|query| query.contains("WHERE Id = '")), "{queries:?}");
    // Many rows read the object once.
    session.run("CREATE TABLE many AS SELECT id FROM salesforce.contact; ANALYZE many");
    let plan = session.explain("COSTS OFF", "SELECT c.last_name FROM many JOIN salesforce.contact c ON c.id = many.id");
    assert!(plan.contains("Hash Join"), "{plan}");
}

#[test]
fn a_cached_lookup_is_not_asked_twice() {
    let world = World::new(Config::new().records("Contact", 20_000).page_size(2_000));
    let mut session = world.connect();
    session.run(
        "CREATE TABLE again AS SELECT id FROM (SELECT id FROM salesforce.contact LIMIT 2) c, generate_series(1, 20);
         ANALYZE again",
    );
    let sql = "SELECT c.last_name FROM again JOIN salesforce.contact c ON c.id = again.id";
    let plan = session.explain("COSTS OFF", sql);
    assert!(plan.contains("Memoize"), "{plan}");
    let (rows, queries) = world.queries_of(|| session.rows(sql));
    assert_eq!((rows.len(), queries.len()), (40, 2), "{queries:?}");
}

#[test]
fn a_column_may_show_a_field_of_the_record_that_a_reference_leads_to() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FOREIGN TABLE by_hand (
           id text OPTIONS (field 'Id', type 'id', key 'true', capabilities 'filter'),
           company text OPTIONS (field 'Account.Name', type 'string', capabilities 'filter'),
           active boolean OPTIONS (field 'Account.Active__c', type 'boolean', capabilities 'filter')
         ) SERVER sf OPTIONS (object 'Contact');
         CREATE TABLE joined AS SELECT c.id, a.name AS company, a.active__c AS active FROM salesforce.contact c
           LEFT JOIN salesforce.account a ON a.id = c.account_id",
    );
    for condition in [
        "true",
        "company = 'Acme'",
        "company IS NULL",
        "company > 'M'",
        "active",
        "NOT active",
        "active IS NULL",
        "active IS NOT NULL",
        "active IS NOT TRUE",
        "active IN (false)",
        "active IS DISTINCT FROM false",
    ] {
        let rows = |table: &str| format!("SELECT id, company, active FROM {table} WHERE {condition}");
        let (one, other) = (rows("by_hand"), rows("joined"));
        let different =
            format!("SELECT count(*) FROM (({one} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {one})) d");
        assert_eq!(session.number(&different), 0, "{condition}");
    }
}

#[test]
fn statements_that_change_local_tables_ask_for_the_columns_that_they_name() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE TABLE own AS SELECT id, NULL::text AS x, 0 AS n FROM salesforce.contact;
         CREATE TABLE lines (id text, line text)",
    );
    for (sql, columns) in [
        (
            "UPDATE own SET x = c.email FROM salesforce.contact c WHERE c.id = own.id AND c.score__c > 0",
            "Id, Email, Score__c",
        ),
        ("DELETE FROM own USING salesforce.contact c WHERE c.id = own.id AND c.last_name = 'Li'", "Id, LastName"),
        ("UPDATE own SET n = 1 FROM salesforce.contact c WHERE c.id = own.id RETURNING c.name", "Id, Name"),
        ("SELECT last_name FROM salesforce.contact WHERE do_not_call FOR UPDATE", "LastName, DoNotCall"),
        ("SELECT o.id, c.phone FROM own o JOIN salesforce.contact c ON c.id = o.id FOR UPDATE OF o", "Id, Phone"),
    ] {
        let (_, queries) = world.queries_of(|| session.rows(sql));
        let list = queries[0].split(" FROM ").next().unwrap_or_default().trim_start_matches("SELECT ");
        let sorted = |list: &str| {
            let mut names: Vec<_> = list.split(", ").map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(sorted(list), sorted(columns), "{sql}: {queries:?}");
    }
    // Whoever names the row gets it.
    for sql in [
        "UPDATE own SET x = c::text FROM salesforce.contact c WHERE c.id = own.id",
        "UPDATE own SET (x, n) = (SELECT c::text, 1) FROM salesforce.contact c WHERE c.id = own.id",
        "UPDATE own SET x = t.line FROM salesforce.contact c, LATERAL (SELECT c::text AS line OFFSET 0) t WHERE c.id = own.id",
        "WITH w AS (UPDATE own SET n = 1 FROM salesforce.contact c WHERE c.id = own.id RETURNING c)
         INSERT INTO lines SELECT 1, w.c::text FROM w",
        "INSERT INTO lines SELECT c.id, c::text FROM salesforce.contact c FOR UPDATE",
        "SELECT c.id FROM salesforce.contact c ORDER BY c FOR UPDATE",
        "SELECT (s.c).id FROM (SELECT c FROM salesforce.contact c FOR UPDATE) s, own WHERE own.id = (s.c).id",
        "UPDATE own SET x = 'yes' FROM salesforce.contact c WHERE c.id = own.id AND c::text LIKE '%Smith%'",
    ] {
        let (_, queries) = world.queries_of(|| session.rows(sql));
        assert!(queries[0].contains("SystemModstamp") && queries[0].contains("MailingStreet"), "{sql}: {queries:?}");
    }
}

#[test]
fn rows_that_are_checked_anew_know_all_that_the_query_tests() {
    let world = world();
    let mut one = world.connect();
    one.run("CREATE TABLE own AS SELECT id, NULL::text AS x, 0 AS n FROM salesforce.contact");
    let tests = "c.score__c > 0 AND c.last_name LIKE '%i%' AND c.email IS NOT NULL";
    let right = one.number(&format!("SELECT count(*) FROM salesforce.contact c WHERE {tests}"));
    assert!(right > 0);
    for (turn, plan) in
        ["SET enable_nestloop = off", "SET enable_hashjoin = off; SET enable_mergejoin = off; RESET enable_nestloop"]
            .into_iter()
            .enumerate()
    {
        one.run(plan);
        let pid = one.pid();
        let mut other = world.connect();
        other.run("BEGIN; UPDATE own SET n = n + 1");
        let update =
            format!("UPDATE own SET x = own.n || c.email FROM salesforce.contact c WHERE c.id = own.id AND {tests}");
        let waiting = std::thread::spawn(move || {
            one.run(&update);
            one
        });
        let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'");
        while other.number(&waits) == 0 && !waiting.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        other.run("COMMIT");
        one = waiting.join().expect("it goes on");
        let changed = format!("SELECT count(*) FROM own WHERE x LIKE '{}%@%'", turn + 1);
        assert_eq!(one.number(&changed), right, "{plan}");
    }
}
