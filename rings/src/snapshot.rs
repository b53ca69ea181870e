//! Publication of immutable tables to readers that must never wait: one writer, any number of readers.
//!
//! QSBR, quiescent-state-based reclamation. A published value is a node with a number. A reader holds one node;
//! [`Reader::refresh`], called between bursts, loads the pointer and, when it changed, stores the new node's
//! number in the reader's own cache line. That number says "I use no node before this one". The publisher frees
//! a node once every reader's number is above the node's. Freeing, and so the destructor of a large table,
//! happens on the publisher's thread.
//!
//! Why that is enough: a reader that has loaded node `n` but not yet stored its number still shows the number
//! `m < n` of the node it held, and everything from `m` on is kept, `n` included. Its store is a release and
//! the publisher's look at it an acquire, so the last use of an old node happens before it is freed.
//!
//! A reader that will not refresh for a while (asleep, stopped) goes [offline](Reader::offline) and holds no
//! node. Coming back is a swap on its own number, and the publisher looks at numbers by an atomic
//! read-modify-write too: of two such operations on one word one is first, so either the publisher sees the
//! reader, or the reader sees everything the publisher had published before it looked. (Every store is a swap,
//! those of `refresh` too: they are as rare as changes of the table, and the loom model is exact only then.)

use core::ops::Deref;
use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::sync::{Arc, AtomicPtr, AtomicU64, Mutex, Ordering};

#[cfg(test)]
mod tests;

/// The number of a reader that holds no node.
const OFFLINE: u64 = u64::MAX;

/// The number of a reader that will not come back.
const GONE: u64 = u64::MAX - 1;

/// The number of a reader that may hold any node.
const ANY: u64 = 0;

struct Node<T> {
    number: u64,
    value: T,
}

/// What publisher and readers share.
struct Shared<T> {
    current: CachePadded<AtomicPtr<Node<T>>>,
    /// Nodes the publisher left behind when it was dropped before its readers.
    orphans: Mutex<Vec<Retired<T>>>,
}

/// A node that no new reader can reach.
struct Retired<T> {
    number: u64,
    node: NonNull<Node<T>>,
}

// SAFETY: a retired node is a box in raw form, owned by whoever owns the `Retired`; it may be dropped wherever `T` may.
unsafe impl<T: Send + Sync> Send for Retired<T> {}

impl<T> Drop for Retired<T> {
    fn drop(&mut self) {
        // SAFETY: the node came from `Box::leak`, is owned by this value alone, and a `Retired` is dropped only when no
        // reader holds the node (`Publisher::reclaim`) or when no reader is left (`Shared`'s drop).
        drop(unsafe { Box::from_raw(self.node.as_ptr()) });
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // The last of publisher and readers is gone, so the current node is nobody's.
        let node = self.current.load(Ordering::Acquire);
        if let Some(node) = NonNull::new(node) {
            drop(Retired {
                number: OFFLINE,
                node,
            });
        }
    }
}

/// A reader's number, on a cache line of its own.
type Seen = Arc<CachePadded<AtomicU64>>;

/// The writing side.
pub struct Publisher<T> {
    shared: Arc<Shared<T>>,
    readers: Vec<Seen>,
    /// Oldest first.
    retired: Vec<Retired<T>>,
    number: u64,
}

impl<T: Send + Sync> Publisher<T> {
    /// A publisher whose first value is `value`.
    pub fn new(value: T) -> Self {
        let number = ANY + 1;
        let node = Box::into_raw(Box::new(Node { number, value }));
        let current = CachePadded::new(AtomicPtr::new(node));
        let shared = Arc::new(Shared {
            current,
            orphans: Mutex::new(Vec::new()),
        });
        Self {
            shared,
            readers: Vec::new(),
            retired: Vec::new(),
            number,
        }
    }

    /// Replaces the value and frees what nobody uses any more. Returns the number of values still waiting.
    pub fn publish(&mut self, value: T) -> usize {
        self.number += 1;
        let node = Box::into_raw(Box::new(Node {
            number: self.number,
            value,
        }));
        let old = self.shared.current.swap(node, Ordering::AcqRel);
        if let Some(node) = NonNull::new(old) {
            self.retired.push(Retired {
                number: self.number - 1,
                node,
            });
        }
        self.reclaim()
    }

