//! Time as an argument: a monotonic instant counted in nanoseconds.
//!
//! The start is arbitrary (process start, boot, zero in a test), so only differences mean anything. Instants are made
//! from a real clock in one place of each daemon; everything below receives `now`. Arithmetic saturates: a deadline
//! that would lie beyond the end of time simply never fires, and a difference that would be negative is zero.

use core::ops::{Add, AddAssign, Sub};

pub use core::time::Duration;

/// A point on a monotonic clock, in nanoseconds since an arbitrary start (584 years fit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant {
    nanos: u64,
}

/// Nanoseconds of `duration`, at most `u64::MAX`.
const fn saturating_nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

impl Instant {
    /// The arbitrary start of the clock.
    pub const ZERO: Self = Self { nanos: 0 };
    /// The end of time: later than every deadline that can fire.
    pub const MAX: Self = Self { nanos: u64::MAX };

    /// The instant `nanos` nanoseconds after the start.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// The instant `micros` microseconds after the start.
    #[inline]
    pub const fn from_micros(micros: u64) -> Self {
        Self {
            nanos: micros.saturating_mul(1_000),
        }
    }

    /// The instant `millis` milliseconds after the start.
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Self {
            nanos: millis.saturating_mul(1_000_000),
        }
    }

    /// The instant `secs` seconds after the start.
    #[inline]
    pub const fn from_secs(secs: u64) -> Self {
        Self {
            nanos: secs.saturating_mul(1_000_000_000),
        }
    }

    /// Nanoseconds since the start.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// Whole milliseconds since the start.
    #[inline]
    pub const fn as_millis(self) -> u64 {
        self.nanos / 1_000_000
    }

    /// Whole seconds since the start.
    #[inline]
    pub const fn as_secs(self) -> u64 {
        self.nanos / 1_000_000_000
    }

    /// `self + duration`, or `None` beyond the end of time.
    #[inline]
    pub const fn checked_add(self, duration: Duration) -> Option<Self> {
        let nanos = duration.as_nanos();
        if nanos > u64::MAX as u128 {
            return None;
        }
        match self.nanos.checked_add(nanos as u64) {
            Some(nanos) => Some(Self { nanos }),
            None => None,
        }
    }

    /// Time passed since `earlier`; zero when `earlier` is in fact later.
    #[inline]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::MAX`].
    #[inline]
    fn add(self, duration: Duration) -> Self {
        Self {
            nanos: self.nanos.saturating_add(saturating_nanos(duration)),
        }
    }
}

impl AddAssign<Duration> for Instant {
    #[inline]
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::ZERO`].
    #[inline]
    fn sub(self, duration: Duration) -> Self {
        Self {
            nanos: self.nanos.saturating_sub(saturating_nanos(duration)),
        }
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero when `earlier` is in fact later.
    #[inline]
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_agree_on_the_unit() {
        assert_eq!(Instant::from_secs(3), Instant::from_millis(3_000));
        assert_eq!(Instant::from_millis(3), Instant::from_micros(3_000));
        assert_eq!(Instant::from_micros(3), Instant::from_nanos(3_000));
        assert_eq!(Instant::from_millis(1_999).as_secs(), 1);
        assert_eq!(Instant::from_nanos(1_999_999).as_millis(), 1);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(Instant::MAX + second, Instant::MAX);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::ZERO - second, Instant::ZERO);
        assert_eq!(Instant::ZERO - Instant::from_secs(1), Duration::ZERO);
        assert_eq!(Instant::from_secs(u64::MAX), Instant::MAX);
        assert_eq!(Instant::MAX.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(Instant::ZERO.checked_add(Duration::MAX), None);
    }

    #[test]
    fn differences_are_exact() {
        let start = Instant::from_millis(5);
        let later = start + Duration::from_nanos(7);
        assert_eq!(later - start, Duration::from_nanos(7));
        assert_eq!(later - Duration::from_nanos(7), start);
        assert_eq!(start.checked_add(Duration::from_nanos(7)), Some(later));
    }
}
