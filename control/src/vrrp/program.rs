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
    #[error("there is no user \"{0}\": set `script_user`")]
    NoUser(String),
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

/// Runs a program as `user` and waits for its end, at most `limit`.
///
/// # Errors
/// It was refused, could not be started, or did not end in time.
pub async fn run(
    path: &Path,
    arguments: &[&str],
    user: &str,
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
        let account = nix::unistd::User::from_name(user).map_err(std::io::Error::from)?;
        let account = account.ok_or_else(|| ProgramError::NoUser(user.to_owned()))?;
        // With a user given, the standard library clears the supplementary groups too.
        command.gid(account.gid.as_raw()).uid(account.uid.as_raw());
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
