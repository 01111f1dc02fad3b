//! A whole read: what the planner proposes, what a connector makes of it, what the plan carries.

use serde::{Deserialize, Serialize};

use super::predicate::{Operand, Predicate};
use super::push::Support;
use crate::error::{Error, Kind, Result};
use crate::schema::{Capabilities, Field};
use crate::value::{Type, Value};

/// What a scan wants of one object, as the planner sees it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The fields that the statement needs, in no particular order. Perhaps none: then rows are counted.
    pub fields: Vec<Field>,
    /// Conditions that must all hold.
    pub clauses: Vec<Predicate>,
    /// The order in which the statement needs the records; none if any does.
    pub order: Vec<SortKey>,
    /// What the statement makes of the records, instead of reading `fields`.
    pub grouping: Option<Grouping>,
}

/// Records made into groups, and what is told of each: `GROUP BY` and aggregate functions. Without keys all records
/// are one group, even if there are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grouping {
    pub keys: Vec<Field>,
    pub aggregates: Vec<Aggregate>,
    /// Conditions on [`Grouping::cells`] that a group must meet.
    pub having: Vec<Predicate>,
}

/// An aggregate function of a field; NULLs do not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    pub function: Function,
    /// `None` where records are counted.
    pub field: Option<Field>,
    /// What its result is here.
    pub ty: Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    Count,
    CountDistinct,
    Sum,
    Min,
    Max,
}

impl Grouping {
    /// What the cells of a group are: its keys, then its aggregates under the names [`Grouping::alias`] gives.
    pub fn cells(&self) -> Vec<Field> {
        let aggregate = |(at, aggregate): (usize, &Aggregate)| Field {
            name: Grouping::alias(at),
            label: None,
            ty: aggregate.ty,
            remote_type: match (&aggregate.field, aggregate.function) {
                (Some(field), Function::Min | Function::Max) => field.remote_type.clone(),
                _ => String::new(),
            },
            key: false,
            references: None,
            capabilities: Capabilities::default(),
        };
        self.keys.iter().cloned().chain(self.aggregates.iter().enumerate().map(aggregate)).collect()
    }

    /// The name of the n-th aggregate.
    pub fn alias(at: usize) -> String {
        format!("agg{at}")
    }

    /// The one group of no records at all; `None` if there are keys: then there is no group.
    pub fn of_nothing(&self) -> Option<Vec<Value>> {
        let cell = |aggregate: &Aggregate| match aggregate.function {
            Function::Count | Function::CountDistinct => Value::Int(0),
            _ => Value::Null,
        };
        self.keys.is_empty().then(|| self.aggregates.iter().map(cell).collect())
    }
}

/// One field that records are ordered by, as Postgres orders values of its type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SortKey {
    pub field: Field,
    pub descending: bool,
    pub nulls_first: bool,
}

/// One way to read an object. Capability is decided for the whole request, not clause by clause.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// For each clause of the [`Ask`]: how well it is covered, and what is pushed for it.
    pub covers: Vec<(Support, Predicate)>,
    /// Whether LIMIT may be added, given that all clauses are exact.
    pub limit: bool,
    /// Whether the records can come in the order that was asked for.
    pub order: bool,
    /// Whether the API can make the groups that were asked for, given that all clauses are exact.
    pub grouped: bool,
    /// What is pushed of HAVING. All of it is tested again here: groups are few.
    pub having: Vec<Predicate>,
    /// Records in one page.
    pub page_rows: u32,
    /// The connector's own choice (which endpoint, which index), handed back to it when reading.
    pub wire: serde_json::Value,
}

/// A read as the plan carries it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Read {
    /// The API's own name of the object.
    pub object: String,
    /// The cells of a record, in this order. Of a grouped read [`Grouping::cells`].
    pub fields: Vec<Field>,
    pub grouping: Option<Grouping>,
    /// Pushed conditions that must all hold.
    pub filter: Vec<Predicate>,
    pub order: Vec<SortKey>,
    /// Records that are wanted, besides those of `offset`.
    pub limit: Option<Operand>,
    /// Records at the beginning that Postgres throws away.
    pub offset: Option<Operand>,
    /// See [`BoundRead::expected`].
    pub expected: Option<u64>,
    pub wire: serde_json::Value,
}

/// A read whose operands have values: ready to be sent.
#[derive(Clone, Debug)]
pub struct BoundRead {
    pub object: String,
    pub fields: Vec<Field>,
    pub grouping: Option<Grouping>,
    /// As [`Predicate::bind`] leaves it, and never `False`.
    pub filter: Predicate,
    pub order: Vec<SortKey>,
    /// At least 1.
    pub limit: Option<u64>,
    /// About how many records will be taken of it, where that may be less than all: no page need be larger.
    pub expected: Option<u64>,
    /// Whether its first page will do.
    pub first_page: bool,
    pub wire: serde_json::Value,
}

impl BoundRead {
    /// All records that match, in no order.
    pub fn new(object: &str, fields: Vec<Field>, filter: Predicate, wire: serde_json::Value) -> BoundRead {
        BoundRead {
            object: object.to_owned(),
            fields,
            grouping: None,
            filter,
            order: Vec::new(),
            limit: None,
            expected: None,
            first_page: false,
            wire,
        }
    }
}

impl Read {
    /// Whether there may be any number of groups.
    pub fn has_groups(&self) -> bool {
        self.grouping.as_ref().is_some_and(|grouping| !grouping.keys.is_empty())
    }

    /// Puts in the values of the plan's expressions, which `lookup` evaluates when they are needed. `None` if no
    /// record can match: nothing is asked.
    ///
    /// Errors: 2201W if LIMIT is negative, with Postgres's own words.
    pub fn bind(&self, lookup: &mut dyn FnMut(usize) -> Value) -> Result<Option<BoundRead>> {
        let limit = match rows(&self.limit, lookup)? {
            Some(rows) if rows < 0 => return Err(Error::new(Kind::NegativeLimit, "LIMIT must not be negative")),
            limit => limit,
        };
        // A negative OFFSET is Postgres's to refuse.
        let offset = rows(&self.offset, lookup)?.map_or(0, |rows| rows.max(0));
        let limit = limit.map(|rows| rows.saturating_add(offset).unsigned_abs());
        if limit == Some(0) {
            return Ok(None);
        }
        let filter = Predicate::all(self.filter.iter().map(|clause| clause.bind(lookup)));
        let mut grouping = self.grouping.clone();
        for condition in grouping.iter_mut().flat_map(|grouping| &mut grouping.having) {
            *condition = condition.bind(lookup);
        }
        let nothing = |grouping: &Grouping| grouping.having.contains(&Predicate::False);
        if filter == Predicate::False || grouping.as_ref().is_some_and(nothing) {
            return Ok(None);
        }
        Ok(Some(BoundRead {
            grouping,
            order: self.order.clone(),
            limit,
            expected: self.expected,
            ..BoundRead::new(&self.object, self.fields.clone(), filter, self.wire.clone())
        }))
    }
}

/// A number of rows; none if there is none, or it is NULL.
fn rows(operand: &Option<Operand>, lookup: &mut dyn FnMut(usize) -> Value) -> Result<Option<i64>> {
    match operand.as_ref().map(|operand| operand.bind(lookup)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Int(rows)) => Ok(Some(rows)),
        Some(other) => Err(Error::new(Kind::Internal, format!("a number of rows came as {other:?}"))),
    }
}
