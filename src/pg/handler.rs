//! The callbacks that Postgres gets. Each is a shim: it hands its arguments on and raises what comes back.

use std::ffi::c_void;

use pgrx::{PgBox, pg_guard, pg_sys};

use super::error::or_raise;
use super::{explain, import, plan, scan};

/// The table of callbacks.
pub fn routine() -> PgBox<pg_sys::FdwRoutine> {
    // SAFETY: a node of this type and tag, zeroed: every slot not set below is empty.
    let mut routine = unsafe { PgBox::<pg_sys::FdwRoutine>::alloc_node(pg_sys::NodeTag::T_FdwRoutine) };
    routine.GetForeignRelSize = Some(get_foreign_rel_size);
    routine.GetForeignPaths = Some(get_foreign_paths);
    routine.GetForeignPlan = Some(get_foreign_plan);
    routine.GetForeignUpperPaths = Some(get_foreign_upper_paths);
    routine.BeginForeignScan = Some(begin_foreign_scan);
    routine.IterateForeignScan = Some(iterate_foreign_scan);
    routine.ReScanForeignScan = Some(re_scan_foreign_scan);
    routine.EndForeignScan = Some(end_foreign_scan);
    routine.ExplainForeignScan = Some(explain_foreign_scan);
    routine.ImportForeignSchema = Some(import_foreign_schema);
    routine.into_pg_boxed()
}

#[pg_guard]
unsafe extern "C-unwind" fn get_foreign_rel_size(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    table: pg_sys::Oid,
) {
    // SAFETY: Postgres's arguments, as the callback promises them. So below.
    or_raise(unsafe { plan::rel_size(root, rel, table) });
}

#[pg_guard]
unsafe extern "C-unwind" fn get_foreign_paths(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    _table: pg_sys::Oid,
) {
    // SAFETY: see above.
    unsafe { plan::paths(root, rel) };
}

#[pg_guard]
unsafe extern "C-unwind" fn get_foreign_plan(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    _table: pg_sys::Oid,
    path: *mut pg_sys::ForeignPath,
    target: *mut pg_sys::List,
    restrictions: *mut pg_sys::List,
    outer: *mut pg_sys::Plan,
) -> *mut pg_sys::ForeignScan {
    // SAFETY: see above.
    or_raise(unsafe { plan::plan(root, rel, path, target, restrictions, outer) })
}

#[pg_guard]
unsafe extern "C-unwind" fn get_foreign_upper_paths(
    root: *mut pg_sys::PlannerInfo,
    stage: pg_sys::UpperRelationKind::Type,
    input: *mut pg_sys::RelOptInfo,
    output: *mut pg_sys::RelOptInfo,
    extra: *mut c_void,
) {
    if stage == pg_sys::UpperRelationKind::UPPERREL_FINAL {
        // SAFETY: see above; at this stage `extra` is a `FinalPathExtraData`.
        unsafe { plan::final_path(root, input, output, extra.cast()) };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn begin_foreign_scan(node: *mut pg_sys::ForeignScanState, eflags: i32) {
    // SAFETY: see above.
    or_raise(unsafe { scan::begin(node, eflags) });
}

#[pg_guard]
unsafe extern "C-unwind" fn iterate_foreign_scan(node: *mut pg_sys::ForeignScanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: see above.
    or_raise(unsafe { scan::iterate(node) })
}

#[pg_guard]
unsafe extern "C-unwind" fn re_scan_foreign_scan(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: see above.
    unsafe { scan::rescan(node) };
}

#[pg_guard]
unsafe extern "C-unwind" fn end_foreign_scan(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: see above.
    unsafe { scan::end(node) };
}

#[pg_guard]
unsafe extern "C-unwind" fn explain_foreign_scan(
    node: *mut pg_sys::ForeignScanState,
    explain: *mut pg_sys::ExplainState,
) {
    // SAFETY: see above.
    or_raise(unsafe { explain::foreign_scan(node, explain) });
}

#[pg_guard]
unsafe extern "C-unwind" fn import_foreign_schema(
    statement: *mut pg_sys::ImportForeignSchemaStmt,
    server: pg_sys::Oid,
) -> *mut pg_sys::List {
    // SAFETY: see above.
    or_raise(unsafe { import::foreign_schema(statement, server) })
}
