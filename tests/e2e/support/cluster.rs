//! Clusters: the one that most tests share, as `tests/cluster run` announces it, and others whose server loads the library
//! when it starts.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use postgres::NoTls;

use super::session::Session;

pub struct Cluster {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// Its directory: the server can read what is put there.
    pub directory: PathBuf,
    pub log: PathBuf,
    /// What runs as long as the cluster does, if it was started here.
    keeper: Mutex<Option<Child>>,
}

/// Said when a cluster that was started here can be used.
const READY: &str = "ready";

impl Cluster {
    /// The one that the tests were started in.
    pub fn shared() -> Arc<Cluster> {
        static CLUSTER: OnceLock<Arc<Cluster>> = OnceLock::new();
        CLUSTER.get_or_init(|| Arc::new(Cluster::announced(variable, None))).clone()
    }

    /// One whose server has loaded the library, for all tests that do nothing to the server itself.
    pub fn preloaded() -> Arc<Cluster> {
        static CLUSTER: OnceLock<Arc<Cluster>> = OnceLock::new();
        CLUSTER.get_or_init(|| Cluster::private(&[])).clone()
    }

    /// Such a one for a test alone; it ends when it is dropped, or when the tests do.
    pub fn private(settings: &[(&str, &str)]) -> Arc<Cluster> {
        Cluster::private_in(&[], settings)
    }

    /// The same, whose server has these variables in its environment.
    pub fn private_in(environment: &[(&str, &str)], settings: &[(&str, &str)]) -> Arc<Cluster> {
        let mut run = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster"));
        run.args(["run", "--set", "shared_preload_libraries=sequin_fdw", "--set", "max_worker_processes=80"]);
        for (name, value) in environment {
            run.args(["--env", &format!("{name}={value}")]);
        }
        for (name, value) in settings {
            run.args(["--set", &format!("{name}={value}")]);
        }
        let command = format!("env; echo {READY}; exec cat");
        run.args(["--", "sh", "-c", &command]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = run.spawn().expect("tests/cluster can be run");
        let lines = BufReader::new(keeper.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let said: Vec<String> = lines.take_while(|line| line != READY).collect();
        let find = |name: &str| {
            let value = said.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no cluster was started: {name} is not said")).to_owned()
        };
        Arc::new(Cluster::announced(find, Some(keeper)))
    }

    fn announced(find: impl Fn(&str) -> String, keeper: Option<Child>) -> Cluster {
        Cluster {
            host: find("PGHOST"),
            port: find("PGPORT").parse().expect("PGPORT is no number"),
            user: find("PGUSER"),
            password: find("PGPASSWORD"),
            directory: find("SEQUIN_CLUSTER_DIR").into(),
            log: find("SEQUIN_CLUSTER_LOG").into(),
            keeper: Mutex::new(keeper),
        }
    }

    pub fn connect(&self, database: &str, user: &str, password: &str) -> Result<postgres::Client, postgres::Error> {
        self.config(database, user, password).connect(NoTls)
    }

    pub fn config(&self, database: &str, user: &str, password: &str) -> postgres::Config {
        let mut config = postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(user)
            .password(password)
            .dbname(database)
            .application_name("sequin_fdw tests");
        config
    }

    /// A superuser's session.
    pub fn superuser(&self, database: &str) -> Session {
        Session::new(self.connect(database, &self.user, &self.password).expect("the cluster is there"))
    }

    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What the server has written to its log.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The process of the server itself.
    pub fn postmaster(&self) -> i32 {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).expect("the server runs");
        text.lines().next().and_then(|line| line.parse().ok()).expect("its first line is a number")
    }

    /// Ends the server at once, as a crash would, and starts it again.
    pub fn crash(&self) {
        kill(self.postmaster(), "KILL");
        self.start(&self.data(), self.port);
    }

    /// Starts a server on data that are there, and waits until it answers.
    pub fn start(&self, data: &Path, port: u16) {
        let begin = Instant::now();
        // What a crash has left may be on its way out: it still holds the port, or the shared memory.
        while !self.control(data, &["-l", &self.log.to_string_lossy(), "-o", &format!("-p {port}"), "-w", "start"]) {
            assert!(begin.elapsed() < Duration::from_secs(30), "the server does not start: {}", tail(&self.log_text()));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs `pg_ctl` on a data directory. Whether it succeeded.
    pub fn control(&self, data: &Path, arguments: &[&str]) -> bool {
        let mut command = self.program("pg_ctl");
        command.arg("-D").arg(data).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Where Postgres's programs are.
    pub fn programs(&self) -> PathBuf {
        let config = env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".to_owned());
        let bin = Command::new(config).arg("--bindir").output().expect("pg_config runs");
        String::from_utf8_lossy(&bin.stdout).trim().into()
    }

    /// One of Postgres's programs, run as whoever owns the cluster: Postgres does not run as root.
    pub fn program(&self, name: &str) -> Command {
        let program = self.programs().join(name);
        let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let mut command = if root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .current_dir(&self.directory)
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", &self.password);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut keeper) = keeper.take() {
            // It ends when there is nothing more to read.
            drop(keeper.stdin.take());
            // However it ends, nobody needs it any more.
            let _ = keeper.wait();
        }
    }
}

/// Sends a signal to a process, which may be gone.
pub fn kill(process: i32, signal: &str) {
    let _ = Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).stderr(Stdio::null()).status();
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests run in a throwaway cluster, by `make test` or `tests/cluster run -- cargo test --release --test e2e`")
    })
}
