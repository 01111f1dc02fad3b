//! What the catalogue says of servers, user mappings, foreign tables and their columns.

use std::ffi::CStr;

use pgrx::{PgList, PgRelation, pg_sys};

use super::brace::brace;
use super::datum;
use super::memory::{c_text, text};
use super::version;
use crate::error::{Error, Kind, Result};
use crate::heap;
use crate::options::{Credentials, OptionMap, ServerOptions, flag};
use crate::query::change::Op;
use crate::schema::naming::snake_case;
use crate::schema::{Capabilities, Field, Object, Operations, Reference};
use crate::value::Type;

/// A foreign table: the object behind it, and which column shows which field.
pub struct Table {
    pub oid: pg_sys::Oid,
    pub schema: String,
    pub name: String,
    pub server: pg_sys::Oid,
    /// Its fields are the table's columns, dropped ones left out.
    pub object: Object,
    columns: Vec<Column>,
    /// Which of the object's fields the options say everything of.
    described: Vec<bool>,
    pub triggers: Triggers,
    /// Whether Postgres computes columns of it.
    pub computes: bool,
}

/// Row triggers of a table, by the commands that fire them.
#[derive(Clone, Copy, Default)]
pub struct Triggers {
    before: [bool; 3],
    after: [bool; 3],
}

impl Triggers {
    /// Before each row, where a trigger may still change it.
    pub fn before(self, op: Op) -> bool {
        Self::place(op).is_some_and(|place| self.before[place])
    }

    /// After each row.
    pub fn after(self, op: Op) -> bool {
        Self::place(op).is_some_and(|place| self.after[place])
    }

    fn place(op: Op) -> Option<usize> {
        match op {
            Op::Insert => Some(0),
            Op::Update => Some(1),
            Op::Delete => Some(2),
            Op::Upsert => None,
        }
    }
}

/// A column of a foreign table.
pub struct Column {
    /// Counted from 1, dropped columns included.
    pub attribute: i16,
    pub name: String,
    pub type_oid: pg_sys::Oid,
    pub modifier: i32,
    pub collation: pg_sys::Oid,
    /// Where its field stands in [`Object::fields`].
    pub field: usize,
    /// Whether a comparison with the column is one with the field: nothing is cut or rounded on the way.
    pub comparable: bool,
}

impl Table {
    /// Reads the table's options and columns.
    pub fn read(oid: pg_sys::Oid) -> Result<Table> {
        // Every statement comes here first.
        heap::check(0)?;
        brace();
        // SAFETY: the caller's statement holds a lock on the table; the closure of `PgRelation` ends ours.
        let relation = unsafe { PgRelation::open(oid) };
        // SAFETY: a catalogue look-up; errors if it is no foreign table.
        let foreign = unsafe { &*pg_sys::GetForeignTable(oid) };
        let options = option_map(foreign.options);
        let (schema, table) = relation_name(oid);
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        let mut described = Vec::new();
        for attribute in relation.tuple_desc().iter().filter(|column| !column.attisdropped) {
            // SAFETY: a catalogue look-up.
            let own = option_map(unsafe { pg_sys::GetForeignColumnOptions(oid, attribute.attnum) });
            // SAFETY: a name is a NUL-terminated string.
            let name = unsafe { text(attribute.attname.data.as_ptr()) };
            let rounds = attribute.atttypmod >= 0 && attribute.atttypid != pg_sys::VARCHAROID;
            columns.push(Column {
                attribute: attribute.attnum,
                type_oid: attribute.atttypid,
                modifier: attribute.atttypmod,
                collation: attribute.attcollation,
                field: fields.len(),
                comparable: !rounds
                    && (datum::scalar_type(attribute.atttypid).is_some()
                        || datum::list_type(attribute.atttypid) == Some(Type::Text)),
                name: name.clone(),
            });
            described.push(own.contains_key("capabilities"));
            fields.push(field(name, attribute.atttypid, &own)?);
        }
        let descriptor = relation.tuple_desc().as_ptr();
        // SAFETY: an open relation's own description; its constraints and triggers are null or live as long.
        let (computes, triggers) = unsafe {
            let constraints = (*descriptor).constr.as_ref();
            (constraints.is_some_and(|all| all.has_generated_stored), (*relation.as_ptr()).trigdesc.as_ref())
        };
        let triggers = triggers.map_or_else(Triggers::default, |all| Triggers {
            before: [all.trig_insert_before_row, all.trig_update_before_row, all.trig_delete_before_row],
            after: [all.trig_insert_after_row, all.trig_update_after_row, all.trig_delete_after_row],
        });
        Ok(Table {
            oid,
            triggers,
            computes,
            server: foreign.serverid,
            object: Object {
                name: options.get("object").unwrap_or(&table).clone(),
                fields,
                operations: parsed(&options, "operations", Operations::parse)?.unwrap_or_default(),
                estimated_rows: options.get("estimated_rows").and_then(|rows| rows.parse().ok()),
            },
            columns,
            described,
            schema,
            name: table,
        })
    }

