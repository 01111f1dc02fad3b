//! What core refuses on foreign tables before it asks their wrapper, said with the way out.
//!
//! Both hooks work in sessions that have loaded the library, as any use of a foreign table does.

use std::ffi::{CStr, c_char, c_int};

use pgrx::{PgList, pg_guard, pg_sys};

use super::catalog;
use super::error::raise;
use crate::error::{Error, Kind};

/// Puts the hooks in place, before those that are there.
pub fn install() {
    // SAFETY: globals of the one thread that runs Postgres code, set while the library is being loaded.
    unsafe {
        BEFORE = (pg_sys::planner_hook, pg_sys::emit_log_hook);
        pg_sys::planner_hook = Some(plan);
        pg_sys::emit_log_hook = Some(hint_at_upsert);
    }
}

static mut BEFORE: (pg_sys::planner_hook_type, pg_sys::emit_log_hook_type) = (None, None);

#[pg_guard]
unsafe extern "C-unwind" fn plan(
    query: *mut pg_sys::Query,
    text: *const c_char,
    options: c_int,
    params: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the planner's own query.
    unsafe { refuse_conflict_clauses(query) };
    // SAFETY: set once, when the library was loaded.
    let before = unsafe { BEFORE.0 };
    // SAFETY, for both: the arguments are passed on as they came.
    match before {
        // SAFETY: see above.
        Some(before) => unsafe { before(query, text, options, params) },
        // SAFETY: see above.
        None => unsafe { pg_sys::standard_planner(query, text, options, params) },
    }
}

/// There are no indexes to find conflicts by on a foreign table, and core would say only that.
///
/// # Safety
/// The query must be live.
unsafe fn refuse_conflict_clauses(query: *mut pg_sys::Query) {
    // SAFETY: by the contract above; its lists hold what they are named after.
    let Some(query) = (unsafe { query.as_ref() }) else { return };
    // SAFETY: likewise.
    let expressions = unsafe { PgList::<pg_sys::CommonTableExpr>::from_pg(query.cteList) };
    for expression in expressions.iter_ptr() {
        // SAFETY: a query once it is analysed.
        unsafe { refuse_conflict_clauses((*expression).ctequery.cast()) };
    }
    // SAFETY: null, or a live clause.
    let Some(clause) = (unsafe { query.onConflict.as_ref() }) else { return };
    let updates = clause.action == pg_sys::OnConflictAction::ONCONFLICT_UPDATE;
    if !updates && clause.arbiterElems.is_null() {
        return;
    }
    // SAFETY: an INSERT has a target among its relations.
    let entry = unsafe { pg_sys::list_nth(query.rtable, query.resultRelation - 1).cast::<pg_sys::RangeTblEntry>() };
    // SAFETY: a live entry.
    let table = unsafe { (*entry).relid };
    if !catalog::is_our_table(table) {
        return;
    }
    let (schema, name) = catalog::relation_name(table);
    let what = if updates { "DO UPDATE" } else { "with columns" };
    raise(
        &Error::new(Kind::NotSupported, format!("ON CONFLICT {what} is not possible on foreign table \"{name}\""))
            .detail("The API has no indexes that Postgres could look into.")
            .hint(format!(
                "SELECT * FROM sequin.upsert('{schema}.{name}', 'external id column', '[{{…}}]') inserts or updates; \
                 ON CONFLICT DO NOTHING, without columns, passes over what is there."
            ))
            .table(&schema, &name),
    )
}

/// MERGE is refused while it is parsed, where no hook is called but this one. Only a missing HINT is added.
#[pg_guard]
unsafe extern "C-unwind" fn hint_at_upsert(error: *mut pg_sys::ErrorData) {
    const MERGE: &CStr = c"cannot execute MERGE on relation \"%s\"";
    const HINT: &CStr = c"On a foreign table of sequin_fdw, sequin.upsert() inserts or updates by an external id.";
    // SAFETY: the error that is being reported.
    if let Some(error) = unsafe { error.as_mut() } {
        let id = error.message_id;
        // SAFETY: null, or a NUL-terminated string.
        if !id.is_null() && error.hint.is_null() && unsafe { CStr::from_ptr(id) } == MERGE {
            // SAFETY: the memory that the error's other texts are in.
            error.hint = unsafe { pg_sys::MemoryContextStrdup(error.assoc_context, HINT.as_ptr()) };
        }
    }
    // SAFETY: set once, when the library was loaded; the argument is passed on as it came.
    if let Some(before) = unsafe { BEFORE.1 } {
        // SAFETY: likewise.
        unsafe { before(error) };
    }
}
