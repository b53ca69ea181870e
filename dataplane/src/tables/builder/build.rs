//! Rebuilds the services a transaction touched, first aside, then into the tables.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use weir_rings::message::{self, Backend, LocalAddressKey, MaglevSize, RefuseReason, ServiceKey};

use super::routes::served;
use super::{Builder, Refusal, Transaction};
use crate::scheduler::{self, Server};
use crate::tables::model::{Identity, Model, Undo};
use crate::tables::snapshot::{LocalAddress, TunnelEnd};
use crate::tables::{Service, TimeoutTicks, Ways};

/// A service made aside, or the removal of one.
pub(super) struct Built {
    identity: Identity,
    service: Option<Service>,
}

/// What a transaction may hold at most of one table.
fn full(what: &str, limit: u32, setting: &str) -> Refusal {
    Refusal {
        reason: RefuseReason::TableFull,
        detail: format!("more than {limit} {what}; raise {setting}"),
    }
}

impl Builder {
    /// Makes every service in `dirty` anew without changing what is in force.
    pub(super) fn build_services(
        &mut self,
        dirty: &BTreeSet<Identity>,
        may_reuse: bool,
    ) -> Result<Vec<Built>, Refusal> {
        self.check_agreement(dirty)?;
        self.place_locals()?;
        let mut taken = Vec::new();
        let mut built = Vec::new();
        for &identity in dirty {
            match self.build_service(identity, may_reuse, &mut taken) {
                Ok(service) => built.push(Built { identity, service }),
                Err(refusal) => {
                    for taken in taken {
                        match taken {
                            Taken::Service(name) => drop(self.service_slots.retire(&name)),
                            Taken::Backend(name) => drop(self.backend_slots.retire(&name)),
                        }
                    }
                    return Err(refusal);
                }
            }
        }
        Ok(built)
    }

    fn check_agreement(&self, dirty: &BTreeSet<Identity>) -> Result<(), Refusal> {
        for &identity in dirty {
            let members = self.model.members(identity);
            let Some(first) = members.first() else { continue };
            let differs = |member: &&&message::Service| {
                message::Service {
                    key: first.key,
                    ..***member
                } != **first
            };
            if let Some(other) = members.iter().find(differs) {
                return Err(Refusal {
                    reason: RefuseReason::Conflict,
                    detail: format!(
                        "{} and {} are one group but differ; give them the same settings",
                        first.key, other.key
                    ),
                });
            }
        }
        Ok(())
    }

    fn build_service(
        &mut self,
        identity: Identity,
        may_reuse: bool,
        taken: &mut Vec<Taken>,
    ) -> Result<Option<Service>, Refusal> {
        let members = self.model.members(identity);
        let Some(first) = members.first() else {
            return Ok(None);
        };
        let (spec, keys): (_, Vec<ServiceKey>) = (**first, members.iter().map(|member| member.key).collect());
        let backends = self.model.backends_of(&members);
        let slot = self.take_service_slot(identity, may_reuse, taken)?;
        let mut numbered = Vec::with_capacity(backends.len());
        for backend in backends {
            numbered.push((
                self.take_backend_slot((identity, backend.key), may_reuse, taken)?,
                backend,
            ));
        }
        let servers = numbered
            .iter()
            .map(|(slot, backend)| server(*slot, backend))
            .collect();
        let previous = self.current.service(slot).map(|service| &service.scheduler);
        let flags = flags(&spec);
        let state = scheduler::State::new(
            kind(spec.scheduler.kind),
            flags,
            servers,
            previous,
            &mut self.maglev,
        )
        .map_err(|error| Refusal {
            reason: RefuseReason::Unsupported,
            detail: format!("{}: {error}", spec.key),
        })?;
        Ok(Some(Service {
            slot,
            locals: self.locals_of(&keys),
            keys,
            timeouts: spec.timeouts.as_ref().map(TimeoutTicks::from),
            spec,
            ways: Ways::of(numbered.iter().map(|(_, backend)| backend)),
            backends: numbered,
            scheduler: state,
        }))
    }

    fn take_service_slot(
        &mut self,
        identity: Identity,
        may_reuse: bool,
        taken: &mut Vec<Taken>,
    ) -> Result<u32, Refusal> {
        let known = self.service_slots.get(&identity);
        let slot = self.service_slots.take(identity, |_| may_reuse);
        let slot = slot.ok_or_else(|| full("services", self.limits.services, "services_max"))?;
        if known.is_none() {
            taken.push(Taken::Service(identity));
        }
        Ok(slot)
    }

