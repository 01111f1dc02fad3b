//! Runs the connectors' jobs: the only place that sends bytes.
//!
//! [`session`] is the front door: it plays a connector's machine, one request after the other.
//! A request goes through these rooms:
//!
//! ```text
//! session ── token ── courier ── limiter ── client ──▶ API
//!    │                  │  │                   │
//!  scrub, room        retry address          fault, body, room
//! ```
//!
//! [`token`] gives it the access token of the session, `courier` sends it until it is answered for good,
//! `retry` says how often and when, `address` which URL it has and whether that host may be asked,
//! `limiter` when its turn comes (`buckets` is what all processes know of that), `client` puts it on the wire, `body` takes
//! in and unpacks what comes back, `fault` words what went wrong there. `room` says when there is memory for that.
//! [`meter`] counts. `scrub` stands at the exit and lets no secret out, in whatever `spelling`.
//!
//! Everything waits on the I/O thread and can be dropped at any time.

mod address;
pub mod body;
pub mod buckets;
mod client;
mod courier;
mod fault;
mod key;
mod limiter;
pub mod meter;
mod retry;
pub mod room;
mod scrub;
pub mod session;
mod spelling;
pub mod token;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
