//! 802.1Q VLAN tags: the four bytes after an EtherType of 0x8100 or 0x88a8.

use crate::bytes::{Field, get_u16, put_u16};
use crate::{Error, EtherType, Result};

/// Length of one tag, in bytes: tag control information and the EtherType that follows it.
pub const HEADER_LEN: usize = field::PAYLOAD;
/// Largest VLAN identifier that may be configured; 4095 is reserved.
pub const VID_MAX: u16 = 4094;

mod field {
    use super::Field;

    pub(super) const TCI: Field = 0..2;
    pub(super) const ETHERTYPE: Field = 2..4;
    pub(super) const PAYLOAD: usize = 4;
}

/// View of a tag and what follows it; the buffer starts just after the tag protocol identifier.
#[derive(Debug, Clone, Copy)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view without the length check: accessors panic on a buffer shorter than [`HEADER_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view of a buffer long enough for the tag.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self> {
        if buffer.as_ref().len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        Ok(Self { buffer })
    }

    /// Tag control information: priority (3 bits), drop eligible (1), VLAN identifier (12).
    #[inline]
    pub fn tci(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::TCI)
    }

    /// VLAN identifier; 0 means "priority only, no VLAN".
    #[inline]
    pub fn vid(&self) -> u16 {
        self.tci() & 0x0fff
    }

    /// Priority code point, 0 to 7.
    #[inline]
    pub fn priority(&self) -> u8 {
        (self.tci() >> 13) as u8
    }

    /// Whether the frame may be dropped first under congestion.
    #[inline]
    pub fn drop_eligible(&self) -> bool {
        self.tci() & 0x1000 != 0
    }

    /// Protocol of the payload.
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(get_u16(self.buffer.as_ref(), field::ETHERTYPE))
    }

    /// Everything after the tag.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[field::PAYLOAD..]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the tag control information.
    #[inline]
    pub fn set_tci(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::TCI, value);
    }

    /// Sets the VLAN identifier, keeping priority and drop eligibility.
    #[inline]
    pub fn set_vid(&mut self, vid: u16) {
        let tci = (self.tci() & 0xf000) | (vid & 0x0fff);
        self.set_tci(tci);
    }

    /// Sets the protocol of the payload.
    #[inline]
    pub fn set_ethertype(&mut self, value: EtherType) {
        put_u16(self.buffer.as_mut(), field::ETHERTYPE, value.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_a_tag() {
        let mut bytes = [0xb0, 0x64, 0x08, 0x00, 0x45];
        let tag = Packet::new_checked(&bytes).unwrap();
        assert_eq!((tag.priority(), tag.drop_eligible(), tag.vid()), (5, true, 100));
        assert_eq!(tag.ethertype(), EtherType::IPV4);
        assert_eq!(tag.payload(), [0x45]);

        let mut tag = Packet::new_unchecked(&mut bytes);
        tag.set_vid(0xffff);
        assert_eq!(
            (tag.priority(), tag.drop_eligible(), tag.vid()),
            (5, true, 0x0fff)
        );
        tag.set_tci(7);
        tag.set_ethertype(EtherType::IPV6);
        assert_eq!(bytes, [0, 7, 0x86, 0xdd, 0x45]);
    }

    #[test]
    fn a_short_buffer_is_truncated() {
        assert_eq!(Packet::new_checked([0u8; 3]).err(), Some(Error::Truncated));
    }
}
