//! A fixed-capacity vector of packets: what one receive or transmit call moves.

use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};

use weir_dpdk_sys as c;

use crate::mbuf::Mbuf;

/// Up to [`Burst::CAPACITY`] owned packets, in order. Use it as a slice; dropping it frees what it holds.
pub struct Burst {
    len: usize,
    /// The first `len` are initialised. An `Mbuf` is one pointer, so C sees an array of `struct rte_mbuf *`.
    slots: [MaybeUninit<Mbuf>; Self::CAPACITY],
}

impl Burst {
    /// The most packets one burst holds.
    pub const CAPACITY: usize = 64;

    /// An empty burst.
    pub const fn new() -> Self {
        Self {
            len: 0,
            slots: [const { MaybeUninit::uninit() }; Self::CAPACITY],
        }
    }

    /// Whether another packet would not fit.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len == Self::CAPACITY
    }

    /// Puts a packet at the end, or gives it back if the burst is full.
    #[inline]
    pub fn push(&mut self, packet: Mbuf) -> Result<(), Mbuf> {
        let Some(slot) = self.slots.get_mut(self.len) else {
            return Err(packet);
        };
        slot.write(packet);
        self.len += 1;
        Ok(())
    }

    /// Takes the last packet.
    #[inline]
    pub fn pop(&mut self) -> Option<Mbuf> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the slot was counted as initialised, and no longer is.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    /// Takes all packets, in order. Those not taken from the iterator are freed with it.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        // Emptied first: a leaked iterator leaks packets but frees none twice.
        let end = core::mem::take(&mut self.len);
        Drain {
            slots: &mut self.slots,
            at: 0,
            end,
        }
    }

    /// Frees all packets in one call.
    #[inline]
    pub fn clear(&mut self) {
        let count = core::mem::take(&mut self.len);
        free(&mut self.slots, 0, count);
    }

    /// The uninitialised slots behind the packets.
    #[inline]
    pub(crate) fn spare(&mut self) -> &mut [MaybeUninit<Mbuf>] {
        &mut self.slots[self.len..]
    }

    /// Counts `count` more slots as packets.
    ///
    /// # Safety
    /// The first `count` slots of [`Burst::spare`] hold packets that nobody else owns.
    #[inline]
    pub(crate) unsafe fn grow(&mut self, count: usize) {
        debug_assert!(self.len + count <= Self::CAPACITY);
        self.len += count;
    }

    /// The packets as C wants them.
    #[inline]
    pub(crate) fn as_raw(&mut self) -> *mut *mut c::rte_mbuf {
        self.slots.as_mut_ptr().cast()
    }

    /// Forgets the first `count` packets, which somebody else owns now, and moves the rest up.
    ///
    /// # Safety
    /// Ownership of the first `count` packets, `count <= len`, was given away.
    #[inline]
    pub(crate) unsafe fn forget_front(&mut self, count: usize) {
        debug_assert!(count <= self.len);
        let slots = self.slots.as_mut_ptr();
        let rest = self.len - count;
        // SAFETY: both ranges lie within the first `len` slots; `copy` allows them to overlap.
        unsafe { core::ptr::copy(slots.wrapping_add(count), slots, rest) };
        self.len = rest;
    }
}

/// Gives the packets in slots `at..end` back to their pools.
#[inline]
fn free(slots: &mut [MaybeUninit<Mbuf>; Burst::CAPACITY], at: usize, end: usize) {
    if at == end {
        return;
    }
    let first = slots.as_mut_ptr().wrapping_add(at).cast::<*mut c::rte_mbuf>();
    // SAFETY: every caller passes a range of initialised slots that it counts as empty from now on.
    unsafe { c::rte_pktmbuf_free_bulk(first, (end - at) as u32) };
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Burst {
    type Target = [Mbuf];

    #[inline]
    fn deref(&self) -> &[Mbuf] {
        // SAFETY: the first `len` slots are initialised.
        unsafe { core::slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Burst {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Mbuf] {
        // SAFETY: the first `len` slots are initialised.
        unsafe { core::slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.clear();
    }
}

impl core::fmt::Debug for Burst {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The packets of a [`Burst`], by value.
#[derive(Debug)]
pub struct Drain<'a> {
    slots: &'a mut [MaybeUninit<Mbuf>; Burst::CAPACITY],
    at: usize,
    end: usize,
}

impl Iterator for Drain<'_> {
    type Item = Mbuf;

    #[inline]
    fn next(&mut self) -> Option<Mbuf> {
        if self.at == self.end {
            return None;
        }
        let slot = &self.slots[self.at];
        self.at += 1;
        // SAFETY: slots from the old `at` to `end` are initialised, and this one is not looked at again.
        Some(unsafe { slot.assume_init_read() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.at, Some(self.end - self.at))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        free(self.slots, self.at, self.end);
    }
}
