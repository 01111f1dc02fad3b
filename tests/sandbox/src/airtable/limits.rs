//! The rate limits: so many requests in any second for each base and for each token, and a penalty for more.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::switches::{RateLimitBody, Switches};
use crate::http::Response;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Limits(Mutex<State>);

#[derive(Default)]
struct State {
    bases: HashMap<String, Window>,
    tokens: HashMap<String, Window>,
    refused: u64,
}

/// What arrived in the last second, and until when nothing more is let in.
#[derive(Default)]
struct Window {
    recent: VecDeque<Instant>,
    closed_until: Option<Instant>,
    /// The most requests that were ever seen within one second.
    most: usize,
}

impl Window {
    /// Notes a request; returns how long it is refused for, if it is. A request during the penalty does not prolong it.
    fn note(&mut self, now: Instant, limit: usize, penalty: Duration) -> Option<Duration> {
        while self.recent.front().is_some_and(|at| now.duration_since(*at) >= SECOND) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.most = self.most.max(self.recent.len());
        if let Some(end) = self.closed_until.filter(|end| *end > now) {
            return Some(end - now);
        }
        if limit > 0 && self.recent.len() > limit {
            self.closed_until = Some(now + penalty);
            return Some(penalty);
        }
        None
    }
}

impl Limits {
    /// Notes a request that arrives now; the answer to it, if it is one too many.
    pub fn admit(&self, base: Option<&str>, token: &str, switches: &Switches) -> Option<Response> {
        let now = Instant::now();
        let penalty = Duration::from_millis(switches.penalty_ms);
        let mut state = crate::lock(&self.0);
        let of_base = base.and_then(|base| {
            let window = state.bases.entry(base.to_owned()).or_default();
            window.note(now, switches.requests_per_second, penalty)
        });
        let window = state.tokens.entry(token.to_owned()).or_default();
        let of_token = window.note(now, switches.requests_per_second_and_token, penalty);
        let left = of_base.max(of_token)?;
        state.refused += 1;
        let response = refusal(switches.rate_limit_body);
        let seconds = left.as_secs_f64().ceil() as u64;
        Some(if switches.retry_after { response.with_header("Retry-After", seconds.to_string()) } else { response })
    }

    /// For each base the most requests within one second, and how many were refused in all.
    pub fn json(&self) -> Json {
        let state = crate::lock(&self.0);
        let most: BTreeMap<_, _> = state.bases.iter().map(|(base, window)| (base, window.most)).collect();
        json!({ "most_in_a_second": most, "refused": state.refused })
    }

    /// Forgets all of it, penalties too.
    pub fn clear(&self) {
        *crate::lock(&self.0) = State::default();
    }
}

fn refusal(body: RateLimitBody) -> Response {
    const MESSAGE: &str = "Rate limit exceeded. Please try again later";
    match body {
        RateLimitBody::Errors => {
            Response::value(429, &json!({ "errors": [{ "error": "RATE_LIMIT_REACHED", "message": MESSAGE }] }))
        }
        RateLimitBody::Error => ApiError::new(429, "TOO_MANY_REQUESTS", MESSAGE).response(),
    }
}

/// What 429 says once the month's calls are spent.
pub fn spent() -> Response {
    let error = json!({ "error": "PUBLIC_API_BILLING_LIMIT_EXCEEDED", "message": "API billing plan limit exceeded" });
    Response::value(429, &json!({ "errors": [error] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_request_of_a_second_closes_the_base_for_the_penalty() {
        let mut window = Window::default();
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let penalty = Duration::from_secs(30);
        for ms in [0, 10, 20, 30, 40, 1000] {
            assert_eq!(window.note(at(ms), 5, penalty), None, "{ms}");
        }
        assert_eq!(window.note(at(1005), 5, penalty), Some(penalty));
        assert_eq!(window.note(at(31_004), 5, penalty), Some(Duration::from_millis(1)));
        assert_eq!(window.note(at(31_006), 5, penalty), None);
        assert_eq!(window.most, 6);
    }

    #[test]
    fn bases_are_counted_apart_and_tokens_over_all_of_them() {
        let limits = Limits::default();
        let switches = Switches { requests_per_second: 2, requests_per_second_and_token: 4, ..Switches::default() };
        let admitted = |base: &str| limits.admit(Some(base), "t", &switches).is_none();
        assert!(admitted("a") && admitted("a") && admitted("b") && admitted("b"));
        assert!(!admitted("c"), "the token's fifth");
        limits.clear();
        assert!(admitted("a") && admitted("a") && !admitted("a") && admitted("b"));
        assert_eq!(limits.json()["most_in_a_second"]["a"], 3);
    }
}
