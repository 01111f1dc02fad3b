//! Faults: everything that can go wrong between a client and an API, told to the sandbox in advance.
//!
//! A fault names the requests it strikes, how many of them it lets pass first and how often it strikes. What
//! matters for writes is whether the request's work was done, so each action says so.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::http::Request;

/// What is to go wrong, and for which requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only requests with this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only requests whose raw path and query contain this text; empty means any.
    #[serde(default)]
    pub path_contains: String,
    /// Only requests whose decoded query text (SOQL for Salesforce, the formula for Airtable) contains this text.
    #[serde(default)]
    pub soql_contains: Option<String>,
    /// The first n matching requests pass.
    #[serde(default)]
    pub skip: usize,
    /// Strikes so often, then never again; without it, always.
    #[serde(default)]
    pub times: Option<usize>,
    pub action: Action,
}

/// How it goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// This answer instead; the work is not done.
    Status {
        code: u16,
        #[serde(default)]
        body: String,
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// This answer, although the work is done.
    StatusAfter {
        code: u16,
        #[serde(default)]
        body: String,
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// The normal answer, so many milliseconds later.
    Delay(u64),
    /// The connection is closed before any work.
    DropBefore,
    /// The work is done, then the connection is closed without an answer.
    DropAfter,
    /// The work is done; head with the full Content-Length, half of the body, close.
    TruncateBody,
    /// The same with a chunked body whose last chunk never comes.
    TruncateChunked,
    /// The work is done; half of the body with a Content-Length that fits: a valid message of broken content.
    TruncateBodyCleanly,
    /// The work is done; 200 with a body that is no JSON.
    Garbage,
    /// The work is done; 200 with Content-Length 0.
    EmptyBody,
    /// The work is done; 200 with this body.
    Body(String),
    /// The work is done; 200 with a body of any size: `start`, so many times `fill`, `end`. `gzip` says how often it is
    /// compressed. It is sent piece by piece and takes no memory here.
    Long {
        #[serde(default)]
        start: String,
        fill: String,
        times: usize,
        #[serde(default)]
        end: String,
        #[serde(default)]
        gzip: u8,
    },
    /// The work is done; 200 with a chunked body that repeats this text until the client closes.
    Endless(String),
    /// The work is done; the normal body under a Content-Length of so many bytes, then close.
    ClaimLength(u64),
    /// A gateway's HTML page with this status; the work is not done.
    Html(u16),
    /// The normal page, its link to the next page replaced by this URL or path.
    NextLink(String),
    /// One record of a write fails for this reason, as if the API had found it; the others are written or undone as the
    /// request wants it. A request that writes a single record is answered `status` and not done, whatever `at`. Any
    /// other request, or one with fewer records, is answered as ever.
    RefuseRecord {
        at: usize,
        code: String,
        message: String,
        #[serde(default)]
        fields: Vec<String>,
        #[serde(default = "bad_request")]
        status: u16,
    },
    /// No answer until the client closes; the work is not done.
    Hang,
    /// The normal answer: the head at once, then one byte every n milliseconds.
    SlowBody(u64),
}

fn bad_request() -> u16 {
    400
}

impl Fault {
    /// A fault that strikes every request; narrow it with the methods below.
    pub fn new(action: Action) -> Fault {
        Fault { method: None, path_contains: String::new(), soql_contains: None, skip: 0, times: None, action }
    }

    /// A fault that answers `code` with `body` and does no work.
    pub fn status(code: u16, body: impl Into<String>) -> Fault {
        Fault::new(Action::Status { code, body: body.into(), headers: Vec::new() })
    }

    pub fn method(mut self, method: &str) -> Fault {
        self.method = Some(method.to_owned());
        self
    }

    pub fn path(mut self, text: &str) -> Fault {
        self.path_contains = text.to_owned();
        self
    }

    pub fn soql(mut self, text: &str) -> Fault {
        self.soql_contains = Some(text.to_owned());
        self
    }

    pub fn skip(mut self, n: usize) -> Fault {
        self.skip = n;
        self
    }

    pub fn times(mut self, n: usize) -> Fault {
        self.times = Some(n);
        self
    }

    fn matches(&self, request: &Request, query_text: Option<&str>) -> bool {
        self.method.as_ref().is_none_or(|m| m.eq_ignore_ascii_case(&request.method))
            && (self.path_contains.is_empty() || request.target().contains(&self.path_contains))
            && self.soql_contains.as_ref().is_none_or(|t| query_text.is_some_and(|q| q.contains(t.as_str())))
    }
}

/// The faults in force. The first that matches and is neither skipping nor spent strikes.
#[derive(Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub fn add(&self, fault: Fault) {
        crate::lock(&self.0).push(fault);
    }

    pub fn clear(&self) {
        crate::lock(&self.0).clear();
    }

    /// What is to happen to this request, if anything.
    pub fn strike(&self, request: &Request, query_text: Option<&str>) -> Option<Action> {
        for fault in crate::lock(&self.0).iter_mut() {
            if fault.times == Some(0) || !fault.matches(request, query_text) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            return Some(fault.action.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_skips_then_strikes_so_often_and_is_spent() {
        let faults = Faults::default();
        faults.add(Fault::new(Action::Garbage).method("GET").path("/query").skip(1).times(2));
        let hit = |path: &str| faults.strike(&Request::new("GET", path), None);
        assert_eq!(hit("/query?q=1"), None);
        assert_eq!(hit("/other"), None);
        assert_eq!(hit("/query?q=1"), Some(Action::Garbage));
        assert_eq!(hit("/query?q=1"), Some(Action::Garbage));
        assert_eq!(hit("/query?q=1"), None);
    }

    #[test]
    fn a_fault_reads_from_json_as_a_test_would_write_it() {
        let fault: Fault =
            serde_json::from_str(r#"{"path_contains":"/query","times":1,"action":{"status":{"code":503}}}"#).unwrap();
        assert_eq!(fault.action, Action::Status { code: 503, body: String::new(), headers: Vec::new() });
        let fault: Fault = serde_json::from_str(r#"{"action":"drop_after"}"#).unwrap();
        assert_eq!(fault.action, Action::DropAfter);
        let fault: Fault =
            serde_json::from_str(r#"{"action":{"refuse_record":{"at":3,"code":"C","message":"m"}}}"#).unwrap();
        let (code, message, fields) = ("C".to_owned(), "m".to_owned(), Vec::new());
        assert_eq!(fault.action, Action::RefuseRecord { at: 3, code, message, fields, status: 400 });
        assert!(serde_json::from_str::<Fault>(r#"{"action":"explode"}"#).is_err());
    }
}
