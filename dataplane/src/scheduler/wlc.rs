//! Weighted least connection: the smallest overhead in proportion to the weight.

use super::{Load, Pool, ratio_exceeds};

pub(super) fn pick<L: Fn(u32) -> Load>(pool: &Pool<'_, L>) -> Option<usize> {
    least_of(pool, pool.usable_indices(), |load| load.overhead())
}

/// The first of the candidates whose cost in proportion to its weight is smallest. The candidates have a weight.
pub(super) fn least_of<L: Fn(u32) -> Load>(
    pool: &Pool<'_, L>,
    candidates: impl Iterator<Item = usize>,
    cost: impl Fn(Load) -> u64,
) -> Option<usize> {
    let costed = candidates.map(|index| (index, cost(pool.load(index)), pool.weight(index)));
    costed
        .reduce(|least, other| {
            if ratio_exceeds(least.1, least.2, other.1, other.2) {
                other
            } else {
                least
            }
        })
        .map(|(index, _, _)| index)
}
