//! From a snapshot to the answers: pure, and in the order of the configuration.

pub(super) mod health;
pub(super) mod queries;
pub(super) mod traffic;

use super::error::Refusal;
use super::rfc3339;
use crate::api_types::{self as types, BackendState, schema};
use crate::daemon::pools::PoolState;
use crate::daemon::view::{BackendView, View};
use crate::health::book::Record;
use crate::link::{Loads, QueryError, Session};
use crate::publish::WhyOut;
use weir_configs::{Backend, Service};
use weir_proto::health::Health;
use weir_proto::health::pool::Seat;
use weir_proto::time::Instant;
use weir_rings::counters::WorkerCounts;

pub(super) fn status(view: &View) -> types::Status {
    let config = types::ConfigStatus {
        file: view.file.clone(),
        generation: view.generation,
        applied_at: time(view, view.applied_at),
        last_error: view.last_error.clone(),
    };
    types::Status {
        schema: schema::STATUS.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        started_at: rfc3339::text(view.clock.unix_ms(view.clock.now() - view.clock.uptime())),
        uptime_s: view.clock.uptime().as_secs(),
        config,
        dataplane: dataplane(view),
        services: view.config.services.len() as u64,
        backends: counts(view),
        packets: view
            .session
            .as_deref()
            .map(|session| totals(session, None))
            .unwrap_or_default(),
        notes: notes(view),
    }
}

/// What is not as the configuration says.
fn notes(view: &View) -> Vec<String> {
    let restart = view
        .restart_pending
        .iter()
        .map(|change| format!("not in the running process yet: {change}"));
    let muted = view.muted.then(|| {
        "failed checks do not count while the dataplane is away: they may go through its host interface"
            .to_owned()
    });
    let drains = view
        .drains
        .keys()
        .map(|name| format!("removed backend {name} drains until its flows end"));
    let services = view.config.services.iter().zip(&view.pools);
    let alarms = services.filter_map(|(service, state)| alarm(&service.name, state.as_ref()?));
    restart
        .chain(view.problems.iter().cloned())
        .chain(alarms)
        .chain(muted)
        .chain(drains)
        .collect()
}

/// What is alarming about a pool.
fn alarm(service: &str, state: &PoolState) -> Option<String> {
    let PoolState { kept, held, .. } = state;
    match (kept, held, state.quorum_up) {
        (0, 0, true) => None,
        (0, 0, false) => Some(format!("service {service} has no quorum")),
        (0, _, _) => Some(format!(
            "service {service}: {held} failed backends stay in service, because `removal_limit` lets no more go so soon"
        )),
        (_, _, _) => Some(format!(
            "service {service}: every backend fails, {kept} stay in service; is the way from here to them broken?"
        )),
    }
}

fn dataplane(view: &View) -> types::DataplaneStatus {
    let about = view.session.as_ref().map(|session| &session.hello.about);
    let totals = view
        .session
        .as_ref()
        .map(|session| session.counters.worker_total());
    let workers = about.map_or(0, |about| about.workers.len());
    types::DataplaneStatus {
        connected: view.session.is_some(),
        socket: view.dataplane_socket.display().to_string(),
        pid: about.map(|about| about.pid),
        version: about.map(|about| about.version.clone()),
        published_generation: view.published_generation,
        workers: u32::try_from(workers).unwrap_or(u32::MAX),
        flows: totals.map_or(0, |totals| totals.flows),
        flows_max: about.map_or(0, |about| about.flows_max.saturating_mul(workers as u64)),
    }
}

fn counts(view: &View) -> types::BackendCounts {
    let mut counts = types::BackendCounts::default();
    for backend in view.backends.iter().flatten() {
        counts.total += 1;
        match state(backend) {
            BackendState::Up | BackendState::Kept => counts.up += 1,
            BackendState::Down => counts.down += 1,
            BackendState::Checking => counts.checking += 1,
            BackendState::Draining
            | BackendState::Quiesced
            | BackendState::Standby
            | BackendState::Disabled => counts.drained += 1,
        }
    }
    counts
}

fn state(backend: &BackendView) -> BackendState {
    let standing = &backend.standing;
    let unknown = |record: &Record| record.last.is_none() && !record.proved;
    let checking = backend.records.iter().flatten().any(unknown);
    match (standing.seat, standing.why_out()) {
        (Seat::Kept(_) | Seat::Held(_), _) => BackendState::Kept,
        (_, Some(WhyOut::Drain)) if standing.disabled => BackendState::Disabled,
        (_, Some(WhyOut::Down)) if checking && !standing.was_up => BackendState::Checking,
        (_, Some(WhyOut::Down)) => BackendState::Down,
        (_, Some(WhyOut::Drain)) => BackendState::Draining,
        (_, Some(WhyOut::WeightZero)) => BackendState::Quiesced,
        (_, Some(WhyOut::NoQuorum)) => BackendState::Standby,
        (_, None) if checking => BackendState::Checking,
        (_, None) => BackendState::Up,
    }
}