    /// The error with the table's name, and with its own name for the column instead of the API's. Some errors have the
    /// title of a field where its column has the id: then the column that import names after it.
    pub fn locate(&self, error: Error) -> Error {
        let titled = |title: &str| self.columns.iter().find(|column| column.name == snake_case(title));
        let column = error.column_name().and_then(|field| self.column_of(field).or_else(|| titled(field)));
        let column = column.map(|column| column.name.as_str());
        let located = error.table_name().is_some();
        let error = error.table(&self.schema, &self.name);
        // What is too large does not say of itself what it is.
        let error = match error.kind() {
            Kind::TooLarge | Kind::OutOfMemory if !located => {
                error.detail(format!("It is for the foreign table {}.{}.", self.schema, self.name))
            }
            _ => error,
        };
        match column {
            Some(column) => error.column(column),
            None => error,
        }
    }

    /// Whether the columns' options say what can be done with these fields. A table written by hand may not.
    pub fn describes(&self, fields: &[Field]) -> bool {
        let described = |field: &Field| {
            let known = self.object.fields.iter().zip(&self.described);
            known.into_iter().any(|(known, described)| *described && known.name == field.name)
        };
        fields.iter().all(described)
    }

    /// The column that shows the record's key.
    pub fn key(&self) -> Option<&Column> {
        self.columns.iter().find(|column| self.object.fields[column.field].key)
    }

    pub fn column(&self, attribute: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.attribute == attribute)
    }

    /// The column that shows a field.
    pub fn column_of(&self, field: &str) -> Option<&Column> {
        self.columns.iter().find(|column| self.object.fields[column.field].name.eq_ignore_ascii_case(field))
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}

fn field(name: String, oid: pg_sys::Oid, options: &OptionMap) -> Result<Field> {
    Ok(Field {
        name: options.get("field").cloned().unwrap_or(name),
        label: None,
        ty: datum::column_type(oid),
        remote_type: options.get("type").cloned().unwrap_or_default(),
        key: flag(options, "key"),
        references: parsed(options, "references", Reference::parse)?,
        capabilities: parsed(options, "capabilities", Capabilities::parse)?.unwrap_or_default(),
    })
}

