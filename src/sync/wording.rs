//! The SQL of a synced table.
//!
//! Every name is quoted, every relation has its schema, so that no search path matters. Rows are compared by their
//! bytes (`*<>`), so that a change that an equality passes over, like one of case under some collations, arrives too.
//! <https://www.postgresql.org/docs/current/functions-comparisons.html#COMPOSITE-TYPE-COMPARISON>

use crate::schema::Field;
use crate::schema::drift::Drift;
use crate::schema::naming::{Naming, UniqueNames};
use crate::schema::sql::{column, identifier as quote, literal, sql_type};

/// When a row was last known to be as the API has it.
pub const SYNCED_AT: &str = "_synced_at";

/// Records that an error names.
pub const NAMED: u64 = 10;

/// What the key begins with of a row that meets another one, so that it is not stored and no record is created.
pub const STAND_IN: &str = "~sequin";

/// Transition tables of the triggers.
const BEFORE: &str = "sequin_before";
const AFTER: &str = "sequin_after";

/// Remembers that records of the table `$1` are deleted: those with the keys `$2`.
pub const NOTE_DELETED: &str =
    "INSERT INTO sequin.sync_deleted SELECT $1, key, clock_timestamp() FROM unnest($2) AS key";

/// A synced table and the foreign table that it follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// With its schema, quoted.
    pub target: String,
    /// Likewise.
    pub source: String,
    /// The column of the key, in both.
    pub key: String,
    /// The other columns that both have.
    pub columns: Vec<String>,
}

/// A name with its schema.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote(schema), quote(name))
}

/// Whether a row was written after `$1`. A time that is not here yet was set by somebody else, or by another clock.
fn later(alias: &str) -> String {
    format!("coalesce({alias}.{SYNCED_AT} > $1 AND {alias}.{SYNCED_AT} <= clock_timestamp(), false)")
}

/// A new synced table with the columns of another.
pub fn create_table(target: &str, like: &str, key: &str) -> String {
    let key = quote(key);
    format!("CREATE TABLE {target} (LIKE {like}, {SYNCED_AT} timestamptz NOT NULL DEFAULT now(), PRIMARY KEY ({key}))")
}

