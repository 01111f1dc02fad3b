//! Safe views of what the executor is working on.

use std::marker::PhantomData;
use std::ptr::NonNull;

use pgrx::pg_sys::{self, Datum};

use super::node::{self, Node};
use super::{datum, memory, version};
use crate::error::Result;
use crate::value::Value;

/// A foreign scan in execution. Valid during a callback.
#[derive(Clone, Copy)]
pub struct ScanNode<'e> {
    node: NonNull<pg_sys::ForeignScanState>,
    executor: PhantomData<&'e ()>,
}

/// An expression of a scan's plan, ready to be evaluated by that scan.
pub struct Expression {
    state: *mut pg_sys::ExprState,
    type_oid: pg_sys::Oid,
}

/// Where a scan puts its current row.
pub struct Slot<'e> {
    slot: NonNull<pg_sys::TupleTableSlot>,
    executor: PhantomData<&'e ()>,
}

impl<'e> ScanNode<'e> {
    /// # Safety
    /// The node must be a foreign scan of this wrapper, live for `'e`.
    pub unsafe fn new(node: *mut pg_sys::ForeignScanState) -> Option<Self> {
        Some(ScanNode { node: NonNull::new(node)?, executor: PhantomData })
    }

    fn node(self) -> &'e pg_sys::ForeignScanState {
        // SAFETY: live by the contract of `new`.
        unsafe { self.node.as_ref() }
    }

    fn plan(self) -> &'e pg_sys::ForeignScan {
        // SAFETY: the plan of a foreign scan is one.
        unsafe { &*self.node().ss.ps.plan.cast::<pg_sys::ForeignScan>() }
    }

    /// What the planner wrote down.
    pub fn private(self) -> *mut pg_sys::List {
        self.plan().fdw_private
    }

    pub fn server(self) -> pg_sys::Oid {
        self.plan().fs_server
    }

    /// The foreign table.
    pub fn table(self) -> pg_sys::Oid {
        // SAFETY: the executor opened the relation for as long as the scan lasts.
        unsafe { (*self.node().ss.ss_currentRelation).rd_id }
    }

    /// Whose credentials count.
    pub fn user(self) -> pg_sys::Oid {
        // SAFETY: a foreign scan that the executor has set up.
        unsafe { version::scan_user(self.node.as_ptr()) }
    }

    /// The expressions that travel with the plan.
    pub fn expressions(self) -> Vec<Expression> {
        // SAFETY: `fdw_exprs` holds live expressions.
        let expressions: Vec<Node> = unsafe { node::nodes(self.plan().fdw_exprs) };
        let parent = self.node.as_ptr().cast::<pg_sys::PlanState>();
        let prepare = |expression: Node| Expression {
            // SAFETY: an expression of this node's plan; a scan's state begins with a plan's.
            state: unsafe { pg_sys::ExecInitExpr(expression.as_ptr().cast(), parent) },
            type_oid: expression.type_oid(),
        };
        expressions.into_iter().map(prepare).collect()
    }

    /// The value of one of this scan's expressions.
    pub fn evaluate(self, expression: &Expression) -> Value {
        let mut null = false;
        let context = self.node().ss.ps.ps_ExprContext;
        // SAFETY: an expression made for this node, in this node's context.
        let datum = unsafe { pg_sys::ExecEvalExprSwitchContext(expression.state, context, &mut null) };
        // SAFETY: the datum is of the expression's type.
        unsafe { datum::to_value(datum, null, expression.type_oid) }
    }

    /// Whether parameters that the scan depends on have changed since it began.
    pub fn parameters_changed(self) -> bool {
        !self.node().ss.ps.chgParam.is_null()
    }

    /// A scan has one from the moment it is asked for rows.
    pub fn slot(self) -> Option<Slot<'e>> {
        Some(Slot { slot: NonNull::new(self.node().ss.ss_ScanTupleSlot)?, executor: PhantomData })
    }

    /// Hangs a value on the scan; it is dropped with the executor's memory.
    pub fn keep<T>(mut self, value: T) {
        // SAFETY: an executor's state lives as long as its nodes.
        let memory = unsafe { (*self.node().ss.ps.state).es_query_cxt };
        // SAFETY: a live node, of which nobody else holds a reference now.
        unsafe { self.node.as_mut() }.fdw_state = memory::keep(memory, value).cast();
    }

    /// # Safety
    /// What was kept, if anything, must be a `T`, and nobody else may hold a reference to it.
    pub unsafe fn kept<T>(self) -> Option<&'e mut T> {
        // SAFETY: by the contract above; it lives as long as the executor's memory.
        unsafe { self.node().fdw_state.cast::<T>().as_mut() }
    }
}

impl Slot<'_> {
    pub fn clear(&mut self) {
        // SAFETY: a scan's own slot.
        unsafe { pg_sys::ExecClearTuple(self.slot.as_ptr()) };
    }

    pub fn as_ptr(&self) -> *mut pg_sys::TupleTableSlot {
        self.slot.as_ptr()
    }

    /// Stores a row: `fill` gets a datum and a null flag for every attribute, all null at first.
    pub fn store(&mut self, fill: impl FnOnce(&mut [Datum], &mut [bool]) -> Result<()>) -> Result<()> {
        // SAFETY: a scan's own slot.
        let slot = unsafe { self.slot.as_mut() };
        // SAFETY: a slot knows its row type.
        let width = usize::try_from(unsafe { (*slot.tts_tupleDescriptor).natts }).unwrap_or(0);
        // SAFETY: a slot has a value and a null flag per attribute.
        let values = unsafe { std::slice::from_raw_parts_mut(slot.tts_values, width) };
        // SAFETY: likewise.
        let nulls = unsafe { std::slice::from_raw_parts_mut(slot.tts_isnull, width) };
        nulls.fill(true);
        fill(values, nulls)?;
        // SAFETY: the slot is empty, and every attribute has just been set.
        unsafe { pg_sys::ExecStoreVirtualTuple(slot) };
        Ok(())
    }
}
