//! What users write to a synced table goes to the API first.
//!
//! An INSERT asks the API row by row, before the row is stored: it is the API that gives the key. The table's own rules
//! are asked before. What an UPDATE or a DELETE did is sent in batches when the statement is done; if the API refuses,
//! the statement fails, and nothing is left of it here. All of it goes through the foreign table, as its owner's own
//! statements would.
//! <https://www.postgresql.org/docs/current/trigger-interface.html>

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Datum};
use pgrx::{PgRelation, PgTryBuilder, pg_guard};

use super::catalog;
use super::datum::Decoder;
use super::error::{name_anew, or_raise};
use super::memory::{self, within};
use super::merge::{Ours, is_ours};
use super::progress::Progress;
use super::role::ActingAs;
use super::rules::{self, Candidate};
use super::spi::{Arg, Spi, oid_arg, texts_arg, trigger_depth};
use super::statements;
use super::synced::{Lock, Synced, as_keeper, now};
use crate::error::{Error, Kind, Result};
use crate::sync::wording::{NAMED, NOTE_DELETED, STAND_IN, SYNCED_AT};

#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_sequin_write_through() -> &'static pg_sys::Pg_finfo_record {
    &pg_sys::Pg_finfo_record { api_version: 1 }
}

/// The function of all triggers of a synced table.
///
/// # Safety
/// Called by Postgres.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn sequin_write_through(call: pg_sys::FunctionCallInfo) -> Datum {
    // SAFETY: a live call; a trigger's has the trigger's data for its context.
    let data = unsafe { (*call).context.cast::<pg_sys::TriggerData>() };
    // SAFETY: null, or a node.
    let tag = unsafe { data.as_ref() }.map(|data| data.type_);
    if tag != Some(pg_sys::NodeTag::T_TriggerData) {
        let message = "sequin.write_through() is for triggers of synced tables";
        or_raise(Err(Error::new(Kind::NotSupported, message)))
    }
    // SAFETY: checked above; live until this function returns, as is what a call says of its function.
    let (fields, function) = unsafe { (&*data, (*call).flinfo) };
    // SAFETY: a global of the one thread that runs Postgres code.
    let memory = unsafe { pg_sys::CurrentMemoryContext };
    let trigger = Trigger { data, fields, function, memory };
    let row = named_anew(&trigger, || or_raise(trigger.run()));
    Datum::from(row)
}

/// Runs `work`. An error of a foreign table in it, which loses the names of table and column on its way, gets them anew:
/// those of the synced table.
fn named_anew<T>(trigger: &Trigger<'_>, work: impl FnOnce() -> T) -> T {
    PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_others(|error| {
            if let CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) = &error {
                // SAFETY: the relation of a trigger that runs.
                let (schema, name) = catalog::relation_name(unsafe { (*trigger.fields.tg_relation).rd_id });
                name_anew(report.message(), &schema, &name);
            }
            error.rethrow()
        })
        .execute()
}

struct Trigger<'t> {
    data: *mut pg_sys::TriggerData,
    fields: &'t pg_sys::TriggerData,
    /// How the statement calls it; lasts as long as that.
    function: *mut pg_sys::FmgrInfo,
    /// Where the statement expects the row to be.
    memory: pg_sys::MemoryContext,
}

