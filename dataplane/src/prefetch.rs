//! The one place of this crate with `unsafe`: hints to the machine, one vector compare, and one index that is never out of
//! bounds. They change speed, never meaning.

#![allow(unsafe_code)]

use crate::hash::range;

/// Asks for the cache line of `value` ahead of use.
#[inline(always)]
pub fn read<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing the program can see and never faults; the address is that of a live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(value).cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// A boxed slice of `len` copies of `value`, on transparent huge pages where the kernel grants them.
pub fn huge_slice<T: Copy>(len: usize, value: T) -> Box<[T]> {
    let mut items = Vec::with_capacity(len);
    advise_huge(items.spare_capacity_mut());
    items.resize(len, value);
    items.into_boxed_slice()
}

/// Asks for huge pages under memory that has not been touched yet. Refusal is harmless.
#[cfg(target_os = "linux")]
fn advise_huge<T>(memory: &mut [core::mem::MaybeUninit<T>]) {
    const PAGE: usize = 4096;
    let start = memory.as_mut_ptr().addr();
    let aligned = start.next_multiple_of(PAGE);
    let len = (start + size_of_val(memory)).saturating_sub(aligned) / PAGE * PAGE;
    if len == 0 {
        return;
    }
    let base = memory
        .as_mut_ptr()
        .cast::<core::ffi::c_void>()
        .wrapping_byte_add(aligned - start);
    // SAFETY: the range lies inside `memory`, which we borrow for writing; the advice changes the page size only.
    let _ = unsafe { rustix::mm::madvise(base, len, rustix::mm::Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge<T>(_: &mut [core::mem::MaybeUninit<T>]) {}

/// A slice that is reached by hash: 32 well-mixed bits name a place, and no bits name one that is not there.
#[derive(Debug)]
pub struct Spread<T>(Box<[T]>);

impl<T: Copy> Spread<T> {
    /// `len` copies of `value`.
    ///
    /// # Panics
    /// When `len` is 0 or above 2^32 - 1.
    pub fn new(len: usize, value: T) -> Self {
        assert!(
            len > 0 && len <= u32::MAX as usize,
            "a length that 32 bits can name"
        );
        Self(huge_slice(len, value))
    }
}

impl<T> Spread<T> {
    /// Number of places.
    #[inline(always)]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Never.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The place of a hash, by its number.
    #[inline(always)]
    pub fn place(&self, bits: u32) -> usize {
        range(bits, self.0.len() as u32) as usize
    }

    /// The element a hash names.
    #[inline(always)]
    pub fn at(&self, bits: u32) -> &T {
        // SAFETY: `place` gives floor(bits * len / 2^32) < len, since bits < 2^32; `new` sees to 0 < len < 2^32, and the
        // length never changes.
        unsafe { self.0.get_unchecked(self.place(bits)) }
    }

    /// The element a hash names, for changes.
    #[inline(always)]
    pub fn at_mut(&mut self, bits: u32) -> &mut T {
        let place = self.place(bits);
        // SAFETY: as in `at`; the exclusive borrow of the slice is the element's.
        unsafe { self.0.get_unchecked_mut(place) }
    }
}

impl<T> core::ops::Index<usize> for Spread<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, place: usize) -> &T {
        &self.0[place]
    }
}

impl<T> core::ops::IndexMut<usize> for Spread<T> {
    #[inline(always)]
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut self.0[place]
    }
}

/// Bit per place of `tags` that equals `tag`.
#[inline(always)]
pub fn matches(tags: &[u16; 8], tag: u16) -> u32 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: the feature it needs is part of the target, checked by the cfg above.
    return unsafe { matches_sse2(tags, tag) };
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    matches_portable(tags, tag)
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline]
#[target_feature(enable = "sse2")]
fn matches_sse2(tags: &[u16; 8], tag: u16) -> u32 {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi16, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16, _mm_setzero_si128,
    };
    // SAFETY: both types are 16 bytes of plain bits; every pattern is valid for either.
    let tags = unsafe { core::mem::transmute::<[u16; 8], __m128i>(*tags) };
    let equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(tag.cast_signed()));
    // The upper half is empty, so are the upper bits of the mask.
    _mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())).cast_unsigned()
}

/// The same without vector instructions.
#[inline]
pub fn matches_portable(tags: &[u16; 8], tag: u16) -> u32 {
    let mut bits = 0;
    for (place, &candidate) in tags.iter().enumerate() {
        bits |= u32::from(candidate == tag) << place;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::{Spread, huge_slice, matches, matches_portable};

    #[test]
    fn slices_of_every_size_hold_their_value() {
        for len in [0, 1, 4096, 1 << 20] {
            assert!(huge_slice(len, 7u32).iter().all(|&item| item == 7));
        }
    }

    #[test]
    fn every_hash_names_a_place() {
        for len in [1, 2, 3, 7, 4096, 65_537] {
            let mut spread = Spread::new(len, 0);
            for place in 0..len {
                spread[place] = place;
            }
            for bits in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX] {
                assert_eq!(*spread.at(bits), spread.place(bits));
            }
            assert_eq!((*spread.at(0), *spread.at(u32::MAX)), (0, len - 1));
        }
    }

    #[test]
    fn both_compares_agree() {
        let mut state = 1u64;
        for _ in 0..100_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let tags = core::array::from_fn(|place| (state >> (place * 7)) as u16 & 0x8003);
            for tag in [0, 1, 2, 3, 0x8000, 0x8001] {
                assert_eq!(
                    matches(&tags, tag),
                    matches_portable(&tags, tag),
                    "{tag} in {tags:?}"
                );
            }
        }
    }
}
