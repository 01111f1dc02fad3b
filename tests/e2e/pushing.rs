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
        // The API ignores case: it would leave out what differs from these in its case alone.
        "last_name <> 'Smith'",
        "last_name NOT IN ('Smith', 'Li')",
        "last_name NOT LIKE 'S%'",
        "last_name NOT ILIKE 's%'",
        "NOT starts_with(last_name, 'S')",
        "lower(last_name) <> 'smith'",
        "last_name IS DISTINCT FROM 'Smith'",
        "NOT (languages__c && ARRAY['English'])",
        "'English' <> ALL (languages__c)",
        "id LIKE '003%'",
        "last_name LIKE first_name",
        "upper(last_name COLLATE \"en-x-icu\") = 'STRASSE'",
        "initcap(last_name) = 'Smith'",
        "score__c + 1 > 2",
        "last_name = first_name",
        "description = 'x' OR do_not_call",
        "cardinality(languages__c) = 1",
        "last_name = first_name || random()::text",
    ] {
        let (_, queries) =
            world.queries_of(|| session.rows(&format!("SELECT id FROM salesforce.contact WHERE {condition}")));
        assert_eq!(queries.len(), 1, "{condition}");
        assert!(!queries[0].contains(" WHERE "), "{condition}: {queries:?}");
    }
}

#[test]
fn forms_that_tools_write_are_asked_too() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    let contact = world.sandbox.id("Contact", 0);
    for (condition, expected) in [
        ("last_name LIKE 'Sm%'", "LastName LIKE 'Sm%'"),
        ("last_name LIKE 'Sm%!%' ESCAPE '!'", "LastName LIKE 'Sm%\\%'"),
        ("last_name LIKE 'Smith'", "LastName = 'Smith'"),
        ("last_name LIKE '%'", "LastName != null"),
        ("last_name ILIKE 'ab%'", "LastName LIKE 'ab%'"),
        // Any letter may be what İ and the Kelvin sign became.
        ("last_name ILIKE '%smith%'", "LastName LIKE '%sm%th%'"),
        ("lower(email) = 'ada@example.com'", "Email = 'ada@example.com'"),
        ("lower(email) IN ('a@b.de', 'c@d.de')", "Email IN ('a@b.de','c@d.de')"),
        ("upper(name::text) LIKE upper('%ada%')", "Name LIKE '%ADA%'"),
        ("name::text LIKE 'B%'", "Name LIKE 'B%'"),
        ("name::varchar = 'Bo'::varchar", "Name = 'Bo'"),
        ("starts_with(last_name, '100%')", "LastName LIKE '100\\%%'"),
        ("last_name ^@ 'Sm'", "LastName LIKE 'Sm%'"),
        ("last_name LIKE ANY (ARRAY['A%', 'B%'])", "LastName LIKE 'A%' OR LastName LIKE 'B%'"),
        ("do_not_call = 'true'", "DoNotCall = TRUE"),
        ("do_not_call IS DISTINCT FROM true", "DoNotCall != TRUE"),
        ("do_not_call IS NOT TRUE", "DoNotCall = FALSE"),
        ("score__c IS DISTINCT FROM 1", "(Score__c != 1 AND Score__c != null) OR Score__c = null"),
        ("score__c IS NOT DISTINCT FROM 1", "Score__c = 1"),
        ("NOT (score__c > 1 OR score__c IS NULL)", "Score__c <= 1 AND Score__c != null"),
        ("score__c BETWEEN 1 AND 2", "Score__c >= 1 AND Score__c <= 2"),
        ("(score__c, do_not_call) = (1, true)", "DoNotCall = TRUE AND Score__c = 1"),
        ("'English' = ANY (languages__c)", "Languages__c INCLUDES ('English')"),
        ("languages__c @> ARRAY['English', 'Deutsch']", "Languages__c INCLUDES ('English;Deutsch')"),
        ("languages__c && ARRAY['English', 'Deutsch']", "Languages__c INCLUDES ('English','Deutsch')"),
        ("ARRAY['English'] <@ languages__c", "Languages__c INCLUDES ('English')"),
        ("languages__c = ARRAY['English', 'Deutsch']", "Languages__c INCLUDES ('English;Deutsch')"),
        ("languages__c IS NULL", "Languages__c = null"),
        ("birthdate >= '2000-02-29 12:00'::timestamp", "Birthdate >= 2000-02-29"),
        ("birthdate < '2000-02-29 00:00+00'::timestamptz", "Birthdate <= 2000-02-29"),
        ("created_date >= '2020-05-31'::date", "CreatedDate >= 2020-05-31T00:00:00.000Z"),
        ("created_date < '2020-05-31 12:00'::timestamp", "CreatedDate < 2020-05-31T12:00:00.000Z"),
    ] {
        session.run("SET TimeZone = 'UTC'");
        let sql = format!("SELECT id FROM salesforce.contact WHERE {condition}");
        let (_, queries) = world.queries_of(|| session.rows(&sql));
        assert_eq!(queries.len(), 1, "{condition}: {queries:?}");
        assert!(queries[0].ends_with(&format!(" WHERE {expected}")), "{condition}: {queries:?}");
    }
    // Whatever is compared besides, what can be said is asked.
    let row = session.rows(&format!("SELECT * FROM salesforce.contact WHERE id = '{contact}'")).swap_remove(0);
    assert!(row.len() > 20);
    let sql = format!(
        "SELECT id FROM salesforce.contact WHERE id = '{contact}' AND description IS NOT DISTINCT FROM 'x' AND last_name <> 'x' \
         AND score__c IS NOT DISTINCT FROM 1 AND mailing_address IS NULL AND birthdate = '2000-01-01'"
    );
    let (_, queries) = world.queries_of(|| session.rows(&sql));
    assert!(queries[0].contains(&format!("Id = '{contact}'")) && queries[0].contains("Score__c = 1"), "{queries:?}");
}

