//! Conditions: checked against their fields, then tested on values with SOQL's own rules of case and NULL.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use super::ast::{Expr, Literal, Op, Operand, Predicate, Query, Scalar};
use super::check::{Aggregation, Cell, Checker, Output, Plan};
use super::lexer::{Pattern, Text};
use crate::salesforce::error::{ApiError, Result};
use crate::salesforce::id::Id;
use crate::salesforce::schema::{Field, Kind};
use crate::salesforce::store::Key;
use crate::salesforce::switches::Switches;
use crate::salesforce::value::{Value, fold, same_folded};
use crate::time::DAY;

/// Where a value of a record stands: reference fields to follow, then a field.
#[derive(Clone, Debug)]
pub struct Path {
    pub hops: Vec<usize>,
    /// `None` at the end of a polymorphic reference: the field is then known by its name alone.
    pub at: Option<usize>,
    pub field: Arc<Field>,
}

impl Path {
    pub fn same(&self, other: &Path) -> bool {
        self.hops == other.hops && self.at == other.at && self.field.name == other.field.name
    }
}

#[derive(Debug)]
pub enum Filter<L> {
    Test(L, Test),
    And(Vec<Filter<L>>),
    Or(Vec<Filter<L>>),
    Not(Box<Filter<L>>),
}

/// A predicate that knows its field's rules.
#[derive(Debug)]
pub enum Test {
    Null {
        negated: bool,
    },
    Bool(bool),
    Equal {
        value: Value,
        folded: Option<String>,
        negated: bool,
    },
    Order {
        op: Op,
        value: Value,
        case_sensitive: bool,
    },
    /// A date literal's days, as values of the field: first included, second not.
    Range {
        op: Op,
        from: Value,
        to: Value,
    },
    In {
        keys: HashSet<Key>,
        null: bool,
        case_sensitive: bool,
        negated: bool,
    },
    Like {
        pattern: Vec<Pattern>,
        case_sensitive: bool,
    },
    Set {
        values: Vec<String>,
        negated: bool,
    },
    Includes {
        sets: Vec<Vec<String>>,
        negated: bool,
    },
    /// A semi-join; becomes `Ids` before the first record is tested.
    Query {
        plan: Box<Plan>,
        path: Path,
        negated: bool,
    },
    Ids {
        ids: HashSet<Id>,
        negated: bool,
    },
}

impl<L> Filter<L> {
    /// Whether a record passes. Without two-valued logic a comparison with null is unknown, as in SQL.
    pub fn passes(&self, read: &impl Fn(&L) -> Value, switches: &Switches) -> bool {
        self.truth(read, switches) == Some(true)
    }

    fn truth(&self, read: &impl Fn(&L) -> Value, switches: &Switches) -> Option<bool> {
        match self {
            Filter::Test(left, test) => test.truth(&read(left), switches),
            Filter::Not(inner) => inner.truth(read, switches).map(|t| !t),
            Filter::And(all) => Self::fold(all, false, read, switches),
            Filter::Or(all) => Self::fold(all, true, read, switches),
        }
    }

    /// The first `decisive` operand decides; else an unknown one leaves it unknown.
    fn fold(all: &[Filter<L>], decisive: bool, read: &impl Fn(&L) -> Value, switches: &Switches) -> Option<bool> {
        let mut unknown = false;
        for one in all {
            match one.truth(read, switches) {
                Some(truth) if truth == decisive => return Some(decisive),
                Some(_) => {}
                None => unknown = true,
            }
        }
        (!unknown).then_some(!decisive)
    }

    pub fn tests_mut(&mut self, visit: &mut impl FnMut(&mut Test)) {
        match self {
            Filter::Test(_, test) => visit(test),
            Filter::Not(inner) => inner.tests_mut(visit),
            Filter::And(all) | Filter::Or(all) => all.iter_mut().for_each(|one| one.tests_mut(visit)),
        }
    }
}

