//! `/query`, `/queryAll` and their further pages.
//!
//! The ids of a result are fixed when the query runs, the values are read when a page is asked for, and what was
//! deleted meanwhile is left out (contract, section 5.1).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::Call;
use super::error::{ApiError, Result};
use super::id::Id;
use super::render::Renderer;
use super::soql::check::{Checker, Node, Output, Plan};
use super::soql::eval::Runner;
use crate::http::{Request, Response};
use crate::json::quote;
use crate::time;

const LOCATOR_PREFIX: [u8; 3] = *b"01g";
const LOCATOR_LIFE: i64 = 2 * time::DAY;
/// More open cursors than this push out the oldest.
const CURSOR_BOUND: usize = 10_000;
const DEFAULT_BATCH: usize = 2000;
const BATCH: std::ops::RangeInclusive<usize> = 200..=2000;

/// A query whose result did not fit on its first page.
pub struct Cursor {
    object: usize,
    node: Node,
    rows: Vec<u32>,
    with_deleted: bool,
    batch: usize,
    opened: i64,
}

/// The open cursors. Each has two locators: with empty pages switched on, the even one answers an empty page that
/// leads to the odd one, so that no locator ever leads to itself.
#[derive(Default)]
pub struct Cursors(Mutex<(u64, HashMap<u64, Arc<Cursor>>)>);

impl Cursors {
    fn open(&self, cursor: Arc<Cursor>) -> u64 {
        let mut guard = crate::lock(&self.0);
        let (count, open) = &mut *guard;
        *count += 1;
        open.insert(*count, cursor);
        if open.len() > CURSOR_BOUND {
            let oldest = open.keys().min().copied();
            oldest.map(|n| open.remove(&n));
        }
        *count
    }

    fn get(&self, number: u64) -> Option<Arc<Cursor>> {
        crate::lock(&self.0).1.get(&number).filter(|c| time::now() - c.opened < LOCATOR_LIFE).cloned()
    }

    pub fn clear(&self) {
        crate::lock(&self.0).1.clear();
    }
}

fn locator(number: u64, odd: bool) -> Id {
    Id::new(LOCATOR_PREFIX, number * 2 + u64::from(odd))
}

