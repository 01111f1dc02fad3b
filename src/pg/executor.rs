//! Safe views of what the executor is working on.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::NonNull;

use pgrx::PgRelation;
use pgrx::pg_sys::{self, Datum};

use super::datum::Decoder;
use super::node::{self, Node};
use super::{datum, memory, version};
use crate::error::{Error, Kind, Result};
use crate::value::Value;

unsafe extern "C-unwind" {
    /// Without the guard that pgrx's own declaration brings: it raises no error, and every row calls it.
    fn ExecStoreVirtualTuple(slot: *mut pg_sys::TupleTableSlot) -> *mut pg_sys::TupleTableSlot;
}

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

/// A row on its way through the executor.
#[derive(Clone, Copy)]
pub struct Slot<'e> {
    slot: NonNull<pg_sys::TupleTableSlot>,
    executor: PhantomData<&'e ()>,
}

/// A whole row as a value, taken apart.
pub struct OldRow {
    values: Vec<Datum>,
    nulls: Vec<bool>,
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

    /// Whose credentials count.
    pub fn user(self) -> pg_sys::Oid {
        // SAFETY: a foreign scan that the executor has set up.
        unsafe { version::scan_user(self.node.as_ptr()) }
    }

    /// The text of the statement that is being executed.
    pub fn statement(self) -> &'e CStr {
        // SAFETY: a node's state is live.
        let text = unsafe { (*self.node().ss.ps.state).es_sourceText };
        // SAFETY: null, or a NUL-terminated string that lasts as long as the state.
        unsafe { text.as_ref() }.map_or(c"", |text| unsafe { CStr::from_ptr(text) })
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
        let (datum, null) = self.datum(expression);
        // SAFETY: the datum is of the expression's type.
        unsafe { datum::to_value(datum, null, expression.type_oid) }
    }

    /// The value of one of this scan's expressions, as a column of the expression's type would hold it.
    pub fn cell(self, expression: &Expression) -> Value {
        let (datum, null) = self.datum(expression);
        // SAFETY: the datum is of the expression's type.
        unsafe { Decoder::new(expression.type_oid).decode(datum, null) }
    }

    fn datum(self, expression: &Expression) -> (Datum, bool) {
        let mut null = false;
        let context = self.node().ss.ps.ps_ExprContext;
        // SAFETY: an expression made for this node, in this node's context.
        let datum = unsafe { pg_sys::ExecEvalExprSwitchContext(expression.state, context, &mut null) };
        (datum, null)
    }

    /// Runs `work` with memory that lasts until the next row.
    pub fn for_this_row<T>(self, work: impl FnOnce() -> T) -> T {
        // SAFETY: a scan that the executor has set up has an expression context.
        let memory = unsafe { (*self.node().ss.ps.ps_ExprContext).ecxt_per_tuple_memory };
        // SAFETY: nothing of the row before is in use any more.
        unsafe { pg_sys::MemoryContextReset(memory) };
        // SAFETY: a live context.
        unsafe { memory::within(memory, work) }
    }

    /// Runs `work` with memory that lasts as long as the statement.
    ///
    /// Postgres calls the callbacks that return rows in memory that lasts until the next row.
    /// <https://www.postgresql.org/docs/current/fdw-callbacks.html#FDW-CALLBACKS-SCAN>
    pub fn for_the_statement<T>(self, work: impl FnOnce() -> T) -> T {
        // SAFETY: live as long as its nodes.
        unsafe { memory::within(self.memory(), work) }
    }

    /// The memory that lasts as long as the statement.
    fn memory(self) -> pg_sys::MemoryContext {
        // SAFETY: an executor's state lives as long as its nodes.
        unsafe { (*self.node().ss.ps.state).es_query_cxt }
    }

    /// Counts records that the scan has changed for the command tag, and as its rows for EXPLAIN ANALYZE.
    pub fn count(self, changed: u64) {
        // SAFETY: a node's state is live, and nobody else holds a reference to it now.
        unsafe { (*self.node().ss.ps.state).es_processed += changed };
        // SAFETY: null, or this node's own.
        if let Some(instrument) = unsafe { self.node().ss.ps.instrument.as_mut() } {
            instrument.tuplecount += changed as f64;
        }
    }

    /// Whether parameters that the scan depends on have changed since it began.
    pub fn parameters_changed(self) -> bool {
        !self.node().ss.ps.chgParam.is_null()
    }

    /// A scan has one from the moment it is asked for rows.
    pub fn slot(self) -> Option<Slot<'e>> {
        Some(Slot { slot: NonNull::new(self.node().ss.ss_ScanTupleSlot)?, executor: PhantomData })
    }

    /// The next row of the plan below this scan, whose rows have the same columns; leaves the slot empty at the end.
    pub fn row_below(self, slot: &mut Slot<'_>) -> Result<()> {
        let below = self.node().ss.ps.lefttree;
        if below.is_null() {
            return Err(Error::new(Kind::Internal, "there is no plan below the scan"));
        }
        // A node keeps what it allocates, such as a sort or the partitions of a hash table, for as long as it runs.
        // SAFETY: a live node that the executor has set up.
        let row = self.for_the_statement(|| unsafe { pg_sys::ExecProcNode(below) });
        // SAFETY: null, or a slot of that node, which is live.
        if let Some(row) = unsafe { Slot::new(row) }.filter(|row| !row.is_empty()) {
            // SAFETY: two live slots of one row type. The copy is the slot's own.
            unsafe { pg_sys::ExecCopySlot(slot.as_ptr(), row.as_ptr()) };
        }
        Ok(())
    }

    /// Hangs a value on the scan; it is dropped with the executor's memory.
    pub fn keep<T>(mut self, value: T) {
        let kept = memory::keep(self.memory(), value);
        // SAFETY: a live node, of which nobody else holds a reference now.
        unsafe { self.node.as_mut() }.fdw_state = kept.cast();
    }

    /// # Safety
    /// What was kept, if anything, must be a `T`, and nobody else may hold a reference to it.
    pub unsafe fn kept<T>(self) -> Option<&'e mut T> {
        // SAFETY: by the contract above; it lives as long as the executor's memory.
        unsafe { self.node().fdw_state.cast::<T>().as_mut() }
    }
}

