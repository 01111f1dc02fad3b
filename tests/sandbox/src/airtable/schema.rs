//! Tables, fields and views, and what the metadata say of them (contract, sections 2 and 3).

use serde_json::{Value as Json, json};

use super::formula::{Expr, Names};
use super::id::Id;

pub struct Table {
    pub id: Id,
    pub name: String,
    pub description: Option<String>,
    /// Fields keep their places; removed ones are passed over.
    pub fields: Vec<Field>,
    /// The place of the primary field.
    pub primary: usize,
    pub views: Vec<View>,
}

pub struct Field {
    pub id: Id,
    pub name: String,
    pub description: Option<String>,
    pub kind: Kind,
    pub removed: bool,
}

pub struct View {
    pub id: Id,
    pub name: String,
    pub filter: Option<Expr>,
    /// Field, and whether it descends.
    pub sort: Vec<(usize, bool)>,
    pub hidden: Vec<usize>,
}

#[derive(Clone)]
pub struct Choice {
    pub id: Id,
    pub name: String,
}

/// A zone of a dateTime field: its name, and minutes east of GMT (zones without summer time).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zone(pub &'static str, pub i64);

pub const UTC: Zone = Zone("utc", 0);
pub const KOLKATA: Zone = Zone("Asia/Kolkata", 330);
pub const HONOLULU: Zone = Zone("Pacific/Honolulu", -600);

pub enum Kind {
    /// Any of the types that are texts without options.
    Text(&'static str),
    Number {
        precision: u32,
    },
    Currency {
        precision: u32,
        symbol: &'static str,
    },
    Percent {
        precision: u32,
    },
    Duration,
    Rating {
        max: u32,
    },
    Checkbox,
    Select {
        choices: Vec<Choice>,
        /// Several of them.
        many: bool,
    },
    Date,
    DateTime {
        zone: Zone,
    },
    Attachments,
    Link {
        table: usize,
        /// The field of the other table that shows the same links.
        inverse: Option<usize>,
        single: bool,
    },
    Collaborator {
        many: bool,
    },
    CreatedBy,
    ModifiedBy,
    CreatedTime,
    ModifiedTime {
        /// Changes of these alone, if there are any.
        of: Vec<usize>,
    },
    AutoNumber,
    Barcode,
    Button,
    Formula {
        /// `None` is a broken one.
        expr: Option<Expr>,
        text: String,
        result: Outcome,
    },
    Rollup {
        link: usize,
        field: usize,
        expr: Expr,
        result: Outcome,
    },
    Count {
        link: usize,
    },
    Lookup {
        link: usize,
        field: usize,
    },
    SyncSource {
        choices: Vec<Choice>,
    },
    AiText,
    ManualSort,
    /// A type that no client knows yet.
    Unknown,
}

/// What a formula or rollup comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Text,
    Number(u32),
    Checkbox,
    Date,
    DateTime,
}

impl Kind {
    pub fn type_name(&self) -> &'static str {
        match self {
            Kind::Text(name) => name,
            Kind::Number { .. } => "number",
            Kind::Currency { .. } => "currency",
            Kind::Percent { .. } => "percent",
            Kind::Duration => "duration",
            Kind::Rating { .. } => "rating",
            Kind::Checkbox => "checkbox",
            Kind::Select { many: false, .. } => "singleSelect",
            Kind::Select { many: true, .. } => "multipleSelects",
            Kind::Date => "date",
            Kind::DateTime { .. } => "dateTime",
            Kind::Attachments => "multipleAttachments",
            Kind::Link { .. } => "multipleRecordLinks",
            Kind::Collaborator { many: false } => "singleCollaborator",
            Kind::Collaborator { many: true } => "multipleCollaborators",
            Kind::CreatedBy => "createdBy",
            Kind::ModifiedBy => "lastModifiedBy",
            Kind::CreatedTime => "createdTime",
            Kind::ModifiedTime { .. } => "lastModifiedTime",
            Kind::AutoNumber => "autoNumber",
            Kind::Barcode => "barcode",
            Kind::Button => "button",
            Kind::Formula { .. } => "formula",
            Kind::Rollup { .. } => "rollup",
            Kind::Count { .. } => "count",
            Kind::Lookup { .. } => "multipleLookupValues",
            Kind::SyncSource { .. } => "externalSyncSource",
            Kind::AiText => "aiText",
            Kind::ManualSort => "manualSort",
            Kind::Unknown => "futureType",
        }
    }

    /// Whether a value for it is refused.
    pub fn is_computed(&self) -> bool {
        !matches!(
            self,
            Kind::Text(_)
                | Kind::Number { .. }
                | Kind::Currency { .. }
                | Kind::Percent { .. }
                | Kind::Duration
                | Kind::Rating { .. }
                | Kind::Checkbox
                | Kind::Select { .. }
                | Kind::Date
                | Kind::DateTime { .. }
                | Kind::Attachments
                | Kind::Link { .. }
                | Kind::Collaborator { .. }
                | Kind::Barcode
        )
    }

    /// Whether performUpsert takes it to merge on (contract, section 6).
    pub fn merges(&self) -> bool {
        match self {
            Kind::Text(name) => matches!(*name, "singleLineText" | "multilineText"),
            Kind::Number { .. } | Kind::Select { .. } | Kind::Date => true,
            _ => false,
        }
    }
}

