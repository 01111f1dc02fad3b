//! Two databases, two servers, and a role that wishes another one ill: what it does changes neither latency nor errors, rows
//! or status of the other beyond the limits that SECURITY.md tells.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Action, Cluster, Config, Fault, Session, World};

/// How long a change at the API takes to arrive if nothing is wrong, on a busy machine.
const PROMPT: Duration = Duration::from_secs(4);

/// The same while another table's code in the same database is ended again and again.
const FEW_SECONDS: Duration = Duration::from_secs(12);

const ENDLESS: &str = "CREATE FUNCTION mine.endless() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       LOOP BEGIN PERFORM pg_sleep(0.2); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;
     CREATE TRIGGER endless BEFORE UPDATE ON mine.contact FOR EACH ROW EXECUTE FUNCTION mine.endless()";

fn config() -> Config {
    Config::new().records("Contact", 300).records("Account", 8)
}

/// Somebody who queries a foreign table and has a synced one.
struct Victim<'w> {
    world: &'w World,
    session: Session,
    pid: i32,
    /// What a query takes if nobody does anything.
    usual: Duration,
}

impl<'w> Victim<'w> {
    fn new(world: &'w World) -> Victim<'w> {
        let mut session = world.connect();
        world.follow_contacts(&mut session, "100 ms");
        let pid = session.pid();
        let mut victim = Victim { world, session, pid, usual: Duration::ZERO };
        victim.usual = victim.query_for(Duration::from_secs(1));
        victim
    }

    /// Queries the foreign table for so long. What a query took, in the middle.
    fn query_for(&mut self, time: Duration) -> Duration {
        let (begin, mut took) = (Instant::now(), Vec::new());
        while begin.elapsed() < time {
            let one = Instant::now();
            let count = self
                .session
                .value("SELECT count(*) || ' ' || count(DISTINCT id) FROM salesforce.contact WHERE is_deleted = false");
            took.push(one.elapsed());
            assert_eq!(count, "300 300");
            thread::sleep(Duration::from_millis(20));
        }
        took.sort();
        took[took.len() / 2]
    }

    /// Nothing is wrong, and changes arrive within this time.
    #[track_caller]
    fn is_well(&mut self, what: &str, within: Duration) {
        let took = self.query_for(Duration::from_secs(3));
        assert!(took < self.usual * 10 + Duration::from_millis(50), "{what}: {took:?} instead of {:?}", self.usual);
        for round in 0..3 {
            let (id, title, sent) =
                (self.world.sandbox.id("Contact", round), format!("{what} {round}"), Instant::now());
            self.world.upstream().update("Contact", &id, json!({ "Title": title }));
            let arrived = format!("SELECT title FROM crm.contact WHERE id = '{id}'");
            self.world.await_value(&mut self.session, &arrived, &title);
            assert!(sent.elapsed() < within, "{what}: a change took {:?} to arrive", sent.elapsed());
            let status = "SELECT state || ' ' || coalesce(last_error, '') FROM sequin.sync_status WHERE target = 'crm.contact'::regclass";
            assert_eq!(self.session.value(status), "current ", "{what}");
        }
        assert_eq!(self.session.pid(), self.pid, "{what}: the session is the same");
    }

    /// The same while somebody does something again and again.
    #[track_caller]
    fn is_well_while(&mut self, what: &str, within: Duration, deed: impl Fn() + Sync) {
        let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let doer = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    deed();
                    begun.store(true, Ordering::Relaxed);
                }
            });
            while !begun.load(Ordering::Relaxed) && !doer.is_finished() {
                thread::sleep(Duration::from_millis(10));
            }
            self.is_well(what, within);
            over.store(true, Ordering::Relaxed);
        });
    }
}

