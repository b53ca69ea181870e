//! The packet path of weir, and (feature `dpdk`) the daemon around it.
//!
//! The path is a library over plain buffers: bytes, tables and a clock value in, rewritten bytes and a [`Verdict`] out.
//! Workers own their [`path::Path`]; the main thread owns the [`tables::Builder`]; between them lie immutable snapshots
//! and tables of atomics.

#![deny(unsafe_code)]

mod answer;
pub mod bucket;
mod burst;
pub mod cpu;
#[cfg(feature = "dpdk")]
pub mod daemon;
pub mod egress;
pub mod explain;
pub mod family;
pub mod flow;
mod forward;
pub mod hash;
mod ip;
pub mod note;
pub mod packet;
pub mod parse;
pub mod path;
mod persist;
pub mod scheduler;
pub mod shared;
pub mod signs;
pub mod steer;
pub mod tables;
pub mod tcp_state;
pub mod verdict;

pub use packet::{FrameBuf, Packet};
pub use parse::Meta;
pub use verdict::{DropReason, PortId, PuntReason, TxReason, Verdict, WorkerId};
