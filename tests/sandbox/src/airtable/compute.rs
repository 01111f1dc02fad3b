//! The value of any field of a record, stored or computed: as formulas see it, and as JSON.

use std::borrow::Cow;

use serde_json::json;

use super::base::{Attachment, Cell, Record, USERS, user_json};
use super::formula::{Ctx, Scope, Val, number_text, text};
use super::schema::{Kind, Outcome, Zone};
use super::switches::Switches;
use crate::json::quote;
use crate::time::{self, DAY};

/// What a formula sees of a field.
pub fn value<'a>(ctx: Ctx<'a>, table: usize, record: &'a Record, field: usize) -> Val<'a> {
    let name = |user: usize| Val::Text(USERS[user].name.into());
    match &ctx.base.tables[table].fields[field].kind {
        Kind::Checkbox => Val::Bool(*record.cell(field) == Cell::Checked),
        Kind::CreatedTime => Val::Moment(record.created),
        Kind::ModifiedTime { of } => last_modified(ctx.rules, record, of).map_or(Val::Blank, Val::Moment),
        Kind::CreatedBy => name(record.creator),
        Kind::ModifiedBy => name(record.modified.map_or(record.creator, |(_, user)| user)),
        Kind::AutoNumber => Val::Number(record.number as f64),
        Kind::Button => Val::Text(BUTTON.into()),
        Kind::Formula { expr: Some(expr), .. } => Scope::new(ctx, table, record).eval(expr),
        Kind::Formula { expr: None, .. } => Val::Error,
        Kind::Rollup { link, field: at, expr, .. } => {
            let values = looked_up(ctx, table, record, *link, *at);
            Scope { values, ..Scope::new(ctx, table, record) }.eval(expr)
        }
        Kind::Count { link } => Val::Number(linked(ctx, table, record, *link).count() as f64),
        Kind::Lookup { link, field: at } => Val::List(looked_up(ctx, table, record, *link, *at)),
        Kind::Link { .. } => Val::List(
            linked(ctx, table, record, field).map(|(to, other)| Val::Text(listed_name(ctx, to, other))).collect(),
        ),
        Kind::AiText | Kind::Barcode => match record.cell(field) {
            Cell::Json(json) => {
                let text = json.get("text").or_else(|| json.get("value")).and_then(|v| v.as_str());
                text.map_or(Val::Blank, |t| Val::Text(t.into()))
            }
            _ => Val::Blank,
        },
        _ => match record.cell(field) {
            Cell::Blank => Val::Blank,
            Cell::Text(text) => Val::Text(Cow::Borrowed(text)),
            Cell::Number(n) => Val::Number(*n),
            Cell::Checked => Val::Bool(true),
            Cell::Date(day) => Val::Moment(i64::from(*day) * DAY - ctx.rules.zone_offset_minutes * 60_000),
            Cell::Moment(moment) => Val::Moment(*moment),
            Cell::Choices(names) => Val::List(names.iter().map(|n| Val::Text(Cow::Borrowed(n))).collect()),
            Cell::Links(_) => Val::Blank,
            Cell::Users(users) => match (&users[..], &ctx.base.tables[table].fields[field].kind) {
                ([user], Kind::Collaborator { many: false }) => name(*user),
                _ => Val::List(users.iter().map(|u| name(*u)).collect()),
            },
            Cell::Attachments(all) => Val::List(all.iter().map(|a| Val::Text(Cow::Borrowed(&a.filename))).collect()),
            Cell::Json(json) => Val::Text(json.to_string().into()),
        },
    }
}

const BUTTON: &str = "Open profile";

/// When one of these fields, or any, was last modified.
pub fn last_modified(rules: &Switches, record: &Record, fields: &[usize]) -> Option<i64> {
    let created = rules.unmodified_is_created.then_some(record.created);
    if fields.is_empty() {
        return record.modified.map(|(at, _)| at).or(created);
    }
    record.touched.iter().filter(|(field, _)| fields.contains(field)).map(|(_, at)| *at).max().or(created)
}

/// The records that a link field leads to, with their table.
fn linked<'a>(
    ctx: Ctx<'a>,
    table: usize,
    record: &'a Record,
    link: usize,
) -> impl Iterator<Item = (usize, &'a Record)> + use<'a> {
    let to = match ctx.base.tables[table].fields[link].kind {
        Kind::Link { table, .. } => table,
        _ => table,
    };
    let ids: &[_] = if let Cell::Links(ids) = record.cell(link) { ids } else { &[] };
    ids.iter().filter_map(move |id| Some((to, ctx.base.data[to].get(*id)?)))
}

/// The values of a field of the linked records, blanks left out and lists opened.
fn looked_up<'a>(ctx: Ctx<'a>, table: usize, record: &'a Record, link: usize, field: usize) -> Vec<Val<'a>> {
    let mut values = Vec::new();
    for (to, other) in linked(ctx, table, record, link) {
        match value(ctx, to, other, field) {
            Val::Blank => {}
            Val::List(list) => values.extend(list),
            value => values.push(value),
        }
    }
    values
}

/// What the primary field shows; a name with a comma is quoted where names are joined.
fn listed_name<'a>(ctx: Ctx<'a>, table: usize, record: &'a Record) -> Cow<'a, str> {
    let shown = value(ctx, table, record, ctx.base.tables[table].primary);
    let name = text(&shown);
    if name.contains(',') { format!("\"{name}\"").into() } else { name.into_owned().into() }
}

/// How values are written: the second form is `cellFormat=string`.
pub struct Renderer<'a> {
    pub ctx: Ctx<'a>,
    pub by_id: bool,
    pub as_text: Option<Zone>,
    /// Where attachments are had.
    pub url: &'a str,
}

