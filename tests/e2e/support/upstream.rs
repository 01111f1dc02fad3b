//! Another client of the API, one that knows nothing of Postgres.

use sandbox::Sandbox;
use serde_json::{Map, Value, json};

use super::world::World;

/// Its access token, which sandboxes of worlds with synced tables take.
pub const TOKEN: &str = "upstream";

/// How an API takes several records at once. A record is an object of its fields, with its `id` if it has one.
pub struct Batches {
    /// As many as one request may write.
    pub size: usize,
    /// Where records are written, after the sandbox's URL, and what follows for those of an object.
    pub root: fn(&Sandbox) -> String,
    pub path: fn(object: &str) -> String,
    /// What creates or updates them.
    pub body: fn(object: &str, records: &[Value]) -> Value,
    /// What follows the path in a request that deletes these.
    pub ids: fn(ids: &[String]) -> String,
    /// What an answer says of each of so many records; nothing if it is none of the API's.
    pub outcomes: fn(answer: &Value, count: usize) -> Vec<Written>,
}

/// Records fail each by itself.
pub static COLLECTIONS: Batches = Batches {
    size: 200,
    root: |_| "/services/data/v62.0/composite/sobjects".to_owned(),
    path: |_| String::new(),
    body: |object, records| {
        let of = |record: &Value| with(record, "attributes", json!({ "type": object }));
        json!({ "allOrNone": false, "records": records.iter().map(of).collect::<Vec<_>>() })
    },
    ids: |ids| format!("?ids={}&allOrNone=false", ids.join(",")),
    outcomes: |answer, _| {
        let outcome = |outcome: &Value| match outcome["id"].as_str().filter(|_| outcome["success"] == true) {
            Some(id) => Ok(id.to_owned()),
            None => Err(outcome.to_string()),
        };
        answer.as_array().into_iter().flatten().map(outcome).collect()
    },
};

/// One record that fails makes all of them fail.
pub static TENS: Batches = Batches {
    size: 10,
    root: |sandbox| format!("/v0/{}", sandbox.airtable_base()),
    path: |table| format!("/{table}"),
    body: |_, records| {
        let record = |record: &Value| {
            let mut fields = record.as_object().cloned().unwrap_or_default();
            match fields.remove("id") {
                Some(id) => json!({ "id": id, "fields": fields }),
                None => json!({ "fields": fields }),
            }
        };
        json!({ "records": records.iter().map(record).collect::<Vec<_>>() })
    },
    ids: |ids| format!("?records[]={}", ids.join("&records[]=")),
    outcomes: |answer, count| match (&answer["records"], &answer["error"]) {
        (Value::Array(records), _) => {
            records.iter().filter_map(|record| Some(Ok(record["id"].as_str()?.to_owned()))).collect()
        }
        (_, Value::Null) => Vec::new(),
        (_, error) => vec![Err(error.to_string()); count],
    },
};

#[derive(Clone)]
pub struct Upstream {
    http: ureq::Agent,
    batches: &'static Batches,
    root: String,
}

/// What became of one record, or why nothing did.
pub type Written = Result<String, String>;

impl World {
    pub fn upstream(&self) -> Upstream {
        let http = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let batches = self.api.batches;
        Upstream { http, batches, root: self.sandbox.url() + &(batches.root)(&self.sandbox) }
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
        let ids = records.chunks(self.batches.size).flat_map(|batch| self.write("POST", object, batch));
        ids.map(|written| written.expect("the API creates it")).collect()
    }

    #[track_caller]
    pub fn update(&self, object: &str, id: &str, fields: Value) {
        self.update_all(object, &[id.to_owned()], &fields);
    }

    /// Gives all of these records the same values.
    #[track_caller]
    pub fn update_all(&self, object: &str, ids: &[String], fields: &Value) {
        for batch in ids.chunks(self.batches.size) {
            let records: Vec<Value> = batch.iter().map(|id| with(fields, "id", id.as_str())).collect();
            for written in self.write("PATCH", object, &records) {
                written.expect("the API updates it");
            }
        }
    }

    /// Deletes a record whose id tells what it is.
    #[track_caller]
    pub fn delete(&self, id: &str) {
        self.delete_all(&[id.to_owned()]);
    }

    #[track_caller]
    pub fn delete_all(&self, ids: &[String]) {
        self.delete_all_of("", ids);
    }

    #[track_caller]
    pub fn delete_all_of(&self, object: &str, ids: &[String]) {
        for batch in ids.chunks(self.batches.size) {
            for written in self.try_delete(object, batch) {
                written.expect("the API deletes it");
            }
        }
    }

    /// One request.
    pub fn try_delete(&self, object: &str, ids: &[String]) -> Vec<Written> {
        let url = self.url(object) + &(self.batches.ids)(ids);
        let answer = self.http.delete(url).header("Authorization", format!("Bearer {TOKEN}")).call();
        self.outcomes(answer, ids.len())
    }

    /// One request.
    pub fn write(&self, method: &str, object: &str, records: &[Value]) -> Vec<Written> {
        let url = self.url(object);
        let request = if method == "POST" { self.http.post(url) } else { self.http.patch(url) };
        let request =
            request.header("Authorization", format!("Bearer {TOKEN}")).header("Content-Type", "application/json");
        self.outcomes(request.send((self.batches.body)(object, records).to_string()), records.len())
    }

    fn url(&self, object: &str) -> String {
        self.root.clone() + &(self.batches.path)(object)
    }

    /// A request that was struck by a fault has no outcomes.
    fn outcomes(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>, count: usize) -> Vec<Written> {
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string()).unwrap_or_default();
        let json = serde_json::from_str::<Value>(&text).unwrap_or_default();
        (self.batches.outcomes)(&json, count)
    }
}

/// An object with one more member.
fn with(object: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut members: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    members.insert(name.to_owned(), value.into());
    Value::Object(members)
}
