//! What passes by itself is tried again, and nobody notices.

use crate::support::{Action, Config, Fault, World};

fn world() -> World {
    World::new(Config::new().records("Contact", 1000).page_size(200))
}

#[test]
fn what_passes_by_itself_costs_no_row() {
    let world = world();
    let mut session = world.connect();
    let right = session.rows("SELECT id, name FROM salesforce.contact ORDER BY id");
    assert_eq!(right.len(), 1000);
    let slow_down = |code, seconds: &str| Action::Status {
        code,
        body: String::new(),
        headers: vec![("Retry-After".into(), seconds.into())],
    };
    let busy = r#"[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#;
    for action in [
        Action::Status { code: 500, body: "[]".into(), headers: Vec::new() },
        Action::Html(502),
        Action::Html(503),
        slow_down(503, "0"),
        slow_down(429, "1"),
        Action::Status { code: 403, body: busy.into(), headers: Vec::new() },
        Action::DropBefore,
        Action::DropAfter,
        Action::TruncateBody,
        Action::TruncateChunked,
        Action::Delay(50),
    ] {
        for page in [0, 2, 4] {
            world.sandbox.fault(Fault::new(action.clone()).method("GET").path("/query").skip(page).times(1));
            let rows = session.rows("SELECT id, name FROM salesforce.contact ORDER BY id");
            assert!(rows == right, "{action:?} in page {page}: {} rows", rows.len());
            world.sandbox.clear_faults();
        }
    }
}

#[test]
fn a_throttled_request_waits_as_long_as_it_is_told() {
    let world = world();
    let mut session = world.connect();
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    world.sandbox.fault(
        Fault::new(Action::Status {
            code: 429,
            body: String::new(),
            headers: vec![("Retry-After".into(), "1".into())],
        })
        .path("/query")
        .times(1),
    );
    let start = std::time::Instant::now();
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    assert!(start.elapsed().as_millis() >= 950, "{:?}", start.elapsed());
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
fn a_token_that_is_never_accepted_ends_in_an_error() {
    let world = world();
    let mut session = world.connect();
    let body = r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;
    world.sandbox.fault(Fault::status(401, body).path("/query"));
    let issued = world.sandbox.tokens_issued();
    session.fails_with("28000", "SELECT id FROM salesforce.contact").mentions("INVALID_SESSION_ID");
    assert!(world.sandbox.tokens_issued() - issued <= 2, "signing in again and again");
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
fn retries_can_be_switched_off() {
    let world = world();
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD max_retries '0')");
    world.sandbox.fault(Fault::new(Action::Html(503)).path("/query").times(1));
    session.fails_with("08006", "SELECT id FROM salesforce.contact");
    assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
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
