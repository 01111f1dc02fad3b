//! Simulated SaaS APIs over real HTTP.
//!
//! The end-to-end tests and benchmarks of the extension run against this crate instead of the vendors. It is as
//! strict as the vendors' documented contracts: it parses the query languages, evaluates them with the API's own
//! semantics (case, NULLs, limits, paging), refuses what the API refuses, can be told to fail in every way, and
//! logs what it was asked. It shares no code with the extension, so that a mistake cannot cancel itself out.
//!
//! What every API needs stands in this directory: the HTTP server, the request log, faults, tokens, the control
//! plane under `/_control/`. Each API has a directory of its own: `salesforce`, `airtable`.
//!
//! ```no_run
//! use sandbox::{Action, Config, Fault, Sandbox};
//!
//! let sandbox = Sandbox::start(Config::new().records("Contact", 10_000))?;
//! sandbox.fault(Fault::new(Action::DropBefore).path("/query").times(1));
//! println!("{}", sandbox.url());
//! # Ok::<(), std::io::Error>(())
//! ```

// A field's describe has seventy keys in one literal.
#![recursion_limit = "256"]

pub mod airtable;
mod config;
mod control;
mod draw;
pub mod fault;
pub mod http;
mod json;
mod log;
mod pages;
pub mod salesforce;
mod sandbox;
mod server;
mod time;
mod tls;
mod tokens;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use airtable::{
    AIRTABLE_BASE, AIRTABLE_READ_TOKEN, AIRTABLE_REFRESH_TOKEN, AIRTABLE_TOKEN, AirtableSwitches, Missing,
    RateLimitBody,
};
pub use config::Config;
pub use fault::{Action, Fault};
pub use log::LoggedRequest;
pub use salesforce::DanglingReference;
pub use salesforce::oauth::{CLIENT_ID, CLIENT_SECRET, PASSWORD, REFRESH_TOKEN, SECURITY_TOKEN, USERNAME};
pub use sandbox::{Api, Sandbox};

/// A panic in one request must not take the sandbox with it: the state behind a poisoned lock is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
