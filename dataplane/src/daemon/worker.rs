//! One worker: a thin loop around the packet path. Receive, process, send; when there is nothing, rest.
//!
//! A packet is counted where its fate is final: sent when a queue took it, dropped by name when none did.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtrb::PopError;
use weir_dpdk::{Burst, Mbuf, RxQueue, TxQueue};
use weir_proto::time::Instant;
use weir_rings::query::Step;

use super::clock::Clock;
use super::egress::{Sent, Way, send};
use super::ending::Ending;
use super::idle::{Idle, Pause};
use super::mesh::{FlowQuestion, NewQueues, Outbox, Riddle, ToMain, ToWorker, WorkerEnds};
use super::queries::matches;
use super::wakeup::Bedside;
use crate::path::Path;
use crate::verdict::{DropReason, PortId, PuntReason, Verdict};

/// Items taken from one inbox in one round.
const INBOX_ITEMS_PER_ROUND: usize = 2 * Burst::CAPACITY;
/// Packets that wait for a neighbour to answer.
const WAITING_MAX: usize = 256;
/// How long one waits.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// How often it is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(2);
/// Flow entries a listing looks at in one round.
const FLOWS_PER_ROUND: u32 = 1024;
/// Flow entries the ageing looks at in a round without packets.
const SWEEP_PER_IDLE_ROUND: u32 = 64;

/// The tap of a port whose first queue this worker has.
#[derive(Debug)]
pub struct HostTap {
    /// The port behind it.
    pub port: PortId,
    /// From the kernel.
    pub rx: RxQueue,
    /// To the kernel.
    pub tx: TxQueue,
    /// On its way to the kernel, with what it still has to be counted as.
    pub outgoing: Burst,
    /// For each packet of `outgoing`; `None` for one that another thread has counted.
    pub reasons: Vec<Option<PuntReason>>,
}

/// What a worker is made of.
#[derive(Debug)]
pub struct Parts {
    /// The packet path.
    pub path: Path,
    /// Receive queues it polls.
    pub rx: Vec<(PortId, RxQueue)>,
    /// How it reaches each port, by port number.
    pub ways: Vec<Way>,
    /// Who has each port's tap: itself, another worker, or nobody.
    pub host_owners: Vec<Option<usize>>,
    /// The taps it has.
    pub taps: Vec<HostTap>,
    /// Rings to the other threads.
    pub ends: WorkerEnds,
    /// Where it sleeps.
    pub bedside: Bedside,
    /// When it sleeps.
    pub idle: Idle,
    /// The daemon's clock.
    pub clock: Clock,
    /// Set when it is to end.
    pub stop: Arc<AtomicBool>,
    /// How it ends together with the others.
    pub ending: Arc<Ending>,
}

/// A running worker.
pub struct Worker {
    parts: Parts,
    number: usize,
    burst: Burst,
    verdicts: [Verdict; Burst::CAPACITY],
    /// Where the packets in `burst` came by, while handed-over ones are collected.
    collected_port: PortId,
    /// A listing under way.
    question: Option<Box<FlowQuestion>>,
    waiting: VecDeque<(Instant, PortId, Mbuf)>,
    retry_at: Instant,
    busy_since: Option<Instant>,
}

impl Worker {
    /// Ready to run.
    pub fn new(parts: Parts) -> Self {
        Self {
            number: usize::from(parts.path.worker().0),
            burst: Burst::new(),
            verdicts: [Verdict::Drop(DropReason::UnknownPort); Burst::CAPACITY],
            collected_port: PortId(0),
            question: None,
            waiting: VecDeque::with_capacity(WAITING_MAX),
            retry_at: Instant::from_nanos(0),
            busy_since: None,
            parts,
        }
    }

    /// Runs until told to stop.
    pub fn run(mut self) {
        while !self.parts.stop.load(Ordering::Relaxed) {
            let now = self.parts.clock.now();
            let worked = self.round(now);
            match self.parts.idle.after_round(worked) {
                Pause::None => {}
                Pause::Yield => std::thread::yield_now(),
                Pause::Sleep(longest) => self.sleep(longest),
            }
        }
        self.end();
    }

