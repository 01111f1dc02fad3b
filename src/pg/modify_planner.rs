//! Safe views of a modification as the planner works on it.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use pgrx::{PgList, is_a, pg_sys};

use super::hooks;
use super::memory::c_text;
use super::node::{self, Node, Shape, named, returned};
use super::planner::Rel;
use super::version::RowState;
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

    /// The query that a relation belongs to.
    pub fn of(rel: Rel<'p>) -> Self {
        Modification { root: rel.run(), planner: PhantomData }
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

    /// Whether a column of VALUES has DEFAULT in one of its rows: see [`super::hooks`].
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
            // The statement that loads the library has been looked at by nobody.
            cell.is_some_and(|cell| cell.is_default(hooks::have_worked()))
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

    /// Whether several columns are set by one sub-select that runs for each row: `SET (a, b) = (SELECT …)`. Their
    /// values are parameters like any others, but of a sub-plan that stands beside them.
    pub fn sets_by_row(self) -> bool {
        // SAFETY: the target list that the planner made holds target entries.
        let list = unsafe { PgList::<pg_sys::TargetEntry>::from_pg(self.root().processed_tlist) };
        // SAFETY: live entries with live expressions.
        let beside = list.iter_ptr().map(|entry| unsafe { &*entry }).filter(|entry| entry.resjunk);
        // SAFETY: likewise.
        beside.into_iter().any(|entry| unsafe { pg_sys::contain_subplans(entry.expr.cast()) })
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

    /// The attributes of the target that RETURNING names of the row as it was; 0 stands for the whole row.
    pub fn returned_before(self, relation: u32, op: Op) -> BTreeSet<i32> {
        // SAFETY: a list of live target entries, or null.
        unsafe { returned(relation, self.query().returningList, op, RowState::Before) }
    }

    /// Asks for an attribute of a relation in each row, under a name that the executor will find it by. Attribute 0 is
    /// the whole row.
    pub fn ask(self, relation: u32, attribute: i16, of: (pg_sys::Oid, i32, pg_sys::Oid), name: &str) {
        let (type_oid, modifier, collation) = of;
        // Unsigned in 14, signed since.
        let number = relation as _;
        // SAFETY: makes a node.
        let var = unsafe { pg_sys::makeVar(number, attribute, type_oid, modifier, collation, 0) };
        // SAFETY: a live planner run, and a fresh node.
        unsafe { pg_sys::add_row_identity_var(self.root.as_ptr(), var, relation, c_text(name)) };
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

    /// The attributes that RETURNING names of its n-th target's row as it is afterwards; 0 stands for the whole row.
    pub fn returned_after(self, target: i32, relation: u32, op: Op) -> BTreeSet<i32> {
        // SAFETY: null, or a list of live target entries.
        unsafe { returned(relation, nth(self.node().returningLists, target), op, RowState::After) }
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
