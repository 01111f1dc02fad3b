//! Compares what a statement said with what the sandbox holds.

use std::collections::HashMap;
use std::ops::Range;

use super::line::{Held, Line, Statement, Told, name};
use super::strike::Purpose;
use crate::support::{Failure, says};

/// How a statement ended, when all that it said is true.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Done,
    /// Its SQLSTATE.
    Failed(String),
}

/// One statement on `rows` rows. Its rows are counted as it counts them itself: those of a scan in its order.
pub struct Case<'c> {
    pub line: &'c Line<'c>,
    pub statement: Statement,
    pub rows: usize,
    pub mark: &'c str,
    pub before: &'c [Held],
    pub after: &'c [Held],
}

impl Case<'_> {
    /// Errors: in what way it said something else than what is.
    pub fn judge(&self, told: &Told) -> Result<Verdict, String> {
        let landed = self.landed()?;
        let holds = |what: bool, text: &str| if what { Ok(()) } else { Err(text.to_owned()) };
        match &told.outcome {
            Ok(count) => {
                holds(*count as usize == self.rows, &format!("the tag says {count}"))?;
                holds(landed.iter().all(|landed| *landed), "it succeeded, and not every row is written")?;
                holds(told.warnings.is_empty(), "it succeeded with a warning")?;
                holds(
                    told.written.is_empty() && told.unknown.is_empty(),
                    "it succeeded, and something is unconfirmed",
                )?;
                let returns = self.statement == Statement::InsertReturning;
                holds(
                    told.returned == if returns { self.after } else { &[] },
                    "it returned other rows than there are",
                )?;
                Ok(Verdict::Done)
            }
            Err(failure) => {
                let certain = self.certain(&told.warnings)?;
                let doubt = self.doubt(failure, certain)?;
                let (before, rest) = landed.split_at(certain.min(landed.len()));
                holds(before.iter().all(|landed| *landed), "a row is missing that was reported as written")?;
                let (doubted, after) = rest.split_at(doubt.len());
                holds(!after.contains(&true), "a row is written that the statement did not speak of")?;
                let all_or_none = doubted.iter().all(|landed| *landed) || !doubted.contains(&true);
                holds(all_or_none, "a batch is written by half")?;
                holds(told.written == self.keys(0..certain), "sequin.unconfirmed() lists other records as written")?;
                let unknown = if self.statement.inserts() { names(&doubt) } else { self.keys(doubt) };
                holds(told.unknown == unknown, "sequin.unconfirmed() lists other records as unknown")?;
                self.well_told(failure, certain)?;
                Ok(Verdict::Failed(failure.code.clone()))
            }
        }
    }

    /// Which of the rows the API has written. Errors: one is written twice, or wrongly.
    pub fn landed(&self) -> Result<Vec<bool>, String> {
        if self.statement.inserts() {
            let mut count: HashMap<&str, usize> = HashMap::new();
            for held in self.after {
                *count.entry(&held.name).or_default() += 1;
                if held.note.as_deref() != Some(self.mark) {
                    return Err(format!("wrongly written: {held:?}"));
                }
            }
            if let Some((name, times)) = count.iter().find(|(_, times)| **times > 1) {
                return Err(format!("DUPLICATE: {name} is there {times} times"));
            }
            let landed: Vec<_> = (1..=self.rows).map(|row| count.contains_key(&*name(row))).collect();
            let known = landed.iter().filter(|landed| **landed).count();
            return if known == self.after.len() { Ok(landed) } else { Err("records that nobody inserted".to_owned()) };
        }
        let after: HashMap<&str, &Held> = self.after.iter().map(|held| (held.id.as_str(), held)).collect();
        if let Some(new) = self.after.iter().find(|held| !self.before.iter().any(|before| before.id == held.id)) {
            return Err(format!("a record that was not there before: {new:?}"));
        }
        let landed = |before: &Held| {
            let wanted = match self.statement {
                Statement::Update => Some(format!("{} {}", self.mark, before.name)),
                Statement::UpdateDirectly => Some(self.mark.to_owned()),
                _ => None,
            };
            match after.get(before.id.as_str()) {
                None if self.statement.deletes() => Ok(true),
                Some(after) if *after == before => Ok(false),
                Some(after) if wanted.is_some() && after.note == wanted => Ok(true),
                after => Err(format!("{before:?} has become {after:?}")),
            }
        };
        self.before.iter().map(landed).collect()
    }

    /// The rows, counted from 0, of which the failure says that nobody knows.
    fn doubt(&self, failure: &Failure, certain: usize) -> Result<Range<usize>, String> {
        let expected = certain..(certain + self.line.subject.batch).min(self.rows);
        let detail = failure.detail.as_deref().unwrap_or_default();
        let nobody_knows = detail.contains(&format!(
            "Nobody knows whether these were {} ({})",
            self.statement.past(),
            self.line.table
        ));
        match failure.code.as_str() {
            "08007" => {
                let text =
                    format!("It happened with rows {} to {} of the statement.", expected.start + 1, expected.end);
                if !detail.contains(&text) || !nobody_knows {
                    return Err(format!("it does not say: {text}"));
                }
                Ok(expected)
            }
            "57014" if nobody_knows => Ok(expected),
            _ if nobody_knows => Err("only some errors leave something in doubt".to_owned()),
            _ => Ok(0..0),
        }
    }

    fn keys(&self, rows: Range<usize>) -> Vec<String> {
        if !self.statement.inserts() {
            return self.before[rows].iter().map(|held| held.id.clone()).collect();
        }
        let ids: HashMap<_, _> = self.after.iter().map(|held| (held.name.clone(), &held.id)).collect();
        names(&rows).iter().map(|name| ids.get(name).map_or(String::new(), |id| (*id).clone())).collect()
    }

    /// How many records the warning says were written and stay.
    fn certain(&self, warnings: &[Failure]) -> Result<usize, String> {
        match warnings {
            [] => Ok(0),
            [warning] => {
                let told = warning.message.split_once("they stay: ").and_then(|(_, told)| told.split_once(' '));
                let right = |what: &str| what == format!("{} {}", self.line.table, self.statement.past());
                let count = told.filter(|(_, what)| right(what)).and_then(|(count, _)| count.parse().ok());
                count.ok_or_else(|| format!("a warning of another kind: {warning:?}"))
            }
            more => Err(format!("{} warnings", more.len())),
        }
    }

    /// Whether an error has all its fields, and agrees with the warning.
    fn well_told(&self, failure: &Failure, certain: usize) -> Result<(), String> {
        let detail = failure.detail.as_deref().unwrap_or_default();
        let before = match certain {
            0 => None,
            1 => Some("One record was written before, and stays.".to_owned()),
            count => Some(format!("{count} records were written before, and stay.")),
        };
        let context = failure.context.as_deref().unwrap_or_default();
        // Who cancels a statement cancels it whatever it does, and a scan does not know what became of its rows.
        let of_a_write = matches!((self.line.subject.purpose)(context), Purpose::Write | Purpose::ReadBack);
        match before {
            Some(text) if of_a_write && !detail.contains(&text) => return Err(format!("it does not say: {text}")),
            None if detail.contains("written before") => return Err("nothing was written before".to_owned()),
            Some(text) if detail.contains("written before") && !detail.contains(&text) => {
                return Err(format!("it does not say: {text}"));
            }
            _ => {}
        }
        if matches!(failure.code.as_str(), "57014" | "57P01") {
            return Ok(());
        }
        // What an answer to signing in says may be a secret.
        let whole = (says(&failure.detail) || context.contains("/oauth2/"))
            && says(&failure.hint)
            && context.contains("remote request: ")
            && failure.table.as_deref() == Some(self.line.subject.table);
        if whole { Ok(()) } else { Err("the error lacks a field".to_owned()) }
    }
}

fn names(rows: &Range<usize>) -> Vec<String> {
    rows.clone().map(|row| name(row + 1)).collect()
}
