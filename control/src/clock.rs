//! The one place of this daemon where time is read: tokio's monotonic clock as the machines' [`Instant`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_proto::time::Instant;

/// Converts between the runtime's clock and the machines'. A copy tells the same time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Stands for [`Clock::EPOCH`].
    start: tokio::time::Instant,
    /// Milliseconds since 1970 at `start`.
    start_unix_ms: u64,
}

impl Clock {
    /// The instant at which the clock was made; not zero, so that "a while ago" can be expressed.
    const EPOCH: Instant = Instant::from_secs(3_600);

    /// A clock that starts now.
    pub fn start() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            start: tokio::time::Instant::now(),
            start_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The present instant.
    pub fn now(&self) -> Instant {
        Self::EPOCH + self.start.elapsed()
    }

    /// The runtime's name for `instant`; a year ahead at most, which is as good as never.
    pub fn runtime(&self, instant: Instant) -> tokio::time::Instant {
        const NEVER: Duration = Duration::from_secs(365 * 24 * 3_600);
        self.start + (instant - Self::EPOCH).min(NEVER)
    }

    /// Milliseconds since 1970 at `instant`, by the wall clock as it stood when this clock was made.
    pub fn unix_ms(&self, instant: Instant) -> u64 {
        let since_start = (instant - Self::EPOCH).as_millis();
        self.start_unix_ms
            .saturating_add(u64::try_from(since_start).unwrap_or(u64::MAX))
    }

    /// Time since the clock was made.
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}
