//! What comes back: records cut to the wanted cells.
//!
//! A page is the answer's own bytes and a table of cells that point into them, so that millions of cells cost no
//! allocation each.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;

use crate::value::Value;

/// Something that can be counted against a cap on memory.
pub trait Weigh {
    /// Bytes held.
    fn weight(&self) -> usize;
    /// Rows held, for the counters.
    fn rows(&self) -> usize;
}

/// The cells of one record, in the order in which they were asked for.
pub type Record = Box<[Value]>;

/// One cell of a page: the value, if it is small, or where in the page it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// `units × 10^-scale`. Both are below 10^18 and 19, and a negative one is below zero.
    Decimal {
        units: i64,
        scale: u8,
    },
    /// As in [`Value`], like the next two.
    Date(i32),
    Time(i64),
    Instant(i64),
    Text(Span),
    /// One of the page's values that have no shorter form.
    Other(u32),
}

/// Where in a page's bytes a text stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Bytes `start..end`, from 1 on: the byte before a text is free for whoever reads it. `None` beyond 4 GiB.
    pub fn new(start: usize, end: usize) -> Option<Span> {
        let len = u32::try_from(end.checked_sub(start)?).ok()?;
        (start > 0).then_some(Span { start: u32::try_from(start).ok()?, len })
    }

    /// In bytes.
    pub fn len(self) -> usize {
        self.len as usize
    }
}

/// The cells of some records, row by row.
#[derive(Debug, Default)]
pub struct Table {
    /// Given apart since a record may have no wanted cell.
    pub rows: usize,
    pub cells: Vec<Cell>,
    /// Those that have no shorter form.
    pub values: Vec<Value>,
}

/// Records as one answer brought them. An empty page is not the end of a scan.
#[derive(Debug, Default)]
pub struct Page {
    rows: usize,
    total: Option<u64>,
    cells: Vec<Cell>,
    store: Store,
    shelf: Shelf,
}

/// Where the cells of pages that are done with leave their memory to those of the next: fresh memory costs more than
/// what is written to it.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<Vec<Vec<Cell>>>>);

impl Shelf {
    /// Room for cells, perhaps none yet.
    pub fn take(&self) -> Vec<Cell> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let mut cells = std::mem::take(&mut self.cells);
        cells.clear();
        self.shelf.0.lock().unwrap_or_else(PoisonError::into_inner).push(cells);
    }
}

/// What the cells of a page point to.
#[derive(Debug, Default)]
pub struct Store {
    bytes: BytesMut,
    values: Vec<Value>,
}

impl Table {
    /// Of cells that were read one by one.
    pub fn of_values(rows: usize, cells: Vec<Value>) -> Self {
        let mut values = Vec::new();
        let cells = cells.into_iter().map(|value| Cell::of(value, &mut values)).collect();
        Table { rows, cells, values }
    }
}

impl Page {
    /// `bytes` are those that the table's spans are of; each text is whole and UTF-8. They are let go of if there is none.
    pub fn new(table: Table, bytes: BytesMut, shelf: Shelf) -> Self {
        let Table { rows, cells, values } = table;
        debug_assert!(rows == 0 || cells.len().is_multiple_of(rows));
        let used = cells.iter().any(|cell| matches!(cell, Cell::Text(_)));
        let bytes = if used { bytes } else { BytesMut::new() };
        Page { rows, total: None, cells, store: Store { bytes, values }, shelf }
    }

    /// The same as a part of so many records.
    pub fn of(mut self, total: u64) -> Self {
        self.total = Some(total);
        self
    }

    /// Of values, `cells` row by row.
    pub fn of_values(rows: usize, cells: Vec<Value>) -> Self {
        Page::new(Table::of_values(rows, cells), BytesMut::new(), Shelf::default())
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many records all pages of its query have, where the API tells.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The cells of one record, and what they point to.
    pub fn row(&mut self, at: usize) -> (&[Cell], &mut Store) {
        let width = self.width();
        (&self.cells[at * width..(at + 1) * width], &mut self.store)
    }

    /// One record as values, each on its own.
    pub fn record(&self, at: usize) -> Record {
        let width = self.width();
        self.cells[at * width..(at + 1) * width].iter().map(|cell| self.store.value(*cell)).collect()
    }

    /// One cell as a value.
    pub fn value(&self, row: usize, cell: usize) -> Value {
        self.store.value(self.cells[row * self.width() + cell])
    }

    /// Leaves out the records that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(&[Cell], &Store) -> bool) {
        let (width, mut kept) = (self.width(), 0);
        for row in 0..self.rows {
            let cells = row * width..(row + 1) * width;
            if keep(&self.cells[cells.clone()], &self.store) {
                self.cells.copy_within(cells, kept * width);
                kept += 1;
            }
        }
        self.cells.truncate(kept * width);
        self.rows = kept;
    }

