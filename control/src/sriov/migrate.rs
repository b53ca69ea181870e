//! Moving a guest that has VFs to another host: detach, migrate, attach, as one operation that can be taken up again.
//!
//! A guest with a passed-through VF does not migrate live. After each step a journal is written; when weir-control is stopped in between,
//! the same command goes on where it was. A failure before the move brings the VFs back here; one after it brings the guest back, too.

use super::allocation::{Allocation, Through, save_json};
use super::guests::virsh::{self, Runner, VirshError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Begun: some VFs may be detached.
    Detaching,
    /// The guest has no VF.
    Detached,
    /// The guest runs on the other host.
    Moved,
}

/// A move under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The guest.
    pub guest: String,
    /// The host it goes to, as ssh knows it.
    pub to: String,
    /// How far it is.
    pub stage: Stage,
    /// VFs it had here.
    pub vfs: Vec<Allocation>,
}

/// Why a guest did not move.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Not by libvirt.
    #[error("guest {0} is reached by QMP; moving needs libvirt on both hosts: attach its VF without --qmp")]
    NotLibvirt(String),
    /// It is on its way to somewhere else.
    #[error(
        "guest {guest} is on its way to {to}; finish that first: weirctl sriov migrate {guest} --to {to}"
    )]
    Elsewhere {
        /// The guest.
        guest: String,
        /// Where to.
        to: String,
    },
    /// A step failed, and all is as before.
    #[error("could not {step}: {cause}; the guest is here with its VFs, as before")]
    RolledBack {
        /// The step.
        step: &'static str,
        /// Why.
        cause: String,
    },
    /// A step failed, and going back did too.
    #[error(
        "could not {step}: {cause}; and going back failed: {back}. Repair that, then give the same command again: it goes on from here"
    )]
    Stuck {
        /// The step.
        step: &'static str,
        /// Why.
        cause: String,
        /// Why it cannot go back.
        back: String,
    },
    /// The journal cannot be kept.
    #[error("{}: {error}", .path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What a move needs of this host's VFs.
pub trait Here {
    /// Takes the guest's VFs out of it.
    fn detach(&mut self, vf: &Allocation) -> Result<(), String>;
    /// Gives one back.
    fn attach(&mut self, vf: &Allocation) -> Result<(), String>;
}

/// The journal of a guest.
pub fn journal_path(directory: &Path, guest: &str) -> PathBuf {
    directory.join(format!("migrate-{guest}.json"))
}

/// Moves `guest` with its VFs.
///
/// # Errors
/// What failed, and where the guest is now.
pub fn migrate(
    here: &mut impl Here,
    runner: &mut impl Runner,
    directory: &Path,
    guest: &str,
    to: &str,
    vfs: Vec<Allocation>,
) -> Result<(), MigrateError> {
    if vfs.iter().any(|vf| vf.through != Through::Libvirt) {
        return Err(MigrateError::NotLibvirt(guest.to_owned()));
    }
    let path = journal_path(directory, guest);
    let mut journal = match read(&path)? {
        Some(journal) if journal.to != to => {
            return Err(MigrateError::Elsewhere {
                guest: guest.to_owned(),
                to: journal.to,
            });
        }
        Some(journal) => journal,
        None => Journal {
            guest: guest.to_owned(),
            to: to.to_owned(),
            stage: Stage::Detaching,
            vfs,
        },
    };
    let there = format!("qemu+ssh://{to}/system");
    if journal.stage == Stage::Detaching {
        keep(&path, &journal)?;
        for vf in &journal.vfs.clone() {
            if let Err(cause) = here.detach(vf) {
                return Err(back_here(here, &path, &journal, "detach its VFs", cause));
            }
        }
        journal.stage = Stage::Detached;
        keep(&path, &journal)?;
    }
    if journal.stage == Stage::Detached {
        // Stopped between the move and its note: then it is there already.
        let moved = virsh::is_running(runner, Some(&there), guest).unwrap_or(false);
        if !moved && let Err(error) = virsh::migrate(runner, None, guest, &there) {
            return Err(back_here(here, &path, &journal, "move it", error.to_string()));
        }
        journal.stage = Stage::Moved;
        keep(&path, &journal)?;
    }
    attach_there(here, runner, &path, &journal, &there)
}

/// The other host's own weir chooses VFs there. One call a VF; what an earlier run attached there counts.
fn attach_there(
    here: &mut impl Here,
    runner: &mut impl Runner,
    path: &Path,
    journal: &Journal,
    there: &str,
) -> Result<(), MigrateError> {
    let Journal { guest, to, vfs, .. } = journal;
    let count = vfs.len().to_string();
    let attached = runner.run(
        &["ssh", to, "weirctl", "sriov", "attach", guest, "--count", &count],
        None,
    );
    let Err(cause) = attached else { return forget(path) };
    let step = "attach VFs there";
    let stuck = |back: VirshError| MigrateError::Stuck {
        step,
        cause: cause.to_string(),
        back: back.to_string(),
    };
    runner
        .run(
            &["ssh", to, "weirctl", "sriov", "detach", guest, "--if-any"],
            None,
        )
        .map_err(stuck)?;
    // virsh itself speaks with both hosts, so this one needs no way to itself.
    virsh::migrate(runner, Some(there), guest, "qemu:///system").map_err(stuck)?;
    Err(back_here(here, path, journal, step, cause.to_string()))
}

/// The guest is here: it gets its VFs back.
fn back_here(
    here: &mut impl Here,
    path: &Path,
    journal: &Journal,
    step: &'static str,
    cause: String,
) -> MigrateError {
    let failed: Vec<String> = journal
        .vfs
        .iter()
        .filter_map(|vf| here.attach(vf).err())
        .collect();
    if !failed.is_empty() {
        // Begin anew next time: the guest is here, some of its VFs are out.
        let begin = Journal {
            stage: Stage::Detaching,
            ..journal.clone()
        };
        let noted = keep(path, &begin).err().map(|error| error.to_string());
        let back = failed.into_iter().chain(noted).collect::<Vec<_>>().join("; ");
        return MigrateError::Stuck { step, cause, back };
    }
    match forget(path) {
        Ok(()) => MigrateError::RolledBack { step, cause },
        Err(error) => error,
    }
}

fn read(path: &Path) -> Result<Option<Journal>, MigrateError> {
    let failed = |error| MigrateError::Journal {
        path: path.to_owned(),
        error,
    };
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| failed(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn keep(path: &Path, journal: &Journal) -> Result<(), MigrateError> {
    save_json(path, journal).map_err(|error| MigrateError::Journal {
        path: path.to_owned(),
        error,
    })
}

fn forget(path: &Path) -> Result<(), MigrateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(MigrateError::Journal {
            path: path.to_owned(),
            error,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