impl Test {
    pub fn truth(&self, value: &Value, switches: &Switches) -> Option<bool> {
        // These know what to make of null.
        match self {
            Test::Null { negated } => return Some(value.is_null() != *negated),
            Test::Bool(expected) => return Some(value.is_true() == *expected),
            Test::In { null: true, negated, .. } if value.is_null() => return Some(!negated),
            _ => {}
        }
        if value.is_null() {
            let negated = match self {
                Test::Equal { negated, .. }
                | Test::In { negated, .. }
                | Test::Set { negated, .. }
                | Test::Includes { negated, .. }
                | Test::Query { negated, .. }
                | Test::Ids { negated, .. } => *negated,
                Test::Range { op, .. } => *op == Op::Ne,
                _ => false,
            };
            return switches.nulls_match_not_equal.then_some(negated);
        }
        Some(match self {
            Test::Null { .. } | Test::Bool(_) | Test::Query { .. } => false,
            Test::Equal { value: wanted, folded, negated } => {
                let same = match (value, folded) {
                    (Value::Text(text), Some(folded)) => same_folded(text, folded),
                    _ => value == wanted,
                };
                same != *negated
            }
            Test::Order { op, value: bound, case_sensitive } => {
                value.compare(bound, *case_sensitive).is_some_and(|order| holds(*op, order))
            }
            Test::Range { op, from, to } => {
                let before = value.compare(from, true) == Some(Ordering::Less);
                let within = !before && value.compare(to, true) == Some(Ordering::Less);
                match op {
                    Op::Eq => within,
                    Op::Ne => !within,
                    Op::Lt => before,
                    Op::Le => before || within,
                    Op::Gt => !before && !within,
                    Op::Ge => !before,
                }
            }
            Test::In { keys, case_sensitive, negated, .. } => {
                keys.contains(&Key::new(value, *case_sensitive)) != *negated
            }
            Test::Like { pattern, case_sensitive } => value.as_text().is_some_and(|text| {
                let text = if *case_sensitive { text.into() } else { fold(text) };
                like(&text.chars().collect::<Vec<_>>(), pattern)
            }),
            Test::Set { values, negated } => (members(value) == *values) != *negated,
            Test::Includes { sets, negated } => {
                let members = members(value);
                sets.iter().any(|set| set.iter().all(|wanted| members.contains(wanted))) != *negated
            }
            Test::Ids { ids, negated } => value.as_id().is_some_and(|id| ids.contains(&id)) != *negated,
        })
    }
}

fn holds(op: Op, order: Ordering) -> bool {
    match op {
        Op::Eq => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
    }
}

/// A multi-select's values without case, in one order.
fn members(value: &Value) -> Vec<String> {
    split(value.as_text().unwrap_or_default())
}

fn split(text: &str) -> Vec<String> {
    let mut values: Vec<_> = text.split(';').map(|v| fold(v).into_owned()).collect();
    values.sort();
    values.dedup();
    values
}

/// Greedy matching with one point of return, the last `%`.
fn like(text: &[char], pattern: &[Pattern]) -> bool {
    let (mut t, mut p) = (0, 0);
    let mut back = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Pattern::Any) => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(Pattern::One) => (t, p) = (t + 1, p + 1),
            Some(Pattern::Char(c)) if *c == text[t] => (t, p) = (t + 1, p + 1),
            _ => match &mut back {
                Some((after, from)) => {
                    *from += 1;
                    (t, p) = (*from, *after);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|p| *p == Pattern::Any)
}

/// Semi-joins seen so far in one WHERE, and where in the condition we are.
#[derive(Default)]
struct Context {
    semi_joins: usize,
    under_or: bool,
    under_not: bool,
}

