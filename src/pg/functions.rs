//! The functions that `sql/` declares. The work is done in safe rooms.

use std::ffi::CStr;

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::{Datum as PgDatum, TimestampWithTimeZone};
use pgrx::iter::TableIterator;
use pgrx::{AnyArray, AnyElement, IntoDatum, PgBox, name, pg_extern, pg_sys};

use super::call::call;
use super::error::or_raise;
use super::upsert::upsert;
use super::{catalog, datum, handler, ledger, memory, merge, registry, session, spi, sync};
use crate::error::{Error, Kind, Result};
use crate::options::{Place, validate};
use crate::value::Value;

#[pg_extern]
fn sequin_fdw_handler() -> PgBox<pg_sys::FdwRoutine> {
    handler::routine()
}

/// Checks the options of a wrapper, a server, a user mapping, a foreign table or a column, as CREATE and ALTER leave them.
/// Each comes as `name=value`.
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

/// Writes of this session that outlived a rollback, or whose outcome nobody knows; see `sequin.unconfirmed()`.
#[pg_extern]
#[allow(clippy::type_complexity)] // The columns of the result, as the macro reads them.
fn sequin_unconfirmed() -> TableIterator<
    'static,
    (
        name!(happened, TimestampWithTimeZone),
        name!(server, Option<Text>),
        name!(object, Text),
        name!(operation, &'static str),
        name!(outcome, &'static str),
        name!(id, Option<Text>),
        name!(sent, Option<Jsonb>),
    ),
> {
    TableIterator::new(ledger::unconfirmed().into_iter().map(|entry| {
        (
            // Always within range: the clock said so.
            TimestampWithTimeZone::try_from(entry.at).unwrap_or_else(|_| TimestampWithTimeZone::positive_infinity()),
            catalog::server_name(entry.deed.server.into()).map(Text),
            Text(entry.deed.object.to_string()),
            entry.deed.done,
            if entry.done { "written" } else { "unknown" },
            entry.key.map(|key| Text(key.into())),
            entry.sent.map(Jsonb),
        )
    }))
}

/// See [`super::upsert`].
#[pg_extern]
fn sequin_upsert(
    target: pg_sys::Oid,
    key: &CStr,
    records: AnyElement,
) -> TableIterator<'static, (name!(ordinal, i32), name!(id, Option<Text>), name!(created, Option<bool>))> {
    // SAFETY: the SQL declaration says name, which is a NUL-terminated string.
    let key = unsafe { memory::text(key.as_ptr()) };
    let done = or_raise(upsert(target, &key, &json(&records)));
    TableIterator::new((1..).zip(done).map(|(ordinal, now)| {
        let (id, created) = now.map(|now| (Text(now.key.into()), now.created)).unzip();
        (ordinal, id, created.flatten())
    }))
}

/// See [`super::call`].
#[pg_extern]
fn sequin_call(
    server: Option<&CStr>,
    method: Option<AnyElement>,
    path: Option<AnyElement>,
    body: Option<AnyElement>,
) -> TableIterator<'static, (name!(status, i32), name!(headers, Jsonb), name!(body, Option<Jsonb>))> {
    let (Some(server), Some(method), Some(path)) = (server, method, path) else {
        return or_raise(Err(Error::new(Kind::Required, "sequin.call() needs a server, a method and a path")));
    };
    let answer = or_raise(call(server, &text(&method), &text(&path), body.as_ref().map(json)));
    let headers = answer.headers.into_iter().map(|(name, value)| (name, value.into()));
    let headers = serde_json::Value::Object(headers.collect()).to_string();
    TableIterator::once((answer.status.into(), Jsonb(headers), answer.body.map(Jsonb)))
}

/// See [`super::merge`].
#[pg_extern]
fn sequin_merging(target: pg_sys::Oid) -> bool {
    merge::is_ours(target, spi::trigger_depth())
}

/// See [`super::sync`].
#[pg_extern]
fn sequin_start_sync(
    source: Option<pg_sys::Oid>,
    target: Option<AnyElement>,
    every: Option<AnyElement>,
    options: Option<AnyElement>,
) -> pg_sys::Oid {
    let (Some(source), Some(target), Some(every), Some(options)) = (source, target, every, options) else {
        return or_raise(Err(Error::new(Kind::Required, "no argument of sequin.start_sync() may be NULL")));
    };
    or_raise(sync::start(source, &text(&target), every.datum(), &json(&options)))
}

/// See [`super::sync`].
#[pg_extern]
fn sequin_refresh(target: Option<pg_sys::Oid>) -> i64 {
    let changed = named(target, "refresh").and_then(sync::refresh);
    i64::try_from(or_raise(changed)).unwrap_or(i64::MAX)
}

/// See [`super::sync`].
#[pg_extern]
fn sequin_stop_sync(target: Option<pg_sys::Oid>) {
    or_raise(named(target, "stop_sync").and_then(sync::stop));
}

/// See [`super::registry`].
#[pg_extern]
fn sequin_has_worker() -> bool {
    // SAFETY: a global that is set when the backend connects.
    registry::has_worker(unsafe { pg_sys::MyDatabaseId })
}

/// A table that must be named.
fn named(target: Option<pg_sys::Oid>, function: &str) -> Result<pg_sys::Oid> {
    target.ok_or_else(|| Error::new(Kind::Required, format!("the table of sequin.{function}() may not be NULL")))
}

/// The text of an argument that the SQL declaration says is text. pgrx's own conversion takes UTF-8 alone.
fn text(argument: &AnyElement) -> String {
    // SAFETY: it is, and it is not NULL.
    match unsafe { datum::to_value(argument.datum(), false, pg_sys::TEXTOID) } {
        Value::Text(text) => text.into(),
        _ => String::new(),
    }
}

/// The text of an argument that the SQL declaration says is jsonb.
fn json(argument: &AnyElement) -> String {
    // SAFETY: it is, and it is not NULL.
    match unsafe { datum::Decoder::new(pg_sys::JSONBOID).decode(argument.datum(), false) } {
        Value::Json(text) => text.into(),
        _ => String::new(),
    }
}

/// A text on its way into a result, where it is in the server's encoding.
struct Text(String);

impl IntoDatum for Text {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(memory::text_datum(&self.0))
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}

/// JSON that keeps the digits of its numbers on its way into a result.
struct Jsonb(String);

impl IntoDatum for Jsonb {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let mut encoder = datum::Encoder::new(pg_sys::JSONBOID, -1);
        or_raise(encoder.encode(&Value::Json(self.0.into())))
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

macro_rules! returned {
    ($($ty:ident)*) => {$(
        // SAFETY: the datum is of the type that the SQL declaration names.
        unsafe impl BoxRet for $ty {
            unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> PgDatum<'fcx> {
                match self.into_datum() {
                    // SAFETY: a fresh datum in the current memory context.
                    Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
                    None => fcinfo.return_null(),
                }
            }
        }
    )*};
}

returned!(Text Jsonb);
