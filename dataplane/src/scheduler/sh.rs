//! Source hashing: 256 buckets by the client's address, filled along the list, each server `weight` times.
//!
//! A quiesced server still holds one bucket, as in IPVS. The client's port counts with `sh-port`. An unusable server
//! is not replaced (the connection is refused), unless `sh-fallback`: then the hash is tried again with offsets that
//! walk once round the table from the first bucket.

use super::dh::BUCKETS;
use super::{Flags, Load, PickInput, Pool, Server, hash};

#[derive(Debug)]
pub(super) struct Table {
    /// Index of a server for each bucket; empty if there is no server.
    buckets: Box<[u32]>,
}

impl Table {
    pub(super) fn new(servers: &[Server]) -> Self {
        let shares = |(index, server): (u32, &Server)| {
            core::iter::repeat_n(index, server.weight.clamp(1, BUCKETS) as usize)
        };
        let repeated = (0..).zip(servers).flat_map(shares).cycle();
        Self {
            buckets: repeated.take(BUCKETS as usize).collect(),
        }
    }

    pub(super) fn pick<L: Fn(u32) -> Load>(
        &self,
        pool: &Pool<'_, L>,
        input: &PickInput,
        flags: Flags,
    ) -> Option<usize> {
        let key = key(input, flags);
        let first = bucket(key, 0);
        let index = *self.buckets.get(first as usize)? as usize;
        if pool.usable(index) {
            return Some(index);
        }
        if !flags.fallback || pool.usable_indices().next().is_none() {
            return None;
        }
        let offsets = (0..BUCKETS).map(|step| (step + first) % BUCKETS);
        offsets
            .map(|offset| self.buckets[bucket(key, offset) as usize] as usize)
            .find(|&index| pool.usable(index))
    }
}

/// Address and, with `sh-port`, port of the client.
fn key(input: &PickInput, flags: Flags) -> u32 {
    let port = if flags.port {
        u32::from(input.client_port)
    } else {
        0
    };
    port.wrapping_add(hash::fold(input.client))
}

const fn bucket(key: u32, offset: u32) -> u32 {
    offset.wrapping_add(key.wrapping_mul(hash::MULTIPLIER)) % BUCKETS
}
