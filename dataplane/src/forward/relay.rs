//! Packets of connections that only the director knows which held the address before: see [`crate::tables`]'s relays.
//!
//! Nothing is kept here about such a connection; the packet leaves as it came, by the link layer alone, one hop older. One that
//! comes from the very director it would go to is dropped: two that relay to each other would otherwise play with it until
//! its hop limit ran out.

use weir_rings::message::{Protocol, SchedulerKind};

use super::set_l2;
use crate::burst::{Context, Pending, Stop, check_link};
use crate::family::{Family, Key};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::tables::Service;
use crate::verdict::{DropReason, TxReason, Verdict};

/// Looks at a segment that begins nothing, for a service: whether another director is to have it.
///
/// # Errors
/// [`Stop::Relay`], when it is.
#[inline]
pub(crate) fn client_segment<F: Family>(
    key: &Key<F>,
    service: &Service,
    context: &Context<'_>,
) -> Result<(), Stop> {
    let slot = context.tables.relays().and_then(|relays| {
        let known_by = relays.of_address(F::to_ip(key.dst()));
        known_by.filter(|_| !finds_its_server(service))
    });
    go_to(slot, context)
}

/// Looks at a packet to an address that is not ours: whether it is a NAT server's reply that another director is to have.
///
/// # Errors
/// [`Stop::Relay`], when it is, else what it stopped for.
#[cold]
pub(crate) fn reply<F: Family>(stop: Stop, key: &Key<F>, context: &Context<'_>) -> Result<(), Stop> {
    if stop == Stop::Drop(DropReason::NotOurs)
        && let Some(relays) = context.tables.relays()
        && let Some(protocol) = Protocol::from_code(key.protocol)
    {
        let from = (protocol, F::to_ip(key.src()), key.src_port());
        go_to(relays.of_reply(context.port, from), context)?;
    }
    Err(stop)
}

/// Where nobody knows where that director is, there is nobody.
fn go_to(slot: Option<u32>, context: &Context<'_>) -> Result<(), Stop> {
    match slot {
        Some(slot) if check_link(&context.shared.egress.link(slot)).is_ok() => Err(Stop::Relay(slot)),
        Some(_) | None => Ok(()),
    }
}

/// Whether every director sends a packet in the middle of a connection to the same server, as long as the servers stay.
fn finds_its_server(service: &Service) -> bool {
    let by_hash = match service.scheduler.kind() {
        SchedulerKind::Dh | SchedulerKind::Sh | SchedulerKind::Mh | SchedulerKind::Maglev => true,
        SchedulerKind::Rr
        | SchedulerKind::Wrr
        | SchedulerKind::Lc
        | SchedulerKind::Wlc
        | SchedulerKind::Sed
        | SchedulerKind::Nq
        | SchedulerKind::Lblc
        | SchedulerKind::Lblcr
        | SchedulerKind::Fo
        | SchedulerKind::Ovf
        | SchedulerKind::Twos => false,
    };
    by_hash && service.spec.policy.sloppy_tcp
}

/// Sends a packet to the director behind an egress slot.
pub(crate) fn send<F: Ip, P: Packet>(
    packet: &mut P,
    pending: &Pending<F>,
    slot: u32,
    context: &Context<'_>,
) -> Result<Verdict, Stop> {
    let link = context.shared.egress.link(slot);
    check_link(&link)?;
    if packet.data().get(6..12) == Some(&link.dst_mac[..]) {
        return Err(DropReason::RelayLoop.into());
    }
    F::decrement_ttl(packet.data_mut(), usize::from(pending.l3))?;
    set_l2(packet, pending.vlan_tci, &link)?;
    context.counters.reason(TxReason::Relayed.counter()).add(1);
    Ok(Verdict::Tx(link.port_id()))
}
