//! The dataplane's end: accepts control, assembles transactions, sends events, takes queries.

use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use thiserror::Error;

use super::bell::Bell;
use super::handover::{self, Access, ListenError, Listener};
use super::peer::LineSocket;
use super::session::{Input, Session, say_bye};
use super::{Disconnect, SegmentLayout, wait};
use crate::counters::Counters;
use crate::hello::{About, Hello};
use crate::message::{Event, RefuseReason, Text};
use crate::query::{ANSWER_LEN_MAX, Frame, REQUEST_LEN_MAX, Response};
use crate::transaction::Assembler;

/// Connections accepted in one poll.
const ACCEPTS_PER_POLL: usize = 4;

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

/// There is no control to tell, or it has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no control is connected")]
pub struct NoPeer;

/// The dataplane's end. Owned by its main thread.
pub struct DataplaneEnd {
    listener: Listener,
    about: About,
    counters: Counters,
    limits: Limits,
    layout: SegmentLayout,
    session: u64,
    generation: u64,
    peer: Option<Session>,
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
            peer.poll_fds(fds);
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

    /// Tells control that a transaction was refused, at command `command` of [`Transaction::commands`](crate::transaction::Transaction::commands) if it is one's fault.
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

    /// Ends the session with a control that gives no sign of life. It may connect again, and then says everything anew.
    pub fn give_up(&mut self) {
        self.disconnect(Disconnect::Unresponsive);
    }

    fn acknowledge(&mut self, generation: u64, event: Event) {
        let Some(peer) = &mut self.peer else { return };
        if let Err(why) = peer.acknowledge(generation, event) {
            self.disconnect(why);
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
    fn hand_over(&mut self, stream: UnixStream, now: Duration) -> Result<Session, std::io::Error> {
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
        socket
            .flush(now, self.limits.patience)
            .map_err(std::io::Error::other)?;
        let assembler = Assembler::new(self.limits.transaction_commands_max, self.generation);
        Ok(Session::new(socket, bell, commands, events, assembler))
    }

    /// Commands of a transaction that is not committed yet.
    #[cfg(test)]
    pub(super) fn half_committed(&self) -> usize {
        self.peer.as_ref().map_or(0, Session::half_committed)
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
            self.more |= peer.serve(&mut self.inputs, now, self.limits.patience)?;
        }
        Ok(())
    }
}
