//! The way of a burst through a worker, stage by stage:
//!
//! 1. parse every packet, sort flows by family, ask for their buckets ([`crate::parse`]);
//! 2. look every bucket up and ask for the entries; 3. confirm by full key, track state, ask for the servers' records
//!    ([`lookup`]);
//! 4. decide what was not found: service, persistence, scheduler, new entry ([`decide`]), or whose it is ([`crate::burst`]);
//! 5. rewrite and choose the port ([`rewrite`], [`crate::forward`]);
//! 6. answer or hand to the host what is no flow: ARP, ICMP, neighbour discovery, the rest ([`local`]);
//! 7. count verdicts, age a few entries ([`expire`]).
//!
//! No stage allocates, locks, logs, makes a system call or reads a clock.

mod create;
mod decide;
mod deliver;
mod expire;
mod fast;
mod fragment;
mod inspect;
mod local;
mod lookup;
mod open;
mod query;
mod remote;
mod reply;
mod rewrite;

use std::sync::Arc;

use weir_proto::time::Instant;
use weir_rings::counters::WorkerCounters;
use weir_rings::snapshot::Reader;

pub use query::FlowInfo;

pub use crate::burst::BURST_MAX;
use crate::burst::{Context, Lane, Own, Pending};
use crate::family::{V4, V6};
use crate::flow::Tick;
use crate::note::Note;
use crate::packet::Packet;
use crate::parse::{self, Class, Meta};
use crate::shared::Shared;
use crate::tables::{HopKey, Snapshot};
use crate::verdict::{DropReason, PortId, PuntReason, Verdict, WorkerId};

/// One worker's packet path.
pub struct Path {
    worker: WorkerId,
    shared: Arc<Shared>,
    tables: Reader<Snapshot>,
    counters: WorkerCounters,
    v4: Lane<V4>,
    v6: Lane<V6>,
    own: Own,
    fast: fast::Scratch,
    /// Packets of the burst that are no flows.
    others: Vec<(u8, Meta)>,
}

impl core::fmt::Debug for Path {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Path")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl Path {
    /// The path of `worker`. Allocates its flow tables.
    pub fn new(
        worker: WorkerId,
        shared: Arc<Shared>,
        tables: Reader<Snapshot>,
        counters: WorkerCounters,
    ) -> Self {
        let settings = shared.settings;
        let random = shared.seed.short(u64::from(worker.0), 0x7261_6e64);
        Self {
            worker,
            tables,
            counters,
            v4: Lane::new(settings.flows_max_v4, settings.variant),
            v6: Lane::new(settings.flows_max_v6, settings.variant),
            fast: fast::Scratch::new(&shared.seed, settings.variant),
            own: Own::new(&settings, random),
            others: Vec::with_capacity(BURST_MAX),
            shared,
        }
    }

    /// Which worker it is.
    pub const fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The worker's counters, for what the loop around the path counts.
    pub const fn counters(&self) -> &WorkerCounters {
        &self.counters
    }

    /// The tables as of the last burst.
    pub fn tables(&self) -> &Snapshot {
        &self.tables
    }

    /// Takes up the newest tables. [`process`](Self::process) does it by itself; an idle worker calls this so that old
    /// tables can be freed.
    pub fn refresh(&mut self) -> bool {
        self.tables.refresh()
    }

    /// Sleeps without holding tables.
    pub fn offline<R>(&mut self, sleep: impl FnOnce() -> R) -> R {
        self.tables.offline(sleep)
    }

    /// Takes a burst received on `port` and leaves a verdict beside each packet. Counts what was received and dropped;
    /// the caller settles the other verdicts with [`count_tx`](Self::count_tx), [`count_punted`](Self::count_punted),
    /// [`count_steered`](Self::count_steered), or [`count_drop`](Self::count_drop) where a queue was full.
    ///
    /// Gives the port by which all of them leave, where that is known without a look at the verdicts.
    ///
    /// # Panics
    /// When there are fewer verdicts than packets.
    pub fn process<P: Packet>(
        &mut self,
        now: Instant,
        port: PortId,
        packets: &mut [P],
        verdicts: &mut [Verdict],
    ) -> Option<PortId> {
        let count = packets.len() as u64;
        let (bytes, whole) = self.run(now, port, false, packets, verdicts);
        self.counters.row().rx_packets().add(count);
        if let Some(line) = self.counters.port(port) {
            line.rx_packets().add(count);
            line.rx_bytes().add(bytes);
        }
        whole
    }

    /// Takes packets that another worker received on `port` and handed over.
    ///
    /// # Panics
    /// As [`process`](Self::process).
    pub fn process_steered<P: Packet>(
        &mut self,
        now: Instant,
        port: PortId,
        packets: &mut [P],
        verdicts: &mut [Verdict],
    ) {
        self.counters.row().steered_in().add(packets.len() as u64);
        self.run(now, port, true, packets, verdicts);
    }

