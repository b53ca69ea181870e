//! Takes transactions of commands and makes a [`Snapshot`] of each, whole or not at all.
//!
//! The cost of a change follows what it touches: a service is rebuilt when one of its servers changes, all others stay
//! the very objects they were. A full transaction is compared with what is there; what it repeats unchanged stays too.
//! Changes of routes and of FULLNAT pools, which are rare, walk over every server or every FULLNAT service.

mod build;
mod listing;
mod relays;
mod routes;

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use weir_rings::counters::{CountersReader, Directory};
use weir_rings::message::{BackendKey, Command, LocalAddressKey, RefuseReason, Vip};
use weir_wire::MacAddr;

use super::held;
use super::hop::{HopKey, HopWish, Hops};
use super::model::{Identity, Model, PortSpec, Undo};
use super::slots::Slots;
use super::snapshot::{Address, RouteWays};
use super::tree::{Map, Tree};
use super::{Snapshot, TimeoutTicks};
use crate::egress::EgressTable;
use crate::hash::Seed;
use crate::scheduler::maglev;

/// Sizes of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most services.
    pub services: u32,
    /// Most backends of all services, those included whose last flows are still alive after their removal.
    pub backends: u32,
    /// Most next hops: gateways, and neighbours that replies go to directly.
    pub hops: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            services: 4096,
            backends: 16_384,
            hops: 4096,
        }
    }
}

impl Limits {
    /// Egress slots for these limits: backends first, next hops behind them.
    pub const fn egress_slots(&self) -> usize {
        self.backends as usize + self.hops as usize
    }
}

/// Why a transaction does not take effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The reason as control knows it.
    pub reason: RefuseReason,
    /// The same for a person, with the fix.
    pub detail: String,
}

/// What a committed transaction made.
#[derive(Debug, Clone)]
pub struct Published {
    /// For the workers.
    pub snapshot: Snapshot,
    /// Services there are now; a group counts as one.
    pub services: u32,
    /// Backends there are now.
    pub backends: u32,
    /// Addresses to announce by gratuitous ARP or unsolicited NA.
    pub announce: Vec<IpAddr>,
}

#[derive(Debug)]
struct Transaction {
    undo: Vec<Undo>,
    /// What was there before, in a full transaction.
    base: Option<Model>,
    dirty: BTreeSet<Identity>,
    announce: Vec<IpAddr>,
}

/// The main thread's side of the tables.
pub struct Builder {
    limits: Limits,
    ports: Arc<[PortSpec]>,
    egress: Arc<EgressTable>,
    counters: CountersReader,
    directory: Option<Directory>,
    model: Model,
    transaction: Option<Transaction>,
    service_slots: Slots<Identity>,
    backend_slots: Slots<(Identity, BackendKey)>,
    hop_slots: Slots<HopKey>,
    local_slots: HashMap<LocalAddressKey, u16>,
    hops: Hops,
    /// Next hops that are gateways of routes.
    gateways: BTreeSet<HopKey>,
    /// Next hops that are other directors.
    peers: BTreeSet<HopKey>,
    /// How many servers have each VLAN for themselves.
    server_vlans: BTreeMap<u16, u32>,
    maglev: maglev::Tables,
    held: held::Counts,
    current: Snapshot,
}

impl core::fmt::Debug for Builder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .field("generation", &self.current.generation)
            .finish()
    }
}

impl Builder {
    /// Empty tables. `egress` has [`Limits::egress_slots`] slots; connection counts are read from `counters`, names of
    /// slots written to `directory`.
    pub fn new(
        limits: Limits,
        ports: Vec<PortSpec>,
        egress: Arc<EgressTable>,
        seed: Seed,
        counters: CountersReader,
        directory: Option<Directory>,
    ) -> Self {
        let ports: Arc<[PortSpec]> = ports.into();
        let current = Snapshot {
            generation: 0,
            services: Tree::new(limits.services as usize),
            owners: Tree::new(limits.backends as usize),
            directory: Map::new(limits.services as usize, seed),
            addresses: Map::new(limits.services as usize, seed),
            held: held::Held::default(),
            hops: Map::new(limits.hops as usize, seed),
            routes: Arc::new((super::route::Lpm::new(&[]), Vec::new())),
            locals: Arc::default(),
            ports: ports.clone(),
            virtual_macs: Arc::default(),
            server_vlans: Arc::default(),
            tunnel_ends: Map::new(limits.backends as usize, seed),
            timeouts: TimeoutTicks::from(&weir_rings::message::Timeouts::IPVS),
            relays: None,
            vip_count: 0,
        };
        let mut builder = Self {
            limits,
            ports,
            hops: Hops::new(egress.clone()),
            egress,
            counters,
            directory,
            model: Model::default(),
            transaction: None,
            service_slots: Slots::new(limits.services),
            backend_slots: Slots::new(limits.backends),
            hop_slots: Slots::new(limits.hops),
            local_slots: HashMap::new(),
            gateways: BTreeSet::new(),
            peers: BTreeSet::new(),
            server_vlans: BTreeMap::new(),
            maglev: maglev::Tables::default(),
            held: held::Counts::default(),
            current,
        };
        builder.add_own_addresses();
        builder.rebuild_routes();
        builder
    }

