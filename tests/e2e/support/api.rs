//! The APIs that the same tests run on, and what differs between them.

use sandbox::{AIRTABLE_BASE, AIRTABLE_TOKEN, CLIENT_ID, CLIENT_SECRET, Config, LoggedRequest, Sandbox};
use serde_json::{Map, Value};

use super::upstream::{Batches, COLLECTIONS, TENS};
use super::writes::fields_sent;

pub struct Api {
    /// As users write its name.
    pub title: &'static str,
    /// The option `connector`.
    pub connector: &'static str,
    /// The name of the server that a world has.
    pub server: &'static str,
    /// The schema of its foreign tables.
    pub schema: &'static str,
    /// What is imported.
    pub namespace: &'static str,
    /// LIMIT TO, or nothing if a world has all tables from the beginning.
    pub limit_to: &'static str,
    /// The column of a record's key.
    pub key: &'static str,
    /// More options of a server, each after a comma.
    pub options: &'static str,
    /// The options of a user mapping.
    pub credentials: fn() -> String,
    /// What no test of anything else wants in its way is off.
    pub usual: fn(Config) -> Config,
    /// It takes the other side wherever its documentation leaves a choice to it.
    pub contrary: fn(Config) -> Config,
    /// A field of a dump as a value of this type, in SQL.
    pub cell: fn(field: &str, ty: &str) -> String,
    /// What the API calls an object, and a field of it.
    pub object: fn(&Sandbox, object: &str) -> String,
    pub field: fn(&Sandbox, object: &str, field: &str) -> String,
    /// The id and the fields of a record in a dump.
    pub record: fn(Value) -> (String, Map<String, Value>),
    /// What a request sends of each record.
    pub sent: fn(&LoggedRequest) -> Vec<Map<String, Value>>,
    /// How another client writes.
    pub batches: &'static Batches,
    /// Columns that change with other records, of which nothing tells.
    pub loose: &'static [&'static str],
}

impl Api {
    /// All live records of an object: their ids, and their fields by the API's names. In the order of a scan.
    #[track_caller]
    pub fn held(&self, sandbox: &Sandbox, object: &str) -> Vec<(String, Map<String, Value>)> {
        let json = sandbox.dump_json(object).unwrap_or_else(|| panic!("the sandbox has no {object}"));
        let records: Vec<Value> = serde_json::from_str(&json).expect("a dump is JSON");
        records.into_iter().map(self.record).collect()
    }
}

fn members(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { panic!("a record is an object: {value}") }
}

fn text(value: Option<Value>) -> String {
    if let Some(Value::String(text)) = value { text } else { panic!("no text: {value:?}") }
}

pub static SALESFORCE: Api = Api {
    title: "Salesforce",
    connector: "salesforce",
    server: "sf",
    schema: "salesforce",
    namespace: "salesforce",
    limit_to: "LIMIT TO (contact, account)",
    key: "id",
    options: "",
    credentials: || format!("client_id '{CLIENT_ID}', client_secret '{CLIENT_SECRET}'"),
    usual: |config| config,
    contrary: |config| {
        config.switches(|switches| {
            switches.nulls_match_not_equal = false;
            switches.empty_text_matches_null = false;
            switches.exponent_numbers = false;
            switches.unordered_by_id = false;
            switches.group_merges_case = false;
            switches.distinct_merges_case = false;
            switches.picklist_order = false;
        })
    },
    cell: |field, ty| match ty {
        "text[]" => format!("string_to_array(\"{field}\", ';')"),
        _ => format!("\"{field}\"::{ty}"),
    },
    object: |_, object| object.to_owned(),
    field: |_, _, field| field.to_owned(),
    record: |record| {
        let mut fields = members(record);
        (text(fields.remove("Id")), fields)
    },
    sent: fields_sent,
    batches: &COLLECTIONS,
    loose: &["reports_to_id"],
};

pub static AIRTABLE: Api = Api {
    title: "Airtable",
    connector: "airtable",
    server: "at",
    schema: "ops",
    namespace: AIRTABLE_BASE,
    limit_to: "",
    key: "_id",
    // As the sandbox is.
    options: ", requests_per_second '0'",
    credentials: || format!("token '{AIRTABLE_TOKEN}'"),
    usual: |config| {
        config.airtable(|switches| {
            switches.requests_per_second = 0;
            switches.requests_per_second_and_token = 0;
        })
    },
    contrary: |config| {
        config.airtable(|switches| {
            switches.blank_is_zero = false;
            switches.blank_is_not_equal = false;
            switches.equals_ignores_case = true;
            switches.find_minds_case = false;
            switches.search_ignores_case = false;
            switches.utf16_lengths = false;
            switches.parse_date_strings = false;
            switches.blank_date_is_error = true;
            switches.zone_offset_minutes = 330;
            switches.brace_escapes = true;
            switches.sort_blanks_first = false;
            switches.sort_ignores_case = false;
            switches.empty_fields_mean_all = false;
            switches.checkbox_equals_false_invalid = false;
            switches.last_modified_without_field = false;
            switches.unmodified_is_created = false;
            switches.special_values = false;
            switches.error_cells = false;
            switches.arbitrary_order = false;
            switches.stable_pages = true;
        })
    },
    cell: |field, ty| {
        // An error is no value.
        let value = format!("CASE WHEN \"{field}\" NOT LIKE '{{\"error\"%' THEN \"{field}\" END");
        match ty {
            "text[]" => format!(
                "CASE WHEN \"{field}\" IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(\"{field}\"::jsonb)) END"
            ),
            "numeric" => format!(
                "CASE WHEN \"{field}\" LIKE '{{\"specialValue\"%' THEN (\"{field}\"::jsonb->>'specialValue')::numeric ELSE ({value})::numeric END"
            ),
            "boolean" => format!("CASE WHEN \"{field}\" IS NULL THEN false ELSE ({value})::boolean END"),
            _ => format!("({value})::{ty}"),
        }
    },
    object: |sandbox, table| format!("{}/{}", sandbox.airtable_base(), sandbox.airtable_table(table)),
    field: |sandbox, table, field| sandbox.airtable_field(table, field),
    record: |record| {
        let mut record = members(record);
        (text(record.remove("id")), record.remove("fields").map(members).unwrap_or_default())
    },
    sent: |request| {
        let mut body: Value =
            serde_json::from_str(&request.body).unwrap_or_else(|error| panic!("{error}: {request:#?}"));
        assert_eq!(body["returnFieldsByFieldId"], true, "{request:#?}");
        let Value::Array(records) = body["records"].take() else { panic!("no records: {request:#?}") };
        records.into_iter().map(|mut record| members(record["fields"].take())).collect()
    },
    batches: &TENS,
    // A link to a deleted record goes.
    loose: &["manager", "project_members", "modified", "modified_by"],
};
