//! The worker of a database: it keeps its synced tables equal to the API.
//!
//! One process serves all of them. Their reads are under way at the same time; what comes is put into the tables piece
//! by piece, in turn, so that a table which takes long holds up no other.

use std::cell::Cell;
use std::ffi::CString;
use std::task::Poll;
use std::time::{Duration, Instant};

use pgrx::pg_guard;
use pgrx::pg_sys::{self, Datum, Oid};

use super::background::{Failure, database_name, described, serve_signals, set, take_signals, transaction};
use super::error::or_raise;
use super::follower::{Follower, LONG_LOOK_BACK, LOOK_BACK, PIECE_ROWS, Progress, Task};
use super::notices::{self, Notices};
use super::schema_watch::SchemaWatch;
use super::spi::Spi;
use super::synced::{self, Lock, SWEEP_EVERY, State, Synced, as_keeper, now};
use super::time_limit::{Work, within};
use super::{catalog, registry, session, version, wait};
use crate::error::{Error, Kind, Result};
use crate::sync::pace::{back_off, next_portion};

/// How often the list of synced tables is read anew; whoever changes it says so besides.
const LOOK: Duration = Duration::from_secs(5);

/// How soon a piece is tried again that others are in the way of; less and less often.
const RETRY: Duration = Duration::from_millis(100);
const SLOW_RETRY: Duration = Duration::from_secs(2);

/// How often the object is described, to see how its fields have changed; also at once when one is not known any more.
const WATCH: Duration = Duration::from_secs(600);

/// After how long others in the way are made to wait, and for how long: the longer, the longer they have been in the way.
const QUEUE_AFTER: Duration = Duration::from_millis(400);
const QUEUE: Duration = Duration::from_millis(300);
const LONGEST_QUEUE: Duration = Duration::from_secs(1);

/// How long a transaction that keeps records may take: code of a table's owner must not hold up other tables for longer.
const MOST_TIME: Duration = Duration::from_secs(3);

/// The same of one that changes a table's columns, which may have to write all of it again.
const MOST_TIME_OF_CHANGES: Duration = Duration::from_secs(30);

/// How long a table waits whose code has taken too long, whatever it was to do: ten times what it has cost the others.
const AFTER_OVERRUN: Duration = Duration::from_secs(40);

/// How soon a table that fails is tried again at the earliest, whatever has been mended: in general, and if its code has
/// taken too long.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const AFTER_SLOWNESS: Duration = Duration::from_secs(10);

/// A table whose turn has taken so long lets the others have theirs.
const LONG_TURN: Duration = Duration::from_secs(1);

/// After how long a read is given up that others are in the way of, if another is due by then. A sweep would have to begin
/// from the start, a filling to read a piece anew.
const PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE_OF_SWEEPS: Duration = Duration::from_secs(10);

/// How soon a read is begun anew after something could not be locked in time.
const AFTER_LOCK: Duration = Duration::from_secs(1);

/// How often a look at the changes goes back far.
const LONG_LOOK: Duration = Duration::from_secs(300);

/// The worker's life.
///
/// # Safety
/// Called by the postmaster's child.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn sequin_worker(database: Datum) {
    let database = Oid::from(database.value() as u32);
    take_signals();
    // SAFETY: a process of ours that is connected to no database yet. A database that is gone ends it.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0) };
    if !registry::enter_worker(database) {
        return;
    }
    session::poll();
    // Nobody is waited for: a table that somebody alters must not hold up the others.
    set_queue(QUEUE);
    notices::listen();
    for timeout in version::TIMEOUTS {
        set(timeout, c"0");
    }
    // What a database is set to for its users.
    set(c"default_transaction_read_only", c"off");
    // What others committed while a lock was waited for is to be seen.
    set(c"default_transaction_isolation", c"read committed");
    // Made for statements.
    set(c"sequin_fdw.max_requests", c"0");
    let overrun = registry::take_overrun(database);
    let mut worker = Worker { database, tables: Vec::new(), looked: None, overrun, quiet_until: Instant::now() };
    loop {
        serve();
        if worker.must_look() {
            match transaction(list) {
                Ok(listed) => {
                    worker.take_in(listed.unwrap_or_default());
                    worker.take_notice();
                    worker.looked = Some(Instant::now());
                }
                // Somebody changes the extension, say.
                Err(failure) => {
                    pgrx::log!("sequin_fdw worker of \"{}\": {}", database_name_of(), failure.text);
                    worker.looked = None;
                }
            }
        }
        if worker.looked.is_some() && worker.tables.is_empty() && registry::leave_worker(database) {
            return;
        }
        worker.turns();
        worker.sleep();
    }
}

