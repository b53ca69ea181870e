//! Announcements under way: which address is due when, if they are to keep a distance from each other.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;
use weir_proto::time::Instant;

/// Most announcements that wait: 255 addresses, 100 rounds.
const WAITING_MAX: usize = 25_600;

/// Announcements in the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct Announcing(VecDeque<(Instant, IpAddr)>);

impl Announcing {
    /// Each of `addresses` `rounds` times, `interval` apart, beginning now. What waited of an earlier start is the
    /// same announcement and makes room.
    pub(super) fn start(&mut self, now: Instant, addresses: &[IpAddr], rounds: u8, interval: Duration) {
        self.0.clear();
        let round = (0..rounds).flat_map(|_| addresses.iter().copied());
        let mut at = now;
        for address in round.take(WAITING_MAX) {
            self.0.push_back((at, address));
            at += interval;
        }
    }

    /// Those that are due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<IpAddr> {
        let due = self.0.iter().take_while(|(at, _)| *at <= now).count();
        self.0.drain(..due).map(|(_, address)| address).collect()
    }

    /// When the next one is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_keep_their_distance() {
        let (a, b): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let now = Instant::from_nanos(5);
        let mut announcing = Announcing::default();
        announcing.start(now, &[a, b], 2, Duration::ZERO);
        assert_eq!(announcing.take_due(now), [a, b, a, b]);
        assert_eq!(announcing.deadline(), None);
        let step = Duration::from_millis(100);
        announcing.start(now, &[a, b], 2, step);
        assert_eq!(announcing.take_due(now), [a]);
        assert_eq!(announcing.deadline(), Some(now + step));
        assert_eq!(announcing.take_due(now + step * 2), [b, a]);
        announcing.start(now, &[a], 1, step);
        assert_eq!(
            announcing.take_due(now + step * 9),
            [a],
            "the new start replaces the old one"
        );
    }
}
