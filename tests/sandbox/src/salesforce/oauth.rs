//! `/services/oauth2/`: the token endpoint with its four grants, and revocation (contract, section 2). Errors are
//! objects here, not arrays.

use std::io;

use base64::Engine;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::json;

use super::Salesforce;
use crate::http::{Request, Response};
use crate::time;

pub const CLIENT_ID: &str = "sandbox-client";
pub const CLIENT_SECRET: &str = "sandbox-secret";
pub const REFRESH_TOKEN: &str = "sandbox-refresh";
pub const USERNAME: &str = "ada@example.com";
pub const PASSWORD: &str = "sandbox-password";
/// Appended to the password in the password grant.
pub const SECURITY_TOKEN: &str = "TOKEN";

/// An assertion may not be good for longer than this.
const ASSERTION_LIFE: i64 = 5 * 60;

/// What the token endpoint accepts.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub client_id: String,
    pub client_secret: String,
    pub refresh_token: String,
    pub username: String,
    pub password: String,
    pub security_token: String,
    /// The RSA public key (PEM) that JWT assertions are verified with; without it the grant is refused.
    pub public_key: Option<String>,
    /// Further audiences beside the two login hosts and the sandbox itself.
    pub audiences: Vec<String>,
    /// Whether the app may use the client credentials grant.
    pub client_credentials_user: bool,
}

impl Default for Credentials {
    fn default() -> Credentials {
        Credentials {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            refresh_token: REFRESH_TOKEN.to_owned(),
            username: USERNAME.to_owned(),
            password: PASSWORD.to_owned(),
            security_token: SECURITY_TOKEN.to_owned(),
            public_key: None,
            audiences: Vec::new(),
            client_credentials_user: true,
        }
    }
}

impl Credentials {
    pub(super) fn verification_key(&self) -> io::Result<Option<DecodingKey>> {
        let key = self.public_key.as_deref().map(|pem| DecodingKey::from_rsa_pem(pem.as_bytes()));
        key.transpose().map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
}

type Refusal = (&'static str, &'static str);

const BAD_CLIENT_ID: Refusal = ("invalid_client_id", "client identifier invalid");
const BAD_CLIENT: Refusal = ("invalid_client", "invalid client credentials");
const BAD_GRANT: Refusal = ("invalid_grant", "authentication failure");

impl Salesforce {
    pub(super) fn oauth(&self, request: &Request, resource: &str) -> Response {
        if request.method != "POST" {
            return refuse(("invalid_request", "must use HTTP POST"));
        }
        let form = request.form();
        let get = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        match resource {
            "token" => {
                let is_form =
                    request.header("content-type").is_some_and(|t| t.starts_with("application/x-www-form-urlencoded"));
                if !is_form {
                    return refuse(("unsupported_grant_type", "grant type not supported"));
                }
                self.grant(request, get).unwrap_or_else(refuse)
            }
            "revoke" => match get("token").filter(|token| self.tokens.revoke(token)) {
                Some(_) => Response::empty(200),
                None => refuse(("unsupported_token_type", "this token type is not supported")),
            },
            _ => Response::new(404, "text/html", "<html><body>URL No Longer Exists</body></html>"),
        }
    }

    fn grant<'a>(&self, request: &Request, get: impl Fn(&str) -> Option<&'a str>) -> Result<Response, Refusal> {
        let it = &self.credentials;
        match get("grant_type") {
            Some("client_credentials") => {
                self.client(request, &get)?;
                if !it.client_credentials_user {
                    return Err(("invalid_grant", "no client credentials user enabled"));
                }
                Ok(self.token(None))
            }
            Some("refresh_token") => {
                self.client(request, &get)?;
                let token = get("refresh_token").unwrap_or_default();
                let successor = self.switches().rotate_refresh_tokens.then(|| self.tokens.issue_name("refresh"));
                if !self.tokens.refresh(token, successor.as_deref()) {
                    return Err(("invalid_grant", "expired access/refresh token"));
                }
                Ok(self.token(successor))
            }
            Some("password") => {
                self.client(request, &get)?;
                let password = format!("{}{}", it.password, it.security_token);
                if get("username") != Some(&it.username) || get("password") != Some(&password) {
                    return Err(BAD_GRANT);
                }
                Ok(self.token(None))
            }
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                self.assertion(get("assertion").unwrap_or_default())?;
                Ok(self.token(None))
            }
            _ => Err(("unsupported_grant_type", "grant type not supported")),
        }
    }

    /// The client by form fields or HTTP Basic.
    fn client<'a>(&self, request: &Request, get: &impl Fn(&str) -> Option<&'a str>) -> Result<(), Refusal> {
        let basic = request.header("authorization").and_then(|v| v.strip_prefix("Basic ")).map(|encoded| {
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).unwrap_or_default();
            let text = String::from_utf8_lossy(&decoded).into_owned();
            text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned())).unwrap_or_default()
        });
        let form = || Some((get("client_id")?.to_owned(), get("client_secret").unwrap_or_default().to_owned()));
        let (id, secret) = basic.or_else(form).ok_or(BAD_CLIENT_ID)?;
        if id != self.credentials.client_id {
            return Err(BAD_CLIENT_ID);
        }
        if secret != self.credentials.client_secret {
            return Err(BAD_CLIENT);
        }
        Ok(())
    }

    fn assertion(&self, assertion: &str) -> Result<(), Refusal> {
        const INVALID: Refusal = ("invalid_grant", "invalid assertion");
        let key = self.verification_key.as_ref().ok_or(("invalid_grant", "user hasn't approved this consumer"))?;
        let mut validation = Validation::new(Algorithm::RS256);
        // The clock and the audience are checked below, where the error texts are known.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
        let claims = jsonwebtoken::decode::<Claims>(assertion, key, &validation).map_err(|_| INVALID)?.claims;
        if claims.iss != self.credentials.client_id {
            return Err(BAD_CLIENT_ID);
        }
        let hosts = ["https://login.salesforce.com", "https://test.salesforce.com", &self.url];
        if !hosts.contains(&claims.aud.as_str()) && !self.credentials.audiences.contains(&claims.aud) {
            return Err(("invalid_grant", "audience is invalid"));
        }
        let now = time::now() / 1000;
        if claims.exp <= now || claims.exp > now + ASSERTION_LIFE {
            return Err(("invalid_grant", "expired authorization code"));
        }
        if claims.sub != self.credentials.username {
            return Err(("invalid_grant", "user hasn't approved this consumer"));
        }
        Ok(())
    }

    fn token(&self, refresh_token: Option<String>) -> Response {
        // The exclamation mark is what real tokens have and careless clients encode.
        let token = self.tokens.issue(|n| {
            format!("00Dxx0000001gER!AQ4AQ{:08x}.{n:06}_Sandbox", self.seed.wrapping_mul(0x9e37_79b9) as u32)
        });
        let mut json = json!({
            "access_token": token,
            "scope": "api refresh_token",
            "instance_url": self.instance_url(),
            "id": format!("{}/id/00Dxx0000001gEREAY/005xx000001SwCYAA0", self.url),
            "token_type": "Bearer",
            "issued_at": time::now().to_string(),
            "signature": base64::engine::general_purpose::STANDARD.encode(token.as_bytes()),
        });
        if let Some(refresh_token) = refresh_token {
            json["refresh_token"] = json!(refresh_token);
        }
        Response::value(200, &json)
    }
}

fn refuse((error, description): Refusal) -> Response {
    Response::value(400, &json!({ "error": error, "error_description": description }))
}
