//! One signed-in client of one server and user mapping: it plays the connectors' machines.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use super::address::Addresses;
use super::buckets::Buckets;
use super::client::Client;
use super::courier::{Courier, Denial};
use super::limiter::Limiter;
use super::meter::Account;
use super::retry::Policy;
use super::room::Reading;
use super::scrub::Scrubber;
use super::token::{Keyring, TokenStore};
use crate::connector::contract::Connector;
use crate::connector::machine::{Job, Step};
use crate::connector::wire::{Effect, Host, Request, Response};
use crate::error::{Error, Kind, Result};
use crate::heap;
use crate::options::{Credentials, ServerOptions};

/// Connection pool, token and limits, kept for as long as a backend uses the server.
pub struct Session {
    courier: Arc<Courier>,
    keyring: Arc<Keyring>,
    scrubber: Arc<Scrubber>,
    max_concurrency: u32,
}

/// Where the results of a job go.
pub trait Sink<T>: Sync {
    /// Waits until one more result is likely to find room.
    fn room(&self) -> impl Future<Output = ()> + Send;
    /// Takes a result, once there is room.
    fn put(&self, result: T) -> impl Future<Output = ()> + Send;
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
        buckets: Buckets,
    ) -> Result<Session> {
        let policy = Policy::new(server.max_retries);
        Session::with_policy(connector, server, credentials, allowed_hosts, store, buckets, policy)
    }

    /// As [`Session::new`], with another patience.
    pub(super) fn with_policy(
        connector: Arc<dyn Connector>,
        server: ServerOptions,
        credentials: Credentials,
        allowed_hosts: Vec<String>,
        store: Arc<dyn TokenStore>,
        buckets: Buckets,
        policy: Policy,
    ) -> Result<Session> {
        let courier = Arc::new(Courier {
            connector,
            addresses: Addresses::new(&server, allowed_hosts)?,
            client: Client::new(&server)?,
            limiter: Limiter::new(server.max_concurrency, buckets, credentials.digest(), policy.patience),
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

    /// Runs a job to its end and hands each result to `sink`.
    pub async fn run<T: Send>(&self, job: Job<T>, account: &Account, sink: &impl Sink<T>) -> Result<()> {
        let played = self.play(job, account, sink).await;
        played.map_err(|error| {
            account.count_error();
            self.scrubber.clean(error)
        })
    }

    async fn play<T: Send>(&self, mut job: Job<T>, account: &Account, sink: &impl Sink<T>) -> Result<()> {
        let mut last = None;
        // The request whose answer is being read.
        let mut asked: Option<String> = None;
        // What it takes to read it, and whether it says what became of a write.
        let (mut weight, mut wrote) = (0, false);
        let mut doubt = false;
        loop {
            let (request, ahead) = match read(&mut job, last.take(), asked.as_deref(), weight, wrote).await? {
                Step::Send(request) => (request, false),
                Step::SendAhead(request) => (request, true),
                Step::Sleep(time) => {
                    // What was answered is known, unless it was sent twice.
                    account.set_doubt(doubt);
                    tokio::time::sleep(time).await;
                    continue;
                }
                Step::Yield(result) => {
                    sink.put(result).await;
                    continue;
                }
                Step::Done => return Ok(()),
            };
            let answer = self.answer(&request, account);
            let response = if ahead && !heap::is_ample(weight) {
                // Two answers at once may be one too many.
                if let Step::Yield(result) = read(&mut job, None, asked.as_deref(), weight, wrote).await? {
                    sink.put(result).await;
                }
                answer.await?
            } else if ahead {
                sink.room().await;
                // The connection of the answer before goes back to where the request looks for one.
                tokio::task::yield_now().await;
                let reading = async {
                    // First the connection gets its turn to send the request.
                    tokio::task::yield_now().await;
                    if let Step::Yield(result) = read(&mut job, None, asked.as_deref(), weight, wrote).await? {
                        sink.put(result).await;
                    }
                    Ok(())
                };
                meanwhile(answer, reading).await?
            } else {
                answer.await?
            };
            doubt = response.repeated || request.in_doubt;
            asked.clone_from(&response.request);
            weight = heap::to_read(&response.body);
            wrote = request.effect != Effect::None;
            last = Some(if request.by_user {
                // Each letter is looked at, and what is struck out is copied.
                let _aside = heap::set_aside(response.body.len().saturating_mul(8))?;
                self.scrubber.clean_response(response)
            } else {
                response
            });
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

/// One step of a connector's machine, which reads the answer to `asked`, once there is memory for that: so many bytes.
async fn read<T>(
    job: &mut Job<T>,
    last: Option<Response>,
    asked: Option<&str>,
    weight: usize,
    wrote: bool,
) -> Result<Step<T>> {
    let named = |error: Error| {
        let error = if wrote { Error::outcome_unknown(&error) } else { error };
        asked.into_iter().fold(error, Error::request)
    };
    let _turn = Reading::begin(weight).await.map_err(named)?;
    // Held while it is read, by code that takes what it needs without asking.
    let _aside = heap::set_aside(weight).map_err(named)?;
    step(job, last, asked)
}

/// One step. Its panic is an error of this job alone.
fn step<T>(job: &mut Job<T>, last: Option<Response>, asked: Option<&str>) -> Result<Step<T>> {
    let step = std::panic::catch_unwind(AssertUnwindSafe(|| job.next(last))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Error::new(Kind::Internal, format!("reading the API's answer failed: {text}")))
    });
    step.map_err(|error| match asked {
        Some(asked) => error.request(asked),
        None => error,
    })
}

/// Waits for an answer while the one before it is read. An error of the reading comes first, and ends both.
async fn meanwhile<T>(answer: impl Future<Output = Result<T>>, reading: impl Future<Output = Result<()>>) -> Result<T> {
    let (mut answer, mut reading) = (pin!(answer), pin!(reading));
    let mut answered = None;
    loop {
        tokio::select! {
            biased;
            result = &mut answer, if answered.is_none() => answered = Some(result),
            read = &mut reading => {
                read?;
                break;
            }
        }
    }
    match answered {
        Some(result) => result,
        None => answer.await,
    }
}
