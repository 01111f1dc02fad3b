//! Safe views of expression trees.
//!
//! A tree leaves Postgres once, here: what the rest of the crate sees is a [`Shape`].

use std::collections::BTreeSet;
use std::ffi::c_char;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use pgrx::{PgList, is_a, pg_sys};

use super::version::{self, RowState};
use crate::query::change::Op;

/// Where a node stands that has no place in the statement's text.
const NOWHERE: i32 = -1;
/// Where a NULL stands that means DEFAULT. No other code gives a node this place; all take it for none.
const DEFAULT: i32 = -2;

/// A node of an expression that the planner owns. Valid while planning lasts.
#[derive(Clone, Copy)]
pub struct Node<'p> {
    node: NonNull<pg_sys::Node>,
    planner: PhantomData<&'p ()>,
}

/// The node types that pushdown knows.
pub enum Shape<'p> {
    /// A column of a relation of this query level.
    Column {
        relation: u32,
        attribute: i16,
    },
    Const {
        datum: pg_sys::Datum,
        null: bool,
    },
    And(Vec<Node<'p>>),
    Or(Vec<Node<'p>>),
    Not(Node<'p>),
    Operator {
        oid: pg_sys::Oid,
        collation: pg_sys::Oid,
        left: Node<'p>,
        right: Node<'p>,
    },
    /// `left IS DISTINCT FROM right`, by the operator for what is equal.
    Distinct {
        oid: pg_sys::Oid,
        collation: pg_sys::Oid,
        left: Node<'p>,
        right: Node<'p>,
    },
    /// A function, by whatever syntax.
    Call {
        function: pg_sys::Oid,
        collation: pg_sys::Oid,
        args: Vec<Node<'p>>,
    },
    /// `left op ANY (right)`, or `ALL` if not `any`.
    ArrayOperator {
        oid: pg_sys::Oid,
        any: bool,
        collation: pg_sys::Oid,
        left: Node<'p>,
        right: Node<'p>,
    },
    NullTest {
        of: Node<'p>,
        negated: bool,
    },
    BooleanTest {
        of: Node<'p>,
        test: pg_sys::BoolTestType::Type,
    },
    /// A cast between types of one binary form.
    Relabel(Node<'p>),
    Other,
}

/// A call of an aggregate function.
pub struct Call<'p> {
    pub function: pg_sys::Oid,
    pub distinct: bool,
    pub argument: Option<Node<'p>>,
}

impl<'p> Node<'p> {
    /// # Safety
    /// The pointer must be null or lead to a node that lives as long as `'p`.
    pub unsafe fn new(node: *mut pg_sys::Node) -> Option<Self> {
        NonNull::new(node).map(|node| Node { node, planner: PhantomData })
    }

    pub fn as_ptr(self) -> *mut pg_sys::Node {
        self.node.as_ptr()
    }

    /// # Safety
    /// The node must be of type `T`.
    unsafe fn cast<T>(self) -> &'p T {
        // SAFETY: a live node, of this type by the contract above.
        unsafe { self.node.cast::<T>().as_ref() }
    }

    fn is(self, tag: pg_sys::NodeTag) -> bool {
        // SAFETY: a live node.
        unsafe { is_a(self.as_ptr(), tag) }
    }

    /// The nodes of an argument list.
    fn list(list: *mut pg_sys::List) -> Vec<Node<'p>> {
        // SAFETY: the argument list of a live node holds live nodes.
        unsafe { nodes(list) }
    }

    fn pair(list: *mut pg_sys::List) -> Option<(Node<'p>, Node<'p>)> {
        match Self::list(list)[..] {
            [left, right] => Some((left, right)),
            _ => None,
        }
    }

    fn child(node: *mut pg_sys::Expr) -> Option<Node<'p>> {
        // SAFETY: the argument of a live node is a live node.
        unsafe { Node::new(node.cast()) }
    }

    pub fn shape(self) -> Shape<'p> {
        self.known_shape().unwrap_or(Shape::Other)
    }

    fn known_shape(self) -> Option<Shape<'p>> {
        // SAFETY, for every cast below: the tag was just tested.
        if self.is(pg_sys::NodeTag::T_Var) {
            // SAFETY: see above.
            let var = unsafe { self.cast::<pg_sys::Var>() };
            return (var.varlevelsup == 0)
                .then_some(Shape::Column { relation: u32::try_from(var.varno).ok()?, attribute: var.varattno });
        }
        if self.is(pg_sys::NodeTag::T_Const) {
            // SAFETY: see above.
            let constant = unsafe { self.cast::<pg_sys::Const>() };
            return Some(Shape::Const { datum: constant.constvalue, null: constant.constisnull });
        }
        if self.is(pg_sys::NodeTag::T_BoolExpr) {
            // SAFETY: see above.
            let expr = unsafe { self.cast::<pg_sys::BoolExpr>() };
            let mut args = Self::list(expr.args);
            return match expr.boolop {
                pg_sys::BoolExprType::AND_EXPR => Some(Shape::And(args)),
                pg_sys::BoolExprType::OR_EXPR => Some(Shape::Or(args)),
                _ => args.pop().map(Shape::Not),
            };
        }
        if self.is(pg_sys::NodeTag::T_OpExpr) {
            // SAFETY: see above.
            let expr = unsafe { self.cast::<pg_sys::OpExpr>() };
            let (left, right) = Self::pair(expr.args)?;
            return Some(Shape::Operator { oid: expr.opno, collation: expr.inputcollid, left, right });
        }
        if self.is(pg_sys::NodeTag::T_DistinctExpr) {
            // SAFETY: see above.
            let expr = unsafe { self.cast::<pg_sys::DistinctExpr>() };
            let (left, right) = Self::pair(expr.args)?;
            return Some(Shape::Distinct { oid: expr.opno, collation: expr.inputcollid, left, right });
        }
        if self.is(pg_sys::NodeTag::T_FuncExpr) {
            // SAFETY: see above.
            let expr = unsafe { self.cast::<pg_sys::FuncExpr>() };
            let args = Self::list(expr.args);
            return Some(Shape::Call { function: expr.funcid, collation: expr.inputcollid, args });
        }
        if self.is(pg_sys::NodeTag::T_ScalarArrayOpExpr) {
            // SAFETY: see above.
            let expr = unsafe { self.cast::<pg_sys::ScalarArrayOpExpr>() };
            let (left, right) = Self::pair(expr.args)?;
            return Some(Shape::ArrayOperator {
                oid: expr.opno,
                any: expr.useOr,
                collation: expr.inputcollid,
                left,
                right,
            });
        }
        if self.is(pg_sys::NodeTag::T_NullTest) {
            // SAFETY: see above.
            let test = unsafe { self.cast::<pg_sys::NullTest>() };
            return (!test.argisrow).then_some(Shape::NullTest {
                of: Self::child(test.arg)?,
                negated: test.nulltesttype == pg_sys::NullTestType::IS_NOT_NULL,
            });
        }
        if self.is(pg_sys::NodeTag::T_BooleanTest) {
            // SAFETY: see above.
            let test = unsafe { self.cast::<pg_sys::BooleanTest>() };
            return Some(Shape::BooleanTest { of: Self::child(test.arg)?, test: test.booltesttype });
        }
        if self.is(pg_sys::NodeTag::T_RelabelType) {
            // SAFETY: see above.
            let relabel = unsafe { self.cast::<pg_sys::RelabelType>() };
            return Self::child(relabel.arg).map(Shape::Relabel);
        }
        None
    }

    /// Marks a NULL that stands nowhere in the statement's text, perhaps within a cast to a domain: before anything is
    /// folded it can only be what the rewriter has made of DEFAULT.
    pub fn mark_default(self) {
        if self.is(pg_sys::NodeTag::T_CoerceToDomain) {
            // SAFETY: the tag was just tested.
            let cast = unsafe { self.cast::<pg_sys::CoerceToDomain>() };
            Self::child(cast.arg).into_iter().for_each(Node::mark_default);
        } else if self.is(pg_sys::NodeTag::T_Const) {
            // SAFETY: the tag was just tested, and nobody else holds a reference now.
            let constant = unsafe { self.node.cast::<pg_sys::Const>().as_mut() };
            if constant.constisnull && constant.location == NOWHERE {
                constant.location = DEFAULT;
            }
        }
    }

    /// Whether [`Node::mark_default`] has marked it; unless `marked`, whether it would have been.
    pub fn is_default(self, marked: bool) -> bool {
        if self.is(pg_sys::NodeTag::T_CoerceToDomain) {
            // SAFETY: the tag was just tested.
            let cast = unsafe { self.cast::<pg_sys::CoerceToDomain>() };
            return Self::child(cast.arg).is_some_and(|inner| inner.is_default(marked));
        }
        if !self.is(pg_sys::NodeTag::T_Const) {
            return false;
        }
        // SAFETY: the tag was just tested.
        let constant = unsafe { self.cast::<pg_sys::Const>() };
        constant.constisnull && constant.location == if marked { DEFAULT } else { NOWHERE }
    }

    /// Whether two expressions are the same.
    pub fn equals(self, other: Node<'p>) -> bool {
        // SAFETY: two live expressions.
        unsafe { pg_sys::equal(self.as_ptr().cast(), other.as_ptr().cast()) }
    }

    /// An aggregate function of one expression, or of none, of this query level, without FILTER and ORDER BY.
    pub fn aggregate(self) -> Option<Call<'p>> {
        if !self.is(pg_sys::NodeTag::T_Aggref) {
            return None;
        }
        // SAFETY: the tag was just tested.
        let call = unsafe { self.cast::<pg_sys::Aggref>() };
        // SAFETY: the arguments of a live call are live target entries.
        let arguments = unsafe { PgList::<pg_sys::TargetEntry>::from_pg(call.args) };
        // No ordered-set or hypothetical one.
        let plain = call.aggkind == b'n' as c_char
            && call.agglevelsup == 0
            && call.aggdirectargs.is_null()
            && call.aggorder.is_null()
            && call.aggfilter.is_null()
            && !call.aggvariadic
            && call.aggsplit == pg_sys::AggSplit::AGGSPLIT_SIMPLE
            && arguments.len() == usize::from(!call.aggstar);
        // SAFETY: a live entry has a live expression.
        let argument = arguments.get_ptr(0).and_then(|entry| unsafe { Node::new((*entry).expr.cast()) });
        plain.then_some(Call { function: call.aggfnoid, distinct: !call.aggdistinct.is_null(), argument })
    }

    /// A cast of this, by its function, to a type without collation.
    pub fn cast_by(self, function: u32, type_oid: pg_sys::Oid) -> Option<Node<'p>> {
        const IMPLICIT: pg_sys::CoercionForm::Type = pg_sys::CoercionForm::COERCE_IMPLICIT_CAST;
        let (args, none) = (list([self.as_ptr()]), pg_sys::InvalidOid);
        // SAFETY: a list of one live expression, which the new one holds on to.
        let call = unsafe { pg_sys::makeFuncExpr(function.into(), type_oid, args, none, none, IMPLICIT) };
        // SAFETY: just made, in the planner's memory.
        unsafe { Node::new(call.cast()) }
    }

    pub fn type_oid(self) -> pg_sys::Oid {
        // SAFETY: a live expression node.
        unsafe { pg_sys::exprType(self.as_ptr()) }
    }
}

