//! One ready 64-byte record per server and per next hop: out port, MACs, tag, tunnel parameters.
//!
//! The main thread writes, workers read, nobody waits: every word is an atomic of its own, and what must not be mixed
//! (the destination MAC, its port, whether it is known) shares one word. A server's address and port never change
//! under its slot. Words read while others are being replaced can at worst give one packet the old source MAC.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, Release},
};

use weir_rings::message::{Forward, PortId, Tunnel, TunnelChecksum};
use weir_wire::MacAddr;
use weir_wire::checksum::{Loaded, Sum};

use crate::cpu;
use crate::parse::IPV4_LEN;

/// How a packet reaches a server. The values are codes in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Only the MACs change.
    Dr = 0,
    /// IPIP, 4in6, 6in4 or IP6IP6.
    Ipip = 1,
    /// GRE without checksum.
    Gre = 2,
    /// GRE with checksum.
    GreChecksum = 3,
    /// GUE, outer UDP checksum as the outer family allows (none over IPv4).
    Gue = 4,
    /// GUE with a full outer UDP checksum.
    GueChecksum = 5,
    /// VXLAN.
    Vxlan = 6,
    /// Destination NAT.
    Nat = 7,
    /// Source and destination NAT.
    FullNat = 8,
    /// The record is that of a next hop, not of a server.
    Hop = 9,
}

impl Mode {
    #[cfg(test)]
    const ALL: [Self; 10] = [
        Self::Dr,
        Self::Ipip,
        Self::Gre,
        Self::GreChecksum,
        Self::Gue,
        Self::GueChecksum,
        Self::Vxlan,
        Self::Nat,
        Self::FullNat,
        Self::Hop,
    ];

    #[inline(always)]
    const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Ipip,
            2 => Self::Gre,
            3 => Self::GreChecksum,
            4 => Self::Gue,
            5 => Self::GueChecksum,
            6 => Self::Vxlan,
            7 => Self::Nat,
            8 => Self::FullNat,
            9 => Self::Hop,
            _ => Self::Dr,
        }
    }

    /// Whether packets are put into an outer header.
    pub const fn is_tunnel(self) -> bool {
        matches!(
            self,
            Self::Ipip | Self::Gre | Self::GreChecksum | Self::Gue | Self::GueChecksum | Self::Vxlan
        )
    }

    /// Whether addresses are translated, so that replies pass here and a flow entry is needed.
    #[inline]
    pub const fn is_nat(self) -> bool {
        matches!(self, Self::Nat | Self::FullNat)
    }

    /// The mode a configured forward asks for.
    pub const fn of(forward: &Forward) -> Self {
        match forward {
            Forward::Dr => Self::Dr,
            Forward::Nat => Self::Nat,
            Forward::FullNat => Self::FullNat,
            Forward::Tunnel(Tunnel::Ipip) => Self::Ipip,
            Forward::Tunnel(Tunnel::Gre {
                checksum: TunnelChecksum::None,
            }) => Self::Gre,
            Forward::Tunnel(Tunnel::Gre { .. }) => Self::GreChecksum,
            Forward::Tunnel(Tunnel::Gue {
                checksum: TunnelChecksum::None,
                ..
            }) => Self::Gue,
            Forward::Tunnel(Tunnel::Gue { .. }) => Self::GueChecksum,
            Forward::Tunnel(Tunnel::Vxlan { .. }) => Self::Vxlan,
        }
    }
}

/// The first two words: where the frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// Destination MAC.
    pub dst_mac: [u8; 6],
    /// Source MAC.
    pub src_mac: [u8; 6],
    /// Out port.
    pub port: u8,
    /// VLAN id, 0 for untagged.
    pub vlan: u16,
    /// The slot belongs to a configured server or a live next hop.
    pub present: bool,
    /// There is a route; the port and the source MAC are those of its link.
    pub routed: bool,
    /// The destination MAC is known.
    pub resolved: bool,
}

impl Link {
    /// Out port.
    pub const fn port_id(&self) -> PortId {
        PortId(self.port as u16)
    }
}

