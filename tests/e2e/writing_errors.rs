//! What the API refuses, in Postgres's terms: state, message, code, row, column, and what was written before.

use crate::support::{Action, Config, DanglingReference, Failure, Fault, Session, World, fields_sent, says};

fn world() -> World {
    World::new(Config::new().records("Contact", 600).records("Account", 20))
}

/// An error of the API has all that a user needs.
#[track_caller]
fn complete(failure: &Failure, code: &str, api_code: &str, table: &str, column: Option<&str>) {
    assert_eq!(failure.code, code, "{failure:#?}");
    assert!(says(&failure.detail), "no detail: {failure:#?}");
    assert!(failure.detail.as_deref().unwrap_or_default().contains(api_code), "no {api_code}: {failure:#?}");
    assert_eq!(failure.column.as_deref(), column, "{failure:#?}");
    assert_eq!(
        (failure.schema.as_deref(), failure.table.as_deref()),
        (Some("salesforce"), Some(table)),
        "{failure:#?}"
    );
    let context = failure.context.as_deref().unwrap_or_default();
    assert!(context.contains("remote request: ") && context.contains("/composite/sobjects"), "{failure:#?}");
}

#[test]
fn a_required_field_that_is_left_out() {
    let world = world();
    let mut session = world.connect();
    let failure = session.fails("INSERT INTO salesforce.contact (first_name) VALUES ('Ada')");
    complete(&failure, "23502", "REQUIRED_FIELD_MISSING", "contact", Some("last_name"));
    failure.mentions("LastName").hints("value").in_request("POST http://");
    // The only row needs no number.
    assert!(!failure.everything().contains("row 1"), "{failure:#?}");
    let failure = session.fails("INSERT INTO salesforce.contact (last_name) VALUES (NULL)");
    complete(&failure, "23502", "REQUIRED_FIELD_MISSING", "contact", Some("last_name"));
    let failure = session.fails("UPDATE salesforce.contact SET last_name = NULL");
    complete(&failure, "23502", "REQUIRED_FIELD_MISSING", "contact", Some("last_name"));
    failure.in_request("PATCH http://");
}

#[test]
fn a_value_that_another_record_has() {
    let world = world();
    let mut session = world.connect();
    let taken = session.value("SELECT erp_key__c FROM salesforce.contact WHERE erp_key__c IS NOT NULL LIMIT 1");
    let holder = session.value(&format!("SELECT id FROM salesforce.contact WHERE erp_key__c = '{taken}'"));
    let failure =
        session.fails(&format!("INSERT INTO salesforce.contact (last_name, erp_key__c) VALUES ('A', '{taken}')"));
    complete(&failure, "23505", "DUPLICATE_VALUE", "contact", Some("erp_key__c"));
    failure.mentions(&holder);
    let failure =
        session.fails("INSERT INTO salesforce.contact (last_name, erp_key__c) VALUES ('A', 'twin'), ('B', 'twin')");
    assert_eq!(failure.code, "23505", "{failure:#?}");
    failure.mentions("row 2");
    assert_eq!(world.count("Contact", "ERP_Key__c", "twin"), 0);
}

#[test]
fn a_duplicate_rule() {
    let world = World::new(Config::new().records("Contact", 20).switches(|switches| switches.duplicate_rule = true));
    let mut session = world.connect();
    session.run("INSERT INTO salesforce.contact (last_name, email) VALUES ('A', 'ada@example.com')");
    let failure = session.fails("INSERT INTO salesforce.contact (last_name, email) VALUES ('B', 'Ada@Example.com')");
    complete(&failure, "23505", "DUPLICATES_DETECTED", "contact", None);
    assert!(says(&failure.hint), "{failure:#?}");
    failure.mentions("Use one of these records?");
}

#[test]
fn rules_picklists_and_triggers() {
    let world = World::new(Config::new().records("Contact", 5).records("Opportunity", 5).records("Lead", 5));
    let mut session = world.connect();
    world.import(&mut session, "opportunity, lead");
    let failure = session.fails(
        "INSERT INTO salesforce.opportunity (name, stage_name, close_date, amount) VALUES ('A', 'Prospecting', '2025-01-01', -1)",
    );
    complete(&failure, "23514", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "opportunity", Some("amount"));
    failure.mentions("Amount must not be negative");
    let failure = session.fails("UPDATE salesforce.opportunity SET amount = -1");
    complete(&failure, "23514", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "opportunity", Some("amount"));
    let failure = session.fails("INSERT INTO salesforce.contact (last_name, level__c) VALUES ('A', 'Quaternary')");
    complete(&failure, "23514", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "contact", Some("level__c"));
    failure.mentions("Quaternary");
    let failure = session.fails("INSERT INTO salesforce.lead (last_name, company) VALUES ('A', 'Trigger Error')");
    complete(&failure, "23514", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "lead", None);
    failure.mentions("NullPointerException");
}

