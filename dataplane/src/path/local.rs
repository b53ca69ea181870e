//! Stage 6: everything that is no flow of a service. ARP, ICMP, neighbour discovery, fragments, other protocols, and
//! frames that were not sent to the port's own MAC.

use weir_wire::IpProtocol;
use weir_wire::{icmpv4, icmpv6};

use super::fragment;
use super::remote::Notes;
use crate::answer::{self, arp, echo, nd};
use crate::burst::{Context, Lane, Stop};
use crate::family::{V4, V6};
use crate::forward::{icmp, outer};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::{Class, Meta};
use crate::verdict::{DropReason, PuntReason, Verdict};

pub(super) fn handle<P: Packet>(
    packet: &mut P,
    meta: &Meta,
    v4: &mut Lane<V4>,
    v6: &mut Lane<V6>,
    context: &mut Context<'_>,
) -> Verdict {
    answer::verdict(sort(packet, meta, v4, v6, context))
}

fn sort<P: Packet>(
    packet: &mut P,
    meta: &Meta,
    v4: &mut Lane<V4>,
    v6: &mut Lane<V6>,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let group = is_group(packet.data(), context)?;
    if let Some(report) = outer::report(packet.data(), meta, context.tables).filter(|_| !group) {
        return if report.inner_v6 {
            outer::relay(packet, meta, &report, &v6.table, context)
        } else {
            outer::relay(packet, meta, &report, &v4.table, context)
        };
    }
    match meta.class {
        Class::Arp => arp::handle(packet, meta, context),
        Class::OtherEthertype => Err(Stop::Punt(PuntReason::OtherEthertype)),
        Class::Icmp6 if is_nd(packet.data(), meta) => nd::handle(packet, meta, context),
        Class::Other4 | Class::Other6 if meta.protocol == IpProtocol::VRRP.0 => {
            Err(Stop::Punt(PuntReason::Vrrp))
        }
        _ if group => Err(Stop::Punt(PuntReason::Multicast)),
        Class::Icmp4 => icmp4(packet, meta, v4, context),
        Class::Icmp6 => icmp6(packet, meta, v6, context),
        Class::Fragment4 => fragment::handle::<V4, P>(packet, meta, context),
        Class::Fragment6 => fragment::handle::<V6, P>(packet, meta, context),
        Class::Other4 => Err(other::<V4>(packet.data(), meta, context)),
        Class::Other6 => Err(other::<V6>(packet.data(), meta, context)),
        // Only frames to a group come here as flows; what is ours went to its lane.
        Class::Flow4 | Class::Flow6 => Err(DropReason::OtherMac.into()),
    }
}

/// Whether the frame went to a group of stations; one for another station ends here.
fn is_group(data: &[u8], context: &Context<'_>) -> Result<bool, Stop> {
    let Some(mac) = data.first_chunk::<6>() else {
        return Err(DropReason::Truncated.into());
    };
    if mac[0] & 1 != 0 {
        return Ok(true);
    }
    if *mac == context.spec.mac.0 || context.tables.is_virtual_mac(*mac) {
        return Ok(false);
    }
    Err(DropReason::OtherMac.into())
}

fn is_nd(data: &[u8], meta: &Meta) -> bool {
    data.get(usize::from(meta.l4))
        .is_some_and(|&kind| icmpv6::Message(kind).is_ndp())
}

fn icmp4<P: Packet>(
    packet: &mut P,
    meta: &Meta,
    lane: &Lane<V4>,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let kind = icmpv4::Message(packet.data()[usize::from(meta.l4)]);
    if kind == icmpv4::Message::ECHO_REQUEST {
        return echo::answer4(packet, meta, context);
    }
    if kind.is_error() {
        return error(packet, meta, lane, context);
    }
    Err(other::<V4>(packet.data(), meta, context))
}

fn icmp6<P: Packet>(
    packet: &mut P,
    meta: &Meta,
    lane: &Lane<V6>,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let kind = icmpv6::Message(packet.data()[usize::from(meta.l4)]);
    if kind == icmpv6::Message::ECHO_REQUEST {
        return echo::answer6(packet, meta, context);
    }
    if kind.is_error() {
        return error(packet, meta, lane, context);
    }
    Err(other::<V6>(packet.data(), meta, context))
}

/// An error that quotes no flow of ours may still be about traffic of the host.
fn error<F: Ip + Notes, P: Packet>(
    packet: &mut P,
    meta: &Meta,
    lane: &Lane<F>,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    match icmp::follow(packet, meta, &lane.table, context) {
        Err(Stop::Drop(DropReason::IcmpNoFlow)) if is_own::<F>(packet.data(), meta, context) => {
            Err(Stop::Punt(PuntReason::Host))
        }
        other => other,
    }
}

fn is_own<F: Ip>(data: &[u8], meta: &Meta, context: &Context<'_>) -> bool {
    let destination = F::to_ip(F::dst(&F::read_pair(data, usize::from(meta.l3))));
    context
        .tables
        .address(destination)
        .is_some_and(|address| address.own.contains(&context.port))
}

/// A protocol that is not balanced: the host's, or nobody's.
pub(super) fn other<F: Ip>(data: &[u8], meta: &Meta, context: &Context<'_>) -> Stop {
    let destination = F::to_ip(F::dst(&F::read_pair(data, usize::from(meta.l3))));
    if destination.is_multicast() {
        return Stop::Punt(PuntReason::Multicast);
    }
    match context.tables.address(destination) {
        Some(address) if address.own.contains(&context.port) => Stop::Punt(PuntReason::Host),
        Some(address) if !address.is_held(context.port) => Stop::Drop(if address.vip.is_some() {
            DropReason::VipNotOwned
        } else {
            DropReason::NotOurs
        }),
        Some(_) => Stop::Drop(DropReason::OtherProtocol),
        None => Stop::Drop(DropReason::NotOurs),
    }
}
