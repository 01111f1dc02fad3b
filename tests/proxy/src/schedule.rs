//! What is to happen to which request.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A request as a schedule sees it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Counts from 0 over the life of the proxy, in the order of arrival.
    pub number: u64,
    /// The same number means the same TCP connection of the client.
    pub connection: u64,
    pub method: String,
    /// Path and query, as in the request line.
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// Without the framing of chunks; a compressed body stays compressed.
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Equal for a request and its repetition.
    fn likeness(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.method, &self.path, &self.body).hash(&mut hasher);
        hasher.finish()
    }
}

/// What is to happen to a request. Forwarded means that the server may do its work.
///
/// Where the connection is not closed, it is kept alive.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Forwarded, and the answer passed on as it is.
    Pass,
    /// Not forwarded; the client's connection is closed.
    DropBefore,
    /// Forwarded; the whole answer is awaited and thrown away, the client's connection closed.
    DropAfter,
    /// Forwarded at once; the answer is passed on so much later than it came.
    Delay(Duration),
    /// Forwarded; head and half of the body, then the connection is closed. An answer without a body loses half of its
    /// head, so that none arrives whole.
    Truncate,
    /// Forwarded; half of the body with a Content-Length that fits: a valid message of broken content. The server is
    /// not told that the client accepts compression, so it is the content that breaks. No body stays no body.
    TruncateCleanly,
    /// Forwarded; 200 with a body that is no JSON.
    Garbage,
    /// Forwarded; 200 with Content-Length 0.
    Empty,
    /// Not forwarded; this answer. It is JSON unless the headers say otherwise; Content-Length is added.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Forwarded; this answer instead of the server's.
    AnswerAfter { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Not forwarded; nothing is answered until the client closes, 30 s at most.
    Hang,
}

impl Action {
    /// `Answer` without headers.
    pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> Action {
        Action::Answer { status, headers: Vec::new(), body: body.into() }
    }

    /// `AnswerAfter` without headers.
    pub fn answer_after(status: u16, body: impl Into<Vec<u8>>) -> Action {
        Action::AnswerAfter { status, headers: Vec::new(), body: body.into() }
    }

