//! Planning a scan: what is asked of the API, what Postgres tests, what it costs. Nothing is sent.
//!
//! The one rule that everything rests on is [`Relation::all_exact`]: LIMIT goes to the API only if the API
//! decides every condition exactly as Postgres would.
//! <https://www.postgresql.org/docs/current/fdw-planning.html>

use std::collections::BTreeSet;
use std::ptr;

use pgrx::{PgList, pg_sys};

use super::catalog::{self, Table};
use super::lower::Lowering;
use super::node::{self, Node};
use super::scan_plan::ScanPlan;
use super::{memory, settings, version};
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
/// Rows of an object of which nothing is known.
const DEFAULT_ROWS: f64 = 1_000.0;

/// A foreign table in a query being planned. Hangs on `RelOptInfo.fdw_private`.
pub struct Relation<'p> {
    table: Table,
    clauses: Vec<Clause<'p>>,
    args: Vec<Node<'p>>,
    access: Access,
    /// Records that the API sends.
    records: f64,
}

/// One condition of the query on this table.
struct Clause<'p> {
    info: *mut pg_sys::RestrictInfo,
    condition: Node<'p>,
}

impl<'p> Relation<'p> {
    /// # Safety
    /// `root` and `rel` must be live nodes of one planner run, and `rel` a base relation of this wrapper.
    unsafe fn new(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo, table: pg_sys::Oid) -> Result<Self> {
        let table = Table::read(table)?;
        let connector = connector::open(&catalog::server(table.server)?)?;
        // SAFETY: the restrictions of a live relation.
        let clauses = unsafe { clauses((*rel).baserestrictinfo) };
        // SAFETY: a live relation.
        let mut lowering = Lowering::new(root, &table, unsafe { (*rel).relid });
        let conditions = clauses.iter().map(|clause| {
            if settings::pushdown() && !clause.is_gate() {
                lowering.condition(clause.condition)
            } else {
                Predicate::Opaque
            }
        });
        let conditions: Vec<_> = conditions.collect();
        let args = lowering.args;
        // SAFETY: the relation's own target and restrictions, live expressions.
        let needed = unsafe {
            let conditions = node::list(clauses.iter().map(|clause| clause.condition.as_ptr()));
            attributes(&table, (*rel).relid, &[(*(*rel).reltarget).exprs, conditions])
        };
        let fields = needed.iter().map(|(_, field)| table.object.fields[*field].clone()).collect();
        let ask = Ask { fields, clauses: conditions };
        let access = connector.accesses(&table.object, &ask).into_iter().next();
        let access = access
            .filter(|access| access.covers.len() == clauses.len())
            .ok_or_else(|| Error::new(Kind::Internal, format!("{} offers no access", connector.title())))?;
        Ok(Relation { table, clauses, args, access, records: 0.0 })
    }

    /// Whether the API decides every condition exactly.
    fn all_exact(&self) -> bool {
        self.access.covers.iter().all(|(support, _)| *support == Support::Exact)
    }

    /// The restrictions that are at least narrowed by the API.
    fn pushed(&self) -> *mut pg_sys::List {
        node::list(
            self.clauses
                .iter()
                .zip(&self.access.covers)
                .filter(|(_, (support, _))| *support != Support::Unsupported)
                .map(|(clause, _)| clause.info),
        )
    }

    fn support_of(&self, info: *mut pg_sys::RestrictInfo) -> Support {
        self.clauses
            .iter()
            .zip(&self.access.covers)
            .find(|(clause, _)| ptr::eq(clause.info, info))
            .map_or(Support::Unsupported, |(_, (support, _))| *support)
    }

    /// What reading this many records costs, first record and all.
    fn cost(&self, records: f64) -> (f64, f64) {
        let page = f64::from(self.access.page_rows.max(1));
        let first = REQUEST_COST + RECORD_COST * records.min(page);
        let pages = (records / page).ceil().max(1.0);
        (first, first + (pages - 1.0) * REQUEST_COST + RECORD_COST * (records - page).max(0.0))
    }
}

impl Clause<'_> {
    /// A condition without columns: Postgres tests it once, before the scan.
    fn is_gate(&self) -> bool {
        // SAFETY: a live node for as long as planning lasts.
        unsafe { (*self.info).pseudoconstant }
    }
}

