//! Finds, adds and removes flows.
//!
//! A tuple's home bucket comes from the upper half of its hash, its second bucket from the lower half, its tag from the
//! lowest 16 bits. A tuple goes home unless home is full. A lookup costs one line for a miss, two for a hit; the second bucket
//! is looked at only when the home bucket has overflowed. The full key is always compared.

use crate::cpu::{self, Huge, Spread, Spreading, Tags};
use crate::family::{Family, Key};
use crate::hash::Seed;

use super::bucket::{Bucket, ENTRIES_MAX, Matches, Ref, SLOTS};
use super::{Direction, Entry, Flags, Settled, Tick};

/// Tells the reverse tuple of an entry: what the server's replies carry.
///
/// It is not stored. It follows from the entry, its server and its local address, which never change during its life.
pub trait Reverse<F: Family> {
    /// Source: the server. Destination: the client, or the local address of a FULLNAT flow.
    fn reverse_key(&self, entry: &Entry<F>) -> Key<F>;
}

/// The table has no room for the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Result of the first look at a bucket: a reference as one word, or none. Of a forward tuple it is the entry's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate(u32);

impl Candidate {
    /// Nothing with this tag.
    const NONE: Self = Self(Ref::NONE.word());
}

impl Default for Candidate {
    fn default() -> Self {
        Self::NONE
    }
}

/// The flows of one family on one worker.
#[derive(Debug)]
pub struct Table<F: Family> {
    buckets: Spread<Bucket>,
    entries: Huge<Entry<F>>,
    /// First free entry that was used before, plus 1.
    free: u32,
    /// Entries from here on were never used.
    high_water: u32,
    used: u32,
    /// A flow was refused and the table has not emptied since.
    crowded: bool,
    /// Tags are compared without vector instructions.
    portable: bool,
}

/// What became of a flow that was to be [added](Table::occupy) at a vacant place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupied {
    /// It is there, with this server.
    By(u32),
    /// The place is taken, or every entry is.
    NoPlace,
    /// It was not made.
    NotMade,
}

/// A table to be searched, at hand in registers.
#[derive(Debug, Clone, Copy)]
pub struct Finder<'a, F: Family> {
    buckets: Spreading<'a, Bucket>,
    entries: &'a [Entry<F>],
}

impl<F: Family> Finder<'_, F> {
    /// Asks for the home bucket's line.
    #[inline(always)]
    pub fn prefetch_bucket(self, hash: u64) {
        cpu::prefetch(self.buckets.at(home_of(hash)));
    }

    /// As [`Table::candidate`] by a given way of searching.
    #[inline(always)]
    pub fn candidate_by(
        self,
        search: impl Fn(&Tags, u16, &[u32; SLOTS + 1]) -> u32,
        Halves { home, tag }: Halves,
    ) -> Candidate {
        let reference = self.buckets.at(home).first(search, tag);
        // Of a reverse tuple's flow the server is needed first; its entry is asked for when it is looked at.
        cpu::prefetch_at(self.entries, reference.word() as usize);
        Candidate(reference.word())
    }
}

/// A table's entries, at hand in registers.
#[derive(Debug)]
pub struct Entries<'a, F: Family>(&'a mut [Entry<F>]);

impl<F: Family<Pair = [u8; 8]>> Entries<'_, F> {
    /// The server of a candidate.
    #[inline]
    pub fn backend(&self, candidate: Candidate) -> Option<u32> {
        Some(self.0.get(candidate.0 as usize)?.backend)
    }

    /// The entry of a candidate, if it is that of a packet with these addresses and `settled` holds. `None` says only that
    /// this is not known yet.
    #[inline(always)]
    pub fn settled(&mut self, candidate: Candidate, pair: u64, settled: Settled) -> Option<&mut Entry<F>> {
        let entry = self.0.get_mut(candidate.0 as usize)?;
        settled.is(pair, entry).then_some(entry)
    }
}

/// What a first look takes of a hash.
#[derive(Debug, Clone, Copy)]
pub struct Halves {
    home: u32,
    tag: u16,
}

