//! VRRP advertisements: version 2 (RFC 3768 §5) for IPv4, version 3 (RFC 9568 §5) for both families, and what
//! keepalived puts around them: an IPsec authentication header in front ([`ah`], RFC 2402) or an HMAC trailer
//! behind ([`hmac`]).
//!
//! [`Packet`] is the view of what follows the IP header (and the authentication header, if any). Its door checks
//! version, type and length against the count of addresses; checksums need addresses of the IP header and have
//! methods of their own. Intervals keep their wire units, whole seconds or centiseconds, in [`Interval`], and leave
//! it only as a `Duration`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use crate::bytes::{Field, get_u16, put_bytes, put_u16};
use crate::checksum::{Sum, pseudo};
use crate::{Error, IpProtocol, MacAddr, Result};

pub mod ah;
pub mod hmac;

/// Length of the fixed header, in bytes.
pub const HEADER_LEN: usize = 8;
/// Length of the authentication data that ends a version 2 packet, in bytes.
pub const AUTH_LEN: usize = 8;
/// TTL or hop limit of every advertisement: one that came over a router has less.
pub const TTL: u8 = 255;
/// The group IPv4 advertisements are sent to.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// The group IPv6 advertisements are sent to.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The priority of the router that owns the addresses.
pub const PRIORITY_OWNER: u8 = 255;
/// The priority by which the active router says that it stops.
pub const PRIORITY_STOP: u8 = 0;

const TYPE_ADVERTISEMENT: u8 = 1;
const INTERVAL_MASK: u16 = 0x0fff;

mod field {
    use super::Field;

    pub(super) const VERSION_TYPE: usize = 0;
    pub(super) const VRID: usize = 1;
    pub(super) const PRIORITY: usize = 2;
    pub(super) const COUNT: usize = 3;
    /// Version 2 only.
    pub(super) const AUTH_TYPE: usize = 4;
    /// Version 2 only.
    pub(super) const ADVER_INT: usize = 5;
    /// Version 3 only: four reserved bits, then the interval.
    pub(super) const MAX_ADVERTISE_INTERVAL: Field = 4..6;
    pub(super) const CHECKSUM: Field = 6..8;
    pub(super) const ADDRESSES: usize = 8;
}

/// The address family of a virtual router; it is not in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `address`.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Length of an address, in bytes.
    pub const fn address_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// The group its advertisements are sent to.
    pub const fn group(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(GROUP_V4),
            Self::V6 => IpAddr::V6(GROUP_V6),
        }
    }

    /// The virtual router MAC address (RFC 9568 §7.3).
    pub const fn virtual_mac(self, vrid: u8) -> MacAddr {
        let family = match self {
            Self::V4 => 1,
            Self::V6 => 2,
        };
        MacAddr([0, 0, 0x5e, 0, family, vrid])
    }
}

/// The protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 3768, IPv4 only.
    V2,
    /// RFC 9568 (and RFC 5798 before it).
    V3,
}

impl Version {
    /// The number in the packet.
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// An advertisement interval in the units of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interval {
    /// Version 2: whole seconds.
    Seconds(u8),
    /// Version 3: hundredths of a second, 12 bits.
    CentiSecs(u16),
}

impl Interval {
    /// `duration` in the units of `version`; `None` if it is zero, too long, or not a whole number of units.
    pub const fn from_duration(version: Version, duration: Duration) -> Option<Self> {
        let (unit_nanos, max) = match version {
            Version::V2 => (1_000_000_000, 255),
            Version::V3 => (10_000_000, INTERVAL_MASK as u128),
        };
        let nanos = duration.as_nanos();
        let units = nanos / unit_nanos;
        if !nanos.is_multiple_of(unit_nanos) || units == 0 || units > max {
            return None;
        }
        Some(match version {
            Version::V2 => Self::Seconds(units as u8),
            Version::V3 => Self::CentiSecs(units as u16),
        })
    }

    /// The interval as a length of time.
    pub const fn duration(self) -> Duration {
        match self {
            Self::Seconds(seconds) => Duration::from_secs(seconds as u64),
            Self::CentiSecs(centis) => Duration::from_millis(centis as u64 * 10),
        }
    }
}

/// How a version 3 checksum over IPv4 is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ChecksumV3 {
    /// With the pseudo header (RFC 9568 §5.2.8).
    #[default]
    PseudoHeader,
    /// Over the packet alone, as in version 2: what some older routers do (keepalived: `v3_checksum_as_v2`).
    AsV2,
}

