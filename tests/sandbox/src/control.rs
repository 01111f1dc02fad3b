//! The control plane: what `Sandbox` offers as methods, over HTTP under `/_control/` for tests that run the binary.
//! Control requests are neither logged nor struck by faults.

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::http::{Request, Response};
use crate::sandbox::{Format, Shared};

/// What `POST /_control/settings` takes; all of it optional.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    latency_ms: Option<f64>,
    gzip: Option<bool>,
    quota: Option<u64>,
    instance_url: Option<String>,
    records: BTreeMap<String, u32>,
    /// Any of Airtable's switches, by name.
    airtable: Option<serde_json::Map<String, Value>>,
    /// Any of the switches, by name.
    switches: Option<serde_json::Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expiry {
    after: Option<usize>,
    /// Query locators and iterators instead of tokens.
    locators: bool,
    /// Airtable's webhooks instead of tokens.
    webhooks: bool,
}

/// Answers a request for what follows `/_control/`.
pub fn handle(shared: &Shared, path: &str, request: &Request) -> Response {
    match (request.method.as_str(), path.trim_end_matches('/')) {
        ("GET", "requests") => match serde_json::to_string(&shared.log.all()) {
            Ok(text) => Response::json(200, text),
            Err(error) => refuse(500, &error.to_string()),
        },
        ("DELETE", "requests") => {
            shared.log.clear();
            Response::empty(204)
        }
        ("POST", "faults") => match serde_json::from_slice::<Fault>(&request.body) {
            Ok(fault) => {
                shared.faults.add(fault);
                Response::empty(204)
            }
            Err(error) => refuse(400, &error.to_string()),
        },
        ("DELETE", "faults") => {
            shared.faults.clear();
            Response::empty(204)
        }
        ("POST", "settings") => match serde_json::from_slice::<Settings>(&request.body) {
            Ok(settings) => set(shared, settings),
            Err(error) => refuse(400, &error.to_string()),
        },
        ("GET", "settings") => match serde_json::to_string(&shared.salesforce.switches()) {
            Ok(text) => Response::json(200, text),
            Err(error) => refuse(500, &error.to_string()),
        },
        ("POST", "expire") => {
            let body: &[u8] = if request.body.is_empty() { b"{}" } else { &request.body };
            match serde_json::from_slice::<Expiry>(body) {
                Ok(Expiry { locators: true, .. }) => shared.expire_locators(),
                Ok(Expiry { webhooks: true, .. }) => shared.airtable.expire_webhooks(),
                Ok(Expiry { after: Some(n), .. }) => shared.tokens.expire_after(n),
                Ok(_) => shared.tokens.expire(),
                Err(error) => return refuse(400, &error.to_string()),
            }
            Response::empty(204)
        }
        ("GET", "stats") => Response::value(
            200,
            &json!({
                "requests": shared.log.count(),
                "tokens_issued": shared.tokens.issued(),
                "quota_remaining": shared.salesforce.quota(),
                "records": shared.salesforce.counts(),
                "airtable": { "records": shared.airtable.counts(), "traffic": shared.airtable.traffic() },
            }),
        ),
        ("DELETE", "stats") => {
            shared.airtable.clear_traffic();
            Response::empty(204)
        }
        ("GET", "airtable") => match serde_json::to_string(&shared.airtable.switches()) {
            Ok(text) => Response::json(200, text),
            Err(error) => refuse(500, &error.to_string()),
        },
        (_, path) if path.starts_with("airtable/v0/") => {
            let mut inner = request.clone();
            inner.path = path["airtable".len()..].to_owned();
            shared.airtable.inside(&inner)
        }
        ("GET", path) if path.starts_with("dump/") => {
            let json = request.param("format").is_some_and(|f| f == "json");
            let deleted = request.param("deleted").is_some_and(|d| d == "true");
            let (format, mime) =
                if json { (Format::Json, "application/json") } else { (Format::Csv, "text/csv; charset=UTF-8") };
            match shared.dump(&percent_decode_str(&path["dump/".len()..]).decode_utf8_lossy(), deleted, format) {
                Some(text) => Response::new(200, mime, text),
                None => refuse(404, "no such object"),
            }
        }
        _ => refuse(404, "the control plane has no such resource"),
    }
}

fn set(shared: &Shared, settings: Settings) -> Response {
    if let Some(switches) = settings.switches
        && let Err(error) = shared.salesforce.merge_switches(switches)
    {
        return refuse(400, &error);
    }
    if let Some(switches) = settings.airtable
        && let Err(error) = shared.airtable.merge_switches(switches)
    {
        return refuse(400, &error);
    }
    if let Some(ms) = settings.latency_ms {
        shared.set_latency(Duration::from_micros((ms * 1000.0) as u64));
    }
    if let Some(on) = settings.gzip {
        shared.set_gzip(on);
    }
    if let Some(remaining) = settings.quota {
        shared.salesforce.set_quota(remaining);
    }
    if let Some(url) = settings.instance_url {
        shared.salesforce.set_instance_url(&url);
    }
    for (object, n) in settings.records {
        if !shared.set_records(&object, n) {
            return refuse(400, &format!("no such object: {object}"));
        }
    }
    Response::empty(204)
}

fn refuse(status: u16, message: &str) -> Response {
    Response::value(status, &json!({ "error": message }))
}