impl Checker<'_> {
    /// A WHERE condition.
    pub(super) fn row_filter(&self, object: usize, expr: &Expr) -> Result<Filter<Path>> {
        self.filter(expr, &mut Context::default(), &mut |operand, predicate, context| {
            let Operand::Field(name) = operand else {
                return Err(ApiError::bad("MALFORMED_QUERY", "aggregates are not allowed in a WHERE clause"));
            };
            let path = self.path(object, name)?;
            if let Predicate::InQuery { negated, query, at } = predicate {
                let test = self.semi_join(object, &path, *negated, query, *at, context)?;
                return Ok((path, test));
            }
            if !path.field.filterable() || path.field.kind.is_compound() {
                let message = format!("field '{}' can not be filtered in a query call", path.field.name);
                return Err(self.error(name.at, "INVALID_FIELD", &message));
            }
            let test = self.test(&path.field, name.at, predicate)?;
            Ok((path, test))
        })
    }

    /// A HAVING condition.
    pub(super) fn group_filter(&self, object: usize, expr: &Expr, it: &mut Aggregation) -> Result<Filter<Cell>> {
        self.filter(expr, &mut Context::default(), &mut |operand, predicate, _| {
            let cell = self.cell(object, operand, it)?;
            let (field, at) = match (operand, cell) {
                (Operand::Field(name), Cell::Key(key)) => (it.keys[key].field.clone(), name.at),
                (Operand::Aggregate(call), Cell::Call(n)) => (super::aggregate::result_field(&it.calls[n]), call.at),
                _ => return Err(ApiError::bad("MALFORMED_QUERY", "HAVING needs a grouped or aggregated field")),
            };
            if let Predicate::InQuery { at, .. } = predicate {
                return Err(self.error(*at, "MALFORMED_QUERY", "semi joins are not allowed in a HAVING clause"));
            }
            Ok((cell, self.test(&field, at, predicate)?))
        })
    }

    fn filter<L>(
        &self,
        expr: &Expr,
        context: &mut Context,
        leaf: &mut impl FnMut(&Operand, &Predicate, &mut Context) -> Result<(L, Test)>,
    ) -> Result<Filter<L>> {
        Ok(match expr {
            Expr::Test(operand, predicate) => {
                let (left, test) = leaf(operand, predicate, context)?;
                Filter::Test(left, test)
            }
            Expr::Not(inner) => {
                let outer = std::mem::replace(&mut context.under_not, true);
                let inner = self.filter(inner, context, leaf)?;
                context.under_not = outer;
                Filter::Not(Box::new(inner))
            }
            Expr::And(all) => Filter::And(all.iter().map(|e| self.filter(e, context, leaf)).collect::<Result<_>>()?),
            Expr::Or(all) => {
                let outer = std::mem::replace(&mut context.under_or, true);
                let all = all.iter().map(|e| self.filter(e, context, leaf)).collect::<Result<_>>()?;
                context.under_or = outer;
                Filter::Or(all)
            }
        })
    }

    /// `IN (SELECT …)` within its limits (contract, section 6).
    fn semi_join(
        &self,
        object: usize,
        left: &Path,
        negated: bool,
        query: &Query,
        at: usize,
        context: &mut Context,
    ) -> Result<Test> {
        let refuse = |message: &str| Err(self.error(at, "MALFORMED_QUERY", message));
        context.semi_joins += 1;
        if context.semi_joins > 2 {
            return refuse("Maximum 2 semi join sub-selects are allowed");
        }
        if context.under_or {
            return refuse("Semi join sub-selects are not allowed with the 'OR' operator");
        }
        if context.under_not {
            return refuse("Semi join sub-selects are not allowed within the 'NOT' operator");
        }
        if !left.hops.is_empty() || !left.field.kind.is_id() {
            return refuse("The left operand of a semi join must be an id or a reference field of the queried object");
        }
        let inner = self.check(query)?;
        if inner.object == object {
            return refuse("The inner and outer selects should not be on the same object type");
        }
        if let Some(filter) = &query.filter
            && nests(filter)
        {
            return refuse("Nesting of semi join sub-selects is not supported");
        }
        let [super::ast::Item::Field(name, None)] = &query.select[..] else {
            return refuse("The inner select of a semi join must have a single field");
        };
        let path = self.path(inner.object, name)?;
        if !path.field.kind.is_id() || !matches!(inner.output, Output::Records(_)) {
            return refuse("The selected field of a semi join must be an id or a reference field");
        }
        Ok(Test::Query { plan: Box::new(inner), path, negated })
    }

    fn test(&self, field: &Field, at: usize, predicate: &Predicate) -> Result<Test> {
        let invalid = |what: &str| {
            let message = format!("invalid operator '{what}' on {} field '{}'", field.kind.api_name(), field.name);
            Err(self.error(at, "INVALID_QUERY_FILTER_OPERATOR", &message))
        };
        match predicate {
            Predicate::Compare(op, literal) => {
                self.compare(field, *op, literal).unwrap_or_else(|| invalid("comparison"))
            }
            Predicate::Like(literal) => {
                if !field.kind.is_textual() {
                    return invalid("LIKE");
                }
                let Scalar::Text(text) = &literal.value else { return Err(self.wrong_type(field, literal)) };
                let lower = |p: &Pattern| match p {
                    Pattern::Char(c) if !field.case_sensitive => c.to_lowercase().map(Pattern::Char).collect(),
                    p => vec![*p],
                };
                Ok(Test::Like {
                    pattern: text.pattern.iter().flat_map(lower).collect(),
                    case_sensitive: field.case_sensitive,
                })
            }
            Predicate::In { negated, list } => {
                if field.kind == Kind::MultiPicklist {
                    return invalid("IN");
                }
                let mut keys = HashSet::new();
                let mut null = false;
                for literal in list {
                    match self.value(field, literal)? {
                        Value::Null => {
                            null |= matches!(literal.value, Scalar::Null) || self.switches.empty_text_matches_null
                        }
                        value => {
                            keys.insert(Key::new(&value, field.case_sensitive));
                        }
                    }
                }
                if field.kind == Kind::Boolean && null {
                    // A null boolean is false.
                    keys.insert(Key::Bool(false));
                }
                Ok(Test::In { keys, null, case_sensitive: field.case_sensitive, negated: *negated })
            }
            Predicate::Includes { negated, list } => {
                if field.kind != Kind::MultiPicklist {
                    return invalid(if *negated { "EXCLUDES" } else { "INCLUDES" });
                }
                let sets = list.iter().map(|literal| match &literal.value {
                    Scalar::Text(text) => Ok(split(&text.plain)),
                    _ => Err(self.wrong_type(field, literal)),
                });
                Ok(Test::Includes { sets: sets.collect::<Result<_>>()?, negated: *negated })
            }
            Predicate::InQuery { at, .. } => Err(self.error(*at, "MALFORMED_QUERY", "semi join is not allowed here")),
        }
    }

    /// `None` if the field's type does not have the operator.
    fn compare(&self, field: &Field, op: Op, literal: &Literal) -> Option<Result<Test>> {
        let equality = matches!(op, Op::Eq | Op::Ne);
        let negated = op == Op::Ne;
        if !equality && matches!(field.kind, Kind::Boolean | Kind::MultiPicklist) {
            return None;
        }
        if let Scalar::Days(from, to) = literal.value {
            let (from, to) = match field.kind {
                Kind::Date => (Value::Date(from), Value::Date(to)),
                Kind::DateTime => (Value::DateTime(i64::from(from) * DAY), Value::DateTime(i64::from(to) * DAY)),
                _ => return Some(Err(self.wrong_type(field, literal))),
            };
            return Some(Ok(Test::Range { op, from, to }));
        }
        let value = match self.value(field, literal) {
            Ok(value) => value,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(match value {
            // A null boolean is false.
            Value::Null if field.kind == Kind::Boolean => Test::Bool(negated),
            Value::Null if !equality => return None,
            Value::Null if matches!(literal.value, Scalar::Null) || self.switches.empty_text_matches_null => {
                Test::Null { negated }
            }
            Value::Null => Test::In { keys: HashSet::new(), null: false, case_sensitive: true, negated },
            Value::Bool(b) => Test::Bool(b != negated),
            Value::Text(text) if field.kind == Kind::MultiPicklist => Test::Set { values: split(&text), negated },
            value if equality => {
                let folded = match &value {
                    Value::Text(text) if !field.case_sensitive => Some(fold(text).into_owned()),
                    _ => None,
                };
                Test::Equal { value, folded, negated }
            }
            value => Test::Order { op, value, case_sensitive: field.case_sensitive },
        }))
    }

    /// The literal as a value of the field's type.
    fn value(&self, field: &Field, literal: &Literal) -> Result<Value> {
        Ok(match (field.kind, &literal.value) {
            (_, Scalar::Null) => Value::Null,
            (Kind::Boolean, Scalar::Bool(b)) => Value::Bool(*b),
            (Kind::Id | Kind::Reference, Scalar::Text(text)) => match Id::parse(&text.plain) {
                Some(id) => Value::Id(id),
                None => {
                    let message = format!("invalid ID field: {}", text.plain);
                    return Err(self.error(literal.at, "INVALID_QUERY_FILTER_OPERATOR", &message));
                }
            },
            (kind, Scalar::Number(n)) if kind.is_number() => Value::Number(*n),
            (Kind::Currency, Scalar::Currency(n)) => Value::Number(*n),
            (Kind::Date, Scalar::Date(day)) => Value::Date(*day),
            (Kind::DateTime, Scalar::DateTime(ms)) => Value::DateTime(*ms),
            (Kind::Time, Scalar::Time(ms)) => Value::Time(*ms),
            (kind, Scalar::Text(text)) if kind.is_textual() || kind == Kind::MultiPicklist => {
                Value::text(self.plain(text, literal.at)?)
            }
            _ => return Err(self.wrong_type(field, literal)),
        })
    }

    fn plain(&self, text: &Text, at: usize) -> Result<String> {
        if text.only_like {
            return Err(self.error(
                at,
                "MALFORMED_QUERY",
                "Illegal character sequence in string literal: \\% and \\_ belong to LIKE",
            ));
        }
        Ok(text.plain.clone())
    }

    fn wrong_type(&self, field: &Field, literal: &Literal) -> ApiError {
        let name = field.kind.literal_name();
        let quotes = if name == "string" { "should be enclosed in quotes" } else { "should not be enclosed in quotes" };
        let message =
            format!("value of filter criterion for field '{}' must be of type {name} and {quotes}", field.name);
        self.error(literal.at, "INVALID_FIELD", &message)
    }
}

