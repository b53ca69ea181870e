//! Natural keys: what names a thing in both processes. Slots and other numbers are the dataplane's own.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Protocol, RecordError};

/// A port of the dataplane, by its place in the hello's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortId(pub u16);

/// Highest port number a record may name; one above stands for "any".
pub const PORT_ID_MAX: u16 = u16::MAX - 1;

/// An 802.1Q VLAN id, 1 to 4094.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

impl VlanId {
    /// The id, if it is one a tag may carry.
    pub const fn new(id: u16) -> Option<Self> {
        if id >= 1 && id <= 4094 {
            Some(Self(id))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = String;

    fn try_from(id: u16) -> Result<Self, String> {
        Self::new(id).ok_or_else(|| format!("VLAN id {id} is not in 1 to 4094"))
    }
}

impl From<VlanId> for u16 {
    fn from(id: VlanId) -> Self {
        id.0
    }
}

/// An Ethernet address, in the order of the wire.
pub type Mac = [u8; 6];

/// Names a service. Port 0 means every port of the address.
///
/// There is no mark in it: what a firewall mark is used for with IPVS, one service over several
/// addresses and ports, is a [`Service::group`](super::Service::group) here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The VIP.
    pub address: IpAddr,
    /// Destination port, 0 for all.
    pub port: u16,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.protocol,
            SocketAddr::new(self.address, self.port)
        )
    }
}

/// Names a backend within its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BackendKey {
    /// The server's address.
    pub address: IpAddr,
    /// The server's port; 0 keeps the client's.
    pub port: u16,
}

impl fmt::Display for BackendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// An address prefix whose host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

impl Prefix {
    /// The prefix, if `len` fits the family and no host bit is set.
    pub fn new(address: IpAddr, len: u8) -> Result<Self, RecordError> {
        let prefix = Self { address, len };
        if len > address_bits(address) {
            return Err(RecordError::OutOfRange {
                field: "prefix length",
                value: len.into(),
            });
        }
        if prefix.masked() != address {
            return Err(RecordError::Inconsistent {
                what: "a prefix has bits set behind its length; clear them",
            });
        }
        Ok(prefix)
    }

    /// The prefix of `len` bits that holds `address`.
    pub fn containing(address: IpAddr, len: u8) -> Result<Self, RecordError> {
        if len > address_bits(address) {
            return Err(RecordError::OutOfRange {
                field: "prefix length",
                value: len.into(),
            });
        }
        let address = Self { address, len }.masked();
        Ok(Self { address, len })
    }

    /// First address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Number of leading bits that count.
    pub const fn len(self) -> u8 {
        self.len
    }

    /// True for a prefix of no bits, which holds every address of its family.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// True when `address` is inside.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self {
                address,
                len: self.len,
            }
            .masked()
                == self.address
    }

    fn masked(self) -> IpAddr {
        let len = u32::from(self.len);
        match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask))
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask))
            }
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl FromStr for Prefix {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        const SHAPE: RecordError = RecordError::Inconsistent {
            what: "a prefix is written address/length",
        };
        let (address, len) = text.split_once('/').ok_or(SHAPE)?;
        Self::new(
            address.parse().map_err(|_| SHAPE)?,
            len.parse().map_err(|_| SHAPE)?,
        )
    }
}

impl TryFrom<String> for Prefix {
    type Error = RecordError;

    fn try_from(text: String) -> Result<Self, RecordError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

/// Bits in an address of this family.
pub(crate) const fn address_bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
