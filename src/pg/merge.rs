//! Putting into a synced table what came from the API.
//!
//! What was read at a moment says nothing of what was written later: rows that users wrote since, and records that they
//! deleted since, are left alone. And it waits for nobody: rows that others hold are left for another time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Oid};
use pgrx::{PgRelation, PgSqlErrorCode};

use super::background::described;
use super::role::ActingAs;
use super::spi::{Arg, Rows, Spi, moment_arg, oid_arg, text_arg, texts_arg, trigger_depth};
use super::subtransaction::{Failed, attempt};
use super::supply::{self, Supply};
use super::synced::{Lock, Synced, as_keeper};
use crate::error::{Error, Kind, Result};
use crate::heap;
use crate::query::delta::Delta;
use crate::query::page::{Page, Record, Weigh};
use crate::sync::seen::Seen;
use crate::sync::wording::NOTE_DELETED;

/// So many records of a piece at most may be refused by the table, besides those that were before, while others are kept.
const MOST_REFUSED: usize = 100;

/// About what a key of a record takes in a map, in bytes.
const KEY: usize = 160;

/// So many rows are looked through at a time for those that a sweep has not seen.
const LOOKED_THROUGH: usize = 20_000;

/// Why the table refuses records, by their keys.
pub type Refused = BTreeMap<String, String>;

thread_local! {
    /// The synced tables that are being written to with what the API has already, and how deep in triggers that is. The
    /// last one is what the running statement writes to.
    static OURS: RefCell<Vec<(Oid, i32)>> = const { RefCell::new(Vec::new()) };
}

/// Whether a statement writes to a synced table what the API has already, so that it is not to be sent there. What
/// users' triggers write meanwhile is not. `depth`: of triggers, around that statement.
pub fn is_ours(target: Oid, depth: i32) -> bool {
    OURS.with_borrow(|ours| ours.last() == Some(&(target, depth)))
}

/// Whether this is called, in however many steps, by code that runs while a synced table is written to with what the API
/// has already.
pub fn is_being_written(target: Oid) -> bool {
    OURS.with_borrow(|ours| ours.iter().any(|(table, _)| *table == target))
}

/// As long as it lives, what is written to a synced table is not sent to the API.
pub struct Ours(());

impl Ours {
    pub fn begin(target: Oid) -> Ours {
        let depth = trigger_depth();
        OURS.with_borrow_mut(|ours| ours.push((target, depth)));
        Ours(())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        OURS.with_borrow_mut(Vec::pop);
    }
}

/// What came from the API and is to be put into the table in one go.
#[derive(Default)]
pub struct Piece {
    pages: Vec<Page>,
    /// For each page the keys of the records that were gone when it was made.
    gone: Vec<Vec<String>>,
    /// By key the last word on a record, of so many pages.
    fates: HashMap<String, Fate>,
    indexed: usize,
    weight: usize,
    rows: usize,
    /// The keys of records that were left alone since users wrote or deleted them after the piece was read.
    overtaken: Vec<String>,
    /// Records that constraints or triggers of the table refused.
    refused: Refused,
    /// How many of the keys that were gone, and of the records, were kept last: the first ones.
    part: (usize, usize),
    /// How many at the end others hold: they were tried, and are tried once more when all others are kept.
    held: (usize, usize),
    /// Where to go on once this is kept.
    pub position: Option<serde_json::Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Which page, which record of it.
    Here(usize, usize),
    Gone,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kept {
    /// Rows inserted, updated and deleted.
    pub changed: u64,
    /// Whether rows were left alone since others hold them, or write to the table.
    pub held: bool,
    /// Whether rows whose records were gone were left alone, since they were written after the piece was read.
    pub outlived: bool,
    /// Whether this was a part, and the rest is still to be kept.
    pub partial: bool,
    /// Whether rows are held, and others were not tried yet.
    pub untried: bool,
}

impl Piece {
    /// Takes in what came next. The key is the first cell of a record.
    pub fn add(&mut self, delta: Delta) {
        self.weight += delta.weight();
        self.rows += delta.rows();
        self.pages.push(delta.records);
        self.gone.push(delta.gone);
        if delta.position.is_some() {
            self.position = delta.position;
        }
    }

    /// Finds the last word on each record. Most pieces of a filling do without.
    fn index(&mut self) -> &HashMap<String, Fate> {
        for at in self.indexed..self.pages.len() {
            let page = &self.pages[at];
            for row in 0..page.rows() {
                self.fates.insert(page.value(row, 0).to_input(), Fate::Here(at, row));
            }
            for key in &self.gone[at] {
                self.fates.insert(key.clone(), Fate::Gone);
            }
        }
        self.indexed = self.pages.len();
        &self.fates
    }

