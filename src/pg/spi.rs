//! SQL of our own, run by Postgres's server programming interface. Whatever the session's search path is, each statement runs
//! with [one of ours](OurPath): no function, operator or type that somebody planted stands for one of Postgres's.
//! <https://www.postgresql.org/docs/current/spi.html>

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_char, c_int};

use pgrx::pg_sys::{self, Datum, Oid};

use super::memory::{c_text, storable, text, text_datum};
use super::role::OurPath;
use crate::error::{Error, Kind, Result};

/// So many rows are in memory at once of those that are read portion by portion.
const PORTION: i64 = 10_000;

thread_local! {
    /// Plans of statements that are run again and again.
    static PLANS: RefCell<HashMap<String, pg_sys::SPIPlanPtr>> = RefCell::default();
}

/// A connection to Postgres's own executor; closed when dropped.
pub struct Spi(());

/// What a statement returned, or how many rows it changed.
pub struct Rows {
    pub processed: u64,
    /// Null if it returns none.
    table: *mut pg_sys::SPITupleTable,
}

/// An argument of a statement: its type, and its value unless it is NULL.
pub type Arg = (Oid, Option<Datum>);

/// How many triggers are running within each other.
pub fn trigger_depth() -> i32 {
    // SAFETY: a function without arguments.
    let depth = unsafe { pgrx::direct_function_call::<i32>(pg_sys::pg_trigger_depth, &[]) };
    depth.unwrap_or_default()
}

/// Has deferred constraints checked within each statement from now on, as SET CONSTRAINTS ALL IMMEDIATE does. What has waited
/// for the end of the transaction runs now: users' own code, which has the session's own search path.
pub fn check_constraints_at_once() {
    let mut statement = pg_sys::ConstraintsSetStmt {
        type_: pg_sys::NodeTag::T_ConstraintsSetStmt,
        constraints: std::ptr::null_mut(),
        deferred: false,
    };
    // SAFETY: a statement that names no constraint, and so means all.
    unsafe { pg_sys::AfterTriggerSetState(&mut statement) };
}

/// What SPI's functions mark values with.
pub fn null_flag(null: bool) -> c_char {
    if null { b'n' as c_char } else { b' ' as c_char }
}

/// A text, or NULL.
pub fn text_arg(value: Option<&str>) -> Arg {
    (pg_sys::TEXTOID, value.map(text_datum))
}

/// A text that is told: of the API's, of an error's. What the database's encoding lacks is spelled out.
pub fn told_arg(value: Option<&str>) -> Arg {
    text_arg(value.map(storable).as_deref())
}

pub fn oid_arg(value: Oid) -> Arg {
    (pg_sys::OIDOID, Some(value.into()))
}

/// Texts.
pub fn texts_arg<'a>(values: impl IntoIterator<Item = &'a str>) -> Arg {
    let mut items: Vec<Datum> = values.into_iter().map(text_datum).collect();
    let (count, align) = (items.len() as c_int, pg_sys::TYPALIGN_INT as _);
    // SAFETY: as many texts as are said, of the length, kind and alignment that the catalogue gives texts.
    let array = unsafe { pg_sys::construct_array(items.as_mut_ptr(), count, pg_sys::TEXTOID, -1, false, align) };
    (pg_sys::TEXTARRAYOID, Some(Datum::from(array)))
}

/// A moment, in Postgres's own count of microseconds.
pub fn moment_arg(value: i64) -> Arg {
    (pg_sys::TIMESTAMPTZOID, Some(Datum::from(value)))
}

impl Spi {
    pub fn connect() -> Result<Spi> {
        // SAFETY: every connection is closed by its drop, or by the abort of the transaction.
        checked("SPI_connect", unsafe { pg_sys::SPI_connect() })?;
        Ok(Spi(()))
    }

    /// Runs one statement, and keeps its plan for the rest of the session. For those of which there are few.
    pub fn run_kept(&self, sql: &str, args: &[Arg]) -> Result<Rows> {
        let _path = OurPath::set();
        let plan = match PLANS.with_borrow(|plans| plans.get(sql).copied()) {
            Some(plan) => plan,
            None => {
                let mut types: Vec<Oid> = args.iter().map(|(ty, _)| *ty).collect();
                // SAFETY: a NUL-terminated text, and as many types as are said.
                let plan = unsafe { pg_sys::SPI_prepare(c_text(sql), args.len() as c_int, types.as_mut_ptr()) };
                // SAFETY: null, or a plan that was just made.
                if plan.is_null() || unsafe { pg_sys::SPI_keepplan(plan) } != 0 {
                    return Err(Error::new(Kind::Internal, "a statement could not be prepared"));
                }
                PLANS.with_borrow_mut(|plans| plans.insert(sql.to_owned(), plan));
                plan
            }
        };
        let (mut values, nulls) = values(args);
        // SAFETY: a plan that is kept, and as many values and flags as it has parameters.
        let done = unsafe { pg_sys::SPI_execute_plan(plan, values.as_mut_ptr(), nulls.as_ptr(), false, 0) };
        Rows::of(done)
    }

