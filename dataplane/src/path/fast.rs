//! The fast lane: plain packets (untagged TCP and UDP over IPv4, no options) of flows that exist and to which they change
//! nothing but the time they were last seen, on their way to a server behind DR, IPIP or NAT.
//!
//! It does what the general stages do, in fewer instructions; a test sends the same traffic both ways and compares every
//! byte and counter. Whatever is out of the ordinary goes to the general stages before anything of it was changed.
//!
//! Addresses, ports and checksums are computed as they were loaded: the ones' complement sum commutes with the order of
//! bytes (RFC 1071 §2B). Read first: RFC 1624.

use weir_rings::counters::BackendLines;
use weir_wire::MacAddr;
use weir_wire::checksum::{Delta, Sum};

use super::rewrite::count_in;
use super::{BURST_MAX, Context, Fate, Lane, Pending};
use crate::egress::{EgressTable, OUTER_HOP_LIMIT, Ready};
use crate::family::V4;
use crate::flow::{BUCKET_SLOTS, Candidate, Settled, Table};
use crate::forward::tunnel;
use crate::hash::Seed;
use crate::packet::Packet;
use crate::parse::{self, ETHERNET_LEN, IPV4_LEN, PLAIN4_L3, PLAIN4_L4, PLAIN4_LEN, Plain4};
use crate::prefetch;
use crate::shared::Variant;
use crate::tables::Snapshot;
use crate::tcp_state::State;
use crate::verdict::{PortId, Verdict};

const TCP: u8 = 6;
/// In the first byte of flags and fragment offset.
const DONT_FRAGMENT: u8 = 0x40;

/// Places in a plain frame.
const TOS_AT: usize = 15;
const IDENT_AT: usize = 18;
const FLAGS_AT: usize = 20;
const TTL_AT: usize = 22;
const PROTOCOL_AT: usize = 23;
const IP_CHECKSUM_AT: usize = 24;
const DESTINATION_AT: usize = 30;
const DESTINATION_PORT_AT: usize = 36;
const UDP_CHECKSUM_AT: usize = 40;
const TCP_CHECKSUM_AT: usize = 50;

/// One packet of the burst.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    settled: Settled,
    hash: u64,
    candidate: Candidate,
    ip_len: u16,
    tcp_flags: u8,
    kind: Kind,
}

/// What a packet is to the fast lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// Anything.
    #[default]
    Other,
    /// Plain, but it may change more than the time its flow was seen.
    Plain,
    /// To be handled here.
    Quiet,
}

impl Place {
    #[inline(always)]
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Length and hash, as [`rewrite`] wants them.
    #[inline(always)]
    pub(super) const fn route(&self) -> (u16, u64) {
        (self.ip_len, self.hash)
    }

    /// Hash and content of a plain packet.
    #[inline(always)]
    pub(super) const fn plain(&self) -> (u64, Plain4) {
        let plain = Plain4 {
            pair: self.settled.pair(),
            tail: self.settled.tail(),
            tcp_flags: self.tcp_flags,
            ip_len: self.ip_len,
            quiet: false,
        };
        (self.hash, plain)
    }
}

/// A place for each packet of a burst.
pub(super) type Places = Box<[Place; BURST_MAX]>;

/// No packet anywhere.
pub(super) fn places() -> Places {
    Box::new([Place::default(); BURST_MAX])
}

/// Stage 1: parse, hash, ask for the buckets. Gives the number of packets to be handled here, and the bytes of all.
#[inline(never)]
pub(super) fn take_in<P: Packet>(
    places: &mut [Place],
    packets: &[P],
    table: &Table<V4>,
    tables: &Snapshot,
    (own, seed): (MacAddr, Seed),
) -> (usize, u64) {
    let own = mac_word(own.0);
    let (mut elsewhere, mut bytes) = (0, 0);
    for (place, packet) in places.iter_mut().zip(packets) {
        let (data, total_len) = (packet.data(), packet.total_len());
        bytes += total_len as u64;
        if let Some(head) = data.first_chunk()
            && (parse::word8(head, 0).to_le() << 16 == own || is_virtual(head, tables))
            && let Some(plain) = parse::plain4(head, total_len)
        {
            let hash = seed.short(plain.pair, plain.tail);
            table.prefetch_bucket(hash);
            place.settled = Settled::new(plain.pair, plain.tail, quiet_state(&plain));
            place.hash = hash;
            place.ip_len = plain.ip_len;
            place.kind = Kind::Quiet;
            if !plain.quiet {
                place.tcp_flags = plain.tcp_flags;
                place.kind = Kind::Plain;
                elsewhere += 1;
            }
        } else {
            place.kind = Kind::Other;
            elsewhere += 1;
        }
    }
    (packets.len() - elsewhere, bytes)
}

