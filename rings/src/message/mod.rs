//! Messages between control and the dataplane: typed values, and the 256-byte records they travel in.
//!
//! A record is decoded from a private copy. Decoding checks every byte: an unknown code, a set reserved bit
//! or a bound that is exceeded is a [`RecordError`], never a panic and never a guess. What a single record
//! cannot show (is there such a service?) the dataplane checks when it applies the transaction.
//!
//! Commands come in transactions: `Begin`, commands, `Commit`, all with one generation and counted from 0.
//! A *full* transaction replaces everything: what it does not mention goes; what it repeats unchanged keeps
//! its slots and its flows.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

#[cfg(all(test, not(loom)))]
pub(crate) mod arbitrary;
mod error;
mod event;
mod keys;
mod kinds;
mod layout;
mod objects;
mod record;
#[cfg(all(test, not(loom)))]
mod tests;
mod timeouts;

pub use error::RecordError;
pub use event::{Event, TEXT_LEN_MAX, Text};
pub(crate) use keys::address_bits;
pub use keys::{BackendKey, Mac, PORT_ID_MAX, PortId, Prefix, ServiceKey, VlanId};
pub use kinds::{
    ConnReuse, ForwardMode, MaglevSize, NeighborState, NoServerReply, PassiveSign, Protocol, RefuseReason,
    RouteOrigin, SchedulerKind, TunnelChecksum, TunnelKind, UnknownName,
};
pub use objects::{
    Backend, FlowPolicy, Forward, GATEWAYS_MAX, Gateway, LocalAddress, LocalAddressKey, MssClamp, Neighbor,
    NeighborKey, Persistence, Route, Scheduler, Service, Tunnel, Vip,
};
pub use record::{RECORD_LEN, RECORD_WORDS, RawRecord};
pub use timeouts::{TIMEOUT_S_MAX, Timeouts};

/// One change to what the dataplane does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Adds a VIP or changes it.
    UpsertVip(Vip),
    /// Removes a VIP.
    DeleteVip(IpAddr),
    /// Adds a service or changes it; its backends stay.
    UpsertService(Service),
    /// Removes a service and its backends.
    DeleteService(ServiceKey),
    /// Adds a backend or changes it. The service must be there, or come earlier in the transaction.
    UpsertBackend(Backend),
    /// Removes a backend.
    DeleteBackend(ServiceKey, BackendKey),
    /// Adds a local address of FULLNAT or changes it.
    UpsertLocalAddress(LocalAddress),
    /// Removes a local address.
    DeleteLocalAddress(LocalAddressKey),
    /// Adds a route or changes it.
    UpsertRoute(Route),
    /// Removes a route.
    DeleteRoute(Prefix),
    /// Adds a static neighbour or changes it.
    UpsertNeighbor(Neighbor),
    /// Removes a static neighbour.
    DeleteNeighbor(NeighborKey),
    /// Sets the time-outs of services that have none of their own.
    Timeouts(Timeouts),
    /// Sends one gratuitous ARP or unsolicited NA for a VIP once the transaction is in force.
    Announce(IpAddr),
}

/// One record of the command ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The transaction it belongs to.
    pub generation: u64,
    /// Its place in it, 0 for Begin.
    pub index: u32,
    /// What it says.
    pub record: Record,
}

/// What a record of the command ring says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A transaction starts; one that was not committed is dropped.
    Begin {
        /// Replaces everything.
        full: bool,
    },
    /// A change.
    Command(Command),
    /// The transaction is complete.
    Commit {
        /// Commands between Begin and Commit.
        commands: u32,
    },
}
