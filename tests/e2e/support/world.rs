//! What one test has for itself: a sandbox, a database named after the test, and a role that is no superuser and owns it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};

use sandbox::{Config, LoggedRequest, Sandbox};

use super::api::{Api, SALESFORCE};
use super::cluster::Cluster;
use super::session::Session;
use super::synced::is_ours;

/// Tests that measure time or memory run while no other does.
static QUIET: RwLock<()> = RwLock::new(());

thread_local! {
    /// How many turns the thread of this test has.
    static TURNS: Cell<u32> = const { Cell::new(0) };
}

#[expect(dead_code, reason = "held for what its drop does")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
    /// Of a test that has one already: a second would wait for somebody who waits for the first one to end.
    Second,
}

impl Turn {
    fn shared() -> Turn {
        match TURNS.replace(TURNS.get() + 1) {
            0 => Turn::Shared(QUIET.read().unwrap_or_else(PoisonError::into_inner)),
            _ => Turn::Second,
        }
    }

    fn alone() -> Turn {
        TURNS.set(TURNS.get() + 1);
        Turn::Alone(QUIET.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.set(TURNS.get().saturating_sub(1));
    }
}

pub struct World {
    cluster: Arc<Cluster>,
    /// What the sandbox is to this test.
    pub api: &'static Api,
    pub sandbox: Sandbox,
    /// The database, and the role.
    pub name: String,
    pub password: String,
    _turn: Turn,
}

impl World {
    /// A database with the extension; no server yet.
    pub fn bare(config: Config) -> World {
        let turn = Turn::shared();
        World::build(Cluster::shared(), config, turn)
    }

    /// The same in another cluster.
    pub fn bare_in(cluster: Arc<Cluster>, config: Config) -> World {
        let turn = Turn::shared();
        World::build(cluster, config, turn)
    }

    /// The same, while no other test runs.
    pub fn bare_alone(config: Config) -> World {
        let turn = Turn::alone();
        World::build(Cluster::shared(), config, turn)
    }

    /// With a server `sf`, a user mapping, and contacts and accounts imported into the schema `salesforce`.
    pub fn new(config: Config) -> World {
        World::of(&SALESFORCE, config)
    }

    /// With an API's server, a user mapping, and its first tables.
    pub fn of(api: &'static Api, config: Config) -> World {
        World::in_database(api, config, "")
    }

    /// The same in another cluster.
    pub fn of_in(api: &'static Api, cluster: Arc<Cluster>, config: Config) -> World {
        let turn = Turn::shared();
        World::build_for(api, cluster, (api.usual)(config), turn, "").furnished()
    }

    /// The same, while no other test runs.
    pub fn of_alone_in(api: &'static Api, cluster: Arc<Cluster>, config: Config) -> World {
        let turn = Turn::alone();
        World::build_for(api, cluster, (api.usual)(config), turn, "").furnished()
    }

    /// The same in a database that is made with these words of CREATE DATABASE.
    pub fn in_database(api: &'static Api, config: Config, words: &str) -> World {
        let turn = Turn::shared();
        World::build_for(api, Cluster::shared(), (api.usual)(config), turn, words).furnished()
    }

    /// Without tables.
    pub fn unimported(api: &'static Api, config: Config) -> World {
        let turn = Turn::shared();
        World::build_for(api, Cluster::shared(), (api.usual)(config), turn, "").served()
    }

    pub fn alone(config: Config) -> World {
        World::bare_alone(config).furnished()
    }

    /// A furnished one in another cluster.
    pub fn within(cluster: Arc<Cluster>, config: Config) -> World {
        let turn = Turn::shared();
        World::build(cluster, config, turn).furnished()
    }

    /// The same, while no other test runs.
    pub fn alone_within(cluster: Arc<Cluster>, config: Config) -> World {
        let turn = Turn::alone();
        World::build(cluster, config, turn).furnished()
    }

    fn build(cluster: Arc<Cluster>, config: Config, turn: Turn) -> World {
        World::build_for(&SALESFORCE, cluster, config, turn, "")
    }

    fn build_for(api: &'static Api, cluster: Arc<Cluster>, config: Config, turn: Turn, database: &str) -> World {
        static COUNTER: AtomicU32 = AtomicU32::new(1);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let test = thread::current().name().unwrap_or("test").replace("::", "_");
        let name: String = format!("t{number}_{test}").chars().take(50).collect();
        let password = format!("password-of-{number}");
        let sandbox = Sandbox::start(config).expect("the sandbox starts");
        let world = World { cluster, api, sandbox, name, password, _turn: turn };
        let mut postgres = world.as_superuser_in("postgres");
        postgres.run(&format!("CREATE ROLE \"{}\" LOGIN PASSWORD '{}'", world.name, world.password));
        postgres.run(&format!("CREATE DATABASE \"{0}\" OWNER \"{0}\" {database}", world.name));
        let mut admin = world.as_superuser();
        admin.run("CREATE EXTENSION sequin_fdw");
        admin.run(&format!("GRANT USAGE ON FOREIGN DATA WRAPPER sequin_fdw TO \"{}\"", world.name));
        world
    }

