//! UDP (RFC 768; over IPv6 RFC 8200 §8.1).

use core::net::IpAddr;

use crate::bytes::{Field, get_u16, put_u16};
use crate::checksum::{Delta, Sum, pseudo};
use crate::{Error, IpProtocol, Result};

/// Length of the header, in bytes.
pub const HEADER_LEN: usize = field::PAYLOAD;

mod field {
    use super::Field;

    pub(super) const SRC_PORT: Field = 0..2;
    pub(super) const DST_PORT: Field = 2..4;
    pub(super) const LENGTH: Field = 4..6;
    pub(super) const CHECKSUM: Field = 6..8;
    pub(super) const PAYLOAD: usize = 8;
}

/// View of a UDP datagram.
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

    /// A view of a buffer that holds the whole datagram.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self> {
        let packet = Self::new_header_checked(buffer)?;
        if packet.buffer.as_ref().len() < usize::from(packet.len()) {
            return Err(Error::Truncated);
        }
        Ok(packet)
    }

    /// A view of a buffer that holds at least the header: a first fragment, or a quoted packet.
    #[inline]
    pub fn new_header_checked(buffer: T) -> Result<Self> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        if usize::from(get_u16(data, field::LENGTH)) < HEADER_LEN {
            return Err(Error::BadTotalLength);
        }
        Ok(Self { buffer })
    }

    /// Source port.
    #[inline]
    pub fn src_port(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::SRC_PORT)
    }

    /// Destination port.
    #[inline]
    pub fn dst_port(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::DST_PORT)
    }

    /// Length of header and payload, in bytes; never below eight once checked.
    #[inline]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a header field, not the length of a collection"
    )]
    pub fn len(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::LENGTH)
    }

    /// Checksum; 0 means "none" (IPv4 only).
    #[inline]
    pub fn checksum(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// The payload, without padding; of a cut datagram what there is of it.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        let data = self.buffer.as_ref();
        &data[HEADER_LEN..usize::from(self.len()).min(data.len())]
    }

    /// Whether the checksum is right. None at all is right over IPv4 and wrong over IPv6; addresses of two families
    /// are wrong.
    pub fn verify_checksum(&self, src: IpAddr, dst: IpAddr) -> bool {
        if self.checksum() == 0 {
            return src.is_ipv4() && dst.is_ipv4();
        }
        self.sum(src, dst).is_some_and(|sum| sum.is_valid())
    }

    fn sum(&self, src: IpAddr, dst: IpAddr) -> Option<Sum> {
        let data = self.buffer.as_ref();
        let end = usize::from(self.len()).min(data.len());
        Some(pseudo(src, dst, IpProtocol::UDP, u32::from(self.len()))?.bytes(&data[..end]))
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the source port; the checksum is the caller's.
    #[inline]
    pub fn set_src_port(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::SRC_PORT, value);
    }

    /// Sets the destination port; the checksum is the caller's.
    #[inline]
    pub fn set_dst_port(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::DST_PORT, value);
    }

    /// Sets the length of header and payload.
    #[inline]
    pub fn set_len(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::LENGTH, value);
    }

    /// Sets the checksum.
    #[inline]
    pub fn set_checksum(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::CHECKSUM, value);
    }

    /// Applies a change of addresses and ports to the checksum.
    #[inline]
    pub fn update_checksum(&mut self, delta: Delta) {
        let value = delta.apply_udp(self.checksum());
        self.set_checksum(value);
    }

    /// Computes and sets the checksum; with addresses of two families it is left 0.
    pub fn fill_checksum(&mut self, src: IpAddr, dst: IpAddr) {
        self.set_checksum(0);
        if let Some(sum) = self.sum(src, dst) {
            self.set_checksum(sum.finish_udp());
        }
    }

    /// The payload for writing.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let len = usize::from(self.len());
        let data = self.buffer.as_mut();
        let end = len.min(data.len());
        &mut data[HEADER_LEN..end]
    }
}

/// A UDP header as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Length of the payload, in bytes; at most 65527.
    pub payload_len: u16,
}

impl Repr {
    /// Reads a checked view; the checksum is not looked at.
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Self {
        Self {
            src_port: packet.src_port(),
            dst_port: packet.dst_port(),
            payload_len: packet.len() - HEADER_LEN as u16,
        }
    }

    /// Length of the header this emits.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header with checksum 0; call [`Packet::fill_checksum`] once the payload is in place.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        packet.set_src_port(self.src_port);
        packet.set_dst_port(self.dst_port);
        packet.set_len(self.payload_len.saturating_add(HEADER_LEN as u16));
        packet.set_checksum(0);
    }
}

#[cfg(test)]
mod tests;
