//! Direct modification: an UPDATE to values that are the same for all rows, or a DELETE, of the records that the API
//! itself finds. Rows need not pass through the executor: what is read goes straight into batches of changes.
//! <https://www.postgresql.org/docs/current/fdw-callbacks.html#FDW-CALLBACKS-UPDATE>

use std::collections::HashSet;

use pgrx::pg_sys;
use serde::{Deserialize, Serialize};

use super::catalog::Table;
use super::datum::{Decoder, Encoder};
use super::executor::{Expression, ScanNode};
use super::modify_planner::{DirectTarget, Modification};
use super::node::Node;
use super::plan_text;
use super::planner::Rel;
use super::scan::Scan;
use super::scan_plan::ScanPlan;
use super::write::{Todo, Writer};
use crate::error::{Error, Kind, Result};
use crate::http::meter::Counts;
use crate::query::change::{Change, Op, Write};
use crate::schema::Field;
use crate::value::Value;

/// A direct modification as the plan carries it.
#[derive(Serialize, Deserialize)]
pub struct DirectPlan {
    pub op: Op,
    pub scan: ScanPlan,
    /// Where the key stands among the fields that are read.
    key: usize,
    /// For each field that is set: where it stands among those that are read.
    set: Vec<usize>,
    /// How many of the plan's expressions belong to the scan; those after them are the new values.
    operands: usize,
    /// Whether the command tag counts its records.
    counted: bool,
}

impl DirectPlan {
    pub fn of(node: ScanNode<'_>) -> Result<DirectPlan> {
        // SAFETY: the planner made the list so.
        unsafe { plan_text::from_list(node.private()) }
    }
}

/// Makes the scan below a modification modify by itself, if it can. False if rows must go through the executor.
pub fn plan(
    modification: Modification<'_>,
    rel: Rel<'_>,
    target: DirectTarget<'_>,
    table: pg_sys::Oid,
) -> Result<bool> {
    let op = match modification.op_on(rel.number()) {
        Some(op @ (Op::Update | Op::Delete)) if !modification.returns() && !modification.sets_by_row() => op,
        _ => return Ok(false),
    };
    // SAFETY: `get_foreign_plan` made the list, as it does for every scan.
    let scan: ScanPlan = unsafe { plan_text::from_list(target.private()) }?;
    let table = Table::read(table)?;
    let read = |attribute: i16| scan.cell_of(attribute);
    let Some(key) = table.key().and_then(|key| read(key.attribute)) else { return Ok(false) };
    let (set, values) = if op == Op::Update { modification.assignments() } else { (Vec::new(), Vec::new()) };
    let set: Option<Vec<usize>> = set.into_iter().map(read).collect();
    let known = |value: &Node<'_>| rel.known_at_execution(*value);
    let Some(set) = set.filter(|set| set.len() == values.len() && values.iter().all(known)) else { return Ok(false) };
    let operands = target.expressions().len();
    let plan = DirectPlan { op, scan, key, set, operands, counted: target.is_counted() };
    target.modify(plan_text::to_list(&plan)?, &values);
    Ok(true)
}

/// A direct modification in execution.
pub struct Direct {
    op: Op,
    key: usize,
    set: Vec<Set>,
    counted: bool,
    values: Vec<Expression>,
    scan: Scan,
    done: bool,
}

/// A field that is set.
struct Set {
    /// Where it stands among the fields that are read.
    place: usize,
    encoder: Encoder,
    decoder: Decoder,
}

impl Set {
    /// A cell as the column would show it: only so can it be compared with the column's new value.
    fn shown(&mut self, cell: &Value) -> Result<Value> {
        let datum = self.encoder.encode(cell)?;
        // SAFETY: the encoder made it, of the same type.
        Ok(unsafe { self.decoder.decode(datum.unwrap_or(pg_sys::Datum::from(0)), datum.is_none()) })
    }
}

