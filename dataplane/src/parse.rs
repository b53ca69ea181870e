//! The one door where lengths are checked: a frame becomes a [`Meta`], after which no access to its headers can fail.
//!
//! Recognised: Ethernet II with at most one 802.1Q tag, ARP, IPv4 with options, IPv6 with extension headers, fragments,
//! TCP, UDP, ICMP and ICMPv6. Offsets and lengths are bytes from the start of the frame. Every header up to and with the
//! fixed part of the transport header must lie in the first segment; the payload may lie in others.
//!
//! Read first: RFC 791 §3.1, RFC 8200 §4, RFC 9293 §3.1.

use weir_wire::{EtherType, IpProtocol};

use crate::cpu::{self, Bits16};
use crate::family::{Family, Key, V4, V6};
use crate::verdict::DropReason;

/// Length of an Ethernet header without tag.
pub const ETHERNET_LEN: usize = 14;
/// Length of an 802.1Q tag.
pub const VLAN_LEN: usize = 4;
/// Length of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Length of the fixed IPv6 header.
pub const IPV6_LEN: usize = 40;
/// Extension headers looked through before the packet counts as malformed.
const EXTENSIONS_MAX: usize = 8;

/// What a frame is, as far as the path must tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// TCP or UDP over IPv4, whole.
    Flow4,
    /// TCP or UDP over IPv6, whole.
    Flow6,
    /// ICMP over IPv4, whole.
    Icmp4,
    /// ICMPv6, whole.
    Icmp6,
    /// A fragment of IPv4, the first included.
    Fragment4,
    /// A fragment of IPv6, the first included.
    Fragment6,
    /// Another protocol over IPv4.
    Other4,
    /// Another protocol over IPv6.
    Other6,
    /// ARP.
    Arp,
    /// Neither IP nor ARP.
    OtherEthertype,
}

/// What was learned by parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub class: Class,
    /// Upper-layer protocol; 0 when not IP.
    pub protocol: u8,
    /// TCP flags; 0 when not TCP.
    pub tcp_flags: u8,
    /// Start of the network header.
    pub l3: u16,
    /// Start of the transport header (of the fragment's payload).
    pub l4: u16,
    /// End of the IP packet; what follows is padding. May lie beyond the first segment.
    pub end: u32,
    /// Tag control information of the 802.1Q tag, if there is one.
    pub vlan_tci: Option<u16>,
}

impl Meta {
    /// Whether this is IPv6.
    pub const fn is_v6(&self) -> bool {
        matches!(
            self.class,
            Class::Flow6 | Class::Icmp6 | Class::Fragment6 | Class::Other6
        )
    }

    /// VLAN id of the tag, if there is one.
    pub fn vlan_id(&self) -> Option<u16> {
        self.vlan_tci.map(|tci| tci & 0x0fff)
    }
}

/// TCP flag bits, as in the header.
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 0x10;
    /// Those that say what a segment is to the connection.
    pub const COUNT: u8 = SYN | FIN | RST | ACK;
}

/// Big-endian word at `at`.
///
/// # Panics
/// When `at` lies beyond the data: only for offsets a [`Meta`] has checked.
#[inline(always)]
pub fn be16(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([data[at], data[at + 1]])
}

#[inline(always)]
fn chunk<const N: usize>(data: &[u8], at: usize) -> Result<&[u8; N], DropReason> {
    data.get(at..)
        .and_then(<[u8]>::first_chunk)
        .ok_or(DropReason::Truncated)
}

/// Parses a frame whose first segment is `data` and which is `total_len` bytes long in all.
///
/// # Errors
/// The reason to count when the frame is malformed.
#[inline]
pub fn parse(data: &[u8], total_len: usize) -> Result<Meta, DropReason> {
    match data.first_chunk().and_then(|head| plain4(head, total_len)) {
        Some(plain) => Ok(plain.meta()),
        None => parse_any(data, total_len),
    }
}

/// Start of the network header of a plain packet.
pub(crate) const PLAIN4_L3: u16 = 14;
/// Start of the transport header of a plain packet.
pub(crate) const PLAIN4_L4: u16 = 34;

/// Bytes of the headers of a plain packet.
pub(crate) const PLAIN4_LEN: usize = 54;

/// Nearly every packet: untagged TCP or UDP over IPv4, whole and without options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain4 {
    /// Both addresses, in memory order.
    pub(crate) pair: u64,
    /// Both ports in memory order, the protocol above them.
    pub(crate) tail: u64,
    pub(crate) tcp_flags: u8,
    pub(crate) ip_len: u16,
    /// Neither begins nor ends anything.
    pub(crate) quiet: bool,
}

