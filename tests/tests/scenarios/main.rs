//! Scenarios in network namespaces: real clients, real servers, the real processes.
//!
//! Each needs root; see `weir_tests::scenario` for what happens without.

mod laboratory;
