//! Planning a scan: what is asked of the API, what Postgres tests, what it costs. Nothing is sent.
//!
//! The one rule that everything rests on is [`Way::all_exact`]: LIMIT goes to the API only if the API
//! decides every condition exactly as Postgres would.
//! <https://www.postgresql.org/docs/current/fdw-planning.html>

use pgrx::pg_sys;

use super::catalog::{self, Table};
use super::lower::Lowering;
use super::node::Node;
use super::planner::{Rel, Restriction, WonPath};
use super::scan_plan::{Output, ScanPlan};
use super::settings;
use super::source::{Shown, Source};
use super::supply;
use super::version::Estimate;
use crate::connector;
use crate::error::{Error, Kind, Result};
use crate::query::ask::{Access, Ask, Grouping, Read, SortKey};
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::query::push::Support;
use crate::schema::Field;

/// What one request costs, in the planner's units: as much as some thousand records, yet little enough that
/// a scan of some hundred pages does not set off JIT compilation (`jit_above_cost`).
const REQUEST_COST: f64 = 500.0;
/// What it costs to transfer and decode one record.
const RECORD_COST: f64 = 0.1;
/// What LIMIT saves beyond what estimates tell: with it the API cannot send more, without it it may.
const LIMIT_DISCOUNT: f64 = 0.9;
/// What an order costs that the API makes, so that it is asked for only where it is of use.
const ORDER_PENALTY: f64 = 1.02;
/// How many times the records that estimates tell of are fetched in one page for a reader who stops early.
const FORESIGHT: f64 = 2.0;
/// Rows of an object of which nothing is known.
const DEFAULT_ROWS: f64 = 1_000.0;

/// A foreign table in a query being planned.
pub struct Relation<'p> {
    pub source: Source,
    /// The conditions of the query on its records.
    pub restrictions: Vec<Restriction<'p>>,
    pub way: Way<'p>,
    /// The query's order, if the API can sort so.
    pub order: Option<Vec<SortKey>>,
}

/// One way to read it: with the query's conditions alone, or also with those that rows of other relations bring.
#[derive(Default)]
pub struct Way<'p> {
    clauses: Vec<Clause<'p>>,
    /// The expressions that [`Operand::Arg`] counts.
    pub args: Vec<Node<'p>>,
    pub access: Access,
    /// Records that the API sends.
    pub records: f64,
}

/// What is asked of a way besides the query's own conditions.
#[derive(Default)]
pub struct Wanted<'p> {
    /// Conditions that come with rows of other relations.
    pub joined: Vec<Restriction<'p>>,
    pub order: Vec<SortKey>,
    pub grouping: Option<Grouping>,
    /// What the operands of HAVING count.
    pub args: Vec<Node<'p>>,
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
    /// The columns of the scan's rows, where they are not the table's.
    pub columns: Vec<Node<'p>>,
}

/// Estimates rows, and decides what is pushed.
pub fn rel_size(rel: Rel<'_>, table: pg_sys::Oid) -> Result<Relation<'_>> {
    let at_hand = supply::rows(table);
    let table = Table::read(table)?;
    rel.estimate_size(table.object.estimated_rows.map_or(DEFAULT_ROWS, |rows| rows as f64));
    if let Some(rows) = at_hand {
        rel.expect_exactly(rows as f64);
    }
    let relation = Relation::new(rel, Source::new(rel.number(), table), rel.restrictions())?;
    if relation.way.finds_one() {
        rel.expect_at_most(1.0);
    }
    Ok(relation)
}

/// Offers the ways to read a table, or several along references.
pub fn paths<'p>(rel: Rel<'p>, relation: &Relation<'p>) -> Result<()> {
    let estimate = relation.way.estimate(rel, rel.rows());
    rel.offer(estimate, false);
    if relation.order.as_ref().is_some_and(|order| !order.is_empty()) {
        rel.offer(Estimate { total: estimate.total * ORDER_PENALTY, ..estimate }, true);
    }
    // Whether the API can be asked for the rows that go with one of another relation.
    let may = |restriction| {
        let way = Way::new(rel, relation, Wanted { joined: vec![restriction], ..Wanted::default() });
        way.is_ok_and(|way| way.clauses.last().is_some_and(|clause| clause.support != Support::Unsupported))
    };
    if !settings::pushdown() || rel.is_join() {
        return Ok(());
    }
    for outer in rel.joined_by(may) {
        let mut failed = Ok(());
        rel.offer_joined(&outer, |joined, rows| {
            match Way::new(rel, relation, Wanted { joined, ..Wanted::default() }) {
                Ok(way) => {
                    let rows = if way.finds_one() { 1.0 } else { rows };
                    (rows, way.estimate(rel, rows))
                }
                Err(error) => {
                    failed = Err(error);
                    (rows, estimate)
                }
            }
        });
        failed?;
    }
    Ok(())
}

