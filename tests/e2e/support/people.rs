//! A table of people of each API, under the same names here, so that the same statements write to it: `far.people` with the
//! columns `id`, `made`, `full_name` (these three are read-only), `name`, `note`, `place`, `amount`, `flag`, `tags`, `day` and more.

use std::collections::HashMap;
use std::sync::Arc;

use sandbox::{Action, Config, LoggedRequest, Missing, Sandbox};
use serde_json::{Map, Value};

use super::api::{AIRTABLE, Api, SALESFORCE};
use super::cluster::Cluster;
use super::session::Session;
use super::upstream::{TOKEN, Upstream, Written};
use super::world::World;

pub struct Crowd {
    pub api: &'static Api,
    pub object: &'static str,
    table: &'static str,
    /// Columns as they are imported, and as they are called here.
    names: &'static [(&'static str, &'static str)],
    config: fn(Config) -> Config,
    /// Records in a request.
    pub batch: usize,
    /// Two choices of `tags`.
    pub tags: [&'static str; 2],
    /// More columns that take no value, and one for each.
    pub read_only: &'static [(&'static str, &'static str)],
    /// What is in the paths of requests that read a table, and of those that write it.
    pub read: &'static str,
    pub write: fn(&Sandbox) -> String,
    /// The ways in which the API tells that a record is gone.
    pub gone: &'static [fn(&Sandbox)],
    /// The API refuses one record of a write, and says `not today`.
    pub refusal: fn(at: usize) -> Action,
    /// Options of a synced table that deletions reach soon.
    pub deletions: &'static str,
    /// Whether a request asks what has changed.
    pub polls: fn(&proxy::Request) -> bool,
    /// More changes than the API answers with, or takes, at once.
    pub very_many: usize,
}

fn refusal(at: usize, status: u16, code: &str) -> Action {
    Action::RefuseRecord { at, code: code.to_owned(), message: "not today".to_owned(), fields: Vec::new(), status }
}

pub static OF_SALESFORCE: Crowd = Crowd {
    api: &SALESFORCE,
    object: "Contact",
    table: "contact",
    names: &[
        ("name", "full_name"),
        ("created_date", "made"),
        ("last_name", "name"),
        ("title", "note"),
        ("department", "place"),
        ("score__c", "amount"),
        ("do_not_call", "flag"),
        ("languages__c", "tags"),
        ("birthdate", "day"),
    ],
    // A contact with an escalated case cannot be deleted.
    config: |config| config.records("Account", 10).records("Case", 0),
    batch: 200,
    tags: ["English", "Deutsch"],
    read_only: &[("is_deleted", "false"), ("mailing_address", "'{}'")],
    read: "/query",
    write: |_| "/composite/sobjects".to_owned(),
    gone: &[
        |sandbox| sandbox.set_switches(|switches| switches.gone_as_deleted = true),
        |sandbox| sandbox.set_switches(|switches| switches.gone_as_deleted = false),
    ],
    refusal: |at| refusal(at, 400, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    // The API tells of them.
    deletions: "{}",
    polls: |request| request.path.contains("/queryAll") && request.path.contains("SystemModstamp"),
    very_many: 5000,
};

pub static OF_AIRTABLE: Crowd = Crowd {
    api: &AIRTABLE,
    object: "People",
    table: "people",
    names: &[
        ("label", "full_name"),
        ("_id", "id"),
        ("_created_time", "made"),
        ("notes", "note"),
        ("phone", "place"),
        ("score", "amount"),
        ("active", "flag"),
        ("skills", "tags"),
        ("born", "day"),
    ],
    config: |config| config,
    batch: 10,
    tags: ["SQL", "Rust"],
    read_only: &[("number", "7"), ("project_count", "1")],
    read: "/listRecords",
    write: |sandbox| sandbox.airtable_table("People"),
    gone: &[
        |sandbox| sandbox.set_airtable_switches(|switches| switches.missing_in_batch = Missing::RowDoesNotExist),
        |sandbox| sandbox.set_airtable_switches(|switches| switches.missing_in_batch = Missing::ModelIdNotFound),
        |sandbox| sandbox.set_airtable_switches(|switches| switches.missing_in_batch = Missing::NotFound),
        |sandbox| sandbox.set_airtable_switches(|switches| switches.missing_in_batch = Missing::Forbidden),
    ],
    refusal: |at| refusal(at, 422, "INVALID_VALUE_FOR_COLUMN"),
    deletions: r#"{"sweep_every": "1 second"}"#,
    polls: |request| String::from_utf8_lossy(&request.body).contains("LAST_MODIFIED_TIME"),
    very_many: 500,
};

impl Crowd {
    /// A sandbox with so many people.
    fn with(&self, count: usize) -> Config {
        (self.config)(Config::new()).records(self.object, count as u32)
    }
}

pub struct People {
    pub world: World,
    pub crowd: &'static Crowd,
    /// The columns by the fields' names.
    columns: HashMap<String, String>,
}

impl People {
    pub fn new(crowd: &'static Crowd, count: usize) -> People {
        People::within(World::of(crowd.api, crowd.with(count)), crowd)
    }

    /// In a cluster whose server has a worker.
    pub fn in_cluster(crowd: &'static Crowd, cluster: Arc<Cluster>, count: usize) -> People {
        People::within(World::of_in(crowd.api, cluster, crowd.with(count).static_token(TOKEN)), crowd)
    }

    /// The same, while no other test runs.
    pub fn alone_in(crowd: &'static Crowd, cluster: Arc<Cluster>, count: usize) -> People {
        People::within(World::of_alone_in(crowd.api, cluster, crowd.with(count).static_token(TOKEN)), crowd)
    }

    fn within(world: World, crowd: &'static Crowd) -> People {
        let mut session = world.connect();
        session.run(&format!("ALTER SCHEMA {} RENAME TO far", crowd.api.schema));
        for (imported, name) in crowd.names {
            session.run(&format!("ALTER FOREIGN TABLE far.{} RENAME COLUMN {imported} TO {name}", crowd.table));
        }
        if crowd.table != "people" {
            session.run(&format!("ALTER FOREIGN TABLE far.{} RENAME TO people", crowd.table));
        }
        let columns = session.rows(
            "SELECT substr(option, 7), attname FROM pg_attribute, unnest(attfdwoptions) AS option \
             WHERE attrelid = 'far.people'::regclass AND option LIKE 'field=%'",
        );
        let columns = columns.into_iter().map(|mut row| {
            let mut cell = |at: usize| row[at].take().unwrap_or_default();
            (cell(0), cell(1))
        });
        People { columns: columns.collect(), world, crowd }
    }

    /// The ids of all live records, in the order of a scan.
    pub fn ids(&self) -> Vec<String> {
        self.crowd.api.held(&self.world.sandbox, self.crowd.object).into_iter().map(|(id, _)| id).collect()
    }

    /// All live records by their ids: the fields that have a value, as texts and by their columns.
    pub fn held(&self) -> HashMap<String, HashMap<String, String>> {
        let held = self.crowd.api.held(&self.world.sandbox, self.crowd.object).into_iter();
        let text = |value: Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        let fields = |fields: Map<String, Value>| {
            let named = self.by_column(fields).into_iter();
            named.filter_map(|(column, value)| Some((column, text(value)?))).collect()
        };
        held.map(|(id, record)| (id, fields(record))).collect()
    }

    /// How many live records have this value.
    pub fn count(&self, column: &str, value: &str) -> usize {
        self.held().values().filter(|record| record.get(column).is_some_and(|held| held == value)).count()
    }

    /// What `work` sends of each record, by columns.
    pub fn sent_by<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Value>) {
        let (result, writes) = self.world.writes_of(work);
        (result, writes.iter().flat_map(|write| self.sent(write)).collect())
    }

    /// What a request sends of each record, by columns.
    pub fn sent(&self, write: &LoggedRequest) -> Vec<Value> {
        (self.crowd.api.sent)(write).into_iter().map(|fields| Value::Object(self.by_column(fields))).collect()
    }

    /// Compound fields have no column, and what a record knows of itself may have no field.
    fn by_column(&self, fields: Map<String, Value>) -> Map<String, Value> {
        fields.into_iter().filter_map(|(field, value)| Some((self.columns.get(&field)?.clone(), value))).collect()
    }

    /// Follows the people in `crm.people`, with these options, and waits until all are there.
    #[track_caller]
    pub fn follow(&self, session: &mut Session, every: &str, options: &str) {
        session.run(&format!(
            "CREATE SCHEMA IF NOT EXISTS crm; \
             SELECT sequin.start_sync('far.people', 'crm.people', every => '{every}', options => '{options}')"
        ));
        self.world.await_current(session, "crm.people");
    }

    /// The people that differ between `crm.people` and the API.
    #[track_caller]
    pub fn differences(&self, session: &mut Session) -> Vec<String> {
        self.world.differences_from(session, self.crowd.object, "far.people", "crm.people")
    }

    #[track_caller]
    pub fn equal(&self, session: &mut Session) {
        assert_eq!(self.differences(session), Vec::<String>::new());
    }

    #[track_caller]
    pub fn await_equal(&self, session: &mut Session) {
        self.world.await_no(session, |session| self.differences(session));
    }

    /// The id of the record that was made as the n-th.
    pub fn id(&self, n: u32) -> String {
        self.world.sandbox.id(self.crowd.object, n)
    }

    /// Another client of the API.
    pub fn others(&self) -> Others {
        let fields = self.columns.iter().map(|(field, column)| (column.clone(), field.clone()));
        Others { upstream: self.world.upstream(), object: self.crowd.object, fields: fields.collect() }
    }

    /// As warnings tell of writes: `3 far.people inserted`.
    pub fn told(&self, count: usize, done: &str) -> String {
        format!("{count} far.people {done}")
    }
}

/// Another client, one that writes people by the names that columns have here.
#[derive(Clone)]
pub struct Others {
    upstream: Upstream,
    object: &'static str,
    /// The fields by their columns.
    fields: HashMap<String, String>,
}

impl Others {
    #[track_caller]
    pub fn create(&self, record: Value) -> String {
        self.upstream.create(self.object, self.by_field(record))
    }

