//! ICMP and ICMPv6 echo for addresses we hold. Read first: RFC 792, RFC 4443 §4, RFC 1122 §3.2.2.6.

use weir_wire::{icmpv4, icmpv6, ipv4};

use super::{check_tag, mac_of, turn_l2};
use crate::burst::{Context, Stop};
use crate::family::{Family, V4, V6};
use crate::ip::Ip;
use crate::packet::Packet;
use crate::parse::Meta;
use crate::verdict::{DropReason, Verdict};

/// Hop limit of answers.
const HOP_LIMIT: u8 = 64;

/// Turns an echo request to an address we hold into its reply.
pub(crate) fn answer4<P: Packet>(
    packet: &mut P,
    meta: &Meta,
    context: &Context<'_>,
) -> Result<Verdict, Stop> {
    let (l3, l4) = (usize::from(meta.l3), usize::from(meta.l4));
    let pair = V4::read_pair(packet.data(), l3);
    let mac = check::<V4>(&pair, meta, context)?;
    let data = packet.data_mut();
    icmpv4::Packet::new_unchecked(&mut data[l4..]).turn_into_echo_reply();
    let mut ip = ipv4::Packet::new_unchecked(&mut data[l3..]);
    ip.set_ttl(HOP_LIMIT);
    ip.set_src_addr(V4::dst(&pair).into());
    ip.set_dst_addr(V4::src(&pair).into());
    ip.fill_checksum();
    turn_l2(data, mac);
    Ok(Verdict::Tx(context.port))
}

/// The same for IPv6. The checksum covers both addresses alike, so swapping them does not change it.
pub(crate) fn answer6<P: Packet>(
    packet: &mut P,
    meta: &Meta,
    context: &Context<'_>,
) -> Result<Verdict, Stop> {
    let (l3, l4) = (usize::from(meta.l3), usize::from(meta.l4));
    let pair = V6::read_pair(packet.data(), l3);
    let mac = check::<V6>(&pair, meta, context)?;
    let data = packet.data_mut();
    icmpv6::Packet::new_unchecked(&mut data[l4..]).turn_into_echo_reply();
    data[l3 + 7] = HOP_LIMIT;
    V6::write_pair(data, l3, &pair, &V6::pair(V6::dst(&pair), V6::src(&pair)));
    turn_l2(data, mac);
    Ok(Verdict::Tx(context.port))
}

/// Whether we answer, and with which MAC.
fn check<F: Family>(pair: &F::Pair, meta: &Meta, context: &Context<'_>) -> Result<[u8; 6], Stop> {
    let source = F::to_ip(F::src(pair));
    if source.is_multicast() || source.is_unspecified() || source.is_loopback() {
        return Err(DropReason::BadSource.into());
    }
    let address = context
        .tables
        .address(F::to_ip(F::dst(pair)))
        .ok_or(DropReason::NotOurs)?;
    if !address.is_held(context.port) {
        return Err(if address.vip.is_some() {
            DropReason::VipNotOwned
        } else {
            DropReason::NotOurs
        }
        .into());
    }
    check_tag(meta.vlan_id(), address, context)?;
    let silent = address.own.is_empty() && address.vip.is_some_and(|vip| !vip.echo);
    if silent {
        Err(DropReason::OtherProtocol.into())
    } else {
        Ok(mac_of(address, context))
    }
}