impl Plain4 {
    /// The five-tuple.
    #[inline(always)]
    pub(crate) fn key(&self) -> Key<V4> {
        Key {
            pair: self.pair.to_ne_bytes(),
            ports: (self.tail as u32).to_ne_bytes(),
            protocol: (self.tail >> 32) as u8,
        }
    }

    /// End of the IP packet.
    #[inline(always)]
    pub(crate) const fn end(&self) -> u32 {
        ETHERNET_LEN as u32 + self.ip_len as u32
    }

    const fn meta(&self) -> Meta {
        Meta {
            class: Class::Flow4,
            protocol: (self.tail >> 32) as u8,
            tcp_flags: self.tcp_flags,
            l3: PLAIN4_L3,
            l4: PLAIN4_L4,
            end: self.end(),
            vlan_tci: None,
        }
    }
}

/// Eight bytes at a constant place, in memory order: one load.
#[inline(always)]
pub(crate) fn word8(head: &[u8; PLAIN4_LEN], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&head[at..at + 8]);
    u64::from_ne_bytes(word)
}

/// Four bytes at a constant place.
#[inline(always)]
pub(crate) fn word4(head: &[u8; PLAIN4_LEN], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&head[at..at + 4]);
    u32::from_ne_bytes(word)
}

/// The shortcut for plain packets. `None`: ask the general way, which agrees wherever this one answers.
///
/// EtherType, version and header length are one comparison, flags and fragment offset another.
#[inline(always)]
pub(crate) fn plain4(head: &[u8; PLAIN4_LEN], total_len: usize) -> Option<Plain4> {
    const ETHERTYPE_AND_VERSION: u32 = u32::from_ne_bytes([0x08, 0x00, 0x45, 0x00]);
    const NOT_TOS: u32 = u32::from_ne_bytes([0xff, 0xff, 0xff, 0x00]);
    const MORE_OR_OFFSET: u16 = u16::from_ne_bytes([0x3f, 0xff]);
    let plain = word4(head, 12) & NOT_TOS == ETHERTYPE_AND_VERSION;
    let fragment = u16::from_ne_bytes([head[20], head[21]]) & MORE_OR_OFFSET != 0;
    let ip_len = u16::from_be_bytes([head[16], head[17]]);
    if !plain || fragment || ETHERNET_LEN + usize::from(ip_len) > total_len {
        return None;
    }
    let protocol = head[23];
    let (tcp_flags, quiet) = if protocol == IpProtocol::TCP.0 {
        // The upper half of the byte counts words of four bytes.
        let header_len = u16::from(head[46] >> 2) & 0x3c;
        if header_len < 20 || header_len + 20 > ip_len {
            return None;
        }
        flags_of(head)
    } else {
        let udp_len = u32::from(u16::from_be_bytes([head[38], head[39]]));
        if protocol != IpProtocol::UDP.0 || udp_len < 8 || udp_len + 20 > u32::from(ip_len) {
            return None;
        }
        (0, true)
    };
    Some(Plain4 {
        pair: word8(head, 26),
        tail: u64::from(word4(head, 34)) | u64::from(protocol) << 32,
        tcp_flags,
        ip_len,
        quiet,
    })
}

/// Length of the IP packet, if this is a packet of `PROTOCOL` (TCP or UDP) that [`plain4`] calls plain. `None`: ask that one.
///
/// The destination MAC, EtherType, version and header length have been looked at. `total_len` must not be less than what
/// `head` is the beginning of.
#[inline(always)]
pub(crate) fn plain_of<const PROTOCOL: u8>(head: &[u8; PLAIN4_LEN], total_len: usize) -> Option<u16> {
    const MORE_OR_OFFSET: u64 = 0x3fff << 16;
    let transport_len = if PROTOCOL == IpProtocol::TCP.0 { 20 } else { 8 };
    let headers_len = IPV4_LEN as u32 + transport_len;
    // From the length on: length, identification, flags and offset, TTL, protocol.
    let word = u64::from_be(word8(head, 16));
    let ip_len = (word >> 48) as u32;
    // All headers are wanted, and they and the payload within the frame: one comparison.
    let beyond_headers = ip_len.wrapping_sub(headers_len);
    let room = (total_len as u32).wrapping_sub(ETHERNET_LEN as u32 + headers_len);
    if word & (MORE_OR_OFFSET | 0xff) != u64::from(PROTOCOL) || beyond_headers > room {
        return None;
    }
    // The same for the transport header. In TCP the upper half of a byte counts words of four bytes. The reserved bits below
    // make it look up to three bytes longer; whom that is too much for goes the longer way.
    let inner_len = if PROTOCOL == IpProtocol::TCP.0 {
        u32::from(head[46] >> 2)
    } else {
        u32::from(u16::from_be_bytes([head[38], head[39]]))
    };
    (inner_len.wrapping_sub(transport_len) <= beyond_headers).then_some(ip_len as u16)
}

