//! What is changed, in neutral words: one way to write for every statement, and for every API.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::schema::Field;
use crate::value::Value;

/// What is done to records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    Insert,
    Update,
    Delete,
    /// Insert, or update what is there already with the same value in one field.
    Upsert,
}

impl Op {
    /// As in "insert Contact".
    pub fn verb(self) -> &'static str {
        match self {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Upsert => "upsert",
        }
    }

    /// As in "3 records were inserted".
    pub fn past(self) -> &'static str {
        match self {
            Op::Insert => "inserted",
            Op::Update => "updated",
            Op::Delete => "deleted",
            Op::Upsert => "upserted",
        }
    }
}

/// A kind of change to one object. The changes themselves come in batches.
#[derive(Clone, Debug)]
pub struct Write {
    /// The API's own name.
    pub object: String,
    pub op: Op,
    /// What the cells of a [`Change`] count.
    pub fields: Vec<Field>,
    /// The field by which an upsert finds records: its place in `fields`.
    pub by: Option<usize>,
    /// Whether a record that is there already is passed over, as if it were gone.
    pub skip_duplicates: bool,
    /// Whether two of the fields are one, shown by two columns.
    twins: bool,
}

/// What one record is to become.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Of the record, where there is one already; of an upsert, the value that it is found by.
    pub key: Box<str>,
    /// By place in [`Write::fields`]. What is not named stays as it is.
    pub cells: Vec<(usize, Value)>,
}

/// How many changes an API takes in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteLimits {
    pub records: usize,
    /// Bytes of cells, roughly: a batch ends when it has as many.
    pub bytes: usize,
}

/// What became of one change.
#[derive(Clone, Debug)]
pub enum Outcome {
    Written(Written),
    /// There is no such record any more.
    Gone,
    /// Not written, and why.
    Refused(Error),
    /// Not written, since another change of its batch was refused.
    RolledBack,
}

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub key: Box<str>,
    /// Of an upsert: whether the record is new; `None` if a repeated request leaves it open.
    pub created: Option<bool>,
    /// What of the batch the API has left out all the same, if anything.
    pub lacking: Option<&'static str>,
}

impl Written {
    pub fn new(key: Box<str>, created: Option<bool>) -> Written {
        Written { key, created, lacking: None }
    }
}

impl Write {
    pub fn new(object: &str, op: Op, fields: Vec<Field>) -> Write {
        let mut names: Vec<_> = fields.iter().map(|field| field.name.to_ascii_lowercase()).collect();
        names.sort();
        let twins = names.windows(2).any(|pair| pair[0] == pair[1]);
        Write { object: object.to_owned(), op, fields, by: None, skip_duplicates: false, twins }
    }

    /// Sends no field twice, though two columns may show it.
    ///
    /// Errors: 0A000 if they have different values.
    fn once(&self, mut change: Change) -> Result<Change> {
        if !self.twins {
            return Ok(change);
        }
        let name = |at: usize| self.fields[at].name.to_ascii_lowercase();
        let mut at = 0;
        while at < change.cells.len() {
            let (place, value) = &change.cells[at];
            match change.cells[..at].iter().find(|(other, _)| name(*other) == name(*place)) {
                None => at += 1,
                Some((_, same)) if same == value => drop(change.cells.remove(at)),
                Some(_) => {
                    let field = &self.fields[*place].name;
                    let message = format!("two columns show the field {field}, and are given different values");
                    return Err(Error::new(Kind::NotSupported, message)
                        .hint("Give only one of them a value.")
                        .column(field));
                }
            }
        }
        Ok(change)
    }

    /// The change that creates a record. What is NULL in a field that cannot be created is taken as unset.
    ///
    /// Errors: 428C9 if a field that cannot be created has a value.
    pub fn created(&self, cells: impl IntoIterator<Item = (usize, Value)>) -> Result<Change> {
        let mut change = Change { cells: Vec::with_capacity(self.fields.len()), ..Change::default() };
        for (at, value) in cells {
            let field = &self.fields[at];
            if field.capabilities.create {
                change.cells.push((at, value));
            } else if !value.is_null() {
                return Err(read_only(field, "create"));
            }
        }
        self.once(change)
    }

