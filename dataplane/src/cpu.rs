//! The one place of this crate with `unsafe`: hints to the machine, memory on huge pages, vector compares, code for machines that can
//! more than others, and one index that is never out of bounds. They change speed, never meaning.

#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use std::alloc::Layout;

use crate::hash::range;

/// Asks for the cache line of `value` ahead of use.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing the program can see and never faults; the address is that of a live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(value).cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Asks for the line of the item with this number; one that is not there is asked for in vain.
#[inline(always)]
pub fn prefetch_at<T>(items: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let item = items.as_ptr().wrapping_add(index);
        // SAFETY: a prefetch reads nothing the program can see and never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(item.cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, index);
}

/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// Items in one piece of memory, on transparent huge pages where the kernel grants them.
///
/// A piece as large as such a page begins with one. Where the allocator put it, up to a third of a table of 9 MiB lay on small
/// pages, and in every process another share. Its end is not rounded up: that would be memory which holds nothing.
pub struct Huge<T: Copy> {
    items: NonNull<T>,
    len: usize,
}

// SAFETY: it owns its items as a boxed slice does, and gives them out as its own borrow allows.
unsafe impl<T: Copy + Send> Send for Huge<T> {}
// SAFETY: the same.
unsafe impl<T: Copy + Sync> Sync for Huge<T> {}

impl<T: Copy> Huge<T> {
    /// `len` copies of `value`.
    ///
    /// # Panics
    /// When they are more than an address can name.
    pub fn new(len: usize, value: T) -> Self {
        let layout = Self::layout(len);
        if layout.size() == 0 {
            let items = NonNull::dangling();
            return Self { items, len };
        }
        // SAFETY: the size is not 0.
        let memory = unsafe { std::alloc::alloc(layout) };
        let Some(items) = NonNull::new(memory.cast::<T>()) else {
            std::alloc::handle_alloc_error(layout);
        };
        if layout.align() == HUGE_PAGE {
            advise_huge(memory, layout.size());
        }
        // SAFETY: there is room for `len` items, aligned for them, and nobody else knows of it.
        let room = unsafe { core::slice::from_raw_parts_mut(items.cast().as_ptr(), len) };
        room.fill(MaybeUninit::new(value));
        Self { items, len }
    }

    /// Number of items.
    #[inline(always)]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Of so many items.
    fn layout(len: usize) -> Layout {
        let items = Layout::array::<T>(len).expect("fewer items than addresses");
        if items.size() < HUGE_PAGE {
            return items;
        }
        items.align_to(HUGE_PAGE).expect("fewer items than addresses")
    }
}

impl<T: Copy> Deref for Huge<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `new` wrote `len` items there, which live as long as this.
        unsafe { core::slice::from_raw_parts(self.items.as_ptr(), self.len) }
    }
}

impl<T: Copy> DerefMut for Huge<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.items.as_ptr(), self.len) }
    }
}

impl<T: Copy> Drop for Huge<T> {
    fn drop(&mut self) {
        let layout = Self::layout(self.len);
        if layout.size() != 0 {
            // SAFETY: `new` allocated it with this layout; items that can be copied need no drop.
            unsafe { std::alloc::dealloc(self.items.as_ptr().cast::<u8>(), layout) };
        }
    }
}

impl<T: Copy> core::fmt::Debug for Huge<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Huge")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Asks for huge pages under memory of our own that has not been touched yet. Refusal is harmless.
#[cfg(target_os = "linux")]
fn advise_huge(memory: *mut u8, bytes: usize) {
    // SAFETY: the range was just allocated, but for the rest of its last page, which is the allocator's; the advice changes the page size only.
    let _ = unsafe { rustix::mm::madvise(memory.cast(), bytes, rustix::mm::Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_: *mut u8, _: usize) {}

/// A slice that is reached by hash: 32 well-mixed bits name a place, and no bits name one that is not there.
#[derive(Debug)]
pub struct Spread<T: Copy>(Huge<T>);

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
        Self(Huge::new(len, value))
    }
}

/// A [`Spread`] to be read, at hand in two registers.
#[derive(Debug)]
pub struct Spreading<'a, T>(&'a [T]);

impl<T> Clone for Spreading<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Spreading<'_, T> {}

impl<'a, T> Spreading<'a, T> {
    /// The element a hash names.
    #[inline(always)]
    pub fn at(self, bits: u32) -> &'a T {
        let place = range(bits, self.0.len() as u32) as usize;
        // SAFETY: `range` gives floor(bits * len / 2^32) < len, since bits < 2^32; `Spread::new` sees to 0 < len < 2^32, the
        // length never changes, and this is a whole one.
        unsafe { self.0.get_unchecked(place) }
    }
}

