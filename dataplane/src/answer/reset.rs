//! A client hears at once that nobody serves it: a reset for TCP, a port unreachable for UDP.
//! Read first: RFC 9293 §3.10.7.1, RFC 1122 §4.1.3.1.

use weir_wire::tcp::{self, Flags, Packet as TcpPacket};
use weir_wire::{IpProtocol, ipv4, ipv6};

use super::{error, turn_l2};
use crate::burst::{Context, Pending, Stop};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::verdict::{DropReason, Verdict};

const TCP: u8 = 6;
const HOP_LIMIT: u8 = 64;

/// Turns the packet, which must be as it came and no reset itself, into the refusal its sender understands.
pub(crate) fn reject<F: Ip, P: Packet>(
    packet: &mut P,
    pending: &Pending<F>,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    if pending.key.protocol == TCP {
        reset(packet, pending, context)
    } else {
        error::send(packet, pending, error::Kind::PortUnreachable, context)
    }
}

fn reset<F: Ip, P: Packet>(
    packet: &mut P,
    pending: &Pending<F>,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let (l3, l4) = (usize::from(pending.l3), usize::from(pending.l4));
    let offending = TcpPacket::new_checked(packet.data().get(l4..).unwrap_or_default())
        .map(|segment| (tcp::Repr::parse(&segment), segment.header_len()))
        .map_err(|_| DropReason::BadTransport)?;
    let (segment, header_len) = offending;
    context.own.may_answer(context.now)?;
    let mac = packet
        .data()
        .first_chunk::<6>()
        .copied()
        .unwrap_or(context.spec.mac.0);
    // The reply has neither options nor extension headers: its transport header follows the fixed header.
    let end = l3 + F::HEADER_LEN + tcp::HEADER_LEN;
    let missing = end.saturating_sub(packet.data().len());
    if missing > 0 && !packet.append(missing) || !packet.truncate(end) {
        return Err(DropReason::NoHeadroom.into());
    }
    let occupied =
        u32::from(segment.flags.contains(Flags::SYN)) + u32::from(segment.flags.contains(Flags::FIN));
    let payload_len = (pending.end as usize - l4 - header_len) as u32;
    let acked = segment.flags.contains(Flags::ACK);
    let reply = tcp::Repr {
        src_port: segment.dst_port,
        dst_port: segment.src_port,
        seq_number: if acked { segment.ack_number } else { 0 },
        ack_number: if acked {
            0
        } else {
            segment
                .seq_number
                .wrapping_add(payload_len)
                .wrapping_add(occupied)
        },
        flags: if acked {
            Flags::RST
        } else {
            Flags(Flags::RST.0 | Flags::ACK.0)
        },
        window_len: 0,
    };
    let data = packet.data_mut();
    turn_l2(data, mac);
    let (ip, segment) = data[l3..].split_at_mut(F::HEADER_LEN);
    let (src, dst) = (F::to_ip(pending.key.dst()), F::to_ip(pending.key.src()));
    emit_ip(ip, src, dst);
    let mut out = TcpPacket::new_unchecked(segment);
    reply.emit(&mut out);
    out.fill_checksum(src, dst);
    Ok(Verdict::Tx(context.port))
}

fn emit_ip(header: &mut [u8], src: core::net::IpAddr, dst: core::net::IpAddr) {
    use core::net::IpAddr::{V4, V6};
    let payload_len = tcp::HEADER_LEN as u16;
    match (src, dst) {
        (V4(src_addr), V4(dst_addr)) => {
            let repr = ipv4::Repr {
                src_addr,
                dst_addr,
                protocol: IpProtocol::TCP,
                payload_len,
                ttl: HOP_LIMIT,
                tos: 0,
                ident: 0,
                dont_frag: true,
            };
            repr.emit(&mut ipv4::Packet::new_unchecked(header));
        }
        (V6(src_addr), V6(dst_addr)) => {
            let repr = ipv6::Repr {
                src_addr,
                dst_addr,
                next_header: IpProtocol::TCP,
                payload_len,
                hop_limit: HOP_LIMIT,
                traffic_class: 0,
                flow_label: 0,
            };
            repr.emit(&mut ipv6::Packet::new_unchecked(header));
        }
        (V4(_), V6(_)) | (V6(_), V4(_)) => {}
    }
}
