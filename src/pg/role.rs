//! Acting as another role, and as nobody's session.

use std::ffi::{CStr, c_int};

use pgrx::pg_sys::{self, Oid};

/// Where SQL of our own finds functions, operators and types: among Postgres's alone. Temporary tables and types come last,
/// lest one of them stand for what is Postgres's.
/// <https://www.postgresql.org/docs/current/sql-createfunction.html#SQL-CREATEFUNCTION-SECURITY>
const OUR_PATH: &CStr = c"pg_catalog, pg_temp";

/// As long as it lives, the search path is [`OUR_PATH`].
pub struct OurPath(Option<c_int>);

impl OurPath {
    pub fn set() -> OurPath {
        // SAFETY: the setting's own value, a NUL-terminated string.
        if unsafe { CStr::from_ptr(pg_sys::namespace_search_path) } == OUR_PATH {
            return OurPath(None);
        }
        // SAFETY: the abort of a transaction undoes it too.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        set(c"search_path", OUR_PATH);
        OurPath(Some(level))
    }
}

impl Drop for OurPath {
    fn drop(&mut self) {
        // What an error leaves behind, the abort of its transaction puts right.
        if let Some(level) = self.0.filter(|_| !std::thread::panicking()) {
            // SAFETY: undoes what `set` did.
            unsafe { pg_sys::AtEOXact_GUC(false, level) };
        }
    }
}

/// Sets a setting until the current level of settings ends.
fn set(name: &CStr, value: &CStr) {
    // SAFETY: two NUL-terminated strings.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}

/// As long as it lives, Postgres acts as another role, in a context in which code of users can neither change the
/// session nor find its own functions by the session's search path.
pub struct ActingAs {
    before: (Oid, c_int),
    level: c_int,
}

impl ActingAs {
    /// Of whoever did not ask for it, a superuser perhaps: nothing that the role's own code does outlasts the statement.
    pub fn role(role: Oid) -> ActingAs {
        ActingAs::within(role, pg_sys::SECURITY_RESTRICTED_OPERATION)
    }

    /// As a function that is SECURITY DEFINER does: what a statement of the user's own leaves to the end of the
    /// transaction, a deferred constraint, is checked there.
    pub fn definer(role: Oid) -> ActingAs {
        ActingAs::within(role, pg_sys::SECURITY_LOCAL_USERID_CHANGE)
    }

    fn within(role: Oid, context: u32) -> ActingAs {
        let mut before = (pg_sys::InvalidOid, 0);
        let context = context as c_int;
        // SAFETY: reads and sets what the abort of a transaction puts right too.
        let level = unsafe {
            pg_sys::GetUserIdAndSecContext(&mut before.0, &mut before.1);
            pg_sys::SetUserIdAndSecContext(role, before.1 | context);
            pg_sys::NewGUCNestLevel()
        };
        // What runs here runs briefly: it would take longer to compile.
        set(c"search_path", OUR_PATH);
        set(c"sequin_fdw.pushdown", c"on");
        set(c"jit", c"off");
        ActingAs { before, level }
    }
}

/// Whether policies keep rows of a table from a role.
pub fn is_bound(role: Oid, table: Oid) -> bool {
    // SAFETY: a catalogue look-up.
    let enabled = unsafe { pg_sys::check_enable_rls(table, role, true) };
    enabled == pg_sys::CheckEnableRlsResult::RLS_ENABLED as c_int
}

impl Drop for ActingAs {
    fn drop(&mut self) {
        // What an error leaves behind, the abort of its transaction puts right.
        if !std::thread::panicking() {
            // SAFETY: undoes what `role` did.
            unsafe {
                pg_sys::AtEOXact_GUC(false, self.level);
                pg_sys::SetUserIdAndSecContext(self.before.0, self.before.1);
            }
        }
    }
}