impl<T: Copy> Spread<T> {
    /// To be read.
    #[inline(always)]
    pub fn reading(&self) -> Spreading<'_, T> {
        Spreading(&self.0)
    }

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
        self.reading().at(bits)
    }

    /// The element a hash names, for changes.
    #[inline(always)]
    pub fn at_mut(&mut self, bits: u32) -> &mut T {
        let place = self.place(bits);
        // SAFETY: as in `Spreading::at`; the exclusive borrow of the slice is the element's.
        unsafe { self.0.get_unchecked_mut(place) }
    }
}

impl<T: Copy> core::ops::Index<usize> for Spread<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, place: usize) -> &T {
        &self.0[place]
    }
}

impl<T: Copy> core::ops::IndexMut<usize> for Spread<T> {
    #[inline(always)]
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut self.0[place]
    }
}

/// Proof that this machine has what x86-64-v3 has: AVX2, BMI, MOVBE and what they come with.
#[derive(Debug, Clone, Copy)]
pub struct Modern(());

impl Modern {
    /// If it has.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let all = has!("avx2")
                && has!("bmi1")
                && has!("bmi2")
                && has!("lzcnt")
                && has!("movbe")
                && has!("popcnt");
            all.then_some(Self(()))
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}

/// A piece of work that is worth being compiled twice.
pub trait Work {
    /// What it gives.
    type Out;
    /// Does it. To be inlined always, or it is not compiled for where it stands.
    fn work(self) -> Self::Out;
}

/// Does a piece of work by what the machine can do.
#[inline(always)]
pub fn with_best<W: Work>(modern: Option<Modern>, work: W) -> W::Out {
    #[cfg(target_arch = "x86_64")]
    if let Some(Modern(())) = modern {
        // SAFETY: there is a proof that the machine has these features, which only `detect` gives.
        return unsafe { with_v3(work) };
    }
    let _ = modern;
    with_any(work)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,movbe,popcnt")]
fn with_v3<W: Work>(work: W) -> W::Out {
    work.work()
}

#[inline(never)]
fn with_any<W: Work>(work: W) -> W::Out {
    work.work()
}

/// Sixteen bytes, where one vector load reaches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Bits16(pub [u8; 16]);

/// Eight tags, where one vector load reaches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Tags(pub [u16; 8]);

/// Whether `bytes` are `wanted` in those bits that are set in `counts`; in `wanted` no others are.
#[inline(always)]
pub fn agrees(bytes: &[u8; 16], counts: &Bits16, wanted: &Bits16) -> bool {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: the feature it needs is part of the target, checked by the cfg above.
    return unsafe { sse2::agrees(bytes, counts, wanted) };
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    agrees_portable(bytes, counts, wanted)
}

/// Bit per place of `tags` that equals `tag`.
#[inline(always)]
pub fn matches(tags: &Tags, tag: u16) -> u32 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: as in `agrees`.
    return unsafe { sse2::matches(tags, tag) };
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    matches_portable(tags, tag)
}

/// What stands at the first place where `tags` equals `tag`; behind the last one when nowhere.
#[inline(always)]
pub fn first(tags: &Tags, tag: u16, items: &[u32; 9]) -> u32 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: as in `agrees`.
    return unsafe { sse2::first(tags, tag, items) };
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    first_portable(tags, tag, items)
}

