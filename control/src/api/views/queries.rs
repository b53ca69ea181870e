//! Answers that need the dataplane's main thread, and what it says in the words of the API.

use super::super::error::Refusal;
use super::totals;
use crate::api_types::{self as types, schema};
use crate::daemon::view::View;
use crate::link::{QueryError, Session};
use crate::publish::service_key;
use axum::http::StatusCode;
use std::net::{IpAddr, SocketAddr};
use weir_rings::hello::mac_text;
use weir_rings::message::{NeighborState, PortId, Protocol};
use weir_rings::query::{FlowFilter, FlowRow, NeighborRow, PortRow, ROWS_MAX, Request, Response};

/// Flows shown when the asker names no limit.
const FLOWS_DEFAULT: u32 = 1_000;

fn session(view: &View) -> Result<&Session, Refusal> {
    Ok(view.session.as_deref().ok_or(QueryError::NotConnected)?)
}

/// The dataplane has answered another question than was asked.
fn mismatch() -> Refusal {
    let help = "run weir-control and weir-dataplane of the same version";
    Refusal::new(
        StatusCode::CONFLICT,
        "the dataplane's answer is of another kind than the question",
        help,
    )
}

fn port_name(session: &Session, port: PortId) -> String {
    let found = session.hello.about.ports.get(usize::from(port.0));
    found.map_or_else(|| format!("port {}", port.0), |port| port.name.clone())
}

pub(in super::super) async fn ports(view: &View) -> Result<types::Ports, Refusal> {
    let session = session(view)?;
    let Response::Ports(rows) = view.link.query(Request::Ports).await? else {
        return Err(mismatch());
    };
    Ok(types::Ports {
        schema: schema::PORTS.into(),
        ports: rows.iter().map(|row| port(session, row)).collect(),
    })
}

fn port(session: &Session, row: &PortRow) -> types::Port {
    let counts = session.counters.port_total(row.id);
    let about = session.hello.about.ports.get(usize::from(row.id.0));
    let device = |name: &str| {
        row.xstats
            .iter()
            .find(|(key, _)| key == name)
            .map_or(0, |(_, value)| *value)
    };
    types::Port {
        name: row.name.clone(),
        device: row.device.clone(),
        driver: row.driver.clone(),
        mac: mac_text::format(row.mac),
        link_up: row.up,
        speed_mbps: row.speed_mbps,
        mtu_bytes: row.mtu.into(),
        rx_queues: row.queues.0,
        tx_queues: row.queues.1,
        addresses: about.map_or_else(Vec::new, |port| {
            port.addresses
                .iter()
                .map(|(a, len)| format!("{a}/{len}"))
                .collect()
        }),
        host_interface: about.and_then(|port| port.host_interface.clone()),
        rx_packets: counts.rx_packets,
        rx_bytes: counts.rx_bytes,
        tx_packets: counts.tx_packets,
        tx_bytes: counts.tx_bytes,
        rx_missed: device("rx_missed_errors"),
        rx_errors: device("rx_errors"),
        rx_no_buffer: device("rx_mbuf_allocation_errors"),
        tx_errors: device("tx_errors"),
        rx_function: row.burst_modes.0.clone(),
        tx_function: row.burst_modes.1.clone(),
    }
}

pub(in super::super) async fn workers(view: &View) -> Result<types::Workers, Refusal> {
    let session = session(view)?;
    let Response::Workers(rows) = view.link.query(Request::Workers).await? else {
        return Err(mismatch());
    };
    let workers = rows.iter().map(|row| types::Worker {
        id: row.id.into(),
        cpu: row.cpu,
        state: row.state.clone(),
        packets: totals(session, Some(row.id)),
        steered: session
            .counters
            .worker(row.id)
            .map_or(0, |counts| counts.steered_out),
        flows: row.flows,
    });
    Ok(types::Workers {
        schema: schema::WORKERS.into(),
        workers: workers.collect(),
    })
}

pub(in super::super) async fn neighbors(view: &View) -> Result<types::Neighbors, Refusal> {
    let session = session(view)?;
    let Response::Neighbors(rows) = view.link.query(Request::Neighbors).await? else {
        return Err(mismatch());
    };
    let mut rows: Vec<NeighborRow> = rows;
    rows.sort_by_key(|row| (row.port, row.address));
    let neighbors = rows.iter().map(|row| types::Neighbor {
        address: row.address.to_string(),
        mac: row.mac.map(mac_text::format),
        port: port_name(session, row.port),
        state: match row.state {
            NeighborState::Static => "permanent".into(),
            state => state.name().into(),
        },
        confirmed_s: row.confirmed_s.map(u64::from),
    });
    Ok(types::Neighbors {
        schema: schema::NEIGHBORS.into(),
        neighbors: neighbors.collect(),
    })
}

