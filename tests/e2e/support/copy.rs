//! Local copies of foreign tables, filled from what the sandbox says it holds: what the same query returns there is right.

use super::session::{Row, Session, sorted};
use super::world::World;

/// Foreign tables in a schema of their own beside their copies in the schema `local`.
pub struct Copy<'a> {
    world: &'a World,
    pub session: Session,
    /// The schema of the foreign tables.
    pub remote: &'static str,
    /// The column of the key.
    pub key: &'static str,
    /// The values of `sequin_fdw.pushdown` that queries run under.
    pub pushdown: &'static [&'static str],
}

impl<'a> Copy<'a> {
    /// Copies these tables: the API's names beside the local ones.
    pub fn of(world: &'a World, tables: &[(&str, &str)]) -> Copy<'a> {
        let mut session = world.connect();
        session.run("CREATE SCHEMA local");
        for (object, table) in tables {
            load(world, &mut session, object, &format!("{}.{table}", world.api.schema), &format!("local.\"{table}\""));
        }
        world.sandbox.clear_requests();
        Copy { world, session, remote: world.api.schema, key: world.api.key, pushdown: &["on", "off"] }
    }

    /// Asserts that a query of `salesforce.…` or `ops.…` returns what it returns of `local.…`, with pushdown and without it. Whatever order
    /// it returns is part of it if it says ORDER BY.
    #[track_caller]
    pub fn same(&mut self, sql: &str) {
        let ordered = sql.contains("ORDER BY");
        let arrange = |rows: Vec<Row>| if ordered { rows } else { sorted(rows) };
        let right = arrange(self.session.rows(&sql.replace(&format!("{}.", self.remote), "local.")));
        for pushdown in self.pushdown {
            self.session.run(&format!("SET sequin_fdw.pushdown = {pushdown}"));
            self.world.sandbox.clear_requests();
            let found = match self.session.try_rows(sql) {
                Ok(rows) => arrange(rows),
                Err(failure) => panic!("pushdown {pushdown}: {sql}\n{failure:#?}\nafter {:#?}", self.world.queries()),
            };
            if found != right {
                let lost: Vec<_> = right.iter().filter(|row| !found.contains(row)).take(3).collect();
                let extra: Vec<_> = found.iter().filter(|row| !right.contains(row)).take(3).collect();
                panic!(
                    "pushdown {pushdown}: {sql}\n{} rows instead of {}\nlost: {lost:?}\nextra: {extra:?}\nafter {:#?}",
                    found.len(),
                    right.len(),
                    self.world.queries()
                );
            }
        }
        self.session.run("RESET sequin_fdw.pushdown");
    }

    /// The names and types of the columns of both tables.
    pub fn columns(&mut self, table: &str) -> Vec<(String, String)> {
        let sql = format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'local.{table}'::regclass AND attnum > 0"
        );
        let rows = self.session.rows(&sql);
        rows.into_iter().map(|row| (row[0].clone().unwrap_or_default(), row[1].clone().unwrap_or_default())).collect()
    }
}

/// Makes a table of what the sandbox holds, with the columns of a foreign table. The dump has every value as the JSON answers
/// spell it; it goes through a table of texts.
pub fn load(world: &World, session: &mut Session, object: &str, foreign: &str, table: &str) {
    use std::io::Write;
    let csv = world.sandbox.dump_csv(object).unwrap_or_else(|| panic!("the sandbox has no {object}"));
    let header = csv.lines().next().unwrap_or_default();
    let fields: Vec<&str> = header.split(',').map(|name| name.trim().trim_matches('"')).collect();
    let columns = session.rows(&format!(
        "SELECT attname, format_type(atttypid, atttypmod), substr(option, 7) FROM pg_attribute, unnest(attfdwoptions) AS option \
         WHERE attrelid = '{foreign}'::regclass AND attnum > 0 AND NOT attisdropped AND option LIKE 'field=%' ORDER BY attnum"
    ));
    let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
    let mut list = Vec::new();
    for row in &columns {
        let (name, ty, field) = (text(&row[0]), text(&row[1]), text(&row[2]));
        if !fields.contains(&field.as_str()) || matches!(ty.as_str(), "jsonb" | "bytea") {
            continue;
        }
        list.push(format!("{} AS \"{name}\"", (world.api.cell)(&field, &ty)));
    }
    assert!(list.len() > 3, "too few columns of {object} are in its dump: {fields:?}");
    let staging = fields.iter().map(|field| format!("\"{field}\" text")).collect::<Vec<_>>().join(", ");
    session.run(&format!("CREATE TEMPORARY TABLE staging ({staging})"));
    let mut writer = session.client().copy_in("COPY staging FROM STDIN (FORMAT csv, HEADER)").expect("COPY begins");
    writer.write_all(csv.as_bytes()).expect("COPY takes the dump");
    writer.finish().expect("COPY ends");
    session.run(&format!(
        "CREATE TABLE {table} AS SELECT {} FROM staging; DROP TABLE staging; ANALYZE {table}",
        list.join(", ")
    ));
}
