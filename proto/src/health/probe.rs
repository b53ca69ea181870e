//! One run of a check: from "connect" to an [`Outcome`], for each kind of [`Dialogue`].
//!
//! The driver opens the connection, moves bytes and time, and closes; every decision is here. One deadline covers the
//! whole run (connect, request and reply), so a server that answers a byte at a time cannot hold a run open.

use super::http::{Get, HeadError, HeadReader};
use crate::time::{Duration, Instant};
use core::fmt;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a run says to the server and wants to hear.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dialogue {
    /// A TCP connection is accepted; nothing is sent.
    Tcp,
    /// An HTTP GET is answered with an accepted status.
    Http(Get),
}

/// What happened on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// Start the run.
    Start,
    /// The connection stands.
    Connected,
    /// The connection could not be made, or broke.
    Broken(Fault),
    /// The server sent these bytes.
    Read(&'a [u8]),
    /// The server has closed its side.
    Eof,
}

/// How a connection fails, as the host's sockets tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing listens (RST).
    Refused,
    /// No route, or an ICMP unreachable.
    Unreachable,
    /// The server cut the connection (RST).
    Reset,
    /// The check's own host could not do it: no source address, no file descriptor, not permitted.
    Local,
}

/// Why a run failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The connection failed or broke.
    Connection(Fault),
    /// No connection within the time allowed.
    ConnectTimeout,
    /// Connected, but no complete answer within the time allowed.
    AnswerTimeout,
    /// The server closed before its answer was complete.
    Truncated,
    /// The answer is not HTTP/1.
    NotHttp,
    /// The answer's head has no end within the bound.
    HeadTooLong,
    /// The answer's status is not one of those that pass.
    Status(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(Fault::Refused) => {
                f.write_str("connection refused: nothing listens on that port")
            }
            Self::Connection(Fault::Unreachable) => f.write_str("unreachable: no route, or the host is gone"),
            Self::Connection(Fault::Reset) => f.write_str("the server reset the connection"),
            Self::Connection(Fault::Local) => f.write_str("this host could not open the connection"),
            Self::ConnectTimeout => f.write_str("no connection within the time allowed"),
            Self::AnswerTimeout => f.write_str("connected, but no complete answer within the time allowed"),
            Self::Truncated => f.write_str("the server closed before its answer was complete"),
            Self::NotHttp => f.write_str("the answer is not HTTP/1"),
            Self::HeadTooLong => f.write_str("the answer's head is too long"),
            Self::Status(status) => write!(f, "HTTP status {status}"),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The server answered as it should.
    Pass,
    /// It did not, and why.
    Fail(Failure),
}

impl Outcome {
    /// What the run says about the server: that it passes, that it fails, or nothing, when the fault was on this side.
    pub fn evidence(self) -> Option<bool> {
        match self {
            Self::Pass => Some(true),
            Self::Fail(Failure::Connection(Fault::Local)) => None,
            Self::Fail(_) => Some(false),
        }
    }
}

/// What the driver must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open the connection.
    Connect,
    /// Send these bytes.
    Write(Vec<u8>),
    /// Close the connection, or give up opening it.
    Close,
    /// The run is over.
    Done(Outcome),
}

#[derive(Debug, Clone)]
enum State {
    Idle,
    Connecting { deadline: Instant },
    AwaitingHead { deadline: Instant, head: HeadReader },
}

/// The machine of one run after another.
#[derive(Debug, Clone)]
pub struct Probe {
    dialogue: Arc<Dialogue>,
    timeout: Duration,
    state: State,
    /// At most two: every input leads to one action, or to `Close` and `Done`.
    actions: VecDeque<Action>,
}

impl Probe {
    /// A probe at rest; `timeout` covers a whole run.
    pub fn new(dialogue: Arc<Dialogue>, timeout: Duration) -> Self {
        Self {
            dialogue,
            timeout,
            state: State::Idle,
            actions: VecDeque::new(),
        }
    }

    /// True while a run is under way.
    pub fn is_running(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Takes what happened. What does not fit the state (bytes after the end, a second start) is ignored.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match (&mut self.state, input) {
            (State::Idle, Input::Start) => {
                self.state = State::Connecting {
                    deadline: now + self.timeout,
                };
                self.actions.push_back(Action::Connect);
            }
            (State::Connecting { deadline }, Input::Connected) => {
                let deadline = *deadline;
                self.connected(deadline);
            }
            (State::Connecting { .. } | State::AwaitingHead { .. }, Input::Broken(fault)) => {
                self.finish(Outcome::Fail(Failure::Connection(fault)));
            }
            (State::AwaitingHead { head, .. }, Input::Read(bytes)) => match head.read(bytes) {
                Ok(None) => {}
                Ok(Some(status)) => self.judge_status(status),
                Err(HeadError::NotHttp) => self.finish(Outcome::Fail(Failure::NotHttp)),
                Err(HeadError::TooLong) => self.finish(Outcome::Fail(Failure::HeadTooLong)),
            },
            (State::AwaitingHead { .. }, Input::Eof) => self.finish(Outcome::Fail(Failure::Truncated)),
            (State::Idle, Input::Connected | Input::Broken(_) | Input::Read(_) | Input::Eof)
            | (State::Connecting { .. }, Input::Start | Input::Read(_) | Input::Eof)
            | (State::AwaitingHead { .. }, Input::Start | Input::Connected) => {}
        }
    }

    /// Ends a run whose deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Connecting { deadline } if deadline <= now => {
                self.finish(Outcome::Fail(Failure::ConnectTimeout));
            }
            State::AwaitingHead { deadline, .. } if deadline <= now => {
                self.finish(Outcome::Fail(Failure::AnswerTimeout));
            }
            State::Idle | State::Connecting { .. } | State::AwaitingHead { .. } => {}
        }
    }

    /// When the present run must be over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Connecting { deadline } | State::AwaitingHead { deadline, .. } => Some(*deadline),
        }
    }

    /// The next thing to do; call until `None` after every other call.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn connected(&mut self, deadline: Instant) {
        match &*self.dialogue {
            Dialogue::Tcp => self.finish(Outcome::Pass),
            Dialogue::Http(get) => {
                self.actions.push_back(Action::Write(get.request()));
                self.state = State::AwaitingHead {
                    deadline,
                    head: HeadReader::default(),
                };
            }
        }
    }

    fn judge_status(&mut self, status: u16) {
        let accepted = match &*self.dialogue {
            Dialogue::Http(get) => get.accepts(status),
            Dialogue::Tcp => false,
        };
        self.finish(if accepted {
            Outcome::Pass
        } else {
            Outcome::Fail(Failure::Status(status))
        });
    }

    fn finish(&mut self, outcome: Outcome) {
        self.state = State::Idle;
        self.actions.push_back(Action::Close);
        self.actions.push_back(Action::Done(outcome));
    }
}

#[cfg(test)]
mod tests;