    fn width(&self) -> usize {
        self.cells.len().checked_div(self.rows).unwrap_or(0)
    }
}

impl Cell {
    /// The cell for a value; one without a short form joins `values`.
    pub fn of(value: Value, values: &mut Vec<Value>) -> Cell {
        match value {
            Value::Null => Cell::Null,
            Value::Bool(flag) => Cell::Bool(flag),
            Value::Int(number) => Cell::Int(number),
            Value::Float(number) => Cell::Float(number),
            Value::Date(days) => Cell::Date(days),
            Value::Time(micros) => Cell::Time(micros),
            Value::Instant(micros) => Cell::Instant(micros),
            Value::Decimal(_) | Value::Text(_) | Value::Bytes(_) | Value::Json(_) | Value::List(_) => {
                values.push(value);
                // An answer has fewer bytes than that.
                Cell::Other(u32::try_from(values.len() - 1).unwrap_or(u32::MAX))
            }
        }
    }
}

impl Store {
    /// The bytes of a text with the one before it, which is free to be overwritten, any number of times.
    pub fn spot(&mut self, span: Span) -> &mut [u8] {
        let start = span.start as usize;
        &mut self.bytes[start - 1..start + span.len()]
    }

    /// The value of a cell that points to one; `Null` of any other.
    pub fn other(&self, at: u32) -> &Value {
        self.values.get(at as usize).unwrap_or(&Value::Null)
    }

    /// A cell as a value on its own.
    pub fn value(&self, cell: Cell) -> Value {
        match cell {
            Cell::Null => Value::Null,
            Cell::Bool(flag) => Value::Bool(flag),
            Cell::Int(number) => Value::Int(number),
            Cell::Float(number) => Value::Float(number),
            Cell::Decimal { units, scale } => Value::Decimal(decimal(units, scale).into()),
            Cell::Date(days) => Value::Date(days),
            Cell::Time(micros) => Value::Time(micros),
            Cell::Instant(micros) => Value::Instant(micros),
            Cell::Text(span) => {
                let start = span.start as usize;
                Value::text(String::from_utf8_lossy(&self.bytes[start..start + span.len()]))
            }
            Cell::Other(at) => self.other(at).clone(),
        }
    }
}

fn decimal(units: i64, scale: u8) -> String {
    let (sign, digits) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    match 10u64.checked_pow(scale.into()) {
        Some(one) if scale > 0 => format!("{sign}{}.{:0places$}", digits / one, digits % one, places = scale.into()),
        _ => units.to_string(),
    }
}

impl Weigh for Page {
    fn weight(&self) -> usize {
        let values: usize = self.store.values.iter().map(Value::weight).sum();
        self.store.bytes.len() + size_of_val(self.cells.as_slice()) + values
    }

    fn rows(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_takes_no_more_than_16_bytes() {
        assert_eq!(size_of::<Cell>(), 16);
    }

    #[test]
    fn decimals_keep_the_digits_that_they_came_with() {
        for (units, scale, text) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (150, 2, "1.50"),
            (-5, 2, "-0.05"),
            (999_999_999_999_999_999, 18, "0.999999999999999999"),
            (-999_999_999_999_999_999, 0, "-999999999999999999"),
        ] {
            assert_eq!(decimal(units, scale), text);
        }
    }

    #[test]
    fn records_that_are_left_out_take_their_cells_along() {
        let cells = (0..6).map(Value::Int).collect();
        let mut page = Page::of_values(3, cells);
        page.retain(|cells, _| cells[0] != Cell::Int(2));
        assert_eq!((page.rows(), page.value(1, 1)), (2, Value::Int(5)));
        page.retain(|_, _| false);
        assert_eq!(page.rows(), 0);
    }

    #[test]
    fn a_text_is_the_same_however_often_the_byte_before_it_is_overwritten() {
        let cells = vec![Cell::Text(Span::new(1, 4).unwrap()), Cell::Text(Span::new(5, 5).unwrap())];
        let table = Table { rows: 1, cells, values: Vec::new() };
        let mut page = Page::new(table, BytesMut::from("\"abc\""), Shelf::default());
        for _ in 0..2 {
            let (cells, store) = page.row(0);
            for cell in cells {
                let Cell::Text(span) = cell else { panic!("a text") };
                store.spot(*span)[0] = b'x';
            }
        }
        assert_eq!(*page.record(0), [Value::text("abc"), Value::text("")]);
    }
}
