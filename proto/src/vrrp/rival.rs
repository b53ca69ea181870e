//! Are two routers active at once? A moment of it is part of every election; this tells when it lasts.
//!
//! What cannot be seen by adverts alone (each side deaf to the other) is seen by ARP: somebody else answers for our
//! addresses.

use core::net::IpAddr;

use weir_wire::MacAddr;

use crate::time::{Duration, Instant};

/// How a rival was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RivalEvidence {
    /// It keeps advertising although we are active and it must have heard us.
    Adverts {
        /// From this address.
        address: IpAddr,
        /// With this priority.
        priority: u8,
    },
    /// It claims an address of ours.
    Arp {
        /// The address.
        address: IpAddr,
        /// The station.
        mac: MacAddr,
    },
}

/// Another active router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rival {
    /// How we know.
    pub evidence: RivalEvidence,
    /// Since when.
    pub since: Instant,
}

impl core::fmt::Display for Rival {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.evidence {
            RivalEvidence::Adverts { address, priority } => write!(
                f,
                "{address} advertises priority {priority} while we are active: it does not hear us, check the path from here to there"
            ),
            RivalEvidence::Arp { address, mac } => write!(
                f,
                "{mac} claims {address} while we hold it: look for a second router or a server that answers ARP for it"
            ),
        }
    }
}

/// Watches for a rival while we are active.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    suspect: Option<(IpAddr, Instant)>,
    rival: Option<Rival>,
    seen_at: Instant,
}

impl Watch {
    pub(super) const fn rival(&self) -> Option<Rival> {
        self.rival
    }

    /// An advertisement we do not yield to. Two of them half an interval apart cannot both have been on their way
    /// when ours went out.
    pub(super) fn advert(
        &mut self,
        now: Instant,
        address: IpAddr,
        priority: u8,
        interval: Duration,
    ) -> Option<Rival> {
        self.seen_at = now;
        let first = match self.suspect {
            Some((suspect, first)) if suspect == address => first,
            Some(_) | None => {
                self.suspect = Some((address, now));
                return None;
            }
        };
        if self.rival.is_some() || now - first < interval / 2 {
            return None;
        }
        self.found(RivalEvidence::Adverts { address, priority }, first)
    }

    /// A claim to one of our addresses.
    pub(super) fn claimed(&mut self, now: Instant, address: IpAddr, mac: MacAddr) -> Option<Rival> {
        self.seen_at = now;
        if self.rival.is_some() {
            return None;
        }
        self.found(RivalEvidence::Arp { address, mac }, now)
    }

    const fn found(&mut self, evidence: RivalEvidence, since: Instant) -> Option<Rival> {
        self.rival = Some(Rival { evidence, since });
        self.rival
    }

    /// Whether the rival has been quiet for `silence`, and is forgotten now.
    pub(super) fn expire(&mut self, now: Instant, silence: Duration) -> bool {
        if now - self.seen_at < silence {
            return false;
        }
        self.clear()
    }

    /// Forgets everything; whether there was a rival.
    pub(super) fn clear(&mut self) -> bool {
        self.suspect = None;
        self.rival.take().is_some()
    }
}