    /// Frees what nobody uses any more. Returns the number of values still waiting for a reader.
    pub fn reclaim(&mut self) -> usize {
        let mut oldest_used = OFFLINE;
        self.readers.retain(|seen| {
            // A read-modify-write, so that it is ordered against a reader coming back (see above).
            let seen = seen.fetch_or(0, Ordering::AcqRel);
            oldest_used = oldest_used.min(seen);
            seen != GONE
        });
        self.retired.retain(|node| node.number >= oldest_used);
        self.retired.len()
    }

    /// Values replaced but not freed yet.
    pub fn waiting(&self) -> usize {
        self.retired.len()
    }

    /// Readers registered and not dropped.
    pub fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Registers a reader. It holds the current value until its first refresh.
    pub fn reader(&mut self) -> Reader<T> {
        let seen = Seen::new(CachePadded::new(AtomicU64::new(ANY)));
        self.readers.push(seen.clone());
        let node = NonNull::dangling();
        let mut reader = Reader {
            shared: self.shared.clone(),
            seen,
            node,
        };
        reader.hold();
        reader
    }

    /// The current value.
    pub fn current(&self) -> &T {
        let node = self.shared.current.load(Ordering::Acquire);
        // SAFETY: only `publish` replaces the current node, and it takes `&mut self`; the node lives until then.
        &unsafe { &*node }.value
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        // Readers may still use them: the last one out frees them. A poisoned lock only means a panic elsewhere.
        let mut orphans = self
            .shared
            .orphans
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        orphans.append(&mut self.retired);
    }
}

/// A reading side, for one thread. Derefs to the value it holds.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    seen: Seen,
    node: NonNull<Node<T>>,
}

// SAFETY: a reader is a shared reference to a `T` plus atomics; moving it to another thread moves nothing else.
unsafe impl<T: Send + Sync> Send for Reader<T> {}

impl<T: Send + Sync> Reader<T> {
    /// Takes up the newest value and lets go of the old one. To be called between bursts: whatever was borrowed
    /// from the value is gone by then. One load; one store when there is a newer value.
    #[inline]
    pub fn refresh(&mut self) -> bool {
        let node = self.shared.current.load(Ordering::Acquire);
        if node == self.node.as_ptr() {
            return false;
        }
        self.hold();
        true
    }

    /// Runs `sleep` while holding no value, so that what the publisher replaces meanwhile can be freed; takes up the
    /// newest value afterwards.
    pub fn offline<R>(&mut self, sleep: impl FnOnce() -> R) -> R {
        /// Comes back even when `sleep` unwinds: a reader must never be used while offline.
        struct Back<'a, T: Send + Sync>(&'a mut Reader<T>);

        impl<T: Send + Sync> Drop for Back<'_, T> {
            fn drop(&mut self) {
                self.0.seen.swap(ANY, Ordering::AcqRel);
                self.0.hold();
            }
        }

        let back = Back(self);
        back.0.seen.swap(OFFLINE, Ordering::AcqRel);
        sleep()
    }

    /// Takes up the current node. Until the store, this reader's number keeps every node it could meet here.
    fn hold(&mut self) {
        let node = self.shared.current.load(Ordering::Acquire);
        if let Some(node) = NonNull::new(node) {
            self.node = node;
        }
        self.seen.swap(self.held().number, Ordering::AcqRel);
    }
}

impl<T> Reader<T> {
    fn held(&self) -> &Node<T> {
        // SAFETY: `node` was the current node at the last `hold`, whose store put this reader's number at or below the
        // node's; the publisher frees only nodes below every number, so it lives until the next `hold` or `offline`,
        // and both take `&mut self`.
        unsafe { self.node.as_ref() }
    }
}

impl<T> Deref for Reader<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.held().value
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.seen.swap(GONE, Ordering::AcqRel);
    }
}