/// The same by vector instructions. Loads are transmutes between types of 16 bytes of plain bits, every pattern of which is
/// valid.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod sse2 {
    use core::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_cmpeq_epi16, _mm_movemask_epi8, _mm_packs_epi16,
        _mm_set1_epi16, _mm_setzero_si128,
    };
    use core::mem::transmute;

    use super::{Bits16, Tags};

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn agrees(bytes: &[u8; 16], counts: &Bits16, wanted: &Bits16) -> bool {
        // SAFETY: plain bits of the same size, see above.
        let bytes = unsafe { transmute::<[u8; 16], __m128i>(*bytes) };
        // SAFETY: the same.
        let counts = unsafe { transmute::<Bits16, __m128i>(*counts) };
        // SAFETY: the same.
        let wanted = unsafe { transmute::<Bits16, __m128i>(*wanted) };
        _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(bytes, counts), wanted)) == 0xffff
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn matches(tags: &Tags, tag: u16) -> u32 {
        // The upper half is empty, so are the upper bits of the mask.
        let packed = _mm_packs_epi16(equal(tags, tag), _mm_setzero_si128());
        _mm_movemask_epi8(packed).cast_unsigned()
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn first(tags: &Tags, tag: u16, items: &[u32; 9]) -> u32 {
        // Two bits a place, and one behind the last.
        let bits = _mm_movemask_epi8(equal(tags, tag)).cast_unsigned() | 1 << 16;
        let item = items
            .as_ptr()
            .wrapping_byte_add(bits.trailing_zeros() as usize * 2);
        // SAFETY: both bits of a place are set or clear, so the lowest bit that is set has an even number, at most 16: twice that
        // is the offset of one of nine words.
        unsafe { *item }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn equal(tags: &Tags, tag: u16) -> __m128i {
        // SAFETY: plain bits of the same size, see above.
        let tags = unsafe { transmute::<Tags, __m128i>(*tags) };
        _mm_cmpeq_epi16(tags, _mm_set1_epi16(tag.cast_signed()))
    }
}

/// [`agrees`] without vector instructions.
#[inline]
pub fn agrees_portable(bytes: &[u8; 16], counts: &Bits16, wanted: &Bits16) -> bool {
    u128::from_ne_bytes(*bytes) & u128::from_ne_bytes(counts.0) == u128::from_ne_bytes(wanted.0)
}

/// [`matches`] without vector instructions.
#[inline]
pub fn matches_portable(Tags(tags): &Tags, tag: u16) -> u32 {
    let mut bits = 0;
    for (place, &candidate) in tags.iter().enumerate() {
        bits |= u32::from(candidate == tag) << place;
    }
    bits
}

/// [`first`] without vector instructions.
#[inline]
pub fn first_portable(tags: &Tags, tag: u16, items: &[u32; 9]) -> u32 {
    items[(matches_portable(tags, tag) | 1 << 8).trailing_zeros() as usize]
}

#[cfg(test)]
mod tests {
    use super::{
        Bits16, Huge, Modern, Spread, Tags, Work, agrees, agrees_portable, first, first_portable, matches,
        matches_portable, with_best,
    };

    #[test]
    fn pieces_of_every_size_hold_their_items() {
        const PAGE: usize = super::HUGE_PAGE / size_of::<u32>();
        for len in [0, 1, 4096, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE] {
            let mut items = Huge::new(len, 7u32);
            assert_eq!((items.len(), items.is_empty()), (len, len == 0));
            assert!(items.iter().all(|&item| item == 7));
            if let Some(last) = items.last_mut() {
                *last = 8;
            }
            assert_eq!(items.iter().filter(|&&item| item == 8).count(), len.min(1));
            let misplaced = items.as_ptr().addr() % super::HUGE_PAGE;
            assert!(len < PAGE || misplaced == 0, "{len}: {misplaced}");
        }
    }

    #[test]
    #[should_panic(expected = "fewer items than addresses")]
    fn more_items_than_addresses_are_refused() {
        let _ = Huge::new(usize::MAX / 2, 7u32);
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
    fn bits_that_do_not_count_may_differ() {
        let wanted = Bits16(core::array::from_fn(|at| if at % 3 == 0 { at as u8 } else { 0 }));
        let counts = Bits16(core::array::from_fn(|at| if at % 3 == 0 { 0x7f } else { 0 }));
        for at in 0..16 {
            for bit in 0..8 {
                let mut bytes = wanted.0;
                bytes[at] ^= 1 << bit;
                let same = counts.0[at] & 1 << bit == 0;
                assert_eq!(agrees(&bytes, &counts, &wanted), same, "byte {at}, bit {bit}");
                assert_eq!(agrees_portable(&bytes, &counts, &wanted), same);
            }
        }
    }

    #[test]
    fn work_is_done_on_any_machine() {
        struct Double(u32);
        impl Work for Double {
            type Out = u32;
            #[inline(always)]
            fn work(self) -> u32 {
                self.0 * 2
            }
        }
        assert_eq!(with_best(Modern::detect(), Double(21)), 42);
        assert_eq!(with_best(None, Double(21)), 42);
    }

    #[test]
    fn both_compares_agree() {
        let mut state = 1u64;
        for _ in 0..100_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let tags = Tags(core::array::from_fn(|place| {
                (state >> (place * 7)) as u16 & 0x8003
            }));
            for tag in [0, 1, 2, 3, 0x8000, 0x8001] {
                assert_eq!(
                    matches(&tags, tag),
                    matches_portable(&tags, tag),
                    "{tag} in {tags:?}"
                );
                let items = [10, 11, 12, 13, 14, 15, 16, 17, 18];
                let item = items[tags.0.iter().position(|&other| other == tag).unwrap_or(8)];
                assert_eq!(
                    (first(&tags, tag, &items), first_portable(&tags, tag, &items)),
                    (item, item),
                    "{tag} in {tags:?}"
                );
            }
        }
    }
}
