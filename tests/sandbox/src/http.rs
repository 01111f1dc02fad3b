//! Requests and responses as the simulated APIs see them: plain values, so that an API can also call itself
//! (Salesforce's composite resources do) and can be tested without a socket.

use bytes::Bytes;
use percent_encoding::percent_decode_str;

/// One request, its body already read and decompressed.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// The path alone, still percent-encoded.
    pub path: String,
    /// What follows `?`, still encoded.
    pub query: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// What a fault has this request refused for.
    pub refusal: Option<Refusal>,
}

/// One record of a write that the API is to refuse, and the reason it is to give.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// The record's place in the request.
    pub at: usize,
    pub code: String,
    pub message: String,
    pub fields: Vec<String>,
    /// Of the answer, where the record is the request's only one.
    pub status: u16,
}

impl Request {
    /// A request for `target` (path and query), as an API sends it to itself.
    pub fn new(method: &str, target: &str) -> Request {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Request { method: method.to_owned(), path: path.to_owned(), query, ..Request::default() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Path and query as they stood in the request line.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    pub fn param(&self, name: &str) -> Option<String> {
        let query = self.query.as_deref()?;
        form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    }

    /// The fields of a form body.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The decoded segments of the path; a trailing slash adds none.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|s| !s.is_empty())
            .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
            .collect()
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The body compressed, where it is kept at hand.
    pub packed: Option<Bytes>,
}

impl Response {
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response {
        Response {
            status,
            headers: vec![("Content-Type".into(), content_type.into())],
            body: body.into(),
            packed: None,
        }
    }

    pub fn json(status: u16, body: impl Into<Bytes>) -> Response {
        Response::new(status, "application/json;charset=UTF-8", body)
    }

    pub fn value(status: u16, body: &serde_json::Value) -> Response {
        Response::json(status, body.to_string())
    }

    pub fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Bytes::new(), packed: None }
    }

    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Response {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_decoded_and_a_segment_too() {
        let request = Request::new("GET", "/a%2Fb/c/?q=x%20%2B+y&n=");
        assert_eq!(request.segments(), ["a/b", "c"]);
        assert_eq!(request.param("q").as_deref(), Some("x + y"));
        assert_eq!(request.param("n").as_deref(), Some(""));
        assert_eq!(request.param("absent"), None);
    }
}
