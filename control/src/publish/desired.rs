//! The one function from everything that is known to what the dataplane should hold.
//!
//! Who of a service's backends gets what is the pool's affair ([`super::pool`]). A backend that is down usually stays in
//! the table, drained and of weight 0: it gets nothing new and its flows go on, which a server that is merely slow
//! deserves (keepalived's `inhibit_on_failure`). Without, and with `expire_nodest_conn`, it is taken out instead, so that its
//! flows end at their next packet, by a reset, or are scheduled anew.

use super::pool::pool;
use super::standing::{Drains, Overrides};
use super::{BackendName, Table, convert};
use crate::health::Target;
use crate::health::book::Finding;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use weir_configs::Config;
use weir_proto::health::pool::{Seat, Why};
use weir_proto::time::Instant;
use weir_rings::message as ring;

/// Lowest source port of FULLNAT: those below belong to services.
const SOURCE_PORT_MIN: u16 = 1_024;

/// Everything the table depends on.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Names of the dataplane's ports in its own order.
    pub ports: &'a [String],
    /// What a check has found.
    pub health: &'a dyn Fn(&Target) -> Finding,
    /// What a backend's traffic shows, where that alone may decide.
    pub passive: &'a dyn Fn(&BackendName) -> Option<Finding>,
    /// Whether a service had a quorum so far; nothing for one that is new.
    pub quorum: &'a dyn Fn(&str) -> Option<bool>,
    /// This moment.
    pub now: Instant,
    /// What operators have set at run time.
    pub overrides: &'a Overrides,
    /// Backends taken out of the configuration that keep their flows a while.
    pub drains: &'a Drains,
    /// How this box stands to an address.
    pub owns: &'a dyn Fn(IpAddr) -> Holding,
}

impl<'a> Inputs<'a> {
    /// A configuration of which nothing else is known: all is well.
    pub fn of(config: &'a Config) -> Self {
        static NOBODY: Overrides = Overrides::new();
        static NOTHING: Drains = Drains::new();
        Self {
            config,
            ports: &[],
            health: &|_| Finding::UP,
            passive: &|_| None,
            quorum: &|_| None,
            now: Instant::ZERO,
            overrides: &NOBODY,
            drains: &NOTHING,
            owns: &|_| Holding::ALONE,
        }
    }
}

/// How this box stands to an address of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// It holds it.
    pub owned: bool,
    /// Other directors may hold it instead.
    pub shared: bool,
    /// It is not known yet who is to hold it: the dataplane goes on as it does.
    pub keep: bool,
    /// It answers echo requests.
    pub echo: bool,
    /// The MAC address it is at; `None` for the port's.
    pub mac: Option<ring::Mac>,
    /// The director that holds it now, or held it before and lives.
    pub peer: Option<IpAddr>,
    /// For so long connections that only `peer` knows are relayed to it, in ms; 0: not any more.
    pub relay_ms: u32,
}

impl Holding {
    /// Nobody else may have it.
    pub const ALONE: Self = Self {
        owned: true,
        shared: false,
        keep: false,
        echo: true,
        mac: None,
        peer: None,
        relay_ms: 0,
    };

    fn vip(self, address: IpAddr) -> ring::Vip {
        ring::Vip {
            owned: self.owned,
            shared: self.shared,
            keep: self.keep,
            echo: self.echo,
            mac: self.mac,
            peer: self.peer,
            relay_ms: self.relay_ms,
            ..ring::Vip::owned(address)
        }
    }
}

/// What the dataplane should hold, and what of the configuration it cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// The table.
    pub table: Table,
    /// What is left out of it and why, with the fix.
    pub problems: Vec<String>,
}

/// Computes what the dataplane should hold.
pub fn desired(inputs: &Inputs<'_>) -> Desired {
    let mut builder = Builder {
        inputs,
        ports: port_ids(inputs.ports),
        groups: group_numbers(inputs.config),
        desired: Desired::default(),
    };
    builder.desired.table.timeouts = Some(convert::timeouts(&inputs.config.timeouts));
    for service in &inputs.config.services {
        builder.service(service);
    }
    builder.shared_addresses();
    for route in &inputs.config.routes {
        builder.route(route);
    }
    for neighbor in &inputs.config.neighbors {
        builder.neighbor(neighbor);
    }
    builder.desired
}

