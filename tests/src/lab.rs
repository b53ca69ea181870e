//! A laboratory: a few network namespaces plugged into one bridge, and a directory for everything that runs there.
//!
//! Namespaces are called `<lab>-<node>`, and a lab is called `weir-<pid>-<n>` after the process that made it, so that two
//! runs never meet and what a killed run left behind can be told apart and swept ([`sweep`]). Dropping a [`Lab`] ends every
//! process in its namespaces, deletes them and removes the directory, also while a panic unwinds.
//!
//! Everything is done by the commands a person would type (`ip`, `ethtool`, `curl`, `nginx`), and every wait has a deadline.

mod client;
mod command;
mod decap;
mod error;
mod frames;
mod node;
mod process;
mod server;
mod wait;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub use client::{Client, Reply, Stream};
pub use command::run;
pub use decap::Decapsulator;
pub use error::LabError;
pub use frames::Injector;
pub use node::Node;
pub use process::Process;
pub use server::WebServer;
pub use wait::wait_until;

/// What every namespace, directory and lab made here begins with.
const PREFIX: &str = "weir-";
/// How many labs this process has made: the `<n>` of the name.
static LABS: AtomicU32 = AtomicU32::new(0);

/// Network namespaces on one bridge, and the directory their processes write to.
#[derive(Debug)]
pub struct Lab {
    name: String,
    dir: PathBuf,
    bridge: Node,
    nodes: Vec<Node>,
    keep: bool,
}

impl Lab {
    /// A lab with a name of its own under the system's temporary directory. Sweeps what killed runs left behind first.
    pub fn new() -> Result<Self, LabError> {
        sweep_dead();
        let name = format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            LABS.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(&name);
        Self::named(&name, &dir)
    }

    /// A lab with a given name and directory; the name must be free.
    pub fn named(name: &str, dir: &Path) -> Result<Self, LabError> {
        fs::create_dir_all(dir)
            .map_err(|source| LabError::io(format!("create {}", dir.display()), source))?;
        let bridge = Node::create(&format!("{name}-wire"), "wire")?;
        bridge.ip("link add br0 type bridge mcast_snooping 0")?;
        bridge.ip("link set br0 up")?;
        quieten_netfilter(&bridge);
        Ok(Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            bridge,
            nodes: Vec::new(),
            keep: false,
        })
    }

    /// The directory for configuration, logs and sockets of this lab; it goes when the lab goes.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The namespaces plugged into the bridge so far.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A new namespace whose `interface` is plugged into the bridge. No address yet, IPv6 off, so that the wire is quiet.
    ///
    /// TX checksum offload goes off: with it a veth sends partial checksums, which only a kernel at the other end forgives.
    /// VLAN offload goes off at both ends: with it the tag travels beside the frame, and AF_XDP sees none.
    pub fn add_node(&mut self, short_name: &str, interface: &str) -> Result<Node, LabError> {
        self.add_node_on(short_name, interface, "br0")
    }

    /// The same on another bridge.
    pub fn add_node_on(&mut self, short_name: &str, interface: &str, bridge: &str) -> Result<Node, LabError> {
        let node = Node::create(&format!("{}-{short_name}", self.name), short_name)?;
        self.nodes.push(node.clone());
        self.add_cable(&node, interface, short_name, bridge)?;
        Ok(node)
    }

    /// A second wire, apart from the first: a bridge to give to [`add_node_on`](Self::add_node_on) and [`add_cable`](Self::add_cable).
    pub fn add_bridge(&self, bridge: &str) -> Result<(), LabError> {
        self.bridge
            .ip(&format!("link add {bridge} type bridge mcast_snooping 0"))?;
        self.bridge.ip(&format!("link set {bridge} up"))
    }

    /// Plugs one more `interface` of a namespace into a bridge, where the cable's end is called `port`.
    pub fn add_cable(&self, node: &Node, interface: &str, port: &str, bridge: &str) -> Result<(), LabError> {
        let (namespace, wire) = (node.namespace(), self.bridge.namespace());
        run(
            "ip",
            &format!("link add {interface} netns {namespace} type veth peer name {port} netns {wire}"),
        )?;
        node.run("ethtool", &format!("-K {interface} tx off txvlan off rxvlan off"))?;
        self.bridge
            .run("ethtool", &format!("-K {port} txvlan off rxvlan off"))?;
        self.bridge.ip(&format!("link set {port} master {bridge} up"))?;
        node.ip(&format!("link set {interface} up"))
    }

    /// Takes the cable of a node out of the bridge, or plugs it in again.
    pub fn plug(&self, node: &Node, connected: bool) -> Result<(), LabError> {
        let state = if connected { "up" } else { "down" };
        self.bridge.ip(&format!("link set {} {state}", node.short_name()))
    }

    /// Moves the cable of a node to another bridge; the node's carrier stays.
    pub fn replug(&self, node: &Node, bridge: &str) -> Result<(), LabError> {
        self.bridge
            .ip(&format!("link set {} master {bridge}", node.short_name()))
    }

    /// Leaves namespaces, processes and directory in place when this value goes.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// The end of every log in the lab's directory, for the reader of a failed test.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for path in files_under(&self.dir)
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
        {
            let log = fs::read_to_string(path).unwrap_or_default();
            let name = path.strip_prefix(&self.dir).unwrap_or(path).display();
            text.push_str(&format!(
                "---- {name} ({} lines, the last {LOG_LINES_SHOWN} of them)\n",
                log.lines().count()
            ));
            text.push_str(&process::tail(&log, LOG_LINES_SHOWN));
        }
        text
    }
}

