//! The statements of this session that write to tables and are under way: what a trigger is not told about whoever
//! calls it.
//!
//! A statement that began before the library was loaded is not known, and COPY is none.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;

use pgrx::{PgList, pg_guard, pg_sys};

use super::memory::keep;

thread_local! {
    static LIVE: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
    /// When the transaction began that has an UPDATE which is not known.
    static UNKNOWN: Cell<Option<pg_sys::TimestampTz>> = const { Cell::new(None) };
}

static mut BEFORE: pg_sys::ExecutorStart_hook_type = None;

struct Known {
    state: *mut pg_sys::EState,
    /// What it runs in. What an abort leaves behind of a statement may stay for long, and point to what is gone.
    transaction: pg_sys::TimestampTz,
    part: pg_sys::SubTransactionId,
}

/// Begins to look at statements.
pub fn install() {
    // SAFETY: globals of the one thread that runs Postgres code, set while the library is being loaded.
    unsafe {
        BEFORE = pg_sys::ExecutorStart_hook;
        pg_sys::ExecutorStart_hook = Some(start);
    }
}

unsafe extern "C-unwind" {
    /// Not by pgrx's binding: an error must pass by as it is.
    fn standard_ExecutorStart(query: *mut pg_sys::QueryDesc, flags: c_int);
}

#[pg_guard]
unsafe extern "C-unwind" fn start(query: *mut pg_sys::QueryDesc, flags: c_int) {
    // SAFETY: set once, when the library was loaded. The arguments are passed on as they came; an error leaps over this
    // frame, on which nothing waits to be dropped.
    unsafe {
        match BEFORE {
            Some(before) => before(query, flags),
            None => standard_ExecutorStart(query, flags),
        }
    }
    // SAFETY: a statement has its state once it is started, unless somebody else's hook does not start it.
    let state = unsafe { (*query).estate };
    // SAFETY: likewise.
    if unsafe { !state.is_null() && !(*state).es_opened_result_relations.is_null() } {
        // SAFETY: likewise; what is kept there is dropped when the statement ends, by whatever way.
        keep(unsafe { (*state).es_query_cxt }, Live::begin(state));
    }
}

/// A statement that is known as long as this lives.
struct Live(*mut pg_sys::EState);

impl Live {
    fn begin(state: *mut pg_sys::EState) -> Live {
        // SAFETY: reads a variable.
        let part = unsafe { pg_sys::GetCurrentSubTransactionId() };
        LIVE.with_borrow_mut(|live| live.push(Known { state, transaction: transaction(), part }));
        Live(state)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A backend that exits may have no such list any more.
        let _ = LIVE.try_with(|live| live.borrow_mut().retain(|known| known.state != self.0));
    }
}

/// A statement that is under way, and the table of it that has a trigger.
#[derive(Clone, Copy)]
pub struct Statement {
    pub state: *mut pg_sys::EState,
    pub table: *mut pg_sys::ResultRelInfo,
}

/// The statement that has called a trigger, by which it calls the trigger.
///
/// # Safety
/// The trigger must be the one that is running.
pub unsafe fn caller(trigger: *const pg_sys::FmgrInfo) -> Option<Statement> {
    let calls = |table: &*mut pg_sys::ResultRelInfo| {
        // SAFETY: tables of a live statement; it has as many of these as triggers, or none.
        unsafe {
            let functions = (**table).ri_TrigFunctions.cast_const();
            let triggers = (**table).ri_TrigDesc.as_ref().map_or(0, |all| all.numtriggers as usize);
            !functions.is_null() && (functions..functions.add(triggers)).contains(&trigger)
        }
    };
    live().into_iter().find_map(|state| {
        // SAFETY: a live statement.
        let (opened, fired) = unsafe { tables(state) };
        let table = opened.iter_ptr().chain(fired.iter_ptr()).find(calls)?;
        Some(Statement { state, table })
    })
}

/// Notes an UPDATE that has called a trigger and is not known, or will not be when its other triggers come: a foreign key's
/// action, whose triggers the statement around it calls.
///
/// # Safety
/// As for [`caller`].
pub unsafe fn note_update(trigger: *const pg_sys::FmgrInfo) {
    // SAFETY: by the contract above.
    let caller = unsafe { caller(trigger) };
    // SAFETY: a live statement.
    let passes = |caller: Statement| unsafe { (*caller.state).es_top_eflags } & pg_sys::EXEC_FLAG_SKIP_TRIGGERS as i32;
    if caller.is_none_or(|caller| passes(caller) != 0) {
        UNKNOWN.set(Some(transaction()));
    }
}

/// Whether there may be rows that another statement than the trigger's has updated, and whose triggers have not come yet.
///
/// # Safety
/// As for [`caller`].
pub unsafe fn others_update(target: pg_sys::Oid, trigger: *const pg_sys::FmgrInfo) -> bool {
    // SAFETY: by the contract above.
    let own = unsafe { caller(trigger) }.map(|statement| statement.state);
    UNKNOWN.get() == Some(transaction()) || updates(target, own)
}

/// Whether a statement that is known, and is under way, may update rows of a table.
pub fn is_being_updated(target: pg_sys::Oid) -> bool {
    updates(target, None)
}

fn updates(target: pg_sys::Oid, own: Option<*mut pg_sys::EState>) -> bool {
    // SAFETY: an open table of a live statement.
    let is_target = |table: &*mut pg_sys::ResultRelInfo| unsafe { (*(**table).ri_RelationDesc).rd_id == target };
    let updates = |state: *mut pg_sys::EState| {
        // SAFETY: a live statement.
        let (opened, fired) = unsafe { tables(state) };
        // SAFETY: likewise.
        opened.iter_ptr().filter(is_target).any(|table| unsafe { may_update(state, table) })
            || fired.iter_ptr().any(|table| is_target(&table))
    };
    live().into_iter().any(|state| Some(state) != own && updates(state))
}

fn live() -> Vec<*mut pg_sys::EState> {
    // SAFETY: a look at the stack of subtransactions.
    let runs =
        |known: &&Known| known.transaction == transaction() && unsafe { pg_sys::SubTransactionIsActive(known.part) };
    LIVE.with_borrow(|live| live.iter().rev().filter(runs).map(|known| known.state).collect())
}

/// What tells this transaction from others of the session.
fn transaction() -> pg_sys::TimestampTz {
    // SAFETY: reads a variable.
    unsafe { pg_sys::GetCurrentTransactionStartTimestamp() }
}

/// The tables that a statement writes to, and others whose triggers it calls, by cascades.
///
/// # Safety
/// The statement must be live.
unsafe fn tables(state: *mut pg_sys::EState) -> (PgList<pg_sys::ResultRelInfo>, PgList<pg_sys::ResultRelInfo>) {
    // SAFETY: by the contract above; its lists hold what they are named after.
    unsafe {
        (PgList::from_pg((*state).es_opened_result_relations), PgList::from_pg((*state).es_trig_target_relations))
    }
}

/// Whether a statement may update rows of a table that it writes to.
///
/// # Safety
/// Both must be live.
unsafe fn may_update(state: *mut pg_sys::EState, table: *mut pg_sys::ResultRelInfo) -> bool {
    // SAFETY: by the contract above.
    unsafe {
        let statement = &*(*state).es_plannedstmt;
        match statement.commandType {
            _ if statement.hasModifyingCTE => true,
            pg_sys::CmdType::CMD_INSERT => !(*table).ri_onConflict.is_null(),
            pg_sys::CmdType::CMD_DELETE => false,
            _ => true,
        }
    }
}
