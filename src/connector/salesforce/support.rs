//! What SOQL can say of a filter, and how exactly.

use serde_json::json;

use super::family::{Family, family};
use super::literal::literal;
use super::soql::{self, encoded_len};
use super::split::{MAX_QUERY, may_be_left_out};
use crate::query::ask::{Access, Aggregate, Ask, Function, Grouping};
use crate::query::pattern::Case;
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::query::push::{Support, has_long_list, push, push_all};
use crate::schema::{Field, Object};
use crate::value::{Type, Value};

/// How well the API says one comparison.
pub fn leaf(object: &Object, predicate: &Predicate) -> Support {
    let Some((field, operator, operand)) = parts(predicate) else { return Support::Exact };
    let Some(family) = family(field) else { return Support::Unsupported };
    let support = match (family, operator) {
        (_, Operator::IsNull) => return Support::Exact,
        // Without its case a text is another one to such a field.
        (Family::Text, Operator::LikeFolded) if field.capabilities.case => return Support::Unsupported,
        (Family::Text, Operator::Like | Operator::LikeFolded) | (Family::Choices, Operator::Holds) => {
            return Support::Superset;
        }
        (_, Operator::Like | Operator::LikeFolded | Operator::Holds) => return Support::Unsupported,
        (Family::Text, Operator::Same) => Support::Superset,
        // What differs from a text in its case alone is not found by `!=` and `NOT IN`.
        (Family::Opaque | Family::Choices | Family::Text, _) => Support::Unsupported,
        (Family::Id | Family::Bool, Operator::Order) => Support::Unsupported,
        (Family::Number, _) if !is_plain_number(object, field) => Support::Unsupported,
        _ => Support::Exact,
    };
    if operand.is_some_and(|operand| !fits(field, family, operand)) { Support::Unsupported } else { support }
}

enum Operator {
    Same,
    Different,
    Order,
    IsNull,
    Like,
    LikeFolded,
    Holds,
}

fn parts(predicate: &Predicate) -> Option<(&Field, Operator, Option<&Operand>)> {
    Some(match predicate {
        Predicate::Compare { field, op, operand } => {
            let operator = match op {
                Comparison::Eq => Operator::Same,
                Comparison::Ne => Operator::Different,
                _ => Operator::Order,
            };
            (field, operator, Some(operand))
        }
        Predicate::In { field, list, negated: false } => (field, Operator::Same, Some(list)),
        Predicate::In { field, list, negated: true } => (field, Operator::Different, Some(list)),
        Predicate::IsNull { field, .. } => (field, Operator::IsNull, None),
        Predicate::Distinct { field, operand, negated: true } => (field, Operator::Same, Some(operand)),
        Predicate::Distinct { field, operand, negated: false } => (field, Operator::Different, Some(operand)),
        Predicate::Text { field, case: Case::Kept, pattern, .. } => (field, Operator::Like, Some(pattern)),
        Predicate::Text { field, pattern, .. } => (field, Operator::LikeFolded, Some(pattern)),
        Predicate::Holds { field, items, .. } => (field, Operator::Holds, Some(items)),
        _ => return None,
    })
}

fn has_currencies(object: &Object) -> bool {
    // Of other objects too, whose fields are named by a path.
    let name =
        |field: &Field| field.name.rsplit('.').next().is_some_and(|name| name.eq_ignore_ascii_case("CurrencyIsoCode"));
    object.fields.iter().any(name)
}

/// Whether an operand, where it is known, is of the field's type.
fn fits(field: &Field, family: Family, operand: &Operand) -> bool {
    let fits = |value: &Value| value.is_null() || literal(field, family, value).is_ok();
    match operand {
        Operand::Arg(_) => true,
        Operand::Value(Value::List(items)) => items.iter().all(fits),
        Operand::Value(value) => fits(value),
    }
}

