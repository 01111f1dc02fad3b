//! What is asked of the API: only the needed columns, the conditions it can answer, parameters like literals.

use crate::support::{Config, World, sorted};

#[test]
fn only_the_needed_columns_are_asked_for() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let mut asks = |sql: &str| {
        let (_, queries) = world.queries_of(|| session.rows(sql));
        assert_eq!(queries.len(), 1, "{sql}: {queries:?}");
        queries[0].clone()
    };
    assert_eq!(asks("SELECT last_name FROM salesforce.contact"), "SELECT LastName FROM Contact");
    assert_eq!(asks("SELECT name, id FROM salesforce.contact WHERE upper(title) = 'X'").matches(',').count(), 2);
    let counted = asks("SELECT count(*) FROM salesforce.contact");
    assert!(!counted.contains("Description") && !counted.contains("LastName"), "{counted}");
    let whole = asks("SELECT * FROM salesforce.contact");
    assert!(whole.contains("Description") && whole.contains("MailingAddress"), "{whole}");
}

#[test]
fn conditions_that_the_api_can_answer_are_asked() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let account = world.sandbox.id("Account", 0);
    let other = world.sandbox.id("Account", 1);
    let mut where_of = |condition: &str| {
        let (_, queries) =
            world.queries_of(|| session.rows(&format!("SELECT id FROM salesforce.contact WHERE {condition}")));
        assert_eq!(queries.len(), 1, "{condition}: {queries:?}");
        match queries[0].split_once(" FROM Contact WHERE ") {
            Some((_, pushed)) => pushed.to_owned(),
            None => panic!("{condition}: {queries:?}"),
        }
    };
    assert_eq!(where_of(&format!("account_id = '{account}'")), format!("AccountId = '{account}'"));
    for condition in
        [format!("account_id IN ('{account}', '{other}')"), format!("account_id = ANY (ARRAY['{account}', '{other}'])")]
    {
        let pushed = where_of(&condition);
        assert!(
            pushed.starts_with("AccountId IN (") && pushed.contains(&account) && pushed.contains(&other),
            "{pushed}"
        );
    }
    assert_eq!(where_of("account_id IS NULL"), "AccountId = null");
    assert_eq!(where_of("account_id IS NOT NULL"), "AccountId != null");
    assert_eq!(where_of("score__c > 1.5"), "Score__c > 1.5");
    assert!(where_of("birthdate >= '2000-01-01'").contains("Birthdate >= 2000-01-01"));
    assert!(where_of("created_date < '2020-01-01T00:00:00Z'").contains("CreatedDate < 2020-01-01T00:00:00"));
    assert!(where_of("do_not_call").starts_with("DoNotCall"));
    assert!(where_of("NOT do_not_call").starts_with("DoNotCall"));
    let both = where_of(&format!("account_id = '{account}' AND score__c > 0"));
    assert!(both.contains("AccountId = ") && both.contains(" AND ") && both.contains("Score__c > 0"), "{both}");
    let either = where_of(&format!("(account_id = '{account}' OR score__c > 0)"));
    assert!(either.contains(" OR "), "{either}");
    // Text: asked for, and tested again here, since the API ignores case.
    let text = where_of("last_name = 'O''Brien'");
    assert!(text.contains("LastName = 'O\\'Brien'"), "{text}");
}

#[test]
fn conditions_that_it_cannot_answer_stay_here() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    for condition in [
        "description = 'x'",
        "last_name < 'M'",
        "upper(last_name) = 'SMITH'",
        "score__c + 1 > 2",
        "last_name = first_name",
        "description = 'x' OR do_not_call",
        "languages__c @> ARRAY['English']",
    ] {
        let (_, queries) =
            world.queries_of(|| session.rows(&format!("SELECT id FROM salesforce.contact WHERE {condition}")));
        assert_eq!(queries.len(), 1, "{condition}");
        assert!(!queries[0].contains(" WHERE "), "{condition}: {queries:?}");
    }
}

#[test]
fn pushdown_can_be_switched_off() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let account = world.sandbox.id("Account", 0);
    let sql = format!("SELECT id FROM salesforce.contact WHERE account_id = '{account}' ORDER BY id LIMIT 20");
    let right = session.rows(&sql);
    session.run("SET sequin_fdw.pushdown = off");
    let (rows, queries) = world.queries_of(|| session.rows(&sql));
    assert_eq!(rows, right);
    assert!(queries.iter().all(|query| !query.contains("WHERE") && !query.contains("LIMIT")), "{queries:?}");
}

