//! For how long connections are relayed to the director that held an address before.
//!
//! Control says when it begins, and also when it is over. It is over here too when its time is: control may be gone.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::time::Duration;

use weir_proto::time::Instant;

/// A virtual address whose connections are relayed, to whom, and for how long in all.
pub type Relaying = (IpAddr, IpAddr, Duration);

/// When each relay is over.
#[derive(Debug, Default)]
pub struct Relays(BTreeMap<IpAddr, (IpAddr, Instant)>);

impl Relays {
    /// These are in force now; what was so before runs on.
    pub fn set(&mut self, now: Instant, wanted: impl Iterator<Item = Relaying>) {
        let before = core::mem::take(&mut self.0);
        self.0 = wanted
            .map(|(address, to, lasts)| match before.get(&address) {
                Some(running) if running.0 == to => (address, *running),
                Some(_) | None => (address, (to, now + lasts)),
            })
            .collect();
    }

    /// The addresses whose time is over.
    pub fn due(&self, now: Instant) -> Vec<IpAddr> {
        let due = self.0.iter().filter(|(_, (_, at))| *at <= now);
        due.map(|(address, _)| *address).collect()
    }

    /// When [`due`](Self::due) has something to give.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|(_, at)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_ends_when_its_time_is_over_however_often_it_is_said() {
        let (address, other): (IpAddr, IpAddr) = ([192, 0, 2, 100].into(), [192, 0, 2, 101].into());
        let (first, second): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let (start, second_s) = (Instant::from_nanos(5), Duration::from_secs(1));
        let mut relays = Relays::default();
        relays.set(start, [(address, first, second_s)].into_iter());
        let later = start + second_s / 2;
        relays.set(
            later,
            [(address, first, second_s), (other, first, second_s)].into_iter(),
        );
        assert_eq!(relays.deadline(), Some(start + second_s), "the first word counts");
        assert!(relays.due(later).is_empty());
        assert_eq!(relays.due(start + second_s), [address]);
        relays.set(later, [(address, second, second_s)].into_iter());
        assert_eq!(
            relays.deadline(),
            Some(later + second_s),
            "another director begins anew"
        );
        relays.set(later, std::iter::empty());
        assert_eq!((relays.due(later + second_s), relays.deadline()), (vec![], None));
    }
}
