//! The cache of `lblc` and `lblcr`: destination address → the servers it was last sent to.
//!
//! A table of fixed size in place of the kernel's lists: 16384 addresses for `lblc`, as where the kernel starts to
//! collect, and 8192 for `lblcr`. An entry idle for 24 hours counts as gone when it is next looked at (the kernel's
//! sweep takes up to half an hour longer), and where a bucket is full the entry idle longest gives way.
//!
//! Each bucket is a sequence lock over atomics. A reader that meets a writer looks again twice and then takes it for
//! a miss; a writer that meets another gives up, and the choice just made is used without being remembered. So nobody
//! waits. Times are seconds since an arbitrary start, and wrap.

use core::net::IpAddr;

use weir_rings::sync::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use super::hash;

/// An entry not looked up for this long is gone (`lblc_expiration`, `lblcr_expiration`), and a set of servers that
/// has not changed for longer loses its most loaded one.
pub(super) const EXPIRATION_S: u32 = 24 * 60 * 60;

/// Entries that compete for the same place.
const WAYS: usize = 8;
const READS_MAX: u32 = 3;
const HASH_KEY: [u64; 2] = [0x6c6f_6361_6c69_7479, 0x6361_6368_652d_6b31];

/// Up to `N` servers of one destination, by slot. The one added last comes first, as in the kernel's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set<const N: usize> {
    slots: [u32; N],
    length: usize,
    /// When a server was last added or removed.
    pub(super) changed_s: u32,
}

impl<const N: usize> Set<N> {
    const EMPTY: Self = Self {
        slots: [0; N],
        length: 0,
        changed_s: 0,
    };

    pub(super) fn slots(&self) -> &[u32] {
        &self.slots[..self.length]
    }

    /// Puts a server in front. Nothing happens if it is there already, or the set is full.
    pub(super) fn insert(&mut self, slot: u32, now_s: u32) {
        if self.length == N || self.slots().contains(&slot) {
            return;
        }
        self.slots.copy_within(0..self.length, 1);
        self.slots[0] = slot;
        self.length += 1;
        self.changed_s = now_s;
    }

    pub(super) fn remove(&mut self, slot: u32, now_s: u32) {
        let Some(at) = self.slots().iter().position(|&other| other == slot) else {
            return;
        };
        self.slots.copy_within(at + 1..self.length, at);
        self.length -= 1;
        self.changed_s = now_s;
    }

    /// Forgets all others.
    pub(super) fn replace(&mut self, slot: u32, now_s: u32) {
        self.length = 0;
        self.insert(slot, now_s);
    }
}

#[derive(Debug)]
pub(super) struct Cache<const N: usize> {
    /// A power of two of them.
    buckets: Box<[Bucket<N>]>,
}

#[derive(Debug)]
struct Bucket<const N: usize> {
    /// Odd while a writer is at work.
    version: AtomicU32,
    entries: [Entry<N>; WAYS],
}

#[derive(Debug)]
struct Entry<const N: usize> {
    address: [AtomicU64; 2],
    slots: [AtomicU32; N],
    /// 0: no entry.
    length: AtomicU32,
    changed_s: AtomicU32,
    /// Written by readers too, outside the lock: any recent value will do.
    used_s: AtomicU32,
}

impl<const N: usize> Cache<N> {
    /// A cache of `entries` addresses, a power of two and at least 8.
    pub(super) fn new(entries: usize) -> Self {
        let buckets = (entries / WAYS).next_power_of_two();
        Self {
            buckets: (0..buckets).map(|_| Bucket::new()).collect(),
        }
    }

    /// The servers of a destination. Renews the entry if `touch`.
    pub(super) fn get(&self, address: IpAddr, now_s: u32, touch: bool) -> Option<Set<N>> {
        let words = hash::words(address);
        let bucket = self.bucket(address);
        let (way, set) = (0..READS_MAX).find_map(|_| bucket.read(|| bucket.find(words, now_s)))??;
        if touch {
            bucket.entries[way].used_s.store(now_s, Relaxed);
        }
        Some(set)
    }

    /// Changes the servers of a destination; if it has no entry the change starts from none.
    pub(super) fn change(&self, address: IpAddr, now_s: u32, change: impl FnOnce(&mut Set<N>)) {
        let words = hash::words(address);
        let bucket = self.bucket(address);
        bucket.write(|| {
            let mut set = bucket.find(words, now_s).map_or(Set::EMPTY, |(_, set)| set);
            change(&mut set);
            // An expired entry of the same address makes way first: there must not be two.
            let way = bucket.way_of(words).unwrap_or_else(|| bucket.victim(now_s));
            bucket.entries[way].store(words, &set, now_s);
        });
    }

