//! ICMP errors about a tunnel's outer packet, from routers between us and the server. The client cannot know that packet,
//! so the error is made anew about the packet inside, as far as enough of it was quoted.
//!
//! Too big: the client hears the MTU without the tunnel's headers. A network or host that cannot be reached, a hop limit
//! that ran out: the host cannot be reached (RFC 2003 §5, RFC 2473 §8; Linux's IPVS passes type and code on as they are:
//! `ip_vs_in_icmp`, which to read first). Protocol, port and header errors come from a server that has no such tunnel, or
//! takes it off where its kernel does not look: they say nothing about the way and stay here.
//! A router that quotes only the eight bytes RFC 792 asks for has quoted nothing of the client's packet.

use core::net::IpAddr;

use weir_wire::checksum::{Sum, pseudo};
use weir_wire::{EtherType, IpProtocol, icmpv4, icmpv6};

use super::icmp::{self, Quoted};
use super::{set_l2, tunnel};
use crate::answer::error;
use crate::burst::{Context, Pending, Stop, check_link, check_owner, evidence};
use crate::egress::Target;
use crate::family::{Family, V4, V6};
use crate::flow::{Direction, Table};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::{Class, ETHERNET_LEN, Meta, be16};
use crate::tables::{Snapshot, TunnelEnd};
use crate::verdict::{DropReason, Verdict};

const ICMP_LEN: usize = 8;
/// The smallest MTU of IPv4 (RFC 791).
const MTU_MIN: u16 = 68;

/// An error about one of our outer packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// The tunnel's far end.
    server: IpAddr,
    /// Start of the inner IP header in the frame, should that much have been quoted.
    inner: usize,
    /// The inner packet is IPv6.
    pub(crate) inner_v6: bool,
    /// The tunnel's far end itself sent it.
    by_server: bool,
    what: What,
}

/// What happened to the outer packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Too big for this MTU; 0: not said.
    TooBig(u32),
    /// It did not get there.
    Unreachable,
    /// Its receiver could do nothing with it.
    Refused,
}

/// Reads the quoted outer header; `None` when the error is about something else.
pub(crate) fn report(data: &[u8], meta: &Meta, tables: &Snapshot) -> Option<Report> {
    let l4 = usize::from(meta.l4);
    let head = data.get(l4..l4 + ICMP_LEN)?;
    let what = if meta.class == Class::Icmp4 {
        what_v4(head)
    } else if meta.class == Class::Icmp6 {
        what_v6(head)
    } else {
        None
    }?;
    let at = l4 + ICMP_LEN;
    let quoted = data.get(at..(meta.end as usize).min(data.len()))?;
    let (server, protocol, header_len) = outer(quoted)?;
    let (port, inner_v6, shim_len) = shim(protocol, quoted.get(header_len..)?)?;
    let end = TunnelEnd {
        address: server,
        protocol: if protocol == 41 { 4 } else { protocol },
        port,
    };
    tables.is_tunnel_end(&end).then_some(Report {
        server,
        inner: at + header_len + shim_len,
        inner_v6,
        by_server: sender(data, meta) == server,
        what,
    })
}

fn sender(data: &[u8], meta: &Meta) -> IpAddr {
    let l3 = usize::from(meta.l3);
    if meta.class == Class::Icmp6 {
        V6::to_ip(V6::src(&V6::read_pair(data, l3)))
    } else {
        V4::to_ip(V4::src(&V4::read_pair(data, l3)))
    }
}

fn what_v4(head: &[u8]) -> Option<What> {
    use icmpv4::unreachable::{FRAG_NEEDED, PORT, PROTOCOL};
    match (icmpv4::Message(head[0]), head[1]) {
        (icmpv4::Message::DST_UNREACHABLE, FRAG_NEEDED) => Some(What::TooBig(u32::from(be16(head, 6)))),
        (icmpv4::Message::DST_UNREACHABLE, PROTOCOL | PORT) | (icmpv4::Message::PARAM_PROBLEM, _) => {
            Some(What::Refused)
        }
        (icmpv4::Message::DST_UNREACHABLE | icmpv4::Message::TIME_EXCEEDED, _) => Some(What::Unreachable),
        _ => None,
    }
}

