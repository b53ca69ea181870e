//! Tunnels: the packet goes into an outer header towards the server, which takes it out again and answers the client
//! directly. IPIP (RFC 2003, 2473, 4213), GRE (RFC 2784), GUE (as Linux `fou`), VXLAN (RFC 7348).
//!
//! Outer header: ToS copied with ECN (RFC 6040 §4.1, normal mode), hop limit 64, DF copied from an IPv4 packet and set
//! otherwise. The inner hop limit goes down by one (RFC 2003 §3.1). The flow's hash becomes UDP source port or flow label,
//! so that routers on the way spread flows (RFC 6438).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use weir_wire::checksum::{Sum, pseudo};
use weir_wire::{EtherType, IpProtocol, gre, gue, ipv4, ipv6, udp, vxlan};

use crate::burst::Pending;
use crate::egress::{Link, Mode, Target};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::{ETHERNET_LEN, VLAN_LEN};
use crate::verdict::DropReason;

/// Hop limit of outer headers.
const HOP_LIMIT: u8 = 64;

/// Bytes between the outer link header and the inner IP header.
pub(crate) fn overhead(target: &Target) -> usize {
    outer_ip_len(target) + shim_len(target.mode)
}

const fn outer_ip_len(target: &Target) -> usize {
    if target.address.is_ipv6() {
        ipv6::HEADER_LEN
    } else {
        ipv4::HEADER_LEN
    }
}

const fn shim_len(mode: Mode) -> usize {
    match mode {
        Mode::Gre => gre::HEADER_LEN,
        Mode::GreChecksum => gre::HEADER_LEN + 4,
        Mode::Gue | Mode::GueChecksum => udp::HEADER_LEN + gue::HEADER_LEN,
        Mode::Vxlan => udp::HEADER_LEN + vxlan::HEADER_LEN + ETHERNET_LEN,
        Mode::Ipip | Mode::Dr | Mode::Nat | Mode::FullNat | Mode::Hop => 0,
    }
}

/// The largest inner packet for which [`send`] has room.
pub(crate) fn inner_mtu(target: &Target) -> usize {
    usize::from(target.mtu).saturating_sub(overhead(target))
}

/// Puts the packet into its tunnel.
pub(crate) fn send<F: Ip, P: Packet>(
    packet: &mut P,
    pending: &Pending<F>,
    link: &Link,
    target: &Target,
    random: u64,
) -> Result<(), DropReason> {
    let inner = Inner {
        l3: usize::from(pending.l3),
        len: pending.end as usize - usize::from(pending.l3),
        hash: pending.hash,
        ident: random as u16,
    };
    encapsulate::<F, P>(packet, &inner, link, target)
}

/// The packet to encapsulate.
pub(crate) struct Inner {
    /// Start of its IP header in the frame.
    pub(crate) l3: usize,
    /// Its length, padding excluded.
    pub(crate) len: usize,
    /// Entropy.
    pub(crate) hash: u64,
    /// Identification for an outer header that may be fragmented.
    pub(crate) ident: u16,
}

