//! What a list of records is asked for: by GET in the query string, by POST in the body, under the same names.

use serde_json::{Map, Value as Json, json};

use super::error::{ApiError, Result};
use super::formula::{self, Expr, Invalid};
use super::sample;
use super::schema::{Table, Zone};
use super::switches::Switches;
use crate::http::Request;

const PAGE: usize = 100;

pub struct Query {
    pub fields: Vec<usize>,
    pub filter: Option<Expr>,
    /// Field, and whether it descends.
    pub sort: Vec<(usize, bool)>,
    pub max: usize,
    pub size: usize,
    pub view: Option<usize>,
    pub by_id: bool,
    pub as_text: Option<Zone>,
    pub comments: bool,
    pub offset: Option<String>,
    /// Tells two queries apart, whatever page they ask for.
    pub key: String,
}

impl Query {
    pub fn new(json: Map<String, Json>, table: &Table, rules: &Switches) -> Result<Query> {
        let bad = ApiError::bad_parameters;
        let mut all: Vec<usize> = table.live_fields().map(|(at, _)| at).collect();
        let key = {
            let mut rest = json.clone();
            rest.remove("offset");
            rest.remove("pageSize");
            Json::Object(rest).to_string()
        };
        let mut query = Query {
            fields: Vec::new(),
            filter: None,
            sort: Vec::new(),
            max: usize::MAX,
            size: PAGE,
            view: None,
            by_id: false,
            as_text: None,
            comments: false,
            offset: None,
            key,
        };
        let (mut fields, mut string, mut zone, mut locale) = (None, false, None, false);
        for (name, value) in &json {
            match (name.as_str(), value) {
                ("fields", Json::Array(names)) => {
                    let found = names.iter().map(|n| field(table, n)).collect::<Result<Vec<_>>>()?;
                    fields = Some(found).filter(|f| !f.is_empty() || !rules.empty_fields_mean_all);
                }
                ("filterByFormula", Json::String(text)) => {
                    query.filter = match text.trim() {
                        "" => None,
                        text => Some(formula::parse(text, table, rules).map_err(refuse)?),
                    };
                }
                ("sort", Json::Array(keys)) => {
                    query.sort = keys.iter().map(|key| sort_key(table, key)).collect::<Result<_>>()?;
                }
                ("maxRecords", n) => query.max = number(n).filter(|n| *n > 0).ok_or_else(bad)?,
                ("pageSize", n) => query.size = number(n).filter(|n| (1..=PAGE).contains(n)).ok_or_else(bad)?,
                ("offset", Json::String(offset)) => query.offset = Some(offset.clone()),
                ("view", Json::String(name)) => query.view = Some(view(table, name)?),
                ("returnFieldsByFieldId", Json::Bool(on)) => query.by_id = *on,
                ("cellFormat", Json::String(format)) if matches!(format.as_str(), "json" | "string") => {
                    string = format == "string";
                }
                ("timeZone", Json::String(name)) => zone = Some(sample::zone(name).ok_or_else(bad)?),
                ("userLocale", Json::String(_)) => locale = true,
                ("recordMetadata", Json::Array(names)) if names.iter().all(|n| n == "commentCount") => {
                    query.comments = !names.is_empty();
                }
                _ => return Err(bad()),
            }
        }
        if string {
            query.as_text = Some(zone.filter(|_| locale).ok_or_else(bad)?);
        }
        if let Some(view) = query.view {
            all.retain(|at| !table.views[view].hidden.contains(at));
        }
        query.fields = match fields {
            // Fields come in the table's order, whatever was asked for.
            Some(wanted) => all.into_iter().filter(|at| wanted.contains(at)).collect(),
            None => all,
        };
        query.size = query.size.min(rules.page_size.unwrap_or(PAGE)).max(1);
        Ok(query)
    }
}

/// The parameters of a GET as a POST would give them.
pub fn of_get(request: &Request) -> Result<Map<String, Json>> {
    let mut json = Map::new();
    let mut sort: Vec<(String, Map<String, Json>)> = Vec::new();
    for (name, value) in form_urlencoded::parse(request.query.as_deref().unwrap_or_default().as_bytes()) {
        let (stem, keys) = name.split_once('[').unwrap_or((&name, ""));
        match stem {
            "fields" | "recordMetadata" => match json.entry(stem).or_insert_with(|| json!([])) {
                Json::Array(list) => list.push(json!(value)),
                _ => return Err(ApiError::bad_parameters()),
            },
            "sort" => {
                let (place, key) = keys.split_once("][").ok_or_else(ApiError::bad_parameters)?;
                let key = key.strip_suffix(']').ok_or_else(ApiError::bad_parameters)?;
                if !sort.iter().any(|(at, _)| at == place) {
                    sort.push((place.to_owned(), Map::new()));
                }
                if let Some((_, it)) = sort.iter_mut().find(|(at, _)| at == place) {
                    it.insert(key.to_owned(), json!(value));
                }
            }
            "returnFieldsByFieldId" => {
                json.insert(stem.to_owned(), json!(matches!(&*value, "true" | "1")));
            }
            _ => {
                json.insert(name.into_owned(), json!(value));
            }
        }
    }
    if !sort.is_empty() {
        json.insert("sort".to_owned(), sort.into_iter().map(|(_, key)| Json::Object(key)).collect());
    }
    Ok(json)
}

/// A number, or a text of one, as a query string has it.
pub fn number(json: &Json) -> Option<usize> {
    match json {
        Json::String(text) => text.parse().ok(),
        json => json.as_u64().map(|n| n as usize),
    }
}

fn field(table: &Table, name: &Json) -> Result<usize> {
    let name = name.as_str().ok_or_else(ApiError::bad_parameters)?;
    table.field(name).ok_or_else(|| ApiError::unknown_field(name))
}

fn sort_key(table: &Table, key: &Json) -> Result<(usize, bool)> {
    let known = key.as_object().is_some_and(|o| o.keys().all(|k| k == "field" || k == "direction"));
    let descends = match key["direction"].as_str() {
        _ if !known => return Err(ApiError::bad_parameters()),
        Some("desc") => true,
        Some("asc") => false,
        None if key.get("direction").is_none() => false,
        _ => return Err(ApiError::bad_parameters()),
    };
    Ok((field(table, &key["field"])?, descends))
}

fn view(table: &Table, name: &str) -> Result<usize> {
    let found = table.views.iter().position(|v| v.id.as_str() == name || v.name == name);
    found.ok_or_else(|| {
        let kind =
            if name.starts_with("viw") && name.len() == 17 { "VIEW_ID_NOT_FOUND" } else { "VIEW_NAME_NOT_FOUND" };
        ApiError::invalid(kind, format!("View {name} not found"))
    })
}

fn refuse(invalid: Invalid) -> ApiError {
    ApiError::invalid("INVALID_FILTER_BY_FORMULA", invalid.message())
}
