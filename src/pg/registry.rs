//! What launcher, workers and sessions tell each other in shared memory: which database has a worker, or wants one.
//!
//! There is none unless the library is among `shared_preload_libraries`.

use pgrx::pg_sys::{self, Oid};
use pgrx::{PGRXSharedMemory, PgLwLock, pg_guard, pg_shmem_init};

use super::synced::now;

/// Databases that can have a worker at a time.
const MAX_DATABASES: usize = 64;

/// How long a database stays without a worker after somebody needed it to have none, in microseconds.
const QUIET: i64 = 10_000_000;

#[derive(Clone, Copy)]
struct Entry {
    /// 0 if the entry is free.
    database: u32,
    /// The worker's process; 0 if none runs.
    worker: i32,
    /// Whether somebody asked for a worker, or for a look at what has changed, since it last looked.
    wanted: bool,
    /// No worker is to be started before.
    quiet_until: i64,
}

const FREE: Entry = Entry { database: 0, worker: 0, wanted: false, quiet_until: 0 };

#[derive(Clone, Copy)]
struct Registry {
    launcher: i32,
    entries: [Entry; MAX_DATABASES],
}

// SAFETY: plain numbers.
unsafe impl PGRXSharedMemory for Registry {}

impl Default for Registry {
    fn default() -> Self {
        Registry { launcher: 0, entries: [FREE; MAX_DATABASES] }
    }
}

// SAFETY: the name is ours alone.
static REGISTRY: PgLwLock<Registry> = unsafe { PgLwLock::new(c"sequin_fdw registry") };

static mut PRELOADED: bool = false;

#[allow(unexpected_cfgs)] // The macro's own.
/// Asks for the memory, if the postmaster is what loads the library.
pub fn prepare() {
    // SAFETY: a global of the postmaster's.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
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
    // SAFETY: a global of this process.
    REGISTRY.exclusive().launcher = unsafe { pg_sys::MyProcPid };
}

/// A worker says that it is there. False if another one is.
pub fn enter_worker(database: Oid) -> bool {
    // SAFETY: a global of this process.
    let me = unsafe { pg_sys::MyProcPid };
    let mut registry = REGISTRY.exclusive();
    let Some(entry) = registry.entry(database) else {
        drop(registry);
        pgrx::log!("sequin_fdw: {MAX_DATABASES} databases have workers, and no more can");
        return false;
    };
    if entry.worker != 0 && entry.worker != me && alive(entry.worker) {
        return false;
    }
    (entry.worker, entry.wanted) = (me, false);
    true
}

/// A worker says that it ends since there is nothing to do. False if somebody wants it meanwhile.
pub fn leave_worker(database: Oid) -> bool {
    let mut registry = REGISTRY.exclusive();
    let Some(entry) = registry.entry(database) else { return true };
    if entry.wanted {
        return false;
    }
    entry.worker = 0;
    true
}

/// Whether somebody asked this database's worker to look; the question is then answered.
pub fn take_wish(database: Oid) -> bool {
    let mut registry = REGISTRY.exclusive();
    registry.entry(database).is_some_and(|entry| std::mem::take(&mut entry.wanted))
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
        if entry.worker != 0 { entry.worker } else { launcher }
    };
    set_latch(sleeper);
}

/// Databases whose worker is not running and is to be started, of these, and whether it has died; those that somebody
/// waits for first. What nobody needs of the memory is let go of. `known`: those that were looked into before.
pub fn to_start(databases: &[Oid], known: impl Fn(Oid) -> bool) -> Vec<(Oid, bool)> {
    let mut registry = REGISTRY.exclusive();
    let time = now();
    let (mut start, mut new) = (Vec::new(), Vec::new());
    for database in databases {
        match registry.entries.iter().find(|entry| entry.database == database.to_u32()) {
            Some(entry) => {
                let died = entry.worker != 0 && !alive(entry.worker);
                if (died || (entry.worker == 0 && entry.wanted)) && entry.quiet_until <= time {
                    start.push((*database, died));
                }
            }
            None if !known(*database) => new.push((*database, false)),
            None => {}
        }
    }
    for entry in &mut registry.entries {
        let exists = databases.iter().any(|database| database.to_u32() == entry.database);
        let needed = entry.worker != 0 || entry.wanted || entry.quiet_until > time;
        if !exists || !needed {
            *entry = FREE;
        }
    }
    start.extend(new);
    start
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
    if worker == 0 {
        return;
    }
    // SAFETY: a worker of ours, if it is still there: its process is checked to be one of this cluster.
    if alive(worker) {
        unsafe { libc::kill(worker, libc::SIGTERM) };
    }
    // It ends within milliseconds; core itself waits for others for 5 s.
    for _ in 0..500 {
        if !alive(worker) {
            return;
        }
        pgrx::check_for_interrupts!();
        // SAFETY: sleeps.
        unsafe { pg_sys::pg_usleep(10_000) };
    }
}

fn alive(process: i32) -> bool {
    // SAFETY: a look into the table of processes.
    unsafe { !pg_sys::BackendPidGetProc(process).is_null() }
}

fn set_latch(process: i32) {
    // SAFETY: a look into the table of processes; a latch there may be set whoever it belongs to by now.
    unsafe {
        let found = pg_sys::BackendPidGetProc(process);
        if let Some(found) = found.as_mut() {
            pg_sys::SetLatch(&mut found.procLatch);
        }
    }
}
