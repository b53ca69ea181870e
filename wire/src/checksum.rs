//! The Internet checksum (RFC 1071), pseudo headers (RFC 9293 §3.1, RFC 768, RFC 8200 §8.1) and incremental update
//! (RFC 1624, equation 3).
//!
//! Two tools: [`Sum`] adds up bytes, [`Delta`] says how a checksum changes when fields change. A delta depends only on
//! old and new values, not on the packet, so a flow can keep the one of its rewrite ready.
//! UDP over IPv4 uses 0 for "no checksum": [`Delta::apply_udp`] and [`Sum::finish_udp`] keep that rule.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::IpProtocol;

/// Folds a sum of 16-bit words (carries piled up above) to one word, ones' complement.
#[inline(always)]
const fn fold(sum: u64) -> u16 {
    let (sum, carry) = (sum as u32).overflowing_add((sum >> 32) as u32);
    // Cannot overflow again: a sum that carried is no more than 2^32 - 2.
    let sum = sum + carry as u32;
    // Both halves are added in the upper one, with the carry of the lower: the way of Linux's csum_fold.
    !((!sum).wrapping_sub(sum.rotate_right(16)) >> 16) as u16
}

/// Ones' complement sum of `data` as big-endian words; an odd last byte is padded with zero on the right.
///
/// Adds 32 bits at a time in memory order (the sum commutes with byte order, RFC 1071 §2B), in 64-bit accumulators:
/// 2^32 words, 16 GiB, before one could overflow.
#[inline]
fn sum_words(data: &[u8]) -> u16 {
    let mut sum = 0u64;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        sum += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    }
    sum += match *words.remainder() {
        [] => 0,
        [a] => u64::from(u16::from_ne_bytes([a, 0])),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a, b, c, ..] => u64::from(u32::from_ne_bytes([a, b, c, 0])),
    };
    u16::from_be(fold(sum))
}

/// A running ones' complement sum over several pieces of a packet.
///
/// Pieces may have odd lengths: the sum remembers whether it stands at an odd byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    sum: u64,
    odd: bool,
}

impl Sum {
    /// The empty sum.
    #[inline]
    pub const fn new() -> Self {
        Self { sum: 0, odd: false }
    }

    /// Adds bytes that follow what was added before.
    #[inline]
    #[must_use]
    pub fn bytes(mut self, data: &[u8]) -> Self {
        let words = sum_words(data);
        self.sum += u64::from(if self.odd { words.swap_bytes() } else { words });
        self.odd ^= data.len() % 2 == 1;
        self
    }

    /// Adds one word at an even position.
    #[inline]
    #[must_use]
    pub const fn word(mut self, word: u16) -> Self {
        self.sum += word as u64;
        self
    }

    /// Adds a 32-bit value at an even position; its upper half is folded in at the end with the carries.
    #[inline]
    #[must_use]
    pub const fn u32(mut self, value: u32) -> Self {
        self.sum += value as u64;
        self
    }

    /// Adds a 128-bit value at an even position.
    #[inline]
    #[must_use]
    pub const fn u128(self, value: u128) -> Self {
        self.u32((value >> 96) as u32)
            .u32((value >> 64) as u32)
            .u32((value >> 32) as u32)
            .u32(value as u32)
    }

    /// The folded sum, not complemented. Over bytes that include a right checksum it is 0xffff.
    #[inline]
    pub const fn folded(self) -> u16 {
        fold(self.sum)
    }

    /// The checksum: the complement of the sum.
    #[inline]
    pub const fn finish(self) -> u16 {
        !fold(self.sum)
    }

    /// The checksum for UDP: a computed 0 is sent as 0xffff, because 0 means "none".
    #[inline]
    pub const fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => 0xffff,
            checksum => checksum,
        }
    }

    /// Whether bytes summed together with their checksum field add up.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.folded() == 0xffff
    }
}

/// The checksum of `data`, whose checksum field must be zero.
#[inline]
pub fn checksum(data: &[u8]) -> u16 {
    Sum::new().bytes(data).finish()
}

/// Pseudo header of an upper-layer packet of `len` bytes over IPv4.
#[inline]
pub const fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: IpProtocol, len: u32) -> Sum {
    Sum::new()
        .u32(src.to_bits())
        .u32(dst.to_bits())
        .word(protocol.0 as u16)
        .u32(len)
}

/// Pseudo header of an upper-layer packet of `len` bytes over IPv6.
///
/// With a routing header `dst` is the final destination, not the address in the header (RFC 8200 §8.1).
#[inline]
pub const fn pseudo_v6(src: Ipv6Addr, dst: Ipv6Addr, protocol: IpProtocol, len: u32) -> Sum {
    Sum::new()
        .u128(src.to_bits())
        .u128(dst.to_bits())
        .word(protocol.0 as u16)
        .u32(len)
}

/// Pseudo header of either family; `None` when the two addresses are not of one family.
#[inline]
pub const fn pseudo(src: IpAddr, dst: IpAddr, protocol: IpProtocol, len: u32) -> Option<Sum> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => Some(pseudo_v4(src, dst, protocol, len)),
        (IpAddr::V6(src), IpAddr::V6(dst)) => Some(pseudo_v6(src, dst, protocol, len)),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

/// How a checksum changes when fields change: the sum of `~old + new` over all of them (RFC 1624, equation 3).
///
/// Kept with its carries, which only [`apply`](Self::apply) folds in; so two deltas may differ and mean the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delta(u64);

