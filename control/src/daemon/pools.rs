//! The pools of all services: what is remembered of them, and whom a change concerns.
//!
//! After every change of health, of the configuration or of what operators set, each pool is decided anew by
//! [`pool`](crate::publish::pool). A quorum that is gained or lost is told to virtual routers that track the service, to
//! the service's program, and to those who follow events; so is an alarm.

use super::programs::{self, Job};
use super::{Daemon, Instant};
use crate::publish::pool::{Pool, pool};
use crate::publish::{BackendName, Inputs, Overrides};
use std::collections::BTreeMap;
use weir_configs::{Config, Service};
use weir_proto::health::Health;

/// What is remembered, and shown, of a service's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Whether it has a quorum.
    pub quorum_up: bool,
    /// Since when.
    pub since: Instant,
    /// Times the quorum was gained or lost.
    pub changes: u64,
    /// Sum of the weights of live backends.
    pub live_weight: u64,
    /// Failed backends that stay because all failed at once.
    pub kept: usize,
    /// Failed backends that stay because too many would have gone.
    pub held: usize,
    /// The sorry server stands in.
    pub sorry_in_use: bool,
    /// When a removal that was put off is due.
    next: Option<Instant>,
}

/// Every pool by its service's name.
pub type PoolStates = BTreeMap<String, PoolState>;

/// The health of backends that have programs, as those were told last.
pub(super) type Notified = BTreeMap<BackendName, Health>;

