//! What the tables hold, as rows for people.

use weir_rings::message::{Gateway, PortId, Prefix, RouteOrigin};
use weir_rings::query::{GatewayRow, RouteRow};

use super::Builder;
use crate::tables::HopKey;

impl Builder {
    /// Every route: those of the ports' own subnets, then the configured ones.
    pub fn route_rows(&self) -> Vec<RouteRow> {
        let subnets = (0u16..).zip(self.ports.iter()).flat_map(|(id, port)| {
            port.addresses.iter().filter_map(move |&(address, len)| {
                let gateway = GatewayRow {
                    via: None,
                    port: PortId(id),
                    vlan: port.vlan,
                    weight: 1,
                    resolved: true,
                };
                let to = Prefix::containing(address, len).ok()?;
                Some(RouteRow {
                    to,
                    gateways: vec![gateway],
                    mtu: None,
                    origin: RouteOrigin::Connected,
                })
            })
        });
        let configured = self.model.routes.values().map(|route| RouteRow {
            to: route.to,
            gateways: route
                .gateways
                .iter()
                .filter_map(|gateway| self.gateway_row(gateway))
                .collect(),
            mtu: route.mtu,
            origin: RouteOrigin::Static,
        });
        subnets.chain(configured).collect()
    }

    /// Nothing when no port leads to the gateway.
    fn gateway_row(&self, gateway: &Gateway) -> Option<GatewayRow> {
        let port = gateway.port.or_else(|| self.port_holding(gateway.via?))?;
        let vlan = gateway.vlan.or(self.ports.get(usize::from(port.0))?.vlan);
        let is_resolved = |address| {
            let key = HopKey {
                port,
                vlan: vlan.map_or(0, u16::from),
                address,
            };
            self.current
                .hop(&key)
                .is_some_and(|slot| self.egress.link(slot).resolved)
        };
        let resolved = gateway.via.is_none_or(is_resolved);
        Some(GatewayRow {
            via: gateway.via,
            port,
            vlan,
            weight: gateway.weight,
            resolved,
        })
    }
}
