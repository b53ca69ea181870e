//! The two IP families as types, so that each has its own flow table and its own copy of the hot path.
//!
//! Addresses and ports stay as they are on the wire: parsing a key is two copies, comparing it three compares.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::hash::Seed;

/// IPv4 or IPv6.
pub trait Family: Copy + PartialEq + fmt::Debug + Default + Send + Sync + 'static {
    /// One address, wire order.
    type Addr: Copy + Eq + fmt::Debug + Default + Send + Sync;
    /// Source address, then destination address, wire order: how both IP headers hold them.
    type Pair: Copy + Eq + fmt::Debug + Default + Send + Sync;
    /// Gives an entry its alignment (its size is 0).
    type Align: Copy + fmt::Debug + Default + Send + Sync;
    /// Whether this is IPv6.
    const V6: bool;

    /// Both addresses as one value.
    fn pair(src: Self::Addr, dst: Self::Addr) -> Self::Pair;
    /// The source of a pair.
    fn src(pair: &Self::Pair) -> Self::Addr;
    /// The destination of a pair.
    fn dst(pair: &Self::Pair) -> Self::Addr;
    /// As the standard library has it.
    fn to_ip(addr: Self::Addr) -> IpAddr;
    /// From a standard address of this family.
    fn from_ip(addr: IpAddr) -> Option<Self::Addr>;
    /// Low 128 bits holding the address; for IPv4 the value of the 32 bits.
    fn bits(addr: Self::Addr) -> u128;
    /// Back from [`bits`](Self::bits).
    fn from_bits(bits: u128) -> Self::Addr;
    /// From 16 bytes of which IPv4 uses the first four, as egress records hold addresses.
    fn from_record(bytes: [u8; 16]) -> Self::Addr;
    /// The hash of a key.
    fn hash(seed: &Seed, key: &Key<Self>) -> u64;
}

/// The five-tuple of a packet in wire order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Key<F: Family> {
    /// Source and destination address.
    pub pair: F::Pair,
    /// Source and destination port.
    pub ports: [u8; 4],
    /// Upper-layer protocol.
    pub protocol: u8,
}

impl<F: Family> Key<F> {
    /// A key from standard values; `None` when an address is of the other family.
    pub fn new(src: IpAddr, src_port: u16, dst: IpAddr, dst_port: u16, protocol: u8) -> Option<Self> {
        Some(Self::of(
            F::from_ip(src)?,
            src_port,
            F::from_ip(dst)?,
            dst_port,
            protocol,
        ))
    }

    /// A key from its parts.
    #[inline]
    pub fn of(src: F::Addr, src_port: u16, dst: F::Addr, dst_port: u16, protocol: u8) -> Self {
        let ([a, b], [c, d]) = (src_port.to_be_bytes(), dst_port.to_be_bytes());
        Self {
            pair: F::pair(src, dst),
            ports: [a, b, c, d],
            protocol,
        }
    }

    /// The same tuple seen from the other side.
    #[inline]
    #[must_use]
    pub fn reversed(&self) -> Self {
        let [a, b, c, d] = self.ports;
        Self {
            pair: F::pair(F::dst(&self.pair), F::src(&self.pair)),
            ports: [c, d, a, b],
            protocol: self.protocol,
        }
    }

    /// Source port.
    #[inline]
    pub fn src_port(&self) -> u16 {
        u16::from_be_bytes([self.ports[0], self.ports[1]])
    }

    /// Destination port.
    #[inline]
    pub fn dst_port(&self) -> u16 {
        u16::from_be_bytes([self.ports[2], self.ports[3]])
    }

    /// Source address.
    #[inline]
    pub fn src(&self) -> F::Addr {
        F::src(&self.pair)
    }

    /// Destination address.
    #[inline]
    pub fn dst(&self) -> F::Addr {
        F::dst(&self.pair)
    }

    /// The key's hash, computed once per packet.
    #[inline]
    pub fn hash(&self, seed: &Seed) -> u64 {
        F::hash(seed, self)
    }
}

/// IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct V4;

/// IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct V6;

/// Two entries a cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
pub struct HalfLine;

/// One entry a cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub struct WholeLine;

impl Family for V4 {
    type Addr = [u8; 4];
    type Pair = [u8; 8];
    type Align = HalfLine;
    const V6: bool = false;

    #[inline]
    fn pair(src: [u8; 4], dst: [u8; 4]) -> [u8; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (src, dst);
        [a, b, c, d, e, f, g, h]
    }

    #[inline]
    fn src(&[a, b, c, d, ..]: &[u8; 8]) -> [u8; 4] {
        [a, b, c, d]
    }

    #[inline]
    fn dst(&[.., e, f, g, h]: &[u8; 8]) -> [u8; 4] {
        [e, f, g, h]
    }

    #[inline]
    fn to_ip(addr: [u8; 4]) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(addr))
    }

    fn from_ip(addr: IpAddr) -> Option<[u8; 4]> {
        match addr {
            IpAddr::V4(addr) => Some(addr.octets()),
            IpAddr::V6(_) => None,
        }
    }

    #[inline]
    fn bits(addr: [u8; 4]) -> u128 {
        u128::from(u32::from_be_bytes(addr))
    }

    #[inline]
    fn from_bits(bits: u128) -> [u8; 4] {
        (bits as u32).to_be_bytes()
    }

    #[inline]
    fn from_record([a, b, c, d, ..]: [u8; 16]) -> [u8; 4] {
        [a, b, c, d]
    }

    #[inline]
    fn hash(seed: &Seed, key: &Key<Self>) -> u64 {
        seed.short(u64::from_ne_bytes(key.pair), tail(key.ports, key.protocol))
    }
}

impl Family for V6 {
    type Addr = [u8; 16];
    type Pair = [u8; 32];
    type Align = WholeLine;
    const V6: bool = true;

    #[inline]
    fn pair(src: [u8; 16], dst: [u8; 16]) -> [u8; 32] {
        let mut pair = [0; 32];
        pair[..16].copy_from_slice(&src);
        pair[16..].copy_from_slice(&dst);
        pair
    }

    #[inline]
    fn src(pair: &[u8; 32]) -> [u8; 16] {
        let mut addr = [0; 16];
        addr.copy_from_slice(&pair[..16]);
        addr
    }

    #[inline]
    fn dst(pair: &[u8; 32]) -> [u8; 16] {
        let mut addr = [0; 16];
        addr.copy_from_slice(&pair[16..]);
        addr
    }

    #[inline]
    fn to_ip(addr: [u8; 16]) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(addr))
    }

    fn from_ip(addr: IpAddr) -> Option<[u8; 16]> {
        match addr {
            IpAddr::V4(_) => None,
            IpAddr::V6(addr) => Some(addr.octets()),
        }
    }

    #[inline]
    fn bits(addr: [u8; 16]) -> u128 {
        u128::from_be_bytes(addr)
    }

    #[inline]
    fn from_bits(bits: u128) -> [u8; 16] {
        bits.to_be_bytes()
    }

    #[inline]
    fn from_record(bytes: [u8; 16]) -> [u8; 16] {
        bytes
    }

    #[inline]
    fn hash(seed: &Seed, key: &Key<Self>) -> u64 {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(key.pair.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        seed.long(words, tail(key.ports, key.protocol))
    }
}

/// Ports and protocol as one word.
#[inline]
fn tail(ports: [u8; 4], protocol: u8) -> u64 {
    u64::from(u32::from_ne_bytes(ports)) | u64::from(protocol) << 32
}
