//! Intervals and deadlines. Everything is kept in nanoseconds: a skew rounded to seconds or centiseconds makes backups
//! of different priorities take over together.

use weir_wire::vrrp::Version;

use crate::time::{Duration, Instant};

/// Skew_Time: how much longer than others a backup of this priority waits. Strictly decreasing in the priority.
///
/// Version 2 counts in 256ths of a second (RFC 3768 §5.3.9), version 3 in 256ths of the active router's interval
/// (RFC 9568 §6.1).
pub const fn skew(version: Version, priority: u8, active_interval: Duration) -> Duration {
    let unit = match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => active_interval,
    };
    let nanos = unit.as_nanos() * (256 - priority as u128) / 256;
    // At most 255 s: an interval that does not fit in 64 bits of nanoseconds cannot be written in an advertisement.
    Duration::from_nanos(if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    })
}

/// Active_Down_Interval: how long a backup bears silence.
pub const fn active_down_interval(
    version: Version,
    priority: u8,
    active_interval: Duration,
    adverts: u8,
) -> Duration {
    active_interval
        .saturating_mul(adverts as u32)
        .saturating_add(skew(version, priority, active_interval))
}

/// What a machine can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The delay after the start.
    Startup,
    /// Adver_Timer: the next advertisement is due.
    Adver,
    /// Active_Down_Timer: the active router has been silent for too long.
    ActiveDown,
    /// A hand-over that nobody has taken up.
    HandOver,
    /// The second announcement after becoming active.
    AnnounceAgain,
    /// The next periodic announcement.
    AnnounceRefresh,
    /// The second announcement after a lower priority was heard.
    AnnounceLower,
}

impl Timer {
    /// Every timer, in the order in which they fire when due together.
    pub const ALL: [Self; 7] = [
        Self::Startup,
        Self::Adver,
        Self::ActiveDown,
        Self::HandOver,
        Self::AnnounceAgain,
        Self::AnnounceRefresh,
        Self::AnnounceLower,
    ];
}

/// Deadlines, one for each [`Timer`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Timers {
    deadlines: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    pub(super) const fn set(&mut self, timer: Timer, at: Instant) {
        self.deadlines[timer as usize] = Some(at);
    }

    pub(super) const fn stop(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    pub(super) const fn get(&self, timer: Timer) -> Option<Instant> {
        self.deadlines[timer as usize]
    }

    pub(super) fn stop_all(&mut self) {
        *self = Self::default();
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        Timer::ALL
            .into_iter()
            .filter_map(|timer| Some((self.get(timer)?, timer)))
            .min()
    }

    /// Takes the earliest deadline that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let (at, timer) = self.next().filter(|(at, _)| *at <= now)?;
        self.stop(timer);
        Some((at, timer))
    }
}
