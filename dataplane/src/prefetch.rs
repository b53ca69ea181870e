//! The one place of this crate with `unsafe`: hints to the machine, and one vector compare, that change speed, never
//! meaning.

#![allow(unsafe_code)]

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
    use core::arch::x86_64::{__m128i, _mm_cmpeq_epi16, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16};
    // SAFETY: both types are 16 bytes of plain bits; every pattern is valid for either.
    let tags = unsafe { core::mem::transmute::<[u16; 8], __m128i>(*tags) };
    let equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(tag.cast_signed()));
    _mm_movemask_epi8(_mm_packs_epi16(equal, equal)).cast_unsigned() & 0xff
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
    use super::{huge_slice, matches, matches_portable};

    #[test]
    fn slices_of_every_size_hold_their_value() {
        for len in [0, 1, 4096, 1 << 20] {
            assert!(huge_slice(len, 7u32).iter().all(|&item| item == 7));
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
