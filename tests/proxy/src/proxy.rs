//! A running proxy: its listening socket, its threads and how they end.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::connection::{Watched, serve};
use crate::journal::{Entry, Journal};
use crate::schedule::{Action, Request, Schedule};

/// So long at most the threads are waited for when the proxy ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// A proxy on a free port of 127.0.0.1 with a thread for each connection; it ends when it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
}

/// Listens on a port that this process has not used yet: whoever remembers what an address has answered must not take one
/// proxy for another. An odd one, as those of sandboxes are even.
fn listen() -> io::Result<TcpListener> {
    static USED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    // Those that are no use stay bound until there is one that is.
    let mut others = Vec::new();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        if !port.is_multiple_of(2) && USED.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(listener);
        }
        others.push(listener);
    }
}

impl Proxy {
    /// A proxy for the server at `upstream`, a socket address or a URL such as `http://127.0.0.1:8080`. At first
    /// everything passes.
    pub fn start(upstream: impl Display) -> io::Result<Proxy> {
        let upstream = resolve(&upstream.to_string())?;
        let listener = listen()?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            schedule: Mutex::new((0, Schedule::pass())),
            journal: Journal::default(),
            streams: Mutex::default(),
            stopping: Condvar::new(),
        });
        let acceptor = {
            let shared = shared.clone();
            thread::Builder::new().name("proxy".to_owned()).spawn(move || accept(&listener, &shared))?
        };
        Ok(Proxy { shared, address, acceptor: Some(acceptor) })
    }

    /// `http://127.0.0.1:port`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Another schedule, from the next request on. The numbers of requests go on, what a schedule counts begins anew.
    pub fn set(&self, schedule: impl Into<Schedule>) {
        crate::lock(&self.shared.schedule).1 = schedule.into();
    }

    /// The requests so far, oldest first, and what was done to each.
    pub fn journal(&self) -> Vec<Entry> {
        self.shared.journal.all()
    }

    /// Forgets the requests so far; the next keep their numbers.
    pub fn clear_journal(&self) {
        self.shared.journal.clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop();
        let Some(acceptor) = self.acceptor.take() else { return };
        let end = Instant::now() + FAREWELL;
        while !acceptor.is_finished() && Instant::now() < end {
            // Nothing else wakes `accept`. It is not the connection that matters.
            let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
            thread::sleep(Duration::from_millis(1));
        }
        if !acceptor.is_finished() {
            return;
        }
        // Their streams are closed, so they end by themselves, unless the schedule itself hangs.
        let connections = acceptor.join().unwrap_or_default();
        while connections.iter().any(|connection| !connection.is_finished()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Accepts until the proxy stops; returns the threads that still run.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for number in 1.. {
        let client = listener.accept();
        if crate::lock(&shared.streams).stopped {
            break;
        }
        threads.retain(|thread| !thread.is_finished());
        let Ok((client, _)) = client else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let shared = shared.clone();
        let thread = thread::Builder::new().name(format!("proxy {number}")).spawn(move || {
            // Answers are small and latency is measured.
            let _ = client.set_nodelay(true);
            // An error is a peer that went away: the end of the connection, and the other side is told by closing it.
            let _ = serve(&shared, client, number);
        });
        threads.extend(thread);
    }
    threads
}

/// What the threads share.
pub struct Shared {
    pub upstream: SocketAddr,
    pub journal: Journal,
    /// The number of the next request, and what decides about it.
    schedule: Mutex<(u64, Schedule)>,
    streams: Mutex<Streams>,
    stopping: Condvar,
}

/// The open connections, so that they can be closed when the proxy stops.
#[derive(Default)]
struct Streams {
    open: HashMap<u64, Arc<TcpStream>>,
    next: u64,
    stopped: bool,
}

impl Shared {
    /// Numbers a request, asks the schedule about it and notes both.
    pub fn decide(&self, mut request: Request) -> (u64, Action) {
        let mut guard = crate::lock(&self.schedule);
        let (next, schedule) = &mut *guard;
        request.number = *next;
        *next += 1;
        let action = schedule.decide(&request);
        self.journal.arrived(&request, &action);
        (request.number, action)
    }

    /// Keeps an eye on a stream; refused when the proxy is stopping.
    pub fn watch(&self, stream: TcpStream) -> io::Result<Watched<'_>> {
        let mut streams = crate::lock(&self.streams);
        if streams.stopped {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let stream = Arc::new(stream);
        streams.next += 1;
        let key = streams.next;
        streams.open.insert(key, stream.clone());
        drop(streams);
        Ok(Watched::new(self, key, stream))
    }

    pub fn forget(&self, key: u64) {
        crate::lock(&self.streams).open.remove(&key);
    }

    /// Waits so long, or until the proxy stops.
    pub fn pause(&self, pause: Duration) {
        let streams = crate::lock(&self.streams);
        let waited = self.stopping.wait_timeout_while(streams, pause, |streams| !streams.stopped);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn stop(&self) {
        let mut streams = crate::lock(&self.streams);
        streams.stopped = true;
        for stream in streams.open.values() {
            // One that is closed already is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(streams);
        self.stopping.notify_all();
    }
}

fn resolve(upstream: &str) -> io::Result<SocketAddr> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{upstream}: {why}"));
    let host = upstream.strip_prefix("http://").unwrap_or(upstream);
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.contains('/') {
        return Err(invalid("not http:// with host and port alone"));
    }
    host.to_socket_addrs()?.next().ok_or_else(|| invalid("no such host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_address_or_a_url_without_a_path() {
        for upstream in ["127.0.0.1:80", "http://127.0.0.1:80", "http://127.0.0.1:80/"] {
            assert_eq!(resolve(upstream).unwrap(), SocketAddr::from(([127, 0, 0, 1], 80)), "{upstream}");
        }
        for upstream in ["https://127.0.0.1:80", "http://127.0.0.1:80/path", "http://127.0.0.1", ""] {
            assert!(resolve(upstream).is_err(), "{upstream}");
        }
    }
}
