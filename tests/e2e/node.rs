//! Clients that know nothing of foreign tables (a low-code tool, an ORM, a database browser): node-postgres over SSL and SCRAM, as
//! a role that is no superuser.

use std::process::Command;

use crate::support::{Config, World};

#[test]
fn node_postgres_over_ssl_and_scram() {
    let world = World::new(Config::new().records("Contact", 3000));
    let mut session = world.connect();
    session.run("ALTER SCHEMA salesforce RENAME TO sf");
    // The same table with credentials that are refused.
    session.run(&world.server("wrong", ""));
    session.run("CREATE USER MAPPING FOR CURRENT_USER SERVER wrong OPTIONS (client_id 'sandbox-client', client_secret 'not this one')");
    session.run("CREATE SCHEMA wrong; CREATE FOREIGN TABLE wrong.contact (id text OPTIONS (field 'Id'), account_id text OPTIONS (field 'AccountId')) SERVER wrong OPTIONS (object 'Contact')");
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node");
    assert!(
        std::path::Path::new(directory).join("node_modules/pg").exists(),
        "node-postgres is not there: run `npm ci` in tests/node"
    );
    let cluster = world.cluster();
    let output = Command::new("node")
        .args(["--test", "--test-reporter=tap"])
        .current_dir(directory)
        .env(
            "SEQUIN_NODE_URL",
            format!("postgresql://{}:{}@{}:{}/{}", world.name, world.password, cluster.host, cluster.port, world.name),
        )
        .env("SEQUIN_NODE_CA", cluster.directory.join("server.crt"))
        .env("SEQUIN_ACCOUNT", world.sandbox.id("Account", 0))
        .env("SEQUIN_SANDBOX", world.sandbox.url())
        .output()
        .expect("node runs");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("# fail 0") && !report.contains("# pass 0"), "{report}");
}
