//! Groups that the API declines to make: the plan that stands ready below the scan makes them, whatever that plan is made
//! of, and wherever the scan stands.

use crate::support::{Config, Copy, Fault, Session, World};

/// More records than groups that Salesforce tells of in one answer.
const RECORDS: u32 = 5_000;

fn world() -> World {
    World::new(Config::new().records("Contact", RECORDS).records("Account", 60).page_size(2_000))
}

/// As Salesforce refuses groups of a field.
fn refuse_groups(world: &World) {
    let body = r#"[{"message":"field 'AccountId' can not be grouped in a query call","errorCode":"INVALID_FIELD"}]"#;
    world.sandbox.fault(Fault::status(400, body).soql("GROUP BY"));
}

/// Hashed and sorted, in memory and spilled to disk.
const WAYS: [&str; 4] =
    ["", "SET enable_hashagg = off", "SET work_mem = '64kB'", "SET enable_hashagg = off; SET work_mem = '64kB'"];

const DISTINCT: &str = "SELECT id, count(DISTINCT account_id) FROM salesforce.contact GROUP BY id";
const COUNTED: &str = "SELECT id, count(*) FROM salesforce.contact GROUP BY id";

#[test]
fn more_groups_than_the_api_tells_of_are_right_however_postgres_makes_them_and_again_in_the_same_session() {
    let world = world();
    let mut copy = Copy::of(&world, &[("Contact", "contact")]);
    for way in WAYS {
        copy.session.run(&format!("RESET ALL; {way}"));
        for sql in [
            DISTINCT,
            COUNTED,
            "SELECT id, account_id, max(score__c), avg(score__c), min(birthdate) FROM salesforce.contact GROUP BY 1, 2",
            "SELECT id, count(*) FROM salesforce.contact GROUP BY id HAVING count(DISTINCT account_id) > 0",
            "SELECT id, count(*) FROM salesforce.contact GROUP BY id ORDER BY id COLLATE \"C\" DESC",
            "SELECT id FROM salesforce.contact GROUP BY id",
            "SELECT count(*), count(n) FROM (SELECT id, count(email) AS n FROM salesforce.contact GROUP BY id) AS g",
        ] {
            for _ in 0..2 {
                copy.same(sql);
            }
        }
    }
    // That they were asked of the API first is why all of this is tested.
    let plan = copy.session.explain("ANALYZE, VERBOSE", COUNTED);
    assert!(plan.contains("GROUP BY Id") && plan.contains("GroupAggregate") && plan.contains("Sort Method"), "{plan}");
}

#[test]
fn a_scan_whose_groups_were_declined_can_be_read_again_with_the_same_parameters_and_with_others() {
    let world = world();
    let mut copy = Copy::of(&world, &[("Contact", "contact"), ("Account", "account")]);
    refuse_groups(&world);
    let accounts = "(SELECT account_id, count(*) AS n FROM salesforce.contact GROUP BY account_id) AS g";
    let of_one =
        "SELECT c.birthdate, count(*) AS n FROM salesforce.contact c WHERE c.account_id = a.id GROUP BY c.birthdate";
    for way in WAYS {
        copy.session.run(&format!("RESET ALL; {way}"));
        // The inner side of a nested loop without a copy in between: the same rows again and again.
        copy.session.run("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off");
        copy.same(&format!(
            "SELECT s.s, g.account_id, g.n FROM generate_series(1, 7) AS s JOIN {accounts} ON g.n % 7 < s.s"
        ));
        copy.same(&format!("SELECT a.id FROM salesforce.account a WHERE EXISTS (SELECT FROM {accounts} WHERE g.n > 80 AND g.account_id > a.id COLLATE \"C\")"));
        // Other rows each time, and not always all of them.
        copy.same(&format!("SELECT a.id, (SELECT max(n) FROM ({of_one}) AS g) FROM salesforce.account a"));
        copy.same(&format!("SELECT a.id, g.n FROM salesforce.account a, LATERAL ({of_one} ORDER BY 1 LIMIT 3) AS g"));
    }
}

