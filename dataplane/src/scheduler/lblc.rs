//! Locality-based least connection, for caches: each destination address stays with its server.
//!
//! The server is kept until it is gone, quiesced, or overloaded while another is less than half used; then `wlc`
//! chooses and the choice is remembered. As in IPVS, a server over its connection threshold keeps its destinations.

use std::sync::Arc;

use super::{Algorithm, Load, PickInput, Pool, State, index_of_slot, locality, wlc};

pub(super) type Cache = locality::Cache<1>;

const ENTRIES: usize = 16 * 1024;

/// The cache of the state before, without the servers removed since, or a new one.
pub(super) fn cache(by_slot: &[(u32, u32)], previous: Option<&State>) -> Arc<Cache> {
    let Some(Algorithm::Lblc(cache)) = previous.map(|previous| &previous.algorithm) else {
        return Arc::new(Cache::new(ENTRIES));
    };
    cache.retain(|slot| index_of_slot(by_slot, slot).is_some());
    Arc::clone(cache)
}

pub(super) fn pick<L: Fn(u32) -> Load>(
    cache: &Cache,
    pool: &Pool<'_, L>,
    input: &PickInput,
) -> Option<usize> {
    let cached = cache.get(input.destination, input.now_s, pool.commit);
    let cached = cached.and_then(|set| pool.index_of_slot(*set.slots().first()?));
    let fits = |&index: &usize| pool.servers[index].weight > 0 && !is_overloaded(pool, index);
    if let Some(index) = cached.filter(fits) {
        return Some(index);
    }
    let chosen = wlc::pick(pool)?;
    if pool.commit {
        let slot = pool.servers[chosen].slot;
        cache.change(input.destination, input.now_s, |set| {
            set.replace(slot, input.now_s)
        });
    }
    Some(chosen)
}

/// More active connections than its weight, while some server has fewer than half of its own.
pub(super) fn is_overloaded<L: Fn(u32) -> Load>(pool: &Pool<'_, L>, index: usize) -> bool {
    let active = |index| u64::from(pool.load(index).active);
    active(index) > pool.weight(index)
        && (0..pool.servers.len()).any(|other| active(other) * 2 < pool.weight(other))
}
