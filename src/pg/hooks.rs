//! What core does to statements on foreign tables before it asks their wrapper: the way out of what it refuses, and
//! DEFAULT, of which it makes NULL.
//!
//! Both hooks work in sessions that have loaded the library, as any use of a foreign table does.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};

use pgrx::{PgList, pg_guard, pg_sys};

use super::error::raise;
use super::memory::as_meant;
use super::node::{self, Node};
use super::{catalog, registry, version};
use crate::error::{Error, Kind};

/// Puts the hooks in place, before those that are there.
pub fn install() {
    // SAFETY: globals of the one thread that runs Postgres code, set while the library is being loaded.
    unsafe {
        BEFORE = (pg_sys::planner_hook, pg_sys::emit_log_hook);
        UTILITY_BEFORE = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(utility);
        pg_sys::planner_hook = Some(plan);
        pg_sys::emit_log_hook = Some(look_at_error);
    }
}

/// Whether a statement of this session has passed by the hooks.
pub fn have_worked() -> bool {
    WORKED.get()
}

thread_local! {
    static WORKED: Cell<bool> = const { Cell::new(false) };
}

static mut BEFORE: (pg_sys::planner_hook_type, pg_sys::emit_log_hook_type) = (None, None);

static mut UTILITY_BEFORE: pg_sys::ProcessUtility_hook_type = None;

/// A database that is to be dropped, renamed, moved or copied must have no connections: our worker makes room.
#[pg_guard]
#[allow(clippy::too_many_arguments)] // Postgres's own.
unsafe extern "C-unwind" fn utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: the statement that is to be run.
    if let Some(database) = unsafe { database_to_have_alone((*statement).utilityStmt) } {
        registry::clear(database);
    }
    // SAFETY: set once, when the library was loaded.
    let before = unsafe { UTILITY_BEFORE };
    // As for the planner.
    match before {
        // SAFETY: the arguments are passed on as they came.
        Some(before) => unsafe {
            before(statement, text, read_only, context, params, environment, receiver, completion)
        },
        // SAFETY: likewise.
        None => unsafe {
            standard_ProcessUtility(statement, text, read_only, context, params, environment, receiver, completion)
        },
    }
}

/// The database whose connections a statement would trip over.
///
/// # Safety
/// The statement must be live.
unsafe fn database_to_have_alone(statement: *mut pg_sys::Node) -> Option<pg_sys::Oid> {
    use pg_sys::NodeTag::*;
    // SAFETY: by the contract above; each is read as what its tag says.
    let name = unsafe {
        match (*statement).type_ {
            T_DropdbStmt => (*statement.cast::<pg_sys::DropdbStmt>()).dbname,
            T_AlterDatabaseStmt => (*statement.cast::<pg_sys::AlterDatabaseStmt>()).dbname,
            T_RenameStmt => {
                let rename = &*statement.cast::<pg_sys::RenameStmt>();
                if rename.renameType == pg_sys::ObjectType::OBJECT_DATABASE { rename.subname } else { return None }
            }
            T_CreatedbStmt => {
                let options = PgList::<pg_sys::DefElem>::from_pg((*statement.cast::<pg_sys::CreatedbStmt>()).options);
                let template = options.iter_ptr().find(|option| CStr::from_ptr((**option).defname) == c"template")?;
                pg_sys::defGetString(template)
            }
            _ => return None,
        }
    };
    if name.is_null() {
        return None;
    }
    // SAFETY: a NUL-terminated string.
    let database = unsafe { pg_sys::get_database_oid(name, true) };
    // Whoever may not do it is refused by core in a moment.
    (database != pg_sys::InvalidOid && version::owns_database(database)).then_some(database)
}

#[pg_guard]
unsafe extern "C-unwind" fn plan(
    query: *mut pg_sys::Query,
    text: *const c_char,
    options: c_int,
    params: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    WORKED.set(true);
    // SAFETY: the planner's own query.
    unsafe { look_at_inserts(query) };
    // SAFETY: set once, when the library was loaded.
    let before = unsafe { BEFORE.0 };
    // An error must pass by as it is: through a binding of pgrx it would lose fields and place. It leaps over this
    // frame, on which nothing waits to be dropped.
    // SAFETY, for both: the arguments are passed on as they came.
    match before {
        // SAFETY: see above.
        Some(before) => unsafe { before(query, text, options, params) },
        // SAFETY: see above.
        None => unsafe { standard_planner(query, text, options, params) },
    }
}