    /// Another header of an `Answer` or `AnswerAfter`; other actions have none.
    pub fn header(mut self, name: &str, value: &str) -> Action {
        if let Action::Answer { headers, .. } | Action::AnswerAfter { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// `AnswerAfter` instead of `Answer`; any other action is as it was.
    pub fn once_done(self) -> Action {
        match self {
            Action::Answer { status, headers, body } => Action::AnswerAfter { status, headers, body },
            other => other,
        }
    }

    /// Whether the server gets the request.
    pub fn forwards(&self) -> bool {
        !matches!(self, Action::DropBefore | Action::Answer { .. } | Action::Hang)
    }
}

/// So many strikes in a row a random schedule deals out unless told otherwise.
const USUAL_LIMIT: usize = 2;

/// Decides about each request in the order of arrival. It is one closure at a time that decides, also where requests
/// arrive on several connections.
pub struct Schedule {
    decide: Box<dyn FnMut(&Request) -> Action + Send>,
    limit: Option<Limit>,
}

impl Schedule {
    pub fn new(decide: impl FnMut(&Request) -> Action + Send + 'static) -> Schedule {
        Schedule { decide: Box::new(decide), limit: None }
    }

    /// Nothing goes wrong.
    pub fn pass() -> Schedule {
        Schedule::always(Action::Pass)
    }

    /// The same for every request.
    pub fn always(action: Action) -> Schedule {
        Schedule::new(move |_| action.clone())
    }

    /// Strikes the request of this number alone, counted from 0 by this schedule.
    pub fn nth(n: usize, action: Action) -> Schedule {
        let mut strike = Some(action);
        let mut before = n;
        Schedule::new(move |_| {
            if before == 0 {
                return strike.take().unwrap_or(Action::Pass);
            }
            before -= 1;
            Action::Pass
        })
    }

    /// One action for each request in turn, then nothing more goes wrong.
    pub fn sequence(actions: impl Into<Vec<Action>>) -> Schedule {
        let mut actions = actions.into().into_iter();
        Schedule::new(move |_| actions.next().unwrap_or(Action::Pass))
    }

    /// Strikes each request with the probability `rate`, with one of the actions, and by default twice in a row at most.
    /// The same seed and the same requests give the same actions.
    pub fn random(seed: u64, rate: f64, actions: impl Into<Vec<Action>>) -> Schedule {
        let actions = actions.into();
        let mut dice = Dice(seed);
        let decide = move |_: &Request| {
            // Both are drawn for every request, so that one request's fate does not move another's.
            let (strikes, which) = (dice.chance() < rate, dice.below(actions.len()));
            which.filter(|_| strikes).map_or(Action::Pass, |which| actions[which].clone())
        };
        Schedule::new(decide).limit(USUAL_LIMIT)
    }

    /// Requests for which `matches` is false pass and are not counted.
    pub fn only(self, mut matches: impl FnMut(&Request) -> bool + Send + 'static) -> Schedule {
        let Schedule { mut decide, limit } = self;
        let decide = move |request: &Request| if matches(request) { decide(request) } else { Action::Pass };
        Schedule { decide: Box::new(decide), limit }
    }

    /// After so many strikes in a row a request passes: in a row among all requests, and also among the repetitions of
    /// one (same method, path and body) whatever comes between them. So whoever tries `n` times more gets through.
    pub fn limit(mut self, n: usize) -> Schedule {
        self.limit = Some(Limit { most: n, row: 0, rows: HashMap::new() });
        self
    }

    /// What is to happen to this request.
    pub fn decide(&mut self, request: &Request) -> Action {
        let action = (self.decide)(request);
        match &mut self.limit {
            Some(limit) => limit.apply(request, action),
            None => action,
        }
    }
}

impl<F: FnMut(&Request) -> Action + Send + 'static> From<F> for Schedule {
    fn from(decide: F) -> Schedule {
        Schedule::new(decide)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schedule")
    }
}

struct Limit {
    most: usize,
    /// Strikes in a row among all requests.
    row: usize,
    /// Strikes in a row by the likeness of the request; none that is zero.
    rows: HashMap<u64, usize>,
}

impl Limit {
    fn apply(&mut self, request: &Request, action: Action) -> Action {
        let key = request.likeness();
        let own = self.rows.get(&key).copied().unwrap_or(0);
        if action == Action::Pass || self.row >= self.most || own >= self.most {
            self.row = 0;
            self.rows.remove(&key);
            return Action::Pass;
        }
        self.row += 1;
        self.rows.insert(key, own + 1);
        action
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): good enough for dice, in five lines.
pub struct Dice(u64);

impl Dice {
    /// The same throws for the same numbers.
    pub fn new(numbers: &[u64]) -> Dice {
        let mut dice = Dice(0);
        for number in numbers {
            dice.0 ^= number;
            dice.0 = dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, but not, 1.
    pub fn chance(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An index below `n`; draws also where there is none.
    pub fn below(&mut self, n: usize) -> Option<usize> {
        let drawn = self.next();
        drawn.checked_rem(n as u64).map(|index| index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str) -> Request {
        Request { method: method.to_owned(), path: path.to_owned(), ..Request::default() }
    }

    /// The actions for `n` requests that all differ.
    fn run(mut schedule: Schedule, n: usize) -> Vec<Action> {
        (0..n).map(|i| schedule.decide(&request("GET", &format!("/{i}")))).collect()
    }

    fn all() -> Vec<Action> {
        vec![Action::DropBefore, Action::DropAfter, Action::Truncate, Action::answer(503, "")]
    }

    #[test]
    fn splitmix_draws_the_numbers_of_its_reference() {
        let mut dice = Dice(1234567);
        let drawn: Vec<u64> = (0..3).map(|_| dice.next()).collect();
        assert_eq!(drawn, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn the_nth_request_that_matches_is_struck_and_no_other() {
        let mut schedule = Schedule::nth(1, Action::Hang).only(|request| request.method == "POST");
        let methods = ["POST", "GET", "GET", "POST", "POST", "GET"];
        let struck: Vec<bool> =
            methods.iter().map(|method| schedule.decide(&request(method, "/")) == Action::Hang).collect();
        assert_eq!(struck, [false, false, false, true, false, false]);
    }

    #[test]
    fn a_sequence_ends_in_passing() {
        let schedule = Schedule::sequence([Action::Empty, Action::Pass, Action::Hang]);
        assert_eq!(run(schedule, 4), [Action::Empty, Action::Pass, Action::Hang, Action::Pass]);
    }

    #[test]
    fn a_closure_is_a_schedule() {
        let mut seen = 0;
        let schedule = Schedule::from(move |request: &Request| {
            seen += 1;
            if request.path == "/1" && seen == 2 { Action::Garbage } else { Action::Pass }
        });
        assert_eq!(run(schedule, 3), [Action::Pass, Action::Garbage, Action::Pass]);
    }

    #[test]
    fn the_same_seed_gives_the_same_actions_and_another_gives_others() {
        let actions = |seed| run(Schedule::random(seed, 0.4, all()), 500);
        assert_eq!(actions(7), actions(7));
        assert_ne!(actions(7), actions(8));
    }

    #[test]
    fn a_rate_is_kept_and_every_action_comes_up() {
        let actions = run(Schedule::random(3, 0.25, all()).limit(usize::MAX), 10_000);
        let struck = actions.iter().filter(|action| **action != Action::Pass).count();
        assert!((2300..2700).contains(&struck), "{struck}");
        assert!(all().iter().all(|action| actions.iter().filter(|a| *a == action).count() > 400));
        assert!(run(Schedule::random(3, 0.0, all()), 100).iter().all(|action| *action == Action::Pass));
        assert!(run(Schedule::random(3, 1.0, []), 100).iter().all(|action| *action == Action::Pass));
    }

    #[test]
    fn never_more_strikes_in_a_row_than_the_limit() {
        for limit in [0, 1, 3] {
            let actions = run(Schedule::random(5, 0.9, all()).limit(limit), 2000);
            let rows = actions.split(|action| *action == Action::Pass).map(<[Action]>::len);
            assert_eq!(rows.max(), Some(limit));
        }
    }

    #[test]
    fn what_comes_between_repetitions_does_not_lengthen_their_row() {
        let mut schedule = Schedule::new(|request| if request.path == "/a" { Action::Empty } else { Action::Pass });
        schedule = schedule.limit(2);
        let mut struck = || {
            schedule.decide(&request("POST", "/token"));
            schedule.decide(&request("GET", "/a")) == Action::Empty
        };
        assert_eq!([struck(), struck(), struck(), struck()], [true, true, false, true]);
    }
}
