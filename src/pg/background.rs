//! The processes of our own: a launcher, and a worker for each database that has synced tables.
//! <https://www.postgresql.org/docs/current/bgworker.html>

use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgSqlErrorCode, PgTryBuilder, check_for_interrupts, pg_guard};

use super::blocked;
use super::memory::text;
use super::registry::{self, Reason};
use super::version;
use crate::error::{Error, Kind, Result};

/// How often the launcher looks for new databases, and for workers that have died.
const NAP: Duration = Duration::from_secs(5);

/// How soon to look again when more workers were due than could be started at a time.
const SOON: Duration = Duration::from_millis(250);

/// How long after its start a worker is started again that has died, and how long at most if it never comes to work.
const AFTER_DEATH: Duration = Duration::from_secs(5);
const MAX_BACK_OFF: Duration = Duration::from_secs(300);

/// How long a worker is not started again that was asked for and found nothing to do, at first and at most.
const FIRST_IDLE_PAUSE: Duration = Duration::from_millis(250);
const MAX_IDLE_PAUSE: Duration = Duration::from_secs(60);

/// How often a database without a worker is looked into; less often where there are many.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A database with this connection limit is what an interrupted DROP DATABASE leaves. Nobody can connect to it.
const INVALID: i32 = -2;

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
    /// Whether a statement of ours could not get a lock in time.
    pub locked: bool,
    /// Whether the API does not know a field.
    pub unknown_field: bool,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// Whether code of a table's owner has taken too long.
    pub slow: bool,
}

