//! ARP: requests for addresses we hold are answered in place. Read first: RFC 826, RFC 5227.

use core::net::IpAddr;

use weir_wire::MacAddr;
use weir_wire::arp::{Operation, PACKET_LEN, Packet as ArpPacket, Repr};

use super::{check_tag, mac_of, turn_l2};
use crate::burst::{Context, Stop};
use crate::packet::Packet;
use crate::parse::Meta;
use crate::verdict::{DropReason, PuntReason, Verdict};

/// Answers a request, hands everything that teaches neighbours to the host.
pub(crate) fn handle<P: Packet>(packet: &mut P, meta: &Meta, context: &Context<'_>) -> Result<Verdict, Stop> {
    let l3 = usize::from(meta.l3);
    let repr = packet
        .data()
        .get(l3..)
        .and_then(|data| ArpPacket::new_checked(data).ok())
        .and_then(|arp| Repr::parse(&arp).ok())
        .ok_or(DropReason::BadArp)?;
    let sender = IpAddr::V4(repr.sender_protocol_addr);
    if !repr.sender_hardware_addr.is_unicast() || sender.is_multicast() || sender.is_loopback() {
        return Err(DropReason::BadArp.into());
    }
    let claims_ours = context.tables.address(sender).is_some_and(|address| {
        // Directors that share a virtual MAC announce with it all the same.
        let like_ours = repr.sender_hardware_addr.0 == mac_of(address, context)
            && !(repr.is_gratuitous() && repr.sender_hardware_addr.is_virtual_router());
        address.is_held(context.port) && !like_ours
    });
    if claims_ours {
        return Err(Stop::Punt(PuntReason::AddressConflict));
    }
    match repr.operation {
        Operation::Reply => Err(Stop::Punt(PuntReason::Neighbor)),
        Operation::Request => answer(packet, meta, &repr, context),
    }
}

fn answer<P: Packet>(
    packet: &mut P,
    meta: &Meta,
    repr: &Repr,
    context: &Context<'_>,
) -> Result<Verdict, Stop> {
    let target = context.tables.address(IpAddr::V4(repr.target_protocol_addr));
    let Some(address) = target.filter(|address| address.is_held(context.port)) else {
        return Err(if repr.is_gratuitous() {
            Stop::Punt(PuntReason::Neighbor)
        } else {
            Stop::Drop(DropReason::ArpNotOurs)
        });
    };
    check_tag(meta.vlan_id(), address, context)?;
    let mac = mac_of(address, context);
    let l3 = usize::from(meta.l3);
    let data = packet.data_mut();
    repr.reply_from(MacAddr(mac))
        .emit(&mut ArpPacket::new_unchecked(&mut data[l3..l3 + PACKET_LEN]));
    turn_l2(data, mac);
    Ok(Verdict::Tx(context.port))
}
