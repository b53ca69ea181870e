//! Packets that are answered in their place: ARP, neighbour discovery, ICMP echo, ICMP errors and resets.

pub(crate) mod arp;
pub(crate) mod echo;
pub(crate) mod error;
pub(crate) mod nd;
pub(crate) mod reset;

use weir_rings::message::{NoServerReply, Protocol};

use crate::burst::{Context, Pending, Stop, check_vlan};
use crate::egress::Mode;
use crate::family::Key;
use crate::forward::{relay, tunnel};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::tcp_flag::RST;
use crate::tables::Address;
use crate::verdict::{DropReason, Verdict};

/// The verdict on a flow's packet that goes no further: where its sender should hear of it, the packet becomes the answer.
/// `client` is the flow's forward tuple of a packet that was to go to a client.
pub(crate) fn refused<F: Ip, P: Packet>(
    packet: &mut P,
    pending: &Pending<F>,
    client: &Key<F>,
    stop: Stop,
    context: &mut Context<'_>,
) -> Verdict {
    let answered = match stop {
        Stop::Drop(reason) if pending.tcp_flags & RST == 0 && is_rejected(reason, &pending.key, context) => {
            reset::reject(packet, pending, context)
        }
        Stop::Drop(DropReason::TtlExceeded) => {
            error::send(packet, pending, error::Kind::TimeExceeded, context)
        }
        Stop::Drop(DropReason::TooBig) if F::dont_fragment(packet.data(), usize::from(pending.l3)) => {
            let mtu = path_mtu(pending, client, context);
            error::send(packet, pending, error::Kind::TooBig(mtu), context)
        }
        Stop::Relay(slot) => relay::send(packet, pending, slot, context),
        Stop::Drop(_) | Stop::Punt(_) | Stop::Steer(_) => return stop.into(),
    };
    verdict(answered)
}

/// The largest packet that would have passed.
fn path_mtu<F: Ip>(pending: &Pending<F>, client: &Key<F>, context: &mut Context<'_>) -> u16 {
    let slot = if pending.fate == crate::burst::Fate::ToClient {
        match context.hop_to_client::<F>(client.src(), pending.hash, pending.backend) {
            Ok(slot) => slot,
            Err(_) => return 0,
        }
    } else {
        pending.backend
    };
    let target = context.shared.egress.target(slot);
    match target.mode {
        Mode::Dr | Mode::Nat | Mode::FullNat | Mode::Hop => target.mtu,
        Mode::Ipip | Mode::Gre | Mode::GreChecksum | Mode::Gue | Mode::GueChecksum | Mode::Vxlan => {
            tunnel::inner_mtu(&target) as u16
        }
    }
}

/// Whether a client hears that nobody serves it: where the service says so, and where it says that flows of a removed
/// server end at once.
pub(crate) fn is_rejected<F: Ip>(reason: DropReason, key: &Key<F>, context: &Context<'_>) -> bool {
    if !matches!(reason, DropReason::NoServer | DropReason::ServerGone) {
        return false;
    }
    let service = Protocol::from_code(key.protocol).and_then(|protocol| {
        context
            .tables
            .service_for(protocol, F::to_ip(key.dst()), key.dst_port())
    });
    service.is_some_and(|service| {
        let ends = reason == DropReason::ServerGone && service.spec.policy.expire_nodest;
        ends || service.spec.no_server == NoServerReply::Reject
    })
}

/// Both ways a packet can end.
pub(crate) fn verdict(result: Result<Verdict, Stop>) -> Verdict {
    result.unwrap_or_else(Verdict::from)
}

/// The MAC an address of ours answers with on this port.
pub(crate) fn mac_of(address: &Address, context: &Context<'_>) -> [u8; 6] {
    let own = address.own.contains(&context.port);
    address
        .vip
        .filter(|_| !own)
        .and_then(|vip| vip.mac)
        .unwrap_or(context.spec.mac.0)
}

/// The VLAN id an address of ours is in on this port.
pub(crate) fn vlan_of(address: &Address, context: &Context<'_>) -> Option<u16> {
    let own = address.own.contains(&context.port);
    let vip = address.vip.filter(|_| !own).and_then(|vip| vip.vlan);
    vip.or(context.spec.vlan).map(u16::from)
}

/// Whether a frame for one of our addresses carries the tag it should. What servers speak to (the port's own addresses,
/// which may be their gateway, and FULLNAT's) is in the servers' VLANs too.
pub(crate) fn check_tag(found: Option<u16>, address: &Address, context: &Context<'_>) -> Result<(), Stop> {
    let to_servers = address.local || address.own.contains(&context.port);
    if to_servers && found.is_some_and(|vlan| context.tables.is_server_vlan(vlan)) {
        return Ok(());
    }
    check_vlan(found, vlan_of(address, context))
}

/// Sends the frame back to where it came from, from `mac`.
pub(crate) fn turn_l2(data: &mut [u8], mac: [u8; 6]) {
    data.copy_within(6..12, 0);
    data[6..12].copy_from_slice(&mac);
}
