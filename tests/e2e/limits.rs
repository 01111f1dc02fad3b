//! LIMIT goes to the API only where it cannot cost a row; an early stop ends the requests.

use crate::support::{Config, Copy, World};

fn world() -> World {
    // Several pages, so that a LIMIT in the wrong place shows.
    World::new(Config::new().records("Contact", 900).records("Account", 120).page_size(200))
}

#[test]
fn limit_is_asked_where_all_conditions_are_exact() {
    let world = world();
    let mut session = world.connect();
    let account = world.sandbox.id("Account", 0);
    let mut last_query = |sql: &str| {
        let (_, queries) = world.queries_of(|| session.rows(sql));
        assert_eq!(queries.len(), 1, "{sql}: {queries:?}");
        queries[0].clone()
    };
    assert!(last_query("SELECT id FROM salesforce.contact LIMIT 7").ends_with(" LIMIT 7"));
    assert!(
        last_query(&format!("SELECT id FROM salesforce.contact WHERE account_id = '{account}' LIMIT 7"))
            .ends_with(" LIMIT 7")
    );
    assert!(
        last_query("SELECT id FROM salesforce.contact WHERE score__c > 0 AND do_not_call LIMIT 7")
            .ends_with(" LIMIT 7")
    );
    assert!(last_query("SELECT upper(last_name) FROM salesforce.contact LIMIT 7").ends_with(" LIMIT 7"));
    assert!(last_query("SELECT id FROM salesforce.contact LIMIT 3 + 4").ends_with(" LIMIT 7"));
    assert!(last_query("SELECT id FROM salesforce.contact LIMIT (SELECT 7)").ends_with(" LIMIT 7"));
    // What is skipped here must be fetched before.
    let offset = last_query("SELECT id FROM salesforce.contact LIMIT 7 OFFSET 5");
    assert!(!offset.contains("LIMIT 7") && !offset.contains("OFFSET 0"), "{offset}");
}

#[test]
fn limit_stays_here_where_rows_would_be_lost() {
    let world = world();
    let mut copy = Copy::of(&world, &[("Contact", "contact"), ("Account", "account")]);
    let account = world.sandbox.id("Account", 0);
    copy.session
        .run("PREPARE take (bigint) AS SELECT count(*) FROM (SELECT id FROM salesforce.contact LIMIT $1) AS part");
    // Counts, since which rows a LIMIT without an order returns is open.
    for (name, inner) in [
        ("a condition tested here", "SELECT id FROM salesforce.contact WHERE upper(last_name) = 'SMITH' LIMIT 20".to_owned()),
        ("text, whose case the API ignores", "SELECT id FROM salesforce.contact WHERE last_name = 'Smith' LIMIT 20".to_owned()),
        ("a long text that cannot be filtered by", "SELECT id FROM salesforce.contact WHERE description LIKE '%a%' LIMIT 20".to_owned()),
        ("half a condition", format!("SELECT id FROM salesforce.contact WHERE account_id = '{account}' AND upper(last_name) > 'M' LIMIT 9")),
        ("a join", "SELECT c.id FROM salesforce.contact c JOIN salesforce.account a ON a.id = c.account_id WHERE a.name > 'M' LIMIT 30".to_owned()),
        ("DISTINCT", "SELECT DISTINCT last_name FROM salesforce.contact LIMIT 15".to_owned()),
        ("GROUP BY", "SELECT last_name, count(*) FROM salesforce.contact GROUP BY last_name LIMIT 15".to_owned()),
        ("an aggregate", "SELECT count(*) AS n FROM salesforce.contact LIMIT 1".to_owned()),
        ("HAVING", "SELECT last_name FROM salesforce.contact GROUP BY last_name HAVING count(*) > 20 LIMIT 5".to_owned()),
        ("OFFSET", "SELECT id FROM salesforce.contact LIMIT 50 OFFSET 880".to_owned()),
        ("OFFSET alone", "SELECT id FROM salesforce.contact OFFSET 880".to_owned()),
        ("UNION ALL", "(SELECT id FROM salesforce.contact LIMIT 10) UNION ALL (SELECT id FROM salesforce.account LIMIT 10) LIMIT 15".to_owned()),
        ("a lateral join", "SELECT c.id FROM salesforce.account a, LATERAL (SELECT id FROM salesforce.contact c WHERE c.account_id = a.id LIMIT 1) c LIMIT 25".to_owned()),
        ("EXISTS", "SELECT id FROM salesforce.account a WHERE EXISTS (SELECT FROM salesforce.contact c WHERE c.account_id = a.id LIMIT 1) LIMIT 100".to_owned()),
    ] {
        eprintln!("{name}");
        copy.same(&format!("SELECT count(*), '{}' FROM ({inner}) AS part", name.replace('\'', "")));
    }
    // An order makes the rows themselves comparable.
    for inner in [
        "SELECT id, last_name FROM salesforce.contact ORDER BY last_name COLLATE \"C\", id LIMIT 30",
        "SELECT id FROM salesforce.contact ORDER BY score__c DESC NULLS LAST, id LIMIT 30",
        "SELECT score__c FROM salesforce.contact ORDER BY score__c FETCH FIRST 5 ROWS WITH TIES",
        "SELECT id, count(*) OVER () FROM salesforce.contact ORDER BY id LIMIT 5",
        "SELECT id, row_number() OVER (ORDER BY created_date, id) FROM salesforce.contact ORDER BY id LIMIT 5",
        "SELECT id, generate_series(1, 3) FROM salesforce.contact ORDER BY 1, 2 LIMIT 10",
        "SELECT DISTINCT ON (last_name COLLATE \"C\") last_name, id FROM salesforce.contact ORDER BY last_name COLLATE \"C\", id LIMIT 5",
        "SELECT a.name, c.id FROM salesforce.account a LEFT JOIN salesforce.contact c ON c.account_id = a.id ORDER BY c.id, a.id LIMIT 40",
        "SELECT id FROM salesforce.contact ORDER BY id LIMIT 5 OFFSET 700",
        "SELECT max(id COLLATE \"C\") FROM salesforce.contact GROUP BY account_id ORDER BY 1 LIMIT 5",
    ] {
        copy.same(inner);
    }
}

