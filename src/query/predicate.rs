//! The language of filters.
//!
//! There is no NOT: [`Predicate::negate`] sends it inwards while a statement is lowered. What is left
//! only has to tell "true" from "false or unknown", which is why [`Predicate::bind`] may fold every
//! comparison with NULL to `False`.

use serde::{Deserialize, Serialize};

use crate::schema::Field;
use crate::value::Value;

/// Something whose value is known when the statement runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operand {
    Value(Value),
    /// The n-th expression of the plan, evaluated at every (re)scan.
    Arg(usize),
}

impl Operand {
    /// The value; `lookup` evaluates an expression of the plan.
    pub fn bind(&self, lookup: &mut dyn FnMut(usize) -> Value) -> Value {
        match self {
            Operand::Value(value) => value.clone(),
            Operand::Arg(at) => lookup(*at),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Comparison {
    /// The comparison that holds exactly where this one does not (on values that are not NULL).
    pub fn negate(self) -> Self {
        match self {
            Comparison::Eq => Comparison::Ne,
            Comparison::Ne => Comparison::Eq,
            Comparison::Lt => Comparison::Ge,
            Comparison::Le => Comparison::Gt,
            Comparison::Gt => Comparison::Le,
            Comparison::Ge => Comparison::Lt,
        }
    }

    /// `a < b` as `b > a`.
    pub fn commute(self) -> Self {
        match self {
            Comparison::Lt => Comparison::Gt,
            Comparison::Le => Comparison::Ge,
            Comparison::Gt => Comparison::Lt,
            Comparison::Ge => Comparison::Le,
            same => same,
        }
    }
}

/// A condition on one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Predicate {
    True,
    False,
    /// Something that no API will be asked: it keeps its place in AND and OR so that they are weighed right.
    Opaque,
    /// A condition that no record decides, like `$1 IS NULL`: a boolean known when the statement runs.
    Known {
        operand: Operand,
        negated: bool,
    },
    And(Vec<Predicate>),
    Or(Vec<Predicate>),
    Compare {
        field: Field,
        op: Comparison,
        operand: Operand,
    },
    /// `field = ANY (list)`, or `field <> ALL (list)` if negated. The operand is a [`Value::List`].
    In {
        field: Field,
        list: Operand,
        negated: bool,
    },
    /// `field IS NULL`, or `IS NOT NULL` if negated.
    IsNull {
        field: Field,
        negated: bool,
    },
}

impl Predicate {
    /// The condition that is true exactly where this one is false.
    pub fn negate(self) -> Self {
        match self {
            Predicate::True => Predicate::False,
            Predicate::False => Predicate::True,
            Predicate::Opaque => Predicate::Opaque,
            Predicate::Known { operand, negated } => Predicate::Known { operand, negated: !negated },
            Predicate::And(parts) => Predicate::Or(parts.into_iter().map(Predicate::negate).collect()),
            Predicate::Or(parts) => Predicate::And(parts.into_iter().map(Predicate::negate).collect()),
            Predicate::Compare { field, op, operand } => Predicate::Compare { field, op: op.negate(), operand },
            Predicate::In { field, list, negated } => Predicate::In { field, list, negated: !negated },
            Predicate::IsNull { field, negated } => Predicate::IsNull { field, negated: !negated },
        }
    }

    /// Puts in the values of the expressions and folds what they decide.
    ///
    /// What is left holds only [`Operand::Value`]s that are not NULL, in lists too, no empty list, and
    /// `True` or `False` only at the top. Expressions are evaluated from left to right and only where they
    /// still matter: in `$1 = '' OR n > $1::int` the cast must not fail where the first part holds.
    pub fn bind(&self, lookup: &mut dyn FnMut(usize) -> Value) -> Predicate {
        match self {
            Predicate::True | Predicate::False | Predicate::IsNull { .. } => self.clone(),
            // Never pushed; were it, asking for all records is what loses none.
            Predicate::Opaque => Predicate::True,
            Predicate::Known { operand, negated } => match operand.bind(lookup) {
                Value::Bool(holds) if holds != *negated => Predicate::True,
                _ => Predicate::False,
            },
            Predicate::And(parts) => Predicate::all(parts.iter().map(|part| part.bind(lookup))),
            Predicate::Or(parts) => Predicate::any(parts.iter().map(|part| part.bind(lookup))),
            Predicate::Compare { field, op, operand } => match operand.bind(lookup) {
                Value::Null => Predicate::False,
                value => Predicate::Compare { field: field.clone(), op: *op, operand: Operand::Value(value) },
            },
            Predicate::In { field, list, negated } => {
                let Value::List(items) = list.bind(lookup) else { return Predicate::False };
                let given = items.len();
                let items: Box<[Value]> = items.into_iter().filter(|item| !item.is_null()).collect();
                if *negated && items.len() < given {
                    // x <> ALL (…, NULL) is never true.
                    Predicate::False
                } else if items.is_empty() {
                    if *negated { Predicate::True } else { Predicate::False }
                } else {
                    Predicate::In { field: field.clone(), list: Operand::Value(Value::List(items)), negated: *negated }
                }
            }
        }
    }

    /// All operands, to be changed.
    pub fn operands_mut(&mut self, visit: &mut impl FnMut(&mut Operand)) {
        match self {
            Predicate::And(parts) | Predicate::Or(parts) => {
                parts.iter_mut().for_each(|part| part.operands_mut(visit));
            }
            Predicate::Known { operand, .. } | Predicate::Compare { operand, .. } => visit(operand),
            Predicate::In { list, .. } => visit(list),
            Predicate::True | Predicate::False | Predicate::Opaque | Predicate::IsNull { .. } => {}
        }
    }

    /// The conjunction, folded and flattened.
    pub fn all(parts: impl IntoIterator<Item = Predicate>) -> Predicate {
        let mut left = Vec::new();
        for part in parts {
            match part {
                Predicate::True => {}
                Predicate::False => return Predicate::False,
                Predicate::And(inner) => left.extend(inner),
                other => left.push(other),
            }
        }
        match left.len() {
            0 => Predicate::True,
            1 => left.remove(0),
            _ => Predicate::And(left),
        }
    }

    /// The disjunction, folded and flattened.
    pub fn any(parts: impl IntoIterator<Item = Predicate>) -> Predicate {
        let mut left = Vec::new();
        for part in parts {
            match part {
                Predicate::False => {}
                Predicate::True => return Predicate::True,
                Predicate::Or(inner) => left.extend(inner),
                other => left.push(other),
            }
        }
        match left.len() {
            0 => Predicate::False,
            1 => left.remove(0),
            _ => Predicate::Or(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(at: usize) -> Predicate {
        Predicate::Known { operand: Operand::Arg(at), negated: false }
    }

    #[test]
    fn expressions_are_evaluated_only_where_they_still_matter() {
        let mut asked = Vec::new();
        let mut lookup = |at| {
            asked.push(at);
            Value::Bool(at == 1)
        };
        let or = Predicate::Or(vec![known(0), known(1), known(2)]);
        assert_eq!(or.bind(&mut lookup), Predicate::True);
        let and = Predicate::And(vec![known(1), known(3), known(4)]);
        assert_eq!(and.bind(&mut lookup), Predicate::False);
        assert_eq!(asked, [0, 1, 1, 3]);
    }

    #[test]
    fn a_condition_that_is_unknown_lets_no_row_through_negated_or_not() {
        let mut null = |_| Value::Null;
        assert_eq!(known(0).bind(&mut null), Predicate::False);
        assert_eq!(known(0).negate().bind(&mut null), Predicate::False);
    }
}
