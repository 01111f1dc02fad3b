//! Reading: a list of records, and its pages one after the other; or records by their ids.
//!
//! The API counts pages off as they are asked for: what others write meanwhile may move a record from one to another, and
//! the API may forget where a list was. Then the list begins anew, and records that were read already are passed over, so
//! that none comes twice. <https://airtable.com/developers/web/api/list-records>

use std::collections::HashSet;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Map, Value as Json, json};

use super::api::{Airtable, base_and_table, check_fields, is_id, is_of_record};
use super::decode::{self, Id};
use super::errors::{is_lost, refusal, unreadable};
use super::family::{Family, family};
use super::formula::{Formula, condition, quote};
use crate::connector::answer::LONGEST_LINK;
use crate::connector::machine::{Job, Machine, Step, once};
use crate::connector::wire::{Effect, Request, Response};
use crate::error::{Error, Result};
use crate::heap;
use crate::query::ask::{BoundRead, Read, SortKey};
use crate::query::page::{Page, Record};
use crate::query::predicate::{Comparison, Operand, Predicate};
use crate::query::push::SHORT_LIST;
use crate::schema::Field;
use crate::value::Value;

/// Empty pages in a row that are no sign of trouble yet.
const MAX_EMPTY_PAGES: u32 = 1_000;

/// How often a list may begin anew without having brought a new record.
const MAX_VAIN_RESTARTS: u32 = 3;

/// The lists of a read.
pub fn jobs(airtable: &Airtable, read: &BoundRead) -> Result<Vec<Job<Page>>> {
    check_fields(&read.fields)?;
    let (path, fields) = (path(&read.object)?, Arc::<[Field]>::from(read.fields.as_slice()));
    let (ids, rest) = ids(&read.filter);
    let rest = condition(&Predicate::all(rest))?;
    if rest == Formula::False || ids.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let expected = read.limit.into_iter().chain(read.expected).min();
    let limit = read.limit.map(Json::from);
    let job = |ids: Option<&[String]>| -> Job<Page> {
        let by_id = ids.map(|ids| Formula::Test(of_ids(ids)));
        let filter = Formula::all(by_id.into_iter().chain([rest.clone()]));
        let mut body = body(&read.fields, read.wire.get("stand_in"), &filter, &read.order, limit.clone());
        body.insert("pageSize".to_owned(), airtable.page_rows_of(expected).into());
        let only = ids.map(|ids| ids.iter().filter_map(|id| decode::id(id)).collect());
        Box::new(Pages::new(path.clone(), body, Arc::clone(&fields), only, read.first_page))
    };
    Ok(match ids {
        Some(ids) => ids.chunks(SHORT_LIST).map(|ids| job(Some(ids))).collect(),
        None => vec![job(None)],
    })
}

fn path(object: &str) -> Result<String> {
    let (base, table) = base_and_table(object)?;
    Ok(format!("/v0/{base}/{table}/listRecords"))
}

/// The ids of the records that are wanted, if the filter names them, and what else it says. Other texts than ids are no
/// record's.
fn ids(filter: &Predicate) -> (Option<Vec<String>>, Vec<Predicate>) {
    let parts = match filter {
        Predicate::And(parts) => &parts[..],
        one => std::slice::from_ref(one),
    };
    let mut wanted: Option<Vec<String>> = None;
    let mut rest = Vec::new();
    for part in parts {
        let named: &[Value] = match part {
            Predicate::Compare { field, op: Comparison::Eq, operand: Operand::Value(value) } if is_key(field) => {
                std::slice::from_ref(value)
            }
            Predicate::In { field, list: Operand::Value(Value::List(items)), negated: false } if is_key(field) => items,
            _ => {
                rest.push(part.clone());
                continue;
            }
        };
        let mut seen = HashSet::new();
        let texts = named.iter().filter_map(|value| if let Value::Text(text) = value { Some(&**text) } else { None });
        let found: Vec<_> = texts.filter(|text| is_id("rec", text) && seen.insert(*text)).map(str::to_owned).collect();
        wanted = Some(match wanted {
            None => found,
            Some(before) => before.into_iter().filter(|id| seen.contains(id.as_str())).collect(),
        });
    }
    (wanted, rest)
}

fn is_key(field: &Field) -> bool {
    family(field) == Some(Family::Id)
}

fn of_ids(ids: &[String]) -> String {
    let tests: Vec<_> = ids.iter().map(|id| format!("RECORD_ID()={}", quote(id))).collect();
    if tests.len() == 1 { tests.concat() } else { format!("OR({})", tests.join(",")) }
}

