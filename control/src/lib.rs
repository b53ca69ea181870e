//! The control daemon and weirctl.
//!
//! The daemon is one actor ([`daemon`]) that owns all state and decides; around it stand tasks that only move bytes
//! and time: one per health check ([`health`]), one for the dataplane ([`link`]), one per API connection ([`api`]).
//! What the dataplane should hold is computed by one pure function ([`publish`]), and no other path writes to it.

#![forbid(unsafe_code)]

pub mod api;
pub mod api_types;
pub mod bfd;
pub mod cli;
pub mod clock;
pub mod daemon;
pub mod health;
pub mod link;
pub mod logs;
pub mod publish;
pub mod sriov;
pub mod systemd;
pub mod vrrp;
mod wait;