    /// One round: the only clock read is the caller's.
    fn round(&mut self, now: Instant) -> bool {
        self.account_time(now);
        let mut worked = self.poll_ports(now);
        worked |= self.poll_inboxes(now);
        worked |= self.poll_taps();
        worked |= self.retry_waiting(now);
        worked |= self.list_flows(now);
        if worked {
            self.flush();
            self.busy_since = Some(now);
        } else {
            self.parts.path.counters().row().polls_empty().add(1);
            self.parts.path.refresh();
            self.parts.path.age(now, SWEEP_PER_IDLE_ROUND);
        }
        self.send_news();
        worked
    }

    fn account_time(&mut self, now: Instant) {
        let row = self.parts.path.counters().row();
        row.heartbeat_ns().set(now.as_nanos());
        if let Some(since) = self.busy_since.take() {
            row.busy_ns().add(now.as_nanos().saturating_sub(since.as_nanos()));
            row.bursts().add(1);
        }
    }

    fn poll_ports(&mut self, now: Instant) -> bool {
        let mut worked = false;
        for at in 0..self.parts.rx.len() {
            let (port, queue) = &mut self.parts.rx[at];
            let port = *port;
            if queue.burst(&mut self.burst) == 0 {
                continue;
            }
            worked = true;
            crate::path::prefetch_headers(&self.burst);
            let whole = self
                .parts
                .path
                .process(now, port, &mut self.burst, &mut self.verdicts);
            if !whole.is_some_and(|out| self.send_whole(out)) {
                self.settle(now, port);
            }
        }
        worked
    }

    /// Sends the burst as it is by one port, unless that is another worker's, or packets wait for it that came before. Then
    /// nothing was done.
    #[inline]
    fn send_whole(&mut self, out: PortId) -> bool {
        match self.parts.ways.get_mut(usize::from(out.0)) {
            Some(Way::Queue(buffer)) if buffer.forwarded.is_empty() => {
                let sent = buffer.send_forwarded(&mut self.burst);
                count_sent(&self.parts.path, out, sent);
                true
            }
            _ => false,
        }
    }

    /// Sends every packet of the burst where its verdict says.
    fn settle(&mut self, now: Instant, port: PortId) {
        let mut burst = core::mem::take(&mut self.burst);
        for (index, packet) in burst.drain().enumerate() {
            match self.verdicts[index] {
                Verdict::Tx(out) => self.forward(out, packet),
                Verdict::Drop(_) => drop(packet),
                Verdict::Punt(reason) => self.punt(now, port, reason, packet),
                Verdict::Steer(worker) => {
                    let item = ToWorker::Process(port, packet);
                    self.hand_over(usize::from(worker.0), port, item, DropReason::SteerFull);
                }
            }
        }
        self.burst = burst;
    }

    fn forward(&mut self, port: PortId, packet: Mbuf) {
        match self.parts.ways.get_mut(usize::from(port.0)) {
            Some(Way::Queue(buffer)) => {
                if let Err(packet) = buffer.forwarded.push(packet) {
                    let sent = buffer.flush_forwarded();
                    // Just emptied.
                    let _ = buffer.forwarded.push(packet);
                    count_sent(&self.parts.path, port, sent);
                }
            }
            Some(Way::Worker(owner)) => {
                let owner = *owner;
                self.hand_over(owner, port, ToWorker::Send(port, packet), DropReason::TxFull);
            }
            None => self.parts.path.count_drop(DropReason::UnknownPort, 1),
        }
    }

    /// Gives a packet to another worker; counted as handed over, or by name when it does not fit.
    fn hand_over(&mut self, to: usize, port: PortId, item: ToWorker, full: DropReason) {
        let path = &self.parts.path;
        match self.parts.ends.outboxes.get_mut(to).and_then(Option::as_mut) {
            Some(outbox) if outbox.is_abandoned() => path.count_drop(DropReason::WorkerGone, 1),
            Some(outbox) => match outbox.push(item) {
                Ok(()) => path.count_steered(port, 1),
                Err(_) => path.count_drop(full, 1),
            },
            None => path.count_drop(DropReason::WorkerGone, 1),
        }
    }

    fn punt(&mut self, now: Instant, port: PortId, reason: PuntReason, packet: Mbuf) {
        match reason {
            PuntReason::NeighborWanted => self.wait(now, port, packet),
            PuntReason::Neighbor | PuntReason::AddressConflict => {
                let pushed = self.parts.ends.to_main.push(ToMain::Punted(reason, port, packet));
                self.count_punt(port, reason, pushed.is_ok());
            }
            PuntReason::Host | PuntReason::Vrrp | PuntReason::Multicast | PuntReason::OtherEthertype => {
                self.punt_to_host(port, reason, packet);
            }
        }
    }