#[test]
fn windows_and_sets_see_all_rows() {
    let world = world();
    let mut session = world.connect();
    assert_eq!(session.column("SELECT count(*) OVER () FROM salesforce.contact LIMIT 1"), ["900"]);
    assert_eq!(session.rows("SELECT unnest(ARRAY[]::int[]) FROM salesforce.contact LIMIT 5").len(), 0);
    assert_eq!(session.rows("SELECT id, unnest(CASE WHEN right(id, 4) < 'M' THEN ARRAY[]::int[] ELSE ARRAY[1] END) FROM salesforce.contact LIMIT 40").len(), 40);
    assert_eq!(session.rows("SELECT id FROM salesforce.contact WHERE do_not_call IS NOT TRUE LIMIT 40").len(), 40);
}

#[test]
fn row_locks_do_not_lose_rows() {
    let world = world();
    let mut session = world.connect();
    for lock in ["FOR UPDATE", "FOR SHARE", "FOR KEY SHARE SKIP LOCKED"] {
        // Locks cannot be had on records of an API: they are refused, or the rows come all the same.
        match session.try_rows(&format!("SELECT id FROM salesforce.contact WHERE score__c > 0 LIMIT 20 {lock}")) {
            Ok(rows) => assert_eq!(rows.len(), 20, "{lock}"),
            Err(failure) => assert_eq!(failure.code, "0A000", "{lock}: {failure:?}"),
        }
    }
}

#[test]
fn limit_is_a_parameter_null_zero_or_negative() {
    let world = world();
    let mut session = world.connect();
    session.run("SET plan_cache_mode = force_generic_plan");
    session.run("PREPARE take (bigint) AS SELECT id FROM salesforce.contact LIMIT $1");
    for (limit, rows) in [("0", 0), ("1", 1), ("250", 250), ("5000", 900), ("NULL", 900), ("9223372036854775807", 900)]
    {
        let (found, queries) = world.queries_of(|| session.rows(&format!("EXECUTE take ({limit})")).len());
        assert_eq!(found, rows, "LIMIT {limit}");
        match limit {
            "0" => assert!(queries.is_empty(), "{queries:?}"),
            "NULL" => assert!(!queries[0].contains("LIMIT"), "{queries:?}"),
            "1" | "250" => assert!(queries[0].ends_with(&format!(" LIMIT {limit}")), "{queries:?}"),
            _ => {}
        }
    }
    session.fails_with("2201W", "EXECUTE take (-1)");
    for sql in ["SELECT id FROM salesforce.contact LIMIT 0", "SELECT id FROM salesforce.contact LIMIT 0 OFFSET 3"] {
        let (rows, queries) = world.queries_of(|| session.rows(sql));
        assert!(rows.is_empty() && queries.is_empty(), "{sql}: {queries:?}");
    }
    assert_eq!(session.rows("SELECT id FROM salesforce.contact LIMIT NULL").len(), 900);
    assert_eq!(session.rows("SELECT id FROM salesforce.contact LIMIT ALL").len(), 900);
    session.fails_with("2201W", "SELECT id FROM salesforce.contact LIMIT -1");
    session.fails_with("2201X", "SELECT id FROM salesforce.contact OFFSET -1");
}

#[test]
fn limit_with_parameters_in_both_places() {
    let world = world();
    let mut session = world.connect();
    let account = world.sandbox.id("Account", 0);
    session.run("PREPARE take (text, bigint) AS SELECT id FROM salesforce.contact WHERE account_id = $1 LIMIT $2");
    for turn in 1..=10_usize {
        let (rows, queries) = world.queries_of(|| session.rows(&format!("EXECUTE take ('{account}', {turn})")));
        assert_eq!(rows.len(), turn);
        assert_eq!(queries, [format!("SELECT Id FROM Contact WHERE AccountId = '{account}' LIMIT {turn}")]);
    }
}

