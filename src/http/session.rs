//! One signed-in client of one server and user mapping: it plays the connectors' machines.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::address::Addresses;
use super::client::Client;
use super::courier::{Courier, Denial};
use super::limiter::Limiter;
use super::meter::Account;
use super::retry::Policy;
use super::scrub::Scrubber;
use super::token::{Keyring, TokenStore};
use crate::connector::contract::Connector;
use crate::connector::machine::{Job, Step};
use crate::connector::wire::{Host, Request, Response};
use crate::error::{Error, Kind, Result};
use crate::options::{Credentials, ServerOptions};

/// Connection pool, token and limits, kept for as long as a backend uses the server.
pub struct Session {
    courier: Arc<Courier>,
    keyring: Arc<Keyring>,
    scrubber: Arc<Scrubber>,
    max_concurrency: u32,
}

impl Session {
    /// Asks nothing yet.
    ///
    /// `allowed_hosts`: lower-case host names, exact or `*.example.com`; empty is any.
    pub fn new(
        connector: Arc<dyn Connector>,
        server: ServerOptions,
        credentials: Credentials,
        allowed_hosts: Vec<String>,
        store: Arc<dyn TokenStore>,
    ) -> Result<Session> {
        let policy = Policy::new(server.max_retries);
        Session::with_policy(connector, server, credentials, allowed_hosts, store, policy)
    }

    /// As [`Session::new`], with another patience.
    pub(super) fn with_policy(
        connector: Arc<dyn Connector>,
        server: ServerOptions,
        credentials: Credentials,
        allowed_hosts: Vec<String>,
        store: Arc<dyn TokenStore>,
        policy: Policy,
    ) -> Result<Session> {
        let courier = Arc::new(Courier {
            connector,
            addresses: Addresses::new(&server, allowed_hosts)?,
            client: Client::new(&server)?,
            limiter: Limiter::new(server.max_concurrency, server.requests_per_second),
            policy,
        });
        let scrubber = Arc::new(Scrubber::new(&credentials));
        let keyring = Keyring::new(courier.clone(), credentials, store, scrubber.clone());
        Ok(Session { courier, keyring: Arc::new(keyring), scrubber, max_concurrency: server.max_concurrency })
    }

    /// Requests that may be under way at once.
    pub fn max_concurrency(&self) -> usize {
        self.max_concurrency.max(1) as usize
    }

    /// Runs a job to its end and hands each result to `sink`, which takes its time to ask for less.
    ///
    /// An error of the sink ends the job and comes back as it is.
    pub async fn run<T, F>(&self, job: Job<T>, account: &Account, sink: impl FnMut(T) -> F + Send) -> Result<()>
    where
        T: Send,
        F: Future<Output = Result<()>> + Send,
    {
        let played = self.play(job, account, sink).await;
        played.map_err(|error| {
            account.count_error();
            self.scrubber.clean(error)
        })
    }

    async fn play<T, F>(&self, mut job: Job<T>, account: &Account, mut sink: impl FnMut(T) -> F + Send) -> Result<()>
    where
        T: Send,
        F: Future<Output = Result<()>> + Send,
    {
        let mut last = None;
        let mut asked = None;
        let mut doubt = false;
        loop {
            let step = step(&mut job, last.take()).map_err(|error| match asked.take() {
                Some(label) => error.request(label),
                None => error,
            })?;
            match step {
                Step::Send(request) => {
                    let response = self.answer(&request, account).await?;
                    doubt = response.repeated || request.in_doubt;
                    asked.clone_from(&response.request);
                    last = Some(response);
                }
                Step::Sleep(time) => {
                    // What was answered is known, unless it was sent twice.
                    account.set_doubt(doubt);
                    tokio::time::sleep(time).await;
                }
                Step::Yield(result) => sink(result).await?,
                Step::Done => return Ok(()),
            }
        }
    }

    /// Sends a request; once more with a new token, if the first one is worn out.
    async fn answer(&self, request: &Request, account: &Account) -> Result<Response> {
        let mut doubt = request.in_doubt;
        account.set_doubt(doubt);
        if !request.authorized {
            return self.courier.deliver(request, None, account, &mut doubt).await.map_err(Denial::refused);
        }
        if request.host != Host::Api {
            return Err(Error::new(Kind::Internal, "the access token is for the API's host only"));
        }
        let answer = self.authorized(request, account, &mut doubt).await;
        // However often it was sent again: once in doubt, only an answer ends it.
        answer.map_err(|error| if doubt { Error::outcome_unknown(&error) } else { error })
    }

    async fn authorized(&self, request: &Request, account: &Account, doubt: &mut bool) -> Result<Response> {
        let mut key = self.keyring.key(None, account).await?;
        let mut renewed = false;
        loop {
            match self.courier.deliver(request, Some(&key), account, doubt).await {
                Ok(response) => return Ok(response),
                Err(Denial::Renew(_)) if !renewed && !key.fixed => {
                    key = self.keyring.key(Some(&key), account).await?;
                    renewed = true;
                    account.count_retry();
                }
                Err(denial) => return Err(denial.refused()),
            }
        }
    }
}

/// One step of a connector's machine. Its panic is an error of this job alone.
fn step<T>(job: &mut Job<T>, last: Option<Response>) -> Result<Step<T>> {
    std::panic::catch_unwind(AssertUnwindSafe(|| job.next(last))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Error::new(Kind::Internal, format!("reading the API's answer failed: {text}")))
    })
}
