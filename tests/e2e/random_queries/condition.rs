//! Random conditions. Each knows whether the API can say it, exactly or as a superset, so that what is pushed can be measured.

use super::draw::{Draw, quote};
use super::fixture::{Class, Column};
use super::maker::{Maker, Source, of, reference};
use super::subject::Says;
use super::values;

/// A column whose field stands in the remote condition.
#[derive(Clone, PartialEq, Eq)]
pub struct Use {
    pub alias: String,
    /// What stands for the field there.
    pub word: String,
}

/// A condition. `yes` are the fields with which the API can say it, `no` those with which it can say its opposite; `None` if it cannot.
#[derive(Clone)]
pub struct Condition {
    pub sql: String,
    pub kind: String,
    pub yes: Option<Vec<Use>>,
    pub no: Option<Vec<Use>>,
}

impl Condition {
    fn opposite(self) -> Condition {
        Condition { sql: format!("NOT ({})", self.sql), kind: self.kind, yes: self.no, no: self.yes }
    }

    fn local(sql: String) -> Condition {
        Condition { sql, kind: "local".to_owned(), yes: None, no: None }
    }
}

/// Those that have conditions of their own.
const CLASSES: [Class; 8] =
    [Class::Key, Class::Text, Class::Number, Class::Whole, Class::Date, Class::Moment, Class::Flag, Class::Several];

