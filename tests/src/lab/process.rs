//! A process that runs in a namespace while the scenario goes on, with its log.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::command::line_of;
use super::{LabError, wait_until};

/// How long a process may take to end after SIGTERM.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A running process. Dropping it ends it, first by SIGTERM and then by SIGKILL.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both its outputs are appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self, LabError> {
        let open = || File::options().create(true).append(true).open(log);
        let file = |e| LabError::io(format!("open {}", log.display()), e);
        let (stdout, stderr) = (open().map_err(file)?, open().map_err(file)?);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = command.spawn().map_err(|source| LabError::Start {
            command: line_of(command),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// The process id. `ip netns exec` replaces itself, so this is the program's own.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) else {
            return Err(LabError::unexpected(format!("{} has no pid", self.name)));
        };
        kill_process(pid, signal).map_err(|source| LabError::io(format!("signal {}", self.name), source))
    }

    /// The exit status when it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.child
            .try_wait()
            .map_err(|source| LabError::io(format!("wait for {}", self.name), source))
    }

    /// Ends it by SIGTERM and returns how it ended.
    pub fn stop(mut self) -> Result<ExitStatus, LabError> {
        self.signal(Signal::TERM)?;
        self.wait(STOP_WITHIN)
    }

    /// Ends it by SIGKILL: no clean-up of its own.
    pub fn kill(mut self) -> Result<(), LabError> {
        self.signal(Signal::KILL)?;
        self.wait(STOP_WITHIN).map(drop)
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, LabError> {
        let what = format!("the end of {}", self.name);
        wait_until(&what, patience, || match self.ended() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Waits for `text` to appear in the log; fails early when the process ends instead.
    pub fn wait_for_log(&mut self, text: &str, patience: Duration) -> Result<(), LabError> {
        let what = format!("{} to log {text:?}", self.name);
        wait_until(&what, patience, || {
            if self.log().contains(text) {
                Ok(())
            } else {
                Err(tail(&self.log(), 3))
            }
        })
    }

    /// Lets it run on after this value is gone; whoever owns the namespace ends it.
    pub fn leave_running(self) {
        std::mem::forget(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if self.signal(Signal::TERM).is_ok() && self.wait(Duration::from_secs(3)).is_ok() {
            return;
        }
        // Nothing more can be done about an error here; the lab ends what is left in its namespaces.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log, each indented.
pub(super) fn tail(log: &str, lines_max: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(lines_max);
    lines[from..].iter().map(|line| format!("    {line}\n")).collect()
}
