//! The rings between the threads: packets handed from worker to worker, from the main thread to workers, and punts from
//! workers to the main thread. Each ring has one producer and one consumer, and a bound; what does not fit comes back to
//! the producer, who counts it.

use std::io;

use rtrb::{Consumer, Producer, RingBuffer};
use weir_dpdk::Mbuf;

use super::wakeup::Doorbell;
use crate::verdict::{PortId, PuntReason};

/// Packets that fit in one ring.
const CAPACITY: usize = 1024;

/// A packet for another worker, and what that worker is to do with it.
#[derive(Debug)]
pub struct Parcel {
    /// What to do.
    pub task: Task,
    /// The port it came by, or is to leave by.
    pub port: PortId,
    /// The packet.
    pub packet: Mbuf,
}

/// What the receiver of a [`Parcel`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Process it: its flow is yours.
    Process,
    /// Send it: the port's queue is yours.
    Send,
    /// Hand it to the kernel: the port's tap is yours.
    ToHost,
}

/// A packet for the main thread.
#[derive(Debug)]
pub struct Punted {
    /// Why.
    pub reason: PuntReason,
    /// The port it came by.
    pub port: PortId,
    /// The packet.
    pub packet: Mbuf,
}

/// One way to another thread.
#[derive(Debug)]
pub struct Outbox<T> {
    ring: Producer<T>,
    doorbell: Doorbell,
    pending: bool,
}

impl<T> Outbox<T> {
    /// Puts something in, or gives it back when the ring is full. The receiver is woken by [`Outbox::flush`].
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        self.pending = true;
        self.ring.push(item).map_err(|rtrb::PushError::Full(item)| item)
    }

    /// Wakes the receiver if something was put in since the last call.
    #[inline]
    pub fn flush(&mut self) {
        if core::mem::take(&mut self.pending) {
            self.doorbell.ring();
        }
    }

    /// Whether the receiving thread is gone, and what is put in is lost.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }
}

/// A worker's ends.
#[derive(Debug)]
pub struct WorkerEnds {
    /// From every other worker, and last from the main thread.
    pub inboxes: Vec<Consumer<Parcel>>,
    /// To every worker by its number; nothing at the worker's own.
    pub outboxes: Vec<Option<Outbox<Parcel>>>,
    /// To the main thread.
    pub to_main: Outbox<Punted>,
    /// Rung when something is put into an inbox.
    pub doorbell: Doorbell,
}

impl WorkerEnds {
    /// Whether every inbox is empty.
    pub fn nothing_waits(&self) -> bool {
        self.inboxes.iter().all(Consumer::is_empty)
    }
}

/// The main thread's ends.
#[derive(Debug)]
pub struct MainEnds {
    /// From each worker.
    pub inboxes: Vec<Consumer<Punted>>,
    /// To each worker.
    pub outboxes: Vec<Outbox<Parcel>>,
    /// Rung when something is put into an inbox.
    pub doorbell: Doorbell,
}

/// The rings of `workers` workers and the main thread.
pub fn mesh(workers: usize) -> io::Result<(MainEnds, Vec<WorkerEnds>)> {
    let main_bell = Doorbell::new()?;
    let bells = (0..workers).map(|_| Doorbell::new()).collect::<io::Result<Vec<_>>>()?;
    let mut inboxes: Vec<Vec<Consumer<Parcel>>> = (0..workers).map(|_| Vec::new()).collect();
    let mut outboxes: Vec<Vec<Option<Outbox<Parcel>>>> = (0..workers).map(|_| Vec::new()).collect();
    for from in 0..workers {
        for to in 0..workers {
            let way = (from != to).then(|| ring(&mut inboxes[to], &bells[to]));
            outboxes[from].push(way);
        }
    }
    let from_main = (0..workers).map(|to| ring(&mut inboxes[to], &bells[to])).collect();
    let mut to_main = Vec::new();
    let ends = inboxes
        .into_iter()
        .zip(outboxes)
        .zip(bells)
        .map(|((inboxes, outboxes), doorbell)| WorkerEnds {
            inboxes,
            outboxes,
            to_main: ring(&mut to_main, &main_bell),
            doorbell,
        })
        .collect();
    Ok((MainEnds { inboxes: to_main, outboxes: from_main, doorbell: main_bell }, ends))
}

fn ring<T>(inboxes: &mut Vec<Consumer<T>>, doorbell: &Doorbell) -> Outbox<T> {
    let (producer, consumer) = RingBuffer::new(CAPACITY);
    inboxes.push(consumer);
    Outbox { ring: producer, doorbell: doorbell.clone(), pending: false }
}
