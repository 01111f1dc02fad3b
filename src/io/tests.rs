//! The I/O thread as a backend uses it: poll, wait for the descriptor, drain, poll again.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::queue::{CAP, Queue};
use super::wake::Wake;
use super::{Io, Stream};
use crate::connector::machine::{Job, Machine, Step, ready};
use crate::connector::wire::{Request, Response};
use crate::error::{Error, Kind, Result};
use crate::http::meter::Account;
use crate::http::session::Session;
use crate::http::testing::{Reply, Server, Setup, gets, ok, wait_until};

fn io() -> Io {
    Io::start(|body| {
        std::thread::spawn(body);
        Ok(())
    })
    .unwrap()
}

fn session(server: &Server) -> Arc<Session> {
    Arc::new(Setup::new(server).session())
}

fn is_readable(io: &Io, timeout: Duration) -> bool {
    let waiter = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    waiter.block_on(async {
        let descriptor = tokio::net::UnixStream::from_std(io.wake.twin()).unwrap();
        tokio::time::timeout(timeout, descriptor.readable()).await.is_ok()
    })
}

/// As a backend waits: only on the descriptor.
fn next<T>(io: &Io, stream: &mut Stream<T>) -> Option<Result<T>> {
    loop {
        if let Poll::Ready(result) = stream.poll() {
            return result;
        }
        assert!(is_readable(io, Duration::from_secs(5)), "nobody rang");
        io.drain();
    }
}

fn all<T>(io: &Io, stream: &mut Stream<T>) -> Result<Vec<T>> {
    std::iter::from_fn(|| next(io, stream)).collect()
}

#[test]
fn a_stream_brings_its_results_and_then_ends_for_ever() {
    let (io, server) = (io(), Server::start(|seen| ok(seen.path.clone())));
    let account = Account::default();
    let mut stream = io.stream(session(&server), vec![gets(["/1", "/2", "/3"])], account.clone());
    assert_eq!(all(&io, &mut stream).unwrap(), ["/1", "/2", "/3"]);
    assert!(matches!(stream.poll(), Poll::Ready(None)));
    let counts = account.meter.snapshot();
    assert_eq!((counts.requests, counts.rows, counts.bytes), (3, 3, 6));
}

#[test]
fn no_jobs_are_no_results() {
    let (io, server) = (io(), Server::script([]));
    let mut stream = io.stream::<String>(session(&server), vec![], Account::default());
    assert!(next(&io, &mut stream).is_none());
}

#[test]
fn several_jobs_run_at_once() {
    let late = || Reply::After(Duration::from_millis(100), Box::new(ok("fine")));
    let (io, server) = (io(), Server::start(move |_| late()));
    let jobs = (0..8).map(|_| gets(["/a"])).collect();
    let start = Instant::now();
    let mut stream = io.stream(session(&server), jobs, Account::default());
    assert_eq!(all(&io, &mut stream).unwrap().len(), 8);
    assert!(start.elapsed() < Duration::from_millis(700));
}

#[test]
fn more_jobs_than_max_concurrency_all_come_to_their_turn() {
    let (io, server) = (io(), Server::start(|seen| ok(seen.path.clone())));
    let mut setup = Setup::new(&server);
    setup.options.max_concurrency = 3;
    let jobs = (0..50).map(|_| gets(["/a", "/b"])).collect();
    let mut stream = io.stream(Arc::new(setup.session()), jobs, Account::default());
    assert_eq!(all(&io, &mut stream).unwrap().len(), 100);
}

#[test]
fn one_error_ends_all_jobs_after_what_came_before_it() {
    let (io, server) = (
        io(),
        Server::start(|seen| match seen.path.as_str() {
            "/good" => ok("fine"),
            "/bad" => Reply::Answer(418, "", "teapot".to_owned()),
            _ => Reply::Stall(Vec::new()),
        }),
    );
    let jobs = vec![gets(["/never"]), gets(["/good", "/bad", "/good"])];
    let mut stream = io.stream(session(&server), jobs, Account::default());
    assert_eq!(next(&io, &mut stream).unwrap().unwrap(), "fine");
    let error = next(&io, &mut stream).unwrap().unwrap_err();
    assert_eq!(error.message(), "the API says: teapot");
    assert!(next(&io, &mut stream).is_none());
    server.wait_closed(1);
}

#[test]
fn dropping_a_stream_closes_its_connections_at_once() {
    for begun in [Vec::new(), b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec()] {
        let (io, server) = (io(), Server::start(move |_| Reply::Stall(begun.clone())));
        let jobs = vec![gets(["/a"]), gets(["/b"])];
        let stream = io.stream(session(&server), jobs, Account::default());
        wait_until(|| server.seen().len() == 2);
        std::thread::sleep(Duration::from_millis(20));
        drop(stream);
        assert!(server.wait_closed(2) < Duration::from_millis(250));
    }
}

#[test]
fn other_streams_live_on_when_one_is_dropped() {
    let (io, server) = (
        io(),
        Server::start(|seen| match seen.path.as_str() {
            "/stall" => Reply::Stall(Vec::new()),
            _ => ok("fine"),
        }),
    );
    let session = session(&server);
    let doomed = io.stream(session.clone(), vec![gets(["/stall"])], Account::default());
    wait_until(|| server.count("/stall") == 1);
    drop(doomed);
    let mut stream = io.stream(session, vec![gets(["/a"])], Account::default());
    assert_eq!(all(&io, &mut stream).unwrap(), ["fine"]);
}

