//! The access token of a session: had once, shared by all its requests, renewed once when it wears out.
//!
//! Where an API replaces the refresh token each time it is used, losing the new one means losing the
//! access. Therefore such a sign-in, once begun, runs to its end even if the statement that wanted it is
//! cancelled, and a new refresh token goes to the [`TokenStore`] before anything else is done with it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, oneshot};

use super::courier::{Courier, Denial};
use super::key::Key;
use super::meter::Account;
use super::scrub::Scrubber;
use crate::connector::contract::Token;
use crate::connector::machine::Step;
use crate::error::{Error, Kind, Result};
use crate::options::Credentials;

/// How much longer a sign-in may take when the statement that wanted it is gone: an answer on its way arrives,
/// and one that never comes does not keep the next statement waiting.
const GRACE: Duration = Duration::from_secs(10);

/// How long to wait for another backend's sign-in.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps a refresh token that the API gave in place of the configured one beyond this backend.
///
/// Calls are plain and short. What is kept belongs to the configured credentials: when they change,
/// the store must come up empty.
pub trait TokenStore: Send + Sync {
    fn load(&self) -> Option<SecretString>;
    fn save(&self, token: &SecretString) -> Result<()>;

    /// Keeps other backends from using the token while the guard lives: each is good for one use. `None` if
    /// another has it now. An error if the store could not keep a new token either.
    fn try_lock(&self) -> Result<Option<Box<dyn Send>>>;
}

/// Keeps nothing.
impl TokenStore for () {
    fn load(&self) -> Option<SecretString> {
        None
    }

    fn save(&self, _token: &SecretString) -> Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> Result<Option<Box<dyn Send>>> {
        Ok(Some(Box::new(())))
    }
}

/// The keys of a session, one after the other.
pub struct Keyring {
    courier: Arc<Courier>,
    credentials: Credentials,
    store: Arc<dyn TokenStore>,
    scrubber: Arc<Scrubber>,
    /// Locked while somebody signs in: the others wait for the outcome.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    key: Option<Arc<Key>>,
    signed_in: u64,
    /// The refresh token that replaced the configured one.
    refresh: Option<SecretString>,
    /// Whether the store does not have it yet.
    unsaved: bool,
    /// When signing in last failed, and how.
    failure: Option<(Instant, Error)>,
}

impl Keyring {
    pub fn new(
        courier: Arc<Courier>,
        credentials: Credentials,
        store: Arc<dyn TokenStore>,
        scrubber: Arc<Scrubber>,
    ) -> Keyring {
        Keyring { courier, credentials, store, scrubber, state: Mutex::default() }
    }

