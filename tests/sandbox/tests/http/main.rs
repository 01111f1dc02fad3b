//! The sandbox over HTTP, as a client sees it.

mod client;
mod faults;
mod reads;
mod writes;
