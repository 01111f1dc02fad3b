//! Safe views of a modification: as the planner works on it, and in execution.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use pgrx::{PgList, is_a, pg_sys};

use super::executor::Slot;
use super::memory::{self, c_text};
use super::node::{self, Node, Shape};
use super::planner::Rel;
use super::version;
use crate::query::change::Op;

fn op(command: pg_sys::CmdType::Type) -> Option<Op> {
    match command {
        pg_sys::CmdType::CMD_INSERT => Some(Op::Insert),
        pg_sys::CmdType::CMD_UPDATE => Some(Op::Update),
        pg_sys::CmdType::CMD_DELETE => Some(Op::Delete),
        _ => None,
    }
}

/// A query that modifies, being planned. Valid while planning lasts.
#[derive(Clone, Copy)]
pub struct Modification<'p> {
    root: NonNull<pg_sys::PlannerInfo>,
    planner: PhantomData<&'p ()>,
}

impl<'p> Modification<'p> {
    /// # Safety
    /// The planner run must be live for `'p`.
    pub unsafe fn new(root: *mut pg_sys::PlannerInfo) -> Option<Self> {
        Some(Modification { root: NonNull::new(root)?, planner: PhantomData })
    }

    fn root(self) -> &'p pg_sys::PlannerInfo {
        // SAFETY: live by the contract of `new`.
        unsafe { self.root.as_ref() }
    }

    fn query(self) -> &'p pg_sys::Query {
        // SAFETY: a planner run has a query.
        unsafe { &*self.root().parse }
    }

    /// The table that is a relation of the query.
    pub fn table(self, relation: u32) -> pg_sys::Oid {
        // SAFETY: the planner keeps an array of the query's relations, counted from 1.
        unsafe { (**self.root().simple_rte_array.add(relation as usize)).relid }
    }

    pub fn op(self) -> Option<Op> {
        op(self.query().commandType)
    }

    /// What is done to this relation, if it is the one target of the query.
    pub fn op_on(self, relation: u32) -> Option<Op> {
        self.op().filter(|_| u32::try_from(self.query().resultRelation) == Ok(relation))
    }

    pub fn returns(self) -> bool {
        !self.query().returningList.is_null()
    }

    /// Whether rows must fit the conditions of a view.
    pub fn checks(self) -> bool {
        !self.query().withCheckOptions.is_null()
    }

    /// The attributes that an INSERT gives a value: those whose default is unset are not among them.
    pub fn given(self) -> Vec<i16> {
        // SAFETY: a query's target list holds target entries.
        let list = unsafe { PgList::<pg_sys::TargetEntry>::from_pg(self.query().targetList) };
        // SAFETY: live entries.
        list.iter_ptr()
            .map(|entry| unsafe { &*entry })
            .filter(|entry| !entry.resjunk)
            .map(|entry| entry.resno)
            .collect()
    }

    /// The attributes that one of several rows of VALUES leaves to their default: Postgres makes NULL of it, where
    /// the column has none.
    pub fn defaulted(self) -> Vec<i16> {
        // SAFETY: a query's target list holds target entries.
        let list = unsafe { PgList::<pg_sys::TargetEntry>::from_pg(self.query().targetList) };
        // SAFETY: live entries.
        let entries = list.iter_ptr().map(|entry| unsafe { &*entry }).filter(|entry| !entry.resjunk);
        // SAFETY: with live expressions.
        let left = entries.filter(|entry| match unsafe { Node::new(entry.expr.cast()) }.map(Node::shape) {
            Some(Shape::Column { relation, attribute }) => self.leaves_default(relation, attribute),
            _ => false,
        });
        left.map(|entry| entry.resno).collect()
    }

    /// Whether a column of VALUES has a NULL that nobody wrote: it has no place in the statement's text.
    fn leaves_default(self, relation: u32, attribute: i16) -> bool {
        // SAFETY: the relations of the query are counted from 1.
        let entry = unsafe { &**self.root().simple_rte_array.add(relation as usize) };
        if entry.rtekind != pg_sys::RTEKind::RTE_VALUES {
            return false;
        }
        // SAFETY: a list of lists of live expressions.
        let rows = unsafe { PgList::<pg_sys::List>::from_pg(entry.values_lists) };
        let Ok(at) = usize::try_from(attribute - 1) else { return false };
        rows.iter_ptr().any(|row| {
            // SAFETY: likewise.
            let cell = unsafe { node::nodes(row) }.get(at).copied();
            cell.is_some_and(Node::is_unwritten_null)
        })
    }

    /// The attributes that an UPDATE sets.
    pub fn set(self) -> Vec<i16> {
        attributes(self.root().update_colnos)
    }

    /// The attributes that an UPDATE sets, and what to.
    pub fn assignments(self) -> (Vec<i16>, Vec<Node<'p>>) {
        // SAFETY: the target list that the planner made holds target entries.
        let list = unsafe { PgList::<pg_sys::TargetEntry>::from_pg(self.root().processed_tlist) };
        // SAFETY: live entries with live expressions.
        let values = list.iter_ptr().map(|entry| unsafe { &*entry }).filter(|entry| !entry.resjunk);
        // SAFETY: likewise.
        let values = values.filter_map(|entry| unsafe { Node::new(entry.expr.cast()) });
        (self.set(), values.collect())
    }

    /// A relation of the query.
    pub fn relation(self, number: u32) -> Option<Rel<'p>> {
        // SAFETY: the planner keeps an array of the query's relations, counted from 1.
        unsafe { Rel::new(self.root.as_ptr(), *self.root().simple_rel_array.add(number as usize)) }
    }

    /// The attributes of a relation that the query's conditions name; 0 stands for the whole row.
    pub fn tested(self, relation: u32) -> BTreeSet<i32> {
        // SAFETY: the tree of the query's joins and conditions.
        unsafe { named(relation, [self.query().jointree.cast()]) }
    }

    /// The attributes of a relation that the new values are made of; 0 stands for the whole row.
    pub fn used(self, relation: u32) -> BTreeSet<i32> {
        // SAFETY: the target list that the planner made holds target entries.
        let list = unsafe { PgList::<pg_sys::TargetEntry>::from_pg(self.root().processed_tlist) };
        // SAFETY: live entries. The others are how core tells rows apart.
        let entries = list.iter_ptr().filter(|entry| unsafe { !(**entry).resjunk });
        // SAFETY: likewise.
        let expressions = entries.map(|entry| unsafe { (*entry).expr.cast::<pg_sys::Node>() });
        // SAFETY: live expressions.
        unsafe { named(relation, expressions) }
    }

    /// The attributes of a relation that RETURNING names; 0 stands for the whole row.
    pub fn returned(self, relation: u32) -> BTreeSet<i32> {
        // SAFETY: a list of live target entries, or null.
        unsafe { named(relation, [self.query().returningList.cast()]) }
    }

    /// Asks for an attribute of a relation in each row, under a name that the executor will find it by. Attribute 0 is
    /// the whole row.
    pub fn ask(self, relation: u32, attribute: i16, of: (pg_sys::Oid, i32, pg_sys::Oid), name: &str) {
        let (type_oid, modifier, collation) = of;
        // SAFETY: makes a node.
        let var = unsafe { pg_sys::makeVar(relation as i32, attribute, type_oid, modifier, collation, 0) };
        // SAFETY: a live planner run, and a fresh node.
        unsafe { pg_sys::add_row_identity_var(self.root.as_ptr(), var, relation, c_text(name)) };
    }
}

