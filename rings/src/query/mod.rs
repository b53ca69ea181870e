//! Questions control asks the dataplane's main thread, and the lines of JSON they travel in.
//!
//! One line a frame, in both directions, on the socket of the hand-over. A request is at most
//! [`REQUEST_LEN_MAX`] long, an answer at most [`ANSWER_LEN_MAX`]; a peer that sends more, or does not take what
//! it asked for in time, is dropped.

use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::hello::{Hello, mac_text};
use crate::message::{
    ForwardMode, Mac, NeighborState, PortId, Prefix, Protocol, RouteOrigin, ServiceKey, VlanId,
};

#[cfg(not(loom))]
pub(crate) mod lines;
#[cfg(all(test, not(loom)))]
mod tests;

/// Longest request, in bytes.
pub const REQUEST_LEN_MAX: usize = 64 << 10;

/// Longest answer, in bytes.
pub const ANSWER_LEN_MAX: usize = 8 << 20;

/// Most rows of one answer.
pub const ROWS_MAX: u32 = 10_000;

/// A line from control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// Comes back with the answer.
    pub id: u64,
    /// The question.
    pub request: Request,
}

/// A line from the dataplane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// The first line of an accepted connection.
    Hello(Hello),
    /// An answer.
    Answer {
        /// Of the request.
        id: u64,
        /// The answer.
        response: Response,
    },
    /// There is no answer.
    Failed {
        /// Of the request.
        id: u64,
        /// Why.
        error: String,
    },
    /// The last line: the connection was refused, or another control took over.
    Bye {
        /// Why.
        reason: String,
    },
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Flows that match.
    Flows {
        /// Which.
        filter: FlowFilter,
        /// At most this many rows.
        limit: u32,
    },
    /// Every neighbour.
    Neighbors,
    /// Every route.
    Routes,
    /// Every port with its device counters.
    Ports,
    /// Every worker.
    Workers,
    /// What would happen to a packet.
    Explain {
        /// Its protocol.
        protocol: Protocol,
        /// Its source.
        source: SocketAddr,
        /// Its destination.
        destination: SocketAddr,
        /// Where it would arrive; `None` for the port the destination lives on.
        port: Option<PortId>,
    },
}

/// Which flows; what is `None` matches all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowFilter {
    /// Of this service.
    pub service: Option<ServiceKey>,
    /// Of this client.
    pub client: Option<IpAddr>,
    /// To this server.
    pub backend: Option<IpAddr>,
    /// In this worker's table.
    pub worker: Option<u16>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Flows`].
    Flows {
        /// At most as many as asked for.
        rows: Vec<FlowRow>,
        /// There are more.
        more: bool,
    },
    /// To [`Request::Neighbors`].
    Neighbors(Vec<NeighborRow>),
    /// To [`Request::Routes`].
    Routes(Vec<RouteRow>),
    /// To [`Request::Ports`].
    Ports(Vec<PortRow>),
    /// To [`Request::Workers`].
    Workers(Vec<WorkerRow>),
    /// To [`Request::Explain`].
    Explain(Explanation),
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRow {
    /// In whose table.
    pub worker: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// What the client speaks to.
    pub vip: SocketAddr,
    /// What the server speaks to, in FULLNAT.
    pub local: Option<SocketAddr>,
    /// The server.
    pub backend: SocketAddr,
    /// How packets reach it.
    pub forward: ForwardMode,
    /// State, under IPVS's name.
    pub state: String,
    /// Ends in this many seconds unless a packet comes.
    pub expires_s: u32,
    /// A persistence template, not a flow.
    pub template: bool,
}

/// A neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborRow {
    /// Its address.
    pub address: IpAddr,
    /// The port.
    pub port: PortId,
    /// The VLAN.
    pub vlan: Option<VlanId>,
    /// Its MAC, if known.
    #[serde(with = "mac_text::option")]
    pub mac: Option<Mac>,
    /// Its state.
    pub state: NeighborState,
    /// Seconds since it was last confirmed.
    pub confirmed_s: Option<u32>,
    /// What it is wanted for, for a person.
    pub used_by: String,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRow {
    /// Where it leads.
    pub to: Prefix,
    /// Ways out.
    pub gateways: Vec<GatewayRow>,
    /// Path MTU, if set.
    pub mtu: Option<u16>,
    /// Where it comes from.
    pub origin: RouteOrigin,
}

/// A way out of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRow {
    /// Next hop; `None` when the prefix is on the link.
    pub via: Option<IpAddr>,
    /// The port.
    pub port: PortId,
    /// The VLAN.
    pub vlan: Option<VlanId>,
    /// Share of flows.
    pub weight: u8,
    /// Its neighbour is resolved.
    pub resolved: bool,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRow {
    /// Its number.
    pub id: PortId,
    /// Its name.
    pub name: String,
    /// Its device.
    pub device: String,
    /// Its driver.
    pub driver: String,
    /// Its MAC.
    #[serde(with = "mac_text")]
    pub mac: Mac,
    /// Its link is up.
    pub up: bool,
    /// Its speed in Mbit/s, 0 when unknown.
    pub speed_mbps: u32,
    /// Full duplex.
    pub full_duplex: bool,
    /// Its MTU.
    pub mtu: u16,
    /// Receive queues, transmit queues.
    pub queues: (u16, u16),
    /// Receive and transmit burst functions in use.
    pub burst_modes: (String, String),
    /// How it spreads packets over workers, for a person.
    pub rss: String,
    /// The device's own counters by their names.
    pub xstats: Vec<(String, u64)>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// Its number.
    pub id: u16,
    /// Its CPU.
    pub cpu: u32,
    /// `busy` or `adaptive`.
    pub idle: String,
    /// `running`, `stopped`, or what it died of.
    pub state: String,
    /// Queues it polls, as port and queue.
    pub queues: Vec<(PortId, u16)>,
    /// Flows in its table.
    pub flows: u64,
    /// Flows its table holds.
    pub flows_max: u64,
}

/// The way of a packet through the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// In the order the worker takes them.
    pub steps: Vec<Step>,
    /// The verdict: `tx`, `punt`, `drop` or `steer`.
    pub verdict: String,
    /// The reason's name, the same as its counter's.
    pub reason: Option<String>,
    /// The reason's hint.
    pub hint: Option<String>,
}

/// One step of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which: `vip`, `policy`, `persistence`, `scheduler`, `flow`, `rewrite`, `next-hop`, `egress`.
    pub stage: String,
    /// What was found, in one line.
    pub found: String,
    /// The same in parts, name and value.
    pub detail: Vec<(String, String)>,
}
