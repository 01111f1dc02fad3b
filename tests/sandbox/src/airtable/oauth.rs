//! `POST /oauth2/v1/token`: refresh tokens, each good for one use (contract, section 1).

use base64::Engine;
use serde_json::json;

use super::{Airtable, SCOPES};
use crate::http::{Request, Response};
use crate::{CLIENT_ID, CLIENT_SECRET};

pub const AIRTABLE_REFRESH_TOKEN: &str = "sandbox-airtable-refresh";

const TOKEN_LIFE: u64 = 3600;
const REFRESH_TOKEN_LIFE: u64 = 60 * 24 * 3600;

impl Airtable {
    pub(super) fn oauth(&self, request: &Request) -> Response {
        let refuse = |status: u16, error: &str| Response::value(status, &json!({ "error": error }));
        let is_form =
            request.header("content-type").is_some_and(|t| t.starts_with("application/x-www-form-urlencoded"));
        if request.method != "POST" || !is_form {
            return refuse(400, "invalid_request");
        }
        let form = request.form();
        let get = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
        // A client with a secret has to show it; one without names itself in the body.
        let known = match request.header("authorization") {
            Some(header) => header.strip_prefix("Basic ") == Some(&basic),
            None => get("client_id") == Some(CLIENT_ID),
        };
        if !known {
            return refuse(401, "invalid_client");
        }
        if get("grant_type") != Some("refresh_token") {
            return refuse(400, "unsupported_grant_type");
        }
        let successor = self.tokens.issue_name("airtable-refresh");
        if !self.tokens.refresh(get("refresh_token").unwrap_or_default(), Some(&successor)) {
            return refuse(400, "invalid_grant");
        }
        let token = self.tokens.issue(|n| format!("oaaSandbox{n:08}.v1.sandbox"));
        let answer = json!({
            "access_token": token,
            "refresh_token": successor,
            "token_type": "Bearer",
            "scope": SCOPES.join(" "),
            "expires_in": TOKEN_LIFE,
            "refresh_expires_in": REFRESH_TOKEN_LIFE,
        });
        Response::value(200, &answer)
    }
}
