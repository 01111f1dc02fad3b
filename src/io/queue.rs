//! Results on their way from the I/O thread to the backend.
//!
//! The queue is bounded twice, so that memory stays flat and an early stop wastes little: by bytes, and by
//! as many results as the backend has taken so far. One result always fits, and fetching the next one
//! only stops when it is there and finds no room.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;

use super::wake::Wake;
use crate::error::{Error, Kind, Result};

/// Bytes that may lie waiting.
pub const CAP: usize = 8 << 20;

pub struct Queue<T> {
    state: Mutex<State<T>>,
    /// The backend has taken something.
    freed: Notify,
    wake: Arc<Wake>,
    cap: usize,
}

struct State<T> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    taken: usize,
    end: End,
}

impl<T> State<T> {
    fn fits(&self, weight: usize, cap: usize) -> bool {
        self.waiting.is_empty() || self.waiting.len() < self.taken && self.bytes + weight <= cap
    }
}

enum End {
    /// More may come.
    Open,
    /// What waits is followed by this.
    Coming(Result<()>),
    Over,
}

impl<T> Queue<T> {
    pub fn new(wake: Arc<Wake>, cap: usize) -> Queue<T> {
        let state = State { waiting: VecDeque::new(), bytes: 0, taken: 0, end: End::Open };
        Queue { state: Mutex::new(state), freed: Notify::new(), wake, cap }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a result in line, once there is room.
    pub async fn put(&self, result: T, weight: usize) {
        let mut result = Some(result);
        self.once(|state| {
            if !state.fits(weight, self.cap) {
                return false;
            }
            if let Some(result) = result.take() {
                state.bytes += weight;
                state.waiting.push_back((result, weight));
            }
            true
        })
        .await;
        self.wake.ring();
    }

    /// Waits until there is room for a small result. Nobody keeps it free.
    pub async fn room(&self) {
        self.once(|state| state.fits(0, self.cap)).await;
    }

    /// Tries until it works, after everything that the backend takes.
    async fn once(&self, mut works: impl FnMut(&mut State<T>) -> bool) {
        loop {
            let mut taken = std::pin::pin!(self.freed.notified());
            taken.as_mut().enable();
            if works(&mut self.state()) {
                return;
            }
            taken.await;
        }
    }

    /// Says that no more comes. Only the first word counts.
    pub fn end(&self, end: Result<()>) {
        let mut state = self.state();
        if matches!(state.end, End::Open) {
            state.end = End::Coming(end);
            drop(state);
            self.wake.ring();
        }
    }

    /// Takes the next result; after the end, `None` for ever.
    pub fn take(&self) -> Poll<Option<Result<T>>> {
        let mut state = self.state();
        if let Some((result, weight)) = state.waiting.pop_front() {
            state.bytes -= weight;
            state.taken += 1;
            drop(state);
            self.freed.notify_waiters();
            return Poll::Ready(Some(Ok(result)));
        }
        if matches!(state.end, End::Open) {
            return Poll::Pending;
        }
        match std::mem::replace(&mut state.end, End::Over) {
            End::Coming(Err(error)) => Poll::Ready(Some(Err(error))),
            _ => Poll::Ready(None),
        }
    }
}

/// The I/O thread's side of a queue: however its task ends, the backend hears of it.
pub struct Feed<T>(pub Arc<Queue<T>>);

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        // Heard only if nothing was said before.
        self.0.end(Err(Error::new(Kind::Internal, "the I/O thread ended before the answer was complete")));
    }
}
