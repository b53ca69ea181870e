//! ICMP errors made of the offending packet, in its place. Read first: RFC 1812 §4.3.2, RFC 1191, RFC 4443 §2.4, RFC 8201.

use core::net::IpAddr;

use weir_wire::{IpProtocol, icmpv4, icmpv6, ipv4, ipv6};

use super::turn_l2;
use crate::burst::{Context, Pending, Stop};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::verdict::{DropReason, Verdict};

/// Longest ICMP packet (RFC 1812: no longer than 576 bytes).
const PACKET_MAX_V4: usize = 576;
/// Longest ICMPv6 packet (RFC 4443: no longer than the minimum MTU).
const PACKET_MAX_V6: usize = 1280;
/// Length of an ICMP header of either family.
const ICMP_LEN: usize = 8;
const HOP_LIMIT: u8 = 64;

/// What to tell the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody serves the port.
    PortUnreachable,
    /// Bigger than this MTU.
    TooBig(u16),
    /// The hop limit ran out.
    TimeExceeded,
    /// The way to the server is broken.
    HostUnreachable,
}

/// Turns the packet, which must be as it came, into an ICMP error to its sender from the address it was sent to.
pub(crate) fn send<F: Ip, P: Packet>(
    packet: &mut P,
    pending: &Pending<F>,
    kind: Kind,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    context.own.may_answer(context.now)?;
    let l3 = usize::from(pending.l3);
    let mac = own_mac(packet, context);
    let packet_max = if F::V6 { PACKET_MAX_V6 } else { PACKET_MAX_V4 };
    let front = F::HEADER_LEN + ICMP_LEN;
    let quoted_len = (pending.end as usize)
        .min(packet.data().len())
        .min(l3 + packet_max - front)
        - l3;
    if !packet.truncate(l3 + quoted_len) || !packet.prepend(front) {
        return Err(DropReason::NoHeadroom.into());
    }
    let data = packet.data_mut();
    data.copy_within(front..front + l3, 0);
    turn_l2(data, mac);
    let (head, quoted) = data[l3..].split_at_mut(front);
    emit::<F>(head, quoted, pending, kind);
    Ok(Verdict::Tx(context.port))
}

/// The MAC the packet was sent to: the port's or a virtual one.
fn own_mac<P: Packet>(packet: &P, context: &Context<'_>) -> [u8; 6] {
    packet
        .data()
        .first_chunk::<6>()
        .copied()
        .unwrap_or(context.spec.mac.0)
}

fn emit<F: Ip>(head: &mut [u8], quoted: &[u8], pending: &Pending<F>, kind: Kind) {
    let (ip, icmp) = head.split_at_mut(F::HEADER_LEN);
    let payload_len = (ICMP_LEN + quoted.len()) as u16;
    // From the address that was asked for, to who asked.
    match (F::to_ip(pending.key.dst()), F::to_ip(pending.key.src())) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let repr = ipv4::Repr {
                src_addr,
                dst_addr,
                protocol: IpProtocol::ICMP,
                payload_len,
                ttl: HOP_LIMIT,
                tos: 0,
                ident: 0,
                dont_frag: false,
            };
            repr.emit(&mut ipv4::Packet::new_unchecked(ip));
            emit_v4(icmp, quoted, kind);
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            let repr = ipv6::Repr {
                src_addr,
                dst_addr,
                next_header: IpProtocol::ICMPV6,
                payload_len,
                hop_limit: HOP_LIMIT,
                traffic_class: 0,
                flow_label: 0,
            };
            repr.emit(&mut ipv6::Packet::new_unchecked(ip));
            emit_v6(icmp, quoted, kind, src_addr, dst_addr);
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
    }
}

fn emit_v4(header: &mut [u8], quoted: &[u8], kind: Kind) {
    let (message, code, mtu) = match kind {
        Kind::PortUnreachable => (icmpv4::Message::DST_UNREACHABLE, icmpv4::unreachable::PORT, 0),
        Kind::TooBig(mtu) => (
            icmpv4::Message::DST_UNREACHABLE,
            icmpv4::unreachable::FRAG_NEEDED,
            mtu,
        ),
        Kind::TimeExceeded => (icmpv4::Message::TIME_EXCEEDED, 0, 0),
        Kind::HostUnreachable => (icmpv4::Message::DST_UNREACHABLE, icmpv4::unreachable::HOST, 0),
    };
    let [mtu_high, mtu_low] = mtu.to_be_bytes();
    header.copy_from_slice(&[message.0, code, 0, 0, 0, 0, mtu_high, mtu_low]);
    let sum = weir_wire::checksum::Sum::new()
        .bytes(header)
        .bytes(quoted)
        .finish();
    header[2..4].copy_from_slice(&sum.to_be_bytes());
}

fn emit_v6(header: &mut [u8], quoted: &[u8], kind: Kind, src: core::net::Ipv6Addr, dst: core::net::Ipv6Addr) {
    let (message, code, word) = match kind {
        Kind::PortUnreachable => (icmpv6::Message::DST_UNREACHABLE, icmpv6::unreachable::PORT, 0),
        // No IPv6 link has less (RFC 8200 §5).
        Kind::TooBig(mtu) => (
            icmpv6::Message::PKT_TOO_BIG,
            0,
            u32::from(mtu).max(ipv6::MTU_MIN as u32),
        ),
        Kind::TimeExceeded => (icmpv6::Message::TIME_EXCEEDED, 0, 0),
        Kind::HostUnreachable => (icmpv6::Message::DST_UNREACHABLE, icmpv6::unreachable::ADDRESS, 0),
    };
    header[..4].copy_from_slice(&[message.0, code, 0, 0]);
    header[4..].copy_from_slice(&word.to_be_bytes());
    let len = (header.len() + quoted.len()) as u32;
    let pseudo = weir_wire::checksum::pseudo_v6(src, dst, IpProtocol::ICMPV6, len);
    let sum = pseudo.bytes(header).bytes(quoted).finish();
    header[2..4].copy_from_slice(&sum.to_be_bytes());
}