/// What a list is asked for, but for its page.
fn body(
    fields: &[Field],
    stand_in: Option<&Json>,
    filter: &Formula,
    order: &[SortKey],
    limit: Option<Json>,
) -> Map<String, Json> {
    let mut seen = HashSet::new();
    let names = fields.iter().filter(|field| !is_of_record(field)).map(|field| field.name.as_str());
    let mut names: Vec<Json> = names.filter(|name| seen.insert(*name)).map(Json::from).collect();
    if names.is_empty() {
        names.extend(stand_in.filter(|name| name.is_string()).cloned());
    }
    let mut body = Map::new();
    body.insert("returnFieldsByFieldId".to_owned(), true.into());
    body.insert("fields".to_owned(), names.into());
    if let Formula::Test(text) = filter {
        body.insert("filterByFormula".to_owned(), text.as_str().into());
    }
    if !order.is_empty() {
        let direction = |key: &SortKey| if key.descending { "desc" } else { "asc" };
        let sort = order.iter().map(|key| json!({ "field": key.field.name, "direction": direction(key) }));
        body.insert("sort".to_owned(), sort.collect());
    }
    if let Some(limit) = limit {
        body.insert("maxRecords".to_owned(), limit);
    }
    body
}

/// What EXPLAIN shows.
pub fn explain(read: &Read) -> String {
    const NOTHING: &str = "nothing: no record can match";
    let rows = |operand: &Option<Operand>| match operand {
        None | Some(Operand::Value(Value::Null)) => None,
        Some(Operand::Value(value)) => Some(value.to_input()),
        Some(Operand::Arg(at)) => Some(format!("${}", at + 1)),
    };
    let limit = match (&read.limit, &read.offset) {
        (Some(Operand::Value(Value::Int(limit))), Some(Operand::Value(Value::Int(offset)))) => {
            Some(Json::from(limit.saturating_add(*offset)))
        }
        (Some(Operand::Value(Value::Int(limit))), None) => Some(Json::from(*limit)),
        (limit, offset) => match (rows(limit), rows(offset)) {
            (Some(limit), Some(offset)) => Some(format!("{limit} + {offset}").into()),
            (limit, _) => limit.map(Json::from),
        },
    };
    if limit == Some(Json::from(0)) {
        return NOTHING.to_owned();
    }
    match (condition(&Predicate::And(read.filter.clone()).fold_values()), path(&read.object)) {
        (Ok(Formula::False), _) => NOTHING.to_owned(),
        (Ok(filter), Ok(path)) => {
            let mut body = body(&read.fields, read.wire.get("stand_in"), &filter, &read.order, limit);
            body.remove("returnFieldsByFieldId");
            format!("POST {path} {}", Json::Object(body))
        }
        (Err(error), _) | (_, Err(error)) => error.to_string(),
    }
}

fn request(path: &str, body: &Map<String, Json>, offset: Option<&str>) -> Request {
    let mut body = body.clone();
    if let Some(offset) = offset {
        body.insert("offset".to_owned(), offset.into());
    }
    let request = Request::json(Method::POST, path, Json::Object(body).to_string(), Effect::None);
    // That the list is forgotten is no end of the read.
    Request { any_answer: offset.is_some(), ..request }
}

/// The request that tells which of these records are there, no more than a page of them.
pub fn look(path: &str, stand_ins: &[Field], keys: &[&str]) -> Request {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let one = &stand_ins[..stand_ins.len().min(1)];
    request(path, &body(one, None, &Formula::Test(of_ids(&keys)), &[], None), None)
}

/// Records by their ids, no more than a page of them.
pub fn retrieve(object: &str, fields: &[Field], keys: &[&str]) -> Result<Job<Vec<Option<Record>>>> {
    check_fields(fields)?;
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let body = body(fields, None, &Formula::Test(of_ids(&keys)), &[], None);
    let (exactly, fields) = (names_fields(fields), fields.to_vec());
    Ok(once(request(&path(object)?, &body, None), move |response| {
        let page = decode::page(&response.body, &fields, exactly)?;
        let mut records: Vec<_> = keys.iter().map(|_| None).collect();
        let mut cells = page.cells.into_iter();
        for id in page.ids {
            let record: Record = cells.by_ref().take(fields.len()).collect();
            let asked = keys.iter().position(|key| decode::id(key) == Some(id));
            if let Some(at) = asked {
                records[at] = Some(record);
            }
        }
        Ok(records)
    }))
}

/// Whether fields are asked for, and no others: without any the API sends one that nobody wants, or all.
fn names_fields(fields: &[Field]) -> bool {
    !fields.iter().all(is_of_record)
}

/// The records of a table that is followed: all, or those that a formula tells.
pub fn list(airtable: &Airtable, object: &str, fields: &[Field], filter: &Formula) -> Result<Job<Page>> {
    check_fields(fields)?;
    let mut body = body(fields, None, filter, &[], None);
    body.insert("pageSize".to_owned(), airtable.page_rows().into());
    Ok(Box::new(Pages::new(path(object)?, body, fields.into(), None, false)))
}

