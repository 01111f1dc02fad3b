//! Signing in: once for all, renewed once, kept beyond the backend.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Kind, Result};
use crate::http::meter::Account;
use crate::http::testing::{Reply, Seen, Server, Setup, credentials, gets, ok, run, status};
use crate::http::token::TokenStore;

const TOKEN: &str = "/token?client_secret=in-the-query";

/// A store in memory, as another backend may also write to it.
#[derive(Default)]
struct Memory {
    token: Mutex<Option<String>>,
    broken: Mutex<bool>,
}

impl TokenStore for Memory {
    fn load(&self) -> Option<SecretString> {
        self.token.lock().unwrap().clone().map(SecretString::from)
    }

    fn save(&self, token: &SecretString) -> Result<()> {
        if *self.broken.lock().unwrap() {
            return Err(Error::new(Kind::Internal, "the disk is full"));
        }
        *self.token.lock().unwrap() = Some(token.expose_secret().to_owned());
        Ok(())
    }

    fn try_lock(&self) -> Result<Option<Box<dyn Send>>> {
        Ok(Some(Box::new(())))
    }
}

/// Hands out `token-1`, `token-2`, …; `answer` says what becomes of other requests, given their bearer token.
fn api(token: fn(usize) -> String, answer: fn(&Seen, &str) -> Reply) -> Server {
    let given = AtomicUsize::new(0);
    Server::start(move |seen| {
        if seen.path == TOKEN {
            return ok(token(given.fetch_add(1, Ordering::SeqCst) + 1));
        }
        let bearer = seen.head.split("authorization: bearer ").nth(1).unwrap_or("");
        answer(seen, bearer.lines().next().unwrap_or(""))
    })
}

#[tokio::test]
async fn jobs_at_the_same_time_sign_in_once() {
    let server = Server::start(|seen| match seen.path.as_str() {
        TOKEN => Reply::After(Duration::from_millis(50), Box::new(ok("token-1"))),
        _ => ok("fine"),
    });
    let session = Setup::with_login(&server).session();
    let account = Account::default();
    let job = || run(&session, gets(["/a", "/b"]), &account);
    let all = tokio::join!(job(), job(), job(), job());
    assert!([all.0, all.1, all.2, all.3].iter().all(Result::is_ok));
    assert_eq!(server.count(TOKEN), 1);
    assert_eq!(account.meter.snapshot().requests, 9);
}

#[tokio::test]
async fn a_sign_in_that_fails_fails_once_for_all_who_wait_and_is_tried_anew_later() {
    let times = AtomicUsize::new(0);
    let server = Server::start(move |seen| match seen.path.as_str() {
        TOKEN if times.fetch_add(1, Ordering::SeqCst) == 0 => {
            let refused = Reply::Answer(400, "", "no such client".to_owned());
            Reply::After(Duration::from_millis(50), Box::new(refused))
        }
        TOKEN => ok("token-1"),
        _ => ok("fine"),
    });
    let session = Setup::with_login(&server).session();
    let account = Account::default();
    let job = || run(&session, gets(["/a"]), &account);
    let (one, two, three) = tokio::join!(job(), job(), job());
    for failed in [one, two, three] {
        let error = failed.unwrap_err();
        assert_eq!(error.kind(), Kind::Credentials);
        assert_eq!(error.message(), "the API says: no such client");
        assert_eq!(error.request_text(), Some(format!("POST {}/token", server.origin).as_str()));
    }
    assert_eq!(server.seen().len(), 1);
    assert!(job().await.is_ok());
}

#[tokio::test]
async fn a_token_that_wears_out_is_renewed_once_and_the_request_sent_again() {
    let server = api(
        |number| format!("token-{number}"),
        |_, bearer| {
            if bearer == "token-1" { status(401) } else { ok("fine") }
        },
    );
    let session = Setup::with_login(&server).session();
    let account = Account::default();
    let job = || run(&session, gets(["/a", "/b"]), &account);
    let (one, two) = tokio::join!(job(), job());
    assert_eq!((one.unwrap().len(), two.unwrap().len()), (2, 2));
    assert_eq!(server.count(TOKEN), 2);
}

#[tokio::test]
async fn a_new_token_that_is_not_accepted_either_is_final() {
    let server = api(|number| format!("token-{number}"), |_, _| status(401));
    let session = Setup::with_login(&server).session();
    let error = run(&session, gets(["/a"]), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Credentials);
    assert_eq!(error.request_text(), Some(format!("GET {}/a", server.origin).as_str()));
    assert_eq!((server.count(TOKEN), server.count("/a")), (2, 2));
}

