//! What a synced table's own rules say of a row before its record is created: policies, NOT NULL, CHECK, unique and
//! exclusion indexes.
//!
//! They are asked by the same functions of Postgres that ask them once more when the row is stored. What the API fills is
//! NULL until then.

use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::ptr::null_mut;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgList, PgLogLevel, PgSqlErrorCode, PgTryBuilder};

use super::memory::{briefly, c_text, palloc, text};
use super::spi::Spi;
use super::statements::{self, Statement};
use super::version;
use crate::error::{Error, Kind, Result};

/// Whether policies keep rows of a table from a role.
pub fn bind(table: Oid, role: Oid) -> bool {
    // SAFETY: a catalogue look-up.
    let enabled = unsafe { pg_sys::check_enable_rls(table, role, true) };
    enabled == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
}

/// A row that is to be inserted, before it is.
pub struct Candidate<'t> {
    /// Where to; open.
    pub table: pg_sys::Relation,
    /// The same, with its schema and quoted.
    pub title: &'t str,
    /// The trigger that is running.
    pub trigger: *const pg_sys::FmgrInfo,
    pub row: pg_sys::HeapTuple,
    /// The places of the columns that get their values later.
    pub open: &'t [i16],
}

impl Candidate<'_> {
    /// Asks all rules, as the current user's. Returns where the row is that this one meets in an index, so that it cannot
    /// be stored.
    ///
    /// Errors: Postgres's own, if anything else refuses it.
    ///
    /// # Safety
    /// What it is made of must be live.
    pub unsafe fn met(&self) -> Result<Option<pg_sys::ItemPointerData>> {
        // SAFETY: by the contract above; what is made here is freed here, or with the memory that an error frees.
        briefly(|| unsafe {
            let state = pg_sys::CreateExecutorState();
            let mut lenient = self.lenient();
            let table = palloc(pg_sys::ResultRelInfo::default());
            pg_sys::InitResultRelInfo(table, &mut lenient, 0, null_mut(), 0);
            let slot = self.slot(table, state);
            let statement = statements::caller(self.trigger);
            self.ask_policies(statement, slot)?;
            if !(*lenient.rd_att).constr.is_null() {
                pg_sys::ExecConstraints(table, slot, state);
            }
            (*table).ri_RelationDesc = self.table;
            pg_sys::ExecOpenIndices(table, true);
            let met = met_at_once(table, slot, state);
            if met.is_none() {
                meet_later(table, slot, state);
                if let Some(statement) = statement {
                    ask(statement, pg_sys::WCOKind::WCO_VIEW_CHECK, slot);
                }
            }
            pg_sys::ExecCloseIndices(table);
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            pg_sys::FreeExecutorState(state);
            Ok(met)
        })
    }

    /// The table, as it were if the columns that are open could be NULL.
    unsafe fn lenient(&self) -> pg_sys::RelationData {
        // SAFETY: an open table, and a copy of its description.
        unsafe {
            let mut table = *self.table;
            table.rd_att = pg_sys::CreateTupleDescCopyConstr(table.rd_att);
            for place in 1..=(*table.rd_att).natts as i16 {
                let column = version::attribute(table.rd_att, place);
                // What is computed may be so from an open column.
                if self.open.contains(&place) || (*column).attgenerated != 0 {
                    (*column).attnotnull = false;
                }
            }
            table
        }
    }

    /// The row, with what the table computes.
    unsafe fn slot(
        &self,
        table: *mut pg_sys::ResultRelInfo,
        state: *mut pg_sys::EState,
    ) -> *mut pg_sys::TupleTableSlot {
        // SAFETY: a row of this table's type.
        unsafe {
            let description = (*self.table).rd_att;
            let slot = pg_sys::MakeSingleTupleTableSlot(description, &raw const pg_sys::TTSOpsHeapTuple);
            pg_sys::ExecStoreHeapTuple(self.row, slot, false);
            (*slot).tts_tableOid = (*self.table).rd_id;
            if (*description).constr.as_ref().is_some_and(|all| all.has_generated_stored) {
                pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    ExecComputeStoredGenerated(table, state, slot, pg_sys::CmdType::CMD_INSERT)
                });
            }
            slot
        }
    }

    /// Asks the policies that bind the statement. Of one that is not known those that would bind an INSERT of the
    /// current user's own; there are none where the user may not insert: then it is a view that does.
    unsafe fn ask_policies(&self, statement: Option<Statement>, slot: *mut pg_sys::TupleTableSlot) -> Result<()> {
        // SAFETY: a live statement, and a row of its table.
        unsafe {
            if let Some(statement) = statement {
                ask(statement, pg_sys::WCOKind::WCO_RLS_INSERT_CHECK, slot);
                return Ok(());
            }
            let (id, user) = ((*self.table).rd_id, pg_sys::GetUserId());
            if !bind(id, user) || !may_insert(id, user) {
                return Ok(());
            }
            let _spi = Spi::connect()?;
            let sql = c_text(&format!("INSERT INTO {} DEFAULT VALUES", self.title));
            let plan = pg_sys::SPI_plan_get_cached_plan(pg_sys::SPI_prepare(sql, 0, null_mut()));
            let Some(plan) = plan.as_mut() else {
                return Err(Error::new(Kind::Internal, "a statement could not be prepared"));
            };
            for statement in PgList::<pg_sys::PlannedStmt>::from_pg(plan.stmt_list).iter_ptr() {
                let snapshot = pg_sys::GetActiveSnapshot();
                let query = pg_sys::CreateQueryDesc(
                    statement,
                    sql,
                    snapshot,
                    null_mut(),
                    pg_sys::None_Receiver,
                    null_mut(),
                    null_mut(),
                    0,
                );
                // As EXPLAIN does.
                pg_sys::ExecutorStart(query, pg_sys::EXEC_FLAG_EXPLAIN_ONLY as i32);
                let state = (*query).estate;
                let tables = PgList::<pg_sys::ResultRelInfo>::from_pg((*state).es_opened_result_relations);
                for table in tables.iter_ptr().filter(|table| (*(**table).ri_RelationDesc).rd_id == id) {
                    ask(Statement { state, table }, pg_sys::WCOKind::WCO_RLS_INSERT_CHECK, slot);
                }
                pg_sys::ExecutorEnd(query);
                pg_sys::FreeQueryDesc(query);
            }
            pg_sys::ReleaseCachedPlan(plan, null_mut());
        }
        Ok(())
    }
}

