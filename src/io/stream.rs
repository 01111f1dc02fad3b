//! The results of a scan or of a call, as they arrive.

use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::queue::{Feed, Queue};
use crate::connector::machine::Job;
use crate::error::{Error, Kind, Result};
use crate::http::meter::Account;
use crate::http::session::{Session, Sink};
use crate::query::page::Weigh;

/// Results in order of arrival. Dropping it aborts its requests and closes their connections.
pub struct Stream<T> {
    queue: Arc<Queue<T>>,
    task: AbortHandle,
}

impl<T> Stream<T> {
    /// Never blocks. `Ready(None)` after the end; after an error only that.
    pub fn poll(&mut self) -> Poll<Option<Result<T>>> {
        self.queue.take()
    }
}

impl<T> Drop for Stream<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts jobs on the I/O thread. The first error ends them all.
pub fn start<T: Weigh + Send + 'static>(
    thread: &Handle,
    session: Arc<Session>,
    jobs: Vec<Job<T>>,
    account: Account,
    queue: Queue<T>,
) -> Stream<T> {
    let queue = Arc::new(queue);
    let feed = Feed(queue.clone());
    let task = thread.spawn(async move {
        let end = run(&session, jobs, &account, &feed).await;
        feed.0.end(end);
    });
    Stream { queue, task: task.abort_handle() }
}

async fn run<T: Weigh + Send + 'static>(
    session: &Arc<Session>,
    jobs: Vec<Job<T>>,
    account: &Account,
    feed: &Feed<T>,
) -> Result<()> {
    // Dropped with this future, and its tasks with it.
    let mut running = JoinSet::new();
    for job in jobs {
        if running.len() >= session.max_concurrency() {
            ended(running.join_next().await)?;
        }
        let (session, sink) = (session.clone(), Line { queue: feed.0.clone(), account: account.clone() });
        running.spawn(async move { session.run(job, &sink.account, &sink).await });
    }
    while !running.is_empty() {
        ended(running.join_next().await)?;
    }
    Ok(())
}

/// Puts results in line, and counts their rows.
struct Line<T> {
    queue: Arc<Queue<T>>,
    account: Account,
}

impl<T: Weigh + Send> Sink<T> for Line<T> {
    async fn room(&self) {
        self.queue.room().await;
    }

    async fn put(&self, result: T) {
        self.account.count_rows(result.rows());
        let weight = result.weight();
        self.queue.put(result, weight).await;
    }
}

fn ended(task: Option<Result<Result<()>, JoinError>>) -> Result<()> {
    match task {
        None => Ok(()),
        Some(Ok(end)) => end,
        Some(Err(error)) => Err(ended_early(error)),
    }
}

/// What a panic or an abort of a task means. A connector's own never gets here.
fn ended_early(error: JoinError) -> Error {
    let panic = error.try_into_panic().ok();
    let text = panic.as_ref().and_then(|panic| panic.downcast_ref::<String>());
    // Tokio looks names up on a thread of its own, and panics if the system refuses it one.
    if text.is_some_and(|text| text.contains("can't spawn worker thread")) {
        let message = "the system has no memory or thread left for this process";
        return Error::new(Kind::OutOfMemory, message)
            .hint("Give the server more of it, or have it run fewer processes.");
    }
    Error::new(Kind::Internal, "a task of the I/O thread ended before its time")
}