/// As [`send`], for any packet.
pub(crate) fn encapsulate<F: Ip, P: Packet>(
    packet: &mut P,
    inner: &Inner,
    link: &Link,
    target: &Target,
) -> Result<(), DropReason> {
    if inner.len > inner_mtu(target) {
        return Err(DropReason::TooBig);
    }
    let source = target.source.ok_or(DropReason::NoRoute)?;
    let (l3, end) = (inner.l3, inner.l3 + inner.len);
    let l2_len = ETHERNET_LEN + if link.vlan == 0 { 0 } else { VLAN_LEN };
    let front = overhead(target) + l2_len - l3;
    let (tos, dont_fragment) = (F::tos(packet.data(), l3), F::dont_fragment(packet.data(), l3));
    if !packet.prepend(front) {
        return Err(DropReason::NoHeadroom);
    }
    if let Err(reason) = F::decrement_ttl(packet.data_mut(), l3 + front) {
        // What was put in front can be taken off again.
        let _ = packet.trim_front(front);
        return Err(reason);
    }
    // Padding of a short frame must not become payload.
    if packet.segments() == 1 {
        let _ = packet.truncate(end + front);
    }
    let whole = packet.segments() == 1;
    let data = packet.data_mut();
    put_link(
        data,
        link,
        if target.address.is_ipv6() {
            EtherType::IPV6
        } else {
            EtherType::IPV4
        },
    );
    let outer = &mut data[l2_len..];
    let (ip, rest) = outer.split_at_mut(outer_ip_len(target));
    let payload_len = (shim_len(target.mode) + inner.len) as u16;
    let head = Outer {
        tos,
        dont_fragment,
        ident: inner.ident,
        hash: inner.hash,
        payload_len,
        protocol: protocol::<F>(target.mode),
    };
    head.emit(ip, source, target.address);
    emit_shim::<F>(rest, inner, link, target, source, whole);
    if !whole {
        sum_segments(packet, l2_len + outer_ip_len(target), inner, target, source);
    }
    Ok(())
}

