//! Writing: up to 10 records in a request, all of them or none.
//! <https://airtable.com/developers/web/api/update-multiple-records>

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::api::{Airtable, base_and_table, check_fields, is_id, is_of_record};
use super::errors::{ApiError, TITLE, refusal, unreadable};
use super::{decode, read};
use crate::connector::batch::{Answer, Reading, Wording, batch};
use crate::connector::encode::{Rules, quote};
use crate::connector::machine::Job;
use crate::connector::wire::{Effect, Request, Response, query};
use crate::error::{Error, Kind, Result};
use crate::query::change::{Change, Op, Outcome, Write, Written};
use crate::schema::Field;
use crate::value::Value;

/// What values become.
pub const RULES: Rules = Rules {
    // 0001-01-01 to 9999-12-31.
    days: -719_162..=2_932_896,
    hint: "Airtable has no infinities, and dates of the years 1 to 9999 only.",
    is_box: |field| field.remote_type == "checkbox",
    list,
};

/// Sends changes. Errors: HV00R and HV005 for what is no id.
pub fn job(airtable: &Airtable, write: &Write, changes: &[Change]) -> Result<Job<Vec<Outcome>>> {
    check_fields(&write.fields)?;
    if let Some(by) = write.by.and_then(|at| write.fields.get(at)).filter(|field| is_of_record(field)) {
        return Err(Error::new(Kind::NotSupported, "Airtable does not upsert records by their id")
            .hint("Upsert by a field of text, number, date or choice.")
            .column(&by.name));
    }
    let (base, table) = base_and_table(&write.object)?;
    let name = |field: &Field| {
        let mut name = String::new();
        quote(&mut name, &field.name);
        name + ":"
    };
    let names = write.fields.iter().map(name).collect();
    let records = Records { path: format!("/v0/{base}/{table}"), names, typecast: airtable.typecast() };
    Ok(batch(records, write.clone(), changes, airtable.max_retries()))
}

struct Records {
    /// `/v0/app…/tbl…`
    path: String,
    /// For each field: `"fld…":`
    names: Vec<String>,
    typecast: bool,
}

#[derive(Deserialize)]
struct Answered {
    records: Vec<AnsweredRecord>,
    #[serde(rename = "createdRecords", default)]
    created: Option<Vec<String>>,
    /// What was left undone.
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    reasons: Vec<String>,
}

#[derive(Deserialize)]
struct AnsweredRecord {
    id: Box<str>,
    deleted: Option<bool>,
}

impl Wording for Records {
    fn word(&self, text: &mut String, write: &Write, change: &Change) -> Result<()> {
        if write.op == Op::Delete {
            text.push_str(&change.key);
            return Ok(());
        }
        text.push('{');
        if write.op == Op::Update {
            text.push_str("\"id\":");
            quote(text, &change.key);
            text.push(',');
        }
        text.push_str("\"fields\":{");
        let start = text.len();
        for (at, value) in &change.cells {
            if text.len() > start {
                text.push(',');
            }
            text.push_str(&self.names[*at]);
            RULES.json(text, &write.fields[*at], value)?;
        }
        text.push_str("}}");
        Ok(())
    }

    fn request(&self, write: &Write, words: &[&str]) -> Request {
        let (method, effect) = match write.op {
            Op::Delete => {
                let query = query(words.iter().map(|key| ("records[]", *key)));
                let path = format!("{}?{query}", self.path);
                let effect = Effect::Repeatable;
                return Request { method: Method::DELETE, effect, any_answer: true, ..Request::get(path) };
            }
            Op::Insert => (Method::POST, Effect::Once),
            Op::Update | Op::Upsert => (Method::PATCH, Effect::Repeatable),
        };
        let by = write.by.and_then(|at| write.fields.get(at)).filter(|_| write.op == Op::Upsert);
        let upsert = by.map(|by| json!({ "fieldsToMergeOn": [by.name] }));
        let upsert = upsert.map(|upsert| format!(",\"performUpsert\":{upsert}")).unwrap_or_default();
        let typecast = if self.typecast { ",\"typecast\":true" } else { "" };
        let records = words.join(",");
        let body = format!("{{\"returnFieldsByFieldId\":true{typecast}{upsert},\"records\":[{records}]}}");
        // That a record is gone is no end of the batch.
        Request { any_answer: true, ..Request::json(method, &self.path, body, effect) }
    }

