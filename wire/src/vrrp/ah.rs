//! The authentication header (RFC 2402) that keepalived's `auth_type AH` puts between IP header and advertisement:
//! HMAC-MD5-96 (RFC 2403), the SPI is the source address, the sequence number is shared by all routers of the VRID.
//! No hash is computed here; [`immutable_header`] gives the IP header as the hash sees it.

use core::net::Ipv4Addr;

use crate::bytes::{Field, get_ipv4, get_u32, put_bytes, put_u32};
use crate::{Error, IpProtocol, Result};

/// Length of the header, in bytes.
pub const HEADER_LEN: usize = 24;
/// Length of the shortened HMAC, in bytes.
pub const HMAC_LEN: usize = 12;
/// Length of the IPv4 header the hash covers; keepalived sends no options.
pub const IP_HEADER_LEN: usize = 20;

/// Length of the header in 32-bit words, minus 2.
const PAYLOAD_LEN: u8 = 4;

mod field {
    use super::Field;

    pub(super) const NEXT_HEADER: usize = 0;
    pub(super) const PAYLOAD_LEN: usize = 1;
    pub(super) const RESERVED: Field = 2..4;
    pub(super) const SPI: Field = 4..8;
    pub(super) const SEQUENCE: Field = 8..12;
    pub(super) const HMAC: Field = 12..24;
}

/// An authentication header as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Security parameter index: the source address.
    pub spi: Ipv4Addr,
    /// Sequence number.
    pub sequence: u32,
    /// The shortened HMAC.
    pub hmac: [u8; HMAC_LEN],
}

impl Header {
    /// Reads the header; one that is not in front of VRRP is [`Error::BadField`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.get(..HEADER_LEN).ok_or(Error::Truncated)?;
        if bytes[field::NEXT_HEADER] != IpProtocol::VRRP.0 {
            return Err(Error::BadField);
        }
        if bytes[field::PAYLOAD_LEN] != PAYLOAD_LEN {
            return Err(Error::BadHeaderLength);
        }
        Ok(Self {
            spi: get_ipv4(bytes, field::SPI),
            sequence: get_u32(bytes, field::SEQUENCE),
            hmac: bytes[field::HMAC].try_into().map_err(|_| Error::Truncated)?,
        })
    }

    /// The header as bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[field::NEXT_HEADER] = IpProtocol::VRRP.0;
        bytes[field::PAYLOAD_LEN] = PAYLOAD_LEN;
        put_bytes(&mut bytes, field::RESERVED, &[0; 2]);
        put_bytes(&mut bytes, field::SPI, &self.spi.octets());
        put_u32(&mut bytes, field::SEQUENCE, self.sequence);
        put_bytes(&mut bytes, field::HMAC, &self.hmac);
        bytes
    }
}

/// The IPv4 header as the hash sees it: type of service, fragment word and checksum are zero, and for unicast the
/// TTL too, since routers on the way lower it.
pub const fn immutable_header(mut header: [u8; IP_HEADER_LEN], unicast: bool) -> [u8; IP_HEADER_LEN] {
    header[1] = 0;
    header[6] = 0;
    header[7] = 0;
    header[10] = 0;
    header[11] = 0;
    if unicast {
        header[8] = 0;
    }
    header
}
