//! Generic UDP encapsulation, variant 0 (draft-ietf-intarea-gue §3; Linux: `include/net/gue.h`).
//!
//! Variant 1, a bare IP packet in UDP, has no header of its own: its first four bits are those of the IP version, so
//! it is [`Error::BadVersion`] here and the payload of the datagram is the packet.

use crate::bytes::{Field, get_u16, put_u16};
use crate::{Error, IpProtocol, Result};

/// UDP destination port.
pub const UDP_PORT: u16 = 6080;
/// Length of a header without optional fields, in bytes.
pub const HEADER_LEN: usize = 4;

const CONTROL: u8 = 0x20;

mod field {
    use super::Field;

    pub(super) const VERSION_CONTROL_HLEN: usize = 0;
    pub(super) const PROTO_CTYPE: usize = 1;
    pub(super) const FLAGS: Field = 2..4;
}

/// View of a GUE packet, the payload of a UDP datagram.
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
        if data[field::VERSION_CONTROL_HLEN] >> 6 != 0 {
            return Err(Error::BadVersion);
        }
        let packet = Self { buffer };
        if packet.buffer.as_ref().len() < packet.header_len() {
            return Err(Error::Truncated);
        }
        Ok(packet)
    }

    /// Length of the header with its optional fields, in bytes.
    #[inline]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + 4 * usize::from(self.buffer.as_ref()[field::VERSION_CONTROL_HLEN] & 0x1f)
    }

    /// Whether it is a control message, not an encapsulated packet.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.buffer.as_ref()[field::VERSION_CONTROL_HLEN] & CONTROL != 0
    }

    /// Protocol of the payload; of a control message its type.
    #[inline]
    pub fn protocol(&self) -> IpProtocol {
        IpProtocol(self.buffer.as_ref()[field::PROTO_CTYPE])
    }

    /// Which optional fields there are.
    #[inline]
    pub fn flags(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::FLAGS)
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[self.header_len()..]
    }
}

/// A GUE data header without optional fields as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Protocol of the payload.
    pub protocol: IpProtocol,
}

impl Repr {
    /// Reads a checked view. A control message is [`Error::BadType`]; a flag, which would ask for something we do not
    /// do, is [`Error::BadField`].
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self> {
        if packet.is_control() {
            return Err(Error::BadType);
        }
        if packet.flags() != 0 {
            return Err(Error::BadField);
        }
        Ok(Self {
            protocol: packet.protocol(),
        })
    }

    /// Length of the header this emits.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        let data = packet.buffer.as_mut();
        data[field::VERSION_CONTROL_HLEN] = 0;
        data[field::PROTO_CTYPE] = self.protocol.0;
        put_u16(data, field::FLAGS, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_value_agree() {
        let bytes = [0x00, 0x04, 0x00, 0x00, 0x45];
        let packet = Packet::new_checked(bytes).unwrap();
        assert_eq!(
            Repr::parse(&packet),
            Ok(Repr {
                protocol: IpProtocol::IPV4
            })
        );
        assert_eq!(packet.payload(), [0x45]);
        let mut out = [0xff; HEADER_LEN];
        Repr {
            protocol: IpProtocol::IPV4,
        }
        .emit(&mut Packet::new_unchecked(&mut out));
        assert_eq!(out, bytes[..HEADER_LEN]);
    }

    #[test]
    fn optional_fields_are_passed_over_by_the_view() {
        let bytes = [0x02, 0x29, 0x80, 0x00, 1, 2, 3, 4, 5, 6, 7, 8, 0x60];
        let packet = Packet::new_checked(bytes).unwrap();
        assert_eq!((packet.header_len(), packet.protocol()), (12, IpProtocol::IPV6));
        assert_eq!(packet.payload(), [0x60]);
        assert_eq!(Repr::parse(&packet), Err(Error::BadField));
    }

    #[test]
    fn what_is_refused() {
        let rows: [(&[u8], Error); 4] = [
            (&[0x00, 0x04, 0x00], Error::Truncated),
            (&[0x01, 0x04, 0x00, 0x00, 0, 0, 0], Error::Truncated),
            (&[0x45, 0x00, 0x00, 0x14], Error::BadVersion),
            (&[0x80, 0x04, 0x00, 0x00], Error::BadVersion),
        ];
        for (bytes, error) in rows {
            assert_eq!(Packet::new_checked(bytes).err(), Some(error), "{bytes:02x?}");
        }
        let control = Packet::new_checked([0x20, 0x01, 0x00, 0x00]).unwrap();
        assert_eq!(Repr::parse(&control), Err(Error::BadType));
    }
}