    /// In bytes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Without those of the parts that were kept.
    pub fn rows_left(&self) -> usize {
        self.records_left() + self.gone.iter().map(Vec::len).sum::<usize>()
    }

    fn records_left(&self) -> usize {
        self.pages.iter().map(Page::rows).sum()
    }

    /// The keys of all records.
    pub fn into_keys(mut self) -> impl Iterator<Item = String> {
        self.index();
        self.fates.into_keys()
    }

    /// The keys of records that were left alone since users wrote or deleted them after the piece was read.
    pub fn take_overtaken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.overtaken)
    }

    /// Takes in that records are gone, which nothing that was read says.
    pub fn add_gone(&mut self, keys: impl IntoIterator<Item = String>) {
        self.pages.push(Page::default());
        self.gone.push(keys.into_iter().collect());
    }

    /// The records that constraints or triggers of the table refused.
    pub fn take_refused(&mut self) -> Refused {
        std::mem::take(&mut self.refused)
    }

    fn is_empty(&self) -> bool {
        self.rows_left() == 0
    }

    /// The keys of records that the API said are deleted.
    pub fn gone(&self) -> impl Iterator<Item = &str> {
        self.gone.iter().flatten().map(String::as_str)
    }

    /// The keys of records that the API said are deleted, of the part that was kept last.
    pub fn gone_in_part(&self) -> impl Iterator<Item = &str> {
        self.gone().take(self.part.0)
    }

    /// Lets go of the part that was kept last, once the transaction that has kept it is committed. `with` gets its keys.
    pub fn forget_part(&mut self, mut with: impl FnMut(&str)) {
        let (mut gone, mut records) = std::mem::take(&mut self.part);
        for keys in &mut self.gone {
            let some = gone.min(keys.len());
            keys.drain(..some).for_each(|key| with(&key));
            gone -= some;
        }
        self.retain(|key, _| {
            let kept = records > 0;
            if kept {
                records -= 1;
                with(key);
            }
            !kept
        });
    }

    /// Puts the piece, which was read from the moment `began` on, into the table, within the caller's transaction. What
    /// constraints and triggers of the table refuse is left out. `fill`: rows that are the same are marked as seen since
    /// that moment. `wait`: for those who write to the table; else only rows that are here are updated while somebody
    /// does. `collided`: whether records of the same filling were here already. `most`: if there are more records, so many
    /// are kept, and the rest stays.
    ///
    /// Errors: 23514's kind if the table refuses too many records, and Postgres's own where not a record is what is wrong.
    pub fn keep(
        &mut self,
        synced: &Synced,
        began: i64,
        fill: Option<i64>,
        wait: bool,
        collided: &mut bool,
        most: usize,
    ) -> Result<Kept> {
        // Keys, and what each record takes once more if the table refuses some.
        let _aside = heap::set_aside(self.rows * KEY + self.weight * 2)?;
        self.refused.clear();
        let alone = self.is_empty() || lock_alone(synced, wait);
        let mut kept = Kept { held: !alone, ..Kept::default() };
        self.forget_deleted(synced, began)?;
        if fill.is_none() {
            self.keep_last_words();
        }
        let all = self.records_left();
        let untried = self.choose_part(most);
        let here = self.part.1;
        kept.partial = self.part != (self.gone().count(), all);
        let gone: Vec<_> = self.gone_in_part().map(str::to_owned).collect();
        let _owner = ActingAs::role(synced.owner);
        let _ours = Ours::begin(synced.target);
        let spi = Spi::connect()?;
        // First, since what is new may have what was theirs, where that is unique.
        if alone {
            kept.add(delete(synced, &spi, &gone, began, &mut self.refused)?);
        }
        if here > 0 {
            kept.add(self.keep_records(synced, &spi, (here, began), fill, alone, collided)?);
        }
        if kept.held && untried {
            self.put_off_part();
        } else if kept.held {
            self.held = (0, 0);
        }
        kept.untried = kept.held && untried;
        Ok(kept)
    }

    /// Puts the first records, so many, into the table.
    fn keep_records(
        &mut self,
        synced: &Synced,
        spi: &Spi,
        (here, began): (usize, i64),
        fill: Option<i64>,
        alone: bool,
        collided: &mut bool,
    ) -> Result<Kept> {
        let all = self.records_left();
        let mut put = |pages: Vec<Page>, here: usize| {
            let supply = Supply { table: synced.source.oid, fields: synced.followed.fields.clone(), pages };
            let (done, pages) = supply::with(supply, || {
                attempt(|| put(synced, spi, (here, began), fill, alone, collided, &mut self.overtaken))
            });
            Ok((Tried::of(done)?, pages))
        };
        let tried = if here < all {
            put(vec![page_of(&first(&self.pages, here))], here)?.0
        } else {
            let (tried, pages) = put(std::mem::take(&mut self.pages), here)?;
            self.pages = pages;
            tried
        };
        Ok(match tried {
            Tried::Done(kept) => kept,
            Tried::Held => Kept { held: true, ..Kept::default() },
            Tried::Refused(_) => {
                let records = first(&self.pages, here);
                let mut some = |records: &[Record]| Ok(put(vec![page_of(records)], records.len())?.0);
                let mut key = |record: &Record| record[0].to_input();
                sift(&records, &mut some, &mut key, &synced.state.refused, &mut self.refused)?
            }
        })
    }

    /// Chooses what is kept next, so many at most. Whether others than it are untried.
    fn choose_part(&mut self, most: usize) -> bool {
        let all = (self.gone().count(), self.records_left());
        let mut untried = (all.0.saturating_sub(self.held.0), all.1.saturating_sub(self.held.1));
        if untried == (0, 0) {
            (self.held, untried) = ((0, 0), all);
        }
        let gone = untried.0.min(most);
        self.part = (gone, untried.1.min(most - gone));
        self.part != untried
    }

    /// Puts what was to be kept last, and is held, at the end.
    fn put_off_part(&mut self) {
        let (gone, here) = self.part;
        let (records, mut keys) = (first(&self.pages, here), Vec::new());
        self.forget_part(|key| keys.push(key.to_owned()));
        keys.truncate(gone);
        self.pages.push(page_of(&records));
        self.gone.push(keys);
        self.held = (self.held.0 + gone, self.held.1 + here);
    }

    /// Leaves out of the pages what is not the last word on a record.
    fn keep_last_words(&mut self) {
        self.index();
        let fates = std::mem::take(&mut self.fates);
        self.retain(|key, here| fates.get(key) == Some(&here));
        for gone in &mut self.gone {
            gone.retain(|key| fates.get(key) == Some(&Fate::Gone));
        }
    }

    /// Leaves out the records that `keep` refuses; where the others stand is to be found out anew.
    fn retain(&mut self, mut keep: impl FnMut(&str, Fate) -> bool) {
        for (at, page) in self.pages.iter_mut().enumerate() {
            let mut row = 0;
            page.retain(|cells, store| {
                row += 1;
                keep(&store.value(cells[0]).to_input(), Fate::Here(at, row - 1))
            });
        }
        (self.fates, self.indexed) = (HashMap::new(), 0);
    }

    /// Leaves out the records that users deleted after the piece was read: one may be back at the API by now. What was
    /// deleted at a time that is not here yet was so by another clock.
    fn forget_deleted(&mut self, synced: &Synced, began: i64) -> Result<()> {
        let _keeper = as_keeper()?;
        let spi = Spi::connect()?;
        let sql = "SELECT key FROM sequin.sync_deleted WHERE target = $1 AND at BETWEEN $2 AND clock_timestamp()";
        let deleted = spi.run_kept(sql, &[oid_arg(synced.target), moment_arg(began)])?;
        let deleted: HashSet<_> = (0..deleted.len()).filter_map(|row| deleted.text(row, 1)).collect();
        if !deleted.is_empty() {
            let mut overtaken = std::mem::take(&mut self.overtaken);
            self.retain(|key, _| {
                let late = deleted.contains(key);
                if late {
                    overtaken.push(key.to_owned());
                }
                !late
            });
            self.overtaken = overtaken;
        }
        Ok(())
    }
}

