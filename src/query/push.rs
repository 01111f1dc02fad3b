//! What part of a filter goes to the API.

use serde::{Deserialize, Serialize};

use super::predicate::Predicate;

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

fn combine(parts: Vec<Pushed>, whole: bool, join: impl FnOnce(Vec<Predicate>) -> Predicate) -> Option<Pushed> {
    let weakest = parts.iter().map(|part| part.support).min()?;
    Some(Pushed {
        support: if whole { weakest } else { Support::Superset },
        predicate: join(parts.into_iter().map(|part| part.predicate).collect()),
    })
}
