//! Writing: sObject Collections, up to 200 records in a request, all of them or none.
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections.htm>

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::api::Salesforce;
use super::encode::RULES;
use super::errors::{ApiError, refusal, unreadable};
use super::{decode, soql};
use crate::connector::batch::{Answer, Reading, Wording, batch};
use crate::connector::encode::quote;
use crate::connector::machine::{Job, once};
use crate::connector::wire::{Effect, Request, Response, query, segment};
use crate::error::{Error, Result};
use crate::query::change::{Change, Op, Outcome, Write, WriteLimits, Written};
use crate::query::page::Record;
use crate::schema::Field;

/// A request may be larger, but a batch of long texts should not fill the memory of both sides.
pub const LIMITS: WriteLimits = WriteLimits { records: 200, bytes: 4 << 20 };

/// How many records one read by ids brings.
pub const MAX_IDS: usize = 2_000;

/// Sends changes. Errors: 0A000 if the server's version of the API knows no such request.
pub fn job(salesforce: &Salesforce, write: &Write, changes: &[Change]) -> Result<Job<Vec<Outcome>>> {
    match write.op {
        Op::Upsert => salesforce.since(46, "an upsert in batches")?,
        _ => salesforce.since(42, "writing")?,
    }
    soql::check_names(&write.object, &write.fields)?;
    let name = |field: &Field| {
        let mut name = String::from(",");
        quote(&mut name, &field.name);
        name + ":"
    };
    let collections = Collections {
        base: format!("{}/composite/sobjects", salesforce.base()),
        attributes: format!("{{\"attributes\":{}", json!({ "type": write.object })),
        names: write.fields.iter().map(name).collect(),
    };
    Ok(batch(collections, write.clone(), changes, salesforce.max_retries()))
}

/// Reads records by their ids.
pub fn retrieve(
    salesforce: &Salesforce,
    object: &str,
    fields: &[Field],
    keys: &[&str],
) -> Result<Job<Vec<Option<Record>>>> {
    salesforce.since(42, "reading back what was written")?;
    soql::check_names(object, fields)?;
    let fields = fields.to_vec();
    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    let request = look(&format!("{}/composite/sobjects", salesforce.base()), object, &names, keys);
    Ok(once(request, move |response| decode::records(&response.body, &fields)))
}

/// A read by ids, up to [`MAX_IDS`]. It is a POST since so many ids may not fit into a URI.
pub fn look(base: &str, object: &str, fields: &[&str], keys: &[&str]) -> Request {
    let body = json!({ "ids": keys, "fields": fields }).to_string();
    Request::json(Method::POST, format!("{base}/{}", segment(object)), body, Effect::None)
}

struct Collections {
    /// `/services/data/v62.0/composite/sobjects`
    base: String,
    /// What each record begins with.
    attributes: String,
    /// For each field: `,"LastName":`
    names: Vec<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    id: Option<Box<str>>,
    success: bool,
    created: Option<bool>,
    #[serde(default)]
    errors: Vec<ApiError>,
}

impl Wording for Collections {
    fn word(&self, text: &mut String, write: &Write, change: &Change) -> Result<()> {
        if write.op == Op::Delete {
            text.push_str(&change.key);
            return Ok(());
        }
        text.push_str(&self.attributes);
        if write.op == Op::Update {
            text.push_str(",\"id\":");
            quote(text, &change.key);
        }
        for (at, value) in &change.cells {
            text.push_str(&self.names[*at]);
            RULES.json(text, &write.fields[*at], value)?;
        }
        text.push('}');
        Ok(())
    }

    fn request(&self, write: &Write, words: &[&str]) -> Request {
        let (method, path, effect) = match write.op {
            Op::Delete => {
                let query = query([("ids", words.join(",").as_str()), ("allOrNone", "true")]);
                let path = format!("{}?{query}", self.base);
                return Request { method: Method::DELETE, effect: Effect::Repeatable, ..Request::get(path) };
            }
            Op::Insert => (Method::POST, self.base.clone(), Effect::Once),
            Op::Update => (Method::PATCH, self.base.clone(), Effect::Repeatable),
            Op::Upsert => {
                let by = write.by.and_then(|at| write.fields.get(at)).map_or("Id", |field| field.name.as_str());
                let path = format!("{}/{}/{}", self.base, segment(&write.object), segment(by));
                // Without a value to find it by, a record is created each time.
                let effect = if by.eq_ignore_ascii_case("Id") { Effect::Once } else { Effect::Repeatable };
                (Method::PATCH, path, effect)
            }
        };
        let body = format!("{{\"allOrNone\":true,\"records\":[{}]}}", words.join(","));
        Request::json(method, path, body, effect)
    }

    fn read(&self, write: &Write, response: &Response, _keys: &[&str]) -> Result<Reading> {
        const WANTED: &str = "what became of each record";
        let items: Vec<Item> =
            serde_json::from_slice(&response.body).map_err(|error| unreadable(WANTED, &error, &response.body))?;
        let answer = |item: Item| match (item.success, item.id, item.errors.into_iter().next()) {
            (true, Some(key), _) => Ok(Answer::Written(Written::new(key, item.created))),
            (false, _, Some(error)) => Ok(refused(write, response, &error)),
            (true, None, _) => Err(unreadable(WANTED, "a record was written and has no id", &response.body)),
            (false, _, None) => Err(unreadable(WANTED, "a record was refused and no error says why", &response.body)),
        };
        items.into_iter().map(answer).collect::<Result<_>>().map(Reading::Each)
    }

    fn look(&self, write: &Write, keys: &[&str]) -> Request {
        look(&self.base, &write.object, &["Id"], keys)
    }

    fn seen(&self, response: &Response, _keys: &[&str]) -> Result<Vec<bool>> {
        let records = decode::records(&response.body, &[])?;
        Ok(records.iter().map(Option::is_some).collect())
    }
}

fn refused(write: &Write, response: &Response, error: &ApiError) -> Answer {
    let refusal = || {
        let refusal = refusal(response.status, error);
        response.request.iter().fold(refusal, Error::request)
    };
    let there_before = matches!(write.op, Op::Update | Op::Delete);
    match error.error_code.as_str() {
        "ALL_OR_NONE_OPERATION_ROLLED_BACK" | "PROCESSING_HALTED" => Answer::RolledBack,
        "UNABLE_TO_LOCK_ROW" => Answer::Busy(refusal()),
        "ENTITY_IS_DELETED" | "NOT_FOUND" if there_before => Answer::Gone,
        // The record itself, or what one of its fields refers to: the fields tell, if the API names them.
        "INVALID_CROSS_REFERENCE_KEY" if write.op == Op::Delete => Answer::Gone,
        "INVALID_CROSS_REFERENCE_KEY" | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"
            if there_before && error.fields.is_empty() =>
        {
            Answer::Dangling(refusal())
        }
        _ => Answer::Refused(refusal()),
    }
}
