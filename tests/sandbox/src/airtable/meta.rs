//! Who asks, which bases there are, what their tables are made of (contract, section 2); and webhooks.

use serde_json::{Value as Json, json};

use super::Call;
use super::base::{Base, Cell, USERS, user_id};
use super::error::{ApiError, Result};
use super::id::Id;
use super::query;
use super::schema::{Field, KOLKATA, Kind, Table, UTC};
use crate::http::{Request, Response};

impl Call<'_> {
    pub fn whoami(&self) -> Response {
        let mut json = json!({ "id": user_id(0).as_str(), "scopes": self.scopes });
        if self.may("user.email:read") {
            json["email"] = json!(USERS[0].email);
        }
        Response::value(200, &json)
    }

    pub fn bases(&self, request: &Request, bases: &[Base]) -> Result<Response> {
        let seen: Vec<&Base> = bases.iter().filter(|b| b.permission != "none").collect();
        let from = match request.param("offset") {
            None => 0,
            Some(offset) => {
                let place = offset.strip_prefix("itr").and_then(|n| n.parse::<usize>().ok());
                let message = format!("The value of offset {offset} is invalid");
                place.ok_or_else(|| ApiError::invalid("INVALID_OFFSET_VALUE", message))?
            }
        };
        let end = seen.len().min(from + self.switches.bases_per_page.max(1));
        let json = |b: &&Base| json!({ "id": b.id.as_str(), "name": b.name, "permissionLevel": b.permission });
        let mut page = json!({ "bases": seen.get(from..end).unwrap_or_default().iter().map(json).collect::<Json>() });
        if end < seen.len() {
            page["offset"] = json!(format!("itr{end:014}"));
        }
        Ok(Response::value(200, &page))
    }

    pub fn tables(&self, request: &Request, base: &Base) -> Response {
        let include = |name: &str| request.param(name).is_some_and(|v| v == "visibleFieldIds");
        let with_visible = include("include[]") || include("include");
        let tables: Vec<&Table> = base.tables.iter().collect();
        let json: Json = tables.iter().map(|t| t.json(&tables, with_visible)).collect();
        Response::value(200, &json!({ "tables": json }))
    }

    /// PATCH of a table: its name or description.
    pub fn change_table(&self, request: &Request, base: &mut Base, table: usize) -> Result<Response> {
        let (name, description) = self.renaming(request)?;
        let it = &mut base.tables[table];
        it.name = name.unwrap_or(std::mem::take(&mut it.name));
        it.description = description.or(it.description.take());
        base.version += 1;
        let tables: Vec<&Table> = base.tables.iter().collect();
        Ok(Response::value(200, &tables[table].json(&tables, false)))
    }

    /// PATCH of a field: its name or description. DELETE, which the API has not, is for the control plane alone.
    pub fn change_field(&self, request: &Request, base: &mut Base, table: usize, field: &str) -> Result<Response> {
        let at = base.tables[table].field(field).ok_or_else(ApiError::forbidden_or_missing)?;
        if request.method == "DELETE" {
            base.tables[table].fields[at].removed = true;
        } else {
            let (name, description) = self.renaming(request)?;
            let taken = name.as_ref().and_then(|n| base.tables[table].field(n)).is_some_and(|other| other != at);
            if taken {
                return Err(ApiError::invalid("DUPLICATE_OR_EMPTY_FIELD_NAME", "Duplicate field name"));
            }
            let it = &mut base.tables[table].fields[at];
            it.name = name.unwrap_or(std::mem::take(&mut it.name));
            it.description = description.or(it.description.take());
        }
        base.version += 1;
        Ok(self.field_answer(base, table, at))
    }

    /// POST of a field of one of the types without choices and links.
    pub fn create_field(&self, request: &Request, base: &mut Base, table: usize) -> Result<Response> {
        let json = self.json(request)?;
        let get = |key: &str| json.get(key).and_then(Json::as_str);
        let name = get("name").filter(|n| !n.is_empty()).ok_or_else(ApiError::bad_parameters)?;
        if base.tables[table].field(name).is_some() {
            return Err(ApiError::invalid("DUPLICATE_OR_EMPTY_FIELD_NAME", "Duplicate field name"));
        }
        let options = json.get("options").cloned().unwrap_or_default();
        let kind = kind(get("type").unwrap_or_default(), &options).ok_or_else(ApiError::bad_parameters)?;
        let id = Id::named("fld", &format!("{}/{name}/{}", base.tables[table].id, base.version));
        let description = get("description").map(str::to_owned);
        let field = Field { id, name: name.to_owned(), description, kind, removed: false };
        base.tables[table].fields.push(field);
        base.version += 1;
        Ok(self.field_answer(base, table, base.tables[table].fields.len() - 1))
    }

    fn field_answer(&self, base: &Base, table: usize, field: usize) -> Response {
        let tables: Vec<&Table> = base.tables.iter().collect();
        Response::value(200, &tables[table].field_json(&tables[table].fields[field], &tables))
    }

    fn renaming(&self, request: &Request) -> Result<(Option<String>, Option<String>)> {
        let json = self.json(request)?;
        let known = json.iter().all(|(key, value)| (key == "name" || key == "description") && value.is_string());
        let get = |key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
        if !known || get("name").is_some_and(|n| n.is_empty()) {
            return Err(ApiError::bad_parameters());
        }
        Ok((get("name"), get("description")))
    }

    /// What stands after `/v0/bases/{base}/webhooks`.
    pub fn webhooks(&self, request: &Request, base: &mut Base, rest: &[&str]) -> Result<Response> {
        let answer = |json: Json| Ok(Response::value(200, &json));
        let now = self.now;
        match (request.method.as_str(), rest) {
            ("GET", []) => answer(base.webhooks.list(now)),
            ("POST", []) => {
                let body = Json::Object(self.json(request)?);
                let mut webhooks = std::mem::take(&mut base.webhooks);
                let made = webhooks.create(&body, base, now);
                base.webhooks = webhooks;
                answer(made?)
            }
            ("DELETE", [id]) => base.webhooks.delete(id, now).map(|()| Response::empty(204)),
            ("POST", [id, "refresh"]) => answer(base.webhooks.refresh(id, now)?),
            ("GET", [id, "payloads"]) => {
                let number = |name: &str, default: usize| match request.param(name) {
                    Some(text) => query::number(&json!(text)).ok_or_else(ApiError::bad_parameters),
                    None => Ok(default),
                };
                answer(base.webhooks.payloads(id, number("cursor", 1)?, number("limit", 50)?, now)?)
            }
            _ => Err(ApiError::not_found()),
        }
    }

    /// An attachment's file, while its address is good. It has no need of a token.
    pub fn content(&self, bases: &[Base], rest: &[&str]) -> Response {
        let [id, until, _] = rest else { return Response::empty(404) };
        if until.parse::<i64>().is_ok_and(|until| until < self.now) {
            return Response::new(410, "text/plain", "this address is good no more\n");
        }
        let cells = bases.iter().flat_map(|b| &b.data).flat_map(|d| d.records.values()).flat_map(|r| &r.cells);
        let mut all = cells.flat_map(|c| if let Cell::Attachments(all) = c { &all[..] } else { &[] });
        match all.find(|a| a.id.as_str() == *id) {
            Some(it) => Response::new(200, &it.mime, vec![b'x'; it.size.min(100_000) as usize]),
            None => Response::empty(404),
        }
    }
}

fn kind(name: &str, options: &Json) -> Option<Kind> {
    const TEXTS: [&str; 6] = ["singleLineText", "email", "url", "phoneNumber", "multilineText", "richText"];
    if let Some(name) = TEXTS.into_iter().find(|t| *t == name) {
        return Some(Kind::Text(name));
    }
    let precision = options["precision"].as_u64().filter(|p| *p <= 8).map(|p| p as u32);
    Some(match name {
        "number" => Kind::Number { precision: precision? },
        "currency" => Kind::Currency { precision: precision?, symbol: "$" },
        "percent" => Kind::Percent { precision: precision? },
        "duration" => Kind::Duration,
        "rating" => Kind::Rating { max: options["max"].as_u64().filter(|m| (1..=10).contains(m))? as u32 },
        "checkbox" => Kind::Checkbox,
        "date" => Kind::Date,
        "dateTime" => Kind::DateTime { zone: if options["timeZone"] == KOLKATA.0 { KOLKATA } else { UTC } },
        "multipleAttachments" => Kind::Attachments,
        "singleCollaborator" => Kind::Collaborator { many: false },
        "multipleCollaborators" => Kind::Collaborator { many: true },
        "barcode" => Kind::Barcode,
        _ => return None,
    })
}
