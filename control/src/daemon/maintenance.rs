//! Backends that somebody works on: they drain until the work is over, whatever happens to this process meanwhile.
//!
//! Two ways lead here. `weirctl maintenance on` is written to the state file before it is acknowledged. And a file in
//! `maintenance_dir` named after a server (`192.0.2.11`, `192.0.2.11:80`, `2001:db8::11`, or a backend's name), as with
//! ldirectord's `maintenancedir`, drains that server in every service for as long as it is there.

use super::Daemon;
use crate::publish::{BackendName, Overrides};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use weir_configs::{Backend, Config, Control, Service};

/// Entries that are remembered, and files that are looked at.
const ENTRIES_MAX: usize = 4_096;
/// A state file longer than this is not ours.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Name and version of the state file.
const SCHEMA: &str = "weir.state/1";

/// Begin or end work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Only in this service; otherwise in all.
    pub service: Option<String>,
    /// The backend's name, `ip:port` or `ip`.
    pub backend: String,
    /// Begin.
    pub on: bool,
    /// What is done, for others to read.
    pub reason: String,
}

/// Why maintenance could not begin or end.
#[derive(Debug, Error)]
pub enum MaintenanceError {
    /// There is no such backend.
    #[error("no service has a backend \"{0}\"")]
    NoBackend(String),
    /// There are too many.
    #[error("{ENTRIES_MAX} backends are being worked on already; end some of that first")]
    TooMany,
    /// It would not survive a restart, so it did not begin.
    #[error("cannot write {}: {error}; make its folder, or set `state_file` in [control]", path.display())]
    File {
        /// The state file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

/// A backend that somebody works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintained {
    /// Which.
    pub name: BackendName,
    /// Since when, in milliseconds since 1970; nothing when a file says so.
    pub since_unix_ms: Option<u64>,
    /// What is done, or the file that says so.
    pub reason: String,
}

/// One entry of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    service: String,
    backend: SocketAddr,
    since_unix_ms: u64,
    reason: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    schema: String,
    maintenance: Vec<Entry>,
}

/// What is remembered.
#[derive(Debug)]
pub(super) struct Maintenance {
    file: PathBuf,
    folder: Option<PathBuf>,
    entries: BTreeMap<BackendName, Entry>,
    /// Names of the files in the folder.
    files: BTreeSet<String>,
    /// The folder could not be read, and that was said.
    complained: bool,
}

impl Maintenance {
    /// What was remembered before. A file that cannot be read is reported and left alone.
    pub(super) fn load(control: &Control) -> Self {
        let mut new = Self {
            file: control.state_file.clone(),
            folder: control.maintenance_dir.clone(),
            entries: BTreeMap::new(),
            files: BTreeSet::new(),
            complained: false,
        };
        match read(&new.file) {
            Ok(entries) => new.entries = entries,
            Err(error) => {
                tracing::error!(file = %new.file.display(), %error, "the state file is not used: who is in maintenance is forgotten");
            }
        }
        new.look();
        new
    }

    /// Takes over where to look from another configuration.
    pub(super) fn configure(&mut self, control: &Control) {
        self.file.clone_from(&control.state_file);
        if self.folder != control.maintenance_dir {
            self.folder.clone_from(&control.maintenance_dir);
            self.look();
        }
    }

    /// Reads the folder's names; true when they have changed.
    fn look(&mut self) -> bool {
        let names = self.folder.as_deref().map_or_else(|| Ok(BTreeSet::new()), names);
        match names {
            Ok(names) => {
                self.complained = false;
                let changed = names != self.files;
                self.files = names;
                changed
            }
            Err(error) => {
                if !self.complained {
                    tracing::error!(%error, "maintenance_dir cannot be read: what it said last stays");
                }
                self.complained = true;
                false
            }
        }
    }

    /// Why a backend is worked on, if it is.
    fn why(&self, service: &Service, backend: &Backend) -> Option<Maintained> {
        let name = BackendName {
            service: service.name.clone(),
            backend: backend.address,
        };
        if let Some(entry) = self.entries.get(&name) {
            return Some(Maintained {
                name,
                since_unix_ms: Some(entry.since_unix_ms),
                reason: entry.reason.clone(),
            });
        }
        let file = self.files.iter().find(|file| is_named(backend, file))?;
        Some(Maintained {
            name,
            since_unix_ms: None,
            reason: format!("there is a file {file}"),
        })
    }

    /// Every configured backend that is worked on.
    pub(super) fn list(&self, config: &Config) -> Vec<Maintained> {
        if self.entries.is_empty() && self.files.is_empty() {
            return Vec::new();
        }
        pairs(config)
            .filter_map(|(service, backend)| self.why(service, backend))
            .collect()
    }
}

