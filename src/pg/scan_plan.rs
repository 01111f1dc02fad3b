//! What crosses from planner to executor for a scan.

use serde::{Deserialize, Serialize};

use super::executor::ScanNode;
use super::plan_text;
use crate::error::{Error, Kind, Result};
use crate::query::ask::Read;
use crate::schema::Field;

/// A foreign scan as the plan carries it; the expressions that [`Operand::Arg`] counts travel beside it in
/// `fdw_exprs`, where Postgres keeps them up to date.
///
/// [`Operand::Arg`]: crate::query::predicate::Operand::Arg
#[derive(Serialize, Deserialize)]
pub struct ScanPlan {
    pub read: Read,
    /// The OID of the table whose object is read.
    pub table: u32,
    pub outputs: Vec<Output>,
}

/// A column of the scan's rows.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Output {
    /// Counted from 1; of a table's scan the attribute.
    pub place: i16,
    /// The OID of its type, and its modifier.
    pub ty: u32,
    pub modifier: i32,
    /// Which cell of a record it shows.
    pub cell: usize,
    /// The cell that this one is divided by: of an average.
    pub per: Option<usize>,
}

impl ScanPlan {
    pub fn of(node: ScanNode<'_>) -> Result<ScanPlan> {
        // SAFETY: the planner made the list so.
        unsafe { plan_text::from_list(node.private()) }
    }

    /// The outputs, of records whose cells are these.
    pub fn outputs_of(&self, fields: &[Field]) -> Result<Vec<Output>> {
        let cell = |cell: usize| {
            let wanted = &self.read.fields[cell].name;
            fields.iter().position(|field| field.name == *wanted)
        };
        let output = |output: &Output| Some(Output { cell: cell(output.cell)?, ..*output });
        let outputs: Option<Vec<_>> = self.outputs.iter().map(output).collect();
        outputs.ok_or_else(|| Error::new(Kind::Internal, "a field is missing from the records at hand"))
    }

    /// The cell that shows an attribute.
    pub fn cell_of(&self, attribute: i16) -> Option<usize> {
        self.outputs.iter().find(|output| output.place == attribute).map(|output| output.cell)
    }
}