/// The attributes of a relation that expressions name; 0 stands for the whole row.
///
/// # Safety
/// Each must be null, or a live expression or list of them.
pub unsafe fn named(relation: u32, expressions: impl IntoIterator<Item = *mut pg_sys::Node>) -> BTreeSet<i32> {
    let mut found: *mut pg_sys::Bitmapset = ptr::null_mut();
    for expression in expressions {
        // SAFETY: by the contract above; the set is Postgres's own to grow.
        unsafe { pg_sys::pull_varattnos(expression, relation, &mut found) };
    }
    let mut named = BTreeSet::new();
    let mut member = -1;
    loop {
        // SAFETY: a set that Postgres just made, or null.
        member = unsafe { pg_sys::bms_next_member(found, member) };
        if member < 0 {
            return named;
        }
        // Members are shifted so that system columns, whose numbers are negative, fit in.
        named.insert(member + pg_sys::FirstLowInvalidHeapAttributeNumber);
    }
}

fn attributes(list: *mut pg_sys::List) -> Vec<i16> {
    // SAFETY: null, or a list of integers.
    let list = unsafe { PgList::<i32>::from_pg(list) };
    list.iter_int().filter_map(|number| i16::try_from(number).ok()).collect()
}

/// The node that modifies, as the planner has made it. Valid while planning lasts.
#[derive(Clone, Copy)]
pub struct ModifyPlanNode<'p> {
    node: NonNull<pg_sys::ModifyTable>,
    planner: PhantomData<&'p ()>,
}

impl<'p> ModifyPlanNode<'p> {
    /// # Safety
    /// The node must be live for `'p`.
    pub unsafe fn new(node: *mut pg_sys::ModifyTable) -> Option<Self> {
        Some(ModifyPlanNode { node: NonNull::new(node)?, planner: PhantomData })
    }

