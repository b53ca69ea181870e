//! The connection to the dataplane, as the rest of the daemon sees it: a handle that never blocks.
//!
//! One task ([`task`]) owns the connection. It connects, and connects again with back-off whenever the connection
//! ends; it sends transactions, passes events on and carries queries, each with its own deadline. Nobody ever waits
//! for the dataplane who cannot be told that it is away.

mod backoff;
mod loads;
mod task;

use crate::publish::Sending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use weir_rings::counters::CountersReader;
use weir_rings::hello::Hello;
use weir_rings::message::Event;
use weir_rings::query::{Request, Response};

pub use backoff::Backoff;
pub use loads::Loads;

/// A query that has no answer after this time has failed.
pub const QUERY_DEADLINE: Duration = Duration::from_secs(2);

/// Orders and queries that may wait for the task; one past that is told that the dataplane is busy.
const ORDERS_MAX: usize = 256;
/// Reports that may wait for the daemon; past that, the task waits, and the dataplane's event ring with it.
const REPORTS_MAX: usize = 1_024;

/// What is known of the dataplane while it is connected.
pub struct Session {
    /// What it said about itself.
    pub hello: Hello,
    /// Its counters, read in place.
    pub counters: CountersReader,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("hello", &self.hello)
            .finish_non_exhaustive()
    }
}

/// What the task tells the daemon.
#[derive(Debug)]
pub enum Report {
    /// A session has begun.
    Connected(Arc<Session>),
    /// There is no session: why, and for how long the task waits before it tries again. Told once for a row of
    /// attempts that fail alike.
    Away {
        /// Why.
        why: String,
        /// True when a session has just ended.
        lost: bool,
    },
    /// The dataplane tells something.
    Event(Event),
    /// A transaction could not be sent.
    Unsent {
        /// Its generation.
        generation: u64,
        /// Why, with the fix.
        why: String,
    },
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    /// The dataplane is not connected.
    #[error("the dataplane is not connected")]
    NotConnected,
    /// It did not answer in time.
    #[error("the dataplane did not answer within {} s", QUERY_DEADLINE.as_secs())]
    TimedOut,
    /// Too many queries are under way.
    #[error("too many queries are under way; try again")]
    Busy,
    /// It answered that it cannot.
    #[error("the dataplane says: {0}")]
    Failed(String),
}

#[derive(Debug)]
enum Order {
    Send(Sending),
    Query {
        request: Request,
        reply: oneshot::Sender<Result<Response, QueryError>>,
    },
    /// End the session and begin another.
    Restart(String),
}

/// A handle on the task; clones speak to the same one.
#[derive(Debug, Clone)]
pub struct Link {
    orders: mpsc::Sender<Order>,
}

impl Link {
    /// Starts the task that keeps connecting to `socket`.
    pub fn start(socket: &Path) -> (Self, mpsc::Receiver<Report>) {
        let (orders, orders_taken) = mpsc::channel(ORDERS_MAX);
        let (reports, reports_taken) = mpsc::channel(REPORTS_MAX);
        tokio::spawn(task::Task::new(PathBuf::from(socket), orders_taken, reports).run());
        (Self { orders }, reports_taken)
    }

    /// Sends a transaction; its answer comes as an event. False when the task is not there to take it.
    pub fn send(&self, sending: Sending) -> bool {
        self.orders.try_send(Order::Send(sending)).is_ok()
    }

    /// Ends the session, because `why`, and begins another.
    pub fn restart(&self, why: &str) {
        // When the queue is full the task is not taking orders, and the next tick asks again.
        let _ = self.orders.try_send(Order::Restart(why.to_owned()));
    }

    /// Asks the dataplane's main thread.
    pub async fn query(&self, request: Request) -> Result<Response, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.orders
            .try_send(Order::Query { request, reply })
            .map_err(|_| QueryError::Busy)?;
        match tokio::time::timeout(QUERY_DEADLINE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(QueryError::NotConnected),
            Err(_) => Err(QueryError::TimedOut),
        }
    }
}
