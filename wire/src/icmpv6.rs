//! ICMP for IPv6 (RFC 4443). Neighbour discovery messages are in [`ndp`](crate::ndp).

use core::net::Ipv6Addr;

use crate::bytes::{Field, get_u16, get_u32, put_u16, put_u32};
use crate::checksum::{Delta, Sum, pseudo_v6};
use crate::{Error, IpProtocol, Result};

/// Length of the header, its type-specific word included, in bytes.
pub const HEADER_LEN: usize = field::PAYLOAD;

mod field {
    use super::Field;

    pub(super) const TYPE: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: Field = 2..4;
    pub(super) const WORD: Field = 4..8;
    pub(super) const ECHO_IDENT: Field = 4..6;
    pub(super) const ECHO_SEQNO: Field = 6..8;
    pub(super) const PAYLOAD: usize = 8;
}

/// A message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message(pub u8);

impl Message {
    /// Destination unreachable.
    pub const DST_UNREACHABLE: Self = Self(1);
    /// Packet too big.
    pub const PKT_TOO_BIG: Self = Self(2);
    /// Time exceeded.
    pub const TIME_EXCEEDED: Self = Self(3);
    /// Parameter problem.
    pub const PARAM_PROBLEM: Self = Self(4);
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self(128);
    /// Echo reply.
    pub const ECHO_REPLY: Self = Self(129);
    /// Router solicitation.
    pub const ROUTER_SOLICIT: Self = Self(133);
    /// Router advertisement.
    pub const ROUTER_ADVERT: Self = Self(134);
    /// Neighbour solicitation.
    pub const NEIGHBOR_SOLICIT: Self = Self(135);
    /// Neighbour advertisement.
    pub const NEIGHBOR_ADVERT: Self = Self(136);
    /// Redirect.
    pub const REDIRECT: Self = Self(137);

    /// Whether the message reports an error and quotes the packet that caused it (RFC 4443 §2.1: types below 128).
    #[inline]
    pub const fn is_error(self) -> bool {
        self.0 < 128
    }

    /// Whether it is neighbour discovery, which must not have crossed a router.
    #[inline]
    pub const fn is_ndp(self) -> bool {
        self.0 >= Self::ROUTER_SOLICIT.0 && self.0 <= Self::REDIRECT.0
    }
}

/// Codes of "destination unreachable".
pub mod unreachable {
    /// No route to the destination.
    pub const NO_ROUTE: u8 = 0;
    /// Forbidden by an administrator.
    pub const ADMIN_PROHIBITED: u8 = 1;
    /// The address cannot be reached.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens on the port.
    pub const PORT: u8 = 4;
}

/// View of an ICMPv6 message. The buffer must end where the message ends (there is no length field).
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

    /// A view of a buffer that holds the whole header.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self> {
        if buffer.as_ref().len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        Ok(Self { buffer })
    }

    /// Message type.
    #[inline]
    pub fn msg_type(&self) -> Message {
        Message(self.buffer.as_ref()[field::TYPE])
    }

    /// Message code.
    #[inline]
    pub fn msg_code(&self) -> u8 {
        self.buffer.as_ref()[field::CODE]
    }

    /// Checksum.
    #[inline]
    pub fn checksum(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// The word after the checksum; what it means depends on the type (MTU, pointer, flags).
    #[inline]
    pub fn word(&self) -> u32 {
        get_u32(self.buffer.as_ref(), field::WORD)
    }

    /// Identifier of an echo message.
    #[inline]
    pub fn echo_ident(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::ECHO_IDENT)
    }

    /// Sequence number of an echo message.
    #[inline]
    pub fn echo_seq_no(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::ECHO_SEQNO)
    }

    /// MTU in a "packet too big".
    #[inline]
    pub fn pkt_too_big_mtu(&self) -> u32 {
        self.word()
    }

    /// What follows the header: echo data, the quoted packet, or the body of a discovery message.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[field::PAYLOAD..]
    }

    /// The quoted packet, if the message is an error: as much of it as fits. Read it through
    /// [`ipv6::Packet::new_header_checked`](crate::ipv6::Packet::new_header_checked).
    #[inline]
    pub fn quoted(&self) -> Option<&[u8]> {
        self.msg_type().is_error().then(|| self.payload())
    }

    /// Whether the checksum is right.
    pub fn verify_checksum(&self, src: Ipv6Addr, dst: Ipv6Addr) -> bool {
        self.sum(src, dst).is_valid()
    }

    fn sum(&self, src: Ipv6Addr, dst: Ipv6Addr) -> Sum {
        let data = self.buffer.as_ref();
        pseudo_v6(src, dst, IpProtocol::ICMPV6, data.len() as u32).bytes(data)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the message type.
    #[inline]
    pub fn set_msg_type(&mut self, value: Message) {
        self.buffer.as_mut()[field::TYPE] = value.0;
    }

    /// Sets the message code.
    #[inline]
    pub fn set_msg_code(&mut self, value: u8) {
        self.buffer.as_mut()[field::CODE] = value;
    }

    /// Sets the checksum.
    #[inline]
    pub fn set_checksum(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::CHECKSUM, value);
    }

    /// Sets the word after the checksum.
    #[inline]
    pub fn set_word(&mut self, value: u32) {
        put_u32(self.buffer.as_mut(), field::WORD, value);
    }

    /// Sets the identifier of an echo message.
    #[inline]
    pub fn set_echo_ident(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::ECHO_IDENT, value);
    }

    /// Sets the sequence number of an echo message.
    #[inline]
    pub fn set_echo_seq_no(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::ECHO_SEQNO, value);
    }

    /// Applies a change of addresses or bytes under the checksum.
    #[inline]
    pub fn update_checksum(&mut self, delta: Delta) {
        let value = delta.apply(self.checksum());
        self.set_checksum(value);
    }

    /// Computes and sets the checksum.
    pub fn fill_checksum(&mut self, src: Ipv6Addr, dst: Ipv6Addr) {
        self.set_checksum(0);
        let value = self.sum(src, dst).finish();
        self.set_checksum(value);
    }

    /// Turns an echo request into its reply in place, checksum included. Swapping the addresses does not change the
    /// checksum; changing them is the caller's.
    #[inline]
    pub fn turn_into_echo_reply(&mut self) {
        let old = u16::from_be_bytes([self.msg_type().0, self.msg_code()]);
        self.set_msg_type(Message::ECHO_REPLY);
        self.set_msg_code(0);
        self.update_checksum(Delta::new().u16(old, u16::from(Message::ECHO_REPLY.0) << 8));
    }

    /// What follows the header, for writing.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.as_mut()[field::PAYLOAD..]
    }
}

