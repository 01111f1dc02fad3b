//! Where a rotated refresh token is kept: a file in the data directory that only the server can read.
//!
//! An API with refresh token rotation takes each token once and answers with the next. The user mapping
//! keeps the first; a backend that starts later needs the newest. The catalogue cannot hold it, since a
//! rollback would bring the used one back. The file names the token that its own descends from, so that
//! a new one in the user mapping starts anew.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use pgrx::pg_sys;
use secrecy::{ExposeSecret, SecretString};

use super::catalog::Mapping;
use super::memory::text;
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
        // SAFETY: reads two globals that are set before any statement runs.
        let (data, database) = unsafe { (text(pg_sys::DataDir), pg_sys::MyDatabaseId) };
        let name = format!("{}.{}", database.to_u32(), mapping.oid.to_u32());
        TokenFile {
            path: PathBuf::from(data).join("sequin_fdw").join(name),
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
        let path = &self.path;
        let write = || {
            if let Some(directory) = path.parent() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            }
            // Another backend reads the old file or the new one, never half of one.
            let fresh = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(kept.expose_secret().as_bytes())?;
            file.sync_all()?;
            fs::rename(fresh, path)
        };
        write().map_err(|error: std::io::Error| {
            Error::new(Kind::Internal, format!("could not keep the new refresh token: {error}"))
                .hint("The API has replaced the refresh token; the data directory must be writable.")
        })
    }
}
