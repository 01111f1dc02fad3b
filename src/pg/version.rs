//! Where the major versions of Postgres differ.

use std::ffi::{CStr, c_int};
use std::ptr;

use pgrx::pg_sys;

/// What ends a process of ours that takes long, besides `lock_timeout`.
pub const TIMEOUTS: &[&CStr] = &[
    c"statement_timeout",
    c"idle_in_transaction_session_timeout",
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    c"transaction_timeout",
];

/// Whether this process has a lock.
pub fn holds_lock(tag: &pg_sys::LOCKTAG, mode: pg_sys::LOCKMODE) -> bool {
    // SAFETY: a look into the process's own table of locks.
    unsafe {
        #[cfg(any(feature = "pg14", feature = "pg15", feature = "pg16"))]
        {
            pg_sys::LockHeldByMe(tag, mode)
        }
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        {
            pg_sys::LockHeldByMe(tag, mode, false)
        }
    }
}

/// Rows and costs of a path.
#[derive(Clone, Copy)]
pub struct Estimate {
    pub rows: f64,
    /// Until the first row.
    pub startup: f64,
    pub total: f64,
}

/// Calls one of Postgres's functions that make foreign paths, whose arguments have grown in number.
macro_rules! foreign_path {
    ($create:ident($root:expr, $rel:expr, $target:expr, $estimate:expr, $($rest:expr),+; $private:expr)) => {{
        let Estimate { rows, startup, total } = $estimate;
        #[cfg(any(feature = "pg14", feature = "pg15", feature = "pg16"))]
        {
            pg_sys::$create($root, $rel, $target, rows, startup, total, $($rest),+, $private)
        }
        #[cfg(feature = "pg17")]
        {
            pg_sys::$create($root, $rel, $target, rows, startup, total, $($rest),+, ptr::null_mut(), $private)
        }
        #[cfg(feature = "pg18")]
        {
            pg_sys::$create($root, $rel, $target, rows, 0, startup, total, $($rest),+, ptr::null_mut(), $private)
        }
    }};
}

/// A path that scans a base relation.
///
/// # Safety
/// As for Postgres's function of this name.
pub unsafe fn create_foreignscan_path(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    estimate: Estimate,
    keys: *mut pg_sys::List,
    outer: pg_sys::Relids,
) -> *mut pg_sys::ForeignPath {
    let (target, below, private) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: by the contract above.
    unsafe { foreign_path!(create_foreignscan_path(root, rel, target, estimate, keys, outer, below; private)) }
}

/// A path that scans a join.
///
/// # Safety
/// As for Postgres's function of this name.
pub unsafe fn create_foreign_join_path(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    estimate: Estimate,
    keys: *mut pg_sys::List,
    outer: pg_sys::Relids,
) -> *mut pg_sys::ForeignPath {
    let (target, below, private) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: by the contract above.
    unsafe { foreign_path!(create_foreign_join_path(root, rel, target, estimate, keys, outer, below; private)) }
}

/// A path that answers a whole query level; `below`: what stands ready should it not.
///
/// # Safety
/// As for Postgres's function of this name.
pub unsafe fn create_foreign_upper_path(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    target: *mut pg_sys::PathTarget,
    estimate: Estimate,
    keys: *mut pg_sys::List,
    below: *mut pg_sys::Path,
    private: *mut pg_sys::List,
) -> *mut pg_sys::ForeignPath {
    // SAFETY: by the contract above.
    unsafe { foreign_path!(create_foreign_upper_path(root, rel, target, estimate, keys, below; private)) }
}

/// How detailed the statistics of a column shall be: 0 where none are wanted, -1 where nothing is said.
pub fn statistics_target(table: pg_sys::Oid, attribute: i16) -> i32 {
    // SAFETY: a catalogue look-up of a column that exists.
    #[cfg(any(feature = "pg14", feature = "pg15", feature = "pg16"))]
    unsafe {
        pg_sys::get_attstattarget(table, attribute)
    }
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    {
        let cache = pg_sys::SysCacheIdentifier::ATTNUM as c_int;
        let place = pg_sys::Anum_pg_attribute_attstattarget as i16;
        // SAFETY: a look-up by the two keys of this cache, and a number of the row that it finds.
        unsafe {
            let row = pg_sys::SearchSysCache2(cache, table.into(), pg_sys::Datum::from(attribute));
            if row.is_null() {
                return -1;
            }
            let mut null = false;
            let target = pg_sys::SysCacheGetAttr(cache, row, place, &mut null);
            pg_sys::ReleaseSysCache(row);
            if null { -1 } else { i32::from(target.value() as i16) }
        }
    }
}

