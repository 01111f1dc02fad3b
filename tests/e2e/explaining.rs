//! Planning asks nothing; EXPLAIN shows what would be asked, and EXPLAIN ANALYZE what was.

use crate::support::{Action, Config, Fault, World};

#[test]
fn planning_and_explain_and_prepare_send_nothing() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    for sql in [
        "EXPLAIN SELECT * FROM salesforce.contact",
        "EXPLAIN (VERBOSE) SELECT * FROM salesforce.contact WHERE account_id = '001' LIMIT 10",
        "EXPLAIN (VERBOSE, FORMAT JSON) SELECT count(*) FROM salesforce.contact c JOIN salesforce.account a ON a.id = c.account_id",
        "PREPARE p (text) AS SELECT * FROM salesforce.contact WHERE account_id = $1",
        "EXPLAIN EXECUTE p ('x')",
        "SET plan_cache_mode = force_generic_plan",
        "EXPLAIN (VERBOSE) EXECUTE p ('x')",
        "CREATE VIEW v AS SELECT id FROM salesforce.contact",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    ] {
        session.run(sql);
    }
    assert!(world.sandbox.requests().is_empty(), "{:?}", world.sandbox.requests());
}

#[test]
fn explain_needs_no_credentials() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    session.run("DROP USER MAPPING FOR CURRENT_USER SERVER sf");
    let plan = session.explain("VERBOSE, COSTS OFF", "SELECT id FROM salesforce.contact");
    assert!(plan.contains("Remote Query: SELECT Id FROM Contact"), "{plan}");
}

#[test]
fn explain_verbose_shows_the_soql() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let account = world.sandbox.id("Account", 0);
    let sql = format!("SELECT id, last_name FROM salesforce.contact WHERE account_id = '{account}' LIMIT 100");
    let plan = session.explain("VERBOSE, COSTS OFF", &sql);
    let (rows, queries) = world.queries_of(|| session.rows(&sql));
    assert!(!rows.is_empty());
    assert_eq!(queries.len(), 1);
    assert!(plan.contains(&format!("Remote Query: {}", queries[0])), "{plan}\nbut sent {queries:?}");
    assert!(
        queries[0].contains(&format!("AccountId = '{account}'")) && queries[0].ends_with("LIMIT 100"),
        "{queries:?}"
    );
}

#[test]
fn a_parameter_is_shown_as_one() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    session.run("SET plan_cache_mode = force_generic_plan");
    session.run("PREPARE p (text) AS SELECT id FROM salesforce.contact WHERE account_id = $1");
    let plan = session.column("EXPLAIN (VERBOSE, COSTS OFF) EXECUTE p ('x')").join("\n");
    assert!(plan.contains("Remote Query: SELECT Id FROM Contact WHERE AccountId = $1"), "{plan}");
}

#[test]
fn what_is_not_pushed_is_shown_as_a_filter() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let plan = session.explain(
        "VERBOSE, COSTS OFF",
        "SELECT id FROM salesforce.contact WHERE upper(last_name) = 'SMITH' AND do_not_call LIMIT 5",
    );
    assert!(plan.contains("Filter:") && plan.contains("upper("), "{plan}");
    let remote = plan.lines().find(|line| line.contains("Remote Query")).unwrap_or_default();
    assert!(
        remote.contains("DoNotCall") && !remote.contains("LIMIT") && !remote.to_lowercase().contains("upper"),
        "{plan}"
    );
}

#[test]
fn explain_analyze_counts_requests_rows_bytes_and_retries() {
    let world = World::new(Config::new().records("Contact", 1000).page_size(200));
    let mut session = world.connect();
    world.sandbox.fault(Fault::status(503, "").path("/query").skip(1).times(1));
    let plan =
        session.explain("ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF", "SELECT id, name FROM salesforce.contact");
    let figure = |name: &str| -> i64 {
        let line = plan
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{name}:")))
            .unwrap_or_else(|| panic!("no {name}: {plan}"));
        let text: String = line.chars().filter(char::is_ascii_digit).collect();
        text.parse().unwrap_or_else(|_| panic!("{line}"))
    };
    assert!(plan.contains("actual rows=1000"), "{plan}");
    assert_eq!(figure("Rows Received"), 1000);
    assert_eq!(figure("Retries"), 1);
    assert!((5..=8).contains(&figure("Requests")), "{plan}");
    assert!(figure("Bytes Received") > 10_000, "{plan}");
}

#[test]
fn explain_analyze_of_what_can_match_nothing_asks_nothing() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let plan = session.explain(
        "ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF",
        "SELECT id FROM salesforce.contact WHERE account_id = 'nonsense'",
    );
    assert!(plan.contains("rows=0"), "{plan}");
    assert!(world.queries().is_empty());
}

#[test]
fn a_query_that_hangs_does_not_hang_explain() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    world.sandbox.fault(Fault::new(Action::Hang));
    session.run("SET statement_timeout = '2s'");
    session.explain("VERBOSE", "SELECT * FROM salesforce.contact");
}
