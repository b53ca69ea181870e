//! What is set at run time, on top of the configuration: overrides by operators, and drains of removed backends.

use super::passive::Change;
use super::{Daemon, Instant};
use crate::link::Loads;
use crate::publish::pool::drains_on_removal;
use crate::publish::{BackendName, Drain, Drains, Override, Overrides, backend_key, service_keys};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use weir_configs::{Backend, Config, Service};
use weir_rings::message::{BackendKey, ServiceKey};

/// A change of one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Name of the service.
    pub service: String,
    /// Name of the backend, its `ip:port`, or its `ip` where only one has it.
    pub backend: String,
    /// The weight from now on.
    pub weight: Option<u16>,
    /// Whether it drains from now on.
    pub drain: Option<bool>,
    /// Whether it is taken out from now on, with its flows.
    pub disable: Option<bool>,
    /// Forget earlier changes first.
    pub reset: bool,
}

/// Why a backend cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatchError {
    /// There is no such service.
    #[error("there is no service \"{0}\"")]
    NoService(String),
    /// There is no such backend.
    #[error("service \"{service}\" has no backend \"{backend}\"")]
    NoBackend {
        /// Name of the service.
        service: String,
        /// The backend as named.
        backend: String,
    },
    /// Several backends have that address.
    #[error("service \"{service}\" has several backends at \"{backend}\"; name one with its port")]
    Ambiguous {
        /// Name of the service.
        service: String,
        /// The backend as named.
        backend: String,
    },
    /// Nothing to do.
    #[error("nothing to change: give weight, drain, disable or reset")]
    Nothing,
}

impl Daemon {
    /// Changes a backend until it is reset, until its configuration changes, or until this daemon restarts.
    pub(super) fn patch(&mut self, patch: Patch) -> Result<BackendName, PatchError> {
        let nothing = patch.weight.is_none() && patch.drain.is_none() && patch.disable.is_none();
        if nothing && !patch.reset {
            return Err(PatchError::Nothing);
        }
        let name = find(&self.in_force.config, &patch)?;
        let before = self
            .overrides
            .remove(&name)
            .filter(|_| !patch.reset)
            .unwrap_or_default();
        let after = Override {
            weight: patch.weight.or(before.weight),
            drain: patch.drain.or(before.drain),
            disable: patch.disable.or(before.disable),
        };
        self.note(&name.to_string(), "changed", &after.told(&name));
        if after != Override::default() {
            self.overrides.insert(name.clone(), after);
        }
        self.dirty = true;
        Ok(name)
    }

    /// The overrides that outlive the step to `config`: those of backends it leaves as they are.
    pub(super) fn overrides_after(&self, config: &Config) -> Overrides {
        let (old, mut kept) = (&self.in_force.config, self.overrides.clone());
        let settings = |config: &Config, name: &BackendName| {
            lookup(config, name).map(|(_, backend)| (backend.weight, backend.drain))
        };
        kept.retain(|name, _| {
            settings(config, name).is_some() && settings(config, name) == settings(old, name)
        });
        kept
    }

    /// The drains after the step to `config`: those under way whose service stays, and the backends it removes. Where
    /// flows of a removed server are to end at once, there are none; nor where a backend has no flow.
    pub(super) fn drains_after(&self, config: &Config, now: Instant) -> Drains {
        let loads = Loads::read(self.session.as_deref());
        let kept: HashSet<BackendName> = backends(config)
            .map(|(service, backend)| name(service, backend))
            .collect();
        let old = backends(&self.in_force.config);
        let removed = old.filter(|(service, backend)| !kept.contains(&name(service, backend)));
        let new = removed.filter(|(service, backend)| self.has_flows(&loads, service, backend));
        let new = new.map(|(service, backend)| {
            let service_after = config.service(&service.name).unwrap_or(service);
            let most = Duration::from_secs(service_after.pool.drain_timeout_s.into());
            let drain = Drain {
                backend: backend.clone(),
                since: now,
                until: now + most,
            };
            (name(service, backend), drain)
        });
        let mut drains: Drains = new.collect();
        drains.extend(self.drains.clone());
        drains.retain(|name, _| {
            let service = config.service(&name.service);
            service.is_some_and(drains_on_removal) && !kept.contains(name)
        });
        drains
    }

    /// Whether the dataplane counts a flow of this backend; when it cannot be asked, it may.
    fn has_flows(&self, loads: &Loads, service: &Service, backend: &Backend) -> bool {
        let counts = loads.backend(service_keys(service), backend_key(backend));
        self.session.is_none() || counts.active.wrapping_add(counts.inactive) > 0
    }

    /// The dataplane says that a draining backend has no flow left.
    pub(super) fn on_drained(&mut self, service: ServiceKey, backend: BackendKey) {
        let config = Arc::clone(&self.in_force.config);
        let named = config
            .services
            .iter()
            .find(|candidate| service_keys(candidate).any(|key| key == service));
        let Some(service) = named else { return };
        let name = BackendName {
            service: service.name.clone(),
            backend: SocketAddr::new(backend.address, backend.port),
        };
        if self.drains.remove(&name).is_some() {
            let text = format!("the removed backend {name} has drained");
            self.note(&name.to_string(), "drained", &text);
            self.dirty = true;
            return;
        }
        let drain = self.overrides_in_force().get(&name).and_then(|set| set.drain);
        let wanted =
            drain.unwrap_or_else(|| lookup(&config, &name).is_some_and(|(_, backend)| backend.drain));
        match wanted {
            true => {
                let text = format!("backend {name} has drained: no flow is left");
                self.note(&name.to_string(), "drained", &text);
            }
            false => tracing::debug!(backend = %name, "the backend that is down has no flow left"),
        }
    }

