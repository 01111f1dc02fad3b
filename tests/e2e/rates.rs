//! The rates that an API allows are kept by all sessions together, before the API complains; users go before workers.

use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use sandbox::{AIRTABLE_BASE, AIRTABLE_TOKEN};

use crate::support::{Cluster, Config, Session, World};

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
    let file = std::fs::metadata(world.cluster().data().join("sequin_fdw/rates.1")).expect("it is there");
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
