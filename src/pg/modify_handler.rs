//! The callbacks of INSERT, UPDATE, DELETE and COPY. As in [`super::handler`], each is a shim.

use std::ffi::c_int;
use std::ptr;

use pgrx::{pg_guard, pg_sys};

use super::catalog::Table;
use super::direct::{self, Direct};
use super::error::{or_raise, raise};
use super::executor::{ScanNode, Slot};
use super::explain::{self, Explain};
use super::modify::{Modify, Places};
use super::modify_node::{ModifyNode, Target, for_this_row};
use super::modify_plan::{self, ModifyPlan, OLD_ROW, c_name, key_name};
use super::modify_planner::{DirectTarget, Modification, ModifyPlanNode};
use super::plan_text;
use super::read_ahead::ReadAhead;
use crate::error::{Error, Kind, Result};
use crate::query::change::Op;

/// Sets the callbacks of modifications.
pub fn add(routine: &mut pg_sys::FdwRoutine) {
    routine.IsForeignRelUpdatable = Some(is_foreign_rel_updatable);
    routine.AddForeignUpdateTargets = Some(add_foreign_update_targets);
    routine.PlanForeignModify = Some(plan_foreign_modify);
    routine.BeginForeignModify = Some(begin_foreign_modify);
    routine.ExecForeignInsert = Some(exec_foreign_modify);
    routine.ExecForeignUpdate = Some(exec_foreign_modify);
    routine.ExecForeignDelete = Some(exec_foreign_modify);
    routine.BeginForeignInsert = Some(begin_foreign_insert);
    routine.EndForeignInsert = Some(end_foreign_insert);
    routine.ExplainForeignModify = Some(explain_foreign_modify);
    routine.PlanDirectModify = Some(plan_direct_modify);
    routine.BeginDirectModify = Some(begin_direct_modify);
    routine.IterateDirectModify = Some(iterate_direct_modify);
    routine.EndDirectModify = Some(end_direct_modify);
    routine.ExplainDirectModify = Some(explain_direct_modify);
}

// SAFETY, for every block below: the arguments are Postgres's, as each callback promises them.

/// One bit for each command that the table's option `operations` names.
#[pg_guard]
unsafe extern "C-unwind" fn is_foreign_rel_updatable(relation: pg_sys::Relation) -> c_int {
    // SAFETY: see above.
    let table = or_raise(Table::read(unsafe { (*relation).rd_id }));
    let can = table.object.operations;
    let bit = |can: bool, command: pg_sys::CmdType::Type| if can { 1 << command } else { 0 };
    bit(can.insert, pg_sys::CmdType::CMD_INSERT)
        | bit(can.update, pg_sys::CmdType::CMD_UPDATE)
        | bit(can.delete, pg_sys::CmdType::CMD_DELETE)
}

