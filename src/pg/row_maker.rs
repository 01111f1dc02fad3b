//! Rows out of pages.

use super::catalog::Table;
use super::datum::Encoder;
use super::error::Trail;
use super::executor::Slot;
use super::scan_plan::Output;
use crate::error::Result;
use crate::query::page::{Cell, Page};
use crate::schema::Field;

/// How the cells of records become rows.
pub struct RowMaker {
    /// Per column of the rows: where it goes, and how it becomes a datum.
    outputs: Vec<Maker>,
    /// What the cells of a record are.
    fields: Vec<Field>,
    trail: Trail,
}

struct Maker {
    /// Its index among the slot's values.
    place: usize,
    /// Its index among the cells of a record.
    cell: usize,
    /// The cell that this one is divided by.
    per: Option<usize>,
    encoder: Encoder,
}

impl RowMaker {
    /// For records of these fields, shown by `table`. What errors need to name the column lives in the current memory
    /// context.
    pub fn new(table: &Table, fields: &[Field], outputs: &[Output]) -> RowMaker {
        let maker = |output: &Output| Maker {
            place: usize::try_from(output.place - 1).unwrap_or(0),
            cell: output.cell,
            per: output.per,
            encoder: Encoder::new(output.ty.into(), output.modifier),
        };
        let outputs: Vec<Maker> = outputs.iter().map(maker).collect();
        let column = |output: &Maker| {
            let field = &fields[output.cell].name;
            table.column_of(field).map_or_else(|| field.clone(), |column| column.name.clone())
        };
        let names: Vec<_> = outputs.iter().map(column).collect();
        let trail = Trail::new(&table.schema, &table.name, names.iter().map(String::as_str));
        RowMaker { outputs, fields: fields.to_vec(), trail }
    }

    /// Puts a record into an empty slot. The row may point into its page, which must stay until the slot is empty again.
    pub fn fill(&mut self, page: &mut Page, row: usize, slot: &mut Slot<'_>) -> Result<()> {
        let (cells, store) = page.row(row);
        slot.store(|values, nulls| {
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
                        let datum = datum.map_err(|error| error.column(&self.fields[output.cell].name))?;
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
        })
    }
}
