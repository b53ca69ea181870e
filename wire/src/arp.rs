//! ARP for IPv4 over Ethernet (RFC 826); gratuitous ARP and conflict rules in RFC 5227.

use core::net::Ipv4Addr;

use crate::bytes::{Field, get_ipv4, get_mac, get_u16, put_bytes, put_u16};
use crate::{Error, EtherType, MacAddr, Result};

/// Length of an ARP packet for IPv4 over Ethernet, in bytes.
pub const PACKET_LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;
const HARDWARE_LEN: u8 = 6;
const PROTOCOL_LEN: u8 = 4;

mod field {
    use super::Field;

    pub(super) const HTYPE: Field = 0..2;
    pub(super) const PTYPE: Field = 2..4;
    pub(super) const HLEN: usize = 4;
    pub(super) const PLEN: usize = 5;
    pub(super) const OPER: Field = 6..8;
    pub(super) const SHA: Field = 8..14;
    pub(super) const SPA: Field = 14..18;
    pub(super) const THA: Field = 18..24;
    pub(super) const TPA: Field = 24..28;
}

/// What an ARP packet does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

/// View of an ARP packet.
#[derive(Debug, Clone, Copy)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view without checks: accessors panic on a buffer shorter than [`PACKET_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view of a whole packet for IPv4 over Ethernet; any other kind is [`Error::BadField`].
    pub fn new_checked(buffer: T) -> Result<Self> {
        let data = buffer.as_ref();
        if data.len() < PACKET_LEN {
            return Err(Error::Truncated);
        }
        let ours = get_u16(data, field::HTYPE) == HARDWARE_ETHERNET
            && get_u16(data, field::PTYPE) == EtherType::IPV4.0
            && data[field::HLEN] == HARDWARE_LEN
            && data[field::PLEN] == PROTOCOL_LEN;
        if ours {
            Ok(Self { buffer })
        } else {
            Err(Error::BadField)
        }
    }

    /// The operation number: 1 request, 2 reply.
    #[inline]
    pub fn operation_raw(&self) -> u16 {
        get_u16(self.buffer.as_ref(), field::OPER)
    }

    /// Hardware address of the sender.
    #[inline]
    pub fn sender_hardware_addr(&self) -> MacAddr {
        get_mac(self.buffer.as_ref(), field::SHA)
    }

    /// Protocol address of the sender; 0.0.0.0 in a probe.
    #[inline]
    pub fn sender_protocol_addr(&self) -> Ipv4Addr {
        get_ipv4(self.buffer.as_ref(), field::SPA)
    }

    /// Hardware address of the target; meaningless in a request.
    #[inline]
    pub fn target_hardware_addr(&self) -> MacAddr {
        get_mac(self.buffer.as_ref(), field::THA)
    }

    /// Protocol address of the target.
    #[inline]
    pub fn target_protocol_addr(&self) -> Ipv4Addr {
        get_ipv4(self.buffer.as_ref(), field::TPA)
    }
}

/// An ARP packet as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Request or reply.
    pub operation: Operation,
    /// Hardware address of the sender.
    pub sender_hardware_addr: MacAddr,
    /// Protocol address of the sender; 0.0.0.0 in a probe.
    pub sender_protocol_addr: Ipv4Addr,
    /// Hardware address of the target; zero in a request.
    pub target_hardware_addr: MacAddr,
    /// Protocol address of the target.
    pub target_protocol_addr: Ipv4Addr,
}

impl Repr {
    /// Reads a checked view; an operation other than request and reply is [`Error::BadType`].
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self> {
        let operation = match packet.operation_raw() {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(Error::BadType),
        };
        Ok(Self {
            operation,
            sender_hardware_addr: packet.sender_hardware_addr(),
            sender_protocol_addr: packet.sender_protocol_addr(),
            target_hardware_addr: packet.target_hardware_addr(),
            target_protocol_addr: packet.target_protocol_addr(),
        })
    }

    /// A request for `target`, from the station `mac` with the address `sender`.
    pub const fn request(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self {
            operation: Operation::Request,
            sender_hardware_addr: mac,
            sender_protocol_addr: sender,
            target_hardware_addr: MacAddr::ZERO,
            target_protocol_addr: target,
        }
    }

    /// The announcement that `address` is at `mac`: a request for the own address (RFC 5227 §3).
    pub const fn announcement(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self::request(mac, address, address)
    }

    /// The reply to this request by the station `mac`.
    pub const fn reply_from(&self, mac: MacAddr) -> Self {
        Self {
            operation: Operation::Reply,
            sender_hardware_addr: mac,
            sender_protocol_addr: self.target_protocol_addr,
            target_hardware_addr: self.sender_hardware_addr,
            target_protocol_addr: self.sender_protocol_addr,
        }
    }

    /// Whether the sender talks about its own address only: a gratuitous request or reply.
    pub fn is_gratuitous(&self) -> bool {
        self.sender_protocol_addr == self.target_protocol_addr && !self.sender_protocol_addr.is_unspecified()
    }

    /// Length of the packet this emits.
    pub const fn buffer_len(&self) -> usize {
        PACKET_LEN
    }

    /// Writes the packet, fixed fields included.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        let data = packet.buffer.as_mut();
        put_u16(data, field::HTYPE, HARDWARE_ETHERNET);
        put_u16(data, field::PTYPE, EtherType::IPV4.0);
        data[field::HLEN] = HARDWARE_LEN;
        data[field::PLEN] = PROTOCOL_LEN;
        put_u16(
            data,
            field::OPER,
            match self.operation {
                Operation::Request => 1,
                Operation::Reply => 2,
            },
        );
        put_bytes(data, field::SHA, &self.sender_hardware_addr.0);
        put_bytes(data, field::SPA, &self.sender_protocol_addr.octets());
        put_bytes(data, field::THA, &self.target_hardware_addr.0);
        put_bytes(data, field::TPA, &self.target_protocol_addr.octets());
    }
}

#[cfg(test)]
mod tests;
