//! What the queries are about: an API's tables, and what its language can say of their columns.

use super::fixture::{Class, Column};
use crate::support::{AIRTABLE, Api, Config, SALESFORCE};

/// What an API can say of a condition on one column.
#[derive(Clone, Copy, PartialEq)]
pub enum Says {
    Both,
    /// The condition, or a superset of it; not its opposite.
    Yes,
    No,
}

pub struct Subject {
    pub api: &'static Api,
    /// The API's names beside the local ones. They refer to each other.
    pub tables: &'static [(&'static str, &'static str)],
    /// Columns that all of them have, with values that occur in several.
    pub common: &'static [&'static str],
    /// Objects are small, and pages smaller.
    pub config: fn(Config) -> Config,
    /// What the API's language can say of a kind of condition on a column.
    pub says: fn(&Column, kind: &str) -> Says,
    /// The filter in what EXPLAIN shows.
    pub filter: fn(&str) -> &str,
    /// What stands for a field in a filter.
    pub word: fn(&str) -> &str,
}

pub static OF_SALESFORCE: Subject = Subject {
    api: &SALESFORCE,
    tables: &[
        ("Contact", "contact"),
        ("Account", "account"),
        ("Every_Type__c", "every_type__c"),
        ("Opportunity", "opportunity"),
    ],
    common: &["owner_id", "created_by_id"],
    config: |config| {
        config
            .records("Contact", 150)
            .records("Account", 40)
            .records("Every_Type__c", 120)
            .records("Opportunity", 60)
            .page_size(50)
            .switches(|switches| switches.uneven_pages = true)
    },
    says: |column, kind| match (column.class, kind) {
        _ if !column.filter => Says::No,
        // NULL is false there.
        (Class::Flag | Class::Several | Class::Json, "is null" | "is not null") => Says::No,
        (_, "is null" | "is not null") => Says::Both,
        _ => usual(column.class, kind),
    },
    filter: |query| query.split_once(" WHERE ").map_or("", |(_, filter)| filter),
    word: |field| field,
};

pub static OF_AIRTABLE: Subject = Subject {
    api: &AIRTABLE,
    tables: &[
        ("People", "people"),
        ("Companies", "companies"),
        ("Projects", "projects"),
        ("Odd / {names}, \"quoted\" \\ 'too' 🧪", "odd____names____quoted_____too___"),
    ],
    common: &["_created_time"],
    config: |config| {
        config.records("People", 130).records("Companies", 40).records("Projects", 30).airtable(|switches| {
            switches.page_size = Some(40);
            // Addresses of files are always the same.
            switches.attachment_url_ms = 1 << 50;
        })
    },
    says: |column, kind| {
        let computed = column.kind.starts_with("formula(") || column.kind.starts_with("rollup(");
        match (column.class, kind) {
            _ if !column.filter => Says::No,
            // It may be an error or NaN, which no formula tells from others.
            (Class::Flag | Class::Number, _) if computed => Says::No,
            // They never are.
            (Class::Key | Class::Flag, "is null" | "is not null") => Says::No,
            (_, "is null" | "is not null") if column.kind == "recordCreatedTime" => Says::No,
            // Formulas see the names of what is linked, and no ids.
            (Class::Several | Class::Json, "is null") if column.kind != "multipleSelects" => Says::Yes,
            (Class::Several | Class::Json, _) if column.kind != "multipleSelects" => Says::No,
            (_, "is null" | "is not null") => Says::Both,
            (Class::Key, "=" | "in" | "not distinct from" | "cast") => Says::Yes,
            (Class::Key, _) => Says::No,
            _ => usual(column.class, kind),
        }
    },
    filter: |query| query.split_once("\"filterByFormula\":").map_or("", |(_, filter)| filter),
    word: |field| match field {
        "_id" => "RECORD_ID",
        "_created_time" => "CREATED_TIME",
        field => field,
    },
};

/// Of values that are not NULL. No API compares texts as Postgres does: it finds them and others.
fn usual(class: Class, kind: &str) -> Says {
    match (class, kind) {
        (_, "other" | "other type" | "expression" | "between symmetric" | "->>") => Says::No,
        (Class::Text, "<>" | "<" | "not in" | "distinct from" | "not like" | "not ilike") => Says::No,
        (Class::Text | Class::Several, _) => Says::Yes,
        _ => Says::Both,
    }
}
