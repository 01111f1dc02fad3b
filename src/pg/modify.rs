//! Executing a modification: rows to changes, batches to the API, answers to rows.
//!
//! Where the plan allows it, rows are read ahead (see [`super::read_ahead`]) and sent as one batch; each of them then
//! gets its own answer, so that counts, RETURNING and triggers are what they are on a local table.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use pgrx::pg_sys;

use super::catalog::{self, Column, Table};
use super::datum::{Decoder, Encoder};
use super::executor::Slot;
use super::modify_plan::ModifyPlan;
use super::write::{Now, Sent, Todo, Writer};
use crate::connector;
use crate::error::{Error, Kind, Result};
use crate::heap;
use crate::http::meter::{Counts, Meter};
use crate::query::change::{Change, Op, Write};
use crate::schema::Field;
use crate::value::Value;

/// Where the rows of the plan bring what tells which record they are, counted from 1.
#[derive(Clone, Copy, Default)]
pub struct Places {
    pub key: Option<i16>,
    pub old_row: Option<i16>,
}

/// One modification of one table.
pub struct Modify {
    pub plan: ModifyPlan,
    /// Whether rows only wait for the batch to be full, and nobody wants their answers: COPY.
    pub collects: bool,
    table: Table,
    user: pg_sys::Oid,
    places: Places,
    /// Of the key's column.
    key: Option<Decoder>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    meter: Arc<Meter>,
    writer: Option<Writer>,
    /// Rows that have not been sent.
    waiting: VecDeque<Todo>,
    waiting_bytes: usize,
    /// Answers that have not been asked for.
    answers: VecDeque<Option<Now>>,
    /// Records that the statement has changed.
    changed: HashSet<Box<str>>,
}

/// A column that may be written.
struct Input {
    attribute: i16,
    decoder: Decoder,
    /// Its place in the rows of the plan, and in the rows of the table.
    plan_place: i16,
    /// Whether the statement gives it a value, NULL included.
    given: bool,
}

/// A column of the record as it is afterwards.
struct Output {
    /// Its index among the slot's values.
    place: usize,
    /// Its index among the cells that are brought back; `None` for the key, which every answer has.
    cell: Option<usize>,
    encoder: Encoder,
}

impl Modify {
    /// Prepares a modification. Sends nothing and needs no credentials.
    pub fn new(plan: ModifyPlan, table: pg_sys::Oid, user: pg_sys::Oid, places: Places) -> Result<Modify> {
        let table = Table::read(table)?;
        let input = |(at, attribute): (usize, i16), given| {
            let column = table.column(attribute)?;
            let plan_place = if plan.op == Op::Update { i16::try_from(at + 1).ok()? } else { attribute };
            Some(Input { attribute, decoder: Decoder::new(column.type_oid), plan_place, given })
        };
        let given = plan.given.iter().copied().enumerate();
        let mut inputs: Vec<_> = given.filter_map(|it| input(it, !plan.defaulted.contains(&it.1))).collect();
        if plan.touched && plan.op != Op::Delete {
            let others = table.columns().iter().map(|column| column.attribute);
            let others = others.filter(|attribute| !plan.given.contains(attribute));
            inputs.extend(others.filter_map(|attribute| input((0, attribute), false)));
        }
        let key = table.key().map(|key| key.attribute);
        let outputs = outputs(key, plan.returning.iter().filter_map(|attribute| table.column(*attribute)));
        Ok(Modify {
            plan,
            collects: false,
            key: table.key().map(|key| Decoder::new(key.type_oid)),
            table,
            user,
            places,
            inputs,
            outputs,
            meter: Arc::default(),
            writer: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            answers: VecDeque::new(),
            changed: HashSet::new(),
        })
    }