fn nests(expr: &Expr) -> bool {
    match expr {
        Expr::Test(_, predicate) => matches!(predicate, Predicate::InQuery { .. }),
        Expr::Not(inner) => nests(inner),
        Expr::And(all) | Expr::Or(all) => all.iter().any(nests),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, pattern: &str) -> bool {
        let pattern: Vec<_> = pattern
            .chars()
            .map(|c| match c {
                '%' => Pattern::Any,
                '_' => Pattern::One,
                c => Pattern::Char(c),
            })
            .collect();
        like(&text.chars().collect::<Vec<_>>(), &pattern)
    }

    #[test]
    fn like_backtracks_and_counts_characters_not_bytes() {
        assert!(matches("mississippi", "m%iss%pi") && matches("é", "_") && matches("", "%") && matches("abc", "abc%%"));
        assert!(!matches("abc", "ab") && !matches("", "_") && !matches("abc", "%d%"));
    }

    #[test]
    fn null_logic_is_two_valued_or_three_valued_by_the_switch() {
        let filter = Filter::Not(Box::new(Filter::Test(
            (),
            Test::Equal { value: Value::text("x"), folded: Some("x".into()), negated: false },
        )));
        let two = Switches::default();
        let three = Switches { nulls_match_not_equal: false, ..Switches::default() };
        assert!(filter.passes(&|()| Value::Null, &two) && !filter.passes(&|()| Value::Null, &three));
        assert!(filter.passes(&|()| Value::text("y"), &three) && !filter.passes(&|()| Value::text("X"), &three));
    }
}
