//! The daemon: one actor that owns all state, and the only one that decides.
//!
//! Everything that happens comes to [`Daemon::run`] as a message: a check's verdict, a word from the dataplane, a
//! request of the API, a signal, a second that has passed. After each, [`Daemon::settle`] brings the dataplane towards
//! what is desired now. Nothing here waits.
//!
//! - [`apply`](self): a configuration is taken whole or not at all; while the dataplane is connected it has the last
//!   word.
//! - [`guard`]: what needs a confirmation.
//! - [`runtime`]: overrides, and backends that drain after their removal.
//! - [`maintenance`]: backends that an operator works on; outlives this process.
//! - [`pools`]: quorum, alarms, and whom they concern.
//! - [`passive`]: what the traffic shows of backends.
//! - [`programs`]: programs that are told of changes.
//! - [`view`]: a snapshot for the API.

mod apply;
pub mod guard;
mod maintenance;
mod passive;
pub mod pools;
mod programs;
mod runtime;
mod settle;
pub mod view;

use crate::bfd::Bfd;
use crate::clock::Clock;
use crate::health::Checks;
use crate::health::book::Change;
use crate::link::{self, Link, Session};
use crate::publish::{BackendName, Drains, Overrides, Publisher};
use crate::systemd::Manager;
use crate::vrrp::Vrrp;
use apply::Candidate;
use maintenance::Maintenance;
use passive::Passive;
use pools::{Notified, PoolStates};
use programs::Programs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use view::View;
use weir_configs::Config;
use weir_proto::health::Outcome;
use weir_proto::time::Instant;

pub use apply::{Applied, Proposal, Refused};
pub use maintenance::{Change as MaintenanceChange, Maintained, MaintenanceError};
pub use runtime::{Patch, PatchError};

/// Requests of the API that may wait; one past that is told to try again.
const REQUESTS_MAX: usize = 256;
/// How long the end waits for the dataplane to let shared addresses go.
const LET_GO_MAX: Duration = Duration::from_secs(1);
/// How often deadlines of the daemon's own are looked at.
const TICK: Duration = Duration::from_secs(1);

/// What the daemon starts from.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration's file: read again at each reload.
    pub file: PathBuf,
    /// What it said at the start.
    pub config: Config,
    /// Where the dataplane is met.
    pub dataplane_socket: PathBuf,
    /// Source of every random choice.
    pub seed: u64,
    /// This node's name: what `[[vrrp.node]]` goes by.
    pub node: String,
}

/// What the API asks of the daemon.
#[derive(Debug)]
pub enum Request {
    /// A snapshot of everything.
    View(oneshot::Sender<View>),
    /// A change of a backend at run time.
    Patch(Patch, oneshot::Sender<Result<BackendName, PatchError>>),
    /// Begin or end work on a backend, or on all backends of an address.
    Maintain(
        maintenance::Change,
        oneshot::Sender<Result<Vec<BackendName>, MaintenanceError>>,
    ),
    /// A configuration to take.
    Apply(Box<Proposal>, oneshot::Sender<Result<Applied, Refused>>),
    /// Read the file again, as SIGHUP does.
    Reload,
    /// Every virtual router.
    Vrrp(oneshot::Sender<Vec<crate::vrrp::status::Status>>),
    /// Every BFD session.
    Bfd(oneshot::Sender<crate::bfd::status::Sessions>),
    /// Events from this number on.
    Events(u64, oneshot::Sender<Vec<crate::vrrp::status::Event>>),
    /// Hand the addresses of a virtual router over, or of all; or take part in elections again.
    HandOver {
        /// Its name; `None` for all.
        name: Option<String>,
        /// Take part again.
        resume: bool,
    },
    /// Stop.
    Stop,
}

/// What the API holds: a way to ask the daemon.
pub type Requests = mpsc::Sender<Request>;

/// The configuration in force and where it came from.
#[derive(Debug, Clone)]
struct InForce {
    config: Arc<Config>,
    file: String,
    since: Instant,
}

