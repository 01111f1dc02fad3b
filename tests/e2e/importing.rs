//! IMPORT FOREIGN SCHEMA: what is asked, what is made, what is refused.

use crate::support::{Config, World};

const TABLES: &str = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
                      WHERE relkind = 'f' AND nspname = 'salesforce' ORDER BY relname COLLATE \"C\"";

fn world() -> World {
    let world = World::bare(Config::new());
    let mut session = world.connect();
    session.run(&world.server("sf", ""));
    session.run(&world.mapping("sf"));
    session.run("CREATE SCHEMA salesforce");
    world
}

#[test]
fn three_tables_of_an_org_with_800_objects_are_three_descriptions() {
    let world = world();
    let mut session = world.connect();
    session.run(
        "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact, account, opportunity) FROM SERVER sf INTO salesforce",
    );
    assert_eq!(session.column(TABLES), ["account", "contact", "opportunity"]);
    let requests = world.requests();
    let described = requests.iter().filter(|request| request.path.ends_with("/describe")).count();
    assert_eq!(described, 3);
    let listed = requests
        .iter()
        .filter(|request| request.path.ends_with("/sobjects") || request.path.ends_with("/sobjects/"))
        .count();
    assert_eq!(listed, 1);
    assert!(requests.len() <= 5, "{:?}", requests.iter().map(|request| &request.path).collect::<Vec<_>>());
    assert!(world.queries().is_empty());
    assert_eq!(world.sandbox.tokens_issued(), 1);
}

#[test]
fn limit_to_a_custom_object_finds_it_by_its_folded_name() {
    let world = world();
    let mut session = world.connect();
    session.run("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (every_type__c, product2) FROM SERVER sf INTO salesforce");
    assert_eq!(session.column(TABLES), ["every_type__c", "product2"]);
    assert_eq!(
        session.value("SELECT option FROM pg_foreign_table, unnest(ftoptions) AS option WHERE ftrelid = 'salesforce.every_type__c'::regclass AND option LIKE 'object=%'"),
        "object=Every_Type__c"
    );
}

#[test]
fn a_table_listed_by_the_quoted_name_of_the_api_keeps_that_name() {
    let world = world();
    let mut session = world.connect();
    session.run("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (\"Contact\", account) FROM SERVER sf INTO salesforce");
    assert_eq!(session.column(TABLES), ["Contact", "account"]);
    assert!(session.number("SELECT count(*) FROM salesforce.\"Contact\"") > 0);
}

#[test]
fn a_listed_name_that_is_not_in_the_org_is_an_error() {
    let world = world();
    let mut session = world.connect();
    let sql = "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact, no_such_thing) FROM SERVER sf INTO salesforce";
    let failure = session.fails_with("HV00R", sql);
    assert!(failure.mentions("no_such_thing").hint.is_some(), "{failure:#?}");
    assert!(session.column(TABLES).is_empty());
    assert!(
        !world.requests().iter().any(|request| request.path.ends_with("/describe")),
        "nothing was described for it"
    );
}

#[test]
fn except_leaves_out_before_describing() {
    // Few objects of no further interest, since all of them are described.
    let world = World::bare(Config::new().filler_objects(20));
    let mut session = world.connect();
    session.run(&world.server("sf", ""));
    session.run(&world.mapping("sf"));
    session.run("CREATE SCHEMA salesforce");
    session.run("IMPORT FOREIGN SCHEMA salesforce EXCEPT (contact, account) FROM SERVER sf INTO salesforce");
    let tables = session.column(TABLES);
    assert!(tables.len() > 10, "{tables:?}");
    assert!(!tables.iter().any(|table| table == "contact" || table == "account"));
    assert!(tables.iter().any(|table| table == "opportunity"));
    let described: Vec<_> =
        world.requests().into_iter().filter(|request| request.path.ends_with("/describe")).collect();
    assert!(!described.iter().any(|request| request.path.contains("/Contact/") || request.path.contains("/Account/")));
    assert_eq!(described.len(), tables.len());
}

#[test]
fn a_whole_org_can_be_imported() {
    let world = World::bare(Config::new().filler_objects(60));
    let mut session = world.connect();
    session.run(&world.server("sf", ""));
    session.run(&world.mapping("sf"));
    session.run("CREATE SCHEMA salesforce");
    session.run("IMPORT FOREIGN SCHEMA salesforce FROM SERVER sf INTO salesforce");
    let tables = session.column(TABLES);
    assert!(tables.len() > 20, "{tables:?}");
    // The feeds of changes are no tables.
    assert!(!tables.iter().any(|table| table.ends_with("change_event")), "{tables:?}");
}

