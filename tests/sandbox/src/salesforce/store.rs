//! The org's records: generated ones, and over them what was written.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::generate::{Generator, indexable};
use super::id::Id;
use super::schema::{Object, Schema};
use super::value::{Value, fold};

/// A value as a map's key; text without its case, unless the field minds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    Null,
    Bool(bool),
    Int(i64),
    Number(i128, u32),
    Id(Id),
    Text(String),
}

impl Key {
    pub fn new(value: &Value, case_sensitive: bool) -> Key {
        match value {
            Value::Null => Key::Null,
            Value::Bool(b) => Key::Bool(*b),
            Value::Number(n) => {
                let (digits, scale) = n.key();
                Key::Number(digits, scale)
            }
            Value::Text(text) if case_sensitive => Key::Text(text.to_string()),
            Value::Text(text) => Key::Text(fold(text).into_owned()),
            Value::Id(id) => Key::Id(*id),
            Value::Date(day) => Key::Int(i64::from(*day)),
            Value::DateTime(ms) => Key::Int(*ms),
            Value::Time(ms) => Key::Int(i64::from(*ms)),
        }
    }
}

type Index = HashMap<Key, Vec<u32>>;

/// The records of one object. Indexes `0..base` were generated live, `base..base + dead` generated deleted, the
/// rest created.
pub struct Table {
    pub base: u32,
    dead: u32,
    next: u32,
    written: HashMap<u32, Box<[Value]>>,
    /// Not even in the recycle bin.
    purged: HashSet<u32>,
    /// Built when first asked for, kept up by writes.
    indexes: Mutex<HashMap<usize, Arc<Index>>>,
}

impl Table {
    fn new(base: u32) -> Table {
        let dead = if base == 0 { 0 } else { (base / 50).max(1) };
        Table {
            base,
            dead,
            next: base + dead,
            written: HashMap::new(),
            purged: HashSet::new(),
            indexes: Mutex::default(),
        }
    }
}

pub struct Store {
    pub schema: Arc<Schema>,
    generator: Generator,
    bases: Vec<u32>,
    tables: Vec<Table>,
    /// What a transaction has replaced, newest last.
    undo: Vec<Undo>,
}

struct Undo {
    object: usize,
    index: u32,
    before: Option<Box<[Value]>>,
    next: u32,
}

impl Store {
    pub fn new(schema: Arc<Schema>, seed: u64, bases: Vec<u32>) -> Store {
        let tables = bases.iter().map(|n| Table::new(*n)).collect();
        Store { schema, generator: Generator { seed }, bases, tables, undo: Vec::new() }
    }

    pub fn set_base(&mut self, object: usize, base: u32) {
        self.bases[object] = base;
        self.tables[object] = Table::new(base);
        // References to this object may lead elsewhere now.
        for table in &self.tables {
            crate::lock(&table.indexes).clear();
        }
    }

    pub fn object(&self, object: usize) -> &Object {
        &self.schema.objects[object]
    }