/// The actor.
#[derive(Debug)]
pub struct Daemon {
    clock: Clock,
    options: Options,
    in_force: InForce,
    /// What the running processes were started with, as far as is known: what differs from it needs a restart.
    started_with: Arc<Config>,
    last_error: Option<String>,
    overrides: Overrides,
    drains: Drains,
    maintenance: Maintenance,
    checks: Checks,
    pools: PoolStates,
    passive: Passive,
    notified: Notified,
    programs: Programs,
    vrrp: Vrrp,
    bfd: Bfd,
    publisher: Publisher,
    /// When the transaction under way was sent.
    sent_at: Option<Instant>,
    /// When a refused table is tried again.
    retry_at: Option<Instant>,
    candidate: Option<Candidate>,
    session: Option<Arc<Session>>,
    /// Why there is no session.
    away: Option<String>,
    link: Link,
    reports: mpsc::Receiver<link::Report>,
    requests: mpsc::Receiver<Request>,
    /// What of the configuration the dataplane cannot be told.
    problems: Vec<String>,
    dirty: bool,
    manager: Manager,
}

impl Daemon {
    /// A daemon that begins to check and to connect. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system has no thread for VRRP.
    pub fn start(options: Options) -> std::io::Result<(Self, Requests)> {
        let clock = Clock::start();
        let vrrp = Vrrp::start(clock, &options.node)?;
        let bfd = Bfd::start(clock, &options.node, options.seed, vrrp.tracker())?;
        let mut checks = Checks::new(clock, options.seed);
        checks.watch_sessions(bfd.watch());
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let (link, reports) = Link::start(&options.dataplane_socket);
        let config = Arc::new(options.config.clone());
        let mut daemon = Self {
            clock,
            in_force: InForce {
                config: Arc::clone(&config),
                file: options.file.display().to_string(),
                since: clock.now(),
            },
            started_with: config,
            last_error: None,
            overrides: Overrides::new(),
            drains: Drains::new(),
            maintenance: Maintenance::load(&options.config.control),
            checks,
            pools: PoolStates::new(),
            passive: Passive::default(),
            notified: Notified::new(),
            programs: Programs::start(),
            vrrp,
            bfd,
            publisher: Publisher::default(),
            sent_at: None,
            retry_at: None,
            candidate: None,
            session: None,
            away: None,
            link,
            reports,
            requests,
            problems: Vec::new(),
            dirty: true,
            manager: Manager::default(),
            options,
        };
        daemon.watch_targets();
        Ok((daemon, sender))
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        let period = Manager::watchdog_period().unwrap_or(Duration::from_secs(3_600));
        let mut watchdog = tokio::time::interval(period);
        loop {
            tokio::select! {
                change = self.checks.next_change() => self.on_verdict(&change),
                Some(report) = self.reports.recv() => {
                    self.on_link(report);
                    self.show_status();
                }
                request = self.requests.recv() => match request {
                    Some(Request::Stop) | None => break,
                    Some(request) => self.on_request(request),
                },
                _ = tick.tick() => {
                    self.on_tick();
                    self.show_status();
                }
                () = self.vrrp.changed() => {
                    self.suspend_checks();
                    self.dirty = true;
                }
                _ = watchdog.tick() => self.manager.alive(),
            }
            self.settle();
        }
        self.manager.stopping();
        self.say_farewell().await;
        self.let_go().await;
    }

    fn on_request(&mut self, request: Request) {
        match request {
            // An asker that has gone away misses nothing.
            Request::View(reply) => drop(reply.send(self.view())),
            Request::Patch(patch, reply) => drop(reply.send(self.patch(patch))),
            Request::Maintain(change, reply) => drop(reply.send(self.maintain(&change))),
            Request::Apply(proposal, reply) => self.propose(*proposal, Some(reply)),
            Request::Reload => self.reload(),
            Request::Vrrp(reply) => drop(reply.send(self.vrrp.status())),
            Request::Bfd(reply) => drop(reply.send(self.bfd.status())),
            Request::Events(from, reply) => drop(reply.send(self.vrrp.events(from))),
            Request::HandOver { name, resume } => self.vrrp.hand_over(name.as_deref(), resume),
            Request::Stop => {}
        }
    }

