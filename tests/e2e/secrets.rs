//! A planted secret appears in no log line, error, EXPLAIN, view or request to another host.

use std::fs;

use crate::credentials::key_pair;
use crate::support::{Action, Config, Fault, Sandbox, Session, World};

/// Everything that was said to the client.
#[derive(Default)]
struct Heard(String);

impl Heard {
    fn ask(&mut self, session: &mut Session, sql: &str) {
        match session.try_rows(sql) {
            Ok(rows) => self.0.push_str(&format!("{rows:?}\n")),
            Err(failure) => self.0.push_str(&format!("{failure:?}\n")),
        }
    }
}

/// Runs everything that can be said about a server `sf`, well and ill, and searches all that was said for the secrets.
fn search(world: &World, mapping: &str, secrets: &[&str]) {
    let other = Sandbox::start(Config::new()).expect("another host");
    let cluster = world.cluster();
    let from = fs::metadata(&cluster.log).map(|log| log.len()).unwrap_or(0) as usize;
    let mut session = world.connect();
    session.run(&world.server("sf", ", max_retries '0'"));
    session.run(&format!("CREATE USER MAPPING FOR CURRENT_USER SERVER sf OPTIONS ({mapping})"));
    // What pg_stat_activity shows of it is Postgres's own, and is gone with the next statement.
    session.run("SELECT 1");
    let mut admin = world.as_superuser();
    for setting in [
        "log_min_messages = debug5",
        "log_min_error_statement = debug5",
        "client_min_messages = debug5",
        "log_error_verbosity = verbose",
    ] {
        admin.run(&format!("ALTER DATABASE \"{}\" SET {setting}", world.name));
    }
    let mut heard = Heard::default();
    let mut session = world.connect();
    heard.ask(&mut session, "CREATE SCHEMA salesforce");
    heard.ask(
        &mut session,
        "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact, account) FROM SERVER sf INTO salesforce",
    );
    let query = "SELECT id, last_name FROM salesforce.contact WHERE do_not_call LIMIT 3";
    heard.ask(&mut session, query);
    heard.ask(&mut session, &format!("EXPLAIN (ANALYZE, VERBOSE) {query}"));
    heard.ask(&mut session, "SELECT * FROM sequin.stats");
    let sent = world.sandbox.requests();
    let tokens: Vec<String> = sent
        .iter()
        .filter_map(|request| request.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned))
        .collect();
    assert!(!tokens.is_empty(), "nothing was asked: {}", heard.0);
    let mut everything: Vec<&str> = secrets.to_vec();
    everything.extend(tokens.iter().map(String::as_str));
    // An API that repeats what it was sent. (A private key is never sent; tokens of other sessions are known to nobody.)
    let echo = secrets.iter().filter(|secret| !secret.contains('\n')).copied().collect::<Vec<_>>().join(" | ");
    let refused = format!(r#"{{"error":"invalid_client","error_description":"refused: {echo}"}}"#);
    let unknown = format!(r#"[{{"message":"odd: {echo}","errorCode":"ODD"}}]"#);
    for path in ["/oauth2/token", "/query"] {
        for action in [
            Action::DropBefore,
            Action::DropAfter,
            Action::Garbage,
            Action::EmptyBody,
            Action::TruncateBody,
            Action::Status { code: 400, body: refused.clone(), headers: Vec::new() },
            Action::Status { code: 401, body: unknown.clone(), headers: Vec::new() },
            Action::Status { code: 500, body: unknown.clone(), headers: Vec::new() },
            Action::Body(unknown.clone()),
            Action::Body(echo.clone()),
            Action::NextLink(format!("{}/x", other.url())),
            Action::Status {
                code: 302,
                body: String::new(),
                headers: vec![("Location".into(), format!("{}/x", other.url()))],
            },
            Action::Hang,
        ] {
            // A new backend signs in anew.
            let mut session = world.connect();
            heard.ask(&mut session, "SET statement_timeout = '300ms'");
            world.sandbox.fault(Fault::new(action).path(path));
            heard.ask(&mut session, "SELECT id, last_name FROM salesforce.contact");
            heard.ask(&mut session, "EXPLAIN (ANALYZE, VERBOSE) SELECT id FROM salesforce.contact");
            heard.ask(&mut session, "SELECT * FROM sequin.stats");
            world.sandbox.clear_faults();
        }
    }
    // Another host may be named by the token's answer: with base_url set, that is the one to ask.
    world.sandbox.set_instance_url(&other.url());
    let mut session = world.connect();
    heard.ask(&mut session, query);
    heard.ask(&mut session, "SELECT query, application_name FROM pg_stat_activity");
    heard.ask(&mut session, "SELECT srvoptions FROM pg_foreign_server");
    heard.ask(&mut session, "SELECT name, setting FROM pg_settings");
    let strayed: Vec<_> = other.requests().into_iter().map(|request| request.path).collect();
    assert!(strayed.is_empty(), "another host was asked: {strayed:?}");
    for request in world.requests() {
        // In the one header that is for it, and in no URL.
        for secret in &everything {
            assert!(!request.path.contains(secret), "a secret in a URL");
            assert!(
                !request
                    .headers
                    .iter()
                    .any(|(name, value)| !name.eq_ignore_ascii_case("authorization") && value.contains(secret))
            );
        }
    }
    let log = fs::read(&cluster.log).expect("the log can be read");
    let log = String::from_utf8_lossy(&log[from.min(log.len())..]).into_owned();
    assert!(log.contains(&world.name), "this test's lines are in the log");
    for secret in &everything {
        for piece in pieces(secret) {
            let line = |text: &str| {
                text.lines()
                    .find(|line| line.contains(&piece))
                    .unwrap_or_default()
                    .chars()
                    .take(400)
                    .collect::<String>()
            };
            assert!(!heard.0.contains(&piece), "the client was told {piece:?}: {}", line(&heard.0));
            assert!(!log.contains(&piece), "the log tells {piece:?}: {}", line(&log));
        }
    }
}

/// Of a text of many lines, each line; a line that wraps is found by its first letters.
fn pieces(secret: &str) -> Vec<String> {
    let lines = secret.lines().filter(|line| line.len() > 8 && !line.starts_with("-----"));
    lines.map(|line| line.chars().take(48).collect()).collect()
}

#[test]
fn a_client_secret() {
    let world = World::bare(Config::new().credentials(|it| it.client_secret = "planted-client-secret-7f3a".to_owned()));
    search(
        &world,
        "client_id 'sandbox-client', client_secret 'planted-client-secret-7f3a'",
        &["planted-client-secret-7f3a"],
    );
}

#[test]
fn a_token() {
    let world = World::bare(Config::new().static_token("planted-token-5b1c"));
    search(&world, "token 'planted-token-5b1c'", &["planted-token-5b1c"]);
}

#[test]
fn a_refresh_token_and_its_successors() {
    let world = World::bare(
        Config::new()
            .credentials(|it| it.refresh_token = "planted-refresh-91de".to_owned())
            .switches(|it| it.rotate_refresh_tokens = true),
    );
    search(
        &world,
        "client_id 'sandbox-client', client_secret 'sandbox-secret', refresh_token 'planted-refresh-91de'",
        &["planted-refresh-91de", "sandbox-secret"],
    );
}

#[test]
fn a_password() {
    let world = World::bare(Config::new().credentials(|it| it.password = "planted-password-c44e".to_owned()));
    search(
        &world,
        "client_id 'sandbox-client', client_secret 'sandbox-secret', username 'ada@example.com', password 'planted-password-c44eTOKEN'",
        &["planted-password-c44eTOKEN", "sandbox-secret"],
    );
}

#[test]
fn a_private_key() {
    let (private, public) = key_pair();
    let world = World::bare(Config::new().credentials(|it| it.public_key = Some(public)));
    search(
        &world,
        &format!("client_id 'sandbox-client', username 'ada@example.com', private_key '{private}'"),
        &[&private],
    );
}
