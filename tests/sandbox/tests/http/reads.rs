//! Describes, queries and pages over HTTP.

use std::collections::BTreeMap;

use crate::client::{Client, encode};
use sandbox::{Config, Sandbox};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

fn client() -> Client {
    Client::new(Config::new())
}

#[test]
fn versions_need_no_session_and_old_ones_are_gone() {
    let it = client();
    let versions = it.send("GET", "/services/data/", &[("Authorization", "none")], "").unwrap();
    assert_eq!(versions.status, 200);
    assert!(versions.json().as_array().unwrap().contains(&json!({
        "label": "Winter '25", "url": "/services/data/v62.0", "version": "62.0"
    })));
    assert!(versions.headers.get("Sforce-Limit-Info").is_none());
    assert_eq!(it.get("/services/data/v25.0/sobjects").status, 410);
    assert_eq!(it.get("/services/data/v99.0/sobjects").status, 404);
    assert!(it.get("limits").headers.get("Sforce-Limit-Info").is_some());
}

#[test]
fn the_org_lists_hundreds_of_objects_and_describes_each_kind_of_field() {
    let it = client();
    let global = it.get("sobjects").json();
    assert!(global["sobjects"].as_array().unwrap().len() > 800);
    let describe = it.get("sobjects/every_type__C/describe");
    assert!(describe.headers.get("ETag").is_some());
    let since = describe.headers.get("Last-Modified").unwrap().to_str().unwrap().to_owned();
    let describe = describe.json();
    let fields = describe["fields"].as_array().unwrap();
    let types: std::collections::BTreeSet<_> = fields.iter().map(|f| f["type"].as_str().unwrap()).collect();
    assert_eq!(types.len(), 24, "{types:?}");
    let field = |name: &str| fields.iter().find(|f| f["name"] == name).unwrap();
    assert_eq!(field("LongText__c")["filterable"], false);
    assert_eq!(field("Double__c")["groupable"], false);
    assert_eq!(field("Formula_Text__c")["calculated"], true);
    assert_eq!(field("Exact_Key__c")["caseSensitive"], true);
    let target = "/services/data/v62.0/sobjects/Every_Type__c/describe";
    assert_eq!(it.send("GET", target, &[("If-Modified-Since", &since)], "").unwrap().status, 304);
    assert_eq!(it.get("sobjects/Nothing/describe").code(), "NOT_FOUND");
}

#[test]
fn pages_follow_each_other_and_any_offset_can_be_asked_for() {
    let it = client();
    let first = it.query("SELECT Id FROM Contact").json();
    assert_eq!((first["totalSize"].as_u64(), first["records"].as_array().unwrap().len()), (Some(3222), 2000));
    let next = first["nextRecordsUrl"].as_str().unwrap();
    assert!(next.starts_with("/services/data/v62.0/query/01g") && next.ends_with("-2000"));
    let last = it.get(next).json();
    assert_eq!((last["done"].as_bool(), last["records"].as_array().unwrap().len()), (Some(true), 1222));
    assert!(last.get("nextRecordsUrl").is_none());
    let crafted = it.get(&next.replace("-2000", "-3000")).json();
    assert_eq!(crafted["records"].as_array().unwrap().len(), 222);
    assert_eq!(it.get(&next.replace("-2000", "-3222")).json()["records"], json!([]));
    assert_eq!(it.get(&next.replace("-2000", "-3223")).code(), "INVALID_QUERY_LOCATOR");
    it.sandbox.expire_locators();
    assert_eq!(it.get(next).code(), "INVALID_QUERY_LOCATOR");
}

