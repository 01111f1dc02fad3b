//! A client that is gone costs no more requests: its backend notices within a second or two, and ends.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{AIRTABLE, Action, Config, Fault, SALESFORCE, Session, World, kill, wait_until};

/// Postgres looks by itself only where this is above zero.
const NEVER_LOOKS: &str = "client_connection_check_interval=0";

/// Within this time the backend has to be gone. It looks once a second.
const SOON: Duration = Duration::from_secs(4);

/// A real client, which runs one statement.
struct Psql {
    process: Child,
    name: String,
}

impl Psql {
    fn run(world: &World, sql: &str) -> Psql {
        let config = std::env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".to_owned());
        let directory = Command::new(config).arg("--bindir").output().expect("pg_config runs").stdout;
        let program = format!("{}/psql", String::from_utf8_lossy(&directory).trim());
        let cluster = world.cluster();
        let name = format!("gone {}", world.name);
        let process = Command::new(program)
            .args(["--no-psqlrc", "--quiet", "--command", sql])
            .env("PGHOST", &cluster.host)
            .env("PGPORT", cluster.port.to_string())
            .env("PGUSER", &world.name)
            .env("PGPASSWORD", &world.password)
            .env("PGDATABASE", &world.name)
            .env("PGAPPNAME", &name)
            .env("PGOPTIONS", format!("-c {NEVER_LOOKS}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql runs");
        Psql { process, name }
    }

    /// Ends it as `kill -9` does; returns when its backend is gone. How long that took.
    #[track_caller]
    fn vanish(mut self, admin: &mut Session) -> Duration {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}'", self.name);
        assert_eq!(admin.number(&sql), 1, "the backend is at work");
        kill(self.process.id() as i32, "KILL");
        self.process.wait().expect("it ends");
        let start = Instant::now();
        assert!(wait_until(SOON, || admin.number(&sql) == 0), "the backend is still there after {SOON:?}");
        start.elapsed()
    }
}

fn world() -> World {
    let world = World::new(Config::new().records("Contact", 3000));
    world.sandbox.set_page_size(Some(200));
    world
}

#[test]
fn a_scan_whose_client_was_killed_sends_no_more_requests() {
    let worlds: [fn() -> World; 2] = [world, || World::of(&AIRTABLE, Config::new().records("People", 1500))];
    // One after the other: a second world would wait for a test that waits for the first one to end.
    for make in worlds {
        let world = make();
        world.sandbox.set_latency(Duration::from_millis(400));
        let mut admin = world.as_superuser();
        let (table, column) =
            if world.api.schema == SALESFORCE.schema { ("contact", "name") } else { ("people", "name") };
        // A filter that only Postgres knows: each page is read, and nothing is sent to the client meanwhile.
        let sql = format!("SELECT count(*) FROM {}.{table} WHERE md5({column}) > ''", world.api.schema);
        let client = Psql::run(&world, &sql);
        assert!(wait_until(SOON, || world.requests().len() >= 3), "the scan is under way");
        let before = world.requests().len();
        let took = client.vanish(&mut admin);
        let more = world.requests().len() - before;
        assert!(took < Duration::from_secs(3), "{table}: the backend took {took:?}");
        assert!(more <= 8, "{table}: {more} requests after the client was gone");
    }
}

#[test]
fn a_wait_for_a_request_that_hangs_ends_with_its_client() {
    let world = world();
    let mut admin = world.as_superuser();
    for path in ["/oauth2/token", "/query", "/query/"] {
        world.sandbox.clear_requests();
        world.sandbox.fault(Fault::new(Action::Hang).path(path));
        let client = Psql::run(&world, "SELECT count(*) FROM salesforce.contact WHERE md5(name) > ''");
        world.await_request(path);
        client.vanish(&mut admin);
        world.sandbox.clear_faults();
    }
    assert!(world.cluster().log_text().contains("connection to client lost"));
}

#[test]
fn a_write_whose_client_was_killed_ends_and_the_log_tells_what_is_in_doubt() {
    let world = world();
    let mut admin = world.as_superuser();
    world.sandbox.fault(Fault::new(Action::Hang).method("POST").path("/composite/sobjects").skip(1));
    let sql = "INSERT INTO salesforce.contact (last_name) SELECT 'Vanished ' || n FROM generate_series(1, 2000) n";
    let client = Psql::run(&world, sql);
    let posts = || world.requests().iter().filter(|request| request.method == "POST").count();
    assert!(wait_until(SOON, || posts() == 2), "the second batch is under way");
    client.vanish(&mut admin);
    assert_eq!(posts(), 2, "nothing was sent again");
    let log = world.cluster().log_text();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&world.name)).collect();
    let lost = lines.iter().position(|line| line.contains("connection to client lost"));
    let lost = lost.unwrap_or_else(|| panic!("the log does not tell: {lines:#?}"));
    let told = lines[lost..].iter().any(|line| line.contains("DETAIL:") && line.contains("Nobody knows whether"));
    assert!(told, "the log does not tell what is in doubt: {:#?}", &lines[lost..]);
    // What was written before is said to stay.
    assert!(lines[lost..].iter().any(|line| line.contains("200")), "{:#?}", &lines[lost..]);
}

#[test]
fn a_client_that_is_there_is_not_taken_for_gone() {
    let world = world();
    world.sandbox.set_latency(Duration::from_millis(300));
    let mut session = world.connect();
    assert_eq!(session.number("SELECT count(*) FROM salesforce.contact WHERE md5(name) > ''"), 3000);
    world.sandbox.set_latency(Duration::ZERO);
    world.sandbox.fault(Fault::new(Action::Delay(2500)).path("/query").times(1));
    assert_eq!(session.number("SELECT count(*) FROM salesforce.contact WHERE md5(name) > ''"), 3000);
}
