//! Tells programs and pipes about changes of state, with keepalived's words.

use super::program;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use weir_configs::Vrrp;
use weir_proto::vrrp::State;

/// A notify program may run this long.
const LIMIT: Duration = Duration::from_secs(30);

/// What is told, in keepalived's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Master,
    Backup,
    Fault,
    Stop,
    /// A reload has removed it.
    Deleted,
    /// Active, it hears a lower priority.
    MasterRxLowerPri,
    /// Its priority has changed while it is active.
    MasterPriority,
    /// Its priority has changed while it is not.
    BackupPriority,
}

impl Word {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
            Self::MasterPriority => "MASTER_PRIORITY",
            Self::BackupPriority => "BACKUP_PRIORITY",
        }
    }

    /// The word for a state.
    pub(super) const fn of(state: State, fault: bool) -> Self {
        match (state, fault) {
            (State::Active, _) => Self::Master,
            (State::Backup, _) => Self::Backup,
            (State::Initialize, true) => Self::Fault,
            (State::Initialize, false) => Self::Stop,
        }
    }

    /// Of an instance that a reload has removed: keepalived says FAULT unless it is asked for more.
    pub(super) const fn of_removed(vrrp: &Vrrp) -> Self {
        if vrrp.notify_on.deleted.is_some() {
            Self::Deleted
        } else {
            Self::Fault
        }
    }
}

/// A change to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// `INSTANCE`, or `GROUP` when all members of one have changed.
    kind: &'static str,
    /// Run without arguments, before the other one.
    for_this: Option<PathBuf>,
    program: Option<PathBuf>,
    fifo: Option<PathBuf>,
    user: String,
    name: String,
    word: Word,
    priority: u8,
}

impl Job {
    /// What is told of an instance, if anybody is told.
    pub(super) fn of_instance(vrrp: &Vrrp, word: Word, priority: u8) -> Option<Self> {
        let on = &vrrp.notify_on;
        let (for_this, is_state) = match word {
            Word::Master => (&on.master, true),
            Word::Backup => (&on.backup, true),
            Word::Fault => (&on.fault, true),
            Word::Stop => (&on.stop, true),
            Word::Deleted => (&on.deleted, true),
            Word::MasterRxLowerPri => (&on.master_rx_lower_pri, false),
            Word::MasterPriority | Word::BackupPriority if vrrp.notify_priority_changes => (&None, false),
            Word::MasterPriority | Word::BackupPriority => return None,
        };
        let job = Self {
            kind: "INSTANCE",
            for_this: for_this.clone(),
            program: vrrp.notify.clone().filter(|_| is_state),
            fifo: vrrp.notify_fifo.clone(),
            user: vrrp.script_user.clone(),
            name: vrrp.name.clone(),
            word,
            priority,
        };
        job.is_for_somebody().then_some(job)
    }

    /// What a member tells of its group, which has no priority.
    pub(super) fn of_group(vrrp: &Vrrp, group: &str, word: Word) -> Option<Self> {
        let job = Self {
            kind: "GROUP",
            for_this: None,
            program: vrrp.notify.clone(),
            fifo: vrrp.notify_fifo.clone(),
            user: vrrp.script_user.clone(),
            name: group.to_owned(),
            word,
            priority: 0,
        };
        job.is_for_somebody().then_some(job)
    }

    const fn is_for_somebody(&self) -> bool {
        self.for_this.is_some() || self.program.is_some() || self.fifo.is_some()
    }
}

/// Tells one change after the other: programs see them in order.
pub(super) async fn run(mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        if let Some(fifo) = &job.fifo
            && let Err(error) = write(fifo, &line(&job))
        {
            tracing::warn!(vrrp = %job.name, fifo = %fifo.display(), %error, "not told");
        }
        if let Some(path) = &job.for_this {
            run_one(&job, path, &[]).await;
        }
        if let Some(path) = &job.program {
            let priority = job.priority.to_string();
            run_one(&job, path, &[job.kind, &job.name, job.word.text(), &priority]).await;
        }
    }
}

async fn run_one(job: &Job, path: &Path, arguments: &[&str]) {
    let name = &job.name;
    match program::run(path, arguments, &job.user, LIMIT).await {
        Ok(status) if status.success() => {}
        Ok(status) => {
            tracing::warn!(vrrp = %name, program = %path.display(), %status, "notify program failed");
        }
        Err(error) => {
            tracing::warn!(vrrp = %name, program = %path.display(), %error, "notify program failed");
        }
    }
}

fn line(job: &Job) -> String {
    format!(
        "{} \"{}\" {} {}\n",
        job.kind,
        job.name,
        job.word.text(),
        job.priority
    )
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