    #[track_caller]
    pub fn update(&self, id: &str, change: Value) {
        self.update_all(&[id.to_owned()], change);
    }

    /// Gives all of these records the same values.
    #[track_caller]
    pub fn update_all(&self, ids: &[String], change: Value) {
        self.upstream.update_all(self.object, ids, &self.by_field(change));
    }

    #[track_caller]
    pub fn delete(&self, ids: &[String]) {
        self.upstream.delete_all_of(self.object, ids);
    }

    /// One request, which may fail.
    pub fn try_create(&self, records: Vec<Value>) -> Vec<Written> {
        let records: Vec<Value> = records.into_iter().map(|record| self.by_field(record)).collect();
        self.upstream.write("POST", self.object, &records)
    }

    /// The same. Each record has its `id`.
    pub fn try_update(&self, records: Vec<Value>) -> Vec<Written> {
        let records: Vec<Value> = records.into_iter().map(|record| self.by_field(record)).collect();
        self.upstream.write("PATCH", self.object, &records)
    }

    pub fn try_delete(&self, ids: &[String]) -> Vec<Written> {
        self.upstream.try_delete(self.object, ids)
    }

    fn by_field(&self, record: Value) -> Value {
        let Value::Object(members) = record else { panic!("a record is an object: {record}") };
        let named = members.into_iter().map(|(column, value)| match column.as_str() {
            "id" => (column, value),
            column => (self.fields[column].clone(), value),
        });
        Value::Object(named.collect())
    }
}

/// `UPDATE … SET` of every column of a table to the value that a record has now, as a form or an ORM saves it; `change`
/// may replace values.
pub fn save(session: &mut Session, table: &str, id: &str, change: &[(&str, &str)]) -> u64 {
    let columns = session.column(&format!(
        "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    ));
    let list = columns.iter().map(|column| format!("quote_nullable({column}::text)")).collect::<Vec<_>>().join(", ");
    let values = session.rows(&format!("SELECT {list} FROM {table} WHERE id = '{id}'")).swap_remove(0);
    let set = columns.iter().zip(values).map(|(column, value)| {
        let changed = change.iter().find(|(name, _)| name == column).map(|(_, value)| (*value).to_owned());
        format!("{column} = {}", changed.or(value).unwrap_or_default())
    });
    let set = set.collect::<Vec<_>>().join(", ");
    session.count(&format!("UPDATE {table} SET {set} WHERE id = '{id}'"))
}
