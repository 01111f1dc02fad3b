//! What passes by itself is tried again, and nobody notices.

use crate::support::scans::{OF_AIRTABLE, OF_SALESFORCE, PAGES, Scan};
use crate::support::{Action, Config, Fault, World, on_each, sorted};

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    what_passes_by_itself_costs_no_row,
    a_throttled_request_waits_as_long_as_it_is_told,
    a_token_that_is_never_accepted_ends_in_an_error,
    retries_can_be_switched_off,
}

fn slow_down(code: u16, seconds: &str) -> Action {
    Action::Status { code, body: String::new(), headers: vec![("Retry-After".into(), seconds.into())] }
}

fn what_passes_by_itself_costs_no_row(scan: &Scan) {
    let world = scan.world();
    let mut session = world.connect();
    let right = sorted(session.rows(scan.sql));
    assert_eq!(right.len(), scan.rows);
    for action in [
        Action::Status { code: 500, body: "[]".into(), headers: Vec::new() },
        Action::Html(502),
        Action::Html(503),
        slow_down(503, "0"),
        slow_down(429, "1"),
        (scan.busy)(),
        Action::DropBefore,
        Action::DropAfter,
        Action::TruncateBody,
        Action::TruncateChunked,
        Action::Delay(50),
    ] {
        for page in PAGES {
            world.sandbox.fault(scan.fault(action.clone()).skip(page).times(1));
            let rows = sorted(session.rows(scan.sql));
            assert!(rows == right, "{action:?} in page {page}: {} rows", rows.len());
            world.sandbox.clear_faults();
        }
    }
}

fn a_throttled_request_waits_as_long_as_it_is_told(scan: &Scan) {
    let world = scan.world();
    let mut session = world.connect();
    scan.check_whole(&mut session);
    world.sandbox.fault(scan.fault(slow_down(429, "1")).times(1));
    let start = std::time::Instant::now();
    scan.check_whole(&mut session);
    assert!(start.elapsed().as_millis() >= 950, "{:?}", start.elapsed());
}

fn a_token_that_is_never_accepted_ends_in_an_error(scan: &Scan) {
    let world = scan.world();
    let mut session = world.connect();
    let (body, word) = scan.denial;
    world.sandbox.fault(scan.fault(Action::Status { code: 401, body: body.to_owned(), headers: Vec::new() }));
    let issued = world.sandbox.tokens_issued();
    session.fails_with("28000", scan.sql).mentions(word);
    assert!(world.sandbox.tokens_issued() - issued <= 2, "signing in again and again");
}

fn retries_can_be_switched_off(scan: &Scan) {
    let world = scan.world();
    let mut session = world.connect();
    session.run(&format!("ALTER SERVER {} OPTIONS (ADD max_retries '0')", scan.api.server));
    world.sandbox.fault(scan.fault(Action::Html(503)).times(1));
    session.fails_with("08006", scan.sql);
    scan.check_whole(&mut session);
}

fn world() -> World {
    OF_SALESFORCE.world()
}

#[test]
fn a_token_that_expires_is_renewed_once_and_the_page_asked_again() {
    let world = world();
    let mut session = world.connect();
    assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
    let issued = world.sandbox.tokens_issued();
    world.sandbox.expire_tokens();
    assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
    assert_eq!(world.sandbox.tokens_issued(), issued + 1);
    for after in 1..5 {
        world.sandbox.expire_tokens_after(after);
        assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000, "expired after {after} requests");
    }
    assert_eq!(world.sandbox.tokens_issued(), issued + 5);
}

#[test]
fn a_token_request_that_fails_for_a_moment_is_repeated() {
    let world = world();
    for action in [Action::DropBefore, Action::Html(503)] {
        let mut session = world.connect();
        world.sandbox.fault(Fault::new(action).path("/oauth2/token").times(1));
        assert_eq!(session.rows("SELECT id FROM salesforce.contact LIMIT 5").len(), 5);
        world.sandbox.clear_faults();
    }
}

#[test]
fn a_locator_that_is_lost_in_the_middle_is_an_error_not_an_end() {
    let world = world();
    let mut session = world.connect();
    session.run("BEGIN");
    session.run("DECLARE c CURSOR FOR SELECT id FROM salesforce.contact");
    assert_eq!(session.rows("FETCH 10 FROM c").len(), 10);
    world.sandbox.fault(
        Fault::status(400, r#"[{"message":"invalid query locator","errorCode":"INVALID_QUERY_LOCATOR"}]"#)
            .path("/query/"),
    );
    session.fails_with("34000", "FETCH ALL FROM c").mentions("INVALID_QUERY_LOCATOR");
    session.run("ROLLBACK");
}

#[test]
fn uneven_and_empty_pages_are_whole() {
    let world = World::new(Config::new().records("Contact", 2345).switches(|switches| {
        switches.uneven_pages = true;
        switches.empty_pages = true;
    }));
    let mut session = world.connect();
    let ids = session.column("SELECT id FROM salesforce.contact");
    assert_eq!(ids.len(), 2345);
    assert_eq!(session.number("SELECT count(DISTINCT id) FROM salesforce.contact"), 2345);
}