impl Table {
    /// A table by id or name, a field by id or name: names are matched as they are.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.live_fields().find(|(_, f)| f.id.as_str() == name || f.name == name).map(|(at, _)| at)
    }

    pub fn live_fields(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.fields.iter().enumerate().filter(|(_, f)| !f.removed)
    }

    /// The table as the metadata show it; `tables` are those of the base.
    pub fn json(&self, tables: &[&Table], with_visible: bool) -> Json {
        let fields: Vec<Json> = self.live_fields().map(|(_, f)| self.field_json(f, tables)).collect();
        let views: Vec<Json> = self.views.iter().map(|v| self.view_json(v, with_visible)).collect();
        let mut json = json!({
            "id": self.id.as_str(),
            "name": self.name,
            "primaryFieldId": self.fields[self.primary].id.as_str(),
            "fields": fields,
            "views": views,
        });
        if let Some(text) = &self.description {
            json["description"] = json!(text);
        }
        json
    }

    fn view_json(&self, view: &View, with_visible: bool) -> Json {
        let mut json = json!({ "id": view.id.as_str(), "name": view.name, "type": "grid" });
        if with_visible {
            let visible = self.live_fields().filter(|(at, _)| !view.hidden.contains(at));
            json["visibleFieldIds"] = visible.map(|(_, f)| f.id.as_str()).collect();
        }
        json
    }

    pub fn field_json(&self, field: &Field, tables: &[&Table]) -> Json {
        let mut json = json!({ "id": field.id.as_str(), "name": field.name, "type": field.kind.type_name() });
        if let Some(text) = &field.description {
            json["description"] = json!(text);
        }
        if let Some(options) = self.options(&field.kind, tables) {
            json["options"] = options;
        }
        json
    }

    fn options(&self, kind: &Kind, tables: &[&Table]) -> Option<Json> {
        let id = |at: usize| self.fields[at].id.as_str();
        let linked = |link: usize| match self.fields[link].kind {
            Kind::Link { table, .. } => Some(tables[table]),
            _ => None,
        };
        let referenced = |expr: &Expr| {
            let mut found = Vec::new();
            fields_of(expr, &mut found);
            found.into_iter().map(id).collect::<Json>()
        };
        Some(match kind {
            Kind::Text(_) | Kind::Collaborator { .. } | Kind::CreatedBy | Kind::ModifiedBy => return None,
            Kind::AutoNumber | Kind::Barcode | Kind::Button | Kind::ManualSort => return None,
            Kind::Number { precision } | Kind::Percent { precision } => json!({ "precision": precision }),
            Kind::Currency { precision, symbol } => json!({ "precision": precision, "symbol": symbol }),
            Kind::Duration => json!({ "durationFormat": "h:mm:ss" }),
            Kind::Rating { max } => json!({ "icon": "star", "max": max, "color": "yellowBright" }),
            Kind::Checkbox => json!({ "icon": "check", "color": "greenBright" }),
            Kind::Select { choices, .. } | Kind::SyncSource { choices } => choices_json(choices),
            Kind::Date => date_options(),
            Kind::DateTime { zone } => date_time_options(zone.0),
            Kind::Attachments => json!({ "isReversed": false }),
            Kind::Link { table, inverse, single } => {
                let mut json = json!({
                    "linkedTableId": tables[*table].id.as_str(),
                    "isReversed": false,
                    "prefersSingleRecordLink": single,
                });
                if let Some(inverse) = inverse {
                    json["inverseLinkFieldId"] = json!(tables[*table].fields[*inverse].id.as_str());
                }
                json
            }
            Kind::CreatedTime => json!({ "result": outcome(Outcome::DateTime) }),
            Kind::ModifiedTime { of } => json!({
                "isValid": true,
                "referencedFieldIds": of.iter().map(|at| id(*at)).collect::<Json>(),
                "result": outcome(Outcome::DateTime),
            }),
            Kind::Formula { expr: Some(expr), text, result } => json!({
                "isValid": true,
                "formula": text,
                "referencedFieldIds": referenced(expr),
                "result": outcome(*result),
            }),
            Kind::Formula { expr: None, text, .. } => {
                json!({ "isValid": false, "formula": text, "referencedFieldIds": [], "result": null })
            }
            Kind::Rollup { link, field, result, .. } => json!({
                "isValid": true,
                "recordLinkFieldId": id(*link),
                "fieldIdInLinkedTable": linked(*link)?.fields[*field].id.as_str(),
                "referencedFieldIds": [],
                "result": outcome(*result),
            }),
            Kind::Count { link } => json!({ "isValid": true, "recordLinkFieldId": id(*link) }),
            Kind::Lookup { link, field } => {
                let other = linked(*link)?;
                let target = &other.fields[*field];
                let mut result = match &target.kind {
                    Kind::Formula { result, .. } | Kind::Rollup { result, .. } => outcome(*result),
                    kind => json!({ "type": kind.type_name() }),
                };
                if result.get("options").is_none()
                    && !matches!(target.kind, Kind::Formula { .. } | Kind::Rollup { .. })
                    && let Some(options) = other.options(&target.kind, tables)
                {
                    result["options"] = options;
                }
                json!({
                    "isValid": true,
                    "recordLinkFieldId": id(*link),
                    "fieldIdInLinkedTable": target.id.as_str(),
                    "result": result,
                })
            }
            Kind::AiText => json!({ "prompt": ["Summarise ", { "field": { "fieldId": id(self.primary) } }],
                                    "referencedFieldIds": [id(self.primary)] }),
            Kind::Unknown => json!({ "since": 2031 }),
        })
    }
}

