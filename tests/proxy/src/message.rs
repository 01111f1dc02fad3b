//! HTTP/1.1 framing (RFC 9112), as far as is needed to tell where a message ends and what its body is.

use std::io::{self, Read};

/// Longer heads are refused.
const HEAD_LIMIT: usize = 256 << 10;
/// Longer messages are refused.
const MESSAGE_LIMIT: usize = 256 << 20;

/// One request or answer.
#[derive(Debug, Default, PartialEq)]
pub struct Message {
    /// All of it, as it came.
    pub raw: Vec<u8>,
    /// So much of `raw` is the head, with the empty line that ends it.
    pub head: usize,
    /// The request line or status line.
    pub start: String,
    pub headers: Vec<(String, String)>,
    /// Without the framing of chunks.
    pub body: Vec<u8>,
    /// Whether it is the closed connection that ended it.
    pub until_close: bool,
}

/// How the end of a body is told.
#[derive(Clone, Copy, PartialEq)]
enum Framing {
    Absent,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Whether a header has this element in its comma-separated list.
    fn lists(&self, name: &str, element: &str) -> bool {
        let values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        values.flat_map(|(_, value)| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(element))
    }

    /// Whether no other message follows on the connection.
    pub fn closes(&self) -> bool {
        let old = self.start.contains("HTTP/1.0") && !self.lists("connection", "keep-alive");
        self.until_close || old || self.lists("connection", "close")
    }

    /// Method and path of a request.
    pub fn request_line(&self) -> (&str, &str) {
        let mut words = self.start.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    /// The status of an answer.
    pub fn status(&self) -> io::Result<u16> {
        let code = self.start.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.ok_or_else(|| broken(format!("no status line: {}", self.start)))
    }

    /// The head without these headers and without the empty line.
    fn head_without(&self, names: &[&str]) -> Vec<u8> {
        let mut head = Vec::with_capacity(self.head + 32);
        for line in self.raw[..self.head].split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\r\n") {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            if !names.iter().any(|unwanted| unwanted.as_bytes().eq_ignore_ascii_case(name)) {
                head.extend_from_slice(line);
            }
        }
        head
    }

    /// The message as it came, but for these headers.
    pub fn without(&self, names: &[&str]) -> Vec<u8> {
        [&self.head_without(names)[..], b"\r\n", &self.raw[self.head..]].concat()
    }

    /// An answer's head as it came, with a Content-Length in place of other framing.
    pub fn head_with_length(&self, length: usize) -> Vec<u8> {
        let head = self.head_without(&["content-length", "transfer-encoding", "trailer"]);
        [head, format!("Content-Length: {length}\r\n\r\n").into_bytes()].concat()
    }

    fn framing_of_request(&self) -> io::Result<Framing> {
        if self.lists("transfer-encoding", "chunked") {
            return Ok(Framing::Chunked);
        }
        Ok(self.length()?.map_or(Framing::Absent, Framing::Length))
    }

    fn framing_of_answer(&self, to_head: bool) -> io::Result<Framing> {
        if to_head || matches!(self.status()?, 100..=199 | 204 | 304) {
            return Ok(Framing::Absent);
        }
        if self.lists("transfer-encoding", "chunked") {
            return Ok(Framing::Chunked);
        }
        Ok(self.length()?.map_or(Framing::UntilClose, Framing::Length))
    }

    fn length(&self) -> io::Result<Option<usize>> {
        let Some(text) = self.header("content-length") else { return Ok(None) };
        let length = text.parse().ok().filter(|length| *length <= MESSAGE_LIMIT);
        length.map(Some).ok_or_else(|| broken(format!("Content-Length: {text}")))
    }
}

/// Cuts what a stream delivers into messages.
pub struct Reader<S> {
    stream: S,
    /// What was read and belongs to no complete message yet.
    pending: Vec<u8>,
}

impl<S: Read> Reader<S> {
    pub fn new(stream: S) -> Reader<S> {
        Reader { stream, pending: Vec::new() }
    }

    /// What came of a message that broke off.
    pub fn remnant(&self) -> &[u8] {
        &self.pending
    }

