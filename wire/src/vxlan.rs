//! VXLAN (RFC 7348 §5): an Ethernet frame in UDP.

use crate::bytes::{Field, get_u32, put_u32};
use crate::{Error, Result};

/// UDP destination port.
pub const UDP_PORT: u16 = 4789;
/// Length of the header, in bytes.
pub const HEADER_LEN: usize = field::PAYLOAD;
/// Largest VXLAN network identifier.
pub const VNI_MAX: u32 = 0x00ff_ffff;

const VNI_VALID: u32 = 0x0800_0000;

mod field {
    use super::Field;

    pub(super) const FLAGS: Field = 0..4;
    pub(super) const VNI: Field = 4..8;
    pub(super) const PAYLOAD: usize = 8;
}

/// View of a VXLAN packet, the payload of a UDP datagram.
#[derive(Debug, Clone, Copy)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view without checks: accessors panic on a buffer shorter than [`HEADER_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view of a buffer that holds the whole header. Reserved bits are ignored, as the RFC asks; a header without
    /// a valid network identifier is [`Error::BadField`].
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        if get_u32(data, field::FLAGS) & VNI_VALID == 0 {
            return Err(Error::BadField);
        }
        Ok(Self { buffer })
    }

    /// VXLAN network identifier, 24 bits.
    #[inline]
    pub fn vni(&self) -> u32 {
        get_u32(self.buffer.as_ref(), field::VNI) >> 8
    }

    /// The Ethernet frame inside.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[field::PAYLOAD..]
    }
}

/// A VXLAN header as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// VXLAN network identifier, 24 bits.
    pub vni: u32,
}

impl Repr {
    /// Reads a checked view.
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Self {
        Self { vni: packet.vni() }
    }

    /// Length of the header this emits.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        put_u32(packet.buffer.as_mut(), field::FLAGS, VNI_VALID);
        put_u32(packet.buffer.as_mut(), field::VNI, (self.vni & VNI_MAX) << 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_value_agree() {
        let bytes = [0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0, 0xaa];
        let packet = Packet::new_checked(bytes).unwrap();
        assert_eq!(Repr::parse(&packet), Repr { vni: 0x12_3456 });
        assert_eq!(packet.payload(), [0xaa]);
        let mut out = [0xff; HEADER_LEN];
        Repr { vni: 0x12_3456 }.emit(&mut Packet::new_unchecked(&mut out));
        assert_eq!(out, bytes[..HEADER_LEN]);
    }

    #[test]
    fn reserved_bits_are_ignored_and_the_valid_bit_is_not() {
        assert_eq!(
            Packet::new_checked([0xff, 1, 2, 3, 0, 0, 7, 0xff]).unwrap().vni(),
            7
        );
        assert_eq!(
            Packet::new_checked([0xf7, 0, 0, 0, 0, 0, 7, 0]).err(),
            Some(Error::BadField)
        );
        assert_eq!(
            Packet::new_checked([0x08, 0, 0, 0, 0, 0, 7]).err(),
            Some(Error::Truncated)
        );
    }
}
