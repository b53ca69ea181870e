//! The dataplane's end: accepts control, assembles transactions, sends events, takes queries.

use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec};
use thiserror::Error;

use super::bell::Bell;
use super::handover::{self, Access, Credentials, ListenError, Listener};
use super::peer::LineSocket;
use super::{Disconnect, RecordConsumer, RecordProducer, SegmentLayout};
use crate::counters::Counters;
use crate::hello::{About, Hello};
use crate::message::{Event, RefuseReason, Text};
use crate::query::{ANSWER_LEN_MAX, Frame, REQUEST_LEN_MAX, Request, RequestFrame, Response};
use crate::ring::PushError;
use crate::transaction::{Assembler, Refusal, Transaction};

/// Records taken from the command ring in one [`DataplaneEnd::poll`].
const RECORDS_PER_POLL: usize = 8192;

/// Connections accepted in one poll.
const ACCEPTS_PER_POLL: usize = 4;

/// Inputs that wait for [`DataplaneEnd::next_input`] before the peer is read no further.
const INPUTS_MAX: usize = 64;

/// Acknowledgements that wait for room in the event ring. An honest control has one transaction under way.
const ACKNOWLEDGEMENTS_MAX: usize = 64;

/// Bounds of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Capacity of the command ring, a power of two.
    pub command_records: u32,
    /// Capacity of the event ring, a power of two.
    pub event_records: u32,
    /// Commands one transaction may have.
    pub transaction_commands_max: u32,
    /// How long a peer may leave an answer unread.
    pub patience: Duration,
}

impl Default for Limits {
    /// 2 MiB of commands, 1 MiB of events.
    fn default() -> Self {
        Self {
            command_records: 8192,
            event_records: 4096,
            transaction_commands_max: 1 << 20,
            patience: Duration::from_secs(10),
        }
    }
}

/// What came from control.
#[derive(Debug)]
pub enum Input {
    /// Control connected. Its first transaction will be a full one.
    Connected(Credentials),
    /// Somebody was turned away.
    TurnedAway(Credentials),
    /// Control is gone. Forwarding goes on with what is in force.
    Disconnected(Disconnect),
    /// To be applied, then answered by [`DataplaneEnd::published`] or [`DataplaneEnd::refused`] before the next poll.
    Transaction(Transaction),
    /// A transaction was malformed; control has been told.
    Refused(Refusal),
    /// To be answered by [`DataplaneEnd::answer`].
    Query {
        /// Goes back with the answer.
        id: u64,
        /// The question.
        request: Request,
    },
}

/// There is no control to tell, or it has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no control is connected")]
pub struct NoPeer;

struct Peer {
    socket: LineSocket,
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

/// The dataplane's end. Owned by its main thread.
pub struct DataplaneEnd {
    listener: Listener,
    about: About,
    counters: Counters,
    limits: Limits,
    layout: SegmentLayout,
    session: u64,
    generation: u64,
    peer: Option<Peer>,
    inputs: VecDeque<Input>,
    /// The last poll stopped at a bound.
    more: bool,
    events_lost: u64,
}

impl DataplaneEnd {
    /// Listens at `path`. `counters` must be [shared](Counters::shared).
    pub fn bind(
        path: &Path,
        access: Access,
        limits: Limits,
        about: About,
        counters: &Counters,
    ) -> Result<Self, ListenError> {
        let layout = SegmentLayout::new(limits.command_records, limits.event_records);
        let layout = layout.ok_or(ListenError::BadCapacity)?;
        if counters.file().is_none() {
            return Err(ListenError::CountersNotShared);
        }
        Ok(Self {
            listener: Listener::bind(path, access)?,
            about,
            counters: counters.clone(),
            limits,
            layout,
            session: 0,
            generation: 0,
            peer: None,
            inputs: VecDeque::new(),
            more: false,
            events_lost: 0,
        })
    }

    /// Does what there is to do, up to a bound, and never waits. `now` is any clock that only goes forward. Take
    /// what came of it with [`next_input`](Self::next_input).
    pub fn poll(&mut self, now: Duration) {
        self.more = false;
        self.accept(now);
        let outcome = self.serve_peer(now);
        if let Err(why) = outcome {
            self.disconnect(why);
        }
    }

    /// What came, in order.
    pub fn next_input(&mut self) -> Option<Input> {
        self.inputs.pop_front()
    }

    /// The last [`poll`](Self::poll) stopped at a bound: poll again without sleeping.
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// Control is connected.
    pub const fn connected(&self) -> bool {
        self.peer.is_some()
    }