#[pg_guard]
unsafe extern "C-unwind" fn add_foreign_update_targets(
    root: *mut pg_sys::PlannerInfo,
    number: pg_sys::Index,
    _entry: *mut pg_sys::RangeTblEntry,
    relation: pg_sys::Relation,
) {
    // SAFETY: see above.
    let (modification, table) = unsafe { (Modification::new(root), (*relation).rd_id) };
    if let Some(modification) = modification {
        or_raise(modify_plan::row_identity(modification, number, table));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn plan_foreign_modify(
    root: *mut pg_sys::PlannerInfo,
    node: *mut pg_sys::ModifyTable,
    number: pg_sys::Index,
    target: c_int,
) -> *mut pg_sys::List {
    // SAFETY: see above.
    let (Some(modification), Some(node)) = (unsafe { (Modification::new(root), ModifyPlanNode::new(node)) }) else {
        return ptr::null_mut();
    };
    let table = modification.table(number);
    let plan = or_raise(modify_plan::plan(modification, node, number, target, table));
    or_raise(plan_text::to_list(&plan))
}

#[pg_guard]
unsafe extern "C-unwind" fn begin_foreign_modify(
    node: *mut pg_sys::ModifyTableState,
    target: *mut pg_sys::ResultRelInfo,
    private: *mut pg_sys::List,
    _number: c_int,
    eflags: c_int,
) {
    if eflags as u32 & pg_sys::EXEC_FLAG_EXPLAIN_ONLY != 0 {
        return;
    }
    // SAFETY: see above.
    let (Some(node), Some(target)) = (unsafe { (ModifyNode::new(node), Target::new(target)) }) else { return };
    // SAFETY: `plan_foreign_modify` made the list.
    let plan: ModifyPlan = or_raise(unsafe { plan_text::from_list(private) });
    let batched = plan.batched;
    let modify = or_raise(begin(node, target, plan));
    let whole = or_raise(modify.reads_before(&node.tables()));
    let modify = target.keep(node.state(), modify);
    if batched || whole {
        let modify = if batched { modify } else { ptr::null_mut() };
        // SAFETY: the node's input has just been set up, and all three live as long as the executor's memory.
        unsafe { ReadAhead::wrap(node.input(), node.state(), modify, whole) };
    }
}

fn begin(node: ModifyNode<'_>, target: Target<'_>, plan: ModifyPlan) -> Result<Modify> {
    let mut places = Places::default();
    if plan.op != Op::Insert {
        let table = Table::read(target.table())?;
        places.key = table.key().and_then(|key| node.place_of(&c_name(&key_name(key))));
        places.old_row = node.place_of(&c_name(OLD_ROW));
    }
    Modify::new(plan, target.table(), target.user(node.state()), places)
}

/// One row: sent now, unless it was read ahead and sent with others.
#[pg_guard]
unsafe extern "C-unwind" fn exec_foreign_modify(
    state: *mut pg_sys::EState,
    target: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    plan_slot: *mut pg_sys::TupleTableSlot,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: see above; a target keeps nothing but a `Modify`.
    let modify = unsafe { Target::new(target).and_then(|target| target.kept::<Modify>()) };
    // SAFETY: see above.
    let (Some(modify), Some(row)) = (modify, unsafe { Slot::new(slot) }) else { return ptr::null_mut() };
    // SAFETY: see above. COPY has no plan, and so no row of one.
    let plan_row = unsafe { Slot::new(plan_slot) }.unwrap_or(row);
    // SAFETY: the executor's state is live.
    let changed = or_raise(unsafe { for_this_row(state, || exec(modify, row, plan_row)) });
    if changed { slot } else { ptr::null_mut() }
}

fn exec(modify: &mut Modify, row: Slot<'_>, plan_row: Slot<'_>) -> Result<bool> {
    if modify.collects {
        if modify.table_row(row, plan_row)? {
            modify.flush()?;
        }
        return Ok(true);
    }
    if !modify.plan.batched {
        modify.table_row(row, plan_row)?;
    }
    modify.answer(row, plan_row)
}

/// COPY, or rows that a partitioned table routes here.
#[pg_guard]
unsafe extern "C-unwind" fn begin_foreign_insert(
    node: *mut pg_sys::ModifyTableState,
    target: *mut pg_sys::ResultRelInfo,
) {
    // SAFETY: see above.
    let (Some(node), Some(target)) = (unsafe { (ModifyNode::new(node), Target::new(target)) }) else { return };
    if target.is_taken() {
        raise(
            &Error::new(Kind::NotSupported, "rows cannot be moved into a foreign table that the statement updates too")
                .hint("Update the foreign table and the other partitions by statements of their own."),
        );
    }
    let modify = or_raise(insert(node, target));
    target.keep(node.state(), modify);
}

fn insert(node: ModifyNode<'_>, target: Target<'_>) -> Result<Modify> {
    let table = Table::read(target.table())?;
    let after = table.triggers.after(Op::Insert);
    let routed = node.plan();
    let returns = routed.is_some_and(|plan| plan.returns());
    let plan = ModifyPlan {
        op: Op::Insert,
        // Which columns were named is not to be known here: NULL counts as unset.
        given: Vec::new(),
        defaulted: Vec::new(),
        returning: modify_plan::returning(&table, Op::Insert, after || returns, &Default::default()),
        returns,
        batched: false,
        touched: true,
        skip_duplicates: routed.is_some_and(|plan| plan.skips_conflicts()),
    };
    let watched = after || table.triggers.before(Op::Insert) || table.computes || target.ends_with_trigger();
    let collects = routed.is_none() && !watched;
    let mut modify = Modify::new(plan, target.table(), target.user(node.state()), Places::default())?;
    modify.collects = collects;
    Ok(modify)
}

#[pg_guard]
unsafe extern "C-unwind" fn end_foreign_insert(state: *mut pg_sys::EState, target: *mut pg_sys::ResultRelInfo) {
    // SAFETY: see above; a target keeps nothing but a `Modify`.
    if let Some(modify) = unsafe { Target::new(target).and_then(|target| target.kept::<Modify>()) } {
        // SAFETY: the executor's state is live.
        or_raise(unsafe { for_this_row(state, || modify.flush()) });
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn explain_foreign_modify(
    _node: *mut pg_sys::ModifyTableState,
    target: *mut pg_sys::ResultRelInfo,
    private: *mut pg_sys::List,
    _number: c_int,
    state: *mut pg_sys::ExplainState,
) {
    // SAFETY: see above.
    if let (Some(target), Some(explain)) = unsafe { (Target::new(target), Explain::new(state)) } {
        // SAFETY: `plan_foreign_modify` made the list.
        let plan: ModifyPlan = or_raise(unsafe { plan_text::from_list(private) });
        // SAFETY: a target keeps nothing but a `Modify`; it keeps none under a plain EXPLAIN.
        let modify = unsafe { target.kept::<Modify>() };
        or_raise(explain::foreign_modify(&plan, target.table(), modify, explain));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn plan_direct_modify(
    root: *mut pg_sys::PlannerInfo,
    node: *mut pg_sys::ModifyTable,
    number: pg_sys::Index,
    _target: c_int,
) -> bool {
    // SAFETY: see above.
    let (Some(modification), Some(node)) = (unsafe { (Modification::new(root), ModifyPlanNode::new(node)) }) else {
        return false;
    };
    let target = DirectTarget::below(node, number);
    match (target, modification.relation(number)) {
        (Some(target), Some(rel)) => or_raise(direct::plan(modification, rel, target, modification.table(number))),
        _ => false,
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn begin_direct_modify(node: *mut pg_sys::ForeignScanState, eflags: c_int) {
    if eflags as u32 & pg_sys::EXEC_FLAG_EXPLAIN_ONLY != 0 {
        return;
    }
    // SAFETY: see above.
    if let Some(node) = unsafe { ScanNode::new(node) } {
        node.keep(or_raise(Direct::new(node)));
    }
}

/// A direct modification's node, and its state; no state under a plain EXPLAIN.
///
/// # Safety
/// As for [`ScanNode::new`].
unsafe fn running<'e>(node: *mut pg_sys::ForeignScanState) -> Option<(ScanNode<'e>, &'e mut Direct)> {
    // SAFETY: by the contract above.
    let node = unsafe { ScanNode::new(node) }?;
    // SAFETY: `begin_direct_modify` keeps nothing else, and callbacks come one at a time.
    Some((node, unsafe { node.kept::<Direct>() }?))
}

/// Modifies everything at once, and returns no row.
#[pg_guard]
unsafe extern "C-unwind" fn iterate_direct_modify(node: *mut pg_sys::ForeignScanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: see above.
    let Some((view, direct)) = (unsafe { running(node) }) else { return ptr::null_mut() };
    // It goes through all records at once: what it allocates outlives each of them.
    let changed = or_raise(view.for_the_statement(|| direct.run(view)));
    view.count(changed);
    ptr::null_mut()
}

#[pg_guard]
unsafe extern "C-unwind" fn end_direct_modify(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: see above.
    if let Some((_, direct)) = unsafe { running(node) } {
        direct.end();
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn explain_direct_modify(
    node: *mut pg_sys::ForeignScanState,
    state: *mut pg_sys::ExplainState,
) {
    // SAFETY: see above.
    if let (Some(view), Some(explain)) = unsafe { (ScanNode::new(node), Explain::new(state)) } {
        // SAFETY: see above.
        let direct = unsafe { running(node) }.map(|(_, direct)| direct);
        or_raise(explain::direct_modify(view, direct, explain));
    }
}
