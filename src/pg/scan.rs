//! Executing a scan: rows out of pages.
//!
//! The state hangs on the executor's memory context and is dropped with it, on success, error and abort;
//! dropping it ends what is still under way.
//! <https://www.postgresql.org/docs/current/fdw-callbacks.html#FDW-CALLBACKS-SCAN>

use std::sync::Arc;

use pgrx::pg_sys;

use super::catalog::Table;
use super::datum::{self, Encoder};
use super::error::Trail;
use super::node::nodes;
use super::scan_plan::ScanPlan;
use super::session::{Answers, Remote};
use super::{memory, version};
use crate::error::Result;
use crate::http::meter::{Counts, Meter};
use crate::query::page::{Page, Weigh};
use crate::value::Value;

/// One scan in execution.
pub struct Scan {
    plan: ScanPlan,
    table: Table,
    user: pg_sys::Oid,
    /// Per field of the read: where the cell goes, and how it becomes a datum.
    outputs: Vec<Output>,
    trail: Trail,
    /// The plan's expressions, ready to be evaluated, and their types.
    args: Vec<(*mut pg_sys::ExprState, pg_sys::Oid)>,
    meter: Arc<Meter>,
    answers: Option<Answers<Page>>,
    /// Whether a first row was wanted since the last (re)scan with new parameters.
    started: bool,
    /// Whether all pages have come.
    finished: bool,
    held: Held,
    /// The next row: which page, which record of it.
    page: usize,
    row: usize,
}

struct Output {
    /// Its index among the slot's values.
    place: usize,
    column: String,
    encoder: Encoder,
}

/// Pages in memory: the current one, and those before it as long as a rescan may want them.
struct Held {
    pages: Vec<Page>,
    weight: usize,
    /// What a rescan may keep, in bytes; 0 if none is expected.
    room: usize,
    /// Whether `pages` begins with the scan's first page.
    whole: bool,
}

impl Held {
    fn new(room: usize) -> Self {
        Held { pages: Vec::new(), weight: 0, room, whole: true }
    }

    /// Takes a page in; lets go of the ones before if they would not fit.
    fn push(&mut self, page: Page) {
        self.weight += page.weight();
        if self.weight > self.room && !self.pages.is_empty() {
            self.pages.clear();
            self.weight = page.weight();
            self.whole = false;
        }
        self.pages.push(page);
    }
}

impl Scan {
    /// Prepares a scan. Sends nothing and needs no credentials.
    ///
    /// # Safety
    /// `node` must be a foreign scan of this wrapper that the executor is starting.
    unsafe fn new(node: *mut pg_sys::ForeignScanState, eflags: i32) -> Result<Scan> {
        // SAFETY: by the contract above, for this whole function: the node, its plan and its relation live
        // as long as the executor's state.
        unsafe {
            let scan = (*node).ss.ps.plan.cast::<pg_sys::ForeignScan>();
            let plan = ScanPlan::from_list((*scan).fdw_private)?;
            let table = Table::read((*(*node).ss.ss_currentRelation).rd_id)?;
            let outputs = plan.attributes.iter().filter_map(|attribute| {
                let column = table.column(*attribute)?;
                Some(Output {
                    place: usize::try_from(attribute - 1).ok()?,
                    column: column.name.clone(),
                    encoder: Encoder::new(column.type_oid, column.modifier),
                })
            });
            let outputs: Vec<Output> = outputs.collect();
            let columns = outputs.iter().map(|output| output.column.as_str());
            let trail = Trail::new(&table.name, columns);
            let args = nodes((*scan).fdw_exprs).into_iter().map(|arg| {
                let state = pg_sys::ExecInitExpr(arg.as_ptr().cast(), &raw mut (*node).ss.ps);
                (state, arg.type_oid())
            });
            let args = args.collect();
            let rewinds = eflags as u32 & pg_sys::EXEC_FLAG_REWIND != 0;
            let room = if rewinds { pg_sys::work_mem as usize * 1024 } else { 0 };
            Ok(Scan {
                plan,
                table,
                user: version::scan_user(node),
                outputs,
                trail,
                args,
                meter: Arc::default(),
                answers: None,
                started: false,
                finished: false,
                held: Held::new(room),
                page: 0,
                row: 0,
            })
        }
    }

    /// Evaluates the operands and sends the first request; sends none if no record can match.
    ///
    /// # Safety
    /// `node` must be the scan's own node.
    unsafe fn start(&mut self, node: *mut pg_sys::ForeignScanState) -> Result<()> {
        self.started = true;
        // SAFETY: by the contract above.
        let context = unsafe { (*node).ss.ps.ps_ExprContext };
        let args: Vec<Value> = self
            .args
            .iter()
            .map(|(state, oid)| {
                let mut null = false;
                // SAFETY: an expression of this node in this node's context; the datum is of the
                // expression's type.
                unsafe {
                    let datum = pg_sys::ExecEvalExprSwitchContext(*state, context, &mut null);
                    datum::to_value(datum, null, *oid)
                }
            })
            .collect();
        let Some(read) = self.plan.read.bind(&args)? else {
            self.finished = true;
            return Ok(());
        };
        let remote = Remote::open(self.table.server, self.user)?;
        let jobs = remote.connector.read(&read)?;
        if jobs.is_empty() {
            self.finished = true;
        } else {
            self.answers = Some(remote.stream(jobs, Arc::clone(&self.meter)));
        }
        Ok(())
    }

