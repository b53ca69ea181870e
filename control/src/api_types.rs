//! What the API says: one set of types for the server and for `weirctl`.
//!
//! HTTP and JSON over the Unix socket of `[control]`. Every answer is an object with a `schema` (`weir.services/1`): keys are only added
//! while its number stays. Numbers are numbers, times are RFC 3339 texts in UTC, units are in the names of the keys.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | [`Status`] |
//! | `GET /v1/services` | [`Services`] |
//! | `GET /v1/backends` | [`Backends`] |
//! | `PATCH /v1/backends` with [`BackendPatch`] | [`Backends`]: the one that was changed |
//! | `GET /v1/checks` | [`Checks`] |
//! | `GET /v1/maintenance` | [`Maintenance`] |
//! | `POST /v1/maintenance` with [`MaintenanceChange`] | [`Maintenance`] |
//! | `GET /v1/ports` | [`Ports`] |
//! | `GET /v1/workers` | [`Workers`] |
//! | `GET /v1/neighbors` | [`Neighbors`] |
//! | `GET /v1/flows?`[`FlowQuery`] | [`Flows`] |
//! | `GET /v1/drops` | [`Drops`] |
//! | `GET /v1/explain?`[`ExplainQuery`] | [`Explain`] |
//! | `GET /v1/config` | [`RunningConfig`] |
//! | `POST /v1/config/check`, `diff`, `apply` with [`ConfigRequest`] | [`ConfigResult`] |
//!
//! `apply` takes `?confirm=true` for a change that removes more than half of the virtual addresses or backends.
//!
//! What is refused is answered with [`ApiError`]: 400 malformed, 404 no such thing, 409 refused, 503 data plane not connected. An invalid
//! configuration is 422 with a [`ConfigResult`] that has the faults.

mod health;

pub use health::{Check, Checks, Maintained, Maintenance, MaintenanceChange, Pool, Run};

use serde::{Deserialize, Serialize};
use weir_configs::{Change, Diagnostic};

/// Schema names, one per answer.
pub mod schema {
    /// Of [`super::Status`].
    pub const STATUS: &str = "weir.status/1";
    /// Of [`super::Services`].
    pub const SERVICES: &str = "weir.services/1";
    /// Of [`super::Backends`].
    pub const BACKENDS: &str = "weir.backends/1";
    /// Of [`super::Checks`].
    pub const CHECKS: &str = "weir.checks/1";
    /// Of [`super::Maintenance`].
    pub const MAINTENANCE: &str = "weir.maintenance/1";
    /// Of [`super::Ports`].
    pub const PORTS: &str = "weir.ports/1";
    /// Of [`super::Workers`].
    pub const WORKERS: &str = "weir.workers/1";
    /// Of [`super::Neighbors`].
    pub const NEIGHBORS: &str = "weir.neighbors/1";
    /// Of [`super::Flows`].
    pub const FLOWS: &str = "weir.flows/1";
    /// Of [`super::Drops`].
    pub const DROPS: &str = "weir.drops/1";
    /// Of [`super::Explain`].
    pub const EXPLAIN: &str = "weir.explain/1";
    /// Of [`super::RunningConfig`].
    pub const CONFIG: &str = "weir.config/1";
    /// Of [`super::ConfigResult`].
    pub const CONFIG_RESULT: &str = "weir.config-result/1";
    /// Of [`super::ApiError`].
    pub const ERROR: &str = "weir.error/1";
}

