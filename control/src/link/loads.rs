//! The dataplane's counters of services and backends by their natural keys: one copy of all of them.

use super::Session;
use std::collections::HashMap;
use weir_rings::counters::LoadCounts;
use weir_rings::message::{BackendKey, ServiceKey};

/// A copy of the counters.
#[derive(Debug, Default)]
pub struct Loads {
    services: HashMap<ServiceKey, LoadCounts>,
    backends: HashMap<(ServiceKey, BackendKey), LoadCounts>,
}

impl Loads {
    /// Copies the counters; all zero without a dataplane.
    pub fn read(session: Option<&Session>) -> Self {
        let Some(session) = session else {
            return Self::default();
        };
        let counters = &session.counters;
        let services: Vec<_> = counters.service_slots().collect();
        let owners: HashMap<u32, ServiceKey> =
            services.iter().map(|(slot, owner)| (*slot, owner.key)).collect();
        let backends = counters.backend_slots().filter_map(|(slot, owner)| {
            let service = owners.get(&owner.service_slot)?;
            Some(((*service, owner.key), counters.backend_total(slot)))
        });
        Self {
            backends: backends.collect(),
            services: services
                .iter()
                .map(|(slot, owner)| (owner.key, counters.service_total(*slot)))
                .collect(),
        }
    }

    /// The sum over the services of these keys.
    pub fn services(&self, keys: impl IntoIterator<Item = ServiceKey>) -> LoadCounts {
        sum(keys.into_iter().filter_map(|key| self.services.get(&key)))
    }

    /// The sum over one backend of the services of these keys.
    pub fn backend(&self, keys: impl IntoIterator<Item = ServiceKey>, backend: BackendKey) -> LoadCounts {
        sum(keys
            .into_iter()
            .filter_map(|key| self.backends.get(&(key, backend))))
    }
}

fn sum<'a>(counts: impl Iterator<Item = &'a LoadCounts>) -> LoadCounts {
    counts.fold(LoadCounts::default(), |total, counts| total.plus(*counts))
}
