//! Safe views of what the planner is working on.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use pgrx::{PgList, pg_sys};

use super::memory;
use super::node::{self, Node, named};
use super::version::{self, Estimate};

/// A relation being planned, and the planner run that it belongs to. Valid while planning lasts.
#[derive(Clone, Copy)]
pub struct Rel<'p> {
    root: NonNull<pg_sys::PlannerInfo>,
    rel: NonNull<pg_sys::RelOptInfo>,
    planner: PhantomData<&'p ()>,
}

/// One condition that a query puts on a relation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Restriction<'p> {
    info: NonNull<pg_sys::RestrictInfo>,
    planner: PhantomData<&'p ()>,
}

impl<'p> Rel<'p> {
    /// # Safety
    /// Both must be live nodes of one planner run, and stay so for `'p`.
    pub unsafe fn new(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) -> Option<Self> {
        Some(Rel { root: NonNull::new(root)?, rel: NonNull::new(rel)?, planner: PhantomData })
    }

    fn root(self) -> &'p pg_sys::PlannerInfo {
        // SAFETY: live by the contract of `new`.
        unsafe { self.root.as_ref() }
    }

    fn rel(self) -> &'p pg_sys::RelOptInfo {
        // SAFETY: live by the contract of `new`.
        unsafe { self.rel.as_ref() }
    }

    /// Its number in the query.
    pub fn number(self) -> u32 {
        self.rel().relid
    }

    /// The conditions on this relation alone.
    pub fn restrictions(self) -> Vec<Restriction<'p>> {
        // SAFETY: the restrictions of a live relation.
        unsafe { restrictions(self.rel().baserestrictinfo) }
    }

    /// What the query needs of it, conditions aside.
    pub fn target(self) -> Vec<Node<'p>> {
        // SAFETY: every relation has a target of live expressions.
        unsafe { node::nodes((*self.rel().reltarget).exprs) }
    }

    /// The attributes that expressions name; 0 stands for the whole row.
    pub fn attributes(self, expressions: &[Node<'p>]) -> BTreeSet<i32> {
        // SAFETY: live expressions.
        unsafe { named(self.number(), expressions.iter().map(|expression| expression.as_ptr())) }
    }

    /// The conditions that tell which rows of other relations go with its rows.
    pub fn join_conditions(self) -> Vec<Restriction<'p>> {
        // SAFETY: the join clauses of a live relation.
        unsafe { restrictions(self.rel().joininfo) }
    }

    /// The planner run that it belongs to.
    pub fn run(self) -> NonNull<pg_sys::PlannerInfo> {
        self.root
    }

    /// Whether an expression is the same for all rows of a scan and can be had before the first: it names no
    /// column, calls nothing volatile and holds no sub-plan.
    pub fn known_at_execution(self, expression: Node<'p>) -> bool {
        let expression = expression.as_ptr();
        // SAFETY: a live expression of this query.
        let columns = unsafe { pg_sys::pull_varnos(self.root.as_ptr(), expression) };
        // SAFETY: likewise.
        columns.is_null()
            && !unsafe { pg_sys::contain_volatile_functions(expression) }
            // SAFETY: likewise.
            && !unsafe { pg_sys::contain_subplans(expression) }
    }

    /// Rows of the table: what ANALYZE counted, else what is told here. Rows of the query follow from it.
    pub fn estimate_size(mut self, told: f64) {
        // SAFETY: a live relation, of which nobody else holds a reference now.
        let rel = unsafe { self.rel.as_mut() };
        if rel.tuples <= 0.0 {
            rel.tuples = told.max(1.0);
        }
        // SAFETY: a live base relation.
        unsafe { pg_sys::set_baserel_size_estimates(self.root.as_ptr(), self.rel.as_ptr()) };
    }

    pub fn tuples(self) -> f64 {
        self.rel().tuples
    }

    /// Rows that the query gets of it.
    pub fn rows(self) -> f64 {
        self.rel().rows
    }

    /// What part of the rows these conditions let through.
    pub fn selectivity(self, of: impl IntoIterator<Item = Restriction<'p>>) -> f64 {
        let conditions = node::list(of.into_iter().map(|restriction| restriction.info.as_ptr()));
        let (number, inner) = (self.number() as i32, pg_sys::JoinType::JOIN_INNER);
        // SAFETY: restrictions of this relation.
        unsafe { pg_sys::clauselist_selectivity(self.root.as_ptr(), conditions, number, inner, ptr::null_mut()) }
    }

    /// What Postgres spends on the relation's conditions: once, and per row.
    pub fn local_cost(self) -> (f64, f64) {
        let cost = self.rel().baserestrictcost;
        // SAFETY: reads a setting.
        (cost.startup, cost.per_tuple + unsafe { pg_sys::cpu_tuple_cost })
    }

    /// Hangs a value on the relation; it is dropped with the planner's memory.
    pub fn keep<T>(mut self, value: T) {
        // SAFETY: a live relation, of which nobody else holds a reference now.
        unsafe { self.rel.as_mut() }.fdw_private = memory::keep(self.root().planner_cxt, value).cast();
    }

    /// # Safety
    /// What was kept, if anything, must be a `T`.
    pub unsafe fn kept<T>(self) -> Option<&'p T> {
        // SAFETY: by the contract above; it lives as long as the planner's memory.
        unsafe { self.rel().fdw_private.cast::<T>().as_ref() }
    }

    /// Offers a scan in no particular order.
    pub fn offer(self, estimate: Estimate) {
        let required = self.rel().lateral_relids;
        // SAFETY: live nodes of one planner run.
        let path =
            unsafe { version::create_foreignscan_path(self.root.as_ptr(), self.rel.as_ptr(), estimate, required) };
        // SAFETY: a path of this relation.
        unsafe { pg_sys::add_path(self.rel.as_ptr(), path.cast()) };
    }

    /// The rows that LIMIT keeps, if LIMIT is all that the query does to this relation.
    ///
    /// Anything between scan and LIMIT, or a LIMIT that is more than a number of rows, makes it `None`. ORDER BY,
    /// DISTINCT, grouping and window functions would show as another input relation too.
    pub fn plain_limit(self, wanted: &pg_sys::FinalPathExtraData) -> Option<Node<'p>> {
        // SAFETY: a planner run has a query.
        let query = unsafe { &*self.root().parse };
        let plain = query.commandType == pg_sys::CmdType::CMD_SELECT
            && self.rel().reloptkind == pg_sys::RelOptKind::RELOPT_BASEREL
            && wanted.limit_needed
            && query.limitOffset.is_null()
            && query.limitOption == pg_sys::LimitOption::LIMIT_OPTION_COUNT
            && query.rowMarks.is_null()
            && query.sortClause.is_null()
            && query.distinctClause.is_null()
            && query.groupClause.is_null()
            && query.groupingSets.is_null()
            && !query.hasAggs
            && !query.hasWindowFuncs
            && !query.hasTargetSRFs;
        // SAFETY: null, or a live expression of the query.
        unsafe { Node::new(query.limitCount) }.filter(|_| plain)
    }

    /// Offers a scan that answers the whole query level; `limit` travels with the path.
    pub fn offer_final(self, output: Rel<'p>, estimate: Estimate, limit: Node<'p>) {
        let target = self.root().upper_targets[pg_sys::UpperRelationKind::UPPERREL_FINAL as usize];
        let private = node::list([limit.as_ptr()]);
        // SAFETY: live nodes of one planner run.
        let path = unsafe {
            version::create_foreign_upper_path(self.root.as_ptr(), self.rel.as_ptr(), target, estimate, private)
        };
        // SAFETY: a path that answers what `output` stands for.
        unsafe { pg_sys::add_path(output.rel.as_ptr(), path.cast()) };
    }
}

