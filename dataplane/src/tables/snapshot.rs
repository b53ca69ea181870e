//! An immutable picture of the configuration, shared by the workers until the next one.

use core::net::IpAddr;
use std::sync::Arc;

use weir_rings::message::{self, PortId, Protocol, ServiceKey};

use super::held::{Held, Ours};
use super::hop::HopKey;
use super::model::PortSpec;
use super::relay::Relays;
use super::route::Lpm;
use super::tree::{Map, MapKey, Tree};
use super::{Service, TimeoutTicks};
use crate::hash::Seed;

/// What an address is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressUse {
    /// Services are reached at it.
    Vip(message::Vip),
    /// A port's own.
    Own(PortId),
    /// FULLNAT speaks to servers from it.
    Local,
}

/// An address that is ours, with every use it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// Its virtual address, if it is one.
    pub vip: Option<message::Vip>,
    /// The ports that have it as their own.
    pub own: Vec<PortId>,
    /// Whether FULLNAT speaks to servers from it.
    pub local: bool,
}

impl Address {
    /// Whether this box holds the address, as seen on `port`.
    pub fn is_held(&self, port: PortId) -> bool {
        self.local
            || self.own.contains(&port)
            || self
                .vip
                .is_some_and(|vip| vip.owned && vip.port.is_none_or(|own| own == port))
    }

    /// Whether it has no use left.
    pub fn is_unused(&self) -> bool {
        self.vip.is_none() && self.own.is_empty() && !self.local
    }
}

/// One address of the FULLNAT pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// Lowest source port.
    pub port_min: u16,
    /// Highest source port.
    pub port_max: u16,
    /// New flows may use it; cleared when it was removed.
    pub live: bool,
}

/// One way out of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteOut {
    /// Through a gateway, by its egress slot.
    Via(u32),
    /// The destination is on this link.
    OnLink {
        /// The link.
        port: PortId,
        /// VLAN id, 0 for untagged.
        vlan: u16,
    },
}

/// Ways out, each as often as its weight says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteWays {
    /// Never empty.
    pub ways: Vec<RouteOut>,
    /// Path MTU, if the route has one.
    pub mtu: Option<u16>,
}

/// Hash of a key that is an address and a little more.
#[inline]
fn hash_with(address: &IpAddr, tail: u64, seed: &Seed) -> u64 {
    match address {
        IpAddr::V4(address) => seed.short(u64::from(address.to_bits()), tail),
        IpAddr::V6(_) => seed.long(address.words().0, tail),
    }
}

impl MapKey for IpAddr {
    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        hash_with(self, 0, seed)
    }

    fn words(&self) -> ([u64; 4], u64) {
        match self {
            Self::V4(address) => ([u64::from(address.to_bits()), 0, 0, 4], 0),
            Self::V6(address) => {
                let bits = address.to_bits();
                ([bits as u64, (bits >> 64) as u64, 0, 6], 0)
            }
        }
    }
}

impl MapKey for ServiceKey {
    fn words(&self) -> ([u64; 4], u64) {
        let (words, _) = self.address.words();
        (words, u64::from(self.port) << 8 | u64::from(self.protocol.code()))
    }

    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        let tail = u64::from(self.port) << 8 | u64::from(self.protocol.code());
        hash_with(&self.address, tail, seed)
    }
}

impl MapKey for HopKey {
    fn words(&self) -> ([u64; 4], u64) {
        let (words, _) = self.address.words();
        (words, u64::from(self.port.0) << 16 | u64::from(self.vlan))
    }

    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        let tail = u64::from(self.port.0) << 16 | u64::from(self.vlan);
        hash_with(&self.address, tail, seed)
    }
}

/// The far end of a tunnel, as an outer packet names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelEnd {
    /// The server.
    pub address: IpAddr,
    /// Outer protocol: 4 for IP in IP of either family, 47, or 17.
    pub protocol: u8,
    /// UDP destination port, 0 for others.
    pub port: u16,
}

impl TunnelEnd {
    /// The end of a server's tunnel, if it has one.
    pub(super) fn of(backend: &message::Backend) -> Option<Self> {
        let (protocol, port) = match backend.forward {
            message::Forward::Dr | message::Forward::Nat | message::Forward::FullNat => return None,
            message::Forward::Tunnel(message::Tunnel::Ipip) => (4, 0),
            message::Forward::Tunnel(message::Tunnel::Gre { .. }) => (47, 0),
            message::Forward::Tunnel(
                message::Tunnel::Gue { port, .. } | message::Tunnel::Vxlan { port, .. },
            ) => (17, port),
        };
        Some(Self {
            address: backend.key.address,
            protocol,
            port,
        })
    }
}

impl MapKey for TunnelEnd {
    fn words(&self) -> ([u64; 4], u64) {
        let (words, _) = self.address.words();
        (words, u64::from(self.port) << 8 | u64::from(self.protocol))
    }
}

