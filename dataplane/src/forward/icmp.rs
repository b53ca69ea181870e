//! ICMP errors follow the flow they quote, in both directions. Eight quoted bytes of the transport header suffice.
//!
//! An error about a packet from the virtual address goes on to the server, by the server's mode. An error about a packet
//! we translated towards a server goes on to the client. With NAT the quoted packet is translated back, so that its
//! receiver recognises what it sent. Read first: RFC 792, RFC 4443, RFC 5508 §4, `ip_vs_in_icmp` of Linux.

use weir_wire::checksum::Delta;

use crate::burst::{Context, Stop, check_link, check_owner, evidence};
use crate::family::Key;
use crate::flow::{Direction, Entry, Reverse, Table};
use crate::forward::{set_l2, tunnel};
use crate::ip::{Ip, translate};
use crate::packet::Packet;
use crate::parse::{Meta, be16};
use crate::verdict::{DropReason, Verdict};

/// Quoted bytes that can change: longest header, and the transport header up to the TCP checksum.
const QUOTED_MAX: usize = 60 + 18;
/// Length of an ICMP header.
const ICMP_LEN: usize = 8;

/// The quoted packet.
pub(crate) struct Quoted<F: Ip> {
    /// Start of its header in the frame.
    pub(crate) l3: usize,
    /// Start of its transport header.
    pub(crate) l4: usize,
    /// Its five-tuple.
    pub(crate) key: Key<F>,
}

/// Sends an ICMP error where the flow it quotes goes.
pub(crate) fn follow<F: Ip, P: Packet>(
    packet: &mut P,
    meta: &Meta,
    flows: &Table<F>,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let start = usize::from(meta.l4) + ICMP_LEN;
    let quoted = read_packet::<F>(packet.data(), start, meta).ok_or(DropReason::IcmpNoFlow)?;
    // What travelled the other way is what our tables know.
    let tuple = quoted.key.reversed();
    let hash = tuple.hash(&context.shared.seed);
    let servers = context.servers();
    let Some((index, direction)) = flows.find(&tuple, hash, &servers) else {
        check_owner::<F>(&tuple, hash, context)?;
        return Err(DropReason::IcmpNoFlow.into());
    };
    let entry = *flows.entry(index);
    match direction {
        Direction::Forward => to_server(packet, meta, &quoted, &entry, hash, context),
        Direction::Reverse => to_client(packet, meta, &quoted, &entry, hash, context),
    }
}

/// The five-tuple of the packet quoted from `l3` on; `None` when it is cut too short, a later fragment, or neither TCP nor
/// UDP.
pub(crate) fn read_packet<F: Ip>(data: &[u8], l3: usize, meta: &Meta) -> Option<Quoted<F>> {
    let end = (meta.end as usize).min(data.len());
    let quoted = data.get(l3..end)?;
    if quoted.len() < F::HEADER_LEN {
        return None;
    }
    let (header_len, protocol, later_fragment) = if F::V6 {
        (40, quoted[6], false)
    } else {
        (
            usize::from(quoted[0] & 0x0f) * 4,
            quoted[9],
            be16(quoted, 6) & 0x1fff != 0,
        )
    };
    let version = if F::V6 { 6 } else { 4 };
    let is_flow = quoted[0] >> 4 == version && (protocol == 6 || protocol == 17) && !later_fragment;
    if !is_flow || header_len < F::HEADER_LEN || quoted.len() < header_len + 8 {
        return None;
    }
    let mut ports = [0; 4];
    ports.copy_from_slice(&quoted[header_len..header_len + 4]);
    let key = Key {
        pair: F::read_pair(data, l3),
        ports,
        protocol,
    };
    Some(Quoted {
        l3,
        l4: l3 + header_len,
        key,
    })
}

fn to_server<F: Ip, P: Packet>(
    packet: &mut P,
    meta: &Meta,
    quoted: &Quoted<F>,
    entry: &Entry<F>,
    hash: u64,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let egress = &context.shared.egress;
    let link = egress.link(entry.backend);
    check_link(&link)?;
    let mode = egress.mode(entry.backend);
    let l3 = usize::from(meta.l3);
    if mode.is_tunnel() {
        let inner = tunnel::Inner {
            l3,
            len: meta.end as usize - l3,
            hash,
            ident: context.own.random() as u16,
        };
        let target = egress.target(entry.backend);
        tunnel::encapsulate::<F, P>(packet, &inner, &link, &target)?;
        return Ok(Verdict::Tx(link.port_id()));
    }
    F::decrement_ttl(packet.data_mut(), l3)?;
    if mode.is_nat() {
        let pair = F::read_pair(packet.data(), l3);
        let reply: Key<F> = context.servers().reverse_key(entry);
        let outer = F::pair(F::src(&pair), reply.src());
        rewrite::<F>(packet.data_mut(), meta, quoted, &reply, &pair, &outer);
    }
    set_l2(packet, meta.vlan_tci, &link)?;
    Ok(Verdict::Tx(link.port_id()))
}

fn to_client<F: Ip, P: Packet>(
    packet: &mut P,
    meta: &Meta,
    quoted: &Quoted<F>,
    entry: &Entry<F>,
    hash: u64,
    context: &mut Context<'_>,
) -> Result<Verdict, Stop> {
    let asked = entry.key();
    let hop = context.hop_to_client::<F>(asked.src(), hash, entry.backend)?;
    let link = context.shared.egress.link(hop);
    check_link(&link)?;
    let l3 = usize::from(meta.l3);
    F::decrement_ttl(packet.data_mut(), l3)?;
    let pair = F::read_pair(packet.data(), l3);
    let server = quoted.key.dst();
    let source = if F::src(&pair) == server {
        let at = usize::from(meta.l4);
        let (kind, code) = (packet.data()[at], packet.data()[at + 1]);
        if evidence::is_refusal(F::V6, kind, code) {
            evidence::refusal(entry.backend, context);
        }
        asked.dst()
    } else {
        F::src(&pair)
    };
    let outer = F::pair(source, asked.src());
    rewrite::<F>(packet.data_mut(), meta, quoted, &asked, &pair, &outer);
    set_l2(packet, meta.vlan_tci, &link)?;
    Ok(Verdict::Tx(link.port_id()))
}

/// Translates the quoted packet to `new` and the outer addresses from `old_pair` to `new_pair`; the ICMP checksum follows
/// every changed byte under it.
fn rewrite<F: Ip>(
    data: &mut [u8],
    meta: &Meta,
    quoted: &Quoted<F>,
    new: &Key<F>,
    old_pair: &F::Pair,
    new_pair: &F::Pair,
) {
    let end = (meta.end as usize).min(data.len());
    let len = (end - quoted.l3).min(QUOTED_MAX) & !1;
    let mut before = [0; QUOTED_MAX];
    before[..len].copy_from_slice(&data[quoted.l3..quoted.l3 + len]);
    translate::<F>(data, quoted.l3, quoted.l4, end, &quoted.key, new);
    let mut delta = Delta::new().bytes(&before[..len], &data[quoted.l3..quoted.l3 + len]);
    if F::V6 {
        // ICMPv6 is summed with a pseudo header.
        delta = delta.and(F::pair_delta(old_pair, new_pair));
    }
    let at = usize::from(meta.l4) + 2;
    let checksum = delta.apply(be16(data, at));
    data[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    F::write_pair(data, usize::from(meta.l3), old_pair, new_pair);
}