/// An address, or an address and port.
fn endpoint(text: &str) -> Result<(IpAddr, Option<u16>), Refusal> {
    let socket = text
        .parse::<SocketAddr>()
        .map(|address| (address.ip(), Some(address.port())));
    socket
        .or_else(|_| text.parse().map(|address| (address, None)))
        .map_err(|_| {
            Refusal::malformed(
                format!("\"{text}\" is neither an address nor address:port"),
                "write 192.0.2.11 or 192.0.2.11:80",
            )
        })
}

pub(in super::super) async fn flows(view: &View, query: &types::FlowQuery) -> Result<types::Flows, Refusal> {
    session(view)?;
    let limit = query
        .limit
        .filter(|limit| *limit > 0)
        .unwrap_or(FLOWS_DEFAULT)
        .min(ROWS_MAX);
    let backend = query.backend.as_deref().map(endpoint).transpose()?;
    let filter = FlowFilter {
        service: None,
        client: query
            .client
            .as_deref()
            .map(endpoint)
            .transpose()?
            .map(|(address, _)| address),
        backend: backend.map(|(address, _)| address),
        worker: None,
    };
    let mut answer = types::Flows {
        schema: schema::FLOWS.into(),
        truncated: false,
        flows: Vec::new(),
    };
    for filter in filters(view, query, filter)? {
        let left = limit.saturating_sub(u32::try_from(answer.flows.len()).unwrap_or(u32::MAX));
        let request = Request::Flows { filter, limit: left };
        let Response::Flows { rows, more } = view.link.query(request).await? else {
            return Err(mismatch());
        };
        let port = backend.and_then(|(_, port)| port);
        let wanted = rows
            .iter()
            .filter(|row| port.is_none_or(|port| row.backend.port() == port));
        answer.flows.extend(wanted.map(|row| flow(view, row)));
        answer.truncated |= more;
    }
    Ok(answer)
}

/// One filter, or one for each address of the service that is asked for.
fn filters(view: &View, query: &types::FlowQuery, filter: FlowFilter) -> Result<Vec<FlowFilter>, Refusal> {
    let Some(name) = &query.service else {
        return Ok(vec![filter]);
    };
    let service = view.config.service(name).ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            format!("there is no service \"{name}\""),
            "`weirctl service` lists them",
        )
    })?;
    let keys = service
        .addresses
        .iter()
        .map(|address| service_key(service, *address));
    let filters = keys.map(|key| FlowFilter {
        service: Some(key),
        ..filter.clone()
    });
    Ok(filters.collect())
}

fn flow(view: &View, row: &FlowRow) -> types::Flow {
    let service = view.config.services.iter().find(|service| {
        let protocol = service.protocol.as_str() == row.protocol.name();
        let address =
            |vip: &SocketAddr| vip.ip() == row.vip.ip() && (vip.port() == 0 || vip.port() == row.vip.port());
        protocol && service.addresses.iter().any(address)
    });
    types::Flow {
        protocol: row.protocol.name().into(),
        client: row.client.to_string(),
        vip: row.vip.to_string(),
        local: row.local.map(|local| local.to_string()),
        backend: row.backend.to_string(),
        forward: Some(row.forward.name().into()),
        service: service.map(|service| service.name.clone()),
        state: row.state.clone(),
        expires_s: row.expires_s.into(),
        worker: row.worker.into(),
    }
}

pub(in super::super) async fn explain(
    view: &View,
    query: &types::ExplainQuery,
) -> Result<types::Explain, Refusal> {
    session(view)?;
    let protocol: Protocol = query
        .protocol
        .parse()
        .map_err(|error: weir_rings::message::UnknownName| Refusal::malformed(error.to_string(), ""))?;
    let address = |text: &str| {
        text.parse::<SocketAddr>().map_err(|_| {
            Refusal::malformed(
                format!("\"{text}\" is not address:port"),
                "write 192.0.2.100:80 or [2001:db8::100]:80",
            )
        })
    };
    let request = Request::Explain {
        protocol,
        source: address(&query.src)?,
        destination: address(&query.dst)?,
        port: None,
    };
    let Response::Explain(found) = view.link.query(request).await? else {
        return Err(mismatch());
    };
    let steps = found.steps.iter().map(|step| types::ExplainStep {
        step: step.stage.clone(),
        result: step.found.clone(),
    });
    Ok(types::Explain {
        schema: schema::EXPLAIN.into(),
        protocol: query.protocol.clone(),
        src: query.src.clone(),
        dst: query.dst.clone(),
        steps: steps.collect(),
        verdict: found.verdict,
        reason: found.reason,
        hint: found.hint,
    })
}