/// Serves signals. New settings may be what a table waits for.
fn serve() {
    if serve_signals() {
        notices::note();
    }
}

/// How long a lock is waited for.
fn set_queue(time: Duration) {
    thread_local! {
        static QUEUE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }
    if QUEUE.replace(time) != time
        && let Ok(time) = CString::new(format!("{}ms", time.as_millis()))
    {
        set(c"lock_timeout", &time);
    }
}

fn database_name_of() -> String {
    transaction(|| Ok(database_name())).unwrap_or_default()
}

struct Worker {
    database: Oid,
    tables: Vec<Followed>,
    /// When the list was last read.
    looked: Option<Instant>,
    /// What the worker before was ended for.
    overrun: Option<Work>,
    /// Until then no table has its turn whose code took too long, since that of one has just done so.
    quiet_until: Instant,
}

/// A synced table as the list shows it.
struct Listed {
    target: Oid,
    source: Oid,
    every: Duration,
    filled: bool,
    /// Whether the API tells of changes, and whether it is known from where on they count.
    feed: bool,
    positioned: bool,
    /// How long until the next sweep; `None`: never.
    sweep_in: Option<Duration>,
    next_try_in: Option<Duration>,
    /// As they were given.
    options: Option<String>,
}

/// A synced table, and what is under way for it.
struct Followed {
    listed: Listed,
    poll: Option<Running>,
    sweep: Option<Running>,
    /// The object is being described, and what had been mended when that began, as `mends` counts.
    watch: Option<(SchemaWatch, u64)>,
    /// When the object is described next.
    watch_at: Instant,
    /// When the next poll is due, and the next sweep.
    poll_at: Instant,
    sweep_at: Option<Instant>,
    /// What went wrong with the last sweeps of a table that is polled all the same.
    failing: Option<FailingSweeps>,
    /// When the last look back was a long one. The first of a worker is none: it may take long.
    long_look: Option<Instant>,
    polled: bool,
    /// Whether the next poll waits since something failed.
    waits: bool,
    /// When it may be tried again at the earliest, whatever is mended meanwhile.
    not_before: Instant,
    /// Whether its code took too long the last time.
    suspect: bool,
    /// How often something was mended that it may fail for: a read that is under way does not know of it yet.
    mends: u64,
    /// Since when others are in the way.
    kept_out: Option<Instant>,
    /// So many records are kept at once; fewer if that took too long.
    portion: usize,
    /// Whether this process holds the lock for following.
    locked: bool,
    /// What was last written to the log.
    logged: Option<String>,
}

struct FailingSweeps {
    count: u32,
    error: String,
    next: Instant,
}

struct Running {
    follower: Follower,
    /// What had been mended when it began, as [`Followed::mends`] counts.
    mends: u64,
    /// When a piece that is there may be tried again.
    retry_at: Option<Instant>,
    /// Since when others are in the way.
    held_since: Option<Instant>,
}

