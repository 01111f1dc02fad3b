//! Composite and batch: several requests in one, each answered by the same router as if it had come alone.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::Call;
use super::error::{ApiError, Result};
use crate::http::{Request, Response};

const SUBREQUEST_LIMIT: usize = 25;
/// Queries and collections among them.
const HEAVY_LIMIT: usize = 5;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Composite {
    #[serde(default)]
    all_or_none: bool,
    composite_request: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    method: String,
    url: String,
    reference_id: String,
    body: Option<Box<RawValue>>,
    #[serde(default)]
    http_headers: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    #[serde(default)]
    halt_on_error: bool,
    batch_requests: Vec<BatchPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchPart {
    method: String,
    url: String,
    rich_input: Option<Box<RawValue>>,
}

impl Call<'_> {
    /// `POST /composite`
    pub fn composite(&self, request: &Request) -> Result<Response> {
        let composite: Composite = self.json_body(request)?;
        let parts = &composite.composite_request;
        check_count(parts.len())?;
        let heavy = parts.iter().filter(|p| p.url.contains("/query") || p.url.contains("/composite/sobjects")).count();
        if heavy > HEAVY_LIMIT {
            let message = format!("A composite request may have at most {HEAVY_LIMIT} queries and collections");
            return Err(ApiError::bad("LIMIT_EXCEEDED", message));
        }
        let savepoint = self.org.store().savepoint();
        let atomic = Call { atomic: composite.all_or_none, ..*self };
        let mut answers: Vec<(u16, Json, Json)> = Vec::new();
        let mut bodies: HashMap<&str, Json> = HashMap::new();
        let mut failed = None;
        for (n, part) in parts.iter().enumerate() {
            if bodies.contains_key(part.reference_id.as_str()) {
                let message = format!("Duplicate reference id: {}", part.reference_id);
                return Err(ApiError::bad("INVALID_INPUT", message));
            }
            let response = match atomic.part(request, part, &bodies) {
                Ok(response) => response,
                Err(error) => error.response(),
            };
            let body = serde_json::from_slice::<Json>(&response.body).unwrap_or(Json::Null);
            let location = response.headers.iter().find(|(name, _)| name == "Location");
            let headers = location.map_or(json!({}), |(name, value)| json!({ name: value }));
            let refused = response.status >= 400 || holds_failure(&body);
            // What failed leads nowhere: references to it find nothing.
            bodies.insert(&part.reference_id, if response.status < 400 { body.clone() } else { Json::Null });
            answers.push((response.status, body, headers));
            if refused && composite.all_or_none {
                failed = Some(n);
                break;
            }
        }
        if let Some(failed) = failed {
            self.org.store_mut().roll_back(savepoint);
            let message = "The transaction was rolled back since another operation in the same transaction failed.";
            let halted = ApiError::bad("PROCESSING_HALTED", message);
            let halted = (400, Json::Array(vec![halted.json()]), json!({}));
            let own = answers[failed].clone();
            answers = (0..parts.len()).map(|n| if n == failed { own.clone() } else { halted.clone() }).collect();
        }
        let list: Vec<Json> = answers
            .into_iter()
            .zip(parts)
            .map(|((status, body, headers), part)| {
                json!({ "body": body, "httpHeaders": headers, "httpStatusCode": status, "referenceId": part.reference_id })
            })
            .collect();
        Ok(Response::value(200, &json!({ "compositeResponse": list })))
    }

    fn part(&self, outer: &Request, part: &Part, bodies: &HashMap<&str, Json>) -> Result<Response> {
        let url = expand(&part.url, bodies, false)?;
        let mut request = Request::new(&part.method.to_ascii_uppercase(), &url.replace(' ', "%20"));
        if let Some(body) = &part.body {
            request.body = expand(body.get(), bodies, true)?.into();
        }
        request.headers.push(("Content-Type".into(), "application/json".into()));
        request.headers.extend(part.http_headers.clone());
        inherit(outer, &mut request);
        self.inner(&request, &format!("/services/data/{}/", self.version))
    }

    /// Routes a request that came within another; composite resources do not nest.
    fn inner(&self, request: &Request, base: &str) -> Result<Response> {
        let rest = request.path.strip_prefix(base).ok_or_else(ApiError::not_found)?;
        let segments = Request::new("GET", rest).segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if matches!(segments[..], ["composite"] | ["composite", "batch"]) {
            return Err(ApiError::bad("INVALID_INPUT", "composite requests cannot be nested"));
        }
        self.route(request, &segments)
    }

    /// `POST /composite/batch`
    pub fn batch(&self, request: &Request) -> Result<Response> {
        let batch: Batch = self.json_body(request)?;
        check_count(batch.batch_requests.len())?;
        let mut results = Vec::new();
        let mut has_errors = false;
        for part in &batch.batch_requests {
            if has_errors && batch.halt_on_error {
                let halted = ApiError::new(412, "BATCH_PROCESSING_HALTED", "Batch processing halted per request");
                results.push(json!({ "statusCode": 412, "result": [halted.json()] }));
                continue;
            }
            let url = part.url.trim_start_matches('/').trim_start_matches("services/data/");
            let mut inner =
                Request::new(&part.method.to_ascii_uppercase(), &format!("/services/data/{}", url.replace(' ', "%20")));
            if let Some(body) = &part.rich_input {
                inner.body = body.get().to_owned().into();
            }
            inner.headers.push(("Content-Type".into(), "application/json".into()));
            inherit(request, &mut inner);
            let base = format!("/services/data/{}/", self.version);
            let response = self.inner(&inner, &base).unwrap_or_else(|error| error.response());
            has_errors |= response.status >= 400;
            let body = serde_json::from_slice::<Json>(&response.body).unwrap_or(Json::Null);
            results.push(json!({ "statusCode": response.status, "result": body }));
        }
        Ok(Response::value(200, &json!({ "hasErrors": has_errors, "results": results })))
    }
}

