//! A waiting request ends within 100 ms when it is told to, and the connection is good for the next query.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Action, Config, Fault, Session, World};

fn world() -> World {
    let world = World::alone(Config::new().records("Contact", 1000).page_size(200));
    world.sandbox.set_page_size(Some(200));
    world
}

/// Where a request hangs: which path, after how many of its like.
const PLACES: [(&str, usize); 3] = [("/query", 0), ("/query/", 0), ("/query/", 2)];

/// A session that has its token.
fn session(world: &World) -> Session {
    let mut session = world.connect();
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    world.sandbox.clear_requests();
    session
}

/// The same session works on, and soon.
fn works(session: &mut Session) {
    session.run("SET statement_timeout = '5s'");
    assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000, "the next query");
}

#[test]
fn statement_timeout_ends_a_page_that_hangs() {
    let world = world();
    for (path, skip) in PLACES {
        for action in [Action::Hang, Action::SlowBody(50)] {
            let mut session = session(&world);
            session.run("SET statement_timeout = '300ms'");
            world.sandbox.fault(Fault::new(action.clone()).path(path).skip(skip));
            let start = Instant::now();
            let failure = session.fails("SELECT id, name FROM salesforce.contact");
            let took = start.elapsed();
            world.sandbox.clear_faults();
            assert_eq!(failure.code, "57014", "{action:?} of {path}: {failure:#?}");
            assert!(took < Duration::from_millis(400), "{action:?} of {path}: {took:?}");
            works(&mut session);
        }
    }
}

#[test]
fn statement_timeout_ends_a_wait_between_retries() {
    let world = world();
    let mut session = session(&world);
    session.run("SET statement_timeout = '300ms'");
    world.sandbox.fault(
        Fault::new(Action::Status {
            code: 429,
            body: String::new(),
            headers: vec![("Retry-After".into(), "5".into())],
        })
        .path("/query"),
    );
    let start = Instant::now();
    session.fails_with("57014", "SELECT id FROM salesforce.contact");
    assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
}

#[test]
fn statement_timeout_ends_a_sign_in_that_hangs_and_the_next_query_signs_in() {
    let world = world();
    for mapping in ["", "refresh_token 'sandbox-refresh'"] {
        if !mapping.is_empty() {
            world.connect().run(&format!("ALTER USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS (ADD {mapping})"));
        }
        let mut session = world.connect();
        session.run("SET statement_timeout = '300ms'");
        world.sandbox.fault(Fault::new(Action::Hang).path("/oauth2/token"));
        let start = Instant::now();
        session.fails_with("57014", "SELECT id FROM salesforce.contact");
        assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
        world.sandbox.clear_faults();
        // A sign-in that spends its refresh token is not given up at once: its answer may be on the way.
        session.run("SET statement_timeout = '20s'");
        assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000, "the next query");
    }
}

#[test]
fn statement_timeout_ends_an_import() {
    let world = world();
    let mut session = session(&world);
    session.run("CREATE SCHEMA fresh; SET statement_timeout = '300ms'");
    world.sandbox.fault(Fault::new(Action::Hang).path("/describe"));
    let start = Instant::now();
    session.fails_with("57014", "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact) FROM SERVER sf INTO fresh");
    assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
}

#[test]
fn pg_cancel_backend_ends_it_as_fast() {
    let world = world();
    for (path, skip) in PLACES {
        let mut session = session(&world);
        let pid = session.pid();
        world.sandbox.fault(Fault::new(Action::Hang).path(path).skip(skip));
        let waiting = thread::spawn(move || {
            let failure = session.fails("SELECT id, name FROM salesforce.contact");
            (session, failure, Instant::now())
        });
        world.await_request(path);
        thread::sleep(Duration::from_millis(150));
        let mut admin = world.as_superuser();
        let cancelled = Instant::now();
        admin.run(&format!("SELECT pg_cancel_backend({pid})"));
        let (mut session, failure, ended) = waiting.join().expect("it fails as it should");
        world.sandbox.clear_faults();
        assert_eq!(failure.code, "57014", "{path}: {failure:#?}");
        assert!(
            ended.duration_since(cancelled) < Duration::from_millis(100),
            "{path}: {:?}",
            ended.duration_since(cancelled)
        );
        works(&mut session);
    }
}