#[test]
fn a_scan_whose_groups_are_declined_now_and_then_goes_on_with_those_that_are_not() {
    let world = world();
    let mut copy = Copy::of(&world, &[("Contact", "contact"), ("Account", "account")]);
    copy.session.run("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off");
    // One account after the other is asked for; every third one is refused.
    let accounts: Vec<String> = copy.session.column("SELECT id FROM local.account");
    let body = r#"[{"message":"Aggregate query does not support queryMore()","errorCode":"EXCEEDED_ID_LIMIT"}]"#;
    for account in accounts.iter().step_by(3) {
        world.sandbox.fault(Fault::status(400, body).soql(&format!("'{account}' GROUP BY")));
    }
    copy.same(
        "SELECT a.id, g.birthdate, g.n FROM salesforce.account a, LATERAL (SELECT c.birthdate, count(*) AS n
         FROM salesforce.contact c WHERE c.account_id = a.id GROUP BY c.birthdate) AS g",
    );
}

/// All rows that a cursor hands out, so many at a time.
fn fetched(session: &mut Session, cursor: &str, at_a_time: u32) -> usize {
    let mut all = 0;
    loop {
        let some = session.rows(&format!("FETCH {at_a_time} FROM {cursor}")).len();
        all += some;
        if some == 0 {
            return all;
        }
    }
}

#[test]
fn declined_groups_come_through_cursors_and_outlive_the_transaction_that_holds_them() {
    let world = world();
    let mut session = world.connect();
    for way in WAYS {
        session.run(&format!("RESET ALL; {way}; BEGIN"));
        // Two that take turns.
        session
            .run(&format!("DECLARE one NO SCROLL CURSOR FOR {DISTINCT}; DECLARE other NO SCROLL CURSOR FOR {COUNTED}"));
        for _ in 0..20 {
            assert_eq!(session.rows("FETCH 10 FROM one").len() + session.rows("FETCH 10 FROM other").len(), 20);
        }
        let rest = fetched(&mut session, "one", 500) + fetched(&mut session, "other", 500);
        assert_eq!(rest, 2 * RECORDS as usize - 400, "{way}");
        // There and back.
        session.run(&format!("DECLARE back SCROLL CURSOR FOR {COUNTED}"));
        let there = session.rows("FETCH 50 FROM back");
        let mut back = session.rows("FETCH BACKWARD 49 FROM back");
        back.reverse();
        assert_eq!(back, there[..49], "{way}");
        assert_eq!(session.rows("FETCH ALL FROM back").len(), RECORDS as usize - 1);
        session.run(&format!("DECLARE kept CURSOR WITH HOLD FOR {DISTINCT}; FETCH 10 FROM kept; COMMIT"));
        assert_eq!(fetched(&mut session, "kept", 500), RECORDS as usize - 10, "{way}");
        session.run("CLOSE kept");
        // One that is left early.
        session.run(&format!("BEGIN; DECLARE left_early CURSOR FOR {COUNTED}; FETCH 3 FROM left_early; ROLLBACK"));
        assert_eq!(session.rows(&format!("{COUNTED} LIMIT 3")).len(), 3);
    }
    // A portal of the extended protocol, asked for some rows at a time.
    let client = session.client();
    let mut transaction = client.transaction().expect("a transaction begins");
    let portal = transaction.bind(COUNTED, &[]).expect("a portal");
    let mut all = 0;
    loop {
        let some = transaction.query_portal(&portal, 700).expect("rows").len();
        all += some;
        if some < 700 {
            break;
        }
    }
    assert_eq!(all, RECORDS as usize);
}

