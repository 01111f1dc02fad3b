//! Safe views of a modification in execution.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::NonNull;

use pgrx::{PgList, pg_sys};

use super::executor::Slot;
use super::memory;
use super::modify_planner::ModifyPlanNode;
use super::version;

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

    /// The tables that the statement names, once for each time.
    pub fn tables(self) -> Vec<pg_sys::Oid> {
        // SAFETY: the executor's state has the relations of the whole plan, sub-plans included.
        let entries = unsafe { PgList::<pg_sys::RangeTblEntry>::from_pg((*self.state()).es_range_table) };
        // SAFETY: live entries.
        let entries = entries.iter_ptr().map(|entry| unsafe { &*entry });
        entries.filter(|entry| entry.rtekind == pg_sys::RTEKind::RTE_RELATION).map(|entry| entry.relid).collect()
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

/// Lets go of what [`for_this_row`] has allocated. Only for a row's beginning: nothing of the row before may be in use.
///
/// # Safety
/// The executor's state must be live.
pub unsafe fn next_row(state: *mut pg_sys::EState) {
    // SAFETY: live by the contract above; null if nothing was allocated.
    if let Some(context) = unsafe { (*state).es_per_tuple_exprcontext.as_ref() } {
        // SAFETY: an expression context has memory for one row.
        unsafe { pg_sys::MemoryContextReset(context.ecxt_per_tuple_memory) };
    }
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
