//! The processes of our own: a launcher, and a worker for each database that has synced tables.
//! <https://www.postgresql.org/docs/current/bgworker.html>

use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgSqlErrorCode, PgTryBuilder, check_for_interrupts, pg_guard};

use super::memory::text;
use super::{registry, synced, version};
use crate::error::{Error, Kind, Result};

/// How often the launcher looks for new databases, and for workers that have died.
const NAP: Duration = Duration::from_secs(5);

/// The least time, in microseconds, between two starts of a worker: for whoever has died, and while one is on its way.
const AFTER_DEATH: i64 = 5_000_000;
const ON_ITS_WAY: i64 = 500_000;

/// How soon to look again if a worker is not to be started yet.
const SOON: Duration = Duration::from_millis(100);

/// Registers the launcher, if the postmaster is what loads the library. It starts when the server is no standby (any
/// more).
pub fn register_launcher() {
    if !registry::is_there() {
        return;
    }
    BackgroundWorkerBuilder::new("sequin_fdw launcher")
        .set_type("sequin_fdw launcher")
        .set_library("sequin_fdw")
        .set_function("sequin_launcher")
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(Duration::from_secs(5)))
        .enable_spi_access()
        .load();
}

/// What went wrong in a transaction.
pub struct Failure {
    pub text: String,
    /// Whether something could not be locked in time.
    pub locked: bool,
    /// Whether the API does not know a field.
    pub unknown_field: bool,
}

/// Runs `work` in a transaction of its own, for which nobody waits.
pub fn transaction<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    // SAFETY: a process of ours, between two transactions.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
    let done = PgTryBuilder::new(AssertUnwindSafe(|| {
        let done = work().map_err(|error| Failure::of_error(&error))?;
        // SAFETY: what was begun above.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        }
        Ok(done)
    }))
    .catch_others(|error| Err(Failure::of_caught(error)))
    .execute();
    if done.is_err() {
        // SAFETY: ends the transaction, and whatever is open within it, wherever the error was raised.
        unsafe {
            pg_sys::error_context_stack = std::ptr::null_mut();
            pg_sys::AbortOutOfAnyTransaction();
        }
    }
    version::report_statistics();
    done
}

impl Failure {
    pub fn of_error(error: &Error) -> Failure {
        Failure {
            text: described(error.message(), error.detail_text(), error.hint_text()),
            locked: error.kind() == Kind::Locked,
            unknown_field: error.kind() == Kind::UnknownField,
        }
    }

    fn of_caught(error: CaughtError) -> Failure {
        match error {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
                let locked = report.sql_error_code() == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE;
                let text = described(report.message(), report.detail(), report.hint());
                Failure { text, locked, unknown_field: false }
            }
            CaughtError::RustPanic { ereport, .. } => {
                Failure { text: ereport.message().to_owned(), locked: false, unknown_field: false }
            }
        }
    }
}

/// An error in a text.
pub fn described(message: &str, detail: Option<&str>, hint: Option<&str>) -> String {
    let detail = detail.map(|detail| format!("\nDETAIL: {detail}")).unwrap_or_default();
    let hint = hint.map(|hint| format!("\nHINT: {hint}")).unwrap_or_default();
    format!("{message}{detail}{hint}")
}

unsafe extern "C-unwind" {
    /// A signal's handler, and so not by pgrx's binding.
    fn die(signal: c_int);

    /// Likewise.
    fn SignalHandlerForConfigReload(signal: c_int);

    /// The bindings leave it out.
    fn PostmasterIsAliveInternal() -> bool;
}

/// Makes the process one that can be ended, told to read its configuration anew, and asked for.
pub fn take_signals() {
    version::set_signal(libc::SIGTERM, die);
    version::set_signal(libc::SIGHUP, SignalHandlerForConfigReload);
    // SAFETY: the handlers are in place.
    unsafe { pg_sys::BackgroundWorkerUnblockSignals() };
}

/// What every turn of a process begins with.
pub fn serve_signals() {
    check_for_interrupts!();
    // Whoever never comes to wait does not hear of it otherwise, and would keep the server from starting again.
    // SAFETY: looks whether the postmaster's end of a pipe is open; leaves the process.
    unsafe {
        if !PostmasterIsAliveInternal() {
            pg_sys::proc_exit(1);
        }
    }
    // SAFETY: a flag that the handler sets.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// The launcher's life.
///
/// # Safety
/// Called by the postmaster's child.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn sequin_launcher(_argument: Datum) {
    take_signals();
    // SAFETY: a process of ours that is connected to no database yet; it sees what all databases share.
    unsafe { pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0) };
    registry::enter_launcher();
    // When a worker was last started.
    let mut started: HashMap<Oid, i64> = HashMap::new();
    loop {
        serve_signals();
        let mut nap = NAP;
        match transaction(databases) {
            Ok(databases) => {
                started.retain(|database, _| databases.contains(database));
                let time = synced::now();
                for (database, died) in registry::to_start(&databases, |database| started.contains_key(&database)) {
                    let least = if died { AFTER_DEATH } else { ON_ITS_WAY };
                    if started.get(&database).is_some_and(|at| at + least > time) {
                        nap = SOON;
                    } else if start_worker(database) {
                        started.insert(database, time);
                    } else {
                        pgrx::log!("sequin_fdw: no worker could be started; max_worker_processes may be too low");
                        break;
                    }
                }
            }
            Err(failure) => pgrx::log!("sequin_fdw launcher: {}", failure.text),
        }
        sleep(nap);
    }
}

/// Waits until the latch is set, or for so long.
fn sleep(time: Duration) {
    let events = (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as c_int;
    // SAFETY: our own latch.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events, time.as_millis() as _, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
}

/// The databases that one can connect to.
fn databases() -> Result<Vec<Oid>> {
    let mut found = Vec::new();
    // SAFETY: a scan of a shared catalogue, which every process may read; its rows are of this type.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let row = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if row.datallowconn && !row.datistemplate {
                found.push(row.oid);
            }
        }
        pg_sys::heap_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
    Ok(found)
}

fn start_worker(database: Oid) -> bool {
    BackgroundWorkerBuilder::new("sequin_fdw worker")
        .set_type("sequin_fdw worker")
        .set_library("sequin_fdw")
        .set_function("sequin_worker")
        .set_argument(Some(Datum::from(database)))
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(None)
        .enable_spi_access()
        .load_dynamic()
        .is_ok()
}

/// The name of the database that this process is connected to.
pub fn database_name() -> String {
    // SAFETY: a catalogue look-up.
    unsafe { text(pg_sys::get_database_name(pg_sys::MyDatabaseId)) }
}

/// Sets a parameter of this process for good.
pub fn set(name: &CStr, value: &CStr) {
    // SAFETY: two NUL-terminated strings.
    unsafe {
        pg_sys::SetConfigOption(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_OVERRIDE,
        );
    }
}
