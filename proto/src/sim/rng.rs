//! SplitMix64: the same seed gives the same run, and nothing secret depends on it.

use crate::time::Duration;

/// A generator.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Starts from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if there is none.
    pub const fn below(&mut self, bound: u64) -> u64 {
        let next = self.next();
        match next.checked_rem(bound) {
            Some(below) => below,
            None => 0,
        }
    }

    /// A number below a thousand.
    pub const fn permille(&mut self) -> u16 {
        self.below(1000) as u16
    }

    /// A length of time from `min` to `max`, both included.
    pub fn between(&mut self, min: Duration, max: Duration) -> Duration {
        let span = u64::try_from(max.saturating_sub(min).as_nanos()).unwrap_or(u64::MAX - 1);
        min + Duration::from_nanos(self.below(span.saturating_add(1)))
    }
}
