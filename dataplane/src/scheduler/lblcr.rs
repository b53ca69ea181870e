//! Locality-based least connection with replication, for caches: each destination address stays with a set of
//! servers, which grows while they are overloaded and shrinks after a day without change.
//!
//! A set holds at most 24 servers, where the kernel's has no bound: past that, the choice of `wlc` is used without
//! being added.

use std::sync::Arc;

use super::locality::{self, EXPIRATION_S, Set};
use super::{Algorithm, Load, PickInput, Pool, State, index_of_slot, lblc, ratio_exceeds, wlc};

const SET_MAX: usize = 24;

pub(super) type Cache = locality::Cache<SET_MAX>;

const ENTRIES: usize = 8 * 1024;

/// The cache of the state before, without the servers removed since, or a new one.
pub(super) fn cache(by_slot: &[(u32, u32)], previous: Option<&State>) -> Arc<Cache> {
    let Some(Algorithm::Lblcr(cache)) = previous.map(|previous| &previous.algorithm) else {
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
    let set = cache.get(input.destination, input.now_s, pool.commit);
    let least = set.and_then(|set| least_loaded(pool, &set));
    if let Some(set) = set.filter(|_| pool.commit) {
        shrink(cache, pool, input, &set);
    }
    if let Some(index) = least.filter(|&index| !lblc::is_overloaded(pool, index)) {
        return Some(index);
    }
    let chosen = wlc::pick(pool)?;
    if pool.commit {
        let slot = pool.servers[chosen].slot;
        cache.change(input.destination, input.now_s, |set| {
            set.insert(slot, input.now_s)
        });
    }
    Some(chosen)
}

fn least_loaded<L: Fn(u32) -> Load>(pool: &Pool<'_, L>, set: &Set<SET_MAX>) -> Option<usize> {
    wlc::least_of(
        pool,
        members(pool, set).filter(|&index| pool.usable(index)),
        |load| load.overhead(),
    )
}

/// Takes the most loaded server out of a set that has several and has not changed for a day.
fn shrink<L: Fn(u32) -> Load>(cache: &Cache, pool: &Pool<'_, L>, input: &PickInput, set: &Set<SET_MAX>) {
    let unchanged_s = input.now_s.wrapping_sub(set.changed_s);
    if set.slots().len() < 2 || unchanged_s <= EXPIRATION_S {
        return;
    }
    if let Some(most) = most_loaded(pool, set) {
        let slot = pool.servers[most].slot;
        cache.change(input.destination, input.now_s, |set| {
            set.remove(slot, input.now_s)
        });
    }
}

/// The first of the set with the largest overhead in proportion to its weight; thresholds do not matter.
fn most_loaded<L: Fn(u32) -> Load>(pool: &Pool<'_, L>, set: &Set<SET_MAX>) -> Option<usize> {
    let weighted = members(pool, set).filter(|&index| pool.weight(index) > 0);
    let costed = weighted.map(|index| (index, pool.load(index).overhead(), pool.weight(index)));
    costed
        .reduce(|most, other| {
            if ratio_exceeds(other.1, other.2, most.1, most.2) {
                other
            } else {
                most
            }
        })
        .map(|(index, _, _)| index)
}

fn members<'a, L: Fn(u32) -> Load>(
    pool: &'a Pool<'_, L>,
    set: &'a Set<SET_MAX>,
) -> impl Iterator<Item = usize> + 'a {
    set.slots().iter().filter_map(|&slot| pool.index_of_slot(slot))
}
