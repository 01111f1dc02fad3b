//! What launcher, workers and sessions tell each other in shared memory: which database has a worker, or wants one.
//!
//! There is none unless the library is among `shared_preload_libraries`.

use std::ptr::NonNull;

use pgrx::pg_sys::{self, Oid};
use pgrx::{PGRXSharedMemory, PgLwLock, pg_guard, pg_shmem_init};

use super::synced::now;
use super::time_limit::{self, Work};
use super::upgrade;

/// Databases that can have a worker at a time.
const MAX_DATABASES: usize = 64;

/// How long a database stays without a worker after somebody needed it to have none, in microseconds.
const QUIET: i64 = 10_000_000;

/// How long after a PREPARE TRANSACTION its commit is expected, in microseconds.
const PREPARED: i64 = 60_000_000;

/// A process of this cluster. Its number alone may be another's by the time that somebody looks.
#[derive(Clone, Copy, PartialEq)]
struct Process {
    number: i32,
    /// The address of its PGPROC, the same in all processes. Background workers have some to themselves.
    place: usize,
}

const NOBODY: Process = Process { number: 0, place: 0 };

#[derive(Clone, Copy)]
struct Entry {
    /// 0 if the entry is free.
    database: u32,
    worker: Process,
    /// Whether a worker has come since the launcher last asked, and whether it had something to do.
    came: bool,
    worked: bool,
    /// Whether the last worker ended before its work did.
    died: bool,
    /// Whether somebody asked for a worker, or for a look at what has changed, since it last looked.
    wanted: bool,
    /// No worker is to be there before.
    quiet_until: i64,
    /// Until then a prepared transaction may be committed that changes what there is to do.
    prepared_until: i64,
    /// The table whose code the last worker was ended for, and how many records it was to store; 0 if there was none.
    overrun: u32,
    overrun_records: u32,
}

const FREE: Entry = Entry {
    database: 0,
    worker: NOBODY,
    came: false,
    worked: false,
    died: false,
    wanted: false,
    quiet_until: 0,
    prepared_until: 0,
    overrun: 0,
    overrun_records: 0,
};

#[derive(Clone, Copy)]
struct Registry {
    launcher: Process,
    entries: [Entry; MAX_DATABASES],
}

// SAFETY: plain numbers.
unsafe impl PGRXSharedMemory for Registry {}

impl Default for Registry {
    fn default() -> Self {
        Registry { launcher: NOBODY, entries: [FREE; MAX_DATABASES] }
    }
}

// SAFETY: the name is ours alone.
static REGISTRY: PgLwLock<Registry> = unsafe { PgLwLock::new(c"sequin_fdw registry") };

static mut PRELOADED: bool = false;

#[allow(unexpected_cfgs)] // The macro's own.
/// Asks for the memory, if the postmaster is what loads the library. Nothing of ours runs without it, so a server that
/// runs for an upgrade gets none.
pub fn prepare() {
    // SAFETY: a global of the postmaster's.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } || upgrade::is_running() {
        return;
    }
    pg_shmem_init!(REGISTRY);
    // SAFETY: set while there is one thread; every process inherits it.
    unsafe { PRELOADED = true };
}

/// Whether there are workers.
pub fn is_there() -> bool {
    // SAFETY: set before any backend was started.
    unsafe { PRELOADED }
}

impl Process {
    fn me() -> Process {
        // SAFETY: globals of this process, set before it runs anything of ours.
        unsafe { Process { number: pg_sys::MyProcPid, place: pg_sys::MyProc.addr() } }
    }

    fn find(self) -> Option<NonNull<pg_sys::PGPROC>> {
        // SAFETY: a look into the table of processes.
        let found = unsafe { pg_sys::BackendPidGetProc(self.number) };
        NonNull::new(found).filter(|found| found.as_ptr().addr() == self.place)
    }

    fn lives(self) -> bool {
        self.find().is_some()
    }

    fn set_latch(self) {
        if let Some(mut found) = self.find() {
            // SAFETY: in shared memory for good; a latch there may be set whoever it belongs to by now.
            unsafe { pg_sys::SetLatch(&mut found.as_mut().procLatch) };
        }
    }
}

impl Registry {
    fn entry(&mut self, database: Oid) -> Option<&mut Entry> {
        let database = database.to_u32();
        let known = self.entries.iter().position(|entry| entry.database == database);
        let at = known.or_else(|| self.entries.iter().position(|entry| entry.database == 0))?;
        let entry = &mut self.entries[at];
        entry.database = database;
        Some(entry)
    }
}

/// The launcher says that it is there.
pub fn enter_launcher() {
    REGISTRY.exclusive().launcher = Process::me();
}

/// A worker says that it is there. False if it is not to be.
pub fn enter_worker(database: Oid) -> bool {
    let mut registry = REGISTRY.exclusive();
    let Some(entry) = registry.entry(database) else {
        drop(registry);
        pgrx::log!("sequin_fdw: {MAX_DATABASES} databases have workers, and no more can");
        return false;
    };
    if entry.worker.lives() || entry.quiet_until > now() {
        return false;
    }
    *entry = Entry { worker: Process::me(), came: true, died: false, wanted: false, ..*entry };
    drop(registry);
    // SAFETY: registers a plain function, once in a worker's life.
    unsafe { pg_sys::before_shmem_exit(Some(abandon), pg_sys::Datum::from(0)) };
    true
}

