//! How the I/O thread rouses the backend: a byte on a socket that the backend waits on.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Kind, Result};

/// Both ends. They close together, so that no write ever finds the other end gone.
pub struct Wake {
    near: UnixStream,
    far: UnixStream,
    /// Whether a byte is on its way already.
    rung: AtomicBool,
}

impl Wake {
    pub fn new() -> Result<Wake> {
        let pair = || {
            let (near, far) = UnixStream::pair()?;
            near.set_nonblocking(true)?;
            far.set_nonblocking(true)?;
            Ok(Wake { near, far, rung: AtomicBool::new(false) })
        };
        pair().map_err(|error: std::io::Error| {
            Error::new(Kind::Internal, format!("no socket for the I/O thread: {error}"))
        })
    }

    pub fn descriptor(&self) -> RawFd {
        self.near.as_raw_fd()
    }

    /// The backend's end once more, for tests that wait on it without `unsafe`.
    #[cfg(test)]
    pub fn twin(&self) -> UnixStream {
        self.near.try_clone().unwrap()
    }

    /// Makes the descriptor readable.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It can only fail if the socket is full, and then it is readable.
            let _ = (&self.far).write(&[1]);
        }
    }

    /// Makes the descriptor unreadable. What was rung for must be looked at afterwards.
    pub fn drain(&self) {
        let mut bytes = [0; 16];
        while matches!((&self.near).read(&mut bytes), Ok(n) if n > 0) {}
        // After reading: who rings before this line has put its news where the caller looks next.
        self.rung.swap(false, Ordering::AcqRel);
    }
}