    /// The transaction in force, 0 for none.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Events that found the ring full, over all sessions.
    pub const fn events_lost(&self) -> u64 {
        self.events_lost
    }

    /// Changes what the next hello says, such as ports.
    pub const fn about_mut(&mut self) -> &mut About {
        &mut self.about
    }

    /// The descriptors to sleep on, with what to wait for.
    pub fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        if let Some(peer) = &self.peer {
            let write = if peer.socket.wants_write() {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            fds.push(PollFd::new(&peer.socket, PollFlags::IN | write));
            fds.push(PollFd::new(&peer.bell, PollFlags::IN));
        }
    }

    /// Sleeps until there is something to do or `timeout` is over. Returns at once when there is more to do.
    pub fn wait(&self, timeout: Duration) {
        if self.more || !self.inputs.is_empty() {
            return;
        }
        let mut fds = Vec::with_capacity(3);
        self.poll_fds(&mut fds);
        wait(&mut fds, timeout);
    }

    /// Tells control that a transaction is in force.
    pub fn published(&mut self, generation: u64, commands: u32, services: u32, backends: u32) {
        self.generation = generation;
        self.acknowledge(
            generation,
            Event::Published {
                generation,
                commands,
                services,
                backends,
            },
        );
    }

    /// Tells control that a transaction was refused, at command `command` of [`Transaction::commands`] if it is one's fault.
    pub fn refused(
        &mut self,
        generation: u64,
        command: Option<u32>,
        reason: RefuseReason,
        detail: impl Into<Text>,
    ) {
        // Begin is record 0.
        let record_index = command.map(|n| n.saturating_add(1));
        let detail = detail.into();
        self.acknowledge(
            generation,
            Event::Refused {
                generation,
                record_index,
                reason,
                detail,
            },
        );
    }

    /// Tells control something. An event that finds the ring full is counted, and control is told how many.
    pub fn send(&mut self, event: &Event) -> Result<(), NoPeer> {
        let peer = self.peer.as_mut().ok_or(NoPeer)?;
        if let Err(why) = peer.send(event, &mut self.events_lost) {
            self.disconnect(why);
            return Err(NoPeer);
        }
        Ok(())
    }