/// View of an advertisement.
#[derive(Debug, Clone, Copy)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
    family: Family,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view without checks: accessors panic on a buffer shorter than header and count promise.
    pub const fn new_unchecked(buffer: T, family: Family) -> Self {
        Self { buffer, family }
    }

    /// A view of one whole advertisement, without padding: a trailer is the only thing that may follow the body.
    pub fn new_checked(buffer: T, family: Family) -> Result<Self> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        match (data[field::VERSION_TYPE] >> 4, family) {
            (3, Family::V4 | Family::V6) | (2, Family::V4) => {}
            _ => return Err(Error::BadVersion),
        }
        if data[field::VERSION_TYPE] & 0x0f != TYPE_ADVERTISEMENT {
            return Err(Error::BadType);
        }
        let len = data.len();
        let packet = Self { buffer, family };
        let body_len = packet.body_len();
        if len < body_len {
            Err(Error::Truncated)
        } else if len == body_len || len == body_len + hmac::TRAILER_LEN {
            Ok(packet)
        } else {
            Err(Error::BadTotalLength)
        }
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        match self.buffer.as_ref()[field::VERSION_TYPE] >> 4 {
            2 => Version::V2,
            _ => Version::V3,
        }
    }

    /// Virtual router identifier.
    pub fn vrid(&self) -> u8 {
        self.buffer.as_ref()[field::VRID]
    }

    /// Priority of the sender; [`PRIORITY_STOP`] when it stops.
    pub fn priority(&self) -> u8 {
        self.buffer.as_ref()[field::PRIORITY]
    }

    /// How many addresses it lists.
    pub fn count(&self) -> u8 {
        self.buffer.as_ref()[field::COUNT]
    }

    /// Authentication type of a version 2 packet: 0 none, 1 password, 2 authentication header.
    pub fn auth_type(&self) -> u8 {
        self.buffer.as_ref()[field::AUTH_TYPE]
    }

    /// The advertisement interval.
    pub fn interval(&self) -> Interval {
        let data = self.buffer.as_ref();
        match self.version() {
            Version::V2 => Interval::Seconds(data[field::ADVER_INT]),
            Version::V3 => Interval::CentiSecs(get_u16(data, field::MAX_ADVERTISE_INTERVAL) & INTERVAL_MASK),
        }
    }

    /// The checksum field.
    pub fn checksum(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// The addresses it lists, in order.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = IpAddr> {
        let len = self.family.address_len();
        let end = field::ADDRESSES + usize::from(self.count()) * len;
        self.buffer.as_ref()[field::ADDRESSES..end]
            .chunks_exact(len)
            .map(|bytes| match <[u8; 4]>::try_from(bytes) {
                Ok(v4) => IpAddr::from(v4),
                Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).unwrap_or_default()),
            })
    }

    /// The authentication data of a version 2 packet: the password, padded with zeros.
    pub fn auth_data(&self) -> Option<[u8; AUTH_LEN]> {
        let end = self.body_len();
        match self.version() {
            Version::V2 => self.buffer.as_ref()[end - AUTH_LEN..end].try_into().ok(),
            Version::V3 => None,
        }
    }

    /// Length of the advertisement without trailer, in bytes.
    pub fn body_len(&self) -> usize {
        let addresses = usize::from(self.count()) * self.family.address_len();
        let auth = match self.version() {
            Version::V2 => AUTH_LEN,
            Version::V3 => 0,
        };
        HEADER_LEN + addresses + auth
    }

    /// The trailer behind the advertisement, if there is one.
    pub fn trailer(&self) -> Option<hmac::Trailer> {
        hmac::Trailer::parse(&self.buffer.as_ref()[self.body_len()..])
    }

    /// The bytes the checksum covers. Over IPv6 it is the kernel that sums, trailer and all.
    fn summed(&self) -> &[u8] {
        let data = self.buffer.as_ref();
        match self.family {
            Family::V4 => &data[..self.body_len()],
            Family::V6 => data,
        }
    }

    /// The sum over the advertisement, and over the pseudo header where there is one.
    fn sum(&self, src: IpAddr, dst: IpAddr, kind: ChecksumV3) -> Option<Sum> {
        let bytes = self.summed();
        let head = match (self.version(), self.family, kind) {
            (Version::V2, Family::V4 | Family::V6, _) | (Version::V3, Family::V4, ChecksumV3::AsV2) => {
                Sum::new()
            }
            (Version::V3, Family::V4, ChecksumV3::PseudoHeader) | (Version::V3, Family::V6, _) => {
                pseudo(src, dst, IpProtocol::VRRP, u32::try_from(bytes.len()).ok()?)?
            }
        };
        Some(head.bytes(bytes))
    }

    /// Whether the checksum adds up for a packet from `src` to `dst`.
    pub fn checksum_is_valid(&self, src: IpAddr, dst: IpAddr, kind: ChecksumV3) -> bool {
        self.sum(src, dst, kind).is_some_and(Sum::is_valid)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Fills in the checksum for a packet from `src` to `dst`. Over IPv6 the trailer must be in place.
    pub fn fill_checksum(&mut self, src: IpAddr, dst: IpAddr, kind: ChecksumV3) {
        put_u16(self.buffer.as_mut(), field::CHECKSUM, 0);
        let checksum = self.sum(src, dst, kind).map_or(0, Sum::finish);
        put_u16(self.buffer.as_mut(), field::CHECKSUM, checksum);
    }
}