impl Direct {
    /// Prepares it. Sends nothing and needs no credentials.
    pub fn new(node: ScanNode<'_>) -> Result<Direct> {
        let DirectPlan { op, scan, key, set, operands, counted } = DirectPlan::of(node)?;
        let mut operands_and_values = node.expressions();
        let values = operands_and_values.split_off(operands.min(operands_and_values.len()));
        let attributes: Vec<i16> = set.iter().map(|cell| scan.outputs[*cell].place).collect();
        let scan = Scan::of(scan, operands_and_values, node, 0)?;
        let set = set.into_iter().zip(attributes).filter_map(|(place, attribute)| {
            let column = scan.table().column(attribute)?;
            let (encoder, decoder) = (Encoder::new(column.type_oid, column.modifier), Decoder::new(column.type_oid));
            Some(Set { place, encoder, decoder })
        });
        let set = set.collect();
        Ok(Direct { op, key, set, counted, values, scan, done: false })
    }

    /// Changes all records. How many were changed, if the command tag is to count them.
    pub fn run(&mut self, node: ScanNode<'_>) -> Result<u64> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(0);
        }
        let changed = self.change_all(node).map_err(|error| self.scan.table().locate(error))?;
        Ok(if self.counted { changed } else { 0 })
    }

    fn change_all(&mut self, node: ScanNode<'_>) -> Result<u64> {
        // Evaluated only if there is a record to be set, as a local table's would be.
        let mut after: Option<Vec<Value>> = None;
        let (table, fields) = (self.scan.table(), self.scan.fields());
        let set = self.set.iter().map(|set| fields[set.place].clone()).collect();
        let write = Write::new(&table.object.name, self.op, set);
        let mut writer = Writer::open(table, node.user(), write, &[], self.scan.meter())?;
        let limits = writer.limits;
        let mut seen = HashSet::new();
        let (mut batch, mut bytes, mut changed) = (Vec::new(), 0, 0);
        // Those that wait until everything is read, where writing would move what is not read yet.
        let mut waiting = Vec::new();
        loop {
            let record = self.scan.record(node).map_err(|error| writer.before(error))?;
            let ended = record.is_none();
            let ahead = waiting.iter().map(Vec::len).sum::<usize>() + batch.len();
            if let Some(record) = record {
                let Value::Text(key) = &record[self.key] else {
                    let error = Error::new(Kind::Unreadable, "the API sent a record without its key");
                    return Err(writer.misfit(error, ahead));
                };
                let todo = if !seen.insert(key.clone()) {
                    Todo::Again
                } else if self.op == Op::Delete {
                    Todo::Change(Change { key: key.clone(), cells: Vec::new() })
                } else {
                    let set = self.set.iter_mut();
                    let before: Result<Vec<_>> =
                        node.for_this_row(|| set.map(|set| set.shown(&record[set.place])).collect());
                    let before = before.map_err(|error| writer.misfit(error, ahead))?;
                    let after = after.get_or_insert_with(|| self.values.iter().map(|value| node.cell(value)).collect());
                    let cells = before.into_iter().zip(after.iter()).enumerate();
                    let cells = cells.map(|(at, (before, after))| (at, before, after.clone()));
                    let same = |field: &Field, one: &Value, other: &Value| writer.same(field, one, other);
                    let change = writer.write.changed(key, cells, same);
                    change
                        .map_err(|error| writer.misfit(error, ahead))?
                        .map_or(Todo::Nothing(key.clone()), Todo::Change)
                };
                bytes += todo.weight();
                batch.push(todo);
            }
            if !batch.is_empty() && (ended || batch.len() >= limits.records || bytes >= limits.bytes) {
                waiting.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            if ended || writer.stable_paging() {
                for batch in waiting.drain(..) {
                    changed += writer.send(batch)?.iter().flatten().count() as u64;
                }
            }
            if ended {
                return Ok(changed);
            }
        }
    }

    /// What it has cost so far.
    pub fn counts(&self) -> Counts {
        self.scan.counts()
    }

    pub fn end(&mut self) {
        self.scan.end();
    }
}