unsafe extern "C-unwind" {
    /// Computes the columns that the table computes. The bindings leave it out.
    fn ExecComputeStoredGenerated(
        table: *mut pg_sys::ResultRelInfo,
        state: *mut pg_sys::EState,
        slot: *mut pg_sys::TupleTableSlot,
        command: pg_sys::CmdType::Type,
    );
}

unsafe fn may_insert(table: Oid, user: Oid) -> bool {
    let insert = pg_sys::ACL_INSERT as pg_sys::AclMode;
    let granted = pg_sys::AclResult::ACLCHECK_OK;
    // SAFETY: catalogue look-ups.
    unsafe {
        pg_sys::pg_class_aclcheck(table, user, insert) == granted
            || pg_sys::pg_attribute_aclcheck_all(table, user, insert, pg_sys::AclMaskHow::ACLMASK_ANY) == granted
    }
}

/// Asks what a statement has to ask of a row of one kind. Errors: Postgres's own, if it refuses.
unsafe fn ask(statement: Statement, kind: pg_sys::WCOKind::Type, slot: *mut pg_sys::TupleTableSlot) {
    let Statement { state, table } = statement;
    // SAFETY: a live statement, and a row of its table; where it looks for rows is put back.
    unsafe {
        if (*table).ri_WithCheckOptions.is_null() {
            return;
        }
        let context = expressions(state);
        let before = (*context).ecxt_scantuple;
        pg_sys::ExecWithCheckOptions(kind, table, slot, state);
        (*context).ecxt_scantuple = before;
    }
}

/// What expressions of one row are computed in.
unsafe fn expressions(state: *mut pg_sys::EState) -> *mut pg_sys::ExprContext {
    // SAFETY: a live statement.
    unsafe {
        let known = (*state).es_per_tuple_exprcontext;
        if known.is_null() { pg_sys::MakePerTupleExprContext(state) } else { known }
    }
}

/// An index that refuses rows.
struct Index {
    relation: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
    /// Whether it does so at once.
    immediate: bool,
}