/// The same where the fast lane is closed.
pub(super) fn take_none<P: Packet>(places: &mut [Place], packets: &[P]) -> (usize, u64) {
    places.fill(Place::default());
    (0, packets.iter().map(|packet| packet.total_len() as u64).sum())
}

/// The state of a flow in which a quiet packet changes nothing.
#[inline(always)]
const fn quiet_state(plain: &Plain4) -> u8 {
    if (plain.tail >> 32) as u8 == TCP {
        State::Established as u8
    } else {
        State::None as u8
    }
}

/// A MAC as the upper bytes of a little-endian word.
const fn mac_word([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_le_bytes([0, 0, a, b, c, d, e, f])
}

#[cold]
#[inline(never)]
fn is_virtual(head: &[u8; PLAIN4_LEN], tables: &Snapshot) -> bool {
    head.first_chunk().is_some_and(|mac| tables.is_virtual_mac(*mac))
}

/// Takes the quiet packets, `quiet` of them, through the other stages. Gives the number of those that got their verdict;
/// the others are with the general stages then.
#[inline]
pub(super) fn run<P: Packet>(
    places: &mut [Place],
    quiet: usize,
    packets: &mut [P],
    verdicts: &mut [Verdict],
    lane: &mut Lane<V4>,
    context: &Context<'_>,
) -> usize {
    let others = lane.pending.len();
    // Mostly every packet is here, and nobody has to ask.
    if quiet == places.len() {
        look_up::<true>(places, &lane.table);
        finish::<true, P>(places, packets, verdicts, lane, context);
    } else {
        look_up::<false>(places, &lane.table);
        finish::<false, P>(places, packets, verdicts, lane, context);
    }
    quiet - (lane.pending.len() - others)
}

/// Stage 2: the buckets are here, ask for the entries.
#[inline(never)]
fn look_up<const ALL: bool>(places: &mut [Place], table: &Table<V4>) {
    if table.is_portable() {
        look_up_by::<ALL>(places, table, prefetch::matches_portable);
    } else {
        look_up_by::<ALL>(places, table, prefetch::matches);
    }
}

#[inline(always)]
fn look_up_by<const ALL: bool>(
    places: &mut [Place],
    table: &Table<V4>,
    compare: impl Fn(&[u16; BUCKET_SLOTS], u16) -> u32 + Copy,
) {
    for place in places {
        if ALL || place.kind == Kind::Quiet {
            place.candidate = table.candidate_by(compare, place.hash);
        }
    }
}

/// Stages 3 and 5: the entries are here. The record of a server is shared by its flows and mostly near.
#[inline(never)]
fn finish<const ALL: bool, P: Packet>(
    places: &mut [Place],
    packets: &mut [P],
    verdicts: &mut [Verdict],
    lane: &mut Lane<V4>,
    context: &Context<'_>,
) {
    let out = Out::new(context);
    for (index, ((place, packet), verdict)) in places.iter().zip(packets).zip(verdicts).enumerate() {
        if !ALL && place.kind != Kind::Quiet {
            continue;
        }
        let backend = match lane.table.settled(place.candidate, place.settled) {
            Some(entry) => {
                entry.seen = context.tick;
                entry.backend
            }
            None => {
                pass_on(index, place, packet.data(), packet.total_len(), lane, None);
                continue;
            }
        };
        match rewrite(&out, backend, (place.ip_len, place.hash), packet, context) {
            Some(port) => *verdict = Verdict::Tx(port),
            None => pass_on(
                index,
                place,
                packet.data(),
                packet.total_len(),
                lane,
                Some(backend),
            ),
        }
    }
}

/// Gives a packet to the general stages: without a flow, or with the server of its flow.
#[cold]
#[inline(never)]
fn pass_on(
    index: usize,
    place: &Place,
    data: &[u8],
    total_len: usize,
    lane: &mut Lane<V4>,
    backend: Option<u32>,
) {
    // It was parsed before, so this cannot fail.
    let Ok(meta) = parse::parse(data, total_len) else {
        return;
    };
    let mut pending = Pending::new(place.hash, parse::key4(data, &meta), index, &meta);
    if let Some(backend) = backend {
        pending.fate = Fate::ToServer;
        pending.backend = backend;
        pending.local = lane.table.local_of(place.candidate);
    }
    lane.pending.push(pending);
}

/// As the fast lane would, a packet whose server was found by the general stages.
#[inline(always)]
pub(crate) fn rewrite_plain<P: Packet>(
    pending: &Pending<V4>,
    packet: &mut P,
    context: &Context<'_>,
) -> Option<PortId> {
    let plain = (pending.l3, pending.l4, pending.vlan_tci) == (PLAIN4_L3, PLAIN4_L4, None);
    // What the general stages would do is compared with what the fast lane does: they do it all then.
    if !plain || context.shared.settings.variant == Variant::General {
        return None;
    }
    rewrite(
        &Out::new(context),
        pending.backend,
        (pending.ip_len() as u16, pending.hash),
        packet,
        context,
    )
}

/// Where packets leave by, and where they are counted: at hand for a whole burst.
pub(super) struct Out<'a> {
    egress: &'a EgressTable,
    counts: BackendLines<'a>,
}