impl Renderer<'_> {
    /// `{"id":…,"createdTime":…,"fields":{…}}`; what is blank is left out.
    pub fn record(&self, table: usize, record: &Record, fields: &[usize], comments: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(record.id.as_str().as_bytes());
        out.extend_from_slice(b"\",\"createdTime\":\"");
        write_moment(record.created, out);
        out.extend_from_slice(b"\",\"fields\":{");
        let mut first = true;
        for field in fields {
            let begin = out.len();
            if !first {
                out.push(b',');
            }
            let definition = &self.ctx.base.tables[table].fields[*field];
            quote(if self.by_id { definition.id.as_str() } else { &definition.name }, out);
            out.push(b':');
            if self.field(table, record, *field, out) {
                first = false;
            } else {
                out.truncate(begin);
            }
        }
        out.push(b'}');
        if comments {
            out.extend_from_slice(format!(",\"commentCount\":{}", record.comments).as_bytes());
        }
        out.push(b'}');
    }

    /// Writes one field's value; false if it has none.
    pub fn field(&self, table: usize, record: &Record, field: usize, out: &mut Vec<u8>) -> bool {
        if let Some(zone) = self.as_text {
            let shown = self.shown(table, record, field, zone);
            if !shown.is_empty() {
                quote(&shown, out);
            }
            return !shown.is_empty();
        }
        let ctx = self.ctx;
        match &ctx.base.tables[table].fields[field].kind {
            Kind::Formula { expr: Some(_), result, .. } | Kind::Rollup { result, .. } => {
                return write_outcome(&value(ctx, table, record, field), *result, ctx.rules, out);
            }
            Kind::Lookup { link, field: at } => return self.lookup(table, record, *link, *at, out),
            Kind::Formula { expr: None, result, .. } => return write_outcome(&Val::Error, *result, ctx.rules, out),
            Kind::CreatedTime | Kind::ModifiedTime { .. } => match value(ctx, table, record, field) {
                Val::Moment(moment) => write_quoted_moment(moment, out),
                _ => return false,
            },
            Kind::CreatedBy => write_json(&user_json(record.creator), out),
            Kind::ModifiedBy => write_json(&user_json(record.modified.map_or(record.creator, |(_, u)| u)), out),
            Kind::AutoNumber => out.extend_from_slice(record.number.to_string().as_bytes()),
            Kind::Count { link } => {
                out.extend_from_slice(linked(ctx, table, record, *link).count().to_string().as_bytes());
            }
            Kind::Button => {
                write_json(&json!({ "label": BUTTON, "url": format!("https://example.com/{}", record.id) }), out);
            }
            _ => return self.cell(record.cell(field), &ctx.base.tables[table].fields[field].kind, out),
        }
        true
    }

    fn cell(&self, cell: &Cell, kind: &Kind, out: &mut Vec<u8>) -> bool {
        match cell {
            Cell::Blank => return false,
            Cell::Text(text) => quote(text, out),
            Cell::Number(n) => out.extend_from_slice(number_text(*n).as_bytes()),
            Cell::Checked => out.extend_from_slice(b"true"),
            Cell::Date(day) => {
                out.push(b'"');
                time::write_date(*day, out);
                out.push(b'"');
            }
            Cell::Moment(moment) => write_quoted_moment(*moment, out),
            Cell::Choices(names) => write_array(names, out, |name, out| quote(name, out)),
            Cell::Links(ids) => write_array(ids, out, |id, out| quote(id.as_str(), out)),
            Cell::Users(users) => match (&users[..], kind) {
                ([user], Kind::Collaborator { many: false }) => write_json(&user_json(*user), out),
                _ => write_array(users, out, |user, out| write_json(&user_json(*user), out)),
            },
            Cell::Attachments(all) => write_array(all, out, |a, out| write_json(&self.attachment(a), out)),
            Cell::Json(json) => write_json(json, out),
        }
        true
    }

    fn attachment(&self, it: &Attachment) -> serde_json::Value {
        // An address stays the same for a while, and is good for at least half of its life.
        let (now, life) = (self.ctx.now, self.ctx.rules.attachment_url_ms);
        let until = if life > 1 { (now / (life / 2) + 2) * (life / 2) } else { now + life };
        let name = percent_encoding::utf8_percent_encode(&it.filename, percent_encoding::NON_ALPHANUMERIC);
        let url = |size: &str| format!("{}/airtable-content/{}/{until}/{size}{name}", self.url, it.id);
        let mut json = json!({
            "id": it.id.as_str(), "url": url(""), "filename": it.filename, "size": it.size, "type": it.mime,
        });
        if it.mime.starts_with("image/") {
            let thumbnail = |name: &str, size: u32| json!({ "url": url(name), "width": size, "height": size });
            json["width"] = json!(640);
            json["height"] = json!(640);
            json["thumbnails"] = json!({
                "small": thumbnail("small-", 36),
                "large": thumbnail("large-", 512),
                "full": thumbnail("full-", 3000),
            });
        }
        json
    }

    /// The JSON of the field in each linked record, in one array.
    fn lookup(&self, table: usize, record: &Record, link: usize, field: usize, out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        out.push(b'[');
        for (to, other) in linked(self.ctx, table, record, link) {
            let mut one = Vec::new();
            if !self.field(to, other, field, &mut one) {
                continue;
            }
            let inner = if one.first() == Some(&b'[') { &one[1..one.len() - 1] } else { &one[..] };
            if out.last() != Some(&b'[') {
                out.push(b',');
            }
            out.extend_from_slice(inner);
        }
        out.push(b']');
        let some = out.len() > begin + 2;
        if !some {
            out.truncate(begin);
        }
        some
    }

    /// As the grid shows it.
    fn shown(&self, table: usize, record: &Record, field: usize, zone: Zone) -> String {
        fn show(v: &Val<'_>, kind: &Kind, zone: Zone) -> String {
            let date_only = matches!(kind, Kind::Date | Kind::Formula { result: Outcome::Date, .. });
            match (v, kind) {
                (Val::Bool(true), Kind::Checkbox) => "checked".to_owned(),
                (Val::Number(n), Kind::Number { precision }) => format!("{n:.*}", *precision as usize),
                (Val::Number(n), Kind::Currency { precision, symbol }) => {
                    format!("{symbol}{n:.*}", *precision as usize)
                }
                (Val::Number(n), Kind::Percent { precision }) => format!("{:.*}%", *precision as usize, n * 100.0),
                (Val::Number(n), Kind::Duration) => {
                    let seconds = *n as i64;
                    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
                }
                (Val::Moment(moment), _) => {
                    let mut out = Vec::new();
                    write_moment(moment + if date_only { 0 } else { zone.1 * 60_000 }, &mut out);
                    let text = String::from_utf8_lossy(&out).into_owned();
                    if date_only { text[..10].to_owned() } else { text[..16].replace('T', " ") }
                }
                (Val::List(list), _) => list.iter().map(|v| show(v, kind, zone)).collect::<Vec<_>>().join(", "),
                _ => text(v).into_owned(),
            }
        }
        show(&value(self.ctx, table, record, field), &self.ctx.base.tables[table].fields[field].kind, zone)
    }
}

