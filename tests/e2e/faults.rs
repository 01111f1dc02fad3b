//! Whatever goes wrong on the way: an error that says what, where and why; never fewer rows, and nothing to another host.

use crate::support::scans::{OF_AIRTABLE, OF_SALESFORCE, PAGES, Scan};
use crate::support::{Action, Config, Failure, Fault, Sandbox, World, on_each, says};

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    a_connection_dropped_in_any_page,
    a_server_error_that_stays,
    a_body_cut_short,
    half_of_the_json_in_a_whole_body,
    rubbish_instead_of_json,
    an_empty_answer_with_status_200,
}

/// What does not go away need not be tried often.
fn impatient(scan: &Scan) -> World {
    let world = scan.world();
    world.connect().run(&format!("ALTER SERVER {} OPTIONS (ADD max_retries '1')", scan.api.server));
    world
}

fn world() -> World {
    impatient(&OF_SALESFORCE)
}

/// Strikes one page for good, in a scan and in an aggregate, and returns the errors.
fn strike(scan: &Scan, world: &World, action: &Action) -> Vec<Failure> {
    let mut failures = Vec::new();
    for page in PAGES {
        let mut session = world.connect();
        world.sandbox.fault(scan.fault(action.clone()).skip(page));
        failures.push(session.fails(scan.sql));
        world.sandbox.clear_faults();
        scan.check_whole(&mut session);
    }
    let mut session = world.connect();
    world.sandbox.fault(scan.fault(action.clone()).skip(4));
    failures.push(session.fails(&scan.aggregate()));
    world.sandbox.clear_faults();
    failures
}

fn check(scan: &Scan, actions: impl IntoIterator<Item = Action>, code: &str) -> Vec<Failure> {
    let world = impatient(scan);
    let struck = |action| strike(scan, &world, &action).into_iter().map(move |failure| (action.clone(), failure));
    let failures: Vec<(Action, Failure)> = actions.into_iter().flat_map(struck).collect();
    for (action, failure) in &failures {
        assert_eq!(failure.code, code, "{action:?}: {failure:#?}");
        assert!(failure.message.len() > 10, "{action:?}: {failure:#?}");
        assert!(says(&failure.detail), "{action:?} has no detail: {failure:#?}");
        assert!(says(&failure.hint), "{action:?} has no hint: {failure:#?}");
        failure.in_request(&(scan.label)(&world));
        assert_eq!(failure.table.as_deref(), Some(scan.table), "{action:?}: {failure:#?}");
    }
    failures.into_iter().map(|(_, failure)| failure).collect()
}

fn a_connection_dropped_in_any_page(scan: &Scan) {
    check(scan, [Action::DropBefore, Action::DropAfter], "08006");
}

fn a_server_error_that_stays(scan: &Scan) {
    let (body, words) = scan.failure;
    for failure in check(scan, [Action::Status { code: 500, body: body.to_owned(), headers: Vec::new() }], "08006") {
        failure.mentions(words[0]).mentions(words[1]);
    }
    for failure in check(scan, [Action::Html(503)], "08006") {
        failure.mentions("503");
        assert!(!failure.message.contains("<html>"), "{failure:#?}");
    }
}

fn a_body_cut_short(scan: &Scan) {
    check(scan, [Action::TruncateBody, Action::TruncateChunked], "08006");
}

fn half_of_the_json_in_a_whole_body(scan: &Scan) {
    check(scan, [Action::TruncateBodyCleanly], "HV00M");
}

fn rubbish_instead_of_json(scan: &Scan) {
    check(scan, [Action::Garbage], "HV00M");
}

fn an_empty_answer_with_status_200(scan: &Scan) {
    let no_content = Action::Status { code: 204, body: String::new(), headers: Vec::new() };
    check(scan, [Action::EmptyBody, no_content], "HV00M");
}

