//! What is sent again, what is not, and how the end of it reads.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::connector::machine::once;
use crate::connector::wire::{Effect, Request};
use crate::error::Kind;
use crate::http::meter::Account;
use crate::http::testing::{Reply, Server, Setup, gets, ok, post, run, status, write};

fn truncated() -> Reply {
    Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec())
}

fn dropped() -> Reply {
    Reply::Raw(Vec::new())
}

#[tokio::test]
async fn reads_survive_every_passing_trouble() {
    let gzip = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nrubb";
    for trouble in [
        truncated(),
        dropped(),
        status(503),
        status(429),
        Reply::Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel".to_vec()),
        Reply::Raw(b"rubbish\r\n\r\n".to_vec()),
        Reply::Raw(gzip.to_vec()),
    ] {
        let server = Server::script([trouble, ok("fine")]);
        let account = Account::default();
        let results = run(&Setup::new(&server).session(), gets(["/a"]), &account).await;
        assert_eq!(results.unwrap(), ["fine"]);
        let counts = account.meter.snapshot();
        assert_eq!((counts.requests, counts.retries, counts.errors), (2, 1, 0));
        assert_eq!(account.totals.snapshot(), counts);
    }
}

#[tokio::test]
async fn after_max_retries_the_last_error_says_how_often_it_was_tried() {
    let server = Server::start(|_| dropped());
    let account = Account::default();
    let session = Setup::new(&server).session();
    let error = run(&session, gets(["/a?b=c"]), &account).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Dropped);
    let host = server.origin.strip_prefix("http://").unwrap();
    assert_eq!(error.message(), format!("the connection to {host} was closed before the answer was complete"));
    assert!(error.detail_text().unwrap().starts_with("tried 5 times within "));
    assert_eq!(error.request_text(), Some(format!("GET {}/a?b=c", server.origin).as_str()));
    let counts = account.meter.snapshot();
    assert_eq!((counts.requests, counts.retries, counts.errors), (5, 4, 1));
    assert_eq!(server.count("/a?b=c"), 5);
}

#[tokio::test]
async fn a_truncated_body_is_told_as_what_it_is() {
    let server = Server::start(|_| truncated());
    let mut setup = Setup::new(&server);
    setup.options.max_retries = 0;
    let error = run(&setup.session(), gets(["/a"]), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Dropped);
    assert!(error.message().ends_with("was closed before the answer was complete"), "{error}");
    assert_eq!(error.detail_text(), None);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_sent_again_and_says_so() {
    for trouble in [truncated, dropped, || status(503)] {
        let server = Server::script([trouble(), ok("twice!")]);
        let session = Setup::new(&server).session();
        let error = run(&session, post("/w"), &Account::default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}");
        assert!(error.hint_text().is_some());
        assert_eq!(server.count("/w"), 1);
    }
}

#[tokio::test]
async fn a_write_that_was_surely_not_done_is_sent_again() {
    let server = Server::script([status(429), status(429), ok("done")]);
    let session = Setup::new(&server).session();
    assert_eq!(run(&session, post("/w"), &Account::default()).await.unwrap(), ["done"]);
}

#[tokio::test]
async fn a_write_that_may_be_repeated_is_and_its_answer_says_that_it_was() {
    let server = Server::script([dropped(), ok("done")]);
    let session = Setup::new(&server).session();
    let account = Account::default();
    let request = Request::json(Method::PATCH, "/w", "{}", Effect::Repeatable);
    let job = once(request, |response| Ok(format!("repeated: {}", response.repeated)));
    assert_eq!(run(&session, job, &account).await.unwrap(), ["repeated: true"]);
    let server = Server::script([status(429), ok("done")]);
    let session = Setup::new(&server).session();
    let request = Request::json(Method::PATCH, "/w", "{}", Effect::Repeatable);
    let job = once(request, |response| Ok(format!("repeated: {}", response.repeated)));
    assert_eq!(run(&session, job, &account).await.unwrap(), ["repeated: false"]);
}

#[tokio::test]
async fn a_write_that_was_once_in_doubt_stays_so_whatever_refuses_it_later() {
    for last in [dropped, || status(503), || status(418), || status(401)] {
        let server = Server::script([dropped(), last(), last(), last(), last()]);
        let session = Setup::new(&server).session();
        let account = Account::default();
        let error = run(&session, write("/w", Effect::Repeatable), &account).await.unwrap_err();
        assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}");
        assert!(account.in_doubt());
    }
}

