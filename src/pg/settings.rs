//! The settings `sequin_fdw.*`.

use std::ffi::CString;

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

use crate::error::{Error, Kind, Result};

static PUSHDOWN: GucSetting<bool> = GucSetting::<bool>::new(true);
static MAX_REQUESTS: GucSetting<i32> = GucSetting::<i32>::new(0);
static ALLOWED_HOSTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

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
    GucRegistry::define_string_guc(
        c"sequin_fdw.allowed_hosts",
        c"The hosts that requests may go to, separated by commas.",
        c"`*.example.com` allows every host below example.com. Empty allows any host.",
        &ALLOWED_HOSTS,
        GucContext::Suset,
        GucFlags::default(),
    );
}

pub fn pushdown() -> bool {
    PUSHDOWN.get()
}

/// 0 means no limit.
pub fn max_requests() -> u32 {
    u32::try_from(MAX_REQUESTS.get()).unwrap_or(0)
}

/// Lower case; empty means any. HV00D if an entry is no host.
pub fn allowed_hosts() -> Result<Vec<String>> {
    let hosts = ALLOWED_HOSTS.get().unwrap_or_default();
    let hosts = hosts.to_string_lossy().to_lowercase();
    let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
    let host = |host: &str| {
        // A colon stands in an IPv6 address in brackets, else before a port.
        if host.contains('/') || (host.contains(':') && !host.ends_with(']')) {
            return Err(Error::new(Kind::BadOption, format!("sequin_fdw.allowed_hosts: \"{host}\" is no host"))
                .hint("Name hosts alone, without scheme and port: acme.my.salesforce.com, *.example.com."));
        }
        Ok(host.to_owned())
    };
    hosts.map(host).collect()
}
