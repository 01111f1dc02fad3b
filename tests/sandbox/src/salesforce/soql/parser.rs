//! Tokens to a query: exactly the grammar of the contract's section 6. What the language has beyond it (TYPEOF,
//! child subqueries, FOR VIEW, scopes) is refused as an unexpected token, so that a client cannot come to rely on
//! it unnoticed.

use super::ast::*;
use super::dates;
use super::lexer::{Spanned, Token, tokens};
use super::{error_at, syntax_error};
use crate::salesforce::error::Result;
use crate::salesforce::number::Decimal;
use crate::time;

/// One string literal may have so many characters.
const LITERAL_LIMIT: usize = 4000;

/// What the dialect leaves open.
#[derive(Clone, Copy)]
pub struct Dialect {
    pub angle_not_equal: bool,
    /// Milliseconds since 1970, for date literals.
    pub now: i64,
}

pub fn parse(query: &str, dialect: Dialect) -> Result<Query> {
    let mut parser = Parser { query, tokens: tokens(query)?, next: 0, dialect };
    let parsed = parser.query(false)?;
    match parser.peek() {
        Token::End => Ok(parsed),
        _ => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    query: &'a str,
    tokens: Vec<Spanned>,
    next: usize,
    dialect: Dialect,
}

const RESERVED: [&str; 21] = [
    "AND", "ASC", "DESC", "EXCLUDES", "FROM", "GROUP", "HAVING", "IN", "INCLUDES", "LIKE", "LIMIT", "NOT", "NULL",
    "NULLS", "OFFSET", "OR", "ORDER", "SELECT", "TRUE", "FALSE", "WHERE",
];

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].token
    }

    fn at(&self) -> usize {
        self.tokens[self.next].at
    }

    fn advance(&mut self) {
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
    }

    fn unexpected(&self) -> crate::salesforce::error::ApiError {
        let Spanned { token, at, end } = &self.tokens[self.next];
        let message = match token {
            Token::End => "unexpected token: '<EOF>'".to_owned(),
            _ => format!("unexpected token: '{}'", &self.query[*at..*end]),
        };
        syntax_error(self.query, *at, &message)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(s) if *s == symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn followed_by(&self, symbol: &str) -> bool {
        matches!(self.tokens.get(self.next + 1).map(|t| &t.token), Some(Token::Symbol(s)) if *s == symbol)
    }

    fn query(&mut self, inner: bool) -> Result<Query> {
        self.expect_word("SELECT")?;
        let mut select = vec![self.item()?];
        while self.take(",") {
            select.push(self.item()?);
        }
        self.expect_word("FROM")?;
        let object_at = self.at();
        let object = self.identifier()?;
        let filter = if self.take_word("WHERE") { Some(self.condition()?) } else { None };
        let mut query = Query {
            select,
            object,
            object_at,
            filter,
            group: Vec::new(),
            having: None,
            order: Vec::new(),
            limit: None,
            limit_at: 0,
            offset: None,
            offset_at: 0,
        };
        if inner {
            return Ok(query);
        }
        if self.take_word("GROUP") {
            self.expect_word("BY")?;
            if (self.is_word("ROLLUP") || self.is_word("CUBE")) && self.followed_by("(") {
                return Err(self.unexpected());
            }
            query.group = self.list(Self::name)?;
        }
        if self.take_word("HAVING") {
            query.having = Some(self.condition()?);
        }
        if self.take_word("ORDER") {
            self.expect_word("BY")?;
            query.order = self.list(Self::order)?;
        }
        query.limit_at = self.at();
        if self.take_word("LIMIT") {
            query.limit_at = self.at();
            query.limit = Some(self.natural()?);
        }
        query.offset_at = self.at();
        if self.take_word("OFFSET") {
            query.offset_at = self.at();
            query.offset = Some(self.natural()?);
        }
        Ok(query)
    }

    fn list<T>(&mut self, one: fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut list = vec![one(self)?];
        while self.take(",") {
            list.push(one(self)?);
        }
        Ok(list)
    }

    fn natural(&mut self) -> Result<u64> {
        let Token::Literal(text) = self.peek() else { return Err(self.unexpected()) };
        if text.starts_with('+') {
            return Err(self.unexpected());
        }
        let Ok(number) = text.parse() else { return Err(self.unexpected()) };
        self.advance();
        Ok(number)
    }

    fn identifier(&mut self) -> Result<String> {
        match self.peek() {
            Token::Word(word) if !word.contains(':') && !RESERVED.iter().any(|r| word.eq_ignore_ascii_case(r)) => {
                let word = word.clone();
                self.advance();
                Ok(word)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn name(&mut self) -> Result<Name> {
        let at = self.at();
        let mut parts = vec![self.identifier()?];
        while self.take(".") {
            parts.push(self.identifier()?);
        }
        Ok(Name { parts, at })
    }

    fn alias(&mut self) -> Result<Option<String>> {
        match self.peek() {
            Token::Word(word) if !word.eq_ignore_ascii_case("FROM") => self.identifier().map(Some),
            _ => Ok(None),
        }
    }

    fn item(&mut self) -> Result<Item> {
        let at = self.at();
        if matches!(self.peek(), Token::Symbol("(")) {
            return Err(error_at(
                self.query,
                at,
                "MALFORMED_QUERY",
                "child subqueries are not simulated by this sandbox",
            ));
        }
        if self.is_word("TYPEOF") {
            return Err(error_at(self.query, at, "MALFORMED_QUERY", "TYPEOF is not simulated by this sandbox"));
        }
        if self.followed_by("(") {
            if self.take_word("FIELDS") {
                self.expect("(")?;
                let group = self.identifier()?;
                self.expect(")")?;
                return Ok(Item::Fields(group, at));
            }
            return match self.call()? {
                Some(call) => Ok(Item::Aggregate(call, self.alias()?)),
                None => Ok(Item::Count(at)),
            };
        }
        Ok(Item::Field(self.name()?, self.alias()?))
    }

    /// An aggregate; `None` is COUNT().
    fn call(&mut self) -> Result<Option<Call>> {
        let at = self.at();
        let Some(function) = (match self.peek() {
            Token::Word(word) => Function::parse(word),
            _ => None,
        }) else {
            return Err(self.unexpected());
        };
        self.advance();
        self.expect("(")?;
        if function == Function::Count && self.take(")") {
            return Ok(None);
        }
        let field = self.name()?;
        self.expect(")")?;
        Ok(Some(Call { function, field, at }))
    }

    fn operand(&mut self) -> Result<Operand> {
        if self.followed_by("(") {
            return match self.call()? {
                Some(call) => Ok(Operand::Aggregate(call)),
                None => Err(self.unexpected()),
            };
        }
        Ok(Operand::Field(self.name()?))
    }

    fn order(&mut self) -> Result<Order> {
        let by = self.operand()?;
        let descending = self.take_word("DESC");
        if !descending {
            self.take_word("ASC");
        }
        let mut nulls_last = false;
        if self.take_word("NULLS") {
            nulls_last = self.take_word("LAST");
            if !nulls_last {
                self.expect_word("FIRST")?;
            }
        }
        Ok(Order { by, descending, nulls_last })
    }

    /// AND, OR and NOT may not be mixed without parentheses.
    fn condition(&mut self) -> Result<Expr> {
        if self.take_word("NOT") {
            let inner = self.simple()?;
            return if self.is_word("AND") || self.is_word("OR") {
                Err(self.unexpected())
            } else {
                Ok(Expr::Not(Box::new(inner)))
            };
        }
        let first = self.simple()?;
        for (word, other) in [("AND", "OR"), ("OR", "AND")] {
            if self.is_word(word) {
                let mut all = vec![first];
                while self.take_word(word) {
                    if self.is_word("NOT") {
                        return Err(self.unexpected());
                    }
                    all.push(self.simple()?);
                }
                if self.is_word(other) {
                    return Err(self.unexpected());
                }
                return Ok(if word == "AND" { Expr::And(all) } else { Expr::Or(all) });
            }
        }
        Ok(first)
    }

    fn simple(&mut self) -> Result<Expr> {
        if self.take("(") {
            let inner = self.condition()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let left = self.operand()?;
        Ok(Expr::Test(left, self.predicate()?))
    }

    fn predicate(&mut self) -> Result<Predicate> {
        let at = self.at();
        if self.take_word("LIKE") {
            return Ok(Predicate::Like(self.literal()?));
        }
        if self.is_word("INCLUDES") || self.is_word("EXCLUDES") {
            let negated = self.is_word("EXCLUDES");
            self.advance();
            self.expect("(")?;
            let list = self.list(Self::literal)?;
            self.expect(")")?;
            return Ok(Predicate::Includes { negated, list });
        }
        let negated = self.take_word("NOT");
        if self.take_word("IN") {
            self.expect("(")?;
            let predicate = if self.is_word("SELECT") {
                Predicate::InQuery { negated, query: Box::new(self.query(true)?), at }
            } else {
                Predicate::In { negated, list: self.list(Self::literal)? }
            };
            self.expect(")")?;
            return Ok(predicate);
        }
        if negated {
            return Err(self.unexpected());
        }
        const OPS: [(&str, Op); 7] = [
            ("=", Op::Eq),
            ("!=", Op::Ne),
            ("<>", Op::Ne),
            ("<=", Op::Le),
            (">=", Op::Ge),
            ("<", Op::Lt),
            (">", Op::Gt),
        ];
        for (symbol, op) in OPS {
            if symbol == "<>" && !self.dialect.angle_not_equal {
                continue;
            }
            if self.take(symbol) {
                return Ok(Predicate::Compare(op, self.literal()?));
            }
        }
        Err(self.unexpected())
    }

    fn literal(&mut self) -> Result<Literal> {
        let at = self.at();
        let value = match self.peek() {
            Token::Text(text) => {
                if text.pattern.len() > LITERAL_LIMIT {
                    return Err(error_at(
                        self.query,
                        at,
                        "MALFORMED_QUERY",
                        "String literal is too long: at most 4,000 characters",
                    ));
                }
                Some(Scalar::Text(text.clone()))
            }
            Token::Literal(text) => number_or_date(text),
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "NULL" => Some(Scalar::Null),
                "TRUE" => Some(Scalar::Bool(true)),
                "FALSE" => Some(Scalar::Bool(false)),
                word => dates::days(word, self.dialect.now)
                    .map(|(from, to)| Scalar::Days(from, to))
                    .or_else(|| currency(word)),
            },
            Token::Symbol(_) | Token::End => None,
        };
        let Some(value) = value else { return Err(self.unexpected()) };
        self.advance();
        Ok(Literal { value, at })
    }
}

/// Exponents are not SOQL, so `1e5` is neither.
fn number_or_date(text: &str) -> Option<Scalar> {
    None.or_else(|| Decimal::parse(text, false).map(Scalar::Number))
        .or_else(|| time::parse_date(text).map(Scalar::Date))
        .or_else(|| time::parse_datetime(text).map(Scalar::DateTime))
        .or_else(|| time::parse_time(text).map(Scalar::Time))
}

fn currency(word: &str) -> Option<Scalar> {
    let (code, amount) = word.split_at_checked(3)?;
    let code_fits = code.bytes().all(|b| b.is_ascii_uppercase());
    (code_fits && amount.bytes().all(|b| b.is_ascii_digit()))
        .then(|| Decimal::parse(amount, false).map(Scalar::Currency))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_parse(query: &str) -> Result<Query> {
        parse(query, Dialect { angle_not_equal: true, now: 0 })
    }

    fn message(query: &str) -> String {
        let error = try_parse(query).unwrap_err();
        assert_eq!(error.code, "MALFORMED_QUERY", "{query}");
        error.message
    }

    #[test]
    fn mixing_and_or_not_needs_parentheses() {
        for good in [
            "a = 1 AND b = 2 AND c = 3",
            "(a = 1 AND b = 2) OR c = 3",
            "NOT a = 1",
            "(NOT a = 1) AND b = 2",
            "NOT (a = 1 OR b = 2)",
            "((a = 1))",
        ] {
            assert!(try_parse(&format!("SELECT Id FROM X WHERE {good}")).is_ok(), "{good}");
        }
        for bad in [
            "a = 1 AND b = 2 OR c = 3",
            "NOT a = 1 AND b = 2",
            "a = 1 OR NOT b = 2",
            "NOT NOT a = 1",
            "a = 1 AND",
            "()",
        ] {
            message(&format!("SELECT Id FROM X WHERE {bad}"));
        }
    }

    #[test]
    fn an_unclosed_string_is_an_error_with_a_caret_under_it() {
        assert_eq!(
            message("SELECT Id FROM Account WHERE Name = 'x"),
            format!(
                "\nSELECT Id FROM Account WHERE Name = 'x\n{}^\nERROR at Row:1:Column:37\nunexpected token: ''x'",
                " ".repeat(36)
            )
        );
        assert!(message("SELECT Id\nFROM X\nWHERE a ~ 1").contains("Row:3:Column:9"));
    }

    #[test]
    fn keywords_are_case_insensitive_and_literals_are_typed() {
        let query =
            try_parse("select Id from X where a >= -1.5 and b in ('x', null) and c = 2024-05-31T00:00:00.123Z limit 5")
                .unwrap();
        assert_eq!(query.limit, Some(5));
        let Some(Expr::And(tests)) = query.filter else { panic!() };
        assert!(matches!(
            &tests[2],
            Expr::Test(_, Predicate::Compare(Op::Eq, Literal { value: Scalar::DateTime(_), .. }))
        ));
    }

    #[test]
    fn what_is_not_in_the_grammar_is_refused() {
        for bad in [
            "SELECT * FROM X",
            "SELECT Id FROM X WHERE a = 1e5",
            "SELECT Id FROM X WHERE a = b",
            "SELECT Id FROM X WHERE a = 1 + 1",
            "SELECT Id FROM X WHERE a IS NULL",
            "SELECT Id FROM X WHERE a = 2024-02-30",
            "SELECT Id FROM X LIMIT -1",
            "SELECT Id FROM X OFFSET 1 LIMIT 1",
            "SELECT Id FROM X ALL ROWS",
            "SELECT Id FROM X WHERE a IN ()",
            "SELECT Id, (SELECT Id FROM Contacts) FROM X",
            "SELECT Id FROM X x",
            "SELECT FROM X",
            "",
        ] {
            message(bad);
        }
        let strict = Dialect { angle_not_equal: false, now: 0 };
        assert!(parse("SELECT Id FROM X WHERE a <> 1", strict).is_err());
    }

    #[test]
    fn a_string_literal_has_at_most_4000_characters() {
        assert!(try_parse(&format!("SELECT Id FROM X WHERE a = '{}'", "é".repeat(4000))).is_ok());
        message(&format!("SELECT Id FROM X WHERE a = '{}'", "x".repeat(4001)));
    }
}
