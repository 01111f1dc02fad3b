//! The rates that an API allows are kept by all sessions together, before the API complains; users go before workers.

use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use sandbox::{AIRTABLE_BASE, AIRTABLE_TOKEN};

use crate::support::{Action, Cluster, Config, Fault, Session, World};

/// A server that keeps Airtable's own rates, and the table `ops.empty`.
fn limited(world: &World) -> Session {
    let mut session = world.connect();
    session.run(&format!(
        "CREATE SERVER at FOREIGN DATA WRAPPER sequin_fdw OPTIONS (connector 'airtable', base_url '{}', allow_insecure 'true')",
        world.sandbox.url()
    ));
    session.run(&format!("CREATE USER MAPPING FOR CURRENT_USER SERVER at OPTIONS (token '{AIRTABLE_TOKEN}')"));
    session.run(&format!(
        "CREATE SCHEMA ops; IMPORT FOREIGN SCHEMA \"{AIRTABLE_BASE}\" LIMIT TO (empty, companies) FROM SERVER at INTO ops"
    ));
    session
}

/// One that shuts a base for so long once it was asked too often.
fn strict(penalty_ms: u64) -> Config {
    Config::new().airtable(|switches| {
        switches.penalty_ms = penalty_ms;
        switches.retry_after = true;
    })
}

/// Another client asks a base more often than it may. How many requests were refused.
fn anger(world: &World) -> u64 {
    let url = format!(
        "{}/v0/{}/{}",
        world.sandbox.url(),
        world.sandbox.airtable_base(),
        world.sandbox.airtable_table("Empty")
    );
    for _ in 0..6 {
        let _ = ureq::get(&url).header("Authorization", &format!("Bearer {AIRTABLE_TOKEN}")).call();
    }
    refused(world)
}

fn refused(world: &World) -> u64 {
    world.sandbox.airtable_traffic()["refused"].as_u64().unwrap_or_default()
}

#[test]
fn two_sessions_and_a_synced_table_write_a_thousand_rows_with_a_hundred_requests_and_never_more_than_five_in_a_second()
{
    let world = World::bare_in(Cluster::preloaded(), strict(30_000));
    let mut session = limited(&world);
    session.run("CREATE SCHEMA crm; SELECT sequin.start_sync('ops.companies', 'crm.companies', every => '1 second')");
    world.await_current(&mut session, "crm.companies");
    world.sandbox.clear_requests();
    let start = Instant::now();
    let writers = ["a", "b"].map(|name| {
        let mut session = world.connect();
        thread::spawn(move || {
            session
                .count(&format!("INSERT INTO ops.empty (name) SELECT '{name}' || i FROM generate_series(1, 500) AS i"))
        })
    });
    for writer in writers {
        assert_eq!(writer.join().expect("it writes"), 500);
    }
    let took = start.elapsed();
    let traffic = world.sandbox.airtable_traffic();
    println!("{took:?}, {traffic}");
    let base = world.sandbox.airtable_base();
    let path = format!("/v0/{base}/{}", world.sandbox.airtable_table("Empty"));
    let requests = world.requests();
    let writes = requests.iter().filter(|request| request.method == "POST" && request.path == path).count();
    assert_eq!(writes, 100);
    assert_eq!(refused(&world), 0);
    assert!(traffic["most_in_a_second"][&base].as_u64().is_some_and(|most| most <= 5), "{traffic}");
    // A hundred, by fives; the polls take what they are left.
    assert!(took < Duration::from_secs(32), "{took:?}");
    assert_eq!(session.number("SELECT count(*) FROM ops.empty"), 1000);
    session.run("SELECT sequin.stop_sync('crm.companies')");
}

