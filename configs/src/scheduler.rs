//! `scheduler` and `scheduler_flags` of a service: IPVS's names, and `maglev`.

use std::fmt;

use serde::Serialize;

/// How a backend is chosen for a new flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    Wlc,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Destination hashing.
    Dh,
    /// Source hashing.
    Sh,
    /// IPVS's Maglev hashing.
    Mh,
    /// Locality-based least connections.
    Lblc,
    /// Locality-based least connections with replication.
    Lblcr,
    /// Weighted failover.
    Fo,
    /// Weighted overflow.
    Ovf,
    /// Power of two random choices.
    Twos,
    /// Maglev hashing with a large table, weighted.
    Maglev,
}

impl Scheduler {
    /// Every scheduler.
    pub const ALL: [Self; 15] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Sed,
        Self::Nq,
        Self::Dh,
        Self::Sh,
        Self::Mh,
        Self::Lblc,
        Self::Lblcr,
        Self::Fo,
        Self::Ovf,
        Self::Twos,
        Self::Maglev,
    ];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Dh => "dh",
            Self::Sh => "sh",
            Self::Mh => "mh",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
            Self::Maglev => "maglev",
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A variation of a hashing scheduler, under ipvsadm's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulerFlag {
    /// `sh`: hash the client's port too.
    ShPort,
    /// `sh`: take another backend when the one of the hash cannot be used.
    ShFallback,
    /// `mh`: hash the client's port too.
    MhPort,
    /// `mh`: take another backend when the one of the hash cannot be used.
    MhFallback,
}

impl SchedulerFlag {
    /// Every flag.
    pub const ALL: [Self; 4] = [Self::ShPort, Self::ShFallback, Self::MhPort, Self::MhFallback];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ShPort => "sh-port",
            Self::ShFallback => "sh-fallback",
            Self::MhPort => "mh-port",
            Self::MhFallback => "mh-fallback",
        }
    }

    pub(crate) fn fits(self, scheduler: Scheduler) -> bool {
        match self {
            Self::ShPort | Self::ShFallback => scheduler == Scheduler::Sh,
            Self::MhPort | Self::MhFallback => scheduler == Scheduler::Mh,
        }
    }
}