/// Everything the workers look up.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Generation of the transaction it came from.
    pub generation: u64,
    pub(super) services: Tree<Option<Arc<Service>>>,
    /// Backend slot to service slot plus 1.
    pub(super) owners: Tree<u32>,
    pub(super) directory: Map<ServiceKey, u32>,
    pub(super) addresses: Map<IpAddr, Address>,
    /// Which IPv4 addresses cannot be among them.
    pub(super) held: Held,
    /// Next hops known by address: egress slots.
    pub(super) hops: Map<HopKey, u32>,
    pub(super) routes: Arc<(Lpm, Vec<RouteWays>)>,
    pub(super) locals: Arc<Vec<LocalAddress>>,
    pub(super) ports: Arc<[PortSpec]>,
    /// MACs we answer to beside the ports' own (VRRP).
    pub(super) virtual_macs: Arc<[[u8; 6]]>,
    /// VLAN ids of servers that are not in their port's own, in order.
    pub(super) server_vlans: Arc<[u16]>,
    /// How many servers have each far end.
    pub(super) tunnel_ends: Map<TunnelEnd, u32>,
    pub(super) timeouts: TimeoutTicks,
    /// Connections that only another director knows.
    pub(super) relays: Option<Arc<Relays>>,
    /// Whether any service wants more of a SYN-ACK or reset than forwarding (MSS clamping).
    pub(super) vip_count: usize,
}

impl Snapshot {
    /// The service that a packet to this address and port is for: the exact one, else the one for all ports.
    pub fn service_for(&self, protocol: Protocol, address: IpAddr, port: u16) -> Option<&Arc<Service>> {
        let mut key = ServiceKey {
            protocol,
            address,
            port,
        };
        let slot = self.directory.get(&key).or_else(|| {
            key.port = 0;
            self.directory.get(&key)
        })?;
        self.service(*slot)
    }

    /// A service by its slot.
    #[inline]
    pub fn service(&self, slot: u32) -> Option<&Arc<Service>> {
        self.services.get(slot as usize)?.as_ref()
    }

    /// The service a backend slot belongs to now.
    #[inline]
    pub fn service_of_backend(&self, backend: u32) -> Option<&Arc<Service>> {
        self.service(self.owners.get(backend as usize)?.checked_sub(1)?)
    }

    /// What an address is to us.
    #[inline]
    pub fn address(&self, address: IpAddr) -> Option<&Address> {
        self.addresses.get(&address)
    }

    /// Which IPv4 addresses are certainly not ours.
    #[inline(always)]
    pub(crate) fn ours(&self) -> Ours<'_> {
        self.held.ours()
    }

    /// A port's settings.
    #[inline]
    pub fn port(&self, port: PortId) -> Option<&PortSpec> {
        self.ports.get(usize::from(port.0))
    }

    /// All ports.
    pub fn ports(&self) -> &[PortSpec] {
        &self.ports
    }

    /// An address of the FULLNAT pool.
    #[inline]
    pub fn local(&self, index: u16) -> Option<&LocalAddress> {
        self.locals.get(usize::from(index))
    }

    /// The whole FULLNAT pool, removed addresses included.
    pub fn locals(&self) -> &[LocalAddress] {
        &self.locals
    }

    /// The route to an address.
    #[inline]
    pub fn route(&self, to: IpAddr) -> Option<&RouteWays> {
        let (lpm, ways) = &*self.routes;
        ways.get(lpm.lookup(to)? as usize)
    }

    /// The egress slot of a next hop that was met before.
    #[inline]
    pub fn hop(&self, key: &HopKey) -> Option<u32> {
        self.hops.get(key).copied()
    }

    /// The MAC addresses we answer to besides the ports' own.
    pub fn virtual_macs(&self) -> &[[u8; 6]] {
        &self.virtual_macs
    }

    /// Whether we answer to this destination MAC besides the ports' own.
    #[inline]
    pub fn is_virtual_mac(&self, mac: [u8; 6]) -> bool {
        self.virtual_macs.contains(&mac)
    }

    /// Whether we send outer packets there.
    pub fn is_tunnel_end(&self, end: &TunnelEnd) -> bool {
        self.tunnel_ends.get(end).is_some()
    }

    /// Whether some server is in this VLAN, by a setting of its own.
    #[inline]
    pub fn is_server_vlan(&self, vlan: u16) -> bool {
        self.server_vlans.contains(&vlan)
    }

    /// Where packets go whose connections only another director knows.
    #[inline]
    pub(crate) fn relays(&self) -> Option<&Relays> {
        self.relays.as_deref()
    }

    /// Time-outs of a flow of this backend.
    #[inline]
    pub fn timeouts_of_backend(&self, backend: u32) -> &TimeoutTicks {
        self.service_of_backend(backend)
            .and_then(|service| service.timeouts.as_ref())
            .unwrap_or(&self.timeouts)
    }

    /// Every service, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        let mut seen = std::collections::HashSet::new();
        self.directory
            .iter()
            .filter_map(move |(_, slot)| seen.insert(*slot).then(|| self.service(*slot))?)
    }

    /// Every virtual address.
    pub fn vips(&self) -> impl Iterator<Item = &message::Vip> {
        self.addresses
            .iter()
            .filter_map(|(_, address)| address.vip.as_ref())
    }

    /// Number of virtual addresses.
    pub const fn vip_count(&self) -> usize {
        self.vip_count
    }
}
