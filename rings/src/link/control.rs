//! Control's end: connects, commits transactions, takes events, asks queries.

use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use thiserror::Error;

use super::bell::Bell;
use super::connect::{ConnectError, connect_within, parse, receive_hello};
use super::handover::FDS;
use super::peer::LineSocket;
use super::{Disconnect, RecordConsumer, RecordProducer, SegmentLayout, wait};
use crate::counters::CountersReader;
use crate::hello::Hello;
use crate::message::{Command, Event, Message, RawRecord, Record, RecordError};
use crate::query::{ANSWER_LEN_MAX, Frame, REQUEST_LEN_MAX, Request, RequestFrame, Response};
use crate::ring::PushError;

/// Events taken in one [`ControlEnd::poll`].
const EVENTS_PER_POLL: usize = 4096;

/// How long the dataplane may leave a request unread.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest hello, and so longest line there can be.
const LINE_LEN_MAX: usize = ANSWER_LEN_MAX;

/// Why a transaction was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitError {
    /// One at a time: the one before is not answered yet.
    #[error("transaction {generation} is not answered yet")]
    Busy {
        /// Its generation.
        generation: u64,
    },
    /// A command cannot be sent.
    #[error("command {index}: {error}")]
    BadCommand {
        /// Which, from 0.
        index: u32,
        /// Why.
        error: RecordError,
    },
    /// More commands than the dataplane takes.
    #[error("more than {max} commands; raise the dataplane's limit or split the change")]
    TooMany {
        /// The most it takes.
        max: u32,
    },
    /// The connection is gone.
    #[error("not connected: {0}")]
    Closed(Disconnect),
    /// No answer in time. It may still come.
    #[error("the dataplane did not answer in time")]
    Timeout,
}

/// Why there is no answer to a query.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The request is too long, or too many wait.
    #[error("the request does not fit; ask less at once")]
    TooLong,
    /// The connection is gone.
    #[error("not connected: {0}")]
    Closed(Disconnect),
}

/// What came from the dataplane.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// An event, `Published` and `Refused` among them.
    Event(Event),
    /// An answer to a query, or why there is none.
    Answer {
        /// As [`ControlEnd::query`] gave it.
        id: u64,
        /// The answer.
        answer: Result<Response, String>,
    },
    /// The connection is gone: nothing more comes. Connect anew and send the whole state.
    Closed(Disconnect),
}

/// Control's end. It never blocks but in [`connect`](Self::connect), [`wait`](Self::wait) and
/// [`commit_and_wait`](Self::commit_and_wait), which take a time limit.
///
/// With tokio: register duplicates of [`socket_fd`](Self::socket_fd) and [`bell_fd`](Self::bell_fd) with `AsyncFd`;
/// when either is readable, call [`poll`](Self::poll) and drain [`next_output`](Self::next_output).
pub struct ControlEnd {
    socket: LineSocket,
    bell: Bell,
    commands: RecordProducer,
    events: RecordConsumer,
    counters: CountersReader,
    hello: Hello,
    started: Instant,
    /// Records not in the ring yet.
    outbox: VecDeque<RawRecord>,
    in_flight: Option<u64>,
    generation: u64,
    outputs: VecDeque<Output>,
    next_id: u64,
    closed: Option<Disconnect>,
    /// The last poll stopped at a bound.
    more: bool,
}