#[tokio::test]
async fn only_a_write_that_the_api_may_have_seen_is_in_doubt() {
    for (answer, doubt) in [(dropped as fn() -> Reply, true), (|| status(429), false), (|| status(418), false)] {
        let server = Server::start(move |_| answer());
        let session = Setup::new(&server).session();
        let account = Account::default();
        assert!(run(&session, post("/w"), &account).await.is_err());
        assert_eq!(account.in_doubt(), doubt);
        let account = Account::default();
        assert!(run(&session, gets(["/r"]), &account).await.is_err());
        assert!(!account.in_doubt());
    }
}

#[tokio::test]
async fn a_write_that_found_no_connection_is_no_unknown_outcome() {
    let mut setup = Setup::new(&Server::script([]));
    setup.options.base_url = Some("http://127.0.0.1:1".to_owned());
    let error = run(&setup.session(), post("/w"), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connect);
    assert_eq!(error.message(), "could not connect to 127.0.0.1:1: connection refused");
    assert!(error.detail_text().unwrap().starts_with("tried 5 times"));
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_named_at_once() {
    let mut setup = Setup::new(&Server::script([]));
    setup.options.base_url = Some("http://nowhere.invalid:81".to_owned());
    let account = Account::default();
    let error = run(&setup.session(), gets(["/"]), &account).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connect);
    assert!(error.message().starts_with("could not connect to nowhere.invalid:81: "), "{error}");
}

#[tokio::test]
async fn https_spoken_to_a_plain_server_is_a_connect_error_in_plain_words() {
    let server = Server::start(|_| status(400));
    let mut setup = Setup::new(&server);
    setup.options.base_url = Some(server.origin.replace("http:", "https:"));
    setup.options.max_retries = 0;
    // The server waits for the end of a line that never comes, or answers rubbish.
    setup.options.request_timeout = Duration::from_millis(300);
    let error = run(&setup.session(), gets(["/"]), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connect, "{error}");
}

#[tokio::test]
async fn a_slow_answer_ends_after_the_request_timeout() {
    for late in [Vec::new(), b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nha".to_vec()] {
        let server = Server::start(move |_| Reply::Stall(late.clone()));
        let mut setup = Setup::new(&server);
        setup.options.request_timeout = Duration::from_millis(100);
        setup.options.max_retries = 1;
        let start = Instant::now();
        let error = run(&setup.session(), gets(["/a"]), &Account::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Dropped, "no answer within 0.1 s"));
        assert!((200..1000).contains(&start.elapsed().as_millis()));
        // The connections close on this thread.
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.wait_closed(2);
    }
}

#[tokio::test]
async fn a_timeout_of_a_write_is_an_unknown_outcome() {
    let server = Server::start(|_| Reply::Stall(Vec::new()));
    let mut setup = Setup::new(&server);
    setup.options.request_timeout = Duration::from_millis(50);
    let error = run(&setup.session(), post("/w"), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::OutcomeUnknown);
    assert_eq!(server.count("/w"), 1);
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let throttled = || Reply::Answer(429, "retry-after: 1\r\n", String::new());
    let server = Server::script([throttled(), ok("fine")]);
    let account = Account::default();
    let start = Instant::now();
    let session = Setup::new(&server).session();
    assert_eq!(run(&session, gets(["/a"]), &account).await.unwrap(), ["fine"]);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(account.meter.snapshot().throttled, 1);
}

#[tokio::test]
async fn a_retry_after_beyond_patience_ends_at_once_with_the_time_in_the_hint() {
    let server = Server::start(|_| Reply::Answer(429, "retry-after: 3600\r\n", "slow".to_owned()));
    let session = Setup::new(&server).session();
    let error = run(&session, gets(["/a"]), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Quota);
    assert!(error.hint_text().unwrap().contains("3600 s"));
    assert_eq!(server.count("/a"), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_is_replaced_unnoticed() {
    let server = Server::script([Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none".to_vec()), ok("two")]);
    let session = Setup::new(&server).session();
    assert_eq!(run(&session, gets(["/1", "/2"]), &Account::default()).await.unwrap(), ["one", "two"]);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = Server::start(|seen| ok(seen.path.clone()));
    let session = Setup::new(&server).session();
    run(&session, gets(["/1", "/2", "/3"]), &Account::default()).await.unwrap();
    assert!(server.seen().iter().all(|seen| seen.connection == 0));
}
