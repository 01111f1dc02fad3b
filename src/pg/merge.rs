//! Putting into a synced table what came from the API.
//!
//! What was read at a moment says nothing of what was written later: rows that users wrote since, and records that they
//! deleted since, are left alone. And it waits for nobody: rows that others hold are left for another time.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use pgrx::{PgMemoryContexts, PgRelation, pg_sys};

use super::executor::Slot;
use super::memory;
use super::role::ActingAs;
use super::row_maker::RowMaker;
use super::spi::{Rows, Spi, moment_arg, oid_arg, text_arg, texts_arg};
use super::synced::{Lock, Synced, as_keeper, title};
use crate::error::{Error, Kind, Result};
use crate::query::delta::Delta;
use crate::query::page::{Page, Weigh};

thread_local! {
    /// Whether what is written to synced tables comes from the API itself.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Memory for rows on their way, in kB; more goes to disk.
const STORE_KB: i32 = 64 << 10;

/// Rows made before their memory is let go of.
const CHUNK: usize = 256;

/// Whether what is being written to synced tables comes from the API itself, so that it is not to be sent there.
pub fn is_ours() -> bool {
    OURS.get()
}

/// As long as it lives, what is written to synced tables is not sent to the API.
pub struct Ours(bool);

impl Ours {
    pub fn begin() -> Ours {
        Ours(OURS.replace(true))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        OURS.set(self.0);
    }
}

/// What came from the API and is to be put into the table in one go.
#[derive(Default)]
pub struct Piece {
    pages: Vec<Page>,
    /// By key the last word on a record.
    records: HashMap<String, Fate>,
    weight: usize,
    rows: usize,
    /// Where to go on once this is kept.
    pub position: Option<serde_json::Value>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Whether rows were left alone since they were written after the piece was read.
    pub overtaken: bool,
}

impl Piece {
    /// Takes in what came next. The key is the first cell of a record.
    pub fn add(&mut self, delta: Delta) {
        self.weight += delta.weight();
        self.rows += delta.rows();
        let page = self.pages.len();
        for row in 0..delta.records.rows() {
            self.records.insert(delta.records.value(row, 0).to_input(), Fate::Here(page, row));
        }
        for key in delta.gone {
            self.records.insert(key, Fate::Gone);
        }
        self.pages.push(delta.records);
        if delta.position.is_some() {
            self.position = delta.position;
        }
    }

    /// In bytes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(String::as_str)
    }

    pub fn into_keys(self) -> impl Iterator<Item = String> {
        self.records.into_keys()
    }

    /// The keys of records that the API said are deleted.
    pub fn gone(&self) -> impl Iterator<Item = &str> {
        self.records.iter().filter(|(_, fate)| **fate == Fate::Gone).map(|(key, _)| key.as_str())
    }

    /// Puts the piece, which was read from the moment `began` on, into the table, within the caller's transaction.
    /// `fill`: rows that are the same are marked as seen since that moment. `wait`: for those who write to the table;
    /// else only rows that are here are updated while somebody does.
    ///
    /// Errors: Postgres's own, by constraints and triggers of the table.
    pub fn keep(&mut self, synced: &Synced, began: i64, fill: Option<i64>, wait: bool) -> Result<Kept> {
        let alone = lock_alone(synced, wait);
        let mut kept = Kept { held: !alone, ..Kept::default() };
        self.forget_deleted(synced, began)?;
        let mut here: Vec<(usize, usize)> = Vec::with_capacity(self.records.len());
        let mut gone = Vec::new();
        for (key, fate) in &self.records {
            match fate {
                Fate::Here(page, row) => here.push((*page, *row)),
                Fate::Gone => gone.push(key.as_str()),
            }
        }
        here.sort_unstable();
        let _owner = ActingAs::role(synced.owner);
        let _ours = Ours::begin();
        let spi = Spi::connect()?;
        prefer_index(&spi)?;
        if !here.is_empty() {
            let store = Store::of(synced, &mut self.pages, &here)?;
            // SAFETY: the store lives until the end of this block, and so longer than what is run here.
            unsafe { spi.register(PAGE, store.0, synced.source.oid, here.len())? };
            let began_arg = moment_arg(began);
            let mut inserted = 0;
            if alone {
                inserted = spi.run(&synced.names.insert_page(), &[began_arg])?.processed;
            }
            if inserted < here.len() as u64 {
                let args: &[_] = match fill {
                    Some(since) => &[began_arg, moment_arg(since)],
                    None => &[began_arg],
                };
                let done = spi.run(&synced.names.update_page(fill.is_some()), args)?;
                kept.note(&done);
            }
            kept.changed += inserted;
        }
        if alone && !gone.is_empty() {
            let done = spi.run(&synced.names.delete_gone(), &[moment_arg(began), texts_arg(gone)])?;
            kept.note(&done);
        }
        Ok(kept)
    }

    /// Leaves out the records that users deleted after the piece was read.
    fn forget_deleted(&mut self, synced: &Synced, began: i64) -> Result<()> {
        let _keeper = as_keeper()?;
        let spi = Spi::connect()?;
        let sql = "SELECT key FROM sequin.sync_deleted WHERE target = $1 AND at >= $2";
        let deleted = spi.run(sql, &[oid_arg(synced.target), moment_arg(began)])?;
        for key in (0..deleted.len()).filter_map(|row| deleted.text(row, 1)) {
            self.records.remove(&key);
        }
        Ok(())
    }
}

