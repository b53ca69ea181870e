//! What the dataplane tells control.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    BackendKey, Mac, NeighborKey, NeighborState, PassiveSign, PortId, RefuseReason, ServiceKey, VlanId,
};

/// Longest text of an event, in bytes.
pub const TEXT_LEN_MAX: usize = 160;

/// A text of at most [`TEXT_LEN_MAX`] bytes; what is longer is cut at a character boundary.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Text(String);

impl Text {
    /// As much of `text` as fits.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        let mut len = text.len().min(TEXT_LEN_MAX);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        text.truncate(len);
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A transaction is in force: every worker forwards by it from its next burst on.
    Published {
        /// Its generation.
        generation: u64,
        /// Commands it had.
        commands: u32,
        /// Services there are now.
        services: u32,
        /// Backends there are now.
        backends: u32,
    },
    /// A transaction was refused; what was in force before still is.
    Refused {
        /// Its generation.
        generation: u64,
        /// The record at fault, counted from Begin = 0; `None` when it is the whole.
        record_index: Option<u32>,
        /// Why.
        reason: RefuseReason,
        /// The same for a person, with the fix.
        detail: Text,
    },
    /// A neighbour came, moved or went.
    NeighborChanged {
        /// Which.
        neighbor: NeighborKey,
        /// Its state now.
        state: NeighborState,
        /// Its MAC, if known.
        mac: Option<Mac>,
    },
    /// A worker stopped by a panic; the others go on.
    WorkerPanicked {
        /// Which.
        worker: u16,
        /// The panic's message.
        message: Text,
    },
    /// Somebody else claims an address of ours.
    AddressConflict {
        /// The address.
        address: IpAddr,
        /// Who claims it.
        mac: Mac,
        /// Where.
        port: PortId,
        /// In which VLAN.
        vlan: Option<VlanId>,
    },
    /// What traffic shows about a backend; only with [`Service::passive_check`](super::Service::passive_check).
    BackendPassive {
        /// The service.
        service: ServiceKey,
        /// The backend.
        backend: BackendKey,
        /// What it shows.
        sign: PassiveSign,
    },
    /// The last flow of a draining backend ended.
    BackendDrained {
        /// The service.
        service: ServiceKey,
        /// The backend.
        backend: BackendKey,
    },
    /// A port's link changed.
    LinkChanged {
        /// Which port.
        port: PortId,
        /// Up or down.
        up: bool,
        /// Speed in Mbit/s, 0 when unknown.
        speed_mbps: u32,
        /// Full duplex.
        full_duplex: bool,
    },
    /// FULLNAT had no local address and port left for a service since the last such event.
    LocalPortsExhausted {
        /// The service.
        service: ServiceKey,
        /// Flows refused.
        refused: u64,
    },
    /// A worker's flow table is full; new flows are forwarded by hash without state.
    FlowTableFull {
        /// Which worker.
        worker: u16,
        /// Its capacity.
        flows_max: u64,
    },
    /// Events lost because the ring was full, told as soon as there is room.
    Lost {
        /// How many.
        events: u64,
    },
}
