//! IMPORT FOREIGN SCHEMA: from what an API says of its objects to CREATE FOREIGN TABLE.
//!
//! LIMIT TO and EXCEPT are honoured before anything is described: an org has hundreds of objects.

use std::collections::HashSet;

use pgrx::{PgList, pg_sys};

use super::catalog::option_map;
use super::memory::{c_text, text};
use super::node;
use super::session::Remote;
use crate::connector::contract::Listing;
use crate::error::{Error, Kind, Result, nearest};
use crate::heap;
use crate::options::{Place, validate};
use crate::schema::naming::{Naming, UniqueNames};
use crate::schema::sql::create_table;

/// Which tables a statement asks for.
enum Wanted {
    All,
    Only(Vec<String>),
    Except(HashSet<String>),
}

/// A table to be made: its local name and the object behind it.
struct Import {
    table: String,
    object: String,
}

/// The commands that create the tables.
///
/// # Safety
/// As for an `ImportForeignSchema` callback.
pub unsafe fn foreign_schema(
    statement: *mut pg_sys::ImportForeignSchemaStmt,
    server: pg_sys::Oid,
) -> Result<*mut pg_sys::List> {
    // SAFETY: by the contract above, for this block; the last call reads the backend's current user.
    let (schema, server_name, wanted, options, user) = unsafe {
        (
            text((*statement).remote_schema),
            text((*statement).server_name),
            wanted(statement),
            option_map((*statement).options),
            pg_sys::GetUserId(),
        )
    };
    validate(Place::Import, options.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    let naming = options.get("naming").and_then(|name| Naming::parse(name)).unwrap_or_default();
    let commands = commands(&Remote::open(server, user)?, &schema, &server_name, wanted, naming)?;
    Ok(node::list(commands.iter().map(|command| c_text(command))))
}

/// # Safety
/// The statement must be live.
unsafe fn wanted(statement: *mut pg_sys::ImportForeignSchemaStmt) -> Wanted {
    // SAFETY: by the contract above; the list holds `RangeVar`s.
    let (kind, tables) = unsafe {
        let list = PgList::<pg_sys::RangeVar>::from_pg((*statement).table_list);
        let names: Vec<_> = list.iter_ptr().map(|table| text((*table).relname)).collect();
        ((*statement).list_type, names)
    };
    match kind {
        pg_sys::ImportForeignSchemaType::FDW_IMPORT_SCHEMA_LIMIT_TO => Wanted::Only(tables),
        pg_sys::ImportForeignSchemaType::FDW_IMPORT_SCHEMA_EXCEPT => Wanted::Except(tables.into_iter().collect()),
        _ => Wanted::All,
    }
}

fn commands(remote: &Remote, schema: &str, server: &str, wanted: Wanted, naming: Naming) -> Result<Vec<String>> {
    let listed = remote.collect(vec![remote.connector.list(schema)?])?;
    let imports = choose(listed.into_iter().flatten().collect(), &wanted, naming)?;
    let names: Vec<_> = imports.iter().map(|import| import.object.clone()).collect();
    let mut objects = remote.collect(remote.connector.describe_all(&names))?;
    for (name, rows) in counts(remote, &names)? {
        if let Some(object) = objects.iter_mut().find(|object| object.name == name) {
            object.estimated_rows = Some(rows);
        }
    }
    imports
        .iter()
        .map(|import| {
            heap::check(0)?;
            // Answers come in any order; names may differ in case from what was asked.
            let object = objects.iter().find(|object| object.name == import.object);
            let object = object
                .ok_or_else(|| Error::new(Kind::Unreadable, format!("\"{}\" was not described", import.object)))?;
            Ok(create_table(&import.table, object, server, naming))
        })
        .collect()
}

/// Estimates for the planner. An API that withholds them does not spoil the import.
fn counts(remote: &Remote, objects: &[String]) -> Result<Vec<(String, u64)>> {
    let Some(job) = remote.connector.counts(objects).filter(|_| !objects.is_empty()) else {
        return Ok(Vec::new());
    };
    match remote.collect(vec![job]) {
        Ok(counts) => Ok(counts.into_iter().flatten().collect()),
        Err(error) if matches!(error.kind(), Kind::Forbidden | Kind::UnknownObject) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether an object is listed by the API's own name of it.
fn names(listing: &Listing, listed: &HashSet<String>) -> bool {
    listed.contains(&listing.name) || listed.contains(listing.title())
}

/// Gives each wanted object its table's name. A table listed by the API's own name keeps the listed one,
/// since Postgres drops what it did not list.
fn choose(listed: Vec<Listing>, wanted: &Wanted, naming: Naming) -> Result<Vec<Import>> {
    let mut unique = UniqueNames::default();
    // All objects claim their names, so that a name does not depend on what else is imported.
    let named: Vec<(String, Listing)> =
        listed.into_iter().map(|one| (unique.claim(&naming.apply(one.title())), one)).collect();
    let import = |table: &str, listing: &Listing| Import { table: table.to_owned(), object: listing.name.clone() };
    match wanted {
        Wanted::All => Ok(named
            .iter()
            .filter(|(_, listing)| !listing.special)
            .map(|(table, listing)| import(table, listing))
            .collect()),
        Wanted::Except(except) => Ok(named
            .iter()
            .filter(|(table, listing)| !listing.special && !except.contains(table) && !names(listing, except))
            .map(|(table, listing)| import(table, listing))
            .collect()),
        Wanted::Only(only) => {
            only.iter()
                .map(|name| {
                    let found = named.iter().find(|(table, _)| table == name).or_else(|| {
                        named.iter().find(|(_, listing)| listing.name == *name || listing.title() == *name)
                    });
                    found.map(|(_, listing)| import(name, listing)).ok_or_else(|| {
                        let error = Error::new(Kind::UnknownObject, format!("there is no object for table \"{name}\""));
                        match nearest(name, named.iter().map(|(table, _)| table.as_str())) {
                            Some(meant) => error.hint(format!("Perhaps you meant \"{meant}\".")),
                            None => error.hint("LIMIT TO takes table names (my_object__c) or the API's own names."),
                        }
                    })
                })
                .collect()
        }
    }
}
