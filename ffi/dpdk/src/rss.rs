//! Receive-side scaling: which header fields the device hashes, with which key, and which queue a hash means.

use core::ops::{BitAnd, BitOr};

use weir_dpdk_sys as c;

/// A set of hash functions (`RTE_ETH_RSS_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RssFunctions(pub u64);

impl RssFunctions {
    /// None.
    pub const NONE: Self = Self(0);
    /// Source and destination address of IPv4 and IPv6, fragments included.
    pub const IP: Self = Self(c::WEIR_RSS_IP);
    /// Addresses and ports of TCP.
    pub const TCP: Self = Self(c::WEIR_RSS_TCP);
    /// Addresses and ports of UDP.
    pub const UDP: Self = Self(c::WEIR_RSS_UDP);
    /// What a layer-4 load balancer wants.
    pub const LAYER4: Self = Self(c::WEIR_RSS_IP | c::WEIR_RSS_TCP | c::WEIR_RSS_UDP);

    /// Whether nothing is hashed.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in here.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitAnd for RssFunctions {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for RssFunctions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// RSS as wished for. What the device cannot do is left out and shows in [`RssState`].
#[derive(Debug, Clone)]
pub struct RssConfig {
    /// Hash functions wished for.
    pub functions: RssFunctions,
    /// Toeplitz key; the driver's own if absent or of a length the device does not take.
    pub key: Option<Vec<u8>>,
}

impl Default for RssConfig {
    fn default() -> Self {
        Self {
            functions: RssFunctions::LAYER4,
            key: None,
        }
    }
}

/// RSS as the device does it, read back after start. `None` means the driver does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RssState {
    /// Functions that were configured; empty where RSS is off or not offered.
    pub functions: RssFunctions,
    /// The key in use.
    pub key: Option<Vec<u8>>,
    /// Queue for each value of the low bits of the hash.
    pub reta: Option<Vec<u16>>,
    /// Whether received mbufs carry the hash.
    pub hash_delivered: bool,
}