    /// A record, deleted or not.
    pub fn row(&self, object: usize, index: u32) -> Option<Row<'_>> {
        let table = &self.tables[object];
        (index < table.next && !table.purged.contains(&index)).then(|| Row {
            store: self,
            object,
            index,
            written: table.written.get(&index).map(|w| &**w),
        })
    }

    /// The record that has this id, deleted or not.
    pub fn by_id(&self, id: Id) -> Option<Row<'_>> {
        let object = self.schema.by_prefix(id.prefix())?;
        self.row(object, u32::try_from(id.number()?).ok()?)
    }

    /// All records in the order of their ids.
    pub fn scan(&self, object: usize, with_deleted: bool) -> impl Iterator<Item = Row<'_>> {
        let table = &self.tables[object];
        // Without writes, what is deleted is known without looking.
        let end = if with_deleted || !table.written.is_empty() || table.next > table.base + table.dead {
            table.next
        } else {
            table.base
        };
        (0..end).filter_map(move |index| self.row(object, index)).filter(move |row| with_deleted || !row.is_deleted())
    }

    pub fn count(&self, object: usize) -> u64 {
        let table = &self.tables[object];
        if table.written.is_empty() && table.purged.is_empty() {
            u64::from(table.base)
        } else {
            self.scan(object, false).count() as u64
        }
    }

    /// The records whose indexed field has this value, by ascending index; `None` if the field has no index.
    pub fn lookup(&self, object: usize, field: usize, value: &Value) -> Option<Vec<u32>> {
        let definition = &self.object(object).fields[field];
        if !indexable(definition) {
            return None;
        }
        let index = {
            let mut indexes = crate::lock(&self.tables[object].indexes);
            indexes.entry(field).or_insert_with(|| Arc::new(self.build(object, field))).clone()
        };
        Some(index.get(&Key::new(value, definition.case_sensitive)).cloned().unwrap_or_default())
    }

    fn build(&self, object: usize, field: usize) -> Index {
        let case_sensitive = self.object(object).fields[field].case_sensitive;
        let mut index = Index::new();
        for row in self.scan(object, true) {
            let value = row.value(field);
            if !value.is_null() {
                index.entry(Key::new(&value, case_sensitive)).or_default().push(row.index);
            }
        }
        index
    }

    /// Adds a record whose values `fill` gives from its id.
    pub fn create(&mut self, object: usize, fill: impl FnOnce(Id, u32) -> Vec<Value>) -> Id {
        let index = self.tables[object].next;
        let id = Id::new(self.object(object).prefix, u64::from(index));
        let values = fill(id, index);
        self.undo.push(Undo { object, index, before: None, next: index });
        self.tables[object].next += 1;
        self.replace(object, index, Some(values.into_boxed_slice()));
        id
    }

    /// Replaces all values of a record.
    pub fn put(&mut self, object: usize, index: u32, values: Vec<Value>) {
        let table = &self.tables[object];
        self.undo.push(Undo { object, index, before: table.written.get(&index).cloned(), next: table.next });
        self.replace(object, index, Some(values.into_boxed_slice()));
    }

    /// Removes a record without a trace.
    pub fn purge(&mut self, object: usize, index: u32) {
        let table = &mut self.tables[object];
        table.purged.insert(index);
        crate::lock(&table.indexes).clear();
    }

    fn replace(&mut self, object: usize, index: u32, values: Option<Box<[Value]>>) {
        let before = self.row(object, index).map(|row| row.indexed_keys()).unwrap_or_default();
        match values {
            Some(values) => self.tables[object].written.insert(index, values),
            None => self.tables[object].written.remove(&index),
        };
        let after = self.row(object, index).map(|row| row.indexed_keys()).unwrap_or_default();
        let mut indexes = crate::lock(&self.tables[object].indexes);
        for (field, key) in before {
            if let Some(list) = indexes.get_mut(&field).and_then(|i| Arc::make_mut(i).get_mut(&key)) {
                list.retain(|i| *i != index);
            }
        }
        for (field, key) in after {
            if let Some(map) = indexes.get_mut(&field) {
                let list = Arc::make_mut(map).entry(key).or_default();
                if let Err(at) = list.binary_search(&index) {
                    list.insert(at, index);
                }
            }
        }
    }

    /// A point to which `roll_back` returns.
    pub fn savepoint(&self) -> usize {
        self.undo.len()
    }

    pub fn roll_back(&mut self, savepoint: usize) {
        while self.undo.len() > savepoint {
            if let Some(Undo { object, index, before, next }) = self.undo.pop() {
                self.replace(object, index, before);
                self.tables[object].next = next;
            }
        }
    }

    /// What was written stays.
    pub fn commit(&mut self) {
        self.undo.clear();
    }
}

/// One record.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub store: &'a Store,
    pub object: usize,
    pub index: u32,
    written: Option<&'a [Value]>,
}

impl<'a> Row<'a> {
    pub fn definition(&self) -> &'a Object {
        self.store.object(self.object)
    }

    pub fn id(&self) -> Id {
        Id::new(self.definition().prefix, u64::from(self.index))
    }

    pub fn value(&self, field: usize) -> Value {
        if let Some((_, formula)) = self.definition().fields[field].formula {
            return formula(&|name| self.get(name));
        }
        match self.written {
            Some(values) => values[field].clone(),
            None => self.store.generator.value(&self.store.schema, &self.store.bases, self.object, field, self.index),
        }
    }

    pub fn get(&self, name: &str) -> Value {
        self.definition().field(name).map_or(Value::Null, |field| self.value(field))
    }

    pub fn values(&self) -> Vec<Value> {
        (0..self.definition().fields.len()).map(|field| self.value(field)).collect()
    }

    pub fn is_deleted(&self) -> bool {
        match self.written {
            Some(values) => values[self.definition().deleted].is_true(),
            None => self.index >= self.store.tables[self.object].base,
        }
    }

    /// The record that a reference field leads to; deleted ones are reached only if asked for.
    pub fn parent(&self, field: usize, with_deleted: bool) -> Option<Row<'a>> {
        let id = self.value(field).as_id()?;
        self.store.by_id(id).filter(|row| with_deleted || !row.is_deleted())
    }

    fn indexed_keys(&self) -> Vec<(usize, Key)> {
        let built: Vec<usize> = crate::lock(&self.store.tables[self.object].indexes).keys().copied().collect();
        let key = |field: usize| (field, Key::new(&self.value(field), self.definition().fields[field].case_sensitive));
        built.into_iter().map(key).filter(|(_, key)| *key != Key::Null).collect()
    }
}