impl Call<'_> {
    /// `GET /query?q=…` and `GET /queryAll?q=…`
    pub fn query(&self, request: &Request, with_deleted: bool) -> Result<Response> {
        if let Some(soql) = request.param("explain") {
            return self.explain(&soql);
        }
        let Some(soql) = request.param("q") else {
            return Err(ApiError::bad("MALFORMED_QUERY", "A query string has to be specified"));
        };
        let batch = self.batch_size(request)?;
        let mut plan = self.plan(&soql)?;
        let store = self.org.store();
        let runner = Runner { store: &store, switches: self.switches, with_deleted };
        match std::mem::replace(&mut plan.output, Output::Count) {
            Output::Count => {
                let limit = plan.limit.take();
                let skip = plan.offset.unwrap_or(0);
                let total = runner.matching(&mut plan, usize::MAX).len() as u64;
                let total = total.saturating_sub(skip).min(limit.unwrap_or(u64::MAX));
                Ok(Response::value(200, &json!({ "totalSize": total, "done": true, "records": [] })))
            }
            Output::Aggregate(it) => {
                let groups = runner.aggregate(&mut plan, &it)?;
                let renderer = self.renderer(with_deleted);
                let mut out = format!("{{\"totalSize\":{},\"done\":true,\"records\":[", groups.len()).into_bytes();
                for (i, group) in groups.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(b"{\"attributes\":{\"type\":\"AggregateResult\"}");
                    for ((alias, _), (value, field)) in it.outputs.iter().zip(group) {
                        out.push(b',');
                        quote(alias, &mut out);
                        out.push(b':');
                        renderer.value(value, field, &mut out);
                    }
                    out.push(b'}');
                }
                out.extend_from_slice(b"]}");
                Ok(Response::json(200, out))
            }
            Output::Records(node) => {
                let rows = runner.run(&mut plan);
                drop(store);
                let cursor = Cursor { object: plan.object, node, rows, with_deleted, batch, opened: time::now() };
                Ok(self.page(&Arc::new(cursor), None, 0))
            }
        }
    }

    /// `GET /query/{locator}-{offset}`
    pub fn query_more(&self, segment: &str) -> Result<Response> {
        let unknown = || ApiError::bad("INVALID_QUERY_LOCATOR", "invalid query locator");
        let (id, offset) = segment.rsplit_once('-').ok_or_else(unknown)?;
        let number =
            Id::parse(id).filter(|id| id.prefix() == LOCATOR_PREFIX).and_then(Id::number).ok_or_else(unknown)?;
        let offset: usize = offset.parse().map_err(|_| unknown())?;
        let cursor = self.org.cursors.get(number / 2).ok_or_else(unknown)?;
        if offset > cursor.rows.len() {
            return Err(unknown());
        }
        if self.switches.empty_pages && number % 2 == 0 && offset > 0 {
            let next = self.page_url(locator(number / 2, true), offset);
            let body = format!(
                "{{\"totalSize\":{},\"done\":false,\"nextRecordsUrl\":\"{next}\",\"records\":[]}}",
                cursor.rows.len()
            );
            return Ok(Response::json(200, body));
        }
        Ok(self.page(&cursor, Some(number / 2), offset))
    }

    /// Renders the page at `offset`; opens the cursor if there is more and it is not open yet.
    fn page(&self, cursor: &Arc<Cursor>, open: Option<u64>, offset: usize) -> Response {
        let mut size = cursor.batch;
        if let Some(most) = self.switches.page_size {
            size = size.min(most.max(1));
        }
        if self.switches.uneven_pages {
            size = (size / 2 + (offset * 7 + 3) % (size / 2 + 1)).max(1);
        }
        let end = cursor.rows.len().min(offset + size);
        let total = cursor.rows.len();
        let mut out = Vec::with_capacity(256 + (end - offset) * (128 + 40 * cursor.node.items.len()));
        if end < total {
            let number = open.unwrap_or_else(|| self.org.cursors.open(cursor.clone()));
            let next = self.page_url(locator(number, false), end);
            out.extend_from_slice(
                format!("{{\"totalSize\":{total},\"done\":false,\"nextRecordsUrl\":\"{next}\",\"records\":[")
                    .as_bytes(),
            );
        } else {
            out.extend_from_slice(format!("{{\"totalSize\":{total},\"done\":true,\"records\":[").as_bytes());
        }
        let store = self.org.store();
        let renderer = self.renderer(cursor.with_deleted);
        let mut first = true;
        for row in cursor.rows[offset..end].iter().filter_map(|index| store.row(cursor.object, *index)) {
            if !cursor.with_deleted && row.is_deleted() {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            renderer.record(&row, &cursor.node, &mut out);
        }
        out.extend_from_slice(b"]}");
        Response::json(200, out)
    }

    /// The same form for `/query` and `/queryAll`: the cursor knows which it was.
    fn page_url(&self, locator: Id, offset: usize) -> String {
        format!("/services/data/{}/query/{locator}-{offset}", self.version)
    }

    fn plan(&self, soql: &str) -> Result<Plan> {
        super::soql::plan(&Checker::new(&self.org.schema, soql, self.switches))
    }

    pub fn renderer(&self, with_deleted: bool) -> Renderer<'_> {
        Renderer { switches: self.switches, with_deleted, version: self.version }
    }

    fn batch_size(&self, request: &Request) -> Result<usize> {
        let Some(options) = request.header("Sforce-Query-Options") else { return Ok(DEFAULT_BATCH) };
        let wanted = options
            .split([',', ';'])
            .find_map(|option| option.trim().strip_prefix("batchSize=")?.trim().parse::<usize>().ok());
        match wanted {
            None => Ok(DEFAULT_BATCH),
            Some(n) if BATCH.contains(&n) => Ok(n),
            Some(n) if self.switches.clamp_batch_size => Ok(n.clamp(*BATCH.start(), *BATCH.end())),
            Some(n) => Err(ApiError::bad("INVALID_BATCH_SIZE", format!("Batch size {n} is not between 200 and 2000"))),
        }
    }

    fn explain(&self, soql: &str) -> Result<Response> {
        let mut plan = self.plan(soql)?;
        let store = self.org.store();
        let runner = Runner { store: &store, switches: self.switches, with_deleted: false };
        let cardinality = runner.matching(&mut plan, usize::MAX).len();
        let object = &self.org.schema.objects[plan.object];
        let total = store.count(plan.object);
        let cost = if total == 0 { 0.0 } else { cardinality as f64 / total as f64 };
        let operation = if plan.filter.is_some() { "Other" } else { "TableScan" };
        Ok(Response::value(
            200,
            &json!({
                "plans": [{
                    "cardinality": cardinality,
                    "fields": [],
                    "leadingOperationType": operation,
                    "notes": [],
                    "relativeCost": cost,
                    "sobjectCardinality": total,
                    "sobjectType": object.name,
                }],
                "sourceQuery": soql,
            }),
        ))
    }
}
