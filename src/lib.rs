//! SaaS APIs as PostgreSQL tables.
//!
//! Data walks one way, Postgres → [`pg`] → [`query`] → [`connector`] → [`http`] → API, and answers come back
//! up the same stairs:
//!
//! - [`pg`] lowers a statement to neutral words, and makes rows of what comes back;
//! - [`query`] is those words: predicates, reads, pages;
//! - [`connector`] knows each API: what it can do and how it words it; it sends nothing;
//! - [`http`] runs the connectors' jobs: credentials, retries, limits;
//! - [`io`] is the thread that `http` runs on, as the backend sees it.
//!
//! [`sync`] says how a synced table is kept equal to the API.
//!
//! [`schema`], [`value`], [`options`] and [`error`] are what all of them speak of; [`heap`] says how much memory all of them
//! together may take.
#![deny(unsafe_code)]

mod connector;
mod error;
mod heap;
mod http;
mod io;
mod number;
mod options;
mod pg;
mod query;
mod schema;
mod sync;
#[cfg(test)]
mod tests;
mod value;

pgrx::pg_module_magic!();

/// Called by Postgres when it loads the library. Starts nothing: that waits until a statement needs it.
#[allow(non_snake_case)]
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    pg::forgo_backtraces();
    pg::allocator::install();
    pg::settings::define();
    pg::hooks::install();
    pg::statements::install();
    pg::registry::prepare();
    pg::background::register_launcher();
}