fn what_v6(head: &[u8]) -> Option<What> {
    use icmpv6::unreachable::PORT;
    match (icmpv6::Message(head[0]), head[1]) {
        (icmpv6::Message::PKT_TOO_BIG, _) => Some(What::TooBig(u32::from_be_bytes([
            head[4], head[5], head[6], head[7],
        ]))),
        (icmpv6::Message::DST_UNREACHABLE, PORT) | (icmpv6::Message::PARAM_PROBLEM, _) => Some(What::Refused),
        (icmpv6::Message::DST_UNREACHABLE | icmpv6::Message::TIME_EXCEEDED, _) => Some(What::Unreachable),
        _ => None,
    }
}

/// Destination, protocol and header length of a quoted outer header.
fn outer(quoted: &[u8]) -> Option<(IpAddr, u8, usize)> {
    match quoted.first()? >> 4 {
        4 => {
            let header = quoted.get(..20)?;
            let len = usize::from(header[0] & 0x0f) * 4;
            let address: [u8; 4] = header[16..20].try_into().ok()?;
            let first = be16(header, 6) & 0x1fff == 0;
            (first && len >= 20).then_some((address.into(), header[9], len))
        }
        6 => {
            let header = quoted.get(..40)?;
            let address: [u8; 16] = header[24..40].try_into().ok()?;
            Some((address.into(), header[6], 40))
        }
        _ => None,
    }
}

/// UDP port, inner family and length of what stands between the outer IP header and the inner one.
fn shim(protocol: u8, rest: &[u8]) -> Option<(u16, bool, usize)> {
    let family = |ethertype: u16| match EtherType(ethertype) {
        EtherType::IPV4 => Some(false),
        EtherType::IPV6 => Some(true),
        _ => None,
    };
    match protocol {
        4 => Some((0, false, 0)),
        41 => Some((0, true, 0)),
        47 if rest.len() >= 4 => {
            let len = if rest[0] & 0x80 != 0 { 8 } else { 4 };
            Some((0, family(be16(rest, 2))?, len))
        }
        17 if rest.len() >= 4 => {
            let port = be16(rest, 2);
            let beyond = rest.get(8..).unwrap_or_default();
            match beyond.first() {
                // VXLAN: its header, and an Ethernet header.
                Some(0x08) if beyond.len() >= 8 + ETHERNET_LEN => {
                    Some((port, family(be16(beyond, 8 + 12))?, 8 + 8 + ETHERNET_LEN))
                }
                Some(0) if beyond.len() >= 4 => Some((port, beyond[1] == 41, 8 + 4)),
                // Cut short: nothing of the inner packet.
                _ => Some((port, false, rest.len())),
            }
        }
        _ => None,
    }
}