/// Offers to let the API apply LIMIT, where that gives the same rows.
pub fn final_path<'p>(
    rel: Rel<'p>,
    relation: &Relation<'p>,
    ordered: bool,
    output: Rel<'p>,
    wanted: &pg_sys::FinalPathExtraData,
) {
    if !settings::pushdown() || !relation.way.all_exact() || !relation.way.access.limit {
        return;
    }
    let Some((limit, offset)) = rel.plain_limit(wanted, ordered) else { return };
    let mut lowering = Lowering::new(rel, &relation.source);
    if lowering.rows(limit).is_none() || offset.is_some_and(|offset| lowering.rows(offset).is_none()) {
        return;
    }
    // What the planner assumes where LIMIT is not known yet: a tenth.
    let rows = match wanted.limit_tuples {
        known if known >= 0.0 => known.min(rel.rows()),
        _ => (rel.rows() * 0.1).ceil(),
    };
    let rows = rows.max(1.0);
    let (first, all) = relation.way.cost(rows);
    let (_, per_row) = rel.local_cost();
    let (startup, total) = (first * LIMIT_DISCOUNT, (all + rows * per_row) * LIMIT_DISCOUNT);
    rel.offer_final(output, Estimate { rows, startup, total }, (limit, offset), wanted);
}

/// Makes the plan of the path that won.
pub fn plan<'p>(
    rel: Rel<'p>,
    relation: &Relation<'p>,
    path: &WonPath<'p>,
    restrictions: &[Restriction<'p>],
) -> Result<Plan<'p>> {
    let joined = path.joined_by();
    let own;
    let way = if joined.is_empty() {
        &relation.way
    } else {
        own = Way::new(rel, relation, Wanted { joined, ..Wanted::default() })?;
        &own
    };
    let (mut local, mut recheck) = (Vec::new(), Vec::new());
    // Those of a join are the scan's own to test.
    let restrictions = if rel.is_join() { relation.restrictions.as_slice() } else { restrictions };
    for restriction in restrictions.iter().filter(|restriction| !restriction.is_gate()) {
        let clause = way.clauses.iter().find(|clause| clause.restriction == *restriction);
        match clause.map(|clause| clause.support) {
            Some(Support::Exact) => recheck.extend(restriction.condition()),
            _ => local.extend(restriction.condition()),
        }
    }
    let needed = [rel.target(), path.target(), local.clone()].concat();
    let columns = if rel.is_join() { Rel::columns(&needed) } else { Vec::new() };
    let shown = if rel.is_join() { relation.shown(&columns) } else { relation.source.columns(rel, &needed) };

    let mut lowering = Lowering::new(rel, &relation.source);
    lowering.args.clone_from(&way.args);
    let (limit, offset) = path.rows();
    let limit = limit.and_then(|limit| lowering.rows(limit));
    let offset = offset.and_then(|offset| lowering.rows(offset));
    let args = lowering.args;
    let object = &relation.source.object;
    let few = if limit.is_none() { rel.few_rows(path.is_ordered()) } else { None };
    let read = Read {
        order: relation.order.clone().filter(|_| path.is_ordered()).unwrap_or_default(),
        limit,
        offset,
        expected: few.map(|rows| way.expected(rel, rows)),
        ..way.read(&object.name, shown.iter().map(|shown| object.fields[shown.field].clone()).collect())
    };
    let output = |(cell, shown): (usize, &Shown<'_>)| {
        let place = if rel.is_join() { i16::try_from(cell + 1).ok()? } else { shown.column.attribute };
        let (ty, modifier) = (shown.column.type_oid.to_u32(), shown.column.modifier);
        Some(Output { place, ty, modifier, cell, per: None })
    };
    let outputs = shown.iter().enumerate().filter_map(output).collect();
    let scan = ScanPlan { read, table: relation.source.table().oid.to_u32(), outputs };
    // Nothing is checked anew in a query that joins remotely: it locks no rows.
    let recheck = if rel.is_join() { Vec::new() } else { recheck };
    Ok(Plan { local, recheck, args, scan, columns })
}

