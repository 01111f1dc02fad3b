//! Signing in: a personal access token, or OAuth's refresh tokens, each good for one use.
//! <https://airtable.com/developers/web/api/oauth-reference>

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use crate::connector::contract::Token;
use crate::connector::machine::{Job, once, ready};
use crate::connector::oauth::{read_token, token_request, with_basic};
use crate::connector::wire::Effect;
use crate::error::Result;
use crate::options::Credentials;

/// Where the API is, unless `base_url` says otherwise.
const API: &str = "https://api.airtable.com";

pub const DOMAINS: &[&str] = &["airtable.com"];

pub const TOKEN_PATH: &str = "/oauth2/v1/token";

/// `refresh` is the newest refresh token, if the configured one was replaced.
pub fn sign_in(credentials: &Credentials, refresh: Option<&SecretString>) -> Result<Job<Token>> {
    let instance = Url::parse(API).ok();
    let Some(configured) = credentials.get("refresh_token").filter(|_| credentials.get("token").is_none()) else {
        let access = credentials.require("token", "signing in to Airtable")?.clone();
        return Ok(ready([Token { access, refresh: None, instance, lifetime: None }]));
    };
    let client = credentials.require("client_id", "a refresh token")?.expose_secret();
    let mut form =
        vec![("grant_type", "refresh_token"), ("refresh_token", refresh.unwrap_or(configured).expose_secret())];
    let secret = credentials.get("client_secret");
    if secret.is_none() {
        form.push(("client_id", client));
    }
    let request = token_request(TOKEN_PATH, &form, Effect::Once);
    let request = match secret {
        Some(secret) => with_basic(request, client, secret),
        None => request,
    };
    Ok(once(request, move |response| Ok(Token { instance, ..read_token(&response)? })))
}
