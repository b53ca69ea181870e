//! The dataplane's counters by the names of the configuration.

use crate::api_types::Traffic;
use crate::link::Session;
use crate::publish::{backend_key, service_key};
use std::collections::HashMap;
use std::net::SocketAddr;
use weir_configs::{Backend, Service};
use weir_rings::counters::LoadCounts;
use weir_rings::message::{BackendKey, ServiceKey};

/// A copy of the counters of every service and backend.
#[derive(Debug, Default)]
pub(in super::super) struct Loads {
    services: HashMap<ServiceKey, LoadCounts>,
    backends: HashMap<(ServiceKey, BackendKey), LoadCounts>,
}

impl Loads {
    /// Copies the counters; all zero without a dataplane.
    pub(in super::super) fn read(session: Option<&Session>) -> Self {
        let Some(session) = session else { return Self::default() };
        let counters = &session.counters;
        let services: Vec<_> = counters.service_slots().collect();
        let owners: HashMap<u32, ServiceKey> = services.iter().map(|(slot, owner)| (*slot, owner.key)).collect();
        let backends = counters.backend_slots().filter_map(|(slot, owner)| {
            let service = owners.get(&owner.service_slot)?;
            Some(((*service, owner.key), counters.backend_total(slot)))
        });
        Self {
            backends: backends.collect(),
            services: services.iter().map(|(slot, owner)| (owner.key, counters.service_total(*slot))).collect(),
        }
    }

    /// The sum over the service's addresses.
    pub(in super::super) fn service(&self, service: &Service) -> Traffic {
        sum(keys(service).filter_map(|key| self.services.get(&key)))
    }

    /// The backend's share at one address of its service.
    pub(in super::super) fn backend_at(&self, service: &Service, address: SocketAddr, backend: &Backend) -> Traffic {
        sum(self.backends.get(&(service_key(service, address), backend_key(backend))).into_iter())
    }

    /// The backend's share, over all addresses of its service.
    pub(in super::super) fn backend(&self, service: &Service, backend: &Backend) -> Traffic {
        let backend = backend_key(backend);
        sum(keys(service).filter_map(|key| self.backends.get(&(key, backend))))
    }
}

fn keys(service: &Service) -> impl Iterator<Item = ServiceKey> + '_ {
    service.addresses.iter().map(|address| service_key(service, *address))
}

fn sum<'a>(counts: impl Iterator<Item = &'a LoadCounts>) -> Traffic {
    let total = counts.fold(LoadCounts::default(), |total, counts| total.plus(*counts));
    Traffic {
        connections: total.connections,
        active: total.active,
        inactive: total.inactive,
        persistent: total.persistent,
        packets_in: total.packets_in,
        bytes_in: total.bytes_in,
        packets_out: total.packets_out,
        bytes_out: total.bytes_out,
    }
}
