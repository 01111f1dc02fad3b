//! Reading the API for a synced table.
//!
//! A follower reads either all records, piece by piece, or what has changed. The worker has many of them under way at
//! once, `sequin.refresh` runs one after the other.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pgrx::pg_sys;

use super::merge::{self, Kept, Piece, Refused};
use super::session::{Answers, Remote};
use super::spi::check_constraints_at_once;
use super::synced::{Lock, Synced, lock_relation, now};
use crate::connector::follow::all;
use crate::error::{Error, Kind, Result};
use crate::heap;
use crate::http::meter::Meter;
use crate::query::ask::BoundRead;
use crate::query::delta::Delta;
use crate::query::predicate::{Operand, Predicate};
use crate::sync::pace::Allowance;
use crate::sync::seen::Seen;
use crate::value::Value;

/// A piece is kept when it has so many records, or so many bytes.
pub const PIECE_ROWS: usize = 20_000;
const PIECE_BYTES: usize = 8 << 20;

/// So many records at most are asked for once more when users overtook a poll, or when the table refused them.
const MOST_ASKED: usize = 1_000;

/// How far each look at the changes goes back: what is committed a little later than it is dated is seen all the same.
pub const LOOK_BACK: Duration = Duration::from_secs(10);

/// How far a look goes back now and then, for what took others minutes to commit.
pub const LONG_LOOK_BACK: Duration = Duration::from_secs(600);

/// A moment long ago.
const NEVER_SWEPT: i64 = 0;

/// What a follower reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Everything: to fill the table, or to compare it.
    Sweep,
    /// What has changed, looking back so far; the first time only the position from which on changes count.
    Poll(Duration),
}

/// A read that is under way, and what has come of it and is not kept yet.
pub struct Follower {
    pub synced: Synced,
    task: Task,
    /// So many records are kept in one transaction.
    most: usize,
    /// Whether a list is the same whatever is written while it is read.
    stable: bool,
    answers: Answers<Delta>,
    meter: Arc<Meter>,
    /// Requests that are in the table's count already, and those that are once the transaction is committed.
    counted: u64,
    counting: u64,
    /// What stays wrong with the table, however this read ends.
    standing: Option<String>,
    /// When the read began; of a filling that is gone on with, and of a poll that has asked once more, when it first did.
    began: i64,
    first_began: i64,
    piece: Piece,
    /// What a sweep of a filled table has seen.
    seen: Seen,
    /// The keys of rows that it has not seen, after which key to go on looking for them, and whether all were found.
    unseen: Vec<String>,
    compared_to: Option<String>,
    compared: bool,
    /// Where a poll goes on once all that it has found is kept.
    position: Option<serde_json::Value>,
    /// Keys of records that users wrote or deleted after they were read.
    overtaken: HashSet<String>,
    /// Whether what a sweep has not seen, or what was overtaken or refused, was asked for by its keys.
    looked: bool,
    /// Of these, those that the table refused before, and of them those that the API has not told of.
    asked: BTreeSet<String>,
    missing: BTreeSet<String>,
    /// What the table has refused of this read.
    refused: Refused,
    /// Whether nothing more comes.
    ended: bool,
    /// Whether something was left alone that only another poll will find.
    outlived: bool,
    /// Whether a filling has met records that were here already.
    collided: bool,
    /// Whether what is known here has changed, and the transaction that changed it is not committed.
    unsettled: bool,
    /// How long the table's share of the quota makes the next poll wait.
    wait: Duration,
}

/// How far a follower is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// A piece was kept; more is to come.
    More(Kept),
    /// A part of a piece was kept, or others hold rows of it: the rest is to be kept next.
    Part(Kept),
    /// Somebody writes to the table, or holds rows of it: the same piece is to be kept a little later.
    Held(Kept),
    Done(Kept),
    /// The table is not synced any more, or follows other records.
    Gone,
}

impl Follower {
    /// Begins to read, within a transaction. The table must be locked for following.
    pub fn start(synced: Synced, task: Task) -> Result<Follower> {
        let remote = Remote::open(synced.source.server, synced.owner)?;
        let connector = &remote.connector;
        let state = &synced.state;
        let job = match task {
            // A sweep that only compares begins anew: what it had seen is not known any more.
            Task::Sweep => connector.sweep(&synced.followed, state.sweep_position.as_ref().filter(|_| !state.filled)),
            Task::Poll(look_back) => connector.changes(&synced.followed, state.since.as_ref(), look_back),
        };
        let job = job.map_err(|error| synced.source.locate(error))?;
        let meter = Arc::new(Meter::default());
        // After whatever takes long, and before a request goes out.
        let began = now();
        let first_began = state.sweep_began.filter(|_| !state.filled).unwrap_or(began);
        // A filling that is gone on with does not delete what the table would not take.
        let mut seen = Seen::default();
        if !state.filled {
            state.refused.iter().try_for_each(|key| seen.add(key))?;
        }
        let (stable, answers) = (connector.stable_paging(), remote.stream(vec![job], Arc::clone(&meter)));
        Ok(Follower {
            synced,
            task,
            most: usize::MAX,
            stable,
            answers,
            meter,
            counted: 0,
            counting: 0,
            standing: None,
            began,
            first_began,
            piece: Piece::default(),
            seen,
            unseen: Vec::new(),
            compared_to: None,
            compared: false,
            position: None,
            overtaken: HashSet::new(),
            looked: false,
            asked: BTreeSet::new(),
            missing: BTreeSet::new(),
            refused: Refused::new(),
            ended: false,
            outlived: false,
            collided: false,
            unsettled: false,
            wait: Duration::ZERO,
        })
    }

