//! `[[vrrp]]`: virtual routers, who share addresses with other directors; what they track; what differs between nodes.
//!
//! One file serves all directors: `[[vrrp.node]]` holds the few values that differ, by the node's name.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Serialize;

mod check;
mod keys;
mod read;

pub(crate) use check::check_all;
pub(crate) use keys::{NODE_SECTION, SECTION, TRACK_SECTION};
pub(crate) use read::read;

/// A virtual router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vrrp {
    /// The name people know it by, and scripts get.
    pub name: String,
    /// The port whose host interface it speaks on; the data plane then holds the addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The kernel interface it speaks on, and which then holds the addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Virtual router identifier.
    pub virtual_router_id: u8,
    /// 2 or 3.
    pub version: u8,
    /// Priority before tracking; 255 owns the addresses.
    pub priority: u8,
    /// Advertisement interval.
    pub advert_interval_ms: u32,
    /// Addresses that are advertised and held.
    pub addresses: Vec<IpNet>,
    /// Addresses, of either family, that are held but not advertised.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_addresses: Vec<IpNet>,
    /// Where advertisements come from; `None`: the interface's first address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Peers to speak with instead of the multicast group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unicast_peers: Vec<IpAddr>,
    /// Least TTL of a peer's packet.
    pub unicast_ttl_min: u8,
    /// Take over from a router of lower priority.
    pub preempt: bool,
    /// But not before this long after it was first heard.
    pub preempt_delay_ms: u32,
    /// Wait this long after the start.
    pub startup_delay_ms: u32,
    /// Intervals of silence after which the active router is taken for gone.
    pub down_timer_adverts: u8,
    /// Announcements of each address on becoming active.
    pub announce_repeat: u8,
    /// As many again after this time; 0: not again.
    pub announce_delay_ms: u32,
    /// And some again and again at this interval; 0: never.
    pub announce_refresh_ms: u32,
    /// So many.
    pub announce_refresh_repeat: u8,
    /// Announcements of each address when a lower priority is heard.
    pub announce_lower_repeat: u8,
    /// As many again after this time; 0: not again.
    pub announce_lower_delay_ms: u32,
    /// Between two announcements at least this time passes.
    pub announce_interval_ms: u32,
    /// The addresses are at the virtual router's MAC address instead of the port's.
    pub virtual_mac: bool,
    /// The shared addresses answer for themselves: on a port echo requests, on a kernel interface whatever runs there.
    pub accept: bool,
    /// The interface counts as up only when it has been for this long.
    pub link_up_delay_ms: u32,
    /// And as down only when it has been for this long.
    pub link_down_delay_ms: u32,
    /// For how long connections are relayed to a director that lives and held the addresses before; 0: never.
    pub relay_ms: u32,
    /// Whose manners: weir's, keepalived's, or those of RFC 9568 to the letter.
    pub rules: VrrpRules,
    /// How advertisements are authenticated.
    pub auth: VrrpAuth,
    /// File with the password, or with the key in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_file: Option<PathBuf>,
    /// Number of the key.
    pub auth_key_id: u8,
    /// Version 3 over IPv4 without pseudo header in the checksum.
    pub checksum_as_v2: bool,
    /// Virtual routers with the same word here move together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_group: Option<String>,
    /// Program run at each change of state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<PathBuf>,
    /// Programs run at one change each, before `notify`.
    #[serde(flatten)]
    pub notify_on: NotifyOn,
    /// Pipe each change of state is written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_fifo: Option<PathBuf>,
    /// Changes of the priority are written to the pipe too.
    pub notify_priority_changes: bool,
    /// User the programs run as.
    pub script_user: String,
    /// `[[vrrp.track]]`
    #[serde(rename = "track", skip_serializing_if = "Vec::is_empty")]
    pub tracks: Vec<Track>,
    /// `[[vrrp.node]]`
    #[serde(rename = "node", skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<VrrpNode>,
}

