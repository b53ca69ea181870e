//! One cache line that says where up to eight tuples are.
//!
//! A tag is 16 bits of the hash, 0 for an empty place. A reference is the index of an entry and one bit for which of
//! the entry's two tuples stands here. `overflowed` counts tuples whose home this bucket is and which stand in their
//! second bucket, so that a miss looks at a second line only when something really went there.

use crate::cpu::Tags;

/// Places in a bucket.
pub const SLOTS: usize = 8;

/// Marks a reference to an entry's reverse tuple.
const REVERSE: u32 = 1 << 31;

/// Most entries a table can have: a reference has a bit of its own, and all ones mean none.
pub(super) const ENTRIES_MAX: usize = 1 << 30;

/// A place's content: which entry, and which of its tuples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ref(u32);

impl Ref {
    /// No entry: there are never so many.
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) const fn new(entry: u32, reverse: bool) -> Self {
        Self(if reverse { entry | REVERSE } else { entry })
    }

    /// As one word, the reverse bit on top.
    pub(super) const fn word(self) -> u32 {
        self.0
    }

    pub(super) const fn entry(self) -> u32 {
        self.0 & !REVERSE
    }

    pub(super) const fn is_reverse(self) -> bool {
        self.0 & REVERSE != 0
    }
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    tags: Tags,
    /// The one behind the last place is always [`Ref::NONE`]: what a search that finds nothing gives.
    refs: [u32; SLOTS + 1],
    overflowed: u32,
}

/// Bit per place whose tag matched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matches(u32);

impl Iterator for Matches {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let place = self.0.trailing_zeros() as usize % SLOTS;
        self.0 &= self.0 - 1;
        Some(place)
    }
}

impl Bucket {
    pub(super) const EMPTY: Self = Self {
        tags: Tags([0; SLOTS]),
        refs: [Ref::NONE.0; SLOTS + 1],
        overflowed: 0,
    };

    /// Places with this tag.
    #[inline(always)]
    pub(super) fn matches(&self, tag: u16) -> Matches {
        Matches(crate::cpu::matches(&self.tags, tag))
    }

    /// The same by a given way of comparing.
    #[inline(always)]
    pub(super) fn matches_by(&self, compare: impl Fn(&Tags, u16) -> u32, tag: u16) -> Matches {
        Matches(compare(&self.tags, tag))
    }

    /// Reference at the first place with this tag, which `search` finds.
    #[inline(always)]
    pub(super) fn first(&self, search: impl Fn(&Tags, u16, &[u32; SLOTS + 1]) -> u32, tag: u16) -> Ref {
        Ref(search(&self.tags, tag, &self.refs))
    }

    /// An empty place, if nothing here has the tag and nothing whose home this is stands elsewhere: two facts by one load.
    #[inline(always)]
    pub(super) fn vacancy(&self, compare: impl Fn(&Tags, u16) -> u32, tag: u16) -> Option<u8> {
        let (same, empty) = (compare(&self.tags, tag), compare(&self.tags, 0));
        (same | self.overflowed == 0 && empty != 0).then(|| empty.trailing_zeros() as u8)
    }

    /// Whether there is such a place and nothing stands there.
    #[inline(always)]
    pub(super) fn is_vacant(&self, place: u8) -> bool {
        self.tags.0.get(usize::from(place)) == Some(&0)
    }

    /// Puts a reference into a vacant place.
    #[inline(always)]
    pub(super) fn put_at(&mut self, place: u8, tag: u16, reference: Ref) {
        let place = usize::from(place) % SLOTS;
        self.tags.0[place] = tag;
        self.refs[place] = reference.0;
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Ref {
        Ref(self.refs[place])
    }

    /// Puts a reference into an empty place; `false` when there is none.
    pub(super) fn put(&mut self, tag: u16, reference: Ref) -> bool {
        let Some(place) = self.matches(0).next() else {
            return false;
        };
        self.tags.0[place] = tag;
        self.refs[place] = reference.0;
        true
    }

    /// Every reference here with its place.
    pub(super) fn references(&self) -> impl Iterator<Item = (usize, Ref)> {
        let places = self.tags.0.iter().zip(self.refs).enumerate();
        places
            .filter(|(_, (tag, _))| **tag != 0)
            .map(|(place, (_, reference))| (place, Ref(reference)))
    }

    /// Takes a reference out; `false` when it is not here.
    pub(super) fn take(&mut self, tag: u16, reference: Ref) -> bool {
        let Some(place) = self.matches(tag).find(|&place| self.refs[place] == reference.0) else {
            return false;
        };
        self.tags.0[place] = 0;
        true
    }

    #[inline]
    pub(super) const fn has_overflowed(&self) -> bool {
        self.overflowed != 0
    }

    pub(super) const fn count_overflow(&mut self) {
        self.overflowed += 1;
    }

    pub(super) const fn uncount_overflow(&mut self) {
        self.overflowed = self.overflowed.saturating_sub(1);
    }
}

const _: () = assert!(size_of::<Bucket>() == 64);
