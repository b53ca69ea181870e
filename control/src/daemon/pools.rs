//! The pools of all services: what is remembered of them, and whom a change concerns.
//!
//! After every change of health, of the configuration or of what operators set, each pool is decided anew by
//! [`pool`](crate::publish::pool). A quorum that is gained or lost is told to virtual routers that track the service, to
//! the service's program, and to those who follow events; so is an alarm.

use super::{Daemon, Instant};
use crate::publish::pool::{Pool, pool};
use crate::publish::{BackendName, Inputs, Overrides};
use crate::vrrp::program;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use weir_configs::{Config, Service};
use weir_proto::health::Health;

/// A program of a pool may run this long.
const PROGRAM_MAX: Duration = Duration::from_secs(30);
/// And so long when weir-control ends.
const LAST_PROGRAM_MAX: Duration = Duration::from_secs(2);
/// Programs that may wait.
const JOBS_MAX: usize = 256;

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

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    program: PathBuf,
    arguments: Vec<String>,
    user: String,
}

impl Job {
    fn new(command: &[String], user: &str) -> Option<Self> {
        let (program, arguments) = command.split_first()?;
        Some(Self {
            program: program.into(),
            arguments: arguments.to_vec(),
            user: user.to_owned(),
        })
    }

    async fn run(&self, limit: Duration) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let shown = self.program.display();
        match program::run(Path::new(&self.program), &arguments, &self.user, limit).await {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::warn!(program = %shown, %status, "quorum program failed"),
            Err(error) => tracing::warn!(program = %shown, %error, "quorum program failed"),
        }
    }
}

/// Starts the task that runs programs one after the other, so that they see changes in order.
pub(super) fn runner() -> mpsc::Sender<Job> {
    let (sender, mut jobs) = mpsc::channel::<Job>(JOBS_MAX);
    tokio::spawn(async move {
        while let Some(job) = jobs.recv().await {
            job.run(PROGRAM_MAX).await;
        }
    });
    sender
}

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
            self.run_program(Job::new(command, &service.pool.script_user));
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

    fn run_program(&self, job: Option<Job>) {
        let Some(job) = job else { return };
        if self.programs.try_send(job).is_err() {
            tracing::error!("too many programs wait: a change of a quorum is not told");
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

    /// keepalived's `omega`: at the end, services that want it are told to be down.
    pub(super) async fn say_farewell(&self) {
        let services = self.in_force.config.services.iter();
        let jobs = services
            .filter(|service| service.pool.omega)
            .filter_map(|service| Job::new(&service.pool.quorum_down, &service.pool.script_user));
        let mut running = tokio::task::JoinSet::new();
        for job in jobs {
            running.spawn(async move { job.run(LAST_PROGRAM_MAX).await });
        }
        while running.join_next().await.is_some() {}
    }
}

/// What the traffic shows of backends.
#[derive(Debug, Default)]
pub(super) struct Passive {
    backends: BTreeMap<BackendName, Shown>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    /// Signs against it in a row.
    row: u32,
    /// Taken out, from when to when.
    out: Option<(Instant, Instant)>,
}

impl Passive {
    /// Takes a sign; true when it makes the backend suspect.
    pub(super) fn observe(
        &mut self,
        name: BackendName,
        rule: weir_configs::Passive,
        good: bool,
        now: Instant,
    ) -> bool {
        let shown = self.backends.entry(name).or_default();
        if good {
            shown.row = 0;
            return false;
        }
        shown.row += 1;
        if shown.row < rule.fall {
            return false;
        }
        shown.row = 0;
        if rule.decides {
            let since = shown.out.map_or(now, |(since, _)| since);
            shown.out = Some((since, now + Duration::from_secs(rule.hold_s.into())));
        }
        true
    }

    /// Down, while the traffic alone has taken the backend out.
    pub(super) fn finding(&self, name: &BackendName) -> Option<crate::health::book::Finding> {
        let (since, _) = self.backends.get(name)?.out?;
        Some(crate::health::book::Finding {
            health: Health::Down,
            since,
            ..crate::health::book::Finding::UP
        })
    }

    /// Lets those back in whose time is over; true when there are some.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut over = false;
        for shown in self.backends.values_mut() {
            over |= shown.out.take_if(|(_, until)| *until <= now).is_some();
        }
        over
    }

    /// Forgets backends that are not configured any more.
    pub(super) fn keep(&mut self, known: impl Fn(&BackendName) -> bool) {
        self.backends.retain(|name, _| known(name));
    }
}