    fn take_backend_slot(
        &mut self,
        name: (Identity, message::BackendKey),
        may_reuse: bool,
        taken: &mut Vec<Taken>,
    ) -> Result<u32, Refusal> {
        let known = self.backend_slots.get(&name);
        let counters = &self.counters;
        let idle = |slot: u32| {
            let load = counters.backend_total(slot);
            may_reuse && load.active.wrapping_add(load.inactive) == 0 && load.persistent == 0
        };
        let was_reserved = self.backend_slots.is_retired(&name);
        let slot = self.backend_slots.take(name, idle);
        let slot = slot.ok_or_else(|| {
            full(
                "backends (those with live flows included)",
                self.limits.backends,
                "backends_max",
            )
        })?;
        if known.is_none() {
            taken.push(Taken::Backend(name));
            if let (false, Some(directory)) = (was_reserved, &self.directory) {
                directory.clear_backend(slot);
            }
        }
        Ok(slot)
    }

    /// Gives every local address of the model its place.
    fn place_locals(&mut self) -> Result<(), Refusal> {
        for key in self.model.locals.keys() {
            let next = self.local_slots.len();
            if !self.local_slots.contains_key(key) {
                let Ok(place) = u16::try_from(next) else {
                    return Err(full(
                        "local addresses since the start",
                        65_536,
                        "nothing: restart the dataplane",
                    ));
                };
                self.local_slots.insert(*key, place);
            }
        }
        Ok(())
    }

    /// Places of the local addresses a service may use: its own, or those that belong to none.
    fn locals_of(&self, keys: &[ServiceKey]) -> Arc<[u16]> {
        let places = |mine: &dyn Fn(&LocalAddressKey) -> bool| -> Vec<u16> {
            let mine = self.model.locals.keys().filter(|key| mine(key));
            mine.filter_map(|key| self.local_slots.get(key).copied())
                .collect()
        };
        let own = places(&|key| key.service.is_some_and(|service| keys.contains(&service)));
        if own.is_empty() {
            places(&|key| key.service.is_none()).into()
        } else {
            own.into()
        }
    }

    /// Puts what was built, and everything else the transaction changed, into force.
    pub(super) fn install(&mut self, generation: u64, transaction: &Transaction, built: Vec<Built>) {
        self.current.generation = generation;
        self.current.timeouts = TimeoutTicks::from(&self.model.timeouts);
        let changed = Changed::of(transaction, &self.model);
        if changed.vips {
            self.install_vips(transaction);
            self.install_peers();
        }
        if changed.locals {
            self.install_locals();
        }
        if changed.routes {
            self.rebuild_routes();
        }
        for Built { identity, service } in built {
            match service {
                Some(service) => self.install_service(generation, service),
                None => self.remove_service(identity),
            }
        }
        if changed.vips || self.current.relays.is_some() {
            self.install_relays();
        }
        if changed.neighbors {
            self.install_neighbors(transaction);
        }
        self.apply_static_neighbors();
    }

    fn install_service(&mut self, generation: u64, service: Service) {
        let slot = service.slot;
        let old = self.current.service(slot).cloned();
        self.count_tunnel_ends(
            old.as_ref().map_or(&[][..], |old| &old.backends),
            &service.backends,
        );
        self.count_vlans(
            old.as_ref().map_or(&[][..], |old| &old.backends),
            &service.backends,
        );
        if let Some(old) = &old {
            for key in old.keys.iter().filter(|key| !service.keys.contains(key)) {
                self.current.directory.remove(key);
            }
            let kept: HashSet<u32> = service.backends.iter().map(|(slot, _)| *slot).collect();
            for (slot, backend) in old.backends.iter().filter(|(slot, _)| !kept.contains(slot)) {
                self.remove_backend(Identity::of(&old.spec), *slot, backend);
            }
        }
        for key in &service.keys {
            self.current.directory.insert(*key, slot);
        }
        if let Some(directory) = &self.directory {
            directory.set_service(slot, &service.spec.key, generation);
            for (backend_slot, backend) in &service.backends {
                directory.set_backend(*backend_slot, slot, &backend.key, generation);
            }
        }
        for (backend_slot, backend) in &service.backends {
            let before = old.as_ref().and_then(|old| old.backend(*backend_slot));
            if before != Some(backend) {
                self.lead_server(*backend_slot, backend, served(&service.spec));
            }
            let owner = self.current.owners.get_mut(*backend_slot as usize);
            *owner = slot + 1;
        }
        *self.current.services.get_mut(slot as usize) = Some(Arc::new(service));
    }

