//! Writing to the API: the one way that statements and functions share.
//!
//! A [`Writer`] sends batches, says which record of the statement was refused, and keeps the ledger: what was written
//! and what is in doubt, also when the wait for the answer is cut short.

use std::rc::Rc;
use std::sync::Arc;

use pgrx::pg_sys;

use super::catalog::Table;
use super::error::{detail_on_interrupt, warn};
use super::ledger::{self, Deed};
use super::progress::Progress;
use super::session::{Answers, Remote};
use super::synced::title;
use crate::connector::machine::Job;
use crate::error::{Error, Kind, Result};
use crate::heap;
use crate::http::meter::{Account, Meter};
use crate::query::change::{Change, Outcome, Write, WriteLimits};
use crate::query::page::{Record, Weigh};
use crate::schema::Field;
use crate::value::Value;

/// What a row of a statement wants.
pub enum Todo {
    Change(Change),
    /// The record with this key is as it is to be already.
    Nothing(Box<str>),
    /// The statement has changed this record before: Postgres changes a row once.
    Again,
}

impl Todo {
    /// Bytes held.
    pub fn weight(&self) -> usize {
        match self {
            Todo::Change(change) => change.weight(),
            Todo::Nothing(key) => key.len(),
            Todo::Again => 0,
        }
    }
}

/// A record as it is now.
pub struct Now {
    /// Empty if the writer was told that nobody wants to know.
    pub key: Box<str>,
    /// Of an upsert.
    pub created: Option<bool>,
    /// The fields that the writer was told to bring back, if there are any.
    pub cells: Record,
}

pub struct Writer {
    remote: Remote,
    pub write: Rc<Write>,
    pub limits: WriteLimits,
    /// Read back after each batch.
    returning: Vec<Returned>,
    /// Whether somebody wants to know the keys of what was written.
    pub tells_keys: bool,
    meter: Arc<Meter>,
    deed: Deed,
    progress: Rc<Progress>,
    /// The batch before, to be let go of while the next one is on its way: that takes its time.
    spent: Rc<Vec<Change>>,
}

/// A column that is read back, and its field.
struct Returned {
    column: String,
    field: Field,
}

/// A batch that is on its way.
pub struct Sent {
    /// `None` if there is nothing to send.
    flight: Option<Flight<Vec<Outcome>>>,
    changes: Rc<Vec<Change>>,
    /// Which rows the changes are of.
    places: Vec<usize>,
    now: Vec<Option<Now>>,
}

impl Sent {
    /// Runs `work`. If Postgres interrupts it, the error says what is in doubt.
    pub fn meanwhile<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.flight {
            Some(flight) => flight.meanwhile(work),
            None => work(),
        }
    }
}

/// Of a value that is longer than this nobody is told what was sent, but how much.
pub const SPELLED: usize = 64 << 10;

/// Records of which an error shows what was sent.
const SHOWN: usize = 3;

impl Writer {
    /// Opens the session. What the table's options leave out of `write`'s fields is described by the API, once.
    /// `returning`: the attributes that are read back.
    pub fn open(
        table: &Table,
        user: pg_sys::Oid,
        mut write: Write,
        returning: &[i16],
        meter: Arc<Meter>,
    ) -> Result<Writer> {
        let remote = Remote::open(table.server, user)?;
        if !table.describes(&write.fields) {
            let object = remote.collect(vec![remote.connector.describe(&write.object)])?.pop();
            for field in &mut write.fields {
                let same = |other: &&Field| other.name.eq_ignore_ascii_case(&field.name);
                if let Some(known) = object.as_ref().and_then(|object| object.fields.iter().find(same)) {
                    field.capabilities = known.capabilities;
                    field.remote_type.clone_from(&known.remote_type);
                    field.key |= known.key;
                }
            }
        }
        let limits = remote.connector.write_limits(write.op);
        let deed = ledger::deed(table.server, &write.object, &title(table.oid), write.op.past());
        let returned = |attribute: &i16| {
            let column = table.column(*attribute)?;
            Some(Returned { column: column.name.clone(), field: table.object.fields[column.field].clone() })
        };
        Ok(Writer {
            remote,
            write: Rc::new(write),
            limits,
            returning: returning.iter().filter_map(returned).collect(),
            tells_keys: true,
            meter,
            deed,
            progress: Progress::of(table.oid),
            spent: Rc::default(),
        })
    }

    /// Whether the API keeps two values of a field as the same.
    pub fn same(&self, field: &Field, one: &Value, other: &Value) -> bool {
        self.remote.connector.same(field, one, other)
    }

    /// Whether a read that is under way is the same whatever is written meanwhile.
    pub fn stable_paging(&self) -> bool {
        self.remote.connector.stable_paging()
    }

