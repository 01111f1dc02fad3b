//! Tokens to an expression. From the loosest: comparisons, `&`, `+ -`, `* /`, a minus sign.

use super::lexer::{Token, tokens};
use super::{Expr, Invalid, Operator, functions};
use crate::airtable::switches::Switches;

/// A formula nested deeper is invalid.
const DEPTH: usize = 200;

/// What a formula may name.
pub trait Names {
    /// The place of the field of this name or id.
    fn field(&self, name: &str) -> Option<usize>;
    fn is_checkbox(&self, field: usize) -> bool;
    /// Whether the table has a field of type lastModifiedTime.
    fn has_modified_time(&self) -> bool;
    /// Whether `values` is known, as in a rollup.
    fn in_rollup(&self) -> bool {
        false
    }
}

pub fn parse(source: &str, names: &dyn Names, rules: &Switches) -> Result<Expr, Invalid> {
    let tokens = tokens(source, rules.brace_escapes)?;
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), names, rules, unknown: Vec::new(), depth: 0 };
    let expr = parser.comparison()?;
    if parser.tokens.next().is_some() {
        return Err(Invalid::Formula);
    }
    if parser.unknown.is_empty() { Ok(expr) } else { Err(Invalid::UnknownFields(parser.unknown)) }
}

struct Parser<'a> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    names: &'a dyn Names,
    rules: &'a Switches,
    unknown: Vec<String>,
    depth: usize,
}

impl Parser<'_> {
    /// Operators that bind equally, from the left.
    fn binary(
        &mut self,
        operators: &[Operator],
        operand: fn(&mut Self) -> Result<Expr, Invalid>,
    ) -> Result<Expr, Invalid> {
        let mut left = operand(self)?;
        while let Some(Token::Operator(operator)) = self.tokens.peek().cloned() {
            if !operators.contains(&operator) {
                break;
            }
            self.tokens.next();
            let right = operand(self)?;
            self.check(operator, &left, &right)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn check(&self, operator: Operator, left: &Expr, right: &Expr) -> Result<(), Invalid> {
        let checkbox = |e: &Expr| matches!(e, Expr::Field(at) if self.names.is_checkbox(*at));
        let is_false = |e: &Expr| matches!(e, Expr::Call("FALSE", ..));
        let invalid = self.rules.checkbox_equals_false_invalid
            && matches!(operator, Operator::Equal | Operator::NotEqual)
            && (checkbox(left) && is_false(right) || is_false(left) && checkbox(right));
        if invalid { Err(Invalid::Formula) } else { Ok(()) }
    }

    fn comparison(&mut self) -> Result<Expr, Invalid> {
        use Operator::*;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Invalid::Formula);
        }
        let expr = self.binary(&[Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual], Self::joined);
        self.depth -= 1;
        expr
    }

    fn joined(&mut self) -> Result<Expr, Invalid> {
        self.binary(&[Operator::Join], Self::sum)
    }

    fn sum(&mut self) -> Result<Expr, Invalid> {
        self.binary(&[Operator::Add, Operator::Subtract], Self::product)
    }

    fn product(&mut self) -> Result<Expr, Invalid> {
        self.binary(&[Operator::Multiply, Operator::Divide], Self::signed)
    }

    fn signed(&mut self) -> Result<Expr, Invalid> {
        let mut negative = false;
        while let Some(Token::Operator(sign @ (Operator::Subtract | Operator::Add))) = self.tokens.peek() {
            negative ^= *sign == Operator::Subtract;
            self.tokens.next();
        }
        let operand = self.operand()?;
        Ok(if negative { Expr::Negative(Box::new(operand)) } else { operand })
    }

    fn operand(&mut self) -> Result<Expr, Invalid> {
        match self.tokens.next().ok_or(Invalid::Formula)? {
            Token::Number(n) => Ok(Expr::Number(n)),
            Token::Text(text) => Ok(Expr::Text(text.into())),
            Token::Braced(name) => Ok(self.field(name)),
            Token::Open => {
                let inner = self.comparison()?;
                self.expect(Token::Close)?;
                Ok(inner)
            }
            Token::Word(name) if self.tokens.peek() == Some(&Token::Open) => self.call(&name),
            Token::Word(name) if name == "values" && self.names.in_rollup() => Ok(Expr::Values),
            Token::Word(name) => Ok(self.field(name)),
            _ => Err(Invalid::Formula),
        }
    }

    fn field(&mut self, name: String) -> Expr {
        match self.names.field(&name) {
            Some(at) => Expr::Field(at),
            None => {
                self.unknown.push(name);
                Expr::Values
            }
        }
    }

    fn call(&mut self, name: &str) -> Result<Expr, Invalid> {
        let (name, least, most, function) = functions::find(name).ok_or(Invalid::Formula)?;
        if name == "LAST_MODIFIED_TIME" && !self.rules.last_modified_without_field && !self.names.has_modified_time() {
            return Err(Invalid::Formula);
        }
        self.expect(Token::Open)?;
        let mut arguments = Vec::new();
        if self.tokens.peek() == Some(&Token::Close) {
            self.tokens.next();
        } else {
            loop {
                arguments.push(self.comparison()?);
                match self.tokens.next() {
                    Some(Token::Comma) => {}
                    Some(Token::Close) => break,
                    _ => return Err(Invalid::Formula),
                }
            }
        }
        if (least..=most).contains(&arguments.len()) {
            Ok(Expr::Call(name, function, arguments))
        } else {
            Err(Invalid::Formula)
        }
    }

    fn expect(&mut self, token: Token) -> Result<(), Invalid> {
        if self.tokens.next() == Some(token) { Ok(()) } else { Err(Invalid::Formula) }
    }
}
