//! Random queries: what is selected from where, in which order, how much of it, and how it is run.

use super::condition::Condition;
use super::fixture::{Class, Column, Table};
use super::maker::{Maker, Parameter, Source, of, reference};
use super::subject::Subject;

/// What is known of the order of the rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    None,
    /// The first so many columns are in order; among equals anything goes.
    Keys(usize),
    /// There is but one.
    Total,
}

#[derive(Clone, Copy, Debug)]
pub enum Mode {
    Simple,
    /// PREPARE and EXECUTE under this `plan_cache_mode`.
    Prepared(&'static str),
    /// A cursor that is fetched from so many rows at a time, and if it holds, after COMMIT, too; `back` fetches all again.
    Cursor {
        hold: bool,
        back: bool,
        step: usize,
    },
}

/// One way of the planner less. The others are often those that it would not choose for tables so small.
const WAYS: &[&str] =
    &["hashjoin", "mergejoin", "nestloop", "hashagg", "sort", "material", "memoize", "incremental_sort"];

const ZONES: &[&str] = &["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Auckland"];

pub struct Query {
    pub seed: u64,
    /// The foreign tables' schema stands before each table.
    pub sql: String,
    /// The same without its LIMIT, where any rows will do for that.
    pub unlimited: Option<String>,
    pub order: Order,
    pub mode: Mode,
    /// SET commands for it.
    pub settings: String,
    pub parameters: Vec<Parameter>,
    /// What is in the topmost WHERE about tables that no outer join makes NULL.
    pub conjuncts: Vec<Condition>,
}

pub fn query(seed: u64, subject: &Subject, tables: &[Table]) -> Query {
    let mut maker = Maker::new(seed, subject, tables);
    let mode = match maker.draw.below(10) {
        0..=4 => Mode::Simple,
        5 => Mode::Cursor { hold: maker.draw.hit(0.5), back: maker.draw.hit(0.3), step: maker.draw.below(40) + 1 },
        6 | 7 => Mode::Prepared("auto"),
        8 => Mode::Prepared("force_generic_plan"),
        _ => Mode::Prepared("force_custom_plan"),
    };
    maker.executions = match mode {
        // The sixth execution may have a generic plan.
        Mode::Prepared("auto") => 7,
        Mode::Prepared(_) => 2,
        _ => 0,
    };
    let mut settings = format!("SET TimeZone = '{}'", maker.draw.one(ZONES));
    if maker.draw.hit(0.4) {
        settings += &format!("; SET enable_{} = off", maker.draw.one(WAYS));
    }
    let mut shape = maker.shape(mode);
    shape.conjuncts.retain(|conjunct| conjunct.yes.is_some());
    Query {
        seed,
        sql: shape.sql,
        unlimited: shape.unlimited,
        order: shape.order,
        mode,
        settings,
        parameters: maker.parameters,
        conjuncts: shape.conjuncts,
    }
}

struct Shape {
    sql: String,
    unlimited: Option<String>,
    order: Order,
    conjuncts: Vec<Condition>,
}

/// FROM and WHERE.
struct Body<'t> {
    sources: Vec<Source<'t>>,
    sql: String,
    conjuncts: Vec<Condition>,
}

impl<'t> Maker<'t> {
    fn shape(&mut self, mode: Mode) -> Shape {
        match self.draw.below(100) {
            0..=43 => self.plain(mode),
            44..=50 => self.distinct(),
            51..=60 => self.aggregates(),
            61..=74 => self.groups(),
            75..=79 => self.windows(),
            80..=85 => self.sets(),
            86..=88 => self.ties(),
            89..=91 => self.expanded(),
            92 => self.failing(),
            _ => self.nested(),
        }
    }