/// Those of a table that are open.
unsafe fn indexes(table: *mut pg_sys::ResultRelInfo) -> Vec<Index> {
    // SAFETY: as many of both as are said.
    unsafe {
        let (relations, infos) = ((*table).ri_IndexRelationDescs, (*table).ri_IndexRelationInfo);
        let all = (0..(*table).ri_NumIndices as usize).map(|at| (*relations.add(at), *infos.add(at)));
        let all = all.filter(|(relation, info)| {
            !relation.is_null()
                && (**info).ii_ReadyForInserts
                && ((**info).ii_Unique || !(**info).ii_ExclusionOps.is_null())
        });
        all.map(|(relation, info)| Index { relation, info, immediate: (*(*relation).rd_index).indimmediate }).collect()
    }
}

/// The row that this one meets in an index that refuses it at once. Waits for whoever is about to insert one.
unsafe fn met_at_once(
    table: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
) -> Option<pg_sys::ItemPointerData> {
    // SAFETY: what the caller has made.
    unsafe {
        let mut list = PgList::<()>::new();
        for index in indexes(table).iter().filter(|index| index.immediate) {
            list = PgList::from_pg(pg_sys::lappend_oid(list.into_pg(), (*index.relation).rd_id));
        }
        // None at all would mean every index.
        if list.is_empty() { None } else { version::met_in_indexes(table, slot, state, list.into_pg()) }
    }
}

/// Raises an error if the row meets another one in an index that can be deferred: by then the record would be there.
unsafe fn meet_later(table: *mut pg_sys::ResultRelInfo, slot: *mut pg_sys::TupleTableSlot, state: *mut pg_sys::EState) {
    const WIDTH: usize = pg_sys::INDEX_MAX_KEYS as usize;
    // SAFETY: what the caller has made.
    unsafe {
        for Index { relation, info, .. } in indexes(table).into_iter().filter(|index| !index.immediate) {
            let context = expressions(state);
            (*context).ecxt_scantuple = slot;
            let predicate = (*info).ii_Predicate;
            if !predicate.is_null() && !pg_sys::ExecQual(pg_sys::ExecPrepareQual(predicate, state), context) {
                continue;
            }
            let (mut values, mut nulls) = ([Datum::from(0); WIDTH], [false; WIDTH]);
            pg_sys::FormIndexDatum(info, slot, state, values.as_mut_ptr(), nulls.as_mut_ptr());
            let mut nowhere = pg_sys::ItemPointerData::default();
            PgTryBuilder::new(AssertUnwindSafe(|| {
                pg_sys::check_exclusion_constraint(
                    (*table).ri_RelationDesc,
                    relation,
                    info,
                    &mut nowhere,
                    values.as_mut_ptr(),
                    nulls.as_mut_ptr(),
                    state,
                    false,
                );
            }))
            .catch_others(|error| name_unique(error, relation))
            .execute();
        }
    }
}

/// Raises an error of an exclusion constraint as one of the unique index.
unsafe fn name_unique(error: CaughtError, index: pg_sys::Relation) {
    // SAFETY: an open index.
    let (unique, name) = unsafe { ((*(*index).rd_index).indisunique, text((*(*index).rd_rel).relname.data.as_ptr())) };
    if let CaughtError::PostgresError(report) = &error
        && unique
        && report.sql_error_code() == PgSqlErrorCode::ERRCODE_EXCLUSION_VIOLATION
    {
        let message = format!("duplicate key value violates unique constraint \"{name}\"");
        pgrx::pg_sys::panic::ErrorReport::new(PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION, message, "")
            .set_detail(report.detail().unwrap_or_default().to_owned())
            .report(PgLogLevel::ERROR);
    }
    error.rethrow()
}

/// Whether a row needs a value in a column.
///
/// # Safety
/// The table must be open.
pub unsafe fn is_needed(table: pg_sys::Relation, place: i16) -> bool {
    // SAFETY: by the contract above.
    unsafe { (*version::attribute((*table).rd_att, place)).attnotnull }
}

/// A value of a column that stands in for the key of a record that is not to be.
///
/// # Safety
/// The table must be open.
pub unsafe fn stand_in(table: pg_sys::Relation, place: i16, word: &CStr) -> Datum {
    // SAFETY: by the contract above; a type's own function reads the word.
    unsafe {
        let column = &*version::attribute((*table).rd_att, place);
        let (mut input, mut element) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        pg_sys::getTypeInputInfo(column.atttypid, &mut input, &mut element);
        pg_sys::OidInputFunctionCall(input, word.as_ptr().cast_mut(), element, column.atttypmod)
    }
}
