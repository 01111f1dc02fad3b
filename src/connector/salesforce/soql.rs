//! SOQL: how a read is worded.
//!
//! A filter becomes a [`Condition`]: SOQL's text where the API can decide, `True` and `False` where the value
//! alone decides. SOQL differs from SQL where null is concerned: `!=` and `NOT IN` keep rows whose field is
//! null, and AND mixed with OR needs parentheses.
//! <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_conditionexpression.htm>

use std::collections::HashSet;
use std::fmt;

use super::family::{Family, family};
use super::literal::{self, Literal, Wanted, literal};
use crate::error::{Error, Kind, Result};
use crate::query::ask::{Aggregate, Function, Grouping, Read, SortKey};
use crate::query::pattern::{Case, Form, Pattern};
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::schema::{Capabilities, Field};
use crate::value::Value;

/// A filter in SOQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    True,
    False,
    /// One comparison, parentheses included where it is more than one.
    Test {
        text: String,
        /// Whether it may find more than it should, so that it is tested again here.
        loose: bool,
    },
    List(List),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

/// `field IN (items)`, or `NOT IN`.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub field: String,
    /// Worded, none twice.
    pub items: Vec<String>,
    pub negated: bool,
    pub loose: bool,
}

impl Condition {
    fn all(parts: impl IntoIterator<Item = Condition>) -> Self {
        let mut left = Vec::new();
        for part in parts {
            match part {
                Condition::True => {}
                Condition::False => return Condition::False,
                Condition::And(inner) => left.extend(inner),
                other => left.push(other),
            }
        }
        match left.len() {
            0 => Condition::True,
            1 => left.remove(0),
            _ => Condition::And(left),
        }
    }

    fn any(parts: impl IntoIterator<Item = Condition>) -> Self {
        let mut left = Vec::new();
        for part in parts {
            match part {
                Condition::False => {}
                Condition::True => return Condition::True,
                Condition::Or(inner) => left.extend(inner),
                other => left.push(other),
            }
        }
        match left.len() {
            0 => Condition::False,
            1 => left.remove(0),
            _ => Condition::Or(left),
        }
    }

    /// The same, to be tested again here.
    fn loosened(self) -> Self {
        match self {
            Condition::Test { text, .. } => Condition::Test { text, loose: true },
            Condition::List(list) => Condition::List(List { loose: true, ..list }),
            Condition::And(parts) => Condition::And(parts.into_iter().map(Condition::loosened).collect()),
            Condition::Or(parts) => Condition::Or(parts.into_iter().map(Condition::loosened).collect()),
            constant => constant,
        }
    }

    /// The conditions that must all hold; not for `False`.
    pub fn into_parts(self) -> Vec<Condition> {
        match self {
            Condition::True => Vec::new(),
            Condition::And(parts) => parts,
            other => vec![other],
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, parts: &[Condition], word: &str| {
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Condition::And(_) | Condition::Or(_) => write!(f, "({part})")?,
                    plain => write!(f, "{plain}")?,
                }
            }
            Ok(())
        };
        match self {
            // Folding leaves neither inside of another condition.
            Condition::True => f.write_str("(Id != null)"),
            Condition::False => f.write_str("(Id = null)"),
            Condition::Test { text, .. } => f.write_str(text),
            Condition::List(list) => list.fmt(f),
            Condition::And(parts) => join(f, parts, "AND"),
            Condition::Or(parts) => join(f, parts, "OR"),
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No blanks: a URI holds 500 ids, and a blank takes three bytes of it.
        let (field, items) = (&self.field, self.items.join(","));
        if self.negated {
            write!(f, "({field} NOT IN ({items}) AND {field} != null)")
        } else {
            write!(f, "{field} IN ({items})")
        }
    }
}

/// The names that are selected, each once. A read of no field still needs one.
pub fn names(fields: &[Field]) -> Vec<&str> {
    let mut seen = HashSet::new();
    let mut names: Vec<_> =
        fields.iter().map(|field| field.name.as_str()).filter(|name| seen.insert(name.to_ascii_lowercase())).collect();
    if names.is_empty() {
        names.push("Id");
    }
    names
}

