//! Planning a scan: what is asked of the API, what Postgres tests, what it costs. Nothing is sent.
//!
//! The one rule that everything rests on is [`Relation::all_exact`]: LIMIT goes to the API only if the API
//! decides every condition exactly as Postgres would.
//! <https://www.postgresql.org/docs/current/fdw-planning.html>

use pgrx::pg_sys;

use super::catalog::{self, Table};
use super::lower::Lowering;
use super::modify_plan::instead_of_row;
use super::node::Node;
use super::planner::{Rel, Restriction, WonPath};
use super::scan_plan::ScanPlan;
use super::settings;
use super::version::Estimate;
use crate::connector;
use crate::error::{Error, Kind, Result};
use crate::query::ask::{Access, Ask, Read};
use crate::query::predicate::{Operand, Predicate};
use crate::query::push::Support;

/// What one request costs, in the planner's units: as much as some thousand records, yet little enough that
/// a scan of some hundred pages does not set off JIT compilation (`jit_above_cost`).
const REQUEST_COST: f64 = 500.0;
/// What it costs to transfer and decode one record.
const RECORD_COST: f64 = 0.1;
/// What LIMIT saves beyond what estimates tell: with it the API cannot send more, without it it may.
const LIMIT_DISCOUNT: f64 = 0.9;
/// Rows of an object of which nothing is known.
const DEFAULT_ROWS: f64 = 1_000.0;

/// A foreign table in a query being planned. Hangs on its `RelOptInfo`.
pub struct Relation<'p> {
    table: Table,
    clauses: Vec<Clause<'p>>,
    /// The expressions that [`Operand::Arg`] counts.
    args: Vec<Node<'p>>,
    access: Access,
    /// Records that the API sends.
    records: f64,
}

/// One condition of the query on this table, and how well the API says it.
struct Clause<'p> {
    restriction: Restriction<'p>,
    support: Support,
}

/// How Postgres is to make the scan.
pub struct Plan<'p> {
    /// Tested on every row here.
    pub local: Vec<Node<'p>>,
    /// Decided by the API; tested again only when Postgres checks a row anew.
    pub recheck: Vec<Node<'p>>,
    pub args: Vec<Node<'p>>,
    pub scan: ScanPlan,
}

/// Estimates rows, and decides what is pushed.
pub fn rel_size(rel: Rel<'_>, table: pg_sys::Oid) -> Result<()> {
    let mut relation = Relation::new(rel, table)?;
    let told = relation.table.object.estimated_rows;
    rel.estimate_size(told.map_or(DEFAULT_ROWS, |rows| rows as f64));
    let pushed = relation.clauses.iter().filter(|clause| clause.support != Support::Unsupported);
    let selectivity = rel.selectivity(pushed.map(|clause| clause.restriction));
    relation.records = (rel.tuples() * selectivity).ceil().max(1.0);
    rel.keep(relation);
    Ok(())
}

/// Offers the ways to read the table.
pub fn paths(rel: Rel<'_>, relation: &Relation) {
    let (first, all) = relation.cost(relation.records);
    let (once, per_row) = rel.local_cost();
    let total = once + all + per_row * relation.records;
    rel.offer(Estimate { rows: rel.rows(), startup: once + first, total });
}

/// Offers to let the API apply LIMIT, where that gives the same rows.
pub fn final_path<'p>(rel: Rel<'p>, relation: &Relation<'p>, output: Rel<'p>, wanted: &pg_sys::FinalPathExtraData) {
    if !settings::pushdown() || !relation.all_exact() || !relation.access.limit {
        return;
    }
    let Some(limit) = rel.plain_limit(wanted) else { return };
    if Lowering::new(rel, &relation.table).limit(limit).is_none() {
        return;
    }
    // What the planner assumes where LIMIT is not known yet: a tenth.
    let rows = match wanted.limit_tuples {
        known if known >= 0.0 => known.min(rel.rows()),
        _ => (rel.rows() * 0.1).ceil(),
    };
    let rows = rows.max(1.0);
    let (first, all) = relation.cost(rows);
    let (_, per_row) = rel.local_cost();
    let (startup, total) = (first * LIMIT_DISCOUNT, (all + rows * per_row) * LIMIT_DISCOUNT);
    rel.offer_final(output, Estimate { rows, startup, total }, limit);
}