    /// The error of a row that cannot even be sent; `ahead` rows wait before it.
    pub fn misfit(&self, error: Error, ahead: usize) -> Error {
        self.before(self.place(error, ahead, ahead + 1, ""))
    }

    /// Sends one batch and waits for its answer.
    pub fn send(&mut self, batch: Vec<Todo>) -> Result<Vec<Option<Now>>> {
        let sent = self.launch(batch)?;
        self.land(sent)
    }

    /// Sends one batch, no more than [`Writer::limits`] allows. If the wait for its answer never begins, or is cut
    /// short, what may have been done is noted.
    pub fn launch(&mut self, batch: Vec<Todo>) -> Result<Sent> {
        let mut changes = Vec::with_capacity(batch.len());
        let mut places = Vec::with_capacity(batch.len());
        let mut now: Vec<Option<Now>> = Vec::with_capacity(batch.len());
        for (at, todo) in batch.into_iter().enumerate() {
            now.push(match todo {
                Todo::Change(change) => {
                    changes.push(change);
                    places.push(at);
                    None
                }
                Todo::Nothing(key) => Some(Now { key, created: None, cells: Box::default() }),
                Todo::Again => None,
            });
        }
        // Each value is worded, that is put into the request, and all of it is told if nobody knows what became of it.
        let weight: usize = changes.iter().map(Change::weight).sum();
        let _aside = heap::set_aside(weight.saturating_mul(4)).map_err(|error| self.place_batch(error, now.len()))?;
        let changes = Rc::new(changes);
        if changes.is_empty() {
            return Ok(Sent { flight: None, changes, places, now });
        }
        let job = self.remote.connector.write(&self.write, &changes);
        let job = job.map_err(|error| self.place_batch(error, now.len()))?;
        let spell = {
            let (write, changes) = (Rc::clone(&self.write), Rc::clone(&changes));
            move || changes.iter().map(|change| spell(&write, change)).collect()
        };
        let flight = Some(Flight::new(&self.remote, job, &self.meter, &self.deed, spell));
        self.spent = Rc::default();
        Ok(Sent { flight, changes, places, now })
    }

    /// Waits for the answer. For each row what the record is now; `None` if it is gone, or was changed before.
    pub fn land(&mut self, sent: Sent) -> Result<Vec<Option<Now>>> {
        let Sent { flight, changes, places, mut now } = sent;
        if let Some(flight) = flight {
            let mut outcomes = outcomes(flight, changes.len()).map_err(|error| self.place_batch(error, now.len()))?;
            let tells_keys = self.tells_keys || !self.returning.is_empty();
            let keys = outcomes.iter_mut().filter_map(|outcome| match outcome {
                Outcome::Written(written) if tells_keys => Some(Some(written.key.clone())),
                Outcome::Written(written) => Some(Some(std::mem::take(&mut written.key))),
                _ => None,
            });
            let keys: Vec<_> = keys.collect();
            self.progress.written.update(|written| written + keys.len());
            if !keys.is_empty() {
                ledger::written(&self.deed, keys);
            }
            let refused = outcomes.iter().zip(&places).zip(changes.iter());
            let mut refused = refused.filter_map(|((outcome, place), change)| match outcome {
                Outcome::Refused(error) => Some((error, *place, &*change.key)),
                _ => None,
            });
            if let Some((error, place, key)) = refused.next() {
                let error = self.place(error.clone(), place, now.len(), key);
                return Err(self.before(and_more(error, refused.count())));
            }
            let mut lacking = None;
            for (place, outcome) in places.into_iter().zip(outcomes) {
                if let Outcome::Written(written) = outcome {
                    lacking = lacking.or(written.lacking);
                    now[place] = Some(Now { key: written.key, created: written.created, cells: Box::default() });
                }
            }
            if let Some(lacking) = lacking {
                let title = self.remote.connector.title();
                let rows = self.rows(now.len()).unwrap_or_else(|| "the record".to_owned());
                let text = format!("{title} has written {rows} without {lacking}");
                warn(&text, &format!("Look at the records of {}.", self.deed.title));
            }
            self.spent = changes;
        }
        self.read_back(&mut now)?;
        self.progress.rows.update(|rows| rows + now.len());
        Ok(now)
    }

    /// Sends any number of changes, in batches.
    pub fn send_all(&mut self, changes: Vec<Change>) -> Result<Vec<Option<Now>>> {
        let mut now = Vec::with_capacity(changes.len());
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut changes = changes.into_iter().peekable();
        while let Some(change) = changes.next() {
            bytes += change.weight();
            batch.push(Todo::Change(change));
            if changes.peek().is_none() || batch.len() >= self.limits.records || bytes >= self.limits.bytes {
                now.extend(self.send(std::mem::take(&mut batch))?);
                bytes = 0;
            }
        }
        Ok(now)
    }

