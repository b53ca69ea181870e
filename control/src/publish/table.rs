//! Everything the dataplane holds of what control tells it, keyed by natural keys, and the way from one to another.

use std::collections::BTreeMap;
use std::net::IpAddr;
use weir_rings::message::{
    Backend, BackendKey, Command, LocalAddress, LocalAddressKey, Neighbor, NeighborKey, Prefix, Route,
    Service, ServiceKey, Timeouts, Vip,
};

/// A whole table. The order of everything in it is that of the keys, so equal tables are told alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Time-outs of services without their own; `None`: nothing said, the dataplane's default.
    pub timeouts: Option<Timeouts>,
    /// VIPs by address.
    pub vips: BTreeMap<IpAddr, Vip>,
    /// Services by key.
    pub services: BTreeMap<ServiceKey, Service>,
    /// Backends by service and key.
    pub backends: BTreeMap<(ServiceKey, BackendKey), Backend>,
    /// Local addresses of FULLNAT.
    pub local_addresses: BTreeMap<LocalAddressKey, LocalAddress>,
    /// Routes by prefix.
    pub routes: BTreeMap<Prefix, Route>,
    /// Static neighbours.
    pub neighbors: BTreeMap<NeighborKey, Neighbor>,
}

impl Table {
    /// The commands that turn `self` into `new`, in an order that never names what is not there: what refers to other
    /// things goes first and comes last. An address that is newly held is announced. Empty when the tables are equal.
    pub fn plan(&self, new: &Self) -> Vec<Command> {
        let mut commands = Vec::new();
        self.plan_deletes(new, &mut commands);
        self.plan_upserts(new, &mut commands);
        let held = |table: &Self, address: &IpAddr| table.vips.get(address).is_some_and(|vip| vip.owned);
        let claimed = new
            .vips
            .keys()
            .filter(|address| held(new, address) && !held(self, address));
        commands.extend(claimed.map(|address| Command::Announce(*address)));
        commands
    }

    fn plan_deletes(&self, new: &Self, commands: &mut Vec<Command>) {
        let service_goes =
            |key: &ServiceKey| self.services.contains_key(key) && !new.services.contains_key(key);
        commands.extend(
            gone(&self.local_addresses, &new.local_addresses).map(|key| Command::DeleteLocalAddress(*key)),
        );
        // Deleting a service deletes its backends.
        let backends = gone(&self.backends, &new.backends).filter(|(service, _)| !service_goes(service));
        commands.extend(backends.map(|(service, backend)| Command::DeleteBackend(*service, *backend)));
        commands.extend(gone(&self.services, &new.services).map(|key| Command::DeleteService(*key)));
        commands.extend(gone(&self.vips, &new.vips).map(|key| Command::DeleteVip(*key)));
        commands.extend(gone(&self.routes, &new.routes).map(|key| Command::DeleteRoute(*key)));
        commands.extend(gone(&self.neighbors, &new.neighbors).map(|key| Command::DeleteNeighbor(*key)));
    }

    fn plan_upserts(&self, new: &Self, commands: &mut Vec<Command>) {
        if self.timeouts != new.timeouts {
            commands.push(Command::Timeouts(new.timeouts.unwrap_or_default()));
        }
        commands
            .extend(differing(&self.neighbors, &new.neighbors).map(|value| Command::UpsertNeighbor(*value)));
        commands
            .extend(differing(&self.routes, &new.routes).map(|value| Command::UpsertRoute(value.clone())));
        commands.extend(differing(&self.vips, &new.vips).map(|value| Command::UpsertVip(*value)));
        commands.extend(differing(&self.services, &new.services).map(|value| Command::UpsertService(*value)));
        let local = differing(&self.local_addresses, &new.local_addresses);
        commands.extend(local.map(|value| Command::UpsertLocalAddress(*value)));
        commands.extend(differing(&self.backends, &new.backends).map(|value| Command::UpsertBackend(*value)));
    }

    /// Does to a table what the dataplane does at the commit of a transaction. An announcement changes nothing.
    pub fn apply(&mut self, command: &Command) {
        match command {
            Command::UpsertVip(vip) => drop(self.vips.insert(vip.address, *vip)),
            Command::DeleteVip(address) => drop(self.vips.remove(address)),
            Command::UpsertService(service) => drop(self.services.insert(service.key, *service)),
            Command::DeleteService(key) => {
                self.services.remove(key);
                self.backends.retain(|(service, _), _| service != key);
            }
            Command::UpsertBackend(backend) => {
                self.backends.insert((backend.service, backend.key), *backend);
            }
            Command::DeleteBackend(service, backend) => drop(self.backends.remove(&(*service, *backend))),
            Command::UpsertLocalAddress(local) => drop(self.local_addresses.insert(local.key, *local)),
            Command::DeleteLocalAddress(key) => drop(self.local_addresses.remove(key)),
            Command::UpsertRoute(route) => drop(self.routes.insert(route.to, route.clone())),
            Command::DeleteRoute(prefix) => drop(self.routes.remove(prefix)),
            Command::UpsertNeighbor(neighbor) => drop(self.neighbors.insert(neighbor.key, *neighbor)),
            Command::DeleteNeighbor(key) => drop(self.neighbors.remove(key)),
            Command::Timeouts(timeouts) => self.timeouts = Some(*timeouts),
            Command::Announce(_) => {}
        }
    }
}

/// Keys that only `old` has.
fn gone<'a, K: Ord, V>(old: &'a BTreeMap<K, V>, new: &'a BTreeMap<K, V>) -> impl Iterator<Item = &'a K> {
    old.keys().filter(|key| !new.contains_key(key))
}

/// Values of `new` that `old` does not have, or has otherwise.
fn differing<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a V> {
    new.iter()
        .filter(|(key, value)| old.get(key) != Some(value))
        .map(|(_, value)| value)
}