impl<'e> Slot<'e> {
    /// # Safety
    /// The slot must be null or live for `'e`.
    pub unsafe fn new(slot: *mut pg_sys::TupleTableSlot) -> Option<Self> {
        Some(Slot { slot: NonNull::new(slot)?, executor: PhantomData })
    }

    /// Whether it holds no row.
    pub fn is_empty(self) -> bool {
        // SAFETY: live by the contract of `new`.
        u32::from(unsafe { self.slot.as_ref() }.tts_flags) & pg_sys::TTS_FLAG_EMPTY != 0
    }

    /// Makes the row its own: a copy may hold on to the page that the original lies on.
    pub fn own(self) {
        // SAFETY: live by the contract of `new`; every kind of slot can.
        unsafe { pg_sys::ExecMaterializeSlot(self.slot.as_ptr()) };
    }

    /// Number of attributes.
    fn width(self) -> usize {
        // SAFETY: live by the contract of `new`; a slot knows its row type.
        usize::try_from(unsafe { (*self.slot.as_ref().tts_tupleDescriptor).natts }).unwrap_or(0)
    }

    fn datum(self, place: i16) -> (Datum, bool) {
        // SAFETY: live by the contract of `new`.
        let slot = unsafe { self.slot.as_ref() };
        // Whoever wants one cell mostly wants them all, and each call of Postgres has its price.
        if slot.tts_nvalid < place {
            // SAFETY: a live slot with a row.
            unsafe { pg_sys::slot_getallattrs(self.slot.as_ptr()) };
        }
        let at = usize::try_from(place - 1).unwrap_or(0);
        // SAFETY: a place that the row type has, and that has just been taken apart.
        unsafe { (*slot.tts_values.add(at), *slot.tts_isnull.add(at)) }
    }

    /// The cell at a place, counted from 1; `decoder` must be of its type.
    pub fn cell(self, place: i16, decoder: &mut Decoder) -> Value {
        let (datum, null) = self.datum(place);
        // SAFETY: the plan says of which type the place is.
        unsafe { decoder.decode(datum, null) }
    }

