//! The dataplane's side of one connection: its rings, its socket, and what waits to be said.

use core::time::Duration;
use std::collections::VecDeque;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};

use super::bell::{self, Bell};
use super::handover::Credentials;
use super::peer::LineSocket;
use super::{Disconnect, RecordConsumer, RecordProducer};
use crate::message::Event;
use crate::query::{Frame, Request, RequestFrame};
use crate::ring::PushError;
use crate::transaction::{Assembler, Refusal, Transaction};

/// Records taken from the command ring in one round.
const RECORDS_PER_POLL: usize = 8192;

/// Inputs that wait before the peer is read no further.
const INPUTS_MAX: usize = 64;

/// Acknowledgements that wait for room in the event ring. An honest control has one transaction under way.
const ACKNOWLEDGEMENTS_MAX: usize = 64;

/// What came from control.
#[derive(Debug)]
pub enum Input {
    /// Control connected. Its first transaction will be a full one.
    Connected(Credentials),
    /// Somebody was turned away.
    TurnedAway(Credentials),
    /// Control is gone. Forwarding goes on with what is in force.
    Disconnected(Disconnect),
    /// To be applied, then answered by [`super::DataplaneEnd::published`] or [`super::DataplaneEnd::refused`] before the next poll.
    Transaction(Transaction),
    /// A transaction was malformed; control has been told.
    Refused(Refusal),
    /// To be answered by [`super::DataplaneEnd::answer`].
    Query {
        /// Goes back with the answer.
        id: u64,
        /// The question.
        request: Request,
    },
}

pub(super) struct Session {
    pub(super) socket: LineSocket,
    bell: Bell,
    commands: RecordConsumer,
    events: RecordProducer,
    assembler: Assembler,
    /// The transaction that was passed on and is not answered.
    awaiting: Option<u64>,
    /// Published and Refused, which must not be lost.
    acknowledgements: VecDeque<Event>,
    /// Events that found the ring full since the last one that did not.
    lost: u64,
}

impl Session {
    pub(super) const fn new(
        socket: LineSocket,
        bell: Bell,
        commands: RecordConsumer,
        events: RecordProducer,
        assembler: Assembler,
    ) -> Self {
        let acknowledgements = VecDeque::new();
        Self {
            socket,
            bell,
            commands,
            events,
            assembler,
            awaiting: None,
            acknowledgements,
            lost: 0,
        }
    }

    /// Commands of a transaction that is not committed yet.
    #[cfg(test)]
    pub(super) const fn half_committed(&self) -> usize {
        self.assembler.open_commands()
    }

    pub(super) fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let write = if self.socket.wants_write() {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        fds.push(PollFd::new(&self.socket, PollFlags::IN | write));
        fds.push(PollFd::new(&self.bell, PollFlags::IN));
    }

    /// One round. True when it stopped at a bound.
    pub(super) fn serve(
        &mut self,
        inputs: &mut VecDeque<Input>,
        now: Duration,
        patience: Duration,
    ) -> Result<bool, Disconnect> {
        // Before the ring is looked at: a ring of the bell that comes later is for records that come later.
        let bell = self.bell.clear();
        self.flush_events()?;
        let mut more = self.take_records(inputs)?;
        more |= self.take_requests(inputs)?;
        self.socket.flush(now, patience)?;
        bell.map_err(|bell::Closed| Disconnect::Closed)?;
        Ok(more)
    }

    /// Says what became of a transaction, if this control sent it: one that connected since did not, and may be
    /// about to use the same generation.
    pub(super) fn acknowledge(&mut self, generation: u64, event: Event) -> Result<(), Disconnect> {
        if self.awaiting != Some(generation) {
            return Ok(());
        }
        self.awaiting = None;
        self.queue_acknowledgement(event)
    }

    fn queue_acknowledgement(&mut self, event: Event) -> Result<(), Disconnect> {
        if self.acknowledgements.len() >= ACKNOWLEDGEMENTS_MAX {
            return Err(Disconnect::Stuck);
        }
        self.acknowledgements.push_back(event);
        self.flush_events()
    }

