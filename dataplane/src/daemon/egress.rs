//! A worker's side of one port's transmit queue, or the worker that has it.

use weir_dpdk::{Burst, Mbuf, TxQueue};

/// How often a queue that took only a part is asked again, as long as it takes something.
const TRIES_MAX: u32 = 4;

/// How a worker reaches a port.
#[derive(Debug)]
pub enum Way {
    /// By a queue of its own.
    Queue(Box<TxBuffer>),
    /// Through another worker, by number.
    Worker(usize),
}

/// Packets on their way into a transmit queue. Forwarded and originated ones are kept apart because only the first belong
/// to the sum `rx == tx + punted + drops`.
#[derive(Debug)]
pub struct TxBuffer {
    /// Its number at its port; a device that comes back has the same ones.
    number: u16,
    /// `None` while the device is away: nothing is taken then.
    queue: Option<TxQueue>,
    /// Received here or by another worker, and forwarded.
    pub forwarded: Burst,
    /// From the kernel or the main thread.
    pub originated: Burst,
}

/// What a queue made of a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Packets taken.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Packets not taken, and freed.
    pub refused: u64,
}

impl TxBuffer {
    /// Before this queue.
    pub fn new(queue: TxQueue) -> Self {
        Self {
            number: queue.id(),
            queue: Some(queue),
            forwarded: Burst::new(),
            originated: Burst::new(),
        }
    }

    /// The queue's number at its port.
    pub const fn queue(&self) -> u16 {
        self.number
    }

    /// Sends what was forwarded.
    #[inline]
    pub fn flush_forwarded(&mut self) -> Sent {
        send_by(&mut self.queue, &mut self.forwarded)
    }

    /// Sends a burst that need not wait in `forwarded`.
    #[inline]
    pub fn send_forwarded(&mut self, burst: &mut Burst) -> Sent {
        send_by(&mut self.queue, burst)
    }

    /// Sends what was originated.
    #[inline]
    pub fn flush_originated(&mut self) -> Sent {
        send_by(&mut self.queue, &mut self.originated)
    }

    /// Lets the queue go, so that its port can be closed.
    pub fn let_go(&mut self) {
        self.queue = None;
    }

    /// Before a new queue, of the device that came back.
    pub fn take(&mut self, queue: TxQueue) {
        self.queue = Some(queue);
    }
}

#[inline]
fn send_by(queue: &mut Option<TxQueue>, burst: &mut Burst) -> Sent {
    match queue {
        Some(queue) => send(queue, burst),
        None => refuse(burst),
    }
}

/// Frees a burst that has nowhere to go.
#[cold]
fn refuse(burst: &mut Burst) -> Sent {
    let refused = burst.len() as u64;
    burst.clear();
    Sent {
        refused,
        ..Sent::default()
    }
}

/// Gives a burst to a queue and frees what it does not take.
#[inline]
pub fn send(queue: &mut TxQueue, burst: &mut Burst) -> Sent {
    let before = burst.len();
    if before == 0 {
        return Sent::default();
    }
    let bytes_before = bytes(burst);
    for _ in 0..TRIES_MAX {
        if queue.burst(burst) == 0 || burst.is_empty() {
            break;
        }
    }
    let refused = burst.len();
    let bytes_refused = if refused == 0 { 0 } else { bytes(burst) };
    burst.clear();
    Sent {
        packets: (before - refused) as u64,
        bytes: bytes_before - bytes_refused,
        refused: refused as u64,
    }
}

#[inline]
fn bytes(burst: &Burst) -> u64 {
    burst.iter().map(|packet: &Mbuf| packet.total_len() as u64).sum()
}
