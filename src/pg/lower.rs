//! From Postgres's conditions to [`Predicate`]s.
//!
//! Operators are recognised by their place in the type's default btree family or by their function's OID, never by
//! name. Whatever is not understood becomes [`Predicate::Opaque`] and is tested by Postgres.

use pgrx::pg_sys;

use super::datum;
use super::node::{Node, Shape};
use super::operator;
use super::planner::Rel;
use super::source::Source;
use crate::query::pattern::{Case, Form, Pattern};
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::schema::Field;
use crate::value::{Type, Value};

/// Conditions nested deeper than this are left to Postgres: whatever walks them does so by recursion.
const DEEPEST: u32 = 20;

/// Lowers the conditions of one scan, and gathers the expressions that execution must evaluate.
pub struct Lowering<'t, 'p> {
    rel: Rel<'p>,
    source: &'t Source,
    /// What stands for a field besides columns: the aggregates of groups.
    cells: &'t [(Node<'p>, Field)],
    /// Whether operands may name columns of other relations: a join brings their rows one by one.
    pub joined: bool,
    /// What [`Operand::Arg`] counts.
    pub args: Vec<Node<'p>>,
}

impl<'t, 'p> Lowering<'t, 'p> {
    pub fn new(rel: Rel<'p>, source: &'t Source) -> Self {
        Lowering::of_groups(rel, source, &[])
    }