/// The nodes of a list.
///
/// # Safety
/// The list must be null or hold nodes that live as long as `'p`.
pub unsafe fn nodes<'p>(list: *mut pg_sys::List) -> Vec<Node<'p>> {
    // SAFETY: by the contract above.
    let list = unsafe { PgList::<pg_sys::Node>::from_pg(list) };
    // SAFETY: likewise.
    list.iter_ptr().filter_map(|node| unsafe { Node::new(node) }).collect()
}

/// A list of pointers that Postgres owns from here on.
pub fn list<T>(items: impl IntoIterator<Item = *mut T>) -> *mut pg_sys::List {
    let mut list = PgList::<T>::new();
    for item in items {
        list.push(item);
    }
    if list.is_empty() { ptr::null_mut() } else { list.into_pg() }
}

/// The attributes of a relation that a list RETURNING of this operation names of its row in one state; 0 stands for the
/// whole row.
///
/// # Safety
/// The list must be null, or hold live target entries.
pub unsafe fn returned(relation: u32, list: *mut pg_sys::List, op: Op, wanted: RowState) -> BTreeSet<i32> {
    // A deleted record is shown as it was, any other as it is.
    let usual = if op == Op::Delete { RowState::Before } else { RowState::After };
    let flags = pg_sys::PVC_RECURSE_AGGREGATES | pg_sys::PVC_RECURSE_WINDOWFUNCS | pg_sys::PVC_RECURSE_PLACEHOLDERS;
    // SAFETY: by the contract above; what comes back are columns.
    let columns = unsafe { PgList::<pg_sys::Var>::from_pg(pg_sys::pull_var_clause(list.cast(), flags as i32)) };
    // SAFETY: live columns.
    let columns = columns.iter_ptr().map(|column| unsafe { &*column });
    let columns = columns.filter(|column| u32::try_from(column.varno) == Ok(relation));
    let columns = columns.filter(|column| version::row_state(column).unwrap_or(usual) == wanted);
    columns.map(|column| column.varattno.into()).collect()
}

/// The attributes of a relation that expressions name; 0 stands for the whole row.
///
/// # Safety
/// Each must be null, or a live expression or list of them.
pub unsafe fn named(relation: u32, expressions: impl IntoIterator<Item = *mut pg_sys::Node>) -> BTreeSet<i32> {
    let mut found: *mut pg_sys::Bitmapset = ptr::null_mut();
    for expression in expressions {
        // SAFETY: by the contract above; the set is Postgres's own to grow.
        unsafe { pg_sys::pull_varattnos(expression, relation, &mut found) };
    }
    let mut named = BTreeSet::new();
    let mut member = -1;
    loop {
        // SAFETY: a set that Postgres just made, or null.
        member = unsafe { pg_sys::bms_next_member(found, member) };
        if member < 0 {
            return named;
        }
        // Members are shifted so that system columns, whose numbers are negative, fit in.
        named.insert(member + pg_sys::FirstLowInvalidHeapAttributeNumber);
    }
}
