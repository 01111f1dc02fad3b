//! Running a plan: which records, in which order.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

use super::check::{Plan, Sort};
use super::filter::{Filter, Path, Test};
use crate::salesforce::schema::{Field, Kind};
use crate::salesforce::store::{Key, Row, Store};
use crate::salesforce::switches::Switches;
use crate::salesforce::value::Value;

/// With an OFFSET, even 0, a query returns at most so many records (observed; contract, section 5.1).
const OFFSET_CAP: usize = 2000;

/// The value at a path; a null on the way makes it null.
pub fn read(row: &Row<'_>, path: &Path, with_deleted: bool) -> Value {
    let mut row = *row;
    for hop in &path.hops {
        match row.parent(*hop, with_deleted) {
            Some(parent) => row = parent,
            None => return Value::Null,
        }
    }
    match path.at {
        Some(at) => row.value(at),
        None => dynamic(&row, &path.field.name),
    }
}

/// A field of whatever record a polymorphic reference led to.
pub fn dynamic(row: &Row<'_>, field: &str) -> Value {
    if field == "Type" { Value::text(row.definition().name.clone()) } else { row.get(field) }
}

pub struct Runner<'a> {
    pub store: &'a Store,
    pub switches: &'a Switches,
    pub with_deleted: bool,
}

impl<'a> Runner<'a> {
    /// The indexes of the records that a plan selects, LIMIT and OFFSET applied.
    pub fn run(&self, plan: &mut Plan) -> Vec<u32> {
        let mut limit = plan.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let mut offset = 0;
        if let Some(n) = plan.offset {
            offset = n as usize;
            limit = limit.min(OFFSET_CAP);
        }
        // Without an order the scan may end early.
        let natural = plan.order.is_empty() && self.switches.unordered_by_id;
        let enough = if natural { limit.saturating_add(offset) } else { usize::MAX };
        let mut indexes = self.matching(plan, enough);
        if !plan.order.is_empty() {
            self.sort(plan, &mut indexes);
        } else if !natural {
            indexes.sort_by_cached_key(|i| u64::from(*i).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23));
        }
        indexes.drain(..offset.min(indexes.len()));
        indexes.truncate(limit);
        indexes
    }

    /// All records that pass the filter, by index.
    pub fn matching(&self, plan: &mut Plan, enough: usize) -> Vec<u32> {
        if let Some(filter) = &mut plan.filter {
            filter.tests_mut(&mut |test| self.resolve(test));
        }
        let filter = plan.filter.as_ref();
        let passes =
            |row: &Row<'_>| filter.is_none_or(|f| f.passes(&|path| read(row, path, self.with_deleted), self.switches));
        match filter.and_then(|f| self.candidates(plan.object, f)) {
            Some(candidates) => candidates
                .into_iter()
                .filter_map(|index| self.store.row(plan.object, index))
                .filter(|row| (self.with_deleted || !row.is_deleted()) && passes(row))
                .map(|row| row.index)
                .take(enough)
                .collect(),
            None => self
                .store
                .scan(plan.object, self.with_deleted)
                .filter(passes)
                .map(|row| row.index)
                .take(enough)
                .collect(),
        }
    }

    /// Runs a semi-join's inner query.
    fn resolve(&self, test: &mut Test) {
        if let Test::Query { plan, path, negated } = test {
            let rows = self.matching(plan, usize::MAX);
            let row = |index: u32| self.store.row(plan.object, index);
            let ids = rows
                .into_iter()
                .filter_map(row)
                .filter_map(|row| read(&row, path, self.with_deleted).as_id())
                .collect::<HashSet<_>>();
            *test = Test::Ids { ids, negated: *negated };
        }
    }

    /// Records among which all matches are, if an id or an index tells.
    fn candidates(&self, object: usize, filter: &Filter<Path>) -> Option<BTreeSet<u32>> {
        match filter {
            Filter::And(all) => all.iter().find_map(|one| self.candidates(object, one)),
            Filter::Test(Path { hops, at: Some(at), field }, test) if hops.is_empty() => {
                let values: Vec<Value> = match test {
                    Test::Equal { value, negated: false, .. } => vec![value.clone()],
                    Test::In { keys, null: false, negated: false, .. } => {
                        keys.iter().map(value_of).collect::<Option<_>>()?
                    }
                    Test::Ids { ids, negated: false } => ids.iter().map(|id| Value::Id(*id)).collect(),
                    _ => return None,
                };
                let mut found = BTreeSet::new();
                for value in values {
                    if field.kind == Kind::Id {
                        found.extend(
                            value
                                .as_id()
                                .and_then(|id| self.store.by_id(id))
                                .filter(|r| r.object == object)
                                .map(|r| r.index),
                        );
                    } else {
                        found.extend(self.store.lookup(object, *at, &value)?);
                    }
                }
                Some(found)
            }
            _ => None,
        }
    }

    fn sort(&self, plan: &Plan, indexes: &mut [u32]) {
        let keys = |index: &u32| -> Vec<Value> {
            let row = self.store.row(plan.object, *index);
            plan.order
                .iter()
                .map(|sort| row.map_or(Value::Null, |row| read(&row, &sort.by, self.with_deleted)))
                .collect()
        };
        let mut keyed: Vec<(Vec<Value>, u32)> = indexes.iter().map(|i| (keys(i), *i)).collect();
        keyed.sort_by(|(a, i), (b, j)| {
            let fields = plan.order.iter().zip(a.iter().zip(b));
            fields
                .fold(Ordering::Equal, |order, (sort, (a, b))| {
                    order.then_with(|| compare(a, b, &sort.by.field, self.switches, sort.descending, sort.nulls_last))
                })
                // Ties have no order that a client could rely on, but the sandbox is deterministic.
                .then(i.cmp(j))
        });
        for (slot, (_, index)) in indexes.iter_mut().zip(keyed) {
            *slot = index;
        }
    }
}

/// ORDER BY's comparison of two values of a field. Nulls come first in both directions unless asked otherwise.
pub fn compare(
    a: &Value,
    b: &Value,
    field: &Field,
    switches: &Switches,
    descending: bool,
    nulls_last: bool,
) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return if nulls_last { Ordering::Greater } else { Ordering::Less },
        (false, true) => return if nulls_last { Ordering::Less } else { Ordering::Greater },
        (false, false) => {}
    }
    let order = natural(a, b, field, switches);
    if descending { order.reverse() } else { order }
}

/// The order of two values of a field that are not null.
pub fn natural(a: &Value, b: &Value, field: &Field, switches: &Switches) -> Ordering {
    if field.kind == Kind::Picklist && switches.picklist_order {
        let rank = |v: &Value| field.picklist.iter().position(|p| v.as_text() == Some(p)).unwrap_or(usize::MAX);
        let order = rank(a).cmp(&rank(b));
        if order.is_ne() {
            return order;
        }
    }
    a.compare(b, field.case_sensitive).unwrap_or(Ordering::Equal)
}

impl<L> Sort<L> {
    pub fn compare(&self, a: &Value, b: &Value, field: &Field, switches: &Switches) -> Ordering {
        compare(a, b, field, switches, self.descending, self.nulls_last)
    }
}

/// Only ids and texts are looked up in an index.
fn value_of(key: &Key) -> Option<Value> {
    match key {
        Key::Id(id) => Some(Value::Id(*id)),
        Key::Text(text) => Some(Value::text(text.clone())),
        _ => None,
    }
}