    /// SELECT … FROM … WHERE …, maybe in order, maybe limited, maybe locked.
    fn plain(&mut self, mode: Mode) -> Shape {
        let body = self.body();
        let items = self.items(&body.sources);
        let holds = matches!(mode, Mode::Cursor { hold: true, .. });
        let lock = self.draw.hit(0.05) && !holds && body.sources.iter().all(|source| source.firm);
        let lock = if lock {
            format!(" FOR {}", self.draw.one(&["UPDATE", "SHARE", "UPDATE SKIP LOCKED"]))
        } else {
            String::new()
        };
        let conjuncts = body.conjuncts;
        // Fetched twice, rows are no longer some of those without a limit.
        let limited = if matches!(mode, Mode::Cursor { back: true, .. }) { 4 } else { 6 };
        match self.draw.below(10) {
            0..=3 => Shape {
                sql: format!("SELECT {items} {}{lock}", body.sql),
                unlimited: None,
                order: Order::None,
                conjuncts,
            },
            part if (4..limited).contains(&part) => {
                let unlimited = format!("SELECT {items} {}", body.sql);
                let limit = self.limit();
                Shape {
                    sql: format!("{unlimited} {limit}{lock}"),
                    unlimited: Some(unlimited),
                    order: Order::None,
                    conjuncts,
                }
            }
            4..=7 => {
                let (keys, order) = self.keys(&body.sources, false);
                Shape {
                    sql: format!(
                        "SELECT {}, {items} {} ORDER BY {}{lock}",
                        keys.join(", "),
                        body.sql,
                        order.join(", ")
                    ),
                    unlimited: None,
                    order: Order::Keys(keys.len()),
                    conjuncts,
                }
            }
            _ => {
                let (keys, order) = self.keys(&body.sources, true);
                let limit = self.limit();
                Shape {
                    sql: format!(
                        "SELECT {}, {items} {} ORDER BY {} {limit}{lock}",
                        keys.join(", "),
                        body.sql,
                        order.join(", ")
                    ),
                    unlimited: None,
                    order: Order::Total,
                    conjuncts,
                }
            }
        }
    }

    fn distinct(&mut self) -> Shape {
        let body = self.body();
        let count = self.draw.below(2) + 1;
        let columns: Vec<String> = (0..count).map(|_| self.any(&body.sources, &[])).collect();
        if self.draw.hit(0.3) {
            let (keys, order) = self.keys(&body.sources, true);
            let first = self.draw.below(keys.len()) + 1;
            return Shape {
                sql: format!(
                    "SELECT DISTINCT ON ({}) {} {} ORDER BY {}",
                    keys[..first].join(", "),
                    keys.join(", "),
                    body.sql,
                    order.join(", ")
                ),
                unlimited: None,
                order: Order::Total,
                conjuncts: body.conjuncts,
            };
        }
        let places: Vec<String> = (1..=count).map(|place| self.direction(&place.to_string())).collect();
        let limit = if self.draw.hit(0.4) { self.limit() } else { String::new() };
        Shape {
            sql: format!("SELECT DISTINCT {} {} ORDER BY {} {limit}", columns.join(", "), body.sql, places.join(", ")),
            unlimited: None,
            order: Order::Total,
            conjuncts: body.conjuncts,
        }
    }

    fn aggregates(&mut self) -> Shape {
        let body = self.body();
        let list: Vec<String> = (0..self.draw.below(4) + 1).map(|_| self.aggregate(&body.sources)).collect();
        let having = if self.draw.hit(0.15) { " HAVING count(*) > 3" } else { "" };
        Shape {
            sql: format!("SELECT {} {}{having}", list.join(", "), body.sql),
            unlimited: None,
            order: Order::None,
            conjuncts: body.conjuncts,
        }
    }

