//! What a worker does when its queues are empty.
//!
//! `busy` polls for ever: the lowest latency, for a core of its own. `adaptive` polls a little longer, then yields
//! the core, then sleeps for a bounded time, so that several dataplanes can share a core. The policy is a value
//! without I/O: the worker asks it what to do after each round and carries that out (`wakeup.rs` does the sleeping).

use core::time::Duration;

/// Empty rounds after which an adaptive worker starts to yield: long enough to ride out the gaps inside a busy stream.
const YIELD_AFTER_ROUNDS: u32 = 64;
/// Empty rounds after which it sleeps.
const SLEEP_AFTER_ROUNDS: u32 = 128;

/// How a worker waits for packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdlePolicy {
    /// Poll for ever.
    Busy,
    /// Yield, then sleep for at most this long after a run of empty rounds.
    Adaptive {
        /// The longest single sleep. Traffic that the device can announce ends it at once.
        sleep_max: Duration,
    },
}

/// What to do before the next round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Go on at once.
    None,
    /// Let others on this core run first.
    Yield,
    /// Sleep until traffic or for this long.
    Sleep(Duration),
}

/// Counts empty rounds for one worker.
#[derive(Debug)]
pub struct Idle {
    policy: IdlePolicy,
    empty_rounds: u32,
}

impl Idle {
    /// A worker that has just started, awake.
    pub fn new(policy: IdlePolicy) -> Self {
        Self {
            policy,
            empty_rounds: 0,
        }
    }

    /// Called once a round; `did_work` is whether anything at all was moved in it.
    #[inline]
    pub fn after_round(&mut self, did_work: bool) -> Pause {
        if did_work {
            self.empty_rounds = 0;
            return Pause::None;
        }
        match self.policy {
            IdlePolicy::Busy => Pause::None,
            IdlePolicy::Adaptive { sleep_max } => {
                self.empty_rounds = self.empty_rounds.saturating_add(1);
                match self.empty_rounds {
                    0..YIELD_AFTER_ROUNDS => Pause::None,
                    YIELD_AFTER_ROUNDS..SLEEP_AFTER_ROUNDS => Pause::Yield,
                    SLEEP_AFTER_ROUNDS.. => Pause::Sleep(sleep_max),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_never_pauses() {
        let mut idle = Idle::new(IdlePolicy::Busy);
        for _ in 0..10_000 {
            assert_eq!(idle.after_round(false), Pause::None);
        }
    }

    #[test]
    fn adaptive_polls_then_yields_then_sleeps_and_work_wakes_it() {
        let sleep_max = Duration::from_micros(500);
        let mut idle = Idle::new(IdlePolicy::Adaptive { sleep_max });
        let first: Vec<Pause> = (0..SLEEP_AFTER_ROUNDS + 2)
            .map(|_| idle.after_round(false))
            .collect();
        assert_eq!(first[0], Pause::None);
        assert_eq!(first[YIELD_AFTER_ROUNDS as usize - 2], Pause::None);
        assert_eq!(first[YIELD_AFTER_ROUNDS as usize - 1], Pause::Yield);
        assert_eq!(first[SLEEP_AFTER_ROUNDS as usize - 2], Pause::Yield);
        assert_eq!(first[SLEEP_AFTER_ROUNDS as usize - 1], Pause::Sleep(sleep_max));
        assert_eq!(first[SLEEP_AFTER_ROUNDS as usize + 1], Pause::Sleep(sleep_max));
        assert_eq!(idle.after_round(true), Pause::None);
        assert_eq!(idle.after_round(false), Pause::None);
    }
}
