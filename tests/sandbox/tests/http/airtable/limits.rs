//! Rate limits, faults, sessions, webhooks and the control plane.

use std::time::{Duration, Instant};

use sandbox::{AIRTABLE_REFRESH_TOKEN, AIRTABLE_TOKEN, Action, CLIENT_ID, CLIENT_SECRET, Config, Fault, RateLimitBody};
use serde_json::{Value as Json, json};

use super::{Airtable, ids, refused};

#[test]
fn the_sixth_request_of_a_second_is_refused_and_so_is_what_follows() {
    let it = Airtable::of(Config::new().airtable(|s| s.penalty_ms = 300));
    let list = || it.list("Empty", &json!({}));
    let statuses: Vec<u16> = (0..7).map(|_| list().status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    let began = Instant::now();
    let body = list();
    assert_eq!(body.json()["errors"][0]["error"], "RATE_LIMIT_REACHED");
    // Another base is not meant, nor is what is about none.
    let bases = it.get("meta/bases").json();
    let other = bases["bases"][1]["id"].as_str().unwrap();
    assert_eq!(it.get(&format!("{other}/Notes")).status, 200);
    while list().status == 429 {
        assert!(began.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(began.elapsed() >= Duration::from_millis(200));
    let traffic = it.client.sandbox.airtable_traffic();
    assert!(traffic["refused"].as_u64().unwrap() >= 3 && traffic["most_in_a_second"][&it.base].as_u64().unwrap() >= 7);
    let at: Vec<u64> = it.client.sandbox.requests().iter().map(|r| r.at_us).collect();
    assert!(at.is_sorted() && at[6] - at[0] < 1_000_000);
    it.client.sandbox.clear_airtable_traffic();
    it.client.sandbox.set_airtable_switches(|s| {
        s.requests_per_second = 1;
        s.rate_limit_body = RateLimitBody::Error;
        s.retry_after = true;
    });
    assert_eq!(list().status, 200);
    let answer = list();
    refused(&answer, 429, "TOO_MANY_REQUESTS");
    assert_eq!(answer.headers["Retry-After"].to_str().unwrap(), "1");
}

#[test]
fn a_month_has_its_calls() {
    let it = Airtable::with(|s| s.monthly_calls = Some(2));
    let statuses: Vec<u16> = (0..3).map(|_| it.get("meta/whoami").status).collect();
    assert_eq!(statuses, [200, 200, 429]);
}

#[test]
fn faults_strike_as_they_do_elsewhere() {
    let it = Airtable::new();
    let post = || {
        let target = format!("/v0/{}/Empty", it.base);
        it.client.send("POST", &target, &[("Content-Type", "application/json")], r#"{"fields":{"Name":"x"}}"#)
    };
    let count = || it.all("Empty", &json!({})).len();
    let strike = |action: Action| it.client.sandbox.fault(Fault::new(action).method("POST").path("/Empty").times(1));
    strike(Action::DropBefore);
    assert!(post().is_err() && count() == 0);
    strike(Action::DropAfter);
    assert!(post().is_err() && count() == 1);
    strike(Action::Html(503));
    assert!(post().unwrap().status == 503 && count() == 1);
    strike(Action::TruncateBody);
    assert!(post().is_err() && count() == 2);
    let by_formula = Fault::status(500, r#"{"error":{"type":"SERVER_ERROR","message":"Try again"}}"#).soql("'needle'");
    it.client.sandbox.fault(by_formula);
    let found = |text: &str| it.list("Empty", &json!({ "filterByFormula": format!("{{Name}}='{text}'") })).status;
    assert_eq!((found("needle"), found("hay")), (500, 200));
    it.client.sandbox.clear_faults();
    it.client.sandbox.fault(Fault::new(Action::NextLink("itrAAAAAAAAAAAAAA/recAAAAAAAAAAAAAA".into())));
    assert_eq!(it.list("People", &json!({})).json()["offset"], "itrAAAAAAAAAAAAAA/recAAAAAAAAAAAAAA");
}

#[test]
fn one_record_of_a_batch_can_be_refused() {
    let it = Airtable::new();
    let refuse = |at: usize| {
        let (code, message) = ("INVALID_VALUE_FOR_COLUMN".to_owned(), "no".to_owned());
        let action = Action::RefuseRecord { at, code, message, fields: Vec::new(), status: 422 };
        it.client.sandbox.fault(Fault::new(action).times(1));
    };
    let records = json!({ "records": [{ "fields": { "Name": "a" } }, { "fields": { "Name": "b" } }] });
    refuse(1);
    refused(&it.table("POST", "Empty", "", &records), 422, "INVALID_VALUE_FOR_COLUMN");
    assert_eq!(it.all("Empty", &json!({})).len(), 0);
    refuse(7);
    assert_eq!(it.table("POST", "Empty", "", &records).status, 200);
    refuse(7);
    refused(&it.table("POST", "Empty", "", &json!({ "fields": {} })), 422, "INVALID_VALUE_FOR_COLUMN");
}

#[test]
fn refresh_tokens_are_good_once_and_access_tokens_until_they_expire() {
    let mut it = Airtable::new();
    let grant = |token: &str, secret: &str| {
        let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{CLIENT_ID}:{secret}"));
        let headers =
            [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", &*format!("Basic {basic}"))];
        let body = format!("grant_type=refresh_token&refresh_token={token}");
        it.client.send("POST", "/oauth2/v1/token", &headers, &body).unwrap()
    };
    assert_eq!(grant(AIRTABLE_REFRESH_TOKEN, "wrong").status, 401);
    let answer = grant(AIRTABLE_REFRESH_TOKEN, CLIENT_SECRET).json();
    assert_eq!((answer["token_type"].as_str(), answer["expires_in"].as_u64()), (Some("Bearer"), Some(3600)));
    let again = grant(AIRTABLE_REFRESH_TOKEN, CLIENT_SECRET);
    assert_eq!((again.status, again.json()["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(grant(answer["refresh_token"].as_str().unwrap(), CLIENT_SECRET).status, 200);
    it.client.token = answer["access_token"].as_str().unwrap().to_owned();
    assert_eq!(it.get("meta/whoami").status, 200);
    it.client.sandbox.expire_tokens();
    refused(&it.get("meta/whoami"), 401, "AUTHENTICATION_REQUIRED");
    it.client.token = AIRTABLE_TOKEN.to_owned();
    assert_eq!(it.get("meta/whoami").status, 200);
}

#[test]
fn webhooks_tell_what_was_created_changed_and_destroyed() {
    let it = Airtable::new();
    let hooks = format!("bases/{}/webhooks", it.base);
    let table = it.client.sandbox.airtable_table("Empty");
    let body = |scope: &str| {
        json!({ "notificationUrl": null, "specification": { "options": { "filters": {
            "dataTypes": ["tableData"], "recordChangeScope": scope } } } })
    };
    refused(&it.send("POST", &hooks, &json!({})), 422, "INVALID_REQUEST_UNKNOWN");
    refused(&it.send("POST", &hooks, &body("tblAAAAAAAAAAAAAA")), 422, "INVALID_REQUEST_UNKNOWN");
    let made = it.send("POST", &hooks, &body(&table)).json();
    let hook = format!("{hooks}/{}", made["id"].as_str().unwrap());
    assert!(made["expirationTime"].is_string() && made["macSecretBase64"].is_string());
    let id = it.create("Empty", json!({ "Name": "x" }))["id"].as_str().unwrap().to_owned();
    it.create("People", json!({ "Name": "of another table" }));
    it.table("PATCH", "Empty", &format!("/{id}"), &json!({ "fields": { "Amount": 3 } }));
    it.table("PATCH", "Empty", &format!("/{id}"), &json!({ "fields": { "Amount": "refused" } }));
    it.table("DELETE", "Empty", &format!("/{id}"), &Json::Null);
    let first = it.get(&format!("{hook}/payloads?cursor=1&limit=2")).json();
    assert_eq!((&first["cursor"], &first["mightHaveMore"]), (&json!(3), &json!(true)));
    let second = it.get(&format!("{hook}/payloads?cursor=3")).json();
    assert_eq!((&second["cursor"], &second["mightHaveMore"]), (&json!(4), &json!(false)));
    let of = |page: &Json, at: usize| page["payloads"][at]["changedTablesById"][&table].clone();
    let (name, amount) =
        (it.client.sandbox.airtable_field("Empty", "Name"), it.client.sandbox.airtable_field("Empty", "Amount"));
    assert_eq!(of(&first, 0)["createdRecordsById"][&id]["cellValuesByFieldId"], json!({ &name: "x", &amount: null }));
    let changed = json!({ "current": { "cellValuesByFieldId": { amount: 3 } } });
    assert_eq!(of(&first, 1)["changedRecordsById"][&id], changed);
    assert_eq!(of(&second, 0)["destroyedRecordIds"], json!([id]));
    assert_eq!(it.send("POST", &format!("{hook}/refresh"), &Json::Null).status, 200);
    assert_eq!(it.get(&hooks).json()["webhooks"][0]["cursorForNextPayload"], 4);
    assert_eq!(it.send("DELETE", &hook, &Json::Null).status, 204);
    refused(&it.get(&format!("{hook}/payloads")), 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND");
}

#[test]
fn the_control_plane_changes_records_and_names_behind_the_back() {
    let it = Airtable::new();
    it.client.sandbox.clear_requests();
    let control = |method: &str, path: &str, body: &Json| {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let json = [("Content-Type", "application/json"), ("Authorization", "none")];
        it.client.send(method, &format!("/_control/{path}"), &json, &text).unwrap()
    };
    let made = control("POST", &format!("airtable/v0/{}/Empty", it.base), &json!({ "fields": { "Name": "behind" } }));
    assert_eq!(made.json()["fields"]["Name"], "behind");
    assert_eq!(
        it.client.sandbox.airtable("GET", &format!("/v0/{}/Empty", it.base), "").1["records"][0]["fields"]["Name"],
        "behind"
    );
    let table = it.client.sandbox.airtable_table("Empty");
    let name = it.client.sandbox.airtable_field("Empty", "Name");
    let amount = it.client.sandbox.airtable_field("Empty", "Amount");
    let fields = format!("airtable/v0/meta/bases/{}/tables/{table}/fields", it.base);
    assert_eq!(control("PATCH", &format!("{fields}/{name}"), &json!({ "name": "Renamed" })).json()["id"], name);
    assert_eq!(control("POST", &fields, &json!({ "name": "Later", "type": "date" })).status, 200);
    assert_eq!(control("DELETE", &format!("{fields}/{amount}"), &Json::Null).status, 200);
    assert!(it.client.sandbox.requests().is_empty());
    let records = it.all("Empty", &json!({ "fields": [name] }));
    assert_eq!(records[0]["fields"], json!({ "Renamed": "behind" }));
    it.create("Empty", json!({ "Later": "2024-01-01" }));
    refused(&it.list("Empty", &json!({ "fields": [amount] })), 422, "UNKNOWN_FIELD_NAME");
    assert_eq!(
        control(
            "POST",
            "settings",
            &json!({ "airtable": { "blank_is_zero": false, "missing_in_batch": "forbidden" } })
        )
        .status,
        204
    );
    let switches = control("GET", "airtable", &Json::Null).json();
    assert_eq!((&switches["blank_is_zero"], &switches["missing_in_batch"]), (&json!(false), &json!("forbidden")));
    assert_eq!(control("POST", "settings", &json!({ "airtable": { "nonsense": 1 } })).status, 400);
    assert_eq!(control("POST", "settings", &json!({ "records": { "Empty": 3 } })).status, 204);
    assert_eq!(it.all("Empty", &json!({})).len(), 3);
    assert_eq!(control("GET", "dump/Time%2FLog", &Json::Null).text.lines().count(), 16);
    let stats = control("GET", "stats", &Json::Null).json();
    assert_eq!(stats["airtable"]["records"]["Empty"], 3);
    assert!(stats["airtable"]["traffic"]["most_in_a_second"].is_object());
    let before = ids(&it.all("People", &json!({})));
    assert_eq!(control("POST", "settings", &json!({ "records": { "Measurements": 5 } })).status, 204);
    assert_eq!(ids(&it.all("People", &json!({}))), before, "the same seed, the same ids");
}
