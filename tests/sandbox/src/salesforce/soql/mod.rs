//! SOQL: text becomes tokens, a query (`parser`), a plan checked against the schema (`check`, `filter`), and in
//! the end records (`eval`, `aggregate`).

pub mod aggregate;
pub mod ast;
pub mod check;
pub mod dates;
pub mod eval;
pub mod filter;
pub mod lexer;
pub mod parser;

use super::error::{ApiError, Result};

/// The whole query may have so many characters.
pub const QUERY_LIMIT: usize = 100_000;

/// An error with the line of the query, a caret under the place and the position, as the API lays it out.
pub fn error_at(query: &str, at: usize, code: &'static str, message: &str) -> ApiError {
    let at = at.min(query.len());
    let before = &query[..at];
    let line_from = before.rfind('\n').map_or(0, |n| n + 1);
    let line = query[line_from..].lines().next().unwrap_or_default();
    let row = before.matches('\n').count() + 1;
    let column = query[line_from..at].chars().count();
    let caret = " ".repeat(column);
    ApiError::bad(code, format!("\n{line}\n{caret}^\nERROR at Row:{row}:Column:{}\n{message}", column + 1))
}

fn syntax_error(query: &str, at: usize, message: &str) -> ApiError {
    error_at(query, at, "MALFORMED_QUERY", message)
}

/// Parses and checks a query.
pub fn plan(checker: &check::Checker<'_>) -> Result<check::Plan> {
    if checker.text.chars().count() > QUERY_LIMIT {
        return Err(ApiError::bad("QUERY_TOO_COMPLICATED", "SOQL statements cannot be longer than 100000 characters."));
    }
    let dialect = parser::Dialect { angle_not_equal: checker.switches.angle_not_equal, now: crate::time::now() };
    checker.check(&parser::parse(checker.text, dialect)?)
}
