//! Rewriting plain packets (untagged TCP and UDP over IPv4, no options) by DR, NAT and in IPIP, in few instructions.
//!
//! Addresses, ports and checksums are computed as they were loaded: the ones' complement sum commutes with the order of
//! bytes (RFC 1071 §2B). Read first: RFC 1624.

use weir_rings::counters::{BackendLines, LoadLine};
use weir_wire::checksum::{Loaded, checksum_of};

use crate::burst::{Context, Pending};
use crate::egress::{IPIP, OUTER_HOP_LIMIT, Ready, Records, Way};
use crate::family::V4;
use crate::packet::Packet;
use crate::parse::{self, ETHERNET_LEN, IPV4_LEN, PLAIN4_L3, PLAIN4_L4, PLAIN4_LEN};
use crate::shared::Variant;
use crate::verdict::PortId;

const TCP: u8 = 6;
/// In the first byte of flags and fragment offset.
const DONT_FRAGMENT: u8 = 0x40;

/// Places in a plain frame.
const ETHERTYPE_AT: usize = 12;
const FLAGS_AT: usize = 20;
const TTL_AT: usize = 22;
const PROTOCOL_AT: usize = 23;
const CHECKSUM_AT: usize = 24;
const DESTINATION_AT: usize = 30;
const DESTINATION_PORT_AT: usize = 36;
const UDP_CHECKSUM_AT: usize = 40;
const TCP_CHECKSUM_AT: usize = 50;

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
    )
}

/// Where packets leave by, and where they are counted: at hand for a whole burst.
pub(crate) struct Out<'a> {
    records: Records<'a>,
    counts: BackendLines<'a>,
}

impl<'a> Out<'a> {
    #[inline(always)]
    pub(crate) fn new(context: &Context<'a>) -> Self {
        Self {
            records: context.shared.egress.records(),
            counts: context.counters.backends(),
        }
    }

    /// As many of the one as of the other: where the compiler can see that, one comparison is enough for both.
    #[inline(always)]
    pub(crate) fn even(self) -> Self {
        let servers = self.records.len().min(self.counts.len());
        Self {
            records: self.records.first(servers),
            counts: self.counts.first(servers),
        }
    }

    #[inline(always)]
    pub(crate) fn find(&self, backend: u32) -> Option<(Ready<'a>, LoadLine<'a>)> {
        Some((self.records.get(backend)?, self.counts.get(backend)?))
    }
}

/// Makes one packet ready for its server. `None`, and nothing changed: this is for the general stages.
#[inline]
pub(crate) fn rewrite<P: Packet>(
    out: &Out<'_>,
    backend: u32,
    (ip_len, hash): (u16, u64),
    packet: &mut P,
) -> Option<PortId> {
    let (record, line) = out.find(backend)?;
    if record.goes(Way::Dr) {
        route(ip_len, packet.data_mut().first_chunk_mut()?, &record)?;
        count(ip_len, line);
        Some(record.port_id())
    } else {
        rewrite_any((ip_len, hash), packet, &record, line)
    }
}

/// The same, with everything at hand.
#[inline(never)]
pub(crate) fn rewrite_any<P: Packet>(
    (ip_len, hash): (u16, u64),
    packet: &mut P,
    record: &Ready<'_>,
    line: LoadLine<'_>,
) -> Option<PortId> {
    match record.way() {
        Way::Dr => route(ip_len, packet.data_mut().first_chunk_mut()?, record)?,
        Way::Nat => translate(ip_len, packet.data_mut().first_chunk_mut()?, record)?,
        Way::NatAny => translate_any(ip_len, packet.data_mut().first_chunk_mut()?, record)?,
        Way::Ipip4 => encapsulate(ip_len, hash, packet, record)?,
        Way::General => return None,
    }
    count(ip_len, line);
    Some(record.port_id())
}

/// Counts a packet that is ready.
#[inline(always)]
pub(crate) fn count(ip_len: u16, line: LoadLine<'_>) {
    line.packets_in().add(1);
    line.bytes_in().add(u64::from(ip_len));
}

#[inline(always)]
pub(crate) fn route(ip_len: u16, head: &mut [u8; PLAIN4_LEN], record: &Ready<'_>) -> Option<()> {
    if ip_len > record.room() {
        return None;
    }
    let hop = Hop::next(head)?;
    hop.write(head);
    record.write_link(head.first_chunk_mut()?);
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
        // The last hop but one goes the longer way too: comparing with 1 becomes two instructions.
        if word as u8 <= 2 || word > CHECKSUM_MAX {
            return None;
        }
        Some(Self(word + 0x0001_0000 - 1))
    }

    #[inline(always)]
    fn write(&self, head: &mut [u8; PLAIN4_LEN]) {
        head[TTL_AT..TTL_AT + 4].copy_from_slice(&self.0.to_le_bytes());
    }

    /// With a change of an address. The protocol is there already.
    #[inline(always)]
    fn write_with(&self, change: Loaded, head: &mut [u8; PLAIN4_LEN]) {
        head[TTL_AT] = self.0 as u8;
        store2(head, CHECKSUM_AT, change.apply((self.0 >> 16) as u16));
    }
}

/// The one destination of the server's flows becomes the server: address, port and checksums change as the record says.
#[inline(always)]
pub(crate) fn translate(ip_len: u16, head: &mut [u8; PLAIN4_LEN], record: &Ready<'_>) -> Option<()> {
    if ip_len > record.room() {
        return None;
    }
    let hop = Hop::next(head)?;
    let (server, port, of_header, of_both) = record.translation();
    hop.write_with(of_header, head);
    head[DESTINATION_AT..DESTINATION_AT + 4].copy_from_slice(&server);
    head[DESTINATION_PORT_AT..DESTINATION_PORT_AT + 2].copy_from_slice(&port);
    change_transport(of_both, head);
    record.write_link(head.first_chunk_mut()?);
    Some(())
}

