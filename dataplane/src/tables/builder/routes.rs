//! Routes: connected prefixes of the ports, configured ones, and the next hops they lead to.

use core::net::{IpAddr, SocketAddrV4};
use std::collections::BTreeSet;
use std::sync::Arc;

use weir_rings::message::{Backend, Gateway, PortId, Prefix, Service};

use super::Builder;
use crate::egress::{Mode, Target};
use crate::tables::HopKey;
use crate::tables::route::Lpm;
use crate::tables::snapshot::{RouteOut, RouteWays};

use weir_rings::message::{Forward, Tunnel};
use weir_wire::MacAddr;

impl Builder {
    /// Builds the routes anew and leads every server through them again.
    pub(super) fn rebuild_routes(&mut self) {
        let mut prefixes: Vec<(Prefix, u32)> = Vec::new();
        let mut ways: Vec<RouteWays> = Vec::new();
        for (id, port) in (0u16..).zip(self.ports.clone().iter()) {
            for &(address, len) in &port.addresses {
                let Ok(prefix) = Prefix::containing(address, len) else {
                    continue;
                };
                let out = RouteOut::OnLink {
                    port: PortId(id),
                    vlan: port.vlan.map_or(0, u16::from),
                };
                prefixes.push((prefix, ways.len() as u32));
                ways.push(RouteWays {
                    ways: vec![out],
                    mtu: None,
                });
            }
        }
        let routes: Vec<_> = self.model.routes.values().cloned().collect();
        let mut gateways = BTreeSet::new();
        for route in &routes {
            let outs: Vec<RouteOut> = route
                .gateways
                .iter()
                .flat_map(|gateway| self.way_out(gateway, &mut gateways))
                .collect();
            if !outs.is_empty() {
                prefixes.push((route.to, ways.len() as u32));
                ways.push(RouteWays {
                    ways: outs,
                    mtu: route.mtu,
                });
            }
        }
        self.current.routes = Arc::new((Lpm::new(&prefixes), ways));
        self.drop_old_gateways(gateways);
        self.lead_all_servers();
    }

    /// A gateway as often as its weight says; nothing when no port leads to it.
    fn way_out(&mut self, gateway: &Gateway, gateways: &mut BTreeSet<HopKey>) -> Vec<RouteOut> {
        let found = gateway.port.or_else(|| self.port_holding(gateway.via?));
        let Some(port) = found else { return Vec::new() };
        let own_vlan = self.ports.get(usize::from(port.0)).and_then(|spec| spec.vlan);
        let vlan = gateway.vlan.or(own_vlan).map_or(0, u16::from);
        let out = match gateway.via {
            None => RouteOut::OnLink { port, vlan },
            Some(address) => {
                let key = HopKey { port, vlan, address };
                let Some((slot, _)) = self.want_hop(key) else {
                    return Vec::new();
                };
                gateways.insert(key);
                RouteOut::Via(slot)
            }
        };
        vec![out; usize::from(gateway.weight.max(1))]
    }

    pub(super) fn port_holding(&self, address: IpAddr) -> Option<PortId> {
        let holds = |(own, len): &(IpAddr, u8)| {
            Prefix::containing(*own, *len).is_ok_and(|prefix| prefix.contains(address))
        };
        (0u16..)
            .zip(self.ports.iter())
            .find(|(_, port)| port.addresses.iter().any(holds))
            .map(|(id, _)| PortId(id))
    }

    fn drop_old_gateways(&mut self, gateways: BTreeSet<HopKey>) {
        let old = core::mem::replace(&mut self.gateways, gateways);
        for key in old {
            self.drop_hop(&key);
        }
    }

    fn lead_all_servers(&mut self) {
        let slots: Vec<u32> = self.service_slots.live().map(|(_, slot)| slot).collect();
        for service in slots {
            let Some(service) = self.current.service(service).cloned() else {
                continue;
            };
            let served = served(&service.spec);
            for (slot, backend) in &service.backends {
                self.lead_server(*slot, backend, served);
            }
        }
    }

    /// Writes a server's egress record: far end and next hop.
    pub(super) fn lead_server(&mut self, slot: u32, backend: &Backend, served: Option<SocketAddrV4>) {
        let address = backend.key.address;
        let vlan = backend.vlan.map(u16::from);
        let hop = self.next_hop(address, vlan, slot);
        let port = hop.and_then(|hop| self.ports.get(usize::from(hop.port.0)));
        let route_mtu = self.ways_to(address).and_then(|ways| ways.mtu);
        let (tunnel_port, vni, inner_mac) = match backend.forward {
            Forward::Tunnel(Tunnel::Gue { port, .. }) => (port, 0, [0; 6]),
            Forward::Tunnel(Tunnel::Vxlan { port, vni, inner_mac }) => (port, vni, inner_mac),
            Forward::Tunnel(Tunnel::Ipip | Tunnel::Gre { .. })
            | Forward::Dr
            | Forward::Nat
            | Forward::FullNat => (0, 0, [0; 6]),
        };
        let own_source = port.and_then(|port| {
            let same = |(own, _): &&(IpAddr, u8)| own.is_ipv4() == address.is_ipv4();
            port.addresses.iter().find(same).map(|(own, _)| *own)
        });
        let target = Target {
            mode: Mode::of(&backend.forward),
            mtu: backend
                .path_mtu
                .or(route_mtu)
                .or(port.map(|port| port.mtu))
                .unwrap_or(1500),
            address,
            port: backend.key.port,
            source: backend.tunnel_source.or(own_source),
            tunnel_port,
            vni,
            inner_mac: MacAddr(inner_mac),
            served,
        };
        self.egress.set_target(slot, &target);
        self.hops.bind(slot, hop, &self.ports);
    }

    /// The next hop to an address. Of several gateways the salt chooses.
    pub(crate) fn next_hop(&self, address: IpAddr, vlan: Option<u16>, salt: u32) -> Option<HopKey> {
        let ways = &self.ways_to(address)?.ways;
        match ways.get(salt as usize % ways.len())? {
            RouteOut::OnLink { port, vlan: own } => Some(HopKey {
                port: *port,
                vlan: vlan.unwrap_or(*own),
                address,
            }),
            RouteOut::Via(slot) => {
                let hop = self.hops.key_of(*slot)?;
                Some(HopKey {
                    vlan: vlan.unwrap_or(hop.vlan),
                    ..hop
                })
            }
        }
    }
}

/// The one address and port that all flows of a service are for. The members of a group may change while flows of those
/// that left it live on with the same servers; a service by itself is another service when it is for something else.
pub(super) fn served(service: &Service) -> Option<SocketAddrV4> {
    match (service.group, service.key.address, service.key.port) {
        (None, IpAddr::V4(address), port @ 1..) => Some(SocketAddrV4::new(address, port)),
        _ => None,
    }
}
