//! Tables as people change and write them: dropped, reordered, renamed and unknown columns.

use crate::support::{Config, World};

fn world() -> World {
    World::new(Config::new().records("Contact", 300).records("Account", 40))
}

const PROBE: &str =
    "SELECT id, account_id, last_name, email, score__c, created_date, do_not_call FROM salesforce.contact ORDER BY id";

#[test]
fn a_dropped_column_shifts_nothing() {
    let world = world();
    let mut session = world.connect();
    let right = session.rows(PROBE);
    for column in ["is_deleted", "first_name", "description"] {
        session.run(&format!("ALTER FOREIGN TABLE salesforce.contact DROP COLUMN {column}"));
        assert_eq!(session.rows(PROBE), right, "without {column}");
    }
    session.run("ALTER FOREIGN TABLE salesforce.contact ADD COLUMN given text OPTIONS (field 'FirstName')");
    assert_eq!(session.rows(PROBE), right);
    let (rows, queries) = world.queries_of(|| session.rows("SELECT * FROM salesforce.contact"));
    assert_eq!(rows.len(), 300);
    assert!(queries[0].contains("FirstName") && !queries[0].contains("Description"), "{queries:?}");
    assert!(session.number("SELECT count(given) FROM salesforce.contact") > 200);
}

#[test]
fn a_reordered_table_written_by_hand_reads_the_same() {
    let world = world();
    let mut session = world.connect();
    let right = session.rows("SELECT id, account_id, last_name, score__c FROM salesforce.contact ORDER BY id");
    session.run(
        "CREATE FOREIGN TABLE by_hand (score numeric OPTIONS (field 'Score__c'), surname text OPTIONS (field 'LastName'), \
         account text OPTIONS (field 'AccountId'), id text OPTIONS (field 'Id', key 'true')) SERVER sf OPTIONS (object 'Contact')",
    );
    assert_eq!(session.rows("SELECT id, account, surname, score FROM by_hand ORDER BY id"), right);
    let account = world.sandbox.id("Account", 0);
    assert_eq!(
        session.value(&format!("SELECT count(*) FROM by_hand WHERE account = '{account}'")),
        session.value(&format!("SELECT count(*) FROM salesforce.contact WHERE account_id = '{account}'"))
    );
}

#[test]
fn a_renamed_column_is_found_by_its_field() {
    let world = world();
    let mut session = world.connect();
    let right = session.rows(PROBE);
    session.run("ALTER FOREIGN TABLE salesforce.contact RENAME COLUMN account_id TO company");
    session.run("ALTER FOREIGN TABLE salesforce.contact RENAME COLUMN last_name TO \"Last \"\"Name\"\"\"");
    session.run("ALTER FOREIGN TABLE salesforce.contact RENAME TO people");
    let sql = "SELECT id, company, \"Last \"\"Name\"\"\", email, score__c, created_date, do_not_call FROM salesforce.people ORDER BY id";
    assert_eq!(session.rows(sql), right);
    let (_, queries) =
        world.queries_of(|| session.rows("SELECT company FROM salesforce.people WHERE company IS NOT NULL"));
    assert_eq!(queries, ["SELECT AccountId FROM Contact WHERE AccountId != null"]);
}

#[test]
fn a_plan_made_before_the_table_changed_is_made_anew() {
    let world = world();
    let mut session = world.connect();
    session.run("SET plan_cache_mode = force_generic_plan");
    session.run("PREPARE p AS SELECT count(phone) FROM salesforce.contact");
    let phones = session.number("EXECUTE p");
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN phone OPTIONS (SET field 'LastName')");
    assert_eq!(session.number("EXECUTE p"), 300);
    session.run("ALTER FOREIGN TABLE salesforce.contact ALTER COLUMN phone OPTIONS (SET field 'Phone')");
    assert_eq!(session.number("EXECUTE p"), phones);
    session.run("ALTER FOREIGN TABLE salesforce.contact OPTIONS (SET object 'Account')");
    assert_eq!(session.number("EXECUTE p"), session.number("SELECT count(phone) FROM salesforce.account"));
}

