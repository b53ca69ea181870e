//! One family's flows of a worker, and the packets of the burst that may belong to them.

use crate::egress::Exit;
use crate::family::{Family, Key, V4};
use crate::flow::{Candidate, Sweep, Table};
use crate::parse::{Meta, PLAIN4_L3, PLAIN4_L4, Plain4};
use crate::shared::Variant;

/// Packets of a burst at most; longer ones are cut.
pub const BURST_MAX: usize = 64;

/// Where a packet of the burst stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fate {
    /// No flow found yet.
    #[default]
    Miss,
    /// To a server; the egress slot is in `backend`.
    ToServer,
    /// From a server, to the client in the lane's `clients`.
    ToClient,
    /// Its flow is known by index and needs a closer look.
    Known,
    /// The verdict is written.
    Done,
}

/// A TCP or UDP packet on its way through the stages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pending<F: Family> {
    pub(crate) hash: u64,
    pub(crate) key: Key<F>,
    pub(crate) fate: Fate,
    pub(crate) tcp_flags: u8,
    /// Place in the burst.
    pub(crate) index: u8,
    pub(crate) l3: u16,
    pub(crate) l4: u16,
    pub(crate) end: u32,
    pub(crate) vlan_tci: Option<u16>,
    /// Server of a new flow, where it was chosen before.
    pub(crate) chosen: Option<u32>,
    /// The service leaves the MSS of a SYN as it is.
    pub(crate) keeps_mss: bool,
    pub(crate) candidate: Candidate,
    pub(crate) backend: u32,
    /// FULLNAT source: place in the pool and port; port 0 for none.
    pub(crate) local: (u16, u16),
}

impl<F: Family> Pending<F> {
    pub(crate) fn new(hash: u64, key: Key<F>, index: usize, meta: &Meta) -> Self {
        Self {
            hash,
            key,
            tcp_flags: meta.tcp_flags,
            index: index as u8,
            l3: meta.l3,
            l4: meta.l4,
            end: meta.end,
            vlan_tci: meta.vlan_tci,
            ..Self::default()
        }
    }

    /// Bytes of the IP packet, what IPVS counts.
    #[inline]
    pub(crate) fn ip_len(&self) -> u64 {
        u64::from(self.end) - u64::from(self.l3)
    }
}

impl Pending<V4> {
    /// A packet that took the parser's shortcut.
    #[inline(always)]
    pub(crate) fn plain(hash: u64, plain: &Plain4, index: usize) -> Self {
        Self {
            hash,
            key: plain.key(),
            tcp_flags: plain.tcp_flags,
            index: index as u8,
            l3: PLAIN4_L3,
            l4: PLAIN4_L4,
            end: plain.end(),
            ..Self::default()
        }
    }
}

/// Flows of one family, and the scratch space of a burst.
#[derive(Debug)]
pub(crate) struct Lane<F: Family> {
    pub(crate) table: Table<F>,
    pub(crate) sweep: Sweep,
    pub(crate) pending: Vec<Pending<F>>,
    /// The fast lane is closed.
    pub(crate) slow: bool,
    /// Where and how the last packet left that did not leave as those before.
    pub(crate) exit: Exit,
    /// Bursts to come in which packets are not expected to leave all alike, because lately they did not.
    pub(crate) uneven: u8,
    /// The flow's forward tuple, for the packets of `pending` that go to a client.
    pub(crate) clients: Box<[Key<F>; BURST_MAX]>,
}

impl<F: Family> Lane<F> {
    pub(crate) fn new(flows_max: usize, variant: Variant) -> Self {
        let table = Table::new(flows_max);
        Self {
            table: match variant {
                Variant::Fast | Variant::Baseline => table,
                Variant::Portable | Variant::General => table.portable(),
            },
            slow: variant == Variant::General,
            sweep: Sweep::default(),
            exit: Exit::default(),
            uneven: 0,
            pending: Vec::with_capacity(BURST_MAX),
            clients: Box::new([Key::default(); BURST_MAX]),
        }
    }

    /// Adds a packet and asks for its bucket.
    #[inline]
    pub(crate) fn push(&mut self, pending: Pending<F>) {
        self.table.prefetch_bucket(pending.hash);
        self.pending.push(pending);
    }
}