#[test]
fn patterns_known_only_at_execution_are_asked_too() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    session.run("SET plan_cache_mode = force_generic_plan");
    session.run(
        "PREPARE p(text) AS SELECT id FROM salesforce.contact WHERE last_name ILIKE ($1 || '%');
         PREPARE l(text) AS SELECT id FROM salesforce.contact WHERE last_name LIKE $1;
         PREPARE d(text) AS SELECT id FROM salesforce.contact WHERE account_id IS NOT DISTINCT FROM $1;
         PREPARE a(text[]) AS SELECT id FROM salesforce.contact WHERE languages__c && $1;
         PREPARE n(numeric) AS SELECT id FROM salesforce.account WHERE number_of_employees > $1;
         PREPARE f(float8) AS SELECT id FROM salesforce.account WHERE number_of_employees > $1",
    );
    let long = format!("repeat('%x', {})", 3_000);
    for (execution, expected) in [
        ("p('aB')", vec!["LastName LIKE 'aB%'"]),
        ("p(NULL)", vec![]),
        ("l('Smith')", vec!["LastName = 'Smith'"]),
        ("l('')", vec![]),
        (&format!("l({long})"), vec![" FROM Contact"]),
        ("d(NULL)", vec!["AccountId = null"]),
        ("d('nonsense')", vec![]),
        ("a('{}')", vec![]),
        ("a('{English,NULL}')", vec!["Languages__c INCLUDES ('English')"]),
        ("n(2.5)", vec!["NumberOfEmployees > 2"]),
        ("f(2.5)", vec!["NumberOfEmployees > 2"]),
        ("f('NaN')", vec![]),
    ] {
        let (_, queries) = world.queries_of(|| session.rows(&format!("EXECUTE {execution}")));
        assert_eq!(queries.len(), expected.len(), "{execution}: {queries:?}");
        assert!(queries.iter().zip(&expected).all(|(query, end)| query.ends_with(end)), "{execution}: {queries:?}");
    }
    // A pattern that ends with its escape character is for Postgres to refuse.
    session.fails_with("22025", "EXECUTE l(E'S\\\\')");
}

#[test]
fn five_thousand_ids_take_at_most_five_requests() {
    let world = World::new(Config::new().records("Contact", 6_000));
    let mut session = world.connect();
    session.run("CREATE TABLE keys AS SELECT id FROM salesforce.contact ORDER BY id LIMIT 5000");
    session.run(
        "INSERT INTO keys SELECT id FROM keys; INSERT INTO keys VALUES (NULL), ('nonsense'), ('003000000000000AAA')",
    );
    let sql = "SELECT id, last_name FROM salesforce.contact WHERE id = ANY (ARRAY(SELECT id FROM keys))";
    world.sandbox.clear_requests();
    let rows = session.rows(sql);
    let requests = world.requests();
    assert_eq!(rows.len(), 5_000);
    assert!(rows.iter().all(|row| row[1].is_some()));
    assert!(requests.len() <= 5 && requests.iter().all(|request| request.status == 200), "{}", requests.len());
    // What is asked besides goes along with every piece, or is tested here.
    let half = format!("{sql} AND do_not_call");
    session.run("CREATE TABLE copy AS SELECT id, do_not_call, last_name FROM salesforce.contact");
    let right = session.number("SELECT count(*) FROM copy WHERE id IN (SELECT id FROM keys) AND do_not_call");
    assert_eq!(session.rows(&half).len() as i64, right);
    let right = session.number("SELECT count(*) FROM copy WHERE id IN (SELECT id FROM keys) AND last_name <> 'Smith'");
    world.sandbox.clear_requests();
    assert_eq!(session.rows(&format!("{sql} AND last_name <> 'Smith'")).len() as i64, right);
    assert!(world.requests().len() <= 5);
}

#[test]
fn five_thousand_references_take_at_most_thirty_requests() {
    let world = World::new(Config::new().records("Contact", 3_000).records("Account", 5_000));
    let mut session = world.connect();
    session.run("CREATE TABLE keys AS SELECT id FROM salesforce.account");
    assert_eq!(session.number("SELECT count(*) FROM keys"), 5_000);
    let right = session.number("SELECT count(*) FROM salesforce.contact WHERE account_id IS NOT NULL");
    world.sandbox.clear_requests();
    let sql = "SELECT id FROM salesforce.contact WHERE account_id = ANY (ARRAY(SELECT id FROM keys))";
    assert_eq!(session.rows(sql).len() as i64, right);
    let requests = world.requests();
    assert!(requests.len() <= 30, "{}", requests.len());
    assert!(requests.iter().all(|request| request.status == 200));
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
