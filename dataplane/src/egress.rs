//! One ready 64-byte record per server and per next hop: out port, MACs, tag, tunnel parameters.
//!
//! The main thread writes, workers read, nobody waits: every word is an atomic of its own, and what must not be mixed
//! (the destination MAC, its port, whether it is known) shares one word. A server's address and port never change
//! under its slot. Words read while others are being replaced can at worst give one packet the old source MAC.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_rings::message::{Forward, PortId, Tunnel, TunnelChecksum};
use weir_wire::MacAddr;

use crate::prefetch;

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
}

#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Line([AtomicU64; 8]);

/// A link without a tag, as its record's words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainLink {
    first: u64,
    second: u64,
}

impl PlainLink {
    /// Writes both MACs.
    #[inline(always)]
    pub(crate) fn write(self, head: &mut [u8; 12]) {
        let macs = u128::from(self.first & 0xffff_ffff_ffff) | u128::from(self.second) << 48;
        let [low @ .., _, _, _, _] = macs.to_le_bytes();
        *head = low;
    }

    /// Out port.
    #[inline(always)]
    pub(crate) const fn port_id(self) -> PortId {
        PortId((self.first >> 48) as u16 & 0xff)
    }
}

// Word 0: destination MAC, out port, flags.
const PRESENT: u8 = 1;
const RESOLVED: u8 = 1 << 1;
const ROUTED: u8 = 1 << 2;
// Word 1: source MAC, VLAN id. Word 2: mode and families, high byte of the VNI, MTU, server port, tunnel port.
const MODE_BITS: u8 = 0x0f;
const ADDRESS_V6: u8 = 1 << 4;
const SOURCE_SET: u8 = 1 << 5;
const SOURCE_V6: u8 = 1 << 6;
// Word 3: inner MAC, low half of the VNI. Words 4, 5: server address. Words 6, 7: outer source address.

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
            prefetch::read(line);
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
            vlan: u16::from_le_bytes(vlan),
            present: flags & PRESENT != 0,
            routed: flags & ROUTED != 0,
            resolved: flags & RESOLVED != 0,
        }
    }

    /// The first two words of a record, when packets can leave by it untagged at once.
    #[inline(always)]
    pub(crate) fn plain_link(&self, slot: u32) -> Option<PlainLink> {
        let Line(words) = self.lines.get(slot as usize)?;
        let (first, second) = (words[0].load(Relaxed), words[1].load(Relaxed));
        let ready = (first >> 56) as u8 == PRESENT | RESOLVED | ROUTED && second >> 48 == 0;
        ready.then_some(PlainLink { first, second })
    }

    /// Mode of the slot.
    #[inline(always)]
    pub fn mode(&self, slot: u32) -> Mode {
        Mode::from_code(self.word(slot, 2) as u8 & MODE_BITS)
    }

    /// Mode and path MTU in one look.
    #[inline(always)]
    pub fn mode_and_mtu(&self, slot: u32) -> (Mode, u16) {
        let word = self.word(slot, 2);
        (Mode::from_code(word as u8 & MODE_BITS), (word >> 16) as u16)
    }

    /// Path MTU of the slot.
    #[inline(always)]
    pub fn mtu(&self, slot: u32) -> u16 {
        (self.word(slot, 2) >> 16) as u16
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

    /// Everything about the far end.
    pub fn target(&self, slot: u32) -> Target {
        let [code, vni_high, ..] = self.word(slot, 2).to_le_bytes();
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
        let ([mtu_a, mtu_b], [port_a, port_b]) = (target.mtu.to_le_bytes(), target.port.to_le_bytes());
        let [tunnel_a, tunnel_b] = target.tunnel_port.to_le_bytes();
        let head = [code, vni_high, mtu_a, mtu_b, port_a, port_b, tunnel_a, tunnel_b];
        words[2].store(u64::from_le_bytes(head), Relaxed);
        words[3].store(join(target.inner_mac.0, [vni_low, vni_mid]), Relaxed);
        let address = u128::from_le_bytes(bytes_of(target.address));
        words[4].store(address as u64, Relaxed);
        words[5].store((address >> 64) as u64, Relaxed);
        let source = target
            .source
            .map_or(0, |source| u128::from_le_bytes(bytes_of(source)));
        words[6].store(source as u64, Relaxed);
        words[7].store((source >> 64) as u64, Relaxed);
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
        words[1].store(join(link.src_mac, link.vlan.to_le_bytes()), Relaxed);
        words[0].store(join(link.dst_mac, [link.port, flags]), Relaxed);
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
    use super::{EgressTable, Link, Mode, Target};
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
        assert!(table.plain_link(1).is_none(), "tagged");
        table.set_link(1, &Link { vlan: 0, ..link });
        let (plain, mut head) = (table.plain_link(1).unwrap(), [0; 12]);
        plain.write(&mut head);
        assert_eq!(
            (plain.port_id().0, &head[..6], &head[6..]),
            (3, &link.dst_mac[..], &link.src_mac[..])
        );
        table.set_link(
            1,
            &Link {
                resolved: false,
                vlan: 0,
                ..link
            },
        );
        assert!(table.plain_link(1).is_none() && table.plain_link(99).is_none());
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
        }
    }
}
