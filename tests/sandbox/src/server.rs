//! The HTTP side: sockets to `Request`, `Response` to bytes, and in between the log, the latency and the faults,
//! which are the same for every simulated API.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::fault::Action;
use crate::http::{Refusal, Request, Response};
use crate::sandbox::Shared;

const BODY_LIMIT: usize = 64 << 20;
/// Bodies below this are not worth compressing.
const GZIP_FROM: usize = 256;

/// Accepts until the runtime ends.
pub async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::spawn(connect(stream, tls.clone(), shared.clone(), connection));
    }
}

async fn connect(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>, connection: u64) {
    // Answers are small and latency is measured.
    let _ = stream.set_nodelay(true);
    match tls {
        None => converse(stream, shared, connection).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, shared, connection).await;
            }
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>, connection: u64) {
    let service = service_fn(|request| answer(request, shared.clone(), connection));
    // An error here is a client that went away or a fault that closed the connection: both are intended.
    let _ = hyper::server::conn::http1::Builder::new()
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type Answer = hyper::Response<Script>;

async fn answer(request: hyper::Request<Incoming>, shared: Arc<Shared>, connection: u64) -> io::Result<Answer> {
    let mut request = match read(request).await {
        Ok(request) => request,
        Err(Refused::Broken(error)) => return Err(error),
        Err(Refused::With(response)) => return Ok(whole(response)),
    };
    if let Some(path) = request.path.strip_prefix("/_control/") {
        return Ok(whole(crate::control::handle(&shared, path, &request)));
    }
    let Some(api) = shared.apis.iter().find(|api| api.claims(&request.path)).cloned() else {
        shared.log.arrived(&request, connection, None);
        return Ok(whole(Response::new(404, "text/plain", "no simulated API answers here\n")));
    };
    let query_text = api.query_text(&request);
    let number = shared.log.arrived(&request, connection, query_text.clone());
    if let Some(refused) = api.admit(&request) {
        shared.log.answered(number, refused.status);
        return Ok(whole(refused));
    }
    let latency = shared.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let action = shared.faults.strike(&request, query_text.as_deref());
    let gzip =
        shared.gzip() && request.header("accept-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("gzip"));
    let pack = |response: Response| if gzip { compress(response) } else { response };
    let work = || api.handle(&request);
    let ok = |body: Bytes| Response::json(200, body);

    let answer = match action {
        None => whole(pack(work())),
        Some(Action::Status { code, body, headers }) => whole(given(code, body, headers)),
        Some(Action::StatusAfter { code, body, headers }) => {
            work();
            whole(given(code, body, headers))
        }
        Some(Action::Delay(ms)) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            whole(pack(work()))
        }
        Some(Action::DropBefore) => return Err(io::Error::other("dropped before the work")),
        Some(Action::DropAfter) => {
            work();
            return Err(io::Error::other("dropped after the work"));
        }
        Some(Action::TruncateBody) => truncated(pack(work()), true),
        Some(Action::TruncateChunked) => truncated(pack(work()), false),
        Some(Action::TruncateBodyCleanly) => {
            let mut response = work();
            response.packed = None;
            response.body.truncate(response.body.len() / 2);
            whole(pack(response))
        }
        Some(Action::Garbage) => {
            work();
            whole(ok(Bytes::from_static(b"}{ this is not JSON \xff\x00")))
        }
        Some(Action::EmptyBody) => {
            work();
            whole(ok(Bytes::new()))
        }
        Some(Action::Body(text)) => {
            work();
            whole(ok(text.into()))
        }
        Some(Action::Long { start, fill, times, end, gzip }) => {
            work();
            long(&start, &fill, times, &end, gzip)
        }
        Some(Action::Endless(text)) => {
            work();
            let builder = head(&ok(Bytes::new()));
            finish(builder, Script::new([Step::Repeat(pieces(&text, PIECE).into(), usize::MAX)]))
        }
        Some(Action::ClaimLength(bytes)) => {
            let response = work();
            let builder = head(&response).header("Content-Length", bytes);
            let pause = Step::Wait(Duration::from_millis(20));
            finish(builder, Script::new([Step::Send(response.body), pause, Step::Abort]))
        }
        Some(Action::Html(code)) => {
            whole(Response::new(code, "text/html", format!("<html><body><h1>{code}</h1></body></html>")))
        }
        Some(Action::NextLink(link)) => {
            let mut response = work();
            response.packed = None;
            response.body = api.replace_next_link(&response.body, &link).into();
            whole(pack(response))
        }
        Some(Action::RefuseRecord { at, code, message, fields, status }) => {
            request.refusal = Some(Refusal { at, code, message, fields, status });
            whole(pack(api.handle(&request)))
        }
        Some(Action::Hang) => return std::future::pending().await,
        Some(Action::SlowBody(ms)) => slow(pack(work()), Duration::from_millis(ms)),
    };
    shared.log.answered(number, answer.status().as_u16());
    Ok(answer)
}

enum Refused {
    Broken(io::Error),
    With(Response),
}

/// Reads the whole request; a compressed body is expanded.
async fn read(request: hyper::Request<Incoming>) -> Result<Request, Refused> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Refused::With(Response::new(413, "text/plain", "request body too large\n")));
        }
        Err(error) => return Err(Refused::Broken(io::Error::other(error))),
    };
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    let mut request = Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers,
        body,
        refusal: None,
    };
    if request.header("content-encoding").is_some_and(|v| v.trim().eq_ignore_ascii_case("gzip")) {
        let mut plain = Vec::new();
        let expanded = MultiGzDecoder::new(&request.body[..]).take(BODY_LIMIT as u64).read_to_end(&mut plain);
        if expanded.is_err() {
            return Err(Refused::With(Response::new(400, "text/plain", "request body is not gzip\n")));
        }
        request.body = plain.into();
    }
    Ok(request)
}

