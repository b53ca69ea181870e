//! One scene in which every mode has a virtual address of its own, for IPv4 and IPv6, in front of the same two servers.
//!
//! ```text
//!   client 192.0.2.10, 203.0.113.10   ──┐
//!                                       ├── bridge ──┬── lb   192.0.2.2, 203.0.113.2
//!                                       │            ├── rs1  192.0.2.11   default gateway: lb
//!                                       │            └── rs2  192.0.2.12
//! ```
//!
//! The IPv6 addresses end in the same numbers: 2001:db8::/64 for 192.0.2.0/24, 2001:db8:1::/64 for 203.0.113.0/24. What the
//! servers send to 192.0.2.10 goes to it directly (DR, tunnels); what they send to 203.0.113.10 goes through the load
//! balancer (NAT with one arm).

use std::fmt::Write as _;

use weir_tests::lab::{Client, Decapsulator, Lab, LabError, Node, Process, WebServer};
use weir_tests::stage::{Config, Director, hold_quietly};

/// One mode, and what a scenario must know of it.
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    forward: &'static str,
    /// `tunnel` in the file, for outer IPv4.
    tunnel: &'static str,
    /// The outer packet is of the other family.
    crossed: bool,
    /// Bytes of the outer headers behind IP; `None` without a tunnel.
    shim_bytes: Option<u16>,
    /// The last part of the virtual address.
    host: u8,
}

const fn tunnel(name: &'static str, tunnel: &'static str, shim_bytes: u16, host: u8) -> Mode {
    Mode {
        name,
        forward: "tunnel",
        tunnel,
        crossed: false,
        shim_bytes: Some(shim_bytes),
        host,
    }
}

const fn plain(name: &'static str, host: u8) -> Mode {
    Mode {
        shim_bytes: None,
        forward: name,
        ..tunnel(name, "", 0, host)
    }
}

