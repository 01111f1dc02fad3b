//! Bases of Airtable as schemas: names, ids, types.

use sandbox::{AIRTABLE_BASE, AIRTABLE_REFRESH_TOKEN};

use crate::support::{Config, World};

fn columns(world: &World, table: &str) -> Vec<(String, String, String)> {
    let sql = format!(
        "SELECT attname, format_type(atttypid, atttypmod), substr(option, 7) FROM pg_attribute, unnest(attfdwoptions) AS option \
         WHERE attrelid = 'ops.{table}'::regclass AND attnum > 0 AND option LIKE 'field=%' ORDER BY attnum"
    );
    let rows = world.connect().rows(&sql);
    let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
    rows.iter().map(|row| (text(&row[0]), text(&row[1]), text(&row[2]))).collect()
}

#[test]
fn a_base_is_imported_by_its_name_with_three_requests_and_by_its_id_with_two() {
    let world = World::airtable_without_tables(Config::new());
    let mut session = world.connect();
    session.run(&format!("IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" FROM SERVER at INTO ops"));
    let tables = "SELECT relname FROM pg_class WHERE relnamespace = 'ops'::regnamespace ORDER BY relname";
    let named = session.column(tables);
    assert_eq!(
        named,
        [
            "companies",
            "empty",
            "measurements",
            "odd____names____quoted_____too___",
            "people",
            "projects",
            "time_log",
            "time_log_"
        ]
    );
    assert_eq!(world.requests().len(), 3, "bases, their tables, and their description");
    session.run("DROP SCHEMA ops CASCADE; CREATE SCHEMA ops");
    world.sandbox.clear_requests();
    session.run(&format!("IMPORT FOREIGN SCHEMA \"{}\" FROM SERVER at INTO ops", world.sandbox.airtable_base()));
    assert_eq!(session.column(tables), named);
    assert_eq!(world.requests().len(), 2);
}

#[test]
fn tables_are_listed_by_their_local_names_or_by_the_api_s_own() {
    let world = World::airtable_without_tables(Config::new());
    let mut session = world.connect();
    session.run(&format!(
        "IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" LIMIT TO (people, \"Time/Log\") FROM SERVER at INTO ops"
    ));
    assert_eq!(session.number("SELECT count(*) FROM ops.people"), 300);
    assert_eq!(session.number("SELECT count(*) FROM ops.\"Time/Log\""), 15);
    session.run("CREATE SCHEMA rest");
    session.run(&format!(
        "IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" EXCEPT (people, \"Companies\", time_log_) FROM SERVER at INTO rest"
    ));
    assert_eq!(session.number("SELECT count(*) FROM pg_class WHERE relnamespace = 'rest'::regnamespace"), 5);
    let failure = session.fails_with(
        "HV00R",
        &format!("IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" LIMIT TO (peeple) FROM SERVER at INTO rest"),
    );
    failure.hints("people");
}

#[test]
fn a_base_that_is_not_there_hidden_or_not_the_only_one_of_its_name_is_refused() {
    let world = World::airtable_without_tables(Config::new().airtable(|switches| switches.bases_per_page = 1));
    let mut session = world.connect();
    let import = |base: &str| format!("IMPORT FOREIGN SCHEMA \"{base}\" FROM SERVER at INTO ops");
    session.fails_with("HV00Q", &import("Archives")).hints("Archive");
    session.fails_with("HV00Q", &import("Hidden"));
    session.fails_with("HV00Q", &import("Twin")).hints("by its id: app");
    session.fails_with("HV00Q", &import("app00000000000000")).in_request("GET ");
    session.run(&import("Archive"));
    assert_eq!(session.number("SELECT count(*) FROM ops.notes"), 10);
}

#[test]
fn columns_bear_the_fields_names_and_keep_their_ids() {
    let world = World::airtable(Config::new());
    let mut session = world.connect();
    let people = columns(&world, "people");
    let find =
        |name: &str| people.iter().find(|column| column.0 == name).unwrap_or_else(|| panic!("no {name}")).clone();
    let field = |name: &str| world.sandbox.airtable_field("People", name);
    for (name, ty, label) in [
        ("name", "text", "Name"),
        ("last_seen", "timestamp with time zone", "Last seen"),
        ("age", "numeric", "Age"),
        ("salary", "numeric", "Salary"),
        ("worked", "numeric", "Worked"),
        ("rating", "smallint", "Rating"),
        ("active", "boolean", "Active"),
        ("status", "text", "Status"),
        ("skills", "text[]", "Skills"),
        ("born", "date", "Born"),
        ("photos", "jsonb", "Photos"),
        ("company", "text[]", "Company"),
        ("owner", "jsonb", "Owner"),
        ("team", "jsonb", "Team"),
        ("badge", "jsonb", "Badge"),
        ("number", "bigint", "Number"),
        ("created", "timestamp with time zone", "Created"),
        ("created_by", "jsonb", "Created by"),
        ("profile", "jsonb", "Profile"),
        ("feed", "text", "Feed"),
        ("summary", "jsonb", "Summary"),
        ("order", "text", "Order"),
        ("aura", "jsonb", "Aura"),
        ("label", "text", "Label"),
        ("salary_per_score", "numeric", "Salary per score"),
        ("is_adult", "boolean", "Is adult"),
        ("next_review", "date", "Next review"),
        ("seen_later", "timestamp with time zone", "Seen later"),
        ("broken", "jsonb", "Broken"),
        ("company_city", "jsonb", "Company city"),
        ("latest_due", "date", "Latest due"),
        ("project_count", "bigint", "Project count"),
    ] {
        assert_eq!(find(name), (name.to_owned(), ty.to_owned(), field(label)));
    }
    assert_eq!(people[0], ("_id".to_owned(), "text".to_owned(), "_id".to_owned()));
    assert_eq!(people[1].0, "_created_time");
    // A rename upstream does no harm.
    let right = session.rows("SELECT _id, name FROM ops.people ORDER BY _id");
    let (base, table) = (world.sandbox.airtable_base(), world.sandbox.airtable_table("People"));
    let path = format!("/v0/meta/bases/{base}/tables/{table}");
    world.sandbox.airtable("PATCH", &format!("{path}/fields/{}", field("Name")), r#"{"name": "Full name"}"#);
    world.sandbox.airtable("PATCH", &path, r#"{"name": "Persons"}"#);
    assert_eq!(session.rows("SELECT _id, name FROM ops.people ORDER BY _id"), right);
}

#[test]
fn odd_names_become_columns_that_differ() {
    let world = World::airtable(Config::new());
    let odd = columns(&world, "odd____names____quoted_____too___");
    assert_eq!(odd.len(), 32);
    let find =
        |field: &str| odd.iter().find(|column| column.2 == field).map(|column| column.0.clone()).unwrap_or_default();
    let table = "Odd / {names}, \"quoted\" \\ 'too' 🧪";
    for (label, name) in [
        ("First Name", "first_name"),
        ("First-Name", "first_name_"),
        ("first_name", "first_name__"),
        ("FirstName", "first_name___"),
        ("_id", "_id_"),
        ("_created_time", "_created_time_"),
        ("id", "id"),
        ("tableoid", "tableoid_"),
        ("😀", "_"),
        ("🎉", "__"),
        ("日本語", "日本語"),
        ("select", "select"),
        ("7th", "7th"),
    ] {
        assert_eq!(find(&world.sandbox.airtable_field(table, label)), name, "{label}");
    }
    let mut session = world.connect();
    let names: Vec<_> = odd.iter().map(|column| format!("\"{}\"", column.0)).collect();
    let sql = format!("SELECT {} FROM ops.odd____names____quoted_____too___", names.join(", "));
    assert_eq!(session.rows(&sql).len(), 30);
    // The API's own names are no harder.
    session.run("CREATE SCHEMA native");
    session.run(&format!(
        "IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" FROM SERVER at INTO native OPTIONS (naming 'api_native')"
    ));
    assert_eq!(
        session.number("SELECT count(\"{braces}\") FROM native.\"Odd / {names}, \"\"quoted\"\" \\ 'too' 🧪\""),
        {
            let csv = world.sandbox.dump_json(table).unwrap_or_default();
            csv.matches(&world.sandbox.airtable_field(table, "{braces}")).count() as i64
        }
    );
}

#[test]
fn options_that_mean_nothing_and_objects_that_are_none_are_refused() {
    let world = World::airtable(Config::new());
    let mut session = world.connect();
    session.run(&world.server("versioned", ", api_version '1'"));
    session.run("CREATE USER MAPPING FOR CURRENT_USER SERVER versioned OPTIONS (token 'x')");
    session.fails_with("HV00D", "IMPORT FOREIGN SCHEMA x FROM SERVER versioned INTO ops").hints("api_version");
    session.run("CREATE FOREIGN TABLE wrong (_id text) SERVER at OPTIONS (object 'People')");
    session.fails_with("HV00R", "SELECT * FROM wrong").hints("app…/tbl…");
    let object = format!("{}/{}", world.sandbox.airtable_base(), world.sandbox.airtable_table("People"));
    session.run(&format!(
        "CREATE FOREIGN TABLE named (_id text, name text OPTIONS (field 'Name')) SERVER at OPTIONS (object '{object}')"
    ));
    let failure = session.fails_with("HV005", "SELECT * FROM named");
    assert_eq!(failure.column.as_deref(), Some("name"));
    assert_eq!(session.rows("SELECT _id FROM named").len(), 300);
    session.run(&format!("CREATE FOREIGN TABLE gone (name text OPTIONS (field 'fld00000000000000')) SERVER at OPTIONS (object '{object}')"));
    let failure = session.fails_with("HV005", "SELECT * FROM gone");
    assert_eq!(failure.column.as_deref(), Some("name"));
}

#[test]
fn a_refresh_token_is_good_once_and_the_next_one_is_kept_for_other_sessions() {
    let world = World::airtable_without_tables(Config::new());
    for secret in [", client_secret 'sandbox-secret'", ""] {
        let mut session = world.connect();
        session.run("DROP SERVER at CASCADE");
        session.run(&world.server("at", &format!(", login_url '{}'", world.sandbox.url())));
        session.run(&format!(
            "CREATE USER MAPPING FOR CURRENT_USER SERVER at OPTIONS (client_id 'sandbox-client', refresh_token '{AIRTABLE_REFRESH_TOKEN}'{secret})"
        ));
        if secret.is_empty() {
            // It was used up, and the mapping is another one now.
            let failure = session
                .fails_with("28000", &format!("IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" FROM SERVER at INTO ops"));
            failure.mentions("invalid_grant").hints("refresh_token");
            break;
        }
        session.run(&format!("IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" LIMIT TO (empty) FROM SERVER at INTO ops"));
        // Another session signs in with what the first one was given.
        assert_eq!(world.connect().number("SELECT count(*) FROM ops.empty"), 0);
        world.sandbox.expire_tokens();
        assert_eq!(session.number("SELECT count(*) FROM ops.empty"), 0);
    }
}
