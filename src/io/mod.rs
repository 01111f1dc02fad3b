//! The I/O thread, and what arrives from it, as the backend sees them.
//!
//! A backend has at most one such thread, started when the first request is to be sent. The thread runs
//! the sessions' jobs and never calls Postgres; the backend never waits in it: it polls streams, and in
//! between waits on its latch and on [`Io::descriptor`].

mod queue;
mod stream;
#[cfg(test)]
mod tests;
mod thread;
mod wake;

pub use stream::Stream;
pub use thread::Io;