    /// Takes packets again whose verdict was [`PuntReason::NeighborWanted`]; they have been counted already.
    ///
    /// # Panics
    /// As [`process`](Self::process).
    pub fn reprocess<P: Packet>(
        &mut self,
        now: Instant,
        port: PortId,
        packets: &mut [P],
        verdicts: &mut [Verdict],
    ) {
        self.run(now, port, true, packets, verdicts);
    }

    /// Gives the bytes that came in, and the port by which all packets leave, should that be known.
    fn run<P: Packet>(
        &mut self,
        now: Instant,
        port: PortId,
        steered: bool,
        packets: &mut [P],
        verdicts: &mut [Verdict],
    ) -> (u64, Option<PortId>) {
        self.tables.refresh();
        let verdicts = &mut verdicts[..packets.len()];
        let (mut bytes, mut whole) = (0, None);
        if packets.len() <= BURST_MAX {
            (bytes, whole) = self.burst(now, port, steered, packets, verdicts);
        } else {
            let parts = packets.chunks_mut(BURST_MAX);
            for (packets, verdicts) in parts.zip(verdicts.chunks_mut(BURST_MAX)) {
                bytes += self.burst(now, port, steered, packets, verdicts).0;
            }
        }
        let budget = self.shared.settings.sweep_per_burst;
        self.age(now, budget);
        (bytes, whole)
    }

    #[inline(always)]
    fn burst<P: Packet>(
        &mut self,
        now: Instant,
        port: PortId,
        steered: bool,
        packets: &mut [P],
        verdicts: &mut [Verdict],
    ) -> (u64, Option<PortId>) {
        let tables: &Snapshot = &self.tables;
        let Some(spec) = tables.port(port) else {
            return (self.unknown_port(packets, verdicts), None);
        };
        let mut context = Context {
            worker: self.worker,
            now,
            tick: Tick::at(now),
            port,
            spec,
            steered,
            tables,
            shared: &self.shared,
            counters: &self.counters,
            own: &mut self.own,
        };
        let mut sorted = Sorted {
            v4: &mut self.v4,
            v6: &mut self.v6,
            others: &mut self.others,
        };
        sorted.clear();
        let (quiet, bytes) = if sorted.v4.slow {
            fast::take_none(&mut self.fast, packets)
        } else {
            let secrets = (&spec.mac, &context.shared.seed);
            fast::take_in(&mut self.fast, packets, &sorted.v4.table, tables, secrets)
        };
        let (mut sent, mut whole) = (0, None);
        let mut plain = 0;
        if quiet != packets.len() {
            plain = sorted.sort(&self.fast.places[..], packets, verdicts, &context);
        }
        if quiet != 0 {
            let done = fast::run(&mut self.fast, quiet, packets, verdicts, sorted.v4, &context);
            (sent, whole) = (done.sent, done.whole);
            plain += done.new;
        }
        if plain != 0 {
            let places = &self.fast.places[..packets.len()];
            sent += open::run(places, packets, verdicts, sorted.v4, &mut context);
        }
        if sent != packets.len() {
            sorted.run(packets, verdicts, &mut context);
            settle(verdicts, &mut context);
        }
        (bytes, whole)
    }

    /// Nobody knows it: drops everything.
    #[cold]
    #[inline(never)]
    fn unknown_port<P: Packet>(&self, packets: &[P], verdicts: &mut [Verdict]) -> u64 {
        verdicts.fill(Verdict::Drop(DropReason::UnknownPort));
        self.count_drop(DropReason::UnknownPort, packets.len() as u64);
        packets.iter().map(|packet| packet.total_len() as u64).sum()
    }

    /// Counts packets that a device took.
    #[inline]
    pub fn count_tx(&self, port: PortId, packets: u64, bytes: u64) {
        self.counters.row().tx_packets().add(packets);
        if let Some(line) = self.counters.port(port) {
            line.tx_packets().add(packets);
            line.tx_bytes().add(bytes);
        }
    }

    /// Counts a packet that the host's queue took; `port` is the one it came by.
    pub fn count_punted(&self, port: PortId, reason: PuntReason) {
        self.counters.row().punted().add(1);
        self.counters.reason(DropReason::COUNT + reason.index()).add(1);
        if let Some(line) = self.counters.port(port) {
            line.punt_packets().add(1);
        }
    }

    /// Counts packets that another worker's queue took; `port` is the one they came by.
    pub fn count_steered(&self, port: PortId, packets: u64) {
        self.counters.row().steered_out().add(packets);
        if let Some(line) = self.counters.port(port) {
            line.steered_packets().add(packets);
        }
    }

    /// Counts packets with another verdict that ended here after all: a queue was full.
    pub fn count_drop(&self, reason: DropReason, packets: u64) {
        self.counters.reason(reason.index()).add(packets);
        self.counters.row().dropped().add(packets);
    }