#[test]
fn a_prepared_statement_asks_the_same_ten_times() {
    let world = World::new(Config::new().records("Contact", 4000));
    let mut session = world.connect();
    session.run("PREPARE p (text) AS SELECT * FROM salesforce.contact WHERE account_id = $1 LIMIT 100");
    let account = world.sandbox.id("Account", 0);
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        session.run(&format!("SET plan_cache_mode = {mode}"));
        for turn in 1..=10 {
            let (rows, queries) = world.queries_of(|| session.rows(&format!("EXECUTE p ('{account}')")));
            assert_eq!(rows.len(), 100, "{mode}, execution {turn}");
            assert_eq!(queries.len(), 1, "{mode}, execution {turn}: {queries:?}");
            assert!(
                queries[0].ends_with(&format!("WHERE AccountId = '{account}' LIMIT 100")),
                "{mode}, execution {turn}: {queries:?}"
            );
            let requests = world.requests();
            assert_eq!(requests.len(), 1, "{mode}, execution {turn}: {requests:?}");
        }
    }
    let generic = session.number("SELECT generic_plans FROM pg_prepared_statements WHERE name = 'p'");
    assert!(generic >= 10, "the plan never became generic");
}

#[test]
fn a_prepared_statement_follows_its_parameter() {
    let world = World::new(Config::new().records("Contact", 800));
    let mut session = world.connect();
    let statement =
        session.client().prepare("SELECT account_id FROM salesforce.contact WHERE account_id = $1 LIMIT 100").unwrap();
    let accounts: Vec<String> = (0..10).map(|index| world.sandbox.id("Account", index)).collect();
    for account in accounts.iter().chain(&accounts) {
        let ((), queries) = world.queries_of(|| {
            let rows = session.client().query(&statement, &[account]).unwrap();
            assert!(rows.iter().all(|row| row.get::<_, String>(0) == *account));
        });
        assert_eq!(queries, [format!("SELECT AccountId FROM Contact WHERE AccountId = '{account}' LIMIT 100")]);
    }
}

#[test]
fn values_known_only_at_execution_are_asked_too() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let account = world.sandbox.id("Account", 0);
    for (sql, part) in [
        (format!("SELECT id FROM salesforce.contact WHERE account_id = (SELECT '{account}'::text)"), "AccountId = "),
        ("SELECT id FROM salesforce.contact WHERE created_date > now() - interval '1 day'".to_owned(), "CreatedDate >"),
        (
            format!("SELECT id FROM salesforce.contact WHERE account_id = ANY (string_to_array('{account}', ','))"),
            "AccountId",
        ),
        (
            format!("SELECT id FROM salesforce.contact WHERE account_id = '{}' || '{}'", &account[..9], &account[9..]),
            "AccountId = ",
        ),
    ] {
        let (_, queries) = world.queries_of(|| session.rows(&sql));
        assert_eq!(queries.len(), 1, "{sql}: {queries:?}");
        assert!(queries[0].contains(part), "{sql}: {queries:?}");
    }
}

#[test]
fn what_can_match_no_record_is_not_asked() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let account = world.sandbox.id("Account", 0);
    for condition in [
        "account_id = 'nonsense'".to_owned(),
        "account_id = ''".to_owned(),
        "account_id = NULL".to_owned(),
        // Fifteen characters name a record in the API, but equal no id that it returns.
        format!("account_id = '{}'", &account[..15]),
        format!("account_id = '{}'", account.to_lowercase()),
        "account_id = ANY ('{}')".to_owned(),
        "account_id IN ('a', 'b', NULL)".to_owned(),
        "last_name = ''".to_owned(),
        "false".to_owned(),
        "account_id IS NULL AND account_id = 'nonsense'".to_owned(),
    ] {
        let (rows, queries) =
            world.queries_of(|| session.rows(&format!("SELECT id FROM salesforce.contact WHERE {condition}")));
        assert!(rows.is_empty(), "{condition}");
        assert!(queries.is_empty(), "{condition}: {queries:?}");
    }
}

#[test]
fn a_long_list_of_ids_is_split_and_complete() {
    let world = World::new(Config::new().records("Contact", 3000));
    let mut session = world.connect();
    let ids: Vec<String> = (0..2500).map(|index| world.sandbox.id("Contact", index)).collect();
    let (rows, queries) = world.queries_of(|| {
        session.rows(&format!("SELECT id FROM salesforce.contact WHERE id = ANY ('{{{}}}')", ids.join(",")))
    });
    let found: Vec<String> = sorted(rows).into_iter().map(|mut row| row.swap_remove(0).unwrap()).collect();
    assert_eq!(found, ids);
    assert!(world.requests().iter().all(|request| request.path.len() < 16_384));
    assert!(queries.len() < 20, "{} queries", queries.len());
}

#[test]
fn the_token_is_had_once_for_a_backend() {
    let world = World::new(Config::new());
    let issued = world.sandbox.tokens_issued();
    let mut session = world.connect();
    for _ in 0..5 {
        session.run("SELECT id FROM salesforce.contact LIMIT 1");
    }
    assert_eq!(world.sandbox.tokens_issued() - issued, 1);
    let connections: std::collections::HashSet<u64> =
        world.sandbox.requests().iter().map(|request| request.connection).collect();
    assert!(connections.len() <= 2, "connections are kept: {connections:?}");
}