/// Everything at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`schema::STATUS`]
    pub schema: String,
    /// Version of the control process.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at: String,
    /// Seconds since then.
    pub uptime_s: u64,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// The data plane as control sees it.
    pub dataplane: DataplaneStatus,
    /// Number of services.
    pub services: u64,
    /// Backends by state.
    pub backends: BackendCounts,
    /// Packets of all workers since the data plane started.
    pub packets: PacketTotals,
    /// What is not as the configuration says, and what to do: changes that need a restart, what the data plane cannot be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The file it came from.
    pub file: String,
    /// Counts what was sent to the data plane.
    pub generation: u64,
    /// When this configuration was taken.
    pub applied_at: String,
    /// Why the last attempt to load or apply was refused, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The data plane as control sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataplaneStatus {
    /// Whether control is connected to it. It forwards with its last state when not.
    pub connected: bool,
    /// The socket where it is met.
    pub socket: String,
    /// Its process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The last generation it published to its workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_generation: Option<u64>,
    /// Number of workers.
    pub workers: u32,
    /// Flows in the tables of all workers.
    pub flows: u64,
    /// Flows that fit.
    pub flows_max: u64,
}

/// Backends by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendCounts {
    /// All.
    pub total: u64,
    /// Taking new flows.
    pub up: u64,
    /// Failed by their check.
    pub down: u64,
    /// Draining, or with weight 0.
    pub drained: u64,
    /// Not checked yet.
    pub checking: u64,
}

/// Packets by verdict: `rx == tx + punted + dropped` once nothing is on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketTotals {
    /// Received.
    pub rx: u64,
    /// Sent.
    pub tx: u64,
    /// Given to the host.
    pub punted: u64,
    /// Dropped, for one of the named reasons.
    pub dropped: u64,
}

/// Connections and traffic of a service or a backend since the data plane started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Flows that were ever begun.
    pub connections: u64,
    /// Flows that are established now.
    pub active: u64,
    /// Flows in any other state now.
    pub inactive: u64,
    /// Persistence templates now.
    pub persistent: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Packets to clients, where they pass weir.
    pub packets_out: u64,
    /// Bytes to clients, where they pass weir.
    pub bytes_out: u64,
}

/// Answer of `GET /v1/services`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// [`schema::SERVICES`]
    pub schema: String,
    /// In the order of the configuration.
    pub services: Vec<Service>,
}

/// One service and its backends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Virtual addresses, each `ip:port`.
    pub addresses: Vec<String>,
    /// The scheduler's name.
    pub scheduler: String,
    /// The scheduler's flags.
    #[serde(default)]
    pub scheduler_flags: Vec<String>,
    /// How packets get to the backends: `dr`, `tunnel`, `nat`, `fullnat`.
    pub forward: String,
    /// A client keeps its backend this long; 0: no persistence.
    pub persistence_timeout_s: u32,
    /// Whether every UDP packet is scheduled anew.
    #[serde(default)]
    pub one_packet: bool,
    /// Sum over its backends.
    pub traffic: Traffic,
    /// Its quorum and what became of its pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// In the order of the configuration.
    pub backends: Vec<Backend>,
}

/// Answer of `GET /v1/backends` and `PATCH /v1/backends`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backends {
    /// [`schema::BACKENDS`]
    pub schema: String,
    /// Service by service, in the order of the configuration.
    pub backends: Vec<Backend>,
}

/// One backend of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// The service's name.
    pub service: String,
    /// Its own name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `ip:port`.
    pub address: String,
    /// How packets get there.
    pub forward: String,
    /// The outer packet when `forward` is `tunnel`: `ipip`, `gre`, `gue port 6080`, `vxlan port 4789 vni 7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// Whether it takes new flows, and why not.
    pub state: BackendState,
    /// The weight in force, after health, drain and runtime changes.
    pub weight: u32,
    /// The weight of the configuration.
    pub weight_configured: u32,
    /// The weight set at run time, until `reset` or restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_override: Option<u32>,
    /// No new flows from this many on; 0: no limit.
    #[serde(default)]
    pub upper_threshold: u32,
    /// New flows again below this.
    #[serde(default)]
    pub lower_threshold: u32,
    /// The check and its last result; absent when it is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Its share of the service's traffic.
    pub traffic: Traffic,
}

