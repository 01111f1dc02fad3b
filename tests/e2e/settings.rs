//! The settings `sequin_fdw.*`.

use crate::support::{Cluster, Config, Session, World};

#[test]
fn max_requests_bounds_a_statement() {
    let world = World::new(Config::new().records("Contact", 1000).page_size(200));
    let mut session = world.connect();
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    session.run("SET sequin_fdw.max_requests = 3");
    world.sandbox.clear_requests();
    let failure = session.fails_with("53400", "SELECT id FROM salesforce.contact");
    failure.mentions("max_requests");
    assert!(failure.hint.is_some(), "{failure:#?}");
    assert!(world.requests().len() <= 3, "{} requests", world.requests().len());
    // Each statement has its own budget, and all scans of one share it.
    for _ in 0..3 {
        assert_eq!(session.rows("SELECT id FROM salesforce.contact LIMIT 10").len(), 10);
    }
    session.fails_with(
        "53400",
        "SELECT (SELECT count(*) FROM (SELECT id FROM salesforce.contact LIMIT 390) a), (SELECT count(*) FROM (SELECT id FROM salesforce.contact LIMIT 391) b)",
    );
    session.run("SET sequin_fdw.max_requests = 5");
    assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
    session.run("RESET sequin_fdw.max_requests");
    assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
}

#[test]
fn allowed_hosts_is_for_superusers_and_holds() {
    let world = World::new(Config::new());
    let mut session = world.connect();
    // Before the library is loaded, Postgres takes a setting on trust; whether it was right is checked then.
    session.run("SET sequin_fdw.allowed_hosts = 'example.com'");
    session.run("SELECT id FROM salesforce.contact LIMIT 1");
    assert_eq!(session.value("SHOW sequin_fdw.allowed_hosts"), "");
    session.fails_with("42501", "SET sequin_fdw.allowed_hosts = 'example.com'");
    let mut admin = world.as_superuser();
    admin.run(&format!(
        "ALTER DATABASE \"{}\" SET sequin_fdw.allowed_hosts = '*.salesforce.com, login.example.com'",
        world.name
    ));
    let mut later = world.connect();
    world.sandbox.clear_requests();
    let failure = later.fails_with("42501", "SELECT id FROM salesforce.contact");
    failure.mentions("127.0.0.1").hints("allowed_hosts");
    assert!(world.sandbox.requests().is_empty(), "not even a token is asked for");
    later.fails_with("42501", "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (lead) FROM SERVER sf INTO salesforce");
    later.explain("VERBOSE", "SELECT id FROM salesforce.contact");
    admin.run(&format!("ALTER DATABASE \"{}\" SET sequin_fdw.allowed_hosts = 'example.com, 127.0.0.1'", world.name));
    assert!(!world.connect().rows("SELECT id FROM salesforce.contact LIMIT 1").is_empty());
}

/// What asks the API in one way or another.
const ASKING: [&str; 7] = [
    "SELECT id FROM salesforce.contact LIMIT 1",
    "INSERT INTO salesforce.contact (last_name) VALUES ('x')",
    "ANALYZE salesforce.contact",
    "IMPORT FOREIGN SCHEMA salesforce LIMIT TO (lead) FROM SERVER sf INTO salesforce",
    "SELECT * FROM sequin.call('sf', 'GET', '/services/data')",
    "SELECT * FROM sequin.upsert('salesforce.contact', 'id', '[{\"last_name\": \"x\"}]')",
    "SELECT sequin.start_sync('salesforce.contact', 'contact')",
];

#[test]
fn the_wrapper_s_allowed_hosts_bind_everybody_from_the_next_statement_on() {
    let world = World::new(Config::new());
    let (mut session, mut admin) = (world.connect(), world.as_superuser());
    session.run(ASKING[0]);
    let wrapper = |options: &str| format!("ALTER FOREIGN DATA WRAPPER sequin_fdw OPTIONS ({options})");
    session.fails_with("42501", &wrapper("ADD allowed_hosts '127.0.0.1'"));
    for bad in ["https://127.0.0.1", "127.0.0.1:443", "*", "example.com/x"] {
        admin.fails_with("HV00D", &wrapper(&format!("ADD allowed_hosts '{bad}'"))).mentions("*.example.com");
    }
    admin.fails_with("HV00D", &wrapper("ADD allowed_host 'example.com'")).hints("allowed_hosts");
    session.fails_with("HV00D", "ALTER SERVER sf OPTIONS (ADD allowed_hosts '127.0.0.1')").hints("WRAPPER");
    admin.run(&wrapper("ADD allowed_hosts 'login.example.com, *.salesforce.com'"));
    world.sandbox.clear_requests();
    for asking in ASKING {
        session.fails_with("42501", asking).mentions("127.0.0.1").hints("allowed_hosts");
    }
    session.explain("VERBOSE", ASKING[0]);
    // The setting cannot let in what the option leaves out.
    admin.run(&format!("ALTER DATABASE \"{}\" SET sequin_fdw.allowed_hosts = '127.0.0.1'", world.name));
    world.connect().fails_with("42501", ASKING[0]);
    assert!(world.sandbox.requests().is_empty(), "not even a token is asked for");
    admin.run(&wrapper("SET allowed_hosts 'login.example.com, 127.0.0.1'"));
    session.run(ASKING[0]);
    world.connect().run(ASKING[0]);
    // But it can leave out what the option lets in.
    admin.run(&format!("ALTER DATABASE \"{}\" SET sequin_fdw.allowed_hosts = '*.example.com'", world.name));
    world.connect().fails_with("42501", ASKING[0]);
    admin.run(&format!("ALTER DATABASE \"{}\" RESET sequin_fdw.allowed_hosts", world.name));
    admin.run(&wrapper("DROP allowed_hosts"));
    world.connect().run(ASKING[0]);
}

