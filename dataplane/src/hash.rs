//! The flow hash: folded 64 × 64 → 128-bit multiplication (as wyhash does it) under a random seed.
//!
//! The seed is drawn at every start, so nobody outside can aim flows at one bucket. Different bits serve different
//! ends (bucket, second bucket, tag, spreading), or shards and slots would correlate.

/// What the second multiplication multiplies by.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The secret of one process, and a constant that is no secret: it is used where the others are. Workers of one process share it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u64; 4], u64);

impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(secret)")
    }
}

/// High and low half of the product, folded.
#[inline(always)]
fn mum(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Seed {
    /// From the operating system's random numbers, by way of the standard library's per-process keys.
    pub fn random() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self([(); 4].map(|()| RandomState::new().hash_one(0u64)), MULTIPLIER)
    }

    /// A fixed seed, for tests and for nodes that must agree.
    pub const fn fixed(seed: u64) -> Self {
        let words = [
            seed ^ 0x2d35_8dcc_aa6c_78a5,
            seed.rotate_left(16) ^ 0x8bb8_4b93_962e_acc9,
            seed.rotate_left(32) ^ 0x4b33_a62e_d433_d4a3,
            seed.rotate_left(48) ^ 0x4d5a_2da5_1de1_aa47,
        ];
        Self(words, MULTIPLIER)
    }

    /// Set in every hash, so that no flow's tag, the lowest bits, is 0.
    const TAGGED: u64 = 1;

    /// Hash of two words. One multiplication alone leaves a pattern in ports that follow each other, and buckets overflow.
    #[inline]
    pub fn short(&self, a: u64, b: u64) -> u64 {
        let [s0, s1, s2, _] = self.0;
        mum(mum(a ^ s0, b ^ s1) ^ s2, self.1) | Self::TAGGED
    }

    /// The seed under which [`short`](Self::short) gives for a second word without these bits what it gives under this one for
    /// the same with them.
    #[inline]
    #[must_use]
    pub const fn implying(self, bits: u64) -> Self {
        let Self([s0, s1, s2, s3], multiplier) = self;
        Self([s0, s1 ^ bits, s2, s3], multiplier)
    }

    /// Hash of four words and one.
    #[inline]
    pub fn long(&self, words: [u64; 4], tail: u64) -> u64 {
        let [s0, s1, s2, s3] = self.0;
        let [a, b, c, d] = words;
        self.short(mum(a ^ s0, b ^ s2) ^ mum(c ^ s1, d ^ s3).rotate_left(32), tail)
    }
}

/// Maps 32 well-mixed bits to `0..n` without a division.
#[inline]
pub fn range(bits: u32, n: u32) -> u32 {
    ((u64::from(bits) * u64::from(n)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::{Seed, range};

    #[test]
    fn every_input_bit_moves_about_half_of_the_output() {
        let seed = Seed::fixed(7);
        for bit in 0..64 {
            let mut moved = 0;
            for i in 0..256u64 {
                let (a, b) = (i * 0x1234_5678_9abc, i << 7);
                moved += (seed.short(a, b) ^ seed.short(a ^ 1 << bit, b)).count_ones();
                moved += (seed.short(a, b) ^ seed.short(a, b ^ 1 << bit)).count_ones();
            }
            let mean = f64::from(moved) / 512.0;
            assert!((24.0..40.0).contains(&mean), "bit {bit}: {mean} of 64 bits move");
        }
    }

    #[test]
    fn buckets_of_neighbouring_clients_are_evenly_filled() {
        let seed = Seed::fixed(3);
        let mut load = [0u32; 1024];
        for i in 0..1_024_000u64 {
            load[range(seed.short(i, 80) as u32, 1024) as usize] += 1;
        }
        let chi2: f64 = load
            .iter()
            .map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0)
            .sum();
        assert!(chi2 < 1250.0, "chi square {chi2} with 1023 degrees of freedom");
    }

    #[test]
    fn seeds_differ_from_start_to_start() {
        assert_ne!(Seed::random(), Seed::random());
    }
}