    fn groups(&mut self) -> Shape {
        let body = self.body();
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..self.draw.below(2) + 1 {
            let key = if self.draw.hit(0.7) {
                self.any(
                    &body.sources,
                    &[Class::Key, Class::Text, Class::Whole, Class::Date, Class::Flag, Class::Number],
                )
            } else {
                self.expression(&body.sources)
            };
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let list: Vec<String> = (0..self.draw.below(3) + 1).map(|_| self.aggregate(&body.sources)).collect();
        // Keys and aggregates in any order, some keys left out.
        let mut items: Vec<String> = keys.iter().filter(|_| !self.draw.hit(0.15)).cloned().collect();
        for aggregate in list {
            let at = self.draw.below(items.len() + 1);
            items.insert(at, aggregate);
        }
        let having = match self.draw.below(5) {
            0 => format!(" HAVING count(*) > {}", self.given("bigint", |draw| draw.below(5).to_string())),
            1 => format!(" HAVING {} IS NOT NULL", self.aggregate(&body.sources)),
            2 => {
                let number = self.any(&body.sources, &[Class::Number]);
                let least = self.given("numeric", |draw| draw.below(1000).to_string());
                format!(" HAVING max({number}) >= {least} OR (count(*) = 1 AND min({number}) IS NULL)")
            }
            _ => String::new(),
        };
        let by = match self.draw.below(12) {
            0 => format!("ROLLUP ({})", keys.join(", ")),
            1 => format!("GROUPING SETS (({}), ())", keys.join(", ")),
            _ => keys.join(", "),
        };
        let grouped = format!("{} GROUP BY {by}{having}", body.sql);
        let conjuncts = body.conjuncts;
        if by.contains('(') && by.starts_with(['R', 'G']) || self.draw.hit(0.4) {
            let sql = format!("SELECT {} {grouped}", items.join(", "));
            return Shape { sql, unlimited: None, order: Order::None, conjuncts };
        }
        // By an aggregate first now and then; the keys make it total.
        let mut first = if self.draw.hit(0.3) { vec![self.aggregate(&body.sources)] } else { Vec::new() };
        first.extend(keys);
        let order: Vec<String> = first.iter().map(|key| self.direction(key)).collect();
        let limit = if self.draw.hit(0.5) { self.limit() } else { String::new() };
        Shape {
            sql: format!("SELECT {} {grouped} ORDER BY {} {limit}", items.join(", "), order.join(", ")),
            unlimited: None,
            order: Order::Total,
            conjuncts,
        }
    }

    fn windows(&mut self) -> Shape {
        let body = self.body();
        let ids: Vec<String> = body.sources.iter().map(Source::key).collect();
        let part = self.any(&body.sources, &[Class::Key, Class::Text, Class::Flag]);
        let key = self.any(&body.sources, &[]);
        let key = self.direction(&key);
        let number = self.any(&body.sources, &[Class::Number, Class::Whole]);
        let call = match self.draw.below(4) {
            0 => format!("row_number() OVER (PARTITION BY {part} ORDER BY {key}, {})", ids.join(", ")),
            1 => format!("count(*) OVER (PARTITION BY {part})"),
            2 => format!("lag({number}) OVER (ORDER BY {key}, {})", ids.join(", ")),
            _ => format!("sum({number}) OVER (PARTITION BY {part} ORDER BY {})", ids.join(", ")),
        };
        Shape {
            sql: format!("SELECT {}, {call} {}", ids.join(", "), body.sql),
            unlimited: None,
            order: Order::None,
            conjuncts: body.conjuncts,
        }
    }

    /// Errors in some row, or in none.
    fn failing(&mut self) -> Shape {
        let body = self.single();
        let number = self.any(&body.sources, &[Class::Number, Class::Whole]);
        let text = self.any(&body.sources, &[Class::Text]);
        let item = match self.draw.below(4) {
            0 => format!("1 / {number}"),
            1 => format!("{text}::numeric"),
            2 => format!("({number})::int"),
            _ => format!("chr(length({text}) - 8)"),
        };
        Shape {
            sql: format!("SELECT {}, {item} {}", body.sources[0].key(), body.sql),
            unlimited: None,
            order: Order::None,
            conjuncts: body.conjuncts,
        }
    }

    /// UNION and the like of two tables.
    fn sets(&mut self) -> Shape {
        let class = [Class::Key, Class::Text, Class::Moment][self.draw.below(3)];
        let mut halves = Vec::new();
        for _ in 0..2 {
            let body = self.single();
            let column = self.any(&body.sources, &[class]);
            let half = format!("SELECT {column} AS x {}", body.sql);
            halves.push(match self.draw.below(4) {
                0 => format!("({half} ORDER BY {column}, {} LIMIT {})", body.sources[0].key(), self.draw.below(9)),
                _ => half,
            });
        }
        let word = self.draw.one(&["UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT", "EXCEPT ALL"]);
        let joined = halves.join(&format!(" {word} "));
        let (sql, order) = match self.draw.below(3) {
            0 => (joined, Order::None),
            1 => (format!("SELECT count(*), max(x) FROM ({joined}) AS part"), Order::None),
            _ => (format!("{joined} ORDER BY x {}", self.limit()), Order::Total),
        };
        Shape { sql, unlimited: None, order, conjuncts: Vec::new() }
    }

    fn ties(&mut self) -> Shape {
        let body = self.body();
        let (keys, order) = self.keys(&body.sources, false);
        let (count, offset) = (self.draw.below(20), self.draw.below(5));
        Shape {
            sql: format!(
                "SELECT {}, {} {} ORDER BY {} FETCH FIRST {count} ROWS WITH TIES",
                keys.join(", "),
                body.sources[0].key(),
                body.sql,
                order.join(", ")
            ) + &if offset > 3 { " OFFSET 0".to_owned() } else { String::new() },
            unlimited: None,
            order: Order::Keys(keys.len()),
            conjuncts: body.conjuncts,
        }
    }

    /// Functions in the select list that return several rows.
    fn expanded(&mut self) -> Shape {
        let body = self.body();
        let source = self.one_of(&body.sources).clone();
        let call = match self.column(source.table, &[Class::Several]) {
            Some(column) if self.draw.hit(0.6) => format!("unnest({})", of(&source, column)),
            _ => "generate_series(1, 2)".to_owned(),
        };
        let unlimited = format!("SELECT {}, {call} {}", source.key(), body.sql);
        let limited = self.draw.hit(0.5);
        let sql = if limited { format!("{unlimited} {}", self.limit()) } else { unlimited.clone() };
        Shape { sql, unlimited: limited.then_some(unlimited), order: Order::None, conjuncts: body.conjuncts }
    }

    /// A query within a query: limited, materialized or grouped inside.
    fn nested(&mut self) -> Shape {
        let body = self.single();
        let source = body.sources[0].clone();
        let column = self.any(&body.sources, &[Class::Number, Class::Text, Class::Moment]);
        let key = source.key();
        let inner = format!("SELECT {key} AS id, {column} AS x {}", body.sql);
        let count = self.draw.below(60) + 1;
        let (other, on) = self.relative(&source, true);
        let joined = format!("FROM {}", other.named());
        let sql = match self.draw.below(7) {
            0 => format!("WITH part AS MATERIALIZED ({inner}) SELECT count(*), min(x) FROM part WHERE x IS NOT NULL"),
            1 => format!("SELECT count(*), count(DISTINCT id) FROM ({inner} LIMIT {count}) AS part"),
            2 => format!("SELECT id, x FROM ({inner} ORDER BY {key} LIMIT {count}) AS part WHERE x IS NOT NULL"),
            3 => format!("WITH part AS ({inner}) SELECT a.id, b.x FROM part AS a JOIN part AS b ON a.id = b.id"),
            // Expressions below an outer join.
            4 => {
                let word = self.draw.one(&["LEFT", "FULL"]);
                let on = on.replace(&format!("{}.", source.alias), "part.");
                let filter = self.draw.one(&[
                    "",
                    " WHERE part.flag IS NULL OR part.text > 'M'",
                    " WHERE part.flag IS NOT TRUE",
                    " WHERE part IS NOT NULL OR part.flag",
                ]);
                format!(
                    "SELECT {}, part.flag, part.text {joined} {word} JOIN (SELECT {}.*, true AS flag, coalesce({column}::text, '∅') AS text {}) AS part ON {on}{filter}",
                    other.key(),
                    source.alias,
                    body.sql
                )
            }
            5 => {
                let word = if body.sql.contains(" WHERE ") { "AND" } else { "WHERE" };
                format!(
                    "SELECT {}, (SELECT count(*) || coalesce(max({column})::text, '∅') {} {word} {on}) {joined}",
                    other.key(),
                    body.sql
                )
            }
            _ => {
                let group = self.any(&body.sources, &[Class::Key]);
                let key = self.any(std::slice::from_ref(&other), &[Class::Key]);
                format!(
                    "SELECT {}, part.many {joined} LEFT JOIN (SELECT {group} AS key, count(*) AS many {} GROUP BY 1) AS part ON part.key = {key}",
                    other.key(),
                    body.sql
                )
            }
        };
        Shape { sql, unlimited: None, order: Order::None, conjuncts: Vec::new() }
    }

    fn body(&mut self) -> Body<'t> {
        let (from, sources) = self.from();
        self.filtered(from, sources)
    }

