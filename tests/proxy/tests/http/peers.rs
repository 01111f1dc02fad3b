//! The two sides: a server that answers what the path asks for and remembers every request, and a client that sees
//! every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What most answers have as their body.
pub const BODY: &str = r#"{"answer":"0123456789"}"#;

/// A server that ends with the process.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = seen.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let requests = requests.clone();
                thread::spawn(move || converse(stream.unwrap(), number, &requests));
            }
        });
        Server { address, seen }
    }

    /// The requests so far: number of the connection, method, path, and body.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn converse(mut stream: TcpStream, number: usize, requests: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    while let Some(head) = head(&mut lines) {
        let first = head.lines().next().unwrap_or_default().to_owned();
        let mut body = vec![0; length(&head).unwrap_or(0)];
        lines.read_exact(&mut body).unwrap();
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            body = chunks(&mut lines);
        }
        let request = first.trim_end_matches(" HTTP/1.1").to_owned();
        let (method, path) = request.split_once(' ').unwrap();
        requests
            .lock()
            .unwrap()
            .push(format!("{number} {request} {}", String::from_utf8_lossy(&body)).trim().to_owned());
        let sent = answer(method, path, &head);
        if stream.write_all(sent.as_bytes()).is_err() || path.starts_with("/closing") || path == "/broken" {
            return;
        }
    }
}

fn answer(method: &str, path: &str, head: &str) -> String {
    let body = if method == "HEAD" { "" } else { BODY };
    match path.split('?').next().unwrap_or_default() {
        "/chunked" => {
            let (a, b) = BODY.split_at(7);
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n",
                a.len(),
                b.len()
            )
        }
        "/closing" => format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", BODY.len()),
        "/closing-without-length" => format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
        "/broken" => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{{", BODY.len()),
        "/empty" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "/packed" => {
            let packed = head.to_ascii_lowercase().contains("accept-encoding");
            format!("HTTP/1.1 200 OK\r\nPacked: {packed}\r\nContent-Length: {}\r\n\r\n{body}", BODY.len())
        }
        "/slow" => {
            thread::sleep(Duration::from_millis(300));
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", BODY.len())
        }
        "/silent" => {
            thread::sleep(Duration::from_secs(60));
            String::new()
        }
        _ => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", BODY.len()),
    }
}

/// A head with the empty line that ends it; nothing if the stream ends before.
fn head(lines: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn length(head: &str) -> Option<usize> {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-length:"))?;
    line.split(':').nth(1)?.trim().parse().ok()
}

fn chunks(lines: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).unwrap() + 2];
        lines.read_exact(&mut chunk).unwrap();
        if chunk.len() == 2 {
            return body;
        }
        body.extend_from_slice(&chunk[..chunk.len() - 2]);
    }
}

/// One connection to the proxy.
pub struct Client {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

/// What a client sees of an answer.
#[derive(Debug, PartialEq)]
pub enum Saw {
    /// Status and body.
    Whole(u16, String),
    /// The connection closed with no byte before.
    Nothing,
    /// The connection closed too early.
    Part(String),
}

impl Client {
    pub fn new(url: &str) -> Client {
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client { lines: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Sends a request and reads the answer.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Saw {
        let accept = "Accept-Encoding: gzip\r\n";
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\n{accept}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        self.read(method == "HEAD")
    }

    pub fn get(&mut self, path: &str) -> Saw {
        self.ask("GET", path, "")
    }

    pub fn read(&mut self, to_head: bool) -> Saw {
        let (head, body) = match self.read_raw(to_head) {
            Ok(whole) => whole,
            Err(part) if part.is_empty() => return Saw::Nothing,
            Err(part) => return Saw::Part(part),
        };
        Saw::Whole(head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    /// Head and body; or, if the connection closes before the end, what came.
    pub fn read_raw(&mut self, to_head: bool) -> Result<(String, String), String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.lines.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
                return Err(text(&head));
            }
        }
        let head = text(&head);
        let chunked = head.contains("chunked");
        let bodiless = to_head || head.contains(" 204 ") || head.contains(" 304 ");
        let wanted = if bodiless { Some(0) } else { length(&head) };
        let mut body = Vec::new();
        while Some(body.len()) != wanted && !(chunked && body.ends_with(b"0\r\n\r\n")) {
            let mut byte = [0];
            if self.lines.read(&mut byte).unwrap_or(0) == 0 {
                return if wanted.is_none() && !chunked { Ok((head, text(&body))) } else { Err(head + &text(&body)) };
            }
            body.push(byte[0]);
        }
        Ok((head, text(&body)))
    }

    /// Whether the proxy closes the connection and sends nothing before.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.lines.read(&mut [0]), Ok(0) | Err(_))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn good() -> Saw {
    Saw::Whole(200, BODY.to_owned())
}
