//! The simulated Airtable over HTTP.

mod limits;
mod reads;
mod writes;

use sandbox::{AirtableSwitches, Config};
use serde_json::{Value as Json, json};

use crate::client::{Answer, Client};

/// A client of the first base. Without the rate limit, but in the tests of it.
pub struct Airtable {
    pub client: Client,
    pub base: String,
}

impl Airtable {
    pub fn new() -> Airtable {
        Airtable::with(|_| {})
    }

    pub fn with(set: impl FnOnce(&mut AirtableSwitches)) -> Airtable {
        Airtable::of(Config::new().airtable(|s| {
            s.requests_per_second = 0;
            s.requests_per_second_and_token = 0;
            set(s);
        }))
    }

    pub fn of(config: Config) -> Airtable {
        let client = Client::new(config);
        let base = client.sandbox.airtable_base();
        Airtable { client, base }
    }

    /// A request; the target begins after `/v0/`, or is a whole path.
    pub fn send(&self, method: &str, target: &str, body: &Json) -> Answer {
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/v0/{target}") };
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.client.send(method, &target, &[("Content-Type", "application/json")], &text).unwrap()
    }

    pub fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &Json::Null)
    }

    /// A request to a table of the base, by its name.
    pub fn table(&self, method: &str, table: &str, rest: &str, body: &Json) -> Answer {
        self.send(method, &format!("{}/{}{rest}", self.base, self.client.sandbox.airtable_table(table)), body)
    }

    pub fn list(&self, table: &str, body: &Json) -> Answer {
        self.table("POST", table, "/listRecords", body)
    }

    /// All records over all pages.
    pub fn all(&self, table: &str, body: &Json) -> Vec<Json> {
        let mut records = Vec::new();
        let mut body = body.clone();
        loop {
            let answer = self.list(table, &body);
            let page = answer.json();
            records.extend(page["records"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone());
            match page.get("offset") {
                Some(offset) => body["offset"] = offset.clone(),
                None => return records,
            }
        }
    }

    /// The names of the people that a formula finds.
    pub fn count(&self, table: &str, formula: &str) -> usize {
        self.all(table, &json!({ "filterByFormula": formula, "fields": [] })).len()
    }

    pub fn create(&self, table: &str, fields: Json) -> Json {
        let answer = self.table("POST", table, "", &json!({ "fields": fields }));
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    pub fn record(&self, table: &str, id: &str) -> Json {
        self.table("GET", table, &format!("/{id}"), &Json::Null).json()
    }
}

/// Status and type of an error.
pub fn refusal(answer: &Answer) -> (u16, String) {
    let error = &answer.json()["error"];
    (answer.status, error["type"].as_str().or(error.as_str()).unwrap_or_default().to_owned())
}

#[track_caller]
pub fn refused(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(refusal(answer), (status, kind.to_owned()), "{}", answer.text);
}

pub fn ids(records: &[Json]) -> Vec<String> {
    records.iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
}
