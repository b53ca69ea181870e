//! The two ends of the connection between control and the dataplane.
//!
//! The dataplane listens on a Unix socket. Each accepted connection gets a segment of its own: a sealed memory
//! file with a command ring and an event ring, made for it and unmapped with it, so nothing that an earlier
//! control half wrote, or still writes, is ever read. With the hello go three descriptors: that file, the
//! counters page (mapped for reading only) and one end of the bell. Behind the hello the socket carries
//! [queries](crate::query).
//!
//! The *bell* is a socket pair: a byte in it means "look at the ring". It is no eventfd because an eventfd's
//! blocking mode belongs to both processes, and a hostile peer could change it under us; a byte is sent and
//! received with `MSG_DONTWAIT`, and a dead peer shows as end of file.
//!
//! Neither end ever waits for the other: every call does a bounded amount of work and returns. To sleep, poll
//! the descriptors an end names.

use core::time::Duration;

use rustix::event::{PollFd, Timespec};

use crate::memory::Lines;
use crate::message::RECORD_WORDS;
use crate::ring::{self, Consumer, Producer};

mod bell;
mod connect;
mod control;
mod dataplane;
mod handover;
mod peer;
mod session;
#[cfg(test)]
mod tests;

pub use connect::ConnectError;
pub use control::{AnswerError, CommitError, ControlEnd, Output};
pub use dataplane::{DataplaneEnd, Limits, NoPeer};
pub use handover::{Access, Credentials, ListenError};
pub use session::Input;

use thiserror::Error;

/// "weirring" as a number.
const MAGIC: u64 = u64::from_be_bytes(*b"weirring");

/// Lines in front of the rings: magic, ABI, session, writer's process id, capacities.
const HEADER_LINES: usize = 1;

/// Most records of a ring.
const RECORDS_MAX: u32 = 1 << 20;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Disconnect {
    /// The peer closed it or died.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer said goodbye.
    #[error("the peer ended the connection: {0}")]
    Bye(String),
    /// Another control connected.
    #[error("another control connected")]
    Replaced,
    /// The peer broke the ring.
    #[error(transparent)]
    Ring(#[from] ring::PeerError),
    /// The peer sent what is no frame.
    #[error("the peer sent a bad frame: {0}")]
    BadFrame(String),
    /// The peer does not take what it asked for.
    #[error("the peer does not read its answers")]
    Stuck,
    /// The peer does not react when it must.
    #[error("the peer shows no sign of life")]
    Unresponsive,
    /// The socket failed.
    #[error("socket: {0}")]
    Socket(String),
}

/// Where everything is in a segment.
#[derive(Debug, Clone, Copy)]
struct SegmentLayout {
    command_records: u32,
    event_records: u32,
}

impl SegmentLayout {
    /// `None` unless both capacities are powers of two within bounds.
    fn new(command_records: u32, event_records: u32) -> Option<Self> {
        let valid = |n: u32| n.is_power_of_two() && n <= RECORDS_MAX;
        (valid(command_records) && valid(event_records)).then_some(Self {
            command_records,
            event_records,
        })
    }

    const fn lines(self) -> usize {
        HEADER_LINES + self.command_lines() + ring::lines::<RECORD_WORDS>(self.event_records)
    }

    const fn command_lines(self) -> usize {
        ring::lines::<RECORD_WORDS>(self.command_records)
    }

    fn command_ring(self, segment: &Lines) -> Option<Lines> {
        segment.slice(HEADER_LINES, self.command_lines())
    }

    fn event_ring(self, segment: &Lines) -> Option<Lines> {
        let from = HEADER_LINES + self.command_lines();
        segment.slice(from, ring::lines::<RECORD_WORDS>(self.event_records))
    }

    /// The header of a segment made by this process.
    fn header(self, session: u64) -> [u64; 6] {
        let pid = u64::from(std::process::id());
        [
            MAGIC,
            crate::ABI,
            session,
            pid,
            self.command_records.into(),
            self.event_records.into(),
        ]
    }

    fn write_header(self, segment: &Lines, session: u64) {
        for (cell, word) in segment[0].0.iter().zip(self.header(session)) {
            cell.set(word);
        }
    }

    /// The layout a segment's header names, or what is wrong with it. The hello has said the same.
    fn read_header(segment: &Lines, session: u64) -> Result<Self, &'static str> {
        let words: [u64; 8] = core::array::from_fn(|n| segment[0].0[n].get());
        let [magic, abi, in_session, _pid, commands, events, ..] = words;
        if magic != MAGIC {
            return Err("magic number");
        }
        if abi != crate::ABI {
            return Err("layout version");
        }
        if in_session != session {
            return Err("session");
        }
        let capacities = (u32::try_from(commands), u32::try_from(events));
        let (Ok(commands), Ok(events)) = capacities else {
            return Err("ring capacity");
        };
        let layout = Self::new(commands, events).ok_or("ring capacity")?;
        if layout.lines() > segment.len() {
            Err("length")
        } else {
            Ok(layout)
        }
    }
}

type RecordProducer = Producer<RECORD_WORDS>;
type RecordConsumer = Consumer<RECORD_WORDS>;

/// The dataplane's sides of the two rings.
fn dataplane_rings(segment: &Lines, layout: SegmentLayout) -> Option<(RecordConsumer, RecordProducer)> {
    let commands = Consumer::new(layout.command_ring(segment)?, layout.command_records)?;
    Some((
        commands,
        Producer::new(layout.event_ring(segment)?, layout.event_records)?,
    ))
}

/// Control's sides of the two rings.
fn control_rings(segment: &Lines, layout: SegmentLayout) -> Option<(RecordProducer, RecordConsumer)> {
    let commands = Producer::new(layout.command_ring(segment)?, layout.command_records)?;
    Some((
        commands,
        Consumer::new(layout.event_ring(segment)?, layout.event_records)?,
    ))
}

/// Sleeps on descriptors. A signal ends the sleep early, which callers expect.
fn wait(fds: &mut [PollFd<'_>], timeout: Duration) {
    let seconds = timeout.as_secs().try_into().unwrap_or(i64::MAX);
    let timeout = Timespec {
        tv_sec: seconds,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let _ = rustix::event::poll(fds, Some(&timeout));
}
