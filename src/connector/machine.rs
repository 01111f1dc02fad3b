//! How a connector says which request comes next.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use super::wire::{Request, Response};
use crate::error::{Error, Result};

/// What a machine wants done.
pub enum Step<T> {
    /// Send this; the answer comes with the next call.
    Send(Request),
    /// Send this, once there is room for a result; while it is under way call once without an answer, for the result
    /// that is waiting to be read from the answer before. Then as [`Step::Send`].
    SendAhead(Request),
    /// Call again after this time.
    #[allow(dead_code, reason = "for APIs whose jobs are polled")]
    Sleep(Duration),
    /// A result; more may follow. The next call comes without an answer.
    Yield(T),
    /// There is no more. The machine is not called again.
    Done,
}

impl<T> Step<T> {
    /// The same step with another result.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Step::Send(request) => Step::Send(request),
            Step::SendAhead(request) => Step::SendAhead(request),
            Step::Sleep(time) => Step::Sleep(time),
            Step::Yield(result) => Step::Yield(change(result)),
            Step::Done => Step::Done,
        }
    }
}

/// A conversation with an API: given the last answer, what comes next.
///
/// Every answer it sees has passed [`Connector::classify`](super::contract::Connector::classify) as good.
pub trait Machine: Send {
    type Out;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Self::Out>>;
}

/// A machine on its way to whoever runs it.
pub type Job<T> = Box<dyn Machine<Out = T>>;

/// A machine of one request and one result.
pub fn once<T: 'static>(request: Request, read: impl FnOnce(Response) -> Result<T> + Send + 'static) -> Job<T> {
    Box::new(Once { request: Some(request), read: Some(read) })
}

struct Once<R> {
    request: Option<Request>,
    read: Option<R>,
}

impl<T, R: FnOnce(Response) -> Result<T> + Send> Machine for Once<R>
where
    R: FnOnce(Response) -> Result<T>,
{
    type Out = T;

    fn next(&mut self, last: Option<Response>) -> Result<Step<T>> {
        if let Some(request) = self.request.take() {
            return Ok(Step::Send(request));
        }
        match (last, self.read.take()) {
            (Some(response), Some(read)) => read(response).map(Step::Yield),
            _ => Ok(Step::Done),
        }
    }
}

/// A machine of one request whose answer has several results.
pub fn each<T: Send + 'static>(
    request: Request,
    read: impl FnOnce(Response) -> Result<Vec<T>> + Send + 'static,
) -> Job<T> {
    Box::new(Each { whole: once(request, read), results: VecDeque::new() })
}

struct Each<T> {
    whole: Job<Vec<T>>,
    results: VecDeque<T>,
}

impl<T: Send> Machine for Each<T> {
    type Out = T;

    fn next(&mut self, last: Option<Response>) -> Result<Step<T>> {
        loop {
            if let Some(result) = self.results.pop_front() {
                return Ok(Step::Yield(result));
            }
            match self.whole.next(last.clone())? {
                Step::Yield(results) if results.is_empty() => {}
                Step::Yield(results) => self.results = results.into(),
                Step::Send(request) | Step::SendAhead(request) => return Ok(Step::Send(request)),
                Step::Sleep(time) => return Ok(Step::Sleep(time)),
                Step::Done => return Ok(Step::Done),
            }
        }
    }
}

/// A machine that fails at its first step.
pub fn failed<T: Send + 'static>(error: Error) -> Job<T> {
    Box::new(Failed(Some(error), PhantomData))
}

struct Failed<T>(Option<Error>, PhantomData<T>);

impl<T: Send> Machine for Failed<T> {
    type Out = T;

    fn next(&mut self, _last: Option<Response>) -> Result<Step<T>> {
        self.0.take().map_or(Ok(Step::Done), Err)
    }
}

/// A machine that has its results already.
pub fn ready<T: Send + 'static>(results: impl IntoIterator<Item = T>) -> Job<T> {
    Box::new(Ready(results.into_iter().collect()))
}

struct Ready<T>(VecDeque<T>);

impl<T: Send> Machine for Ready<T> {
    type Out = T;

    fn next(&mut self, _last: Option<Response>) -> Result<Step<T>> {
        Ok(self.0.pop_front().map_or(Step::Done, Step::Yield))
    }
}
