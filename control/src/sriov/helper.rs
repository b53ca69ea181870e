//! Writes to sysfs in a process of their own, with a deadline.
//!
//! `echo 0 > sriov_numvfs` does not return while somebody holds a VF, not even for SIGKILL. A process that is left behind in such a write
//! ends by itself when the VF is let go; weir-control goes on meanwhile. Units: seconds.

use super::apply::{HostError, POLL_MS};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// First argument of the helper process.
pub const ARGUMENT: &str = "--write-sysfs";
/// 63 VFs take about 10 s when the host's driver names them all.
const DEADLINE: Duration = Duration::from_secs(30);

/// If this process was started as a helper: writes, and gives the exit status, which is the error number.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let (Some(path), Some(value)) = (arguments.next(), arguments.next()) else {
        return Some(ExitCode::from(
            u8::try_from(rustix::io::Errno::INVAL.raw_os_error()).unwrap_or(1),
        ));
    };
    let written = write(Path::new(&path), &value.to_string_lossy());
    let code = written.err().map_or(0, |error| {
        error
            .raw_os_error()
            .unwrap_or(rustix::io::Errno::IO.raw_os_error())
    });
    Some(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Writes one attribute in one system call.
pub fn write(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(format!("{value}\n").as_bytes())
}

/// Starts helper processes, and remembers those that did not come back.
#[derive(Debug)]
pub struct Helper {
    program: PathBuf,
    deadline: Duration,
    stuck: Vec<(PathBuf, Child)>,
}

impl Helper {
    /// With this very program as helper.
    pub fn new() -> io::Result<Self> {
        // Not the path: the file may have been replaced by an upgrade since.
        Ok(Self::with(PathBuf::from("/proc/self/exe"), DEADLINE))
    }

    /// With another program and deadline.
    pub fn with(program: PathBuf, deadline: Duration) -> Self {
        Self {
            program,
            deadline,
            stuck: Vec::new(),
        }
    }

    /// Writes `value` to `path`.
    pub fn write(&mut self, path: &Path, value: &str) -> Result<(), HostError> {
        if self.is_busy(path) {
            return Err(HostError::TimedOut {
                seconds: self.deadline.as_secs(),
            });
        }
        let mut child = Command::new(&self.program)
            .arg(ARGUMENT)
            .arg(path)
            .arg(value)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(HostError::System)?;
        let start = Instant::now();
        // A fast write is noticed fast, a slow one does not cost a wake-up every millisecond.
        let mut pause = Duration::from_millis(1);
        loop {
            match child.try_wait().map_err(HostError::System)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let error = status.code().map_or_else(
                        || io::Error::other("the helper process was killed"),
                        io::Error::from_raw_os_error,
                    );
                    return Err(HostError::System(error));
                }
                None if start.elapsed() >= self.deadline => {
                    self.stuck.push((path.to_owned(), child));
                    return Err(HostError::TimedOut {
                        seconds: self.deadline.as_secs(),
                    });
                }
                None => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(POLL_MS));
        }
    }

    /// Whether an earlier write to `path` is still under way.
    pub fn is_busy(&mut self, path: &Path) -> bool {
        self.stuck
            .retain_mut(|(_, child)| matches!(child.try_wait(), Ok(None)));
        self.stuck.iter().any(|(stuck, _)| stuck == path)
    }
}
