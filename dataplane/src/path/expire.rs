//! The end of flows: by age, a bounded number of entries at a time, or because something put an end to them.

use weir_proto::time::Instant;
use weir_rings::counters::WorkerCounters;
use weir_wire::MacAddr;

use super::Path;
use super::remote::Notes;
use crate::burst::{Context, Lane, Own};
use crate::family::Family;
use crate::flow::{Entry, Flags, Tick};
use crate::shared::Shared;
use crate::tables::{PortSpec, Snapshot};
use crate::tcp_state::State;
use crate::verdict::{PortId, WorkerId};

const TCP: u8 = 6;

/// No time-out is shorter than a second: below this there is nothing to look up.
const IDLE_MIN_TICKS: u32 = 7;

/// Stands for "no port" where a context needs one but packets have no part.
static NO_PORT: PortSpec = PortSpec {
    mac: MacAddr::ZERO,
    addresses: Vec::new(),
    vlan: None,
    mtu: 0,
};

/// A context for work that is not about a packet.
pub(super) fn context<'a>(
    worker: WorkerId,
    now: Instant,
    tables: &'a Snapshot,
    shared: &'a Shared,
    counters: &'a WorkerCounters,
    own: &'a mut Own,
) -> Context<'a> {
    let tick = Tick::at(now);
    Context {
        worker,
        now,
        tick,
        port: PortId(u16::MAX),
        spec: &NO_PORT,
        steered: false,
        tables,
        shared,
        counters,
        own,
    }
}

/// Ticks a flow may stay idle.
pub(super) fn limit<F: Family>(entry: &Entry<F>, tables: &Snapshot) -> u32 {
    let timeouts = tables.timeouts_of_backend(entry.backend);
    if entry.flags.has(Flags::REMOTE) {
        // The owner decides; a copy only must not stay for ever should the owner's note be lost.
        let longest = timeouts.tcp.iter().copied().fold(timeouts.udp, u32::max);
        return longest.saturating_mul(2);
    }
    if entry.protocol != TCP {
        return timeouts.udp;
    }
    match State::from_number(entry.state) {
        Some(State::None) | None => timeouts.fresh,
        Some(state) => timeouts.tcp[state as usize],
    }
}

impl Path {
    /// Ages up to `entries` flows of each family. [`process`](Self::process) does some after each burst; an idle worker
    /// calls this with more.
    pub fn age(&mut self, now: Instant, entries: u32) {
        let Self {
            v4,
            v6,
            tables,
            shared,
            counters,
            own,
            worker,
            ..
        } = self;
        let tick = Tick::at(now);
        let busy4 = v4.has_idle(entries, tick);
        let busy6 = v6.has_idle(entries, tick);
        if busy4 || busy6 {
            let tables: &Snapshot = tables;
            let mut context = context(*worker, now, tables, shared, counters, own);
            if busy4 {
                v4.age(entries, &mut context);
            }
            if busy6 {
                v6.age(entries, &mut context);
            }
        }
        counters
            .row()
            .flows()
            .set((v4.table.len() + v6.table.len()) as u64);
    }
}

impl<F: Notes> Lane<F> {
    /// Whether the ageing has to look more closely; otherwise it has passed these entries.
    #[inline]
    fn has_idle(&mut self, entries: u32, tick: Tick) -> bool {
        self.table.touched() != 0 && !self.sweep.pass_recent(&self.table, entries, tick, IDLE_MIN_TICKS)
    }

    fn age(&mut self, mut budget: u32, context: &mut Context<'_>) {
        let (tick, tables) = (context.tick, context.tables);
        while let Some(index) = self.sweep.next_due(&self.table, &mut budget, |entry| {
            let idle = tick.since(entry.seen);
            idle >= IDLE_MIN_TICKS && idle >= limit(entry, tables)
        }) {
            if !self.table.entry(index).flags.has(Flags::REMOTE) {
                context.counters.row().flows_expired().add(1);
            }
            self.forget(index, context);
        }
    }

    /// Removes a flow with everything that was counted or told about it.
    pub(super) fn forget(&mut self, index: u32, context: &mut Context<'_>) {
        let entry = *self.table.entry(index);
        if !entry.flags.has(Flags::REMOTE) {
            if let Some(line) = context.counters.backend(entry.backend) {
                let cell = if entry.flags.has(Flags::INACTIVE) {
                    line.inactive()
                } else {
                    line.active()
                };
                cell.sub(1);
            }
            if let Some(template) = entry.link.checked_sub(1) {
                context.shared.templates.release(template, context.tick);
            }
            super::remote::withdraw(&entry, context);
        }
        self.table.remove(index, &context.shared.seed, &context.servers());
    }
}
