//! A conversation: what a connector asks, answered from a recording.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::mutate::{self, Dice};
use crate::connector::contract::{Connector, Verdict};
use crate::connector::machine::{Job, Step};
use crate::connector::wire::{Body, Host, Request, Response};
use crate::error::{Error, Kind};
use crate::heap;

/// An answer as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    #[serde(with = "body_text")]
    pub body: Vec<u8>,
}

/// Bodies are text, but for some that were found.
mod body_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(body: &[u8], to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(body) {
            Ok(text) => Form::Text(text.to_owned()).serialize(to),
            Err(_) => Form::Bytes(body.to_vec()).serialize(to),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(match Form::deserialize(from)? {
            Form::Text(text) => text.into_bytes(),
            Form::Bytes(bytes) => bytes,
        })
    }
}

impl Recorded {
    fn response(&self) -> Response {
        let header = |(name, value): &(String, String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        Response {
            status: StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK),
            headers: self.headers.iter().filter_map(header).collect::<HeaderMap>(),
            body: self.body.clone().into(),
            origin: "https://api.example.com".to_owned(),
            repeated: false,
            request: Some("GET https://api.example.com/".to_owned()),
        }
    }

    fn mutate(&mut self, dice: &mut Dice) {
        const STATUSES: [u16; 26] = [
            200, 200, 200, 201, 202, 204, 206, 300, 304, 400, 401, 403, 404, 405, 408, 409, 413, 415, 420, 422, 429,
            500, 502, 503, 504, 599,
        ];
        if dice.one_in(6) {
            self.status = *dice.pick(&STATUSES);
        }
        if dice.one_in(6) {
            let (name, values) = *dice.pick(HEADERS);
            self.headers.retain(|(known, _)| known != name);
            self.headers.push((name.to_owned(), (*dice.pick(values)).to_owned()));
        }
        if !dice.one_in(6) {
            self.body = mutate::body(dice, &self.body);
        }
    }
}

const HEADERS: &[(&str, &[&str])] = &[
    (
        "retry-after",
        &[
            "0",
            "-1",
            "1.5",
            "18446744073709551615",
            "99999999999999999999999",
            "Wed, 21 Oct 2099 07:28:00 GMT",
            "x",
            "",
        ],
    ),
    (
        "date",
        &[
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Wed, 21 Oct -262144 07:28:00 GMT",
            "yesterday",
        ],
    ),
    (
        "sforce-limit-info",
        &[
            "api-usage=1/15000",
            "api-usage=1/0",
            "api-usage=99999999999999999999/1",
            "api-usage=/",
            "api-usage=-1/5",
            "x",
        ],
    ),
];

/// Changes some of the answers, and which of them come.
pub fn mutate_all(dice: &mut Dice, answers: &mut Vec<Recorded>) {
    for _ in 0..1 + dice.below(2) {
        if answers.is_empty() {
            return;
        }
        let at = dice.below(answers.len());
        match dice.below(12) {
            0 => drop(answers.remove(at)),
            1 => answers.insert(at, answers[dice.below(at + 1)].clone()),
            2 => answers.swap(at, dice.below(at + 1)),
            _ => answers[at].mutate(dice),
        }
    }
}

/// Where answers come from.
pub enum Source<'s> {
    Recording(std::vec::IntoIter<Recorded>),
    /// From an API, to be written down.
    Api(&'s dyn Fn(&Request) -> Recorded, Vec<Recorded>),
}

/// No conversation is longer; no more is read, written or followed in what was recorded.
const LONGEST: usize = 2_000;
/// No step takes longer, on a machine that does much else.
const SLOWEST: Duration = Duration::from_secs(10);
/// What a step takes besides the memory that it has asked for.
const UNASKED: usize = 1 << 20;
/// Nobody reads longer errors.
const LONGEST_ERROR: usize = 16 << 10;

pub struct Talk<'s> {
    pub connector: &'s dyn Connector,
    pub source: Source<'s>,
    /// Of the longest step.
    pub slowest: Duration,
}

impl Talk<'_> {
    fn answer(&mut self, request: &Request) -> Option<Response> {
        // However it is worded, it has to be sent.
        assert!(request.path.starts_with('/'), "a path that is none: {}", request.path);
        if request.host == Host::Api {
            self.connector.rates(request);
        }
        let answer = match &mut self.source {
            Source::Recording(answers) => answers.next()?,
            Source::Api(ask, kept) => {
                let answer = ask(request);
                kept.push(answer.clone());
                answer
            }
        };
        Some(answer.response())
    }

    /// Plays a job to its end. An error is an end like any other, but for those that are our own fault.
    pub fn play<T>(&mut self, job: Job<T>, mut take: impl FnMut(T)) {
        if let Err(error) = self.run(job, &mut take) {
            check(&error);
            assert!(error.kind() != Kind::Internal, "our own fault: {error}");
        }
    }

    fn run<T>(&mut self, mut job: Job<T>, take: &mut dyn FnMut(T)) -> Result<(), Error> {
        let mut last = None;
        let mut weight = 0;
        for _ in 0..LONGEST {
            let (request, ahead) = match self.step(&mut job, last.take(), weight)? {
                Step::Send(request) => (request, false),
                Step::SendAhead(request) => (request, true),
                Step::Sleep(_) => continue,
                Step::Yield(result) => {
                    take(result);
                    continue;
                }
                Step::Done => return Ok(()),
            };
            let answer = self.answer(&request);
            if ahead && let Step::Yield(result) = self.step(&mut job, None, weight)? {
                take(result);
            }
            let Some(response) = answer else { return Ok(()) };
            self.connector.usage(&response);
            match self.connector.classify(&response) {
                Verdict::Good => {}
                Verdict::Fail(error) if request.any_answer => {
                    check(&error);
                    // What it says of the API's refusal may well be that it is our fault.
                    return self.step(&mut job, Some(response), usize::MAX).map(drop).or(Ok(()));
                }
                Verdict::Fail(error) | Verdict::Renew(error) | Verdict::Retry { error, .. } => {
                    check(&error);
                    return Ok(());
                }
            }
            weight = heap::to_read(&response.body) + response.body.len();
            last = Some(response);
        }
        panic!("it does not end");
    }

    /// One step, which takes no more time and memory than it may.
    fn step<T>(&mut self, job: &mut Job<T>, last: Option<Response>, weight: usize) -> Result<Step<T>, Error> {
        let start = Instant::now();
        heap::watch::begin();
        let step = job.next(last);
        let (most, asked) = heap::watch::end();
        let took = start.elapsed();
        assert!(took < SLOWEST, "a step takes {took:?}");
        let allowed = weight.saturating_add(asked).saturating_add(UNASKED);
        assert!(most <= allowed, "a step takes {most} bytes, and has asked for {asked} beyond {weight}");
        self.slowest = self.slowest.max(took);
        step
    }
}

fn check(error: &Error) {
    let whole = [Some(error.message()), error.detail_text(), error.hint_text(), error.request_text()];
    let length: usize = whole.iter().flatten().map(|text| text.len()).sum();
    let begins = &error.message()[..error.message().floor_char_boundary(200)];
    assert!(length < LONGEST_ERROR, "an error of {length} bytes: {begins}");
    assert!(!error.message().is_empty());
}

/// What is sent, for an API that listens.
pub fn payload(request: &Request) -> String {
    use secrecy::ExposeSecret;
    match &request.body {
        None => String::new(),
        Some(Body::Json(json)) => String::from_utf8_lossy(json).into_owned(),
        Some(Body::SecretForm(form)) => form.expose_secret().to_owned(),
    }
}