    fn remove_service(&mut self, identity: Identity) {
        let Some(slot) = self.service_slots.retire(&identity) else {
            return;
        };
        let Some(old) = self.current.services.get_mut(slot as usize).take() else {
            return;
        };
        self.count_tunnel_ends(&old.backends, &[]);
        self.count_vlans(&old.backends, &[]);
        for key in &old.keys {
            // A key may have moved to another service in the same transaction.
            if self.current.directory.get(key) == Some(&slot) {
                self.current.directory.remove(key);
            }
        }
        for (backend_slot, backend) in &old.backends {
            self.remove_backend(identity, *backend_slot, backend);
        }
        if let Some(directory) = &self.directory {
            directory.free_service(slot);
        }
    }

    /// Keeps where outer packets go, for errors about them.
    fn count_tunnel_ends(&mut self, old: &[(u32, Backend)], new: &[(u32, Backend)]) {
        let ends = &mut self.current.tunnel_ends;
        for end in new.iter().filter_map(|(_, backend)| TunnelEnd::of(backend)) {
            let count = ends.get(&end).copied().unwrap_or(0);
            ends.insert(end, count + 1);
        }
        for end in old.iter().filter_map(|(_, backend)| TunnelEnd::of(backend)) {
            match ends.get(&end).copied() {
                Some(count) if count > 1 => drop(ends.insert(end, count - 1)),
                Some(_) | None => drop(ends.remove(&end)),
            }
        }
    }

    /// Keeps the VLANs in which servers ask for our own addresses.
    fn count_vlans(&mut self, old: &[(u32, Backend)], new: &[(u32, Backend)]) {
        let vlans = |backends: &[(u32, Backend)]| -> Vec<u16> {
            backends
                .iter()
                .filter_map(|(_, backend)| backend.vlan.map(u16::from))
                .collect()
        };
        let (old, new) = (vlans(old), vlans(new));
        if old == new {
            return;
        }
        for vlan in new {
            *self.server_vlans.entry(vlan).or_default() += 1;
        }
        for vlan in old {
            if let Some(count) = self.server_vlans.get_mut(&vlan) {
                *count -= 1;
            }
        }
        self.server_vlans.retain(|_, count| *count > 0);
        self.current.server_vlans = self.server_vlans.keys().copied().collect();
    }

    fn remove_backend(&mut self, identity: Identity, slot: u32, backend: &Backend) {
        self.backend_slots.retire(&(identity, backend.key));
        self.hops.unbind(slot);
        *self.current.owners.get_mut(slot as usize) = 0;
        if let Some(directory) = &self.directory {
            directory.free_backend(slot);
        }
    }

    fn install_vips(&mut self, transaction: &Transaction) {
        let mut touched: BTreeSet<_> = self.model.vips.keys().copied().collect();
        match &transaction.base {
            Some(base) => touched.extend(base.vips.keys()),
            None => {
                touched = transaction
                    .undo
                    .iter()
                    .filter_map(|undo| match undo {
                        Undo::Vip(address, _) => Some(*address),
                        Undo::Service(..)
                        | Undo::Backends(..)
                        | Undo::Local(..)
                        | Undo::Route(..)
                        | Undo::Neighbor(..)
                        | Undo::Timeouts(_) => None,
                    })
                    .collect();
            }
        }
        for address in touched {
            let vip = self.model.vips.get(&address).copied();
            self.edit_address(address, |entry| entry.vip = vip);
        }
        let macs: BTreeSet<[u8; 6]> = self
            .model
            .vips
            .values()
            .filter(|vip| vip.owned)
            .filter_map(|vip| vip.mac)
            .collect();
        self.current.virtual_macs = macs.into_iter().collect();
    }

