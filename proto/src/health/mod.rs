//! Health checks: what one asks a server, when, and what the answers add up to.
//!
//! - [`schedule`]: when the next run is due; a fixed grid with a jittered start, so runs spread and never drift.
//! - [`probe`]: the dialogue of one run (TCP connect, HTTP GET), from connect to [`Outcome`].
//! - [`judge`]: rise and fall over outcomes; the only place where a server becomes up or down.
//! - [`check`]: the three together, one value for one checked target.
//! - [`pool`]: from the health of all servers of a service to the weights they get.
//!
//! Durations are [`Duration`](crate::time::Duration); nothing here reads a clock or owns a socket. What a server
//! sends is read as hostile: every buffer has a bound, and a reply that makes no sense is a [`Failure`], never a
//! panic.

pub mod check;
pub mod http;
pub mod judge;
pub mod pool;
pub mod probe;
pub mod schedule;

pub use check::Check;
pub use judge::{Health, Judge};
pub use probe::{Dialogue, Failure, Outcome, Probe};
pub use schedule::Schedule;