    /// Says which row of the statement it is, if others are known of: so many are at hand, `ahead` of them before it.
    fn place(&self, error: Error, ahead: usize, at_hand: usize, key: &str) -> Error {
        let rows = self.progress.rows.get();
        let row = (rows + at_hand > 1).then(|| format!("row {} of the statement", rows + ahead + 1));
        match (row, key) {
            (None, "") => error,
            (None, key) => error.detail(format!("It is the record \"{key}\".")),
            (Some(row), "") => error.detail(format!("It is {row}.")),
            (Some(row), key) => error.detail(format!("It is {row} (\"{key}\").")),
        }
    }

    fn place_batch(&self, error: Error, rows: usize) -> Error {
        let error = match self.rows(rows) {
            Some(rows) => error.detail(format!("It happened with {rows}.")),
            None => error,
        };
        self.before(error)
    }

    /// What so many rows from here on are called, if others are known of.
    fn rows(&self, count: usize) -> Option<String> {
        let (first, last) = (self.progress.rows.get() + 1, self.progress.rows.get() + count);
        match last {
            1 => None,
            _ if first == last => Some(format!("row {first} of the statement")),
            _ => Some(format!("rows {first} to {last} of the statement")),
        }
    }

    /// Says how many records were written before it happened.
    pub fn before(&self, error: Error) -> Error {
        match self.progress.written.get() {
            0 => error,
            1 => error.detail("One record was written before, and stays."),
            n => error.detail(format!("{n} records were written before, and stay.")),
        }
    }

    /// Reads the records as they are now, with one request.
    fn read_back(&self, now: &mut [Option<Now>]) -> Result<()> {
        if self.returning.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = now.iter().flatten().map(|now| now.key.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
        let records = self.retrieve_known(&keys).map_err(|error| self.before(error))?;
        for (now, record) in now.iter_mut().flatten().zip(records) {
            now.cells = record.ok_or_else(|| {
                let message = format!("\"{}\" was written, and cannot be read back: it is gone or hidden", now.key);
                self.before(Error::new(Kind::Conflict, message))
            })?;
        }
        Ok(())
    }

    /// Records by their keys. They are written: that the API has lost a field is no reason to fail, and to make somebody
    /// write them again. Its cells are NULL.
    fn retrieve_known(&self, keys: &[&str]) -> Result<Vec<Option<Record>>> {
        let (mut lost, mut hint) = (Vec::new(), String::new());
        let records = loop {
            let known = self.returning.iter().filter(|returned| !self.progress.has_lost(&returned.column));
            let fields: Vec<Field> = known.clone().map(|returned| returned.field.clone()).collect();
            match self.retrieve(&fields, keys) {
                Ok(records) => break records,
                // Each round asks for less.
                Err(error) => {
                    let mut lacks: Vec<&Returned> = known.filter(|returned| lacks(&error, &returned.field)).collect();
                    // Of a record's own field and another record's of that name the latter is left out first.
                    if lacks.iter().any(|returned| returned.field.name.contains('.')) {
                        lacks.retain(|returned| returned.field.name.contains('.'));
                    }
                    if lacks.is_empty() {
                        return Err(error);
                    }
                    hint = error.hint_text().unwrap_or_default().to_owned();
                    self.progress.lost.borrow_mut().extend(lacks.iter().map(|returned| returned.column.clone()));
                    lost.extend(lacks);
                }
            }
        };
        if !lost.is_empty() {
            self.warn_of_lost(&lost, &hint);
        }
        let whole = |record: Record| {
            let mut cells = record.into_iter();
            let cell = |returned: &Returned| match self.progress.has_lost(&returned.column) {
                true => Value::Null,
                false => cells.next().unwrap_or(Value::Null),
            };
            self.returning.iter().map(cell).collect()
        };
        Ok(records.into_iter().map(|record| record.map(whole)).collect())
    }

    fn retrieve(&self, fields: &[Field], keys: &[&str]) -> Result<Vec<Option<Record>>> {
        if fields.is_empty() {
            return Ok(keys.iter().map(|_| Some(Record::default())).collect());
        }
        let job = self.remote.connector.retrieve(&self.write.object, fields, keys)?;
        let mut answers = self.remote.stream(vec![job], Arc::clone(&self.meter));
        let records = answers.receive()?.unwrap_or_default();
        if records.len() == keys.len() {
            return Ok(records);
        }
        let message = format!("the API answered for {} records where {} were asked", records.len(), keys.len());
        Err(Error::new(Kind::Unreadable, message))
    }

    fn warn_of_lost(&self, lost: &[&Returned], hint: &str) {
        let (title, table) = (self.remote.connector.title(), &self.deed.title);
        let names = lost.iter().map(|lost| format!("\"{}\" (field {})", lost.column, lost.field.name));
        let names = names.collect::<Vec<_>>().join(", ");
        let text = match lost {
            [_] => format!("column {names} of {table} was not read back: {title} has no such field any more"),
            _ => format!("columns {names} of {table} were not read back: {title} has no such fields any more"),
        };
        warn(&text, hint);
    }
}

/// Whether an error says that the API has no such field. Of a path to another record's it names the last part alone.
fn lacks(error: &Error, field: &Field) -> bool {
    let last = field.name.rsplit('.').next();
    let named = error.column_name().zip(last).is_some_and(|(named, last)| named.eq_ignore_ascii_case(last));
    error.kind() == Kind::UnknownField && (named || error.column_name() == Some(field.name.as_str()))
}

/// The error of a record, of whose batch more were refused.
fn and_more(error: Error, more: usize) -> Error {
    match more {
        0 => error,
        1 => error.detail("One more record of the batch was refused."),
        _ => error.detail(format!("{more} more records of the batch were refused.")),
    }
}

/// One outcome for each of so many changes.
fn outcomes(flight: Flight<Vec<Outcome>>, changes: usize) -> Result<Vec<Outcome>> {
    let outcomes = flight.wait()?.unwrap_or_default();
    if outcomes.len() == changes {
        return Ok(outcomes);
    }
    Err(Error::new(Kind::Internal, format!("{} outcomes for {changes} records", outcomes.len())))
}

/// What is sent: keys, where there are any, and JSON, as `sequin.unconfirmed()` shows it.
type Spelled = Vec<(Option<Box<str>>, String)>;

fn spell(write: &Write, change: &Change) -> (Option<Box<str>>, String) {
    let cells = change.cells.iter().map(|(at, value)| {
        let json = match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Int(int) => (*int).into(),
            // It is kept for long, and shown as a whole.
            other if other.weight() > SPELLED => format!("({} bytes)", other.weight()).into(),
            other => other.to_input().into(),
        };
        (write.fields[*at].name.clone(), json)
    });
    let key = (!change.key.is_empty()).then(|| change.key.clone());
    (key, serde_json::Value::Object(cells.collect()).to_string())
}

