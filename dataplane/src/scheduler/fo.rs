//! Weighted fail-over: the usable server of the highest weight takes everything.

use super::{Load, Pool};

pub(super) fn pick<L: Fn(u32) -> Load>(pool: &Pool<'_, L>) -> Option<usize> {
    heaviest(pool, pool.usable_indices())
}

/// The first of the candidates with the highest weight.
pub(super) fn heaviest<L>(pool: &Pool<'_, L>, candidates: impl Iterator<Item = usize>) -> Option<usize> {
    candidates.reduce(|best, other| {
        if pool.servers[other].weight > pool.servers[best].weight {
            other
        } else {
            best
        }
    })
}
