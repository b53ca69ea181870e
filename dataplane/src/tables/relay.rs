//! Connections that only another director knows.
//!
//! A director that takes an address from one that lives, by a hand-over or because it has the higher priority, does not
//! know the connections under way. A packet in the middle of one that misses the flow table here goes to the
//! director that held the address before, for a bounded time. That one has the flow, and forwards by it as it did: known
//! flows need no address that is held. What it does not know either it drops as for any address held elsewhere, and it
//! relays nothing on.
//!
//! Replies of NAT servers come to the address they have as their gateway, which moved too; those that miss go the same way.

use core::net::IpAddr;

use weir_rings::message::{Forward, PortId, Protocol};

use super::Service;

/// Where packets go whose connections only another director knows. There is one while some address has such.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Relays {
    /// Virtual addresses in order, each with the egress slot of the director that held it.
    pub(super) addresses: Vec<(IpAddr, u32)>,
    /// Ports such a director is on, with its egress slot.
    pub(super) ports: Vec<(PortId, u32)>,
    /// NAT servers of services at these addresses, in order.
    pub(super) servers: Vec<NatServer>,
}

/// What a NAT server's replies come from; port 0 for any.
type NatServer = (Protocol, IpAddr, u16);

impl Relays {
    /// The egress slot of the director that held a virtual address before.
    pub(crate) fn of_address(&self, address: IpAddr) -> Option<u32> {
        let at = self.addresses.binary_search_by_key(&address, |(own, _)| *own);
        Some(self.addresses[at.ok()?].1)
    }

    /// The egress slot of the director that this server's replies go to when they arrive on `port`.
    pub(crate) fn of_reply(&self, port: PortId, (protocol, server, from): NatServer) -> Option<u32> {
        let is_one = |from| self.servers.binary_search(&(protocol, server, from)).is_ok();
        if !is_one(from) && !is_one(0) {
            return None;
        }
        let mut ports = self.ports.iter();
        ports.find(|(own, _)| *own == port).map(|(_, slot)| *slot)
    }

    /// Takes in what replies of a service's servers may come from.
    pub(super) fn add_servers(&mut self, service: &Service) {
        let relayed = |address| self.of_address(address).is_some();
        let keys: Vec<_> = service.keys.iter().filter(|key| relayed(key.address)).collect();
        for (_, backend) in &service.backends {
            if !matches!(backend.forward, Forward::Nat) {
                continue;
            }
            let (address, port) = (backend.key.address, backend.key.port);
            let from = |asked| if port == 0 { asked } else { port };
            self.servers
                .extend(keys.iter().map(|key| (key.protocol, address, from(key.port))));
        }
    }

    /// Puts everything in the order in which it is searched.
    pub(super) fn sort(&mut self) {
        self.addresses.sort_unstable();
        self.ports.sort_unstable();
        self.ports.dedup();
        self.servers.sort_unstable();
        self.servers.dedup();
    }
}
