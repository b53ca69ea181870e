//! When a check runs: near the instants of a grid `first + n × interval`, with `first` drawn from the first interval.
//!
//! The grid never moves, however late runs are noticed, so ten thousand checks never bunch up and never drift. Each run
//! stands off its grid instant by a random offset of at most half the jitter, so the time between two runs is the
//! interval ± the jitter. When a run lasted past one slot, the next starts at once and the grid goes on as it was;
//! further slots that passed are skipped and counted, not made up for.
//!
//! A run that is wanted sooner ([`Schedule::hasten`]) comes on top, and one that is wanted later ([`Schedule::set`]) leaves out
//! slots: both leave the grid where it is.

use crate::time::{Duration, Instant};

/// The shortest interval a schedule accepts; shorter ones are taken as this.
pub const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// When the runs of one check are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The grid instant that the next run belongs to.
    slot: Instant,
    due: Instant,
    /// A run outside the grid.
    extra: Option<Instant>,
    interval: Duration,
    jitter: Duration,
    /// State of the generator of offsets (SplitMix64).
    random: u64,
    skipped: u64,
}

impl Schedule {
    /// A grid whose first slot lies in `[now, now + spread)`. `seed` is a uniformly random number: it says where, and
    /// is the source of all later offsets. A jitter above half the interval is taken as that.
    pub fn new(now: Instant, interval: Duration, jitter: Duration, spread: Duration, seed: u64) -> Self {
        let interval = interval.max(INTERVAL_MIN);
        let first = now + fraction(spread, seed);
        Self {
            slot: first,
            due: first,
            extra: None,
            interval,
            jitter: jitter.min(interval / 2),
            random: seed,
            skipped: 0,
        }
    }

    /// When the next run is due.
    pub fn next(&self) -> Instant {
        self.extra.map_or(self.due, |extra| extra.min(self.due))
    }

    /// Wants a run at `at`, if none is due by then anyway.
    pub fn hasten(&mut self, at: Instant) {
        if at < self.next() {
            self.extra = Some(at);
        }
    }

    /// Wants the next run at `at`, whether one is due sooner or not; slots before it are left out.
    pub fn set(&mut self, at: Instant) {
        if at <= self.due {
            self.extra = Some(at);
            return;
        }
        self.extra = None;
        if at > self.slot {
            let (late, interval) = ((at - self.slot).as_nanos(), self.interval.as_nanos());
            self.slot += Duration::from_nanos(whole(late / interval * interval));
        }
        self.due = at;
    }

    /// Slots that passed unused because a run was still under way.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes the run that is due at `now`, if one is, and moves on to the first slot after `now`.
    pub fn take(&mut self, now: Instant) -> bool {
        if now < self.next() {
            return false;
        }
        self.extra = None;
        if now < self.due {
            return true;
        }
        self.slot += self.interval;
        if self.slot <= now {
            let passed = whole((now - self.slot).as_nanos() / self.interval.as_nanos() + 1);
            self.skipped = self.skipped.saturating_add(passed);
            self.slot += Duration::from_nanos(whole(self.interval.as_nanos()).saturating_mul(passed));
        }
        let offset = fraction(self.jitter, self.draw());
        self.due = (self.slot - self.jitter / 2 + offset).max(now);
        true
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// `span × draw / 2^64`, in whole nanoseconds.
fn fraction(span: Duration, draw: u64) -> Duration {
    let nanos = whole(span.as_nanos());
    Duration::from_nanos(whole((u128::from(nanos) * u128::from(draw)) >> 64))
}

/// As many nanoseconds as an [`Instant`] can hold.
fn whole(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
