//! For tests: a small HTTP server that does what it is told, and a connector of one page.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use secrecy::{ExposeSecret, SecretString};

use super::buckets::Buckets;
use super::meter::Account;
use super::retry::Policy;
use super::session::{Session, Sink};
use super::token::TokenStore;
use crate::connector::contract::{Connector, Listing, Rate, Token, Usage, Verdict};
use crate::connector::machine::{Job, Machine, Step, once, ready};
use crate::connector::wire::{Body, Effect, Host, Request, Response};
use crate::error::{Error, Kind, Result};
use crate::options::{Credentials, ServerOptions};
use crate::query::ask::{Access, Ask, BoundRead, Read as PlannedRead};
use crate::query::change::{Change, Op, Outcome, Write, WriteLimits};
use crate::query::delta::{Delta, Feed, Followed};
use crate::query::page::{Page, Record, Weigh};
use crate::schema::{Field, Object};
use crate::value::Value;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// The head, lower case.
    pub head: String,
    pub body: String,
    /// Number of the connection that it came on.
    pub connection: usize,
}

/// What the server does with a request.
pub enum Reply {
    /// Status, header lines, body.
    Answer(u16, &'static str, String),
    /// These bytes, and the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, and then nothing until the client goes.
    Stall(Vec<u8>),
    /// The same, later.
    After(Duration, Box<Reply>),
}

pub fn ok(body: impl Into<String>) -> Reply {
    Reply::Answer(200, "", body.into())
}

/// An answer without content.
pub fn status(status: u16) -> Reply {
    Reply::Answer(status, "", String::new())
}

#[derive(Clone, Default)]
pub struct Log {
    seen: Arc<Mutex<Vec<Seen>>>,
    closed: Arc<AtomicUsize>,
}

pub struct Server {
    pub origin: String,
    log: Log,
}

impl Server {
    pub fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let server = Server { origin, log: Log::default() };
        let (log, answer) = (server.log.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || serve(stream.unwrap(), connection, &log, &*answer));
            }
        });
        server
    }

    /// Answers in this order whatever is asked, and with 418 after that.
    pub fn script(replies: impl IntoIterator<Item = Reply>) -> Server {
        let replies = Mutex::new(replies.into_iter().collect::<VecDeque<_>>());
        Server::start(move |_| replies.lock().unwrap().pop_front().unwrap_or_else(|| status(418)))
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap().clone()
    }

    pub fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path == path).count()
    }

    /// Waits until so many stalled connections were closed by the client; how long it took.
    pub fn wait_closed(&self, connections: usize) -> Duration {
        wait_until(|| self.log.closed.load(Ordering::SeqCst) >= connections)
    }
}

/// Waits for something that happens on another thread; how long it took.
pub fn wait_until(holds: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(5), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
    start.elapsed()
}

fn serve(stream: TcpStream, connection: usize, log: &Log, answer: &dyn Fn(&Seen) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(seen) = read_request(&mut reader, connection) {
        log.seen.lock().unwrap().push(seen.clone());
        if !reply(answer(&seen), &stream, log) {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead, connection: usize) -> Option<Seen> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).ok().filter(|&read| read > 0)?;
    }
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { method, path, head, body: String::from_utf8(body).unwrap(), connection })
}

/// Whether the connection lives on.
fn reply(reply: Reply, mut stream: &TcpStream, log: &Log) -> bool {
    match reply {
        Reply::Answer(status, headers, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n");
            stream.write_all((head + &body).as_bytes()).is_ok()
        }
        Reply::Raw(bytes) => {
            let _ = stream.write_all(&bytes);
            false
        }
        Reply::Stall(bytes) => {
            let _ = stream.write_all(&bytes);
            let _ = stream.read(&mut [0; 16]);
            log.closed.fetch_add(1, Ordering::SeqCst);
            false
        }
        Reply::After(time, later) => {
            std::thread::sleep(time);
            self::reply(*later, stream, log)
        }
    }
}

/// An API whose tokens are had at `/token`, or are the credentials' option `token`.
pub struct Toy;

impl Connector for Toy {
    fn stable_paging(&self) -> bool {
        true
    }