/// The synced tables; `None` if the extension is not here any more. Forgets those whose table is gone.
fn list() -> Result<Option<Vec<Listed>>> {
    if !synced::is_installed() {
        return Ok(None);
    }
    let _keeper = as_keeper()?;
    let spi = Spi::connect()?;
    let gone = "target NOT IN (SELECT oid FROM pg_catalog.pg_class)";
    // Even a DELETE of nothing is one that others, and we ourselves, would be told of.
    if spi.run_kept(&format!("SELECT FROM sequin.sync WHERE {gone}"), &[])?.len() > 0 {
        spi.run(&format!("DELETE FROM sequin.sync WHERE {gone}"), &[])?;
        for table in ["sync_deleted", "sync_told"] {
            let orphaned = format!("DELETE FROM sequin.{table} WHERE target NOT IN (SELECT target FROM sequin.sync)");
            spi.run(&orphaned, &[])?;
        }
    }
    let list = format!(
        "SELECT target::oid, extract(epoch FROM every), filled, feed IS NOT NULL, since IS NOT NULL, \
         least(extract(epoch FROM swept_at) - extract(epoch FROM clock_timestamp()), 0) \
           + extract(epoch FROM CASE WHEN feed IS NULL THEN every ELSE {SWEEP_EVERY} END), \
         extract(epoch FROM next_try - clock_timestamp()), options, source::oid FROM sequin.sync ORDER BY target"
    );
    let rows = spi.run_kept(&list, &[])?;
    let seconds = |row, column| rows.text(row, column).and_then(|text| text.parse::<f64>().ok());
    let time = |seconds: f64| Duration::from_secs_f64(seconds.clamp(0.0, 1e9));
    Ok(Some(
        (0..rows.len())
            .map(|row| Listed {
                target: Oid::from(u32::try_from(rows.count(row, 1)).unwrap_or_default()),
                every: time(seconds(row, 2).unwrap_or_default()).max(Duration::from_millis(100)),
                filled: rows.flag(row, 3),
                feed: rows.flag(row, 4),
                positioned: rows.flag(row, 5),
                sweep_in: seconds(row, 6).map(time),
                next_try_in: seconds(row, 7).map(time),
                options: rows.text(row, 8),
                source: Oid::from(u32::try_from(rows.count(row, 9)).unwrap_or_default()),
            })
            .collect(),
    ))
}

impl Worker {
    fn must_look(&self) -> bool {
        let wished = registry::take_wish(self.database);
        let pause = if notices::are_there() { AFTER_FAILURE } else { LOOK };
        wished || self.looked.is_none_or(|looked| looked.elapsed() >= pause)
    }

    /// Tries at once what failed for something that has been mended, and lets that wait which the worker before was ended
    /// for.
    fn take_notice(&mut self) {
        let notices = Notices::take();
        for table in &mut self.tables {
            if notices.concern(table.listed.target, table.listed.source) {
                table.try_at_once();
            }
        }
        if let Some(work) = self.overrun.take()
            && let Some(table) = self.tables.iter_mut().find(|table| table.listed.target == work.table)
        {
            table.note_overrun(work.records);
            // Which others have had workers ended before, nobody knows. They have failed.
            for table in &mut self.tables {
                table.suspect = table.listed.next_try_in.is_some() || table.suspect;
            }
            self.quiet_until = Instant::now() + AFTER_SLOWNESS;
        }
    }

    /// Every table has its turn. Of those whose code takes too long, one at a time: many must not cost the others more than
    /// one does.
    fn turns(&mut self) {
        for table in &mut self.tables {
            let begin = Instant::now();
            if table.suspect && self.quiet_until > begin {
                continue;
            }
            table.turn();
            if begin.elapsed() >= MOST_TIME {
                // Time enough for the others.
                self.quiet_until = Instant::now() + AFTER_SLOWNESS;
            }
            serve();
        }
    }

    fn take_in(&mut self, listed: Vec<Listed>) {
        let mut known = std::mem::take(&mut self.tables);
        if !listed.is_empty() {
            registry::note_work(self.database);
        }
        for listed in listed {
            let same = known.iter().position(|table| table.listed.target == listed.target);
            let table = match same.map(|at| known.swap_remove(at)) {
                Some(table) => table.with(listed),
                None => Followed::new(listed),
            };
            self.tables.push(table);
        }
        for mut gone in known {
            gone.unlock();
        }
    }