#[test]
fn declined_groups_come_in_functions_triggers_and_statements_that_are_prepared() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FUNCTION loops(OUT groups bigint, OUT distinct_ids bigint) LANGUAGE plpgsql AS $$
         DECLARE r record; seen text[] := '{}'; s record;
         BEGIN
           groups := 0;
           FOR r IN SELECT id, count(DISTINCT account_id) AS n FROM salesforce.contact GROUP BY id LOOP
             groups := groups + 1;
             IF groups % 1000 = 1 THEN
               FOR s IN SELECT id, count(*) AS n FROM salesforce.contact GROUP BY id LIMIT 5 LOOP
                 seen := seen || s.id;
               END LOOP;
               BEGIN
                 PERFORM 1 / (count(*) - count(*)) FROM salesforce.contact GROUP BY id;
               EXCEPTION WHEN division_by_zero THEN NULL;
               END;
             END IF;
           END LOOP;
           SELECT count(*) INTO distinct_ids FROM unnest(seen) AS x;
         END $$;
         CREATE TABLE noted (n bigint);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           SELECT count(*) INTO NEW.n FROM (SELECT id, count(DISTINCT account_id) FROM salesforce.contact GROUP BY id) AS g;
           RETURN NEW;
         END $$;
         CREATE TRIGGER note BEFORE INSERT ON noted FOR EACH ROW EXECUTE FUNCTION note()",
    );
    for way in WAYS {
        session.run(&format!("RESET ALL; {way}"));
        for _ in 0..2 {
            assert_eq!(session.rows("SELECT * FROM loops()"), [[Some(RECORDS.to_string()), Some("25".to_owned())]]);
        }
        session.run("TRUNCATE noted; INSERT INTO noted SELECT FROM generate_series(1, 3)");
        assert_eq!(session.number("SELECT sum(n) FROM noted"), 3 * i64::from(RECORDS));
        for mode in ["force_generic_plan", "force_custom_plan"] {
            session.run(&format!(
                "SET plan_cache_mode = {mode}; PREPARE q (text) AS {DISTINCT} HAVING min(last_name) > $1"
            ));
            for _ in 0..3 {
                assert_eq!(session.rows("EXECUTE q ('')").len(), RECORDS as usize, "{mode} {way}");
            }
            session.run("DEALLOCATE q");
        }
        // Each sub-select is a plan of its own, and so is what is written and read in one statement.
        session.run(&format!("CREATE TEMPORARY TABLE made AS {DISTINCT}"));
        session.run(&format!("WITH g AS MATERIALIZED ({COUNTED}), d AS (DELETE FROM made USING g WHERE g.id = made.id RETURNING made.id) INSERT INTO noted SELECT count(*) FROM d"));
        assert_eq!(session.number("SELECT count(*) FROM made"), 0);
        session.run("DROP TABLE made");
    }
    for (options, again) in [("ANALYZE, VERBOSE", 2), ("ANALYZE, BUFFERS, TIMING off", 2), ("ANALYZE, FORMAT json", 1)]
    {
        for _ in 0..again {
            assert!(session.explain(options, DISTINCT).contains("Foreign Scan"), "{options}");
        }
    }
}

#[test]
fn declined_groups_come_beside_workers_of_a_parallel_plan() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE TABLE big AS SELECT id, n FROM salesforce.contact, generate_series(1, 40) AS n; ANALYZE big;
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0",
    );
    let sql = format!(
        "SELECT count(*), sum(b.n) FROM (SELECT id, sum(n) AS n FROM big GROUP BY id) AS b JOIN ({DISTINCT}) AS g ON g.id = b.id"
    );
    assert!(session.explain("COSTS off", &sql).contains("Gather"));
    let right = format!("{}|{}", RECORDS, RECORDS * 820);
    for way in WAYS {
        session.run(way);
        for _ in 0..2 {
            let row = session.rows(&sql).swap_remove(0);
            let found: Vec<_> = row.into_iter().flatten().collect();
            assert_eq!(found.join("|"), right, "{way}");
        }
    }
}