fn given(code: u16, body: String, headers: Vec<(String, String)>) -> Response {
    let mut response = Response::json(code, body);
    for (name, value) in headers {
        response.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
        response.headers.push((name, value));
    }
    response
}

fn compress(mut response: Response) -> Response {
    if response.body.len() < GZIP_FROM
        || response.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("content-encoding"))
    {
        return response;
    }
    if let Some(packed) = response.packed.take().or_else(|| gzip(&response.body)) {
        response.body = packed;
        response.headers.push(("Content-Encoding".into(), "gzip".into()));
    }
    response
}

/// Writing to a Vec cannot fail; were it to, the plain body is as good.
pub fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn head(response: &Response) -> hyper::http::response::Builder {
    let mut builder = hyper::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    builder
}

fn finish(builder: hyper::http::response::Builder, script: Script) -> Answer {
    builder.body(script).unwrap_or_else(|_| {
        // Only a header given in a fault can be malformed.
        let mut answer = hyper::Response::new(Script::whole(Bytes::from_static(b"a fault's header cannot be sent\n")));
        *answer.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        answer
    })
}

fn whole(response: Response) -> Answer {
    finish(head(&response), Script::whole(response.body))
}

fn truncated(response: Response, with_length: bool) -> Answer {
    let mut builder = head(&response);
    if with_length {
        builder = builder.header("Content-Length", response.body.len());
    }
    let half = response.body.slice(..response.body.len() / 2);
    // The pause lets the half reach the wire before the connection is torn down.
    finish(builder, Script::new([Step::Send(half), Step::Wait(Duration::from_millis(20)), Step::Abort]))
}

fn slow(response: Response, pause: Duration) -> Answer {
    let builder = head(&response).header("Content-Length", response.body.len());
    let steps = (0..response.body.len()).flat_map(|i| [Step::Wait(pause), Step::Send(response.body.slice(i..i + 1))]);
    finish(builder, Script::new(steps))
}

/// Bodies of any size are sent in pieces of about this one.
const PIECE: usize = 64 << 10;

/// A text, as often as it takes to make so many bytes.
fn pieces(text: &str, bytes: usize) -> String {
    text.repeat((bytes / text.len().max(1)).max(1))
}

fn long(start: &str, fill: &str, times: usize, end: &str, gzip: u8) -> Answer {
    let piece = pieces(fill, PIECE);
    let per_piece = (piece.len() / fill.len().max(1)).max(1);
    let (full, rest) = (times / per_piece, fill.repeat(times % per_piece));
    let response = Response::json(200, Bytes::new());
    if gzip == 0 {
        let steps = [Step::Send(start.to_owned().into()), Step::Repeat(piece.into(), full), Step::Send(rest.into())];
        return finish(head(&response), Script::new(steps.into_iter().chain([Step::Send(end.to_owned().into())])));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let texts = [start].into_iter().chain(std::iter::repeat_n(piece.as_str(), full)).chain([rest.as_str(), end]);
    for text in texts {
        // Writing to a Vec cannot fail.
        let _ = encoder.write_all(text.as_bytes());
    }
    let mut body = Bytes::from(encoder.finish().unwrap_or_default());
    for _ in 1..gzip {
        body = self::gzip(&body).unwrap_or_default();
    }
    let encoding = vec!["gzip"; gzip.into()].join(", ");
    whole(Response { body, ..response.with_header("Content-Encoding", encoding) })
}

/// A body that is performed step by step, so that it can also go wrong.
pub struct Script {
    steps: VecDeque<Step>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

enum Step {
    Send(Bytes),
    /// The same piece so many times.
    Repeat(Bytes, usize),
    Wait(Duration),
    Abort,
}

impl Script {
    fn whole(body: Bytes) -> Script {
        Script::new((!body.is_empty()).then_some(Step::Send(body)))
    }

    fn new(steps: impl IntoIterator<Item = Step>) -> Script {
        Script { steps: steps.into_iter().collect(), sleep: None }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                match sleep.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.sleep = None,
                }
            }
            return Poll::Ready(match self.steps.pop_front() {
                None => None,
                // An empty piece would end a chunked body.
                Some(Step::Send(bytes)) if bytes.is_empty() => continue,
                Some(Step::Send(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(Step::Repeat(_, 0)) => continue,
                Some(Step::Repeat(bytes, times)) => {
                    self.steps.push_front(Step::Repeat(bytes.clone(), times - 1));
                    Some(Ok(Frame::data(bytes)))
                }
                Some(Step::Abort) => Some(Err(io::Error::other("body cut short"))),
                Some(Step::Wait(pause)) => {
                    self.sleep = Some(Box::pin(tokio::time::sleep(pause)));
                    continue;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.sleep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.steps.iter().next() {
            None => SizeHint::with_exact(0),
            Some(Step::Send(bytes)) if self.steps.len() == 1 => SizeHint::with_exact(bytes.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }
}