    /// Sleeps until something has come, is due, or is asked for.
    fn sleep(&self) {
        let next_turn = |table: &Followed| {
            let next = table.next_turn()?;
            Some(if table.suspect { next.max(self.quiet_until) } else { next })
        };
        let next = self.tables.iter().filter_map(next_turn).min();
        let look = self.looked.map_or(AFTER_LOCK, |looked| LOOK.saturating_sub(looked.elapsed()));
        let pause = next.map_or(look, |next| look.min(next.saturating_duration_since(Instant::now())));
        match wait::io() {
            Ok(io) => wait::pause(&io, pause),
            Err(error) => pgrx::log!("sequin_fdw worker: {}", error.message()),
        }
    }
}

impl Followed {
    fn new(listed: Listed) -> Followed {
        let (poll_at, sweep_at) = (Instant::now() + listed.next_try_in.unwrap_or_default(), None);
        let table = Followed {
            listed,
            poll: None,
            sweep: None,
            watch: None,
            watch_at: Instant::now() + WATCH,
            poll_at,
            sweep_at,
            failing: None,
            long_look: None,
            polled: false,
            waits: false,
            not_before: Instant::now(),
            suspect: false,
            mends: 0,
            kept_out: None,
            portion: PIECE_ROWS,
            locked: false,
            logged: None,
        };
        table.scheduled()
    }

    fn with(mut self, listed: Listed) -> Followed {
        // Whatever was set anew counts at once.
        let set = (listed.every, &listed.options) != (self.listed.every, &self.listed.options);
        // Somebody's refresh has succeeded, say.
        if set || (self.waits && listed.next_try_in.is_none()) {
            self.poll_at = self.not_before.max(Instant::now());
        }
        self.mends += u64::from(set);
        self.listed = listed;
        self.scheduled()
    }

    /// What failed is tried again without waiting any longer.
    fn try_at_once(&mut self) {
        self.mends += 1;
        let soon = self.not_before.max(Instant::now());
        if self.waits {
            self.poll_at = soon;
        }
        if let Some(failing) = &mut self.failing {
            failing.next = soon;
            self.sweep_at = self.sweep_at.map(|_| failing.next);
        }
    }

    fn scheduled(mut self) -> Followed {
        self.sweep_at = self.listed.sweep_in.map(|wait| Instant::now() + wait);
        if let Some(failing) = &self.failing {
            self.sweep_at = self.sweep_at.map(|at| at.max(failing.next));
        }
        self
    }

    /// What is to be begun now.
    fn due(&self) -> Option<Task> {
        let time = Instant::now();
        let listed = &self.listed;
        if self.poll_at > time || self.poll.is_some() {
            return None;
        }
        if listed.feed && !listed.positioned {
            return Some(Task::Poll(Duration::ZERO));
        }
        let sweeps = self.sweep.is_some();
        if !listed.filled || !listed.feed {
            return (!sweeps).then_some(Task::Sweep);
        }
        if !sweeps && self.sweep_at.is_some_and(|at| at <= time) {
            return Some(Task::Sweep);
        }
        let long = self.polled && self.long_look.is_none_or(|looked| looked.elapsed() >= LONG_LOOK);
        Some(Task::Poll(if long { LONG_LOOK_BACK } else { LOOK_BACK }))
    }

    /// When there is something to do again, if nothing comes before.
    fn next_turn(&self) -> Option<Instant> {
        let retries = [&self.poll, &self.sweep].into_iter().flatten().filter_map(|running| running.retry_at);
        let due = self.poll.is_none().then_some(self.poll_at);
        // While a table is filled, or swept for want of a feed, no poll is due.
        let busy = self.sweep.is_some() && !(self.listed.filled && self.listed.feed);
        let watch = self.watch.is_none().then_some(self.watch_at);
        retries.chain(due.filter(|_| !busy)).chain(watch).min()
    }