impl Halves {
    /// Of a hash in memory order: each half is loaded by itself.
    #[inline(always)]
    pub const fn of(hash: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = hash;
        if cfg!(target_endian = "little") {
            Self {
                home: u32::from_le_bytes([e, f, g, h]),
                tag: u16::from_le_bytes([a, b]),
            }
        } else {
            Self {
                home: u32::from_be_bytes([a, b, c, d]),
                tag: u16::from_be_bytes([g, h]),
            }
        }
    }
}

/// Names the home bucket.
#[inline(always)]
const fn home_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Never 0: the hash sees to that.
#[inline(always)]
const fn tag_of(hash: u64) -> u16 {
    hash as u16
}

impl<F: Family> Table<F> {
    /// A table for at most `flows_max` flows of two tuples each.
    ///
    /// # Panics
    /// When `flows_max` is 0 or above 2^30.
    pub fn new(flows_max: usize) -> Self {
        assert!(
            flows_max > 0 && flows_max <= ENTRIES_MAX,
            "flows_max must be within 1 and 2^30"
        );
        // Two tuples a flow. Small tables get some more room, where chance weighs more.
        let buckets = (flows_max * 2).div_ceil(SLOTS) + 4;
        Self {
            buckets: Spread::new(buckets, Bucket::EMPTY),
            entries: Huge::new(flows_max, Entry::default()),
            free: 0,
            high_water: 0,
            used: 0,
            crowded: false,
            portable: false,
        }
    }

    /// The same table without vector instructions: for tests, on machines that have them.
    #[must_use]
    pub fn portable(self) -> Self {
        Self {
            portable: true,
            ..self
        }
    }

    /// Whether tags are compared without vector instructions.
    #[inline]
    pub const fn is_portable(&self) -> bool {
        self.portable
    }

    #[inline]
    fn compare(&self, bucket: &Bucket, tag: u16) -> Matches {
        if self.portable {
            bucket.matches_by(cpu::matches_portable, tag)
        } else {
            bucket.matches(tag)
        }
    }

    /// Bytes a table for `flows_max` flows takes.
    pub const fn bytes_for(flows_max: usize) -> usize {
        ((flows_max * 2).div_ceil(SLOTS) + 4) * size_of::<Bucket>() + flows_max * size_of::<Entry<F>>()
    }

    /// Flows held now.
    #[inline]
    pub const fn len(&self) -> usize {
        self.used as usize
    }

    /// Whether it holds no flow.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether flows were refused lately: then a packet without a flow may belong to one of those.
    pub const fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Whether every entry holds a flow.
    #[inline(always)]
    pub const fn is_full(&self) -> bool {
        self.used as usize == self.entries.len()
    }

    /// Notes that a flow was refused because the table is full.
    #[inline(always)]
    pub const fn refuse(&mut self) {
        self.crowded = true;
    }

