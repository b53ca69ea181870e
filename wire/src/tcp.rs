//! TCP (RFC 9293 §3.1), its options, and clamping of the maximum segment size.

use core::fmt;
use core::net::IpAddr;
use core::ops::BitOr;

use crate::bytes::{Field, get_u16, get_u32, put_u16, put_u32};
use crate::checksum::{Delta, Sum, pseudo};
use crate::{Error, IpProtocol, RawOption, RawOptions, Result};

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = field::OPTIONS;
/// Length of the longest header, in bytes.
pub const HEADER_LEN_MAX: usize = 60;

mod field {
    use super::Field;

    pub(super) const SRC_PORT: Field = 0..2;
    pub(super) const DST_PORT: Field = 2..4;
    pub(super) const SEQ_NUM: Field = 4..8;
    pub(super) const ACK_NUM: Field = 8..12;
    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const WIN_SIZE: Field = 14..16;
    pub(super) const CHECKSUM: Field = 16..18;
    pub(super) const URGENT: Field = 18..20;
    pub(super) const OPTIONS: usize = 20;
}

mod kind {
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
}

/// The control bits of the flags byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment field means something.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer means something.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// Whether all bits of `other` are set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a bit of `other` is set.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether this opens a connection: SYN without ACK, RST or FIN.
    #[inline]
    pub const fn is_open(self) -> bool {
        self.0 & (Self::SYN.0 | Self::ACK.0 | Self::RST.0 | Self::FIN.0) == Self::SYN.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    /// As tcpdump prints them: `S`, `S.`, `F.`, `R`, `P.`, `.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Flags, &str); 8] = [
            (Flags::FIN, "F"),
            (Flags::SYN, "S"),
            (Flags::RST, "R"),
            (Flags::PSH, "P"),
            (Flags::ACK, "."),
            (Flags::URG, "U"),
            (Flags::ECE, "E"),
            (Flags::CWR, "W"),
        ];
        if self.0 == 0 {
            return f.write_str("none");
        }
        NAMES
            .iter()
            .filter(|(flag, _)| self.contains(*flag))
            .try_for_each(|(_, name)| f.write_str(name))
    }
}

/// A TCP option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// Maximum segment size the sender will take, in bytes.
    MaxSegmentSize(u16),
    /// Shift of the window field (RFC 7323 §2).
    WindowScale(u8),
    /// Selective acknowledgments may be sent (RFC 2018).
    SackPermitted,
    /// Selective acknowledgment blocks: pairs of sequence numbers, 8 bytes a pair.
    Sack(&'a [u8]),
    /// Timestamps (RFC 7323 §3).
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The receiver's clock, echoed.
        echo: u32,
    },
    /// Any other.
    Unknown {
        /// Option kind.
        kind: u8,
        /// Its value.
        value: &'a [u8],
    },
}

impl<'a> TcpOption<'a> {
    /// The meaning of an option; a known kind with a wrong length is [`Error::BadOption`].
    pub fn parse(raw: RawOption<'a>) -> Result<Self> {
        Ok(match (raw.kind, raw.value) {
            (kind::MSS, &[a, b]) => Self::MaxSegmentSize(u16::from_be_bytes([a, b])),
            (kind::WINDOW_SCALE, &[shift]) => Self::WindowScale(shift),
            (kind::SACK_PERMITTED, []) => Self::SackPermitted,
            (kind::SACK, blocks) if blocks.len().is_multiple_of(8) => Self::Sack(blocks),
            (kind::TIMESTAMPS, value) if value.len() == 8 => Self::Timestamps {
                value: get_u32(value, 0..4),
                echo: get_u32(value, 4..8),
            },
            (kind::MSS | kind::WINDOW_SCALE | kind::SACK_PERMITTED | kind::SACK | kind::TIMESTAMPS, _) => {
                return Err(Error::BadOption);
            }
            (kind, value) => Self::Unknown { kind, value },
        })
    }
}

