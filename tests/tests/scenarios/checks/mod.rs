//! Every kind of check against real servers: up, down, slow, answering wrong; gone and back.
//!
//! One namespace holds the servers, another `weir-control` without a dataplane: checks need none. Each row of a table is a
//! service with a backend for each server it is tried on; what `weirctl backend` says of each must come to be what the row
//! says. Nothing is required to be so at once, so a slow machine only takes longer.

mod keepalived;
mod kinds;
mod packaged;
mod servers;
mod stranger;
mod through;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use servers::{CLOSED, MUTE, NONSENSE};
use weir_tests::lab::{Lab, LabError, Node, Process, wait_until};
use weir_tests::scenario::binary;

use crate::modes::cast::{Family, add_address, allow_v6};

/// How long a verdict may take to show; on a quiet machine it is two seconds.
const VERDICT: Duration = Duration::from_secs(60);

const REFUSED: &str = "connection refused: nothing listens on that port";
const NO_ANSWER: &str = "connected, but no complete answer within the time allowed";
const NO_CONNECTION: &str = "no connection within the time allowed";
const UNTRUSTED: &str = "the server's certificate is not trusted for its name";
/// Of this host's own troubles, which condemn no server.
const NOT_DONE: &str = "this host could not do the check";

/// One check, and what it says of the server at each port.
struct Row {
    name: &'static str,
    protocol: &'static str,
    check: String,
    /// Port, what is said while all servers are up, and while the good ones are down.
    backends: Vec<(u16, &'static str, &'static str)>,
}

/// A check over TCP: of a good server, of none, of a mute one and of one that talks nonsense.
fn tcp(
    name: &'static str,
    check: &'static str,
    good: u16,
    mute: &'static str,
    nonsense: &'static str,
) -> Row {
    Row {
        backends: vec![
            (good, "passed", REFUSED),
            (CLOSED, REFUSED, REFUSED),
            (MUTE, mute, mute),
            (NONSENSE, nonsense, nonsense),
        ],
        ..one(name, check, good, "passed")
    }
}

/// The same over UDP.
fn udp(name: &'static str, check: &'static str, good: u16, nonsense: &'static str) -> Row {
    Row {
        protocol: "udp",
        ..tcp(name, check, good, NO_ANSWER, nonsense)
    }
}

/// A check of one good server over TCP, and what it says of it.
fn one(name: &'static str, check: &'static str, port: u16, said: &'static str) -> Row {
    Row {
        name,
        protocol: "tcp",
        check: check.to_owned(),
        backends: vec![(port, said, REFUSED)],
    }
}

/// A check that asks no port of the server; what it says at first and after a change.
fn portless(name: &'static str, check: &'static str, first: &'static str, then: &'static str) -> Row {
    Row {
        backends: vec![(80, first, then)],
        ..one(name, check, 80, first)
    }
}

fn config(dir: &Path, rows: &[Row]) -> String {
    let shown = dir.display();
    let mut text = format!(
        "[dataplane]\nsocket = \"{shown}/dataplane.sock\"\n[control]\nsocket = \"{shown}/control.sock\"\n\
         [[port]]\nname = \"lan\"\ndevice = \"null\"\naddresses = [\"192.0.2.2/24\", \"2001:db8::2/64\"]\n"
    );
    let mut number = 0;
    let mut service = |name: &str, protocol: &str, check: &str, ports: &[u16]| {
        number += 1;
        let pace = "interval_ms = 1000, timeout_ms = 900, rise = 1, fall = 1";
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[[service]]\nname = \"{name}\"\naddress = \"198.51.100.{number}:80\"\nprotocol = \"{protocol}\"\n\
             forward = \"nat\"\ncheck = {{ {}, {pace} }}\n",
            check.replace("{dir}", &shown.to_string()).replace('\n', " ")
        );
        for port in ports {
            let _ = write!(text, "[[service.backend]]\naddress = \"192.0.2.11:{port}\"\n");
        }
    };
    for row in rows {
        let ports: Vec<u16> = row.backends.iter().map(|(port, ..)| *port).collect();
        service(row.name, row.protocol, &row.check, &ports);
    }
    text
}