    fn punt_to_host(&mut self, port: PortId, reason: PuntReason, packet: Mbuf) {
        match self.parts.host_owners.get(usize::from(port.0)).copied().flatten() {
            Some(owner) if owner == self.number => self.give_to_tap(port, Some(reason), packet),
            Some(owner) => {
                let outbox = self.parts.ends.outboxes.get_mut(owner).and_then(Option::as_mut);
                let taken = outbox.is_some_and(|outbox| outbox.push(ToWorker::ToHost(port, packet)).is_ok());
                self.count_punt(port, reason, taken);
            }
            None => self.parts.path.count_drop(DropReason::NoHostInterface, 1),
        }
    }

    fn count_punt(&self, port: PortId, reason: PuntReason, taken: bool) {
        if taken {
            self.parts.path.count_punted(port, reason);
        } else {
            self.parts.path.count_drop(DropReason::PuntQueueFull, 1);
        }
    }

    fn give_to_tap(&mut self, port: PortId, reason: Option<PuntReason>, packet: Mbuf) {
        let path = &self.parts.path;
        let Some(tap) = self.parts.taps.iter_mut().find(|tap| tap.port == port) else {
            return;
        };
        if tap.outgoing.is_full() {
            flush_tap(path, tap);
        }
        // Has room now.
        if tap.outgoing.push(packet).is_ok() {
            tap.reasons.push(reason);
        }
    }

    /// Keeps a packet until its next hop answers. It is counted when that is decided.
    fn wait(&mut self, now: Instant, port: PortId, packet: Mbuf) {
        if self.waiting.len() == WAITING_MAX {
            self.parts.path.count_drop(DropReason::PuntQueueFull, 1);
            return;
        }
        self.waiting.push_back((now + WAIT_MAX, port, packet));
    }

    /// Processes those again that wait for a next hop. One that has waited for too long ends as a punt of that name.
    fn retry_waiting(&mut self, now: Instant) -> bool {
        if self.waiting.is_empty() || now < self.retry_at {
            return false;
        }
        self.retry_at = now + RETRY_INTERVAL;
        for _ in 0..self.waiting.len().min(Burst::CAPACITY) {
            let Some((deadline, port, packet)) = self.waiting.pop_front() else {
                break;
            };
            // The burst is empty between settlements.
            let _ = self.burst.push(packet);
            self.parts
                .path
                .reprocess(now, port, &mut self.burst, &mut self.verdicts);
            if self.verdicts[0] != Verdict::Punt(PuntReason::NeighborWanted) {
                self.settle(now, port);
            } else if now < deadline {
                self.waiting
                    .extend(self.burst.pop().map(|packet| (deadline, port, packet)));
            } else {
                self.burst.clear();
                self.parts.path.count_punted(port, PuntReason::NeighborWanted);
            }
        }
        true
    }

    fn poll_inboxes(&mut self, now: Instant) -> bool {
        let mut worked = false;
        for at in 0..self.parts.ends.inboxes.len() {
            for _ in 0..INBOX_ITEMS_PER_ROUND {
                match self.parts.ends.inboxes[at].pop() {
                    Ok(item) => self.receive(now, item),
                    Err(PopError::Empty) => break,
                }
                worked = true;
            }
            // What was collected for processing came by one port: see `receive`.
            self.process_collected(now);
        }
        worked
    }

    fn receive(&mut self, now: Instant, item: ToWorker) {
        match item {
            ToWorker::Process(port, packet) => self.collect(now, port, packet),
            ToWorker::Send(port, packet) => {
                self.parts.path.counters().row().steered_in().add(1);
                self.forward(port, packet);
            }
            ToWorker::Originate(port, packet) => {
                // What the kernel sent before this was made goes first: an advertisement of VRRP before the announcement
                // of the addresses it takes over (keepalived ff6e13a1).
                self.process_collected(now);
                self.poll_taps();
                self.originate(port, packet);
            }
            ToWorker::ToHost(port, packet) => self.give_to_tap(port, None, packet),
            ToWorker::Note(note) => self.parts.path.deliver(now, note),
            ToWorker::Explain(riddle) => self.explain(now, riddle),
            ToWorker::ListFlows(question) => self.question = Some(question),
            ToWorker::LetGo(port) => self.let_go(port),
            ToWorker::Take(queues) => self.take(*queues),
        }
    }

