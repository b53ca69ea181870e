//! What the API says of checks, pools and maintenance.

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/checks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// [`super::schema::CHECKS`]
    pub schema: String,
    /// Service by service, backend by backend, in the order of the configuration.
    pub checks: Vec<Check>,
}

/// One check of one backend of one service. Backends with the same check share its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The service's name.
    pub service: String,
    /// The backend, `ip:port`.
    pub backend: String,
    /// The backend's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `tcp`, `http` and so on; `traffic` for what is found without asking.
    pub kind: String,
    /// What is asked, `ip:port`.
    pub target: String,
    /// `up`, `down`, `checking` before the first result, or `suspended`.
    pub state: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Why it is what it is, in words.
    pub why: String,
    /// Until when a server that flaps stays down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<String>,
    /// When the last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<String>,
    /// What it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<String>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_latency_ms: Option<f64>,
    /// When the next run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<String>,
    /// From run to run.
    pub interval_ms: u64,
    /// Runs that passed.
    pub passes: u64,
    /// Runs that failed.
    pub fails: u64,
    /// Results in a row against the present state.
    pub against: u32,
    /// So many change it.
    pub needed: u32,
    /// Slots left out because a run lasted too long.
    pub skipped: u64,
    /// Changes of the state.
    pub changes: u64,
    /// The newest runs, oldest first.
    pub recent: Vec<Run>,
    /// The newest changes of the state, oldest first.
    pub history: Vec<Run>,
}

/// One run of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it ended.
    pub at: String,
    /// The state after it.
    pub state: String,
    /// What it found.
    pub result: String,
    /// How long it took.
    pub latency_ms: f64,
}

/// A service's pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Whether there is a quorum.
    pub quorum_up: bool,
    /// Since when.
    pub since: String,
    /// The sum of weights that makes one.
    pub quorum: u32,
    /// How far above it is gained and below it is lost.
    pub hysteresis: u32,
    /// The sum of the weights of live backends.
    pub live_weight: u64,
    /// Times the quorum was gained or lost.
    pub changes: u64,
    /// Failed backends that stay in service because all failed at once.
    pub kept: u64,
    /// Failed backends that stay in service because of `removal_limit`.
    pub held: u64,
    /// The sorry server, `ip:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorry_server: Option<String>,
    /// Whether it stands in.
    pub sorry_in_use: bool,
}

/// Answer of `GET /v1/maintenance` and `POST /v1/maintenance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// [`super::schema::MAINTENANCE`]
    pub schema: String,
    /// Backends that somebody works on, in the order of the configuration.
    pub maintenance: Vec<Maintained>,
}

/// A backend that somebody works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintained {
    /// The service's name.
    pub service: String,
    /// The backend, `ip:port`.
    pub backend: String,
    /// Since when; absent when a file in `maintenance_dir` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What is done, or the file that says so.
    pub reason: String,
    /// Flows it still has.
    pub flows: u64,
}

/// Begins or ends work on backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceChange {
    /// Only in this service; left out: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The backend: its name, `ip:port`, or `ip`.
    pub backend: String,
    /// Begin, or end.
    pub on: bool,
    /// What is done, for others to read.
    #[serde(default)]
    pub reason: String,
}
