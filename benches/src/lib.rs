//! Micro benches, instruction counts, comparison with testpmd.
#![forbid(unsafe_code)]

pub mod buffer;
pub mod maglev;
pub mod world;
