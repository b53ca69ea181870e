//! What both processes map: segment, rings, counters, messages, hand-over.

/// Version of everything laid out in shared memory. Raise it with any change of layout or meaning.
const LAYOUT_VERSION: u64 = 1;

/// What the two processes must agree on: layout version, record and line sizes, byte order.
pub const ABI: u64 = LAYOUT_VERSION << 32
    | (message::RECORD_LEN as u64) << 16
    | (memory::LINE_LEN as u64) << 8
    | (cfg!(target_endian = "big") as u64);

pub mod counters;
pub mod hello;
#[cfg(not(loom))]
pub mod link;
mod memory;
pub mod message;
pub mod query;
pub mod ring;
#[cfg(not(loom))]
pub mod segment;
pub mod snapshot;
pub mod sync;
#[cfg(all(test, not(loom)))]
mod testing;
#[cfg(not(loom))]
pub mod transaction;
