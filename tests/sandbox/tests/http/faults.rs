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

#[test]
fn one_record_of_a_write_is_refused_and_the_others_are_written_or_undone() {
    let it = Client::new(Config::new());
    let strike = |at: usize| {
        it.sandbox.clear_faults();
        let action = Action::RefuseRecord {
            at,
            code: "UNABLE_TO_LOCK_ROW".into(),
            message: "unable to obtain exclusive access to this record".into(),
            fields: vec!["ParentId".into()],
            status: 400,
        };
        it.sandbox.fault(Fault::new(action).path("sobjects").times(1));
    };
    let record = |name: &str| json!({ "attributes": { "type": "Account" }, "Name": name, "ERP_Key__c": name });
    let records = json!([record("r0"), record("r1"), record("r2")]);
    let body = |all: bool| json!({ "allOrNone": all, "records": records }).to_string();
    let codes = |answer: &crate::client::Answer| -> Vec<String> {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let code = |item: &serde_json::Value| item["errors"][0]["statusCode"].as_str().unwrap_or("done").to_owned();
        answer.json().as_array().unwrap().iter().map(code).collect()
    };
    let written = || it.count("Account", "Name IN ('r0', 'r1', 'r2')");
    let rolled_back = "ALL_OR_NONE_OPERATION_ROLLED_BACK";

    strike(1);
    let all = it.write("POST", "composite/sobjects", &body(true));
    assert_eq!(
        (codes(&all), written()),
        (vec![rolled_back.into(), "UNABLE_TO_LOCK_ROW".into(), rolled_back.into()], 0)
    );
    let error = json!({
        "statusCode": "UNABLE_TO_LOCK_ROW",
        "message": "unable to obtain exclusive access to this record",
        "fields": ["ParentId"],
    });
    assert_eq!(all.json()[1], json!({ "success": false, "errors": [error] }));
    strike(1);
    let some = it.write("PATCH", "composite/sobjects/Account/ERP_Key__c", &body(false));
    assert_eq!((codes(&some), written()), (vec!["done".into(), "UNABLE_TO_LOCK_ROW".into(), "done".into()], 2));
    // There is no fourth record, and the fault is spent.
    strike(3);
    let upserted = it.write("PATCH", "composite/sobjects/Account/ERP_Key__c", &body(true));
    assert_eq!((codes(&upserted), written()), (vec!["done".to_owned(); 3], 3));

    let ids: Vec<String> =
        upserted.json().as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    let changes: Vec<_> =
        ids.iter().map(|id| json!({ "attributes": { "type": "Account" }, "Id": id, "Phone": "7" })).collect();
    let changes = json!({ "records": changes }).to_string();
    strike(2);
    assert_eq!(codes(&it.write("PATCH", "composite/sobjects", &changes))[2], "UNABLE_TO_LOCK_ROW");
    assert_eq!(it.count("Account", "Phone = '7'"), 2);
    let delete = |all: bool| {
        let target = format!("/services/data/v62.0/composite/sobjects?ids={}&allOrNone={all}", ids.join(","));
        it.send("DELETE", &target, &[], "").unwrap()
    };
    strike(0);
    assert_eq!(
        (codes(&delete(true)), written()),
        (vec!["UNABLE_TO_LOCK_ROW".into(), rolled_back.into(), rolled_back.into()], 3)
    );
    strike(0);
    assert_eq!(
        (codes(&delete(false)), written()),
        (vec!["UNABLE_TO_LOCK_ROW".into(), "done".into(), "done".into()], 1)
    );
}

#[test]
fn a_write_of_a_single_record_is_refused_whole() {
    let it = Client::new(Config::new());
    let control = format!("{}/_control/faults", it.sandbox.url());
    let fault = r#"{"path_contains":"/sobjects/Account","action":{"refuse_record":{"at":0,"code":"ROW_LOCKED","message":"m"}}}"#;
    assert_eq!(it.agent.post(&control).send(fault).unwrap().status(), 204);
    let id = it.sandbox.id("Account", 1);
    let before = it.get(&format!("sobjects/Account/{id}"));
    assert_eq!(before.status, 200, "reads are not refused");
    for (method, path) in [
        ("POST", "sobjects/Account".to_owned()),
        ("PATCH", format!("sobjects/Account/{id}")),
        ("DELETE", format!("sobjects/Account/{id}")),
        ("PATCH", "sobjects/Account/ERP_Key__c/refused".to_owned()),
        ("DELETE", "sobjects/Account/ERP_Key__c/refused".to_owned()),
    ] {
        let answer = it.write(method, &path, r#"{"Name":"Refused"}"#);
        let error = json!([{ "message": "m", "errorCode": "ROW_LOCKED", "fields": [] }]);
        assert_eq!((answer.status, answer.json()), (400, error), "{method} {path}");
    }
    assert_eq!(it.count("Account", "Name = 'Refused'"), 0);
    assert_eq!(it.get(&format!("sobjects/Account/{id}")).text, before.text);
}

#[test]
fn a_body_of_any_size_comes_piece_by_piece_and_packed_as_often_as_was_asked() {
    let it = Client::new(Config::new());
    let strike = |times: usize, gzip: u8| {
        let (start, fill, end) = ("[".to_owned(), "1,".to_owned(), "1]".to_owned());
        it.sandbox.fault(Fault::new(Action::Long { start, fill, times, end, gzip }).path("limits").times(1));
    };
    for times in [0, 1, 100_000] {
        strike(times, 0);
        let answer = it.get("limits");
        assert_eq!(answer.json().as_array().unwrap().len(), times + 1);
    }
    strike(100_000, 1);
    // The client unpacks one layer.
    assert_eq!(it.get("limits").json().as_array().unwrap().len(), 100_001);
    strike(100_000, 2);
    let twice = it.send("GET", "/services/data/v62.0/limits", &[], "");
    assert!(twice.is_err() || twice.unwrap().text.len() < 10_000);
    it.sandbox.fault(Fault::new(Action::ClaimLength(1 << 40)).path("limits").times(1));
    assert!(it.send("GET", "/services/data/v62.0/limits", &[], "").is_err());
}