impl ControlEnd {
    /// Connects to the dataplane at `path`, within `timeout`.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + timeout;
        let stream = connect_within(path, deadline)?;
        let mut socket = LineSocket::new(stream, LINE_LEN_MAX, REQUEST_LEN_MAX);
        let mut fds = Vec::new();
        let hello = receive_hello(path, &mut socket, &mut fds, deadline)?;
        if hello.abi != crate::ABI {
            return Err(ConnectError::Mismatch {
                what: "layout version",
            });
        }
        let fds: [OwnedFd; FDS] = fds.try_into().map_err(|_| ConnectError::Mismatch {
            what: "number of descriptors",
        })?;
        Self::attach(socket, hello, fds)
    }

    fn attach(
        socket: LineSocket,
        hello: Hello,
        [rings, counters, bell]: [OwnedFd; FDS],
    ) -> Result<Self, ConnectError> {
        let segment = crate::segment::map(&rings)?;
        let mismatch = |what| ConnectError::Mismatch { what };
        let layout = SegmentLayout::read_header(&segment, hello.session).map_err(mismatch)?;
        let (commands, events) = super::control_rings(&segment, layout).ok_or(mismatch("ring layout"))?;
        Ok(Self {
            socket,
            bell: Bell::from_fd(bell),
            commands,
            events,
            counters: CountersReader::attach(&counters)?,
            generation: hello.generation,
            hello,
            started: Instant::now(),
            outbox: VecDeque::new(),
            in_flight: None,
            outputs: VecDeque::new(),
            next_id: 1,
            closed: None,
            more: false,
        })
    }

    /// What the dataplane said about itself.
    pub const fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Its counters, read in place.
    pub const fn counters(&self) -> &CountersReader {
        &self.counters
    }

    /// A generation for the next transaction.
    pub const fn next_generation(&self) -> u64 {
        self.generation + 1
    }

    /// The transaction that is not answered yet.
    pub const fn in_flight(&self) -> Option<u64> {
        self.in_flight
    }

    /// The connection is gone, and why.
    pub const fn closed(&self) -> Option<&Disconnect> {
        self.closed.as_ref()
    }

    /// Starts a transaction: puts as much into the ring as there is room for, and the rest with each [`poll`](Self::poll).
    /// The answer is an [`Event::Published`] or [`Event::Refused`] of the same generation. The first transaction of
    /// a connection must be `full`.
    pub fn commit(
        &mut self,
        generation: u64,
        full: bool,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<(), CommitError> {
        if let Some(why) = &self.closed {
            return Err(CommitError::Closed(why.clone()));
        }
        if let Some(generation) = self.in_flight {
            return Err(CommitError::Busy { generation });
        }
        self.outbox = encode(generation, full, commands, self.hello.transaction_commands_max)?;
        self.in_flight = Some(generation);
        self.generation = self.generation.max(generation);
        let outcome = self.push_outbox();
        self.note(outcome);
        Ok(())
    }

    /// [`commit`](Self::commit), then sleeps for the answer. Other outputs stay for [`next_output`](Self::next_output).
    pub fn commit_and_wait(
        &mut self,
        generation: u64,
        full: bool,
        commands: impl IntoIterator<Item = Command>,
        timeout: Duration,
    ) -> Result<Event, CommitError> {
        let deadline = Instant::now() + timeout;
        self.commit(generation, full, commands)?;
        loop {
            self.poll();
            let at = self.outputs.iter().position(|o| answers(o, generation));
            if let Some(Output::Event(event)) = at.and_then(|at| self.outputs.remove(at)) {
                return Ok(event);
            }
            if let Some(why) = &self.closed {
                return Err(CommitError::Closed(why.clone()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CommitError::Timeout);
            }
            self.sleep(left);
        }
    }

    /// Asks a question. The answer is an [`Output::Answer`] with the number returned here.
    pub fn query(&mut self, request: Request) -> Result<u64, AnswerError> {
        if let Some(why) = &self.closed {
            return Err(AnswerError::Closed(why.clone()));
        }
        let id = self.next_id;
        self.socket
            .queue(&RequestFrame { id, request })
            .map_err(|_| AnswerError::TooLong)?;
        self.next_id += 1;
        let outcome = self.socket.flush(self.started.elapsed(), PATIENCE);
        self.note(outcome);
        Ok(id)
    }

    /// Does what there is to do, up to a bound, and never waits.
    pub fn poll(&mut self) {
        if self.closed.is_none() {
            let outcome = self.serve();
            self.note(outcome);
        }
    }

    /// What came, in order.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The last [`poll`](Self::poll) stopped at a bound: poll again without sleeping.
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// The socket: readable with an answer or when the dataplane is gone.
    pub fn socket_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The bell: readable with an event, and with room in the command ring.
    pub fn bell_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Sleeps until there is something to do or `timeout` is over.
    pub fn wait(&self, timeout: Duration) {
        if self.outputs.is_empty() {
            self.sleep(timeout);
        }
    }

    fn sleep(&self, timeout: Duration) {
        if self.more || self.closed.is_some() {
            return;
        }
        let write = if self.socket.wants_write() {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        let mut fds = [
            PollFd::new(&self.socket, PollFlags::IN | write),
            PollFd::new(&self.bell, PollFlags::IN),
        ];
        wait(&mut fds, timeout);
    }

    fn note(&mut self, outcome: Result<(), Disconnect>) {
        if let (Err(why), None) = (outcome, &self.closed) {
            self.outputs.push_back(Output::Closed(why.clone()));
            self.closed = Some(why);
            self.outbox.clear();
            self.in_flight = None;
        }
    }

    fn serve(&mut self) -> Result<(), Disconnect> {
        self.more = false;
        // Before the rings are looked at: a ring that comes later is for what comes later.
        let bell = self.bell.clear();
        self.push_outbox()?;
        self.take_events()?;
        self.socket.flush(self.started.elapsed(), PATIENCE)?;
        let received = self.socket.receive();
        self.take_frames()?;
        self.more |= received?;
        bell.map_err(|super::bell::Closed| Disconnect::Closed)
    }

    fn push_outbox(&mut self) -> Result<(), Disconnect> {
        let mut pushed = false;
        while let Some(record) = self.outbox.front() {
            match self.commands.push(record) {
                Ok(()) => pushed = true,
                Err(PushError::Full) => break,
                Err(PushError::Peer(fault)) => return Err(fault.into()),
            }
            self.outbox.pop_front();
        }
        if self.outbox.is_empty() {
            self.outbox = VecDeque::new();
        }
        if pushed {
            self.bell.ring();
        }
        Ok(())
    }

    fn take_events(&mut self) -> Result<(), Disconnect> {
        for _ in 0..EVENTS_PER_POLL {
            let Some(record) = self.events.pop()? else {
                return Ok(());
            };
            let event = Event::decode(&record).map_err(|e| Disconnect::BadFrame(e.to_string()))?;
            if let Event::Published { generation, .. } | Event::Refused { generation, .. } = event
                && self.in_flight == Some(generation)
            {
                self.in_flight = None;
                // A refusal may come before the whole of it is sent.
                self.outbox.clear();
            }
            self.outputs.push_back(Output::Event(event));
        }
        self.more = true;
        Ok(())
    }

    fn take_frames(&mut self) -> Result<(), Disconnect> {
        while let Some(line) = self.socket.next_line()? {
            match parse(&line)? {
                Frame::Answer { id, response } => self.outputs.push_back(Output::Answer {
                    id,
                    answer: Ok(response),
                }),
                Frame::Failed { id, error } => self.outputs.push_back(Output::Answer {
                    id,
                    answer: Err(error),
                }),
                Frame::Bye { reason } => return Err(Disconnect::Bye(reason)),
                Frame::Hello(_) => return Err(Disconnect::BadFrame("a second hello".into())),
            }
        }
        Ok(())
    }
}

/// This output ends the transaction.
fn answers(output: &Output, wanted: u64) -> bool {
    match output {
        Output::Event(Event::Published { generation, .. } | Event::Refused { generation, .. }) => {
            *generation == wanted
        }
        Output::Event(_) | Output::Answer { .. } | Output::Closed(_) => false,
    }
}

/// The records of a transaction. All are made before the first is sent, so a bad command sends nothing.
fn encode(
    generation: u64,
    full: bool,
    commands: impl IntoIterator<Item = Command>,
    max: u32,
) -> Result<VecDeque<RawRecord>, CommitError> {
    let record = |index, record| {
        let message = Message {
            generation,
            index,
            record,
        };
        message.encode().map_err(|error| CommitError::BadCommand {
            index: u32::saturating_sub(index, 1),
            error,
        })
    };
    let mut records = VecDeque::from([record(0, Record::Begin { full })?]);
    let mut count = 0;
    for command in commands {
        if count == max {
            return Err(CommitError::TooMany { max });
        }
        count += 1;
        records.push_back(record(count, Record::Command(command))?);
    }
    records.push_back(record(
        count.saturating_add(1),
        Record::Commit { commands: count },
    )?);
    Ok(records)
}
