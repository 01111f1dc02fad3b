//! Another client of the API, one that knows nothing of Postgres.

use serde_json::{Map, Value, json};

use super::world::World;

/// Its access token, which sandboxes of worlds with synced tables take.
pub const TOKEN: &str = "upstream";

/// As many records as one request may write.
const BATCH: usize = 200;

#[derive(Clone)]
pub struct Upstream {
    http: ureq::Agent,
    /// The collection resource.
    url: String,
}

/// What became of one record, or why nothing did.
pub type Written = Result<String, String>;

impl World {
    pub fn upstream(&self) -> Upstream {
        let http = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Upstream { http, url: format!("{}/services/data/v62.0/composite/sobjects", self.sandbox.url()) }
    }
}

impl Upstream {
    /// Creates a record and returns its id.
    #[track_caller]
    pub fn create(&self, object: &str, fields: Value) -> String {
        self.create_all(object, vec![fields]).swap_remove(0)
    }

    #[track_caller]
    pub fn create_all(&self, object: &str, records: Vec<Value>) -> Vec<String> {
        let ids = records.chunks(BATCH).flat_map(|batch| self.write("POST", object, batch.to_vec()));
        ids.map(|written| written.expect("the API creates it")).collect()
    }

    #[track_caller]
    pub fn update(&self, object: &str, id: &str, fields: Value) {
        self.update_all(object, &[id.to_owned()], &fields);
    }

    /// Gives all of these records the same values.
    #[track_caller]
    pub fn update_all(&self, object: &str, ids: &[String], fields: &Value) {
        for batch in ids.chunks(BATCH) {
            let records = batch.iter().map(|id| with(fields, "id", id.as_str())).collect();
            for written in self.write("PATCH", object, records) {
                written.expect("the API updates it");
            }
        }
    }

    #[track_caller]
    pub fn delete(&self, id: &str) {
        self.delete_all(&[id.to_owned()]);
    }

    #[track_caller]
    pub fn delete_all(&self, ids: &[String]) {
        for batch in ids.chunks(BATCH) {
            for written in self.try_delete(batch) {
                written.expect("the API deletes it");
            }
        }
    }

    pub fn try_delete(&self, ids: &[String]) -> Vec<Written> {
        let request = self.http.delete(format!("{}?ids={}&allOrNone=false", self.url, ids.join(",")));
        self.outcomes(request.header("Authorization", format!("Bearer {TOKEN}")).call())
    }

    /// One request, whose records succeed or fail each by itself.
    pub fn write(&self, method: &str, object: &str, records: Vec<Value>) -> Vec<Written> {
        let records: Vec<Value> =
            records.iter().map(|record| with(record, "attributes", json!({ "type": object }))).collect();
        let body = json!({ "allOrNone": false, "records": records }).to_string();
        let request = if method == "POST" { self.http.post(&self.url) } else { self.http.patch(&self.url) };
        let request =
            request.header("Authorization", format!("Bearer {TOKEN}")).header("Content-Type", "application/json");
        self.outcomes(request.send(&body))
    }

    /// A request that was struck by a fault has no outcomes.
    fn outcomes(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Vec<Written> {
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string()).unwrap_or_default();
        let Ok(Value::Array(outcomes)) = serde_json::from_str::<Value>(&text) else { return Vec::new() };
        let outcome = |outcome: &Value| match outcome["id"].as_str().filter(|_| outcome["success"] == true) {
            Some(id) => Ok(id.to_owned()),
            None => Err(outcome.to_string()),
        };
        outcomes.iter().map(outcome).collect()
    }
}

/// An object with one more member.
fn with(object: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut members: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    members.insert(name.to_owned(), value.into());
    Value::Object(members)
}
