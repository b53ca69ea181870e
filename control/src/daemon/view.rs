//! A snapshot of everything the API shows, so that no answer is put together while the daemon waits.

use super::Daemon;
use crate::clock::Clock;
use crate::health::book::Record;
use crate::link::{Link, Session};
use crate::publish::{BackendName, Drains, Inputs, Override, Standing, standing};
use std::path::PathBuf;
use std::sync::Arc;
use weir_configs::{Change, Config};
use weir_proto::time::Instant;

/// Where one backend stands, and what its check has found.
#[derive(Debug, Clone)]
pub struct BackendView {
    /// Where it stands.
    pub standing: Standing,
    /// What its check has found.
    pub record: Option<Record>,
    /// What was set at run time.
    pub set: Override,
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
        let book = self.checks.book();
        let inputs = Inputs {
            config: &self.in_force.config,
            ports: &[],
            health: &|target| book.health(target),
            overrides: &self.overrides,
            drains: &self.drains,
            owns: &|address| self.vrrp.holding(&self.in_force.config, address),
        };
        let services = self.in_force.config.services.iter();
        services
            .map(|service| {
                let backends = service.backends.iter();
                backends
                    .map(|backend| {
                        let standing = standing(&inputs, service, backend);
                        let name = BackendName {
                            service: service.name.clone(),
                            backend: backend.address,
                        };
                        BackendView {
                            record: standing
                                .target
                                .as_ref()
                                .and_then(|target| book.record(target))
                                .cloned(),
                            set: self.overrides.get(&name).copied().unwrap_or_default(),
                            standing,
                        }
                    })
                    .collect()
            })
            .collect()
    }
}
