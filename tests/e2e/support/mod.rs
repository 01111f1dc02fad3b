//! The harness: a database, a role and a simulated API for each test.

mod airtable;
mod api;
mod cluster;
mod copy;
mod failure;
mod notices;
mod on_each;
pub mod people;
mod process;
pub mod scans;
mod session;
mod synced;
mod upstream;
mod world;
mod writes;

pub use api::{AIRTABLE, Api, SALESFORCE};
pub use cluster::{Cluster, kill};
pub use copy::Copy;
pub use failure::Failure;
pub use notices::Notices;
pub(crate) use on_each::on_each;
pub use process::Process;
pub use session::{Row, Session, sorted};
pub use synced::{is_ours, wait_until};

pub use world::World;
pub use writes::{fields, fields_sent};

pub use sandbox::{Action, Config, DanglingReference, Fault, Sandbox};

/// Whether this is a hint, detail or the like that says something.
pub fn says(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|text| text.trim().len() > 5)
}
