//! Rows out of cells.

use pgrx::pg_sys::Datum;

use super::catalog::Table;
use super::datum::Encoder;
use super::error::Trail;
use super::scan_plan;
use crate::error::Result;
use crate::query::page::{Cell, Store};
use crate::schema::Field;

/// Makes rows of records.
pub struct Rows {
    outputs: Vec<Output>,
    /// Per output what its cell is called at the API.
    names: Vec<String>,
    trail: Trail,
}

/// Where a cell goes, and how it becomes a datum.
struct Output {
    /// Its index among a row's values.
    place: usize,
    /// Its index among the cells of a record.
    cell: usize,
    /// The cell that this one is divided by.
    per: Option<usize>,
    encoder: Encoder,
}

impl Rows {
    /// Of records with these fields. What is needed to report an error lives in the current memory context.
    pub fn new(table: &Table, fields: &[Field], outputs: &[scan_plan::Output]) -> Rows {
        let names: Vec<_> = outputs.iter().map(|output| fields[output.cell].name.clone()).collect();
        let column = |field| table.column_of(field).map_or(field, |column| column.name.as_str());
        let trail = Trail::new(&table.schema, &table.name, names.iter().map(|field| column(field)));
        let output = |output: &scan_plan::Output| Output {
            place: usize::try_from(output.place - 1).unwrap_or(0),
            cell: output.cell,
            per: output.per,
            encoder: Encoder::new(output.ty.into(), output.modifier),
        };
        Rows { outputs: outputs.iter().map(output).collect(), names, trail }
    }

    /// Sets the values that a record has; all others stay as they are. They may point into `store`.
    pub fn fill(&mut self, cells: &[Cell], store: &mut Store, values: &mut [Datum], nulls: &mut [bool]) -> Result<()> {
        for (at, output) in self.outputs.iter_mut().enumerate() {
            let cell = cells[output.cell];
            let datum = match output.encoder.encode_plain(cell, store) {
                Some(datum) if output.per.is_none() => Some(datum),
                _ if matches!(cell, Cell::Null) => None,
                _ => {
                    self.trail.enter(at);
                    let datum = match output.per {
                        None => output.encoder.encode_cell(cell, store),
                        Some(per) => output.encoder.quotient(&store.value(cell), &store.value(cells[per])),
                    };
                    let datum = datum.map_err(|error| error.column(&self.names[at]))?;
                    self.trail.leave();
                    datum
                }
            };
            if let Some(datum) = datum {
                values[output.place] = datum;
                nulls[output.place] = false;
            }
        }
        Ok(())
    }
}