    /// Moves to the next record. False at the end.
    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(page) = self.held.pages.get(self.page) {
                if self.row < page.rows() {
                    return Ok(true);
                }
                if self.page + 1 < self.held.pages.len() {
                    self.page += 1;
                    self.row = 0;
                    continue;
                }
            }
            if self.finished {
                return Ok(false);
            }
            let next = match &mut self.answers {
                Some(answers) => answers.receive()?,
                None => None,
            };
            match next {
                Some(page) => {
                    self.held.push(page);
                    self.page = self.held.pages.len() - 1;
                    self.row = 0;
                }
                None => {
                    self.finished = true;
                    self.answers = None;
                }
            }
        }
    }

    /// Puts the current record into the slot and steps on.
    ///
    /// # Safety
    /// The slot must be the scan's own.
    unsafe fn fill(&mut self, slot: *mut pg_sys::TupleTableSlot) -> Result<()> {
        let cells = self.held.pages[self.page].row(self.row);
        self.row += 1;
        // SAFETY: by the contract above the slot has a value and a null flag per attribute of the table, and
        // `place` is an attribute's index.
        unsafe {
            let width = (*(*slot).tts_tupleDescriptor).natts as usize;
            let nulls = std::slice::from_raw_parts_mut((*slot).tts_isnull, width);
            let values = std::slice::from_raw_parts_mut((*slot).tts_values, width);
            nulls.fill(true);
            self.trail.enter();
            for (at, (output, cell)) in self.outputs.iter_mut().zip(cells).enumerate() {
                self.trail.at(at);
                let datum = output.encoder.encode(cell);
                if let Some(datum) = datum.map_err(|error| error.column(&output.column))? {
                    values[output.place] = datum;
                    nulls[output.place] = false;
                }
            }
            self.trail.leave();
            pg_sys::ExecStoreVirtualTuple(slot);
        }
        Ok(())
    }

    /// Begins anew: with what is held if that is the beginning and nothing changed, else by asking again.
    fn rewind(&mut self, parameters_changed: bool) {
        if parameters_changed || !self.held.whole {
            self.answers = None;
            self.started = false;
            self.finished = false;
            self.held = Held::new(self.held.room);
        }
        self.page = 0;
        self.row = 0;
    }

    /// What the scan has cost so far.
    pub fn counts(&self) -> Counts {
        self.meter.snapshot()
    }
}

/// The state behind a node; `None` under a plain EXPLAIN.
///
/// # Safety
/// `node` must be a foreign scan of this wrapper.
pub unsafe fn state<'a>(node: *mut pg_sys::ForeignScanState) -> Option<&'a mut Scan> {
    // SAFETY: by the contract above, null or what `begin` put there.
    unsafe { (*node).fdw_state.cast::<Scan>().as_mut() }
}

/// # Safety
/// As for a `BeginForeignScan` callback.
pub unsafe fn begin(node: *mut pg_sys::ForeignScanState, eflags: i32) -> Result<()> {
    if eflags as u32 & pg_sys::EXEC_FLAG_EXPLAIN_ONLY != 0 {
        return Ok(());
    }
    // SAFETY: by the contract above.
    unsafe {
        let scan = Scan::new(node, eflags)?;
        (*node).fdw_state = memory::keep((*(*node).ss.ps.state).es_query_cxt, scan).cast();
    }
    Ok(())
}

/// # Safety
/// As for an `IterateForeignScan` callback.
pub unsafe fn iterate(node: *mut pg_sys::ForeignScanState) -> Result<*mut pg_sys::TupleTableSlot> {
    // SAFETY: by the contract above; the slot is the node's own.
    unsafe {
        let slot = (*node).ss.ss_ScanTupleSlot;
        pg_sys::ExecClearTuple(slot);
        if let Some(scan) = state(node) {
            if !scan.started {
                scan.start(node)?;
            }
            if scan.advance()? {
                scan.fill(slot)?;
            }
        }
        Ok(slot)
    }
}

/// # Safety
/// As for a `ReScanForeignScan` callback.
pub unsafe fn rescan(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: by the contract above.
    unsafe {
        if let Some(scan) = state(node) {
            scan.rewind(!(*node).ss.ps.chgParam.is_null());
        }
    }
}

/// # Safety
/// As for an `EndForeignScan` callback.
pub unsafe fn end(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: by the contract above.
    unsafe {
        if let Some(scan) = state(node) {
            // The rest of the state goes with the executor's memory.
            scan.answers = None;
            scan.held = Held::new(0);
        }
    }
}
