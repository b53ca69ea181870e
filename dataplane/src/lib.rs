//! The packet path, and the daemon around it.

pub mod scheduler;
pub mod tcp_state;