/// View of a TCP segment. The buffer must end where the segment ends (there is no length field).
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
        let header_len = usize::from(data[field::DATA_OFFSET] >> 4) * 4;
        if header_len < HEADER_LEN {
            return Err(Error::BadHeaderLength);
        }
        if data.len() < header_len {
            return Err(Error::Truncated);
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

    /// Sequence number.
    #[inline]
    pub fn seq_number(&self) -> u32 {
        get_u32(self.buffer.as_ref(), field::SEQ_NUM)
    }

    /// Acknowledgment number; means something only with [`Flags::ACK`].
    #[inline]
    pub fn ack_number(&self) -> u32 {
        get_u32(self.buffer.as_ref(), field::ACK_NUM)
    }

    /// Length of the header with options, in bytes.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::DATA_OFFSET] >> 4) * 4
    }

    /// Control bits.
    #[inline]
    pub fn flags(&self) -> Flags {
        Flags(self.buffer.as_ref()[field::FLAGS])
    }

    /// Window, unscaled.
    #[inline]
    pub fn window_len(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::WIN_SIZE)
    }

    /// Checksum.
    #[inline]
    pub fn checksum(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// Urgent pointer.
    #[inline]
    pub fn urgent_at(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::URGENT)
    }

    /// The options, still raw; see [`TcpOption::parse`].
    #[inline]
    pub fn options(&self) -> RawOptions<'_> {
        RawOptions::new(&self.buffer.as_ref()[field::OPTIONS..self.header_len()])
    }

    /// The maximum segment size option: its value, and the offset of the value in the segment.
    pub fn mss(&self) -> Option<(u16, usize)> {
        self.options()
            .map_while(Result::ok)
            .find_map(|raw| match TcpOption::parse(raw) {
                Ok(TcpOption::MaxSegmentSize(mss)) => Some((mss, field::OPTIONS + raw.offset + 2)),
                Ok(_) | Err(_) => None,
            })
    }

    /// Sequence numbers this segment uses: its payload, and one each for SYN and FIN.
    #[inline]
    pub fn segment_len(&self) -> usize {
        let flags = self.flags();
        self.payload().len()
            + usize::from(flags.contains(Flags::SYN))
            + usize::from(flags.contains(Flags::FIN))
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[self.header_len()..]
    }

    /// Whether the checksum is right; with addresses of two families it is not.
    pub fn verify_checksum(&self, src: IpAddr, dst: IpAddr) -> bool {
        self.sum(src, dst).is_some_and(|sum| sum.is_valid())
    }

    fn sum(&self, src: IpAddr, dst: IpAddr) -> Option<Sum> {
        let data = self.buffer.as_ref();
        Some(pseudo(src, dst, IpProtocol::TCP, data.len() as u32)?.bytes(data))
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

    /// Sets the sequence number.
    #[inline]
    pub fn set_seq_number(&mut self, value: u32) {
        put_u32(self.buffer.as_mut(), field::SEQ_NUM, value);
    }

    /// Sets the acknowledgment number.
    #[inline]
    pub fn set_ack_number(&mut self, value: u32) {
        put_u32(self.buffer.as_mut(), field::ACK_NUM, value);
    }

    /// Sets the header length in bytes, a multiple of four from 20 to 60, and clears the reserved bits.
    #[inline]
    pub fn set_header_len(&mut self, bytes: usize) {
        self.buffer.as_mut()[field::DATA_OFFSET] = ((bytes / 4) << 4) as u8;
    }

    /// Sets the control bits.
    #[inline]
    pub fn set_flags(&mut self, value: Flags) {
        self.buffer.as_mut()[field::FLAGS] = value.0;
    }

    /// Sets the window.
    #[inline]
    pub fn set_window_len(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::WIN_SIZE, value);
    }

    /// Sets the checksum.
    #[inline]
    pub fn set_checksum(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::CHECKSUM, value);
    }

    /// Sets the urgent pointer.
    #[inline]
    pub fn set_urgent_at(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::URGENT, value);
    }

    /// Applies a change of addresses, ports or numbers to the checksum.
    #[inline]
    pub fn update_checksum(&mut self, delta: Delta) {
        let value = delta.apply(self.checksum());
        self.set_checksum(value);
    }

    /// Computes and sets the checksum; with addresses of two families it is left 0.
    pub fn fill_checksum(&mut self, src: IpAddr, dst: IpAddr) {
        self.set_checksum(0);
        if let Some(sum) = self.sum(src, dst) {
            self.set_checksum(sum.finish());
        }
    }

    /// Lowers the maximum segment size option to `max`, checksum included, and says whether it did. A segment without
    /// the option, or with a lower one, stays as it is.
    pub fn clamp_mss(&mut self, max: u16) -> bool {
        let Some((old, offset)) = self.mss().filter(|&(mss, _)| mss > max) else {
            return false;
        };
        put_u16(self.buffer.as_mut(), offset..offset + 2, max);
        let delta = Delta::new();
        self.update_checksum(if offset % 2 == 0 {
            delta.u16(old, max)
        } else {
            delta.u16_at_odd(old, max)
        });
        true
    }

    /// The payload for writing.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let start = self.header_len();
        &mut self.buffer.as_mut()[start..]
    }
}

/// A TCP header without options as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq_number: u32,
    /// Acknowledgment number.
    pub ack_number: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window, unscaled.
    pub window_len: u16,
}

impl Repr {
    /// Reads a checked view; options, urgent pointer and checksum are passed over.
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Self {
        Self {
            src_port: packet.src_port(),
            dst_port: packet.dst_port(),
            seq_number: packet.seq_number(),
            ack_number: packet.ack_number(),
            flags: packet.flags(),
            window_len: packet.window_len(),
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
        packet.set_seq_number(self.seq_number);
        packet.set_ack_number(self.ack_number);
        packet.set_header_len(HEADER_LEN);
        packet.set_flags(self.flags);
        packet.set_window_len(self.window_len);
        packet.set_checksum(0);
        packet.set_urgent_at(0);
    }
}

#[cfg(test)]
mod tests;
