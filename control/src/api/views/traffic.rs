//! Counters of services and backends in the words of the API.

use crate::api_types::Traffic;
use crate::link::Loads;
use crate::publish::{backend_key, service_key, service_keys};
use std::net::SocketAddr;
use weir_configs::{Backend, Service};
use weir_rings::counters::LoadCounts;

/// Of a service, over all its addresses.
pub(in super::super) fn of_service(loads: &Loads, service: &Service) -> Traffic {
    traffic(loads.services(service_keys(service)))
}

/// Of a backend, over all addresses of its service.
pub(in super::super) fn of_backend(loads: &Loads, service: &Service, backend: &Backend) -> Traffic {
    traffic(loads.backend(service_keys(service), backend_key(backend)))
}

/// Of a backend at one address of its service.
pub(in super::super) fn of_backend_at(
    loads: &Loads,
    service: &Service,
    address: SocketAddr,
    backend: &Backend,
) -> Traffic {
    traffic(loads.backend([service_key(service, address)], backend_key(backend)))
}

fn traffic(counts: LoadCounts) -> Traffic {
    Traffic {
        connections: counts.connections,
        active: counts.active,
        inactive: counts.inactive,
        persistent: counts.persistent,
        packets_in: counts.packets_in,
        bytes_in: counts.bytes_in,
        packets_out: counts.packets_out,
        bytes_out: counts.bytes_out,
    }
}
