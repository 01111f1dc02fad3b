//! Figures: how much ran, how it ended, which conditions were asked of the API.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::condition::{Condition, Use};
use super::subject::Subject;

#[derive(Default)]
pub struct Tally {
    pub queries: usize,
    pub executions: usize,
    pub rows: usize,
    /// Executions that give no row.
    pub empty: usize,
    /// Executions that fail on both sides, and how many of them with different codes.
    pub errors: usize,
    pub other_codes: usize,
    /// With pushdown on, and off.
    pub requests: [usize; 2],
    conjuncts: BTreeMap<String, Figure>,
}

/// Conjuncts of one kind that the API can say.
#[derive(Default)]
struct Figure {
    all: usize,
    asked: usize,
    /// The seed of the first that was not asked.
    missed: Option<u64>,
}

impl Tally {
    /// Counts the conjuncts of a query whose plan is this.
    pub fn count(&mut self, subject: &Subject, seed: u64, conjuncts: &[Condition], plan: &Value) {
        let mut scans = Vec::new();
        collect(plan, &mut scans);
        for conjunct in conjuncts {
            let Some(uses) = &conjunct.yes else { continue };
            // Where another conjunct is about the same field, nobody can tell which one is asked.
            let alone = uses.iter().all(|used| {
                let others = conjuncts.iter().filter(|other| !std::ptr::eq(*other, conjunct));
                !others.filter_map(|other| other.yes.as_ref()).any(|others| others.contains(used))
            });
            if !alone || uses.is_empty() {
                continue;
            }
            let figure = self.conjuncts.entry(conjunct.kind.clone()).or_default();
            figure.all += 1;
            if uses.iter().all(|used| is_asked(subject, used, &scans)) {
                figure.asked += 1;
            } else {
                figure.missed.get_or_insert(seed);
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} queries, {} executions; locally {} rows, {} times none; {} fail on both sides, {} of them with different codes; {} requests, {} without pushdown",
            self.queries,
            self.executions,
            self.rows,
            self.empty,
            self.errors,
            self.other_codes,
            self.requests[0],
            self.requests[1]
        )?;
        let percent = |all: usize, asked: usize| asked as f64 * 100.0 / all.max(1) as f64;
        let sum = |of: fn(&Figure) -> usize| self.conjuncts.values().map(of).sum();
        let (all, asked) = (sum(|figure| figure.all), sum(|figure| figure.asked));
        writeln!(f, "of {all} conjuncts that the API can say, {asked} are pushed: {:.1} %", percent(all, asked))?;
        for (kind, Figure { all, asked, missed }) in &self.conjuncts {
            let missed = missed.map(|seed| format!("   not in {seed}")).unwrap_or_default();
            writeln!(f, "  {kind:<24} {all:>6} {asked:>6} {:>6.1} %{missed}", percent(*all, *asked))?;
        }
        Ok(())
    }
}

/// One foreign scan of a plan.
struct Scan {
    /// None if it is more than one table.
    alias: Option<String>,
    query: String,
}

fn collect(plan: &Value, scans: &mut Vec<Scan>) {
    match plan {
        Value::Array(list) => list.iter().for_each(|part| collect(part, scans)),
        Value::Object(node) => {
            if let Some(query) = node.get("Remote Query").and_then(Value::as_str) {
                let alias = node.get("Alias").and_then(Value::as_str).map(str::to_owned);
                scans.push(Scan { alias, query: query.to_owned() });
            }
            node.values().for_each(|part| collect(part, scans));
        }
        _ => {}
    }
}

/// Whether the remote query has a condition on a field. A table that is not scanned at all leaves nothing to ask.
fn is_asked(subject: &Subject, used: &Use, scans: &[Scan]) -> bool {
    let own: Vec<&Scan> = scans.iter().filter(|scan| scan.alias.as_deref() == Some(&used.alias)).collect();
    let joined = || scans.iter().filter(|scan| scan.alias.is_none()).collect::<Vec<_>>();
    let candidates = if own.is_empty() { joined() } else { own };
    candidates.is_empty()
        || candidates.iter().any(|scan| {
            let mut words = (subject.filter)(&scan.query).split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            scan.query.starts_with("nothing") || words.any(|word| word == used.word)
        })
}
