//! Shared addresses that somebody else has claimed while we hold them.
//!
//! Who holds an address that directors share is for control to decide, by VRRP. A control that was killed or stopped
//! decides nothing, and the other director, who no longer hears it, takes the address over and announces it: from then
//! on both would answer for it. So the address is let go when another station claims it and control shows no sign of
//! life in [`PATIENCE`]; at once when no control is connected. A control that lives sends a transaction for each claim
//! it is told of.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::time::Duration;

use weir_proto::time::Instant;

/// How long control has to answer a claim.
pub const PATIENCE: Duration = Duration::from_millis(200);
/// Most claims kept; there are no more shared addresses than this in earnest, and one that is left out comes again.
const CLAIMS_MAX: usize = 1024;

/// Claims that control has been told of and has not answered, with the time by when it must.
#[derive(Debug, Default)]
pub struct Claims(BTreeMap<IpAddr, Instant>);

impl Claims {
    /// Somebody claims a shared address of ours, and control was told.
    pub fn add(&mut self, now: Instant, address: IpAddr) {
        if self.0.len() < CLAIMS_MAX {
            self.0.entry(address).or_insert(now + PATIENCE);
        }
    }

    /// Control lives: it has heard of every claim, and will say what is to change.
    pub fn answered(&mut self) {
        self.0.clear();
    }

    /// The addresses whose time is over.
    pub fn take_due(&mut self, now: Instant) -> Vec<IpAddr> {
        let due: Vec<IpAddr> = self
            .0
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(address, _)| *address)
            .collect();
        for address in &due {
            self.0.remove(address);
        }
        due
    }

    /// When [`take_due`](Self::take_due) has something to give.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_due_once_unless_control_answers() {
        let address: IpAddr = [192, 0, 2, 100].into();
        let start = Instant::from_nanos(7);
        let mut claims = Claims::default();
        claims.add(start, address);
        claims.add(start + PATIENCE / 2, address);
        assert_eq!(
            claims.deadline(),
            Some(start + PATIENCE),
            "the first claim counts"
        );
        assert!(claims.take_due(start).is_empty());
        assert_eq!(claims.take_due(start + PATIENCE), [address]);
        assert_eq!(
            (claims.take_due(start + PATIENCE), claims.deadline()),
            (vec![], None)
        );
        claims.add(start, address);
        claims.answered();
        assert!(claims.take_due(start + PATIENCE).is_empty());
    }
}