/// Who is at the far end, and how packets are made ready for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Mode.
    pub mode: Mode,
    /// Path MTU: the largest IP packet that may leave.
    pub mtu: u16,
    /// Address of the server or next hop.
    pub address: IpAddr,
    /// The server's port; 0 keeps the client's.
    pub port: u16,
    /// Outer source address of a tunnel.
    pub source: Option<IpAddr>,
    /// UDP destination port of GUE and VXLAN.
    pub tunnel_port: u16,
    /// VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// Destination MAC inside VXLAN.
    pub inner_mac: MacAddr,
    /// What the server's flows ask for, if all ask for the same.
    pub served: Option<SocketAddrV4>,
}

#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Line([AtomicU64; 8]);

/// How the fast lane makes a packet ready: a bit each in the top half of a record's flags, set only where packets can leave
/// untagged at once. Where none is set the packet is for the general stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Way {
    /// None of these.
    General = 0,
    /// Only the MACs change. The top bit, which is tested at the lowest price.
    Dr = 1 << 7,
    /// The destination, always the same, becomes the server's.
    Nat = 1 << 6,
    /// IPv4 in front.
    Ipip4 = 1 << 5,
    /// The destination, one of several, becomes the server's.
    NatAny = 1 << 4,
}

/// The upper half of a record's first word: port, flags, way. By default that of no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Exit(u16);

impl Exit {
    /// Out port.
    #[inline(always)]
    pub(crate) const fn port_id(self) -> PortId {
        PortId(self.0 & 0xff)
    }

    /// The way packets take.
    #[inline]
    pub(crate) fn way(self) -> Way {
        let ways = [Way::Dr, Way::Nat, Way::Ipip4, Way::NatAny];
        ways.into_iter()
            .find(|way| self.0 & (*way as u16) << 8 != 0)
            .unwrap_or(Way::General)
    }
}

/// A record as the fast lane reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready<'a> {
    first: u64,
    words: &'a [AtomicU64; 8],
}

impl Ready<'_> {
    /// Writes both MACs and the EtherType of IPv4. The two words overlap in the frame; what comes after them is written last.
    #[inline(always)]
    pub(crate) fn write_link(&self, head: &mut [u8; 14]) {
        let second = self.words[1].load(Relaxed);
        head[..8].copy_from_slice(&self.first.to_le_bytes());
        head[6..].copy_from_slice(&second.to_le_bytes());
    }

    /// Where and how packets leave.
    #[inline(always)]
    pub(crate) const fn exit(&self) -> Exit {
        Exit((self.first >> 48) as u16)
    }

    /// The same record if packets leave by this exit.
    #[inline(always)]
    pub(crate) fn through(mut self, exit: Exit) -> Option<Self> {
        // What is above the MAC cancels out, and is not written anyway.
        self.first = self.first.wrapping_sub(u64::from(exit.0) << 48);
        (self.first < 1 << 48).then_some(self)
    }

    /// Out port.
    #[inline(always)]
    pub(crate) const fn port_id(&self) -> PortId {
        self.exit().port_id()
    }

    /// Whether this is the way packets take.
    #[inline(always)]
    pub(crate) const fn goes(&self, way: Way) -> bool {
        self.goes_by(way as u8)
    }

    /// The same for a way given as its bit.
    #[inline(always)]
    pub(crate) const fn goes_by(&self, way: u8) -> bool {
        self.first & (way as u64) << 56 != 0
    }

    /// The way packets take.
    #[inline]
    pub(crate) fn way(&self) -> Way {
        self.exit().way()
    }

    /// Length of the largest IP packet that fits the path MTU once it is ready.
    #[inline(always)]
    pub(crate) fn room(&self) -> u16 {
        self.words[2].load(Relaxed) as u16
    }

    /// The server's port, 0 to keep the client's.
    #[inline(always)]
    pub(crate) fn server_port(&self) -> u16 {
        (self.words[2].load(Relaxed) >> 32) as u16
    }

    /// The server's IPv4 address, in memory order.
    #[inline(always)]
    pub(crate) fn server_v4(&self) -> u32 {
        u32::from_ne_bytes((self.words[4].load(Relaxed) as u32).to_le_bytes())
    }

    /// What [`Way::Nat`] writes: the server's address and port, in memory order; and how that changes the checksum of the IP
    /// header, and the one behind it.
    #[inline(always)]
    pub(crate) fn translation(&self) -> ([u8; 4], [u8; 2], Loaded, Loaded) {
        let word = self.words[4].load(Relaxed);
        let [of_header, of_both] = [word >> 32, word >> 48].map(|word| Loaded::from_word(word as u16));
        let port = self.server_port().to_be_bytes();
        ((word as u32).to_le_bytes(), port, of_header, of_both)
    }

    /// Both addresses of an outer IPv4 header as bytes, and the sum of what never changes in it, folded to one word: hop limit,
    /// protocol, both addresses.
    #[inline(always)]
    pub(crate) fn outer_v4(&self) -> ([u8; 8], u32) {
        let pair = self.words[5].load(Relaxed).to_le_bytes();
        (pair, self.words[7].load(Relaxed) as u32)
    }
}