    /// Begins what is due, and keeps what has come.
    fn turn(&mut self) {
        if let Some(task) = self.due() {
            self.begin(task);
        }
        let begin = Instant::now();
        for sweeps in [false, true] {
            if begin.elapsed() > LONG_TURN {
                break;
            }
            let slot = if sweeps { &mut self.sweep } else { &mut self.poll };
            if let Some(running) = slot.take() {
                self.go_on(running);
            }
        }
        self.watch();
        if self.poll.is_none() && self.sweep.is_none() {
            self.unlock();
        }
    }

    /// Has the object described now and then, and does what follows from it.
    fn watch(&mut self) {
        let target = self.listed.target;
        if self.watch.is_none() && self.watch_at <= Instant::now() {
            self.watch_at = Instant::now() + WATCH;
            match transaction(|| Synced::read(target)?.map(SchemaWatch::start).transpose()) {
                Ok(watch) => self.watch = watch.map(|watch| (watch, self.mends)),
                Err(failure) if failure.locked => self.watch_at = Instant::now() + AFTER_LOCK,
                Err(failure) => self.fail(&failure, self.mends),
            }
        }
        let Some((mut watch, mends)) = self.watch.take() else { return };
        let done = match watch.collect() {
            Poll::Pending => return self.watch = Some((watch, mends)),
            Poll::Ready(Ok(())) => {
                let work = Work { table: target, records: 0 };
                let (done, late) = within(work, MOST_TIME_OF_CHANGES, || transaction(|| watch.finish()));
                done.map_err(|failure| slow(failure, late, "changing the table's columns", 0, MOST_TIME_OF_CHANGES))
            }
            Poll::Ready(Err(error)) => Err(Failure::of_error(&error)),
        };
        match done {
            Ok(true) => {
                // What is under way was asked for with the old fields.
                (self.poll, self.sweep) = (None, None);
                (self.poll_at, self.sweep_at) = (Instant::now(), Some(Instant::now()));
            }
            Ok(false) => {}
            // Somebody uses the tables.
            Err(failure) if failure.locked => self.watch_at = Instant::now() + AFTER_LOCK,
            Err(failure) => self.fail(&failure, mends),
        }
    }

    fn begin(&mut self, task: Task) {
        self.waits = false;
        // Whoever refreshes the table reads it now.
        self.locked = self.locked || Lock::Following.try_hold(self.listed.target);
        if !self.locked {
            self.poll_at = Instant::now() + RETRY;
            return;
        }
        let target = self.listed.target;
        let may_sweep =
            self.sweep.is_none() && self.failing.as_ref().is_none_or(|failing| failing.next <= Instant::now());
        let (mut moved, mends) = (false, self.mends);
        let begun = transaction(|| match Synced::read(target)? {
            Some(synced) if synced.follows_another() => {
                moved = true;
                Ok(None)
            }
            Some(synced) if may_sweep && synced.has_new_columns() => Follower::start(synced, Task::Sweep).map(Some),
            Some(synced) => Follower::start(synced, task).map(Some),
            None => Ok(None),
        });
        match begun {
            Ok(Some(follower)) => {
                let task = follower.task();
                let running = Some(Running { follower, mends, retry_at: None, held_since: None });
                match task {
                    Task::Sweep => {
                        self.sweep = running;
                        self.sweep_at = None;
                    }
                    Task::Poll(look_back) => {
                        self.poll = running;
                        self.poll_at = Instant::now() + self.listed.every;
                        if look_back == LONG_LOOK_BACK {
                            self.long_look = Some(Instant::now());
                        }
                    }
                }
            }
            Ok(None) => {
                // It is listed no more the next time, or is described first.
                self.poll_at = Instant::now() + LOOK;
                if moved {
                    (self.watch, self.watch_at) = (None, Instant::now());
                }
            }
            // Somebody alters the table, say.
            Err(failure) if failure.locked => self.poll_at = Instant::now() + AFTER_LOCK,
            Err(failure) => self.fail(&failure, self.mends),
        }
    }