#[test]
fn a_page_of_another_shape() {
    let world = world();
    for body in [
        "null",
        "[]",
        "{}",
        "42",
        r#"{"records":[]}"#,
        r#"{"totalSize":1000,"done":false,"records":[]}"#,
        r#"{"totalSize":1000,"done":true}"#,
        r#"{"totalSize":1000,"done":true,"records":null}"#,
        r#"{"totalSize":1000,"done":true,"records":[1]}"#,
        r#"{"totalSize":1000,"done":true,"records":[{"Id":"003000000000001AAA"}]}"#,
        r#"{"totalSize":1000,"done":true,"records":[{"Id":5,"Name":"x"}]}"#,
        r#"{"totalSize":1000,"done":"yes","records":[]}"#,
        r#"[{"message":"odd","errorCode":"ODD"}]"#,
    ] {
        for page in PAGES {
            let mut session = world.connect();
            world.sandbox.fault(Fault::new(Action::Body(body.to_owned())).method("GET").path("/query").skip(page));
            let failure = session.fails("SELECT id, name FROM salesforce.contact");
            world.sandbox.clear_faults();
            assert_eq!(failure.code, "HV00M", "{body} in page {page}: {failure:#?}");
            assert!(says(&failure.detail) && says(&failure.hint), "{body}: {failure:#?}");
            failure.in_request("GET ");
        }
    }
}

