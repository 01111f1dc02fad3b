//! ANALYZE: a fair sample by few requests, and plans that know how many rows to expect.

use std::time::{Duration, Instant};

use crate::support::{Action, Config, Fault, Session, World};

/// What a plan's topmost node expects.
#[track_caller]
fn expected(session: &mut Session, sql: &str) -> f64 {
    let plan = session.explain("COSTS ON", sql);
    let rows = plan.split("rows=").nth(1).and_then(|rest| rest.split_whitespace().next());
    rows.and_then(|rows| rows.parse().ok()).unwrap_or_else(|| panic!("{plan}"))
}

fn known(session: &mut Session) -> i64 {
    session.number("SELECT reltuples FROM pg_class WHERE oid = 'salesforce.contact'::regclass")
}

/// Conditions of several kinds: expected rows are near those that there are.
#[track_caller]
fn expects_what_there_is(session: &mut Session) {
    for condition in [
        "true",
        "do_not_call",
        "birthdate > '1990-01-01'",
        "created_date < '2018-01-01'",
        "lead_source IS NULL",
        "last_name = 'Smith'",
        "upper(last_name) = 'SMITH' OR score__c > 0",
    ] {
        let rows = session.number(&format!("SELECT count(*) FROM salesforce.contact WHERE {condition}")) as f64;
        let guess = expected(session, &format!("SELECT id FROM salesforce.contact WHERE {condition}"));
        assert!(guess > rows * 0.7 && guess < rows * 1.4, "{condition}: {guess} instead of {rows}");
    }
}

#[test]
fn a_small_object_is_analysed_whole_in_as_many_requests_as_it_has_pages() {
    let world = World::new(Config::new().records("Contact", 1_500));
    let mut session = world.connect();
    assert_eq!(known(&mut session), -1);
    session.run("ANALYZE salesforce.contact");
    assert_eq!(world.requests().len(), 1);
    assert_eq!(known(&mut session), 1_500);
    expects_what_there_is(&mut session);
    assert_eq!(session.number("SELECT n_distinct FROM pg_stats WHERE tablename = 'contact' AND attname = 'id'"), -1);
    world.sandbox.set_page_size(Some(200));
    world.sandbox.clear_requests();
    session.run("ANALYZE salesforce.contact");
    assert_eq!(world.requests().len(), 8);
}

#[test]
fn a_large_object_is_analysed_by_pages_from_all_of_its_time() {
    let world = World::alone(Config::new().records("Contact", 60_000));
    let mut session = world.connect();
    session.run("ALTER FOREIGN TABLE salesforce.contact OPTIONS (SET estimated_rows '5')");
    assert!(expected(&mut session, "SELECT id FROM salesforce.contact") <= 5.0, "as the option says");
    session.run("ANALYZE salesforce.contact");
    let asked = world.requests().len();
    assert!((15..=20).contains(&asked), "{asked} requests");
    assert_eq!(known(&mut session), 60_000);
    expects_what_there_is(&mut session);
    let covered = session.value(
        "SELECT (bounds[101] - bounds[1]) > 0.9 * (SELECT max(created_date) - min(created_date) FROM salesforce.contact)
         FROM (SELECT histogram_bounds::text::timestamptz[] AS bounds FROM pg_stats
               WHERE tablename = 'contact' AND attname = 'created_date') AS s",
    );
    assert_eq!(covered, "t");
}

#[test]
fn without_a_date_of_creation_the_first_pages_are_the_sample() {
    let world = World::new(Config::new().records("Contact", 8_000).page_size(200));
    let mut session = world.connect();
    session.run("ALTER FOREIGN TABLE salesforce.contact DROP COLUMN created_date; ANALYZE salesforce.contact");
    assert!(world.requests().len() <= 20, "{} requests", world.requests().len());
    assert_eq!(known(&mut session), 8_000);
}

#[test]
fn a_table_that_has_changed_is_analysed_as_it_is() {
    let world = World::new(Config::new().records("Contact", 900));
    let mut session = world.connect();
    session.run(
        "ALTER FOREIGN TABLE salesforce.contact DROP COLUMN account_id;
         ALTER FOREIGN TABLE salesforce.contact ADD COLUMN again text OPTIONS (field 'LastName', type 'string');
         ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN email SET STATISTICS 0;
         ANALYZE VERBOSE salesforce.contact",
    );
    let query = world.queries().swap_remove(0);
    assert!(!query.contains(" Email,") && !query.contains("AccountId"), "{query}");
    let names = "SELECT array_agg(most_common_vals::text ORDER BY attname) FROM pg_stats
                 WHERE tablename = 'contact' AND attname IN ('again', 'last_name')";
    assert_eq!(session.value(&format!("SELECT a[1] = a[2] FROM ({names}) AS n(a)")), "t");
    session.run("ANALYZE salesforce.contact (last_name)");
    assert_eq!(known(&mut session), 900);
}

