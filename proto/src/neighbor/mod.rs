//! Which MAC address has a neighbour? The machine of RFC 4861 §7.3 and its Appendix C, for ND and for ARP alike.
//! Read those two and RFC 826 and RFC 5227 §2.4 before editing; `entry.rs` is the table, `cache.rs` the set of entries,
//! `cache/receive.rs` what packets mean.
//!
//! Neighbours are keyed by port and address ([`Key`]). The driver feeds [`Input`]s, calls
//! [`handle_timeout`](Cache::handle_timeout) when [`poll_timeout`](Cache::poll_timeout) says so, and after each of
//! them drains [`poll_action`](Cache::poll_action). `frame.rs` turns actions to bytes and bytes to inputs.
//!
//! Where we knowingly leave the RFC:
//! - **Pinned** neighbours, those that backends and gateways depend on, are probed all the time ([`PinConfig`]) instead
//!   of lying STALE until traffic finds out: the traffic is in other cores' hands and nobody here would notice. A
//!   server that changes its MAC address silently is followed within [`PinConfig::follow_time`], 1.5 s by default.
//!   Unicast probes without answer are followed by multicast ones, because the old MAC address may be gone for good.
//! - **FAILED** is a state here, as in Linux, and not the absence of an entry (§7.3.3): it is the negative cache, and
//!   for a pinned neighbour the place where asking goes on, slowly.
//! - **ARP** has no flags. A reply we asked for counts as a solicited advertisement with override; one we did not ask
//!   for and gratuitous packets count as unsolicited ones with override; a request counts as a solicitation.

use core::net::{IpAddr, Ipv6Addr};

use weir_wire::{MacAddr, arp, ndp};

use crate::time::{Duration, Instant};

mod cache;
mod entry;
pub mod frame;
mod jitter;

pub use cache::Cache;
pub use entry::State;

/// A neighbour: the same address behind two ports is two neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The port it is behind.
    pub port: u16,
    /// Its address.
    pub ip: IpAddr,
}

/// What the driver tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A packet is to be sent to it. Repeat it while there is traffic: it is what moves STALE to DELAY.
    Wanted(Key),
    /// A backend or gateway depends on it: resolve it now, keep it fresh, never evict it.
    Pin(Key),
    /// Nothing depends on it any more.
    Unpin(Key),
    /// An administrator fixed its MAC address.
    Static {
        /// The neighbour.
        key: Key,
        /// Its MAC address.
        mac: MacAddr,
    },
    /// An administrator wants it gone; what is pinned is resolved anew.
    Forget(Key),
    /// We hold this address with this MAC address; others who claim it are conflicts.
    Own {
        /// Our address.
        key: Key,
        /// The MAC address we answer with.
        mac: MacAddr,
    },
    /// We no longer hold this address.
    Disown(Key),
    /// An ARP packet was received.
    Arp {
        /// On this port.
        port: u16,
        /// The packet.
        packet: arp::Repr,
    },
    /// A neighbour discovery message was received; it has passed [`ndp::Repr::parse`].
    Nd {
        /// On this port.
        port: u16,
        /// From this address.
        src_addr: Ipv6Addr,
        /// The message.
        message: ndp::Repr,
    },
    /// Packets it sent show that what we send arrives ("forward progress", §7.3.1).
    Confirmed(Key),
    /// The port lost its link.
    LinkDown {
        /// The port.
        port: u16,
    },
    /// The port has a link again.
    LinkUp {
        /// The port.
        port: u16,
    },
}

/// What the machine asks of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send an ARP request or a neighbour solicitation.
    Solicit {
        /// For this neighbour.
        key: Key,
        /// To this station only; `None` is to all (broadcast, solicited-node multicast).
        unicast_to: Option<MacAddr>,
    },
    /// It is at this MAC address from now on: rewrite the egress record, send what waits.
    Update {
        /// The neighbour.
        key: Key,
        /// Its MAC address.
        mac: MacAddr,
    },
    /// It cannot be reached, or is known no longer: clear the egress record, drop what waits.
    Fail(Key),
    /// Somebody else claims an address of ours.
    Conflict {
        /// Our address.
        key: Key,
        /// The MAC address that claims it.
        mac: MacAddr,
    },
}

/// Why the machine wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// A solicitation has had no answer.
    Retransmit,
    /// A neighbour has not been confirmed for its reachable time.
    Reachable,
    /// Upper layers have had their time to confirm a neighbour (DELAY).
    Delay,
    /// Nobody has used a neighbour for long.
    Unused,
    /// A failed neighbour may be asked for again.
    Retry,
}

