//! Answers control's questions: from tables and counters at once, from workers' flow tables by and by.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use weir_proto::neighbor::State;
use weir_proto::time::Instant;
use weir_rings::counters::CountersReader;
use weir_rings::message::{ForwardMode, NeighborState, PortId, Protocol, VlanId};
use weir_rings::query::{
    Explanation, FlowFilter, FlowRow, NeighborRow, PortRow, ROWS_MAX, Request, Response, WorkerRow,
};

use super::agent::Agent;
use super::facts::{Devices, PortFacts, WorkerHandle};
use super::mesh::{FlowQuestion, Outbox, Riddle, ToWorker};
use super::neighbors::Neighbors;
use crate::explain::Question;
use crate::path::FlowInfo;
use crate::tables::Snapshot;

/// How long workers may take to list their flows.
const PATIENCE: Duration = Duration::from_secs(2);

type Answer = Result<Response, String>;

/// What answers are made from.
pub struct View<'a> {
    /// The tables.
    pub agent: &'a Agent,
    /// The neighbour machine.
    pub neighbors: &'a Neighbors,
    /// Facts of each port.
    pub ports: &'a [PortFacts],
    /// The devices.
    pub devices: &'a [Devices],
    /// The workers.
    pub workers: &'a [WorkerHandle],
    /// What they count.
    pub counters: &'a CountersReader,
}

/// Questions that workers are answering.
#[derive(Debug, Default)]
pub struct Queries {
    listings: HashMap<u64, Listing>,
    /// Explanations under way, with their deadlines.
    riddles: HashMap<u64, Instant>,
}

#[derive(Debug)]
struct Listing {
    rows: Vec<FlowRow>,
    limit: usize,
    more: bool,
    /// Workers that have not answered.
    missing: usize,
    deadline: Instant,
}

impl Queries {
    /// Answers a question, or passes it to the workers.
    pub fn ask(
        &mut self,
        now: Instant,
        id: u64,
        request: Request,
        view: &View<'_>,
        outboxes: &mut [Outbox<ToWorker>],
    ) -> Option<Answer> {
        match request {
            Request::Flows { filter, limit } => self.list_flows(now, id, filter, limit, view, outboxes),
            Request::Neighbors => Some(Ok(Response::Neighbors(neighbors(now, view)))),
            Request::Routes => Some(Ok(Response::Routes(view.agent.route_rows()))),
            Request::Ports => Some(ports(view).map(Response::Ports)),
            Request::Workers => Some(Ok(Response::Workers(workers(view)))),
            Request::Explain {
                protocol,
                source,
                destination,
                port,
            } => {
                let question = Question {
                    protocol,
                    source,
                    destination,
                    port,
                };
                self.explain(now, id, question, view, outboxes)
            }
        }
    }

    fn list_flows(
        &mut self,
        now: Instant,
        id: u64,
        filter: FlowFilter,
        limit: u32,
        view: &View<'_>,
        outboxes: &mut [Outbox<ToWorker>],
    ) -> Option<Answer> {
        let limit = limit.min(ROWS_MAX) as usize;
        let mut listing = Listing {
            rows: Vec::new(),
            limit,
            more: false,
            missing: 0,
            deadline: now + PATIENCE,
        };
        for (number, outbox) in (0u16..).zip(outboxes) {
            let wanted = filter.worker.is_none_or(|only| only == number);
            let running = view
                .workers
                .get(usize::from(number))
                .is_some_and(WorkerHandle::is_running);
            if !wanted || !running {
                continue;
            }
            let question = FlowQuestion {
                id,
                worker: number,
                filter: filter.clone(),
                cursor: 0,
                found: Vec::with_capacity(limit),
                more: false,
            };
            if outbox.push(ToWorker::ListFlows(Box::new(question))).is_ok() {
                listing.missing += 1;
            }
        }
        if listing.missing == 0 {
            return Some(Ok(Response::Flows {
                rows: Vec::new(),
                more: false,
            }));
        }
        self.listings.insert(id, listing);
        None
    }

