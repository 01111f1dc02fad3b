//! Signing in, by whatever the user mapping holds.
//! <https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_flows.htm>

use std::time::{Duration, SystemTime};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use crate::connector::contract::Token;
use crate::connector::machine::{Job, once, ready};
use crate::connector::oauth::{Assertion, read_token, token_request};
use crate::connector::wire::Effect;
use crate::error::{Error, Kind, Result};
use crate::options::Credentials;

/// Where organisations are: of companies, of the government of the United States, in China, and of old.
/// <https://help.salesforce.com/s/articleView?id=xcloud.domain_name_url_formats.htm>
pub const DOMAINS: &[&str] =
    &["salesforce.com", "force.com", "salesforce.mil", "cloudforce.com", "database.com", "sfcrmproducts.cn"];

const TOKEN_PATH: &str = "/services/oauth2/token";

/// Salesforce refuses assertions that last longer than five minutes.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(180);

/// `login` is where tokens are had, if the server says so.
pub fn sign_in(
    login: Option<&str>,
    credentials: &Credentials,
    refresh: Option<&SecretString>,
    now: SystemTime,
) -> Result<Job<Token>> {
    let has = |name| credentials.get(name).is_some();
    if let Some(token) = credentials.get("token") {
        let token = Token { access: token.clone(), refresh: None, instance: None, lifetime: None };
        return Ok(ready([token]));
    }
    if !["client_id", "client_secret", "private_key", "refresh_token", "username", "password"].into_iter().any(has) {
        return Err(Error::new(Kind::MissingOption, "the user mapping holds nothing to sign in to Salesforce with")
            .hint(
                "It needs client_id and client_secret; or client_id, username and private_key; or client_id and \
                 refresh_token; or a token.",
            ));
    }
    let need = |name, flow| credentials.require(name, flow).map(|secret| secret.expose_secret());
    let given = |name| credentials.get(name).map(|secret| secret.expose_secret());
    let assertion;
    let mut form = Vec::new();
    let mut effect = Effect::None;
    if let Some(private_key) = credentials.get("private_key") {
        let flow = "signing in with a private key";
        assertion = Assertion {
            issuer: need("client_id", flow)?,
            subject: need("username", flow)?,
            audience: &audience(login)?,
            lifetime: ASSERTION_LIFETIME,
        }
        .sign(private_key, now)?;
        form.push(("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"));
        form.push(("assertion", assertion.expose_secret()));
    } else if let Some(configured) = credentials.get("refresh_token") {
        form.push(("grant_type", "refresh_token"));
        form.push(("refresh_token", refresh.unwrap_or(configured).expose_secret()));
        form.push(("client_id", need("client_id", "a refresh token")?));
        // Apps that cannot keep a secret have none.
        form.extend(given("client_secret").map(|secret| ("client_secret", secret)));
        // Where refresh tokens rotate, the first request uses this one up.
        effect = Effect::Once;
    } else if has("username") || has("password") {
        let flow = "signing in with a password";
        form.push(("grant_type", "password"));
        for name in ["client_id", "client_secret", "username", "password"] {
            form.push((name, need(name, flow)?));
        }
    } else {
        let flow = "signing in as an application";
        form.push(("grant_type", "client_credentials"));
        for name in ["client_id", "client_secret"] {
            form.push((name, need(name, flow)?));
        }
    }
    form.extend(given("scope").map(|scope| ("scope", scope)));
    let request = token_request(TOKEN_PATH, &form, effect);
    Ok(once(request, |response| read_token(&response)))
}

/// Whom a signed assertion is for: the host that tokens are had from.
fn audience(login: Option<&str>) -> Result<String> {
    let login = login.ok_or_else(|| {
        Error::new(
            Kind::MissingOption,
            "the server has no option \"base_url\", which signing in with a private key needs",
        )
        .hint("ALTER SERVER … OPTIONS (ADD base_url 'https://….my.salesforce.com');")
    })?;
    let url =
        Url::parse(login).map_err(|_| Error::new(Kind::BadOption, "option \"login_url\" or \"base_url\" is no URL"))?;
    Ok(url.origin().ascii_serialization())
}