    fn go_on(&mut self, mut running: Running) {
        let sweeps = running.follower.task() == Task::Sweep;
        let time = Instant::now();
        if running.retry_at.is_some_and(|at| at > time) {
            return self.put_back(running);
        }
        match running.follower.collect() {
            Poll::Pending => {
                running.retry_at = None;
                return self.put_back(running);
            }
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return self.fail_with(running, &Failure::of_error(&error)),
        }
        if !Lock::Following.is_held(self.listed.target) {
            self.locked = false;
            self.poll_at = time + RETRY;
            return;
        }
        let oldest = [&self.poll, &self.sweep].into_iter().flatten().map(|other| other.follower.began());
        let oldest = oldest.chain([running.follower.began()]).min().unwrap_or_else(now);
        // Whoever writes without a pause is made to wait for a moment, once what can be kept beside them is.
        let kept_out = self.kept_out.map_or(Duration::ZERO, |since| since.elapsed());
        let queue = running.held_since.is_some() && kept_out >= QUEUE_AFTER;
        let standing = self.failing.as_ref().filter(|_| !sweeps).map(|failing| failing.error.clone());
        running.follower.leave(standing);
        set_queue((kept_out / 4).clamp(QUEUE, LONGEST_QUEUE));
        running.follower.keep_at_most(self.portion);
        let work = Work { table: self.listed.target, records: running.follower.records() };
        let begin = Instant::now();
        let (kept, late) = within(work, MOST_TIME, || transaction(|| running.follower.keep(oldest, queue)));
        let took = begin.elapsed();
        set_queue(QUEUE);
        if kept.is_ok() {
            running.follower.settle();
        }
        if let Ok(Progress::More(done) | Progress::Part(done) | Progress::Done(done)) = kept {
            if !done.held {
                self.kept_out = None;
            }
            // Code may have caught its cancel.
            self.suspect = late;
            self.portion = next_portion(self.portion, work.records, took).min(PIECE_ROWS);
        }
        let what = match work.records {
            0 => "comparing the table with what was read",
            1 => "storing one record",
            records => &format!("storing {records} records"),
        };
        let kept = kept.map_err(|failure| slow(failure, late, what, work.records, MOST_TIME));
        match kept {
            Ok(Progress::Part(done)) => {
                if let Err(error) = running.follower.forget_part() {
                    return self.fail_with(running, &Failure::of_error(&error));
                }
                // At once, when the other tables have had their turn.
                running.retry_at = Some(time);
                if done.held {
                    running.held_since.get_or_insert(time);
                    self.kept_out.get_or_insert(time);
                } else {
                    running.held_since = None;
                }
                self.put_back(running);
            }
            Ok(Progress::More(_)) => {
                if let Err(error) = running.follower.forget_piece() {
                    return self.fail_with(running, &Failure::of_error(&error));
                }
                (running.retry_at, running.held_since) = (None, None);
                self.put_back(running);
            }
            Ok(Progress::Held(_)) => self.hold_back(running),
            // Somebody alters the table, say.
            Err(failure) if failure.locked && !running.follower.is_spoilt() => self.hold_back(running),
            Err(failure) if failure.locked => {
                self.poll_at = time + self.listed.every.clamp(AFTER_LOCK, LOOK).max(running.follower.wait());
            }
            Ok(Progress::Done(_)) => {
                if sweeps {
                    self.failing = None;
                } else {
                    self.polled = true;
                }
                let state = &running.follower.synced.state;
                if let Some(error) = &state.error {
                    self.log(error);
                } else {
                    self.logged = None;
                }
                let state = &running.follower.synced.state;
                self.listed.filled = state.filled;
                self.listed.positioned = state.since.is_some();
                if sweeps {
                    let feed = self.listed.feed;
                    self.sweep_at = running.follower.next_sweep().filter(|_| feed).map(|wait| time + wait);
                    // Without a feed a sweep is what a poll is.
                    let next = if feed { time } else { time + self.listed.every };
                    self.poll_at = next.max(time + running.follower.wait());
                } else if !self.listed.filled && self.listed.positioned {
                    self.poll_at = time;
                } else {
                    self.poll_at = self.poll_at.max(time + running.follower.wait());
                }
            }
            // It is listed no more the next time, or is read as it is now.
            Ok(Progress::Gone) => self.poll_at = time + AFTER_LOCK,
            Err(failure) => {
                if failure.cancelled && work.records > 0 {
                    self.portion = smaller(self.portion.min(work.records));
                }
                self.fail_with(running, &failure);
            }
        }
    }

