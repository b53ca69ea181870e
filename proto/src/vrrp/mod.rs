//! Who holds the virtual addresses? VRRP, RFC 9568 (version 3) and RFC 3768 (version 2), and keepalived's ways with
//! both. Read RFC 9568 §6.4 before editing; `machine.rs` is that table.
//!
//! - [`Codec`]: bytes to [`Advert`], every bad one with a named [`Reject`]; and back. It holds what authentication must
//!   remember.
//! - [`Machine`]: the states. The driver feeds [`Input`]s, calls [`handle_timeout`](Machine::handle_timeout) when
//!   [`poll_timeout`](Machine::poll_timeout) says so, and after each of them drains
//!   [`poll_action`](Machine::poll_action), carrying actions out *in order*: the advertisement that takes the addresses
//!   goes out before the announcement that moves everybody's caches (keepalived ff6e13a1 says why).
//! - [`Tracking`]: what is tracked, summed up to a change of priority or a fault.
//! - [`Group`]: virtual routers that move together.
//!
//! **A driver that was stalled** (stopped, starved, suspended) must feed every advertisement it finds in its socket
//! before it calls `handle_timeout`. The machine does the rest, and this is beyond the RFC:
//! - a backup whose timer fires much too late has slept through advertisements that may be lost; it listens for one
//!   more interval and its skew before it takes over;
//! - an active router that has not advertised for its own Active_Down_Interval must suppose that another has taken
//!   over. It yields at once, without "I stop", and listens for an interval and its skew before it takes part again.
//!   The owner of the addresses (priority 255) asserts itself instead: it can have no backup above it.
//!
//! Also beyond the RFC: a **hand-over** ([`Input::HandOver`]). The active router says "I stop" but keeps the addresses
//! until another advertises, so that nothing is lost in the skew between them; then it stays backup until that one is
//! gone, even if its own priority is higher. And a **detector of two active routers** ([`Action::Rival`]).

use core::net::IpAddr;

use weir_wire::MacAddr;

use crate::time::{Duration, Instant};

pub mod auth;
mod codec;
mod config;
mod group;
mod machine;
mod rival;
mod stats;
mod timers;
mod tracking;
mod why;

pub use auth::UnixTime;
pub use codec::{Advert, Codec, Outgoing, Received, Reject};
pub use config::{
    ADDRESSES_MAX, Announcing, Auth, Config, Invalid, LowerPriority, OtherAddresses, Preempt, PriorityZero,
    Rules,
};
pub use group::{Group, GroupEvent, Order};
pub use machine::Machine;
pub use rival::{Rival, RivalEvidence};
pub use stats::Stats;
pub use timers::{Timer, active_down_interval, skew};
pub use tracking::{Tracked, Tracker, Tracking, WEIGHT_MAX};
pub use why::Why;

/// The states of RFC 9568 §6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not started, stopped, or at fault.
    Initialize,
    /// Listens for the active router.
    Backup,
    /// Holds the addresses.
    Active,
}

impl State {
    /// Lower-case name for people and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Backup => "backup",
            Self::Active => "active",
        }
    }
}

/// The router known to be active, ourselves apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its primary address.
    pub address: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// Its advertisement interval.
    pub interval: Duration,
    /// When its last advertisement was handled.
    pub heard_at: Instant,
}

/// What the driver tells the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The interface is ready: take part.
    Startup,
    /// Stop taking part; if active, say so.
    Shutdown,
    /// An advertisement that passed every check.
    Advert(Advert),
    /// One that did not.
    Rejected(Reject),
    /// A new configuration of the same virtual router: VRID, family and version are as before.
    Config(Box<Config>),
    /// What tracking sums up to now.
    Tracked(Tracked),
    /// Another station claimed one of our addresses by ARP or neighbour discovery.
    AddressClaimed {
        /// Our address.
        address: IpAddr,
        /// The station.
        mac: MacAddr,
    },
    /// Hand the addresses over to a backup, if one takes them.
    HandOver,
    /// Take part in elections again as configured, after a hand-over.
    Resume,
    /// The group has decided.
    Order(Order),
}

/// What the machine asks of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send an advertisement ([`Codec::write`]).
    SendAdvert {
        /// With this priority; 0 is "I stop".
        priority: u8,
    },
    /// Hold the addresses: answer for them and forward. Also given when they changed while active.
    Claim,
    /// Let them go.
    Release,
    /// Send gratuitous ARP or unsolicited neighbour advertisements for every address, this many times.
    Announce {
        /// How many of each.
        rounds: u8,
    },
    /// The state is another one.
    Became {
        /// The new state.
        state: State,
        /// Why.
        why: Why,
    },
    /// Another router is active too, or no longer is (`None`).
    Rival(Option<Rival>),
    /// A member of a group would, or would no longer, become active.
    Ready(bool),
    /// A lower priority was heard while active (keepalived's `notify_master_rx_lower_pri`).
    HeardLowerPriority,
}

/// A change of state, remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// From.
    pub from: State,
    /// To.
    pub to: State,
    /// Why.
    pub why: Why,
}

#[cfg(test)]
mod tests;
