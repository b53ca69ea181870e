//! Looks at what virtual routers depend on: scripts, processes, files. Interfaces are looked at by the VRRP thread,
//! ports and services by the daemon.

use super::runtime::{Command, wake};
use super::{Wanted, ping, program};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::task::JoinHandle;
use weir_configs::{Track, Tracked};

/// One task for each thing that is looked at.
#[derive(Debug)]
pub(super) struct Trackers {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    watched: Vec<(Track, String)>,
    tasks: Vec<JoinHandle<()>>,
}

impl Trackers {
    pub(super) const fn new(commands: Sender<Command>, wake: Arc<OwnedFd>) -> Self {
        Self {
            commands,
            wake,
            watched: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// Looks at exactly what these virtual routers depend on.
    pub(super) fn watch(&mut self, wanted: &[Wanted]) {
        let tracks = wanted.iter().flat_map(|wanted| {
            let user = &wanted.vrrp.script_user;
            wanted
                .vrrp
                .tracks
                .iter()
                .map(|track| (track.clone(), user.clone()))
        });
        let tracks: Vec<(Track, String)> = tracks
            .filter(|(track, _)| is_looked_at_here(&track.what))
            .collect();
        if tracks == self.watched {
            return;
        }
        self.tasks.drain(..).for_each(|task| task.abort());
        for (track, user) in &tracks {
            let looker = Looker {
                track: track.clone(),
                user: user.clone(),
                commands: self.commands.clone(),
                wake: Arc::clone(&self.wake),
            };
            self.tasks.push(tokio::spawn(looker.run()));
        }
        self.watched = tracks;
    }
}

impl Drop for Trackers {
    fn drop(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}

const fn is_looked_at_here(what: &Tracked) -> bool {
    match what {
        Tracked::Script(_) | Tracked::Process(_) | Tracked::File(_) | Tracked::Gateway(_) => true,
        Tracked::Interface(_) | Tracked::Port(_) | Tracked::Service(_) | Tracked::Bfd(_) => false,
    }
}

struct Looker {
    track: Track,
    user: String,
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
}

impl Looker {
    async fn run(self) {
        let mut interval = tokio::time::interval(Duration::from_millis(u64::from(self.track.interval_ms)));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut hysteresis = Hysteresis::default();
        loop {
            interval.tick().await;
            let passed = self.look().await;
            if let Some(up) = hysteresis.count(passed, self.track.rise, self.track.fall) {
                let name = self.track.what.label();
                tracing::info!(track = %name, up, "tracked");
                if self.commands.send(Command::Track { name, up }).is_err() {
                    return;
                }
                wake(&self.wake);
            }
        }
    }

    async fn look(&self) -> bool {
        match &self.track.what {
            Tracked::Script(path) => {
                let limit = Duration::from_millis(u64::from(self.track.timeout_ms));
                match program::run(path, &[], &self.user, limit).await {
                    Ok(status) => status.success(),
                    Err(error) => {
                        tracing::warn!(script = %path.display(), %error, "tracking script");
                        false
                    }
                }
            }
            Tracked::Process(name) => process_runs(name),
            Tracked::File(path) => file_is_well(path),
            Tracked::Gateway(address) => {
                let limit = Duration::from_millis(u64::from(self.track.timeout_ms));
                match ping::answers(*address, limit).await {
                    Ok(answered) => answered,
                    Err(error) => {
                        tracing::warn!(gateway = %address, %error, "tracking a gateway");
                        false
                    }
                }
            }
            Tracked::Interface(_) | Tracked::Port(_) | Tracked::Service(_) | Tracked::Bfd(_) => true,
        }
    }
}

/// Rise and fall; the first look counts at once.
#[derive(Debug, Default)]
struct Hysteresis {
    up: Option<bool>,
    against: u16,
}

impl Hysteresis {
    /// Counts a look; the new state, if it is one.
    fn count(&mut self, passed: bool, rise: u16, fall: u16) -> Option<bool> {
        if self.up == Some(passed) {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = match (self.up, passed) {
            (None, _) => 1,
            (Some(_), true) => rise,
            (Some(_), false) => fall,
        };
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.up = Some(passed);
        self.up
    }
}

/// Whether a process has this name, as the kernel keeps it (15 characters).
fn process_runs(name: &str) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return false;
    };
    let name: String = name.chars().take(15).collect();
    entries.flatten().any(|entry| {
        let comm = std::fs::read_to_string(entry.path().join("comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    })
}

fn file_is_well(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().next() != Some("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rise_and_fall_are_counted_in_a_row() {
        let mut hysteresis = Hysteresis::default();
        let looks = [true, false, false, true, false, false, false, true, true];
        let found: Vec<_> = looks
            .iter()
            .map(|passed| hysteresis.count(*passed, 2, 3))
            .collect();
        assert_eq!(
            found,
            [
                Some(true),
                None,
                None,
                None,
                None,
                None,
                Some(false),
                None,
                Some(true)
            ]
        );
    }

    #[test]
    fn processes_and_files_are_found() {
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert!(process_runs(own.trim_end()));
        assert!(!process_runs("no-such-process"));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(file_is_well(file.path()));
        std::fs::write(file.path(), "0\n").unwrap();
        assert!(!file_is_well(file.path()));
    }
}
