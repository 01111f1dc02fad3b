//! `sequin.call`: a request that the user words, with the server's credentials.

use std::ffi::CStr;
use std::sync::Arc;

use bytes::Bytes;
use pgrx::pg_sys;

use super::catalog;
use super::ledger;
use super::session::Remote;
use super::write::{Flight, SPELLED};
use crate::connector::call::{Answer, call as worded};
use crate::connector::wire::Effect;
use crate::error::{Error, Kind, Result};

/// Sends a request once; repeats it only if it was surely not processed. A refusal is an answer, too.
pub fn call(server: &CStr, method: &str, path: &str, body: Option<String>) -> Result<Answer> {
    catalog::forbid_in_read_only("sequin.call()");
    let server = catalog::usable_server(server)?;
    let body = body.map(Bytes::from);
    let (request, job) = worded(method, path, body.clone())?;
    // SAFETY: reads the backend's current user.
    let remote = Remote::open(server, unsafe { pg_sys::GetUserId() })?;
    let done = match request.method.as_str() {
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "GET",
    };
    // A path may carry more than its name in the query.
    let object = path.split('?').next().unwrap_or_default();
    let deed = ledger::deed(server, object, object, done);
    let spell = move || vec![(None, spell_body(body.as_deref().unwrap_or(b"null")))];
    let answer = Flight::new(&remote, job, &Arc::default(), &deed, spell).wait()?;
    let answer = answer.and_then(|mut answers| answers.pop());
    let answer = answer.ok_or_else(|| Error::new(Kind::Internal, "the call brought no answer"))?;
    if request.effect != Effect::None && answer.status < 300 {
        ledger::written(&deed, vec![None]);
    }
    Ok(answer)
}

/// What was sent, as JSON. Of something long it is a text that holds the beginning.
fn spell_body(body: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&body[..body.len().min(SPELLED)]).into_owned();
    if shown.len() == body.len() { shown } else { serde_json::Value::from(format!("{shown}…")).to_string() }
}
