//! The DPDK daemon around the packet path.

pub mod eal;
pub mod failure;
pub mod host;
pub mod idle;
pub mod mesh;
pub mod neighbors;
pub mod ports;
pub mod wakeup;
