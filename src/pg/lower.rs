//! From Postgres's conditions to [`Predicate`]s.
//!
//! Operators are recognised by their place in the type's default btree family, never by name. Whatever
//! is not understood becomes [`Predicate::Opaque`] and is tested by Postgres.

use pgrx::pg_sys;

use super::datum;
use super::node::{Node, Shape};
use super::operator;
use super::planner::Rel;
use super::source::Source;
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::schema::Field;
use crate::value::{Type, Value};

/// Conditions nested deeper than this are left to Postgres: whatever walks them does so by recursion.
const DEEPEST: u32 = 20;

/// Lowers the conditions of one scan, and gathers the expressions that execution must evaluate.
pub struct Lowering<'t, 'p> {
    rel: Rel<'p>,
    source: &'t Source,
    /// Whether operands may name columns of other relations: a join brings their rows one by one.
    pub joined: bool,
    /// What [`Operand::Arg`] counts.
    pub args: Vec<Node<'p>>,
}

impl<'t, 'p> Lowering<'t, 'p> {
    pub fn new(rel: Rel<'p>, source: &'t Source) -> Self {
        Lowering { rel, source, joined: false, args: Vec::new() }
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
            Shape::Operator { oid, collation, left, right } => self.comparison(oid, collation, left, right),
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
        let (field, other, column_first) = match (self.field(left), self.field(right)) {
            (Some(field), None) => (field.clone(), right, true),
            (None, Some(field)) => (field.clone(), left, false),
            _ => return None,
        };
        let column = if column_first { left } else { right };
        let op = operator::comparison(oid, column.type_oid(), collation)?;
        let op = if column_first { op } else { op.commute() };
        let operand = self.operand(other, field.ty)?;
        Some(Predicate::Compare { field, op, operand })
    }

    fn membership(
        &mut self,
        oid: pg_sys::Oid,
        any: bool,
        collation: pg_sys::Oid,
        left: Node<'p>,
        right: Node<'p>,
    ) -> Option<Predicate> {
        let field = self.field(left)?.clone();
        let negated = match (operator::comparison(oid, left.type_oid(), collation)?, any) {
            (Comparison::Eq, true) => false,
            (Comparison::Ne, false) => true,
            _ => return None,
        };
        let list = self.operand_of(right, |oid| datum::list_type(oid) == Some(field.ty))?;
        Some(Predicate::In { field, list, negated })
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
        match node.shape() {
            Shape::Column { relation, attribute } => self.source.comparable(relation, attribute),
            Shape::Relabel(inner) => {
                let field = self.field(inner)?;
                (datum::scalar_type(node.type_oid()) == Some(field.ty)).then_some(field)
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