    /// Tries the same piece again a little later. If others stay in the way, what could be kept is kept, and the rest is
    /// to be read again.
    fn hold_back(&mut self, mut running: Running) {
        let time = Instant::now();
        let held_for = time - *running.held_since.get_or_insert(time);
        self.kept_out.get_or_insert(time);
        let least = if running.follower.task() == Task::Sweep { PATIENCE_OF_SWEEPS } else { PATIENCE };
        // Not before another read may be paid for; but whoever refreshes the table may be who is in the way.
        let most = least.max(self.listed.every).max(running.follower.wait());
        let target = self.listed.target;
        let alone = || transaction(|| Ok(Lock::Refreshing.try_take(target))).unwrap_or(true);
        if held_for < PATIENCE || (held_for < most && alone()) {
            running.retry_at = Some(time + (held_for / 8).clamp(RETRY, SLOW_RETRY));
            self.put_back(running);
        } else {
            // Long enough for whoever waits to refresh the table.
            self.poll_at = self.poll_at.max(time + AFTER_LOCK.min(self.listed.every));
        }
    }

    fn put_back(&mut self, running: Running) {
        match running.follower.task() {
            Task::Sweep => self.sweep = Some(running),
            Task::Poll(_) => self.poll = Some(running),
        }
    }

    /// Writes down what went wrong, and tries again later. `mends`: as [`Followed::back_off`] has it.
    fn fail(&mut self, failure: &Failure, mends: u64) {
        let target = self.listed.target;
        let least = least_wait(failure);
        self.back_off(failure, mends, || State::note_failure(target, &failure.text, least));
    }

    /// The same, of a read that was under way. Sweeps back off by themselves: polls in between may well succeed.
    fn fail_with(&mut self, mut running: Running, failure: &Failure) {
        let (least, mends) = (least_wait(failure), running.mends);
        if running.follower.task() == Task::Sweep && self.listed.filled && self.listed.feed {
            let count = self.failing.as_ref().map_or(1, |failing| failing.count.saturating_add(1));
            let wait = if mends == self.mends { back_off(count).max(least) } else { AFTER_FAILURE };
            self.failing = Some(FailingSweeps { count, error: failure.text.clone(), next: Instant::now() + wait });
        }
        self.back_off(failure, mends, || running.follower.fail(&failure.text, least));
    }

    /// `mends`: when what has failed began. If something was mended meanwhile, that is tried without waiting much.
    fn back_off(&mut self, failure: &Failure, mends: u64, note: impl FnOnce() -> Result<Duration>) {
        if failure.unknown_field {
            self.watch_at = self.watch_at.min(Instant::now());
        }
        let wait = transaction(note).unwrap_or(LOOK).max(least_wait(failure));
        self.suspect |= failure.slow || failure.cancelled;
        let soonest = if failure.slow { AFTER_SLOWNESS } else { AFTER_FAILURE };
        self.not_before = Instant::now() + soonest;
        self.poll_at = Instant::now() + if mends == self.mends { wait } else { soonest };
        self.waits = true;
        self.log(&failure.text);
    }

