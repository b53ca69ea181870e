//! What control tells the dataplane about: VIPs, services, backends, local addresses, routes, neighbours.

use core::net::IpAddr;
use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{
    BackendKey, ConnReuse, ForwardMode, Mac, MaglevSize, NoServerReply, PortId, Prefix, SchedulerKind,
    ServiceKey, Timeouts, TunnelChecksum, TunnelKind, VlanId,
};

/// Most gateways of one route.
pub const GATEWAYS_MAX: usize = 8;

/// An address that services are reached at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    /// The address.
    pub address: IpAddr,
    /// The port it lives on; `None` for every port.
    pub port: Option<PortId>,
    /// The VLAN it lives in; `None` for the port's own setting.
    pub vlan: Option<VlanId>,
    /// True while this box holds the address: ARP, ND and echo are answered and traffic is balanced.
    /// False on a VRRP backup: everything is ready, nothing is answered.
    pub owned: bool,
    /// Answer ICMP echo.
    pub echo: bool,
    /// Directors share it by VRRP: when another one claims it and control is not there to say otherwise, it is let go.
    pub shared: bool,
    /// Control does not know yet who is to hold it: whether it is held stays as it is, and `owned` says nothing.
    pub keep: bool,
    /// Answer with this MAC (a VRRP virtual MAC); `None` for the port's.
    pub mac: Option<Mac>,
    /// Of a shared address: the director that holds it now, or held it before and is known to live.
    pub peer: Option<IpAddr>,
    /// For this long after the address came here, packets of connections that only `peer` can know go to it, in ms. 0: never.
    pub relay_ms: u32,
}

impl Vip {
    /// A VIP this box holds, on every port, answering echo.
    pub const fn owned(address: IpAddr) -> Self {
        Self {
            address,
            port: None,
            vlan: None,
            owned: true,
            echo: true,
            shared: false,
            keep: false,
            mac: None,
            peer: None,
            relay_ms: 0,
        }
    }
}

/// A scheduling algorithm with its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// The algorithm.
    pub kind: SchedulerKind,
    /// `sh-fallback`, `mh-fallback` (IPVS SCHED1): another server when the hashed one is unusable.
    pub fallback: bool,
    /// `sh-port`, `mh-port` (IPVS SCHED2): the source port counts in the hash.
    pub port: bool,
    /// Table size of `maglev`.
    pub maglev_size: MaglevSize,
}

impl From<SchedulerKind> for Scheduler {
    fn from(kind: SchedulerKind) -> Self {
        Self {
            kind,
            fallback: false,
            port: false,
            maglev_size: MaglevSize::Small,
        }
    }
}

/// Connections of one client go to one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// How long a template lives after its last connection, in seconds.
    pub timeout_s: u32,
    /// Leading bits of the client's address that make a client: 32 or 128 for each address apart.
    pub prefix_len: u8,
}

/// TCP maximum segment size in SYN and SYN-ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MssClamp {
    /// Left as it is.
    Off,
    /// Lowered to what the tunnel's path MTU leaves.
    Auto,
    /// Lowered to this many bytes.
    Fixed(u16),
}

/// What to do with flows at the edges; IPVS's sysctls, per service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowPolicy {
    /// `expire_nodest_conn`: a flow whose server was removed ends at once.
    pub expire_nodest: bool,
    /// `expire_quiescent_template`: a persistent client leaves a server of weight 0.
    pub expire_quiescent_template: bool,
    /// `conn_reuse_mode`.
    pub conn_reuse: ConnReuse,
    /// `sloppy_tcp`: any TCP packet but a RST may start a flow.
    pub sloppy_tcp: bool,
}

impl Default for FlowPolicy {
    /// The kernel's defaults.
    fn default() -> Self {
        Self {
            expire_nodest: false,
            expire_quiescent_template: false,
            conn_reuse: ConnReuse::TimeWait,
            sloppy_tcp: false,
        }
    }
}

/// A virtual service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub key: ServiceKey,
    /// How a server is chosen.
    pub scheduler: Scheduler,
    /// Persistence, if wanted.
    pub persistence: Option<Persistence>,
    /// One-packet scheduling: every datagram is scheduled anew (UDP only).
    pub one_packet: bool,
    /// The mode a backend has unless it says otherwise. Every backend carries its own in full.
    pub forward: ForwardMode,
    /// Services with the same group are one: they share backends, scheduling and persistence, and must
    /// agree in everything but the key. A backend named under any member belongs to all of them.
    pub group: Option<NonZeroU32>,
    /// MSS clamping.
    pub mss_clamp: MssClamp,
    /// What a client hears when there is no server.
    pub no_server: NoServerReply,
    /// Time-outs of its own; `None` for those of [`Command::Timeouts`](super::Command::Timeouts).
    pub timeouts: Option<Timeouts>,
    /// Flow policy.
    pub policy: FlowPolicy,
    /// VLAN tag on the client side, in and out; `None` for the port's own setting.
    pub vlan: Option<VlanId>,
    /// Tell control by [`Event::BackendPassive`](super::Event::BackendPassive) what traffic shows.
    pub passive_check: bool,
}

