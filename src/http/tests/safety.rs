//! What never happens: a request to a foreign host, a followed redirect, a secret in an error, a hang.

use std::sync::Arc;

use crate::connector::machine::{Job, Machine, Step};
use crate::connector::wire::{Host, Request, Response};
use crate::error::{Error, Kind, Result};
use crate::http::buckets::Buckets;
use crate::http::meter::Account;
use crate::http::session::Session;
use crate::http::testing::{Reply, Requests, Server, Setup, Toy, credentials, gets, ok, run, server_options};

#[tokio::test]
async fn a_host_that_is_not_allowed_is_never_connected_to() {
    let server = Server::start(|_| ok("fine"));
    let setup = Setup { allowed: vec!["*.example.com".to_owned()], ..Setup::new(&server) };
    let error = run(&setup.session(), gets(["/a"]), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(error.message().contains("127.0.0.1"));
    assert!(server.seen().is_empty());
    let setup = Setup { allowed: vec!["127.0.0.1".to_owned()], ..Setup::new(&server) };
    assert!(run(&setup.session(), gets(["/a"]), &Account::default()).await.is_ok());
}

#[tokio::test]
async fn a_redirect_is_an_error_and_the_token_stays_here() {
    let elsewhere = Server::start(|_| ok("thanks for the token"));
    for code in [301, 302, 303, 307, 308] {
        let location = format!("location: {}/b?c=d\r\n", elsewhere.origin);
        let server = Server::start(move |_| Reply::Answer(code, location.clone().leak(), String::new()));
        let session = Setup::new(&server).session();
        let error = run(&session, gets(["/a"]), &Account::default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreadable);
        assert_eq!(error.message(), format!("the API redirects (HTTP {code})"));
        assert_eq!(error.detail_text(), Some(format!("It names {}.", elsewhere.origin).as_str()));
        assert_eq!(server.seen().len(), 1);
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn the_token_is_sent_to_no_other_host_than_the_api_s() {
    let (api, login) = (Server::start(|_| ok("api")), Server::start(|_| ok("login")));
    let session = || {
        let mut setup = Setup::new(&api);
        setup.options.login_url = Some(login.origin.clone());
        setup.session()
    };
    let to_login = Request { host: Host::Login, ..Request::get("/a") };
    let bare = Request { authorized: false, ..to_login.clone() };
    let requests = |request| -> Job<String> { Box::new(Requests([request].into())) };
    let error = run(&session(), requests(to_login), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(login.seen().is_empty());
    assert!(run(&session(), requests(bare), &Account::default()).await.is_ok());
    assert!(!login.seen()[0].head.contains("fixed-token"));
    // A path out of an answer.
    let path = format!("@{}/", login.origin.strip_prefix("http://").unwrap());
    let error = run(&session(), gets([path.as_str()]), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreadable);
    assert_eq!(login.seen().len(), 1);
}

#[tokio::test]
async fn secrets_that_an_api_echoes_are_not_repeated() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/ok" => ok("{}"),
        _ if seen.method == "POST" => ok("access-token rotated-token"),
        _ => Reply::Answer(418, "", format!("{} configured-secret", seen.head)),
    });
    let setup = Setup { credentials: credentials([("client_secret", "configured-secret")]), ..Setup::new(&server) };
    let session = setup.session();
    let path = "/a?t=access-token&r=rotated-token";
    let error = run(&session, gets([path]), &Account::default()).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(error.message().contains("authorization: bearer ***"), "{text}");
    for secret in ["access-token", "rotated-token", "configured-secret"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn an_error_of_signing_in_shows_neither_form_nor_query() {
    let server = Server::start(|seen| Reply::Answer(400, "", format!("bad: {}", seen.body)));
    let session = Setup::with_login(&server).session();
    let error = run(&session, gets(["/a"]), &Account::default()).await.unwrap_err();
    assert_eq!(error.request_text(), Some(format!("POST {}/token", server.origin).as_str()));
    assert_eq!(error.message(), "the API says: bad: refresh=***");
}

#[tokio::test]
async fn a_long_url_is_cut_at_a_character() {
    let server = Server::start(|_| Reply::Answer(418, "", String::new()));
    let session = Setup::new(&server).session();
    let path = format!("/a?q={}", "ä".repeat(3000));
    let error = run(&session, gets([path.as_str()]), &Account::default()).await.unwrap_err();
    let label = error.request_text().unwrap();
    assert!(label.ends_with('…') && label.chars().count() == 1000 + "GET …".len() - 2);
}

struct Panics;

impl Machine for Panics {
    type Out = String;

    fn next(&mut self, last: Option<Response>) -> Result<Step<String>> {
        match last {
            None => Ok(Step::Send(Request::get("/a"))),
            Some(_) => panic!("index out of bounds, token fixed-token"),
        }
    }
}

#[tokio::test]
async fn a_panic_in_a_machine_is_an_internal_error_that_names_the_request() {
    let server = Server::start(|_| ok("fine"));
    let session = Setup::new(&server).session();
    let error = run(&session, Box::new(Panics), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.message().ends_with("index out of bounds, token ***"), "{error}");
    assert_eq!(error.request_text(), Some(format!("GET {}/a", server.origin).as_str()));
}

#[test]
fn a_bad_ca_file_is_named_without_its_content() {
    let file = std::env::temp_dir().join(format!("sequin-ca-{}.pem", std::process::id()));
    std::fs::write(&file, "root:x:0:0").unwrap();
    for path in [file.to_str().unwrap(), "/nonexistent/ca.pem"] {
        let mut options = server_options("https://a.example");
        options.ca_file = Some(path.to_owned());
        let made = Session::new(Arc::new(Toy), options, credentials([]), vec![], Arc::new(()), Buckets::private());
        let error: Error = made.err().unwrap();
        assert_eq!(error.kind(), Kind::BadOption);
        assert!(error.message().contains(path) && !error.message().contains("root:"), "{error}");
    }
    std::fs::remove_file(file).unwrap();
}