fn choices_json(choices: &[Choice]) -> Json {
    const COLORS: [&str; 4] = ["blueLight2", "cyanLight2", "redLight2", "yellowLight2"];
    let json = |(at, c): (usize, &Choice)| json!({ "id": c.id.as_str(), "name": c.name, "color": COLORS[at % 4] });
    json!({ "choices": choices.iter().enumerate().map(json).collect::<Json>() })
}

fn date_options() -> Json {
    json!({ "dateFormat": { "name": "iso", "format": "YYYY-MM-DD" } })
}

fn date_time_options(zone: &str) -> Json {
    let mut json = date_options();
    json["timeFormat"] = json!({ "name": "24hour", "format": "HH:mm" });
    json["timeZone"] = json!(zone);
    json
}

fn outcome(result: Outcome) -> Json {
    match result {
        Outcome::Text => json!({ "type": "singleLineText" }),
        Outcome::Number(precision) => json!({ "type": "number", "options": { "precision": precision } }),
        Outcome::Checkbox => {
            json!({ "type": "checkbox", "options": { "icon": "check", "color": "greenBright" } })
        }
        Outcome::Date => json!({ "type": "date", "options": date_options() }),
        Outcome::DateTime => json!({ "type": "dateTime", "options": date_time_options("utc") }),
    }
}

/// The fields that an expression looks at, each once.
fn fields_of(expr: &Expr, found: &mut Vec<usize>) {
    match expr {
        Expr::Field(at) if !found.contains(at) => found.push(*at),
        Expr::Negative(inner) => fields_of(inner, found),
        Expr::Binary(_, left, right) => {
            fields_of(left, found);
            fields_of(right, found);
        }
        Expr::Call(_, _, arguments) => arguments.iter().for_each(|a| fields_of(a, found)),
        _ => {}
    }
}

impl Names for Table {
    /// In formulas a name is found without its case, if it is not found with it.
    fn field(&self, name: &str) -> Option<usize> {
        let folded = name.to_lowercase();
        let same = |(_, f): &(usize, &Field)| f.name.to_lowercase() == folded;
        Table::field(self, name).or_else(|| self.live_fields().find(same).map(|(at, _)| at))
    }

    fn is_checkbox(&self, field: usize) -> bool {
        matches!(self.fields[field].kind, Kind::Checkbox)
    }

    fn has_modified_time(&self) -> bool {
        self.live_fields().any(|(_, f)| matches!(f.kind, Kind::ModifiedTime { .. }))
    }
}

/// The names within a rollup's formula: `values` alone.
pub struct RollupNames;

impl Names for RollupNames {
    fn field(&self, _: &str) -> Option<usize> {
        None
    }

    fn is_checkbox(&self, _: usize) -> bool {
        false
    }

    fn has_modified_time(&self) -> bool {
        false
    }

    fn in_rollup(&self) -> bool {
        true
    }
}
