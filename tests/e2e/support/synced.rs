//! Worlds with synced tables: how to wait for what the worker does, and how to compare a table with the API.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sandbox::{Config, LoggedRequest};

use super::cluster::Cluster;
use super::copy;
use super::session::Session;
use super::upstream::TOKEN;
use super::world::World;

/// So long at most anything is waited for that the worker is to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether it has happened.
const GLANCE: Duration = Duration::from_millis(20);

impl World {
    /// A furnished world whose server has a worker.
    pub fn with_worker(config: Config) -> World {
        World::with_worker_in(Cluster::preloaded(), config)
    }

    pub fn with_worker_in(cluster: Arc<Cluster>, config: Config) -> World {
        // A contact or account with an escalated case cannot be deleted.
        World::within(cluster, config.static_token(TOKEN).records("Case", 0))
    }

    /// The same, while no other test runs.
    pub fn with_worker_alone(config: Config) -> World {
        World::alone_within(Cluster::preloaded(), config.static_token(TOKEN).records("Case", 0))
    }

    /// Begins to follow contacts in `crm.contact`, and waits until all are there.
    #[track_caller]
    pub fn follow_contacts(&self, session: &mut Session, every: &str) {
        session.run("CREATE SCHEMA IF NOT EXISTS crm");
        session.run(&format!("SELECT sequin.start_sync('salesforce.contact', 'crm.contact', every => '{every}')"));
        self.await_current(session, "crm.contact");
    }

    /// Waits until a table has been filled, and nothing is wrong with it.
    #[track_caller]
    pub fn await_current(&self, session: &mut Session, target: &str) {
        let sql = format!("SELECT coalesce(state, 'none') FROM sequin.sync_status WHERE target = '{target}'::regclass");
        let done = wait_until(PATIENCE, || session.column(&sql) == ["current"]);
        assert!(done, "{target} is not current: {:?}", session.rows("SELECT * FROM sequin.sync_status"));
    }

    /// Waits until a query returns one cell with this value.
    #[track_caller]
    pub fn await_value(&self, session: &mut Session, sql: &str, value: &str) {
        let mut last = String::new();
        let done = wait_until(PATIENCE, || {
            last = session.value(sql);
            last == value
        });
        assert!(done, "{sql}\nis {last} and not {value}: {:?}", session.rows("SELECT * FROM sequin.sync_status"));
    }

    /// Waits until a query returns true.
    #[track_caller]
    pub fn await_true(&self, session: &mut Session, sql: &str) {
        self.await_value(session, sql, "t");
    }

    /// The records that differ between a synced table and the API, and what each side has. Columns that only one side has are
    /// not compared, nor are those that other records change.
    #[track_caller]
    pub fn differences(&self, session: &mut Session, object: &str, target: &str) -> Vec<String> {
        let foreign = format!("{}.{}", self.api.schema, object.to_lowercase());
        self.differences_from(session, object, &foreign, target)
    }

    /// The same where the foreign table is called otherwise.
    #[track_caller]
    pub fn differences_from(&self, session: &mut Session, object: &str, foreign: &str, target: &str) -> Vec<String> {
        let table = object.to_lowercase();
        session.run("SET client_min_messages = warning");
        session.run(&format!("CREATE SCHEMA IF NOT EXISTS truth; DROP TABLE IF EXISTS truth.{table}"));
        session.run("RESET client_min_messages");
        copy::load(self, session, object, foreign, &format!("truth.{table}"));
        let loose = self.api.loose.join("', '");
        let shared = format!(
            "SELECT string_agg(format('%s.%I', side, t.attname), ', ' ORDER BY t.attnum) FROM pg_attribute t \
             JOIN pg_attribute u ON u.attname = t.attname AND u.attrelid = '{target}'::regclass AND u.attnum > 0 \
             CROSS JOIN (VALUES ('a'), ('b')) AS sides (side) \
             WHERE t.attrelid = 'truth.{table}'::regclass AND t.attnum > 0 AND t.attname NOT IN ('{loose}') GROUP BY side ORDER BY side"
        );
        let lists = session.column(&shared);
        let (left, right) = (&lists[0], &lists[1]);
        session.column(&format!(
            "SELECT coalesce(a.id, b.id) || ' here ' || coalesce(ROW({left})::text, 'none') || ' and there ' || coalesce(ROW({right})::text, 'none') \
             FROM {target} a FULL JOIN truth.{table} b ON b.id = a.id \
             WHERE a.id IS NULL OR b.id IS NULL OR ROW({left}) IS DISTINCT FROM ROW({right}) LIMIT 5"
        ))
    }

    /// Waits until a synced table is what the API has.
    #[track_caller]
    pub fn await_equal(&self, session: &mut Session, object: &str, target: &str) {
        self.await_no(session, |session| self.differences(session, object, target));
    }

    /// Waits until there are no differences.
    #[track_caller]
    pub fn await_no(&self, session: &mut Session, differences: impl Fn(&mut Session) -> Vec<String>) {
        let mut last = Vec::new();
        let done = wait_until(PATIENCE, || {
            last = differences(session);
            last.is_empty()
        });
        assert!(done, "{last:#?}\n{:?}", session.rows("SELECT * FROM sequin.sync_status"));
    }

    /// Asserts that nothing that the worker did to this world's table has failed.
    #[track_caller]
    pub fn no_error(&self, session: &mut Session) {
        assert_eq!(session.value("SELECT coalesce(last_error, 'none') FROM sequin.sync_status"), "none");
        let log = self.cluster().log_text();
        let of_world = format!("] {} ", self.name);
        let bad = |line: &&str| ["duplicate key", "deadlock", "PANIC"].iter().any(|word| line.contains(word));
        let errors: Vec<&str> = log.lines().filter(|line| line.contains(&of_world)).filter(bad).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    /// The process of the database's worker, if one runs.
    pub fn worker(&self) -> Option<i32> {
        let sql = format!(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'sequin_fdw worker' AND datname = '{}'",
            self.name
        );
        // The server may be on its way back.
        let cluster = self.cluster();
        let mut session = Session::new(cluster.connect("postgres", &cluster.user, &cluster.password).ok()?);
        session.try_rows(&sql).ok()?.first()?.first()?.as_ref()?.parse().ok()
    }

    #[track_caller]
    pub fn await_worker(&self) -> i32 {
        let mut found = None;
        wait_until(PATIENCE, || {
            found = self.worker();
            found.is_some()
        });
        found.expect("a worker runs")
    }
}

/// Whether the request is one of the extension's own.
pub fn is_ours(request: &LoggedRequest) -> bool {
    request.header("Authorization") != Some(&format!("Bearer {TOKEN}"))
}

/// Whether `done` says so within this time.
pub fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        thread::sleep(GLANCE);
    }
}
