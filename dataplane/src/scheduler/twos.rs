//! Power of two choices: two servers drawn at random by weight, the less loaded of them taken.
//!
//! As in IPVS a draw is uniform in 0..=total, so the first usable server gets one draw too many of total + 1.

use super::{Load, Pool, ratio_exceeds};

pub(super) fn pick<L: Fn(u32) -> Load>(pool: &Pool<'_, L>, random: u64) -> Option<usize> {
    let total: u64 = pool.usable_indices().map(|index| pool.weight(index)).sum();
    let first = drawn(pool, (random & 0xffff_ffff) % (total + 1))?;
    let second = drawn(pool, (random >> 32) % (total + 1))?;
    let cost = |index| pool.load(index).overhead();
    let second_is_better = ratio_exceeds(cost(first), pool.weight(first), cost(second), pool.weight(second));
    Some(if second_is_better { second } else { first })
}

/// The server at whose weight the running sum of the usable weights reaches the draw.
fn drawn<L: Fn(u32) -> Load>(pool: &Pool<'_, L>, draw: u64) -> Option<usize> {
    let mut sum = 0;
    pool.usable_indices().find(|&index| {
        sum += pool.weight(index);
        sum >= draw
    })
}
