//! The one place of this crate with `unsafe`: two hints to the machine that change speed, never meaning.

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

#[cfg(test)]
mod tests {
    use super::huge_slice;

    #[test]
    fn slices_of_every_size_hold_their_value() {
        for len in [0, 1, 4096, 1 << 20] {
            assert!(huge_slice(len, 7u32).iter().all(|&item| item == 7));
        }
    }
}
