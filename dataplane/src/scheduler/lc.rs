//! Least connection: the smallest overhead (active × 256 + inactive). Weights other than 0 do not matter.

use super::{Load, Pool};

pub(super) fn pick<L: Fn(u32) -> Load>(pool: &Pool<'_, L>) -> Option<usize> {
    pool.usable_indices()
        .min_by_key(|&index| pool.load(index).overhead())
}