    fn node(self) -> &'p pg_sys::ModifyTable {
        // SAFETY: live by the contract of `new`.
        unsafe { self.node.as_ref() }
    }

    pub fn op(self) -> Option<Op> {
        op(self.node().operation)
    }

    /// Whether its rows belong to one table, and that table is what the statement names.
    pub fn has_one_target(self) -> bool {
        // SAFETY: reads the length of a live list.
        self.node().rootRelation == 0 && unsafe { pg_sys::list_length(self.node().resultRelations) } == 1
    }

    pub fn checks(self) -> bool {
        !self.node().withCheckOptionLists.is_null()
    }

    pub fn returns(self) -> bool {
        !self.node().returningLists.is_null()
    }

    /// `ON CONFLICT DO NOTHING`
    pub fn skips_conflicts(self) -> bool {
        self.node().onConflictAction == pg_sys::OnConflictAction::ONCONFLICT_NOTHING
    }

    /// The attributes that an UPDATE sets in its n-th target.
    pub fn set(self, target: i32) -> Vec<i16> {
        attributes(nth(self.node().updateColnosLists, target))
    }

    /// The attributes that RETURNING names of its n-th target; 0 stands for the whole row.
    pub fn returned(self, target: i32, relation: u32) -> BTreeSet<i32> {
        // SAFETY: null, or a list of live target entries.
        unsafe { named(relation, [nth(self.node().returningLists, target).cast()]) }
    }
}

/// The n-th of a list of lists; null if there is none.
fn nth(lists: *mut pg_sys::List, at: i32) -> *mut pg_sys::List {
    // SAFETY: null, or a list of lists.
    let lists = unsafe { PgList::<pg_sys::List>::from_pg(lists) };
    usize::try_from(at).ok().and_then(|at| lists.get_ptr(at)).unwrap_or(ptr::null_mut())
}

/// A scan below a modification that may do the modifying itself. Valid while planning lasts.
#[derive(Clone, Copy)]
pub struct DirectTarget<'p> {
    node: ModifyPlanNode<'p>,
    scan: NonNull<pg_sys::ForeignScan>,
}

impl<'p> DirectTarget<'p> {
    /// The scan of `relation` right below the modification, if Postgres has nothing to test on its rows.
    pub fn below(node: ModifyPlanNode<'p>, relation: u32) -> Option<Self> {
        let scan = node.node().plan.lefttree;
        // SAFETY: a modification has an input, a live plan.
        if !unsafe { is_a(scan.cast(), pg_sys::NodeTag::T_ForeignScan) } {
            return None;
        }
        let scan = NonNull::new(scan.cast::<pg_sys::ForeignScan>())?;
        // SAFETY: the tag was just tested.
        let plain = unsafe { scan.as_ref() };
        let fits = plain.scan.scanrelid == relation && plain.scan.plan.qual.is_null() && node.has_one_target();
        fits.then_some(DirectTarget { node, scan })
    }

    fn scan(self) -> &'p pg_sys::ForeignScan {
        // SAFETY: live as long as the modification.
        unsafe { self.scan.as_ref() }
    }

    /// What was planned for the scan.
    pub fn private(self) -> *mut pg_sys::List {
        self.scan().fdw_private
    }

    /// The expressions that travel with the scan.
    pub fn expressions(self) -> Vec<Node<'p>> {
        // SAFETY: `fdw_exprs` holds live expressions.
        unsafe { node::nodes(self.scan().fdw_exprs) }
    }

    /// Whether the command tag counts the rows.
    pub fn is_counted(self) -> bool {
        self.node.node().canSetTag
    }

    /// Makes the scan modify, with this plan and further expressions.
    pub fn modify(mut self, private: *mut pg_sys::List, more: &[Node<'p>]) {
        let all = self.expressions().into_iter().chain(more.iter().copied());
        let all = node::list(all.map(Node::as_ptr));
        let (operation, target) = (self.node.node().operation, self.scan().scan.scanrelid);
        // SAFETY: a live node, of which nobody else holds a reference now.
        let scan = unsafe { self.scan.as_mut() };
        scan.operation = operation;
        scan.resultRelation = target;
        scan.fdw_exprs = all;
        scan.fdw_private = private;
    }
}

/// The node that modifies, in execution. Valid during a callback.
#[derive(Clone, Copy)]
pub struct ModifyNode<'e> {
    node: NonNull<pg_sys::ModifyTableState>,
    executor: PhantomData<&'e ()>,
}

impl<'e> ModifyNode<'e> {
    /// # Safety
    /// The node must be live for `'e`.
    pub unsafe fn new(node: *mut pg_sys::ModifyTableState) -> Option<Self> {
        Some(ModifyNode { node: NonNull::new(node)?, executor: PhantomData })
    }