impl<'a> Out<'a> {
    #[inline(always)]
    pub(super) fn new(context: &Context<'a>) -> Self {
        Self {
            egress: &context.shared.egress,
            counts: context.counters.backends(),
        }
    }
}

/// Makes one packet ready for its server. `None`, and nothing changed: this is for the general stages.
#[inline(always)]
pub(super) fn rewrite<P: Packet>(
    out: &Out<'_>,
    backend: u32,
    (ip_len, hash): (u16, u64),
    packet: &mut P,
    context: &Context<'_>,
) -> Option<PortId> {
    let record = out.egress.record(backend)?;
    if record.is_dr() {
        route(ip_len, packet, &record)?;
    } else if record.is_nat() {
        translate(ip_len, packet, &record)?;
    } else if record.is_ipip4() {
        encapsulate(ip_len, hash, packet, &record)?;
    } else {
        return None;
    }
    match out.counts.get(backend) {
        Some(line) => {
            line.packets_in().add(1);
            line.bytes_in().add(u64::from(ip_len));
        }
        None => count_in(backend, u64::from(ip_len), context),
    }
    Some(record.port_id())
}

#[inline(always)]
fn route<P: Packet>(ip_len: u16, packet: &mut P, record: &Ready<'_>) -> Option<()> {
    if ip_len > record.mtu() {
        return None;
    }
    let head = packet.data_mut().first_chunk_mut::<PLAIN4_LEN>()?;
    let hop = Hop::next(head)?;
    hop.write(head);
    record.write_macs(head.first_chunk_mut()?);
    Some(())
}

/// Hop limit, protocol and checksum of the IP header one hop further, as a little-endian machine loads them.
struct Hop(u32);

impl Hop {
    /// One less in the lower byte of its word is one more in the checksum. `None` for the last hop, and where the
    /// checksum would wrap (two packets in 65536).
    #[inline(always)]
    fn next(head: &[u8; PLAIN4_LEN]) -> Option<Self> {
        const CHECKSUM_MAX: u32 = 0xfffd_ffff;
        let word = u32::from_le(parse::word4(head, TTL_AT));
        (word as u8 > 1 && word <= CHECKSUM_MAX).then(|| Self(word + 0x0001_0000 - 1))
    }

    #[inline(always)]
    const fn checksum(&self) -> u16 {
        (self.0 >> 16) as u16
    }

    #[inline(always)]
    fn write(&self, head: &mut [u8; PLAIN4_LEN]) {
        head[TTL_AT..TTL_AT + 4].copy_from_slice(&self.0.to_le_bytes());
    }
}

