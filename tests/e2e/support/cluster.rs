//! The cluster that all tests share, as `tests/cluster run` announces it.

use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;

use postgres::NoTls;

pub struct Cluster {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// Its directory: the server can read what is put there.
    pub directory: PathBuf,
    pub log: PathBuf,
}

impl Cluster {
    pub fn get() -> &'static Cluster {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| Cluster {
            host: variable("PGHOST"),
            port: variable("PGPORT").parse().expect("PGPORT is no number"),
            user: variable("PGUSER"),
            password: variable("PGPASSWORD"),
            directory: variable("SEQUIN_CLUSTER_DIR").into(),
            log: variable("SEQUIN_CLUSTER_LOG").into(),
        })
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
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests run in a throwaway cluster, by `make test` or `tests/cluster run -- cargo test --release --test e2e`")
    })
}
