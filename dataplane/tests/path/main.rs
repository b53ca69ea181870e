//! The packet path as a whole: frames in, frames out, counters.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod change;
mod evidence;
mod explain;
mod flood;
mod fullnat;
mod golden;
mod icmp;
mod matrix;
mod mutate;
mod nat;
mod outer;
mod persist;
mod policy;
mod relay;
mod support;
mod tunnel;
mod variants;
mod vlan;
mod workers;
