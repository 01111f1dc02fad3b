//! The functions that `sql/` declares. The work is done in safe rooms.

use pgrx::iter::TableIterator;
use pgrx::{AnyArray, PgBox, name, pg_extern, pg_sys};

use super::error::or_raise;
use super::{catalog, datum, handler, session};
use crate::error::{Error, Kind};
use crate::options::{Place, validate};
use crate::value::Value;

#[pg_extern]
fn sequin_fdw_handler() -> PgBox<pg_sys::FdwRoutine> {
    handler::routine()
}

/// Checks the options of a server, a user mapping, a foreign table or a column, as CREATE and ALTER leave
/// them. Each comes as `name=value`.
#[pg_extern]
fn sequin_fdw_validator(options: AnyArray, catalog: pg_sys::Oid) {
    let place = match catalog {
        pg_sys::ForeignServerRelationId => Place::Server,
        pg_sys::UserMappingRelationId => Place::UserMapping,
        pg_sys::ForeignTableRelationId => Place::Table,
        pg_sys::AttributeRelationId => Place::Column,
        _ => Place::Wrapper,
    };
    // SAFETY: the SQL declaration says text[].
    let options = unsafe { datum::to_value(options.datum(), false, pg_sys::TEXTARRAYOID) };
    let Value::List(options) = options else { return };
    let options = options.iter().filter_map(|option| match option {
        Value::Text(option) => option.split_once('='),
        _ => None,
    });
    let options: Vec<_> = options.collect();
    or_raise(validate(place, options.iter().copied()));
    // A file of the server, read with the server's rights.
    if options.iter().any(|(name, _)| *name == "ca_file") && !catalog::may_read_server_files() {
        or_raise(Err(Error::new(Kind::Forbidden, "option \"ca_file\" may not be set by this user")
            .hint("Only superusers and members of pg_read_server_files may name files of the server.")))
    }
}

/// What this backend has asked of each server; see the view `sequin.stats`.
#[pg_extern]
#[allow(clippy::type_complexity)] // The columns of the result, as the macro reads them.
fn sequin_session_stats() -> TableIterator<
    'static,
    (
        name!(server, pg_sys::Oid),
        name!(requests, i64),
        name!(retries, i64),
        name!(errors, i64),
        name!(throttled, i64),
        name!(rows, i64),
        name!(bytes, i64),
        name!(quota_used, Option<i64>),
        name!(quota_left, Option<i64>),
    ),
> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    TableIterator::new(session::totals().into_iter().map(move |(server, counts)| {
        let quota = counts.quota;
        (
            server,
            number(counts.requests),
            number(counts.retries),
            number(counts.errors),
            number(counts.throttled),
            number(counts.rows),
            number(counts.bytes),
            quota.map(|quota| number(quota.used)),
            quota.map(|quota| number(quota.limit.saturating_sub(quota.used))),
        )
    }))
}
