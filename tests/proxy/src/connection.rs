//! One connection of a client: its requests, one after the other, and what the schedule makes of each.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::{Message, Reader};
use crate::proxy::Shared;
use crate::schedule::{Action, Request};

/// What hangs, hangs so long at most.
const HANG: Duration = Duration::from_secs(30);
/// So often a wait for the server looks whether the client is still there.
const GLANCE: Duration = Duration::from_millis(20);
/// A server that accepts nothing for so long is gone.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);
/// A peer that takes nothing for so long is gone.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// Whether another request may follow on the connection.
#[derive(PartialEq)]
enum Next {
    Keep,
    Close,
}

/// Serves a client until either side is done with it. Then both connections are closed, so that the server too sees a
/// client that went away.
pub fn serve(shared: &Shared, client: TcpStream, number: u64) -> io::Result<()> {
    let client = shared.watch(client)?;
    client.stream().set_write_timeout(Some(WRITE_LIMIT))?;
    let mut connection = Connection { shared, number, client: client.stream().clone(), server: None };
    let mut requests = Reader::new(&**client.stream());
    loop {
        let request = requests.request(|| send(&connection.client, b"HTTP/1.1 100 Continue\r\n\r\n"));
        let request = match request {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let text = format!("the proxy does not understand the request: {error}\n");
                let headers = [("Content-Type".to_owned(), "text/plain".to_owned())];
                return send(&connection.client, &compose(400, &headers, text.as_bytes(), false));
            }
            Err(error) => return Err(error),
        };
        if connection.handle(&request)? == Next::Close || request.closes() {
            return Ok(());
        }
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    number: u64,
    client: Arc<TcpStream>,
    /// The connection to the server that goes with the client's, once there is one.
    server: Option<Server<'a>>,
}

impl Connection<'_> {
    fn handle(&mut self, message: &Message) -> io::Result<Next> {
        let (method, path) = message.request_line();
        let to_head = method == "HEAD";
        let (number, action) = self.shared.decide(Request {
            number: 0,
            connection: self.number,
            method: method.to_owned(),
            path: path.to_owned(),
            headers: message.headers.clone(),
            body: message.body.clone(),
        });
        let answer = if action.forwards() { Some(self.forward(message, number, &action)?) } else { None };
        match (action, answer) {
            (Action::Hang, _) => self.hang(),
            (Action::Answer { status, headers, body }, _) => self.reply(status, &headers, &body, to_head),
            (Action::DropBefore, _) | (_, None) => Ok(Next::Close),
            (action, Some(answer)) => self.treat(action, &answer, to_head),
        }
    }

    /// Sends the server the request and reads its answer whole.
    fn forward(&mut self, message: &Message, number: u64, action: &Action) -> io::Result<Message> {
        let request = match action {
            Action::TruncateCleanly => &message.without(&["accept-encoding"]),
            _ => &message.raw,
        };
        // A server may end an idle connection; no request is to be lost to that.
        let mut server = match self.server.take().filter(Server::is_idle) {
            Some(server) => server,
            None => Server::connect(self.shared, &self.client)?,
        };
        send(server.stream.stream(), request)?;
        self.shared.journal.forwarded(number);
        let answer = match server.answers.answer(message.request_line().0 == "HEAD") {
            Ok(answer) => answer,
            Err(error) => {
                // What a server breaks off, it breaks off for the client too.
                if matches!(action, Action::Pass | Action::Delay(_)) {
                    send(&self.client, server.answers.remnant())?;
                }
                return Err(error);
            }
        };
        self.shared.journal.answered(number, answer.status()?);
        if !answer.closes() {
            self.server = Some(server);
        }
        Ok(answer)
    }

    /// What the client gets to see of the server's answer.
    fn treat(&self, action: Action, answer: &Message, to_head: bool) -> io::Result<Next> {
        let next = || if answer.closes() { Next::Close } else { Next::Keep };
        match action {
            Action::Delay(pause) => {
                self.shared.pause(pause);
                send(&self.client, &answer.raw)?;
                Ok(next())
            }
            Action::Truncate => {
                send(&self.client, &half(answer))?;
                Ok(Next::Close)
            }
            Action::TruncateCleanly if !answer.body.is_empty() => {
                let half = &answer.body[..answer.body.len() / 2];
                send(&self.client, &[&answer.head_with_length(half.len()), half].concat())?;
                Ok(next())
            }
            Action::Garbage => self.reply(200, &[], b"}{ this is no JSON \xff\x00", to_head),
            Action::Empty => self.reply(200, &[], b"", to_head),
            Action::AnswerAfter { status, headers, body } => self.reply(status, &headers, &body, to_head),
            Action::Pass | Action::TruncateCleanly => {
                send(&self.client, &answer.raw)?;
                Ok(next())
            }
            // DropAfter; the others have not come here.
            _ => Ok(Next::Close),
        }
    }

    /// An answer of the proxy's own.
    fn reply(&self, status: u16, headers: &[(String, String)], body: &[u8], to_head: bool) -> io::Result<Next> {
        send(&self.client, &compose(status, headers, body, to_head))?;
        let closes =
            headers.iter().any(|(n, v)| n.eq_ignore_ascii_case("connection") && v.eq_ignore_ascii_case("close"));
        Ok(if closes { Next::Close } else { Next::Keep })
    }

    /// Waits until the client closes.
    fn hang(&self) -> io::Result<Next> {
        let end = Instant::now() + HANG;
        let mut scrap = [0; 4096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Next::Close);
            }
            self.client.set_read_timeout(Some(left))?;
            // A deadline that has passed is an error as well.
            if (&*self.client).read(&mut scrap)? == 0 {
                return Ok(Next::Close);
            }
        }
    }
}

