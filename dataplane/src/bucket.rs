//! Token buckets: how many packets of a kind may pass, given the time.

use weir_proto::time::Instant;

/// A rate with room for a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Packets a second.
    pub per_s: u32,
    /// Packets at once after a pause.
    pub burst: u32,
}

/// Refilled lazily from the clock value of the burst.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    rate: Rate,
    /// Nano-tokens: a packet takes 10^9, so that no refill is ever rounded away.
    level: u64,
    filled: Instant,
}

const TOKEN: u64 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket.
    pub const fn new(rate: Rate) -> Self {
        Self {
            rate,
            level: rate.burst as u64 * TOKEN,
            filled: Instant::ZERO,
        }
    }

    /// Whether one more may pass now.
    #[inline]
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed_ns = now.as_nanos().saturating_sub(self.filled.as_nanos());
        if elapsed_ns > 0 {
            self.filled = now;
            let gained = elapsed_ns.saturating_mul(u64::from(self.rate.per_s));
            self.level = self
                .level
                .saturating_add(gained)
                .min(u64::from(self.rate.burst) * TOKEN);
        }
        let enough = self.level >= TOKEN;
        if enough {
            self.level -= TOKEN;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::{Rate, TokenBucket};
    use weir_proto::time::Instant;

    #[test]
    fn passes_the_burst_then_the_rate() {
        let mut bucket = TokenBucket::new(Rate {
            per_s: 1000,
            burst: 10,
        });
        let passed = |bucket: &mut TokenBucket, at_us: u64| {
            (0..100)
                .filter(|_| bucket.take(Instant::from_micros(at_us)))
                .count()
        };
        assert_eq!(passed(&mut bucket, 1), 10);
        assert_eq!(passed(&mut bucket, 1 + 500), 0);
        assert_eq!(passed(&mut bucket, 1 + 1_000), 1);
        assert_eq!(passed(&mut bucket, 1 + 6_000), 5);
        assert_eq!(passed(&mut bucket, 60_000_000), 10);
    }

    #[test]
    fn a_clock_that_stands_or_steps_back_gives_nothing() {
        let mut bucket = TokenBucket::new(Rate {
            per_s: 1_000_000,
            burst: 1,
        });
        assert!(bucket.take(Instant::from_secs(5)));
        assert!(!bucket.take(Instant::from_secs(5)));
        assert!(!bucket.take(Instant::from_secs(4)));
    }
}