pub(super) fn services(view: &View) -> types::Services {
    let loads = Loads::read(view.session.as_deref());
    let pairs = view.config.services.iter().zip(&view.backends).enumerate();
    types::Services {
        schema: schema::SERVICES.into(),
        services: pairs
            .map(|(n, (config, backends))| types::Service {
                pool: health::pool(view, config, n),
                ..service(view, &loads, config, backends)
            })
            .collect(),
    }
}

fn service(view: &View, loads: &Loads, service: &Service, backends: &[BackendView]) -> types::Service {
    types::Service {
        name: service.name.clone(),
        protocol: service.protocol.as_str().into(),
        addresses: service.addresses.iter().map(ToString::to_string).collect(),
        scheduler: service.scheduler.as_str().into(),
        scheduler_flags: service
            .scheduler_flags
            .iter()
            .map(|flag| flag.as_str().into())
            .collect(),
        forward: service.forward.as_str().into(),
        persistence_timeout_s: service.persistence_timeout_s,
        one_packet: service.one_packet,
        traffic: traffic::of_service(loads, service),
        pool: None,
        backends: backend_rows(view, loads, service, backends).collect(),
    }
}

pub(super) fn backends(view: &View) -> types::Backends {
    let loads = Loads::read(view.session.as_deref());
    let pairs = view.config.services.iter().zip(&view.backends);
    types::Backends {
        schema: schema::BACKENDS.into(),
        backends: pairs
            .flat_map(|(service, backends)| backend_rows(view, &loads, service, backends))
            .collect(),
    }
}

fn backend_rows<'a>(
    view: &'a View,
    loads: &'a Loads,
    service: &'a Service,
    backends: &'a [BackendView],
) -> impl Iterator<Item = types::Backend> + 'a {
    service
        .backends
        .iter()
        .zip(backends)
        .map(move |(config, found)| backend(view, loads, service, config, found))
}

fn backend(
    view: &View,
    loads: &Loads,
    service: &Service,
    backend: &Backend,
    found: &BackendView,
) -> types::Backend {
    let in_force = found.standing.seat.weight();
    types::Backend {
        service: service.name.clone(),
        name: backend.name.clone(),
        address: backend.address.to_string(),
        forward: backend.forward.as_str().into(),
        tunnel: backend.tunnel.map(|tunnel| tunnel.to_string()),
        state: state(found),
        weight: in_force.into(),
        weight_configured: backend.weight.into(),
        weight_override: found.set.weight.map(u32::from),
        upper_threshold: backend.upper_threshold,
        lower_threshold: backend.lower_threshold,
        health: worst(view, backend, found),
        traffic: traffic::of_backend(loads, service, backend),
    }
}

/// Of several checks the first that fails.
fn worst(view: &View, backend: &Backend, found: &BackendView) -> Option<types::Health> {
    let pairs = || backend.all_checks().zip(&found.records);
    let fails = |record: &Option<Record>| {
        record
            .as_ref()
            .is_some_and(|record| record.health == Health::Down)
    };
    let (check, record) = pairs().find(|(_, record)| fails(record)).or(pairs().next())?;
    let record = record.as_ref()?;
    Some(types::Health {
        kind: check.kind.as_str().into(),
        healthy: record.health == Health::Up,
        since: record.last.map(|_| time(view, record.since)),
        last_result: record.last.map(|report| health::result(report.outcome)),
        last_latency_ms: record.last.map(|report| report.took.as_secs_f64() * 1_000.0),
        passes: record.passes_in_row,
        fails: record.failures_in_row,
    })
}

pub(super) fn drops(view: &View) -> Result<types::Drops, Refusal> {
    let session = view.session.as_deref().ok_or(QueryError::NotConnected)?;
    let named = session.hello.about.reasons.iter().enumerate();
    // A verdict's own count is among the packets above.
    let reasons = named.filter(|(_, reason)| reason.name != reason.verdict);
    Ok(types::Drops {
        schema: schema::DROPS.into(),
        packets: totals(session, None),
        reasons: reasons
            .map(|(n, reason)| types::Reason {
                verdict: reason.verdict.clone(),
                name: reason.name.clone(),
                packets: session.counters.reason_total(n),
                hint: reason.hint.clone(),
            })
            .collect(),
    })
}

/// Packets by verdict, of one worker or of all.
pub(super) fn totals(session: &Session, worker: Option<u16>) -> types::PacketTotals {
    let row: WorkerCounts = match worker {
        Some(worker) => session.counters.worker(worker).unwrap_or_default(),
        None => session.counters.worker_total(),
    };
    types::PacketTotals {
        rx: row.rx_packets,
        tx: row.tx_packets,
        punted: row.punted,
        dropped: row.dropped,
    }
}

pub(super) fn config(view: &View) -> types::RunningConfig {
    types::RunningConfig {
        schema: schema::CONFIG.into(),
        file: view.file.clone(),
        generation: view.generation,
        toml: view.config.to_toml(),
        // Plain structs with text keys: serialising them cannot fail.
        config: serde_json::to_value(&*view.config).unwrap_or_default(),
    }
}

fn time(view: &View, at: Instant) -> String {
    rfc3339::text(view.clock.unix_ms(at))
}
