//! What changed when, and how much there is: getUpdated, getDeleted, limits and record counts.

use serde_json::{Value as Json, json};

use super::error::{ApiError, Result};
use super::store::Row;
use super::value::Value;
use super::{Call, DAILY_LIMIT};
use crate::http::{Request, Response};
use crate::time::{self, DAY, datetime_text};

const UPDATED_DAYS: i64 = 30;
const DELETED_DAYS: i64 = 15;
const ID_LIMIT: usize = 600_000;
const MINUTE: i64 = 60_000;

impl Call<'_> {
    /// `/sobjects/{object}/updated/?start=…&end=…`
    pub fn updated(&self, request: &Request, name: &str) -> Result<Response> {
        let (object, start, end) = self.span(request, name, UPDATED_DAYS)?;
        let store = self.org.store();
        let ids: Vec<String> = store
            .scan(object, false)
            .filter(|row| (start..end).contains(&stamp(row)))
            .map(|row| row.id().to_string())
            .collect();
        check_count(ids.len())?;
        Ok(Response::value(200, &json!({ "ids": ids, "latestDateCovered": datetime_text(end) })))
    }

    /// `/sobjects/{object}/deleted/?start=…&end=…`
    pub fn deleted(&self, request: &Request, name: &str) -> Result<Response> {
        let (object, start, end) = self.span(request, name, DELETED_DAYS)?;
        let store = self.org.store();
        let records: Vec<Json> = store
            .scan(object, true)
            .filter(|row| row.is_deleted() && (start..end).contains(&stamp(row)))
            .map(|row| json!({ "id": row.id().as_str(), "deletedDate": datetime_text(stamp(&row)) }))
            .collect();
        check_count(records.len())?;
        let earliest = datetime_text(time::now() - DELETED_DAYS * DAY);
        Ok(Response::value(
            200,
            &json!({ "deletedRecords": records, "earliestDateAvailable": earliest, "latestDateCovered": datetime_text(end) }),
        ))
    }

    /// The object and the span of time; seconds are ignored (contract, section 9).
    fn span(&self, request: &Request, name: &str, days: i64) -> Result<(usize, i64, i64)> {
        let object = self.object(name)?;
        if request.method != "GET" {
            return Err(ApiError::method_not_allowed("GET"));
        }
        if !self.org.schema.objects[object].traits.replicateable {
            return Err(ApiError::bad(
                "INVALID_TYPE_FOR_OPERATION",
                format!("object type {name} is not replicateable"),
            ));
        }
        let moment = |name: &str| {
            let text = request.param(name).unwrap_or_default();
            let ms = time::parse_datetime(&text).map(|ms| ms.div_euclid(MINUTE) * MINUTE);
            ms.ok_or_else(|| {
                ApiError::bad("INVALID_REPLICATION_DATE", format!("{name} is not a valid date-time: {text}"))
            })
        };
        let (start, end) = (moment("start")?, moment("end")?);
        if end - start < MINUTE {
            return Err(ApiError::bad(
                "INVALID_REPLICATION_DATE",
                "endDate must be at least one minute greater than startDate",
            ));
        }
        if start < time::now() - days * DAY {
            return Err(ApiError::bad(
                "INVALID_REPLICATION_DATE",
                format!("startDate cannot be more than {days} days ago"),
            ));
        }
        Ok((object, start, end))
    }

    /// `/limits`
    pub fn limits(&self) -> Response {
        let limit = |max: u64, left: u64| json!({ "Max": max, "Remaining": left });
        Response::value(
            200,
            &json!({
                "DailyApiRequests": limit(DAILY_LIMIT, self.org.quota()),
                "DailyBulkV2QueryJobs": limit(10_000, 10_000),
                "DailyBulkV2QueryFileStorageMB": limit(976_562, 976_562),
                "DataStorageMB": limit(1024, 512),
            }),
        )
    }

    /// `/limits/recordCount?sObjects=Account,Contact`; unknown names are left out.
    pub fn record_count(&self, request: &Request) -> Response {
        let names = request.param("sObjects");
        let wanted =
            |name: &str| names.as_ref().is_none_or(|list| list.split(',').any(|n| n.trim().eq_ignore_ascii_case(name)));
        let store = self.org.store();
        let counts: Vec<Json> = self
            .org
            .schema
            .objects
            .iter()
            .enumerate()
            .filter(|(_, object)| object.traits.queryable && wanted(&object.name))
            .map(|(n, object)| json!({ "count": store.count(n), "name": object.name }))
            .collect();
        Response::value(200, &json!({ "sObjects": counts }))
    }
}

fn stamp(row: &Row<'_>) -> i64 {
    match row.definition().stamp.map(|at| row.value(at)) {
        Some(Value::DateTime(ms)) => ms,
        _ => 0,
    }
}

fn check_count(count: usize) -> Result<()> {
    if count > ID_LIMIT {
        return Err(ApiError::bad("EXCEEDED_ID_LIMIT", format!("more than {ID_LIMIT} ids: ask for a shorter span")));
    }
    Ok(())
}