/// # Safety
/// The list must be null or hold live `RestrictInfo`s.
unsafe fn clauses<'p>(list: *mut pg_sys::List) -> Vec<Clause<'p>> {
    // SAFETY: by the contract above.
    let list = unsafe { PgList::<pg_sys::RestrictInfo>::from_pg(list) };
    list.iter_ptr()
        .filter_map(|info| {
            // SAFETY: a live node and its clause.
            let condition = unsafe { Node::new((*info).clause.cast())? };
            Some(Clause { info, condition })
        })
        .collect()
}

/// # Safety
/// The relation must be of this wrapper and have gone through [`rel_size`] in this planner run.
unsafe fn relation<'a>(rel: *mut pg_sys::RelOptInfo) -> &'a Relation<'a> {
    // SAFETY: by the contract above.
    unsafe { &*(*rel).fdw_private.cast::<Relation>() }
}

/// Estimates rows, and decides what is pushed.
///
/// # Safety
/// As for a `GetForeignRelSize` callback.
pub unsafe fn rel_size(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo, table: pg_sys::Oid) -> Result<()> {
    // SAFETY: by the contract above, for this whole function: `root` and `rel` are live nodes, and the
    // lists handed to Postgres hold restrictions of `rel`.
    unsafe {
        let mut relation = Relation::new(root, rel, table)?;
        // What ANALYZE counted comes before what import was told.
        if (*rel).tuples <= 0.0 {
            let told = relation.table.object.estimated_rows;
            (*rel).tuples = told.map_or(DEFAULT_ROWS, |rows| rows as f64).max(1.0);
        }
        pg_sys::set_baserel_size_estimates(root, rel);
        let selectivity = pg_sys::clauselist_selectivity(
            root,
            relation.pushed(),
            (*rel).relid as i32,
            pg_sys::JoinType::JOIN_INNER,
            ptr::null_mut(),
        );
        relation.records = ((*rel).tuples * selectivity).ceil().max(1.0);
        (*rel).fdw_private = memory::keep((*root).planner_cxt, relation).cast();
    }
    Ok(())
}

/// Offers the ways to read the table.
///
/// # Safety
/// As for a `GetForeignPaths` callback.
pub unsafe fn paths(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) {
    // SAFETY: by the contract above; `rel` went through `rel_size`.
    unsafe {
        let (first, all) = relation(rel).cost(relation(rel).records);
        let local = (*rel).baserestrictcost;
        let rows = pg_sys::cpu_tuple_cost + local.per_tuple;
        let path = version::create_foreignscan_path(
            root,
            rel,
            (*rel).rows,
            first + local.startup,
            all + local.startup + rows * relation(rel).records,
            (*rel).lateral_relids,
        );
        pg_sys::add_path(rel, path.cast());
    }
}

/// Offers to let the API apply LIMIT, where that gives the same rows.
///
/// # Safety
/// As for a `GetForeignUpperPaths` callback of stage `UPPERREL_FINAL`.
pub unsafe fn final_path(
    root: *mut pg_sys::PlannerInfo,
    input: *mut pg_sys::RelOptInfo,
    output: *mut pg_sys::RelOptInfo,
    extra: *mut pg_sys::FinalPathExtraData,
) {
    // SAFETY: by the contract above; a base relation of this wrapper went through `rel_size`.
    unsafe {
        let parse = &*(*root).parse;
        // Anything between the scan and the LIMIT, or a LIMIT that is more than a number of rows, keeps it
        // here. ORDER BY, DISTINCT, grouping and window functions show as another input relation too.
        let plain = parse.commandType == pg_sys::CmdType::CMD_SELECT
            && (*input).reloptkind == pg_sys::RelOptKind::RELOPT_BASEREL
            && !(*input).fdw_private.is_null()
            && (*extra).limit_needed
            && !parse.limitCount.is_null()
            && parse.limitOffset.is_null()
            && parse.limitOption == pg_sys::LimitOption::LIMIT_OPTION_COUNT
            && parse.rowMarks.is_null()
            && parse.sortClause.is_null()
            && parse.distinctClause.is_null()
            && parse.groupClause.is_null()
            && parse.groupingSets.is_null()
            && !parse.hasAggs
            && !parse.hasWindowFuncs
            && !parse.hasTargetSRFs;
        if !plain {
            return;
        }
        let relation = relation(input);
        let Some(limit) = Node::new(parse.limitCount) else { return };
        let operand = Lowering::new(root, &relation.table, (*input).relid).limit(limit);
        if !settings::pushdown() || !relation.all_exact() || !relation.access.limit || operand.is_none() {
            return;
        }
        // What the planner assumes where LIMIT is not known yet: a tenth.
        let rows = match (*extra).limit_tuples {
            known if known >= 0.0 => known.min((*input).rows),
            _ => ((*input).rows * 0.1).ceil(),
        };
        let (first, all) = relation.cost(rows);
        let path = version::create_foreign_upper_path(
            root,
            input,
            (*root).upper_targets[pg_sys::UpperRelationKind::UPPERREL_FINAL as usize],
            rows,
            first,
            all + rows * pg_sys::cpu_tuple_cost,
            node::list([limit.as_ptr()]),
        );
        pg_sys::add_path(output, path.cast());
    }
}

