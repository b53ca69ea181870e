//! Other directors that share addresses: how they are reached, and which of them know connections we do not.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use weir_rings::message::Vip;

use super::Builder;
use crate::tables::HopKey;
use crate::tables::relay::Relays;

impl Builder {
    /// Leads to every director that shares an address with us, so that it is known where it is when it is needed.
    pub(super) fn install_peers(&mut self) {
        let peers = self.model.vips.values().filter_map(|vip| self.peer_of(vip));
        let wanted: BTreeSet<HopKey> = peers.collect();
        let before = core::mem::replace(&mut self.peers, wanted);
        for key in before.difference(&self.peers.clone()) {
            self.drop_hop(key);
        }
        for key in self.peers.clone() {
            // Without room for it nothing is relayed.
            let _ = self.want_hop(key);
        }
    }

    /// Says whose connections are relayed to whom.
    pub(super) fn install_relays(&mut self) {
        let mut relays = Relays::default();
        for vip in self
            .model
            .vips
            .values()
            .filter(|vip| vip.owned && vip.relay_ms != 0)
        {
            let Some(key) = self.peer_of(vip) else { continue };
            if let Some(slot) = self.current.hop(&key) {
                relays.addresses.push((vip.address, slot));
                relays.ports.push((key.port, slot));
            }
        }
        if relays.addresses.is_empty() {
            self.current.relays = None;
            return;
        }
        for service in self.current.services() {
            relays.add_servers(service);
        }
        relays.sort();
        self.current.relays = Some(Arc::new(relays));
    }

    /// The next hop that is the other director itself. One behind a router cannot be given packets for addresses of ours:
    /// the router would send them back.
    fn peer_of(&self, vip: &Vip) -> Option<HopKey> {
        let address = vip.peer?;
        let on_every_link = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        let port = self.port_holding(if on_every_link { vip.address } else { address })?;
        let vlan = self.ports.get(usize::from(port.0))?.vlan.map_or(0, u16::from);
        Some(HopKey { port, vlan, address })
    }
}
