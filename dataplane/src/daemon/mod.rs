//! The DPDK daemon around the packet path.

pub mod eal;
pub mod failure;
pub mod frames;
pub mod host;
pub mod idle;
pub mod ports;
pub mod wakeup;