    /// The traffic of a backend says something about it.
    pub(super) fn on_passive(&mut self, service: ServiceKey, backend: BackendKey, good: bool) {
        let config = Arc::clone(&self.in_force.config);
        let mut services = config.services.iter();
        let Some(service) = services.find(|candidate| service_keys(candidate).any(|key| key == service))
        else {
            return;
        };
        let address = SocketAddr::new(backend.address, backend.port);
        let backend = service.backends.iter().find(|other| other.address == address);
        let (Some(rule), Some(backend)) = (service.pool.passive, backend) else {
            return;
        };
        let name = name(service, backend);
        let text = match self.passive.observe(name.clone(), rule, good, self.clock.now()) {
            Change::None => return,
            Change::Suspect => {
                for target in crate::health::targets::of_backend(backend) {
                    self.checks.suspect(&target);
                }
                format!(
                    "the traffic of backend {name} stays unanswered: the next failure of its check is enough"
                )
            }
            Change::Out(hold) => {
                self.dirty = true;
                format!(
                    "the traffic of backend {name} stays unanswered: it is out for {} s",
                    hold.as_secs()
                )
            }
            Change::Back => {
                self.dirty = true;
                format!("backend {name} answers again: it is back before its time")
            }
        };
        self.note(&name.to_string(), "passive", &text);
    }

    /// Lets those back in whose time is over that their traffic has taken out.
    pub(super) fn end_absences(&mut self, now: Instant) {
        for name in self.passive.expire(now) {
            self.note(
                &name.to_string(),
                "passive",
                &format!("backend {name} is back, and watched"),
            );
            self.dirty = true;
        }
    }

    /// Ends drains that have no flow left or have lasted too long.
    pub(super) fn end_drains(&mut self, now: Instant) {
        if self.drains.is_empty() {
            return;
        }
        let loads = Loads::read(self.session.as_deref());
        let over = self.drains.iter().filter(|(name, drain)| {
            let service = self.in_force.config.service(&name.service);
            drain.until <= now
                || !service.is_some_and(|service| self.has_flows(&loads, service, &drain.backend))
        });
        let over: Vec<BackendName> = over.map(|(name, _)| name.clone()).collect();
        for name in over {
            let cut = self.drains.remove(&name).is_some_and(|drain| drain.until <= now);
            let text = match cut {
                true => format!("the drain of the removed backend {name} took too long: its flows are cut"),
                false => format!("the removed backend {name} has drained"),
            };
            self.note(&name.to_string(), "drained", &text);
            self.dirty = true;
        }
    }
}

fn backends(config: &Config) -> impl Iterator<Item = (&Service, &Backend)> {
    config
        .services
        .iter()
        .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)))
}

fn name(service: &Service, backend: &Backend) -> BackendName {
    BackendName {
        service: service.name.clone(),
        backend: backend.address,
    }
}

/// Whether the configuration has this backend.
pub(super) fn is_configured(config: &Config, name: &BackendName) -> bool {
    lookup(config, name).is_some()
}

/// What may be made of the traffic of this backend.
pub(super) fn passive_rule(config: &Config, name: &BackendName) -> Option<weir_configs::Passive> {
    lookup(config, name)?.0.pool.passive
}

/// The configured backend of that name.
fn lookup<'a>(config: &'a Config, name: &BackendName) -> Option<(&'a Service, &'a Backend)> {
    let service = config.service(&name.service)?;
    let backend = service
        .backends
        .iter()
        .find(|backend| backend.address == name.backend)?;
    Some((service, backend))
}

/// The one backend a patch names.
fn find(config: &Config, patch: &Patch) -> Result<BackendName, PatchError> {
    let service = config
        .service(&patch.service)
        .ok_or_else(|| PatchError::NoService(patch.service.clone()))?;
    let wanted = patch.backend.as_str();
    let (address, ip) = (wanted.parse::<SocketAddr>().ok(), wanted.parse::<IpAddr>().ok());
    let exact = service
        .backends
        .iter()
        .find(|backend| backend.name.as_deref() == Some(wanted) || Some(backend.address) == address);
    if let Some(backend) = exact {
        return Ok(name(service, backend));
    }
    let mut at_ip = service
        .backends
        .iter()
        .filter(|backend| Some(backend.address.ip()) == ip);
    let (service, backend) = (patch.service.clone(), patch.backend.clone());
    match (at_ip.next(), at_ip.next()) {
        (Some(only), None) => Ok(BackendName {
            service,
            backend: only.address,
        }),
        (Some(_), Some(_)) => Err(PatchError::Ambiguous { service, backend }),
        (None, _) => Err(PatchError::NoBackend { service, backend }),
    }
}
