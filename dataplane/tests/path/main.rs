//! The packet path as a whole: frames in, frames out, counters.

mod change;
mod explain;
mod fullnat;
mod golden;
mod icmp;
mod mutate;
mod nat;
mod persist;
mod policy;
mod support;
mod tunnel;
mod workers;
