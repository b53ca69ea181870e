//! Health checks: what one asks a server, when, and what the answers add up to.
//!
//! - [`schedule`]: when the next run is due; a fixed grid with a jittered start, so runs spread and never drift.
//! - [`probe`]: one run, from connect to [`Outcome`], of any [`Dialogue`]; each kind's reading is a file here:
//!   [`http`], [`talk`] (steps over TCP, with the [`preset`]s), [`datagram`], [`dns`], [`ping`], [`grpc`], [`local`],
//!   [`through`].
//! - [`judge`]: rise and fall over outcomes; the only place where a server becomes up or down.
//! - [`check`]: the three together, one value for one checked target.
//! - [`passive`]: what the traffic itself shows about a server.
//! - [`pool`]: from the health of all servers of a service to the weights they get.
//!
//! Durations are [`Duration`](crate::time::Duration); nothing here reads a clock or owns a socket. What a server
//! sends is read as hostile: every buffer has a bound, and a reply that makes no sense is a [`Failure`], never a
//! panic.

pub mod check;
pub mod datagram;
mod dialogue;
pub mod dns;
mod failure;
pub mod grpc;
pub mod http;
pub mod judge;
pub mod ldap;
pub mod local;
mod mysql;
pub mod passive;
pub mod pattern;
pub mod ping;
pub mod pool;
pub mod postgres;
pub mod preset;
pub mod probe;
pub mod reader;
pub mod say;
pub mod schedule;
pub mod talk;
pub mod through;

pub use check::Check;
pub use dialogue::Dialogue;
pub use failure::{Asked, Failure, Fault, Outcome};
pub use judge::{Health, Judge};
pub use probe::Probe;
pub use schedule::Schedule;
