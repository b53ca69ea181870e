//! QEMU's monitor protocol: one JSON object a line. Read first: QEMU's docs/interop/qmp-spec.rst and qapi/qdev.json.
//!
//! `device_del` only asks the guest; the VF is free when the event DEVICE_DELETED comes.

use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// QEMU answers at once; a guest may take this long to let a device go: one that has just started, or has no CPU to itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer lines are no QMP.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Why the monitor did not do it.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// Nobody listens on the socket.
    #[error("no QEMU listens there ({0}); start the guest with -qmp unix:PATH,server=on,wait=off")]
    NotRunning(io::Error),
    /// The conversation broke.
    #[error("the conversation with QEMU broke off: {0}")]
    Broken(io::Error),
    /// What came is not QMP.
    #[error("this is no QMP: {0}")]
    NotQmp(String),
    /// QEMU refused.
    #[error("QEMU refuses {command}: {message}")]
    Refused {
        /// The command.
        command: String,
        /// Its words.
        message: String,
    },
    /// The guest keeps the device.
    #[error(
        "the guest did not let {device} go within {seconds} s; is it booted, and has it hot-plug (acpiphp or pciehp)?"
    )]
    Kept {
        /// The device.
        device: String,
        /// How long it had.
        seconds: u64,
    },
}

/// A conversation with QEMU.
#[derive(Debug)]
pub struct Monitor {
    stream: BufReader<UnixStream>,
    deadline: Duration,
    events: Vec<Value>,
}

/// QEMU's name for the VF at a PCI address.
pub fn device_id(address: &str) -> String {
    format!("weir-vf-{}", address.replace([':', '.'], "-"))
}

impl Monitor {
    /// Connects, and takes QEMU out of its negotiation.
    pub fn connect(socket: &Path) -> Result<Self, QmpError> {
        Self::connect_within(socket, ANSWER_TIMEOUT)
    }

    /// The same with another deadline.
    pub fn connect_within(socket: &Path, deadline: Duration) -> Result<Self, QmpError> {
        let stream = UnixStream::connect(socket).map_err(QmpError::NotRunning)?;
        stream
            .set_write_timeout(Some(deadline))
            .map_err(QmpError::Broken)?;
        let mut monitor = Self {
            stream: BufReader::new(stream),
            deadline,
            events: Vec::new(),
        };
        let greeting = monitor.line(Instant::now() + deadline)?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::NotQmp(format!("the greeting is {greeting}")));
        }
        monitor.command("qmp_capabilities", &Value::Null)?;
        Ok(monitor)
    }

    /// Plugs in the VF at `address`. When it is there already, that is well.
    pub fn plug(&mut self, address: &str) -> Result<(), QmpError> {
        let device = json!({"driver": "vfio-pci", "id": device_id(address), "host": address});
        match self.command("device_add", &device) {
            Err(QmpError::Refused { message, .. }) if message.contains("Duplicate") => Ok(()),
            // A q35 machine takes a device at run time only behind one of its root ports.
            Err(QmpError::Refused { command, message }) if message.contains("does not support hotplug") => {
                let buses = self.command("query-pci", &Value::Null)?;
                let Some(port) = empty_port(&buses) else {
                    return Err(QmpError::Refused { command, message });
                };
                let mut device = device;
                device["bus"] = port.into();
                self.command("device_add", &device).map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Takes the VF at `address` out, and waits until the guest has let go of it.
    pub fn unplug(&mut self, address: &str) -> Result<(), QmpError> {
        let id = device_id(address);
        match self.command("device_del", &json!({"id": id})) {
            Err(QmpError::Refused { message, .. }) if message.contains("not found") => return Ok(()),
            // The guest was asked before and has not answered yet.
            Err(QmpError::Refused { message, .. })
                if message.contains("already in the process of unplug") => {}
            other => drop(other?),
        }
        let until = Instant::now() + self.deadline;
        let gone =
            |event: &Value| event["event"] == "DEVICE_DELETED" && event["data"]["device"] == id.as_str();
        loop {
            if self.events.iter().any(gone) {
                return Ok(());
            }
            match self.line(until) {
                Ok(message) => self.events.push(message),
                Err(QmpError::Broken(error)) if is_timeout(&error) => {
                    return Err(QmpError::Kept {
                        device: id,
                        seconds: self.deadline.as_secs(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a command and waits for its answer; events that come before it are kept.
    fn command(&mut self, name: &str, arguments: &Value) -> Result<Value, QmpError> {
        let mut command = json!({"execute": name});
        if !arguments.is_null() {
            command["arguments"] = arguments.clone();
        }
        self.stream
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())
            .map_err(QmpError::Broken)?;
        let until = Instant::now() + self.deadline;
        loop {
            let mut message = self.line(until)?;
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = message.get("error") {
                let message = error["desc"].as_str().unwrap_or("no reason given").to_owned();
                return Err(QmpError::Refused {
                    command: name.to_owned(),
                    message,
                });
            }
            self.events.push(message);
        }
    }

    fn line(&mut self, until: Instant) -> Result<Value, QmpError> {
        let left = until.saturating_duration_since(Instant::now());
        // Zero would mean to wait for ever.
        let left = left.max(Duration::from_millis(1));
        self.stream
            .get_ref()
            .set_read_timeout(Some(left))
            .map_err(QmpError::Broken)?;
        let mut line = String::new();
        let length = (&mut self.stream)
            .take(LINE_BYTES_MAX)
            .read_line(&mut line)
            .map_err(QmpError::Broken)?;
        if length == 0 {
            return Err(QmpError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&line).map_err(|error| QmpError::NotQmp(error.to_string()))
    }
}

/// The first named bridge with nothing behind it, in the answer of `query-pci`.
fn empty_port(buses: &Value) -> Option<&str> {
    let devices = buses
        .as_array()?
        .iter()
        .filter_map(|bus| bus["devices"].as_array())
        .flatten();
    let empty = |device: &&Value| {
        let behind = device["pci_bridge"]["devices"].as_array();
        device.get("pci_bridge").is_some() && behind.is_none_or(Vec::is_empty)
    };
    devices
        .filter(empty)
        .filter_map(|device| device["qdev_id"].as_str())
        .find(|name| !name.is_empty())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests;