/// A role in the victim's database that has a server of its own, which leads to another sandbox, and one that leads to the
/// victim's, where its credentials are not taken.
fn neighbour(victim: &World, far: &World) -> impl Fn() -> Session {
    let name = format!("{}_neighbour", victim.name);
    let mut admin = victim.as_superuser();
    admin.run(&format!(
        "CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret'; GRANT USAGE ON FOREIGN DATA WRAPPER sequin_fdw TO \"{name}\";
         CREATE SCHEMA mine AUTHORIZATION \"{name}\""
    ));
    let cluster = victim.cluster().clone();
    let database = victim.name.clone();
    let connect = move || Session::new(cluster.connect(&database, &name, "secret").expect("the role can connect"));
    let mut session = connect();
    session.run(&far.server("own", ""));
    session.run(&far.mapping("own"));
    session.run("IMPORT FOREIGN SCHEMA salesforce LIMIT TO (contact, account) FROM SERVER own INTO mine");
    session.run("ALTER FOREIGN TABLE mine.contact RENAME TO far_contact");
    session.run(&victim.server("theirs", ", max_retries '0'"));
    session.run("CREATE USER MAPPING FOR CURRENT_USER SERVER theirs OPTIONS (client_id 'sandbox-client', client_secret 'guessed')");
    session.run("CREATE FOREIGN TABLE mine.theirs (id text) SERVER theirs OPTIONS (object 'Contact')");
    session.run(&far.server_at("http://127.0.0.1:1", "many", ", max_retries '0'"));
    session.run("CREATE USER MAPPING FOR CURRENT_USER SERVER many OPTIONS (token 'any')");
    session.run("CREATE FOREIGN TABLE mine.many (id text) SERVER many OPTIONS (object 'Contact')");
    connect
}

#[test]
fn what_one_role_does_costs_another_nothing_but_what_is_written_down() {
    let cluster = Cluster::private(&[]);
    let world = World::with_worker_in(cluster.clone(), config());
    let far = World::with_worker_in(cluster, config());
    let mut victim = Victim::new(&world);
    let connect = neighbour(&world, &far);

    victim.is_well("nobody does anything", PROMPT);

    // In another database.
    let mut stranger = far.connect();
    stranger
        .run("CREATE SCHEMA mine; SELECT sequin.start_sync('salesforce.contact', 'mine.contact', every => '100 ms')");
    far.await_current(&mut stranger, "mine.contact");
    stranger.run(ENDLESS);
    let changed = |title: &str| {
        let id = far.sandbox.id("Contact", 1);
        far.upstream().update("Contact", &id, json!({ "Title": title }));
    };
    changed("Endless");
    victim.is_well("code that never ends, in another database", PROMPT);
    stranger.run("SELECT sequin.stop_sync('mine.contact')");

    // In the same one.
    let mut session = connect();
    session.run("SELECT sequin.start_sync('mine.far_contact', 'mine.contact', every => '100 ms')");
    far.await_current(&mut session, "mine.contact");
    session.run(ENDLESS);
    changed("Endless again");
    victim.is_well("code that never ends, in the same database", FEW_SECONDS);
    session.run("SELECT sequin.stop_sync('mine.contact'); DROP TABLE mine.contact");

    victim.is_well_while("credentials that are refused", PROMPT, || {
        connect().fails_with("28000", "SELECT count(*) FROM mine.theirs");
    });

    far.sandbox.fault(
        Fault::new(Action::Status {
            code: 429,
            body: r#"[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "later"}]"#.to_owned(),
            headers: vec![("Retry-After".to_owned(), "3600".to_owned())],
        })
        .times(usize::MAX),
    );
    victim.is_well_while("an API that wants to be left alone for an hour", PROMPT, || {
        connect().fails("SELECT count(*) FROM mine.far_contact");
    });
    far.sandbox.clear_faults();

    // Nobody listens there.
    let port = AtomicU16::new(1);
    victim.is_well_while("hundreds of servers", PROMPT, || {
        let mut session = connect();
        for _ in 0..100 {
            let port = port.fetch_add(1, Ordering::Relaxed) % 1_000 + 1;
            session.run(&format!("ALTER SERVER many OPTIONS (SET base_url 'http://127.0.0.1:{port}')"));
            session.fails_with("08001", "SELECT count(*) FROM mine.many");
        }
    });

    victim.is_well_while("tables that are synced and not synced any more", PROMPT, || {
        let mut session = connect();
        session.run("SELECT sequin.start_sync('mine.account', 'mine.here'); SELECT sequin.stop_sync('mine.here')");
    });

    // An answer that says the same in a text a million times as long.
    far.sandbox.fault(Fault::new(Action::Body(format!("[{}]", "[".repeat(40 << 20)))).path("/query").times(usize::MAX));
    victim.is_well_while("answers that are large and make no sense", PROMPT, || {
        connect().fails("SELECT * FROM mine.far_contact");
    });
    far.sandbox.clear_faults();

    victim.is_well_while("sessions that are ended in the middle of a scan", PROMPT, || {
        let (mut one, mut other) = (connect(), connect());
        let pid = one.pid();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(30));
                other.run(&format!("SELECT pg_terminate_backend({pid})"));
            });
            let _ = one.try_rows("SELECT pg_sleep(1) FROM mine.far_contact");
        });
    });
    victim.is_well("nobody does anything any more", PROMPT);
}
