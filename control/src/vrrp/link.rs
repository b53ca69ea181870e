//! A link that must be up, or down, for a while before that counts.

use std::time::Duration;
use weir_proto::time::Instant;

/// One link.
#[derive(Debug, Default)]
pub(super) struct Settling {
    told: Option<bool>,
    seen: Option<bool>,
    due: Option<Instant>,
}

impl Settling {
    /// It looks like this now; a new look counts after `delay`. The first one counts at once: nothing was known.
    pub(super) fn seen(&mut self, now: Instant, up: bool, delay: Duration) {
        if self.seen.replace(up) == Some(up) {
            return;
        }
        self.due = if self.told == Some(up) {
            None
        } else if self.told.is_none() {
            Some(now)
        } else {
            Some(now + delay)
        };
    }

    /// The state to tell, once its time is over.
    pub(super) fn settled(&mut self, now: Instant) -> Option<bool> {
        self.due.take_if(|due| *due <= now)?;
        self.told = self.seen;
        self.told
    }

    /// When [`settled`](Self::settled) has something to tell.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_counts_when_it_has_lasted() {
        let (start, delay) = (Instant::from_nanos(9), Duration::from_secs(2));
        let mut link = Settling::default();
        link.seen(start, true, delay);
        assert_eq!(link.settled(start), Some(true), "the first look counts at once");
        link.seen(start, false, delay);
        assert_eq!(
            (link.settled(start), link.deadline()),
            (None, Some(start + delay))
        );
        link.seen(start + delay / 2, true, Duration::ZERO);
        assert_eq!(link.settled(start + delay), None, "a short failure is none");
        link.seen(start, false, delay);
        link.seen(start + delay / 2, false, delay);
        assert_eq!(
            link.settled(start + delay),
            Some(false),
            "looking again does not begin anew"
        );
        assert_eq!(link.settled(start + delay * 2), None, "told once");
    }
}
