//! Budget, concurrency, and the counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::connector::contract::Usage;
use crate::error::Kind;
use crate::http::meter::{Account, Budget};
use crate::http::testing::{Reply, Server, Setup, gets, ok, run, status};

#[tokio::test]
async fn a_statement_sends_no_more_than_its_budget_tokens_and_retries_included() {
    let server = Server::script([ok("token-1"), status(503), ok("fine"), ok("too much")]);
    let session = Setup::with_login(&server).session();
    let account = Account::new(Arc::default(), Arc::default(), Arc::new(Budget::new(3)), false);
    let error = run(&session, gets(["/a", "/b"]), &account).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Quota);
    assert_eq!(error.message(), "this statement may send at most 3 requests");
    assert!(error.hint_text().unwrap().contains("sequin_fdw.max_requests"));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn no_more_than_max_concurrency_requests_are_under_way() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let server = Server::start(|_| {
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        NOW.fetch_sub(1, Ordering::SeqCst);
        ok("fine")
    });
    let mut setup = Setup::new(&server);
    setup.options.max_concurrency = 2;
    let session = setup.session();
    let account = Account::default();
    let job = || run(&session, gets(["/a", "/b"]), &account);
    let _ = tokio::join!(job(), job(), job(), job(), job());
    assert_eq!((MOST.load(Ordering::SeqCst), server.seen().len()), (2, 10));
}

#[tokio::test]
async fn bytes_and_quota_are_counted_for_the_scan_and_the_server() {
    let server = Server::start(|_| Reply::Answer(200, "x-usage: 7/100\r\n", "12345".to_owned()));
    let session = Setup::new(&server).session();
    let totals = Arc::default();
    for _ in 0..2 {
        let account = Account::new(Arc::default(), Arc::clone(&totals), Arc::default(), false);
        run(&session, gets(["/a"]), &account).await.unwrap();
        let counts = account.meter.snapshot();
        assert_eq!((counts.requests, counts.bytes), (1, 5));
        assert_eq!(counts.quota, Some(Usage { used: 7, limit: 100 }));
    }
    assert_eq!((totals.snapshot().requests, totals.snapshot().bytes), (2, 10));
}