#[test]
fn an_early_stop_sends_few_requests() {
    let world = World::new(Config::new().records("Contact", 10_000).page_size(200));
    let mut session = world.connect();
    for sql in [
        "SELECT id FROM salesforce.contact WHERE upper(last_name) <> '' LIMIT 10",
        "SELECT EXISTS (SELECT FROM salesforce.contact WHERE upper(last_name) <> '')",
    ] {
        let (_, _) = world.queries_of(|| session.rows(sql));
        assert!(world.requests().len() <= 12, "{sql}: {} requests for 50 pages", world.requests().len());
    }
    session.run("BEGIN");
    session.run("DECLARE c CURSOR FOR SELECT id FROM salesforce.contact");
    world.sandbox.clear_requests();
    assert_eq!(session.rows("FETCH 10 FROM c").len(), 10);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let asked = world.requests().len();
    assert!(asked <= 12, "{asked} requests for ten rows");
    session.run("CLOSE c");
    session.run("COMMIT");
    assert!(world.requests().len() <= asked + 1);
}

#[test]
fn the_first_request_waits_for_the_first_row() {
    let world = world();
    let mut session = world.connect();
    session.run("BEGIN");
    session.run("DECLARE c CURSOR FOR SELECT id FROM salesforce.contact");
    session.run("CLOSE c");
    assert_eq!(session.rows("SELECT id FROM salesforce.contact WHERE (SELECT false)").len(), 0);
    session.run("COMMIT");
    assert!(world.sandbox.requests().is_empty(), "{:?}", world.sandbox.requests());
}

#[test]
fn pages_are_small_where_few_rows_are_taken_and_large_where_all_are() {
    let world = World::new(Config::new().records("Contact", 6_000));
    let mut session = world.connect();
    session.run("ANALYZE salesforce.contact");
    // What the statement before it had under way may arrive late.
    let asked = || {
        let requests = world.requests();
        let first = requests.iter().find(|request| request.path.contains("q=")).expect("a query");
        (first.header("Sforce-Query-Options").unwrap_or_default().to_owned(), requests.len())
    };
    let mut page = |sql: &str| {
        world.sandbox.clear_requests();
        session.rows(sql);
        asked()
    };
    let few = |size: u32| format!("batchSize={size}");
    // The filter, which is Postgres's own, lets all through, one in about three, or hardly any.
    let filter = "SELECT id FROM salesforce.contact WHERE";
    let (size, requests) = page(&format!("{filter} last_name <> '' LIMIT 10"));
    assert!(size == few(200) && requests <= 4, "{size}, {requests} requests");
    assert_eq!(page(&format!("{filter} last_name <> '' LIMIT 10 OFFSET 290")).0, few(600));
    assert_eq!(page(&format!("{filter} upper(last_name) > '' LIMIT 10")).0, few(200));
    assert_eq!(page(&format!("{filter} last_name = 'Smith' AND do_not_call LIMIT 1")).0, few(200));
    assert_eq!(page("SELECT EXISTS (SELECT FROM salesforce.contact WHERE last_name <> '')").0, few(200));
    assert_eq!(page("SELECT (SELECT id FROM salesforce.contact WHERE last_name <> '' LIMIT 1)").0, few(200));
    for all in [
        format!("{filter} last_name <> ''"),
        format!("{filter} last_name <> '' LIMIT 5000"),
        format!("{filter} last_name <> '' ORDER BY last_name LIMIT 10"),
        format!("{filter} initcap(last_name) = 'Nobody' LIMIT 10"),
        "SELECT DISTINCT last_name FROM salesforce.contact LIMIT 1".to_owned(),
        "SELECT count(*) FROM salesforce.contact WHERE last_name <> '' LIMIT 1".to_owned(),
        "SELECT id, count(*) OVER () FROM salesforce.contact LIMIT 1".to_owned(),
        "SELECT id, unnest(ARRAY[1]) FROM salesforce.contact LIMIT 1".to_owned(),
        "SELECT max(id COLLATE \"C\") FROM salesforce.contact LIMIT 1".to_owned(),
    ] {
        assert_eq!(page(&all).0, "", "{all}");
    }
    let ordered = format!("{filter} last_name <> '' ORDER BY created_date LIMIT 10");
    assert_eq!(page(&ordered).0, few(200), "the API sorts");
    session.run("ALTER SERVER sf OPTIONS (ADD page_size '500')");
    let mut page = |sql: &str| {
        world.sandbox.clear_requests();
        session.rows(sql);
        asked().0
    };
    assert_eq!(page(&format!("{filter} last_name <> ''")), few(500));
    assert_eq!(page(&format!("{filter} last_name <> '' LIMIT 10")), few(200));
}
