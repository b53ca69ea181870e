//! `[[port]]`: a device the data plane polls, the addresses on it, and its kernel tap.

use ipnet::IpNet;
use serde::Serialize;

use crate::device::{self, Device};
use crate::reader::{At, Fields};
use crate::section::{Key, Section};
use crate::sriov;
use crate::text;

/// A device the data plane polls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The name other sections use.
    pub name: String,
    /// What the port sits on.
    #[serde(flatten)]
    pub device: Device,
    /// Kernel interface made for what is not for the load balancer (ARP replies, SSH, health checks); `None`: no tap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_interface: Option<String>,
    /// The box's own addresses on this port, with the length of their subnet.
    pub addresses: Vec<IpNet>,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// 802.1Q tag of everything in and out; `None`: untagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Receive and transmit queue pairs; `None`: one per worker, or what the device has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queues: Option<u16>,
    /// Receive descriptors of each queue.
    pub rx_descriptors: u16,
    /// Transmit descriptors of each queue.
    pub tx_descriptors: u16,
    /// Whether frames for other MAC addresses are taken too.
    pub promiscuous: bool,
    /// `[[port.node]]`
    #[serde(rename = "node", skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<PortNode>,
}

/// What is different on one node, so that one file serves all directors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortNode {
    /// The node's name.
    pub name: String,
    /// Its own addresses on the port.
    pub addresses: Vec<IpNet>,
}

impl Port {
    /// The port as it is on the node of this name.
    #[must_use]
    pub fn on_node(&self, node: &str) -> Self {
        let mut port = self.clone();
        port.nodes.clear();
        if let Some(node) = self.nodes.iter().find(|candidate| candidate.name == node) {
            port.addresses.clone_from(&node.addresses);
        }
        port
    }

    /// The addresses it has on any node.
    pub fn all_addresses(&self) -> impl Iterator<Item = &IpNet> {
        let of_nodes = self.nodes.iter().flat_map(|node| &node.addresses);
        self.addresses.iter().chain(of_nodes)
    }

    /// Whether `address` is in the subnet of one of the port's addresses.
    pub fn reaches(&self, address: std::net::IpAddr) -> bool {
        self.all_addresses().any(|subnet| subnet.contains(&address))
    }
}

pub(crate) static NODE_SECTION: Section = Section {
    header: "[[port.node]]",
    meaning: "What is different for the port above it on one node, so that one file serves all directors.",
    keys: &[
        Key {
            name: "name",
            kind: "a text of 1 to 63 characters a-z A-Z 0-9 - _ .",
            default: None,
            meaning: "required: the node's name: its host name, or what weir-dataplane is given with --node",
        },
        Key {
            name: "addresses",
            kind: "a list of texts",
            default: None,
            meaning: "required: its own addresses with prefix length, in place of those of the port",
        },
    ],
};

