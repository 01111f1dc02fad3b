//! How connections and the proxy itself end.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::peers::{Client, Saw, Server, good};
use proxy::{Action, Proxy, Schedule};

/// Waits for something that is to come soon.
#[track_caller]
fn soon(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(5), "not within 5 s");
        thread::sleep(Duration::from_millis(2));
    }
}

/// How long `work` takes.
fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

#[test]
fn dropping_the_proxy_closes_its_port_and_every_connection() {
    let server = Server::start();
    let proxy = Proxy::start(format!("http://{}", server.address)).unwrap();
    let url = proxy.url();
    let address = url.strip_prefix("http://").unwrap();
    let mut idle = Client::new(&url);
    assert_eq!(idle.get("/a"), good());
    let mut busy: Vec<Client> = Vec::new();
    let last = Action::Delay(Duration::from_secs(60));
    for (action, path) in [(Action::Hang, "/hang"), (Action::Pass, "/silent"), (last, "/delay")] {
        proxy.set(Schedule::always(action));
        busy.push(Client::new(&url));
        busy.last_mut().unwrap().send(&format!("GET {path} HTTP/1.1\r\n\r\n"));
        soon(|| proxy.journal().last().is_some_and(|entry| entry.path == path));
    }
    soon(|| proxy.journal().last().is_some_and(|entry| entry.status == Some(200)));
    assert!(time(|| drop(proxy)) < Duration::from_secs(2));
    assert!(TcpStream::connect(address).is_err());
    assert!(idle.is_closed() && busy.iter_mut().all(Client::is_closed));
}

#[test]
fn proxies_come_and_go_without_leaving_anything() {
    let server = Server::start();
    for _ in 0..50 {
        let proxy = Proxy::start(server.address).unwrap();
        assert_eq!(Client::new(&proxy.url()).get("/a"), good());
    }
    let proxy = Proxy::start(server.address).unwrap();
    for _ in 0..200 {
        assert_eq!(Client::new(&proxy.url()).get("/a"), good());
    }
}

#[test]
fn a_hanging_request_ends_with_its_client_and_holds_no_other_up() {
    let server = Server::start();
    let proxy = Proxy::start(server.address).unwrap();
    proxy.set(Schedule::nth(0, Action::Hang));
    let mut hanging = Client::new(&proxy.url());
    hanging.send("GET /hang HTTP/1.1\r\n\r\n");
    soon(|| !proxy.journal().is_empty());
    assert_eq!(Client::new(&proxy.url()).get("/other"), good());
    drop(hanging);
    let entry = proxy.journal().remove(0);
    assert_eq!((entry.path.as_str(), entry.forwarded, entry.status), ("/hang", false, None));
    assert_eq!(server.seen(), ["0 GET /other"]);
}

#[test]
fn a_client_that_goes_away_takes_its_connection_to_the_server_along() {
    let server = Server::start();
    let proxy = Proxy::start(server.address).unwrap();
    let mut leaving = Client::new(&proxy.url());
    leaving.send("GET /slow HTTP/1.1\r\n\r\n");
    soon(|| server.seen().len() == 1);
    drop(leaving);
    thread::sleep(Duration::from_millis(500));
    let entry = proxy.journal().remove(0);
    assert_eq!((entry.forwarded, entry.status), (true, None), "nobody waited for the answer");
}

#[test]
fn a_server_that_ends_idle_connections_or_is_gone() {
    let server = Server::start();
    let proxy = Proxy::start(server.address).unwrap();
    let mut client = Client::new(&proxy.url());
    // The server closes its connection, the client's stays: the next request needs another one.
    proxy.set(Schedule::nth(0, Action::answer_after(200, "{}")));
    assert_eq!(client.get("/closing"), Saw::Whole(200, "{}".into()));
    assert_eq!(client.get("/a"), good());
    assert_eq!(server.seen(), ["0 GET /closing", "1 GET /a"]);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(nobody).unwrap();
    assert_eq!(Client::new(&proxy.url()).get("/a"), Saw::Nothing);
    assert!(!proxy.journal()[0].forwarded);
}

#[test]
fn a_schedule_that_panics_loses_its_own_connection_alone() {
    let server = Server::start();
    let proxy = Proxy::start(server.address).unwrap();
    proxy.set(Schedule::new(|request| if request.path == "/panic" { panic!("as ordered") } else { Action::Pass }));
    assert_eq!(Client::new(&proxy.url()).get("/panic"), Saw::Nothing);
    assert_eq!(Client::new(&proxy.url()).get("/a"), good());
}
