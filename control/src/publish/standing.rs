//! Where one configured backend stands: which weight it has, whether it takes new connections, and why not.

use super::{BackendName, Inputs};
use crate::health::{Target, targets};
use std::collections::BTreeMap;
use weir_configs::{Backend, Service};
use weir_proto::health::Health;
use weir_proto::time::Instant;

/// What an operator has set at run time, on top of the configuration; survives reloads, not a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Override {
    /// Replaces the configured weight.
    pub weight: Option<u16>,
    /// Replaces the configured `drain`.
    pub drain: Option<bool>,
}

/// Every override in force; a backend without any is not in it.
pub type Overrides = BTreeMap<BackendName, Override>;

/// A backend that has left the configuration and keeps its flows a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// As it was configured last.
    pub backend: Backend,
    /// When it is taken out even if flows are left.
    pub until: Instant,
}

/// Every backend that drains after its removal.
pub type Drains = BTreeMap<BackendName, Drain>;

/// Why a backend gets no new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyOut {
    /// Its check says it is down.
    Down,
    /// It is being drained.
    Drain,
    /// Its weight is 0.
    WeightZero,
}

/// Where a backend stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What its check checks; `None` without a check.
    pub target: Option<Target>,
    /// Its check's verdict; up without a check.
    pub health: Health,
    /// Weight by configuration and override, before health and drain are looked at.
    pub weight: u16,
    /// Drained by configuration or override.
    pub drain: bool,
}

impl Standing {
    /// Why it gets no new connections, if it does not.
    pub fn why_out(&self) -> Option<WhyOut> {
        match (self.health, self.drain, self.weight) {
            (Health::Down, _, _) => Some(WhyOut::Down),
            (Health::Up, true, _) => Some(WhyOut::Drain),
            (Health::Up, false, 0) => Some(WhyOut::WeightZero),
            (Health::Up, false, _) => None,
        }
    }
}

/// Where `backend` of `service` stands.
pub fn standing(inputs: &Inputs<'_>, service: &Service, backend: &Backend) -> Standing {
    let name = BackendName {
        service: service.name.clone(),
        backend: backend.address,
    };
    let set = inputs.overrides.get(&name).copied().unwrap_or_default();
    let target = targets::target(backend);
    Standing {
        health: target
            .as_ref()
            .map_or(Health::Up, |target| (inputs.health)(target)),
        target,
        weight: set.weight.unwrap_or(backend.weight),
        drain: set.drain.unwrap_or(backend.drain),
    }
}