#[test]
fn stopping_closes_everything_and_streams_end_with_an_error() {
    let (io, server) = (io(), Server::start(|_| Reply::Stall(Vec::new())));
    let session = session(&server);
    let mut stream = io.stream(session.clone(), vec![gets(["/a"])], Account::default());
    wait_until(|| server.seen().len() == 1);
    io.stop(Duration::from_secs(1));
    assert!(server.wait_closed(1) < Duration::from_millis(250));
    assert_eq!(next(&io, &mut stream).unwrap().unwrap_err().kind(), Kind::Internal);
    let mut late = io.stream(session, vec![gets(["/b"])], Account::default());
    assert_eq!(next(&io, &mut late).unwrap().unwrap_err().kind(), Kind::Internal);
    io.stop(Duration::from_secs(1));
}

#[test]
fn a_thread_that_cannot_be_started_is_an_error() {
    let error = Io::start(|_| Err(Error::new(Kind::Internal, "no threads left"))).err().unwrap();
    assert_eq!(error.message(), "no threads left");
}

/// Yields as many results as are asked for, each of a mebibyte.
struct Endless(usize);

impl Machine for Endless {
    type Out = String;

    fn next(&mut self, _last: Option<Response>) -> Result<Step<String>> {
        self.0 += 1;
        Ok(Step::Yield("x".repeat(1 << 20)))
    }
}

#[test]
fn a_slow_reader_keeps_the_memory_flat() {
    let (io, server) = (io(), Server::script([]));
    let account = Account::default();
    let jobs: Vec<Job<String>> = vec![Box::new(Endless(0))];
    let mut stream = io.stream(session(&server), jobs, account.clone());
    for taken in 1..40 {
        assert!(next(&io, &mut stream).unwrap().is_ok());
        std::thread::sleep(Duration::from_millis(1));
        // In line, and one that waits for its place.
        let ahead = account.meter.snapshot().rows as usize - taken;
        assert!(ahead <= (CAP >> 20) + 1, "{ahead} after {taken}");
    }
}

#[test]
fn little_is_fetched_in_vain_when_the_reader_stops_early() {
    let (io, server) = (io(), Server::start(|_| ok("page")));
    let paths = ["/a"; 100];
    let mut stream = io.stream(session(&server), vec![gets(paths)], Account::default());
    wait_until(|| server.seen().len() == 2);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(server.seen().len(), 2);
    assert!(next(&io, &mut stream).is_some());
    wait_until(|| server.seen().len() == 3);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(server.seen().len(), 3);
}

struct Panics;

impl Machine for Panics {
    type Out = String;

    fn next(&mut self, _last: Option<Response>) -> Result<Step<String>> {
        panic!("of course");
    }
}

#[test]
fn a_panic_in_a_job_is_an_error_of_its_stream_and_of_no_other() {
    let (io, server) = (io(), Server::start(|_| ok("fine")));
    let session = session(&server);
    let mut good = io.stream(session.clone(), vec![gets(["/a"])], Account::default());
    let mut bad = io.stream::<String>(session, vec![Box::new(Panics)], Account::default());
    let error = next(&io, &mut bad).unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.message().contains("of course"));
    assert_eq!(all(&io, &mut good).unwrap(), ["fine"]);
}

/// Panics where nobody looks: in the drop of a request's machine.
struct PanicsInDrop;

impl Machine for PanicsInDrop {
    type Out = String;

    fn next(&mut self, _last: Option<Response>) -> Result<Step<String>> {
        Ok(Step::Send(Request::get("/a")))
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

#[test]
fn a_task_that_dies_is_an_error_and_no_clean_end() {
    let (io, server) = (io(), Server::start(|_| Reply::Answer(418, "", String::new())));
    let jobs: Vec<Job<String>> = vec![Box::new(PanicsInDrop)];
    let mut stream = io.stream(session(&server), jobs, Account::default());
    assert_eq!(next(&io, &mut stream).unwrap().unwrap_err().kind(), Kind::Internal);
}

#[test]
fn draining_makes_the_descriptor_quiet_until_the_next_ring() {
    let wake = Wake::new().unwrap();
    for _ in 0..3 {
        wake.ring();
        wake.ring();
        wake.drain();
        wake.drain();
    }
    let (io, server) = (io(), Server::script([]));
    assert!(!is_readable(&io, Duration::from_millis(10)));
    let _stream = io.stream(session(&server), vec![ready(["one".to_owned()])], Account::default());
    assert!(is_readable(&io, Duration::from_secs(1)));
    // The result and the end may ring one after the other.
    std::thread::sleep(Duration::from_millis(20));
    io.drain();
    assert!(!is_readable(&io, Duration::from_millis(10)));
}

#[tokio::test]
async fn one_result_fits_always_and_more_only_under_the_cap() {
    let queue = Queue::new(Arc::new(Wake::new().unwrap()), 10);
    let put = |weight| tokio::time::timeout(Duration::from_millis(10), queue.put(weight, weight));
    assert!(put(100).await.is_ok(), "alone, however large");
    assert!(put(1).await.is_err(), "nothing taken yet");
    assert!(matches!(queue.take(), Poll::Ready(Some(Ok(100)))));
    assert!(put(6).await.is_ok());
    assert!(put(1).await.is_err(), "one taken, one ahead");
    assert!(matches!(queue.take(), Poll::Ready(Some(Ok(6)))));
    assert!(put(6).await.is_ok() && put(5).await.is_err(), "over the cap");
    assert!(put(4).await.is_ok());
    queue.end(Ok(()));
    queue.end(Err(Error::new(Kind::Internal, "too late")));
    assert!(matches!(queue.take(), Poll::Ready(Some(Ok(6)))));
    assert!(matches!(queue.take(), Poll::Ready(Some(Ok(4)))));
    assert!(matches!(queue.take(), Poll::Ready(None)));
    assert!(matches!(queue.take(), Poll::Ready(None)));
}
