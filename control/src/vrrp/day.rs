//! The time of day that signed advertisements carry (keepalived's `auth_hmac`, read first: `weir_proto::vrrp::auth`).
//!
//! A peer refuses an advertisement whose time is a few seconds off. If a step of this machine's clock went straight
//! into what is signed, the peers of an active director would hear nothing they believe and take over. So the time runs on with the
//! monotonic clock. A step may also be the correction of a clock that was wrong since the start: that shows when a
//! genuine advertisement is stale by the time kept here and fresh by the system's, and then that one counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_proto::time::Instant;
use weir_proto::vrrp::UnixTime;

/// A smaller difference is no step, and would not matter.
const STEP_MIN: Duration = Duration::from_secs(1);

/// The time of day, as it was at an instant.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeOfDay {
    at: Instant,
    was: UnixTime,
}

/// The system's.
pub(super) fn of_system() -> UnixTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since_1970.unwrap_or(Duration::ZERO))
}

impl TimeOfDay {
    /// It was `was` at `at`.
    pub(super) const fn new(at: Instant, was: UnixTime) -> Self {
        Self { at, was }
    }

    /// The time of day at `now`.
    pub(super) fn at(&self, now: Instant) -> UnixTime {
        UnixTime(self.was.0 + (now - self.at))
    }

    /// Whether another clock has been set since.
    pub(super) fn differs(&self, now: Instant, other: UnixTime) -> bool {
        self.at(now).0.abs_diff(other.0) > STEP_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_on_whatever_the_system_s_clock_is_set_to() {
        let (start, second) = (Instant::from_nanos(7), Duration::from_secs(1));
        let noon = UnixTime(Duration::from_secs(1_800_000_000));
        let day = TimeOfDay::new(start, noon);
        let later = start + second * 90;
        assert_eq!(day.at(later), UnixTime(noon.0 + second * 90));
        assert!(
            !day.differs(later, UnixTime(noon.0 + second * 91)),
            "a clock that is disciplined"
        );
        assert!(
            day.differs(later, UnixTime(noon.0 + second * 3690)),
            "an hour ahead"
        );
        assert!(day.differs(later, noon), "set back");
    }
}