/// Flags of a plain TCP packet, and whether it neither begins nor ends anything.
#[inline(always)]
pub(crate) const fn flags_of(head: &[u8; PLAIN4_LEN]) -> (u8, bool) {
    (head[47], head[47] & tcp_flag::COUNT == tcp_flag::ACK)
}

/// What the frames of plain packets to one station begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Front(Bits16);

impl Front {
    /// Destination MAC, EtherType, version and header length.
    const COUNTS: Bits16 = Bits16([
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0,
    ]);

    /// For the station with this MAC.
    pub(crate) const fn of([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self(Bits16([a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0x08, 0x00, 0x45, 0]))
    }

    /// Whether a frame begins with it.
    #[inline(always)]
    pub(crate) fn is_of(&self, head: &[u8; PLAIN4_LEN]) -> bool {
        head.first_chunk()
            .is_some_and(|first| cpu::agrees(first, &Self::COUNTS, &self.0))
    }
}

/// The general case: tags, options, extension headers, everything that is not TCP or UDP, everything malformed.
fn parse_any(data: &[u8], total_len: usize) -> Result<Meta, DropReason> {
    let head = chunk::<ETHERNET_LEN>(data, 0)?;
    let mut ethertype = EtherType(u16::from_be_bytes([head[12], head[13]]));
    let mut l3 = ETHERNET_LEN;
    let mut vlan_tci = None;
    if ethertype == EtherType::VLAN {
        let tag = chunk::<VLAN_LEN>(data, l3)?;
        vlan_tci = Some(u16::from_be_bytes([tag[0], tag[1]]));
        ethertype = EtherType(u16::from_be_bytes([tag[2], tag[3]]));
        l3 += VLAN_LEN;
    }
    let blank = Meta {
        class: Class::OtherEthertype,
        protocol: 0,
        tcp_flags: 0,
        l3: l3 as u16,
        l4: l3 as u16,
        end: u32::try_from(total_len).unwrap_or(u32::MAX),
        vlan_tci,
    };
    match ethertype {
        EtherType::IPV4 => parse_v4(data, total_len, blank),
        EtherType::IPV6 => parse_v6(data, total_len, blank),
        EtherType::ARP => Ok(Meta {
            class: Class::Arp,
            ..blank
        }),
        EtherType(_) => Ok(blank),
    }
}

fn parse_v4(data: &[u8], total_len: usize, blank: Meta) -> Result<Meta, DropReason> {
    let l3 = usize::from(blank.l3);
    let head = chunk::<IPV4_LEN>(data, l3)?;
    let header_len = usize::from(head[0] & 0x0f) * 4;
    if head[0] >> 4 != 4 || header_len < IPV4_LEN {
        return Err(DropReason::BadIpHeader);
    }
    let ip_len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if ip_len < header_len {
        return Err(DropReason::BadIpHeader);
    }
    if l3 + ip_len > total_len || l3 + header_len > data.len() {
        return Err(DropReason::Truncated);
    }
    let meta = Meta {
        class: Class::Other4,
        protocol: head[9],
        l4: (l3 + header_len) as u16,
        end: (l3 + ip_len) as u32,
        ..blank
    };
    if (head[6] & 0x3f) | head[7] != 0 {
        return Ok(Meta {
            class: Class::Fragment4,
            ..meta
        });
    }
    transport(data, meta, Class::Flow4, Class::Icmp4, IpProtocol::ICMP)
}

fn parse_v6(data: &[u8], total_len: usize, blank: Meta) -> Result<Meta, DropReason> {
    let l3 = usize::from(blank.l3);
    let head = chunk::<IPV6_LEN>(data, l3)?;
    if head[0] >> 4 != 6 {
        return Err(DropReason::BadIpHeader);
    }
    let end = l3 + IPV6_LEN + usize::from(u16::from_be_bytes([head[4], head[5]]));
    if end > total_len {
        return Err(DropReason::Truncated);
    }
    let mut next = IpProtocol(head[6]);
    let mut at = l3 + IPV6_LEN;
    let mut fragment = false;
    for _ in 0..EXTENSIONS_MAX {
        let len = match next {
            IpProtocol::HOP_BY_HOP | IpProtocol::IPV6_ROUTE | IpProtocol::IPV6_OPTS => {
                (usize::from(chunk::<2>(data, at)?[1]) + 1) * 8
            }
            IpProtocol::AH => (usize::from(chunk::<2>(data, at)?[1]) + 2) * 4,
            IpProtocol::IPV6_FRAG => {
                let header = chunk::<8>(data, at)?;
                // An atomic fragment (RFC 6946) is a whole packet.
                fragment |= u16::from_be_bytes([header[2], header[3]]) & 0xfff9 != 0;
                8
            }
            IpProtocol(_) => {
                return finish_v6(
                    data,
                    fragment,
                    Meta {
                        protocol: next.0,
                        l4: at as u16,
                        end: end as u32,
                        ..blank
                    },
                );
            }
        };
        next = IpProtocol(chunk::<1>(data, at)?[0]);
        at += len;
        if at > end || at > data.len() {
            return Err(DropReason::Truncated);
        }
        if fragment {
            return finish_v6(
                data,
                true,
                Meta {
                    protocol: next.0,
                    l4: at as u16,
                    end: end as u32,
                    ..blank
                },
            );
        }
    }
    Err(DropReason::BadIpHeader)
}

fn finish_v6(data: &[u8], fragment: bool, meta: Meta) -> Result<Meta, DropReason> {
    if fragment {
        return Ok(Meta {
            class: Class::Fragment6,
            ..meta
        });
    }
    let meta = Meta {
        class: Class::Other6,
        ..meta
    };
    transport(data, meta, Class::Flow6, Class::Icmp6, IpProtocol::ICMPV6)
}

/// Checks the transport header of a whole packet. `meta.class` stays for protocols that are not looked into.
fn transport(
    data: &[u8],
    meta: Meta,
    flow: Class,
    icmp: Class,
    icmp_protocol: IpProtocol,
) -> Result<Meta, DropReason> {
    let l4 = usize::from(meta.l4);
    let len = (meta.end as usize)
        .checked_sub(l4)
        .ok_or(DropReason::BadIpHeader)?;
    match IpProtocol(meta.protocol) {
        IpProtocol::TCP => {
            let head = transport_chunk::<20>(data, l4, len)?;
            let header_len = usize::from(head[12] >> 4) * 4;
            if header_len < 20 || header_len > len {
                return Err(DropReason::BadTransport);
            }
            Ok(Meta {
                class: flow,
                tcp_flags: head[13],
                ..meta
            })
        }
        IpProtocol::UDP => {
            let head = transport_chunk::<8>(data, l4, len)?;
            let udp_len = usize::from(u16::from_be_bytes([head[4], head[5]]));
            if udp_len < 8 || udp_len > len {
                return Err(DropReason::BadTransport);
            }
            Ok(Meta { class: flow, ..meta })
        }
        protocol if protocol == icmp_protocol => {
            transport_chunk::<8>(data, l4, len)?;
            Ok(Meta { class: icmp, ..meta })
        }
        IpProtocol(_) => Ok(meta),
    }
}

/// The fixed part of a transport header: too short for the IP packet is malformed, beyond the first segment truncated.
fn transport_chunk<const N: usize>(data: &[u8], l4: usize, len: usize) -> Result<&[u8; N], DropReason> {
    if len < N {
        return Err(DropReason::BadTransport);
    }
    chunk::<N>(data, l4)
}

/// The five-tuple of a frame of class [`Class::Flow4`].
#[inline]
pub fn key4(data: &[u8], meta: &Meta) -> Key<V4> {
    read_key::<V4, 8>(
        data,
        usize::from(meta.l3) + 12,
        usize::from(meta.l4),
        meta.protocol,
    )
}

/// The five-tuple of a frame of class [`Class::Flow6`].
#[inline]
pub fn key6(data: &[u8], meta: &Meta) -> Key<V6> {
    read_key::<V6, 32>(
        data,
        usize::from(meta.l3) + 8,
        usize::from(meta.l4),
        meta.protocol,
    )
}

#[inline(always)]
fn read_key<F: Family<Pair = [u8; N]>, const N: usize>(
    data: &[u8],
    pair_at: usize,
    l4: usize,
    protocol: u8,
) -> Key<F> {
    let mut key = Key::<F> {
        pair: [0; N],
        ports: [0; 4],
        protocol,
    };
    key.pair.copy_from_slice(&data[pair_at..pair_at + N]);
    key.ports.copy_from_slice(&data[l4..l4 + 4]);
    key
}

#[cfg(test)]
mod tests;
