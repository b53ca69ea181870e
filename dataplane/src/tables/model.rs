//! What control has said so far, as maps: the state a transaction changes, or leaves as it was.

use core::net::IpAddr;
use std::collections::BTreeMap;

use weir_rings::message::{
    Backend, BackendKey, Command, Forward, LocalAddress, LocalAddressKey, Neighbor, NeighborKey, PortId,
    Prefix, RefuseReason, Route, Service, ServiceKey, Timeouts, Vip, VlanId,
};
use weir_wire::MacAddr;

use super::Refusal;

/// A port as the tables need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSpec {
    /// Its MAC.
    pub mac: MacAddr,
    /// Its own addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Frames carry this tag, in and out; `None` for untagged.
    pub vlan: Option<VlanId>,
    /// Largest IP packet.
    pub mtu: u16,
}

/// Several services that act as one, or one by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Identity {
    Single(ServiceKey),
    Group(u32),
}

impl Identity {
    pub(super) fn of(service: &Service) -> Self {
        service
            .group
            .map_or(Self::Single(service.key), |group| Self::Group(group.get()))
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    pub(super) vips: BTreeMap<IpAddr, Vip>,
    pub(super) services: BTreeMap<ServiceKey, Service>,
    /// In list order.
    pub(super) backends: BTreeMap<ServiceKey, Vec<Backend>>,
    pub(super) locals: BTreeMap<LocalAddressKey, LocalAddress>,
    pub(super) routes: BTreeMap<Prefix, Route>,
    pub(super) neighbors: BTreeMap<NeighborKey, Neighbor>,
    pub(super) timeouts: Timeouts,
    /// Members of each group.
    pub(super) groups: BTreeMap<u32, Vec<ServiceKey>>,
}

/// How to take one change back.
#[derive(Debug)]
pub(super) enum Undo {
    Vip(IpAddr, Option<Vip>),
    Service(ServiceKey, Option<Service>, Option<Vec<Backend>>),
    Backends(ServiceKey, Vec<Backend>),
    Local(LocalAddressKey, Option<LocalAddress>),
    Route(Prefix, Option<Route>),
    Neighbor(NeighborKey, Option<Neighbor>),
    Timeouts(Timeouts),
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

fn unknown(reason: RefuseReason, what: impl core::fmt::Display) -> Refusal {
    Refusal {
        reason,
        detail: format!("there is no {what}; add it earlier in the transaction"),
    }
}

impl Model {
    /// Applies one command and says how to take it back; `None` for a command that changes no state.
    pub(super) fn apply(&mut self, command: &Command, ports: usize) -> Result<Option<Undo>, Refusal> {
        Ok(Some(match command {
            Command::UpsertVip(vip) => {
                check_port(vip.port, ports)?;
                Undo::Vip(vip.address, self.vips.insert(vip.address, *vip))
            }
            Command::DeleteVip(address) => match self.vips.remove(address) {
                None => return Err(unknown(RefuseReason::UnknownVip, format_args!("VIP {address}"))),
                before => Undo::Vip(*address, before),
            },
            Command::UpsertService(service) => {
                Undo::Service(service.key, self.set_service(service.key, Some(*service)), None)
            }
            Command::DeleteService(key) => {
                if !self.services.contains_key(key) {
                    return Err(unknown(
                        RefuseReason::UnknownService,
                        format_args!("service {key}"),
                    ));
                }
                let backends = self.backends.remove(key);
                Undo::Service(*key, self.set_service(*key, None), backends)
            }
            Command::UpsertBackend(backend) => self.upsert_backend(backend)?,
            Command::DeleteBackend(service, key) => self.delete_backend(service, key)?,
            Command::UpsertLocalAddress(local) => {
                check_port(local.port, ports)?;
                Undo::Local(local.key, self.locals.insert(local.key, *local))
            }
            Command::DeleteLocalAddress(key) => match self.locals.remove(key) {
                None => {
                    return Err(unknown(
                        RefuseReason::UnknownObject,
                        format_args!("local address {}", key.address),
                    ));
                }
                before => Undo::Local(*key, before),
            },
            Command::UpsertRoute(route) => {
                for gateway in &route.gateways {
                    check_port(gateway.port, ports)?;
                }
                Undo::Route(route.to, self.routes.insert(route.to, route.clone()))
            }
            Command::DeleteRoute(to) => match self.routes.remove(to) {
                None => {
                    return Err(unknown(
                        RefuseReason::UnknownObject,
                        format_args!("route to {to}"),
                    ));
                }
                before => Undo::Route(*to, before),
            },
            Command::UpsertNeighbor(neighbor) => {
                check_port(neighbor.key.port, ports)?;
                Undo::Neighbor(neighbor.key, self.neighbors.insert(neighbor.key, *neighbor))
            }
            Command::DeleteNeighbor(key) => match self.neighbors.remove(key) {
                None => {
                    return Err(unknown(
                        RefuseReason::UnknownObject,
                        format_args!("neighbour {}", key.address),
                    ));
                }
                before => Undo::Neighbor(*key, before),
            },
            Command::Timeouts(timeouts) => Undo::Timeouts(core::mem::replace(&mut self.timeouts, *timeouts)),
            Command::Announce(_) => return Ok(None),
        }))
    }

