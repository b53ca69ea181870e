//! `weirctl service` and `weirctl backend`.

use std::collections::HashMap;
use std::time::Duration;

use super::super::output::Style;
use super::super::table::{Cell, Table, Tone, paint};
use crate::api_types::{Backend, BackendState, Backends, Health, Service, Services, Traffic};

/// Which figures `weirctl service` shows.
#[derive(Debug, Clone)]
pub enum ServiceColumns {
    /// Connections now.
    Connections,
    /// Totals since the data plane started.
    Stats,
    /// Per second.
    Rate {
        /// An earlier answer.
        before: Services,
        /// How much earlier.
        elapsed: Duration,
    },
}

/// Each service with its backends below.
pub fn services(answer: &Services, columns: &ServiceColumns, style: Style) -> String {
    if answer.services.is_empty() {
        return "no services are configured\n".to_owned();
    }
    let earlier = earlier(columns);
    let blocks: Vec<_> = answer
        .services
        .iter()
        .map(|service| block(service, columns, &earlier, style))
        .collect();
    blocks.join("\n")
}

type Earlier<'a> = HashMap<(&'a str, &'a str), &'a Traffic>;

/// The earlier figures by service and backend.
fn earlier(columns: &ServiceColumns) -> Earlier<'_> {
    match columns {
        ServiceColumns::Connections | ServiceColumns::Stats => HashMap::new(),
        ServiceColumns::Rate { before, .. } => {
            let backends = before.services.iter().flat_map(|service| &service.backends);
            backends
                .map(|backend| {
                    (
                        (backend.service.as_str(), backend.address.as_str()),
                        &backend.traffic,
                    )
                })
                .collect()
        }
    }
}

fn block(service: &Service, columns: &ServiceColumns, earlier: &Earlier<'_>, style: Style) -> String {
    let mut headings = vec!["BACKEND", "FORWARD", "STATE", ">WEIGHT"];
    headings.extend_from_slice(match columns {
        ServiceColumns::Connections => &[">ACTIVE", ">INACTIVE", ">PERSISTENT"],
        ServiceColumns::Stats => &[
            ">CONNECTIONS",
            ">PACKETS IN",
            ">PACKETS OUT",
            ">BYTES IN",
            ">BYTES OUT",
        ],
        ServiceColumns::Rate { .. } => &[
            ">CONN/s",
            ">PACKETS IN/s",
            ">PACKETS OUT/s",
            ">BYTES IN/s",
            ">BYTES OUT/s",
        ],
    });
    let mut table = Table::new(&headings).indented(2);
    for backend in &service.backends {
        let mut row = vec![
            named(backend).into(),
            backend.forward.clone().into(),
            state(backend.state),
            backend.weight.into(),
        ];
        row.extend(figures(backend, columns, earlier));
        table.row(row);
    }
    let body = if service.backends.is_empty() {
        "  no backends\n".to_owned()
    } else {
        table.render(style)
    };
    format!("{}{}{body}", title(service, style), pool(service, style))
}

/// What is not as usual with the service's pool.
fn pool(service: &Service, style: Style) -> String {
    let Some(pool) = &service.pool else {
        return String::new();
    };
    let mut lines = Vec::new();
    if !pool.quorum_up {
        let line = format!(
            "no quorum since {}: a live weight of {}, wanted {}",
            pool.since, pool.live_weight, pool.quorum
        );
        lines.push((line, Tone::Bad));
    }
    if let Some(sorry) = pool.sorry_server.as_ref().filter(|_| pool.sorry_in_use) {
        lines.push((format!("the sorry server {sorry} stands in"), Tone::Attention));
    }
    if pool.kept > 0 {
        let line = format!("every backend fails: {} stay in service", pool.kept);
        lines.push((line, Tone::Bad));
    }
    if pool.held > 0 {
        let line = format!("{} failed backends stay in service: `removal_limit`", pool.held);
        lines.push((line, Tone::Bad));
    }
    let painted = lines
        .iter()
        .map(|(line, tone)| format!("  {}\n", paint(line, *tone, style)));
    painted.collect()
}

