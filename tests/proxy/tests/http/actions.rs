//! What each action does to either side.

use std::time::{Duration, Instant};

use crate::peers::{BODY, Client, Saw, Server, good};
use proxy::{Action, Proxy, Request, Schedule};

struct World {
    server: Server,
    proxy: Proxy,
}

impl World {
    fn new() -> World {
        let server = Server::start();
        let proxy = Proxy::start(server.address).unwrap();
        World { server, proxy }
    }

    fn client(&self) -> Client {
        Client::new(&self.proxy.url())
    }

    /// What a client sees that asks for this path on a new connection, and whether the connection can be used again.
    fn strike(&self, action: Action, path: &str) -> (Saw, bool) {
        self.strike_as("GET", action, path)
    }

    fn strike_as(&self, method: &str, action: Action, path: &str) -> (Saw, bool) {
        self.proxy.clear_journal();
        self.proxy.set(Schedule::nth(0, action.clone()));
        let before = self.server.seen().len();
        let mut client = self.client();
        let saw = client.ask(method, path, "");
        let entry = self.proxy.journal().pop().unwrap();
        assert_eq!((entry.method.as_str(), entry.path.as_str(), &entry.action), (method, path, &action));
        assert_eq!(entry.forwarded, action.forwards(), "{action:?}");
        assert_eq!(self.server.seen().len() - before, usize::from(action.forwards()), "{action:?}");
        assert_eq!(entry.status.is_some(), action.forwards(), "{action:?}");
        let goes_on = match saw {
            Saw::Whole(..) => client.get("/after") == good(),
            _ => !client.is_closed(),
        };
        (saw, goes_on)
    }
}

#[test]
fn many_requests_go_over_one_connection_in_their_order() {
    let it = World::new();
    let mut client = it.client();
    for n in 0..200 {
        let path = ["/plain", "/chunked", "/empty"][n % 3];
        client.send(&format!("POST {path}?{n} HTTP/1.1\r\nContent-Length: 4\r\n\r\n{n:04}"));
        let (head, body) = client.read_raw(false).unwrap();
        assert!(head.starts_with(if path == "/empty" { "HTTP/1.1 204 " } else { "HTTP/1.1 200 " }), "{head}");
        assert_eq!(body.len(), [BODY.len(), BODY.len() + 16, 0][n % 3], "{body}");
    }
    let seen = it.server.seen();
    let expected: Vec<String> =
        (0..200).map(|n| format!("0 POST {}?{n} {n:04}", ["/plain", "/chunked", "/empty"][n % 3])).collect();
    assert_eq!(seen, expected, "all on the server's first connection");
    let journal = it.proxy.journal();
    assert!(journal.iter().enumerate().all(|(n, entry)| entry.number == n as u64 && entry.connection == 1));
    assert!(journal.iter().all(|entry| entry.forwarded && entry.action == Action::Pass));
    assert!(journal.iter().enumerate().all(|(n, entry)| entry.status == Some([200, 200, 204][n % 3])));
    it.proxy.clear_journal();
    assert!(it.proxy.journal().is_empty());
    assert_eq!(client.get("/plain"), good());
    assert_eq!(it.proxy.journal()[0].number, 200);
}

#[test]
fn requests_sent_without_waiting_are_answered_in_turn() {
    let it = World::new();
    let mut client = it.client();
    client.send(
        "GET /a HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\n\r\nGET /empty HTTP/1.1\r\n\r\nGET /chunked HTTP/1.1\r\n\r\n",
    );
    assert_eq!(client.read(false), good());
    assert_eq!(client.read(true), Saw::Whole(200, String::new()));
    assert_eq!(client.read(false), Saw::Whole(204, String::new()));
    assert!(client.read_raw(false).unwrap().1.ends_with("0\r\n\r\n"));
    assert_eq!(it.server.seen(), ["0 GET /a", "0 HEAD /b", "0 GET /empty", "0 GET /chunked"]);
}