    /// For conditions on groups, whose aggregates are these fields.
    pub fn of_groups(rel: Rel<'p>, source: &'t Source, cells: &'t [(Node<'p>, Field)]) -> Self {
        Lowering { rel, source, cells, joined: false, args: Vec::new() }
    }

    /// The condition in neutral words.
    pub fn condition(&mut self, node: Node<'p>) -> Predicate {
        self.nested(node, 0)
    }

    fn nested(&mut self, node: Node<'p>, depth: u32) -> Predicate {
        if depth > DEEPEST {
            return Predicate::Opaque;
        }
        let understood = match node.shape() {
            Shape::And(parts) => Some(Predicate::And(self.parts(parts, depth))),
            Shape::Or(parts) => Some(Predicate::Or(self.parts(parts, depth))),
            Shape::Not(part) => Some(self.nested(part, depth + 1).negate()),
            Shape::Operator { oid, collation, left, right } => self
                .comparison(oid, collation, left, right)
                .or_else(|| self.test(operator::function(oid), collation, left, right)),
            Shape::Call { function, collation, args } => match args[..] {
                [left, right] => self.test(function, collation, left, right),
                _ => None,
            },
            Shape::Distinct { oid, collation, left, right } => self.distinct(oid, collation, left, right),
            Shape::ArrayOperator { oid, any, collation, left, right } => {
                self.membership(oid, any, collation, left, right)
            }
            Shape::NullTest { of, negated } => {
                self.field(of).map(|field| Predicate::IsNull { field: field.clone(), negated })
            }
            Shape::BooleanTest { of, test } => self.boolean_test(of, test),
            Shape::Column { .. } => self.boolean(node, Comparison::Eq),
            _ => None,
        };
        understood.unwrap_or_else(|| self.known(node))
    }

    fn parts(&mut self, parts: Vec<Node<'p>>, depth: u32) -> Vec<Predicate> {
        parts.into_iter().map(|part| self.nested(part, depth + 1)).collect()
    }

    /// A condition that no row decides.
    fn known(&mut self, node: Node<'p>) -> Predicate {
        match self.operand(node, Type::Bool) {
            Some(operand) => Predicate::Known { operand, negated: false },
            None => Predicate::Opaque,
        }
    }

    fn comparison(
        &mut self,
        oid: pg_sys::Oid,
        collation: pg_sys::Oid,
        left: Node<'p>,
        right: Node<'p>,
    ) -> Option<Predicate> {
        let (subject, column, other) = self.sides(left, right)?;
        let op = operator::comparison(oid, column.type_oid(), collation)?;
        let op = if column.as_ptr() == left.as_ptr() { op } else { op.commute() };
        let Subject { field, case } = subject;
        if case != Case::Kept {
            return if op == Comparison::Eq { self.text(subject, Form::Whole, other, false) } else { None };
        }
        let compare = |op, operand| Predicate::Compare { field: field.clone(), op, operand };
        Some(match (field.ty, other.type_oid()) {
            // What the operators for these types do: midnight, and the session's time zone.
            (Type::Instant, pg_sys::DATEOID) => {
                let instant = other.cast_by(pg_sys::F_TIMESTAMPTZ_DATE, pg_sys::TIMESTAMPTZOID)?;
                compare(op, self.operand(instant, field.ty)?)
            }
            (Type::Instant, pg_sys::TIMESTAMPOID) => {
                let instant = other.cast_by(pg_sys::F_TIMESTAMPTZ_TIMESTAMP, pg_sys::TIMESTAMPTZOID)?;
                compare(op, self.operand(instant, field.ty)?)
            }
            (Type::Date, pg_sys::TIMESTAMPOID) => {
                let day = other.cast_by(pg_sys::F_DATE_TIMESTAMP, pg_sys::DATEOID)?;
                Predicate::Weaker(Box::new(compare(or_equal(op)?, self.operand(day, field.ty)?)))
            }
            (Type::Date, pg_sys::TIMESTAMPTZOID) => {
                let day = other.cast_by(pg_sys::F_DATE_TIMESTAMPTZ, pg_sys::DATEOID)?;
                Predicate::Weaker(Box::new(compare(or_equal(op)?, self.operand(day, field.ty)?)))
            }
            _ => compare(op, self.operand_of(other, |oid| compares(field.ty, datum::scalar_type(oid)))?),
        })
    }

    fn distinct(
        &mut self,
        oid: pg_sys::Oid,
        collation: pg_sys::Oid,
        left: Node<'p>,
        right: Node<'p>,
    ) -> Option<Predicate> {
        let (Subject { field, case }, column, other) = self.sides(left, right)?;
        let same = operator::comparison(oid, column.type_oid(), collation)? == Comparison::Eq && case == Case::Kept;
        let operand = self.operand_of(other, |oid| same && compares(field.ty, datum::scalar_type(oid)))?;
        Some(Predicate::Distinct { field: field.clone(), operand, negated: false })
    }

    fn membership(
        &mut self,
        oid: pg_sys::Oid,
        any: bool,
        collation: pg_sys::Oid,
        left: Node<'p>,
        right: Node<'p>,
    ) -> Option<Predicate> {
        let comparison = operator::comparison(oid, left.type_oid(), collation);
        if let Some(field) = self.list(right) {
            let items = self.operand(left, Type::Text).filter(|_| any && comparison == Some(Comparison::Eq))?;
            return Some(Predicate::Holds { field: field.clone(), items, all: false });
        }
        let subject = self.subject(left)?;
        let negated = match (comparison, any) {
            (Some(Comparison::Eq), true) => false,
            (Some(Comparison::Ne), false) => true,
            (None, true) => match operator::test(operator::function(oid))? {
                operator::Test::Text(case, form) if operator::is_deterministic(collation) => {
                    return self.text(subject.after(case)?, form, right, true);
                }
                _ => return None,
            },
            _ => return None,
        };
        let Subject { field, case } = subject;
        if case != Case::Kept {
            return if negated { None } else { self.text(subject, Form::Whole, right, true) };
        }
        let list = self.operand_of(right, |oid| compares(field.ty, datum::list_type(oid)))?;
        Some(Predicate::In { field: field.clone(), list, negated })
    }

    /// A function or an operator that is no comparison.
    fn test(
        &mut self,
        function: pg_sys::Oid,
        collation: pg_sys::Oid,
        left: Node<'p>,
        right: Node<'p>,
    ) -> Option<Predicate> {
        let test = operator::test(function).filter(|_| operator::is_deterministic(collation))?;
        let (list, other, all) = match test {
            operator::Test::Text(case, form) => {
                return self.text(self.subject(left)?.after(case)?, form, right, false);
            }
            operator::Test::Contains => (left, right, true),
            operator::Test::Contained => (right, left, true),
            operator::Test::Overlaps | operator::Test::SameList if self.list(left).is_some() => {
                (left, right, matches!(test, operator::Test::SameList))
            }
            operator::Test::Overlaps => (right, left, false),
            operator::Test::SameList => (right, left, true),
        };
        let field = self.list(list)?.clone();
        let items = self.operand_of(other, |oid| datum::list_type(oid) == Some(Type::Text))?;
        let holds = Predicate::Holds { field, items, all };
        // Lists that are the same hold the same items; the reverse does not follow.
        Some(if matches!(test, operator::Test::SameList) { Predicate::Weaker(Box::new(holds)) } else { holds })
    }

    /// A text against a pattern, or against any of a list of patterns.
    fn text(&mut self, subject: Subject<'t>, form: Form, pattern: Node<'p>, any: bool) -> Option<Predicate> {
        let Subject { field, case } = subject;
        let is_text = |oid| if any { datum::list_type(oid) } else { datum::scalar_type(oid) } == Some(Type::Text);
        let pattern = self.operand_of(pattern, is_text).filter(|_| field.ty == Type::Text)?;
        let field = field.clone();
        if let (Case::Kept, Operand::Value(Value::Text(text))) = (case, &pattern)
            && let Some(text) = Pattern::new(form, text).and_then(|pattern| pattern.text())
        {
            return Some(Predicate::Compare { field, op: Comparison::Eq, operand: Operand::Value(Value::text(text)) });
        }
        Some(Predicate::Text { field, case, form, pattern })
    }

    /// The side that says something of a record: what it says, the side itself, and the other one.
    fn sides(&self, left: Node<'p>, right: Node<'p>) -> Option<(Subject<'t>, Node<'p>, Node<'p>)> {
        match (self.subject(left), self.subject(right)) {
            (Some(subject), None) => Some((subject, left, right)),
            (None, Some(subject)) => Some((subject, right, left)),
            _ => None,
        }
    }

    /// A column, as it is, in a wider type, or in lower or upper case.
    fn subject(&self, node: Node<'p>) -> Option<Subject<'t>> {
        if let Some(field) = self.field(node) {
            return Some(Subject { field, case: Case::Kept });
        }
        match node.shape() {
            Shape::Call { function, collation, args } => {
                let [inner] = args[..] else { return None };
                if operator::widens(function) {
                    return self.subject(inner).filter(|subject| subject.field.ty == Type::Int);
                }
                let field = self.field(inner).filter(|field| field.ty == Type::Text)?;
                Some(Subject { field, case: operator::case(function, collation)? })
            }
            Shape::Relabel(inner) if datum::scalar_type(node.type_oid()) == Some(Type::Text) => {
                self.subject(inner).filter(|subject| subject.field.ty == Type::Text)
            }
            _ => None,
        }
    }

    /// A column of lists of texts.
    fn list(&self, node: Node<'p>) -> Option<&'t Field> {
        self.field(node).filter(|field| field.ty == Type::TextList)
    }

    fn boolean_test(&mut self, of: Node<'p>, test: pg_sys::BoolTestType::Type) -> Option<Predicate> {
        use pg_sys::BoolTestType as Test;
        let field = self.field(of).filter(|field| field.ty == Type::Bool)?.clone();
        let is = |value: bool| Predicate::Compare {
            field: field.clone(),
            op: Comparison::Eq,
            operand: Operand::Value(Value::Bool(value)),
        };
        let null = |negated| Predicate::IsNull { field: field.clone(), negated };
        Some(match test {
            Test::IS_TRUE => is(true),
            Test::IS_FALSE => is(false),
            Test::IS_NOT_TRUE => Predicate::Or(vec![is(false), null(false)]),
            Test::IS_NOT_FALSE => Predicate::Or(vec![is(true), null(false)]),
            Test::IS_UNKNOWN => null(false),
            Test::IS_NOT_UNKNOWN => null(true),
            _ => return None,
        })
    }

    /// A bare boolean column.
    fn boolean(&self, node: Node<'p>, op: Comparison) -> Option<Predicate> {
        let field = self.field(node).filter(|field| field.ty == Type::Bool)?;
        Some(Predicate::Compare { field: field.clone(), op, operand: Operand::Value(Value::Bool(true)) })
    }

    /// What a condition ranks rows by, seen as a field.
    pub fn sorted(&self, node: Node<'p>) -> Option<&'t Field> {
        self.field(node)
    }

    /// The field behind a column of the scan, seen through casts that change nothing.
    fn field(&self, node: Node<'p>) -> Option<&'t Field> {
        if let Some((_, field)) = self.cells.iter().find(|(cell, _)| cell.equals(node)) {
            return Some(field);
        }
        match node.shape() {
            Shape::Column { relation, attribute } => self.source.comparable(relation, attribute),
            Shape::Relabel(inner) => {
                let field = self.field(inner)?;
                let oid = node.type_oid();
                let same = match field.ty {
                    Type::TextList => datum::list_type(oid) == Some(Type::Text),
                    scalar => datum::scalar_type(oid) == Some(scalar),
                };
                same.then_some(field)
            }
            _ => None,
        }
    }

    fn operand(&mut self, node: Node<'p>, ty: Type) -> Option<Operand> {
        self.operand_of(node, |oid| datum::scalar_type(oid) == Some(ty))
    }

    fn operand_of(&mut self, node: Node<'p>, fits: impl Fn(pg_sys::Oid) -> bool) -> Option<Operand> {
        let oid = node.type_oid();
        if !fits(oid) {
            return None;
        }
        if let Shape::Const { datum, null } = node.shape() {
            // SAFETY: a constant's datum is of the constant's type.
            return Some(Operand::Value(unsafe { datum::to_value(datum, null, oid) }));
        }
        let known = if self.joined { self.rel.known_beside(node) } else { self.rel.known_at_execution(node) };
        if !known {
            return None;
        }
        self.args.push(node);
        Some(Operand::Arg(self.args.len() - 1))
    }

    /// The value that LIMIT or OFFSET will have, as an operand.
    pub fn rows(&mut self, node: Node<'p>) -> Option<Operand> {
        self.operand(node, Type::Int)
    }
}

/// What one side of a comparison says of a record.
#[derive(Clone, Copy)]
struct Subject<'t> {
    field: &'t Field,
    /// What is done to the field, if it is a text.
    case: Case,
}

impl Subject<'_> {
    /// The same after something more is done to it.
    fn after(self, case: Case) -> Option<Self> {
        match (self.case, case) {
            (_, Case::Kept) => Some(self),
            (Case::Kept, case) => Some(Subject { case, ..self }),
            _ => None,
        }
    }
}

/// Whether values of one type compare with cells of another as numbers, dates and texts do everywhere.
fn compares(cell: Type, value: Option<Type>) -> bool {
    match cell {
        Type::Int => matches!(value, Some(Type::Int | Type::Decimal | Type::Float)),
        same => value == Some(same),
    }
}

/// For a day and the instant that it was cut from: a comparison with the day that holds wherever the one with the
/// instant does.
fn or_equal(op: Comparison) -> Option<Comparison> {
    match op {
        Comparison::Eq => Some(Comparison::Eq),
        Comparison::Lt | Comparison::Le => Some(Comparison::Le),
        Comparison::Gt | Comparison::Ge => Some(Comparison::Ge),
        Comparison::Ne => None,
    }
}
