//! Next hops: which servers and gateways are reached through which neighbour, and their MACs.
//!
//! A neighbour's change of MAC rewrites the egress records of everything behind it, in place: no snapshot, no worker
//! is involved. A neighbour that workers ask for (a client on the link, for replies) gets an egress slot of its own.

use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::Arc;

use weir_rings::message::PortId;
use weir_wire::MacAddr;

use crate::egress::{EgressTable, Link, Mode, Target};

use super::model::PortSpec;

/// Names a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HopKey {
    /// The port it is on.
    pub port: PortId,
    /// VLAN id, 0 for untagged.
    pub vlan: u16,
    /// Its address.
    pub address: IpAddr,
}

/// What the neighbour machine should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HopWish {
    /// Resolve this one and keep it fresh.
    Resolve(HopKey),
    /// Nothing needs it any more.
    Forget(HopKey),
}

#[derive(Debug, Default)]
struct Hop {
    mac: Option<MacAddr>,
    /// Egress slots written when the MAC changes.
    users: Vec<u32>,
}

/// All next hops.
#[derive(Debug)]
pub(super) struct Hops {
    egress: Arc<EgressTable>,
    hops: HashMap<HopKey, Hop>,
    /// Next hop of each egress slot.
    by_slot: HashMap<u32, HopKey>,
    wishes: Vec<HopWish>,
}

impl Hops {
    pub(super) fn new(egress: Arc<EgressTable>) -> Self {
        Self {
            egress,
            hops: HashMap::new(),
            by_slot: HashMap::new(),
            wishes: Vec::new(),
        }
    }

    /// Leads an egress slot through a next hop; `None` when there is no way. Writes its link.
    pub(super) fn bind(&mut self, slot: u32, hop: Option<HopKey>, ports: &[PortSpec]) {
        if self.by_slot.get(&slot).copied() != hop {
            self.release(slot);
            if let Some(key) = hop {
                self.by_slot.insert(slot, key);
                let entry = self.hops.entry(key).or_insert_with(|| {
                    self.wishes.push(HopWish::Resolve(key));
                    Hop::default()
                });
                entry.users.push(slot);
            }
        }
        let mac = hop.and_then(|key| self.hops.get(&key)).and_then(|hop| hop.mac);
        self.egress.set_link(slot, &link(hop, mac, ports));
    }

    /// Takes an egress slot out of use.
    pub(super) fn unbind(&mut self, slot: u32) {
        self.release(slot);
        let link = self.egress.link(slot);
        self.egress.set_link(
            slot,
            &Link {
                present: false,
                ..link
            },
        );
    }

    fn release(&mut self, slot: u32) {
        let Some(key) = self.by_slot.remove(&slot) else {
            return;
        };
        let Some(hop) = self.hops.get_mut(&key) else {
            return;
        };
        hop.users.retain(|user| *user != slot);
        if hop.users.is_empty() {
            self.hops.remove(&key);
            self.wishes.push(HopWish::Forget(key));
        }
    }

    /// The neighbour machine's news. `None`: not reachable.
    pub(super) fn set_mac(&mut self, key: &HopKey, mac: Option<MacAddr>, ports: &[PortSpec]) {
        let Some(hop) = self.hops.get_mut(key) else { return };
        hop.mac = mac;
        for &slot in &hop.users {
            self.egress.set_link(slot, &link(Some(*key), mac, ports));
        }
    }

    /// The next hop an egress slot leads through.
    pub(super) fn key_of(&self, slot: u32) -> Option<HopKey> {
        self.by_slot.get(&slot).copied()
    }

    /// Writes the far end of a next hop's own record.
    pub(super) fn describe(&self, slot: u32, key: &HopKey, mtu: u16) {
        let target = Target {
            mode: Mode::Hop,
            mtu,
            address: key.address,
            port: 0,
            source: None,
            tunnel_port: 0,
            vni: 0,
            served: None,
            inner_mac: MacAddr::ZERO,
        };
        self.egress.set_target(slot, &target);
    }

    /// Asks for a next hop again that was static until now.
    pub(super) fn wish_again(&mut self, key: HopKey) {
        self.wishes.push(HopWish::Resolve(key));
    }

    /// What the neighbour machine should do since the last call.
    pub(super) fn drain_wishes(&mut self) -> Vec<HopWish> {
        core::mem::take(&mut self.wishes)
    }

    /// Every next hop that something needs, with its MAC.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&HopKey, Option<MacAddr>)> {
        self.hops.iter().map(|(key, hop)| (key, hop.mac))
    }
}

fn link(hop: Option<HopKey>, mac: Option<MacAddr>, ports: &[PortSpec]) -> Link {
    let Some(hop) = hop else {
        return Link {
            present: true,
            ..Link::default()
        };
    };
    Link {
        dst_mac: mac.unwrap_or_default().0,
        src_mac: ports
            .get(usize::from(hop.port.0))
            .map_or([0; 6], |port| port.mac.0),
        port: hop.port.0 as u8,
        vlan: hop.vlan,
        present: true,
        routed: true,
        resolved: mac.is_some(),
    }
}
