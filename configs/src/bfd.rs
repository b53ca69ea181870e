//! `[[bfd]]`: sessions that watch a neighbour by many small packets a second (RFC 5880), for VRRP and for checks.

use std::net::IpAddr;

use serde::Serialize;

use crate::backend::Backend;
use crate::check::CheckKind;
use crate::reader::{Fields, Read};
use crate::section::{Key, Section};
use crate::service::Service;
use crate::text;
use crate::vrrp::{Tracked, Vrrp};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bfd {
    /// The name trackers and people know it by.
    pub name: String,
    /// The other end.
    pub peer: IpAddr,
    /// Where its packets come from; `None`: what the system chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The kernel interface of a single hop; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// There may be routers in between (RFC 5883).
    pub multihop: bool,
    /// Least TTL of the peer's packets when there may be.
    pub ttl_min: u8,
    /// How often we would like to send.
    pub transmit_interval_ms: u32,
    /// How often we can receive.
    pub receive_interval_ms: u32,
    /// How many packets may be lost.
    pub detect_multiplier: u8,
    /// How often we send while the session is not up.
    pub idle_interval_ms: u32,
    /// Send nothing until the other end does.
    pub passive: bool,
    /// `[[bfd.node]]`
    #[serde(rename = "node", skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<BfdNode>,
}

/// What is different on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BfdNode {
    /// The node's name.
    pub name: String,
    /// Its other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// Where its packets come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Its kernel interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

impl Bfd {
    /// The session as it is on the node of this name.
    #[must_use]
    pub fn on_node(&self, node: &str) -> Self {
        let mut bfd = self.clone();
        bfd.nodes.clear();
        if let Some(node) = self.nodes.iter().find(|candidate| candidate.name == node) {
            bfd.peer = node.peer.unwrap_or(self.peer);
            bfd.source = node.source.or(self.source);
            bfd.interface = node.interface.clone().or(bfd.interface);
        }
        bfd
    }
}

pub(crate) static NODE_SECTION: Section = Section {
    header: "[[bfd.node]]",
    meaning: "What is different for the session above it on one node, so that one file serves all directors.",
    keys: &[
        Key {
            name: "name",
            kind: "a text of 1 to 63 characters a-z A-Z 0-9 - _ .",
            default: None,
            meaning: "required: the node's name: its host name, or what weir-control is given with --node",
        },
        Key {
            name: "peer",
            kind: "a text",
            default: None,
            meaning: "address of its other end",
        },
        Key {
            name: "source",
            kind: "a text",
            default: None,
            meaning: "address its packets come from",
        },
        Key {
            name: "interface",
            kind: "a text of 1 to 15 characters",
            default: None,
            meaning: "its kernel interface",
        },
    ],
};

pub(crate) static SECTION: Section = Section {
    header: "[[bfd]]",
    meaning: "A BFD session (RFC 5880): it notices within milliseconds that a neighbour is gone.",
    keys: &[
        Key {
            name: "name",
            kind: "a text of 1 to 63 characters a-z A-Z 0-9 - _ .",
            default: None,
            meaning: "required: the name [[vrrp.track]] and checks know it by",
        },
        Key {
            name: "peer",
            kind: "a text",
            default: None,
            meaning: "required: address of the other end",
        },
        Key {
            name: "source",
            kind: "a text",
            default: None,
            meaning: "address our packets come from; left out: what the system chooses",
        },
        Key {
            name: "interface",
            kind: "a text of 1 to 15 characters",
            default: None,
            meaning: "kernel interface of the peer; needed for link-local addresses",
        },
        Key {
            name: "multihop",
            kind: "true or false",
            default: Some("false"),
            meaning: "there may be routers in between (RFC 5883): UDP port 4784 instead of 3784",
        },
        Key {
            name: "ttl_min",
            kind: "a whole number from 1 to 255",
            default: Some("255"),
            meaning: "least TTL of the peer's packets of a multihop session; a single hop always wants 255",
        },
        Key {
            name: "transmit_interval_ms",
            kind: "a whole number from 10 to 60000",
            default: Some("10"),
            meaning: "how often we would like to send",
        },
        Key {
            name: "receive_interval_ms",
            kind: "a whole number from 10 to 60000",
            default: Some("10"),
            meaning: "how often we can receive",
        },
        Key {
            name: "detect_multiplier",
            kind: "a whole number from 1 to 255",
            default: Some("5"),
            meaning: "how many packets may be lost before the peer takes us for gone",
        },
        Key {
            name: "idle_interval_ms",
            kind: "a whole number from 1000 to 60000",
            default: Some("1000"),
            meaning: "how often we send while the session is not up",
        },
        Key {
            name: "passive",
            kind: "true or false",
            default: Some("false"),
            meaning: "send nothing until the other end does",
        },
        Key {
            name: "node",
            kind: "an array of tables",
            default: None,
            meaning: "what differs on one node",
        },
    ],
};