    /// The change that creates a record, or updates the one with the same value in the field that `by` says.
    ///
    /// Errors: 23502 without such a value, unless records are found by their key: then one is created. 428C9 if a field
    /// can neither be created nor changed.
    pub fn upserted(&self, mut change: Change) -> Result<Change> {
        let by = self.by.and_then(|at| Some((at, self.fields.get(at)?)));
        let Some((at, by)) = by else {
            return Err(Error::new(Kind::Internal, "an upsert does not say how records are found"));
        };
        let given = change.cells.iter().find(|(place, value)| *place == at && !value.is_null());
        match given {
            Some((_, value)) => change.key = value.to_input().into(),
            None if by.key => change.cells.retain(|(place, _)| *place != at),
            None => {
                return Err(Error::new(
                    Kind::Required,
                    format!("the field {} has no value to find the record by", by.name),
                )
                .hint("Every record of an upsert needs one.")
                .column(&by.name));
            }
        }
        let writable = |field: &Field| field.capabilities.create || field.capabilities.update;
        let readable_only = |(place, _): &&(usize, Value)| *place != at && !writable(&self.fields[*place]);
        match change.cells.iter().find(readable_only) {
            Some((place, _)) => Err(read_only(&self.fields[*place], "create")),
            None => self.once(change),
        }
    }

    /// The change of a record of which cells were read and are to be something else: `(place, before, after)`.
    /// `same` tells whether the API would tell two values apart. `None` if nothing changes.
    ///
    /// Errors: 428C9 if a field that cannot be changed would be.
    pub fn changed(
        &self,
        key: &str,
        cells: impl IntoIterator<Item = (usize, Value, Value)>,
        same: impl Fn(&Field, &Value, &Value) -> bool,
    ) -> Result<Option<Change>> {
        let mut change = Change { key: key.into(), cells: Vec::new() };
        for (at, before, after) in cells {
            let field = &self.fields[at];
            if same(field, &before, &after) {
                continue;
            }
            if !field.capabilities.update || field.key {
                return Err(read_only(field, "update"));
            }
            change.cells.push((at, after));
        }
        let change = self.once(change)?;
        Ok((!change.cells.is_empty()).then_some(change))
    }
}

fn read_only(field: &Field, wanted: &str) -> Error {
    let (what, hint) = match (wanted, field.capabilities) {
        ("create", set) if set.update => ("be set when a record is created", "Set it by an UPDATE afterwards."),
        ("update", set) if set.create => ("be changed once a record is there", "Leave it out of the statement."),
        _ => ("be written", "Leave it out of the statement, or make it what it was."),
    };
    Error::new(Kind::ReadOnlyField, format!("the field {} cannot {what}", field.name))
        .detail(format!("The column's option \"capabilities\" has no \"{wanted}\"."))
        .hint(hint)
        .column(&field.name)
}

impl Change {
    /// Bytes held.
    pub fn weight(&self) -> usize {
        self.key.len() + self.cells.iter().map(|(_, value)| value.weight()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Capabilities;
    use crate::value::Type;

    fn write(op: Op) -> Write {
        let field = |name: &str, key, words| Field {
            name: name.to_owned(),
            label: None,
            ty: Type::Text,
            remote_type: String::new(),
            key,
            references: None,
            capabilities: Capabilities::parse(words).unwrap(),
        };
        let fields = vec![
            field("Id", true, "filter"),
            field("Name", false, "create, update"),
            field("CreatedDate", false, ""),
            field("Owner", false, "create"),
        ];
        Write::new("Contact", op, fields)
    }

    fn changed(cells: &[(usize, &str, &str)]) -> Result<Option<Change>> {
        let cells = cells.iter().map(|(at, before, after)| (*at, Value::text(*before), Value::text(*after)));
        write(Op::Update).changed("003", cells, |_, before, after| before == after)
    }

    #[test]
    fn only_what_differs_is_sent_and_nothing_if_nothing_does() {
        assert_eq!(changed(&[(0, "003", "003"), (1, "a", "a"), (2, "x", "x")]).unwrap(), None);
        let change = changed(&[(0, "003", "003"), (1, "a", "b"), (2, "x", "x")]).unwrap().unwrap();
        assert_eq!((&*change.key, change.cells), ("003", vec![(1, Value::text("b"))]));
    }

    #[test]
    fn what_can_only_be_read_is_refused_only_if_it_would_change() {
        for (at, name) in [(0, "Id"), (2, "CreatedDate"), (3, "Owner")] {
            let error = changed(&[(at, "x", "y")]).unwrap_err();
            assert_eq!((error.kind(), error.column_name()), (Kind::ReadOnlyField, Some(name)));
        }
        let create = |at, value| write(Op::Insert).created([(at, value)]);
        assert_eq!(create(2, Value::Null).unwrap(), Change::default());
        assert_eq!(create(1, Value::Null).unwrap().cells, [(1, Value::Null)]);
        assert_eq!(create(3, Value::text("x")).unwrap().cells.len(), 1);
        let error = create(2, Value::text("x")).unwrap_err();
        assert_eq!((error.kind(), error.column_name()), (Kind::ReadOnlyField, Some("CreatedDate")));
    }
}