#[test]
fn columns_are_named_in_snake_case_and_know_their_field() {
    let world = world();
    let mut session = world.connect();
    session.run("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (account, email_message) FROM SERVER sf INTO salesforce");
    let option = |session: &mut crate::support::Session, table: &str, column: &str, option: &str| {
        session
            .column(&format!(
                "SELECT option FROM pg_attribute, unnest(attfdwoptions) AS option \
                 WHERE attrelid = 'salesforce.{table}'::regclass AND attname = '{column}' AND option LIKE '{option}=%'"
            ))
            .join("")
    };
    for (column, field) in [
        ("id", "Id"),
        ("annual_revenue", "AnnualRevenue"),
        ("erp_key__c", "ERP_Key__c"),
        ("x2nd_value__c", "X2ndValue__c"),
        ("billing_street", "BillingStreet"),
    ] {
        assert_eq!(option(&mut session, "account", column, "field"), format!("field={field}"));
    }
    assert_eq!(option(&mut session, "account", "id", "key"), "key=true");
    assert_eq!(option(&mut session, "account", "owner_id", "references"), "references=User via Owner");
    assert_eq!(option(&mut session, "account", "parent_id", "references"), "references=Account via Parent");
    assert_eq!(option(&mut session, "account", "annual_revenue", "type"), "type=currency");
    // Long texts cannot be filtered by, and the option says so.
    assert!(!option(&mut session, "account", "description", "capabilities").contains("filter"));
    assert!(option(&mut session, "account", "name", "capabilities").contains("filter"));
    // HtmlBody and HTMLBody__c stay apart.
    let bodies = session.column("SELECT attname FROM pg_attribute WHERE attrelid = 'salesforce.email_message'::regclass AND attname LIKE 'html%' ORDER BY 1");
    assert_eq!(bodies, ["html_body", "html_body__c"]);
}

#[test]
fn names_of_the_api_can_be_kept() {
    let world = world();
    let mut session = world.connect();
    session.run("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (\"Contact\") FROM SERVER sf INTO salesforce OPTIONS (naming 'api_native')");
    assert_eq!(session.column(TABLES), ["Contact"]);
    assert!(session.number("SELECT count(*) FROM salesforce.\"Contact\" WHERE \"AccountId\" IS NOT NULL") > 0);
    assert_eq!(session.column("SELECT \"LastName\" FROM salesforce.\"Contact\" LIMIT 1").len(), 1);
}

#[test]
fn the_types_of_columns_are_those_of_the_contract() {
    let world = world();
    let mut session = world.connect();
    session.run("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (every_type__c) FROM SERVER sf INTO salesforce");
    let types = session.rows(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'salesforce.every_type__c'::regclass AND attnum > 0",
    );
    let ty = |column: &str| {
        let row = types
            .iter()
            .find(|row| row[0].as_deref() == Some(column))
            .unwrap_or_else(|| panic!("no column {column}: {types:?}"));
        row[1].clone().unwrap()
    };
    for (column, expected) in [
        ("id", "text"),
        ("owner_id", "text"),
        ("parent__c", "text"),
        ("text__c", "text"),
        ("long_text__c", "text"),
        ("combobox__c", "text"),
        ("picklist__c", "text"),
        ("multi__c", "text[]"),
        ("email__c", "text"),
        ("url__c", "text"),
        ("checkbox__c", "boolean"),
        ("int__c", "integer"),
        ("long__c", "bigint"),
        ("double__c", "numeric"),
        ("currency__c", "numeric"),
        ("percent__c", "numeric"),
        ("date__c", "date"),
        ("date_time__c", "timestamp with time zone"),
        ("time__c", "time without time zone"),
        ("place__c", "jsonb"),
        ("home__c", "jsonb"),
        ("place__latitude__s", "numeric"),
        ("secret__c", "text"),
        ("anything__c", "text"),
        ("formula_text__c", "text"),
        ("formula_number__c", "numeric"),
    ] {
        assert_eq!(ty(column), expected, "{column}");
    }
}

#[test]
fn what_cannot_be_imported_is_said_by_name() {
    let world = world();
    let mut session = world.connect();
    session
        .fails_with("HV00Q", "IMPORT FOREIGN SCHEMA hubspot FROM SERVER sf INTO salesforce")
        .mentions("hubspot")
        .mentions("salesforce");
    session
        .fails_with(
            "HV00D",
            "IMPORT FOREIGN SCHEMA salesforce FROM SERVER sf INTO salesforce OPTIONS (namign 'snake_case')",
        )
        .hints("naming");
    session.fails_with(
        "HV00D",
        "IMPORT FOREIGN SCHEMA salesforce FROM SERVER sf INTO salesforce OPTIONS (naming 'camel')",
    );
    assert!(world.requests().is_empty(), "nothing was asked for what is wrong by itself");
}

#[test]
fn an_estimate_of_rows_comes_from_the_counts_of_the_api() {
    let world = World::new(Config::new().records("Contact", 1234));
    let mut session = world.connect();
    let option = session.value(
        "SELECT option FROM pg_foreign_table, unnest(ftoptions) AS option WHERE ftrelid = 'salesforce.contact'::regclass AND option LIKE 'estimated_rows=%'",
    );
    assert_eq!(option, "estimated_rows=1234");
}
