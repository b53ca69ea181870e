//! Enumerations both processes share, each with its code in a record and its name in a file or on a screen.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A name that is none of an enumeration's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{given}` is no {what}; write one of: {expected}")]
pub struct UnknownName {
    /// What was being named.
    pub what: &'static str,
    /// The name as given.
    pub given: String,
    /// Every name there is.
    pub expected: String,
}

/// Declares an enumeration with a one-byte code and a lower-case name a variant.
macro_rules! coded_enum {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$vmeta:meta])* $variant:ident = $code:literal $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant = $code,)+
        }

        impl $name {
            /// Every value, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The byte that stands for it in a record.
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The value a byte stands for, if any.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The name in files and on screens.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;

            fn from_str(given: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|v| v.name() == given).ok_or_else(|| UnknownName {
                    what: $what,
                    given: given.to_owned(),
                    expected: Self::ALL.iter().map(|v| v.name()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

coded_enum! {
    /// Transport protocol of a service; the code is the IP protocol number.
    Protocol, "protocol" {
        /// TCP.
        Tcp = 6 "tcp",
        /// UDP.
        Udp = 17 "udp",
    }
}

coded_enum! {
    /// How a packet reaches its backend. The parameters of a tunnel are in [`Forward`](super::Forward).
    ForwardMode, "forward mode" {
        /// Direct routing: only the destination MAC changes.
        Dr = 1 "dr",
        /// The packet is put into an outer IP packet.
        Tunnel = 2 "tunnel",
        /// Destination NAT; the backend sees the client's address.
        Nat = 3 "nat",
        /// Source and destination NAT; the backend sees a local address.
        FullNat = 4 "fullnat",
    }
}

coded_enum! {
    /// Which encapsulation a tunnel uses.
    TunnelKind, "tunnel kind" {
        /// IPIP, IP6IP6, 4in6 or 6in4, as the two families say.
        Ipip = 1 "ipip",
        /// GRE (RFC 2784).
        Gre = 2 "gre",
        /// Generic UDP encapsulation, version 0, as Linux `fou ... gue`.
        Gue = 3 "gue",
        /// VXLAN (RFC 7348).
        Vxlan = 4 "vxlan",
    }
}

coded_enum! {
    /// Outer checksum of GRE and GUE, as ipvsadm's `--tun-nocsum`, `--tun-csum`, `--tun-remcsum`.
    TunnelChecksum, "tunnel checksum" {
        /// None.
        None = 0 "none",
        /// A full checksum.
        Full = 1 "full",
        /// Remote checksum offload (GUE only).
        Remote = 2 "remote",
    }
}

coded_enum! {
    /// Scheduling algorithm, under IPVS's names.
    SchedulerKind, "scheduler" {
        /// Round robin.
        Rr = 1 "rr",
        /// Weighted round robin.
        Wrr = 2 "wrr",
        /// Least connections.
        Lc = 3 "lc",
        /// Weighted least connections.
        Wlc = 4 "wlc",
        /// Shortest expected delay.
        Sed = 5 "sed",
        /// Never queue.
        Nq = 6 "nq",
        /// Destination hashing.
        Dh = 7 "dh",
        /// Source hashing.
        Sh = 8 "sh",
        /// IPVS's Maglev hashing.
        Mh = 9 "mh",
        /// Locality-based least connections.
        Lblc = 10 "lblc",
        /// Locality-based least connections with replication.
        Lblcr = 11 "lblcr",
        /// Weighted failover.
        Fo = 12 "fo",
        /// Weighted overflow.
        Ovf = 13 "ovf",
        /// Power of two choices.
        Twos = 14 "twos",
        /// Maglev hashing with the large tables of the paper.
        Maglev = 15 "maglev",
    }
}

coded_enum! {
    /// Size of a `maglev` table.
    MaglevSize, "maglev table size" {
        /// 65537 slots.
        Small = 0 "65537",
        /// 655373 slots.
        Large = 1 "655373",
    }
}

impl MaglevSize {
    /// Number of slots, a prime.
    pub const fn slots(self) -> u32 {
        match self {
            Self::Small => 65_537,
            Self::Large => 655_373,
        }
    }
}

coded_enum! {
    /// What a client hears when a service has no server.
    NoServerReply, "no-server reply" {
        /// Nothing.
        Drop = 0 "drop",
        /// A TCP reset, or an ICMP port unreachable.
        Reject = 1 "reject",
    }
}

coded_enum! {
    /// IPVS's `conn_reuse_mode`.
    ConnReuse, "connection reuse mode" {
        /// No special care.
        Off = 0 "off",
        /// A SYN that hits an entry in TIME_WAIT is scheduled anew.
        TimeWait = 1 "time-wait",
        /// As `time-wait`, and FIN_WAIT too, the last state DR and tunnel see.
        FinWait = 2 "fin-wait",
    }
}

coded_enum! {
    /// State of a neighbour as told to control (RFC 4861 §7.3.2).
    NeighborState, "neighbour state" {
        /// Being resolved.
        Incomplete = 1 "incomplete",
        /// Confirmed lately.
        Reachable = 2 "reachable",
        /// Not confirmed lately.
        Stale = 3 "stale",
        /// Used while stale; a probe follows.
        Delay = 4 "delay",
        /// Being probed.
        Probe = 5 "probe",
        /// Did not answer.
        Failed = 6 "failed",
        /// Set by the operator.
        Static = 7 "static",
    }
}

coded_enum! {
    /// Where a route comes from.
    RouteOrigin, "route origin" {
        /// The addresses of a port.
        Connected = 1 "connected",
        /// The configuration.
        Static = 2 "static",
    }
}

coded_enum! {
    /// What traffic shows about a backend (DPVS's dest-check).
    PassiveSign, "passive sign" {
        /// Connections stay unanswered or are reset at once.
        Down = 0 "down",
        /// Connections are established.
        Up = 1 "up",
    }
}

coded_enum! {
    /// Why a transaction was refused.
    RefuseReason, "refusal" {
        /// A record does not decode; the detail says which field.
        BadRecord = 1 "bad-record",
        /// A record outside Begin..Commit.
        OutsideTransaction = 2 "outside-transaction",
        /// A record's generation or index is not the one that was due.
        OutOfOrder = 3 "out-of-order",
        /// Commit counts other records than came.
        WrongCount = 4 "wrong-count",
        /// More records than the dataplane takes in one transaction.
        TooManyRecords = 5 "too-many-records",
        /// The generation is not above the last one, or too far above.
        BadGeneration = 6 "bad-generation",
        /// The first transaction of a session must be a full one.
        FirstNotFull = 7 "first-not-full",
        /// Names a VIP that is not there.
        UnknownVip = 8 "unknown-vip",
        /// Names a service that is not there.
        UnknownService = 9 "unknown-service",
        /// Names a backend that is not there.
        UnknownBackend = 10 "unknown-backend",
        /// Names a port that is not there.
        UnknownPort = 11 "unknown-port",
        /// Names something else that is not there.
        UnknownObject = 12 "unknown-object",
        /// A table is full; the detail says which, and what sets its size.
        TableFull = 13 "table-full",
        /// Valid, but not with what else is there.
        Conflict = 14 "conflict",
        /// This build or this device cannot do it.
        Unsupported = 15 "unsupported",
    }
}
