//! A snapshot of everything the API shows, so that no answer is put together while the daemon waits.

use super::passive::TrafficView;
use super::pools::PoolState;
use super::{Daemon, Maintained};
use crate::clock::Clock;
use crate::health::book::Record;
use crate::link::{Link, Session};
use crate::publish::pool::pool;
use crate::publish::{BackendName, Drains, Override, Overrides, Standing};
use std::path::PathBuf;
use std::sync::Arc;
use weir_configs::{Backend, Change, Config, Service};
use weir_proto::time::Instant;

/// Where one backend stands, and what its check has found.
#[derive(Debug, Clone)]
pub struct BackendView {
    /// Where it stands.
    pub standing: Standing,
    /// What its checks have found, in order.
    pub records: Vec<Option<Record>>,
    /// What was set at run time.
    pub set: Override,
    /// What its traffic has shown.
    pub traffic: TrafficView,
}

/// The snapshot.
#[derive(Debug, Clone)]
pub struct View {
    /// The clock all instants here are of.
    pub clock: Clock,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The file it came from.
    pub file: String,
    /// When it was taken.
    pub applied_at: Instant,
    /// Why the last attempt to take one failed, if it did.
    pub last_error: Option<String>,
    /// The last generation sent.
    pub generation: u64,
    /// The generation in force in the dataplane, while it is connected.
    pub published_generation: Option<u64>,
    /// For each service of the configuration, its backends in order.
    pub backends: Vec<Vec<BackendView>>,
    /// The pool of each service, in order.
    pub pools: Vec<Option<PoolState>>,
    /// Backends that somebody works on.
    pub maintenance: Vec<Maintained>,
    /// Backends that drain after their removal.
    pub drains: Drains,
    /// What of the configuration the dataplane cannot be told.
    pub problems: Vec<String>,
    /// What of it needs a restart.
    pub restart_pending: Vec<Change>,
    /// Failed checks do not count now.
    pub muted: bool,
    /// The dataplane, while it is connected.
    pub session: Option<Arc<Session>>,
    /// Why it is not.
    pub away: Option<String>,
    /// Where it is met.
    pub dataplane_socket: PathBuf,
    /// The way to ask it.
    pub link: Link,
}

impl Daemon {
    /// A snapshot of this moment.
    pub(super) fn view(&self) -> View {
        View {
            clock: self.clock,
            config: Arc::clone(&self.in_force.config),
            file: self.in_force.file.clone(),
            applied_at: self.in_force.since,
            last_error: self.last_error.clone(),
            generation: self.publisher.generation(),
            published_generation: self.publisher.published_generation(),
            backends: self.backend_views(),
            pools: {
                let services = self.in_force.config.services.iter();
                services
                    .map(|service| self.pools.get(&service.name).copied())
                    .collect()
            },
            maintenance: self.maintenance.list(&self.in_force.config),
            drains: self.drains.clone(),
            problems: self.problems.clone(),
            restart_pending: self.restart_pending(),
            muted: self.checks.is_muted(),
            session: self.session.clone(),
            away: self.away.clone(),
            dataplane_socket: self.options.dataplane_socket.clone(),
            link: self.link.clone(),
        }
    }

    fn backend_views(&self) -> Vec<Vec<BackendView>> {
        let config = &self.in_force.config;
        let overrides = self.overrides_in_force();
        self.with_inputs(config, &overrides, |inputs| {
            let services = config.services.iter();
            services
                .map(|service| {
                    let standings = pool(inputs, service).standings.into_iter();
                    let pairs = service.backends.iter().zip(standings);
                    pairs
                        .map(|(backend, standing)| self.backend_view(service, backend, standing, &overrides))
                        .collect()
                })
                .collect()
        })
    }

    fn backend_view(
        &self,
        service: &Service,
        backend: &Backend,
        standing: Standing,
        overrides: &Overrides,
    ) -> BackendView {
        let name = BackendName {
            service: service.name.clone(),
            backend: backend.address,
        };
        let book = self.checks.book();
        let records = standing.targets.iter().map(|target| book.record(target).cloned());
        BackendView {
            records: records.collect(),
            set: overrides.get(&name).copied().unwrap_or_default(),
            traffic: self.passive.shown(&name),
            standing,
        }
    }
}
