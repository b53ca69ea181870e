//! Neighbour discovery: solicitations for addresses we hold are answered in place. Read first: RFC 4861 §7.2.

use core::net::{IpAddr, Ipv6Addr};

use weir_wire::icmpv6::Packet as Icmpv6Packet;
use weir_wire::ndp::{Envelope, HOP_LIMIT, Repr};
use weir_wire::{IpProtocol, MacAddr, ipv6};

use super::{check_tag, mac_of};
use crate::burst::{Context, Stop, check_vlan};
use crate::family::{Family, V6};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::Meta;
use crate::verdict::{DropReason, PuntReason, Verdict};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Answers a solicitation, hands everything that teaches neighbours to the host.
pub(crate) fn handle<P: Packet>(packet: &mut P, meta: &Meta, context: &Context<'_>) -> Result<Verdict, Stop> {
    let (l3, l4) = (usize::from(meta.l3), usize::from(meta.l4));
    let data = packet.data();
    let message = data.get(l4..meta.end as usize).ok_or(DropReason::Truncated)?;
    let pair = V6::read_pair(data, l3);
    let envelope = Envelope {
        src_addr: V6::src(&pair).into(),
        dst_addr: V6::dst(&pair).into(),
        hop_limit: data[l3 + 7],
    };
    let repr = Icmpv6Packet::new_checked(message)
        .and_then(|icmp| Repr::parse(&icmp, &envelope))
        .map_err(|_| DropReason::BadNd)?;
    match repr {
        Repr::NeighborSolicit { target_addr, lladdr } => {
            let asked = Asked {
                src: envelope.src_addr,
                target: target_addr,
                lladdr,
            };
            solicited(packet, meta, &asked, context)
        }
        Repr::NeighborAdvert {
            target_addr, lladdr, ..
        } => Err(advertised(target_addr, lladdr, context)),
        Repr::RouterSolicit { .. } | Repr::RouterAdvert { .. } => Err(Stop::Punt(PuntReason::Multicast)),
    }
}

/// The address a station makes of its MAC (RFC 4291 appendix A).
pub(crate) fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// An advertisement for one of our addresses by somebody else is a conflict.
fn advertised(target: Ipv6Addr, lladdr: Option<MacAddr>, context: &Context<'_>) -> Stop {
    let ours = context
        .tables
        .address(IpAddr::V6(target))
        .filter(|address| address.is_held(context.port));
    // Directors that share a virtual MAC advertise it all the same.
    let conflict = ours.is_some_and(|address| {
        lladdr.is_some_and(|mac| mac.0 != mac_of(address, context) || mac.is_virtual_router())
    });
    Stop::Punt(if conflict {
        PuntReason::AddressConflict
    } else {
        PuntReason::Neighbor
    })
}

struct Asked {
    src: Ipv6Addr,
    target: Ipv6Addr,
    lladdr: Option<MacAddr>,
}

fn solicited<P: Packet>(
    packet: &mut P,
    meta: &Meta,
    asked: &Asked,
    context: &Context<'_>,
) -> Result<Verdict, Stop> {
    let ours = context
        .tables
        .address(IpAddr::V6(asked.target))
        .filter(|address| address.is_held(context.port));
    let mac = match ours {
        Some(address) => {
            check_tag(meta.vlan_id(), address, context)?;
            mac_of(address, context)
        }
        // What the host makes of its MAC address, which is ours, and speaks VRRP from.
        None if asked.target == link_local(context.spec.mac) => {
            check_vlan(meta.vlan_id(), context.spec.vlan.map(u16::from))?;
            context.spec.mac.0
        }
        None => return Err(DropReason::NdNotOurs.into()),
    };
    // An asker without an address (it checks whether it may take ours) is answered to everybody (RFC 4861 §7.2.4).
    let anonymous = asked.src.is_unspecified();
    let dst_addr = if anonymous { ALL_NODES } else { asked.src };
    let reply = Repr::NeighborAdvert {
        router: false,
        solicited: !anonymous,
        override_: true,
        target_addr: asked.target,
        lladdr: Some(MacAddr(mac)),
    };
    let l3 = usize::from(meta.l3);
    let end = l3 + ipv6::HEADER_LEN + reply.buffer_len();
    let missing = end.saturating_sub(packet.data().len());
    if missing > 0 && !packet.append(missing) || !packet.truncate(end) {
        return Err(DropReason::NoHeadroom.into());
    }
    let data = packet.data_mut();
    let asker = asked.lladdr.filter(|_| !anonymous).map_or_else(
        || {
            if anonymous {
                MacAddr::from_ipv6_multicast(ALL_NODES).0
            } else {
                source_mac(data)
            }
        },
        |mac| mac.0,
    );
    data[..6].copy_from_slice(&asker);
    data[6..12].copy_from_slice(&mac);
    let (ip, message) = data[l3..].split_at_mut(ipv6::HEADER_LEN);
    let header = ipv6::Repr {
        src_addr: asked.target,
        dst_addr,
        next_header: IpProtocol::ICMPV6,
        payload_len: reply.buffer_len() as u16,
        hop_limit: HOP_LIMIT,
        traffic_class: 0,
        flow_label: 0,
    };
    header.emit(&mut ipv6::Packet::new_unchecked(ip));
    reply.emit(&mut Icmpv6Packet::new_unchecked(message), asked.target, dst_addr);
    Ok(Verdict::Tx(context.port))
}

fn source_mac(data: &[u8]) -> [u8; 6] {
    let mut mac = [0; 6];
    mac.copy_from_slice(&data[6..12]);
    mac
}
