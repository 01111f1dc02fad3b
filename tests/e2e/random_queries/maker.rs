//! What conditions and queries are made with: chance, the tables, the parameters so far.

use super::draw::Draw;
use super::fixture::{Class, Column, Table};
use super::subject::Subject;
use super::values;

/// A table in FROM.
#[derive(Clone)]
pub struct Source<'t> {
    pub alias: String,
    pub table: &'t Table,
    /// It is no side of an outer join that NULLs may stand for.
    pub firm: bool,
}

impl Source<'_> {
    /// What stands in FROM.
    pub fn named(&self) -> String {
        format!("{} AS {}", self.table.path, self.alias)
    }

    pub fn key(&self) -> String {
        format!("{}.{}", self.alias, self.table.key)
    }
}

/// A parameter of a prepared statement: its type, and an expression for each execution.
pub struct Parameter {
    pub ty: String,
    pub values: Vec<String>,
}

pub struct Maker<'t> {
    pub draw: Draw,
    pub subject: &'t Subject,
    pub tables: &'t [Table],
    /// How often the statement is executed; 0 if it is not prepared.
    pub executions: usize,
    pub parameters: Vec<Parameter>,
    aliases: usize,
}

impl<'t> Maker<'t> {
    pub fn new(seed: u64, subject: &'t Subject, tables: &'t [Table]) -> Maker<'t> {
        Maker { draw: Draw::new(seed), subject, tables, executions: 0, parameters: Vec::new(), aliases: 0 }
    }

    pub fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    pub fn table(&mut self) -> &'t Table {
        &self.tables[self.draw.below(self.tables.len())]
    }

    pub fn named(&self, name: &str) -> &'t Table {
        self.tables.iter().find(|table| table.name == name).expect("a reference leads to a table of ours")
    }

    pub fn source(&mut self, table: &'t Table) -> Source<'t> {
        Source { alias: self.alias(), table, firm: true }
    }

    pub fn one_of<'s>(&mut self, sources: &'s [Source<'t>]) -> &'s Source<'t> {
        &sources[self.draw.below(sources.len())]
    }

    /// A column of one of these classes, if there is one; of any class if there are none given.
    pub fn column(&mut self, table: &'t Table, classes: &[Class]) -> Option<&'t Column> {
        let fitting: Vec<&Column> =
            table.columns.iter().filter(|column| classes.is_empty() || classes.contains(&column.class)).collect();
        fitting.get(self.draw.below(fitting.len())).copied()
    }

    /// The parameter `$n` whose values come from `draw`, if the statement is prepared.
    pub fn parameter(&mut self, ty: &str, value: impl Fn(&mut Draw) -> String) -> Option<String> {
        if self.executions == 0 || self.parameters.len() > 6 {
            return None;
        }
        let values = (0..self.executions).map(|_| value(&mut self.draw)).collect();
        self.parameters.push(Parameter { ty: ty.to_owned(), values });
        Some(format!("${}", self.parameters.len()))
    }

    /// `value`, half of the time as a parameter if the statement is prepared.
    pub fn given(&mut self, ty: &str, value: impl Fn(&mut Draw) -> String) -> String {
        if self.draw.hit(0.5)
            && let Some(parameter) = self.parameter(ty, &value)
        {
            return parameter;
        }
        value(&mut self.draw)
    }

    /// What a column may be compared with: known when a scan starts. NULL now and then.
    pub fn operand(&mut self, column: &'t Column) -> String {
        let ty = &column.ty;
        if self.executions > 0 && self.draw.hit(0.5) {
            let some = |draw: &mut Draw| if draw.hit(0.03) { "NULL".to_owned() } else { values::value(draw, column) };
            if let Some(parameter) = self.parameter(ty, some) {
                return parameter;
            }
        }
        match self.draw.below(24) {
            0 => format!("NULL::{ty}"),
            1 => format!("(SELECT {})", values::value(&mut self.draw, column)),
            2 if !matches!(column.class, Class::Flag | Class::Several | Class::Json) => {
                let table = self.holder(column);
                let function = self.draw.one(&["min", "max"]);
                format!("(SELECT {function}(x.\"{}\") FROM {table} AS x)", column.name)
            }
            3 | 4 if column.class == Class::Moment => format!("now() - interval '{} days'", self.draw.below(4000)),
            3 | 4 if column.class == Class::Date => format!("current_date - {}", self.draw.below(20_000)),
            // Without a type of its own, as people write it.
            5..=8 if !column.held.is_empty() && column.class != Class::Several => {
                super::draw::quote(&column.held[self.draw.below(column.held.len())])
            }
            _ => values::value(&mut self.draw, column),
        }
    }

    fn holder(&self, column: &Column) -> &'t str {
        let holds = |table: &&Table| table.columns.iter().any(|other| std::ptr::eq(other, column));
        self.tables.iter().find(holds).map_or("", |table| &table.path)
    }
}

/// A column of a source, as SQL.
pub fn of(source: &Source<'_>, column: &Column) -> String {
    format!("{}.\"{}\"", source.alias, column.name)
}

/// A reference's column as one key: of several, the first.
pub fn reference(source: &Source<'_>, column: &Column) -> String {
    let first = if column.class == Class::Several { "[1]" } else { "" };
    format!("{}{first}", of(source, column))
}
