//! Executing a scan: rows out of pages.
//!
//! The state hangs on the executor's memory context and is dropped with it, on success, error and abort;
//! dropping it ends what is still under way.
//! <https://www.postgresql.org/docs/current/fdw-callbacks.html#FDW-CALLBACKS-SCAN>

use std::sync::Arc;

use pgrx::pg_sys;

use super::catalog::Table;
use super::executor::{Expression, ScanNode, Slot};
use super::row::Rows;
use super::scan_plan::ScanPlan;
use super::session::{Answers, Remote};
use super::supply;
use crate::error::{Error, Kind, Result};
use crate::heap;
use crate::http::meter::{Counts, Meter};
use crate::query::ask::Grouping;
use crate::query::page::{Page, Record, Weigh};
use crate::schema::Field;
use crate::value::Value;

/// One scan in execution.
pub struct Scan {
    plan: ScanPlan,
    table: Table,
    user: pg_sys::Oid,
    rows: Rows,
    /// What [`Operand::Arg`](crate::query::predicate::Operand::Arg) counts.
    args: Vec<Expression>,
    meter: Arc<Meter>,
    answers: Option<Answers<Page>>,
    /// Whether a first row was wanted since the last (re)scan with new parameters.
    started: bool,
    /// Whether all pages have come.
    finished: bool,
    /// Whether the API has declined, and the plan below makes the rows.
    declined: bool,
    /// Whether the records were at hand.
    supplied: bool,
    held: Held,
    /// The next row: which page, which record of it.
    page: usize,
    row: usize,
}

/// Pages in memory: the current one, and those before it as long as a rescan may want them.
struct Held {
    pages: Vec<Page>,
    weight: usize,
    /// What a rescan may keep, in bytes; 0 if none is expected.
    room: usize,
    /// Whether `pages` begins with the scan's first page.
    whole: bool,
}

impl Held {
    fn new(room: usize) -> Self {
        Held { pages: Vec::new(), weight: 0, room, whole: true }
    }

    /// Takes a page in; lets go of the ones before if they would not fit, or if memory is short.
    fn push(&mut self, page: Page) {
        self.weight += page.weight();
        if (self.weight > self.room || heap::is_short()) && !self.pages.is_empty() {
            self.pages.clear();
            self.weight = page.weight();
            self.whole = false;
        }
        self.pages.push(page);
    }
}

impl Scan {
    /// Prepares a scan. Sends nothing and needs no credentials. `room`: bytes that a rescan may keep.
    pub fn new(node: ScanNode<'_>, room: usize) -> Result<Scan> {
        Scan::of(ScanPlan::of(node)?, node.expressions(), node, room)
    }

    /// As [`Scan::new`], of a plan that is part of another.
    pub fn of(plan: ScanPlan, args: Vec<Expression>, node: ScanNode<'_>, room: usize) -> Result<Scan> {
        let table = Table::read(plan.table.into())?;
        let mut held = Held::new(room);
        let supply = supply::take(table.oid, node.statement());
        let supplied = supply.is_some();
        let rows = match supply {
            Some((fields, pages)) => {
                held.pages = pages;
                Rows::new(&table, &fields, &plan.outputs_of(&fields)?)
            }
            None => Rows::new(&table, &plan.read.fields, &plan.outputs),
        };
        Ok(Scan {
            plan,
            table,
            user: node.user(),
            rows,
            args,
            meter: Arc::default(),
            answers: None,
            started: supplied,
            finished: supplied,
            declined: false,
            supplied,
            held,
            page: 0,
            row: 0,
        })
    }

    /// Puts the next row into the slot; leaves the slot empty at the end.
    pub fn next(&mut self, node: ScanNode<'_>, slot: &mut Slot<'_>) -> Result<()> {
        slot.clear();
        self.step(node, slot).map_err(|error| self.table.locate(error))
    }