#[test]
fn an_object_that_the_api_does_not_know_is_named() {
    let world = world();
    let mut session = world.connect();
    session.run("CREATE FOREIGN TABLE nothing (id text OPTIONS (field 'Id')) SERVER sf OPTIONS (object 'Contakt')");
    session.fails_with("HV00R", "SELECT * FROM nothing").mentions("Contakt").in_request("GET ");
}

#[test]
fn a_field_that_the_api_does_not_know_is_named_with_its_column() {
    let world = world();
    let mut session = world.connect();
    session.run("CREATE FOREIGN TABLE wrong (id text OPTIONS (field 'Id'), surname text OPTIONS (field 'LastNam')) SERVER sf OPTIONS (object 'Contact')");
    let failure = session.fails_with("HV005", "SELECT * FROM wrong");
    failure.mentions("LastNam");
    assert_eq!((failure.schema.as_deref(), failure.table.as_deref()), (Some("public"), Some("wrong")), "{failure:#?}");
    assert_eq!(failure.column.as_deref(), Some("surname"), "{failure:#?}");
    // The other column can be read all the same.
    assert_eq!(session.rows("SELECT id FROM wrong").len(), 300);
}

#[test]
fn a_table_without_options_goes_by_its_own_names() {
    let world = world();
    let mut session = world.connect();
    session.run("CREATE FOREIGN TABLE \"Contact\" (\"Id\" text, \"LastName\" text) SERVER sf");
    let right = session.rows("SELECT id, last_name FROM salesforce.contact ORDER BY id");
    assert_eq!(session.rows("SELECT * FROM \"Contact\" ORDER BY 1"), right);
    session.run("CREATE FOREIGN TABLE nothing (id text) SERVER sf");
    session.fails_with("HV00R", "SELECT * FROM nothing").mentions("nothing");
}

#[test]
fn a_value_that_does_not_fit_the_column_is_named() {
    let world = world();
    let mut session = world.connect();
    session.run("CREATE FOREIGN TABLE misfit (id text OPTIONS (field 'Id'), surname integer OPTIONS (field 'LastName')) SERVER sf OPTIONS (object 'Contact')");
    let failure = session.fails("SELECT surname FROM misfit");
    assert!(["22P02", "HV00M", "HV004"].contains(&failure.code.as_str()), "{failure:#?}");
    assert_eq!(failure.column.as_deref(), Some("surname"), "{failure:#?}");
    assert_eq!(session.rows("SELECT id FROM misfit").len(), 300);
}

#[test]
fn other_column_types_that_can_hold_the_value_are_filled() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FOREIGN TABLE other (id varchar(18) OPTIONS (field 'Id'), name varchar(5) OPTIONS (field 'LastName'), score double precision OPTIONS (field 'Score__c'), \
         created timestamp OPTIONS (field 'CreatedDate'), languages text OPTIONS (field 'Languages__c')) SERVER sf OPTIONS (object 'Contact')",
    );
    assert_eq!(session.number("SELECT count(DISTINCT id) FROM other"), 300);
    assert!(session.number("SELECT count(score) FROM other") > 200);
}

#[test]
fn system_columns_and_whole_rows() {
    let world = world();
    let mut session = world.connect();
    assert_eq!(session.value("SELECT DISTINCT tableoid::regclass FROM salesforce.contact"), "salesforce.contact");
    let account = world.sandbox.id("Account", 3);
    let whole = session
        .value(&format!("SELECT (a).id FROM (SELECT a FROM salesforce.account a WHERE a.id = '{account}') AS part"));
    assert_eq!(whole, account);
    assert_eq!(session.rows("SELECT ctid FROM salesforce.contact LIMIT 2").len(), 2);
    session.run("ANALYZE salesforce.contact");
}