    fn on_verdict(&mut self, change: &Change) {
        let address = change.target.address.to_string();
        let report = &change.report;
        let (kind, text) = match report.outcome {
            Outcome::Fail(why) => ("down", format!("server {address} is {}: {why}", report.health)),
            Outcome::Pass | Outcome::Weight(_) if change.verdict => (
                "up",
                format!("server {address} is {}: its check passes", report.health),
            ),
            Outcome::Pass => ("up", format!("server {address} passes its check")),
            Outcome::Weight(weight) => ("weight", format!("server {address} asks for weight {weight}")),
        };
        self.note(&address, kind, &text);
        self.dirty = true;
    }

    /// Logs and remembers what happened.
    fn note(&self, object: &str, kind: &str, text: &str) {
        match kind {
            "down" | "quorum-down" => tracing::warn!(object, kind, "{text}"),
            "alarm" => tracing::error!(object, kind, "{text}"),
            _ => tracing::info!(object, kind, "{text}"),
        }
        self.vrrp
            .note(self.clock.unix_ms(self.clock.now()), object, kind, text);
    }

    fn on_tick(&mut self) {
        let now = self.clock.now();
        self.end_drains(now);
        self.watch_acknowledgement(now);
        self.watch_maintenance();
        self.end_absences(now);
        self.dirty |= self.is_removal_due(now);
        self.track_services();
    }

    /// At the end, virtual routers say that they stop, and the dataplane is told to let their addresses go.
    async fn let_go(&mut self) {
        self.vrrp.stop();
        self.bfd.stop();
        if self.session.is_none() || !self.in_force.config.vrrps.iter().any(|vrrp| vrrp.port.is_some()) {
            return;
        }
        self.dirty = true;
        let told = async {
            loop {
                self.settle();
                if !self.dirty && !self.publisher.is_under_way() {
                    return;
                }
                match self.reports.recv().await {
                    Some(report) => self.on_link(report),
                    None => return,
                }
            }
        };
        if tokio::time::timeout(LET_GO_MAX, told).await.is_err() {
            tracing::warn!("the dataplane did not let the shared addresses go in time");
        }
    }

    /// Checks exactly what the configuration in force has checked.
    fn watch_targets(&mut self) {
        let config = Arc::clone(&self.in_force.config);
        let targets = crate::health::targets::targets(&config);
        self.checks.reconcile(&targets);
        self.vrrp.configure(&config);
        self.bfd.configure(&config);
        self.suspend_checks();
        self.passive.keep(|name| runtime::passive_rule(&config, name));
        self.maintenance.configure(&config.control);
        self.mute_checks();
        self.dirty = true;
    }

    /// While the dataplane is away, so may its host interfaces be, and every server looks dead through those.
    fn mute_checks(&self) {
        let through_dataplane = self
            .in_force
            .config
            .ports
            .iter()
            .any(|port| port.host_interface.is_some());
        self.checks.mute(through_dataplane && self.session.is_none());
    }

    fn show_status(&mut self) {
        let status = self.status_line();
        self.manager.status(&status);
    }

    /// One line for the service manager.
    fn status_line(&self) -> String {
        let services = self.in_force.config.services.len();
        let down = self
            .checks
            .book()
            .iter()
            .filter(|(_, record)| record.health == weir_proto::health::Health::Down);
        let (down, checked) = (down.count(), self.checks.book().iter().count());
        let dataplane = match (&self.session, self.publisher.refusal()) {
            (None, _) => "dataplane not connected, its last state stays".to_owned(),
            (Some(_), Some(refusal)) => format!("dataplane refused generation {}", refusal.generation),
            (Some(_), None) => format!("generation {}", self.publisher.generation()),
        };
        format!("{services} services, {down} of {checked} checks down; {dataplane}")
    }
}

#[cfg(test)]
mod tests;
