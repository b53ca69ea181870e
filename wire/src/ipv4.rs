//! IPv4 (RFC 791; the traffic class byte is RFC 2474 and RFC 3168).

use core::net::Ipv4Addr;

use crate::bytes::{Field, get_ipv4, get_u16, put_bytes, put_u16};
use crate::checksum::{Delta, Sum, checksum};
use crate::{Error, IpProtocol, RawOptions, Result};

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = field::OPTIONS;
/// Length of the longest header, in bytes.
pub const HEADER_LEN_MAX: usize = 60;

const DONT_FRAG: u16 = 0x4000;
const MORE_FRAGS: u16 = 0x2000;
const FRAG_OFFSET: u16 = 0x1fff;

mod field {
    use super::Field;

    pub(super) const VER_IHL: usize = 0;
    pub(super) const TOS: usize = 1;
    pub(super) const LENGTH: Field = 2..4;
    pub(super) const IDENT: Field = 4..6;
    pub(super) const FLG_OFF: Field = 6..8;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    /// TTL and protocol as the checksum sees them: one word.
    pub(super) const TTL_PROTOCOL: Field = 8..10;
    pub(super) const CHECKSUM: Field = 10..12;
    pub(super) const SRC_ADDR: Field = 12..16;
    pub(super) const DST_ADDR: Field = 16..20;
    pub(super) const OPTIONS: usize = 20;
}

/// View of an IPv4 packet. The buffer may be longer than the packet (Ethernet padding).
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

    /// A view of a buffer that holds the whole packet. The checksum is not looked at: see
    /// [`verify_checksum`](Self::verify_checksum).
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self> {
        let packet = Self::new_header_checked(buffer)?;
        if packet.buffer.as_ref().len() < usize::from(packet.total_len()) {
            return Err(Error::Truncated);
        }
        Ok(packet)
    }

    /// A view of a buffer that holds at least the whole header: a packet quoted in an ICMP error, whose payload is
    /// cut. [`payload`](Self::payload) is what there is of it.
    #[inline]
    pub fn new_header_checked(buffer: T) -> Result<Self> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        if data[field::VER_IHL] >> 4 != 4 {
            return Err(Error::BadVersion);
        }
        let header_len = usize::from(data[field::VER_IHL] & 0x0f) * 4;
        if header_len < HEADER_LEN {
            return Err(Error::BadHeaderLength);
        }
        if data.len() < header_len {
            return Err(Error::Truncated);
        }
        if usize::from(get_u16(data, field::LENGTH)) < header_len {
            return Err(Error::BadTotalLength);
        }
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Length of the header with options, in bytes.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::VER_IHL] & 0x0f) * 4
    }

    /// Type of service byte: differentiated services code point and ECN.
    #[inline]
    pub fn tos(&self) -> u8 {
        self.buffer.as_ref()[field::TOS]
    }

    /// Length of header and payload, in bytes.
    #[inline]
    pub fn total_len(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::LENGTH)
    }

    /// Identification, common to the fragments of a datagram.
    #[inline]
    pub fn ident(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::IDENT)
    }

    #[inline]
    fn flags_and_offset(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::FLG_OFF)
    }

    /// Whether routers must not fragment it.
    #[inline]
    pub fn dont_frag(&self) -> bool {
        self.flags_and_offset() & DONT_FRAG != 0
    }

    /// Whether more fragments follow.
    #[inline]
    pub fn more_frags(&self) -> bool {
        self.flags_and_offset() & MORE_FRAGS != 0
    }

    /// Place of this payload in the whole datagram, in bytes.
    #[inline]
    pub fn frag_offset(&self) -> u16 {
        (self.flags_and_offset() & FRAG_OFFSET) << 3
    }

    /// Whether it is a fragment, first or later.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.flags_and_offset() & (MORE_FRAGS | FRAG_OFFSET) != 0
    }

    /// Time to live, in hops.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.buffer.as_ref()[field::TTL]
    }

    /// Protocol of the payload.
    #[inline]
    pub fn protocol(&self) -> IpProtocol {
        IpProtocol(self.buffer.as_ref()[field::PROTOCOL])
    }

    /// Header checksum.
    #[inline]
    pub fn checksum(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// Whether the header checksum is right.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        Sum::new()
            .bytes(&self.buffer.as_ref()[..self.header_len()])
            .is_valid()
    }

    /// Source address.
    #[inline]
    pub fn src_addr(&self) -> Ipv4Addr {
        get_ipv4(self.buffer.as_ref(), field::SRC_ADDR)
    }

    /// Destination address.
    #[inline]
    pub fn dst_addr(&self) -> Ipv4Addr {
        get_ipv4(self.buffer.as_ref(), field::DST_ADDR)
    }

    /// The options.
    pub fn options(&self) -> RawOptions<'_> {
        RawOptions::new(&self.buffer.as_ref()[field::OPTIONS..self.header_len()])
    }

    /// The payload, without padding; of a quoted packet what there is of it.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        let data = self.buffer.as_ref();
        let end = usize::from(self.total_len()).min(data.len());
        &data[self.header_len()..end]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets version 4 and the header length in bytes, a multiple of four from 20 to 60.
    #[inline]
    pub fn set_header_len(&mut self, bytes: usize) {
        self.buffer.as_mut()[field::VER_IHL] = 0x40 | ((bytes / 4) & 0x0f) as u8;
    }

    /// Sets the type of service byte.
    #[inline]
    pub fn set_tos(&mut self, value: u8) {
        self.buffer.as_mut()[field::TOS] = value;
    }

    /// Sets the length of header and payload.
    #[inline]
    pub fn set_total_len(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::LENGTH, value);
    }

    /// Sets the identification.
    #[inline]
    pub fn set_ident(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::IDENT, value);
    }

    /// Sets both flags and the fragment offset in bytes (a multiple of eight).
    #[inline]
    pub fn set_fragment(&mut self, dont_frag: bool, more_frags: bool, offset: u16) {
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        let flags = flag(dont_frag, DONT_FRAG) | flag(more_frags, MORE_FRAGS);
        put_u16(self.buffer.as_mut(), field::FLG_OFF, flags | (offset >> 3));
    }

    /// Sets the time to live.
    #[inline]
    pub fn set_ttl(&mut self, value: u8) {
        self.buffer.as_mut()[field::TTL] = value;
    }

    /// Sets the protocol of the payload.
    #[inline]
    pub fn set_protocol(&mut self, value: IpProtocol) {
        self.buffer.as_mut()[field::PROTOCOL] = value.0;
    }

    /// Sets the header checksum.
    #[inline]
    pub fn set_checksum(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::CHECKSUM, value);
    }

    /// Sets the source address; the checksum is the caller's.
    #[inline]
    pub fn set_src_addr(&mut self, value: Ipv4Addr) {
        put_bytes(self.buffer.as_mut(), field::SRC_ADDR, &value.octets());
    }

    /// Sets the destination address; the checksum is the caller's.
    #[inline]
    pub fn set_dst_addr(&mut self, value: Ipv4Addr) {
        put_bytes(self.buffer.as_mut(), field::DST_ADDR, &value.octets());
    }

    /// Computes and sets the header checksum.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let value = checksum(&self.buffer.as_ref()[..self.header_len()]);
        self.set_checksum(value);
    }

    /// Takes one hop off the time to live, keeps the checksum right, and returns what is left. At 0 it stays 0.
    #[inline]
    pub fn decrement_ttl(&mut self) -> u8 {
        let old = get_u16(self.buffer.as_ref(), field::TTL_PROTOCOL);
        let new = if old < 0x0100 { old } else { old - 0x0100 };
        let value = Delta::new().u16(old, new).apply(self.checksum());
        put_u16(self.buffer.as_mut(), field::TTL_PROTOCOL, new);
        self.set_checksum(value);
        (new >> 8) as u8
    }

    /// Changes the source address and the header checksum with it.
    #[inline]
    pub fn rewrite_src_addr(&mut self, new: Ipv4Addr) {
        let value = Delta::new().ipv4(self.src_addr(), new).apply(self.checksum());
        self.set_src_addr(new);
        self.set_checksum(value);
    }

    /// Changes the destination address and the header checksum with it.
    #[inline]
    pub fn rewrite_dst_addr(&mut self, new: Ipv4Addr) {
        let value = Delta::new().ipv4(self.dst_addr(), new).apply(self.checksum());
        self.set_dst_addr(new);
        self.set_checksum(value);
    }

    /// The payload for writing.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let start = self.header_len();
        let total_len = usize::from(self.total_len());
        let data = self.buffer.as_mut();
        let end = total_len.min(data.len());
        &mut data[start..end]
    }
}