/// Whether the current user may use a foreign server.
pub fn may_use_server(server: pg_sys::Oid) -> bool {
    let usage = pg_sys::ACL_USAGE as pg_sys::AclMode;
    // SAFETY: a catalogue look-up for the current user.
    #[cfg(any(feature = "pg14", feature = "pg15"))]
    let granted = unsafe { pg_sys::pg_foreign_server_aclcheck(server, pg_sys::GetUserId(), usage) };
    // SAFETY: likewise.
    #[cfg(not(any(feature = "pg14", feature = "pg15")))]
    let granted =
        unsafe { pg_sys::object_aclcheck(pg_sys::ForeignServerRelationId, server, pg_sys::GetUserId(), usage) };
    granted == pg_sys::AclResult::ACLCHECK_OK
}

/// Whether the current user owns a database, or may do what its owner may.
pub fn owns_database(database: pg_sys::Oid) -> bool {
    // SAFETY: a catalogue look-up for the current user.
    #[cfg(any(feature = "pg14", feature = "pg15"))]
    unsafe {
        pg_sys::pg_database_ownercheck(database, pg_sys::GetUserId())
    }
    // SAFETY: likewise.
    #[cfg(not(any(feature = "pg14", feature = "pg15")))]
    unsafe {
        pg_sys::object_ownercheck(pg_sys::DatabaseRelationId, database, pg_sys::GetUserId())
    }
}

/// The user whose mapping a modification uses: the owner of the view it goes through, else the current user.
///
/// # Safety
/// `target` must be one that the executor has set up.
pub unsafe fn target_user(target: *mut pg_sys::ResultRelInfo, state: *mut pg_sys::EState) -> pg_sys::Oid {
    // SAFETY: by the contract above.
    #[cfg(any(feature = "pg14", feature = "pg15"))]
    unsafe {
        // A partition that rows are routed to has no entry of its own.
        let number = match (*target).ri_RangeTableIndex {
            0 => (*(*target).ri_RootResultRelInfo).ri_RangeTableIndex,
            number => number,
        };
        let entry = pg_sys::list_nth((*state).es_range_table, number as i32 - 1);
        match (*entry.cast::<pg_sys::RangeTblEntry>()).checkAsUser {
            pg_sys::InvalidOid => pg_sys::GetUserId(),
            user => user,
        }
    }
    // SAFETY: by the contract above.
    #[cfg(not(any(feature = "pg14", feature = "pg15")))]
    unsafe {
        pg_sys::ExecGetResultRelCheckAsUser(target, state)
    }
}

/// The user whose mapping a scan uses: the owner of the view it stands in, else the current user.
///
/// # Safety
/// `node` must be a foreign scan that the executor is starting.
pub unsafe fn scan_user(node: *mut pg_sys::ForeignScanState) -> pg_sys::Oid {
    // SAFETY: by the contract above.
    let user = unsafe {
        let scan = (*node).ss.ps.plan.cast::<pg_sys::ForeignScan>();
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        {
            let range_table = (*(*node).ss.ps.state).es_range_table;
            // A scan of groups or of a join has several relations, of one user.
            let number = match (*scan).scan.scanrelid {
                0 => pg_sys::bms_next_member((*scan).fs_relids, -1),
                number => number as i32,
            };
            let entry = pg_sys::list_nth(range_table, number - 1);
            (*entry.cast::<pg_sys::RangeTblEntry>()).checkAsUser
        }
        #[cfg(not(any(feature = "pg14", feature = "pg15")))]
        {
            (*scan).checkAsUser
        }
    };
    if user != pg_sys::InvalidOid {
        return user;
    }
    // SAFETY: reads the backend's current user.
    unsafe { pg_sys::GetUserId() }
}

/// A set of events to wait for that lasts as long as the backend.
///
/// # Safety
/// As for Postgres's function of this name.
pub unsafe fn create_wait_event_set(room: c_int) -> *mut pg_sys::WaitEventSet {
    // SAFETY: by the contract above; this memory is never freed.
    #[cfg(any(feature = "pg14", feature = "pg15", feature = "pg16"))]
    unsafe {
        pg_sys::CreateWaitEventSet(pg_sys::TopMemoryContext, room)
    }
    // SAFETY: by the contract above; without an owner nothing frees it.
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    unsafe {
        pg_sys::CreateWaitEventSet(ptr::null_mut(), room)
    }
}