/// Where the kernel has br_netfilter, a bridge drops malformed IP packets before anybody sees them; the lab's passes all.
fn quieten_netfilter(bridge: &Node) {
    for table in ["iptables", "ip6tables", "arptables"] {
        // Without br_netfilter there is no such setting, and no need of it.
        let _ = bridge.sysctl(&format!("net.bridge.bridge-nf-call-{table}"), "0");
    }
}

/// How much of each log a failure prints.
const LOG_LINES_SHOWN: usize = 40;

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        if !self.keep {
            remove(&self.name, &self.dir);
        }
    }
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Removes the lab called `name`: its processes, its namespaces, its directory. Returns how many namespaces it had.
pub fn remove(name: &str, dir: &Path) -> usize {
    let prefix = format!("{name}-");
    let namespaces: Vec<String> = node::list()
        .into_iter()
        .filter(|namespace| namespace.starts_with(&prefix))
        .collect();
    for namespace in &namespaces {
        node::delete(namespace);
    }
    // It may never have been made; the directory is ours alone.
    let _ = fs::remove_dir_all(dir);
    namespaces.len()
}

/// Removes labs whose process is gone: a test runner that ran out of patience kills, and then nothing is dropped.
fn sweep_dead() {
    let mut dead: Vec<String> = node::list()
        .iter()
        .filter_map(|namespace| lab_of_dead_process(namespace))
        .collect();
    dead.sort();
    dead.dedup();
    for name in dead {
        eprintln!("removing the lab {name}, left behind by a process that is gone");
        remove(&name, &std::env::temp_dir().join(&name));
    }
}

/// `weir-<pid>-<n>` when `namespace` is `weir-<pid>-<n>-<node>` and no process has that pid.
fn lab_of_dead_process(namespace: &str) -> Option<String> {
    let mut parts = namespace.strip_prefix(PREFIX)?.splitn(3, '-');
    let (pid, lab) = (
        parts.next()?.parse::<u32>().ok()?,
        parts.next()?.parse::<u32>().ok()?,
    );
    parts.next()?;
    (!Path::new(&format!("/proc/{pid}")).exists()).then(|| format!("{PREFIX}{pid}-{lab}"))
}

#[cfg(test)]
mod tests {
    use super::lab_of_dead_process;

    #[test]
    fn only_labs_of_processes_that_are_gone_are_swept() {
        // Larger than any kernel's pid_max.
        assert_eq!(
            lab_of_dead_process("weir-999999999-3-client").as_deref(),
            Some("weir-999999999-3")
        );
        assert_eq!(
            lab_of_dead_process(&format!("weir-{}-0-rs1", std::process::id())),
            None
        );
        for other in [
            "weir-demo-client",
            "weir-999999999",
            "weir-999999999-x-client",
            "web-999999999-3-client",
            "",
        ] {
            assert_eq!(lab_of_dead_process(other), None, "{other}");
        }
    }
}
