//! While a batch is on its way, the rows of the next one are read. Whatever goes wrong with them, what became of those that
//! are on their way is known first, unless nobody may wait any longer.

use crate::support::{Action, Config, Fault, World};

fn world() -> World {
    World::new(Config::new().records("Contact", 5))
}

/// `value` for the 250th of 500 names, all others are fine.
fn insert(value: &str) -> String {
    format!(
        "INSERT INTO salesforce.contact (last_name, birthdate) \
         SELECT 'ahead', CASE WHEN n = 250 THEN {value} ELSE date '2000-01-01' END FROM generate_series(1, 500) AS n"
    )
}

#[test]
fn rows_are_read_while_the_batch_before_is_on_its_way() {
    let world = World::alone(Config::new().records("Contact", 5));
    let mut session = world.connect();
    session.run("CREATE SEQUENCE read; SELECT id FROM salesforce.contact LIMIT 1; SET statement_timeout = '500ms'");
    let hang = || world.sandbox.fault(Fault::new(Action::Hang).method("POST").path("/composite/sobjects"));
    hang();
    let sql = "INSERT INTO salesforce.contact (last_name) SELECT 'n' || nextval('read') FROM generate_series(1, 1000)";
    session.fails_with("57014", sql).mentions("Nobody knows").mentions("n1").mentions("197 more");
    assert_eq!(session.number("SELECT last_value FROM read"), 400, "one batch is on its way, one is ready");
    // The same while it is the reading that takes its time.
    hang();
    let sql = "INSERT INTO salesforce.contact (last_name) SELECT 'm' || n || pg_sleep(CASE WHEN n = 250 THEN 60 ELSE 0 END) FROM generate_series(1, 500) AS n";
    session.fails_with("57014", sql).mentions("Nobody knows").mentions("m1").mentions("197 more");
    world.sandbox.clear_faults();
    assert_eq!(session.number("SELECT count(*) FROM sequin.unconfirmed() WHERE outcome = 'unknown'"), 400);
    assert_eq!(session.count("INSERT INTO salesforce.contact (last_name) VALUES ('next')"), 1);
}

#[test]
fn every_row_gets_its_own_answer_whatever_is_read_meanwhile() {
    let world = world();
    let mut session = world.connect();
    for rows in [199, 200, 201, 399, 400, 401, 1000] {
        let sql = format!(
            "WITH new AS (INSERT INTO salesforce.contact (last_name, title) SELECT 'r' || n, n FROM generate_series(1, {rows}) AS n RETURNING id, last_name, title) \
             SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || count(*) FILTER (WHERE last_name = 'r' || title) FROM new"
        );
        assert_eq!(session.value(&sql), format!("{rows} {rows} {rows}"));
        let updated = session.rows("UPDATE salesforce.contact SET title = title || last_name WHERE last_name LIKE 'r%' RETURNING title, last_name");
        assert_eq!(updated.len(), rows);
        for row in updated {
            let [title, name] = [0, 1].map(|at| row[at].clone().unwrap_or_default());
            assert_eq!(title, format!("{}{name}", &name[1..]));
        }
        assert_eq!(session.count("DELETE FROM salesforce.contact WHERE upper(last_name) LIKE 'R%'"), rows as u64);
    }
}

#[test]
fn an_error_of_a_later_row_comes_after_the_answer_to_the_batch_before() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    session.fails_with("22012", &insert("date '2000-01-01' + 1 / (n - 250)"));
    notices.warning(&mut session).mentions("200 salesforce.contact inserted");
    let kept = "SELECT count(*), count(*) FILTER (WHERE outcome = 'written') FROM sequin.unconfirmed()";
    assert_eq!(session.rows(kept), [[Some("200".to_owned()), Some("200".to_owned())]]);
    assert_eq!(world.count("Contact", "LastName", "ahead"), 200);
    session.run("CREATE DOMAIN early AS date CHECK (value < '2010-01-01')");
    let failure = session.fails_with("23514", &insert("(date '2000-01-01' + n * 100)::early"));
    assert_eq!(failure.constraint.as_deref(), Some("early_check"), "{failure:#?}");
    // The API refuses the batch that is on its way.
    let refused = "INSERT INTO salesforce.contact (last_name, email) \
                   SELECT CASE WHEN n = 250 THEN (1 / (n - 250))::text ELSE 'x' END, CASE WHEN n = 7 THEN 'no address' END FROM generate_series(1, 500) AS n";
    let failure = session.fails(refused);
    assert_ne!(failure.code, "22012", "{failure:#?}");
    failure.mentions("It is row 7 of the statement");
    assert_eq!(failure.column.as_deref(), Some("email"), "{failure:#?}");
    assert_eq!(world.count("Contact", "LastName", "x"), 0);
}

