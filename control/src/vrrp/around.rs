//! What instances need from around them.

use super::kernel::{Announcer, Netlink};
use super::notify::Job;
use super::status::Event;
use super::{Shared, locked};
use crate::clock::Clock;
use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use weir_proto::time::Instant;
use weir_proto::vrrp::Tracked;

/// Clock, sockets and ears that all instances of the thread share.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) clock: Clock,
    /// For addresses on kernel interfaces.
    pub(super) netlink: Option<Netlink>,
    /// For announcements on kernel interfaces.
    pub(super) announcer: Option<RefCell<Announcer>>,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) shared: Arc<Mutex<Shared>>,
}

impl Surroundings {
    /// Has programs and pipes told of a change.
    pub(super) fn tell(&self, job: Option<Job>) {
        let Some(job) = job else { return };
        if let Err(error) = self.jobs.try_send(job) {
            tracing::warn!(%error, "too many changes of state wait for their notify programs: one is left out");
        }
    }

    /// Remembers and logs an event.
    pub(super) fn event(&self, now: Instant, vrrp: &str, kind: &str, text: String) {
        tracing::info!(vrrp, kind, "{text}");
        locked(&self.shared).remember(Event {
            id: 0,
            unix_ms: self.clock.unix_ms(now),
            vrrp: vrrp.to_owned(),
            object: String::new(),
            kind: kind.to_owned(),
            text,
        });
    }
}

/// Whether tracking alone holds it down.
pub(super) const fn is_fault(tracked: &Tracked) -> bool {
    tracked.fault.is_some()
}
