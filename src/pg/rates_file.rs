//! The memory of the rates that all backends keep together: a file that each of them maps.
//!
//! What it holds counts until the server is started again.
//!
//! Not Postgres's shared memory, which a library has only if it is preloaded, and which the I/O thread must not touch.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use pgrx::pg_sys;

use super::data_dir::{create, data_file};
use crate::error::{Error, Kind, Result};
use crate::http::buckets::Buckets;

/// The number is raised when the words come to mean something else.
const NAME: &str = "rates.2";

/// The file of before.
const FORMER: &str = "rates.1";

/// The buckets of this cluster; the same for all its processes.
///
/// Errors: XX000 if the file cannot be had.
pub fn buckets() -> Result<Buckets> {
    static BUCKETS: OnceLock<Buckets> = OnceLock::new();
    if let Some(buckets) = BUCKETS.get() {
        return Ok(*buckets);
    }
    let opened = open().map_err(|error| {
        Error::new(Kind::Internal, format!("the file of rates, which all sessions share, cannot be had: {error}"))
            .hint("The server must be able to write to the directory sequin_fdw in its data directory.")
    })?;
    Ok(*BUCKETS.get_or_init(|| opened))
}

fn open() -> io::Result<Buckets> {
    let file = create(&data_file(NAME))?;
    let words = map(&file)?;
    // Only a version of before needs it, and it has it open.
    let _ = fs::remove_file(data_file(FORMER));
    // SAFETY: a global that the postmaster sets when it starts, the same in all its processes.
    let started = unsafe { pg_sys::PgStartTime };
    Buckets::open(words, file, started.unsigned_abs())
}

fn map(file: &fs::File) -> io::Result<&'static [AtomicU64]> {
    let bytes = Buckets::WORDS * size_of::<AtomicU64>();
    // Of one length for all, so that it never shrinks below what another process has mapped; and with room on the disk,
    // which to lack later would end the process.
    // SAFETY: an open file.
    let allocate = || unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) };
    let mut failed = allocate();
    while failed == libc::EINTR {
        failed = allocate();
    }
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    file.set_len(bytes as u64)?;
    // SAFETY: a new mapping of a file of this length, which stays as long as the process.
    let memory = unsafe {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        libc::mmap(ptr::null_mut(), bytes, access, kind, file.as_raw_fd(), 0)
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: aligned to a page, as long as said, never unmapped; all processes use it as atomics.
    Ok(unsafe { slice::from_raw_parts(memory.cast::<AtomicU64>(), Buckets::WORDS) })
}
