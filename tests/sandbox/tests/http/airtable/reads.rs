//! Metadata and lists.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value as Json, json};

use super::{Airtable, ids, refused};
use crate::client::encode;

#[test]
fn bases_come_in_pages_and_hidden_ones_not_at_all() {
    let it = Airtable::with(|s| s.bases_per_page = 2);
    let first = it.get("meta/bases").json();
    let offset = first["offset"].as_str().unwrap();
    let second = it.get(&format!("meta/bases?offset={offset}")).json();
    let name = |b: &Json| (b["name"].as_str().unwrap().to_owned(), b["permissionLevel"].as_str().unwrap().to_owned());
    let all: Vec<_> = [&first, &second].iter().flat_map(|p| p["bases"].as_array().unwrap()).map(name).collect();
    let wanted = [(sandbox::AIRTABLE_BASE, "create"), ("Archive", "read"), ("Twin", "create"), ("Twin", "create")];
    assert_eq!(all, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert!(second.get("offset").is_none());
    refused(&it.get("meta/bases?offset=x"), 422, "INVALID_OFFSET_VALUE");
}

#[test]
fn the_schema_has_every_type_of_the_contract_and_odd_names() {
    let it = Airtable::new();
    let schema = it.get(&format!("meta/bases/{}/tables?include[]=visibleFieldIds", it.base)).json();
    let tables = schema["tables"].as_array().unwrap();
    let fields = || tables.iter().flat_map(|t| t["fields"].as_array().unwrap());
    let types: BTreeSet<&str> = fields().map(|f| f["type"].as_str().unwrap()).collect();
    for wanted in [
        "singleLineText",
        "email",
        "url",
        "phoneNumber",
        "multilineText",
        "richText",
        "number",
        "currency",
        "percent",
        "duration",
        "rating",
        "checkbox",
        "singleSelect",
        "multipleSelects",
        "date",
        "dateTime",
        "multipleAttachments",
        "multipleRecordLinks",
        "singleCollaborator",
        "multipleCollaborators",
        "createdBy",
        "lastModifiedBy",
        "createdTime",
        "lastModifiedTime",
        "autoNumber",
        "barcode",
        "button",
        "formula",
        "rollup",
        "count",
        "multipleLookupValues",
        "externalSyncSource",
        "aiText",
        "manualSort",
    ] {
        assert!(types.contains(wanted), "{wanted}");
    }
    let table = |name: &str| tables.iter().find(|t| t["name"] == name).unwrap();
    let field = |t: &str, name: &str| {
        table(t)["fields"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap().clone()
    };
    let projects = field("People", "Projects");
    assert_eq!(projects["options"]["linkedTableId"], table("Projects")["id"]);
    assert_eq!(projects["options"]["inverseLinkFieldId"], field("Projects", "Members")["id"]);
    assert_eq!(field("People", "Label")["options"]["result"]["type"], "singleLineText");
    assert_eq!(field("People", "Broken")["options"]["result"], Json::Null);
    assert_eq!(field("People", "Project budgets")["options"]["result"]["type"], "currency");
    assert_eq!(field("Projects", "Title")["id"], table("Projects")["primaryFieldId"]);
    assert!(table("People")["views"][1]["visibleFieldIds"].as_array().unwrap().len() > 10);
    let folded = |name: &str| name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let odd = tables.iter().find(|t| t["name"].as_str().unwrap().starts_with("Odd")).unwrap();
    let names: Vec<String> =
        odd["fields"].as_array().unwrap().iter().map(|f| folded(f["name"].as_str().unwrap())).collect();
    assert!(names.iter().filter(|n| *n == "first_name").count() >= 3);
    for id in fields().map(|f| f["id"].as_str().unwrap()) {
        assert!(id.starts_with("fld") && id.len() == 17);
    }
}

#[test]
fn tokens_need_their_scopes_and_a_path_that_cannot_be_is_told_before() {
    let mut it = Airtable::new();
    assert_eq!(it.get("meta/whoami").json()["email"], "ada@example.com");
    refused(&it.get("nonsense/x"), 404, "NOT_FOUND");
    refused(&it.get("appTooShort/x"), 404, "NOT_FOUND");
    let stranger = "appAAAAAAAAAAAAAA";
    refused(&it.get(&format!("{stranger}/x")), 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND");
    refused(&it.get(&format!("{}/Nowhere", it.base)), 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND");
    it.client.token = sandbox::AIRTABLE_READ_TOKEN.to_owned();
    assert_eq!(it.get(&format!("{}/People", it.base)).status, 200);
    assert!(it.get("meta/whoami").json().get("email").is_none());
    refused(&it.table("POST", "Empty", "", &json!({ "fields": {} })), 403, "INVALID_PERMISSIONS");
    it.client.token = "patWrong".to_owned();
    refused(&it.get("meta/bases"), 401, "AUTHENTICATION_REQUIRED");
    refused(&it.get(&format!("{stranger}/x")), 401, "AUTHENTICATION_REQUIRED");
    refused(&it.get("nonsense/x"), 404, "NOT_FOUND");
}

#[test]
fn a_base_that_may_only_be_read_is_not_written() {
    let it = Airtable::new();
    let bases = it.get("meta/bases").json();
    let archive = bases["bases"][1]["id"].as_str().unwrap();
    assert_eq!(it.get(&format!("{archive}/Notes")).status, 200);
    refused(&it.send("POST", &format!("{archive}/Notes"), &json!({ "fields": {} })), 403, "INVALID_PERMISSIONS");
}

#[test]
fn pages_have_a_hundred_records_and_lead_to_the_next() {
    let it = Airtable::new();
    let first = it.list("People", &json!({})).json();
    assert_eq!(first["records"].as_array().unwrap().len(), 100);
    let (iterator, record) = first["offset"].as_str().unwrap().split_once('/').unwrap();
    assert!(iterator.starts_with("itr") && iterator.len() == 17 && record.starts_with("rec"));
    let all = it.all("People", &json!({}));
    assert_eq!(all.len(), 300);
    assert_eq!(ids(&all).into_iter().collect::<HashSet<_>>().len(), 300);
    assert_eq!(it.all("People", &json!({ "pageSize": 7, "maxRecords": 20 })).len(), 20);
    assert!(it.list("People", &json!({ "maxRecords": 100 })).json().get("offset").is_none());
    for bad in [json!({ "pageSize": 101 }), json!({ "pageSize": 0 }), json!({ "maxRecords": 0 }), json!({ "foo": 1 })] {
        refused(&it.list("People", &bad), 422, "INVALID_REQUEST_UNKNOWN");
    }
    // An answer that was lost is had again from the same offset.
    let again = json!({ "offset": first["offset"] });
    assert!(it.list("People", &again).text == it.list("People", &again).text);
}

#[test]
fn get_and_post_answer_alike() {
    let it = Airtable::new();
    let age = it.client.sandbox.airtable_field("People", "Age");
    let body = json!({
        "fields": [age, "Name"], "filterByFormula": "{Age}>18", "sort": [{ "field": age, "direction": "desc" }, { "field": "Name" }],
        "maxRecords": 30, "pageSize": 10, "returnFieldsByFieldId": true, "recordMetadata": ["commentCount"],
    });
    let query = format!(
        "?fields[]={age}&fields%5B%5D=Name&filterByFormula={}&sort[0][field]={age}&sort%5B0%5D%5Bdirection%5D=desc&\
         sort[1][field]=Name&maxRecords=30&pageSize=10&returnFieldsByFieldId=true&recordMetadata[]=commentCount",
        encode("{Age}>18")
    );
    let (post, get) = (it.list("People", &body).json(), it.table("GET", "People", &query, &Json::Null).json());
    assert_eq!(post["records"], get["records"]);
    assert_eq!(post["records"].as_array().unwrap().len(), 10);
    let record = &post["records"][0];
    assert!(record["commentCount"].is_u64());
    let keys: Vec<_> = record["fields"].as_object().unwrap().keys().cloned().collect();
    assert!(keys.contains(&age) && keys.iter().all(|k| k.starts_with("fld")), "{keys:?}");
    assert_eq!(it.table("GET", "People", "?fields[]=Nope", &Json::Null).status, 422);
    let long = format!("?filterByFormula={}", encode(&format!("'{}'='x'", "y".repeat(16_000))));
    assert_eq!(it.table("GET", "People", &long, &Json::Null).status, 414);
    assert_eq!(it.list("People", &json!({ "filterByFormula": format!("'{}'='x'", "y".repeat(16_000)) })).status, 200);
}

#[test]
fn tables_are_found_by_name_with_slashes_too() {
    let it = Airtable::new();
    let by_name = it.get(&format!("{}/Time%2FLog", it.base)).json();
    assert_eq!(by_name["records"].as_array().unwrap().len(), 15);
}

#[test]
fn blanks_of_every_kind_are_left_out() {
    let it = Airtable::new();
    for table in ["People", "Companies", "Measurements"] {
        for record in it.all(table, &json!({})) {
            for (name, value) in record["fields"].as_object().unwrap() {
                let blank =
                    matches!(value, Json::Null | Json::Bool(false)) || *value == json!("") || *value == json!([]);
                assert!(!blank, "{name}: {value}");
            }
        }
    }
}

#[test]
fn computed_fields_follow_the_linked_records() {
    let it = Airtable::new();
    let projects = it.all("Projects", &json!({}));
    let project = |id: &Json| projects.iter().find(|p| p["id"] == *id).unwrap()["fields"].clone();
    let mut seen = 0;
    for person in it.all("People", &json!({})) {
        let fields = &person["fields"];
        let linked: Vec<Json> = fields["Projects"].as_array().unwrap_or(&Vec::new()).iter().map(project).collect();
        let budgets: Vec<f64> = linked.iter().filter_map(|p| p["Budget"].as_f64()).collect();
        assert_eq!(fields["Project count"], json!(linked.len()));
        assert!((fields["Total budget"].as_f64().unwrap() - budgets.iter().sum::<f64>()).abs() < 1e-6);
        let lookups = fields["Project budgets"].as_array().map_or(0, Vec::len);
        assert_eq!(lookups, budgets.len());
        let titles: Vec<&str> = linked.iter().map(|p| p["Title"].as_str().unwrap()).collect();
        assert_eq!(fields["Project list"].as_str().unwrap_or_default(), titles.join("; "));
        for p in &linked {
            assert!(p["Members"].as_array().unwrap().contains(&person["id"]));
            seen += 1;
        }
    }
    assert!(seen > 100);
    let specials = it.all("People", &json!({ "fields": ["Salary per score", "Error prone", "Broken"] }));
    let text = Json::Array(specials).to_string();
    for special in [r#"{"specialValue":"NaN"}"#, r#"{"specialValue":"Infinity"}"#, r##"{"error":"#ERROR!"}"##] {
        assert!(text.contains(special), "{special}");
    }
    it.client.sandbox.set_airtable_switches(|s| {
        s.special_values = false;
        s.error_cells = false;
    });
    let text = Json::Array(it.all("People", &json!({}))).to_string();
    assert!(!text.contains("specialValue") && !text.contains("#ERROR!"));
}

#[test]
fn records_sort_by_several_fields_and_blanks_come_first() {
    let it = Airtable::new();
    let column = |body: &Json, field: &str| -> Vec<Json> {
        it.all("People", body).iter().map(|r| r["fields"][field].clone()).collect()
    };
    let ages = column(&json!({ "sort": [{ "field": "Age" }] }), "Age");
    assert!(ages[0].is_null());
    let numbers: Vec<f64> = ages.iter().filter_map(Json::as_f64).collect();
    assert!(numbers.is_sorted() && ages.iter().skip_while(|a| a.is_null()).all(|a| !a.is_null()));
    let statuses = column(&json!({ "sort": [{ "field": "Status", "direction": "desc" }] }), "Status");
    assert_eq!((&statuses[0], &statuses[299]), (&json!("10%"), &Json::Null));
    let names = column(&json!({ "sort": [{ "field": "Name" }] }), "Name");
    let folded: Vec<String> = names.iter().map(|n| n.as_str().unwrap_or_default().to_lowercase()).collect();
    assert!(folded.is_sorted());
    it.client.sandbox.set_airtable_switches(|s| {
        s.sort_blanks_first = false;
        s.sort_ignores_case = false;
    });
    let names = column(&json!({ "sort": [{ "field": "Name" }] }), "Name");
    assert!(names[299].is_null() && names.iter().filter_map(Json::as_str).is_sorted());
    refused(&it.list("People", &json!({ "sort": [{ "field": "Nope" }] })), 422, "UNKNOWN_FIELD_NAME");
    refused(
        &it.list("People", &json!({ "sort": [{ "field": "Age", "direction": "up" }] })),
        422,
        "INVALID_REQUEST_UNKNOWN",
    );
}

#[test]
fn a_view_filters_sorts_and_hides() {
    let it = Airtable::new();
    let records = it.all("People", &json!({ "view": "Active adults" }));
    assert!(!records.is_empty() && records.len() < 300);
    let ages: Vec<f64> = records.iter().map(|r| r["fields"]["Age"].as_f64().unwrap()).collect();
    assert!(ages.iter().rev().is_sorted() && ages.iter().all(|a| *a >= 18.0));
    assert!(records.iter().all(|r| r["fields"].get("Salary").is_none() && r["fields"]["Active"] == true));
    refused(&it.list("People", &json!({ "view": "Nope" })), 422, "VIEW_NAME_NOT_FOUND");
    refused(&it.list("People", &json!({ "view": "viwAAAAAAAAAAAAAA" })), 422, "VIEW_ID_NOT_FOUND");
    let grid = it.all("People", &json!({ "view": "Grid view", "fields": ["Number"] }));
    assert!(grid.iter().map(|r| r["fields"]["Number"].as_u64().unwrap()).is_sorted());
}

#[test]
fn formulas_filter_and_bad_ones_are_refused_by_name() {
    let it = Airtable::new();
    let all = it.all("People", &json!({}));
    let with = |wanted: &dyn Fn(&Json) -> bool| all.iter().filter(|r| wanted(&r["fields"])).count();
    assert_eq!(it.count("People", "{Status}='Done'"), with(&|f| f["Status"] == "Done"));
    assert_eq!(it.count("People", "{Active}"), with(&|f| f["Active"] == true));
    assert_eq!(it.count("People", "{Age}&''=''"), with(&|f| f["Age"].is_null()));
    assert_eq!(it.count("People", "{Age}=BLANK()"), with(&|f| f["Age"].is_null() || f["Age"] == 0));
    assert_eq!(
        it.count("People", "IS_BEFORE({Born},'2000-01-01')"),
        with(&|f| f["Born"].as_str().is_some_and(|d| d < "2000"))
    );
    assert_eq!(it.count("People", "{Error prone}='x'"), 0);
    let some: Vec<String> = ids(&all[..3]).iter().map(|id| format!("RECORD_ID()='{id}'")).collect();
    assert_eq!(it.count("People", &format!("OR({})", some.join(","))), 3);
    let answer = it.list("People", &json!({ "filterByFormula": "{Nope}=1" }));
    refused(&answer, 422, "INVALID_FILTER_BY_FORMULA");
    let message = "The formula for filtering records is invalid: Unknown field names: nope";
    assert_eq!(answer.json()["error"]["message"], message);
    refused(&it.list("People", &json!({ "filterByFormula": "{Age" })), 422, "INVALID_FILTER_BY_FORMULA");
    refused(&it.list("People", &json!({ "fields": ["foo"] })), 422, "UNKNOWN_FIELD_NAME");
    assert_eq!(
        it.list("People", &json!({ "fields": ["foo"] })).json()["error"]["message"],
        "Unknown field name: \"foo\""
    );
}

#[test]
fn iterators_expire_by_time_and_use_and_are_bound_to_their_query() {
    let it = Airtable::with(|s| s.iterator_uses = Some(2));
    let offset = |body: &Json| it.list("People", body).json()["offset"].clone();
    let first = offset(&json!({}));
    let second = offset(&json!({ "offset": first }));
    let gone = it.list("People", &json!({ "offset": second }));
    assert_eq!((gone.status, gone.text.as_str()), (422, r#"{"error":{"type":"LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}"#));
    it.client.sandbox.set_airtable_switches(|s| {
        s.iterator_uses = None;
        s.iterator_idle_ms = 20;
    });
    let first = offset(&json!({}));
    std::thread::sleep(std::time::Duration::from_millis(60));
    refused(&it.list("People", &json!({ "offset": first })), 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE");
    it.client.sandbox.set_airtable_switches(|s| s.iterator_idle_ms = 60_000);
    let first = offset(&json!({}));
    let other = it.list("People", &json!({ "offset": first, "filterByFormula": "{Age}>1" }));
    refused(&other, 422, "INVALID_OFFSET_VALUE");
    assert_eq!(it.list("People", &json!({ "offset": first, "pageSize": 3 })).status, 200);
    it.client.sandbox.expire_locators();
    refused(&it.list("People", &json!({ "offset": first })), 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE");
    let malformed = it.list("People", &json!({ "offset": "x" }));
    refused(&malformed, 422, "INVALID_OFFSET_VALUE");
    assert_eq!(malformed.json()["error"]["message"], "The value of offset x is invalid");
}

#[test]
fn pages_shift_under_writes_unless_switched() {
    let it = Airtable::new();
    let seen = |it: &Airtable| {
        let first = it.list("People", &json!({})).json();
        let of_first = ids(first["records"].as_array().unwrap());
        for id in &of_first[..5] {
            let target = format!("/v0/{}/People/{id}", it.base);
            assert_eq!(it.client.sandbox.airtable("DELETE", &target, "").0, 200);
        }
        let mut all = of_first;
        all.extend(ids(&it.all("People", &json!({ "offset": first["offset"] }))));
        all.len()
    };
    assert_eq!(seen(&it), 295, "five were never seen");
    it.client.sandbox.set_airtable_switches(|s| s.stable_pages = true);
    assert_eq!(seen(&it), 295, "all that were there");
    assert_eq!(it.all("People", &json!({})).len(), 290);
    // A whole page that is gone by then does not end the list.
    let all = ids(&it.all("People", &json!({})));
    let first = it.list("People", &json!({ "pageSize": 10 })).json();
    for id in &all[10..20] {
        it.client.sandbox.airtable("DELETE", &format!("/v0/{}/People/{id}", it.base), "");
    }
    let rest = it.all("People", &json!({ "pageSize": 10, "offset": first["offset"] }));
    assert_eq!(ids(&rest), all[20..]);
}

#[test]
fn a_record_that_is_created_between_two_pages_has_another_seen_twice() {
    let it = Airtable::new();
    let mut doubled = 0;
    // Ids are random: some of the new records come before the second page.
    for _ in 0..8 {
        let first = it.list("Companies", &json!({ "pageSize": 50 })).json();
        let seen = ids(first["records"].as_array().unwrap());
        it.client.sandbox.airtable("POST", &format!("/v0/{}/Companies", it.base), r#"{"fields":{}}"#);
        let rest = ids(&it.all("Companies", &json!({ "pageSize": 50, "offset": first["offset"] })));
        doubled += rest.iter().filter(|id| seen.contains(id)).count();
    }
    assert!(doubled > 0);
}

#[test]
fn one_record_is_had_by_its_id_or_told_missing() {
    let it = Airtable::new();
    let id = it.client.sandbox.id("People", 3);
    assert_eq!(it.record("People", &id)["id"], id);
    let by_id = it.table("GET", "People", &format!("/{id}?returnFieldsByFieldId=true"), &Json::Null).json();
    assert!(by_id["fields"].as_object().unwrap().keys().all(|k| k.starts_with("fld")));
    let get = || it.table("GET", "People", "/recAAAAAAAAAAAAAA", &Json::Null);
    refused(&get(), 404, "MODEL_ID_NOT_FOUND");
    it.client.sandbox.set_airtable_switches(|s| s.missing_record = sandbox::Missing::NotFound);
    refused(&get(), 404, "NOT_FOUND");
    it.client.sandbox.set_airtable_switches(|s| s.missing_record = sandbox::Missing::Forbidden);
    refused(&get(), 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND");
    refused(&it.table("GET", "People", "/recShort", &Json::Null), 404, "NOT_FOUND");
}

#[test]
fn cells_are_texts_if_asked_for_with_zone_and_locale() {
    let it = Airtable::new();
    refused(&it.list("People", &json!({ "cellFormat": "string" })), 422, "INVALID_REQUEST_UNKNOWN");
    let body = json!({ "cellFormat": "string", "timeZone": "Asia/Kolkata", "userLocale": "en" });
    for record in it.all("People", &body) {
        for (name, value) in record["fields"].as_object().unwrap() {
            assert!(value.is_string(), "{name}: {value}");
        }
        let active = &record["fields"]["Active"];
        assert!(active.is_null() || *active == "checked");
    }
}

#[test]
fn the_same_seed_gives_the_same_records() {
    let dump = |seed: u64| Airtable::of(sandbox::Config::new().seed(seed)).client.sandbox.dump_csv("People").unwrap();
    assert_eq!(dump(1).lines().count(), dump(1).lines().count());
    assert_eq!(dump(1).len(), dump(1).len());
    assert_ne!(dump(1), dump(2));
}

#[test]
fn a_dump_has_what_the_lists_have() {
    let it = Airtable::new();
    let dumped: Vec<Json> = serde_json::from_str(&it.client.sandbox.dump_json("Measurements").unwrap()).unwrap();
    let mut listed = it.all("Measurements", &json!({ "returnFieldsByFieldId": true, "view": "Grid view" }));
    assert_eq!(dumped.len(), 1200);
    assert_eq!(dumped, std::mem::take(&mut listed));
    let csv = it.client.sandbox.dump_csv("Measurements").unwrap();
    let name = it.client.sandbox.airtable_field("Measurements", "Name");
    assert!(csv.starts_with(&format!("_id,_created_time,{name},")), "{}", &csv[..60]);
    assert!(csv.lines().nth(1).unwrap().starts_with("\"rec"));
}

#[test]
fn kept_pages_serve_a_table_of_any_size() {
    let config = sandbox::Config::new().records("Measurements", 5000).cache_pages(true);
    let it = Airtable::of(config.airtable(|s| {
        s.requests_per_second = 0;
        s.requests_per_second_and_token = 0;
    }));
    let body = json!({ "filterByFormula": "{Count}>-5", "sort": [{ "field": "Value" }] });
    let first = it.all("Measurements", &body);
    assert_eq!(ids(&first), ids(&it.all("Measurements", &body)));
    assert_eq!(ids(&first).into_iter().collect::<HashSet<_>>().len(), first.len());
    assert_eq!(it.all("Measurements", &json!({})).len(), 5000);
}
