//! Memory that another process may read and write at any time, seen as cache lines of atomic words.
//!
//! This is the one place of the crate that turns an address into something usable, for the heap and for a
//! mapping alike. Nothing but atomic words is ever seen through it: the peer may change any of them between
//! two reads, and that is no undefined behaviour, only a value to distrust.

use core::ops::Deref;
use core::ptr::NonNull;

use crate::sync::{Arc, AtomicU64, Ordering};

/// Words in a cache line.
pub(crate) const LINE_WORDS: usize = 8;

/// Bytes in a cache line.
pub(crate) const LINE_LEN: usize = 64;

/// A 64-bit cell: written by one thread, read by any.
#[derive(Debug)]
#[repr(transparent)]
pub struct Cell64(AtomicU64);

impl Cell64 {
    fn zero() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds, wrapping. Only the cell's one writer may call it: it is a load and a store, not a locked
    /// instruction, and a second writer's additions would be lost.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Subtracts, wrapping. As [`add`](Self::add), for the one writer.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.set(self.get().wrapping_sub(n));
    }

    /// Sets the value. As [`add`](Self::add), for the one writer.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) const fn atomic(&self) -> &AtomicU64 {
        &self.0
    }
}

/// A cache line of cells.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [Cell64; LINE_WORDS]);

#[cfg(not(loom))]
const _: () = assert!(size_of::<Line>() == LINE_LEN && align_of::<Line>() == LINE_LEN);

impl Line {
    fn zero() -> Self {
        Self(core::array::from_fn(|_| Cell64::zero()))
    }
}

/// What keeps the lines alive.
enum Owner {
    /// From `Box::into_raw`, given back on drop.
    Heap(NonNull<[Line]>),
    #[cfg(not(loom))]
    Mapped { _map: memmap2::MmapRaw },
}

// SAFETY: an owner is a box of atomic words or a mapping, and neither is tied to a thread; it is only ever dropped.
unsafe impl Send for Owner {}
// SAFETY: a shared owner offers no operation at all.
unsafe impl Sync for Owner {}

impl Drop for Owner {
    fn drop(&mut self) {
        match self {
            // SAFETY: the pointer came from `Box::into_raw` in `Lines::heap`, is dropped here and only here, and every
            // `Lines` that could reach it held the `Arc` that is now gone.
            Self::Heap(lines) => drop(unsafe { Box::from_raw(lines.as_ptr()) }),
            #[cfg(not(loom))]
            Self::Mapped { .. } => {}
        }
    }
}

/// A run of cache lines, kept alive as long as it is held. Clones see the same lines.
#[derive(Clone)]
pub(crate) struct Lines {
    first: NonNull<Line>,
    len: usize,
    owner: Arc<Owner>,
}

// SAFETY: `Lines` is a shared reference to atomic words with a counted owner; `&[Line]` and `Arc<Owner>` are Send.
unsafe impl Send for Lines {}
// SAFETY: as above; `&[Line]` and `Arc<Owner>` are Sync.
unsafe impl Sync for Lines {}

impl Lines {
    /// `len` zeroed lines of this process alone.
    pub(crate) fn heap(len: usize) -> Self {
        let lines: Box<[Line]> = (0..len).map(|_| Line::zero()).collect();
        let lines = NonNull::from(Box::leak(lines));
        Self {
            first: lines.cast(),
            len,
            owner: Arc::new(Owner::Heap(lines)),
        }
    }

    /// All whole lines of a mapping. The pages must be backed for their whole length, so that no access faults:
    /// [`segment`](crate::segment) checks the file's size and its seals before it calls this.
    #[cfg(not(loom))]
    pub(crate) fn mapped(map: memmap2::MmapRaw) -> Option<Self> {
        let first = NonNull::new(map.as_mut_ptr())?.cast::<Line>();
        let len = map.len() / LINE_LEN;
        first.is_aligned().then(|| Self {
            first,
            len,
            owner: Arc::new(Owner::Mapped { _map: map }),
        })
    }

    /// Lines `from..from + len`, if they are there.
    pub(crate) fn slice(&self, from: usize, len: usize) -> Option<Self> {
        let lines = self.get(from..from.checked_add(len)?)?;
        Some(Self {
            first: NonNull::from(lines).cast(),
            len,
            owner: self.owner.clone(),
        })
    }
}

impl Deref for Lines {
    type Target = [Line];

    #[inline]
    fn deref(&self) -> &[Line] {
        // SAFETY: `first` points at `len` lines inside the box or mapping that `owner` keeps alive and in place; a line is
        // atomic words only, for which every bit pattern is valid and concurrent writes by the peer are allowed.
        unsafe { core::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}