impl Delta {
    /// No change.
    #[inline]
    pub const fn new() -> Self {
        Self(0)
    }

    /// A change adds less than 2^35; the carry step keeps the sum below 2^33, so it never overflows.
    #[inline(always)]
    const fn add(self, complement_of_old: Sum, new: Sum) -> Self {
        self.and(Self(complement_of_old.sum + new.sum))
    }

    /// A word changes (a port, a length).
    #[inline]
    #[must_use]
    pub const fn u16(self, old: u16, new: u16) -> Self {
        self.add(Sum::new().word(!old), Sum::new().word(new))
    }

    /// A word that starts at an odd byte of what is summed changes (a TCP option after a no-operation).
    #[inline]
    #[must_use]
    pub const fn u16_at_odd(self, old: u16, new: u16) -> Self {
        self.u16(old.swap_bytes(), new.swap_bytes())
    }

    /// A 32-bit value changes (an IPv4 address, a sequence number).
    #[inline]
    #[must_use]
    pub const fn u32(self, old: u32, new: u32) -> Self {
        self.add(Sum::new().u32(!old), Sum::new().u32(new))
    }

    /// A 128-bit value changes (an IPv6 address).
    #[inline]
    #[must_use]
    pub const fn u128(self, old: u128, new: u128) -> Self {
        self.add(Sum::new().u128(!old), Sum::new().u128(new))
    }

    /// An IPv4 address changes.
    #[inline]
    #[must_use]
    pub const fn ipv4(self, old: Ipv4Addr, new: Ipv4Addr) -> Self {
        self.u32(old.to_bits(), new.to_bits())
    }

    /// An IPv6 address changes.
    #[inline]
    #[must_use]
    pub const fn ipv6(self, old: Ipv6Addr, new: Ipv6Addr) -> Self {
        self.u128(old.to_bits(), new.to_bits())
    }

    /// Whole byte strings change, both starting at an even byte (a quoted packet, an inserted option).
    #[inline]
    #[must_use]
    pub fn bytes(self, old: &[u8], new: &[u8]) -> Self {
        self.u16(Sum::new().bytes(old).folded(), Sum::new().bytes(new).folded())
    }

    /// Both changes.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        let sum = self.0 + other.0;
        Self((sum & 0xffff_ffff) + (sum >> 32))
    }

    /// The checksum after the change.
    #[inline]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold((!checksum) as u64 + self.0)
    }

    /// The UDP checksum after the change: 0, no checksum, stays 0; a computed 0 becomes 0xffff.
    #[inline]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 {
            return 0;
        }
        match self.apply(checksum) {
            0 => 0xffff,
            checksum => checksum,
        }
    }
}

/// A change of words that lie in memory one after the other, given as they were loaded, folded to one word: for checksums as
/// they were loaded.
#[derive(Debug, Clone, Copy)]
pub struct Loaded(u16);

impl Loaded {
    /// As [`word`](Self::word) gave it.
    #[inline(always)]
    pub const fn from_word(word: u16) -> Self {
        Self(word)
    }

    /// To be kept.
    #[inline(always)]
    pub const fn word(self) -> u16 {
        self.0
    }

    /// Two words change at once.
    #[inline(always)]
    pub const fn u32(old: u32, new: u32) -> Self {
        let (sum, carry) = (!old).overflowing_add(new);
        // Cannot overflow again, here and below: a sum that carried is at least one less than all ones.
        let sum = sum + carry as u32;
        Self(end_around(sum as u16, (sum >> 16) as u16))
    }

    /// One word changes too.
    #[inline(always)]
    #[must_use]
    pub const fn and_u16(self, old: u16, new: u16) -> Self {
        Self(end_around(self.0, end_around(!old, new)))
    }

    /// The checksum after the change.
    ///
    /// RFC 1624's ~(~HC + m') is HC - m' in ones' complement, and gives the same of the two zeroes: the sum overflows just where
    /// the difference borrows.
    #[inline(always)]
    pub const fn apply(self, checksum: u16) -> u16 {
        let (difference, borrow) = checksum.overflowing_sub(self.0);
        difference - borrow as u16
    }

    /// The UDP checksum after the change: 0, no checksum, stays 0; a computed 0 becomes 0xffff.
    #[inline(always)]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 {
            return 0;
        }
        match self.apply(checksum) {
            0 => 0xffff,
            checksum => checksum,
        }
    }
}

/// The checksum over a sum of words whose carries are in its upper half, where they leave room for one more.
#[inline(always)]
pub const fn checksum_of(sum: u32) -> u16 {
    // Both halves are added in the upper one, with the carry of the lower: the way of Linux's csum_fold.
    !(sum.wrapping_add(sum.rotate_right(16)) >> 16) as u16
}

/// Ones' complement sum of two words.
#[inline(always)]
const fn end_around(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u16
}

/// `checksum` after a word under it changed from `old` to `new`.
#[inline]
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    Delta::new().u16(old, new).apply(checksum)
}

/// `checksum` after a 32-bit value under it changed from `old` to `new`.
#[inline]
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    Delta::new().u32(old, new).apply(checksum)
}

/// `checksum` after a 128-bit value under it changed from `old` to `new`.
#[inline]
pub const fn update_u128(checksum: u16, old: u128, new: u128) -> u16 {
    Delta::new().u128(old, new).apply(checksum)
}

#[cfg(test)]
mod tests;
