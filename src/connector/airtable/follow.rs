//! What synced tables ask: all records, and those that were made or changed since.
//!
//! The API tells when the cells of a record were changed last, but neither of deletions nor of what is computed from other
//! records: a sweep does. A list cannot be gone on with later, and what others write meanwhile may hide a record from it.
//! <https://support.airtable.com/docs/last-modified-time-field>

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::api::Airtable;
use super::errors::is_bad_formula;
use super::formula::Formula;
use super::read;
use crate::connector::follow::{Changes, Since, all, read_back};
use crate::connector::machine::{Job, Machine, Step};
use crate::connector::wire::{Request, Response};
use crate::error::Result;
use crate::query::delta::{Delta, Feed, Followed};
use crate::query::page::Page;
use crate::value::format_instant_millis;

pub fn feed() -> Feed {
    Feed { wire: json!({}), deletions: false }
}

pub fn sweep(airtable: &Airtable, followed: &Followed) -> Result<Job<Delta>> {
    Ok(all(read::list(airtable, &followed.object, &followed.fields, &Formula::True)?))
}

pub fn changes(
    airtable: &Airtable,
    followed: &Followed,
    position: Option<&Json>,
    look_back: Duration,
) -> Result<Job<Delta>> {
    let key = followed.fields.iter().position(|field| field.key).unwrap_or(0);
    let since: Option<Since> = position.map(read_back).transpose()?;
    let filter = match &since {
        Some(since) => changed(since.less(look_back)),
        // The position alone is wanted: an answer without a record tells the time too.
        None => Formula::Test("FALSE()".to_owned()),
    };
    let list = |filter: &Formula| read::list(airtable, &followed.object, &followed.fields, filter);
    let inner = Box::new(Known { asked: list(&filter)?, instead: Some(list(&Formula::True)?) });
    Ok(Changes::job(inner, since, key, None, None))
}

/// Records made or changed after a moment, in microseconds since 1970. What was never changed may have no such time.
fn changed(after: i64) -> Formula {
    let Some(after) = format_instant_millis(after) else { return Formula::True };
    let test = |time: &str| format!("IS_AFTER({time},DATETIME_PARSE('{after}'))");
    let (made, changed) = (test("CREATED_TIME()"), test("LAST_MODIFIED_TIME()"));
    Formula::Test(format!("OR({made},IF(LAST_MODIFIED_TIME(),{changed},FALSE()))"))
}

/// A list by a formula; all records instead, if the API does not know when this table's were changed.
struct Known {
    asked: Job<Page>,
    instead: Option<Job<Page>>,
}

impl Machine for Known {
    type Out = Page;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Page>> {
        let step = match last {
            Some(response) => match self.instead.take() {
                Some(instead) if is_bad_formula(&response) => {
                    self.asked = instead;
                    self.asked.next(None)?
                }
                _ => self.asked.next(Some(response))?,
            },
            None => self.asked.next(None)?,
        };
        let first = self.instead.is_some();
        Ok(match step {
            Step::Send(request) => Step::Send(Request { any_answer: first || request.any_answer, ..request }),
            step => step,
        })
    }
}