/// Destination address and port become the server's (RFC 1624, equation 3).
#[inline(always)]
fn translate<P: Packet>(ip_len: u16, packet: &mut P, record: &Ready<'_>) -> Option<()> {
    if ip_len > record.mtu() {
        return None;
    }
    let head = packet.data_mut().first_chunk_mut::<PLAIN4_LEN>()?;
    let hop = Hop::next(head)?;
    let (old, new) = (parse::word4(head, DESTINATION_AT), record.server_v4());
    let address = Delta::new().loaded(u32::from_le(old), u32::from_le(new));
    hop.write(head);
    store2(head, IP_CHECKSUM_AT, address.apply(hop.checksum()));
    head[DESTINATION_AT..DESTINATION_AT + 4].copy_from_slice(&new.to_ne_bytes());
    let old_port = load2(head, DESTINATION_PORT_AT);
    let new_port = match record.server_port() {
        0 => old_port,
        port => port.swap_bytes(),
    };
    store2(head, DESTINATION_PORT_AT, new_port);
    let both = address.loaded(u32::from(old_port), u32::from(new_port));
    if head[PROTOCOL_AT] == TCP {
        let checksum = load2(head, TCP_CHECKSUM_AT);
        store2(head, TCP_CHECKSUM_AT, both.apply(checksum));
    } else {
        let checksum = load2(head, UDP_CHECKSUM_AT);
        store2(head, UDP_CHECKSUM_AT, both.apply_udp(checksum));
    }
    record.write_macs(head.first_chunk_mut()?);
    Some(())
}

/// An outer IPv4 header in front (RFC 2003; ToS, DF and identification as [`crate::forward::tunnel`] says).
#[inline(always)]
fn encapsulate<P: Packet>(ip_len: u16, hash: u64, packet: &mut P, record: &Ready<'_>) -> Option<()> {
    const FRONT_LEN: usize = PLAIN4_LEN + IPV4_LEN;
    let outer_len = ip_len.checked_add(IPV4_LEN as u16)?;
    if outer_len > record.mtu() {
        return None;
    }
    let head = packet.data_mut().first_chunk_mut::<PLAIN4_LEN>()?;
    let hop = Hop::next(head)?;
    let (tos, dont_fragment) = (head[TOS_AT], head[FLAGS_AT] & DONT_FRAGMENT != 0);
    let inner = u16::from_be_bytes([head[IDENT_AT], head[IDENT_AT + 1]]);
    // An atomic datagram needs no identification (RFC 6864 §4.1).
    let ident = if dont_fragment {
        0
    } else {
        tunnel::ident(inner, hash)
    };
    if !packet.prepend(IPV4_LEN) {
        return None;
    }
    let front = packet.data_mut().first_chunk_mut::<FRONT_LEN>()?;
    hop.write(front.last_chunk_mut()?);
    let outer = Outer {
        tos,
        dont_fragment,
        ident,
        len: outer_len,
    };
    outer.write(front.first_chunk_mut()?, record);
    record.write_macs(front.first_chunk_mut()?);
    // Padding of a short frame must not become payload.
    let end = ETHERNET_LEN + usize::from(outer_len);
    if packet.total_len() != end && packet.segments() == 1 {
        let _ = packet.truncate(end);
    }
    Some(())
}

/// What differs from packet to packet in an outer header.
struct Outer {
    tos: u8,
    dont_fragment: bool,
    ident: u16,
    len: u16,
}

impl Outer {
    /// Writes EtherType and IP header.
    #[inline(always)]
    fn write(&self, front: &mut [u8; ETHERNET_LEN + IPV4_LEN], record: &Ready<'_>) {
        const FIXED: u32 = u32::from_le_bytes([0x08, 0x00, 0x45, 0x00]);
        const IPIP: u8 = 4;
        let (source, fixed_sum) = record.outer_v4();
        let (len, ident) = (self.len.swap_bytes(), self.ident.swap_bytes());
        let flags = u16::from(self.dont_fragment) * u16::from(DONT_FRAGMENT);
        let sum = Sum::new()
            .u32(fixed_sum + (u32::from(self.tos) << 8) + (u32::from(IPIP) << 8))
            .u32(u32::from(len) + u32::from(ident) + u32::from(flags));
        let version = FIXED | u32::from(self.tos) << 24;
        front[12..16].copy_from_slice(&version.to_le_bytes());
        store2(front, 16, len);
        store2(front, 18, ident);
        store2(front, 20, flags);
        front[22] = OUTER_HOP_LIMIT;
        front[23] = IPIP;
        store2(front, 24, sum.finish());
        front[26..30].copy_from_slice(&source.to_ne_bytes());
        front[30..34].copy_from_slice(&record.server_v4().to_ne_bytes());
    }
}

/// A word as a little-endian machine loads it.
#[inline(always)]
fn load2<const N: usize>(head: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([head[at], head[at + 1]])
}

#[inline(always)]
fn store2<const N: usize>(head: &mut [u8; N], at: usize, word: u16) {
    head[at..at + 2].copy_from_slice(&word.to_le_bytes());
}
