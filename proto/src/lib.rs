//! Protocol machines without I/O: time is an argument.
//!
//! Every machine is a value with four verbs: `handle(now, input)`, `handle_timeout(now)`, `poll_timeout()` and
//! `poll_action()`. No machine reads a clock, opens a socket or starts a thread; drivers elsewhere do that, and
//! `clippy.toml` beside this crate's manifest refuses the calls that would break the rule.

#![forbid(unsafe_code)]

pub mod bfd;
pub mod health;
pub mod neighbor;
pub mod sim;
pub mod time;
pub mod vrrp;
