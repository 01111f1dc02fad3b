//! Planning joins along references: the API looks fields of other objects up by itself, as `Account.Name` of a contact.
//!
//! An INNER join tests the other record's key too: a reference may lead to a record that the user does not see, and
//! then there is no match. A LEFT join follows the reference and nothing else.
//! <https://www.postgresql.org/docs/current/fdw-callbacks.html#FDW-CALLBACKS-JOIN-SCAN>

use super::node::{Node, Shape};
use super::operator;
use super::plan::Relation;
use super::planner::{Join, Rel};
use super::settings;
use crate::error::Result;
use crate::query::predicate::Comparison;

/// The two relations as one scan, if the API can follow a reference from one to the other. `rel` is what they make.
pub fn relation<'p>(
    rel: Rel<'p>,
    outer: &Relation<'p>,
    inner: &Relation<'p>,
    join: &Join<'p>,
) -> Result<Option<Relation<'p>>> {
    if !settings::pushdown() || !rel.is_only_read() {
        return Ok(None);
    }
    let conditions = || outer.restrictions.iter().chain(&inner.restrictions).chain(&join.links).chain(&join.filters);
    // What ON says besides is no condition of the whole.
    let more = join.optional && (!inner.restrictions.is_empty() || join.links.len() != 1);
    let gated = conditions().any(|condition| condition.is_gate());
    if more || gated || !rel.shows_columns_alone(conditions().filter_map(|condition| condition.condition())) {
        return Ok(None);
    }
    for link in &join.links {
        let Some((left, right)) = link.condition().and_then(ends) else { continue };
        for (from, to, reference, key) in [
            (outer, inner, left, right),
            (outer, inner, right, left),
            (inner, outer, left, right),
            (inner, outer, right, left),
        ] {
            // The records of a LEFT join are those of its left side.
            if join.optional && std::ptr::eq(from, inner) {
                continue;
            }
            let Some(source) = from.source.follow(reference, &to.source, key, join.optional) else { continue };
            // Along a reference there is at most one counterpart for each record.
            rel.expect_at_most(from.way.records);
            let others = join.links.iter().filter(|other| *other != link);
            let restrictions = from.restrictions.iter().chain(&to.restrictions).chain(others).chain(&join.filters);
            let relation = Relation::new(rel, source, restrictions.copied().collect())?;
            return Ok(relation.way.finds_counterparts().then_some(relation));
        }
    }
    Ok(None)
}

/// Relation and attribute of two columns that a condition says are equal.
fn ends(condition: Node<'_>) -> Option<((u32, i16), (u32, i16))> {
    let Shape::Operator { oid, collation, left, right } = condition.shape() else { return None };
    if operator::comparison(oid, left.type_oid(), collation)? != Comparison::Eq {
        return None;
    }
    Some((column(left)?, column(right)?))
}

fn column(node: Node<'_>) -> Option<(u32, i16)> {
    match node.shape() {
        Shape::Column { relation, attribute } => Some((relation, attribute)),
        Shape::Relabel(inner) => column(inner),
        _ => None,
    }
}
