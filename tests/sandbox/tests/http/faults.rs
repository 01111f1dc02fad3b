//! Sessions, faults, the control plane and HTTPS.

use std::time::{Duration, Instant};

use crate::client::{Client, agent};
use jsonwebtoken::{EncodingKey, Header};
use sandbox::{
    Action, CLIENT_ID, CLIENT_SECRET, Config, Fault, PASSWORD, REFRESH_TOKEN, SECURITY_TOKEN, Sandbox, USERNAME,
};
use serde_json::json;

const PRIVATE_KEY: &str = include_str!("keys/test-only-private.pem");
const PUBLIC_KEY: &str = include_str!("keys/test-only-public.pem");

#[test]
fn every_grant_issues_a_token_that_lets_in_until_it_expires() {
    let mut it = Client::new(Config::new().credentials(|c| c.public_key = Some(PUBLIC_KEY.to_owned())));
    let password = format!("{PASSWORD}{SECURITY_TOKEN}");
    let client = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let assertion = |exp: u64, iss: &str| {
        let claims = json!({ "iss": iss, "sub": USERNAME, "aud": "https://login.salesforce.com", "exp": exp });
        let key = EncodingKey::from_rsa_pem(PRIVATE_KEY.as_bytes()).unwrap();
        jsonwebtoken::encode(&Header::new(jsonwebtoken::Algorithm::RS256), &claims, &key).unwrap()
    };
    let jwt = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let good = assertion(now + 170, CLIENT_ID);
    let grants: [Vec<(&str, &str)>; 4] = [
        vec![("grant_type", "client_credentials"), client[0], client[1]],
        vec![("grant_type", "refresh_token"), ("refresh_token", REFRESH_TOKEN), client[0], client[1]],
        vec![("grant_type", "password"), ("username", USERNAME), ("password", &password), client[0], client[1]],
        vec![("grant_type", jwt), ("assertion", &good)],
    ];
    for grant in &grants {
        let answer = it.form("token", grant, &[]);
        assert_eq!(answer.status, 200, "{}", answer.text);
        let json = answer.json();
        assert!(json.get("expires_in").is_none() && json["instance_url"] == it.sandbox.url());
        it.token = json["access_token"].as_str().unwrap().to_owned();
        assert!(it.token.contains("!AQ"));
        assert_eq!(it.get("limits").status, 200);
        it.sandbox.expire_tokens();
        let refused = it.get("limits");
        assert_eq!((refused.status, refused.code().as_str()), (401, "INVALID_SESSION_ID"));
    }
    assert_eq!(it.sandbox.tokens_issued(), 4);
    let basic = "Basic c2FuZGJveC1jbGllbnQ6c2FuZGJveC1zZWNyZXQ=";
    assert_eq!(it.form("token", &[("grant_type", "client_credentials")], &[("Authorization", basic)]).status, 200);
    let late = assertion(now + 600, CLIENT_ID);
    let past = assertion(now - 1, CLIENT_ID);
    let forged = format!("{}x", &good[..good.len() - 4]);
    let stranger = assertion(now + 60, "stranger");
    let refused: [(&[(&str, &str)], &str); 8] = [
        (&[("grant_type", "client_credentials"), ("client_id", "x"), client[1]], "invalid_client_id"),
        (&[("grant_type", "client_credentials"), client[0], ("client_secret", "x")], "invalid_client"),
        (
            &[("grant_type", "password"), ("username", USERNAME), ("password", PASSWORD), client[0], client[1]],
            "invalid_grant",
        ),
        (&[("grant_type", "magic")], "unsupported_grant_type"),
        (&[("grant_type", jwt), ("assertion", &late)], "invalid_grant"),
        (&[("grant_type", jwt), ("assertion", &past)], "invalid_grant"),
        (&[("grant_type", jwt), ("assertion", &forged)], "invalid_grant"),
        (&[("grant_type", jwt), ("assertion", &stranger)], "invalid_client_id"),
    ];
    for (grant, error) in refused {
        let answer = it.form("token", grant, &[]);
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some(error)), "{grant:?}");
    }
}

#[test]
fn refresh_tokens_rotate_when_switched_on() {
    let it = Client::new(Config::new().switches(|s| s.rotate_refresh_tokens = true));
    let refresh = |token: &str| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", CLIENT_ID),
            ("client_secret", CLIENT_SECRET),
        ];
        it.form("token", &fields, &[])
    };
    let next = refresh(REFRESH_TOKEN).json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(refresh(REFRESH_TOKEN).json()["error_description"], "expired access/refresh token");
    assert_eq!(refresh(&next).status, 200);
}

#[test]
fn a_login_host_issues_tokens_for_an_instance() {
    let login = Client::new(Config::new());
    let mut instance = Client::new(Config::new().accept_tokens_of(&login.sandbox));
    login.sandbox.set_instance_url(&instance.sandbox.url());
    instance.token = login.login();
    assert_eq!(instance.get("limits").status, 200);
}

#[test]
fn tokens_expire_after_an_ordered_number_of_requests() {
    let mut it = Client::new(Config::new());
    it.token = it.login();
    it.sandbox.expire_tokens_after(2);
    let statuses: Vec<u16> = (0..3).map(|_| it.get("limits").status).collect();
    assert_eq!(statuses, [200, 200, 401]);
}