/// Tells the client whose packet was inside.
pub(crate) fn relay<F: Ip, P: Packet>(
    packet: &mut P,
    meta: &Meta,
    report: &Report,
    flows: &Table<F>,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let inner = icmp::read_packet::<F>(packet.data(), report.inner, meta).ok_or(DropReason::IcmpTunnel)?;
    let hash = inner.key.hash(&context.shared.seed);
    let backend = server_of(&inner, hash, report, flows, context)?;
    let target = context.shared.egress.target(backend);
    if !target.mode.is_tunnel() || target.address != report.server {
        return Err(DropReason::IcmpNoFlow.into());
    }
    check_sum(packet, meta)?;
    if report.what == What::Refused && report.by_server {
        evidence::refusal(backend, context);
    }
    let kind = kind::<F>(packet.data(), report, &target)?;
    let hop = context.hop_to_client::<F>(inner.key.src(), hash, backend)?;
    let link = context.shared.egress.link(hop);
    check_link(&link)?;
    // The packet as it was inside, one hop further, behind a link header that is written last.
    let quoted_end = (meta.end as usize).min(packet.data().len());
    let end = ETHERNET_LEN + quoted_end - report.inner;
    if !packet.truncate(quoted_end) || !packet.trim_front(report.inner - ETHERNET_LEN) {
        return Err(DropReason::Truncated.into());
    }
    let ethertype = if F::V6 { EtherType::IPV6 } else { EtherType::IPV4 };
    packet.data_mut()[12..14].copy_from_slice(&ethertype.0.to_be_bytes());
    let pending = Pending {
        hash,
        key: inner.key,
        l3: ETHERNET_LEN as u16,
        l4: (ETHERNET_LEN + inner.l4 - inner.l3) as u16,
        end: end as u32,
        ..Pending::default()
    };
    error::send(packet, &pending, kind, context)?;
    set_l2(packet, None, &link)?;
    Ok(Verdict::Tx(link.port_id()))
}

/// The server the inner packet's flow has. Where flows are forwarded without state, any server of the service will do.
fn server_of<F: Ip>(
    inner: &Quoted<F>,
    hash: u64,
    report: &Report,
    flows: &Table<F>,
    context: &Context<'_>,
) -> Result<u32, Stop> {
    match flows.find(&inner.key, hash, &context.servers()) {
        Some((index, Direction::Forward)) => return Ok(flows.entry(index).backend),
        Some((_, Direction::Reverse)) => return Err(DropReason::IcmpNoFlow.into()),
        None => check_owner::<F>(&inner.key, hash, context)?,
    }
    let protocol = weir_rings::message::Protocol::from_code(inner.key.protocol);
    let service = protocol.and_then(|protocol| {
        context
            .tables
            .service_for(protocol, F::to_ip(inner.key.dst()), inner.key.dst_port())
    });
    let service = service.filter(|service| service.spec.one_packet || flows.is_crowded());
    let backends = service.map_or(&[][..], |service| &service.backends);
    let found = backends
        .iter()
        .find(|(_, backend)| backend.key.address == report.server);
    found.map(|(slot, _)| *slot).ok_or(DropReason::IcmpNoFlow.into())
}

fn check_sum<P: Packet>(packet: &P, meta: &Meta) -> Result<(), Stop> {
    let (l3, l4, end) = (usize::from(meta.l3), usize::from(meta.l4), meta.end as usize);
    let message = packet.data().get(l4..end).ok_or(DropReason::Truncated)?;
    let start = if meta.class == Class::Icmp6 {
        let pair = V6::read_pair(packet.data(), l3);
        let (src, dst) = (V6::to_ip(V6::src(&pair)), V6::to_ip(V6::dst(&pair)));
        pseudo(src, dst, IpProtocol::ICMPV6, message.len() as u32).unwrap_or_default()
    } else {
        Sum::new()
    };
    if start.bytes(message).is_valid() {
        Ok(())
    } else {
        Err(DropReason::BadChecksum.into())
    }
}

/// What the client is told.
fn kind<F: Ip>(data: &[u8], report: &Report, target: &Target) -> Result<error::Kind, Stop> {
    let mtu = match report.what {
        What::TooBig(mtu) => mtu,
        What::Unreachable => return Ok(error::Kind::HostUnreachable),
        What::Refused => return Err(DropReason::IcmpTunnel.into()),
    };
    if !F::dont_fragment(data, report.inner) {
        // Its sender does not look for the path's MTU, and the outer packet may be fragmented.
        return Err(DropReason::IcmpTunnel.into());
    }
    let mtu = match u16::try_from(mtu) {
        Ok(0) | Err(_) => target.mtu,
        Ok(mtu) => mtu,
    };
    let overhead = tunnel::overhead(target) as u16;
    Ok(error::Kind::TooBig(mtu.saturating_sub(overhead).max(MTU_MIN)))
}