fn port_ids(names: &[String]) -> HashMap<&str, ring::PortId> {
    let ids = (0..=ring::PORT_ID_MAX).map(ring::PortId);
    names.iter().map(String::as_str).zip(ids).collect()
}

/// A number for each service of several addresses.
fn group_numbers(config: &Config) -> HashMap<&str, NonZeroU32> {
    let several = config
        .services
        .iter()
        .filter(|service| service.addresses.len() > 1);
    let names: BTreeSet<&str> = several.map(|service| service.name.as_str()).collect();
    let mut taken = BTreeSet::new();
    let mut numbers = HashMap::new();
    for name in names {
        let mut number = convert::group_number(name);
        while !taken.insert(number) {
            number = number.checked_add(1).unwrap_or(NonZeroU32::MIN);
        }
        numbers.insert(name, number);
    }
    numbers
}

struct Builder<'a> {
    inputs: &'a Inputs<'a>,
    ports: HashMap<&'a str, ring::PortId>,
    groups: HashMap<&'a str, NonZeroU32>,
    desired: Desired,
}

impl Builder<'_> {
    fn service(&mut self, service: &weir_configs::Service) {
        let Some(first) = service.addresses.first() else {
            return;
        };
        for address in &service.addresses {
            let vip = ring::Vip {
                vlan: convert::vlan(service.vlan),
                ..(self.inputs.owns)(address.ip()).vip(address.ip())
            };
            self.desired.table.vips.insert(address.ip(), vip);
            let record = self.service_record(service, *address);
            self.desired.table.services.insert(record.key, record);
        }
        let key = service_key(service, *first);
        for local in &service.local_addresses {
            let local = local_address(key, *local);
            self.desired.table.local_addresses.insert(local.key, local);
        }
        let pool = pool(self.inputs, service);
        for (backend, seat) in service.backends.iter().zip(&pool.decision.seats) {
            self.backend(key, backend, *seat);
        }
        if let Some(sorry) = &service.pool.sorry_server {
            self.backend(key, &sorry.server.0, pool.decision.sorry);
        }
        self.drains(service, key);
    }

    /// Shared addresses that no service is reached at: gateways of the servers.
    fn shared_addresses(&mut self) {
        let vrrps = self.inputs.config.vrrps.iter().filter(|vrrp| vrrp.port.is_some());
        for net in vrrps.flat_map(|vrrp| vrrp.addresses.iter().chain(&vrrp.excluded_addresses)) {
            let address = net.addr();
            let vips = &mut self.desired.table.vips;
            vips.entry(address)
                .or_insert_with(|| (self.inputs.owns)(address).vip(address));
        }
    }

    fn service_record(&self, service: &weir_configs::Service, address: SocketAddr) -> ring::Service {
        let config = self.inputs.config;
        ring::Service {
            key: service_key(service, address),
            scheduler: convert::scheduler(service),
            persistence: convert::persistence(service),
            one_packet: service.one_packet,
            forward: convert::forward(service.forward, service.tunnel).mode(),
            group: self.groups.get(service.name.as_str()).copied(),
            mss_clamp: convert::mss_clamp(service),
            no_server: convert::no_server(service.no_server),
            timeouts: (service.timeouts != config.timeouts).then(|| convert::timeouts(&service.timeouts)),
            policy: ring::FlowPolicy {
                // A server that is not there is one that was removed, or that failed where it was not to keep its place:
                // its clients are not left in silence.
                expire_nodest: true,
                ..convert::policy(service.ipvs)
            },
            vlan: convert::vlan(service.vlan),
            passive_check: service.pool.passive.is_some(),
        }
    }

    fn backend(&mut self, service: ring::ServiceKey, backend: &weir_configs::Backend, seat: Seat) {
        let drain = match seat {
            Seat::In(_) | Seat::Kept(_) | Seat::Held(_) => false,
            Seat::Quiet(_) => true,
            Seat::Out(_) => return,
        };
        let record = ring::Backend {
            weight: seat.weight(),
            upper_threshold: backend.upper_threshold,
            lower_threshold: backend.lower_threshold,
            drain,
            vlan: convert::vlan(backend.vlan),
            ..ring::Backend::new(
                service,
                backend_key(backend),
                convert::forward(backend.forward, backend.tunnel),
            )
        };
        self.desired.table.backends.insert((service, record.key), record);
    }

    /// Backends that have left this service's configuration and keep their flows a while.
    fn drains(&mut self, service: &weir_configs::Service, key: ring::ServiceKey) {
        for (name, drain) in self
            .inputs
            .drains
            .iter()
            .filter(|(name, _)| name.service == service.name)
        {
            let configured = service.backends.iter().any(|other| other.address == name.backend);
            if configured {
                continue;
            }
            self.backend(key, &drain.backend, Seat::Quiet(Why::Drain));
        }
    }

    fn route(&mut self, route: &weir_configs::Route) {
        let prefix = match ring::Prefix::containing(route.to.addr(), route.to.prefix_len()) {
            Ok(prefix) => prefix,
            Err(error) => return self.problem(format!("route {}: {error}", route.to)),
        };
        let mut gateways = Vec::new();
        for hop in &route.next_hops {
            let Some(port) = self.port(&hop.port, &format!("route {}", route.to)) else {
                continue;
            };
            gateways.push(ring::Gateway {
                via: hop.via,
                port: Some(port),
                vlan: None,
                weight: 1,
            });
        }
        if gateways.len() > ring::GATEWAYS_MAX {
            let (count, max) = (gateways.len(), ring::GATEWAYS_MAX);
            self.problem(format!(
                "route {} has {count} gateways: only the first {max} are used",
                route.to
            ));
            gateways.truncate(max);
        }
        if !gateways.is_empty() {
            let route = ring::Route {
                to: prefix,
                gateways,
                mtu: None,
            };
            self.desired.table.routes.insert(prefix, route);
        }
    }

    fn neighbor(&mut self, neighbor: &weir_configs::Neighbor) {
        let Some(port) = self.port(&neighbor.port, &format!("neighbour {}", neighbor.address)) else {
            return;
        };
        let key = ring::NeighborKey {
            address: neighbor.address,
            port: Some(port),
            vlan: None,
        };
        let mac = neighbor.mac.0;
        self.desired
            .table
            .neighbors
            .insert(key, ring::Neighbor { key, mac });
    }

    fn port(&mut self, name: &str, what: &str) -> Option<ring::PortId> {
        let id = self.ports.get(name).copied();
        if id.is_none() {
            self.problem(format!(
                "{what} is left out: the running dataplane has no port \"{name}\"; restart weir-dataplane to give it that port"
            ));
        }
        id
    }

    fn problem(&mut self, problem: String) {
        self.desired.problems.push(problem);
    }
}

/// The service's key at one of its addresses.
pub(crate) fn service_key(service: &weir_configs::Service, address: SocketAddr) -> ring::ServiceKey {
    ring::ServiceKey {
        protocol: convert::protocol(service.protocol),
        address: address.ip(),
        port: address.port(),
    }
}

/// The service's keys, one for each address.
pub(crate) fn service_keys(service: &weir_configs::Service) -> impl Iterator<Item = ring::ServiceKey> + '_ {
    service
        .addresses
        .iter()
        .map(|address| service_key(service, *address))
}

/// The backend's key.
pub(crate) fn backend_key(backend: &weir_configs::Backend) -> ring::BackendKey {
    ring::BackendKey {
        address: backend.address.ip(),
        port: backend.address.port(),
    }
}

fn local_address(service: ring::ServiceKey, address: IpAddr) -> ring::LocalAddress {
    ring::LocalAddress {
        key: ring::LocalAddressKey {
            address,
            service: Some(service),
        },
        port: None,
        vlan: None,
        source_port_min: SOURCE_PORT_MIN,
        source_port_max: u16::MAX,
    }
}
