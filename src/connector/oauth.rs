//! OAuth 2.0, as far as every API has it in common: the request for a token, the answer, the refusal.
//!
//! Nothing here prints an answer: it may hold a token. <https://www.rfc-editor.org/rfc/rfc6749>

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::{self, one_line, seconds};
use super::contract::Token;
use super::wire::{Body, Effect, Host, Request, Response, query};
use crate::error::{Error, Kind, Result};

/// A request for a token. It has an [`Effect`] where it uses up a refresh token.
pub fn token_request(path: &str, form: &[(&str, &str)], effect: Effect) -> Request {
    Request {
        method: Method::POST,
        host: Host::Login,
        path: path.to_owned(),
        headers: Vec::new(),
        body: Some(Body::SecretForm(query(form.iter().copied()).into())),
        authorized: false,
        effect,
        any_answer: false,
        by_user: false,
        in_doubt: false,
    }
}

/// Has the request say who asks by HTTP's own means, instead of in its form.
pub fn with_basic(request: Request, client: &str, secret: &SecretString) -> Request {
    let pair = SecretString::from(format!("{client}:{}", secret.expose_secret()));
    let header = format!("Basic {}", STANDARD.encode(pair.expose_secret()));
    Request { headers: vec![("Authorization", header)], ..request }
}

/// Servers take no longer headers.
const LONGEST_TOKEN: usize = 64 << 10;

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: Option<String>,
    instance_url: Option<String>,
    /// A number, or its text.
    expires_in: Option<Box<RawValue>>,
}

/// No token is asked for again sooner, whatever the API says of its life: Salesforce locks a user out who signs in more
/// than 3,600 times in an hour.
const SHORTEST_LIFE: Duration = Duration::from_secs(30);

/// Nor is one kept for longer.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why an API refused to grant one, with its own name and what is to be done.
pub fn refused(title: &str, status: u16, refusal: &Refusal, hint: &str) -> Error {
    let words = refusal.error_description.as_deref().unwrap_or(&refusal.error);
    Error::new(Kind::Credentials, format!("{title} refused to sign in: {}", one_line(words)))
        .detail(format!("{title} answered {status} {}", one_line(&refusal.error)))
        .hint(hint)
}

/// Reads the answer to a request for a token.
pub fn read_token(response: &Response) -> Result<Token> {
    let unreadable = |what: &str| {
        Error::new(Kind::Unreadable, format!("the answer to signing in {what}"))
            .hint("Check that login_url and base_url lead to the API, and not to a login page.")
    };
    let granted: Granted = serde_json::from_slice(&response.body).map_err(|_| unreadable("holds no access token"))?;
    if granted.access_token.is_empty() {
        return Err(unreadable("holds an empty access token"));
    }
    if granted.access_token.len().max(granted.refresh_token.as_ref().map_or(0, String::len)) > LONGEST_TOKEN {
        return Err(unreadable("holds a token that no header would take"));
    }
    let instance = match granted.instance_url {
        Some(url) => Some(Url::parse(&url).map_err(|_| unreadable("names an instance that is no URL"))?),
        None => None,
    };
    let lifetime = granted.expires_in.and_then(|life| seconds(life.get().trim_matches('"')));
    Ok(Token {
        access: granted.access_token.into(),
        refresh: granted.refresh_token.map(SecretString::from),
        instance,
        lifetime: lifetime.map(|life| life.clamp(SHORTEST_LIFE, LONGEST_LIFE)),
    })
}

/// Why no token was granted.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Refusal {
    pub error: String,
    pub error_description: Option<String>,
}

/// The refusal that an answer holds, if it is one.
pub fn read_refusal(response: &Response) -> Option<Refusal> {
    answer::refusal(response)
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: u64,
}

/// Who asks for a token by a signed assertion, and for whom.
pub struct Assertion<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
    pub audience: &'a str,
    pub lifetime: Duration,
}

impl Assertion<'_> {
    /// Signs with RS256. <https://www.rfc-editor.org/rfc/rfc7523>
    ///
    /// Errors: HV00D if the key is no RSA key in PEM form.
    pub fn sign(&self, private_key: &SecretString, now: SystemTime) -> Result<SecretString> {
        let bad_key = || {
            Error::new(Kind::BadOption, "option \"private_key\" of the user mapping is no RSA private key in PEM form")
                .hint("It starts with a line like -----BEGIN PRIVATE KEY----- and must not be encrypted.")
        };
        // A key that was pasted as one line has its line ends written out.
        let pem: SecretString = private_key.expose_secret().replace("\\n", "\n").into();
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes()).map_err(|_| bad_key())?;
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let claims = Claims {
            iss: self.issuer,
            sub: self.subject,
            aud: self.audience,
            exp: (since_epoch + self.lifetime).as_secs(),
        };
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
        jsonwebtoken::encode(&header, &claims, &key).map(SecretString::from).map_err(|_| bad_key())
    }
}
