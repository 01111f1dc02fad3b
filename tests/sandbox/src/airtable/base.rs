//! A base: its tables, their records, and the changes that webhooks tell of. Whatever is written can be undone until
//! it is committed, so that a refused batch leaves nothing behind.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::id::Id;
use super::schema::{Kind, Table};
use super::webhooks::Webhooks;

pub struct Base {
    pub id: Id,
    pub name: String,
    /// `none`, `read`, `comment`, `edit` or `create`.
    pub permission: &'static str,
    pub tables: Vec<Table>,
    /// For each table.
    pub data: Vec<Data>,
    /// Changes with every write: what was found before may be otherwise now.
    pub version: u64,
    pub webhooks: Webhooks,
    undo: Vec<Undo>,
}

/// The records of a table.
#[derive(Default)]
pub struct Data {
    /// By creation.
    pub records: BTreeMap<u32, Record>,
    /// In an order of no meaning.
    pub by_id: BTreeMap<Id, u32>,
    next: u32,
    next_number: u64,
}

#[derive(Clone, Debug)]
pub struct Record {
    pub id: Id,
    pub created: i64,
    /// Who created it, and who changed it last: places in `USERS`.
    pub creator: usize,
    pub modified: Option<(i64, usize)>,
    pub number: u64,
    pub comments: u32,
    /// By the places of the fields; later fields may have none.
    pub cells: Vec<Cell>,
    /// When single fields were written last, where that is not when the record was created.
    pub touched: Vec<(usize, i64)>,
}

/// What is stored. Blanks of every kind are one.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Cell {
    #[default]
    Blank,
    Text(Box<str>),
    Number(f64),
    Checked,
    /// Days since 1970.
    Date(i32),
    /// Milliseconds since 1970.
    Moment(i64),
    /// The names of the choices.
    Choices(Vec<Box<str>>),
    Links(Vec<Id>),
    /// Places in `USERS`.
    Users(Vec<usize>),
    Attachments(Vec<Attachment>),
    Json(Box<Json>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    pub id: Id,
    pub filename: String,
    pub mime: String,
    pub size: u64,
}

pub struct User {
    pub email: &'static str,
    pub name: &'static str,
}

/// The first is whose token it is.
pub const USERS: [User; 4] = [
    User { email: "ada@example.com", name: "Ada Lovelace" },
    User { email: "grace@example.com", name: "Grace Hopper" },
    User { email: "o'brien@example.com", name: "Conan O'Brien, Jr." },
    User { email: "zoe@example.com", name: "Zoë 😀" },
];

pub fn user_id(at: usize) -> Id {
    Id::named("usr", USERS[at].email)
}

pub fn user_json(at: usize) -> Json {
    json!({ "id": user_id(at).as_str(), "email": USERS[at].email, "name": USERS[at].name })
}

struct Undo {
    table: usize,
    place: u32,
    before: Option<Record>,
}

impl Data {
    pub fn get(&self, id: Id) -> Option<&Record> {
        self.records.get(self.by_id.get(&id)?)
    }

    fn set(&mut self, place: u32, record: Option<Record>) -> Option<Record> {
        let before = match record {
            Some(record) => {
                self.by_id.insert(record.id, place);
                self.records.insert(place, record)
            }
            None => self.records.remove(&place),
        };
        if let Some(record) = &before
            && !self.records.contains_key(&place)
        {
            self.by_id.remove(&record.id);
        }
        before
    }
}

impl Base {
    pub fn new(id: Id, name: &str, permission: &'static str) -> Base {
        Base {
            id,
            name: name.to_owned(),
            permission,
            tables: Vec::new(),
            data: Vec::new(),
            version: 0,
            webhooks: Webhooks::default(),
            undo: Vec::new(),
        }
    }

