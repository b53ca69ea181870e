//! Why a packet goes no further.

use crate::egress::Link;
use crate::verdict::{DropReason, PuntReason, Verdict, WorkerId};

/// Why a packet goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Drop(DropReason),
    Punt(PuntReason),
    Steer(WorkerId),
    /// Another director knows the connection: the one behind this egress slot.
    Relay(u32),
}

impl From<DropReason> for Stop {
    fn from(reason: DropReason) -> Self {
        Self::Drop(reason)
    }
}

impl From<Stop> for Verdict {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Drop(reason) => Self::Drop(reason),
            Stop::Punt(reason) => Self::Punt(reason),
            Stop::Steer(worker) => Self::Steer(worker),
            // Who has the packet at hand relays it.
            Stop::Relay(_) => Self::Drop(DropReason::NoFlow),
        }
    }
}

/// Why a link cannot be used now.
pub(crate) fn check_link(link: &Link) -> Result<(), Stop> {
    if !link.present {
        Err(DropReason::ServerGone.into())
    } else if !link.routed {
        Err(DropReason::NoRoute.into())
    } else if !link.resolved {
        Err(Stop::Punt(PuntReason::NeighborWanted))
    } else {
        Ok(())
    }
}

/// A frame must carry the tag that is expected, or none. A tag of VLAN 0 only has a priority.
pub(crate) fn check_vlan(found: Option<u16>, expected: Option<u16>) -> Result<(), Stop> {
    if found.unwrap_or(0) == expected.unwrap_or(0) {
        Ok(())
    } else {
        Err(Stop::Drop(DropReason::OtherVlan))
    }
}
