//! Webhooks that are polled: what was created, changed and destroyed in a base (contract, section 8).

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::base::{Base, Record, user_json};
use super::compute::{Renderer, write_moment};
use super::error::{ApiError, Result};
use super::formula::{Ctx, Regexes};
use super::id::Id;
use super::schema::Kind;
use super::switches::Switches;
use crate::time::DAY;

/// A webhook ends, and forgets its payloads, after so long.
const LIFE: i64 = 7 * DAY;
const MOST_PAYLOADS: usize = 50;
const MOST_WEBHOOKS: usize = 10;

#[derive(Default)]
pub struct Webhooks {
    all: Vec<Webhook>,
    made: u64,
    transactions: u64,
}

struct Webhook {
    id: Id,
    /// The only table it tells of, or all.
    scope: Option<Id>,
    url: Json,
    specification: Json,
    expires: i64,
    /// With the time they were made; the first has cursor 1.
    payloads: Vec<(i64, Json)>,
}

pub fn moment(at: i64) -> String {
    let mut out = Vec::new();
    write_moment(at, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

impl Webhooks {
    pub fn create(&mut self, body: &Json, base: &Base, now: i64) -> Result<Json> {
        let options = &body["specification"]["options"];
        let types = options["filters"]["dataTypes"].as_array().ok_or_else(ApiError::bad_parameters)?;
        if types.is_empty() || !types.iter().all(|t| matches!(t.as_str(), Some("tableData" | "tableFields"))) {
            return Err(ApiError::bad_parameters());
        }
        let scope = match &options["filters"]["recordChangeScope"] {
            Json::Null => None,
            // A view's id is one of these too, in the API; the sandbox knows tables alone.
            Json::String(id) => {
                let table = base.tables.iter().find(|t| t.id.as_str() == id);
                Some(table.ok_or_else(ApiError::bad_parameters)?.id)
            }
            _ => return Err(ApiError::bad_parameters()),
        };
        self.all.retain(|w| w.expires > now);
        if self.all.len() >= MOST_WEBHOOKS {
            return Err(ApiError::invalid("TOO_MANY_WEBHOOKS_IN_BASE", "Too many webhooks in this base"));
        }
        self.made += 1;
        let id = Id::named("ach", &format!("{}/{}", base.id, self.made));
        let expires = now + LIFE;
        let webhook = Webhook {
            id,
            scope,
            url: body["notificationUrl"].clone(),
            specification: body["specification"].clone(),
            expires,
            payloads: Vec::new(),
        };
        self.all.push(webhook);
        let secret = "c2FuZGJveCB3ZWJob29rIHNlY3JldA==";
        Ok(json!({ "id": id.as_str(), "macSecretBase64": secret, "expirationTime": moment(expires) }))
    }

    pub fn list(&self, now: i64) -> Json {
        let json = |w: &Webhook| {
            json!({
                "id": w.id.as_str(),
                "isHookEnabled": true,
                "notificationUrl": w.url,
                "specification": w.specification,
                "cursorForNextPayload": w.payloads.len() + 1,
                "expirationTime": moment(w.expires),
            })
        };
        json!({ "webhooks": self.all.iter().filter(|w| w.expires > now).map(json).collect::<Json>() })
    }

    pub fn refresh(&mut self, id: &str, now: i64) -> Result<Json> {
        let webhook = self.get(id, now)?;
        webhook.expires = now + LIFE;
        Ok(json!({ "expirationTime": moment(webhook.expires) }))
    }

    pub fn delete(&mut self, id: &str, now: i64) -> Result<()> {
        let id = self.get(id, now)?.id;
        self.all.retain(|w| w.id != id);
        Ok(())
    }

    /// From this cursor at most so many.
    pub fn payloads(&mut self, id: &str, cursor: usize, limit: usize, now: i64) -> Result<Json> {
        let webhook = self.get(id, now)?;
        if cursor == 0 || cursor > webhook.payloads.len() + 1 {
            return Err(ApiError::bad_parameters());
        }
        let end = (cursor - 1 + limit.clamp(1, MOST_PAYLOADS)).min(webhook.payloads.len());
        let kept = webhook.payloads[cursor - 1..end].iter().filter(|(at, _)| *at + LIFE > now);
        let payloads: Vec<&Json> = kept.map(|(_, json)| json).collect();
        Ok(json!({
            "payloads": payloads,
            "cursor": end + 1,
            "mightHaveMore": end < webhook.payloads.len(),
            "payloadFormat": "v0",
        }))
    }

    /// All of them end now.
    pub fn expire(&mut self) {
        self.all.clear();
    }

    fn get(&mut self, id: &str, now: i64) -> Result<&mut Webhook> {
        let it = self.all.iter_mut().find(|w| w.id.as_str() == id && w.expires > now);
        it.ok_or_else(ApiError::forbidden_or_missing)
    }

    /// Notes a transaction: table, place and former state of each record that it touched.
    pub fn tell(&mut self, base: &Base, changes: Vec<(usize, u32, Option<Record>)>, now: i64) {
        if changes.is_empty() || self.all.is_empty() {
            return;
        }
        self.transactions += 1;
        let mut tables: BTreeMap<usize, Json> = BTreeMap::new();
        for (table, place, before) in &changes {
            let after = base.data[*table].records.get(place);
            let told = tables.entry(*table).or_insert_with(|| json!({}));
            match (before, after) {
                (None, Some(record)) => {
                    told["createdRecordsById"][record.id.as_str()] = json!({
                        "createdTime": moment(record.created),
                        "cellValuesByFieldId": values(base, *table, record, |_| true, now),
                    });
                }
                (Some(before), Some(record)) => {
                    let changed = |field: usize| before.cell(field) != record.cell(field);
                    let current = values(base, *table, record, changed, now);
                    told["changedRecordsById"][record.id.as_str()] =
                        json!({ "current": { "cellValuesByFieldId": current } });
                }
                (Some(record), None) => match &mut told["destroyedRecordIds"] {
                    Json::Array(ids) => ids.push(json!(record.id.as_str())),
                    none => *none = json!([record.id.as_str()]),
                },
                (None, None) => {}
            }
        }
        for webhook in &mut self.all {
            let in_scope = |table: usize| webhook.scope.is_none_or(|scope| base.tables[table].id == scope);
            let told: Map<String, Json> = tables
                .iter()
                .filter(|(table, _)| in_scope(**table))
                .map(|(table, json)| (base.tables[*table].id.to_string(), json.clone()))
                .collect();
            if told.is_empty() {
                continue;
            }
            let payload = json!({
                "timestamp": moment(now),
                "baseTransactionNumber": self.transactions,
                "payloadFormat": "v0",
                "actionMetadata": { "source": "publicApi", "sourceMetadata": { "user": user_json(0) } },
                "changedTablesById": told,
            });
            webhook.payloads.push((now, payload));
        }
    }
}

/// Cell values by field id, in the webhooks' form: choices and links are objects; a blank is null.
fn values(base: &Base, table: usize, record: &Record, wanted: impl Fn(usize) -> bool, now: i64) -> Json {
    let (rules, regexes) = (Switches::default(), Regexes::default());
    let ctx = Ctx { base, rules: &rules, now, regexes: &regexes };
    let renderer = Renderer { ctx, by_id: true, as_text: None, url: "" };
    let definition = &base.tables[table];
    let mut found = Map::new();
    for (at, field) in definition.live_fields().filter(|(at, f)| !f.kind.is_computed() && wanted(*at)) {
        let mut out = Vec::new();
        let json: Json = if renderer.field(table, record, at, &mut out) {
            serde_json::from_slice(&out).unwrap_or_default()
        } else {
            Json::Null
        };
        let as_object = |name: &Json| match &field.kind {
            Kind::Select { choices, .. } => {
                let choice = choices.iter().find(|c| Some(c.name.as_str()) == name.as_str());
                json!({ "id": choice.map(|c| c.id.as_str()), "name": name, "color": "blueLight2" })
            }
            Kind::Link { .. } => json!({ "id": name }),
            _ => name.clone(),
        };
        let json = match json {
            Json::Array(all) => all.iter().map(as_object).collect(),
            Json::Null => Json::Null,
            one => as_object(&one),
        };
        found.insert(field.id.to_string(), json);
    }
    Json::Object(found)
}
