//! What was written: the requests that asked for it, and the records as the sandbox holds them.

use std::collections::BTreeMap;

use sandbox::LoggedRequest;
use serde_json::{Map, Value};

use super::world::World;

/// A record by the API's names; every value is a text as JSON spells it, or null.
pub type Record = BTreeMap<String, Option<String>>;

impl World {
    /// The requests so far that write.
    pub fn writes(&self) -> Vec<LoggedRequest> {
        self.requests().into_iter().filter(writes).collect()
    }

    /// The requests that write of those that `work` sends.
    pub fn writes_of<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<LoggedRequest>) {
        self.sandbox.clear_requests();
        let result = work();
        (result, self.writes())
    }

    /// What `work` sends of each record: its fields, without `attributes`, and without its id where it is updated.
    pub fn sent_by<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Map<String, Value>>) {
        let (result, writes) = self.writes_of(work);
        (result, writes.iter().flat_map(fields_sent).collect())
    }

    /// All live records of an object.
    #[track_caller]
    pub fn records(&self, object: &str) -> Vec<Record> {
        let json = self.sandbox.dump_json(object).unwrap_or_else(|| panic!("the sandbox has no {object}"));
        serde_json::from_str(&json).expect("a dump is JSON")
    }

    /// The live record with this id.
    #[track_caller]
    pub fn record(&self, object: &str, id: &str) -> Record {
        let found = self.records(object).into_iter().find(|record| record["Id"].as_deref() == Some(id));
        found.unwrap_or_else(|| panic!("there is no {object} {id}"))
    }

    /// How many live records have this value in a field.
    #[track_caller]
    pub fn count(&self, object: &str, field: &str, value: &str) -> usize {
        self.records(object).iter().filter(|record| record[field].as_deref() == Some(value)).count()
    }
}

fn writes(request: &LoggedRequest) -> bool {
    match request.method.as_str() {
        // To an object's collection, and to a list of records, it reads.
        "POST" => !request.path.contains("/composite/sobjects/") && !request.path.ends_with("/listRecords"),
        method => method != "GET",
    }
}

/// What a request sends of each record.
#[track_caller]
pub fn fields_sent(request: &LoggedRequest) -> Vec<Map<String, Value>> {
    let body: Value = serde_json::from_str(&request.body).unwrap_or_else(|error| panic!("{error}: {request:#?}"));
    assert_eq!(body["allOrNone"], true, "{request:#?}");
    let records = body["records"].as_array().expect("a list of records").iter();
    let fields = |record: &Value| {
        let mut fields = record.as_object().expect("a record").clone();
        fields.remove("attributes").expect("a record says what it is");
        fields.remove("id");
        fields
    };
    records.map(fields).collect()
}

/// The fields that a request is to send, as JSON.
#[track_caller]
pub fn fields(json: Value) -> Map<String, Value> {
    json.as_object().expect("an object").clone()
}