/// Makes the plan of the path that won.
///
/// # Safety
/// As for a `GetForeignPlan` callback.
pub unsafe fn plan(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    path: *mut pg_sys::ForeignPath,
    target: *mut pg_sys::List,
    restrictions: *mut pg_sys::List,
    outer: *mut pg_sys::Plan,
) -> Result<*mut pg_sys::ForeignScan> {
    // SAFETY: by the contract above, for this whole function; `rel` went through `rel_size`.
    unsafe {
        let relation = relation(rel);
        let mut local = PgList::<pg_sys::Node>::new();
        let mut recheck = PgList::<pg_sys::Node>::new();
        for clause in clauses(restrictions).iter().filter(|clause| !clause.is_gate()) {
            match relation.support_of(clause.info) {
                Support::Exact => recheck.push(clause.condition.as_ptr()),
                _ => local.push(clause.condition.as_ptr()),
            }
        }
        let needed = [(*(*rel).reltarget).exprs, (*(*path).path.pathtarget).exprs, local.as_ptr()];
        let needed = attributes(&relation.table, (*rel).relid, &needed);

        let mut args = relation.args.clone();
        let limit = PgList::<pg_sys::Node>::from_pg((*path).fdw_private).get_ptr(0);
        let limit = limit.and_then(|limit| Node::new(limit)).and_then(|limit| {
            let mut lowering = Lowering::new(root, &relation.table, (*rel).relid);
            lowering.args = std::mem::take(&mut args);
            let operand = lowering.limit(limit);
            args = lowering.args;
            operand
        });
        let scan = ScanPlan {
            read: read(relation, &needed, limit),
            attributes: needed.iter().map(|(attribute, _)| *attribute).collect(),
        };
        Ok(pg_sys::make_foreignscan(
            target,
            local.into_pg(),
            (*rel).relid,
            node::list(args.iter().map(|arg| arg.as_ptr())),
            scan.to_list()?,
            ptr::null_mut(),
            recheck.into_pg(),
            outer,
        ))
    }
}

fn read(relation: &Relation, needed: &[(i16, usize)], limit: Option<Operand>) -> Read {
    let covered = relation.access.covers.iter();
    Read {
        object: relation.table.object.name.clone(),
        fields: needed.iter().map(|(_, field)| relation.table.object.fields[*field].clone()).collect(),
        filter: covered
            .filter(|(support, _)| *support != Support::Unsupported)
            .map(|(_, predicate)| predicate.clone())
            .collect(),
        limit,
        wire: relation.access.wire.clone(),
    }
}

/// The attributes that expressions name, with the fields they show; all of them for a whole row.
///
/// # Safety
/// The lists must be null or hold live expressions.
unsafe fn attributes(table: &Table, relid: pg_sys::Index, expressions: &[*mut pg_sys::List]) -> Vec<(i16, usize)> {
    let mut found: *mut pg_sys::Bitmapset = ptr::null_mut();
    for list in expressions {
        // SAFETY: by the contract above.
        unsafe { pg_sys::pull_varattnos(list.cast(), relid, &mut found) };
    }
    let mut named = BTreeSet::new();
    let mut member = -1;
    loop {
        // SAFETY: a set that Postgres just made, or null.
        member = unsafe { pg_sys::bms_next_member(found, member) };
        if member < 0 {
            break;
        }
        // Members are shifted so that system columns, whose numbers are negative, fit in.
        named.insert(member + pg_sys::FirstLowInvalidHeapAttributeNumber);
    }
    let whole_row = named.contains(&0);
    table
        .columns()
        .iter()
        .filter(|column| whole_row || named.contains(&column.attribute.into()))
        .map(|column| (column.attribute, column.field))
        .collect()
}