impl Daemon {
    /// What operators have set, with maintenance on top.
    pub(super) fn overrides_in_force(&self) -> Overrides {
        self.with_maintenance(self.overrides.clone(), &self.in_force.config)
    }

    /// `overrides` with every backend drained that somebody works on.
    pub(super) fn with_maintenance(&self, mut overrides: Overrides, config: &Config) -> Overrides {
        for maintained in self.maintenance.list(config) {
            overrides.entry(maintained.name).or_default().drain = Some(true);
        }
        overrides
    }

    /// Begins or ends work.
    pub(super) fn maintain(&mut self, change: &Change) -> Result<Vec<BackendName>, MaintenanceError> {
        let config = std::sync::Arc::clone(&self.in_force.config);
        let wanted = |service: &Service| change.service.as_ref().is_none_or(|name| *name == service.name);
        let found: Vec<BackendName> = pairs(&config)
            .filter(|(service, backend)| wanted(service) && is_named(backend, &change.backend))
            .map(|(service, backend)| BackendName {
                service: service.name.clone(),
                backend: backend.address,
            })
            .collect();
        if found.is_empty() {
            return Err(MaintenanceError::NoBackend(change.backend.clone()));
        }
        let mut entries = self.maintenance.entries.clone();
        // What is not configured any more is nobody's work any more.
        entries.retain(|name, _| super::runtime::is_configured(&config, name));
        for name in &found {
            if change.on {
                let entry = self.entry(name, &change.reason);
                entries.entry(name.clone()).or_insert(entry);
            } else {
                entries.remove(name);
            }
        }
        if entries.len() > ENTRIES_MAX {
            return Err(MaintenanceError::TooMany);
        }
        let path = self.maintenance.file.clone();
        write(&path, &entries).map_err(|error| MaintenanceError::File { path, error })?;
        self.maintenance.entries = entries;
        for name in &found {
            let text = match change.on {
                true => format!("backend {name} is in maintenance: {}", change.reason),
                false => format!("backend {name} is no longer in maintenance"),
            };
            self.note(&name.to_string(), "maintenance", &text);
        }
        self.dirty = true;
        Ok(found)
    }

    fn entry(&self, name: &BackendName, reason: &str) -> Entry {
        Entry {
            service: name.service.clone(),
            backend: name.backend,
            since_unix_ms: self.clock.unix_ms(self.clock.now()),
            reason: reason.chars().take(200).collect(),
        }
    }

    /// Looks whether files have come or gone.
    pub(super) fn watch_maintenance(&mut self) {
        if self.maintenance.look() {
            tracing::info!(files = ?self.maintenance.files, "maintenance_dir has changed");
            self.dirty = true;
        }
    }
}

fn pairs(config: &Config) -> impl Iterator<Item = (&Service, &Backend)> {
    let services = config.services.iter();
    services.flat_map(|service| service.backends.iter().map(move |backend| (service, backend)))
}

/// Whether `word` names this backend.
fn is_named(backend: &Backend, word: &str) -> bool {
    backend.name.as_deref() == Some(word)
        || word.parse() == Ok(backend.address)
        || word.parse::<IpAddr>() == Ok(backend.address.ip())
}

fn names(folder: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder)?.take(ENTRIES_MAX) {
        if let Ok(name) = entry?.file_name().into_string() {
            names.insert(name);
        }
    }
    Ok(names)
}

fn read(path: &Path) -> std::io::Result<BTreeMap<BackendName, Entry>> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        metadata => metadata?,
    };
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other(
            "it is no file of ours: too long, or no plain file",
        ));
    }
    let state: State = serde_json::from_slice(&std::fs::read(path)?)?;
    if state.schema != SCHEMA {
        return Err(std::io::Error::other(format!(
            "its schema is \"{}\"",
            state.schema
        )));
    }
    let entries = state.maintenance.into_iter().take(ENTRIES_MAX);
    let named = entries.map(|entry| {
        let name = BackendName {
            service: entry.service.clone(),
            backend: entry.backend,
        };
        (name, entry)
    });
    Ok(named.collect())
}

/// Writes the file anew beside the old one, and only when that is whole puts it in its place.
fn write(path: &Path, entries: &BTreeMap<BackendName, Entry>) -> std::io::Result<()> {
    let state = State {
        schema: SCHEMA.to_owned(),
        maintenance: entries.values().cloned().collect(),
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    serde_json::to_writer_pretty(&file, &state)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
