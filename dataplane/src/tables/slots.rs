//! Stable numbers for services and backends.
//!
//! A name keeps its slot for as long as it is configured. A removed name keeps it too, retired, until nothing refers
//! to the slot any more and another name needs it: so flows of a server that comes back find it again (IPVS revives
//! servers from its trash likewise), and no slot ever means two servers to one flow.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The slots of one kind of thing.
#[derive(Debug)]
pub(super) struct Slots<K> {
    live: HashMap<K, u32>,
    retired: HashMap<K, u32>,
    /// Retired names, oldest first. May hold names that were revived since.
    queue: VecDeque<K>,
    next: u32,
    max: u32,
}

impl<K: Copy + Eq + Hash> Slots<K> {
    /// At most `max` slots.
    pub(super) fn new(max: u32) -> Self {
        Self {
            live: HashMap::new(),
            retired: HashMap::new(),
            queue: VecDeque::new(),
            next: 0,
            max,
        }
    }

    /// The slot of a live name.
    pub(super) fn get(&self, name: &K) -> Option<u32> {
        self.live.get(name).copied()
    }

    /// Names with a slot now.
    pub(super) fn live(&self) -> impl Iterator<Item = (&K, u32)> {
        self.live.iter().map(|(name, &slot)| (name, slot))
    }

    /// Number of live names.
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether a name was given up and would get its slot back.
    pub(super) fn is_retired(&self, name: &K) -> bool {
        self.retired.contains_key(name)
    }

    /// The slot of `name`: its own, the one it had before, a fresh one, or that of the longest retired name that
    /// `is_idle` allows. `None` when there is none.
    pub(super) fn take(&mut self, name: K, is_idle: impl Fn(u32) -> bool) -> Option<u32> {
        if let Some(slot) = self.get(&name) {
            return Some(slot);
        }
        let slot = match self.retired.remove(&name) {
            Some(slot) => slot,
            None if self.next < self.max => {
                self.next += 1;
                self.next - 1
            }
            None => self.reuse(is_idle)?,
        };
        self.live.insert(name, slot);
        Some(slot)
    }

    /// Gives a name up. Its slot stays reserved for it until another needs it.
    pub(super) fn retire(&mut self, name: &K) -> Option<u32> {
        let slot = self.live.remove(name)?;
        self.retired.insert(*name, slot);
        self.queue.push_back(*name);
        Some(slot)
    }

    fn reuse(&mut self, is_idle: impl Fn(u32) -> bool) -> Option<u32> {
        for _ in 0..self.queue.len() {
            let name = self.queue.pop_front()?;
            match self.retired.get(&name) {
                Some(&slot) if is_idle(slot) => {
                    self.retired.remove(&name);
                    return Some(slot);
                }
                Some(_) => self.queue.push_back(name),
                None => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn a_name_that_returns_gets_its_slot_back() {
        let mut slots = Slots::new(2);
        assert_eq!(slots.take('a', |_| true), Some(0));
        assert_eq!(slots.retire(&'a'), Some(0));
        assert_eq!(slots.take('b', |_| true), Some(1));
        assert_eq!(slots.take('a', |_| true), Some(0));
    }

    #[test]
    fn a_retired_slot_with_flows_is_not_given_away() {
        let mut slots = Slots::new(2);
        slots.take('a', |_| true);
        slots.take('b', |_| true);
        slots.retire(&'a');
        assert_eq!(slots.take('c', |_| false), None);
        assert_eq!(slots.take('c', |slot| slot == 0), Some(0));
        assert!(slots.get(&'a').is_none() && !slots.is_retired(&'a'));
    }
}
