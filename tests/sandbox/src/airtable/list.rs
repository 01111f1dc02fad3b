//! Lists of records: filtered, sorted, and given out page by page through iterators that expire.
//!
//! Unless switched, a page is counted off from what is found when it is asked for: a record that is deleted between
//! two pages shifts the rest forward, and one of them is never seen; a new one shifts them back, and one is seen twice.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::Call;
use super::base::{Base, Record};
use super::compute::{self, Renderer};
use super::error::{ApiError, Result};
use super::formula::{Ctx, Regexes, Scope, Val, text};
use super::id::Id;
use super::query::Query;
use super::schema::Kind;
use crate::http::Response;
use crate::time;

/// More iterators than this push out the one that was idle longest.
const BOUND: usize = 1000;

#[derive(Default)]
pub struct Iterators(Mutex<(u64, HashMap<Id, Iteration>)>);

struct Iteration {
    /// The query that it was begun with.
    key: String,
    /// Where the page after this record begins.
    positions: HashMap<Id, usize>,
    found: Arc<Vec<u32>>,
    /// The base's, when that was found.
    version: u64,
    used: i64,
    uses: u32,
}

impl Iterators {
    /// Every iterator is unknown from now on.
    pub fn clear(&self) {
        crate::lock(&self.0).1.clear();
    }
}

impl Call<'_> {
    pub fn list(&self, base: &Base, table: usize, query: &Query) -> Result<Response> {
        let regexes = Regexes::default();
        let ctx = Ctx { base, rules: self.switches, now: self.now, regexes: &regexes };
        let key = format!("{} {} {}", base.id, base.tables[table].id, query.key);
        let (iterator, position, found) = match &query.offset {
            None => (None, 0, Arc::new(find(ctx, table, query))),
            Some(offset) => {
                let (iterator, position, found) = self.resume(ctx, table, query, offset, &key)?;
                (Some(iterator), position, found)
            }
        };
        let end = found.len().min(query.max).min(position + query.size);
        let page = found.get(position..end).unwrap_or_default();
        let records: Vec<&Record> = page.iter().filter_map(|at| base.data[table].records.get(at)).collect();
        let renderer = Renderer { ctx, by_id: query.by_id, as_text: query.as_text, url: self.url() };
        let mut out = b"{\"records\":[".to_vec();
        for (at, record) in records.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            renderer.record(table, record, &query.fields, query.comments, &mut out);
        }
        out.push(b']');
        if end < found.len().min(query.max) {
            // The last record may be gone where an iterator keeps what it began with.
            let last = page.last().and_then(|at| base.data[table].records.get(at));
            let last = last.map_or(Id::new("rec", end as u64), |r| r.id);
            let iterator = self.advance(iterator, key, last, end, found, base.version);
            out.extend_from_slice(format!(",\"offset\":\"{iterator}/{last}\"").as_bytes());
        }
        out.push(b'}');
        Ok(Response::json(200, out))
    }

    /// Iterator, position and records of the page that an offset leads to.
    fn resume(
        &self,
        ctx: Ctx<'_>,
        table: usize,
        query: &Query,
        offset: &str,
        key: &str,
    ) -> Result<(Id, usize, Arc<Vec<u32>>)> {
        let invalid = || ApiError::invalid("INVALID_OFFSET_VALUE", format!("The value of offset {offset} is invalid"));
        let gone = || ApiError::type_only("LIST_RECORDS_ITERATOR_NOT_AVAILABLE");
        let (id, record) = offset.split_once('/').ok_or_else(invalid)?;
        let (id, record) = (Id::parse("itr", id).ok_or_else(invalid)?, Id::parse("rec", record).ok_or_else(invalid)?);
        let mut guard = crate::lock(&self.org.iterators.0);
        let it = guard.1.get_mut(&id).ok_or_else(gone)?;
        if !self.switches.cache_pages {
            let idle = time::now() - it.used > self.switches.iterator_idle_ms as i64;
            if idle || self.switches.iterator_uses.is_some_and(|most| it.uses >= most) {
                guard.1.remove(&id);
                return Err(gone());
            }
        }
        let position = it.positions.get(&record).copied().filter(|_| it.key == key).ok_or_else(invalid)?;
        it.used = time::now();
        it.uses += 1;
        if !self.switches.stable_pages && it.version != ctx.base.version {
            it.found = Arc::new(find(ctx, table, query));
            it.version = ctx.base.version;
        }
        Ok((id, position, it.found.clone()))
    }

    /// Notes where the page after this record begins, with a new iterator if there is none yet.
    fn advance(
        &self,
        iterator: Option<Id>,
        key: String,
        last: Id,
        next: usize,
        found: Arc<Vec<u32>>,
        version: u64,
    ) -> Id {
        let mut guard = crate::lock(&self.org.iterators.0);
        let (count, open) = &mut *guard;
        let id = iterator.unwrap_or_else(|| {
            *count += 1;
            // A page that is kept must lead to the same next one whenever it is served.
            if self.switches.cache_pages { Id::named("itr", &key) } else { Id::new("itr", *count) }
        });
        if open.len() >= BOUND && !open.contains_key(&id) {
            let oldest = open.iter().min_by_key(|(_, it)| it.used).map(|(id, _)| *id);
            oldest.map(|id| open.remove(&id));
        }
        // The first page counts as the first use.
        let new = || Iteration { key, positions: HashMap::new(), found, version, used: 0, uses: 1 };
        let it = open.entry(id).or_insert_with(new);
        it.used = time::now();
        it.positions.insert(last, next);
        id
    }
}

