//! The language of filters.
//!
//! There is no NOT: [`Predicate::negate`] sends it inwards while a statement is lowered. What is left
//! only has to tell "true" from "false or unknown", which is why [`Predicate::bind`] may fold every
//! comparison with NULL to `False`.

use serde::{Deserialize, Serialize};

use super::pattern::{Case, Form};
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
    /// `field IS DISTINCT FROM operand`, or `IS NOT DISTINCT FROM` if negated.
    Distinct {
        field: Field,
        operand: Operand,
        negated: bool,
    },
    /// A text, or what `case` makes of it, against a pattern; against any of them if the operand is a list.
    Text {
        field: Field,
        case: Case,
        form: Form,
        pattern: Operand,
    },
    /// A list of texts holds any of the operand's items, or `all` of them. One text is a list of one.
    Holds {
        field: Field,
        items: Operand,
        all: bool,
    },
    /// Holds wherever the condition that it stands for does, and perhaps elsewhere.
    Weaker(Box<Predicate>),
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
            Predicate::Distinct { field, operand, negated } => {
                Predicate::Distinct { field, operand, negated: !negated }
            }
            // APIs ignore case where Postgres does not: what they find too much here would be lost there.
            Predicate::Text { .. } | Predicate::Holds { .. } | Predicate::Weaker(_) => Predicate::Opaque,
        }
    }

    /// Puts in the values of the expressions and folds what they decide.
    ///
    /// What is left holds only [`Operand::Value`]s that are not NULL, in lists too, no empty list, no
    /// [`Predicate::Distinct`], and `True` or `False` only at the top. Expressions are evaluated from left to right and only where they
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
                let Some((items, nulls)) = items(list.bind(lookup)) else { return Predicate::False };
                if *negated && nulls {
                    // x <> ALL (…, NULL) is never true.
                    Predicate::False
                } else if items.is_empty() {
                    if *negated { Predicate::True } else { Predicate::False }
                } else {
                    let list = Operand::Value(Value::List(items));
                    Predicate::In { field: field.clone(), list, negated: *negated }
                }
            }
            Predicate::Distinct { field, operand, negated } => {
                let null = |negated| Predicate::IsNull { field: field.clone(), negated };
                let compare =
                    |op, value| Predicate::Compare { field: field.clone(), op, operand: Operand::Value(value) };
                match (operand.bind(lookup), negated) {
                    (Value::Null, negated) => null(!negated),
                    (value, true) => compare(Comparison::Eq, value),
                    (value, false) => Predicate::Or(vec![compare(Comparison::Ne, value), null(false)]),
                }
            }
            Predicate::Text { field, case, form, pattern } => {
                let Some((patterns, _)) = items(pattern.bind(lookup)) else { return Predicate::False };
                if patterns.is_empty() {
                    return Predicate::False;
                }
                let pattern = Operand::Value(Value::List(patterns));
                Predicate::Text { field: field.clone(), case: *case, form: *form, pattern }
            }
            Predicate::Holds { field, items: list, all } => match items(list.bind(lookup)) {
                None => Predicate::False,
                // No list holds a NULL, as Postgres compares them.
                Some((_, true)) if *all => Predicate::False,
                Some((items, _)) if !items.is_empty() => {
                    let items = Operand::Value(Value::List(items));
                    Predicate::Holds { field: field.clone(), items, all: *all }
                }
                Some(_) if *all => Predicate::IsNull { field: field.clone(), negated: true },
                Some(_) => Predicate::False,
            },
            Predicate::Weaker(inner) => match inner.bind(lookup) {
                folded @ (Predicate::True | Predicate::False) => folded,
                inner => Predicate::Weaker(Box::new(inner)),
            },
        }
    }

    /// The same, with what values decide folded as [`Predicate::bind`] folds it. Expressions stay.
    pub fn fold_values(&self) -> Predicate {
        match self {
            Predicate::And(parts) => Predicate::all(parts.iter().map(Predicate::fold_values)),
            Predicate::Or(parts) => Predicate::any(parts.iter().map(Predicate::fold_values)),
            leaf => {
                let mut known = true;
                leaf.clone().operands_mut(&mut |operand| known &= matches!(operand, Operand::Value(_)));
                if known { leaf.bind(&mut |_| Value::Null) } else { leaf.clone() }
            }
        }
    }

    /// All operands, to be changed.
    pub fn operands_mut(&mut self, visit: &mut impl FnMut(&mut Operand)) {
        match self {
            Predicate::And(parts) | Predicate::Or(parts) => {
                parts.iter_mut().for_each(|part| part.operands_mut(visit));
            }
            Predicate::Known { operand, .. }
            | Predicate::Compare { operand, .. }
            | Predicate::Distinct { operand, .. } => visit(operand),
            Predicate::In { list, .. } => visit(list),
            Predicate::Text { pattern, .. } => visit(pattern),
            Predicate::Holds { items, .. } => visit(items),
            Predicate::Weaker(inner) => inner.operands_mut(visit),
            Predicate::True | Predicate::False | Predicate::Opaque | Predicate::IsNull { .. } => {}
        }
    }

    /// All fields, to be changed.
    pub fn fields_mut(&mut self, visit: &mut impl FnMut(&mut Field)) {
        match self {
            Predicate::And(parts) | Predicate::Or(parts) => parts.iter_mut().for_each(|part| part.fields_mut(visit)),
            Predicate::Compare { field, .. }
            | Predicate::In { field, .. }
            | Predicate::IsNull { field, .. }
            | Predicate::Distinct { field, .. }
            | Predicate::Text { field, .. }
            | Predicate::Holds { field, .. } => visit(field),
            Predicate::Weaker(inner) => inner.fields_mut(visit),
            Predicate::True | Predicate::False | Predicate::Opaque | Predicate::Known { .. } => {}
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

/// The items of a list that are not NULL, and whether some are. One value is a list of one; NULL is none.
fn items(list: Value) -> Option<(Box<[Value]>, bool)> {
    let items = match list {
        Value::Null => return None,
        Value::List(items) => items,
        one => Box::new([one]),
    };
    let given = items.len();
    let items: Box<[Value]> = items.into_iter().filter(|item| !item.is_null()).collect();
    let nulls = items.len() < given;
    Some((items, nulls))
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
