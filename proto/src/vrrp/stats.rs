//! What is counted, under keepalived's names (its JSON and SNMP), and a few more.

use super::codec::Reject;

/// Counts since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Advertisements that passed every check.
    pub advert_rcvd: u64,
    /// Advertisements sent.
    pub advert_sent: u64,
    /// Times we became active.
    pub become_master: u64,
    /// Times we ceased to be.
    pub release_master: u64,
    /// Advertisements with priority 0 received.
    pub pri_zero_rcvd: u64,
    /// Advertisements with priority 0 sent.
    pub pri_zero_sent: u64,
    /// Taken although they listed other addresses than ours.
    pub other_addresses: u64,
    /// Priority 0 from a router that was not active, ignored.
    pub pri_zero_ignored: u64,
    /// Times a backup found that it had been stalled and listened again.
    pub stall_rechecks: u64,
    /// Times an active router found that it had been stalled and yielded.
    pub stall_yields: u64,
    /// Times another active router was noticed beside us.
    pub rivals: u64,
    rejected: [u64; Reject::ALL.len()],
}

impl Stats {
    pub(super) fn reject(&mut self, reject: Reject) {
        self.rejected[reject as usize] += 1;
    }

    /// How many advertisements were refused for this reason.
    pub fn rejected(&self, reject: Reject) -> u64 {
        self.rejected[reject as usize]
    }

    /// Every reason with its count.
    pub fn rejects(&self) -> impl Iterator<Item = (Reject, u64)> {
        Reject::ALL.into_iter().zip(self.rejected)
    }
}
