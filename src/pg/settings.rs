//! The settings `sequin_fdw.*`.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

use super::memory::text;
use super::version::reset_source;
use crate::error::{Error, Kind, Result};
use crate::options::{common, hosts};

static PUSHDOWN: GucSetting<bool> = GucSetting::<bool>::new(true);
static MAX_REQUESTS: GucSetting<i32> = GucSetting::<i32>::new(0);
static ALLOWED_HOSTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
const ALLOWED_HOSTS_NAME: &CStr = c"sequin_fdw.allowed_hosts";

/// Whether a value that nobody had the right to give hides the one that is configured.
static HIDDEN: AtomicBool = AtomicBool::new(false);

/// Makes them known to Postgres.
pub fn define() {
    GucRegistry::define_bool_guc(
        c"sequin_fdw.pushdown",
        c"Whether conditions and LIMIT are sent to the API.",
        c"Off, whole objects are read and Postgres does the rest: the rows are the same.",
        &PUSHDOWN,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"sequin_fdw.max_requests",
        c"How many requests one statement may send.",
        c"One more is an error (53400). 0 means no limit.",
        &MAX_REQUESTS,
        0,
        i32::MAX,
        GucContext::Userset,
        GucFlags::default(),
    );
    // Until the library is loaded anybody may set it. A value given when connecting (PGOPTIONS) takes the place of the one that
    // postgresql.conf, ALTER DATABASE or ALTER ROLE give, and Postgres forgets that. It then refuses the former, and has none.
    // <https://www.postgresql.org/docs/current/runtime-config-custom.html>
    let before = reset_source(ALLOWED_HOSTS_NAME);
    GucRegistry::define_string_guc(
        ALLOWED_HOSTS_NAME,
        c"The hosts that requests may go to, separated by commas.",
        c"`*.example.com` allows every host below example.com. Empty allows any host.",
        &ALLOWED_HOSTS,
        GucContext::Suset,
        GucFlags::default(),
    );
    HIDDEN.store(before != reset_source(ALLOWED_HOSTS_NAME), Ordering::Relaxed);
}

pub fn pushdown() -> bool {
    PUSHDOWN.get()
}

/// 0 means no limit.
pub fn max_requests() -> u32 {
    u32::try_from(MAX_REQUESTS.get()).unwrap_or(0)
}

/// The hosts that requests may go to: those that the wrapper's option lists, as far as the setting does not leave them out.
/// Empty means any.
///
/// Errors: HV00D if an entry is not a host, 42501 if the two lists share no host or the configured value is hidden.
pub fn allowed_hosts(option: &str) -> Result<Vec<String>> {
    if HIDDEN.load(Ordering::Relaxed) {
        return Err(Error::new(Kind::Forbidden, "the hosts that may be asked are not known in this session")
            .detail(
                "The session was begun with a value for sequin_fdw.allowed_hosts, which only superusers may give. \
                 It has taken the place of the value that is configured.",
            )
            .hint("Connect without it: see PGOPTIONS, and \"options\" in the connection string."));
    }
    let setting = ALLOWED_HOSTS.get().unwrap_or_default();
    // SAFETY: a NUL-terminated string.
    let setting = unsafe { text(setting.as_ptr()) };
    let read = |list| {
        hosts(list).map_err(|entry| {
            Error::new(Kind::BadOption, format!("sequin_fdw.allowed_hosts: \"{entry}\" is no host"))
                .hint("Name hosts alone, without scheme and port: acme.my.salesforce.com, *.example.com.")
        })
    };
    common(read(option)?, read(&setting)?).ok_or_else(|| {
        Error::new(Kind::Forbidden, "no host may be asked")
            .detail(
                "The option allowed_hosts of the FOREIGN DATA WRAPPER and the setting sequin_fdw.allowed_hosts have no \
                 host in common.",
            )
            .hint("The setting can only leave out some of the hosts that the option lists.")
    })
}
