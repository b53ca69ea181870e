//! Destination hashing: 256 buckets by the destination address, filled with the servers in turn, weights ignored.
//! A server that is unusable is not replaced: its connections are refused.

use super::{Load, PickInput, Pool, Server, hash};

pub(super) const BUCKETS: u32 = 256;

#[derive(Debug)]
pub(super) struct Table {
    /// Index of a server for each bucket; empty if there is no server.
    buckets: Box<[u32]>,
}

impl Table {
    pub(super) fn new(servers: &[Server]) -> Self {
        let in_turn = (0..).zip(servers).map(|(index, _)| index).cycle();
        Self {
            buckets: in_turn.take(BUCKETS as usize).collect(),
        }
    }

    pub(super) fn pick<L: Fn(u32) -> Load>(&self, pool: &Pool<'_, L>, input: &PickInput) -> Option<usize> {
        let bucket = hash::fold(input.destination).wrapping_mul(hash::MULTIPLIER) % BUCKETS;
        let index = *self.buckets.get(bucket as usize)? as usize;
        pool.usable(index).then_some(index)
    }
}
