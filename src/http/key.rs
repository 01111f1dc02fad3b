//! An access token on its way.

use std::time::Instant;

use reqwest::Url;
use secrecy::SecretString;

/// An access token as requests carry it.
#[derive(Debug)]
pub struct Key {
    pub access: SecretString,
    /// The host that it is for, where the API names one.
    pub instance: Option<Url>,
    /// Whether signing in asked nobody: doing it again brings the same token.
    pub fixed: bool,
    /// Which of the session's keys it is.
    pub number: u64,
    pub expires: Option<Instant>,
}

impl Key {
    pub fn is_fresh(&self) -> bool {
        self.expires.is_none_or(|expires| Instant::now() < expires)
    }
}
