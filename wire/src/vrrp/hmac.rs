//! The trailer by which keepalived 2.4 authenticates advertisements (`auth_hmac`), and the bytes its HMAC covers.
//! No hash is computed here.
//!
//! The HMAC-SHA256, cut to 16 bytes, is taken over a pseudo header (family, version, VRID, source address), then the
//! advertisement with its checksum read as zero, then the trailer with its HMAC read as zero. The IP header and the
//! destination are not covered, so copies to several unicast peers carry one and the same trailer.

use core::net::IpAddr;

use super::Version;
use crate::bytes::{Field, get_u16, get_u32, put_bytes, put_u16, put_u32};

/// Length of the trailer, in bytes.
pub const TRAILER_LEN: usize = 28;
/// Length of the shortened HMAC, in bytes.
pub const HMAC_LEN: usize = 16;
/// Length of the pseudo header, in bytes.
pub const PSEUDO_LEN: usize = 20;
/// Shortest key, in bytes.
pub const KEY_LEN_MIN: usize = 32;
/// Longest key, in bytes.
pub const KEY_LEN_MAX: usize = 64;
/// The only scheme there is: HMAC-SHA256 cut to 128 bits.
pub const SCHEME_SHA256: u8 = 1;

mod field {
    use super::Field;

    pub(super) const SCHEME: usize = 0;
    pub(super) const KEY_ID: usize = 1;
    pub(super) const RESERVED: Field = 2..4;
    pub(super) const SECONDS: Field = 4..8;
    pub(super) const FRACTION: Field = 8..10;
    pub(super) const COUNTER: Field = 10..12;
    pub(super) const HMAC: Field = 12..28;
}

/// A trailer as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trailer {
    /// Which scheme; see [`SCHEME_SHA256`].
    pub scheme: u8,
    /// Which key.
    pub key_id: u8,
    /// Zero; a trailer with another value is malformed.
    pub reserved: u16,
    /// Seconds since 1970 in the upper 32 bits, 2^-16 seconds in the next 16, a counter in the lowest 16.
    pub sequence: u64,
    /// The shortened HMAC.
    pub hmac: [u8; HMAC_LEN],
}

impl Trailer {
    /// Reads a trailer; `None` if `bytes` are not of its length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != TRAILER_LEN {
            return None;
        }
        let (seconds, fraction, counter) = (
            get_u32(bytes, field::SECONDS),
            get_u16(bytes, field::FRACTION),
            get_u16(bytes, field::COUNTER),
        );
        Some(Self {
            scheme: bytes[field::SCHEME],
            key_id: bytes[field::KEY_ID],
            reserved: get_u16(bytes, field::RESERVED),
            sequence: u64::from(seconds) << 32 | u64::from(fraction) << 16 | u64::from(counter),
            hmac: bytes[field::HMAC].try_into().ok()?,
        })
    }

    /// The trailer as bytes.
    pub fn to_bytes(&self) -> [u8; TRAILER_LEN] {
        let mut bytes = [0; TRAILER_LEN];
        bytes[field::SCHEME] = self.scheme;
        bytes[field::KEY_ID] = self.key_id;
        put_u16(&mut bytes, field::RESERVED, self.reserved);
        put_u32(&mut bytes, field::SECONDS, (self.sequence >> 32) as u32);
        put_u16(&mut bytes, field::FRACTION, (self.sequence >> 16) as u16);
        put_u16(&mut bytes, field::COUNTER, self.sequence as u16);
        put_bytes(&mut bytes, field::HMAC, &self.hmac);
        bytes
    }
}

/// The pseudo header the HMAC starts with.
pub fn pseudo_header(version: Version, vrid: u8, src: IpAddr) -> [u8; PSEUDO_LEN] {
    let mut bytes = [0; PSEUDO_LEN];
    bytes[1] = version.number();
    bytes[2] = vrid;
    match src {
        IpAddr::V4(src) => {
            bytes[0] = 4;
            put_bytes(&mut bytes, 4..8, &src.octets());
        }
        IpAddr::V6(src) => {
            bytes[0] = 6;
            put_bytes(&mut bytes, 4..20, &src.octets());
        }
    }
    bytes
}

/// The pieces the HMAC covers, in order, given the advertisement with its trailer (HMAC in place or not).
/// `None` if `packet` is too short to have a trailer.
pub fn signed_pieces(packet: &[u8]) -> Option<[&[u8]; 4]> {
    const ZERO: &[u8] = &[0; HMAC_LEN];
    let end = packet.len().checked_sub(HMAC_LEN)?;
    let head = packet.get(..super::field::CHECKSUM.start)?;
    let rest = packet.get(super::field::CHECKSUM.end..end)?;
    Some([head, &ZERO[..2], rest, ZERO])
}