/// The full checksum of a packet in several segments: from `start` in the first to the end of the inner packet.
fn sum_segments<P: Packet>(packet: &mut P, start: usize, inner: &Inner, target: &Target, source: IpAddr) {
    let len = shim_len(target.mode) + inner.len;
    let (at, sum) = match target.mode {
        Mode::GreChecksum => (start + 4, Sum::new()),
        Mode::GueChecksum => match pseudo(source, target.address, IpProtocol::UDP, len as u32) {
            Some(sum) => (start + 6, sum),
            None => return,
        },
        Mode::Ipip
        | Mode::Gre
        | Mode::Gue
        | Mode::Vxlan
        | Mode::Dr
        | Mode::Nat
        | Mode::FullNat
        | Mode::Hop => {
            return;
        }
    };
    packet.data_mut()[at..at + 2].fill(0);
    let mut sum = sum;
    // What follows the inner packet is padding.
    let mut left = len;
    let mut add = |piece: &[u8]| {
        let piece = &piece[..piece.len().min(left)];
        left -= piece.len();
        sum = sum.bytes(piece);
    };
    add(&packet.data()[start..]);
    packet.visit_tail(&mut add);
    let sum = if target.mode == Mode::GueChecksum {
        sum.finish_udp()
    } else {
        sum.finish()
    };
    packet.data_mut()[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

const fn protocol<F: Ip>(mode: Mode) -> IpProtocol {
    match mode {
        Mode::Gre | Mode::GreChecksum => IpProtocol::GRE,
        Mode::Gue | Mode::GueChecksum | Mode::Vxlan => IpProtocol::UDP,
        Mode::Ipip | Mode::Dr | Mode::Nat | Mode::FullNat | Mode::Hop => inner_protocol::<F>(),
    }
}

const fn inner_protocol<F: Ip>() -> IpProtocol {
    if F::V6 { IpProtocol::IPV6 } else { IpProtocol::IPV4 }
}

const fn inner_ethertype<F: Ip>() -> EtherType {
    if F::V6 { EtherType::IPV6 } else { EtherType::IPV4 }
}

fn put_link(data: &mut [u8], link: &Link, ethertype: EtherType) {
    data[..6].copy_from_slice(&link.dst_mac);
    data[6..12].copy_from_slice(&link.src_mac);
    let mut at = 12;
    if link.vlan != 0 {
        data[12..14].copy_from_slice(&EtherType::VLAN.0.to_be_bytes());
        data[14..16].copy_from_slice(&link.vlan.to_be_bytes());
        at = 16;
    }
    data[at..at + 2].copy_from_slice(&ethertype.0.to_be_bytes());
}

struct Outer {
    tos: u8,
    dont_fragment: bool,
    ident: u16,
    hash: u64,
    payload_len: u16,
    protocol: IpProtocol,
}

impl Outer {
    fn emit(&self, header: &mut [u8], source: IpAddr, destination: IpAddr) {
        match (source, destination) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => self.emit_v4(header, src_addr, dst_addr),
            (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => self.emit_v6(header, src_addr, dst_addr),
            // The builder refuses a source of the other family.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        }
    }

    fn emit_v4(&self, header: &mut [u8], src_addr: Ipv4Addr, dst_addr: Ipv4Addr) {
        let repr = ipv4::Repr {
            src_addr,
            dst_addr,
            protocol: self.protocol,
            payload_len: self.payload_len,
            ttl: HOP_LIMIT,
            tos: self.tos,
            // An atomic datagram needs no identification (RFC 6864 §4.1).
            ident: if self.dont_fragment { 0 } else { self.ident },
            dont_frag: self.dont_fragment,
        };
        repr.emit(&mut ipv4::Packet::new_unchecked(header));
    }

    fn emit_v6(&self, header: &mut [u8], src_addr: Ipv6Addr, dst_addr: Ipv6Addr) {
        let repr = ipv6::Repr {
            src_addr,
            dst_addr,
            next_header: self.protocol,
            payload_len: self.payload_len,
            hop_limit: HOP_LIMIT,
            traffic_class: self.tos,
            flow_label: (self.hash >> 20) as u32 & 0x000f_ffff,
        };
        repr.emit(&mut ipv6::Packet::new_unchecked(header));
    }
}

/// What stands between the outer IP header and the inner one. `rest` begins there and holds the inner packet, whole or
/// (several segments, summed by the caller) its start.
fn emit_shim<F: Ip>(
    rest: &mut [u8],
    inner: &Inner,
    link: &Link,
    target: &Target,
    source: IpAddr,
    whole: bool,
) {
    match target.mode {
        Mode::Gre | Mode::GreChecksum => {
            let checksum = target.mode == Mode::GreChecksum;
            let repr = gre::Repr {
                protocol: inner_ethertype::<F>(),
                checksum,
                key: None,
                sequence: None,
            };
            let mut packet = gre::Packet::new_unchecked(rest);
            repr.emit(&mut packet);
            if checksum && whole {
                packet.fill_checksum();
            }
        }
        Mode::Gue | Mode::GueChecksum => {
            let (head, body) = rest.split_at_mut(udp::HEADER_LEN);
            emit_udp(head, target, inner, gue::HEADER_LEN + inner.len);
            gue::Repr {
                protocol: inner_protocol::<F>(),
            }
            .emit(&mut gue::Packet::new_unchecked(body));
            if target.mode == Mode::GueChecksum && whole {
                udp::Packet::new_unchecked(rest).fill_checksum(source, target.address);
            }
        }
        Mode::Vxlan => {
            let (head, body) = rest.split_at_mut(udp::HEADER_LEN);
            emit_udp(head, target, inner, vxlan::HEADER_LEN + ETHERNET_LEN + inner.len);
            let (head, body) = body.split_at_mut(vxlan::HEADER_LEN);
            vxlan::Repr { vni: target.vni }.emit(&mut vxlan::Packet::new_unchecked(head));
            let inner_link = Link {
                dst_mac: target.inner_mac.0,
                vlan: 0,
                ..*link
            };
            put_link(body, &inner_link, inner_ethertype::<F>());
        }
        Mode::Ipip | Mode::Dr | Mode::Nat | Mode::FullNat | Mode::Hop => {}
    }
}

fn emit_udp(header: &mut [u8], target: &Target, inner: &Inner, payload_len: usize) {
    let repr = udp::Repr {
        // The dynamic range (RFC 6335), as VXLAN and GUE advise.
        src_port: 0xc000 | (inner.hash >> 16) as u16 & 0x3fff,
        dst_port: target.tunnel_port,
        payload_len: payload_len as u16,
    };
    repr.emit(&mut udp::Packet::new_unchecked(header));
}