    fn explain(
        &mut self,
        now: Instant,
        id: u64,
        question: Question,
        view: &View<'_>,
        outboxes: &mut [Outbox<ToWorker>],
    ) -> Option<Answer> {
        let port = question.port.unwrap_or(PortId(0));
        let Some(facts) = view.ports.get(usize::from(port.0)) else {
            return Some(Err(format!(
                "there is no port {}; weirctl port lists them",
                port.0
            )));
        };
        let riddle = Riddle {
            id,
            question,
            told: Vec::new(),
        };
        if outboxes[facts.owner]
            .push(ToWorker::Explain(Box::new(riddle)))
            .is_err()
        {
            return Some(Err("the worker's queue is full; ask again".to_owned()));
        }
        self.riddles.insert(id, now + PATIENCE);
        None
    }

    /// A worker has explained a packet.
    pub fn explained(&mut self, id: u64, explanation: Explanation) -> Option<(u64, Answer)> {
        self.riddles.remove(&id)?;
        Some((id, Ok(Response::Explain(explanation))))
    }

    /// A worker has listed its flows. The answer, when it was the last one.
    pub fn flows_arrived(&mut self, answer: FlowQuestion, snapshot: &Snapshot) -> Option<(u64, Answer)> {
        let listing = self.listings.get_mut(&answer.id)?;
        let room = listing.limit - listing.rows.len();
        listing.more |= answer.more || answer.found.len() > room;
        let rows = answer
            .found
            .iter()
            .take(room)
            .map(|flow| row(answer.worker, flow, snapshot));
        listing.rows.extend(rows);
        listing.missing -= 1;
        if listing.missing > 0 {
            return None;
        }
        let listing = self.listings.remove(&answer.id)?;
        Some((
            answer.id,
            Ok(Response::Flows {
                rows: listing.rows,
                more: listing.more,
            }),
        ))
    }

    /// Questions that workers did not answer in time.
    pub fn timed_out(&mut self, now: Instant) -> Vec<(u64, Answer)> {
        let listings = self
            .listings
            .extract_if(|_, listing| listing.deadline <= now)
            .map(|(id, _)| id);
        let riddles = self
            .riddles
            .extract_if(|_, deadline| *deadline <= now)
            .map(|(id, _)| id);
        let error = || Err("a worker did not answer in time; is it running? see weirctl worker".to_owned());
        listings.chain(riddles).map(|id| (id, error())).collect()
    }
}

/// Whether a flow is one that was asked for.
pub fn matches(flow: &FlowInfo, filter: &FlowFilter, snapshot: &Snapshot) -> bool {
    filter.client.is_none_or(|client| client == flow.client)
        && filter.backend.is_none_or(|backend| backend == flow.server)
        && filter.service.is_none_or(|key| {
            snapshot
                .service_of_backend(flow.backend)
                .is_some_and(|service| service.keys.contains(&key))
        })
}

fn row(worker: u16, flow: &FlowInfo, snapshot: &Snapshot) -> FlowRow {
    let forward = snapshot
        .service_of_backend(flow.backend)
        .and_then(|service| service.backend(flow.backend))
        .map_or(ForwardMode::Dr, |backend| backend.forward.mode());
    FlowRow {
        worker,
        protocol: Protocol::from_code(flow.protocol).unwrap_or(Protocol::Tcp),
        client: SocketAddr::new(flow.client, flow.client_port),
        vip: SocketAddr::new(flow.virtual_address, flow.virtual_port),
        local: flow.local.map(|(address, port)| SocketAddr::new(address, port)),
        backend: SocketAddr::new(flow.server, flow.server_port),
        forward,
        state: flow.state.to_owned(),
        expires_s: flow.expires_s,
        template: false,
    }
}