    fn install_locals(&mut self) {
        let before = self.current.locals.clone();
        let mut locals: Vec<LocalAddress> = before
            .iter()
            .map(|local| LocalAddress {
                live: false,
                ..*local
            })
            .collect();
        let mut placed: Vec<_> = self.local_slots.iter().collect();
        placed.sort_by_key(|(_, place)| **place);
        for (key, place) in placed {
            let spec = self.model.locals.get(key);
            let at = usize::from(*place);
            if at == locals.len() {
                locals.push(LocalAddress {
                    address: key.address,
                    port_min: 0,
                    port_max: 0,
                    live: false,
                });
            }
            if let Some(spec) = spec {
                let (port_min, port_max) = (spec.source_port_min, spec.source_port_max);
                locals[at] = LocalAddress {
                    address: key.address,
                    port_min,
                    port_max,
                    live: true,
                };
            }
        }
        let live: HashSet<_> = locals
            .iter()
            .filter(|local| local.live)
            .map(|local| local.address)
            .collect();
        for local in before.iter().chain(&locals) {
            let is_live = live.contains(&local.address);
            self.edit_address(local.address, |entry| entry.local = is_live);
        }
        self.current.locals = Arc::new(locals);
    }

    /// Neighbours that are no longer static start again unknown.
    fn install_neighbors(&mut self, transaction: &Transaction) {
        let gone: Vec<_> = match &transaction.base {
            Some(base) => base
                .neighbors
                .keys()
                .filter(|key| !self.model.neighbors.contains_key(key))
                .copied()
                .collect(),
            None => {
                let touched = transaction.undo.iter().filter_map(|undo| match undo {
                    Undo::Neighbor(key, Some(_)) => Some(*key),
                    Undo::Neighbor(_, None)
                    | Undo::Vip(..)
                    | Undo::Service(..)
                    | Undo::Backends(..)
                    | Undo::Local(..)
                    | Undo::Route(..)
                    | Undo::Timeouts(_) => None,
                });
                touched
                    .filter(|key| !self.model.neighbors.contains_key(key))
                    .collect()
            }
        };
        for neighbor in gone {
            let hops: Vec<_> = self
                .hops
                .iter()
                .map(|(key, _)| *key)
                .filter(|key| key.address == neighbor.address)
                .collect();
            for key in hops {
                self.hops.set_mac(&key, None, &self.ports);
                self.hops.wish_again(key);
            }
        }
    }
}

/// A slot taken while building, to be given back if the transaction fails.
enum Taken {
    Service(Identity),
    Backend((Identity, message::BackendKey)),
}

/// Which tables a transaction touches.
struct Changed {
    vips: bool,
    locals: bool,
    routes: bool,
    neighbors: bool,
}

impl Changed {
    fn of(transaction: &Transaction, model: &Model) -> Self {
        if let Some(base) = &transaction.base {
            return Self {
                vips: base.vips != model.vips,
                locals: base.locals != model.locals,
                routes: base.routes != model.routes,
                neighbors: base.neighbors != model.neighbors,
            };
        }
        let any = |is: fn(&Undo) -> bool| transaction.undo.iter().any(is);
        Self {
            vips: any(|undo| matches!(undo, Undo::Vip(..))),
            locals: any(|undo| matches!(undo, Undo::Local(..))),
            routes: any(|undo| matches!(undo, Undo::Route(..))),
            neighbors: any(|undo| matches!(undo, Undo::Neighbor(..))),
        }
    }
}

fn server(slot: u32, backend: &Backend) -> Server {
    Server {
        address: backend.key.address,
        port: backend.key.port,
        slot,
        weight: if backend.drain {
            0
        } else {
            u32::from(backend.weight)
        },
        upper_threshold: backend.upper_threshold,
        lower_threshold: backend.lower_threshold,
    }
}

fn flags(spec: &message::Service) -> scheduler::Flags {
    scheduler::Flags {
        fallback: spec.scheduler.fallback,
        port: spec.scheduler.port,
        large_table: spec.scheduler.maglev_size == MaglevSize::Large,
        address_only: spec.persistence.is_some(),
    }
}

const fn kind(kind: message::SchedulerKind) -> scheduler::SchedulerKind {
    use message::SchedulerKind as From;
    use scheduler::SchedulerKind as To;
    match kind {
        From::Rr => To::Rr,
        From::Wrr => To::Wrr,
        From::Lc => To::Lc,
        From::Wlc => To::Wlc,
        From::Sed => To::Sed,
        From::Nq => To::Nq,
        From::Dh => To::Dh,
        From::Sh => To::Sh,
        From::Mh => To::Mh,
        From::Lblc => To::Lblc,
        From::Lblcr => To::Lblcr,
        From::Fo => To::Fo,
        From::Ovf => To::Ovf,
        From::Twos => To::Twos,
        From::Maglev => To::Maglev,
    }
}