/// The one way to read an object: a SOQL query.
///
/// A query must fit into a URI, and lists may not fit: [`super::split`] leaves out or splits what [`push_all`] said may be.
/// [`Access::wire`] says which is which.
pub fn access(object: &Object, ask: &Ask, page_rows: u32) -> Access {
    let leaf = |predicate: &Predicate| leaf(object, predicate);
    // Half of the query at most, and never the rest of it: the path, a list and parameters need some.
    let select = encoded_len(&soql::select_list(&ask.fields));
    let mut room = MAX_QUERY.saturating_sub(select + 2_000).min(MAX_QUERY / 2);
    let (covers, split) = push_all(&ask.clauses, &leaf, |_| true, |pushed| takes(&mut room, pushed));
    // What may be split over several queries has neither limit nor order.
    let one = !ask.clauses.iter().any(has_long_list);
    let order = one && ask.order.len() <= MAX_SORT_KEYS && ask.order.iter().all(|key| sorts(object, &key.field));
    let grouped = one && ask.grouping.as_ref().is_some_and(|grouping| groups(object, grouping));
    let having = ask.grouping.as_ref().filter(|_| grouped).map(|grouping| having(object, grouping)).unwrap_or_default();
    Access { limit: one, order, grouped, having, covers, page_rows, wire: json!({ "split": split }) }
}

/// Fields in ORDER BY.
/// <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_orderby.htm>
const MAX_SORT_KEYS: usize = 32;

/// Whether the API sorts a field as Postgres does. Not texts, which it sorts by the user's language, and not ids, of
/// which nobody says how they are sorted.
fn sorts(object: &Object, field: &Field) -> bool {
    let natural = match family(field) {
        Some(Family::Int { .. } | Family::Date | Family::Instant | Family::Time) => true,
        Some(Family::Number) => is_plain_number(object, field),
        _ => false,
    };
    natural && field.capabilities.sort
}

/// Whether the API makes the groups that Postgres would make, and tells the same of them. Not of texts: it ignores
/// case.
fn groups(object: &Object, grouping: &Grouping) -> bool {
    let key = |field: &Field| {
        let exact = matches!(
            family(field),
            Some(Family::Id | Family::Bool | Family::Int { .. } | Family::Date | Family::Instant | Family::Time)
        );
        // A group names a field of another object without its path.
        exact && field.capabilities.group && !field.name.contains('.')
    };
    let aggregate = |aggregate: &Aggregate| {
        let Some(field) = &aggregate.field else { return aggregate.function == Function::Count };
        let family = family(field);
        let may = match (aggregate.function, family) {
            (Function::Count, Some(_)) => true,
            (_, Some(Family::Number)) => field.ty == Type::Decimal && is_plain_number(object, field),
            (_, Some(Family::Int { .. })) => true,
            (Function::Min | Function::Max, Some(Family::Date | Family::Instant | Family::Time)) => true,
            (Function::CountDistinct, Some(Family::Id | Family::Date | Family::Instant | Family::Time)) => true,
            _ => false,
        };
        may && field.capabilities.aggregate
    };
    grouping.keys.iter().all(key) && grouping.aggregates.iter().all(aggregate)
}

/// What of HAVING the API can be asked: comparisons that no group without a value passes. It has HAVING only beside
/// GROUP BY.
fn having(object: &Object, grouping: &Grouping) -> Vec<Predicate> {
    let leaf = |condition: &Predicate| match condition {
        Predicate::Compare { op: Comparison::Ne, .. } => Support::Unsupported,
        Predicate::Compare { .. } => leaf(object, &soql::on_aggregates(grouping, condition)),
        _ => Support::Unsupported,
    };
    let conditions = grouping.having.iter().filter(|_| !grouping.keys.is_empty());
    conditions.filter_map(|condition| push(condition, &leaf)).map(|pushed| pushed.predicate).collect()
}

/// Whether values of a number field compare as they are shown. Where there are several currencies the API compares in
/// the organisation's own one.
fn is_plain_number(object: &Object, field: &Field) -> bool {
    field.remote_type != "currency" || !has_currencies(object)
}

/// Takes what a condition needs out of the room that is left. What may be left out needs none.
fn takes(room: &mut usize, predicate: &Predicate) -> bool {
    let Ok(condition) = soql::condition(predicate) else { return false };
    let length = condition
        .into_parts()
        .iter()
        .filter(|part| !may_be_left_out(part, false))
        .map(|part| encoded_len(&part.to_string()))
        .sum();
    match room.checked_sub(length) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    }
}