    pub fn task(&self) -> Task {
        self.task
    }

    /// When the read began.
    pub fn began(&self) -> i64 {
        self.began
    }

    /// How long the table's share of the quota makes the next poll wait.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// How soon after a sweep the next one is due; `None`: never.
    pub fn next_sweep(&self) -> Option<Duration> {
        let again = self.synced.state.swept_at == Some(NEVER_SWEPT);
        self.synced.sweep_every.map(|every| if again { Duration::ZERO } else { every })
    }

    /// Takes in what has come, never waiting. Ready when there is a piece to keep.
    pub fn collect(&mut self) -> Poll<Result<()>> {
        while !self.full() {
            match self.answers.poll() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(delta)) => match delta {
                    Ok(delta) => self.take_in(delta),
                    Err(error) => return Poll::Ready(Err(self.synced.source.locate(error))),
                },
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The same, waiting, open to interrupts.
    pub fn collect_all(&mut self) -> Result<()> {
        while !self.full() {
            match self.answers.receive().map_err(|error| self.synced.source.locate(error))? {
                None => self.ended = true,
                Some(delta) => self.take_in(delta),
            }
        }
        Ok(())
    }

    fn take_in(&mut self, delta: Delta) {
        if !self.missing.is_empty() {
            for row in 0..delta.records.rows() {
                self.missing.remove(&delta.records.value(row, 0).to_input());
            }
        }
        self.piece.add(delta);
    }

    /// Where memory is short, whatever there is is kept.
    fn full(&self) -> bool {
        let large = self.piece.rows() >= PIECE_ROWS || self.piece.weight() >= PIECE_BYTES;
        self.ended || large || self.piece.rows() > 0 && heap::is_short()
    }

    /// Keeps the piece and writes down how far the table is, within the caller's transaction. `oldest`: when the oldest
    /// read of the table that is under way began. `wait`: for those who write to the table.
    ///
    /// Errors: as [`Piece::keep`].
    pub fn keep(&mut self, oldest: i64, wait: bool) -> Result<Progress> {
        if !lock_relation(self.synced.target, pg_sys::RowExclusiveLock) || !self.synced.renew()? {
            return Ok(Progress::Gone);
        }
        self.synced.must_see_all()?;
        // What the owner's code does must not outlast the statement.
        check_constraints_at_once();
        self.count_requests();
        if wait {
            Lock::Writing.take(self.synced.target, true);
        }
        self.unsettled = true;
        let fill = (!self.synced.state.filled).then_some(self.first_began);
        if self.ended && self.looked && !self.missing.is_empty() && matches!(self.task, Task::Poll(_)) {
            self.piece.add_gone(std::mem::take(&mut self.missing));
        }
        let mut kept = self.piece.keep(&self.synced, self.began, fill, wait, &mut self.collided, self.most)?;
        let gone: Vec<String> = self.piece.gone_in_part().map(str::to_owned).collect();
        let mut refused = self.piece.take_refused();
        if fill.is_some() {
            refused.keys().try_for_each(|key| self.seen.add(key))?;
        }
        let whole = |kept: &Kept| !kept.held && !kept.partial;
        if self.ended && whole(&kept) && self.task == Task::Sweep {
            if fill.is_none() {
                self.see_piece()?;
            }
            kept.partial = self.compare()?;
        }
        self.outlived |= kept.outlived;
        // What is held is tried once more.
        if !kept.held {
            self.synced.state.refused.extend(refused.keys().cloned());
            self.refused.append(&mut refused);
        }
        let overtaken = self.piece.take_overtaken();
        if matches!(self.task, Task::Poll(_)) {
            self.overtaken.extend(overtaken);
            if self.ended && whole(&kept) {
                self.look_again()?;
            }
        }
        if whole(&kept) {
            self.move_on(fill.is_some());
        }
        if !kept.held {
            merge::note_deleted(&self.synced, &gone, oldest)?;
        }
        if kept.changed > 0 {
            self.synced.state.changed_at = Some(now());
            merge::notify(&self.synced, kept.changed)?;
        }
        if !self.synced.save()? {
            let message = "somebody is about to change how the table is synced";
            return Err(Error::new(Kind::Locked, message));
        }
        Ok(match (kept.held && !kept.untried, kept.partial, self.ended) {
            (true, ..) => Progress::Held(kept),
            (false, true, _) => Progress::Part(kept),
            (false, false, false) => Progress::More(kept),
            (false, false, true) => Progress::Done(kept),
        })
    }

    /// Finds the rows that a sweep has not seen, some at a time, and takes them in as gone. Where what others write may
    /// hide a record from a sweep, they are asked for by their keys before. Whether there is more to do with what is here.
    fn compare(&mut self) -> Result<bool> {
        if !self.compared {
            let after = self.compared_to.take();
            let (unseen, next) = merge::unseen(&self.synced, self.first_began, &self.seen, after.as_deref())?;
            self.unseen.extend(unseen);
            self.compared = next.is_none();
            self.compared_to = next;
            if !self.compared {
                return Ok(true);
            }
            if !self.stable && !self.unseen.is_empty() {
                self.ask_for(self.unseen.clone())?;
                return Ok(false);
            }
        }
        let seen = &self.seen;
        self.unseen.retain(|key| !seen.has(key));
        let some = !self.unseen.is_empty();
        if some {
            self.piece.add_gone(std::mem::take(&mut self.unseen));
        }
        Ok(some)
    }

    /// What users wrote while a poll read it, others may have changed since: it is asked for by its keys, once. Else
    /// polls of a table that is written to all the time would never get further, and take ever longer. So is what the
    /// table refused earlier: it may have changed, or gone, or what stood in its way has.
    fn look_again(&mut self) -> Result<()> {
        if self.looked {
            return Ok(());
        }
        let mut keys = HashSet::new();
        if !self.outlived && self.overtaken.len() <= MOST_ASKED {
            keys = std::mem::take(&mut self.overtaken);
        }
        let refused: Vec<_> = self.synced.state.refused.iter().filter(|key| !self.refused.contains_key(*key)).collect();
        // Of very many others each time.
        let first = now().unsigned_abs() as usize % refused.len().max(1);
        let some = refused.iter().cycle().skip(first).take(refused.len().min(MOST_ASKED));
        self.asked = some.map(|key| (*key).clone()).collect();
        self.missing = self.asked.clone();
        keys.extend(self.asked.iter().cloned());
        if keys.is_empty() {
            return Ok(());
        }
        self.began = now();
        self.ask_for(keys)
    }

    /// Goes on with the records of these keys.
    fn ask_for(&mut self, keys: impl IntoIterator<Item = String>) -> Result<()> {
        let remote = Remote::open(self.synced.source.server, self.synced.owner)?;
        let fields = &self.synced.followed.fields;
        let Some(key) = fields.iter().find(|field| field.key) else { return Ok(()) };
        let list = Operand::Value(Value::List(keys.into_iter().map(Value::text).collect()));
        let named = Predicate::In { field: key.clone(), list, negated: false };
        let read = BoundRead::new(&self.synced.followed.object, fields.clone(), named, serde_json::Value::Null);
        let jobs = remote.connector.read(&read).map_err(|error| self.synced.source.locate(error))?;
        self.answers = remote.stream(jobs.into_iter().map(all).collect(), Arc::clone(&self.meter));
        (self.looked, self.ended) = (true, false);
        Ok(())
    }

    /// Says that the transaction which has kept a piece is committed.
    pub fn settle(&mut self) {
        self.counted = self.counting;
        self.unsettled = false;
    }

    /// Whether what is known here has changed, and the transaction that changed it was not committed: then it is not what
    /// the table is, and the follower is of no use.
    pub fn is_spoilt(&self) -> bool {
        self.unsettled
    }

    /// What stays wrong with the table, however this read ends.
    pub fn leave(&mut self, error: Option<String>) {
        self.standing = error;
    }

    /// Writes down that the read has failed, and what it has cost. How long to wait until the next is the result: not less
    /// than `least`.
    pub fn fail(&mut self, error: &str, least: Duration) -> Result<Duration> {
        if !self.synced.reload()? {
            return Ok(Duration::ZERO);
        }
        self.count_requests();
        let wait = self.synced.state.fail(error, least);
        self.synced.save()?;
        Ok(wait.max(self.wait))
    }

    /// Sets how many records are kept in one transaction.
    pub fn keep_at_most(&mut self, records: usize) {
        self.most = records;
    }

    /// How many records the next transaction is to keep.
    pub fn records(&self) -> usize {
        self.piece.rows_left().min(self.most)
    }

    /// Lets go of the part of the piece that was kept last, once the transaction that has kept it is committed.
    ///
    /// Errors: as [`Follower::forget_piece`].
    pub fn forget_part(&mut self) -> Result<()> {
        let sees = self.task == Task::Sweep && self.synced.state.filled;
        let (piece, seen, mut remembered) = (&mut self.piece, &mut self.seen, Ok(()));
        piece.forget_part(|key| {
            if sees && remembered.is_ok() {
                remembered = seen.add(key);
            }
        });
        remembered
    }

    /// Lets go of the piece, once the transaction that has kept it is committed.
    ///
    /// Errors: 53200 if there is no memory to remember what a sweep has seen.
    pub fn forget_piece(&mut self) -> Result<()> {
        if self.task == Task::Sweep && self.synced.state.filled {
            return self.see_piece();
        }
        self.piece = Piece::default();
        Ok(())
    }

    /// Remembers which records the piece has, and lets go of it.
    fn see_piece(&mut self) -> Result<()> {
        std::mem::take(&mut self.piece).into_keys().try_for_each(|key| self.seen.add(&key))
    }

    /// What is true of the table once the piece is in it.
    fn move_on(&mut self, filling: bool) {
        let state = &mut self.synced.state;
        match self.task {
            Task::Sweep => {
                if filling {
                    // Earlier pieces lack columns that were not there yet, or were not the same.
                    let mut columns = self.synced.columns.clone();
                    if let Some(known) = state.columns.as_ref().filter(|_| state.sweep_began.is_some()) {
                        columns.retain(|column| known.contains(column));
                    }
                    state.columns = Some(columns);
                    state.sweep_began = Some(self.first_began);
                    state.sweep_read += self.piece.rows() as u64;
                    state.sweep_position = self.piece.position.clone().or(state.sweep_position.take());
                }
                if self.ended {
                    // What was hidden from the list of a filling only another one shows.
                    let again = filling && !self.stable && self.synced.sweep_every.is_some();
                    let swept_at = if again { NEVER_SWEPT } else { self.first_began };
                    (state.filled, state.swept_at) = (true, Some(swept_at));
                    if !filling {
                        state.columns = Some(self.synced.columns.clone());
                        // Where polls go on meanwhile, these alone know what was refused last.
                        if self.synced.followed.feed.is_none() {
                            state.refused = self.refused.keys().cloned().collect();
                        }
                    }
                    (state.sweep_began, state.sweep_position) = (None, None);
                    // Changes are looked for from the beginning of the filling on, and are still to be seen.
                    if self.synced.followed.feed.is_none() || filling {
                        state.current_at = Some(self.first_began);
                    }
                }
            }
            Task::Poll(_) => {
                self.position = self.piece.position.clone().or(self.position.take());
                // What was overtaken comes again, now or with the next poll.
                let settled = self.overtaken.is_empty() && !self.outlived && (self.ended || !self.looked);
                if settled {
                    state.since = self.position.take().or(state.since.take());
                }
                if settled && self.ended && state.filled {
                    state.current_at = Some(self.first_began);
                }
                if self.ended {
                    state.refused.retain(|key| !self.asked.contains(key) || self.refused.contains_key(key));
                }
            }
        }
        if self.ended {
            let known = state.error.take().filter(|_| !state.refused.is_empty());
            let error = trouble(&self.refused).or_else(|| self.standing.clone()).or(known);
            (state.failures, state.error, state.next_try) = (0, error, None);
        }
    }

    /// Adds the requests since the last time to those of the table, and takes those of polls from its allowance.
    fn count_requests(&mut self) {
        let counts = self.meter.snapshot();
        let requests = counts.requests - self.counted;
        self.counting = counts.requests;
        let (share, every) = (self.synced.options.quota_share / self.synced.siblings as f64, self.synced.every);
        let state = &mut self.synced.state;
        state.requests += requests;
        let Some(quota) = counts.quota else { return };
        let idle = state.tokens_at.map_or(0, |at| now().saturating_sub(at).max(0)).unsigned_abs();
        let mut allowance = Allowance::new(share * quota.limit as f64, state.tokens, Duration::from_micros(idle));
        if state.filled {
            allowance.spend(requests);
        }
        self.wait = allowance.wait();
        state.note = (self.wait > every).then(|| {
            let apart = self.wait.as_secs();
            format!(
                "polls are {apart} s apart, so as not to spend more than the table's share of the API's daily quota"
            )
        });
        (state.tokens, state.tokens_at) = (Some(allowance.tokens()), Some(now()));
    }
}

/// What is wrong while a table refuses records; nothing if it does not.
fn trouble(refused: &Refused) -> Option<String> {
    let (key, reason) = refused.first_key_value()?;
    Some(match refused.len() - 1 {
        0 => format!("the table refuses record {key}, and is as the API has it else: {reason}"),
        more => format!("the table refuses record {key} and {more} more, and is as the API has it else: {reason}"),
    })
}
