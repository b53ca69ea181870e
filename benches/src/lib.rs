//! Micro benches, instruction counts, comparison with testpmd.
#![forbid(unsafe_code)]
