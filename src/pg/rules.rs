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

use super::memory::{self, briefly, c_text, palloc, text};
use super::role::is_bound;
use super::spi::Spi;
use super::statements::{self, Statement};
use super::synced::Lock;
use super::version;
use crate::error::{Error, Kind, Result};

/// A row that is to be inserted, before it is.
pub struct Candidate<'t> {
    /// Where to; open.
    pub table: pg_sys::Relation,
    /// The same, with its schema and quoted.
    pub title: &'t str,
    /// The trigger that is running.
    pub trigger: *const pg_sys::FmgrInfo,
    pub row: pg_sys::HeapTuple,
    /// The places of the columns that are NULL, and may get their values later.
    pub open: &'t [i16],
}

/// The row that another one meets.
pub struct Met {
    pub place: pg_sys::ItemPointerData,
    /// Whether ON CONFLICT DO UPDATE is about the index in which it does.
    pub decided: bool,
}

impl Candidate<'_> {
    /// Asks all rules, as the current user's. Returns where the row is that this one meets in an index, so that it cannot
    /// be stored.
    ///
    /// Errors: Postgres's own, if anything else refuses it.
    ///
    /// # Safety
    /// What it is made of must be live.
    pub unsafe fn met(&self) -> Result<Option<Met>> {
        // SAFETY: by the contract above; what is made here is freed here, or with the memory that an error frees.
        briefly(|| unsafe {
            let state = pg_sys::CreateExecutorState();
            let hidden = self.hidden();
            let mut lenient = self.lenient(&hidden);
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
            let indexes = indexes(table, &hidden);
            if !indexes.is_empty() {
                Lock::Inserting.take((*self.table).rd_id, true);
            }
            let arbiters = statement.map_or_else(Vec::new, |statement| arbiters(statement));
            let met_in = |decided: bool| {
                let some = indexes.iter().filter(|index| arbiters.contains(&index.id()) == decided);
                met_at_once(some, table, slot, state).map(|place| Met { place, decided })
            };
            let met = met_in(true).or_else(|| met_in(false));
            if met.is_none() {
                meet_later(indexes, table, slot, state);
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

    /// The places of the columns whose values nobody knows yet: those that are open, and what is computed from them.
    unsafe fn hidden(&self) -> Vec<i16> {
        let mut hidden = self.open.to_vec();
        // SAFETY: an open table, with as many defaults as are said.
        unsafe {
            let description = (*self.table).rd_att;
            let Some(constraints) = (*description).constr.as_ref() else { return hidden };
            for at in 0..usize::from(constraints.num_defval) {
                let default = &*constraints.defval.add(at);
                let computed = (*version::attribute(description, default.adnum)).attgenerated != 0;
                if computed && mentions(pg_sys::stringToNode(default.adbin).cast(), self.open) {
                    hidden.push(default.adnum);
                }
            }
        }
        hidden
    }

    /// The table, as it were if hidden columns could be NULL, and without the CHECKs that look at them.
    unsafe fn lenient(&self, hidden: &[i16]) -> pg_sys::RelationData {
        // SAFETY: an open table, and a copy of its description, with as many CHECKs as are said.
        unsafe {
            let mut table = *self.table;
            table.rd_att = pg_sys::CreateTupleDescCopyConstr(table.rd_att);
            for place in hidden {
                (*version::attribute(table.rd_att, *place)).attnotnull = false;
            }
            if let Some(constraints) = (*table.rd_att).constr.as_mut() {
                let mut kept = 0;
                for at in 0..usize::from(constraints.num_check) {
                    let check = constraints.check.add(at);
                    if !mentions(pg_sys::stringToNode((*check).ccbin).cast(), hidden) {
                        std::ptr::copy(check, constraints.check.add(kept), 1);
                        kept += 1;
                    }
                }
                constraints.num_check = kept as u16;
                // Both numbers are compared.
                table.rd_rel = palloc(*table.rd_rel);
                (*table.rd_rel).relchecks = kept as i16;
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
            if !is_bound(user, id) || !may_insert(id, user) {
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

impl Index {
    fn id(&self) -> Oid {
        // SAFETY: an open index.
        unsafe { (*self.relation).rd_id }
    }
}

/// Whether an expression of one row looks at one of these columns, or at all of them.
unsafe fn mentions(expression: *mut pg_sys::Node, columns: &[i16]) -> bool {
    const FIRST: i32 = pg_sys::FirstLowInvalidHeapAttributeNumber;
    let mut found = null_mut();
    // SAFETY: an expression, or null; what it looks at is a set, or null.
    unsafe {
        pg_sys::pull_varattnos(expression, 1, &mut found);
        std::iter::once(&0).chain(columns).any(|place| pg_sys::bms_is_member(i32::from(*place) - FIRST, found))
    }
}

/// The indexes that ON CONFLICT DO UPDATE of a statement is about.
unsafe fn arbiters(statement: Statement) -> Vec<Oid> {
    // SAFETY: a live statement.
    unsafe {
        let table = &*statement.table;
        if table.ri_onConflict.is_null() {
            return Vec::new();
        }
        PgList::<Oid>::from_pg(table.ri_onConflictArbiterIndexes).iter_oid().collect()
    }
}

/// Those of a table that are open, and do not look at hidden columns.
unsafe fn indexes(table: *mut pg_sys::ResultRelInfo, hidden: &[i16]) -> Vec<Index> {
    // SAFETY: as many of both as are said.
    unsafe {
        let (relations, infos) = ((*table).ri_IndexRelationDescs, (*table).ri_IndexRelationInfo);
        let all = (0..(*table).ri_NumIndices as usize).map(|at| (*relations.add(at), *infos.add(at)));
        let all = all.filter(|(relation, info)| {
            !relation.is_null()
                && (**info).ii_ReadyForInserts
                && ((**info).ii_Unique || !(**info).ii_ExclusionOps.is_null())
                && !looks_at(&**info, hidden)
        });
        all.map(|(relation, info)| Index { relation, info, immediate: (*(*relation).rd_index).indimmediate }).collect()
    }
}

unsafe fn looks_at(index: &pg_sys::IndexInfo, hidden: &[i16]) -> bool {
    let keys = &index.ii_IndexAttrNumbers[..index.ii_NumIndexKeyAttrs as usize];
    // SAFETY: the index's own expressions.
    unsafe {
        keys.iter().any(|place| hidden.contains(place))
            || mentions(index.ii_Expressions.cast(), hidden)
            || mentions(index.ii_Predicate.cast(), hidden)
    }
}

/// The row that this one meets in one of these indexes that refuses it at once. Waits for whoever is about to insert one.
unsafe fn met_at_once<'i>(
    indexes: impl Iterator<Item = &'i Index>,
    table: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
) -> Option<pg_sys::ItemPointerData> {
    // SAFETY: what the caller has made.
    unsafe {
        let mut list = PgList::<()>::new();
        for index in indexes.filter(|index| index.immediate) {
            list = PgList::from_pg(pg_sys::lappend_oid(list.into_pg(), index.id()));
        }
        // None at all would mean every index.
        if list.is_empty() { None } else { version::met_in_indexes(table, slot, state, list.into_pg()) }
    }
}

/// Raises an error if the row meets another one in an index that can be deferred: by then the record would be there.
unsafe fn meet_later(
    indexes: Vec<Index>,
    table: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
) {
    const WIDTH: usize = pg_sys::INDEX_MAX_KEYS as usize;
    // SAFETY: what the caller has made.
    unsafe {
        for Index { relation, info, .. } in indexes.into_iter().filter(|index| !index.immediate) {
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
        let message = memory::message(&message).into_owned();
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
