//! Weighted overflow: the usable server of the highest weight, until its active connections exceed that weight; then
//! the next. Counts active connections only, so it is of no use for UDP.

use super::{Load, Pool, fo};

pub(super) fn pick<L: Fn(u32) -> Load>(pool: &Pool<'_, L>) -> Option<usize> {
    let has_room = |&index: &usize| pool.load(index).active <= pool.servers[index].weight;
    fo::heaviest(pool, pool.usable_indices().filter(has_room))
}