#[test]
fn dropped_writes_are_done_or_not_as_the_fault_says() {
    let it = Client::new(Config::new());
    let post = || {
        let headers = [("Content-Type", "application/json")];
        it.send("POST", "/services/data/v62.0/sobjects/Account", &headers, r#"{"Name":"Dropped"}"#)
    };
    it.sandbox.fault(Fault::new(Action::DropBefore).method("POST").times(1));
    assert!(post().is_err());
    assert_eq!(it.count("Account", "Name = 'Dropped'"), 0);
    it.sandbox.fault(Fault::new(Action::DropAfter).method("POST").times(1));
    assert!(post().is_err());
    assert_eq!(it.count("Account", "Name = 'Dropped'"), 1);
    let failed = it.sandbox.requests().into_iter().find(|r| r.method == "POST").unwrap();
    assert_eq!((failed.status, failed.body.as_str()), (0, r#"{"Name":"Dropped"}"#));
}

#[test]
fn bodies_are_cut_garbled_replaced_and_slowed() {
    let it = Client::new(Config::new());
    let get = || it.send("GET", "/services/data/v62.0/query?q=SELECT+Id+FROM+Contact", &[], "");
    let strike = |action: Action| {
        it.sandbox.clear_faults();
        it.sandbox.fault(Fault::new(action).soql("FROM Contact").times(1));
        get()
    };
    assert!(strike(Action::TruncateBody).is_err());
    assert!(strike(Action::TruncateChunked).is_err());
    let short = strike(Action::TruncateBodyCleanly).unwrap();
    assert!(short.status == 200 && serde_json::from_str::<serde_json::Value>(&short.text).is_err());
    assert_eq!(strike(Action::EmptyBody).unwrap().text, "");
    assert_eq!(strike(Action::Body("[]".into())).unwrap().text, "[]");
    assert_eq!(strike(Action::Html(503)).unwrap().status, 503);
    let garbage = strike(Action::Garbage).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&garbage.text).is_err());
    let linked = strike(Action::NextLink("https://evil.example/next".into())).unwrap();
    assert_eq!(linked.json()["nextRecordsUrl"], "https://evil.example/next");
    let limited =
        strike(Action::Status { code: 429, body: "[]".into(), headers: vec![("Retry-After".into(), "1".into())] })
            .unwrap();
    assert_eq!((limited.status, limited.headers["Retry-After"].to_str().unwrap()), (429, "1"));
    let begun = Instant::now();
    strike(Action::Delay(80)).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(80));
    it.sandbox.fault(Fault::new(Action::SlowBody(5)).path("/limits"));
    let begun = Instant::now();
    assert_eq!(it.get("limits").status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_hanging_request_ends_with_the_client_and_the_sandbox_stops_meanwhile() {
    let it = Client::new(Config::new());
    it.sandbox.fault(Fault::new(Action::Hang).path("/limits"));
    let impatient: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_millis(100))).build().into();
    assert!(impatient.get(format!("{}/services/data/v62.0/limits", it.sandbox.url())).call().is_err());
    let begun = Instant::now();
    drop(it);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_log_tells_query_connection_and_status_and_leaves_the_control_plane_out() {
    let it = Client::new(Config::new());
    it.query("SELECT Id FROM Contact LIMIT 1");
    it.get("sobjects/Nothing/describe");
    let control = format!("{}/_control/", it.sandbox.url());
    let log: Vec<serde_json::Value> = serde_json::from_str(
        &it.agent.get(format!("{control}requests")).call().unwrap().body_mut().read_to_string().unwrap(),
    )
    .unwrap();
    assert_eq!(log.len(), 2);
    assert_eq!((&log[0]["soql"], &log[0]["status"]), (&json!("SELECT Id FROM Contact LIMIT 1"), &json!(200)));
    assert_eq!((&log[1]["status"], &log[1]["connection"]), (&json!(404), &log[0]["connection"]));
    let post = |resource: &str, body: &str| {
        it.agent.post(format!("{control}{resource}")).send(body).unwrap().status().as_u16()
    };
    assert_eq!(post("settings", r#"{"latency_ms":0.5,"records":{"Contact":5},"switches":{"page_size":2}}"#), 204);
    assert_eq!(post("settings", r#"{"switches":{"nonsense":1}}"#), 400);
    assert_eq!(it.query("SELECT Id FROM Contact").json()["records"].as_array().unwrap().len(), 2);
    assert_eq!(post("faults", r#"{"path_contains":"/limits","action":{"status":{"code":500}}}"#), 204);
    assert_eq!(it.get("limits").status, 500);
    it.sandbox.clear_faults();
    assert_eq!(post("expire", ""), 204);
    let dump = it.agent.get(format!("{control}dump/Contact")).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(dump.starts_with("Id,IsDeleted,AccountId,") && dump.lines().count() >= 6);
    it.sandbox.clear_requests();
    assert!(it.sandbox.requests().is_empty());
}

#[test]
fn https_is_served_with_a_certificate_of_the_own_authority() {
    let sandbox = Sandbox::start(Config::new().tls(true)).unwrap();
    let url = format!("{}/services/data/", sandbox.url());
    assert!(url.starts_with("https://127.0.0.1:"));
    assert!(agent().get(&url).call().is_err(), "the authority is not known");
    let ca = ureq::tls::Certificate::from_pem(sandbox.ca_pem().unwrap().as_bytes()).unwrap();
    let roots = ureq::tls::RootCerts::new_with_certs(&[ca]);
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
    let trusting: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    assert_eq!(trusting.get(&url).call().unwrap().status(), 200);
    assert_eq!(trusting.get(url.replace("127.0.0.1", "localhost")).call().unwrap().status(), 200);
}

#[test]
fn cached_pages_are_the_same_pages_until_something_is_written() {
    let plain = Client::new(Config::new());
    let cached = Client::new(Config::new().cache_pages(true));
    let soql = "SELECT Id, Name FROM Contact";
    assert_eq!(cached.all("query", soql), plain.all("query", soql));
    assert_eq!(cached.all("query", soql), plain.all("query", soql));
    cached.write("POST", "sobjects/Contact", r#"{"LastName":"New"}"#);
    assert_eq!(cached.all("query", soql).len(), 3223);
}
