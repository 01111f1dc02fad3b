//! The sandbox over HTTP, as a client sees it.

mod airtable;
mod client;
mod faults;
mod reads;
mod writes;
