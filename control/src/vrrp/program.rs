//! Programs that operators configure: run without a shell, without rights, with a time limit, and only from where
//! nobody but root can put another program.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use thiserror::Error;

/// The whole environment a program gets.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program was not run, or has no status.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// It, or a folder on the way to it, is a symbolic link.
    #[error("{0} is a symbolic link: name the file itself")]
    Symlink(String),
    /// Others than root could put something else there.
    #[error("{0} can be changed by others than root: chown root and chmod go-w")]
    Writable(String),
    /// There is no such user.
    #[error("there is no user \"{user}\": set `{key}` to one that exists")]
    NoUser {
        /// The user.
        user: String,
        /// The key of the configuration that names it.
        key: &'static str,
    },
    /// There is no such group.
    #[error("there is no group \"{group}\": set `{key}` to one that exists, or leave it out")]
    NoGroup {
        /// The group.
        group: String,
        /// The key of the configuration that names it.
        key: &'static str,
    },
    /// It did not end in time, and was killed with everything it started.
    #[error("it did not end within {0:?} and was killed")]
    TimedOut(Duration),
    /// The system would not.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Refuses a path that somebody but root could make lead to another program.
///
/// # Errors
/// The first part of the path that is not safe.
pub fn check(path: &Path) -> Result<(), ProgramError> {
    let mut parts: Vec<&Path> = path.ancestors().collect();
    parts.reverse();
    for part in parts {
        let metadata = std::fs::symlink_metadata(part)?;
        let shown = part.display().to_string();
        if metadata.file_type().is_symlink() {
            return Err(ProgramError::Symlink(shown));
        }
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            return Err(ProgramError::Writable(shown));
        }
    }
    Ok(())
}

/// Who runs a program.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// The user.
    pub user: &'a str,
    /// The group; `None`: the user's own.
    pub group: Option<&'a str>,
    /// The keys of the configuration that say so.
    pub keys: (&'static str, &'static str),
}

impl Account<'_> {
    /// The numbers of user and group.
    fn ids(&self) -> Result<(u32, u32), ProgramError> {
        let account = nix::unistd::User::from_name(self.user).map_err(std::io::Error::from)?;
        let account = account.ok_or_else(|| ProgramError::NoUser {
            user: self.user.to_owned(),
            key: self.keys.0,
        })?;
        let Some(name) = self.group else {
            return Ok((account.uid.as_raw(), account.gid.as_raw()));
        };
        let group = nix::unistd::Group::from_name(name).map_err(std::io::Error::from)?;
        let group = group.ok_or_else(|| ProgramError::NoGroup {
            group: name.to_owned(),
            key: self.keys.1,
        })?;
        Ok((account.uid.as_raw(), group.gid.as_raw()))
    }
}

/// Runs a program as the `script_user` of its section, see [`run_as`].
///
/// # Errors
/// As [`run_as`].
pub async fn run(
    path: &Path,
    arguments: &[&str],
    user: &str,
    limit: Duration,
) -> Result<ExitStatus, ProgramError> {
    let account = Account {
        user,
        group: None,
        keys: ("script_user", "script_group"),
    };
    run_as(path, arguments, account, limit).await
}

/// Runs a program as somebody and waits for its end, at most `limit`.
///
/// # Errors
/// It was refused, could not be started, or did not end in time.
pub async fn run_as(
    path: &Path,
    arguments: &[&str],
    account: Account<'_>,
    limit: Duration,
) -> Result<ExitStatus, ProgramError> {
    check(path)?;
    let mut command = tokio::process::Command::new(path);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.process_group(0).kill_on_drop(true);
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = account.ids()?;
        // With a user given, the standard library clears the supplementary groups too.
        command.gid(gid).uid(uid);
    }
    let mut child = command.spawn()?;
    let group = child
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(status) => Ok(status?),
        Err(_) => {
            if let Some(group) = group {
                // It may have ended this moment; then there is nobody to kill.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            child.wait().await?;
            Err(ProgramError::TimedOut(limit))
        }
    }
}

#[cfg(test)]
mod tests;
