//! Neighbour discovery (RFC 4861): solicitations and advertisements of neighbours and routers, over ICMPv6.
//!
//! [`Repr::parse`] is the one door: it holds every validity rule of §6.1.1, §6.1.2, §7.1.1 and §7.1.2, the hop limit
//! of 255 first. Redirects are not read: a load balancer takes its routes from its configuration.

use core::net::Ipv6Addr;

use crate::bytes::{get_ipv6, get_u32, put_bytes, put_u16, put_u32};
use crate::icmpv6::{self, Message};
use crate::ipv6::solicited_node;
use crate::{Error, MacAddr, Result};

mod option;
pub use option::{NdpOption, NdpOptions, PrefixInfo};

/// Hop limit every discovery message is sent and received with: no router has touched it.
pub const HOP_LIMIT: u8 = 255;

/// Length of the longest message [`Repr::emit`] writes, in bytes: a router advertisement with all its options.
pub const EMIT_LEN_MAX: usize = 16 + 8 + 8;

const ROUTER: u32 = 1 << 31;
const SOLICITED: u32 = 1 << 30;
const OVERRIDE: u32 = 1 << 29;

/// What the IPv6 header around a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Source address.
    pub src_addr: Ipv6Addr,
    /// Destination address.
    pub dst_addr: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
}

/// A discovery message as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repr {
    /// Is there a router?
    RouterSolicit {
        /// Address of the sender's link layer.
        lladdr: Option<MacAddr>,
    },
    /// Here is a router.
    RouterAdvert {
        /// Hop limit hosts should use; 0 leaves it to them.
        hop_limit: u8,
        /// Addresses come from DHCPv6.
        managed: bool,
        /// Other settings come from DHCPv6.
        other: bool,
        /// How long it is a default router, in seconds; 0 is not at all.
        router_lifetime_s: u16,
        /// How long a confirmed neighbour counts as reachable, in milliseconds; 0 leaves it to hosts.
        reachable_time_ms: u32,
        /// Time between solicitations, in milliseconds; 0 leaves it to hosts.
        retrans_timer_ms: u32,
        /// Address of the router's link layer.
        lladdr: Option<MacAddr>,
        /// MTU of the link, in bytes.
        mtu: Option<u32>,
    },
    /// Who has the target?
    NeighborSolicit {
        /// The address asked for.
        target_addr: Ipv6Addr,
        /// Address of the sender's link layer; absent when it has no IP address yet.
        lladdr: Option<MacAddr>,
    },
    /// The sender has the target.
    NeighborAdvert {
        /// The sender is a router.
        router: bool,
        /// It answers a solicitation.
        solicited: bool,
        /// It replaces what is known.
        override_: bool,
        /// The address.
        target_addr: Ipv6Addr,
        /// Its link-layer address.
        lladdr: Option<MacAddr>,
    },
}

impl Repr {
    /// Whether hosts must take `message` for discovery and hand it to [`parse`](Self::parse).
    #[inline]
    pub const fn knows(message: Message) -> bool {
        matches!(
            message,
            Message::ROUTER_SOLICIT
                | Message::ROUTER_ADVERT
                | Message::NEIGHBOR_SOLICIT
                | Message::NEIGHBOR_ADVERT
        )
    }

    /// Reads and validates a message.
    pub fn parse<T: AsRef<[u8]>>(packet: &icmpv6::Packet<T>, envelope: &Envelope) -> Result<Self> {
        if !Self::knows(packet.msg_type()) {
            return Err(Error::BadType);
        }
        if envelope.hop_limit != HOP_LIMIT {
            return Err(Error::BadHopLimit);
        }
        if packet.msg_code() != 0 {
            return Err(Error::BadField);
        }
        if !packet.verify_checksum(envelope.src_addr, envelope.dst_addr) {
            return Err(Error::BadChecksum);
        }
        match packet.msg_type() {
            Message::ROUTER_SOLICIT => router_solicit(packet.payload(), envelope),
            Message::ROUTER_ADVERT => router_advert(packet, envelope),
            Message::NEIGHBOR_SOLICIT => neighbor_solicit(packet.payload(), envelope),
            Message::NEIGHBOR_ADVERT => neighbor_advert(packet, envelope),
            Message(_) => Err(Error::BadType),
        }
    }

    /// Length of the message this emits, in bytes.
    pub const fn buffer_len(&self) -> usize {
        const fn lladdr_len(lladdr: &Option<MacAddr>) -> usize {
            if lladdr.is_some() { option::LLADDR_LEN } else { 0 }
        }
        match self {
            Self::RouterSolicit { lladdr } => 8 + lladdr_len(lladdr),
            Self::RouterAdvert { lladdr, mtu, .. } => {
                16 + lladdr_len(lladdr) + if mtu.is_some() { option::MTU_LEN } else { 0 }
            }
            Self::NeighborSolicit { lladdr, .. } | Self::NeighborAdvert { lladdr, .. } => {
                24 + lladdr_len(lladdr)
            }
        }
    }