impl Trigger<'_> {
    /// The row to go on with; null after a statement.
    fn run(&self) -> Result<pg_sys::HeapTuple> {
        let is = |what: u32, of: u32| self.fields.tg_event & of == what;
        let event = |what| is(what, pg_sys::TRIGGER_EVENT_OPMASK);
        let (row, before) = (
            self.fields.tg_event & pg_sys::TRIGGER_EVENT_ROW != 0,
            is(pg_sys::TRIGGER_EVENT_BEFORE, pg_sys::TRIGGER_EVENT_TIMINGMASK),
        );
        let nothing = if row { self.fields.tg_trigtuple } else { std::ptr::null_mut() };
        // SAFETY: the relation of a trigger that runs.
        let target = unsafe { (*self.fields.tg_relation).rd_id };
        if is_ours(target, trigger_depth() - 1) {
            return Ok(nothing);
        }
        if event(pg_sys::TRIGGER_EVENT_TRUNCATE) {
            return Err(self
                .refuse(target, "a synced table cannot be truncated")
                .hint("DELETE deletes the records at the API, too; sequin.stop_sync() makes it an ordinary table."));
        }
        if before && !row {
            // Before any row is touched: whoever holds a row and then waits for this lock would be waited for.
            Lock::Writing.take(target, false);
            if event(pg_sys::TRIGGER_EVENT_UPDATE) {
                // SAFETY: the trigger that is running.
                unsafe { statements::note_update(self.function) };
            }
            return Ok(nothing);
        }
        let Some(synced) = Synced::read(target)? else {
            return Err(self
                .refuse(target, "the table has triggers of a synced table but is none")
                .hint("sequin.stop_sync() removes them, sequin.start_sync() makes it a synced table again."));
        };
        if row && before {
            return self.insert(&synced);
        }
        if row {
            return Err(self.vanished(&synced));
        }
        if event(pg_sys::TRIGGER_EVENT_UPDATE) {
            self.update(&synced)?
        } else {
            self.delete(&synced)?
        }
        Ok(nothing)
    }

    fn refuse(&self, target: pg_sys::Oid, message: &str) -> Error {
        let (schema, name) = catalog::relation_name(target);
        Error::new(Kind::NotSupported, message).table(&schema, &name)
    }

    /// Creates the record, and makes the row what the API made of it. Nothing is created if the table would not take the
    /// row: it is refused here, or by the index in which it meets another one, unless ON CONFLICT decides otherwise.
    fn insert(&self, synced: &Synced) -> Result<pg_sys::HeapTuple> {
        let (table, row) = (self.fields.tg_relation, self.fields.tg_trigtuple);
        // SAFETY: the relation is open as long as its trigger runs.
        let descriptor = unsafe { (*table).rd_att };
        let cell = |place: i16| {
            let mut null = false;
            // SAFETY: a row of this type.
            let datum = unsafe { pg_sys::SPI_getbinval(row, descriptor, place.into(), &mut null) };
            (!null).then_some(datum)
        };
        // SAFETY: the relation is open.
        let synced_at = unsafe { place_of(table, SYNCED_AT) };
        let (key_place, key_type) = synced.places[0];
        if let Some(key) = cell(key_place) {
            return self.insert_known(synced, (key_type, Some(key)));
        }
        let filled = synced.places.iter().map(|(place, _)| *place).chain(synced_at);
        let open: Vec<i16> = filled.filter(|place| cell(*place).is_none()).collect();
        let candidate = Candidate { table, title: &synced.names.target, trigger: self.function, row, open: &open };
        // SAFETY: all of it is of the trigger that is running.
        if let Some(mut met) = unsafe { candidate.met()? } {
            let _owner = ActingAs::definer(synced.owner);
            let spi = Spi::connect()?;
            let place = (pg_sys::TIDOID, Some(Datum::from(&raw mut met.place)));
            let row = spi.run(&synced.names.row_at(), &[place])?;
            if row.len() == 0 {
                return Err(self.vanished(synced));
            }
            let key = match met.decided {
                // It stays as long as this transaction lasts.
                true => row.datum(0, 1),
                // SAFETY: the relation is open.
                false => Some(unsafe { rules::stand_in(table, key_place, &stand_in()) }),
            };
            let mut cells = vec![(key_place, key)];
            cells.extend(synced_at.map(|place| (place, Some(Datum::from(now())))));
            // What the API would give it, and it needs, is that of the row it meets.
            // SAFETY: the relation is open.
            let lacks = |place| cell(place).is_none() && unsafe { rules::is_needed(table, place) };
            let others = synced.places.iter().map(|(place, _)| *place).zip(1..).skip(1);
            cells.extend(others.filter(|(place, _)| lacks(*place)).map(|(place, at)| (place, row.datum(0, at))));
            self.progress().rows.update(|rows| rows + 1);
            return Ok(self.changed_row(&cells));
        }
        let _owner = ActingAs::definer(synced.owner);
        let given: Vec<(usize, Arg)> = synced.places[1..]
            .iter()
            .enumerate()
            .filter_map(|(at, (place, ty))| Some((at, (*ty, Some(cell(*place)?)))))
            .collect();
        let (columns, args): (Vec<usize>, Vec<Arg>) = given.into_iter().unzip();
        let spi = Spi::connect()?;
        let _part = self.progress().share(synced.source.oid);
        let answer = spi.run(&synced.names.create(&columns), &args)?;
        if answer.len() != 1 {
            return Err(Error::new(Kind::Internal, "an INSERT into the foreign table returned no row"));
        }
        let answered = synced.places.iter().zip(1..).map(|((place, _), at)| (*place, answer.datum(0, at)));
        let cells: Vec<_> = answered.chain(synced_at.map(|place| (place, Some(Datum::from(now()))))).collect();
        Ok(self.changed_row(&cells))
    }

    /// A row with a key: if that is here, ON CONFLICT decides, or the primary key does.
    fn insert_known(&self, synced: &Synced, key: Arg) -> Result<pg_sys::HeapTuple> {
        let _owner = ActingAs::definer(synced.owner);
        let spi = Spi::connect()?;
        if spi.run(&synced.names.is_here(), &[key])?.len() > 0 {
            self.progress().rows.update(|rows| rows + 1);
            return Ok(self.fields.tg_trigtuple);
        }
        let (schema, name) = catalog::relation_name(synced.target);
        let key = &synced.names.key;
        Err(Error::new(Kind::ReadOnlyField, format!("there is no record with this \"{key}\" in \"{name}\""))
            .detail(format!("The API itself gives a new record its \"{key}\"."))
            .hint(format!(
                "Leave \"{key}\" out to create a record. If the API has it already, SELECT sequin.refresh('{schema}.{name}') brings it."
            ))
            .table(&schema, &name)
            .column(key))
    }

    /// The row with other values at these places.
    fn changed_row(&self, cells: &[(i16, Option<Datum>)]) -> pg_sys::HeapTuple {
        let mut places: Vec<i32> = cells.iter().map(|(place, _)| (*place).into()).collect();
        let mut values: Vec<Datum> = cells.iter().map(|(_, value)| value.unwrap_or(Datum::from(0))).collect();
        let mut nulls: Vec<bool> = cells.iter().map(|(_, value)| value.is_none()).collect();
        let (table, row) = (self.fields.tg_relation, self.fields.tg_trigtuple);
        // SAFETY: as many places as values and flags, each of its column's type.
        let change = || unsafe {
            pg_sys::heap_modify_tuple_by_cols(
                row,
                (*table).rd_att,
                places.len() as i32,
                places.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            )
        };
        // SAFETY: live until the trigger returns.
        unsafe { within(self.memory, change) }
    }

    /// A row was stored although it had met another one.
    fn vanished(&self, synced: &Synced) -> Error {
        let (schema, name) = catalog::relation_name(synced.target);
        let message = format!("a row of \"{name}\" that a new one had met has gone or changed meanwhile");
        Error::new(Kind::Conflict, message).hint("Try again.").table(&schema, &name)
    }

    /// How far the statement is, whose rows come here one after the other.
    fn progress(&self) -> Rc<Progress> {
        // SAFETY: the function that is being called; the field is for its own use.
        let function = unsafe { &mut *self.function };
        if function.fn_extra.is_null() {
            function.fn_extra = memory::keep(function.fn_mcxt, Rc::<Progress>::default()).cast();
        }
        // SAFETY: nothing else is kept there, and it lives as long as the function's memory.
        Rc::clone(unsafe { &*function.fn_extra.cast::<Rc<Progress>>() })
    }

    fn update(&self, synced: &Synced) -> Result<()> {
        let (schema, name) = catalog::relation_name(synced.target);
        synced.must_see_all()?;
        // SAFETY: the trigger that is running.
        let amid = unsafe { statements::others_update(synced.target, self.function) };
        let _owner = ActingAs::definer(synced.owner);
        let _ours = Ours::begin(synced.target);
        let spi = Spi::connect()?;
        // SAFETY: the trigger that is running.
        unsafe { spi.register_trigger(self.data)? };
        let found = spi.run(&synced.names.changed_columns(), &[])?;
        if found.count(0, 1) > 0 {
            let key = &synced.names.key;
            return Err(Error::new(Kind::ReadOnlyField, format!("column \"{key}\" of \"{name}\" cannot be changed"))
                .detail("It is the record's key at the API.")
                .table(&schema, &name)
                .column(key));
        }
        let changed: Vec<usize> =
            (0..synced.names.columns.len()).filter(|at| found.flag(0, 2 + i32::try_from(*at).unwrap_or(0))).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let fields = synced.followed.fields[1..].iter().enumerate();
        let read_only: Vec<usize> = fields.filter(|(_, field)| !field.capabilities.update).map(|(at, _)| at).collect();
        let progress = Rc::<Progress>::default();
        let _part = progress.share(synced.source.oid);
        let done = spi.run(&synced.names.send_update(&changed, amid.then_some(&read_only)), &[])?;
        let (rows, sent) = (done.count(0, 1), done.count(0, 2));
        if sent < rows {
            let gone = rows - sent;
            let are = if gone == 1 { "is" } else { "are" };
            let mut named = done.text(0, 3).unwrap_or_default();
            if gone > NAMED {
                named.push_str(&format!(" and {} more", gone - NAMED));
            }
            return Err(Error::new(
                Kind::Conflict,
                format!("{gone} of {rows} records of \"{name}\" {are} gone at the API"),
            )
            .detail(format!("Gone: {named}."))
            .hint("Try again once they have left the table; sequin.refresh() lets them leave at once.")
            .table(&schema, &name));
        }
        let columns = synced.names.columns.iter().enumerate();
        let unread: Vec<usize> = columns.filter(|(_, column)| progress.has_lost(column)).map(|(at, _)| at).collect();
        if !unread.is_empty() {
            spi.run(&synced.names.keep_unread(&unread), &[])?;
        }
        Ok(())
    }

    fn delete(&self, synced: &Synced) -> Result<()> {
        let _owner = ActingAs::definer(synced.owner);
        let spi = Spi::connect()?;
        // SAFETY: the trigger that is running.
        unsafe { spi.register_trigger(self.data)? };
        spi.run(&synced.names.send_delete(), &[])?;
        // Read as the owner, and made a text here: a cast of the key's type may be code of the owner's, which the keeper of
        // our tables must not run.
        let mut key = Decoder::new(synced.places[0].1);
        let mut noted = Ok(());
        spi.each(&synced.names.deleted(), &[], |rows| {
            // SAFETY: of the type of the key's column.
            let text = |cell| unsafe { key.decode(cell, false) }.to_input();
            let keys: Vec<String> = (0..rows.len()).filter_map(|row| rows.datum(row, 1)).map(text).collect();
            let note = || {
                let _keeper = as_keeper()?;
                let args = [oid_arg(synced.target), texts_arg(keys.iter().map(String::as_str))];
                spi.run(NOTE_DELETED, &args).map(drop)
            };
            if noted.is_ok() {
                noted = note();
            }
        })?;
        noted
    }
}

/// The place of a column.
///
/// # Safety
/// The relation must be open.
unsafe fn place_of(relation: pg_sys::Relation, name: &str) -> Option<i16> {
    // SAFETY: by the contract above; Postgres counts the references.
    let relation = unsafe { PgRelation::from_pg(relation) };
    let descriptor = relation.tuple_desc();
    let is_it = |column: &&pg_sys::FormData_pg_attribute| {
        // SAFETY: a name is a NUL-terminated string.
        !column.attisdropped && unsafe { CStr::from_ptr(column.attname.data.as_ptr()) }.to_bytes() == name.as_bytes()
    };
    descriptor.iter().find(is_it).map(|column| column.attnum)
}

/// What no other row has for a key: of 18 letters, as many as a key's column must have room for.
fn stand_in() -> CString {
    thread_local! {
        static LAST: Cell<u32> = const { Cell::new(0) };
    }
    LAST.set(LAST.get().wrapping_add(1) & 0xf_ffff);
    CString::new(format!("{STAND_IN}{:06x}{:05x}", std::process::id() & 0xff_ffff, LAST.get())).unwrap_or_default()
}