/// The connection to the server.
struct Server<'a> {
    stream: Watched<'a>,
    answers: Reader<Patient>,
}

impl<'a> Server<'a> {
    fn connect(shared: &'a Shared, client: &Arc<TcpStream>) -> io::Result<Server<'a>> {
        let stream = TcpStream::connect_timeout(&shared.upstream, CONNECT_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GLANCE))?;
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        let stream = shared.watch(stream)?;
        let answers = Reader::new(Patient { stream: stream.stream().clone(), client: client.clone() });
        Ok(Server { stream, answers })
    }

    /// Nothing to read: neither an end nor an answer that nobody asked for.
    fn is_idle(&self) -> bool {
        self.answers.remnant().is_empty() && glance(self.stream.stream()) == Seen::Nothing
    }
}

/// Reads from the server as long as the client is there.
struct Patient {
    stream: Arc<TcpStream>,
    client: Arc<TcpStream>,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&*self.stream).read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if glance(&self.client) == Seen::End {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
                result => return result,
            }
        }
    }
}

#[derive(PartialEq)]
enum Seen {
    Nothing,
    Data,
    End,
}

/// What could be read from a stream at once.
fn glance(stream: &TcpStream) -> Seen {
    let peek = || {
        stream.set_nonblocking(true)?;
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        seen
    };
    match peek() {
        Ok(0) => Seen::End,
        Ok(_) => Seen::Data,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Seen::Nothing,
        Err(_) => Seen::End,
    }
}

/// A stream that the proxy can close from outside, and that is closed when its user is done with it.
pub struct Watched<'a> {
    shared: &'a Shared,
    key: u64,
    stream: Arc<TcpStream>,
}

impl<'a> Watched<'a> {
    pub fn new(shared: &'a Shared, key: u64, stream: Arc<TcpStream>) -> Watched<'a> {
        Watched { shared, key, stream }
    }

    pub fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.shared.forget(self.key);
        // Others may still hold the stream, so dropping it would not close it. Nothing more can be done if this fails.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)
}

/// Head and half of the body, with a framing that shows that something is missing.
fn half(answer: &Message) -> Vec<u8> {
    if answer.body.is_empty() {
        return answer.raw[..answer.head / 2].to_vec();
    }
    if answer.until_close {
        return [&answer.head_with_length(answer.body.len()), &answer.body[..answer.body.len() / 2]].concat();
    }
    answer.raw[..answer.head + (answer.raw.len() - answer.head) / 2].to_vec()
}

/// An answer of the proxy's own. The framing is the proxy's business, whatever the headers say.
fn compose(status: u16, headers: &[(String, String)], body: &[u8], to_head: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !has("content-type") && !body.is_empty() {
        text += "Content-Type: application/json;charset=UTF-8\r\n";
    }
    let framing = |name: &str| ["content-length", "transfer-encoding"].iter().any(|f| f.eq_ignore_ascii_case(name));
    for (name, value) in headers.iter().filter(|(name, _)| !framing(name)) {
        text += &format!("{name}: {value}\r\n");
    }
    let bare = matches!(status, 100..=199 | 204 | 304);
    if !bare {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    [text.as_bytes(), if bare || to_head { b"" } else { body }].concat()
}

/// For whoever reads along; programs go by the number.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Ordered",
    }
}