#[test]
fn batch_sizes_are_clamped_and_switches_make_pages_small_uneven_or_empty() {
    let it = client();
    let size = |wanted: &str| {
        let target = format!("/services/data/v62.0/query?q={}", encode("SELECT Id FROM Contact"));
        let page = it.send("GET", &target, &[("Sforce-Query-Options", wanted)], "").unwrap().json();
        page["records"].as_array().unwrap().len()
    };
    assert_eq!((size("batchSize=500"), size("batchSize=1"), size("batchSize=9999")), (500, 200, 2000));
    let ids = it.column("SELECT Id FROM Account");
    assert_eq!(ids.len(), 500);
    for (uneven, empty) in [(false, false), (true, false), (false, true), (true, true)] {
        it.sandbox.set_switches(|s| {
            s.page_size = Some(7);
            s.uneven_pages = uneven;
            s.empty_pages = empty;
        });
        assert_eq!(it.column("SELECT Id FROM Account"), ids, "{uneven} {empty}");
    }
}

#[test]
fn deleted_records_are_seen_by_query_all_alone() {
    let it = client();
    assert_eq!(it.all("query", "SELECT Id FROM Account WHERE IsDeleted = true").len(), 0);
    let deleted = it.all("queryAll", "SELECT Id, IsDeleted FROM Account WHERE IsDeleted = true");
    assert_eq!(deleted.len(), 10);
    assert_eq!(it.all("queryAll", "SELECT Id FROM Account").len(), 510);
}

#[test]
fn text_is_compared_without_case_except_in_case_sensitive_fields() {
    let it = client();
    let one = it.sandbox.id("Every_Type__c", 1);
    let n = it.count("Every_Type__c", "Text__c = 'acme'");
    assert!(n > 0);
    assert_eq!(it.count("Every_Type__c", "Text__c = 'ACME'"), n);
    assert_eq!(it.count("Every_Type__c", "Text__c IN ('aCmE')"), n);
    assert!(it.count("Every_Type__c", "Text__c LIKE 'ac__'") >= n);
    assert_eq!(
        it.count("Every_Type__c", "Any_Key__c = 'ANY-000001' OR Id = 'a00000000000000'"),
        it.count("Every_Type__c", "Any_Key__c = 'any-000001'")
    );
    let exact = it.column("SELECT Exact_Key__c FROM Every_Type__c WHERE Exact_Key__c != null LIMIT 1");
    let exact = exact[0].as_str().unwrap();
    assert_eq!(it.count("Every_Type__c", &format!("Exact_Key__c = '{exact}'")), 1);
    assert_eq!(it.count("Every_Type__c", &format!("Exact_Key__c = '{}'", exact.to_uppercase())), 0);
    assert_eq!(it.count("Every_Type__c", &format!("Id = '{}'", &one[..15])), 1);
    assert_eq!(it.count("Every_Type__c", &format!("Id = '{}'", one[..15].to_lowercase())), 0);
}

#[test]
fn null_logic_follows_the_switch() {
    let it = client();
    let all = it.count("Contact", "Id != null");
    let equal = it.count("Contact", "LeadSource = 'Web'");
    let null = it.count("Contact", "LeadSource = null");
    assert!(equal > 0 && null > 0);
    assert_eq!(it.count("Contact", "LeadSource != 'Web'"), all - equal);
    assert_eq!(it.count("Contact", "(NOT (LeadSource = 'Web' AND Id != null))"), all - equal);
    it.sandbox.set_switches(|s| s.nulls_match_not_equal = false);
    assert_eq!(it.count("Contact", "LeadSource != 'Web'"), all - equal - null);
    assert_eq!(it.count("Contact", "LeadSource NOT IN ('Web')"), all - equal - null);
    assert_eq!(it.count("Contact", "HasOptedOutOfEmail = null"), it.count("Contact", "HasOptedOutOfEmail = false"));
}

