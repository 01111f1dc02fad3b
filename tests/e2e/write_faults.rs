//! Writes through a proxy that makes every request go wrong: no record is written twice, none is lost that was reported as
//! written, and a statement that does not know says so and says of which rows.
//!
//! Each line is a sandbox, a proxy before it and a server of its own, so that several work at once. After each statement
//! the judge compares what it said (tag, error, warning, `sequin.unconfirmed()`) with what the sandbox holds.

mod doubted;
mod each_request;
mod interrupted;
mod judge;
mod line;
mod locked;
mod random;
mod strike;
mod subject;
