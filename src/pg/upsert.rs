//! `sequin.upsert`: records as JSON, in batches, inserted or updated by a field of theirs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pgrx::pg_sys;
use serde_json::value::RawValue;

use super::catalog::{self, Column, Table};
use super::datum::Encoder;
use super::error::Trail;
use super::write::{Now, Todo, Writer};
use crate::error::{Error, Kind, Result, nearest};
use crate::number::Number;
use crate::query::change::{Change, Op, Write};

/// Inserts or updates records, given as a JSON array of objects whose members are columns. What became of each, in
/// order.
pub fn upsert(target: pg_sys::Oid, key: &str, records: &str) -> Result<Vec<Option<Now>>> {
    catalog::forbid_in_read_only("sequin.upsert()");
    let privileges = [pg_sys::ACL_INSERT, pg_sys::ACL_UPDATE].map(|privilege| privilege as pg_sys::AclMode);
    let table = catalog::open_for_writing(target, &privileges)?;
    upsert_into(&table, key, records).map_err(|error| table.locate(error))
}

fn upsert_into(table: &Table, key: &str, records: &str) -> Result<Vec<Option<Now>>> {
    let operations = table.object.operations;
    if !operations.insert || !operations.update {
        let message = format!("foreign table \"{}\" does not allow inserts and updates", table.name);
        return Err(Error::new(Kind::NotSupported, message)
            .hint("The table's option \"operations\" says what may be written: insert, update."));
    }
    let fires = |op| table.triggers.before(op) || table.triggers.after(op);
    if fires(Op::Insert) || fires(Op::Update) {
        let message = format!("foreign table \"{}\" has row triggers, which an upsert would pass by", table.name);
        return Err(Error::new(Kind::NotSupported, message)
            .hint("Write by INSERT and UPDATE, or use a foreign table without triggers."));
    }
    let by = column(table, key)?;
    let records: Vec<BTreeMap<String, &RawValue>> = serde_json::from_str(records).map_err(|_| {
        Error::new(Kind::Malformed, "the records must be a JSON array of objects")
            .hint("[{\"last_name\": \"Lovelace\", …}, …]: the members are columns of the table.")
    })?;
    // Fields as they are met; the one that records are found by is always the first.
    let mut columns = vec![by];
    let mut rows = Vec::with_capacity(records.len());
    for record in &records {
        let mut row = Vec::with_capacity(record.len());
        for (name, json) in record {
            let column = column(table, name)?;
            let known = columns.iter().position(|known| known.attribute == column.attribute);
            let at = known.unwrap_or_else(|| {
                columns.push(column);
                columns.len() - 1
            });
            row.push((at, *json));
        }
        row.sort_by_key(|(at, _)| *at);
        rows.push(row);
    }
    let fields = columns.iter().map(|column| table.object.fields[column.field].clone()).collect();
    let mut write = Write::new(&table.object.name, Op::Upsert, fields);
    write.by = Some(0);
    // SAFETY: reads the backend's current user.
    let user = unsafe { pg_sys::GetUserId() };
    let mut writer = Writer::open(table, user, write, Vec::new(), Arc::default())?;
    let mut encoders: Vec<_> = columns.iter().map(|column| Encoder::new(column.type_oid, column.modifier)).collect();
    let mut trail = Trail::new(&table.schema, &table.name, columns.iter().map(|column| column.name.as_str()));
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut changes = Vec::with_capacity(rows.len());
    for (number, row) in rows.into_iter().enumerate() {
        let mut change = Change::default();
        for (at, json) in row {
            trail.enter();
            trail.at(at);
            let cell = encoders[at].read_json(json.get(), columns[at].type_oid)?;
            trail.leave();
            change.cells.push((at, cell));
        }
        let changed = writer.write.upserted(change).map_err(|error| writer.misfit(error, number))?;
        // The API may take keys that differ by case for the same.
        let folded = match Number::parse(&changed.key) {
            Some(number) => format!("{number:?}"),
            None => changed.key.to_lowercase(),
        };
        if let Some(before) = (!folded.is_empty()).then(|| seen.insert(folded, number)).flatten() {
            let message = format!("the records {} and {} have the same \"{key}\"", before + 1, number + 1);
            return Err(Error::new(Kind::SeveralRecords, message)
                .hint("Give each record once; what differs by case only, in calls of its own.")
                .column(&writer.write.fields[0].name));
        }
        changes.push(changed);
    }
    let limits = writer.limits;
    let mut done = Vec::with_capacity(changes.len());
    let mut batch = Vec::new();
    let mut bytes = 0;
    for change in changes {
        bytes += change.weight();
        batch.push(Todo::Change(change));
        if batch.len() >= limits.records || bytes >= limits.bytes {
            done.extend(writer.send(std::mem::take(&mut batch))?);
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        done.extend(writer.send(batch)?);
    }
    Ok(done)
}

fn column<'t>(table: &'t Table, name: &str) -> Result<&'t Column> {
    let columns = table.columns().iter();
    columns.clone().find(|column| column.name == name).ok_or_else(|| {
        let error = Error::new(Kind::UnknownField, format!("\"{}\" has no column \"{name}\"", table.name));
        match nearest(name, columns.map(|column| column.name.as_str())) {
            Some(near) => error.hint(format!("Perhaps you mean \"{near}\".")),
            None => error,
        }
    })
}
