//! Creating, changing and deleting records: the rules that a write must pass, and what it changes beside the named
//! fields.

use serde_json::json;

use super::Salesforce;
use super::error::{ApiError, Result};
use super::id::Id;
use super::record::{Change, Record, assignments, matches, missing};
use super::schema::{Kind, Object};
use super::store::{Row, Store};
use super::switches::Switches;
use super::value::{Value, fold};
use crate::time;

/// One write transaction's view of the org.
pub struct Writer<'a> {
    pub store: &'a mut Store,
    pub switches: &'a Switches,
    /// `Sforce-Duplicate-Rule-Header: allowSave=true`
    pub allow_duplicates: bool,
}

/// What an upsert did.
pub enum Upserted {
    Created(Id),
    Updated(Id),
    Several(Vec<Id>),
}

impl Writer<'_> {
    pub fn create(&mut self, object: usize, record: &Record) -> Result<Id> {
        let definition = self.store.object(object);
        if !definition.traits.createable {
            return Err(read_only(definition));
        }
        let set = assignments(self.store, object, record, Change::Create, self.switches.dangling_reference)?;
        let now = self.now(None);
        let user = self
            .store
            .schema
            .object("User")
            .map_or(Value::Null, |o| Value::Id(Id::new(self.store.object(o).prefix, 0)));
        let mut values: Vec<Value> = definition.fields.iter().map(|f| f.default.clone()).collect();
        for field in ["OwnerId", "CreatedById", "LastModifiedById"] {
            if let Some(at) = definition.field(field) {
                values[at] = user.clone();
            }
        }
        for at in [Some(definition.created), definition.modified, definition.stamp].into_iter().flatten() {
            values[at] = Value::DateTime(now);
        }
        for (at, value) in set {
            values[at] = value;
        }
        let stand_in = |at: usize| definition.fields[at].auto_number || definition.fields[at].kind == Kind::Id;
        let checked: Vec<Value> =
            values.iter().enumerate().map(|(at, v)| if stand_in(at) { Value::Bool(true) } else { v.clone() }).collect();
        if let Some(error) = missing(definition, &checked, Change::Create) {
            return Err(error);
        }
        self.rules(object, &values, None, Change::Create)?;
        let numbers: Vec<(usize, String)> = definition
            .fields
            .iter()
            .enumerate()
            .filter(|(_, f)| f.auto_number)
            .map(|(at, f)| (at, f.source.prefix()))
            .collect();
        Ok(self.store.create(object, |id, index| {
            values[0] = Value::Id(id);
            for (at, prefix) in numbers {
                values[at] = Value::text(format!("{prefix}{index:06}"));
            }
            values
        }))
    }

    pub fn update(&mut self, object: usize, id: Id, record: &Record) -> Result<()> {
        let definition = self.store.object(object);
        if !definition.traits.updateable {
            return Err(read_only(definition));
        }
        let row = self.live(object, id)?;
        let (index, mut values) = (row.index, row.values());
        let before = definition.stamp.map(|at| row.value(at));
        let dangling = self.switches.dangling_reference;
        for (at, value) in assignments(self.store, object, record, Change::Update, dangling)? {
            values[at] = value;
        }
        if let Some(error) = missing(definition, &values, Change::Update) {
            return Err(error);
        }
        self.rules(object, &values, Some(id), Change::Update)?;
        let now = self.now(before.as_ref());
        stamp(definition, &mut values, now);
        self.store.put(object, index, values);
        Ok(())
    }

    /// Moves a record to the recycle bin, and with it what depends on it.
    pub fn delete(&mut self, object: usize, id: Id) -> Result<()> {
        let definition = self.store.object(object);
        if !definition.traits.deletable {
            return Err(read_only(definition));
        }
        let row = self.live(object, id)?;
        self.deletable(&row)?;
        let (index, mut values, before) = (row.index, row.values(), definition.stamp.map(|at| row.value(at)));
        let now = self.now(before.as_ref());
        values[definition.deleted] = Value::Bool(true);
        stamp(definition, &mut values, now);
        self.store.put(object, index, values);
        self.release(object, id)
    }

    /// Brings a record back from the recycle bin, as an administrator can.
    pub fn undelete(&mut self, object: usize, index: u32) {
        let definition = self.store.object(object);
        let Some(row) = self.store.row(object, index) else { return };
        let (mut values, before) = (row.values(), definition.stamp.map(|at| row.value(at)));
        let now = self.now(before.as_ref());
        values[definition.deleted] = Value::Bool(false);
        stamp(definition, &mut values, now);
        self.store.put(object, index, values);
    }

    /// Makes a record's last change one of an earlier time, as if it had taken so long to be committed.
    pub fn date_back(&mut self, object: usize, index: u32, ms: i64) {
        let definition = self.store.object(object);
        let Some(row) = self.store.row(object, index) else { return };
        let mut values = row.values();
        stamp(definition, &mut values, time::now() - ms);
        self.store.put(object, index, values);
    }

    /// Creates or changes the record whose external id field has this value.
    pub fn upsert(
        &mut self,
        object: usize,
        at: usize,
        value: Value,
        record: &Record,
        update_only: bool,
    ) -> Result<Upserted> {
        let found: Vec<Id> = matches(self.store, object, at, &value).iter().map(Row::id).collect();
        match found[..] {
            [id] => self.update(object, id, record).map(|()| Upserted::Updated(id)),
            [] if update_only => Err(ApiError::not_found()),
            [] => {
                let name = self.store.object(object).fields[at].name.clone();
                let text = match &value {
                    Value::Text(text) => serde_json::Value::String(text.to_string()).to_string(),
                    Value::Number(number) => {
                        let mut out = Vec::new();
                        number.write_double(false, &mut out);
                        String::from_utf8_lossy(&out).into_owned()
                    }
                    _ => return Err(ApiError::not_found()),
                };
                let mut whole = Record(record.0.iter().map(|(n, v)| (n.clone(), v.clone())).collect());
                whole
                    .0
                    .push((name, serde_json::value::RawValue::from_string(text).map_err(|_| ApiError::not_found())?));
                self.create(object, &whole).map(Upserted::Created)
            }
            _ => Ok(Upserted::Several(found)),
        }
    }

    /// A record that can be changed.
    pub fn live(&self, object: usize, id: Id) -> Result<Row<'_>> {
        let definition = self.store.object(object);
        if id.prefix() != definition.prefix {
            let message = format!("{} ID: id value of incorrect type: {id}", definition.label);
            return Err(ApiError::bad("MALFORMED_ID", message).on_field("Id"));
        }
        match self.store.by_id(id) {
            Some(row) if !row.is_deleted() => Ok(row),
            Some(_) if self.switches.gone_as_deleted => {
                Err(ApiError::new(404, "ENTITY_IS_DELETED", "entity is deleted"))
            }
            _ => Err(ApiError::new(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")),
        }
    }

    /// Stamps advance with every write of a record, also within a millisecond.
    fn now(&self, before: Option<&Value>) -> i64 {
        let now = if self.switches.whole_second_stamps { time::now() / 1000 * 1000 } else { time::now() };
        match before {
            Some(Value::DateTime(before)) if *before >= now && !self.switches.whole_second_stamps => before + 1,
            _ => now,
        }
    }

    /// Unique fields, then what the org's administrator has ordered.
    fn rules(&self, object: usize, values: &[Value], own: Option<Id>, change: Change) -> Result<()> {
        let definition = self.store.object(object);
        for (at, field) in definition.fields.iter().enumerate().filter(|(_, f)| f.unique) {
            if values[at].is_null() {
                continue;
            }
            if let Some(other) =
                matches(self.store, object, at, &values[at]).iter().map(Row::id).find(|id| Some(*id) != own)
            {
                let message =
                    format!("duplicate value found: {} duplicates value on record with id: {other}", field.name);
                return Err(ApiError::bad("DUPLICATE_VALUE", message));
            }
        }
        let get = |name: &str| definition.field(name).map_or(&Value::Null, |at| &values[at]);
        match definition.name.as_str() {
            "Opportunity" if matches!(get("Amount"), Value::Number(n) if n.is_negative()) => {
                return Err(ApiError::bad("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Amount must not be negative")
                    .on_field("Amount"));
            }
            "Lead" if get("Company").as_text() == Some("Trigger Error") => {
                let event = if change == Change::Create { "BeforeInsert" } else { "BeforeUpdate" };
                let message = format!(
                    "LeadTrigger: execution of {event} caused by: System.NullPointerException: Attempt to de-reference a null object"
                );
                return Err(ApiError::bad("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message));
            }
            "Contact" if self.switches.duplicate_rule && !self.allow_duplicates => {
                if let Some(email) = get("Email").as_text() {
                    self.no_duplicate(object, email, own)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn no_duplicate(&self, object: usize, email: &str, own: Option<Id>) -> Result<()> {
        let Some(at) = self.store.object(object).field("Email") else { return Ok(()) };
        let wanted = fold(email);
        let same = |row: &Row<'_>| row.value(at).as_text().is_some_and(|e| fold(e) == wanted) && Some(row.id()) != own;
        let Some(other) = self.store.scan(object, false).find(same) else { return Ok(()) };
        let message = "Use one of these records?";
        let extra = json!({
            "allowSave": true,
            "duplicateRule": "Standard_Contact_Duplicate_Rule",
            "duplicateRuleEntityType": "Contact",
            "errorMessage": message,
            "matchResults": [{
                "entityType": "Contact",
                "matchEngine": "FuzzyMatchEngine",
                "matchRecords": [{
                    "additionalInformation": [],
                    "fieldDiffs": [],
                    "matchConfidence": 100.0,
                    "record": { "attributes": { "type": "Contact" }, "Id": other.id().as_str() },
                }],
                "rule": "Standard_Contact_Match_Rule",
                "size": 1,
                "success": true,
            }],
        });
        Err(ApiError {
            extra: Some(("duplicateResult", Box::new(extra))),
            ..ApiError::bad("DUPLICATES_DETECTED", message)
        })
    }

    /// An account or contact with an escalated case stays.
    fn deletable(&self, row: &Row<'_>) -> Result<()> {
        let definition = row.definition();
        let Some(cases) = self.store.schema.object("Case") else { return Ok(()) };
        let reference = match definition.name.as_str() {
            "Account" => "AccountId",
            "Contact" => "ContactId",
            _ => return Ok(()),
        };
        let Some(at) = self.store.object(cases).field(reference) else { return Ok(()) };
        let escalated: Vec<String> = matches(self.store, cases, at, &Value::Id(row.id()))
            .iter()
            .filter(|case| case.get("Status").as_text() == Some("Escalated"))
            .filter_map(|case| case.get("CaseNumber").as_text().map(str::to_owned))
            .collect();
        if escalated.is_empty() {
            return Ok(());
        }
        let name = row.get("Name").as_text().unwrap_or_default().to_owned();
        let message = format!(
            "Your attempt to delete {name} could not be completed because it is associated with the following cases.: {}",
            escalated.join(", ")
        );
        Err(ApiError::bad("DELETE_FAILED", message))
    }

    /// Records that refer to a deleted one: those that belong to it go too, the others lose the reference.
    fn release(&mut self, object: usize, id: Id) -> Result<()> {
        let schema = self.store.schema.clone();
        let name = schema.objects[object].name.as_str();
        for (child, definition) in schema.objects.iter().enumerate() {
            for (at, field) in definition.fields.iter().enumerate().filter(|(_, f)| f.references.contains(&name)) {
                let found: Vec<(u32, Id)> =
                    matches(self.store, child, at, &Value::Id(id)).iter().map(|row| (row.index, row.id())).collect();
                for (index, child_id) in found {
                    if field.cascade {
                        self.delete(child, child_id)?;
                    } else if let Some(row) = self.store.row(child, index) {
                        let mut values = row.values();
                        values[at] = Value::Null;
                        self.store.put(child, index, values);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Writes down when a record was changed, as far as the object tells it.
fn stamp(definition: &Object, values: &mut [Value], now: i64) {
    for at in [definition.modified, definition.stamp].into_iter().flatten() {
        values[at] = Value::DateTime(now);
    }
}

fn read_only(object: &Object) -> ApiError {
    ApiError::bad("INSUFFICIENT_ACCESS_OR_READONLY", format!("entity is read-only: {}", object.name))
}

impl Salesforce {
    /// What no client of the API does itself, to the record with this id. False if there is none.
    pub fn behind_the_scenes(&self, id: &str, run: impl FnOnce(&mut Writer<'_>, usize, u32)) -> bool {
        let (_turn, switches) = (crate::lock(&self.writing), self.switches());
        let mut store = self.store_mut();
        let Some((object, index)) = Id::parse(id).and_then(|id| store.by_id(id)).map(|row| (row.object, row.index))
        else {
            return false;
        };
        run(&mut Writer { store: &mut store, switches: &switches, allow_duplicates: true }, object, index);
        store.commit();
        true
    }

    /// Runs one write; on failure nothing of it stays.
    pub fn write<T>(
        &self,
        switches: &Switches,
        allow_duplicates: bool,
        run: impl FnOnce(&mut Writer<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut store = self.store_mut();
        let savepoint = store.savepoint();
        let result = run(&mut Writer { store: &mut store, switches, allow_duplicates });
        if result.is_err() {
            store.roll_back(savepoint);
        }
        result
    }
}
