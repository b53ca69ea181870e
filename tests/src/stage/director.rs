//! The load balancer of a scene: its namespace, its configuration file, its two processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::{Balance, Config, View};
use crate::lab::{LabError, Node, Process, run, wait_until};
use crate::scenario::binary;

/// How long a process may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long counters may take to stand still after traffic has ended.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// `weir-dataplane` and `weir-control` in one namespace.
#[derive(Debug)]
pub struct Director {
    node: Node,
    dir: PathBuf,
    config: Config,
    dataplane: Option<Process>,
    control: Option<Process>,
}

impl Director {
    /// Writes the configuration; starts nothing yet. Files, sockets and logs go to a directory under `dir`.
    pub fn new(node: &Node, dir: &Path, config: Config) -> Result<Self, LabError> {
        let dir = dir.join(node.short_name());
        fs::create_dir_all(&dir).map_err(|source| io(&dir, source))?;
        let director = Self {
            node: node.clone(),
            dir,
            config,
            dataplane: None,
            control: None,
        };
        director.write_config(&director.config)?;
        Ok(director)
    }

    /// The namespace.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("weir.toml")
    }

    /// The configuration that was last written.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where control listens.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }

    /// Where the dataplane listens.
    #[must_use]
    pub fn dataplane_socket(&self) -> PathBuf {
        self.dir.join("dataplane.sock")
    }

    /// The running dataplane.
    pub fn dataplane(&mut self) -> Result<&mut Process, LabError> {
        self.dataplane
            .as_mut()
            .ok_or_else(|| LabError::unexpected("the dataplane is not running"))
    }

    /// The running control process.
    pub fn control(&self) -> Result<&Process, LabError> {
        self.control
            .as_ref()
            .ok_or_else(|| LabError::unexpected("control is not running"))
    }

    /// Starts `weir-dataplane` and waits for its socket.
    pub fn start_dataplane(&mut self) -> Result<(), LabError> {
        self.dataplane = Some(self.spawn("weir-dataplane", "dataplane.log")?);
        let socket = self.dataplane_socket();
        wait_until("the dataplane's socket", READY_WITHIN, || {
            let process = self.dataplane().map_err(|error| error.to_string())?;
            match process.ended() {
                Ok(None) if socket.exists() => Ok(()),
                Ok(None) => Err("not there yet".to_owned()),
                Ok(Some(status)) => Err(format!("the dataplane ended: {status}")),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    /// Starts `weir-control` and waits until it answers and the dataplane has what it published.
    pub fn start_control(&mut self) -> Result<(), LabError> {
        self.control = Some(self.spawn("weir-control", "control.log")?);
        wait_until("control to have published", READY_WITHIN, || {
            let view = self.view().map_err(|error| error.to_string())?;
            if view.is_published() {
                Ok(())
            } else {
                Err(view.status.to_string())
            }
        })
    }

    /// Ends control without a chance to clean up.
    pub fn kill_control(&mut self) -> Result<(), LabError> {
        self.control.take().map_or(Ok(()), Process::kill)
    }

    /// Ends control by SIGTERM.
    pub fn stop_control(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.control.take().map(Process::stop).transpose()
    }

    /// Ends the dataplane by SIGTERM.
    pub fn stop_dataplane(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.dataplane.take().map(Process::stop).transpose()
    }

    /// Ends the dataplane without a chance to clean up.
    pub fn kill_dataplane(&mut self) -> Result<(), LabError> {
        self.dataplane.take().map_or(Ok(()), Process::kill)
    }

    /// Ends both at the same moment, without a chance to clean up.
    pub fn kill(&mut self) -> Result<(), LabError> {
        for process in [&self.control, &self.dataplane].into_iter().flatten() {
            process.signal(Signal::KILL)?;
        }
        self.kill_control()?;
        self.kill_dataplane()
    }

    /// Writes another configuration and has control apply it; returns what `weirctl` printed.
    pub fn apply(&mut self, config: Config) -> Result<String, LabError> {
        self.write_config(&config)?;
        self.config = config;
        self.ctl(&["config", "apply", &self.config_path().to_string_lossy()])
    }

    /// Writes another configuration and sends SIGHUP to control.
    pub fn apply_by_signal(&mut self, config: Config) -> Result<(), LabError> {
        self.write_config(&config)?;
        self.config = config;
        self.control()?.signal(Signal::HUP)
    }

    /// `weirctl <words>`: its standard output.
    pub fn ctl(&self, words: &[&str]) -> Result<String, LabError> {
        let program = binary("weirctl")?;
        let socket = self.control_socket();
        let line = [&["--socket", &socket.to_string_lossy()], words]
            .concat()
            .join(" ");
        run(&program.to_string_lossy(), &line)
    }

    /// `weirctl <view> --json`.
    pub fn ctl_json(&self, view: &str) -> Result<Value, LabError> {
        let text = self.ctl(&[view, "--json"])?;
        serde_json::from_str(&text).map_err(|error| {
            LabError::unexpected(format!("weirctl {view} --json is no JSON: {error}: {text}"))
        })
    }

    /// Everything a scenario looks at, read once.
    pub fn view(&self) -> Result<View, LabError> {
        View::read(self)
    }

    /// The accounts of the dataplane, read again until two readings agree: packets under way are in no account.
    pub fn settled_balance(&self) -> Result<Balance, LabError> {
        let mut last = Balance::read(self)?;
        wait_until("quiet accounts", SETTLED_WITHIN, || {
            let next = Balance::read(self).map_err(|error| error.to_string())?;
            let same = next == last;
            last = next;
            if same && last.is_even() {
                Ok(last.clone())
            } else {
                Err(format!("{last:?}"))
            }
        })
    }

    /// Lets both processes run on after this value is gone.
    pub fn leave_running(self) {
        self.dataplane
            .into_iter()
            .chain(self.control)
            .for_each(Process::leave_running);
    }

    fn spawn(&self, program: &str, log: &str) -> Result<Process, LabError> {
        let path = binary(program)?;
        let mut command: Command = self.node.command(&path.to_string_lossy());
        command.arg("--config").arg(self.config_path());
        command.args(["--node", self.node.short_name()]);
        Process::start(program, &mut command, &self.dir.join(log))
    }

    fn write_config(&self, config: &Config) -> Result<(), LabError> {
        let path = self.config_path();
        fs::write(&path, config.to_toml(&self.dir)).map_err(|source| io(&path, source))
    }
}

fn io(path: &Path, source: std::io::Error) -> LabError {
    LabError::Io {
        what: format!("write {}", path.display()),
        source,
    }
}