    /// Drops the queues of a port whose device is being taken away; what is sent there from now on is refused.
    fn let_go(&mut self, port: PortId) {
        self.parts.rx.retain(|(of, _)| *of != port);
        if let Some(Way::Queue(buffer)) = self.parts.ways.get_mut(usize::from(port.0)) {
            buffer.let_go();
        }
        self.parts.bedside.forget(port);
    }

    /// The device is back: its queues are as before.
    fn take(&mut self, queues: NewQueues) {
        let NewQueues {
            port,
            rx,
            tx,
            announcers,
        } = queues;
        self.parts.rx.extend(rx.into_iter().map(|queue| (port, queue)));
        if let (Some(Way::Queue(buffer)), Some(queue)) = (self.parts.ways.get_mut(usize::from(port.0)), tx) {
            buffer.take(queue);
        }
        self.parts.bedside.watch(port, announcers);
    }

    /// Gathers handed-over packets of one port into a burst.
    fn collect(&mut self, now: Instant, port: PortId, packet: Mbuf) {
        if self.burst.is_full() || self.collected_port != port {
            self.process_collected(now);
        }
        self.collected_port = port;
        // Has room now.
        let _ = self.burst.push(packet);
    }

    fn process_collected(&mut self, now: Instant) {
        if !self.burst.is_empty() {
            let port = self.collected_port;
            self.parts
                .path
                .process_steered(now, port, &mut self.burst, &mut self.verdicts);
            self.settle(now, port);
        }
    }

    fn poll_taps(&mut self) -> bool {
        let mut worked = false;
        for at in 0..self.parts.taps.len() {
            let tap = &mut self.parts.taps[at];
            let port = tap.port;
            worked |= tap.rx.burst(&mut self.burst) > 0;
            let mut burst = core::mem::take(&mut self.burst);
            for packet in burst.drain() {
                self.originate(port, packet);
            }
            self.burst = burst;
        }
        worked
    }

    /// Sends what did not come by a port. What the queue does not take is lost, as on any NIC.
    fn originate(&mut self, port: PortId, packet: Mbuf) {
        let Some(Way::Queue(buffer)) = self.parts.ways.get_mut(usize::from(port.0)) else {
            return;
        };
        if let Err(packet) = buffer.originated.push(packet) {
            let sent = buffer.flush_originated();
            // Just emptied.
            let _ = buffer.originated.push(packet);
            count_originated(&self.parts.path, port, sent);
        }
    }

    /// Empties every buffer into its queue, and wakes whoever was handed something.
    fn flush(&mut self) {
        let path = &self.parts.path;
        for (port, way) in (0u16..).map(PortId).zip(&mut self.parts.ways) {
            if let Way::Queue(buffer) = way {
                count_sent(path, port, buffer.flush_forwarded());
                count_originated(path, port, buffer.flush_originated());
            }
        }
        for tap in &mut self.parts.taps {
            flush_tap(path, tap);
        }
    }

    /// Answers, or passes the question to the worker the packet belongs to. Nothing is lost with it: the query times out.
    fn explain(&mut self, now: Instant, mut riddle: Box<Riddle>) {
        let mut explanation = self.parts.path.explain(now, &riddle.question);
        name_queue(&self.parts.ways, &mut explanation.steps);
        riddle.told.append(&mut explanation.steps);
        let owner = steered_to(&explanation.verdict, &riddle.told);
        if let Some(outbox) = owner.and_then(|owner| self.parts.ends.outboxes.get_mut(owner)?.as_mut()) {
            let _ = outbox.push(ToWorker::Explain(riddle));
            return;
        }
        explanation.steps = riddle.told;
        let _ = self
            .parts
            .ends
            .to_main
            .push(ToMain::Explained(riddle.id, Box::new(explanation)));
    }

    /// A slice of the flow tables, so that a listing never holds packets up.
    fn list_flows(&mut self, now: Instant) -> bool {
        let Some(mut question) = self.question.take() else {
            return false;
        };
        let FlowQuestion {
            filter,
            cursor,
            found,
            more,
            ..
        } = &mut *question;
        let path = &self.parts.path;
        let end = !path.flows_from(now, cursor, FLOWS_PER_ROUND, |flow| {
            if matches(&flow, filter, path.tables()) {
                *more = found.len() == found.capacity();
                if !*more {
                    found.push(flow);
                }
            }
        });
        if end || *more {
            // Without room the question goes unanswered and times out.
            let _ = self.parts.ends.to_main.push(ToMain::Flows(question));
        } else {
            self.question = Some(question);
        }
        true
    }

