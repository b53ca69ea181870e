//! Tells programs and pipes about changes of state, with keepalived's words.

use super::program;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// A notify program may run this long.
const LIMIT: Duration = Duration::from_secs(30);

/// A change to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// `INSTANCE`, or `GROUP` when all members of one have changed.
    pub(super) kind: &'static str,
    pub(super) program: Option<PathBuf>,
    pub(super) fifo: Option<PathBuf>,
    pub(super) user: String,
    pub(super) name: String,
    /// keepalived's word.
    pub(super) state: &'static str,
    pub(super) priority: u8,
}

/// Tells one change after the other: programs see them in order.
pub(super) async fn run(mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        if let Some(fifo) = &job.fifo
            && let Err(error) = write(fifo, &line(&job))
        {
            tracing::warn!(vrrp = %job.name, fifo = %fifo.display(), %error, "not told");
        }
        let Some(path) = &job.program else { continue };
        let priority = job.priority.to_string();
        let arguments = [job.kind, &job.name, job.state, &priority];
        match program::run(path, &arguments, &job.user, LIMIT).await {
            Ok(status) if status.success() => {}
            Ok(status) => {
                tracing::warn!(vrrp = %job.name, program = %path.display(), %status, "notify program failed")
            }
            Err(error) => {
                tracing::warn!(vrrp = %job.name, program = %path.display(), %error, "notify program failed")
            }
        }
    }
}

fn line(job: &Job) -> String {
    format!("{} \"{}\" {} {}\n", job.kind, job.name, job.state, job.priority)
}

/// Writes to a pipe somebody reads; without a reader there is nobody to tell.
fn write(path: &Path, line: &str) -> std::io::Result<()> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        return Err(std::io::Error::other("not a pipe: make one with mkfifo"));
    }
    file.write_all(line.as_bytes())
}
