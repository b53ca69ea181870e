//! Where one configured backend stands: which weight it has, whether it takes new connections, and why not.

use super::{BackendName, Inputs};
use crate::health::book::Finding;
use crate::health::{Target, targets};
use std::collections::BTreeMap;
use weir_configs::{Backend, Check, Service};
use weir_proto::health::pool::{Member, Seat, Why};
use weir_proto::health::{Asked, Health};
use weir_proto::time::Instant;

/// What an operator has set at run time, on top of the configuration; survives reloads, not a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Override {
    /// Replaces the configured weight.
    pub weight: Option<u16>,
    /// Replaces the configured `drain`.
    pub drain: Option<bool>,
    /// Taken out, with its flows.
    pub disable: Option<bool>,
}

impl Override {
    /// What it makes of a backend, for a person.
    pub(crate) fn told(&self, name: &BackendName) -> String {
        let mut words = Vec::new();
        words.extend(self.weight.map(|weight| format!("weight {weight}")));
        words.extend(
            self.drain
                .map(|drain| if drain { "draining" } else { "not draining" }.to_owned()),
        );
        words.extend(
            self.disable
                .map(|out| if out { "disabled" } else { "enabled" }.to_owned()),
        );
        if words.is_empty() {
            words.push("as configured".to_owned());
        }
        format!("backend {name} set at run time: {}", words.join(", "))
    }
}

/// Every override in force; a backend without any is not in it.
pub type Overrides = BTreeMap<BackendName, Override>;

/// A backend that has left the configuration and keeps its flows a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// As it was configured last.
    pub backend: Backend,
    /// When it left.
    pub since: Instant,
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
    /// The sorry server stands in for it.
    NoQuorum,
}

/// Where a backend stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What its checks check.
    pub targets: Vec<Target>,
    /// The verdict of all its checks together; up without a check.
    pub health: Health,
    /// Since when.
    pub since: Instant,
    /// It has been up.
    pub was_up: bool,
    /// Weight by configuration, checks and override, before health and drain are looked at.
    pub weight: u16,
    /// Drained by configuration or override.
    pub drain: bool,
    /// Taken out by override.
    pub disabled: bool,
    /// Whether it keeps its place when it fails, where it says so itself.
    pub inhibit: Option<bool>,
    /// What the pool gives it.
    pub seat: Seat,
}

impl Standing {
    /// Why it gets no new connections, if it does not.
    pub fn why_out(&self) -> Option<WhyOut> {
        match self.seat {
            Seat::In(0) | Seat::Kept(0) | Seat::Held(0) => Some(WhyOut::WeightZero),
            Seat::In(_) | Seat::Kept(_) | Seat::Held(_) => None,
            Seat::Quiet(Why::Down) | Seat::Out(Why::Down) => Some(WhyOut::Down),
            Seat::Quiet(Why::Drain) | Seat::Out(Why::Drain) => Some(WhyOut::Drain),
            Seat::Quiet(Why::NoQuorum) | Seat::Out(Why::NoQuorum) => Some(WhyOut::NoQuorum),
        }
    }

    pub(super) fn member(&self) -> Member {
        Member {
            health: self.health,
            since: self.since,
            was_up: self.was_up,
            weight: self.weight,
            drain: self.drain || self.disabled,
            inhibit: self.inhibit,
        }
    }
}

/// Where `backend` of `service` stands by itself, before the pool is looked at.
pub(super) fn standing(inputs: &Inputs<'_>, service: &Service, backend: &Backend) -> Standing {
    let name = BackendName {
        service: service.name.clone(),
        backend: backend.address,
    };
    let set = inputs.overrides.get(&name).copied().unwrap_or_default();
    let targets: Vec<Target> = targets::of_backend(backend).collect();
    let alpha = |check: &Check| {
        let own = check.alpha.or(backend.alpha);
        own.unwrap_or(service.pool.alpha)
    };
    let mut findings: Vec<(Finding, bool)> = targets
        .iter()
        .zip(backend.all_checks())
        .map(|(target, check)| ((inputs.health)(target), alpha(check)))
        .collect();
    let asked: Vec<Asked> = findings
        .iter()
        .filter_map(|(finding, _)| finding.weight)
        .collect();
    findings.extend((inputs.passive)(&name).map(|finding| (finding, false)));
    let (health, since, was_up) = together(&findings);
    Standing {
        targets,
        health,
        since,
        was_up,
        weight: set.weight.unwrap_or_else(|| weight(backend.weight, &asked)),
        drain: set.drain.unwrap_or(backend.drain),
        disabled: set.disable.unwrap_or(false),
        inhibit: backend.inhibit_on_failure,
        seat: Seat::In(0),
    }
}

/// All checks must pass: down with the first that fails, up with the last that passes. A check with `alpha`, which stands
/// beside what it found, has failed until it passes, and a server with one that never did was never up.
fn together(findings: &[(Finding, bool)]) -> (Health, Instant, bool) {
    let down =
        |(finding, alpha): &&(Finding, bool)| finding.health == Health::Down || (*alpha && !finding.proved);
    let was_up = findings
        .iter()
        .all(|(finding, alpha)| finding.was_up && (finding.proved || !alpha));
    match findings
        .iter()
        .filter(down)
        .map(|(finding, _)| finding.since)
        .min()
    {
        Some(since) => (Health::Down, since, was_up),
        None => {
            let since = findings.iter().map(|(finding, _)| finding.since).max();
            (Health::Up, since.unwrap_or(Instant::ZERO), true)
        }
    }
}

/// keepalived's `effective_weight`: each check that asks for a weight moves the configured one by the difference.
fn weight(configured: u16, asked: &[Asked]) -> u16 {
    let moved: i64 = asked
        .iter()
        .map(|asked| match *asked {
            Asked::Is(weight) => i64::from(weight) - i64::from(configured),
            Asked::Plus(more) => i64::from(more),
        })
        .sum();
    let weight = i64::from(configured) + moved;
    u16::try_from(weight.max(0)).unwrap_or(u16::MAX)
}