/// Service, port and what the last run said.
type Said = (String, String, String);

/// Everything expected, while the good servers are up or down.
fn expected(rows: &[Row], up: bool) -> Vec<Said> {
    let mut all = Vec::new();
    for row in rows {
        for (port, while_up, while_down) in &row.backends {
            let said = if up { while_up } else { while_down };
            all.push((
                row.name.to_owned(),
                format!("192.0.2.11:{port}"),
                (*said).to_owned(),
            ));
        }
    }
    all
}

fn said(socket: &Path) -> Result<Vec<Said>, LabError> {
    let text = servers::weirctl(socket, "backend --json")?;
    let view: Value = serde_json::from_str(&text)
        .map_err(|error| LabError::unexpected(format!("no JSON: {error}: {text}")))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = view["backends"].as_array().into_iter().flatten();
    Ok(rows
        .map(|row| {
            (
                text(&row["service"]),
                text(&row["address"]),
                text(&row["health"]["last_result"]),
            )
        })
        .collect())
}

/// Waits until each of `pending` has been said at least once.
fn wait_for(what: &str, socket: &Path, mut pending: Vec<Said>) -> Result<(), LabError> {
    wait_until(what, VERDICT, || {
        let now = said(socket).map_err(|error| error.to_string())?;
        pending.retain(|one| !now.contains(one));
        if pending.is_empty() {
            return Ok(());
        }
        let others: Vec<_> = now
            .iter()
            .filter(|(service, address, _)| pending.iter().any(|(s, a, _)| s == service && a == address))
            .collect();
        Err(format!("still waiting for {pending:?}, while it says {others:?}"))
    })
}

/// `weir-control` with the services of a table.
struct Checker {
    dir: PathBuf,
    node: Node,
    process: Process,
}

impl Checker {
    fn start(lab: &mut Lab, dir: &Path, rows: &[Row]) -> Result<Self, LabError> {
        let node = lab.add_node("lb", "eth0")?;
        both_families(&node, 2)?;
        let path = dir.join("weir.toml");
        fs::write(&path, config(dir, rows))
            .map_err(|error| LabError::unexpected(format!("weir.toml: {error}")))?;
        let mut command = node.command(&binary("weir-control")?.to_string_lossy());
        command.arg("--config").arg(&path);
        let process = Process::start("weir-control", &mut command, &dir.join("control.log"))?;
        Ok(Self {
            dir: dir.to_owned(),
            node,
            process,
        })
    }

    fn wait_for(&self, what: &str, said: Vec<Said>) -> Result<(), LabError> {
        wait_for(what, &self.dir.join("control.sock"), said)
    }

    /// The most memory it has had resident, in bytes.
    fn memory_peak(&self) -> Result<u64, LabError> {
        let path = format!("/proc/{}/status", self.process.pid());
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib << 10)
            .ok_or_else(|| LabError::unexpected(format!("no VmHWM in {path}")))
    }
}

/// The namespace of the servers, and their directory.
fn servers_node(lab: &mut Lab) -> Result<(Node, PathBuf), LabError> {
    let dir = lab.dir().join("checks");
    fs::create_dir_all(&dir).map_err(|error| LabError::unexpected(format!("{}: {error}", dir.display())))?;
    let node = lab.add_node("rs1", "eth0")?;
    both_families(&node, 11)?;
    // Several checks a second ask closed UDP ports of this one host; by default it says so once a second.
    node.sysctl("net.ipv4.icmp_ratelimit", "0")?;
    node.sysctl("net.ipv6.icmp.ratelimit", "0")?;
    Ok((node, dir))
}

/// Gives a node its addresses: 192.0.2.`host` and 2001:db8::`host`.
fn both_families(node: &Node, host: u8) -> Result<(), LabError> {
    allow_v6(node)?;
    Family::BOTH
        .into_iter()
        .try_for_each(|family| add_address(node, "eth0", &family.near(host)))
}