#[test]
fn a_base_that_is_shut_is_left_alone_by_all_sessions_until_it_opens() {
    let world = World::bare(strict(2_500));
    let mut one = limited(&world);
    let mut two = world.connect();
    let others = anger(&world);
    let start = Instant::now();
    let first = thread::spawn(move || one.number("SELECT count(*) FROM ops.empty"));
    thread::sleep(Duration::from_millis(500));
    assert_eq!(two.number("SELECT count(*) FROM ops.empty"), 0);
    assert_eq!(first.join().expect("it works"), 0);
    assert!((1500..6000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    // The first session's first: the second one did not even ask.
    assert_eq!(refused(&world) - others, 1);
}

#[test]
fn a_base_that_is_shut_for_long_is_53400_with_the_time_at_which_it_opens_and_not_asked_again() {
    let world = World::bare(strict(300_000));
    let mut one = limited(&world);
    let mut two = world.connect();
    let others = anger(&world);
    one.fails_with("53400", "SELECT count(*) FROM ops.empty").hints("300 s");
    let failure = two.fails_with("53400", "SELECT count(*) FROM ops.empty");
    failure
        .mentions(&format!("takes no requests to base {} before 20", world.sandbox.airtable_base()))
        .mentions("UTC")
        .hints("Try again");
    assert_eq!(refused(&world) - others, 1);
}

#[test]
fn a_wait_for_a_turn_is_cancelled_at_once() {
    let world = World::bare_alone(strict(20_000));
    let mut session = limited(&world);
    anger(&world);
    session.run("SET statement_timeout = '300ms'");
    for _ in 0..2 {
        let start = Instant::now();
        session.fails_with("57014", "SELECT count(*) FROM ops.empty");
        assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
    }
}

/// Of a file with holes, a page for which the disk has no room ends the process that first writes to it.
#[test]
fn the_file_that_all_sessions_share_has_no_holes() {
    let world = World::new(Config::new().records("Contact", 5));
    assert_eq!(world.connect().number("SELECT count(*) FROM salesforce.contact"), 5);
    let file = std::fs::metadata(world.cluster().data().join("sequin_fdw/rates.2")).expect("it is there");
    assert!(file.blocks() * 512 >= file.len() && file.len() > 1 << 20, "{file:?}");
}

#[test]
fn the_server_s_option_is_kept_by_all_sessions_together() {
    let world = World::new(Config::new().records("Contact", 5));
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD requests_per_second '10'); SELECT 1 FROM salesforce.contact");
    let start = Instant::now();
    let readers = [(); 3].map(|()| {
        let mut session = world.connect();
        thread::spawn(move || {
            for _ in 0..10 {
                assert_eq!(session.number("SELECT count(*) FROM salesforce.contact WHERE last_name <> 'x'"), 5);
            }
        })
    });
    for reader in readers {
        reader.join().expect("it reads");
    }
    // Some thirty requests: ten at once, ten each second after.
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());
}

/// Another role, with a server of its own at the same place, a token that the API does not know, and the table `own.contact`.
fn stranger(world: &World, options: &str) -> Session {
    let name = format!("{}_stranger", world.name);
    let mut admin = world.as_superuser();
    admin.run(&format!("CREATE ROLE \"{name}\" LOGIN PASSWORD 'stranger'"));
    admin.run(&format!("GRANT USAGE ON FOREIGN DATA WRAPPER sequin_fdw TO \"{name}\""));
    admin.run(&format!("GRANT CREATE ON DATABASE \"{}\" TO \"{name}\"", world.name));
    let mut session = world.connect_as(&name, "stranger");
    session.run(&world.server("own", options));
    session.run("CREATE USER MAPPING FOR CURRENT_USER SERVER own OPTIONS (token 'nobody knows it')");
    session.run(
        "CREATE SCHEMA own; CREATE FOREIGN TABLE own.contact (id text OPTIONS (field 'Id', type 'id', key 'true'), \
         last_name text OPTIONS (field 'LastName', type 'string', capabilities 'filter')) SERVER own OPTIONS (object 'Contact')",
    );
    session
}