    /// Whether everything has to be read before anything is written: the statement, whose tables these are, reads the
    /// object that is written once more than it must, or writing moves what is not read yet.
    pub fn reads_before(&self, tables: &[pg_sys::Oid]) -> Result<bool> {
        if self.plan.op != Op::Insert && !connector::open(&catalog::server(self.table.server)?)?.stable_paging() {
            return Ok(true);
        }
        let mut others = tables.to_vec();
        if let Some(own) = others.iter().position(|table| *table == self.table.oid) {
            others.swap_remove(own);
        }
        for other in others.into_iter().filter(|table| catalog::is_our_table(*table)) {
            let other = Table::read(other)?;
            let same_object = other.object.name.eq_ignore_ascii_case(&self.table.object.name);
            if other.server == self.table.server && same_object {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes in a row of the plan, to be sent with the next batch. Whether that is full now. An error is to go through
    /// [`Modify::misfit`].
    pub fn plan_row(&mut self, row: Slot<'_>) -> Result<bool> {
        let todo = self.todo(row, row, |input| input.plan_place)?;
        self.wait(todo)
    }

    /// Takes in a row of the table, whose plan row may say which record it is. Whether the batch is full now.
    pub fn table_row(&mut self, row: Slot<'_>, plan_row: Slot<'_>) -> Result<bool> {
        let todo = self.todo(row, plan_row, |input| input.attribute);
        let todo = todo.map_err(|error| self.misfit(error))?;
        self.located(|this| this.wait(todo))
    }

    /// The error of a row that cannot even be sent, when all batches before it have been answered.
    pub fn misfit(&self, error: Error) -> Error {
        let error = match &self.writer {
            Some(writer) => writer.misfit(error, self.waiting.len()),
            None => error,
        };
        self.table.locate(error)
    }

    /// Sends the batch that waits. The next one may be read while it is on its way.
    pub fn launch(&mut self) -> Result<Sent> {
        self.located(|this| {
            let batch = this.batch()?;
            this.writer()?.launch(batch)
        })
    }

    /// Waits for the answer to a batch.
    pub fn land(&mut self, sent: Sent) -> Result<()> {
        self.located(|this| {
            let answers = this.writer()?.land(sent)?;
            this.answers.extend(answers);
            Ok(())
        })
    }

    /// The answer for the next row, of which `slot` becomes the record as it is now. False if no record was changed.
    pub fn answer(&mut self, slot: Slot<'_>, plan_row: Slot<'_>) -> Result<bool> {
        self.located(|this| {
            while this.answers.is_empty() {
                this.send()?;
            }
            let Some(now) = this.answers.pop_front().flatten() else { return Ok(false) };
            this.fill(slot, plan_row, &now)?;
            Ok(true)
        })
    }

    /// Sends what waits, and forgets the answers: COPY wants none.
    pub fn flush(&mut self) -> Result<()> {
        self.located(|this| {
            while !this.waiting.is_empty() {
                this.send()?;
                this.answers.clear();
            }
            Ok(())
        })
    }

    /// What the modification has cost so far.
    pub fn counts(&self) -> Counts {
        self.meter.snapshot()
    }

    fn located<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        work(self).map_err(|error| self.table.locate(error))
    }

    fn wait(&mut self, todo: Todo) -> Result<bool> {
        heap::check(0)?;
        heap::may_grow(self.waiting.len(), self.waiting.capacity(), size_of::<Todo>())?;
        self.waiting_bytes += todo.weight();
        self.waiting.push_back(todo);
        let limits = self.writer()?.limits;
        Ok(self.waiting.len() >= limits.records || self.waiting_bytes >= limits.bytes)
    }

    /// Sends one batch.
    fn send(&mut self) -> Result<()> {
        let batch = self.batch()?;
        let answers = self.writer()?.send(batch)?;
        self.answers.extend(answers);
        Ok(())
    }

    /// As many rows as one request takes, of those that wait.
    fn batch(&mut self) -> Result<Vec<Todo>> {
        let limits = self.writer()?.limits;
        let mut bytes = 0;
        let mut batch = Vec::with_capacity(limits.records.min(self.waiting.len()));
        while batch.len() < limits.records && (batch.is_empty() || bytes < limits.bytes) {
            let Some(todo) = self.waiting.pop_front() else { break };
            bytes += todo.weight();
            batch.push(todo);
        }
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        if batch.is_empty() {
            return Err(Error::new(Kind::Internal, "an answer is wanted for a row that was never sent"));
        }
        Ok(batch)
    }

    fn writer(&mut self) -> Result<&mut Writer> {
        if self.writer.is_none() {
            let object = &self.table.object;
            let field = |attribute: i16| self.table.column(attribute).map(|column| object.fields[column.field].clone());
            let fields = self.inputs.iter().filter_map(|input| field(input.attribute)).collect();
            let mut write = Write::new(&object.name, self.plan.op, fields);
            write.skip_duplicates = self.plan.skip_duplicates;
            let key = self.table.key().map(|key| key.attribute);
            let returning = self.plan.returning.iter().copied().filter(|attribute| Some(*attribute) != key);
            let returning: Vec<i16> = returning.collect();
            let meter = Arc::clone(&self.meter);
            let mut writer = Writer::open(&self.table, self.user, write, &returning, meter)?;
            writer.tells_keys = !self.outputs.is_empty();
            self.writer = Some(writer);
        }
        self.writer.as_mut().ok_or_else(|| Error::new(Kind::Internal, "the writer is gone"))
    }

    /// What a row wants done. `plan_row` says which record it is, `row` what it is to be; `place` is where.
    fn todo(&mut self, row: Slot<'_>, plan_row: Slot<'_>, place: impl Fn(&Input) -> i16) -> Result<Todo> {
        self.writer()?;
        let (op, places) = (self.plan.op, self.places);
        let Some(writer) = &self.writer else {
            return Err(Error::new(Kind::Internal, "the writer is gone"));
        };
        let cells = self.inputs.iter_mut().enumerate();
        if op == Op::Insert {
            let cells = cells.map(|(at, input)| (at, row.cell(place(input), &mut input.decoder), input.given));
            // What the statement does not name is sent only if something else gave it a value.
            let cells = cells.filter(|(_, value, given)| *given || !value.is_null());
            let created = writer.write.created(cells.map(|(at, value, _)| (at, value)));
            return created.map(Todo::Change);
        }
        let key = match (places.key, &mut self.key) {
            (Some(place), Some(decoder)) => plan_row.cell(place, decoder),
            _ => Value::Null,
        };
        let Value::Text(key) = key else {
            return Err(Error::new(Kind::Internal, "the row does not say which record it is"));
        };
        heap::may_grow(self.changed.len(), self.changed.capacity(), 2 * size_of_val(&key))?;
        if !self.changed.insert(key.clone()) {
            return Ok(Todo::Again);
        }
        if op == Op::Delete {
            return Ok(Todo::Change(Change { key, cells: Vec::new() }));
        }
        let old = places.old_row.and_then(|at| plan_row.old_row(at, self.table.oid));
        let Some(old) = old else {
            return Err(Error::new(Kind::Internal, "the row to be changed did not come along"));
        };
        let cells = cells.map(|(at, input)| {
            let before = old.cell(input.attribute, &mut input.decoder);
            (at, before, row.cell(place(input), &mut input.decoder))
        });
        let same = |field: &Field, before: &Value, after: &Value| writer.same(field, before, after);
        let changed = writer.write.changed(&key, cells, same)?;
        Ok(changed.map_or(Todo::Nothing(key), Todo::Change))
    }

    /// Makes `slot` the record as it is now, as far as anybody wants to know.
    fn fill(&mut self, slot: Slot<'_>, plan_row: Slot<'_>, now: &Now) -> Result<()> {
        if self.plan.op == Op::Delete && self.plan.returns {
            let old = self.places.old_row.and_then(|at| plan_row.old_row(at, self.table.oid));
            let lost = || Error::new(Kind::Internal, "the row that was deleted did not come along");
            return slot.replace(Some(&old.ok_or_else(lost)?), |_, _| Ok(()));
        }
        if self.outputs.is_empty() {
            return Ok(());
        }
        let key = Value::Text(now.key.clone());
        slot.replace(None, |values, nulls| {
            for output in &mut self.outputs {
                let cell = match output.cell {
                    None => &key,
                    Some(at) => now.cells.get(at).unwrap_or(&Value::Null),
                };
                let datum = output.encoder.encode(cell)?;
                nulls[output.place] = datum.is_none();
                values[output.place] = datum.unwrap_or(pg_sys::Datum::from(0));
            }
            Ok(())
        })
    }
}

fn outputs<'c>(key: Option<i16>, columns: impl Iterator<Item = &'c Column>) -> Vec<Output> {
    let mut cells = 0..;
    let output = |column: &Column| {
        let cell = if Some(column.attribute) == key { None } else { cells.next() };
        let place = usize::try_from(column.attribute - 1).ok()?;
        Some(Output { place, cell, encoder: Encoder::new(column.type_oid, column.modifier) })
    };
    columns.filter_map(output).collect()
}
