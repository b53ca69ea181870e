//! The rings between the threads: from worker to worker, from the main thread to workers, from workers to the main thread. Each ring has one producer and one consumer, and a bound; what does not fit comes back to
//! the producer, who counts it.

use std::io;
use std::os::fd::OwnedFd;

use rtrb::{Consumer, Producer, RingBuffer};
use weir_dpdk::{Mbuf, RxQueue, TxQueue};
use weir_rings::query::{Explanation, FlowFilter, Step};

use super::wakeup::Doorbell;
use crate::explain::Question;
use crate::note::Note;
use crate::path::FlowInfo;
use crate::tables::HopKey;
use crate::verdict::{PortId, PuntReason};

/// Items that fit in one ring.
const CAPACITY: usize = 1024;

/// Something for a worker.
#[derive(Debug)]
pub enum ToWorker {
    /// Received on this port by another worker: process it, its flow is yours.
    Process(PortId, Mbuf),
    /// Forwarded by another worker: send it, the port's queue is yours.
    Send(PortId, Mbuf),
    /// Made by the main thread: send it.
    Originate(PortId, Mbuf),
    /// For the kernel: the port's tap is yours.
    ToHost(PortId, Mbuf),
    /// News about flows that two workers know of.
    Note(Note),
    /// Says what would happen to a packet; passed on to the worker it belongs to.
    Explain(Box<Riddle>),
    /// Lists flows into the vector it brings along, for the main thread.
    ListFlows(Box<FlowQuestion>),
    /// The port's device is being taken away: drop its queues.
    LetGo(PortId),
    /// The port's device is back.
    Take(Box<NewQueues>),
}

/// A worker's share of a device that came back.
#[derive(Debug)]
pub struct NewQueues {
    /// The port.
    pub port: PortId,
    /// Receive queues.
    pub rx: Vec<RxQueue>,
    /// Its transmit queue, if it has one.
    pub tx: Option<TxQueue>,
    /// Descriptors that announce received packets.
    pub announcers: Vec<OwnedFd>,
}

/// Something for the main thread.
#[derive(Debug)]
pub enum ToMain {
    /// A packet it should see.
    Punted(PuntReason, PortId, Mbuf),
    /// A next hop to resolve.
    Wanted(HopKey),
    /// The answer to [`ToWorker::Explain`], with the query's number.
    Explained(u64, Box<Explanation>),
    /// The answer to [`ToWorker::ListFlows`].
    Flows(Box<FlowQuestion>),
}

/// A packet to explain.
#[derive(Debug)]
pub struct Riddle {
    /// The query it belongs to.
    pub id: u64,
    /// The packet.
    pub question: Question,
    /// What the workers said that it does not belong to.
    pub told: Vec<Step>,
}

/// Which flows of a worker, and room for them; nothing is allocated where packets are forwarded.
#[derive(Debug)]
pub struct FlowQuestion {
    /// The query it belongs to.
    pub id: u64,
    /// The worker that is asked.
    pub worker: u16,
    /// Which.
    pub filter: FlowFilter,
    /// Entries of its tables looked at so far; moved by the worker.
    pub cursor: u32,
    /// As many as its capacity; set by the worker.
    pub found: Vec<FlowInfo>,
    /// There are more; set by the worker.
    pub more: bool,
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

    /// Wakes the receiver whether something was put in or not.
    pub fn wake(&self) {
        self.doorbell.ring();
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
    pub inboxes: Vec<Consumer<ToWorker>>,
    /// To every worker by its number; nothing at the worker's own.
    pub outboxes: Vec<Option<Outbox<ToWorker>>>,
    /// To the main thread.
    pub to_main: Outbox<ToMain>,
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
    pub inboxes: Vec<Consumer<ToMain>>,
    /// To each worker.
    pub outboxes: Vec<Outbox<ToWorker>>,
    /// Rung when something is put into an inbox.
    pub doorbell: Doorbell,
}

/// The rings of `workers` workers and the main thread.
pub fn mesh(workers: usize) -> io::Result<(MainEnds, Vec<WorkerEnds>)> {
    let main_bell = Doorbell::new()?;
    let bells = (0..workers)
        .map(|_| Doorbell::new())
        .collect::<io::Result<Vec<_>>>()?;
    let mut inboxes: Vec<Vec<Consumer<ToWorker>>> = (0..workers).map(|_| Vec::new()).collect();
    let outboxes: Vec<Vec<Option<Outbox<ToWorker>>>> = (0..workers)
        .map(|from| {
            let way = |to: usize| (from != to).then(|| ring(&mut inboxes[to], &bells[to]));
            (0..workers).map(way).collect()
        })
        .collect();
    let from_main = (0..workers)
        .map(|to| ring(&mut inboxes[to], &bells[to]))
        .collect();
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
    Ok((
        MainEnds {
            inboxes: to_main,
            outboxes: from_main,
            doorbell: main_bell,
        },
        ends,
    ))
}

fn ring<T>(inboxes: &mut Vec<Consumer<T>>, doorbell: &Doorbell) -> Outbox<T> {
    let (producer, consumer) = RingBuffer::new(CAPACITY);
    inboxes.push(consumer);
    Outbox {
        ring: producer,
        doorbell: doorbell.clone(),
        pending: false,
    }
}
