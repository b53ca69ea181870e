//! Never queue: the first usable server with no active connection, otherwise as `sed`.

use super::{Load, Pool, ratio_exceeds};

/// One look at each load: reading them is what a pick costs.
pub(super) fn pick<L: Fn(u32) -> Load>(pool: &Pool<'_, L>) -> Option<usize> {
    let mut least: Option<(usize, u64, u64)> = None;
    for index in pool.usable_indices() {
        let active = u64::from(pool.load(index).active);
        if active == 0 {
            return Some(index);
        }
        let (cost, weight) = (active + 1, pool.weight(index));
        if least.is_none_or(|(_, least, least_weight)| ratio_exceeds(least, least_weight, cost, weight)) {
            least = Some((index, cost, weight));
        }
    }
    least.map(|(index, _, _)| index)
}
