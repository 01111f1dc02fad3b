//! EXPLAIN: the query that the API is asked, and after ANALYZE what it took.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::catalog;
use super::memory::c_text;
use super::scan;
use super::scan_plan::ScanPlan;
use crate::connector;
use crate::error::Result;

/// # Safety
/// As for an `ExplainForeignScan` callback.
pub unsafe fn foreign_scan(node: *mut pg_sys::ForeignScanState, explain: *mut pg_sys::ExplainState) -> Result<()> {
    // SAFETY: by the contract above; the plan was made by this wrapper.
    let (plan, server, verbose, counts) = unsafe {
        let plan = (*node).ss.ps.plan.cast::<pg_sys::ForeignScan>();
        (
            ScanPlan::from_list((*plan).fdw_private)?,
            catalog::server((*plan).fs_server)?,
            (*explain).verbose,
            scan::state(node).filter(|_| (*explain).analyze).map(|scan| scan.counts()),
        )
    };
    if verbose {
        // SAFETY: a live EXPLAIN.
        unsafe { text(explain, c"Remote Query", &connector::open(&server)?.explain(&plan.read)) };
    }
    if let Some(counts) = counts {
        for (label, count) in [
            (c"Requests", counts.requests),
            (c"Rows Received", counts.rows),
            (c"Bytes Received", counts.bytes),
            (c"Retries", counts.retries),
        ] {
            // SAFETY: a live EXPLAIN.
            unsafe { integer(explain, label, count) };
        }
    }
    Ok(())
}

/// # Safety
/// `explain` must be the state of a running EXPLAIN.
unsafe fn text(explain: *mut pg_sys::ExplainState, label: &CStr, value: &str) {
    // SAFETY: by the contract above, and two NUL-terminated strings.
    unsafe { pg_sys::ExplainPropertyText(label.as_ptr(), c_text(value), explain) };
}

/// # Safety
/// `explain` must be the state of a running EXPLAIN.
unsafe fn integer(explain: *mut pg_sys::ExplainState, label: &CStr, value: u64) {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    // SAFETY: by the contract above; no unit is a null pointer.
    unsafe {
        pg_sys::ExplainPropertyInteger(label.as_ptr(), std::ptr::null(), value, explain);
    }
}
