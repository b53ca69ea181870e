//! What the workers look things up in.
//!
//! [`Builder`] (main thread) takes commands, transaction by transaction, and makes a [`Snapshot`] of each; workers read
//! snapshots and never see one change. What must change in place (MACs of servers and next hops) is in
//! [`EgressTable`](crate::egress::EgressTable). Slots are stable numbers for services, backends and next hops.

mod builder;
mod held;
mod hop;
mod model;
mod relay;
mod route;
mod service;
mod slots;
mod snapshot;
mod tree;

pub use builder::{Builder, Limits, Published, Refusal};
pub(crate) use held::Ours;
pub use hop::{HopKey, HopWish};
pub use model::PortSpec;
pub use service::{Service, TimeoutTicks, Ways};
pub use snapshot::{Address, AddressUse, LocalAddress, RouteOut, Snapshot, TunnelEnd};
