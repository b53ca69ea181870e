//! What the service manager is told: READY, RELOADING, STATUS, STOPPING, WATCHDOG. Without one, nothing happens.

use sd_notify::NotifyState;
use std::time::Duration;

/// The line of the service manager, with what was last said on it.
#[derive(Debug, Default)]
pub struct Manager {
    ready: bool,
    status: String,
}

impl Manager {
    /// Says READY once; the manager then holds the daemon to be started.
    pub fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            tell(&[NotifyState::Ready]);
        }
    }

    /// Shows `status` beside the unit's name, when it has changed.
    pub fn status(&mut self, status: &str) {
        if self.status != status {
            status.clone_into(&mut self.status);
            tell(&[NotifyState::Status(status)]);
        }
    }

    /// Marks the span of a reload. systemd wants READY after it.
    pub fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
        self.ready = false;
    }

    /// Says that the daemon is on its way out.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Says that the daemon is alive.
    pub fn alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }

    /// How often [`Self::alive`] is due: half of what the manager allows. `None` when it does not watch.
    pub fn watchdog_period() -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|limit| (limit / 2).max(Duration::from_millis(10)))
    }
}

/// A manager that cannot be reached is none of the daemon's business; the log says so once at most per message.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager did not take a message");
    }
}
