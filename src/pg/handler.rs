//! The callbacks that Postgres gets. Each is a shim: it hands its arguments on and raises what comes back.

use std::ffi::c_void;
use std::ptr;

use pgrx::{PgBox, pg_guard, pg_sys};

use super::aggregate::{self, Grouped};
use super::error::or_raise;
use super::executor::ScanNode;
use super::explain::{self, Explain};
use super::join;
use super::plan::{self, Relation};
use super::planner::{Join, Rel, WonPath, restrictions};
use super::scan::Scan;
use super::{analyze, import, node, plan_text};

/// What hangs on a relation of the planner.
enum Stage<'p> {
    Scan(Box<Relation<'p>>),
    /// What the API makes of a scan's records.
    Grouped(Box<Grouped<'p>>),
    /// The rows of a scan in the order that the query wants, and nothing else done to them.
    Ordered(Rel<'p>),
}

/// The table of callbacks.
pub fn routine() -> PgBox<pg_sys::FdwRoutine> {
    // SAFETY: a node of this type and tag, zeroed: every slot not set below is empty.
    let mut routine = unsafe { PgBox::<pg_sys::FdwRoutine>::alloc_node(pg_sys::NodeTag::T_FdwRoutine) };
    routine.GetForeignRelSize = Some(get_foreign_rel_size);
    routine.GetForeignPaths = Some(get_foreign_paths);
    routine.GetForeignJoinPaths = Some(get_foreign_join_paths);
    routine.GetForeignPlan = Some(get_foreign_plan);
    routine.GetForeignUpperPaths = Some(get_foreign_upper_paths);
    routine.BeginForeignScan = Some(begin_foreign_scan);
    routine.IterateForeignScan = Some(iterate_foreign_scan);
    routine.ReScanForeignScan = Some(re_scan_foreign_scan);
    routine.EndForeignScan = Some(end_foreign_scan);
    routine.ExplainForeignScan = Some(explain_foreign_scan);
    super::modify_handler::add(&mut routine);
    routine.AnalyzeForeignTable = Some(analyze_foreign_table);
    routine.ImportForeignSchema = Some(import_foreign_schema);
    routine.into_pg_boxed()
}

// SAFETY, for every block below: the arguments are Postgres's, as each callback promises them.

#[pg_guard]
unsafe extern "C-unwind" fn get_foreign_rel_size(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    table: pg_sys::Oid,
) {
    // SAFETY: see above.
    if let Some(rel) = unsafe { Rel::new(root, rel) } {
        rel.keep(Stage::Scan(Box::new(or_raise(plan::rel_size(rel, table)))));
    }
}

/// A relation of the planner, and what this wrapper keeps on it.
///
/// # Safety
/// As for [`Rel::new`]; if the relation keeps something, it must be this wrapper's.
unsafe fn planned<'p>(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
) -> Option<(Rel<'p>, &'p Stage<'p>)> {
    // SAFETY: by the contract above.
    let rel = unsafe { Rel::new(root, rel) }?;
    // SAFETY: nothing but stages is kept.
    Some((rel, unsafe { rel.kept::<Stage>() }?))
}

#[pg_guard]
unsafe extern "C-unwind" fn get_foreign_paths(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    _table: pg_sys::Oid,
) {
    // SAFETY: see above.
    if let Some((rel, Stage::Scan(relation))) = unsafe { planned(root, rel) } {
        or_raise(plan::paths(rel, relation));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn get_foreign_join_paths(
    root: *mut pg_sys::PlannerInfo,
    joined: *mut pg_sys::RelOptInfo,
    outer: *mut pg_sys::RelOptInfo,
    inner: *mut pg_sys::RelOptInfo,
    kind: pg_sys::JoinType::Type,
    extra: *mut pg_sys::JoinPathExtraData,
) {
    // SAFETY: see above.
    let (Some(rel), outer, inner) = (unsafe { (Rel::new(root, joined), planned(root, outer), planned(root, inner)) })
    else {
        return;
    };
    let (Some((_, Stage::Scan(outer))), Some((_, Stage::Scan(inner)))) = (outer, inner) else { return };
    // SAFETY: nothing but stages is kept. What pair of relations came first does not matter.
    if unsafe { rel.kept::<Stage>() }.is_some() {
        return;
    }
    // SAFETY: see above.
    let Some(join) = (unsafe { Join::new(rel, kind, (*extra).restrictlist) }) else { return };
    if let Some(relation) = or_raise(join::relation(rel, outer, inner, &join)) {
        or_raise(plan::paths(rel, &relation));
        rel.keep(Stage::Scan(Box::new(relation)));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn get_foreign_upper_paths(
    root: *mut pg_sys::PlannerInfo,
    stage: pg_sys::UpperRelationKind::Type,
    input: *mut pg_sys::RelOptInfo,
    output: *mut pg_sys::RelOptInfo,
    extra: *mut c_void,
) {
    // SAFETY: see above; a relation that this wrapper has not planned keeps nothing.
    let (input, output) = unsafe { (planned(root, input), Rel::new(root, output)) };
    let (Some((rel, below)), Some(output)) = (input, output) else { return };
    match (stage, below) {
        (pg_sys::UpperRelationKind::UPPERREL_GROUP_AGG, Stage::Scan(relation)) => {
            // SAFETY: at this stage it is a `GroupPathExtraData`.
            let wanted = unsafe { extra.cast::<pg_sys::GroupPathExtraData>().as_ref() };
            let grouping = wanted.and_then(|wanted| output.grouping(wanted));
            let grouped = grouping.and_then(|grouping| or_raise(aggregate::paths(rel, relation, output, &grouping)));
            if let Some(grouped) = grouped {
                output.keep(Stage::Grouped(Box::new(grouped)));
            }
        }
        (pg_sys::UpperRelationKind::UPPERREL_ORDERED, Stage::Scan(relation)) if relation.order.is_some() => {
            output.keep(Stage::Ordered(rel));
        }
        (pg_sys::UpperRelationKind::UPPERREL_FINAL, below) => {
            let (rel, ordered) = match below {
                Stage::Scan(_) => (rel, false),
                Stage::Ordered(scan) => (*scan, true),
                Stage::Grouped(_) => return,
            };
            // SAFETY: nothing but stages is kept. At this stage the rest is a `FinalPathExtraData`.
            let (scan, wanted) = unsafe { (rel.kept::<Stage>(), extra.cast::<pg_sys::FinalPathExtraData>().as_ref()) };
            if let (Some(Stage::Scan(relation)), Some(wanted)) = (scan, wanted) {
                plan::final_path(rel, relation, ordered, output, wanted);
            }
        }
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn get_foreign_plan(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    _table: pg_sys::Oid,
    path: *mut pg_sys::ForeignPath,
    target: *mut pg_sys::List,
    conditions: *mut pg_sys::List,
    outer: *mut pg_sys::Plan,
) -> *mut pg_sys::ForeignScan {
    // SAFETY: see above.
    let (Some((rel, stage)), Some(path)) = (unsafe { (planned(root, rel), WonPath::new(path)) }) else {
        return ptr::null_mut();
    };
    let plan = match stage {
        // SAFETY: see above.
        Stage::Scan(relation) => or_raise(plan::plan(rel, relation, &path, &unsafe { restrictions(conditions) })),
        Stage::Grouped(grouped) => aggregate::plan(grouped),
        Stage::Ordered(_) => return ptr::null_mut(),
    };
    let pointers = |nodes: &[node::Node]| node::list(nodes.iter().map(|node| node.as_ptr()));
    // SAFETY: lists of live expressions, and what the plan crosses with.
    unsafe {
        pg_sys::make_foreignscan(
            target,
            pointers(&plan.local),
            rel.number(),
            pointers(&plan.args),
            or_raise(plan_text::to_list(&plan.scan)),
            pg_sys::add_to_flat_tlist(ptr::null_mut(), pointers(&plan.columns)),
            pointers(&plan.recheck),
            outer,
        )
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn begin_foreign_scan(node: *mut pg_sys::ForeignScanState, eflags: i32) {
    let eflags = eflags as u32;
    if eflags & pg_sys::EXEC_FLAG_EXPLAIN_ONLY != 0 {
        return;
    }
    // SAFETY: reads a setting.
    let work_mem = usize::try_from(unsafe { pg_sys::work_mem }).unwrap_or(0) * 1024;
    let room = if eflags & pg_sys::EXEC_FLAG_REWIND != 0 { work_mem } else { 0 };
    // SAFETY: see above.
    if let Some(node) = unsafe { ScanNode::new(node) } {
        node.keep(or_raise(Scan::new(node, room)));
    }
}

/// A scan's node, and its state; no state under a plain EXPLAIN.
///
/// # Safety
/// As for [`ScanNode::new`].
unsafe fn running<'e>(node: *mut pg_sys::ForeignScanState) -> Option<(ScanNode<'e>, &'e mut Scan)> {
    // SAFETY: by the contract above.
    let node = unsafe { ScanNode::new(node) }?;
    // SAFETY: `begin_foreign_scan` keeps nothing but scans, and callbacks come one at a time.
    Some((node, unsafe { node.kept::<Scan>() }?))
}

#[pg_guard]
unsafe extern "C-unwind" fn iterate_foreign_scan(node: *mut pg_sys::ForeignScanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: see above.
    let Some((node, scan)) = (unsafe { running(node) }) else { return ptr::null_mut() };
    let Some(mut slot) = node.slot() else { return ptr::null_mut() };
    or_raise(scan.next(node, &mut slot));
    slot.as_ptr()
}

#[pg_guard]
unsafe extern "C-unwind" fn re_scan_foreign_scan(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: see above.
    if let Some((node, scan)) = unsafe { running(node) } {
        scan.rewind(node.parameters_changed());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end_foreign_scan(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: see above.
    if let Some((_, scan)) = unsafe { running(node) } {
        scan.end();
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn explain_foreign_scan(
    node: *mut pg_sys::ForeignScanState,
    state: *mut pg_sys::ExplainState,
) {
    // SAFETY: see above.
    if let (Some(view), Some(explain)) = unsafe { (ScanNode::new(node), Explain::new(state)) } {
        // SAFETY: see above.
        let scan = unsafe { running(node) }.map(|(_, scan)| scan);
        or_raise(explain::foreign_scan(view, scan, explain));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn analyze_foreign_table(
    relation: pg_sys::Relation,
    sampler: *mut pg_sys::AcquireSampleRowsFunc,
    blocks: *mut pg_sys::BlockNumber,
) -> bool {
    if analyze::is_unasked() {
        return false;
    }
    // SAFETY: see above.
    unsafe {
        *sampler = Some(acquire_sample_rows);
        *blocks = or_raise(analyze::blocks((*relation).rd_id, f64::from((*(*relation).rd_rel).reltuples)));
    }
    true
}

#[pg_guard]
unsafe extern "C-unwind" fn acquire_sample_rows(
    relation: pg_sys::Relation,
    level: i32,
    rows: *mut pg_sys::HeapTuple,
    room: i32,
    records: *mut f64,
    dead: *mut f64,
) -> i32 {
    // SAFETY: see above.
    let table = unsafe { (*relation).rd_id };
    let sample = or_raise(analyze::sample(table, usize::try_from(room).unwrap_or(0), level));
    // SAFETY: see above; there is room for as many rows as were asked for.
    unsafe {
        (*records, *dead) = (sample.records, 0.0);
        ptr::copy_nonoverlapping(sample.rows.as_ptr(), rows, sample.rows.len());
    }
    sample.rows.len() as i32
}

#[pg_guard]
unsafe extern "C-unwind" fn import_foreign_schema(
    statement: *mut pg_sys::ImportForeignSchemaStmt,
    server: pg_sys::Oid,
) -> *mut pg_sys::List {
    // SAFETY: see above.
    or_raise(unsafe { import::foreign_schema(statement, server) })
}
