//! Values from outside to cells: each type takes its own form of JSON and nothing else, unless `typecast` is on.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value as Json;

use super::base::{Attachment, Base, Cell, Record, USERS, user_id};
use super::compute;
use super::error::{ApiError, Result};
use super::formula::{Ctx, Regexes, parse_moment, text};
use super::id::Id;
use super::schema::{Choice, Kind};
use super::switches::Switches;
use crate::time::DAY;

/// Texts may be so long, in characters.
const LONGEST_TEXT: usize = 100_000;

/// What decides how a value is taken.
pub struct Acceptor<'a> {
    pub rules: &'a Switches,
    pub typecast: bool,
    pub now: i64,
    /// Attachments whose URLs could not be fetched.
    pub failed_attachments: bool,
}

impl Acceptor<'_> {
    /// The cell that a value makes of a field. Typecast may add choices and linked records to the base. `record` is
    /// the one being written, if it is there already.
    pub fn cell(
        &mut self,
        base: &mut Base,
        table: usize,
        field: usize,
        json: &Json,
        record: Option<&Record>,
    ) -> Result<Cell> {
        let definition = &base.tables[table].fields[field];
        if definition.kind.is_computed() {
            return Err(ApiError::computed(&definition.name));
        }
        let name = definition.name.clone();
        let bad = || ApiError::bad_value(&name);
        if json.is_null() {
            return Ok(Cell::Blank);
        }
        match &definition.kind {
            Kind::Text(_) => self.text(json).ok_or_else(bad),
            Kind::Number { precision } | Kind::Currency { precision, .. } => self.number(json, *precision, bad),
            Kind::Percent { precision } => self.number(json, precision + 2, bad),
            Kind::Duration => self.number(json, 3, bad),
            Kind::Rating { max } => {
                let cell = self.number(json, 0, bad)?;
                let valid = |n: f64| n.fract() == 0.0 && n >= 1.0 && n <= f64::from(*max);
                match cell {
                    Cell::Number(n) if !valid(n) => Err(bad()),
                    cell => Ok(cell),
                }
            }
            Kind::Checkbox => self.checkbox(json).ok_or_else(bad),
            Kind::Select { many: false, .. } => {
                let name = self.string(json).ok_or_else(bad)?;
                if name.is_empty() {
                    return Ok(Cell::Blank);
                }
                self.choose(base, table, field, &name)?;
                Ok(Cell::Text(name.into()))
            }
            Kind::Select { many: true, .. } => {
                let mut names: Vec<Box<str>> = Vec::new();
                for name in self.strings(json).ok_or_else(bad)? {
                    self.choose(base, table, field, &name)?;
                    if !names.contains(&name.as_str().into()) {
                        names.push(name.into());
                    }
                }
                Ok(if names.is_empty() { Cell::Blank } else { Cell::Choices(names) })
            }
            Kind::Date => self.moment(json, 0, bad).map(|m| match m {
                Some(moment) => Cell::Date(moment.div_euclid(DAY) as i32),
                None => Cell::Blank,
            }),
            Kind::DateTime { zone } => {
                let offset = if self.rules.naive_times_in_field_zone { zone.1 } else { 0 };
                self.moment(json, offset, bad).map(|m| m.map_or(Cell::Blank, Cell::Moment))
            }
            Kind::Attachments => self.attachments(json, record.map(|r| r.cell(field)), bad),
            Kind::Link { table: to, .. } => {
                let to = *to;
                self.links(base, to, json, bad)
            }
            Kind::Collaborator { many: false } => Ok(Cell::Users(vec![self.user(json).ok_or_else(bad)?])),
            Kind::Collaborator { many: true } => {
                let users = json.as_array().and_then(|all| all.iter().map(|u| self.user(u)).collect());
                let users: Vec<usize> = Option::ok_or_else(users, bad)?;
                Ok(if users.is_empty() { Cell::Blank } else { Cell::Users(users) })
            }
            Kind::Barcode => {
                let known = |o: &serde_json::Map<String, Json>| {
                    o.get("text").is_some_and(Json::is_string) && o.keys().all(|k| k == "text" || k == "type")
                };
                json.as_object().filter(|o| known(o)).ok_or_else(bad)?;
                Ok(Cell::Json(Box::new(json.clone())))
            }
            _ => Err(ApiError::computed(&name)),
        }
    }

    fn string(&self, json: &Json) -> Option<String> {
        match json {
            Json::String(text) => Some(text.clone()),
            Json::Number(_) | Json::Bool(_) if self.typecast => Some(json.to_string()),
            _ => None,
        }
    }

    fn strings(&self, json: &Json) -> Option<Vec<String>> {
        match json {
            Json::Array(all) => all.iter().map(|one| self.string(one)).collect(),
            Json::String(text) if self.typecast => {
                Some(text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect())
            }
            Json::String(text) if text.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    fn text(&self, json: &Json) -> Option<Cell> {
        let text = self.string(json)?;
        if text.chars().count() > LONGEST_TEXT {
            return None;
        }
        Some(if text.is_empty() { Cell::Blank } else { Cell::Text(text.into()) })
    }

    fn number(&self, json: &Json, precision: u32, bad: impl Fn() -> ApiError) -> Result<Cell> {
        let number = match json {
            Json::Number(n) => n.as_f64(),
            // What typecast cannot read leaves the cell blank.
            Json::String(text) if self.typecast => {
                let digits: String = text.chars().filter(|c| c.is_ascii_digit() || ".-eE".contains(*c)).collect();
                match digits.parse() {
                    Ok(number) => Some(number),
                    Err(_) => return Ok(Cell::Blank),
                }
            }
            _ => None,
        };
        let number = number.filter(|n| n.is_finite()).ok_or_else(bad)?;
        let unit = 10_f64.powi(precision as i32);
        Ok(Cell::Number(if self.rules.round_to_precision { (number * unit).round() / unit } else { number }))
    }

    fn checkbox(&self, json: &Json) -> Option<Cell> {
        let on = match json {
            Json::Bool(on) => *on,
            Json::String(text) if self.typecast => {
                matches!(text.to_lowercase().as_str(), "true" | "t" | "yes" | "1" | "checked")
            }
            Json::Number(n) if self.typecast => n.as_f64() != Some(0.0),
            _ => return None,
        };
        Some(if on { Cell::Checked } else { Cell::Blank })
    }

    fn moment(&self, json: &Json, offset: i64, bad: impl Fn() -> ApiError) -> Result<Option<i64>> {
        let text = json.as_str().ok_or_else(&bad)?;
        if text.is_empty() {
            return Ok(None);
        }
        // Only typecast reads other forms than ISO's.
        let iso = text.len() >= 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
        match parse_moment(text, offset).filter(|_| iso || self.typecast) {
            Some(moment) => Ok(Some(moment)),
            None if self.typecast => Ok(None),
            None => Err(bad()),
        }
    }

    /// Whether a choice is there; typecast adds it.
    fn choose(&self, base: &mut Base, table: usize, field: usize, name: &str) -> Result<()> {
        let table_id = base.tables[table].id;
        let Kind::Select { choices, .. } = &mut base.tables[table].fields[field].kind else { return Ok(()) };
        if choices.iter().any(|c| c.name == name) {
            return Ok(());
        }
        if !self.typecast {
            let message = format!("Insufficient permissions to create new select option \"{name}\"");
            return Err(ApiError::invalid("INVALID_MULTIPLE_CHOICE_OPTIONS", message));
        }
        let id = Id::named("sel", &format!("{table_id}/{field}/{name}"));
        choices.push(Choice { id, name: name.to_owned() });
        Ok(())
    }

    fn user(&self, json: &Json) -> Option<usize> {
        let by = |key: &str| json.get(key).and_then(Json::as_str);
        let found = |matches: &dyn Fn(usize) -> bool| (0..USERS.len()).find(|at| matches(*at));
        match (by("id"), by("email"), json) {
            (Some(id), _, _) => found(&|at| user_id(at).as_str() == id),
            (None, Some(email), _) => found(&|at| USERS[at].email == email),
            (_, _, Json::String(text)) if self.typecast => {
                found(&|at| USERS[at].name == text || USERS[at].email == text)
            }
            _ => None,
        }
    }

    fn attachments(&mut self, json: &Json, old: Option<&Cell>, bad: impl Fn() -> ApiError) -> Result<Cell> {
        let mut all = Vec::new();
        let kept: &[Attachment] = if let Some(Cell::Attachments(old)) = old { old } else { &[] };
        for one in json.as_array().ok_or_else(&bad)? {
            let get = |key: &str| one.get(key).and_then(Json::as_str);
            match (get("id"), get("url")) {
                (Some(id), _) => all.push(kept.iter().find(|a| a.id.as_str() == id).ok_or_else(&bad)?.clone()),
                (None, Some(url)) if url.starts_with("http") => {
                    // The API fetches the file; an address that says so is never reached.
                    if url.contains("unreachable") {
                        self.failed_attachments = true;
                        continue;
                    }
                    let path = url.split(['?', '#']).next().unwrap_or(url);
                    let last = path.rsplit('/').next().unwrap_or(path);
                    all.push(attachment(get("filename").unwrap_or(last), None, url.len() as u64));
                }
                _ => return Err(bad()),
            }
        }
        Ok(if all.is_empty() { Cell::Blank } else { Cell::Attachments(all) })
    }

    fn links(&self, base: &mut Base, to: usize, json: &Json, bad: impl Fn() -> ApiError) -> Result<Cell> {
        let mut links = Vec::new();
        let list: Vec<String> = match json {
            Json::Array(all) => all
                .iter()
                .map(|l| l.as_str().or_else(|| l.get("id").and_then(Json::as_str)).map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(&bad)?,
            _ => self.strings(json).ok_or_else(&bad)?,
        };
        for name in list {
            let link = match Id::parse("rec", &name) {
                Some(id) if base.data[to].get(id).is_some() => id,
                Some(id) => return Err(ApiError::no_such_row(id.as_str())),
                None if self.typecast => self.link_by_name(base, to, &name).ok_or_else(&bad)?,
                None => return Err(bad()),
            };
            if !links.contains(&link) {
                links.push(link);
            }
        }
        Ok(if links.is_empty() { Cell::Blank } else { Cell::Links(links) })
    }

    /// The record whose primary field shows this; a new one, if there is none and the field can be written.
    fn link_by_name(&self, base: &mut Base, table: usize, name: &str) -> Option<Id> {
        let primary = base.tables[table].primary;
        let (regexes, shared) = (Regexes::default(), &*base);
        let ctx = Ctx { base: shared, rules: self.rules, now: self.now, regexes: &regexes };
        let shows = |r: &&Record| text(&compute::value(ctx, table, r, primary)) == name;
        if let Some(found) = shared.data[table].records.values().find(shows) {
            return Some(found.id);
        }
        if !matches!(base.tables[table].fields[primary].kind, Kind::Text(_)) {
            return None;
        }
        let mut cells = vec![Cell::Blank; primary + 1];
        cells[primary] = Cell::Text(name.into());
        Some(base.insert(table, fresh(), self.now / 1000 * 1000, 0, cells))
    }
}

/// A number unlike any before: what is made while the sandbox runs must not have the ids of what was generated.
pub fn fresh() -> u64 {
    static MADE: AtomicU64 = AtomicU64::new(0);
    crate::draw::hash(MADE.fetch_add(1, Ordering::Relaxed) ^ 0x5eed_0000_0000)
}

pub fn attachment(filename: &str, mime: Option<&str>, size: u64) -> Attachment {
    let mime = mime.unwrap_or(match filename.rsplit('.').next() {
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("pdf") => "application/pdf",
        Some("txt") => "text/plain",
        _ => "application/octet-stream",
    });
    Attachment { id: Id::new("att", fresh()), filename: filename.to_owned(), mime: mime.to_owned(), size }
}
