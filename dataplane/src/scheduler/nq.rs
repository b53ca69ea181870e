//! Never queue: the first usable server with no active connection, otherwise as `sed`.

use super::{Load, Pool, sed};

pub(super) fn pick<L: Fn(u32) -> Load>(pool: &Pool<'_, L>) -> Option<usize> {
    let idle = pool.usable_indices().find(|&index| pool.load(index).active == 0);
    idle.or_else(|| sed::pick(pool))
}
