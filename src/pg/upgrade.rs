//! `pg_upgrade`, in whose servers nothing of ours may run.
//!
//! It notes the old server's next transaction id, then starts that server to look at it. What is committed there afterwards
//! is damaged in the new cluster: its transaction ids are those of transactions that have not begun there.
//! <https://www.postgresql.org/docs/current/pgupgrade.html>

use pgrx::pg_sys;

use crate::error::{Error, Kind, Result};

/// Whether this is one of its servers, which it starts with the option `-b`.
pub fn is_running() -> bool {
    // SAFETY: the postmaster sets it before anything else runs, and all its processes inherit it.
    unsafe { pg_sys::IsBinaryUpgrade }
}

/// Refuses what would ask an API. Errors: 0A000 in a server of `pg_upgrade`.
pub fn forbid() -> Result<()> {
    if !is_running() {
        return Ok(());
    }
    Err(Error::new(Kind::NotSupported, "no API is asked during a binary upgrade")
        .detail("The server was started with the option -b, as pg_upgrade does.")
        .hint("Try again when the upgrade is done and the server has been started as usual."))
}