unsafe extern "C-unwind" {
    /// Not by pgrx's binding: see its call.
    fn standard_planner(
        query: *mut pg_sys::Query,
        text: *const c_char,
        options: c_int,
        params: pg_sys::ParamListInfo,
    ) -> *mut pg_sys::PlannedStmt;

    /// Likewise.
    #[allow(clippy::too_many_arguments)] // Postgres's own.
    fn standard_ProcessUtility(
        statement: *mut pg_sys::PlannedStmt,
        text: *const c_char,
        read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        receiver: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

/// Looks at every INSERT into a table of this wrapper.
///
/// # Safety
/// The query must be live, and nobody else must hold a reference to it.
unsafe fn look_at_inserts(query: *mut pg_sys::Query) {
    // SAFETY: by the contract above; its lists hold what they are named after.
    let Some(query) = (unsafe { query.as_ref() }) else { return };
    // SAFETY: likewise.
    let expressions = unsafe { PgList::<pg_sys::CommonTableExpr>::from_pg(query.cteList) };
    for expression in expressions.iter_ptr() {
        // SAFETY: a query once it is analysed.
        unsafe { look_at_inserts((*expression).ctequery.cast()) };
    }
    // SAFETY: the relations of a live query.
    let relations = unsafe { PgList::<pg_sys::RangeTblEntry>::from_pg(query.rtable) };
    let values = relations.iter_ptr().find(|entry| {
        // SAFETY: live entries.
        unsafe { (**entry).rtekind == pg_sys::RTEKind::RTE_VALUES }
    });
    if query.commandType != pg_sys::CmdType::CMD_INSERT || (query.onConflict.is_null() && values.is_none()) {
        return;
    }
    let target = usize::try_from(query.resultRelation - 1).ok().and_then(|at| relations.get_ptr(at));
    // SAFETY: an INSERT has a target among its relations.
    let Some(table) = target.map(|entry| unsafe { (*entry).relid }) else { return };
    if !catalog::is_our_table(table) {
        return;
    }
    if let Some(values) = values {
        // SAFETY: a list of lists of live expressions.
        let rows = unsafe { PgList::<pg_sys::List>::from_pg((*values).values_lists) };
        // SAFETY: likewise.
        rows.iter_ptr().flat_map(|row| unsafe { node::nodes(row) }).for_each(Node::mark_default);
    }
    refuse_conflict_clause(query, table);
}

/// There are no indexes to find conflicts by on a foreign table, and core would say only that.
fn refuse_conflict_clause(query: &pg_sys::Query, table: pg_sys::Oid) {
    // SAFETY: null, or a live clause.
    let Some(clause) = (unsafe { query.onConflict.as_ref() }) else { return };
    let updates = clause.action == pg_sys::OnConflictAction::ONCONFLICT_UPDATE;
    if !updates && clause.arbiterElems.is_null() {
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
///
/// And texts of ours that could not pass through pgrx as they are become what they were.
#[pg_guard]
unsafe extern "C-unwind" fn look_at_error(error: *mut pg_sys::ErrorData) {
    const MERGE: &CStr = c"cannot execute MERGE on relation \"%s\"";
    const HINT: &CStr = c"On a foreign table of sequin_fdw, sequin.upsert() inserts or updates by an external id.";
    // SAFETY: the error that is being reported.
    if let Some(error) = unsafe { error.as_mut() } {
        for text in [&mut error.message, &mut error.detail, &mut error.hint] {
            // SAFETY: null, or a NUL-terminated string.
            let meant = (!text.is_null()).then(|| as_meant(unsafe { CStr::from_ptr(*text) })).flatten();
            if let Some(meant) = meant {
                // SAFETY: a NUL-terminated string, into the memory that the error's texts are in.
                *text = unsafe { pg_sys::MemoryContextStrdup(error.assoc_context, meant.as_ptr()) };
            }
        }
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
