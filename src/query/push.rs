//! What part of a filter goes to the API.

use serde::{Deserialize, Serialize};

use super::predicate::{Operand, Predicate};
use crate::schema::Field;
use crate::value::Value;

/// How well an API can say a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Support {
    /// Not at all: tested here.
    Unsupported,
    /// It returns every matching record and perhaps others: pushed, and tested again here.
    Superset,
    /// It returns the matching records and no others.
    Exact,
}

/// A condition as it is pushed: the same, or weaker where parts cannot be said.
#[derive(Clone, Debug, PartialEq)]
pub struct Pushed {
    pub predicate: Predicate,
    /// Never [`Support::Unsupported`].
    pub support: Support,
}

/// The strongest condition implied by `predicate` that the API can say, given what it can say of a leaf.
///
/// AND pushes what it can; OR pushes only if every branch can be pushed.
pub fn push(predicate: &Predicate, leaf: &impl Fn(&Predicate) -> Support) -> Option<Pushed> {
    match predicate {
        Predicate::And(parts) => {
            let pushed: Vec<_> = parts.iter().filter_map(|part| push(part, leaf)).collect();
            let whole = pushed.len() == parts.len();
            combine(pushed, whole, Predicate::And)
        }
        Predicate::Or(parts) => {
            let pushed: Option<Vec<_>> = parts.iter().map(|part| push(part, leaf)).collect();
            combine(pushed?, true, Predicate::Or)
        }
        Predicate::Opaque => None,
        Predicate::True | Predicate::False | Predicate::Known { .. } => {
            Some(Pushed { predicate: predicate.clone(), support: Support::Exact })
        }
        Predicate::Weaker(inner) => {
            let Pushed { predicate, support } = push(inner, leaf)?;
            Some(Pushed { predicate: Predicate::Weaker(Box::new(predicate)), support: support.min(Support::Superset) })
        }
        _ => match leaf(predicate) {
            Support::Unsupported => None,
            support => Some(Pushed { predicate: predicate.clone(), support }),
        },
    }
}

/// Lists of at most this many items fit into a request together with others.
pub const SHORT_LIST: usize = 100;

/// Whether a list is, or may turn out, longer than [`SHORT_LIST`].
pub fn may_be_long(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::In { list: Operand::Arg(_), .. } => true,
        Predicate::In { list: Operand::Value(Value::List(items)), .. } => items.len() > SHORT_LIST,
        _ => false,
    }
}

/// The same of any list in a condition.
pub fn has_long_list(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().any(has_long_list),
        leaf => may_be_long(leaf),
    }
}

/// What goes to an API of conditions that must all hold, and the field whose list is split over several requests.
///
/// Lists may not fit into one request. One list at the top is exact all the same: it is split. Every other long list is
/// only a superset, so that it may be left out. `leaf`: what the API can say of a comparison; `splits`: whether requests
/// for parts of a list of this field share no record; `takes`: whether there is room for one more condition.
pub fn push_all(
    clauses: &[Predicate],
    leaf: &impl Fn(&Predicate) -> Support,
    splits: impl Fn(&Field) -> bool,
    mut takes: impl FnMut(&Predicate) -> bool,
) -> (Vec<(Support, Predicate)>, Option<String>) {
    let droppable = |predicate: &Predicate| match leaf(predicate) {
        Support::Exact if may_be_long(predicate) => Support::Superset,
        support => support,
    };
    let mut split = None;
    let mut covers = Vec::with_capacity(clauses.len());
    for clause in clauses {
        if let Predicate::In { field, negated: false, .. } = clause
            && split.is_none()
            && splits(field)
            && may_be_long(clause)
            && leaf(clause) == Support::Exact
        {
            split = Some(field.name.clone());
            covers.push((Support::Exact, clause.clone()));
            continue;
        }
        let pushed = push(clause, &droppable).filter(|pushed| takes(&pushed.predicate));
        covers.push(match pushed {
            Some(pushed) => (pushed.support, pushed.predicate),
            None => (Support::Unsupported, Predicate::True),
        });
    }
    (covers, split)
}

fn combine(parts: Vec<Pushed>, whole: bool, join: impl FnOnce(Vec<Predicate>) -> Predicate) -> Option<Pushed> {
    let weakest = parts.iter().map(|part| part.support).min()?;
    Some(Pushed {
        support: if whole { weakest } else { Support::Superset },
        predicate: join(parts.into_iter().map(|part| part.predicate).collect()),
    })
}
