//! The daemon around the packet path: ports, workers, the link to control.
//!
//! [`run`] puts it together and takes it apart again. The main thread ([`main_thread`]) talks to control, drives the
//! neighbour machine and answers questions; each [`worker`] is an EAL lcore. Between them are rings ([`mesh`]), tables of
//! atomics and snapshots, and nothing else.

pub mod agent;
pub mod claims;
pub mod clock;
pub mod eal;
pub mod egress;
pub mod ending;
pub mod facts;
pub mod failure;
pub mod host;
pub mod idle;
pub mod macs;
pub mod main_thread;
mod mbuf;
pub mod mesh;
pub mod neighbors;
pub mod plug;
pub mod ports;
pub mod queries;
pub mod relays;
mod start;
pub mod vf;
pub mod wakeup;
pub mod watch;
pub mod worker;

pub use start::run;
