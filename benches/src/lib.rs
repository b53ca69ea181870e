//! Micro benches, instruction counts, comparison with testpmd.
