//! What requests and answers look like on the wire.

use crate::connector::wire::{Body, Request};
use crate::http::meter::Account;
use crate::http::testing::{Reply, Requests, Server, Setup, ok, run};

#[tokio::test]
async fn a_request_carries_its_headers_its_body_and_our_name() {
    let server = Server::start(|_| ok("fine"));
    let request = Request {
        method: reqwest::Method::PATCH,
        body: Some(Body::Json("{\"a\":1}".into())),
        ..Request::get("/a%20b?c=d%26e").header("x-page", "7")
    };
    run(&Setup::new(&server).session(), Box::new(Requests([request].into())), &Account::default()).await.unwrap();
    let seen = server.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("PATCH", "/a%20b?c=d%26e"));
    assert_eq!(seen.body, "{\"a\":1}");
    for line in [
        "content-type: application/json",
        "x-page: 7",
        "authorization: bearer fixed-token",
        concat!("user-agent: sequin_fdw/", env!("CARGO_PKG_VERSION")),
        "accept-encoding: gzip",
    ] {
        assert!(seen.head.contains(&format!("{line}\r\n")), "{line} in {}", seen.head);
    }
}

#[tokio::test]
async fn a_packed_answer_is_unpacked() {
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x2b\xcd\x2b\x48\x4c\xce\x4e\x4d\x01\x00\x96\x62\x2f\xca\x08\x00\x00\x00";
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
    let answer = [head.as_bytes(), packed].concat();
    let server = Server::start(move |_| Reply::Raw(answer.clone()));
    let account = Account::default();
    let request = Requests([Request::get("/a")].into());
    let results = run(&Setup::new(&server).session(), Box::new(request), &account).await;
    assert_eq!(results.unwrap(), ["unpacked"]);
    assert_eq!(account.meter.snapshot().bytes, 8);
}
