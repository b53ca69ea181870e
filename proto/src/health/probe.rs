//! One run of a check: from "connect" to an [`Outcome`], for each kind of [`Dialogue`].
//!
//! The driver opens the connection, moves bytes and time, and closes; every decision is here. One deadline covers the
//! whole run (connect, request and reply), so a server that answers a byte at a time cannot hold a run open.

use super::dialogue::Reader;
use super::reader::Progress;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

pub use super::dialogue::Dialogue;
pub use super::failure::{Failure, Fault, Outcome};

/// What happened on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// Start the run.
    Start,
    /// The near end of the connection that is being opened, for packets that the dialogue itself writes.
    Bound(SocketAddr),
    /// The connection stands.
    Connected,
    /// The connection could not be made, or broke.
    Broken(Fault),
    /// The server sent these bytes.
    Read(&'a [u8]),
    /// What is no byte of an answer: an exit status, an HTTP/2 status, a grpc-status.
    Code(u32),
    /// The server has closed its side.
    Eof,
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
    Connecting {
        deadline: Instant,
        part: usize,
        near: Option<SocketAddr>,
    },
    Reading {
        deadline: Instant,
        part: usize,
        reader: Reader,
    },
}

/// The machine of one run after another.
#[derive(Debug, Clone)]
pub struct Probe {
    dialogue: Arc<Dialogue>,
    timeout: Duration,
    state: State,
    /// At most three: every input leads to one action, or to `Write`, `Close` and what comes then.
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

    /// Bytes held of what a server sent: never more than its dialogue's bound.
    pub fn held(&self) -> usize {
        match &self.state {
            State::Reading { reader, .. } => reader.held(),
            State::Idle | State::Connecting { .. } => 0,
        }
    }

    /// Takes what happened. What does not fit the state (bytes after the end, a second start) is ignored.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        let dialogue = &*self.dialogue;
        match (&mut self.state, input) {
            (State::Idle, Input::Start) => self.connect(now + self.timeout, 0),
            (State::Connecting { near, .. }, Input::Bound(address)) => *near = Some(address),
            (State::Connecting { deadline, part, near }, Input::Connected) => {
                let (deadline, part) = (*deadline, *part);
                let (reader, progress) = Reader::start(dialogue, part, now, *near);
                self.state = State::Reading {
                    deadline,
                    part,
                    reader,
                };
                self.progress(progress);
            }
            (State::Connecting { .. } | State::Reading { .. }, Input::Broken(fault)) => {
                self.finish(Outcome::Fail(Failure::Connection(fault)));
            }
            (State::Reading { reader, part, .. }, Input::Read(bytes)) => {
                let progress = reader.read(dialogue, *part, bytes);
                self.progress(progress);
            }
            (State::Reading { reader, .. }, Input::Code(code)) => {
                let progress = reader.code(dialogue, code);
                self.progress(progress);
            }
            (State::Reading { reader, part, .. }, Input::Eof) => {
                let progress = reader.eof(dialogue, *part);
                self.progress(progress);
            }
            (
                State::Idle,
                Input::Bound(_)
                | Input::Connected
                | Input::Broken(_)
                | Input::Read(_)
                | Input::Code(_)
                | Input::Eof,
            )
            | (State::Connecting { .. }, Input::Start | Input::Read(_) | Input::Code(_) | Input::Eof)
            | (State::Reading { .. }, Input::Start | Input::Bound(_) | Input::Connected) => {}
        }
    }

    /// Ends a run whose deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.state {
            State::Connecting { deadline, .. } if *deadline <= now => {
                self.finish(Outcome::Fail(Failure::ConnectTimeout));
            }
            State::Reading { deadline, reader, .. } if *deadline <= now => {
                let silence = reader.silence(&self.dialogue);
                self.progress(silence);
            }
            State::Idle | State::Connecting { .. } | State::Reading { .. } => {}
        }
    }

    /// When the present run must be over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Connecting { deadline, .. } | State::Reading { deadline, .. } => Some(*deadline),
        }
    }

    /// The next thing to do; call until `None` after every other call.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn connect(&mut self, deadline: Instant, part: usize) {
        self.state = State::Connecting {
            deadline,
            part,
            near: None,
        };
        self.actions.push_back(Action::Connect);
    }

    fn progress(&mut self, mut progress: Progress) {
        if let Progress::Say(bytes) | Progress::Farewell(bytes) = &mut progress {
            self.actions.push_back(Action::Write(std::mem::take(bytes)));
        }
        let Some(outcome) = progress.outcome() else {
            return;
        };
        match self.state {
            State::Reading { deadline, part, .. }
                if outcome == Outcome::Pass && part + 1 < self.dialogue.parts() =>
            {
                self.actions.push_back(Action::Close);
                self.connect(deadline, part + 1);
            }
            State::Idle | State::Connecting { .. } | State::Reading { .. } => self.finish(outcome),
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        self.state = State::Idle;
        self.actions.push_back(Action::Close);
        self.actions.push_back(Action::Done(outcome));
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
