//! Reading: a query, and its pages one after the other; or records by their ids.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;
use reqwest::Url;

use super::api::Salesforce;
use super::errors::unreadable;
use super::{compact, decode, soql, split, write};
use crate::connector::answer::LONGEST_LINK;
use crate::connector::machine::{Job, Machine, Step, once};
use crate::connector::wire::{Request, Response, query};
use crate::error::{Error, Kind, Result};
use crate::query::ask::BoundRead;
use crate::query::page::{Page, Shelf};
use crate::schema::Field;

/// Empty pages in a row that are no sign of trouble yet.
const MAX_EMPTY_PAGES: u32 = 1_000;

/// The queries of a read.
pub fn jobs(salesforce: &Salesforce, read: &BoundRead) -> Result<Vec<Job<Page>>> {
    soql::check_names(&read.object, &read.fields)?;
    if let Some(grouping) = &read.grouping {
        let fields: Vec<_> = grouping.aggregates.iter().filter_map(|aggregate| aggregate.field.clone()).collect();
        soql::check_names(&read.object, &fields)?;
    }
    let filter = soql::condition(&read.filter)?;
    if filter == soql::Condition::False {
        return Ok(Vec::new());
    }
    let limit = read.limit.map(|rows| rows.to_string());
    let frame = soql::Frame::new(&read.object, &read.fields, read.grouping.as_ref(), &read.order, limit.as_deref())?;
    let with_deleted = read.wire.get("all").and_then(|all| all.as_bool()).unwrap_or_default();
    let path = |parts: &[soql::Condition]| {
        let verb = if with_deleted { "queryAll" } else { "query" };
        format!("{}/{verb}?{}", salesforce.base(), query([("q", frame.around(parts).as_str())]))
    };
    let exact = read.wire.get("split").and_then(|field| field.as_str());
    let whole = filter.into_parts();
    let ids = ids(salesforce, read, &whole).map(<[String]>::to_vec);
    // Each piece would bring as many rows as LIMIT allows, or its own order or groups, and nothing after them would mend that.
    let one = limit.is_some() || !read.order.is_empty() || read.grouping.is_some();
    let pieces = if one && path(&whole).len() <= split::MAX_QUERY {
        vec![whole]
    } else if one {
        return Err(split::too_large());
    } else {
        split::pieces(whole, path(&[]).len() + "%20WHERE%20".len(), exact)?
    };
    let fields: Arc<[Field]> = read.fields.as_slice().into();
    if let Some(ids) = ids.filter(|ids| ids.len().div_ceil(write::MAX_IDS) < pieces.len()) {
        let job = |ids: &[String]| by_ids(salesforce, read, Arc::clone(&fields), ids);
        return Ok(ids.chunks(write::MAX_IDS).map(job).collect());
    }
    Ok(pieces
        .iter()
        .map(|parts| {
            let first = salesforce.paged(Request::get(path(parts)), read.expected);
            Box::new(Pages::new(first, Arc::clone(&fields), read.first_page)) as Job<Page>
        })
        .collect())
}

/// The ids of the records that are wanted, in quotes, none twice, if ids are all that is asked. A read by ids knows no other
/// condition.
fn ids<'a>(salesforce: &Salesforce, read: &BoundRead, parts: &'a [soql::Condition]) -> Option<&'a [String]> {
    let plain = read.limit.is_none() && read.fields.iter().all(|field| !field.name.contains('.'));
    match parts {
        [soql::Condition::List(list)]
            if plain
                && !list.negated
                && !list.loose
                && list.field.eq_ignore_ascii_case("Id")
                && salesforce.since(42, "reading by ids").is_ok() =>
        {
            Some(&list.items)
        }
        _ => None,
    }
}

/// Reads records by their ids. One that is not there is none of the result.
fn by_ids(salesforce: &Salesforce, read: &BoundRead, fields: Arc<[Field]>, ids: &[String]) -> Job<Page> {
    let ids: Vec<_> = ids.iter().map(|id| id.trim_matches('\'')).collect();
    let request =
        write::look(&format!("{}/composite/sobjects", salesforce.base()), &read.object, &soql::names(&fields), &ids);
    let asked = ids.len();
    once(request, move |response| {
        let records = decode::records(&response.body, &fields)?;
        if records.len() != asked {
            let what = format!("it is of {} records where {asked} were asked for", records.len());
            return Err(unreadable("a list of records", &what, &response.body));
        }
        let found: Vec<_> = records.into_iter().flatten().collect();
        Ok(Page::of_values(found.len(), found.into_iter().flatten().collect()))
    })
}