/// The authentication of a version 2 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Auth {
    /// None.
    None,
    /// A password in clear, padded with zeros.
    Password([u8; AUTH_LEN]),
    /// An [authentication header](ah) stands in front of the packet.
    Header,
}

impl Auth {
    const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Password(_) => 1,
            Self::Header => 2,
        }
    }
}

/// An advertisement to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr<'a> {
    /// Virtual router identifier.
    pub vrid: u8,
    /// Priority, or [`PRIORITY_STOP`].
    pub priority: u8,
    /// The interval; its unit says which version this is.
    pub interval: Interval,
    /// Version 2 only.
    pub auth: Auth,
    /// All of one family, at most 255.
    pub addresses: &'a [IpAddr],
    /// Their family.
    pub family: Family,
}

impl Repr<'_> {
    /// The protocol version.
    pub const fn version(&self) -> Version {
        match self.interval {
            Interval::Seconds(_) => Version::V2,
            Interval::CentiSecs(_) => Version::V3,
        }
    }

    /// Length of the packet this emits, without trailer.
    pub const fn buffer_len(&self) -> usize {
        let auth = match self.version() {
            Version::V2 => AUTH_LEN,
            Version::V3 => 0,
        };
        HEADER_LEN + self.addresses.len() * self.family.address_len() + auth
    }

    /// Writes the packet to a buffer of [`buffer_len`](Self::buffer_len) bytes or more; the checksum is left zero.
    /// More than 255 addresses, or one of the other family, are [`Error::BadField`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<()> {
        let len = self.buffer_len();
        if buffer.len() < len {
            return Err(Error::Truncated);
        }
        let count = u8::try_from(self.addresses.len()).map_err(|_| Error::BadField)?;
        buffer[..len].fill(0);
        buffer[field::VERSION_TYPE] = self.version().number() << 4 | TYPE_ADVERTISEMENT;
        buffer[field::VRID] = self.vrid;
        buffer[field::PRIORITY] = self.priority;
        buffer[field::COUNT] = count;
        match self.interval {
            Interval::Seconds(seconds) => {
                buffer[field::AUTH_TYPE] = self.auth.number();
                buffer[field::ADVER_INT] = seconds;
            }
            Interval::CentiSecs(centis) => {
                put_u16(buffer, field::MAX_ADVERTISE_INTERVAL, centis & INTERVAL_MASK);
            }
        }
        if let (Version::V2, Auth::Password(password)) = (self.version(), self.auth) {
            put_bytes(buffer, len - AUTH_LEN..len, &password);
        }
        self.emit_addresses(&mut buffer[field::ADDRESSES..])
    }

    fn emit_addresses(&self, buffer: &mut [u8]) -> Result<()> {
        let slots = buffer.chunks_exact_mut(self.family.address_len());
        for (slot, address) in slots.zip(self.addresses) {
            match (self.family, address) {
                (Family::V4, IpAddr::V4(address)) => slot.copy_from_slice(&address.octets()),
                (Family::V6, IpAddr::V6(address)) => slot.copy_from_slice(&address.octets()),
                (Family::V4, IpAddr::V6(_)) | (Family::V6, IpAddr::V4(_)) => return Err(Error::BadField),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