#[test]
fn a_later_row_that_cannot_be_sent_is_told_with_its_place_and_what_was_written_before() {
    let world = world();
    let (mut session, notices) = world.connect_listening();
    let failure = session.fails(&insert("date 'infinity'"));
    failure.mentions("It is row 250 of the statement").mentions("200 records were written before, and stay");
    assert_eq!(failure.column.as_deref(), Some("birthdate"), "{failure:#?}");
    notices.warning(&mut session).mentions("200 salesforce.contact inserted");
    assert_eq!(world.count("Contact", "LastName", "ahead"), 200);
}

#[test]
fn an_error_of_the_scan_that_brings_later_rows_keeps_its_names() {
    let world = World::new(Config::new().records("Contact", 0).page_size(200));
    let mut session = world.connect();
    session.run("INSERT INTO salesforce.contact (last_name, birthdate) SELECT n, date '2000-01-01' + CASE WHEN n = 350 THEN 8000 ELSE 0 END FROM generate_series(1, 600) AS n");
    session.run("CREATE DOMAIN early AS date CHECK (value < '2010-01-01')");
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER birthdate TYPE early");
    session.run("CREATE FUNCTION change() RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE salesforce.contact SET first_name = birthdate::text || last_name; END $$");
    let failure = session.fails_with("23514", "SELECT change()");
    assert_eq!(failure.table.as_deref(), Some("contact"), "{failure:#?}");
    assert_eq!(failure.column.as_deref(), Some("birthdate"), "{failure:#?}");
    let context = failure.context.clone().unwrap_or_default();
    for line in ["column \"birthdate\" of foreign table", "PL/pgSQL function change()"] {
        assert_eq!(context.matches(line).count(), 1, "{failure:#?}");
    }
    assert_eq!(world.records("Contact").iter().filter(|record| record["FirstName"].is_some()).count(), 200);
}

#[test]
fn errors_that_functions_of_the_plan_catch_take_no_memory_until_the_transaction_ends() {
    let world = world();
    world.as_superuser().run(
        "CREATE FUNCTION kept() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS \
         $$ SELECT total_bytes FROM pg_backend_memory_contexts WHERE name = 'TopTransactionContext' $$",
    );
    let mut session = world.connect();
    session.run("CREATE FUNCTION caught(n int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 1 / (n - n); EXCEPTION WHEN division_by_zero THEN RETURN 'c' || n; END $$");
    session.run("BEGIN");
    assert_eq!(
        session.count("INSERT INTO salesforce.contact (last_name) SELECT caught(n) FROM generate_series(1, 2000) AS n"),
        2000
    );
    let kept = session.number("SELECT kept()");
    assert!(kept <= 16 << 10, "{kept} bytes");
    session.run("COMMIT");
}

#[test]
fn notices_and_interrupts_of_later_rows_tell_their_whole_context() {
    let world = World::alone(Config::new().records("Contact", 5));
    let (mut session, notices) = world.connect_listening();
    session.run("CREATE FUNCTION inner_one(n int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN IF n % 200 = 50 THEN RAISE NOTICE 'row %', n; END IF; IF n = 550 THEN PERFORM pg_sleep(60); END IF; RETURN n; END $$");
    session.run("CREATE FUNCTION outer_one(rows int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO salesforce.contact (last_name) SELECT inner_one(n) FROM generate_series(1, rows) AS n; END $$");
    let told = |context: &Option<String>| {
        let context = context.clone().unwrap_or_default();
        ["PL/pgSQL function inner_one", "PL/pgSQL function outer_one"].map(|line| context.matches(line).count())
    };
    session.run("SELECT outer_one(500)");
    let notices = notices.take(&mut session);
    let contexts: Vec<_> = notices.iter().map(|notice| told(&notice.context)).collect();
    assert_eq!(contexts, [[1, 1]; 3], "{notices:#?}");
    session.run("SET statement_timeout = '500ms'");
    let failure = session.fails_with("57014", "SELECT outer_one(600)");
    assert_eq!(told(&failure.context), [1, 1], "{failure:#?}");
}
