//! Puts one request on the wire and reads one answer, whole.

use std::io::Read as _;
use std::pin::pin;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};

use super::address::origin;
use super::body::{Incoming, Spoilt};
use super::fault;
use super::meter::Account;
use super::retry::Setback;
use super::room::Receiving;
use crate::connector::wire::{Body, Request, Response};
use crate::error::{Error, Kind, Result};
use crate::options::ServerOptions;

const USER_AGENT: &str = concat!("sequin_fdw/", env!("CARGO_PKG_VERSION"));

/// An idle connection is closed before most servers would close it under a request.
const IDLE: Duration = Duration::from_secs(50);

/// The HTTP client of a session, with its pool of connections.
pub struct Client {
    http: reqwest::Client,
    timeout: Duration,
    connect_timeout: Duration,
}

impl Client {
    pub fn new(server: &ServerOptions) -> Result<Client> {
        let timeout = server.request_timeout;
        // Ends before the whole request does, so that it is clear that nothing was sent.
        let connect_timeout = Duration::from_secs(10).min(timeout.mul_f64(0.9));
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .https_only(!server.allow_insecure)
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(server.max_concurrency as usize)
            .tcp_keepalive(Duration::from_secs(60));
        if let Some(file) = &server.ca_file {
            for certificate in authorities(file)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build().map_err(|error| match &server.ca_file {
            // That it is PEM is known, but not until now what is inside.
            Some(file) => bad_ca_file(file),
            None => {
                let reason = fault::innermost(&error);
                Error::new(Kind::Internal, format!("the HTTP client cannot be set up: {reason}"))
            }
        })?;
        Ok(Client { http, timeout, connect_timeout })
    }

    /// Sends a request once. The token, if any, goes along.
    pub async fn exchange(
        &self,
        request: &Request,
        url: &Url,
        token: Option<&SecretString>,
        account: &Account,
    ) -> Result<Response, Setback> {
        let built = self.build(request, url, token).map_err(Setback::lasting)?;
        let fault = |error| fault::setback(error, url, self.connect_timeout);
        let mut deadline = pin!(tokio::time::sleep(self.timeout));
        let mut answer = tokio::select! {
            answer = self.http.execute(built) => answer.map_err(fault)?,
            () = &mut deadline => return Err(fault::timed_out(self.timeout)),
        };
        let status = answer.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED && status != StatusCode::MULTIPLE_CHOICES {
            return Err(redirected(&answer));
        }
        let mut body = Incoming::new(answer.headers(), answer.content_length()).map_err(unwanted)?;
        let (mut room, mut counted) = (Receiving::default(), 0);
        loop {
            let chunk = tokio::select! {
                chunk = answer.chunk() => chunk.map_err(fault)?,
                () = &mut deadline => return Err(fault::timed_out(self.timeout)),
            };
            let Some(chunk) = chunk else { break };
            // That memory is short here is not the API's fault.
            let before = Instant::now();
            room.wait(body.wants(chunk.len())).await.map_err(unwanted)?;
            let later = deadline.deadline() + before.elapsed();
            deadline.as_mut().reset(later);
            body.add(chunk).map_err(|spoilt| unusable(spoilt, url))?;
            account.count_bytes(body.len() - counted);
            counted = body.len();
        }
        let mut headers = std::mem::take(answer.headers_mut());
        if body.is_packed() {
            // They are not true of what is handed on.
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        let body = body.finish().map_err(|spoilt| unusable(spoilt, url))?;
        account.count_bytes(body.len() - counted);
        Ok(Response { status, headers, body, origin: origin(url), repeated: false, request: None })
    }

    fn build(&self, request: &Request, url: &Url, token: Option<&SecretString>) -> Result<reqwest::Request> {
        let mut built = reqwest::Request::new(request.method.clone(), url.clone());
        let headers = built.headers_mut();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(body) = &request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(body)));
        }
        for (name, value) in &request.headers {
            let value = HeaderValue::from_str(value)
                .map_err(|_| Error::new(Kind::Malformed, format!("the HTTP header {name} cannot hold its value")))?;
            headers.insert(*name, value);
        }
        if let Some(token) = token {
            let bearer = format!("Bearer {}", token.expose_secret());
            let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| {
                Error::new(Kind::Credentials, "the access token has characters that no HTTP header can hold")
                    .hint("Check the user mapping's option token for line breaks.")
            })?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        *built.body_mut() = request.body.as_ref().map(|body| match body {
            Body::Json(json) => json.clone().into(),
            Body::SecretForm(form) => form.expose_secret().to_owned().into(),
        });
        Ok(built)
    }
}

fn content_type(body: &Body) -> &'static str {
    match body {
        Body::Json(_) => "application/json",
        Body::SecretForm(_) => "application/x-www-form-urlencoded",
    }
}

/// No bundle of authorities is near it.
const LARGEST_CA_FILE: u64 = 1 << 20;

/// Reads the certificates of `ca_file`. Only a file is read: a pipe or a device might never end.
fn authorities(file: &str) -> Result<Vec<Certificate>> {
    let read = || {
        let mut pem = Vec::new();
        if std::fs::metadata(file)?.is_file() {
            std::fs::File::open(file)?.take(LARGEST_CA_FILE).read_to_end(&mut pem)?;
        }
        std::io::Result::Ok(pem)
    };
    let certificates = read().ok().and_then(|pem| Certificate::from_pem_bundle(&pem).ok());
    certificates.filter(|certificates| !certificates.is_empty()).ok_or_else(|| bad_ca_file(file))
}

/// One wording for all that may be wrong: it is not for everybody to know which files there are.
fn bad_ca_file(file: &str) -> Error {
    Error::new(Kind::BadOption, format!("option \"ca_file\": no certificates can be read from \"{file}\""))
        .hint("It must be a file with certificates in PEM form that the server may read.")
}

fn redirected(answer: &reqwest::Response) -> Setback {
    let location = answer.headers().get(reqwest::header::LOCATION);
    let target =
        location.and_then(|location| location.to_str().ok()).and_then(|location| answer.url().join(location).ok());
    let mut error = Error::new(Kind::Unreadable, format!("the API redirects (HTTP {})", answer.status().as_u16()))
        .hint("Check base_url and login_url: no redirect is followed.");
    if let Some(target) = target {
        error = error.detail(format!("It names {}.", origin(&target)));
    }
    // Only "see other" is an answer to something done.
    let perhaps_done = answer.status() == StatusCode::SEE_OTHER;
    Setback { perhaps_done, ..Setback::lasting(error) }
}

/// An answer that came, and is not taken in.
fn unwanted(error: Error) -> Setback {
    Setback { perhaps_done: true, ..Setback::lasting(error) }
}

fn unusable(spoilt: Spoilt, url: &Url) -> Setback {
    match spoilt {
        Spoilt::Refused(error) => unwanted(error),
        Spoilt::Broken(error) => fault::unpacking(&error, url),
    }
}
