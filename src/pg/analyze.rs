//! ANALYZE: a sample of an object's records, by a bounded number of requests.
//!
//! An object of a few pages is read whole. Of a larger one the first page of each of several spans of time is read, by
//! when records were made: see [`sample`](mod@crate::query::sample). One that has no such field is read from its
//! beginning.
//! <https://www.postgresql.org/docs/current/fdw-callbacks.html#FDW-CALLBACKS-ANALYZE>

use std::sync::Arc;

use pgrx::{PgLogLevel, PgMemoryContexts, PgRelation, PgSqlErrorCode, pg_sys};

use super::catalog::Table;
use super::memory::{message, within};
use super::row::Rows;
use super::scan_plan::Output;
use super::session::Remote;
use super::version;
use crate::connector::machine::Job;
use crate::error::{Error, Kind, Result};
use crate::http::meter::Meter;
use crate::query::ask::{Access, Aggregate, Ask, BoundRead, Function, Grouping};
use crate::query::page::Page;
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::query::push::Support;
use crate::query::sample::{MAX_PAGES, evenly, shares, spans};
use crate::schema::{Field, Object};
use crate::value::{Type, Value};

/// Records that would fill a block of a local table. Foreign children of a table get a share of its sample by blocks.
const BLOCK_RECORDS: f64 = 50.0;

/// Rows that stand for an object, and how many records it has.
pub struct Sample {
    pub rows: Vec<pg_sys::HeapTuple>,
    pub records: f64,
}

/// Whether no user asks for statistics: autovacuum spends no requests.
pub fn is_unasked() -> bool {
    // SAFETY: reads a global of the backend.
    unsafe { pg_sys::MyBackendType == pg_sys::BackendType::B_AUTOVAC_WORKER }
}

/// How large the table would be here, as far as is known before anything is asked.
pub fn blocks(table: pg_sys::Oid, counted: f64) -> Result<u32> {
    let told = Table::read(table)?.object.estimated_rows.map_or(0.0, |rows| rows as f64);
    let records = if counted < 0.0 { told } else { counted };
    Ok((records / BLOCK_RECORDS).clamp(1.0, 1e9) as u32)
}

/// Takes a sample of at most so many rows, as the current user, who is the table's owner. The rows are in the current
/// memory context.
pub fn sample(table: pg_sys::Oid, most: usize, level: i32) -> Result<Sample> {
    let table = Table::read(table)?;
    take(&table, most, level).map_err(|error| table.locate(error))
}

fn take(table: &Table, most: usize, level: i32) -> Result<Sample> {
    let columns = table.columns().iter();
    let columns = columns.filter(|column| version::statistics_target(table.oid, column.attribute) != 0);
    let output = |(cell, column): (usize, &super::catalog::Column)| Output {
        place: column.attribute,
        ty: column.type_oid.to_u32(),
        modifier: column.modifier,
        cell,
        per: None,
    };
    let columns: Vec<_> = columns.collect();
    let outputs: Vec<_> = columns.iter().copied().enumerate().map(output).collect();
    let fields: Vec<_> = columns.iter().map(|column| table.object.fields[column.field].clone()).collect();

    // SAFETY: reads the backend's current user.
    let user = unsafe { pg_sys::GetUserId() };
    let remote = Remote::open(table.server, user)?;
    let reader = Reader { remote: &remote, object: &table.object, meter: Arc::default() };
    let (mut parts, records) = reader.parts(&fields, most)?;

    // SAFETY: the caller's statement holds a lock on the table.
    let relation = unsafe { PgRelation::open(table.oid) };
    let mut maker = Rows::new(table, &fields, &outputs);
    let width = relation.tuple_desc().len();
    let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); width], vec![true; width]);
    // What a row is made of goes when the row is made.
    let mut scratch = PgMemoryContexts::new("sequin_fdw sample");
    let given: Vec<_> = parts.iter().map(|(records, page)| (*records, page.rows())).collect();
    let mut rows = Vec::new();
    for ((_, page), take) in parts.iter_mut().zip(shares(&given, most)) {
        for at in evenly(take, page.rows()) {
            nulls.fill(true);
            let (cells, store) = page.row(at);
            // SAFETY: a live context.
            unsafe { within(scratch.value(), || maker.fill(cells, store, &mut values, &mut nulls)) }?;
            let descriptor = relation.tuple_desc().as_ptr();
            // SAFETY: a value and a null flag for each attribute of the table; the tuple is a copy of them.
            rows.push(unsafe { pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr()) });
            // SAFETY: nothing of the row is in use any more.
            unsafe { scratch.reset() };
        }
    }
    report(&table.name, rows.len(), records, reader.meter.snapshot().requests, level);
    Ok(Sample { rows, records: records as f64 })
}

/// What `ANALYZE VERBOSE` tells.
fn report(table: &str, rows: usize, records: u64, requests: u64, level: i32) {
    let text =
        format!("\"{table}\": the object has about {records} records, {rows} rows in sample, {requests} requests");
    let success = PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION;
    pgrx::ereport!(PgLogLevel::from(level), success, message(&text).into_owned());
}

/// Reads what a sample is made of.
struct Reader<'r> {
    remote: &'r Remote,
    object: &'r Object,
    meter: Arc<Meter>,
}