#[test]
fn pg_terminate_backend_ends_it_as_fast() {
    let world = world();
    for (path, skip) in PLACES {
        let mut session = session(&world);
        let pid = session.pid();
        world.sandbox.fault(Fault::new(Action::Hang).path(path).skip(skip));
        let waiting = thread::spawn(move || (session.fails("SELECT id, name FROM salesforce.contact"), Instant::now()));
        world.await_request(path);
        thread::sleep(Duration::from_millis(150));
        let mut admin = world.as_superuser();
        let terminated = Instant::now();
        admin.run(&format!("SELECT pg_terminate_backend({pid})"));
        let (failure, ended) = waiting.join().expect("it fails as it should");
        assert!(failure.code == "57P01" || failure.code.is_empty(), "{failure:#?}");
        assert!(
            ended.duration_since(terminated) < Duration::from_millis(100),
            "{path}: {:?}",
            ended.duration_since(terminated)
        );
        while terminated.elapsed() < Duration::from_secs(2) && std::path::Path::new(&format!("/proc/{pid}")).exists() {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the process ends");
        assert!(
            terminated.elapsed() < Duration::from_millis(500),
            "{path}: the process took {:?}",
            terminated.elapsed()
        );
        world.sandbox.clear_faults();
    }
    // The cluster did not restart: a backend that crashes takes all the others along.
    assert_eq!(world.connect().rows("SELECT id FROM salesforce.contact").len(), 1000);
}

#[test]
fn a_cursor_that_is_closed_or_rolled_back_while_a_page_hangs_ends_at_once() {
    let world = world();
    let mut session = session(&world);
    for end in ["CLOSE c", "ROLLBACK"] {
        world.sandbox.fault(Fault::new(Action::Hang).path("/query/"));
        session.run("BEGIN; DECLARE c CURSOR FOR SELECT id FROM salesforce.contact");
        session.rows("FETCH 5 FROM c");
        let start = Instant::now();
        session.run(end);
        assert!(start.elapsed() < Duration::from_millis(100), "{end}: {:?}", start.elapsed());
        session.run("ROLLBACK");
        world.sandbox.clear_faults();
        works(&mut session);
    }
}

#[test]
fn a_request_that_takes_too_long_is_given_up() {
    let world = world();
    let mut session = session(&world);
    session.run("ALTER SERVER sf OPTIONS (ADD request_timeout '0.3', ADD max_retries '0')");
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    world.sandbox.fault(Fault::new(Action::Hang).path("/query"));
    let start = Instant::now();
    let failure = session.fails_with("08006", "SELECT id FROM salesforce.contact");
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    failure.mentions("0.3 s").hints("request_timeout");
}

#[test]
fn a_signal_of_the_server_does_not_end_a_scan() {
    let world = world();
    let mut session = session(&world);
    let waiting = thread::spawn(move || session.rows("SELECT id FROM salesforce.contact").len());
    let mut admin = world.as_superuser();
    world.sandbox.set_latency(Duration::from_millis(60));
    for _ in 0..10 {
        admin.run("SELECT pg_reload_conf()");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(waiting.join().expect("it runs to its end"), 1000);
}

/// Scans whose rows are groups, one group, or joined records.
const SHAPED: [&str; 4] = [
    "SELECT account_id, count(*) FROM salesforce.contact GROUP BY account_id",
    "SELECT count(*), max(score__c) FROM salesforce.contact",
    "SELECT c.id, a.name FROM salesforce.contact c JOIN salesforce.account a ON a.id = c.account_id",
    "SELECT c.id, a.name FROM salesforce.contact c LEFT JOIN salesforce.account a ON a.id = c.account_id",
];

#[test]
fn statement_timeout_ends_grouped_and_joined_scans() {
    let world = world();
    for sql in SHAPED {
        for action in [Action::Hang, Action::SlowBody(50)] {
            let mut session = session(&world);
            session.run("SET statement_timeout = '300ms'");
            world.sandbox.fault(Fault::new(action.clone()).path("/query"));
            let start = Instant::now();
            session.fails_with("57014", sql);
            let took = start.elapsed();
            world.sandbox.clear_faults();
            assert!(took < Duration::from_millis(400), "{action:?} of {sql}: {took:?}");
            works(&mut session);
        }
    }
}

#[test]
fn pg_cancel_backend_ends_grouped_and_joined_scans_as_fast() {
    let world = world();
    // The plan that stands ready for groups is under way in the last.
    let refused = Fault::status(400, r#"[{"message":"no","errorCode":"EXCEEDED_ID_LIMIT"}]"#).soql("GROUP BY");
    for (sql, refused) in SHAPED.iter().map(|sql| (*sql, None)).chain([(SHAPED[0], Some(refused))]) {
        let mut session = session(&world);
        let pid = session.pid();
        if let Some(fault) = &refused {
            world.sandbox.fault(fault.clone());
        }
        world.sandbox.fault(Fault::new(Action::Hang).path("/query"));
        let waiting = thread::spawn(move || {
            let failure = session.fails(sql);
            (session, failure, Instant::now())
        });
        world.await_request("q=");
        thread::sleep(Duration::from_millis(150));
        let mut admin = world.as_superuser();
        let cancelled = Instant::now();
        admin.run(&format!("SELECT pg_cancel_backend({pid})"));
        let (mut session, failure, ended) = waiting.join().expect("it fails as it should");
        world.sandbox.clear_faults();
        assert_eq!(failure.code, "57014", "{sql}: {failure:#?}");
        let took = ended.duration_since(cancelled);
        assert!(took < Duration::from_millis(100), "{sql}: {took:?}");
        works(&mut session);
    }
}