    /// Notes to other workers, wishes to the main thread, and the doorbells.
    fn send_news(&mut self) {
        let ends = &mut self.parts.ends;
        if self.parts.path.has_notes() {
            for (worker, note) in self.parts.path.take_notes() {
                if let Some(outbox) = ends
                    .outboxes
                    .get_mut(usize::from(worker.0))
                    .and_then(Option::as_mut)
                {
                    // A lost note costs a hand-over, not a packet.
                    let _ = outbox.push(ToWorker::Note(note));
                }
            }
        }
        for hop in self.parts.path.take_wanted() {
            // Asked for again by the next packet.
            let _ = ends.to_main.push(ToMain::Wanted(hop));
        }
        ends.outboxes.iter_mut().flatten().for_each(Outbox::flush);
        ends.to_main.flush();
    }

    fn sleep(&mut self, longest: Duration) {
        // Somebody waits for a neighbour: come back in time.
        let longest = if self.waiting.is_empty() {
            longest
        } else {
            longest.min(RETRY_INTERVAL)
        };
        let Parts {
            path, bedside, ends, ..
        } = &mut self.parts;
        path.counters().row().sleeps().add(1);
        path.offline(|| bedside.sleep(longest, || ends.nothing_waits()));
    }

    /// Receives no more; what is still on its way is sent or counted.
    fn end(mut self) {
        let now = self.parts.clock.now();
        for (_, port, _) in core::mem::take(&mut self.waiting) {
            self.parts.path.count_punted(port, PuntReason::NeighborWanted);
        }
        let ending = self.parts.ending.clone();
        ending.together(|| {
            while !self.parts.ends.nothing_waits() {
                self.poll_inboxes(now);
            }
            self.flush();
            self.send_news();
        });
    }
}

/// Says by which queue of its port a packet leaves.
fn name_queue(ways: &[Way], steps: &mut [Step]) {
    let Some(egress) = steps.iter_mut().find(|step| step.stage == "egress") else {
        return;
    };
    let port = egress.detail.iter().find(|(name, _)| name == "port");
    let way = port.and_then(|(_, port)| ways.get(port.parse::<usize>().ok()?));
    let queue = match way {
        Some(Way::Queue(buffer)) => buffer.queue().to_string(),
        Some(Way::Worker(owner)) => format!("of worker {owner}"),
        None => return,
    };
    egress.detail.push(("queue".to_owned(), queue));
}

/// The worker a packet belongs to, when it is another one.
fn steered_to(verdict: &str, steps: &[Step]) -> Option<usize> {
    let detail = &steps.last().filter(|_| verdict == "steer")?.detail;
    detail
        .iter()
        .find_map(|(name, value)| value.parse().ok().filter(|_| name == "worker"))
}

fn count_sent(path: &Path, port: PortId, sent: Sent) {
    if sent.packets > 0 {
        path.count_tx(port, sent.packets, sent.bytes);
    }
    if sent.refused > 0 {
        path.count_drop(DropReason::TxFull, sent.refused);
        count_refused(path, port, sent.refused);
    }
}

fn count_originated(path: &Path, port: PortId, sent: Sent) {
    if let Some(line) = path.counters().port(port) {
        line.host_tx_packets().add(sent.packets);
    }
    if sent.refused > 0 {
        count_refused(path, port, sent.refused);
    }
}

fn count_refused(path: &Path, port: PortId, packets: u64) {
    if let Some(line) = path.counters().port(port) {
        line.tx_dropped().add(packets);
    }
}

fn flush_tap(path: &Path, tap: &mut HostTap) {
    if tap.outgoing.is_empty() {
        return;
    }
    let sent = send(&mut tap.tx, &mut tap.outgoing).packets;
    for (index, reason) in (0u64..).zip(tap.reasons.drain(..)) {
        match reason {
            Some(reason) if index < sent => path.count_punted(tap.port, reason),
            Some(_) => path.count_drop(DropReason::PuntQueueFull, 1),
            None => {}
        }
    }
}