    /// Takes records up to a bound or up to a whole transaction. True when there may be more.
    fn take_records(&mut self, inputs: &mut VecDeque<Input>) -> Result<bool, Disconnect> {
        let mut taken = 0;
        let more = loop {
            let transaction_waits = inputs.iter().any(|input| matches!(input, Input::Transaction(_)));
            if transaction_waits || taken == RECORDS_PER_POLL || inputs.len() >= INPUTS_MAX {
                break true;
            }
            let Some(record) = self.commands.pop()? else {
                break false;
            };
            taken += 1;
            match self.assembler.feed(&record) {
                None => {}
                Some(Ok(transaction)) => {
                    self.awaiting = Some(transaction.generation);
                    inputs.push_back(Input::Transaction(transaction));
                }
                Some(Err(refusal)) => {
                    self.queue_acknowledgement(told(&refusal))?;
                    inputs.push_back(Input::Refused(refusal));
                }
            }
        };
        if taken > 0 {
            // Control may be waiting for room.
            self.bell.ring();
        }
        Ok(more)
    }

    /// Takes requests up to a bound. True when there may be more.
    fn take_requests(&mut self, inputs: &mut VecDeque<Input>) -> Result<bool, Disconnect> {
        loop {
            while inputs.len() < INPUTS_MAX {
                let Some(line) = self.socket.next_line()? else {
                    break;
                };
                let frame: RequestFrame =
                    serde_json::from_slice(&line).map_err(|e| Disconnect::BadFrame(e.to_string()))?;
                inputs.push_back(Input::Query {
                    id: frame.id,
                    request: frame.request,
                });
            }
            if inputs.len() >= INPUTS_MAX {
                return Ok(true);
            }
            if !self.socket.receive()? {
                return Ok(false);
            }
        }
    }

    pub(super) fn send(&mut self, event: &Event, lost_total: &mut u64) -> Result<(), Disconnect> {
        self.flush_events()?;
        if self.acknowledgements.is_empty() && self.lost == 0 && self.push(event)? {
            self.bell.ring();
        } else {
            self.lost += 1;
            *lost_total += 1;
        }
        Ok(())
    }

    /// Sends what must not be lost, then how much else was.
    fn flush_events(&mut self) -> Result<(), Disconnect> {
        let mut sent = false;
        while let Some(event) = self.acknowledgements.pop_front() {
            if !self.push(&event)? {
                self.acknowledgements.push_front(event);
                break;
            }
            sent = true;
        }
        if self.lost > 0
            && self.acknowledgements.is_empty()
            && self.push(&Event::Lost { events: self.lost })?
        {
            self.lost = 0;
            sent = true;
        }
        if sent {
            self.bell.ring();
        }
        Ok(())
    }

    /// False when the ring is full.
    fn push(&mut self, event: &Event) -> Result<bool, Disconnect> {
        // An event that does not encode is a mistake of this program's; control is told in the event's place.
        let raw = event.encode().or_else(|_| Event::Lost { events: 1 }.encode());
        let Ok(raw) = raw else { return Ok(true) };
        match self.events.push(&raw) {
            Ok(()) => Ok(true),
            Err(PushError::Full) => Ok(false),
            Err(PushError::Peer(fault)) => Err(fault.into()),
        }
    }
}
/// A refusal as control hears it.
fn told(refusal: &Refusal) -> Event {
    Event::Refused {
        generation: refusal.generation,
        record_index: refusal.record_index,
        reason: refusal.reason,
        detail: refusal.detail.clone(),
    }
}

/// Says goodbye, if the socket takes it at once.
pub(super) fn say_bye(stream: &UnixStream, reason: &str) {
    let frame = Frame::Bye {
        reason: reason.to_owned(),
    };
    if let Ok(mut line) = serde_json::to_vec(&frame) {
        line.push(b'\n');
        let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
        let _ = rustix::net::send(stream, &line, flags);
    }
}
