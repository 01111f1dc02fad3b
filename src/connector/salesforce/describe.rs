//! What Salesforce says of its objects and fields.

use std::collections::VecDeque;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::Salesforce;
use super::errors::unreadable;
use super::soql;
use crate::connector::contract::Listing;
use crate::connector::machine::{Job, Machine, Step, failed, once};
use crate::connector::wire::{Request, Response, query, segment};
use crate::error::{Error, Kind, Result};
use crate::schema::{Capabilities, Field, Object, Operations, Reference};
use crate::value::Type;

/// Objects that answer only to particular filters, or only for particular users.
/// <https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_list.htm>
const SPECIAL: &[&str] = &[
    "ActivityHistory",
    "ActivityMetric",
    "AggregateResult",
    "Announcement",
    "AppTabMember",
    "AttachedContentDocument",
    "CollaborationGroupRecord",
    "ColorDefinition",
    "CombinedAttachment",
    "ContentDocumentLink",
    "ContentFolderItem",
    "ContentFolderMember",
    "DataStatistics",
    "DatacloudDandBCompany",
    "EntityParticle",
    "FieldDefinition",
    "FieldHistoryArchive",
    "FlexQueueItem",
    "FlowVariableView",
    "FlowVersionView",
    "IconDefinition",
    "IdeaComment",
    "ListViewChartInstance",
    "NetworkUserHistoryRecent",
    "NoteAndAttachment",
    "OpenActivity",
    "OwnerChangeOptionInfo",
    "PicklistValueInfo",
    "PlatformAction",
    "RelationshipDomain",
    "RelationshipInfo",
    "SearchLayout",
    "SiteDetail",
    "UserEntityAccess",
    "UserFieldAccess",
    "UserRecordAccess",
    "Vote",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Global {
    sobjects: Vec<Sobject>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sobject {
    name: String,
    queryable: bool,
    deprecated_and_hidden: bool,
}

pub fn list(salesforce: &Salesforce, schema: &str) -> Result<Job<Vec<Listing>>> {
    if schema != "salesforce" {
        return Err(Error::new(Kind::UnknownSchema, format!("Salesforce has no schema \"{schema}\""))
            .hint("The one remote schema of Salesforce is called salesforce: IMPORT FOREIGN SCHEMA salesforce …"));
    }
    let request = Request::get(format!("{}/sobjects", salesforce.base()));
    Ok(once(request, |response| {
        let global: Global = read(&response, "a list of objects")?;
        Ok(global
            .sobjects
            .into_iter()
            .filter(|object| object.queryable && !object.deprecated_and_hidden)
            .filter(|object| !object.name.ends_with("ChangeEvent"))
            .map(|object| Listing { special: SPECIAL.contains(&object.name.as_str()), name: object.name, label: None })
            .collect())
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Describe {
    name: String,
    createable: bool,
    updateable: bool,
    deletable: bool,
    fields: Vec<DescribedField>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedField {
    name: String,
    #[serde(rename = "type")]
    remote_type: String,
    #[serde(default)]
    deprecated_and_hidden: bool,
    filterable: bool,
    sortable: bool,
    groupable: bool,
    #[serde(default)]
    aggregatable: bool,
    createable: bool,
    updateable: bool,
    #[serde(default)]
    reference_to: Vec<String>,
    relationship_name: Option<String>,
    #[serde(default)]
    case_sensitive: bool,
}

pub fn describe(salesforce: &Salesforce, object: &str) -> Job<Object> {
    if let Err(error) = soql::check_names(object, &[]) {
        return failed(error);
    }
    let path = format!("{}/sobjects/{}/describe", salesforce.base(), segment(object));
    once(Request::get(path), |response| {
        let described: Describe = read(&response, "the description of an object")?;
        let mut object = Object {
            name: described.name,
            fields: described
                .fields
                .into_iter()
                .filter(|field| !field.deprecated_and_hidden)
                .map(DescribedField::read)
                .collect(),
            operations: Operations {
                insert: described.createable,
                update: described.updateable,
                delete: described.deletable,
            },
            estimated_rows: None,
        };
        if let Some(key) = object.fields.iter_mut().find(|field| field.remote_type == "id") {
            key.key = true;
        }
        Ok(object)
    })
}

impl DescribedField {
    fn read(self) -> Field {
        // Compound fields say that they are filterable, but mean DISTANCE() alone.
        let compound = matches!(self.remote_type.as_str(), "address" | "location");
        Field {
            ty: local_type(&self.remote_type),
            key: false,
            references: (!self.reference_to.is_empty())
                .then_some(Reference { objects: self.reference_to, relationship: self.relationship_name }),
            capabilities: Capabilities {
                filter: self.filterable && !compound,
                sort: self.sortable,
                group: self.groupable,
                aggregate: self.aggregatable,
                create: self.createable,
                update: self.updateable,
                case: self.case_sensitive,
            },
            name: self.name,
            label: None,
            remote_type: self.remote_type,
        }
    }
}

/// What a field of one of the API's types is here.
/// <https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/field_types.htm>
fn local_type(remote: &str) -> Type {
    match remote {
        "int" | "long" => Type::Int,
        "double" | "currency" | "percent" => Type::Decimal,
        "boolean" => Type::Bool,
        "date" => Type::Date,
        "datetime" => Type::Instant,
        "time" => Type::Time,
        "multipicklist" => Type::TextList,
        "address" | "location" | "complexvalue" | "json" => Type::Json,
        // base64 too: its value is the URL of the bytes.
        _ => Type::Text,
    }
}

#[derive(Deserialize)]
struct RecordCounts {
    #[serde(rename = "sObjects")]
    objects: Vec<RecordCount>,
}

#[derive(Deserialize)]
struct RecordCount {
    name: String,
    count: u64,
}

/// Names of objects in one request: 40 characters each at most, so they fit into a URI.
const COUNTED_AT_ONCE: usize = 200;

pub fn counts(salesforce: &Salesforce, objects: &[String]) -> Job<Vec<(String, u64)>> {
    let requests = objects
        .chunks(COUNTED_AT_ONCE)
        .map(|names| {
            let names = query([("sObjects", names.join(",").as_str())]);
            Request::get(format!("{}/limits/recordCount?{names}", salesforce.base()))
        })
        .collect();
    Box::new(Counts { requests })
}

/// Asks one chunk after the other.
struct Counts {
    requests: VecDeque<Request>,
}

impl Machine for Counts {
    type Out = Vec<(String, u64)>;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Self::Out>> {
        match last {
            Some(response) => {
                let counts: RecordCounts = read(&response, "counts of records")?;
                let pairs = counts.objects.into_iter().map(|object| (object.name, object.count));
                Ok(Step::Yield(pairs.collect()))
            }
            None => Ok(self.requests.pop_front().map_or(Step::Done, Step::Send)),
        }
    }
}

fn read<T: DeserializeOwned>(response: &Response, what: &str) -> Result<T> {
    serde_json::from_slice(&response.body).map_err(|error| unreadable(what, &error, &response.body))
}