impl Reader<'_> {
    /// Pages, each with the number of records that it stands for, and the number of all records.
    fn parts(&self, fields: &[Field], most: usize) -> Result<(Vec<(u64, Page)>, u64)> {
        let whole = self.read(fields, Vec::new())?;
        let Some(whole) = whole else { return Err(Error::new(Kind::Internal, "the object cannot be read")) };
        let mut answers = self.start(vec![whole])?;
        let Some(first) = answers.receive()? else { return Ok((Vec::new(), 0)) };
        let total = first.total();
        let fits = total.is_none_or(|total| total <= most.min(MAX_PAGES * first.rows()) as u64);
        if let Some(total) = total.filter(|_| !fits) {
            let parts = self.spans(fields, most)?;
            if !parts.is_empty() {
                drop(answers);
                let mut pages = Vec::new();
                let mut answers = self.start(parts)?;
                while let Some(page) = answers.receive()? {
                    pages.push((page.total().unwrap_or(page.rows() as u64), page));
                }
                return Ok((pages, total));
            }
        }
        let mut pages = vec![first];
        let mut read = pages[0].rows();
        let mut ended = false;
        while !ended && pages.len() < MAX_PAGES && read < most {
            match answers.receive()? {
                Some(page) => {
                    read += page.rows();
                    pages.push(page);
                }
                None => ended = true,
            }
        }
        let read = read as u64;
        let records = match total {
            _ if ended => read,
            Some(total) => total,
            None => self.count()?.unwrap_or(read),
        };
        Ok((pages.into_iter().map(|page| (page.rows() as u64, page)).collect(), records.max(read)))
    }

    fn start(&self, reads: Vec<BoundRead>) -> Result<super::session::Answers<Page>> {
        let mut jobs: Vec<Job<Page>> = Vec::new();
        for read in &reads {
            jobs.extend(self.remote.connector.read(read)?);
        }
        Ok(self.remote.stream(jobs, Arc::clone(&self.meter)))
    }

    /// A read of the records that these conditions let through; `None` unless the API decides them exactly.
    fn read(&self, fields: &[Field], clauses: Vec<Predicate>) -> Result<Option<BoundRead>> {
        let fields = fields.to_vec();
        let access = self.access(Ask { fields: fields.clone(), clauses, order: Vec::new(), grouping: None });
        let exact = |access: &Access| access.covers.iter().all(|(support, _)| *support == Support::Exact);
        Ok(access.filter(exact).map(|access| {
            let filter = Predicate::all(access.covers.into_iter().map(|(_, predicate)| predicate));
            BoundRead::new(&self.object.name, fields, filter, access.wire)
        }))
    }

    fn access(&self, ask: Ask) -> Option<Access> {
        self.remote.connector.accesses(self.object, &ask).into_iter().next()
    }

    /// Reads of the first pages of spans of time that cover the object, for so many rows in all; none if it cannot be
    /// cut so.
    fn spans(&self, fields: &[Field], most: usize) -> Result<Vec<BoundRead>> {
        let Some(made_at) = self.remote.connector.made_at(self.object) else { return Ok(Vec::new()) };
        let extreme = |function| Aggregate { function, field: Some(made_at.clone()), ty: Type::Instant };
        let aggregates = vec![extreme(Function::Min), extreme(Function::Max)];
        let grouping = Grouping { keys: Vec::new(), aggregates, having: Vec::new() };
        let ask = Ask { fields: Vec::new(), clauses: Vec::new(), order: Vec::new(), grouping: Some(grouping.clone()) };
        let Some(access) = self.access(ask).filter(|access| access.grouped) else { return Ok(Vec::new()) };
        let cells = grouping.cells();
        let read = BoundRead {
            grouping: Some(grouping),
            ..BoundRead::new(&self.object.name, cells, Predicate::True, access.wire)
        };
        let answer = match self.start(vec![read])?.receive() {
            Err(error) if error.kind() == Kind::TooComplex => return Ok(Vec::new()),
            answer => answer?,
        };
        let cells = answer.filter(|page| page.rows() == 1).map(|page| page.record(0));
        let Some([Value::Instant(first), Value::Instant(last)]) = cells.as_deref() else { return Ok(Vec::new()) };
        let bound = |op, at: i64| Predicate::Compare {
            field: made_at.clone(),
            op,
            operand: Operand::Value(Value::Instant(at)),
        };
        let mut reads = Vec::new();
        for (from, until) in spans(*first, *last, MAX_PAGES - 1) {
            let from = from.map(|at| bound(Comparison::Ge, at));
            let until = until.map(|at| bound(Comparison::Lt, at));
            let Some(read) = self.read(fields, from.into_iter().chain(until).collect())? else {
                return Ok(Vec::new());
            };
            reads.push(BoundRead { first_page: true, expected: Some(most.div_ceil(MAX_PAGES - 1) as u64), ..read });
        }
        Ok(reads)
    }

    /// What the API says how many records there are.
    fn count(&self) -> Result<Option<u64>> {
        let Some(job) = self.remote.connector.counts(std::slice::from_ref(&self.object.name)) else {
            return Ok(None);
        };
        let counts = self.remote.collect(vec![job])?;
        Ok(counts.into_iter().flatten().next().map(|(_, records)| records))
    }
}
