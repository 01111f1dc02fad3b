//! Synced tables: what is said to Postgres about them, and when the API is asked.
//!
//! [`wording`] holds the SQL of a synced table, [`options`] what a user can set for one, [`pace`] says when it is read
//! again, [`seen`] knows what a sweep has seen. What they need of Postgres is done in `pg`: `pg::synced` knows a synced
//! table, `pg::follower` reads the API, `pg::merge` puts what came into the table, `pg::write_through` sends what users
//! write, `pg::worker` does it all unasked.

pub mod options;
pub mod pace;
pub mod seen;
pub mod wording;
