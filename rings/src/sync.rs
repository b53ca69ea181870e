//! The atomics and shared pointers everything concurrent here is written with.
//!
//! Under `--cfg loom` they are loom's, and the tests named `loom_*` try every interleaving. Code in `rings` and
//! `dataplane` takes its atomics from here and nowhere else.

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::{Arc, Mutex};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
pub use std::sync::{Arc, Mutex};