/// The same for any destination (RFC 1624, equation 3).
#[inline(always)]
fn translate_any(ip_len: u16, head: &mut [u8; PLAIN4_LEN], record: &Ready<'_>) -> Option<()> {
    if ip_len > record.room() {
        return None;
    }
    let hop = Hop::next(head)?;
    let (old, new) = (parse::word4(head, DESTINATION_AT), record.server_v4());
    let of_address = Loaded::u32(u32::from_le(old), u32::from_le(new));
    hop.write_with(of_address, head);
    head[DESTINATION_AT..DESTINATION_AT + 4].copy_from_slice(&new.to_ne_bytes());
    let old_port = load2(head, DESTINATION_PORT_AT);
    let new_port = match record.server_port() {
        0 => old_port,
        port => port.swap_bytes(),
    };
    store2(head, DESTINATION_PORT_AT, new_port);
    change_transport(of_address.and_u16(old_port, new_port), head);
    record.write_link(head.first_chunk_mut()?);
    Some(())
}

/// The checksum of TCP or UDP after addresses and ports changed.
#[inline(always)]
fn change_transport(change: Loaded, head: &mut [u8; PLAIN4_LEN]) {
    if head[PROTOCOL_AT] == TCP {
        let checksum = load2(head, TCP_CHECKSUM_AT);
        store2(head, TCP_CHECKSUM_AT, change.apply(checksum));
    } else {
        let checksum = load2(head, UDP_CHECKSUM_AT);
        store2(head, UDP_CHECKSUM_AT, change.apply_udp(checksum));
    }
}

/// An outer IPv4 header in front (RFC 2003; ToS, DF and identification as [`super::tunnel`] says). Padding of a short frame
/// must not become payload.
#[inline(always)]
pub(crate) fn encapsulate<P: Packet>(
    ip_len: u16,
    hash: u64,
    packet: &mut P,
    record: &Ready<'_>,
) -> Option<()> {
    const FRONT_LEN: usize = PLAIN4_LEN + IPV4_LEN;
    if ip_len > record.room() {
        return None;
    }
    let head = packet.data().first_chunk::<PLAIN4_LEN>()?;
    let hop = Hop::next(head)?;
    let outer = Outer::around(head, hash);
    // No length overflows: buffers are shorter than 64 KiB, and one with so long a packet has no headroom.
    let len = ip_len.wrapping_add((ETHERNET_LEN + IPV4_LEN) as u16);
    let front = packet.reframe::<IPV4_LEN, FRONT_LEN>(len)?;
    hop.write(front.last_chunk_mut()?);
    record.write_link(front.first_chunk_mut()?);
    outer.write(front.first_chunk_mut()?, record);
    Some(())
}

/// The identification of a header around a whole packet of a flow: as different from packet to packet as the inner ones
/// are, and from flow to flow.
#[inline(always)]
pub(crate) const fn ident(inner: u16, hash: u64) -> u16 {
    inner ^ (hash >> 32) as u16
}

/// What differs from packet to packet in an outer header.
struct Outer {
    /// EtherType, version, ToS, length, identification, in the order of the frame.
    start: u64,
    /// Flags and offset, hop limit, protocol, as a little-endian machine loads them.
    middle: u32,
    /// Of version, ToS and flags in the upper half, of length and identification in the lower one: both leave room for carries.
    sum: u32,
}

impl Outer {
    /// Most is as in the packet itself.
    #[inline(always)]
    fn around(head: &[u8; PLAIN4_LEN], hash: u64) -> Self {
        const LENGTH: u64 = (IPV4_LEN as u64) << 16;
        const IDENT: u64 = 0xffff;
        let start = u64::from_be(parse::word8(head, ETHERTYPE_AT)) + LENGTH;
        if head[FLAGS_AT] & DONT_FRAGMENT != 0 {
            // An atomic datagram needs no identification (RFC 6864 §4.1).
            Self {
                start: start & !IDENT,
                middle: u32::from_le_bytes([DONT_FRAGMENT, 0, OUTER_HOP_LIMIT, IPIP]),
                sum: (start >> 16) as u32 + u32::from_be_bytes([DONT_FRAGMENT, 0, 0, 0]),
            }
        } else {
            mostly_not();
            let start = start ^ u64::from(ident(0, hash));
            Self {
                start,
                middle: u32::from_le_bytes([0, 0, OUTER_HOP_LIMIT, IPIP]),
                sum: (start >> 16) as u32 + u32::from(start as u16),
            }
        }
    }

    /// Writes EtherType and IP header.
    #[inline(always)]
    fn write(&self, front: &mut [u8; ETHERNET_LEN + IPV4_LEN], record: &Ready<'_>) {
        let (pair, fixed_sum) = record.outer_v4();
        let checksum = checksum_of(self.sum + fixed_sum);
        front[12..20].copy_from_slice(&self.start.to_be_bytes());
        front[20..24].copy_from_slice(&self.middle.to_le_bytes());
        front[24..26].copy_from_slice(&checksum.to_be_bytes());
        front[26..34].copy_from_slice(&pair);
    }
}

/// Tells the compiler that a branch is taken less often than the other.
#[cold]
const fn mostly_not() {}

/// A word as a little-endian machine loads it.
#[inline(always)]
fn load2<const N: usize>(head: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([head[at], head[at + 1]])
}

#[inline(always)]
fn store2<const N: usize>(head: &mut [u8; N], at: usize, word: u16) {
    head[at..at + 2].copy_from_slice(&word.to_le_bytes());
}
