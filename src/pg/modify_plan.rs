//! Planning a modification: what each row must bring along, and what goes to the API. Nothing is sent.
//! <https://www.postgresql.org/docs/current/fdw-callbacks.html#FDW-CALLBACKS-UPDATE>

use std::collections::BTreeSet;
use std::ffi::CString;

use pgrx::pg_sys;
use serde::{Deserialize, Serialize};

use super::catalog::{Column, Table};
use super::modify_planner::{Modification, ModifyPlanNode};
use super::planner::Rel;
use crate::error::{Error, Kind, Result};
use crate::query::change::Op;

/// The name under which core hands over the row that is to be changed.
pub const OLD_ROW: &str = "wholerow";

/// A modification as the plan carries it.
#[derive(Clone, Serialize, Deserialize)]
pub struct ModifyPlan {
    pub op: Op,
    /// The attributes that the statement gives a value.
    pub given: Vec<i16>,
    /// Those of them whose NULL stands for DEFAULT.
    pub defaulted: Vec<i16>,
    /// The attributes that are wanted of the record as the API has it afterwards.
    pub returning: Vec<i16>,
    /// Whether the statement returns rows.
    pub returns: bool,
    /// Whether rows are read ahead and sent in batches.
    pub batched: bool,
    /// Whether other attributes too may have got a value on the way, by a trigger or a generated column.
    pub touched: bool,
    /// Whether a record that is there already is passed over.
    pub skip_duplicates: bool,
}

impl ModifyPlan {
    /// Whether anybody wants to see a row once it is sent.
    pub fn looks_at_rows(&self) -> bool {
        self.op != Op::Insert || self.returns || !self.returning.is_empty()
    }
}

/// The name under which the key of the row that is to be changed is handed over. It says where the key stands, since
/// tables of one inheritance tree share names.
pub fn key_name(key: &Column) -> String {
    format!("sequin_key_{}_{}", key.attribute, key.type_oid.to_u32())
}

/// Asks for what tells which record a row is, and for a DELETE that returns rows, the row. 0A000 without a key.
pub fn row_identity(modification: Modification<'_>, relation: u32, table: pg_sys::Oid) -> Result<()> {
    let table = Table::read(table)?;
    let key = table.key().ok_or_else(|| {
        let message = format!("foreign table \"{}\" has no key, so its rows cannot be changed", table.name);
        Error::new(Kind::NotSupported, message)
            .hint(
                "ALTER FOREIGN TABLE … ALTER COLUMN … OPTIONS (ADD key 'true') names the column with the record's id.",
            )
            .table(&table.schema, &table.name)
    })?;
    modification.ask(relation, key.attribute, (key.type_oid, key.modifier, key.collation), &key_name(key));
    if modification.op() == Some(Op::Delete) && modification.returns() {
        modification.ask(relation, 0, (pg_sys::RECORDOID, -1, pg_sys::InvalidOid), OLD_ROW);
    }
    Ok(())
}

/// The attributes that do for the row that core asks for when rows are changed or locked. `None` if all of it is needed:
/// for triggers, generated columns, a view's conditions, or because the query names it.
pub fn instead_of_row(rel: Rel<'_>, table: &Table) -> Option<BTreeSet<i32>> {
    let modification = Modification::of(rel);
    let conditions = rel.restrictions().into_iter().chain(rel.join_conditions());
    let conditions: Vec<_> = conditions.filter_map(|restriction| restriction.condition()).collect();
    let tested = rel.attributes(&conditions);
    if modification.tested(rel.number()).contains(&0) || tested.contains(&0) {
        return None;
    }
    let Some(op) = modification.op_on(rel.number()) else {
        // What the API has tested is tested again here in a check anew.
        return rel.row_is_kept_for_checks().then_some(tested);
    };
    let fires = table.triggers.before(op) || table.triggers.after(op);
    if fires || table.computes || modification.checks() {
        return None;
    }
    let mut needed = modification.used(rel.number());
    needed.extend(modification.returned_before(rel.number(), op));
    if op == Op::Update {
        needed.extend(modification.set().into_iter().map(i32::from));
    }
    (!needed.contains(&0)).then_some(needed)
}

/// Plans what is done to the n-th target of a modification.
pub fn plan(
    modification: Modification<'_>,
    node: ModifyPlanNode<'_>,
    relation: u32,
    target: i32,
    table: pg_sys::Oid,
) -> Result<ModifyPlan> {
    let table = Table::read(table)?;
    let op = node.op().ok_or_else(|| {
        Error::new(Kind::NotSupported, "foreign tables can be changed by INSERT, UPDATE and DELETE only")
    })?;
    let given = match op {
        Op::Insert => modification.given(),
        Op::Update => node.set(target),
        _ => Vec::new(),
    };
    let touched = table.computes || table.triggers.before(op);
    let everything = node.checks() || table.triggers.after(op);
    Ok(ModifyPlan {
        op,
        given,
        defaulted: if op == Op::Insert { modification.defaulted() } else { Vec::new() },
        returns: node.returns(),
        returning: returning(&table, op, everything, &node.returned_after(target, relation, op)),
        batched: node.has_one_target() && !touched && !node.checks(),
        touched,
        skip_duplicates: node.skips_conflicts(),
    })
}

/// What is wanted of the record afterwards. A deleted one is as it was.
pub fn returning(table: &Table, op: Op, everything: bool, named: &BTreeSet<i32>) -> Vec<i16> {
    if op == Op::Delete {
        return Vec::new();
    }
    let attributes = table.columns().iter().map(|column| column.attribute);
    attributes.filter(|at| everything || named.contains(&0) || named.contains(&i32::from(*at))).collect()
}

/// As the executor looks names up.
pub fn c_name(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}
