//! Laboratories in network namespaces, and the scenarios that run in them.
//!
//! - [`lab`]: namespaces joined by a bridge, processes with logs, real web servers and real clients; everything is removed at the end.
//! - [`stage`]: the usual scene (one client, one or two load balancers, several servers behind one virtual address) built on it.
//! - [`scenario`]: how a test asks for the privileges it needs, and what happens when it does not have them.
#![forbid(unsafe_code)]

pub mod lab;
pub mod scenario;
pub mod stage;
