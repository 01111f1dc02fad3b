//! Sends a request until it is answered for good.

use std::sync::Arc;
use std::time::SystemTime;

use reqwest::{StatusCode, Url};

use super::address::{Addresses, origin};
use super::client::Client;
use super::key::Key;
use super::limiter::Limiter;
use super::meter::Account;
use super::retry::{Policy, Setback, Tries};
use super::scrub::rewrite;

use crate::connector::answer::retry_after;
use crate::connector::contract::{Connector, Verdict};
use crate::connector::wire::{Effect, Host, Request, Response};
use crate::error::{Error, Kind, Result};

/// Characters of a URL that an error shows.
const SHOWN: usize = 1000;

pub struct Courier {
    pub connector: Arc<dyn Connector>,
    pub addresses: Addresses,
    pub client: Client,
    pub limiter: Limiter,
    pub policy: Policy,
}

/// Why there is no good answer.
#[derive(Debug)]
pub enum Denial {
    /// The access token is not accepted any more.
    Renew(Error),
    Final(Error),
}

/// How one attempt failed.
enum Failure {
    Renew(Error),
    Setback(Setback),
}

impl From<Setback> for Failure {
    fn from(setback: Setback) -> Failure {
        Failure::Setback(setback)
    }
}

impl Courier {
    /// Sends a request, again if need be, until its answer is good or there is no hope of one.
    ///
    /// `doubt` is set once the API may have acted on it without telling.
    pub async fn deliver(
        &self,
        request: &Request,
        key: Option<&Key>,
        account: &Account,
        doubt: &mut bool,
    ) -> Result<Response, Denial> {
        let instance = key.and_then(|key| key.instance.as_ref());
        let url = self.addresses.resolve(request, instance).map_err(Denial::Final)?;
        let mut tries = Tries::new(self.policy);
        loop {
            let failure = match self.attempt(request, &url, key, account).await {
                Ok(response) => {
                    return Ok(Response { repeated: *doubt, ..response });
                }
                Err(failure) => failure,
            };
            let setback = match failure {
                Failure::Renew(error) => {
                    self.tell(request, account, *doubt);
                    return Err(Denial::Renew(error.request(label(request, &url))));
                }
                Failure::Setback(setback) => setback,
            };
            *doubt |= setback.perhaps_done && writes(request);
            self.tell(request, account, *doubt);
            let wait = tries
                .after(setback, request.effect)
                .map_err(|error| Denial::Final(error.request(label(request, &url))))?;
            tokio::time::sleep(wait).await;
            account.count_retry();
        }
    }

    async fn attempt(
        &self,
        request: &Request,
        url: &Url,
        key: Option<&Key>,
        account: &Account,
    ) -> Result<Response, Failure> {
        let rates = if request.host == Host::Api { self.connector.rates(request) } else { Vec::new() };
        let mut turn = self.limiter.turn(&origin(url), &rates, account.polls).await.map_err(Setback::lasting)?;
        account.charge_request().map_err(Setback::lasting)?;
        if !self.tell(request, account, true) {
            return Err(Setback::lasting(Error::new(Kind::Internal, "nobody waits for the answer any more")).into());
        }
        let token = key.map(|key| &key.access);
        let response = self.client.exchange(request, url, token, account).await?;
        let response = Response { request: Some(label(request, url)), ..response };
        if let Some(usage) = self.connector.usage(&response) {
            account.note_usage(usage);
        }
        let verdict = self.connector.classify(&response);
        match &verdict {
            // A user may ask for what needs no credentials.
            Verdict::Good if !request.by_user => turn.vouch(),
            Verdict::Renew(_) => turn.refuse(true),
            Verdict::Fail(_) => turn.refuse(response.status == StatusCode::UNAUTHORIZED),
            Verdict::Good | Verdict::Retry { .. } => {}
        }
        match verdict {
            Verdict::Good => Ok(response),
            Verdict::Renew(error) => Err(Failure::Renew(error)),
            Verdict::Fail(_) if request.any_answer => Ok(response),
            Verdict::Fail(error) => Err(Setback::lasting(error).into()),
            Verdict::Retry { error, after, perhaps_done, throttled } => {
                if throttled {
                    account.count_throttled();
                }
                let after = after.or_else(|| retry_after(&response.headers, SystemTime::now()));
                if let (true, Some(time)) = (throttled, after) {
                    turn.close(time);
                }
                Err(Setback { error, passing: true, perhaps_done, throttled, after }.into())
            }
        }
    }

    /// Keeps the account's word on what is in doubt. A request for a token may use up another one, but leaves no
    /// record in doubt. False if a write is not to be sent any more.
    fn tell(&self, request: &Request, account: &Account, doubt: bool) -> bool {
        !writes(request) || account.set_doubt(doubt)
    }
}

fn writes(request: &Request) -> bool {
    request.effect != Effect::None && request.host == Host::Api
}

/// `METHOD url`, as errors show it. Where a request signs in, or a user worded it, its query stays hidden.
fn label(request: &Request, url: &Url) -> String {
    let mut url = url.clone();
    if request.host == Host::Login || request.any_answer {
        url.set_query(None);
    }
    let url = url.as_str();
    match url.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} {}…", request.method, &url[..end]),
        None => format!("{} {url}", request.method),
    }
}

impl Denial {
    /// The error, when there is no renewing.
    pub fn refused(self) -> Error {
        match self {
            Denial::Renew(error) => rewrite(&error, Kind::Credentials, str::to_owned),
            Denial::Final(error) => error,
        }
    }
}