    /// Answers a query.
    pub fn answer(&mut self, id: u64, answer: Result<Response, String>) -> Result<(), NoPeer> {
        let peer = self.peer.as_mut().ok_or(NoPeer)?;
        let frame = match answer {
            Ok(response) => Frame::Answer { id, response },
            Err(error) => Frame::Failed { id, error },
        };
        if peer.socket.queue(&frame).is_err() {
            let error = "the answer is too long; ask for fewer rows".to_owned();
            if peer.socket.queue(&Frame::Failed { id, error }).is_err() {
                self.disconnect(Disconnect::Stuck);
                return Err(NoPeer);
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, generation: u64, event: Event) {
        // A control that connected since did not send it, and may be about to use the same generation.
        let Some(peer) = self
            .peer
            .as_mut()
            .filter(|peer| peer.awaiting == Some(generation))
        else {
            return;
        };
        peer.awaiting = None;
        peer.acknowledgements.push_back(event);
        let outcome = peer.flush_events();
        let stuck = peer.acknowledgements.len() > ACKNOWLEDGEMENTS_MAX;
        match outcome {
            Err(why) => self.disconnect(why),
            Ok(()) if stuck => self.disconnect(Disconnect::Stuck),
            Ok(()) => {}
        }
    }

    fn accept(&mut self, now: Duration) {
        for _ in 0..ACCEPTS_PER_POLL {
            let Some((stream, who, allowed)) = self.listener.accept() else {
                return;
            };
            if !allowed {
                say_bye(
                    &stream,
                    "this user may not control the dataplane; see the socket's group",
                );
                self.inputs.push_back(Input::TurnedAway(who));
                continue;
            }
            // One that cannot be served (no memory, no descriptors) is closed and may try again; the old one stays.
            if let Ok(peer) = self.hand_over(stream, now) {
                self.disconnect(Disconnect::Replaced);
                self.peer = Some(peer);
                self.inputs.push_back(Input::Connected(who));
            }
        }
        self.more = true;
    }

    /// Makes a segment for a new peer and hands it over.
    fn hand_over(&mut self, stream: UnixStream, now: Duration) -> Result<Peer, std::io::Error> {
        let other = std::io::Error::other::<&str>;
        self.session += 1;
        let (file, segment) =
            crate::segment::create(c"weir-rings", self.layout.lines()).map_err(std::io::Error::other)?;
        self.layout.write_header(&segment, self.session);
        crate::segment::seal(&file).map_err(std::io::Error::other)?;
        let (commands, events) = super::dataplane_rings(&segment, self.layout).ok_or(other("ring layout"))?;
        let (bell, their_bell) = Bell::pair()?;
        let counters = self.counters.file().ok_or(other("counters page"))?;

        let mut line = serde_json::to_vec(&Frame::Hello(self.hello()))?;
        line.push(b'\n');
        let fds = [file.as_fd(), counters, their_bell.as_fd()];
        let sent = handover::send_with_fds(&stream, &line, fds)?;
        let mut socket = LineSocket::new(stream, REQUEST_LEN_MAX, ANSWER_LEN_MAX);
        line.pop();
        socket
            .queue_bytes(&line)
            .map_err(|_| other("hello is too long"))?;
        socket.sent(sent);
        let mut peer = Peer {
            socket,
            bell,
            commands,
            events,
            assembler: Assembler::new(self.limits.transaction_commands_max, self.generation),
            awaiting: None,
            acknowledgements: VecDeque::new(),
            lost: 0,
        };
        peer.socket
            .flush(now, self.limits.patience)
            .map_err(std::io::Error::other)?;
        Ok(peer)
    }

    /// Commands of a transaction that is not committed yet.
    #[cfg(test)]
    pub(super) fn half_committed(&self) -> usize {
        self.peer
            .as_ref()
            .map_or(0, |peer| peer.assembler.open_commands())
    }

    fn hello(&self) -> Hello {
        Hello {
            abi: crate::ABI,
            session: self.session,
            generation: self.generation,
            command_records: self.limits.command_records,
            event_records: self.limits.event_records,
            transaction_commands_max: self.limits.transaction_commands_max,
            about: self.about.clone(),
        }
    }

    fn disconnect(&mut self, why: Disconnect) {
        let Some(peer) = self.peer.take() else { return };
        // What it asked, and what it committed but was not told of, goes with it: a transaction that nobody waits for
        // must not be taken for the next control's.
        self.inputs
            .retain(|input| !matches!(input, Input::Query { .. } | Input::Transaction(_)));
        if why != Disconnect::Closed {
            say_bye(peer.socket.stream(), &why.to_string());
        }
        self.inputs.push_back(Input::Disconnected(why));
    }

    fn serve_peer(&mut self, now: Duration) -> Result<(), Disconnect> {
        if let Some(peer) = &mut self.peer {
            // Before the ring is looked at: a ring that comes later is for records that come later.
            let bell = peer.bell.clear();
            peer.flush_events()?;
            self.more |= peer.take_records(&mut self.inputs)?;
            self.more |= peer.take_requests(&mut self.inputs)?;
            peer.socket.flush(now, self.limits.patience)?;
            bell.map_err(|super::bell::Closed| Disconnect::Closed)?;
        }
        Ok(())
    }
}

impl Peer {
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
                    self.acknowledge_refusal(&refusal)?;
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

    fn acknowledge_refusal(&mut self, refusal: &Refusal) -> Result<(), Disconnect> {
        if self.acknowledgements.len() >= ACKNOWLEDGEMENTS_MAX {
            return Err(Disconnect::Stuck);
        }
        self.acknowledgements.push_back(Event::Refused {
            generation: refusal.generation,
            record_index: refusal.record_index,
            reason: refusal.reason,
            detail: refusal.detail.clone(),
        });
        self.flush_events()
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

    fn send(&mut self, event: &Event, lost_total: &mut u64) -> Result<(), Disconnect> {
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

/// Says goodbye, if the socket takes it at once.
fn say_bye(stream: &UnixStream, reason: &str) {
    let frame = Frame::Bye {
        reason: reason.to_owned(),
    };
    if let Ok(mut line) = serde_json::to_vec(&frame) {
        line.push(b'\n');
        let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
        let _ = rustix::net::send(stream, &line, flags);
    }
}

/// Sleeps on descriptors. A signal ends the sleep early, which callers expect.
pub(super) fn wait(fds: &mut [PollFd<'_>], timeout: Duration) {
    let seconds = timeout.as_secs().try_into().unwrap_or(i64::MAX);
    let timeout = Timespec {
        tv_sec: seconds,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let _ = rustix::event::poll(fds, Some(&timeout));
}