/// Records as the fast lane reads them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a>(&'a [Line]);

impl<'a> Records<'a> {
    /// How many there are.
    #[inline(always)]
    pub(crate) const fn len(self) -> usize {
        self.0.len()
    }

    /// Only the first `len` of them.
    #[inline(always)]
    pub(crate) fn first(self, len: usize) -> Self {
        Self(self.0.get(..len).unwrap_or_default())
    }

    /// A slot's.
    #[inline(always)]
    pub(crate) fn get(self, slot: u32) -> Option<Ready<'a>> {
        let Line(words) = self.0.get(slot as usize)?;
        let first = words[0].load(Relaxed);
        Some(Ready { first, words })
    }
}

/// Hop limit of outer headers.
pub(crate) const OUTER_HOP_LIMIT: u8 = 64;

/// Protocol of an IPv4 packet in another one.
pub(crate) const IPIP: u8 = 4;

/// See [`Ready::outer_v4`].
fn outer_sum([s0, s1, s2, s3]: [u8; 4], [d0, d1, d2, d3]: [u8; 4]) -> u16 {
    Sum::new()
        .bytes(&[OUTER_HOP_LIMIT, IPIP, s0, s1, s2, s3, d0, d1, d2, d3])
        .folded()
}

/// How checksums change, of the IP header and behind it, when `served` becomes `server`.
fn changes(served: SocketAddrV4, server: SocketAddrV4) -> [Loaded; 2] {
    let [old, new] = [served, server].map(|of| u32::from_le_bytes(of.ip().octets()));
    let of_header = Loaded::u32(old, new);
    let of_both = of_header.and_u16(served.port().swap_bytes(), server.port().swap_bytes());
    [of_header, of_both]
}

// Word 0: destination MAC, out port, flags. The upper half of the flags is the way of the fast lane.
const PRESENT: u8 = 1;
const RESOLVED: u8 = 1 << 1;
const ROUTED: u8 = 1 << 2;
const UNTAGGED: u8 = 1 << 3;
const READY: u8 = PRESENT | RESOLVED | ROUTED | UNTAGGED;
// Word 1: source MAC, and what stands behind it in the frame: the EtherType of IPv4, or a VLAN id with this bit.
const TAGGED: u16 = 1 << 15;
const ETHERTYPE_IPV4: u16 = u16::from_le_bytes([0x08, 0x00]);
const _: () = assert!(ETHERTYPE_IPV4 & TAGGED == 0);
// Word 2: path MTU less what the fast lane puts in front, mode and families, high byte of the VNI, server port, tunnel port.
const MODE_BITS: u8 = 0x0f;
const ADDRESS_V6: u8 = 1 << 4;
const SOURCE_SET: u8 = 1 << 5;
const SOURCE_V6: u8 = 1 << 6;
const ONE_SERVED: u8 = 1 << 7;
// Word 3: inner MAC, low half of the VNI. Words 4, 5: server address. Words 6, 7: outer source address. Where both are IPv4,
// word 5 holds both, and word 7 the sum of what never changes in the outer header. Where one destination is served, word 4
// holds above the IPv4 address of the server how checksums change with the translation.