/// A write that is under way. Dropped before it has landed, it goes into the ledger if the API may have done it.
pub struct Flight<T> {
    answers: Answers<T>,
    deed: Deed,
    spell: Box<dyn Fn() -> Spelled>,
    landed: bool,
}

impl<T: Weigh + Send + 'static> Flight<T> {
    /// Starts a job that writes.
    pub fn new(
        remote: &Remote,
        job: Job<T>,
        meter: &Arc<Meter>,
        deed: &Deed,
        spell: impl Fn() -> Spelled + 'static,
    ) -> Flight<T> {
        let answers = remote.stream(vec![job], Arc::clone(meter));
        Flight { answers, deed: deed.clone(), spell: Box::new(spell), landed: false }
    }

    /// Waits for the answer. What it leaves in doubt is noted: because it was lost, or because Postgres has cut the wait
    /// short.
    pub fn wait(mut self) -> Result<Option<T>> {
        let (account, deed, spell) = (self.answers.account.clone(), &self.deed, &self.spell);
        let answer = detail_on_interrupt(&|| doubt(&account, deed, spell), || self.answers.receive());
        let answer = answer.map_err(|error| match error.kind() {
            Kind::OutcomeUnknown => doubt(&account, deed, spell).into_iter().fold(error, Error::detail),
            _ => error,
        });
        self.landed = !matches!(&answer, Err(error) if matches!(error.kind(), Kind::OutcomeUnknown | Kind::Internal));
        answer
    }
}

impl<T> Flight<T> {
    /// Runs `work`. If Postgres interrupts it, the error says what is in doubt.
    pub fn meanwhile<R>(&self, work: impl FnOnce() -> R) -> R {
        detail_on_interrupt(&|| doubt(&self.answers.account, &self.deed, &self.spell), work)
    }
}

/// What is to be said of a write if nothing more is heard of it.
fn doubt(account: &Account, deed: &Deed, spell: impl Fn() -> Spelled) -> Option<String> {
    if !account.in_doubt() {
        return None;
    }
    let sent = spell();
    let shown = sent.iter().take(SHOWN).map(|(key, sent)| match key {
        Some(key) => format!("{key} {}", excerpt(sent)),
        None => excerpt(sent),
    });
    let shown: Vec<_> = shown.collect();
    let more = match sent.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "Nobody knows whether these were {} ({}): {}{more}. SELECT * FROM sequin.unconfirmed() lists them.",
        deed.done,
        deed.title,
        shown.join(", "),
    ))
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        if !self.landed && self.answers.account.end() {
            ledger::unknown(&self.deed, (self.spell)());
        }
    }
}

fn excerpt(text: &str) -> String {
    const MOST: usize = 200;
    if text.len() <= MOST { text.to_owned() } else { format!("{}…", &text[..text.floor_char_boundary(MOST)]) }
}