/// A worker's end, while its entry can still be reached. A server whose processes are killed begins with a new registry.
#[pg_guard]
unsafe extern "C-unwind" fn abandon(_code: i32, _argument: pg_sys::Datum) {
    let me = Process::me();
    let launcher = {
        let mut registry = REGISTRY.exclusive();
        // Unless it has left.
        let Some(entry) = registry.entries.iter_mut().find(|entry| entry.worker == me) else { return };
        (entry.worker, entry.died) = (NOBODY, true);
        if let Some(work) = time_limit::overrun() {
            entry.overrun = work.table.to_u32();
            entry.overrun_records = u32::try_from(work.records).unwrap_or(u32::MAX);
        }
        registry.launcher
    };
    launcher.set_latch();
}

/// What the worker before was ended for, if code of a table's owner did not end when it was cancelled.
pub fn take_overrun(database: Oid) -> Option<Work> {
    let mut registry = REGISTRY.exclusive();
    let entry = registry.entry(database)?;
    let table = std::mem::take(&mut entry.overrun);
    (table != 0).then(|| Work { table: table.into(), records: entry.overrun_records as usize })
}

/// A worker says that it has something to do.
pub fn note_work(database: Oid) {
    if let Some(entry) = REGISTRY.exclusive().entry(database) {
        entry.worked = true;
    }
}

/// A worker says that it ends since there is nothing to do. False if somebody wants it meanwhile.
pub fn leave_worker(database: Oid) -> bool {
    let mut registry = REGISTRY.exclusive();
    let Some(entry) = registry.entry(database) else { return true };
    if entry.wanted {
        return false;
    }
    entry.worker = NOBODY;
    true
}

/// Whether somebody asked this database's worker to look; the question is then answered.
pub fn take_wish(database: Oid) -> bool {
    let mut registry = REGISTRY.exclusive();
    registry.entry(database).is_some_and(|entry| std::mem::take(&mut entry.wanted))
}

/// Whether a worker of the database is there now.
pub fn has_worker(database: Oid) -> bool {
    let of_it = |entry: &&Entry| entry.database == database.to_u32();
    is_there() && REGISTRY.share().entries.iter().find(of_it).is_some_and(|entry| entry.worker.lives())
}

/// Asks the database's worker to look at what has changed, or the launcher to start it.
pub fn wake(database: Oid) {
    if !is_there() {
        return;
    }
    let sleeper = {
        let mut registry = REGISTRY.exclusive();
        let launcher = registry.launcher;
        let Some(entry) = registry.entry(database) else { return };
        entry.wanted = true;
        if entry.worker == NOBODY { launcher } else { entry.worker }
    };
    sleeper.set_latch();
}

/// Has a database without a worker looked into again and again for a while, since a transaction was prepared whose commit
/// tells nobody.
pub fn expect_commit(database: Oid) {
    if !is_there() {
        return;
    }
    if let Some(entry) = REGISTRY.exclusive().entry(database) {
        entry.prepared_until = now() + PREPARED;
    }
}

/// A database that has no worker.
pub struct Vacancy {
    pub database: Oid,
    pub reason: Reason,
    /// Whether a worker has come since the last time, and whether it had something to do.
    pub came: bool,
    pub worked: bool,
    /// For how long none is to be started yet, in microseconds.
    pub quiet: u64,
}

/// Why a worker is to be started, the most urgent first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Wanted,
    Died,
    /// A transaction was prepared.
    Prepared,
    /// None is known: there may be something to do all the same.
    Look,
}

/// Those of the databases that have no worker, the most urgent first. What nobody needs of the memory is let go of.
pub fn vacancies(databases: &[Oid]) -> Vec<Vacancy> {
    let mut registry = REGISTRY.exclusive();
    let time = now();
    let mut found = Vec::new();
    for &database in databases {
        let mut unknown = FREE;
        let known = registry.entries.iter_mut().find(|entry| entry.database == database.to_u32());
        let entry = known.unwrap_or(&mut unknown);
        if entry.worker.lives() {
            continue;
        }
        let reason = match entry {
            // Whoever dies again and again does so at its own pace, however often it is asked for.
            Entry { died: true, .. } => Reason::Died,
            Entry { wanted: true, .. } => Reason::Wanted,
            Entry { prepared_until, .. } if *prepared_until > time => Reason::Prepared,
            _ => Reason::Look,
        };
        let quiet = u64::try_from(entry.quiet_until - time).unwrap_or(0);
        let (came, worked) = (std::mem::take(&mut entry.came), std::mem::take(&mut entry.worked));
        found.push(Vacancy { database, reason, came, worked, quiet });
    }
    for entry in &mut registry.entries {
        let exists = databases.iter().any(|database| database.to_u32() == entry.database);
        let needed =
            entry.died || entry.wanted || entry.overrun != 0 || entry.quiet_until.max(entry.prepared_until) > time;
        let used = entry.worker.lives() || (exists && needed);
        if !used {
            *entry = FREE;
        }
    }
    found.sort_by_key(|vacancy| vacancy.reason);
    found
}

/// Ends the worker of a database, for whoever needs to have it alone, and keeps it away for a while.
pub fn clear(database: Oid) {
    if !is_there() {
        return;
    }
    let worker = {
        let mut registry = REGISTRY.exclusive();
        let Some(entry) = registry.entry(database) else { return };
        entry.quiet_until = now() + QUIET;
        entry.wanted = true;
        entry.worker
    };
    if worker.lives() {
        // SAFETY: a worker of ours.
        unsafe { libc::kill(worker.number, libc::SIGTERM) };
    }
    // It ends within milliseconds; core itself waits for others for 5 s.
    for _ in 0..500 {
        if !worker.lives() {
            return;
        }
        pgrx::check_for_interrupts!();
        // SAFETY: sleeps.
        unsafe { pg_sys::pg_usleep(10_000) };
    }
}
