//! The `weir.toml` of a scene.

use std::fmt::Write as _;
use std::path::Path;

use super::{VIP, server_address};

/// What the load balancer's port sits on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// AF_XDP on the veth: the lab's default.
    AfXdp,
    /// AF_PACKET on the veth.
    AfPacket,
}

/// One server as the load balancer sees it.
#[derive(Debug, Clone)]
pub struct Backend {
    /// IPv4 address; the port is 80.
    pub address: String,
    /// Share of new connections; 0 takes none.
    pub weight: u32,
}

/// The configuration of one load balancer with one service.
#[derive(Debug, Clone)]
pub struct Config {
    /// CPUs of the workers.
    pub workers: Vec<u16>,
    /// What the port sits on.
    pub device: Device,
    /// The balancer's own address, with prefix length.
    pub address: String,
    /// The virtual address.
    pub vip: String,
    /// Name of the scheduler.
    pub scheduler: String,
    /// The servers.
    pub backends: Vec<Backend>,
    /// The whole file instead of all of the above, `{dir}` standing for the directory of the sockets.
    pub other: Option<String>,
}

impl Config {
    /// One worker on CPU 0, AF_XDP, the first `servers` servers with weight 1, round robin.
    #[must_use]
    pub fn new(servers: u8) -> Self {
        let backend = |number| Backend {
            address: server_address(number),
            weight: 1,
        };
        Self {
            workers: vec![0],
            device: Device::AfXdp,
            address: "192.0.2.2/24".to_owned(),
            vip: VIP.to_owned(),
            scheduler: "rr".to_owned(),
            backends: (1..=servers).map(backend).collect(),
            other: None,
        }
    }

    /// The same with other weights, the first for rs1 and so on.
    #[must_use]
    pub fn weights(mut self, weights: &[u32]) -> Self {
        for (backend, weight) in self.backends.iter_mut().zip(weights) {
            backend.weight = *weight;
        }
        self
    }

    /// The same with another scheduler.
    #[must_use]
    pub fn scheduler(mut self, name: &str) -> Self {
        name.clone_into(&mut self.scheduler);
        self
    }

    /// The same with workers on these CPUs.
    #[must_use]
    pub fn workers(mut self, cpus: &[u16]) -> Self {
        self.workers = cpus.to_vec();
        self
    }

    /// The text of the file, its sockets in `dir`.
    #[must_use]
    pub fn to_toml(&self, dir: &Path) -> String {
        let dir = dir.display();
        if let Some(other) = &self.other {
            return other.replace("{dir}", &dir.to_string());
        }
        let device = match self.device {
            Device::AfXdp => "af_xdp",
            Device::AfPacket => "af_packet",
        };
        let Self {
            workers,
            address,
            vip,
            scheduler,
            ..
        } = self;
        let mut text = format!(
            r#"[dataplane]
workers = {workers:?}
flows_max = 65_536
idle = "adaptive"                  # the lab's processes share the machine's cores
socket = "{dir}/dataplane.sock"

[control]
socket = "{dir}/control.sock"

[[port]]
name = "lan"
device = "{device}:veth-lb"
host_interface = "weir0"
addresses = ["{address}"]

[[service]]
name = "web"
address = "{vip}:80"
protocol = "tcp"
scheduler = "{scheduler}"
forward = "dr"
check = {{ http = {{ path = "/", status = [200] }}, interval_ms = 400, timeout_ms = 300, rise = 2, fall = 2 }}
"#
        );
        for Backend { address, weight } in &self.backends {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n  [[service.backend]]\n  address = \"{address}:80\"\n  weight = {weight}\n"
            );
        }
        text
    }
}
