//! What is shown of BFD: by the API and by weirctl.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name and version of the answer.
pub const SCHEMA: &str = "weir.bfd/1";

/// Every session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sessions {
    /// [`SCHEMA`].
    pub schema: String,
    /// In the order of the configuration.
    pub sessions: Vec<Status>,
    /// Packets that belong to no session or are none, by reason.
    pub rejected: BTreeMap<String, u64>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The other end.
    pub peer: String,
    /// Where our packets come from, if that is configured.
    pub source: Option<String>,
    /// The interface, if that is configured.
    pub interface: Option<String>,
    /// Whether there may be routers in between.
    pub multihop: bool,
    /// `admin_down`, `down`, `init` or `up`.
    pub state: String,
    /// The same as the peer says it.
    pub remote_state: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Why it last left `up`.
    pub diagnostic: String,
    /// Why there is no socket, if there is none.
    pub problem: Option<String>,
    /// Our number for the session.
    pub local_discriminator: u32,
    /// The peer's; 0 while unknown.
    pub remote_discriminator: u32,
    /// How often we send now, before jitter.
    pub transmit_interval_us: u64,
    /// Silence after which the peer is taken for gone; 0 while unknown.
    pub detection_time_us: u64,
    /// Counts.
    pub stats: BTreeMap<String, u64>,
}