    /// The tables as they stand.
    pub fn snapshot(&self) -> Snapshot {
        self.current.clone()
    }

    /// Sizes.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Starts a transaction. One that was not committed is taken back.
    pub fn begin(&mut self, full: bool) {
        self.abort();
        let base = full.then(|| core::mem::take(&mut self.model));
        self.transaction = Some(Transaction {
            undo: Vec::new(),
            base,
            dirty: BTreeSet::new(),
            announce: Vec::new(),
        });
    }

    /// Takes a transaction back.
    pub fn abort(&mut self) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        if let Some(base) = transaction.base {
            self.model = base;
            return;
        }
        for undo in transaction.undo.into_iter().rev() {
            self.model.undo(undo);
        }
    }

    /// Adds a command to the transaction.
    ///
    /// # Errors
    /// What is wrong with it. The transaction is taken back.
    pub fn apply(&mut self, command: &Command) -> Result<(), Refusal> {
        let Some(transaction) = &mut self.transaction else {
            return Err(Refusal {
                reason: RefuseReason::OutsideTransaction,
                detail: "a command outside Begin and Commit; send Begin first".to_owned(),
            });
        };
        let kept;
        let command = match command {
            Command::UpsertVip(vip) if vip.keep => {
                let before = transaction
                    .base
                    .as_ref()
                    .unwrap_or(&self.model)
                    .vips
                    .get(&vip.address);
                kept = Command::UpsertVip(Vip {
                    owned: before.is_some_and(|before| before.owned),
                    peer: before.and_then(|before| before.peer),
                    relay_ms: before.map_or(0, |before| before.relay_ms),
                    ..*vip
                });
                &kept
            }
            command => command,
        };
        let touched = touched_service(command);
        let identity = |model: &Model| touched.and_then(|key| model.services.get(&key).map(Identity::of));
        let before = identity(&self.model);
        match self.model.apply(command, self.ports.len()) {
            Ok(undo) => {
                transaction.dirty.extend(before);
                transaction.dirty.extend(identity(&self.model));
                if let Command::Announce(address) = command {
                    transaction.announce.push(*address);
                }
                if transaction.base.is_none() {
                    transaction.undo.extend(undo);
                }
                Ok(())
            }
            Err(refusal) => {
                self.abort();
                Err(refusal)
            }
        }
    }

    /// Puts the transaction into force. `passed` is the newest generation every worker is known to have taken up: slots
    /// retired before it may be given to others once they are idle.
    ///
    /// # Errors
    /// Why it cannot be; it is taken back.
    pub fn commit(&mut self, generation: u64, passed: u64) -> Result<Published, Refusal> {
        let Some(transaction) = self.transaction.take() else {
            return Err(Refusal {
                reason: RefuseReason::OutsideTransaction,
                detail: "Commit without Begin; send Begin first".to_owned(),
            });
        };
        let dirty = self.dirty_services(&transaction);
        // Slots were retired at the latest by the generation in force now; reuse waits until all workers have left it.
        let may_reuse = passed >= self.current.generation;
        match self.build_services(&dirty, may_reuse) {
            Ok(built) => {
                let announce = transaction.announce.clone();
                self.install(generation, &transaction, built);
                Ok(self.published(announce))
            }
            Err(refusal) => {
                self.transaction = Some(transaction);
                self.abort();
                Err(refusal)
            }
        }
    }

    fn published(&self, announce: Vec<IpAddr>) -> Published {
        Published {
            snapshot: self.current.clone(),
            services: self.service_slots.len() as u32,
            backends: self.backend_slots.len() as u32,
            announce,
        }
    }

    /// Services that differ from what is in force.
    fn dirty_services(&self, transaction: &Transaction) -> BTreeSet<Identity> {
        let Some(base) = &transaction.base else {
            let mut dirty = transaction.dirty.clone();
            if transaction
                .undo
                .iter()
                .any(|undo| matches!(undo, Undo::Local(..)))
            {
                dirty.extend(self.model.services.values().map(Identity::of));
            }
            return dirty;
        };
        let all = base
            .services
            .values()
            .chain(self.model.services.values())
            .map(Identity::of);
        let pools_changed = base.locals != self.model.locals;
        all.filter(|&identity| {
            let (old, new) = (base.members(identity), self.model.members(identity));
            pools_changed || old != new || base.backends_of(&old) != self.model.backends_of(&new)
        })
        .collect()
    }

    /// The egress slot of a next hop that a worker asked for, made if there is room; and whether it is new, so that
    /// [`snapshot`](Self::snapshot) is to be published again.
    pub fn want_hop(&mut self, key: HopKey) -> Option<(u32, bool)> {
        if let Some(slot) = self.current.hop(&key) {
            return Some((slot, false));
        }
        let slot = self.limits.backends + self.hop_slots.take(key, |_| true)?;
        self.install_hop(slot, key);
        Some((slot, true))
    }

    /// Gives up a next hop that a worker asked for. `true` when the snapshot is to be published again.
    pub fn drop_hop(&mut self, key: &HopKey) -> bool {
        let stays = self.gateways.contains(key) || self.peers.contains(key);
        if stays || self.current.hops.remove(key).is_none() {
            return false;
        }
        if let Some(slot) = self.hop_slots.retire(key) {
            self.hops.unbind(self.limits.backends + slot);
        }
        true
    }

    fn install_hop(&mut self, slot: u32, key: HopKey) {
        let mtu = self
            .ports
            .get(usize::from(key.port.0))
            .map_or(1500, |port| port.mtu);
        self.hops.describe(slot, &key, mtu);
        self.hops.bind(slot, Some(key), &self.ports);
        self.apply_static_neighbors();
        self.current.hops.insert(key, slot);
    }

    /// The neighbour machine's news about a next hop: its MAC, or `None` when it does not answer.
    pub fn set_neighbor(&mut self, key: &HopKey, mac: Option<MacAddr>) {
        if self.static_mac(key).is_none() {
            self.hops.set_mac(key, mac, &self.ports);
        }
    }

    /// What the neighbour machine should do since the last call.
    pub fn drain_wishes(&mut self) -> Vec<HopWish> {
        let mut wishes = self.hops.drain_wishes();
        wishes.retain(|wish| match wish {
            HopWish::Resolve(key) | HopWish::Forget(key) => self.static_mac(key).is_none(),
        });
        wishes
    }

    /// Every next hop in use, with its MAC.
    pub fn hops(&self) -> impl Iterator<Item = (&HopKey, Option<MacAddr>)> {
        self.hops.iter()
    }

    fn static_mac(&self, key: &HopKey) -> Option<MacAddr> {
        let entry = self.model.neighbors.values().find(|neighbor| {
            neighbor.key.address == key.address
                && neighbor.key.port.is_none_or(|port| port == key.port)
                && neighbor.key.vlan.is_none_or(|vlan| vlan.get() == key.vlan)
        });
        entry.map(|neighbor| MacAddr(neighbor.mac))
    }

    fn apply_static_neighbors(&mut self) {
        if self.model.neighbors.is_empty() {
            return;
        }
        let keys: Vec<HopKey> = self.hops.iter().map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(mac) = self.static_mac(&key) {
                self.hops.set_mac(&key, Some(mac), &self.ports);
            }
        }
    }

    fn add_own_addresses(&mut self) {
        for (id, port) in (0u16..).zip(self.ports.iter()) {
            for (address, _) in &port.addresses {
                let mut entry = self.current.addresses.get(address).cloned().unwrap_or_default();
                entry.own.push(weir_rings::message::PortId(id));
                if self.current.addresses.insert(*address, entry).is_none() {
                    self.held.add(*address, &mut self.current.held);
                }
            }
        }
    }

    /// Changes one address and forgets it when no use is left.
    fn edit_address(&mut self, address: IpAddr, edit: impl FnOnce(&mut Address)) {
        let mut entry = self.current.addresses.get(&address).cloned().unwrap_or_default();
        let was_vip = entry.vip.is_some();
        edit(&mut entry);
        self.current.vip_count =
            self.current.vip_count + usize::from(entry.vip.is_some()) - usize::from(was_vip);
        if entry.is_unused() {
            if self.current.addresses.remove(&address).is_some() {
                self.held.remove(address, &mut self.current.held);
            }
        } else if self.current.addresses.insert(address, entry).is_none() {
            self.held.add(address, &mut self.current.held);
        }
    }

    /// Ways a route has, for the next hop of a server or of the route itself.
    fn ways_to(&self, address: IpAddr) -> Option<&RouteWays> {
        self.current.route(address)
    }
}

/// The service a command is about.
fn touched_service(command: &Command) -> Option<weir_rings::message::ServiceKey> {
    match command {
        Command::UpsertService(service) => Some(service.key),
        Command::DeleteService(key) | Command::DeleteBackend(key, _) => Some(*key),
        Command::UpsertBackend(backend) => Some(backend.service),
        Command::UpsertVip(_)
        | Command::DeleteVip(_)
        | Command::UpsertLocalAddress(_)
        | Command::DeleteLocalAddress(_)
        | Command::UpsertRoute(_)
        | Command::DeleteRoute(_)
        | Command::UpsertNeighbor(_)
        | Command::DeleteNeighbor(_)
        | Command::Timeouts(_)
        | Command::Announce(_) => None,
    }
}