/// As SELECT lists them.
pub fn select_list(fields: &[Field]) -> String {
    let names = names(fields);
    // Hundreds of fields fit into a URI only without blanks.
    names.join(if names.len() < 100 { ", " } else { "," })
}

/// What stands around the conditions of a query.
pub struct Frame {
    /// `SELECT … FROM …`
    head: String,
    /// ` ORDER BY … LIMIT …`
    tail: String,
}

impl Frame {
    pub fn new(
        object: &str,
        fields: &[Field],
        grouping: Option<&Grouping>,
        order: &[SortKey],
        limit: Option<&str>,
    ) -> Result<Frame> {
        let mut tail = String::new();
        let select = match grouping {
            None => select_list(fields),
            Some(grouping) => {
                let keys: Vec<_> = grouping.keys.iter().map(|key| key.name.as_str()).collect();
                if !keys.is_empty() {
                    tail.push_str(&format!(" GROUP BY {}", keys.join(", ")));
                }
                match having(grouping)? {
                    Condition::True => {}
                    condition => tail.push_str(&format!(" HAVING {condition}")),
                }
                let aggregates = grouping.aggregates.iter().enumerate();
                let aggregates = aggregates.map(|(at, it)| format!("{} {}", aggregate(it), Grouping::alias(at)));
                keys.into_iter().map(str::to_owned).chain(aggregates).collect::<Vec<_>>().join(", ")
            }
        };
        for (at, key) in order.iter().enumerate() {
            tail.push_str(if at == 0 { " ORDER BY " } else { ", " });
            tail.push_str(&key.field.name);
            tail.push_str(if key.descending { " DESC" } else { " ASC" });
            // Left out, they come first either way.
            tail.push_str(if key.nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
        }
        if let Some(limit) = limit {
            tail.push_str(&format!(" LIMIT {limit}"));
        }
        Ok(Frame { head: format!("SELECT {select} FROM {object}"), tail })
    }

    /// The whole query.
    pub fn around(&self, parts: &[Condition]) -> String {
        let mut text = self.head.clone();
        if !parts.is_empty() {
            text.push_str(" WHERE ");
            match parts {
                [only] => text.push_str(&only.to_string()),
                several => text.push_str(&Condition::And(several.to_vec()).to_string()),
            }
        }
        text + &self.tail
    }
}

fn aggregate(aggregate: &Aggregate) -> String {
    let function = match aggregate.function {
        Function::Count => "COUNT",
        Function::CountDistinct => "COUNT_DISTINCT",
        Function::Sum => "SUM",
        Function::Min => "MIN",
        Function::Max => "MAX",
    };
    // Every record has an id.
    format!("{function}({})", aggregate.field.as_ref().map_or("Id", |field| field.name.as_str()))
}

/// What an aggregate is in a condition: a field of its result's type, named as it is worded. SOQL does not take the
/// alias there.
pub fn as_field(it: &Aggregate) -> Field {
    let of = it.field.as_ref().map_or("", |field| field.remote_type.as_str());
    let remote_type = match it.function {
        Function::Count | Function::CountDistinct => "long",
        Function::Sum if matches!(of, "int" | "long") => "long",
        Function::Sum => "double",
        Function::Min | Function::Max => of,
    };
    Field {
        name: aggregate(it),
        label: None,
        ty: it.ty,
        remote_type: remote_type.to_owned(),
        key: false,
        references: None,
        capabilities: Capabilities { filter: true, ..Capabilities::default() },
    }
}

/// A condition on groups as one on the fields that their aggregates are.
pub fn on_aggregates(grouping: &Grouping, condition: &Predicate) -> Predicate {
    let mut condition = condition.clone();
    condition.fields_mut(&mut |field| {
        let mut aggregates = grouping.aggregates.iter().enumerate();
        if let Some((_, aggregate)) = aggregates.find(|(at, _)| Grouping::alias(*at) == field.name) {
            *field = as_field(aggregate);
        }
    });
    condition
}

fn having(grouping: &Grouping) -> Result<Condition> {
    let conditions = grouping.having.iter().map(|condition| on_aggregates(grouping, condition));
    condition(&Predicate::And(conditions.collect()))
}

/// Bytes of a text in a query string.
pub fn encoded_len(text: &str) -> usize {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) { 1 } else { 3 }).sum()
}

