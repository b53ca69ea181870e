//! What workers tell each other about NAT flows whose replies are predicted to arrive at another worker.
//!
//! The owner of a flow sends a copy of its entry to the worker that will get the replies, so that no packet crosses cores;
//! that worker sends back what replies say about the flow's state. Notes may be lost: a reply without its copy finds the
//! owner through the [`OwnerIndex`](crate::steer::OwnerIndex) and is handed over.

use crate::family::{Key, V4, V6};
use crate::flow::Entry;

/// One note, 64 bytes and a little.
#[derive(Debug, Clone, Copy)]
pub enum Note {
    /// Take the replies of this flow.
    Adopt4(Entry<V4>),
    /// The same for IPv6.
    Adopt6(Entry<V6>),
    /// The flow is over.
    Forget4(Key<V4>, u32),
    /// The same for IPv6.
    Forget6(Key<V6>, u32),
    /// A reply of your flow (client's tuple) passed here, with these TCP flags.
    Seen4(Key<V4>, u8),
    /// The same for IPv6.
    Seen6(Key<V6>, u8),
}