    /// The next request, or nothing if the stream has ended. `expected` is called when the client awaits leave to send
    /// the body.
    pub fn request(&mut self, expected: impl FnOnce() -> io::Result<()>) -> io::Result<Option<Message>> {
        if self.pending.is_empty() && self.fill()? == 0 {
            return Ok(None);
        }
        let message = self.head()?;
        if !message.start.contains(" HTTP/1.") {
            return Err(broken(format!("no request line: {}", message.start)));
        }
        let framing = message.framing_of_request()?;
        if framing != Framing::Absent && self.pending.len() == message.head && message.lists("expect", "100-continue") {
            expected()?;
        }
        self.body(message, framing).map(Some)
    }

    /// The next answer; `to_head` is whether the request's method was HEAD. Interim answers are left out.
    pub fn answer(&mut self, to_head: bool) -> io::Result<Message> {
        loop {
            let message = self.head()?;
            let framing = message.framing_of_answer(to_head)?;
            let interim = message.status()? < 200;
            let message = self.body(message, framing)?;
            if !interim {
                return Ok(message);
            }
        }
    }

    /// Reads more; 0 means that the stream has ended.
    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(n) => {
                    self.pending.extend_from_slice(&chunk[..n]);
                    return Ok(n);
                }
            }
        }
    }

    /// Reads until so many bytes are pending.
    fn need(&mut self, length: usize) -> io::Result<()> {
        if length > MESSAGE_LIMIT {
            return Err(broken(format!("a message of more than {MESSAGE_LIMIT} bytes")));
        }
        while self.pending.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Reads until `end` is found from `from` on, and returns where it stops.
    fn find(&mut self, from: usize, end: &[u8]) -> io::Result<usize> {
        let mut searched = from;
        loop {
            if let Some(at) = self.pending[searched..].windows(end.len()).position(|window| window == end) {
                return Ok(searched + at + end.len());
            }
            // The end may lie across what is there and what comes.
            searched = searched.max((self.pending.len() + 1).saturating_sub(end.len()));
            if self.pending.len() - from > HEAD_LIMIT {
                return Err(broken(format!("a head or line of more than {HEAD_LIMIT} bytes")));
            }
            self.need(self.pending.len() + 1)?;
        }
    }

    /// Reads a head, which stays pending until its body is there too.
    fn head(&mut self) -> io::Result<Message> {
        let head = self.find(0, b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&self.pending[..head]);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let named = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        };
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| named(line).ok_or_else(|| broken(format!("no header: {line}"))));
        let headers = headers.collect::<io::Result<_>>()?;
        Ok(Message { head, start, headers, ..Message::default() })
    }

    fn body(&mut self, message: Message, framing: Framing) -> io::Result<Message> {
        let head = message.head;
        let (end, body) = match framing {
            Framing::Absent => (head, Vec::new()),
            Framing::Length(length) => {
                self.need(head + length)?;
                (head + length, self.pending[head..head + length].to_vec())
            }
            Framing::Chunked => self.chunks(head)?,
            Framing::UntilClose => {
                while self.fill()? > 0 {
                    self.need(self.pending.len())?;
                }
                (self.pending.len(), self.pending[head..].to_vec())
            }
        };
        let rest = self.pending.split_off(end);
        let raw = std::mem::replace(&mut self.pending, rest);
        Ok(Message { raw, body, until_close: framing == Framing::UntilClose, ..message })
    }

    /// Where a chunked body ends that begins at `at`, and what it holds.
    fn chunks(&mut self, mut at: usize) -> io::Result<(usize, Vec<u8>)> {
        let mut body = Vec::new();
        loop {
            let data = self.find(at, b"\r\n")?;
            let line = String::from_utf8_lossy(&self.pending[at..data]);
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).ok().filter(|size| *size <= MESSAGE_LIMIT);
            let size = size.ok_or_else(|| broken(format!("size of a chunk: {digits}")))?;
            if size == 0 {
                // Trailers, up to an empty line.
                let mut line = data;
                loop {
                    let next = self.find(line, b"\r\n")?;
                    if next == line + 2 {
                        return Ok((next, body));
                    }
                    line = next;
                }
            }
            self.need(data + size + 2)?;
            if &self.pending[data + size..data + size + 2] != b"\r\n" {
                return Err(broken("a chunk without an end".to_owned()));
            }
            body.extend_from_slice(&self.pending[data..data + size]);
            at = data + size + 2;
        }
    }
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delivers one byte at a time, so that every boundary is met.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = usize::from(!self.0.is_empty());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn request(text: &str) -> io::Result<Option<Message>> {
        Reader::new(Drip(text.as_bytes())).request(|| Ok(()))
    }

    fn answer(text: &str) -> io::Result<Message> {
        Reader::new(Drip(text.as_bytes())).answer(false)
    }

    #[test]
    fn messages_that_follow_each_other_are_cut_apart() {
        let parts = [
            "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
            "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n",
            "DELETE /d HTTP/1.1\r\nConnection: Close\r\n\r\n",
        ];
        let all = parts.concat();
        for whole in [true, false] {
            let stream: Box<dyn Read> = if whole { Box::new(all.as_bytes()) } else { Box::new(Drip(all.as_bytes())) };
            let mut reader = Reader::new(stream);
            let bodies: Vec<Vec<u8>> = vec![b"".into(), b"abc".into(), b"de0123456789".into(), b"".into()];
            for (part, body) in parts.iter().zip(bodies) {
                let message = reader.request(|| Ok(())).unwrap().unwrap();
                assert_eq!((message.raw.as_slice(), &message.body), (part.as_bytes(), &body));
                assert_eq!(message.request_line(), part.split_once(" HTTP").unwrap().0.split_once(' ').unwrap());
                assert_eq!(message.closes(), part.starts_with("DELETE"));
            }
            assert_eq!(reader.request(|| Ok(())).unwrap(), None);
        }
    }

    #[test]
    fn answers_end_by_length_chunks_close_or_status() {
        let ends = |text: &str, body: &str| {
            let message = answer(text).unwrap();
            assert_eq!((String::from_utf8_lossy(&message.raw).as_ref(), &message.body[..]), (text, body.as_bytes()));
            message.closes()
        };
        assert!(!ends("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}"));
        assert!(!ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""));
        assert!(!ends("HTTP/1.1 204 No Content\r\n\r\n", ""));
        assert!(!ends("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", ""));
        assert!(ends("HTTP/1.1 200 OK\r\n\r\nall the rest", "all the rest"));
        assert!(ends("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", ""));
        let to_head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(Reader::new(to_head.as_bytes()).answer(true).unwrap().raw, to_head.as_bytes());
        let interim = format!("HTTP/1.1 100 Continue\r\n\r\n{to_head}123456789");
        assert_eq!(answer(&interim).unwrap().status().unwrap(), 200);
    }

    #[test]
    fn what_is_broken_is_an_error_and_what_came_of_it_is_kept() {
        for text in [
            "GET /",
            "GET /\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\nno header\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        ] {
            assert!(request(text).is_err(), "{text}");
        }
        assert!(request(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(HEAD_LIMIT))).is_err());
        assert!(answer("nonsense\r\n\r\n").is_err());
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234";
        let mut reader = Reader::new(half.as_bytes());
        assert!(reader.answer(false).is_err());
        assert_eq!(reader.remnant(), half.as_bytes());
    }

    #[test]
    fn a_client_that_awaits_leave_to_send_gets_it_once() {
        let text = b"POST / HTTP/1.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx";
        let mut leave = 0;
        let message = Reader::new(Drip(text)).request(|| {
            leave += 1;
            Ok(())
        });
        assert_eq!((message.unwrap().unwrap().body, leave), (b"x".to_vec(), 1));
    }

    #[test]
    fn headers_are_taken_out_and_the_length_replaced() {
        let message =
            answer("HTTP/1.1 200 OK\r\nA: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").unwrap();
        assert_eq!(message.head_with_length(7), b"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 7\r\n\r\n");
        assert_eq!(
            message.without(&["a"]),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        );
    }
}