/// The first word without its way.
const WITHOUT_WAY: u64 = 0x0fff_ffff_ffff_ffff;

/// The way of the fast lane for these flags, and a mode and its families.
fn way(flags: u8, code: u8) -> u64 {
    if flags & READY != READY {
        return 0;
    }
    let families = code & (ADDRESS_V6 | SOURCE_SET | SOURCE_V6);
    let is_v4 = families & ADDRESS_V6 == 0;
    let way = match Mode::from_code(code & MODE_BITS) {
        Mode::Dr => Way::Dr,
        Mode::Nat if is_v4 && code & ONE_SERVED != 0 => Way::Nat,
        Mode::Nat if is_v4 => Way::NatAny,
        Mode::Ipip if families == SOURCE_SET => Way::Ipip4,
        Mode::Nat
        | Mode::Ipip
        | Mode::Gre
        | Mode::GreChecksum
        | Mode::Gue
        | Mode::GueChecksum
        | Mode::Vxlan
        | Mode::FullNat
        | Mode::Hop => Way::General,
    };
    (way as u64) << 56
}

/// Bytes the fast lane puts in front of an IP packet, for a mode and its families.
const fn in_front(code: u8) -> u16 {
    const IPIP4: u8 = Mode::Ipip as u8 | SOURCE_SET;
    if code & !ONE_SERVED == IPIP4 {
        IPV4_LEN as u16
    } else {
        0
    }
}

/// All records, by slot.
#[derive(Debug)]
pub struct EgressTable {
    lines: Box<[Line]>,
}

#[inline(always)]
const fn split([a, b, c, d, e, f, g, h]: [u8; 8]) -> ([u8; 6], [u8; 2]) {
    ([a, b, c, d, e, f], [g, h])
}

