//! Why a state changed, as people read it.

use core::fmt;
use core::net::IpAddr;

use super::Peer;
use crate::time::Duration;

/// The reason of a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was started.
    Started,
    /// It was stopped.
    Stopped,
    /// It owns the addresses.
    Owner,
    /// No router was ever heard.
    NobodyActive,
    /// The active router has gone silent.
    Silence {
        /// The router.
        peer: Peer,
        /// For how long nothing was heard from it.
        silent_for: Duration,
    },
    /// The active router said that it stops.
    PeerStopped {
        /// The router.
        address: IpAddr,
    },
    /// The active router has a lower priority than ours.
    Preempted {
        /// The router.
        peer: Peer,
        /// Our priority.
        ours: u8,
    },
    /// A router of higher priority advertised.
    HigherPriority {
        /// The router.
        address: IpAddr,
        /// Its priority.
        priority: u8,
        /// Ours.
        ours: u8,
    },
    /// A router of our priority and a higher address advertised.
    HigherAddress {
        /// The router.
        address: IpAddr,
    },
    /// We were not running for longer than others wait.
    Stalled {
        /// For this long.
        stalled_for: Duration,
    },
    /// An operator handed over, and a backup took over.
    HandedOver {
        /// The router that took over.
        address: IpAddr,
    },
    /// Something that is tracked failed.
    Fault {
        /// What.
        what: String,
    },
    /// Nothing that is tracked fails any more.
    FaultCleared,
    /// The group moves.
    Group {
        /// Which member made it move.
        member: String,
    },
    /// The configuration made us the owner.
    Configured,
}

impl Why {
    /// Of a router that became active for this reason: the one that held the addresses until then, where it is known to
    /// live. One that says that it stops may only hand over, and its forwarding outlives it in any case for a moment; one
    /// that has gone silent is taken for dead.
    pub const fn living_predecessor(&self) -> Option<IpAddr> {
        match self {
            Self::PeerStopped { address } => Some(*address),
            Self::Preempted { peer, .. } => Some(peer.address),
            Self::Started
            | Self::Stopped
            | Self::Owner
            | Self::NobodyActive
            | Self::Silence { .. }
            | Self::HigherPriority { .. }
            | Self::HigherAddress { .. }
            | Self::Stalled { .. }
            | Self::HandedOver { .. }
            | Self::Fault { .. }
            | Self::FaultCleared
            | Self::Group { .. }
            | Self::Configured => None,
        }
    }
}

/// Seconds with as many digits as matter.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::Stopped => f.write_str("stopped"),
            Self::Owner => f.write_str("priority 255: it owns the addresses"),
            Self::NobodyActive => f.write_str("no active router was heard"),
            Self::Silence { peer, silent_for } => write!(
                f,
                "{} (priority {}) has been silent for {}",
                peer.address,
                peer.priority,
                Seconds(*silent_for)
            ),
            Self::PeerStopped { address } => write!(f, "{address} said that it stops"),
            Self::Preempted { peer, ours } => write!(
                f,
                "{} has priority {}, lower than our {ours}",
                peer.address, peer.priority
            ),
            Self::HigherPriority {
                address,
                priority,
                ours,
            } => write!(f, "{address} has priority {priority}, higher than our {ours}"),
            Self::HigherAddress { address } => {
                write!(f, "{address} has the same priority and the higher address")
            }
            Self::Stalled { stalled_for } => write!(
                f,
                "we did not run for {}, longer than backups wait",
                Seconds(*stalled_for)
            ),
            Self::HandedOver { address } => write!(f, "handed over to {address} as asked"),
            Self::Fault { what } => write!(f, "fault: {what}"),
            Self::FaultCleared => f.write_str("no fault any more"),
            Self::Group { member } => write!(f, "the group follows {member}"),
            Self::Configured => f.write_str("the configuration changed"),
        }
    }
}
