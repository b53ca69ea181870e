//! Generated bindings to libdpdk (22.11 or newer) and one hand-written shim. No logic.
//!
//! `weir-dpdk` is the only user. `shim.h` says what is hand-written and why; `build.rs` holds the list of the
//! functions bound directly. Units and meanings are DPDK's own.

#![allow(non_camel_case_types, non_snake_case)]

mod mbuf;

/// What bindgen wrote.
mod generated {
    #![allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        non_upper_case_globals,
        dead_code,
        unsafe_op_in_unsafe_fn
    )]
    #![allow(
        clippy::all,
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        clippy::use_self
    )]
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use generated::*;
pub use mbuf::rte_mbuf;
