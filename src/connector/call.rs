//! A request that a user words: for what an API can do beside reading and writing records.

use bytes::Bytes;
use reqwest::Method;

use super::machine::{Job, once};
use super::wire::{Effect, Request};
use crate::error::{Error, Kind, Result};
use crate::heap;

/// What the API answered, whatever that is: a refusal too.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case. Cookies are left out: they are credentials.
    pub headers: Vec<(String, String)>,
    /// JSON; an answer that is none, as a JSON string; `None` if it is empty.
    pub body: Option<String>,
}

/// Methods that a call may use.
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Sends one request to the API's own host, once.
///
/// Errors: 22P02 for a malformed method or path, 42501 for a path that leads to another host. Whether it stays
/// below `base_url` is checked when it is sent.
pub fn call(method: &str, path: &str, body: Option<Bytes>) -> Result<(Request, Job<Vec<Answer>>)> {
    let method = METHODS.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(method)).ok_or_else(|| {
        Error::new(Kind::Malformed, format!("\"{method}\" is no method of HTTP that can be called"))
            .hint("GET, HEAD, POST, PUT, PATCH or DELETE.")
    })?;
    check_path(path)?;
    let effect = if method.is_safe() { Effect::None } else { Effect::Once };
    let mut request = match body {
        Some(body) => Request::json(method, path, body, effect),
        None => Request { method, effect, ..Request::get(path) },
    };
    (request.any_answer, request.by_user) = (true, true);
    let job = once(request.clone(), |response| {
        let header = |name: &str| response.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()));
        let names = response.headers.keys().map(|name| name.as_str()).filter(|name| !name.contains("cookie"));
        let headers = names.map(|name| (name.to_owned(), header(name).collect::<Vec<_>>().join(", "))).collect();
        // It is copied where it has to be mended, and once more where it is no JSON.
        let _aside = heap::set_aside(response.body.len().saturating_mul(4))?;
        let text = String::from_utf8_lossy(&response.body);
        // Postgres has no place for U+0000, in JSON or elsewhere.
        let text = text.replace('\0', "\u{FFFD}").replace("\\u0000", "\\ufffd");
        let body = match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
            _ if text.is_empty() => None,
            Ok(_) => Some(text),
            Err(_) => Some(serde_json::Value::from(text).to_string()),
        };
        Ok(vec![Answer { status: response.status.as_u16(), headers, body }])
    });
    Ok((request, job))
}

/// A path of the API's host: the access token goes along.
fn check_path(path: &str) -> Result<()> {
    let hint = "Give the path alone, with its query: /services/data/v62.0/limits.";
    if path.contains("://") && !path.starts_with('/') || path.starts_with("//") {
        return Err(Error::new(Kind::Forbidden, "a call may only go to the server's own host").hint(hint));
    }
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#');
    if !path.starts_with('/') || !plain {
        return Err(Error::new(Kind::Malformed, "the path must begin with / and be percent-encoded").hint(hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_stays_on_the_host_and_is_worded_as_it_was_given() {
        for path in ["//evil.example/a", "https://evil.example/a", "http://x/"] {
            assert_eq!(call("GET", path, None).err().unwrap().kind(), Kind::Forbidden, "{path}");
        }
        for path in ["", "a", "@evil.example", "/a b", "/a\\b", "/a#b", "/ä", "/a\n"] {
            assert_eq!(call("GET", path, None).err().unwrap().kind(), Kind::Malformed, "{path:?}");
        }
        assert_eq!(call("CONNECT", "/a", None).err().unwrap().kind(), Kind::Malformed);
        let (request, _) = call("post", "/a?b=c%20d", Some("{}".into())).unwrap();
        assert_eq!((request.method, request.path.as_str(), request.effect), (Method::POST, "/a?b=c%20d", Effect::Once));
        assert_eq!(call("head", "/a", None).unwrap().0.effect, Effect::None);
    }
}
