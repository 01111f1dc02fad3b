//! GROUP BY, HAVING and aggregate functions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ast::Function;
use super::check::{Aggregation, Cell, Plan};
use super::eval::{Runner, natural, read};
use super::filter::Path;
use crate::salesforce::error::{ApiError, Result};
use crate::salesforce::generate::Source;
use crate::salesforce::number::Decimal;
use crate::salesforce::schema::{Field, Kind};
use crate::salesforce::store::{Key, Row};
use crate::salesforce::switches::Switches;
use crate::salesforce::value::Value;

/// Groups cannot be paged.
const GROUP_LIMIT: usize = 2000;

/// The field that an aggregate's result behaves like.
pub fn result_field((function, path): &(Function, Path)) -> Arc<Field> {
    let field = |kind| Arc::new(Field::new("expr", kind, Source::None));
    match function {
        Function::Count | Function::CountDistinct => field(Kind::Int),
        Function::Avg => field(Kind::Double),
        Function::Sum if matches!(path.field.kind, Kind::Int | Kind::Long) => field(Kind::Long),
        Function::Sum => field(Kind::Double),
        Function::Min | Function::Max => path.field.clone(),
    }
}

/// The outputs of one group.
pub type ResultRow = Vec<(Value, Arc<Field>)>;

struct Group {
    keys: Vec<Value>,
    states: Vec<State>,
}

/// What is kept of a group for one aggregate.
#[derive(Default)]
struct State {
    count: u64,
    sum: Option<Decimal>,
    best: Option<Value>,
    distinct: HashSet<Key>,
}

impl State {
    fn add(&mut self, value: Value, function: Function, field: &Field, switches: &Switches) {
        if value.is_null() {
            return;
        }
        self.count += 1;
        match function {
            Function::Count => {}
            Function::CountDistinct => {
                self.distinct.insert(Key::new(&value, field.case_sensitive || !switches.distinct_merges_case));
            }
            Function::Sum | Function::Avg => {
                if let Value::Number(n) = value {
                    self.sum = Some(self.sum.map_or(n, |sum| sum.plus(n)));
                }
            }
            Function::Min | Function::Max => {
                let better = self.best.as_ref().is_none_or(|best| {
                    let order = natural(&value, best, field, switches);
                    if function == Function::Min { order.is_lt() } else { order.is_gt() }
                });
                if better {
                    self.best = Some(value);
                }
            }
        }
    }

    fn result(&self, function: Function) -> Value {
        let number = |n: Option<Decimal>| n.map_or(Value::Null, Value::Number);
        match function {
            Function::Count => Value::whole(self.count),
            Function::CountDistinct => Value::whole(self.distinct.len() as u64),
            Function::Sum => number(self.sum),
            Function::Avg => number(self.sum.map(|sum| sum.divided_by(self.count))),
            Function::Min | Function::Max => self.best.clone().unwrap_or(Value::Null),
        }
    }
}

impl Runner<'_> {
    /// The rows of an aggregate query: for each, the values of its outputs with the fields they behave like.
    pub fn aggregate(&self, plan: &mut Plan, it: &Aggregation) -> Result<Vec<ResultRow>> {
        let rows = self.matching(plan, usize::MAX);
        let mut groups: Vec<Group> = Vec::new();
        let mut known: HashMap<Vec<Key>, usize> = HashMap::new();
        for row in rows.into_iter().filter_map(|index| self.store.row(plan.object, index)) {
            let keys: Vec<Value> = it.keys.iter().map(|path| read(&row, path, self.with_deleted)).collect();
            let identity = it.keys.iter().zip(&keys);
            let identity = identity
                .map(|(p, v)| Key::new(v, p.field.case_sensitive || !self.switches.group_merges_case))
                .collect();
            let group = *known.entry(identity).or_insert_with(|| {
                groups.push(self.group(keys, it));
                groups.len() - 1
            });
            self.add(&row, it, &mut groups[group]);
        }
        // Without GROUP BY there is one group, even of nothing.
        if it.keys.is_empty() && groups.is_empty() {
            groups.push(self.group(Vec::new(), it));
        }
        let cell = |group: &Group, cell: &Cell| match cell {
            Cell::Key(n) => group.keys[*n].clone(),
            Cell::Call(n) => group.states[*n].result(it.calls[*n].0),
        };
        let field = |cell: &Cell| match cell {
            Cell::Key(n) => it.keys[*n].field.clone(),
            Cell::Call(n) => result_field(&it.calls[*n]),
        };
        groups.retain(|group| it.having.as_ref().is_none_or(|h| h.passes(&|c| cell(group, c), self.switches)));
        groups.sort_by(|a, b| {
            it.order.iter().fold(std::cmp::Ordering::Equal, |order, sort| {
                order
                    .then_with(|| sort.compare(&cell(a, &sort.by), &cell(b, &sort.by), &field(&sort.by), self.switches))
            })
        });
        groups.drain(..plan.offset.map_or(0, |n| n as usize).min(groups.len()));
        if let Some(limit) = plan.limit {
            groups.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        if groups.len() > GROUP_LIMIT {
            let message =
                "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch";
            return Err(ApiError::bad("EXCEEDED_ID_LIMIT", message));
        }
        let output = |group: &Group| it.outputs.iter().map(|(_, c)| (cell(group, c), field(c))).collect();
        Ok(groups.iter().map(output).collect())
    }

    fn group(&self, keys: Vec<Value>, it: &Aggregation) -> Group {
        Group { keys, states: it.calls.iter().map(|_| State::default()).collect() }
    }

    fn add(&self, row: &Row<'_>, it: &Aggregation, group: &mut Group) {
        for ((function, path), state) in it.calls.iter().zip(&mut group.states) {
            state.add(read(row, path, self.with_deleted), *function, &path.field, self.switches);
        }
    }
}