#[inline(always)]
const fn join([a, b, c, d, e, f]: [u8; 6], [g, h]: [u8; 2]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl EgressTable {
    /// A table of `slots` empty records.
    pub fn new(slots: usize) -> Self {
        Self {
            lines: (0..slots).map(|_| Line::default()).collect(),
        }
    }

    /// Number of records.
    pub const fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    #[inline(always)]
    fn word(&self, slot: u32, index: usize) -> u64 {
        self.lines[slot as usize].0[index].load(Relaxed)
    }

    /// Asks for a record's line.
    #[inline(always)]
    pub fn prefetch(&self, slot: u32) {
        if let Some(line) = self.lines.get(slot as usize) {
            cpu::prefetch(line);
        }
    }

    /// Where a frame for this slot goes.
    #[inline(always)]
    pub fn link(&self, slot: u32) -> Link {
        let (dst_mac, [port, flags]) = split(self.word(slot, 0).to_le_bytes());
        let (src_mac, vlan) = split(self.word(slot, 1).to_le_bytes());
        Link {
            dst_mac,
            src_mac,
            port,
            vlan: match u16::from_le_bytes(vlan) {
                vlan if vlan & TAGGED != 0 => vlan & !TAGGED,
                _ => 0,
            },
            present: flags & PRESENT != 0,
            routed: flags & ROUTED != 0,
            resolved: flags & RESOLVED != 0,
        }
    }

    /// The first records, for the fast lane.
    #[inline(always)]
    pub(crate) fn records(&self) -> Records<'_> {
        Records(&self.lines)
    }

    /// Mode of the slot.
    #[inline(always)]
    pub fn mode(&self, slot: u32) -> Mode {
        Mode::from_code((self.word(slot, 2) >> 16) as u8 & MODE_BITS)
    }

    /// Path MTU of the slot.
    #[inline(always)]
    pub fn mtu(&self, slot: u32) -> u16 {
        let word = self.word(slot, 2);
        (word as u16).saturating_add(in_front((word >> 16) as u8))
    }

    /// The server's port, 0 to keep the client's.
    #[inline(always)]
    pub fn server_port(&self, slot: u32) -> u16 {
        (self.word(slot, 2) >> 32) as u16
    }

    /// The server's address as 128 bits in wire order; an IPv4 address is the first four bytes.
    #[inline(always)]
    pub fn server_bytes(&self, slot: u32) -> [u8; 16] {
        both(self.word(slot, 4), self.word(slot, 5))
    }

    /// Everything about the far end, but what is served.
    pub fn target(&self, slot: u32) -> Target {
        let [_, _, code, vni_high, ..] = self.word(slot, 2).to_le_bytes();
        let (inner_mac, [vni_low, vni_mid]) = split(self.word(slot, 3).to_le_bytes());
        let source = both(self.word(slot, 6), self.word(slot, 7));
        Target {
            mode: Mode::from_code(code & MODE_BITS),
            mtu: self.mtu(slot),
            address: ip(self.server_bytes(slot), code & ADDRESS_V6 != 0),
            port: self.server_port(slot),
            source: (code & SOURCE_SET != 0).then(|| ip(source, code & SOURCE_V6 != 0)),
            tunnel_port: (self.word(slot, 2) >> 48) as u16,
            vni: u32::from_le_bytes([vni_low, vni_mid, vni_high, 0]),
            inner_mac: MacAddr(inner_mac),
            served: None,
        }
    }

    /// Writes the far end. The address and port of a slot in use must be what they were.
    pub fn set_target(&self, slot: u32, target: &Target) {
        let Some(Line(words)) = self.lines.get(slot as usize) else {
            return;
        };
        let [vni_low, vni_mid, vni_high, _] = target.vni.to_le_bytes();
        let mut code = target.mode as u8;
        if target.address.is_ipv6() {
            code |= ADDRESS_V6;
        }
        if let Some(source) = target.source {
            code |= SOURCE_SET | if source.is_ipv6() { SOURCE_V6 } else { 0 };
        }
        let mut above = 0;
        if let (Some(served), IpAddr::V4(server), 1..) = (target.served, target.address, target.port) {
            let [of_header, of_both] = changes(served, SocketAddrV4::new(server, target.port));
            above = u64::from(of_header.word()) << 32 | u64::from(of_both.word()) << 48;
            code |= ONE_SERVED;
        }
        let room = target.mtu.saturating_sub(in_front(code));
        let ([room_a, room_b], [port_a, port_b]) = (room.to_le_bytes(), target.port.to_le_bytes());
        let [tunnel_a, tunnel_b] = target.tunnel_port.to_le_bytes();
        let head = [room_a, room_b, code, vni_high, port_a, port_b, tunnel_a, tunnel_b];
        // Nobody takes the fast lane by a record that is half the old one.
        let first = words[0].load(Relaxed) & WITHOUT_WAY;
        words[0].store(first, Release);
        words[2].store(u64::from_le_bytes(head), Release);
        words[3].store(join(target.inner_mac.0, [vni_low, vni_mid]), Relaxed);
        let address = u128::from_le_bytes(bytes_of(target.address));
        let source = target
            .source
            .map_or(0, |source| u128::from_le_bytes(bytes_of(source)));
        let second_halves = match (target.source, target.address) {
            (Some(IpAddr::V4(source)), IpAddr::V4(address)) => {
                let ([a, b, c, d], [e, f, g, h]) = (source.octets(), address.octets());
                let pair = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                (pair, outer_sum(source.octets(), address.octets()).into())
            }
            _ => ((address >> 64) as u64, (source >> 64) as u64),
        };
        words[4].store(address as u64 | above, Relaxed);
        words[5].store(second_halves.0, Relaxed);
        words[6].store(source as u64, Relaxed);
        words[7].store(second_halves.1, Relaxed);
        words[0].store(first | way((first >> 56) as u8, code), Release);
    }

    /// Writes where frames for this slot go. Not present: flows of the slot have lost their server.
    pub fn set_link(&self, slot: u32, link: &Link) {
        let Some(Line(words)) = self.lines.get(slot as usize) else {
            return;
        };
        let mut flags = 0;
        if link.present {
            flags |= PRESENT;
        }
        if link.routed {
            flags |= ROUTED;
        }
        if link.resolved {
            flags |= RESOLVED;
        }
        if link.vlan == 0 {
            flags |= UNTAGGED;
        }
        let way = way(flags, (words[2].load(Relaxed) >> 16) as u8);
        let behind = match link.vlan {
            0 => ETHERTYPE_IPV4,
            vlan => vlan | TAGGED,
        };
        words[1].store(join(link.src_mac, behind.to_le_bytes()), Relaxed);
        words[0].store(join(link.dst_mac, [link.port, flags]) | way, Release);
    }
}