    /// A table by its id or name.
    pub fn table(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|t| t.id.as_str() == name || t.name == name)
    }

    /// Adds a record; its id, number and place are of this function's making.
    pub fn insert(&mut self, table: usize, seed: u64, created: i64, creator: usize, cells: Vec<Cell>) -> Id {
        let data = &mut self.data[table];
        let place = data.next;
        data.next += 1;
        data.next_number += 1;
        let id = Id::new("rec", crate::draw::hash(seed ^ (table as u64 + 1) << 40).wrapping_add(u64::from(place)));
        let number = data.next_number;
        let record = Record { id, created, creator, modified: None, number, comments: 0, cells, touched: Vec::new() };
        self.put(table, place, Some(record));
        id
    }

    /// Changes a record that is there.
    pub fn update(&mut self, table: usize, id: Id, change: impl FnOnce(&mut Record)) {
        let Some(place) = self.data[table].by_id.get(&id).copied() else { return };
        let Some(mut record) = self.data[table].records.get(&place).cloned() else { return };
        change(&mut record);
        self.put(table, place, Some(record));
    }

    pub fn remove(&mut self, table: usize, id: Id) {
        if let Some(place) = self.data[table].by_id.get(&id).copied() {
            self.put(table, place, None);
        }
    }

    fn put(&mut self, table: usize, place: u32, record: Option<Record>) {
        let before = self.data[table].set(place, record);
        self.undo.push(Undo { table, place, before });
        self.version += 1;
    }

    /// A point to which `roll_back` returns.
    pub fn savepoint(&self) -> usize {
        self.undo.len()
    }

    pub fn roll_back(&mut self, savepoint: usize) {
        while self.undo.len() > savepoint {
            if let Some(Undo { table, place, before }) = self.undo.pop() {
                self.data[table].set(place, before);
            }
        }
        self.version += 1;
    }

    /// What was written stays: webhooks are told of it, at this time.
    pub fn commit(&mut self, now: i64) {
        let mut seen = std::collections::HashSet::new();
        let mut changes = Vec::new();
        // The first entry of a record tells what it was before all of them.
        for Undo { table, place, before } in std::mem::take(&mut self.undo) {
            if seen.insert((table, place)) {
                changes.push((table, place, before));
            }
        }
        let mut webhooks = std::mem::take(&mut self.webhooks);
        webhooks.tell(self, changes, now);
        self.webhooks = webhooks;
    }

    /// Writes a record's links, and the same links in the other table's field.
    pub fn set_links(&mut self, table: usize, id: Id, field: usize, links: Vec<Id>, stamp: (i64, usize)) {
        let Kind::Link { table: other, inverse, .. } = self.tables[table].fields[field].kind else { return };
        let before = match self.data[table].get(id).and_then(|r| r.cells.get(field)) {
            Some(Cell::Links(before)) => before.clone(),
            _ => Vec::new(),
        };
        if let Some(inverse) = inverse {
            for gone in before.iter().filter(|l| !links.contains(l)) {
                self.relink(other, *gone, inverse, id, false, stamp);
            }
            for new in links.iter().filter(|l| !before.contains(l)) {
                self.relink(other, *new, inverse, id, true, stamp);
            }
        }
        self.update(table, id, |record| {
            record.write(field, if links.is_empty() { Cell::Blank } else { Cell::Links(links) }, stamp);
        });
    }

    /// Puts one link into a field or takes it out.
    fn relink(&mut self, table: usize, id: Id, field: usize, link: Id, put: bool, stamp: (i64, usize)) {
        self.update(table, id, |record| {
            let mut links = match record.cells.get(field) {
                Some(Cell::Links(links)) => links.clone(),
                _ => Vec::new(),
            };
            links.retain(|l| *l != link);
            if put {
                links.push(link);
            }
            record.write(field, if links.is_empty() { Cell::Blank } else { Cell::Links(links) }, stamp);
        });
    }

    /// Deletes a record; nothing links to it any more.
    pub fn delete(&mut self, table: usize, id: Id, stamp: (i64, usize)) {
        let links: Vec<(usize, usize)> = self
            .tables
            .iter()
            .enumerate()
            .flat_map(|(at, t)| t.fields.iter().enumerate().map(move |(field, f)| (at, field, &f.kind)))
            .filter_map(|(at, field, kind)| match kind {
                Kind::Link { table: to, inverse, .. } if *to == table => Some((at, field, *inverse)),
                _ => None,
            })
            .filter_map(|(at, field, inverse)| {
                // With a field on this side, the records that link here are known.
                if let Some(inverse) = inverse {
                    let cell = self.data[table].get(id)?.cells.get(inverse);
                    if !matches!(cell, Some(Cell::Links(_))) {
                        return None;
                    }
                }
                Some((at, field))
            })
            .collect();
        for (at, field) in links {
            let refers = |r: &&Record| matches!(r.cells.get(field), Some(Cell::Links(links)) if links.contains(&id));
            let referring: Vec<Id> = self.data[at].records.values().filter(refers).map(|r| r.id).collect();
            for other in referring {
                self.relink(at, other, field, id, false, stamp);
            }
        }
        self.remove(table, id);
    }
}

impl Record {
    pub fn cell(&self, field: usize) -> &Cell {
        self.cells.get(field).unwrap_or(&Cell::Blank)
    }

    /// Writes a field, and notes when and by whom.
    pub fn write(&mut self, field: usize, cell: Cell, stamp: (i64, usize)) {
        if self.cells.len() <= field {
            self.cells.resize(field + 1, Cell::Blank);
        }
        self.cells[field] = cell;
        self.modified = Some(stamp);
        self.touched.retain(|(at, _)| *at != field);
        self.touched.push((field, stamp.0));
    }
}