pub(crate) fn read(fields: &Fields<'_, '_>) -> Option<Bfd> {
    let name = fields.required("name", text::name);
    let peer = fields.required("peer", text::address);
    let (name, peer) = (name?.value, peer?.value);
    let millis = |name, range, default| fields.integer(name, range).unwrap_or(default);
    let bfd = Bfd {
        name,
        peer,
        source: fields.parsed("source", text::address).map(|at| at.value),
        interface: fields
            .parsed("interface", text::interface_name)
            .map(|at| at.value),
        multihop: fields.boolean("multihop").unwrap_or(false),
        ttl_min: fields.integer("ttl_min", 1..=255).unwrap_or(255),
        transmit_interval_ms: millis("transmit_interval_ms", 10..=60_000, 10),
        receive_interval_ms: millis("receive_interval_ms", 10..=60_000, 10),
        detect_multiplier: fields.integer("detect_multiplier", 1..=255).unwrap_or(5),
        idle_interval_ms: millis("idle_interval_ms", 1000..=60_000, 1000),
        passive: fields.boolean("passive").unwrap_or(false),
        nodes: Vec::new(),
    };
    check(fields, &bfd);
    let nodes = fields.tables("node", &NODE_SECTION);
    let nodes = nodes
        .iter()
        .filter_map(|fields| read_node(fields, &bfd))
        .collect();
    Some(Bfd { nodes, ..bfd })
}

fn read_node(fields: &Fields<'_, '_>, bfd: &Bfd) -> Option<BfdNode> {
    let node = BfdNode {
        name: fields.required("name", text::name)?.value,
        peer: fields.parsed("peer", text::address).map(|at| at.value),
        source: fields.parsed("source", text::address).map(|at| at.value),
        interface: fields
            .parsed("interface", text::interface_name)
            .map(|at| at.value),
    };
    let nodes = vec![node.clone()];
    check(fields, &Bfd { nodes, ..bfd.clone() }.on_node(&node.name));
    Some(node)
}

fn check(fields: &Fields<'_, '_>, bfd: &Bfd) {
    let fault =
        |key: &str, message: &str, help: &str| fields.context.error(fields.span_of(key), message, help);
    if bfd
        .source
        .is_some_and(|source| source.is_ipv4() != bfd.peer.is_ipv4())
    {
        fault(
            "source",
            "`source` is not of the family of the peer",
            "give an address of the same family",
        );
    }
    let link_local = matches!(bfd.peer, IpAddr::V6(address) if address.is_unicast_link_local());
    if link_local && bfd.interface.is_none() {
        fault(
            "peer",
            "a link-local address says nothing about the link",
            "add interface = \"NAME\"",
        );
    }
    if bfd.ttl_min != 255 && !bfd.multihop {
        fault(
            "ttl_min",
            "a packet of a single hop has a TTL of 255, always",
            "leave `ttl_min` out, or set multihop = true",
        );
    }
}

/// Whether two sessions have the same two ends on some node.
fn share_ends(one: &Bfd, other: &Bfd) -> bool {
    let ends = |bfd: Bfd| (bfd.peer, bfd.source, bfd.interface, bfd.multihop);
    let named = one
        .nodes
        .iter()
        .chain(&other.nodes)
        .map(|node| node.name.as_str());
    // And on one that has no section; no node has this name.
    let mut nodes = named.chain([""]);
    nodes.any(|node| ends(one.on_node(node)) == ends(other.on_node(node)))
}

/// What several sessions, and those who track them, say together that cannot be.
pub(crate) fn check_all(sessions: &[Read<'_, '_, Bfd>], vrrps: &[Read<'_, '_, Vrrp>]) {
    let mut seen: Vec<&Bfd> = Vec::new();
    for read in sessions {
        let (Some(bfd), fields) = (&read.value, &read.fields) else {
            continue;
        };
        let fault =
            |key: &str, message: String, help: &str| fields.context.error(fields.span_of(key), message, help);
        if seen.iter().any(|other| other.name == bfd.name) {
            fault(
                "name",
                format!("there are two [[bfd]] \"{}\"", bfd.name),
                "give each a name of its own",
            );
        }
        if let Some(other) = seen.iter().find(|other| share_ends(other, bfd)) {
            fault(
                "peer",
                format!("[[bfd]] \"{}\" has the same two ends", other.name),
                "track that one, or give another `source`",
            );
        }
        seen.push(bfd);
    }
    for read in vrrps {
        let tracks = read.value.iter().flat_map(|vrrp| &vrrp.tracks);
        for track in tracks {
            if let Tracked::Bfd(name) = &track.what
                && !seen.iter().any(|bfd| &bfd.name == name)
            {
                read.fields.context.error(
                    read.fields.span_of("track"),
                    format!("there is no [[bfd]] \"{name}\" to track"),
                    "name one of the sessions of this file",
                );
            }
        }
    }
}

/// Checks of servers by a session need that session.
pub(crate) fn check_checks(services: &[Read<'_, '_, Service>], sessions: &[Read<'_, '_, Bfd>]) {
    let known = |name: &str| {
        sessions
            .iter()
            .any(|read| read.value.as_ref().is_some_and(|bfd| bfd.name == name))
    };
    for read in services {
        let Some(service) = &read.value else { continue };
        let named = service
            .backends
            .iter()
            .flat_map(Backend::all_checks)
            .find_map(|check| match &check.kind {
                CheckKind::Bfd(bfd) if !known(&bfd.session) => Some(&bfd.session),
                _ => None,
            });
        if let Some(name) = named {
            read.fields.context.error(
                read.fields.span_of("check"),
                format!(
                    "there is no [[bfd]] \"{name}\" for a check of service \"{}\"",
                    service.name
                ),
                format!("add a section [[bfd]] with name = \"{name}\", or name one that is there"),
            );
        }
    }
}
