//! A parsed query, before anything in it is looked up. Positions are bytes in the query's text, for error messages.

use super::lexer::Text;
use crate::salesforce::number::Decimal;

#[derive(Debug)]
pub struct Query {
    pub select: Vec<Item>,
    pub object: String,
    pub object_at: usize,
    pub filter: Option<Expr>,
    pub group: Vec<Name>,
    pub having: Option<Expr>,
    pub order: Vec<Order>,
    pub limit: Option<u64>,
    pub limit_at: usize,
    pub offset: Option<u64>,
    pub offset_at: usize,
}

/// A field, perhaps of a parent: `Account.Owner.Name`.
#[derive(Clone, Debug)]
pub struct Name {
    pub parts: Vec<String>,
    pub at: usize,
}

#[derive(Debug)]
pub enum Item {
    Field(Name, Option<String>),
    Aggregate(Call, Option<String>),
    /// `COUNT()`
    Count(usize),
    /// `FIELDS(ALL)` and the like.
    Fields(String, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Count,
    CountDistinct,
    Sum,
    Avg,
    Min,
    Max,
}

impl Function {
    pub fn parse(word: &str) -> Option<Function> {
        const NAMES: [(&str, Function); 6] = [
            ("COUNT", Function::Count),
            ("COUNT_DISTINCT", Function::CountDistinct),
            ("SUM", Function::Sum),
            ("AVG", Function::Avg),
            ("MIN", Function::Min),
            ("MAX", Function::Max),
        ];
        NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, f)| *f)
    }
}

/// An aggregate of a field.
#[derive(Clone, Debug)]
pub struct Call {
    pub function: Function,
    pub field: Name,
    pub at: usize,
}

#[derive(Debug)]
pub enum Operand {
    Field(Name),
    Aggregate(Call),
}

#[derive(Debug)]
pub struct Order {
    pub by: Operand,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Debug)]
pub enum Expr {
    Test(Operand, Predicate),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Debug)]
pub enum Predicate {
    Compare(Op, Literal),
    Like(Literal),
    In {
        negated: bool,
        list: Vec<Literal>,
    },
    InQuery {
        negated: bool,
        query: Box<Query>,
        at: usize,
    },
    /// INCLUDES, or EXCLUDES if negated.
    Includes {
        negated: bool,
        list: Vec<Literal>,
    },
}

#[derive(Debug)]
pub struct Literal {
    pub value: Scalar,
    pub at: usize,
}

#[derive(Debug)]
pub enum Scalar {
    Null,
    Bool(bool),
    Number(Decimal),
    /// `USD5000`
    Currency(Decimal),
    Text(Text),
    Date(i32),
    DateTime(i64),
    Time(u32),
    /// A date literal such as TODAY: days from the first up to, but without, the second.
    Days(i32, i32),
}