#[test]
fn refused_credentials_use_up_nothing_of_the_rate_of_good_ones() {
    let world = World::new(Config::new().records("Contact", 5));
    let mut session = world.connect();
    session.run("ALTER SERVER sf OPTIONS (ADD requests_per_second '5')");
    let read = "SELECT count(*) FROM salesforce.contact WHERE last_name <> 'x'";
    session.run(read);
    let mut ask = || {
        let start = Instant::now();
        for _ in 0..16 {
            assert_eq!(session.number(read), 5);
        }
        start.elapsed()
    };
    let alone = ask();
    let mut first = stranger(&world, ", requests_per_second '5'");
    first.fails_with("28000", "SELECT id FROM own.contact");
    let strangers: Vec<_> = [first]
        .into_iter()
        .chain([(); 3].map(|()| world.connect_as(&format!("{}_stranger", world.name), "stranger")))
        .collect();
    let (stop, stopped) =
        (std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)), std::sync::atomic::Ordering::SeqCst);
    let asking: Vec<_> = strangers
        .into_iter()
        .map(|mut stranger| {
            let stop = std::sync::Arc::clone(&stop);
            thread::spawn(move || {
                let mut refused = 0;
                while !stop.load(stopped) {
                    stranger.fails_with("28000", "SELECT id FROM own.contact");
                    refused += 1;
                }
                refused
            })
        })
        .collect();
    let beside = ask();
    stop.store(true, stopped);
    let refused: u32 = asking.into_iter().map(|asking| asking.join().expect("it asks")).sum();
    assert!(refused > 5, "{refused}");
    assert!(beside < alone + Duration::from_millis(800), "{beside:?}, {alone:?} alone");
}

#[test]
fn what_the_api_answers_to_credentials_that_it_does_not_know_shuts_it_for_nobody_else() {
    let world = World::new(Config::new().records("Contact", 5));
    let mut session = world.connect();
    session.run("SELECT 1 FROM salesforce.contact");
    let mut stranger = stranger(&world, ", max_retries '0'");
    let headers = vec![("Retry-After".to_owned(), "3600".to_owned())];
    let shut = || Fault::new(Action::Status { code: 429, body: String::new(), headers: headers.clone() });
    world.sandbox.fault(shut().soql("stranger"));
    let asked = "SELECT id FROM own.contact WHERE last_name = 'stranger'";
    stranger.fails_with("53400", asked).hints("3600 s");
    stranger.fails_with("53400", asked).mentions("takes no requests to Salesforce before 20");
    assert_eq!(session.number("SELECT count(*) FROM salesforce.contact"), 5);
    assert_eq!(world.connect().number("SELECT count(*) FROM salesforce.contact"), 5);
    // What those are told whom it knows, holds for all of them.
    world.sandbox.fault(shut().soql("known"));
    session.fails_with("53400", "SELECT id FROM salesforce.contact WHERE last_name = 'known'");
    world.connect().fails_with("53400", "SELECT id FROM salesforce.contact").mentions("takes no requests");
}

#[test]
fn a_restart_of_the_server_forgets_what_was_closed() {
    let cluster = Cluster::private(&[]);
    let world = World::within(cluster.clone(), Config::new().records("Contact", 5));
    let mut session = world.connect();
    session.run("SELECT 1 FROM salesforce.contact");
    let headers = vec![("Retry-After".to_owned(), "3600".to_owned())];
    world.sandbox.fault(Fault::new(Action::Status { code: 429, body: String::new(), headers }).path("/query").times(1));
    session.fails_with("53400", "SELECT id FROM salesforce.contact");
    world.connect().fails_with("53400", "SELECT id FROM salesforce.contact").mentions("takes no requests");
    drop(session);
    assert!(cluster.control(&cluster.data(), &["-m", "fast", "-w", "stop"]));
    cluster.start(&cluster.data(), cluster.port);
    assert_eq!(world.connect().number("SELECT count(*) FROM salesforce.contact"), 5);
    let file = cluster.data().join("sequin_fdw/rates.2");
    assert!(file.is_file() && !file.with_file_name("rates.1").exists());
}