    /// Runs one statement.
    pub fn run(&self, sql: &str, args: &[Arg]) -> Result<Rows> {
        let _path = OurPath::set();
        let mut types: Vec<Oid> = args.iter().map(|(ty, _)| *ty).collect();
        let (mut values, nulls) = values(args);
        let (count, sql) = (args.len() as c_int, c_text(sql));
        // SAFETY: a NUL-terminated text, and as many types, values and flags as are said.
        let done = unsafe {
            pg_sys::SPI_execute_with_args(sql, count, types.as_mut_ptr(), values.as_mut_ptr(), nulls.as_ptr(), false, 0)
        };
        Rows::of(done)
    }

    /// Runs a query, and hands out what it returns portion by portion, so that they are never in memory all at once.
    pub fn each(&self, sql: &str, args: &[Arg], mut with: impl FnMut(&Rows)) -> Result<()> {
        let _path = OurPath::set();
        let mut types: Vec<Oid> = args.iter().map(|(ty, _)| *ty).collect();
        let (mut values, nulls) = values(args);
        let (count, sql) = (args.len() as c_int, c_text(sql));
        let (types, values, nulls) = (types.as_mut_ptr(), values.as_mut_ptr(), nulls.as_ptr());
        // SAFETY: a NUL-terminated text, and as many types, values and flags as are said.
        let portal =
            unsafe { pg_sys::SPI_cursor_open_with_args(std::ptr::null(), sql, count, types, values, nulls, false, 0) };
        loop {
            // SAFETY: the portal that was just opened.
            unsafe { pg_sys::SPI_cursor_fetch(portal, true, PORTION) };
            let rows = Rows::of(0)?;
            if rows.len() == 0 {
                break;
            }
            with(&rows);
            // SAFETY: the table of the rows, which nobody has any more.
            unsafe { pg_sys::SPI_freetuptable(rows.table) };
        }
        // SAFETY: the portal that was opened above.
        unsafe { pg_sys::SPI_cursor_close(portal) };
        Ok(())
    }

    /// Makes a trigger's transition tables known.
    ///
    /// # Safety
    /// The trigger must be the one that is running.
    pub unsafe fn register_trigger(&self, trigger: *mut pg_sys::TriggerData) -> Result<()> {
        // SAFETY: by the contract above.
        checked("transition tables", unsafe { pg_sys::SPI_register_trigger_data(trigger) })
    }
}

impl Drop for Spi {
    fn drop(&mut self) {
        // What an error leaves behind, the abort of its transaction clears.
        if !std::thread::panicking() {
            // SAFETY: closes the connection that `connect` opened.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

impl Rows {
    /// Of the statement that has just been run.
    fn of(code: c_int) -> Result<Rows> {
        checked("a statement", code)?;
        // SAFETY: globals of the one thread that runs Postgres code.
        Ok(unsafe { Rows { processed: pg_sys::SPI_processed, table: pg_sys::SPI_tuptable } })
    }

    pub fn len(&self) -> usize {
        // SAFETY: null, or the table of a connection that is open.
        unsafe { self.table.as_ref() }.map_or(0, |table| table.numvals as usize)
    }

    /// A cell as text; `None` for NULL, and where there is none. Columns count from 1.
    pub fn text(&self, row: usize, column: i32) -> Option<String> {
        let (table, tuple) = self.tuple(row)?;
        // SAFETY: a row of this table.
        let value = unsafe { pg_sys::SPI_getvalue(tuple, table.tupdesc, column) };
        // SAFETY: a NUL-terminated string, unless it is null.
        (!value.is_null()).then(|| unsafe { text(value) })
    }

    /// A cell that is a number; 0 for NULL.
    pub fn count(&self, row: usize, column: i32) -> u64 {
        self.text(row, column).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    pub fn flag(&self, row: usize, column: i32) -> bool {
        self.text(row, column).as_deref() == Some("t")
    }

    /// A cell as it is, valid until the connection is closed.
    pub fn datum(&self, row: usize, column: i32) -> Option<Datum> {
        let (table, tuple) = self.tuple(row)?;
        let mut null = false;
        // SAFETY: a row of this table.
        let datum = unsafe { pg_sys::SPI_getbinval(tuple, table.tupdesc, column, &mut null) };
        (!null).then_some(datum)
    }

    fn tuple(&self, row: usize) -> Option<(&pg_sys::SPITupleTable, pg_sys::HeapTuple)> {
        // SAFETY: null, or the table of a connection that is open.
        let table = unsafe { self.table.as_ref() }?;
        // SAFETY: the table has as many rows as it says.
        (row < self.len()).then(|| (table, unsafe { *table.vals.add(row) }))
    }
}

fn values(args: &[Arg]) -> (Vec<Datum>, Vec<c_char>) {
    args.iter().map(|(_, value)| (value.unwrap_or(Datum::from(0)), null_flag(value.is_none()))).unzip()
}

fn checked(what: &str, code: c_int) -> Result<()> {
    if code >= 0 {
        return Ok(());
    }
    // SAFETY: returns a constant string.
    let reason = unsafe { text(pg_sys::SPI_result_code_string(code)) };
    Err(Error::new(Kind::Internal, format!("{what} was refused by SPI: {reason}")))
}
