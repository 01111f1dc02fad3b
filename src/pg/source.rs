//! What a scan reads: one object, or one with those that its references lead to.

use std::rc::Rc;

use super::catalog::{Column, Table};
use super::modify_plan::instead_of_row;
use super::node::{Node, Shape};
use super::planner::Rel;
use crate::query::predicate::Predicate;
use crate::schema::{Field, Object};

/// References that a path may follow.
const MAX_DEPTH: usize = 5;

/// A tree of foreign tables: the first one's records are read, the others' fields are seen through references.
#[derive(Clone)]
pub struct Source {
    members: Vec<Member>,
    /// The first one's object, with the fields of all; those of the others named by their paths: `Account.Name`.
    pub object: Object,
    /// Keys of others, by place among the fields: a record without such a counterpart is left out.
    required: Vec<usize>,
}

#[derive(Clone)]
struct Member {
    /// Its number in the query.
    number: u32,
    table: Rc<Table>,
    /// Where its fields begin among those of all.
    start: usize,
    /// `Account.Owner.`, or nothing.
    path: String,
    /// Whether its fields are NULL where the reference leads nowhere.
    nullable: bool,
}

/// A column that is wanted, and where its field stands among those of all.
#[derive(Clone, Copy)]
pub struct Shown<'s> {
    pub column: &'s Column,
    pub field: usize,
}

impl Source {
    pub fn new(number: u32, table: Table) -> Source {
        let object = table.object.clone();
        let member = Member { number, table: Rc::new(table), start: 0, path: String::new(), nullable: false };
        Source { members: vec![member], object, required: Vec::new() }
    }

    /// The table whose records are read.
    pub fn table(&self) -> &Table {
        &self.members[0].table
    }

    fn member(&self, number: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.number == number)
    }

    /// What must hold for a record to have all the counterparts that it needs.
    pub fn found(&self) -> impl Iterator<Item = Predicate> {
        let field = |at: &usize| self.object.fields[*at].clone();
        self.required.iter().map(move |at| Predicate::IsNull { field: field(at), negated: true })
    }

    /// A column of one of the tables.
    pub fn shown(&self, number: u32, attribute: i16) -> Option<Shown<'_>> {
        let member = self.member(number)?;
        let column = member.table.column(attribute)?;
        Some(Shown { column, field: member.start + column.field })
    }

    /// What a column of one of the tables shows.
    pub fn shown_by(&self, column: Node<'_>) -> Option<Shown<'_>> {
        match column.shape() {
            Shape::Column { relation, attribute } => self.shown(relation, attribute),
            _ => None,
        }
    }

    /// The field behind a column, if a comparison with the one is a comparison with the other.
    pub fn comparable(&self, number: u32, attribute: i16) -> Option<&Field> {
        let Shown { column, field } = self.shown(number, attribute)?;
        let known = column.comparable && !self.member(number)?.nullable;
        known.then(|| &self.object.fields[field])
    }

    /// The columns of the only table that expressions name; all of them for a whole row.
    pub fn columns(&self, rel: Rel<'_>, expressions: &[Node<'_>]) -> Vec<Shown<'_>> {
        let table = self.table();
        let mut named = rel.attributes(expressions);
        if named.contains(&0)
            && let Some(needed) = instead_of_row(rel, table)
        {
            named.remove(&0);
            named.extend(needed);
        }
        let columns = table.columns().iter();
        let columns = columns.filter(|column| named.contains(&0) || named.contains(&column.attribute.into()));
        columns.map(|column| Shown { column, field: column.field }).collect()
    }

    /// This source, and `other` by the reference in one of its columns; `None` if there is none that leads there.
    /// `optional`: records without a counterpart stay.
    pub fn follow(
        &self,
        (number, attribute): (u32, i16),
        other: &Source,
        (key_number, key_attribute): (u32, i16),
        optional: bool,
    ) -> Option<Source> {
        let (from, column) = (self.member(number)?, self.shown(number, attribute)?);
        let reference = self.object.fields[column.field].references.as_ref()?;
        let root = &other.members[0];
        let leads_there = match reference.objects.as_slice() {
            // Of several objects the path would show what they have in common.
            [object] => object.eq_ignore_ascii_case(&root.table.object.name),
            _ => false,
        };
        let key = other.shown(key_number, key_attribute)?;
        let by_key = root.number == key_number && other.object.fields[key.field].key;
        // What is optional below would be left out together with its own counterpart.
        if !leads_there || !by_key || (optional && !other.required.is_empty()) || (from.nullable && !optional) {
            return None;
        }
        let path = format!("{}{}.", from.path, reference.relationship.as_ref()?);
        let mut joined = self.clone();
        let start = self.object.fields.len();
        if !optional {
            joined.required.push(start + key.field);
            joined.required.extend(other.required.iter().map(|field| start + field));
        }
        for member in &other.members {
            let path = format!("{path}{}", member.path);
            if path.matches('.').count() > MAX_DEPTH {
                return None;
            }
            let nullable = optional || from.nullable || member.nullable;
            joined.members.push(Member { start: start + member.start, path, nullable, ..member.clone() });
        }
        joined.object.fields.extend(other.object.fields.iter().map(|field| Field {
            name: format!("{path}{}", field.name),
            key: false,
            ..field.clone()
        }));
        Some(joined)
    }
}