impl Kept {
    /// Reads how many rows differed, how many of them were written after the piece was read, and how many were changed.
    fn note(&mut self, done: &Rows) {
        let (differed, later, changed) = (done.count(0, 1), done.count(0, 2), done.count(0, 3));
        self.changed += changed;
        self.overtaken |= later > 0;
        self.held |= differed > later + changed;
    }
}

const PAGE: &std::ffi::CStr = c"sequin_page";

/// Deletes the rows that a sweep, which began at a moment, has not seen. False if somebody writes to the table.
pub fn delete_unseen(synced: &Synced, began: i64, seen: &HashSet<String>, wait: bool) -> Result<Kept> {
    let mut kept = Kept::default();
    if !lock_alone(synced, wait) {
        return Ok(Kept { held: true, ..kept });
    }
    let _owner = ActingAs::role(synced.owner);
    let _ours = Ours::begin();
    let spi = Spi::connect()?;
    let candidates = spi.run(&synced.names.unseen(), &[moment_arg(began)])?;
    let unseen: Vec<_> =
        (0..candidates.len()).filter_map(|row| candidates.text(row, 1)).filter(|key| !seen.contains(key)).collect();
    if !unseen.is_empty() {
        let done =
            spi.run(&synced.names.delete_gone(), &[moment_arg(began), texts_arg(unseen.iter().map(String::as_str))])?;
        kept.note(&done);
    }
    Ok(kept)
}

/// Remembers records that the API said are deleted, so that an older read that is still under way does not bring them
/// back; forgets those that no read needs any more.
pub fn note_deleted(synced: &Synced, keys: &[&str], oldest: i64) -> Result<()> {
    let _keeper = as_keeper()?;
    let spi = Spi::connect()?;
    let target = oid_arg(synced.target);
    spi.run("DELETE FROM sequin.sync_deleted WHERE target = $1 AND at < $2", &[target, moment_arg(oldest)])?;
    if !keys.is_empty() {
        let sql = "INSERT INTO sequin.sync_deleted SELECT $1, key, clock_timestamp() FROM unnest($2) AS key";
        spi.run(sql, &[target, texts_arg(keys.iter().copied())])?;
    }
    Ok(())
}

/// Tells whoever listens that rows of a table have changed.
pub fn notify(synced: &Synced, changed: u64) -> Result<()> {
    let payload = serde_json::json!({ "target": title(synced.target), "changed": changed }).to_string();
    let spi = Spi::connect()?;
    spi.run("SELECT pg_catalog.pg_notify('sequin_sync', $1)", &[text_arg(Some(&payload))])?;
    Ok(())
}

fn lock_alone(synced: &Synced, wait: bool) -> bool {
    if wait {
        Lock::Writing.take(synced.target, true);
    }
    wait || Lock::Writing.try_take(synced.target)
}

/// A page is small beside the table, whatever the planner knows of the two.
fn prefer_index(spi: &Spi) -> Result<()> {
    spi.run(
        "SELECT pg_catalog.set_config(name, 'off', true) FROM \
         pg_catalog.unnest(ARRAY['enable_hashjoin', 'enable_mergejoin', 'enable_seqscan']) AS name",
        &[],
    )?;
    Ok(())
}

/// Rows in a tuple store of Postgres's.
struct Store(*mut pg_sys::Tuplestorestate);

impl Store {
    /// Of these records of the pages, as rows of the foreign table.
    fn of(synced: &Synced, pages: &mut [Page], records: &[(usize, usize)]) -> Result<Store> {
        // SAFETY: the foreign table is locked.
        let source = unsafe { PgRelation::open(synced.source.oid) };
        // SAFETY: a store in the current memory context; it is freed with it, or when dropped.
        let store = Store(unsafe { pg_sys::tuplestore_begin_heap(false, false, STORE_KB) });
        // SAFETY: a row type that lives as long as the relation is open.
        let raw = unsafe { pg_sys::MakeSingleTupleTableSlot(source.tuple_desc().as_ptr(), &pg_sys::TTSOpsVirtual) };
        // SAFETY: it was just made, and is dropped below.
        let Some(mut slot) = (unsafe { Slot::new(raw) }) else {
            return Err(Error::new(Kind::Internal, "no slot for rows"));
        };
        let mut rows = RowMaker::new(&synced.source, &synced.followed.fields, &synced.outputs);
        let mut memory = PgMemoryContexts::new("sequin_fdw rows");
        for chunk in records.chunks(CHUNK) {
            // SAFETY: a context of our own; nothing of it is used after the reset.
            unsafe {
                memory::within(memory.value(), || {
                    for (page, row) in chunk {
                        slot.clear();
                        rows.fill(&mut pages[*page], *row, &mut slot).map_err(|error| synced.source.locate(error))?;
                        pg_sys::tuplestore_puttupleslot(store.0, raw);
                    }
                    slot.clear();
                    Ok::<_, Error>(())
                })?;
                memory.reset();
            }
        }
        // SAFETY: the slot is not used any more.
        unsafe { pg_sys::ExecDropSingleTupleTableSlot(raw) };
        Ok(store)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: made by `of`, and used by nobody any more.
            unsafe { pg_sys::tuplestore_end(self.0) };
        }
    }
}