    /// A key that is not `stale`: the one at hand, or a new one.
    pub async fn key(self: &Arc<Self>, stale: Option<&Key>, account: &Account) -> Result<Arc<Key>> {
        let stale = stale.map(|key| key.number);
        let asked = Instant::now();
        if let Some(answer) = self.at_hand(&mut *self.state.lock().await, stale, asked) {
            return answer;
        }
        let (ring, account) = (self.clone(), account.clone());
        let sign_in = async move {
            let mut state = ring.state.lock().await;
            if let Some(answer) = ring.at_hand(&mut state, stale, asked) {
                return answer;
            }
            let answer = ring.sign_in(&mut state, &account).await;
            state.failure = answer.as_ref().err().map(|error| (Instant::now(), error.clone()));
            answer
        };
        if self.credentials.get("refresh_token").is_none() {
            return sign_in.await;
        }
        // A task of its own, so that it outlives whoever waits for it.
        let (waiting, abandoned) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            tokio::select! {
                answer = sign_in => answer,
                () = async { let _ = abandoned.await; tokio::time::sleep(GRACE).await; } => {
                    Err(Error::new(Kind::Dropped, "signing in took too long and nobody waited for it"))
                }
            }
        });
        let answer = task.await;
        drop(waiting);
        answer.unwrap_or_else(|_| Err(Error::new(Kind::Internal, "signing in ended without a token or an error")))
    }

    /// The answer, if nobody has to be asked.
    fn at_hand(&self, state: &mut State, stale: Option<u64>, asked: Instant) -> Option<Result<Arc<Key>>> {
        if state.unsaved
            && let Some(refresh) = state.refresh.clone()
            && let Err(error) = self.save(state, &refresh)
        {
            return Some(Err(error));
        }
        if let Some(key) = &state.key
            && Some(key.number) != stale
            && key.is_fresh()
        {
            return Some(Ok(key.clone()));
        }
        // Many wait for one sign-in. If it fails, it fails for all: asking once more for each of them
        // could lock the account.
        match &state.failure {
            Some((failed, error)) if asked < *failed && error.kind() != Kind::Quota => Some(Err(error.clone())),
            _ => None,
        }
    }

    /// Waits until no other backend is using the refresh token.
    async fn turn(&self) -> Result<Option<Box<dyn Send>>> {
        if self.credentials.get("refresh_token").is_none() {
            return Ok(None);
        }
        let begun = Instant::now();
        loop {
            match self.store.try_lock()? {
                Some(guard) => return Ok(Some(guard)),
                // Whoever holds it that long is stuck; the API decides then.
                None if begun.elapsed() > PATIENCE => return Ok(None),
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn sign_in(&self, state: &mut State, account: &Account) -> Result<Arc<Key>> {
        let _turn = self.turn().await?;
        let refresh = if state.unsaved { None } else { self.store.load() };
        let refresh = refresh.or_else(|| state.refresh.clone());
        let (token, fixed) = match self.converse(refresh.as_ref(), account).await {
            Err(error) if error.kind() == Kind::Credentials => {
                // Perhaps another backend was faster and the API has replaced the token that we used.
                let newer = self.store.load().filter(|newer| !same(Some(newer), refresh.as_ref()));
                match newer {
                    Some(newer) => self.converse(Some(&newer), account).await?,
                    None => return Err(error),
                }
            }
            other => other?,
        };
        state.signed_in += 1;
        let key = Arc::new(Key {
            access: token.access,
            instance: token.instance,
            fixed,
            number: state.signed_in,
            expires: token.lifetime.and_then(expiry),
        });
        state.key = Some(key.clone());
        if let Some(refresh) = token.refresh {
            self.scrubber.learn(&refresh);
            state.refresh = Some(refresh.clone());
            state.unsaved = true;
            self.save(state, &refresh)?;
        }
        Ok(key)
    }

    /// A refresh token that cannot be kept is an error until it can: when this backend ends, it is lost.
    fn save(&self, state: &mut State, refresh: &SecretString) -> Result<()> {
        self.store.save(refresh)?;
        state.unsaved = false;
        Ok(())
    }

    /// Plays the connector's sign-in. Also tells whether it went without a request.
    async fn converse(&self, refresh: Option<&SecretString>, account: &Account) -> Result<(Token, bool)> {
        let connector = &self.courier.connector;
        if let Some(refresh) = refresh {
            self.scrubber.learn(refresh);
        }
        let mut job = connector.sign_in(&self.credentials, refresh, SystemTime::now())?;
        let (mut last, mut label, mut fixed) = (None, None::<String>, true);
        loop {
            let step = job.next(last.take()).map_err(|error| match label.take() {
                Some(label) => error.request(label),
                None => error,
            })?;
            match step {
                Step::Send(request) | Step::SendAhead(request) if request.authorized => {
                    return Err(Error::new(Kind::Internal, "signing in asks for a token"));
                }
                Step::Send(request) | Step::SendAhead(request) => {
                    fixed = false;
                    let answer = self.courier.deliver(&request, None, account, &mut false).await;
                    let answer = answer.map_err(Denial::refused)?;
                    label.clone_from(&answer.request);
                    last = Some(answer);
                }
                Step::Sleep(time) => tokio::time::sleep(time).await,
                Step::Yield(token) => {
                    self.scrubber.learn(&token.access);
                    let checked = token.instance.as_ref().map_or(Ok(()), |instance| {
                        self.courier.addresses.check_instance(instance, connector.domains())
                    });
                    return match (checked, label) {
                        (Ok(()), _) => Ok((token, fixed)),
                        (Err(error), Some(label)) => Err(error.request(label)),
                        (Err(error), None) => Err(error),
                    };
                }
                Step::Done => {
                    return Err(Error::new(Kind::Internal, "signing in brought no token"));
                }
            }
        }
    }
}

/// When a token is taken for worn out: a little before it is.
fn expiry(lifetime: Duration) -> Option<Instant> {
    let margin = (lifetime / 10).min(Duration::from_secs(30));
    Instant::now().checked_add(lifetime - margin)
}

fn same(a: Option<&SecretString>, b: Option<&SecretString>) -> bool {
    a.map(ExposeSecret::expose_secret) == b.map(ExposeSecret::expose_secret)
}