    /// Writes the message, checksum included. The buffer is exactly [`buffer_len`](Self::buffer_len) long.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        packet: &mut icmpv6::Packet<T>,
        src: Ipv6Addr,
        dst: Ipv6Addr,
    ) {
        packet.set_msg_code(0);
        let (message, word) = match *self {
            Self::RouterSolicit { lladdr } => {
                emit_lladdr(packet.payload_mut(), option::SOURCE_LLADDR, lladdr);
                (Message::ROUTER_SOLICIT, 0)
            }
            Self::RouterAdvert { .. } => (
                Message::ROUTER_ADVERT,
                self.emit_router_advert(packet.payload_mut()),
            ),
            Self::NeighborSolicit { target_addr, lladdr } => {
                put_bytes(packet.payload_mut(), 0..16, &target_addr.octets());
                emit_lladdr(&mut packet.payload_mut()[16..], option::SOURCE_LLADDR, lladdr);
                (Message::NEIGHBOR_SOLICIT, 0)
            }
            Self::NeighborAdvert {
                router,
                solicited,
                override_,
                target_addr,
                lladdr,
            } => {
                put_bytes(packet.payload_mut(), 0..16, &target_addr.octets());
                emit_lladdr(&mut packet.payload_mut()[16..], option::TARGET_LLADDR, lladdr);
                let flag = |set: bool, bit: u32| if set { bit } else { 0 };
                let word = flag(router, ROUTER) | flag(solicited, SOLICITED) | flag(override_, OVERRIDE);
                (Message::NEIGHBOR_ADVERT, word)
            }
        };
        packet.set_msg_type(message);
        packet.set_word(word);
        packet.fill_checksum(src, dst);
    }

    /// Writes the body of a router advertisement and returns its first word.
    fn emit_router_advert(&self, body: &mut [u8]) -> u32 {
        let Self::RouterAdvert {
            hop_limit,
            managed,
            other,
            router_lifetime_s,
            reachable_time_ms,
            retrans_timer_ms,
            lladdr,
            mtu,
        } = *self
        else {
            return 0;
        };
        put_u32(body, 0..4, reachable_time_ms);
        put_u32(body, 4..8, retrans_timer_ms);
        let rest = emit_lladdr(&mut body[8..], option::SOURCE_LLADDR, lladdr);
        if let Some(mtu) = mtu {
            rest[..2].copy_from_slice(&[option::MTU, 1]);
            put_u16(rest, 2..4, 0);
            put_u32(rest, 4..8, mtu);
        }
        let flags = (u32::from(managed) << 7) | (u32::from(other) << 6);
        (u32::from(hop_limit) << 24) | (flags << 16) | u32::from(router_lifetime_s)
    }
}

/// Writes a link-layer address option, if there is one, and returns what is left of the space.
fn emit_lladdr(space: &mut [u8], kind: u8, lladdr: Option<MacAddr>) -> &mut [u8] {
    let Some(lladdr) = lladdr else {
        return space;
    };
    let (head, rest) = space.split_at_mut(option::LLADDR_LEN);
    head[..2].copy_from_slice(&[kind, 1]);
    put_bytes(head, 2..8, &lladdr.0);
    rest
}

/// §6.1.1.
fn router_solicit(body: &[u8], envelope: &Envelope) -> Result<Repr> {
    let options = option::Known::parse(body)?;
    if envelope.src_addr.is_unspecified() && options.source.is_some() {
        return Err(Error::BadOption);
    }
    Ok(Repr::RouterSolicit {
        lladdr: options.source,
    })
}

/// §6.1.2.
fn router_advert<T: AsRef<[u8]>>(packet: &icmpv6::Packet<T>, envelope: &Envelope) -> Result<Repr> {
    if !envelope.src_addr.is_unicast_link_local() {
        return Err(Error::BadAddress);
    }
    let body = packet.payload();
    let options = option::Known::parse(body.get(8..).ok_or(Error::Truncated)?)?;
    let [hop_limit, flags, ..] = packet.word().to_be_bytes();
    Ok(Repr::RouterAdvert {
        hop_limit,
        managed: flags & 0x80 != 0,
        other: flags & 0x40 != 0,
        router_lifetime_s: packet.word() as u16,
        reachable_time_ms: get_u32(body, 0..4),
        retrans_timer_ms: get_u32(body, 4..8),
        lladdr: options.source,
        mtu: options.mtu,
    })
}

/// The target of a neighbour message: unicast, before the options.
fn target(body: &[u8]) -> Result<(Ipv6Addr, &[u8])> {
    let options = body.get(16..).ok_or(Error::Truncated)?;
    let target = get_ipv6(body, 0..16);
    if target.is_multicast() || target.is_unspecified() {
        return Err(Error::BadAddress);
    }
    Ok((target, options))
}

/// §7.1.1.
fn neighbor_solicit(body: &[u8], envelope: &Envelope) -> Result<Repr> {
    let (target_addr, options) = target(body)?;
    let options = option::Known::parse(options)?;
    if envelope.src_addr.is_unspecified() {
        // A group that is the solicited-node group of itself is one.
        if envelope.dst_addr != solicited_node(envelope.dst_addr) {
            return Err(Error::BadAddress);
        }
        if options.source.is_some() {
            return Err(Error::BadOption);
        }
    }
    Ok(Repr::NeighborSolicit {
        target_addr,
        lladdr: options.source,
    })
}

/// §7.1.2.
fn neighbor_advert<T: AsRef<[u8]>>(packet: &icmpv6::Packet<T>, envelope: &Envelope) -> Result<Repr> {
    let (target_addr, options) = target(packet.payload())?;
    let options = option::Known::parse(options)?;
    let solicited = packet.word() & SOLICITED != 0;
    if envelope.dst_addr.is_multicast() && solicited {
        return Err(Error::BadField);
    }
    Ok(Repr::NeighborAdvert {
        router: packet.word() & ROUTER != 0,
        solicited,
        override_: packet.word() & OVERRIDE != 0,
        target_addr,
        lladdr: options.target,
    })
}

#[cfg(test)]
mod tests;