    /// Next hops to resolve, asked for since the last call: packets for them were punted as
    /// [`PuntReason::NeighborWanted`].
    pub fn take_wanted(&mut self) -> impl Iterator<Item = HopKey> + '_ {
        self.own.wanted.drain(..)
    }

    /// Notes for other workers since the last call; to be given to their [`deliver`](Self::deliver).
    pub fn take_notes(&mut self) -> impl Iterator<Item = (WorkerId, Note)> + '_ {
        self.own.notes.drain(..)
    }

    /// Whether [`take_notes`](Self::take_notes) has something.
    #[inline]
    pub const fn has_notes(&self) -> bool {
        !self.own.notes.is_empty()
    }
}

/// Holds punts to their rates and counts drops.
#[inline(never)]
fn settle(verdicts: &mut [Verdict], context: &mut Context<'_>) {
    for verdict in verdicts {
        if let Verdict::Punt(reason) = *verdict
            && !context.own.may_punt(reason, context.now)
        {
            *verdict = Verdict::Drop(DropReason::PuntLimited);
        }
        if let Verdict::Drop(reason) = *verdict {
            context.counters.reason(reason.index()).add(1);
            context.counters.row().dropped().add(1);
        }
    }
}

/// Where the packets go that are not for the fast lane.
struct Sorted<'a> {
    v4: &'a mut Lane<V4>,
    v6: &'a mut Lane<V6>,
    others: &'a mut Vec<(u8, Meta)>,
}

impl Sorted<'_> {
    #[inline]
    fn clear(&mut self) {
        self.v4.pending.clear();
        self.v6.pending.clear();
        self.others.clear();
    }

    /// The general stages.
    #[inline(never)]
    fn run<P: Packet>(&mut self, packets: &mut [P], verdicts: &mut [Verdict], context: &mut Context<'_>) {
        // They were added by three hands; the stages go by the order in which the packets came.
        if !self.v4.pending.is_sorted_by_key(|pending| pending.index) {
            self.v4.pending.sort_unstable_by_key(|pending| pending.index);
        }
        if !self.v4.pending.is_empty() {
            self.v4.run(packets, verdicts, context);
        }
        if !self.v6.pending.is_empty() {
            self.v6.run(packets, verdicts, context);
        }
        for &(index, meta) in self.others.iter() {
            let at = usize::from(index);
            verdicts[at] = local::handle(&mut packets[at], &meta, self.v4, self.v6, context);
        }
    }

    /// Gives the number of plain packets that are not quiet.
    #[inline(never)]
    fn sort<P: Packet>(
        &mut self,
        places: &[fast::Place],
        packets: &[P],
        verdicts: &mut [Verdict],
        context: &Context<'_>,
    ) -> usize {
        let mut plain = 0;
        let all = places.iter().zip(packets).zip(verdicts);
        for (index, ((place, packet), verdict)) in all.enumerate() {
            match place.kind() {
                fast::Kind::Quiet => {}
                fast::Kind::Plain => plain += 1,
                fast::Kind::Other => self.add_any(index, packet.data(), packet.total_len(), verdict, context),
            }
        }
        plain
    }

    /// Whatever is not plain.
    #[inline(never)]
    fn add_any(
        &mut self,
        index: usize,
        data: &[u8],
        total_len: usize,
        verdict: &mut Verdict,
        context: &Context<'_>,
    ) {
        let seed = &context.shared.seed;
        match parse::parse(data, total_len) {
            Err(reason) => *verdict = Verdict::Drop(reason),
            Ok(meta) if !is_for_us(data, context) => self.others.push((index as u8, meta)),
            Ok(meta) => match meta.class {
                Class::Flow4 => {
                    let key = parse::key4(data, &meta);
                    self.v4.push(Pending::new(key.hash(seed), key, index, &meta));
                }
                Class::Flow6 => {
                    let key = parse::key6(data, &meta);
                    self.v6.push(Pending::new(key.hash(seed), key, index, &meta));
                }
                Class::Icmp4
                | Class::Icmp6
                | Class::Fragment4
                | Class::Fragment6
                | Class::Other4
                | Class::Other6
                | Class::Arp
                | Class::OtherEthertype => self.others.push((index as u8, meta)),
            },
        }
    }
}

/// Whether the destination MAC is this port's: anything else is looked at more closely.
#[inline(always)]
fn is_for_us(data: &[u8], context: &Context<'_>) -> bool {
    data.first_chunk::<6>()
        .is_some_and(|mac| *mac == context.spec.mac.0 || context.tables.is_virtual_mac(*mac))
}

/// Asks for the header line of each packet, one stage ahead of [`Path::process`].
#[inline]
pub fn prefetch_headers<P: Packet>(packets: &[P]) {
    packets.iter().for_each(P::prefetch);
}
