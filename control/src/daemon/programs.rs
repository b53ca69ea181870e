//! Programs that are told of changes: of a service's quorum, and of a server's health. keepalived's `quorum_up`,
//! `quorum_down`, `notify_up` and `notify_down`: run as they are written, with nothing added.

use crate::vrrp::program::{self, Account};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_configs::Pool;

/// A program may run this long.
const PROGRAM_MAX: Duration = Duration::from_secs(30);
/// And so long when weir-control ends.
const LAST_PROGRAM_MAX: Duration = Duration::from_secs(2);
/// Programs that may run at once.
const LANES: usize = 8;
/// Programs that may wait in a lane: as many servers may fail at once.
const JOBS_MAX: usize = 4_096;

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    program: PathBuf,
    arguments: Vec<String>,
    user: String,
    group: Option<String>,
}

impl Job {
    /// Nothing where no program is named.
    pub(super) fn new(command: &[String], pool: &Pool) -> Option<Self> {
        let (program, arguments) = command.split_first()?;
        Some(Self {
            program: program.into(),
            arguments: arguments.to_vec(),
            user: pool.script_user.clone(),
            group: pool.script_group.clone(),
        })
    }

    async fn run(&self, limit: Duration) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let shown = self.program.display();
        let account = Account {
            user: &self.user,
            group: self.group.as_deref(),
            keys: ("script_user", "script_group"),
        };
        match program::run_as(&self.program, &arguments, account, limit).await {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::warn!(program = %shown, %status, "program failed"),
            Err(error) => tracing::warn!(program = %shown, %error, "program failed"),
        }
    }
}

/// Runs programs: those about one thing one after the other, so that they see its changes in order.
#[derive(Debug)]
pub(super) struct Programs {
    lanes: Vec<mpsc::Sender<Job>>,
}

impl Programs {
    /// Must be called within a tokio runtime.
    pub(super) fn start() -> Self {
        Self {
            lanes: (0..LANES).map(|_| lane()).collect(),
        }
    }

    /// Has a program run, if there is one, after those about the same `object`.
    pub(super) fn run(&self, object: &str, job: Option<Job>) {
        let Some(job) = job else { return };
        let mut hasher = DefaultHasher::new();
        object.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        let taken = self.lanes.get(lane).map(|lane| lane.try_send(job));
        if !matches!(taken, Some(Ok(()))) {
            tracing::error!(object, "too many programs wait: a change is not told");
        }
    }
}

fn lane() -> mpsc::Sender<Job> {
    let (sender, mut jobs) = mpsc::channel::<Job>(JOBS_MAX);
    tokio::spawn(async move {
        while let Some(job) = jobs.recv().await {
            job.run(PROGRAM_MAX).await;
        }
    });
    sender
}

/// Runs the last programs, some at once, while there is time.
pub(super) async fn run_last(jobs: Vec<Job>) {
    let mut running = JoinSet::new();
    let all = async {
        for job in jobs {
            if running.len() >= LANES {
                running.join_next().await;
            }
            running.spawn(async move { job.run(LAST_PROGRAM_MAX).await });
        }
        while running.join_next().await.is_some() {}
    };
    if tokio::time::timeout(2 * LAST_PROGRAM_MAX, all).await.is_err() {
        tracing::warn!("there was no time for every program of the end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn what_concerns_one_thing_runs_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).expect("open to nobody");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let run = |programs: &Programs, object: &str, words: &[&str]| {
            let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            programs.run(object, Job::new(&command, &Pool::default()));
        };
        let programs = Programs::start();
        assert_eq!(Job::new(&[], &Pool::default()), None);
        for object in ["a", "b", "c"] {
            run(&programs, object, &["/usr/bin/sleep", "0.1"]);
            run(&programs, object, &["/usr/bin/mkdir", &path(object)]);
            run(&programs, object, &["/nowhere/to/be/found"]);
            run(
                &programs,
                object,
                &["/usr/bin/mkdir", &path(&format!("{object}/inside"))],
            );
        }
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        for object in ["a", "b", "c"] {
            while !folder.path().join(object).join("inside").exists() {
                assert!(tokio::time::Instant::now() < until, "{object}: not in order");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let last = |name: &str| Job::new(&["/usr/bin/mkdir".to_owned(), path(name)], &Pool::default());
        run_last((0..20).filter_map(|n| last(&format!("last-{n}"))).collect()).await;
        assert!((0..20).all(|n| folder.path().join(format!("last-{n}")).exists()));
    }
}