/// An ICMPv6 message as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repr<'a> {
    /// Ask for an echo.
    EchoRequest {
        /// Identifier, one per asking process.
        ident: u16,
        /// Sequence number.
        seq_no: u16,
        /// Data to send back.
        data: &'a [u8],
    },
    /// The echo.
    EchoReply {
        /// Identifier of the request.
        ident: u16,
        /// Sequence number of the request.
        seq_no: u16,
        /// Data of the request.
        data: &'a [u8],
    },
    /// The quoted packet cannot be delivered.
    DstUnreachable {
        /// Why: see [`mod@unreachable`].
        code: u8,
        /// As much of the packet as fits.
        quoted: &'a [u8],
    },
    /// The quoted packet is too big for the next link.
    PktTooBig {
        /// MTU of that link, in bytes.
        mtu: u32,
        /// As much of the packet as fits.
        quoted: &'a [u8],
    },
    /// The quoted packet lived too long.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
        /// As much of the packet as fits.
        quoted: &'a [u8],
    },
    /// The quoted packet has a field nobody understands.
    ParamProblem {
        /// 0 bad field, 1 unknown next header, 2 unknown option.
        code: u8,
        /// Offset of the field in the quoted packet.
        pointer: u32,
        /// As much of the packet as fits.
        quoted: &'a [u8],
    },
}

impl<'a> Repr<'a> {
    /// Reads a checked view of a message between `src` and `dst`; a wrong checksum is [`Error::BadChecksum`], any
    /// other message [`Error::BadType`].
    pub fn parse<T: AsRef<[u8]>>(packet: &'a Packet<T>, src: Ipv6Addr, dst: Ipv6Addr) -> Result<Self> {
        if !packet.verify_checksum(src, dst) {
            return Err(Error::BadChecksum);
        }
        let (ident, seq_no, payload) = (packet.echo_ident(), packet.echo_seq_no(), packet.payload());
        match (packet.msg_type(), packet.msg_code()) {
            (Message::ECHO_REQUEST, 0) => Ok(Self::EchoRequest {
                ident,
                seq_no,
                data: payload,
            }),
            (Message::ECHO_REPLY, 0) => Ok(Self::EchoReply {
                ident,
                seq_no,
                data: payload,
            }),
            (Message::DST_UNREACHABLE, code) => Ok(Self::DstUnreachable {
                code,
                quoted: payload,
            }),
            (Message::PKT_TOO_BIG, _) => Ok(Self::PktTooBig {
                mtu: packet.word(),
                quoted: payload,
            }),
            (Message::TIME_EXCEEDED, code) => Ok(Self::TimeExceeded {
                code,
                quoted: payload,
            }),
            (Message::PARAM_PROBLEM, code) => Ok(Self::ParamProblem {
                code,
                pointer: packet.word(),
                quoted: payload,
            }),
            (Message(_), _) => Err(Error::BadType),
        }
    }

    const fn payload(&self) -> &'a [u8] {
        match self {
            Self::EchoRequest { data, .. } | Self::EchoReply { data, .. } => data,
            Self::DstUnreachable { quoted, .. }
            | Self::PktTooBig { quoted, .. }
            | Self::TimeExceeded { quoted, .. }
            | Self::ParamProblem { quoted, .. } => quoted,
        }
    }

    /// Length of the message this emits.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.payload().len()
    }

    /// Writes the message, checksum included. The buffer is exactly [`buffer_len`](Self::buffer_len) long.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>, src: Ipv6Addr, dst: Ipv6Addr) {
        let echo_word = |ident: u16, seq_no: u16| (u32::from(ident) << 16) | u32::from(seq_no);
        let (msg_type, code, word) = match *self {
            Self::EchoRequest { ident, seq_no, .. } => (Message::ECHO_REQUEST, 0, echo_word(ident, seq_no)),
            Self::EchoReply { ident, seq_no, .. } => (Message::ECHO_REPLY, 0, echo_word(ident, seq_no)),
            Self::DstUnreachable { code, .. } => (Message::DST_UNREACHABLE, code, 0),
            Self::PktTooBig { mtu, .. } => (Message::PKT_TOO_BIG, 0, mtu),
            Self::TimeExceeded { code, .. } => (Message::TIME_EXCEEDED, code, 0),
            Self::ParamProblem { code, pointer, .. } => (Message::PARAM_PROBLEM, code, pointer),
        };
        packet.set_msg_type(msg_type);
        packet.set_msg_code(code);
        packet.set_word(word);
        packet.payload_mut().copy_from_slice(self.payload());
        packet.fill_checksum(src, dst);
    }
}

#[cfg(test)]
mod tests;