/// Which state of the target's row a column in RETURNING shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    Before,
    After,
}

/// Which state of a row a column in RETURNING is said to be of: since 18 by `old.` or `new.`.
#[cfg_attr(not(feature = "pg18"), expect(unused_variables))]
pub fn row_state(column: &pg_sys::Var) -> Option<RowState> {
    #[cfg(feature = "pg18")]
    match column.varreturningtype {
        pg_sys::VarReturningType::VAR_RETURNING_OLD => return Some(RowState::Before),
        pg_sys::VarReturningType::VAR_RETURNING_NEW => return Some(RowState::After),
        _ => {}
    }
    None
}

/// Whether a path key is of descending order.
pub fn descends(key: &pg_sys::PathKey) -> bool {
    #[cfg(not(feature = "pg18"))]
    {
        key.pk_strategy as u32 == pg_sys::BTGreaterStrategyNumber
    }
    #[cfg(feature = "pg18")]
    {
        key.pk_cmptype == pg_sys::CompareType::COMPARE_GT
    }
}

/// Says what a signal does, in a process of our own.
pub fn set_signal(signal: c_int, handler: unsafe extern "C-unwind" fn(c_int)) {
    // SAFETY: a handler of Postgres's own.
    #[cfg(not(feature = "pg18"))]
    unsafe {
        pg_sys::pqsignal(signal, Some(handler));
    }
    // SAFETY: likewise.
    #[cfg(feature = "pg18")]
    unsafe {
        pg_sys::pqsignal_be(signal, Some(handler));
    }
}

/// Hands the counters of tables to the statistics collector, between two transactions.
pub fn report_statistics() {
    // SAFETY: in no transaction.
    unsafe { pg_sys::pgstat_report_stat(false) };
}

/// A column of a row's description, by its place.
///
/// # Safety
/// The description must have it.
pub unsafe fn attribute(description: pg_sys::TupleDesc, place: i16) -> *mut pg_sys::FormData_pg_attribute {
    let at = c_int::from(place) - 1;
    // SAFETY: by the contract above.
    #[cfg(not(feature = "pg18"))]
    unsafe {
        (*description).attrs.as_mut_ptr().add(at as usize)
    }
    // SAFETY: likewise.
    #[cfg(feature = "pg18")]
    unsafe {
        pg_sys::TupleDescAttr(description, at)
    }
}

/// Where the row is that one which is not stored yet meets in these indexes.
///
/// # Safety
/// As for Postgres's function `ExecCheckIndexConstraints`.
pub unsafe fn met_in_indexes(
    table: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
    indexes: *mut pg_sys::List,
) -> Option<pg_sys::ItemPointerData> {
    let mut met = pg_sys::ItemPointerData::default();
    // SAFETY: by the contract above.
    #[cfg(not(feature = "pg18"))]
    let none = unsafe { pg_sys::ExecCheckIndexConstraints(table, slot, state, &mut met, indexes) };
    // SAFETY: likewise; no row is to be passed over.
    #[cfg(feature = "pg18")]
    let none = unsafe {
        let mut own = pg_sys::ItemPointerData::default();
        pg_sys::ExecCheckIndexConstraints(table, slot, state, &mut met, &mut own, indexes)
    };
    (!none).then_some(met)
}

/// The source of the value that RESET gives a setting; the default if the setting does not exist.
pub fn reset_source(name: &CStr) -> pg_sys::GucSource::Type {
    #[cfg(any(feature = "pg14", feature = "pg15"))]
    let found = {
        // SAFETY: as many settings as are said, each with its name.
        let mut all = unsafe {
            let count = usize::try_from(pg_sys::GetNumConfigOptions()).unwrap_or(0);
            std::slice::from_raw_parts(pg_sys::get_guc_variables(), count).iter()
        };
        // SAFETY: the same. The case of a name is that of its first use.
        all.find(|one| unsafe { CStr::from_ptr((***one).name) }.to_bytes().eq_ignore_ascii_case(name.to_bytes()))
            .map_or(ptr::null_mut(), |one| *one)
    };
    #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
    // SAFETY: looks a setting up, and makes none.
    let found = unsafe { pg_sys::find_option(name.as_ptr(), false, true, 0) };
    // SAFETY: null, or a setting.
    unsafe { found.as_ref() }.map_or(pg_sys::GucSource::PGC_S_DEFAULT, |found| found.reset_source)
}
