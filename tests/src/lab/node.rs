//! One network namespace of a laboratory.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::command::finish;
use super::{LabError, run};

/// A network namespace, by name. The lab that made it deletes it.
#[derive(Debug, Clone)]
pub struct Node {
    namespace: String,
    short_name: String,
}

impl Node {
    pub(super) fn create(namespace: &str, short_name: &str) -> Result<Self, LabError> {
        run("ip", &format!("netns add {namespace}"))?;
        let node = Self {
            namespace: namespace.to_owned(),
            short_name: short_name.to_owned(),
        };
        node.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        node.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        node.ip("link set lo up")?;
        Ok(node)
    }

    /// The namespace's name, for `ip netns exec`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name inside the lab, also that of its port on the bridge.
    #[must_use]
    pub fn short_name(&self) -> &str {
        &self.short_name
    }

    /// `ip <arguments>` in this namespace.
    pub fn ip(&self, arguments: &str) -> Result<(), LabError> {
        run("ip", &format!("-n {} {arguments}", self.namespace)).map(drop)
    }

    /// `program <arguments>` in this namespace, arguments separated by blanks; returns its standard output.
    pub fn run(&self, program: &str, arguments: &str) -> Result<String, LabError> {
        finish(self.command(program).args(arguments.split_whitespace()))
    }

    /// A command that will run in this namespace.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }

    /// Sets a `net.*` sysctl of this namespace.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        let path = PathBuf::from("/proc/sys").join(key.replace('.', "/"));
        let written = self.inside(|| fs::write(&path, value))?;
        written.map_err(|source| LabError::io(format!("set {key} = {value} in {}", self.namespace), source))
    }

    /// Runs `work` on a thread that has entered this namespace. Sockets opened there stay in it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let path = format!("/run/netns/{}", self.namespace);
        let enter = || {
            let file = File::open(&path)?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        let result = thread::scope(|scope| scope.spawn(enter).join());
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(LabError::Io {
                what: format!("enter {path}"),
                source,
            }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// The hardware address of an interface in this namespace.
    pub fn mac(&self, interface: &str) -> Result<[u8; 6], LabError> {
        let text = self.run("cat", &format!("/sys/class/net/{interface}/address"))?;
        let bytes: Vec<u8> = text
            .trim()
            .split(':')
            .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
            .collect();
        bytes
            .try_into()
            .map_err(|_| LabError::unexpected(format!("{interface} has the odd address {text:?}")))
    }

    /// Names of the interfaces in this namespace, sorted.
    pub fn interfaces(&self) -> Result<Vec<String>, LabError> {
        Ok(self
            .run("ls", "/sys/class/net")?
            .split_whitespace()
            .map(str::to_owned)
            .collect())
    }
}

/// Every named network namespace of the machine.
pub(super) fn list() -> Vec<String> {
    let text = run("ip", "netns list").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Ends what runs in a namespace (first politely, so that it can clean up) and deletes it. Errors are left to the next sweep.
pub(super) fn delete(namespace: &str) {
    for (signal, patience) in [
        (Signal::TERM, Duration::from_secs(3)),
        (Signal::KILL, Duration::from_secs(3)),
    ] {
        for pid in processes_in(namespace) {
            let _ = kill_process(pid, signal);
        }
        let deadline = Instant::now() + patience;
        while !processes_in(namespace).is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
    }
    let _ = run("ip", &format!("netns delete {namespace}"));
}

fn processes_in(namespace: &str) -> Vec<Pid> {
    let text = run("ip", &format!("netns pids {namespace}")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}
