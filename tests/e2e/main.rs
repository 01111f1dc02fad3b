//! End-to-end tests: a real PostgreSQL, the extension in it, and a simulated Salesforce over real HTTP.
//!
//! They run in the throwaway cluster of `tests/cluster run`, in parallel, each in a database of its own.

mod analyzing;
mod cancelling;
mod credentials;
mod differential;
mod explaining;
mod faults;
mod importing;
mod limits;
mod memory;
mod neighbours;
mod node;
mod options;
mod plans;
mod pushing;
mod random_queries;
mod retrying;
mod secrets;
mod settings;
mod shaping;
mod snapshots;
mod stats;
mod support;
mod syncing_changes;
mod syncing_fill;
mod syncing_life;
mod syncing_races;
mod syncing_random;
mod syncing_start;
mod syncing_writes;
mod tables;
mod tls;
mod traps;
mod types;
mod write_faults;
mod writing;
mod writing_aborts;
mod writing_errors;
mod writing_plans;
mod writing_requests;
mod writing_tables;
mod writing_traps;