    fn served(self) -> World {
        let mut session = self.connect();
        session.run(&self.server(self.api.server, ""));
        session.run(&self.mapping(self.api.server));
        session.run(&format!("CREATE SCHEMA {}", self.api.schema));
        self
    }

    fn furnished(self) -> World {
        let world = self.served();
        world.import_some(&mut world.connect(), world.api.limit_to);
        world
    }

    /// Another table for a furnished world.
    pub fn import(&self, session: &mut Session, table: &str) {
        self.import_some(session, &format!("LIMIT TO ({table})"));
    }

    fn import_some(&self, session: &mut Session, limit_to: &str) {
        let Api { namespace, server, schema, .. } = self.api;
        session.run(&format!("IMPORT FOREIGN SCHEMA \"{namespace}\" {limit_to} FROM SERVER {server} INTO {schema}"));
        self.sandbox.clear_requests();
    }

    /// CREATE SERVER for the sandbox; `options` begin with a comma.
    pub fn server(&self, name: &str, options: &str) -> String {
        self.server_at(&self.sandbox.url(), name, options)
    }

    /// The same for what stands before it.
    pub fn server_at(&self, url: &str, name: &str, options: &str) -> String {
        format!(
            "CREATE SERVER {name} FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector '{}', base_url '{url}', allow_insecure 'true'{}{options})",
            self.api.connector, self.api.options
        )
    }

    /// CREATE USER MAPPING with the credentials that the sandbox takes.
    pub fn mapping(&self, server: &str) -> String {
        format!("CREATE USER MAPPING FOR CURRENT_USER SERVER {server} OPTIONS ({})", (self.api.credentials)())
    }

    /// A connection as the role.
    pub fn connect(&self) -> Session {
        self.connect_as(&self.name, &self.password)
    }

    pub fn connect_as(&self, user: &str, password: &str) -> Session {
        Session::new(self.cluster.connect(&self.name, user, password).expect("the role can connect"))
    }

    /// A superuser's connection to the same database.
    pub fn as_superuser(&self) -> Session {
        self.as_superuser_in(&self.name)
    }

    pub fn as_superuser_in(&self, database: &str) -> Session {
        self.cluster.superuser(database)
    }

    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Writes a file that the server can read, and returns its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.cluster.directory.join(format!("{}-{name}", self.name));
        std::fs::write(&path, text).expect("the cluster's directory can be written to");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("the file is ours");
        path.to_string_lossy().into_owned()
    }

    /// The requests so far, those for tokens and those of other clients left out.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        let counts = |request: &LoggedRequest| !request.path.contains("/oauth2/") && is_ours(request);
        self.sandbox.requests().into_iter().filter(counts).collect()
    }

    /// The SOQL of the queries so far; following pages are no queries.
    pub fn queries(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .filter(|request| request.path.contains("q="))
            .filter_map(|request| request.soql)
            .collect()
    }

    /// The queries that `work` sends.
    pub fn queries_of<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<String>) {
        self.sandbox.clear_requests();
        let result = work();
        (result, self.queries())
    }

    /// Waits until a request whose path contains `text` has arrived.
    #[track_caller]
    pub fn await_request(&self, text: &str) {
        let start = Instant::now();
        while !self.sandbox.requests().iter().any(|request| request.path.contains(text)) {
            assert!(start.elapsed() < Duration::from_secs(10), "no request for {text} within 10 s");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The next test must not suffer from what this one leaves; but one that failed has said enough already.
        let Ok(client) = self.cluster.connect("postgres", &self.cluster.user, &self.cluster.password) else {
            return;
        };
        let mut postgres = Session::new(client);
        // Some tests make a second database or role, named after the first.
        let like = format!("'{}%'", self.name.replace('_', "\\_"));
        let mut dropped = Vec::new();
        for (kind, catalog, name, force) in
            [("DATABASE", "pg_database", "datname", " WITH (FORCE)"), ("ROLE", "pg_roles", "rolname", "")]
        {
            let names = postgres
                .try_rows(&format!("SELECT {name} FROM {catalog} WHERE {name} LIKE {like}"))
                .unwrap_or_default();
            for row in names {
                dropped
                    .push(postgres.try_rows(&format!("DROP {kind} \"{}\"{force}", row[0].clone().unwrap_or_default())));
            }
        }
        if !thread::panicking() {
            for result in dropped {
                result.expect("nothing outlives the test's database");
            }
        }
    }
}