/// The validator let only good values in; a bad one here was written past it.
fn parsed<T>(
    options: &OptionMap,
    name: &str,
    parse: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<Option<T>> {
    options
        .get(name)
        .map(|value| parse(value))
        .transpose()
        .map_err(|wrong| Error::new(Kind::BadOption, format!("option \"{name}\" {wrong}")))
}

/// Raises 25006 in a read-only transaction, and so on a standby.
pub fn forbid_in_read_only(what: &str) {
    // SAFETY: a NUL-terminated string.
    unsafe { pg_sys::PreventCommandIfReadOnly(c_text(what)) };
}

/// Whether a wrapper is this one, by whatever name.
fn is_ours(wrapper: pg_sys::Oid) -> bool {
    // SAFETY: catalogue look-ups of a wrapper that exists.
    let handler = unsafe { text(pg_sys::get_func_name((*pg_sys::GetForeignDataWrapper(wrapper)).fdwhandler)) };
    handler == "sequin_fdw_handler"
}

/// Whether a relation is a foreign table of this wrapper.
pub fn is_our_table(oid: pg_sys::Oid) -> bool {
    // SAFETY: a catalogue look-up.
    let kind = unsafe { pg_sys::get_rel_relkind(oid) } as u8;
    // SAFETY: catalogue look-ups of a foreign table that exists.
    kind == pg_sys::RELKIND_FOREIGN_TABLE
        && is_ours(unsafe { (*pg_sys::GetForeignServer((*pg_sys::GetForeignTable(oid)).serverid)).fdwid })
}

/// The schema and the name of a relation.
pub fn relation_name(oid: pg_sys::Oid) -> (String, String) {
    // SAFETY: catalogue look-ups; what does not exist has no name.
    unsafe { (text(pg_sys::get_namespace_name(pg_sys::get_rel_namespace(oid))), text(pg_sys::get_rel_name(oid))) }
}

/// A foreign table of this wrapper, locked as for a write, that the current user may write to in all these ways.
///
/// Errors: 42501 without the privilege, 0A000 if it is no such table.
pub fn open_for_writing(oid: pg_sys::Oid, privileges: &[pg_sys::AclMode]) -> Result<Table> {
    // SAFETY: the lock is held until the transaction ends.
    unsafe { pg_sys::LockRelationOid(oid, pg_sys::RowExclusiveLock as i32) };
    let (_, name) = relation_name(oid);
    if !is_our_table(oid) {
        return Err(Error::new(Kind::NotSupported, format!("\"{name}\" is no foreign table of sequin_fdw")));
    }
    for privilege in privileges {
        // SAFETY: a catalogue look-up for the current user.
        let granted = unsafe { pg_sys::pg_class_aclcheck(oid, pg_sys::GetUserId(), *privilege) };
        if granted != pg_sys::AclResult::ACLCHECK_OK {
            return Err(Error::new(Kind::Forbidden, format!("permission denied for foreign table \"{name}\""))
                .hint("It takes the privileges INSERT and UPDATE on the table."));
        }
    }
    Table::read(oid)
}

/// A server of this wrapper that the current user may use.
///
/// Errors: Postgres's own 42704 if there is none, 42501 without USAGE, 0A000 if it is another wrapper's.
pub fn usable_server(name: &CStr) -> Result<pg_sys::Oid> {
    // SAFETY: a catalogue look-up that errors if there is no such server.
    let oid = unsafe { pg_sys::get_foreign_server_oid(name.as_ptr(), false) };
    // SAFETY: a NUL-terminated string; then a catalogue look-up of a server that exists.
    let (name, wrapper) = unsafe { (text(name.as_ptr()), (*pg_sys::GetForeignServer(oid)).fdwid) };
    if !is_ours(wrapper) {
        return Err(Error::new(Kind::NotSupported, format!("\"{name}\" is no server of sequin_fdw")));
    }
    if !version::may_use_server(oid) {
        return Err(Error::new(Kind::Forbidden, format!("permission denied for foreign server \"{name}\""))
            .hint("GRANT USAGE ON FOREIGN SERVER … TO …;"));
    }
    Ok(oid)
}

/// The name of a server; `None` if it has been dropped.
pub fn server_name(oid: pg_sys::Oid) -> Option<String> {
    const MISSING_OK: u16 = pg_sys::FSV_MISSING_OK as u16;
    // SAFETY: a catalogue look-up.
    let server = unsafe { pg_sys::GetForeignServerExtended(oid, MISSING_OK).as_ref() };
    // SAFETY: the name is a string in the same memory.
    server.map(|server| unsafe { text(server.servername) })
}

/// The options of a server.
pub fn server(oid: pg_sys::Oid) -> Result<ServerOptions> {
    // SAFETY: a catalogue look-up that errors if there is no such server.
    let server = unsafe { &*pg_sys::GetForeignServer(oid) };
    // SAFETY: the name is a string in the same memory.
    let name = unsafe { text(server.servername) };
    ServerOptions::read(&name, &option_map(server.options))
}

/// The options of a server's wrapper.
pub fn wrapper_options(server: pg_sys::Oid) -> OptionMap {
    // SAFETY: catalogue look-ups that error if there is no such server; a server has a wrapper.
    option_map(unsafe { (*pg_sys::GetForeignDataWrapper((*pg_sys::GetForeignServer(server)).fdwid)).options })
}

/// A user mapping.
pub struct Mapping {
    pub oid: pg_sys::Oid,
    pub credentials: Credentials,
}

/// The user mapping of a user, or of PUBLIC. HV00J if there is none.
pub fn mapping(user: pg_sys::Oid, server: pg_sys::Oid, name: &str) -> Result<Mapping> {
    if !has_mapping(user, server) && !has_mapping(pg_sys::InvalidOid, server) {
        // SAFETY: a catalogue look-up; the user is the current one or owns a view.
        let user = unsafe { text(pg_sys::GetUserNameFromId(user, true)) };
        return Err(Error::new(
            Kind::MissingOption,
            format!("user \"{user}\" has no user mapping for server \"{name}\""),
        )
        .hint(format!("CREATE USER MAPPING FOR \"{user}\" SERVER \"{name}\" OPTIONS (…); with the credentials.")));
    }
    // SAFETY: a catalogue look-up that errors if there is no mapping.
    let mapping = unsafe { &*pg_sys::GetUserMapping(user, server) };
    Ok(Mapping { oid: mapping.umid, credentials: Credentials::read(option_map(mapping.options)) })
}

fn has_mapping(user: pg_sys::Oid, server: pg_sys::Oid) -> bool {
    let cache = pg_sys::SysCacheIdentifier::USERMAPPINGUSERSERVER as i32;
    let none = pg_sys::Datum::from(0);
    // SAFETY: a look-up by the two keys of this cache.
    unsafe { pg_sys::SearchSysCacheExists(cache, user.into(), server.into(), none, none) }
}

/// Whether the current user may name files that the server reads.
pub fn may_read_server_files() -> bool {
    has_role(pg_sys::Oid::from(pg_sys::ROLE_PG_READ_SERVER_FILES))
}

/// Whether the current user has the privileges of a role.
pub fn has_role(role: pg_sys::Oid) -> bool {
    // SAFETY: catalogue look-ups; superusers have all privileges.
    unsafe { pg_sys::has_privs_of_role(pg_sys::GetUserId(), role) }
}

/// A list of `DefElem`s.
pub fn option_map(options: *mut pg_sys::List) -> OptionMap {
    // SAFETY: options are lists of `DefElem` wherever Postgres hands them out.
    let list = unsafe { PgList::<pg_sys::DefElem>::from_pg(options) };
    list.iter_ptr()
        .map(|option| {
            // SAFETY: a live `DefElem`; `defGetString` allocates what it must.
            unsafe { (text((*option).defname), text(pg_sys::defGetString(option))) }
        })
        .collect()
}
