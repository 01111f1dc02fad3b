//! Creating, updating, upserting and deleting.

use serde_json::{Value as Json, json};

use super::{Airtable, ids, refused};

fn many(n: usize) -> Json {
    json!({ "records": (0..n).map(|i| json!({ "fields": { "Name": format!("n{i}"), "Amount": i } })).collect::<Json>() })
}

#[test]
fn ten_records_are_created_at_once_and_eleven_are_not() {
    let it = Airtable::new();
    let answer = it.table("POST", "Empty", "", &many(10)).json();
    assert_eq!(answer["records"].as_array().unwrap().len(), 10);
    assert_eq!(answer["records"][1]["fields"], json!({ "Name": "n1", "Amount": 1 }));
    assert!(answer["records"][0]["createdTime"].as_str().unwrap().ends_with(".000Z"));
    refused(&it.table("POST", "Empty", "", &many(11)), 422, "INVALID_RECORDS");
    refused(&it.table("POST", "Empty", "", &many(0)), 422, "INVALID_RECORDS");
    assert_eq!(it.all("Empty", &json!({})).len(), 10);
    let single = it.create("Empty", json!({ "Name": "one" }));
    assert_eq!(
        (single["fields"]["Name"].as_str(), it.record("Empty", single["id"].as_str().unwrap())),
        (Some("one"), single.clone())
    );
    let name = it.client.sandbox.airtable_field("Empty", "Name");
    let body = json!({ "fields": { &name: "by id" }, "returnFieldsByFieldId": true });
    assert_eq!(it.table("POST", "Empty", "", &body).json()["fields"], json!({ name: "by id" }));
}