    fn single(&mut self) -> Body<'t> {
        let (from, sources) = self.one_table();
        self.filtered(from, sources)
    }

    fn filtered(&mut self, from: String, sources: Vec<Source<'t>>) -> Body<'t> {
        let count = [0, 1, 1, 2, 2, 3][self.draw.below(6)];
        let mut conjuncts: Vec<Condition> = (0..count).map(|_| self.condition(&sources, 2)).collect();
        let list: Vec<String> = conjuncts.iter().map(|conjunct| conjunct.sql.clone()).collect();
        let filter = if list.is_empty() { String::new() } else { format!(" WHERE {}", list.join(" AND ")) };
        conjuncts.retain(|conjunct| {
            let firm = |alias: &str| sources.iter().any(|source| source.alias == alias && source.firm);
            conjunct.yes.as_ref().is_some_and(|uses| uses.iter().all(|used| firm(&used.alias)))
        });
        Body { sql: format!("{from}{filter}"), sources, conjuncts }
    }

    fn one_table(&mut self) -> (String, Vec<Source<'t>>) {
        let table = self.table();
        let source = self.source(table);
        (format!("FROM {}", source.named()), vec![source])
    }

    fn from(&mut self) -> (String, Vec<Source<'t>>) {
        match self.draw.below(20) {
            0..=10 => self.one_table(),
            11..=15 => self.two_tables(),
            16 | 17 => {
                let (mut from, mut sources) = self.two_tables();
                let at = self.draw.below(sources.len());
                let (other, on) = self.relative(&sources[at].clone(), false);
                let (word, firm) = if self.draw.hit(0.6) { ("JOIN", true) } else { ("LEFT JOIN", false) };
                from += &format!(" {word} {} ON {on}", other.named());
                if firm {
                    // The condition lets no NULLs of that side through.
                    sources[at].firm = true;
                }
                sources.push(Source { firm, ..other });
                (from, sources)
            }
            18 => {
                let (mut from, mut sources) = self.one_table();
                let (other, on) = self.relative(&sources[0].clone(), false);
                let limit = self.draw.below(3) + 1;
                let word = self.draw.one(&["CROSS JOIN", "LEFT JOIN"]);
                from += &format!(
                    " {word} LATERAL (SELECT * FROM {} WHERE {on} ORDER BY {} LIMIT {limit}) AS {}{}",
                    other.named(),
                    other.key(),
                    other.alias,
                    if word == "LEFT JOIN" { " ON true" } else { "" }
                );
                sources.push(Source { firm: false, ..other });
                (from, sources)
            }
            _ => {
                // Equal values without a relationship.
                let (one, other) = (self.table(), self.table());
                let (one, other) = (self.source(one), self.source(other));
                let column = self.draw.one(self.subject.common);
                let from = format!(
                    "FROM {} JOIN {} ON {}.{column} = {}.{column} AND {} < {}",
                    one.named(),
                    other.named(),
                    one.alias,
                    other.alias,
                    one.key(),
                    other.key()
                );
                (from, vec![one, other])
            }
        }
    }

    fn two_tables(&mut self) -> (String, Vec<Source<'t>>) {
        let table = self.table();
        let one = self.source(table);
        let (word, firm) = match self.draw.below(8) {
            0..=3 => ("JOIN", (true, true)),
            4 | 5 => ("LEFT JOIN", (true, false)),
            6 => ("RIGHT JOIN", (false, true)),
            _ => ("FULL JOIN", (false, false)),
        };
        let (other, mut on) = self.relative(&one, word == "FULL JOIN");
        if word != "FULL JOIN" && self.draw.hit(0.3) {
            let more = self.condition(&[one.clone(), other.clone()], 0);
            on = format!("{on} AND {}", more.sql);
        }
        let from = format!("FROM {} {word} {} ON {on}", one.named(), other.named());
        (from, vec![Source { firm: firm.0, ..one }, Source { firm: firm.1, ..other }])
    }

    /// Another table that refers to this one or is referred to by it, and the condition that joins them; `hashable` if it
    /// has to be one of equal values.
    fn relative(&mut self, source: &Source<'t>, hashable: bool) -> (Source<'t>, String) {
        let tables = self.tables;
        let up = source.table.columns.iter().filter_map(|column| Some((column, self.named(column.target?), true)));
        let down = tables.iter().flat_map(|table| {
            let fitting = table.columns.iter().filter(|column| column.target == Some(source.table.name));
            fitting.map(move |column| (column, table, false))
        });
        let all: Vec<(&Column, &'t Table, bool)> = up.chain(down).collect();
        let Some((column, table, is_up)) = all.get(self.draw.below(all.len())).copied() else {
            let other = self.source(source.table);
            let on = format!("{} = {}", source.key(), other.key());
            return (other, on);
        };
        let other = self.source(table);
        let (child, parent) = if is_up { (source, &other) } else { (&other, source) };
        let on = self.leads(child, column, parent, hashable);
        (other, on)
    }

    /// That a reference of one source leads to the other.
    pub fn leads(&mut self, child: &Source<'t>, column: &Column, parent: &Source<'t>, hashable: bool) -> String {
        let (key, one) = (parent.key(), reference(child, column));
        match self.draw.below(4) {
            0 | 1 if column.class == Class::Several && !hashable => format!("{key} = ANY ({})", of(child, column)),
            0 | 2 => format!("{key} = {one}"),
            _ => format!("{one} = {key}"),
        }
    }

    fn items(&mut self, sources: &[Source<'t>]) -> String {
        if self.draw.hit(0.08) {
            return "*".to_owned();
        }
        let some = |maker: &mut Maker<'t>| {
            if maker.draw.hit(0.75) { maker.any(sources, &[]) } else { maker.expression(sources) }
        };
        (0..self.draw.below(4) + 1).map(|_| some(self)).collect::<Vec<_>>().join(", ")
    }

    /// Any column of one of these classes; the key if there is none.
    fn any(&mut self, sources: &[Source<'t>], classes: &[Class]) -> String {
        let source = self.one_of(sources).clone();
        match self.column(source.table, classes) {
            Some(column) => of(&source, column),
            // An id is no number.
            None if classes.contains(&Class::Number) && !classes.contains(&Class::Text) => {
                format!("length({})", source.key())
            }
            None => source.key(),
        }
    }

    fn expression(&mut self, sources: &[Source<'t>]) -> String {
        match self.draw.below(12) {
            0 => format!("lower({})", self.any(sources, &[Class::Text])),
            1 => format!("{} * 2", self.any(sources, &[Class::Number])),
            2 => format!("date_trunc('year', {})", self.any(sources, &[Class::Moment])),
            3 => format!("length({})", self.any(sources, &[Class::Text])),
            4 => format!("coalesce({}, '∅')", self.any(sources, &[Class::Text])),
            5 => format!("({} IS NULL)", self.any(sources, &[])),
            6 => format!("extract(month FROM {})", self.any(sources, &[Class::Moment])),
            7 => format!("({})::text", self.any(sources, &[])),
            8 => self.one_of(sources).alias.clone(),
            9 => {
                let condition = self.condition(sources, 1);
                format!("CASE WHEN {} THEN 1 ELSE 0 END", condition.sql)
            }
            // A parameter among the columns.
            10 if self.executions > 0 => {
                let text = self.any(sources, &[Class::Text]);
                let parameter = self.given("text", |draw| draw.one(&["'x'", "NULL", "'Acme'"]).to_owned() + "::text");
                if self.draw.hit(0.5) { parameter } else { format!("coalesce({text}, {parameter})") }
            }
            10 => {
                let source = self.one_of(sources).clone();
                let (other, on) = self.relative(&source, false);
                format!("(SELECT count(*) FROM {} WHERE {on})", other.named())
            }
            _ => format!("upper({})", self.any(sources, &[Class::Text, Class::Key])),
        }
    }

    fn aggregate(&mut self, sources: &[Source<'t>]) -> String {
        let numbers = [Class::Number, Class::Whole];
        let call = match self.draw.below(14) {
            0 | 1 => "count(*)".to_owned(),
            2 => format!("count({})", self.any(sources, &[])),
            3 => format!("count(DISTINCT {})", self.any(sources, &[])),
            4 | 5 => format!("sum({})", self.any(sources, &numbers)),
            6 => format!("avg({})", self.any(sources, &numbers)),
            7 | 8 => format!(
                "{}({})",
                self.draw.one(&["min", "max"]),
                self.any(sources, &[Class::Number, Class::Whole, Class::Date, Class::Moment, Class::Text])
            ),
            9 => format!("max({})", self.any(sources, &[Class::Text, Class::Key])),
            10 => format!("sum(DISTINCT {})", self.any(sources, &numbers)),
            11 => {
                let ids: Vec<String> = sources.iter().map(Source::key).collect();
                format!("array_agg({} ORDER BY {})", self.any(sources, &[Class::Text, Class::Date]), ids.join(", "))
            }
            12 => format!("min({} + 1)", self.any(sources, &numbers)),
            _ => format!("bool_or({} IS NULL)", self.any(sources, &[])),
        };
        if self.draw.hit(0.12) {
            let filter = self.condition(sources, 0);
            return format!("{call} FILTER (WHERE {})", filter.sql);
        }
        // The API tells the same sum, but perhaps with fewer zeros at its end.
        if call.starts_with("sum(") { format!("trim_scale({call}::numeric)") } else { call }
    }

    /// One to three expressions to order by, with and without their directions; `total` adds the ids.
    fn keys(&mut self, sources: &[Source<'t>], total: bool) -> (Vec<String>, Vec<String>) {
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..self.draw.below(3) + 1 {
            let key = if self.draw.hit(0.85) {
                self.any(sources, &[])
            } else {
                format!("lower({})", self.any(sources, &[Class::Text]))
            };
            keys.push(key);
        }
        let mut order: Vec<String> = keys.iter().map(|key| self.direction(key)).collect();
        if total {
            keys.extend(sources.iter().map(Source::key));
            order.extend(sources.iter().map(Source::key));
        }
        (keys, order)
    }

    fn direction(&mut self, key: &str) -> String {
        let direction = self.draw.one(&["", "", " ASC", " DESC", " DESC"]);
        let nulls = self.draw.one(&["", "", " NULLS FIRST", " NULLS LAST"]);
        format!("{key}{direction}{nulls}")
    }

    fn limit(&mut self) -> String {
        let count = |draw: &mut super::draw::Draw| [0, 1, 2, 3, 7, 20, 60, 500][draw.below(8)].to_string();
        let limit = self.given("bigint", count);
        match self.draw.below(8) {
            0 => format!("LIMIT {limit} OFFSET {}", self.draw.below(12)),
            1 => {
                let offset = self.given("bigint", |draw| draw.below(30).to_string());
                format!("LIMIT {limit} OFFSET {offset}")
            }
            2 => format!("OFFSET {}", self.draw.below(40)),
            _ => format!("LIMIT {limit}"),
        }
    }
}