#[test]
fn values_that_do_not_fit() {
    let world = world();
    let mut session = world.connect();
    for (column, value, code, api_code) in [
        ("first_name", "repeat('x', 41)", "22001", "STRING_TOO_LONG"),
        ("score__c", "1e12", "22003", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("email", "'nobody'", "22P02", "INVALID_EMAIL_ADDRESS"),
        ("account_id", "'nonsense'", "22P02", "MALFORMED_ID"),
        ("account_id", "'003000000000001AAA'", "22P02", "MALFORMED_ID"),
    ] {
        let failure =
            session.fails(&format!("INSERT INTO salesforce.contact (last_name, {column}) VALUES ('A', {value})"));
        complete(&failure, code, api_code, "contact", Some(column));
        let failure = session.fails(&format!("UPDATE salesforce.contact SET {column} = {value}"));
        complete(&failure, code, api_code, "contact", Some(column));
    }
    assert_eq!(world.records("Contact").len(), 600);
}

#[test]
fn references_to_no_record() {
    for (dangling, code, column) in [
        (DanglingReference::InvalidOnField, "23503", Some("account_id")),
        (DanglingReference::Invalid, "23503", None),
        (DanglingReference::NoAccess, "42501", None),
    ] {
        let world = World::new(
            Config::new().records("Contact", 10).switches(move |switches| switches.dangling_reference = dangling),
        );
        let mut session = world.connect();
        let gone = session.value("INSERT INTO salesforce.account (name) VALUES ('short-lived') RETURNING id");
        session.run(&format!("DELETE FROM salesforce.account WHERE id = '{gone}'"));
        let insert = format!("INSERT INTO salesforce.contact (last_name, account_id) VALUES ('A', '{gone}')");
        let failure = session.fails(&insert);
        assert_eq!((failure.code.as_str(), failure.column.as_deref()), (code, column), "{dangling:?}: {failure:#?}");
        // Such an error may mean the record itself: it does not, so it is no row that is gone.
        let update = format!("UPDATE salesforce.contact SET account_id = '{gone}'");
        let failure = session.fails(&update);
        assert_eq!((failure.code.as_str(), failure.column.as_deref()), (code, column), "{dangling:?}: {failure:#?}");
        assert_eq!(world.count("Contact", "AccountId", &gone), 0);
    }
}

#[test]
fn a_record_that_others_refer_to_is_not_deleted() {
    let world = World::new(Config::new().records("Contact", 5).records("Account", 5).records("Case", 0));
    let mut session = world.connect();
    world.import(&mut session, "\"case\"");
    let account = world.sandbox.id("Account", 2);
    session.run(&format!("INSERT INTO salesforce.case (account_id, status) VALUES ('{account}', 'Escalated')"));
    let failure = session.fails("DELETE FROM salesforce.account");
    complete(&failure, "23503", "DELETE_FAILED", "account", None);
    failure.mentions(&account).mentions("row 3").in_request("DELETE http://");
    assert_eq!(world.records("Account").len(), 5, "the others of the batch stay too");
}

#[test]
fn what_the_user_may_not_write() {
    let world = world();
    let mut session = world.connect();
    world.import(&mut session, "\"user\"");
    session.fails_with("55000", "DELETE FROM salesforce.\"user\"");
    let refuse = |code: &str, message: &str| {
        world.sandbox.clear_faults();
        let action = Action::RefuseRecord {
            at: 0,
            code: code.to_owned(),
            message: message.to_owned(),
            fields: vec!["Title".to_owned()],
            status: 400,
        };
        world.sandbox.fault(Fault::new(action).path("/composite/sobjects"));
    };
    refuse(
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "Unable to create/update fields: Title. Please check the security settings of this field and verify that it is read/write for your profile or permission set.",
    );
    let failure = session.fails("INSERT INTO salesforce.contact (last_name, title) VALUES ('A', 'x')");
    complete(&failure, "428C9", "INVALID_FIELD_FOR_INSERT_UPDATE", "contact", Some("title"));
    assert!(says(&failure.hint), "{failure:#?}");
    refuse("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id");
    let failure = session.fails("INSERT INTO salesforce.contact (last_name, title) VALUES ('A', 'x')");
    complete(&failure, "42501", "INSUFFICIENT_ACCESS_OR_READONLY", "contact", Some("title"));
}

#[test]
fn limits_are_53400_and_say_what_was_written_before() {
    let world = world();
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD max_retries '0')");
    let body = r#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#;
    world.sandbox.fault(Fault::status(403, body).method("POST").path("/composite/sobjects").skip(2));
    let sql = "INSERT INTO salesforce.contact (last_name, title) SELECT 'n', 'limited' FROM generate_series(1, 500)";
    let failure = session.fails(sql);
    complete(&failure, "53400", "REQUEST_LIMIT_EXCEEDED", "contact", None);
    failure.mentions("400 records were written before").mentions("rows 401 to 500");
    assert_eq!(world.count("Contact", "Title", "limited"), 400);
    world.sandbox.clear_faults();
    world.sandbox.fault(Fault::status(429, "").method("POST").path("/composite/sobjects"));
    session.fails_with("53400", sql);
    world.sandbox.clear_faults();
    session.run("SET sequin_fdw.max_requests = 2");
    let failure = session.fails_with("53400", &sql.replace("limited", "capped"));
    failure.mentions("400 records were written before");
    assert_eq!(world.count("Contact", "Title", "capped"), 400);
}

