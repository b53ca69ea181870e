//! Each worker's own memory of flows: a fixed-size table, allocated at start, with ageing. Nothing here is shared.
//!
//! [`bucket`] is one cache line of tags and references, [`entry`] one flow, [`table`] finds, adds and removes,
//! [`ageing`] sweeps a bounded number of entries at a time, [`tick`] is the coarse clock.

mod ageing;
mod bucket;
mod entry;
mod table;
mod tick;

pub use ageing::Sweep;
pub use bucket::SLOTS as BUCKET_SLOTS;
pub use entry::{Direction, Entry, Flags, Settled};
pub use table::{Candidate, Entries, Finder, Full, Halves, Occupied, Reverse, Table};
pub use tick::Tick;

#[cfg(test)]
mod tests;