    /// Forgets servers that are no longer part of the service, as far as no worker is writing at that moment.
    pub(super) fn retain(&self, still_here: impl Fn(u32) -> bool) {
        for bucket in &self.buckets {
            bucket.write(|| {
                for entry in &bucket.entries {
                    entry.retain(&still_here);
                }
            });
        }
    }

    fn bucket(&self, address: IpAddr) -> &Bucket<N> {
        let mask = self.buckets.len() - 1;
        &self.buckets[hash::address(HASH_KEY, address) as usize & mask]
    }
}

impl<const N: usize> Bucket<N> {
    fn new() -> Self {
        Self {
            version: AtomicU32::new(0),
            entries: core::array::from_fn(|_| Entry::new()),
        }
    }

    /// Runs `look` and tells whether no writer interfered: `None` if one did.
    fn read<T>(&self, look: impl FnOnce() -> T) -> Option<T> {
        let before = self.version.load(Acquire);
        if before % 2 == 1 {
            return None;
        }
        let found = look();
        // The loads above must be done before the version is read again.
        fence(Acquire);
        (self.version.load(Relaxed) == before).then_some(found)
    }

    /// Runs `change` unless another writer is at work.
    fn write(&self, change: impl FnOnce()) {
        let before = self.version.load(Relaxed);
        if before % 2 == 1 {
            return;
        }
        let odd = before.wrapping_add(1);
        if self
            .version
            .compare_exchange(before, odd, Acquire, Relaxed)
            .is_err()
        {
            return;
        }
        // A reader that sees one of the stores below must also see the odd version.
        fence(Release);
        change();
        self.version.store(before.wrapping_add(2), Release);
    }

    fn way_of(&self, words: [u64; 2]) -> Option<usize> {
        self.entries.iter().position(|entry| entry.holds(words))
    }

    fn find(&self, words: [u64; 2], now_s: u32) -> Option<(usize, Set<N>)> {
        let way = self.way_of(words)?;
        let entry = &self.entries[way];
        (entry.idle_s(now_s) < EXPIRATION_S).then(|| (way, entry.load()))
    }

    /// Where a new entry goes: an empty place, else the one idle longest.
    fn victim(&self, now_s: u32) -> usize {
        let idle_s = |entry: &Entry<N>| {
            if entry.length.load(Relaxed) == 0 {
                u32::MAX
            } else {
                entry.idle_s(now_s).min(u32::MAX - 1)
            }
        };
        let longest = self
            .entries
            .iter()
            .enumerate()
            .max_by_key(|(_, entry)| idle_s(entry));
        longest.map_or(0, |(way, _)| way)
    }
}

impl<const N: usize> Entry<N> {
    fn new() -> Self {
        Self {
            address: Default::default(),
            slots: core::array::from_fn(|_| AtomicU32::new(0)),
            length: AtomicU32::new(0),
            changed_s: AtomicU32::new(0),
            used_s: AtomicU32::new(0),
        }
    }

    fn holds(&self, words: [u64; 2]) -> bool {
        self.length.load(Relaxed) != 0
            && self.address[0].load(Relaxed) == words[0]
            && self.address[1].load(Relaxed) == words[1]
    }

    fn idle_s(&self, now_s: u32) -> u32 {
        now_s.wrapping_sub(self.used_s.load(Relaxed))
    }

    fn load(&self) -> Set<N> {
        let length = self.length.load(Relaxed) as usize;
        Set {
            slots: core::array::from_fn(|at| self.slots[at].load(Relaxed)),
            length: length.min(N),
            changed_s: self.changed_s.load(Relaxed),
        }
    }

    fn store(&self, words: [u64; 2], set: &Set<N>, now_s: u32) {
        self.address[0].store(words[0], Relaxed);
        self.address[1].store(words[1], Relaxed);
        self.used_s.store(now_s, Relaxed);
        self.store_set(set);
    }

    fn store_set(&self, set: &Set<N>) {
        for (to, &slot) in self.slots.iter().zip(set.slots()) {
            to.store(slot, Relaxed);
        }
        self.changed_s.store(set.changed_s, Relaxed);
        // At most N, which is small.
        self.length.store(set.length as u32, Relaxed);
    }

    fn retain(&self, still_here: impl Fn(u32) -> bool) {
        let before = self.load();
        let mut after = Set { length: 0, ..before };
        for &slot in before.slots().iter().filter(|&&slot| still_here(slot)) {
            after.slots[after.length] = slot;
            after.length += 1;
        }
        if after.length != before.length {
            self.store_set(&after);
        }
    }
}