fn locked(world: &World, times: Option<usize>) {
    let action = Action::RefuseRecord {
        at: 3,
        code: "UNABLE_TO_LOCK_ROW".to_owned(),
        message: "unable to obtain exclusive access to this record or 1 records: 003RO000000EZaiYAG".to_owned(),
        fields: Vec::new(),
        status: 400,
    };
    let fault = Fault::new(action).path("/composite/sobjects");
    world.sandbox.fault(match times {
        Some(times) => fault.times(times),
        None => fault,
    });
}

#[test]
fn a_lock_that_goes_away_is_waited_for() {
    let world = World::new(Config::new().records("Contact", 10).records("Case", 0));
    let mut session = world.connect();
    for sql in [
        "INSERT INTO salesforce.contact (last_name) SELECT 'patient' FROM generate_series(1, 10)",
        "UPDATE salesforce.contact SET title = 'patient' WHERE last_name = 'patient'",
        "DELETE FROM salesforce.contact WHERE last_name = 'patient'",
    ] {
        locked(&world, Some(2));
        let (count, writes) = world.writes_of(|| session.count(sql));
        assert_eq!((count, writes.len()), (10, 3), "{sql}");
        world.sandbox.clear_faults();
    }
    assert_eq!(world.records("Contact").len(), 10, "ten came and ten went");
}

#[test]
fn a_lock_that_stays_is_55p03() {
    let world = World::new(Config::new().records("Contact", 10).records("Case", 0));
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD max_retries '1')");
    for sql in [
        "INSERT INTO salesforce.contact (last_name) SELECT 'patient' FROM generate_series(1, 10)",
        "UPDATE salesforce.contact SET title = 'patient'",
        "DELETE FROM salesforce.contact",
    ] {
        locked(&world, None);
        let (failure, writes) = world.writes_of(|| session.fails(sql));
        complete(&failure, "55P03", "UNABLE_TO_LOCK_ROW", "contact", None);
        failure.mentions("row 4").mentions("003RO000000EZaiYAG").hints("again");
        assert_eq!(writes.len(), 2, "{sql}");
        world.sandbox.clear_faults();
    }
    assert_eq!((world.records("Contact").len(), world.count("Contact", "Title", "patient")), (10, 0));
}

#[test]
fn one_bad_row_among_two_hundred_keeps_back_its_batch() {
    let world = World::new(Config::new().records("Contact", 200));
    let mut session = world.connect();
    let (failure, writes) = world.writes_of(|| {
        session.fails("INSERT INTO salesforce.contact (last_name, email) SELECT 'n', CASE n WHEN 117 THEN 'bad' ELSE n || '@example.com' END FROM generate_series(1, 200) AS n")
    });
    complete(&failure, "22P02", "INVALID_EMAIL_ADDRESS", "contact", Some("email"));
    failure.mentions("row 117 of");
    assert!(!failure.everything().contains("written before"), "{failure:#?}");
    assert_eq!((writes.len(), fields_sent(&writes[0]).len()), (1, 200));
    assert_eq!(world.records("Contact").len(), 200);
    let bad = world.sandbox.id("Contact", 60);
    let failure = session.fails(&format!(
        "UPDATE salesforce.contact SET title = 'unseen', email = CASE id WHEN '{bad}' THEN 'bad' ELSE email END"
    ));
    complete(&failure, "22P02", "INVALID_EMAIL_ADDRESS", "contact", Some("email"));
    failure.mentions(&bad);
    assert_eq!(world.count("Contact", "Title", "unseen"), 0);
}

