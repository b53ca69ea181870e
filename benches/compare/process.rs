//! A measured process: started once, stopped and continued by signals, killed when dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::machine;
use super::stop::Stop;
use super::trouble::{Outcome, Trouble};

/// How long anything may take that is not measured: a capture of ten million packets is read by then on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Lines of a log that are shown.
const TAIL: usize = 12;

/// A running child with its log.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it writes goes to `log`.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
        stdin: Stdio,
    ) -> Outcome<Self> {
        let log = log.to_owned();
        let open = || {
            let out = File::create(&log)?;
            let err = out.try_clone()?;
            command.stdin(stdin).stdout(out).stderr(err).spawn()
        };
        let child = open().map_err(Trouble::system(format!("starting {}", command_name(name))))?;
        Ok(Self { name, child, log })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Stops it where it is.
    pub(crate) fn pause(&self) -> Outcome<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> Outcome<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Outcome<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(Trouble::system(format!("signalling {}", self.name)))
    }

    /// Gives its main thread the real-time class: where it shares a CPU with this tool, it does not wait for it.
    pub(crate) fn prefer_main_thread(&self) -> Outcome<()> {
        let output = Command::new("chrt")
            .args(["--rr", "--pid", "1", &self.id().to_string()])
            .output()
            .map_err(Trouble::system("starting chrt (util-linux)"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(self.trouble(String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Trouble with it, with the end of its log.
    pub(crate) fn trouble(&self, what: impl std::fmt::Display) -> Trouble {
        let log = self.log_text();
        let lines: Vec<&str> = log.lines().collect();
        Trouble::Process {
            what: format!("{}: {what}", self.name),
            log: self.log.clone(),
            tail: lines[lines.len().saturating_sub(TAIL)..].join("\n"),
        }
    }

    /// What it has written so far.
    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `look` finds something, the process ends, or patience does.
    pub(crate) fn wait_for<T>(
        &mut self,
        stop: &Stop,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Outcome<Option<T>>,
    ) -> Outcome<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            stop.check()?;
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.trouble(format!("ended ({status}) before {what}")));
            }
            if start.elapsed() > PATIENCE {
                return Err(self.trouble(format!("not within {PATIENCE:?}: {what}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How long its workers were ready to run and did not, in ns, all together.
    pub(crate) fn waited_ns(&self) -> u64 {
        self.waited_by(|name| name.contains("worker"))
    }

    /// The same of all its threads.
    pub(crate) fn waited_in_all_ns(&self) -> u64 {
        self.waited_by(|_| true)
    }

    fn waited_by(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
        tasks
            .into_iter()
            .flatten()
            .flatten()
            .map(|task| task.path())
            .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| wanted(&name)))
            .map(|task| machine::waited_ns(&task.join("schedstat")))
            .sum()
    }

    /// A field of `/proc/PID/status` that is given in kB, in MiB.
    pub(crate) fn status_mb(&self, field: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(field));
        let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kb.unwrap_or(0.0) / 1024.0
    }
}

fn command_name(name: &str) -> String {
    match name {
        "dpdk-testpmd" => "dpdk-testpmd (scripts/install-deps bench)".to_owned(),
        _ => format!("{name} (cargo build --release --workspace --bins)"),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
