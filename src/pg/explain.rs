//! EXPLAIN: the query that the API is asked, and after ANALYZE what it took.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use pgrx::pg_sys;

use super::catalog::{self, Table};
use super::direct::{Direct, DirectPlan};
use super::executor::ScanNode;
use super::memory::c_text;
use super::modify::Modify;
use super::modify_plan::ModifyPlan;
use super::scan::Scan;
use super::scan_plan::ScanPlan;
use crate::connector;
use crate::error::Result;
use crate::http::meter::Counts;
use crate::query::change::Op;

/// Says what a scan asks for, and after ANALYZE (`scan`) what it took.
pub fn foreign_scan(node: ScanNode<'_>, scan: Option<&mut Scan>, explain: Explain<'_>) -> Result<()> {
    if explain.verbose() {
        let connector = connector::open(&catalog::server(node.server())?)?;
        explain.text(c"Remote Query", &connector.explain(&ScanPlan::of(node)?.read));
    }
    explain.counts(scan.map(|scan| scan.counts()));
    Ok(())
}

/// Says what a direct modification asks for and writes, and after ANALYZE (`direct`) what it took.
pub fn direct_modify(node: ScanNode<'_>, direct: Option<&mut Direct>, explain: Explain<'_>) -> Result<()> {
    if explain.verbose() {
        let plan = DirectPlan::of(node)?;
        let connector = connector::open(&catalog::server(node.server())?)?;
        explain.text(c"Remote Query", &connector.explain(&plan.scan.read));
        let records = connector.write_limits(plan.op).records;
        explain.text(c"Remote Write", &remote_write(plan.op, &plan.scan.read.object, records));
    }
    explain.counts(direct.map(|direct| direct.counts()));
    Ok(())
}

fn remote_write(op: Op, object: &str, records: usize) -> String {
    format!("{} {object}, batch size {records}", op.verb())
}

/// Says what a modification writes, and after ANALYZE (`modify`) what it took.
pub fn foreign_modify(
    plan: &ModifyPlan,
    table: pg_sys::Oid,
    modify: Option<&mut Modify>,
    explain: Explain<'_>,
) -> Result<()> {
    if explain.verbose() {
        let table = Table::read(table)?;
        let connector = connector::open(&catalog::server(table.server)?)?;
        let records = if plan.batched { connector.write_limits(plan.op).records } else { 1 };
        explain.text(c"Remote Write", &remote_write(plan.op, &table.object.name, records));
    }
    if let Some(modify) = modify.filter(|_| explain.analyze()) {
        let counts = modify.counts();
        explain.integer(c"Requests", counts.requests);
        explain.integer(c"Retries", counts.retries);
    }
    Ok(())
}

/// An EXPLAIN that is being written. Valid during a callback.
#[derive(Clone, Copy)]
pub struct Explain<'e> {
    state: NonNull<pg_sys::ExplainState>,
    explain: PhantomData<&'e ()>,
}

impl Explain<'_> {
    /// # Safety
    /// The state must be live for as long as the view.
    pub unsafe fn new(state: *mut pg_sys::ExplainState) -> Option<Self> {
        Some(Explain { state: NonNull::new(state)?, explain: PhantomData })
    }

    fn verbose(self) -> bool {
        // SAFETY: live by the contract of `new`.
        unsafe { self.state.as_ref() }.verbose
    }

    fn analyze(self) -> bool {
        // SAFETY: live by the contract of `new`.
        unsafe { self.state.as_ref() }.analyze
    }

    /// What it took, after ANALYZE.
    fn counts(self, counts: Option<Counts>) {
        if let Some(counts) = counts.filter(|_| self.analyze()) {
            self.integer(c"Requests", counts.requests);
            self.integer(c"Rows Received", counts.rows);
            self.integer(c"Bytes Received", counts.bytes);
            self.integer(c"Retries", counts.retries);
        }
    }

    fn text(self, label: &CStr, value: &str) {
        // SAFETY: two NUL-terminated strings and a live EXPLAIN.
        unsafe { pg_sys::ExplainPropertyText(label.as_ptr(), c_text(value), self.state.as_ptr()) };
    }

    fn integer(self, label: &CStr, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        // SAFETY: a NUL-terminated string, no unit, and a live EXPLAIN.
        unsafe { pg_sys::ExplainPropertyInteger(label.as_ptr(), ptr::null(), value, self.state.as_ptr()) };
    }
}