/// Every mode; VXLAN has to name the servers' network and MAC address.
pub(crate) const MODES: [Mode; 9] = [
    plain("dr", 100),
    tunnel("ipip", r#"{ type = "ipip" }"#, 0, 101),
    Mode {
        crossed: true,
        ..tunnel("ipip-crossed", r#"{ type = "ipip" }"#, 0, 102)
    },
    tunnel("gre", r#"{ type = "gre" }"#, 4, 103),
    tunnel("gre-checksum", r#"{ type = "gre", checksum = true }"#, 8, 104),
    tunnel("gue", r#"{ type = "gue" }"#, 12, 105),
    tunnel(
        "vxlan",
        r#"{ type = "vxlan", vni = 100, inner_mac = "02:00:00:00:00:64" }"#,
        30,
        106,
    ),
    plain("nat", 107),
    plain("fullnat", 108),
];

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Host number `host` of the servers' subnet.
    pub(crate) fn near(self, host: u8) -> String {
        match self {
            Self::V4 => format!("192.0.2.{host}"),
            Self::V6 => format!("2001:db8::{host}"),
        }
    }

    /// Host number `host` of the subnet whose answers go through the load balancer.
    pub(crate) fn far(self, host: u8) -> String {
        match self {
            Self::V4 => format!("203.0.113.{host}"),
            Self::V6 => format!("2001:db8:1::{host}"),
        }
    }
}

/// `address`, `port` as a URL or a configuration has them.
pub(crate) fn socket(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

impl Mode {
    pub(crate) fn vip(&self, family: Family) -> String {
        if self.forward == "nat" {
            family.far(self.host)
        } else {
            family.near(self.host)
        }
    }

    pub(crate) fn url(&self, family: Family, page: &str) -> String {
        format!("http://{}/{page}", socket(&self.vip(family), 80))
    }

    /// Whether the servers hold the virtual address themselves.
    pub(crate) fn on_servers(&self) -> bool {
        matches!(self.forward, "dr" | "tunnel")
    }

    /// What the servers see as the client.
    pub(crate) fn client_seen(&self, family: Family) -> String {
        match self.forward {
            "nat" => family.far(10),
            "fullnat" => family.near(50),
            _ => family.near(10),
        }
    }

    /// The family of the outer packet; without a tunnel, of the packet.
    pub(crate) fn outer(&self, family: Family) -> Family {
        if self.crossed { family.other() } else { family }
    }

    /// The largest packet to the virtual address, where it is less than the wire's.
    pub(crate) fn path_mtu(&self, family: Family) -> Option<u16> {
        let outer = self.outer(family);
        let ip = if outer == Family::V4 { 20 } else { 40 };
        self.shim_bytes.map(|shim| 1500 - ip - shim)
    }

    pub(crate) fn service(&self, family: Family, protocol: &str, port: u16, servers: u8) -> String {
        let Self { name, forward, .. } = self;
        let outer = self.outer(family);
        let suffix = if family == Family::V4 { "" } else { "6" };
        let address = socket(&self.vip(family), port);
        let mut text = format!(
            "\n[[service]]\nname = \"{name}{suffix}-{protocol}-{port}\"\naddress = \"{address}\"\n\
             protocol = \"{protocol}\"\nscheduler = \"rr\"\nforward = \"{forward}\"\n"
        );
        let mut add = |line: &str| text.push_str(&format!("{line}\n"));
        if *forward == "tunnel" {
            // The kernel has one VXLAN device for each outer family.
            let vni = if outer == Family::V4 {
                "vni = 100"
            } else {
                "vni = 106"
            };
            add(&format!("tunnel = {}", self.tunnel.replace("vni = 100", vni)));
        }
        if *forward == "nat" && port == IPERF && protocol == "tcp" {
            add(&format!("mss_clamp_bytes = {NAT_MSS_MAX}"));
        }
        if *forward == "fullnat" {
            add(&format!("local_addresses = [\"{}\"]", family.near(50)));
        }
        // Where the servers hold no virtual address, their port may be another.
        let backend_port = if port == IPERF && !self.on_servers() {
            IPERF + 1
        } else {
            port
        };
        for number in 1..=servers {
            let backend = socket(&outer.near(10 + number), backend_port);
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  [[service.backend]]\n  address = \"{backend}\"\n");
        }
        text
    }
}

/// Where iperf3 is found; it needs one server, because its data and its commands must meet.
pub(crate) const IPERF: u16 = 5201;

/// The MSS that iperf3 is held to through NAT.
pub(crate) const NAT_MSS_MAX: u64 = 1200;

/// The whole `weir.toml`.
pub(crate) fn config(workers: &[u16]) -> Config {
    let mut text = format!(
        r#"[dataplane]
workers = {workers:?}
flows_max = 65_536
idle = "adaptive"
socket = "{{dir}}/dataplane.sock"

[control]
socket = "{{dir}}/control.sock"

[[port]]
name = "lan"
device = "af_xdp:veth-lb"
host_interface = "weir0"
addresses = ["192.0.2.2/24", "203.0.113.2/24", "2001:db8::2/64", "2001:db8:1::2/64"]
"#
    );
    for mode in &MODES {
        for family in Family::BOTH {
            text += &mode.service(family, "tcp", 80, 2);
            text += &mode.service(family, "tcp", IPERF, 1);
            text += &mode.service(family, "udp", IPERF, 1);
        }
    }
    Config {
        other: Some(text),
        ..Config::new(2)
    }
}

/// Everybody, in the order in which they leave.
pub(crate) struct Cast {
    pub(crate) client: Client,
    pub(crate) director: Director,
    pub(crate) servers: Vec<WebServer>,
    pub(crate) tunnels: Vec<Decapsulator>,
    _performers: Vec<Process>,
}

impl Cast {
    pub(crate) fn start(lab: &mut Lab, workers: &[u16]) -> Result<Self, LabError> {
        let client = lab.add_node("client", "eth0")?;
        allow_v6(&client)?;
        for family in Family::BOTH {
            add_address(&client, "eth0", &family.near(10))?;
            add_address(&client, "eth0", &family.far(10))?;
        }
        let mut servers = Vec::new();
        let mut tunnels = Vec::new();
        let mut performers = Vec::new();
        for number in 1..=2 {
            let node = lab.add_node(&format!("rs{number}"), "eth0")?;
            prepare_server(&node, number)?;
            tunnels.push(Decapsulator::start(&node, "eth0")?);
            if number == 1 {
                performers = start_iperf(lab, &node)?;
            }
            servers.push(WebServer::start(&node, lab.dir(), 80)?);
        }
        let node = lab.add_node("lb", "veth-lb")?;
        allow_v6(&node)?;
        node.sysctl("net.ipv6.conf.veth-lb.disable_ipv6", "1")?;
        let mut director = Director::new(&node, lab.dir(), config(workers))?;
        director.start_dataplane()?;
        director.start_control()?;
        Ok(Self {
            client: Client::new(&client, lab.dir()),
            director,
            servers,
            tunnels,
            _performers: performers,
        })
    }
}

/// IPv6 is off in a lab's namespaces unless wanted. Routers and duplicates are none of its business.
pub(crate) fn allow_v6(node: &Node) -> Result<(), LabError> {
    for scope in ["all", "default"] {
        node.sysctl(&format!("net.ipv6.conf.{scope}.accept_ra"), "0")?;
        node.sysctl(&format!("net.ipv6.conf.{scope}.accept_dad"), "0")?;
        node.sysctl(&format!("net.ipv6.conf.{scope}.disable_ipv6"), "0")?;
    }
    Ok(())
}

/// Adds an address of a /24 or /64.
pub(crate) fn add_address(node: &Node, interface: &str, address: &str) -> Result<(), LabError> {
    if address.contains(':') {
        node.ip(&format!("address add {address}/64 dev {interface} nodad"))
    } else {
        node.ip(&format!("address add {address}/24 dev {interface}"))
    }
}

pub(crate) fn prepare_server(node: &Node, number: u8) -> Result<(), LabError> {
    allow_v6(node)?;
    for family in Family::BOTH {
        add_address(node, "eth0", &family.near(10 + number))?;
        node.ip(&format!("route add default via {}", family.near(2)))?;
    }
    for mode in MODES.iter().filter(|mode| mode.on_servers()) {
        hold_quietly(node, &mode.vip(Family::V4))?;
        node.ip(&format!("address add {}/128 dev lo nodad", mode.vip(Family::V6)))?;
    }
    node.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
    node.sysctl("net.ipv4.conf.default.rp_filter", "0")?;
    for (device, vni, family) in [("vxlan4", 100, Family::V4), ("vxlan6", 106, Family::V6)] {
        let local = family.near(10 + number);
        node.ip(&format!(
            "link add {device} address 02:00:00:00:00:64 type vxlan id {vni} local {local} dstport 4789 udp6zerocsumrx"
        ))?;
        node.ip(&format!("link set {device} up"))?;
    }
    Ok(())
}

/// One for each virtual address that the server holds, and one for those it does not.
fn start_iperf(lab: &Lab, node: &Node) -> Result<Vec<Process>, LabError> {
    let mut performers = Vec::new();
    let mut start = |arguments: &str| {
        let log = lab.dir().join("iperf3.log");
        let mut command = node.command("iperf3");
        command.args(arguments.split_whitespace());
        performers.push(Process::start("iperf3", &mut command, &log)?);
        Ok::<_, LabError>(())
    };
    for mode in MODES.iter().filter(|mode| mode.on_servers()) {
        for family in Family::BOTH {
            start(&format!("-s -p {IPERF} -B {}", mode.vip(family)))?;
        }
    }
    start(&format!("-s -p {}", IPERF + 1))?;
    Ok(performers)
}