#[test]
fn a_result_that_lacks_the_records_it_counts() {
    let world = world();
    let mut session = world.connect();
    // Records may vanish while later pages are read, but the first page is made together with the count.
    world
        .sandbox
        .fault(Fault::new(Action::Body(r#"{"totalSize":1000,"done":true,"records":[]}"#.to_owned())).path("/query"));
    session.fails_with("HV00M", "SELECT id, name FROM salesforce.contact");
}

#[test]
fn pages_that_lead_in_a_circle_end() {
    let world = world();
    let mut session = world.connect();
    // The second page links to itself.
    session.rows("SELECT id FROM salesforce.contact");
    let second = world
        .requests()
        .into_iter()
        .map(|request| request.path)
        .find(|path| path.contains("/query/"))
        .expect("a second page");
    let locator = second.split("/query/").nth(1).and_then(|rest| rest.split('-').next()).expect("a locator").to_owned();
    assert!(!locator.is_empty());
    let link = second.clone();
    world.sandbox.fault(Fault::new(Action::NextLink(link)).method("GET").path("/query/"));
    session.run("SET statement_timeout = '20s'");
    let failure = session.fails("SELECT id FROM salesforce.contact");
    assert_eq!(failure.code, "HV00M", "{failure:#?}");
}

#[test]
fn a_next_page_on_another_host_is_not_asked() {
    let world = world();
    let other = Sandbox::start(Config::new()).expect("another host");
    let own = world.sandbox.url();
    let (_, port) = own.rsplit_once(':').expect("a port");
    for link in [
        format!("{}/services/data/v62.0/query/01g000000000000AAA-200", other.url()),
        format!("//{}/services/data/v62.0/query/01g000000000000AAA-200", other.url().trim_start_matches("http://")),
        format!("@{}/query/01g-200", other.url().trim_start_matches("http://")),
        format!("http://localhost:{port}/services/data/v62.0/query/01g000000000000AAA-200"),
        "https://attacker.example/services/data/v62.0/query/01g000000000000AAA-200".to_owned(),
    ] {
        for page in [0, 2] {
            let mut session = world.connect();
            world.sandbox.fault(Fault::new(Action::NextLink(link.clone())).method("GET").path("/query").skip(page));
            let failure = session.fails("SELECT id, name FROM salesforce.contact");
            world.sandbox.clear_faults();
            assert_eq!(failure.code, "HV00M", "{link}: {failure:#?}");
            assert!(says(&failure.detail) && says(&failure.hint), "{link}: {failure:#?}");
            failure.in_request("GET ");
        }
    }
    assert!(other.requests().is_empty(), "{:?}", other.requests());
}

#[test]
fn a_redirect_is_not_followed() {
    let world = world();
    let other = Sandbox::start(Config::new()).expect("another host");
    for code in [301, 302, 303, 307, 308] {
        let headers = vec![(
            "Location".to_owned(),
            format!("{}/services/data/v62.0/query?q=SELECT+Id+FROM+Contact", other.url()),
        )];
        let mut session = world.connect();
        for path in ["/query", "/oauth2/token"] {
            let mut session_of_its_own = world.connect();
            let session = if path == "/query" { &mut session } else { &mut session_of_its_own };
            world
                .sandbox
                .fault(Fault::new(Action::Status { code, body: String::new(), headers: headers.clone() }).path(path));
            let failure = session.fails("SELECT id FROM salesforce.contact");
            world.sandbox.clear_faults();
            assert!(failure.code == "HV00M", "{code} for {path}: {failure:#?}");
            failure.mentions("redirect");
        }
    }
    assert!(other.requests().is_empty(), "{:?}", other.requests());
}

#[test]
fn faults_during_an_import_make_no_tables() {
    let world = world();
    let mut session = world.connect();
    session.run("CREATE SCHEMA fresh");
    for (action, code) in [
        (Action::DropBefore, "08006"),
        (Action::Garbage, "HV00M"),
        (Action::EmptyBody, "HV00M"),
        (Action::TruncateBody, "08006"),
    ] {
        for path in ["/sobjects", "/describe"] {
            world.sandbox.fault(Fault::new(action.clone()).path(path).skip(usize::from(path == "/describe")));
            let failure =
                session.fails("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact, account) FROM SERVER sf INTO fresh");
            world.sandbox.clear_faults();
            assert_eq!(failure.code, code, "{action:?} of {path}: {failure:#?}");
            failure.in_request("GET ");
            assert_eq!(session.number("SELECT count(*) FROM pg_class WHERE relnamespace = 'fresh'::regnamespace"), 0);
        }
    }
}

#[test]
fn errors_of_the_api_keep_their_meaning() {
    let world = world();
    for (status, code, message, state) in [
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", "53400"),
        (403, "INSUFFICIENT_ACCESS", "insufficient access rights on object id", "42501"),
        (403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.", "42501"),
        (400, "INVALID_FIELD", "No such column 'Name' on entity 'Contact'.", "HV005"),
        (400, "INVALID_TYPE", "sObject type 'Contact' is not supported.", "HV00R"),
        (400, "INVALID_QUERY_LOCATOR", "invalid query locator", "34000"),
        (
            400,
            "QUERY_TOO_COMPLICATED",
            "Query is either selecting too many fields or the filter conditions are too complicated.",
            "54001",
        ),
        (400, "MALFORMED_QUERY", "unexpected token", "XX000"),
        (414, "URI_TOO_LONG", "URI Too Long", "54000"),
    ] {
        let mut session = world.connect();
        let body = format!(r#"[{{"message":"{message}","errorCode":"{code}"}}]"#);
        world.sandbox.fault(Fault::status(status, body).path("/query"));
        let failure = session.fails("SELECT id, name FROM salesforce.contact");
        world.sandbox.clear_faults();
        assert_eq!(failure.code, state, "{code}: {failure:#?}");
        failure.mentions(code).mentions(message).in_request("GET ");
    }
}

#[test]
fn a_server_that_is_not_there() {
    let world = world();
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (SET base_url 'http://127.0.0.1:9')");
    let failure = session.fails_with("08001", "SELECT id FROM salesforce.contact");
    assert!(says(&failure.hint) && says(&failure.detail), "{failure:#?}");
    failure.in_request("POST http://127.0.0.1:9/services/oauth2/token");
    session.run("ALTER SERVER sf OPTIONS (SET base_url 'http://no-such-host.invalid')");
    session.fails_with("08001", "SELECT id FROM salesforce.contact").mentions("no-such-host.invalid");
}
