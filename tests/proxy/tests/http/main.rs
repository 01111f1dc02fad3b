//! The proxy between a client and a server, both of a few lines.

mod actions;
mod lifetime;
mod peers;
