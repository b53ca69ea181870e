//! Coarse time in flow entries: 2^27 ns, about 134 ms, so that 32 bits last 18 years.

use weir_proto::time::Instant;

/// Nanoseconds of a tick, as a power of two.
const SHIFT: u32 = 27;

/// A point in time, in ticks since the clock's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u32);

impl Tick {
    /// The tick `now` lies in.
    #[inline]
    pub const fn at(now: Instant) -> Self {
        Self((now.as_nanos() >> SHIFT) as u32)
    }

    /// Ticks in `secs` seconds, rounded up.
    pub const fn from_secs(secs: u32) -> u32 {
        ((secs as u64 * 1_000_000_000).div_ceil(1 << SHIFT)) as u32
    }

    /// Seconds in `ticks`, rounded down.
    pub const fn to_secs(ticks: u32) -> u32 {
        (((ticks as u64) << SHIFT) / 1_000_000_000) as u32
    }

    /// Ticks from `earlier` to this one; 0 when `earlier` is later.
    #[inline]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}
