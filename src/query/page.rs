//! What comes back: records cut to the wanted cells.

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

/// Records as one answer brought them. An empty page is not the end of a scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    rows: usize,
    cells: Vec<Value>,
}

impl Page {
    /// `cells` row by row; `rows` is given apart since a record may have no wanted cell.
    pub fn new(rows: usize, cells: Vec<Value>) -> Self {
        debug_assert!(rows == 0 || cells.len().is_multiple_of(rows));
        Page { rows, cells }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The cells of one record.
    pub fn row(&self, at: usize) -> &[Value] {
        let width = self.cells.len().checked_div(self.rows).unwrap_or(0);
        &self.cells[at * width..(at + 1) * width]
    }
}

impl Weigh for Page {
    fn weight(&self) -> usize {
        self.cells.iter().map(Value::weight).sum()
    }

    fn rows(&self) -> usize {
        self.rows
    }
}
