//! What every stage of one burst has at hand.

use weir_proto::time::Instant;
use weir_rings::counters::WorkerCounters;

use super::Stop;
use crate::bucket::TokenBucket;
use crate::family::{Family, Key};
use crate::flow::{Entry, Flags, Reverse, Tick};
use crate::note::Note;
use crate::shared::{Settings, Shared};
use crate::tables::{HopKey, PortSpec, RouteOut, Snapshot};
use crate::verdict::{DropReason, PortId, PuntReason, WorkerId};

/// Next hops a worker asks for at most between two visits of the main thread.
const WANTED_MAX: usize = 64;
/// Notes to other workers kept at most; what is more is lost, and found again through the owner index.
const NOTES_MAX: usize = 4096;

/// Cursors for local ports of a worker; addresses beyond share them.
const PORT_CURSORS: usize = 256;

/// What a worker owns beside its flows.
#[derive(Debug)]
pub(crate) struct Own {
    punt: [TokenBucket; PuntReason::COUNT],
    answers: TokenBucket,
    pub(crate) wanted: Vec<HopKey>,
    pub(crate) notes: Vec<(WorkerId, Note)>,
    pub(crate) notes_lost: u64,
    random: u64,
    /// Next local port to try, for each local address.
    pub(crate) port_cursors: Vec<u16>,
}

impl Own {
    pub(crate) fn new(settings: &Settings, random: u64) -> Self {
        Self {
            punt: [TokenBucket::new(settings.punt); PuntReason::COUNT],
            answers: TokenBucket::new(settings.answers),
            wanted: Vec::with_capacity(WANTED_MAX),
            notes: Vec::with_capacity(NOTES_MAX),
            notes_lost: 0,
            random: random | 1,
            port_cursors: vec![0; PORT_CURSORS],
        }
    }

    /// Whether one more packet may go to the host for this reason.
    #[inline]
    pub(crate) fn may_punt(&mut self, reason: PuntReason, now: Instant) -> bool {
        self.punt[reason.index()].take(now)
    }

    /// Whether one more error or reset may be made.
    pub(crate) fn may_answer(&mut self, now: Instant) -> Result<(), DropReason> {
        if self.answers.take(now) {
            Ok(())
        } else {
            Err(DropReason::AnswerLimited)
        }
    }

    /// Random bits (xorshift), for schedulers and port choice; not for secrets.
    pub(crate) fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// What the next choices depend on, to be put back after choices that were only looked at.
    pub(crate) fn choices(&self) -> (u64, Vec<u16>) {
        (self.random, self.port_cursors.clone())
    }

    /// See [`choices`](Self::choices).
    pub(crate) fn set_choices(&mut self, (random, port_cursors): (u64, Vec<u16>)) {
        (self.random, self.port_cursors) = (random, port_cursors);
    }

    pub(crate) fn want(&mut self, key: HopKey) {
        if self.wanted.len() < WANTED_MAX && !self.wanted.contains(&key) {
            self.wanted.push(key);
        }
    }

    pub(crate) fn note(&mut self, to: WorkerId, note: Note) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push((to, note));
        } else {
            self.notes_lost += 1;
        }
    }
}

/// One burst's surroundings.
pub(crate) struct Context<'a> {
    pub(crate) worker: WorkerId,
    pub(crate) now: Instant,
    pub(crate) tick: Tick,
    /// The port the packets came by.
    pub(crate) port: PortId,
    pub(crate) spec: &'a PortSpec,
    /// The packets were handed over by another worker.
    pub(crate) steered: bool,
    pub(crate) tables: &'a Snapshot,
    pub(crate) shared: &'a Shared,
    pub(crate) counters: &'a WorkerCounters,
    pub(crate) own: &'a mut Own,
}

/// Tells reverse tuples from servers' records and the FULLNAT pool.
#[derive(Clone, Copy)]
pub(crate) struct Servers<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) tables: &'a Snapshot,
}

impl<F: Family> Reverse<F> for Servers<'_> {
    fn reverse_key(&self, entry: &Entry<F>) -> Key<F> {
        let (server, server_port) = self.server::<F>(entry.backend, entry.key().dst_port());
        let (client, client_port) = if entry.flags.has(Flags::LOCAL) {
            (self.local::<F>(entry.local_index), entry.local_port)
        } else {
            (entry.key().src(), entry.key().src_port())
        };
        Key::of(server, server_port, client, client_port, entry.protocol)
    }
}

impl Servers<'_> {
    /// Address and port of a server, for a client that asked for `virtual_port`.
    #[inline]
    pub(crate) fn server<F: Family>(&self, backend: u32, virtual_port: u16) -> (F::Addr, u16) {
        let address = F::from_record(self.shared.egress.server_bytes(backend));
        match self.shared.egress.server_port(backend) {
            0 => (address, virtual_port),
            port => (address, port),
        }
    }

    /// An address of the FULLNAT pool; places never change their address.
    #[inline]
    pub(crate) fn local<F: Family>(&self, index: u16) -> F::Addr {
        self.tables
            .local(index)
            .and_then(|local| F::from_ip(local.address))
            .unwrap_or_default()
    }
}

impl<'a> Context<'a> {
    #[inline]
    pub(crate) fn servers(&self) -> Servers<'a> {
        Servers {
            shared: self.shared,
            tables: self.tables,
        }
    }

    /// Seconds since the clock's start.
    pub(crate) const fn now_s(&self) -> u32 {
        (self.now.as_nanos() / 1_000_000_000) as u32
    }

    /// The egress slot of the next hop to a client of `backend`'s service, in the service's VLAN if it has its own.
    pub(crate) fn hop_to_client<F: Family>(
        &mut self,
        to: F::Addr,
        hash: u64,
        backend: u32,
    ) -> Result<u32, Stop> {
        let vlan = self
            .tables
            .service_of_backend(backend)
            .and_then(|service| service.spec.vlan);
        self.hop_to::<F>(to, hash, vlan.map(u16::from))
    }

    /// The egress slot of the next hop to `to`, in `own_vlan` rather than the route's. Of several gateways `hash` chooses.
    fn hop_to<F: Family>(&mut self, to: F::Addr, hash: u64, own_vlan: Option<u16>) -> Result<u32, Stop> {
        let address = F::to_ip(to);
        let route = self
            .tables
            .route(address)
            .ok_or(Stop::Drop(DropReason::NoRoute))?;
        let ways = &route.ways;
        let way = if ways.len() == 1 {
            0
        } else {
            (hash >> 32) as usize % ways.len()
        };
        let key = match (ways[way], own_vlan) {
            (RouteOut::Via(slot), None) => return Ok(slot),
            (RouteOut::Via(slot), Some(vlan)) => HopKey {
                port: self.shared.egress.link(slot).port_id(),
                vlan,
                address: self.shared.egress.target(slot).address,
            },
            (RouteOut::OnLink { port, vlan }, own) => HopKey {
                port,
                vlan: own.unwrap_or(vlan),
                address,
            },
        };
        self.tables.hop(&key).ok_or_else(|| {
            self.own.want(key);
            Stop::Punt(PuntReason::NeighborWanted)
        })
    }
}
