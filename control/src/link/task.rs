//! The task that owns the connection: a loop of sessions with waits between them.

use super::{Backoff, Order, QueryError, Report, Session};
use crate::publish::Sending;
use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use weir_rings::link::{CommitError, ControlEnd, Output};
use weir_rings::query::{Request, Response};

/// How long the dataplane may take to say hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(2);
/// Queries that may be under way.
const QUERIES_MAX: usize = 256;

type Reply = oneshot::Sender<Result<Response, QueryError>>;

/// The daemon has gone: there is nobody to work for.
struct Orphaned;

/// Why a session ended.
enum Ended {
    /// The connection is gone, or was given up.
    Lost(String),
    /// The daemon has gone.
    Orphaned,
}

impl From<Orphaned> for Ended {
    fn from(_: Orphaned) -> Self {
        Self::Orphaned
    }
}

pub(super) struct Task {
    socket: PathBuf,
    orders: mpsc::Receiver<Order>,
    reports: mpsc::Sender<Report>,
    /// What was told last about the dataplane's absence.
    told: Option<String>,
}

impl Task {
    pub(super) fn new(socket: PathBuf, orders: mpsc::Receiver<Order>, reports: mpsc::Sender<Report>) -> Self {
        Self {
            socket,
            orders,
            reports,
            told: None,
        }
    }

    /// Keeps a session going until the daemon has gone.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let outcome = match self.connect().await {
                Ok(end) => {
                    backoff.succeeded();
                    self.told = None;
                    self.session(end).await
                }
                Err(why) => self.tell_away(why, false).await.map_err(Ended::from),
            };
            let outcome = match outcome {
                Err(Ended::Lost(why)) => self.tell_away(why, true).await.map_err(Ended::from),
                other => other,
            };
            if outcome.is_err() || self.rest(backoff.failed()).await.is_err() {
                return;
            }
        }
    }

    /// Connects on a thread of its own: a stopped dataplane may take its time to say hello.
    async fn connect(&self) -> Result<ControlEnd, String> {
        let socket = self.socket.clone();
        let attempt = tokio::task::spawn_blocking(move || ControlEnd::connect(&socket, HELLO_DEADLINE)).await;
        match attempt {
            Ok(Ok(end)) => Ok(end),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn tell(&self, report: Report) -> Result<(), Orphaned> {
        self.reports.send(report).await.map_err(|_| Orphaned)
    }

    /// Tells a reason once, however often it comes.
    async fn tell_away(&mut self, why: String, lost: bool) -> Result<(), Orphaned> {
        if !lost && self.told.as_ref() == Some(&why) {
            return Ok(());
        }
        self.told = Some(why.clone());
        self.tell(Report::Away { why, lost }).await
    }

    /// Waits before the next attempt; whoever asks meanwhile is told that there is no connection.
    async fn rest(&mut self, wait: Duration) -> Result<(), Orphaned> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            match tokio::time::timeout_at(until, self.orders.recv()).await {
                Err(_) => return Ok(()),
                Ok(None) => return Err(Orphaned),
                Ok(Some(Order::Query { reply, .. })) => drop(reply.send(Err(QueryError::NotConnected))),
                Ok(Some(Order::Send(_) | Order::Restart(_))) => {}
            }
        }
    }

    async fn session(&mut self, end: ControlEnd) -> Result<(), Ended> {
        let session = Session {
            hello: end.hello().clone(),
            counters: end.counters().clone(),
        };
        let bell = watch(end.bell_fd())?;
        let socket = watch(end.socket_fd())?;
        self.tell(Report::Connected(Arc::new(session))).await?;
        let mut end = end;
        let mut queries = HashMap::new();
        loop {
            tokio::select! {
                ready = bell.readable() => {
                    ready.map_err(lost)?;
                    self.serve(&mut end, &mut queries, &bell).await?;
                }
                // Requests are short and are read at once; what the socket would not take goes with the next wake-up.
                ready = socket.readable() => {
                    ready.map_err(lost)?;
                    self.serve(&mut end, &mut queries, &socket).await?;
                }
                order = self.orders.recv() => match order {
                    None => return Err(Ended::Orphaned),
                    Some(Order::Send(sending)) => self.send(&mut end, sending).await?,
                    Some(Order::Query { request, reply }) => ask(&mut end, &mut queries, request, reply),
                    Some(Order::Restart(why)) => return Err(Ended::Lost(why)),
                },
            }
            self.pass_on(&mut end, &mut queries).await?;
        }
    }

    /// Lets the end work until it finds nothing more. Only then is the readiness that woke us taken back, so that no
    /// wake-up is lost between.
    async fn serve(
        &self,
        end: &mut ControlEnd,
        queries: &mut HashMap<u64, Reply>,
        woken_by: &UnixStream,
    ) -> Result<(), Ended> {
        loop {
            let more = woken_by.try_io(Interest::READABLE, || {
                end.poll();
                if end.has_more() {
                    Ok(())
                } else {
                    Err(io::ErrorKind::WouldBlock.into())
                }
            });
            if more.is_err() || end.closed().is_some() {
                return Ok(());
            }
            self.pass_on(end, queries).await?;
            tokio::task::yield_now().await;
        }
    }

    async fn send(&self, end: &mut ControlEnd, sending: Sending) -> Result<(), Ended> {
        let generation = sending.generation;
        match end.commit(generation, sending.full, sending.commands) {
            Ok(()) => Ok(()),
            Err(CommitError::Closed(why)) => Err(Ended::Lost(why.to_string())),
            Err(error) => Ok(self
                .tell(Report::Unsent {
                    generation,
                    why: error.to_string(),
                })
                .await?),
        }
    }

    /// Passes on what has come.
    async fn pass_on(&self, end: &mut ControlEnd, queries: &mut HashMap<u64, Reply>) -> Result<(), Ended> {
        while let Some(output) = end.next_output() {
            match output {
                Output::Event(event) => self.tell(Report::Event(event)).await?,
                Output::Answer { id, answer } => {
                    if let Some(reply) = queries.remove(&id) {
                        // An asker that has given up misses nothing.
                        drop(reply.send(answer.map_err(QueryError::Failed)));
                    }
                }
                Output::Closed(why) => return Err(Ended::Lost(why.to_string())),
            }
        }
        Ok(())
    }
}

fn ask(end: &mut ControlEnd, queries: &mut HashMap<u64, Reply>, request: Request, reply: Reply) {
    queries.retain(|_, waiting| !waiting.is_closed());
    if queries.len() >= QUERIES_MAX {
        return drop(reply.send(Err(QueryError::Busy)));
    }
    match end.query(request) {
        Ok(id) => drop(queries.insert(id, reply)),
        Err(error) => drop(reply.send(Err(QueryError::Failed(error.to_string())))),
    }
}

/// Watches a descriptor of the end, which is a Unix stream socket; a duplicate, because the end keeps its own.
fn watch(fd: BorrowedFd<'_>) -> Result<UnixStream, Ended> {
    let own = fd.try_clone_to_owned().map_err(lost)?;
    UnixStream::from_std(own.into()).map_err(lost)
}

fn lost(error: io::Error) -> Ended {
    Ended::Lost(error.to_string())
}
