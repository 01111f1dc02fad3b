//! Airtable's formulas: read by a lexer and a parser, then evaluated for one record at a time with Airtable's own
//! rules (contract, section 5). What the contract leaves open is a switch.

mod clock;
mod date_functions;
mod eval;
mod functions;
mod lexer;
mod parser;
mod regexes;
#[cfg(test)]
mod tests;
mod text_functions;

pub use clock::parse_moment;
pub use eval::{Ctx, Scope, Val, number_text, text};
pub use parser::{Names, parse};
pub use regexes::Regexes;

/// A function: lazy in its arguments, since IF, SWITCH and their like do not look at all of them.
pub type Function = for<'a> fn(&Scope<'a>, &'a [Expr]) -> Val<'a>;

pub enum Expr {
    Number(f64),
    Text(Box<str>),
    /// The field at this place of the table.
    Field(usize),
    /// In a rollup: the values rolled up.
    Values,
    Negative(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Call(&'static str, Function, Vec<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Join,
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Why a formula is refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Invalid {
    Formula,
    /// Names in the order of their appearance.
    UnknownFields(Vec<String>),
}

impl Invalid {
    /// What the API says of it (contract, section 5).
    pub fn message(&self) -> String {
        let what = match self {
            Invalid::Formula => "Invalid formula. Please check your formula text.".to_owned(),
            Invalid::UnknownFields(names) => format!("Unknown field names: {}", names.join(", ").to_lowercase()),
        };
        format!("The formula for filtering records is invalid: {what}")
    }
}
