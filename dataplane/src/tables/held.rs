//! A small picture of our IPv4 addresses that says quickly which addresses are certainly not ours: every SYN is asked whether
//! its source is. One bit a hash (a Bloom filter of one function); what it cannot deny is looked up.

use core::net::IpAddr;
use std::sync::Arc;

/// 4 KiB, which stay in a first-level cache: ten thousand addresses of ours leave three quarters of all others denied.
const BITS: usize = 1 << 15;
const WORD: usize = u64::BITS as usize;

/// Places that some address of ours hashes to.
#[derive(Debug, Clone)]
pub(super) struct Held(Arc<[u64; BITS / WORD]>);

impl Default for Held {
    fn default() -> Self {
        Self(Arc::new([0; BITS / WORD]))
    }
}

impl Held {
    /// At hand for a whole burst.
    #[inline(always)]
    pub(super) fn ours(&self) -> Ours<'_> {
        Ours(&self.0)
    }
}

/// See [`Held`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours<'a>(&'a [u64; BITS / WORD]);

impl Ours<'_> {
    /// Whether an address, as a little-endian machine loads it from a packet, may be one of ours. "No" is certain.
    #[inline(always)]
    pub(crate) const fn may_have(self, loaded: u32) -> bool {
        let place = place(loaded);
        self.0[place / WORD] >> (place % WORD) & 1 != 0
    }
}

/// Multiplicative hashing (Knuth, volume 3, §6.4): the top bits of the product.
#[inline(always)]
const fn place(loaded: u32) -> usize {
    (loaded.wrapping_mul(0x9e37_79b1) >> (u32::BITS - BITS.trailing_zeros())) as usize
}

/// How many addresses hash to each place, so that one can be taken out again.
#[derive(Debug)]
pub(super) struct Counts(Box<[u32]>);

impl Default for Counts {
    fn default() -> Self {
        Self(vec![0; BITS].into())
    }
}

impl Counts {
    /// An address became ours. IPv6 is not in the picture.
    pub(super) fn add(&mut self, address: IpAddr, held: &mut Held) {
        let IpAddr::V4(address) = address else { return };
        let place = place(u32::from_le_bytes(address.octets()));
        self.0[place] += 1;
        Arc::make_mut(&mut held.0)[place / WORD] |= 1 << (place % WORD);
    }

    /// An address that was added is ours no more.
    pub(super) fn remove(&mut self, address: IpAddr, held: &mut Held) {
        let IpAddr::V4(address) = address else { return };
        let place = place(u32::from_le_bytes(address.octets()));
        self.0[place] = self.0[place].saturating_sub(1);
        if self.0[place] == 0 {
            Arc::make_mut(&mut held.0)[place / WORD] &= !(1 << (place % WORD));
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::{Counts, Held};

    fn address(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0xc000_0200 + number * 7)
    }

    fn may_have(held: &Held, address: Ipv4Addr) -> bool {
        held.ours().may_have(u32::from_le_bytes(address.octets()))
    }

    #[test]
    fn what_is_ours_is_never_denied_and_most_else_is() {
        let (mut counts, mut held) = (Counts::default(), Held::default());
        for number in 0..10_000 {
            counts.add(address(number).into(), &mut held);
        }
        assert!((0..10_000).all(|number| may_have(&held, address(number))));
        let others =
            (0..10_000).filter(|&number| !may_have(&held, Ipv4Addr::from_bits(0x0a00_0000 + number * 13)));
        assert!(others.count() > 5_000);
        // Half of them go; the others stay.
        for number in (0..10_000).step_by(2) {
            counts.remove(address(number).into(), &mut held);
        }
        assert!(
            (1..10_000)
                .step_by(2)
                .all(|number| may_have(&held, address(number)))
        );
        for number in (1..10_000).step_by(2) {
            counts.remove(address(number).into(), &mut held);
        }
        assert!((0..10_000).all(|number| !may_have(&held, address(number))));
    }
}
