//! Rewriting plain packets (untagged TCP and UDP over IPv4, no options) by DR, NAT and in IPIP, in few instructions.
//!
//! Addresses, ports and checksums are computed as they were loaded: the ones' complement sum commutes with the order of
//! bytes (RFC 1071 §2B). Read first: RFC 1624.

use weir_rings::counters::{BackendLines, LoadLine};
use weir_wire::checksum::{Loaded, checksum_loaded};

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
        Some(count(ip_len, line, &record))
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
        Way::Ipip4 => encapsulate(ip_len, &hash, packet, record)?,
        Way::General => return None,
    }
    Some(count(ip_len, line, record))
}

/// Counts a packet that is ready, and gives the port it leaves by.
#[inline(always)]
pub(crate) fn count(ip_len: u16, line: LoadLine<'_>, record: &Ready<'_>) -> PortId {
    line.packets_in().add(1);
    line.bytes_in().add(u64::from(ip_len));
    record.port_id()
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

    /// With a change of an address.
    #[inline(always)]
    const fn with(self, change: Loaded) -> Self {
        let checksum = change.apply((self.0 >> 16) as u16);
        Self(self.0 & 0xffff | (checksum as u32) << 16)
    }

    #[inline(always)]
    fn write(&self, head: &mut [u8; PLAIN4_LEN]) {
        head[TTL_AT..TTL_AT + 4].copy_from_slice(&self.0.to_le_bytes());
    }
}

/// Destination address and port become the server's (RFC 1624, equation 3).
#[inline(always)]
pub(crate) fn translate(ip_len: u16, head: &mut [u8; PLAIN4_LEN], record: &Ready<'_>) -> Option<()> {
    if ip_len > record.room() {
        return None;
    }
    let hop = Hop::next(head)?;
    let (old, new) = (parse::word4(head, DESTINATION_AT), record.server_v4());
    let address = Loaded::u32(u32::from_le(old), u32::from_le(new));
    hop.with(address).write(head);
    head[DESTINATION_AT..DESTINATION_AT + 4].copy_from_slice(&new.to_ne_bytes());
    let old_port = load2(head, DESTINATION_PORT_AT);
    let new_port = match record.server_port() {
        0 => old_port,
        port => port.swap_bytes(),
    };
    store2(head, DESTINATION_PORT_AT, new_port);
    let both = address.and_u16(old_port, new_port);
    if head[PROTOCOL_AT] == TCP {
        let checksum = load2(head, TCP_CHECKSUM_AT);
        store2(head, TCP_CHECKSUM_AT, both.apply(checksum));
    } else {
        let checksum = load2(head, UDP_CHECKSUM_AT);
        store2(head, UDP_CHECKSUM_AT, both.apply_udp(checksum));
    }
    record.write_link(head.first_chunk_mut()?);
    Some(())
}

/// An outer IPv4 header in front (RFC 2003; ToS, DF and identification as [`super::tunnel`] says).
#[inline(always)]
pub(crate) fn encapsulate<P: Packet>(
    ip_len: u16,
    hash: &u64,
    packet: &mut P,
    record: &Ready<'_>,
) -> Option<()> {
    const FRONT_LEN: usize = PLAIN4_LEN + IPV4_LEN;
    if ip_len > record.room() {
        return None;
    }
    let padded = packet.total_len() != ETHERNET_LEN + usize::from(ip_len);
    let head = packet.data_mut().first_chunk_mut::<PLAIN4_LEN>()?;
    let hop = Hop::next(head)?;
    let outer = Outer::around(head, *hash);
    if !packet.prepend(IPV4_LEN) {
        return None;
    }
    let front = packet.data_mut().first_chunk_mut::<FRONT_LEN>()?;
    hop.write(front.last_chunk_mut()?);
    record.write_link(front.first_chunk_mut()?);
    outer.write(front.first_chunk_mut()?, record);
    // Padding of a short frame must not become payload.
    if padded && packet.segments() == 1 {
        let _ = packet.truncate(ETHERNET_LEN + IPV4_LEN + usize::from(ip_len));
    }
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
}

impl Outer {
    /// Most is as in the packet itself. Where there is room for the packet, its length does not overflow.
    #[inline(always)]
    fn around(head: &[u8; PLAIN4_LEN], hash: u64) -> Self {
        const LENGTH: u64 = (IPV4_LEN as u64) << 16;
        const IDENT: u64 = 0xffff;
        let start = u64::from_be(parse::word8(head, ETHERTYPE_AT)) + LENGTH;
        if head[FLAGS_AT] & DONT_FRAGMENT == 0 {
            let start = start ^ u64::from(ident(0, hash));
            Self {
                start,
                middle: u32::from_le_bytes([0, 0, OUTER_HOP_LIMIT, IPIP]),
            }
        } else {
            // An atomic datagram needs no identification (RFC 6864 §4.1).
            Self {
                start: start & !IDENT,
                middle: u32::from_le_bytes([DONT_FRAGMENT, 0, OUTER_HOP_LIMIT, IPIP]),
            }
        }
    }

    /// Writes EtherType and IP header.
    #[inline(always)]
    fn write(&self, front: &mut [u8; ETHERNET_LEN + IPV4_LEN], record: &Ready<'_>) {
        let (pair, fixed_sum) = record.outer_v4();
        let start = self.start.to_be_bytes();
        let flags = self.middle & 0xffff;
        let checksum = checksum_loaded(u64::from_le_bytes(start), fixed_sum + flags);
        front[12..20].copy_from_slice(&start);
        front[20..24].copy_from_slice(&self.middle.to_le_bytes());
        front[24..26].copy_from_slice(&checksum.to_le_bytes());
        front[26..34].copy_from_slice(&pair);
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
