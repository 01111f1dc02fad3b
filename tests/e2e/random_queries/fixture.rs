//! A subject's tables, as foreign ones and as local copies, in a database of one collation.

use super::subject::Subject;
use crate::support::{Api, Config, Copy, Session, World};

/// So many different values of a column are drawn from.
const HELD: usize = 30;

/// What can be done with a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An id or a reference.
    Key,
    Text,
    Number,
    Whole,
    Date,
    Moment,
    Time,
    Flag,
    /// Choices of a list, or links to several records: `text[]`.
    Several,
    Json,
}

pub struct Column {
    pub name: String,
    /// The API's name.
    pub field: String,
    pub ty: String,
    /// The API's type.
    pub kind: String,
    pub class: Class,
    /// The API can filter by it.
    pub filter: bool,
    /// The table that a reference leads to, if it is one of ours.
    pub target: Option<&'static str>,
    /// Some of its values as texts; the elements of lists.
    pub held: Vec<String>,
    /// Those of its texts that another one equals but for case.
    pub twins: Vec<String>,
}

pub struct Table {
    pub name: &'static str,
    /// The name with the foreign table's schema.
    pub path: String,
    /// The column of the key.
    pub key: &'static str,
    pub columns: Vec<Column>,
}

pub fn world(subject: &Subject, database: &str, sandbox: impl FnOnce(Config) -> Config) -> World {
    let world = World::in_database(subject.api, sandbox((subject.config)(Config::new())), database);
    let mut session = world.connect();
    for (_, table) in subject.tables {
        let there = format!("SELECT to_regclass('{}.{table}') IS NOT NULL", subject.api.schema);
        if session.value(&there) == "f" {
            world.import(&mut session, table);
        }
    }
    world
}

/// Copies the tables, and looks at what they hold.
pub fn tables(subject: &Subject, world: &World) -> Vec<Table> {
    let mut session = Copy::of(world, subject.tables).session;
    let objects: Vec<(String, &str)> =
        subject.tables.iter().map(|(_, name)| (object(&mut session, subject.api, name), *name)).collect();
    let fill = |(_, name): &(&str, &'static str)| {
        let mut columns = columns(&mut session, subject.api, name, &objects);
        complete(&mut session, subject.api, name, &columns);
        for column in &mut columns {
            column.held = held(&mut session, name, column);
            column.twins = twins(&mut session, name, column);
        }
        Table { name, path: format!("{}.{name}", subject.api.schema), key: subject.api.key, columns }
    };
    subject.tables.iter().map(fill).collect()
}

/// What the API calls a table.
fn object(session: &mut Session, api: &Api, table: &str) -> String {
    session.value(&format!(
        "SELECT option_value FROM pg_foreign_table, pg_options_to_table(ftoptions) \
         WHERE ftrelid = '{}.{table}'::regclass AND option_name = 'object'",
        api.schema
    ))
}

fn columns(session: &mut Session, api: &Api, table: &str, objects: &[(String, &'static str)]) -> Vec<Column> {
    let option = |name: &str| {
        format!(
            "coalesce((SELECT option_value FROM pg_options_to_table(attfdwoptions) WHERE option_name = '{name}'), '')"
        )
    };
    let rows = session.rows(&format!(
        "SELECT attname, format_type(atttypid, atttypmod), {}, {}, {}, {} FROM pg_attribute \
         WHERE attrelid = '{}.{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        option("field"),
        option("type"),
        option("capabilities"),
        option("references"),
        api.schema
    ));
    rows.into_iter()
        .map(|row| {
            let mut row = row.into_iter().map(Option::unwrap_or_default);
            let mut next = || row.next().unwrap_or_default();
            let (name, ty, field, kind, capabilities, references) = (next(), next(), next(), next(), next(), next());
            let target = references.split(' ').next().unwrap_or_default();
            Column {
                name,
                field,
                class: class(&ty, &kind),
                ty,
                kind,
                filter: capabilities.contains("filter"),
                target: objects.iter().find(|(object, _)| object == target).map(|(_, table)| *table),
                held: Vec::new(),
                twins: Vec::new(),
            }
        })
        .collect()
}

fn class(ty: &str, kind: &str) -> Class {
    match (ty, kind) {
        (_, "id" | "reference" | "recordId") => Class::Key,
        ("text", _) => Class::Text,
        ("numeric", _) => Class::Number,
        ("smallint" | "integer" | "bigint", _) => Class::Whole,
        ("date", _) => Class::Date,
        ("timestamp with time zone", _) => Class::Moment,
        ("time without time zone", _) => Class::Time,
        ("boolean", _) => Class::Flag,
        ("text[]", _) => Class::Several,
        ("jsonb", _) => Class::Json,
        _ => panic!("no class for the type {ty} ({kind})"),
    }
}

/// Gives the copy the columns that the dump lacks (compound values, which tests of types compare with their parts), all in the
/// foreign table's order, so that `*` and whole rows mean the same.
fn complete(session: &mut Session, api: &Api, table: &str, columns: &[Column]) {
    let list = columns.iter().map(|column| {
        let from = if column.class == Class::Json { "far" } else { "near" };
        format!("{from}.\"{}\"", column.name)
    });
    session.run(&format!(
        "CREATE TABLE local.whole AS SELECT {} FROM local.{table} AS near JOIN {}.{table} AS far USING ({})",
        list.collect::<Vec<_>>().join(", "),
        api.schema,
        api.key
    ));
    session.run(&format!("DROP TABLE local.{table}; ALTER TABLE local.whole RENAME TO {table}; ANALYZE local.{table}"));
}

fn held(session: &mut Session, table: &str, column: &Column) -> Vec<String> {
    let value = match column.class {
        Class::Several => format!("unnest(\"{}\")", column.name),
        _ => format!("\"{}\"::text", column.name),
    };
    session.column(&format!(
        "SELECT value FROM (SELECT DISTINCT {value} AS value FROM local.{table}) AS part WHERE length(value) < 300 \
         ORDER BY md5(value) LIMIT {HELD}"
    ))
}

fn twins(session: &mut Session, table: &str, column: &Column) -> Vec<String> {
    if column.class != Class::Text {
        return Vec::new();
    }
    session.column(&format!(
        "SELECT value FROM (SELECT DISTINCT \"{0}\" AS value, min(\"{0}\" COLLATE \"C\") OVER same <> max(\"{0}\" COLLATE \"C\") OVER same AS many \
         FROM local.{table} WHERE length(\"{0}\") < 300 WINDOW same AS (PARTITION BY lower(\"{0}\" COLLATE \"C\"))) AS part WHERE many ORDER BY value COLLATE \"C\"",
        column.name
    ))
}
