//! The extension's own files: in the directory `sequin_fdw` of the data directory, for the server alone to read.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pgrx::pg_sys;

/// Where a file of ours is.
pub fn data_file(name: &str) -> PathBuf {
    // SAFETY: a global that is set before any statement runs; the path is bytes, of no encoding.
    let data = unsafe { CStr::from_ptr(pg_sys::DataDir) };
    PathBuf::from(OsStr::from_bytes(data.to_bytes())).join("sequin_fdw").join(name)
}

/// Opens a file of ours to read and write, made if need be.
pub fn create(path: &Path) -> io::Result<fs::File> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
