//! A parsed query against the schema: names become fields, and what the API refuses is refused.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use super::ast::{Function, Item, Name, Operand, Order, Query};
use super::error_at;
use super::filter::{Filter, Path};
use crate::salesforce::error::{ApiError, Result};
use crate::salesforce::filler::RESTRICTED;
use crate::salesforce::generate::Source;
use crate::salesforce::schema::{Field, Kind, Object, Schema};
use crate::salesforce::switches::Switches;

const RELATIONSHIP_DEPTH: usize = 5;
const RELATIONSHIP_LIMIT: usize = 55;
const OFFSET_LIMIT: u64 = 2000;
/// FIELDS(ALL) and FIELDS(CUSTOM) are allowed only up to so many records.
const UNBOUNDED_LIMIT: u64 = 200;

/// A query that can be run.
#[derive(Debug)]
pub struct Plan {
    pub object: usize,
    pub output: Output,
    pub filter: Option<Filter<Path>>,
    pub order: Vec<Sort<Path>>,
    pub limit: Option<u64>,
    pub offset: Option<u64>,
}

#[derive(Debug)]
pub enum Output {
    Records(Node),
    Count,
    Aggregate(Box<Aggregation>),
}

/// The selected fields of a record and of its parents, in the order asked for.
#[derive(Debug, Default)]
pub struct Node {
    pub items: Vec<Selected>,
}

#[derive(Debug)]
pub enum Selected {
    /// The field, and its name as a JSON key with what stands around it: `,"Name":`.
    Field(usize, Vec<u8>),
    /// A field of whatever a polymorphic reference leads to.
    Dynamic(String, Vec<u8>),
    Parent {
        reference: usize,
        key: Vec<u8>,
        polymorphic: bool,
        node: Node,
    },
}

#[derive(Debug)]
pub struct Sort<L> {
    pub by: L,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Debug, Default)]
pub struct Aggregation {
    pub keys: Vec<Path>,
    pub calls: Vec<(Function, Path)>,
    pub outputs: Vec<(String, Cell)>,
    pub having: Option<Filter<Cell>>,
    pub order: Vec<Sort<Cell>>,
}

/// A value of a group: one of its keys or one of its aggregates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    Key(usize),
    Call(usize),
}

pub struct Checker<'a> {
    pub schema: &'a Schema,
    pub text: &'a str,
    pub switches: &'a Switches,
    /// The distinct relationship paths used so far.
    relationships: RefCell<HashSet<String>>,
}

