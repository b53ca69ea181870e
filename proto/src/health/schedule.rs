//! When a check runs: a grid of instants `first + n × interval`, with `first` drawn from the first interval.
//!
//! Runs stay on the grid however late they are noticed, so ten thousand checks never bunch up and never drift. When a
//! run lasted past one slot, the next starts at once and the grid goes on as it was; further slots that passed are
//! skipped and counted, not made up for.

use crate::time::{Duration, Instant};

/// The shortest interval a schedule accepts; shorter ones are taken as this.
pub const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The grid of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    next: Instant,
    interval: Duration,
    skipped: u64,
}

impl Schedule {
    /// A grid whose first slot lies in `[now, now + spread)`: `draw` is a uniformly random number that says where.
    pub fn new(now: Instant, interval: Duration, spread: Duration, draw: u64) -> Self {
        Self {
            next: now + fraction(spread, draw),
            interval: interval.max(INTERVAL_MIN),
            skipped: 0,
        }
    }

    /// The next slot.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Slots that passed unused because a run was still under way.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes the slot that is due at `now`, if one is, and moves on to the first slot after `now`.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        if now < self.next {
            return None;
        }
        let slot = self.next;
        self.next = slot + self.interval;
        self.skip_to_after(now);
        Some(slot)
    }

    /// Moves to the first slot after `now`, counting what is left out.
    fn skip_to_after(&mut self, now: Instant) {
        if self.next > now {
            return;
        }
        let late = (now - self.next).as_nanos();
        let interval = self.interval.as_nanos();
        let passed = u64::try_from(late / interval + 1).unwrap_or(u64::MAX);
        self.skipped = self.skipped.saturating_add(passed);
        let step = u64::try_from(interval).unwrap_or(u64::MAX).saturating_mul(passed);
        self.next += Duration::from_nanos(step);
    }
}

/// `span × draw / 2^64`, in whole nanoseconds.
fn fraction(span: Duration, draw: u64) -> Duration {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let scaled = (u128::from(nanos) * u128::from(draw)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
