//! Writes over HTTP, one by one and many at once.

use crate::client::Client;
use sandbox::{Config, DanglingReference};
use serde_json::{Value as Json, json};

fn client() -> Client {
    Client::new(Config::new())
}

fn create(it: &Client, object: &str, record: Json) -> String {
    let answer = it.write("POST", &format!("sobjects/{object}"), &record.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_record_lives_from_create_to_delete() {
    let it = client();
    let answer =
        it.write("POST", "sobjects/Contact", r#"{"LastName":"Lovelace","FirstName":"Ada","Email":"","Score__c":1.5}"#);
    assert_eq!(answer.status, 201);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.headers["Location"].to_str().unwrap(), format!("/services/data/v62.0/sobjects/Contact/{id}"));
    let path = format!("sobjects/Contact/{id}");
    let before = it.get(&path).json();
    assert_eq!(
        (&before["Name"], &before["Email"], &before["HasOptedOutOfEmail"]),
        (&json!("Ada Lovelace"), &Json::Null, &json!(false))
    );
    let changed = it.write("PATCH", &path, r#"{"FirstName":null,"Languages__c":"Deutsch;English"}"#);
    assert_eq!((changed.status, changed.text.as_str()), (204, ""));
    let after = it.get(&path).json();
    assert_eq!((&after["Name"], &after["Languages__c"]), (&json!("Lovelace"), &json!("English;Deutsch")));
    assert!(after["SystemModstamp"].as_str() > before["SystemModstamp"].as_str());
    assert_eq!(it.send("DELETE", &format!("/services/data/v62.0/{path}"), &[], "").unwrap().status, 204);
    assert_eq!(it.get(&path).code(), "NOT_FOUND");
    assert_eq!(it.write("PATCH", &path, "{}").code(), "ENTITY_IS_DELETED");
    assert_eq!(it.all("queryAll", &format!("SELECT IsDeleted FROM Contact WHERE Id = '{id}'"))[0]["IsDeleted"], true);
}

#[test]
fn writes_that_the_api_refuses_name_code_and_field() {
    let it = client();
    let account = it.sandbox.id("Account", 1);
    for (object, body, code, field) in [
        ("Contact", r#"{"FirstName":"x"}"#, "REQUIRED_FIELD_MISSING", Some("LastName")),
        ("Contact", r#"{"LastName":"x","Name":"y"}"#, "INVALID_FIELD_FOR_INSERT_UPDATE", Some("Name")),
        (
            "Contact",
            r#"{"LastName":"x","CreatedDate":"2024-01-01T00:00:00Z"}"#,
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            Some("CreatedDate"),
        ),
        ("Contact", r#"{"LastName":"x","Nope":1}"#, "INVALID_FIELD", None),
        ("Contact", r#"{"LastName":"x","Email":"nope"}"#, "INVALID_EMAIL_ADDRESS", Some("Email")),
        ("Contact", r#"{"LastName":"x","Level__c":"Z"}"#, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", Some("Level__c")),
        ("Contact", r#"{"LastName":"x","AccountId":"001"}"#, "MALFORMED_ID", Some("AccountId")),
        (
            "Contact",
            r#"{"LastName":"x","AccountId":"001RO0000099999"}"#,
            "INVALID_CROSS_REFERENCE_KEY",
            Some("AccountId"),
        ),
        ("Contact", r#"{"LastName":"x","Score__c":"5"}"#, "JSON_PARSER_ERROR", None),
        (
            "Contact",
            r#"{"LastName":"x","Birthdate":"1600-01-01"}"#,
            "INVALID_TYPE_ON_FIELD_IN_RECORD",
            Some("Birthdate"),
        ),
        ("Contact", r#"{"LastName":"x","Score__c":1e13}"#, "NUMBER_OUTSIDE_VALID_RANGE", Some("Score__c")),
        ("Contact", r#"{"LastName":"#, "JSON_PARSER_ERROR", None),
        (
            "Opportunity",
            r#"{"Name":"x","StageName":"Prospecting","CloseDate":"2024-01-01","Amount":-1}"#,
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            Some("Amount"),
        ),
        ("Lead", r#"{"LastName":"x","Company":"Trigger Error"}"#, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", None),
    ] {
        let answer = it.write("POST", &format!("sobjects/{object}"), body);
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{body}: {}", answer.text);
        assert_eq!(answer.json()[0]["fields"][0].as_str(), field, "{body}");
    }
    let long = json!({ "LastName": "x".repeat(81), "AccountId": account });
    let answer = it.write("POST", "sobjects/Contact", &long.to_string());
    assert_eq!(answer.code(), "STRING_TOO_LONG");
    assert!(answer.json()[0]["message"].as_str().unwrap().ends_with("(max length=80)"));
    let untyped =
        it.send("POST", "/services/data/v62.0/sobjects/Contact", &[("Content-Type", "text/plain")], "{}").unwrap();
    assert_eq!(untyped.status, 415);
    assert_eq!(it.write("PUT", "sobjects/Contact", "{}").status, 405);
    let missing = it.sandbox.id("Contact", 999_999);
    let answer = it.write("PATCH", &format!("sobjects/Contact/{missing}"), "{}");
    assert_eq!((answer.status, answer.code().as_str()), (404, "INVALID_CROSS_REFERENCE_KEY"));
}

#[test]
fn a_unique_external_id_refuses_duplicates_and_upserts() {
    let it = client();
    let path = "sobjects/Contact/ERP_Key__c/new%2F1";
    let created = it.write("PATCH", path, r#"{"LastName":"A"}"#);
    assert_eq!((created.status, &created.json()["created"]), (201, &json!(true)));
    let updated = it.write("PATCH", path, r#"{"LastName":"B"}"#);
    assert_eq!((updated.status, &updated.json()["id"]), (200, &created.json()["id"]));
    assert_eq!(it.write("PATCH", path, r#"{"LastName":"B","ERP_Key__c":"x"}"#).code(), "INVALID_FIELD");
    assert_eq!(
        it.write("PATCH", "sobjects/Contact/ERP_Key__c/new2?updateOnly=true", r#"{"LastName":"B"}"#).status,
        404
    );
    assert_eq!(it.write("PATCH", "sobjects/Account/Legacy_Code__c/A", r#"{"Phone":"1"}"#).status, 300);
    let duplicate = it.write("POST", "sobjects/Contact", r#"{"LastName":"C","ERP_Key__c":"NEW/1"}"#);
    assert_eq!(duplicate.code(), "DUPLICATE_VALUE");
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert!(
        duplicate.json()[0]["message"]
            .as_str()
            .unwrap()
            .ends_with(&format!("duplicates value on record with id: {id}"))
    );
    let related = create(
        &it,
        "Every_Type__c",
        json!({ "Parent__r": { "Any_Key__c": it.column("SELECT Any_Key__c FROM Every_Type__c WHERE Any_Key__c != null LIMIT 1")[0] } }),
    );
    assert!(it.get(&format!("sobjects/Every_Type__c/{related}")).json()["Parent__c"].is_string());
}

#[test]
fn collections_answer_in_order_and_all_or_none_undoes_everything() {
    let it = client();
    let record = |name: Json| json!({ "attributes": { "type": "Account" }, "Name": name });
    let records = json!([record(json!("a")), record(Json::Null), record(json!("c"))]);
    let some = it.write("POST", "composite/sobjects", &json!({ "allOrNone": false, "records": records }).to_string());
    let items = some.json();
    assert_eq!(
        (&items[0]["success"], &items[1]["success"], &items[2]["success"]),
        (&json!(true), &json!(false), &json!(true))
    );
    assert_eq!(items[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING");
    assert!(items[1].get("id").is_none());
    assert_eq!(it.count("Account", "Name IN ('a', 'c')"), 2);
    let none = it.write("POST", "composite/sobjects", &json!({ "allOrNone": true, "records": records }).to_string());
    assert_eq!(none.status, 200);
    assert_eq!(none.json()[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(none.json()[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING");
    assert_eq!(it.count("Account", "Name IN ('a', 'c')"), 2);
    let ids: Vec<Json> = vec![items[0]["id"].clone(), items[2]["id"].clone()];
    let updates: Vec<Json> =
        ids.iter().map(|id| json!({ "attributes": { "type": "Account" }, "id": id, "Phone": "1" })).collect();
    let updated = it.write("PATCH", "composite/sobjects", &json!({ "records": updates }).to_string()).json();
    assert_eq!(updated[1], json!({ "id": ids[1], "success": true, "errors": [] }));
    let list = ids.iter().map(|id| id.as_str().unwrap()).collect::<Vec<_>>().join(",");
    let deleted = it
        .send("DELETE", &format!("/services/data/v62.0/composite/sobjects?ids={list}&allOrNone=true"), &[], "")
        .unwrap();
    assert_eq!(deleted.json()[0]["success"], true);
    assert_eq!(it.count("Account", "Name IN ('a', 'c')"), 0);
    let many: Vec<Json> = (0..201).map(|_| record(json!("x"))).collect();
    assert_eq!(it.write("POST", "composite/sobjects", &json!({ "records": many }).to_string()).status, 400);
    let upserts = json!({ "records": [
        { "attributes": { "type": "Account" }, "Name": "u", "ERP_Key__c": "u1" },
        { "attributes": { "type": "Account" }, "Name": "v", "ERP_Key__c": "u1" },
        { "attributes": { "type": "Account" }, "Name": "w" },
    ] });
    let upserted = it.write("PATCH", "composite/sobjects/Account/ERP_Key__c", &upserts.to_string()).json();
    assert_eq!(
        (&upserted[0]["created"], &upserted[1]["success"], &upserted[2]["success"]),
        (&json!(true), &json!(false), &json!(false))
    );
}

#[test]
fn composite_requests_refer_to_each_other_and_halt_together() {
    let it = client();
    let url = |rest: &str| format!("/services/data/v62.0/{rest}");
    let good = json!({ "allOrNone": true, "compositeRequest": [
        { "method": "POST", "url": url("sobjects/Account"), "referenceId": "a", "body": { "Name": "Composite" } },
        { "method": "POST", "url": url("sobjects/Contact"), "referenceId": "c", "body": { "LastName": "C", "AccountId": "@{a.id}" } },
        { "method": "GET", "url": url("query?q=SELECT Id FROM Contact WHERE AccountId = '@{a.id}'"), "referenceId": "q" },
    ] });
    let answer = it.write("POST", "composite", &good.to_string()).json();
    let parts = &answer["compositeResponse"];
    assert_eq!((&parts[0]["httpStatusCode"], &parts[2]["body"]["totalSize"]), (&json!(201), &json!(1)), "{answer}");
    assert!(parts[0]["httpHeaders"]["Location"].is_string());
    let bad = json!({ "allOrNone": true, "compositeRequest": [
        { "method": "POST", "url": url("sobjects/Account"), "referenceId": "a", "body": { "Name": "Halted" } },
        { "method": "POST", "url": url("sobjects/Contact"), "referenceId": "c", "body": {} },
    ] });
    let answer = it.write("POST", "composite", &bad.to_string()).json();
    assert_eq!(answer["compositeResponse"][0]["body"][0]["errorCode"], "PROCESSING_HALTED");
    assert_eq!(answer["compositeResponse"][1]["body"][0]["errorCode"], "REQUIRED_FIELD_MISSING");
    assert_eq!(it.count("Account", "Name = 'Halted'"), 0);
    let batch = json!({ "batchRequests": [
        { "method": "GET", "url": "v62.0/limits" },
        { "method": "PATCH", "url": format!("v62.0/sobjects/Account/{}", it.sandbox.id("Account", 2)), "richInput": { "Phone": "9" } },
    ] });
    let answer = it.write("POST", "composite/batch", &batch.to_string()).json();
    assert_eq!((&answer["hasErrors"], &answer["results"][1]["statusCode"]), (&json!(false), &json!(204)));
}

#[test]
fn deleting_takes_dependents_along_and_escalated_cases_prevent_it() {
    let it = client();
    let account = create(&it, "Account", json!({ "Name": "Parent" }));
    let contact = create(&it, "Contact", json!({ "LastName": "Child", "AccountId": account }));
    let case = create(&it, "Case", json!({ "AccountId": account, "ContactId": contact, "Status": "Escalated" }));
    let delete = |object: &str, id: &str| {
        it.send("DELETE", &format!("/services/data/v62.0/sobjects/{object}/{id}"), &[], "").unwrap()
    };
    assert_eq!(delete("Account", &account).code(), "DELETE_FAILED");
    assert_eq!(it.write("PATCH", &format!("sobjects/Case/{case}"), r#"{"Status":"Closed"}"#).status, 204);
    assert_eq!(delete("Account", &account).status, 204);
    assert_eq!(it.get(&format!("sobjects/Contact/{contact}")).status, 404);
    assert_eq!(it.get(&format!("sobjects/Case/{case}")).json()["AccountId"], Json::Null);
    assert_eq!(delete("User", &it.sandbox.id("User", 1)).code(), "INSUFFICIENT_ACCESS_OR_READONLY");
}

#[test]
fn the_duplicate_rule_is_a_switch_and_a_header_allows_it() {
    let it = client();
    it.sandbox.set_switches(|s| s.duplicate_rule = true);
    let body = r#"{"LastName":"x","Email":"same@example.com"}"#;
    assert_eq!(it.write("POST", "sobjects/Contact", body).status, 201);
    let refused = it.write("POST", "sobjects/Contact", body);
    assert_eq!(refused.code(), "DUPLICATES_DETECTED");
    assert!(refused.json()[0]["duplicateResult"]["matchResults"][0]["matchRecords"][0]["record"]["Id"].is_string());
    let headers = [
        ("Content-Type", "application/json"),
        ("Sforce-Duplicate-Rule-Header", "allowSave=true; includeRecordDetails=false"),
    ];
    assert_eq!(it.send("POST", "/services/data/v62.0/sobjects/Contact", &headers, body).unwrap().status, 201);
}

#[test]
fn change_feeds_tell_what_was_written_and_what_was_deleted() {
    let it = client();
    let kept = create(&it, "Account", json!({ "Name": "kept" }));
    let gone = create(&it, "Account", json!({ "Name": "gone" }));
    it.send("DELETE", &format!("/services/data/v62.0/sobjects/Account/{gone}"), &[], "").unwrap();
    let created = it.get(&format!("sobjects/Account/{kept}")).json()["CreatedDate"].as_str().unwrap().to_owned();
    let start = format!("{}:00:00%2B00:00", &created[..13]);
    let span = format!("?start={start}&end=2099-01-01T00:00:00Z");
    assert_eq!(it.get(&format!("sobjects/Account/updated/{span}")).json()["ids"], json!([kept]));
    assert_eq!(it.get(&format!("sobjects/Account/deleted/{span}")).json()["deletedRecords"][0]["id"], json!(gone));
    assert_eq!(it.get("sobjects/Account/updated/?start=2001-01-01T00:00:00Z&end=2099-01-01T00:00:00Z").status, 400);
}

#[test]
fn deleted_rows_are_dropped_from_later_pages() {
    let it = client();
    it.sandbox.set_page_size(Some(100));
    let first = it.query("SELECT Id FROM Product2").json();
    let victim = it.sandbox.id("Product2", 120);
    it.send("DELETE", &format!("/services/data/v62.0/sobjects/Product2/{victim}"), &[], "").unwrap();
    let second = it.get(first["nextRecordsUrl"].as_str().unwrap()).json();
    assert_eq!((second["totalSize"].as_u64(), second["records"].as_array().unwrap().len()), (Some(150), 49));
}

#[test]
fn what_is_not_there_is_refused_as_the_switches_say() {
    let it = client();
    let gone = create(&it, "Account", json!({ "Name": "gone" }));
    let path = format!("sobjects/Account/{gone}");
    let delete = || it.send("DELETE", &format!("/services/data/v62.0/{path}"), &[], "").unwrap();
    assert_eq!(delete().status, 204);
    let refer = || it.write("POST", "sobjects/Contact", &json!({ "LastName": "x", "AccountId": gone }).to_string());
    let contact = it.sandbox.id("Contact", 1);
    let redirect =
        || it.write("PATCH", &format!("sobjects/Contact/{contact}"), &json!({ "AccountId": gone }).to_string());
    let invalid = json!({ "message": "invalid cross reference id", "errorCode": "INVALID_CROSS_REFERENCE_KEY" });
    let on_field = json!({
        "message": "invalid cross reference id",
        "errorCode": "INVALID_CROSS_REFERENCE_KEY",
        "fields": ["AccountId"],
    });
    let no_access = json!({
        "message": format!("insufficient access rights on cross-reference id: {gone}"),
        "errorCode": "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
    });
    for (dangling, error) in [
        (DanglingReference::InvalidOnField, on_field),
        (DanglingReference::Invalid, invalid.clone()),
        (DanglingReference::NoAccess, no_access),
    ] {
        it.sandbox.set_switches(|s| s.dangling_reference = dangling);
        for answer in [refer(), redirect()] {
            assert_eq!((answer.status, answer.json()), (400, json!([error])), "{dangling:?}");
        }
    }
    assert_eq!(
        (delete().code(), it.write("PATCH", &path, "{}").code()),
        ("ENTITY_IS_DELETED".into(), "ENTITY_IS_DELETED".into())
    );
    it.sandbox.set_switches(|s| s.gone_as_deleted = false);
    for answer in [delete(), it.write("PATCH", &path, "{}")] {
        assert_eq!((answer.status, answer.json()), (404, json!([invalid])));
    }
}