/// An IPv4 header without options, not a fragment, as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Source address.
    pub src_addr: Ipv4Addr,
    /// Destination address.
    pub dst_addr: Ipv4Addr,
    /// Protocol of the payload.
    pub protocol: IpProtocol,
    /// Length of the payload, in bytes; with the header at most 65535.
    pub payload_len: u16,
    /// Time to live, in hops.
    pub ttl: u8,
    /// Type of service byte.
    pub tos: u8,
    /// Identification.
    pub ident: u16,
    /// Whether routers must not fragment it.
    pub dont_frag: bool,
}

impl Repr {
    /// Reads a checked view; options are passed over. A wrong checksum is [`Error::BadChecksum`], a fragment
    /// [`Error::BadField`].
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self> {
        if !packet.verify_checksum() {
            return Err(Error::BadChecksum);
        }
        if packet.is_fragment() {
            return Err(Error::BadField);
        }
        Ok(Self {
            src_addr: packet.src_addr(),
            dst_addr: packet.dst_addr(),
            protocol: packet.protocol(),
            payload_len: packet.total_len() - packet.header_len() as u16,
            ttl: packet.ttl(),
            tos: packet.tos(),
            ident: packet.ident(),
            dont_frag: packet.dont_frag(),
        })
    }

    /// Length of the header this emits.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header, checksum included.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        packet.set_header_len(HEADER_LEN);
        packet.set_tos(self.tos);
        packet.set_total_len(self.payload_len.saturating_add(HEADER_LEN as u16));
        packet.set_ident(self.ident);
        packet.set_fragment(self.dont_frag, false, 0);
        packet.set_ttl(self.ttl);
        packet.set_protocol(self.protocol);
        packet.set_src_addr(self.src_addr);
        packet.set_dst_addr(self.dst_addr);
        packet.fill_checksum();
    }
}

#[cfg(test)]
mod tests;