impl<'a> Checker<'a> {
    pub fn new(schema: &'a Schema, text: &'a str, switches: &'a Switches) -> Checker<'a> {
        Checker { schema, text, switches, relationships: RefCell::default() }
    }

    pub(super) fn error(&self, at: usize, code: &'static str, message: &str) -> ApiError {
        error_at(self.text, at, code, message)
    }

    pub(super) fn object_of(&self, query: &Query) -> Result<usize> {
        let found = self.schema.object(&query.object);
        found.filter(|o| self.schema.objects[*o].traits.queryable).ok_or_else(|| {
            let message = format!(
                "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after \
                 the entity name. Please reference your WSDL or the describe call for the appropriate names.",
                query.object
            );
            self.error(query.object_at, "INVALID_TYPE", &message)
        })
    }

    pub fn check(&self, query: &Query) -> Result<Plan> {
        let object = self.object_of(query)?;
        let definition = &self.schema.objects[object];
        if query.offset.is_some_and(|n| n > OFFSET_LIMIT) {
            let message = format!("Maximum SOQL offset allowed is {OFFSET_LIMIT}");
            return Err(self.error(query.offset_at, "NUMBER_OUTSIDE_VALID_RANGE", &message));
        }
        if query.filter.is_none() && RESTRICTED.contains(&definition.name.as_str()) {
            let message = format!("Implementation restriction: {} requires a filter by a single Id", definition.name);
            return Err(self.error(query.object_at, "MALFORMED_QUERY", &message));
        }
        let filter = query.filter.as_ref().map(|f| self.row_filter(object, f)).transpose()?;
        let (output, order) = match &query.select[..] {
            [Item::Count(at)] if query.group.is_empty() => {
                if query.having.is_some() || !query.order.is_empty() {
                    return Err(self.error(*at, "MALFORMED_QUERY", "COUNT() can have neither HAVING nor ORDER BY"));
                }
                (Output::Count, Vec::new())
            }
            select => {
                if let Some(Item::Count(at)) = select.iter().find(|i| matches!(i, Item::Count(_))) {
                    return Err(self.error(
                        *at,
                        "MALFORMED_QUERY",
                        "COUNT() must be the only element in the SELECT list",
                    ));
                }
                if !query.group.is_empty()
                    || query.having.is_some()
                    || select.iter().any(|i| matches!(i, Item::Aggregate(..)))
                {
                    (Output::Aggregate(Box::new(self.aggregation(object, query)?)), Vec::new())
                } else {
                    let node = self.records(definition, object, query)?;
                    let sort = |order: &Order| self.sort(object, order);
                    (Output::Records(node), query.order.iter().map(sort).collect::<Result<_>>()?)
                }
            }
        };
        Ok(Plan { object, output, filter, order, limit: query.limit, offset: query.offset })
    }

    fn sort(&self, object: usize, order: &Order) -> Result<Sort<Path>> {
        let Operand::Field(name) = &order.by else {
            return Err(self.error(0, "MALFORMED_QUERY", "an aggregate in ORDER BY needs GROUP BY"));
        };
        let by = self.path(object, name)?;
        if !by.field.sortable() {
            return Err(self.error(
                name.at,
                "INVALID_FIELD",
                &format!("field '{}' can not be sorted in a query call", by.field.name),
            ));
        }
        Ok(Sort { by, descending: order.descending, nulls_last: order.nulls_last })
    }

    /// Walks a dotted name to its field.
    pub(super) fn path(&self, root: usize, name: &Name) -> Result<Path> {
        let (last, relationships) = name.parts.split_last().ok_or_else(ApiError::not_found)?;
        if relationships.len() > RELATIONSHIP_DEPTH {
            let message = format!("SOQL relationships may go up to {RELATIONSHIP_DEPTH} levels");
            return Err(self.error(name.at, "INVALID_FIELD", &message));
        }
        if !relationships.is_empty() {
            let mut used = self.relationships.borrow_mut();
            for n in 1..=relationships.len() {
                used.insert(format!("{root}.{}", relationships[..n].join(".").to_ascii_lowercase()));
            }
            if used.len() > RELATIONSHIP_LIMIT {
                return Err(self.error(
                    name.at,
                    "MALFORMED_QUERY",
                    "A query may use at most 55 child-to-parent relationships",
                ));
            }
        }
        let mut hops = Vec::with_capacity(relationships.len());
        let mut object = root;
        for (i, relationship) in relationships.iter().enumerate() {
            let definition = &self.schema.objects[object];
            let Some(reference) = definition.relationship(relationship) else {
                let message = format!(
                    "Didn't understand relationship '{relationship}' in field path. If you are attempting to use a custom relationship, be \
                     sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the \
                     appropriate names."
                );
                return Err(self.error(name.at, "INVALID_FIELD", &message));
            };
            hops.push(reference);
            let field = &definition.fields[reference];
            if field.polymorphic() {
                let found = (i + 1 == relationships.len()).then(|| name_field(last)).flatten();
                let field = found.ok_or_else(|| self.no_such_column(name.at, last, "Name"))?;
                return Ok(Path { hops, at: None, field: Arc::new(field) });
            }
            object = self.schema.object(field.references[0]).ok_or_else(ApiError::not_found)?;
        }
        let definition = &self.schema.objects[object];
        let at = definition.field(last).ok_or_else(|| self.no_such_column(name.at, last, &definition.name))?;
        Ok(Path { hops, at: Some(at), field: Arc::new(definition.fields[at].clone()) })
    }

    fn no_such_column(&self, at: usize, field: &str, object: &str) -> ApiError {
        let message = format!(
            "No such column '{field}' on entity '{object}'. If you are attempting to use a custom field, be sure to append the '__c' after \
             the custom field name. Please reference your WSDL or the describe call for the appropriate names."
        );
        self.error(at, "INVALID_FIELD", &message)
    }

    fn records(&self, definition: &Object, object: usize, query: &Query) -> Result<Node> {
        let mut node = Node::default();
        let mut seen = HashSet::new();
        for item in &query.select {
            match item {
                Item::Field(name, None) => {
                    let path = self.path(object, name)?;
                    let key = format!("{:?}.{}", path.hops, path.field.name);
                    if !seen.insert(key) {
                        return Err(duplicate(&name.parts.join(".")));
                    }
                    node.select(self.schema, definition, &path.hops, path.at, &path.field);
                }
                Item::Field(name, Some(_)) => {
                    return Err(self.error(
                        name.at,
                        "MALFORMED_QUERY",
                        "only aggregate expressions use field aliasing",
                    ));
                }
                Item::Fields(group, at) => {
                    let custom = match group.to_ascii_uppercase().as_str() {
                        "ALL" => None,
                        "STANDARD" => Some(false),
                        "CUSTOM" => Some(true),
                        _ => return Err(self.error(*at, "MALFORMED_QUERY", &format!("unexpected token: '{group}'"))),
                    };
                    if custom != Some(false) && query.limit.is_none_or(|n| n > UNBOUNDED_LIMIT) {
                        let message = format!(
                            "The SOQL FIELDS function must have a LIMIT of at most {UNBOUNDED_LIMIT} when FIELDS({group}) is used"
                        );
                        return Err(self.error(*at, "MALFORMED_QUERY", &message));
                    }
                    for (i, field) in definition.fields.iter().enumerate() {
                        if custom.is_none_or(|c| c == field.custom) {
                            if !seen.insert(format!("[].{}", field.name)) {
                                return Err(duplicate(&field.name));
                            }
                            node.select(self.schema, definition, &[], Some(i), field);
                        }
                    }
                }
                Item::Aggregate(..) | Item::Count(_) => {}
            }
        }
        Ok(node)
    }

    fn aggregation(&self, object: usize, query: &Query) -> Result<Aggregation> {
        let mut it = Aggregation::default();
        for name in &query.group {
            let path = self.path(object, name)?;
            if !path.field.groupable() {
                let message = format!("field '{}' can not be grouped in a query call", path.field.name);
                return Err(self.error(name.at, "INVALID_FIELD", &message));
            }
            it.keys.push(path);
        }
        if query.group.is_empty() && query.limit.is_some() {
            let message = "A query with an aggregate function and no GROUP BY clause cannot use a LIMIT clause";
            return Err(self.error(query.limit_at, "MALFORMED_QUERY", message));
        }
        let mut unaliased = 0;
        for item in &query.select {
            let (alias, cell, at) = match item {
                Item::Field(name, alias) => {
                    let cell = self.cell(object, &Operand::Field(name.clone()), &mut it)?;
                    let last = || match cell {
                        Cell::Key(key) => it.keys[key].field.name.clone(),
                        Cell::Call(_) => String::new(),
                    };
                    (alias.clone().unwrap_or_else(last), cell, name.at)
                }
                Item::Aggregate(call, alias) => {
                    let cell = self.cell(object, &Operand::Aggregate(call.clone()), &mut it)?;
                    let alias = alias.clone().unwrap_or_else(|| {
                        unaliased += 1;
                        format!("expr{}", unaliased - 1)
                    });
                    (alias, cell, call.at)
                }
                Item::Count(at) | Item::Fields(_, at) => {
                    return Err(self.error(
                        *at,
                        "MALFORMED_QUERY",
                        "FIELDS and COUNT() cannot be used in an aggregate query",
                    ));
                }
            };
            if it.outputs.iter().any(|(a, _)| a.eq_ignore_ascii_case(&alias)) {
                return Err(self.error(at, "MALFORMED_QUERY", &format!("duplicate alias: {alias}")));
            }
            it.outputs.push((alias, cell));
        }
        it.having = query.having.as_ref().map(|h| self.group_filter(object, h, &mut it)).transpose()?;
        for order in &query.order {
            let by = self.cell(object, &order.by, &mut it)?;
            it.order.push(Sort { by, descending: order.descending, nulls_last: order.nulls_last });
        }
        Ok(it)
    }

    /// What an operand of an aggregate query stands for; an aggregate not met before is added.
    pub(super) fn cell(&self, object: usize, operand: &Operand, it: &mut Aggregation) -> Result<Cell> {
        match operand {
            Operand::Field(name) => {
                let path = self.path(object, name)?;
                let key = it.keys.iter().position(|k| k.same(&path));
                key.map(Cell::Key).ok_or_else(|| {
                    let message = format!("Field must be grouped or aggregated: {}", path.field.name);
                    self.error(name.at, "MALFORMED_QUERY", &message)
                })
            }
            Operand::Aggregate(call) => {
                let path = self.path(object, &call.field)?;
                let summed = matches!(call.function, Function::Sum | Function::Avg);
                if !path.field.aggregatable() || summed && !path.field.kind.is_number() {
                    let name = format!("{:?}", call.function).to_ascii_uppercase();
                    let message = format!("field {} does not support aggregate operator {name}", path.field.name);
                    return Err(self.error(call.at, "MALFORMED_QUERY", &message));
                }
                let known = it.calls.iter().position(|(f, p)| *f == call.function && p.same(&path));
                Ok(Cell::Call(known.unwrap_or_else(|| {
                    it.calls.push((call.function, path));
                    it.calls.len() - 1
                })))
            }
        }
    }
}

fn duplicate(field: &str) -> ApiError {
    ApiError::bad("INVALID_FIELD", format!("duplicate field selected: {field}"))
}

/// The fields that every target of a polymorphic reference can be asked for.
fn name_field(name: &str) -> Option<Field> {
    const FIELDS: [(&str, Kind); 8] = [
        ("Id", Kind::Id),
        ("Name", Kind::Text),
        ("Type", Kind::Text),
        ("FirstName", Kind::Text),
        ("LastName", Kind::Text),
        ("Email", Kind::Email),
        ("Phone", Kind::Phone),
        ("Title", Kind::Text),
    ];
    FIELDS.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(n, kind)| Field::new(n, *kind, Source::None))
}

impl Node {
    /// Adds a field under the parents that `hops` lead through.
    fn select(&mut self, schema: &Schema, object: &Object, hops: &[usize], at: Option<usize>, field: &Field) {
        let key = |name: &str| format!(",\"{name}\":").into_bytes();
        let Some((reference, rest)) = hops.split_first() else {
            self.items.push(match at {
                Some(at) => Selected::Field(at, key(&field.name)),
                None => Selected::Dynamic(field.name.clone(), key(&field.name)),
            });
            return;
        };
        let definition = &object.fields[*reference];
        let known =
            self.items.iter().position(|i| matches!(i, Selected::Parent { reference: r, .. } if r == reference));
        let position = known.unwrap_or_else(|| {
            self.items.push(Selected::Parent {
                reference: *reference,
                key: key(definition.relationship.as_deref().unwrap_or_default()),
                polymorphic: definition.polymorphic(),
                node: Node::default(),
            });
            self.items.len() - 1
        });
        let parent = schema.object(definition.references[0]).map(|o| &schema.objects[o]).unwrap_or(object);
        if let Selected::Parent { node, .. } = &mut self.items[position] {
            node.select(schema, parent, rest, at, field);
        }
    }
}
