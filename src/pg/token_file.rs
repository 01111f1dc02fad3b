//! Where a rotated refresh token is kept: a file in the data directory that only the server can read.
//!
//! An API with refresh token rotation takes each token once and answers with the next. The user mapping
//! keeps the first; a backend that starts later needs the newest. The catalogue cannot hold it, since a
//! rollback would bring the used one back. The file's name depends on the configured token: setting a new
//! one in the user mapping starts anew.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use pgrx::pg_sys;
use secrecy::{ExposeSecret, SecretString};

use super::memory::text;
use crate::error::{Error, Kind, Result};
use crate::http::token::TokenStore;
use crate::options::Credentials;

/// The file of one user mapping; no file if the mapping has no refresh token.
pub struct TokenFile(Option<PathBuf>);

impl TokenFile {
    pub fn new(server: pg_sys::Oid, user: pg_sys::Oid, credentials: &Credentials) -> Self {
        let configured = credentials.get("refresh_token");
        TokenFile(configured.map(|token| {
            let mut hasher = DefaultHasher::new();
            token.expose_secret().hash(&mut hasher);
            // SAFETY: reads two globals that are set before any statement runs.
            let (data, database) = unsafe { (text(pg_sys::DataDir), pg_sys::MyDatabaseId) };
            PathBuf::from(data).join("sequin_fdw").join(format!(
                "{}.{}.{}.{:016x}",
                database.to_u32(),
                server.to_u32(),
                user.to_u32(),
                hasher.finish()
            ))
        }))
    }
}

impl TokenStore for TokenFile {
    fn load(&self) -> Option<SecretString> {
        let kept = fs::read_to_string(self.0.as_ref()?).ok()?;
        (!kept.is_empty()).then(|| kept.into())
    }

    fn save(&self, token: &SecretString) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let write = || {
            if let Some(directory) = path.parent() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            }
            // Another backend reads the old file or the new one, never half of one.
            let fresh = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(token.expose_secret().as_bytes())?;
            file.sync_all()?;
            fs::rename(fresh, path)
        };
        write().map_err(|error: std::io::Error| {
            Error::new(Kind::Internal, format!("could not keep the new refresh token: {error}"))
                .hint("The API has replaced the refresh token; the data directory must be writable.")
        })
    }
}