/// The outer request's options hold for the inner ones.
fn inherit(outer: &Request, inner: &mut Request) {
    for (name, value) in &outer.headers {
        if name.to_ascii_lowercase().starts_with("sforce-") && inner.header(name).is_none() {
            inner.headers.push((name.clone(), value.clone()));
        }
    }
}

/// Whether a collection's answer has a failed item.
fn holds_failure(body: &Json) -> bool {
    body.as_array().is_some_and(|items| items.iter().any(|item| item["success"] == Json::Bool(false)))
}

fn check_count(count: usize) -> Result<()> {
    if count > SUBREQUEST_LIMIT {
        let message = format!("Limit of {SUBREQUEST_LIMIT} subrequests exceeded");
        return Err(ApiError::bad("LIMIT_EXCEEDED", message));
    }
    Ok(())
}

/// Replaces each `@{reference.path}` by what the earlier answer has there.
fn expand(text: &str, bodies: &HashMap<&str, Json>, in_json: bool) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(from) = rest.find("@{") {
        let Some(length) = rest[from..].find('}') else { break };
        let path = &rest[from + 2..from + length];
        let value = resolve(path, bodies).ok_or_else(|| {
            let message = format!("Invalid reference specified. No value for {path} found.");
            ApiError::bad("PROCESSING_HALTED", message)
        })?;
        out.push_str(&rest[..from]);
        if in_json {
            // The reference stands within a JSON string.
            let quoted = Json::String(value).to_string();
            out.push_str(&quoted[1..quoted.len() - 1]);
        } else {
            out.push_str(&value);
        }
        rest = &rest[from + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// `ref.records[0].Id` in the bodies answered so far.
fn resolve(path: &str, bodies: &HashMap<&str, Json>) -> Option<String> {
    let (reference, rest) = path.find(['.', '[']).map_or((path, ""), |at| path.split_at(at));
    let pointer = rest.replace('[', "/").replace(']', "").replace('.', "/");
    match bodies.get(reference)?.pointer(&pointer)? {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_reach_into_earlier_answers() {
        let bodies = HashMap::from([("r", json!({ "id": "a\"b", "records": [{ "Id": "x" }] }))]);
        assert_eq!(expand(r#"{"A":"@{r.id}"}"#, &bodies, true).unwrap(), r#"{"A":"a\"b"}"#);
        assert_eq!(expand("/q/@{r.records[0].Id}/z", &bodies, false).unwrap(), "/q/x/z");
        assert_eq!(expand("@{none.id}", &bodies, false).unwrap_err().code, "PROCESSING_HALTED");
    }
}
