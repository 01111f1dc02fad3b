//! A whole read: what the planner proposes, what a connector makes of it, what the plan carries.

use serde::{Deserialize, Serialize};

use super::predicate::{Operand, Predicate};
use super::push::Support;
use crate::error::{Error, Kind, Result};
use crate::schema::Field;
use crate::value::Value;

/// What a scan wants of one object, as the planner sees it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The fields that the statement needs, in no particular order. Perhaps none: then rows are counted.
    pub fields: Vec<Field>,
    /// Conditions that must all hold.
    pub clauses: Vec<Predicate>,
}

/// One way to read an object. Capability is decided for the whole request, not clause by clause.
#[derive(Clone, Debug)]
pub struct Access {
    /// For each clause of the [`Ask`]: how well it is covered, and what is pushed for it.
    pub covers: Vec<(Support, Predicate)>,
    /// Whether LIMIT may be added, given that all clauses are exact.
    pub limit: bool,
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
    /// The cells of a record, in this order.
    pub fields: Vec<Field>,
    /// Pushed conditions that must all hold.
    pub filter: Vec<Predicate>,
    pub limit: Option<Operand>,
    pub wire: serde_json::Value,
}

/// A read whose operands have values: ready to be sent.
#[derive(Clone, Debug)]
pub struct BoundRead {
    pub object: String,
    pub fields: Vec<Field>,
    /// As [`Predicate::bind`] leaves it, and never `False`.
    pub filter: Predicate,
    /// At least 1.
    pub limit: Option<u64>,
    pub wire: serde_json::Value,
}

impl Read {
    /// Puts in the values of the plan's expressions, which `lookup` evaluates when they are needed. `None` if no
    /// record can match: nothing is asked.
    ///
    /// Errors: 2201W if LIMIT is negative, with Postgres's own words.
    pub fn bind(&self, lookup: &mut dyn FnMut(usize) -> Value) -> Result<Option<BoundRead>> {
        let limit = match self.limit.as_ref().map(|limit| limit.bind(lookup)) {
            None | Some(Value::Null) => None,
            Some(Value::Int(rows)) => match u64::try_from(rows) {
                Ok(0) => return Ok(None),
                Ok(rows) => Some(rows),
                Err(_) => {
                    return Err(Error::new(Kind::NegativeLimit, "LIMIT must not be negative"));
                }
            },
            Some(other) => {
                return Err(Error::new(Kind::Internal, format!("LIMIT came as {other:?}")));
            }
        };
        let filter = Predicate::all(self.filter.iter().map(|clause| clause.bind(lookup)));
        if filter == Predicate::False {
            return Ok(None);
        }
        Ok(Some(BoundRead {
            object: self.object.clone(),
            fields: self.fields.clone(),
            filter,
            limit,
            wire: self.wire.clone(),
        }))
    }
}