/// Makes the plan of the path that won.
pub fn plan<'p>(
    rel: Rel<'p>,
    relation: &Relation<'p>,
    path: &WonPath<'p>,
    restrictions: &[Restriction<'p>],
) -> Plan<'p> {
    let (mut local, mut recheck) = (Vec::new(), Vec::new());
    for restriction in restrictions.iter().filter(|restriction| !restriction.is_gate()) {
        let clause = relation.clauses.iter().find(|clause| clause.restriction == *restriction);
        match clause.map(|clause| clause.support) {
            Some(Support::Exact) => recheck.extend(restriction.condition()),
            _ => local.extend(restriction.condition()),
        }
    }
    let needed = [rel.target(), path.target(), local.clone()].concat();
    let needed = fields(rel, &relation.table, &needed);

    let mut lowering = Lowering::new(rel, &relation.table);
    lowering.args.clone_from(&relation.args);
    let limit = path.limit().and_then(|limit| lowering.limit(limit));
    let args = lowering.args;
    let attributes = needed.iter().map(|(attribute, _)| *attribute).collect();
    Plan { local, recheck, args, scan: ScanPlan { read: relation.read(&needed, limit), attributes } }
}

impl<'p> Relation<'p> {
    fn new(rel: Rel<'p>, table: pg_sys::Oid) -> Result<Self> {
        let table = Table::read(table)?;
        let connector = connector::open(&catalog::server(table.server)?)?;
        let restrictions = rel.restrictions();
        let mut lowering = Lowering::new(rel, &table);
        let mut lower = |restriction: &Restriction<'p>| match restriction.condition() {
            Some(condition) if settings::pushdown() && !restriction.is_gate() => lowering.condition(condition),
            _ => Predicate::Opaque,
        };
        let clauses: Vec<_> = restrictions.iter().map(&mut lower).collect();
        let args = lowering.args;

        let conditions = restrictions.iter().filter_map(|restriction| restriction.condition());
        let needed: Vec<_> = rel.target().into_iter().chain(conditions).collect();
        let needed = fields(rel, &table, &needed);
        let fields = needed.iter().map(|(_, field)| table.object.fields[*field].clone()).collect();
        let access = connector.accesses(&table.object, &Ask { fields, clauses }).into_iter().next();
        let mut access = access.filter(|access| access.covers.len() == restrictions.len()).ok_or_else(|| {
            Error::new(Kind::Internal, format!("{} offers no access to \"{}\"", connector.title(), table.name))
        })?;
        // Only what is pushed is evaluated before the first row.
        let mut pushed = Vec::new();
        for (_, predicate) in &mut access.covers {
            predicate.operands_mut(&mut |operand| {
                if let Operand::Arg(at) = operand {
                    pushed.push(args[*at]);
                    *at = pushed.len() - 1;
                }
            });
        }
        let args = pushed;
        let covers = access.covers.iter();
        let clauses = restrictions.into_iter().zip(covers);
        let clauses = clauses.map(|(restriction, (support, _))| Clause { restriction, support: *support }).collect();
        Ok(Relation { table, clauses, args, access, records: 0.0 })
    }

    /// Whether the API decides every condition exactly.
    fn all_exact(&self) -> bool {
        self.clauses.iter().all(|clause| clause.support == Support::Exact)
    }

    /// What reading this many records costs: until the first, and in all.
    fn cost(&self, records: f64) -> (f64, f64) {
        let page = f64::from(self.access.page_rows.max(1));
        let first = REQUEST_COST + RECORD_COST * records.min(page);
        let more = (records / page).ceil().max(1.0) - 1.0;
        (first, first + more * REQUEST_COST + RECORD_COST * (records - page).max(0.0))
    }

    fn read(&self, needed: &[(i16, usize)], limit: Option<Operand>) -> Read {
        let object = &self.table.object;
        let pushed = self.access.covers.iter().filter(|(support, _)| *support != Support::Unsupported);
        Read {
            object: object.name.clone(),
            fields: needed.iter().map(|(_, field)| object.fields[*field].clone()).collect(),
            filter: pushed.map(|(_, predicate)| predicate.clone()).collect(),
            limit,
            wire: self.access.wire.clone(),
        }
    }
}

/// The attributes that expressions name, and the fields they show; all of them for a whole row.
fn fields<'p>(rel: Rel<'p>, table: &Table, expressions: &[Node<'p>]) -> Vec<(i16, usize)> {
    let mut named = rel.attributes(expressions);
    if named.contains(&0)
        && let Some(needed) = instead_of_row(rel, table)
    {
        named.remove(&0);
        named.extend(needed);
    }
    let columns = table.columns().iter();
    columns
        .filter(|column| named.contains(&0) || named.contains(&column.attribute.into()))
        .map(|column| (column.attribute, column.field))
        .collect()
}