#[tokio::test]
async fn a_configured_token_that_is_refused_is_not_sent_twice() {
    let server = Server::start(|_| status(401));
    let session = Setup::new(&server).session();
    let error = run(&session, gets(["/a"]), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Credentials);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_known_lifetime_is_respected() {
    let server = api(|number| format!("token-{number} - - 50"), |_, bearer| ok(bearer));
    let session = Setup::with_login(&server).session();
    let get = async || run(&session, gets(["/a"]), &Account::default()).await.unwrap().remove(0);
    assert_eq!(get().await, "token-1");
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(get().await, "token-2");
}

#[tokio::test]
async fn a_replaced_refresh_token_is_used_from_then_on_and_given_to_the_store() {
    let server = api(
        |number| format!("token-{number} rotated-{number}"),
        |_, bearer| {
            if bearer == "token-1" { status(401) } else { ok("fine") }
        },
    );
    let store = Arc::new(Memory::default());
    let session = Setup { store: store.clone(), ..Setup::with_login(&server) }.session();
    run(&session, gets(["/a"]), &Account::default()).await.unwrap();
    let sent: Vec<_> = server.seen().into_iter().filter(|seen| seen.path == TOKEN).map(|seen| seen.body).collect();
    assert_eq!(sent, ["refresh=configured", "refresh=rotated-1"]);
    assert_eq!(store.token.lock().unwrap().as_deref(), Some("rotated-2"));
}

#[tokio::test]
async fn a_refresh_token_from_the_store_comes_before_the_configured_one() {
    let server = api(|_| "token-1".to_owned(), |_, _| ok("fine"));
    let store = Arc::new(Memory::default());
    *store.token.lock().unwrap() = Some("kept".to_owned());
    let session = Setup { store, ..Setup::with_login(&server) }.session();
    run(&session, gets(["/a"]), &Account::default()).await.unwrap();
    assert_eq!(server.seen()[0].body, "refresh=kept");
}

#[tokio::test]
async fn a_refused_refresh_is_tried_again_with_what_another_backend_has_stored() {
    let store = Arc::new(Memory::default());
    let other = store.clone();
    let server = Server::start(move |seen| match seen.body.as_str() {
        "refresh=configured" => {
            // Meanwhile, elsewhere.
            *other.token.lock().unwrap() = Some("newer".to_owned());
            Reply::Answer(400, "", "invalid_grant".to_owned())
        }
        _ => ok("token-1"),
    });
    let session = Setup { store, ..Setup::with_login(&server) }.session();
    assert!(run(&session, gets(["/a"]), &Account::default()).await.is_ok());
    let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["refresh=configured", "refresh=newer", ""]);
}

#[tokio::test]
async fn a_refresh_token_that_cannot_be_kept_is_an_error_until_it_can() {
    let server = api(|number| format!("token-{number} rotated-{number}"), |_, _| ok("fine"));
    let store = Arc::new(Memory::default());
    *store.broken.lock().unwrap() = true;
    let session = Setup { store: store.clone(), ..Setup::with_login(&server) }.session();
    let get = async || run(&session, gets(["/a"]), &Account::default()).await;
    assert_eq!(get().await.unwrap_err().message(), "the disk is full");
    assert_eq!(get().await.unwrap_err().message(), "the disk is full");
    *store.broken.lock().unwrap() = false;
    assert!(get().await.is_ok());
    assert_eq!(server.count(TOKEN), 1);
    assert_eq!(store.token.lock().unwrap().as_deref(), Some("rotated-1"));
}

#[tokio::test]
async fn a_sign_in_outlives_the_job_that_wanted_it() {
    let server = Server::start(|seen| match seen.path.as_str() {
        TOKEN => Reply::After(Duration::from_millis(100), Box::new(ok("token-1 rotated-1"))),
        _ => ok("fine"),
    });
    let store = Arc::new(Memory::default());
    let session = Setup { store: store.clone(), ..Setup::with_login(&server) }.session();
    let account = Account::default();
    let cancelled = run(&session, gets(["/a"]), &account);
    assert!(tokio::time::timeout(Duration::from_millis(30), cancelled).await.is_err());
    assert!(run(&session, gets(["/a"]), &account).await.is_ok());
    assert_eq!(server.count(TOKEN), 1);
    assert_eq!(store.token.lock().unwrap().as_deref(), Some("rotated-1"));
}

#[tokio::test]
async fn the_instance_of_a_token_is_asked_where_base_url_is_not_set() {
    let api = Server::start(|seen| ok(seen.head.clone()));
    let instance = api.origin.clone();
    let login = Server::start(move |_| ok(format!("token-1 - {instance}")));
    let mut setup = Setup::with_login(&login);
    setup.options.login_url = setup.options.base_url.take();
    let head = run(&setup.session(), gets(["/a"]), &Account::default()).await.unwrap().remove(0);
    assert!(head.contains("authorization: bearer token-1\r\n"));
    assert!(!login.seen()[0].head.contains("authorization"));
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_refused_before_anything_is_sent() {
    let server = Server::start(|_| ok("fine"));
    let bad = Setup { credentials: credentials([("token", "line\nbreak")]), ..Setup::new(&server) };
    let error = run(&bad.session(), gets(["/a"]), &Account::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Credentials);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_token_request_whose_answer_is_lost_is_sent_once_and_leaves_no_record_in_doubt() {
    for trouble in [|| status(503), || Reply::Raw(Vec::new())] {
        let server = Server::start(move |_| trouble());
        let session = Setup::with_login(&server).session();
        let error = run(&session, gets(["/a"]), &Account::default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Dropped);
        assert_eq!(server.seen().len(), 1);
    }
}