/// Follows a list from page to page.
struct Pages {
    path: String,
    body: Map<String, Json>,
    fields: Arc<[Field]>,
    exactly: bool,
    /// The only records that are wanted, if they were named.
    only: Option<HashSet<Id>>,
    /// The request that comes next.
    next: Option<Request>,
    /// The answer that is read while the next is under way, and the offset in it that was followed.
    unread: Option<(Response, String)>,
    /// Those that were read.
    seen: HashSet<Id>,
    /// Offsets that were followed since the list began: none is followed twice.
    followed: HashSet<String>,
    /// How often the list began anew since it brought a new record.
    vain: u32,
    empty: u32,
    /// Whether no page after the first is wanted.
    first_alone: bool,
}

impl Pages {
    fn new(
        path: String,
        body: Map<String, Json>,
        fields: Arc<[Field]>,
        only: Option<HashSet<Id>>,
        first_alone: bool,
    ) -> Self {
        Pages {
            next: Some(request(&path, &body, None)),
            exactly: names_fields(&fields),
            path,
            body,
            fields,
            only,
            unread: None,
            seen: HashSet::new(),
            followed: HashSet::new(),
            vain: 0,
            empty: 0,
            first_alone,
        }
    }

    /// Reads an answer. `followed` is the offset in it whose page was asked for already.
    fn page(&mut self, response: &Response, followed: Option<&str>) -> Result<Page> {
        let page = decode::page(&response.body, &self.fields, self.exactly)?;
        let wrong = |what: &str| unreadable("a page of records", what, &response.body);
        let width = self.fields.len();
        let (mut rows, mut cells) = (0, Vec::with_capacity(page.cells.len()));
        let mut all = page.cells.into_iter();
        for id in &page.ids {
            heap::may_grow(self.seen.len(), self.seen.capacity(), 2 * size_of::<Id>())?;
            let wanted = self.only.as_ref().is_none_or(|only| only.contains(id)) && self.seen.insert(*id);
            if wanted {
                rows += 1;
                cells.extend(all.by_ref().take(width));
            } else {
                all.by_ref().take(width).for_each(drop);
            }
        }
        if rows > 0 {
            self.vain = 0;
        }
        self.empty = if page.ids.is_empty() { self.empty + 1 } else { 0 };
        match (page.offset, followed) {
            (None, None) => {}
            (Some(_), _) if self.first_alone => {}
            (Some(_), _) if self.empty > MAX_EMPTY_PAGES => {
                return Err(wrong(&format!("{} pages in a row held no record", self.empty)));
            }
            (Some(offset), None) => self.next = Some(self.follow(&offset, response)?),
            (Some(offset), Some(followed)) if offset == followed => {}
            _ => return Err(wrong("it leads to two next pages")),
        }
        Ok(Page::of_values(rows, cells))
    }

    /// The request for the next page.
    fn follow(&mut self, offset: &str, response: &Response) -> Result<Request> {
        if offset.len() > LONGEST_LINK {
            return Err(unreadable("a page of records", "its offset is endless", &response.body));
        }
        if !self.followed.insert(offset.to_owned()) {
            return Err(unreadable("a page of records", "its offset was followed already", &response.body));
        }
        Ok(request(&self.path, &self.body, Some(offset)))
    }

    /// Begins the list anew, since the API has forgotten it.
    fn restart(&mut self, response: &Response) -> Result<Step<Page>> {
        let error = response.request.iter().fold(refusal(response), Error::request);
        self.vain += 1;
        if !is_lost(response) || self.vain > MAX_VAIN_RESTARTS {
            return Err(error);
        }
        self.followed.clear();
        self.empty = 0;
        Ok(Step::Send(request(&self.path, &self.body, None)))
    }
}

/// The offset at the end of an answer, if it stands there as it mostly does.
fn next_offset(body: &[u8]) -> Option<&str> {
    let rest = body.trim_ascii_end().strip_suffix(b"\"}")?;
    let start = rest.iter().rposition(|byte| *byte == b'"')?;
    let before = rest[..start].trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    let offset = std::str::from_utf8(&rest[start + 1..]).ok()?;
    (before.ends_with(b"\"offset\"") && !offset.is_empty() && !offset.contains('\\')).then_some(offset)
}

impl Machine for Pages {
    type Out = Page;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Page>> {
        match (last, self.unread.take()) {
            (Some(response), _) if !response.status.is_success() => self.restart(&response),
            (Some(response), _) => match next_offset(&response.body).filter(|_| !self.first_alone) {
                // The API makes the next page while this one is read.
                Some(offset) => {
                    let request = self.follow(offset, &response)?;
                    let offset = offset.to_owned();
                    self.unread = Some((response, offset));
                    Ok(Step::SendAhead(request))
                }
                None => self.page(&response, None).map(Step::Yield),
            },
            (None, Some((response, offset))) => self.page(&response, Some(&offset)).map(Step::Yield),
            (None, None) => Ok(self.next.take().map_or(Step::Done, Step::Send)),
        }
    }
}