impl<'t> Maker<'t> {
    /// A condition on these sources. Combinations go so deep.
    pub fn condition(&mut self, sources: &[Source<'t>], depth: usize) -> Condition {
        match self.draw.below(if depth == 0 { 7 } else { 12 }) {
            0..=6 => self.leaf(sources),
            7 => self.condition(sources, depth - 1).opposite(),
            8 | 9 => {
                // An API knows only branches on one object.
                let source = [self.one_of(sources).clone()];
                self.combined(&source, depth, "OR")
            }
            10 => self.combined(sources, depth, "OR"),
            _ => self.combined(sources, depth, "AND"),
        }
    }

    fn combined(&mut self, sources: &[Source<'t>], depth: usize, word: &str) -> Condition {
        let parts: Vec<Condition> = (0..self.draw.below(2) + 2).map(|_| self.condition(sources, depth - 1)).collect();
        let all = |side: fn(&Condition) -> &Option<Vec<Use>>| -> Option<Vec<Use>> {
            let uses: Option<Vec<Vec<Use>>> = parts.iter().map(|part| side(part).clone()).collect();
            let uses = uses?.concat();
            uses.iter().all(|used| used.alias == uses[0].alias).then_some(uses)
        };
        let list = parts.iter().map(|part| format!("({})", part.sql)).collect::<Vec<_>>();
        Condition {
            sql: format!("({})", list.join(&format!(" {word} "))),
            kind: word.to_owned(),
            yes: all(|part| &part.yes),
            no: all(|part| &part.no),
        }
    }

    fn leaf(&mut self, sources: &[Source<'t>]) -> Condition {
        let source = self.one_of(sources).clone();
        match self.draw.below(20) {
            0 => self.membership(&source),
            1 => self.odd(sources),
            _ => {
                // There are many more texts than anything else.
                let classes: &[Class] =
                    if self.draw.hit(0.5) { &[CLASSES[self.draw.below(CLASSES.len())]] } else { &[] };
                let Some(column) = self.column(source.table, classes) else {
                    return Condition::local("true".to_owned());
                };
                let (kind, sql) = self.on(&source, column);
                let says = (self.subject.says)(column, kind);
                let used =
                    vec![Use { alias: source.alias.clone(), word: (self.subject.word)(&column.field).to_owned() }];
                let class = if column.class == Class::Whole { Class::Number } else { column.class };
                Condition {
                    sql,
                    kind: format!("{class:?} {kind}").to_lowercase(),
                    yes: (says != Says::No).then(|| used.clone()),
                    no: (says == Says::Both).then_some(used),
                }
            }
        }
    }

    /// A condition on one column: what kind it is, and its SQL.
    fn on(&mut self, source: &Source<'t>, column: &'t Column) -> (&'static str, String) {
        let sql = of(source, column);
        if self.draw.hit(0.12) {
            let not = self.draw.hit(0.5);
            let (kind, test) = if not { ("is not null", "IS NOT NULL") } else { ("is null", "IS NULL") };
            return (kind, format!("{sql} {test}"));
        }
        match column.class {
            Class::Text => self.on_text(sql, column),
            Class::Flag => self.on_flag(sql, column),
            Class::Several => self.on_several(sql, column),
            Class::Json => ("->>", format!("{sql} ->> 'city' = 'Berlin'")),
            Class::Key => self.on_key(sql, column),
            _ => self.on_ordered(sql, column),
        }
    }

    fn on_ordered(&mut self, sql: String, column: &'t Column) -> (&'static str, String) {
        let operator = self.draw.one(&["=", "<>", "<", "<=", ">", ">="]);
        match self.draw.below(12) {
            0..=3 => ("comparison", format!("{sql} {operator} {}", self.operand(column))),
            4 => ("comparison", format!("{} {operator} {sql}", self.operand(column))),
            5 | 6 => {
                let not = self.draw.one(&["", "NOT "]);
                let (low, high) = (self.operand(column), self.operand(column));
                let symmetric = self.draw.one(&["", "", "SYMMETRIC "]);
                let kind = if symmetric.is_empty() { "between" } else { "between symmetric" };
                (kind, format!("{sql} {not}BETWEEN {symmetric}{low} AND {high}"))
            }
            7 | 8 => self.listed(&sql, column),
            9 => self.distinct_from(&sql, column),
            10 => {
                let stranger = values::stranger(&mut self.draw, column);
                ("other type", format!("{sql} {operator} {stranger}"))
            }
            _ => {
                let text = column.held.first().map_or_else(|| "'1'".to_owned(), |held| quote(held));
                let expression = match column.class {
                    Class::Number | Class::Whole => {
                        self.draw.one(&["{} + 1 > 5", "abs({}) < 1000", "{} * 2 = 100", "-{} > 0"]).replace("{}", &sql)
                    }
                    Class::Date | Class::Moment => self
                        .draw
                        .one(&[
                            "extract(year FROM {}) = 2020",
                            "date_trunc('month', {}) = '2020-02-01'",
                            "{} + interval '1 day' > '2020-01-01'",
                        ])
                        .replace("{}", &sql),
                    _ => format!("{sql}::text = {text}"),
                };
                ("expression", expression)
            }
        }
    }

    fn on_key(&mut self, sql: String, column: &'t Column) -> (&'static str, String) {
        match self.draw.below(12) {
            0..=2 => ("=", format!("{sql} = {}", self.operand(column))),
            3 => ("=", format!("{} = {sql}", self.operand(column))),
            4 | 5 => ("<>", format!("{sql} <> {}", self.operand(column))),
            6..=8 => self.listed(&sql, column),
            9 => self.distinct_from(&sql, column),
            10 => {
                let (kind, cast) = if self.draw.hit(0.6) { ("cast", "text") } else { ("other", "varchar(15)") };
                (kind, format!("{sql}::{cast} = {}", values::value(&mut self.draw, column)))
            }
            _ => {
                let operand = self.operand(column);
                let test = self.draw.one(&[
                    "{c} < {o}",
                    "{c} >= {o}",
                    "lower({c}) = lower({o})",
                    "{c} LIKE left({o}, 5) || '%'",
                ]);
                ("other", test.replace("{c}", &sql).replace("{o}", &operand))
            }
        }
    }

    fn on_text(&mut self, sql: String, column: &'t Column) -> (&'static str, String) {
        match self.draw.below(30) {
            0..=4 => ("=", format!("{sql} = {}", self.operand(column))),
            5 => ("=", format!("{} = {sql}", self.operand(column))),
            6 | 7 => ("<>", format!("{sql} <> {}", self.operand(column))),
            8 | 9 => {
                let collate = self.draw.one(&["", "", " COLLATE \"C\"", " COLLATE \"und-x-icu\""]);
                let operator = self.draw.one(&["<", "<=", ">", ">="]);
                ("<", format!("{sql} {operator} {}{collate}", self.operand(column)))
            }
            10..=12 => self.listed(&sql, column),
            13 => self.distinct_from(&sql, column),
            14..=17 => {
                let not = self.draw.hit(0.25);
                let word = if not { "NOT LIKE" } else { "LIKE" };
                let pattern = self.given("text", |draw| values::pattern(draw, column));
                (if not { "not like" } else { "like" }, format!("{sql} {word} {pattern}"))
            }
            18..=20 => {
                let not = self.draw.hit(0.25);
                let word = if not { "NOT ILIKE" } else { "ILIKE" };
                let pattern = self.given("text", |draw| values::pattern(draw, column));
                (if not { "not ilike" } else { "ilike" }, format!("{sql} {word} {pattern}"))
            }
            21 | 22 => {
                let start = self.given("text", |draw| values::beginning(draw, column));
                let test = self.draw.one(&["starts_with({c}, {o})", "{c} ^@ {o}"]);
                ("starts with", test.replace("{c}", &sql).replace("{o}", &start))
            }
            23..=25 => {
                let fold = self.draw.one(&["lower", "upper"]);
                match self.draw.below(3) {
                    0 => {
                        let held = values::value(&mut self.draw, column);
                        ("fold =", format!("{fold}({sql}) = {fold}({held})"))
                    }
                    1 => ("fold =", format!("{fold}({sql}) = {}", self.operand(column))),
                    _ => {
                        let pattern = self.given("text", |draw| values::pattern(draw, column));
                        ("fold like", format!("{fold}({sql}) LIKE {fold}({pattern})"))
                    }
                }
            }
            26 => {
                let operand = self.operand(column);
                let cast = self.draw.one(&["text", "varchar"]);
                ("cast", format!("{sql}::{cast} = {operand}"))
            }
            _ => {
                let test = self.draw.one(&[
                    "{c} ~ '^[A-M]'",
                    "{c} ~* 'smith'",
                    "length({c}) > 8",
                    "{c} || '' = 'Acme'",
                    "coalesce({c}, 'Acme') = 'Acme'",
                    "{c} SIMILAR TO '(A|B)%'",
                    "{c} LIKE 'a!%%' ESCAPE '!'",
                    "left({c}, 1) = 'A'",
                    "{c} BETWEEN 'B' AND 'd'",
                    "{c} = 'acme' COLLATE \"und-x-icu\"",
                    "nullif({c}, 'Acme') IS NULL",
                    "{c} = ' Acme' || ''",
                ]);
                ("other", test.replace("{c}", &sql))
            }
        }
    }

    fn on_flag(&mut self, sql: String, column: &'t Column) -> (&'static str, String) {
        let test = self.draw.one(&[
            "{c}",
            "NOT {c}",
            "{c} IS TRUE",
            "{c} IS NOT TRUE",
            "{c} IS FALSE",
            "{c} IS NOT FALSE",
            "{c} = true",
            "{c} = 'f'",
            "{c} <> true",
            "true = {c}",
            "{c} = {o}",
            "{c} <> {o}",
            "{c} IS DISTINCT FROM true",
            "{c} IN (true)",
            "{c} = ANY ('{t}')",
            "{c} IS NOT DISTINCT FROM {o}",
        ]);
        let test = match test.contains("{o}") {
            true => test.replace("{o}", &self.operand(column)),
            false => test.to_owned(),
        };
        ("test", test.replace("{c}", &sql))
    }

    fn on_several(&mut self, sql: String, column: &'t Column) -> (&'static str, String) {
        match self.draw.below(9) {
            0 | 1 => {
                let choice = self.given("text", |draw| values::choice(draw, column));
                ("any", format!("{choice} = ANY ({sql})"))
            }
            2 | 3 => {
                let list = self.given("text[]", |draw| values::list(draw, column));
                ("@>", format!("{sql} @> {list}"))
            }
            4 => {
                let list = self.given("text[]", |draw| values::list(draw, column));
                ("@>", format!("{list} <@ {sql}"))
            }
            5 | 6 => {
                let list = self.given("text[]", |draw| values::list(draw, column));
                ("&&", format!("{sql} && {list}"))
            }
            _ => {
                let choice = values::choice(&mut self.draw, column);
                let test = self.draw.one(&[
                    "{c} = {l}",
                    "{c} <> {l}",
                    "{c} <@ {l}",
                    "{e} <> ALL ({c})",
                    "cardinality({c}) > 1",
                    "{c}[1] = {e}",
                    "{c} > {l}",
                    "array_position({c}, {e}) = 1",
                    "{e} LIKE ANY ({c})",
                ]);
                let list = if test.contains("{l}") {
                    self.given("text[]", |draw| values::list(draw, column))
                } else {
                    String::new()
                };
                ("other", test.replace("{c}", &sql).replace("{l}", &list).replace("{e}", &choice))
            }
        }
    }

    fn listed(&mut self, sql: &str, column: &'t Column) -> (&'static str, String) {
        let among = self.draw.hit(0.6);
        if among { ("in", self.among(sql, column)) } else { ("not in", self.not_among(sql, column)) }
    }

    fn distinct_from(&mut self, sql: &str, column: &'t Column) -> (&'static str, String) {
        let not = self.draw.hit(0.5);
        let (kind, word) = if not { ("not distinct from", "NOT ") } else { ("distinct from", "") };
        (kind, format!("{sql} IS {word}DISTINCT FROM {}", self.operand(column)))
    }

    fn among(&mut self, sql: &str, column: &'t Column) -> String {
        if self.draw.hit(0.5) {
            return format!("{sql} IN ({})", self.operands(column));
        }
        let list = self.given(&format!("{}[]", column.ty), |draw| values::list(draw, column));
        format!("{sql} = ANY ({list})")
    }

    fn not_among(&mut self, sql: &str, column: &'t Column) -> String {
        if self.draw.hit(0.5) {
            return format!("{sql} NOT IN ({})", self.operands(column));
        }
        let list = self.given(&format!("{}[]", column.ty), |draw| values::list(draw, column));
        format!("{sql} <> ALL ({list})")
    }

    fn operands(&mut self, column: &'t Column) -> String {
        let some: Vec<String> = (0..self.draw.below(4) + 1).map(|_| self.operand(column)).collect();
        some.join(", ")
    }

    /// Semi-joins and anti-joins.
    fn membership(&mut self, source: &Source<'t>) -> Condition {
        let not = self.draw.one(&["", "", "NOT "]);
        let references: Vec<&Column> = source.table.columns.iter().filter(|column| column.target.is_some()).collect();
        if let Some(column) = references.get(self.draw.below(references.len()))
            && self.draw.hit(0.5)
        {
            let parent = self.named(column.target.unwrap_or_default());
            let inner = self.source(parent);
            let inside = self.condition(std::slice::from_ref(&inner), 0);
            let key = reference(source, column);
            let from = format!("FROM {} WHERE", inner.named());
            return Condition::local(match self.draw.below(3) {
                0 => format!("{key} {not}IN (SELECT {} {from} {})", inner.key(), inside.sql),
                1 => format!("{key} = ANY (ARRAY(SELECT {} {from} {}))", inner.key(), inside.sql),
                _ => {
                    let on = self.leads(source, column, &inner, false);
                    format!("{not}EXISTS (SELECT {from} {on} AND {})", inside.sql)
                }
            });
        }
        if self.draw.hit(0.25)
            && let Some(column) = self.column(source.table, &[Class::Text])
        {
            let table = self.table();
            let inner = self.source(table);
            let inside = self.condition(std::slice::from_ref(&inner), 0);
            if let Some(other) = self.column(table, &[Class::Text]) {
                let from = format!("SELECT {} FROM {}", of(&inner, other), inner.named());
                return Condition::local(format!("{} {not}IN ({from} WHERE {})", of(source, column), inside.sql));
            }
        }
        let tables = self.tables;
        let children: Vec<(&'t super::fixture::Table, &'t Column)> = tables
            .iter()
            .flat_map(|table| table.columns.iter().map(move |column| (table, column)))
            .filter(|(_, column)| column.target == Some(source.table.name))
            .collect();
        let Some((child, column)) = children.get(self.draw.below(children.len())).copied() else {
            return Condition::local(format!("{} IS NOT NULL", source.key()));
        };
        let inner = self.source(child);
        let inside = self.condition(std::slice::from_ref(&inner), 0);
        let from = format!("FROM {} WHERE", inner.named());
        let key = source.key();
        Condition::local(match self.draw.below(3) {
            0 => format!("{key} {not}IN (SELECT {} {from} {})", reference(&inner, column), inside.sql),
            1 => {
                let on = self.leads(&inner, column, source, false);
                format!("(SELECT count(*) {from} {on} AND {}) > {}", inside.sql, self.draw.below(3))
            }
            _ => {
                let on = self.leads(&inner, column, source, false);
                format!("{not}EXISTS (SELECT 1 {from} {on} AND {})", inside.sql)
            }
        })
    }

    /// Conditions on no column, or on several.
    fn odd(&mut self, sources: &[Source<'t>]) -> Condition {
        let (one, other) = (self.one_of(sources).clone(), self.one_of(sources).clone());
        let class = self.draw.below(5);
        let class = [Class::Text, Class::Number, Class::Moment, Class::Key, Class::Flag][class];
        let (Some(left), Some(right)) = (self.column(one.table, &[class]), self.column(other.table, &[class])) else {
            return Condition::local("1 = 1".to_owned());
        };
        let (a, b) = (of(&one, left), of(&other, right));
        let operator = self.draw.one(&["=", "<>", "<", ">="]);
        let values = [values::value(&mut self.draw, left), values::value(&mut self.draw, right)];
        Condition::local(match self.draw.below(8) {
            0 | 1 => format!("{a} {operator} {b}"),
            2 => format!("({a}, {b}) {operator} ({}, {})", values[0], values[1]),
            3 => format!("({a}, {b}) IN (({}, {}), ({}, {}))", values[0], values[1], values[0], values[1]),
            4 => format!("CASE WHEN {a} = {} THEN {b} = {} ELSE {b} IS NULL END", values[0], values[1]),
            5 => format!("coalesce({a}, {b}) = {}", values[0]),
            6 => self.given("boolean", |draw: &mut Draw| draw.one(&["true", "false", "NULL"]).to_owned() + "::boolean"),
            _ => format!("({a} = {}) = ({b} = {})", values[0], values[1]),
        })
    }
}