#[test]
fn malformed_bodies_are_refused_each_in_its_way() {
    let it = Airtable::new();
    let target = format!("/v0/{}/Empty", it.base);
    let raw = |kind: &str, body: &str| it.client.send("POST", &target, &[("Content-Type", kind)], body).unwrap();
    refused(&raw("text/plain", r#"{"fields":{}}"#), 422, "INVALID_REQUEST_BODY");
    refused(&raw("application/json", "{"), 422, "INVALID_REQUEST_BODY");
    let post = |body: Json| it.table("POST", "Empty", "", &body);
    refused(&post(json!({})), 422, "MISSING_FIELDS");
    refused(&post(json!({ "records": [{}] })), 422, "MISSING_FIELDS");
    refused(&post(json!({ "records": [{ "id": "recAAAAAAAAAAAAAA", "fields": {} }] })), 422, "INVALID_RECORDS");
    refused(&post(json!({ "fields": {}, "nonsense": 1 })), 422, "INVALID_REQUEST_UNKNOWN");
    refused(&post(json!({ "fields": { "foo": 1 } })), 422, "UNKNOWN_FIELD_NAME");
    refused(&it.table("PATCH", "Empty", "", &json!({ "records": [{ "fields": {} }] })), 422, "INVALID_RECORDS");
    it.client.sandbox.set_airtable_switches(|s| s.body_limit = 100);
    refused(&post(json!({ "fields": { "Name": "x".repeat(200) } })), 413, "REQUEST_TOO_LARGE");
}

#[test]
fn a_refused_record_refuses_its_batch_unless_switched() {
    let it = Airtable::new();
    let mut body = many(3);
    body["records"][2]["fields"]["Amount"] = json!("three");
    refused(&it.table("POST", "Empty", "", &body), 422, "INVALID_VALUE_FOR_COLUMN");
    assert_eq!(it.all("Empty", &json!({})).len(), 0);
    it.client.sandbox.set_airtable_switches(|s| s.atomic_batches = false);
    refused(&it.table("POST", "Empty", "", &body), 422, "INVALID_VALUE_FOR_COLUMN");
    assert_eq!(it.all("Empty", &json!({})).len(), 2);
}

#[test]
fn every_type_takes_its_own_form_and_no_other() {
    let it = Airtable::new();
    let project = it.client.sandbox.id("Projects", 0);
    let good = [
        ("Name", json!("x")),
        ("Email", json!("a@b")),
        ("Age", json!(3)),
        ("Score", json!(1.2345)),
        ("Salary", json!(-1.5)),
        ("Bonus", json!(0.5)),
        ("Worked", json!(90)),
        ("Rating", json!(5)),
        ("Active", json!(true)),
        ("Status", json!("Won't do")),
        ("Skills", json!(["x\"y", "SQL"])),
        ("Born", json!("2024-02-29")),
        ("Last seen", json!("2024-05-31T12:34:56.000Z")),
        ("Projects", json!([project])),
        ("Badge", json!({ "text": "1", "type": "ean13" })),
    ];
    for (name, value) in &good {
        assert_eq!(it.create("People", json!({ *name: value }))["fields"][name], *value, "{name}");
    }
    for owner in [
        json!({ "email": "ada@example.com" }),
        json!({ "id": it.create("People", json!({}))["fields"]["Created by"]["id"] }),
    ] {
        assert_eq!(it.create("People", json!({ "Owner": owner }))["fields"]["Owner"]["name"], "Ada Lovelace");
    }
    let bad = [
        ("Name", json!(1)),
        ("Name", json!("x".repeat(100_001))),
        ("Age", json!("3")),
        ("Age", json!(true)),
        ("Rating", json!(6)),
        ("Rating", json!(2.5)),
        ("Active", json!("true")),
        ("Born", json!("2023-02-29")),
        ("Born", json!("31.5.2024")),
        ("Last seen", json!(0)),
        ("Skills", json!([1])),
        ("Projects", json!("recAAAAAAAAAAAAAA")),
        ("Projects", json!(["P-1"])),
        ("Badge", json!("1")),
        ("Owner", json!({ "email": "nobody@example.com" })),
        ("Photos", json!([{ "filename": "x" }])),
    ];
    for (name, value) in &bad {
        let answer = it.table("POST", "People", "", &json!({ "fields": { *name: value } }));
        refused(&answer, 422, "INVALID_VALUE_FOR_COLUMN");
        assert_eq!(answer.json()["error"]["message"], format!("Field \"{name}\" cannot accept the provided value"));
    }
    let post = |fields: Json| it.table("POST", "People", "", &json!({ "fields": fields }));
    let choice = post(json!({ "Status": "Nope" }));
    refused(&choice, 422, "INVALID_MULTIPLE_CHOICE_OPTIONS");
    assert_eq!(choice.json()["error"]["message"], "Insufficient permissions to create new select option \"Nope\"");
    let row = post(json!({ "Projects": ["recAAAAAAAAAAAAAA"] }));
    refused(&row, 422, "ROW_DOES_NOT_EXIST");
    assert_eq!(row.json()["error"]["message"], "Record ID recAAAAAAAAAAAAAA does not exist");
}

#[test]
fn computed_fields_are_refused_by_name() {
    let it = Airtable::new();
    for name in [
        "Number",
        "Created",
        "Modified",
        "Created by",
        "Modified by",
        "Profile",
        "Label",
        "Total budget",
        "Project count",
        "Company city",
        "Feed",
        "Summary",
        "Order",
        "Broken",
    ] {
        let answer = it.table("POST", "People", "", &json!({ "fields": { name: null } }));
        refused(&answer, 422, "INVALID_VALUE_FOR_COLUMN");
        let message = format!("Field \"{name}\" cannot accept a value because the field is computed");
        assert_eq!(answer.json()["error"]["message"], message);
    }
}

#[test]
fn null_and_the_empty_value_of_each_type_clear() {
    let it = Airtable::new();
    let filled =
        json!({ "Name": "x", "Age": 0, "Active": true, "Skills": ["SQL"], "Born": "2024-01-01", "Status": "Done" });
    let id = it.create("People", filled.clone())["id"].as_str().unwrap().to_owned();
    assert_eq!(it.record("People", &id)["fields"]["Age"], 0);
    for clear in [
        json!({ "Name": "", "Age": null, "Active": false, "Skills": [], "Born": "", "Status": "" }),
        json!({ "Name": null, "Age": null, "Active": null, "Skills": null, "Born": null, "Status": null }),
    ] {
        it.table("PATCH", "People", &format!("/{id}"), &json!({ "fields": filled }));
        let left = it.table("PATCH", "People", &format!("/{id}"), &json!({ "fields": clear })).json();
        for name in filled.as_object().unwrap().keys() {
            assert!(left["fields"].get(name).is_none(), "{name}");
        }
    }
}

#[test]
fn patch_merges_and_put_replaces() {
    let it = Airtable::new();
    let id = it.create("People", json!({ "Name": "x", "Age": 1 }))["id"].clone();
    let send = |method: &str| {
        let body = json!({ "records": [{ "id": id, "fields": { "Age": 2 } }] });
        it.table(method, "People", "", &body).json()["records"][0]["fields"].clone()
    };
    assert_eq!((&send("PATCH")["Name"], &send("PATCH")["Age"]), (&json!("x"), &json!(2)));
    assert_eq!((&send("PUT")["Name"], &send("PUT")["Age"]), (&Json::Null, &json!(2)));
    let twice = json!({ "records": [{ "id": id, "fields": {} }, { "id": id, "fields": {} }] });
    refused(&it.table("PATCH", "People", "", &twice), 422, "INVALID_REQUEST_UNKNOWN");
    let gone =
        json!({ "records": [{ "id": id, "fields": { "Age": 9 } }, { "id": "recAAAAAAAAAAAAAA", "fields": {} }] });
    refused(&it.table("PATCH", "People", "", &gone), 422, "ROW_DOES_NOT_EXIST");
    assert_eq!(it.record("People", id.as_str().unwrap())["fields"]["Age"], 2);
}

#[test]
fn upserts_create_update_and_refuse_what_matches_twice() {
    let it = Airtable::new();
    it.table("POST", "Empty", "", &many(3));
    let upsert = |on: Json, records: Json| {
        it.table("PATCH", "Empty", "", &json!({ "performUpsert": { "fieldsToMergeOn": on }, "records": records }))
    };
    let answer =
        upsert(json!(["Name"]), json!([{ "fields": { "Name": "n1", "Amount": 10 } }, { "fields": { "Name": "new" } }]));
    let json = answer.json();
    assert_eq!(
        (json["createdRecords"].as_array().unwrap().len(), json["updatedRecords"].as_array().unwrap().len()),
        (1, 1)
    );
    assert_eq!(
        (&json["records"][0]["fields"]["Amount"], &json["records"][0]["id"]),
        (&json!(10), &json["updatedRecords"][0])
    );
    it.create("Empty", json!({ "Name": "n1" }));
    refused(&upsert(json!(["Name"]), json!([{ "fields": { "Name": "n1" } }])), 422, "INVALID_REQUEST_UNKNOWN");
    assert_eq!(upsert(json!(["Name", "Amount"]), json!([{ "fields": { "Name": "n1", "Amount": 10 } }])).status, 200);
    refused(&upsert(json!(["Name"]), json!([{ "fields": { "Amount": 1 } }])), 422, "INVALID_REQUEST_UNKNOWN");
    refused(&upsert(json!([]), json!([{ "fields": {} }])), 422, "INVALID_REQUEST_UNKNOWN");
    refused(&upsert(json!(["Nope"]), json!([{ "fields": {} }])), 422, "UNKNOWN_FIELD_NAME");
    let doubled = json!([{ "fields": { "Name": "q" } }, { "fields": { "Name": "q" } }]);
    refused(&upsert(json!(["Name"]), doubled), 422, "INVALID_REQUEST_UNKNOWN");
    let body =
        json!({ "performUpsert": { "fieldsToMergeOn": ["Email"] }, "records": [{ "fields": { "Email": "x" } }] });
    refused(&it.table("PATCH", "People", "", &body), 422, "INVALID_REQUEST_UNKNOWN");
    it.client.sandbox.set_airtable_switches(|s| s.merge_types_limited = false);
    assert_eq!(it.table("PATCH", "People", "", &body).json()["createdRecords"].as_array().unwrap().len(), 1);
}

#[test]
fn records_are_deleted_ten_at_a_time_all_or_none() {
    let it = Airtable::new();
    let all = ids(it.table("POST", "Empty", "", &many(10)).json()["records"].as_array().unwrap());
    let query =
        |ids: &[String]| format!("?{}", ids.iter().map(|id| format!("records[]={id}")).collect::<Vec<_>>().join("&"));
    let mut gone = all[..2].to_vec();
    gone.push("recAAAAAAAAAAAAAA".to_owned());
    refused(&it.table("DELETE", "Empty", &query(&gone), &Json::Null), 422, "ROW_DOES_NOT_EXIST");
    assert_eq!(it.all("Empty", &json!({})).len(), 10);
    let answer = it.table("DELETE", "Empty", &query(&all[..9]), &Json::Null).json();
    assert_eq!(answer["records"][0], json!({ "id": all[0], "deleted": true }));
    let one = it.table("DELETE", "Empty", &format!("/{}", all[9]), &Json::Null);
    assert_eq!(one.json(), json!({ "id": all[9], "deleted": true }));
    refused(&it.table("DELETE", "Empty", &format!("/{}", all[9]), &Json::Null), 404, "MODEL_ID_NOT_FOUND");
    assert_eq!(it.all("Empty", &json!({})).len(), 0);
    let eleven: Vec<String> = (0..11).map(|at| it.client.sandbox.id("People", at)).collect();
    refused(&it.table("DELETE", "People", &query(&eleven), &Json::Null), 422, "INVALID_RECORDS");
}

#[test]
fn links_are_kept_on_both_sides() {
    let it = Airtable::new();
    let (a, b) = (it.client.sandbox.id("Projects", 0), it.client.sandbox.id("Projects", 1));
    let person =
        it.create("People", json!({ "Name": "Linked", "Projects": [a, b] }))["id"].as_str().unwrap().to_owned();
    let members = |project: &str| it.record("Projects", project)["fields"]["Members"].clone();
    let has = |project: &str| members(project).as_array().is_some_and(|m| m.contains(&json!(person)));
    assert!(has(&a) && has(&b));
    it.table("PATCH", "People", &format!("/{person}"), &json!({ "fields": { "Projects": [b] } }));
    assert!(!has(&a) && has(&b));
    it.table("PATCH", "Projects", &format!("/{a}"), &json!({ "fields": { "Members": [person] } }));
    assert!(it.record("People", &person)["fields"]["Projects"].as_array().unwrap().contains(&json!(a)));
    it.table("DELETE", "Projects", &format!("/{a}"), &Json::Null);
    assert_eq!(it.record("People", &person)["fields"]["Projects"], json!([b]));
    it.table("DELETE", "People", &format!("/{person}"), &Json::Null);
    assert!(!has(&b));
    // A link without a field on the other side.
    let manager = it.create("People", json!({ "Name": "Boss" }))["id"].as_str().unwrap().to_owned();
    let report = it.create("People", json!({ "Manager": [manager] }))["id"].as_str().unwrap().to_owned();
    it.table("DELETE", "People", &format!("/{manager}"), &Json::Null);
    assert!(it.record("People", &report)["fields"].get("Manager").is_none());
}

#[test]
fn typecast_reads_texts_and_adds_choices_and_records() {
    let it = Airtable::new();
    let fields = json!({
        "Name": 5, "Age": "42", "Active": "yes", "Status": "Brand new", "Skills": "SQL, Zig", "Born": "5/31/2024",
        "Company": "Made up, Inc.", "Owner": "Grace Hopper", "Score": "no number",
    });
    let written = it.table("POST", "People", "", &json!({ "fields": fields, "typecast": true })).json();
    let it_has = |name: &str| written["fields"][name].clone();
    assert_eq!((it_has("Name"), it_has("Age"), it_has("Active")), (json!("5"), json!(42), json!(true)));
    assert_eq!((it_has("Status"), it_has("Skills")), (json!("Brand new"), json!(["SQL", "Zig"])));
    assert_eq!((it_has("Born"), it_has("Score")), (json!("2024-05-31"), Json::Null));
    assert_eq!(it_has("Owner")["email"], "grace@example.com");
    let companies = it_has("Company");
    assert_eq!(companies.as_array().unwrap().len(), 2, "the text is split at its comma");
    assert_eq!(it.create("People", json!({ "Status": "Brand new" }))["fields"]["Status"], "Brand new");
}

#[test]
fn attachments_are_added_by_url_kept_by_id_and_uploaded() {
    let it = Airtable::new();
    let created = it.create("People", json!({ "Photos": [{ "url": "https://example.com/a.png" }, { "url": "https://example.com/b", "filename": "b.txt" }] }));
    let photos = created["fields"]["Photos"].as_array().unwrap().clone();
    assert_eq!(
        (&photos[0]["filename"], &photos[0]["type"], &photos[1]["type"]),
        (&json!("a.png"), &json!("image/png"), &json!("text/plain"))
    );
    assert!(photos[0]["thumbnails"]["small"]["url"].is_string() && photos[1].get("thumbnails").is_none());
    let id = created["id"].as_str().unwrap();
    let patch =
        |photos: Json| it.table("PATCH", "People", &format!("/{id}"), &json!({ "fields": { "Photos": photos } }));
    let kept = patch(json!([{ "id": photos[1]["id"] }])).json();
    assert_eq!(kept["fields"]["Photos"].as_array().unwrap().len(), 1);
    refused(&patch(json!([{ "id": "attAAAAAAAAAAAAAA" }])), 422, "INVALID_VALUE_FOR_COLUMN");
    let partial = patch(json!([{ "url": "https://unreachable.example/x" }])).json();
    assert_eq!(partial["details"]["reasons"], json!(["attachmentsFailedUploading"]));
    let field = it.client.sandbox.airtable_field("People", "Photos");
    let body = json!({ "contentType": "image/png", "file": "AAEC", "filename": "c.png" });
    let uploaded = it.send("POST", &format!("{}/{id}/{field}/uploadAttachment", it.base), &body).json();
    let url = uploaded["fields"][&field][0]["url"].as_str().unwrap().to_owned();
    assert_eq!(it.client.send("GET", &url, &[], "").unwrap().text, "xxx");
    it.client.sandbox.set_airtable_switches(|s| s.attachment_url_ms = -1);
    let late = it.record("People", id)["fields"]["Photos"][0]["url"].as_str().unwrap().to_owned();
    assert_eq!(it.client.send("GET", &late, &[], "").unwrap().status, 410);
}

#[test]
fn times_without_an_offset_are_of_the_fields_zone_unless_switched() {
    let it = Airtable::new();
    let meeting = || it.create("People", json!({ "Meeting": "2024-05-31T12:00:00" }))["fields"]["Meeting"].clone();
    assert_eq!(meeting(), "2024-05-31T06:30:00.000Z");
    it.client.sandbox.set_airtable_switches(|s| s.naive_times_in_field_zone = false);
    assert_eq!(meeting(), "2024-05-31T12:00:00.000Z");
}

#[test]
fn numbers_keep_their_digits_unless_switched() {
    let it = Airtable::new();
    let written = || it.create("People", json!({ "Score": 1.23456, "Age": 1.5 }))["fields"].clone();
    assert_eq!((&written()["Score"], &written()["Age"]), (&json!(1.23456), &json!(1.5)));
    it.client.sandbox.set_airtable_switches(|s| s.round_to_precision = true);
    assert_eq!((&written()["Score"], &written()["Age"]), (&json!(1.235), &json!(2)));
}

#[test]
fn changes_move_the_time_of_modification_and_reads_find_them() {
    let it = Airtable::new();
    let created = it.create("People", json!({ "Name": "new", "Age": 1 }));
    assert_eq!(created["fields"]["Modified"], created["createdTime"]);
    let id = created["id"].as_str().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    let changed = it.table("PATCH", "People", &format!("/{id}"), &json!({ "fields": { "Name": "changed" } })).json();
    let modified = changed["fields"]["Modified"].as_str().unwrap();
    assert!(modified > created["createdTime"].as_str().unwrap());
    assert_eq!(changed["fields"]["Age modified"], created["createdTime"], "another field");
    let formula = format!("NOT(IS_BEFORE(LAST_MODIFIED_TIME(),DATETIME_PARSE('{modified}')))");
    assert_eq!(it.count("People", &formula), 1);
    // Writing what is there already changes nothing.
    let same = it.table("PATCH", "People", &format!("/{id}"), &json!({ "fields": { "Name": "changed" } })).json();
    assert_eq!(same["fields"]["Modified"], modified);
}
