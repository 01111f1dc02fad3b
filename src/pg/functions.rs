//! The functions that `sql/` declares. The work is done in safe rooms.

use pgrx::iter::TableIterator;
use pgrx::{Array, PgBox, name, pg_extern, pg_sys};

use super::error::or_raise;
use super::{handler, session};
use crate::options::{Place, validate};

#[pg_extern]
fn sequin_fdw_handler() -> PgBox<pg_sys::FdwRoutine> {
    handler::routine()
}

/// Checks the options of a server, a user mapping, a foreign table or a column, as CREATE and ALTER leave
/// them. Each comes as `name=value`.
#[pg_extern]
fn sequin_fdw_validator(options: Array<&str>, catalog: pg_sys::Oid) {
    let place = match catalog {
        pg_sys::ForeignServerRelationId => Place::Server,
        pg_sys::UserMappingRelationId => Place::UserMapping,
        pg_sys::ForeignTableRelationId => Place::Table,
        pg_sys::AttributeRelationId => Place::Column,
        _ => Place::Wrapper,
    };
    let options = options.iter().flatten().filter_map(|option| option.split_once('='));
    or_raise(validate(place, options));
}

/// What this backend has asked of each server; see the view `sequin.stats`.
#[pg_extern]
#[allow(clippy::type_complexity)] // The columns of the result, as the macro reads them.
fn sequin_session_stats() -> TableIterator<
    'static,
    (
        name!(server, String),
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