impl<'p> Restriction<'p> {
    fn info(self) -> &'p pg_sys::RestrictInfo {
        // SAFETY: live while planning lasts: see `restrictions`.
        unsafe { self.info.as_ref() }
    }

    /// The condition itself.
    pub fn condition(self) -> Option<Node<'p>> {
        // SAFETY: the clause of a live restriction.
        unsafe { Node::new(self.info().clause.cast()) }
    }

    /// A condition without columns: Postgres tests it once, before the scan.
    pub fn is_gate(self) -> bool {
        self.info().pseudoconstant
    }
}

/// # Safety
/// The list must be null or hold `RestrictInfo`s that live as long as `'p`.
pub unsafe fn restrictions<'p>(list: *mut pg_sys::List) -> Vec<Restriction<'p>> {
    // SAFETY: by the contract above.
    let list = unsafe { PgList::<pg_sys::RestrictInfo>::from_pg(list) };
    let restriction = |info| Some(Restriction { info: NonNull::new(info)?, planner: PhantomData });
    list.iter_ptr().filter_map(restriction).collect()
}

/// A path that won.
pub struct WonPath<'p> {
    path: NonNull<pg_sys::ForeignPath>,
    planner: PhantomData<&'p ()>,
}

impl<'p> WonPath<'p> {
    /// # Safety
    /// The path must be one of this wrapper's and live as long as `'p`.
    pub unsafe fn new(path: *mut pg_sys::ForeignPath) -> Option<Self> {
        Some(WonPath { path: NonNull::new(path)?, planner: PhantomData })
    }

    fn path(&self) -> &'p pg_sys::ForeignPath {
        // SAFETY: live by the contract of `new`.
        unsafe { self.path.as_ref() }
    }

    /// The expressions that the scan's output is made of.
    pub fn target(&self) -> Vec<Node<'p>> {
        // SAFETY: every path has a target of live expressions.
        unsafe { node::nodes((*self.path().path.pathtarget).exprs) }
    }

    /// What [`Rel::offer_final`] sent along.
    pub fn limit(&self) -> Option<Node<'p>> {
        // SAFETY: null, or a list of one live expression.
        unsafe { node::nodes(self.path().fdw_private) }.first().copied()
    }
}
