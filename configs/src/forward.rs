//! `forward` and `tunnel`: what is done to a packet on its way to a backend.

use std::fmt;

use serde::Serialize;

use crate::reader::Fields;
use crate::section::{Key, Section};
use crate::text::{self, MacAddress};

/// What is done to a packet on its way to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// Direct return: only the MAC addresses change; the backend answers the client itself.
    Dr,
    /// The packet is sent whole inside another; the backend answers the client itself.
    Tunnel,
    /// Destination address and port change; replies come back through weir.
    Nat,
    /// Source and destination change; replies come back through weir from anywhere.
    FullNat,
}

impl Forward {
    pub(crate) const WORDS: [(&'static str, Self); 4] = [
        ("dr", Self::Dr),
        ("tunnel", Self::Tunnel),
        ("nat", Self::Nat),
        ("fullnat", Self::FullNat),
    ];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dr => "dr",
            Self::Tunnel => "tunnel",
            Self::Nat => "nat",
            Self::FullNat => "fullnat",
        }
    }

    /// Whether the packet reaches the backend with its destination address and port unchanged.
    pub const fn keeps_destination(self) -> bool {
        matches!(self, Self::Dr | Self::Tunnel)
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outer packet of [`Forward::Tunnel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Tunnel {
    /// IP in IP, any of the four combinations of families.
    Ipip,
    /// GRE (RFC 2784).
    Gre {
        /// Whether the header has a checksum.
        checksum: bool,
    },
    /// GUE variant 1 or 0 as the family needs, over UDP.
    Gue {
        /// UDP destination port.
        port: u16,
        /// Whether the outer UDP header has a checksum; over IPv6 it always has.
        checksum: bool,
    },
    /// VXLAN (RFC 7348), over UDP.
    Vxlan {
        /// UDP destination port.
        port: u16,
        /// VXLAN network identifier, 24 bits.
        vni: u32,
        /// MAC address of the servers' VXLAN interfaces: their kernels take TCP only when it is their own.
        inner_mac: MacAddress,
    },
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipip => f.write_str("ipip"),
            Self::Gre { checksum } => write!(f, "gre{}", checksummed(*checksum)),
            Self::Gue { port, checksum } => write!(f, "gue port {port}{}", checksummed(*checksum)),
            Self::Vxlan { port, vni, inner_mac } => write!(f, "vxlan port {port} vni {vni} to {inner_mac}"),
        }
    }
}

fn checksummed(checksum: bool) -> &'static str {
    if checksum { " with checksum" } else { "" }
}

pub(crate) static TUNNEL_SECTION: Section = Section {
    header: "tunnel = { … }",
    meaning: "The outer packet when `forward = \"tunnel\"`, of a service or of one backend.",
    keys: &[
        Key {
            name: "type",
            kind: "\"ipip\", \"gre\", \"gue\" or \"vxlan\"",
            default: Some("\"ipip\""),
            meaning: "encapsulation; ipip is any of the four combinations of IPv4 and IPv6",
        },
        Key {
            name: "port",
            kind: "a whole number from 1 to 65535",
            default: None,
            meaning: "UDP destination port of gue (left out: 6080) and vxlan (left out: 4789)",
        },
        Key {
            name: "vni",
            kind: "a whole number from 0 to 16777215",
            default: None,
            meaning: "VXLAN network identifier, required for vxlan",
        },
        Key {
            name: "inner_mac",
            kind: "a text",
            default: None,
            meaning: "MAC address of the servers' VXLAN interfaces, required for vxlan: their kernels take TCP only when it is their own, so give all of them the same (ip link set vxlan0 address 02:00:00:00:00:01)",
        },
        Key {
            name: "checksum",
            kind: "true or false",
            default: Some("false"),
            meaning: "gre, gue: whether the outer header has a checksum",
        },
    ],
};

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Ipip,
    Gre,
    Gue,
    Vxlan,
}

pub(crate) fn read_tunnel(fields: &Fields<'_, '_>) -> Tunnel {
    let words = [
        ("ipip", Type::Ipip),
        ("gre", Type::Gre),
        ("gue", Type::Gue),
        ("vxlan", Type::Vxlan),
    ];
    let kind = fields.word("type", &words).unwrap_or(Type::Ipip);
    let port = fields.integer("port", 1..=65_535);
    let vni = fields.integer("vni", 0..=(1 << 24) - 1);
    let inner_mac = fields.parsed("inner_mac", text::mac);
    let checksum = fields.boolean("checksum");
    let only = |key: &str, kinds: &[Type], help: &str| {
        // `checksum = false` says what is so anyway.
        let meant = fields.has(key) && (key != "checksum" || checksum == Some(true));
        if meant && !kinds.contains(&kind) {
            fields.context.error(
                fields.span_of(key),
                format!("this type of tunnel has no `{key}`"),
                help,
            );
        }
    };
    only(
        "port",
        &[Type::Gue, Type::Vxlan],
        "leave `port` out, or use type \"gue\" or \"vxlan\"",
    );
    only("vni", &[Type::Vxlan], "leave `vni` out, or use type \"vxlan\"");
    only(
        "inner_mac",
        &[Type::Vxlan],
        "leave `inner_mac` out, or use type \"vxlan\"",
    );
    only(
        "checksum",
        &[Type::Gre, Type::Gue],
        "leave `checksum` out, or use type \"gre\" or \"gue\"",
    );
    let checksum = checksum.unwrap_or(false);
    match kind {
        Type::Ipip => Tunnel::Ipip,
        Type::Gre => Tunnel::Gre { checksum },
        Type::Gue => Tunnel::Gue {
            port: port.unwrap_or(6080),
            checksum,
        },
        Type::Vxlan => {
            for key in ["vni", "inner_mac"] {
                if !fields.has(key) {
                    fields.missing(key);
                }
            }
            let inner_mac = inner_mac.map_or(MacAddress([0; 6]), |at| at.value);
            Tunnel::Vxlan {
                port: port.unwrap_or(4789),
                vni: vni.unwrap_or(0),
                inner_mac,
            }
        }
    }
}
