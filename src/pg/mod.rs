//! The only room that knows Postgres, and the only one with `unsafe`.
//!
//! [`handler`] holds the callbacks; [`plan`], [`scan`], [`explain`], [`analyze`] and [`import`] are what they call.
//! Beside them stand safe views: of expression trees ([`node`], [`operator`], [`lower`]), of the catalogue
//! ([`catalog`]), of datums ([`datum`]), of errors ([`error`]) and of waiting ([`wait`]).
#![allow(unsafe_code)]

mod aggregate;
pub mod allocator;
mod analyze;
pub mod background;
mod blocked;
mod brace;
mod call;
mod catalog;
mod data_dir;
mod datum;
mod direct;
mod error;
mod executor;
mod explain;
mod follower;
mod functions;
mod handler;
pub mod hooks;
mod import;
mod join;
mod ledger;
mod lower;
mod memory;
mod merge;
mod modify;
mod modify_handler;
mod modify_node;
mod modify_plan;
mod modify_planner;
mod node;
mod notices;
mod numeric;
mod operator;
mod plan;
mod plan_text;
mod planner;
mod progress;
mod rates_file;
mod read_ahead;
pub mod registry;
mod role;
mod row;
mod rules;
mod scan;
mod scan_plan;
mod schema_watch;
mod session;
pub mod settings;
mod source;
mod spi;
pub mod statements;
mod subtransaction;
mod supply;
mod sync;
mod synced;
mod time_limit;
mod token_file;
mod upgrade;
mod upsert;
mod version;
mod wait;
mod worker;
mod write;
mod write_through;

pub use error::forgo_backtraces;