    fn node(self) -> &'e pg_sys::ModifyTableState {
        // SAFETY: live by the contract of `new`.
        unsafe { self.node.as_ref() }
    }

    pub fn state(self) -> *mut pg_sys::EState {
        self.node().ps.state
    }

    /// What was planned for it; `None` for COPY.
    pub fn plan(self) -> Option<ModifyPlanNode<'e>> {
        // SAFETY: null, or the plan of this node, which lives as long.
        unsafe { ModifyPlanNode::new(self.node().ps.plan.cast()) }
    }

    /// Where its rows come from.
    pub fn input(self) -> *mut pg_sys::PlanState {
        self.node().ps.lefttree
    }

    /// The place, counted from 1, that the planner has given a name; `None` if there is none.
    pub fn place_of(self, name: &CStr) -> Option<i16> {
        // SAFETY: a node's input has a plan, whose target list is live.
        let place = unsafe {
            let list = (*(*self.input()).plan).targetlist;
            pg_sys::ExecFindJunkAttributeInTlist(list, name.as_ptr())
        };
        (place > 0).then_some(place)
    }
}

/// The table that rows are written to, in execution. Valid during a callback.
#[derive(Clone, Copy)]
pub struct Target<'e> {
    info: NonNull<pg_sys::ResultRelInfo>,
    executor: PhantomData<&'e ()>,
}

impl<'e> Target<'e> {
    /// # Safety
    /// The target must be a table of this wrapper, live for `'e`.
    pub unsafe fn new(info: *mut pg_sys::ResultRelInfo) -> Option<Self> {
        Some(Target { info: NonNull::new(info)?, executor: PhantomData })
    }

    fn info(self) -> &'e pg_sys::ResultRelInfo {
        // SAFETY: live by the contract of `new`.
        unsafe { self.info.as_ref() }
    }

    pub fn table(self) -> pg_sys::Oid {
        // SAFETY: the executor opened the relation for as long as the statement lasts.
        unsafe { (*self.info().ri_RelationDesc).rd_id }
    }

    /// Whose credentials count.
    pub fn user(self, state: *mut pg_sys::EState) -> pg_sys::Oid {
        // SAFETY: a target that the executor has set up.
        unsafe { version::target_user(self.info.as_ptr(), state) }
    }

    /// Hangs a value on the target; it is dropped with the executor's memory.
    pub fn keep<T>(mut self, state: *mut pg_sys::EState, value: T) -> *mut T {
        // SAFETY: an executor's state lives as long as its nodes.
        let kept = memory::keep(unsafe { (*state).es_query_cxt }, value);
        // SAFETY: a live target, of which nobody else holds a reference now.
        unsafe { self.info.as_mut() }.ri_FdwState = kept.cast();
        kept
    }

    /// # Safety
    /// What was kept, if anything, must be a `T`, and nobody else may hold a reference to it.
    pub unsafe fn kept<T>(self) -> Option<&'e mut T> {
        // SAFETY: by the contract above; it lives as long as the executor's memory.
        unsafe { self.info().ri_FdwState.cast::<T>().as_mut() }
    }

    /// Whether a trigger runs after COPY or INSERT, here or for the partitioned table that rows come from.
    pub fn ends_with_trigger(self) -> bool {
        let fires = |info: &pg_sys::ResultRelInfo| {
            // SAFETY: null, or a live description of triggers.
            unsafe { info.ri_TrigDesc.as_ref() }.is_some_and(|triggers| triggers.trig_insert_after_statement)
        };
        // SAFETY: null, or the live target that rows are routed from.
        fires(self.info()) || unsafe { self.info().ri_RootResultRelInfo.as_ref() }.is_some_and(fires)
    }

    /// Whether it is written to by another part of the statement already.
    pub fn is_taken(self) -> bool {
        !self.info().ri_FdwState.is_null()
    }
}

/// Runs `work` with memory that lasts until the next row of the statement.
///
/// # Safety
/// The executor's state must be live.
pub unsafe fn for_this_row<T>(state: *mut pg_sys::EState, work: impl FnOnce() -> T) -> T {
    // SAFETY: live by the contract above; made if there is none yet.
    let context = unsafe {
        match (*state).es_per_tuple_exprcontext {
            none if none.is_null() => pg_sys::MakePerTupleExprContext(state),
            context => context,
        }
    };
    // SAFETY: an expression context has memory for one row.
    unsafe { memory::within((*context).ecxt_per_tuple_memory, work) }
}

/// A copy of a row's slot: of the same kind, since expressions over it were made for that kind.
///
/// # Safety
/// The executor's state and the slot must be live.
pub unsafe fn twin<'e>(state: *mut pg_sys::EState, slot: Slot<'_>) -> Option<Slot<'e>> {
    let slot = slot.as_ptr();
    // SAFETY: by the contract above; the slot lives as long as the executor's memory.
    unsafe {
        let make = || pg_sys::ExecInitExtraTupleSlot(state, (*slot).tts_tupleDescriptor, (*slot).tts_ops);
        Slot::new(memory::within((*state).es_query_cxt, make))
    }
}