    fn read(&self, write: &Write, response: &Response, keys: &[&str]) -> Result<Reading> {
        const WANTED: &str = "what became of each record";
        const UNFETCHED: &str = "attachmentsFailedUploading";
        if !response.status.is_success() {
            let error = response.request.iter().fold(refusal(response), Error::request);
            let there_before = matches!(write.op, Op::Update | Op::Delete);
            return Ok(if there_before && is_missing(response, keys) {
                Reading::Missing(error)
            } else {
                Reading::Refused(error)
            });
        }
        let wrong = |what: &str| unreadable(WANTED, what, &response.body);
        let answered: Answered =
            serde_json::from_slice(&response.body).map_err(|error| unreadable(WANTED, &error, &response.body))?;
        let lacking = answered.details.filter(|details| !details.reasons.is_empty());
        let lacking = lacking.map(|details| match details.reasons.iter().any(|why| why == UNFETCHED) {
            true => "attachments that it could not fetch",
            false => "some values",
        });
        let created = answered.created;
        let answer = |(at, record): (usize, AnsweredRecord)| {
            let same =
                write.op == Op::Insert || write.op == Op::Upsert || keys.get(at).is_some_and(|key| **key == *record.id);
            if !is_id("rec", &record.id) || !same {
                return Err(wrong("a record has another id than was asked for"));
            }
            if (write.op == Op::Delete) != (record.deleted == Some(true)) {
                return Err(wrong("a record was not deleted, or deleted without being asked"));
            }
            let created = created.as_ref().map(|created| created.iter().any(|id| **id == *record.id));
            Ok(Answer::Written(Written { lacking, ..Written::new(record.id, created) }))
        };
        answered.records.into_iter().enumerate().map(answer).collect::<Result<_>>().map(Reading::Each)
    }

    fn look(&self, write: &Write, keys: &[&str]) -> Request {
        read::look(&format!("{}/listRecords", self.path), &write.fields, keys)
    }

    fn seen(&self, response: &Response, keys: &[&str]) -> Result<Vec<bool>> {
        let found = decode::page(&response.body, &[], false)?.ids;
        Ok(keys.iter().map(|key| decode::id(key).is_some_and(|id| found.contains(&id))).collect())
    }
}

/// Whether a refusal may mean that one of these records is not there.
fn is_missing(response: &Response, keys: &[&str]) -> bool {
    let Some(api) = ApiError::read(response) else { return false };
    match api.kind.as_str() {
        // It may be a link that leads nowhere.
        "ROW_DOES_NOT_EXIST" => keys.iter().any(|key| api.message.contains(key)),
        "MODEL_ID_NOT_FOUND" | "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND" => true,
        "NOT_FOUND" => response.status == StatusCode::NOT_FOUND,
        _ => false,
    }
}

/// Choices and links are arrays of texts.
fn list(text: &mut String, field: &Field, items: &[Value]) -> Result<()> {
    text.push('[');
    for (at, item) in items.iter().enumerate() {
        let Value::Text(item) = item else {
            return Err(Error::new(
                Kind::Malformed,
                format!("the field {} of {TITLE} cannot hold a list with anything but texts in it", field.name),
            )
            .column(&field.name)
            .hint("Take NULLs and inner lists out of the list."));
        };
        if at > 0 {
            text.push(',');
        }
        quote(text, item);
    }
    text.push(']');
    Ok(())
}