#[test]
fn the_wrapper_s_allowed_hosts_bind_the_worker() {
    let world = World::with_worker(Config::new().records("Contact", 5));
    let mut session = world.connect();
    world.follow_contacts(&mut session, "100 ms");
    let mut admin = world.as_superuser();
    // Not what is set on the role, as which the worker does not come.
    admin.run("ALTER FOREIGN DATA WRAPPER sequin_fdw OPTIONS (ADD allowed_hosts 'example.com')");
    world.await_true(&mut session, "SELECT coalesce(last_error LIKE '%127.0.0.1%', false) FROM sequin.sync_status");
    admin.run("ALTER FOREIGN DATA WRAPPER sequin_fdw OPTIONS (DROP allowed_hosts)");
    world.await_current(&mut session, "crm.contact");
}

/// A session that sets something while it connects.
fn connect_with(world: &World, options: &str) -> Session {
    let mut config = world.cluster().config(&world.name, &world.name, &world.password);
    Session::new(config.options(options).connect(postgres::NoTls).expect("the role can connect"))
}

#[test]
fn what_a_client_sets_while_it_connects_opens_no_host() {
    let world = World::new(Config::new());
    let mut admin = world.as_superuser();
    let name = &world.name;
    for place in
        [format!("DATABASE \"{name}\""), format!("ROLE \"{name}\""), format!("ROLE \"{name}\" IN DATABASE \"{name}\"")]
    {
        admin.run(&format!("ALTER {place} SET sequin_fdw.allowed_hosts = 'example.com'"));
        for value in ["127.0.0.1", "x", "example.com", ""] {
            let mut session = connect_with(&world, &format!("-c sequin_fdw.allowed_hosts={value}"));
            for asking in ["RESET sequin_fdw.allowed_hosts", "RESET ALL", "DISCARD ALL"] {
                session.run(asking);
                session.fails_with("42501", ASKING[0]).hints("PGOPTIONS");
            }
        }
        // What is set later only hides for a while what is configured.
        let mut session = world.connect();
        session.run("SET sequin_fdw.allowed_hosts = '127.0.0.1'");
        session.fails_with("42501", ASKING[0]).mentions("127.0.0.1");
        session.fails_with("42501", "SET sequin_fdw.allowed_hosts = '127.0.0.1'");
        admin.run(&format!("ALTER {place} RESET sequin_fdw.allowed_hosts"));
    }
    assert!(world.requests().is_empty());
    // Superusers may give it.
    admin.run(&world.mapping("sf"));
    let mut config = world.cluster().config(&world.name, &world.cluster().user, &world.cluster().password);
    let mut open = |host: &str| {
        let options = format!("-c sequin_fdw.allowed_hosts={host}");
        Session::new(config.options(&options).connect(postgres::NoTls).expect("superusers can connect"))
    };
    open("127.0.0.1").run(ASKING[0]);
    open("example.com").fails_with("42501", ASKING[0]).mentions("127.0.0.1");
}

#[test]
fn what_a_client_sets_while_it_connects_opens_no_host_that_postgresql_conf_closes() {
    let cluster = Cluster::private(&[("shared_preload_libraries", ""), ("sequin_fdw.allowed_hosts", "example.com")]);
    let world = World::bare_in(cluster, Config::new());
    let mut session = world.connect();
    session.run(&world.server("sf", ""));
    session.run(&world.mapping("sf"));
    session.run("CREATE FOREIGN TABLE contact (id text OPTIONS (field 'Id')) SERVER sf OPTIONS (object 'Contact')");
    session.fails_with("42501", "SELECT * FROM contact").mentions("127.0.0.1");
    connect_with(&world, "-c sequin_fdw.allowed_hosts=127.0.0.1").fails_with("42501", "SELECT * FROM contact");
    assert!(world.sandbox.requests().is_empty());
}

#[test]
fn requests_per_second_are_kept() {
    let world = World::new(Config::new().records("Contact", 1000).page_size(200));
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD requests_per_second '4')");
    let start = std::time::Instant::now();
    for _ in 0..2 {
        assert_eq!(session.rows("SELECT id FROM salesforce.contact").len(), 1000);
    }
    // Ten pages; the first few may go at once.
    assert!(start.elapsed().as_millis() > 1200, "{:?}", start.elapsed());
}