    /// The cells of the next record, for whoever needs no row of it.
    pub fn record(&mut self, node: ScanNode<'_>) -> Result<Option<Record>> {
        if !self.seek(node)? {
            return Ok(None);
        }
        let record = self.held.pages[self.page].record(self.row);
        self.row += 1;
        Ok(Some(record))
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What the cells of a record are.
    pub fn fields(&self) -> &[Field] {
        &self.plan.read.fields
    }

    /// Where its requests are counted.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    fn step(&mut self, node: ScanNode<'_>, slot: &mut Slot<'_>) -> Result<()> {
        if self.declined {
            return node.row_below(slot);
        }
        match self.seek(node) {
            Ok(true) => self.fill(slot),
            Ok(false) => Ok(()),
            Err(error) if self.may_do_without(&error) => {
                self.answers = None;
                self.declined = true;
                node.row_below(slot)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the plan below can make the rows that the API does not: groups, if it has told of none yet. They may be
    /// more than it tells of, or it does not group by the fields as was thought. One group alone has no plan below.
    fn may_do_without(&self, error: &Error) -> bool {
        let refused = matches!(error.kind(), Kind::TooComplex | Kind::TooLarge | Kind::NotSupported | Kind::Internal);
        refused && self.plan.read.has_groups() && self.held.whole && self.held.pages.is_empty()
    }

    /// Moves to the next record, from before the first one too. False at the end.
    fn seek(&mut self, node: ScanNode<'_>) -> Result<bool> {
        if !self.started {
            self.start(node)?;
        }
        self.advance()
    }

    /// Evaluates the operands and sends the first request; sends none if no record can match.
    fn start(&mut self, node: ScanNode<'_>) -> Result<()> {
        let args = &self.args;
        let mut evaluate = |at: usize| args.get(at).map_or(Value::Null, |arg| node.evaluate(arg));
        let read = self.plan.read.bind(&mut evaluate)?;
        if let Some(read) = read {
            let remote = Remote::open(self.table.server, self.user)?;
            let jobs = remote.connector.read(&read)?;
            if !jobs.is_empty() {
                self.answers = Some(remote.stream(jobs, Arc::clone(&self.meter)));
            }
        }
        self.finished = self.answers.is_none();
        if self.finished
            && let Some(cells) = self.plan.read.grouping.as_ref().and_then(Grouping::of_nothing)
        {
            self.held.push(Page::of_values(1, cells));
        }
        self.started = true;
        Ok(())
    }

    /// Moves to the next record. False at the end.
    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(page) = self.held.pages.get(self.page) {
                if self.row < page.rows() {
                    return Ok(true);
                }
                if self.page + 1 < self.held.pages.len() {
                    self.page += 1;
                    self.row = 0;
                    continue;
                }
            }
            if self.finished {
                return Ok(false);
            }
            let next = match &mut self.answers {
                Some(answers) => answers.receive()?,
                None => None,
            };
            match next {
                Some(page) => {
                    self.held.push(page);
                    self.page = self.held.pages.len() - 1;
                    self.row = 0;
                }
                None => {
                    self.finished = true;
                    self.answers = None;
                }
            }
        }
    }

    /// Puts the current record into the slot and steps on. The row may point into its page, which is let go of only
    /// when the slot is empty again.
    fn fill(&mut self, slot: &mut Slot<'_>) -> Result<()> {
        self.row += 1;
        let (cells, store) = self.held.pages[self.page].row(self.row - 1);
        slot.store(|values, nulls| self.rows.fill(cells, store, values, nulls))
    }

    /// Begins anew: with what is held if that is the beginning and nothing changed, else by asking again.
    pub fn rewind(&mut self, parameters_changed: bool) {
        if !self.supplied && (parameters_changed || !self.held.whole) {
            self.answers = None;
            self.started = false;
            self.finished = false;
            self.declined = false;
            self.held = Held::new(self.held.room);
        }
        self.page = 0;
        self.row = 0;
    }

    /// Lets go of what is under way and of the pages; the rest goes with the executor's memory.
    pub fn end(&mut self) {
        self.answers = None;
        if std::mem::take(&mut self.supplied) {
            supply::give_back(std::mem::take(&mut self.held.pages));
        }
        self.held = Held::new(0);
    }

    /// What the scan has cost so far.
    pub fn counts(&self) -> Counts {
        self.meter.snapshot()
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.end();
    }
}