/// Follows a query from page to page.
struct Pages {
    fields: Arc<[Field]>,
    headers: Vec<(&'static str, String)>,
    /// The request that comes next.
    next: Option<Request>,
    /// The answer that is read while the next is under way, and the link in it that was followed.
    unread: Option<(Response, String)>,
    /// Links that were followed: none is followed twice.
    links: HashSet<String>,
    received: u64,
    empty: u32,
    /// Whether no page after the first is wanted.
    first_alone: bool,
    shelf: Shelf,
}

impl Pages {
    fn new(first: Request, fields: Arc<[Field]>, first_alone: bool) -> Self {
        Pages {
            fields,
            headers: first.headers.clone(),
            next: Some(first),
            unread: None,
            links: HashSet::new(),
            received: 0,
            empty: 0,
            first_alone,
            shelf: Shelf::default(),
        }
    }

    /// Reads an answer. `followed` is the link in it whose page was asked for already.
    fn page(&mut self, response: Response, followed: Option<&str>) -> Result<Page> {
        let body = &response.body;
        let page = compact::page(body, &self.fields, self.shelf.take())?;
        let wrong = |what: &str| unreadable("a page of records", what, body);
        let rows = page.table.rows;
        self.received += rows as u64;
        if self.received > page.total {
            return Err(wrong(&format!("it is said to be of {} records, but {} have come", page.total, self.received)));
        }
        // Records that are deleted meanwhile are missing from later pages; the first is made with the count.
        if page.done && self.links.is_empty() && self.received < page.total {
            return Err(wrong(&format!(
                "it is said to be of {} records, but only {} have come",
                page.total, self.received
            )));
        }
        self.empty = if rows == 0 { self.empty + 1 } else { 0 };
        match (page.done, page.next) {
            (true, None) => {}
            (false, Some(_)) if self.first_alone => {}
            (true, Some(_)) => return Err(wrong("it is the last one and yet links to another")),
            (false, None) => return Err(wrong("it is not the last one but has no nextRecordsUrl")),
            (false, Some(_)) if self.empty > MAX_EMPTY_PAGES => {
                return Err(wrong(&format!("{} pages in a row held no record", self.empty)));
            }
            (false, Some(link)) => match followed {
                None => self.next = Some(self.follow(&response, &link)?),
                Some(followed) if followed == link => {}
                Some(_) => return Err(wrong("it links to two next pages")),
            },
        }
        let body = response.body.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        Ok(Page::new(page.table, body, self.shelf.clone()).of(page.total))
    }

    /// The request for the next page.
    fn follow(&mut self, response: &Response, link: &str) -> Result<Request> {
        if link.len() > LONGEST_LINK {
            return Err(unreadable("a page of records", "its link to the next page is endless", &response.body));
        }
        let path = follow(&response.origin, link)?;
        if !self.links.insert(path.clone()) {
            let what = "its link to the next page was followed already";
            return Err(unreadable("a page of records", what, &response.body));
        }
        let mut request = Request::get(path);
        request.headers.clone_from(&self.headers);
        Ok(request)
    }
}

/// The path of a link to the next page, which must stay in the API of the host that sent it: the access token
/// goes along.
fn follow(origin: &str, link: &str) -> Result<String> {
    let refuse = |what: &str| {
        Error::new(Kind::Unreadable, what).detail(format!("It came from {origin}.")).hint(
            "It was not followed. Something on the way to Salesforce changes its answers, or base_url is not its own.",
        )
    };
    let here = Url::parse(origin).map_err(|_| refuse("the answer came from a place that is no URL"))?;
    let next = here.join(link).map_err(|_| refuse("the link to the next page is no URL"))?;
    if next.origin() != here.origin() || !next.username().is_empty() || next.password().is_some() {
        return Err(refuse("the link to the next page leads to another host"));
    }
    if !next.path().starts_with("/services/data/") {
        return Err(refuse("the link to the next page leads out of the API"));
    }
    Ok(match next.query() {
        Some(query) => format!("{}?{query}", next.path()),
        None => next.path().to_owned(),
    })
}

impl Machine for Pages {
    type Out = Page;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Page>> {
        match (last, self.unread.take()) {
            (Some(response), _) => match compact::next_link(&response.body).filter(|_| !self.first_alone) {
                // The API makes the next page while this one is read.
                Some(link) => {
                    let request = self.follow(&response, &link)?;
                    self.unread = Some((response, link));
                    Ok(Step::SendAhead(request))
                }
                None => self.page(response, None).map(Step::Yield),
            },
            (None, Some((response, link))) => self.page(response, Some(&link)).map(Step::Yield),
            (None, None) => Ok(self.next.take().map_or(Step::Done, Step::Send)),
        }
    }
}
