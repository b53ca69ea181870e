//! What the workers of one dataplane have in common. All of it is read-only or made of atomics.

use std::sync::Arc;

use weir_rings::counters::{CountersReader, Shape};

use crate::bucket::Rate;
use crate::egress::EgressTable;
use crate::hash::Seed;
use crate::persist::Templates;
use crate::steer::{OwnerIndex, Steering};
use crate::tables::Limits;
use crate::verdict::{DropReason, PuntReason, TxReason};

/// Ways through the packet path that give the same result; the tests run all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Variant {
    /// What the machine can do best.
    #[default]
    Fast,
    /// What every machine of its kind can do.
    Baseline,
    /// Without vector instructions.
    Portable,
    /// The general stages for every packet, without vector instructions.
    General,
}

/// Sizes and rates of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most IPv4 flows of one worker.
    pub flows_max_v4: usize,
    /// Most IPv6 flows of one worker.
    pub flows_max_v6: usize,
    /// Most persistent clients, all workers together.
    pub templates_max: usize,
    /// Entries the ageing looks at after each burst.
    pub sweep_per_burst: u32,
    /// Packets to the host, for each reason and worker.
    pub punt: Rate,
    /// ICMP errors and resets a worker makes.
    pub answers: Rate,
    /// Which way packets take.
    pub variant: Variant,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flows_max_v4: 1 << 16,
            flows_max_v6: 1 << 14,
            templates_max: 1 << 14,
            sweep_per_burst: 4,
            punt: Rate {
                per_s: 10_000,
                burst: 1_000,
            },
            answers: Rate {
                per_s: 1_000,
                burst: 100,
            },
            variant: Variant::default(),
        }
    }
}

/// Shared by all workers.
pub struct Shared {
    /// Secret of the flow hash.
    pub seed: Seed,
    /// Sizes of the tables; tells servers' egress slots from next hops'.
    pub limits: Limits,
    /// Sizes and rates.
    pub settings: Settings,
    /// Where packets leave.
    pub egress: Arc<EgressTable>,
    /// Connection counts of all workers.
    pub counters: CountersReader,
    /// Who owns what.
    pub steering: Steering,
    /// Owners of tuples that cannot be computed.
    pub owners: OwnerIndex,
    /// Persistent clients.
    pub templates: Templates,
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared")
            .field("limits", &self.limits)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Everything for `steering`'s workers. `egress` is the one the builder writes.
    pub fn new(
        seed: Seed,
        limits: Limits,
        settings: Settings,
        egress: Arc<EgressTable>,
        counters: CountersReader,
        steering: Steering,
    ) -> Self {
        let flows = (settings.flows_max_v4 + settings.flows_max_v6) * usize::from(steering.workers());
        let owners = OwnerIndex::new(if steering.needs_index() { flows } else { 0 });
        let templates = Templates::new(settings.templates_max, seed);
        Self {
            seed,
            limits,
            settings,
            egress,
            counters,
            steering,
            owners,
            templates,
        }
    }

    /// Shape of a counters page for this many workers and ports.
    pub const fn counters_shape(limits: &Limits, workers: u32, ports: u32) -> Shape {
        Shape {
            workers,
            ports,
            reasons: REASONS as u32,
            services: limits.services,
            backends: limits.backends,
        }
    }
}

/// Reason counters: drops first, then punts, then what is sent, each in the order of its `ALL`.
pub const REASONS: usize = DropReason::COUNT + PuntReason::COUNT + TxReason::COUNT;

/// Verdict, name and hint of every reason counter, in order.
pub fn reason_names() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let drops = DropReason::ALL
        .iter()
        .map(|reason| ("drop", reason.name(), reason.hint()));
    let punts = PuntReason::ALL
        .iter()
        .map(|reason| ("punt", reason.name(), reason.hint()));
    let sent = TxReason::ALL
        .iter()
        .map(|reason| ("tx", reason.name(), reason.hint()));
    drops.chain(punts).chain(sent)
}