impl Service {
    /// A service with every option at its default.
    pub fn new(key: ServiceKey, scheduler: SchedulerKind, forward: ForwardMode) -> Self {
        Self {
            key,
            scheduler: scheduler.into(),
            persistence: None,
            one_packet: false,
            forward,
            group: None,
            mss_clamp: MssClamp::Off,
            no_server: NoServerReply::Drop,
            timeouts: None,
            policy: FlowPolicy::default(),
            vlan: None,
            passive_check: false,
        }
    }
}

/// Encapsulation of a tunnel, with what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tunnel {
    /// IP in IP of either family.
    Ipip,
    /// GRE.
    Gre {
        /// Outer checksum: none or full.
        checksum: TunnelChecksum,
    },
    /// GUE.
    Gue {
        /// UDP destination port.
        port: u16,
        /// Outer checksum.
        checksum: TunnelChecksum,
    },
    /// VXLAN.
    Vxlan {
        /// UDP destination port; 4789 is the assigned one.
        port: u16,
        /// Network identifier, 24 bits.
        vni: u32,
        /// Destination MAC of the inner frame: that of the server's VXLAN device.
        inner_mac: Mac,
    },
}

impl Tunnel {
    /// Which encapsulation.
    pub const fn kind(self) -> TunnelKind {
        match self {
            Self::Ipip => TunnelKind::Ipip,
            Self::Gre { .. } => TunnelKind::Gre,
            Self::Gue { .. } => TunnelKind::Gue,
            Self::Vxlan { .. } => TunnelKind::Vxlan,
        }
    }
}

/// How packets reach one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// Direct routing.
    Dr,
    /// In a tunnel.
    Tunnel(Tunnel),
    /// Destination NAT.
    Nat,
    /// Source and destination NAT.
    FullNat,
}

impl Forward {
    /// The mode without its parameters.
    pub const fn mode(self) -> ForwardMode {
        match self {
            Self::Dr => ForwardMode::Dr,
            Self::Tunnel(_) => ForwardMode::Tunnel,
            Self::Nat => ForwardMode::Nat,
            Self::FullNat => ForwardMode::FullNat,
        }
    }
}

/// A server of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Whose server it is.
    pub service: ServiceKey,
    /// Its name in the service.
    pub key: BackendKey,
    /// Share of new connections; 0 quiesces it.
    pub weight: u16,
    /// How packets reach it.
    pub forward: Forward,
    /// Overloaded from this many connections on; 0 for no limit.
    pub upper_threshold: u32,
    /// No longer overloaded below this many; 0 for three quarters of the upper one.
    pub lower_threshold: u32,
    /// No new connections and no persistent ones, whatever the weight; [`Event::BackendDrained`](super::Event::BackendDrained) when empty.
    pub drain: bool,
    /// VLAN tag towards the server; `None` for the port's own setting.
    pub vlan: Option<VlanId>,
    /// Outer source address of a tunnel; `None` for the address of the port it leaves by.
    pub tunnel_source: Option<IpAddr>,
    /// MTU of the path to the server; `None` for the port's or the route's.
    pub path_mtu: Option<u16>,
}

impl Backend {
    /// A backend of weight 1 with every option at its default.
    pub const fn new(service: ServiceKey, key: BackendKey, forward: Forward) -> Self {
        Self {
            service,
            key,
            weight: 1,
            forward,
            upper_threshold: 0,
            lower_threshold: 0,
            drain: false,
            vlan: None,
            tunnel_source: None,
            path_mtu: None,
        }
    }
}

/// Names a local address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LocalAddressKey {
    /// The address.
    pub address: IpAddr,
    /// The only service that may use it; `None` for all that have none of their own.
    pub service: Option<ServiceKey>,
}

/// An address FULLNAT speaks to servers from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalAddress {
    /// Its name.
    pub key: LocalAddressKey,
    /// The port it lives on; `None` for every port.
    pub port: Option<PortId>,
    /// The VLAN it lives in; `None` for the port's own setting.
    pub vlan: Option<VlanId>,
    /// Lowest source port.
    pub source_port_min: u16,
    /// Highest source port.
    pub source_port_max: u16,
}

/// One way out of a route. At least one of `via` and `port` is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Next hop; `None` for a prefix that is on the link.
    pub via: Option<IpAddr>,
    /// Port; `None` for the one whose addresses hold `via`.
    pub port: Option<PortId>,
    /// VLAN tag; `None` for the port's own setting.
    pub vlan: Option<VlanId>,
    /// Share of flows, at least 1.
    pub weight: u8,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads.
    pub to: Prefix,
    /// Ways out, 1 to [`GATEWAYS_MAX`].
    pub gateways: Vec<Gateway>,
    /// Path MTU; `None` for the port's.
    pub mtu: Option<u16>,
}

/// Names a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NeighborKey {
    /// Its address.
    pub address: IpAddr,
    /// The port; `None` for the one whose addresses hold it.
    pub port: Option<PortId>,
    /// The VLAN; `None` for the port's own setting.
    pub vlan: Option<VlanId>,
}

/// A static neighbour: never resolved, never forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Its name.
    pub key: NeighborKey,
    /// Its MAC.
    pub mac: Mac,
}
