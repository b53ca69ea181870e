//! `GET /metrics`: OpenMetrics text, put together from the dataplane's counters at each scrape.
//!
//! Names and labels are node_exporter's for IPVS with `weir_` in place of `node_ipvs_`, so that dashboards carry over;
//! what IPVS does not have follows below them. No label has an unbounded set of values.

pub(super) mod shared;

use super::views::{totals, traffic};
use crate::api_types::Traffic;
use crate::daemon::pools::PoolState;
use crate::daemon::view::View;
use crate::link::{Loads, Session};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use weir_proto::health::Health;
use weir_rings::message::PortId;

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The answer to a scrape.
pub(super) fn answer(view: View, shared: shared::Shared) -> Response {
    let mut registry = Registry::with_prefix("weir");
    registry.register_collector(Box::new(Snapshot(view, shared)));
    let mut body = String::new();
    // Writing to a String cannot fail.
    let _ = text::encode(&mut body, &registry);
    ([(CONTENT_TYPE, CONTENT)], body).into_response()
}

/// One sample: its labels and its value.
type Sample = (Vec<(&'static str, String)>, u64);

#[derive(Debug)]
struct Snapshot(View, shared::Shared);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (view, to) = (&self.0, &mut encoder);
        own(view, to)?;
        backends(view, to)?;
        checks(view, to)?;
        pools(view, to)?;
        self.1.encode(to)?;
        match &view.session {
            Some(session) => dataplane(session, to),
            None => Ok(()),
        }
    }
}

fn write(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    samples: &[Sample],
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, kind)?;
    if let [(labels, value)] = samples
        && labels.is_empty()
    {
        return sample(family, kind, *value);
    }
    samples
        .iter()
        .try_for_each(|(labels, value)| sample(family.encode_family(labels)?, kind, *value))
}

fn sample(to: MetricEncoder<'_>, kind: MetricType, value: u64) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(to),
        _ => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(to),
    }
}

fn counters(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, samples: &[Sample]) -> fmt::Result {
    write(to, name, help, MetricType::Counter, samples)
}

fn gauges(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, samples: &[Sample]) -> fmt::Result {
    write(to, name, help, MetricType::Gauge, samples)
}

/// Of this process, and of the dataplane as it sees it.
fn own(view: &View, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    gauges(to, "build_info", "Version of weir-control", &[(version, 1)])?;
    let connected = u64::from(view.session.is_some());
    gauges(
        to,
        "dataplane_connected",
        "Whether the dataplane is connected",
        &[(vec![], connected)],
    )?;
    gauges(
        to,
        "generation",
        "Last generation sent to the dataplane",
        &[(vec![], view.generation)],
    )?;
    let refused = u64::from(view.last_error.is_some());
    gauges(
        to,
        "config_refused",
        "Whether the last configuration was refused",
        &[(vec![], refused)],
    )
}

/// For each backend at each address of its service.
fn backends(view: &View, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let loads = Loads::read(view.session.as_deref());
    let (mut active, mut inactive, mut weight, mut up) = (vec![], vec![], vec![], vec![]);
    let mut total = Traffic::default();
    for (service, backends) in view.config.services.iter().zip(&view.backends) {
        let traffic = traffic::of_service(&loads, service);
        total.connections += traffic.connections;
        total.packets_in += traffic.packets_in;
        total.packets_out += traffic.packets_out;
        total.bytes_in += traffic.bytes_in;
        total.bytes_out += traffic.bytes_out;
        for address in &service.addresses {
            for (backend, found) in service.backends.iter().zip(backends) {
                let labels = vec![
                    ("local_address", address.ip().to_string()),
                    ("local_port", address.port().to_string()),
                    ("remote_address", backend.address.ip().to_string()),
                    ("remote_port", backend.address.port().to_string()),
                    ("proto", service.protocol.as_str().to_uppercase()),
                    ("local_mark", String::new()),
                ];
                let share = traffic::of_backend_at(&loads, service, *address, backend);
                let in_force = found.standing.seat.weight();
                active.push((labels.clone(), share.active));
                inactive.push((labels.clone(), share.inactive));
                weight.push((labels.clone(), in_force.into()));
                up.push((labels, u64::from(found.standing.health == Health::Up)));
            }
        }
    }
    gauges(
        to,
        "backend_connections_active",
        "Connections in an active state",
        &active,
    )?;
    gauges(
        to,
        "backend_connections_inactive",
        "Connections in another state",
        &inactive,
    )?;
    gauges(to, "backend_weight", "Weight in force", &weight)?;
    gauges(
        to,
        "backend_up",
        "Whether the check holds the backend for healthy",
        &up,
    )?;
    counters(
        to,
        "connections",
        "Connections scheduled",
        &[(vec![], total.connections)],
    )?;
    counters(
        to,
        "incoming_packets",
        "Packets from clients",
        &[(vec![], total.packets_in)],
    )?;
    counters(
        to,
        "outgoing_packets",
        "Packets to clients",
        &[(vec![], total.packets_out)],
    )?;
    counters(
        to,
        "incoming_bytes",
        "Bytes from clients",
        &[(vec![], total.bytes_in)],
    )?;
    counters(
        to,
        "outgoing_bytes",
        "Bytes to clients",
        &[(vec![], total.bytes_out)],
    )
}

