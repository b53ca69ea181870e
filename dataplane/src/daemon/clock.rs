//! The daemon's only clock: nanoseconds since the process started, the same for every thread.

use std::time::Instant as SystemInstant;

use weir_proto::time::Instant;

/// Reads `CLOCK_MONOTONIC` through the vDSO: no system call.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: SystemInstant,
}

impl Clock {
    /// A clock that starts at 1 s, so that times a little before the start exist.
    pub fn start() -> Self {
        Self {
            start: SystemInstant::now(),
        }
    }

    /// The time.
    #[inline]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(
            1_000_000_000 + u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX / 2),
        )
    }
}