impl Names {
    fn all(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.key).chain(&self.columns)
    }

    /// `"a", "b"`, each with `prefix` before it.
    fn list(&self, prefix: &str) -> String {
        let names: Vec<_> = self.all().map(|name| format!("{prefix}{}", quote(name))).collect();
        names.join(", ")
    }

    /// The columns besides the key as one value.
    fn row(&self, alias: &str) -> String {
        let names: Vec<_> = self.columns.iter().map(|name| format!("{alias}.{}", quote(name))).collect();
        format!("ROW({})::record", names.join(", "))
    }

    fn differ(&self, one: &str, other: &str) -> String {
        format!("{} OPERATOR(pg_catalog.*<>) {}", self.row(one), self.row(other))
    }

    /// `"a" = x."a", …`, the key left out.
    fn set_from(&self, alias: &str) -> String {
        self.columns.iter().map(|name| format!("{0} = {alias}.{0}, ", quote(name))).collect()
    }

    pub fn triggers(&self) -> Vec<String> {
        let target = &self.target;
        let trigger =
            |name: &str, when: &str| format!("CREATE TRIGGER {name} {when} EXECUTE FUNCTION sequin.write_through()");
        vec![
            trigger("sequin_lock", &format!("BEFORE INSERT OR UPDATE OR DELETE ON {target} FOR EACH STATEMENT")),
            // Others of the same kind come first, by name, so that what they change is sent.
            trigger(
                "zzz_sequin_insert",
                &format!(
                    "BEFORE INSERT ON {target} FOR EACH ROW WHEN (NOT sequin.merging({}::pg_catalog.regclass))",
                    literal(target)
                ),
            ),
            trigger(
                "sequin_insert",
                &format!(
                    "AFTER INSERT ON {target} FOR EACH ROW WHEN (pg_catalog.starts_with(NEW.{}::pg_catalog.text, '{STAND_IN}'))",
                    quote(&self.key)
                ),
            ),
            trigger(
                "sequin_update",
                &format!(
                    "AFTER UPDATE ON {target} REFERENCING OLD TABLE AS {BEFORE} NEW TABLE AS {AFTER} FOR EACH STATEMENT"
                ),
            ),
            trigger(
                "sequin_delete",
                &format!("AFTER DELETE ON {target} REFERENCING OLD TABLE AS {BEFORE} FOR EACH STATEMENT"),
            ),
            trigger("sequin_truncate", &format!("BEFORE TRUNCATE ON {target} FOR EACH STATEMENT")),
        ]
    }

    /// All records at hand are inserted. `$1`: when they were read. Returns nothing.
    pub fn insert_all(&self) -> String {
        let (target, source, columns) = (&self.target, &self.source, self.list(""));
        format!("INSERT INTO {target} ({columns}, {SYNCED_AT}) SELECT {columns}, $1 FROM {source}")
    }

    /// Records at hand that are not here are inserted. `$1`: when they were read. Returns nothing. `look`: whether that
    /// is found out before; else triggers that fire before an insert see all of them.
    pub fn insert_new(&self, look: bool) -> String {
        let (target, source, key, columns) = (&self.target, &self.source, quote(&self.key), self.list(""));
        let rows = match look {
            true => format!(
                "WITH page AS MATERIALIZED (SELECT {columns} FROM {source}) SELECT {}, $1 FROM page p \
                 WHERE NOT EXISTS (SELECT FROM {target} t WHERE t.{key} = p.{key})",
                self.list("p."),
            ),
            false => format!("SELECT {columns}, $1 FROM {source}"),
        };
        format!("INSERT INTO {target} ({columns}, {SYNCED_AT}) {rows} ON CONFLICT ({key}) DO NOTHING")
    }

    /// Rows that differ from the records at hand, which were read at `$1`, become as these have them, unless they were
    /// written later or are held by others. Returns how many were changed, how many had been written later, how many are
    /// held, and the keys, as a JSON array, of those written later. `touch`: those that are the same are marked as seen, if they were not since `$2`.
    pub fn update_changed(&self, touch: bool) -> String {
        let (target, source, key) = (&self.target, &self.source, quote(&self.key));
        let (set, differ, later) = (self.set_from("p"), self.differ("t", "p"), later("t"));
        let seen = match touch {
            true => format!(" OR coalesce(t.{SYNCED_AT} NOT BETWEEN $2 AND clock_timestamp(), true)"),
            false => String::new(),
        };
        // Materialised, since the records do not heed what a join would ask of a foreign table.
        format!(
            "WITH page AS MATERIALIZED (SELECT {} FROM {source}), \
             stale AS MATERIALIZED (SELECT t.{key} AS key, {differ} AS differs, {later} AS later FROM page p \
             JOIN {target} t ON t.{key} = p.{key} WHERE {differ}{seen}), \
             free AS MATERIALIZED (SELECT t.{key} AS key FROM {target} t WHERE t.{key} IN (SELECT key FROM stale) \
             AND NOT {later} FOR NO KEY UPDATE SKIP LOCKED), \
             done AS (UPDATE {target} t SET {set}{SYNCED_AT} = $1 FROM page p, stale s \
             WHERE t.{key} = p.{key} AND s.key = p.{key} AND p.{key} IN (SELECT key FROM free) RETURNING s.differs) \
             SELECT (SELECT count(*) FROM done WHERE differs), (SELECT count(*) FROM stale WHERE differs AND later), \
             (SELECT count(*) FROM stale WHERE NOT later AND key NOT IN (SELECT key FROM free)), \
             (SELECT jsonb_agg(key::text) FROM stale WHERE differs AND later)",
            self.list(""),
        )
    }

    /// Rows with these keys (`$2`), which were gone at `$1`, are deleted, unless they were written later or are held by
    /// others. Returns how many were deleted, how many had been written later, and how many are held.
    pub fn delete_gone(&self) -> String {
        let (target, key, later) = (&self.target, quote(&self.key), later("t"));
        format!(
            "WITH here AS MATERIALIZED (SELECT t.{key} AS key, {later} AS later FROM {target} t WHERE t.{key} = ANY ($2)), \
             free AS MATERIALIZED (SELECT t.{key} AS key FROM {target} t WHERE t.{key} = ANY ($2) \
             AND NOT {later} FOR UPDATE SKIP LOCKED), \
             done AS (DELETE FROM {target} t WHERE t.{key} IN (SELECT key FROM free) RETURNING 1) \
             SELECT (SELECT count(*) FROM done), (SELECT count(*) FROM here WHERE later), \
             (SELECT count(*) FROM here WHERE NOT later AND key NOT IN (SELECT key FROM free))"
        )
    }

    /// The keys of so many rows, in their order, and whether each was not known to be as the API has it since `$1`.
    /// `after`: from the key `$2` on, without it.
    pub fn unseen(&self, after: bool, rows: usize) -> String {
        let (target, key) = (&self.target, quote(&self.key));
        let from = if after { format!("WHERE {key} > $2") } else { String::new() };
        format!(
            "SELECT {key}, coalesce({SYNCED_AT} NOT BETWEEN $1 AND clock_timestamp(), true) FROM {target} {from} \
             ORDER BY {key} LIMIT {rows}"
        )
    }

    /// Whether there is a row with the key `$1`.
    pub fn is_here(&self) -> String {
        format!("SELECT FROM {} WHERE {} = $1", self.target, quote(&self.key))
    }

    /// The key and all columns of the row that is at `$1`.
    pub fn row_at(&self) -> String {
        format!("SELECT {} FROM {} WHERE ctid = $1 FOR KEY SHARE", self.list(""), self.target)
    }

    /// Creates a record of the columns at these places of `columns`, which are `$1`, `$2`, …; returns the key and all
    /// columns.
    pub fn create(&self, given: &[usize]) -> String {
        let names: Vec<_> = given.iter().map(|at| quote(&self.columns[*at])).collect();
        let values: Vec<_> = (1..=given.len()).map(|at| format!("${at}")).collect();
        let row = match given {
            [] => "DEFAULT VALUES".to_owned(),
            _ => format!("({}) VALUES ({})", names.join(", "), values.join(", ")),
        };
        format!("INSERT INTO {} {row} RETURNING {}", self.source, self.list(""))
    }

    /// What an UPDATE did: how many rows have another key, and for each column whether it changed anywhere.
    pub fn changed_columns(&self) -> String {
        let key = quote(&self.key);
        let differs: String = self
            .columns
            .iter()
            .map(|name| {
                let name = quote(name);
                format!(
                    ", coalesce(bool_or(ROW(b.{name})::record OPERATOR(pg_catalog.*<>) ROW(a.{name})::record), false)"
                )
            })
            .collect();
        format!(
            "SELECT count(*) FILTER (WHERE b.{key} IS NULL){differs} FROM {AFTER} a LEFT JOIN {BEFORE} b ON b.{key} = a.{key}"
        )
    }

    /// Sends what an UPDATE changed in the columns at these places, and keeps what the API answers. What has been changed
    /// here since, by a later statement that has sent it, is left out. Returns how many rows changed, how many
    /// records the API has changed, and the keys of some that it has not. `amid`: another UPDATE is under way, of which the API does not know yet; then only
    /// what was sent is kept, and the columns at these places, which nobody can write.
    pub fn send_update(&self, changed: &[usize], amid: Option<&[usize]>) -> String {
        let (target, source, key) = (&self.target, &self.source, quote(&self.key));
        let names: Vec<_> = changed.iter().map(|at| quote(&self.columns[*at])).collect();
        let differs = |name: &String| {
            format!(
                "(ROW(b.{name})::record OPERATOR(pg_catalog.*<>) ROW(a.{name})::record \
                 AND ROW(t.{name})::record OPERATOR(pg_catalog.*=) ROW(a.{name})::record)"
            )
        };
        let set: Vec<_> = names
            .iter()
            .map(|name| format!("{name} = CASE WHEN {} THEN a.{name} ELSE s.{name} END", differs(name)))
            .collect();
        let rows = format!("{AFTER} a JOIN {BEFORE} b ON b.{key} = a.{key}");
        let (keep, sent) = match amid {
            None => (self.set_from("p"), "sent p".to_owned()),
            Some(read_only) => {
                let read_only = read_only.iter().filter(|at| !changed.contains(at)).map(|at| quote(&self.columns[*at]));
                let keep = names
                    .iter()
                    .map(|name| format!("{name} = CASE WHEN {} THEN p.{name} ELSE t.{name} END, ", differs(name)))
                    .chain(read_only.map(|name| format!("{name} = p.{name}, ")));
                (keep.collect(), format!("sent p JOIN ({rows}) ON a.{key} = p.{key}"))
            }
        };
        format!(
            "WITH changed AS MATERIALIZED (SELECT a.{key} AS key FROM {rows} JOIN {target} t ON t.{key} = a.{key} WHERE {}), \
             sent AS (UPDATE {source} s SET {} FROM {rows} JOIN {target} t ON t.{key} = a.{key} \
             WHERE s.{key} = a.{key} AND s.{key} = ANY (ARRAY(SELECT key FROM changed)) RETURNING {}), \
             kept AS (UPDATE {target} t SET {keep}{SYNCED_AT} = clock_timestamp() FROM {sent} WHERE t.{key} = p.{key}) \
             SELECT (SELECT count(*) FROM changed), (SELECT count(*) FROM sent), (SELECT string_agg(key::text, ', ') FROM \
             (SELECT key FROM changed WHERE key NOT IN (SELECT {key} FROM sent) ORDER BY key LIMIT {NAMED}) AS gone)",
            names.iter().map(differs).collect::<Vec<_>>().join(" OR "),
            set.join(", "),
            self.list("s."),
        )
    }

    /// Gives the columns at these places back what an UPDATE left in them, since the API did not answer for them.
    pub fn keep_unread(&self, unread: &[usize]) -> String {
        let (target, key) = (&self.target, quote(&self.key));
        let set: Vec<_> = unread.iter().map(|at| format!("{0} = a.{0}", quote(&self.columns[*at]))).collect();
        format!("UPDATE {target} t SET {} FROM {AFTER} a WHERE t.{key} = a.{key}", set.join(", "))
    }

    /// Deletes at the API what a DELETE deleted here.
    pub fn send_delete(&self) -> String {
        let (source, key) = (&self.source, quote(&self.key));
        format!("DELETE FROM {source} WHERE {key} = ANY (ARRAY(SELECT {key} FROM {BEFORE}))")
    }

    /// The keys of the records that a DELETE deleted.
    pub fn deleted(&self) -> String {
        format!("SELECT {} FROM {BEFORE}", quote(&self.key))
    }

    /// Makes both tables what the object has become. A field that is gone leaves its column in the synced table, with
    /// what was last in it. `columns`: of the foreign table, each with its field.
    pub fn follow_schema(&self, columns: &[(&str, &Field)], drift: &Drift) -> Vec<String> {
        let (target, source) = (&self.target, &self.source);
        let name = |field: &Field| {
            columns.iter().find(|(_, known)| known.name.eq_ignore_ascii_case(&field.name)).map(|(name, _)| *name)
        };
        let native = columns.iter().all(|(name, field)| *name == field.name);
        let naming = if native { Naming::ApiNative } else { Naming::SnakeCase };
        let mut unique = UniqueNames::of_columns();
        for (name, _) in columns {
            unique.claim(name);
        }
        let mut commands = Vec::new();
        for field in &drift.added {
            let name = unique.claim(&naming.apply(field.title()));
            let ty = sql_type(field.ty, &field.remote_type);
            commands.push(format!("ALTER FOREIGN TABLE {source} ADD COLUMN {}", column(&name, field)));
            commands.push(format!("ALTER TABLE {target} ADD COLUMN IF NOT EXISTS {} {ty}", quote(&name)));
        }
        for field in &drift.gone {
            let Some(name) = name(field) else { continue };
            commands.push(format!("ALTER FOREIGN TABLE {source} DROP COLUMN {}", quote(name)));
        }
        for field in &drift.retyped {
            let Some(name) = name(field) else { continue };
            let (quoted, ty) = (quote(name), sql_type(field.ty, &field.remote_type));
            commands
                .push(format!("ALTER FOREIGN TABLE {source} DROP COLUMN {quoted}, ADD COLUMN {}", column(name, field)));
            if self.columns.iter().any(|column| column == name) {
                commands.push(format!("ALTER TABLE {target} ALTER COLUMN {quoted} TYPE {ty} USING NULL"));
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            target: qualified("crm", "my \"contacts\""),
            source: qualified("salesforce", "contact"),
            key: "id".to_owned(),
            columns: vec!["name".to_owned(), "it's".to_owned()],
        }
    }

    #[test]
    fn names_are_quoted_wherever_they_stand() {
        let names = names();
        let target = r#""crm"."my ""contacts""""#;
        let all = [
            names.insert_new(true),
            names.update_changed(true),
            names.delete_gone(),
            names.unseen(true, 9),
            names.is_here(),
        ];
        assert!(all.iter().all(|sql| sql.contains(target)), "{all:#?}");
        let insert = names.triggers().into_iter().find(|sql| sql.contains("BEFORE INSERT ON")).unwrap();
        assert!(insert.contains(r#"sequin.merging('"crm"."my ""contacts"""'::pg_catalog.regclass)"#), "{insert}");
    }

    #[test]
    fn a_create_names_what_is_given_and_returns_everything() {
        let names = names();
        assert_eq!(
            names.create(&[1]),
            r#"INSERT INTO "salesforce"."contact" ("it's") VALUES ($1) RETURNING "id", "name", "it's""#
        );
        assert!(names.create(&[]).contains("DEFAULT VALUES"));
    }

    #[test]
    fn only_changed_columns_are_sent_and_each_row_keeps_the_others() {
        let (mine, newer) = (
            r#"ROW(b."it's")::record OPERATOR(pg_catalog.*<>) ROW(a."it's")::record"#,
            r#"ROW(t."it's")::record OPERATOR(pg_catalog.*=) ROW(a."it's")::record"#,
        );
        let sent = names().send_update(&[1], None);
        let set = format!(r#"SET "it's" = CASE WHEN ({mine} AND {newer}) THEN a."it's" ELSE s."it's" END FROM"#);
        assert!(sent.contains(&set), "{sent}");
        assert!(sent.contains(r#"SET "name" = p."name", "it's" = p."it's", _synced_at"#), "{sent}");
    }

    #[test]
    fn amid_another_update_only_what_was_sent_and_what_nobody_writes_is_kept() {
        let sent = names().send_update(&[1], Some(&[0]));
        assert!(sent.contains(r#"THEN p."it's" ELSE t."it's" END, "name" = p."name", _synced_at"#), "{sent}");
    }

    #[test]
    fn columns_that_were_not_read_get_back_what_the_update_left_in_them() {
        assert_eq!(
            names().keep_unread(&[0, 1]),
            r#"UPDATE "crm"."my ""contacts""" t SET "name" = a."name", "it's" = a."it's" FROM sequin_after a WHERE t."id" = a."id""#
        );
    }

    #[test]
    fn both_tables_follow_the_fields() {
        use crate::schema::Capabilities;
        use crate::value::Type;
        let field = |name: &str, ty| Field {
            name: name.to_owned(),
            label: None,
            ty,
            remote_type: "string".to_owned(),
            key: false,
            references: None,
            capabilities: Capabilities::default(),
        };
        let (name, old) = (field("Name", Type::Text), field("It's", Type::Text));
        let drift = Drift {
            added: vec![field("BrandNew__c", Type::Bool)],
            gone: vec![old.clone()],
            retyped: vec![field("Name", Type::Json)],
        };
        let commands = names().follow_schema(&[("name", &name), ("it's", &old)], &drift);
        let begins = [
            r#"ALTER FOREIGN TABLE "salesforce"."contact" ADD COLUMN "brand_new__c" boolean OPTIONS (field 'BrandNew__c'"#,
            r#"ALTER TABLE "crm"."my ""contacts""" ADD COLUMN IF NOT EXISTS "brand_new__c" boolean"#,
            r#"ALTER FOREIGN TABLE "salesforce"."contact" DROP COLUMN "it's""#,
            r#"ALTER FOREIGN TABLE "salesforce"."contact" DROP COLUMN "name", ADD COLUMN "name" pg_catalog.jsonb OPTIONS"#,
            r#"ALTER TABLE "crm"."my ""contacts""" ALTER COLUMN "name" TYPE pg_catalog.jsonb USING NULL"#,
        ];
        assert_eq!(commands.len(), begins.len(), "{commands:#?}");
        for (command, begin) in commands.iter().zip(begins) {
            assert!(command.starts_with(begin), "{command}");
        }
    }
}
