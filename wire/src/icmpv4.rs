//! ICMP for IPv4 (RFC 792; next-hop MTU: RFC 1191 §4).

use crate::bytes::{Field, get_u16, put_bytes, put_u16};
use crate::checksum::{Delta, Sum, checksum};
use crate::{Error, Result};

/// Length of the header, rest-of-header word included, in bytes.
pub const HEADER_LEN: usize = field::PAYLOAD;

mod field {
    use super::Field;

    pub(super) const TYPE: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: Field = 2..4;
    pub(super) const REST: Field = 4..8;
    pub(super) const ECHO_IDENT: Field = 4..6;
    pub(super) const ECHO_SEQNO: Field = 6..8;
    pub(super) const NEXT_HOP_MTU: Field = 6..8;
    pub(super) const PAYLOAD: usize = 8;
}

/// A message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message(pub u8);

impl Message {
    /// Echo reply.
    pub const ECHO_REPLY: Self = Self(0);
    /// Destination unreachable.
    pub const DST_UNREACHABLE: Self = Self(3);
    /// Source quench (deprecated).
    pub const SOURCE_QUENCH: Self = Self(4);
    /// Redirect.
    pub const REDIRECT: Self = Self(5);
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self(8);
    /// Time exceeded.
    pub const TIME_EXCEEDED: Self = Self(11);
    /// Parameter problem.
    pub const PARAM_PROBLEM: Self = Self(12);

    /// Whether the message reports an error and quotes the packet that caused it.
    #[inline]
    pub const fn is_error(self) -> bool {
        matches!(
            self,
            Self::DST_UNREACHABLE
                | Self::SOURCE_QUENCH
                | Self::REDIRECT
                | Self::TIME_EXCEEDED
                | Self::PARAM_PROBLEM
        )
    }
}

/// Codes of "destination unreachable".
pub mod unreachable {
    /// No route to the network.
    pub const NET: u8 = 0;
    /// No way to the host.
    pub const HOST: u8 = 1;
    /// The host does not know the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Nobody listens on the port.
    pub const PORT: u8 = 3;
    /// Too big for the next link, and must not be fragmented.
    pub const FRAG_NEEDED: u8 = 4;
    /// Forbidden by an administrator.
    pub const ADMIN_PROHIBITED: u8 = 13;
}

/// View of an ICMP message. The buffer must end where the message ends (there is no length field).
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

    /// Whether it says "fragmentation needed".
    #[inline]
    pub fn is_frag_needed(&self) -> bool {
        self.msg_type() == Message::DST_UNREACHABLE && self.msg_code() == unreachable::FRAG_NEEDED
    }

    /// MTU of the next hop in a "fragmentation needed"; 0 from a router older than RFC 1191.
    #[inline]
    pub fn next_hop_mtu(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::NEXT_HOP_MTU)
    }

    /// What follows the header: echo data, or the quoted packet.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[field::PAYLOAD..]
    }

    /// The quoted packet, if the message is an error: header and some of the payload (RFC 4884 extensions may
    /// follow). Read it through [`ipv4::Packet::new_header_checked`](crate::ipv4::Packet::new_header_checked).
    #[inline]
    pub fn quoted(&self) -> Option<&[u8]> {
        self.msg_type().is_error().then(|| self.payload())
    }

    /// Whether the checksum is right.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        Sum::new().bytes(self.buffer.as_ref()).is_valid()
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

    /// Sets the rest-of-header word to zero.
    #[inline]
    pub fn clear_rest(&mut self) {
        put_bytes(self.buffer.as_mut(), field::REST, &[0; 4]);
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

    /// Sets the MTU of the next hop.
    #[inline]
    pub fn set_next_hop_mtu(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::NEXT_HOP_MTU, value);
    }

    /// Applies a change of bytes under the checksum.
    #[inline]
    pub fn update_checksum(&mut self, delta: Delta) {
        let value = delta.apply(self.checksum());
        self.set_checksum(value);
    }

    /// Computes and sets the checksum.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let value = checksum(self.buffer.as_ref());
        self.set_checksum(value);
    }

    /// Turns an echo request into its reply in place, checksum included. Addresses are the caller's.
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

/// An ICMP message as a value.
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
        /// MTU of the next hop, with [`unreachable::FRAG_NEEDED`] only.
        next_hop_mtu: u16,
        /// Header and start of the packet.
        quoted: &'a [u8],
    },
    /// The quoted packet lived too long.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
        /// Header and start of the packet.
        quoted: &'a [u8],
    },
}

impl<'a> Repr<'a> {
    /// Reads a checked view of a message; a wrong checksum is [`Error::BadChecksum`], any other message
    /// [`Error::BadType`].
    pub fn parse<T: AsRef<[u8]>>(packet: &'a Packet<T>) -> Result<Self> {
        if !packet.verify_checksum() {
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
            (Message::DST_UNREACHABLE, code) => {
                let next_hop_mtu = if packet.is_frag_needed() {
                    packet.next_hop_mtu()
                } else {
                    0
                };
                Ok(Self::DstUnreachable {
                    code,
                    next_hop_mtu,
                    quoted: payload,
                })
            }
            (Message::TIME_EXCEEDED, code) => Ok(Self::TimeExceeded {
                code,
                quoted: payload,
            }),
            (Message(_), _) => Err(Error::BadType),
        }
    }

    const fn payload(&self) -> &'a [u8] {
        match self {
            Self::EchoRequest { data, .. } | Self::EchoReply { data, .. } => data,
            Self::DstUnreachable { quoted, .. } | Self::TimeExceeded { quoted, .. } => quoted,
        }
    }

    /// Length of the message this emits.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.payload().len()
    }

    /// Writes the message, checksum included. The buffer is exactly [`buffer_len`](Self::buffer_len) long.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        packet.clear_rest();
        let (msg_type, code) = match *self {
            Self::EchoRequest { ident, seq_no, .. } => {
                packet.set_echo_ident(ident);
                packet.set_echo_seq_no(seq_no);
                (Message::ECHO_REQUEST, 0)
            }
            Self::EchoReply { ident, seq_no, .. } => {
                packet.set_echo_ident(ident);
                packet.set_echo_seq_no(seq_no);
                (Message::ECHO_REPLY, 0)
            }
            Self::DstUnreachable {
                code, next_hop_mtu, ..
            } => {
                packet.set_next_hop_mtu(next_hop_mtu);
                (Message::DST_UNREACHABLE, code)
            }
            Self::TimeExceeded { code, .. } => (Message::TIME_EXCEEDED, code),
        };
        packet.set_msg_type(msg_type);
        packet.set_msg_code(code);
        packet.payload_mut().copy_from_slice(self.payload());
        packet.fill_checksum();
    }
}

#[cfg(test)]
mod tests;