/// Programs for one change each. They get no arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NotifyOn {
    /// It has become active.
    #[serde(rename = "notify_master", skip_serializing_if = "Option::is_none")]
    pub master: Option<PathBuf>,
    /// It has become backup.
    #[serde(rename = "notify_backup", skip_serializing_if = "Option::is_none")]
    pub backup: Option<PathBuf>,
    /// It is at fault.
    #[serde(rename = "notify_fault", skip_serializing_if = "Option::is_none")]
    pub fault: Option<PathBuf>,
    /// It was stopped.
    #[serde(rename = "notify_stop", skip_serializing_if = "Option::is_none")]
    pub stop: Option<PathBuf>,
    /// A reload has removed it.
    #[serde(rename = "notify_deleted", skip_serializing_if = "Option::is_none")]
    pub deleted: Option<PathBuf>,
    /// It is active and has heard a lower priority.
    #[serde(
        rename = "notify_master_rx_lower_pri",
        skip_serializing_if = "Option::is_none"
    )]
    pub master_rx_lower_pri: Option<PathBuf>,
}

/// Whose manners, where VRRP leaves room or implementations differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VrrpRules {
    /// keepalived's, hardened against floods of priority 0.
    Weir,
    /// keepalived's.
    Keepalived,
    /// RFC 9568 to the letter.
    Rfc9568,
}

/// How advertisements are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VrrpAuth {
    /// Not at all.
    None,
    /// A password in clear; version 2.
    Password,
    /// An authentication header; version 2.
    Header,
    /// A signed trailer, as in keepalived 2.4.
    Hmac,
}

/// Something a virtual router depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Track {
    /// What is tracked; exactly one of these is set.
    #[serde(flatten)]
    pub what: Tracked,
    /// Change of priority; 0: its failure stops the virtual router.
    pub weight: i16,
    /// Up counts as down, and down as up.
    pub reverse: bool,
    /// How often it is looked at.
    pub interval_ms: u32,
    /// How long a script may run.
    pub timeout_ms: u32,
    /// Successes in a row until it is up.
    pub rise: u16,
    /// Failures in a row until it is down.
    pub fall: u16,
}

/// What is tracked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracked {
    /// A kernel interface is up and has a carrier.
    Interface(String),
    /// A port of the data plane has a link.
    Port(String),
    /// A program ends with status 0.
    Script(PathBuf),
    /// A process of this name runs.
    Process(String),
    /// A file exists and does not begin with the number 0.
    File(PathBuf),
    /// A service has as many servers that take connections as it wants.
    Service(String),
    /// A gateway answers echo requests.
    Gateway(IpAddr),
    /// A `[[bfd]]` session is up.
    Bfd(String),
}

impl Tracked {
    /// As people see it.
    pub fn label(&self) -> String {
        match self {
            Self::Interface(name) => format!("interface {name}"),
            Self::Port(name) => format!("port {name}"),
            Self::Script(path) => format!("script {}", path.display()),
            Self::Process(name) => format!("process {name}"),
            Self::File(path) => format!("file {}", path.display()),
            Self::Service(name) => format!("service {name}"),
            Self::Gateway(address) => format!("gateway {address}"),
            Self::Bfd(name) => format!("bfd {name}"),
        }
    }
}

/// What is different on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VrrpNode {
    /// The node's name.
    pub name: String,
    /// Its priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Where its advertisements come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Its kernel interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unicast_peers: Option<Vec<IpAddr>>,
}

impl Vrrp {
    /// The virtual router as it is on the node of this name.
    #[must_use]
    pub fn on_node(&self, node: &str) -> Self {
        let mut vrrp = self.clone();
        vrrp.nodes.clear();
        let Some(node) = self.nodes.iter().find(|candidate| candidate.name == node) else {
            return vrrp;
        };
        vrrp.priority = node.priority.unwrap_or(self.priority);
        vrrp.source = node.source.or(self.source);
        if let Some(interface) = &node.interface {
            vrrp.interface = Some(interface.clone());
        }
        if let Some(peers) = &node.unicast_peers {
            vrrp.unicast_peers.clone_from(peers);
        }
        vrrp
    }

    /// What it holds while active, advertised or not.
    pub fn all_addresses(&self) -> impl Iterator<Item = IpNet> {
        self.addresses.iter().chain(&self.excluded_addresses).copied()
    }

    /// Whether it holds `address` while active.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.all_addresses().any(|held| held.addr() == address)
    }
}