/// The first records, so many.
fn first(pages: &[Page], count: usize) -> Vec<Record> {
    pages.iter().flat_map(|page| (0..page.rows()).map(|row| page.record(row))).take(count).collect()
}

fn page_of(records: &[Record]) -> Page {
    Page::of_values(records.len(), records.iter().flatten().cloned().collect())
}

/// Puts the records at hand, so many, which were read at a moment, into the table.
fn put(
    synced: &Synced,
    spi: &Spi,
    (here, began): (usize, i64),
    fill: Option<i64>,
    alone: bool,
    collided: &mut bool,
    overtaken: &mut Vec<String>,
) -> Result<Kept> {
    let began = moment_arg(began);
    let (mut kept, mut inserted) = (Kept::default(), 0);
    if alone && fill.is_some() {
        let looks = has_other_triggers(synced.target);
        // Of records that are surely not here each costs half.
        let eager = !looks && !*collided;
        inserted = match eager.then(|| insert_all(spi, &synced.names.insert_all(), &[began])).transpose()? {
            Some(Some(inserted)) => inserted,
            other => {
                *collided |= other.is_some();
                read_at_hand(spi, &sized(&synced.names.insert_new(looks), here), &[began])?.processed
            }
        };
    }
    if inserted < here as u64 {
        let args: &[_] = match fill {
            Some(since) => &[began, moment_arg(since)],
            None => &[began],
        };
        let done = read_at_hand(spi, &sized(&synced.names.update_changed(fill.is_some()), here), args)?;
        kept.note(&done);
        let later = done.text(0, 4).and_then(|json| serde_json::from_str::<Vec<String>>(&json).ok());
        overtaken.extend(later.unwrap_or_default());
    }
    // Last, since what is new may have what others had, where that is unique.
    if alone && fill.is_none() {
        inserted = read_at_hand(spi, &sized(&synced.names.insert_new(true), here), &[began])?.processed;
    }
    kept.changed += inserted;
    Ok(kept)
}