    /// The whole row at a place, which is a row of `table`; `None` if it is NULL.
    pub fn old_row(self, place: i16, table: pg_sys::Oid) -> Option<OldRow> {
        let (datum, null) = self.datum(place);
        if null {
            return None;
        }
        // SAFETY: the table is locked by the statement.
        let relation = unsafe { PgRelation::open(table) };
        let descriptor = relation.tuple_desc();
        let width = descriptor.len();
        let (mut values, mut nulls) = (vec![Datum::from(0); width], vec![true; width]);
        // SAFETY: a datum of a row type leads to a tuple's header.
        let header = unsafe { pg_sys::pg_detoast_datum(datum.cast_mut_ptr()) };
        // SAFETY: a detoasted datum says how long it is.
        let length = unsafe { pgrx::varsize_any(header) };
        let mut tuple = pg_sys::HeapTupleData {
            t_len: u32::try_from(length).unwrap_or(0),
            t_data: header.cast(),
            ..pg_sys::HeapTupleData::default()
        };
        // SAFETY: a tuple of this row type, and room for all of its attributes.
        unsafe {
            pg_sys::heap_deform_tuple(&mut tuple, descriptor.as_ptr(), values.as_mut_ptr(), nulls.as_mut_ptr());
        }
        Some(OldRow { values, nulls })
    }

    /// Replaces the row: `base`, or the slot's own row, or all NULL, changed by `fill`.
    pub fn replace(
        self,
        base: Option<&OldRow>,
        fill: impl FnOnce(&mut [Datum], &mut [bool]) -> Result<()>,
    ) -> Result<()> {
        let width = self.width();
        let (mut values, mut nulls) = match base {
            Some(row) => (row.values.clone(), row.nulls.clone()),
            None if self.is_empty() => (vec![Datum::from(0); width], vec![true; width]),
            None => (1..=width).map(|place| self.datum(place as i16)).unzip(),
        };
        values.resize(width, Datum::from(0));
        nulls.resize(width, true);
        fill(&mut values, &mut nulls)?;
        // SAFETY: live by the contract of `new`.
        let slot = unsafe { self.slot.as_ref() };
        let form = || {
            // SAFETY: a value and a null flag for each attribute of the slot's row type.
            unsafe { pg_sys::heap_form_tuple(slot.tts_tupleDescriptor, values.as_mut_ptr(), nulls.as_mut_ptr()) }
        };
        // SAFETY: the slot's own memory lives as long as the slot.
        let tuple = unsafe { memory::within(slot.tts_mcxt, form) };
        // SAFETY: a tuple of the slot's row type, which is the slot's from here on.
        unsafe { pg_sys::ExecForceStoreHeapTuple(tuple, self.slot.as_ptr(), true) };
        Ok(())
    }

    pub fn clear(&mut self) {
        // SAFETY: a scan's own slot, which knows its kind.
        let clear = unsafe { (*self.slot.as_ref().tts_ops).clear };
        if let Some(clear) = clear {
            // SAFETY: as ExecClearTuple does, without pgrx's guard: it raises no error, and every row calls it.
            unsafe { clear(self.slot.as_ptr()) };
        }
    }

    pub fn as_ptr(&self) -> *mut pg_sys::TupleTableSlot {
        self.slot.as_ptr()
    }

    /// Stores a row: `fill` gets a datum and a null flag for every attribute, all null at first.
    pub fn store(&mut self, fill: impl FnOnce(&mut [Datum], &mut [bool]) -> Result<()>) -> Result<()> {
        let width = self.width();
        // SAFETY: a scan's own slot.
        let slot = unsafe { self.slot.as_mut() };
        // SAFETY: a slot has a value and a null flag per attribute.
        let values = unsafe { std::slice::from_raw_parts_mut(slot.tts_values, width) };
        // SAFETY: likewise.
        let nulls = unsafe { std::slice::from_raw_parts_mut(slot.tts_isnull, width) };
        nulls.fill(true);
        fill(values, nulls)?;
        // SAFETY: the slot is empty, and every attribute has just been set.
        unsafe { ExecStoreVirtualTuple(slot) };
        Ok(())
    }
}

impl OldRow {
    /// The cell of an attribute; `decoder` must be of its type.
    pub fn cell(&self, attribute: i16, decoder: &mut Decoder) -> Value {
        let place = usize::try_from(attribute - 1).ok().filter(|place| *place < self.nulls.len());
        // SAFETY: the table says of which type its attributes are.
        place.map_or(Value::Null, |at| unsafe { decoder.decode(self.values[at], self.nulls[at]) })
    }
}
