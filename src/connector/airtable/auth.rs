//! Signing in: a personal access token, or one that somebody else had by OAuth.
//! <https://airtable.com/developers/web/api/authentication>

use reqwest::Url;

use crate::connector::contract::Token;
use crate::connector::machine::{Job, ready};
use crate::error::Result;
use crate::options::Credentials;

/// Where the API is, unless `base_url` says otherwise.
const API: &str = "https://api.airtable.com";

pub fn sign_in(credentials: &Credentials) -> Result<Job<Token>> {
    let access = credentials.require("token", "signing in to Airtable")?.clone();
    Ok(ready([Token { access, refresh: None, instance: Url::parse(API).ok(), lifetime: None }]))
}
