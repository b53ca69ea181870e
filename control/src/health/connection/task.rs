//! A small task that makes a run's steps and tells them; it ends with the run.

use std::future::Future;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use weir_proto::health::probe::Fault;

/// Steps told and not yet taken; a task that is ahead waits.
const EVENTS_MAX: usize = 8;
/// No dialogue writes more often before it hears something.
const WRITES_MAX: usize = 4;

/// What happened; owns what [`Input`](weir_proto::health::probe::Input) borrows.
#[derive(Debug)]
pub(super) enum Event {
    Bound(SocketAddr),
    Connected,
    Read(Vec<u8>),
    Code(u32),
    Eof,
    Broken(Fault),
}

/// The task's end of the two queues.
pub(super) struct Line {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) writes: mpsc::Receiver<Vec<u8>>,
}

impl Line {
    /// Tells a step. When nobody listens any more, the run is over and the task about to be ended.
    pub(super) async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

/// The run's end.
pub(in crate::health) struct Task {
    events: mpsc::Receiver<Event>,
    writes: mpsc::Sender<Vec<u8>>,
    abort: Option<AbortHandle>,
}

impl Task {
    /// Starts a task that is ended with the run.
    pub(super) fn start<F: Future<Output = ()> + Send + 'static>(work: impl FnOnce(Line) -> F) -> Self {
        let (mut task, line) = Self::lines();
        task.abort = Some(tokio::spawn(work(line)).abort_handle());
        task
    }

    /// Starts a task that ends by itself, in bounded time, and has something to put in order then.
    pub(super) fn start_detached<F: Future<Output = ()> + Send + 'static>(
        work: impl FnOnce(Line) -> F,
    ) -> Self {
        let (task, line) = Self::lines();
        tokio::spawn(work(line));
        task
    }

    fn lines() -> (Self, Line) {
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let (writes, writes_out) = mpsc::channel(WRITES_MAX);
        let task = Self {
            events,
            writes,
            abort: None,
        };
        let line = Line {
            events: events_in,
            writes: writes_out,
        };
        (task, line)
    }

    pub(super) fn write(&mut self, bytes: Vec<u8>) {
        // Full or closed: the task is stuck or gone, and the deadline says so.
        let _ = self.writes.try_send(bytes);
    }

    /// The next step; none after the last. Cancel-safe.
    pub(super) async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}