#[test]
fn an_empty_object_is_known_to_be_empty() {
    let world = World::new(Config::new().records("Contact", 0));
    let mut session = world.connect();
    session
        .run("ALTER FOREIGN TABLE salesforce.contact OPTIONS (SET estimated_rows '70000'); ANALYZE salesforce.contact");
    assert_eq!(known(&mut session), 0);
    assert!(expected(&mut session, "SELECT id FROM salesforce.contact") <= 1.0);
}

#[test]
fn analyze_ends_when_it_is_told_to_and_keeps_to_max_requests() {
    let world = World::alone(Config::new().records("Contact", 8_000).page_size(200));
    let mut session = world.connect();
    session.run("SELECT id FROM salesforce.contact LIMIT 1; SET statement_timeout = '300ms'");
    for skip in [0, 1, 3] {
        world.sandbox.fault(Fault::new(Action::Hang).path("/query").skip(skip));
        let start = Instant::now();
        session.fails_with("57014", "ANALYZE salesforce.contact");
        assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
        world.sandbox.clear_faults();
    }
    session.run("RESET statement_timeout; SET sequin_fdw.max_requests = 5");
    session.fails_with("53400", "ANALYZE salesforce.contact").mentions("max_requests");
    assert_eq!(known(&mut session), -1);
    session.run("RESET sequin_fdw.max_requests; ANALYZE salesforce.contact");
    assert_eq!(known(&mut session), 8_000);
}

#[test]
fn an_answer_that_fails_fails_analyze_and_leaves_what_was_known() {
    let world = World::new(Config::new().records("Contact", 8_000).page_size(200));
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD max_retries '0'); ANALYZE salesforce.contact");
    for (action, code) in [(Action::DropBefore, "08006"), (Action::Garbage, "HV00M"), (Action::TruncateBody, "08006")] {
        for skip in [0, 2, 9] {
            world.sandbox.fault(Fault::new(action.clone()).path("/query").skip(skip));
            let failure = session.fails_with(code, "ANALYZE salesforce.contact");
            assert_eq!(failure.table.as_deref(), Some("contact"), "{failure:#?}");
            world.sandbox.clear_faults();
        }
    }
    assert_eq!(known(&mut session), 8_000);
}

#[test]
fn analyze_uses_the_owner_s_mapping_and_says_so_if_there_is_none() {
    let world = World::new(Config::new().records("Contact", 300));
    let mut admin = world.as_superuser();
    admin.run("ANALYZE salesforce.contact");
    assert_eq!(known(&mut admin), 300);
    world.connect().run("DROP USER MAPPING FOR CURRENT_USER SERVER sf");
    admin.run(&world.mapping("sf"));
    admin.fails_with("HV00J", "ANALYZE salesforce.contact").mentions(&world.name).hints("CREATE USER MAPPING");
}

#[test]
fn analyze_of_the_whole_database_asks_no_api() {
    let world = World::new(Config::new().records("Contact", 300));
    let mut session = world.connect();
    session.run("CREATE TABLE own AS SELECT generate_series(1, 50) AS n");
    world.sandbox.fault(Fault::new(Action::DropBefore));
    session.run("ANALYZE");
    session.run("VACUUM ANALYZE");
    assert!(world.requests().is_empty(), "{:?}", world.requests());
    assert_eq!(session.number("SELECT reltuples FROM pg_class WHERE relname = 'own'"), 50);
    assert_eq!(known(&mut session), -1);
}

#[test]
fn foreign_children_are_part_of_their_parent_s_statistics() {
    let world = World::new(Config::new().records("Contact", 1_000));
    let mut session = world.connect();
    session.run(
        "CREATE TABLE parent (id text, last_name text);
         INSERT INTO parent SELECT n::text, 'Local' FROM generate_series(1, 500) AS n;
         CREATE FOREIGN TABLE child (id text OPTIONS (field 'Id', type 'id'), last_name text OPTIONS (field 'LastName', type 'string'))
           INHERITS (parent) SERVER sf OPTIONS (object 'Contact', estimated_rows '1000');
         ANALYZE parent",
    );
    let distinct = "SELECT null_frac || ' ' || (most_common_vals::text LIKE '%Local%') || ' ' || cardinality(most_common_freqs) > '0'
                    FROM pg_stats WHERE tablename = 'parent' AND attname = 'last_name' AND inherited";
    assert_eq!(session.value(distinct), "t");
    assert!(expected(&mut session, "SELECT * FROM parent WHERE last_name = 'Local'") > 300.0);
}