#[inline(always)]
fn both(low: u64, high: u64) -> [u8; 16] {
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

fn ip(bytes: [u8; 16], v6: bool) -> IpAddr {
    if v6 {
        return IpAddr::V6(Ipv6Addr::from(bytes));
    }
    let [a, b, c, d, ..] = bytes;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

fn bytes_of(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::{EgressTable, Link, Mode, Target, Way};
    use weir_wire::MacAddr;

    #[test]
    fn records_read_back_as_written() {
        let table = EgressTable::new(3);
        let link = Link {
            dst_mac: [2, 0, 0, 0, 0, 9],
            src_mac: [2, 0, 0, 0, 0, 1],
            port: 3,
            vlan: 4094,
            present: true,
            routed: true,
            resolved: true,
        };
        let v4 = Target {
            mode: Mode::Vxlan,
            mtu: 1500,
            address: "192.0.2.9".parse().unwrap(),
            port: 8080,
            source: Some("192.0.2.1".parse().unwrap()),
            tunnel_port: 4789,
            vni: 0x00ab_cdef,
            inner_mac: MacAddr([2, 1, 2, 3, 4, 5]),
            served: None,
        };
        let v6 = Target {
            mode: Mode::FullNat,
            address: "2001:db8::9".parse().unwrap(),
            source: Some("2001:db8::1".parse().unwrap()),
            ..v4
        };
        table.set_link(1, &link);
        table.set_target(1, &v4);
        table.set_target(2, &v6);
        assert_eq!((table.link(1), table.target(1)), (link, v4));
        assert_eq!((table.link(2), table.target(2)), (Link::default(), v6));
        let ipip = Target {
            mode: Mode::Ipip,
            ..v4
        };
        table.set_target(1, &ipip);
        let is_fast = |slot| {
            let record = table.records().get(slot);
            record.is_some_and(|record| record.goes(Way::Ipip4))
        };
        assert!(!is_fast(1), "tagged");
        table.set_link(1, &Link { vlan: 0, ..link });
        let (record, mut head) = (table.records().get(1).unwrap(), [0; 14]);
        record.write_link(&mut head);
        assert_eq!(
            (record.port_id().0, &head[..6], &head[6..12], &head[12..]),
            (3, &link.dst_mac[..], &link.src_mac[..], &[0x08, 0x00][..])
        );
        assert_eq!((record.room(), record.server_port()), (1480, 8080));
        assert_eq!(table.mtu(1), 1500);
        assert_eq!(record.server_v4().to_ne_bytes(), [192, 0, 2, 9]);
        assert_eq!(record.outer_v4().0, [192, 0, 2, 1, 192, 0, 2, 9]);
        assert_eq!(record.way(), Way::Ipip4);
        assert!(is_fast(1) && !record.goes(Way::Dr) && !record.goes(Way::Nat));
        table.set_link(
            1,
            &Link {
                resolved: false,
                vlan: 0,
                ..link
            },
        );
        assert!(!is_fast(1) && table.records().get(99).is_none());
        for mode in Mode::ALL {
            table.set_target(
                0,
                &Target {
                    mode,
                    source: None,
                    ..v4
                },
            );
            assert_eq!((table.mode(0), table.target(0).source), (mode, None));
            table.set_link(0, &Link { vlan: 0, ..link });
            let way = match mode {
                Mode::Dr => Way::Dr,
                Mode::Nat => Way::NatAny,
                _ => Way::General,
            };
            let record = table.records().get(0).unwrap();
            assert_eq!(record.way(), way, "{mode:?} without a source address");
        }
    }
}