    /// Takes a change back.
    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Vip(key, before) => drop(put(&mut self.vips, key, before)),
            Undo::Service(key, before, backends) => {
                self.set_service(key, before);
                if let Some(backends) = backends {
                    self.backends.insert(key, backends);
                }
            }
            Undo::Backends(key, before) => drop(self.backends.insert(key, before)),
            Undo::Local(key, before) => drop(put(&mut self.locals, key, before)),
            Undo::Route(key, before) => drop(put(&mut self.routes, key, before)),
            Undo::Neighbor(key, before) => drop(put(&mut self.neighbors, key, before)),
            Undo::Timeouts(before) => self.timeouts = before,
        }
    }

    /// Sets or removes a service and keeps the group index; gives the one before.
    fn set_service(&mut self, key: ServiceKey, service: Option<Service>) -> Option<Service> {
        let before = put(&mut self.services, key, service);
        if let Some(group) = before.and_then(|before| before.group) {
            let members = self.groups.entry(group.get()).or_default();
            members.retain(|member| *member != key);
            if members.is_empty() {
                self.groups.remove(&group.get());
            }
        }
        if let Some(group) = service.and_then(|service| service.group) {
            let members = self.groups.entry(group.get()).or_default();
            members.push(key);
            members.sort_unstable();
        }
        before
    }

    fn upsert_backend(&mut self, backend: &Backend) -> Result<Undo, Refusal> {
        if !self.services.contains_key(&backend.service) {
            return Err(unknown(
                RefuseReason::UnknownService,
                format_args!("service {}", backend.service),
            ));
        }
        check_backend(backend)?;
        let list = self.backends.entry(backend.service).or_default();
        let before = list.clone();
        match list.iter_mut().find(|own| own.key == backend.key) {
            Some(own) => *own = *backend,
            None => list.push(*backend),
        }
        Ok(Undo::Backends(backend.service, before))
    }

    fn delete_backend(&mut self, service: &ServiceKey, key: &BackendKey) -> Result<Undo, Refusal> {
        let list = self
            .backends
            .get_mut(service)
            .filter(|list| list.iter().any(|own| own.key == *key));
        let Some(list) = list else {
            return Err(unknown(
                RefuseReason::UnknownBackend,
                format_args!("backend {key} of {service}"),
            ));
        };
        let before = list.clone();
        list.retain(|own| own.key != *key);
        Ok(Undo::Backends(*service, before))
    }

    /// Members of a service, first key first.
    pub(super) fn members(&self, identity: Identity) -> Vec<&Service> {
        match identity {
            Identity::Single(key) => self
                .services
                .get(&key)
                .into_iter()
                .filter(|service| service.group.is_none())
                .collect(),
            Identity::Group(group) => {
                let keys = self.groups.get(&group).map(Vec::as_slice).unwrap_or_default();
                keys.iter().filter_map(|key| self.services.get(key)).collect()
            }
        }
    }

    /// Servers of a service: of each member in order, each key once.
    pub(super) fn backends_of(&self, members: &[&Service]) -> Vec<Backend> {
        let mut all: Vec<Backend> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for member in members {
            for backend in self
                .backends
                .get(&member.key)
                .map(Vec::as_slice)
                .unwrap_or_default()
            {
                if seen.insert(backend.key) {
                    all.push(*backend);
                }
            }
        }
        all
    }
}

fn check_port(port: Option<PortId>, ports: usize) -> Result<(), Refusal> {
    match port {
        Some(port) if usize::from(port.0) >= ports => Err(Refusal {
            reason: RefuseReason::UnknownPort,
            detail: format!("port {} of {ports} ports; add a [[port]]", port.0),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Only a tunnel can lead to a server of the other family.
fn check_backend(backend: &Backend) -> Result<(), Refusal> {
    let conflict = |detail: String| {
        Err(Refusal {
            reason: RefuseReason::Conflict,
            detail,
        })
    };
    let same_family = backend.service.address.is_ipv4() == backend.key.address.is_ipv4();
    match backend.forward {
        Forward::Dr | Forward::Nat | Forward::FullNat if !same_family => conflict(format!(
            "{} is of another family than {}; use a tunnel",
            backend.key, backend.service
        )),
        Forward::Tunnel(_)
            if backend
                .tunnel_source
                .is_some_and(|s| s.is_ipv4() != backend.key.address.is_ipv4()) =>
        {
            conflict(format!(
                "the tunnel source of {} is of the other family",
                backend.key
            ))
        }
        Forward::Dr | Forward::Nat | Forward::FullNat | Forward::Tunnel(_) => Ok(()),
    }
}