/// Deletes rows whose records were gone at a moment.
fn delete(synced: &Synced, spi: &Spi, keys: &[String], began: i64, refused: &mut Refused) -> Result<Kept> {
    if keys.is_empty() {
        return Ok(Kept::default());
    }
    let mut some = |keys: &[String]| {
        let args = [moment_arg(began), texts_arg(keys.iter().map(String::as_str))];
        Tried::of(attempt(|| {
            let done = spi.run(&synced.names.delete_gone(), &args)?;
            let mut kept = Kept { outlived: done.count(0, 2) > 0, ..Kept::default() };
            kept.note(&done);
            Ok(kept)
        }))
    };
    sift(keys, &mut some, &mut String::clone, &synced.state.refused, refused)
}

/// What became of something that was tried.
enum Tried {
    Done(Kept),
    /// Something could not be locked in time.
    Held,
    /// A constraint or a trigger refused it, for this reason.
    Refused(String),
}

impl Tried {
    fn of(done: std::result::Result<Result<Kept>, Failed>) -> Result<Tried> {
        let Failed { error, blocked } = match done {
            Ok(done) => return done.map(Tried::Done),
            Err(failed) => failed,
        };
        if blocked {
            return Ok(Tried::Held);
        }
        if let CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) = &*error
            && is_refusal(report.sql_error_code())
        {
            return Ok(Tried::Refused(described(report.message(), report.detail(), report.hint())));
        }
        error.rethrow()
    }
}

/// Whether an error is one of constraints, of values or of what users' triggers raise: with other records it may not come.
/// A lock that is not available is one of a trigger's here: [`Failed::blocked`] tells those of our own statements.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn is_refusal(code: PgSqlErrorCode) -> bool {
    const CLASS: i32 = 0xfff;
    let of = [
        PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
        PgSqlErrorCode::ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION,
        PgSqlErrorCode::ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
        PgSqlErrorCode::ERRCODE_SQL_ROUTINE_EXCEPTION,
        PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
        PgSqlErrorCode::ERRCODE_WITH_CHECK_OPTION_VIOLATION,
        PgSqlErrorCode::ERRCODE_PLPGSQL_ERROR,
    ];
    code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
        || of.iter().any(|class| *class as i32 & CLASS == code as i32 & CLASS)
}

/// Tries all at once; what is refused is found by halving, and left out. `known`: what was refused before.
fn sift<T>(
    items: &[T],
    attempt: &mut impl FnMut(&[T]) -> Result<Tried>,
    key: &mut impl FnMut(&T) -> String,
    known: &BTreeSet<String>,
    refused: &mut Refused,
) -> Result<Kept> {
    let reason = match attempt(items)? {
        Tried::Done(kept) => return Ok(kept),
        Tried::Held => return Ok(Kept { held: true, ..Kept::default() }),
        Tried::Refused(reason) => reason,
    };
    if let [one] = items {
        let key = key(one);
        let new = || refused.keys().filter(|key| !known.contains(*key)).count();
        if !known.contains(&key) && new() >= MOST_REFUSED {
            let message = format!("the table refuses more than {MOST_REFUSED} records, {key} among them: {reason}");
            return Err(Error::new(Kind::RuleViolated, message));
        }
        refused.insert(key, reason);
        return Ok(Kept::default());
    }
    let (some, others) = items.split_at(items.len() / 2);
    let mut kept = sift(some, attempt, key, known, refused)?;
    kept.add(sift(others, attempt, key, known, refused)?);
    Ok(kept)
}

impl Kept {
    fn add(&mut self, other: Kept) {
        self.changed += other.changed;
        self.held |= other.held;
        self.outlived |= other.outlived;
        self.partial |= other.partial;
        self.untried |= other.untried;
    }

