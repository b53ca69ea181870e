//! What the dataplane should hold, and how to get it there. Nothing else in this daemon decides that.
//!
//! - [`desired()`]: one pure function from [`Inputs`] (configuration, health, overrides, drains, address ownership) to a
//!   [`Table`].
//! - [`Table::plan`]: the commands that turn one table into another; from the empty table, a full resync.
//! - [`Publisher`]: which table is in force, which transaction is under way, what to send next. No I/O.

mod convert;
mod desired;
pub mod pool;
mod publisher;
mod standing;
mod table;

pub use desired::{Desired, Holding, Inputs, desired};
pub(crate) use desired::{backend_key, service_key, service_keys};
pub use publisher::{Publisher, Refusal, Sending, Verdict};
pub use standing::{Drain, Drains, Override, Overrides, Standing, WhyOut};
pub use table::Table;

/// Names a configured backend: the service's name and the backend's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendName {
    /// Name of the service.
    pub service: String,
    /// Address and port of the backend, as configured.
    pub backend: std::net::SocketAddr,
}

impl std::fmt::Display for BackendName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.service, self.backend)
    }
}

#[cfg(test)]
pub(crate) mod tests;