#[test]
fn a_bad_row_in_the_third_batch_leaves_four_hundred_and_says_so() {
    let world = World::new(Config::new().records("Contact", 0));
    let (mut session, notices) = world.connect_listening();
    let sql = "INSERT INTO salesforce.contact (last_name, email) SELECT 'number ' || n, CASE n WHEN 450 THEN 'bad' END FROM generate_series(1, 500) AS n";
    let failure = session.fails(sql);
    complete(&failure, "22P02", "INVALID_EMAIL_ADDRESS", "contact", Some("email"));
    failure.mentions("row 450 of").mentions("400 records were written before");
    let held = world.records("Contact");
    assert_eq!(held.len(), 400);
    let warning = notices.warning(&mut session);
    assert_eq!(warning.code, "01000", "{warning:#?}");
    warning.mentions("400 salesforce.contact inserted").hints("sequin.unconfirmed()");
    let first = held.iter().find(|record| record["LastName"].as_deref() == Some("number 1")).unwrap();
    warning.mentions(first["Id"].as_deref().unwrap()).mentions("and 390 more");
}

#[test]
fn a_bad_line_in_a_copy_is_named() {
    let world = World::new(Config::new().records("Contact", 0));
    let mut session = world.connect();
    let lines: String =
        (1..=450).map(|n| if n == 430 { "x\tbad\n".to_owned() } else { format!("{n}\t\\N\n") }).collect();
    let failure = session.try_copy("COPY salesforce.contact (last_name, email) FROM STDIN", &lines).unwrap_err();
    complete(&failure, "22P02", "INVALID_EMAIL_ADDRESS", "contact", Some("email"));
    failure.mentions("row 430 of").mentions("400 records were written before");
    assert_eq!(world.records("Contact").len(), 400);
}

#[test]
fn several_refused_records_are_counted() {
    let world = World::new(Config::new().records("Contact", 0));
    let mut session = world.connect();
    let failure = session.fails("INSERT INTO salesforce.contact (last_name, email) VALUES ('a', NULL), ('b', 'bad'), ('c', 'worse'), (NULL, NULL)");
    complete(&failure, "22P02", "INVALID_EMAIL_ADDRESS", "contact", Some("email"));
    let place = "It is row 2 of the statement.\\n2 more records of the batch were refused.";
    failure.mentions(place);
}

#[test]
fn an_unknown_object_or_field_is_named() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "CREATE FOREIGN TABLE nothing (id text OPTIONS (field 'Id', key 'true'), name text OPTIONS (field 'Name', type 'string', capabilities 'create, update')) SERVER sf OPTIONS (object 'Contakt', operations 'insert, update, delete');
         CREATE FOREIGN TABLE wrong (id text OPTIONS (field 'Id', key 'true', capabilities 'filter'), surname text OPTIONS (field 'LastNam', type 'string', capabilities 'create, update')) SERVER sf OPTIONS (object 'Contact', operations 'insert, update, delete')",
    );
    session.fails_with("HV00R", "INSERT INTO nothing (name) VALUES ('x')").mentions("Contakt");
    let failure = session.fails_with("HV005", "INSERT INTO wrong (surname) VALUES ('x')");
    assert_eq!(failure.column.as_deref(), Some("surname"), "{failure:#?}");
}

#[test]
fn a_read_only_transaction_is_25006_and_a_missing_privilege_42501_without_a_request() {
    let world = world();
    let mut session = world.connect();
    session.run("BEGIN READ ONLY");
    session.fails_with("25006", "INSERT INTO salesforce.contact (last_name) VALUES ('x')");
    session.run("ROLLBACK");
    let mut admin = world.as_superuser();
    let reader = format!("{}_reader", world.name);
    admin.run(&format!("CREATE ROLE \"{reader}\" LOGIN PASSWORD 'x'"));
    session.run(&format!("GRANT USAGE ON SCHEMA salesforce TO \"{reader}\"; GRANT SELECT ON salesforce.contact TO \"{reader}\"; GRANT UPDATE (title) ON salesforce.contact TO \"{reader}\"; GRANT USAGE ON FOREIGN SERVER sf TO \"{reader}\""));
    world.sandbox.clear_requests();
    let mut other: Session = world.connect_as(&reader, "x");
    for sql in [
        "INSERT INTO salesforce.contact (last_name) VALUES ('x')",
        "UPDATE salesforce.contact SET last_name = 'x'",
        "DELETE FROM salesforce.contact",
        "COPY salesforce.contact (last_name) FROM '/dev/null'",
    ] {
        other.fails_with("42501", sql);
    }
    let failure = other.fails("UPDATE salesforce.contact SET title = 'x'");
    assert_eq!(failure.code, "HV00J", "no mapping: {failure:#?}");
    assert!(world.sandbox.requests().is_empty(), "{:#?}", world.sandbox.requests());
}