    fn title(&self) -> &'static str {
        "Toy"
    }

    fn domains(&self) -> &'static [&'static str] {
        &["vendor.example"]
    }

    fn list(&self, _schema: &str) -> Result<Job<Vec<Listing>>> {
        Ok(ready([]))
    }

    fn describe(&self, _object: &str) -> Job<Object> {
        ready([])
    }

    fn counts(&self, _objects: &[String]) -> Option<Job<Vec<(String, u64)>>> {
        None
    }

    fn accesses(&self, _object: &Object, _ask: &Ask) -> Vec<Access> {
        Vec::new()
    }

    fn made_at<'o>(&self, _object: &'o Object) -> Option<&'o Field> {
        None
    }

    fn read(&self, _read: &BoundRead) -> Result<Vec<Job<Page>>> {
        Ok(Vec::new())
    }

    fn retrieve(&self, _object: &str, _fields: &[Field], _keys: &[&str]) -> Result<Job<Vec<Option<Record>>>> {
        Ok(ready([]))
    }

    fn feed(&self, _object: &Object) -> Option<Feed> {
        None
    }

    fn sweep(&self, _followed: &Followed, _position: Option<&serde_json::Value>) -> Result<Job<Delta>> {
        Ok(ready([]))
    }

    fn changes(
        &self,
        _followed: &Followed,
        _position: Option<&serde_json::Value>,
        _look_back: Duration,
    ) -> Result<Job<Delta>> {
        Ok(ready([]))
    }

    fn write_limits(&self, _op: Op) -> WriteLimits {
        WriteLimits { records: 1, bytes: 1 }
    }

    fn write(&self, _write: &Write, _changes: &[Change]) -> Result<Job<Vec<Outcome>>> {
        Ok(ready([]))
    }

    fn same(&self, _field: &Field, one: &Value, other: &Value) -> bool {
        one == other
    }

    fn explain(&self, _read: &PlannedRead) -> String {
        String::new()
    }

    /// The answer reads `access refresh instance lifetime`, with `-` for what is not there.
    fn sign_in(
        &self,
        credentials: &Credentials,
        refresh: Option<&SecretString>,
        _now: SystemTime,
    ) -> Result<Job<Token>> {
        if let Some(access) = credentials.get("token").cloned() {
            let fixed = Token { access, refresh: None, instance: None, lifetime: None };
            return Ok(ready([fixed]));
        }
        let refresh = refresh.or(credentials.get("refresh_token"));
        let refresh = refresh.map_or("none", |refresh| refresh.expose_secret());
        let request = Request {
            method: reqwest::Method::POST,
            host: Host::Login,
            body: Some(Body::SecretForm(format!("refresh={refresh}").into())),
            authorized: false,
            effect: Effect::Once,
            ..Request::get("/token?client_secret=in-the-query")
        };
        Ok(once(request, |response| {
            let text = String::from_utf8(response.body.to_vec()).unwrap();
            let words: Vec<_> = text.split(' ').collect();
            let word = |at: usize| words.get(at).filter(|word| **word != "-");
            Ok(Token {
                access: words[0].into(),
                refresh: word(1).map(|&word| word.into()),
                instance: word(2).map(|word| word.parse().unwrap()),
                lifetime: word(3).map(|word| Duration::from_millis(word.parse().unwrap())),
            })
        }))
    }

    fn rates(&self, _request: &Request) -> Vec<Rate> {
        vec![Rate::per_second("the toy", None)]
    }

    fn classify(&self, response: &Response) -> Verdict {
        let text = String::from_utf8_lossy(&response.body);
        let fail = |kind| Error::new(kind, format!("the API says: {text}"));
        let retry = |error, perhaps_done, throttled| Verdict::Retry { error, after: None, perhaps_done, throttled };
        match response.status.as_u16() {
            200..=299 => Verdict::Good,
            400 => Verdict::Fail(fail(Kind::Credentials)),
            401 => Verdict::Renew(fail(Kind::Credentials)),
            429 => retry(fail(Kind::Quota), false, true),
            500..=599 => retry(fail(Kind::Dropped), true, false),
            _ => Verdict::Fail(fail(Kind::Malformed)),
        }
    }

    fn usage(&self, response: &Response) -> Option<Usage> {
        let (used, limit) = response.headers.get("x-usage")?.to_str().ok()?.split_once('/')?;
        Some(Usage { used: used.parse().ok()?, limit: limit.parse().ok()? })
    }
}

/// Sends requests one after the other and yields the bodies of their answers.
pub struct Requests(pub VecDeque<Request>);

impl Machine for Requests {
    type Out = String;

    fn next(&mut self, last: Option<Response>) -> Result<Step<String>> {
        if let Some(response) = last {
            return Ok(Step::Yield(String::from_utf8(response.body.to_vec()).unwrap()));
        }
        Ok(self.0.pop_front().map_or(Step::Done, Step::Send))
    }
}

pub fn gets<'a>(paths: impl IntoIterator<Item = &'a str>) -> Job<String> {
    Box::new(Requests(paths.into_iter().map(Request::get).collect()))
}

/// A write that must not be sent twice.
pub fn post(path: &str) -> Job<String> {
    write(path, Effect::Once)
}

pub fn write(path: &str, effect: Effect) -> Job<String> {
    let request = Request::json(reqwest::Method::POST, path, "{}", effect);
    Box::new(Requests([request].into()))
}

impl Weigh for String {
    fn weight(&self) -> usize {
        self.len()
    }

    fn rows(&self) -> usize {
        1
    }
}

pub fn server_options(origin: &str) -> ServerOptions {
    let options = [("connector", "toy"), ("base_url", origin), ("allow_insecure", "true")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    ServerOptions::read("toy_server", &options.into()).unwrap()
}

pub fn credentials<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Credentials {
    let owned = options.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Credentials::read(owned.collect())
}

/// A session whose waits are short.
pub struct Setup {
    pub options: ServerOptions,
    pub credentials: Credentials,
    pub allowed: Vec<String>,
    pub store: Arc<dyn TokenStore>,
}

impl Setup {
    pub fn new(server: &Server) -> Setup {
        Setup {
            options: server_options(&server.origin),
            credentials: credentials([("token", "fixed-token")]),
            allowed: Vec::new(),
            store: Arc::new(()),
        }
    }

    /// Tokens are had from the server.
    pub fn with_login(server: &Server) -> Setup {
        Setup { credentials: credentials([("refresh_token", "configured")]), ..Setup::new(server) }
    }

    pub fn session(self) -> Session {
        let policy = Policy {
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(4),
            ..Policy::new(self.options.max_retries)
        };
        let Setup { options, credentials, allowed, store, .. } = self;
        Session::with_policy(Arc::new(Toy), options, credentials, allowed, store, Buckets::private(), policy).unwrap()
    }
}

/// Keeps results in memory.
struct Kept(Mutex<Vec<String>>);

impl Sink<String> for Kept {
    async fn room(&self) {}

    async fn put(&self, result: String) {
        self.0.lock().unwrap().push(result);
    }
}

/// Runs a job to its end.
pub async fn run(session: &Session, job: Job<String>, account: &Account) -> Result<Vec<String>> {
    let kept = Kept(Mutex::default());
    session.run(job, account, &kept).await?;
    Ok(kept.0.into_inner().unwrap())
}