    /// Most flows it can hold.
    pub const fn capacity(&self) -> usize {
        self.entries.len()
    }

    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        self.buckets.place(home_of(hash))
    }

    /// Never the home bucket itself: there are always several.
    #[inline(always)]
    fn second(&self, hash: u64) -> usize {
        let (home, second) = (self.home(hash), self.buckets.place(hash as u32));
        if second != home {
            second
        } else if home + 1 < self.buckets.len() {
            home + 1
        } else {
            0
        }
    }

    /// What the first stages need of the table.
    #[inline(always)]
    pub fn finder(&self) -> Finder<'_, F> {
        Finder {
            buckets: self.buckets.reading(),
            entries: &self.entries,
        }
    }

    /// Asks for the home bucket's line.
    #[inline(always)]
    pub fn prefetch_bucket(&self, hash: u64) {
        self.finder().prefetch_bucket(hash);
    }

    /// The entry that probably holds the tuple, with its line asked for. Reads the home bucket only.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Candidate {
        if self.portable {
            self.finder()
                .candidate_by(cpu::first_portable, Halves::of(hash.to_ne_bytes()))
        } else {
            self.finder()
                .candidate_by(cpu::first, Halves::of(hash.to_ne_bytes()))
        }
    }

    /// Asks for the second bucket's line, if anything ever went there.
    #[inline]
    pub fn prefetch_second(&self, hash: u64) {
        if self.buckets.at(home_of(hash)).has_overflowed() {
            cpu::prefetch(&self.buckets[self.second(hash)]);
        }
    }

    /// As [`candidate`](Self::candidate), of the second bucket.
    #[inline]
    pub fn second_candidate(&self, hash: u64) -> Candidate {
        if !self.buckets.at(home_of(hash)).has_overflowed() {
            return Candidate::NONE;
        }
        let bucket = &self.buckets[self.second(hash)];
        let reference = if self.portable {
            bucket.first(cpu::first_portable, tag_of(hash))
        } else {
            bucket.first(cpu::first, tag_of(hash))
        };
        cpu::prefetch_at(&self.entries, reference.word() as usize);
        Candidate(reference.word())
    }

    /// The entries, to be told from packets that change nothing about them.
    #[inline(always)]
    pub fn entries(&mut self) -> Entries<'_, F> {
        Entries(&mut self.entries)
    }

    /// Local address and port of a candidate's flow, as the entry has them.
    pub fn local_of(&self, candidate: Candidate) -> (u16, u16) {
        self.entries
            .get(candidate.0 as usize)
            .map_or((0, 0), |entry| (entry.local_index, entry.local_port))
    }

    /// Confirms a candidate by its full key, or searches on.
    #[inline]
    pub fn confirm(
        &self,
        candidate: Candidate,
        key: &Key<F>,
        hash: u64,
        reverse: &impl Reverse<F>,
    ) -> Option<(u32, Direction)> {
        let index = candidate.0;
        if candidate == Candidate::NONE {
            return self.find_overflowed(key, hash, reverse);
        }
        if let Some(entry) = self.entries.get(index as usize)
            && entry.pair == key.pair
            && entry.ports == key.ports
            && entry.protocol == key.protocol
            && entry.is_used()
        {
            return Some((index, Direction::Forward));
        }
        self.find(key, hash, reverse)
    }

    /// Whether a look at the home bucket is enough to say that no entry has a tuple with this hash.
    #[inline]
    pub fn is_absent(&self, hash: u64) -> bool {
        let home = self.buckets.at(home_of(hash));
        self.compare(home, tag_of(hash)).next().is_none() && !home.has_overflowed()
    }

    /// The place in the home bucket for a tuple that no entry has, where a look at this bucket tells that and has one.
    #[inline(always)]
    pub fn vacancy(&self, hash: u64) -> Option<u8> {
        let home = self.buckets.at(home_of(hash));
        if self.portable {
            home.vacancy(cpu::matches_portable, tag_of(hash))
        } else {
            home.vacancy(cpu::matches, tag_of(hash))
        }
    }

    /// Whether the place that [`vacancy`](Self::vacancy) gave is still vacant.
    #[inline(always)]
    pub fn is_vacant(&self, place: u8, hash: u64) -> bool {
        self.buckets.at(home_of(hash)).is_vacant(place)
    }

    /// Adds a flow without a reverse tuple, whose forward tuple has this hash, at the place that this hash gave, if it is still
    /// vacant and there is an entry to take; only then it is made, or not.
    #[inline(always)]
    pub fn occupy(&mut self, place: u8, hash: u64, make: impl FnOnce() -> Option<Entry<F>>) -> Occupied {
        let bucket = self.buckets.at_mut(home_of(hash));
        if !bucket.is_vacant(place) {
            return Occupied::NoPlace;
        }
        let taken = if self.free != 0 {
            self.free - 1
        } else {
            self.high_water
        };
        let Some(free) = self.entries.get_mut(taken as usize) else {
            return Occupied::NoPlace;
        };
        let Some(entry) = make() else {
            return Occupied::NotMade;
        };
        if self.free != 0 {
            self.free = free.link;
        } else {
            self.high_water += 1;
        }
        self.used += 1;
        *free = entry;
        bucket.put_at(place, tag_of(hash), Ref::new(taken, false));
        // The entry that is taken next lies anywhere.
        let next = (self.free as usize).wrapping_sub(1);
        if let Some(next) = self.entries.get(next) {
            cpu::prefetch(next);
        }
        Occupied::By(entry.backend)
    }

    /// The entry that has `key` as one of its tuples.
    pub fn find(&self, key: &Key<F>, hash: u64, reverse: &impl Reverse<F>) -> Option<(u32, Direction)> {
        let home = self.buckets.at(home_of(hash));
        let found = self.find_in(home, key, hash, reverse);
        if found.is_some() || !home.has_overflowed() {
            return found;
        }
        self.find_in(&self.buckets[self.second(hash)], key, hash, reverse)
    }

    /// After nothing in the home bucket matched: looks at the second one if anything ever went there.
    #[inline]
    fn find_overflowed(
        &self,
        key: &Key<F>,
        hash: u64,
        reverse: &impl Reverse<F>,
    ) -> Option<(u32, Direction)> {
        if !self.buckets.at(home_of(hash)).has_overflowed() {
            return None;
        }
        self.find_in(&self.buckets[self.second(hash)], key, hash, reverse)
    }

    fn find_in(
        &self,
        bucket: &Bucket,
        key: &Key<F>,
        hash: u64,
        reverse: &impl Reverse<F>,
    ) -> Option<(u32, Direction)> {
        self.compare(bucket, tag_of(hash)).find_map(|place| {
            let reference = bucket.get(place);
            let entry = &self.entries[reference.entry() as usize];
            let (own, direction) = if reference.is_reverse() {
                (reverse.reverse_key(entry), Direction::Reverse)
            } else {
                (entry.key(), Direction::Forward)
            };
            (own == *key).then_some((reference.entry(), direction))
        })
    }

    /// The entry at an index [`find`](Self::find) or [`insert`](Self::insert) gave.
    ///
    /// # Panics
    /// When the index is not one of this table's.
    #[inline]
    pub fn entry(&self, index: u32) -> &Entry<F> {
        &self.entries[index as usize]
    }

    /// The same, for changes. The tuples, the server and the local address must stay.
    ///
    /// # Panics
    /// As [`entry`](Self::entry).
    #[inline]
    pub fn entry_mut(&mut self, index: u32) -> &mut Entry<F> {
        &mut self.entries[index as usize]
    }

    /// Entries that were ever used: flows have indices below this.
    pub const fn touched(&self) -> u32 {
        self.high_water
    }

    /// These entries, flows or not. The range ends at [`touched`](Self::touched) at most.
    pub(super) fn entries_in(&self, range: core::ops::Range<u32>) -> &[Entry<F>] {
        &self.entries[range.start as usize..range.end as usize]
    }

    /// The flows among these entries, with their indices. The range ends at [`touched`](Self::touched) at most.
    pub fn range(&self, range: core::ops::Range<u32>) -> impl Iterator<Item = (u32, &Entry<F>)> {
        (range.start..)
            .zip(self.entries_in(range.clone()))
            .filter(|(_, entry)| entry.is_used())
    }

    /// Every flow with its index, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry<F>)> {
        self.range(0..self.high_water)
    }

    /// Adds a flow. Its reverse tuple is added too when it has [`Flags::REVERSE`], and only that one when it is
    /// [`Flags::REMOTE`] or [`Flags::ONE_PACKET`].
    ///
    /// # Errors
    /// [`Full`], and nothing changed, when there is no entry or no place in either bucket of a tuple.
    pub fn insert(&mut self, entry: Entry<F>, seed: &Seed, reverse: &impl Reverse<F>) -> Result<u32, Full> {
        self.insert_hashed(entry, entry.key().hash(seed), seed, reverse)
    }

    /// As [`insert`](Self::insert), where the hash of the forward tuple is known already.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_hashed(
        &mut self,
        entry: Entry<F>,
        forward_hash: u64,
        seed: &Seed,
        reverse: &impl Reverse<F>,
    ) -> Result<u32, Full> {
        let Ok(index) = self.claim() else {
            self.crowded = true;
            return Err(Full);
        };
        self.entries[index as usize] = entry;
        let wants_forward = entry.has_forward();
        let mut placed = !wants_forward || self.link(forward_hash, Ref::new(index, false), seed, reverse);
        if placed && entry.flags.has(Flags::REVERSE) {
            let hash = reverse.reverse_key(&entry).hash(seed);
            placed = self.link(hash, Ref::new(index, true), seed, reverse);
            if !placed && wants_forward {
                self.unlink(forward_hash, Ref::new(index, false));
            }
        }
        if !placed {
            self.crowded = true;
            self.release(index);
            return Err(Full);
        }
        Ok(index)
    }

    /// Removes a flow.
    pub fn remove(&mut self, index: u32, seed: &Seed, reverse: &impl Reverse<F>) {
        let entry = self.entries[index as usize];
        if !entry.is_used() {
            return;
        }
        if entry.has_forward() {
            self.unlink(entry.key().hash(seed), Ref::new(index, false));
        }
        if entry.flags.has(Flags::REVERSE) {
            self.unlink(reverse.reverse_key(&entry).hash(seed), Ref::new(index, true));
        }
        self.release(index);
    }

    fn claim(&mut self) -> Result<u32, Full> {
        let index = if let Some(index) = self.free.checked_sub(1) {
            self.free = self.entries[index as usize].link;
            index
        } else if (self.high_water as usize) < self.entries.len() {
            self.high_water += 1;
            self.high_water - 1
        } else {
            return Err(Full);
        };
        self.used += 1;
        Ok(index)
    }

    fn release(&mut self, index: u32) {
        self.entries[index as usize] = Entry {
            link: self.free,
            ..Entry::default()
        };
        self.free = index + 1;
        self.used -= 1;
        self.crowded &= self.used as usize >= self.entries.len() / 4 * 3;
    }

    /// Puts a reference home, else into its second bucket, else makes room in either by moving one reference that is
    /// there to its own other bucket.
    fn link(&mut self, hash: u64, reference: Ref, seed: &Seed, reverse: &impl Reverse<F>) -> bool {
        let (home, tag) = (self.home(hash), tag_of(hash));
        if self.buckets[home].put(tag, reference) {
            return true;
        }
        self.link_elsewhere(hash, reference, seed, reverse)
    }

    /// Home is full.
    fn link_elsewhere(&mut self, hash: u64, reference: Ref, seed: &Seed, reverse: &impl Reverse<F>) -> bool {
        let (home, second, tag) = (self.home(hash), self.second(hash), tag_of(hash));
        if self.buckets[second].put(tag, reference) {
            self.buckets[home].count_overflow();
            return true;
        }
        if self.make_room(home, seed, reverse) {
            return self.buckets[home].put(tag, reference);
        }
        let placed = self.make_room(second, seed, reverse) && self.buckets[second].put(tag, reference);
        if placed {
            self.buckets[home].count_overflow();
        }
        placed
    }

    /// Moves one reference out of a full bucket, if one can go.
    fn make_room(&mut self, bucket: usize, seed: &Seed, reverse: &impl Reverse<F>) -> bool {
        let full = self.buckets[bucket];
        for (_, reference) in full.references() {
            let entry = &self.entries[reference.entry() as usize];
            let key = if reference.is_reverse() {
                reverse.reverse_key(entry)
            } else {
                entry.key()
            };
            let hash = key.hash(seed);
            let (home, second, tag) = (self.home(hash), self.second(hash), tag_of(hash));
            let other = if home == bucket { second } else { home };
            if !self.buckets[other].put(tag, reference) {
                continue;
            }
            self.buckets[bucket].take(tag, reference);
            if home == bucket {
                self.buckets[home].count_overflow();
            } else {
                self.buckets[home].uncount_overflow();
            }
            return true;
        }
        false
    }

    fn unlink(&mut self, hash: u64, reference: Ref) {
        let (home, second, tag) = (self.home(hash), self.second(hash), tag_of(hash));
        if !self.buckets[home].take(tag, reference) && self.buckets[second].take(tag, reference) {
            self.buckets[home].uncount_overflow();
        }
    }

    /// Marks an entry as just seen.
    #[inline]
    pub fn touch(&mut self, index: u32, now: Tick) {
        self.entries[index as usize].seen = now;
    }
}