#[test]
fn multi_selects_have_operators_of_their_own() {
    let it = client();
    let a = it.count("Every_Type__c", "Multi__c INCLUDES ('A')");
    let ab = it.count("Every_Type__c", "Multi__c INCLUDES ('A;B')");
    let both = it.count("Every_Type__c", "Multi__c INCLUDES ('A', 'B')");
    assert!(0 < ab && ab < a && a < both);
    assert_eq!(it.count("Every_Type__c", "Multi__c = 'B;a'"), it.count("Every_Type__c", "Multi__c = 'A;B'"));
    assert_eq!(it.query("SELECT Id FROM Every_Type__c WHERE Multi__c LIKE 'A%'").status, 400);
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_right_code() {
    let it = client();
    for (soql, code) in [
        ("SELECT Foo FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Id FROM AccountChangeEvent", "INVALID_TYPE"),
        ("SELECT Id, id FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact ORDER BY Description", "INVALID_FIELD"),
        ("SELECT Id FROM Contact ORDER BY Languages__c", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Id = 'xyz'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Contact WHERE AccountId IN ('001')", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Contact WHERE Id LIKE '003%'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Contact WHERE CreatedDate > 2024-01-01", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Birthdate = 2024-01-01T00:00:00Z", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Birthdate = '2024-01-01'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Score__c = '5'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Score__c = 1e5", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("SELECT FIELDS(ALL) FROM Contact", "MALFORMED_QUERY"),
        ("SELECT Id, FIELDS(STANDARD) FROM Contact", "INVALID_FIELD"),
        ("SELECT COUNT(), Id FROM Contact", "MALFORMED_QUERY"),
        ("SELECT COUNT(Id) FROM Contact LIMIT 1", "MALFORMED_QUERY"),
        ("SELECT LastName, COUNT(Id) FROM Contact GROUP BY LeadSource", "MALFORMED_QUERY"),
        ("SELECT COUNT(Id) FROM Contact GROUP BY Score__c", "INVALID_FIELD"),
        ("SELECT COUNT(Id) FROM Contact GROUP BY CreatedDate", "INVALID_FIELD"),
        ("SELECT SUM(LastName) FROM Contact", "MALFORMED_QUERY"),
        ("SELECT MAX(DoNotCall) FROM Contact", "MALFORMED_QUERY"),
        ("SELECT MAX(ActivityDate) FROM Task", "MALFORMED_QUERY"),
        ("SELECT COUNT(Id), Key__c FROM Reading__c GROUP BY Key__c", "EXCEEDED_ID_LIMIT"),
        ("SELECT A.B.C.D.E.F.Name FROM Contact", "INVALID_FIELD"),
        ("SELECT Foo.Name FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE AccountId IN (SELECT Name FROM Account)", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE ReportsToId IN (SELECT Id FROM Contact)", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Name = 'x' OR AccountId IN (SELECT Id FROM Account)", "MALFORMED_QUERY"),
    ] {
        let answer = it.query(soql);
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{soql}: {}", answer.text);
    }
    let message = it.query("SELECT Id FROM Contact WHERE CreatedDate > 2024-01-01").json()[0]["message"].clone();
    assert!(
        message
            .as_str()
            .unwrap()
            .ends_with("value of filter criterion for field 'CreatedDate' must be of type dateTime and should not be enclosed in quotes")
    );
}

#[test]
fn parents_nest_and_semi_joins_select_by_them() {
    let it = client();
    let record = it
        .query("SELECT Id, Account.Name, Account.Owner.Name FROM Contact WHERE AccountId != null LIMIT 1")
        .json()["records"][0]
        .clone();
    assert_eq!(record["Account"]["attributes"]["type"], "Account");
    assert!(record["Account"]["Owner"]["Name"].is_string());
    let orphan =
        it.query("SELECT Account.Name FROM Contact WHERE AccountId = null LIMIT 1").json()["records"][0].clone();
    assert_eq!(orphan["Account"], Json::Null);
    let joined = it.count("Contact", "AccountId IN (SELECT Id FROM Account WHERE Industry = 'Banking')");
    assert_eq!(joined, it.count("Contact", "Account.Industry = 'Banking'"));
    assert!(joined > 0);
    let account = it.sandbox.id("Account", 0);
    assert!(it.count("Contact", &format!("AccountId = '{account}'")) >= 150);
    let who =
        it.query("SELECT Who.Name, Who.Type FROM Task WHERE WhoId != null LIMIT 1").json()["records"][0]["Who"].clone();
    assert_eq!(who["attributes"]["type"], "Name");
}

#[test]
fn aggregates_are_named_grouped_and_rendered() {
    let it = client();
    let answer =
        it.query("SELECT Industry, COUNT(Id), SUM(AnnualRevenue) total, AVG(NumberOfEmployees) FROM Account GROUP BY Industry").json();
    let groups = answer["records"].as_array().unwrap();
    assert_eq!(groups.len(), 8, "seven industries and null");
    assert_eq!(groups[0]["attributes"], json!({ "type": "AggregateResult" }));
    assert_eq!(groups.iter().map(|g| g["expr0"].as_u64().unwrap()).sum::<u64>(), 500);
    assert!(groups[0]["total"].is_f64() && groups[0]["expr1"].is_f64());
    let having =
        it.query("SELECT AccountId a, COUNT(Id) n FROM Contact GROUP BY AccountId HAVING COUNT(Id) > 150 AND AccountId != null").json();
    assert_eq!(having["records"].as_array().unwrap().len(), 1);
    assert_eq!(having["records"][0]["a"], it.sandbox.id("Account", 0));
    let empty = it.query("SELECT SUM(AnnualRevenue), COUNT(Id) FROM Account WHERE Name = 'nobody'").json();
    assert_eq!((&empty["records"][0]["expr0"], &empty["records"][0]["expr1"]), (&Json::Null, &json!(0)));
    let limited = it.query("SELECT COUNT(Id), Key__c FROM Reading__c GROUP BY Key__c LIMIT 2000");
    assert_eq!(limited.status, 200);
}

#[test]
fn order_puts_nulls_first_unless_told_otherwise_and_offset_caps() {
    let it = client();
    for direction in ["ASC", "DESC"] {
        let values = it.column(&format!("SELECT Score__c FROM Contact ORDER BY Score__c {direction}"));
        assert!(values[0].is_null() && !values.last().unwrap().is_null());
        let values = it.column(&format!("SELECT Score__c FROM Contact ORDER BY Score__c {direction} NULLS LAST"));
        assert!(!values[0].is_null() && values.last().unwrap().is_null());
    }
    assert_eq!(it.query("SELECT Id FROM Contact OFFSET 0").json()["totalSize"], 2000);
    assert_eq!(it.query("SELECT Id FROM Contact LIMIT 10 OFFSET 5").json()["totalSize"], 10);
    let levels = it.column("SELECT Level__c FROM Contact WHERE Level__c != null ORDER BY Level__c");
    assert_eq!((&levels[0], levels.last().unwrap()), (&json!("Tertiary"), &json!("Primary")));
}

/// A page whose values keep their text.
#[derive(serde::Deserialize)]
struct RawPage {
    #[serde(rename = "nextRecordsUrl")]
    next: Option<String>,
    records: Vec<BTreeMap<String, Box<RawValue>>>,
}

#[test]
fn the_dump_has_the_text_of_the_pages() {
    let it = client();
    for object in ["Contact", "Every_Type__c", "Reading__c"] {
        let dump: Vec<BTreeMap<String, Option<String>>> =
            serde_json::from_str(&it.sandbox.dump_json(object).unwrap()).unwrap();
        let fields: Vec<&str> = dump[0].keys().map(String::as_str).collect();
        let soql = format!("SELECT {} FROM {object}", fields.join(", "));
        let mut dumped = dump.iter();
        let mut page: RawPage = serde_json::from_str(&it.query(&soql).text).unwrap();
        loop {
            for record in &page.records {
                let expected = dumped.next().unwrap();
                for field in &fields {
                    let raw = record[*field].get();
                    let text = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
                    assert_eq!(expected[*field], (raw != "null").then_some(text), "{object}.{field}");
                }
            }
            match &page.next {
                Some(next) => page = serde_json::from_str(&it.get(next).text).unwrap(),
                None => break,
            }
        }
        assert!(dumped.next().is_none());
    }
}

#[test]
fn the_same_seed_gives_the_same_org_and_every_nillable_field_is_sometimes_null() {
    let one = Sandbox::start(Config::new().seed(5)).unwrap();
    let two = Sandbox::start(Config::new().seed(5)).unwrap();
    let other = Sandbox::start(Config::new().seed(6)).unwrap();
    assert_eq!(one.dump_csv("Contact"), two.dump_csv("Contact"));
    assert_ne!(one.dump_csv("Contact"), other.dump_csv("Contact"));
    let dump: Vec<Json> = serde_json::from_str(&one.dump_json("Every_Type__c").unwrap()).unwrap();
    for field in ["Text__c", "Double__c", "Date__c", "Multi__c", "Parent__c", "Time__c", "File__c", "Secret__c"] {
        assert!(dump.iter().any(|r| r[field].is_null()) && dump.iter().any(|r| !r[field].is_null()), "{field}");
    }
}

#[test]
fn a_request_line_may_have_16384_bytes() {
    let it = client();
    let soql = format!("SELECT Id FROM Contact WHERE LastName IN ('{}')", vec!["x"; 5500].join("','"));
    assert_eq!(it.query(&soql).status, 414);
    assert_eq!(it.query(&soql[..1000].replace("','x", "")).status, 400);
}

#[test]
fn records_are_read_by_id_and_external_id_with_their_bytes() {
    let it = client();
    let id = it.sandbox.id("Contact", 3);
    let record = it.get(&format!("sobjects/contact/{id}?fields=name,Account.Name")).json();
    let keys: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["Account", "Name", "attributes"]);
    assert!(it.get(&format!("sobjects/Contact/{id}")).json().get("MailingAddress").is_some());
    assert_eq!(it.get(&format!("sobjects/Contact/{}", it.sandbox.id("Contact", 999_999))).status, 404);
    assert_eq!(it.get("sobjects/Contact/nonsense").code(), "MALFORMED_ID");
    let key =
        it.column("SELECT ERP_Key__c FROM Contact WHERE ERP_Key__c != null LIMIT 1")[0].as_str().unwrap().to_owned();
    assert_eq!(it.get(&format!("sobjects/Contact/ERP_Key__c/{key}")).json()["ERP_Key__c"], key);
    let several = it.get("sobjects/Account/Legacy_Code__c/A");
    assert_eq!(several.status, 300);
    assert!(several.json()[0].as_str().unwrap().starts_with("/services/data/v62.0/sobjects/Account/001"));
    let file = it.column("SELECT File__c FROM Every_Type__c LIMIT 1")[0].as_str().map(str::to_owned);
    if let Some(file) = file {
        let response = it
            .agent
            .get(format!("{}{file}", it.sandbox.url()))
            .header("Authorization", format!("Bearer {}", it.token))
            .call();
        assert!(response.unwrap().body_mut().read_to_vec().unwrap().contains(&0));
    }
    let body = json!({ "ids": [it.sandbox.id("Contact", 7), it.sandbox.id("Contact", 999_999), id], "fields": ["Id"] });
    let records = it.write("POST", "composite/sobjects/Contact", &body.to_string()).json();
    assert_eq!((&records[1], &records[2]["Id"]), (&Json::Null, &json!(id)));
}

#[test]
fn counts_and_limits_are_told() {
    let it = client();
    let counts = it.get("limits/recordCount?sObjects=Account,Contact,Nothing").json();
    assert_eq!(
        counts,
        json!({ "sObjects": [{ "count": 500, "name": "Account" }, { "count": 3222, "name": "Contact" }] })
    );
    assert!(it.sandbox.set_records("Contact", 10) && !it.sandbox.set_records("Nothing", 1));
    assert_eq!(it.column("SELECT Id FROM Contact").len(), 10);
    it.sandbox.set_quota(1);
    assert_eq!(it.get("limits").json()["DailyApiRequests"]["Remaining"], 0);
    let refused = it.get("limits");
    assert_eq!((refused.status, refused.code().as_str()), (403, "REQUEST_LIMIT_EXCEEDED"));
}