/// For each check of each backend.
fn checks(view: &View, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (mut up, mut latency, mut changes, mut runs) = (vec![], vec![], vec![], vec![]);
    for (service, backends) in view.config.services.iter().zip(&view.backends) {
        for (backend, found) in service.backends.iter().zip(backends) {
            for ((n, check), record) in backend.all_checks().enumerate().zip(&found.records) {
                let Some(record) = record else { continue };
                let labels = vec![
                    ("service", service.name.clone()),
                    ("backend", backend.address.to_string()),
                    ("check", format!("{n}-{}", check.kind.as_str())),
                ];
                let with = |result: &str| {
                    let result = ("result", result.to_owned());
                    labels.iter().cloned().chain([result]).collect::<Vec<_>>()
                };
                runs.push((with("pass"), record.passes));
                runs.push((with("fail"), record.failures));
                changes.push((labels.clone(), record.changes));
                up.push((labels.clone(), u64::from(record.health == Health::Up)));
                let took = record.last.map(|report| report.took.as_micros());
                latency.extend(took.map(|took| (labels, u64::try_from(took).unwrap_or(u64::MAX))));
            }
        }
    }
    gauges(
        to,
        "check_up",
        "Whether the check holds its server for healthy",
        &up,
    )?;
    gauges(
        to,
        "check_latency_microseconds",
        "How long the last run took",
        &latency,
    )?;
    counters(
        to,
        "check_transitions",
        "Changes of the check's verdict",
        &changes,
    )?;
    counters(to, "check_runs", "Runs by result", &runs)
}

/// For each service.
fn pools(view: &View, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let pairs = view.config.services.iter().zip(&view.pools);
    let states: Vec<_> = pairs
        .filter_map(|(service, state)| Some((vec![("service", service.name.clone())], (*state)?)))
        .collect();
    let column = |value: fn(&PoolState) -> u64| -> Vec<Sample> {
        states
            .iter()
            .map(|(labels, state)| (labels.clone(), value(state)))
            .collect()
    };
    gauges(
        to,
        "service_quorum_up",
        "Whether the service has a quorum",
        &column(|state| u64::from(state.quorum_up)),
    )?;
    gauges(
        to,
        "service_live_weight",
        "Sum of the weights of live backends",
        &column(|state| state.live_weight),
    )?;
    gauges(
        to,
        "service_failed_in_service",
        "Failed backends that stay in service because all failed at once, or too many would have gone",
        &column(|state| (state.kept + state.held) as u64),
    )?;
    gauges(
        to,
        "service_sorry_in_use",
        "Whether the sorry server stands in",
        &column(|state| u64::from(state.sorry_in_use)),
    )?;
    counters(
        to,
        "service_quorum_transitions",
        "Times the quorum was gained or lost",
        &column(|state| state.changes),
    )
}

/// Of the dataplane's workers and ports.
fn dataplane(session: &Session, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let packets = totals(session, None);
    let verdicts = [
        ("rx", packets.rx),
        ("tx", packets.tx),
        ("punt", packets.punted),
        ("drop", packets.dropped),
    ];
    let verdicts = verdicts.map(|(verdict, count)| (vec![("verdict", verdict.to_owned())], count));
    counters(to, "packets", "Packets of all workers by verdict", &verdicts)?;
    let reasons = session.hello.about.reasons.iter().enumerate();
    let reasons: Vec<Sample> = reasons
        .filter(|(_, reason)| reason.name != reason.verdict)
        .map(|(n, reason)| {
            let labels = vec![
                ("verdict", reason.verdict.clone()),
                ("reason", reason.name.clone()),
            ];
            (labels, session.counters.reason_total(n))
        })
        .collect();
    counters(
        to,
        "reason_packets",
        "Packets dropped or given to the host, by reason; and of those sent the ones relayed to another director",
        &reasons,
    )?;
    gauges(
        to,
        "flows",
        "Flows in the tables of all workers",
        &[(vec![], session.counters.worker_total().flows)],
    )?;
    ports(session, to)
}

fn ports(session: &Session, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let ports: Vec<_> = (0..)
        .zip(&session.hello.about.ports)
        .map(|(n, port)| {
            (
                vec![("port", port.name.clone())],
                session.counters.port_total(PortId(n)),
            )
        })
        .collect();
    let column = |value: fn(&weir_rings::counters::PortCounts) -> u64| -> Vec<Sample> {
        ports
            .iter()
            .map(|(labels, counts)| (labels.clone(), value(counts)))
            .collect()
    };
    counters(
        to,
        "port_receive_packets",
        "Packets received",
        &column(|counts| counts.rx_packets),
    )?;
    counters(
        to,
        "port_receive_bytes",
        "Bytes received",
        &column(|counts| counts.rx_bytes),
    )?;
    counters(
        to,
        "port_transmit_packets",
        "Packets sent",
        &column(|counts| counts.tx_packets),
    )?;
    counters(
        to,
        "port_transmit_bytes",
        "Bytes sent",
        &column(|counts| counts.tx_bytes),
    )
}