impl Daemon {
    /// Everything that is known now, for `config`.
    pub(super) fn with_inputs<T>(
        &self,
        config: &Config,
        overrides: &Overrides,
        then: impl FnOnce(&Inputs<'_>) -> T,
    ) -> T {
        let ports = self.port_names();
        then(&Inputs {
            ports: &ports,
            health: &|target| self.checks.book().finding(target),
            passive: &|name| self.passive.finding(name),
            quorum: &|name| self.pools.get(name).map(|state| state.quorum_up),
            now: self.clock.now(),
            overrides,
            drains: &self.drains,
            owns: &|address| self.vrrp.holding(config, address),
            ..Inputs::of(config)
        })
    }

    /// Decides every pool anew, and tells what has changed.
    pub(super) fn assess_pools(&mut self) {
        let config = std::sync::Arc::clone(&self.in_force.config);
        let overrides = self.overrides_in_force();
        let decided: Vec<Pool> = self.with_inputs(&config, &overrides, |inputs| {
            config
                .services
                .iter()
                .map(|service| pool(inputs, service))
                .collect()
        });
        let mut before = std::mem::take(&mut self.pools);
        for (service, pool) in config.services.iter().zip(&decided) {
            let was = before.remove(&service.name);
            let state = self.next_state(was.as_ref(), pool);
            self.pools.insert(service.name.clone(), state);
            self.tell(service, was, state);
        }
        self.tell_backends(&config, &decided);
        self.track_services();
    }

    fn next_state(&self, was: Option<&PoolState>, pool: &Pool) -> PoolState {
        let decision = &pool.decision;
        let same = was.filter(|was| was.quorum_up == decision.quorum_up);
        PoolState {
            quorum_up: decision.quorum_up,
            since: same.map_or_else(|| self.clock.now(), |was| was.since),
            changes: was.map_or(0, |was| was.changes + u64::from(same.is_none())),
            live_weight: decision.live_weight,
            kept: decision.kept(),
            held: decision.held(),
            sorry_in_use: decision.sorry.weight() > 0,
            next: decision.next,
        }
    }

    /// A service that starts with a quorum says nothing, as with keepalived.
    fn tell(&mut self, service: &Service, was: Option<PoolState>, is: PoolState) {
        let (name, weight, quorum) = (&service.name, is.live_weight, service.pool.quorum);
        let first = was.is_none();
        if was.map_or(is.quorum_up, |was| was.quorum_up) != is.quorum_up || (first && !is.quorum_up) {
            let (kind, command) = match is.quorum_up {
                true => ("quorum-up", &service.pool.quorum_up),
                false => ("quorum-down", &service.pool.quorum_down),
            };
            let text = match (is.quorum_up, first) {
                (true, _) => {
                    format!("service {name} has a quorum: a live weight of {weight}, wanted {quorum}")
                }
                (false, false) => {
                    format!("service {name} has lost its quorum: a live weight of {weight}, wanted {quorum}")
                }
                (false, true) => format!(
                    "service {name} starts without a quorum: a live weight of {weight}, wanted {quorum}"
                ),
            };
            self.note(name, kind, &text);
            self.programs.run(name, Job::new(command, &service.pool));
        }
        let stays = |state: Option<PoolState>| state.map_or((0, 0), |state| (state.kept, state.held));
        let (before, now) = (stays(was), stays(Some(is)));
        if now.0 > 0 && before.0 == 0 {
            let text = format!(
                "service {name}: every backend fails; the {} that failed at once stay in service. Is the way from here to them broken?",
                now.0
            );
            self.note(name, "alarm", &text);
        }
        if now.1 > before.1 {
            let text = format!(
                "service {name}: {} failed backends stay in service, because `removal_limit` lets no more go so soon",
                now.1
            );
            self.note(name, "alarm", &text);
        }
        if now == (0, 0) && before != now {
            self.note(
                name,
                "alarm-over",
                &format!("service {name}: no failed backend is in service any more"),
            );
        }
    }

    /// Tells the programs of backends whose health is not what it was; a backend that is new says nothing.
    fn tell_backends(&mut self, config: &Config, decided: &[Pool]) {
        let mut before = std::mem::take(&mut self.notified);
        for (service, pool) in config.services.iter().zip(decided) {
            let all = service.backends.iter().zip(&pool.standings);
            for (backend, standing) in all.filter(|(backend, _)| has_programs(backend)) {
                let name = BackendName {
                    service: service.name.clone(),
                    backend: backend.address,
                };
                let is = standing.health;
                if before.remove(&name).is_some_and(|was| was != is) {
                    let command = match is {
                        Health::Up => &backend.notify_up,
                        Health::Down => &backend.notify_down,
                    };
                    let job = Job::new(command, &service.pool);
                    self.programs.run(&name.to_string(), job);
                }
                self.notified.insert(name, is);
            }
        }
    }

    /// Tells virtual routers which of the services they track have a quorum.
    pub(super) fn track_services(&self) {
        let config = &self.in_force.config;
        for track in config.vrrps.iter().flat_map(|vrrp| &vrrp.tracks) {
            let weir_configs::Tracked::Service(name) = &track.what else {
                continue;
            };
            if let Some(state) = self.pools.get(name) {
                self.vrrp.track(&track.what.label(), state.quorum_up);
            }
        }
    }

    /// Whether a removal that was put off is due.
    pub(super) fn is_removal_due(&self, now: Instant) -> bool {
        let mut next = self.pools.values().filter_map(|state| state.next);
        next.any(|at| at <= now)
    }

    /// Lets checks of services with `ha_suspend` run only where the service's address is held.
    pub(super) fn suspend_checks(&mut self) {
        let config = std::sync::Arc::clone(&self.in_force.config);
        let asleep = |service: &&Service| {
            let mut addresses = service.addresses.iter();
            service.pool.ha_suspend
                && !addresses.any(|address| self.vrrp.holding(&config, address.ip()).owned)
        };
        let awake: std::collections::HashSet<_> = config
            .services
            .iter()
            .filter(|service| !asleep(service))
            .flat_map(|service| &service.backends)
            .flat_map(crate::health::targets::of_backend)
            .collect();
        self.checks.suspend_unless(|target| awake.contains(target));
    }

    /// keepalived's `omega`: at the end, services that want it are told to be down, and so are their backends.
    pub(super) async fn say_farewell(&self) {
        programs::run_last(self.farewells()).await;
    }

    fn farewells(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        for service in self
            .in_force
            .config
            .services
            .iter()
            .filter(|service| service.pool.omega)
        {
            let user = &service.pool;
            let up = service.backends.iter().filter(|backend| {
                let name = BackendName {
                    service: service.name.clone(),
                    backend: backend.address,
                };
                self.notified.get(&name) == Some(&Health::Up)
            });
            jobs.extend(up.filter_map(|backend| Job::new(&backend.notify_down, user)));
            jobs.extend(Job::new(&service.pool.quorum_down, user));
        }
        jobs
    }
}

/// Whether somebody wants to hear of this backend.
fn has_programs(backend: &weir_configs::Backend) -> bool {
    !backend.notify_up.is_empty() || !backend.notify_down.is_empty()
}