/// Whether a backend takes new flows, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// Takes new flows.
    Up,
    /// Its check failed.
    Down,
    /// Not enough results yet.
    Checking,
    /// Told to take no new flows; known flows go on.
    Draining,
    /// Weight 0: no new flows; known flows go on.
    Quiesced,
    /// Its check failed, but it stays in service: all failed at once, or too many would have gone.
    Kept,
    /// The sorry server stands in for it, because too few backends live.
    Standby,
    /// Taken out at run time, with its flows.
    Disabled,
}

impl BackendState {
    /// The word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Checking => "checking",
            Self::Draining => "draining",
            Self::Quiesced => "quiesced",
            Self::Kept => "kept",
            Self::Standby => "standby",
            Self::Disabled => "disabled",
        }
    }
}

/// A check and its last result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The kind, as the configuration names it: `tcp`, `http`, `dns`, …
    pub kind: String,
    /// Whether the check holds the backend for healthy.
    pub healthy: bool,
    /// When that last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The last result in words: `status 200`, `connection refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<String>,
    /// How long the last probe took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_latency_ms: Option<f64>,
    /// Passes in a row.
    pub passes: u32,
    /// Fails in a row.
    pub fails: u32,
}

/// A change of a backend at run time. It holds until `reset`, until the configuration changes this backend, or until control restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendPatch {
    /// The service's name.
    pub service: String,
    /// The backend: its name, `ip:port`, or `ip` where only one backend has it.
    pub backend: String,
    /// The weight from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Whether it drains from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<bool>,
    /// Whether it is taken out from now on, with its flows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable: Option<bool>,
    /// Forget earlier changes: as the configuration says. Not together with the others.
    #[serde(default)]
    pub reset: bool,
}

/// Answer of `GET /v1/ports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// [`schema::PORTS`]
    pub schema: String,
    /// In the order of the configuration.
    pub ports: Vec<Port>,
}

/// One port of the data plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The device of the configuration.
    pub device: String,
    /// DPDK's driver.
    pub driver: String,
    /// Its MAC address.
    pub mac: String,
    /// Whether the link is up.
    pub link_up: bool,
    /// Link speed; 0: not known.
    pub speed_mbps: u32,
    /// Largest IP packet.
    pub mtu_bytes: u32,
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// Own addresses with prefix length.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The kernel interface made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_interface: Option<String>,
    /// Packets received by workers.
    pub rx_packets: u64,
    /// Bytes received by workers.
    pub rx_bytes: u64,
    /// Packets sent by workers.
    pub tx_packets: u64,
    /// Bytes sent by workers.
    pub tx_bytes: u64,
    /// Packets the NIC dropped because no descriptor was free: the workers are too slow.
    pub rx_missed: u64,
    /// Packets the NIC found faulty.
    pub rx_errors: u64,
    /// Packets lost because the pool had no buffer.
    pub rx_no_buffer: u64,
    /// Packets the NIC could not send.
    pub tx_errors: u64,
    /// The receive function its driver chose; empty: the port is without a device.
    #[serde(default)]
    pub rx_function: String,
    /// The transmit function its driver chose; empty: the port is without a device.
    #[serde(default)]
    pub tx_function: String,
}

/// Answer of `GET /v1/workers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workers {
    /// [`schema::WORKERS`]
    pub schema: String,
    /// By number.
    pub workers: Vec<Worker>,
}

/// One worker of the data plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its number.
    pub id: u32,
    /// The CPU it is pinned to.
    pub cpu: u32,
    /// `running`, or `panicked`.
    pub state: String,
    /// Packets by verdict.
    pub packets: PacketTotals,
    /// Packets handed to another worker that owns the flow.
    pub steered: u64,
    /// Flows in its table.
    pub flows: u64,
}

/// Answer of `GET /v1/neighbors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbors {
    /// [`schema::NEIGHBORS`]
    pub schema: String,
    /// By port and address.
    pub neighbors: Vec<Neighbor>,
}