    /// Reads how many rows were changed, and are held.
    fn note(&mut self, done: &Rows) {
        self.changed += done.count(0, 1);
        self.held |= done.count(0, 3) > 0;
    }
}

/// Looks at the next rows of a table, in the order of their keys, for those that a sweep, which began at a moment, has not
/// seen. Their keys, and the key after which to go on; `None` if these were the last rows.
pub fn unseen(synced: &Synced, began: i64, seen: &Seen, after: Option<&str>) -> Result<(Vec<String>, Option<String>)> {
    let _owner = ActingAs::role(synced.owner);
    let spi = Spi::connect()?;
    let rows = spi.run(&synced.names.unseen(after.is_some(), LOOKED_THROUGH), &[moment_arg(began), text_arg(after)])?;
    let stale = (0..rows.len()).filter(|row| rows.flag(*row, 2)).filter_map(|row| rows.text(row, 1));
    let unseen = stale.filter(|key| !seen.has(key)).collect();
    let last = rows.len().checked_sub(1).filter(|_| rows.len() >= LOOKED_THROUGH);
    Ok((unseen, last.and_then(|last| rows.text(last, 1))))
}

/// Remembers records that the API said are deleted, so that an older read that is still under way does not bring them
/// back; forgets those that no read needs any more.
pub fn note_deleted(synced: &Synced, keys: &[String], oldest: i64) -> Result<()> {
    let _keeper = as_keeper()?;
    let spi = Spi::connect()?;
    let target = oid_arg(synced.target);
    let forget = "DELETE FROM sequin.sync_deleted WHERE target = $1 AND at NOT BETWEEN $2 AND clock_timestamp()";
    spi.run_kept(forget, &[target, moment_arg(oldest)])?;
    if !keys.is_empty() {
        spi.run_kept(NOTE_DELETED, &[target, texts_arg(keys.iter().map(String::as_str))])?;
    }
    Ok(())
}

/// Notifies listeners that rows of a table have changed. Any role may listen, so the payload gives the table's OID and not its
/// name.
pub fn notify(synced: &Synced, changed: u64) -> Result<()> {
    let payload = serde_json::json!({ "target": synced.target.to_u32(), "changed": changed }).to_string();
    let spi = Spi::connect()?;
    spi.run_kept("SELECT pg_catalog.pg_notify('sequin_sync', $1)", &[text_arg(Some(&payload))])?;
    Ok(())
}

fn lock_alone(synced: &Synced, wait: bool) -> bool {
    if wait {
        Lock::Writing.take(synced.target, true);
    }
    wait || Lock::Writing.try_take(synced.target)
}

/// Whether a table has row triggers before INSERT besides our own.
fn has_other_triggers(table: pg_sys::Oid) -> bool {
    // SAFETY: the table is locked.
    let relation = unsafe { PgRelation::open(table) };
    // SAFETY: an open relation's own triggers, or null.
    let Some(triggers) = (unsafe { (*relation.as_ptr()).trigdesc.as_ref() }) else { return false };
    let count = usize::try_from(triggers.numtriggers).unwrap_or(0);
    // SAFETY: as many as are said.
    let triggers = unsafe { std::slice::from_raw_parts(triggers.triggers, count) };
    let kind = (pg_sys::TRIGGER_TYPE_ROW | pg_sys::TRIGGER_TYPE_BEFORE | pg_sys::TRIGGER_TYPE_INSERT) as i16;
    triggers.iter().filter(|trigger| trigger.tgtype & kind == kind).count() > 1
}

/// The statement by which records of about so many are kept: a plan made for few would take forever for many.
fn sized(sql: &str, records: usize) -> String {
    format!("/* {} */ {sql}", records.next_power_of_two())
}

/// Runs a statement that reads the records at hand.
fn read_at_hand(spi: &Spi, sql: &str, args: &[Arg]) -> Result<Rows> {
    supply::read_by(sql, || spi.run_kept(sql, args))
}

/// Runs an INSERT, in a subtransaction. `None`, and nothing inserted, if a row of the kind was here.
fn insert_all(spi: &Spi, sql: &str, args: &[Arg]) -> Result<Option<u64>> {
    match attempt(|| read_at_hand(spi, sql, args)) {
        Ok(done) => done.map(|rows| Some(rows.processed)),
        Err(Failed { error, .. }) => match *error {
            CaughtError::PostgresError(ref report) | CaughtError::ErrorReport(ref report)
                if report.sql_error_code() == PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION =>
            {
                Ok(None)
            }
            error => error.rethrow(),
        },
    }
}