/// The places of the records that a query finds, in its order.
fn find(ctx: Ctx<'_>, table: usize, query: &Query) -> Vec<u32> {
    let (definition, data) = (&ctx.base.tables[table], &ctx.base.data[table]);
    let view = query.view.map(|at| &definition.views[at]);
    let mut found: Vec<u32> = if view.is_some() || !ctx.rules.arbitrary_order {
        data.records.keys().copied().collect()
    } else {
        data.by_id.values().copied().collect()
    };
    for filter in [view.and_then(|v| v.filter.as_ref()), query.filter.as_ref()].into_iter().flatten() {
        found.retain(|at| Scope::new(ctx, table, &data.records[at]).keeps(filter));
    }
    let sort = match (&query.sort[..], view) {
        ([], Some(view)) => &view.sort[..],
        (sort, _) => sort,
    };
    if sort.is_empty() {
        return found;
    }
    let mut keyed: Vec<(Vec<Key>, u32)> = found
        .into_iter()
        .map(|at| (sort.iter().map(|(field, _)| Key::of(ctx, table, &data.records[&at], *field)).collect(), at))
        .collect();
    keyed.sort_by(|(a, _), (b, _)| {
        let orders = a.iter().zip(b).zip(sort).map(|((a, b), (_, descends))| {
            let order = a.cmp(b, ctx.rules.sort_blanks_first);
            if *descends { order.reverse() } else { order }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    });
    keyed.into_iter().map(|(_, at)| at).collect()
}

/// What a record is sorted by: choices by their order in the field, texts without their case.
enum Key {
    Blank,
    Number(f64),
    Text(String),
}

impl Key {
    fn of(ctx: Ctx<'_>, table: usize, record: &Record, field: usize) -> Key {
        let value = compute::value(ctx, table, record, field);
        if let Kind::Select { choices, many: false } = &ctx.base.tables[table].fields[field].kind {
            let name = text(&value);
            return choices.iter().position(|c| *c.name == *name).map_or(Key::Blank, |at| Key::Number(at as f64));
        }
        match value {
            Val::Blank | Val::Error => Key::Blank,
            Val::Number(n) if n.is_nan() => Key::Blank,
            Val::Number(n) => Key::Number(n),
            Val::Bool(on) => Key::Number(f64::from(u8::from(on))),
            Val::Moment(moment) => Key::Number(moment as f64),
            value => match text(&value) {
                text if text.is_empty() => Key::Blank,
                text if ctx.rules.sort_ignores_case => Key::Text(text.to_lowercase()),
                text => Key::Text(text.into_owned()),
            },
        }
    }

    fn cmp(&self, other: &Key, blanks_first: bool) -> Ordering {
        let blank = if blanks_first { Ordering::Less } else { Ordering::Greater };
        match (self, other) {
            (Key::Blank, Key::Blank) => Ordering::Equal,
            (Key::Blank, _) => blank,
            (_, Key::Blank) => blank.reverse(),
            (Key::Number(a), Key::Number(b)) => a.total_cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (Key::Number(_), Key::Text(_)) => Ordering::Less,
            (Key::Text(_), Key::Number(_)) => Ordering::Greater,
        }
    }
}