    /// The worker before was ended while it stored so many records of the table.
    fn note_overrun(&mut self, records: usize) {
        self.portion = smaller(self.portion.min(records));
        let failure = Failure {
            text: described(
                "code of the table did not end when it was cancelled, so the worker was ended",
                Some(&format!(
                    "Triggers, constraints, defaults or index expressions were running, which may take {} s.",
                    MOST_TIME.as_secs()
                )),
                Some(WAY_OUT),
            ),
            locked: false,
            unknown_field: false,
            cancelled: true,
            slow: true,
        };
        self.fail(&failure, self.mends);
    }

    /// Writes to the server's log what goes wrong, once.
    fn log(&mut self, error: &str) {
        if self.logged.as_deref() != Some(error) {
            let target = self.listed.target;
            let name = transaction(|| Ok(synced::title(target))).unwrap_or_default();
            pgrx::log!("sequin_fdw: synced table {name}: {error}");
            self.logged = Some(error.to_owned());
        }
    }

    fn unlock(&mut self) {
        if std::mem::take(&mut self.locked) {
            Lock::Following.leave(self.listed.target);
        }
    }
}

const WAY_OUT: &str = "Make them quicker. sequin.refresh() stores the records without a limit of time.";

/// What a failure is if it came of a limit of time that `what`, which was to store so many records, has reached.
fn slow(failure: Failure, late: bool, what: &str, records: usize, limit: Duration) -> Failure {
    if !late || !failure.cancelled {
        return failure;
    }
    let next = if records > 1 { " Fewer are stored at once next time." } else { "" };
    let text = described(
        &format!("{what} took more than {} s and was cancelled", limit.as_secs()),
        Some(&format!("Triggers, constraints, defaults or index expressions of the table may be slow.{next}")),
        Some(WAY_OUT),
    );
    // Fewer records may take less time.
    Failure { text, slow: records <= 1, ..failure }
}

/// How long to wait at least after a failure.
fn least_wait(failure: &Failure) -> Duration {
    if failure.slow { AFTER_OVERRUN } else { Duration::ZERO }
}

/// How many records to store at once after so many have taken too long.
fn smaller(records: usize) -> usize {
    (records / 16).max(1)
}

/// A trigger of `sequin.sync`: once the transaction is committed, the worker looks at what has changed.
///
/// # Safety
/// Called by Postgres.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn sequin_wake_worker(call: pg_sys::FunctionCallInfo) -> Datum {
    // SAFETY: a live call.
    or_raise(unsafe { must_be_of_sync(call) });
    // SAFETY: a global that is set when the backend connects.
    let database = unsafe { pg_sys::MyDatabaseId };
    pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::Commit, move || registry::wake(database));
    pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::Prepare, move || registry::expect_commit(database));
    Datum::from(0)
}

/// Refuses to be the trigger of another table, for which workers would be started in vain.
///
/// # Safety
/// The call must be live.
unsafe fn must_be_of_sync(call: pg_sys::FunctionCallInfo) -> Result<()> {
    let message = "sequin.wake_worker() is a trigger of sequin.sync alone";
    // SAFETY: by the contract above; a trigger's call has the trigger's data for its context.
    let data = unsafe { (*call).context.cast::<pg_sys::TriggerData>().as_ref() };
    let Some(data) = data.filter(|data| data.type_ == pg_sys::NodeTag::T_TriggerData) else {
        return Err(Error::new(Kind::NotSupported, message));
    };
    // SAFETY: the relation of a trigger that runs.
    let table = unsafe { (*data.tg_relation).rd_id };
    if synced::state_table() == Some(table) {
        return Ok(());
    }
    let (schema, name) = catalog::relation_name(table);
    Err(Error::new(Kind::NotSupported, message).table(&schema, &name))
}

#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_sequin_wake_worker() -> &'static pg_sys::Pg_finfo_record {
    &pg_sys::Pg_finfo_record { api_version: 1 }
}
