//! GRE version 0 (RFC 2784, key and sequence number RFC 2890).

use crate::bytes::{Field, get_u16, get_u32, put_u16, put_u32};
use crate::checksum::{Sum, checksum};
use crate::{Error, EtherType, Result};

/// Length of a header without optional fields, in bytes.
pub const HEADER_LEN: usize = 4;
/// Length of the longest header, in bytes.
pub const HEADER_LEN_MAX: usize = 16;

const CHECKSUM: u16 = 0x8000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const VERSION: u16 = 0x0007;
/// Bits a receiver must refuse (RFC 2784 §2.3): the routing fields of RFC 1701.
const MUST_BE_ZERO: u16 = 0x4c00;

mod field {
    use super::Field;

    pub(super) const FLAGS: Field = 0..2;
    pub(super) const PROTOCOL: Field = 2..4;
}

/// View of a GRE packet.
#[derive(Debug, Clone, Copy)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view without checks: accessors may panic.
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view of a buffer that holds the whole header.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let flags = get_u16(data, field::FLAGS);
        if flags & VERSION != 0 {
            return Err(Error::BadVersion);
        }
        if flags & MUST_BE_ZERO != 0 {
            return Err(Error::BadField);
        }
        let packet = Self { buffer };
        if packet.buffer.as_ref().len() < packet.header_len() {
            return Err(Error::Truncated);
        }
        Ok(packet)
    }

    #[inline]
    fn flags(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::FLAGS)
    }

    /// Where the optional field with `flag` is, if it is there. They come in the order checksum, key, sequence.
    #[inline]
    fn optional(&self, flag: u16) -> Option<Field> {
        let flags = self.flags();
        let before = (flags & !(flag - 1) & !flag & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize;
        let start = HEADER_LEN + 4 * before;
        (flags & flag != 0).then_some(start..start + 4)
    }

    /// Length of the header with its optional fields, in bytes.
    #[inline]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + 4 * (self.flags() & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize
    }

    /// Protocol of the payload.
    #[inline]
    pub fn protocol(&self) -> EtherType {
        EtherType(get_u16(self.buffer.as_ref(), field::PROTOCOL))
    }

    /// Whether there is a checksum field.
    #[inline]
    pub fn has_checksum(&self) -> bool {
        self.flags() & CHECKSUM != 0
    }

    /// Key.
    #[inline]
    pub fn key(&self) -> Option<u32> {
        self.optional(KEY)
            .map(|field| get_u32(self.buffer.as_ref(), field))
    }

    /// Sequence number.
    #[inline]
    pub fn sequence(&self) -> Option<u32> {
        self.optional(SEQUENCE)
            .map(|field| get_u32(self.buffer.as_ref(), field))
    }

    /// Whether the checksum over header and payload is right, or there is none.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        !self.has_checksum() || Sum::new().bytes(self.buffer.as_ref()).is_valid()
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[self.header_len()..]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Computes and sets the checksum over header and payload, if the header has the field.
    pub fn fill_checksum(&mut self) {
        if let Some(Field { start, end }) = self.optional(CHECKSUM) {
            put_u32(self.buffer.as_mut(), start..end, 0);
            let value = checksum(self.buffer.as_ref());
            put_u16(self.buffer.as_mut(), start..start + 2, value);
        }
    }
}

/// A GRE header as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Protocol of the payload.
    pub protocol: EtherType,
    /// Whether there is a checksum over header and payload.
    pub checksum: bool,
    /// Key.
    pub key: Option<u32>,
    /// Sequence number.
    pub sequence: Option<u32>,
}

impl Repr {
    /// Reads a checked view; a wrong checksum is [`Error::BadChecksum`].
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self> {
        if !packet.verify_checksum() {
            return Err(Error::BadChecksum);
        }
        Ok(Self {
            protocol: packet.protocol(),
            checksum: packet.has_checksum(),
            key: packet.key(),
            sequence: packet.sequence(),
        })
    }

    /// Length of the header this emits.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
            + 4 * (self.checksum as usize + self.key.is_some() as usize + self.sequence.is_some() as usize)
    }

    /// Writes the header, checksum 0; call [`Packet::fill_checksum`] once the payload is in place.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        let flags = flag(self.checksum, CHECKSUM)
            | flag(self.key.is_some(), KEY)
            | flag(self.sequence.is_some(), SEQUENCE);
        put_u16(packet.buffer.as_mut(), field::FLAGS, flags);
        put_u16(packet.buffer.as_mut(), field::PROTOCOL, self.protocol.0);
        let values = [(CHECKSUM, Some(0)), (KEY, self.key), (SEQUENCE, self.sequence)];
        for (flag, value) in values {
            if let (Some(field), Some(value)) = (packet.optional(flag), value) {
                put_u32(packet.buffer.as_mut(), field, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