#[test]
fn messages_pass_byte_for_byte() {
    let it = World::new();
    let mut client = it.client();
    client.send("POST /chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    let (head, body) = client.read_raw(false).unwrap();
    assert_eq!(head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(body, format!("7\r\n{}\r\n10\r\n{}\r\n0\r\n\r\n", &BODY[..7], &BODY[7..]));
    assert_eq!(it.server.seen(), ["0 POST /chunked abcde"]);
}

#[test]
fn a_schedule_sees_the_whole_request() {
    let it = World::new();
    it.proxy.set(|request: &Request| {
        let body = String::from_utf8_lossy(&request.body);
        let text =
            format!("{} {} {} {body} {:?}", request.number, request.method, request.path, request.header("HOST"));
        Action::answer(200, text)
    });
    let mut client = it.client();
    assert_eq!(client.ask("PATCH", "/a?b=c", "body"), Saw::Whole(200, "0 PATCH /a?b=c body Some(\"x\")".into()));
    client.send("POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.read(false), Saw::Whole(200, "1 POST /d abc None".into()));
}

#[test]
fn connections_are_dropped_before_and_after_the_work() {
    let it = World::new();
    assert_eq!(it.strike(Action::DropBefore, "/plain"), (Saw::Nothing, false));
    assert_eq!(it.strike(Action::DropAfter, "/plain"), (Saw::Nothing, false));
    assert_eq!(it.strike(Action::DropAfter, "/chunked"), (Saw::Nothing, false));
    assert_eq!(it.strike(Action::DropAfter, "/empty"), (Saw::Nothing, false));
}

#[test]
fn an_answer_is_delayed_and_its_request_is_not() {
    let it = World::new();
    let begun = Instant::now();
    assert_eq!(it.strike(Action::Delay(Duration::from_millis(150)), "/plain"), (good(), true));
    assert!(begun.elapsed() >= Duration::from_millis(150));
    it.proxy.set(Schedule::always(Action::Delay(Duration::from_secs(60))));
    it.proxy.clear_journal();
    it.client().send("GET /late HTTP/1.1\r\n\r\n");
    let arrived = || it.proxy.journal().first().is_some_and(|entry| entry.status == Some(200));
    let begun = Instant::now();
    while !arrived() {
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_truncated_answer_never_arrives_whole() {
    let it = World::new();
    let whole_head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY.len());
    let half = &BODY[..BODY.len() / 2];
    assert_eq!(it.strike(Action::Truncate, "/plain"), (Saw::Part(format!("{whole_head}{half}")), false));
    // Without a length, nothing would tell that it is a part.
    let closing = it.strike(Action::Truncate, "/closing-without-length");
    assert_eq!(closing, (Saw::Part(format!("{whole_head}{half}")), false));
    let (chunked, goes_on) = it.strike(Action::Truncate, "/chunked");
    let Saw::Part(text) = chunked else { panic!("{chunked:?}") };
    assert!(text.contains("\r\n\r\n7\r\n{\"answe") && !text.ends_with("0\r\n\r\n") && !goes_on, "{text}");
    assert_eq!(it.strike(Action::Truncate, "/empty"), (Saw::Part("HTTP/1.1 204 ".into()), false));
    assert!(matches!(it.strike_as("HEAD", Action::Truncate, "/plain"), (Saw::Part(_), false)));
}

#[test]
fn a_cleanly_truncated_answer_is_a_valid_message_of_half_the_content() {
    let it = World::new();
    let half = BODY[..BODY.len() / 2].to_owned();
    for path in ["/plain", "/chunked"] {
        assert_eq!(it.strike(Action::TruncateCleanly, path), (Saw::Whole(200, half.clone()), true), "{path}");
    }
    assert_eq!(it.strike(Action::TruncateCleanly, "/empty"), (Saw::Whole(204, String::new()), true));
    assert_eq!(it.strike(Action::TruncateCleanly, "/closing"), (Saw::Whole(200, half), false));
    it.proxy.set(Schedule::nth(1, Action::TruncateCleanly));
    let mut client = it.client();
    let mut packed = || {
        client.send("GET /packed HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
        client.read_raw(false).unwrap().0.contains("Packed: true")
    };
    assert_eq!((packed(), packed(), packed()), (true, false, true));
}

#[test]
fn the_content_is_replaced_by_rubbish_or_nothing() {
    let it = World::new();
    let (garbage, goes_on) = it.strike(Action::Garbage, "/plain");
    assert!(matches!(garbage, Saw::Whole(200, text) if text.starts_with("}{")) && goes_on);
    assert_eq!(it.strike(Action::Empty, "/chunked"), (Saw::Whole(200, String::new()), true));
    assert_eq!(it.strike_as("HEAD", Action::Garbage, "/plain"), (Saw::Whole(200, String::new()), true));
}

#[test]
fn an_answer_of_the_schedule_comes_instead_of_the_work_or_after_it() {
    let it = World::new();
    assert_eq!(it.strike(Action::answer(503, "[]"), "/plain"), (Saw::Whole(503, "[]".into()), true));
    assert_eq!(it.strike(Action::answer_after(500, "[1]"), "/plain"), (Saw::Whole(500, "[1]".into()), true));
    assert_eq!(it.strike(Action::answer(204, ""), "/plain"), (Saw::Whole(204, String::new()), true));
    assert_eq!(it.strike(Action::answer_after(502, "x"), "/closing"), (Saw::Whole(502, "x".into()), true));
    let closing = Action::answer(401, "[]").header("Connection", "close");
    assert_eq!(it.strike(closing, "/plain"), (Saw::Whole(401, "[]".into()), false));
    it.proxy.set(Schedule::always(
        Action::answer(429, "slow down").header("Retry-After", "7").header("content-type", "text/plain"),
    ));
    let mut client = it.client();
    client.send("GET / HTTP/1.1\r\n\r\n");
    let (head, body) = client.read_raw(false).unwrap();
    assert_eq!(
        head,
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\ncontent-type: text/plain\r\nContent-Length: 9\r\n\r\n"
    );
    assert_eq!(body, "slow down");
}

#[test]
fn what_the_server_ends_or_breaks_off_the_client_sees_as_it_is() {
    let it = World::new();
    let mut client = it.client();
    assert_eq!((client.get("/closing"), client.is_closed()), (good(), true));
    let mut client = it.client();
    assert_eq!((client.get("/closing-without-length"), client.is_closed()), (good(), true));
    let broken = it.client().get("/broken");
    assert!(matches!(&broken, Saw::Part(text) if text.ends_with("\r\n\r\n{")), "{broken:?}");
    let entry = it.proxy.journal().pop().unwrap();
    assert_eq!((entry.forwarded, entry.status), (true, None));
}

#[test]
fn a_request_that_is_none_is_refused_and_not_noted() {
    let it = World::new();
    let mut client = it.client();
    client.send("PRI * HTTP/2.0\r\n\r\n");
    assert!(matches!(client.read(false), Saw::Whole(400, text) if text.contains("HTTP/2.0")));
    assert!(client.is_closed() && it.proxy.journal().is_empty() && it.server.seen().is_empty());
}

#[test]
fn a_random_schedule_lets_a_client_through_that_tries_again() {
    let it = World::new();
    let actions = [Action::DropBefore, Action::DropAfter, Action::Truncate, Action::answer(503, "[]"), Action::Empty];
    let run = || {
        it.proxy.clear_journal();
        it.proxy.set(Schedule::random(11, 0.6, actions.clone()).limit(3));
        for n in 0..60 {
            let tries = (1..).find(|_| it.client().get(&format!("/{n}")) == good()).unwrap();
            assert!(tries <= 4, "{tries} tries");
        }
        it.proxy.journal().into_iter().map(|entry| (entry.path, entry.action)).collect::<Vec<_>>()
    };
    let first = run();
    assert!(actions.iter().all(|action| first.iter().any(|(_, struck)| struck == action)));
    assert_eq!(first, run());
}