pub(crate) static SECTION: Section = Section {
    header: "[[port]]",
    meaning: "A device the data plane polls.",
    keys: &[
        Key {
            name: "name",
            kind: "a text of 1 to 63 characters a-z A-Z 0-9 - _ .",
            default: None,
            meaning: "required: the name other sections use",
        },
        Key {
            name: "device",
            kind: "a text",
            default: None,
            meaning: "required unless `pf` and `vf` stand here: pci:0000:41:00.0, af_xdp:IFACE, af_packet:IFACE, tap:NAME, memif:ARGS, pcap:in=FILE,out=FILE, null, ring or vdev:TEXT",
        },
        Key {
            name: "pf",
            kind: "a text",
            default: None,
            meaning: "with `vf`, in place of `device`: the NIC port of an [[sriov]], written as there",
        },
        Key {
            name: "vf",
            kind: "a whole number from 0 to 511",
            default: None,
            meaning: "the virtual function of `pf` to poll; weir-control gives it its MAC address and vfio-pci",
        },
        Key {
            name: "host_interface",
            kind: "a text of 1 to 15 characters",
            default: None,
            meaning: "kernel interface made for what is not for the load balancer; left out: no such interface",
        },
        Key {
            name: "addresses",
            kind: "a list of texts",
            default: Some("[]"),
            meaning: "the box's own addresses with prefix length, such as \"192.0.2.2/24\"",
        },
        Key {
            name: "mtu",
            kind: "a whole number of bytes from 576 to 9710",
            default: Some("1500"),
            meaning: "largest IP packet; at least 1280 with IPv6 addresses",
        },
        Key {
            name: "vlan",
            kind: "a whole number from 1 to 4094",
            default: None,
            meaning: "802.1Q tag of everything in and out; left out: untagged",
        },
        Key {
            name: "queues",
            kind: "a whole number from 1 to 64",
            default: None,
            meaning: "receive and transmit queue pairs; left out: one per worker, or what the device has",
        },
        Key {
            name: "rx_descriptors",
            kind: "a power of two from 64 to 4096",
            default: Some("1024"),
            meaning: "receive descriptors of each queue",
        },
        Key {
            name: "tx_descriptors",
            kind: "a power of two from 64 to 4096",
            default: Some("1024"),
            meaning: "transmit descriptors of each queue",
        },
        Key {
            name: "promiscuous",
            kind: "true or false",
            default: Some("false"),
            meaning: "whether frames for other MAC addresses are taken too",
        },
        Key {
            name: "node",
            kind: "an array of tables",
            default: None,
            meaning: "what differs on one node",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>) -> Option<Port> {
    let addresses = fields
        .list("addresses", text::interface_address)
        .unwrap_or_default();
    let mtu = fields.integer("mtu", 576..=9710).unwrap_or(1500);
    check_mtu(fields, mtu, &addresses);
    let port = Port {
        name: fields.required("name", text::name)?.value,
        device: read_device(fields)?,
        host_interface: fields
            .parsed("host_interface", text::interface_name)
            .map(|at| at.value),
        addresses: addresses.into_iter().map(|at| at.value).collect(),
        mtu,
        vlan: fields.integer("vlan", 1..=4094),
        queues: fields.integer("queues", 1..=64),
        rx_descriptors: descriptors(fields, "rx_descriptors"),
        tx_descriptors: descriptors(fields, "tx_descriptors"),
        promiscuous: fields.boolean("promiscuous").unwrap_or(false),
        nodes: fields
            .tables("node", &NODE_SECTION)
            .iter()
            .filter_map(|node| read_node(node, mtu))
            .collect(),
    };
    if port.host_interface.is_some() && port.host_interface.as_deref() == port.device.kernel_interface() {
        let message = "`host_interface` is the interface below the port itself";
        fields.context.error(
            fields.span_of("host_interface"),
            message,
            "choose a new name, such as \"weir0\": the interface is made at start",
        );
    }
    Some(port)
}

fn read_node(fields: &Fields<'_, '_>, mtu: u16) -> Option<PortNode> {
    let name = fields.required("name", text::name)?.value;
    let Some(addresses) = fields.list("addresses", text::interface_address) else {
        fields.missing("addresses");
        return None;
    };
    check_mtu(fields, mtu, &addresses);
    Some(PortNode {
        name,
        addresses: addresses.into_iter().map(|at| at.value).collect(),
    })
}

/// `device`, or `pf` and `vf`.
fn read_device(fields: &Fields<'_, '_>) -> Option<Device> {
    if !fields.has("pf") && !fields.has("vf") {
        return fields.required("device", device::parse).map(|at| at.value);
    }
    if fields.has("device") {
        fields.context.error(
            fields.span_of("device"),
            "`device` beside `pf` and `vf`",
            "a port is one device: leave out `device`, or both of the others",
        );
    }
    if !fields.has("vf") {
        fields.missing("vf");
    }
    let vf = fields.integer("vf", 0..=511);
    let pf = fields.required("pf", sriov::pf_name)?.value;
    Some(Device::Vf { pf, vf: vf? })
}

/// RFC 8200 section 5: every link with IPv6 carries 1280 bytes.
fn check_mtu(fields: &Fields<'_, '_>, mtu: u16, addresses: &[At<IpNet>]) {
    if mtu < 1280 && addresses.iter().any(|at| matches!(at.value, IpNet::V6(_))) {
        let key = if fields.has("mtu") { "mtu" } else { "addresses" };
        fields.context.error(
            fields.span_of(key),
            format!("`mtu` {mtu} is too small for IPv6"),
            "use at least 1280, or take the IPv6 addresses off this port",
        );
    }
}

fn descriptors(fields: &Fields<'_, '_>, name: &str) -> u16 {
    let count = fields.integer(name, 64..=4096).unwrap_or(1024_u16);
    if !count.is_power_of_two() {
        let near = count.next_power_of_two();
        fields.context.error(
            fields.span_of(name),
            format!("`{name}` is {count}, which is not a power of two"),
            format!("use {} or {near}", near / 2),
        );
    }
    count
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::Path;

    #[test]
    fn each_node_has_its_own_addresses() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/directors.toml");
        let config = crate::load(file).expect("the example is valid");
        let own = |node: &str| -> Vec<IpAddr> {
            let config = config.clone().on_node(node);
            let port = config.port("lan").expect("the port");
            port.addresses.iter().map(|net| net.addr()).collect()
        };
        assert_eq!(own("lvs1"), [IpAddr::from([192, 0, 2, 1])]);
        assert_eq!(own("lvs2"), [IpAddr::from([192, 0, 2, 2])]);
        assert_eq!(own("another"), [] as [IpAddr; 0]);
    }
}
