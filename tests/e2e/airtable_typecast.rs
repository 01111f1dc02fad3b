//! The server's option `typecast`: Airtable makes values fit, where it can.

use crate::support::{Config, World};

#[test]
fn choices_are_added_and_linked_records_found_by_name_only_with_typecast() {
    let world = World::airtable(Config::new());
    let mut session = world.connect();
    let name = session.value("SELECT min(name) FROM ops.companies");
    let choice = "INSERT INTO ops.people (name, status, skills) VALUES ('x', 'Never seen', ARRAY['SQL', 'New skill']) RETURNING status || array_to_string(skills, ',')";
    let link = format!(
        "UPDATE ops.people SET company = ARRAY['{}'] WHERE name = 'x' RETURNING company[1]",
        name.replace('\'', "''")
    );
    session.fails_with("23514", choice);
    session.run("INSERT INTO ops.people (name) VALUES ('x')");
    session.fails(&link);
    session.run("ALTER SERVER at OPTIONS (ADD typecast 'true')");
    assert_eq!(session.value(choice), "Never seenSQL,New skill");
    let linked = session.column(&link);
    assert_eq!(linked.len(), 2);
    let sql = format!("SELECT DISTINCT name FROM ops.companies WHERE _id IN ('{}')", linked.join("', '"));
    assert_eq!(session.column(&sql), [name]);
    let upserted =
        "SELECT count(*) FROM sequin.upsert('ops.people', 'name', '[{\"name\": \"x y\", \"status\": \"Newest\"}]')";
    assert_eq!(session.number(upserted), 1);
    assert_eq!(session.value("SELECT status FROM ops.people WHERE name = 'x y'"), "Newest");
}

#[test]
fn salesforce_has_no_use_for_typecast() {
    let world = World::new(Config::new().records("Contact", 1));
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD typecast 'true')");
    session.fails_with("HV00D", "SELECT * FROM salesforce.contact").mentions("typecast").hints("DROP typecast");
}
