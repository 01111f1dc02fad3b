//! Sessions against a real socket. One file per promise.

mod exchange;
mod limits;
mod retries;
mod safety;
mod tokens;