fn neighbors(now: Instant, view: &View<'_>) -> Vec<NeighborRow> {
    let row = |(hop, neighbor): (crate::tables::HopKey, weir_proto::neighbor::Neighbor)| NeighborRow {
        address: hop.address,
        port: hop.port,
        vlan: VlanId::new(hop.vlan),
        mac: neighbor.mac.map(|mac| mac.0),
        state: match neighbor.state {
            _ if neighbor.fixed => NeighborState::Static,
            State::Incomplete => NeighborState::Incomplete,
            State::Reachable => NeighborState::Reachable,
            State::Stale => NeighborState::Stale,
            State::Delay => NeighborState::Delay,
            State::Probe => NeighborState::Probe,
            State::Failed => NeighborState::Failed,
        },
        confirmed_s: neighbor
            .confirmed_at
            .map(|at| u32::try_from(now.saturating_duration_since(at).as_secs()).unwrap_or(u32::MAX)),
        used_by: if neighbor.pinned {
            "backend or gateway"
        } else {
            "traffic"
        }
        .to_owned(),
    };
    view.neighbors.list().map(row).collect()
}

/// A port whose device was taken away.
fn without_device(id: u16, facts: &PortFacts) -> PortRow {
    let nothing = || "no device".to_owned();
    PortRow {
        id: PortId(id),
        name: facts.name.clone(),
        device: facts.device.clone(),
        driver: nothing(),
        mac: facts.mac,
        up: false,
        speed_mbps: 0,
        full_duplex: false,
        mtu: 0,
        queues: (0, 0),
        burst_modes: (nothing(), nothing()),
        rss: nothing(),
        xstats: Vec::new(),
    }
}

fn ports(view: &View<'_>) -> Result<Vec<PortRow>, String> {
    let row =
        |((id, facts), (device, _)): ((u16, &PortFacts), &Devices)| -> Result<PortRow, weir_dpdk::Error> {
            let Some(device) = device else {
                return Ok(without_device(id, facts));
            };
            let link = device.link()?;
            let started = device.started();
            let unknown = || "unknown".to_owned();
            Ok(PortRow {
                id: PortId(id),
                name: facts.name.clone(),
                device: facts.device.clone(),
                driver: device.driver_name()?,
                mac: facts.mac,
                up: link.up,
                speed_mbps: link.speed_mbps.unwrap_or(0),
                full_duplex: link.full_duplex,
                mtu: started.map_or(0, |started| started.mtu),
                queues: started.map_or((0, 0), |started| (started.rx_queues, started.tx_queues)),
                burst_modes: (
                    device.rx_burst_mode().unwrap_or_else(unknown),
                    device.tx_burst_mode().unwrap_or_else(unknown),
                ),
                rss: match started.map(|started| &started.rss) {
                    Some(rss) if !rss.functions.is_empty() && rss.key.is_some() => "by the device, key known",
                    Some(_) if facts.queues.len() > 1 => "by the device, key unknown",
                    Some(_) | None => "by software",
                }
                .to_owned(),
                xstats: device
                    .xstats()?
                    .into_iter()
                    .map(|stat| (stat.name, stat.value))
                    .collect(),
            })
        };
    let numbered = (0u16..).zip(view.ports);
    numbered
        .zip(view.devices)
        .map(row)
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn workers(view: &View<'_>) -> Vec<WorkerRow> {
    let row = |(id, handle): (u16, &WorkerHandle)| {
        let counts = view.counters.worker(id).unwrap_or_default();
        WorkerRow {
            id,
            cpu: handle.cpu,
            idle: handle.idle.to_owned(),
            state: match &handle.panic {
                Some(message) => format!("panicked: {message}"),
                None if handle.is_running() => "running".to_owned(),
                None => "stopped".to_owned(),
            },
            queues: queues_of(usize::from(id), view.ports),
            flows: counts.flows,
            flows_max: handle.flows_max,
        }
    };
    (0u16..).zip(view.workers).map(row).collect()
}

fn queues_of(worker: usize, ports: &[PortFacts]) -> Vec<(PortId, u16)> {
    let of_port = |(id, facts): (u16, &PortFacts)| {
        let mine = (0u16..).zip(&facts.queues).filter(|(_, owner)| **owner == worker);
        mine.map(|(queue, _)| (PortId(id), queue)).collect::<Vec<_>>()
    };
    (0u16..).zip(ports).flat_map(of_port).collect()
}
