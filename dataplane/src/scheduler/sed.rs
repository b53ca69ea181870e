//! Shortest expected delay: the smallest (active + 1) / weight.

use super::{Load, Pool, wlc};

pub(super) fn pick<L: Fn(u32) -> Load>(pool: &Pool<'_, L>) -> Option<usize> {
    wlc::least_of(pool, pool.usable_indices(), |load| u64::from(load.active) + 1)
}
