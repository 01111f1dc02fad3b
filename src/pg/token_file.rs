//! Where a rotated refresh token is kept: a file in the data directory that only the server can read.
//!
//! An API with refresh token rotation takes each token once and answers with the next. The user mapping
//! keeps the first; a backend that starts later needs the newest. The catalogue cannot hold it, since a
//! rollback would bring the used one back. The file names the token that its own descends from, so that
//! a new one in the user mapping starts anew.

use std::fs::{self, TryLockError};
use std::io::{self, Write};
use std::path::PathBuf;

use pgrx::pg_sys;
use secrecy::{ExposeSecret, SecretString};

use super::catalog::Mapping;
use super::data_dir::{create, data_file};
use crate::error::{Error, Kind, Result};
use crate::http::token::TokenStore;

/// The file of one user mapping.
pub struct TokenFile {
    path: PathBuf,
    /// The user mapping's own refresh token. Without one there is nothing to keep.
    configured: Option<SecretString>,
}

impl TokenFile {
    pub fn new(mapping: &Mapping) -> Self {
        // SAFETY: a global that is set before any statement runs.
        let database = unsafe { pg_sys::MyDatabaseId };
        TokenFile {
            path: data_file(&format!("{}.{}", database.to_u32(), mapping.oid.to_u32())),
            configured: mapping.credentials.get("refresh_token").cloned(),
        }
    }
}

impl TokenStore for TokenFile {
    fn load(&self) -> Option<SecretString> {
        let configured = self.configured.as_ref()?.expose_secret();
        let kept = SecretString::from(fs::read_to_string(&self.path).ok()?);
        let (origin, newest) = serde_json::from_str::<(String, String)>(kept.expose_secret()).ok()?;
        (origin == configured).then(|| newest.into())
    }

    fn save(&self, token: &SecretString) -> Result<()> {
        let Some(configured) = &self.configured else { return Ok(()) };
        let kept = serde_json::json!([configured.expose_secret(), token.expose_secret()]);
        let kept = SecretString::from(kept.to_string());
        let write = || {
            // Another backend reads the old file or the new one, never half of one.
            let fresh = self.beside(&format!("{}.new", std::process::id()));
            let mut file = create(&fresh)?;
            file.set_len(0)?;
            file.write_all(kept.expose_secret().as_bytes())?;
            file.sync_all()?;
            fs::rename(fresh, &self.path)
        };
        write().map_err(|error| not_kept(&error))
    }

    fn try_lock(&self) -> Result<Option<Box<dyn Send>>> {
        let file = create(&self.beside("lock")).map_err(|error| not_kept(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(not_kept(&error)),
        }
    }
}

impl TokenFile {
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{suffix}"));
        name.into()
    }
}

fn not_kept(error: &io::Error) -> Error {
    Error::new(Kind::Internal, format!("a refresh token that the API replaces cannot be kept: {error}"))
        .hint("The server must be able to write to the directory sequin_fdw in its data directory.")
}