/// Refuses names that are none: they stand in the query as they are.
pub fn check_names(object: &str, fields: &[Field]) -> Result<()> {
    let is_name = |name: &str| {
        name.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !is_name(object) {
        return Err(Error::new(Kind::UnknownObject, format!("Salesforce has no object \"{object}\"")).hint(
            "Names of objects are made of letters, digits and underscores: check option \"object\" of the table.",
        ));
    }
    match fields.iter().find(|field| !field.name.split('.').all(is_name)) {
        Some(field) => Err(Error::new(Kind::UnknownField, format!("Salesforce has no field \"{}\"", field.name))
            .column(&field.name)
            .hint(
                "Names of fields are made of letters, digits and underscores: check option \"field\" of the column.",
            )),
        None => Ok(()),
    }
}

/// What EXPLAIN shows.
pub fn explain(read: &Read) -> String {
    const NOTHING: &str = "nothing: no record can match";
    let rows = |operand: &Option<Operand>| match operand {
        None | Some(Operand::Value(Value::Null)) => None,
        Some(Operand::Value(Value::Int(rows))) => Some(rows.to_string()),
        Some(Operand::Value(other)) => Some(format!("{other:?}")),
        Some(Operand::Arg(at)) => Some(parameter(*at)),
    };
    let limit = match (&read.limit, &read.offset) {
        (Some(Operand::Value(Value::Int(limit))), Some(Operand::Value(Value::Int(offset)))) => {
            Some(limit.saturating_add(*offset).to_string())
        }
        (limit, offset) => match (rows(limit), rows(offset)) {
            (Some(limit), Some(offset)) => Some(format!("{limit} + {offset}")),
            (limit, _) => limit,
        },
    };
    if limit.as_deref() == Some("0") {
        return NOTHING.to_owned();
    }
    let frame = Frame::new(&read.object, &read.fields, read.grouping.as_ref(), &read.order, limit.as_deref());
    match (condition(&Predicate::And(read.filter.clone())), frame) {
        (Ok(Condition::False), _) => NOTHING.to_owned(),
        (Ok(filter), Ok(frame)) => frame.around(&filter.into_parts()),
        (Err(error), _) | (_, Err(error)) => error.to_string(),
    }
}

fn parameter(at: usize) -> String {
    format!("${}", at + 1)
}

/// A filter in SOQL. Operands that are not known yet are worded as `$1`, `$2`, …
pub fn condition(predicate: &Predicate) -> Result<Condition> {
    Ok(match predicate {
        Predicate::True | Predicate::Opaque => Condition::True,
        Predicate::False => Condition::False,
        Predicate::Known { operand: Operand::Arg(at), negated } => Condition::Test {
            text: if *negated { format!("(NOT {})", parameter(*at)) } else { parameter(*at) },
            loose: false,
        },
        Predicate::Known { operand: Operand::Value(value), negated } => match value {
            Value::Bool(holds) if holds != negated => Condition::True,
            _ => Condition::False,
        },
        Predicate::And(parts) => Condition::all(parts.iter().map(condition).collect::<Result<Vec<_>>>()?),
        Predicate::Or(parts) => Condition::any(parts.iter().map(condition).collect::<Result<Vec<_>>>()?),
        Predicate::IsNull { field, negated } => is_null(field, *negated)?,
        Predicate::Compare { field, op, operand } => {
            let family = needs_family(field)?;
            match operand {
                Operand::Value(Value::Null) => Condition::False,
                Operand::Value(value) => compare(field, family, *op, literal(field, family, value)?)?,
                Operand::Arg(at) => compare(field, family, *op, Literal::Text(parameter(*at)))?,
            }
        }
        Predicate::In { field, list: Operand::Arg(at), negated } => {
            let (name, at, family) = (&field.name, parameter(*at), needs_family(field)?);
            let text = match (*negated, family) {
                (false, _) => format!("{name} IN {at}"),
                (true, Family::Bool) => format!("{name} NOT IN {at}"),
                (true, _) => format!("({name} NOT IN {at} AND {name} != null)"),
            };
            Condition::Test { text, loose: family == Family::Text }
        }
        Predicate::Weaker(inner) => condition(inner)?.loosened(),
        Predicate::Distinct { field, operand: Operand::Arg(at), negated } => {
            let (name, at) = (&field.name, parameter(*at));
            let text = if *negated { format!("{name} = {at}") } else { format!("({name} != {at} OR {name} = null)") };
            Condition::Test { text, loose: needs_family(field)? == Family::Text }
        }
        Predicate::Text { field, form, pattern: Operand::Arg(at), .. } => {
            let sign = if *form == Form::Whole { "=" } else { "LIKE" };
            let wildcard = if *form == Form::Prefix { "%" } else { "" };
            Condition::Test { text: format!("{} {sign} {}{wildcard}", field.name, parameter(*at)), loose: true }
        }
        Predicate::Holds { field, items: Operand::Arg(at), .. } => {
            Condition::Test { text: format!("{} INCLUDES ({})", field.name, parameter(*at)), loose: true }
        }
        // Nulls and empty lists are folded as for every API.
        Predicate::In { .. } | Predicate::Distinct { .. } | Predicate::Text { .. } | Predicate::Holds { .. } => {
            match predicate.bind(&mut |_| Value::Null) {
                Predicate::In { field, list: Operand::Value(Value::List(items)), negated } => {
                    in_list(&field, &items, negated)?
                }
                Predicate::Text { field, case, form, pattern: Operand::Value(Value::List(patterns)) } => {
                    like_any(&field, case, form, &patterns)?
                }
                Predicate::Holds { field, items: Operand::Value(Value::List(items)), all } => {
                    includes(&field, &items, all)?
                }
                folded => condition(&folded)?,
            }
        }
    })
}

fn needs_family(field: &Field) -> Result<Family> {
    family(field).ok_or_else(|| {
        Error::new(Kind::Internal, format!("a filter on field {} was pushed", field.name)).column(&field.name)
    })
}

fn is_null(field: &Field, negated: bool) -> Result<Condition> {
    needs_family(field)?;
    let reached = reached(field);
    let name = reached.as_deref().unwrap_or(&field.name);
    Ok(match (field.remote_type.as_str(), negated) {
        ("boolean", _) if reached.is_some() => {
            Condition::Test { text: format!("{name} {} null", if negated { "!=" } else { "=" }), loose: false }
        }
        // A checkbox is never null; asked all the same, SOQL takes null for false.
        ("boolean", true) => Condition::True,
        ("boolean", false) => Condition::False,
        (_, true) => Condition::Test { text: format!("{name} != null"), loose: false },
        (_, false) => Condition::Test { text: format!("{name} = null"), loose: false },
    })
}

/// For a check box of a record that a reference leads to: the id that tells whether there is such a record. Without one
/// the box is null here and false there.
fn reached(field: &Field) -> Option<String> {
    let (path, _) = field.name.rsplit_once('.').filter(|_| field.remote_type == "boolean")?;
    Some(format!("{path}.Id"))
}

/// `field op literal`, as SQL means it.
fn compare(field: &Field, family: Family, op: Comparison, literal: Literal) -> Result<Condition> {
    use Comparison::*;
    let name = &field.name;
    let test = |sign: &str, text: &str| Condition::Test {
        text: format!("{name} {sign} {text}"),
        loose: family == Family::Text,
    };
    Ok(match (literal, op) {
        (Literal::Text(text), Eq | Ne) if let Some(id) = reached(field) => {
            let sign = if op == Eq { "=" } else { "!=" };
            Condition::Test { text: format!("({name} {sign} {text} AND {id} != null)"), loose: false }
        }
        (Literal::Text(text), Eq) => test("=", &text),
        (Literal::Text(text), Ne) if family == Family::Bool => test("!=", &text),
        (Literal::Text(text), Ne) => {
            Condition::Test { text: format!("({name} != {text} AND {name} != null)"), loose: family == Family::Text }
        }
        (Literal::Text(text), Lt) => test("<", &text),
        (Literal::Text(text), Le) => test("<=", &text),
        (Literal::Text(text), Gt) => test(">", &text),
        (Literal::Text(text), Ge) => test(">=", &text),
        (_, Eq) => Condition::False,
        (_, Ne) => is_null(field, true)?,
        (Literal::AboveAll, Lt | Le) | (Literal::BelowAll, Gt | Ge) => is_null(field, true)?,
        (Literal::AboveAll, Gt | Ge) | (Literal::BelowAll, Lt | Le) => Condition::False,
        (Literal::JustAbove(floor), Lt | Le) => test("<=", &floor),
        (Literal::JustAbove(floor), Gt | Ge) => test(">", &floor),
        (Literal::Never, _) => {
            return Err(Error::new(Kind::Internal, format!("an order on field {name} was pushed")).column(name));
        }
    })
}

fn in_list(field: &Field, values: &[Value], negated: bool) -> Result<Condition> {
    let family = needs_family(field)?;
    if family == Family::Bool {
        // At most two tests, and `!= null` must not stand beside them: SOQL takes null for false.
        let op = if negated { Comparison::Ne } else { Comparison::Eq };
        let tests = values.iter().map(|value| compare(field, family, op, literal(field, family, value)?));
        let tests: Vec<_> = tests.collect::<Result<_>>()?;
        return Ok(if negated { Condition::all(tests) } else { Condition::any(tests) });
    }
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(values.len());
    for value in values {
        // Whatever is not among the values that the field can hold equals no cell.
        if let Literal::Text(text) = literal(field, family, value)?
            && seen.insert(text.clone())
        {
            items.push(text);
        }
    }
    if items.is_empty() {
        return if negated { is_null(field, true) } else { Ok(Condition::False) };
    }
    Ok(Condition::List(List { field: field.name.clone(), items, negated, loose: family == Family::Text }))
}

/// A text field that matches any of the patterns, and perhaps others.
fn like_any(field: &Field, case: Case, form: Form, patterns: &[Value]) -> Result<Condition> {
    let name = &field.name;
    let mut tests = Vec::new();
    let mut same = Vec::new();
    for text in texts(field, patterns)? {
        let wanted = Pattern::new(form, text).map_or(Wanted::Unsaid, |all| literal::pattern(&all.before(case)));
        match wanted {
            Wanted::Nothing => {}
            Wanted::Unsaid => return Ok(Condition::True),
            Wanted::Something => tests.push(is_null(field, true)?),
            Wanted::Like(pattern) => {
                tests.push(Condition::Test { text: format!("{name} LIKE {pattern}"), loose: true })
            }
            Wanted::Same(text) => same.push(text),
        }
    }
    if let [text] = &same[..] {
        tests.push(Condition::Test { text: format!("{name} = {text}"), loose: true });
    } else if !same.is_empty() {
        let (field, mut seen) = (name.clone(), HashSet::new());
        same.retain(|text| seen.insert(text.clone()));
        tests.push(Condition::List(List { field, items: same, negated: false, loose: true }));
    }
    Ok(Condition::any(tests).loosened())
}

/// A multi-select that holds any of the choices, or all of them, and perhaps others.
fn includes(field: &Field, items: &[Value], all: bool) -> Result<Condition> {
    let choices = texts(field, items)?;
    let worded: Vec<_> = match all {
        true => literal::choices(&choices).into_iter().collect(),
        false => choices.iter().filter_map(|choice| literal::choices(&[choice])).collect(),
    };
    Ok(match worded.is_empty() {
        true => Condition::False,
        false if worded.iter().any(|item| item.encode_utf16().count() > literal::MAX_STRING) => Condition::True,
        false => Condition::Test { text: format!("{} INCLUDES ({})", field.name, worded.join(",")), loose: true },
    })
}

fn texts<'a>(field: &Field, values: &'a [Value]) -> Result<Vec<&'a str>> {
    let text = |value: &'a Value| match value {
        Value::Text(text) => Ok(&**text),
        _ => Err(Error::new(Kind::Internal, format!("field {} is compared with what is no text", field.name))
            .column(&field.name)),
    };
    values.iter().map(text).collect()
}
