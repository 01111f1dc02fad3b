//! Requests and answers, as connectors see them.

use bytes::Bytes;
use reqwest::{Method, StatusCode, header::HeaderMap};

use secrecy::SecretString;

/// Which host a path belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// `base_url`, or what the token answer named.
    Api,
    /// `login_url`, else `base_url`.
    Login,
}

/// A request that a connector wants sent.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub host: Host,
    /// Starts with `/`, percent-encoded, query included: see [`query`] and [`segment`].
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Body>,
    /// Whether the access token goes along. Token requests themselves go without.
    pub authorized: bool,
    pub effect: Effect,
    /// Whether a refusal is an answer too, for whoever sent it to read.
    pub any_answer: bool,
    /// Whether a user worded it. Its path is not to be trusted, and its answer goes to that user.
    pub by_user: bool,
    /// Whether what it asks for may be done already: the same was sent before, and its answer made no sense.
    pub in_doubt: bool,
}

/// What a request does at the API, and so whether it may be sent again after its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads.
    None,
    /// It writes, and sending it twice does what sending it once does.
    Repeatable,
    /// It writes, and must not be done twice.
    Once,
}

/// What a request carries.
#[derive(Clone)]
pub enum Body {
    Json(Bytes),
    /// A form of credentials: never logged, never shown.
    SecretForm(SecretString),
}

impl Request {
    /// A read from the API.
    pub fn get(path: impl Into<String>) -> Self {
        Request {
            method: Method::GET,
            host: Host::Api,
            path: path.into(),
            headers: Vec::new(),
            body: None,
            authorized: true,
            effect: Effect::None,
            any_answer: false,
            by_user: false,
            in_doubt: false,
        }
    }

    /// A request that carries JSON.
    pub fn json(method: Method, path: impl Into<String>, body: impl Into<Bytes>, effect: Effect) -> Self {
        Request { method, body: Some(Body::Json(body.into())), effect, ..Request::get(path) }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Scheme, host and port that it came from, like `https://acme.my.salesforce.com`.
    pub origin: String,
    /// Whether the same request was sent before, and the API may have acted on it then.
    pub repeated: bool,
    /// `METHOD url` of the request, as errors show it.
    pub request: Option<String>,
}

/// Percent-encodes pairs as a query string, without the `?`.
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    pairs.into_iter().map(|(name, value)| format!("{}={}", segment(name), segment(value))).collect::<Vec<_>>().join("&")
}

/// Percent-encodes a path segment or a query value.
pub fn segment(text: &str) -> String {
    const KEEP: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEEP).to_string()
}