impl<'p> Relation<'p> {
    /// A scan of `source` under conditions.
    pub fn new(rel: Rel<'p>, source: Source, restrictions: Vec<Restriction<'p>>) -> Result<Relation<'p>> {
        let lowering = Lowering::new(rel, &source);
        let key = |(column, descending, nulls_first)| {
            let field = lowering.sorted(column)?.clone();
            Some(SortKey { field, descending, nulls_first })
        };
        let order = rel.wanted_order().filter(|_| settings::pushdown());
        let order: Option<Vec<_>> = order.and_then(|keys| keys.into_iter().map(key).collect());
        let mut relation = Relation { source, restrictions, way: Way::default(), order };
        let order = relation.order.clone().unwrap_or_default();
        relation.way = Way::new(rel, &relation, Wanted { order, ..Wanted::default() })?;
        relation.order = relation.order.filter(|_| relation.way.access.order);
        Ok(relation)
    }

    /// What columns of a join show.
    fn shown(&self, columns: &[Node<'p>]) -> Vec<Shown<'_>> {
        columns.iter().filter_map(|column| self.source.shown_by(*column)).collect()
    }
}

impl<'p> Way<'p> {
    /// The way that the connector offers.
    pub fn new(rel: Rel<'p>, relation: &Relation<'p>, wanted: Wanted<'p>) -> Result<Self> {
        let Wanted { joined, order, grouping, args } = wanted;
        let source = &relation.source;
        let connector = connector::open(&catalog::server(source.table().server)?)?;
        let mut lowering = Lowering::new(rel, source);
        lowering.args = args;
        lowering.joined = !joined.is_empty();
        let mut restrictions = relation.restrictions.clone();
        restrictions.extend(joined);
        let mut lower = |restriction: &Restriction<'p>| match restriction.condition() {
            Some(condition) if settings::pushdown() && !restriction.is_gate() => lowering.condition(condition),
            _ => Predicate::Opaque,
        };
        let mut clauses: Vec<_> = restrictions.iter().map(&mut lower).collect();
        let args = lowering.args;
        clauses.extend(source.found());

        let conditions = restrictions.iter().filter_map(|restriction| restriction.condition());
        let needed: Vec<_> = rel.target().into_iter().chain(conditions).collect();
        let needed = if rel.is_join() { relation.shown(&Rel::columns(&needed)) } else { source.columns(rel, &needed) };
        let fields = needed.iter().map(|shown| source.object.fields[shown.field].clone()).collect();
        let wanted = clauses.len();
        let access = connector.accesses(&source.object, &Ask { fields, clauses, order, grouping }).into_iter().next();
        let mut access = access.filter(|access| access.covers.len() == wanted).ok_or_else(|| {
            let table = &source.table().name;
            Error::new(Kind::Internal, format!("{} offers no access to \"{table}\"", connector.title()))
        })?;
        // Only what is pushed is evaluated before the first row.
        let mut pushed = Vec::new();
        for predicate in access.covers.iter_mut().map(|(_, predicate)| predicate).chain(&mut access.having) {
            predicate.operands_mut(&mut |operand| {
                if let Operand::Arg(at) = operand {
                    pushed.push(args[*at]);
                    *at = pushed.len() - 1;
                }
            });
        }
        let covers = access.covers.iter();
        let clauses = restrictions.into_iter().zip(covers);
        let clauses: Vec<_> =
            clauses.map(|(restriction, (support, _))| Clause { restriction, support: *support }).collect();
        let counted = clauses.iter().filter(|clause| clause.support != Support::Unsupported);
        let records = if rel.is_join() {
            rel.rows()
        } else {
            rel.tuples() * rel.selectivity(counted.map(|clause| clause.restriction))
        };
        let mut way = Way { clauses, args: pushed, access, records: records.ceil().max(1.0) };
        if way.finds_one() {
            way.records = 1.0;
        }
        Ok(way)
    }

    /// Whether the API decides every condition exactly.
    pub fn all_exact(&self) -> bool {
        self.access.covers.iter().all(|(support, _)| *support == Support::Exact)
    }

    /// A read this way, in no order and without a limit.
    pub fn read(&self, object: &str, fields: Vec<Field>) -> Read {
        let pushed = self.access.covers.iter().filter(|(support, _)| *support != Support::Unsupported);
        Read {
            object: object.to_owned(),
            fields,
            grouping: None,
            filter: pushed.map(|(_, predicate)| predicate.clone()).collect(),
            order: Vec::new(),
            limit: None,
            offset: None,
            expected: None,
            wire: self.access.wire.clone(),
        }
    }

    /// How many records are read for some of the rows that the conditions tested here let through.
    fn expected(&self, rel: Rel<'p>, rows: f64) -> u64 {
        (rows * self.records / rel.rows() * FORESIGHT).ceil() as u64
    }

    /// Whether the API leaves out the records that lack a counterpart.
    pub fn finds_counterparts(&self) -> bool {
        self.access.covers[self.clauses.len()..].iter().all(|(support, _)| *support == Support::Exact)
    }

    /// Whether it asks for one key.
    fn finds_one(&self) -> bool {
        let mut exact = self.access.covers.iter().filter(|(support, _)| *support == Support::Exact);
        exact.any(
            |(_, predicate)| matches!(predicate, Predicate::Compare { field, op: Comparison::Eq, .. } if field.key),
        )
    }

    /// What the scan costs, of which Postgres expects this many rows.
    fn estimate(&self, rel: Rel<'p>, rows: f64) -> Estimate {
        let (first, all) = self.cost(self.records);
        let (once, per_row) = rel.local_cost();
        Estimate { rows, startup: once + first, total: once + all + per_row * self.records }
    }

    /// What reading this many records costs: until the first, and in all.
    pub fn cost(&self, records: f64) -> (f64, f64) {
        let page = f64::from(self.access.page_rows.max(1));
        let first = REQUEST_COST + RECORD_COST * records.min(page);
        let more = (records / page).ceil().max(1.0) - 1.0;
        (first, first + more * REQUEST_COST + RECORD_COST * (records - page).max(0.0))
    }
}