/// What is known about a neighbour when a packet waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Send it there.
    Found(MacAddr),
    /// Being resolved: hold the packet, if there is room.
    Wait,
    /// Asked in vain: drop the packet.
    Unreachable,
    /// Never asked: feed [`Input::Wanted`] and hold the packet.
    Unknown,
}

/// A neighbour as shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    /// Port and address.
    pub key: Key,
    /// Its MAC address, if known.
    pub mac: Option<MacAddr>,
    /// State of the machine.
    pub state: State,
    /// A backend or gateway depends on it.
    pub pinned: bool,
    /// An administrator fixed it.
    pub fixed: bool,
    /// It said it is a router.
    pub router: bool,
    /// When it was last confirmed reachable.
    pub confirmed_at: Option<Instant>,
}

/// Counts of what happened, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Solicitations to all.
    pub solicits_multicast: u64,
    /// Solicitations to one station.
    pub solicits_unicast: u64,
    /// MAC addresses learnt or changed.
    pub updates: u64,
    /// Neighbours that did not answer, or were dropped.
    pub failures: u64,
    /// Claims of our own addresses by others.
    pub conflicts: u64,
    /// Entries that made room for others.
    pub evictions: u64,
    /// Neighbours not entered for want of room.
    pub refused: u64,
    /// Packets that named an impossible MAC address.
    pub invalid: u64,
}

/// Timers and bounds. Defaults are the constants of RFC 4861 §10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Most neighbours held.
    pub entries_max: usize,
    /// Most neighbours being resolved at a time, pinned ones apart. With one solicitation per `retrans_timer` each,
    /// this is also the bound on solicitations per second when somebody makes us ask for addresses nobody has.
    pub incomplete_max: usize,
    /// Most addresses of our own.
    pub own_max: usize,
    /// Time between solicitations: RETRANS_TIMER.
    pub retrans_timer: Duration,
    /// Solicitations to all before giving up: MAX_MULTICAST_SOLICIT.
    pub multicast_solicits_max: u8,
    /// Solicitations to the known station before giving up: MAX_UNICAST_SOLICIT.
    pub unicast_solicits_max: u8,
    /// How long a confirmed neighbour is reachable, before a random factor of 0.5 to 1.5: REACHABLE_TIME.
    pub reachable_time: Duration,
    /// Time upper layers have to confirm a neighbour before it is probed: DELAY_FIRST_PROBE_TIME.
    pub delay_first_probe: Duration,
    /// How long an unused STALE neighbour is kept. The RFC leaves it open; Linux takes 60 s.
    pub stale_lifetime: Duration,
    /// How long a neighbour that did not answer is not asked again. Ours: the RFC has no negative cache.
    pub failed_hold: Duration,
    /// Least time between two solicitations for one neighbour, whatever happens. Ours: §7.2.2 asks for RETRANS_TIMER.
    pub solicit_interval_min: Duration,
    /// Timers of pinned neighbours. Ours.
    pub pin: PinConfig,
}

/// Timers of pinned neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinConfig {
    /// A reachable neighbour is probed after this time, less up to a quarter at random.
    pub probe_interval: Duration,
    /// Time between solicitations while there is no answer.
    pub retrans_timer: Duration,
    /// Solicitations to the known station before everybody is asked.
    pub unicast_solicits_max: u8,
    /// Solicitations to all before it has failed. The last known MAC address is used meanwhile.
    pub multicast_solicits_max: u8,
    /// Time between solicitations once it has failed, less up to a quarter at random.
    pub failed_interval: Duration,
}

impl PinConfig {
    /// Longest time until a silent change of MAC address is asked about with a multicast; the answer ends it.
    pub fn follow_time(&self) -> Duration {
        self.probe_interval + self.retrans_timer * u32::from(self.unicast_solicits_max)
    }
}

impl Default for PinConfig {
    fn default() -> Self {
        Self {
            probe_interval: Duration::from_secs(1),
            retrans_timer: Duration::from_millis(250),
            unicast_solicits_max: 2,
            multicast_solicits_max: 8,
            failed_interval: Duration::from_secs(1),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            entries_max: 8192,
            incomplete_max: 256,
            own_max: 16_384,
            retrans_timer: Duration::from_secs(1),
            multicast_solicits_max: 3,
            unicast_solicits_max: 3,
            reachable_time: Duration::from_secs(30),
            delay_first_probe: Duration::from_secs(5),
            stale_lifetime: Duration::from_secs(60),
            failed_hold: Duration::from_secs(3),
            solicit_interval_min: Duration::from_millis(250),
            pin: PinConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests;