/// Runs `work` in a transaction of its own, for which nobody waits.
pub fn transaction<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    // SAFETY: a process of ours, between two transactions.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
    let (mut done, blocked) = blocked::watch(|| {
        PgTryBuilder::new(AssertUnwindSafe(|| {
            let done = work().map_err(|error| Failure::of_error(&error))?;
            // SAFETY: what was begun above.
            unsafe {
                pg_sys::PopActiveSnapshot();
                pg_sys::CommitTransactionCommand();
            }
            Ok(done)
        }))
        .catch_others(|error| Err(Failure::of_caught(error)))
        .execute()
    });
    if let Err(failure) = &mut done {
        failure.locked |= blocked;
    }
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
            cancelled: error.kind() == Kind::Cancelled,
            slow: false,
        }
    }

    fn of_caught(error: CaughtError) -> Failure {
        match error {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
                let text = described(report.message(), report.detail(), report.hint());
                let cancelled = report.sql_error_code() == PgSqlErrorCode::ERRCODE_QUERY_CANCELED;
                Failure { text, locked: false, unknown_field: false, cancelled, slow: false }
            }
            CaughtError::RustPanic { ereport, .. } => {
                let text = ereport.message().to_owned();
                Failure { text, locked: false, unknown_field: false, cancelled: false, slow: false }
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

/// What every turn of a process begins with. Whether the configuration was read again.
pub fn serve_signals() -> bool {
    // Between two transactions there is nothing that a cancel could end, and the process itself goes on.
    // SAFETY: counts up, and down again unless the process ends.
    unsafe { pg_sys::QueryCancelHoldoffCount += 1 };
    check_for_interrupts!();
    // SAFETY: a flag that a handler sets.
    unsafe {
        pg_sys::QueryCancelHoldoffCount -= 1;
        pg_sys::QueryCancelPending = 0;
    }
    // Whoever never comes to wait does not hear of it otherwise, and would keep the server from starting again.
    // SAFETY: looks whether the postmaster's end of a pipe is open; leaves the process.
    unsafe {
        if !PostmasterIsAliveInternal() {
            pg_sys::proc_exit(1);
        }
    }
    // SAFETY: a flag that the handler sets.
    if unsafe { pg_sys::ConfigReloadPending } == 0 {
        return false;
    }
    // SAFETY: the same flag.
    unsafe { pg_sys::ConfigReloadPending = 0 };
    // SAFETY: between two transactions.
    unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    true
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
    let mut starts = HashMap::new();
    loop {
        serve_signals();
        let nap = match transaction(databases) {
            Ok(databases) => start_workers(&databases, &mut starts),
            Err(failure) => {
                pgrx::log!("sequin_fdw launcher: {}", failure.text);
                NAP
            }
        };
        sleep(nap);
    }
}

/// What the launcher has done for a database.
struct Started {
    /// When the last worker was started.
    at: Instant,
    /// How many in a row never came.
    in_vain: u32,
    /// How many in a row were asked for and found nothing to do.
    idle: u32,
}

/// Starts the workers that are due. How soon to look again.
fn start_workers(databases: &[Oid], starts: &mut HashMap<Oid, Started>) -> Duration {
    starts.retain(|database, _| databases.contains(database));
    let (mut nap, mut some, mut room) = (NAP, false, true);
    // The database that was looked into longest ago.
    let mut oldest: Option<(Instant, Oid)> = None;
    for vacancy in registry::vacancies(databases) {
        let before = starts.get_mut(&vacancy.database);
        let mut wait = Duration::from_micros(vacancy.quiet);
        if let Some(before) = before {
            if vacancy.came {
                before.in_vain = 0;
            }
            // A wish after a quiet while is not one of many.
            if vacancy.worked || before.at.elapsed() > 2 * idle_pause(before.idle) {
                before.idle = 0;
            }
            let mut pause = pause(vacancy.reason, before.in_vain);
            if vacancy.reason == Reason::Wanted {
                pause = pause.max(idle_pause(before.idle));
            }
            wait = wait.max(pause.saturating_sub(before.at.elapsed()));
            if vacancy.reason == Reason::Look {
                if wait.is_zero() && oldest.is_none_or(|(at, _)| before.at < at) {
                    oldest = Some((before.at, vacancy.database));
                }
                continue;
            }
        }
        if !wait.is_zero() {
            nap = nap.min(wait);
        } else if room {
            room = start_worker(vacancy.database, vacancy.reason, starts);
            some |= room;
        }
    }
    if !room && some {
        // Those that find nothing to do make room within moments.
        return SOON;
    }
    if !room {
        pgrx::log!("sequin_fdw: no worker could be started; max_worker_processes may be too low");
        return nap;
    }
    // One a nap, however many there are. It can wait if none can be started.
    if let Some((_, database)) = oldest {
        start_worker(database, Reason::Look, starts);
    }
    nap
}

/// The least time between two starts of a worker that are asked for, when so many in a row found nothing to do: somebody
/// may ask again and again.
fn idle_pause(idle: u32) -> Duration {
    match idle {
        0 => Duration::ZERO,
        _ => MAX_IDLE_PAUSE.min(FIRST_IDLE_PAUSE * (1 << (idle - 1).min(16))),
    }
}

/// The least time between two starts of a worker, of which so many in a row never came to work.
fn pause(reason: Reason, in_vain: u32) -> Duration {
    let usual = match reason {
        Reason::Wanted => Duration::ZERO,
        Reason::Died | Reason::Prepared => AFTER_DEATH,
        Reason::Look => LOOK_AGAIN,
    };
    match in_vain {
        0 => usual,
        _ => usual.max(MAX_BACK_OFF.min(AFTER_DEATH * (1 << (in_vain - 1).min(16)))),
    }
}

/// Waits until the latch is set, or for so long.
fn sleep(time: Duration) {
    // Rounded up, lest a wait of less than a millisecond be none.
    let time = time.as_millis() as i64 + 1;
    let events = (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as c_int;
    // SAFETY: our own latch.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events, time as _, pg_sys::PG_WAIT_EXTENSION);
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
            if row.datallowconn && !row.datistemplate && row.datconnlimit != INVALID {
                found.push(row.oid);
            }
        }
        pg_sys::heap_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
    Ok(found)
}

/// False if none could be started.
fn start_worker(database: Oid, reason: Reason, starts: &mut HashMap<Oid, Started>) -> bool {
    let started = BackgroundWorkerBuilder::new("sequin_fdw worker")
        .set_type("sequin_fdw worker")
        .set_library("sequin_fdw")
        .set_function("sequin_worker")
        .set_argument(Some(Datum::from(database)))
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(None)
        .enable_spi_access()
        .load_dynamic();
    if started.is_ok() {
        let before = starts.get(&database);
        // Until it has come, and until it has found something to do.
        let in_vain = before.map_or(1, |before| before.in_vain.saturating_add(1));
        let idle = before.map_or(0, |before| before.idle);
        let idle = if reason == Reason::Wanted { idle.saturating_add(1) } else { idle };
        starts.insert(database, Started { at: Instant::now(), in_vain, idle });
    }
    started.is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_are_asked_for_in_vain_start_ever_more_rarely() {
        let pauses: Vec<_> = (0..12).map(|idle| idle_pause(idle).as_millis()).collect();
        assert_eq!(pauses[..4], [0, 250, 500, 1_000]);
        assert!(pauses.is_sorted() && pauses[11] == 60_000, "{pauses:?}");
    }
}
