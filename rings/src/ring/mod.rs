//! A ring of fixed-size records in shared memory: one producer, one consumer, in different processes.
//!
//! Two counters that only grow, each written by one side and on cache lines of its own; a record's place is its
//! number modulo the capacity, a power of two. The producer writes the record and then the counter (release);
//! the consumer reads the counter (acquire), copies the record, and then moves its own counter.
//!
//! The peer may be wrong, hostile, or dead at any instruction. So each side keeps its own counter privately and
//! only ever *writes* it to the shared memory; the peer's counter is believed only within the distance that is
//! possible, and once it was not the ring is finished ([`PeerError`]). Records are copied out word by word
//! before anybody looks at them. No call waits, no call loops over anything the peer controls.

use thiserror::Error;

use crate::memory::{LINE_WORDS, Lines};
use crate::sync::Ordering;

#[cfg(test)]
mod tests;

/// Lines in front of the records: two for each counter, so that the adjacent-line prefetch of one does not take
/// the other's line away.
const COUNTER_LINES: usize = 4;
const PRODUCED: usize = 0;
const CONSUMED: usize = 2;

/// The peer's counter is impossible: its process is wrong or hostile, and the ring is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the peer moved its ring counter from {from} to {to}, where at most {limit} is possible; reconnect")]
pub struct PeerError {
    /// Where the counter was.
    pub from: u64,
    /// Where the peer put it.
    pub to: u64,
    /// The highest value it could have.
    pub limit: u64,
}

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError {
    /// The consumer is behind; try again when it has moved.
    #[error("the ring is full")]
    Full,
    /// See [`PeerError`].
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// Lines a ring of `capacity` records of `W` words takes.
pub(crate) const fn lines<const W: usize>(capacity: u32) -> usize {
    COUNTER_LINES + capacity as usize * W.div_ceil(LINE_WORDS)
}

/// One side's view of the shared lines.
struct Side<const W: usize> {
    lines: Lines,
    capacity: u64,
    /// Our counter.
    own: u64,
    /// The peer's, as last believed.
    peer: u64,
    fault: Option<PeerError>,
}

impl<const W: usize> Side<W> {
    /// `None` unless the capacity is a power of two and the lines are enough for it.
    fn new(lines: Lines, capacity: u32) -> Option<Self> {
        let fits = capacity.is_power_of_two() && lines.len() >= self::lines::<W>(capacity);
        fits.then(|| Self {
            lines,
            capacity: capacity.into(),
            own: 0,
            peer: 0,
            fault: None,
        })
    }

    /// Reads the peer's counter. It may have moved to `limit` at most.
    fn look(&mut self, counter: usize, limit: u64) -> Result<(), PeerError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let to = self.lines[counter].0[0].atomic().load(Ordering::Acquire);
        if to.wrapping_sub(self.peer) > limit.wrapping_sub(self.peer) {
            let fault = PeerError {
                from: self.peer,
                to,
                limit,
            };
            self.fault = Some(fault);
            return Err(fault);
        }
        self.peer = to;
        Ok(())
    }

    /// Moves our counter by one and shows it to the peer.
    fn advance(&mut self, counter: usize) {
        self.own = self.own.wrapping_add(1);
        self.lines[counter].0[0]
            .atomic()
            .store(self.own, Ordering::Release);
    }

    /// First line of the record our counter is at. The mask keeps it inside whatever the counters are.
    const fn record(&self) -> usize {
        COUNTER_LINES + (self.own & (self.capacity - 1)) as usize * W.div_ceil(LINE_WORDS)
    }
}

/// Both ends of a ring of this process alone, for a power of two of records.
pub fn heap<const W: usize>(capacity: u32) -> Option<(Producer<W>, Consumer<W>)> {
    let lines = Lines::heap(lines::<W>(capacity));
    Producer::new(lines.clone(), capacity).zip(Consumer::new(lines, capacity))
}

/// The writing side.
pub struct Producer<const W: usize>(Side<W>);

impl<const W: usize> Producer<W> {
    pub(crate) fn new(lines: Lines, capacity: u32) -> Option<Self> {
        Side::new(lines, capacity).map(Self)
    }

    /// Appends a record.
    pub fn push(&mut self, record: &[u64; W]) -> Result<(), PushError> {
        let side = &mut self.0;
        if side.own.wrapping_sub(side.peer) == side.capacity {
            side.look(CONSUMED, side.own)?;
            if side.own.wrapping_sub(side.peer) == side.capacity {
                return Err(PushError::Full);
            }
        }
        let first = side.record();
        for (n, &word) in record.iter().enumerate() {
            side.lines[first + n / LINE_WORDS].0[n % LINE_WORDS].set(word);
        }
        side.advance(PRODUCED);
        Ok(())
    }
}

/// The reading side.
pub struct Consumer<const W: usize>(Side<W>);

impl<const W: usize> Consumer<W> {
    pub(crate) fn new(lines: Lines, capacity: u32) -> Option<Self> {
        Side::new(lines, capacity).map(Self)
    }

    /// A private copy of the next record, if there is one.
    pub fn pop(&mut self) -> Result<Option<[u64; W]>, PeerError> {
        let side = &mut self.0;
        if side.own == side.peer {
            side.look(PRODUCED, side.own.wrapping_add(side.capacity))?;
            if side.own == side.peer {
                return Ok(None);
            }
        }
        let first = side.record();
        let record = core::array::from_fn(|n| side.lines[first + n / LINE_WORDS].0[n % LINE_WORDS].get());
        side.advance(CONSUMED);
        Ok(Some(record))
    }
}