fn title(service: &Service, style: Style) -> String {
    let mut words = vec![
        service.name.clone(),
        service.protocol.clone(),
        service.addresses.join(" "),
        service.scheduler.clone(),
    ];
    words.extend(service.scheduler_flags.iter().cloned());
    if service.persistence_timeout_s > 0 {
        words.push(format!("persistent {} s", service.persistence_timeout_s));
    }
    if service.one_packet {
        words.push("one-packet".to_owned());
    }
    let up = service
        .backends
        .iter()
        .filter(|backend| backend.state == BackendState::Up)
        .count();
    let tone = if up == 0 { Tone::Bad } else { Tone::Normal };
    let availability = paint(&format!("{up} of {} up", service.backends.len()), tone, style);
    format!("{}  ({availability})\n", words.join("  "))
}

fn named(backend: &Backend) -> String {
    match &backend.name {
        Some(name) => format!("{} ({name})", backend.address),
        None => backend.address.clone(),
    }
}

fn figures(backend: &Backend, columns: &ServiceColumns, earlier: &Earlier<'_>) -> Vec<Cell> {
    let now = &backend.traffic;
    match columns {
        ServiceColumns::Connections => vec![now.active.into(), now.inactive.into(), now.persistent.into()],
        ServiceColumns::Stats => totals(now).map(Cell::from).to_vec(),
        ServiceColumns::Rate { elapsed, .. } => {
            let key = (backend.service.as_str(), backend.address.as_str());
            // A backend that was not there before, or counters that began anew, have no rate yet.
            let Some(before) = earlier.get(&key) else {
                return vec!["-".into(); 5];
            };
            let pairs = totals(now).into_iter().zip(totals(before));
            pairs
                .map(|(now, before)| per_second(now, before, *elapsed).map_or_else(|| "-".into(), Cell::from))
                .collect()
        }
    }
}

fn totals(traffic: &Traffic) -> [u64; 5] {
    [
        traffic.connections,
        traffic.packets_in,
        traffic.packets_out,
        traffic.bytes_in,
        traffic.bytes_out,
    ]
}

fn per_second(now: u64, before: u64, elapsed: Duration) -> Option<u64> {
    let more = u128::from(now.checked_sub(before)?);
    let rate = more * 1_000_000 / elapsed.as_micros().max(1);
    u64::try_from(rate).ok()
}

fn state(state: BackendState) -> Cell {
    let tone = match state {
        BackendState::Up => Tone::Good,
        BackendState::Down => Tone::Bad,
        BackendState::Checking
        | BackendState::Draining
        | BackendState::Quiesced
        | BackendState::Kept
        | BackendState::Standby
        | BackendState::Disabled => Tone::Attention,
    };
    Cell::new(state.as_str(), tone)
}

/// Backends of all services with weight and health.
pub fn backends(answer: &Backends, style: Style) -> String {
    if answer.backends.is_empty() {
        return "no backends are configured\n".to_owned();
    }
    let mut table = Table::new(&[
        "SERVICE",
        "BACKEND",
        "FORWARD",
        "STATE",
        ">WEIGHT",
        ">ACTIVE",
        ">INACTIVE",
        "CHECK",
    ]);
    for backend in &answer.backends {
        let forward = backend.tunnel.as_ref().map_or_else(
            || backend.forward.clone(),
            |tunnel| format!("{} {tunnel}", backend.forward),
        );
        table.row(vec![
            backend.service.clone().into(),
            named(backend).into(),
            forward.into(),
            state(backend.state),
            weight(backend),
            backend.traffic.active.into(),
            backend.traffic.inactive.into(),
            backend
                .health
                .as_ref()
                .map_or_else(|| "none".to_owned(), health)
                .into(),
        ]);
    }
    table.render(style)
}

/// The weight in force, and the configured one where it differs.
fn weight(backend: &Backend) -> Cell {
    if backend.weight == backend.weight_configured {
        return backend.weight.into();
    }
    Cell::new(
        format!("{} (of {})", backend.weight, backend.weight_configured),
        Tone::Attention,
    )
}

fn health(health: &Health) -> String {
    let mut text = health.kind.clone();
    if let Some(result) = &health.last_result {
        text += &format!(": {result}");
    }
    if let Some(latency) = health.last_latency_ms {
        text += &format!(" in {latency:.1} ms");
    }
    if !health.healthy && health.passes > 0 {
        text += &format!(", {} passed in a row", health.passes);
    } else if health.healthy && health.fails > 0 {
        text += &format!(", {} failed in a row", health.fails);
    }
    match &health.since {
        Some(since) => format!("{text}, since {since}"),
        None => text,
    }
}