/// A computed value in the form of its result (contract, section 3); false if it has none.
fn write_outcome(value: &Val<'_>, result: Outcome, rules: &Switches, out: &mut Vec<u8>) -> bool {
    match (value, result) {
        (Val::Error, _) if !rules.error_cells => return false,
        (Val::Error, _) => out.extend_from_slice(b"{\"error\":\"#ERROR!\"}"),
        (Val::Blank, _) => return false,
        (Val::Moment(moment), Outcome::Date) => {
            out.push(b'"');
            time::write_date(moment.div_euclid(DAY) as i32, out);
            out.push(b'"');
        }
        (Val::Moment(moment), Outcome::DateTime) => write_quoted_moment(*moment, out),
        (value, Outcome::Checkbox) => {
            if !matches!(value, Val::Bool(true)) && value.number() != Some(1.0) {
                return false;
            }
            out.extend_from_slice(b"true");
        }
        (value, Outcome::Number(_)) => match value.number() {
            Some(n) if n.is_finite() => out.extend_from_slice(number_text(n).as_bytes()),
            Some(_) if !rules.special_values => return false,
            Some(n) => write_json(&json!({ "specialValue": number_text(n) }), out),
            None => return write_outcome(&Val::Error, result, rules, out),
        },
        (Val::List(list), _) if !list.is_empty() => write_array(list, out, |v, out| quote(&text(v), out)),
        (value, _) => {
            let text = text(value);
            if text.is_empty() {
                return false;
            }
            quote(&text, out);
        }
    }
    true
}

fn write_array<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn write_json(json: &serde_json::Value, out: &mut Vec<u8>) {
    out.extend_from_slice(json.to_string().as_bytes());
}

fn write_quoted_moment(moment: i64, out: &mut Vec<u8>) {
    out.push(b'"');
    write_moment(moment, out);
    out.push(b'"');
}

/// `2024-05-31T12:34:56.000Z`
pub fn write_moment(moment: i64, out: &mut Vec<u8>) {
    time::write_date(moment.div_euclid(DAY) as i32, out);
    out.push(b'T');
    time::write_time(moment.rem_euclid(DAY) as u32, out);
}