/// One neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// IP address.
    pub address: String,
    /// MAC address, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Name of the port.
    pub port: String,
    /// `incomplete`, `reachable`, `stale`, `delay`, `probe` (RFC 4861 section 7.3.2), `failed`, or `permanent` for static entries.
    pub state: String,
    /// Seconds since it was last confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_s: Option<u64>,
}

/// Which flows are wished; all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowQuery {
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The service's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The backend: `ip` or `ip:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// At most this many; 0 or absent: the server's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Answer of `GET /v1/flows`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flows {
    /// [`schema::FLOWS`]
    pub schema: String,
    /// Whether there are more that match.
    pub truncated: bool,
    /// In no particular order.
    pub flows: Vec<Flow>,
}

/// One flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The client, `ip:port`.
    pub client: String,
    /// The virtual address the client uses, `ip:port`.
    pub vip: String,
    /// The source the backend sees, with FULLNAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The backend, `ip:port`.
    pub backend: String,
    /// How packets get there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<String>,
    /// The service's name, while it is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// State under IPVS's name: `ESTABLISHED`, `FIN_WAIT`, `UDP`.
    pub state: String,
    /// Forgotten after so many seconds without a packet.
    pub expires_s: u64,
    /// The worker that owns it.
    pub worker: u32,
}

/// Answer of `GET /v1/drops`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// [`schema::DROPS`]
    pub schema: String,
    /// Packets by verdict.
    pub packets: PacketTotals,
    /// Every reason, also those that never occurred.
    pub reasons: Vec<Reason>,
}

/// Why packets were dropped or given to the host; or, of packets that were sent, what is remarkable about them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `drop`, `punt` or `tx`.
    pub verdict: String,
    /// The reason's name.
    pub name: String,
    /// Packets of all workers.
    pub packets: u64,
    /// What to do about it.
    pub hint: String,
}

/// Which packet to explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Source, `ip:port`.
    pub src: String,
    /// Destination, `ip:port`.
    pub dst: String,
}

/// What the data plane would do with a packet, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// [`schema::EXPLAIN`]
    pub schema: String,
    /// The packet.
    pub protocol: String,
    /// Source, `ip:port`.
    pub src: String,
    /// Destination, `ip:port`.
    pub dst: String,
    /// The way through the tables, in order.
    pub steps: Vec<ExplainStep>,
    /// `tx`, `punt` or `drop`.
    pub verdict: String,
    /// The reason's name as in [`Drops`], unless the packet is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One step of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainStep {
    /// What was looked at: `vip`, `service`, `persistence`, `scheduler`, `flow`, `rewrite`, `next hop`, `port`.
    pub step: String,
    /// What came of it.
    pub result: String,
}

/// Answer of `GET /v1/config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningConfig {
    /// [`schema::CONFIG`]
    pub schema: String,
    /// The file it came from.
    pub file: String,
    /// Counts what was sent to the data plane.
    pub generation: u64,
    /// The configuration with every default, as a file.
    pub toml: String,
    /// The same as JSON.
    pub config: serde_json::Value,
}

/// A configuration to check, compare or apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    /// The file's name, for messages.
    pub file: String,
    /// The file's text.
    pub text: String,
}

/// Answer of `POST /v1/config/…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigResult {
    /// [`schema::CONFIG_RESULT`]
    pub schema: String,
    /// The file as it was named.
    pub file: String,
    /// Whether the configuration is valid.
    pub valid: bool,
    /// Everything that is wrong with it.
    #[serde(default)]
    pub diagnostics: Vec<Diagnostic>,
    /// What differs from the running configuration.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// Whether it is in force now.
    pub applied: bool,
    /// The generation that carries it, once applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// [`schema::ERROR`]
    pub schema: String,
    /// What went wrong.
    pub error: String,
    /// What to do about it; may be empty.
    #[serde(default)]
    pub help: String,
}
