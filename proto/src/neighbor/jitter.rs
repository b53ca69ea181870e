//! Random factors for timers, so that neighbours learnt together are not probed together. SplitMix64 from a seed: the
//! same seed gives the same run, and nothing secret depends on it.

use crate::time::Duration;

#[derive(Debug, Clone)]
pub(super) struct Jitter {
    state: u64,
}

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `base` times a factor from `from_percent` up to `to_percent`, in steps of a thousandth of the span.
    pub(super) fn scale(&mut self, base: Duration, from_percent: u32, to_percent: u32) -> Duration {
        let step = (self.next() % 1001) as u32;
        let factor = from_percent * 1000 + (to_percent - from_percent) * step;
        base.saturating_mul(factor) / 100_000
    }
}
