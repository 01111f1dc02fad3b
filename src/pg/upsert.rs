//! `sequin.upsert`: records as JSON, in batches, inserted or updated by a field of theirs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pgrx::pg_sys;
use serde_json::value::RawValue;

use super::catalog::{self, Column, Table};
use super::datum::Encoder;
use super::error::Trail;
use super::write::{Now, Writer};
use crate::error::{Error, Kind, Result, nearest};
use crate::heap;
use crate::number::Number;
use crate::query::change::{Change, Op, Write};
use crate::schema::Field;
use crate::value::Type;

/// Inserts or updates records, given as a JSON array of objects whose members are columns. What became of each, in
/// order.
pub fn upsert(target: pg_sys::Oid, key: &str, records: &str) -> Result<Vec<Option<Now>>> {
    catalog::forbid_in_read_only("sequin.upsert()");
    let privileges = [pg_sys::ACL_INSERT, pg_sys::ACL_UPDATE].map(|privilege| privilege as pg_sys::AclMode);
    let table = catalog::open_for_writing(target, &privileges)?;
    upsert_into(&table, key, records).map_err(|error| table.locate(error))
}

fn upsert_into(table: &Table, key: &str, records: &str) -> Result<Vec<Option<Now>>> {
    check(table)?;
    let given = Given::read(table, column(table, key)?, records)?;
    let fields = given.columns.iter().map(|column| table.object.fields[column.field].clone()).collect();
    let mut write = Write::new(&table.object.name, Op::Upsert, fields);
    write.by = Some(0);
    // SAFETY: reads the backend's current user.
    let user = unsafe { pg_sys::GetUserId() };
    let mut writer = Writer::open(table, user, write, &[], Arc::default())?;
    let changes = given.changes(table, &writer)?;
    writer.send_all(changes)
}

/// Whether the table can be upserted into, and no trigger would be passed by.
fn check(table: &Table) -> Result<()> {
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
    Ok(())
}

/// Records as they were given.
struct Given<'a> {
    /// The columns that any of them names; the one that records are found by is the first.
    columns: Vec<&'a Column>,
    /// For each record its members, by place in `columns`.
    rows: Vec<Vec<(usize, &'a RawValue)>>,
}

impl<'a> Given<'a> {
    fn read(table: &'a Table, by: &'a Column, records: &'a str) -> Result<Self> {
        // Of each record a map of its members is made.
        let _aside = heap::set_aside(heap::to_read(records.as_bytes()).saturating_mul(4))?;
        let records: Vec<BTreeMap<String, &RawValue>> = serde_json::from_str(records).map_err(|_| {
            Error::new(Kind::Malformed, "the records must be a JSON array of objects")
                .hint("[{\"last_name\": \"Lovelace\", …}, …]: the members are columns of the table.")
        })?;
        let mut given = Given { columns: vec![by], rows: Vec::with_capacity(records.len()) };
        for record in records {
            let mut row = Vec::with_capacity(record.len());
            for (name, json) in record {
                let column = column(table, &name)?;
                let known = given.columns.iter().position(|known| known.attribute == column.attribute);
                row.push((known.unwrap_or(given.columns.len()), json));
                if known.is_none() {
                    given.columns.push(column);
                }
            }
            row.sort_by_key(|(at, _)| *at);
            given.rows.push(row);
        }
        Ok(given)
    }

    /// The changes that they ask for. Errors: 21000 if two have the same key.
    fn changes(self, table: &Table, writer: &Writer) -> Result<Vec<Change>> {
        let columns = &self.columns;
        let mut encoders: Vec<_> =
            columns.iter().map(|column| Encoder::new(column.type_oid, column.modifier)).collect();
        let mut trail = Trail::new(&table.schema, &table.name, columns.iter().map(|column| column.name.as_str()));
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut changes = Vec::with_capacity(self.rows.len());
        for (number, row) in self.rows.into_iter().enumerate() {
            let mut change = Change::default();
            for (at, json) in row {
                trail.enter(at);
                change.cells.push((at, encoders[at].read_json(json.get(), columns[at].type_oid)?));
                trail.leave();
            }
            let change = writer.write.upserted(change).map_err(|error| writer.misfit(error, number))?;
            let by = &writer.write.fields[0];
            let folded = fold(by, &change.key);
            if let Some(before) = (!folded.is_empty()).then(|| seen.insert(folded, number)).flatten() {
                let message =
                    format!("the records {} and {} have the same \"{}\"", before + 1, number + 1, columns[0].name);
                return Err(Error::new(Kind::SeveralRecords, message)
                    .hint("Give each record once; what differs by case only, in calls of its own.")
                    .column(&by.name));
            }
            changes.push(change);
        }
        Ok(changes)
    }
}

/// What is the same for keys that the API may take for the same.
fn fold(by: &Field, key: &str) -> String {
    match (by.ty, Number::parse(key)) {
        (Type::Decimal | Type::Int | Type::Float, Some(number)) => format!("{number:?}"),
        // Ids are told apart by case.
        _ if by.key => key.to_owned(),
        _ => key.to_lowercase(),
    }
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
