//! What formulas can say of a filter, and how exactly.
//!
//! Little is exact: see [`super::formula`]. What is: the record's id, whose matches are tested when they are read, check
//! boxes, and whether a text is blank.

use serde_json::json;

use super::api::is_of_record;
use super::family::{Family, family, is_formula, split_type};
use crate::query::ask::{Access, Ask};
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::query::push::{Support, has_long_list, push_all};
use crate::schema::{Field, Object};
use crate::value::Value;

/// How well the API says one comparison.
pub fn leaf(predicate: &Predicate) -> Support {
    use Comparison::*;
    let compare = |field: &Field, op: Comparison| match family(field) {
        Some(Family::Id | Family::Text) if op == Eq => Support::Superset,
        Some(Family::Bool) if matches!(op, Eq | Ne) && !is_formula(field) => Support::Exact,
        // What is computed may be NaN, which Postgres has above all numbers, and formulas nowhere.
        Some(Family::Number) if is_formula(field) && !matches!(op, Eq | Lt | Le) => Support::Unsupported,
        Some(Family::Number | Family::Date | Family::Instant | Family::Created) => Support::Superset,
        _ => Support::Unsupported,
    };
    let null = |field: &Field, negated: bool| match family(field) {
        Some(Family::Id | Family::Created) => Support::Exact,
        Some(Family::Text) if !is_formula(field) => Support::Exact,
        Some(Family::Bool) if !is_formula(field) => Support::Exact,
        // An error is null here, NaN perhaps, and FALSE() is 0.
        Some(Family::Number) if is_formula(field) => Support::Unsupported,
        Some(Family::Bool) => Support::Unsupported,
        // A record without a name is no text in a formula, and still one of a list.
        Some(Family::Opaque) if negated => Support::Unsupported,
        Some(_) => Support::Superset,
        None => Support::Unsupported,
    };
    match predicate {
        // Whatever is not 0 is true to a formula, and a box that is checked is 1.
        Predicate::Compare { field, op, operand: Operand::Value(Value::Bool(flag)) }
            if is_formula(field)
                && family(field) == Some(Family::Bool)
                && matches!((*op, *flag), (Eq, true) | (Ne, false)) =>
        {
            Support::Superset
        }
        Predicate::Compare { field, op, .. } => compare(field, *op),
        Predicate::In { field, negated, .. } => compare(field, if *negated { Ne } else { Eq }),
        Predicate::IsNull { field, negated } => null(field, *negated),
        // Which of the two it comes to, the operand tells.
        Predicate::Distinct { field, negated: true, .. } => compare(field, Eq).min(null(field, false)),
        Predicate::Distinct { field, negated: false, .. } => {
            compare(field, Ne).min(null(field, false)).min(null(field, true))
        }
        Predicate::Text { field, .. } if family(field) == Some(Family::Text) => Support::Superset,
        Predicate::Holds { field, .. } if family(field) == Some(Family::Choices) => Support::Superset,
        _ => Support::Unsupported,
    }
}

/// The field, if a condition asks for records by their ids.
fn is_of_ids(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Compare { field, op: Comparison::Eq, .. } | Predicate::In { field, negated: false, .. } => {
            family(field) == Some(Family::Id)
        }
        _ => false,
    }
}

/// The one way to read a table: a list of its records.
///
/// [`Access::wire`] says which list of ids is split, and which field stands in where none is wanted: without any, all come.
pub fn access(object: &Object, ask: &Ask, page_rows: u32) -> Access {
    let leaf = |predicate: &Predicate| match leaf(predicate) {
        // What is found is tested when it is read.
        Support::Superset if is_of_ids(predicate) && ask.clauses.contains(predicate) => Support::Exact,
        support => support,
    };
    let is_id = |field: &Field| family(field) == Some(Family::Id);
    let (covers, split) = push_all(&ask.clauses, &leaf, is_id, |_| true);
    let one = !ask.clauses.iter().any(has_long_list);
    let order = one && ask.order.iter().all(|key| sorts(&key.field, &ask.clauses));
    let stand_in = object.fields.iter().find(|field| !is_of_record(field));
    let wire = json!({ "split": split, "stand_in": stand_in.map(|field| &field.name) });
    Access { limit: one, order, covers, page_rows, wire, ..Access::default() }
}

/// Whether the API sorts what is found as Postgres does. Where blanks come is not promised, so there must be none.
fn sorts(field: &Field, clauses: &[Predicate]) -> bool {
    let natural = matches!(family(field), Some(Family::Number | Family::Date | Family::Instant)) && !is_formula(field);
    let filled = matches!(split_type(&field.remote_type).0, "autoNumber" | "createdTime" | "count");
    natural && field.capabilities.sort && (filled || clauses.iter().any(|clause| is_strict(clause, field)))
}

/// Whether no record without a value passes.
fn is_strict(clause: &Predicate, of: &Field) -> bool {
    match clause {
        Predicate::Compare { field, .. }
        | Predicate::In { field, negated: false, .. }
        | Predicate::IsNull { field, negated: true } => field.name == of.name,
        Predicate::Distinct { field, operand: Operand::Value(value), negated: true } => {
            field.name == of.name && *value != Value::Null
        }
        Predicate::Weaker(inner) => is_strict(inner, of),
        _ => false,
    }
}
